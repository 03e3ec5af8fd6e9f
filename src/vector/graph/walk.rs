//! Walks through the graph: down the upper levels, then along the ground, with or without a set of allowed rows.

use super::super::kernel::Kernel;
use super::super::rows::View;
use super::super::scan::{Query, order};
use super::super::set::RowSet;
use super::{GROUND_LINKS, Graph, LEVEL_MAX};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Allowed share from which a walk passes through disallowed rows instead of looking behind them.
pub(in super::super) const SWEEP_SHARE: f64 = 0.4;

/// Allowed rows that one expansion behind disallowed neighbours takes up.
const BEHIND_MAX: usize = GROUND_LINKS;

/// Steps of a descent on one level: an end to a walk that lists under change could send in a circle.
const DESCENT_MAX: usize = 10_000;

/// Sets of visited rows kept for the next walks.
const MARKS_KEPT_MAX: usize = 64;

/// Which rows a walk has seen: an epoch for each, so that clearing is adding one.
#[derive(Debug, Default)]
pub(in super::super) struct Marks {
    epochs: Vec<u32>,
    epoch: u32,
}

impl Marks {
    fn begin(&mut self, rows: usize) {
        if self.epochs.len() < rows {
            self.epochs.resize(rows.next_multiple_of(1 << 12), 0);
        }
        if let Some(next) = self.epoch.checked_add(1) {
            self.epoch = next;
        } else {
            self.epochs.fill(0);
            self.epoch = 1;
        }
    }

    /// Marks; true the first time. Rows that the state lacks count as seen.
    #[inline]
    fn first(&mut self, row: u32) -> bool {
        match self.epochs.get_mut(row as usize) {
            Some(epoch) if *epoch != self.epoch => {
                *epoch = self.epoch;
                true
            }
            _ => false,
        }
    }
}

/// The rows of a state, and what they are compared with.
#[derive(Clone, Copy)]
pub(in super::super) struct Ground<'a> {
    pub(in super::super) view: &'a View<'a>,
    pub(in super::super) kernel: Kernel,
    pub(in super::super) query: &'a Query,
    /// Rows of the state: later ones are not there for it.
    pub(in super::super) rows: usize,
}

impl Ground<'_> {
    #[inline]
    pub(in super::super) fn key(&self, row: u32) -> f32 {
        let Some((block, local)) = self.view.place(row) else { return f32::NEG_INFINITY };
        let sum = self.kernel.code(block.code(local), &self.query.codes);
        self.query.estimate(block.measure(local), sum)
    }
}

/// What a walk found.
#[derive(Debug, Default)]
pub(in super::super) struct Walked {
    /// Allowed rows with estimated keys, in no order.
    pub(in super::super) rows: Vec<(f32, u32)>,
    /// Distances computed.
    pub(in super::super) visited: usize,
    /// Whether the walk ended by itself; false when its budget did.
    pub(in super::super) finished: bool,
}

type Near = (i32, u32, u32);

fn near(key: f32, row: u32) -> Near {
    (order(key), row, key.to_bits())
}

impl Graph {
    /// The nearest row on `level`, walking greedily from `from`.
    pub(super) fn descend(&self, ground: &Ground<'_>, from: u32, level: usize, visited: &mut usize) -> u32 {
        let (mut best, mut key) = (from, ground.key(from));
        for _ in 0..DESCENT_MAX {
            let start = best;
            for next in self.neighbours(start, level).filter(|row| (*row as usize) < ground.rows) {
                *visited += 1;
                let next_key = ground.key(next);
                if next_key > key {
                    (best, key) = (next, next_key);
                }
            }
            if best == start {
                break;
            }
        }
        best
    }

    /// The entry for a walk on `level`; `None` when the graph is empty for this state.
    pub(super) fn enter(&self, ground: &Ground<'_>, level: usize, visited: &mut usize) -> Option<u32> {
        let (mut at, top) = self.entry()?;
        let mut here = top.min(LEVEL_MAX);
        // An entry newer than the state is passed by: the walk starts at the oldest row that is in the graph instead.
        if at as usize >= ground.rows {
            let upper = (1..=here).rev().flat_map(|l| self.neighbours(at, l).collect::<Vec<_>>());
            at = upper.chain(self.neighbours(at, 0)).find(|row| (*row as usize) < ground.rows)?;
            here = self.level_of_list(at);
        }
        for upper in (level + 1..=here).rev() {
            at = self.descend(ground, at, upper, visited);
        }
        Some(at)
    }

    /// Up to `width` of the nearest rows on `level` from `from`, `allowed` ones only.
    ///
    /// Without a set, or when the set allows much, the walk passes through every row and keeps the allowed. When it
    /// allows less, disallowed neighbours cost no distance: the walk looks at the allowed rows behind them.
    pub(in super::super) fn walk(
        &self,
        ground: &Ground<'_>,
        (from, level): (u32, usize),
        width: usize,
        allowed: Option<(&RowSet, f64)>,
        budget: usize,
    ) -> Walked {
        let mut marks = self.marks.lock().pop().unwrap_or_default();
        marks.begin(ground.rows);
        let mut walk = Walk {
            graph: self,
            ground,
            allowed: allowed.map(|(set, _)| set),
            behind: allowed.is_some_and(|(_, share)| share < SWEEP_SHARE),
            width,
            open: BinaryHeap::new(),
            best: BinaryHeap::with_capacity(width + 1),
            visited: 0,
            fresh: Vec::with_capacity(GROUND_LINKS * 2),
        };
        marks.first(from);
        walk.take(from);
        let finished = walk.go(level, &mut marks, budget);
        let rows = walk.best.iter().map(|Reverse((_, row, bits))| (f32::from_bits(*bits), *row)).collect();
        let visited = walk.visited;
        let mut kept = self.marks.lock();
        if kept.len() < MARKS_KEPT_MAX {
            kept.push(marks);
        }
        Walked { rows, visited, finished }
    }

    /// A walk over the ground for a search.
    pub(in super::super) fn nearest(
        &self,
        ground: &Ground<'_>,
        width: usize,
        allowed: Option<(&RowSet, f64)>,
        budget: usize,
    ) -> Walked {
        let mut descent = 0;
        let Some(from) = self.enter(ground, 0, &mut descent) else {
            return Walked { finished: true, ..Walked::default() };
        };
        let mut walked = self.walk(ground, (from, 0), width, allowed, budget);
        walked.visited += descent;
        walked
    }
}

struct Walk<'a> {
    graph: &'a Graph,
    ground: &'a Ground<'a>,
    allowed: Option<&'a RowSet>,
    /// Whether to look behind disallowed rows.
    behind: bool,
    width: usize,
    /// Rows to expand, the nearest on top.
    open: BinaryHeap<Near>,
    /// The best allowed rows, the farthest on top.
    best: BinaryHeap<Reverse<Near>>,
    visited: usize,
    fresh: Vec<u32>,
}

impl Walk<'_> {
    #[inline]
    fn allows(&self, row: u32) -> bool {
        self.allowed.is_none_or(|set| set.contains(row))
    }

    #[inline]
    fn take(&mut self, row: u32) {
        self.visited += 1;
        let item = near(self.ground.key(row), row);
        if self.best.len() >= self.width && self.best.peek().is_some_and(|Reverse(worst)| item.0 <= worst.0) {
            return;
        }
        self.open.push(item);
        if self.allows(row) {
            self.best.push(Reverse(item));
            if self.best.len() > self.width {
                self.best.pop();
            }
        }
    }

    /// Expands the nearest open row until none can improve; false when the budget ends it.
    fn go(&mut self, level: usize, marks: &mut Marks, budget: usize) -> bool {
        while let Some(item) = self.open.pop() {
            if self.best.len() >= self.width && self.best.peek().is_some_and(|Reverse(worst)| item.0 < worst.0) {
                break;
            }
            if self.visited >= budget {
                return false;
            }
            // Likely the next, unless this one has something nearer.
            if let Some(next) = self.open.peek() {
                self.graph.prefetch_list(next.1, level);
            }
            self.expand(item.1, level, marks);
        }
        true
    }

    fn expand(&mut self, row: u32, level: usize, marks: &mut Marks) {
        let mut fresh = std::mem::take(&mut self.fresh);
        for next in self.graph.neighbours(row, level) {
            if marks.first(next) && (next as usize) < self.ground.rows {
                if !self.behind || self.allows(next) {
                    fresh.push(next);
                } else {
                    // Only its list is read: the way through it costs no distance.
                    for far in self.graph.neighbours(next, level) {
                        if fresh.len() >= BEHIND_MAX {
                            break;
                        }
                        if (far as usize) < self.ground.rows && self.allows(far) && marks.first(far) {
                            fresh.push(far);
                        }
                    }
                }
            }
        }
        for row in &fresh {
            self.ground.view.prefetch_code(*row);
        }
        fresh.drain(..).for_each(|row| self.take(row));
        self.fresh = fresh;
    }
}
