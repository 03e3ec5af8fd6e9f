//! What survives: one ordered space of keys, divided into tables; batches that are all or nothing; consistent readings.
//!
//! Storage decides nothing and knows no model: it keeps bytes. The keys are drawn in `schema/keys.md`.

mod keys;
mod marker;
mod rocks;

pub use keys::{Fields, Key, Table};
pub use rocks::{Batch, OpenError, Reading, Storage, StorageError, StorageMemory};

/// The version of the layout that this program writes and reads.
pub const FORMAT_VERSION: u32 = 2;
/// The oldest version of the layout that this program reads.
pub const FORMAT_VERSION_OLDEST: u32 = 1;
const _: () = assert!(FORMAT_VERSION_OLDEST <= FORMAT_VERSION, "what is written can be read");
