//! How far an import is, as a record that is written in the batch of the chunk that it tells of.
//!
//! The record goes when the import comes to its end, so names can be used again and again.

use super::{ImportError, ImportQuery};
use crate::engine::records::{Module, RecordChange, Records};
use crate::engine::{Engine, QuestionError};
use serde::{Deserialize, Serialize};

const IMPORTS: Module = Module::new("import");

/// The record of one import.
pub(super) struct Kept {
    records: Records,
    key: Vec<u8>,
    /// The store's number, which is never used twice: what an earlier store of the same id left does not count.
    number: u32,
}

/// A place in a source: items done, and the sum of all their bytes, which tells another source from this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) lines: u64,
    pub(super) sum: u32,
}

/// The record's value, as JSON.
#[derive(Serialize, Deserialize)]
struct Value {
    store: u32,
    lines: u64,
    sum: u32,
}

impl Kept {
    /// The record of the import that the query names.
    pub(super) fn of(engine: &Engine, query: &ImportQuery, id: &str) -> Result<Kept, ImportError> {
        let snapshot = engine.inner.snapshot.load();
        let store = snapshot.store(query.store).ok_or(QuestionError::StoreNotFound(query.store))?;
        let key = [&query.store.0.0.to_be_bytes()[..], id.as_bytes()].concat();
        Ok(Kept { records: engine.records(IMPORTS), key, number: store.number })
    }

    /// How far it is; `None` when there is nothing to go on from.
    pub(super) fn read(&self) -> Result<Option<Place>, QuestionError> {
        let Some(bytes) = self.records.get(&self.key)? else { return Ok(None) };
        let Value { store, lines, sum } = serde_json::from_slice(&bytes).map_err(|_| QuestionError::Storage)?;
        Ok((store == self.number).then_some(Place { lines, sum }))
    }

    /// The change that keeps how far it is.
    pub(super) fn put(&self, place: Place) -> RecordChange {
        let value = Value { store: self.number, lines: place.lines, sum: place.sum };
        self.records.put(self.key.clone(), serde_json::to_vec(&value).unwrap_or_default())
    }

    /// The change that ends it.
    pub(super) fn delete(&self) -> RecordChange {
        self.records.delete(self.key.clone())
    }
}
