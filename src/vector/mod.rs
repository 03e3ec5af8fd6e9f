//! Embeddings, and the nearest of them within an allowed set. Pure: knows objects only as ordinals.
//!
//! `Vectors` holds the chunks of one collection: a persistent value, so that a clone is a snapshot that costs a few
//! pointers, and readers never wait for the one who writes. `RowSet` is what a subject may see, made from the engine's
//! `ObjectSet` of owners. `Vectors::scan` is exact always; `search` chooses between it and a `Graph`.
//! `Payloads` holds the JSON of each chunk; the `Matching` of a `Filter` narrows a `RowSet` before a search.
//! Scores: cosine and dot as they are, Euclidean as minus the distance, so that larger is nearer in every metric.
//! Equal scores stand in the order of chunk numbers. `docs/search.md` has the reasons and the figures.

mod block;
mod disk;
mod filter;
mod graph;
mod ids;
mod kept;
mod kernel;
mod owners;
mod paged;
mod payload;
mod plan;
mod rows;
mod scan;
mod set;
#[cfg(test)]
mod tests;

pub use disk::RowStore;
pub use filter::{FILTER_DEPTH_MAX, FILTER_NODES_MAX, FILTER_RANGES_MAX, Filter, FilterError, ScalarRange};
pub use graph::{Graph, GraphBytesError};
pub use ids::ChunkIds;
pub use kept::{Kept, half_to_f32};
pub(crate) use paged::Paged;
pub use payload::{
    FIELD_BYTES_MAX, FILTER_TEXT_BYTES_MAX, Matching, PAYLOAD_BYTES_MAX, PAYLOAD_DEPTH_MAX, PAYLOAD_FIELDS_MAX,
    Payload, PayloadError, Payloads, Scalar,
};
pub use plan::{Answer, Effort, PlanKind, search};
pub use rows::{Memory, Renumbering, Vectors};
pub use scan::Query;
pub use set::RowSet;

use crate::tuple::Ordinal;

/// The fewest dimensions of a space.
pub const DIMENSION_MIN: usize = 2;

/// The most dimensions of a space.
pub const DIMENSION_MAX: usize = 4096;

/// The most hits of one search.
pub const HITS_MAX: usize = 1_000;

/// The most rows of one collection, dead ones that no rewrite has removed included.
pub const ROWS_MAX: u32 = 1 << 30;

/// What larger scores mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// The angle: rows and queries are normalised on entry; the score is their dot product.
    Cosine,
    /// The dot product.
    Dot,
    /// The straight distance; the score is minus the distance.
    Euclid,
}

/// How the elements of a row are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element {
    /// Four bytes, as given.
    F32,
    /// Two bytes, rounded to the nearest; scores are those of the rounded row.
    F16,
}

/// The space that the vectors of a collection live in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    // INVARIANT: DIMENSION_MIN..=DIMENSION_MAX; made only by Space::new.
    dimension: usize,
    metric: Metric,
    element: Element,
}

/// The number of a chunk within its collection: dense, given by the caller, the same for the chunk's whole life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Chunk(pub u32);

/// One answer of a search.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hit {
    /// Which chunk.
    pub chunk: Chunk,
    /// The object that guards it.
    pub owner: Ordinal,
    /// How near: larger is nearer.
    pub score: f32,
}

/// Why a vector, a query or a set is refused.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum VectorError {
    /// A dimension that no space has.
    #[error(
        "dimension {given} is not within {DIMENSION_MIN} to {DIMENSION_MAX}; choose the one of the embedding model"
    )]
    Dimension {
        /// What was asked for.
        given: usize,
    },
    /// A vector of another space.
    #[error("the vector has {given} elements where the collection has {dimension}; embed with the collection's model")]
    Length {
        /// Elements of the vector.
        given: usize,
        /// Elements of the space.
        dimension: usize,
    },
    /// NaN, infinite, or so large that its square or its half-precision form is.
    #[error("element {position} is not a finite number of a size that the collection can keep; correct the vector")]
    NotFinite {
        /// Which element, from 0; the last when only the sum is too large.
        position: usize,
    },
    /// No direction.
    #[error(
        "a zero vector has no direction, so that cosine does not know it; leave the chunk out or use another metric"
    )]
    Zero,
    /// Too many rows or a chunk number beyond them.
    #[error("the collection is full at {ROWS_MAX} rows; split it")]
    Full,
    /// More hits than a search may return.
    #[error("k is {given}, more than {HITS_MAX}; ask for fewer")]
    Hits {
        /// What was asked for.
        given: usize,
    },
    /// A set or a graph made for another state of the vectors, or a query for another space.
    #[error(
        "the set of rows, the query or the graph belongs to another state of the vectors; make it again from this one"
    )]
    Stale,
    /// A row on disk cannot be read.
    #[error("vectors on disk cannot be read; look at the disk of the database's directory")]
    Unreadable,
}

impl Space {
    /// A space, if the dimension is within bounds.
    pub fn new(dimension: usize, metric: Metric, element: Element) -> Result<Self, VectorError> {
        if (DIMENSION_MIN..=DIMENSION_MAX).contains(&dimension) {
            Ok(Self { dimension, metric, element })
        } else {
            Err(VectorError::Dimension { given: dimension })
        }
    }

    /// Elements of a vector.
    #[must_use]
    pub fn dimension(self) -> usize {
        self.dimension
    }

    /// What larger scores mean.
    #[must_use]
    pub fn metric(self) -> Metric {
        self.metric
    }

    /// How elements are kept.
    #[must_use]
    pub fn element(self) -> Element {
        self.element
    }

    /// Elements of a row in memory: whole lines, so that kernels have no rest to do.
    fn stride(self) -> usize {
        self.dimension.next_multiple_of(kernel::LANES)
    }

    /// The vector as it is compared: padded, and normalised under cosine. Refuses what has no place in the space.
    fn admit(self, vector: &[f32]) -> Result<Vec<f32>, VectorError> {
        if vector.len() != self.dimension {
            return Err(VectorError::Length { given: vector.len(), dimension: self.dimension });
        }
        if let Some(position) = vector.iter().position(|x| !x.is_finite()) {
            return Err(VectorError::NotFinite { position });
        }
        let halves = self.element == Element::F16 && self.metric != Metric::Cosine;
        if let Some(position) = vector.iter().position(|x| halves && x.abs() > half::f16::MAX.to_f32()) {
            return Err(VectorError::NotFinite { position });
        }
        // In f64, so that neither large nor tiny elements lose the length of a vector that has a direction.
        let length = vector.iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>().sqrt();
        let mut admitted: Vec<f32> = match self.metric {
            Metric::Cosine if length == 0.0 => return Err(VectorError::Zero),
            // Its length is one as far as halves can tell: to round it again would only add noise.
            Metric::Cosine if self.element == Element::F16 && (length - 1.0).abs() < HALF_PRECISION => vector.to_vec(),
            Metric::Cosine => vector.iter().map(|x| narrow(f64::from(*x) / length)).collect(),
            Metric::Dot | Metric::Euclid if length > LENGTH_MAX => {
                return Err(VectorError::NotFinite { position: self.dimension - 1 });
            }
            Metric::Dot | Metric::Euclid => vector.to_vec(),
        };
        admitted.resize(self.stride(), 0.0);
        Ok(admitted)
    }
}

/// What rounding to half precision changes at most, in parts of the value.
const HALF_PRECISION: f64 = 1.0 / 2048.0;

/// The longest vector whose distances to all others stay finite in `f32`.
const LENGTH_MAX: f64 = 1e18;

/// The nearest `f32`.
#[expect(clippy::cast_possible_truncation, reason = "rounding is what is asked for; the values are within range")]
fn narrow(value: f64) -> f32 {
    value as f32
}

/// A count as a row number.
// Counts of rows are at most ROWS_MAX, which Vectors::upsert holds, so that the saturation never happens.
fn row_number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
