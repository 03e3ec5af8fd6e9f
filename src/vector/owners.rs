//! Which rows an object guards: runs of adjacent rows, the newest first.
//!
//! A rewrite leaves one run an owner. Rows appended later extend the owner's newest run or begin another that points at
//! the one before. Dead rows stay in their runs: the live set takes them out.

use super::paged::{FAN, Paged};
use super::set::RowSetBuilder;
use crate::tuple::ObjectSet;

/// No run, or none before.
const NONE: u32 = u32::MAX;

/// Rows `start..end` of one owner; `before` is the index of an older run.
#[derive(Clone, Copy, Debug)]
struct Run {
    start: u32,
    end: u32,
    before: u32,
}

const EMPTY: Run = Run { start: 0, end: 0, before: NONE };

/// The runs of every owner.
#[derive(Clone, Debug, Default)]
pub(super) struct Owners {
    newest: Paged<Run>,
    older: Paged<Run>,
}

impl Owners {
    /// Tells that `row`, the last there is, belongs to `owner`.
    pub(super) fn append(&mut self, owner: u32, row: u32) {
        let index = owner as usize;
        let run = self.newest.get(index).copied().unwrap_or(EMPTY);
        let next = if run.start == run.end {
            Run { start: row, end: row + 1, before: NONE }
        } else if run.end == row {
            Run { end: row + 1, ..run }
        } else {
            self.older.push(run);
            Run { start: row, end: row + 1, before: super::row_number(self.older.len() - 1) }
        };
        self.newest.set(index, next, &EMPTY);
    }

    /// Adds the rows of `owners` to a set, dead ones included.
    pub(super) fn collect(&self, owners: &ObjectSet, rows: &mut RowSetBuilder) {
        // Owners ascend, so that the leaf of one mostly holds the next.
        let (mut leaf, mut leaf_at): (&[Run], usize) = (&[], usize::MAX);
        for owner in owners {
            let index = owner.0 as usize;
            if index / FAN != leaf_at {
                (leaf, leaf_at) = (self.newest.leaf(index), index / FAN);
            }
            let mut run = leaf.get(index % FAN).copied().unwrap_or(EMPTY);
            while run.start != run.end {
                rows.add(run.start, run.end);
                // A run points only at one pushed before it, so that the walk ends.
                run = self.older.get(run.before as usize).copied().unwrap_or(EMPTY);
            }
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.newest.bytes() + self.older.bytes()
    }
}
