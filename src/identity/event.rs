//! Audit events: what happened, by which person and which agent, and how it was decided.
//!
//! An event is a record that the writer numbers, in the same write as the change that it tells of: neither exists without
//! the other, and events have the order of the log. Its bytes are canonical, because they are what the audit's tree hashes.
//!
//! An event names things by their ids and never holds a secret: there is no field for one, every text is short, and what
//! has the form of a token is left out even so. A text that is too long (a caller may send any) is cut and not refused: an
//! event that could be kept away by a long name would be no evidence.

use crate::engine::{Module, RecordChange};
use crate::tuple::{Revision, Timestamp};
use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;

/// The module whose records events are. `modules/audit` keeps its own there too.
pub const AUDIT: Module = Module::new("audit");
/// Longest event in bytes.
pub const EVENT_BYTES_MAX: usize = 40 << 10;
/// Longest text of an event in bytes. Longer ones are cut.
pub const EVENT_TEXT_BYTES_MAX: usize = 512;
/// Most agents in a chain that acts for somebody. Of a longer one the last stands for those behind.
pub const ACTORS_MAX: usize = 8;
/// Most details.
pub const DETAILS_MAX: usize = 16;
/// Longest name of a detail.
const DETAIL_NAME_BYTES_MAX: usize = 32;
/// Longest value of a detail.
const DETAIL_BYTES_MAX: usize = 256;
/// Texts besides actors and details.
const TEXTS: usize = 12;
/// What stands around a text in JSON, and the fields that are not texts: from above.
const AROUND: usize = 24;
// A text has no control character, so that JSON at most doubles it.
const _: () = assert!(
    2 * (TEXTS + ACTORS_MAX) * (EVENT_TEXT_BYTES_MAX + AROUND)
        + 2 * DETAILS_MAX * (DETAIL_NAME_BYTES_MAX + DETAIL_BYTES_MAX + AROUND)
        <= EVENT_BYTES_MAX,
    "no event is too long to be written"
);
// C2SP tlog-tiles: an entry's length is a u16.
const _: () = assert!(EVENT_BYTES_MAX + 12 <= 0xffff, "every event with its place fits a bundle of entries");

/// Who acts with a command on this machine, as events name it: nobody knows which person that is.
pub const MACHINE: &str = "machine";

/// What stands where a token was.
const REMOVED: &str = "[removed]";

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $name:literal,)+) => {
        /// What happened. The names are on disk and in exports: never change one.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum EventKind {
            $($(#[$doc])* #[serde(rename = $name)] $kind,)+
        }

        impl EventKind {
            /// All there are.
            pub const ALL: &[EventKind] = &[$(EventKind::$kind),+];

            /// The name, as `token.issued`.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(EventKind::$kind => $name,)+
                }
            }
        }
    };
}

kinds! {
    /// A token was handed out.
    TokenIssued = "token.issued",
    /// A token was asked for in vain.
    TokenRefused = "token.refused",
    /// A token was made invalid.
    TokenRevoked = "token.revoked",
    /// What may be used once was used again.
    TokenReplayed = "token.replayed",
    /// Somebody allowed something.
    GrantCreated = "grant.created",
    /// Something is no longer allowed.
    GrantRevoked = "grant.revoked",
    /// A token was exchanged for another.
    ExchangeAllowed = "exchange.allowed",
    /// An exchange was refused.
    ExchangeRefused = "exchange.refused",
    /// Somebody logged in.
    SessionStarted = "session.started",
    /// A session ended, by its owner or otherwise.
    SessionEnded = "session.ended",
    /// A client was told that a session ended, or could not be.
    LogoutTold = "logout.told",
    /// Another system asked that all be revoked that a person has here.
    RevocationAsked = "revocation.asked",
    /// Another system was told to revoke all that a person has there, or could not be.
    RevocationTold = "revocation.told",
    /// A login failed.
    LoginFailed = "login.failed",
    /// A way to log in was added to a user.
    CredentialAdded = "credential.added",
    /// A way to log in was taken away.
    CredentialRemoved = "credential.removed",
    /// A person is told of what waits for them in one more browser.
    DeviceAdded = "device.added",
    /// A person is told in a browser no longer.
    DeviceRemoved = "device.removed",
    /// A user was created.
    UserCreated = "user.created",
    /// A user was changed.
    UserChanged = "user.changed",
    /// A user may do nothing for now.
    UserSuspended = "user.suspended",
    /// A suspended user may act again.
    UserResumed = "user.resumed",
    /// A user is gone.
    UserDeleted = "user.deleted",
    /// A client did not show that it is the one whose name it gave.
    ClientRefused = "client.refused",
    /// A client was created.
    ClientCreated = "client.created",
    /// A client was changed.
    ClientChanged = "client.changed",
    /// A client is gone.
    ClientDeleted = "client.deleted",
    /// An agent was registered.
    AgentRegistered = "agent.registered",
    /// An agent, its owner or its mandate was changed.
    AgentChanged = "agent.changed",
    /// An agent may do nothing for now.
    AgentSuspended = "agent.suspended",
    /// A suspended agent may act again.
    AgentResumed = "agent.resumed",
    /// An agent is gone.
    AgentRetired = "agent.retired",
    /// Nobody answers for an agent any more; who operates it was told.
    AgentOrphaned = "agent.orphaned",
    /// A tenant was created.
    TenantCreated = "tenant.created",
    /// A tenant was changed.
    TenantChanged = "tenant.changed",
    /// Nobody of a tenant may do anything for now.
    TenantSuspended = "tenant.suspended",
    /// A suspended tenant is back.
    TenantResumed = "tenant.resumed",
    /// A key was made.
    KeyCreated = "key.created",
    /// A newer key took the place of one.
    KeyRotated = "key.rotated",
    /// A key is no longer used.
    KeyRetired = "key.retired",
    /// A connection to another server was made.
    ConnectionCreated = "connection.created",
    /// A connection was taken away.
    ConnectionRemoved = "connection.removed",
    /// A credential was put into the vault.
    VaultStored = "vault.stored",
    /// A credential was lent.
    VaultLeased = "vault.leased",
    /// A credential was asked for in vain.
    VaultRefused = "vault.refused",
    /// A credential was taken out of the vault.
    VaultRemoved = "vault.removed",
    /// A call went through the proxy.
    ProxyCalled = "proxy.called",
    /// What became of a call is not known: the process ended before it did.
    ProxyLost = "proxy.lost",
    /// A call was not let through.
    ProxyRefused = "proxy.refused",
    /// What an agent said passed the output filter.
    OutputFiltered = "output.filtered",
    /// Somebody was asked to approve.
    ApprovalAsked = "approval.asked",
    /// An approval was given or denied.
    ApprovalDecided = "approval.decided",
    /// Nobody decided in time.
    ApprovalExpired = "approval.expired",
    /// A question whether somebody may was decided.
    CheckDecided = "check.decided",
    /// Something stood out.
    FindingRaised = "finding.raised",
    /// A policy or a model was changed.
    PolicyChanged = "policy.changed",
    /// Somebody was given a role.
    RoleGiven = "role.given",
    /// A role was taken from somebody.
    RoleTaken = "role.taken",
    /// Something else was administered.
    AdminChanged = "admin.changed",
    /// Events were put under a legal hold.
    AuditHeld = "audit.held",
    /// A legal hold was lifted.
    AuditReleased = "audit.released",
    /// Events that are older than is wanted were dropped.
    AuditDropped = "audit.dropped",
    /// Events were exported.
    AuditExported = "audit.exported",
    /// How long events are kept, or who witnesses, was changed.
    AuditChanged = "audit.changed",
}

impl EventKind {
    /// The kind of a name.
    #[must_use]
    pub fn of(name: &str) -> Option<EventKind> {
        EventKind::ALL.iter().copied().find(|kind| kind.name() == name)
    }
}

/// How it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was done.
    Done,
    /// It was decided that they may.
    Allowed,
    /// It was decided that they may not.
    Refused,
    /// It could not be done.
    Failed,
}

impl Outcome {
    /// The name, as it is stored.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Done => "done",
            Outcome::Allowed => "allowed",
            Outcome::Refused => "refused",
            Outcome::Failed => "failed",
        }
    }
}

/// Why bytes are no event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// Over [`EVENT_BYTES_MAX`].
    #[error("the event has {0} bytes; {EVENT_BYTES_MAX} are the most")]
    Long(usize),
    /// Not of the form.
    #[error("this is no event: {0}")]
    Form(String),
    /// The same event, written in another way: what is hashed is the one way.
    #[error("the event is not written as events are; its fields, their order and its numbers have one form")]
    Spelling,
}

/// Something that happened. Made with [`Event::new`] and the methods that add to it; read with [`Event::read`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    tenant: u32,
    #[serde(serialize_with = "write_time", deserialize_with = "read_time")]
    at: Timestamp,
    kind: EventKind,
    outcome: Outcome,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    agent: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    actors: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    client: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    resource: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    action: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    session: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    grant: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    revision: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trace: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    details: BTreeMap<String, String>,
}

macro_rules! texts {
    ($($(#[$doc:meta])* $field:ident, $get:ident;)+) => {
        impl Event {
            $(
                $(#[$doc])*
                #[must_use]
                pub fn $field(mut self, text: impl AsRef<str>) -> Event {
                    self.$field = Some(clean(text.as_ref(), EVENT_TEXT_BYTES_MAX));
                    self
                }

                $(#[$doc])*
                #[must_use]
                pub fn $get(&self) -> Option<&str> {
                    self.$field.as_deref()
                }
            )+

            /// Its texts besides actors and details.
            fn texts(&self) -> impl Iterator<Item = &String> {
                [$(&self.$field),+].into_iter().flatten()
            }
        }
    };
}

texts! {
    /// The person, as a subject: `user:sarah`.
    user, get_user;
    /// The agent that acted, as a subject: `agent:sales`.
    agent, get_agent;
    /// The client, as a subject: `app:crm`.
    client, get_client;
    /// What it is about: an object, a URL, the id of what was changed.
    resource, get_resource;
    /// What was to be done with it: a relation, a scope, a method.
    action, get_action;
    /// Which rule decided, or what failed: a short word that does not change.
    reason, get_reason;
    /// The id of the session.
    session, get_session;
    /// The id of the grant.
    grant, get_grant;
    /// The id of the token (`jti`); never the token.
    token, get_token;
    /// What ties events and requests of one cause together: a correlation id, a trace id.
    trace, get_trace;
    /// The network address of the caller.
    address, get_address;
}

impl Event {
    /// An event of a tenant.
    #[must_use]
    pub fn new(tenant: u32, kind: EventKind, outcome: Outcome, at: Timestamp) -> Event {
        Event {
            tenant,
            at,
            kind,
            outcome,
            user: None,
            agent: None,
            actors: Vec::new(),
            client: None,
            resource: None,
            action: None,
            reason: None,
            session: None,
            grant: None,
            token: None,
            revision: None,
            trace: None,
            address: None,
            details: BTreeMap::new(),
        }
    }

    /// What became of what this tells of: by the same, about the same, for the same cause.
    #[must_use]
    pub fn followed_by(&self, kind: EventKind, outcome: Outcome, at: Timestamp) -> Event {
        Event { kind, outcome, at, reason: None, ..self.clone() }
    }

    /// Adds one of the chain of agents behind the one that acted, the nearest first. Past [`ACTORS_MAX`] the last says how
    /// the chain ends.
    #[must_use]
    pub fn actor(mut self, subject: impl AsRef<str>) -> Event {
        if self.actors.len() == ACTORS_MAX {
            self.actors.pop();
        }
        self.actors.push(clean(subject.as_ref(), EVENT_TEXT_BYTES_MAX));
        self
    }

    /// The revision at which it was decided.
    #[must_use]
    pub fn revision(mut self, revision: Revision) -> Event {
        self.revision = Some(revision.0);
        self
    }

    /// Adds something short that no other field has. Past [`DETAILS_MAX`] it is left out: an event says what matters in its
    /// fields.
    #[must_use]
    pub fn detail(mut self, name: &'static str, value: impl AsRef<str>) -> Event {
        if self.details.len() < DETAILS_MAX || self.details.contains_key(name) {
            self.details.insert(clean(name, DETAIL_NAME_BYTES_MAX), clean(value.as_ref(), DETAIL_BYTES_MAX));
        }
        self
    }

    /// The number of the tenant.
    #[must_use]
    pub fn tenant(&self) -> u32 {
        self.tenant
    }

    /// When it happened.
    #[must_use]
    pub fn at(&self) -> Timestamp {
        self.at
    }

    /// The same, with who administers: the person, or a detail when it is about another one. Who is named already is not
    /// named twice.
    #[must_use]
    pub(super) fn administered_by(self, by: &str) -> Event {
        let named = [self.user.as_deref(), self.agent.as_deref(), self.done_by()];
        if named.contains(&Some(by)) {
            return self;
        }
        if self.user.is_none() { self.user(by) } else { self.detail("by", by) }
    }

    /// Who did it, where that is another than whom it is about: a subject, or [`MACHINE`]. The detail `by` of other events says
    /// how it was done, and not by whom.
    #[must_use]
    pub fn done_by(&self) -> Option<&str> {
        let by = self.details.get("by").map(String::as_str)?;
        let subject = ["user:", "agent:", "app:"].iter().any(|kind| by.starts_with(kind));
        (subject || by == MACHINE).then_some(by)
    }

    /// Whom it is about, and who did it: persons, and what acts as itself in the place of one.
    pub fn persons(&self) -> impl Iterator<Item = &str> {
        self.get_user().into_iter().chain(self.done_by())
    }

    /// The agents that acted, the nearest first, and one that administered as itself.
    pub fn agents(&self) -> impl Iterator<Item = &str> {
        let chain = self.get_agent().into_iter().chain(self.actors.iter().map(String::as_str));
        chain.chain(self.persons().filter(|person| person.starts_with("agent:")))
    }

    /// What happened.
    #[must_use]
    pub fn kind(&self) -> EventKind {
        self.kind
    }

    /// How it went.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// The chain of agents behind the one that acted, the nearest first.
    #[must_use]
    pub fn get_actors(&self) -> &[String] {
        &self.actors
    }

    /// The revision at which it was decided.
    #[must_use]
    pub fn get_revision(&self) -> Option<Revision> {
        self.revision.map(Revision)
    }

    /// What no other field has.
    #[must_use]
    pub fn details(&self) -> &BTreeMap<String, String> {
        &self.details
    }

    /// The bytes that are stored and hashed: JSON without spaces, fields in one order, those without a value left out.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default() // texts and numbers alone: it has no way to fail
    }

    /// Reads the bytes of an event.
    ///
    /// # Errors
    /// They are not exactly those that [`Event::bytes`] gives.
    pub fn read(bytes: &[u8]) -> Result<Event, EventError> {
        if bytes.len() > EVENT_BYTES_MAX {
            return Err(EventError::Long(bytes.len()));
        }
        let event: Event = serde_json::from_slice(bytes).map_err(|error| EventError::Form(error.to_string()))?;
        if event.bytes() != bytes || !event.is_bounded() {
            return Err(EventError::Spelling);
        }
        Ok(event)
    }

    /// The change that writes it: add it to the write that it tells of. The writer gives it its place in the log.
    #[must_use]
    pub fn change(&self) -> RecordChange {
        RecordChange { module: AUDIT, key: audit_key(self.tenant, b'e'), value: Some(self.bytes()), appended: true }
    }

    fn is_bounded(&self) -> bool {
        let good = |text: &String, max| *text == clean(text, max);
        self.actors.len() <= ACTORS_MAX
            && self.details.len() <= DETAILS_MAX
            && self.texts().chain(&self.actors).all(|text| good(text, EVENT_TEXT_BYTES_MAX))
            && self.details.iter().all(|(n, v)| good(n, DETAIL_NAME_BYTES_MAX) && good(v, DETAIL_BYTES_MAX))
    }
}

/// Where a tenant's records of one sort begin within [`AUDIT`]: its number, and the sort. Events are `e`.
#[must_use]
pub fn audit_key(tenant: u32, sort: u8) -> Vec<u8> {
    super::record_key(tenant, sort, &[])
}

/// The text as events hold it: without control characters, cut when it is too long, and without what looks like a token.
fn clean(text: &str, bytes_max: usize) -> String {
    const CUT: &str = "\u{2026}";
    if is_token(text) {
        return REMOVED.to_owned();
    }
    let mut clean = String::with_capacity(text.len().min(bytes_max));
    for c in text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }) {
        if clean.len() + c.len_utf8() > bytes_max {
            while clean.len() + CUT.len() > bytes_max {
                clean.pop();
            }
            clean.push_str(CUT);
            break;
        }
        clean.push(c);
    }
    clean
}

/// Whether a text is, or has within it, a JWT: three parts of base64url with dots between them, a JSON object first.
fn is_token(text: &str) -> bool {
    let part = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let mut words = text.split(|c: char| !part(c));
    words.any(|word| word.starts_with("eyJ") && word.matches('.').count() >= 2)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn write_time<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    let time = DateTime::<Utc>::from_timestamp_nanos(at.0);
    serializer.serialize_str(&time.to_rfc3339_opts(SecondsFormat::Nanos, true))
}

fn read_time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    let text = String::deserialize(deserializer)?;
    let time = DateTime::parse_from_rfc3339(&text).map_err(serde::de::Error::custom)?;
    time.timestamp_nanos_opt().map(Timestamp).ok_or_else(|| serde::de::Error::custom("the time is out of range"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const AT: Timestamp = Timestamp(1_700_000_000_000_000_001);

    fn event() -> Event {
        Event::new(7, EventKind::ExchangeRefused, Outcome::Refused, AT)
    }

    #[test]
    fn the_bytes_of_an_event_are_these() {
        let event = event()
            .user("user:sarah")
            .agent("agent:sales")
            .actor("agent:planner")
            .client("app:crm")
            .resource("https://api.example/")
            .action("read")
            .reason("narrow.scope")
            .session("s1")
            .grant("g1")
            .token("t1")
            .revision(Revision(42))
            .trace("00-1")
            .address("192.0.2.1")
            .detail("scope", "a \"b\"")
            .detail("asked", "c");
        let bytes = r#"{"tenant":7,"at":"2023-11-14T22:13:20.000000001Z","kind":"exchange.refused","outcome":"refused","user":"user:sarah","agent":"agent:sales","actors":["agent:planner"],"client":"app:crm","resource":"https://api.example/","action":"read","reason":"narrow.scope","session":"s1","grant":"g1","token":"t1","revision":42,"trace":"00-1","address":"192.0.2.1","details":{"asked":"c","scope":"a \"b\""}}"#;
        assert_eq!(String::from_utf8(event.bytes()).unwrap(), bytes);
        assert_eq!(Event::read(bytes.as_bytes()).unwrap(), event);
        let change = event.change();
        assert_eq!((change.key.as_slice(), change.appended), (&[0, 0, 0, 7, b'e'][..], true));
        assert_eq!(change.module, AUDIT);
    }

    #[test]
    fn an_event_has_one_form() {
        let bytes = String::from_utf8(event().user("a").bytes()).unwrap();
        let others = [
            bytes.replacen(',', ", ", 1),
            bytes.replace("000000001Z", "000000001+00:00"),
            bytes.replace(r#""user":"a""#, r#""user":"\u0061""#),
            bytes.replace(r#""user":"a""#, r#""user":"\n""#),
            bytes.replace(r#","user":"a""#, r#","user":"a","agent":null"#),
            bytes.replace(r#""tenant":7,"#, "").replace('}', r#","tenant":7}"#),
            bytes.replace(r#""user":"a""#, &format!(r#""user":"{}""#, "a".repeat(EVENT_TEXT_BYTES_MAX + 1))),
        ];
        for other in others {
            assert_eq!(Event::read(other.as_bytes()), Err(EventError::Spelling), "{other}");
        }
        let unknown = Event::read(bytes.replace("user", "usher").as_bytes()).unwrap_err().to_string();
        assert!(unknown.contains("unknown field `usher`"), "{unknown}");
        assert!(Event::read(&vec![b' '; EVENT_BYTES_MAX + 1]).unwrap_err().to_string().contains("bytes"));
    }

    #[test]
    fn what_is_too_long_is_cut_and_what_is_secret_is_left_out() {
        let cut = event().user("é".repeat(400));
        let user = cut.get_user().unwrap();
        assert!(user.len() <= EVENT_TEXT_BYTES_MAX && user.ends_with("é\u{2026}"), "{user}");
        assert_eq!(event().user("a\0b\n").get_user(), Some("a\u{fffd}b\u{fffd}"));
        let token = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln";
        for text in [token.to_owned(), format!("Bearer {token}"), format!("https://a/?token={token}&b")] {
            assert_eq!(event().resource(&text).get_resource(), Some(REMOVED));
            assert_eq!(event().detail("x", &text).details()["x"], REMOVED);
        }
        let mut full = event();
        for _ in 0..20 {
            full = full.actor("\"".repeat(1_000));
        }
        const NAMES: [&str; 20] =
            ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q", "r", "s", "t"];
        for name in NAMES {
            full = full.detail(name, "\\".repeat(1_000));
        }
        let long = "\"".repeat(1_000);
        let full = full.user(&long).agent(&long).client(&long).resource(&long).action(&long).reason(&long);
        let full = full.session(&long).grant(&long).token(&long).trace(&long).address(&long);
        assert_eq!((full.get_actors().len(), full.details().len()), (ACTORS_MAX, DETAILS_MAX));
        assert!(full.bytes().len() <= EVENT_BYTES_MAX, "{}", full.bytes().len());
        assert_eq!(Event::read(&full.bytes()).unwrap(), full);
    }

    #[test]
    fn an_event_says_whom_it_is_about_and_who_did_it() {
        let persons = |event: &Event| event.persons().map(str::to_owned).collect::<Vec<_>>().join(" ");
        let about = event().user("user:sarah");
        assert_eq!(persons(&event().administered_by("user:olga")), "user:olga");
        assert_eq!(persons(&about.clone().administered_by("user:olga")), "user:sarah user:olga");
        assert_eq!(persons(&about.clone().administered_by("user:sarah")), "user:sarah");
        assert_eq!(persons(&about.clone().administered_by(MACHINE)), "user:sarah machine");
        let agent = event().agent("agent:a").actor("agent:b");
        assert_eq!(persons(&agent.clone().administered_by("agent:a")), "");
        let administered = agent.user("user:sarah").administered_by("agent:c");
        assert_eq!(administered.agents().collect::<Vec<_>>(), ["agent:a", "agent:b", "agent:c"]);
        // How it was done is nobody.
        assert_eq!(about.clone().detail("by", "authorization_code").done_by(), None);
        assert_eq!(about.detail("by", "urn:ietf:params:oauth:grant-type:jwt-bearer").done_by(), None);
    }

    #[test]
    fn names_of_kinds_are_one_each() {
        let mut names: Vec<&str> = EventKind::ALL.iter().map(|kind| kind.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), EventKind::ALL.len());
        for kind in EventKind::ALL {
            assert_eq!(EventKind::of(kind.name()), Some(*kind));
            assert_eq!(serde_json::to_string(kind).unwrap(), format!("\"{}\"", kind.name()));
        }
        assert_eq!(EventKind::of("token"), None);
    }

    #[test]
    fn the_documentation_names_every_kind() {
        let docs = include_str!("../../docs/audit.md");
        for kind in EventKind::ALL {
            assert!(docs.contains(&format!("`{}`", kind.name())), "add `{}` to docs/audit.md", kind.name());
        }
    }

    proptest! {
        #[test]
        fn whatever_is_said_reads_as_it_was_written(text in any::<String>(), other in "\\PC*", at in any::<i64>()) {
            let event = Event::new(1, EventKind::LoginFailed, Outcome::Failed, Timestamp(at))
                .user(&text).agent(&other).actor(&text).detail("said", &other);
            prop_assert_eq!(Event::read(&event.bytes()).unwrap(), event);
        }
    }
}
