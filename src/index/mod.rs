//! What is fast: names and their ordinals, columns of postings in both directions, immutable states of stores.
//!
//! In memory, rebuilt from storage. Knows neither models nor vectors.

mod column;
mod names;
mod postings;
mod presence;
mod radix;
mod store;
#[cfg(test)]
mod tests;

pub use column::{Column, ColumnKey, SubjectPart};
pub(crate) use column::{ColumnRows, Half, Side};
pub use names::NAMES_MAX;
pub(crate) use names::NamesPart;
pub use postings::Postings;
pub use store::{Class, DICTIONARY_MAX, IndexFull, StoreState, Sums};

/// The number of an object type within a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TypeIx(pub u16);

/// The number of a relation name within a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelationIx(pub u16);

/// The number of a column within a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ColumnIx(pub u16);

/// The number of a class (condition and stored context) within a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClassIx(pub u32);
