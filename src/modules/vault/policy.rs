//! What a call through the proxy may be: its path as one reading of it, the rule that lets it through, the URL that it becomes,
//! and the headers that pass in either direction. Pure.

use super::records::{ConnectionSpec, Provider};
use crate::identity::{ACR_VALUES, Answer, Authentication, ErrorCode, Refusal, Seconds, StepUp};
use http::Method;
use http::header::{self, HeaderMap, HeaderName};
use serde::{Deserialize, Serialize};
use url::Url;

/// Most rules of a connection.
pub(super) const RULES_MAX: usize = 128;
/// Longest pattern of a path, and longest path.
pub(super) const PATH_BYTES_MAX: usize = 2_048;
/// Most segments of a path.
pub(super) const SEGMENTS_MAX: usize = 64;
/// Longest query of a call.
const QUERY_BYTES_MAX: usize = 6 << 10;
/// Most methods of a rule.
const METHODS_MAX: usize = 16;

/// Lets calls through. What no rule lets through is refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProxyRule {
    /// The methods, as `GET`. `*` is every one.
    pub methods: Vec<String>,
    /// The path below the base of the connection, as `/v1/contacts/*/notes` or `/v1/**`: `*` is one segment, and `**`, at
    /// the end, any number of them.
    pub path: String,
    /// The scope that the caller's token must have, and that the system store must grant the caller for this connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// How well the person must have been authenticated: one of [`ACR_VALUES`], or above it. A token of nobody does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acr: Option<String>,
    /// How many seconds ago at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age: Option<Seconds>,
}

fn malformed(rule: &'static str, text: impl Into<String>) -> Refusal {
    Refusal::new(ErrorCode::InvalidRequest, rule, text)
}

impl ProxyRule {
    /// Sees that a rule means something.
    ///
    /// # Errors
    /// It does not.
    pub fn check(&self) -> Answer<()> {
        let refuse = |why: &str| Err(malformed("connection.rule", format!("the rule for `{}`: {why}", self.path)));
        let is_method = |m: &String| m == "*" || (m.len() <= 32 && m.bytes().all(|b| b.is_ascii_uppercase()));
        if self.methods.is_empty() || self.methods.len() > METHODS_MAX || !self.methods.iter().all(is_method) {
            return refuse("write methods as `GET`, or `*` for every one");
        }
        if let Some(scope) = &self.scope
            && !crate::identity::is_scope(scope)
        {
            return refuse("its scope is none (RFC 6749 3.3)");
        }
        if self.acr.as_ref().is_some_and(|acr| !ACR_VALUES.contains(&acr.as_str())) {
            return refuse(&format!("its `acr` is none of {}", ACR_VALUES.join(", ")));
        }
        StepUp::of(self.acr.as_deref(), self.max_age)?;
        let Some(rest) = self.path.strip_prefix('/') else { return refuse("write a path from its first slash on") };
        if self.path.len() > PATH_BYTES_MAX || self.path.split('/').count() > SEGMENTS_MAX {
            return refuse("it is too long");
        }
        let segments: Vec<&str> = rest.split('/').collect();
        let last = segments.len().saturating_sub(1);
        for (at, segment) in segments.iter().enumerate() {
            match *segment {
                "**" if at == last => {}
                "*" => {}
                "" if at == last => {}
                one if one.contains('*') || one.is_empty() => {
                    return refuse("`*` stands for a whole segment, `**` for the last ones, and no segment is empty");
                }
                one => {
                    segment_of(one)?;
                }
            }
        }
        Ok(())
    }

    /// Refuses a call of whom nobody was authenticated for as it asks.
    ///
    /// # Errors
    /// [`ErrorCode::InsufficientUserAuthentication`].
    pub(super) fn demand(&self, by: Option<&Authentication>, now: Seconds) -> Answer<()> {
        match StepUp::of(self.acr.as_deref(), self.max_age)? {
            Some(step_up) => step_up.demand(by, now, "proxy.step_up"),
            None => Ok(()),
        }
    }

    /// Whether it lets a method and a path through.
    #[must_use]
    pub fn lets(&self, method: &Method, path: &SafePath) -> bool {
        let pattern: Vec<&str> = self.path.strip_prefix('/').unwrap_or_default().split('/').collect();
        self.methods.iter().any(|known| known == "*" || known == method.as_str()) && fits(&pattern, &path.segments)
    }
}

fn fits(pattern: &[&str], segments: &[String]) -> bool {
    match (pattern, segments) {
        (["**"], _) | ([], []) => true,
        ([one, pattern @ ..], [segment, segments @ ..]) => {
            (*one == "*" && !segment.is_empty() || one == segment) && fits(pattern, segments)
        }
        _ => false,
    }
}

/// A path that all readers read alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SafePath {
    /// As it came, from its first slash on.
    raw: String,
    /// Its segments, decoded once. The last is empty behind a slash at the end.
    segments: Vec<String>,
}

impl SafePath {
    /// Reads a path, as it stands in a request, from its first slash on.
    ///
    /// # Errors
    /// Some reader could take it for another: it has dot segments, empty ones, encoded slashes, or what becomes one of these
    /// when it is decoded again.
    pub fn read(raw: &str) -> Answer<SafePath> {
        let Some(rest) = raw.strip_prefix('/') else {
            return Err(malformed("proxy.path", "the path behind the connection begins with a slash"));
        };
        if raw.len() > PATH_BYTES_MAX || raw.split('/').count() > SEGMENTS_MAX {
            let text = format!("a path has at most {PATH_BYTES_MAX} bytes and {SEGMENTS_MAX} segments");
            return Err(malformed("proxy.path", text));
        }
        let parts: Vec<&str> = rest.split('/').collect();
        let last = parts.len().saturating_sub(1);
        let mut segments = Vec::with_capacity(parts.len());
        for (at, part) in parts.iter().enumerate() {
            if part.is_empty() && at != last {
                return Err(malformed("proxy.path", "the path has an empty segment"));
            }
            segments.push(segment_of(part)?);
        }
        Ok(SafePath { raw: raw.to_owned(), segments })
    }

    /// As it came.
    #[must_use]
    pub fn raw(&self) -> &str {
        &self.raw
    }
}

/// A segment, decoded once.
fn segment_of(part: &str) -> Answer<String> {
    let refuse = || {
        malformed(
            "proxy.path",
            "the path has a segment that servers read differently: dots alone, an encoded slash, backslash, percent sign or \
             control character",
        )
    };
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| char::from(byte?).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        match (digit(rest.next()), digit(rest.next())) {
            (Some(high), Some(low)) => bytes.push(high << 4 | low),
            _ => return Err(refuse()),
        }
    }
    let text = String::from_utf8(bytes).map_err(|_| refuse())?;
    // Some servers cut parameters off a segment before they look at its dots: `..;x`.
    let bare = text.split(';').next().unwrap_or_default();
    let odd = |c: char| c.is_control() || matches!(c, '/' | '\\' | '%' | '?' | '#');
    if matches!(bare, "." | "..") || (bare.is_empty() && !text.is_empty()) || text.chars().any(odd) {
        return Err(refuse());
    }
    Ok(text)
}

/// The URL of the other side. The host is the connection's, whatever the path is.
///
/// # Errors
/// Path or query lead elsewhere, are too long, or say what the credential is to say.
pub(super) fn upstream_url(spec: &ConnectionSpec, path: &SafePath, query: Option<&str>) -> Answer<Url> {
    let invalid = |text: &str| Refusal::new(ErrorCode::InvalidRequest, "proxy.url", text);
    let base = &spec.base;
    let text = format!("{}{}", base.trim_end_matches('/'), path.raw());
    let mut url = Url::parse(&text).map_err(|_| invalid("the path makes no URL"))?;
    let before = Url::parse(base).map_err(|error| Refusal::failed("connection.base", error.to_string()))?;
    // A second look, after the parser had its say: neither the host nor the start of the path is another.
    if url.origin() != before.origin() || !url.path().starts_with(before.path().trim_end_matches('/')) {
        return Err(invalid("the path leads out of the connection"));
    }
    if let Some(query) = query {
        if query.len() > QUERY_BYTES_MAX {
            return Err(invalid("the query is too long"));
        }
        url.set_query(Some(query));
    }
    if let Provider::ApiKeyQuery { parameter } = &spec.provider
        && url.query_pairs().any(|(name, _)| name == *parameter)
    {
        return Err(invalid("the query has the parameter in which the key is put"));
    }
    Ok(url)
}

/// Headers of the connection and not of the message (RFC 9110 7.6.1), in either direction.
const HOP_BY_HOP: [HeaderName; 10] = [
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::CONTENT_LENGTH,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// Headers that a caller does not set: those that show who calls, and those by which a server would take the request for
/// another than the one that was let through. An answer in parts or compressed could not be filtered.
const NOT_SENT: [HeaderName; 17] = [
    header::HOST,
    header::AUTHORIZATION,
    header::COOKIE,
    header::EXPECT,
    header::ACCEPT_ENCODING,
    header::RANGE,
    header::IF_RANGE,
    header::FORWARDED,
    header::ORIGIN,
    header::REFERER,
    HeaderName::from_static("dpop"),
    HeaderName::from_static("true-client-ip"),
    HeaderName::from_static("x-rewrite-url"),
    HeaderName::from_static("x-http-method"),
    HeaderName::from_static("x-http-method-override"),
    HeaderName::from_static("x-method-override"),
    PURPOSE,
];

/// How headers begin by which the servers in front of an API tell it who calls, and for what: it believes them.
const NOT_SENT_BEGINS: [&str; 7] =
    ["x-forwarded-", "x-original-", "x-remote-", "x-real-", "x-client-cert", "x-ssl-", "proxy-"];

/// Whether a caller may set a header. One with `_` is taken by many servers for the one with `-` (CGI makes them the same), which
/// may be the one in which the credential is put.
fn is_sent(name: &HeaderName) -> bool {
    let name = name.as_str();
    // The protocol names those after arguments of tools.
    (!name.contains('_') || name.starts_with("mcp-param-"))
        && !NOT_SENT_BEGINS.iter().any(|begin| name.starts_with(begin))
}

/// The headers of a call that needs an approval that are sent on: they change how the other side answers, and not what it does.
/// People approve the rest of the call, and no header stands in what they read but the type of the body.
const SENT_APPROVED: [HeaderName; 6] = [
    header::ACCEPT,
    header::ACCEPT_LANGUAGE,
    header::USER_AGENT,
    header::CONTENT_TYPE,
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracestate"),
];

/// Headers of an answer that would speak for the issuer, at whose address the caller sees it, or that name secrets.
const NOT_ANSWERED: [HeaderName; 12] = [
    header::SET_COOKIE,
    header::WWW_AUTHENTICATE,
    header::AUTHORIZATION,
    header::ALT_SVC,
    header::STRICT_TRANSPORT_SECURITY,
    header::ACCESS_CONTROL_ALLOW_ORIGIN,
    header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
    header::CONTENT_SECURITY_POLICY,
    HeaderName::from_static("clear-site-data"),
    HeaderName::from_static("service-worker-allowed"),
    HeaderName::from_static("accept-ranges"),
    ANSWERED_BY,
];

/// Why the caller calls, in a few words, for the log.
pub const PURPOSE: HeaderName = HeaderName::from_static("bailiwick-purpose");
/// Who made an answer: `proxy`, or `upstream`.
pub const ANSWERED_BY: HeaderName = HeaderName::from_static("bailiwick-answered-by");

/// What of a caller's headers is sent on.
#[must_use]
pub(super) fn sent_headers(from: &HeaderMap) -> HeaderMap {
    let mut headers = passed(from, &NOT_SENT);
    let dropped: Vec<HeaderName> = headers.keys().filter(|name| !is_sent(name)).cloned().collect();
    for name in dropped {
        headers.remove(name);
    }
    headers
}

/// What of a caller's headers is sent on with a call that needs an approval.
///
/// # Errors
/// They say of the body what an approval could not cover: several types, one that is no text, or an encoding.
pub(super) fn approved_headers(from: &HeaderMap) -> Answer<HeaderMap> {
    let mut types = from.get_all(header::CONTENT_TYPE).iter();
    if types.next().is_some_and(|value| value.to_str().is_err()) || types.next().is_some() {
        let text = "a call that needs an approval has one `Content-Type` header at most, in ASCII";
        return Err(malformed("proxy.content_type", text));
    }
    if from.contains_key(header::CONTENT_ENCODING) {
        let text = "the body of a call that needs an approval is sent as it is, without `Content-Encoding`";
        return Err(malformed("proxy.content_encoding", text));
    }
    let passed = sent_headers(from);
    let mut headers = HeaderMap::new();
    for (name, value) in passed.iter().filter(|(name, _)| SENT_APPROVED.contains(name)) {
        headers.append(name.clone(), value.clone());
    }
    Ok(headers)
}

/// What of an answer's headers the caller sees. Their values are still to be filtered.
#[must_use]
pub(super) fn answered_headers(from: &HeaderMap) -> HeaderMap {
    passed(from, &NOT_ANSWERED)
}

fn passed(from: &HeaderMap, dropped: &[HeaderName]) -> HeaderMap {
    let named: Vec<String> = from
        .get_all(header::CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .map(|name| String::from_utf8_lossy(name.trim_ascii()).to_ascii_lowercase())
        .collect();
    let stays = |name: &HeaderName| {
        !HOP_BY_HOP.contains(name) && !dropped.contains(name) && !named.iter().any(|known| known == name.as_str())
    };
    let mut headers = HeaderMap::new();
    for (name, value) in from.iter().filter(|(name, _)| stays(name)) {
        headers.append(name.clone(), value.clone());
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(methods: &[&str], path: &str) -> ProxyRule {
        let methods = methods.iter().map(|m| (*m).to_owned()).collect();
        ProxyRule { methods, path: path.to_owned(), scope: None, acr: None, max_age: None }
    }

    #[test]
    fn a_rule_lets_its_methods_and_paths_through() {
        for (pattern, path, lets) in [
            ("/v1/contacts", "/v1/contacts", true),
            ("/v1/contacts", "/v1/contacts/", false),
            ("/v1/contacts", "/v1/contacts/7", false),
            ("/v1/contacts/*", "/v1/contacts/7", true),
            ("/v1/contacts/*", "/v1/contacts/", false),
            ("/v1/contacts/*", "/v1/contacts/7/notes", false),
            ("/v1/*/notes", "/v1/7/notes", true),
            ("/v1/**", "/v1/a/b/c", true),
            ("/v1/**", "/v1/", true),
            ("/v1/**", "/v1", true),
            ("/v1/**", "/v10/a", false),
            ("/**", "/", true),
            ("/", "/", true),
            ("/a b", "/a%20b", true),
            ("/v1/contacts", "/v1/Contacts", false),
            ("/v1/contacts", "/v1/%63ontacts", true),
            ("/v1/contacts", "/v1/contacts;x=1", false),
        ] {
            let (rule, path) = (rule(&["GET"], pattern), SafePath::read(path).unwrap());
            rule.check().unwrap();
            assert_eq!(rule.lets(&Method::GET, &path), lets, "{pattern} {path:?}");
            assert!(!rule.lets(&Method::POST, &path));
        }
        assert!(rule(&["*"], "/**").lets(&Method::DELETE, &SafePath::read("/x").unwrap()));
    }

    #[test]
    fn a_path_that_could_be_read_as_another_is_refused() {
        for path in [
            "",
            "v1",
            "/v1/../admin",
            "/v1/./x",
            "/..",
            "/v1/%2e%2e/admin",
            "/v1/.%2E/admin",
            "/v1/%2e",
            "/v1//x",
            "//x",
            "/v1/a%2fb",
            "/v1/a%5cb",
            "/v1\\x",
            "/v1/..;/admin",
            "/v1/..;a=b/admin",
            "/v1/;/admin",
            "/v1/%252e%252e/x",
            "/v1/%25",
            "/v1/%",
            "/v1/%4",
            "/v1/%zz",
            "/v1/%00",
            "/v1/a%0ab",
            "/v1/%ff",
            "/v1/%3f",
            "/v1/%23x",
        ] {
            assert!(SafePath::read(path).is_err(), "{path}");
        }
        for path in ["/", "/v1/a.b", "/v1/...", "/v1/a..b", "/v1/%20", "/v1/caf%C3%A9", "/v1/a:b@c", "/v1/a;b=c/d"] {
            assert!(SafePath::read(path).is_ok(), "{path}");
        }
        assert!(SafePath::read(&format!("/{}", "a".repeat(PATH_BYTES_MAX))).is_err());
        assert!(SafePath::read(&"/a".repeat(SEGMENTS_MAX)).is_err());
    }

    #[test]
    fn rules_that_mean_nothing_are_refused() {
        for (methods, path) in [
            (&[][..], "/"),
            (&["get"], "/"),
            (&["GET "], "/"),
            (&["GET"], "v1"),
            (&["GET"], "/v1/**/x"),
            (&["GET"], "/v1/a*"),
            (&["GET"], "/v1//x"),
            (&["GET"], "/v1/../x"),
            (&["GET"], "/v1/%2e%2e"),
        ] {
            assert!(rule(methods, path).check().is_err(), "{methods:?} {path}");
        }
        let spaced = ProxyRule { scope: Some("a b".to_owned()), ..rule(&["GET"], "/") };
        assert!(spaced.check().is_err());
        let stepped = |acr: Option<&str>, max_age| {
            ProxyRule { acr: acr.map(str::to_owned), max_age, ..rule(&["GET"], "/") }.check().is_ok()
        };
        assert!(stepped(Some("phr"), Some(60)) && stepped(None, Some(1)));
        assert!(!stepped(Some("phrr"), None) && !stepped(None, Some(0)));
    }

    #[test]
    fn headers_that_show_who_calls_or_change_the_request_do_not_pass() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("authorization", "Bearer ours"),
            ("cookie", "session=ours"),
            ("connection", "close, X-Private"),
            ("x-private", "1"),
            ("x-http-method-override", "DELETE"),
            ("range", "bytes=0-3"),
            ("host", "issuer.example"),
            ("dpop", "proof"),
            ("accept-encoding", "gzip"),
            ("transfer-encoding", "chunked"),
            ("accept", "text/plain"),
            ("content-type", "application/json"),
            ("x-request-id", "7"),
            ("mcp-param-user_id", "7"),
            ("bailiwick-purpose", "a proposal"),
            ("x-forwarded-for", "127.0.0.1"),
            ("x-forwarded-user", "root"),
            ("x-forwarded-ssl", "on"),
            ("x-original-method", "DELETE"),
            ("x-original-uri", "/admin"),
            ("x-remote-user", "root"),
            ("x-real-ip", "127.0.0.1"),
            ("x-ssl-client-verify", "SUCCESS"),
            ("proxy-user", "root"),
            ("true-client-ip", "127.0.0.1"),
            ("x_api_key", "evil"),
            ("x_forwarded_user", "root"),
        ] {
            headers.append(HeaderName::from_static(name), value.parse().unwrap());
        }
        // A name counts, whatever stands beside it.
        headers.append(header::CONNECTION, http::HeaderValue::from_bytes(b"\xff, X-Odd").unwrap());
        headers.append("x-odd", "1".parse().unwrap());
        let sent = sent_headers(&headers);
        let names: Vec<&str> = sent.keys().map(HeaderName::as_str).collect();
        assert_eq!(names, ["accept", "content-type", "x-request-id", "mcp-param-user_id"]);
        // With an approval, only what changes nothing of what was approved.
        headers.append(header::USER_AGENT, "agent/1".parse().unwrap());
        headers.append("stripe-account", "acct_other".parse().unwrap());
        let sent = approved_headers(&headers).unwrap();
        let names: Vec<&str> = sent.keys().map(HeaderName::as_str).collect();
        assert_eq!(names, ["accept", "content-type", "user-agent"]);
        for (name, value, rule) in [
            ("content-type", &b"text/plain"[..], "proxy.content_type"),
            ("content-encoding", b"gzip", "proxy.content_encoding"),
        ] {
            let mut more = headers.clone();
            more.append(HeaderName::from_static(name), http::HeaderValue::from_bytes(value).unwrap());
            assert_eq!(approved_headers(&more).unwrap_err().rule, rule);
        }
        headers.insert(header::CONTENT_TYPE, http::HeaderValue::from_bytes(b"application/json; x=\xff").unwrap());
        assert_eq!(approved_headers(&headers).unwrap_err().rule, "proxy.content_type");
        let mut headers = HeaderMap::new();
        for name in ["set-cookie", "www-authenticate", "content-length", "content-type", "x-request-id", "alt-svc"] {
            headers.append(HeaderName::from_static(name), "x".parse().unwrap());
        }
        let names: Vec<String> = answered_headers(&headers).keys().map(ToString::to_string).collect();
        assert_eq!(names, ["content-type", "x-request-id"]);
    }
}
