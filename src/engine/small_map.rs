//! A map for the few entries of one question: a list that is searched as it is, and gets a hash index when it grows long.
//!
//! Most questions settle a handful of (relation, object) pairs. For those a scan of one cache line or two beats hashing, and
//! nothing is allocated but the list.

use super::plan::NodeId;
use crate::tuple::Ordinal;
use hashbrown::HashMap;

/// Longest list that is searched without an index.
const SCAN_MAX: usize = 16;

/// See the file's head. Entries stay where they were put.
pub(crate) struct SmallMap<V> {
    entries: Vec<(u64, V)>,
    /// Where each key is; empty while the list is short.
    index: HashMap<u64, usize>,
}

impl<V> Default for SmallMap<V> {
    fn default() -> Self {
        SmallMap { entries: Vec::new(), index: HashMap::new() }
    }
}

fn key(node: NodeId, object: Ordinal) -> u64 {
    u64::from(node.0) << 32 | u64::from(object.0)
}

impl<V> SmallMap<V> {
    /// How many entries.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    #[expect(dead_code)]
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Where a pair is.
    pub(crate) fn find(&self, node: NodeId, object: Ordinal) -> Option<usize> {
        let key = key(node, object);
        if self.entries.len() <= SCAN_MAX {
            return self.entries.iter().position(|(k, _)| *k == key);
        }
        self.index.get(&key).copied()
    }

    /// The value of a pair.
    pub(crate) fn get(&self, node: NodeId, object: Ordinal) -> Option<&V> {
        self.find(node, object).and_then(|at| self.entries.get(at)).map(|(_, value)| value)
    }

    /// The value at a place that [`SmallMap::find`] or [`SmallMap::push`] gave.
    pub(crate) fn at(&mut self, place: usize) -> Option<&mut V> {
        self.entries.get_mut(place).map(|(_, value)| value)
    }

    /// Adds a pair that is not there, and says where it is.
    pub(crate) fn push(&mut self, node: NodeId, object: Ordinal, value: V) -> usize {
        let place = self.entries.len();
        self.entries.push((key(node, object), value));
        if self.entries.len() > SCAN_MAX {
            let from = if self.index.is_empty() { 0 } else { place };
            let new = self.entries.iter().enumerate().skip(from).map(|(at, (k, _))| (*k, at));
            self.index.extend(new);
        }
        place
    }

    /// Every pair with its value, in the order of adding.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (NodeId, Ordinal, &V)> {
        self.entries.iter().map(|(k, value)| {
            let low = u32::try_from(k & u64::from(u32::MAX)).unwrap_or(u32::MAX);
            (NodeId(u32::try_from(k >> 32).unwrap_or(u32::MAX)), Ordinal(low), value)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn like_a_map() {
        let mut map = SmallMap::default();
        for n in 0..100_u32 {
            let (node, object) = (NodeId(n % 7), Ordinal(n));
            assert!(map.find(node, object).is_none(), "{n}");
            assert_eq!(map.push(node, object, n), n as usize);
            for m in 0..=n {
                assert_eq!(map.get(NodeId(m % 7), Ordinal(m)), Some(&m));
            }
            assert_eq!(map.get(NodeId(8), object), None);
        }
        assert!(
            map.iter()
                .zip(0..)
                .all(|((node, object, value), n)| (node, object, *value) == (NodeId(n % 7), Ordinal(n), n))
        );
    }
}
