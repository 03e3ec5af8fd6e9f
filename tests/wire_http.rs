//! What belongs to a request beside its message: consistency tokens, headers, deadlines, browsers, streams, health, and
//! what HTTP makes of odd input.

use crate::wire_client::Server;
use bailiwick::server::Settings;
use bailiwick::wire::Bounds;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const TOKEN: &str = "bailiwick-consistency-token";

fn check(server: &Server) -> Value {
    json!({"store_id": server.name("$STORE"), "tuple_key": {"user": "user:t1", "relation": "viewer", "object": "document:1"}})
}

fn body() -> &'static str {
    r#"{"tuple_key":{"user":"user:t1","relation":"viewer","object":"document:1"}}"#
}

#[test]
fn answers_and_errors_carry_headers() {
    let server = Server::start();
    let (store, model) = (server.name("$STORE"), server.name("$MODEL"));
    let path = format!("/stores/{store}/check");
    let http = server.http("POST", &path, &[], Some(body()));
    assert_eq!(http.body, r#"{"allowed":true,"resolution":""}"#);
    let grpc = server.grpc("Check", &check(&server));
    assert_eq!(grpc.messages, [json!({"allowed": true})]);
    let bad = server.http(
        "POST",
        &path,
        &[],
        Some(r#"{"tuple_key":{"user":"user:t1","relation":"nope","object":"document:1"}}"#),
    );
    assert_eq!(bad.status, 400);
    for headers in [&http.headers, &grpc.headers, &bad.headers] {
        assert_eq!(headers["openfga-authorization-model-id"], model);
        assert_eq!(headers["openfga-store-id"], store);
        assert_eq!(headers["x-request-id"].len(), 36);
        assert!(!headers[TOKEN].is_empty());
    }
    assert_eq!(http.headers[TOKEN], grpc.headers[TOKEN]);
    assert_ne!(http.headers["x-request-id"], grpc.headers["x-request-id"]);
    let streamed = server.grpc(
        "StreamedListObjects",
        &json!({"store_id": store, "type": "document", "relation": "viewer", "user": "user:a"}),
    );
    assert_eq!(streamed.headers["openfga-authorization-model-id"], model);
    assert_eq!(streamed.messages.len(), 2);
}

#[test]
fn every_reading_call_takes_tokens() {
    let server = Server::start();
    let (store, model) = (server.name("$STORE"), server.name("$MODEL"));
    let old = server.grpc("Check", &check(&server)).headers[TOKEN].clone();
    let write = json!({"store_id": store, "writes": {"tuple_keys": [{"user": "user:new", "relation": "viewer", "object": "document:9"}]}});
    let new = server.grpc("Write", &write).headers[TOKEN].clone();
    let other = Server::start();
    let foreign = other.grpc("Check", &check(&other)).headers[TOKEN].clone();
    let key = json!({"user": "user:new", "relation": "viewer", "object": "document:9"});
    let asks = [
        ("Check", json!({"store_id": store, "tuple_key": key})),
        ("BatchCheck", json!({"store_id": store, "checks": [{"tuple_key": key, "correlation_id": "a"}]})),
        ("ListObjects", json!({"store_id": store, "type": "document", "relation": "viewer", "user": "user:new"})),
        (
            "StreamedListObjects",
            json!({"store_id": store, "type": "document", "relation": "viewer", "user": "user:new"}),
        ),
        (
            "ListUsers",
            json!({"store_id": store, "object": {"type": "document", "id": "9"}, "relation": "viewer", "user_filters": [{"type": "user"}]}),
        ),
        ("Expand", json!({"store_id": store, "tuple_key": {"relation": "viewer", "object": "document:9"}})),
        ("Read", json!({"store_id": store})),
        ("ReadChanges", json!({"store_id": store})),
        ("ReadAuthorizationModels", json!({"store_id": store})),
        ("ReadAuthorizationModel", json!({"store_id": store, "id": model})),
        ("ReadAssertions", json!({"store_id": store, "authorization_model_id": model})),
        ("GetStore", json!({"store_id": store})),
        ("ListStores", json!({})),
    ];
    for (call, ask) in &asks {
        for header in ["bailiwick-at-least", "bailiwick-exactly"] {
            let fine = server.grpc_with(call, ask, &[(header, &new)]);
            assert_eq!((fine.number, fine.text.as_str()), (0, ""), "{call} {header}");
            assert_eq!(fine.headers[TOKEN], new, "{call} {header}");
            for (bad, text) in [("nonsense", "is no consistency token"), (foreign.as_str(), "of another database")] {
                let refused = server.grpc_with(call, ask, &[(header, bad)]);
                assert!(refused.number == 2000 && refused.text.contains(text), "{call} {header} {}", refused.text);
            }
        }
        assert_eq!(server.grpc_with(call, ask, &[("bailiwick-at-least", &old)]).number, 0, "{call}");
    }
    let exactly = [("bailiwick-exactly", old.as_str())];
    let then = server.grpc_with("Check", &asks[0].1, &exactly);
    assert_eq!(then.messages, [json!({})], "not yet allowed then");
    assert_eq!(then.headers[TOKEN], old);
    let changes = |headers: &[_]| {
        server.grpc_with("ReadChanges", &asks[7].1, headers).messages[0]["changes"].as_array().map_or(0, Vec::len)
    };
    assert_eq!(changes(&exactly) + 1, changes(&[]));
    let read = server.grpc_with("Read", &asks[6].1, &exactly);
    assert!(read.number == 2000 && read.text.contains("newest revision"), "{}", read.text);
}

#[test]
fn a_token_ahead_waits_until_the_deadline_and_no_longer() {
    let bounds = Bounds { request_timeout: Duration::from_millis(300), ..Bounds::default() };
    let server = Server::start_with(Settings { bounds, ..Settings::default() });
    let store = server.name("$STORE").to_owned();
    let now = server.engine.revision();
    let identity = server.engine.identity(0).unwrap();
    let ahead = bailiwick::wire::Tokens::new(identity).encode(bailiwick::tuple::Revision(now.0 + 1));
    let began = Instant::now();
    let path = format!("/stores/{store}/check");
    let late = server.http("POST", &path, &[("bailiwick-at-least", &ahead)], Some(body()));
    assert_eq!((late.status, late.json()["code"].as_str()), (500, Some("deadline_exceeded")), "{}", late.body);
    assert!(late.body.contains("has not come in time") && late.headers.contains_key(TOKEN));
    assert!(began.elapsed() >= Duration::from_millis(300));
    // The revision comes while a request waits for it.
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            loop {
                let answer = server.http("POST", &path, &[("bailiwick-at-least", &ahead)], Some(body()));
                if answer.status == 200 {
                    return answer;
                }
            }
        });
        let write =
            json!({"writes": {"tuple_keys": [{"user": "user:new", "relation": "viewer", "object": "document:9"}]}});
        assert_eq!(server.http("POST", &format!("/stores/{store}/write"), &[], Some(&write.to_string())).status, 200);
        assert_eq!(waiting.join().unwrap().headers[TOKEN], ahead);
    });
}

#[test]
fn lists_that_are_cut_say_so() {
    let bounds = Bounds { list_objects_results_max: 1, list_users_results_max: 1, ..Bounds::default() };
    let server = Server::start_with(Settings { bounds, ..Settings::default() });
    let store = server.name("$STORE");
    let list = json!({"store_id": store, "type": "document", "relation": "viewer", "user": "user:a"});
    let users = json!({"store_id": store, "object": {"type": "document", "id": "1"}, "relation": "viewer", "user_filters": [{"type": "user"}]});
    for (call, ask) in [("ListObjects", &list), ("StreamedListObjects", &list), ("ListUsers", &users)] {
        assert_eq!(server.grpc(call, ask).headers["bailiwick-truncated"], "true", "{call}");
        assert_eq!(server.http_call(call, ask).headers["bailiwick-truncated"], "true", "{call}");
    }
    assert_eq!(server.http_call("ListObjects", &list).json()["objects"].as_array().unwrap().len(), 1);
    let whole = Server::start();
    let list = json!({"store_id": whole.name("$STORE"), "type": "document", "relation": "viewer", "user": "user:a"});
    let answer = whole.http_call("ListObjects", &list);
    assert!(!answer.headers.contains_key("bailiwick-truncated"));
    assert_eq!(answer.json(), json!({"objects": ["document:1", "document:2"]}));
    let streamed = whole.http_call("StreamedListObjects", &list);
    assert_eq!(streamed.body, "{\"result\":{\"object\":\"document:1\"}}\n{\"result\":{\"object\":\"document:2\"}}\n");
    assert_eq!(streamed.headers["content-type"], "application/json");
    assert!(streamed.headers.contains_key("openfga-authorization-model-id"));
}

#[test]
fn a_shorter_deadline_of_the_client_is_honoured() {
    let bounds = Bounds { request_timeout: Duration::from_secs(60), ..Bounds::default() };
    let server = Server::start_with(Settings { bounds, ..Settings::default() });
    assert_eq!(server.grpc_with("Check", &check(&server), &[("grpc-timeout", "20S")]).number, 0);
    let identity = server.engine.identity(0).unwrap();
    let ahead = bailiwick::tuple::Revision(server.engine.revision().0 + 1);
    let ahead = bailiwick::wire::Tokens::new(identity).encode(ahead);
    let began = Instant::now();
    // HTTP takes the header as OpenFGA's gateway does; a gRPC client would give up by itself.
    let path = format!("/stores/{}/check", server.name("$STORE"));
    let late = server.http("POST", &path, &[("grpc-timeout", "200m"), ("bailiwick-at-least", &ahead)], Some(body()));
    assert_eq!((late.status, late.json()["code"].as_str()), (500, Some("deadline_exceeded")), "{}", late.body);
    assert!((200..30_000).contains(&began.elapsed().as_millis()));
}

/// Method, path, body; status, name and a part of the text.
type Odd = (&'static str, String, Option<&'static str>, u16, &'static str, &'static str);

#[test]
fn odd_requests_over_http() {
    let server = Server::start();
    let store = server.name("$STORE");
    let rows: &[Odd] = &[
        ("GET", "/nope".into(), None, 404, "undefined_endpoint", "Not Found"),
        ("GET", format!("/stores/{store}/nope"), None, 404, "undefined_endpoint", "Not Found"),
        ("GET", format!("/stores/{store}/assertions"), None, 404, "undefined_endpoint", "Not Found"),
        ("GET", format!("/stores/{store}/check"), None, 404, "unimplemented", "Method Not Allowed"),
        ("PUT", "/stores".into(), Some("{}"), 404, "unimplemented", "Method Not Allowed"),
        ("POST", format!("/stores/{store}/changes"), Some("{}"), 404, "unimplemented", "Method Not Allowed"),
        ("POST", format!("/stores/{store}/check"), None, 400, "tuple_key_value_not_specified", "value is required"),
        (
            "POST",
            format!("/stores/{store}/check"),
            Some(" \n"),
            400,
            "tuple_key_value_not_specified",
            "value is required",
        ),
        ("POST", format!("/stores/{store}/check"), Some("{\"tuple_key\""), 400, "validation_error", "malformed JSON"),
        ("POST", format!("/stores/{store}/check"), Some("[]"), 400, "validation_error", "unexpected token ["),
        (
            "POST",
            format!("/stores/{store}/check"),
            Some("{\"tuple_key\":{\"user\":5}}"),
            400,
            "validation_error",
            "string",
        ),
        (
            "POST",
            format!("/stores/{store}/check"),
            Some("{\"tuple_key\":null}"),
            400,
            "tuple_key_value_not_specified",
            "value is required",
        ),
        ("GET", "/stores?page_size=abc".into(), None, 400, "validation_error", "parsing field \"page_size\""),
        ("GET", "/stores?page_size=0".into(), None, 400, "page_size_invalid", "value must be inside range [1, 100]"),
        (
            "GET",
            format!("/stores/{store}/changes?start_time=soon"),
            None,
            400,
            "validation_error",
            "parsing field \"start_time\"",
        ),
        ("POST", format!("/stores/{store}/nope/nope"), Some("{}"), 404, "undefined_endpoint", "Not Found"),
    ];
    for (method, path, body, status, code, text) in rows {
        let answer = server.http(method, path, &[], *body);
        let found = answer.json();
        assert_eq!(
            (answer.status, found["code"].as_str()),
            (*status, Some(*code)),
            "{method} {path} {body:?} {}",
            answer.body
        );
        assert!(found["message"].as_str().unwrap().contains(text), "{method} {path}: {}", answer.body);
        assert_eq!(answer.headers["content-type"], "application/json");
    }
    let head = server.http("HEAD", "/stores", &[], None);
    assert_eq!((head.status, head.body.as_str()), (404, ""));
}

#[test]
fn what_is_too_large_is_refused() {
    let server = Server::start();
    let large = format!("{{\"name\":\"{}\"}}", "a".repeat(3 << 20));
    let refused = server.http("POST", "/stores", &[], Some(&large));
    assert_eq!((refused.status, refused.json()["code"].as_str()), (500, Some("resource_exhausted")));
    let large = server.grpc("CreateStore", &json!({"name": "a".repeat(700_000)}));
    assert_eq!(large.number, 8);
    assert_eq!(large.text, "grpc: received message larger than max (700004 vs. 616448)");
}

#[test]
fn json_in_and_out_is_as_openfga_has_it() {
    let server = Server::start();
    let store = server.name("$STORE");
    let path = format!("/stores/{store}/check");
    for body in [
        r#"{"tuple_key":{"user":"user:t1","relation":"viewer","object":"document:1","unknown":1},"more":[],"context":null}"#,
        r#"{"tuple_key":{"user":"user:t1","relation":"viewer","object":"document:1"},"consistency":"MINIMIZE_LATENCY"}"#,
        r#"{"tuple_key":{"user":"user:t1","relation":"viewer","object":"document:1"},"consistency":200,"contextual_tuples":{}}"#,
        r#"{"store_id":"ignored, the path says it","tuple_key":{"user":"user:t1","relation":"viewer","object":"document:1"}}"#,
    ] {
        assert_eq!(server.http("POST", &path, &[], Some(body)).body, r#"{"allowed":true,"resolution":""}"#, "{body}");
    }
    let batch = r#"{"checks":[
        {"tuple_key":{"user":"user:t1","relation":"viewer","object":"document:1"},"correlation_id":"yes"},
        {"tuple_key":{"user":"user:t1","relation":"nope","object":"document:1"},"correlation_id":"bad"}]}"#;
    let answer = server.http("POST", &format!("/stores/{store}/batch-check"), &[], Some(batch)).json();
    assert_eq!(answer["result"]["yes"], json!({"allowed": true}));
    let bad = json!({"error": {"input_error": "validation_error", "message": "relation 'document#nope' not found"}});
    assert_eq!(answer["result"]["bad"], bad);
    let read = server.http("POST", &format!("/stores/{store}/read"), &[], Some(r#"{"page_size":1}"#)).json();
    assert_eq!(read["tuples"][0]["key"]["condition"], Value::Null);
    assert!(read["tuples"][0]["timestamp"].as_str().unwrap().ends_with('Z'));
    assert_ne!(read["continuation_token"], "");
    let changes = server.http("GET", &format!("/stores/{store}/changes?page_size=1&type=document"), &[], None).json();
    assert_eq!(changes["changes"][0]["operation"], "TUPLE_OPERATION_WRITE");
    let found = server.http("GET", &format!("/stores/{store}"), &[], None).json();
    assert_eq!(found["deleted_at"], Value::Null);
    let model = server.http("GET", &format!("/stores/{store}/authorization-models"), &[], None).json();
    let viewer = &model["authorization_models"][0]["type_definitions"][3]["relations"]["viewer"]["union"]["child"];
    assert!(viewer[1]["tupleToUserset"]["computedUserset"]["relation"] == "viewer", "{viewer}");
    assert_eq!(
        server
            .http(
                "POST",
                &format!("/stores/{store}/write"),
                &[],
                Some(r#"{"deletes":{"tuple_keys":[{"user":"user:t1","relation":"viewer","object":"document:1"}]}}"#)
            )
            .body,
        "{}"
    );
    assert_eq!(server.http("DELETE", &format!("/stores/{}", server.name("$EMPTY")), &[], None).status, 204);
}

#[test]
fn the_tail_of_changes_gives_the_same_token_back() {
    let server = Server::start();
    let store = server.name("$STORE");
    let token = server.name("$CHANGES");
    let tail = server.http("GET", &format!("/stores/{store}/changes?continuation_token={token}"), &[], None).json();
    assert_eq!(tail, json!({"changes": [], "continuation_token": token}));
}

#[test]
fn browsers_may_call() {
    let server = Server::start();
    let origin = [
        ("origin", "https://app.example"),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "authorization"),
    ];
    let asked = server.http("OPTIONS", "/stores", &origin, None);
    assert_eq!(asked.status, 204);
    assert_eq!(asked.headers["access-control-allow-origin"], "*");
    assert_eq!(asked.headers["access-control-allow-methods"], "POST");
    assert_eq!(asked.headers["access-control-allow-headers"], "authorization");
    assert_eq!(asked.headers["access-control-allow-credentials"], "true");
    let answer = server.http("GET", "/stores", &origin[..1], None);
    assert_eq!((answer.status, answer.headers["access-control-allow-origin"].as_str()), (200, "*"));
    let plain = server.http("GET", "/stores", &[], None);
    assert!(!plain.headers.contains_key("access-control-allow-origin"));
    assert_eq!(server.http("OPTIONS", "/stores", &[], None).status, 404);
    let strict =
        Server::start_with(Settings { cors_origins: vec!["https://app.example".into()], ..Settings::default() });
    let answer = strict.http("GET", "/stores", &origin[..1], None);
    assert_eq!(answer.headers["access-control-allow-origin"], "https://app.example");
    let stranger = strict.http("GET", "/stores", &[("origin", "https://evil.example")], None);
    assert!(!stranger.headers.contains_key("access-control-allow-origin"));
}

#[test]
fn the_server_is_ready_and_then_drains() {
    let mut server = Server::start();
    for path in ["/healthz", "/readyz"] {
        let answer = server.http("GET", path, &[], None);
        assert_eq!((answer.status, answer.body.as_str()), (200, r#"{"status":"SERVING"}"#));
    }
    let began = Instant::now();
    server.stop();
    assert!(began.elapsed() < Duration::from_secs(10), "an idle connection must not hold the server up");
    assert!(std::net::TcpStream::connect(server.http).is_err());
}
