//! Graphs on disk, so that a start does not build them again. They are derived from the chunks and stand outside of the
//! log: a graph that is missing, damaged or of other vectors is built again.

use super::state::Collection;
use crate::engine::Inner;
use crate::storage::{Batch, Key, Table};
use crate::vector::{Graph, Vectors};

/// Bytes of a piece: a value that RocksDB handles well.
const PIECE_BYTES: usize = 1 << 20;

fn prefix(store: u32, collection: u32) -> Key {
    Key::of(Table::Graphs).u32(store).u32(collection)
}

/// Keeps the graph of a collection in place of the one before it.
pub(super) fn save(inner: &Inner, store: u32, collection: &Collection) {
    let Ok(bytes) = collection.graph.to_bytes(&collection.vectors) else { return };
    let prefix = prefix(store, collection.number);
    let mut batch = Batch::default();
    batch.delete_prefix(&prefix);
    let mut done = inner.storage.commit(batch);
    // Piece by piece, so that writes do not wait for all of it. Half a graph is refused by its checksum.
    for (number, piece) in (0..).zip(bytes.chunks(PIECE_BYTES)) {
        let mut batch = Batch::default();
        batch.put(&prefix.clone().u32(number), piece);
        done = done.and_then(|()| inner.storage.commit(batch));
    }
    if done.is_err() {
        tracing::warn!(collection = collection.spec.name, "the graph was not kept; the next start builds it again");
    }
}

/// Removes a graph whose collection is gone.
pub(super) fn remove(inner: &Inner, store: u32, collection: u32) {
    let mut batch = Batch::default();
    batch.delete_prefix(&prefix(store, collection));
    if inner.storage.commit(batch).is_err() {
        tracing::warn!("the graph of a deleted collection is still on disk");
    }
}

/// The graph that was kept, for these vectors.
pub(super) fn load(inner: &Inner, store: u32, collection: &Collection, vectors: &Vectors) -> Option<Graph> {
    let mut bytes = Vec::new();
    let read = inner.storage.reading().scan(&prefix(store, collection.number), None, |_, piece| {
        bytes.extend_from_slice(piece);
        Ok(true)
    });
    if read.is_err() || bytes.is_empty() {
        return None;
    }
    match Graph::from_bytes(&bytes, vectors) {
        Ok(graph) => Some(graph),
        Err(error) => {
            tracing::info!(collection = collection.spec.name, %error, "the graph on disk is not used");
            None
        }
    }
}
