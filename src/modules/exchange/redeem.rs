//! Identity assertions of another domain: this tenant as the authorization server that takes them
//! (draft-ietf-oauth-identity-assertion-authz-grant-04, 6; RFC 7523 2.1 and 3; RFC 8725).

use super::act::{self, chain_of};
use super::idjag::ID_JAG_TYP;
use super::records::{EXCHANGE, GRANTS_OF_ISSUER, IssuerKeys, Replay, TrustedIssuer, Used};
use super::subject::{Seen, noted};
use super::trust::trusted_issuer;
use super::{mapping, metadata};
use crate::identity::{
    ACR_VALUES, Actor, Answer, Authentication, Caller, Confirmation, Env, ErrorCode, EventKind, Form, Grant,
    GrantSubject, GrantType, Held, KeySource, Outcome, Refusal, SCOPES_MAX, SKEW_S, Seconds, Tenant, TokenAnswer, User,
    Verified, Wanted, acr_satisfies, again, check_times, hash_of, scopes_of, unverified_claim, unverified_header,
    verify_with,
};
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// The grant type (RFC 7523 2.1).
pub const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// Longest `jti`, `sub` and `amr`, in bytes.
const TEXT_BYTES_MAX: usize = 256;
/// The class of an authentication of which no class is said (OpenID Connect Core 2): it does where none is asked.
const ACR_NONE: &str = "0";
/// Most ways of authentication that are carried over.
const AMR_MAX: usize = 8;

/// See the file's head.
pub struct IdentityAssertion {
    keys: Arc<dyn KeySource>,
}

impl IdentityAssertion {
    /// The grant type, with where the keys of issuers come from. Those of tenants of this process need no source.
    #[must_use]
    pub fn new(keys: Arc<dyn KeySource>) -> IdentityAssertion {
        IdentityAssertion { keys }
    }
}

impl GrantType for IdentityAssertion {
    fn name(&self) -> &'static str {
        JWT_BEARER
    }

    fn describe(&self, _: &Tenant, metadata: &mut Map<String, Value>) {
        metadata.insert(metadata::PROFILES.to_owned(), json!([metadata::ID_JAG_PROFILE]));
    }

    fn redeem(&self, tenant: &Tenant, caller: &Caller, form: &Form, env: &Env<'_>) -> Answer<TokenAnswer> {
        let attempt = Attempt { tenant, caller, keys: &*self.keys, env };
        noted(tenant, &caller.client, env, |seen| again(|| attempt.run(form, seen)))
    }
}

/// One request.
struct Attempt<'a> {
    tenant: &'a Tenant,
    caller: &'a Caller,
    keys: &'a dyn KeySource,
    env: &'a Env<'a>,
}

/// An assertion that is good.
struct Asserted {
    row: Held<TrustedIssuer>,
    claims: Verified,
    jti: String,
    expires_at: Seconds,
    actors: Vec<Actor>,
}

fn refuse(rule: &'static str, text: &str) -> Refusal {
    Refusal::new(ErrorCode::InvalidGrant, rule, text)
}

/// Whatever is wrong with an assertion, its code is one (RFC 7521 4.1.1).
fn of_grant(refusal: Refusal) -> Refusal {
    if refusal.error == ErrorCode::InvalidToken {
        return Refusal { error: ErrorCode::InvalidGrant, ..refusal };
    }
    refusal
}

impl Attempt<'_> {
    fn run(&self, form: &Form, seen: &mut Seen) -> Answer<TokenAnswer> {
        self.caller.must_be_confidential()?;
        let assertion = form.need("assertion")?;
        let asked = form.get("scope").map(scopes_of).transpose()?;
        let targets = form.resources();
        seen.asked(targets.as_ref().and_then(|targets| targets.first()), asked.as_ref());
        if form.get("authorization_details").is_some() {
            let text = "`authorization_details` cannot be had with an identity assertion";
            return Err(Refusal::new(ErrorCode::InvalidAuthorizationDetails, "redeem.details", text));
        }
        let asserted = self.judge(assertion, seen)?;
        let user = mapping::user(self.tenant, &asserted.row, &asserted.claims, self.env)?;
        seen.user(&user.id);
        if !self.tenant.is_active(&user.subject())? {
            return Err(refuse("user.inactive", "the person may do nothing here for now"));
        }
        let (scopes, left_out) = self.scopes(&asserted, asked)?;
        let resources = self.resources(&asserted, targets)?;
        self.answer(&asserted, &user, (scopes, left_out), resources)
    }

    /// Judges an assertion: its type, its issuer, its signature, for whom and for which client it is, and its times.
    fn judge(&self, assertion: &str, seen: &mut Seen) -> Answer<Asserted> {
        let header = unverified_header(assertion).map_err(of_grant)?;
        if header.get("typ").and_then(Value::as_str) != Some(ID_JAG_TYP) {
            let text = format!("this is no identity assertion: its `typ` is not `{ID_JAG_TYP}`");
            return Err(refuse("redeem.typ", &text));
        }
        let issuer = unverified_claim(assertion, "iss");
        let issuer = issuer.ok_or_else(|| refuse("redeem.issuer", "the assertion has no `iss`"))?;
        seen.assertion(&issuer, &[]);
        if issuer == self.tenant.issuer() {
            let text = "this assertion is for another server, not for the one that made it; exchange the token instead";
            return Err(refuse("redeem.own_issuer", text));
        }
        let row = trusted_issuer(self.tenant, &issuer)?;
        let row = row.ok_or_else(|| refuse("redeem.issuer", "the issuer of this assertion is not trusted here"))?;
        let claims = self.verified(assertion, &row).map_err(of_grant)?;
        let now = self.env.seconds();
        check_times(&claims, now, row.life_max_s).map_err(of_grant)?;
        let (begin, end) = (claims.time("iat"), claims.time("exp").unwrap_or(0));
        let begin = begin.ok_or_else(|| refuse("redeem.iat", "the assertion has no `iat`"))?;
        if end.saturating_sub(begin) > row.life_max_s {
            return Err(refuse("token.life", "the assertion lives too long"));
        }
        if claims.text("iss") != Some(&row.issuer) {
            return Err(refuse("redeem.issuer", "the issuer of this assertion is not trusted here"));
        }
        if !is_only(claims.claims.get("aud"), self.tenant.issuer()) {
            return Err(refuse("redeem.audience", "the assertion is not for this server alone (`aud`)"));
        }
        if !claims.text("client_id").is_some_and(|name| self.caller.client.is_named(name)) {
            return Err(refuse("redeem.client", "the assertion was made for another client (`client_id`)"));
        }
        if !row.clients.is_empty() && !row.clients.contains(&self.caller.client.id) {
            return Err(refuse("redeem.client_row", "this client may not bring assertions of this issuer"));
        }
        self.check_key(&claims)?;
        let jti = claims.text("jti").filter(|jti| !jti.is_empty() && jti.len() <= TEXT_BYTES_MAX).map(str::to_owned);
        let jti = jti.ok_or_else(|| refuse("redeem.jti", "the assertion has no `jti`, or one that is too long"))?;
        let before = chain_of(claims.claims.get("act"), &row.issuer)?;
        let actors = act::taken_on(&self.caller.client, &before);
        let actors = actors.map_err(|refusal| Refusal { error: ErrorCode::InvalidGrant, ..refusal })?;
        seen.assertion(&issuer, &actors);
        self.still_lives(&row, &jti)?;
        Ok(Asserted { row, claims, jti, expires_at: end, actors })
    }

    /// The issuer, when it is a tenant here.
    fn here(&self, row: &TrustedIssuer) -> Option<Tenant> {
        let here = self.tenant.identity().issuing(&row.issuer);
        here.filter(|tenant| tenant.issuer() == row.issuer)
    }

    /// Of an issuer that is a tenant here, sees that what the assertion was made from still lives there.
    fn still_lives(&self, row: &TrustedIssuer, jti: &str) -> Answer<()> {
        let Some(issuer) = self.here(row) else { return Ok(()) };
        let grant = jti.split_once('.').map_or("", |(grant, _)| grant);
        let over = || refuse("redeem.over", "what this assertion was made from is over at its issuer; get another");
        issuer.living(grant, self.env).map_err(|refusal| refusal.instead_of(ErrorCode::InvalidGrant, over))?;
        Ok(())
    }

    /// Verifies the signature, with keys that the row knows and the assertion has no say in.
    fn verified(&self, assertion: &str, row: &TrustedIssuer) -> Answer<Verified> {
        if let Some(tenant) = self.here(row) {
            return verify_with(assertion, &tenant.jwks(self.env)?);
        }
        match &row.keys {
            IssuerKeys::Jwks(set) => verify_with(assertion, set),
            IssuerKeys::JwksUri(uri) => {
                let set = |fresh| self.keys.jwks(self.tenant.number(), uri, fresh);
                match verify_with(assertion, &*set(false)?) {
                    Err(refusal) if refusal.rule == "token.kid" => verify_with(assertion, &*set(true)?),
                    done => done,
                }
            }
            IssuerKeys::Here => {
                let text = "the keys of the issuer cannot be had now; try again later";
                Err(Refusal::new(ErrorCode::TemporarilyUnavailable, "redeem.keys", text)
                    .because("the row says that the issuer is a tenant here, and there is none"))
            }
        }
    }

    /// An assertion that is bound to a key or a certificate needs the proof of it (RFC 7800 3.1). One that is bound in a way that we cannot
    /// prove is of no use.
    fn check_key(&self, claims: &Verified) -> Answer<()> {
        let Some(bound) = claims.claims.get("cnf") else { return Ok(()) };
        let bound: Confirmation = serde_json::from_value(bound.clone()).unwrap_or_default();
        // What is not understood, or binds to nothing, is not passed over.
        if bound.claim().as_ref() != claims.claims.get("cnf") {
            return Err(refuse("redeem.cnf", "the assertion is bound in a way that is not known here"));
        }
        if bound.jkt.is_some() && bound.jkt != self.caller.jkt {
            let text = "the assertion is bound to a key; send a `DPoP` proof of that key with the request (RFC 9449)";
            return Err(refuse("redeem.dpop", text));
        }
        if !self.env.shows(bound.x5t.as_deref()) {
            let text = "the assertion is bound to a certificate; show it with the request (RFC 8705)";
            return Err(refuse("redeem.certificate", text));
        }
        Ok(())
    }

    /// The scopes: what is asserted, as far as the row goes, in our words, of what the client asked for. The client's own
    /// bounds are seen to when the token is made. And those that are left out.
    fn scopes(&self, asserted: &Asserted, asked: Option<Vec<String>>) -> Answer<(Vec<String>, Vec<String>)> {
        let said = match asserted.claims.claims.get("scope") {
            None => Vec::new(),
            Some(Value::String(text)) => scopes_of(text).map_err(|_| refuse("redeem.scope", "`scope` is malformed"))?,
            Some(_) => return Err(refuse("redeem.scope", "`scope` of the assertion is no text")),
        };
        let mut may: Vec<String> = Vec::new();
        for scope in said.iter().filter_map(|scope| asserted.row.scopes.get(scope)) {
            if !may.contains(scope) {
                may.push(scope.clone());
            }
        }
        let mut left_out: Vec<String> =
            said.iter().filter(|scope| !asserted.row.scopes.contains_key(*scope)).cloned().collect();
        let none = said.is_empty() && asked.is_none();
        if let Some(asked) = asked {
            // In our words, or in those of the assertion, with which a client compares what it asks for.
            let meant = |scope: &String| match asserted.row.scopes.get(scope).filter(|_| said.contains(scope)) {
                Some(ours) if !may.contains(scope) => ours.clone(),
                Some(_) | None => scope.clone(),
            };
            let meant: Vec<String> = asked.iter().map(meant).collect();
            left_out.extend(meant.iter().filter(|scope| !may.contains(scope)).cloned());
            may.retain(|scope| meant.contains(scope));
        }
        if may.is_empty() && !none {
            let text = "none of these scopes is asserted, or may be asserted by this issuer";
            return Err(Refusal::new(ErrorCode::InvalidScope, "redeem.scopes", text));
        }
        left_out.truncate(SCOPES_MAX);
        Ok((may, left_out))
    }

    /// The resources: those that are asserted or asked for, as far as row and client go.
    fn resources(&self, asserted: &Asserted, asked: Option<Vec<String>>) -> Answer<Vec<String>> {
        let said: Option<Vec<String>> = match asserted.claims.claims.get("resource") {
            None => None,
            Some(Value::String(one)) => Some(vec![one.clone()]),
            Some(Value::Array(several)) => {
                let texts: Option<Vec<String>> = several.iter().map(|one| one.as_str().map(str::to_owned)).collect();
                Some(texts.ok_or_else(|| refuse("redeem.resource", "`resource` of the assertion is malformed"))?)
            }
            Some(_) => return Err(refuse("redeem.resource", "`resource` of the assertion is malformed")),
        };
        let row = &asserted.row.resources;
        let within = |named: &[String]| named.iter().all(|one| row.contains(one));
        if !said.as_deref().is_none_or(within) || !asked.as_deref().is_none_or(within) {
            let text = "a resource is unknown here, or not one for which this issuer may assert";
            return Err(Refusal::new(ErrorCode::InvalidTarget, "redeem.resources", text));
        }
        let client = &self.caller.client.resources;
        let may = match (said, asked) {
            (Some(said), Some(asked)) if asked.iter().all(|one| said.contains(one)) => asked,
            (Some(_), Some(_)) => {
                let text = "a resource is asked for that the assertion is not for";
                return Err(Refusal::new(ErrorCode::InvalidTarget, "redeem.resources", text));
            }
            (Some(named), None) | (None, Some(named)) => named,
            (None, None) => row.iter().filter(|one| client.contains(one)).cloned().collect(),
        };
        if may.is_empty() {
            let text = "there is no resource for which this issuer may assert and this client may ask";
            return Err(Refusal::new(ErrorCode::InvalidTarget, "redeem.resources", text));
        }
        Ok(may)
    }

    /// Makes the grant and its token, and notes that the assertion was used, in one write that rests on the row.
    fn answer(
        &self,
        asserted: &Asserted,
        user: &User,
        (scopes, left_out): (Vec<String>, Vec<String>),
        resources: Vec<String>,
    ) -> Answer<TokenAnswer> {
        let (tenant, env, row, now) = (self.tenant, self.env, &asserted.row, self.env.seconds());
        let issuer = hash_of(&row.issuer);
        let mut change = tenant.change(env);
        change.expect(row);
        if row.replay == Replay::Once {
            let parts = [issuer.as_str(), &hash_of(&asserted.jti)];
            if tenant.get::<Used>(&parts)?.is_some() {
                return Err(refuse("redeem.replayed", "this assertion was used before; get another"));
            }
            change.create(&parts, &Used { at: now });
            change.expires::<Used>(&parts, asserted.expires_at.saturating_add(SKEW_S), None);
        }
        let life = tenant.settings().access_token_s.min(row.access_token_s.unwrap_or(Seconds::MAX));
        let grant = Grant {
            id: env.id(),
            by: JWT_BEARER.to_owned(),
            subject: GrantSubject::User(user.id.clone()),
            client: self.caller.client.id.clone(),
            client_kind: self.caller.client.kind,
            actors: asserted.actors.clone(),
            scopes,
            resources,
            details: Vec::new(),
            details_allowed: false,
            authentication: row.acr_max.as_deref().and_then(|most| authentication(&asserted.claims, most)),
            nonce: None,
            created_at: now,
            expires_at: now.saturating_add(life),
            parent: None,
            parent_token: None,
            session: None,
            offline: false,
            consent: None,
            through: Vec::new(),
            epoch: user.epoch,
            jkt: None,
            x5t: None,
            refresh: None,
            revoked_at: None,
        };
        tenant.add_grant(&mut change, &grant, env)?;
        change.mark_until(EXCHANGE, GRANTS_OF_ISSUER, &[&issuer, &grant.id], grant.expires_at, None);
        let answer = tenant.issue(&mut change, self.caller, &grant, &Wanted::default(), env)?;
        let mut event = tenant.event_of(&grant, EventKind::ExchangeAllowed, Outcome::Allowed, env);
        event = event.action(answer.scope.as_deref().unwrap_or_default());
        event = event.detail("issuer", &row.issuer).detail("assertion", &asserted.jti);
        event = event.detail("sub_there", asserted.claims.text("sub").unwrap_or_default());
        if !left_out.is_empty() {
            event = event.detail("left_out", left_out.join(" "));
        }
        change.event(&event);
        change.commit()?;
        Ok(answer)
    }
}

/// Whether a claim that may be one text or several is this one text (RFC 7519 4.1.3).
fn is_only(claim: Option<&Value>, wanted: &str) -> bool {
    match claim {
        Some(Value::String(one)) => one == wanted,
        Some(Value::Array(several)) => matches!(several.as_slice(), [Value::String(one)] if one == wanted),
        _ => false,
    }
}

/// How the issuer says that the person was authenticated, up to the class `most`, which its row lets it assert. Without
/// `auth_time`, or with one that is behind the assertion, it says nothing.
fn authentication(claims: &Verified, most: &str) -> Option<Authentication> {
    let short = |text: &&str| text.len() <= TEXT_BYTES_MAX;
    let amr = claims.claims.get("amr").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let acr = match claims.text("acr").filter(|acr| ACR_VALUES.contains(acr)) {
        Some(acr) if acr_satisfies(most, acr) => acr,
        Some(_) => most,
        // What is no class of ours is no class that somebody here could ask for.
        None => ACR_NONE,
    };
    Some(Authentication {
        at: claims.time("auth_time").filter(|at| claims.time("iat").is_some_and(|made| *at <= made))?,
        acr: acr.to_owned(),
        amr: amr.iter().filter_map(Value::as_str).filter(short).take(AMR_MAX).map(str::to_owned).collect(),
    })
}
