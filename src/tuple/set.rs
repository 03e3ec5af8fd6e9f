//! A set of objects of one type: a roaring bitmap of ordinals. The only file that names roaring.

use super::Ordinal;
use roaring::RoaringBitmap;

/// A set of objects of one type in one store. This is what permission evaluation makes and what vector search consumes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ObjectSet(RoaringBitmap);

/// The ordinals of an [`ObjectSet`], ascending.
pub struct ObjectSetIter<'a>(roaring::bitmap::Iter<'a>);

impl Iterator for ObjectSetIter<'_> {
    type Item = Ordinal;
    fn next(&mut self) -> Option<Ordinal> {
        self.0.next().map(Ordinal)
    }
    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl ObjectSet {
    /// The empty set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
    /// The ordinals `0..len`.
    #[must_use]
    pub fn first(len: u32) -> Self {
        let mut set = RoaringBitmap::new();
        set.insert_range(0..len);
        Self(set)
    }
    /// A set of ascending ordinals; `None` when they are not strictly ascending.
    pub fn from_ascending(ordinals: impl IntoIterator<Item = Ordinal>) -> Option<Self> {
        RoaringBitmap::from_sorted_iter(ordinals.into_iter().map(|o| o.0)).ok().map(Self)
    }
    /// How many objects the set holds.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.0.len()
    }
    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    /// Whether it holds `ordinal`.
    #[must_use]
    pub fn contains(&self, ordinal: Ordinal) -> bool {
        self.0.contains(ordinal.0)
    }
    /// The ordinals behind the first `rank` ones, ascending.
    pub fn iter_from(&self, rank: u32) -> ObjectSetIter<'_> {
        let mut iter = self.0.iter();
        match self.0.select(rank) {
            Some(first) => iter.advance_to(first),
            None => iter = self.0.range(0..0),
        }
        ObjectSetIter(iter)
    }
    /// Adds; true when it was not there.
    pub fn insert(&mut self, ordinal: Ordinal) -> bool {
        self.0.insert(ordinal.0)
    }
    /// Removes; true when it was there.
    pub fn remove(&mut self, ordinal: Ordinal) -> bool {
        self.0.remove(ordinal.0)
    }
    /// Adds ascending ordinals (any order works; ascending is fast).
    pub fn extend(&mut self, ordinals: impl IntoIterator<Item = Ordinal>) {
        self.0.extend(ordinals.into_iter().map(|o| o.0));
    }
    /// `self ∪ other`, in place.
    pub fn union_with(&mut self, other: &Self) {
        self.0 |= &other.0;
    }
    /// `self ∩ other`, in place.
    pub fn intersect_with(&mut self, other: &Self) {
        self.0 &= &other.0;
    }
    /// `self \ other`, in place.
    pub fn subtract(&mut self, other: &Self) {
        self.0 -= &other.0;
    }
    /// Whether the two share an object.
    #[must_use]
    pub fn intersects(&self, other: &Self) -> bool {
        !self.0.is_disjoint(&other.0)
    }
    /// The ordinals, ascending.
    #[must_use]
    pub fn iter(&self) -> ObjectSetIter<'_> {
        ObjectSetIter(self.0.iter())
    }
    /// Chooses the smallest representation (run-length containers where they pay).
    pub fn optimize(&mut self) {
        self.0.optimize();
    }
    /// Bytes of the serialised form; close to what the set takes in memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.0.serialized_size()
    }
}

impl<'a> IntoIterator for &'a ObjectSet {
    type Item = Ordinal;
    type IntoIter = ObjectSetIter<'a>;
    fn into_iter(self) -> ObjectSetIter<'a> {
        self.iter()
    }
}

impl FromIterator<Ordinal> for ObjectSet {
    fn from_iter<T: IntoIterator<Item = Ordinal>>(ordinals: T) -> Self {
        Self(ordinals.into_iter().map(|o| o.0).collect())
    }
}
