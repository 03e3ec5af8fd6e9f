//! What collections take and give: their description, chunks, searches and answers.

use crate::engine::{Given, WriteQuery};
use crate::tuple::{Object, SubjectRef, Timestamp};
use crate::vector::{Effort, Filter, Memory, Payload, PayloadError, PlanKind, Space, VectorError};

/// The most collections of one store.
pub const COLLECTIONS_MAX: usize = 1_000;
/// The longest name of a collection, in bytes.
pub const COLLECTION_NAME_BYTES_MAX: usize = 64;
/// The longest id of a chunk, in bytes.
pub const CHUNK_ID_BYTES_MAX: usize = 512;
/// The longest text of a chunk, in bytes.
pub const CHUNK_TEXT_BYTES_MAX: usize = 1 << 20;
/// The most chunks that one request writes or deletes.
pub const CHUNKS_PER_WRITE_MAX: usize = 10_000;
/// The most chunks of one page of a scroll.
pub const CHUNKS_PER_PAGE_MAX: usize = 1_000;
/// The most vectors of one search.
pub const QUERIES_PER_SEARCH_MAX: usize = 100;
/// The most hits of all vectors of one search together.
pub const HITS_PER_SEARCH_MAX: usize = 10_000;
/// The most bytes of vectors and texts that one answer may hold.
pub const ANSWER_BYTES_MAX: usize = 64 << 20;

/// Who may see a chunk: those who have the relation to its object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guard {
    /// The type of the objects that chunks belong to.
    pub object_type: String,
    /// The relation that a search asks for unless it names another.
    pub relation: String,
}

/// A collection to be made.
#[derive(Clone, Debug, PartialEq)]
pub struct CollectionSpec {
    /// Letters, digits, `-`, `_` and `.`, 1 to [`COLLECTION_NAME_BYTES_MAX`] bytes; unique in the store.
    pub name: String,
    /// Dimension, metric, element.
    pub space: Space,
    /// Who may see what.
    pub guard: Guard,
}

/// A collection as it is described.
#[derive(Clone, Debug, PartialEq)]
pub struct CollectionInfo {
    /// What it was made as.
    pub spec: CollectionSpec,
    /// When it was made.
    pub created_at: Timestamp,
    /// How many chunks it holds.
    pub chunks: u64,
    /// Objects that have chunks.
    pub objects: u64,
    /// Bytes in memory of rows, codes and maps.
    pub memory: Memory,
    /// Bytes in memory of ids and payloads with their index, near enough.
    pub payload_bytes: usize,
    /// Bytes in memory of the graph.
    pub graph_bytes: usize,
    /// Rows that the graph covers; the others are compared one by one.
    pub graph_rows: usize,
    /// What distances are computed with: `avx512-vnni`, `avx2` or `portable`.
    pub kernel: &'static str,
}

/// A chunk to be written: made anew, or in place of the one with its id.
#[derive(Clone, Debug, PartialEq)]
pub struct NewChunk {
    /// Its id, unique in the collection, 1 to [`CHUNK_ID_BYTES_MAX`] bytes.
    pub id: String,
    /// The object that guards it, of the guard's type.
    pub object: Object,
    /// As many elements as the collection's dimension.
    pub vector: Vec<f32>,
    /// What the vector was made from.
    pub text: Option<String>,
    /// What filters look at.
    pub payload: Option<Payload>,
}

/// A chunk as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredChunk {
    /// Its id.
    pub id: String,
    /// The object that guards it.
    pub object: Object,
    /// The vector as it is compared: normalised under cosine, rounded in half precision. Only when asked for.
    pub vector: Option<Vec<f32>>,
    /// Its text. Only when asked for.
    pub text: Option<String>,
    /// Its payload. Only when asked for.
    pub payload: Option<Payload>,
}

/// Why one chunk is refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ChunkFault {
    /// No id, or too long a one.
    #[error("the id has {given} bytes; it may have 1 to {CHUNK_ID_BYTES_MAX}")]
    Id {
        /// Its bytes.
        given: usize,
    },
    /// An object of another type than the collection's guard.
    #[error("the object is of type '{given}' where the collection's chunks belong to objects of type '{wanted}'")]
    ObjectType {
        /// The type given.
        given: String,
        /// The guard's.
        wanted: String,
    },
    /// The object's id is not one that a tuple could have.
    #[error("the object '{object}' is not valid: {reason}")]
    Object {
        /// The object as text.
        object: String,
        /// What is wrong.
        reason: String,
    },
    /// The vector does not fit the space.
    #[error(transparent)]
    Vector(#[from] VectorError),
    /// The payload is over a bound.
    #[error(transparent)]
    Payload(#[from] PayloadError),
    /// Too long a text.
    #[error("the text has {given} bytes; it may have {CHUNK_TEXT_BYTES_MAX}: split the chunk")]
    Text {
        /// Its bytes.
        given: usize,
    },
    /// Two chunks of one request have the same id.
    #[error("the id occurs twice in the request")]
    Twice,
}

/// What to do with chunks that are refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnRefused {
    /// Refuse the whole request.
    #[default]
    Refuse,
    /// Write the others, and say which were refused.
    Skip,
}

/// Chunks and tuples to write together: they become visible in the same revision, or not at all. Deletes come first.
#[derive(Clone, Debug, Default)]
pub struct ChunksQuery {
    /// Chunks to write.
    pub upserts: Vec<NewChunk>,
    /// Ids of chunks to delete; one that is not there is deleted already.
    pub deletes: Vec<String>,
    /// Objects whose chunks are all to be deleted.
    pub delete_objects: Vec<Object>,
    /// For chunks that are refused.
    pub on_refused: OnRefused,
    /// Tuples (and module records) to change in the same batch.
    pub tuples: WriteQuery,
}

/// What became of a [`ChunksQuery`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ChunksWritten {
    /// Chunks written.
    pub upserted: u64,
    /// Chunks deleted.
    pub deleted: u64,
    /// Places in `upserts` of chunks that were refused, and why; only with [`OnRefused::Skip`].
    pub refused: Vec<(usize, ChunkFault)>,
}

/// Which parts of a chunk to return.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct With {
    /// The text.
    pub text: bool,
    /// The payload.
    pub payload: bool,
    /// The vector.
    pub vector: bool,
}

/// Which chunks to read. All `None` and no ids: all of the collection.
#[derive(Clone, Copy, Debug, Default)]
pub struct ScrollQuery<'a> {
    /// Only chunks of this object.
    pub object: Option<crate::tuple::ObjectRef<'a>>,
    /// Only chunks whose payload this admits.
    pub filter: Option<&'a Filter>,
    /// Most chunks to return, up to [`CHUNKS_PER_PAGE_MAX`].
    pub page_size: usize,
    /// Where the page before ended.
    pub after: Option<u32>,
    /// Which parts to return.
    pub with: With,
}

/// A page of chunks, in the order of their numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct ChunkPage {
    /// The chunks.
    pub chunks: Vec<StoredChunk>,
    /// Where to go on; `None` on the last page.
    pub next: Option<u32>,
}

/// Which are the nearest chunks among those that the subject may see?
#[derive(Clone, Copy, Debug)]
pub struct SearchQuery<'a> {
    /// The collection.
    pub collection: &'a str,
    /// Who asks.
    pub subject: SubjectRef<'a>,
    /// Who asks on the subject's behalf: then only what both may see.
    pub agent: Option<SubjectRef<'a>>,
    /// What is near to what: each is answered by itself, all with one evaluation of permissions.
    pub vectors: &'a [Vec<f32>],
    /// How many hits each may have, up to [`crate::vector::HITS_MAX`].
    pub k: usize,
    /// The relation to the chunks' objects; the guard's when none is named.
    pub relation: Option<&'a str>,
    /// Only chunks whose payload this admits.
    pub filter: Option<&'a Filter>,
    /// How hard to try: permission is exact always, nearness only with [`Effort::Exact`].
    pub effort: Effort,
    /// What the request adds.
    pub given: Given<'a>,
    /// Which parts of the hits to return.
    pub with: With,
}

/// A chunk that was found.
#[derive(Clone, Debug, PartialEq)]
pub struct SearchHit {
    /// How near: larger is nearer in every metric.
    pub score: f32,
    /// The chunk.
    pub chunk: StoredChunk,
}

/// The answer for one vector.
#[derive(Clone, Debug, PartialEq)]
pub struct SearchAnswer {
    /// The nearest first; never fewer than the smaller of k and `visible`.
    pub hits: Vec<SearchHit>,
    /// How it was answered.
    pub plan: PlanKind,
    /// Chunks that the subject may see and the filter admits.
    pub visible: usize,
    /// Chunks whose exact vectors were compared.
    pub candidates: usize,
    /// Chunks whose codes were compared.
    pub visited: usize,
}
