//! Bailiwick, an authorization database: relationship tuples in, exact answers out, in OpenFGA's model language.
//!
//! As a library, without a server:
//!
//! ```
//! use bailiwick::engine::{CheckQuery, Consistency, Decision, Given, Limits, ListObjectsQuery, WriteQuery};
//! use bailiwick::model::Model;
//! use bailiwick::tuple::{ModelId, StoreId, SubjectRef, Timestamp, TupleKeyRef};
//! use bailiwick::Bailiwick;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let directory = tempfile::tempdir()?;
//! let database = Bailiwick::open(directory.path())?;
//!
//! // Identifiers and times are the caller's: the engine reads no clock and rolls no dice.
//! let (store, now) = (StoreId(ulid::Ulid::from_parts(1, 1)), Timestamp(1_700_000_000_000_000_000));
//! database.create_store(store, "docs", now)?;
//! let text = "model\n  schema 1.1\ntype user\ntype document\n  relations\n    define viewer: [user]\n";
//! let model = Model::parse_dsl(text).map_err(|errors| format!("{errors:?}"))?;
//! database.write_model(store, ModelId(ulid::Ulid::from_parts(1, 2)), model)?;
//!
//! let tuple = TupleKeyRef::parse("document:roadmap", "viewer", "user:anne")?.to_tuple();
//! database.write(store, None, WriteQuery { writes: vec![tuple], ..WriteQuery::default() }, now)?;
//!
//! let view = database.view(store, None, Consistency::Latest)?;
//! let key = TupleKeyRef::parse("document:roadmap", "viewer", "user:anne")?;
//! let answer = view.check(&CheckQuery { key, given: Given::default() }, &Limits::default())?;
//! assert_eq!(answer, Decision::Allow);
//!
//! let query = ListObjectsQuery {
//!     object_type: "document",
//!     relation: "viewer",
//!     subject: SubjectRef::parse("user:anne")?,
//!     given: Given::default(),
//! };
//! let documents = view.list_objects(&query, &Limits::default())?;
//! assert_eq!(documents.iter().collect::<Vec<_>>(), ["roadmap"]);
//!
//! // Chunks with vectors stand beside the tuples: a search finds the nearest among what the subject may see.
//! use bailiwick::engine::{ChunksQuery, CollectionSpec, Guard, NewChunk, SearchQuery, With};
//! use bailiwick::tuple::Object;
//! use bailiwick::vector::{Effort, Element, Metric, Space};
//! let guard = Guard { object_type: "document".into(), relation: "viewer".into() };
//! let space = Space::new(3, Metric::Cosine, Element::F32)?;
//! database.create_collection(store, CollectionSpec { name: "passages".into(), space, guard }, now)?;
//! let chunk = |id: &str, document: &str, vector: [f32; 3]| NewChunk {
//!     id: id.into(),
//!     object: Object { object_type: "document".into(), id: document.into() },
//!     vector: vector.into(),
//!     text: Some(format!("the text of {id}")),
//!     payload: None,
//! };
//! let upserts = vec![chunk("r1", "roadmap", [0.9, 0.1, 0.0]), chunk("s1", "salaries", [1.0, 0.0, 0.0])];
//! database.write_chunks(store, "passages", ChunksQuery { upserts, ..ChunksQuery::default() }, now)?;
//! let query = SearchQuery {
//!     collection: "passages",
//!     subject: SubjectRef::parse("user:anne")?,
//!     agent: None,
//!     vectors: &[vec![1.0, 0.0, 0.0]],
//!     k: 10,
//!     relation: None,
//!     filter: None,
//!     effort: Effort::Balanced,
//!     given: Given::default(),
//!     with: With { text: true, ..With::default() },
//! };
//! let found = database.search(store, None, Consistency::Latest, &query, &Limits::default())?.value;
//! let ids: Vec<_> = found[0].hits.iter().map(|hit| hit.chunk.id.as_str()).collect();
//! assert_eq!(ids, ["r1"], "the nearest of all is in a document that Anne may not see");
//! # Ok(())
//! # }
//! ```
//!
//! The rooms, in the order of dependency; each uses only those before it (`tests/tidy.rs` holds the rule).
/// Words of the field: objects, subjects, tuples, ordinals and sets of them.
pub mod tuple;
/// Keys and the sealing of records. Pure; the home of cryptography.
pub mod secrets;
/// The authorization model: parse, check, compile to a plan; conditions.
pub mod model;
/// What survives: log, keys, batches. The home of RocksDB.
pub mod storage;
/// What is fast: names, columns of postings, snapshots. In memory, rebuilt from storage.
pub mod index;
/// Embeddings: rows, distances, scan and graph; the nearest within an allowed set.
pub mod vector;
/// The questions, one file each, and the one writer.
pub mod engine;
/// Who asks, for whom, with what; and the events that say what happened.
pub mod identity;
/// What all handlers share: error codes and statuses, tokens, the clock.
pub mod wire;
/// OpenFGA's surface over gRPC and HTTP/JSON.
pub mod api;
/// Thin modules around the engine, blind to each other.
pub mod modules;
/// Bind, serve, drain.
pub mod server;

pub use engine::Engine as Bailiwick;
