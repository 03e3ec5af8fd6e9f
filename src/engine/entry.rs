//! The entries of the log: every change of the database, in words rather than numbers, so that applying them again gives
//! the same numbers.

use super::types::OnDuplicate;
use crate::model::Model;
use crate::tuple::{Context, Subject, SubjectRef, Tuple, TupleCondition, TupleKeyRef};
use serde::{Deserialize, Serialize};

/// One change of one store.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Entry {
    /// A store begins. `listed` is false when it was made by writing to an id that was never created.
    Create { store: u32, id: u128, name: String, at: i64, listed: bool },
    /// A store ends with all that is in it.
    Delete { store: u32 },
    /// A model is added.
    Model { store: u32, id: u128, model: Model },
    /// The assertions of a model are replaced.
    Assertions { store: u32, model: u128, body: Vec<u8> },
    /// Tuples are deleted, then written.
    Tuples { store: u32, at: i64, deletes: Vec<Row>, writes: Vec<Row> },
    /// Module records are set and removed, in this order.
    Records { changes: Vec<RecordRow> },
}

impl Entry {
    /// The number of the store it changes; module records belong to none.
    pub(crate) fn store(&self) -> Option<u32> {
        match self {
            Entry::Create { store, .. }
            | Entry::Delete { store }
            | Entry::Model { store, .. }
            | Entry::Assertions { store, .. }
            | Entry::Tuples { store, .. } => Some(*store),
            Entry::Records { .. } => None,
        }
    }
}

/// A module record in the log: module, key, and its value unless it is removed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct RecordRow(pub(crate) String, pub(crate) Vec<u8>, pub(crate) Option<Vec<u8>>);

impl From<super::RecordChange> for RecordRow {
    fn from(change: super::RecordChange) -> RecordRow {
        RecordRow(change.module.name().to_owned(), change.key, change.value)
    }
}

/// A tuple in the log: object, relation, subject as text; condition and context.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Row(
    pub(crate) String,
    pub(crate) String,
    pub(crate) String,
    #[serde(default, skip_serializing_if = "Option::is_none")] pub(crate) Option<(String, Context)>,
);

impl From<&Tuple> for Row {
    fn from(tuple: &Tuple) -> Row {
        let condition = tuple.condition.as_ref().map(|c| (c.name.clone(), c.context.clone()));
        Row(tuple.object.to_string(), tuple.relation.clone(), tuple.subject.to_string(), condition)
    }
}

impl Row {
    /// The tuple; `None` when the text is damaged.
    pub(crate) fn tuple(&self) -> Option<Tuple> {
        let mut tuple = TupleKeyRef::parse(&self.0, &self.1, &self.2).ok()?.to_tuple();
        tuple.condition = self.3.as_ref().map(|(n, c)| TupleCondition { name: n.clone(), context: c.clone() });
        Some(tuple)
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
