//! The life of a credential: refreshed before its end, once, and not lost. VAULT-1, VAULT-2, VAULT-6.

use super::lease::{Begun, Use, decide};
use super::stub::Stub;
use super::*;
use crate::identity::Outcome;
use ::http::Method;

#[test]
fn what_is_about_to_end_is_refreshed() {
    let credential = |life: Option<u64>, refreshable, state| {
        let value = json!({"connection": "c", "state": state, "generation": 1, "issued_at": 1_000, "connected_at": 1_000,
            "expires_at": life.map(|life| 1_000 + life), "refreshable": refreshable, "sealed": ""});
        serde_json::from_value::<Credential>(value).unwrap()
    };
    let active = |life, refreshable| credential(life, refreshable, json!("active"));
    for (credential, now, expected) in [
        (active(None, false), 9_999_999, Use::Ready),
        (active(Some(60), true), 1_044, Use::Ready),
        (active(Some(60), true), 1_045, Use::Refresh { good: true }),
        (active(Some(60), true), 1_060, Use::Refresh { good: false }),
        (active(Some(3_600), true), 1_000 + 3_299, Use::Ready),
        (active(Some(3_600), true), 1_000 + 3_300, Use::Refresh { good: true }),
        (active(Some(60), false), 1_059, Use::Ready),
        (active(Some(60), false), 1_060, Use::Reconnect),
        (active(Some(0), true), 1_000, Use::Refresh { good: false }),
        (credential(Some(60), true, json!({"reconnect_needed": {"since": 1_010}})), 1_010, Use::Reconnect),
    ] {
        assert_eq!(decide(&credential, now), expected, "{credential:?} at {now}");
    }
}

/// VAULT-2: 64 callers at the end of a token are one refresh.
#[tokio::test(flavor = "multi_thread")]
async fn many_callers_are_one_refresh() {
    let (stub, world) = (Stub::start().await, Arc::new(World::new(true)));
    world.connect(crm(&stub.origin));
    world.store("crm", ACCESS, Some(REFRESH), 0);
    let token = world.token("sales", "crm.read");
    stub.close();
    let callers: Vec<_> = (0..64)
        .map(|_| {
            let (world, token) = (Arc::clone(&world), token.clone());
            tokio::spawn(async move { world.get(&token, "/proxy/crm/v1/raw").await })
        })
        .collect();
    while stub.tokens().is_empty() {
        tokio::task::yield_now().await;
    }
    stub.let_through();
    for caller in callers {
        let answer = caller.await.unwrap();
        assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, "[removed:held-secret]"));
    }
    let tokens = stub.tokens();
    let [(form, header)] = tokens.as_slice() else { panic!("{} refreshes", tokens.len()) };
    assert_eq!(form, &format!("grant_type=refresh_token&refresh_token={REFRESH}"));
    assert_eq!(header.as_deref(), Some("Basic YmFpbGl3aWNrOmNsaWVudC1zZWNyZXQtb2Ytb3Vycw=="));
    assert!(stub.calls().iter().all(|call| call.2["authorization"] == format!("Bearer {ACCESS}-0001")));
    assert_eq!((world.credential("crm").generation, world.count(EventKind::VaultStored, "refresh")), (2, 1));
    // What was rotated is what is shown next.
    world.store("crm", &format!("{ACCESS}-0001"), Some(&format!("{REFRESH}-0001")), 0);
    assert_eq!(world.get(&token, "/proxy/crm/v1/x").await.status, 200);
    assert!(stub.tokens()[1].0.ends_with(&format!("{REFRESH}-0001")));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_provider_does_not_take_has_to_be_connected_again() {
    let (stub, world) = (Stub::start().await, World::new(true));
    world.connect(crm(&stub.origin));
    world.store("crm", ACCESS, Some(REFRESH), 0);
    let token = world.token("sales", "crm.read");
    // It cannot now: nothing is lost.
    for (status, body) in [(503, json!({})), (429, json!({})), (400, json!({"error": "temporarily_unavailable"}))] {
        stub.answers(status, body);
        let answer = world.get(&token, "/proxy/crm/v1/x").await;
        assert_eq!((answer.status.as_u16(), answer.headers["retry-after"].to_str().unwrap()), (503, "5"));
    }
    stub.answers(401, json!({"error": "invalid_client", "error_description": REFRESH}));
    let answer = world.get(&token, "/proxy/crm/v1/x").await;
    assert!(answer.status == 503 && !answer.text().contains(REFRESH));
    assert_eq!(world.credential("crm").state, CredentialState::Active);
    // One that is still good is used meanwhile.
    world.store("crm", ACCESS, Some(REFRESH), 3_600);
    now_is(|env| {
        let held = records::credential(&world.tenant, "crm", &sarah()).unwrap().unwrap();
        let mut change = world.tenant.change(env);
        records::mark(&mut change, &held, CredentialState::Active, Some(env.seconds() + 30));
        change.commit().unwrap();
    });
    stub.answers(503, json!({}));
    let asked = stub.tokens().len();
    // A life of 30 seconds from now on: it is about to end only once a quarter of it is left.
    assert_eq!(world.get(&token, "/proxy/crm/v1/x").await.status, 200);
    assert_eq!(stub.tokens().len(), asked);
    // It is gone for good.
    world.store("crm", ACCESS, Some(REFRESH), 0);
    stub.answers(400, json!({"error": "invalid_grant"}));
    let asked = stub.tokens().len();
    for _ in 0..3 {
        let answer = world.get(&token, "/proxy/crm/v1/x").await;
        assert_eq!((answer.status.as_u16(), &answer.json()["error"]), (403, &json!("access_denied")));
        assert!(answer.text().contains("connected again"), "{}", answer.text());
    }
    assert_eq!((stub.tokens().len(), world.told()), (asked + 1, 1), "it is asked once, and one person is told once");
    assert!(matches!(world.credential("crm").state, CredentialState::ReconnectNeeded { .. }));
    let event = world.last(EventKind::VaultRefused);
    assert_eq!((event.get_reason(), event.get_user()), (Some("invalid_grant"), Some("user:sarah")));
    // Connected again, it works.
    stub.answers_tokens();
    world.store("crm", ACCESS, Some(REFRESH), 3_600);
    assert_eq!(world.get(&token, "/proxy/crm/v1/x").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_the_api_does_not_take_is_refreshed_for_the_next_call() {
    let (stub, world) = (Stub::start().await, World::new(true));
    world.connect(crm(&stub.origin));
    world.store("crm", ACCESS, Some(REFRESH), 3_600);
    let token = world.token("sales", "crm.read");
    // Just made: another would fare no better.
    let answer = world.get(&token, "/proxy/crm/v1/unauthorized").await;
    assert_eq!(answer.status, 401);
    assert_eq!(answer.headers["bailiwick-answered-by"], "upstream");
    assert!(!answer.headers.contains_key("www-authenticate"), "it is not our token that was not taken");
    assert!(stub.tokens().is_empty() && world.credential("crm").expires_at.unwrap() > 0);
    let held = records::credential(&world.tenant, "crm", &sarah()).unwrap().unwrap();
    let later = held.issued_at + 10;
    at(later, |env| lease::not_taken(&world.tenant, &held, env).unwrap());
    assert_eq!(world.credential("crm").expires_at, Some(later));
    // Of what changed meanwhile, nothing is taken back.
    at(later, |env| lease::not_taken(&world.tenant, &held, env).unwrap());
    assert_eq!(world.credential("crm").expires_at, Some(later));
}

/// Two refreshes at once, as of two processes on one record: what the first wrote stays.
#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_token_that_was_rotated_is_not_lost() {
    let world = World::new(true);
    world.connect(crm("https://crm.example"));
    world.store("crm", ACCESS, Some(REFRESH), 0);
    let begin = || match now_is(|env| lease::begin_refresh(&world.tenant, "crm", &sarah(), env).unwrap()) {
        Begun::Ask(flight, request) => (flight, request),
        Begun::Done => panic!("there is something to refresh"),
    };
    let ((first, request), (second, _)) = (begin(), begin());
    assert!(request.body.contains(REFRESH));
    let body = json!({"access_token": "first-access-0011", "refresh_token": "first-refresh-0011", "expires_in": 3_600});
    let finish = |flight, status, body: &Value| {
        let body = body.to_string().into_bytes();
        now_is(|env| lease::finish_refresh(&world.tenant, flight, (status, &body), env))
    };
    assert_eq!(finish(&first, 200, &body).unwrap(), lease::Refreshed::Done);
    // The provider took the token once; the second is told so, and must not end what the first got.
    assert_eq!(finish(&second, 400, &json!({"error": "invalid_grant"})).unwrap(), lease::Refreshed::Done);
    assert_eq!(world.credential("crm").state, CredentialState::Active);
    let other = json!({"access_token": "second-access-22", "refresh_token": "second-refresh-22", "expires_in": 3_600});
    assert_eq!(finish(&second, 200, &other).unwrap(), lease::Refreshed::Done);
    let held = records::credential(&world.tenant, "crm", &sarah()).unwrap().unwrap();
    assert_eq!(records::opened(&world.tenant, &held).unwrap().texts(), ["first-access-0011", "first-refresh-0011"]);
    // A provider that gives no other refresh token means the one that it has.
    world.store("crm", ACCESS, Some(REFRESH), 0);
    let (flight, _) = begin();
    finish(&flight, 200, &json!({"access_token": "third-access-333", "expires_in": 60})).unwrap();
    let held = records::credential(&world.tenant, "crm", &sarah()).unwrap().unwrap();
    assert_eq!(records::opened(&world.tenant, &held).unwrap().texts(), ["third-access-333", REFRESH]);
}

#[test]
fn answers_of_token_endpoints_are_judged() {
    use answer::{TokenFault, read_answer};
    let provider = crm("https://crm.example").provider;
    let fault = |status, body: &str| read_answer(status, body.as_bytes(), &provider, None, 1_000).unwrap_err();
    for (status, body, expected) in [
        (400, r#"{"error":"invalid_grant"}"#, TokenFault::Gone),
        (200, r#"{"error":"invalid_grant"}"#, TokenFault::Gone),
        (401, r#"{"error":"invalid_grant"}"#, TokenFault::Gone),
    ] {
        assert_eq!(fault(status, body), expected);
    }
    for (status, body) in
        [(500, "oops"), (503, "{}"), (429, r#"{"error":"invalid_grant"}"#), (400, r#"{"error":"slow_down"}"#)]
    {
        assert!(matches!(fault(status, body), TokenFault::Later(_)), "{status} {body}");
    }
    for (status, body) in [
        (200, "not json"),
        (200, "{}"),
        (200, r#"{"access_token":""}"#),
        (200, r#"{"access_token":"a b"}"#),
        (200, r#"{"access_token":"a\nb-0123456"}"#),
        (200, r#"{"access_token":"abcdefgh","token_type":"mac"}"#),
        (302, "{}"),
        (404, "{}"),
        (400, r#"{"error":"invalid_request"}"#),
        (401, r#"{"error":"invalid_client"}"#),
    ] {
        assert!(matches!(fault(status, body), TokenFault::Refused(_)), "{status} {body}");
    }
    let long = format!(r#"{{"access_token":"{}"}}"#, "a1".repeat(crate::secrets::HELD_SECRET_BYTES_MAX));
    assert!(matches!(fault(200, &long), TokenFault::Refused(_)));
    let body = br#"{"access_token":"abcdefgh","expires_in":60,"scope":"a b"}"#;
    let new = read_answer(200, body, &provider, None, 1_000).unwrap();
    assert_eq!((new.scopes, new.expires_at, new.refreshable), (vec!["a".into(), "b".into()], Some(1_060), false));
    // RFC 6749 6: a refresh that says no scope gives what was given before, not all that is ever asked for.
    let body = br#"{"access_token":"abcdefgh"}"#;
    let before =
        |scopes: &[String]| read_answer(200, body, &provider, Some((&new.secret, scopes)), 1_000).unwrap().scopes;
    assert_eq!(before(&["contacts.none".into()]), ["contacts.none"]);
    assert_eq!(before(&[]), ["contacts.read"]);
    assert!(!format!("{:?}", new.secret).contains("abcdefgh"));
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::string_slice, reason = "a test fails loudly")]
async fn a_service_account_signs_for_its_tokens() {
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, UnparsedPublicKey,
    };
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    let (stub, world) = (Stub::start().await, World::new(true));
    let provider = Provider::ServiceAccount {
        token_url: format!("{}/token", stub.origin),
        account: "robot@project.example".into(),
        subject: None,
        audience: None,
        key_id: Some("k-1".into()),
        scopes: vec!["drive.read".into()],
    };
    world.connect(ConnectionSpec { id: "drive".into(), holder: HolderKind::Agent, provider, ..crm(&stub.origin) });
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let der = pair.to_pkcs8v1().unwrap();
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(der.as_ref()));
    let holder = Holder::Agent("agent:sales".into());
    let set = |key: &str| {
        let secret = Secret::ServiceAccount { private_key: Hidden::new(key.to_owned()), access_token: None };
        now_is(|env| set_credential(&world.tenant, "drive", &holder, secret, "user:admin", env))
    };
    for bad in ["no key at all", "-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----"] {
        assert_eq!(set(bad).unwrap_err().rule, "credential.key");
    }
    set(&pem).unwrap();
    let token = world.own_token("sales", "crm.read");
    let answer = world.get(&token, "/proxy/drive/v1/echo").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(stub.calls()[0].2["authorization"], format!("Bearer {ACCESS}-0001"));
    assert_eq!(world.get(&token, "/proxy/drive/v1/echo").await.status, 200);
    let tokens = stub.tokens();
    assert_eq!(tokens.len(), 1, "the token that was had is used until it is about to end");
    let form: HashMap<_, _> = url::form_urlencoded::parse(tokens[0].0.as_bytes()).into_owned().collect();
    assert_eq!(form["grant_type"], "urn:ietf:params:oauth:grant-type:jwt-bearer");
    let (message, signature) = form["assertion"].rsplit_once('.').unwrap();
    let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, pair.public_key().as_ref());
    key.verify(message.as_bytes(), &crate::identity::decode(signature).unwrap()).unwrap();
    let part = |at| -> Value {
        serde_json::from_slice(&crate::identity::decode(message.split('.').nth(at).unwrap()).unwrap()).unwrap()
    };
    assert_eq!(part(0), json!({"alg": "ES256", "typ": "JWT", "kid": "k-1"}));
    let claims = part(1);
    assert_eq!((&claims["iss"], &claims["sub"]), (&json!("robot@project.example"), &json!("robot@project.example")));
    assert_eq!((&claims["scope"], &claims["aud"]), (&json!("drive.read"), &json!(format!("{}/token", stub.origin))));
    assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 300);
    // Its key leaves no more than its tokens do.
    let line = STANDARD.encode(der.as_ref());
    let said = request("POST", "/filter", &token).body(Body::from(format!("the key: {pem} or {line}"))).unwrap();
    let said = world.ask(said).await.text();
    assert!(!said.contains(&line[20..60]), "{said}");
}

/// VAULT-1: nothing is in the files, rows do not change places, and a newer key takes over while the vault serves.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_is_sealed_at_its_place() {
    let (stub, world) = (Stub::start().await, World::new(true));
    world.connect(crm(&stub.origin));
    world.store("crm", ACCESS, Some(REFRESH), 3_600);
    let (tenant, engine) = (&world.tenant, world.tenant.engine());
    let records = engine.records(VAULT);
    let key = |sort: u8, parts: &[&str]| crate::identity::record_key(tenant.number(), sort, parts);
    let row = records.get(&key(b'u', &["crm", "sarah"])).unwrap().unwrap();
    for text in [ACCESS, REFRESH, "client-secret-of-ours"] {
        for entry in std::fs::read_dir(world.directory.path()).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                let bytes = std::fs::read(&path).unwrap();
                assert!(!bytes.windows(text.len()).any(|window| window == text.as_bytes()), "{text} in {path:?}");
            }
        }
    }
    // The same row for somebody else, and as an agent's.
    for (sort, parts) in [(b'u', ["crm", "bob"]), (b'a', ["crm", "agent:sales"])] {
        records.write(vec![records.put(key(sort, &parts), row.clone())]).unwrap();
        let holder = if sort == b'u' { Holder::User("bob".into()) } else { Holder::Agent("agent:sales".into()) };
        let held = records::credential(tenant, "crm", &holder).unwrap().unwrap();
        let refusal = records::opened(tenant, &held).unwrap_err();
        assert_eq!(refusal.rule, "vault.open");
        records.write(vec![records.delete(key(sort, &parts))]).unwrap();
    }
    // Rotation.
    let held = records::credential(tenant, "crm", &sarah()).unwrap().unwrap();
    let opened_before = records::opened(tenant, &held).unwrap();
    let newer = now_is(|env| Identity::open(engine.clone(), ring(2), env).unwrap()).named("acme").unwrap();
    let walk = |tenant: &Tenant| {
        let (mut cursor, mut sealed) = (Some(ResealCursor::default()), 0);
        while let Some(at) = cursor {
            let (count, next) = now_is(|env| reseal(tenant, at, 1, env).unwrap());
            (sealed, cursor) = (sealed + count, next);
        }
        sealed
    };
    assert_eq!((walk(&newer), walk(&newer)), (2, 0), "a credential and a client secret");
    assert_ne!(records.get(&key(b'u', &["crm", "sarah"])).unwrap().unwrap(), row);
    let held = records::credential(&newer, "crm", &sarah()).unwrap().unwrap();
    assert_eq!(records::opened(&newer, &held).unwrap(), opened_before);
    // Who has the old ring alone is told which key is missing.
    let refusal = records::opened(tenant, &held).unwrap_err();
    assert!(refusal.cause.unwrap().contains("`k2`"));
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_handed_out_only_where_a_connection_says_so() {
    let (stub, world) = (Stub::start().await, World::new(true));
    world.connect(crm(&stub.origin));
    world.store("crm", ACCESS, Some(REFRESH), 3_600);
    let token = world.token("sales", "crm.read crm.write");
    let grant = FederatedConnection::new(world.vault.clone());
    let ask = |client: &str, more: &[(&str, &str)]| {
        let mut pairs = vec![
            ("subject_token", token.as_str()),
            ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
            ("requested_token_type", "http://auth0.com/oauth/token-type/federated-connection-access-token"),
            ("connection", "crm"),
        ];
        pairs.retain(|(name, _)| !more.iter().any(|(other, _)| other == name));
        pairs.extend(more);
        let (grant, tenant, client) =
            (FederatedConnection::new(world.vault.clone()), world.tenant.clone(), world.client(client));
        let form = form(&pairs);
        // As the token endpoint does: on a thread that may wait.
        std::thread::spawn(move || now_is(|env| grant.redeem(&tenant, &client, &form, env))).join().unwrap()
    };
    assert_eq!(grant.name(), FEDERATED_GRANT);
    assert_eq!(ask("sales", &[]).err().unwrap().rule, "exchange.mode");
    let refused = world.last(EventKind::VaultRefused);
    assert_eq!((refused.get_action(), refused.get_reason()), (Some("exchange"), Some("exchange.mode")));
    let spec = ConnectionSpec { exchange: true, ..crm(&stub.origin) };
    now_is(|env| change(&world.tenant, &spec, None, "user:admin", env).unwrap());
    let answer = ask("sales", &[]).unwrap();
    assert_eq!((answer.access_token.as_str(), answer.token_type, answer.refresh_token), (ACCESS, "Bearer", None));
    assert!((3_500..=3_600).contains(&answer.expires_in));
    let lent = world.last(EventKind::VaultLeased);
    assert_eq!((lent.details()["mode"].as_str(), lent.get_user()), ("exchange", Some("user:sarah")));
    assert_eq!((lent.outcome(), lent.get_agent()), (Outcome::Allowed, Some("agent:sales")));
    // It is refreshed before it is handed out.
    world.store("crm", ACCESS, Some(REFRESH), 0);
    assert_eq!(ask("sales", &[]).unwrap().access_token, format!("{ACCESS}-0001"));
    // No rule binds what is handed out: it takes every scope that one would ask for, for the proxy, and none that is withheld.
    let narrow = world.token("sales", "crm.read");
    let refused = ask("sales", &[("subject_token", &narrow)]).err().unwrap();
    assert_eq!((refused.rule, refused.error), ("proxy.scope", crate::identity::ErrorCode::InvalidScope));
    let elsewhere = world.token_for("sales", "crm.read crm.write", OTHER_API);
    assert_eq!(ask("sales", &[("subject_token", &elsewhere)]).err().unwrap().rule, "exchange.audience");
    let classed = |scope: &str, class: ScopeClass| {
        let agent = "agent:sales";
        now_is(|env| classify(&world.tenant, ("crm", scope), agent, Some(class), "user:admin", env).unwrap());
        ask("sales", &[]).map(|answer| answer.access_token).map_err(|refusal| refusal.rule)
    };
    assert_eq!(classed("crm.write", ScopeClass::Never), Err("proxy.scope.denied"));
    assert_eq!(classed("crm.write", ScopeClass::NeedsApproval), Err("exchange.approval"));
    assert!(classed("crm.write", ScopeClass::Automatic).is_ok());
    // What the provider gave may be withheld though no rule names it.
    assert_eq!(classed("contacts.read", ScopeClass::Never), Err("exchange.scope.denied"));
    assert_eq!(classed("contacts.read", ScopeClass::NeedsApproval), Err("exchange.approval"));
    assert!(classed("contacts.read", ScopeClass::Automatic).is_ok());
    let spec = ConnectionSpec { exchange: true, rules: Vec::new(), ..crm(&stub.origin) };
    now_is(|env| change(&world.tenant, &spec, None, "user:admin", env).unwrap());
    assert_eq!(ask("sales", &[]).err().unwrap().rule, "exchange.rules", "what lets nothing through hands out nothing");
    let spec = ConnectionSpec { exchange: true, ..crm(&stub.origin) };
    now_is(|env| change(&world.tenant, &spec, None, "user:admin", env).unwrap());
    let mut public = world.client("sales");
    public.client.value.auth_methods = vec![AuthMethod::None];
    let refused = now_is(|env| grant.redeem(&world.tenant, &public, &form(&[]), env));
    assert_eq!(refused.err().unwrap().rule, "exchange.public");
    // Another's token, a token that is none, a connection that is not allowed.
    assert_eq!(ask("other", &[]).err().unwrap().rule, "exchange.client");
    let forged = [("subject_token", "a.b.c")];
    assert_eq!(ask("sales", &forged).err().unwrap().error, crate::identity::ErrorCode::InvalidGrant);
    assert_eq!(ask("sales", &[("connection", "none")]).err().unwrap().rule, "connection.usable");
    let kind = [("subject_token_type", "urn:ietf:params:oauth:token-type:id_token")];
    assert_eq!(ask("sales", &kind).err().unwrap().rule, "exchange.subject_type");
    now_is(|env| allow(&world.tenant, "crm", "agent:sales", false, "user:admin", env).unwrap());
    assert_eq!(ask("sales", &[]).err().unwrap().rule, "connection.usable");
    // Only what people got by OAuth can be handed out.
    let spec = ConnectionSpec { id: "key".into(), provider: Provider::Basic {}, ..spec };
    assert!(now_is(|env| create(&world.tenant, spec, None, "user:admin", env)).is_err());
    assert!(stub.calls().is_empty() && Method::GET.is_safe());
}

/// What a refresh token stands for is judged as at each issue: by what the client may ask for now.
#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_token_hands_out_what_its_client_may_ask_for_now() {
    let (stub, world) = (Stub::start().await, World::new(true));
    world.connect(ConnectionSpec { exchange: true, ..crm(&stub.origin) });
    world.store("crm", ACCESS, Some(REFRESH), 3_600);
    let change_client = |edit: &dyn Fn(&mut Client)| {
        let held = world.tenant.client("sales").unwrap();
        let mut after = held.value.clone();
        edit(&mut after);
        now_is(|env| world.tenant.change_client(&held, &after, env).unwrap());
    };
    change_client(&|client| {
        client.grant_types.push("refresh_token".into());
        client.scopes.push("offline_access".into());
    });
    let first = world.tokens("sales", "crm.read crm.write offline_access").refresh_token.unwrap();
    let ask = |token: &str| {
        let (grant, tenant, client) =
            (FederatedConnection::new(world.vault.clone()), world.tenant.clone(), world.client("sales"));
        let kind = "urn:ietf:params:oauth:token-type:refresh_token";
        let form = form(&[("subject_token", token), ("subject_token_type", kind), ("connection", "crm")]);
        std::thread::spawn(move || now_is(|env| grant.redeem(&tenant, &client, &form, env))).join().unwrap()
    };
    assert_eq!(ask(&first).unwrap().access_token, ACCESS);
    change_client(&|client| client.scopes.retain(|scope| scope != "crm.write"));
    assert_eq!(ask(&first).err().unwrap().rule, "proxy.scope");
    change_client(&|client| client.scopes.push("crm.write".into()));
    assert!(ask(&first).is_ok());
    change_client(&|client| client.resources.retain(|resource| resource == OTHER_API));
    assert_eq!(ask(&first).err().unwrap().rule, "issue.resource");
    change_client(&|client| client.resources.push(world.tenant.url("/proxy")));
    // One that was used before is shown by somebody else than the client that has the newest.
    let refresh = |token: &str| {
        let form = form(&[("refresh_token", token)]);
        now_is(|env| RefreshGrant.redeem(&world.tenant, &world.client("sales"), &form, env).map(|a| a.refresh_token))
    };
    let second = refresh(&first).unwrap().unwrap();
    assert_eq!(ask(&first).err().unwrap().rule, "refresh.used");
    let third = refresh(&second).unwrap().unwrap();
    assert!(ask(&third).is_ok(), "the one before the newest was within the grace");
    assert_eq!(ask(&first).err().unwrap().rule, "refresh.used");
    assert_eq!(ask(&third).err().unwrap().rule, "grant.revoked", "reuse voids all that hangs on the grant");
    assert_eq!(world.last(EventKind::TokenReplayed).get_reason(), Some("refresh.reused"));
}
