//! Who a client is: one way to show it in each request, and one that the client may use (RFC 6749 2.3, RFC 7523).

use super::shown::{Shown, malformed, refuse};
use super::{
    Answer, AuthMethod, Client, ClientKeys, ClientKind, Confirmation, Env, ErrorCode, EventKind, Form, Held, Outcome,
    Refusal, Seconds, Stored, Tenant, Verified, hash_of, jwt, same, workload,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;

/// How long an assertion may live: an hour, which is what libraries give it by themselves. Each is used once whatever it says.
pub const ASSERTION_LIFE_MAX_S: Seconds = 3_600;

/// A client that has shown who it is.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The client.
    pub client: Held<Client>,
    /// How it did.
    pub method: AuthMethod,
    /// The thumbprint of the key that it has proved besides (RFC 9449), to which its tokens are bound.
    pub jkt: Option<String>,
}

impl Caller {
    /// What must be proved with the tokens that it is given: what it has proved now, as far as it is to be bound to that.
    ///
    /// # Errors
    /// Its tokens are to be bound to a key or a certificate, and it has proved none.
    pub fn bound(&self, env: &Env<'_>) -> Answer<Confirmation> {
        if self.client.dpop_bound_access_tokens && self.jkt.is_none() {
            let text = "this client's tokens are bound to a key; send a `DPoP` proof (RFC 9449 5)";
            return Err(Refusal::new(ErrorCode::InvalidDpopProof, "dpop.missing", text));
        }
        Ok(Confirmation { jkt: self.jkt.clone(), x5t: self.client.bound_to(env)? })
    }

    /// Sees that it can show who it is: who cannot would make a bearer token of every token it ever let anybody see.
    ///
    /// # Errors
    /// It is a public client.
    pub fn must_be_confidential(&self) -> Answer<()> {
        if self.client.is_public() {
            let text = "a client that cannot show who it is cannot exchange tokens; register a key or a secret";
            return Err(Refusal::new(ErrorCode::UnauthorizedClient, "exchange.public", text));
        }
        Ok(())
    }
}

/// Where JWK sets of others come from.
pub trait KeySource: Send + Sync {
    /// The JWK set at a URL, for a tenant (its number). With `fresh`, one that is kept does not do, if the last was not
    /// fetched just now.
    ///
    /// # Errors
    /// It cannot be had.
    fn jwks(&self, tenant: u32, uri: &str, fresh: bool) -> Answer<Arc<Value>>;

    /// The same for a URL that nobody has written who administers: what may be asked there can be less.
    ///
    /// # Errors
    /// It cannot be had.
    fn jwks_of_stranger(&self, tenant: u32, uri: &str, fresh: bool) -> Answer<Arc<Value>> {
        self.jwks(tenant, uri, fresh)
    }
}

/// A source that has none, where nothing may be asked for.
pub struct NoKeys;

impl KeySource for NoKeys {
    fn jwks(&self, _: u32, _: &str, _: bool) -> Answer<Arc<Value>> {
        let text = "keys at a `jwks_uri` are not fetched here; register them as `jwks`";
        Err(Refusal::new(ErrorCode::InvalidClient, "client.jwks_uri", text))
    }
}

/// Who keeps when clients last showed their credentials. The registry of agents does; `server.rs` plugs it in.
pub trait CredentialUses: Send + Sync {
    /// A client has just shown one: the id of a secret, the `kid` of a key, the URL of its keys, the
    /// [name](super::Workload::name) of a workload, or the subject of a certificate. That it cannot be noted keeps nobody out.
    fn used(&self, tenant: &Tenant, client: &Client, credential: &str, env: &Env<'_>);
}

/// Keeps nothing of it.
pub struct NoUses;

impl CredentialUses for NoUses {
    fn used(&self, _: &Tenant, _: &Client, _: &str, _: &Env<'_>) {}
}

/// An assertion that was used.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct UsedAssertion {
    until: Seconds,
}

impl Stored for UsedAssertion {
    const SORT: u8 = b'J';
    const WHAT: &'static str = "used assertion";
}

impl Tenant {
    /// Who the client of a request is. `authorization` is the value of the header. It must be active now. Whichever endpoint it
    /// is at, `uses` is told with what it showed that. That one which is known did not show it is an event, once a minute.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidClient`]; or the request is malformed.
    pub fn authenticate_client(
        &self,
        authorization: Option<&str>,
        form: &Form,
        keys: &dyn KeySource,
        uses: &dyn CredentialUses,
        env: &Env<'_>,
    ) -> Answer<Caller> {
        let shown = Shown::read(authorization, form)?;
        let (named, method) = (shown.named(form), shown.method());
        let caller = self.caller_of(shown, form, keys, uses, env);
        if let Err(refusal) = &caller
            && refusal.error == ErrorCode::InvalidClient
            && let Some(named) = named
        {
            self.tell_refused(&named, method, refusal, env)?;
        }
        caller
    }

    /// Notes that somebody gave the name of a client, and did not show to be it: at most once a minute for each client, so that
    /// nobody fills the log with it. Names that no client has are not noted.
    fn tell_refused(&self, named: &str, method: AuthMethod, refusal: &Refusal, env: &Env<'_>) -> Answer<()> {
        let Ok(client) = self.client_named(named) else { return Ok(()) };
        let kind = EventKind::ClientRefused;
        if !self.tells(kind.name(), &client.id, env) {
            return Ok(());
        }
        let subject = client.subject();
        let event = self.event(kind, Outcome::Refused, env).client(&subject).reason(refusal.rule);
        let event = if client.kind == ClientKind::Agent { event.agent(&subject) } else { event };
        let by_certificate = AuthMethod::BY_CERTIFICATE.into_iter().find(|by| client.auth_methods.contains(by));
        let method = by_certificate.filter(|_| method == AuthMethod::None).unwrap_or(method);
        let mut change = self.change(env);
        change.event(&event.detail("auth_method", method.name()));
        change.commit()?;
        Ok(())
    }

    fn caller_of(
        &self,
        shown: Shown<'_>,
        form: &Form,
        keys: &dyn KeySource,
        uses: &dyn CredentialUses,
        env: &Env<'_>,
    ) -> Answer<Caller> {
        let (id, method, credential) = match shown {
            Shown::Basic(id, secret) => {
                let credential = self.check_secret(&id, &secret, env)?;
                (id, AuthMethod::ClientSecretBasic, Some(credential))
            }
            Shown::Post(id, secret) => {
                (id.to_owned(), AuthMethod::ClientSecretPost, Some(self.check_secret(id, secret, env)?))
            }
            Shown::Svid(svid) => self.client_of_workload((svid, AuthMethod::SpiffeJwt), form, keys, env)?,
            Shown::Assertion(assertion) if workload::is_of_platform(assertion) => {
                self.client_of_workload((assertion, AuthMethod::WorkloadJwt), form, keys, env)?
            }
            Shown::Assertion(assertion) => {
                let (id, kid) = self.check_assertion(assertion, form.get("client_id"), keys, env)?;
                (id, AuthMethod::PrivateKeyJwt, kid)
            }
            Shown::Nothing(id) => match self.check_certificate(id, keys, env)? {
                Some((method, credential)) => (id.to_owned(), method, credential),
                None => (id.to_owned(), AuthMethod::None, None),
            },
        };
        let client = self.known(&id)?;
        if !client.auth_methods.contains(&method) {
            return Err(refuse("client.method").because(method.name()));
        }
        let view = self.view()?;
        self.must_be_active(&view, &client.subject())
            .map_err(|refusal| Refusal { error: ErrorCode::InvalidClient, ..refusal })?;
        if let Some(credential) = credential {
            uses.used(self, &client, &credential, env);
        }
        Ok(Caller { client, method, jkt: None })
    }

    pub(super) fn known(&self, id: &str) -> Answer<Held<Client>> {
        self.client_named(id).map_err(|refusal| refusal.instead_of(ErrorCode::NotFound, || refuse("client.unknown")))
    }

    /// The id of the secret that it is.
    fn check_secret(&self, id: &str, secret: &str, env: &Env<'_>) -> Answer<String> {
        let client = self.known(id)?;
        let hash = hash_of(secret);
        let good = client.secrets.iter().filter(|known| known.expires_at.is_none_or(|end| env.seconds() < end));
        // All are looked at, so that the time tells nothing of which it was.
        let found = good.fold(None, |found, known| if same(&known.hash, &hash) { Some(&known.id) } else { found });
        found.cloned().ok_or_else(|| refuse("client.secret"))
    }

    /// How a client is known by the certificate that it has shown, and by which subject or key (RFC 8705 2). `None` when it is no
    /// client that is known so.
    fn check_certificate(
        &self,
        id: &str,
        keys: &dyn KeySource,
        env: &Env<'_>,
    ) -> Answer<Option<(AuthMethod, Option<String>)>> {
        let client = self.known(id)?;
        if !AuthMethod::BY_CERTIFICATE.iter().any(|method| client.auth_methods.contains(method)) {
            return Ok(None);
        }
        let Some(shown) = env.certificate else {
            return Err(refuse("client.certificate.none").because("no certificate was shown"));
        };
        if let Some(subject) = &client.tls_subject
            && shown.is_of(subject)
        {
            return Ok(Some((AuthMethod::TlsClientAuth, Some(subject.to_string()))));
        }
        if !client.auth_methods.contains(&AuthMethod::SelfSignedTlsClientAuth) {
            let rule = if shown.trusted { "client.certificate.subject" } else { "client.certificate.authority" };
            return Err(refuse(rule));
        }
        let kid = |jwk: &Value| jwk.get("kid").and_then(Value::as_str).map(str::to_owned);
        let found = match &client.keys {
            Some(ClientKeys::Jwks(set)) => shown.key_in(set).map(kid),
            Some(ClientKeys::JwksUri(uri)) => {
                let found = |fresh| self.jwks_of(&client, uri, keys, fresh).map(|set| shown.key_in(&set).map(kid));
                match found(false)? {
                    None => found(true)?,
                    found => found,
                }
            }
            None => None,
        };
        let kid = found.ok_or_else(|| refuse("client.certificate.key"))?;
        Ok(Some((AuthMethod::SelfSignedTlsClientAuth, kid)))
    }

    /// The keys of a client at its `jwks_uri`.
    ///
    /// # Errors
    /// They cannot be had.
    pub fn jwks_of(&self, client: &Client, uri: &str, keys: &dyn KeySource, fresh: bool) -> Answer<Arc<Value>> {
        // What a document says its owner adopted, and nobody wrote who administers.
        if client.document.is_some() || self.registered_itself(&client.id)? {
            keys.jwks_of_stranger(self.number(), uri, fresh)
        } else {
            keys.jwks(self.number(), uri, fresh)
        }
    }

    /// The client that signed an assertion, and with which key. An assertion is used once.
    fn check_assertion(
        &self,
        assertion: &str,
        named: Option<&str>,
        keys: &dyn KeySource,
        env: &Env<'_>,
    ) -> Answer<(String, Option<String>)> {
        let id = jwt::unverified_claim(assertion, "sub").ok_or_else(|| refuse("client.assertion"))?;
        if named.is_some_and(|named| named != id) {
            return Err(malformed("client.differs", "`client_id` is not the client of the assertion"));
        }
        let client = self.known(&id)?;
        let of_client = |refusal: Refusal| Refusal { error: ErrorCode::InvalidClient, ..refusal };
        let (verified, credential) = self.verified(&client, assertion, keys, env).map_err(of_client)?;
        jwt::check_times(&verified, env.seconds(), ASSERTION_LIFE_MAX_S).map_err(of_client)?;
        if verified.text("iss") != Some(&id) || verified.text("sub") != Some(&id) {
            return Err(refuse("client.assertion.issuer"));
        }
        // The issuer alone (RFC 7523bis); the token endpoint is what older clients write.
        let accepted = [self.issuer().to_owned(), self.url("/token"), self.url("/oauth/token")];
        if !matches!(verified.audience().as_slice(), [one] if accepted.iter().any(|known| known == one)) {
            return Err(refuse("client.assertion.audience"));
        }
        let jti = verified.text("jti").ok_or_else(|| refuse("client.assertion.jti"))?;
        let until = verified.time("exp").unwrap_or(0).saturating_add(jwt::SKEW_S);
        let part = hash_of(jti);
        let mut change = self.change(env);
        change.create(&[&id, &part], &UsedAssertion { until });
        change.expires::<UsedAssertion>(&[&id, &part], until, None);
        change.commit().map_err(
            |refusal| {
                if refusal.is_stale() { refuse("client.assertion.replayed") } else { refusal }
            },
        )?;
        Ok((id, credential))
    }

    /// What an assertion of a client says, and by which credential: the certificates that it carries, where the client is
    /// registered with their authorities; else a key that is registered, whatever certificates there are.
    fn verified(
        &self,
        client: &Client,
        assertion: &str,
        keys: &dyn KeySource,
        env: &Env<'_>,
    ) -> Answer<(Verified, Option<String>)> {
        if let Some(registered) = &client.assertion_chain
            && let Some(x5c) = jwt::unverified_header(assertion)?.get("x5c")
        {
            let key = registered.key(x5c, env.seconds())?;
            let verified = jwt::verify_with(assertion, &json!({ "keys": [key] }))?;
            return Ok((verified, Some(registered.subject.to_string())));
        }
        let kid = |verified: &Verified| verified.header.get("kid").and_then(Value::as_str).map(str::to_owned);
        match &client.keys {
            Some(ClientKeys::Jwks(set)) => {
                let verified = jwt::verify_with(assertion, set)?;
                let kid = kid(&verified);
                Ok((verified, kid))
            }
            Some(ClientKeys::JwksUri(uri)) => {
                let set = |fresh| self.jwks_of(client, uri, keys, fresh);
                let verified = match jwt::verify_with(assertion, &*set(false)?) {
                    Err(refusal) if refusal.rule == "token.kid" => jwt::verify_with(assertion, &*set(true)?),
                    done => done,
                };
                Ok((verified?, Some(uri.clone())))
            }
            None if client.assertion_chain.is_some() => Err(refuse("client.chain.none")),
            None => Err(refuse("client.keys")),
        }
    }
}

impl Shown<'_> {
    /// The client that it says it is, as far as it says so.
    fn named(&self, form: &Form) -> Option<String> {
        let said = || form.get("client_id").map(str::to_owned);
        match self {
            Shown::Basic(id, _) => Some(id.clone()),
            Shown::Post(id, _) | Shown::Nothing(id) => Some((*id).to_owned()),
            Shown::Assertion(assertion) => said().or_else(|| jwt::unverified_claim(assertion, "sub")),
            Shown::Svid(_) => said(),
        }
    }

    /// By which method, as far as it can be seen; a certificate is not of the request.
    fn method(&self) -> AuthMethod {
        match self {
            Shown::Basic(..) => AuthMethod::ClientSecretBasic,
            Shown::Post(..) => AuthMethod::ClientSecretPost,
            Shown::Svid(_) => AuthMethod::SpiffeJwt,
            Shown::Assertion(assertion) if workload::is_of_platform(assertion) => AuthMethod::WorkloadJwt,
            Shown::Assertion(_) => AuthMethod::PrivateKeyJwt,
            Shown::Nothing(_) => AuthMethod::None,
        }
    }
}
