//! Search equals brute force over the oracle's visible set, on random worlds with sections, conditions, agents, contextual
//! tuples and payload filters, while tuples and chunks come and go: so sets that are kept between searches are exact, at the
//! newest revision and at older ones. `BAILIWICK_SEARCH_WORLDS` sets how many, `BAILIWICK_SEED` which.

use crate::agree::number;
use crate::oracle::{Oracle, Value};
use crate::world::{RELATIONS, World, decide, world};
use bailiwick::Bailiwick;
use bailiwick::engine::*;
use bailiwick::tuple::*;
use bailiwick::vector::{Effort, Element, Filter, Metric, Payload, Space};
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};

const NOW: Timestamp = Timestamp(1);
const DIMENSION: usize = 4;
const STEPS: u64 = 16;
/// The most of a search: more than there are chunks.
const ALL: usize = 1_000;

/// Questions whose answer was another when they were asked before.
static CHANGED: AtomicU64 = AtomicU64::new(0);

/// Sets that were kept when a world ended.
static KEPT: AtomicU64 = AtomicU64::new(0);

/// Pseudo-random choices of one world.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }

    /// Small whole numbers, whose products are exact.
    fn vector(&mut self) -> Vec<f32> {
        (0..DIMENSION).map(|_| f32::from(i8::try_from(self.roll(9)).unwrap() - 4)).collect()
    }
}

#[derive(Clone)]
struct Known {
    object: Object,
    vector: Vec<f32>,
    n: u64,
}

/// What is stored at a revision.
#[derive(Clone)]
struct Moment {
    revision: Revision,
    tuples: Vec<Tuple>,
    chunks: BTreeMap<String, Known>,
}

struct Case<'a> {
    engine: &'a Bailiwick,
    world: &'a World,
    store: StoreId,
    object_type: &'a str,
    relation: &'static str,
    dice: Dice,
    now: Moment,
    /// Who asked, and what they could see.
    seen: Vec<(String, bool, BTreeSet<String>)>,
}

impl Case<'_> {
    fn step(&mut self) {
        let mut query = ChunksQuery::default();
        for _ in 0..1 + self.dice.roll(4) {
            let doomed =
                self.world.stored.get(usize::try_from(self.dice.roll(self.world.stored.len().max(1) as u64)).unwrap());
            let Some(tuple) = doomed else { continue };
            let changed = query.tuples.deletes.iter().chain(&query.tuples.writes).any(|t| t.key() == tuple.key());
            // What the newest model does not admit can only go.
            if changed {
                continue;
            }
            if let Some(at) = self.now.tuples.iter().position(|t| t.key() == tuple.key()) {
                query.tuples.deletes.push(self.now.tuples.remove(at));
            } else if self.engine.view(self.store, None, Consistency::Latest).unwrap().allows(tuple).is_ok() {
                query.tuples.writes.push(tuple.clone());
                self.now.tuples.push(tuple.clone());
            }
        }
        for _ in 0..self.dice.roll(4) {
            let id = format!("c{}", self.dice.roll(30));
            let object = Object { object_type: self.object_type.to_owned(), id: self.dice.roll(5).to_string() };
            let (vector, n) = (self.dice.vector(), self.dice.roll(3));
            if query.upserts.iter().any(|chunk| chunk.id == id) {
                continue;
            }
            let payload = Some(Payload::parse(&format!("{{\"n\":{n}}}")).unwrap());
            query.upserts.push(NewChunk {
                id: id.clone(),
                object: object.clone(),
                vector: vector.clone(),
                text: None,
                payload,
            });
            self.now.chunks.insert(id, Known { object, vector, n });
        }
        if self.dice.roll(4) == 0 {
            let gone = Object { object_type: self.object_type.to_owned(), id: self.dice.roll(5).to_string() };
            let written: Vec<&str> = query.upserts.iter().map(|chunk| chunk.id.as_str()).collect();
            self.now.chunks.retain(|id, chunk| chunk.object != gone || written.contains(&id.as_str()));
            query.delete_objects.push(gone);
        }
        if self.dice.roll(12) == 0 {
            self.again(&mut query);
        }
        self.now.revision = self.engine.write_chunks(self.store, "c", query, NOW).unwrap().revision;
    }

    /// The collection ends, tuples change while there is none, and one of the same name begins.
    fn again(&mut self, query: &mut ChunksQuery) {
        let tuples = std::mem::take(&mut query.tuples);
        let written: Vec<&str> = query.upserts.iter().map(|chunk| chunk.id.as_str()).collect();
        self.engine.delete_collection(self.store, "c").unwrap();
        self.engine.write(self.store, None, tuples, NOW).unwrap();
        create(self.engine, self.store, self.object_type);
        self.now.chunks.retain(|id, _| written.contains(&id.as_str()));
    }

    /// Compares searches of one subject, and perhaps an agent, at a moment.
    fn ask(&mut self, moment: &Moment, subject: &Subject, agent: Option<&Subject>, given: bool) -> Result<(), String> {
        let contextual: &[Tuple] = if given { &self.world.contextual } else { &[] };
        let context = if given { self.world.context.clone() } else { Context::new() };
        let deciding = |condition: &TupleCondition| decide(&context, condition);
        let oracle = Oracle::new(&self.world.newest, moment.tuples.iter().chain(contextual), &deciding);
        let relation = self.relation;
        let (mut visible, mut doubtful) = (None::<BTreeSet<String>>, false);
        for who in std::iter::once(subject).chain(agent) {
            let answers = oracle.answers(who);
            let [expected, faults] = oracle.list_objects(&answers, self.object_type, relation);
            doubtful |= !faults.is_empty();
            visible = Some(visible.map_or(expected.clone(), |seen| seen.intersection(&expected).cloned().collect()));
        }
        let visible = visible.unwrap_or_default();
        self.seen.push((format!("{subject}{agent:?}"), given, visible.clone()));
        let filter = (self.dice.roll(2) == 0).then(|| Filter::parse(r#"{"not":{"field":"n","equal":1}}"#).unwrap());
        let vectors = [self.dice.vector(), self.dice.vector()];
        let query = |k| SearchQuery {
            collection: "c",
            subject: subject.as_ref(),
            agent: agent.map(Subject::as_ref),
            vectors: &vectors,
            k,
            relation: Some(relation),
            filter: filter.as_ref(),
            effort: Effort::Exact,
            given: Given { contextual_tuples: contextual, context: Some(&context) },
            with: With::default(),
        };
        let limits = Limits { depth_max: 1000, ..Limits::default() };
        let exactly = Consistency::Exact(moment.revision);
        let what = format!("{subject} agent {agent:?} {relation} given {given} at {}", moment.revision.0);
        let all = match self.engine.search(self.store, None, exactly, &query(ALL), &limits) {
            Ok(all) => all.value,
            // An evaluation of sets may meet a condition that Check decides without: an error, never a guess.
            Err(QuestionError::Condition { .. }) if doubtful || lacking(&context) => return Ok(()),
            Err(error) => return Err(format!("{what}: {error}")),
        };
        let few = self.engine.search(self.store, None, exactly, &query(3), &limits).unwrap().value;
        for ((vector, all), few) in vectors.iter().zip(&all).zip(&few) {
            let admitted = moment
                .chunks
                .iter()
                .filter(|(_, chunk)| visible.contains(&chunk.object.id) && (filter.is_none() || chunk.n != 1));
            let score = |chunk: &Known| chunk.vector.iter().zip(vector).map(|(a, b)| a * b).sum::<f32>();
            let expected: BTreeMap<&str, f32> = admitted.map(|(id, chunk)| (id.as_str(), score(chunk))).collect();
            let found: BTreeMap<&str, f32> = all.hits.iter().map(|hit| (hit.chunk.id.as_str(), hit.score)).collect();
            if found != expected || all.hits.len() != expected.len() || all.visible != expected.len() {
                return Err(format!("{what}: expected {expected:?}, found {found:?}"));
            }
            if !all.hits.is_sorted_by(|a, b| a.score >= b.score) || few.hits[..] != all.hits[..expected.len().min(3)] {
                return Err(format!("{what}: not the nearest first: {:?}", few.hits));
            }
        }
        Ok(())
    }
}

/// Whether some condition could fail under this context.
fn lacking(context: &Context) -> bool {
    let probe = |name: &str| TupleCondition { name: name.into(), context: Context::new() };
    ["small", "near"].iter().any(|name| decide(context, &probe(name)) == Value::Fault)
}

/// The relation that most is seen by, and three who see most by it.
fn questions(world: &World, object_type: &str) -> (&'static str, Vec<Subject>) {
    let context = Context::new();
    let deciding = |condition: &TupleCondition| decide(&context, condition);
    let oracle = Oracle::new(&world.newest, world.stored.iter(), &deciding);
    let mut seen: Vec<(usize, &str, Subject)> = Vec::new();
    for subject in world.subjects() {
        let answers = oracle.answers(&subject);
        let count = |relation| oracle.list_objects(&answers, object_type, relation)[0].len();
        seen.extend(RELATIONS.iter().map(|relation| (count(relation), *relation, subject.clone())));
    }
    seen.sort_by_key(|(count, ..)| std::cmp::Reverse(*count));
    let relation = seen[0].1;
    (relation, seen.into_iter().filter(|(_, r, _)| *r == relation).take(3).map(|(.., subject)| subject).collect())
}

fn create(engine: &Bailiwick, store: StoreId, object_type: &str) {
    let guard = Guard { object_type: object_type.into(), relation: RELATIONS[0].into() };
    let space = Space::new(DIMENSION, Metric::Dot, Element::F32).unwrap();
    engine.create_collection(store, CollectionSpec { name: "c".into(), space, guard }, NOW).unwrap();
}

fn compare(engine: &Bailiwick, world: &World, number: u64) -> Result<(), String> {
    let store = StoreId(ulid::Ulid::from_parts(7, u128::from(number)));
    engine.create_store(store, "world", NOW).unwrap();
    engine.write_model(store, ModelId(ulid::Ulid::from_parts(8, u128::from(number))), world.model.clone()).unwrap();
    for chunk in world.stored.chunks(50) {
        let query = WriteQuery { writes: chunk.to_vec(), ..WriteQuery::default() };
        engine.write(store, None, query, NOW).unwrap();
    }
    engine.write_model(store, ModelId(ulid::Ulid::from_parts(9, u128::from(number))), world.newest.clone()).unwrap();
    let mut dice = Dice(number);
    let object_type = ["section", "document"][usize::try_from(dice.roll(2)).unwrap()];
    create(engine, store, object_type);
    let now = Moment { revision: engine.revision(), tuples: world.stored.clone(), chunks: BTreeMap::new() };
    // Few questions that find something, asked again and again: sets are kept and must follow what is written.
    let (relation, subjects) = questions(world, object_type);
    let mut case = Case { engine, world, store, object_type, relation, dice, now, seen: Vec::new() };
    let mut moments: Vec<Moment> = Vec::new();
    for _ in 0..STEPS {
        case.step();
        moments.push(case.now.clone());
        for _ in 0..6 {
            let pick = |dice: &mut Dice| &subjects[usize::try_from(dice.roll(subjects.len() as u64)).unwrap()];
            let (subject, other) = (pick(&mut case.dice), pick(&mut case.dice));
            let agent = (case.dice.roll(3) == 0).then_some(other);
            let given = case.dice.roll(4) == 0;
            // Mostly the newest, sometimes one before it.
            let back = usize::try_from(case.dice.roll(3) * case.dice.roll(2)).unwrap().min(moments.len() - 1);
            let moment = moments[moments.len() - 1 - back].clone();
            case.ask(&moment, subject, agent, given)?;
        }
    }
    let mut last = BTreeMap::new();
    for (who, given, visible) in case.seen.iter().filter(|(_, given, _)| !given) {
        if last.insert(who, visible).is_some_and(|before| before != visible) {
            CHANGED.fetch_add(1, Ordering::Relaxed);
        }
        let _ = given;
    }
    KEPT.fetch_add(engine.stats().search_sets as u64, Ordering::Relaxed);
    engine.delete_store(store, NOW).unwrap();
    Ok(())
}

#[test]
fn search_is_brute_force_over_what_the_oracle_allows() {
    let (worlds, seed) = (number("BAILIWICK_SEARCH_WORLDS", 150), number("BAILIWICK_SEED", 1));
    let directory = tempfile::tempdir().unwrap();
    let settings = Settings { sync: false, snapshots_retained: 16, plans_max: 64, ..Settings::default() };
    let engine = Bailiwick::open_with(directory.path(), settings).unwrap();
    let mut bytes = [11; 32];
    bytes[..8].copy_from_slice(&seed.to_be_bytes());
    let config = Config {
        cases: u32::try_from(worlds).unwrap(),
        failure_persistence: None,
        max_shrink_iters: 1000,
        max_global_rejects: 100_000,
        ..Config::default()
    };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let next = std::cell::Cell::new(seed << 32);
    let outcome = runner.run(&world(), |raw| {
        let Some(world) = raw.build() else { return Err(TestCaseError::reject("the model is not valid")) };
        next.set(next.get() + 1);
        compare(&engine, &world, next.get()).map_err(|fault| TestCaseError::fail(format!("{fault}\n\n{world}")))
    });
    assert!(outcome.is_ok(), "BAILIWICK_SEED={seed}: {}", outcome.unwrap_err());
    let (changed, kept) = (CHANGED.load(Ordering::Relaxed), KEPT.load(Ordering::Relaxed));
    eprintln!("search: {changed} questions were answered otherwise than before, {kept} sets were kept");
    assert!(changed > worlds && kept > worlds / 4, "too little was kept or changed");
}
