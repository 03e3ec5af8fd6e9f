//! Retention: how much of the log is kept, and taking away what is not.
//!
//! The tables always hold the state at the head, so an old entry serves ReadChanges only. Entries go oldest first, in the
//! batch of a later write, a few at a time. For each store the last change that went is remembered, so that a reader who
//! comes back with a place before it is told so, and one who had seen it is not.

use super::log;
use super::state::{Sink, Snapshot};
use crate::storage::{Key, StorageError, Table};
use crate::tuple::{Revision, Timestamp};
use std::time::Duration;

/// Most entries that one batch takes away: a few more than a batch adds, so that trimming keeps up and no write waits long.
const TRIM_MAX: usize = 16;

/// How much of the log is kept. With both set, an entry goes when it is behind both. The default keeps all, which is what
/// OpenFGA's ReadChanges promises.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogRetention {
    /// Keep at least this many of the newest revisions.
    pub revisions: Option<u64>,
    /// Keep at least what is younger than this, measured from the newest write.
    pub age: Option<Duration>,
}

impl LogRetention {
    /// Whether an entry may go.
    fn passed(&self, revision: Revision, at: i64, head: Revision, newest: Timestamp) -> bool {
        let old = self.revisions.is_none_or(|keep| revision.0.saturating_add(keep) <= head.0);
        let aged = self.age.is_none_or(|age| {
            let age = i64::try_from(age.as_nanos()).unwrap_or(i64::MAX);
            newest.0 > 0 && at <= newest.0.saturating_sub(age)
        });
        old && aged && (self.revisions.is_some() || self.age.is_some())
    }
}

/// Takes entries away that retention has passed.
pub(super) fn trim(
    state: &mut Snapshot,
    sink: &mut Sink<'_>,
    retention: &LogRetention,
    newest: Timestamp,
) -> Result<(), StorageError> {
    if retention.revisions.is_none() && retention.age.is_none() {
        return Ok(());
    }
    let Some(reading) = &sink.reading else { return Ok(()) };
    let (head, mut passed) = (state.revision, Vec::new());
    let from = Key::of(Table::Log).u64(state.log_from.0 + 1);
    reading.scan(&Key::of(Table::Log), Some(&from), |mut key, value| {
        let revision = Revision(key.u64().ok_or(StorageError)?);
        let header = log::header(value).ok_or(StorageError)?;
        if !retention.passed(revision, header.at, head, newest) {
            return Ok(false);
        }
        passed.push((revision, header));
        Ok(passed.len() < TRIM_MAX)
    })?;
    for (revision, header) in passed {
        sink.batch.delete(&Key::of(Table::Log).u64(revision.0));
        for touched in header.touched {
            sink.batch.delete(&Key::of(Table::LogByStore).u32(touched.store).u64(revision.0));
            for t in touched.types {
                sink.batch.delete(&Key::of(Table::LogByType).u32(touched.store).u16(t).u64(revision.0));
            }
            if state.has_number(touched.store) {
                let last = [&revision.0.to_be_bytes()[..], &touched.last.to_be_bytes()].concat();
                sink.batch.put(&Key::of(Table::LogByStore).u32(touched.store).u64(0), &last);
            }
        }
        state.log_from = revision;
        sink.batch.put(&Key::of(Table::Meta).u16(3), &revision.0.to_be_bytes());
    }
    Ok(())
}
