//! Read: stored tuples, as they are. The index finds them; RocksDB knows when they were written.

use super::Engine;
use super::state::{Snapshot, StoreEntry, TupleRow};
use super::types::{At, Position, QuestionError, ReadPage, ReadQuery, StoredTuple};
use crate::index::{ColumnIx, ColumnKey, SubjectPart, TypeIx};
use crate::storage::{Fields, Key, Reading, StorageError, Table};
use crate::tuple::{Object, Ordinal, Revision, StoreId, Subject, SubjectRef, Tuple, TupleCondition};
use std::sync::Arc;

/// Pages of a named object or subject keep the order of writing up to so many tuples; of more, they come in the order of
/// keys, so that a page never sorts them all.
const SORTED_MAX: usize = 2_000;
/// Rows that a page looks at when neither is named. A page may be short, even empty, and yet have a next one.
const SCANNED_MAX: usize = 20_000;
/// Set in the revision of a position that is a place in the order of keys.
const BY_KEY: u64 = 1 << 63;

struct Filter<'a> {
    query: &'a ReadQuery<'a>,
}

impl Engine {
    /// Reads stored tuples, whatever the model says of them. A store that does not exist has no tuples.
    ///
    /// They come in the order they were written, except that more than two thousand tuples of one object or subject, and
    /// all of a type, come in the order of keys: no page sorts or looks at more than a bounded number of rows. A page that
    /// has a `next` is not the last one, however short it is.
    pub fn read(&self, store: StoreId, query: &ReadQuery<'_>) -> Result<At<ReadPage>, QuestionError> {
        let (reading, snapshot) = self.reading()?;
        let mut page = ReadPage { tuples: Vec::new(), next: None };
        if let Some(entry) = snapshot.store(store) {
            let rows = rows(entry, &reading, query).map_err(|_| QuestionError::Storage)?;
            for row in &rows.list {
                page.tuples.push(stored(entry, row).ok_or(QuestionError::Storage)?);
            }
            page.next = rows.next;
        }
        Ok(At { revision: snapshot.revision, value: page })
    }

    /// Pins what is on disk together with the published state that can name it.
    pub(super) fn reading(&self) -> Result<(Reading<'_>, Arc<Snapshot>), QuestionError> {
        loop {
            let before = self.inner.snapshot.load_full();
            let reading = self.inner.storage.reading();
            let head = reading.get(&Key::of(Table::Meta).u16(1)).map_err(|_| QuestionError::Storage)?;
            let head = head.map_or(Some(0), |bytes| Fields(&bytes).u64()).ok_or(QuestionError::Storage)?;
            if head == before.revision.0 {
                return Ok((reading, before));
            }
            std::thread::yield_now(); // the writer is between its commit and its publication
        }
    }
}

/// A page of rows and where to go on.
#[derive(Default)]
struct Rows {
    list: Vec<TupleRow>,
    next: Option<Position>,
}

/// A column that can hold what is wanted, and the one object or subject in it whose tuples are.
struct Candidate {
    column: ColumnIx,
    object: Option<Ordinal>,
    subject: Option<Ordinal>,
}

/// A tuple of the index, and its place in the order of the keys: column, without or with condition, ordinal.
type Placed = (Position, ColumnIx, Ordinal, Ordinal);

fn rows(entry: &StoreEntry, reading: &Reading<'_>, query: &ReadQuery<'_>) -> Result<Rows, StorageError> {
    if query.page_size == 0 {
        return Ok(Rows::default());
    }
    let Some(object_type) = query.object_type else { return in_sequence(entry, reading, query) };
    let Some(t) = entry.index.type_ix(object_type) else { return Ok(Rows::default()) };
    let named = query.subject.is_some_and(|s| !matches!(s, SubjectRef::Object(o) if o.id.is_empty()));
    if query.object_id.is_none() && !named {
        return of_type(entry, reading, query, t);
    }
    let candidates = candidates(entry, query, t);
    let count: usize = candidates.iter().map(|c| c.len(entry)).sum();
    let by_key = query.after.is_some_and(|after| after.revision.0 & BY_KEY != 0) || count > SORTED_MAX;
    let after = query.after.filter(|_| by_key);
    let mut found = Vec::new();
    for candidate in &candidates {
        candidate.each(entry, &mut |placed: Placed| {
            if after.is_none_or(|after| placed.0 > after) {
                found.push(placed);
            }
            !by_key || found.len() <= query.page_size
        });
    }
    let mut next = None;
    if by_key && found.len() > query.page_size {
        found.truncate(query.page_size);
        next = found.last().map(|(place, ..)| *place);
    }
    let mut list = Vec::with_capacity(found.len());
    for (_, column, object, subject) in found {
        let row = TupleRow::key_only(t, object, column, subject);
        let value = reading.get(&row.object_key(entry.number))?.ok_or(StorageError)?;
        list.push(row.with_value(&value).ok_or(StorageError)?);
    }
    if !by_key {
        list.retain(|row| query.after.is_none_or(|after| row.position > after));
        list.sort_unstable_by_key(|row| row.position);
        if list.len() > query.page_size {
            list.truncate(query.page_size);
            next = list.last().map(|row| row.position);
        }
    }
    Ok(Rows { list, next })
}

/// All of a store, in the order of writing.
fn in_sequence(entry: &StoreEntry, reading: &Reading<'_>, query: &ReadQuery<'_>) -> Result<Rows, StorageError> {
    let store = Key::of(Table::BySequence).u32(entry.number);
    let from = query.after.map(|p| store.clone().u64(p.revision.0).u32(p.index.saturating_add(1)));
    let filter = Filter { query };
    let (mut rows, mut seen, mut last) = (Rows::default(), 0, None);
    reading.scan(&store, from.as_ref(), |key, value| {
        if rows.list.len() == query.page_size || seen == SCANNED_MAX {
            rows.next = last;
            return Ok(false);
        }
        let row = TupleRow::by_sequence(key, value).ok_or(StorageError)?;
        (seen, last) = (seen + 1, Some(row.position));
        if filter.admits(entry, &row) {
            rows.list.push(row);
        }
        Ok(true)
    })?;
    Ok(rows)
}

/// All of a type, in the order of objects.
fn of_type(entry: &StoreEntry, reading: &Reading<'_>, query: &ReadQuery<'_>, t: TypeIx) -> Result<Rows, StorageError> {
    let prefix = Key::of(Table::ByObject).u32(entry.number).u16(t.0);
    let part = |n: u64| u32::try_from(n & 0xffff_ffff).unwrap_or(0);
    let from = query.after.map(|p| {
        let column = u16::try_from(p.revision.0 >> 32 & 0xffff).unwrap_or(0);
        prefix.clone().u32(part(p.revision.0)).u16(column).u32(p.index).tail(&[0]) // the next key there can be
    });
    let filter = Filter { query };
    let (mut rows, mut seen, mut last) = (Rows::default(), 0, None);
    reading.scan(&prefix, from.as_ref(), |key, value| {
        if rows.list.len() == query.page_size || seen == SCANNED_MAX {
            rows.next = last;
            return Ok(false);
        }
        let row = TupleRow::of_object_type(t, key, value).ok_or(StorageError)?;
        let place = BY_KEY | u64::from(row.column.0) << 32 | u64::from(row.object.0);
        (seen, last) = (seen + 1, Some(Position { revision: Revision(place), index: row.subject.0 }));
        if filter.admits(entry, &row) {
            rows.list.push(row);
        }
        Ok(true)
    })?;
    Ok(rows)
}

/// The columns that can hold what is wanted, when the object or the subject is named.
fn candidates(entry: &StoreEntry, query: &ReadQuery<'_>, t: TypeIx) -> Vec<Candidate> {
    let index = &entry.index;
    let object = query.object_id.map(|id| index.ordinal(t, id));
    let Some(object) = object.map_or(Some(None), |o| o.map(Some)) else { return Vec::new() };
    let filter = Filter { query };
    let mut found = Vec::new();
    for (column, key, _) in index.columns() {
        if key.object_type != t || !filter.admits_column(entry, &key) {
            continue;
        }
        let subject = match query.subject {
            None => None,
            Some(SubjectRef::Object(o)) if o.id.is_empty() => None,
            Some(SubjectRef::Wildcard { .. }) => Some(Ordinal(0)),
            Some(SubjectRef::Object(o) | SubjectRef::Userset { object: o, .. }) => {
                match index.ordinal(key.subject_type, o.id) {
                    Some(ordinal) => Some(ordinal),
                    None => continue,
                }
            }
        };
        found.push(Candidate { column, object, subject });
    }
    found
}

impl Candidate {
    /// How many tuples it stands for, at most.
    fn len(&self, entry: &StoreEntry) -> usize {
        let column = entry.index.column(self.column);
        match (self.object, self.subject) {
            (Some(_), Some(_)) => 1,
            (Some(object), None) => column.subjects(object).len() + column.conditional_subjects(object).len(),
            (None, Some(subject)) => column.objects(subject).len() + column.conditional_objects(subject).len(),
            (None, None) => 0,
        }
    }

    /// Its tuples, until `visit` says stop.
    fn each(&self, entry: &StoreEntry, visit: &mut dyn FnMut(Placed) -> bool) {
        let column = entry.index.column(self.column);
        let place = |conditional: bool, index: Ordinal| Position {
            revision: Revision(BY_KEY | u64::from(self.column.0) << 1 | u64::from(conditional)),
            index: index.0,
        };
        let (plain, conditional) = match (self.object, self.subject) {
            (Some(object), Some(subject)) => {
                if column.find(object, subject).is_some() {
                    visit((place(false, subject), self.column, object, subject));
                }
                return;
            }
            (Some(object), None) => (column.subjects(object), column.conditional_subjects(object)),
            (None, Some(subject)) => (column.objects(subject), column.conditional_objects(subject)),
            (None, None) => return,
        };
        let pair = |other: Ordinal| (self.object.unwrap_or(other), self.subject.unwrap_or(other));
        let plain = plain.iter().map(|other| (place(false, other), other));
        let mut all = plain.chain(conditional.iter().map(|(other, _)| (place(true, *other), *other)));
        all.all(|(place, other)| {
            let (object, subject) = pair(other);
            visit((place, self.column, object, subject))
        });
    }
}

impl Filter<'_> {
    fn admits(&self, entry: &StoreEntry, row: &TupleRow) -> bool {
        let key = entry.index.column_key(row.column);
        let id = || entry.index.name(key.subject_type, row.subject);
        self.admits_column(entry, &key)
            && match self.query.subject {
                None | Some(SubjectRef::Wildcard { .. }) => true,
                Some(SubjectRef::Object(o)) => o.id.is_empty() || id() == Some(o.id),
                Some(SubjectRef::Userset { object, .. }) => id() == Some(object.id),
            }
    }

    /// Whether the relation and the kind of subject are those wanted.
    fn admits_column(&self, entry: &StoreEntry, key: &ColumnKey) -> bool {
        if self.query.relation.is_some_and(|r| entry.index.relation_name(key.relation) != r) {
            return false;
        }
        let Some(subject) = self.query.subject else { return true };
        let kind = match (subject, key.part) {
            (SubjectRef::Object(_), SubjectPart::Object) | (SubjectRef::Wildcard { .. }, SubjectPart::Wildcard) => true,
            (SubjectRef::Userset { relation, .. }, SubjectPart::Userset(r)) => entry.index.relation_name(r) == relation,
            (SubjectRef::Object(_) | SubjectRef::Wildcard { .. } | SubjectRef::Userset { .. }, _) => false,
        };
        kind && entry.index.type_name(key.subject_type) == subject.object_type()
    }
}

/// A row in words; `None` when a name is missing: damage.
fn stored(entry: &StoreEntry, row: &TupleRow) -> Option<StoredTuple> {
    let index = &entry.index;
    let key = index.column_key(row.column);
    let object = Object {
        object_type: index.type_name(key.object_type).into(),
        id: index.name(key.object_type, row.object)?.into(),
    };
    let object_type: String = index.type_name(key.subject_type).into();
    let subject = match key.part {
        SubjectPart::Wildcard => Subject::Wildcard { object_type },
        SubjectPart::Object => {
            Subject::Object(Object { object_type, id: index.name(key.subject_type, row.subject)?.into() })
        }
        SubjectPart::Userset(r) => Subject::Userset {
            object: Object { object_type, id: index.name(key.subject_type, row.subject)?.into() },
            relation: index.relation_name(r).into(),
        },
    };
    let condition = row.class.map(|class| {
        let class = index.class(class);
        TupleCondition { name: class.condition.clone(), context: class.context.clone() }
    });
    let tuple = Tuple { object, relation: index.relation_name(key.relation).into(), subject, condition };
    Some(StoredTuple { tuple, written_at: row.at })
}
