//! The one judgement of a token now. Introspection, userinfo, exchange, administration and the proxy all ask it.
//!
//! A token is good when its signature, type, issuer, audience and times are, neither its id nor that of a token from which it
//! was made is revoked, every grant up to the root is neither revoked nor over, the session lives, the consent was not taken back, and the person, the client and all
//! who act are active by Check at this moment; and every managed connection by which one of them was had would still give it.

use super::claims::{Claims, TokenKind};
use super::{
    Actor, Answer, Authentication, Change, Client, Env, ErrorCode, GRANT_DEPTH_MAX, Grant, Held, Narrowed, Outcome,
    Refusal, Seconds, Session, Stored, Tenant, User, Wanted, connection_scope_object, narrow, refresh,
};
use crate::engine::{Decision, View};
use crate::tuple::Revision;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// A token that was revoked before its end.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RevokedToken {
    at: Seconds,
}

impl Stored for RevokedToken {
    const SORT: u8 = b'j';
    const WHAT: &'static str = "revoked token";
}

/// A grant that lives, with all above it.
#[derive(Clone, Debug)]
pub struct Chain {
    // INVARIANT: not empty; each is the parent of the one before it; the last has none.
    grants: Vec<Held<Grant>>,
    client: Held<Client>,
    revision: Revision,
}

impl Chain {
    /// The grants, the root last.
    #[must_use]
    pub fn grants(&self) -> &[Held<Grant>] {
        &self.grants
    }

    /// The client to which the first was given.
    #[must_use]
    pub fn client(&self) -> &Held<Client> {
        &self.client
    }

    /// When the first of them is over.
    #[must_use]
    pub fn ends(&self) -> Seconds {
        self.grants.iter().map(|grant| grant.expires_at).min().unwrap_or(0)
    }

    /// At which revision the Checks were answered.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// Makes a change rest on it: if one of the grants changes meanwhile, nothing is written.
    pub fn expect(&self, change: &mut Change<'_>) {
        self.grants.iter().for_each(|grant| change.expect(grant));
    }
}

/// A token that is good now, and what it is good for.
#[derive(Clone, Debug)]
pub struct Examined {
    /// What it is.
    pub kind: TokenKind,
    /// The grant on which it hangs.
    pub grant: Grant,
    /// The scopes of the token, which are a part of the grant's. An ID token has none.
    pub scopes: Vec<String>,
    /// The resources of the token, by their identifiers; a part of the grant's.
    pub resources: Vec<String>,
    /// What stands in `aud`.
    pub audience: Vec<String>,
    /// The id of the token; empty for a refresh token.
    pub jti: String,
    /// When it was made.
    pub issued_at: Seconds,
    /// The thumbprint of the key that must be proved with it (`cnf.jkt`). Who takes the token must see the proof.
    pub jkt: Option<String>,
    /// The thumbprint of the certificate that must be shown with it (`cnf.x5t#S256`); see [`Examined::must_be_held`].
    pub x5t: Option<String>,
    /// The claims that the tenant added.
    pub custom: Map<String, Value>,
    details: Vec<Value>,
    expires_at: Seconds,
    chain: Chain,
}

impl Examined {
    /// When it is no longer good: its own end, or that of what it hangs on.
    #[must_use]
    pub fn ends(&self) -> Seconds {
        self.expires_at.min(self.chain.ends())
    }

    /// Refuses a token that is bound to another certificate than whoever shows it has shown (RFC 8705 3). Whoever is shown a
    /// token by another than its holder, as introspection is, has nothing to ask here.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidToken`].
    pub fn must_be_held(&self, env: &Env<'_>) -> Answer<()> {
        if !env.shows(self.x5t.as_deref()) {
            let text = "this token is bound to a certificate; show it where `mtls_endpoint_aliases` of the metadata says, \
                        with that certificate (RFC 8705 3)";
            return Err(Refusal::new(ErrorCode::InvalidToken, "token.certificate", text));
        }
        Ok(())
    }

    /// Who administers the tenant with it, as a subject: an administrator by Check, with a token of their own, which has one of
    /// the scopes. The first is named when it has none. `rules` are named when the scope is missing, and when Check says no.
    ///
    /// # Errors
    /// Nobody does, or it could not be decided.
    pub fn administrator(&self, tenant: &Tenant, scopes: [&str; 2], rules: [&'static str; 2]) -> Answer<String> {
        let ([scope, other], [no_scope, not_allowed]) = (scopes, rules);
        if !self.has_scope(scope) && !self.has_scope(other) {
            let text = format!("this takes a token with the scope `{scope}`");
            return Err(Refusal::new(ErrorCode::InsufficientScope, no_scope, text));
        }
        let by = self.grant.user().map_or_else(|| self.client().subject(), |user| format!("user:{user}"));
        let delegated = !self.grant.actors.is_empty() && self.grant.user().is_some();
        if delegated || tenant.check(&by, "admin", &tenant.object())? != Decision::Allow {
            let text = "this takes an administrator of the tenant, with a token of their own";
            return Err(Refusal::new(ErrorCode::AccessDenied, not_allowed, text));
        }
        Ok(by)
    }

    /// Its authorization details (RFC 9396).
    #[must_use]
    pub fn details(&self) -> &[Value] {
        &self.details
    }

    /// The chain of grants.
    #[must_use]
    pub fn chain(&self) -> &Chain {
        &self.chain
    }

    /// The client to which it was given.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.chain.client
    }

    /// How the person was authenticated.
    #[must_use]
    pub fn authentication(&self) -> Option<&Authentication> {
        self.grant.authentication.as_ref()
    }

    /// Whether it has a scope.
    #[must_use]
    pub fn has_scope(&self, scope: &str) -> bool {
        self.scopes.iter().any(|has| has == scope)
    }

    /// What something made from this token may be: a part of the token, and so of its grant.
    ///
    /// # Errors
    /// More is wanted than it has, or the chain is [`GRANT_DEPTH_MAX`] long.
    pub fn narrow(&self, wanted: &Wanted) -> Answer<Narrowed> {
        if self.chain.grants.len() >= GRANT_DEPTH_MAX {
            let text = format!("this was passed on {GRANT_DEPTH_MAX} times, which is the most");
            return Err(Refusal::new(ErrorCode::InvalidRequest, "grant.depth", text));
        }
        let own = Grant {
            scopes: self.scopes.clone(),
            resources: self.resources.clone(),
            details: self.details.clone(),
            expires_at: self.ends(),
            ..self.grant.clone()
        };
        narrow(&own, wanted)
    }

    /// The grant that is made from this token for a client: what [`Examined::narrow`] gave, for the same person, with the
    /// same authentication. Who acts now comes first of `actors`. It has no refresh tokens.
    #[must_use]
    pub fn child(&self, by: &str, client: &Client, actors: Vec<Actor>, narrowed: Narrowed, env: &Env<'_>) -> Grant {
        Grant {
            id: env.id(),
            by: by.to_owned(),
            subject: self.grant.subject.clone(),
            client: client.id.clone(),
            client_kind: client.kind,
            actors,
            scopes: narrowed.scopes,
            resources: narrowed.resources,
            details: narrowed.details,
            details_allowed: false,
            authentication: self.grant.authentication.clone(),
            nonce: None,
            created_at: env.seconds(),
            expires_at: narrowed.until,
            parent: Some(self.grant.id.clone()),
            parent_token: Some(self.jti.clone()).filter(|jti| !jti.is_empty()),
            session: self.grant.session.clone(),
            offline: self.grant.offline,
            consent: None, // the parent's is looked at through the chain
            through: Vec::new(),
            epoch: self.grant.epoch,
            jkt: None,
            x5t: None,
            refresh: None,
            revoked_at: None,
        }
    }
}

/// All whose activity a grant needs, as subjects.
fn who_acts(grant: &Grant) -> Vec<String> {
    let mut who = vec![grant.client_subject()];
    who.extend(grant.user().map(|user| format!("user:{user}")));
    who.extend(grant.actors.iter().filter(|actor| actor.issuer.is_none()).map(|actor| actor.subject.clone()));
    who
}

fn dead(rule: &'static str, text: &str) -> Refusal {
    Refusal::new(ErrorCode::InvalidGrant, rule, text)
}

/// The same refusal of what was shown as a token.
fn of_token(refusal: Refusal) -> Refusal {
    let same = refusal.clone();
    refusal.instead_of(ErrorCode::InvalidGrant, || Refusal { error: ErrorCode::InvalidToken, ..same })
}

impl Tenant {
    /// Judges a token of ours: what is shown as `kind` must be that and nothing else. With an audience, it must be for that.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidToken`], with the rule that refused; or the judgement failed.
    pub fn examine(&self, token: &str, kind: TokenKind, audience: Option<&str>, env: &Env<'_>) -> Answer<Examined> {
        if kind == TokenKind::Refresh {
            return self.examine_refresh(token, env);
        }
        let refuse = |rule, text: &str| Refusal::new(ErrorCode::InvalidToken, rule, text);
        let verified = self.keys()?.verify(token, env.seconds())?;
        let typ = verified.header.get("typ").and_then(Value::as_str).unwrap_or_default();
        if TokenKind::of_typ(typ) != Some(kind) {
            return Err(refuse("token.typ", "this is a token of another type; show the right one"));
        }
        let claims: Claims = serde_json::from_value(Value::Object(verified.claims))
            .map_err(|error| Refusal::failed("token.claims", error.to_string()))?;
        let now = env.seconds();
        if claims.iss != self.issuer() {
            return Err(refuse("token.issuer", "this token is of another issuer"));
        }
        if now >= claims.exp {
            return Err(refuse("token.expired", "this token has expired; get another"));
        }
        if audience.is_some_and(|wanted| !claims.aud.0.iter().any(|aud| aud == wanted)) {
            return Err(refuse("token.audience", "this token is not for this audience"));
        }
        if self.get::<RevokedToken>(&[&claims.jti])?.is_some() {
            return Err(refuse("token.revoked", "this token was revoked"));
        }
        let grant = claims.jti.split_once('.').map_or("", |(grant, _)| grant);
        let chain = self.living(grant, env).map_err(of_token)?;
        let grant = chain.grants.first().map(|held| held.value.clone());
        let grant = grant.ok_or_else(|| refuse("grant.missing", "what this token hangs on is gone"))?;
        let resources = claims.aud.0.iter().filter(|aud| grant.resources.contains(aud)).cloned().collect();
        let bound = claims.cnf.unwrap_or_default();
        Ok(Examined {
            kind,
            scopes: claims.scope.unwrap_or_default().split(' ').filter(|s| !s.is_empty()).map(str::to_owned).collect(),
            resources,
            audience: claims.aud.0,
            jti: claims.jti,
            issued_at: claims.iat,
            jkt: bound.jkt,
            x5t: bound.x5t,
            custom: claims.profile,
            details: claims.authorization_details,
            expires_at: claims.exp,
            grant,
            chain,
        })
    }

    /// Judges a refresh token without using it.
    fn examine_refresh(&self, token: &str, env: &Env<'_>) -> Answer<Examined> {
        let presented = refresh::read(&*self.keys()?, token).map_err(of_token)?;
        let chain = self.living(&presented.grant, env).map_err(of_token)?;
        let grant = chain.grants.first().map(|held| held.value.clone());
        let good = grant.filter(|grant| grant.refresh.is_some_and(|state| state.generation == presented.generation));
        let grant = good.ok_or_else(|| {
            Refusal::new(ErrorCode::InvalidToken, "refresh.used", "this refresh token was used; show the newest")
        })?;
        Ok(Examined {
            kind: TokenKind::Refresh,
            scopes: grant.scopes.clone(),
            resources: grant.resources.clone(),
            audience: vec![self.issuer().to_owned()],
            jti: String::new(),
            issued_at: grant.refresh.map_or(grant.created_at, |state| state.rotated_at),
            jkt: grant.jkt.clone(),
            x5t: grant.x5t.clone(),
            custom: Map::new(),
            details: grant.details.clone(),
            expires_at: grant.expires_at,
            grant,
            chain,
        })
    }

    /// The chain of a grant that is good now.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidGrant`], with the rule that a link breaks.
    pub fn living(&self, grant: &str, env: &Env<'_>) -> Answer<Chain> {
        let mut grants: Vec<Held<Grant>> = Vec::new();
        let mut next = Some(grant.to_owned());
        while let Some(id) = next {
            if grants.len() == GRANT_DEPTH_MAX {
                return Err(dead("grant.depth", "what this hangs on was passed on too often"));
            }
            let missing = || dead("grant.missing", "what this hangs on is gone");
            let held = self.grant(&id).map_err(|refusal| refusal.instead_of(ErrorCode::NotFound, missing))?;
            next = held.parent.clone();
            grants.push(held);
        }
        let view = self.view()?;
        let mut acting = BTreeSet::new();
        for grant in &grants {
            self.link_lives(grant, env)?;
            acting.extend(who_acts(grant));
        }
        for subject in acting {
            self.must_be_active(&view, &subject)?;
        }
        for grant in &grants {
            self.passages_hold(&view, grant)?;
        }
        let client = match grants.first() {
            Some(first) => self.client_of(first)?,
            None => return Err(dead("grant.missing", "what this hangs on is gone")),
        };
        Ok(Chain { grants, client, revision: view.revision() })
    }

    fn client_of(&self, grant: &Grant) -> Answer<Held<Client>> {
        let gone = || dead("client.gone", "the client is gone");
        self.client(&grant.client).map_err(|refusal| refusal.instead_of(ErrorCode::NotFound, gone))
    }

    pub(super) fn must_be_active(&self, view: &View, subject: &str) -> Answer<()> {
        if super::check(view, subject, "active", &self.object())? == Decision::Allow {
            return Ok(());
        }
        let rule = match subject.split_once(':').map(|(kind, _)| kind) {
            Some("user") => "user.inactive",
            Some("agent") => "agent.inactive",
            _ => "client.inactive",
        };
        Err(dead(rule, "who this is for, or who acts, may do nothing for now").because(subject))
    }

    /// Whether the managed connections through which a grant was had would still give it: they are the client's to use, and
    /// the classes of the scopes have not become stricter than what was asked when it was made.
    fn passages_hold(&self, view: &View, grant: &Grant) -> Answer<()> {
        let subject = grant.client_subject();
        let may = |relation: &str, object: &str| -> Answer<bool> {
            Ok(super::check(view, &subject, relation, object)? == Decision::Allow)
        };
        for passage in &grant.through {
            if !may("usable", &format!("connection:{}", passage.connection))? {
                let text = "the connection by which this was had is gone, or is not for this client any more";
                return Err(dead("connection.gone", text).because(&passage.connection));
            }
            let of = |scope: &String| connection_scope_object(&passage.connection, scope);
            for scope in &passage.automatic {
                if !may("granted", &of(scope))? {
                    let text = "a scope of this is not had for the asking any more; ask anew";
                    return Err(dead("connection.class", text).because(scope));
                }
            }
            for scope in &passage.approved {
                if !may("requestable", &of(scope))? && !may("granted", &of(scope))? {
                    let text = "a scope of this is not to be had any more; ask anew";
                    return Err(dead("connection.class", text).because(scope));
                }
            }
        }
        Ok(())
    }

    /// A link by itself: its times, its session, its consent, the epoch of its user.
    fn link_lives(&self, grant: &Grant, env: &Env<'_>) -> Answer<()> {
        let now = env.seconds();
        if grant.revoked_at.is_some() {
            return Err(dead("grant.revoked", "this was revoked"));
        }
        if let Some(token) = &grant.parent_token
            && self.get::<RevokedToken>(&[token])?.is_some()
        {
            return Err(dead("token.revoked", "the token from which this was made was revoked"));
        }
        if now >= grant.expires_at {
            return Err(dead("grant.over", "the time for which this was allowed is over"));
        }
        if let Some(id) = &grant.session {
            let session = self.get::<Session>(&[id])?;
            let lives = |s: &Session| s.ended_at.is_none() && (grant.offline || s.is_live(now));
            if !session.is_some_and(|session| lives(&session)) {
                return Err(dead("session.over", "the session is over; sign in again"));
            }
        }
        let Some(user) = grant.user() else { return Ok(()) };
        let held = self.get::<User>(&[user])?;
        if !held.is_some_and(|held| held.deleted_at.is_none() && held.epoch == grant.epoch) {
            return Err(dead("user.signed_out", "the person was signed out everywhere, or is gone"));
        }
        if let Some(consent) = &grant.consent
            && self.consent(user, &grant.client)?.is_none_or(|held| held.id != *consent)
        {
            return Err(dead("consent.withdrawn", "the person has taken back what they allowed"));
        }
        Ok(())
    }

    /// Revokes one access token before its end (RFC 7009), and leaves its grant.
    ///
    /// # Errors
    /// The disk failed.
    pub fn revoke_token(&self, examined: &Examined, env: &Env<'_>) -> Answer<()> {
        let mut change = self.change(env);
        change.put(&[&examined.jti], &RevokedToken { at: env.seconds() });
        change.expires::<RevokedToken>(&[&examined.jti], examined.expires_at, None);
        let event = self.event_of(&examined.grant, super::EventKind::TokenRevoked, Outcome::Done, env);
        change.event(&event.token(&examined.jti));
        change.commit()?;
        Ok(())
    }
}
