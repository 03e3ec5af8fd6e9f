//! Read and ReadChanges: stored tuples, and the changes that made them. The only questions that page through RocksDB.

use super::Engine;
use super::entry::Entry;
use super::state::{Snapshot, StoreEntry, TupleRow};
use super::types::{At, Change, Position, QuestionError, ReadChangesQuery, ReadPage, ReadQuery, StoredTuple};
use crate::index::SubjectPart;
use crate::storage::{Fields, Key, Reading, StorageError, Table};
use crate::tuple::{Object, Ordinal, Revision, StoreId, Subject, SubjectRef, Timestamp, Tuple, TupleCondition};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a Read's filter means in ordinals.
struct Filter<'a> {
    query: &'a ReadQuery<'a>,
    object: Option<Ordinal>,
}

impl Engine {
    /// Reads stored tuples in the order they were written, whatever the model says of them.
    ///
    /// A store that does not exist has no tuples.
    pub fn read(&self, store: StoreId, query: &ReadQuery<'_>) -> Result<At<ReadPage>, QuestionError> {
        let (reading, snapshot) = self.reading()?;
        let mut page = ReadPage { tuples: Vec::new(), next: None };
        if let Some(entry) = snapshot.store(store) {
            let rows = rows(entry, &reading, query).map_err(|_| QuestionError::Storage)?;
            for row in rows.iter().take(query.page_size) {
                page.tuples.push(stored(entry, row).ok_or(QuestionError::Storage)?);
            }
            if rows.len() > query.page_size {
                page.next = rows.get(query.page_size.saturating_sub(1)).map(|r| r.position);
            }
        }
        Ok(At { revision: snapshot.revision, value: page })
    }

    /// Reads changes in the order they were made.
    pub fn read_changes(&self, store: StoreId, query: &ReadChangesQuery<'_>) -> Result<At<Vec<Change>>, QuestionError> {
        let (reading, snapshot) = self.reading()?;
        let mut changes = Vec::new();
        if let Some(entry) = snapshot.store(store) {
            let prefix = Key::of(Table::LogByStore).u32(entry.number);
            let from = prefix.clone().u64(query.after.map_or(0, |p| p.revision.0));
            let scanned = reading.scan(&prefix, Some(&from), |mut key, _| {
                let revision = Revision(key.u64().ok_or(StorageError)?);
                let log = reading.get(&Key::of(Table::Log).u64(revision.0))?.ok_or(StorageError)?;
                let entries: Vec<Entry> = serde_json::from_slice(&log).map_err(|_| StorageError)?;
                let mut index = 0;
                for change in entries {
                    collect(&change, entry.number, revision, &mut index, query, &mut changes).ok_or(StorageError)?;
                }
                Ok(changes.len() < query.page_size)
            });
            scanned.map_err(|_| QuestionError::Storage)?;
        }
        changes.truncate(query.page_size);
        Ok(At { revision: snapshot.revision, value: changes })
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

/// The rows of a page and one more, in the order they were written.
fn rows(entry: &StoreEntry, reading: &Reading<'_>, query: &ReadQuery<'_>) -> Result<Vec<TupleRow>, StorageError> {
    let wanted = query.page_size.saturating_add(1);
    let store = Key::of(Table::BySequence).u32(entry.number);
    let Some(object_type) = query.object_type else {
        let filter = Filter { query, object: None };
        let from = query.after.map(|p| store.clone().u64(p.revision.0).u32(p.index.saturating_add(1)));
        let mut rows = Vec::new();
        reading.scan(&store, from.as_ref(), |key, value| {
            let row = TupleRow::by_sequence(key, value).ok_or(StorageError)?;
            if filter.admits(entry, &row) {
                rows.push(row);
            }
            Ok(rows.len() < wanted)
        })?;
        return Ok(rows);
    };
    let Some(t) = entry.index.type_ix(object_type) else { return Ok(Vec::new()) };
    let mut prefix = Key::of(Table::ByObject).u32(entry.number).u16(t.0);
    let skip = Key::of(Table::ByObject).u32(entry.number).bytes().len();
    let mut filter = Filter { query, object: None };
    if let Some(id) = query.object_id {
        let Some(object) = entry.index.ordinal(t, id) else { return Ok(Vec::new()) };
        filter.object = Some(object);
        prefix = prefix.u32(object.0);
    }
    let head = prefix.bytes().get(skip..).unwrap_or_default().to_vec();
    // The nearest positions behind the token, never more than a page of them.
    let mut nearest: BTreeMap<Position, TupleRow> = BTreeMap::new();
    reading.scan(&prefix, None, |key, value| {
        let key = [&head, key.0].concat();
        let row = TupleRow::by_object(Fields(&key), value).ok_or(StorageError)?;
        if query.after.is_none_or(|after| row.position > after) && filter.admits(entry, &row) {
            nearest.insert(row.position, row);
            if nearest.len() > wanted {
                nearest.pop_last();
            }
        }
        Ok(true)
    })?;
    Ok(nearest.into_values().collect())
}

impl Filter<'_> {
    fn admits(&self, entry: &StoreEntry, row: &TupleRow) -> bool {
        let key = entry.index.column_key(row.column);
        if self.object.is_some_and(|o| o != row.object) {
            return false;
        }
        if self.query.relation.is_some_and(|r| entry.index.relation_name(key.relation) != r) {
            return false;
        }
        let Some(subject) = self.query.subject else { return true };
        if entry.index.type_name(key.subject_type) != subject.object_type() {
            return false;
        }
        let id = || entry.index.name(key.subject_type, row.subject);
        match (subject, key.part) {
            (SubjectRef::Object(o), SubjectPart::Object) => o.id.is_empty() || id() == Some(o.id),
            (SubjectRef::Wildcard { .. }, SubjectPart::Wildcard) => true,
            (SubjectRef::Userset { object, relation }, SubjectPart::Userset(r)) => {
                entry.index.relation_name(r) == relation && id() == Some(object.id)
            }
            (SubjectRef::Object(_) | SubjectRef::Wildcard { .. } | SubjectRef::Userset { .. }, _) => false,
        }
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

/// Adds the changes of an entry that the query wants. `None`: damage.
fn collect(
    entry: &Entry,
    store: u32,
    revision: Revision,
    index: &mut u32,
    query: &ReadChangesQuery<'_>,
    changes: &mut Vec<Change>,
) -> Option<()> {
    let Entry::Tuples { store: of, at, deletes, writes } = entry else { return Some(()) };
    for (row, deleted) in deletes.iter().map(|r| (r, true)).chain(writes.iter().map(|r| (r, false))) {
        let position = Position { revision, index: *index };
        *index += 1;
        let early = query.after.is_none() && query.start_time.is_some_and(|start| Timestamp(*at) < start);
        if *of != store || early || query.after.is_some_and(|after| position <= after) {
            continue;
        }
        let tuple = row.tuple()?;
        if query.object_type.is_none_or(|t| t == tuple.object.object_type) {
            changes.push(Change { tuple, deleted, at: Timestamp(*at), position });
        }
    }
    Some(())
}
