//! Writing collections and chunks: what callers hand in is checked before the writer sees it, and judged again against the
//! state in which it will be.

use super::ChunkRow;
use super::state::{Collection, room};
use super::types::{
    CHUNK_ID_BYTES_MAX, CHUNK_TEXT_BYTES_MAX, CHUNKS_PER_WRITE_MAX, COLLECTION_NAME_BYTES_MAX, COLLECTIONS_MAX,
    ChunkFault, ChunksQuery, ChunksWritten, CollectionInfo, CollectionSpec, NewChunk, OnRefused,
};
use crate::engine::entry::Entry;
use crate::engine::state::StoreEntry;
use crate::engine::types::{At, Consistency, QuestionError, WriteError, WriteQuery};
use crate::engine::{Engine, records, writer};
use crate::tuple::{Object, ObjectRef, StoreId, Timestamp};
use crate::vector::{Chunk, Space};
use hashbrown::HashSet;

/// A change of a collection that was checked as far as it can be without the state.
pub(crate) enum CollectionChange {
    Create { spec: CollectionSpec, at: Timestamp },
    Drop { name: String },
    Chunks { name: String, chunks: ReadyChunks },
}

/// Bytes of a chunk that weigh as much as a tuple: so a group of writes closes at some tens of MiB.
const BYTES_PER_WEIGHT: usize = 4_096;

/// Chunks as the log takes them.
pub(crate) struct ReadyChunks {
    /// The space that the vectors were kept for.
    space: Space,
    object_type: String,
    upserts: Vec<ChunkRow>,
    deletes: Vec<String>,
    delete_objects: Vec<Object>,
}

impl CollectionChange {
    /// How much work it is, counted in tuples.
    pub(crate) fn weight(&self) -> usize {
        match self {
            CollectionChange::Create { .. } | CollectionChange::Drop { .. } => 1,
            CollectionChange::Chunks { chunks, .. } => {
                let text = |row: &ChunkRow| row.text.as_ref().map_or(0, String::len);
                let payload = |row: &ChunkRow| row.payload.as_ref().map_or(0, |payload| payload.json().len());
                let bytes = |row: &ChunkRow| row.vector.bytes().len() + text(row) + payload(row);
                let upserts: usize = chunks.upserts.iter().map(|row| 1 + bytes(row) / BYTES_PER_WEIGHT).sum();
                upserts + chunks.deletes.len() + chunks.delete_objects.len()
            }
        }
    }
}

impl Engine {
    /// Makes a collection.
    ///
    /// # Errors
    /// The name is taken or not a name, the store has no model, or its latest model lacks the guard's type or relation.
    pub fn create_collection(
        &self,
        store: StoreId,
        spec: CollectionSpec,
        now: Timestamp,
    ) -> Result<At<CollectionInfo>, WriteError> {
        let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let length = 1..=COLLECTION_NAME_BYTES_MAX;
        if !length.contains(&spec.name.len()) || !spec.name.chars().all(good) {
            return Err(WriteError::CollectionName { name: spec.name });
        }
        let view = self.view(store, None, Consistency::Latest)?;
        view.knows(&spec.guard.object_type, &spec.guard.relation)?;
        let name = spec.name.clone();
        let change = CollectionChange::Create { spec, at: now };
        let at = self.submit(writer::Change::Collection { store, change, tuples: None })?;
        Ok(At { revision: at.revision, value: self.collection(store, &name)?.value })
    }

    /// Deletes a collection with all its chunks.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn delete_collection(&self, store: StoreId, name: &str) -> Result<At<()>, WriteError> {
        let change = CollectionChange::Drop { name: name.to_owned() };
        self.submit(writer::Change::Collection { store, change, tuples: None })
    }

    /// Writes and deletes chunks, and tuples with them: all become visible in one revision.
    ///
    /// # Errors
    /// A chunk is refused (the first one is told), a tuple is, or a bound is reached: then nothing was done.
    pub fn write_chunks(
        &self,
        store: StoreId,
        collection: &str,
        mut query: ChunksQuery,
        now: Timestamp,
    ) -> Result<At<ChunksWritten>, WriteError> {
        let asked = query.upserts.len() + query.deletes.len() + query.delete_objects.len();
        if asked > CHUNKS_PER_WRITE_MAX {
            let what = "the number of chunks in one write";
            return Err(WriteError::Full { what, max: CHUNKS_PER_WRITE_MAX as u64 });
        }
        let spec = self.collection_spec(store, collection)?;
        if let Some(object) = query.delete_objects.iter().find(|o| o.object_type != spec.guard.object_type) {
            let fault = of_another_type(object, &spec);
            return Err(WriteError::Chunk { id: object.to_string(), position: 0, fault });
        }
        let mut tuples = std::mem::take(&mut query.tuples);
        let changes_tuples = !(tuples.writes.is_empty() && tuples.deletes.is_empty() && tuples.records.is_empty());
        if changes_tuples {
            self.ready_tuples(store, None, &mut tuples)?;
            records::check(&tuples.expectations, &tuples.records)?;
        }
        let (upserts, refused) = ready(&spec, query.upserts, query.on_refused)?;
        let upserted = upserts.len() as u64;
        let chunks = ReadyChunks {
            space: spec.space,
            object_type: spec.guard.object_type,
            upserts,
            deletes: query.deletes,
            delete_objects: query.delete_objects,
        };
        let change = CollectionChange::Chunks { name: spec.name, chunks };
        let tuples = changes_tuples.then_some((tuples, now));
        let at = self.submit_counted(writer::Change::Collection { store, change, tuples })?;
        Ok(At { revision: at.revision, value: ChunksWritten { upserted, deleted: at.value, refused } })
    }
}

/// Places of chunks that were refused, and why.
type Refused = Vec<(usize, ChunkFault)>;

/// The chunks as the log takes them, and those that were refused.
fn ready(
    spec: &CollectionSpec,
    chunks: Vec<NewChunk>,
    on_refused: OnRefused,
) -> Result<(Vec<ChunkRow>, Refused), WriteError> {
    let (mut rows, mut refused) = (Vec::with_capacity(chunks.len()), Vec::new());
    let mut seen = HashSet::with_capacity(chunks.len());
    for (position, chunk) in chunks.into_iter().enumerate() {
        let id = chunk.id.clone();
        let row = if seen.contains(&id) { Err(ChunkFault::Twice) } else { row(spec, chunk) };
        match (row, on_refused) {
            (Ok(row), _) => {
                seen.insert(id);
                rows.push(row);
            }
            (Err(fault), OnRefused::Refuse) => return Err(WriteError::Chunk { id, position, fault }),
            (Err(fault), OnRefused::Skip) => refused.push((position, fault)),
        }
    }
    Ok((rows, refused))
}

fn row(spec: &CollectionSpec, chunk: NewChunk) -> Result<ChunkRow, ChunkFault> {
    if !(1..=CHUNK_ID_BYTES_MAX).contains(&chunk.id.len()) {
        return Err(ChunkFault::Id { given: chunk.id.len() });
    }
    if chunk.object.object_type != spec.guard.object_type {
        return Err(of_another_type(&chunk.object, spec));
    }
    let text = chunk.object.to_string();
    if let Err(fault) = ObjectRef::parse(&text) {
        return Err(ChunkFault::Object { object: text, reason: fault.to_string() });
    }
    if let Some(text) = chunk.text.as_ref().filter(|text| text.len() > CHUNK_TEXT_BYTES_MAX) {
        return Err(ChunkFault::Text { given: text.len() });
    }
    let vector = spec.space.keep(&chunk.vector)?;
    Ok(ChunkRow { id: chunk.id, object: chunk.object.id, vector, text: chunk.text, payload: chunk.payload })
}

fn of_another_type(object: &Object, spec: &CollectionSpec) -> ChunkFault {
    ChunkFault::ObjectType { given: object.object_type.clone(), wanted: spec.guard.object_type.clone() }
}

/// What a change becomes in the log, and how many chunks it deletes. `None`: there is nothing to do.
pub(crate) fn judge(store: &StoreEntry, change: CollectionChange) -> Result<Option<(Entry, u64)>, WriteError> {
    let (number, id) = (store.number, store.id);
    let find = |name: &str| {
        let missing = || QuestionError::CollectionNotFound { store: id, name: name.to_owned() };
        store.collection(name).ok_or_else(missing)
    };
    match change {
        CollectionChange::Create { spec, at } => {
            if store.collection(&spec.name).is_some() {
                return Err(WriteError::IdTaken { id: spec.name });
            }
            if store.index.type_ix(&spec.guard.object_type).is_none() {
                // The store was deleted and made anew since the guard was checked.
                return Err(QuestionError::TypeNotFound { object_type: spec.guard.object_type }.into());
            }
            if store.collections.len() >= COLLECTIONS_MAX {
                return Err(WriteError::Full { what: "the number of collections", max: COLLECTIONS_MAX as u64 });
            }
            let collection = store.collections.last().map_or(0, |last| last.number + 1);
            let CollectionSpec { name, space, guard } = spec;
            let guard = [guard.object_type, guard.relation];
            Ok(Some((Entry::Collection { store: number, collection, name, space, guard, at: at.0 }, 0)))
        }
        CollectionChange::Drop { name } => {
            let collection = find(&name)?.number;
            Ok(Some((Entry::DropCollection { store: number, collection }, 0)))
        }
        CollectionChange::Chunks { name, chunks } => {
            let collection = find(&name)?;
            if collection.spec.space != chunks.space || collection.spec.guard.object_type != chunks.object_type {
                // It was deleted and made anew since the vectors were checked.
                return Err(QuestionError::CollectionNotFound { store: id, name }.into());
            }
            let chunk_full = |fault| WriteError::Chunk { id: String::new(), position: 0, fault };
            room(collection, chunks.upserts.len()).map_err(|fault| chunk_full(fault.into()))?;
            store.index.names_room(chunks.upserts.len()).map_err(writer::full)?;
            let deletes = deleted(store, collection, &chunks.deletes, &chunks.delete_objects);
            if deletes.is_empty() && chunks.upserts.is_empty() {
                return Ok(None);
            }
            let count = deletes.len() as u64;
            let collection = collection.number;
            Ok(Some((Entry::Chunks { store: number, collection, deletes, writes: chunks.upserts }, count)))
        }
    }
}

/// The ids that are there among those to delete, each once.
fn deleted(store: &StoreEntry, collection: &Collection, ids: &[String], objects: &[Object]) -> Vec<String> {
    let mut chunks: HashSet<Chunk> = ids.iter().filter_map(|id| collection.ids.number(id)).collect();
    for object in objects {
        let owner = store.index.ordinal(collection.object_type, &object.id);
        chunks.extend(owner.into_iter().flat_map(|owner| collection.vectors.chunks_of(owner)));
    }
    let mut chunks: Vec<Chunk> = chunks.into_iter().collect();
    chunks.sort_unstable(); // the log is the same whatever the order of a set
    chunks.into_iter().filter_map(|chunk| collection.ids.id(chunk).map(str::to_owned)).collect()
}

/// Whether tuples change too.
pub(crate) type WithTuples = Option<(WriteQuery, Timestamp)>;

const _: () = assert!(CHUNK_ID_BYTES_MAX <= u16::MAX as usize, "the length of an id fits a chunk's row");
