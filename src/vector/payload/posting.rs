//! The chunks that a value, or a field, has: a few in place, then a list, then bitmaps.
//!
//! A posting is part of a persistent value: a change copies at most a short list, or the one bitmap it touches and the
//! list of bitmaps, and only while a clone holds them.

use crate::tuple::{ObjectSet, Ordinal};
use std::sync::Arc;

/// Chunks that stand in place.
const FEW_MAX: usize = 3;

/// Chunks of a list. Fewer than half of it make bitmaps a list again.
const LIST_MAX: usize = 1_024;

/// Chunk numbers that share a bitmap, as a power of two: those of one container of the bitmap.
const PART_BITS: u32 = 16;

/// A set of chunk numbers.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Posting {
    /// How many, and they: ascending; the rest is zero.
    // INVARIANT: at most FEW_MAX.
    Few(u8, [u32; FEW_MAX]),
    // INVARIANT: ascending, without duplicates, more than FEW_MAX.
    List(Arc<Vec<u32>>),
    Parts(Arc<Parts>),
}

// Most values of a field with many have one chunk, so that this is what a value costs.
const _: () = assert!(size_of::<Posting>() <= 16);

/// Bitmaps by the high bits of their chunk numbers.
// INVARIANT: parts ascend and none is empty; `len` counts their chunks.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Parts {
    len: usize,
    parts: Vec<(u32, Arc<ObjectSet>)>,
}

impl Default for Posting {
    fn default() -> Self {
        Self::Few(0, [0; FEW_MAX])
    }
}

impl Posting {
    pub(super) fn is_empty(&self) -> bool {
        matches!(self, Self::Few(0, _))
    }

    /// Adds a chunk; what that adds to the bytes on the heap.
    pub(super) fn insert(&mut self, chunk: u32) -> isize {
        match self {
            Self::Few(len, chunks) => {
                let few = chunks.get(..usize::from(*len)).unwrap_or_default();
                let Err(at) = few.binary_search(&chunk) else { return 0 };
                let mut list = few.to_vec();
                list.insert(at, chunk);
                self.take_list(list)
            }
            Self::List(list) => {
                let Err(at) = list.binary_search(&chunk) else { return 0 };
                if list.len() < LIST_MAX {
                    Arc::make_mut(list).insert(at, chunk);
                    return delta(0, size_of::<u32>());
                }
                let mut parts = Parts::default();
                let before = size_of_val(list.as_slice());
                let after: isize = list.iter().chain([&chunk]).map(|chunk| parts.insert(*chunk)).sum();
                *self = Self::Parts(Arc::new(parts));
                after + delta(before, 0)
            }
            Self::Parts(parts) => Arc::make_mut(parts).insert(chunk),
        }
    }

    /// Takes a chunk out; what that adds to the bytes on the heap.
    pub(super) fn remove(&mut self, chunk: u32) -> isize {
        match self {
            Self::Few(len, chunks) => {
                let mut few = chunks.get(..usize::from(*len)).unwrap_or_default().to_vec();
                few.retain(|one| *one != chunk);
                self.take_list(few)
            }
            Self::List(list) => {
                let Ok(at) = list.binary_search(&chunk) else { return 0 };
                if list.len() > FEW_MAX + 1 {
                    Arc::make_mut(list).remove(at);
                    return delta(size_of::<u32>(), 0);
                }
                let before = size_of_val(list.as_slice());
                let few = list.iter().copied().filter(|one| *one != chunk).collect();
                self.take_list(few) + delta(before, 0)
            }
            Self::Parts(parts) => {
                let parts = Arc::make_mut(parts);
                let change = parts.remove(chunk);
                if parts.len >= LIST_MAX / 2 {
                    return change;
                }
                let before = parts.bytes();
                let list = parts.iter().collect();
                change + self.take_list(list) + delta(before, 0)
            }
        }
    }

    /// Becomes the list, which ascends; the bytes that it takes on the heap.
    fn take_list(&mut self, list: Vec<u32>) -> isize {
        if list.len() > FEW_MAX {
            let bytes = size_of_val(list.as_slice());
            *self = Self::List(Arc::new(list));
            return delta(0, bytes);
        }
        let mut chunks = [0; FEW_MAX];
        chunks.iter_mut().zip(&list).for_each(|(place, chunk)| *place = *chunk);
        *self = Self::Few(u8::try_from(list.len()).unwrap_or_default(), chunks);
        0
    }
}

impl Parts {
    fn insert(&mut self, chunk: u32) -> isize {
        let key = chunk >> PART_BITS;
        let (at, fresh) = match self.parts.binary_search_by_key(&key, |part| part.0) {
            Ok(at) => (at, false),
            Err(at) => (at, true),
        };
        if fresh {
            self.parts.insert(at, (key, Arc::default()));
        }
        let Some((_, part)) = self.parts.get_mut(at) else { return 0 };
        let before = if fresh { 0 } else { part_bytes(part) };
        self.len += usize::from(Arc::make_mut(part).insert(Ordinal(chunk)));
        delta(before, part_bytes(part))
    }

    fn remove(&mut self, chunk: u32) -> isize {
        let Ok(at) = self.parts.binary_search_by_key(&(chunk >> PART_BITS), |part| part.0) else { return 0 };
        let Some((_, part)) = self.parts.get_mut(at) else { return 0 };
        let before = part_bytes(part);
        self.len -= usize::from(Arc::make_mut(part).remove(Ordinal(chunk)));
        if part.is_empty() {
            self.parts.remove(at);
            return delta(before, 0);
        }
        delta(before, part_bytes(part))
    }

    fn iter(&self) -> impl Iterator<Item = u32> {
        self.parts.iter().flat_map(|(_, part)| part.iter()).map(|chunk| chunk.0)
    }

    fn bytes(&self) -> usize {
        self.parts.iter().map(|(_, part)| part_bytes(part)).sum()
    }
}

fn part_bytes(part: &ObjectSet) -> usize {
    // The set, its one container and what counts the holders.
    part.bytes() + 64 + size_of::<(u32, Arc<ObjectSet>)>()
}

fn delta(before: usize, after: usize) -> isize {
    after.cast_signed() - before.cast_signed()
}

/// Unites postings.
#[derive(Default)]
pub(super) struct Gather {
    loose: Vec<u32>,
    set: ObjectSet,
}

impl Gather {
    pub(super) fn add(&mut self, posting: &Posting) {
        match posting {
            Posting::Few(len, chunks) => self.loose.extend(chunks.iter().take(usize::from(*len))),
            Posting::List(list) => self.loose.extend_from_slice(list),
            Posting::Parts(parts) => parts.parts.iter().for_each(|(_, part)| self.set.union_with(part)),
        }
    }

    pub(super) fn finish(mut self) -> ObjectSet {
        self.loose.sort_unstable();
        self.loose.dedup();
        let loose = ObjectSet::from_ascending(self.loose.into_iter().map(Ordinal)).unwrap_or_default();
        if self.set.is_empty() {
            return loose;
        }
        self.set.union_with(&loose);
        self.set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(posting: &Posting) -> Vec<u32> {
        let mut gather = Gather::default();
        gather.add(posting);
        gather.finish().iter().map(|chunk| chunk.0).collect()
    }

    #[test]
    fn every_form_holds_the_same_and_counts_its_bytes() {
        let mut posting = Posting::default();
        let mut bytes = 0;
        let mut held = std::collections::BTreeSet::new();
        let step = |i: u32| i.wrapping_mul(7_919) % 200_000;
        for i in 0..4_000 {
            bytes += posting.insert(step(i));
            assert_eq!(posting.insert(step(i)), 0);
            held.insert(step(i));
            if [2, 3, 4, 1_024, 1_025, 3_999].contains(&i) {
                assert_eq!(set(&posting), held.iter().copied().collect::<Vec<_>>());
            }
        }
        assert!(matches!(&posting, Posting::Parts(parts) if parts.len == held.len()));
        let clone = posting.clone();
        for i in 0..4_000 {
            bytes += posting.remove(step(i));
            assert_eq!(posting.remove(step(i)), 0);
            held.remove(&step(i));
            if held.len() < 6 || held.len().is_multiple_of(500) {
                assert_eq!(set(&posting), held.iter().copied().collect::<Vec<_>>());
            }
        }
        assert_eq!((posting, bytes, set(&clone).len()), (Posting::default(), 0, 4_000));
    }
}
