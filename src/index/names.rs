//! Names and their ordinals, for one object type of one store. Append-only, shared by all snapshots, read without locks.
//!
//! One writer appends; readers look up in an open-addressing table of atomics that is replaced as a whole when it grows.
//! A snapshot knows how many names it may see, so a name that a later revision added is unknown to it.

use crate::tuple::Ordinal;
use arc_swap::ArcSwap;
use foldhash::fast::FixedState;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The most names of one type: ordinals above are kept for what only a request knows.
pub const NAMES_MAX: u32 = u32::MAX - (1 << 16);
const SLOTS_MIN: usize = 8;

/// See the file's head.
pub(super) struct Names {
    list: boxcar::Vec<Box<str>>,
    /// Slot: 0 when free, else the upper half of the hash and ordinal + 1. A power of two, at most 3/4 full.
    slots: ArcSwap<Box<[AtomicU64]>>,
}

impl Default for Names {
    fn default() -> Self {
        Names { list: boxcar::Vec::new(), slots: ArcSwap::from_pointee(free_slots(SLOTS_MIN)) }
    }
}

fn free_slots(len: usize) -> Box<[AtomicU64]> {
    (0..len).map(|_| AtomicU64::new(0)).collect()
}

fn hash(name: &str) -> u64 {
    let mut hasher = FixedState::with_seed(0x6261_696c_6977_6963).build_hasher();
    hasher.write(name.as_bytes());
    hasher.finish()
}

fn slot_of(hash: u64, ordinal: u32) -> u64 {
    (hash & 0xffff_ffff_0000_0000) | (u64::from(ordinal) + 1)
}

/// The positions at which a hash may be, in the order to try.
#[expect(clippy::cast_possible_truncation, reason = "only the low bits choose the place")]
fn places(hash: u64, len: usize) -> impl Iterator<Item = usize> {
    let start = hash as usize;
    (0..len).map(move |step| start.wrapping_add(step) & (len - 1))
}

impl Names {
    /// How many there are.
    pub(super) fn len(&self) -> u32 {
        u32::try_from(self.list.count()).unwrap_or(u32::MAX)
    }

    /// The name of an ordinal.
    pub(super) fn get(&self, ordinal: Ordinal) -> Option<&str> {
        self.list.get(ordinal.0 as usize).map(AsRef::as_ref)
    }

    /// The ordinal of a name.
    pub(super) fn find(&self, name: &str) -> Option<Ordinal> {
        let hash = hash(name);
        let slots = self.slots.load();
        for place in places(hash, slots.len()) {
            let slot = slots.get(place)?.load(Ordering::Acquire);
            if slot == 0 {
                return None;
            }
            if slot >> 32 == hash >> 32 {
                let ordinal = Ordinal(u32::try_from((slot & 0xffff_ffff) - 1).unwrap_or(u32::MAX));
                if self.get(ordinal) == Some(name) {
                    return Some(ordinal);
                }
            }
        }
        None
    }

    /// Appends a name that is not there. Only the one writer calls this.
    pub(super) fn push(&self, name: &str) -> Option<Ordinal> {
        let ordinal = self.len();
        if ordinal >= NAMES_MAX {
            return None;
        }
        self.list.push(name.into());
        let slots = self.slots.load_full();
        if (ordinal as usize + 1) * 4 > slots.len() * 3 {
            let grown = free_slots(slots.len() * 2);
            for (i, known) in self.list.iter() {
                place(&grown, hash(known), u32::try_from(i).unwrap_or(u32::MAX));
            }
            self.slots.store(Arc::new(grown));
        } else {
            place(&slots, hash(name), ordinal);
        }
        Some(Ordinal(ordinal))
    }

    /// Bytes in memory, near enough: text, boxes, list and table.
    pub(super) fn bytes(&self) -> usize {
        let text: usize = self.list.iter().map(|(_, n)| n.len().next_multiple_of(8).max(8)).sum();
        text + self.list.count() * 24 + self.slots.load().len() * 8
    }
}

fn place(slots: &[AtomicU64], hash: u64, ordinal: u32) {
    for place in places(hash, slots.len()) {
        if let Some(slot) = slots.get(place)
            && slot.load(Ordering::Relaxed) == 0
        {
            slot.store(slot_of(hash, ordinal), Ordering::Release);
            return;
        }
    }
}
