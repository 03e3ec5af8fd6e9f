//! The authorization server as it is served: claims of a tenant's own, limits, and a logout that ends everything.
//! F-2.2, AC-3, AUTH-6.

use crate::elsewhere::{Elsewhere, Furnished, Serving, Walker};
use crate::identity::{Heard, env};
use bailiwick::identity::{Authentication, Held, Session};
use bailiwick::identity::{
    Browser, EventKind, Outcome, REQUESTS_OF_ADDRESS, Registrants, RegistrationSettings, TenantSettings, decode,
    hash_of, verify_with,
};
use bailiwick::modules::approval::{ApprovalSettings, Approvals, Choice, Decider};
use serde_json::{Map, Value, json};
use std::time::{Duration, Instant};

const API: &str = "https://api.example/";
const CALLBACK: &str = "https://crm.example/cb";
pub(crate) const PASSWORD: &str = "correct horse battery staple";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CIBA: &str = "urn:openid:params:grant-type:ciba";
/// How long something that has to come may take. It is never waited for in full.
const COMES: Duration = Duration::from_secs(60);

/// A database with Sarah, an API, an application and a worker; the secrets of both, and the link by which she enrols.
pub(crate) struct World {
    pub(crate) db: Furnished,
    pub(crate) crm: String,
    pub(crate) worker: String,
    pub(crate) link: String,
}

impl World {
    pub(crate) fn new() -> World {
        let db = Furnished::new();
        db.good(&["user", "create", "sarah@example.com", "--id", "sarah", "--name", "Sarah Chen"]);
        db.good(&["resource", "create", API, "--id", "api", "--scope", "read"]);
        let client = |id: &str, more: &[&str]| {
            let common = ["client", "create", "--id", id, "--resource", API, "--auth", "client_secret_post"];
            let made = db.json(&[&common, more].concat());
            made["client_secret"].as_str().unwrap().to_owned()
        };
        let crm = client(
            "crm",
            &[
                "--grant-type",
                "authorization_code",
                "--grant-type",
                "refresh_token",
                "--redirect-uri",
                CALLBACK,
                "--scope",
                "openid",
                "--scope",
                "profile",
                "--scope",
                "read",
                "--scope",
                "offline_access",
                "--consent",
                "managed",
            ],
        );
        let worker = client(
            "worker",
            &[
                "--kind",
                "agent",
                "--grant-type",
                CIBA,
                "--grant-type",
                "client_credentials",
                "--scope",
                "openid",
                "--scope",
                "read",
            ],
        );
        let link = db.json(&["user", "invite", "sarah"])["link"].as_str().unwrap().to_owned();
        World { db, crm, worker, link }
    }
}

/// Where a browser begins that wants to use the application.
fn authorize(scope: &str) -> String {
    let query = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs([
            ("client_id", "crm"),
            ("response_type", "code"),
            ("redirect_uri", CALLBACK),
            ("scope", scope),
            ("resource", API),
            ("state", "s-1"),
            ("code_challenge", &hash_of(VERIFIER)),
            ("code_challenge_method", "S256"),
        ])
        .finish();
    format!("/authorize?{query}")
}

/// The tokens of the application, for whom the browser is signed in as.
pub(crate) fn tokens(serving: &Serving, browser: &mut Walker<'_>, secret: &str, scope: &str) -> Heard {
    let page = browser.get(&authorize(scope));
    let to = page.left_for.as_ref().unwrap_or_else(|| panic!("{}", page.text()));
    let to = url::Url::parse(to).unwrap();
    let code = to.query_pairs().find(|(name, _)| name == "code").unwrap_or_else(|| panic!("{to}")).1.into_owned();
    serving.post(
        "/token",
        &[
            ("grant_type", "authorization_code"),
            ("client_id", "crm"),
            ("client_secret", secret),
            ("code", &code),
            ("code_verifier", VERIFIER),
            ("redirect_uri", CALLBACK),
        ],
    )
}

pub(crate) fn refresh(serving: &Serving, secret: &str, token: &str) -> Heard {
    let pairs = [("grant_type", "refresh_token"), ("client_id", "crm"), ("client_secret", secret)];
    serving.post("/token", &[&pairs[..], &[("refresh_token", token)]].concat())
}

pub(crate) fn text<'a>(answer: &'a Value, name: &str) -> &'a str {
    answer[name].as_str().unwrap_or_else(|| panic!("no {name} in {answer}"))
}

fn claims(token: &str) -> Map<String, Value> {
    serde_json::from_slice(&decode(token.split('.').nth(1).unwrap()).unwrap()).unwrap()
}

/// Whether an API takes an access token now.
pub(crate) fn active(serving: &Serving, secret: &str, client: &str, token: &str) -> bool {
    let heard = serving.post("/introspect", &[("client_id", client), ("client_secret", secret), ("token", token)]);
    heard.json()["active"].as_bool().unwrap_or_else(|| panic!("{}", heard.body))
}

/// An administrator's program, and what it may do.
fn administrator(db: &Furnished, scopes: &[&str]) -> String {
    let place = format!("{}/admin", db.issuer);
    let mut resource = vec!["resource", "create", &place, "--id", "admin"];
    let mut client =
        vec!["client", "create", "--id", "ops", "--grant-type", "client_credentials", "--resource", &place];
    client.extend(["--auth", "client_secret_post"]);
    for scope in scopes {
        resource.extend(["--scope", scope]);
        client.extend(["--scope", scope]);
    }
    db.good(&resource);
    db.json(&client)["client_secret"].as_str().unwrap().to_owned()
}

// F-2.2: custom claims (role, territory), and `sub` as others write it.
#[test]
fn a_tenant_says_more_of_a_person_than_their_profile() {
    let world = World::new();
    let role = "https://acme.example/role";
    let set = ["claim", "set", role, "'https://acme.example/' + client.id + '/' + user.id", "--in", "id_token"];
    world.db.refused(&set, "type");
    let set = [&set[..], &["--type", "string", "--in", "userinfo"]].concat();
    assert_eq!(world.db.json(&set)["places"], json!(["id_token", "userinfo"]));
    world.db.refused(&["claim", "set", "sub", "'x'"], "`sub` is said by the server");
    world.db.refused(&["claim", "set", "x", "nobody.knows"], "undeclared reference to 'nobody'");
    world.db.good(&["claim", "set", "strong", "acr != 'aal1'", "--in", "access_token"]);
    let listed = world.db.json(&["claim", "list"]);
    assert_eq!(
        (listed["claims"][0]["name"].as_str(), listed["claims"][1]["type"].as_str()),
        (Some(role), Some("boolean"))
    );
    let ops = administrator(&world.db, &["claims:read", "claims:write"]);
    let (crm, link) = (world.crm.clone(), world.link.clone());
    let serving = world.db.serve();
    let mut browser = Walker::new(&serving);
    browser.enrol(&link, PASSWORD);
    let answer = tokens(&serving, &mut browser, &crm, "openid profile read");
    assert_eq!(answer.status, 200, "{}", answer.body);
    let answer = answer.json();
    let (id, access) = (claims(text(&answer, "id_token")), claims(text(&answer, "access_token")));
    assert_eq!((&id[role], id.get("strong")), (&json!("https://acme.example/crm/sarah"), None));
    assert_eq!((&access["strong"], access.get(role)), (&json!(false), None));
    let bearer = format!("Bearer {}", text(&answer, "access_token"));
    let userinfo = |bearer: &str| serving.send("GET", "/userinfo", &[("authorization", bearer)], "").json();
    assert_eq!(userinfo(&bearer)[role], id[role]);
    let introspected = serving.post(
        "/introspect",
        &[("client_id", "crm"), ("client_secret", &crm), ("token", text(&answer, "access_token"))],
    );
    assert_eq!(introspected.json()["strong"], false);

    // An administrator changes them while it is served; nobody else does.
    let claim = json!({"expression": "['EMEA', 'DACH']", "places": ["id_token"]});
    let mut change = serving.tenant.change(&env());
    change.relate(&serving.tenant.object(), "admin", "app:ops");
    let refused = |serving: &Serving, token: &str, body: &Value| {
        let heard = serving.with(token, "PUT", "/admin/claims/territory", body);
        (heard.status, heard.json()["error"].as_str().unwrap_or_default().to_owned())
    };
    let token = serving.token("ops", &ops, "claims:read claims:write", "/admin");
    assert_eq!(refused(&serving, &token, &claim), (403, "access_denied".into()), "it is no administrator yet");
    change.commit().unwrap();
    let reader = serving.token("ops", &ops, "claims:read", "/admin");
    assert_eq!(refused(&serving, &reader, &claim), (403, "insufficient_scope".into()));
    assert_eq!(refused(&serving, text(&answer, "access_token"), &claim), (401, "invalid_token".into()));
    for wrong in [
        json!({"expression": "1 +", "places": ["id_token"]}),
        json!({"expression": "'x'", "places": []}),
        json!({"expression": "'x'", "places": ["everywhere"]}),
        json!({"expression": "'x'", "places": ["id_token"], "name": "other"}),
        json!({"expression": "'x'", "places": ["id_token"], "typ": "string"}),
    ] {
        assert_eq!(refused(&serving, &token, &wrong), (400, "invalid_request".into()), "{wrong}");
    }
    assert_eq!(serving.with(&token, "PUT", "/admin/claims/territory", &claim).status, 200);
    let named = "/admin/claims/https%3A%2F%2Facme.example%2Frole";
    assert_eq!(serving.with(&token, "DELETE", named, &Value::Null).status, 200);
    assert_eq!(serving.with(&token, "DELETE", named, &Value::Null).status, 404);
    let listed = serving.with(&reader, "GET", "/admin/claims", &Value::Null).json();
    let names: Vec<&str> = listed["claims"].as_array().unwrap().iter().map(|c| text(c, "name")).collect();
    assert_eq!(names, ["strong", "territory"]);
    let id = claims(text(&tokens(&serving, &mut browser, &crm, "openid").json(), "id_token"));
    assert_eq!((&id["territory"], id.get(role)), (&json!(["EMEA", "DACH"]), None));
    let changed = serving.events().into_iter().rfind(|event| event.kind() == EventKind::PolicyChanged).unwrap();
    assert_eq!((changed.get_action(), changed.get_user()), (Some("claim.remove"), Some("app:ops")));
}

// AC-3: an API's limit; and requests of strangers.
#[test]
fn an_api_gives_a_client_so_many_tokens_and_an_address_so_many_requests() {
    let world = World::new();
    let ops = administrator(&world.db, &["resources:read", "resources:write"]);
    world.db.refused(&["resource", "limit", API, "--tokens-per-minute", "0"], "1 to 60000");
    let limit = |more: &[&str]| {
        let shown = world.db.json(&[&["resource", "limit", API][..], more].concat());
        (shown["tokens_per_minute"].clone(), shown["access_token_s"].clone())
    };
    assert_eq!(limit(&["--access-token-life", "90"]), (Value::Null, json!(90)));
    assert_eq!(limit(&["--tokens-per-minute", "2"]), (json!(2), json!(90)));
    assert_eq!(limit(&["--access-token-life", "none"]), (json!(2), Value::Null));
    world.db.refused(&["resource", "limit", API, "--tokens-per-minute", "many"], "`none` for no limit");
    let secret = world.worker.clone();
    let serving = world.db.serve();
    let mut change = serving.tenant.change(&env());
    change.relate(&serving.tenant.object(), "admin", "app:ops");
    change.commit().unwrap();
    let pairs = [
        ("grant_type", "client_credentials"),
        ("client_id", "worker"),
        ("client_secret", secret.as_str()),
        ("scope", "read"),
    ];
    let ask = || serving.post("/token", &pairs);
    assert_eq!([ask().status, ask().status], [200, 200]);
    let refused = ask();
    assert_eq!((refused.status, text(&refused.json(), "error")), (429, "temporarily_unavailable"));
    assert!(refused.json()["error_description"].as_str().unwrap().contains(API), "{}", refused.body);
    assert!(refused.header("retry-after").unwrap().parse::<u64>().unwrap() <= 30);
    let token = serving.token("ops", &ops, "resources:read resources:write", "/admin");
    let set = |body: Value| serving.with(&token, "PUT", "/admin/resources/api/limit", &body);
    assert_eq!(set(json!({"tokens_per_minute": 1_000_000})).status, 400);
    assert_eq!(set(json!({"access_token_s": 0})).status, 400);
    // What is left out stays, and `null` is none.
    let both = |heard: Heard| (heard.json()["tokens_per_minute"].clone(), heard.json()["access_token_s"].clone());
    assert_eq!(both(set(json!({"access_token_s": 30}))), (json!(2), json!(30)));
    assert_eq!(ask().status, 429);
    assert_eq!(both(set(json!({"tokens_per_minute": null}))), (Value::Null, json!(30)));
    assert_eq!(ask().json()["expires_in"], 30);
    assert_eq!(both(set(json!({"tokens_per_minute": 3}))), (json!(3), json!(30)));
    assert_eq!(both(set(json!({}))), (json!(3), json!(30)));
    assert_eq!(both(set(json!({"access_token_s": null}))), (json!(3), Value::Null));
    assert_eq!(both(set(json!({"tokens_per_minute": null}))), (Value::Null, Value::Null));
    assert_eq!(
        serving.with(&token, "PUT", "/admin/resources/none/limit", &json!({"tokens_per_minute": 1})).status,
        404
    );
    assert_eq!(ask().status, 200, "it is in force at once");
    let listed = serving.with(&token, "GET", "/admin/resources", &Value::Null).json();
    assert_eq!(
        (&listed["resources"][1]["tokens_per_minute"], listed["resources"].as_array().unwrap().len()),
        (&Value::Null, 2)
    );

    // Requests at the authorization endpoint are records: an address makes so many.
    let last = (0..=2 * REQUESTS_OF_ADDRESS.burst)
        .map(|_| serving.send("GET", &authorize("openid"), &[], ""))
        .find(|h| h.status != 303);
    let last = last.unwrap();
    assert_eq!((last.status, last.header("retry-after")), (429, Some("1")));
    assert!(last.body.contains("too many requests come from this address"), "{}", last.body);
}

// Without its check, everybody holds a scope: that takes what it takes to give it to all.
#[test]
fn a_check_is_dropped_by_who_may_give_the_scope_to_all() {
    let world = World::new();
    let ops = administrator(&world.db, &["resources:read", "resources:write", "roles:write"]);
    let serving = world.db.serve();
    let mut change = serving.tenant.change(&env());
    change.relate(&serving.tenant.object(), "admin", "app:ops");
    change.commit().unwrap();
    let token = serving.token("ops", &ops, "resources:read resources:write", "/admin");
    let with_roles = serving.token("ops", &ops, "resources:read resources:write roles:write", "/admin");
    let scope = |checked: bool| json!({"name": "discounts", "description": "Discounts", "checked": checked});
    let made = json!({"id": "files", "identifier": "https://files.example/", "scopes": [scope(true)]});
    assert_eq!(serving.with(&token, "POST", "/admin/resources", &made).status, 200);
    let put = |token: &str, scopes: Value| {
        serving.with(token, "PUT", "/admin/resources/files", &json!({"name": "Files", "scopes": scopes}))
    };
    assert_eq!(put(&token, json!([scope(true)])).status, 200, "what stays checked");
    for refused in [
        put(&token, json!([scope(false)])),
        put(&token, json!([])),
        serving.with(&token, "DELETE", "/admin/resources/files", &Value::Null),
    ] {
        assert_eq!((refused.status, text(&refused.json(), "error")), (403, "access_denied"));
        assert!(refused.body.contains("roles:write") && refused.body.contains("discounts"), "{}", refused.body);
    }
    assert_eq!(put(&with_roles, json!([scope(false)])).status, 200);
    assert_eq!(put(&token, json!([scope(true)])).status, 200, "to check it again takes nothing");
    assert_eq!(serving.with(&with_roles, "DELETE", "/admin/resources/files", &Value::Null).status, 200);
}

// MCPM-2: RFC 7591, off until it is turned on, and then for whom the tenant says.
#[test]
fn clients_register_where_the_tenant_lets_them() {
    let world = World::new();
    let ops = administrator(&world.db, &["clients:register"]);
    let serving = world.db.serve();
    let metadata = || serving.send("GET", "/.well-known/openid-configuration", &[], "").json();
    let wanted = json!({"redirect_uris": [CALLBACK], "token_endpoint_auth_method": "client_secret_post"});
    let register = |token: &str| serving.with(token, "POST", "/register", &wanted);
    let set = |who| {
        let registration = RegistrationSettings { who, ..RegistrationSettings::default() };
        let settings = TenantSettings { registration, ..serving.tenant.settings().clone() };
        serving.tenant.change_settings(settings, &env()).unwrap();
    };
    let token = serving.token("ops", &ops, "clients:register", "/admin");
    assert_eq!((register(&token).status, metadata().get("registration_endpoint")), (404, None));
    set(Registrants::Administrators);
    assert!(metadata()["registration_endpoint"].as_str().unwrap().ends_with("/register"));
    assert_eq!(register("none").status, 401);
    assert_eq!(register(&token).status, 403, "it is no administrator yet");
    let mut change = serving.tenant.change(&env());
    change.relate(&serving.tenant.object(), "admin", "app:ops");
    change.commit().unwrap();
    let registered = register(&token);
    assert_eq!(registered.status, 201, "{}", registered.body);
    let told = registered.json();
    let known = active(&serving, text(&told, "client_secret"), text(&told, "client_id"), "none");
    assert!(!known, "it is known by its secret, and asks of no token of ours");
    set(Registrants::Anybody);
    assert_eq!(register("none").status, 201);
    let body = [("content-type", "application/json")];
    let heard = serving.send("POST", "/register", &body, "{");
    assert_eq!((heard.status, text(&heard.json(), "error")), (400, "invalid_client_metadata"));
}

/// A person who has just signed in with two factors.
fn session(serving: &Serving) -> Held<Session> {
    let authentication = Authentication { at: env().seconds(), acr: "phr".into(), amr: vec!["hwk".into()] };
    let (_, cookie) = serving.tenant.start_session("sarah", authentication, Browser::default(), &env()).unwrap();
    serving.tenant.session_of_cookie(&cookie, &env()).unwrap().unwrap()
}

/// The worker's token for Sarah, which she allows on another device.
pub(crate) fn by_ciba(serving: &Serving, secret: &str) -> String {
    let client = [("client_id", "worker"), ("client_secret", secret)];
    let pairs = [("scope", "openid read"), ("login_hint", "sarah@example.com"), ("resource", API)];
    let asked = serving.post("/bc-authorize", &[&client[..], &pairs].concat());
    assert_eq!(asked.status, 200, "{}", asked.body);
    let (approvals, session) = (Approvals::new(ApprovalSettings::default()), session(serving));
    let decider = Decider { session: &session };
    let (waiting, _) = approvals.waiting(&serving.tenant, decider, &env()).unwrap();
    let [request] = waiting.as_slice() else { panic!("{waiting:?}") };
    let choice = Choice::Approve { scopes: request.scopes.clone(), details: vec![] };
    approvals.decide(&serving.tenant, decider, (&request.id, &request.shown_hash), &choice, &env()).unwrap();
    let asked = asked.json();
    let pairs = [("grant_type", CIBA), ("auth_req_id", text(&asked, "auth_req_id"))];
    let heard = serving.post("/token", &[&client[..], &pairs].concat());
    assert_eq!(heard.status, 200, "{}", heard.body);
    text(&heard.json(), "access_token").to_owned()
}

/// The logout tokens that the application was sent, once there are so many.
fn told(stub: &Elsewhere, count: usize) -> Vec<String> {
    let (mut told, begun) = (Vec::new(), Instant::now());
    while told.len() < count {
        assert!(begun.elapsed() < COMES, "{count} logouts were to come, and {} did", told.len());
        for asked in stub.asked() {
            assert_eq!(asked.header("content-type"), "application/x-www-form-urlencoded");
            let form: Vec<_> = url::form_urlencoded::parse(asked.body.as_bytes()).into_owned().collect();
            let [(name, token)] = form.as_slice() else { panic!("{form:?}") };
            assert_eq!((name.as_str(), asked.path()), ("logout_token", "/backchannel"));
            told.push(token.clone());
        }
        std::thread::yield_now();
    }
    told
}

// AUTH-6: an application in a browser and a worker in the background, for one person: both end after logout.
#[test]
fn a_logout_ends_the_browser_application_and_the_worker_and_both_are_told() {
    let world = World::new();
    let stub = Elsewhere::start(&world.db.runtime, |_| (200, Value::Null));
    let told_at = format!("{}/backchannel", stub.origin);
    world.db.refused(&["client", "set", "crm", "--backchannel-logout-uri", "http://crm.example/out"], "https");
    world.db.good(&["client", "set", "crm", "--backchannel-logout-uri", &told_at]);
    let (crm, worker, link) = (world.crm.clone(), world.worker.clone(), world.link.clone());
    let serving = world.db.serve();
    let metadata = serving.send("GET", "/.well-known/openid-configuration", &[], "").json();
    for name in ["backchannel_logout_supported", "backchannel_logout_session_supported"] {
        assert_eq!(metadata[name], true);
    }

    // One logout: what was given in that session, in the browser and for the background, is over.
    let mut browser = Walker::new(&serving);
    browser.enrol(&link, PASSWORD);
    let front = tokens(&serving, &mut browser, &crm, "openid read").json();
    let background = tokens(&serving, &mut browser, &crm, "openid read offline_access").json();
    let background = refresh(&serving, &crm, text(&background, "refresh_token")).json();
    let sid = claims(text(&front, "id_token"))["sid"].clone();
    assert!(active(&serving, &crm, "crm", text(&front, "access_token")));
    let page = browser.get("/account");
    browser.post(&page.forms("/logout")[0]).shows("You are signed out");
    for token in [text(&front, "access_token"), text(&background, "access_token")] {
        assert!(!active(&serving, &crm, "crm", token));
    }
    for token in [text(&front, "refresh_token"), text(&background, "refresh_token")] {
        assert_eq!(refresh(&serving, &crm, token).refusal(), (400, "invalid_grant".into()));
    }
    let keys = serving.send("GET", "/jwks", &[], "").json();
    let token = told(&stub, 1).remove(0);
    let verified = verify_with(&token, &keys).unwrap();
    assert_eq!((verified.text("iss"), verified.text("sub")), (Some(serving.issuer.as_str()), Some("sarah")));
    assert_eq!(
        (verified.audience(), &verified.claims["sid"], &verified.header["typ"]),
        (vec!["crm"], &sid, &json!("logout+jwt"))
    );
    assert!(verified.claims["events"]["http://schemas.openid.net/event/backchannel-logout"].is_object());

    // Everywhere: two browsers, and a worker that has no session of its own.
    let mut one = Walker::new(&serving);
    let mut two = Walker::new(&serving);
    let mut given = Vec::new();
    for browser in [&mut one, &mut two] {
        let page = browser.get("/login");
        let form = page.form("/login/password").with("name", "sarah@example.com").with("password", PASSWORD);
        browser.post(&form).shows("Your account");
        given.push(tokens(&serving, browser, &crm, "openid read offline_access").json());
    }
    let alone = by_ciba(&serving, &worker);
    assert!(active(&serving, &worker, "worker", &alone));
    let page = one.get("/account");
    one.post(&page.form("/account/everywhere")).shows("You are signed out");
    assert!(!one.is_signed_in());
    two.get("/account").form("/login/password");
    assert!(!active(&serving, &worker, "worker", &alone), "the worker's is over too");
    for tokens in &given {
        assert!(!active(&serving, &crm, "crm", text(tokens, "access_token")));
        assert_eq!(refresh(&serving, &crm, text(tokens, "refresh_token")).refusal().1, "invalid_grant");
    }
    let mut sids: Vec<Value> = told(&stub, 2).iter().map(|token| claims(token)["sid"].clone()).collect();
    let mut expected: Vec<Value> = given.iter().map(|tokens| claims(text(tokens, "id_token"))["sid"].clone()).collect();
    sids.sort_by_key(Value::to_string);
    expected.sort_by_key(Value::to_string);
    assert_eq!(sids, expected);
    let begun = Instant::now();
    let noted = || {
        let events = serving.events();
        events.iter().filter(|e| e.kind() == EventKind::LogoutTold && e.outcome() == Outcome::Done).count()
    };
    while noted() < 3 {
        assert!(begun.elapsed() < COMES, "each is noted");
        std::thread::yield_now();
    }
}
