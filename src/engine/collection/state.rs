//! One collection at one revision, how entries of the log change it, and the rows that keep it on disk.
//!
//! INVARIANT: as in `engine/state.rs`: the rows written for an entry hold exactly what the entry did. A chunk's row holds
//! its vector, its owner and the prints of its text and payload; the collection keeps the print of each row, and the sum
//! of prints is on disk beside the rows, so that a start sees rows that are missing or changed.

use super::types::{CollectionInfo, CollectionSpec, Guard};
use crate::engine::state::{ApplyError, Sink};
use crate::index::TypeIx;
use crate::storage::{Fields, Key, Table};
use crate::tuple::{Ordinal, Revision, Timestamp};
use crate::vector::{
    Chunk, ChunkIds, Element, Graph, Kept, Metric, Paged, Payload, Payloads, RowStore, Space, VectorError, Vectors,
};
use foldhash::fast::FixedState;
use std::hash::BuildHasher;
use std::sync::Arc;

/// What a change of a chunk copies of the pages that hold it, when they are far from those of others.
const BYTES_PER_CHANGE: u64 = 16_384;

/// A chunk in the log, in words.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ChunkRow {
    pub(crate) id: String,
    /// The id of its object, which is of the guard's type.
    pub(crate) object: String,
    pub(crate) vector: Kept,
    pub(crate) text: Option<String>,
    pub(crate) payload: Option<Payload>,
}

/// What is remembered of a chunk's rows on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Print {
    /// When the chunk was written.
    pub(crate) revision: Revision,
    /// What tells its row from others.
    row: u64,
    /// Whether it has a text.
    pub(crate) text: bool,
}

/// See the file's head. A clone costs a few dozen pointers.
#[derive(Clone, Debug)]
pub(crate) struct Collection {
    pub(crate) number: u32,
    pub(crate) spec: Arc<CollectionSpec>,
    pub(crate) created_at: Timestamp,
    /// The guard's type.
    pub(crate) object_type: TypeIx,
    pub(crate) vectors: Vectors,
    pub(crate) ids: ChunkIds,
    pub(crate) payloads: Payloads,
    pub(crate) prints: Paged<Print>,
    /// Sum of the prints of rows, in any order.
    pub(crate) sum: u64,
    /// The graph of this layout; shared, and filled beside the writer.
    pub(crate) graph: Arc<Graph>,
    /// Chunks written or deleted in the life of this program.
    pub(crate) changed: u64,
    /// When rows were laid out by permission last.
    pub(crate) laid_out: LaidOut,
}

/// What there was when rows were laid out.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LaidOut {
    /// `changed`.
    pub(crate) changed: u64,
    /// Changes of the store's tuples in the life of this program.
    pub(crate) tuples: u64,
}

fn print(value: &[u8]) -> u64 {
    // Zero means that there is nothing.
    FixedState::with_seed(6).hash_one(value).max(1)
}

fn row_print(chunk: Chunk, row: &[u8]) -> u64 {
    FixedState::with_seed(7).hash_one((chunk.0, row))
}

/// A chunk's row as it is on disk.
pub(super) struct RowParts<'a> {
    pub(super) revision: Revision,
    pub(super) owner: Ordinal,
    pub(super) text: u64,
    pub(super) payload: u64,
    pub(super) id: &'a str,
    pub(super) vector: &'a [u8],
}

impl<'a> RowParts<'a> {
    fn bytes(&self) -> Option<Vec<u8>> {
        let mut row = Vec::with_capacity(30 + self.id.len() + self.vector.len());
        row.extend(self.revision.0.to_be_bytes());
        row.extend(self.owner.0.to_be_bytes());
        row.extend(self.text.to_be_bytes());
        row.extend(self.payload.to_be_bytes());
        row.extend(u16::try_from(self.id.len()).ok()?.to_be_bytes());
        row.extend_from_slice(self.id.as_bytes());
        row.extend_from_slice(self.vector);
        Some(row)
    }

    /// `None`: damaged.
    pub(super) fn read(row: &'a [u8]) -> Option<Self> {
        let mut fields = Fields(row);
        let (revision, owner) = (Revision(fields.u64()?), Ordinal(fields.u32()?));
        let (text, payload, len) = (fields.u64()?, fields.u64()?, fields.u16()?);
        let (id, vector) = fields.0.split_at_checked(usize::from(len))?;
        Some(RowParts { revision, owner, text, payload, id: std::str::from_utf8(id).ok()?, vector })
    }
}

impl Collection {
    /// An empty collection, whose rows are where `rows` has room for them.
    pub(crate) fn new(
        number: u32,
        spec: CollectionSpec,
        created_at: Timestamp,
        object_type: TypeIx,
        rows: &RowStore,
    ) -> Self {
        let vectors = Vectors::within(spec.space, rows.clone());
        let graph = Arc::new(Graph::new(&vectors));
        Self {
            number,
            spec: Arc::new(spec),
            created_at,
            object_type,
            vectors,
            ids: ChunkIds::default(),
            payloads: Payloads::default(),
            prints: Paged::default(),
            sum: 0,
            graph,
            changed: 0,
            laid_out: LaidOut::default(),
        }
    }

    /// Its description.
    pub(crate) fn info(&self) -> CollectionInfo {
        CollectionInfo {
            spec: CollectionSpec::clone(&self.spec),
            created_at: self.created_at,
            chunks: self.ids.len() as u64,
            objects: self.vectors.owners().len(),
            memory: self.vectors.memory(),
            payload_bytes: self.ids.bytes() + self.payloads.bytes() + self.prints.bytes(),
            graph_bytes: self.graph.bytes(),
            graph_rows: self.graph.covered(),
            kernel: self.vectors.kernel_name(),
        }
    }

    /// The beginning of the keys of a chunk's rows.
    pub(crate) fn key(table: Table, store: u32, collection: u32) -> Key {
        Key::of(table).u32(store).u32(collection)
    }

    /// Writes a chunk.
    pub(crate) fn write(
        &mut self,
        store: u32,
        row: &ChunkRow,
        owner: Ordinal,
        revision: Revision,
        sink: &mut Sink<'_>,
    ) -> Result<(), ApplyError> {
        let chunk = self.ids.insert(&row.id).map_err(|_| ApplyError::Misfit)?;
        self.vectors.put(chunk, owner, row.vector.bytes()).map_err(|_| ApplyError::Misfit)?;
        let payload = row.payload.as_ref().map_or(0, |payload| print(payload.json().as_bytes()));
        let text = row.text.as_ref().map_or(0, |text| print(text.as_bytes()));
        let parts = RowParts { revision, owner, text, payload, id: &row.id, vector: row.vector.bytes() };
        let bytes = parts.bytes().ok_or(ApplyError::Misfit)?;
        let key = |table| Self::key(table, store, self.number).u32(chunk.0);
        sink.batch.put(&key(Table::Chunks), &bytes);
        match &row.text {
            Some(text) => {
                sink.batch.put(&key(Table::Texts), &[&revision.0.to_be_bytes(), text.as_bytes()].concat());
            }
            None => sink.batch.delete(&key(Table::Texts)),
        }
        match &row.payload {
            Some(payload) => sink.batch.put(&key(Table::Payloads), payload.json().as_bytes()),
            None => sink.batch.delete(&key(Table::Payloads)),
        }
        self.payloads.set(chunk, row.payload.clone());
        let print = Print { revision, row: row_print(chunk, &bytes), text: text != 0 };
        self.note(chunk, print);
        self.changed += 1;
        Ok(())
    }

    /// Deletes a chunk, if it is there.
    pub(crate) fn delete(&mut self, store: u32, id: &str, sink: &mut Sink<'_>) {
        let Some(chunk) = self.ids.remove(id) else { return };
        self.vectors.remove(chunk);
        self.payloads.set(chunk, None);
        self.note(chunk, Print::default());
        self.changed += 1;
        for table in [Table::Chunks, Table::Texts, Table::Payloads] {
            sink.batch.delete(&Self::key(table, store, self.number).u32(chunk.0));
        }
    }

    fn note(&mut self, chunk: Chunk, print: Print) {
        let before = self.prints.get(chunk.0 as usize).map_or(0, |print| print.row);
        self.sum = self.sum.wrapping_sub(before).wrapping_add(print.row);
        self.prints.set(chunk.0 as usize, print, &Print::default());
    }

    /// Takes a row that was read from disk. `None`: damaged.
    pub(super) fn restore(&mut self, chunk: Chunk, row: &[u8], payload: Option<&[u8]>) -> Option<()> {
        let parts = RowParts::read(row)?;
        if parts.payload != payload.map_or(0, print) || !self.ids.restore(chunk, parts.id) {
            return None;
        }
        self.vectors.put(chunk, parts.owner, parts.vector).ok()?;
        if let Some(payload) = payload {
            let payload = Payload::parse(std::str::from_utf8(payload).ok()?).ok()?;
            self.payloads.set(chunk, Some(payload));
        }
        let print = Print { revision: parts.revision, row: row_print(chunk, row), text: parts.text != 0 };
        self.note(chunk, print);
        self.changed += 1;
        Some(())
    }

    /// Bytes that the state before so many changes keeps alive beside this one, by an estimate from above.
    pub(crate) fn kept_alive(&self, changes: u64) -> u64 {
        let memory = self.vectors.memory();
        let rows = memory.exact + memory.codes + memory.maps + self.graph.bytes();
        let whole = (rows + self.payloads.bytes() + self.ids.bytes()) as u64;
        // A piece of 32 rows is copied with their elements and codes.
        let each = BYTES_PER_CHANGE + 32 * 5 * self.spec.space.dimension() as u64;
        whole.saturating_add(each).min(changes.saturating_mul(each))
    }

    /// The row of sums.
    pub(crate) fn sums_row(&self) -> Vec<u8> {
        [(self.ids.len() as u64).to_be_bytes(), self.sum.to_be_bytes()].concat()
    }

    /// Whether the rows that were read are all that were written.
    pub(super) fn is_whole(&self, sums: &[u8]) -> bool {
        self.sums_row() == sums
    }

    /// Whether `text`, a row of texts, is the text of a chunk whose row this is. `None`: the row is damaged.
    pub(super) fn is_text_of(row: &[u8], text: Option<&[u8]>) -> Option<bool> {
        let parts = RowParts::read(row)?;
        let Some(text) = text else { return Some(parts.text == 0) };
        let mut fields = Fields(text);
        Some(fields.u64() == Some(parts.revision.0) && print(fields.0) == parts.text)
    }

    /// What tells the content from that of another state.
    pub(crate) fn digest(&self) -> (usize, u64, usize) {
        (self.ids.len(), self.sum, self.vectors.len())
    }
}

/// The space of a collection as its entry tells it: dimension, metric, element.
pub(crate) fn space_numbers(space: Space) -> (u16, u8, u8) {
    let metric = match space.metric() {
        Metric::Cosine => 0,
        Metric::Dot => 1,
        Metric::Euclid => 2,
    };
    let element = match space.element() {
        Element::F32 => 0,
        Element::F16 => 1,
    };
    (u16::try_from(space.dimension()).unwrap_or(u16::MAX), metric, element)
}

/// The space that [`space_numbers`] told. `None`: damaged.
pub(crate) fn space_of(dimension: u16, metric: u8, element: u8) -> Option<Space> {
    let metric = match metric {
        0 => Metric::Cosine,
        1 => Metric::Dot,
        2 => Metric::Euclid,
        _ => return None,
    };
    let element = match element {
        0 => Element::F32,
        1 => Element::F16,
        _ => return None,
    };
    Space::new(usize::from(dimension), metric, element).ok()
}

/// Whether a collection has room for so many more chunks.
pub(super) fn room(collection: &Collection, chunks: usize) -> Result<(), VectorError> {
    let most = crate::vector::ROWS_MAX as usize;
    // Dead rows count until they are rewritten away.
    let rows = collection.vectors.len() + collection.vectors.dead();
    if rows + chunks > most { Err(VectorError::Full) } else { Ok(()) }
}

/// A spec from its parts.
pub(crate) fn spec(name: String, space: Space, object_type: String, relation: String) -> CollectionSpec {
    CollectionSpec { name, space, guard: Guard { object_type, relation } }
}
