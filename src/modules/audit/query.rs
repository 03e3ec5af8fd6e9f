//! Queries: which events of a log have these values, the newest first, page by page.
//!
//! Every given value that is indexed is a list of leaves in descending order, as is the window of time (tiles without an
//! event of the window are passed over). The lists are joined by asking each in turn for its next leaf that is not above
//! the lowest that another has named. What all name is read and looked at, so that two values with the same hash do no
//! harm. A page ends when it is full or when a bound of work is reached; its token says where the next one goes on.

use super::grow::values;
use super::records::{Field, LogRecords, Moments, State};
use super::tree::TILE_WIDTH;
use super::{AuditError, Entry, Log};
use crate::identity::{Event, EventKind, Outcome};
use crate::tuple::Timestamp;
use crate::wire::{decode_page, encode_page};
use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::VecDeque;

/// Most events of a page.
pub const PAGE_MAX: usize = 1_000;
/// Most questions to lists, and most events read, for one page. A page may have fewer events than it could, or none, and
/// yet a token.
pub const PAGE_STEPS_MAX: usize = 20_000;
/// Leaves that a list reads ahead: few at first, more when they are used.
const AHEAD_MIN: usize = 16;
const AHEAD_MAX: usize = 512;
const TILE: u64 = TILE_WIDTH as u64;

/// What events must be. All that is given must hold; nothing given is every event.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Filter {
    /// What happened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<EventKind>,
    /// How it went.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// The person, as a subject: whom it is about, or who did it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The agent, as a subject: that acted, or is behind the one that did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// What it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// What ties events together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
    /// Not before this moment.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "write_time", deserialize_with = "read_time")]
    pub from: Option<Timestamp>,
    /// Before this moment.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "write_time", deserialize_with = "read_time")]
    pub to: Option<Timestamp>,
}

#[expect(clippy::ref_option, reason = "serde's signature")]
fn write_time<S: Serializer>(at: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    at.map(super::time_text).serialize(serializer)
}

fn read_time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    let read = |text: String| {
        super::read_time(&text).ok_or_else(|| serde::de::Error::custom(format!("`{text}` is no moment in RFC 3339")))
    };
    text.map(read).transpose()
}

/// A page of events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The events, the newest first.
    pub entries: Vec<Entry>,
    /// What asks for the next page; `None` when there is none.
    pub next: Option<String>,
}

impl Filter {
    /// Whether it is every event.
    #[must_use]
    pub fn is_all(&self) -> bool {
        *self == Filter::default()
    }

    /// The same, with texts as events hold them: cut, and without what looks like a token.
    #[must_use]
    pub fn as_stored(self) -> Filter {
        let stored = |text: Option<String>| {
            let event = Event::new(0, EventKind::AdminChanged, Outcome::Done, Timestamp(0));
            text.and_then(|text| event.resource(text).get_resource().map(str::to_owned))
        };
        Filter {
            user: stored(self.user),
            agent: stored(self.agent),
            resource: stored(self.resource),
            trace: stored(self.trace),
            ..self
        }
    }

    /// Whether an event is one of them.
    #[must_use]
    pub fn admits(&self, event: &Event) -> bool {
        let same = |wanted: &Option<String>, has: Option<&str>| wanted.as_deref().is_none_or(|text| has == Some(text));
        self.kind.is_none_or(|kind| event.kind() == kind)
            && self.outcome.is_none_or(|outcome| event.outcome() == outcome)
            && self.user.as_ref().is_none_or(|wanted| event.persons().any(|person| person == wanted))
            && self.agent.as_ref().is_none_or(|wanted| event.agents().any(|agent| agent == wanted))
            && same(&self.resource, event.get_resource())
            && same(&self.trace, event.get_trace())
            && self.from.is_none_or(|from| event.at() >= from)
            && self.to.is_none_or(|to| event.at() < to)
    }

    /// Whether an entry is one of them. One whose event was dropped or cannot be read is so only when all are.
    #[must_use]
    pub fn admits_entry(&self, entry: &Entry) -> bool {
        self.is_all() || matches!(entry.event(), Some(Ok(event)) if self.admits(&event))
    }

    /// Whether a tile may have such an event, by its moments.
    pub(super) fn may_be_in(&self, (first, last): Moments) -> bool {
        first <= last && self.from.is_none_or(|from| last >= from.0) && self.to.is_none_or(|to| first < to.0)
    }

    /// The values that are indexed.
    fn values(&self) -> Vec<(Field, String)> {
        let rare = self.outcome.filter(|o| matches!(o, Outcome::Refused | Outcome::Failed));
        let given = [
            (Field::Trace, self.trace.clone()),
            (Field::Resource, self.resource.clone()),
            (Field::User, self.user.clone()),
            (Field::Agent, self.agent.clone()),
            (Field::Outcome, rare.map(|outcome| outcome.name().to_owned())),
            (Field::Kind, self.kind.map(|kind| kind.name().to_owned())),
        ];
        given.into_iter().filter_map(|(field, value)| Some((field, value?))).collect()
    }

    /// What tells a token of this query from one of another.
    fn mark(&self) -> String {
        let text = serde_json::to_vec(self).unwrap_or_default();
        let hash = digest(&SHA256, &text);
        hash.as_ref().iter().take(6).map(|byte| format!("{byte:02x}")).collect()
    }
}

impl Log {
    /// Events of the tree, the newest first.
    ///
    /// # Errors
    /// The token is of another query, the disk failed, or records are damaged.
    pub fn query(&self, filter: &Filter, page_size: usize, token: Option<&str>) -> Result<Page, AuditError> {
        let filter = &filter.clone().as_stored();
        let (State { size, old_index, .. }, _) = self.records.state()?;
        let below = match token {
            None => size,
            Some(token) => read_token(token, &filter.mark())?.min(size),
        };
        let page_size = page_size.clamp(1, PAGE_MAX);
        let mut lists: Vec<List<'_>> = filter
            .values()
            .into_iter()
            .map(|(field, value)| List::values(&self.records, field, value, old_index))
            .collect();
        if filter.from.is_some() || filter.to.is_some() {
            lists.push(List::Window { records: &self.records, filter, group: None });
        }
        let mut page = Page::default();
        let mut reader = self.reader();
        let mut steps = 0;
        let mut next = below.checked_sub(1);
        while let Some(at) = next {
            if page.entries.len() == page_size || steps >= PAGE_STEPS_MAX {
                page.next = Some(encode_page(&format!("{}.{}", at + 1, filter.mark())));
                break;
            }
            steps += lists.len() + 1;
            let Some(lowest) = ask_all(&mut lists, at)? else { break };
            if lowest < at {
                next = Some(lowest); // one has moved on: all are asked again
                continue;
            }
            let entry = reader.entry(at)?;
            if filter.admits_entry(&entry) {
                page.entries.push(entry);
            }
            next = at.checked_sub(1);
        }
        Ok(page)
    }
}

/// The lowest leaf that a list names when each is asked for one not above those before it. `None`: one has no more.
fn ask_all(lists: &mut [List<'_>], mut at: u64) -> Result<Option<u64>, AuditError> {
    for list in lists {
        match list.seek(at)? {
            Some(leaf) => at = leaf,
            None => return Ok(None),
        }
    }
    Ok(Some(at))
}

fn read_token(token: &str, mark: &str) -> Result<u64, AuditError> {
    let text = decode_page(token);
    let parts = text.as_deref().and_then(|text| text.split_once('.'));
    let refused = || AuditError::Refused("the page token is none of this query; begin again without one".into());
    let (below, of) = parts.ok_or_else(refused)?;
    below.parse().ok().filter(|_| of == mark).ok_or_else(refused)
}

/// Leaves in descending order.
enum List<'a> {
    /// Those whose event has a value, and those of which an older index does not say so.
    Values { list: Postings<'a>, unsaid: (u64, u64) },
    /// Those in tiles with an event of the window of time.
    Window { records: &'a LogRecords, filter: &'a Filter, group: Option<(u64, Vec<Moments>)> },
}

/// What the index has of a value, read ahead.
struct Postings<'a> {
    records: &'a LogRecords,
    field: Field,
    value: String,
    ahead: VecDeque<u64>,
    wanted: usize,
    end: bool,
}

impl Postings<'_> {
    /// The highest leaf that is not above `at_most`.
    fn seek(&mut self, at_most: u64) -> Result<Option<u64>, AuditError> {
        while self.ahead.front().is_some_and(|leaf| *leaf > at_most) {
            self.ahead.pop_front();
        }
        if self.ahead.is_empty() && !self.end {
            self.ahead = self.records.postings(self.field, &self.value, at_most, self.wanted)?.into();
            self.end = self.ahead.len() < self.wanted;
            self.wanted = (self.wanted * 2).min(AHEAD_MAX);
        }
        Ok(self.ahead.front().copied())
    }
}

impl<'a> List<'a> {
    fn values(records: &'a LogRecords, field: Field, value: String, old_index: (u64, u64)) -> List<'a> {
        // What it lacks are people and agents.
        let lacking = matches!(field, Field::User | Field::Agent);
        let list = Postings { records, field, value, ahead: VecDeque::new(), wanted: AHEAD_MIN, end: false };
        List::Values { list, unsaid: if lacking { old_index } else { (0, 0) } }
    }

    /// The highest leaf that is not above `at_most`.
    fn seek(&mut self, at_most: u64) -> Result<Option<u64>, AuditError> {
        match self {
            List::Values { list, unsaid: (from, to) } => {
                // Of these any may be one: each is looked at.
                let unsaid = to.checked_sub(1).map(|last| last.min(at_most)).filter(|leaf| *leaf >= *from);
                Ok(list.seek(at_most)?.max(unsaid))
            }
            List::Window { records, filter, group } => seek_window(records, filter, group, at_most),
        }
    }
}

fn seek_window(
    records: &LogRecords,
    filter: &Filter,
    known: &mut Option<(u64, Vec<Moments>)>,
    at_most: u64,
) -> Result<Option<u64>, AuditError> {
    let mut tile = at_most / TILE;
    loop {
        let (group, within) = (tile / TILE, usize::try_from(tile % TILE).unwrap_or(0));
        if known.as_ref().is_none_or(|(at, moments)| *at != group || moments.len() <= within) {
            *known = Some((group, records.moments(group)?));
        }
        let moments = known.as_ref().and_then(|(_, moments)| moments.get(within));
        let moments = *moments.ok_or_else(|| records.damaged("the moments of events"))?;
        if filter.may_be_in(moments) {
            return Ok(Some(at_most.min(tile * TILE + (TILE - 1))));
        }
        match tile.checked_sub(1) {
            Some(below) => tile = below,
            None => return Ok(None),
        }
    }
}

/// The keys of the index under which an event is found.
pub(super) fn index_keys(records: &LogRecords, event: &Event, leaf: u64) -> Vec<Vec<u8>> {
    values(event).into_iter().map(|(field, value)| records.index_key(field, value, leaf)).collect()
}
