//! The exact scan: codes first, then the exact rows of what may still be among the nearest.
//!
//! The code of a row and the code of the query give an estimate of their product and a bound of its error (by Cauchy and
//! Schwarz from what each code lost). A row is dropped only when even its upper bound is below the k-th best lower bound,
//! and the rest is scored exactly, best upper bound first, until no upper bound can reach the k-th best score. So the
//! answer is that of exact scores over all allowed rows, always; the codes only save reading the rows.

use super::block::{Block, Code, Measure};
use super::kernel::{Codes, Kernel};
use super::rows::{Vectors, View};
use super::set::{DENSE_MIN, Form, RowSet, bit_runs};
use super::{HITS_MAX, Hit, Metric, Space, VectorError, row_number};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

/// Runs shorter than this are gathered row by row, with their lines asked for ahead.
const RUN_MIN: u32 = 8;

/// Rows whose products are computed in one call of a kernel: those of a word of a set.
const BATCH: usize = 64;

/// Single rows whose lines are asked for before the first of them is read.
const AHEAD: usize = 16;

/// Single rows that are compared in one call of a kernel, so that the processor works on one while it waits for another.
const GROUP: usize = 8;

/// Rows on disk that are asked for before the first of them is read: as many as disks like to have in their queue.
const DISK_AHEAD: usize = 32;

/// Candidates from which the list is thinned with the bound reached by then; it doubles when thinning frees little.
const CANDIDATES_THIN: usize = 4_096;

/// A query in the form that scans and walks need: made once, used for any number of searches in its space.
#[derive(Debug)]
pub struct Query {
    pub(super) space: Space,
    pub(super) exact: Vec<f32>,
    pub(super) codes: Codes,
    scale: f32,
    residual: f32,
    norm: f32,
    /// Relative size of the roundings of `f32` sums over a row.
    epsilon: f32,
}

impl Query {
    /// Admits a query; refused as a vector of the collection would be.
    pub fn new(space: Space, vector: &[f32]) -> Result<Self, VectorError> {
        let exact = space.admit(vector)?;
        let Code { code, measure: Measure { scale, norm, residual } } = Code::of(&exact);
        // An eighth of the lanes' additions, the additions across lanes, and the widened norms, each rounded once.
        let roundings = u16::try_from(exact.len() / 16 + 64).unwrap_or(u16::MAX);
        let (codes, epsilon) = (Codes::new(code), f32::from(roundings) * f32::EPSILON);
        Ok(Self { space, exact, codes, scale, residual, norm, epsilon })
    }

    fn euclid(&self) -> bool {
        self.space.metric == Metric::Euclid
    }

    /// The estimated key of a row: its product with the query, or minus the square of the distance.
    #[inline]
    #[expect(clippy::cast_precision_loss, reason = "the rounding is within epsilon")]
    pub(super) fn estimate(&self, row: Measure, sum: i32) -> f32 {
        let product = sum as f32 * row.scale * self.scale;
        if self.euclid() { 2.0 * product - row.norm * row.norm - self.norm * self.norm } else { product }
    }

    /// At least the difference between estimate and exact key of a row with such norm and residual.
    #[inline]
    fn error(&self, norm: f32, residual: f32) -> f32 {
        let product = self.residual * (norm + residual) + self.norm * residual;
        let lengths = self.norm + norm;
        let rounding = self.epsilon * lengths * lengths;
        if self.euclid() { 2.0 * product + rounding } else { product + rounding }
    }

    /// At least the exact key of a row with this estimate.
    pub(super) fn upper(&self, view: &View<'_>, row: u32, estimate: f32) -> f32 {
        view.place(row).map_or(estimate, |(block, local)| {
            let Measure { norm, residual, .. } = block.measure(local);
            estimate + self.error(norm, residual)
        })
    }

    /// A row as a query: what building a graph compares others with.
    pub(super) fn of_row(vectors: &Vectors, row: u32) -> Option<Self> {
        let (block, local) = vectors.place(row)?;
        let codes = Codes::new(block.code(local).iter().map(|byte| byte.wrapping_sub(128).cast_signed()).collect());
        let Measure { scale, norm, residual } = block.measure(local);
        let space = vectors.space;
        Some(Self { space, exact: Vec::new(), codes, scale, residual, norm, epsilon: 0.0 })
    }

    /// The exact key of a row.
    #[inline]
    pub(super) fn key(&self, kernel: Kernel, block: &Block, row: usize) -> Result<f32, VectorError> {
        block.exact(kernel, row, &self.exact, self.euclid())
    }

    fn score(&self, key: f32) -> f32 {
        if self.euclid() { -(-key).max(0.0).sqrt() } else { key }
    }
}

/// An order of `f32` as integers; both zeros are one.
#[inline]
pub(super) fn order(value: f32) -> i32 {
    let bits = (value + 0.0).to_bits().cast_signed();
    bits ^ ((bits >> 31).cast_unsigned() >> 1).cast_signed()
}

/// Rows that may be among the nearest `k`, given bounds only.
struct Candidates {
    k: usize,
    /// The `k` best lower bounds, the worst on top.
    lower: BinaryHeap<Reverse<(i32, u32)>>,
    /// The worst of `k` lower bounds: what an upper bound must reach.
    threshold: f32,
    rows: Vec<(f32, u32)>,
    thin_at: usize,
}

impl Candidates {
    fn new(k: usize) -> Self {
        let rows = Vec::with_capacity(BATCH);
        let lower = BinaryHeap::with_capacity(k + 1);
        Self { k, lower, threshold: f32::NEG_INFINITY, rows, thin_at: CANDIDATES_THIN }
    }

    fn offer(&mut self, row: u32, estimate: f32, error: f32) {
        if estimate + error < self.threshold {
            return;
        }
        self.rows.push((estimate + error, row));
        let lower = estimate - error;
        if lower > self.threshold || self.lower.len() < self.k {
            self.lower.push(Reverse((order(lower), lower.to_bits())));
            if self.lower.len() > self.k {
                self.lower.pop();
            }
            if let (Some(Reverse((_, bits))), true) = (self.lower.peek(), self.lower.len() == self.k) {
                self.threshold = f32::from_bits(*bits);
            }
        }
        if self.rows.len() >= self.thin_at {
            self.thin();
            self.thin_at = self.thin_at.max(self.rows.len() * 2);
        }
    }

    fn thin(&mut self) {
        let threshold = self.threshold;
        self.rows.retain(|(upper, _)| *upper >= threshold);
    }
}

/// What a scan did.
#[derive(Debug)]
pub(super) struct Scanned {
    pub(super) hits: Vec<Hit>,
    /// Rows whose exact elements were read.
    pub(super) exact: usize,
}

impl Vectors {
    /// The `k` nearest of the allowed rows, exactly; fewer only when fewer are allowed.
    ///
    /// Refuses a set or a query that does not belong to this state.
    pub fn scan(&self, query: &Query, allowed: &RowSet, k: usize) -> Result<Vec<Hit>, VectorError> {
        self.owns(allowed)?;
        let view = self.view();
        self.scan_rows(&view, query, allowed, k).map(|scanned| scanned.hits)
    }

    /// Scans the allowed rows; the caller saw to it that the set is of this state.
    pub(super) fn scan_rows(
        &self,
        view: &View<'_>,
        query: &Query,
        allowed: &RowSet,
        k: usize,
    ) -> Result<Scanned, VectorError> {
        if k > HITS_MAX {
            return Err(VectorError::Hits { given: k });
        }
        if query.space != self.space {
            return Err(VectorError::Stale);
        }
        let waiting = VecDeque::with_capacity(AHEAD + GROUP);
        let mut scan = Scan { kernel: self.kernel, view, query, candidates: Candidates::new(k.max(1)), waiting };
        match &allowed.form {
            Form::Few(_) => allowed.runs(|start, end| scan.run(start, end)),
            Form::Many(words) => scan.words(words, row_number(self.rows())),
        }
        while !scan.waiting.is_empty() {
            scan.group();
        }
        scan.candidates.thin();
        let rows = std::mem::take(&mut scan.candidates.rows);
        self.rescore(view, query, rows, k)
    }

    /// The `k` nearest of rows with upper bounds of their keys.
    pub(super) fn rescore(
        &self,
        view: &View<'_>,
        query: &Query,
        mut rows: Vec<(f32, u32)>,
        k: usize,
    ) -> Result<Scanned, VectorError> {
        rows.sort_unstable_by_key(|(upper, row)| (Reverse(order(*upper)), *row));
        let mut best: BinaryHeap<(Reverse<i32>, u32, u32, u32)> = BinaryHeap::with_capacity(k + 1);
        let mut exact = 0;
        let prefetch = |row: u32| {
            if let Some((block, local)) = view.place(row) {
                block.prefetch_exact(local);
            }
        };
        let ahead = if self.on_disk() { DISK_AHEAD } else { AHEAD / 4 };
        rows.iter().take(ahead).for_each(|(_, row)| prefetch(*row));
        for (at, &(upper, row)) in rows.iter().enumerate() {
            let full = best.len() >= k;
            if full && best.peek().is_none_or(|worst| order(upper) < worst.0.0) {
                break;
            }
            if let Some((_, next)) = rows.get(at + ahead) {
                prefetch(*next);
            }
            let (Some((block, local)), Some(chunk)) = (view.place(row), self.chunk_at(row)) else { continue };
            let key = query.key(self.kernel, block, local)? + 0.0;
            exact += 1;
            best.push((Reverse(order(key)), chunk.0, row, key.to_bits()));
            if best.len() > k {
                best.pop();
            }
        }
        let hit = |(_, _, row, key): (Reverse<i32>, u32, u32, u32)| {
            let (chunk, owner) = (self.chunk_at(row)?, self.owner_at(row)?);
            Some(Hit { chunk, owner, score: query.score(f32::from_bits(key)) })
        };
        Ok(Scanned { hits: best.into_sorted_vec().into_iter().filter_map(hit).collect(), exact })
    }
}

struct Scan<'a> {
    kernel: Kernel,
    view: &'a View<'a>,
    query: &'a Query,
    candidates: Candidates,
    /// Single rows whose lines have been asked for, fewer than `AHEAD + GROUP`: the oldest are compared when others are asked
    /// for, so that there are always as many on their way.
    waiting: VecDeque<u32>,
}

impl Scan<'_> {
    /// Scans words of 64 rows, of `rows` in all: dense ones whole, others run by run.
    fn words(&mut self, words: &[u64], rows: u32) {
        for (at, word) in words.iter().enumerate().filter(|(_, word)| **word != 0) {
            let base = row_number(at * BATCH);
            if word.count_ones() as usize >= DENSE_MIN {
                self.stretch(base, rows.min(base + 64), *word);
            } else {
                bit_runs(std::slice::from_ref(word), |start, end| self.run(base + start, base + end));
            }
        }
    }

    #[inline]
    fn run(&mut self, start: u32, end: u32) {
        if end - start >= RUN_MIN {
            for batch in (start..end).step_by(BATCH) {
                self.stretch(batch, end.min(batch + 64), u64::MAX);
            }
            return;
        }
        for row in start..end {
            self.view.prefetch_code(row);
            self.waiting.push_back(row);
            if self.waiting.len() == AHEAD + GROUP {
                self.group();
            }
        }
    }

    /// Compares the rows `start..end`, at most 64, and offers those whose bit is set, counted from `start`.
    fn stretch(&mut self, mut start: u32, end: u32, mut wanted: u64) {
        let mut sums = [0_i32; BATCH];
        while start < end {
            let Some((block, local, count)) = self.view.stretch(start, end) else { return };
            let bound = self.query.error(block.norm_max, block.residual_max);
            let sums = sums.get_mut(..count).unwrap_or_default();
            self.kernel.run(block.codes(local, count), &self.query.codes, sums);
            for (at, sum) in sums.iter().enumerate() {
                let measure = block.measure(local + at);
                let estimate = self.query.estimate(measure, *sum);
                if estimate + bound >= self.candidates.threshold && wanted >> at & 1 == 1 {
                    let error = self.query.error(measure.norm, measure.residual);
                    self.candidates.offer(start + row_number(at), estimate, error);
                }
            }
            start += row_number(count);
            wanted = wanted.unbounded_shr(row_number(count));
        }
    }

    /// Compares the single rows that have waited longest.
    fn group(&mut self) {
        let mut places = [None; GROUP];
        let mut codes: [&[u8]; GROUP] = [&[]; GROUP];
        let mut sums = [0_i32; GROUP];
        for (place, code) in places.iter_mut().zip(&mut codes) {
            let Some(row) = self.waiting.pop_front() else { break };
            if let Some((block, local)) = self.view.place(row) {
                *code = block.code(local);
                *place = Some((row, block.measure(local)));
            }
        }
        self.kernel.each(&codes, &self.query.codes, &mut sums);
        for (place, sum) in places.into_iter().zip(sums) {
            let Some((row, measure)) = place else { continue };
            let error = self.query.error(measure.norm, measure.residual);
            self.candidates.offer(row, self.query.estimate(measure, sum), error);
        }
    }
}
