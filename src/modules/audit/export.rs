//! Export: a file that a stranger verifies, without us and with one public key.
//!
//! JSON lines: a head with a signed checkpoint and the hashes of what lies before and behind the range, a line for each
//! event with its place and its leaf, an end with counts. The events' own bytes stand in it as they were hashed. All
//! events of a range prove each other: together with the head they give the root that was signed. A selection (a range
//! with a filter) cannot; so each of its lines has a proof of its own. `verify.rs` reads it.
//!
//! The other format is OCSF, for other people's tools; it proves nothing, but names place and leaf of each event.

use super::note::{Checkpoint, Note, hash_text};
use super::ocsf;
use super::query::Filter;
use super::records::Moments;
use super::retention::Coverage;
use super::tree::{Hash, TILE_WIDTH, Tiles as _, consistency, inclusion, subtrees};
use super::{AuditError, By, Entry, Log, Reader, leaf};
use crate::identity::{Event, EventKind, Outcome};
use crate::tuple::Timestamp;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::io::Write;

/// The version of the format.
pub const EXPORT_VERSION: u32 = 1;
const TILE: u64 = TILE_WIDTH as u64;

/// What to write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// What `bailiwick audit verify` reads.
    #[default]
    Lines,
    /// OCSF events, one a line.
    Ocsf,
}

/// Which events to export.
#[derive(Clone, Debug, Default)]
pub struct ExportQuery {
    /// The first event.
    pub from: u64,
    /// The one behind the last; those that the newest checkpoint covers when it is not given.
    pub to: Option<u64>,
    /// Of these only some.
    pub filter: Filter,
    /// A size of which somebody has a checkpoint: the head proves that the log continues it.
    pub since: Option<u64>,
    /// How.
    pub format: Format,
}

/// What was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exported {
    /// The first event of the range.
    pub from: u64,
    /// The one behind its last.
    pub to: u64,
    /// The size of the checkpoint.
    pub size: u64,
    /// Lines of events.
    pub lines: u64,
    /// Of them, those whose event was dropped.
    pub dropped: u64,
    /// How many events are gone of which no exported event says that they were dropped: the drop is newer than the
    /// checkpoint.
    pub untold: u64,
}

/// Why an export ended early.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The log.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// The other end.
    #[error("the export cannot be written: {0}")]
    Write(#[from] std::io::Error),
}

/// The first line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Head {
    pub(super) bailiwick_audit: u32,
    pub(super) tenant: u32,
    pub(super) from: u64,
    pub(super) to: u64,
    /// The filter of a selection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) selection: Option<Filter>,
    /// The whole subtrees before `from`, and behind `to`. None in a selection.
    #[serde(default)]
    pub(super) before: Vec<String>,
    #[serde(default)]
    pub(super) behind: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) consistency: Option<Consistency>,
    pub(super) checkpoint: String,
    /// Which keys the log has. To be compared with one that is known, and never to be believed.
    #[serde(default)]
    pub(super) keys: Vec<String>,
}

/// That the log continues an older one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Consistency {
    pub(super) old: u64,
    pub(super) proof: Vec<String>,
}

/// The line of an event: with `event`, with `bytes` when it cannot be read, or with neither when it was dropped.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Line<'a> {
    pub(super) index: u64,
    pub(super) revision: u64,
    pub(super) number: u32,
    pub(super) leaf: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) proof: Vec<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) dropped: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) bytes: Option<String>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub(super) event: Option<&'a RawValue>,
}

/// The last line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct End {
    /// Lines of events.
    pub(super) end: u64,
    /// Of them, those whose event was dropped.
    pub(super) dropped: u64,
}

pub(super) fn texts(hashes: &[Hash]) -> Vec<String> {
    hashes.iter().map(hash_text).collect()
}

impl Log {
    /// Appends the event that says that events are exported. To be called before [`Log::export`].
    ///
    /// # Errors
    /// The disk failed.
    pub fn tell_export(&self, query: &ExportQuery, by: &By, now: Timestamp) -> Result<(), AuditError> {
        let told = by.event(self.tenant(), EventKind::AuditExported, Outcome::Done, now);
        let told = told.detail("from", query.from.to_string());
        let told = told.detail("to", query.to.map_or_else(|| "newest".to_owned(), |to| to.to_string()));
        let format = if query.format == Format::Lines { "lines" } else { "ocsf" };
        let selection = serde_json::to_string(&query.filter).unwrap_or_default();
        let told = told.detail("format", format).detail("selection", selection);
        self.records.write_if(Vec::new(), vec![told.change()])?;
        Ok(())
    }

    /// Writes events that a signed checkpoint covers. Each is compared with the tree before it is written.
    ///
    /// # Errors
    /// No checkpoint covers the range, an event is not what the tree took, or the other end does not take it.
    pub fn export(&self, query: &ExportQuery, out: &mut dyn Write) -> Result<Exported, ExportError> {
        let signed = self.checkpoint()?.ok_or(AuditError::NoCheckpoint)?;
        let to = query.to.unwrap_or(signed.size);
        if to > signed.size || query.from > to {
            let what = format!("events {} to {to} are not in it", query.from);
            let why = format!("the newest checkpoint covers {} events, and {what}", signed.size);
            return Err(AuditError::Refused(why).into());
        }
        if let Some(since) = query.since.filter(|since| *since > signed.size) {
            let why = format!("the newest checkpoint covers {} events, fewer than {since}", signed.size);
            return Err(AuditError::Refused(why).into());
        }
        let checkpoint = Checkpoint::parse(Note::parse(&signed.note).map_err(AuditError::from)?.text());
        let checkpoint = checkpoint.map_err(AuditError::from)?;
        let query = ExportQuery { to: Some(to), filter: query.filter.clone().as_stored(), ..query.clone() };
        let size = signed.size;
        if query.format == Format::Lines {
            line(out, &self.head(&query, to, size, signed.note)?)?;
        }
        let mut writer = Writer {
            log: self,
            query: &query,
            origin: &checkpoint.origin,
            done: Exported { from: query.from, to, size, ..Exported::default() },
            coverage: Coverage::default(),
            leaves: None,
        };
        let mut reader = self.reader();
        let mut moments: Option<(u64, Vec<Moments>)> = None;
        let mut index = query.from;
        while index < to {
            if self.passes_over(&query.filter, index, &mut moments)? {
                index = (index / TILE + 1) * TILE;
                continue;
            }
            writer.write(&mut reader, index, out)?;
            index += 1;
        }
        let Writer { mut done, coverage, .. } = writer;
        done.untold = coverage.untold().iter().map(|(from, to)| to - from).sum();
        if query.format == Format::Lines {
            line(out, &End { end: done.lines, dropped: done.dropped })?;
        }
        out.flush()?;
        Ok(done)
    }

    fn head(&self, query: &ExportQuery, to: u64, size: u64, checkpoint: String) -> Result<Head, AuditError> {
        let whole = query.filter.is_all();
        let parts = |from, to| if whole { subtrees(&self.records, from, to, size) } else { Ok(Vec::new()) };
        let proof = |old: u64| {
            let proof = consistency(&self.records, old, size)?;
            Ok::<_, AuditError>(Consistency { old, proof: texts(&proof) })
        };
        Ok(Head {
            bailiwick_audit: EXPORT_VERSION,
            tenant: self.tenant(),
            from: query.from,
            to,
            selection: (!whole).then(|| query.filter.clone()),
            before: texts(&parts(0, query.from)?),
            behind: texts(&parts(to, size)?),
            consistency: query.since.map(proof).transpose()?,
            checkpoint,
            keys: self.keys()?.iter().map(ToString::to_string).collect(),
        })
    }

    /// Whether no event of the tile of an event can be in a window of time.
    fn passes_over(
        &self,
        filter: &Filter,
        index: u64,
        known: &mut Option<(u64, Vec<Moments>)>,
    ) -> Result<bool, AuditError> {
        if filter.from.is_none() && filter.to.is_none() {
            return Ok(false);
        }
        let tile = index / TILE;
        let (group, within) = (tile / TILE, usize::try_from(tile % TILE).unwrap_or(0));
        if known.as_ref().is_none_or(|(at, _)| *at != group) {
            *known = Some((group, self.records.moments(group)?));
        }
        let moments = known.as_ref().and_then(|(_, moments)| moments.get(within));
        let moments = *moments.ok_or_else(|| self.records.damaged("the moments of events"))?;
        Ok(!filter.may_be_in(moments))
    }
}

/// Writes the lines of events.
struct Writer<'a> {
    log: &'a Log,
    query: &'a ExportQuery,
    origin: &'a str,
    done: Exported,
    coverage: Coverage,
    /// The leaves of the last tile.
    leaves: Option<(u64, Vec<Hash>)>,
}

impl Writer<'_> {
    fn write(&mut self, reader: &mut Reader<'_>, index: u64, out: &mut dyn Write) -> Result<(), ExportError> {
        let entry = reader.entry(index)?;
        let hash = self.leaf(index)?;
        if entry.bytes.as_deref().is_some_and(|bytes| leaf(entry.place, bytes) != hash) {
            return Err(self.log.changed(index, "not what it was when the tree took it").into());
        }
        let event = entry.event().and_then(Result::ok);
        match &event {
            Some(event) => self.coverage.told(index, event),
            None if entry.bytes.is_none() => self.coverage.gone(index),
            None => {}
        }
        if !self.query.filter.is_all() && !event.as_ref().is_some_and(|event| self.query.filter.admits(event)) {
            return Ok(());
        }
        match self.query.format {
            Format::Lines => self.line(&entry, &hash, event.as_ref(), out)?,
            Format::Ocsf => {
                // What was dropped, or cannot be read, has nothing to say in OCSF.
                let Some(event) = &event else {
                    self.done.dropped += u64::from(entry.bytes.is_none());
                    return Ok(());
                };
                line(out, &ocsf::event(event, &entry, &hash, self.origin))?;
            }
        }
        self.done.lines += 1;
        self.done.dropped += u64::from(entry.bytes.is_none());
        Ok(())
    }

    fn line(&self, entry: &Entry, hash: &Hash, event: Option<&Event>, out: &mut dyn Write) -> Result<(), ExportError> {
        let proof = match self.query.filter.is_all() {
            true => Vec::new(),
            false => inclusion(&self.log.records, entry.index, self.done.size)?,
        };
        let bytes = entry.bytes.as_deref();
        // The bytes of an event that was read are its JSON.
        let raw: Option<&RawValue> = match (event, bytes) {
            (Some(_), Some(bytes)) => serde_json::from_slice(bytes).ok(),
            (Some(_) | None, _) => None,
        };
        let shown = Line {
            index: entry.index,
            revision: entry.place.revision,
            number: entry.place.number,
            leaf: hash_text(hash),
            proof: texts(&proof),
            dropped: bytes.is_none(),
            bytes: bytes.filter(|_| raw.is_none()).map(|bytes| STANDARD.encode(bytes)),
            event: raw,
        };
        line(out, &shown)?;
        Ok(())
    }

    fn leaf(&mut self, index: u64) -> Result<Hash, AuditError> {
        let (tile, within) = (index / TILE, usize::try_from(index % TILE).unwrap_or(0));
        if self.leaves.as_ref().is_none_or(|(at, _)| *at != tile) {
            let width = usize::try_from((self.done.size - tile * TILE).min(TILE)).unwrap_or(TILE_WIDTH);
            self.leaves = Some((tile, self.log.records.tile(0, tile, width)?));
        }
        let leaf = self.leaves.as_ref().and_then(|(_, leaves)| leaves.get(within)).copied();
        leaf.ok_or_else(|| self.log.records.damaged("a tile of the tree"))
    }
}

fn line<T: Serialize>(out: &mut dyn Write, value: &T) -> std::io::Result<()> {
    let mut bytes = serde_json::to_vec(value)?;
    bytes.push(b'\n');
    out.write_all(&bytes)
}
