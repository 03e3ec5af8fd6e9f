//! Reading the log back: what `verify` compares memory and tables with.

use super::entry::{Entry, RecordRow};
use super::log;
use super::state::{ApplyError, Sink, Snapshot};
use crate::storage::{Key, Reading, StorageError, Table};
use crate::tuple::{Revision, StoreId, Tuple};
use crate::vector::RowStore;
use hashbrown::HashMap;
use std::collections::BTreeMap;
use std::hash::BuildHasher;

/// The keys of module records and the hashes of their values; `None` when a record was removed.
pub(super) type RecordHashes = BTreeMap<Vec<u8>, Option<u64>>;

/// What a whole log gives.
pub(super) struct Replayed {
    pub(super) snapshot: Snapshot,
    pub(super) records: RecordHashes,
}

/// What the end of a log gives: the last change of all that it touches.
#[derive(Default)]
pub(super) struct Touched {
    pub(super) revision: Revision,
    /// By store and by the tuple's text; false when it was deleted.
    pub(super) tuples: HashMap<(u32, String), (Tuple, bool)>,
    pub(super) records: RecordHashes,
}

fn hash(value: &[u8]) -> u64 {
    foldhash::fast::FixedState::with_seed(2).hash_one(value)
}

fn touch(records: &mut RecordHashes, changes: &[RecordRow]) {
    for RecordRow(module, key, value) in changes {
        let key = super::records::prefix(module).tail(key).bytes().to_vec();
        records.insert(key, value.as_deref().map(hash));
    }
}

/// The module records on disk.
pub(super) fn record_hashes(reading: &Reading<'_>) -> Result<RecordHashes, StorageError> {
    let mut records = RecordHashes::new();
    reading.scan(&Key::of(Table::Records), None, |key, value| {
        records.insert([&[Table::Records as u8][..], key.0].concat(), Some(hash(value)));
        Ok(true)
    })?;
    Ok(records)
}

fn each(
    reading: &Reading<'_>,
    mut visit: impl FnMut(Revision, Entry) -> Result<(), ApplyError>,
) -> Result<(), ApplyError> {
    let mut fault = None;
    reading.scan(&Key::of(Table::Log), None, |mut key, value| {
        let revision = Revision(key.u64().ok_or(StorageError)?);
        for entry in log::decode(value).ok_or(StorageError)? {
            if let Err(error) = visit(revision, entry) {
                fault = Some(error);
                return Ok(false);
            }
        }
        Ok(true)
    })?;
    fault.map_or(Ok(()), Err)
}

/// Applies the whole log to an empty state, whose vectors are where `rows` has room for them.
///
/// # Errors
/// An entry that cannot be read, or does not fit the state before it.
pub(super) fn whole(reading: &Reading<'_>, rows: &RowStore) -> Result<Replayed, ApplyError> {
    let (mut snapshot, mut records) = (Snapshot::default(), RecordHashes::new());
    let mut numbers: HashMap<u32, StoreId> = HashMap::new();
    let mut index = 0;
    let mut sink = Sink::of_replay(rows);
    each(reading, |revision, entry| {
        if revision != snapshot.revision {
            (snapshot.revision, index) = (revision, 0);
        }
        if let Entry::Create { store, id, .. } = &entry {
            numbers.insert(*store, StoreId(ulid::Ulid(*id)));
        }
        if let Entry::Records { changes } = &entry {
            touch(&mut records, changes);
        }
        let id = entry.store().and_then(|store| numbers.get(&store)).copied();
        snapshot.apply(id, &entry, revision, &mut index, &mut sink)?;
        sink = Sink::of_replay(rows);
        Ok(())
    })?;
    records.retain(|_, value| value.is_some());
    Ok(Replayed { snapshot, records })
}

/// Reads a log whose beginning was trimmed.
///
/// # Errors
/// An entry that cannot be read.
pub(super) fn end(reading: &Reading<'_>) -> Result<Touched, ApplyError> {
    let mut touched = Touched::default();
    each(reading, |revision, entry| {
        touched.revision = revision;
        match entry {
            Entry::Tuples { store, deletes, writes, .. } => {
                let changes = deletes.into_iter().map(|t| (t, false)).chain(writes.into_iter().map(|t| (t, true)));
                touched.tuples.extend(changes.map(|(t, written)| ((store, t.to_string()), (t, written))));
            }
            Entry::Delete { store } => touched.tuples.retain(|(of, _), _| *of != store),
            Entry::Records { changes } => touch(&mut touched.records, &changes),
            Entry::Create { .. }
            | Entry::Model { .. }
            | Entry::Assertions { .. }
            | Entry::Collection { .. }
            | Entry::DropCollection { .. }
            | Entry::Chunks { .. } => {}
        }
        Ok(())
    })?;
    Ok(touched)
}
