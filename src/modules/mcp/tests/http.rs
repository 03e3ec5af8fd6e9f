//! Stories through the routes, without a socket: our own server, and a stub of another one behind the gateway. Here is what
//! they share, and who is let in at all.

mod gateway;
mod own;

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

pub(super) fn guard(spec: GuardSpec) -> Guard {
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
    assert!(challenge.contains("acr_values=\"urn:phr\", max_age=\"60\""), "{challenge}");
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
