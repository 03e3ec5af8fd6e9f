//! Reading collections back from their rows: what a start does.

use super::state::{Collection, RowParts, spec};
use crate::engine::entry::Entry;
use crate::engine::log;
use crate::index::TypeIx;
use crate::storage::{Fields, Key, Reading, StorageError, Table};
use crate::tuple::Timestamp;
use crate::vector::{Chunk, RowStore};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A collection while it is read: its store's number, and itself without chunks.
pub(crate) struct Unread {
    store: u32,
    collection: Collection,
    /// Objects of the guard's type.
    objects: u32,
}

/// The collections, still without chunks; their rows will be where `rows` has room. `type_of` finds a store's type, and
/// how many objects of it have names.
///
/// # Errors
/// A row is damaged.
pub(crate) fn list(
    reading: &Reading<'_>,
    rows: &RowStore,
    type_of: impl Fn(u32, &str) -> Option<(TypeIx, u32)>,
) -> Result<Vec<Unread>, StorageError> {
    let mut found = Vec::new();
    reading.scan(&Key::of(Table::Collections), None, |mut key, value| {
        let (store, number) = (key.u32().ok_or(StorageError)?, key.u32().ok_or(StorageError)?);
        let entry = log::decode(value).and_then(|mut entries| entries.pop()).ok_or(StorageError)?;
        let Entry::Collection { collection, name, space, guard: [object_type, relation], at, .. } = entry else {
            return Err(StorageError);
        };
        let (ix, objects) = type_of(store, &object_type).ok_or(StorageError)?;
        if collection != number {
            return Err(StorageError);
        }
        let spec = spec(name, space, object_type, relation);
        found.push(Unread { store, collection: Collection::new(number, spec, Timestamp(at), ix, rows), objects });
        Ok(true)
    })?;
    Ok(found)
}

/// A collection with all its chunks, and the number of its store.
///
/// # Errors
/// Rows are damaged or missing.
pub(crate) fn load(reading: &Reading<'_>, unread: &Unread) -> Result<(u32, Arc<Collection>), StorageError> {
    let mut collection = unread.collection.clone();
    let (store, number) = (unread.store, collection.number);
    let of = |table| Key::of(table).u32(store).u32(number);
    let mut payloads: BTreeMap<u32, Vec<u8>> = BTreeMap::new();
    reading.scan(&of(Table::Payloads), None, |mut key, value| {
        payloads.insert(key.u32().ok_or(StorageError)?, value.to_vec());
        Ok(true)
    })?;
    reading.scan(&of(Table::Chunks), None, |mut key, value| {
        let chunk = key.u32().ok_or(StorageError)?;
        let payload = payloads.remove(&chunk);
        let owner = RowParts::read(value).map(|parts| parts.owner).filter(|owner| owner.0 < unread.objects);
        owner.ok_or(StorageError)?;
        collection.restore(Chunk(chunk), value, payload.as_deref()).map(|()| true).ok_or(StorageError)
    })?;
    let sums = reading.get(&of(Table::ChunkSums))?.ok_or(StorageError)?;
    if !payloads.is_empty() || !collection.is_whole(&sums) {
        return Err(StorageError);
    }
    Ok((store, Arc::new(collection)))
}

/// Whether every text on disk is the one of its chunk's row, and none is missing.
///
/// # Errors
/// The disk cannot be read.
pub(crate) fn texts_fit(reading: &Reading<'_>, store: u32, collection: &Collection) -> Result<bool, StorageError> {
    let of = |table| Key::of(table).u32(store).u32(collection.number);
    let (mut fits, mut texts) = (true, 0_usize);
    reading.scan(&of(Table::Chunks), None, |key, row| {
        let text = reading.get(&of(Table::Texts).tail(key.0))?;
        texts += usize::from(text.is_some());
        fits = fits && Collection::is_text_of(row, text.as_deref()) == Some(true);
        Ok(fits)
    })?;
    let mut rows = 0;
    reading.scan(&of(Table::Texts), None, |_: Fields<'_>, _| {
        rows += 1;
        Ok(true)
    })?;
    Ok(fits && rows == texts)
}
