//! What revocations need of the rest of the house: whose word about their own people is taken, where the keys of those are, and
//! who posts to other systems.

use crate::identity::{Answer, Env, ErrorCode, KeySource, Refusal, Tenant, is_secure};
use crate::modules::exchange::{self, IssuerKeys, SubjectMapping};
use crate::modules::login;
use crate::modules::revocation::{Issuers, Keys, Message, Naming, Posted, Posts, Trusted};
use crate::wire::{JwkSets, Outgoing, OutgoingRequest, Redirects};
use axum::body::Body;
use axum::http::{HeaderValue, Method, header};
use serde_json::Value;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a place may take, and how much it may answer, which nobody looks at.
const TIMEOUT: Duration = Duration::from_secs(5);
const ANSWER_BYTES_MAX: u64 = 16 << 10;

/// The providers with which people of a tenant sign in, and the issuers whose assertions it takes.
pub(super) struct TrustedIssuers {
    keys: Arc<dyn KeySource>,
    metadata: JwkSets,
}

impl TrustedIssuers {
    pub(super) fn new(keys: Arc<dyn KeySource>, outgoing: Outgoing) -> TrustedIssuers {
        TrustedIssuers { keys, metadata: JwkSets::metadata(outgoing) }
    }

    /// Where the metadata of an issuer say that its keys are (OpenID Connect Discovery 4).
    fn discovered(&self, tenant: &Tenant, issuer: &str) -> Answer<String> {
        let url = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let metadata = self.metadata.jwks(tenant.number(), &url, false)?;
        let text = |name: &str| metadata.get(name).and_then(Value::as_str);
        let uri = text("jwks_uri").filter(|uri| url::Url::parse(uri).is_ok_and(|uri| is_secure(&uri)));
        match uri.filter(|_| text("issuer") == Some(issuer)) {
            Some(uri) => Ok(uri.to_owned()),
            None => Err(unknown_keys("its metadata are of another issuer, or have no `jwks_uri`")),
        }
    }
}

fn unknown_keys(why: &str) -> Refusal {
    let text = "the keys of the issuer cannot be had now; try again later";
    Refusal::new(ErrorCode::TemporarilyUnavailable, "revocation.keys", text).because(why)
}

/// How an issuer whose assertions are taken may name people: as it may there. By what it says of identities at others
/// (`sub_id`) it asserts, and revokes nothing.
fn naming(mapping: SubjectMapping) -> Naming {
    match mapping {
        SubjectMapping::Linked | SubjectMapping::SubId => Naming::Linked,
        SubjectMapping::Same => Naming::Same,
        SubjectMapping::AudSub => Naming::Ours,
        SubjectMapping::Email => Naming::Email,
    }
}

impl Issuers for TrustedIssuers {
    fn trusted(&self, tenant: &Tenant, issuer: &str) -> Answer<Option<Trusted>> {
        let row = exchange::trusted_issuer(tenant, issuer)?;
        let providers = login::providers(tenant)?.into_iter().filter(|provider| provider.issuer == issuer);
        let clients: Vec<String> = providers.map(|provider| provider.client_id.clone()).collect();
        if row.is_none() && clients.is_empty() {
            return Ok(None);
        }
        let mut names: Vec<Naming> = row.iter().map(|row| naming(row.subject)).collect();
        if !clients.is_empty() && !names.contains(&Naming::Linked) {
            names.push(Naming::Linked);
        }
        let here = tenant.identity().issuing(issuer).is_some_and(|other| other.issuer() == issuer);
        let keys = match row.map(|row| row.value.keys) {
            _ if here => Keys::Here,
            None => Keys::Discovered,
            Some(IssuerKeys::Here) => Keys::Here,
            Some(IssuerKeys::Jwks(set)) => Keys::Jwks(set),
            Some(IssuerKeys::JwksUri(uri)) => Keys::JwksUri(uri),
        };
        Ok(Some(Trusted { issuer: issuer.to_owned(), clients, names, keys }))
    }

    fn keys(&self, tenant: &Tenant, trusted: &Trusted, fresh: bool, env: &Env<'_>) -> Answer<Arc<Value>> {
        let number = tenant.number();
        match &trusted.keys {
            Keys::Jwks(set) => Ok(Arc::new(set.clone())),
            Keys::JwksUri(uri) => self.keys.jwks(number, uri, fresh),
            Keys::Discovered => self.keys.jwks(number, &self.discovered(tenant, &trusted.issuer)?, fresh),
            Keys::Here => {
                let here = tenant.identity().issuing(&trusted.issuer);
                let here = here.filter(|other| other.issuer() == trusted.issuer);
                let here =
                    here.ok_or_else(|| unknown_keys("the row says that it is a tenant here, and there is none"))?;
                Ok(Arc::new(here.jwks(env)?))
            }
        }
    }
}

/// Posts with what a place wants to be shown, through the one client of other people's servers.
pub(super) struct Tokens {
    outgoing: Outgoing,
    begun: Instant,
}

impl Tokens {
    pub(super) fn new(outgoing: Outgoing) -> Tokens {
        Tokens { outgoing, begun: Instant::now() }
    }
}

impl Posts for Tokens {
    fn post(&self, message: &Message) -> Posted {
        let Ok(url) = message.url.parse() else { return Posted::Refused };
        let mut request = OutgoingRequest::new(Method::POST, url);
        if let Some(shown) = &message.authorization {
            let Ok(mut shown) = HeaderValue::try_from(shown.as_str()) else { return Posted::Refused };
            shown.set_sensitive(true);
            request.headers.insert(header::AUTHORIZATION, shown);
        }
        request.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(message.media));
        request.headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        request.body = Body::from(message.body.clone());
        (request.timeout, request.answer_bytes_max) = (TIMEOUT, ANSWER_BYTES_MAX);
        request.redirects = Redirects::Pass;
        match self.outgoing.wait(self.outgoing.send(request)) {
            Some(Ok(answer)) => Posted::Answered(answer.status.as_u16()),
            Some(Err(error)) => {
                tracing::info!(%error, "a revocation");
                if error.is_final() { Posted::Refused } else { Posted::Failed }
            }
            None => Posted::Failed,
        }
    }

    fn clock(&self) -> Duration {
        self.begun.elapsed()
    }
}
