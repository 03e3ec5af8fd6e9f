//! One JSON-RPC message of a client, read so that nobody behind us can read it otherwise.
//!
//! A decision is made on what we read, and acted on by what another program reads. So members that occur twice, or that
//! differ from another or from a known name in case alone, are refused (some readers take the last, some ignore case), and
//! so is a header that says something else than the body (MCP 2026-07-28, Streamable HTTP, server validation).

use crate::identity::StrictJson;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, Response, StatusCode};
use serde_json::{Map, Value, json};

/// The versions of the protocol that are spoken, the newest first.
pub const VERSIONS: [&str; 3] = ["2026-07-28", "2025-11-25", "2025-06-18"];
/// The first version without sessions, whose requests each say what they need to be understood.
const MODERN: &str = "2026-07-28";
/// Longest id of a request that is a text, in bytes.
const ID_BYTES_MAX: usize = 256;
/// Where a request says its version.
const META_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
/// Members of a message.
const MEMBERS: [&str; 6] = ["jsonrpc", "id", "method", "params", "result", "error"];
/// Members of parameters by which is decided, and those that are known within them.
const MEMBERS_WITHIN: [(&str, &[&str]); 3] =
    [("_meta", &[META_VERSION]), ("ref", &["type", "name", "uri"]), ("notifications", &["resourceSubscriptions"])];

/// JSON-RPC: not JSON.
pub(super) const PARSE_ERROR: i64 = -32_700;
/// JSON-RPC: no message.
pub(super) const INVALID_REQUEST: i64 = -32_600;
/// JSON-RPC: there is no such method.
pub(super) const METHOD_NOT_FOUND: i64 = -32_601;
/// JSON-RPC: parameters that mean nothing; a mapping that fails (COAZ-MCP).
pub(super) const INVALID_PARAMS: i64 = -32_602;
/// JSON-RPC: our fault; no decision could be made (COAZ-MCP).
pub(super) const INTERNAL_ERROR: i64 = -32_603;
/// COAZ-MCP: the decision is no.
pub(super) const DENIED: i64 = -32_001;
/// MCP: a header says something else than the body.
const HEADER_MISMATCH: i64 = -32_020;
/// MCP: a version that is not spoken.
const UNSUPPORTED_VERSION: i64 = -32_022;

/// A request that wants an answer.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Request {
    /// A text or a whole number.
    pub(super) id: Value,
    pub(super) method: String,
    pub(super) params: Map<String, Value>,
    /// Whether it speaks the version without sessions.
    pub(super) modern: bool,
}

/// What a client may send.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Message {
    Request(Request),
    /// Wants no answer.
    Notification {
        method: String,
    },
    /// Answers a request of the server, in versions with sessions.
    Answer,
}

/// An error as JSON-RPC has it, and the status that it is sent with.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Fault {
    pub(super) status: StatusCode,
    /// `None` when the request's could not be read.
    pub(super) id: Option<Value>,
    pub(super) code: i64,
    pub(super) message: String,
    pub(super) data: Option<Value>,
}

impl Fault {
    pub(super) fn new(status: StatusCode, id: Option<Value>, code: i64, message: impl Into<String>) -> Fault {
        Fault { status, id, code, message: message.into(), data: None }
    }

    fn bad(id: Option<Value>, code: i64, message: impl Into<String>) -> Fault {
        Fault::new(StatusCode::BAD_REQUEST, id, code, message)
    }

    /// The error as a message.
    pub(super) fn body(&self) -> Value {
        let mut error = json!({"code": self.code, "message": self.message});
        if let (Some(data), Some(error)) = (&self.data, error.as_object_mut()) {
            error.insert("data".into(), data.clone());
        }
        let mut body = json!({"jsonrpc": "2.0"});
        if let (Some(id), Some(body)) = (&self.id, body.as_object_mut()) {
            body.insert("id".into(), id.clone());
        }
        if let Some(body) = body.as_object_mut() {
            body.insert("error".into(), error);
        }
        body
    }

    /// The error as an answer.
    pub(super) fn response(&self) -> Response<Vec<u8>> {
        let mut response = Response::new(self.body().to_string().into_bytes());
        *response.status_mut() = self.status;
        let json = http::HeaderValue::from_static("application/json");
        response.headers_mut().insert(http::header::CONTENT_TYPE, json);
        response
    }
}

impl Message {
    /// Reads a message and compares it with the headers that mirror it.
    pub(super) fn read(headers: &HeaderMap, body: &[u8]) -> Result<Message, Fault> {
        let StrictJson(value) = serde_json::from_slice(body).map_err(|error| {
            // What is given is not repeated: it may be long, or secret.
            let code = if error.is_data() { INVALID_REQUEST } else { PARSE_ERROR };
            let why = if error.is_data() { "a member occurs twice" } else { "the body is no JSON" };
            let at = format!("{why} (line {}, column {})", error.line(), error.column());
            Fault::bad(None, code, at)
        })?;
        let Value::Object(mut members) = value else {
            let what = "the body is no single message; batches are of no version that is spoken";
            return Err(Fault::bad(None, INVALID_REQUEST, what));
        };
        let id = members.remove("id");
        let named = id.clone().filter(is_id);
        let invalid = |message: &str| Fault::bad(named.clone(), INVALID_REQUEST, message);
        if members.get("jsonrpc") != Some(&json!("2.0")) {
            return Err(invalid("`jsonrpc` is not \"2.0\""));
        }
        if id.is_some() && named.is_none() {
            return Err(invalid("`id` is no text or whole number, or too long"));
        }
        unambiguous(&members, &MEMBERS).map_err(|name| invalid(&ambiguous(&name)))?;
        if is_both(&members) {
            return Err(invalid("it is a request and an answer; send one of them"));
        }
        let method = match members.remove("method") {
            Some(Value::String(method)) => method,
            Some(_) => return Err(invalid("`method` is no text")),
            None if named.is_some() && (members.contains_key("result") != members.contains_key("error")) => {
                return Ok(Message::Answer);
            }
            None => return Err(invalid("there is no `method`")),
        };
        let params = match members.remove("params") {
            Some(Value::Object(params)) => params,
            None => Map::new(),
            Some(_) => return Err(invalid("`params` is no object")),
        };
        let known = ["name", "uri", "arguments", "_meta", "ref", "cursor", "taskId", "notifications"];
        unambiguous(&params, &known).map_err(|name| invalid(&ambiguous(&name)))?;
        for (of, known) in MEMBERS_WITHIN {
            if let Some(Value::Object(members)) = params.get(of) {
                unambiguous(members, known).map_err(|name| invalid(&ambiguous(&name)))?;
            }
        }
        params.values().try_for_each(unambiguous_within).map_err(|name| invalid(&ambiguous(&name)))?;
        let modern = mirrored(headers, named.as_ref(), &method, &params)?;
        Ok(match named {
            Some(id) => Message::Request(Request { id, method, params, modern }),
            None => Message::Notification { method },
        })
    }
}

/// A message that all read alike; `None` when it is none, or one that another could read otherwise.
pub(super) fn unmistakable(body: &[u8]) -> Option<Map<String, Value>> {
    let StrictJson(Value::Object(members)) = serde_json::from_slice(body).ok()? else { return None };
    (unambiguous(&members, &MEMBERS).is_ok() && !is_both(&members)).then_some(members)
}

/// Whether a message asks and answers at once: readers differ in what they look at first.
fn is_both(members: &Map<String, Value>) -> bool {
    ["method", "result", "error"].iter().filter(|name| members.contains_key(**name)).count() > 1
}

fn is_id(id: &Value) -> bool {
    match id {
        Value::String(text) => text.len() <= ID_BYTES_MAX,
        Value::Number(number) => number.is_i64() || number.is_u64(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => false,
    }
}

fn ambiguous(name: &str) -> String {
    format!("the member `{name}` differs from another, or from a known one, in case alone")
}

/// Refuses a member that a reader without regard to case would take for another one.
fn unambiguous(members: &Map<String, Value>, known: &[&str]) -> Result<(), String> {
    let mut seen = std::collections::HashSet::with_capacity(members.len());
    for name in members.keys() {
        let plain = folded(name);
        let confused = known.iter().any(|known| known != name && known.eq_ignore_ascii_case(&plain));
        if confused || !seen.insert(plain) {
            let short: String = name.chars().take(64).collect();
            return Err(short);
        }
    }
    Ok(())
}

/// The same for every object in a value: what a rule looks for may stand deep in it.
fn unambiguous_within(value: &Value) -> Result<(), String> {
    match value {
        Value::Object(members) => {
            unambiguous(members, &[])?;
            members.values().try_for_each(unambiguous_within)
        }
        Value::Array(items) => items.iter().try_for_each(unambiguous_within),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
    }
}

/// A name as readers without regard to case compare it. Some, as Go's, take `ſ` for `s` and the sign of kelvin for `k`.
fn folded(name: &str) -> String {
    if name.is_ascii() { name.to_ascii_lowercase() } else { name.to_uppercase().to_lowercase() }
}

/// The one value of a header as text.
fn header<'a>(headers: &'a HeaderMap, name: &str, id: Option<&Value>) -> Result<Option<&'a str>, Fault> {
    let mut values = headers.get_all(name).iter();
    let first = values.next().map(|value| value.to_str()).transpose();
    match (first, values.next()) {
        (Ok(first), None) => Ok(first),
        _ => Err(Fault::bad(id.cloned(), HEADER_MISMATCH, format!("the header `{name}` is there twice, or no ASCII"))),
    }
}

/// Compares headers with the body, and says whether the version is the one that demands them.
fn mirrored(headers: &HeaderMap, id: Option<&Value>, method: &str, params: &Map<String, Value>) -> Result<bool, Fault> {
    let mismatch = |what: &str| Fault::bad(id.cloned(), HEADER_MISMATCH, format!("Header mismatch: {what}"));
    let said = header(headers, "mcp-protocol-version", id)?;
    let meta = params.get("_meta").and_then(|meta| meta.get(META_VERSION)).map(Value::as_str);
    let inner = match meta {
        Some(None) => return Err(mismatch("the version in `_meta` is no text")),
        Some(inner) => inner,
        None => None,
    };
    match (said, inner) {
        (Some(said), Some(inner)) if said != inner => {
            return Err(mismatch("`MCP-Protocol-Version` is not the version in `_meta`"));
        }
        (None, Some(_)) => return Err(mismatch("`MCP-Protocol-Version` is missing, and `_meta` has a version")),
        _ => {}
    }
    // The handshake names its version in the body alone, and what comes of it is agreed on there.
    if let Some(version) = said.filter(|version| method != "initialize" && !VERSIONS.contains(version)) {
        let mut fault = Fault::bad(id.cloned(), UNSUPPORTED_VERSION, "Unsupported protocol version");
        fault.data = Some(json!({"supported": VERSIONS, "requested": version}));
        return Err(fault);
    }
    // Of the handshake a header alone says nothing; a message that says it inside is of the version that has none.
    let modern = said == Some(MODERN) && (method != "initialize" || inner == Some(MODERN));
    match header(headers, "mcp-method", id)? {
        Some(named) if named != method => return Err(mismatch("`Mcp-Method` is not the method")),
        None if modern && id.is_some() => return Err(mismatch("`Mcp-Method` is missing")),
        _ => {}
    }
    let field = match method {
        "tools/call" | "prompts/get" => "name",
        "resources/read" => "uri",
        _ => return Ok(modern),
    };
    let named =
        header(headers, "mcp-name", id)?.map(|text| decoded(text).ok_or_else(|| mismatch("`Mcp-Name` is no Base64")));
    match (named.transpose()?, params.get(field).and_then(Value::as_str)) {
        (Some(named), Some(name)) if named != name => Err(mismatch("`Mcp-Name` is not the name in the body")),
        (None, _) if modern => Err(mismatch("`Mcp-Name` is missing")),
        _ => Ok(modern),
    }
}

/// The value of a mirrored header: `=?base64?…?=` is what a header could not carry.
fn decoded(text: &str) -> Option<String> {
    match text.strip_prefix("=?base64?").and_then(|rest| rest.strip_suffix("?=")) {
        Some(encoded) => String::from_utf8(STANDARD.decode(encoded).ok()?).ok(),
        None => Some(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(headers: &[(&'static str, &str)], body: &str) -> Result<Message, Fault> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        Message::read(&map, body.as_bytes())
    }

    fn code(headers: &[(&'static str, &str)], body: &str) -> i64 {
        let fault = read(headers, body).unwrap_err();
        assert_eq!(fault.status, 400, "{fault:?}");
        fault.code
    }

    fn call(name: &str) -> String {
        json!({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {"name": name,
            "_meta": {META_VERSION: MODERN}}})
        .to_string()
    }

    #[test]
    fn messages_are_told_apart() {
        let Message::Request(request) = read(&[], r#"{"jsonrpc":"2.0","id":"a","method":"ping"}"#).unwrap() else {
            panic!("no request")
        };
        assert_eq!((request.id, request.method.as_str(), request.modern), (json!("a"), "ping", false));
        let notification = read(&[], r#"{"jsonrpc":"2.0","method":"notifications/initialized","params":{}}"#).unwrap();
        assert_eq!(notification, Message::Notification { method: "notifications/initialized".into() });
        assert_eq!(read(&[], r#"{"jsonrpc":"2.0","id":1,"result":{}}"#).unwrap(), Message::Answer);
        for (body, expected) in [
            ("{", PARSE_ERROR),
            ("", PARSE_ERROR),
            ("{} {}", PARSE_ERROR),
            ("[]", INVALID_REQUEST),
            (r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#, INVALID_REQUEST),
            (r#"{"id":1,"method":"ping"}"#, INVALID_REQUEST),
            (r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, INVALID_REQUEST),
            (r#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#, INVALID_REQUEST),
            (r#"{"jsonrpc":"2.0","id":1}"#, INVALID_REQUEST),
            (r#"{"jsonrpc":"2.0","id":1,"method":1}"#, INVALID_REQUEST),
            (r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":[]}"#, INVALID_REQUEST),
            (r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{}}"#, INVALID_REQUEST),
        ] {
            assert_eq!(code(&[], body), expected, "{body}");
        }
        let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
        assert_eq!(code(&[], &deep), PARSE_ERROR, "nesting is bounded");
    }

    /// What a lax reader behind us would take for another request than the one that was decided on.
    #[test]
    fn what_two_readers_could_read_differently_is_refused() {
        for body in [
            r#"{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/call"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"ping","Method":"tools/call"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"ping","result":{}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"ping","error":null}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","PARAMS":{"name":"b"}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","name":"b"}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","Name":"b"}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"Name":"b"}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","arguments":{"id":"x","ID":"y"}}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","arguments":{"o":{"id":1,"id":2}}}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","arguments":{"o":{"id":1,"ID":2}}}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","arguments":{"l":[{"id":1,"Id":2}]}}}"#,
            // Go's reader takes `ſ` for `s`, and the sign of kelvin for `k`.
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","argumentſ":{"id":"y"}}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"tasks/get","params":{"tas\u212aId":"y"}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","arguments":{"s":1,"ſ":2}}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen","params":{"notifications":{"ResourceSubscriptions":[]}}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"completion/complete","params":{"ref":{"type":"ref/prompt","URI":"a:b"}}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":{"_meta":{"io.modelcontextprotocol/ProtocolVersion":"x"}}}"#,
        ] {
            assert_eq!(code(&[], body), INVALID_REQUEST, "{body}");
        }
    }

    #[test]
    fn headers_must_say_what_the_body_says() {
        let version = ("mcp-protocol-version", MODERN);
        let method = ("mcp-method", "tools/call");
        assert!(read(&[version, method, ("mcp-name", "a")], &call("a")).is_ok());
        assert!(read(&[version, method, ("mcp-name", "=?base64?YQ==?=")], &call("a")).is_ok());
        for headers in [
            &[version, method][..],
            &[version, ("mcp-name", "a")],
            &[version, method, ("mcp-name", "b")],
            &[version, method, ("mcp-name", "a"), ("mcp-name", "a")],
            &[version, method, ("mcp-name", "=?base64?!?=")],
            &[version, ("mcp-method", "ping"), ("mcp-name", "a")],
            &[("mcp-protocol-version", "2025-11-25"), method, ("mcp-name", "a")],
            &[method, ("mcp-name", "a")],
        ] {
            assert_eq!(code(headers, &call("a")), HEADER_MISMATCH, "{headers:?}");
        }
        // An older version does not demand them, but what is said must be true.
        let old = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a"}}"#;
        assert!(read(&[("mcp-protocol-version", "2025-06-18")], old).is_ok());
        assert_eq!(code(&[("mcp-name", "b")], old), HEADER_MISMATCH);
    }

    #[test]
    fn unknown_versions_are_refused_with_those_that_are_spoken() {
        let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
        for version in ["2025-03-26", "2099-01-01", "x"] {
            let fault = read(&[("mcp-protocol-version", version)], ping).unwrap_err();
            let data = json!({"supported": VERSIONS, "requested": version});
            assert_eq!((fault.code, fault.data, fault.id), (UNSUPPORTED_VERSION, Some(data), Some(json!(1))));
        }
    }
}
