//! The vault: paths of calls, answers of token endpoints and settings of connections, without the credentials that it keeps.

#[path = "../../../src/modules/vault/answer.rs"]
mod answer;
#[path = "../../../src/modules/vault/policy.rs"]
mod policy;
mod records;

pub use policy::{ProxyRule, SafePath};
pub use records::{ClientAuth, ConnectionSpec, Hidden, Provider, Secret};

use crate::identity::{Answer, Seconds};
use http::HeaderMap;

/// A credential as an answer gives it.
pub struct Given {
    /// The secret.
    pub secret: Secret,
    /// What it is for.
    pub scopes: Vec<String>,
    /// When its token is over.
    pub expires_at: Option<Seconds>,
    /// Whether another can be had.
    pub refreshable: bool,
    /// The credential as it is written into logs.
    pub debug: String,
}

/// Reads an answer of a token endpoint.
///
/// # Errors
/// What of its fault is said anywhere: to the caller, and to who runs this.
pub fn read_answer(
    status: u16,
    body: &[u8],
    provider: &Provider,
    before: Option<&Secret>,
    now: Seconds,
) -> Result<Given, String> {
    match answer::read_answer(status, body, provider, before.map(|secret| (secret, &[][..])), now) {
        Ok(new) => {
            let debug = format!("{new:?}");
            let records::NewCredential { scopes, expires_at, refreshable, secret } = new;
            Ok(Given { secret, scopes, expires_at, refreshable, debug })
        }
        Err(fault) => Err(format!("{fault:?} {:?}", fault.refusal("crm"))),
    }
}

/// The URL of a call.
///
/// # Errors
/// It would lead out of the connection.
pub fn upstream_url(spec: &ConnectionSpec, path: &SafePath, query: Option<&str>) -> Answer<url::Url> {
    policy::upstream_url(spec, path, query)
}

/// What of a caller's headers is sent on.
pub fn sent_headers(from: &HeaderMap) -> HeaderMap {
    policy::sent_headers(from)
}

/// What of an answer's headers the caller sees.
pub fn answered_headers(from: &HeaderMap) -> HeaderMap {
    policy::answered_headers(from)
}
