//! The graph: a hierarchical navigable small world over rows, in flat arrays of atomics.
//!
//! Neighbour lists are words that readers load one by one while writers store: every value ever stored in a slot is a row
//! that was inserted, so that a reader sees a mix of an old and a new list at worst, which a search takes without harm.
//! So readers never lock; writers of one list take turns by a lock that many lists share. The other two ways cost more:
//! a lock that readers take is a write to memory per hop, and copied blocks would copy 128 bytes a neighbour changed.
//! Distances are those of codes, from the rows of the [`Vectors`] at hand: the graph keeps no vector. Levels come from a
//! mix of the row number, so that building needs no randomness. Dead rows stay as way marks until [`Graph::renumber`].

mod build;
mod bytes;
mod walk;

pub use bytes::GraphBytesError;
pub(super) use walk::{Ground, SWEEP_SHARE};

use super::kernel::{LANES, prefetch_item};
use super::rows::Vectors;
use super::set::State;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Neighbours that insertion chooses, and that an upper list holds.
pub(super) const LINKS: usize = 16;

/// Neighbours that a list of the ground level holds.
pub(super) const GROUND_LINKS: usize = 2 * LINKS;

/// Candidates that insertion keeps: the width of its walk.
pub(super) const INSERT_WIDTH: usize = 200;

/// The highest level; a billion rows reach eight with sixteen links.
pub(super) const LEVEL_MAX: usize = 12;

/// No row.
pub(super) const NONE: u32 = u32::MAX;

/// Nodes of a block of the flat arrays.
const BLOCK_NODES: usize = 1 << 12;

/// Locks that lists share.
const LOCKS: usize = 1 << 10;

/// An approximate index of the rows of a collection. Shared: rows are inserted while it is searched.
#[derive(Debug)]
pub struct Graph {
    layout: u64,
    /// Ground lists, in blocks of nodes.
    ground: boxcar::Vec<Box<[AtomicU32]>>,
    /// For each block of nodes, the index in `upper` of each that has upper levels.
    upper_of: boxcar::Vec<Box<[AtomicU32]>>,
    /// Upper lists: `LINKS` words a level from level 1 on.
    upper: boxcar::Vec<Box<[AtomicU32]>>,
    // The entry row in the low half, its level above it; EMPTY while there is none.
    entry: AtomicU64,
    /// Rows below this are in the graph, or were dead when it passed them.
    covered: AtomicU32,
    locks: Box<[Mutex<()>]>,
    grow: Mutex<()>,
    marks: Mutex<Vec<walk::Marks>>,
}

const EMPTY: u64 = u64::MAX;

fn words(count: usize) -> Box<[AtomicU32]> {
    (0..count).map(|_| AtomicU32::new(NONE)).collect()
}

impl Graph {
    /// A graph without rows for the layout of `vectors`; [`Self::extend`] inserts them.
    #[must_use]
    pub fn new(vectors: &Vectors) -> Self {
        Self::with_layout(vectors.state().layout)
    }

    fn with_layout(layout: u64) -> Self {
        Self {
            layout,
            ground: boxcar::Vec::new(),
            upper_of: boxcar::Vec::new(),
            upper: boxcar::Vec::new(),
            entry: AtomicU64::new(EMPTY),
            covered: AtomicU32::new(0),
            locks: (0..LOCKS).map(|_| Mutex::new(())).collect(),
            grow: Mutex::new(()),
            marks: Mutex::new(Vec::new()),
        }
    }

    /// How many rows the graph covers, dead ones included: a search scans the rows after them.
    #[must_use]
    pub fn covered(&self) -> usize {
        self.covered.load(Ordering::Acquire) as usize
    }

    /// Bytes of the neighbour lists.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let blocks = self.ground.iter().chain(self.upper_of.iter()).chain(self.upper.iter());
        blocks.map(|(_, block)| size_of_val(&**block)).sum()
    }

    pub(super) fn fits(&self, state: State) -> bool {
        self.layout == state.layout
    }

    fn entry(&self) -> Option<(u32, usize)> {
        let entry = self.entry.load(Ordering::Acquire);
        let row = u32::try_from(entry & u64::from(u32::MAX)).unwrap_or(NONE);
        (entry != EMPTY).then_some((row, usize::try_from(entry >> 32).unwrap_or(0)))
    }

    fn set_entry(&self, row: u32, level: usize) {
        self.entry.store((level as u64) << 32 | u64::from(row), Ordering::Release);
    }

    /// The slots of a row's list; empty when the row has none on that level.
    #[inline]
    fn list(&self, row: u32, level: usize) -> &[AtomicU32] {
        let (block, local) = (row as usize / BLOCK_NODES, row as usize % BLOCK_NODES);
        if level == 0 {
            let slots = self.ground.get(block).and_then(|b| b.get(local * GROUND_LINKS..(local + 1) * GROUND_LINKS));
            return slots.unwrap_or_default();
        }
        let index = self.upper_of.get(block).and_then(|b| b.get(local)).map_or(NONE, |i| i.load(Ordering::Acquire));
        let slots = self.upper.get(index as usize).and_then(|lists| lists.get((level - 1) * LINKS..level * LINKS));
        slots.unwrap_or_default()
    }

    /// Asks for the list of a row before it is needed.
    #[inline]
    fn prefetch_list(&self, row: u32, level: usize) {
        for line in self.list(row, level).chunks(LANES / size_of::<AtomicU32>()) {
            line.first().iter().for_each(|slot| prefetch_item(*slot));
        }
    }

    /// The neighbours of a row. Lists are filled from the front.
    #[inline]
    fn neighbours(&self, row: u32, level: usize) -> impl Iterator<Item = u32> {
        self.list(row, level).iter().map(|slot| slot.load(Ordering::Acquire)).take_while(|row| *row != NONE)
    }

    fn write_list(&self, row: u32, level: usize, neighbours: impl Iterator<Item = u32>) {
        let mut neighbours = neighbours.fuse();
        for slot in self.list(row, level) {
            slot.store(neighbours.next().unwrap_or(NONE), Ordering::Release);
        }
    }

    /// Makes room for the rows below `rows`.
    fn reserve(&self, rows: usize) {
        let _turn = self.grow.lock();
        while self.ground.count() * BLOCK_NODES < rows {
            self.upper_of.push(words(BLOCK_NODES));
            self.ground.push(words(BLOCK_NODES * GROUND_LINKS));
        }
    }

    fn give_upper(&self, row: u32, level: usize) {
        if level > 0 {
            let index = super::row_number(self.upper.push(words(level * LINKS)));
            let (block, local) = (row as usize / BLOCK_NODES, row as usize % BLOCK_NODES);
            if let Some(place) = self.upper_of.get(block).and_then(|b| b.get(local)) {
                place.store(index, Ordering::Release);
            }
        }
    }

    fn level_of_list(&self, row: u32) -> usize {
        let (block, local) = (row as usize / BLOCK_NODES, row as usize % BLOCK_NODES);
        let index = self.upper_of.get(block).and_then(|b| b.get(local)).map_or(NONE, |i| i.load(Ordering::Acquire));
        self.upper.get(index as usize).map_or(0, |lists| lists.len() / LINKS)
    }
}

/// The level of a row: each is a sixteenth as likely as the one below.
fn level_of(row: u32) -> usize {
    let z = u64::from(row).wrapping_add(0x9e37_79b9_7f4a_7c15).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 29)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 32)).leading_zeros() as usize / 4).min(LEVEL_MAX)
}

const _: () = assert!(LINKS == 16, "level_of takes four bits a level, which is log2 of LINKS");
