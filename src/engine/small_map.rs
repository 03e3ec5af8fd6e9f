//! A map for the few entries of one question: a list, and a table of bytes that says where in it each key is; a hash map
//! takes over when the list grows long.
//!
//! Most questions settle a handful of (relation, object) pairs. For those nothing is allocated but the list, and a look-up
//! touches one line of the table and one of the list.

use super::plan::NodeId;
use crate::tuple::Ordinal;
use hashbrown::HashMap;

/// Places of the small table, a power of two.
const PLACES: usize = 64;
/// Longest list that the small table serves: three quarters of its places.
const SMALL_MAX: usize = 48;
/// Room that the list starts with.
const ROOM: usize = 16;

const _: () = assert!(SMALL_MAX < u8::MAX as usize && PLACES.is_power_of_two(), "places are bytes, chosen by six bits");

/// See the file's head. Entries stay where they were put.
pub(crate) struct SmallMap<V> {
    entries: Vec<(u64, V)>,
    /// 0, or where in the list a key is, plus one.
    places: [u8; PLACES],
    /// Where each key is; empty while the list is short.
    index: HashMap<u64, usize>,
}

impl<V> Default for SmallMap<V> {
    fn default() -> Self {
        SmallMap { entries: Vec::new(), places: [0; PLACES], index: HashMap::new() }
    }
}

fn key(node: NodeId, object: Ordinal) -> u64 {
    u64::from(node.0) << 32 | u64::from(object.0)
}

/// The places at which a key may be, in the order to try.
fn places(key: u64) -> impl Iterator<Item = usize> {
    let start = (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58) as usize;
    (0..PLACES).map(move |step| (start + step) & (PLACES - 1))
}

impl<V> SmallMap<V> {
    /// How many entries.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Where a pair is.
    pub(crate) fn find(&self, node: NodeId, object: Ordinal) -> Option<usize> {
        let key = key(node, object);
        if self.entries.len() > SMALL_MAX {
            return self.index.get(&key).copied();
        }
        for place in places(key) {
            let at = usize::from(*self.places.get(place)?).checked_sub(1)?;
            if self.entries.get(at)?.0 == key {
                return Some(at);
            }
        }
        None
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
        let at = self.entries.len();
        if at == 0 {
            self.entries.reserve(ROOM);
        }
        let key = key(node, object);
        self.entries.push((key, value));
        if at < SMALL_MAX {
            let free = places(key).find(|place| self.places.get(*place) == Some(&0));
            if let Some(place) = free.and_then(|place| self.places.get_mut(place)) {
                *place = u8::try_from(at + 1).unwrap_or(u8::MAX);
            }
        } else if at == SMALL_MAX {
            self.index = self.entries.iter().enumerate().map(|(at, (key, _))| (*key, at)).collect();
        } else {
            self.index.insert(key, at);
        }
        at
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
