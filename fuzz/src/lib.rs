//! The pure rooms, compiled without the others.

#[path = "../../src/model/mod.rs"]
pub mod model;
#[path = "../../src/storage/keys.rs"]
pub mod keys;
#[path = "../../src/secrets/mod.rs"]
pub mod secrets;
#[path = "../../src/tuple/mod.rs"]
pub mod tuple;
#[allow(unused_imports, reason = "the engine uses more of it")]
#[path = "../../src/vector/mod.rs"]
pub mod vector;

/// The audit log's tree and its notes.
#[path = "."]
pub mod audit {
    #[path = "../../src/modules/audit/note.rs"]
    pub mod note;
    #[path = "../../src/modules/audit/tree.rs"]
    pub mod tree;
}
