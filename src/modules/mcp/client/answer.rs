//! What an authorization server answers: to a person's browser (RFC 6749 4.1.2, RFC 9207), and with tokens (RFC 6749 5).

use super::fault::{ClientError, shown};
use super::metadata::{Members, ServerMetadata};
use crate::identity::same;
use std::collections::BTreeMap;
use std::fmt;
use url::{Url, form_urlencoded};
use zeroize::Zeroizing;

/// Longest secret, token, code or assertion that is used, in bytes.
pub const CLIENT_SECRET_BYTES_MAX: usize = 16 << 10;
/// Most parameters of an answer to a browser.
const PARAMETERS_MAX: usize = 32;

/// The code that a browser came back with.
///
/// `state` first, so that nothing of an answer to another request is believed; then `iss`, before a code or an error is.
///
/// # Errors
/// The answer is of another request or another server, or it is a refusal.
pub fn code_of(answer: &Url, state: &str, server: &ServerMetadata) -> Result<Zeroizing<String>, ClientError> {
    const WHAT: &str = "the answer that the browser brought";
    let mut parameters: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in form_urlencoded::parse(answer.query().unwrap_or_default().as_bytes()).into_owned() {
        if parameters.insert(name, value).is_some() || parameters.len() > PARAMETERS_MAX {
            return Err(ClientError::malformed(WHAT, "it says something twice, or very much"));
        }
    }
    let get = |name: &str| parameters.get(name).map(String::as_str);
    if !get("state").is_some_and(|said| same(said, state)) {
        return Err(ClientError::State);
    }
    match get("iss") {
        Some(said) if said != server.issuer => {
            return Err(ClientError::Iss { expected: server.issuer.clone(), said: shown(said) });
        }
        None if server.iss => return Err(ClientError::NoIss { issuer: server.issuer.clone() }),
        Some(_) | None => {}
    }
    if let Some(code) = get("error") {
        let said = get("error_description").map(|text| format!(": {}", shown(text))).unwrap_or_default();
        return Err(ClientError::Denied { what: server.issuer.clone(), code: shown(code), said });
    }
    let code = get("code").filter(|code| !code.is_empty() && code.len() <= CLIENT_SECRET_BYTES_MAX);
    code.map(|code| Zeroizing::new(code.to_owned())).ok_or_else(|| ClientError::malformed(WHAT, "it has no code"))
}

/// A token, and what came with it.
pub struct Token {
    /// The token.
    pub access: Zeroizing<String>,
    /// Whether it wants a proof of its key.
    pub dpop: bool,
    /// A token for the next one.
    pub refresh: Option<Zeroizing<String>>,
    /// How long it is good, in seconds.
    pub life_s: Option<u64>,
    /// Its scopes, where they are said; they are those that were asked for otherwise (RFC 6749 5.1).
    pub scopes: Option<Vec<String>>,
    /// What it is, in an exchange (RFC 8693 2.2.1).
    pub issued: Option<String>,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token(hidden, {:?})", self.scopes)
    }
}

/// Reads an answer with a token. `proved` says whether a proof went with the request.
///
/// # Errors
/// It is malformed, or a token of another kind than was asked for.
pub fn token_of(body: &[u8], proved: bool) -> Result<Token, ClientError> {
    const WHAT: &str = "the answer with the token";
    let members = Members::read(WHAT, body)?;
    let access = members.secret("access_token", CLIENT_SECRET_BYTES_MAX)?;
    let access = access.filter(|token| token.bytes().all(|b| b.is_ascii_graphic()));
    let access = access.ok_or_else(|| ClientError::malformed(WHAT, "it has no `access_token` that could be sent"))?;
    let kind = members.need("token_type")?;
    let dpop = kind.eq_ignore_ascii_case("dpop");
    let fine = dpop || kind.eq_ignore_ascii_case("bearer") || kind.eq_ignore_ascii_case("n_a");
    if !fine || dpop && !proved {
        return Err(ClientError::malformed(
            WHAT,
            format!("its `token_type` is {}; say --dpop where tokens are bound to a key", shown(&kind)),
        ));
    }
    if proved && !dpop && !kind.eq_ignore_ascii_case("n_a") {
        return Err(ClientError::malformed(
            WHAT,
            "the token is not bound to the key that was proved, though that was asked for",
        ));
    }
    let scopes = members.text("scope")?.map(|text| words(&text));
    Ok(Token {
        access: Zeroizing::new(access),
        dpop,
        refresh: members.secret("refresh_token", CLIENT_SECRET_BYTES_MAX)?.map(Zeroizing::new),
        life_s: members.seconds("expires_in"),
        scopes,
        issued: members.text("issued_token_type")?,
    })
}

/// The error of an answer without a token: its code, and what it says of it.
#[must_use]
pub fn error_of(body: &[u8]) -> Option<(String, String)> {
    let members = Members::read("an error", body).ok()?;
    let code = members.need("error").ok()?;
    let said = members.text("error_description").ok().flatten();
    Some((shown(&code), said.map(|text| format!(": {}", shown(&text))).unwrap_or_default()))
}

/// The words of a list with blanks between them, each once.
#[must_use]
pub fn words(text: &str) -> Vec<String> {
    union(&[], text.split(' ').filter(|word| !word.is_empty()))
}

/// What was there, and what is new behind it (SEP-2350).
#[must_use]
pub fn union<'a>(before: &[String], more: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut all = before.to_vec();
    for one in more {
        if !all.iter().any(|known| known == one) {
            all.push(one.to_owned());
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modules::mcp::client::metadata::server_metadata;
    use serde_json::json;

    fn server(iss: bool) -> ServerMetadata {
        let body = json!({"issuer": "https://id.example", "token_endpoint": "https://id.example/token",
                          "authorization_response_iss_parameter_supported": iss});
        server_metadata(body.to_string().as_bytes(), "https://id.example").unwrap()
    }

    fn code(query: &str, iss: bool) -> Result<String, ClientError> {
        let url = Url::parse(&format!("http://127.0.0.1:1/cb?{query}")).unwrap();
        code_of(&url, "the-state", &server(iss)).map(|code| code.to_string())
    }

    #[test]
    fn an_answer_is_of_this_request_and_this_server() {
        assert_eq!(code("code=c&state=the-state&iss=https://id.example", true).unwrap(), "c");
        assert_eq!(code("code=c&state=the-state", false).unwrap(), "c");
        for query in ["code=c", "code=c&state=", "code=c&state=other&iss=https://id.example", "error=access_denied"] {
            assert!(matches!(code(query, true), Err(ClientError::State)), "{query}");
        }
        assert!(matches!(code("code=c&state=the-state", true), Err(ClientError::NoIss { .. })));
        for iss in ["https://evil.example", "https://id.example/", "https://ID.example", "https://id.example:443", ""] {
            for advertised in [true, false] {
                let query = format!("code=c&state=the-state&iss={iss}");
                assert!(matches!(code(&query, advertised), Err(ClientError::Iss { .. })), "{iss}");
                let error = format!("error=access_denied&state=the-state&iss={iss}");
                assert!(
                    matches!(code(&error, advertised), Err(ClientError::Iss { .. })),
                    "an error is no more believed: {iss}"
                );
            }
        }
        let denied = code("error=access_denied&error_description=no%1b[31m&state=the-state", false).unwrap_err();
        assert!(denied.to_string().ends_with("access_denied: no⟨U+001B⟩[31m"), "{denied}");
        for query in ["state=the-state", "code=&state=the-state", "code=a&code=b&state=the-state"] {
            assert!(matches!(code(query, false), Err(ClientError::Malformed { .. })), "{query}");
        }
    }

    #[test]
    fn a_token_is_of_the_kind_that_was_asked_for() {
        let read = |kind: &str, proved: bool| {
            let body = json!({"access_token": "t", "token_type": kind, "scope": "a b a", "expires_in": 60}).to_string();
            token_of(body.as_bytes(), proved)
        };
        let token = read("bearer", false).unwrap();
        assert_eq!((token.scopes.unwrap(), token.life_s, token.dpop), (words("a b"), Some(60), false));
        assert!(read("DPoP", true).unwrap().dpop);
        for (kind, proved) in [("DPoP", false), ("Bearer", true), ("mac", false), ("", false)] {
            assert!(read(kind, proved).is_err(), "{kind}");
        }
        for body in [
            json!({"token_type": "Bearer"}),
            json!({"access_token": "a b", "token_type": "Bearer"}),
            json!({"access_token": "t"}),
        ] {
            assert!(token_of(body.to_string().as_bytes(), false).is_err(), "{body}");
        }
        let hidden =
            format!("{:?}", token_of(br#"{"access_token": "sesame", "token_type": "Bearer"}"#, false).unwrap());
        assert!(!hidden.contains("sesame"));
        assert_eq!(error_of(br#"{"error": "invalid_grant"}"#).unwrap().0, "invalid_grant");
        assert!(error_of(b"<html>").is_none());
    }
}
