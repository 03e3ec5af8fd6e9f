//! Grants: what somebody was allowed. Everything that is handed out hangs on one, and dies with any link of its chain.

use super::{
    Answer, Authentication, Change, ClientKind, Env, ErrorCode, Event, EventKind, Held, IDENTITY, Outcome, Refusal,
    Seconds, Stored, Tenant, again,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The longest chain of grants.
pub const GRANT_DEPTH_MAX: usize = 8;
/// Grants of a user that are listed at a time.
pub const GRANTS_PAGE_MAX: usize = 100;
/// Largest authorization details, as JSON.
pub const DETAILS_BYTES_MAX: usize = 32 << 10;
/// The index of the grants of a user: user, client, grant.
const BY_USER: u8 = b'G';

/// Somebody who acts for the subject (RFC 8693 4.1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Actor {
    /// As a subject of the system store, `agent:ID`; only the id stands in tokens. Of another issuer, its `sub`.
    pub subject: String,
    /// The issuer, when it is not ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
}

/// For whom something was allowed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GrantSubject {
    /// A person: the id of a user.
    User(String),
    /// The client itself.
    Client,
}

/// What was allowed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// Its id. It begins every `jti` that hangs on it.
    pub id: String,
    /// By which grant type it came to be, for the log and the account page.
    pub by: String,
    /// For whom.
    pub subject: GrantSubject,
    /// To which client.
    pub client: String,
    /// What the client is.
    pub client_kind: ClientKind,
    /// Who acts, the one who acts now first. Empty when the person uses the client themselves.
    #[serde(default)]
    pub actors: Vec<Actor>,
    /// The scopes.
    pub scopes: Vec<String>,
    /// The identifiers of the resources. Empty: the issuer's own endpoints alone.
    pub resources: Vec<String>,
    /// The details (RFC 9396).
    #[serde(default)]
    pub details: Vec<Value>,
    /// Whether the person saw the details on the page of consent and allowed them.
    #[serde(default)]
    pub details_allowed: bool,
    /// How the person was authenticated.
    #[serde(default)]
    pub authentication: Option<Authentication>,
    /// The `nonce` of the request, for the first ID token.
    #[serde(default)]
    pub nonce: Option<String>,
    /// When it was made.
    pub created_at: Seconds,
    /// When it is over.
    pub expires_at: Seconds,
    /// The grant from which it was made.
    #[serde(default)]
    pub parent: Option<String>,
    /// The id of the token of the parent from which it was made: that one is revoked by itself ends this too.
    #[serde(default)]
    pub parent_token: Option<String>,
    /// The session from which it was made.
    #[serde(default)]
    pub session: Option<String>,
    /// Whether it may outlive the session's times (`offline_access`). That the session is ended ends it even so.
    #[serde(default)]
    pub offline: bool,
    /// The consent on which it rests, when one was asked for.
    #[serde(default)]
    pub consent: Option<String>,
    /// The managed connections through which it was had. When one gives it no more, it is void.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub through: Vec<Passage>,
    /// The epoch of the user when it was made.
    #[serde(default)]
    pub epoch: u32,
    /// The thumbprint of the key to which its refresh tokens are bound (RFC 9449 5).
    #[serde(default)]
    pub jkt: Option<String>,
    /// The thumbprint of the certificate to which they are (RFC 8705 4).
    #[serde(default)]
    pub x5t: Option<String>,
    /// Its refresh tokens, when it has any.
    #[serde(default)]
    pub refresh: Option<Refresh>,
    /// When it was revoked.
    #[serde(default)]
    pub revoked_at: Option<Seconds>,
}

/// What a grant has of a managed connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Passage {
    /// The id of the connection.
    pub connection: String,
    /// The scopes that the client had for the asking.
    pub automatic: Vec<String>,
    /// Those that somebody approved.
    pub approved: Vec<String>,
}

/// Where the refresh tokens of a grant stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refresh {
    /// The generation that is good. Those before it were used.
    pub generation: u32,
    /// When it was made.
    pub rotated_at: Seconds,
}

impl Stored for Grant {
    const SORT: u8 = b'g';
    const WHAT: &'static str = "grant";
}

impl Grant {
    /// The user, when it is for a person.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        match &self.subject {
            GrantSubject::User(id) => Some(id),
            GrantSubject::Client => None,
        }
    }

    /// `sub` in its tokens.
    #[must_use]
    pub fn sub(&self) -> &str {
        self.user().unwrap_or(&self.client)
    }

    /// The client as a subject: `app:ID` or `agent:ID`.
    #[must_use]
    pub fn client_subject(&self) -> String {
        format!("{}:{}", self.client_kind.object_type(), self.client)
    }

    /// Whether it has a scope.
    #[must_use]
    pub fn has_scope(&self, scope: &str) -> bool {
        self.scopes.iter().any(|has| has == scope)
    }

    /// Whether it is neither revoked nor over, nor of the future. Its chain has a say too: [`Tenant::living`].
    #[must_use]
    pub fn is_live(&self, now: Seconds) -> bool {
        self.revoked_at.is_none() && now < self.expires_at
    }
}

/// What is wanted of a grant. `None` is all that there is.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Scopes.
    pub scopes: Option<Vec<String>>,
    /// Resources.
    pub resources: Option<Vec<String>>,
    /// Details; each must be one of the parent's.
    pub details: Option<Vec<Value>>,
    /// Until when, at the latest.
    pub until: Option<Seconds>,
}

/// A part of a grant.
#[derive(Clone, Debug, PartialEq)]
pub struct Narrowed {
    /// Scopes.
    pub scopes: Vec<String>,
    /// Resources.
    pub resources: Vec<String>,
    /// Details.
    pub details: Vec<Value>,
    /// Until when.
    pub until: Seconds,
}

/// What a child of a grant may be: a part of it, in every way. The one place where something is made from something else.
///
/// # Errors
/// More is wanted than there is; the rule says of what.
pub fn narrow(parent: &Grant, wanted: &Wanted) -> Answer<Narrowed> {
    fn part<T: Clone + PartialEq>(has: &[T], wants: Option<&Vec<T>>, refuse: impl Fn() -> Refusal) -> Answer<Vec<T>> {
        match wants {
            None => Ok(has.to_vec()),
            Some(wants) if wants.iter().all(|want| has.contains(want)) => Ok(wants.clone()),
            Some(_) => Err(refuse()),
        }
    }
    let refusal = |error, rule, what: &str| {
        Refusal::new(error, rule, format!("more {what} are asked for than were granted; ask for a part of those"))
    };
    let scopes =
        part(&parent.scopes, wanted.scopes.as_ref(), || refusal(ErrorCode::InvalidScope, "narrow.scopes", "scopes"))?;
    let resources = part(&parent.resources, wanted.resources.as_ref(), || {
        refusal(ErrorCode::InvalidTarget, "narrow.resources", "resources")
    })?;
    let details = part(&parent.details, wanted.details.as_ref(), || {
        refusal(ErrorCode::InvalidAuthorizationDetails, "narrow.details", "authorization details")
    })?;
    Ok(Narrowed { scopes, resources, details, until: wanted.until.unwrap_or(Seconds::MAX).min(parent.expires_at) })
}

/// The chain of those who act, the one who acts now first, as an audit event has it: the agent, and those behind it.
#[must_use]
pub fn with_actors(mut event: Event, actors: &[Actor]) -> Event {
    if let Some((first, behind)) = actors.split_first() {
        event = event.agent(&first.subject);
        for actor in behind {
            event = event.actor(&actor.subject);
        }
    }
    event
}

impl Tenant {
    /// Adds a new grant to a change, with its event.
    ///
    /// # Errors
    /// Its details are too large.
    pub fn add_grant(&self, change: &mut Change<'_>, grant: &Grant, env: &Env<'_>) -> Answer<()> {
        if serde_json::to_vec(&grant.details).map_or(usize::MAX, |json| json.len()) > DETAILS_BYTES_MAX {
            let text = format!("authorization details have at most {DETAILS_BYTES_MAX} bytes");
            return Err(Refusal::new(ErrorCode::InvalidAuthorizationDetails, "details.size", text));
        }
        change.create(&[&grant.id], grant);
        change.expires::<Grant>(&[&grant.id], grant.expires_at, None);
        if let Some(user) = grant.user() {
            let parts = [user, &grant.client, &grant.id];
            change.mark_until(IDENTITY, BY_USER, &parts, grant.expires_at, None);
        }
        change.event(&self.event_of(grant, EventKind::GrantCreated, Outcome::Allowed, env));
        Ok(())
    }

    /// Begins an event about a grant: who, for whom, and what.
    #[must_use]
    pub fn event_of(&self, grant: &Grant, kind: EventKind, outcome: Outcome, env: &Env<'_>) -> Event {
        let mut event = self.event(kind, outcome, env).client(grant.client_subject()).grant(&grant.id);
        if let Some(user) = grant.user() {
            event = event.user(format!("user:{user}"));
        }
        if let Some(session) = &grant.session {
            event = event.session(session);
        }
        if let Some(resource) = grant.resources.first() {
            event = event.resource(resource);
        }
        event = event.action(grant.scopes.join(" ")).detail("by", &grant.by);
        if let Some(parent) = &grant.parent {
            event = event.detail("parent", parent);
        }
        with_actors(event, &grant.actors)
    }

    /// A grant, live or not.
    ///
    /// # Errors
    /// There is none.
    pub fn grant(&self, id: &str) -> Answer<Held<Grant>> {
        if ulid::Ulid::from_string(id).is_err() {
            return Err(Refusal::not_found(Grant::WHAT));
        }
        self.held(&[id])
    }

    /// Grants for a user to a client, oldest first, behind the id `after`.
    ///
    /// # Errors
    /// The disk failed.
    pub fn grants_of(&self, user: &str, client: &str, after: Option<&str>) -> Answer<Vec<Held<Grant>>> {
        let ids = self.marks(IDENTITY, BY_USER, &[user, client], after, GRANTS_PAGE_MAX)?;
        let mut grants = Vec::with_capacity(ids.len());
        for id in ids {
            grants.extend(self.get::<Grant>(&[&id])?);
        }
        Ok(grants)
    }

    /// Revokes a grant, and with it all that hangs on it. That it is revoked already is no error.
    ///
    /// # Errors
    /// There is none.
    pub fn revoke_grant(&self, id: &str, reason: &str, env: &Env<'_>) -> Answer<()> {
        again(|| {
            let held = self.grant(id)?;
            if held.revoked_at.is_some() {
                return Ok(());
            }
            let mut change = self.change(env);
            self.revoke_in(&mut change, &held, reason, env);
            change.commit()?;
            Ok(())
        })
    }

    /// Revokes a grant within a change.
    pub fn revoke_in(&self, change: &mut Change<'_>, held: &Held<Grant>, reason: &str, env: &Env<'_>) {
        change.replace(held, &Grant { revoked_at: Some(env.seconds()), ..held.value.clone() });
        change.event(&self.event_of(held, EventKind::GrantRevoked, Outcome::Done, env).reason(reason));
    }
}
