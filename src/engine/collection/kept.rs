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
                (kept.revision, kept.rows) = (revision, Arc::new(rows));
                return Arc::clone(&kept.rows);
            }
        }
        let rows = Arc::new(vectors.rows_of(&self.objects));
        if !newer {
            at.map(|at| list.swap_remove(at));
            list.truncate(ROWS_MAX - 1);
            list.push(KeptRows { spec: Arc::clone(&of.spec), revision, rows: Arc::clone(&rows) });
            if at.is_none() {
                self.bytes.fetch_add(rows.bytes(), Ordering::Relaxed);
                sets.bytes.fetch_add(rows.bytes(), Ordering::Relaxed);
            }
        }
        rows
    }
}

impl KeptSets {
    pub(crate) fn new(bytes_max: usize) -> KeptSets {
        KeptSets {
            sets: Mutex::default(),
            changes: RwLock::default(),
            uses: AtomicU64::new(0),
            bytes: AtomicUsize::new(0),
            bytes_max,
        }
    }

    /// Sets kept, and their bytes, near enough.
    pub(crate) fn size(&self) -> (usize, usize) {
        (self.sets.lock().len(), self.bytes.load(Ordering::Relaxed))
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
        let bytes = |kept: &Kept| kept.bytes.load(Ordering::Relaxed);
        let mut sets = self.sets.lock();
        let revision = kept.revision.load(Ordering::Acquire);
        if sets.get(&key).is_some_and(|old| old.revision.load(Ordering::Acquire) > revision) {
            return;
        }
        self.bytes.fetch_add(bytes(&kept), Ordering::Relaxed);
        if let Some(old) = sets.insert(key, kept) {
            self.bytes.fetch_sub(bytes(&old).min(self.bytes.load(Ordering::Relaxed)), Ordering::Relaxed);
        }
        if self.bytes.load(Ordering::Relaxed) > self.bytes_max {
            self.shrink(&mut sets);
        }
    }

    /// Lets go of the half that was not used for longest, or of all when one half alone is too much.
    fn shrink(&self, sets: &mut HashMap<KeptKey, Arc<Kept>>) {
        let mut uses: Vec<u64> = sets.values().map(|kept| kept.used.load(Ordering::Relaxed)).collect();
        let half = uses.len() / 2;
        let (_, &mut middle, _) = uses.select_nth_unstable(half);
        sets.retain(|_, kept| kept.used.load(Ordering::Relaxed) > middle);
        let total = |sets: &HashMap<KeptKey, Arc<Kept>>| sets.values().map(|k| k.bytes.load(Ordering::Relaxed)).sum();
        let mut left: usize = total(sets);
        if left > self.bytes_max {
            sets.clear();
            left = 0;
        }
        self.bytes.store(left, Ordering::Relaxed);
    }
}
