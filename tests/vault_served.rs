//! The vault as it is served: connections made by commands and over HTTP, an agent that calls through the proxy, and what it
//! may not. VAULT-0, VAULT-3, VAULT-4, VAULT-5, VAULT-7, VAULT-9.

use crate::elsewhere::{Asked, Elsewhere, Furnished, Serving, Walker};
use crate::identity::env;
use crate::login_browser::{Form as PageForm, Page};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use bailiwick::identity::{
    Authentication, Browser, Caller, CodeGrant, Decided, EventKind, Form, GrantType as _, MACHINE, hash_of,
};
use bailiwick::server::WebhookSettings;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

/// What nobody but the vault and the other side may see.
const KEY: &str = "model-key-9f8e7d6c5b4a39281706";
const QUERY_KEY: &str = "map-key-17+06/5b4a3928=";
const PASSWORD: &str = "correct horse battery staple";
const CALLBACK: &str = "https://app.example/cb";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

/// A server of an API that repeats what it was shown, and of tokens.
fn elsewhere(asked: &Asked) -> (u16, Value) {
    match asked.path() {
        "/token" if asked.body.contains("spent") => (400, json!({"error": "invalid_grant"})),
        "/token" => {
            let token =
                format!("up-access-{}-0a1b2c3d4e5f", if asked.body.contains("jwt-bearer") { "sa" } else { "or" });
            (200, json!({"access_token": token, "refresh_token": "up-refresh-2-6a7b8c9d0e1f", "expires_in": 3600}))
        }
        "/revoke" => (200, json!({})),
        _ => (200, json!({"target": asked.target, "shown": asked.header("authorization")})),
    }
}

/// The commands' part: people, agents and connections. Answers the secrets of the agent and of the program that administers.
fn furnish(db: &Furnished, origin: &str) -> (String, String) {
    db.good(&["user", "create", "sarah@example.com", "--id", "sarah"]);
    let (proxy, admin) = (format!("{}/proxy", db.issuer), format!("{}/admin", db.issuer));
    db.good(&["resource", "create", &proxy, "--id", "proxy", "--scope", "crm.read", "--scope", "model.use"]);
    let scopes = ["--scope", "connections:read", "--scope", "connections:write"];
    db.good(&[&["resource", "create", &admin, "--id", "admin"], &scopes[..]].concat());
    let client = |id: &str, kind: &str, what: &[&str]| {
        let create = ["client", "create", "--id", id, "--kind", kind, "--auth", "client_secret_post"];
        let grants = ["--grant-type", "client_credentials", "--grant-type", "authorization_code"];
        let made = db.json(&[&create[..], &grants, &["--redirect-uri", CALLBACK], what].concat());
        made["client_secret"].as_str().unwrap().to_owned()
    };
    let sales = client("sales", "agent", &["--scope", "crm.read", "--scope", "model.use", "--resource", &proxy]);
    let ops = client("ops", "app", &[&scopes[..], &["--resource", &admin]].concat());

    let at = |path: &str| format!("{origin}{path}");
    let (api, token, authorize, revoke) = (at("/api"), at("/token"), at("/authorize"), at("/revoke"));
    let create = |id: &str, kind: &str, holder: &str, what: &[&str]| {
        let create = ["connection", "create", id, "--type", kind, "--holder", holder, "--base", &api];
        db.good(&[&create[..], what].concat());
        db.good(&["connection", "allow", id, "agent:sales"]);
    };
    let rule = ["--rule", "GET,HEAD /v1/** model.use"];
    create("model", "api-key", "agent", &rule);
    create("maps", "api-key", "agent", &["--query", "key", "--rule", "GET /v1/**"]);
    create("erp", "basic", "user", &["--rule", "GET /v1/**"]);
    create("drive", "service-account", "agent", &["--token-url", &token, "--account", "bot@x", "--rule", "GET /**"]);
    std::fs::write(db.directory.path().join("client-secret"), "client-secret-of-ours\n").unwrap();
    let oauth =
        ["--authorize-url", &authorize, "--token-url", &token, "--revoke-url", &revoke, "--client-id", "bailiwick"];
    let ours = ["--client-secret-file", "client-secret", "--rule", "GET /v1/** crm.read"];
    create("crm", "oauth2", "user", &[&oauth[..], &ours].concat());
    for (connection, scope) in [("model", "model.use"), ("crm", "crm.read")] {
        let set = ["connection", "scope", "set", connection, scope, "--class", "automatic", "--for", "agent:sales"];
        db.good(&set);
    }
    (sales, ops)
}

/// The credentials, each from the standard input or a file.
fn credentials(db: &Furnished) {
    let set = |connection: &str, who: &[&str], secret: &str| {
        db.run(&[&["connection", "credential", "set", connection], who].concat(), secret).unwrap()
    };
    set("model", &["--agent", "sales"], &format!("{KEY}\n"));
    std::fs::write(db.directory.path().join("map-key"), QUERY_KEY).unwrap();
    set("maps", &["--agent", "agent:sales", "--file", "map-key"], "");
    set("erp", &["--user", "sarah@example.com", "--login", "sarah"], PASSWORD);
    let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
    let body = STANDARD.encode(key.as_ref());
    set("drive", &["--agent", "sales"], &format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n"));
    let tokens = json!({"access_token": "up-access-1-0a1b2c3d4e5f", "refresh_token": "up-refresh-1-6a7b8c9d"});
    set("crm", &["--user", "sarah"], &tokens.to_string());
}

/// A token of the agent for Sarah.
fn for_sarah(serving: &Serving, scope: &str) -> String {
    let (tenant, env) = (&serving.tenant, env());
    let form = |pairs: &[(&str, &str)]| {
        Form::parse(&url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()).unwrap()
    };
    let id = tenant.take_request(
        &form(&[
            ("client_id", "sales"),
            ("response_type", "code"),
            ("redirect_uri", CALLBACK),
            ("scope", scope),
            ("resource", &tenant.url("/proxy")),
            ("code_challenge", &hash_of(VERIFIER)),
            ("code_challenge_method", "S256"),
        ]),
        &env,
    );
    let request = tenant.request(&id.unwrap_or_else(|refused| panic!("{:?}", refused.refusal())), &env).unwrap();
    let authentication = Authentication { at: env.seconds(), acr: "aal1".into(), amr: vec!["pwd".into()] };
    let (_, cookie) = tenant.start_session("sarah", authentication, Browser::default(), &env).unwrap();
    let session = tenant.session_of_cookie(&cookie, &env).unwrap().unwrap();
    let to = tenant.complete(&request, &session, &Decided::Allowed { scopes: None }, &env).unwrap();
    let to = url::Url::parse(&to).unwrap();
    let code = to.query_pairs().find(|(name, _)| name == "code").unwrap().1.into_owned();
    let client = tenant.client("sales").unwrap();
    let caller = Caller { method: client.auth_methods[0], client, jkt: None };
    let form = form(&[("code", &code), ("code_verifier", VERIFIER), ("redirect_uri", CALLBACK)]);
    CodeGrant.redeem(tenant, &caller, &form, &env).unwrap().access_token
}

struct Story {
    stub: Elsewhere,
    serving: Serving,
    /// The agent for itself, the agent for Sarah, the program that administers.
    agent: String,
    sarah: String,
    ops: String,
}

fn story() -> Story {
    let db = Furnished::new();
    let stub = Elsewhere::start(&db.runtime, elsewhere);
    let (sales, ops) = furnish(&db, &stub.origin);
    credentials(&db);
    db.good(&["role", "give", "app:ops", "admin"]);
    let serving = db.serve();
    let agent = serving.token("sales", &sales, "model.use", "/proxy");
    let ops = serving.token("ops", &ops, "connections:read connections:write", "/admin");
    let sarah = for_sarah(&serving, "crm.read model.use");
    Story { stub, serving, agent, sarah, ops }
}

impl Story {
    /// A call through the proxy that is answered: the body, and what the other side saw of it.
    #[track_caller]
    fn call(&self, token: &str, path: &str) -> (String, Asked) {
        let heard = self.serving.with(token, "GET", &format!("/proxy{path}"), &Value::Null);
        assert_eq!((heard.status, heard.header("bailiwick-answered-by")), (200, Some("upstream")), "{}", heard.body);
        let asked = self.stub.asked().pop().unwrap();
        (heard.body, asked)
    }

    /// A call that is refused, and reaches nobody.
    #[track_caller]
    fn refused(&self, token: &str, method: &str, path: &str, status: u16, says: &str) {
        let heard = self.serving.with(token, method, &format!("/proxy{path}"), &Value::Null);
        assert_eq!((heard.status, heard.header("bailiwick-answered-by")), (status, Some("proxy")), "{}", heard.body);
        assert!(heard.body.contains(says), "{path}: {}", heard.body);
        assert!(self.stub.asked().is_empty(), "{path} reached the other side");
    }
}

#[test]
fn each_kind_of_credential_is_put_in_and_taken_out() {
    let story = story();
    for (token, path, shown, secret) in [
        (&story.agent, "/model/v1/x", format!("Bearer {KEY}"), KEY.to_owned()),
        (&story.sarah, "/model/v1/x", format!("Bearer {KEY}"), KEY.to_owned()),
        (&story.sarah, "/erp/v1/x", format!("Basic {}", STANDARD.encode(format!("sarah:{PASSWORD}"))), PASSWORD.into()),
        (&story.agent, "/drive/x", "Bearer up-access-sa-0a1b2c3d4e5f".into(), "up-access-sa-0a1b2c3d4e5f".into()),
        (&story.sarah, "/crm/v1/x?q=1", "Bearer up-access-or-0a1b2c3d4e5f".into(), "up-access-or-0a1b2c3d4e5f".into()),
    ] {
        let (body, asked) = story.call(token, path);
        assert_eq!(asked.header("authorization"), shown, "{path}");
        assert!(body.contains("[removed:held-secret]") && !body.contains(&secret), "{path}: {body}");
    }
    let (body, asked) = story.call(&story.agent, "/maps/v1/tiles?z=3");
    assert_eq!(asked.target, "/api/v1/tiles?z=3&key=map-key-17%2B06%2F5b4a3928%3D");
    assert!(body.contains("[removed:held-secret]") && !body.contains("5b4a3928"), "{body}");
    // VAULT-9: each was lent, and how it ended is written down; no secret is.
    let events = story
        .serving
        .events_once(|events| events.iter().filter(|event| event.kind() == EventKind::ProxyCalled).count() == 6);
    let count = |kind| events.iter().filter(|event| event.kind() == kind).count();
    assert_eq!((count(EventKind::VaultLeased), count(EventKind::ProxyCalled)), (6, 6));
    // Each says at which revision it was allowed, the call that of its lease.
    let revisions = |kind| {
        let of_kind = events.iter().filter(|event| event.kind() == kind);
        let mut all: Vec<u64> = of_kind.map(|event| event.get_revision().unwrap().0).collect();
        all.sort_unstable();
        all
    };
    assert_eq!(revisions(EventKind::VaultLeased), revisions(EventKind::ProxyCalled));
    for event in &events {
        let text = String::from_utf8_lossy(&event.bytes()).into_owned();
        assert!(![KEY, QUERY_KEY, PASSWORD, "up-access", "up-refresh"].iter().any(|secret| text.contains(secret)));
    }
}

#[test]
fn what_a_connection_does_not_name_is_refused() {
    let story = story();
    let (agent, sarah) = (&story.agent, &story.sarah);
    story.refused(agent, "POST", "/model/v1/x", 403, "no rule of this connection lets");
    story.refused(agent, "GET", "/model/v2/x", 403, "no rule of this connection lets");
    story.refused(agent, "GET", "/model/v1/../../token", 400, "servers read differently");
    story.refused(agent, "GET", "/model//evil.example/v1", 400, "empty segment");
    story.refused(agent, "GET", "/nothing/v1/x", 403, "or there is none");
    story.refused(agent, "GET", "/erp/v1/x", 403, "acts for nobody");
    story.refused(agent, "GET", "/maps/v1/x?key=mine", 400, "the parameter in which the key is put");
    let unread = for_sarah(&story.serving, "model.use");
    story.refused(&unread, "GET", "/crm/v1/x", 403, "needs a token with the scope `crm.read`");
    story.refused("no-token", "GET", "/model/v1/x", 401, "invalid_token");

    // A host within, which the allow list does not name.
    let within = json!({"connection": {
        "id": "within", "name": "Within", "holder": "agent", "base": "https://10.1.2.3",
        "provider": {"type": "api_key_header", "header": "x-api-key"},
        "rules": [{"methods": ["GET"], "path": "/**"}],
    }});
    let admin = |method: &str, path: &str, body: &Value| {
        story.serving.with(&story.ops, method, &format!("/admin/connections{path}"), body)
    };
    assert_eq!(admin("POST", "", &within).status, 201);
    assert_eq!(admin("PUT", "/within/allowed/agent:sales", &Value::Null).status, 200);
    let key = json!({"type": "api_key", "key": "key-of-somebody-within"});
    let more = json!({"type": "api_key", "key": "key-of-somebody-within", "expires_in": 3000});
    let refused = admin("PUT", "/within/credentials/agent:sales", &more);
    assert!(refused.status == 400 && refused.body.contains("`expires_in`"), "{}", refused.body);
    let mistaken = admin("PUT", "/within/credentials/agent:sales", &json!({"type": "api_key", "key": ["k-e-y"]}));
    assert!(mistaken.status == 400 && !mistaken.body.contains("k-e-y"), "{}", mistaken.body);
    assert_eq!(admin("PUT", "/within/credentials/agent:sales", &key).status, 200);
    story.refused(agent, "GET", "/within/x", 403, "not connected to from here");

    // Disconnected, not allowed any more, its class taken away, and gone.
    story.call(agent, "/model/v1/x");
    assert_eq!(admin("DELETE", "/model/credentials/agent:sales", &Value::Null).json(), json!({"taken_back": null}));
    story.refused(agent, "GET", "/model/v1/x", 403, "has no credential for `model`");
    story.call(sarah, "/crm/v1/x");
    let never = json!({"scope": "crm.read", "subject": "agent:sales", "class": "never"});
    assert_eq!(admin("PUT", "/crm/scopes", &never).status, 200);
    story.refused(sarah, "GET", "/crm/v1/x", 403, "is not given the scope `crm.read`");
    story.call(sarah, "/erp/v1/x");
    assert_eq!(admin("DELETE", "/erp/allowed/agent:sales", &Value::Null).status, 200);
    story.refused(sarah, "GET", "/erp/v1/x", 403, "may not use this connection");
    story.call(agent, "/maps/v1/x");
    assert_eq!(admin("DELETE", "/maps", &Value::Null).status, 200);
    story.refused(agent, "GET", "/maps/v1/x", 403, "or there is none");
    let mut refused = story.serving.events();
    refused.retain(|event| event.kind() == EventKind::ProxyRefused);
    assert_eq!(refused.len(), 12, "all but the one without a token");
    assert!(refused.iter().all(|event| event.get_revision().is_some()), "each says at which revision: {refused:?}");
}

#[test]
fn connections_are_administered_over_http() {
    let story = story();
    let admin = |token: &str, method: &str, path: &str, body: &Value| {
        let heard = story.serving.with(token, method, &format!("/admin/connections{path}"), body);
        (heard.status, if heard.body.starts_with('{') { heard.json() } else { Value::Null })
    };
    let (ops, none) = (&story.ops, Value::Null);
    let (status, listed) = admin(ops, "GET", "?limit=3", &none);
    assert_eq!((status, listed["connections"].as_array().unwrap().len()), (200, 3));
    let after = listed["next"].as_str().unwrap();
    let (_, rest) = admin(ops, "GET", &format!("?after={after}"), &none);
    assert_eq!((rest["connections"].as_array().unwrap().len(), &rest["next"]), (2, &none));
    let (_, shown) = admin(ops, "GET", "/crm", &none);
    assert_eq!((&shown["has_client_secret"], &shown["allowed"]), (&json!(true), &json!(["agent:sales"])));
    assert_eq!(shown["scopes"], json!([{"scope": "crm.read", "class": "automatic", "subject": "agent:sales"}]));
    assert_eq!(shown["redirect_uri"], format!("{}/connect/crm/callback", story.serving.issuer));
    assert!(!shown.to_string().contains("client-secret-of-ours"));

    // What it is may be changed; whose credentials go where may not.
    let mut wanted = json!({"connection": shown["connection"]});
    wanted["connection"]["name"] = "The CRM".into();
    let (status, changed) = admin(ops, "PUT", "/crm", &wanted);
    assert_eq!(
        (status, &changed["connection"]["name"], &changed["has_client_secret"]),
        (200, &json!("The CRM"), &json!(true))
    );
    wanted["connection"]["base"] = "https://evil.example/".into();
    assert_eq!(admin(ops, "PUT", "/crm", &wanted).0, 400);
    assert_eq!(admin(ops, "PUT", "/erp", &wanted).0, 400);
    assert_eq!(admin(ops, "POST", "", &json!({"connection": shown["connection"]})).0, 409);
    let (status, wrong) =
        admin(ops, "PUT", "/model/credentials/agent:sales", &json!({"type": "api_key", "key": [KEY]}));
    assert!(status == 400 && !wrong.to_string().contains(KEY), "{wrong}");
    let basic = json!({"type": "basic", "user": "u", "password": "a-long-password"});
    for (holder, body) in [("agent:sales", &basic), ("agent:nobody", &basic), ("user:sarah", &basic), ("sales", &basic)]
    {
        assert_eq!(admin(ops, "PUT", &format!("/model/credentials/{holder}"), body).0, 400, "{holder}");
    }
    for subject in ["user:sarah", "agent:nobody", "app:sales", "sales"] {
        assert_eq!(admin(ops, "PUT", &format!("/crm/allowed/{subject}"), &none).0, 400, "{subject}");
    }

    // Credentials are shown by who holds them, and removing one takes its token back.
    let (_, listed) = admin(ops, "GET", "/crm/credentials", &none);
    let one = &listed["credentials"][0];
    assert_eq!((&one["holder"], &one["state"], &listed["next"]), (&json!("user:sarah"), &json!("active"), &none));
    assert!(!listed.to_string().contains("up-"));
    assert_eq!(admin(ops, "DELETE", "/crm/credentials/user:sarah", &none), (200, json!({"taken_back": true})));
    let asked = story.stub.asked();
    assert_eq!(asked.last().map(|asked| (asked.path(), asked.body.contains("up-refresh-1"))), Some(("/revoke", true)));
    assert_eq!(admin(ops, "DELETE", "/crm/credentials/user:sarah", &none).0, 404);

    // Who may not: without the scope, with a token for something else, and who does not run the tenant.
    assert_eq!(admin(&story.agent, "GET", "", &none).0, 401);
    let tenant = &story.serving.tenant;
    let role = |name: &str, object: Option<&str>| tenant.appointment_named(name, object, "app:ops").unwrap();
    tenant.take_role(&role("admin", None), &env()).unwrap();
    assert_eq!(admin(ops, "GET", "", &none).1["connections"], json!([]));
    assert_eq!(admin(ops, "GET", "/crm", &none).0, 404);
    assert_eq!(admin(ops, "DELETE", "/crm", &none).0, 404);
    assert_eq!(admin(ops, "POST", "", &wanted).0, 403);
    // Who audits sees all and changes nothing.
    tenant.give_role(&role("auditor", None), &env()).unwrap();
    assert_eq!(admin(ops, "GET", "/crm", &none).0, 200);
    assert_eq!(admin(ops, "DELETE", "/crm", &none).0, 403);
}

#[test]
fn what_is_administered_is_found_by_who_did_it() {
    let story = story();
    let made = story.serving.events();
    // What commands did says so too.
    let administered = [EventKind::ConnectionCreated, EventKind::VaultStored, EventKind::PolicyChanged];
    assert!(made.iter().filter(|e| administered.contains(&e.kind())).all(|e| e.persons().any(|by| by == MACHINE)));
    let connection = json!({"connection": {
        "id": "within", "name": "Within", "holder": "agent", "base": "https://within.example",
        "provider": {"type": "api_key_header", "header": "x-api-key"},
        "rules": [{"methods": ["GET"], "path": "/**"}],
    }});
    let class = json!({"scope": "crm.read", "subject": "agent:sales", "class": "never"});
    let key = json!({"type": "api_key", "key": "key-of-somebody-within"});
    let none = Value::Null;
    for (method, path, body) in [
        ("POST", "", &connection),
        ("PUT", "/within", &connection),
        ("PUT", "/within/allowed/agent:sales", &none),
        ("PUT", "/crm/scopes", &class),
        ("PUT", "/within/credentials/agent:sales", &key),
        ("DELETE", "/within/credentials/agent:sales", &none),
        ("DELETE", "/within/allowed/agent:sales", &none),
        ("DELETE", "/within", &none),
    ] {
        let heard = story.serving.with(&story.ops, method, &format!("/admin/connections{path}"), body);
        assert!(heard.status < 300, "{method} {path}: {}", heard.body);
    }
    let events = story.serving.events();
    let told = &events[made.len()..];
    assert_eq!(told.len(), 8, "{told:?}");
    for event in told {
        assert!(event.persons().any(|by| by == "app:ops"), "{event:?}");
    }
}

#[test]
fn who_has_to_connect_again_learns_it() {
    let db = Furnished::new();
    let stub = Elsewhere::start(&db.runtime, elsewhere);
    furnish(&db, &stub.origin);
    let tokens = json!({"access_token": "up-access-1-0a1b2c3d4e5f", "refresh_token": "up-refresh-spent-6a7b"});
    db.run(&["connection", "credential", "set", "crm", "--user", "sarah"], &tokens.to_string()).unwrap();
    let link = db.json(&["user", "invite", "sarah"])["link"].as_str().unwrap().to_owned();
    let hook = Elsewhere::start(&db.runtime, |_| (204, Value::Null));
    let serving = db.serve_with(|settings| {
        let url = format!("{}/hook", hook.origin);
        settings.channels.webhook = Some(WebhookSettings { url, bearer: "hook-secret".into() });
    });
    let token = for_sarah(&serving, "crm.read");
    let call = || serving.with(&token, "GET", "/proxy/crm/v1/x", &Value::Null);
    let mut sarah = Walker::new(&serving);
    let page = sarah.enrol(&link, PASSWORD);
    page.shows("Accounts that agents use for you crm It is connected");
    assert!(!page.text().contains("connected again"));

    // The provider takes the refresh token no more: the agent is told, nobody is asked again, and Sarah sees it.
    let heard = call();
    assert!(heard.status == 403 && heard.body.contains("`crm` has to be connected again"), "{}", heard.body);
    assert_eq!(stub.asked().iter().map(|asked| asked.path().to_owned()).collect::<Vec<_>>(), ["/token"]);
    assert_eq!(call().status, 403);
    assert!(stub.asked().is_empty());
    // She is told of it as of what waits for her approval.
    let begun = Instant::now();
    let told = loop {
        if let Some(told) = hook.asked().pop() {
            break serde_json::from_str::<Value>(&told.body).unwrap();
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "nobody is told");
        std::thread::yield_now();
    };
    assert_eq!((&told["event"], &told["connection"]), (&json!("connection.reconnect_needed"), &json!("crm")));
    assert_eq!(
        (&told["people"][0]["id"], told["link"].as_str().unwrap()),
        (&json!("sarah"), &*serving.tenant.url("/connect/crm"))
    );
    sarah.get("/account").shows("crm has to be connected again: agents cannot use it for you").shows("Connect again");
    sarah.get("/connections").shows("crm : It has to be connected again");
    let page = sarah.get("/connect/crm");
    page.shows("It has to be connected again");
    let events = serving.events();
    let broken: Vec<_> = events.iter().filter(|event| event.kind() == EventKind::VaultRefused).collect();
    let [broken] = broken.as_slice() else { panic!("{broken:?}") };
    assert_eq!((broken.get_user(), broken.get_resource()), (Some("user:sarah"), Some("connection:crm")));
    assert_eq!((broken.get_reason(), broken.details()["state"].as_str()), (Some("invalid_grant"), "reconnect_needed"));

    // She connects it again: to the provider, and back.
    let left = sarah.post(&at_connect(&page, "crm")).left_for.unwrap();
    let left = url::Url::parse(&left).unwrap();
    let said = |name: &str| left.query_pairs().find(|(n, _)| n == name).unwrap().1.into_owned();
    assert_eq!((left.path(), said("client_id").as_str()), ("/authorize", "bailiwick"));
    assert_eq!(said("redirect_uri"), format!("{}/connect/crm/callback", serving.issuer));
    let page = sarah.get(&format!("/connect/crm/callback?code=c-1&state={}", said("state")));
    page.shows("It is connected");
    assert_eq!(call().status, 200);
    sarah.get("/account").shows("crm It is connected");
    sarah.post(&at_connect(&page, "crm/disconnect")).shows("It is not connected");
    assert!(call().body.contains("has not connected `crm`"));
    assert!(stub.asked().iter().any(|asked| asked.path() == "/revoke"));
}

/// The form of the page of a connection, whose action is beside the page.
fn at_connect(page: &Page, action: &str) -> PageForm {
    PageForm { action: format!("/t/main/connect/{action}"), ..page.form(action) }
}

/// Another tenant of ours is the provider, and knows us by a key (`private_key_jwt`).
#[test]
fn a_provider_knows_a_connection_by_its_key() {
    let (provider, db) = (Furnished::new(), Furnished::new());
    let at = |path: &str| format!("{}{path}", provider.issuer);
    let (authorize, token, revoke) = (at("/authorize"), at("/token"), at("/revoke"));
    let create =
        ["connection", "create", "crm", "--type", "oauth2", "--base", &provider.issuer, "--issuer", &provider.issuer];
    let ends =
        ["--authorize-url", &authorize, "--token-url", &token, "--revoke-url", &revoke, "--client-id", "bailiwick"];
    let rest = ["--client-auth", "private-key-jwt", "--provider-scope", "offline_access", "--rule", "GET /**"];
    db.good(&[&create[..], &ends, &rest].concat());
    let jwk = db.json(&["connection", "key", "add", "crm"]);
    db.refused(&["connection", "key", "remove", "crm", jwk["kid"].as_str().unwrap()], "this key signs");
    let listed = db.json(&["connection", "key", "list", "crm"]);
    assert_eq!((&listed["keys"][0]["jwk"], &listed["keys"][0]["signs"]), (&jwk, &json!(true)));
    db.good(&["user", "create", "sarah@example.com", "--id", "sarah"]);
    let link = db.json(&["user", "invite", "sarah"])["link"].as_str().unwrap().to_owned();

    let set = json!({"keys": [jwk]}).to_string();
    std::fs::write(provider.directory.path().join("jwks"), set).unwrap();
    provider.good(&["user", "create", "sarah@example.com", "--id", "sarah"]);
    let back = format!("{}/connect/crm/callback", db.issuer);
    let client =
        ["client", "create", "--id", "bailiwick", "--kind", "app", "--auth", "private_key_jwt", "--jwks", "jwks"];
    let grants = ["--grant-type", "authorization_code", "--grant-type", "refresh_token", "--redirect-uri", &back];
    provider.good(&[&client[..], &grants, &["--scope", "offline_access"]].concat());
    let (provider, serving) = (provider.serve(), db.serve());
    let heard = serving.send("GET", "/connect/crm/jwks", &[], "");
    assert_eq!((heard.status, &heard.json()["keys"][0]), (200, &jwk));
    assert_eq!(serving.send("GET", "/connect/none/jwks", &[], "").status, 404);

    // Sarah goes there, allows it, and comes back: the code is given to who signed for it.
    let mut sarah = Walker::new(&serving);
    sarah.enrol(&link, PASSWORD);
    let page = sarah.get("/connect/crm");
    let left = url::Url::parse(&sarah.post(&at_connect(&page, "crm")).left_for.unwrap()).unwrap();
    let (there, env) = (&provider.tenant, env());
    let id = there.take_request(&Form::parse(left.query().unwrap()).unwrap(), &env);
    let request = there.request(&id.unwrap_or_else(|refused| panic!("{:?}", refused.refusal())), &env).unwrap();
    let authentication = Authentication { at: env.seconds(), acr: "aal1".into(), amr: vec!["pwd".into()] };
    let (_, cookie) = there.start_session("sarah", authentication, Browser::default(), &env).unwrap();
    let session = there.session_of_cookie(&cookie, &env).unwrap().unwrap();
    let to = there.complete(&request, &session, &Decided::Allowed { scopes: None }, &env).unwrap();
    let page = sarah.get(&to);
    page.shows("It is connected");
    let told = |kind: EventKind| provider.events().into_iter().filter(|event| event.kind() == kind).collect::<Vec<_>>();
    let issued = told(EventKind::TokenIssued);
    assert!(!issued.is_empty() && issued.iter().all(|event| event.get_client() == Some("app:bailiwick")), "{issued:?}");

    // And takes it away: the provider takes the grant back, by the same key.
    sarah.post(&at_connect(&page, "crm/disconnect")).shows("It is not connected");
    assert_eq!(told(EventKind::ClientRefused).len(), 0);
    let all = provider.events();
    assert!(all.iter().any(|event| event.kind() == EventKind::GrantRevoked), "{all:?}");
}

#[test]
fn connections_by_commands() {
    let db = Furnished::new();
    let (_, _) = furnish(&db, "http://127.0.0.1:9");
    let listed = db.good(&["connection", "list"]);
    let ids: Vec<&str> = listed.lines().map(|line| line.split('\t').next().unwrap()).collect();
    assert_eq!(ids, ["crm", "drive", "erp", "maps", "model"]);
    let shown = db.json(&["connection", "show", "crm"]);
    assert_eq!((&shown["id"], &shown["provider"]["type"]), (&json!("crm"), &json!("oauth2")));
    assert_eq!(shown["rules"], json!([{"methods": ["GET"], "path": "/v1/**", "scope": "crm.read"}]));
    assert_eq!((&shown["has_client_secret"], &shown["allowed"]), (&json!(true), &json!(["agent:sales"])));
    assert_eq!(db.good(&["connection", "scope", "list", "crm"]), "crm.read\tautomatic\tagent:sales");
    db.good(&["connection", "scope", "unset", "crm", "crm.read", "--for", "agent:sales"]);
    assert_eq!(db.good(&["connection", "scope", "list", "crm"]), "");
    let set = ["connection", "set", "crm", "--name", "The CRM", "--rule", "GET /v2/**", "--rule", "POST /v2/x w"];
    let changed = db.json(&[&set[..], &["--timeout", "7", "--provider-scope", "a", "--provider-scope", "b"]].concat());
    assert_eq!((&changed["name"], &changed["limits"]["timeout_s"]), (&json!("The CRM"), &json!(7)));
    assert_eq!(
        (&changed["rules"][1]["methods"], &changed["provider"]["scopes"]),
        (&json!(["POST"]), &json!(["a", "b"]))
    );
    assert_eq!(changed["has_client_secret"], true);

    // A secret comes by the standard input or a file; what is stored is not printed.
    let key = db.run(&["connection", "credential", "set", "model", "--agent", "sales"], KEY).unwrap();
    assert_eq!(key, "");
    let credentials = db.good(&["connection", "credential", "list", "model"]);
    assert!(credentials.starts_with("agent:sales\tactive\t") && !credentials.contains(KEY), "{credentials}");
    assert_eq!(db.json(&["connection", "credential", "list", "model"])["credentials"][0]["generation"], 1);
    db.good(&["connection", "disconnect", "model", "--agent", "sales"]);
    assert_eq!(db.good(&["connection", "credential", "list", "model"]), "");
    db.good(&["connection", "disallow", "crm", "agent:sales"]);
    assert_eq!(db.json(&["connection", "show", "crm"])["allowed"], json!([]));

    for (arguments, says) in [
        (&["create", "new", "--base", "https://x.example"][..], "say --type"),
        (&["create", "new", "--type", "basic"], "say --base"),
        (&["create", "new", "--type", "oauth2", "--base", "https://x.example"], "say --authorize-url"),
        (
            &["create", "new", "--type", "basic", "--base", "https://x.example", "--account", "a"],
            "--account does not go",
        ),
        (&["create", "new", "--type", "basic", "--base", "http://x.example"], "it is not https"),
        (
            &["create", "new", "--type", "basic", "--base", "https://x.example", "--rule", "GET"],
            "write methods, a path",
        ),
        (&["create", "crm", "--type", "basic", "--base", "https://x.example"], "ids are not used again"),
        (&["set", "nothing", "--name", "x"], "bailiwick connection list"),
        (&["set", "crm", "--base", "https://evil.example"], "keeps its host"),
        (&["allow", "crm", "agent:nobody"], "is not there"),
        (&["allow", "crm", "sales"], "agent:ID"),
        (&["scope", "set", "crm", "a b", "--class", "never", "--for", "agent:sales"], "is no scope"),
        (&["credential", "set", "model"], "--user <USER>|--agent <ID>"),
        (&["credential", "set", "model", "--agent", "nobody"], "bailiwick client list"),
        (&["credential", "set", "model", "--user", "nobody"], "bailiwick user list"),
        (&["credential", "set", "model", "--user", "sarah"], "of the other kind of holder"),
        (&["credential", "set", "erp", "--user", "sarah"], "--login"),
        (&["credential", "set", "drive", "--agent", "sales"], "BEGIN PRIVATE KEY"),
        (&["credential", "set", "crm", "--user", "sarah"], "as JSON"),
        (&["credential", "set", "model", "--agent", "sales", "--file", "nowhere"], "nowhere"),
        (&["disconnect", "model", "--agent", "sales"], "no such credential"),
        (&["delete", "crm"], "--yes"),
    ] {
        db.refused(&[&["connection"], arguments].concat(), says);
    }
    db.good(&["connection", "delete", "crm", "--yes"]);
    db.refused(&["connection", "show", "crm"], "there is no connection `crm`");
    // Managed connections have other ids, and nobody inherits what another was given.
    db.good(&["managed-connection", "put", "own", "--resource", &format!("{}/proxy", db.issuer)]);
    let own = ["connection", "create", "own", "--type", "basic", "--base", "https://x.example"];
    db.refused(&own, "ids are not used again");
    db.good(&["managed-connection", "allow", "own", "agent:sales"]);
    db.good(&["managed-connection", "delete", "own"]);
    db.refused(&own, "ids are not used again");
}

/// The commands of `docs/mcp.md`, before a server behind that trusts another issuer.
#[test]
fn a_connection_by_assertions_is_made_by_commands() {
    let db = Furnished::new();
    furnish(&db, "http://127.0.0.1:9");
    let (issuer, resource) = ("https://pricing.example", "https://pricing.example/mcp");
    let put = ["managed-connection", "put", "pricing", "--issuer", issuer, "--client", "sales=acme-gateway"];
    db.good(&[&put[..], &["--scope", "prices:read", "--server-resource", resource]].concat());
    db.good(&["managed-connection", "allow", "pricing", "agent:sales"]);
    let class = ["connection-scope", "set", "pricing", "prices:read", "--class", "automatic", "--for", "agent:sales"];
    db.good(&class);
    let create = ["connection", "create", "prices", "--type", "identity-assertion", "--base", issuer];
    let rest = ["--rule", "POST /mcp", "--issuer", issuer, "--token-url", "https://pricing.example/token"];
    let rest = [&rest[..], &["--client-id", "acme-gateway", "--client-secret-file", "client-secret"]].concat();
    db.refused(&[&create[..], &rest].concat(), "say --resource");
    let whole = [&create[..], &rest, &["--resource", resource]].concat();
    db.refused(&[&whole[..], &["--holder", "user"]].concat(), "user_and_agent");
    let made = db.json(&whole);
    assert_eq!((&made["provider"]["type"], &made["holder"]), (&"identity_assertion".into(), &"user_and_agent".into()));
    assert_eq!((&made["provider"]["resource"], &made["has_client_secret"]), (&resource.into(), &true.into()));
    db.good(&["connection", "allow", "prices", "agent:sales"]);
    let line = db.good(&["connection", "list"]);
    assert!(line.lines().any(|line| line.starts_with("prices\tidentity-assertion\tuser and agent\t")), "{line}");
    db.refused(&["connection", "credential", "set", "prices", "--user", "sarah"], "nobody brings credentials");
    db.refused(&["connection", "set", "prices", "--issuer", "https://other.example"], "keeps its hosts");
}

/// Reads the head of a request.
fn head(stream: &mut TcpStream) -> String {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        head.extend_from_slice(&byte);
    }
    String::from_utf8(head).unwrap()
}

#[test]
fn who_hangs_up_is_in_the_log_and_the_other_side_is_let_go() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let db = Furnished::new();
    furnish(&db, &format!("http://{}", silent.local_addr().unwrap()));
    credentials(&db);
    let serving = db.serve();
    let token = for_sarah(&serving, "model.use");
    let mut caller = TcpStream::connect(serving.address).unwrap();
    let request = format!(
        "GET /t/main/proxy/model/v1/x HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {token}\r\n\r\n",
        serving.address
    );
    caller.write_all(request.as_bytes()).unwrap();
    let (mut upstream, _) = silent.accept().unwrap();
    assert!(head(&mut upstream).contains(KEY), "the call is under way");
    drop(caller);
    // The other side, which has said nothing, sees the end of the connection.
    assert!(matches!(upstream.read(&mut [0]), Ok(0) | Err(_)));
    let begun = Instant::now();
    let ended = loop {
        if let Some(ended) = serving.events().into_iter().find(|event| event.kind() == EventKind::ProxyCalled) {
            break ended;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "the call is not in the log");
        std::thread::yield_now();
    };
    assert_eq!((ended.get_user(), ended.get_agent()), (Some("user:sarah"), Some("agent:sales")));
    assert_eq!((ended.get_action(), ended.get_reason()), (Some("GET /v1/x"), Some("caller.gone")));
}
