//! Snapshots kept for questions about an exact revision.

use super::state::Snapshot;
use crate::tuple::Revision;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;

/// What a snapshot keeps alive for each tuple change that came after it: the paths of two trees and two postings that the
/// change copied. An estimate from above for small postings; the bound on bytes counts with it.
pub(super) const BYTES_PER_CHANGE: u64 = 4_096;

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
    /// Keeps a snapshot, and lets go of the oldest ones beyond the bounds. The newest always stays.
    pub(super) fn push(&self, snapshot: Arc<Snapshot>, changes: u64, count_max: usize, bytes_max: u64) {
        let mut gone = Vec::new();
        let mut list = self.list.lock();
        if let Some((_, cost)) = list.snapshots.back_mut() {
            *cost = changes.saturating_mul(BYTES_PER_CHANGE);
            list.bytes = list.bytes.saturating_add(changes.saturating_mul(BYTES_PER_CHANGE));
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
            retained.push(own, 1, 4, u64::MAX);
        }
        let alive: Vec<bool> = weak.iter().map(|w| w.upgrade().is_some()).collect();
        assert_eq!(alive, [false, false, false, false, false, false, true, true, true, true]);
        assert_eq!(retained.size(), (4, 3 * BYTES_PER_CHANGE));
        assert_eq!(retained.find(Revision(7)).map(|s| s.revision), Some(Revision(7)));
        assert!(retained.find(Revision(5)).is_none());
        // A large write leaves only what the bound on bytes allows; the newest stays whatever it costs.
        retained.push(snapshot(10), 1_000, 4, 100 * BYTES_PER_CHANGE);
        assert_eq!(retained.size(), (1, 0));
        assert!(weak.iter().all(|w| w.upgrade().is_none()));
        assert!(retained.find(Revision(10)).is_some());
    }
}
