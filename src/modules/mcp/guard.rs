//! Who is let in: the origin and host of a request, its one token, and the scopes that every call needs.

use super::resource::{Challenge, Resource, is_scope};
use super::{Judged, Presented, Refusal, Scheme, SettingsError, Tokens};
use crate::identity::StepUp;
use crate::tuple::Timestamp;
use crate::wire::Asked;
use http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HOST, HeaderName, ORIGIN, RETRY_AFTER, WWW_AUTHENTICATE,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Longest token that is looked at, in bytes.
pub const TOKEN_BYTES_MAX: usize = 8 << 10;
/// Longest DPoP proof that is looked at, in bytes.
const PROOF_BYTES_MAX: usize = 8 << 10;
/// Most parameters of a query that are looked at. More are refused: one of them could be a token.
const PARAMETERS_MAX: usize = 64;

/// Who may come to a resource, besides what tokens say.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GuardSpec {
    /// Scopes that every call needs.
    pub scopes: Vec<String>,
    /// Scopes that imply others: `mcp:crm:write` may imply `mcp:crm:read`.
    pub implies: BTreeMap<String, Vec<String>>,
    /// Web origins whose pages may call, besides the resource's own: `https://app.example.com`.
    pub origins: Vec<String>,
    /// Names that clients may use in `Host`, besides the resource's own.
    pub hosts: Vec<String>,
}

/// Stands before a protected resource: a request that it admits has a token for exactly this resource.
#[derive(Clone)]
pub struct Guard {
    inner: Arc<Inner>,
}

struct Inner {
    resource: Resource,
    tokens: Arc<dyn Tokens>,
    spec: GuardSpec,
}

/// Why a request is not admitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denial {
    /// A browser's page of a foreign origin asks, or one that was sent here by a foreign name (DNS rebinding).
    Origin,
    /// The request for the token is malformed, or the token stands where it must not.
    Malformed(&'static str),
    /// There is no token.
    Missing,
    /// The token does not open this resource.
    Refused(Refusal),
    /// The token is good, and lacks a scope; these are all that the call needs.
    Scope(Vec<String>),
}

impl Guard {
    /// A guard.
    ///
    /// # Errors
    /// A scope, origin or host that cannot be one.
    pub fn new(resource: Resource, tokens: Arc<dyn Tokens>, spec: GuardSpec) -> Result<Guard, SettingsError> {
        let implied = spec.implies.iter().flat_map(|(scope, implied)| implied.iter().chain([scope]));
        if let Some(scope) = spec.scopes.iter().chain(implied).find(|scope| !is_scope(scope)) {
            return Err(SettingsError(format!("the scope `{scope}` has characters that no scope has")));
        }
        let is_origin =
            |text: &String| url::Url::parse(text).is_ok_and(|url| url.origin().ascii_serialization() == *text);
        if let Some(origin) = spec.origins.iter().find(|origin| !is_origin(origin)) {
            return Err(SettingsError(format!("`{origin}` is no origin; write it as `https://app.example.com`")));
        }
        let is_host = |text: &String| text.parse::<http::uri::Authority>().is_ok_and(|a| !a.as_str().contains('@'));
        if let Some(host) = spec.hosts.iter().find(|host| !is_host(host)) {
            return Err(SettingsError(format!("`{host}` is no host; write it as `mcp.example.com` or with its port")));
        }
        Ok(Guard { inner: Arc::new(Inner { resource, tokens, spec }) })
    }

    /// The resource that it guards.
    #[must_use]
    pub fn resource(&self) -> &Resource {
        &self.inner.resource
    }

    /// Scopes that every call needs.
    pub(super) fn scopes(&self) -> &[String] {
        &self.inner.spec.scopes
    }

    /// Judges the head of a request.
    ///
    /// # Errors
    /// Why it is not admitted; [`Guard::refuse`] makes the answer of it.
    pub fn admit(&self, head: &Parts, now: Timestamp) -> Result<Judged, Denial> {
        self.judge_place(head)?;
        let presented = self.presented(head)?;
        let inner = &*self.inner;
        let mut judged = inner.tokens.judge(&presented, inner.resource.url(), now).map_err(Denial::Refused)?;
        judged.scopes = self.closed(judged.scopes);
        self.need(&judged, &[]).map(|()| judged)
    }

    /// The scopes that a token has, and those that they imply.
    fn closed(&self, scopes: Vec<String>) -> Vec<String> {
        let mut closed: BTreeSet<String> = scopes.iter().cloned().collect();
        let mut open = scopes;
        // Each scope is opened once, so that rings end.
        while let Some(scope) = open.pop() {
            let implied = self.inner.spec.implies.get(&scope).into_iter().flatten();
            open.extend(implied.filter(|scope| closed.insert((*scope).clone())).cloned());
        }
        closed.into_iter().collect()
    }

    /// Whether a token has all scopes of a call.
    ///
    /// # Errors
    /// It lacks one; the answer that [`Guard::refuse`] makes asks for all of them.
    pub fn need(&self, judged: &Judged, scopes: &[&str]) -> Result<(), Denial> {
        let mut all: Vec<&str> = self.scopes().iter().map(String::as_str).collect();
        all.extend(scopes.iter().filter(|scope| !self.scopes().iter().any(|own| own == *scope)));
        if all.iter().all(|scope| judged.has_scope(scope)) {
            return Ok(());
        }
        Err(Denial::Scope(all.into_iter().map(str::to_owned).collect()))
    }

    /// Whether the person of a token was authenticated as well, and as lately, as a call asks (RFC 9470).
    ///
    /// # Errors
    /// They were not, or there is none; the answer that [`Guard::refuse`] makes says what is asked for.
    pub fn demand(&self, judged: &Judged, step_up: &StepUp, now: Timestamp) -> Result<(), Denial> {
        let seconds = u64::try_from(now.0 / 1_000_000_000).unwrap_or(0);
        if step_up.is_met(judged.authentication.as_ref(), seconds) {
            return Ok(());
        }
        Err(Denial::Refused(Refusal::for_step_up(step_up)))
    }

    /// Whether a browser's page of that origin may call.
    pub(super) fn knows_origin(&self, origin: &HeaderValue) -> bool {
        let known = |own: &str| own.as_bytes() == origin.as_bytes();
        known(&self.inner.resource.origin()) || self.inner.spec.origins.iter().any(|own| known(own))
    }

    /// Origin and Host, against DNS rebinding (MCP, Streamable HTTP, security).
    pub(super) fn judge_place(&self, head: &Parts) -> Result<(), Denial> {
        if !head.headers.get_all(ORIGIN).iter().all(|origin| self.knows_origin(origin)) {
            return Err(Denial::Origin);
        }
        let mut hosts = head.headers.get_all(HOST).iter();
        let named = match (head.uri.authority(), hosts.next()) {
            (Some(authority), _) => authority.as_str().as_bytes(),
            (None, Some(host)) => host.as_bytes(),
            (None, None) => return Err(Denial::Origin),
        };
        let own = self.inner.resource.authority();
        let known = |host: &str| host.as_bytes().eq_ignore_ascii_case(named);
        let one = hosts.next().is_none();
        if one && (known(&own) || self.inner.spec.hosts.iter().any(|host| known(host))) {
            Ok(())
        } else {
            Err(Denial::Origin)
        }
    }

    fn presented<'a>(&'a self, head: &'a Parts) -> Result<Presented<'a>, Denial> {
        let query = head.uri.query().unwrap_or_default();
        let mut names = url::form_urlencoded::parse(query.as_bytes()).map(|(name, _)| name);
        if names.by_ref().take(PARAMETERS_MAX).any(|name| name == "access_token") || names.next().is_some() {
            return Err(Denial::Malformed("a token must not be in the query; send it in `Authorization`"));
        }
        let Some(value) = only(&head.headers, &AUTHORIZATION)? else { return Err(Denial::Missing) };
        let malformed = Denial::Malformed("`Authorization` is not `Bearer TOKEN` or `DPoP TOKEN`");
        let text = value.to_str().map_err(|_| malformed.clone())?;
        let (scheme, token) = text.split_once(' ').ok_or_else(|| malformed.clone())?;
        let scheme = match scheme {
            s if s.eq_ignore_ascii_case("Bearer") => Scheme::Bearer,
            s if s.eq_ignore_ascii_case("DPoP") && self.inner.resource.takes_proofs() => Scheme::Dpop,
            _ => return Err(Denial::Missing), // another scheme is no token (RFC 6750, section 3.1)
        };
        let token = token.trim_matches(' ');
        let is_token = |b: u8| b.is_ascii_alphanumeric() || b"-._~+/=".contains(&b);
        if token.is_empty() || token.len() > TOKEN_BYTES_MAX || !token.bytes().all(is_token) {
            return Err(malformed);
        }
        let proof = only(&head.headers, &HeaderName::from_static("dpop"))?;
        let proof = proof.map(|value| value.to_str()).transpose();
        let proof = proof.map_err(|_| Denial::Malformed("`DPoP` is no proof"))?;
        if proof.is_some_and(|proof| proof.len() > PROOF_BYTES_MAX) {
            return Err(Denial::Malformed("`DPoP` is longer than any proof"));
        }
        if scheme == Scheme::Bearer && self.inner.resource.demands_proofs() {
            return Err(Denial::Refused(Refusal::Proof {
                reason: "this resource takes tokens with DPoP only".into(),
                nonce: None,
            }));
        }
        let certificate = head.extensions.get::<Asked>().and_then(Asked::certificate);
        let (method, url) = (head.method.as_str(), self.inner.resource.url());
        Ok(Presented { scheme, token, proof, method, url, certificate })
    }

    /// The answer to a request that is not admitted. `scopes` are what the call needs, as far as that is known.
    #[must_use]
    pub fn refuse(&self, denial: &Denial, scopes: &[String]) -> Response<Vec<u8>> {
        let scopes = if scopes.is_empty() { self.scopes() } else { scopes };
        let dpop_first = self.inner.resource.demands_proofs();
        let mut challenge = Challenge {
            scheme: if dpop_first { "DPoP" } else { "Bearer" },
            error: None,
            description: "",
            scopes,
            acr_values: None,
            max_age_s: None,
        };
        let status = match denial {
            Denial::Origin => return plain(StatusCode::FORBIDDEN, "invalid_request", "foreign Origin or Host"),
            Denial::Malformed(why) => {
                (challenge.error, challenge.description) = (Some("invalid_request"), why);
                StatusCode::BAD_REQUEST
            }
            Denial::Missing => StatusCode::UNAUTHORIZED,
            Denial::Scope(needed) => {
                challenge.error = Some("insufficient_scope");
                challenge.description = "the token lacks a scope that this call needs";
                challenge.scopes = needed;
                StatusCode::FORBIDDEN
            }
            Denial::Refused(Refusal::Unavailable) => {
                let mut response = plain(StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable", "try again later");
                response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
                return response;
            }
            Denial::Refused(refusal) => {
                match refusal {
                    Refusal::Invalid { reason } => {
                        (challenge.error, challenge.description) = (Some("invalid_token"), &**reason);
                    }
                    Refusal::Proof { reason, nonce } => {
                        let error = if nonce.is_some() { "use_dpop_nonce" } else { "invalid_dpop_proof" };
                        (challenge.scheme, challenge.error, challenge.description) = ("DPoP", Some(error), &**reason);
                    }
                    Refusal::StepUp { acr_values, max_age_s } => {
                        challenge.error = Some("insufficient_user_authentication");
                        challenge.description = "the user has to authenticate again";
                        (challenge.acr_values, challenge.max_age_s) = (acr_values.as_deref(), *max_age_s);
                    }
                    Refusal::Unavailable => {}
                }
                StatusCode::UNAUTHORIZED
            }
        };
        let mut response = plain(status, challenge.error.unwrap_or("unauthorized"), challenge.description);
        response.headers_mut().append(WWW_AUTHENTICATE, self.inner.resource.challenge(&challenge));
        // Who comes with nothing learns of both ways.
        if *denial == Denial::Missing && self.inner.resource.takes_proofs() && !dpop_first {
            challenge.scheme = "DPoP";
            response.headers_mut().append(WWW_AUTHENTICATE, self.inner.resource.challenge(&challenge));
        }
        if let Denial::Refused(Refusal::Proof { nonce: Some(nonce), .. }) = denial
            && let Ok(nonce) = HeaderValue::try_from(nonce)
        {
            response.headers_mut().insert("dpop-nonce", nonce);
        }
        response
    }
}

/// The one value of a header, if it is there at all.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a HeaderValue>, Denial> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() {
        return Err(Denial::Malformed("`Authorization` or `DPoP` is there twice; send one"));
    }
    Ok(first)
}

/// A refusal as OAuth errors are written. Not for caches.
fn plain(status: StatusCode, error: &str, description: &str) -> Response<Vec<u8>> {
    let body = serde_json::json!({"error": error, "error_description": description});
    let mut response = Response::new(body.to_string().into_bytes());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
