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
        // One value and no form of several: signs that would begin the next are of the value.
        let whole = part.replace('&', "%26").replace('=', "%3D");
        let pair = url::form_urlencoded::parse(whole.as_bytes()).next();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_whole() {
        let read = |pair: &str| basic(&format!("basic {}", STANDARD.encode(pair)));
        let pair = |id: &str, secret: &str| Some((id.to_owned(), secret.to_owned()));
        assert_eq!(read("crm:s3cr3t"), pair("crm", "s3cr3t"));
        assert_eq!(read("https%3A%2F%2Fa.example%2Fc:a+b%25%26%3D"), pair("https://a.example/c", "a b%&="));
        // Many send both as they are: what is behind such a sign is of the secret too.
        assert_eq!(read("crm:pass=word&more=="), pair("crm", "pass=word&more=="));
        assert_eq!(read("crm&x=1:s"), pair("crm&x=1", "s"));
        assert_eq!(read("crm:a:b"), pair("crm", "a:b"));
        assert_eq!(read(":"), pair("", ""));
        for bad in ["Basic", "Basic !", "Bearer Y3JtOnM=", "Basic Y3Jt", ""] {
            assert_eq!(basic(bad), None, "{bad}");
        }
    }
}
