//! Which number each chunk's id has: a persistent table, whose clone is a snapshot.
//!
//! Numbers are dense: one that became free is given to the next new id, the smallest first, so that the log applied again
//! gives the same numbers. Slots are open-addressed by the id's hash and hold numbers, so that an id is kept once.

use super::paged::Paged;
use super::{Chunk, ROWS_MAX, VectorError, row_number};
use crate::tuple::{ObjectSet, Ordinal};
use foldhash::fast::FixedState;
use std::hash::BuildHasher;
use std::sync::Arc;

/// A slot that was never taken, and one whose id was removed. Others hold a number + 2.
const FREE: u32 = 0;
const GONE: u32 = 1;
/// The fewest slots of a table.
const SLOTS_MIN: usize = 16;

/// See the file's head.
#[derive(Clone, Debug, Default)]
pub struct ChunkIds {
    ids: Paged<Option<Arc<str>>>,
    // INVARIANT: a power of two, or none; at most half are not FREE.
    slots: Paged<u32>,
    /// Slots that are not FREE.
    taken: usize,
    len: usize,
    /// Numbers below the highest that no id has.
    free: Arc<ObjectSet>,
    text_bytes: usize,
}

impl ChunkIds {
    /// How many ids there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The number of an id.
    #[must_use]
    pub fn number(&self, id: &str) -> Option<Chunk> {
        self.find(id).map(|(_, chunk)| chunk)
    }

    /// The id of a number.
    #[must_use]
    pub fn id(&self, chunk: Chunk) -> Option<&str> {
        self.ids.get(chunk.0 as usize).and_then(|id| id.as_deref())
    }

    /// The ids from a number on, in the order of numbers.
    pub fn iter_from(&self, first: u32) -> impl Iterator<Item = (Chunk, &str)> {
        (first..row_number(self.ids.len())).filter_map(|number| Some((Chunk(number), self.id(Chunk(number))?)))
    }

    /// The number of an id, which gets one when it has none.
    ///
    /// # Errors
    /// All numbers are taken.
    pub fn insert(&mut self, id: &str) -> Result<Chunk, VectorError> {
        if let Some(chunk) = self.number(id) {
            return Ok(chunk);
        }
        let reused = self.free.iter().next();
        let chunk = reused.map_or(Chunk(row_number(self.ids.len())), |number| Chunk(number.0));
        if chunk.0 >= ROWS_MAX {
            return Err(VectorError::Full);
        }
        if let Some(number) = reused {
            Arc::make_mut(&mut self.free).remove(number);
        }
        self.ids.set(chunk.0 as usize, Some(id.into()), &None);
        self.enter(id, chunk);
        Ok(chunk)
    }

    /// Gives an id the number that it had. False when one of the two is taken, or the number is out of bounds.
    pub fn restore(&mut self, chunk: Chunk, id: &str) -> bool {
        if chunk.0 >= ROWS_MAX || self.number(id).is_some() || self.id(chunk).is_some() {
            return false;
        }
        let between = row_number(self.ids.len())..chunk.0;
        if !between.is_empty() {
            Arc::make_mut(&mut self.free).extend(between.map(Ordinal));
        }
        if self.free.contains(Ordinal(chunk.0)) {
            Arc::make_mut(&mut self.free).remove(Ordinal(chunk.0));
        }
        self.ids.set(chunk.0 as usize, Some(id.into()), &None);
        self.enter(id, chunk);
        true
    }

    /// Removes an id; answers the number that it had.
    pub fn remove(&mut self, id: &str) -> Option<Chunk> {
        let (slot, chunk) = self.find(id)?;
        if let Some(place) = self.slots.get_mut(slot) {
            *place = GONE;
        }
        if let Some(place) = self.ids.get_mut(chunk.0 as usize) {
            *place = None;
        }
        Arc::make_mut(&mut self.free).insert(Ordinal(chunk.0));
        self.len -= 1;
        self.text_bytes -= id.len();
        Some(chunk)
    }

    /// Bytes in memory, near enough.
    #[must_use]
    pub fn bytes(&self) -> usize {
        // An id is behind a pointer with two counts before it.
        self.ids.bytes() + self.slots.bytes() + self.text_bytes + self.len * 2 * size_of::<usize>()
    }

    fn find(&self, id: &str) -> Option<(usize, Chunk)> {
        // At least half of the slots are FREE, so that the walk ends.
        for place in places(id, self.slots.len()) {
            match self.slots.get(place).copied()? {
                FREE => return None,
                GONE => {}
                taken => {
                    let chunk = Chunk(taken - 2);
                    if self.id(chunk) == Some(id) {
                        return Some((place, chunk));
                    }
                }
            }
        }
        None
    }

    fn enter(&mut self, id: &str, chunk: Chunk) {
        self.len += 1;
        self.text_bytes += id.len();
        if (self.taken + 1) * 2 > self.slots.len() {
            return self.rebuild();
        }
        self.place(id, chunk);
    }

    fn place(&mut self, id: &str, chunk: Chunk) {
        for place in places(id, self.slots.len()) {
            if self.slots.get(place) == Some(&FREE) {
                if let Some(slot) = self.slots.get_mut(place) {
                    *slot = chunk.0 + 2;
                }
                self.taken += 1;
                return;
            }
        }
    }

    /// Makes the table anew, large enough for twice the ids, without what was removed.
    fn rebuild(&mut self) {
        let slots = (self.len * 4).next_power_of_two().max(SLOTS_MIN);
        self.slots = std::iter::repeat_n(FREE, slots).collect();
        self.taken = 0;
        let ids = self.ids.clone();
        for (number, id) in (0..).zip(ids.iter()) {
            if let Some(id) = id {
                self.place(id, Chunk(number));
            }
        }
    }
}

/// The positions at which an id may be, in the order to try.
fn places(id: &str, slots: usize) -> impl Iterator<Item = usize> + use<> {
    let hash = FixedState::with_seed(0x6368_756e_6b73).hash_one(id);
    let start = usize::try_from(hash >> 16).unwrap_or(0);
    (0..slots).map(move |step| start.wrapping_add(step) & (slots - 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn it_is_a_map_and_a_clone_keeps_what_it_saw(
            steps in prop::collection::vec((0_u16..60, any::<bool>()), 0..400),
            at in any::<prop::sample::Index>(),
        ) {
            let mut ids = ChunkIds::default();
            let mut model: BTreeMap<String, u32> = BTreeMap::new();
            let mut kept = None;
            for (step, (id, insert)) in steps.iter().enumerate() {
                let id = format!("chunk-{id}");
                if *insert {
                    let expected = model.get(&id).copied();
                    let taken: Vec<u32> = model.values().copied().collect();
                    let smallest = (0..).find(|n| !taken.contains(n)).unwrap();
                    let number = ids.insert(&id).unwrap().0;
                    prop_assert_eq!(number, expected.unwrap_or(smallest));
                    model.insert(id, number);
                } else {
                    prop_assert_eq!(ids.remove(&id).map(|c| c.0), model.remove(&id));
                }
                if step == at.index(steps.len()) {
                    kept = Some((ids.clone(), model.clone()));
                }
            }
            for (ids, model) in kept.into_iter().chain([(ids, model)]) {
                let mut again = ChunkIds::default();
                for (id, number) in &model {
                    prop_assert_eq!(ids.number(id), Some(Chunk(*number)));
                    prop_assert_eq!(ids.id(Chunk(*number)), Some(id.as_str()));
                    prop_assert!(again.restore(Chunk(*number), id));
                    prop_assert!(!again.restore(Chunk(*number), "other"));
                    prop_assert!(!again.restore(Chunk(1_000), id));
                }
                prop_assert_eq!((ids.len(), again.len()), (model.len(), model.len()));
                prop_assert_eq!(ids.iter_from(0).count(), model.len());
                let (mut ids, mut again) = (ids, again);
                prop_assert_eq!(ids.number("nobody"), None);
                prop_assert_eq!(ids.insert("new").unwrap(), again.insert("new").unwrap());
            }
        }
    }
}
