//! Tokens of an issuer that is elsewhere: for a resource server that is a process of its own, with nothing but the issuer's URL.
//!
//! Where its keys are is read from its metadata (RFC 8414), and both are kept as the keys of all others are. A token is an
//! access token of it (RFC 9068), for this one resource, good at this moment, and shown by whoever has the key or the
//! certificate that it is bound to. What cannot be judged is refused. That a token was revoked before its end is not seen from
//! here: let them live a few minutes.

use super::resource::server_url;
use super::{Judged, Presented, Refusal, Scheme, SettingsError, Tokens};
use crate::identity::{
    ACTORS_MAX, ALGORITHMS, Actor, Answer, Authentication, Confirmation, DPOP_WINDOW_S, ErrorCode, KeySource, Proof,
    Proved, Refusal as Why, Seconds, StepUp, Verified, check_times, hash_of, judge_proof, unverified_claim,
    unverified_header, verify_with,
};
use crate::tuple::{Object, ObjectRef, Timestamp};
use crate::wire::{JwkSets, Outgoing};
use parking_lot::Mutex;
use serde_json::{Map, Value};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Most scopes, and most authorization details, of a token.
const LIST_MAX: usize = 256;
/// Most proofs that are remembered in the time in which one could be used again; and those of one key.
const PROOFS_MAX: usize = 200_000;
const PROOFS_OF_KEY_MAX: usize = 25_000;
/// How long a proof could be used again after it was first seen: its clock may be ahead by one window, and is good for another.
const PROOFS_KEPT_S: Seconds = 2 * DPOP_WINDOW_S;
/// The number under which this process asks; there are no tenants here.
const ONE: u32 = 0;

/// Whose tokens are taken, and what is known of its clients.
#[derive(Clone, Debug)]
pub struct IssuedTokensSpec {
    /// The issuer, letter for letter as its metadata and its tokens say it.
    pub issuer: String,
    /// Clients, by id, that are applications: the person who uses one counts alone. Every other client is an agent, which must be
    /// allowed what is asked besides the person for whom it acts.
    pub apps: BTreeSet<String>,
    /// The longest that a token may live from now, in seconds.
    pub life_seconds_max: Seconds,
}

impl IssuedTokensSpec {
    /// Tokens of an issuer whose clients are all agents, and that live a day at most.
    #[must_use]
    pub fn new(issuer: impl Into<String>) -> IssuedTokensSpec {
        IssuedTokensSpec { issuer: issuer.into(), apps: BTreeSet::new(), life_seconds_max: 24 * 3_600 }
    }
}

/// See the file's head. Judging may wait for the issuer: never do it on a thread of a runtime; [`super::guarded`] does not.
///
/// Proofs are remembered in this process alone: where several stand for one resource, a proof could be used once at each.
pub struct IssuedTokens {
    spec: IssuedTokensSpec,
    // INVARIANT: not empty.
    places: Vec<String>,
    /// The one of `places` at which the metadata were last.
    place: AtomicUsize,
    metadata: Box<dyn KeySource>,
    keys: Box<dyn KeySource>,
    proofs: Mutex<Proofs>,
}

impl IssuedTokens {
    /// Tokens of an issuer, which is asked through this client.
    ///
    /// # Errors
    /// The issuer is no URL of one.
    pub fn new(spec: IssuedTokensSpec, outgoing: Outgoing) -> Result<IssuedTokens, SettingsError> {
        let keys = JwkSets::of_one(outgoing.clone());
        IssuedTokens::with_sources(spec, Box::new(JwkSets::metadata_of_one(outgoing)), Box::new(keys))
    }

    fn with_sources(
        spec: IssuedTokensSpec,
        metadata: Box<dyn KeySource>,
        keys: Box<dyn KeySource>,
    ) -> Result<IssuedTokens, SettingsError> {
        let url = server_url("the issuer", &spec.issuer)?;
        let (origin, path) = (url.origin().ascii_serialization(), url.path().trim_end_matches('/'));
        let places = vec![
            format!("{origin}/.well-known/oauth-authorization-server{path}"),
            format!("{origin}/.well-known/openid-configuration{path}"),
            format!("{origin}{path}/.well-known/openid-configuration"),
        ];
        let (place, proofs) = (AtomicUsize::new(0), Mutex::default());
        Ok(IssuedTokens { spec, places, place, metadata, keys, proofs })
    }

    /// Where the keys are, by the metadata, which are at one of three places (RFC 8414 3.1, 5).
    fn jwks_uri(&self) -> Answer<String> {
        let (first, count) = (self.place.load(Ordering::Relaxed), self.places.len());
        let mut refusal = Why::failed("issuer.metadata", "there is no place to look");
        for place in (first..first + count).map(|at| at % count) {
            let Some(url) = self.places.get(place) else { continue };
            match self.metadata.jwks(ONE, url, false) {
                Ok(metadata) => {
                    self.place.store(place, Ordering::Relaxed);
                    return self.jwks_uri_of(&metadata);
                }
                Err(other) => refusal = other,
            }
        }
        Err(refusal)
    }

    fn jwks_uri_of(&self, metadata: &Value) -> Answer<String> {
        let wrong = |why: &str| Why::failed("issuer.metadata", why.to_owned());
        let text = |name: &str| metadata.get(name).and_then(Value::as_str);
        // Else whoever can write at the place could have another's tokens taken for those of the issuer (RFC 8414 3.3).
        if text("issuer") != Some(&self.spec.issuer) {
            return Err(wrong("the metadata are of another issuer than is configured, letter for letter"));
        }
        let uri = text("jwks_uri").ok_or_else(|| wrong("the metadata have no `jwks_uri`"))?;
        server_url("`jwks_uri`", uri).map_err(|error| wrong(&error.to_string()))?;
        Ok(uri.to_owned())
    }

    /// Who has signed the token. What can be refused before the issuer is asked for anything is.
    fn verified(&self, token: &str) -> Answer<Verified> {
        let header = unverified_header(token)?;
        let text = |name: &str| header.get(name).and_then(Value::as_str).unwrap_or_default();
        let typ = text("typ");
        if !["at+jwt", "application/at+jwt"].iter().any(|known| typ.eq_ignore_ascii_case(known)) {
            return Err(refused("token.typ", "this is no access token: `typ` of its header is not `at+jwt`"));
        }
        if !ALGORITHMS.iter().any(|(known, _)| *known == text("alg")) {
            return Err(refused("token.algorithm", "its algorithm is none that is taken"));
        }
        if unverified_claim(token, "iss").as_deref() != Some(&self.spec.issuer) {
            return Err(refused("token.issuer", "this token is of another issuer"));
        }
        let uri = self.jwks_uri()?;
        match verify_with(token, &*self.keys.jwks(ONE, &uri, false)?) {
            // It may be a key that was made just now.
            Err(refusal) if refusal.rule == "token.kid" => verify_with(token, &*self.keys.jwks(ONE, &uri, true)?),
            done => done,
        }
    }

    fn judged(&self, presented: &Presented<'_>, resource: &str, now: Timestamp) -> Answer<Judged> {
        let seconds = u64::try_from(now.0 / 1_000_000_000).unwrap_or(0);
        let verified = self.verified(presented.token)?;
        if verified.text("iss") != Some(&self.spec.issuer) {
            return Err(refused("token.issuer", "this token is of another issuer"));
        }
        check_times(&verified, seconds, self.spec.life_seconds_max)?;
        only_for(&verified.audience(), resource, &self.spec.issuer)?;
        let bound = confirmation(&verified)?;
        if let Some(x5t) = &bound.x5t
            && presented.certificate.is_none_or(|shown| shown.thumbprint != *x5t)
        {
            return Err(refused("token.certificate", "this token is bound to a certificate that was not shown"));
        }
        must_be_proved(bound.jkt.as_deref(), presented, |proof, of| {
            let proof = judge_proof(proof, of, seconds)?;
            // Only proofs of the token's own key are remembered: whoever makes keys fills nothing.
            if bound.jkt.as_ref() == Some(&proof.jkt) {
                self.proofs.lock().first_seen(&proof, seconds)?;
            }
            Ok(proof.jkt)
        })?;
        self.caller(&verified)
    }

    /// For whom a token speaks, by the rule of the issuer's own servers: who acts is the nearest actor of the issuer.
    fn caller(&self, verified: &Verified) -> Answer<Judged> {
        let need = |claim: &str| {
            let text = verified.text(claim).filter(|text| !text.is_empty());
            text.ok_or_else(|| refused("token.claims", &format!("it lacks `{claim}`, which every access token has")))
        };
        let (sub, client, jti) = (need("sub")?, need("client_id")?, need("jti")?);
        if verified.time("iat").is_none() {
            return Err(refused("token.claims", "it lacks `iat`, which every access token has"));
        }
        let client = self.client(client)?;
        let authentication = authentication(verified);
        let actors = self.actors(verified.claims.get("act"))?;
        // An actor of another issuer is nobody here: who acts is the client that it uses.
        let first = actors.first().filter(|actor| actor.issuer.is_none());
        let acting = first.map_or_else(|| client.clone(), |actor| actor.subject.clone());
        let behind = actors.iter().skip(usize::from(first.is_some()));
        // A token that a client has for itself is of nobody else (RFC 9068 2.2).
        let (subject, agent) = if verified.text("client_id") == Some(sub) && authentication.is_none() {
            (acting, None)
        } else {
            let ours = behind.clone().filter(|actor| actor.issuer.is_none()).map(|actor| &actor.subject);
            let agent = std::iter::once(&acting).chain(ours).find(|actor| actor.starts_with("agent:"));
            (of("user", sub)?.to_string(), agent.cloned())
        };
        Ok(Judged {
            subject: object(&subject)?,
            agent: agent.as_deref().map(object).transpose()?,
            actors: behind.map(|actor| actor.subject.clone()).collect(),
            client,
            scopes: scopes(verified)?,
            details: details(verified)?,
            token: Some(jti.to_owned()),
            grant: None,
            session: verified.text("sid").map(str::to_owned),
            authentication,
        })
    }

    /// A client of the issuer as a subject: an agent, unless it is named as an application.
    fn client(&self, id: &str) -> Answer<String> {
        Ok(of(if self.spec.apps.contains(id) { "app" } else { "agent" }, id)?.to_string())
    }

    /// Who acts, and who acted before (RFC 8693 4.1).
    fn actors(&self, act: Option<&Value>) -> Answer<Vec<Actor>> {
        let malformed = || refused("token.act", "its `act` is malformed, or longer than is taken");
        let (mut actors, mut next) = (Vec::new(), act);
        while let Some(act) = next {
            let act = act.as_object().filter(|_| actors.len() < ACTORS_MAX).ok_or_else(malformed)?;
            let sub = act.get("sub").and_then(Value::as_str).ok_or_else(malformed)?;
            let issuer = act.get("iss").map(|iss| iss.as_str().ok_or_else(malformed)).transpose()?;
            let issuer = issuer.filter(|iss| *iss != self.spec.issuer).map(str::to_owned);
            let subject = if issuer.is_none() { self.client(sub)? } else { sub.to_owned() };
            actors.push(Actor { subject, issuer });
            next = act.get("act");
        }
        Ok(actors)
    }
}

impl Tokens for IssuedTokens {
    fn judge(&self, presented: &Presented<'_>, resource: &str, now: Timestamp) -> Result<Judged, Refusal> {
        self.judged(presented, resource, now).map_err(Refusal::of)
    }
}

impl Refusal {
    /// That a person has to be authenticated as is asked.
    #[must_use]
    pub fn for_step_up(step_up: &StepUp) -> Refusal {
        Refusal::StepUp { acr_values: step_up.acr().map(str::to_owned), max_age_s: step_up.max_age() }
    }

    /// A refusal in the words of a resource server. What is not the token's fault is ours, and goes to the log.
    #[must_use]
    #[expect(clippy::wildcard_enum_match_arm, reason = "what is not the token's fault is ours")]
    pub fn of(refusal: Why) -> Refusal {
        match refusal.error {
            ErrorCode::InvalidToken | ErrorCode::InvalidGrant => {
                Refusal::Invalid { reason: refusal.description.into() }
            }
            ErrorCode::InvalidDpopProof => Refusal::Proof { reason: refusal.description.into(), nonce: None },
            ErrorCode::InsufficientUserAuthentication => match refusal.step_up {
                Some(step_up) => Refusal::for_step_up(&step_up),
                None => Refusal::StepUp { acr_values: None, max_age_s: None },
            },
            _ => {
                tracing::error!(%refusal, rule = refusal.rule, cause = refusal.cause, "an MCP caller could not be judged");
                Refusal::Unavailable
            }
        }
    }
}

fn refused(rule: &'static str, text: &str) -> Why {
    Why::new(ErrorCode::InvalidToken, rule, text)
}

/// Refuses a token that is not for a resource, or for others too: whoever sees it could use it there. The issuer's own endpoints
/// are no such other.
///
/// # Errors
/// [`ErrorCode::InvalidToken`].
pub fn only_for(audience: &[&str], resource: &str, issuer: &str) -> Answer<()> {
    if !audience.contains(&resource) {
        return Err(refused("token.audience", "this token is not for this audience"));
    }
    if audience.iter().any(|audience| *audience != resource && *audience != issuer) {
        let text = "this token is for other resources too; ask for one with this `resource` alone";
        return Err(refused("token.audience", text));
    }
    Ok(())
}

/// Refuses a token that is bound to a key and comes without a good proof of it, or that is shown in the wrong scheme (RFC 9449
/// 7.1). `judge` answers the thumbprint of the key that a proof proves.
///
/// # Errors
/// What is wrong with the proof, or the key is another.
pub fn must_be_proved(
    jkt: Option<&str>,
    presented: &Presented<'_>,
    judge: impl FnOnce(&str, &Proved<'_>) -> Answer<String>,
) -> Answer<()> {
    match (jkt, presented.scheme, presented.proof) {
        (None, Scheme::Bearer, _) => Ok(()),
        (Some(_), Scheme::Dpop, None) => {
            let text = "this token is bound to a key; send a `DPoP` proof of it";
            Err(Why::new(ErrorCode::InvalidDpopProof, "dpop.none", text))
        }
        (Some(bound), Scheme::Dpop, Some(proof)) => {
            let (method, url) = (presented.method, presented.url);
            if judge(proof, &Proved { method, url, token: Some(presented.token) })? != bound {
                return Err(refused("dpop.key", "the token is bound to another key than is proved"));
            }
            Ok(())
        }
        (Some(_), Scheme::Bearer, _) | (None, Scheme::Dpop, _) => {
            let text = "a token that is bound to a key is shown as `DPoP` with a proof, and another as `Bearer`";
            Err(refused("dpop.scheme", text))
        }
    }
}

/// Somebody of the issuer as an object of tuples.
fn of(kind: &str, id: &str) -> Answer<Object> {
    object(&format!("{kind}:{id}"))
}

fn object(text: &str) -> Answer<Object> {
    let parsed = ObjectRef::parse(text).map(ObjectRef::to_owned);
    parsed.map_err(|_| refused("token.subject", "it names somebody by what is no id here"))
}

/// What must be proved with the token. What it is bound to in a way that is unknown here is proved by nobody.
fn confirmation(verified: &Verified) -> Answer<Confirmation> {
    let Some(cnf) = verified.claims.get("cnf") else { return Ok(Confirmation::default()) };
    let known = |cnf: &Map<String, Value>| {
        !cnf.is_empty() && cnf.iter().all(|(name, value)| ["jkt", "x5t#S256"].contains(&&**name) && value.is_string())
    };
    let cnf = cnf.as_object().filter(|cnf| known(cnf));
    let text = "it is bound to its holder in a way that is not proved here";
    let cnf = cnf.ok_or_else(|| refused("token.cnf", text))?;
    let text = |name: &str| cnf.get(name).and_then(Value::as_str).map(str::to_owned);
    Ok(Confirmation { jkt: text("jkt"), x5t: text("x5t#S256") })
}

/// How the person was authenticated (RFC 9470 6.1). What is not said is taken for the weakest and the oldest.
fn authentication(verified: &Verified) -> Option<Authentication> {
    let (at, acr) = (verified.time("auth_time"), verified.text("acr"));
    if at.is_none() && acr.is_none() {
        return None;
    }
    let amr = verified.claims.get("amr").and_then(Value::as_array).into_iter().flatten();
    let amr = amr.filter_map(|one| one.as_str().map(str::to_owned)).take(LIST_MAX).collect();
    Some(Authentication { at: at.unwrap_or(0), acr: acr.unwrap_or_default().to_owned(), amr })
}

fn scopes(verified: &Verified) -> Answer<Vec<String>> {
    let malformed = || refused("token.scope", "its `scope` is malformed, or has more scopes than are taken");
    let Some(scope) = verified.claims.get("scope") else { return Ok(Vec::new()) };
    let scope = scope.as_str().ok_or_else(malformed)?;
    let scopes: Vec<String> = scope.split(' ').filter(|one| !one.is_empty()).map(str::to_owned).collect();
    if scopes.len() > LIST_MAX { Err(malformed()) } else { Ok(scopes) }
}

fn details(verified: &Verified) -> Answer<Vec<Value>> {
    let text = "its `authorization_details` are malformed, or more than are taken";
    match verified.claims.get("authorization_details") {
        None => Ok(Vec::new()),
        Some(Value::Array(list)) if list.len() <= LIST_MAX => Ok(list.clone()),
        Some(_) => Err(refused("token.details", text)),
    }
}

/// Proofs that were seen, by their keys: those of this span of time, and of the one before it.
#[derive(Default)]
struct Proofs {
    begun: Seconds,
    now: Seen,
    before: Seen,
}

#[derive(Default)]
struct Seen {
    // INVARIANT: `count` is the number of all; at most `PROOFS_MAX`, and `PROOFS_OF_KEY_MAX` of one key.
    of_keys: HashMap<String, HashSet<String>>,
    count: usize,
}

impl Seen {
    fn has(&self, key: &str, proof: &str) -> bool {
        self.of_keys.get(key).is_some_and(|proofs| proofs.contains(proof))
    }
}

impl Proofs {
    /// Notes a proof. When there are too many to tell it from those before, it is refused.
    fn first_seen(&mut self, proof: &Proof, now: Seconds) -> Answer<()> {
        let passed = now.saturating_sub(self.begun);
        if passed > PROOFS_KEPT_S {
            let last = std::mem::take(&mut self.now);
            self.before = if passed > 2 * PROOFS_KEPT_S { Seen::default() } else { last };
            self.begun = now;
        }
        let part = hash_of(&proof.jti);
        if self.now.has(&proof.jkt, &part) || self.before.has(&proof.jkt, &part) {
            let text = "the `DPoP` proof is of no use: it was used before";
            return Err(Why::new(ErrorCode::InvalidDpopProof, "dpop.replayed", text));
        }
        let of_key = self.now.of_keys.get(&proof.jkt).map_or(0, HashSet::len);
        if self.now.count >= PROOFS_MAX || of_key >= PROOFS_OF_KEY_MAX {
            let text = "too many proofs were used in the last minutes; try again later";
            return Err(Why::new(ErrorCode::TemporarilyUnavailable, "dpop.busy", text));
        }
        self.now.of_keys.entry(proof.jkt.clone()).or_default().insert(part);
        self.now.count += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
