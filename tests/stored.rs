//! What a store says of the tuples in it, against a list of them: writes with every option, Read with every filter and
//! page size, ReadChanges, Expand.

use bailiwick::Bailiwick;
use bailiwick::engine::*;
use bailiwick::model::{Model, Rewrite};
use bailiwick::tuple::*;

/// A store, and the list of what must be in it, in the order it was written.
pub(crate) struct Ledger<'a> {
    engine: &'a Bailiwick,
    store: StoreId,
    now: Timestamp,
    tuples: Vec<Tuple>,
    changes: Vec<(Tuple, bool)>,
}

fn expect<T: std::fmt::Debug>(what: &str, holds: bool, answer: &T) -> Result<(), String> {
    if holds { Ok(()) } else { Err(format!("{what}: {answer:?}")) }
}

impl<'a> Ledger<'a> {
    /// A list for an empty store.
    pub(crate) fn new(engine: &'a Bailiwick, store: StoreId, now: Timestamp) -> Ledger<'a> {
        Ledger { engine, store, now, tuples: Vec::new(), changes: Vec::new() }
    }

    fn submit(&self, query: WriteQuery) -> Result<At<()>, WriteError> {
        self.engine.write(self.store, None, query, self.now)
    }

    /// Writes tuples that are not there; then again, in every way that must be refused or skipped.
    pub(crate) fn write(&mut self, tuples: &[Tuple]) -> Result<(), String> {
        let Some(first) = tuples.first() else { return Ok(()) };
        let writes = tuples.to_vec();
        let twice = WriteQuery { writes: [tuples, tuples].concat(), ..WriteQuery::default() };
        let answer = self.submit(twice);
        expect("the same twice", matches!(answer, Err(WriteError::DuplicateInRequest { .. })), &answer)?;
        let missing = WriteQuery { deletes: writes.clone(), ..WriteQuery::default() };
        let answer = self.submit(missing);
        expect("delete of what is not there", matches!(answer, Err(WriteError::DoesNotExist { .. })), &answer)?;
        let missing = WriteQuery { deletes: writes.clone(), on_missing: OnMissing::Ignore, ..WriteQuery::default() };
        let answer = self.submit(missing);
        expect("ignored delete of what is not there", answer.is_ok(), &answer)?;
        let answer = self.submit(WriteQuery { writes: writes.clone(), ..WriteQuery::default() });
        expect("write", answer.is_ok(), &answer)?;
        self.tuples.extend(writes.iter().cloned());
        self.changes.extend(writes.iter().map(|t| (t.clone(), false)));
        let again = WriteQuery { writes: vec![first.clone()], ..WriteQuery::default() };
        let answer = self.submit(again);
        expect("write of what is there", matches!(answer, Err(WriteError::AlreadyExists { .. })), &answer)?;
        let again = WriteQuery { writes, on_duplicate: OnDuplicate::Ignore, ..WriteQuery::default() };
        let answer = self.submit(again);
        expect("ignored write of what is there", answer.is_ok(), &answer)?;
        let Some(guarded) = tuples.iter().find(|t| t.condition.is_some()) else { return Ok(()) };
        let mut other = guarded.clone();
        other.condition.iter_mut().for_each(|c| {
            c.context.insert("x".into(), 4.into());
        });
        let other = WriteQuery { writes: vec![other], on_duplicate: OnDuplicate::Ignore, ..WriteQuery::default() };
        let answer = self.submit(other);
        expect("another context", matches!(answer, Err(WriteError::ConditionDiffers { .. })), &answer)
    }

    /// Deletes tuples that are there, together with one that is not.
    pub(crate) fn delete(&mut self, tuples: &[Tuple]) -> Result<(), String> {
        let Some(first) = tuples.first() else { return Ok(()) };
        let mut deletes = tuples.to_vec();
        let mut stranger = first.clone();
        stranger.object.id = "no-such-object".into();
        deletes.push(stranger);
        let answer = self.submit(WriteQuery { deletes: deletes.clone(), ..WriteQuery::default() });
        expect("delete with one that is not there", matches!(answer, Err(WriteError::DoesNotExist { .. })), &answer)?;
        let answer = self.submit(WriteQuery { deletes, on_missing: OnMissing::Ignore, ..WriteQuery::default() });
        expect("delete", answer.is_ok(), &answer)?;
        self.tuples.retain(|t| !tuples.iter().any(|gone| gone.key() == t.key()));
        self.changes.extend(tuples.iter().map(|t| (Tuple { condition: None, ..t.clone() }, true)));
        Ok(())
    }

    /// Compares Read, ReadChanges and Expand with the list.
    pub(crate) fn compare(&self, view: &View, model: &Model, given: &[Tuple]) -> Result<(), String> {
        for page_size in [1, 5, 100] {
            let query = ReadQuery { page_size, ..ReadQuery::default() };
            self.pages("all", query, |_| true)?;
        }
        for one in self.tuples.iter().step_by(3) {
            let object_type = Some(one.object.object_type.as_str());
            let query = ReadQuery { object_type, page_size: 2, ..ReadQuery::default() };
            let of_type = |t: &Tuple| t.object.object_type == one.object.object_type;
            let subject = Some(one.subject.as_ref());
            self.pages("type and user", ReadQuery { subject, ..query }, |t| of_type(t) && t.subject == one.subject)?;
            let query = ReadQuery { object_id: Some(&one.object.id), ..query };
            self.pages("object", query, |t| t.object == one.object)?;
            let query = ReadQuery { relation: Some(&one.relation), ..query };
            self.pages("object and relation", query, |t| t.object == one.object && t.relation == one.relation)?;
            self.pages("tuple", ReadQuery { subject, ..query }, |t| t.key() == one.key())?;
        }
        self.changes()?;
        self.expansions(view, model, given)
    }

    fn pages(&self, what: &str, mut query: ReadQuery<'_>, wanted: impl Fn(&Tuple) -> bool) -> Result<(), String> {
        let expected: Vec<&Tuple> = self.tuples.iter().filter(|t| wanted(t)).collect();
        let mut read = Vec::new();
        for _ in 0..=expected.len() {
            let page = self.engine.read(self.store, &query).map_err(|e| e.to_string())?.value;
            expect("a page is too large", page.tuples.len() <= query.page_size, &page)?;
            read.extend(page.tuples.into_iter().map(|t| t.tuple));
            match page.next {
                Some(next) => query.after = Some(next),
                None => {
                    let same = read.iter().eq(expected.iter().copied());
                    return expect(&format!("read {what}: expected {expected:?}"), same, &read);
                }
            }
        }
        Err(format!("read {what}: more pages than tuples"))
    }

    /// Within one write the deletes come first; the list was kept so.
    fn changes(&self) -> Result<(), String> {
        let mut query = ReadChangesQuery { page_size: 3, ..ReadChangesQuery::default() };
        let mut read = Vec::new();
        for _ in 0..=self.changes.len() {
            let page = self.engine.read_changes(self.store, &query).map_err(|e| e.to_string())?.value;
            let Some(last) = page.last() else { break };
            query.after = Some(last.position);
            read.extend(page.into_iter().map(|c| (c.tuple, c.deleted)));
        }
        expect(&format!("changes: expected {:?}", self.changes), read == self.changes, &read)
    }

    fn expansions(&self, view: &View, model: &Model, given: &[Tuple]) -> Result<(), String> {
        let all: Vec<&Tuple> = self.tuples.iter().chain(given).filter(|t| view.allows(t).is_ok()).collect();
        for tuple in self.tuples.iter().step_by(4) {
            for relation in model.object_type(&tuple.object.object_type).iter().flat_map(|t| &t.relations) {
                let query = ExpandQuery {
                    object: tuple.object.as_ref(),
                    relation: &relation.name,
                    given: Given { contextual_tuples: given, context: None },
                };
                let found = view.expand(&query).map_err(|e| e.to_string())?;
                let expected = expand(model, &all, &tuple.object, &relation.name, &relation.rewrite);
                let what = format!("expand {}#{}: expected {expected:?}", tuple.object, relation.name);
                expect(&what, found == expected, &found)?;
            }
        }
        Ok(())
    }
}

/// The subjects that tuples name, sorted as text, each once.
fn subjects(all: &[&Tuple], object: &Object, relation: &str) -> Vec<Subject> {
    let named = all.iter().filter(|t| t.object == *object && t.relation == relation);
    let mut subjects: Vec<Subject> = named.map(|t| t.subject.clone()).collect();
    subjects.sort_by_key(ToString::to_string);
    subjects.dedup();
    subjects
}

fn expand(model: &Model, all: &[&Tuple], object: &Object, relation: &str, rule: &Rewrite) -> ExpandNode {
    let part = |rule: &Rewrite| expand(model, all, object, relation, rule);
    match rule {
        Rewrite::This => ExpandNode::Users(subjects(all, object, relation)),
        Rewrite::ComputedUserset { relation } => ExpandNode::Computed(format!("{object}#{relation}")),
        Rewrite::TupleToUserset { tupleset, relation } => {
            let parents = subjects(all, object, tupleset).into_iter();
            let has = |p: &Subject| {
                model.object_type(p.as_ref().object_type()).is_some_and(|t| t.relation(relation).is_some())
            };
            let computed = parents.filter(has).map(|p| format!("{p}#{relation}")).collect();
            ExpandNode::TupleToUserset { tupleset: format!("{object}#{tupleset}"), computed }
        }
        Rewrite::Union(parts) => ExpandNode::Union(parts.iter().map(part).collect()),
        Rewrite::Intersection(parts) => ExpandNode::Intersection(parts.iter().map(part).collect()),
        Rewrite::Exclusion { base, subtract } => ExpandNode::Difference(Box::new(part(base)), Box::new(part(subtract))),
    }
}
