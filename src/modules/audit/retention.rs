//! Retention: events that are older than is wanted are dropped, unless a legal hold keeps them.
//!
//! What is dropped is the event's bytes and how it is found. Its leaf, its place and all tiles stay, so that every proof
//! stays. A drop begins with an event that says which range of leaves and which moment it is about, in the write that drops
//! the first, and ends with one that says how many were dropped: a body that is gone without such an event is a fault, and
//! `verify` finds it. Only what a signed checkpoint covers is dropped, so that nobody can say that it never was.
//!
//! Each write rests on the holds not having changed: what is put under hold while a drop runs is not dropped from then on.

use super::grow::{INDEX_MAX, TRIES_MAX};
use super::query::{Filter, index_keys};
use super::records::{BITS_BYTES, LogRecords};
use super::tree::TILE_WIDTH;
use super::{AuditError, By, Log, Place, is_set};
use crate::engine::{RECORDS_PER_WRITE_MAX, RecordChange};
use crate::identity::{Event, EventKind, Outcome};
use crate::tuple::Timestamp;
use serde::{Deserialize, Serialize};

/// Most holds of a log.
pub const HOLDS_MAX: usize = 256;
/// Longest id of a hold.
pub const HOLD_ID_BYTES_MAX: usize = 64;
/// Longest reason of a hold.
pub const HOLD_REASON_BYTES_MAX: usize = 256;
/// Tiles that one step of a drop looks at.
const STEP_TILES_MAX: u64 = 64;
/// Changes for one event: its bytes, its keys of the index, and the bits of its tile.
const EVENT_CHANGES_MAX: usize = 1 + INDEX_MAX + 1;
/// Changes of a step besides: where it is, an event at its beginning and its end, and that it is over.
const BESIDE_MAX: usize = 4;
const TILE: u64 = TILE_WIDTH as u64;

/// A legal hold: events that it admits are not dropped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hold {
    /// Its id: 1 to [`HOLD_ID_BYTES_MAX`] letters, digits, `-`, `_` and `.`.
    pub id: String,
    /// Why, as a reference to a case.
    pub reason: String,
    /// Which events.
    pub filter: Filter,
    /// Since when, in nanoseconds since 1970.
    pub since: i64,
    /// Who asked for it, as a subject.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// A drop that is under way, as it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Under {
    /// Events before this moment, in nanoseconds since 1970.
    before: i64,
    /// The first leaf that it has not looked at.
    next: u64,
    /// The leaf behind the last.
    end: u64,
    /// How many it has dropped.
    dropped: u64,
    /// How many it has kept because of a hold.
    held: u64,
}

/// What a call of [`Log::drop_before`] has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// How many events the drop that is or was under way has dropped.
    pub dropped: u64,
    /// How many it has kept because of a hold.
    pub held: u64,
    /// Whether it is not done: call again.
    pub more: bool,
}

/// One write of a drop.
struct Step {
    under: Under,
    changes: Vec<RecordChange>,
}

impl Log {
    /// The legal holds, by their ids.
    ///
    /// # Errors
    /// The disk failed, or a record is damaged.
    pub fn holds(&self) -> Result<Vec<Hold>, AuditError> {
        let read = |bytes: Vec<u8>| serde_json::from_slice(&bytes).map_err(|_| self.records.damaged("a hold"));
        self.records.holds(HOLDS_MAX)?.into_iter().map(read).collect()
    }

    /// Puts events under a legal hold. It holds for the next write of a drop.
    ///
    /// # Errors
    /// The id is none or taken, there is no reason, or there are [`HOLDS_MAX`] holds.
    pub fn hold(&self, id: &str, reason: &str, filter: Filter, by: &By, now: Timestamp) -> Result<Hold, AuditError> {
        let refused = |what: String| Err(AuditError::Refused(what));
        let good = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if id.is_empty() || id.len() > HOLD_ID_BYTES_MAX || !id.chars().all(good) {
            return refused(format!("`{id}` names no hold; use 1 to {HOLD_ID_BYTES_MAX} letters, digits, -, _ and ."));
        }
        if reason.is_empty() || reason.len() > HOLD_REASON_BYTES_MAX || reason.chars().any(char::is_control) {
            return refused(format!("a hold has a reason of 1 to {HOLD_REASON_BYTES_MAX} bytes in one line"));
        }
        let hold = Hold {
            id: id.to_owned(),
            reason: reason.to_owned(),
            filter: filter.as_stored(),
            since: now.0,
            by: by.user.clone(),
        };
        let told = by.event(self.tenant(), EventKind::AuditHeld, Outcome::Done, now).resource(id).detail("why", reason);
        let records = &self.records.records;
        for _ in 0..TRIES_MAX {
            let (unchanged, changed) = self.records.generation()?;
            let holds = self.holds()?;
            if holds.iter().any(|hold| hold.id == id) {
                return refused(format!("there is a hold `{id}` already; release it first, or choose another id"));
            }
            if holds.len() >= HOLDS_MAX {
                return refused(format!("there are {HOLDS_MAX} holds; release one that is over"));
            }
            let value = serde_json::to_vec(&hold).unwrap_or_default(); // texts and numbers alone
            let changes = vec![records.put(self.records.hold_key(id), value), changed, told.change()];
            if self.records.write_if(vec![unchanged], changes)? {
                return Ok(hold);
            }
        }
        Err(AuditError::Contended)
    }

    /// Lifts a hold.
    ///
    /// # Errors
    /// There is none of that id.
    pub fn release(&self, id: &str, by: &By, now: Timestamp) -> Result<Hold, AuditError> {
        let told = by.event(self.tenant(), EventKind::AuditReleased, Outcome::Done, now).resource(id);
        for _ in 0..TRIES_MAX {
            let (unchanged, changed) = self.records.generation()?;
            let hold = self.holds()?.into_iter().find(|hold| hold.id == id);
            let known = || AuditError::Refused(format!("there is no hold `{id}`; `bailiwick audit hold` lists them"));
            let hold = hold.ok_or_else(known)?;
            let gone = self.records.records.delete(self.records.hold_key(id));
            if self.records.write_if(vec![unchanged], vec![gone, changed, told.change()])? {
                return Ok(hold);
            }
        }
        Err(AuditError::Contended)
    }

    /// Drops events that happened before a moment and are under no hold, as far as one write goes. A drop that is under
    /// way is continued, with its own moment, whatever `before` says. Call it until there is no more.
    ///
    /// # Errors
    /// No checkpoint is signed yet, the disk failed, or the log is damaged.
    pub fn drop_before(&self, before: Timestamp, by: &By, now: Timestamp) -> Result<Dropped, AuditError> {
        for _ in 0..TRIES_MAX {
            // Read before the holds, which the write rests on.
            let (unchanged, changed) = self.records.generation()?;
            let holds = self.holds()?;
            let key = self.records.drop_key();
            let stored = self.records.raw(&key)?;
            let fresh = stored.is_none();
            let under = match &stored {
                Some(bytes) => {
                    serde_json::from_slice(bytes).map_err(|_| self.records.damaged("the drop that is under way"))?
                }
                None => {
                    let end = self.checkpoint()?.ok_or(AuditError::NoCheckpoint)?.size;
                    Under { before: before.0, next: 0, end, dropped: 0, held: 0 }
                }
            };
            let mut step = Step { under, changes: Vec::new() };
            let first = match self.drop_step(&mut step, &holds) {
                Ok(first) => first,
                // Another has dropped between two reads of this one, which then do not fit each other.
                Err(_) if self.records.raw(&key)? != stored || self.records.generation()?.0 != unchanged => continue,
                Err(error) => return Err(error),
            };
            let Step { under, mut changes } = step;
            let more = under.next < under.end;
            let done = Dropped { dropped: under.dropped, held: under.held, more };
            if fresh && changes.is_empty() && !more {
                return Ok(done); // nothing is dropped: nothing is told
            }
            if fresh {
                let begun = self.told_drop(by, Outcome::Allowed, &under, now);
                changes.push(begun.detail("first", first.unwrap_or(under.next).to_string()).change());
            }
            let expected = vec![unchanged, self.records.records.expect(key.clone(), stored)];
            if more {
                let value = serde_json::to_vec(&under).unwrap_or_default(); // numbers alone
                changes.push(self.records.records.put(key, value));
            } else {
                let over = self.told_drop(by, Outcome::Done, &under, now).detail("dropped", under.dropped.to_string());
                changes.push(over.detail("held", under.held.to_string()).change());
                changes.push(self.records.records.delete(key));
                // So that another, which read before this one was over, does not write what it saw then.
                changes.push(changed);
            }
            if self.records.write_if(expected, changes)? {
                return Ok(done);
            }
        }
        Err(AuditError::Contended)
    }

    fn told_drop(&self, by: &By, outcome: Outcome, under: &Under, now: Timestamp) -> Event {
        by.event(self.tenant(), EventKind::AuditDropped, outcome, now)
            .detail("before", super::time_text(Timestamp(under.before)))
            .detail("end", under.end.to_string())
    }

    /// Looks at tiles from where the drop is, until the write or the step is full. Answers the first leaf that it drops.
    fn drop_step(&self, step: &mut Step, holds: &[Hold]) -> Result<Option<u64>, AuditError> {
        let window = Filter { to: Some(Timestamp(step.under.before)), ..Filter::default() };
        let (mut first, mut tiles, mut group) = (None, 0, None);
        while step.under.next < step.under.end && tiles < STEP_TILES_MAX {
            let tile = step.under.next / TILE;
            let behind = (tile + 1) * TILE;
            let (at, within) = (tile / TILE, usize::try_from(tile % TILE).unwrap_or(0));
            if group.as_ref().is_none_or(|(known, _)| *known != at) {
                group = Some((at, self.records.moments(at)?));
            }
            let moments = group.as_ref().and_then(|(_, moments)| moments.get(within)).copied();
            let moments = moments.ok_or_else(|| self.records.damaged("the moments of events"))?;
            if !window.may_be_in(moments) {
                step.under.next = behind.min(step.under.end);
                continue; // no more than a look at memory
            }
            tiles += 1;
            let found = self.drop_tile(step, tile, holds)?;
            first = first.or(found);
            if step.under.next < behind.min(step.under.end) {
                break; // the write is full
            }
        }
        Ok(first)
    }

    /// Looks at the events of a tile from where the drop is. Answers the first that it drops.
    fn drop_tile(&self, step: &mut Step, tile: u64, holds: &[Hold]) -> Result<Option<u64>, AuditError> {
        let records = &self.records;
        let (places, mut bits) = (records.places(tile)?, records.dropped(tile)?);
        let (before, mut first) = (bits, None);
        let end = step.under.end.min((tile + 1) * TILE);
        while step.under.next < end {
            if step.changes.len() + EVENT_CHANGES_MAX + BESIDE_MAX > RECORDS_PER_WRITE_MAX {
                break;
            }
            let within = usize::try_from(step.under.next % TILE).unwrap_or(0);
            if !is_set(&bits, within) {
                let place = *places.get(within).ok_or_else(|| records.damaged("the places of events"))?;
                if self.drop_one(step, place, holds)? {
                    set(&mut bits, within);
                    first = first.or(Some(step.under.next));
                }
            }
            step.under.next += 1;
        }
        if bits != before {
            step.changes.push(records.put_dropped(tile, &bits));
        }
        Ok(first)
    }

    /// Whether the event at a place is dropped; then the changes that drop it are added.
    fn drop_one(&self, step: &mut Step, place: Place, holds: &[Hold]) -> Result<bool, AuditError> {
        let records: &LogRecords = &self.records;
        let leaf = step.under.next;
        let bytes = records.event(place)?.ok_or_else(|| self.changed(leaf, "missing"))?;
        // What cannot be read cannot be judged: it stays.
        let Ok(event) = Event::read(&bytes) else { return Ok(false) };
        if event.at().0 >= step.under.before || is_of_retention(event.kind()) {
            return Ok(false);
        }
        if holds.iter().any(|hold| hold.filter.admits(&event)) {
            step.under.held += 1;
            return Ok(false);
        }
        step.changes.push(records.delete_event(place));
        let keys = index_keys(records, &event, leaf).into_iter();
        step.changes.extend(keys.map(|key| records.records.delete(key)));
        step.under.dropped += 1;
        Ok(true)
    }
}

/// What says which events were dropped or held is never dropped.
fn is_of_retention(kind: EventKind) -> bool {
    matches!(kind, EventKind::AuditDropped | EventKind::AuditHeld | EventKind::AuditReleased)
}

fn set(bits: &mut [u8; BITS_BYTES], at: usize) {
    if let Some(byte) = bits.get_mut(at / 8) {
        *byte |= 1 << (at % 8);
    }
}

/// The range of leaves that an event says are being dropped, if it says so: from the first to the end.
fn dropped_range(event: &Event) -> Option<(u64, u64)> {
    let number = |name: &str| event.details().get(name).and_then(|text| super::note::number(text));
    let begun = event.kind() == EventKind::AuditDropped && event.outcome() == Outcome::Allowed;
    begun.then(|| Some((number("first")?, number("end")?))).flatten()
}

/// Which events are gone, and which ranges the log itself says were dropped.
#[derive(Debug, Default)]
pub(super) struct Coverage {
    /// INVARIANT: ascending, apart from each other.
    gone: Vec<(u64, u64)>,
    told: Vec<(u64, u64)>,
}

impl Coverage {
    /// Notes that an event is gone. They come in ascending order.
    pub(super) fn gone(&mut self, index: u64) {
        match self.gone.last_mut() {
            Some((_, end)) if *end == index => *end = index + 1,
            Some(_) | None => self.gone.push((index, index + 1)),
        }
    }

    /// Notes what an event says was dropped. It can only tell of events before it.
    pub(super) fn told(&mut self, index: u64, event: &Event) {
        self.told.extend(dropped_range(event).filter(|(first, end)| first < end && *end <= index));
    }

    /// The ranges of events that are gone and of which no event tells.
    pub(super) fn untold(mut self) -> Vec<(u64, u64)> {
        self.told.sort_unstable();
        let mut untold = Vec::new();
        let mut told = self.told.iter().peekable();
        let mut known = 0; // what is before it has been told of, or was looked at
        for (from, to) in self.gone {
            let mut at = from;
            while at < to {
                // The ranges are in the order of their beginnings: the farthest end of those that begin by `at` counts.
                while let Some((_, end)) = told.next_if(|(first, _)| *first <= at) {
                    known = known.max(*end);
                }
                if known > at {
                    at = known;
                    continue;
                }
                let next = told.peek().map_or(to, |(first, _)| (*first).min(to));
                untold.push((at, next));
                at = next;
            }
        }
        untold
    }
}
