//! Bailiwick, an authorization database: relationship tuples in, exact answers out, in OpenFGA's model language.
//!
//! The rooms, in the order of dependency; each uses only those before it (`tests/tidy.rs` holds the rule).
/// Words of the field: objects, subjects, tuples, ordinals and sets of them.
pub mod tuple;
/// The authorization model: parse, check, compile to a plan; conditions.
pub mod model;
/// What survives: log, keys, batches. The home of RocksDB.
pub mod storage;
/// What is fast: names, columns of postings, snapshots. In memory, rebuilt from storage.
pub mod index;
/// The questions, one file each, and the one writer.
pub mod engine;
