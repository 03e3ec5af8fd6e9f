//! Whose token is exchanged, who exchanges it, and whether they may.

use super::act;
use crate::engine::{Decision, View};
use crate::identity::{
    Actor, Answer, Caller, Client, Env, ErrorCode, Event, EventKind, Examined, Grant, Narrowed, Outcome, Refusal,
    Seconds, Tenant, TokenKind, Wanted, check, decode, narrow, with_actors,
};
use serde_json::{Map, Value};

/// What is known of a request when it is refused: for its event.
#[derive(Default)]
pub(super) struct Seen {
    user: Option<String>,
    actors: Vec<Actor>,
    session: Option<String>,
    grant: Option<String>,
    target: Option<String>,
    scopes: Vec<String>,
    issuer: Option<String>,
}

impl Seen {
    /// What is asked for, and where.
    pub(super) fn asked(&mut self, target: Option<&String>, scopes: Option<&Vec<String>>) {
        self.target = target.cloned();
        self.scopes = scopes.cloned().unwrap_or_default();
    }

    /// From what it is asked.
    pub(super) fn subject(&mut self, grant: &Grant) {
        self.user = grant.user().map(|user| format!("user:{user}"));
        self.actors.clone_from(&grant.actors);
        self.session.clone_from(&grant.session);
        self.grant = Some(grant.id.clone());
    }

    /// By which issuer it is asserted, of whom.
    pub(super) fn assertion(&mut self, issuer: &str, actors: &[Actor]) {
        self.issuer = Some(issuer.to_owned());
        self.actors = actors.to_vec();
    }

    /// For whom it is, when that is known later.
    pub(super) fn user(&mut self, user: &str) {
        self.user = Some(format!("user:{user}"));
    }

    fn event(&self, tenant: &Tenant, client: &Client, refusal: &Refusal, env: &Env<'_>) -> Event {
        let outcome = if refusal.error == ErrorCode::ServerError { Outcome::Failed } else { Outcome::Refused };
        let mut event = tenant.event(EventKind::ExchangeRefused, outcome, env);
        event = event.client(client.subject()).action(self.scopes.join(" ")).reason(refusal.rule);
        if let Some(user) = &self.user {
            event = event.user(user);
        }
        if let Some(session) = &self.session {
            event = event.session(session);
        }
        if let Some(grant) = &self.grant {
            event = event.grant(grant);
        }
        if let Some(target) = &self.target {
            event = event.resource(target);
        }
        if let Some(issuer) = &self.issuer {
            event = event.detail("issuer", issuer);
        }
        if let Some(cause) = &refusal.cause {
            event = event.detail("cause", cause);
        }
        let chain = act::taken_on(client, &self.actors).unwrap_or_else(|_| self.actors.clone());
        with_actors(event, &chain)
    }
}

/// Does something for a client, and notes it when it is refused.
///
/// # Errors
/// It is refused; or that could not be noted, and then the answer says nothing else.
pub(super) fn noted<T>(
    tenant: &Tenant,
    client: &Client,
    env: &Env<'_>,
    act: impl FnOnce(&mut Seen) -> Answer<T>,
) -> Answer<T> {
    let mut seen = Seen::default();
    let refusal = match act(&mut seen) {
        Ok(answer) => return Ok(answer),
        Err(refusal) => refusal,
    };
    if refusal.error == ErrorCode::TooManyRequests {
        return Err(refusal); // noted where it is counted, once in a while
    }
    let mut change = tenant.change(env);
    change.event(&seen.event(tenant, client, &refusal, env));
    change.commit()?;
    Err(refusal)
}

fn refuse(rule: &'static str, text: &str) -> Refusal {
    Refusal::new(ErrorCode::InvalidRequest, rule, text)
}

/// The judgement of a token that is shown; that it is not good makes the request invalid (RFC 8693 2.2.2).
#[expect(clippy::wildcard_enum_match_arm, reason = "what is not named stays as it is")]
fn examined(tenant: &Tenant, caller: &Caller, token: &str, kind: TokenKind, env: &Env<'_>) -> Answer<Examined> {
    let examined = tenant.examine_shown(caller, token, kind, env).map_err(|refusal| match refusal.error {
        ErrorCode::InvalidToken | ErrorCode::InvalidGrant => Refusal { error: ErrorCode::InvalidRequest, ..refusal },
        _ => refusal,
    })?;
    let of_request = |refusal: Refusal| Refusal { error: ErrorCode::InvalidRequest, ..refusal };
    examined.must_be_held(env).map_err(of_request)?;
    if examined.jkt.is_some() && examined.jkt != caller.jkt {
        let text = "this token is bound to a key; send a `DPoP` proof of that key with the request (RFC 9449)";
        return Err(Refusal::new(ErrorCode::InvalidDpopProof, "exchange.dpop", text));
    }
    Ok(examined)
}

/// The claims of a token whose signature was verified.
fn claims(token: &str) -> Map<String, Value> {
    let body = token.split('.').nth(1).and_then(decode);
    body.and_then(|body| serde_json::from_slice(&body).ok()).unwrap_or_default()
}

/// The subject token, when this client may exchange it.
///
/// It may when the token was given to it; when the token names it (`may_act`, which then is the whole truth); when it is the
/// resource server that the token is for; or when the client that has the token may hand it to this one, which is a Check
/// (`delegate`).
pub(super) fn subject(
    tenant: &Tenant,
    caller: &Caller,
    (token, kind): (&str, TokenKind),
    seen: &mut Seen,
    env: &Env<'_>,
) -> Answer<Examined> {
    let examined = examined(tenant, caller, token, kind, env)?;
    seen.subject(&examined.grant);
    let own = examined.client().id == caller.client.id;
    if kind != TokenKind::Access {
        let for_it = kind != TokenKind::Id || examined.audience == [caller.client.id.as_str()];
        if own && for_it {
            return Ok(examined);
        }
        return Err(refuse("exchange.subject_client", "this token was given to another client"));
    }
    let named = claims(token).remove("may_act");
    if named.as_ref().is_some_and(|named| !act::may_act(named, caller, tenant.issuer())) {
        return Err(refuse("exchange.may_act", "this token says who may act with it, and that is another"));
    }
    if !own && examined.grant.user().is_none() {
        let text = "a token that a client has for itself is for that client alone";
        return Err(refuse("exchange.alone", text));
    }
    if !own && named.is_none() && !may_take_on(&tenant.view()?, caller, &examined)? {
        let text = "this token was given to another client, which may not hand it to this one";
        return Err(refuse("exchange.subject_client", text));
    }
    Ok(examined)
}

fn may_take_on(view: &View, caller: &Caller, examined: &Examined) -> Answer<bool> {
    if examined.resources.iter().any(|resource| caller.client.serves.contains(resource)) {
        return Ok(true);
    }
    let decision = check(view, &caller.client.subject(), "delegate", &examined.client().subject())?;
    Ok(decision == Decision::Allow)
}

/// Judges an actor token: it must be the client's own, for itself. Answers until when it is good.
pub(super) fn actor(tenant: &Tenant, caller: &Caller, token: &str, env: &Env<'_>) -> Answer<Seconds> {
    let examined = examined(tenant, caller, token, TokenKind::Access, env)?;
    if examined.grant.user().is_some() {
        let text = "`actor_token` is a token of a person; who acts is the client, so send its own token or none";
        return Err(refuse("exchange.actor_user", text));
    }
    if examined.client().id != caller.client.id {
        return Err(refuse("exchange.actor_client", "`actor_token` is a token of another client"));
    }
    Ok(examined.ends())
}

/// A part of a subject token. An ID token has no scopes and no resources: it stands for the grant with which it came.
pub(super) fn part_of(examined: &Examined, wanted: &Wanted) -> Answer<Narrowed> {
    if examined.kind != TokenKind::Id {
        return examined.narrow(wanted);
    }
    examined.narrow(&Wanted::default())?; // how often it was passed on
    narrow(&Grant { expires_at: examined.ends(), ..examined.grant.clone() }, wanted)
}
