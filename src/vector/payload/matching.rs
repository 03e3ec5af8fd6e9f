//! The answer to a filter: set operations on the postings of fields and values.

use super::posting::Gather;
use super::{Payloads, Scalar};
use crate::tuple::{ObjectSet, Ordinal};
use crate::vector::filter::Filter;
use crate::vector::set::RowSetBuilder;
use crate::vector::{Chunk, RowSet, VectorError, Vectors};

/// The chunks that a filter admits, of one state of the payloads.
#[derive(Clone, Debug, PartialEq)]
pub struct Matching {
    /// Chunk numbers, as ordinals.
    pub(in crate::vector) set: ObjectSet,
    /// Whether all others are admitted instead, those without a payload included.
    pub(in crate::vector) negated: bool,
}

impl Matching {
    /// Whether the filter admits `chunk`.
    #[must_use]
    pub fn admits(&self, chunk: Chunk) -> bool {
        self.set.contains(Ordinal(chunk.0)) != self.negated
    }

    fn of(set: ObjectSet) -> Self {
        Self { set, negated: false }
    }

    fn flipped(self) -> Self {
        Self { negated: !self.negated, ..self }
    }

    /// What every one of `parts` admits.
    fn all(parts: impl Iterator<Item = Self>) -> Self {
        let mut admitted: Option<ObjectSet> = None;
        let mut refused = ObjectSet::new();
        for part in parts {
            match (part.negated, &mut admitted) {
                (true, _) => refused.union_with(&part.set),
                (false, Some(set)) => set.intersect_with(&part.set),
                (false, None) => admitted = Some(part.set),
            }
        }
        match admitted {
            Some(mut set) => {
                set.subtract(&refused);
                Self::of(set)
            }
            None => Self::of(refused).flipped(),
        }
    }
}

impl Payloads {
    /// The chunks that `filter` admits. A chunk without a payload has no fields: only what is negated admits it.
    #[must_use]
    pub fn matching(&self, filter: &Filter) -> Matching {
        match filter {
            Filter::And(filters) => Matching::all(filters.iter().map(|filter| self.matching(filter))),
            // Admitted by one is not refused by all.
            Filter::Or(filters) => {
                Matching::all(filters.iter().map(|filter| self.matching(filter).flipped())).flipped()
            }
            Filter::Not(filter) => self.matching(filter).flipped(),
            Filter::Equal { field, value } => self.any_of(field, std::slice::from_ref(value)),
            Filter::AnyOf { field, values } => self.any_of(field, values),
            Filter::Range { field, range } => {
                let mut gather = Gather::default();
                if let Some(field) = self.fields.get(field.as_str()) {
                    // By INVARIANT on ScalarRange the ends are in order, which rpds insists on.
                    field.values.range::<Scalar, _>(range.ends()).for_each(|(_, posting)| gather.add(posting));
                }
                Matching::of(gather.finish())
            }
            Filter::Exists { field, wanted } => {
                let mut gather = Gather::default();
                if let Some(field) = self.fields.get(field.as_str()) {
                    gather.add(&field.exists);
                }
                Matching { set: gather.finish(), negated: !wanted }
            }
        }
    }

    fn any_of(&self, field: &str, values: &[Scalar]) -> Matching {
        let mut gather = Gather::default();
        if let Some(field) = self.fields.get(field) {
            values.iter().filter_map(|value| field.values.get(value)).for_each(|posting| gather.add(posting));
        }
        Matching::of(gather.finish())
    }
}

/// A few chunks are looked up one by one when the rows are more than this many times as many: a look-up is slower than
/// a row of a walk.
const LOOK_UP_COST: usize = 4;

impl Vectors {
    /// The rows of `rows` whose chunks the matching admits. Refused when `rows` belongs to another state of the vectors.
    ///
    /// The matching is to be of the payloads beside this state: it knows chunk numbers only, and cannot tell.
    pub fn narrowed(&self, rows: &RowSet, matching: &Matching) -> Result<RowSet, VectorError> {
        self.owns(rows)?;
        let chunks = usize::try_from(matching.set.len()).unwrap_or(usize::MAX);
        let mut narrowed;
        if !matching.negated && chunks.saturating_mul(LOOK_UP_COST) < rows.len() {
            narrowed = RowSetBuilder::new(self.rows(), chunks);
            let found = matching.set.iter().filter_map(|chunk| self.row(Chunk(chunk.0)));
            found.filter(|row| rows.contains(*row)).for_each(|row| narrowed.add(row, row + 1));
        } else {
            narrowed = RowSetBuilder::new(self.rows(), rows.len());
            let bits = bits(&matching.set);
            rows.runs(|start, end| {
                for row in start..end {
                    let chunk = self.chunk_at(row).map_or(u32::MAX, |chunk| chunk.0);
                    let held = bits.get(chunk as usize / 64).is_some_and(|word| word >> (chunk % 64) & 1 == 1);
                    if held != matching.negated {
                        narrowed.add(row, row + 1);
                    }
                }
            });
        }
        Ok(self.finish(narrowed))
    }
}

/// A bit for each chunk number up to the last of the set: a bit is found faster than a member of a bitmap.
fn bits(set: &ObjectSet) -> Vec<u64> {
    let mut words = Vec::new();
    for chunk in set {
        let word = chunk.0 as usize / 64;
        if word >= words.len() {
            words.resize(word + 1, 0_u64);
        }
        if let Some(word) = words.get_mut(word) {
            *word |= 1 << (chunk.0 % 64);
        }
    }
    words
}
