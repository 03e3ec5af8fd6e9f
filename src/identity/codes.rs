//! Authorization codes: what a person's decision makes, and a client redeems once.

use super::{
    Actor, Answer, AuthRequest, Caller, ClientKind, ConsentRule, Env, ErrorCode, EventKind, Form, Grant, GrantSubject,
    GrantType, Held, Need, Outcome, Refresh, Refusal, Seconds, Session, Stored, Tenant, TokenAnswer, Wanted, again,
    hash_of, same,
};
use serde::{Deserialize, Serialize};

/// A code as it is kept: under the hash of its text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Code {
    grant: String,
    client: String,
    /// The redirect URI, when the request had one.
    redirect_uri: Option<String>,
    challenge: String,
    dpop_jkt: Option<String>,
    expires_at: Seconds,
    used_at: Option<Seconds>,
}

impl Stored for Code {
    const SORT: u8 = b'd';
    const WHAT: &'static str = "authorization code";
}

/// What a person decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decided {
    /// Nothing was asked: [`Tenant::needs`] said [`Need::Nothing`].
    NotAsked,
    /// They allow it: all scopes, or some of them.
    Allowed {
        /// `None` for all.
        scopes: Option<Vec<String>>,
    },
    /// They do not.
    Denied,
}

impl Tenant {
    /// Answers a request with what a person decided: makes the grant and the code, in one write, and answers where the
    /// browser goes (RFC 6749 4.1.2, RFC 9207).
    ///
    /// # Errors
    /// The person must first do what [`Tenant::needs`] says; may do nothing now; or it is answered already.
    pub fn complete(
        &self,
        request: &Held<AuthRequest>,
        session: &Held<Session>,
        decided: &Decided,
        env: &Env<'_>,
    ) -> Answer<String> {
        again(|| self.try_complete(request, session, decided, env))
    }

    fn try_complete(
        &self,
        request: &Held<AuthRequest>,
        session: &Held<Session>,
        decided: &Decided,
        env: &Env<'_>,
    ) -> Answer<String> {
        if *decided == Decided::Denied {
            return self.refuse_request(&request.id, ErrorCode::AccessDenied, "the person did not allow it", env);
        }
        let request = self.request(&request.id, env)?;
        let session = self.held::<Session>(&[&session.id])?;
        let need = self.needs(&request, Some(&session), env)?;
        let asked = matches!(decided, Decided::Allowed { .. });
        if need != Need::Nothing && !(need == Need::Consent && asked) {
            let text = "the person has to sign in or to decide first";
            return Err(
                Refusal::new(ErrorCode::InteractionRequired, "request.needs", text).because(format!("{need:?}"))
            );
        }
        let client = self.client(&request.client)?;
        let user = self.user(&session.user)?;
        let view = self.view()?;
        self.must_be_active(&view, &client.subject())?;
        self.must_be_active(&view, &user.subject())?;
        if user.epoch != session.epoch {
            return Err(Refusal::new(ErrorCode::LoginRequired, "session.over", "the session is over; sign in again"));
        }
        let scopes = match decided {
            Decided::Allowed { scopes: Some(some) } => {
                request.scopes.iter().filter(|s| some.contains(s)).cloned().collect()
            }
            Decided::Allowed { scopes: None } | Decided::NotAsked | Decided::Denied => request.scopes.clone(),
        };
        let mut change = self.change(env);
        change.expect(&user);
        let mut grant = self.grant_of(&request, &session, &client, scopes, env);
        grant.details_allowed = asked && !grant.details.is_empty();
        if client.consent == ConsentRule::Ask {
            let what = (grant.scopes.as_slice(), grant.resources.as_slice());
            grant.consent = Some(self.give_consent(&mut change, &user.id, &client, what, env)?);
        }
        let code = env.secret();
        let record = Code {
            grant: grant.id.clone(),
            client: client.id.clone(),
            redirect_uri: request.redirect_uri_given.then(|| request.redirect_uri.clone()),
            challenge: request.challenge.clone(),
            dpop_jkt: request.dpop_jkt.clone(),
            expires_at: env.seconds().saturating_add(self.settings().code_s),
            used_at: None,
        };
        self.answered(&mut change, &request)?;
        self.keep_session(&mut change, &session, grant.expires_at);
        self.add_grant(&mut change, &grant, env)?;
        change.create(&[&hash_of(&code)], &record);
        // Kept as long as what it made, so that a replay revokes it.
        change.expires::<Code>(&[&hash_of(&code)], grant.expires_at, None);
        change.commit()?;
        request.redirect(self.issuer(), &[("code", &code)])
    }

    fn grant_of(
        &self,
        request: &AuthRequest,
        session: &Session,
        client: &super::Client,
        mut scopes: Vec<String>,
        env: &Env<'_>,
    ) -> Grant {
        let refreshes = client.may_use("refresh_token");
        scopes.retain(|scope| refreshes || scope != "offline_access");
        let offline = scopes.iter().any(|scope| scope == "offline_access");
        let now = env.seconds();
        let acts = client.kind == ClientKind::Agent;
        Grant {
            id: env.id(),
            by: CodeGrant.name().to_owned(),
            subject: GrantSubject::User(session.user.clone()),
            client: client.id.clone(),
            client_kind: client.kind,
            actors: acts.then(|| Actor { subject: client.subject(), issuer: None }).into_iter().collect(),
            scopes,
            resources: request.resources.clone(),
            details: request.details.clone(),
            details_allowed: false,
            authentication: Some(session.authentication.clone()),
            nonce: request.nonce.clone(),
            created_at: now,
            expires_at: if offline { now.saturating_add(self.settings().offline_s) } else { session.ends_at },
            parent: None,
            parent_token: None,
            session: Some(session.id.clone()),
            offline,
            consent: None,
            through: Vec::new(),
            epoch: session.epoch,
            jkt: None,
            x5t: None,
            refresh: refreshes.then_some(Refresh { generation: 0, rotated_at: now }),
            revoked_at: None,
        }
    }

    /// Redeems a code (RFC 6749 4.1.3, RFC 7636 4.6). A code that was used revokes what it made (RFC 9700 2.1.1).
    fn redeem_code(&self, caller: &Caller, form: &Form, env: &Env<'_>) -> Answer<TokenAnswer> {
        let refuse = |rule, text: &str| Refusal::new(ErrorCode::InvalidGrant, rule, text);
        let (text, verifier) = (form.need("code")?, form.get("code_verifier").unwrap_or_default());
        let held = self.get::<Code>(&[&hash_of(text)])?;
        let held = held.ok_or_else(|| refuse("code.unknown", "this authorization code is unknown"))?;
        if held.client != caller.client.id {
            return Err(refuse("code.client", "this authorization code was given to another client"));
        }
        if held.used_at.is_some() {
            return Err(self.replayed(&held, env));
        }
        if env.seconds() >= held.expires_at {
            return Err(refuse("code.expired", "this authorization code is too old; start again"));
        }
        if held.redirect_uri.is_some() && held.redirect_uri.as_deref() != form.get("redirect_uri") {
            return Err(refuse("code.redirect_uri", "`redirect_uri` is not that of the request"));
        }
        if !is_verifier(verifier) || !same(&hash_of(verifier), &held.challenge) {
            return Err(refuse("code.pkce", "`code_verifier` does not fit the challenge of the request"));
        }
        if held.dpop_jkt.is_some() && held.dpop_jkt != caller.jkt {
            return Err(refuse("code.dpop", "this authorization code is bound to another key"));
        }
        let chain = self.living(&held.grant, env)?;
        let leaf = chain.grants().first().ok_or_else(|| refuse("grant.missing", "what this hangs on is gone"))?;
        let mut grant = leaf.value.clone();
        // A public client's refresh tokens are bound to its key and its certificate (RFC 9449 5, RFC 8705 4).
        grant.jkt = caller.jkt.clone().filter(|_| caller.client.is_public());
        grant.x5t = caller.client.bound_to(env)?.filter(|_| caller.client.is_public());
        let wanted = Wanted { resources: form.resources(), details: form.details()?, ..Wanted::default() };
        let mut change = self.change(env);
        change.replace(&held, &Code { used_at: Some(env.seconds()), ..held.value.clone() });
        chain.expect(&mut change);
        if grant != leaf.value {
            change.replace(leaf, &grant);
        }
        let answer = self.issue(&mut change, caller, &grant, &wanted, env)?;
        change.commit()?;
        Ok(answer)
    }

    /// Revokes what a code made that is shown again, and answers the refusal.
    fn replayed(&self, held: &Held<Code>, env: &Env<'_>) -> Refusal {
        let revoke = || {
            let grant = self.grant(&held.grant)?;
            let mut change = self.change(env);
            if grant.revoked_at.is_none() {
                self.revoke_in(&mut change, &grant, "code.replayed", env);
            }
            let event = self.event_of(&grant, EventKind::TokenReplayed, Outcome::Refused, env);
            change.event(&event.reason("code.replayed"));
            change.commit()
        };
        let told = || {
            let text = "this authorization code was used before; what it gave is revoked";
            Refusal::new(ErrorCode::InvalidGrant, "code.replayed", text)
        };
        match revoke() {
            Ok(_) => told(),
            Err(refusal) => refusal.instead_of(ErrorCode::NotFound, told),
        }
    }
}

/// Verifiers are 43 to 128 unreserved characters (RFC 7636 4.1).
fn is_verifier(text: &str) -> bool {
    let fine = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    (43..=128).contains(&text.len()) && text.bytes().all(fine)
}

/// `authorization_code`
pub struct CodeGrant;

impl GrantType for CodeGrant {
    fn name(&self) -> &'static str {
        "authorization_code"
    }

    fn redeem(&self, tenant: &Tenant, caller: &Caller, form: &Form, env: &Env<'_>) -> Answer<TokenAnswer> {
        again(|| tenant.redeem_code(caller, form, env))
    }
}

/// `refresh_token`
pub struct RefreshGrant;

impl GrantType for RefreshGrant {
    fn name(&self) -> &'static str {
        "refresh_token"
    }

    fn redeem(&self, tenant: &Tenant, caller: &Caller, form: &Form, env: &Env<'_>) -> Answer<TokenAnswer> {
        let scopes = form.get("scope").map(super::scopes_of).transpose()?;
        let wanted = Wanted { scopes, resources: form.resources(), details: form.details()?, until: None };
        tenant.refresh(caller, form.need("refresh_token")?, &wanted, env)
    }
}

/// `client_credentials`: a client for itself, never for a person.
pub struct ClientCredentialsGrant;

impl GrantType for ClientCredentialsGrant {
    fn name(&self) -> &'static str {
        "client_credentials"
    }

    fn redeem(&self, tenant: &Tenant, caller: &Caller, form: &Form, env: &Env<'_>) -> Answer<TokenAnswer> {
        let client = &caller.client;
        if client.is_public() {
            let text = "a client that cannot show who it is cannot act for itself";
            return Err(Refusal::new(ErrorCode::UnauthorizedClient, "client.public", text));
        }
        let (scopes, resources) = tenant.allowed(client, form.get("scope"), form.resources())?;
        if scopes.iter().any(|scope| super::OPENID_SCOPES.contains(&scope.as_str())) {
            let text = "scopes of OpenID Connect are of a person; there is none here";
            return Err(Refusal::new(ErrorCode::InvalidScope, "scope.person", text));
        }
        let details = form.details()?.unwrap_or_default();
        tenant.details_alone(client, &details)?;
        let now = env.seconds();
        let grant = Grant {
            id: env.id(),
            by: self.name().to_owned(),
            subject: GrantSubject::Client,
            client: client.id.clone(),
            client_kind: client.kind,
            actors: Vec::new(),
            scopes,
            resources,
            details,
            details_allowed: false,
            authentication: None,
            nonce: None,
            created_at: now,
            expires_at: now.saturating_add(tenant.settings().access_token_s),
            parent: None,
            parent_token: None,
            session: None,
            offline: false,
            consent: None,
            through: Vec::new(),
            epoch: 0,
            jkt: None,
            x5t: None,
            refresh: None,
            revoked_at: None,
        };
        let mut change = tenant.change(env);
        tenant.add_grant(&mut change, &grant, env)?;
        let answer = tenant.issue(&mut change, caller, &grant, &Wanted::default(), env)?;
        change.commit()?;
        Ok(answer)
    }
}
