//! Collections: chunks with vectors, guarded by objects, and the search among those that a subject may see.
//!
//! A collection is part of its store's state: one log, one revision, one snapshot with the tuples. `docs/collections.md`
//! has the reasons; `vector` has rows, scan and graph, and knows nothing of permissions.

mod arrange;
mod graphs;
mod kept;
mod layout;
mod load;
mod read;
mod search;
mod state;
#[cfg(test)]
mod tests;
mod types;
mod write;

pub(crate) use arrange::{Arranged, Arranger, run as arrange};
pub(crate) use kept::{KeptSets, Reads};
pub(crate) use load::{list, load, texts_fit};
pub(crate) use search::search;
pub(crate) use state::{ChunkRow, Collection, space_numbers, space_of};
pub use types::{
    ANSWER_BYTES_MAX, CHUNK_ID_BYTES_MAX, CHUNK_TEXT_BYTES_MAX, CHUNKS_PER_PAGE_MAX, CHUNKS_PER_WRITE_MAX,
    COLLECTION_NAME_BYTES_MAX, COLLECTIONS_MAX, ChunkFault, ChunkPage, ChunksQuery, ChunksWritten, CollectionInfo,
    CollectionSpec, Guard, HITS_PER_SEARCH_MAX, NewChunk, OnRefused, QUERIES_PER_SEARCH_MAX, ScrollQuery, SearchAnswer,
    SearchHit, SearchQuery, StoredChunk, With,
};
pub(crate) use write::{CollectionChange, WithTuples, judge};

use super::entry::Entry;
use super::log;
use super::state::{ApplyError, Sink, StoreEntry};
use crate::storage::{Key, Table};
use crate::tuple::{Revision, Timestamp};
use std::sync::Arc;

/// Applies an entry of a collection and adds the rows that keep its effect.
pub(crate) fn apply(
    store: &mut StoreEntry,
    entry: &Entry,
    revision: Revision,
    sink: &mut Sink<'_>,
) -> Result<(), ApplyError> {
    match entry {
        Entry::Collection { collection, name, space, guard: [object_type, relation], at, .. } => {
            let row = log::encode(&log::Header::default(), std::slice::from_ref(entry)).ok_or(ApplyError::Misfit)?;
            sink.batch.put(&Key::of(Table::Collections).u32(store.number).u32(*collection), &row);
            let spec = state::spec(name.clone(), *space, object_type.clone(), relation.clone());
            let object_type = store.index.type_ix(object_type).ok_or(ApplyError::Misfit)?;
            if store.collections.is_empty() {
                sink.forgotten.push((store.number, false)); // changes of its tuples were not told before
            }
            let new = Collection::new(*collection, spec, Timestamp(*at), object_type, &sink.rows);
            sink.touch_chunks(store.id, *collection, 0);
            Arc::make_mut(&mut store.collections).push(Arc::new(new));
            Ok(())
        }
        Entry::DropCollection { collection, .. } => {
            sink.touch_chunks(store.id, *collection, u64::MAX);
            Arc::make_mut(&mut store.collections).retain(|c| c.number != *collection);
            sink.batch.delete(&Key::of(Table::Collections).u32(store.number).u32(*collection));
            sink.batch.delete(&Key::of(Table::ChunkSums).u32(store.number).u32(*collection));
            for table in [Table::Chunks, Table::Payloads, Table::Texts, Table::Graphs] {
                sink.batch.delete_prefix(&Key::of(table).u32(store.number).u32(*collection));
            }
            Ok(())
        }
        Entry::Chunks { collection, deletes, writes, .. } => {
            sink.touch_chunks(store.id, *collection, (deletes.len() + writes.len()) as u64);
            let at = store.collections.binary_search_by_key(collection, |c| c.number);
            let at = at.map_err(|_| ApplyError::Misfit)?;
            let object_type = store.collections.get(at).map(|c| c.object_type).ok_or(ApplyError::Misfit)?;
            // Names belong to the store, so that they are numbered before the collection is borrowed.
            let owners = writes.iter().map(|chunk| store.ordinal(object_type, &chunk.object, sink));
            let owners = owners.collect::<Result<Vec<_>, _>>()?;
            let number = store.number;
            let of = Arc::make_mut(&mut store.collections).get_mut(at).map(Arc::make_mut).ok_or(ApplyError::Misfit)?;
            deletes.iter().for_each(|id| of.delete(number, id, sink));
            for (chunk, owner) in writes.iter().zip(owners) {
                of.write(number, chunk, owner, revision, sink)?;
            }
            Ok(())
        }
        Entry::Create { .. }
        | Entry::Delete { .. }
        | Entry::Model { .. }
        | Entry::Assertions { .. }
        | Entry::Tuples { .. }
        | Entry::Records { .. } => Err(ApplyError::Misfit),
    }
}
