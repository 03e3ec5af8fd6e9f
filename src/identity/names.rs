//! What ids, scopes, resources and classes of authentication may be called, and which URLs are safe to go to. Pure: whatever is
//! named in a request is read here first.

use super::{Answer, ErrorCode, Refusal};
use url::{Host, Url};

/// Longest id of a user or a client.
pub const ID_BYTES_MAX: usize = 64;
/// Scopes that are the issuer's own, whatever the resource: OpenID Connect Core 5.4 and 11.
pub const OPENID_SCOPES: [&str; 6] = ["openid", "profile", "email", "address", "phone", "offline_access"];
/// Most scopes of a resource, and of a request.
pub const SCOPES_MAX: usize = 64;
/// Longest scope.
pub const SCOPE_BYTES_MAX: usize = 128;
/// Longest identifier of a resource.
pub const RESOURCE_BYTES_MAX: usize = 512;
/// How strongly somebody was authenticated, from the weakest: one factor, two (NIST SP 800-63B), and one that cannot be
/// given to another site (OpenID Connect Extended Authentication Profile ACR Values 1.0).
pub const ACR_VALUES: [&str; 3] = ["aal1", "aal2", "phr"];

/// Whether nobody on the way reads what goes to a URL: it is `https`, or `http` of this machine.
#[must_use]
pub fn is_secure(url: &Url) -> bool {
    url.scheme() == "https" || (url.scheme() == "http" && is_loopback(url))
}

/// Whether a URL is of this machine.
#[must_use]
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// Whether an authentication of class `has` does where `wants` is asked. What is not one of [`ACR_VALUES`] does only for
/// itself.
#[must_use]
pub fn acr_satisfies(has: &str, wants: &str) -> bool {
    let rank = |acr: &str| ACR_VALUES.iter().position(|known| *known == acr);
    match (rank(has), rank(wants)) {
        (Some(has), Some(wants)) => has >= wants,
        _ => has == wants,
    }
}

/// What an id of a user, a client or a connection may be: what stands in tuples, keys and URLs without escapes.
///
/// # Errors
/// It is something else.
pub fn check_id(id: &str) -> Answer<()> {
    let fine = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if id.is_empty() || id.len() > ID_BYTES_MAX || !id.bytes().all(fine) {
        let text = format!("`{id}` cannot be an id; use 1 to {ID_BYTES_MAX} letters, digits, `-`, `_` and `.`");
        return Err(Refusal::new(ErrorCode::InvalidRequest, "id.form", text));
    }
    Ok(())
}

/// A scope as a part of an object's id: what may not stand there is escaped.
fn escaped(scope: &str) -> String {
    let mut text = String::new();
    for byte in scope.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._/+@".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

/// What [`escaped`] made a text of; `None` when it made none of it.
fn unescaped(text: &str) -> Option<String> {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let [first, behind @ ..] = rest {
        rest = behind;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (hex, behind) = rest.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok()?);
        rest = behind;
    }
    String::from_utf8(bytes).ok().filter(|scope| escaped(scope) == text)
}

/// The object that stands for a scope in the system store. What may not stand in an object's id is escaped.
#[must_use]
pub fn scope_object(resource: &str, scope: &str) -> String {
    format!("scope:{resource}|{}", escaped(scope))
}

/// The object that stands for a scope of a connection, in the same way. `connection` is the id alone.
#[must_use]
pub fn connection_scope_object(connection: &str, scope: &str) -> String {
    format!("connection_scope:{connection}|{}", escaped(scope))
}

/// The connection and the scope of an id of [`connection_scope_object`]; `None` when it is none.
#[must_use]
pub fn connection_scope_of(id: &str) -> Option<(String, String)> {
    scope_of(id)
}

/// The resource and the scope of an id of [`scope_object`], in the same way.
pub(super) fn scope_of(id: &str) -> Option<(String, String)> {
    let (of, scope) = id.split_once('|')?;
    Some((of.to_owned(), unescaped(scope)?))
}

/// Whether a text is a scope (RFC 6749 3.3).
#[must_use]
pub fn is_scope(text: &str) -> bool {
    let fine = |b: u8| b == 0x21 || (0x23..=0x5b).contains(&b) || (0x5d..=0x7e).contains(&b);
    !text.is_empty() && text.len() <= SCOPE_BYTES_MAX && text.bytes().all(fine)
}

/// The scopes of a parameter: words with blanks between them, each once, in the order given.
///
/// # Errors
/// One is malformed, or there are too many.
pub fn scopes_of(text: &str) -> Answer<Vec<String>> {
    let mut scopes: Vec<String> = Vec::new();
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        if !is_scope(word) {
            return Err(Refusal::new(ErrorCode::InvalidScope, "scope.form", "a scope has characters it may not have"));
        }
        if !scopes.iter().any(|scope| scope == word) {
            scopes.push(word.to_owned());
        }
    }
    if scopes.len() > SCOPES_MAX {
        let text = format!("a request has at most {SCOPES_MAX} scopes");
        return Err(Refusal::new(ErrorCode::InvalidScope, "scope.max", text));
    }
    Ok(scopes)
}

/// Whether a text may identify a resource (RFC 8707 2): an absolute URI without a fragment.
///
/// # Errors
/// It may not.
pub fn check_resource(identifier: &str) -> Answer<()> {
    let form = |uri: &Url| uri.fragment().is_none() && uri.username().is_empty() && uri.password().is_none();
    let ascii = identifier.bytes().all(|b| b.is_ascii_graphic());
    if identifier.len() > RESOURCE_BYTES_MAX || !ascii || !Url::parse(identifier).is_ok_and(|uri| form(&uri)) {
        let text = "a resource is an absolute URI without a fragment, as `https://api.example.com/`";
        return Err(Refusal::new(ErrorCode::InvalidTarget, "resource.form", text));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_in_an_id_is_read_back() {
        let object = connection_scope_object("crm", "https://a.example/x:y#z%|");
        assert_eq!(object, "connection_scope:crm|https%3A//a.example/x%3Ay%23z%25%7C");
        crate::tuple::ObjectRef::parse(&object).unwrap();
        let id = object.strip_prefix("connection_scope:").unwrap();
        assert_eq!(connection_scope_of(id), Some(("crm".to_owned(), "https://a.example/x:y#z%|".to_owned())));
        for bad in ["crm", "crm|a%", "crm|a%3", "crm|a%zz", "crm|a%3a", "crm|a%41", "crm|a:b"] {
            assert_eq!(connection_scope_of(bad), None, "{bad}");
        }
    }
}
