//! The audit log: a tree over the events of each tenant, and proofs.
//!
//! Events are appended by whoever changes something, in the write of the change. This module reads them in the order of
//! the log and grows a tree of RFC 6962 over them, signs checkpoints, proves, answers queries, exports, and drops what is
//! older than is wanted. It writes no events but those about itself: holds, drops, exports and keys.
//!
//! `docs/audit.md` says what it promises and what it refuses.

pub mod care;
pub mod explain;
pub mod export;
mod fault;
pub mod grow;
pub mod http;
mod index;
pub mod keys;
pub mod note;
pub mod ocsf;
pub mod query;
mod records;
pub mod retention;
pub mod tree;
pub mod verify;
pub mod witness;

pub use records::Signed;

use crate::engine::{Engine, QuestionError, Records, WriteError};
use crate::identity::{AUDIT, Event, EventError, EventKind, Outcome};
use crate::tuple::Timestamp;
use chrono::{DateTime, SecondsFormat, Utc};
use note::NoteError;
use records::LogRecords;
use std::sync::Arc;
use tree::{Hash, TILE_WIDTH};

/// The audit logs of a database. Clones share it.
#[derive(Clone)]
pub struct Audit {
    records: Records,
}

impl Audit {
    /// The audit logs of a database.
    #[must_use]
    pub fn new(engine: &Engine) -> Audit {
        Audit { records: engine.records(AUDIT) }
    }

    /// The log of a tenant. Whether there is such a tenant is for the caller to know.
    #[must_use]
    pub fn log(&self, tenant: u32) -> Log {
        Log { records: LogRecords { records: self.records.clone(), tenant } }
    }
}

/// The audit log of one tenant. Clones share it.
#[derive(Clone)]
pub struct Log {
    records: LogRecords,
}

/// Where an event stands in the log of the database: events have the order of their places.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The revision that it was written in.
    pub revision: u64,
    /// Its number among what was appended in that revision.
    pub number: u32,
}

/// An event of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its number in the tree, from 0.
    pub index: u64,
    /// Where it stands in the log.
    pub place: Place,
    /// Its bytes; `None` when they were dropped.
    pub bytes: Option<Vec<u8>>,
}

impl Entry {
    /// The event; `None` when it was dropped.
    ///
    /// # Errors
    /// The bytes are not those of an event that this program knows.
    pub fn event(&self) -> Option<Result<Event, EventError>> {
        self.bytes.as_deref().map(Event::read)
    }

    /// The hash of its leaf; `None` when it was dropped.
    #[must_use]
    pub fn leaf(&self) -> Option<Hash> {
        self.bytes.as_deref().map(|bytes| leaf(self.place, bytes))
    }
}

/// The hash of the leaf of an event: over its place and its bytes.
#[must_use]
pub fn leaf(place: Place, bytes: &[u8]) -> Hash {
    tree::leaf_hash(&[&place.leaf_bytes(), bytes])
}

/// Who asks for something that is itself an event.
#[derive(Clone, Debug, Default)]
pub struct By {
    /// The person, as a subject.
    pub user: Option<String>,
    /// The agent, as a subject.
    pub agent: Option<String>,
    /// The id of the session.
    pub session: Option<String>,
    /// What ties it to other events.
    pub trace: Option<String>,
    /// The network address.
    pub address: Option<String>,
}

impl By {
    /// An event that says so.
    fn event(&self, tenant: u32, kind: EventKind, outcome: Outcome, now: Timestamp) -> Event {
        let mut event = Event::new(tenant, kind, outcome, now);
        let set: [(_, fn(Event, &String) -> Event); 5] = [
            (&self.user, |e, t| e.user(t)),
            (&self.agent, |e, t| e.agent(t)),
            (&self.session, |e, t| e.session(t)),
            (&self.trace, |e, t| e.trace(t)),
            (&self.address, |e, t| e.address(t)),
        ];
        for (text, add) in set {
            if let Some(text) = text {
                event = add(event, text);
            }
        }
        event
    }
}

/// Which tenants have logs to tend, and who signs for them. The one that serves the tenants plugs it in.
pub trait Tenants: Send + Sync {
    /// The numbers of the tenants.
    fn tenants(&self) -> Vec<u32>;

    /// What signs checkpoints of a tenant; `None` when there is none now, and then its tree grows unsigned.
    fn signer(&self, tenant: u32) -> Option<Arc<dyn note::Signer + Send + Sync>>;
}

/// Why something about the audit log cannot be done.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum AuditError {
    /// The disk failed.
    #[error(transparent)]
    Question(#[from] QuestionError),
    /// A bound was reached, or the disk failed.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// A note, a key or a signature is not good.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// What is stored makes no sense.
    #[error("the audit log of tenant {tenant} is damaged ({what}); stop, and restore a backup")]
    Damaged {
        /// The tenant.
        tenant: u32,
        /// What is damaged.
        what: &'static str,
    },
    /// An event's bytes are not what the tree says, or are not there.
    #[error("event {index} of tenant {tenant} is {what}; stop, and compare with a backup or an export")]
    Changed {
        /// The tenant.
        tenant: u32,
        /// Its number.
        index: u64,
        /// `missing` or `not what it was when the tree took it`.
        what: &'static str,
    },
    /// The tree has no such event.
    #[error("there is no event {index}; the log has {size}, numbered from 0")]
    NoEvent {
        /// The number asked for.
        index: u64,
        /// How many there are.
        size: u64,
    },
    /// No checkpoint covers what is asked for.
    #[error("no signed checkpoint covers that; sign one with `bailiwick audit checkpoint --sign`")]
    NoCheckpoint,
    /// Others changed the same all the time.
    #[error("others change the audit log at the same moment; try again")]
    Contended,
    /// The tree has taken all that it can.
    #[error(transparent)]
    Full(#[from] tree::TreeFull),
    /// There is no key to sign with.
    #[error("the log has no key yet; make one with `bailiwick audit key --create NAME`")]
    NoKey,
    /// A key, a hold or something else that cannot be as it is given.
    #[error("{0}")]
    Refused(String),
}

impl Log {
    /// The number of the tenant.
    #[must_use]
    pub fn tenant(&self) -> u32 {
        self.records.tenant
    }

    /// How many events are in the tree.
    ///
    /// # Errors
    /// The disk failed, or the state is damaged.
    pub fn size(&self) -> Result<u64, AuditError> {
        Ok(self.records.state()?.0.size)
    }

    /// An event, compared with the tree.
    ///
    /// # Errors
    /// There is none of that number, or it is not what the tree took.
    pub fn entry(&self, index: u64) -> Result<Entry, AuditError> {
        let size = self.size()?;
        if index >= size {
            return Err(AuditError::NoEvent { index, size });
        }
        let entry = self.reader().entry(index)?;
        if entry.leaf().is_some_and(|hash| tree::leaf(&self.records, index, size).as_ref() != Ok(&hash)) {
            return Err(self.changed(index, "not what it was when the tree took it"));
        }
        Ok(entry)
    }

    /// The number in the tree of the event at a place; `None` when the tree has none there.
    ///
    /// # Errors
    /// The disk failed, or records are damaged.
    pub fn index_of(&self, place: Place) -> Result<Option<u64>, AuditError> {
        let size = self.size()?;
        let (mut low, mut high) = (0, size.div_ceil(TILE_WIDTH as u64)); // tiles
        while low < high {
            let middle = low + (high - low) / 2;
            let places = self.records.places(middle)?;
            match (places.first(), places.last()) {
                (Some(first), _) if place < *first => high = middle,
                (_, Some(last)) if place > *last => low = middle + 1,
                _ => {
                    let at = places.binary_search(&place).ok();
                    let index = at.map(|at| middle * TILE_WIDTH as u64 + at as u64);
                    return Ok(index.filter(|index| *index < size));
                }
            }
        }
        Ok(None)
    }

    /// The proof that an event is in the tree of the first `size` (RFC 6962, section 2.1.1).
    ///
    /// # Errors
    /// There is no such event in it.
    pub fn inclusion(&self, index: u64, size: u64) -> Result<Vec<Hash>, AuditError> {
        let now = self.size()?;
        if index >= size || size > now {
            return Err(AuditError::NoEvent { index, size: size.min(now) });
        }
        tree::inclusion(&self.records, index, size)
    }

    /// The proof that the tree of the first `old` events is the beginning of that of the first `size` (section 2.1.2).
    ///
    /// # Errors
    /// The tree is not as large.
    pub fn consistency(&self, old: u64, size: u64) -> Result<Vec<Hash>, AuditError> {
        let now = self.size()?;
        if size > now || old > size {
            return Err(AuditError::NoEvent { index: old.max(size), size: now });
        }
        tree::consistency(&self.records, old, size)
    }

    /// The root of the first `size` events.
    ///
    /// # Errors
    /// The tree is not as large.
    pub fn root(&self, size: u64) -> Result<Hash, AuditError> {
        let now = self.size()?;
        if size > now {
            return Err(AuditError::NoEvent { index: size, size: now });
        }
        tree::root_at(&self.records, size)
    }

    fn changed(&self, index: u64, what: &'static str) -> AuditError {
        AuditError::Changed { tenant: self.tenant(), index, what }
    }

    fn reader(&self) -> Reader<'_> {
        Reader { log: self, tile: None }
    }
}

/// Reads events by their numbers, and remembers where those of the last tile are.
struct Reader<'a> {
    log: &'a Log,
    tile: Option<(u64, Vec<Place>)>,
}

impl Reader<'_> {
    /// An event. Its bytes are not compared with the tree.
    fn entry(&mut self, index: u64) -> Result<Entry, AuditError> {
        let tile = index / TILE_WIDTH as u64;
        let records = &self.log.records;
        let within = usize::try_from(index % TILE_WIDTH as u64).unwrap_or(0);
        let known = |(at, places): &&(u64, Vec<Place>)| *at == tile && places.len() > within;
        if self.tile.as_ref().filter(known).is_none() {
            self.tile = Some((tile, records.places(tile)?));
        }
        let place = self.tile.as_ref().and_then(|(_, places)| places.get(within).copied());
        let place = place.ok_or_else(|| records.damaged("the places of events"))?;
        let bytes = records.event(place)?;
        if bytes.is_none() && !is_set(&records.dropped(tile)?, within) {
            return Err(self.log.changed(index, "missing"));
        }
        Ok(Entry { index, place, bytes })
    }
}

/// Whether a bit is set.
fn is_set(bits: &[u8], at: usize) -> bool {
    bits.get(at / 8).is_some_and(|byte| byte >> (at % 8) & 1 == 1)
}

/// A moment as events write it: RFC 3339, UTC, with nanoseconds.
#[must_use]
pub fn time_text(at: Timestamp) -> String {
    DateTime::<Utc>::from_timestamp_nanos(at.0).to_rfc3339_opts(SecondsFormat::Nanos, true)
}

/// Reads a moment: RFC 3339, or a day, which is its beginning in UTC.
#[must_use]
pub fn read_time(text: &str) -> Option<Timestamp> {
    let day = format!("{text}T00:00:00Z");
    let read = |text: &str| DateTime::parse_from_rfc3339(text).ok()?.timestamp_nanos_opt();
    read(text).or_else(|| read(&day)).map(Timestamp)
}
