//! The index of an older program, made anew: events that it took are found as new ones are.
//!
//! The state of the tree says which leaves that are. A step reads some of them and writes their keys together with how far it
//! is, resting on the state, on the holds and on the drop that is under way: what is dropped meanwhile gets no key. Until it is
//! done a query looks at those leaves one by one, so that it finds the same, only later.

use super::grow::{INDEX_MAX, STEP_BYTES_MAX, STEP_EVENTS_MAX};
use super::query::index_keys;
use super::records::State;
use super::{AuditError, Log};
use crate::engine::RECORDS_PER_WRITE_MAX;

/// Most steps of one call: growth must not wait for them.
const STEPS_MAX: usize = 4;

impl Log {
    /// Puts leaves into the index that an older one lacks, a few steps. Answers whether there are more.
    ///
    /// # Errors
    /// The disk failed, or records are damaged.
    pub(super) fn index_again(&self) -> Result<bool, AuditError> {
        for _ in 0..STEPS_MAX {
            if !self.index_step()? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn index_step(&self) -> Result<bool, AuditError> {
        let records = &self.records;
        let (state, unchanged) = records.state()?;
        let (from, to) = state.old_index;
        if from >= to {
            return Ok(false);
        }
        // Before the events: what is dropped behind them refuses the write.
        let (holds, _) = records.generation()?;
        let drop = records.raw(&records.drop_key())?;
        let (mut changes, mut at, mut bytes) = (Vec::new(), from, 0);
        let mut reader = self.reader();
        while at < to && at - from < STEP_EVENTS_MAX as u64 && bytes < STEP_BYTES_MAX {
            if changes.len() + INDEX_MAX + 1 > RECORDS_PER_WRITE_MAX {
                break;
            }
            let entry = match reader.entry(at) {
                // Another drops between two reads of this one.
                Err(_) if records.raw(&records.drop_key())? != drop => return Ok(true),
                // What is not there any more has no keys; `verify` finds it. The log goes on.
                Err(AuditError::Changed { .. }) => {
                    at += 1;
                    continue;
                }
                entry => entry?,
            };
            bytes += entry.bytes.as_ref().map_or(0, Vec::len);
            if let Some(Ok(event)) = entry.event().filter(|read| matches!(read, Ok(e) if e.tenant() == self.tenant())) {
                changes.extend(
                    index_keys(records, &event, at).into_iter().map(|key| records.records.put(key, Vec::new())),
                );
            }
            at += 1;
        }
        changes.push(records.put_state(State { old_index: (at, to), ..state }));
        let expected = vec![unchanged, holds, records.records.expect(records.drop_key(), drop)];
        records.write_if(expected, changes)?;
        // One that was not written found another at work: there may be more.
        Ok(true)
    }
}
