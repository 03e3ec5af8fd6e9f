//! Stories through the routes, without a socket: our own server, and a stub of another one behind the gateway.

use super::super::http::{Endpoint, EndpointSpec, guarded, routes};
use super::super::*;
use super::{Approver, NOW, TENANT, World, judged, object, policy_spec};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Extension;
use axum::http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use axum::routing::{get, post};
use http_body_util::BodyExt as _;
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::sync::Arc;
use tower::ServiceExt as _;

const URL: &str = "https://mcp.example.com/crm";
const MODERN: &str = "2026-07-28";

/// Tokens of the test: `SUBJECT,AGENT,SCOPES` where scopes have `+` between them, for the one resource.
pub(super) struct StubTokens;

impl Tokens for StubTokens {
    fn judge(&self, presented: &Presented<'_>, resource: &str, now: Timestamp) -> Result<Judged, Refusal> {
        assert!(now > NOW && resource == URL && presented.url == URL);
        let invalid = |reason: &'static str| Err(Refusal::Invalid { reason: reason.into() });
        let mut parts = presented.token.split('/');
        let (Some(subject), Some(agent), scopes) = (parts.next(), parts.next(), parts.next()) else {
            return match presented.token {
                "expired" => invalid("the token is expired"),
                "forged" => invalid("the signature is wrong"),
                "foreign" => invalid("the token is for another audience"),
                "stepup" => Err(Refusal::StepUp { acr_values: Some("urn:phr".into()), max_age_s: Some(60) }),
                "nonce" => Err(Refusal::Proof { reason: "a nonce is needed".into(), nonce: Some("n-1".into()) }),
                "down" => Err(Refusal::Unavailable),
                _ => invalid("the token is none of ours"),
            };
        };
        let agent = Some(agent).filter(|agent| *agent != "-").map(|agent| format!("agent:{agent}"));
        let mut judged = judged(&format!("user:{subject}"), agent.as_deref());
        if let Some(scopes) = scopes {
            judged.scopes = scopes.split('+').map(|scope| scope.replace('.', ":")).collect();
        }
        Ok(judged)
    }
}

fn guard(spec: GuardSpec) -> Guard {
    let resource = Resource::new(ResourceSpec {
        url: URL.into(),
        authorization_servers: vec!["https://id.example.com/".into()],
        scopes_supported: vec!["mcp:crm:read".into()],
        dpop_algs: vec!["ES256".into()],
        ..ResourceSpec::default()
    });
    Guard::new(resource.unwrap(), Arc::new(StubTokens), spec).unwrap()
}

pub(super) fn at(world: &World, approvals: Arc<dyn Approvals>) -> EndpointSpec {
    EndpointSpec {
        engine: world.engine.clone(),
        store: world.store,
        tenant: TENANT,
        guard: guard(GuardSpec { origins: vec!["https://app.example.com".into()], ..GuardSpec::default() }),
        approvals,
        pool: Arc::clone(&world.pool),
    }
}

/// An answer, read to its end.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {} {:?}", self.status, self.body))
    }

    /// The messages of a stream.
    fn events(&self) -> Vec<Value> {
        let text = std::str::from_utf8(&self.body).unwrap();
        let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
        data.map(|data| serde_json::from_str(data).unwrap()).collect()
    }

    fn challenge(&self) -> Vec<&str> {
        self.headers.get_all("www-authenticate").iter().map(|value| value.to_str().unwrap()).collect()
    }
}

async fn ask(router: &Router, request: Request<Body>) -> Answer {
    let (head, body) = router.clone().oneshot(request).await.unwrap().into_parts();
    Answer { status: head.status, headers: head.headers, body: body.collect().await.unwrap().to_bytes() }
}

fn post_to(token: Option<&str>, headers: &[(&'static str, &str)], body: &Value) -> Request<Body> {
    let mut request =
        Request::post("/crm").header("host", "mcp.example.com").header("content-type", "application/json");
    request = request.header("accept", "application/json, text/event-stream");
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Body::from(body.to_string())).unwrap()
}

/// A call in the version without sessions.
pub(super) fn call(token: &str, method: &str, mut params: Value) -> Request<Body> {
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    let name = params.get("name").or(params.get("uri")).and_then(Value::as_str).map(str::to_owned);
    let mut headers = vec![("mcp-protocol-version", MODERN), ("mcp-method", method)];
    let named = name.unwrap_or_default();
    if !named.is_empty() {
        headers.push(("mcp-name", &named));
    }
    post_to(Some(token), &headers, &json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}))
}

/// The same in a version with sessions.
fn old(token: &str, version: &str, method: &str, params: &Value) -> Request<Body> {
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    post_to(Some(token), &[("mcp-protocol-version", version)], &body)
}

fn own_spec() -> OwnSpec {
    serde_json::from_value(json!({
        "title": "Handbook",
        "instructions": "Search before you answer.",
        "policy": {
            "server": {"object": "mcp_server:crm", "relation": "can_use"},
            "tools": {
                "search": {"scopes": ["mcp:docs:read"], "checks": [{"object": "mcp_server:crm", "relation": "can_use"}]},
                "check": {"open": true},
                "list_objects": {"open": true},
            },
        },
        "collections": ["passages"],
        "resources": [
            {"uri": "docs://{id}", "object": "document:{id}", "relation": "viewer", "collection": "passages",
             "name": "Documents", "scopes": ["mcp:docs:read"]},
        ],
    }))
    .unwrap()
}

fn own(world: &World) -> Router {
    routes([Endpoint::own(at(world, Arc::new(NoApprovals)), own_spec(), None).unwrap()]).unwrap()
}

// MCPM-1, RFC 9728.
#[tokio::test]
async fn metadata_and_challenges_lead_to_the_authorization_server() {
    let world = World::new();
    let router = own(&world);
    let path = "/.well-known/oauth-protected-resource/crm";
    let answer = ask(&router, Request::get(path).body(Body::empty()).unwrap()).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers["access-control-allow-origin"], "*");
    assert_eq!(answer.json()["resource"], URL);
    assert_eq!(answer.json()["authorization_servers"], json!(["https://id.example.com/"]));
    let answer = ask(&router, post_to(None, &[], &json!({}))).await;
    assert_eq!(answer.status, 401);
    let metadata = "resource_metadata=\"https://mcp.example.com/.well-known/oauth-protected-resource/crm\"";
    assert_eq!(answer.challenge(), [format!("Bearer {metadata}"), format!("DPoP algs=\"ES256\", {metadata}")]);
    let answer = ask(&router, Request::get("/.well-known/oauth-protected-resource").body(Body::empty()).unwrap()).await;
    assert_eq!(answer.status, 404, "it is another resource's");
}

// MCPM-4: signature, expiry, audience; each refused by itself. Scopes: see below.
#[tokio::test]
async fn a_token_that_does_not_open_the_resource_is_refused() {
    let world = World::new();
    let router = own(&world);
    for (token, why) in [
        ("expired", "the token is expired"),
        ("forged", "the signature is wrong"),
        ("foreign", "the token is for another audience"),
        ("x", "the token is none of ours"),
    ] {
        let answer = ask(&router, call(token, "tools/list", json!({}))).await;
        assert_eq!(answer.status, 401);
        let challenge = answer.challenge().join("");
        assert!(challenge.contains("error=\"invalid_token\"") && challenge.contains(why), "{challenge}");
        assert!(answer.json()["error"] == "invalid_token" && !answer.headers.contains_key("set-cookie"));
    }
    let answer = ask(&router, call("stepup", "tools/list", json!({}))).await;
    let challenge = answer.challenge().join("");
    assert!(answer.status == 401 && challenge.contains("error=\"insufficient_user_authentication\""), "{challenge}");
    assert!(challenge.contains("acr_values=\"urn:phr\", max_age=60"), "{challenge}");
    let answer = ask(&router, call("nonce", "tools/list", json!({}))).await;
    assert!(answer.status == 401 && answer.challenge()[0].starts_with("DPoP error=\"use_dpop_nonce\""));
    assert_eq!(answer.headers["dpop-nonce"], "n-1");
    assert_eq!(ask(&router, call("down", "tools/list", json!({}))).await.status, 503);
    assert!(world.events().is_empty(), "nobody is known, and nothing was decided");
}

#[tokio::test]
async fn a_token_stands_in_one_place_and_once() {
    let world = World::new();
    let router = own(&world);
    let good = "sarah/sales";
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
    for query in ["access_token=sarah/sales", "x=1&access%5Ftoken=a", &"x&".repeat(65)] {
        let mut request = post_to(Some(good), &[], &body);
        *request.uri_mut() = format!("/crm?{query}").parse().unwrap();
        let answer = ask(&router, request).await;
        assert!(answer.status == 400 && answer.challenge()[0].contains("invalid_request"), "{query}");
    }
    let twice = post_to(Some(good), &[("authorization", "Bearer other")], &body);
    assert_eq!(ask(&router, twice).await.status, 400);
    for (value, status) in [("Bearer", 400), ("Bearer a b", 400), ("Basic YTpi", 401), ("Bearer \u{7f}", 400)] {
        let mut request = post_to(None, &[], &body);
        if let Ok(header) = HeaderValue::try_from(value) {
            request.headers_mut().insert("authorization", header);
            assert_eq!(ask(&router, request).await.status.as_u16(), status, "{value:?}");
        }
    }
    let long = format!("{good}{}", "a".repeat(TOKEN_BYTES_MAX));
    assert_eq!(ask(&router, post_to(Some(&long), &[], &body)).await.status, 400);
}

// DNS rebinding (MCP, Streamable HTTP, security).
#[tokio::test]
async fn pages_of_foreign_origins_are_refused() {
    let world = World::new();
    let router = own(&world);
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
    for (origin, status) in [
        ("https://mcp.example.com", 200),
        ("https://app.example.com", 200),
        ("https://evil.example", 403),
        ("http://mcp.example.com", 403),
        ("https://app.example.com.evil.example", 403),
        ("null", 403),
    ] {
        let headers = [("origin", origin), ("mcp-protocol-version", "2025-11-25")];
        let answer = ask(&router, post_to(Some("sarah/sales"), &headers, &ping)).await;
        assert_eq!(answer.status, status, "{origin}");
        let shared = answer.headers.get("access-control-allow-origin").map(|value| value.to_str().unwrap());
        assert_eq!(shared, Some(origin).filter(|_| status == 200));
    }
    for host in ["evil.example", "mcp.example.com:8080", ""] {
        let mut request = post_to(Some("sarah/sales"), &[], &ping);
        request.headers_mut().insert("host", host.parse().unwrap());
        assert_eq!(ask(&router, request).await.status, 403, "{host}");
    }
    let preflight = Request::options("/crm").header("origin", "https://app.example.com").body(Body::empty()).unwrap();
    let answer = ask(&router, preflight).await;
    assert_eq!(
        (answer.status.as_u16(), &answer.headers["access-control-allow-methods"]),
        (204, &HeaderValue::from_static("POST, DELETE"))
    );
}

// FGA-0, MCPP-4: the nearest of what both may see.
#[tokio::test]
async fn search_finds_what_user_and_agent_may_see() {
    let world = World::new();
    let router = own(&world);
    let search = |token: &str, k: usize| {
        call(token, "tools/call", json!({"name": "search", "arguments": {"vector": [1.0, 0.0, 0.0], "k": k}}))
    };
    let ids = |answer: &Answer| -> Vec<String> {
        let value = answer.json();
        let hits = value["result"]["structuredContent"]["hits"].as_array().unwrap_or_else(|| panic!("{value}")).clone();
        hits.iter().map(|hit| hit["id"].as_str().unwrap().to_owned()).collect()
    };
    let answer = ask(&router, search("sarah/sales", 10)).await;
    assert_eq!(ids(&answer), ["q1", "h1", "h2"], "neither what the user alone nor what the agent alone may see");
    let hit = &answer.json()["result"]["structuredContent"]["hits"][0];
    assert_eq!((&hit["uri"], &hit["text"]), (&json!("docs://q1%20plan"), &json!("the text of q1")));
    assert_eq!(ids(&ask(&router, search("sarah/-", 10)).await), ["s1", "q1", "h1", "h2"]);
    assert_eq!(ids(&ask(&router, search("bob/sales", 1)).await), ["h1"]);
    world.delete("document:q1%20plan", "viewer", "agent:sales");
    assert_eq!(ids(&ask(&router, search("sarah/sales", 1)).await), ["h1"], "at the next call");
    let event = world.events().into_iter().rev().find(|event| event.get_action() == Some("search")).unwrap();
    assert_eq!((event.get_user(), event.get_agent()), (Some("user:sarah"), Some("agent:sales")));
    // What is wrong with a call is told to the model.
    for (arguments, why) in [
        (json!({}), "give `query` or `vector`"),
        (json!({"query": "plans"}), "embedding endpoint"),
        (json!({"vector": [1.0]}), "has 1 elements"),
        (json!({"vector": [1.0, 0.0, 0.0], "collection": "secrets"}), "no such collection"),
        (json!({"vector": [1.0, 0.0, 0.0], "k": 1_000}), "1 to 50"),
        (json!({"vector": [1.0, 0.0, 0.0], "user": "user:admin"}), "unknown field"),
    ] {
        let answer =
            ask(&router, call("sarah/sales", "tools/call", json!({"name": "search", "arguments": arguments}))).await;
        let result = &answer.json()["result"];
        let text = result["content"][0]["text"].as_str().unwrap_or_default();
        assert!(result["isError"] == true && text.contains(why), "{why}: {text}");
    }
}

// F-3.2a, F-3.2b, F-3.3a, F-3.3b.
#[tokio::test]
async fn resources_are_listed_and_read_by_check() {
    let world = World::new();
    let router = own(&world);
    let listed = |token: &'static str| {
        let router = router.clone();
        async move {
            let value = ask(&router, call(token, "resources/list", json!({}))).await.json();
            let list = value["result"]["resources"].as_array().unwrap_or_else(|| panic!("{value}")).clone();
            assert_eq!((&value["result"]["cacheScope"], &value["result"]["ttlMs"]), (&json!("private"), &json!(0)));
            list.iter().map(|item| item["uri"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        }
    };
    assert_eq!(listed("sarah/sales").await, ["docs://handbook", "docs://q1%20plan"]);
    assert_eq!(listed("sarah/-").await, ["docs://handbook", "docs://q1%20plan", "docs://salaries"]);
    let read = |uri: &str| call("sarah/sales", "resources/read", json!({"uri": uri}));
    let answer = ask(&router, read("docs://handbook")).await.json();
    assert_eq!(answer["result"]["contents"][0]["text"], "the text of h1\n\nthe text of h2");
    let denied = ask(&router, read("docs://salaries")).await;
    assert_eq!(denied.json()["error"]["code"], -32_001);
    assert!(!String::from_utf8_lossy(&denied.body).contains("text of"), "its text never left");
    assert_eq!(ask(&router, read("docs://unheard-of")).await.json()["error"]["code"], -32_001, "as if it were denied");
    let missing = ask(&router, read("pricing://executive-discounts")).await.json();
    assert_eq!(
        (&missing["error"]["code"], &missing["error"]["data"]["uri"]),
        (&json!(-32_602), &json!("pricing://executive-discounts"))
    );
    let old = ask(&router, old("sarah/sales", "2025-06-18", "resources/read", &json!({"uri": "x://y"}))).await.json();
    assert_eq!(old["error"]["code"], -32_002, "as older versions have it");
    let templates = ask(&router, call("sarah/sales", "resources/templates/list", json!({}))).await.json();
    assert_eq!(templates["result"]["resourceTemplates"][0]["uriTemplate"], "docs://{id}");
}

// MCPM-3: a missing scope is asked for.
#[tokio::test]
async fn a_missing_scope_is_a_403_that_names_it() {
    let world = World::new();
    let router = own(&world);
    let poor = "sarah/sales/mcp.crm.read";
    let search = json!({"name": "search", "arguments": {"vector": [1.0, 0.0, 0.0]}});
    for request in [call(poor, "tools/call", search), call(poor, "resources/read", json!({"uri": "docs://handbook"}))] {
        let answer = ask(&router, request).await;
        assert_eq!(answer.status, 403);
        let challenge = answer.challenge().join("");
        assert!(challenge.contains("error=\"insufficient_scope\"") && challenge.contains("scope=\"mcp:docs:read\""));
        assert!(challenge.contains("resource_metadata="), "{challenge}");
    }
}

// The three versions of the protocol.
#[tokio::test]
async fn each_version_is_spoken_its_own_way() {
    let world = World::new();
    let router = own(&world);
    for version in ["2025-11-25", "2025-06-18"] {
        let hello =
            json!({"protocolVersion": version, "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}});
        let body = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": hello});
        let answer = ask(&router, post_to(Some("sarah/sales"), &[], &body)).await.json();
        assert_eq!(answer["result"]["protocolVersion"], version, "{answer}");
        assert_eq!(answer["result"]["serverInfo"]["name"], "bailiwick");
        let initialized = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        let answer =
            ask(&router, post_to(Some("sarah/sales"), &[("mcp-protocol-version", version)], &initialized)).await;
        assert_eq!((answer.status.as_u16(), answer.body.len()), (202, 0));
        let answer = ask(&router, old("sarah/sales", version, "tools/list", &json!({}))).await.json();
        assert_eq!(answer["result"]["tools"][0]["name"], "search");
        assert!(answer["result"].get("resultType").is_none(), "{answer}");
        assert_eq!(ask(&router, old("sarah/sales", version, "ping", &json!({}))).await.json()["result"], json!({}));
    }
    let answer = ask(&router, call("sarah/sales", "server/discover", json!({}))).await.json();
    let mut versions = answer["result"]["supportedVersions"].as_array().unwrap().clone();
    versions.sort_by_key(|version| std::cmp::Reverse(version.as_str().unwrap().to_owned()));
    assert_eq!(json!(versions), json!(VERSIONS));
    let answer = ask(&router, call("sarah/sales", "tools/list", json!({}))).await.json();
    assert_eq!(answer["result"]["resultType"], "complete");
    let unknown = ask(&router, old("sarah/sales", "2099-01-01", "tools/list", &json!({}))).await;
    assert_eq!((unknown.status.as_u16(), &unknown.json()["error"]["code"]), (400, &json!(-32_022)));
    for method in ["GET", "DELETE", "PUT"] {
        let request = Request::builder().method(method).uri("/crm").header("host", "mcp.example.com");
        let request = request.header("authorization", "Bearer sarah/sales").body(Body::empty()).unwrap();
        assert_eq!(ask(&router, request).await.status, 405, "{method}");
    }
}

// What 2026-07-28 has no more is no method of it, at our own server and through the gateway, and goes nowhere.
#[tokio::test]
async fn a_method_that_the_version_does_not_have_is_not_found() {
    let world = World::new();
    let stub = Stub::default();
    let uri = json!({"uri": "docs://handbook"});
    for router in [own(&world), gateway(&world, &stub)] {
        for (method, params) in [
            ("initialize", json!({"protocolVersion": MODERN, "capabilities": {}})),
            ("ping", json!({})),
            ("logging/setLevel", json!({"level": "debug"})),
            ("resources/subscribe", uri.clone()),
            ("resources/unsubscribe", uri.clone()),
            ("tasks/list", json!({})),
            ("no/such", json!({})),
        ] {
            let answer = ask(&router, call("sarah/sales", method, params)).await;
            assert_eq!((answer.status.as_u16(), &answer.json()["error"]["code"]), (404, &json!(-32_601)), "{method}");
            assert_eq!(answer.json()["id"], 1, "{method}");
        }
    }
    assert!(stub.seen.lock().is_empty());
    // In a version that has sessions a 404 would say that the session is over.
    let answer = ask(&own(&world), old("sarah/sales", "2025-11-25", "no/such", &json!({}))).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["error"]["code"]), (200, &json!(-32_601)));
}

#[tokio::test]
async fn developers_ask_for_themselves_alone() {
    let world = World::new();
    let router = own(&world);
    let tool =
        |name: &str, arguments: Value| call("sarah/sales", "tools/call", json!({"name": name, "arguments": arguments}));
    let allowed = |answer: Answer| answer.json()["result"]["structuredContent"]["allowed"].clone();
    for (object, expected) in
        [("document:handbook", true), ("document:salaries", false), ("document:agent-notes", false)]
    {
        let asked = tool("check", json!({"object": object, "relation": "viewer"}));
        assert_eq!(allowed(ask(&router, asked).await), expected, "{object}");
    }
    let listed = ask(&router, tool("list_objects", json!({"type": "account", "relation": "viewer"}))).await.json();
    assert_eq!(listed["result"]["structuredContent"]["objects"], json!(["account:acme"]));
    let wrong = ask(&router, tool("check", json!({"object": "document:a", "relation": "flies"}))).await.json();
    assert_eq!(wrong["result"]["isError"], true);
}

/// A server that knows nothing of tokens: it records what it gets, and answers as it is told.
#[derive(Clone, Default)]
struct Stub {
    seen: Arc<Mutex<Vec<(HeaderMap, Value)>>>,
    answer: Arc<Mutex<Option<(u16, &'static str, String)>>>,
}

impl Stub {
    fn says(&self, status: u16, kind: &'static str, body: impl Into<String>) {
        *self.answer.lock() = Some((status, kind, body.into()));
    }

    fn json(&self, result: &Value) {
        self.says(200, "application/json", json!({"jsonrpc": "2.0", "id": 1, "result": result}).to_string());
    }
}

impl Upstream for Stub {
    fn send(&self, request: Request<Body>) -> Future<'_, Result<Response<Body>, UpstreamError>> {
        Box::pin(async move {
            let (head, body) = request.into_parts();
            assert_eq!(head.uri, "https://crm.internal/mcp");
            let body = body.collect().await.unwrap().to_bytes();
            self.seen.lock().push((head.headers, serde_json::from_slice(&body).unwrap_or_default()));
            let (status, kind, body) =
                self.answer.lock().clone().ok_or_else(|| UpstreamError::Unreachable("connection refused".into()))?;
            let mut response = Response::new(Body::from(body));
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            let headers = response.headers_mut();
            headers.insert("content-type", HeaderValue::from_static(kind));
            headers.insert("mcp-session-id", HeaderValue::from_static("server-session"));
            headers.insert("set-cookie", HeaderValue::from_static("a=b"));
            headers.insert("www-authenticate", HeaderValue::from_static("Bearer resource_metadata=\"https://evil/\""));
            Ok(response)
        })
    }
}

pub(super) struct Lender(pub(super) bool);

impl Credentials for Lender {
    fn authorization<'a>(
        &'a self,
        caller: &'a Judged,
        _: &'a str,
    ) -> Future<'a, Result<Option<HeaderValue>, &'static str>> {
        assert_eq!(caller.subject, object("user:sarah"));
        let value =
            if self.0 { Ok(Some(HeaderValue::from_static("Bearer own-credential"))) } else { Err("reconnect needed") };
        Box::pin(std::future::ready(value))
    }
}

fn gateway_with(world: &World, stub: &Stub, lends: bool, approvals: Arc<dyn Approvals>) -> Router {
    let spec = GatewaySpec { answer_bytes_max: 10_000, ..gateway_spec() };
    let upstream = Arc::new(stub.clone());
    let endpoint = Endpoint::gateway(at(world, approvals), spec, upstream, Arc::new(Lender(lends)), &[7; 32]);
    routes([endpoint.unwrap()]).unwrap()
}

pub(super) fn gateway_spec() -> GatewaySpec {
    let mut spec: GatewaySpec = serde_json::from_value(json!({
        "url": "https://crm.internal/mcp",
        "policy": {"server": {"object": "mcp_server:crm", "relation": "can_use"}},
    }))
    .unwrap();
    spec.policy = policy_spec();
    spec
}

fn gateway(world: &World, stub: &Stub) -> Router {
    gateway_with(world, stub, true, Arc::new(NoApprovals))
}

// MCPM-5: a server without code for it; no token goes through (MCP, token passthrough).
#[tokio::test]
async fn a_call_reaches_the_server_without_the_callers_token() {
    let world = World::new();
    let stub = Stub::default();
    let router = gateway(&world, &stub);
    stub.json(&json!({"content": [{"type": "text", "text": "Acme"}]}));
    let mut request =
        call("sarah/sales", "tools/call", json!({"name": "get_account", "arguments": {"account_id": "acme"}}));
    for (name, value) in [("cookie", "a=b"), ("dpop", "proof"), ("x-api-key", "k"), ("mcp-param-region", "eu")] {
        request.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    let answer = ask(&router, request).await;
    assert_eq!(answer.json()["result"]["content"][0]["text"], "Acme");
    for gone in ["set-cookie", "www-authenticate"] {
        assert!(!answer.headers.contains_key(gone), "{gone}");
    }
    let (headers, body) = stub.seen.lock().pop().unwrap();
    assert_eq!(headers["authorization"], "Bearer own-credential");
    assert!(headers["authorization"].is_sensitive());
    for gone in ["cookie", "dpop", "x-api-key", "host", "origin"] {
        assert!(!headers.contains_key(gone), "{gone}");
    }
    assert_eq!(
        (&headers["mcp-param-region"], &headers["mcp-method"]),
        (&HeaderValue::from_static("eu"), &HeaderValue::from_static("tools/call"))
    );
    assert_eq!(body["params"]["arguments"]["account_id"], "acme");
    assert!(!format!("{headers:?}{body}").contains("sarah/sales"), "the token is nowhere");
}

#[tokio::test]
async fn what_is_denied_never_reaches_the_server() {
    let world = World::new();
    let stub = Stub::default();
    stub.json(&json!({}));
    let router = gateway(&world, &stub);
    let sarah = "sarah/sales";
    for request in [
        call(sarah, "tools/call", json!({"name": "get_account", "arguments": {"account_id": "globex"}})),
        call(sarah, "tools/call", json!({"name": "delete_all"})),
        call(sarah, "resources/read", json!({"uri": "pricing://executive-discounts"})),
        call(sarah, "tasks/list", json!({})),
        call("sarah/other", "tools/list", json!({})),
        call("sarah/sales/mcp.docs.read", "resources/read", json!({"uri": "crm://accounts/acme"})),
        call("expired", "tools/list", json!({})),
        post_to(None, &[], &json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"})),
        post_to(Some(sarah), &[], &json!([{"jsonrpc": "2.0", "id": 1, "method": "tools/list"}])),
        post_to(Some(sarah), &[], &json!({"jsonrpc": "2.0", "id": 1, "result": {}})),
        post_to(
            Some(sarah),
            &[],
            &json!({"jsonrpc": "2.0", "method": "tools/call", "params": {"name": "get_account"}}),
        ),
        post_to(
            Some(sarah),
            &[("mcp-name", "weather")],
            &json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call",
            "params": {"name": "get_account", "arguments": {"account_id": "acme"}}}),
        ),
    ] {
        let answer = ask(&router, request).await;
        assert!(
            answer.status != 200 || answer.json()["error"]["code"] == -32_001,
            "{} {:?}",
            answer.status,
            answer.body
        );
    }
    assert!(stub.seen.lock().is_empty(), "{:?}", stub.seen.lock());
}

// A tool behind an approval, through the gateway.
#[tokio::test]
async fn an_approved_call_goes_on_once() {
    let world = World::new();
    let (stub, approver) = (Stub::default(), Arc::new(Approver::default()));
    stub.json(&json!({"content": []}));
    let router = gateway_with(&world, &stub, true, approver.clone());
    let send =
        || call("sarah/sales", "tools/call", json!({"name": "send_proposal", "arguments": {"account_id": "acme"}}));
    let denied = ask(&router, send()).await.json();
    assert_eq!(denied["error"]["data"]["access_request"]["binding_token"], "binding-1");
    assert!(denied["error"]["message"].as_str().unwrap().contains("approval required"));
    approver.approved.lock().push(json!(["user:sarah", "send_proposal", {"account_id": "acme"}]));
    assert!(ask(&router, send()).await.json().get("result").is_some());
    assert!(ask(&router, send()).await.json().get("error").is_some());
    assert_eq!(stub.seen.lock().len(), 1);
}

#[tokio::test]
async fn lists_come_back_cut_as_json_and_as_a_stream() {
    let world = World::new();
    let stub = Stub::default();
    let router = gateway(&world, &stub);
    let tools =
        json!({"tools": [{"name": "weather"}, {"name": "delete_all"}, {"name": "unknown"}], "cacheScope": "public"});
    stub.json(&tools);
    let answer = ask(&router, call("sarah/sales", "tools/list", json!({}))).await;
    let cut = json!({"tools": [{"name": "weather"}], "cacheScope": "private"});
    assert_eq!(
        (&answer.json()["result"], &answer.headers["cache-control"]),
        (&cut, &HeaderValue::from_static("no-store"))
    );
    let progress =
        json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": 1, "progress": 1}});
    let asked = json!({"jsonrpc": "2.0", "id": 5, "method": "sampling/createMessage", "params": {}});
    let result = json!({"jsonrpc": "2.0", "id": 1, "result": tools});
    let stream = format!(
        "id: 1\nretry: 5\ndata:\n\ndata: {progress}\n\ndata: {asked}\n\ndata: {result}\n\ndata: {progress}\n\n"
    );
    stub.says(200, "text/event-stream; charset=utf-8", stream);
    let answer = ask(&router, call("sarah/sales", "tools/list", json!({}))).await;
    assert_eq!(answer.headers["content-type"], "text/event-stream");
    let expected = json!({"jsonrpc": "2.0", "id": 1, "result": cut});
    assert_eq!(answer.events(), [progress, expected], "nothing comes behind the answer");
}

#[tokio::test]
async fn answers_that_are_none_are_told_and_not_repeated() {
    let world = World::new();
    let stub = Stub::default();
    let router = gateway(&world, &stub);
    let ask_it = || ask(&router, call("sarah/sales", "tools/call", json!({"name": "weather"})));
    assert_eq!(ask_it().await.status, 502, "unreachable");
    let long = json!({"jsonrpc": "2.0", "id": 1, "result": {"x": "a".repeat(10_000)}}).to_string();
    for (status, kind, body) in [
        (500, "text/html", "secret stack".to_owned()),
        (401, "application/json", "{}".to_owned()),
        (403, "application/json", "{}".to_owned()),
        (302, "text/html", String::new()),
        (200, "text/html", "secret page".to_owned()),
        (200, "application/json", "secret".to_owned()),
        (200, "application/json", json!({"jsonrpc": "2.0", "id": 2, "result": {"x": "secret"}}).to_string()),
        (200, "application/json", long.clone()),
    ] {
        stub.says(status, kind, body);
        let answer = ask_it().await;
        assert_eq!(answer.status, 502, "{status} {kind}");
        assert_eq!((&answer.json()["id"], &answer.json()["error"]["code"]), (&json!(1), &json!(-32_603)));
        assert!(!answer.headers.contains_key("www-authenticate"), "its challenge is no affair of the client");
        assert!(!String::from_utf8_lossy(&answer.body).contains("secret"));
    }
    for body in [format!("data: {long}\n\n"), "data: {}\n\n".to_owned(), "data: \u{0}".to_owned()] {
        stub.says(200, "text/event-stream", body);
        let events = ask_it().await.events();
        assert_eq!((events.len(), &events[0]["id"], &events[0]["error"]["code"]), (1, &json!(1), &json!(-32_603)));
    }
    let refused =
        json!({"jsonrpc": "2.0", "id": 1, "error": {"code": -32_022, "message": "Unsupported protocol version"}});
    stub.says(400, "application/json", refused.to_string());
    let answer = ask_it().await;
    assert_eq!((answer.status.as_u16(), answer.json()), (400, refused), "errors of the protocol come through");
    let router = gateway_with(&world, &stub, false, Arc::new(NoApprovals));
    let answer = ask(&router, call("sarah/sales", "tools/call", json!({"name": "weather"}))).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["error"]["message"]), (502, &json!("reconnect needed")));
}

// Session hijacking (MCP, security best practices).
#[tokio::test]
async fn a_session_is_its_callers_alone() {
    let world = World::new();
    let stub = Stub::default();
    let router = gateway(&world, &stub);
    stub.json(&json!({"protocolVersion": "2025-11-25", "capabilities": {}}));
    let hello = json!({"protocolVersion": "2025-11-25", "capabilities": {"sampling": {}, "roots": {}, "x": {}}});
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello});
    let answer = ask(&router, post_to(Some("sarah/sales"), &[], &body)).await;
    let session = answer.headers["mcp-session-id"].to_str().unwrap().to_owned();
    assert_ne!(session, "server-session");
    let offered = stub.seen.lock().pop().unwrap().1["params"]["capabilities"].clone();
    assert_eq!(offered, json!({"x": {}}), "the client offers what the server may ask for");
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
    let with = |token: &str, session: &str| {
        post_to(Some(token), &[("mcp-session-id", session), ("mcp-protocol-version", "2025-11-25")], &ping)
    };
    stub.json(&json!({}));
    assert_eq!(ask(&router, with("sarah/sales", &session)).await.status, 200);
    assert_eq!(stub.seen.lock().pop().unwrap().0["mcp-session-id"], "server-session");
    for (token, session) in
        [("sarah/other", session.as_str()), ("sarah/-", session.as_str()), ("sarah/sales", "server-session")]
    {
        assert_eq!(ask(&router, with(token, session)).await.status, 404, "{token}");
    }
    let initialized = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
    stub.says(202, "text/plain", "");
    let headers = [("mcp-session-id", session.as_str()), ("mcp-protocol-version", "2025-11-25")];
    assert_eq!(ask(&router, post_to(Some("sarah/sales"), &headers, &initialized)).await.status, 202);
    let mut request = post_to(Some("sarah/sales"), &headers, &Value::Null);
    *request.method_mut() = axum::http::Method::DELETE;
    assert_eq!(ask(&router, request).await.status, 202);
    let seen = stub.seen.lock().pop().unwrap();
    assert_eq!(seen.0["mcp-session-id"], "server-session");
}

// MCPM-5: middleware before somebody's own server.
#[tokio::test]
async fn ten_lines_guard_a_server_of_somebody_else() {
    async fn handler(
        Extension(guard): Extension<Guard>,
        Extension(judged): Extension<Judged>,
        headers: HeaderMap,
    ) -> Response<Body> {
        assert!(!headers.contains_key("authorization"), "the token goes no further");
        match guard.need(&judged, &["mcp:crm:write"]) {
            Ok(()) => Response::new(Body::from(judged.subject.to_string())),
            Err(denial) => guard.refuse(&denial, &[]).map(Body::from),
        }
    }
    let spec = GuardSpec {
        scopes: vec!["mcp:crm:read".into()],
        implies: [
            ("admin".into(), vec!["mcp:crm:write".into()]),
            ("mcp:crm:write".into(), vec!["mcp:crm:read".into()]),
        ]
        .into(),
        ..GuardSpec::default()
    };
    let guard = guard(spec);
    let router = Router::new().route("/crm", post(handler)).route("/health", get(|| async { "fine" }));
    let router = guarded(router.layer(Extension(guard.clone())), &guard);
    let answer = ask(&router, post_to(None, &[], &json!({}))).await;
    assert!(
        answer.status == 401 && answer.challenge()[0].contains("scope=\"mcp:crm:read\""),
        "{:?}",
        answer.challenge()
    );
    let answer = ask(&router, post_to(Some("sarah/sales/mcp.crm.read"), &[], &json!({}))).await;
    assert_eq!(answer.status, 403);
    assert!(
        answer.challenge()[0].contains("scope=\"mcp:crm:read mcp:crm:write\""),
        "all at once: {:?}",
        answer.challenge()
    );
    assert_eq!(ask(&router, post_to(Some("sarah/sales/mcp.docs.read"), &[], &json!({}))).await.status, 403);
    for scopes in ["mcp.crm.write", "admin"] {
        let answer = ask(&router, post_to(Some(&format!("sarah/sales/{scopes}")), &[], &json!({}))).await;
        assert_eq!((answer.status.as_u16(), &answer.body[..]), (200, &b"user:sarah"[..]), "a wider scope implies it");
    }
    let path = "/.well-known/oauth-protected-resource/crm";
    assert_eq!(ask(&router, Request::get(path).body(Body::empty()).unwrap()).await.status, 200);
}

#[tokio::test]
async fn settings_that_could_not_work_are_refused() {
    let world = World::new();
    let own = |change: fn(&mut OwnSpec)| {
        let mut spec = own_spec();
        change(&mut spec);
        Endpoint::own(at(&world, Arc::new(NoApprovals)), spec, None)
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default()
    };
    assert_eq!(own(|_| {}), "");
    assert!(own(|s| s.collections = vec!["unknown".into()]).contains("unknown"));
    assert!(own(|s| s.collections.clear()).contains("no collection"));
    assert!(own(|s| s.resources[0].relation = "flies".into()).contains("flies"));
    assert!(
        own(|s| drop(s.policy.tools.insert("fly".into(), RuleSpec { open: true, ..RuleSpec::default() })))
            .contains("no tool `fly`")
    );
    let gateway = |change: fn(&mut GatewaySpec)| {
        let mut spec = gateway_spec();
        change(&mut spec);
        let (stub, lender) = (Arc::new(Stub::default()), Arc::new(Lender(true)));
        let endpoint = Endpoint::gateway(at(&world, Arc::new(NoApprovals)), spec, stub, lender, &[0; 32]);
        endpoint.err().map(|error| error.to_string()).unwrap_or_default()
    };
    assert_eq!(gateway(|_| {}), "");
    assert!(gateway(|s| s.url = "http://crm.internal/mcp".into()).contains("no https URL"));
    assert!(gateway(|s| s.server_requests = vec!["x".into()]).contains("`x`"));
    assert!(gateway(|s| s.answer_bytes_max = 0).contains("are 0"));
    let twice = || Endpoint::own(at(&world, Arc::new(NoApprovals)), own_spec(), None).unwrap();
    assert!(routes([twice(), twice()]).unwrap_err().to_string().contains("two MCP servers"));
}
