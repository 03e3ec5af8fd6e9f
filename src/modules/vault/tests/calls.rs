//! Calls through the proxy: what reaches the other side, and what comes back. VAULT-3, VAULT-5, VAULT-9, OUT-1, OUT-2.

use super::stub::Stub;
use super::*;
use crate::identity::{ErrorCode, Outcome, TokenKind};
use tokio_stream::StreamExt as _;

pub(super) async fn ready() -> (Stub, World, String) {
    let (stub, world) = (Stub::start().await, World::new(true));
    world.connect(crm(&stub.origin));
    world.store("crm", ACCESS, Some(REFRESH), 3_600);
    let token = world.token("sales", "crm.read crm.write");
    (stub, world, token)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_credential_is_put_in_on_the_way_out_and_never_comes_back() {
    let (stub, world, token) = ready().await;
    let request = request("GET", "/proxy/crm/v1/contacts/echo?q=acme%20corp", &token)
        .header("cookie", "session=ours")
        .header("bailiwick-purpose", "a proposal for Acme")
        .header("x-request-id", "7");
    let answer = world.ask(request.body(Body::empty()).unwrap()).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.json()["authorization"], "Bearer [removed:held-secret]");
    assert_eq!(answer.headers["bailiwick-answered-by"], "upstream");
    let calls = stub.calls();
    let [(method, target, headers, _)] = calls.as_slice() else { panic!("{calls:?}") };
    assert_eq!((method.as_str(), target.as_str()), ("GET", "/api/v1/contacts/echo?q=acme%20corp"));
    assert_eq!(headers["authorization"], format!("Bearer {ACCESS}"));
    assert_eq!(headers["x-request-id"], "7");
    assert!(!headers.contains_key("cookie") && !headers.contains_key("bailiwick-purpose"), "{headers:?}");
    assert!(headers.values().all(|value| !value.to_str().unwrap().contains(&token)), "our token went out");

    // VAULT-9: who, for whom, through what, why; and how it ended, in that order.
    let lent = world.last(EventKind::VaultLeased);
    assert_eq!((lent.get_user(), lent.get_agent()), (Some("user:sarah"), Some("agent:sales")));
    assert_eq!((lent.get_resource(), lent.get_action()), (Some("connection:crm"), Some("GET /v1/contacts/echo")));
    assert_eq!(lent.details()["purpose"], "a proposal for Acme");
    assert_eq!((lent.details()["mode"].as_str(), lent.details()["scope"].as_str()), ("proxy", "crm.read"));
    let ended = world.last(EventKind::ProxyCalled);
    assert_eq!((ended.outcome(), ended.details()["status"].as_str()), (Outcome::Done, "200"));
    assert_eq!(ended.details()["removed_rules"], "held-secret=1");
    assert!(world.events().iter().all(|event| !String::from_utf8_lossy(&event.bytes()).contains(ACCESS)));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_echo_in_any_encoding_is_filtered() {
    let (_stub, world, token) = ready().await;
    let answer = world.get(&token, "/proxy/crm/v1/encodings").await;
    let lines: Vec<String> = answer.text().lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), 10);
    for line in &lines {
        assert!(line.contains("[removed:held-secret]") && line.len() < 60, "{line}");
    }
    assert_eq!(world.last(EventKind::ProxyCalled).details()["removed"], "10");
    for path in ["raw", "drip"] {
        assert_eq!(world.get(&token, &format!("/proxy/crm/v1/{path}")).await.text(), "[removed:held-secret]");
    }
    let events = world.get(&token, "/proxy/crm/v1/events").await.text();
    let text: String = events
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line.strip_prefix("data: ")?).ok())
        .filter_map(|event| event.pointer("/choices/0/delta/content")?.as_str().map(str::to_owned))
        .collect();
    assert_eq!(text, "The key is [removed:held-secret].");
    let answer = world.get(&token, "/proxy/crm/v1/headers").await;
    assert_eq!(answer.headers["x-debug"], "used [removed:held-secret]");
    assert_eq!(answer.headers["location"], "/elsewhere?t=[removed:held-secret]");
    assert!(!answer.headers.contains_key("set-cookie") && !answer.headers.contains_key("www-authenticate"));
    assert_eq!(answer.headers["content-security-policy"], "sandbox; default-src 'none'");
    // What is no text keeps what only looks like a secret, and loses what is one.
    let answer = world.get(&token, "/proxy/crm/v1/image").await;
    assert_eq!(answer.body, b"\x89PNG AKIAIOSFODNN7ABCDEFG [removed:held-secret]");
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_is_held_for_the_caller_is_filtered() {
    let (_stub, world, token) = ready().await;
    let mut other = crm("https://other.example");
    other.id = "other".into();
    world.connect(other);
    world.store("other", "another-token-5f4e3d2c1b0a", None, 3_600);
    now_is(|env| {
        let spec = llm();
        create(&world.tenant, spec, None, "user:admin", env).unwrap();
        let key = Secret::ApiKey { key: Hidden::new("llm-key-aa11bb22cc33".into()) };
        set_credential(&world.tenant, "llm", &Holder::Agent("agent:sales".into()), key, "user:admin", env).unwrap();
    });
    for secret in ["another-token-5f4e3d2c1b0a", "llm-key-aa11bb22cc33", REFRESH, "client-secret-of-ours"] {
        let answer = world.get(&token, &format!("/proxy/crm/v1/{secret}")).await;
        assert_eq!(answer.text(), "[removed:held-secret]", "{secret}");
    }
    // The agent's own output, as text and as events; with what only looks like a secret.
    let key = format!("ghp_{}", "aB3dE5fG7hJ9kL1mN3pQ5rS7tU9vW1xY3zA5");
    let said = format!("Use {ACCESS}, or llm-key-aa11bb22cc33, or {key}. Not removed: hello.");
    let filter = request("POST", "/filter", &token).header("content-type", "text/markdown");
    let answer = world.ask(filter.body(Body::from(said)).unwrap()).await;
    let wanted = "Use [removed:held-secret], or [removed:held-secret], or [removed:github-token]. Not removed: hello.";
    assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, wanted));
    assert_eq!(answer.headers["content-type"], "text/markdown");
    let event = world.last(EventKind::OutputFiltered);
    assert_eq!(event.details()["removed_rules"], "github-token=1 held-secret=2");
    assert_eq!(event.get_agent(), Some("agent:sales"));
    let none = request("POST", "/filter", "").body(Body::from("x")).unwrap();
    assert_eq!(world.ask(none).await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_rule_lets_through_is_refused_and_written_down() {
    let (stub, world, token) = ready().await;
    let reads = world.token("sales", "crm.read");
    let others = world.token("other", "crm.read");
    let alone = world.own_token("sales", "crm.read");
    let cases = [
        ("GET", "/proxy/crm/admin", &token, 403, "proxy.rule"),
        ("DELETE", "/proxy/crm/v1/x", &token, 403, "proxy.rule"),
        ("POST", "/proxy/crm/v1/x", &reads, 403, "proxy.scope"),
        ("GET", "/proxy/crm/v1/../admin", &token, 400, "proxy.path"),
        ("GET", "/proxy/crm/v1/%2e%2e/admin", &token, 400, "proxy.path"),
        ("GET", "/proxy/crm/v1/..%2fadmin", &token, 400, "proxy.path"),
        ("GET", "/proxy/crm/v1//x", &token, 400, "proxy.path"),
        ("GET", "/proxy/none/v1/x", &token, 403, "connection.usable"),
        ("GET", "/proxy/crm/v1/x", &others, 403, "connection.usable"),
        ("GET", "/proxy/crm/v1/x", &alone, 403, "credential.user"),
    ];
    for (method, path, token, status, rule) in cases {
        let answer = world.ask(request(method, path, token).body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text());
        assert_eq!(answer.headers["bailiwick-answered-by"], "proxy");
        assert_eq!(world.last(EventKind::ProxyRefused).get_reason(), Some(rule), "{method} {path}");
    }
    assert!(answer_challenge(&world, &reads).await.contains("insufficient_scope"));
    // Who has not shown who they are.
    for token in ["", "garbage", &format!("{token}x")] {
        let answer = world.get(token, "/proxy/crm/v1/x").await;
        assert_eq!((answer.status.as_u16(), &answer.json()["error"]), (401, &json!("invalid_token")));
        let challenge = answer.headers["www-authenticate"].to_str().unwrap();
        match token.is_empty() {
            // Who has shown nothing has made no error (RFC 6750 3.1).
            true => assert!(challenge.starts_with("Bearer, DPoP algs=\"ES256"), "{challenge}"),
            false => assert!(challenge.starts_with("Bearer error=\"invalid_token\", "), "{challenge}"),
        }
    }
    // What is wrong with the proof of a key is said as such (RFC 9449 7.1).
    let scheme = |scheme: &str, proof: Option<&str>| {
        let request = request("GET", "/proxy/crm/v1/x", "").header("authorization", format!("{scheme} {token}"));
        let request = proof.into_iter().fold(request, |request, proof| request.header("dpop", proof));
        world.ask(request.body(Body::empty()).unwrap())
    };
    for (answer, code) in
        [(scheme("DPoP", None).await, "invalid_token"), (scheme("DPoP", Some("x")).await, "invalid_dpop_proof")]
    {
        let challenge = answer.headers["www-authenticate"].to_str().unwrap();
        assert!(challenge.starts_with(&format!("DPoP error=\"{code}\", ")), "{challenge}");
        assert!(challenge.contains("algs=\"ES256") && answer.status == 401, "{challenge}");
    }
    let (header, scope) = (format!("Bearer {token}"), ScopeClass::NeedsApproval);
    let twice = request("GET", "/proxy/crm/v1/x", &token).header("authorization", header).body(Body::empty()).unwrap();
    assert_eq!(world.ask(twice).await.status, 401);
    // A scope of a connection has a class: automatic, with an approval, never.
    now_is(|env| classify(&world.tenant, ("crm", "crm.read"), "agent:sales", Some(scope), "user:admin", env).unwrap());
    assert_eq!(world.get(&token, "/proxy/crm/v1/x").await.status, 403);
    assert_eq!(world.last(EventKind::ProxyRefused).get_reason(), Some("proxy.scope.approval"));
    for class in [Some(ScopeClass::Never), None] {
        now_is(|env| classify(&world.tenant, ("crm", "crm.read"), "agent:sales", class, "user:admin", env).unwrap());
        assert_eq!(world.get(&token, "/proxy/crm/v1/x").await.status, 403);
        assert_eq!(world.last(EventKind::ProxyRefused).get_reason(), Some("proxy.scope.denied"));
    }
    // One tuple stops the agent, at the next call.
    now_is(|env| world.tenant.suspend("agent:sales", true, None, env).unwrap());
    assert_eq!(world.get(&token, "/proxy/crm/v1/x").await.status, 401);
    assert!(stub.calls().is_empty(), "nothing of this reached the other side");
}

/// Lets each detail be used once.
#[derive(Default)]
struct Once(parking_lot::Mutex<Vec<Value>>);

impl Approvals for Once {
    fn spend(&self, _: &Tenant, grant: &Grant, detail: &Value, _: &Env<'_>) -> Answer<Option<String>> {
        assert!(grant.details.contains(detail));
        let mut used = self.0.lock();
        let fresh = !used.contains(detail);
        used.push(detail.clone());
        Ok(fresh.then(|| "the-approval".to_owned()))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_needs_an_approval_is_made_once_as_it_was_approved() {
    let (stub, world, plain) = ready().await;
    let world = world.with_approvals(Arc::new(Once::default()));
    let class = Some(ScopeClass::NeedsApproval);
    now_is(|env| classify(&world.tenant, ("crm", "crm.write"), "agent:sales", class, "user:admin", env).unwrap());
    let send = async |token: &str, path: &str, body: &str| {
        let request = request("POST", &format!("/proxy/crm{path}"), token).header("content-type", "application/json");
        world.ask(request.body(Body::from(body.to_owned())).unwrap()).await
    };
    // Who has no approval is told what to have approved.
    let answer = send(&plain, "/v1/notes", r#"{"text": "hello"}"#).await;
    assert_eq!(answer.status, 403);
    let place = world.tenant.url("/proxy/crm");
    let wanted = json!({"locations": [place], "actions": ["POST /v1/notes"], "arguments": {"text": "hello"}});
    assert_eq!(answer.json()["authorization_details"], json!([wanted]));
    assert_eq!(world.last(EventKind::ProxyRefused).get_reason(), Some("proxy.scope.approval"));
    let mut detail = wanted;
    detail["type"] = json!("crm_note");
    let token = world.token_of("sales", "crm.read crm.write", &json!([detail]).to_string());
    for (path, body) in [("/v1/notes", r#"{"text": "hello!"}"#), ("/v1/other", r#"{"text": "hello"}"#)] {
        assert_eq!(send(&token, path, body).await.status, 403, "{path} {body}");
    }
    assert!(stub.calls().is_empty(), "nothing of this reached the other side");
    // Exactly this, once; what else the body said does not go out.
    let answer = send(&token, "/v1/notes", r#"{"text": "bye", "text":  "hello"}"#).await;
    assert!(answer.status.is_success(), "{} {}", answer.status, answer.text());
    assert_eq!(world.last(EventKind::ProxyCalled).details()["approval"], "the-approval");
    let calls = stub.calls();
    let [(_, _, _, body)] = calls.as_slice() else { panic!("{calls:?}") };
    assert_eq!(body, br#"{"text":"hello"}"#);
    let lent = world.events().iter().filter(|event| event.kind() == EventKind::VaultLeased).count();
    assert_eq!(send(&token, "/v1/notes", r#"{"text": "hello"}"#).await.status, 403);
    let after = world.events().iter().filter(|event| event.kind() == EventKind::VaultLeased).count();
    assert_eq!(after, lent, "what is refused is not lent");
    // What is automatic goes on without.
    assert!(world.get(&token, "/proxy/crm/v1/x").await.status.is_success());
}

// RFC 9470, AUTH-5.
#[tokio::test(flavor = "multi_thread")]
async fn a_rule_may_ask_for_a_better_or_a_newer_authentication() {
    let (stub, world) = (Stub::start().await, World::new(true));
    let spec = crm(&stub.origin);
    let rule = |path: &str, acr: Option<&str>, max_age| {
        let (path, acr) = (path.to_owned(), acr.map(str::to_owned));
        ProxyRule { path, acr, max_age, ..spec.rules[0].clone() }
    };
    let rules = vec![
        rule("/v1/strong", Some("phr"), Some(60)),
        rule("/v1/fresh", None, Some(60)),
        rule("/v1/weak", Some("aal1"), None),
    ];
    world.connect(ConnectionSpec { rules, exchange: true, ..spec.clone() });
    world.store("crm", ACCESS, Some(REFRESH), 3_600);
    // She has shown a password, just now.
    let token = world.token("sales", "crm.read");
    let answer = world.get(&token, "/proxy/crm/v1/strong").await;
    let challenge = answer.headers["www-authenticate"].to_str().unwrap();
    assert_eq!((answer.status.as_u16(), &answer.headers["bailiwick-answered-by"]), (401, &"proxy".parse().unwrap()));
    assert!(challenge.starts_with("Bearer error=\"insufficient_user_authentication\", "), "{challenge}");
    assert!(challenge.ends_with(", acr_values=\"phr\", max_age=\"60\""), "{challenge}");
    let said = answer.json();
    assert_eq!((&said["acr_values"], &said["max_age"]), (&json!("phr"), &json!(60)));
    assert_eq!(world.last(EventKind::ProxyRefused).get_reason(), Some("proxy.step_up"));
    assert!(stub.calls().is_empty());
    for path in ["/proxy/crm/v1/fresh", "/proxy/crm/v1/weak"] {
        assert_eq!(world.get(&token, path).await.status, 200, "{path}");
    }
    // A minute later it is too old, while the token is good.
    let caller = now_is(|env| Caller::of(&world.tenant.examine(&token, TokenKind::Access, None, env).unwrap()));
    let admit = |path: &str, later: u64| {
        let (connection, method, path) = ("crm".to_owned(), Method::GET, path.to_owned());
        let call = proxy::Call { connection, method, path, query: None, purpose: None };
        let begun = caller.authentication.as_ref().unwrap().at;
        at(begun + later, |env| proxy::admit(&world.tenant, &caller, &call, env).map(drop).map_err(|r| r.rule))
    };
    assert_eq!((admit("/v1/fresh", 60), admit("/v1/fresh", 61)), (Ok(()), Err("proxy.step_up")));
    assert_eq!((admit("/v1/weak", 61), admit("/v1/strong", 0)), (Ok(()), Err("proxy.step_up")));
    // A token of nobody was authenticated by nobody, however weak it may be; who lacks the scope is told of that.
    let own = world.own_token("sales", "crm.read");
    for path in ["/proxy/crm/v1/fresh", "/proxy/crm/v1/weak"] {
        assert_eq!(world.get(&own, path).await.status, 401, "{path}");
        assert_eq!(world.last(EventKind::ProxyRefused).get_reason(), Some("proxy.step_up"));
    }
    let answer = world.get(&world.token("sales", "crm.write"), "/proxy/crm/v1/strong").await;
    assert_eq!((answer.status.as_u16(), &answer.json()["error"]), (403, &json!("insufficient_scope")));
    // What is handed out is bound by no rule, and so takes what all of them ask for.
    let kind = ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token");
    let form = form(&[("subject_token", &token), ("connection", "crm"), kind]);
    let exchange = FederatedConnection::new(world.vault.clone());
    let refusal = now_is(|env| exchange.redeem(&world.tenant, &world.client("sales"), &form, env)).err().unwrap();
    assert_eq!((refusal.rule, refusal.error), ("proxy.step_up", ErrorCode::InsufficientUserAuthentication));
}

/// A world where writing takes an approval, and Sarah's token of one for a note.
pub(super) async fn approved() -> (Stub, World, String) {
    let (stub, world, _) = ready().await;
    let world = world.with_approvals(Arc::new(Once::default()));
    let class = Some(ScopeClass::NeedsApproval);
    now_is(|env| classify(&world.tenant, ("crm", "crm.write"), "agent:sales", class, "user:admin", env).unwrap());
    let detail = json!({"type": "crm_note", "locations": [world.tenant.url("/proxy/crm")],
        "actions": ["POST /v1/notes"], "arguments": {"text": "hello"}});
    let token = world.token_of("sales", "crm.read crm.write", &json!([detail]).to_string());
    (stub, world, token)
}

/// The call that was approved.
pub(super) fn note(token: &str) -> ::http::request::Builder {
    request("POST", "/proxy/crm/v1/notes", token)
}

pub(super) const NOTE: &str = r#"{"text":"hello"}"#;

#[tokio::test(flavor = "multi_thread")]
async fn no_header_makes_another_call_of_the_one_that_was_approved() {
    let (stub, world, token) = approved().await;
    for media in ["application/merge-patch+json", "application/json; charset=utf-16", "text/plain; boundary=x"] {
        let answer = world.ask(note(&token).header("content-type", media).body(Body::from(NOTE)).unwrap()).await;
        assert_eq!(answer.status, 403, "{media}");
        assert_eq!(answer.json()["authorization_details"][0]["arguments"]["media_type"], media);
    }
    let typed = || note(&token).header("content-type", "application/json");
    for (name, value) in [("content-type", "text/plain"), ("content-encoding", "gzip")] {
        let answer = world.ask(typed().header(name, value).body(Body::from(NOTE)).unwrap()).await;
        assert_eq!((answer.status.as_u16(), &answer.json()["error"]), (400, &json!("invalid_request")), "{name}");
    }
    assert!(stub.calls().is_empty(), "nothing of this reached the other side");
    let odd = [
        ("stripe-account", "acct_other"),
        ("impersonate-user", "boss"),
        ("on-behalf-of", "boss"),
        ("x-request-id", "7"),
        ("if-match", "*"),
    ];
    let kept =
        [("accept", "text/plain"), ("accept-language", "de"), ("user-agent", "agent/1"), ("traceparent", "00-1")];
    let call = odd.iter().chain(&kept).fold(typed(), |call, (name, value)| call.header(*name, *value));
    let answer = world.ask(call.body(Body::from(NOTE)).unwrap()).await;
    assert!(answer.status.is_success(), "{} {}", answer.status, answer.text());
    let calls = stub.calls();
    let [(_, _, headers, body)] = calls.as_slice() else { panic!("{calls:?}") };
    assert_eq!((body.as_slice(), &headers["content-type"]), (NOTE.as_bytes(), &"application/json".parse().unwrap()));
    assert!(odd.iter().all(|(name, _)| !headers.contains_key(*name)), "{headers:?}");
    assert!(kept.iter().all(|(name, value)| headers[*name] == *value), "{headers:?}");
}

/// Makes the call that was approved, and does something when its body is awaited, before it comes.
async fn meanwhile(world: &World, token: &str, done: impl FnOnce(&Env<'_>)) -> Answered {
    let (polled, awaited) = tokio::sync::oneshot::channel();
    let (send, comes) = tokio::sync::oneshot::channel();
    let mut both = Some((polled, comes));
    let body = Body::from_stream(tokio_stream::once(()).then(move |()| {
        let (polled, comes) = both.take().unwrap();
        async move {
            polled.send(()).unwrap();
            comes.await.unwrap();
            Ok::<_, std::io::Error>(NOTE)
        }
    }));
    let call = world.ask(note(token).header("content-type", "application/json").body(body).unwrap());
    let act = async {
        awaited.await.unwrap();
        now_is(done);
        send.send(()).unwrap();
    };
    tokio::join!(call, act).0
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ends_while_a_body_is_awaited_is_not_lent() {
    let (stub, world, token) = approved().await;
    let tenant = &world.tenant;
    let suspend = |suspended| {
        move |env: &Env<'_>| {
            tenant.suspend("agent:sales", suspended, None, env).unwrap();
        }
    };
    let class = |class| {
        move |env: &Env<'_>| {
            classify(tenant, ("crm", "crm.write"), "agent:sales", class, "user:admin", env).unwrap();
        }
    };
    assert_eq!(meanwhile(&world, &token, suspend(true)).await.status, 401);
    now_is(suspend(false));
    assert_eq!(meanwhile(&world, &token, class(Some(ScopeClass::Never))).await.status, 403);
    assert_eq!(world.last(EventKind::ProxyRefused).get_reason(), Some("proxy.scope.denied"));
    now_is(class(Some(ScopeClass::NeedsApproval)));
    let examined = now_is(|env| tenant.examine(&token, TokenKind::Access, None, env).unwrap());
    assert!(stub.calls().is_empty() && !world.events().iter().any(|event| event.kind() == EventKind::VaultLeased));
    // None of it has cost the approval; what needs none any more costs none.
    let answer = meanwhile(&world, &token, class(Some(ScopeClass::Automatic))).await;
    assert!(answer.status.is_success() && !world.last(EventKind::ProxyCalled).details().contains_key("approval"));
    now_is(class(Some(ScopeClass::NeedsApproval)));
    assert!(meanwhile(&world, &token, |_| {}).await.status.is_success());
    assert_eq!(world.last(EventKind::ProxyCalled).details()["approval"], "the-approval");
    assert_eq!(stub.calls().len(), 2);
    assert_eq!(meanwhile(&world, &token, |env| tenant.revoke_token(&examined, env).unwrap()).await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_that_is_revoked_while_a_body_is_awaited_lends_nothing() {
    let (stub, world, token) = approved().await;
    let tenant = &world.tenant;
    let examined = now_is(|env| tenant.examine(&token, TokenKind::Access, None, env).unwrap());
    let revoke = |env: &Env<'_>| tenant.revoke_grant(&examined.grant.id, "test", env).unwrap();
    assert_eq!(meanwhile(&world, &token, revoke).await.status, 401);
    assert!(stub.calls().is_empty() && !world.events().iter().any(|event| event.kind() == EventKind::VaultLeased));
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_are_held_are_bounded() {
    let (_stub, world, token) = approved().await;
    let call = || note(&token).header("content-type", "application/json").body(Body::from(NOTE)).unwrap();
    let (bodies, own) = (&world.vault.inner.bodies, world.tenant.number());
    let share: Vec<_> = (0..BODIES_PER_TENANT_MAX).map(|_| bodies.take(own).unwrap()).collect();
    let answer = world.ask(call()).await;
    assert_eq!((answer.status.as_u16(), answer.headers["retry-after"].to_str().unwrap()), (503, "2"));
    // What needs no approval is not held.
    assert!(world.get(&token, "/proxy/crm/v1/x").await.status.is_success());
    drop(share);
    // Another tenant that has all that it may have leaves places for this one; all together leave none.
    let mut others: Vec<_> = (0..BODIES_PER_TENANT_MAX).map(|_| bodies.take(own + 1).unwrap()).collect();
    assert!(bodies.take(own + 1).is_none());
    others.extend((2..4).flat_map(|n| (0..BODIES_PER_TENANT_MAX).map(move |_| bodies.take(own + n).unwrap())));
    others.extend((1..BODIES_PER_TENANT_MAX).map(|_| bodies.take(own + 4).unwrap()));
    assert_eq!(bodies.taken(), BODIES_MAX - 1);
    assert!(world.ask(call()).await.status.is_success());
    others.extend(bodies.take(own + 4));
    assert_eq!(world.ask(call()).await.status, 503);
    drop(others);
    assert_eq!(bodies.taken(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_that_cannot_be_refreshed_costs_no_approval() {
    let (stub, world, token) = approved().await;
    let call = |body| note(&token).header("content-type", "application/json").body(Body::from(body)).unwrap();
    world.store("crm", ACCESS, Some(REFRESH), 0);
    // Nothing is refreshed for what nobody approved.
    assert_eq!(world.ask(call("{}")).await.status, 403);
    assert!(stub.tokens().is_empty());
    stub.answers(503, json!({}));
    assert_eq!(world.ask(call(NOTE)).await.status, 503);
    assert!(stub.calls().is_empty());
    stub.answers_tokens();
    let answer = world.ask(call(NOTE)).await;
    assert!(answer.status.is_success(), "{} {}", answer.status, answer.text());
    assert_eq!(world.last(EventKind::ProxyCalled).details()["approval"], "the-approval");
    assert_eq!((stub.calls().len(), stub.tokens().len()), (1, 2));
    assert_eq!(world.ask(call(NOTE)).await.status, 403, "it is used up");
}

async fn answer_challenge(world: &World, token: &str) -> String {
    let answer = world.ask(request("POST", "/proxy/crm/v1/x", token).body(Body::empty()).unwrap()).await;
    answer.headers["www-authenticate"].to_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_connection_leads_into_the_network_behind_us() {
    let stub = Stub::start().await;
    let port = stub.origin.rsplit(':').next().unwrap();
    let inside = World::new(false);
    for (at, base) in [
        "https://metadata.example/api".to_owned(),
        "https://private.example/api".to_owned(),
        format!("https://mapped.example:{port}/api"),
        "https://10.1.2.3/api".to_owned(),
        "https://169.254.169.254/latest".to_owned(),
        "https://[fd00:ec2::254]/latest".to_owned(),
        "https://2130706433/api".to_owned(),
        format!("https://127.0.0.1:{port}/api"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut spec = crm("https://crm.example");
        (spec.id, spec.base) = (format!("c{at}"), base.clone());
        inside.connect(spec);
        inside.store(&format!("c{at}"), ACCESS, None, 3_600);
        let token = inside.token("sales", "crm.read");
        let answer = inside.get(&token, &format!("/proxy/c{at}/v1/x")).await;
        assert_eq!(answer.status, 403, "{base}: {}", answer.text());
        let event = inside.last(EventKind::ProxyCalled);
        assert_eq!((event.outcome(), event.get_reason()), (Outcome::Failed, Some("upstream.address")), "{base}");
    }
    // Neither the path nor the query changes the host.
    let (stub, world, token) = ready().await;
    for path in ["/proxy/crm/v1/@evil.example/x", "/proxy/crm/v1/x?u=http://evil.example", "/proxy/crm/v1/x:80"] {
        assert_eq!(world.get(&token, path).await.status, 200, "{path}");
    }
    let host = stub.origin.strip_prefix("http://").unwrap().to_owned();
    assert!(stub.calls().iter().all(|(_, _, headers, _)| headers["host"] == host));
    // http is for this machine, and a connection says so when it is made.
    for base in ["http://crm.example/", "ftp://crm.example/", "https://u:p@crm.example/", "https://crm.example/?x=1"] {
        let spec = ConnectionSpec { id: "bad".into(), base: base.into(), ..crm("https://crm.example") };
        let refusal = now_is(|env| create(&world.tenant, spec, None, "user:admin", env).unwrap_err());
        assert_eq!(refusal.error, ErrorCode::InvalidRequest, "{base}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_are_bounded_in_both_directions() {
    let (stub, world, token) = ready().await;
    let mut spec = crm(&stub.origin);
    spec.limits = CallLimits { request_bytes_max: 1_000, response_bytes_max: 50_000, ..spec.limits };
    now_is(|env| change(&world.tenant, &spec, None, "user:admin", env).unwrap());
    let post = |bytes: usize| {
        let body = Body::from_stream(tokio_stream::iter((0..bytes).map(|_| Ok::<_, std::io::Error>(vec![b'x']))));
        request("POST", "/proxy/crm/v1/x", &token).body(body).unwrap()
    };
    assert_eq!(world.ask(post(1_000)).await.status, 200);
    assert_eq!(stub.calls()[0].3.len(), 1_000);
    assert_eq!(world.ask(post(1_001)).await.status, 400);
    assert_eq!(world.last(EventKind::ProxyCalled).get_reason(), Some("proxy.body"));
    assert_eq!(world.get(&token, "/proxy/crm/v1/large").await.status, 503);
    assert_eq!(world.last(EventKind::ProxyCalled).get_reason(), Some("upstream.large"));
    // What cannot be read cannot be filtered.
    for path in ["gzip", "utf-16"] {
        let answer = world.get(&token, &format!("/proxy/crm/v1/{path}")).await;
        assert!(answer.status == 503 && answer.text().contains("cannot be filtered"), "{path}: {}", answer.text());
    }
    let answer = world.get(&token, "/proxy/crm/v1/x").await;
    assert!(!answer.broke);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_of_credential_goes_where_its_api_wants_it() {
    let (stub, world) = (Stub::start().await, World::new(true));
    let secrets: [(&str, Provider, Secret); 4] = [
        (
            "header",
            Provider::ApiKeyHeader { header: "X-Api-Key".into(), prefix: "Key ".into() },
            Secret::ApiKey { key: Hidden::new("static-key-0011223344".into()) },
        ),
        (
            "pat",
            Provider::ApiKeyHeader { header: "authorization".into(), prefix: "token ".into() },
            Secret::ApiKey { key: Hidden::new("personal-token-5566".into()) },
        ),
        (
            "query",
            Provider::ApiKeyQuery { parameter: "key".into() },
            Secret::ApiKey { key: Hidden::new("query key & 7788".into()) },
        ),
        (
            "basic",
            Provider::Basic {},
            Secret::Basic { user: "sales".into(), password: Hidden::new("pass:word 99aa".into()) },
        ),
    ];
    for (id, provider, secret) in secrets {
        let text = secret.texts()[0].to_owned();
        let spec = ConnectionSpec { id: id.into(), holder: HolderKind::Agent, provider, ..crm(&stub.origin) };
        assert!(spec.provider.is_static(), "VAULT-7");
        world.connect(spec);
        let holder = Holder::Agent("agent:sales".into());
        now_is(|env| set_credential(&world.tenant, id, &holder, secret, "user:admin", env).unwrap());
        // An agent's own credential serves it for a person and for nobody.
        for token in [world.own_token("sales", "crm.read"), world.token("sales", "crm.read")] {
            let answer = world.get(&token, &format!("/proxy/{id}/v1/echo?a=b")).await;
            assert_eq!(answer.status, 200, "{}", answer.text());
            assert!(answer.text().contains("[removed:held-secret]") || id == "basic", "{}", answer.text());
            assert!(!answer.text().contains(&text), "{}", answer.text());
        }
        let calls = stub.calls();
        let (_, target, headers, _) = calls.last().unwrap();
        match id {
            "header" => assert_eq!(headers["x-api-key"], "Key static-key-0011223344"),
            "pat" => assert_eq!(headers["authorization"], "token personal-token-5566"),
            "query" => assert_eq!(target, "/api/v1/echo?a=b&key=query+key+%26+7788"),
            _ => assert_eq!(headers["authorization"], "Basic c2FsZXM6cGFzczp3b3JkIDk5YWE="),
        }
    }
    // The place of the key is not the caller's to fill.
    let token = world.own_token("sales", "crm.read");
    assert_eq!(world.get(&token, "/proxy/query/v1/echo?%6bey=mine").await.status, 400);
    let mine = request("GET", "/proxy/header/v1/echo", &token).header("x-api-key", "mine").body(Body::empty()).unwrap();
    assert_eq!(world.ask(mine).await.status, 200);
    assert_eq!(stub.calls().last().unwrap().2["x-api-key"], "Key static-key-0011223344");
    // What could not be filtered is not taken.
    for secret in ["short", "aaaaaaaaaaaaaaaaaaaaaaaaaaa", "line\nbreak-0123456789"] {
        let key = Secret::ApiKey { key: Hidden::new(secret.into()) };
        let holder = Holder::Agent("agent:sales".into());
        assert!(now_is(|env| set_credential(&world.tenant, "header", &holder, key, "user:admin", env)).is_err());
    }
}
