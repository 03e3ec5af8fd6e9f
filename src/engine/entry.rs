//! The entries of the log: every change of the database, in words rather than numbers, so that applying them again gives
//! the same numbers.

use super::collection::ChunkRow;
use super::types::OnDuplicate;
use crate::model::Model;
use crate::tuple::{Subject, SubjectRef, Tuple};
use crate::vector::Space;

/// One change of one store.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Entry {
    /// A store begins. `listed` is false when it was made by writing to an id that was never created.
    Create { store: u32, id: u128, name: String, at: i64, listed: bool },
    /// A store ends with all that is in it.
    Delete { store: u32 },
    /// A model is added.
    Model { store: u32, id: u128, model: Box<Model> },
    /// The assertions of a model are replaced.
    Assertions { store: u32, model: u128, body: Vec<u8> },
    /// Tuples are deleted, then written.
    Tuples { store: u32, at: i64, deletes: Vec<Tuple>, writes: Vec<Tuple> },
    /// Module records are set and removed, in this order.
    Records { changes: Vec<RecordRow> },
    /// A collection begins.
    Collection { store: u32, collection: u32, name: String, space: Space, guard: [String; 2], at: i64 },
    /// A collection ends with all that is in it.
    DropCollection { store: u32, collection: u32 },
    /// Chunks are deleted, by id, then written.
    Chunks { store: u32, collection: u32, deletes: Vec<String>, writes: Vec<ChunkRow> },
}

impl Entry {
    /// The number of the store it changes; module records belong to none.
    pub(crate) fn store(&self) -> Option<u32> {
        match self {
            Entry::Create { store, .. }
            | Entry::Delete { store }
            | Entry::Model { store, .. }
            | Entry::Assertions { store, .. }
            | Entry::Tuples { store, .. }
            | Entry::Collection { store, .. }
            | Entry::DropCollection { store, .. }
            | Entry::Chunks { store, .. } => Some(*store),
            Entry::Records { .. } => None,
        }
    }
}

/// A module record in the log: module, key, and its value unless it is removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RecordRow(pub(crate) String, pub(crate) Vec<u8>, pub(crate) Option<Vec<u8>>);

impl From<super::RecordChange> for RecordRow {
    fn from(change: super::RecordChange) -> RecordRow {
        RecordRow(change.module.name().to_owned(), change.key, change.value)
    }
}

/// The id part of a subject; the wildcard has none.
pub(crate) fn subject_id(subject: &Subject) -> Option<&str> {
    match subject.as_ref() {
        SubjectRef::Object(object) | SubjectRef::Userset { object, .. } => Some(object.id),
        SubjectRef::Wildcard { .. } => None,
    }
}

/// Whether a write that exists is to be skipped.
pub(crate) fn skips(on_duplicate: OnDuplicate) -> bool {
    on_duplicate == OnDuplicate::Ignore
}
