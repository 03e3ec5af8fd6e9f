//! Servers of others behind the gateway, and behind the guard alone: what goes on to them, and what comes back.

use super::*;

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

// RFC 9470 3, AUTH-5.
#[tokio::test]
async fn a_call_that_takes_a_better_authentication_is_answered_with_a_challenge() {
    let (world, stub) = (World::new(), Stub::default());
    let mut spec = gateway_spec();
    spec.policy.tools.insert(
        "weather".into(),
        RuleSpec { open: true, acr: Some("phr".into()), max_age: Some(60), ..RuleSpec::default() },
    );
    let at = at(&world, Arc::new(NoApprovals));
    let endpoint = Endpoint::gateway(at, spec, Arc::new(stub.clone()), Arc::new(NoCredentials), &[7; 32]).unwrap();
    let router = routes([endpoint]).unwrap();
    let answer = ask(&router, call("sarah/sales", "tools/call", json!({"name": "weather"}))).await;
    let challenge = answer.challenge().join("");
    assert_eq!(answer.status, 401);
    assert!(challenge.contains("error=\"insufficient_user_authentication\""), "{challenge}");
    assert!(challenge.contains("acr_values=\"phr\", max_age=\"60\", resource_metadata="), "{challenge}");
    assert!(stub.seen.lock().is_empty(), "it went no further");
    stub.json(&json!({"tools": [{"name": "weather"}]}));
    let shown = ask(&router, call("sarah/sales", "tools/list", json!({}))).await;
    assert_eq!(shown.json()["result"]["tools"][0]["name"], "weather", "it is shown: a client can ask for it");
}

// MCPM-5: middleware before somebody's own server. With tokens of an issuer: `tests/mcp_elsewhere.rs`.
#[tokio::test]
async fn a_guard_stands_before_a_server_of_somebody_else() {
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
