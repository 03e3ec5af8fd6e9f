//! What subjects may see, kept between searches and exact under writes.
//!
//! A set of objects comes from postings: for each column that the model leads through, those of the subjects that the
//! evaluation reached. A kept set remembers which those were. A tuple that was written or deleted since changes the set
//! only if its subject is among them: otherwise the same evaluation would read the same postings again. So a write to one
//! folder costs those who may see the folder, and nobody else. The argument holds backwards too, for a snapshot that is
//! older than the set. Sets that were not made from postings alone (conditions, contextual tuples, a cycle through
//! `but not`) are never kept.

use super::state::Collection;
use super::types::CollectionSpec;
use crate::engine::plan::NodeId;
use crate::engine::world::Who;
use crate::index::ColumnIx;
use crate::tuple::{ModelId, ObjectSet, Ordinal, Revision};
use crate::vector::RowSet;
use hashbrown::HashMap;
use parking_lot::{Mutex, RwLock};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Changes of one store that are remembered.
const CHANGES_MAX: usize = 1 << 16;
/// Changes that are compared with a kept set; behind more of them it is made anew.
const CHANGES_COMPARED_MAX: usize = 1 << 12;
/// Sets for collections that one subject's kept set holds.
const ROWS_MAX: usize = 16;
/// All sets are counted again when those that came may be this part of the bound.
const GROWN_PART: usize = 8;
/// What a kept set takes besides its bitmaps, near enough.
const KEPT_BYTES: usize = 512;

/// Whose set: store (its number is never used again), model, relation, subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct KeptKey {
    pub(super) store: u32,
    pub(super) model: ModelId,
    pub(super) node: NodeId,
    pub(super) who: Who,
}

/// The subjects whose postings an evaluation read, by column.
pub(crate) type Reads = HashMap<ColumnIx, ObjectSet>;

/// A subject's set.
pub(super) struct Kept {
    pub(super) objects: Arc<ObjectSet>,
    reads: Reads,
    /// A revision at which the set is right.
    revision: AtomicU64,
    /// When it was used last, in uses of all.
    used: AtomicU64,
    rows: Mutex<Vec<KeptRows>>,
    bytes: AtomicUsize,
}

/// The rows of a collection that a set admits, at a revision.
struct KeptRows {
    /// Which collection: a number may be used again, this is not.
    spec: Arc<CollectionSpec>,
    revision: Revision,
    rows: Arc<RowSet>,
}

/// The tuple changes of one store, the oldest first.
struct Changes {
    /// Complete for revisions behind this one.
    from: Revision,
    list: VecDeque<(Revision, ColumnIx, Ordinal)>,
}

/// All kept sets of a database.
pub(crate) struct KeptSets {
    sets: Mutex<HashMap<KeptKey, Arc<Kept>>>,
    changes: RwLock<HashMap<u32, Changes>>,
    uses: AtomicU64,
    bytes: AtomicUsize,
    /// Bytes that came since all were counted.
    grown: AtomicUsize,
    bytes_max: usize,
}

impl Kept {
    pub(super) fn new(objects: ObjectSet, reads: Reads, revision: Revision) -> Kept {
        let bytes = KEPT_BYTES + objects.bytes() + reads.values().map(ObjectSet::bytes).sum::<usize>();
        Kept {
            objects: Arc::new(objects),
            reads,
            revision: AtomicU64::new(revision.0),
            used: AtomicU64::new(0),
            rows: Mutex::default(),
            bytes: AtomicUsize::new(bytes),
        }
    }

    fn touched_by(&self, column: ColumnIx, subject: Ordinal) -> bool {
        self.reads.get(&column).is_some_and(|subjects| subjects.contains(subject))
    }

    /// The rows of a collection, as it is at a revision.
    pub(super) fn rows(&self, sets: &KeptSets, of: &Collection, revision: Revision) -> Arc<RowSet> {
        let vectors = &of.vectors;
        let mut list = self.rows.lock();
        let at = list.iter().position(|kept| Arc::ptr_eq(&kept.spec, &of.spec));
        let known = at.and_then(|at| list.get_mut(at));
        let newer = known.as_ref().is_some_and(|kept| kept.revision > revision);
        if let Some(kept) = known.filter(|kept| kept.revision <= revision) {
            if vectors.is_state_of(&kept.rows) {
                return Arc::clone(&kept.rows);
            }
            if let Ok(rows) = vectors.refreshed(&kept.rows, &self.objects) {
                let (rows, before) = (Arc::new(rows), kept.rows.bytes());
                (kept.revision, kept.rows) = (revision, Arc::clone(&rows));
                self.grow(sets, rows.bytes(), before);
                return rows;
            }
        }
        let rows = Arc::new(vectors.rows_of(&self.objects));
        if !newer {
            let mut gone = at.map_or(0, |at| list.swap_remove(at).rows.bytes());
            while list.len() >= ROWS_MAX {
                gone += list.swap_remove(0).rows.bytes();
            }
            list.push(KeptRows { spec: Arc::clone(&of.spec), revision, rows: Arc::clone(&rows) });
            self.grow(sets, rows.bytes(), gone);
        }
        rows
    }

    /// Counts bytes that came and went. The sum over all sets is near enough until it is counted again.
    fn grow(&self, sets: &KeptSets, came: usize, went: usize) {
        self.bytes.fetch_add(came, Ordering::Relaxed);
        self.bytes.fetch_sub(went, Ordering::Relaxed);
        sets.grown.fetch_add(came, Ordering::Relaxed);
    }
}

impl KeptSets {
    pub(crate) fn new(bytes_max: usize) -> KeptSets {
        KeptSets {
            sets: Mutex::default(),
            changes: RwLock::default(),
            uses: AtomicU64::new(0),
            bytes: AtomicUsize::new(0),
            grown: AtomicUsize::new(0),
            bytes_max,
        }
    }

    /// Sets kept, and their bytes, near enough.
    pub(crate) fn size(&self) -> (usize, usize) {
        let sets = self.sets.lock();
        self.recount(&sets);
        (sets.len(), self.bytes.load(Ordering::Relaxed))
    }

    /// Notes what a group of writes changed in stores with collections: the writer calls it before the snapshot is seen.
    pub(crate) fn note(&self, before: Revision, revision: Revision, edges: &[(u32, ColumnIx, Ordinal)]) {
        if edges.is_empty() {
            return;
        }
        let mut changes = self.changes.write();
        for (store, column, subject) in edges {
            let of = changes.entry(*store).or_insert_with(|| Changes { from: before, list: VecDeque::new() });
            of.list.push_back((revision, *column, *subject));
            while of.list.len() > CHANGES_MAX {
                if let Some((gone, ..)) = of.list.pop_front() {
                    of.from = of.from.max(gone);
                }
            }
        }
    }

    /// Forgets all sets of a store: its changes were not noted up to `revision`, or the store is gone.
    pub(crate) fn forget(&self, store: u32, revision: Revision, gone: bool) {
        let mut changes = self.changes.write();
        if !gone {
            changes.insert(store, Changes { from: revision, list: VecDeque::new() });
        } else if let Some(of) = changes.get_mut(&store) {
            // Older views may still ask: nothing that they keep can be compared any more.
            *of = Changes { from: Revision(u64::MAX), list: VecDeque::new() };
        }
        drop(changes);
        let mut sets = self.sets.lock();
        sets.retain(|key, _| key.store != store);
        self.recount(&sets);
    }

    fn recount(&self, sets: &HashMap<KeptKey, Arc<Kept>>) {
        let total = sets.values().map(|kept| kept.bytes.load(Ordering::Relaxed)).sum();
        self.bytes.store(total, Ordering::Relaxed);
    }

    /// The set of a key, if one is kept that is right at `revision`.
    pub(super) fn find(&self, key: &KeptKey, revision: Revision) -> Option<Arc<Kept>> {
        let kept = Arc::clone(self.sets.lock().get(key)?);
        let right_at = Revision(kept.revision.load(Ordering::Acquire));
        if right_at != revision {
            if !self.unchanged(key.store, &kept, right_at, revision) {
                return None;
            }
            kept.revision.fetch_max(revision.0, Ordering::AcqRel);
        }
        kept.used.store(self.uses.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
        if self.grown.load(Ordering::Relaxed) > self.bytes_max / GROWN_PART {
            self.hold(&mut self.sets.lock());
        }
        Some(kept)
    }

    /// Whether no change between two revisions touches a set that is right at one of them.
    fn unchanged(&self, store: u32, kept: &Kept, a: Revision, b: Revision) -> bool {
        let (first, last) = (a.min(b), a.max(b));
        let changes = self.changes.read();
        let Some(of) = changes.get(&store) else { return true };
        if first < of.from {
            return false;
        }
        let from = of.list.partition_point(|(revision, ..)| *revision <= first);
        let to = of.list.partition_point(|(revision, ..)| *revision <= last);
        to - from <= CHANGES_COMPARED_MAX
            && of.list.range(from..to).all(|(_, column, subject)| !kept.touched_by(*column, *subject))
    }

    /// Keeps a set, in place of the one before it unless that is newer.
    pub(super) fn keep(&self, key: KeptKey, kept: Arc<Kept>) {
        kept.used.store(self.uses.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
        let mut sets = self.sets.lock();
        let revision = kept.revision.load(Ordering::Acquire);
        if sets.get(&key).is_some_and(|old| old.revision.load(Ordering::Acquire) > revision) {
            return;
        }
        let came = kept.bytes.load(Ordering::Relaxed);
        sets.insert(key, kept);
        let grown = self.grown.fetch_add(came, Ordering::Relaxed) + came;
        if grown > self.bytes_max / GROWN_PART {
            self.hold(&mut sets);
        }
    }

    /// Counts all sets, and lets some go when they are too much.
    fn hold(&self, sets: &mut HashMap<KeptKey, Arc<Kept>>) {
        self.grown.store(0, Ordering::Relaxed);
        self.recount(sets);
        if self.bytes.load(Ordering::Relaxed) > self.bytes_max {
            self.shrink(sets);
        }
    }

    /// Lets go of the half that was not used for longest, or of all when one half alone is too much.
    fn shrink(&self, sets: &mut HashMap<KeptKey, Arc<Kept>>) {
        let mut uses: Vec<u64> = sets.values().map(|kept| kept.used.load(Ordering::Relaxed)).collect();
        if uses.is_empty() {
            return;
        }
        let half = uses.len() / 2;
        let (_, &mut middle, _) = uses.select_nth_unstable(half);
        sets.retain(|_, kept| kept.used.load(Ordering::Relaxed) > middle);
        self.recount(sets);
        if self.bytes.load(Ordering::Relaxed) > self.bytes_max {
            sets.clear();
            self.recount(sets);
        }
    }
}
