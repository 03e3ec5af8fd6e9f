//! What can be wrong with an export, and what a verification found.

use super::note::{Checkpoint, NoteError, Verified};
use super::query::Filter;

/// Most faults that are named; the others are counted.
pub const FAULTS_MAX: usize = 100;

/// Something that is wrong with an export.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Not an export, or of a version that is not known.
    #[error("this is no export of an audit log: {0}")]
    Head(String),
    /// A line cannot be read.
    #[error("line {line} cannot be read: {what}")]
    Line {
        /// From 1.
        line: u64,
        /// Why.
        what: String,
    },
    /// The checkpoint is not signed by a key that was given, or was changed.
    #[error("checkpoint: {0}")]
    Checkpoint(NoteError),
    /// Events are not there.
    #[error("missing: events {from} to {last}", last = to - 1)]
    Missing {
        /// The first.
        from: u64,
        /// The one behind the last.
        to: u64,
    },
    /// An event is there twice.
    #[error("line {line}: event {index} is there a second time")]
    Twice {
        /// From 1.
        line: u64,
        /// Which.
        index: u64,
    },
    /// An event stands behind one with a higher number.
    #[error("reordered: event {index} stands in line {line}, behind event {after}")]
    Order {
        /// From 1.
        line: u64,
        /// Which.
        index: u64,
        /// Behind which.
        after: u64,
    },
    /// An event has an earlier place in the log than the one before it.
    #[error("reordered: event {index} has an earlier place in the log than the one before it")]
    Place {
        /// Which.
        index: u64,
    },
    /// An event is not what its leaf says.
    #[error("changed: event {index} is not the one of its leaf")]
    Changed {
        /// Which.
        index: u64,
    },
    /// An event that no log of this tenant has.
    #[error("event {index} {what}")]
    Event {
        /// Which.
        index: u64,
        /// What is wrong with it.
        what: String,
    },
    /// An event of a selection has no proof, or one that proves nothing.
    #[error("event {index} is not proved to be in the log that was signed")]
    Proof {
        /// Which.
        index: u64,
    },
    /// An event of a selection is none that it selects.
    #[error("event {index} is none of this selection")]
    Selection {
        /// Which.
        index: u64,
    },
    /// The events and the head do not give the root that was signed.
    #[error(
        "changed: these events do not give the root that was signed, though each fits its own leaf; \
         at least one was replaced together with its leaf, or the head was changed"
    )]
    Root,
    /// The file ends before its end.
    #[error("truncated: the file ends after line {line}, before its last line")]
    Truncated {
        /// The last line that is there.
        line: u64,
    },
    /// The last line counts others than there are.
    #[error("the last line counts {told} events, of them {told_dropped} dropped; there are {lines}, and {dropped}")]
    Count {
        /// What it says.
        told: u64,
        /// What it says.
        told_dropped: u64,
        /// What is there.
        lines: u64,
        /// What is there.
        dropped: u64,
    },
    /// Something stands behind the last line.
    #[error("line {line} stands behind the end")]
    Behind {
        /// From 1.
        line: u64,
    },
    /// Events have no body, and no event says that they were dropped.
    #[error(
        "missing: events {from} to {last} have no body, and no event of the log says that they were dropped; \
         if they were, export again with a checkpoint that is newer than the drop", last = to - 1
    )]
    Untold {
        /// The first.
        from: u64,
        /// The one behind the last.
        to: u64,
    },
    /// The older checkpoint is not to be believed.
    #[error("older checkpoint: {0}")]
    Since(NoteError),
    /// The older checkpoint is of another log.
    #[error("the older checkpoint is of the log `{theirs}`, the export of `{ours}`")]
    OtherLog {
        /// The name in the older checkpoint.
        theirs: String,
        /// The name in the export.
        ours: String,
    },
    /// The log does not continue the older checkpoint.
    #[error(
        "fork: the log does not continue the older checkpoint of {size} events; keep both, they prove two histories"
    )]
    Fork {
        /// The older checkpoint's size.
        size: u64,
    },
    /// The older checkpoint has more events.
    #[error(
        "set back: the older checkpoint has {since} events, the export's only {size}; \
         this export is older, or the log was cut"
    )]
    SetBack {
        /// The older checkpoint's size.
        since: u64,
        /// The export's.
        size: u64,
    },
    /// Nothing in the export tells of the older checkpoint.
    #[error("the export does not show whether it continues the older checkpoint; export again with `--since {0}`")]
    Unproved(u64),
    /// Only a part of the log.
    #[error("truncated: events {from} to {to} of {size} are there, and all are wanted")]
    NotWhole {
        /// The first.
        from: u64,
        /// The one behind the last.
        to: u64,
        /// All.
        size: u64,
    },
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The tenant.
    pub tenant: u32,
    /// The checkpoint; believe it only when there is no fault.
    pub checkpoint: Option<Checkpoint>,
    /// The checkpoint as a note.
    pub note: String,
    /// The first event of the range.
    pub from: u64,
    /// The one behind its last.
    pub to: u64,
    /// What was selected of it.
    pub selection: Option<Filter>,
    /// Lines of events.
    pub lines: u64,
    /// Of them, those whose event was dropped.
    pub dropped: u64,
    /// Of them, those whose event this program cannot read; they are proved all the same.
    pub unread: u64,
    /// How many events are gone of which only later ones, that are not in the export, may tell.
    pub untold: u64,
    /// The witnesses that signed.
    pub witnesses: Vec<Verified>,
    /// What the head says are the log's keys.
    pub keys: Vec<String>,
    /// What is wrong.
    pub faults: Vec<Fault>,
    /// How many faults there are besides.
    pub more_faults: u64,
}

impl Report {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.faults.is_empty()
    }

    pub(super) fn fault(&mut self, fault: Fault) {
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(fault);
        } else {
            self.more_faults += 1;
        }
    }
}
