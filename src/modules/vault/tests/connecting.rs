//! How people connect and disconnect accounts. VAULT-0.

use super::stub::Stub;
use super::*;
use crate::identity::Outcome;

const ORIGIN: &str = "https://id.example";

fn browser(method: &str, path: &str, who: &str) -> ::http::request::Builder {
    request(method, path, "").header("cookie", who).header("origin", ORIGIN)
}

async fn ask(world: &World, method: &str, path: &str, who: &str, body: &str) -> Answered {
    world.ask(browser(method, path, who).body(Body::from(body.to_owned())).unwrap()).await
}

fn parameter(url: &str, name: &str) -> Option<String> {
    let url = url::Url::parse(url).unwrap();
    url.query_pairs().find(|(known, _)| known == name).map(|(_, value)| value.into_owned())
}

async fn begin(world: &World) -> String {
    let answer = ask(world, "POST", "/connect/crm", "sarah/s1", "").await;
    assert_eq!(answer.status, 303, "{}", answer.text());
    answer.headers["location"].to_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_is_connected_with_a_code_and_pkce() {
    let (stub, world) = (Stub::start().await, World::new(true));
    world.connect(crm(&stub.origin));
    let page = ask(&world, "GET", "/connect/crm", "sarah/s1", "").await;
    assert!(page.status == 200 && page.text().contains("The CRM") && page.text().contains("not connected"));
    assert!(!page.text().contains("<script"));
    let token = world.token("sales", "crm.read");
    let answer = world.get(&token, "/proxy/crm/v1/x").await;
    assert!(answer.status == 403 && answer.text().contains("https://id.example/acme/connect/crm"), "{}", answer.text());

    let to = begin(&world).await;
    assert!(to.starts_with(&format!("{}/authorize?access_type=offline&response_type=code", stub.origin)), "{to}");
    assert_eq!(parameter(&to, "redirect_uri").unwrap(), "https://id.example/acme/connect/crm/callback");
    assert_eq!(
        (parameter(&to, "scope").unwrap(), parameter(&to, "code_challenge_method").unwrap()),
        ("contacts.read".into(), "S256".into())
    );
    let state = parameter(&to, "state").unwrap();
    let issuer: String = url::form_urlencoded::byte_serialize(stub.origin.as_bytes()).collect();
    let back = format!("/connect/crm/callback?code=the-code&state={state}&iss={issuer}");
    // In the browser of somebody else, or in another session, it is nobody's; and that does not use it up.
    for who in ["bob/s1", "sarah/s2"] {
        let answer = ask(&world, "GET", &back, who, "").await;
        assert_eq!(answer.status, 400, "{}", answer.text());
    }
    let answer = ask(&world, "GET", &back, "sarah/s1", "").await;
    assert_eq!(answer.status, 303, "{}", answer.text());
    let tokens = stub.tokens();
    let form: HashMap<_, _> = url::form_urlencoded::parse(tokens[0].0.as_bytes()).into_owned().collect();
    assert_eq!((form["grant_type"].as_str(), form["code"].as_str()), ("authorization_code", "the-code"));
    assert_eq!(hash_of(&form["code_verifier"]), parameter(&to, "code_challenge").unwrap());
    // Once.
    assert_eq!(ask(&world, "GET", &back, "sarah/s1", "").await.status, 400);
    assert_eq!(tokens.len(), stub.tokens().len());
    let credential = world.credential("crm");
    assert_eq!((credential.scopes, credential.refreshable), (vec!["contacts.read".to_owned()], true));
    let event = world.last(EventKind::VaultStored);
    assert_eq!((event.get_action(), event.get_user()), (Some("connect"), Some("user:sarah")));
    assert_eq!(world.get(&token, "/proxy/crm/v1/raw").await.text(), "[removed:held-secret]");
    assert_eq!(stub.calls()[0].2["authorization"], format!("Bearer {ACCESS}-0001"));
    let list = ask(&world, "GET", "/connections", "sarah/s1", "").await.json();
    let one = &list["connections"][0];
    assert_eq!(
        (&one["connection"], &one["state"], &one["is_static"]),
        (&json!("crm"), &json!("active"), &json!(false))
    );
    assert_eq!(ask(&world, "GET", "/connections", "bob/s9", "").await.json()["connections"][0]["state"], "none");

    // And taken back, here and there.
    let answer = ask(&world, "POST", "/connect/crm/disconnect", "sarah/s1", "").await;
    assert_eq!(answer.status, 303, "{}", answer.text());
    assert_eq!(stub.revoked(), [format!("token={REFRESH}-0001&token_type_hint=refresh_token")]);
    assert_eq!(world.get(&token, "/proxy/crm/v1/x").await.status, 403);
    assert_eq!(world.last(EventKind::VaultRemoved).outcome(), Outcome::Done);
    assert_eq!(ask(&world, "POST", "/connect/crm/disconnect", "sarah/s1", "").await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_connected_who_is_gone_is_taken_back_here_and_there() {
    let (stub, world) = (Stub::start().await, World::new(true));
    world.connect(crm(&stub.origin));
    let state = parameter(&begin(&world).await, "state").unwrap();
    let issuer: String = url::form_urlencoded::byte_serialize(stub.origin.as_bytes()).collect();
    let back = format!("/connect/crm/callback?code=the-code&state={state}&iss={issuer}");
    assert_eq!(ask(&world, "GET", &back, "sarah/s1", "").await.status, 303);
    let forget = |user: &'static str| {
        let (vault, tenant) = (world.vault.clone(), world.tenant.clone());
        let work = move || vault.forget_user(&tenant, user, &Env::new(now(), &random)).unwrap();
        async move { tokio::task::spawn_blocking(work).await.unwrap() }
    };
    assert_eq!((forget("bob").await, stub.revoked().len()), (0, 0));
    assert_eq!(forget("sarah").await, 1);
    assert_eq!(stub.revoked(), [format!("token={REFRESH}-0001&token_type_hint=refresh_token")]);
    let event = world.last(EventKind::VaultRemoved);
    assert_eq!((event.get_user(), event.details()["by"].as_str()), (Some("user:sarah"), "user.deleted"));
    assert_eq!((forget("sarah").await, stub.revoked().len()), (0, 1), "once");
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_are_none_store_nothing() {
    let (stub, world) = (Stub::start().await, World::new(true));
    let mut spec = crm(&stub.origin);
    if let Provider::Oauth2 { issuer_required, .. } = &mut spec.provider {
        *issuer_required = true;
    }
    world.connect(spec);
    let issuer: String = url::form_urlencoded::byte_serialize(stub.origin.as_bytes()).collect();
    for (answer, status) in [
        ("code=c&state=STATE".to_owned(), 400),
        ("code=c&state=STATE&iss=https%3A%2F%2Fevil.example".to_owned(), 400),
        (format!("state=STATE&iss={issuer}"), 400),
        (format!("error=access_denied&error_description=%3Cscript%3E&state=STATE&iss={issuer}"), 403),
        (format!("code=c&code=d&state=STATE&iss={issuer}"), 400),
        ("code=c".to_owned(), 400),
        (format!("code=c&state=other&iss={issuer}"), 400),
    ] {
        let state = parameter(&begin(&world).await, "state").unwrap();
        let path = format!("/connect/crm/callback?{}", answer.replace("STATE", &state));
        let answer = ask(&world, "GET", &path, "sarah/s1", "").await;
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
        assert!(!answer.text().contains("<script"), "{}", answer.text());
    }
    assert!(stub.tokens().is_empty());
    // A provider whose answer is of no use.
    let state = parameter(&begin(&world).await, "state").unwrap();
    stub.answers(400, json!({"error": "invalid_grant", "error_description": "the-code"}));
    let answer =
        ask(&world, "GET", &format!("/connect/crm/callback?code=c&state={state}&iss={issuer}"), "sarah/s1", "").await;
    assert!(answer.status == 503 && !answer.text().contains("the-code"), "{}", answer.text());
    // A person who is late.
    let pending = now_is(|env| {
        connect::begin(&world.tenant, "crm", ("sarah", "s1"), env)
            .map(|to| (parameter(&to, "state").unwrap(), env.seconds()))
    });
    let (state, seconds) = pending.unwrap();
    let late = form(&[("code", "c"), ("state", &state), ("iss", &stub.origin)]);
    let refusal =
        at(seconds + 600, |env| connect::called_back(&world.tenant, "crm", &late, ("sarah", "s1"), env).map(|_| ()));
    assert_eq!(refusal.unwrap_err().rule, "connect.state");
    assert!(records::credential(&world.tenant, "crm", &sarah()).unwrap().is_none());
    // Who is not signed in is sent to sign in; a page of somebody else starts nothing.
    let answer = world.ask(request("GET", "/connect/crm", "").body(Body::empty()).unwrap()).await;
    assert_eq!(
        (answer.status.as_u16(), answer.headers["location"].to_str().unwrap()),
        (303, "https://id.example/acme/login?back=/connect/crm")
    );
    for origin in ["https://evil.example", "null"] {
        for path in ["/connect/crm", "/connect/crm/disconnect"] {
            let request = request("POST", path, "").header("cookie", "sarah/s1").header("origin", origin);
            assert_eq!(world.ask(request.body(Body::empty()).unwrap()).await.status, 403);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_brings_a_key_where_there_is_no_other_way() {
    let world = World::new(true);
    let provider = Provider::ApiKeyHeader { header: "x-api-key".into(), prefix: String::new() };
    world.connect(ConnectionSpec {
        id: "legacy".into(),
        provider,
        name: "A <b>legacy</b> API".into(),
        ..crm("https://x.example")
    });
    let page = ask(&world, "GET", "/connect/legacy", "sarah/s1", "").await.text();
    assert!(page.contains("A &lt;b&gt;legacy&lt;/b&gt; API") && page.contains("does not change by itself"), "{page}");
    assert_eq!(ask(&world, "POST", "/connect/legacy", "sarah/s1", "key=short").await.status, 400);
    assert_eq!(ask(&world, "POST", "/connect/legacy", "sarah/s1", "").await.status, 400);
    let answer = ask(&world, "POST", "/connect/legacy", "sarah/s1", "key=legacy-key-778899").await;
    assert_eq!((answer.status.as_u16(), world.credential("legacy").generation), (303, 1));
    assert_eq!(world.last(EventKind::VaultStored).details()["kind"], "static");
    let list = ask(&world, "GET", "/connections", "sarah/s1", "").await.json();
    assert_eq!(list["connections"][0]["is_static"], true, "VAULT-7");
    // Whose credentials a connection uses is not the caller's choice.
    let agents = ConnectionSpec { id: "llm".into(), holder: HolderKind::Agent, ..crm("https://llm.example") };
    world.connect(agents);
    assert_eq!(ask(&world, "POST", "/connect/llm", "sarah/s1", "").await.status, 400);
    let key = Secret::ApiKey { key: Hidden::new("legacy-key-778899".into()) };
    let holder = Holder::Agent("agent:sales".into());
    let refusal = now_is(|env| set_credential(&world.tenant, "legacy", &holder, key, "user:admin", env)).unwrap_err();
    assert_eq!(refusal.rule, "credential.holder");
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_keep_what_credentials_were_given_for() {
    let world = World::new(true);
    world.connect(crm("https://crm.example"));
    let changed = |spec: ConnectionSpec| now_is(|env| change(&world.tenant, &spec, None, "user:admin", env));
    let elsewhere = |set: fn(&mut Provider)| {
        let mut spec = crm("https://crm.example");
        set(&mut spec.provider);
        spec
    };
    let tokens = elsewhere(|provider| {
        if let Provider::Oauth2 { token_url, .. } = provider {
            *token_url = "https://evil.example/token".into();
        }
    });
    let people = elsewhere(|provider| {
        if let Provider::Oauth2 { authorize_url, .. } = provider {
            *authorize_url = "https://evil.example/authorize".into();
        }
    });
    // It would get the tokens that are taken back, and our secret.
    let revoked = elsewhere(|provider| {
        if let Provider::Oauth2 { revoke_url, .. } = provider {
            *revoke_url = Some("https://evil.example/revoke".into());
        }
    });
    let based = |base: &str| ConnectionSpec { base: base.into(), ..crm("https://crm.example") };
    for spec in [
        based("https://evil.example/api"),
        based("https://crm.example:8443/api"),
        tokens,
        people,
        revoked,
        ConnectionSpec { holder: HolderKind::Agent, ..crm("https://crm.example") },
        ConnectionSpec { provider: Provider::Basic {}, ..crm("https://crm.example") },
    ] {
        assert_eq!(changed(spec).unwrap_err().rule, "connection.spec");
    }
    changed(ConnectionSpec { name: "Another name".into(), ..based("https://crm.example/v2") }).unwrap();
    assert_eq!(get(&world.tenant, "crm").unwrap().spec.name, "Another name");
    // An id is given once.
    let again =
        || now_is(|env| create(&world.tenant, crm("https://crm.example"), None, "user:admin", env)).unwrap_err().rule;
    assert_eq!(again(), "connection.taken");
    now_is(|env| remove(&world.tenant, "crm", "user:admin", env).unwrap());
    assert_eq!(again(), "connection.taken");
    assert!(list(&world.tenant, None, 10).unwrap().0.is_empty());
    assert_eq!(world.last(EventKind::ConnectionRemoved).get_resource(), Some("connection:crm"));
    let token = world.token("sales", "crm.read");
    assert_eq!(world.get(&token, "/proxy/crm/v1/x").await.status, 403);
}
