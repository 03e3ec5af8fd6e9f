//! MCP: what clients send, what servers behind the gateway say, and what our own client is told.

use crate::pick::{Loose, Pick, words};
use bailiwick_fuzz::identity::is_secure;
use bailiwick_fuzz::modules::mcp::client;
use bailiwick_fuzz::modules::mcp::{
    Event, Policy, PolicySpec, Read, Template, VERSIONS, asks, events, needs, read, unmistakable, written,
};
use bailiwick_fuzz::tuple::ObjectRef;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Map, Value, json};
use url::Url;

const PIECES: [&str; 48] = [
    "{", "}", "[", "]", ":", ",", r#""jsonrpc":"2.0","#, r#""id":1,"#, r#""id":"a","#, r#""id":null,"#, r#""method":"ping","#,
    r#""method":"tools/call","#, r#""method":"resources/read","#, r#""Method":"tools/call","#, r#""params":{"#, r#""PARAMS":{"#,
    r#""name":"a","#, r#""Name":"b","#, r#""uri":"a:b","#, r#""arguments":{"#, r#""argumentſ":{"#, r#""id":"x""#, r#""ID":"y""#,
    r#""\u0069d":"z""#, r#""o":{"#, r#""result":{}"#, r#""error":{}"#, "}}", "}}}", "1", "1.5", "\"\"", "null", " ",
    r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}"#, r#""x":1"#, r#""k":1"#, r#""K":2"#, r#""s":1,"ſ":2"#,
    r#""tasKId":"a""#, r#""jsonrpc":"1.0","#, r#""method":1,"#, "\u{e9}", "\\ud800", r#""cursor":"c""#, r#""ref":{"#, "99999999999999999999",
    r#""a":[{"id":1,"Id":2}]"#,
];

/// A message that is nearly right.
fn message(pick: &mut Pick<'_>) -> String {
    let names = ["name", "Name", "id", "ID", "arguments", "uri", "o", "_meta", "s", "ſ"];
    let texts = ["a", "b", "2026-07-28", ""];
    let mut members = vec![r#""jsonrpc":"2.0""#.to_owned()];
    let id = pick.of(&[r#""id":1"#, r#""id":"a""#, r#""id":18446744073709551615"#, r#""x":1"#, r#""id":1.5"#, r#""Id":2"#]);
    members.push(id.to_owned());
    let method = pick.of(&["tools/call", "ping", "resources/read", "prompts/get", "initialize", "tools/list"]);
    members.push(format!(r#""method":"{method}""#));
    let mut params = pick.object(&names, &texts, 3);
    if pick.once_in(2) {
        params.insert("name".into(), pick.of(&["a", "b"]).into());
    }
    if pick.once_in(2) {
        params.insert("arguments".into(), pick.object(&names, &texts, 3).into());
    }
    if pick.once_in(3) {
        params.insert("_meta".into(), json!({"io.modelcontextprotocol/protocolVersion": pick.of(&VERSIONS)}));
    }
    members.push(format!(r#""params":{}"#, Value::from(params)));
    if pick.once_in(4) {
        members.push(pick.of(&[r#""METHOD":"ping""#, r#""params":{}"#, r#""result":1"#, r#""paramſ":{}"#, r#""extra":[]"#]).to_owned());
    }
    format!("{{{}}}", members.join(","))
}

fn headers(pick: &mut Pick<'_>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for _ in 0..pick.below(5) {
        let (name, values): (&'static str, &[&'static str]) = match pick.below(3) {
            0 => ("mcp-protocol-version", &["2026-07-28", "2025-11-25", "2025-06-18", "1", ""]),
            1 => ("mcp-method", &["tools/call", "ping", "resources/read", "initialize"]),
            _ => ("mcp-name", &["a", "b", "=?base64?YQ==?=", "=?base64?!?=", "=?base64?/w==?="]),
        };
        headers.append(HeaderName::from_static(name), HeaderValue::from_static(pick.of(values)));
    }
    headers
}

/// What is taken is one message to every reader: to one that takes the first or the last of two members, and to one that
/// does not look at the case of letters. Headers say nothing else. What is refused is refused as JSON-RPC has it.
fn is_one(headers: &HeaderMap, body: &[u8]) {
    let (method, params, id) = match read(headers, body) {
        Read::Fault { status, body } => {
            let code = body["error"]["code"].as_i64().expect("a code");
            assert!(status == 400 && (-32_700..=-32_001).contains(&code) && body["jsonrpc"] == "2.0", "{body}");
            return;
        }
        Read::Answer => return,
        Read::Notification(method) => (method, None, None),
        Read::Request { id, method, params, modern } => {
            assert!(id.as_str().map_or(id.is_i64() || id.is_u64(), |id| id.len() <= 256), "{id}");
            let again = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string();
            let same = Read::Request { id: id.clone(), method: method.clone(), params: params.clone(), modern };
            assert_eq!(read(headers, again.as_bytes()), same, "{again}");
            (method, Some(params), Some(id))
        }
    };
    let loose: Loose = serde_json::from_slice(body).expect("it was read");
    let agree = |path: &[&str], seen: Option<Value>| {
        for reading in loose.readings(path) {
            assert_eq!(reading, seen, "{path:?} of {}", String::from_utf8_lossy(body));
        }
    };
    agree(&["method"], Some(method.clone().into()));
    agree(&["id"], id);
    if let Some(params) = params {
        let at = |path: &[&str]| path.iter().try_fold(&Value::from(params.clone()), |v, name| v.get(name)).cloned();
        for path in [&["name"][..], &["uri"]] {
            agree(&[&["params"][..], path].concat(), at(path));
        }
        // A rule that looks for what is not there under its own name refuses the call.
        for path in [&["arguments", "id"][..], &["arguments", "o", "id"], &["arguments", "s"]] {
            if let Some(seen) = at(path) {
                agree(&[&["params"][..], path].concat(), Some(seen));
            }
        }
        let named = at(&["name"]);
        let said = headers.get("mcp-name").map(|value| value.to_str().unwrap());
        if let (Some(said), Some(Value::String(name)), "tools/call") = (said, named, method.as_str()) {
            assert!(said == name || said == "=?base64?YQ==?=" && name == "a", "{said} is not {name}");
        }
        let version = headers.get("mcp-protocol-version").map(|value| value.to_str().unwrap());
        assert!(method == "initialize" || version.is_none_or(|version| VERSIONS.contains(&version)));
    }
    assert!(headers.get("mcp-method").is_none_or(|said| said.as_bytes() == method.as_bytes()));
}

#[test]
fn messages() {
    bolero::check!().for_each(|input: &[u8]| {
        let mut pick = Pick(input);
        let (headers, message) = (headers(&mut pick), message(&mut pick));
        is_one(&headers, message.as_bytes());
        is_one(&HeaderMap::new(), message.as_bytes());
        is_one(&HeaderMap::new(), input);
        is_one(&HeaderMap::new(), format!("{{{}}}", words(input, &PIECES)).as_bytes());
    });
}

/// Any bytes in a header are a value, or a fault.
#[test]
fn header_bytes() {
    bolero::check!().for_each(|input: &[u8]| {
        let Ok(value) = HeaderValue::from_bytes(input) else { return };
        let body = br#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a"}}"#;
        for name in ["mcp-protocol-version", "mcp-method", "mcp-name"] {
            let headers = HeaderMap::from_iter([(HeaderName::from_static(name), value.clone())]);
            is_right(&read(&headers, body), name, input);
        }
    });
}

fn is_right(read: &Read, name: &str, value: &[u8]) {
    let fine = match name {
        "mcp-protocol-version" => VERSIONS.iter().any(|version| version.as_bytes() == value),
        "mcp-method" => value == b"tools/call",
        _ => value == b"a" || value.starts_with(b"=?base64?YQ"),
    };
    // The newest version demands the other two headers.
    assert!(fine || matches!(read, Read::Fault { .. }), "{read:?}");
}

/// What a server says goes on only when every reader takes it for the same kind of message.
#[test]
fn said_by_servers() {
    bolero::check!().for_each(|input: &[u8]| {
        for text in [input, format!("{{{}}}", words(input, &PIECES)).as_bytes(), message(&mut Pick(input)).as_bytes()] {
            let Some(members) = unmistakable(text) else { continue };
            let loose: Loose = serde_json::from_slice(text).expect("it was read");
            let kinds = ["method", "result", "error"];
            assert!(kinds.iter().filter(|kind| members.contains_key(**kind)).count() <= 1, "{members:?}");
            for name in ["id", "method", "result", "error", "params"] {
                for reading in loose.readings(&[name]) {
                    assert_eq!(reading.as_ref(), members.get(name), "{}", String::from_utf8_lossy(text));
                }
            }
        }
    });
}

/// A stream of events is read alike however it is cut, and what is written of it is read as it was.
#[test]
fn event_streams() {
    const WORDS: [&str; 18] = [
        "data: {}", "data:", "data", "id: 7", "id", "retry: 5", "retry: x", "event: message", ": comment", "\n", "\r", "\r\n", "\n\n",
        " ", "\0", "é", "data: a\u{2028}", ":",
    ];
    bolero::check!().for_each(|input: &[u8]| {
        for stream in [input, words(input, &WORDS).as_bytes()] {
            let whole = events(std::iter::once(stream));
            let cut = events(stream.chunks(1 + input.len() % 5));
            assert_eq!(whole, cut, "{}", String::from_utf8_lossy(stream));
            let Some(found) = whole else { continue };
            let again: Vec<u8> = found.iter().flat_map(written).collect();
            assert_eq!(events(std::iter::once(again.as_slice())), Some(found));
        }
    });
}

/// What was made by others and is written into a stream stays one event.
#[test]
fn event_texts() {
    bolero::check!().for_each(|input: &[u8]| {
        let data = String::from_utf8_lossy(input).replace('\r', "");
        let event: Event = (None, data, None);
        assert_eq!(events(std::iter::once(written(&event).as_slice())), Some(vec![event]));
    });
}

const TEMPLATES: [&str; 7] = [
    "crm://accounts/{id}", "docs://{+path}", "db://{schema}/{table}/rows", "a://{x}-{y}", "file:///{+path}.txt", "x:{a}:{+b}:z",
    "plain://one",
];

/// A URI has one reading at most: what it says is what a URI of the same values says, and nothing in it climbs, hides or is
/// decoded twice. No two values are one id.
#[test]
fn uris() {
    const WORDS: [&str; 24] = [
        "crm://accounts/", "docs://", "db://", "/rows", "a://", "-", "file:///", ".txt", "x:", ":", ":z", "plain://one", "a", "..", ".",
        "/", "%2e", "%2F", "%25", "%20", "%C3%A9", "é", "#", "?",
    ];
    let templates = TEMPLATES.map(|text| Template::parse(text).expect("a good template"));
    bolero::check!().for_each(|input: &[u8]| {
        for uri in [String::from_utf8_lossy(input).into_owned(), words(input, &WORDS)] {
            for template in &templates {
                let Some(values) = template.matches(&uri) else { continue };
                for (_, value) in &values {
                    let fine = |part: &str| !part.is_empty() && part != "." && part != "..";
                    assert!(value.split('/').all(fine), "{value:?} of {uri}");
                    assert!(!value.contains(['%', '\\', '?', '#']) && !value.chars().any(char::is_control), "{value:?}");
                }
                let names: Vec<&String> = values.iter().map(|(name, _)| name).collect();
                assert_eq!(names, template.names().iter().collect::<Vec<_>>());
                if let Some(again) = template.uri(&values).filter(|again| again.len() <= 2_048) {
                    assert_eq!(template.matches(&again).as_ref(), Some(&values), "{uri} and {again}");
                }
            }
            if let Some(template) = Template::parse(&uri) {
                assert!(template.names().len() <= 8);
                let _ = template.matches(&uri);
            }
        }
    });
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = text.bytes();
    let mut out = Vec::new();
    while let Some(byte) = bytes.next() {
        let digit = |byte: Option<u8>| u8::try_from(char::from(byte.unwrap()).to_digit(16).unwrap()).unwrap();
        out.push(if byte == b'%' { digit(bytes.next()) << 4 | digit(bytes.next()) } else { byte });
    }
    String::from_utf8(out).unwrap()
}

/// Any text of a call becomes an id of an object, of the rule's type, that no other text becomes.
#[test]
fn ids_of_objects() {
    let template = Template::parse("{id}").expect("a good template");
    bolero::check!().for_each(|input: &[u8]| {
        let value = String::from_utf8_lossy(input);
        match template.id(&value) {
            Some(id) => {
                let whole = format!("account:{id}");
                let object = ObjectRef::parse(&whole).unwrap_or_else(|error| panic!("{whole}: {error}"));
                assert_eq!((object.object_type, object.id), ("account", id.as_str()));
                assert_eq!(percent_decoded(&id), value);
                assert_ne!(id, "*");
            }
            None => assert!(value.is_empty()),
        }
    });
}

fn policy() -> Policy {
    let spec: PolicySpec = serde_json::from_value(json!({
        "server": {"object": "mcp_server:crm", "relation": "can_use"},
        "tools": {
            "get": {"checks": [{"object": "account:{o.id}", "relation": "viewer"}]},
            "free": {"open": true},
        },
        "resources": [{"uri": "crm://accounts/{id}", "checks": [{"object": "account:{id}", "relation": "viewer"}]}],
        "prompts": {"greet": {"open": true}},
    }))
    .expect("a good policy");
    Policy::new(&spec).expect("a good policy")
}

/// A request is asked about as its rule says, about what its rule looks at and first of all whether the server may be used, and
/// not at all when no rule names it.
#[test]
fn needs_of_requests() {
    let policy = policy();
    bolero::check!().for_each(|input: &[u8]| {
        let mut pick = Pick(input);
        let method = pick.of(&["tools/call", "resources/read", "prompts/get", "completion/complete", "subscriptions/listen", "x", "ping"]);
        let mut params = pick.object(&["name", "uri", "arguments", "ref", "notifications"], &["get", "free", "greet"], 3);
        if pick.once_in(2) {
            params.insert("name".into(), pick.of(&["get", "free", "greet", "other"]).into());
        }
        if pick.once_in(2) {
            let texts = ["a", "", "*", "a:b#c", "..", "a b"];
            params.insert("arguments".into(), json!({"o": pick.object(&["id", "o.id"], &texts, 2), "o.id": "b"}));
        }
        if pick.once_in(2) {
            params.insert("uri".into(), pick.of(&["crm://accounts/a", "crm://accounts/..", "x:y"]).into());
        }
        let modern = pick.once_in(2);
        let asked = needs(&policy, (method, modern), &params);
        let known = asks(&policy);
        for (object, relation) in asked.iter().flatten().flatten() {
            let kind = object.split_once(':').map(|(kind, _)| kind).expect("an object");
            assert!(known.contains(&(kind, relation.as_str())), "{object} {relation}");
        }
        if let Some(Some(asked)) = &asked {
            assert_eq!(asked.first().map(|(object, relation)| (&**object, &**relation)), Some(("mcp_server:crm", "can_use")));
        }
        // What is asked besides.
        let asked = asked.map(|asked| asked.map(|all| all.into_iter().skip(1).collect::<Vec<_>>()));
        let text = |name: &str| params.get(name).and_then(Value::as_str);
        match (method, text("name")) {
            ("ping", _) => assert_eq!(asked, if modern { None } else { Some(None) }),
            ("x", _) => assert_eq!(asked, None),
            ("tools/call", Some("free")) => assert_eq!(asked, Some(Some(Vec::new()))),
            ("tools/call", Some("get")) => {
                let id = params.get("arguments").and_then(|arguments| arguments.pointer("/o/id"));
                let id = match id {
                    Some(Value::String(id)) if !id.is_empty() => Some(id.clone()),
                    Some(Value::Number(id)) if !id.is_f64() => Some(id.to_string()),
                    _ => None,
                };
                let found = asked.map(|asked| asked.unwrap().into_iter().map(|(object, _)| object).collect::<Vec<_>>());
                let found = found.map(|objects| objects.iter().map(|o| percent_decoded(o)).collect::<Vec<_>>());
                assert_eq!(found, id.map(|id| vec![format!("account:{id}")]));
            }
            ("tools/call", _) => assert_eq!(asked, None),
            ("resources/read", _) => {
                assert_eq!(asked.is_some(), text("uri") == Some("crm://accounts/a"), "{params:?}");
            }
            _ => {}
        }
    });
}

/// Any policy that is taken asks about what it says; any other is refused with what to do.
#[test]
fn policies() {
    bolero::check!().for_each(|input: &[u8]| {
        let mut pick = Pick(input);
        let objects = ["account:{id}", "account:{o.id}", "{x}:y", "account", "a:b:{c}", "mcp_server:crm", "a:{b}{c}", ""];
        let rule = |pick: &mut Pick<'_>| {
            let checks: Vec<Value> = (0..pick.below(3))
                .map(|_| json!({"object": pick.of(&objects), "relation": pick.of(&["viewer", "can_use", ""])}))
                .collect();
            json!({"checks": checks, "open": pick.once_in(3), "approval": pick.once_in(4), "scopes": [pick.of(&["a", "a b", ""])]})
        };
        let resource = |pick: &mut Pick<'_>| {
            let mut rule = rule(pick);
            rule.as_object_mut().unwrap().remove("approval");
            rule["uri"] = pick.of(&TEMPLATES).into();
            rule
        };
        let made = json!({
            "server": {"object": pick.of(&objects), "relation": "can_use"}, "tools": {"a": rule(&mut pick)},
            "other_tools": rule(&mut pick), "resources": [resource(&mut pick)],
        });
        for value in [made, serde_json::from_slice(input).unwrap_or_default()] {
            let Ok(spec) = serde_json::from_value::<PolicySpec>(value) else { continue };
            let Ok(policy) = Policy::new(&spec) else { continue };
            for (kind, _) in asks(&policy) {
                assert!(ObjectRef::parse(&format!("{kind}:x")).is_ok(), "{kind}");
            }
            let _ = needs(&policy, ("tools/call", true), &Map::from_iter([("name".to_owned(), "a".into())]));
        }
    });
}

/// A challenge has one reading: what is written of it is read as it was, and no name is in it twice.
#[test]
fn challenges() {
    const WORDS: [&str; 22] = [
        "Bearer ", "bearer", "DPoP ", "Basic ", "scope", "Scope", "error", "resource_metadata", "=", " = ", "\"", "\\", "a b", ",", ", ",
        " ", "\t", "x", "YQ==", "\"https://a.example/\"", "\u{e9}", "realm=\"r\", ",
    ];
    bolero::check!().for_each(|input: &[u8]| {
        for bytes in [input, words(input, &WORDS).as_bytes()] {
            let mut headers = HeaderMap::new();
            for part in bytes.split(|byte| *byte == b'\n') {
                headers.extend(HeaderValue::from_bytes(part).map(|value| (http::header::WWW_AUTHENTICATE, value)));
            }
            let Some(read) = client::challenges(&headers) else { continue };
            assert!(read.len() <= client::CHALLENGES_MAX);
            for one in read {
                assert!(one.parameters.len() <= client::PARAMETERS_MAX);
                let named = |name: &String| one.parameters.iter().filter(|(own, _)| own == name).count();
                assert!(one.parameters.iter().all(|(name, _)| named(name) == 1), "{one:?}");
                assert_eq!(client::parse(&client::written(&one)), Some(vec![one.clone()]));
            }
        }
    });
}

/// Metadata that are used are of the resource and of the issuer that were asked for, and lead to no place without TLS.
#[test]
fn metadata_for_clients() {
    const TEXTS: [&str; 16] = [
        "https://a.example/mcp", "https://a.example", "https://a.example/", "https://a.example/mcp/x", "https://evil.example/mcp",
        "https://id.example", "https://id.example/", "https://ID.example", "http://id.example/token", "http://127.0.0.1/token",
        "https://id.example/token", "https://id.example/#x", "S256", "a b", "\u{202e}", "",
    ];
    const NAMES: [&str; 10] = [
        "resource", "authorization_servers", "scopes_supported", "issuer", "token_endpoint", "authorization_endpoint",
        "registration_endpoint", "code_challenge_methods_supported", "authorization_response_iss_parameter_supported",
        "dpop_bound_access_tokens_required",
    ];
    let asked = Url::parse("https://a.example/mcp").expect("a URL");
    bolero::check!().for_each(|input: &[u8]| {
        let mut pick = Pick(input);
        let mut said = pick.object(&NAMES, &TEXTS, 2);
        for name in NAMES {
            if pick.once_in(2) {
                let one: Value = pick.of(&TEXTS).into();
                said.insert(name.into(), if name.ends_with('s') || name.contains("supported") { json!([one]) } else { one });
            }
        }
        for body in [input, Value::from(said).to_string().as_bytes()] {
            if let Ok(read) = client::resource_metadata(body, &asked) {
                let url = Url::parse(&read.resource).expect("it was read");
                assert!(url.origin() == asked.origin() && asked.path().starts_with(url.path().trim_end_matches('/')), "{read:?}");
                assert!(!read.servers.is_empty());
                let places = read.servers.iter().filter_map(|server| Url::parse(server).ok());
                for server in places.filter(is_secure) {
                    assert!(client::server_places(&server).iter().all(|place| place.origin() == server.origin()));
                }
            }
            if let Ok(read) = client::server_metadata(body, "https://id.example") {
                assert_eq!(read.issuer, "https://id.example");
                let all = [Some(read.token), read.authorize, read.register];
                assert!(all.into_iter().flatten().all(|url| is_secure(&url)));
            }
            let _ = (client::token_of(body, false), client::token_of(body, true));
            if let Some((code, said)) = client::error_of(body) {
                assert!(!format!("{code}{said}").contains(bailiwick_fuzz::wire::is_hidden));
            }
        }
    });
}

/// A code is used of no answer but one to this request, by this issuer.
#[test]
fn answers_to_browsers() {
    const WORDS: [&str; 20] = [
        "code=c", "state=s", "state=", "state=other", "iss=https://id.example", "iss=https://id.example/", "iss=", "error=access_denied",
        "&", "&", "&", "%73tate=s", "code=", "c%6Fde=d", "+", "%", "\u{e9}", "=", "iss=https%3A%2F%2Fid.example", "error=",
    ];
    let server = json!({"issuer": "https://id.example", "token_endpoint": "https://id.example/token",
                        "authorization_response_iss_parameter_supported": true});
    let server = client::server_metadata(server.to_string().as_bytes(), "https://id.example").expect("it is right");
    let mut url = Url::parse("http://127.0.0.1:1/callback").expect("a URL");
    bolero::check!().for_each(|input: &[u8]| {
        for query in [String::from_utf8_lossy(input).into_owned(), words(input, &WORDS)] {
            url.set_query(Some(&query));
            let said: Vec<(String, String)> = url.query_pairs().into_owned().collect();
            if let Ok(code) = client::code_of(&url, "s", &server) {
                for (name, value) in [("state", "s"), ("iss", "https://id.example"), ("code", code.as_str())] {
                    let found: Vec<&str> = said.iter().filter(|(own, _)| own == name).map(|(_, value)| value.as_str()).collect();
                    assert_eq!(found, [value], "{query}");
                }
                assert!(!said.iter().any(|(name, _)| name == "error"), "{query}");
            }
        }
    });
}

/// What is mirrored of a call into headers are headers, each once, and says what the call says.
#[test]
fn mirrored_arguments() {
    const NAMES: [&str; 12] = [
        "properties", "x-mcp-header", "type", "items", "a", "b", "$defs", "allOf", "enum", "default", "A", "additionalProperties",
    ];
    const TEXTS: [&str; 10] = ["string", "integer", "number", "object", "A", "a", "My Region", "R\u{e9}", "=?base64?", " x"];
    bolero::check!().for_each(|input: &[u8]| {
        let mut pick = Pick(input);
        let schema = json!({"properties": {
            "a": pick.object(&NAMES, &TEXTS, 3), "b": {"type": pick.of(&TEXTS), "x-mcp-header": pick.of(&TEXTS)},
        }});
        let Ok(marks) = client::marks(&schema) else { return };
        let arguments = pick.object(&["a", "b"], &TEXTS, 3);
        let mut names: Vec<String> = Vec::new();
        for (name, value) in client::mirrored(&marks, &arguments) {
            HeaderName::from_bytes(format!("mcp-param-{name}").as_bytes()).expect("a name");
            assert_eq!(HeaderValue::from_str(&value).expect("a value").as_bytes().trim_ascii(), value.as_bytes());
            assert!(!names.iter().any(|known| known.eq_ignore_ascii_case(&name)), "{names:?}");
            names.push(name);
        }
    });
}
