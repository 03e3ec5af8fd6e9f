//! Workloads: clients that show who they are by the word of somebody else's issuer, and have no secret of ours.
//!
//! Two kinds. The JWT that a platform gives what runs on it (Kubernetes, GitHub Actions, the OpenID provider of a cloud) is an
//! assertion of RFC 7523 whose `iss` is the platform. A JWT-SVID is that of a SPIFFE trust domain
//! (draft-ietf-oauth-spiffe-client-auth-02, 3.1). Whose word is taken, and by which keys, stands in rows of the tenant: nothing
//! of it comes from an assertion, and a stranger's issuer is asked for nothing.

use super::spiffe::{domain_of, is_spiffe, keys_of_svids, trust_domain};
use super::{
    Answer, AuthMethod, Client, ClientKeys, Env, ErrorCode, EventKind, Form, Held, ISSUER_BYTES_MAX, KeySource,
    Outcome, Refusal, Seconds, Stored, Tenant, Verified, again, hash_of, is_secure, jwt,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

/// Most issuers of workloads that a tenant trusts.
pub const WORKLOAD_ISSUERS_MAX: usize = 100;
/// Most workloads that a client is.
pub const WORKLOADS_MAX: usize = 8;
/// Longest life of an assertion of a workload, in seconds: what a row may say, and what it says by itself.
pub const WORKLOAD_LIFE_MAX_S: Seconds = 24 * 3_600;
/// See [`WORKLOAD_LIFE_MAX_S`].
pub const WORKLOAD_LIFE_S: Seconds = 3_600;
/// Longest subject of a platform, in bytes.
const SUBJECT_BYTES_MAX: usize = 512;
/// The algorithms of a JWT-SVID (JWT-SVID 2.1) that are among ours.
const SVID_ALGORITHMS: [&str; 8] = ["ES256", "ES384", "PS256", "PS384", "PS512", "RS256", "RS384", "RS512"];

/// An issuer whose word about workloads a tenant takes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkloadIssuer {
    /// `iss` of its assertions, byte for byte; or a trust domain, as `spiffe://example.org`.
    pub issuer: String,
    /// Where its keys are: of a trust domain, where its bundle is.
    pub keys: ClientKeys,
    /// How long an assertion may live, in seconds.
    pub life_max_s: Seconds,
    /// Whether an assertion may be shown again until it expires. Else it is used once, by its `jti`.
    pub reusable: bool,
    /// When it was trusted first.
    pub created_at: Seconds,
}

impl Stored for WorkloadIssuer {
    const SORT: u8 = b'w';
    const WHAT: &'static str = "trusted issuer of workloads";
}

/// A workload that a client is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Workload {
    /// Its issuer, or its trust domain as `spiffe://example.org`.
    pub issuer: String,
    /// `sub`, byte for byte. A SPIFFE ID that ends with `/*` is all that begin with what is before the `*`
    /// (draft-ietf-oauth-spiffe-client-auth-02, 5.1).
    pub subject: String,
}

/// An assertion that was used: who has another of the same issuer and `jti` comes too late.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct UsedWord {
    until: Seconds,
}

impl Stored for UsedWord {
    const SORT: u8 = b'W';
    const WHAT: &'static str = "used assertion of a workload";
}

fn invalid(rule: &'static str, text: impl Into<String>) -> Refusal {
    Refusal::new(ErrorCode::InvalidRequest, rule, text)
}

/// A refusal of who has shown nothing yet: it says no more than that.
fn unproved(rule: &'static str) -> Refusal {
    let text = "the client is unknown, or what it shows does not prove who it is";
    Refusal::new(ErrorCode::InvalidClient, rule, text)
}

/// A refusal of what a trusted issuer has signed: what is wrong with it.
fn refuse(rule: &'static str, text: &str) -> Refusal {
    Refusal::new(ErrorCode::InvalidClient, rule, text)
}

fn of_client(refusal: Refusal) -> Refusal {
    let unproved = refusal.error == ErrorCode::InvalidToken;
    if unproved { Refusal { error: ErrorCode::InvalidClient, ..refusal } } else { refusal }
}

impl WorkloadIssuer {
    /// A row as it is when nobody says otherwise: assertions live an hour at most, and those of a trust domain may be shown
    /// again (workloads are given one for many requests: JWT-SVID 6.1), others once.
    #[must_use]
    pub fn new(issuer: impl Into<String>, keys: ClientKeys) -> WorkloadIssuer {
        let issuer = issuer.into();
        WorkloadIssuer { reusable: is_spiffe(&issuer), issuer, keys, life_max_s: WORKLOAD_LIFE_S, created_at: 0 }
    }

    fn check(&self, own: &str) -> Answer<()> {
        if is_spiffe(&self.issuer) {
            if trust_domain(&self.issuer).is_none() {
                let text = format!("`{}` is no trust domain; write it as `spiffe://example.org`", self.issuer);
                return Err(invalid("workload.issuer", text));
            }
        } else {
            check_platform(&self.issuer, own)?;
        }
        self.keys.check("workload.keys")?;
        if let ClientKeys::Jwks(bundle) = &self.keys
            && is_spiffe(&self.issuer)
            && jwt::usable_keys(&keys_of_svids(bundle)).is_empty()
        {
            let text = "the bundle has no key with `\"use\": \"jwt-svid\"`, which alone verify JWT-SVIDs";
            return Err(invalid("workload.keys", text));
        }
        if !(1..=WORKLOAD_LIFE_MAX_S).contains(&self.life_max_s) {
            let text = format!("an assertion of a workload lives 1 to {WORKLOAD_LIFE_MAX_S} seconds");
            return Err(invalid("workload.life", text));
        }
        Ok(())
    }

    /// Verifies an assertion with the keys of the row: fresher ones are asked for once when none has its `kid`.
    fn verify(&self, tenant: &Tenant, assertion: &str, keys: &dyn KeySource) -> Answer<Verified> {
        let with = |set: &Value| match is_spiffe(&self.issuer) {
            true => jwt::verify_with(assertion, &keys_of_svids(set)),
            false => jwt::verify_with(assertion, set),
        };
        match &self.keys {
            ClientKeys::Jwks(set) => with(set),
            ClientKeys::JwksUri(uri) => {
                let set = |fresh| keys.jwks(tenant.number(), uri, fresh);
                match with(&*set(false)?) {
                    Err(refusal) if refusal.rule == "token.kid" => with(&*set(true)?),
                    done => done,
                }
            }
        }
    }
}

/// What the issuer of a platform may be: an `https` URL, or one of this machine, that is not ours.
fn check_platform(issuer: &str, own: &str) -> Answer<()> {
    let fine =
        |url: &Url| is_secure(url) && url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    let ascii = issuer.bytes().all(|b| b.is_ascii_graphic());
    if issuer.len() > ISSUER_BYTES_MAX || !ascii || !Url::parse(issuer).is_ok_and(|url| fine(&url)) {
        let text = format!(
            "`{issuer}` is no issuer of workloads; write `iss` of its tokens, an https URL, or a trust domain as \
             `spiffe://example.org`"
        );
        return Err(invalid("workload.issuer", text));
    }
    if issuer.trim_end_matches('/') == own.trim_end_matches('/') {
        let text = "a tenant is not the issuer of its own clients: give them keys (`private_key_jwt`)";
        return Err(invalid("workload.own_issuer", text));
    }
    Ok(())
}

impl Workload {
    /// It in one line: its issuer and subject, or the SPIFFE ID, in which the issuer is.
    #[must_use]
    pub fn name(&self) -> String {
        if is_spiffe(&self.issuer) { self.subject.clone() } else { format!("{} {}", self.issuer, self.subject) }
    }

    /// By which method a client shows that it is this.
    #[must_use]
    pub fn method(&self) -> AuthMethod {
        if is_spiffe(&self.issuer) { AuthMethod::SpiffeJwt } else { AuthMethod::WorkloadJwt }
    }

    /// The workload of a SPIFFE ID, or of all below one when it ends with `/*`.
    ///
    /// # Errors
    /// It is none.
    pub fn of_spiffe_id(id: &str) -> Answer<Workload> {
        let start = id.strip_suffix("/*");
        // `spiffe://example.org/*` has no path before the `*`.
        let whole = start.filter(|domain| trust_domain(domain).is_some());
        let domain = whole.or_else(|| domain_of(start.unwrap_or(id))).ok_or_else(|| {
            let text = format!(
                "`{id}` is no SPIFFE ID; write `spiffe://example.org/agent`, or `spiffe://example.org/agents/*`"
            );
            invalid("workload.subject", text)
        })?;
        Ok(Workload { issuer: domain.to_owned(), subject: id.to_owned() })
    }

    fn check(&self) -> Answer<()> {
        if is_spiffe(&self.issuer) {
            if Workload::of_spiffe_id(&self.subject)?.issuer != self.issuer {
                let text = format!("`{}` is of another trust domain than `{}`", self.subject, self.issuer);
                return Err(invalid("workload.subject", text));
            }
            return Ok(());
        }
        let subject = &self.subject;
        if subject.is_empty() || subject.len() > SUBJECT_BYTES_MAX || subject.chars().any(char::is_control) {
            let text =
                format!("the subject of a workload has 1 to {SUBJECT_BYTES_MAX} bytes and no control characters");
            return Err(invalid("workload.subject", text));
        }
        if subject.contains('*') {
            let text = "a subject is compared whole, and `*` stands for nothing; name each workload";
            return Err(invalid("workload.subject", text));
        }
        Ok(())
    }

    /// Whether `sub` of an assertion is this workload.
    fn is(&self, subject: &str) -> bool {
        match self.subject.strip_suffix('*').filter(|_| is_spiffe(&self.issuer)) {
            // INVARIANT on `check`: it ends with `/`, so that whole segments are compared.
            Some(start) => subject.len() > start.len() && subject.starts_with(start),
            None => self.subject == subject,
        }
    }
}

impl Client {
    /// Whether what is said of its workloads makes sense, and each method that needs one has one.
    pub(super) fn check_workloads(&self) -> Answer<()> {
        if self.workloads.len() > WORKLOADS_MAX {
            return Err(invalid("workload.max", format!("a client is at most {WORKLOADS_MAX} workloads")));
        }
        self.workloads.iter().try_for_each(Workload::check)?;
        for (method, text) in [
            (AuthMethod::WorkloadJwt, "`workload_jwt` needs a workload: an issuer that is trusted, and a subject"),
            (AuthMethod::SpiffeJwt, "`spiffe_jwt` needs a SPIFFE ID"),
        ] {
            if self.auth_methods.contains(&method) && !self.workloads.iter().any(|w| w.method() == method) {
                return Err(invalid("client.workloads", text));
            }
        }
        Ok(())
    }
}

/// Whether an assertion of RFC 7523 is one of a platform: the `iss` of a client's own is its id (RFC 7523 3), or the URL of its
/// document, which is `sub` too.
pub(super) fn is_of_platform(assertion: &str) -> bool {
    let claim = |name| jwt::unverified_claim(assertion, name);
    claim("iss").is_some_and(|issuer| issuer.contains("://") && claim("sub").as_ref() != Some(&issuer))
}

impl Tenant {
    /// The issuers of workloads that the tenant trusts.
    ///
    /// # Errors
    /// The disk failed.
    pub fn workload_issuers(&self) -> Answer<Vec<Held<WorkloadIssuer>>> {
        self.list(&[], None, WORKLOAD_ISSUERS_MAX)
    }

    /// The row of an issuer of workloads, when it is trusted.
    ///
    /// # Errors
    /// The disk failed.
    pub fn workload_issuer(&self, issuer: &str) -> Answer<Option<Held<WorkloadIssuer>>> {
        Ok(self.get::<WorkloadIssuer>(&[&hash_of(issuer)])?.filter(|row| row.issuer == issuer))
    }

    /// Trusts an issuer of workloads, or changes how far. `by` is who does it, as a subject.
    ///
    /// # Errors
    /// Something in the row is not right, or there are [`WORKLOAD_ISSUERS_MAX`].
    pub fn put_workload_issuer(&self, row: &WorkloadIssuer, by: &str, env: &Env<'_>) -> Answer<WorkloadIssuer> {
        row.check(self.issuer())?;
        again(|| {
            let mut change = self.change(env);
            let before = self.workload_issuer(&row.issuer)?;
            let created_at = before.as_ref().map_or(env.seconds(), |held| held.created_at);
            let row = WorkloadIssuer { created_at, ..row.clone() };
            match &before {
                Some(held) => change.replace(held, &row),
                None if self.workload_issuers()?.len() >= WORKLOAD_ISSUERS_MAX => {
                    let text = format!("there are {WORKLOAD_ISSUERS_MAX} issuers of workloads, which is the most");
                    return Err(Refusal::new(ErrorCode::Conflict, "workload.max", text));
                }
                None => change.create(&[&hash_of(&row.issuer)], &row),
            }
            let event = self.event(EventKind::PolicyChanged, Outcome::Done, env).user(by).resource(&row.issuer);
            change.event(&event.action("workload.put"));
            change.commit()?;
            Ok(row)
        })
    }

    /// Trusts an issuer of workloads no longer: from the next request on nobody shows who they are by its word. What was handed
    /// out before keeps its time; who must be stopped at once is suspended.
    ///
    /// # Errors
    /// It is not trusted, or the disk failed.
    pub fn remove_workload_issuer(&self, issuer: &str, by: &str, env: &Env<'_>) -> Answer<()> {
        again(|| {
            let held = self.workload_issuer(issuer)?.ok_or_else(|| Refusal::not_found(WorkloadIssuer::WHAT))?;
            let mut change = self.change(env);
            change.remove(&held);
            let event = self.event(EventKind::PolicyChanged, Outcome::Done, env).user(by).resource(issuer);
            change.event(&event.action("workload.remove"));
            change.commit()
        })?;
        Ok(())
    }

    /// Refuses workloads of a client that it had not before, and whose issuer nobody trusts.
    pub(super) fn trusts_workloads(&self, before: &[Workload], after: &[Workload]) -> Answer<()> {
        for fresh in after.iter().filter(|workload| !before.contains(workload)) {
            if self.workload_issuer(&fresh.issuer)?.is_none() {
                let text = format!("`{}` is not trusted here to know workloads; trust it first", fresh.issuer);
                return Err(invalid("client.workloads", text));
            }
        }
        Ok(())
    }

    /// The client of a workload's assertion, which is the one that the request names (3.1): its id, and as which of its workloads.
    pub(super) fn client_of_workload(
        &self,
        (assertion, method): (&str, AuthMethod),
        form: &Form,
        keys: &dyn KeySource,
        env: &Env<'_>,
    ) -> Answer<(String, AuthMethod, Option<String>)> {
        let id = form.get("client_id").ok_or_else(|| {
            invalid("workload.client_id", "name the client in `client_id`: the assertion says which workload it is")
        })?;
        let client = self.known(id)?;
        let workload = self.check_workload((assertion, method), &client, keys, env)?;
        Ok((id.to_owned(), method, Some(workload)))
    }

    /// The name of the workload of a client's that an assertion shows. What can be refused before a key is asked for is.
    fn check_workload(
        &self,
        (assertion, method): (&str, AuthMethod),
        client: &Client,
        keys: &dyn KeySource,
        env: &Env<'_>,
    ) -> Answer<String> {
        let claim = |name| jwt::unverified_claim(assertion, name);
        let of_svid = || claim("sub").as_deref().and_then(domain_of).map(str::to_owned);
        let issuer = if method == AuthMethod::SpiffeJwt { of_svid() } else { claim("iss") };
        let issuer = issuer.ok_or_else(|| unproved("workload.form"))?;
        let row = self.workload_issuer(&issuer)?.ok_or_else(|| unproved("workload.issuer").because(&issuer))?;
        let known: Vec<&Workload> = client.workloads.iter().filter(|workload| workload.issuer == issuer).collect();
        if known.is_empty() || !client.auth_methods.contains(&method) {
            return Err(unproved("workload.client").because(format!("it is no workload of {issuer}")));
        }
        check_header(assertion, method).map_err(of_client)?;
        let verified = row.verify(self, assertion, keys).map_err(of_client)?;
        let subject = judge(&verified, &row, self.issuer(), env.seconds())?;
        let workload = known.iter().find(|workload| workload.is(&subject)).ok_or_else(|| {
            let text = "the workload of the assertion is not one that this client is";
            refuse("workload.subject", text).because(subject)
        })?;
        if !row.reusable {
            self.use_word(&verified, &issuer, env)?;
        }
        Ok(workload.name())
    }

    /// Notes that an assertion was used, which it is once.
    fn use_word(&self, verified: &Verified, issuer: &str, env: &Env<'_>) -> Answer<()> {
        let jti = verified.text("jti").filter(|jti| !jti.is_empty()).ok_or_else(|| {
            let text = "the assertion has no `jti`, and its issuer is trusted for assertions that are used once";
            refuse("workload.jti", text)
        })?;
        let part = hash_of(&format!("{issuer}\0{jti}"));
        let until = verified.time("exp").unwrap_or(0).saturating_add(jwt::SKEW_S);
        let mut change = self.change(env);
        change.create(&[&part], &UsedWord { until });
        change.expires::<UsedWord>(&[&part], until, None);
        let replayed = || {
            let text = "this assertion was used before; get another, or have its issuer trusted for reusable ones";
            refuse("workload.replayed", text)
        };
        change.commit().map_err(|refusal| if refusal.is_stale() { replayed() } else { refusal })?;
        Ok(())
    }
}

/// The header of an assertion, before a key is looked for: of no other type (RFC 8725 3.11), and of an SVID also an algorithm
/// that SVIDs have (JWT-SVID 2.1, 2.3).
fn check_header(assertion: &str, method: AuthMethod) -> Answer<()> {
    let header = jwt::unverified_header(assertion)?;
    let svid = method == AuthMethod::SpiffeJwt;
    let types: &[&str] = if svid { &["JWT", "JOSE"] } else { &["JWT", "client-authentication+jwt"] };
    let typ = header.get("typ").map(|typ| typ.as_str().unwrap_or_default());
    if typ.is_some_and(|typ| !types.iter().any(|known| typ.eq_ignore_ascii_case(known))) {
        return Err(refuse("workload.typ", "the assertion is a token of another type"));
    }
    let algorithm = header.get("alg").and_then(Value::as_str).unwrap_or_default();
    if svid && !SVID_ALGORITHMS.contains(&algorithm) {
        return Err(refuse("workload.algorithm", "a JWT-SVID is signed with RS, PS or ES"));
    }
    Ok(())
}

/// Judges what a trusted issuer has signed, and answers of which workload it is.
fn judge(verified: &Verified, row: &WorkloadIssuer, own: &str, now: Seconds) -> Answer<String> {
    jwt::check_times(verified, now, row.life_max_s).map_err(of_client)?;
    let lives = verified.time("iat").map(|begun| verified.time("exp").unwrap_or(0).saturating_sub(begun));
    if lives.is_some_and(|lives| lives > row.life_max_s.saturating_add(jwt::SKEW_S)) {
        return Err(refuse("workload.life", "the assertion lives longer than its issuer is trusted for"));
    }
    if verified.audience() != [own] {
        let text = "`aud` of the assertion is not this issuer alone, byte for byte as in its metadata";
        return Err(refuse("workload.audience", text));
    }
    if verified.claims.contains_key("cnf") {
        let text = "the assertion is bound to a key, which is not proved in this way";
        return Err(refuse("workload.cnf", text));
    }
    let subject = verified.text("sub").unwrap_or_default();
    // Both were looked at before, to find the row: now they stand behind a signature.
    let of_row = if is_spiffe(&row.issuer) { domain_of(subject) } else { verified.text("iss") };
    if of_row != Some(&row.issuer) || subject.is_empty() {
        return Err(refuse("workload.issuer", "the assertion is of another issuer, or of no workload"));
    }
    Ok(subject.to_owned())
}
