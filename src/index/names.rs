//! Names and their ordinals, for one object type of one store. Append-only, shared by all snapshots, read without locks.
//!
//! Names stand in chunks. The full ones are shared; the last one belongs to the state, which copies it when it appends. A
//! table of atomics, replaced as a whole when it grows, finds a name by its hash; a state knows how many names it may
//! see, so one that a later revision added is unknown to it. The first few names need no table: a store with a dozen
//! objects costs a chunk for each type.

use crate::tuple::Ordinal;
use arc_swap::ArcSwap;
use foldhash::fast::FixedState;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The most names of one type: ordinals above are kept for what only a request knows.
pub const NAMES_MAX: u32 = u32::MAX - (1 << 16);
/// Names of a chunk.
pub(super) const CHUNK: u32 = 64;
const CHUNK_LEN: usize = CHUNK as usize;
/// Names that are found by looking at each.
const FEW: u32 = 12;
const _: () = assert!(FEW <= CHUNK, "the few names are one chunk");
const _: () = assert!(CHUNK_LEN * crate::tuple::SUBJECT_BYTES_MAX <= u16::MAX as usize, "an end fits in two bytes");

/// Up to [`CHUNK`] names.
#[derive(Clone, Debug)]
pub(super) struct Chunk {
    /// Where each name ends in the text.
    ends: [u16; CHUNK_LEN],
    len: usize,
    text: String,
}

impl Default for Chunk {
    fn default() -> Self {
        Chunk { ends: [0; CHUNK_LEN], len: 0, text: String::new() }
    }
}

impl Chunk {
    fn get(&self, at: usize) -> Option<&str> {
        if at >= self.len {
            return None;
        }
        let start = if at == 0 { 0 } else { usize::from(*self.ends.get(at - 1)?) };
        self.text.get(start..usize::from(*self.ends.get(at)?))
    }

    /// Appends a name; false when there is no room.
    fn push(&mut self, name: &str) -> bool {
        let Ok(end) = u16::try_from(self.text.len() + name.len()) else { return false };
        let Some(slot) = self.ends.get_mut(self.len) else { return false };
        *slot = end;
        self.len += 1;
        self.text.push_str(name);
        true
    }

    fn bytes(&self) -> usize {
        size_of::<Chunk>() + self.text.capacity()
    }
}

/// What the states of a store share.
struct Shared {
    /// All chunks but the last of each state.
    full: boxcar::Vec<Chunk>,
    /// Slot: 0 when free, else the upper half of the hash and ordinal + 1. A power of two, at most 3/4 full.
    slots: ArcSwap<Box<[AtomicU64]>>,
}

/// See the file's head. A clone costs two references.
#[derive(Clone, Default)]
pub(super) struct Names {
    shared: Option<Arc<Shared>>,
    /// The last chunk: never empty when there are names.
    last: Option<Arc<Chunk>>,
    len: u32,
}

/// Names that were read in order but are not in a table yet: a part of a type's names that one thread has read.
#[derive(Default)]
pub(crate) struct NamesPart {
    chunks: Vec<Chunk>,
    hashes: Vec<u32>,
}

fn free_slots(len: usize) -> Box<[AtomicU64]> {
    (0..len).map(|_| AtomicU64::new(0)).collect()
}

fn hash(name: &str) -> u32 {
    let mut hasher = FixedState::with_seed(0x6261_696c_6977_6963).build_hasher();
    hasher.write(name.as_bytes());
    u32::try_from(hasher.finish() >> 32).unwrap_or(0)
}

fn slot_of(hash: u32, ordinal: u32) -> u64 {
    u64::from(hash) << 32 | (u64::from(ordinal) + 1)
}

/// The positions at which a hash may be, in the order to try.
fn places(hash: u32, len: usize) -> impl Iterator<Item = usize> {
    let start = hash as usize;
    (0..len).map(move |step| start.wrapping_add(step) & (len - 1))
}

fn place(slots: &[AtomicU64], slot: u64) {
    let hash = u32::try_from(slot >> 32).unwrap_or(0);
    for place in places(hash, slots.len()) {
        if let Some(free) = slots.get(place)
            && free.load(Ordering::Relaxed) == 0
        {
            free.store(slot, Ordering::Release);
            return;
        }
    }
}

/// Slots for so many names.
fn slots_for(len: u32) -> usize {
    (len as usize * 4 / 3 + 1).next_power_of_two()
}

/// A number that depends on a type's name and its place; their sum tells whether a table was read as it was written.
pub(super) fn sum_of(object_type: u16, ordinal: u32, name: &str) -> u64 {
    FixedState::with_seed(5).hash_one((object_type, ordinal, name))
}

impl NamesPart {
    /// Appends the name of the next ordinal; false when it is longer than a name can be.
    pub(crate) fn push(&mut self, name: &str) -> bool {
        if self.hashes.len().is_multiple_of(CHUNK_LEN) {
            if let Some(full) = self.chunks.last_mut() {
                full.text.shrink_to_fit();
            }
            self.chunks.push(Chunk::default());
        }
        self.hashes.push(hash(name));
        self.chunks.last_mut().is_some_and(|chunk| chunk.push(name))
    }
}

impl Names {
    /// Joins parts in order; each but the last fills its chunks. `None` when one does not, or there are too many.
    pub(super) fn from_parts(parts: Vec<NamesPart>) -> Option<Names> {
        let len = parts.iter().map(|p| p.hashes.len()).sum::<usize>();
        let len = u32::try_from(len).ok().filter(|len| *len <= NAMES_MAX)?;
        let mut names = Names { shared: None, last: None, len };
        let shared = (len > FEW).then(|| Shared {
            full: boxcar::Vec::with_capacity(len as usize / CHUNK_LEN),
            slots: ArcSwap::from_pointee(free_slots(slots_for(len))),
        });
        let mut ordinal = 0;
        for part in parts {
            if let Some(shared) = &shared {
                let slots = shared.slots.load();
                for hash in part.hashes {
                    place(&slots, slot_of(hash, ordinal));
                    ordinal += 1;
                }
            }
            for chunk in part.chunks {
                if let Some(before) = names.last.replace(Arc::new(chunk)) {
                    let before = Arc::unwrap_or_clone(before);
                    if before.len < CHUNK_LEN {
                        return None;
                    }
                    shared.as_ref()?.full.push(before);
                }
            }
        }
        names.shared = shared.map(Arc::new);
        Some(names)
    }

    /// How many there are.
    pub(super) fn len(&self) -> u32 {
        self.len
    }

    /// The name of an ordinal.
    pub(super) fn get(&self, ordinal: Ordinal) -> Option<&str> {
        if ordinal.0 >= self.len {
            return None;
        }
        let chunk = ordinal.0 / CHUNK;
        let chunk = if chunk == (self.len - 1) / CHUNK {
            self.last.as_deref()?
        } else {
            self.shared.as_ref()?.full.get(chunk as usize)?
        };
        chunk.get((ordinal.0 % CHUNK) as usize)
    }

    /// The ordinal of a name.
    pub(super) fn find(&self, name: &str) -> Option<Ordinal> {
        let Some(shared) = &self.shared else {
            return (0..self.len).map(Ordinal).find(|o| self.get(*o) == Some(name));
        };
        let hash = hash(name);
        let slots = shared.slots.load();
        for place in places(hash, slots.len()) {
            let slot = slots.get(place)?.load(Ordering::Acquire);
            if slot == 0 {
                return None;
            }
            if slot >> 32 == u64::from(hash) {
                let ordinal = Ordinal(u32::try_from((slot & 0xffff_ffff) - 1).unwrap_or(u32::MAX));
                if self.get(ordinal) == Some(name) {
                    return Some(ordinal);
                }
            }
        }
        None
    }

    /// Appends a name that is not there. Only the one writer calls this, on its newest state.
    pub(super) fn push(&mut self, name: &str) -> Option<Ordinal> {
        let ordinal = self.len;
        if ordinal >= NAMES_MAX {
            return None;
        }
        let last = Arc::make_mut(self.last.get_or_insert_default());
        if last.len == CHUNK_LEN {
            let mut full = std::mem::take(last);
            full.text.shrink_to_fit();
            self.shared.as_ref()?.full.push(full);
        }
        if !last.push(name) {
            return None;
        }
        self.len += 1;
        if self.len > FEW {
            self.enter(ordinal, name);
        }
        Some(Ordinal(ordinal))
    }

    /// Puts the newest name into the table; makes the table when it is the first that needs one.
    fn enter(&mut self, ordinal: u32, name: &str) {
        let Some(shared) = &self.shared else {
            let slots = free_slots(slots_for(self.len));
            for known in (0..self.len).map(Ordinal) {
                place(&slots, slot_of(hash(self.get(known).unwrap_or_default()), known.0));
            }
            let slots = ArcSwap::from_pointee(slots);
            self.shared = Some(Arc::new(Shared { full: boxcar::Vec::new(), slots }));
            return;
        };
        let slots = shared.slots.load_full();
        let slot = slot_of(hash(name), ordinal);
        if (ordinal as usize + 1) * 4 <= slots.len() * 3 {
            place(&slots, slot);
            return;
        }
        let grown = free_slots(slots.len() * 2);
        let known = slots.iter().map(|s| s.load(Ordering::Relaxed)).filter(|s| *s != 0);
        known.chain([slot]).for_each(|s| place(&grown, s));
        shared.slots.store(Arc::new(grown));
    }

    /// Bytes in memory, near enough: text, chunks and table.
    pub(super) fn bytes(&self) -> usize {
        let shared = self.shared.as_ref().map_or(0, |shared| {
            let full: usize = shared.full.iter().map(|(_, chunk)| chunk.bytes() + 8).sum();
            full + shared.slots.load().len() * 8 + size_of::<Shared>()
        });
        shared + self.last.as_ref().map_or(0, |chunk| chunk.bytes() + 16)
    }
}
