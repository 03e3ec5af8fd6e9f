//! ReadChanges: the changes of a store's tuples, in the order they were made.

use super::Engine;
use super::entry::Entry;
use super::log;
use super::state::{StoreEntry, value_position};
use super::types::{At, Change, Position, QuestionError, ReadChangesQuery};
use crate::storage::{Key, Reading, StorageError, Table};
use crate::tuple::{Revision, StoreId, Timestamp};

impl Engine {
    /// Reads changes in the order they were made.
    ///
    /// A page reads the revisions that have changes for it and no others, so its work does not grow with the log.
    ///
    /// # Errors
    /// Changes behind `query.after` were trimmed from the log.
    pub fn read_changes(&self, store: StoreId, query: &ReadChangesQuery<'_>) -> Result<At<Vec<Change>>, QuestionError> {
        let (reading, snapshot) = self.reading()?;
        let mut changes = Vec::new();
        if let Some(entry) = snapshot.store(store) {
            let gone = reading.get(&Key::of(Table::LogByStore).u32(entry.number).u64(0));
            let gone = match gone.map_err(|_| QuestionError::Storage)? {
                Some(value) => Some(value_position(&value).ok_or(QuestionError::Storage)?),
                None => None,
            };
            if query.after.is_some_and(|after| gone.is_some_and(|gone| after < gone)) {
                return Err(QuestionError::PositionGone);
            }
            collect_changes(&reading, entry, query, &mut changes).map_err(|_| QuestionError::Storage)?;
        }
        changes.truncate(query.page_size);
        Ok(At { revision: snapshot.revision, value: changes })
    }
}

fn collect_changes(
    reading: &Reading<'_>,
    entry: &StoreEntry,
    query: &ReadChangesQuery<'_>,
    changes: &mut Vec<Change>,
) -> Result<(), StorageError> {
    let prefix = match query.object_type {
        None => Key::of(Table::LogByStore).u32(entry.number),
        Some(t) => match entry.index.type_ix(t) {
            Some(t) => Key::of(Table::LogByType).u32(entry.number).u16(t.0),
            None => return Ok(()),
        },
    };
    let from = prefix.clone().u64(query.after.map_or(1, |p| p.revision.0.max(1)));
    reading.scan(&prefix, Some(&from), |mut key, _| {
        let revision = Revision(key.u64().ok_or(StorageError)?);
        let row = reading.get(&Key::of(Table::Log).u64(revision.0))?.ok_or(StorageError)?;
        let header = log::header(&row).ok_or(StorageError)?;
        if query.after.is_none() && query.start_time.is_some_and(|start| Timestamp(header.at) < start) {
            return Ok(true); // all of it is too old
        }
        let (mut index, mut more) = (0, true);
        for change in log::decode(&row).ok_or(StorageError)? {
            more = collect(change, entry.number, revision, &mut index, query, changes);
            if !more {
                break;
            }
        }
        Ok(more && changes.len() < query.page_size)
    })
}

/// Adds the changes of an entry that the query wants. False when one is newer than the query allows: what follows must
/// wait for it.
fn collect(
    entry: Entry,
    store: u32,
    revision: Revision,
    index: &mut u32,
    query: &ReadChangesQuery<'_>,
    changes: &mut Vec<Change>,
) -> bool {
    let Entry::Tuples { store: of, at, deletes, writes } = entry else { return true };
    let at = Timestamp(at);
    if of == store && query.until.is_some_and(|until| at > until) {
        return false;
    }
    for (tuple, deleted) in deletes.into_iter().map(|t| (t, true)).chain(writes.into_iter().map(|t| (t, false))) {
        let position = Position { revision, index: *index };
        *index += 1;
        let early = query.after.is_none() && query.start_time.is_some_and(|start| at < start);
        if of == store
            && !early
            && query.after.is_none_or(|after| position > after)
            && query.object_type.is_none_or(|t| t == tuple.object.object_type)
        {
            changes.push(Change { tuple, deleted, at, position });
        }
    }
    true
}
