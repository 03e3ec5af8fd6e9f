//! A set of rows of one state of a collection: what a search may show.
//!
//! Few rows are kept one by one, ascending, many as bits: walking the bits of a million rows costs microseconds, which is
//! more than scanning a hundred rows does.

use super::VectorError;

/// Rows below this share of all are kept one by one: a row takes 32 bits there, and one bit of every row otherwise.
const FEW_SHARE: usize = 64;

/// Which rows a search may show. Belongs to the state of the vectors that it was made from.
#[derive(Clone, Debug)]
pub struct RowSet {
    pub(super) form: Form,
    pub(super) len: usize,
    /// Rows of the state, allowed or not.
    pub(super) rows: usize,
    /// The state it belongs to.
    pub(super) state: State,
}

/// Names a state of a collection: the layout counts rewrites, the change is mixed from every write before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct State {
    pub(super) layout: u64,
    pub(super) change: u64,
}

// INVARIANT: `Few` ascends without duplicates; `Many` has a bit for each row of the state.
#[derive(Clone, Debug)]
pub(super) enum Form {
    Few(Vec<u32>),
    Many(Vec<u64>),
}

impl RowSet {
    /// How many rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes in memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match &self.form {
            Form::Few(rows) => size_of_val(rows.as_slice()),
            Form::Many(words) => size_of_val(words.as_slice()),
        }
    }

    /// The rows that another set of the same state has too.
    ///
    /// # Errors
    /// The sets are of two states.
    pub fn intersected(&self, other: &Self) -> Result<Self, VectorError> {
        if self.state != other.state {
            return Err(VectorError::Stale);
        }
        let form = match (&self.form, &other.form) {
            (Form::Few(rows), _) => Form::Few(rows.iter().copied().filter(|row| other.contains(*row)).collect()),
            (_, Form::Few(rows)) => Form::Few(rows.iter().copied().filter(|row| self.contains(*row)).collect()),
            (Form::Many(a), Form::Many(b)) => Form::Many(a.iter().zip(b).map(|(a, b)| a & b).collect()),
        };
        let len = match &form {
            Form::Few(rows) => rows.len(),
            Form::Many(words) => words.iter().map(|word| word.count_ones() as usize).sum(),
        };
        Ok(Self { form, len, rows: self.rows, state: self.state })
    }

    #[inline]
    pub(super) fn contains(&self, row: u32) -> bool {
        match &self.form {
            Form::Few(rows) => rows.binary_search(&row).is_ok(),
            Form::Many(words) => words.get(row as usize / 64).is_some_and(|word| word >> (row % 64) & 1 == 1),
        }
    }

    /// Calls `visit` with each run of adjacent rows, `start..end`, ascending.
    #[inline]
    pub(super) fn runs(&self, mut visit: impl FnMut(u32, u32)) {
        match &self.form {
            Form::Few(rows) => {
                let mut rows = rows.iter().copied();
                let Some(mut start) = rows.next() else { return };
                let mut end = start + 1;
                for row in rows {
                    if row != end {
                        visit(start, end);
                        start = row;
                    }
                    end = row + 1;
                }
                visit(start, end);
            }
            Form::Many(words) => bit_runs(words, visit),
        }
    }

    /// As [`Self::runs`], of the rows from `first` on.
    pub(super) fn runs_from(&self, first: u32, mut visit: impl FnMut(u32, u32)) {
        match &self.form {
            Form::Few(_) => self.runs(|start, end| {
                if end > first {
                    visit(start.max(first), end);
                }
            }),
            Form::Many(words) => {
                let from = first as usize / 64;
                let base = first / 64 * 64;
                bit_runs(words.get(from..).unwrap_or_default(), |start, end| {
                    if base + end > first {
                        visit((base + start).max(first), base + end);
                    }
                });
            }
        }
    }

    /// How many rows a scan reads one after another, and how many apart from others.
    pub(super) fn shape(&self) -> Shape {
        let mut shape = Shape::default();
        match &self.form {
            Form::Few(_) => self.runs(|start, end| {
                shape.apart += 1;
                shape.adjacent += (end - start - 1) as usize;
            }),
            Form::Many(words) => {
                for word in words {
                    let ones = word.count_ones() as usize;
                    if ones >= DENSE_MIN {
                        shape.adjacent += 64;
                    } else {
                        let runs = (word & !(word << 1)).count_ones() as usize;
                        shape.apart += runs;
                        shape.adjacent += ones - runs;
                    }
                }
            }
        }
        shape
    }
}

/// Rows of 64 from which all 64 are read: reading on costs less than asking for each of so many.
pub(super) const DENSE_MIN: usize = 22;

/// What a scan of a set reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Shape {
    /// Rows that follow the one before.
    pub(super) adjacent: usize,
    /// Rows that do not.
    pub(super) apart: usize,
}

pub(super) fn bit_runs(words: &[u64], mut visit: impl FnMut(u32, u32)) {
    let mut open: Option<u32> = None;
    let mut base = 0_u32;
    for &word in words {
        let mut at = 0_u32;
        while at < 64 {
            let rest = word >> at;
            // Ones when a run is open, zeros when none is: what is skipped is what does not change.
            let same = if open.is_some() { rest.trailing_ones() } else { rest.trailing_zeros() };
            if same >= 64 - at {
                break;
            }
            at += same;
            match open.take() {
                Some(start) => visit(start, base + at),
                None => open = Some(base + at),
            }
        }
        base += 64;
    }
    if let Some(start) = open {
        visit(start, base);
    }
}

/// Collects rows in any order.
pub(super) struct RowSetBuilder {
    rows: usize,
    form: Form,
}

impl RowSetBuilder {
    /// For a state with `rows` rows, when about `expected` are coming.
    pub(super) fn new(rows: usize, expected: usize) -> Self {
        let form = if expected < rows / FEW_SHARE {
            Form::Few(Vec::with_capacity(expected))
        } else {
            Form::Many(vec![0; rows.div_ceil(64)])
        };
        Self { rows, form }
    }

    /// With the rows of a set, for a state with `rows` rows.
    pub(super) fn of(set: &RowSet, rows: usize) -> Self {
        let mut form = set.form.clone();
        if let Form::Many(words) = &mut form {
            words.resize(rows.div_ceil(64), 0);
        }
        Self { rows, form }
    }

    #[inline]
    pub(super) fn add(&mut self, start: u32, end: u32) {
        match &mut self.form {
            Form::Few(rows) => {
                rows.extend(start..end);
                if rows.len() > self.rows / FEW_SHARE {
                    let mut words = vec![0; self.rows.div_ceil(64)];
                    rows.iter().for_each(|row| set_bits(&mut words, *row, *row + 1));
                    self.form = Form::Many(words);
                }
            }
            // Most owners guard one chunk.
            Form::Many(words) if end - start == 1 => {
                if let Some(word) = words.get_mut(start as usize / 64) {
                    *word |= 1 << (start % 64);
                }
            }
            Form::Many(words) => set_bits(words, start, end),
        }
    }

    /// The set, without the rows that `live` lacks; `live` is asked for words of 64 rows.
    pub(super) fn finish(mut self, state: State, live: impl Fn(usize) -> u64) -> RowSet {
        let len = match &mut self.form {
            Form::Few(rows) => {
                rows.retain(|row| live(*row as usize / 64) >> (row % 64) & 1 == 1);
                rows.sort_unstable();
                rows.dedup();
                rows.len()
            }
            Form::Many(words) => {
                words.iter_mut().enumerate().for_each(|(i, word)| *word &= live(i));
                words.iter().map(|word| word.count_ones() as usize).sum()
            }
        };
        RowSet { form: self.form, len, rows: self.rows, state }
    }
}

/// Sets the bits `start..end`.
pub(super) fn set_bits(words: &mut [u64], start: u32, end: u32) {
    let mut at = start;
    while at < end {
        let stop = end.min(at / 64 * 64 + 64);
        let ones = u64::MAX >> (64 - (stop - at));
        if let Some(word) = words.get_mut(at as usize / 64) {
            *word |= ones << (at % 64);
        }
        at = stop;
    }
}
