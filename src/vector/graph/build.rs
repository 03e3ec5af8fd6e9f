//! Inserting rows, and taking dead ones out: which neighbours a row keeps.

use super::super::rows::{Renumbering, Vectors, View};
use super::super::scan::{Query, order};
use super::super::set::State;
use super::super::{Metric, VectorError, row_number};
use super::walk::Ground;
use super::{GROUND_LINKS, Graph, INSERT_WIDTH, LINKS, LOCKS, NONE, level_of};
use std::cmp::Reverse;
use std::sync::atomic::{AtomicU32, Ordering};

/// Rows that one thread takes at a time.
const PART_ROWS: u32 = 64;

/// Rows inserted before others help: a few rows have too few neighbours to choose from.
const ALONE_ROWS: u32 = 256;

/// The most threads of one build.
const THREADS_MAX: usize = 64;

fn slots(level: usize) -> usize {
    if level == 0 { GROUND_LINKS } else { LINKS }
}

impl Graph {
    /// Inserts the rows of `vectors` that the graph does not cover yet, with so many threads, while it is searched.
    ///
    /// One caller at a time: a second one inserts nothing that the first is at. Refuses vectors of another layout.
    pub fn extend(&self, vectors: &Vectors, threads: usize) -> Result<(), VectorError> {
        self.extend_some(vectors, usize::MAX, threads)
    }

    /// The same with `most` rows at most, so that the caller can stop between.
    pub fn extend_some(&self, vectors: &Vectors, most: usize, threads: usize) -> Result<(), VectorError> {
        if !self.fits(vectors.state()) {
            return Err(VectorError::Stale);
        }
        let _turn = self.locks.last().map(parking_lot::Mutex::lock);
        let from = row_number(self.covered());
        let end = row_number(vectors.rows().min(self.covered().saturating_add(most)));
        self.reserve(end as usize);
        let view = vectors.view();
        let alone = end.min(from.max(ALONE_ROWS));
        (from..alone).for_each(|row| self.insert(vectors, &view, row));
        let next = AtomicU32::new(alone);
        std::thread::scope(|scope| {
            for _ in 0..threads.clamp(1, THREADS_MAX) {
                scope.spawn(|| {
                    loop {
                        let start = next.fetch_add(PART_ROWS, Ordering::Relaxed);
                        if start >= end {
                            break;
                        }
                        (start..end.min(start + PART_ROWS)).for_each(|row| self.insert(vectors, &view, row));
                    }
                });
            }
        });
        self.covered.fetch_max(end, Ordering::AcqRel);
        Ok(())
    }

    fn insert(&self, vectors: &Vectors, view: &View<'_>, row: u32) {
        if !vectors.is_live(row) {
            return;
        }
        let Some(query) = Query::of_row(vectors, row) else { return };
        let ground = Ground { view, kernel: vectors.kernel, query: &query, rows: vectors.rows() };
        let level = level_of(row);
        self.give_upper(row, level);
        let mut visited = 0;
        let Some(top) = self.top_or_enter(row, level) else { return };
        let Some(mut at) = self.enter(&ground, level.min(top), &mut visited) else { return };
        for here in (0..=level.min(top)).rev() {
            let walked = self.walk(&ground, (at, here), INSERT_WIDTH, None, usize::MAX);
            let mut found = walked.rows;
            found.retain(|(_, other)| *other != row);
            found.sort_unstable_by_key(|(key, row)| (Reverse(order(*key)), *row));
            let chosen = diverse(vectors, view, &found, LINKS);
            self.write_list(row, here, chosen.iter().copied());
            chosen.iter().for_each(|other| self.link_back(vectors, view, *other, row, here));
            at = found.first().map_or(at, |(_, row)| *row);
        }
        if level > top {
            let _turn = self.grow.lock();
            if self.entry().is_none_or(|(_, top)| level > top) {
                self.set_entry(row, level);
            }
        }
    }

    /// The top level, or none when `row` became the entry of an empty graph, which only one row can.
    fn top_or_enter(&self, row: u32, level: usize) -> Option<usize> {
        if let Some((_, top)) = self.entry() {
            return Some(top);
        }
        let _turn = self.grow.lock();
        let entry = self.entry();
        if entry.is_none() {
            self.set_entry(row, level);
        }
        entry.map(|(_, top)| top)
    }

    /// Adds `new` to the list of `row`, choosing again by diversity when the list is full.
    fn link_back(&self, vectors: &Vectors, view: &View<'_>, row: u32, new: u32, level: usize) {
        // The last lock is the builder's own.
        let _turn = self.locks.get(row as usize % (LOCKS - 1)).map(parking_lot::Mutex::lock);
        let list = self.list(row, level);
        if list.iter().any(|slot| slot.load(Ordering::Acquire) == new) {
            return;
        }
        if let Some(free) = list.iter().find(|slot| slot.load(Ordering::Acquire) == NONE) {
            return free.store(new, Ordering::Release);
        }
        let near = Pairs { vectors, view };
        let mut found: Vec<(f32, u32)> =
            self.neighbours(row, level).chain([new]).map(|other| (near.key(row, other), other)).collect();
        found.sort_unstable_by_key(|(key, row)| (Reverse(order(*key)), *row));
        self.write_list(row, level, diverse(vectors, view, &found, slots(level)).into_iter());
    }

    /// The graph of a rewrite: the same neighbours under their new numbers; lists that lost some are filled again from
    /// the neighbours of the lost. Rows that the graph did not cover, or that were written since, are inserted.
    pub fn renumber(&self, old: &Vectors, new: &Vectors, numbers: &Renumbering) -> Result<Self, VectorError> {
        let same = |a: State, b: State| a.layout == b.layout;
        if !self.fits(numbers.from) || !same(old.state(), numbers.from) || !same(new.state(), numbers.to) {
            return Err(VectorError::Stale);
        }
        Ok(self.carried(new, &numbers.new_of))
    }

    /// This graph with the numbers `new_of` gives its rows, and all other rows of `new` inserted.
    pub(super) fn carried(&self, new: &Vectors, new_of: &[u32]) -> Self {
        let graph = Self::new(new);
        graph.reserve(new.rows());
        let view = new.view();
        let number = |row: u32| new_of.get(row as usize).copied().filter(|row| *row != NONE);
        let mut carried = vec![false; new.rows()];
        let mut top: Option<(u32, usize)> = None;
        for row in 0..row_number(self.covered().min(new_of.len())) {
            let Some(own) = number(row) else { continue };
            let level = self.level_of_list(row);
            graph.give_upper(own, level);
            if top.is_none_or(|(_, most)| level > most) {
                top = Some((own, level));
            }
            for here in 0..=level {
                let list = self.carried_list(new, &view, (row, own), here, &number);
                graph.write_list(own, here, list.into_iter());
            }
            if let Some(place) = carried.get_mut(own as usize) {
                *place = true;
            }
        }
        if let Some((row, level)) = top {
            graph.set_entry(row, level);
        }
        for (row, _) in (0..).zip(&carried).filter(|(_, carried)| !**carried) {
            graph.insert(new, &view, row);
        }
        graph.covered.store(row_number(new.rows()), Ordering::Release);
        graph
    }

    /// The neighbours that `own`, which was `row`, keeps: in place of the lost ones, theirs.
    fn carried_list(
        &self,
        new: &Vectors,
        view: &View<'_>,
        (row, own): (u32, u32),
        level: usize,
        number: &impl Fn(u32) -> Option<u32>,
    ) -> Vec<u32> {
        let list: Vec<u32> = self.neighbours(row, level).collect();
        let mut kept: Vec<u32> = list.iter().filter_map(|other| number(*other)).collect();
        if kept.len() == list.len() {
            return kept;
        }
        let lost = list.iter().filter(|other| number(**other).is_none());
        let behind = lost.flat_map(|other| self.neighbours(*other, level));
        kept.extend(behind.filter_map(number).filter(|other| *other != own));
        kept.sort_unstable();
        kept.dedup();
        let near = Pairs { vectors: new, view };
        let mut found: Vec<(f32, u32)> = kept.iter().map(|other| (near.key(own, *other), *other)).collect();
        found.sort_unstable_by_key(|(key, row)| (Reverse(order(*key)), *row));
        diverse(new, view, &found, slots(level))
    }
}

/// Keys between rows of a state.
struct Pairs<'a> {
    vectors: &'a Vectors,
    view: &'a View<'a>,
}

impl Pairs<'_> {
    /// How near two rows are, by their codes: larger is nearer.
    #[inline]
    #[expect(clippy::cast_precision_loss, reason = "codes are an estimate already")]
    fn key(&self, a: u32, b: u32) -> f32 {
        let (Some((first, at)), Some((second, bt))) = (self.view.place(a), self.view.place(b)) else {
            return f32::NEG_INFINITY;
        };
        let (one, two) = (first.measure(at), second.measure(bt));
        let sum = self.vectors.kernel.pair(first.code(at), second.code(bt));
        let product = sum as f32 * one.scale * two.scale;
        if self.vectors.space.metric == Metric::Euclid {
            2.0 * product - one.norm * one.norm - two.norm * two.norm
        } else {
            product
        }
    }
}

/// Of rows sorted by nearness, those that are nearer to the origin than to any chosen before, then the nearest others.
///
/// Filling up with others keeps rows of dense clusters reachable: a filter takes neighbours away.
fn diverse(vectors: &Vectors, view: &View<'_>, found: &[(f32, u32)], most: usize) -> Vec<u32> {
    let near = Pairs { vectors, view };
    let mut chosen: Vec<u32> = Vec::with_capacity(most);
    let mut others: Vec<u32> = Vec::new();
    for (key, row) in found {
        if chosen.len() >= most {
            break;
        }
        if chosen.iter().all(|other| near.key(*row, *other) < *key) {
            chosen.push(*row);
        } else {
            others.push(*row);
        }
    }
    chosen.extend(others.into_iter().take(most - chosen.len()));
    chosen
}
