//! Leases: a credential that is good now, lent for one call.
//!
//! What is about to end is refreshed before it does, once however many want it: callers join one flight, and what the flight
//! brings is written only if the record is still the one that it began with, so that a refresh token that was rotated
//! meanwhile is not lost. A provider that takes the refresh token no more makes the credential one to connect again.

use super::answer::{TokenFault, read_answer, reconnect};
use super::asserted::Got;
use super::records::{
    Connection, Credential, CredentialState, HeldCredential, Holder, HolderKind, Provider, Secret, credential, mark,
    opened, store,
};
use super::upstream::{TokenRequest, refresh_request};
use super::{Caller, connections, keys};
use crate::identity::{Answer, Env, ErrorCode, Event, EventKind, Held, Outcome, Refusal, Seconds, Tenant};
use std::sync::Arc;

/// How long before its end a token is refreshed at most, in seconds; of short-lived ones, a quarter of their life.
const AHEAD_MAX_S: Seconds = 300;

/// A credential, lent.
#[derive(Clone, Debug)]
pub(super) struct Lease {
    /// What is shown.
    pub(super) secret: Secret,
    /// Where it comes from.
    pub(super) source: Source,
}

/// Where a credential comes from.
#[derive(Clone, Debug)]
pub(super) enum Source {
    /// Its record, as it was read.
    Kept(Box<HeldCredential>),
    /// An identity assertion. Nobody keeps it.
    Got(Arc<Got>),
}

impl Lease {
    /// What tells its secret from others.
    pub(super) fn stamp(&self) -> &str {
        match &self.source {
            Source::Kept(held) => held.stamp(),
            Source::Got(got) => &got.assertion,
        }
    }

    /// Whether nobody keeps it, and another can be got without anybody's approval.
    pub(super) fn is_renewable(&self) -> bool {
        matches!(&self.source, Source::Got(got) if got.renewable)
    }

    /// Its record, where it has one.
    ///
    /// # Errors
    /// It has none.
    pub(super) fn kept(&self) -> Answer<&HeldCredential> {
        match &self.source {
            Source::Kept(held) => Ok(held),
            Source::Got(_) => Err(Refusal::failed("lease.kind", "a credential that was got is kept by nobody")),
        }
    }

    /// An event with which of them was lent.
    pub(super) fn told(&self, event: Event) -> Event {
        match &self.source {
            Source::Kept(held) => event.detail("generation", held.generation.to_string()),
            Source::Got(got) => event.detail("assertion", &got.assertion),
        }
    }
}

/// Whose credential a call uses.
#[derive(Clone, Debug)]
pub(super) enum Whose {
    /// One that is kept for a person or an agent.
    Kept(Holder),
    /// One that is got for a person and an agent together.
    Both {
        /// The id of the person.
        user: String,
        /// The agent, as a subject.
        agent: String,
    },
}

impl Whose {
    /// As subjects, for the log.
    pub(super) fn subjects(&self) -> String {
        match self {
            Whose::Kept(holder) => holder.subject(),
            Whose::Both { user, agent } => format!("user:{user} {agent}"),
        }
    }
}

/// What becomes of a credential when it is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// It is good.
    Ready,
    /// It is to be refreshed; until that is done it is good, or not.
    Refresh {
        /// Whether it is.
        good: bool,
    },
    /// Its holder has to connect again.
    Reconnect,
}

/// Decides what becomes of a credential.
pub(super) fn decide(credential: &Credential, now: Seconds) -> Use {
    if credential.state != CredentialState::Active {
        return Use::Reconnect;
    }
    let Some(end) = credential.expires_at else { return Use::Ready };
    match (!is_due(credential.issued_at, end, now), credential.refreshable) {
        (true, _) => Use::Ready,
        (false, true) => Use::Refresh { good: now < end },
        (false, false) if now < end => Use::Ready,
        (false, false) => Use::Reconnect,
    }
}

/// Whether a token is to be refreshed by now.
pub(super) fn is_due(issued_at: Seconds, end: Seconds, now: Seconds) -> bool {
    let ahead = (end.saturating_sub(issued_at) / 4).min(AHEAD_MAX_S);
    now.saturating_add(ahead) >= end
}

/// A credential that was looked at.
#[derive(Clone, Debug)]
pub(super) enum Looked {
    Ready(Box<Lease>),
    /// To be refreshed; the lease is what there is until then.
    Refresh(Option<Box<Lease>>),
    /// Its holder has to connect again, which may have been found out just now.
    Broken(bool),
}

/// Whose credential a call through a connection uses.
///
/// # Errors
/// The connection is for people, and the caller acts for none.
pub(super) fn whose(connection: &Connection, caller: &Caller) -> Answer<Whose> {
    let agent = || caller.agent.clone();
    match (connection.spec.holder, &caller.user) {
        (HolderKind::Agent, _) => Ok(Whose::Kept(Holder::Agent(agent()))),
        (HolderKind::User, Some(user)) => Ok(Whose::Kept(Holder::User(user.clone()))),
        (HolderKind::UserAndAgent, Some(user)) => Ok(Whose::Both { user: user.clone(), agent: agent() }),
        (HolderKind::User | HolderKind::UserAndAgent, None) => {
            let text = "this connection uses credentials of people, and the token is of an agent that acts for nobody";
            Err(Refusal::new(ErrorCode::AccessDenied, "credential.user", text))
        }
    }
}

/// Looks at the credential of a holder.
///
/// # Errors
/// There is none, or it does not open.
pub(super) fn look(tenant: &Tenant, connection: &Connection, holder: &Holder, env: &Env<'_>) -> Answer<Looked> {
    let id = &connection.spec.id;
    let held = credential(tenant, id, holder)?.ok_or_else(|| missing(tenant, connection))?;
    let lease = |held: HeldCredential| {
        let secret = opened(tenant, &held)?;
        Ok::<_, Refusal>(Box::new(Lease { secret, source: Source::Kept(Box::new(held)) }))
    };
    match decide(&held, env.seconds()) {
        Use::Ready => Ok(Looked::Ready(lease(held)?)),
        Use::Refresh { good: true } => Ok(Looked::Refresh(Some(lease(held)?))),
        Use::Refresh { good: false } => Ok(Looked::Refresh(None)),
        Use::Reconnect => {
            let news = held.state == CredentialState::Active && break_off(tenant, &held, "expired", env)?;
            Ok(Looked::Broken(news))
        }
    }
}

fn missing(tenant: &Tenant, connection: &Connection) -> Refusal {
    let id = &connection.spec.id;
    let text = match connection.spec.holder {
        HolderKind::User => {
            format!("the person has not connected `{id}`; they can at {}", tenant.url(&format!("/connect/{id}")))
        }
        HolderKind::Agent | HolderKind::UserAndAgent => {
            format!("the agent has no credential for `{id}`; whoever runs this can set one")
        }
    };
    Refusal::new(ErrorCode::AccessDenied, "credential.none", text)
}

/// What a flight has to do.
pub(super) enum Begun {
    /// Somebody else did it.
    Done,
    /// Ask this, and finish with the answer.
    Ask(Box<Flight>, TokenRequest),
}

/// A refresh that is under way.
pub(super) struct Flight {
    connection: Held<Connection>,
    held: HeldCredential,
    secret: Secret,
}

/// Begins a refresh: looks again, because another may have just ended.
///
/// # Errors
/// There is nothing to refresh.
pub(super) fn begin_refresh(tenant: &Tenant, id: &str, holder: &Holder, env: &Env<'_>) -> Answer<Begun> {
    let connection = connections::get(tenant, id)?;
    let held = credential(tenant, id, holder)?.ok_or_else(|| missing(tenant, &connection))?;
    match decide(&held, env.seconds()) {
        Use::Ready => return Ok(Begun::Done),
        Use::Reconnect => return Err(reconnect(id)),
        Use::Refresh { .. } => {}
    }
    let secret = opened(tenant, &held)?;
    let request = refresh_request(&connection.spec.provider, &keys::proof(tenant, &connection)?, &secret, env)?;
    let request = request.ok_or_else(|| reconnect(id))?;
    Ok(Begun::Ask(Box::new(Flight { connection, held, secret }), request))
}

/// Ends a refresh with the answer of the token endpoint. What the record became meanwhile wins.
///
/// # Errors
/// There are no tokens, now or any more.
pub(super) fn finish_refresh(
    tenant: &Tenant,
    flight: &Flight,
    (status, body): (u16, &[u8]),
    env: &Env<'_>,
) -> Answer<Refreshed> {
    let Flight { connection, held, secret } = flight;
    let (id, provider) = (&connection.spec.id, &connection.spec.provider);
    let new = match read_answer(status, body, provider, Some((secret, &held.scopes)), env.seconds()) {
        Ok(new) => new,
        Err(fault) => {
            let broken = fault == TokenFault::Gone && !matches!(provider, Provider::ServiceAccount { .. });
            // If the record changed, the token that was refused is not the one that there is now.
            let broke = broken && break_off(tenant, held, "invalid_grant", env)?;
            if broken && !broke {
                return Ok(Refreshed::Done);
            }
            return if broke { Ok(Refreshed::Broken) } else { Err(fault.refusal(id)) };
        }
    };
    let mut change = tenant.change(env);
    store(tenant, &mut change, (id, &held.holder), Some(held), &new, env)?;
    let event =
        tenant.event(EventKind::VaultStored, Outcome::Done, env).resource(connection.object()).action("refresh");
    change.event(&of_holder(event, &held.holder).detail("generation", (held.generation + 1).to_string()));
    match change.commit() {
        Err(refusal) if !refusal.is_stale() => Err(refusal),
        _ => Ok(Refreshed::Done),
    }
}

/// How a refresh ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refreshed {
    /// There is a credential that is good.
    Done,
    /// Its holder has to connect again, and is to be told.
    Broken,
}

/// Marks a credential as one to connect again. Answers whether it was still the one that was read.
fn break_off(tenant: &Tenant, held: &HeldCredential, why: &'static str, env: &Env<'_>) -> Answer<bool> {
    let mut change = tenant.change(env);
    mark(&mut change, held, CredentialState::ReconnectNeeded { since: env.seconds() }, held.expires_at);
    let event = tenant.event(EventKind::VaultRefused, Outcome::Failed, env);
    let event = event.resource(format!("connection:{}", held.connection)).action("refresh").reason(why);
    change.event(&of_holder(event, &held.holder).detail("state", "reconnect_needed"));
    match change.commit() {
        Ok(_) => Ok(true),
        Err(refusal) if refusal.is_stale() => Ok(false),
        Err(refusal) => Err(refusal),
    }
}

/// The API did not take an access token: the next call refreshes it, if that may help and it is still the one there is.
///
/// # Errors
/// The disk failed.
pub(super) fn not_taken(tenant: &Tenant, held: &HeldCredential, env: &Env<'_>) -> Answer<()> {
    let before = held.expires_at.is_none_or(|end| end > env.seconds());
    // Not for one that was made just now: another would fare no better, and a loop of refreshes would help nobody.
    let settled = env.seconds() >= held.issued_at.saturating_add(5);
    if !held.refreshable || !before || !settled {
        return Ok(());
    }
    let mut change = tenant.change(env);
    mark(&mut change, held, held.state.clone(), Some(env.seconds()));
    match change.commit() {
        Err(refusal) if !refusal.is_stale() => Err(refusal),
        _ => Ok(()),
    }
}

/// The event with the holder in its field.
pub(super) fn of_holder(event: Event, holder: &Holder) -> Event {
    match holder {
        Holder::User(_) => event.user(holder.subject()),
        Holder::Agent(_) => event.agent(holder.subject()),
    }
}
