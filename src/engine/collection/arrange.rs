//! Beside the writer: rows are laid out by permission, graphs are filled and kept. None of it changes an answer but in
//! speed (and, for a graph, in which of two near chunks is found), so that none of it is in the log.
//!
//! One thread works through the stores that the writer names. A layout is made from a snapshot and handed to the writer,
//! which brings it up to date and publishes it; a graph is shared and filled while it is searched.

use super::graphs;
use super::layout;
use super::state::{Collection, LaidOut};
use super::types::CollectionSpec;
use crate::engine::queue::Queue;
use crate::engine::state::{Snapshot, StoreEntry};
use crate::engine::writer::{Change, Job};
use crate::engine::{Engine, Inner};
use crate::tuple::StoreId;
use crate::vector::{Graph, Vectors};
use crossbeam::channel::bounded;
use hashbrown::HashMap;
use parking_lot::{Condvar, Mutex};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// Rows that are inserted between two looks at whether to stop.
const STEP_ROWS: usize = 1_024;
/// The part of all chunks, or tuples, that changes must be before rows are laid out anew.
const CHANGES_PART: u64 = 4;
/// How much a graph must have grown before it is kept again: a tenth.
const GROWN_PART: usize = 10;
/// Pause between two rounds, so that a stream of writes is taken together.
const PAUSE: Duration = Duration::from_millis(20);

/// Rows in a new order, and their graph, on the way to the writer.
pub(crate) struct Arranged {
    store: StoreId,
    /// Which collection: a name or a number may be used again, this is not.
    spec: Arc<CollectionSpec>,
    base: Vectors,
    new: Vectors,
    graph: Arc<Graph>,
    laid_out: LaidOut,
}

impl Arranged {
    /// Puts the rows in place of those that they were made from, and tells those' bytes. `None` when they are gone.
    pub(crate) fn take_place(mut self: Box<Self>, state: &mut Snapshot) -> Option<u64> {
        let store = state.store_mut(self.store)?;
        let collections = Arc::make_mut(&mut store.collections);
        let of = collections.iter_mut().find(|of| Arc::ptr_eq(&of.spec, &self.spec))?;
        self.new.catch_up(&self.base, &of.vectors).ok()?;
        let bytes = of.kept_alive(u64::MAX);
        let of = Arc::make_mut(of);
        (of.vectors, of.graph, of.laid_out) = (self.new, self.graph, self.laid_out);
        Some(bytes)
    }
}

#[derive(Default)]
struct Pending {
    stores: BTreeSet<StoreId>,
    stop: bool,
    busy: bool,
}

/// How the writer, callers and the thread talk.
#[derive(Default)]
pub(crate) struct Arranger {
    pending: Mutex<Pending>,
    woken: Condvar,
    idle: Condvar,
}

impl Arranger {
    /// Names stores whose collections changed.
    pub(crate) fn wake(&self, stores: impl IntoIterator<Item = StoreId>) {
        let mut pending = self.pending.lock();
        let before = pending.stores.len();
        pending.stores.extend(stores);
        if pending.stores.len() > before {
            self.woken.notify_one();
        }
    }

    /// Tells the thread to end.
    pub(crate) fn stop(&self) {
        self.pending.lock().stop = true;
        self.woken.notify_all();
        self.idle.notify_all();
    }

    fn stopped(&self) -> bool {
        self.pending.lock().stop
    }

    /// Waits for work. `None`: stop.
    fn next(&self) -> Option<BTreeSet<StoreId>> {
        let mut pending = self.pending.lock();
        pending.busy = false;
        while pending.stores.is_empty() && !pending.stop {
            self.idle.notify_all();
            self.woken.wait(&mut pending);
        }
        if !pending.stop {
            // More comes in a moment; a stop ends the wait.
            self.woken.wait_for(&mut pending, PAUSE);
        }
        if pending.stop {
            return None;
        }
        pending.busy = true;
        Some(std::mem::take(&mut pending.stores))
    }

    /// Waits until there is nothing to do, at most so long; whether that was seen.
    fn settled(&self, timeout: Duration) -> bool {
        let deadline = std::time::Instant::now() + timeout;
        let mut pending = self.pending.lock();
        while (pending.busy || !pending.stores.is_empty()) && !pending.stop {
            if self.idle.wait_until(&mut pending, deadline).timed_out() {
                return false;
            }
        }
        true
    }
}

impl Engine {
    /// Waits until rows are laid out and graphs filled for all that was written before, at most so long; whether they are.
    /// Nobody needs to: answers are the same before. For measurements, and after a bulk import.
    #[must_use]
    pub fn settle(&self, timeout: Duration) -> bool {
        self.inner.arranger.settled(timeout)
    }
}

/// What the thread remembers of collections: rows that their graph on disk covers.
struct Arranging<'a> {
    inner: &'a Inner,
    jobs: &'a Queue,
    saved: HashMap<(u32, u32), (Arc<CollectionSpec>, usize)>,
}

/// Runs until it is stopped.
pub(crate) fn run(inner: &Inner, jobs: &Queue) {
    let mut arranging = Arranging { inner, jobs, saved: HashMap::new() };
    while let Some(stores) = inner.arranger.next() {
        for id in stores {
            // What fails here costs speed and nothing else: it is told, and the next store has its turn.
            let work = std::panic::AssertUnwindSafe(|| arranging.store(id));
            if std::panic::catch_unwind(work).is_err() {
                tracing::error!(store = %id, "rows could not be laid out; searches of the store go on without");
            }
        }
    }
}

impl Arranging<'_> {
    fn store(&mut self, id: StoreId) {
        let snapshot = self.inner.snapshot.load_full();
        let Some(store) = snapshot.store(id) else { return };
        for of in store.collections.iter() {
            if self.inner.arranger.stopped() {
                return;
            }
            self.collection(id, of.number);
        }
    }

    /// Brings one collection up to date, in as many rounds as it takes.
    fn collection(&mut self, id: StoreId, number: u32) {
        while !self.inner.arranger.stopped() {
            let snapshot = self.inner.snapshot.load_full();
            let Some((store, of)) = snapshot.store(id).and_then(|s| Some((s, s.collection_number(number)?))) else {
                return;
            };
            let (rows, covered) = (of.vectors.len() + of.vectors.dead(), of.graph.covered());
            let late = rows.saturating_sub(covered);
            // A graph that covers less than half is not worth carrying through a new layout.
            if self.wants_layout(store, of) && (late == 0 || covered * 2 < rows) {
                if !self.lay_out(&snapshot, store, of) {
                    return;
                }
            } else if rows >= self.chunks_min() && late > 0 {
                let threads = self.inner.settings.arrange_threads;
                if of.graph.extend_some(&of.vectors, STEP_ROWS * threads, threads).is_err() {
                    return;
                }
            } else {
                return self.save(id, store.number, of);
            }
        }
    }

    fn save(&mut self, id: StoreId, store: u32, of: &Collection) {
        let (covered, saved) = (of.graph.covered(), self.saved_rows(store, of));
        if covered >= self.chunks_min() && covered > saved + saved / GROWN_PART {
            self.note_saved(store, of, covered);
            graphs::save(self.inner, store, of);
            let now = self.inner.snapshot.load();
            let there = |id| now.store(id).and_then(|s| s.collection_number(of.number)).map(|c| Arc::clone(&c.spec));
            if there(id).is_none() {
                graphs::remove(self.inner, store, of.number); // it was deleted meanwhile
            }
        }
    }

    fn saved_rows(&self, store: u32, of: &Collection) -> usize {
        let saved = self.saved.get(&(store, of.number)).filter(|(spec, _)| Arc::ptr_eq(spec, &of.spec));
        saved.map_or(0, |(_, rows)| *rows)
    }

    fn note_saved(&mut self, store: u32, of: &Collection, rows: usize) {
        self.saved.insert((store, of.number), (Arc::clone(&of.spec), rows));
    }

    /// Lays the rows of a collection out; false when the writer did not take them.
    fn lay_out(&mut self, snapshot: &Snapshot, store: &StoreEntry, of: &Collection) -> bool {
        let first = of.laid_out.changed == 0;
        let owners = of.vectors.owners();
        let keys = self.keys(store, of, &owners);
        let (new, numbers) = match of.vectors.rewrite(|owner| keys.get(&owner).copied().unwrap_or(u64::MAX)) {
            Ok(rewritten) => rewritten,
            Err(error) => {
                tracing::error!(store = %store.id, %error, "rows could not be laid out; searches go on without");
                return false;
            }
        };
        let rows = of.vectors.len() + of.vectors.dead();
        let carried = if of.graph.covered() >= self.chunks_min() && of.graph.covered() * 2 >= rows {
            of.graph.renumber(&of.vectors, &new, &numbers).ok()
        } else if first {
            let found = graphs::load(self.inner, store.number, of, &new);
            let covered = found.as_ref().map_or(0, Graph::covered);
            self.note_saved(store.number, of, covered);
            found
        } else {
            None
        };
        let graph = Arc::new(carried.unwrap_or_else(|| Graph::new(&new)));
        let laid_out = LaidOut { changed: of.changed, tuples: store.tuple_changes };
        let (spec, base) = (Arc::clone(&of.spec), of.vectors.clone());
        let arranged = Arranged { store: store.id, spec, base, new, graph, laid_out };
        let (reply, answer) = bounded(1);
        let sent = self.jobs.send(Job { change: Change::Arranged(Box::new(arranged)), reply });
        sent && matches!(answer.recv(), Ok(Ok(at)) if at.revision >= snapshot.revision)
    }

    fn keys(
        &self,
        store: &StoreEntry,
        of: &Collection,
        owners: &crate::tuple::ObjectSet,
    ) -> HashMap<crate::tuple::Ordinal, u64> {
        let Some(model) = store.models.last() else { return HashMap::new() };
        let plan = self.inner.plan(store, model);
        let relation = store.index.relation_ix(&of.spec.guard.relation);
        let Some(node) = relation.and_then(|relation| plan.node_of(of.object_type, relation)) else {
            return HashMap::new(); // the newest model lacks the guard: nobody sees anything
        };
        layout::keys(&store.index, &plan, node, of.object_type, owners)
    }

    fn chunks_min(&self) -> usize {
        self.inner.settings.arrange_chunks_min
    }

    /// Whether enough has changed since rows were laid out.
    fn wants_layout(&self, store: &StoreEntry, of: &Collection) -> bool {
        let rows = of.vectors.len() as u64;
        let tuples = store.index.tuple_count();
        let least = (self.chunks_min() as u64).div_ceil(2).max(1);
        let much = |changes: u64, all: u64| changes >= least && changes * CHANGES_PART >= all;
        // Dead rows are changes too, so that they are at most a quarter.
        much(of.changed - of.laid_out.changed, rows)
            || (rows > 0 && much(store.tuple_changes - of.laid_out.tuples, tuples))
    }
}
