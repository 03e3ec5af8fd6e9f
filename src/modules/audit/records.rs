//! The records of a tenant's audit log: the only file that knows their bytes.
//!
//! They lie in the module [`AUDIT`] under the tenant's number and a letter for their sort. Events, sort `e`, are written by
//! whoever changes something, and only read and (by retention) removed here. Numbers are big-endian.
//!
//! | sort | key after it | value |
//! |---|---|---|
//! | `s` state | | u8 2; u64 size of the tree; u64 revision, u32 number: the place of its last event; u64 from, u64 to: the leaves between have the keys of an older index. Until version 1 the last two are not there, and all leaves have |
//! | `t` tiles | u8 level, u64 index | 1 to 256 hashes |
//! | `l` places | u64 tile | 1 to 256 times u64 revision, u32 number: where the events of a tile of level 0 are |
//! | `m` moments | u64 group of 256 tiles | 1 to 256 times i64, i64: the first and the last moment within a tile |
//! | `i` index | u8 field, 8 bytes of the value's hash, u64 !leaf | empty |
//! | `c` checkpoints | u64 !size | i64 when it was signed, the note |
//! | `w` witnesses | the key's name and id | u64 size of the newest checkpoint it signed |
//! | `k` keys | u32 generation | JSON, see `keys.rs` |
//! | `h` holds | its id | JSON, see `retention.rs` |
//! | `g` generation of holds | | u64: changes with every hold and release |
//! | `x` dropped | u64 tile | 32 bytes: a bit for each event of the tile that was dropped, the first lowest |
//! | `d` drop under way | | JSON, see `retention.rs` |
//! | `a` care | | JSON, see `care.rs` |

use super::tree::{HASH_BYTES, Hash, TILE_WIDTH, Tiles, empty_root};
use super::{AuditError, Place};
use crate::engine::{
    RECORD_PLACE_BYTES, RECORDS_PER_PAGE_MAX, Record, RecordChange, RecordExpectation, Records, WriteError,
};
use crate::identity::audit_key;
use crate::tuple::Timestamp;
use aws_lc_rs::digest::{SHA256, digest};

const STATE: u8 = b's';
const TILE: u8 = b't';
const PLACES: u8 = b'l';
const MOMENTS: u8 = b'm';
const INDEX: u8 = b'i';
const CHECKPOINT: u8 = b'c';
const WITNESS: u8 = b'w';
const KEY: u8 = b'k';
const HOLD: u8 = b'h';
const GENERATION: u8 = b'g';
const DROPPED: u8 = b'x';
const DROP: u8 = b'd';
const CARE: u8 = b'a';
/// The sort of events, as `identity` writes them.
const EVENT: u8 = b'e';

/// Version 1 is the index that did not know who did what to others.
const STATE_VERSION: u8 = 2;
const STATE_VERSION_OLD_INDEX: u8 = 1;
const MOMENT_BYTES: usize = 16;
/// Bytes of a value's hash in the index. Two values that share it cost a look at an event that does not match.
const VALUE_HASH_BYTES: usize = 8;
/// Bytes of the bits of a tile.
pub(super) const BITS_BYTES: usize = TILE_WIDTH / 8;

/// How far the tree is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct State {
    /// How many events are in it.
    pub(super) size: u64,
    /// Where the last of them is. Meaningless when there is none.
    pub(super) last: Place,
    /// The leaves from the first to before the second were put into the index by an older program, and lack keys.
    pub(super) old_index: (u64, u64),
}

/// The first and the last moment of a tile's events, in nanoseconds since 1970. The first is after the last when it has
/// none that could be read.
pub(super) type Moments = (i64, i64);

/// A signed checkpoint, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// How many events it covers.
    pub size: u64,
    /// When it was signed.
    pub at: Timestamp,
    /// The note: checkpoint, the log's signature, cosignatures.
    pub note: String,
}

/// What an event is found by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum Field {
    Kind = b'k',
    Outcome = b'o',
    User = b'u',
    Agent = b'a',
    Resource = b'r',
    Trace = b't',
}

/// The records of one tenant's log.
#[derive(Clone)]
pub(super) struct LogRecords {
    pub(super) records: Records,
    pub(super) tenant: u32,
}

impl Place {
    fn bytes(self) -> [u8; RECORD_PLACE_BYTES] {
        let mut bytes = [0; RECORD_PLACE_BYTES];
        let (revision, number) = bytes.split_at_mut(8);
        revision.copy_from_slice(&self.revision.to_be_bytes());
        number.copy_from_slice(&self.number.to_be_bytes());
        bytes
    }

    fn read(bytes: &[u8]) -> Option<Place> {
        let (revision, number) = bytes.split_first_chunk()?;
        Some(Place { revision: u64::from_be_bytes(*revision), number: u32::from_be_bytes(number.try_into().ok()?) })
    }

    /// What stands before an event's bytes in its leaf: its place in the log.
    #[must_use]
    pub fn leaf_bytes(self) -> [u8; RECORD_PLACE_BYTES] {
        self.bytes()
    }
}

fn number(bytes: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(bytes.try_into().ok()?))
}

fn read_state(bytes: &[u8]) -> Option<State> {
    let (version, rest) = bytes.split_first()?;
    let (size, rest) = rest.split_at_checked(8)?;
    let (place, old_index) = rest.split_at_checked(RECORD_PLACE_BYTES)?;
    let (size, last) = (number(size)?, Place::read(place)?);
    let old_index = match (*version, old_index) {
        (STATE_VERSION_OLD_INDEX, []) => (0, size),
        (STATE_VERSION, both) => {
            let (from, to) = both.split_at_checked(8)?;
            (number(from)?, number(to)?)
        }
        _ => return None,
    };
    (old_index.1 <= size).then_some(State { size, last, old_index })
}

/// The start of a value's keys in the index.
fn index_start(tenant: u32, field: Field, value: &str) -> Vec<u8> {
    let hash = digest(&SHA256, value.as_bytes());
    let hash = hash.as_ref().get(..VALUE_HASH_BYTES).unwrap_or_default();
    [&audit_key(tenant, INDEX), &[field as u8][..], hash].concat()
}

impl LogRecords {
    fn key(&self, sort: u8, rest: &[u8]) -> Vec<u8> {
        [&audit_key(self.tenant, sort), rest].concat()
    }

    fn numbered(&self, sort: u8, number: u64) -> Vec<u8> {
        self.key(sort, &number.to_be_bytes())
    }

    pub(super) fn damaged(&self, what: &'static str) -> AuditError {
        AuditError::Damaged { tenant: self.tenant, what }
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, AuditError> {
        Ok(self.records.get(key)?)
    }

    /// Makes changes, if records are as they are expected. False: one is not, and nothing changed.
    pub(super) fn write_if(
        &self,
        expectations: Vec<RecordExpectation>,
        changes: Vec<RecordChange>,
    ) -> Result<bool, AuditError> {
        match self.records.write_if(expectations, changes) {
            Ok(_) => Ok(true),
            Err(WriteError::RecordChanged { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// How far the tree is, and that nothing has changed it since.
    pub(super) fn state(&self) -> Result<(State, RecordExpectation), AuditError> {
        let key = self.key(STATE, &[]);
        let stored = self.get(&key)?;
        let state = match &stored {
            None => State::default(),
            Some(bytes) => read_state(bytes).ok_or_else(|| self.damaged("the state of the tree"))?,
        };
        Ok((state, self.records.expect(key, stored)))
    }

    pub(super) fn put_state(&self, state: State) -> RecordChange {
        let State { size, last, old_index: (from, to) } = state;
        let old_index = [from.to_be_bytes(), to.to_be_bytes()].concat();
        let value = [&[STATE_VERSION][..], &size.to_be_bytes(), &last.bytes(), &old_index].concat();
        self.records.put(self.key(STATE, &[]), value)
    }

    /// Events behind a place, in the order of the log.
    pub(super) fn events(&self, after: Option<Place>, max: usize) -> Result<Vec<(Place, Vec<u8>)>, AuditError> {
        let start = self.key(EVENT, &[]);
        let after = after.map(|place| self.key(EVENT, &place.bytes()));
        let page = self.records.scan(&start, after.as_deref(), max)?;
        let place = |key: &[u8]| key.get(start.len()..).and_then(Place::read);
        let event = |(key, value): Record| Some((place(&key)?, value));
        page.into_iter().map(|record| event(record).ok_or_else(|| self.damaged("the key of an event"))).collect()
    }

    /// The bytes of an event, if it is there.
    pub(super) fn event(&self, place: Place) -> Result<Option<Vec<u8>>, AuditError> {
        self.get(&self.key(EVENT, &place.bytes()))
    }

    pub(super) fn delete_event(&self, place: Place) -> RecordChange {
        self.records.delete(self.key(EVENT, &place.bytes()))
    }

    pub(super) fn put_tile(&self, level: u8, index: u64, hashes: &[Hash]) -> RecordChange {
        self.records.put(self.key(TILE, &[&[level][..], &index.to_be_bytes()].concat()), hashes.concat())
    }

    /// The places of a tile's events; none when the tile is not there.
    pub(super) fn places(&self, tile: u64) -> Result<Vec<Place>, AuditError> {
        let bytes = self.get(&self.numbered(PLACES, tile))?.unwrap_or_default();
        let places: Option<Vec<Place>> = bytes.chunks(RECORD_PLACE_BYTES).map(Place::read).collect();
        places.filter(|p| p.len() <= TILE_WIDTH).ok_or_else(|| self.damaged("the places of events"))
    }

    pub(super) fn put_places(&self, tile: u64, places: &[Place]) -> RecordChange {
        let value: Vec<u8> = places.iter().flat_map(|place| place.bytes()).collect();
        self.records.put(self.numbered(PLACES, tile), value)
    }

    /// The moments of the tiles of a group; none when it is not there.
    pub(super) fn moments(&self, group: u64) -> Result<Vec<Moments>, AuditError> {
        let bytes = self.get(&self.numbered(MOMENTS, group))?.unwrap_or_default();
        let read = |pair: &[u8]| {
            let (first, last) = pair.split_first_chunk()?;
            Some((i64::from_be_bytes(*first), i64::from_be_bytes(last.try_into().ok()?)))
        };
        let moments: Option<Vec<Moments>> = bytes.chunks(MOMENT_BYTES).map(read).collect();
        moments.filter(|m| m.len() <= TILE_WIDTH).ok_or_else(|| self.damaged("the moments of events"))
    }

    pub(super) fn put_moments(&self, group: u64, moments: &[Moments]) -> RecordChange {
        let pair = |(first, last): &Moments| [first.to_be_bytes(), last.to_be_bytes()].concat();
        self.records.put(self.numbered(MOMENTS, group), moments.iter().flat_map(pair).collect::<Vec<u8>>())
    }

    /// The key under which an event is found by a value of a field.
    pub(super) fn index_key(&self, field: Field, value: &str, leaf: u64) -> Vec<u8> {
        [index_start(self.tenant, field, value), (!leaf).to_be_bytes().to_vec()].concat()
    }

    /// Leaves whose event has a value (or one with the same hash) in a field, not above `at_most`, the newest first.
    pub(super) fn postings(&self, field: Field, value: &str, at_most: u64, max: usize) -> Result<Vec<u64>, AuditError> {
        let start = index_start(self.tenant, field, value);
        let above = at_most.checked_add(1).map(|leaf| [start.clone(), (!leaf).to_be_bytes().to_vec()].concat());
        let page = self.records.scan(&start, above.as_deref(), max)?;
        let leaf = |(key, _): Record| number(key.get(start.len()..)?).map(|inverse| !inverse);
        page.into_iter().map(|record| leaf(record).ok_or_else(|| self.damaged("a key of the index"))).collect()
    }

    /// The newest checkpoint that covers at most `size` events.
    pub(super) fn checkpoint(&self, size: u64) -> Result<Option<Signed>, AuditError> {
        let above = size.checked_add(1).map(|size| self.numbered(CHECKPOINT, !size));
        let page = self.records.scan(&self.key(CHECKPOINT, &[]), above.as_deref(), 1)?;
        page.into_iter().next().map(|record| self.signed(record)).transpose()
    }

    /// The sizes of checkpoints behind the newest `kept`, at most `max`.
    pub(super) fn old_checkpoints(&self, kept: usize, max: usize) -> Result<Vec<u64>, AuditError> {
        let page = self.records.scan(&self.key(CHECKPOINT, &[]), None, (kept + max).min(RECORDS_PER_PAGE_MAX))?;
        page.into_iter().skip(kept).map(|record| Ok(self.signed(record)?.size)).collect()
    }

    fn signed(&self, (key, value): Record) -> Result<Signed, AuditError> {
        let read = || {
            let size = !number(key.get(self.key(CHECKPOINT, &[]).len()..)?)?;
            let (at, note) = value.split_first_chunk()?;
            let note = String::from_utf8(note.to_vec()).ok()?;
            Some(Signed { size, at: Timestamp(i64::from_be_bytes(*at)), note })
        };
        read().ok_or_else(|| self.damaged("a checkpoint"))
    }

    fn signed_value(signed: &Signed) -> Vec<u8> {
        [&signed.at.0.to_be_bytes()[..], signed.note.as_bytes()].concat()
    }

    pub(super) fn put_checkpoint(&self, signed: &Signed) -> RecordChange {
        self.records.put(self.numbered(CHECKPOINT, !signed.size), Self::signed_value(signed))
    }

    /// That a checkpoint is as it was read; that there is none of that size when none is given.
    pub(super) fn expect_checkpoint(&self, size: u64, signed: Option<&Signed>) -> RecordExpectation {
        self.records.expect(self.numbered(CHECKPOINT, !size), signed.map(Self::signed_value))
    }

    pub(super) fn delete_checkpoint(&self, size: u64) -> RecordChange {
        self.records.delete(self.numbered(CHECKPOINT, !size))
    }

    /// The size of the newest checkpoint that a witness signed, and that nothing has changed it since.
    pub(super) fn witness(&self, key: &str) -> Result<(u64, RecordExpectation), AuditError> {
        let key = self.key(WITNESS, key.as_bytes());
        let stored = self.get(&key)?;
        let size = stored.as_deref().map_or(Some(0), number).ok_or_else(|| self.damaged("the state of a witness"))?;
        Ok((size, self.records.expect(key, stored)))
    }

    pub(super) fn put_witness(&self, key: &str, size: u64) -> RecordChange {
        self.records.put(self.key(WITNESS, key.as_bytes()), size.to_be_bytes())
    }

    /// The records of keys, the oldest first.
    pub(super) fn keys(&self, max: usize) -> Result<Vec<Vec<u8>>, AuditError> {
        let page = self.records.scan(&self.key(KEY, &[]), None, max)?;
        Ok(page.into_iter().map(|(_, value)| value).collect())
    }

    /// Where the key of a generation is; a sealed seed is bound to it.
    pub(super) fn key_key(&self, generation: u32) -> Vec<u8> {
        self.key(KEY, &generation.to_be_bytes())
    }

    /// The records of holds, by their ids.
    pub(super) fn holds(&self, max: usize) -> Result<Vec<Vec<u8>>, AuditError> {
        let page = self.records.scan(&self.key(HOLD, &[]), None, max)?;
        Ok(page.into_iter().map(|(_, value)| value).collect())
    }

    pub(super) fn hold_key(&self, id: &str) -> Vec<u8> {
        self.key(HOLD, id.as_bytes())
    }

    /// That no hold came or went since, and the change that says that one did.
    pub(super) fn generation(&self) -> Result<(RecordExpectation, RecordChange), AuditError> {
        let key = self.key(GENERATION, &[]);
        let stored = self.get(&key)?;
        let now = stored.as_deref().map_or(Some(0), number);
        let next = now.and_then(|n| n.checked_add(1)).ok_or_else(|| self.damaged("the generation of holds"))?;
        Ok((self.records.expect(key.clone(), stored), self.records.put(key, next.to_be_bytes())))
    }

    /// Which events of a tile were dropped.
    pub(super) fn dropped(&self, tile: u64) -> Result<[u8; BITS_BYTES], AuditError> {
        match self.get(&self.numbered(DROPPED, tile))? {
            None => Ok([0; BITS_BYTES]),
            Some(bytes) => bytes.try_into().map_err(|_| self.damaged("which events were dropped")),
        }
    }

    pub(super) fn put_dropped(&self, tile: u64, bits: &[u8; BITS_BYTES]) -> RecordChange {
        self.records.put(self.numbered(DROPPED, tile), bits.as_slice())
    }

    /// Where a drop that is under way is.
    pub(super) fn drop_key(&self) -> Vec<u8> {
        self.key(DROP, &[])
    }

    /// Where what is cared for is.
    pub(super) fn care_key(&self) -> Vec<u8> {
        self.key(CARE, &[])
    }

    /// A record as it is.
    pub(super) fn raw(&self, key: &[u8]) -> Result<Option<Vec<u8>>, AuditError> {
        self.get(key)
    }
}

impl Tiles for LogRecords {
    type Error = AuditError;

    fn tile(&self, level: u8, index: u64, width: usize) -> Result<Vec<Hash>, AuditError> {
        let key = self.key(TILE, &[&[level][..], &index.to_be_bytes()].concat());
        let bytes = self.get(&key)?.unwrap_or_default();
        let wanted = bytes.get(..width * HASH_BYTES).ok_or_else(|| self.damaged("a tile of the tree"))?;
        let hash = |chunk: &[u8]| chunk.try_into().unwrap_or_else(|_| empty_root()); // chunks_exact has the length
        Ok(wanted.chunks_exact(HASH_BYTES).map(hash).collect())
    }
}
