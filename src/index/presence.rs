//! In which columns a subject is named at all: one word for each subject, so that a question looks once instead of into
//! every column.
//!
//! The columns of a subject type are numbered in the order in which they came. The first 63 have a bit of their own; all
//! further ones share the last, which then means *look*. A bit may stand although nothing is there; it is never missing.

use super::column::{Column, ColumnKey, SubjectPart};
use super::radix::Radix;
use super::{ColumnIx, TypeIx};
use crate::tuple::Ordinal;
use std::sync::Arc;

/// The bit that columns share which have none of their own.
const SHARED: u8 = 63;

/// See the file's head. A clone costs a few references.
#[derive(Clone, Debug, Default)]
pub(super) struct Presence {
    /// By subject type.
    words: Vec<Radix<u64>>,
    /// By column: the subject type and the bit; `None` for a wildcard's, which is one subject.
    bits: Arc<Vec<Option<(TypeIx, u8)>>>,
}

impl Presence {
    /// Gives the next column its bit.
    pub(super) fn add_column(&mut self, key: &ColumnKey) {
        let bit = (key.part != SubjectPart::Wildcard).then(|| {
            let before = self.bits.iter().flatten().filter(|(t, _)| *t == key.subject_type).count();
            (key.subject_type, u8::try_from(before).unwrap_or(SHARED).min(SHARED))
        });
        Arc::make_mut(&mut self.bits).push(bit);
    }

    /// The columns of a subject, as bits.
    pub(super) fn word(&self, subject_type: TypeIx, subject: Ordinal) -> u64 {
        let words = self.words.get(usize::from(subject_type.0));
        words.and_then(|w| w.get(subject)).copied().unwrap_or(0)
    }

    /// The bit of a column, as a word; all bits for a wildcard's.
    pub(super) fn bit(&self, column: ColumnIx) -> u64 {
        self.bits.get(usize::from(column.0)).copied().flatten().map_or(u64::MAX, |(_, bit)| 1 << bit)
    }

    /// Notes that a column names a subject.
    pub(super) fn note(&mut self, column: ColumnIx, subject: Ordinal) {
        if let Some((t, bit)) = self.bits.get(usize::from(column.0)).copied().flatten() {
            self.words_of(t).update(subject, |word| (*word |= 1 << bit, true));
        }
    }

    /// Notes that a column, as it is now, lost a tuple of a subject.
    pub(super) fn lost(&mut self, ix: ColumnIx, column: &Column, subject: Ordinal) {
        let Some((t, bit)) = self.bits.get(usize::from(ix.0)).copied().flatten() else { return };
        if bit < SHARED && !column.names(subject) {
            self.words_of(t).update(subject, |word| {
                *word &= !(1 << bit);
                ((), *word != 0)
            });
        }
    }

    /// Notes all that a start has read.
    pub(super) fn fill<'a>(&mut self, columns: impl Iterator<Item = (ColumnIx, &'a Column)>, names: &[u32]) {
        let mut words: Vec<Vec<u64>> = names.iter().map(|len| vec![0; *len as usize]).collect();
        for (ix, column) in columns {
            let Some((t, bit)) = self.bits.get(usize::from(ix.0)).copied().flatten() else { continue };
            let Some(words) = words.get_mut(usize::from(t.0)) else { continue };
            column.for_each_subject(&mut |subject| {
                if let Some(word) = words.get_mut(subject.0 as usize) {
                    *word |= 1 << bit;
                }
            });
        }
        let named = |words: Vec<u64>| {
            let words = (0_u32..).map(Ordinal).zip(words).filter(|(_, word)| *word != 0);
            Radix::from_ascending(words)
        };
        self.words = words.into_iter().map(named).collect();
    }

    fn words_of(&mut self, t: TypeIx) -> &mut Radix<u64> {
        let at = usize::from(t.0);
        if at >= self.words.len() {
            self.words.resize_with(at + 1, Radix::default);
        }
        #[expect(clippy::indexing_slicing, reason = "made long enough above")]
        &mut self.words[at]
    }

    /// Bytes in memory, near enough.
    pub(super) fn bytes(&self) -> usize {
        self.words.iter().map(Radix::bytes).sum::<usize>() + self.bits.len() * 4
    }
}
