//! The vault: what providers answer, and what callers want to be sent.

use crate::pick::{Pick, words};
use bailiwick_fuzz::identity::is_scope;
use bailiwick_fuzz::modules::vault::{
    ConnectionSpec, Hidden, Provider, ProxyRule, SafePath, Secret, answered_headers, read_answer, sent_headers, upstream_url,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::{Value, json};

const NOW: u64 = 1_700_000_000;
const TOKEN: &str = "s3cr3t-access-token-0123";
const REFRESH: &str = "s3cr3t-refresh-token-456";

fn spec(provider: Value) -> ConnectionSpec {
    serde_json::from_value(json!({
        "id": "crm", "name": "CRM", "holder": "user", "base": "https://api.example.com/v1", "provider": provider, "rules": [],
    }))
    .expect("a connection")
}

fn oauth() -> Provider {
    let provider = json!({"type": "oauth2", "authorize_url": "https://a.example/a", "token_url": "https://a.example/t",
        "client_id": "us", "scopes": ["crm.read"]});
    spec(provider).provider
}

fn service_account() -> Provider {
    spec(json!({"type": "service_account", "token_url": "https://a.example/t", "account": "us", "scopes": ["drive"]})).provider
}

fn identity_assertion() -> Provider {
    let provider = json!({"type": "identity_assertion", "issuer": "https://a.example", "token_url": "https://a.example/t", "client_id": "us",
        "resource": "https://a.example/mcp"});
    spec(provider).provider
}

/// An answer is a credential that can be sent and looked for, or a fault; and neither that, nor what is written into logs,
/// says anything that the provider said.
#[test]
fn token_answers() {
    const WORDS: [&str; 26] = [
        "{", "}", ",", ":", "\"access_token\":\"s3cr3t-access-token-0123\"", "\"refresh_token\":\"s3cr3t-refresh-token-456\"",
        "\"access_token\":\"s3cr3t access\"", "\"access_token\":7", "\"access_token\":null", "\"token_type\":\"Bearer\"",
        "\"token_type\":\"mac\"", "\"token_type\":\"s3cr3t\"", "\"expires_in\":3600", "\"expires_in\":\"60\"",
        "\"expires_in\":18446744073709551615", "\"expires_in\":-1", "\"scope\":\"a b,c \\\"d s3cr3t\"", "\"error\":\"invalid_grant\"",
        "\"error\":\"s3cr3t\"", "\"error_description\":\"s3cr3t\"", "\"error\":\"slow_down\"", "\"x\":{}", "s3cr3t", " ", "\"scope\":7", "[",
    ];
    let before = [
        None,
        Some(Secret::Oauth2 { access_token: Hidden::new("old-access-0123".into()), refresh_token: Some(Hidden::new(REFRESH.into())) }),
        Some(Secret::ServiceAccount { private_key: Hidden::new("s3cr3t-key".into()), access_token: None }),
    ];
    bolero::check!().for_each(|input: &[u8]| {
        let mut pick = Pick(input);
        let status = pick.of(&[200, 200, 201, 302, 400, 401, 429, 500, 599]);
        let (which, had) = pick.of(&[(0, 0), (0, 1), (1, 2), (1, 0), (2, 0)]);
        let (provider, before) = ([oauth, service_account, identity_assertion][which](), &before[had]);
        let members: Vec<&str> = (0..pick.below(6)).map(|_| pick.of(&WORDS[4..])).collect();
        let made = format!("{{{}}}", members.join(","));
        for body in [made.as_bytes(), words(input, &WORDS).as_bytes(), input] {
            match read_answer(status, body, &provider, before.as_ref(), NOW) {
                Ok(given) => {
                    assert!((200..300).contains(&status));
                    assert!(!given.debug.contains("s3cr3t-"), "{}", given.debug);
                    assert!(given.scopes.len() <= 128 && given.scopes.iter().all(|scope| is_scope(scope)));
                    assert!(given.expires_at.is_none_or(|end| (NOW..=NOW + 10 * 366 * 24 * 3_600).contains(&end)));
                    let token = given.secret.access_token().expect("a token");
                    let is_token = |text: &str| {
                        let fits = (1..=bailiwick_fuzz::secrets::HELD_SECRET_BYTES_MAX).contains(&text.len());
                        fits && text.bytes().all(|byte| byte.is_ascii_graphic())
                    };
                    // What an assertion gets is a bearer token that says so, and no more than that.
                    let said: Value = serde_json::from_slice(body).expect("JSON");
                    let says_bearer = said["token_type"].as_str().is_some_and(|kind| kind.eq_ignore_ascii_case("bearer"));
                    assert!(which != 2 || says_bearer && !given.refreshable && given.secret.texts() == [token]);
                    assert!(is_token(token) && HeaderValue::try_from(format!("Bearer {token}")).is_ok());
                    match (&given.secret, before) {
                        (Secret::Oauth2 { refresh_token, .. }, _) => {
                            assert_eq!(refresh_token.is_some(), given.refreshable);
                            assert!(refresh_token.as_ref().is_none_or(|token| is_token(token)));
                            // One that there was is never lost.
                            let had = matches!(before, Some(Secret::Oauth2 { refresh_token: Some(_), .. }));
                            assert!(refresh_token.is_some() || !had);
                        }
                        (secret, Some(Secret::ServiceAccount { private_key, .. })) => {
                            assert!(secret.texts().contains(&&**private_key) && given.refreshable);
                        }
                        (secret, _) => panic!("{secret:?}"),
                    }
                    let kept = serde_json::to_vec(&given.secret).expect("JSON");
                    assert_eq!(serde_json::from_slice::<Secret>(&kept).expect("our own"), given.secret);
                }
                Err(said) => {
                    assert!(!said.contains("s3cr3t"), "{said}");
                    assert!(!String::from_utf8_lossy(body).contains(TOKEN) || status >= 300 || !said.contains(TOKEN));
                }
            }
        }
    });
}

/// A path that is taken is read alike by all, and leads nowhere but below the connection; a rule lets it through only below
/// what the rule says.
#[test]
fn proxy_paths() {
    const WORDS: [&str; 28] = [
        "/", "v1", "contacts", "admin", "..", ".", "%2e", "%2E%2e", "%2f", "%5c", "\\", "%25", "%252e", ";", "..;x", "%00", "%0a", "?", "#", "@",
        "//", "é", "%C3%A9", "%ff", "*", "a b", ":443", "\t",
    ];
    let spec = spec(json!({"type": "api_key_query", "parameter": "key"}));
    let rule = |path: &str| ProxyRule { methods: vec!["GET".into()], path: path.into(), scope: None, acr: None, max_age: None };
    let (below, one) = (rule("/contacts/**"), rule("/contacts/*/notes"));
    assert!(below.check().is_ok() && one.check().is_ok());
    bolero::check!().for_each(|input: &[u8]| {
        for text in [String::from_utf8_lossy(input).into_owned(), words(input, &WORDS), format!("/{}", words(input, &WORDS))] {
            let Ok(path) = SafePath::read(&text) else { continue };
            assert!(text.len() <= 2_048 && path.raw() == text);
            let query = words(input, &["key", "=", "&", "x", "%6b", "ey", "#", "+"]);
            for query in [None, Some(query.as_str())] {
                let Ok(url) = upstream_url(&spec, &path, query) else { continue };
                assert_eq!((url.scheme(), url.host_str(), url.port()), ("https", Some("api.example.com"), None));
                assert!(url.path().starts_with("/v1/") && url.username().is_empty() && url.fragment().is_none(), "{url}");
                assert!(!url.query_pairs().any(|(name, _)| name == "key"), "{url}");
                // What the other side may make of it, when it decodes once more than it should.
                let decoded = percent_decoded(url.path().strip_prefix("/v1/").unwrap());
                let climbs = |part: &str| part == ".." || part == "." || part.starts_with("..;");
                assert!(!decoded.split(['/', '\\']).any(climbs), "{url}");
                assert_eq!(decoded.matches('/').count(), text.matches('/').count() - 1, "{url}");
                let parts: Vec<&str> = decoded.split('/').collect();
                assert!(!below.lets(&Method::GET, &path) || parts[0] == "contacts", "{url}");
                if one.lets(&Method::GET, &path) {
                    assert!(matches!(parts.as_slice(), ["contacts", one, "notes"] if !one.is_empty()), "{url}");
                }
            }
            assert!(!below.lets(&Method::POST, &path));
        }
        let pattern = words(input, &["/", "*", "**", "a", "..", "%2f", "b"]);
        let rule = rule(&pattern);
        if rule.check().is_ok()
            && let Ok(path) = SafePath::read(&pattern.replace('*', "x"))
            && !pattern.contains("**")
        {
            assert!(rule.lets(&Method::GET, &path), "{pattern} lets {path:?}");
        }
    });
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = text.bytes();
    let mut out = Vec::new();
    while let Some(byte) = bytes.next() {
        let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16)).and_then(|d| u8::try_from(d).ok());
        match byte {
            b'%' => out.extend(digit(bytes.next()).zip(digit(bytes.next())).map(|(high, low)| high << 4 | low)),
            byte => out.push(byte),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// No header that shows who calls goes on, nor one that a `Connection` header names; and none comes back that would speak
/// for us.
#[test]
fn proxy_headers() {
    const NAMES: [&str; 14] = [
        "authorization", "cookie", "host", "connection", "x-forwarded-for", "x-api", "accept", "set-cookie", "dpop", "content-type",
        "transfer-encoding", "x-http-method-override", "bailiwick-answered-by", "range",
    ];
    bolero::check!().for_each(|input: &[u8]| {
        let mut pick = Pick(input);
        let mut headers = HeaderMap::new();
        for _ in 0..pick.below(8) {
            let value = pick.of(&["x-api", "close, X-API", "accept,x-api ,", "a", "s3cr3t"]);
            headers.append(HeaderName::from_static(pick.of(&NAMES)), HeaderValue::from_static(value));
        }
        if let Ok(value) = HeaderValue::from_bytes(&[pick.0, b", x-api"].concat()) {
            headers.append("connection", value);
        }
        let named: Vec<String> = headers
            .get_all("connection")
            .iter()
            .flat_map(|value| String::from_utf8_lossy(value.as_bytes()).to_lowercase().split(',').map(|n| n.trim().to_owned()).collect::<Vec<_>>())
            .collect();
        let (sent, answered) = (sent_headers(&headers), answered_headers(&headers));
        for name in ["authorization", "cookie", "host", "x-forwarded-for", "dpop", "x-http-method-override", "range"] {
            assert!(!sent.contains_key(name), "{name}");
        }
        for name in ["set-cookie", "authorization", "bailiwick-answered-by"] {
            assert!(!answered.contains_key(name), "{name}");
        }
        for passed in [sent, answered] {
            assert!(!passed.contains_key("connection") && !passed.contains_key("transfer-encoding"));
            assert!(passed.keys().all(|name| !named.iter().any(|known| known == name.as_str())), "{passed:?} of {headers:?}");
        }
    });
}

/// Any settings of a connection are read and written alike, or refused.
#[test]
fn connections() {
    const NAMES: [&str; 13] = [
        "type", "authorize_url", "token_url", "client_id", "client_auth", "scopes", "header", "prefix", "parameter", "account", "x", "issuer", "resource",
    ];
    const TEXTS: [&str; 9] =
        ["oauth2", "service_account", "identity_assertion", "api_key_header", "api_key_query", "basic", "post", "https://a.example/", "a"];
    bolero::check!().for_each(|input: &[u8]| {
        let mut pick = Pick(input);
        let mut provider = Value::from(pick.object(&NAMES, &TEXTS, 2));
        provider["type"] = pick.of(&TEXTS).into();
        let made = json!({"id": "a", "name": "a", "holder": pick.of(&["user", "agent", "user_and_agent", "x"]), "base": "https://a.example", "provider": provider,
            "rules": [{"methods": ["GET"], "path": pick.of(&["/**", "a", ""])}]});
        for value in [made, serde_json::from_slice(input).unwrap_or_default()] {
            if let Ok(spec) = serde_json::from_value::<ConnectionSpec>(value) {
                let written = serde_json::to_value(&spec).expect("JSON");
                assert_eq!(serde_json::from_value::<ConnectionSpec>(written).expect("our own"), spec);
            }
        }
    });
}
