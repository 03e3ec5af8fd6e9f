//! What a client shows of itself in a request, read and not yet believed: one way and no other (RFC 6749 2.3). Pure.

use super::{Answer, ErrorCode, Form, Refusal, decode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// `client_assertion_type` of RFC 7523 2.2.
pub const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// `client_assertion_type` of a JWT-SVID (draft-ietf-oauth-spiffe-client-auth-02, 3.1).
pub const JWT_SPIFFE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe";

/// See the file's head. It has no `Debug`: secrets are among it.
pub(super) enum Shown<'a> {
    /// Id and secret of the `Authorization` header.
    Basic(String, String),
    /// Id and secret of the form.
    Post(&'a str, &'a str),
    /// A JWT of RFC 7523.
    Assertion(&'a str),
    /// A JWT-SVID.
    Svid(&'a str),
    /// An id alone: of a public client, or of one that shows a certificate.
    Nothing(&'a str),
}

pub(super) fn refuse(rule: &'static str) -> Refusal {
    Refusal::new(ErrorCode::InvalidClient, rule, "the client is unknown, or what it shows does not prove who it is")
}

pub(super) fn malformed(rule: &'static str, text: &str) -> Refusal {
    Refusal::new(ErrorCode::InvalidRequest, rule, text)
}

/// Id and secret of the header. Both are form-encoded within it (RFC 6749 2.3.1).
fn basic(header: &str) -> Option<(String, String)> {
    let (scheme, rest) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let bytes = STANDARD.decode(rest.trim()).ok().or_else(|| decode(rest.trim()))?;
    let text = String::from_utf8(bytes).ok()?;
    let (id, secret) = text.split_once(':')?;
    let plain = |part: &str| {
        let pair = url::form_urlencoded::parse(part.as_bytes()).next();
        pair.map(|(name, _)| name.into_owned()).unwrap_or_default()
    };
    Some((plain(id), plain(secret)))
}

impl<'a> Shown<'a> {
    /// Reads what a request shows. `authorization` is the value of the header.
    ///
    /// # Errors
    /// It shows nothing, shows it in several ways, or names two clients.
    pub(super) fn read(authorization: Option<&str>, form: &'a Form) -> Answer<Shown<'a>> {
        let (secret, assertion, named) =
            (form.get("client_secret"), form.get("client_assertion"), form.get("client_id"));
        let ways = [authorization.is_some(), secret.is_some(), assertion.is_some()];
        if ways.iter().filter(|way| **way).count() > 1 {
            return Err(malformed("client.several", "show who you are in one way, not in several"));
        }
        if let Some(header) = authorization {
            let (id, secret) = basic(header).ok_or_else(|| refuse("client.header"))?;
            if named.is_some_and(|named| named != id) {
                return Err(malformed("client.differs", "`client_id` is not the client of the header"));
            }
            return Ok(Shown::Basic(id, secret));
        }
        if let Some(assertion) = assertion {
            return match form.get("client_assertion_type") {
                Some(JWT_BEARER) => Ok(Shown::Assertion(assertion)),
                Some(JWT_SPIFFE) => Ok(Shown::Svid(assertion)),
                _ => Err(malformed(
                    "client.assertion_type",
                    "`client_assertion_type` is not that of a JWT or a JWT-SVID",
                )),
            };
        }
        let id = named.ok_or_else(|| refuse("client.none"))?;
        Ok(secret.map_or(Shown::Nothing(id), |secret| Shown::Post(id, secret)))
    }
}
