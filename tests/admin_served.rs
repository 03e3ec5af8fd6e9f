//! A tenant's administration over HTTP while it is served: who may, that what is changed is in force at once, and that the log
//! says who did it.

use crate::elsewhere::{Furnished, Serving, Walker};
use crate::identity::{Heard, env};
use bailiwick::identity::{Client, ClientKind, Event, EventKind, Resource, Scope, hash_of};
use serde_json::{Value, json};

const API: &str = "https://api.example/";
const CALLBACK: &str = "https://desk.example/cb";
pub(crate) const PASSWORD: &str = "correct horse battery staple";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

/// A tenant with an administrator's program, one that is no administrator, a person who is none, and another tenant with an
/// administrator's program of its own.
pub(crate) struct Desk {
    pub(crate) serving: Serving,
    /// The secret of the administrator's program.
    pub(crate) secret: String,
    /// Its tokens: that may all, and that may only read.
    pub(crate) admin: String,
    pub(crate) reader: String,
    /// Those of who may not: with the scopes, and without being an administrator here.
    pub(crate) strangers: Vec<(&'static str, String)>,
}

impl Desk {
    /// Who asks has tokens with `read` and `write`.
    pub(crate) fn new(scopes: [&str; 2], furnish: impl FnOnce(&Furnished)) -> Desk {
        let db = Furnished::new();
        let program = |issuer: &str, tenant: &str, id: &str, more: &[&str]| {
            let place = format!("{issuer}/admin");
            let auth = ["--auth", "client_secret_post", "--scope", scopes[0], "--scope", scopes[1]];
            let common = ["client", "create", "--id", id, "--tenant", tenant, "--resource", &place];
            db.json(&[&common[..], &auth, more].concat())["client_secret"].as_str().unwrap().to_owned()
        };
        let resource = |issuer: &str, tenant: &str| {
            let (place, common) = (format!("{issuer}/admin"), ["--id", "admin", "--tenant", tenant]);
            let scopes = ["--scope", scopes[0], "--scope", scopes[1]];
            db.good(&[&["resource", "create", &place][..], &common, &scopes].concat());
        };
        furnish(&db);
        let by_itself = ["--grant-type", "client_credentials"];
        resource(&db.issuer, "main");
        let ops = program(&db.issuer, "main", "ops", &[&by_itself[..], &["--admin"]].concat());
        let clerk = program(&db.issuer, "main", "clerk", &by_itself);
        let code = ["--grant-type", "authorization_code", "--redirect-uri", CALLBACK, "--consent", "managed"];
        let desk = program(&db.issuer, "main", "desk", &code);
        db.good(&["user", "create", "paul@example.com", "--id", "paul"]);
        let link = db.json(&["user", "invite", "paul"])["link"].as_str().unwrap().to_owned();
        let other = db.issuer.replace("/t/main", "/t/other");
        db.good(&["tenant", "create", "other", "--issuer", &other]);
        resource(&other, "other");
        let theirs = program(&other, "other", "ops", &[&by_itself[..], &["--admin"]].concat());
        let serving = db.serve();
        let both = scopes.join(" ");
        let mut browser = Walker::new(&serving);
        browser.enrol(&link, PASSWORD);
        let strangers = vec![
            ("no administrator", serving.token("clerk", &clerk, &both, "/admin")),
            ("a person who is none", of_person(&serving, &mut browser, &desk, &both)),
            ("another tenant's", of_other(&serving, &theirs, &both)),
            ("nobody", "none".to_owned()),
        ];
        let admin = serving.token("ops", &ops, scopes[1], "/admin");
        let reader = serving.token("ops", &ops, scopes[0], "/admin");
        Desk { serving, secret: ops, admin, reader, strangers }
    }

    /// The administrator asks, and is answered.
    #[track_caller]
    pub(crate) fn good(&self, method: &str, path: &str, body: &Value) -> Value {
        let heard = self.ask(&self.admin, method, path, body);
        assert_eq!(heard.status, 200, "{method} {path}: {}", heard.body);
        heard.json()
    }

    /// Who only reads asks, and is answered.
    #[track_caller]
    pub(crate) fn seen(&self, path: &str) -> Value {
        let heard = self.ask(&self.reader, "GET", path, &Value::Null);
        assert_eq!(heard.status, 200, "{path}: {}", heard.body);
        heard.json()
    }

    /// The administrator asks, and is refused: the status, and what the text says.
    #[track_caller]
    pub(crate) fn refused(&self, method: &str, path: &str, body: &Value, (status, says): (u16, &str)) {
        let heard = self.ask(&self.admin, method, path, body);
        assert_eq!(heard.status, status, "{method} {path}: {}", heard.body);
        assert!(heard.json()["error_description"].as_str().unwrap().contains(says), "{}", heard.body);
    }

    /// Nobody may ask this but the administrator; who reads may, when it changes nothing.
    #[track_caller]
    pub(crate) fn only_administrators(&self, method: &str, path: &str, body: &Value) {
        for (who, token) in &self.strangers {
            let status = self.ask(token, method, path, body).status;
            assert!(matches!(status, 401 | 403), "{who}: {method} {path}: {status}");
        }
        let heard = self.ask(&self.reader, method, path, body);
        if method == "GET" {
            assert_eq!(heard.status, 200, "{}", heard.body);
        } else {
            assert_eq!(heard.refusal(), (403, "insufficient_scope".into()), "{method} {path}");
        }
    }

    fn ask(&self, token: &str, method: &str, path: &str, body: &Value) -> Heard {
        self.serving.with(token, method, path, body)
    }

    /// The last event of a kind.
    #[track_caller]
    pub(crate) fn last(&self, kind: EventKind) -> Event {
        self.serving.events().into_iter().rfind(|event| event.kind() == kind).unwrap()
    }
}

/// A token for the person who is signed in in a browser.
fn of_person(serving: &Serving, browser: &mut Walker<'_>, secret: &str, scope: &str) -> String {
    let query = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs([
            ("client_id", "desk"),
            ("response_type", "code"),
            ("redirect_uri", CALLBACK),
            ("scope", scope),
            ("resource", &format!("{}/admin", serving.issuer)),
            ("state", "s-1"),
            ("code_challenge", &hash_of(VERIFIER)),
            ("code_challenge_method", "S256"),
        ])
        .finish();
    let page = browser.get(&format!("/authorize?{query}"));
    let to = url::Url::parse(page.left_for.as_ref().unwrap_or_else(|| panic!("{}", page.text()))).unwrap();
    let code = to.query_pairs().find(|(name, _)| name == "code").unwrap_or_else(|| panic!("{to}")).1.into_owned();
    let heard = serving.post(
        "/token",
        &[
            ("grant_type", "authorization_code"),
            ("client_id", "desk"),
            ("client_secret", secret),
            ("code", &code),
            ("code_verifier", VERIFIER),
            ("redirect_uri", CALLBACK),
        ],
    );
    heard.json()["access_token"].as_str().unwrap_or_else(|| panic!("{}", heard.body)).to_owned()
}

/// A token of the other tenant's administrator.
fn of_other(serving: &Serving, secret: &str, scope: &str) -> String {
    let place = format!("{}/admin", serving.issuer.replace("/t/main", "/t/other"));
    let pairs = [
        ("grant_type", "client_credentials"),
        ("client_id", "ops"),
        ("client_secret", secret),
        ("scope", scope),
        ("resource", &place),
    ];
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let heard =
        crate::identity::send(serving.address, &serving.address.to_string(), "POST", "/t/other/token", &form, &body);
    heard.json()["access_token"].as_str().unwrap_or_else(|| panic!("{}", heard.body)).to_owned()
}

/// Whether a client gets a token for itself, and why not.
fn gets_token(serving: &Serving, client: &str, secret: &str, scope: &str) -> (u16, String) {
    let pairs = [("grant_type", "client_credentials"), ("client_id", client), ("client_secret", secret)];
    let heard = serving.post("/token", &[&pairs[..], &[("scope", scope), ("resource", API)]].concat());
    (heard.status, heard.json()["error"].as_str().unwrap_or_default().to_owned())
}

/// A desk with an API, and an application for it that is wanted.
fn with_api() -> (Desk, Value) {
    let desk = Desk::new(["clients:read", "clients:write"], |db| {
        db.good(&["resource", "create", API, "--id", "api", "--scope", "read", "--scope", "write"]);
        db.good(&["client", "create", "--id", "bot", "--kind", "agent"]);
    });
    let settings = json!({
        "name": "Billing", "grant_types": ["client_credentials"], "scopes": ["read"], "resources": [API],
        "auth_methods": ["client_secret_post"],
    });
    (desk, json!({"id": "billing", "settings": settings}))
}

#[test]
fn clients_are_made_and_changed() {
    let (desk, wanted) = with_api();
    let none = Value::Null;
    desk.only_administrators("POST", "/admin/clients", &wanted);
    let made = desk.good("POST", "/admin/clients", &wanted);
    let first = made["client_secret"].as_str().unwrap().to_owned();
    let ok = (200, String::new());
    assert_eq!(gets_token(&desk.serving, "billing", &first, "read"), ok);
    desk.refused("POST", "/admin/clients", &wanted, (409, "never given again"));
    for (wrong, says) in [
        (json!({"id": "a b", "settings": {}}), "cannot be an id"),
        (json!({"settings": {"scope": ["read"]}}), "unknown field `scope`"),
        (json!({"settings": {"redirect_uris": ["http://desk.example/cb"]}}), "cannot be a redirect URI"),
        (json!({"settings": {}, "kind": "agent"}), "unknown field `kind`"),
        (json!({"id": "x"}), "settings"),
    ] {
        desk.refused("POST", "/admin/clients", &wrong, (400, says));
    }

    // It is shown without secrets, and changed while it is served.
    for path in ["/admin/clients", "/admin/clients/billing"] {
        desk.only_administrators("GET", path, &none);
    }
    let shown = desk.good("GET", "/admin/clients/billing", &none);
    assert_eq!((&shown["settings"]["scopes"], &shown["active"]), (&json!(["read"]), &json!(true)));
    assert!(!shown.to_string().contains("hash") && !shown.to_string().contains(&first), "{shown}");
    let mut wider = shown["settings"].clone();
    wider["scopes"] = json!(["read", "write"]);
    assert_eq!(gets_token(&desk.serving, "billing", &first, "write").1, "invalid_scope");
    desk.only_administrators("PUT", "/admin/clients/billing", &wider);
    desk.good("PUT", "/admin/clients/billing", &wider);
    assert_eq!(gets_token(&desk.serving, "billing", &first, "write"), ok);
    assert_eq!(desk.last(EventKind::ClientChanged).get_user(), Some("app:ops"));
    desk.refused("PUT", "/admin/clients/nobody", &wider, (404, "no such client"));

    // One after the other, without those that are gone.
    desk.good("DELETE", "/admin/clients/billing", &none);
    let ids = |page: &Value| page["clients"].as_array().unwrap().iter().map(|c| c["id"].clone()).collect::<Vec<_>>();
    let page = desk.good("GET", "/admin/clients?limit=2", &none);
    assert_eq!((ids(&page), &page["next"]), (vec![json!("bot"), json!("clerk")], &json!("clerk")));
    let page = desk.good("GET", "/admin/clients?after=clerk", &none);
    assert_eq!((ids(&page), &page["next"]), (vec![json!("desk"), json!("ops")], &none));
}

#[test]
fn secrets_follow_one_another_and_clients_end() {
    let (desk, wanted) = with_api();
    let (none, ok) = (Value::Null, (200, String::new()));
    let first = desk.good("POST", "/admin/clients", &wanted)["client_secret"].as_str().unwrap().to_owned();
    let shown = desk.good("GET", "/admin/clients/billing", &none);

    // Another secret, which is answered once; the first goes.
    let secrets = "/admin/clients/billing/secrets";
    desk.only_administrators("POST", secrets, &json!({}));
    let second = desk.good("POST", secrets, &json!({"life_s": 3600}));
    let second = second["client_secret"].as_str().unwrap();
    assert_eq!(gets_token(&desk.serving, "billing", second, "read"), ok);
    desk.refused("POST", secrets, &json!({"life_s": 0}), (400, "a second at least"));
    let old = shown["secrets"][0]["id"].as_str().unwrap();
    desk.only_administrators("DELETE", &format!("{secrets}/{old}"), &none);
    desk.good("DELETE", &format!("{secrets}/{old}"), &none);
    desk.refused("DELETE", &format!("{secrets}/{old}"), &none, (404, "no such secret"));
    assert_eq!(gets_token(&desk.serving, "billing", &first, "read").1, "invalid_client");
    let taken = desk.last(EventKind::ClientChanged);
    assert_eq!((taken.get_action(), taken.get_client()), (Some("secret.remove"), Some("app:billing")));
    assert_eq!(taken.get_user(), Some("app:ops"));
    let told = desk.serving.events().iter().map(|event| format!("{event:?}")).collect::<String>();
    assert!(!told.contains(second) && !told.contains(&first), "no event has a secret");

    // For now nothing, again, and never more.
    let suspended = "/admin/clients/billing/suspended";
    desk.only_administrators("PUT", suspended, &json!({"suspended": true}));
    assert_eq!(desk.good("PUT", suspended, &json!({"suspended": true}))["active"], false);
    assert_ne!(gets_token(&desk.serving, "billing", second, "read").0, 200);
    assert_eq!(desk.good("PUT", suspended, &json!({"suspended": false}))["active"], true);
    assert_eq!(gets_token(&desk.serving, "billing", second, "read"), ok);
    desk.only_administrators("DELETE", "/admin/clients/billing", &none);
    desk.good("DELETE", "/admin/clients/billing", &none);
    assert_eq!(gets_token(&desk.serving, "billing", second, "read").1, "invalid_client");
    assert_eq!(desk.last(EventKind::ClientDeleted).get_user(), Some("app:ops"));
    desk.refused("GET", "/admin/clients/billing", &none, (404, "no such client"));
}

#[test]
fn a_client_that_administers_and_an_agent_that_is_registered() {
    let desk = Desk::new(["clients:read", "clients:write"], |db| {
        db.good(&["agent", "register", "--id", "sales", "--name", "Sales"]);
        db.good(&["client", "create", "--id", "bot", "--kind", "agent"]);
    });
    let place = format!("{}/admin", desk.serving.issuer);
    let settings = json!({
        "grant_types": ["client_credentials"], "scopes": ["clients:read"], "resources": [place],
        "auth_methods": ["client_secret_post"],
    });
    let made = desk.good("POST", "/admin/clients", &json!({"id": "directory", "admin": true, "settings": settings}));
    let token = desk.serving.token("directory", made["client_secret"].as_str().unwrap(), "clients:read", "/admin");
    assert_eq!(desk.serving.with(&token, "GET", "/admin/clients", &Value::Null).status, 200);
    let event = desk.last(EventKind::RoleGiven);
    assert_eq!((event.get_user(), event.get_client()), (Some("app:ops"), Some("app:directory")));

    // The registry keeps an agent's secrets and life; what it may ask for is changed here.
    let says = (409, "`/admin/agents/sales`");
    desk.refused("DELETE", "/admin/clients/sales", &Value::Null, says);
    desk.refused("POST", "/admin/clients/sales/secrets", &json!({}), says);
    desk.refused("PUT", "/admin/clients/sales/suspended", &json!({"suspended": true}), says);
    let mut settings = desk.good("GET", "/admin/clients/sales", &Value::Null)["settings"].clone();
    settings["grant_types"] = json!(["client_credentials"]);
    desk.good("PUT", "/admin/clients/sales", &settings);
    settings["name"] = json!("Another");
    desk.refused("PUT", "/admin/clients/sales", &settings, says);
    // One that nobody registered is a client as others are.
    assert!(desk.good("POST", "/admin/clients/bot/secrets", &json!({}))["client_secret"].is_string());
    desk.good("DELETE", "/admin/clients/bot", &Value::Null);
}

#[test]
fn who_writes_clients_reaches_none_that_may_do_more() {
    let (desk, wanted) = with_api();
    let (none, tenant) = (Value::Null, &desk.serving.tenant);
    let place = tenant.url("/admin");
    let held = tenant.resource(&place).unwrap().unwrap();
    let scope = |name: &str| Scope { name: name.into(), description: name.into(), checked: false };
    let scopes = ["clients:read", "clients:write", "keys:read", "keys:write"].map(scope).to_vec();
    tenant.put_resource(&Resource { scopes, ..held.value.clone() }, &env()).unwrap();
    let client = |scopes: &[&str], resources: &[&str]| {
        let auth = ["client_secret_post"];
        json!({"name": "Some", "grant_types": ["client_credentials"], "scopes": scopes, "resources": resources, "auth_methods": auth})
    };
    let (may_not, at) = (403, [place.as_str(), API]);
    let make = |id: &str, settings: &Value| json!({"id": id, "admin": true, "settings": settings});
    for (more, says) in [("keys:write", "`keys:write`"), ("keys:read", "`keys:read`"), ("soon:write", "`soon:write`")] {
        let wanted = make("more", &client(&["clients:read", "read", more], &at));
        desk.refused("POST", "/admin/clients", &wanted, (may_not, says));
    }
    desk.refused("GET", "/admin/clients/more", &none, (404, "no such client"));
    desk.good("POST", "/admin/clients", &make("as-much", &client(&["openid", "clients:read", "read"], &at)));
    desk.good("POST", "/admin/clients", &wanted);
    let path = "/admin/clients/billing";
    desk.good("PUT", path, &client(&["read", "keys:write"], &[API])); // nothing that the API or anybody has
    desk.refused("PUT", path, &client(&["read", "keys:write"], &at), (may_not, "`keys:write`"));

    // One that may do more is seen, and neither changed nor become.
    let boss = Client {
        scopes: vec!["keys:write".into()],
        resources: vec![place.clone()],
        grant_types: vec!["client_credentials".into()],
        ..Client::new("boss", ClientKind::App, "Boss")
    };
    tenant.create_client(&boss, &env()).unwrap();
    let (id, _) = tenant.add_secret("boss", None, &env()).unwrap();
    let boss = "/admin/clients/boss";
    let settings = desk.good("GET", boss, &none)["settings"].clone();
    let secret = format!("{boss}/secrets/{id}");
    let (secret, place) = (secret.as_str(), place.as_str());
    let acts = [
        ("PUT", boss, client(&["clients:read"], &[place])),
        ("PUT", boss, settings.clone()),
        ("POST", "/admin/clients/boss/secrets", json!({})),
        ("DELETE", secret, none.clone()),
        ("PUT", "/admin/clients/boss/suspended", json!({"suspended": true})),
        ("DELETE", boss, none.clone()),
    ];
    for (method, path, body) in &acts {
        desk.refused(method, path, body, (may_not, "`keys:write` at the administration"));
    }
    assert_eq!(desk.good("GET", boss, &none)["settings"], settings, "nothing was changed");

    // With a token that has as much, all of it is done.
    let held = tenant.client("ops").unwrap();
    let scopes = ["clients:write", "keys:write"].map(str::to_owned).to_vec();
    tenant.change_client(&held, &Client { scopes, ..held.value.clone() }, &env()).unwrap();
    let token = desk.serving.token("ops", &desk.secret, "clients:write keys:write", "/admin");
    for (method, path, body) in acts.iter().skip(1) {
        let heard = desk.serving.with(&token, method, path, body);
        assert_eq!(heard.status, 200, "{method} {path}: {}", heard.body);
    }
}

#[test]
fn keys_are_rotated_and_replaced_while_they_sign() {
    let desk = Desk::new(["keys:read", "keys:write"], |_| {});
    let none = Value::Null;
    let published = || desk.serving.send("GET", "/jwks", &[], "").json()["keys"].as_array().unwrap().len();
    desk.only_administrators("GET", "/admin/keys", &none);
    let listed = desk.good("GET", "/admin/keys", &none);
    let first = listed["keys"][0]["kid"].as_str().unwrap().to_owned();
    assert_eq!((&listed["keys"][0]["state"], listed["keys"].as_array().unwrap().len()), (&json!("current"), 1));
    assert_eq!(listed["keys"][0]["alg"], "ES256");
    assert!(!listed.to_string().contains("sealed"), "{listed}");

    // The next is published at once, and signs when every cache has it.
    desk.only_administrators("POST", "/admin/keys/rotate", &none);
    let rotated = desk.good("POST", "/admin/keys/rotate", &none);
    assert_eq!((&rotated["keys"][1]["state"], published()), (&json!("next"), 2));
    let event = desk.last(EventKind::KeyCreated);
    assert_eq!((event.get_user(), event.get_resource()), (Some("app:ops"), rotated["keys"][1]["kid"].as_str()));
    desk.refused("POST", "/admin/keys/rotate", &none, (409, "published already"));

    // In an emergency all go at once, and every token with them: the one that asked for it too.
    desk.only_administrators("POST", "/admin/keys/replace", &none);
    let replaced = desk.good("POST", "/admin/keys/replace", &none);
    assert_eq!((&replaced["keys"][0]["state"], published()), (&json!("current"), 1));
    assert_ne!(replaced["keys"][0]["kid"], first.as_str());
    let event = desk.last(EventKind::KeyRotated);
    assert_eq!((event.get_user(), event.get_reason()), (Some("app:ops"), Some("emergency")));
    for token in [&desk.admin, &desk.reader] {
        assert_eq!(desk.serving.with(token, "GET", "/admin/keys", &none).refusal(), (401, "invalid_token".into()));
    }
}

#[test]
fn settings_hold_from_the_next_token_on() {
    let desk = Desk::new(["settings:read", "settings:write"], |_| {});
    let none = Value::Null;
    desk.only_administrators("GET", "/admin/settings", &none);
    let shown = desk.good("GET", "/admin/settings", &none);
    assert_eq!((&shown["tenant"], &shown["settings"]["access_token_s"]), (&json!("main"), &json!(600)));
    let mut wanted = shown["settings"].clone();
    wanted["access_token_s"] = json!(60);
    wanted["registration"]["who"] = json!("anybody");
    desk.only_administrators("PUT", "/admin/settings", &wanted);
    assert_eq!(desk.good("PUT", "/admin/settings", &wanted)["settings"], wanted);
    let place = format!("{}/admin", desk.serving.issuer);
    let pairs = [("grant_type", "client_credentials"), ("client_id", "ops"), ("client_secret", &desk.secret)];
    let heard = desk.serving.post("/token", &[&pairs[..], &[("resource", &place)]].concat());
    assert_eq!(heard.json()["expires_in"], 60, "{}", heard.body);
    let other = desk.serving.tenant.identity().named("other").unwrap();
    assert_eq!(other.settings().access_token_s, 600, "another tenant has its own");
    let event = desk.last(EventKind::TenantChanged);
    assert_eq!((event.get_user(), event.get_resource()), (Some("app:ops"), Some("tenant:main")));
    let body = [("content-type", "application/json")];
    let metadata = json!({"redirect_uris": [CALLBACK], "token_endpoint_auth_method": "client_secret_post"});
    let registered = desk.serving.send("POST", "/register", &body, &metadata.to_string());
    assert_eq!(registered.status, 201, "{}", registered.body);
    for (wrong, says) in [
        (json!({"code_s": 601}), "`code_s` is 1 to 600 seconds"),
        (json!({"access_token_s": 0}), "`access_token_s`"),
        (json!({"session_s": u64::MAX}), "`session_s`"),
        (json!({"default_resource": "relative"}), "an absolute URI"),
        (json!({"access_token": 60}), "unknown field `access_token`"),
        (json!({"registration": {"clients_max": 1_000_000}}), "registration.clients_max"),
    ] {
        desk.refused("PUT", "/admin/settings", &wrong, (400, says));
    }
    assert_eq!(desk.good("GET", "/admin/settings", &none)["settings"], wanted, "what is refused changes nothing");
    // What is left out is the default again.
    assert_eq!(desk.good("PUT", "/admin/settings", &json!({}))["settings"], shown["settings"]);
}
