//! Snapshots kept for questions about an exact revision.

use super::state::Snapshot;
use crate::tuple::Revision;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;

/// What a snapshot keeps alive for each tuple change that came after it: the paths of two trees and two postings that the
/// change copied. From above, as long as the changes are few and far from each other.
const BYTES_PER_CHANGE: u64 = 4_096;
/// What it keeps alive at most of a store: the columns, for each tuple that it had (half again what they take on the
/// `scale` data; names are shared by all snapshots), and what a store has besides.
const BYTES_PER_TUPLE: u64 = 32;
const BYTES_PER_STORE: u64 = 4_096;

/// Bytes that a snapshot keeps alive of a store that had `tuples` in it and of which `changes` came after it. An estimate;
/// the bound on bytes counts with it.
pub(super) fn kept_alive(tuples: u64, changes: u64) -> u64 {
    let whole = tuples.saturating_mul(BYTES_PER_TUPLE).saturating_add(BYTES_PER_STORE);
    whole.min(changes.saturating_mul(BYTES_PER_CHANGE))
}

/// See the file's head.
#[derive(Default)]
pub(super) struct Retained {
    list: Mutex<List>,
}

#[derive(Default)]
struct List {
    /// By revision; the last one is the newest. With each: what it keeps alive that the next one does not.
    snapshots: VecDeque<(Arc<Snapshot>, u64)>,
    bytes: u64,
}

impl Retained {
    /// Keeps a snapshot, and lets go of the oldest ones beyond the bounds. The newest always stays. `kept_alive` is what the
    /// one before it then holds alone.
    pub(super) fn push(&self, snapshot: Arc<Snapshot>, kept_alive: u64, count_max: usize, bytes_max: u64) {
        let mut gone = Vec::new();
        let mut list = self.list.lock();
        if let Some((_, cost)) = list.snapshots.back_mut() {
            *cost = kept_alive;
            list.bytes = list.bytes.saturating_add(kept_alive);
        }
        list.snapshots.push_back((snapshot, 0));
        while list.snapshots.len() > 1 && (list.snapshots.len() > count_max || list.bytes > bytes_max) {
            if let Some((old, cost)) = list.snapshots.pop_front() {
                list.bytes = list.bytes.saturating_sub(cost);
                gone.push(old);
            }
        }
        drop(list);
        drop(gone); // outside of the lock: it may free much
    }

    /// Puts a snapshot in the place of the newest one, whose revision it has. `kept_alive` is what those before it then hold
    /// alone, together.
    pub(super) fn replace_newest(&self, snapshot: Arc<Snapshot>, kept_alive: u64, bytes_max: u64) {
        let mut gone = Vec::new();
        let mut list = self.list.lock();
        let old = list.snapshots.back_mut().map(|(newest, _)| std::mem::replace(newest, snapshot));
        let before = list.snapshots.len().checked_sub(2);
        if let Some((_, cost)) = before.and_then(|at| list.snapshots.get_mut(at)) {
            *cost = cost.saturating_add(kept_alive);
            list.bytes = list.bytes.saturating_add(kept_alive);
        }
        while list.snapshots.len() > 1 && list.bytes > bytes_max {
            if let Some((old, cost)) = list.snapshots.pop_front() {
                list.bytes = list.bytes.saturating_sub(cost);
                gone.push(old);
            }
        }
        drop(list);
        drop((old, gone)); // outside of the lock: they may free much
    }

    /// The snapshot of a revision, while it is kept.
    pub(super) fn find(&self, revision: Revision) -> Option<Arc<Snapshot>> {
        let list = self.list.lock();
        let at = list.snapshots.binary_search_by_key(&revision, |(s, _)| s.revision).ok()?;
        list.snapshots.get(at).map(|(s, _)| Arc::clone(s))
    }

    /// How many are kept, and what they keep alive, near enough.
    pub(super) fn size(&self) -> (usize, u64) {
        let list = self.list.lock();
        (list.snapshots.len(), list.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(revision: u64) -> Arc<Snapshot> {
        let mut snapshot = Snapshot::default();
        snapshot.revision = Revision(revision);
        Arc::new(snapshot)
    }

    #[test]
    fn old_snapshots_go_by_count_and_by_bytes() {
        let retained = Retained::default();
        let mut weak = Vec::new();
        for revision in 0..10 {
            let own = snapshot(revision);
            weak.push(Arc::downgrade(&own));
            retained.push(own, 100, 4, u64::MAX);
        }
        let alive: Vec<bool> = weak.iter().map(|w| w.upgrade().is_some()).collect();
        assert_eq!(alive, [false, false, false, false, false, false, true, true, true, true]);
        assert_eq!(retained.size(), (4, 300));
        assert_eq!(retained.find(Revision(7)).map(|s| s.revision), Some(Revision(7)));
        assert!(retained.find(Revision(5)).is_none());
        // A large write leaves only what the bound on bytes allows; the newest stays whatever it costs.
        retained.push(snapshot(10), 1_000, 4, 999);
        assert_eq!(retained.size(), (1, 0));
        assert!(weak.iter().all(|w| w.upgrade().is_none()));
        assert!(retained.find(Revision(10)).is_some());
    }

    #[test]
    fn a_snapshot_keeps_alive_no_more_than_there_is() {
        assert_eq!(kept_alive(1_000_000, 3), 3 * BYTES_PER_CHANGE);
        assert_eq!(kept_alive(0, 10_000), BYTES_PER_STORE, "a chunk that fills an empty store leaves next to nothing");
        assert_eq!(kept_alive(1_000, 10_000), 1_000 * BYTES_PER_TUPLE + BYTES_PER_STORE);
        assert_eq!(kept_alive(1_000, 0), 0);
        assert_eq!(kept_alive(u64::MAX, u64::MAX), u64::MAX);
    }
}
