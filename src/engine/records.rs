//! Module records: what a module keeps beside tuples, in an ordered space of keys of its own.
//!
//! A change of records travels in the batch and the log entry of the tuple changes that it belongs to, so that neither
//! exists without the other after a crash. Records are bytes: their module alone knows what they mean. They live on disk
//! only; nothing of them is held in memory.

use super::writer::Change;
use super::{At, Engine, QuestionError, WriteError, WriteQuery};
use crate::storage::{Fields, Key, Table};

/// Longest name of a module.
pub const MODULE_NAME_BYTES_MAX: usize = 32;
/// Longest key of a record, without its module's prefix.
pub const RECORD_KEY_BYTES_MAX: usize = 512;
/// Longest value of a record.
pub const RECORD_VALUE_BYTES_MAX: usize = 1 << 20;
/// Most record changes of one write.
pub const RECORDS_PER_WRITE_MAX: usize = 1_000;
/// Most records of one page of a scan.
pub const RECORDS_PER_PAGE_MAX: usize = 1_000;

/// Pages of at most so many records are read as what is looked up often: a person's credentials, an agent's drafts.
const SMALL_PAGE_MAX: usize = 100;

/// The name of a module, which is the prefix of its records. It is on disk: never change one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Module(&'static str);

impl Module {
    /// A module's name, 1 to [`MODULE_NAME_BYTES_MAX`] bytes. Make it a constant, so that a wrong one does not compile.
    ///
    /// # Panics
    /// The name is empty or too long.
    #[must_use]
    pub const fn new(name: &'static str) -> Module {
        assert!(!name.is_empty() && name.len() <= MODULE_NAME_BYTES_MAX, "a module's name has 1 to 32 bytes");
        Module(name)
    }

    /// The name.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.0
    }
}

/// Bytes that the writer adds to the key of an appended record: its revision and its place there, big-endian.
pub const RECORD_PLACE_BYTES: usize = 12;

/// One record to set, to remove, or to append.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordChange {
    /// Whose it is.
    pub module: Module,
    /// Its key within the module; the start of it when it is appended.
    pub key: Vec<u8>,
    /// Its new value; `None` removes the record, if it is there.
    pub value: Option<Vec<u8>>,
    /// Whether the writer adds revision (u64) and place (u32) to the key, so that records stand in the order of the log.
    /// The place counts the appended records of a revision from 0, whosever they are.
    pub appended: bool,
}

/// What a record must be for a write to take place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordExpectation {
    /// Whose it is.
    pub module: Module,
    /// Its key within the module.
    pub key: Vec<u8>,
    /// Its value; `None` when there must be none.
    pub value: Option<Vec<u8>>,
}

/// A key and its value.
pub type Record = (Vec<u8>, Vec<u8>);

/// The records of one module. Answers from what is committed at the moment of the call.
#[derive(Clone)]
pub struct Records {
    engine: Engine,
    module: Module,
}

impl Engine {
    /// The records of a module.
    #[must_use]
    pub fn records(&self, module: Module) -> Records {
        Records { engine: self.clone(), module }
    }
}

/// Where a module's records are: its name goes before the key with its length, so that no module is the prefix of another.
pub(super) fn prefix(module: &str) -> Key {
    Key::of(Table::Records).text_with_len(module)
}

/// Refuses what is over a bound.
pub(super) fn check(expectations: &[RecordExpectation], changes: &[RecordChange]) -> Result<(), WriteError> {
    let full = |what, max: usize| Err(WriteError::Full { what, max: max as u64 });
    if changes.len() > RECORDS_PER_WRITE_MAX {
        return full("the number of record changes in one write", RECORDS_PER_WRITE_MAX);
    }
    if expectations.len() > RECORDS_PER_WRITE_MAX {
        return full("the number of expected records in one write", RECORDS_PER_WRITE_MAX);
    }
    let bytes = |c: &RecordChange| c.key.len() + if c.appended { RECORD_PLACE_BYTES } else { 0 };
    if changes.iter().any(|c| bytes(c) > RECORD_KEY_BYTES_MAX) {
        return full("the length of a record's key in bytes", RECORD_KEY_BYTES_MAX);
    }
    if changes.iter().any(|c| c.value.as_ref().is_some_and(|v| v.len() > RECORD_VALUE_BYTES_MAX)) {
        return full("the length of a record's value in bytes", RECORD_VALUE_BYTES_MAX);
    }
    Ok(())
}

impl Records {
    /// The change that sets a record: for [`WriteQuery::records`], or for [`Records::write`].
    #[must_use]
    pub fn put(&self, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> RecordChange {
        RecordChange { module: self.module, key: key.into(), value: Some(value.into()), appended: false }
    }

    /// The change that adds a record behind all that were appended under this start of a key: the writer adds the
    /// revision and a place to it.
    #[must_use]
    pub fn append(&self, start: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> RecordChange {
        RecordChange { appended: true, ..self.put(start, value) }
    }

    /// The change that removes a record, if it is there.
    #[must_use]
    pub fn delete(&self, key: impl Into<Vec<u8>>) -> RecordChange {
        RecordChange { module: self.module, key: key.into(), value: None, appended: false }
    }

    /// What a write may rest on: that a record has this value, or is not there. For [`WriteQuery::expectations`], or for
    /// [`Records::write_if`].
    #[must_use]
    pub fn expect(&self, key: impl Into<Vec<u8>>, value: Option<Vec<u8>>) -> RecordExpectation {
        RecordExpectation { module: self.module, key: key.into(), value }
    }

    /// Makes changes that belong to no tuple, all or nothing.
    ///
    /// # Errors
    /// A bound is reached, or the disk failed.
    pub fn write(&self, changes: Vec<RecordChange>) -> Result<At<()>, WriteError> {
        self.write_if(Vec::new(), changes)
    }

    /// The same, if records are as they are expected when the write's turn comes. The expectations may be of any module.
    ///
    /// # Errors
    /// [`WriteError::RecordChanged`] when one is not, and then nothing changes; else as [`Records::write`].
    pub fn write_if(
        &self,
        expectations: Vec<RecordExpectation>,
        changes: Vec<RecordChange>,
    ) -> Result<At<()>, WriteError> {
        check(&expectations, &changes)?;
        self.engine.submit(Change::Records { expectations, changes })
    }

    /// The value of a record.
    ///
    /// # Errors
    /// The disk failed.
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, QuestionError> {
        let reading = self.engine.inner.storage.reading();
        reading.get(&prefix(self.module.0).tail(key)).map_err(|_| QuestionError::Storage)
    }

    /// Records whose keys begin with `start`, in the order of their keys, behind the key `after`; at most `page_size` and
    /// never more than [`RECORDS_PER_PAGE_MAX`]. A page that is not full is the last one.
    ///
    /// # Errors
    /// The disk failed.
    pub fn scan(&self, start: &[u8], after: Option<&[u8]>, page_size: usize) -> Result<Vec<Record>, QuestionError> {
        let page_size = page_size.min(RECORDS_PER_PAGE_MAX);
        let reading = self.engine.inner.storage.reading();
        let from = after.map(|key| prefix(self.module.0).tail(key).tail(&[0])); // the next key there can be
        let mut page = Vec::new();
        if page_size == 0 {
            return Ok(page);
        }
        let start_of = prefix(self.module.0).tail(start);
        let visit = |rest: Fields<'_>, value: &[u8]| {
            page.push(([start, rest.0].concat(), value.to_vec()));
            Ok(page.len() < page_size)
        };
        let scanned = if page_size <= SMALL_PAGE_MAX {
            reading.look(&start_of, from.as_ref(), visit)
        } else {
            reading.scan(&start_of, from.as_ref(), visit)
        };
        scanned.map_err(|_| QuestionError::Storage)?;
        Ok(page)
    }
}

impl WriteQuery {
    /// The same write, with a change of records in the same batch.
    #[must_use]
    pub fn with_record(mut self, change: RecordChange) -> WriteQuery {
        self.records.push(change);
        self
    }

    /// The same write, which fails when a record is not as it is expected.
    #[must_use]
    pub fn expecting(mut self, expectation: RecordExpectation) -> WriteQuery {
        self.expectations.push(expectation);
        self
    }
}
