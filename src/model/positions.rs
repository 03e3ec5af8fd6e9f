//! Where the parts of a model stand in the texts it came from. Kept beside the model and not in it, so that two models
//! that mean the same are equal and stored alike, however they were laid out.

use super::diagnostic::Place;
use std::ops::Range;

/// Places of all parts, in the order of the model's own lists.
#[derive(Clone, Debug, Default)]
pub(super) struct Positions {
    pub(super) schema: Option<Place>,
    pub(super) types: Vec<TypeAt>,
    /// The names of the conditions.
    pub(super) conditions: Vec<Place>,
}

/// Places of a type.
#[derive(Clone, Debug, Default)]
pub(super) struct TypeAt {
    pub(super) name: Place,
    pub(super) relations: Vec<RelationAt>,
}

/// Places of a relation.
#[derive(Clone, Debug, Default)]
pub(super) struct RelationAt {
    pub(super) name: Place,
    /// The leaves of the rewrite, from left to right.
    pub(super) leaves: Vec<LeafAt>,
    /// The kinds of subject in `[...]`.
    pub(super) subjects: Vec<SubjectAt>,
}

/// Bytes of a leaf of a rewrite; the source is the relation's.
#[derive(Clone, Debug, Default)]
pub(super) struct LeafAt {
    pub(super) whole: Range<usize>,
    /// The relation after `from`.
    pub(super) tupleset: Option<Range<usize>>,
}

/// Bytes of a kind of subject; the source is the relation's.
#[derive(Clone, Debug, Default)]
pub(super) struct SubjectAt {
    /// `group#member`, without the condition.
    pub(super) whole: Range<usize>,
    pub(super) condition: Option<Range<usize>>,
}
