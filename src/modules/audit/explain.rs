//! Why something was allowed, or refused, over all layers: the events of one act and of all that it hangs on, as a chain from
//! the sign-in of a person to the call that was made.
//!
//! It is built from the log alone, so that it says what was decided then, and each step names its number there. An act hangs
//! on a token, a token on a grant, a grant on the one that it was made from, on a session and perhaps on an approval: those
//! links are in the events, and ids of grants and sessions say when they were made, so that following one reads a moment of
//! the log. By which tuples a Check was allowed is asked of whoever knows the stores ([`Paths`]).

use super::query::Filter;
use super::{AuditError, Entry, Log, time_text};
use crate::identity::{Event, EventKind, Outcome};
use crate::tuple::Timestamp;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Most steps of a chain; that there are more is said.
pub const STEPS_MAX: usize = 500;
/// Most events that one link reads.
const LINK_MAX: usize = 1_000;
/// Most pages of events that a token is looked for in.
const PAGES_MAX: usize = 20;
/// How many events before a call are looked at for what it needed.
const NEAR_MAX: u64 = 32;
/// Most links of a chain: grants, sessions and approvals.
const LINKS_MAX: usize = 64;
/// How long a token is looked for in the log, in nanoseconds: a day.
const TOKEN_LIFE: i64 = 24 * 3_600 * 1_000_000_000;
/// How long after its grant the token of a code is fetched at most, in nanoseconds: ten minutes (RFC 6749 4.1.2).
const CODE_LIFE: i64 = 600 * 1_000_000_000;
const MILLISECOND: i64 = 1_000_000;

/// What is to be explained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum About {
    /// All that has this correlation or trace id.
    Trace(String),
    /// All that was done with a token: its `jti`.
    Token(String),
    /// A request for approval, and what came of it: its id.
    Approval(String),
    /// One event, by its number.
    Event(u64),
}

impl About {
    /// Reads what a person has at hand: a number, a `jti` (it has a dot behind the id of its grant), the id of an approval with or
    /// without `approval:`, or a trace.
    #[must_use]
    pub fn read(text: &str) -> About {
        let is_id = |text: &str| ulid::Ulid::from_string(text).is_ok();
        match text.split_once('.') {
            Some((grant, _)) if is_id(grant) => return About::Token(text.to_owned()),
            _ => {}
        }
        match (text.parse(), text.strip_prefix("approval:")) {
            (Ok(number), _) if text.len() < 20 => About::Event(number),
            (_, Some(id)) => About::Approval(id.to_owned()),
            _ if is_id(text) => About::Approval(text.to_owned()),
            _ => About::Trace(text.to_owned()),
        }
    }

    fn shown(&self) -> (&'static str, String) {
        match self {
            About::Trace(id) => ("trace", id.clone()),
            About::Token(id) => ("token", id.clone()),
            About::Approval(id) => ("approval", id.clone()),
            About::Event(number) => ("event", number.to_string()),
        }
    }
}

/// Which layer decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Layer {
    /// Who somebody is: sign-ins, sessions.
    Authentication,
    /// What was allowed to a client: consent, a managed connection, and the tokens of it.
    Grant,
    /// A token for another: exchange, and assertions across domains.
    Exchange,
    /// What a person was asked.
    Approval,
    /// A relation between a subject and an object: the engine.
    Check,
    /// What a connection, its scopes and the vault allow.
    Vault,
    /// A call that was made, or was not, of a server behind.
    Call,
    /// How things were set up.
    Administration,
}

impl Layer {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Layer::Authentication => "authentication",
            Layer::Grant => "grant",
            Layer::Exchange => "exchange",
            Layer::Approval => "approval",
            Layer::Check => "check",
            Layer::Vault => "vault",
            Layer::Call => "call",
            Layer::Administration => "administration",
        }
    }

    /// That of an event.
    #[must_use]
    pub fn of(kind: EventKind) -> Layer {
        use EventKind as K;
        match kind {
            K::SessionStarted
            | K::SessionEnded
            | K::LogoutTold
            | K::RevocationAsked
            | K::RevocationTold
            | K::LoginFailed
            | K::CredentialAdded
            | K::CredentialRemoved
            | K::ClientRefused => Layer::Authentication,
            K::GrantCreated
            | K::GrantRevoked
            | K::TokenIssued
            | K::TokenRefused
            | K::TokenRevoked
            | K::TokenReplayed => Layer::Grant,
            K::ExchangeAllowed | K::ExchangeRefused => Layer::Exchange,
            K::ApprovalAsked | K::ApprovalDecided | K::ApprovalExpired => Layer::Approval,
            K::CheckDecided => Layer::Check,
            K::VaultLeased | K::VaultRefused | K::VaultStored | K::VaultRemoved => Layer::Vault,
            K::ProxyCalled | K::ProxyLost | K::ProxyRefused | K::OutputFiltered => Layer::Call,
            K::DeviceAdded
            | K::DeviceRemoved
            | K::UserCreated
            | K::UserChanged
            | K::UserSuspended
            | K::UserResumed
            | K::UserDeleted
            | K::ClientCreated
            | K::ClientChanged
            | K::ClientDeleted
            | K::AgentRegistered
            | K::AgentChanged
            | K::AgentSuspended
            | K::AgentResumed
            | K::AgentRetired
            | K::AgentOrphaned
            | K::TenantCreated
            | K::TenantChanged
            | K::TenantSuspended
            | K::TenantResumed
            | K::KeyCreated
            | K::KeyRotated
            | K::KeyRetired
            | K::ConnectionCreated
            | K::ConnectionRemoved
            | K::FindingRaised
            | K::PolicyChanged
            | K::RoleGiven
            | K::RoleTaken
            | K::AdminChanged
            | K::AuditChanged
            | K::AuditHeld
            | K::AuditReleased
            | K::AuditDropped
            | K::AuditExported => Layer::Administration,
        }
    }
}

/// A Check as an event has it.
#[derive(Clone, Copy, Debug)]
pub struct Checked<'a> {
    /// Who was asked about, as a subject.
    pub subject: &'a str,
    /// The relation.
    pub relation: &'a str,
    /// The object.
    pub object: &'a str,
    /// The revision at which it was decided, when the event says.
    pub revision: Option<u64>,
}

/// By which tuples something is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    /// The tuples, from the object to the subject.
    pub tuples: Vec<String>,
    /// Whether they are those of the revision at which it was decided; else those of now.
    pub then: bool,
}

/// Who knows the stores that were asked. The one that serves the tenants plugs it in.
pub trait Paths: Send + Sync {
    /// By which tuples a Check of a tenant's is allowed; `None` when none is known to allow it.
    fn path(&self, tenant: u32, checked: &Checked<'_>) -> Option<Path>;
}

/// Where no stores are known.
pub struct NoPaths;

impl Paths for NoPaths {
    fn path(&self, _: u32, _: &Checked<'_>) -> Option<Path> {
        None
    }
}

/// One step of a chain.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// The number of its event.
    pub number: u64,
    /// What happened.
    pub event: Event,
    /// Which layer decided.
    pub layer: Layer,
    /// Numbers of earlier steps that it hangs on.
    pub from: Vec<u64>,
    /// By which tuples, when it is a Check that allowed.
    pub path: Option<Path>,
}

/// A chain, the oldest step first.
#[derive(Clone, Debug, PartialEq)]
pub struct Explained {
    /// What was asked.
    pub about: About,
    /// The steps.
    pub steps: Vec<Step>,
    /// Whether there are more than [`STEPS_MAX`], or links that were not followed.
    pub more: bool,
}

/// What is still to be followed.
#[derive(Default)]
struct Links {
    grants: BTreeSet<String>,
    sessions: BTreeSet<String>,
    approvals: BTreeSet<String>,
}

struct Chain<'a> {
    log: &'a Log,
    found: BTreeMap<u64, Event>,
    done: Links,
    more: bool,
}

impl Log {
    /// The chain of what is asked about. It is empty when the log has nothing of it.
    ///
    /// # Errors
    /// There is no event of that number, the disk failed, or records are damaged.
    pub fn explain(&self, about: &About, paths: &dyn Paths) -> Result<Explained, AuditError> {
        let mut chain = Chain { log: self, found: BTreeMap::new(), done: Links::default(), more: false };
        match about {
            About::Trace(id) => {
                chain.take(&Filter { trace: Some(id.clone()), ..Filter::default() }, STEPS_MAX, |_| true)?;
            }
            About::Approval(id) => chain.approval(id)?,
            About::Token(jti) => chain.token(jti)?,
            About::Event(number) => chain.act(*number)?,
        }
        chain.follow()?;
        let Chain { found, more, .. } = chain;
        let steps: Vec<Step> =
            found.iter().map(|(number, event)| self.explained_step(*number, event, &found, paths)).collect();
        Ok(Explained { about: about.clone(), steps, more })
    }

    fn explained_step(&self, number: u64, event: &Event, all: &BTreeMap<u64, Event>, paths: &dyn Paths) -> Step {
        let mut path = None;
        if let (EventKind::CheckDecided, Outcome::Allowed) = (event.kind(), event.outcome())
            && let (Some(subject), Some(relation), Some(object)) =
                (event.details().get("asked"), event.get_action(), event.get_resource())
        {
            let revision = event.get_revision().map(|revision| revision.0);
            path = paths.path(self.tenant(), &Checked { subject, relation, object, revision });
        }
        Step { number, event: event.clone(), layer: Layer::of(event.kind()), from: from(number, event, all), path }
    }
}

/// The steps that one hangs on: what made its grant or its token, the session, the approval.
fn from(number: u64, event: &Event, all: &BTreeMap<u64, Event>) -> Vec<u64> {
    let before = || all.range(..number);
    let first = |wanted: &dyn Fn(&Event) -> bool| before().find(|(_, event)| wanted(event)).map(|(number, _)| *number);
    let last = |wanted: &dyn Fn(&Event) -> bool| before().rfind(|(_, event)| wanted(event)).map(|(number, _)| *number);
    let mut from = Vec::new();
    if event.kind() == EventKind::GrantCreated {
        let parent = event.details().get("parent").map(String::as_str);
        let session = event.get_session().filter(|_| parent.is_none());
        from.extend(parent.and_then(|id| last(&|e| of_grant(e) && e.get_grant() == Some(id))));
        from.extend(session.and_then(|id| first(&|e| is_start(e) && e.get_session() == Some(id))));
    } else if let Some(token) = event.get_token() {
        from.extend(last(&|e| made(e) && e.get_token() == Some(token)));
    }
    if made(event) && event.get_grant().is_some() {
        let grant = event.get_grant();
        from.extend(last(&|e| e.kind() == EventKind::GrantCreated && e.get_grant() == grant));
    }
    if event.kind() == EventKind::ApprovalDecided && event.get_reason() != Some("used") {
        let session = event.get_session();
        from.extend(session.and_then(|id| first(&|e| is_start(e) && e.get_session() == Some(id))));
    }
    if let Some(id) = approval_of(event) {
        from.extend(last(&|e| is_decision(e) && approval_of(e).as_deref() == Some(id.as_str())));
    }
    from.sort_unstable();
    from.dedup();
    from
}

fn is_start(event: &Event) -> bool {
    event.kind() == EventKind::SessionStarted
}

/// Whether a token was made: what hangs on it names it too.
fn made(event: &Event) -> bool {
    matches!(event.kind(), EventKind::TokenIssued | EventKind::ExchangeAllowed)
}

/// Whether a grant, or a token of one, was made.
fn of_grant(event: &Event) -> bool {
    matches!(event.kind(), EventKind::GrantCreated | EventKind::TokenIssued)
}

/// Whether an approval was given or denied, and not only used.
fn is_decision(event: &Event) -> bool {
    event.kind() == EventKind::ApprovalDecided && event.get_reason() != Some("used")
}

/// The approval that an event is about, or by which it was allowed.
fn approval_of(event: &Event) -> Option<String> {
    let about = event.get_resource().and_then(|resource| resource.strip_prefix("approval:"));
    about.map(str::to_owned).or_else(|| event.details().get("approval").cloned())
}

/// When something with this id was made, in nanoseconds: ids are ULIDs.
fn made_at(id: &str) -> Option<i64> {
    let ulid = ulid::Ulid::from_string(id).ok()?;
    i64::try_from(ulid.timestamp_ms()).ok()?.checked_mul(MILLISECOND)
}

impl Chain<'_> {
    /// Takes the events of a query that are wanted, and answers them: a bounded number, the newest.
    fn take(&mut self, filter: &Filter, max: usize, wanted: impl Fn(&Event) -> bool) -> Result<Vec<Event>, AuditError> {
        let (mut taken, mut token, mut read) = (Vec::new(), None, 0);
        for _ in 0..PAGES_MAX {
            let page = self.log.query(filter, max.min(LINK_MAX), token.as_deref())?;
            for entry in &page.entries {
                read += 1;
                let Some(Ok(event)) = entry.event() else { continue };
                if wanted(&event) {
                    taken.push(event.clone());
                    self.keep(entry, event);
                }
            }
            token = page.next;
            if token.is_none() || read >= max {
                break;
            }
        }
        self.more |= token.is_some();
        Ok(taken)
    }

    fn keep(&mut self, entry: &Entry, event: Event) {
        if self.found.len() < STEPS_MAX || self.found.contains_key(&entry.index) {
            self.found.insert(entry.index, event);
        } else {
            self.more = true;
        }
    }

    /// What was done in the moment that an id was made in.
    fn moment(
        &mut self,
        id: &str,
        kind: Option<EventKind>,
        wanted: impl Fn(&Event) -> bool,
    ) -> Result<Vec<Event>, AuditError> {
        let Some(at) = made_at(id) else { return Ok(Vec::new()) };
        let (from, to) = (Some(Timestamp(at)), Some(Timestamp(at.saturating_add(MILLISECOND))));
        self.take(&Filter { kind, from, to, ..Filter::default() }, LINK_MAX, wanted)
    }

    /// An approval: what was asked and decided, and each use of it.
    fn approval(&mut self, id: &str) -> Result<(), AuditError> {
        self.done.approvals.insert(id.to_owned());
        let resource = Some(format!("approval:{id}"));
        let told = self.take(&Filter { resource, ..Filter::default() }, LINK_MAX, |_| true)?;
        // Calls that it allowed name it, and are the person's, from when it was asked for until it was over.
        let (Some(user), Some(begun)) = (told.iter().find_map(Event::get_user), told.iter().map(Event::at).min())
        else {
            return Ok(());
        };
        let to = Some(Timestamp(told.iter().map(Event::at).max().unwrap_or(begun).0.saturating_add(TOKEN_LIFE)));
        let filter = Filter { user: Some(user.to_owned()), from: Some(begun), to, ..Filter::default() };
        self.take(&filter, LINK_MAX * PAGES_MAX, |event| event.details().get("approval").is_some_and(|by| by == id))?;
        Ok(())
    }

    /// A token: how it was made, and all that was done with it.
    fn token(&mut self, jti: &str) -> Result<(), AuditError> {
        let grant = jti.split('.').next().unwrap_or_default();
        let of_it = |event: &Event| event.get_token() == Some(jti);
        let made = self.moment(grant, None, |event| of_it(event) || event.get_grant() == Some(grant))?;
        if made.is_empty() {
            return Ok(());
        }
        let user = made.iter().find_map(|event| event.get_user().map(str::to_owned));
        let agent = made.iter().find_map(|event| event.get_agent().map(str::to_owned)).filter(|_| user.is_none());
        let at = made_at(grant).unwrap_or_default();
        let (from, to) = (Some(Timestamp(at)), Some(Timestamp(at.saturating_add(TOKEN_LIFE))));
        self.take(&Filter { user, agent, from, to, ..Filter::default() }, LINK_MAX * PAGES_MAX, of_it)?;
        Ok(())
    }

    /// One event, and what was written with it: the Checks of the same call, the lease of the same credential.
    fn act(&mut self, number: u64) -> Result<(), AuditError> {
        let entry = self.log.entry(number)?;
        let Some(Ok(event)) = entry.event() else { return Ok(()) };
        self.keep(&entry, event.clone());
        if event.get_token().is_none() {
            return Ok(());
        }
        // What the call needed was decided before: in the same write, or just before it about the same.
        let (mut leased, mut used) = (false, false);
        for before in (number.saturating_sub(NEAR_MAX)..number).rev() {
            let earlier = self.log.entry(before)?;
            let Some(Ok(other)) = earlier.event() else { continue };
            let its = other.get_token() == event.get_token() && other.get_trace() == event.get_trace();
            let same = (other.get_resource(), other.get_action()) == (event.get_resource(), event.get_action());
            let lease = its && same && !leased && Layer::of(other.kind()) == Layer::Vault;
            let approval = event.details().get("approval").filter(|_| !used);
            let use_of = other.get_reason() == Some("used") && approval == approval_of(&other).as_ref();
            if lease || use_of || (its && earlier.place.revision == entry.place.revision) {
                (leased, used) = (leased || lease, used || use_of);
                self.keep(&earlier, other);
            }
        }
        Ok(())
    }

    /// A grant, and the first token of it: that of a code is fetched some moments later.
    fn grant(&mut self, id: &str) -> Result<(), AuditError> {
        let of_it = |event: &Event| event.get_grant() == Some(id);
        let made = self.moment(id, None, of_it)?;
        let (Some(at), Some(first)) = (made_at(id), made.first()) else { return Ok(()) };
        if !made.iter().any(|event| event.kind() == EventKind::TokenIssued) {
            let user = first.get_user().map(str::to_owned);
            let (from, to) = (Some(Timestamp(at)), Some(Timestamp(at.saturating_add(CODE_LIFE))));
            let filter = Filter { kind: Some(EventKind::TokenIssued), user, from, to, ..Filter::default() };
            self.take(&filter, LINK_MAX, of_it)?;
        }
        Ok(())
    }

    /// Follows all links to their ends.
    fn follow(&mut self) -> Result<(), AuditError> {
        for _ in 0..LINKS_MAX {
            let mut next = Links::default();
            for event in self.found.values() {
                let parent = event.details().get("parent").map(String::as_str);
                let grants = [event.get_grant(), parent].into_iter().flatten().map(str::to_owned);
                next.grants.extend(grants.filter(|id| !self.done.grants.contains(id)));
                let session = event.get_session().filter(|id| !self.done.sessions.contains(*id));
                next.sessions.extend(session.map(str::to_owned));
                next.approvals.extend(approval_of(event).filter(|id| !self.done.approvals.contains(id)));
            }
            let Links { grants, sessions, approvals } = next;
            if grants.is_empty() && sessions.is_empty() && approvals.is_empty() {
                return Ok(());
            }
            for id in grants {
                self.grant(&id)?;
                self.done.grants.insert(id);
            }
            for id in sessions {
                let wanted = |event: &Event| event.get_session() == Some(id.as_str());
                self.moment(&id, Some(EventKind::SessionStarted), wanted)?;
                self.done.sessions.insert(id);
            }
            for id in approvals {
                let filter = Filter { resource: Some(format!("approval:{id}")), ..Filter::default() };
                // Of other uses of it nothing hangs here.
                self.take(&filter, LINK_MAX, |event| event.get_reason() != Some("used"))?;
                self.done.approvals.insert(id);
            }
        }
        self.more = true;
        Ok(())
    }
}

impl Step {
    /// Why, in words: the rule that refused, or what allowed it.
    #[must_use]
    pub fn why(&self) -> String {
        let event = &self.event;
        let detail = |name: &str| event.details().get(name).map(String::as_str);
        let mut why: Vec<String> = event.get_reason().map(str::to_owned).into_iter().collect();
        let said = [
            ("", "cause"),
            ("acr ", "acr"),
            ("by ", "by"),
            ("asked ", "asked"),
            ("through ", "connection"),
            ("by approval ", "approval"),
            ("scope ", "scope"),
            ("left out ", "left_out"),
            ("status ", "status"),
            ("shown ", "shown"),
            ("removed ", "removed"),
        ];
        why.extend(
            said.into_iter().filter_map(|(lead, name)| detail(name).map(|text| format!("{lead}{}", short(text)))),
        );
        why.join(", ")
    }

    /// The step as JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        let event = &self.event;
        json!({
            "number": self.number,
            "at": time_text(event.at()),
            "layer": self.layer.name(),
            "kind": event.kind().name(),
            "outcome": event.outcome().name(),
            "person": event.get_user(),
            "agent": event.get_agent(),
            "behind": event.get_actors(),
            "client": event.get_client(),
            "resource": event.get_resource(),
            "action": event.get_action(),
            "rule": event.get_reason(),
            "why": self.why(),
            "from": self.from,
            "path": self.path.as_ref().map(|path| json!({"tuples": path.tuples, "then": path.then})),
            "trace": event.get_trace(),
        })
    }
}

/// The last part of a long name, as `urn:ietf:params:oauth:grant-type:token-exchange` is called.
fn short(text: &str) -> &str {
    text.strip_prefix("urn:").and_then(|urn| urn.rsplit(':').next()).unwrap_or(text)
}

/// How the steps of a layer went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Steps that were done or allowed.
    pub allowed: usize,
    /// Steps that were refused or failed.
    pub refused: usize,
    /// The last of those that were refused.
    pub last_refused: Option<u64>,
}

impl Explained {
    /// The layers that had a say, in their order.
    #[must_use]
    pub fn layers(&self) -> Vec<(Layer, Tally)> {
        let mut layers = BTreeMap::<Layer, Tally>::new();
        for step in &self.steps {
            let tally = layers.entry(step.layer).or_default();
            match step.event.outcome() {
                Outcome::Done | Outcome::Allowed => tally.allowed += 1,
                Outcome::Refused | Outcome::Failed => {
                    tally.refused += 1;
                    tally.last_refused = Some(step.number);
                }
            }
        }
        layers.into_iter().collect()
    }

    /// The chain as JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        let (kind, id) = self.about.shown();
        let layer = |(layer, tally): (Layer, Tally)| json!({"layer": layer.name(), "allowed": tally.allowed, "refused": tally.refused, "last_refused": tally.last_refused});
        json!({
            "about": {kind: id},
            "steps": self.steps.iter().map(Step::json).collect::<Vec<_>>(),
            "layers": self.layers().into_iter().map(layer).collect::<Vec<_>>(),
            "more": self.more,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_person_has_at_hand_is_known() {
        let id = "01M8FGCCGZHDCXCAP0QBK96D6C";
        assert_eq!(About::read("42"), About::Event(42));
        assert_eq!(About::read(&format!("{id}.Zm9v")), About::Token(format!("{id}.Zm9v")));
        assert_eq!(About::read(id), About::Approval(id.into()));
        assert_eq!(About::read(&format!("approval:{id}")), About::Approval(id.into()));
        for trace in ["01a21f0604d7c64b7fefa4c45925c2ac", "32163216321632163216321632163216", "a.b", "request-7"] {
            assert_eq!(About::read(trace), About::Trace(trace.into()));
        }
    }

    #[test]
    fn urns_are_called_by_their_last_part() {
        assert_eq!(short("urn:ietf:params:oauth:grant-type:token-exchange"), "token-exchange");
        assert_eq!(short("authorization_code"), "authorization_code");
    }
}
