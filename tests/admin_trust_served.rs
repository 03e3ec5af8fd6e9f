//! Managed connections, trusted issuers, people, resources and providers, administered over HTTP while they are used.

use crate::admin_served::{Desk, PASSWORD};
use crate::elsewhere::{Serving, Walker};
use crate::identity::{Heard, env};
use bailiwick::engine::Decision;
use bailiwick::identity::{Authentication, Browser, Decided, EventKind, hash_of};
use serde_json::{Value, json};

const API: &str = "https://api.example/";
const CALLBACK: &str = "https://sales.example/cb";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS: &str = "urn:ietf:params:oauth:token-type:access_token";

/// An access token of the person Paul for the agent.
fn of_paul(serving: &Serving, secret: &str) -> String {
    let (tenant, challenge) = (&serving.tenant, hash_of(VERIFIER));
    let query = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs([
            ("client_id", "sales"),
            ("response_type", "code"),
            ("redirect_uri", CALLBACK),
            ("scope", "read write"),
            ("resource", API),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ])
        .finish();
    let heard = serving.send("GET", &format!("/authorize?{query}"), &[], "");
    let to = heard.header("location").unwrap_or_else(|| panic!("{}", heard.body));
    let to = url::Url::parse(&serving.issuer).unwrap().join(to).unwrap();
    let id = to.query_pairs().find(|(name, _)| name == "request").unwrap().1.into_owned();
    let request = tenant.request(&id, &env()).unwrap();
    let authentication = Authentication { at: env().seconds(), acr: "phr".into(), amr: vec!["hwk".into()] };
    let (_, cookie) = tenant.start_session("paul", authentication, Browser::default(), &env()).unwrap();
    let session = tenant.session_of_cookie(&cookie, &env()).unwrap().unwrap();
    let to = url::Url::parse(&tenant.complete(&request, &session, &Decided::NotAsked, &env()).unwrap()).unwrap();
    let code = to.query_pairs().find(|(name, _)| name == "code").unwrap().1.into_owned();
    let pairs = [("grant_type", "authorization_code"), ("code", &code), ("code_verifier", VERIFIER)];
    let client = [("client_id", "sales"), ("client_secret", secret), ("redirect_uri", CALLBACK)];
    let heard = serving.post("/token", &[&pairs[..], &client].concat());
    heard.json()["access_token"].as_str().unwrap_or_else(|| panic!("{}", heard.body)).to_owned()
}

/// The agent exchanges a token for one with a scope of the API.
fn exchange(serving: &Serving, secret: &str, token: &str, scope: &str) -> Heard {
    let client = [("grant_type", EXCHANGE), ("client_id", "sales"), ("client_secret", secret)];
    let wanted = [("subject_token", token), ("subject_token_type", ACCESS), ("resource", API), ("scope", scope)];
    serving.post("/token", &[&client[..], &wanted].concat())
}

#[test]
fn managed_connections_and_the_classes_of_their_scopes() {
    let (mut secret, none) = (String::new(), Value::Null);
    let desk = Desk::new(["connections:read", "connections:write"], |db| {
        db.good(&["resource", "create", API, "--id", "api", "--scope", "read", "--scope", "write"]);
        let client = ["client", "create", "--id", "sales", "--kind", "agent", "--auth", "client_secret_post"];
        let may = ["--scope", "read", "--scope", "write", "--resource", API, "--redirect-uri", CALLBACK];
        let ways = ["--grant-type", "authorization_code", "--grant-type", EXCHANGE, "--consent", "managed"];
        let made = db.json(&[&client[..], &may, &ways].concat());
        secret = made["client_secret"].as_str().unwrap().to_owned();
    });
    let token = of_paul(&desk.serving, &secret);
    let asked = |scope: &str| exchange(&desk.serving, &secret, &token, scope);
    assert_eq!(asked("read").refusal().1, "invalid_target", "nothing leads there");

    let (place, wanted) =
        ("/admin/managed-connections/api", json!({"name": "API", "target": {"resource": {"resource": API}}}));
    desk.only_administrators("PUT", place, &wanted);
    let made = desk.good("PUT", place, &wanted);
    assert_eq!(
        (&made["connection"]["name"], &made["allowed"], &made["scopes"]),
        (&json!("API"), &json!([]), &json!([]))
    );
    assert_eq!(desk.last(EventKind::ConnectionCreated).get_user(), Some("app:ops"));
    for path in ["/admin/managed-connections", place] {
        desk.only_administrators("GET", path, &none);
    }
    let listed = desk.good("GET", "/admin/managed-connections", &none);
    assert_eq!(listed["managed_connections"], json!([made["connection"]]));
    assert_ne!(asked("read").status, 200, "nobody is allowed yet");

    let (allowed, scopes) = (format!("{place}/allowed/agent:sales"), format!("{place}/scopes"));
    let class = |class: Value| json!({"scope": "read", "subject": "agent:sales", "class": class});
    desk.only_administrators("PUT", &allowed, &none);
    assert_eq!(desk.good("PUT", &allowed, &none)["allowed"], json!(["agent:sales"]));
    desk.only_administrators("PUT", &scopes, &class(json!("automatic")));
    let classed = desk.good("PUT", &scopes, &class(json!("automatic")));
    assert_eq!(classed["scopes"], json!([{"scope": "read", "class": "automatic", "subject": "agent:sales"}]));
    let heard = asked("read");
    assert_eq!((heard.status, &heard.json()["scope"]), (200, &json!("read")), "{}", heard.body);
    let event = desk.last(EventKind::PolicyChanged);
    assert_eq!((event.get_user(), event.get_action()), (Some("app:ops"), Some("automatic")));
    desk.good("PUT", &scopes, &class(json!("never")));
    assert_ne!(asked("read").status, 200);
    assert_eq!(desk.good("PUT", &scopes, &class(none.clone()))["scopes"], json!([]));
    desk.good("PUT", &scopes, &class(json!("automatic")));
    assert_eq!(asked("read").status, 200);
    desk.only_administrators("DELETE", &allowed, &none);
    desk.good("DELETE", &allowed, &none);
    assert_ne!(asked("read").status, 200);

    for (path, wrong, says) in [
        (place, json!({"target": {"resource": {"resource": "https://nobody.example/"}}}), "make it first"),
        (place, json!({"target": {"nowhere": {}}}), "unknown variant `nowhere`"),
        (&scopes, class(json!("often")), "a class is one of"),
        (&scopes, json!({"scope": "a b", "subject": "agent:sales", "class": null}), "is no scope"),
        (&scopes, json!({"scope": "read", "subject": "user:paul", "class": null}), "is no client"),
    ] {
        desk.refused("PUT", path, &wrong, (400, says));
    }
    desk.refused("PUT", "/admin/managed-connections/other", &wanted, (409, "leads there already"));
    desk.refused("GET", "/admin/managed-connections/other", &none, (404, "no such managed connection"));
    desk.only_administrators("DELETE", place, &none);
    desk.good("DELETE", place, &none);
    assert_eq!(desk.last(EventKind::ConnectionRemoved).get_user(), Some("app:ops"));
    desk.refused("DELETE", place, &none, (404, "no such managed connection"));
}

#[test]
fn trusted_issuers_and_clients_that_go_on() {
    let desk = Desk::new(["trust:read", "trust:write"], |db| {
        db.good(&["resource", "create", API, "--id", "api", "--scope", "read"]);
        db.good(&["client", "create", "--id", "sales", "--kind", "agent"]);
    });
    let (place, none) = ("/admin/trust/https%3A%2F%2Fidp.example%2Facme", Value::Null);
    let row = |keys: Value| json!({"keys": keys, "subject": "email", "scopes": {"r": "read"}, "resources": [API]});
    let there = row(json!({"jwks_uri": "https://idp.example/jwks"}));
    desk.only_administrators("PUT", place, &there);
    let put = desk.good("PUT", place, &there);
    assert_eq!((&put["issuer"], &put["life_max_s"]), (&json!("https://idp.example/acme"), &json!(300)));
    let event = desk.last(EventKind::PolicyChanged);
    assert_eq!((event.get_user(), event.get_action()), (Some("app:ops"), Some("trust.put")));
    for path in ["/admin/trust", place] {
        desk.only_administrators("GET", path, &none);
    }
    assert_eq!(desk.good("GET", "/admin/trust", &none)["trusted_issuers"], json!([put]));
    let with_acr = |acr: &str| {
        let mut row = there.clone();
        row["acr_max"] = acr.into();
        row
    };
    assert_eq!(desk.good("PUT", place, &with_acr("aal2"))["acr_max"], "aal2");
    for (wrong, says) in [
        (with_acr("high"), "`acr_max` is one of `aal1`, `aal2`, `phr`"),
        (row(json!("here")), "is no tenant of this database"),
        (row(json!({"jwks": {"keys": [{"kty": "EC", "d": "x"}]}})), "private or secret key"),
        (json!({"scopes": {}}), "missing field `resources`"),
        (json!({"scopes": {}, "resources": [], "issuer": "https://x.example"}), "unknown field `issuer`"),
    ] {
        desk.refused("PUT", place, &wrong, (400, says));
    }
    let own = "/admin/trust/".to_owned() + &desk.serving.issuer.replace(':', "%3A").replace('/', "%2F");
    desk.refused("PUT", &own, &there, (400, "neither trusts itself"));
    let other = own.replace("main", "other");
    assert_eq!(desk.good("PUT", &other, &row(json!("here")))["keys"], "here");
    desk.only_administrators("DELETE", place, &none);
    assert_eq!(desk.good("DELETE", place, &none)["revoked"], 0);
    desk.refused("GET", place, &none, (404, "no such trusted issuer"));
    desk.refused("DELETE", place, &none, (404, "no such trusted issuer"));

    let goes_on = || desk.serving.tenant.check("app:clerk", "delegate", "agent:sales").unwrap();
    let place = "/admin/delegates/sales/clerk";
    desk.only_administrators("PUT", place, &none);
    desk.good("PUT", place, &none);
    assert_eq!(goes_on(), Decision::Allow);
    desk.only_administrators("DELETE", place, &none);
    desk.good("DELETE", place, &none);
    assert_eq!(goes_on(), Decision::Deny);
    assert_eq!(desk.last(EventKind::PolicyChanged).get_user(), Some("app:ops"));
    desk.refused("PUT", "/admin/delegates/sales/nobody", &none, (404, "no such client"));
}

#[test]
fn people_are_invited_and_signed_out() {
    let desk = Desk::new(["users:read", "users:write"], |db| {
        db.good(&["user", "create", "eve@example.com", "--id", "eve"]);
    });
    let none = Value::Null;
    let place = "/admin/users/eve/invite";
    desk.only_administrators("POST", place, &json!({}));
    let link = desk.good("POST", place, &json!({}))["link"].as_str().unwrap().to_owned();
    let event = desk.last(EventKind::UserChanged);
    assert_eq!((event.get_user(), event.get_action()), (Some("user:eve"), Some("invite")));
    assert_eq!(event.details()["by"], "app:ops");
    for life in [0, 8 * 24 * 3_600] {
        desk.refused("POST", place, &json!({"life_s": life}), (400, "an invitation is good for"));
    }
    for nobody in ["nobody", "a%00b"] {
        desk.refused("POST", &format!("/admin/users/{nobody}/invite"), &json!({}), (404, "no such user"));
        desk.refused("POST", &format!("/admin/users/{nobody}/sign-out"), &none, (404, "no such user"));
    }
    let mut browser = Walker::new(&desk.serving);
    browser.enrol(&link, PASSWORD).shows("Your account");
    browser.get("/account").shows("Your account");
    let place = "/admin/users/eve/sign-out";
    desk.only_administrators("POST", place, &none);
    browser.get("/account").shows("Your account");
    desk.good("POST", place, &none);
    browser.get("/account").form("/login/password");
    let event = desk.last(EventKind::SessionEnded);
    assert_eq!((event.get_user(), event.get_reason()), (Some("user:eve"), Some("administrator")));
    assert_eq!(event.details()["by"], "app:ops");
}

#[test]
fn resources_come_and_go() {
    let mut secret = String::new();
    let desk = Desk::new(["resources:read", "resources:write"], |db| {
        let client = ["client", "create", "--id", "job", "--auth", "client_secret_post", "--grant-type"];
        let may = ["client_credentials", "--scope", "read", "--scope", "write", "--resource", API];
        secret = db.json(&[&client[..], &may].concat())["client_secret"].as_str().unwrap().to_owned();
    });
    let gets = |scope: &str| {
        let pairs = [("grant_type", "client_credentials"), ("client_id", "job"), ("client_secret", &secret)];
        desk.serving.post("/token", &[&pairs[..], &[("scope", scope), ("resource", API)]].concat()).status
    };
    let none = Value::Null;
    let scope = |name: &str| json!({"name": name, "description": "It"});
    let wanted = json!({"id": "api", "identifier": API, "scopes": [scope("read")]});
    assert_eq!(gets("read"), 400);
    desk.only_administrators("POST", "/admin/resources", &wanted);
    assert_eq!(desk.good("POST", "/admin/resources", &wanted)["resource"]["name"], "api");
    assert_eq!((gets("read"), gets("write")), (200, 400));
    let event = desk.last(EventKind::AdminChanged);
    assert_eq!((event.get_user(), event.get_resource()), (Some("app:ops"), Some(API)));
    desk.refused("POST", "/admin/resources", &wanted, (409, "already"));
    let place = "/admin/resources/api";
    let wider = json!({"scopes": [scope("read"), scope("write")]});
    desk.only_administrators("PUT", place, &wider);
    desk.good("PUT", place, &wider);
    assert_eq!(gets("write"), 200);
    desk.only_administrators("GET", place, &none);
    assert_eq!(desk.good("GET", place, &none)["resource"]["scopes"].as_array().unwrap().len(), 2);
    for wrong in [json!({"scopes": [scope("a b")]}), json!({"scopes": [scope("openid")]})] {
        desk.refused("PUT", place, &wrong, (400, "cannot be a scope"));
    }
    let relative = json!({"id": "x", "identifier": "relative", "scopes": []});
    desk.refused("POST", "/admin/resources", &relative, (400, "an absolute URI"));
    desk.refused("DELETE", "/admin/resources/admin", &none, (409, "is the administration"));
    desk.only_administrators("DELETE", place, &none);
    desk.good("DELETE", place, &none);
    assert_eq!(gets("read"), 400);
    desk.refused("DELETE", place, &none, (404, "no such resource"));
    let event = desk.last(EventKind::AdminChanged);
    assert_eq!((event.get_user(), event.get_action()), (Some("app:ops"), Some("resource.remove")));
}

#[test]
fn providers_stand_on_the_login_page_at_once() {
    let desk = Desk::new(["providers:read", "providers:write"], |_| {});
    let (place, none) = ("/admin/providers/work", Value::Null);
    let hidden = "our-secret-at-the-other-provider";
    let wanted =
        json!({"name": "Work account", "issuer": "https://work.example", "client_id": "us", "client_secret": hidden});
    let login = || Walker::new(&desk.serving).get("/login").body;
    assert!(!login().contains("Work account"));
    desk.only_administrators("PUT", place, &wanted);
    let put = desk.good("PUT", place, &wanted);
    assert!(login().contains("Work account"));
    assert!(!put.to_string().contains(hidden), "{put}");
    desk.only_administrators("GET", "/admin/providers", &none);
    assert_eq!(desk.good("GET", "/admin/providers", &none)["providers"][0]["client_id"], "us");
    for (path, wrong, says) in [
        ("/admin/providers/Work", json!({"issuer": "https://work.example", "client_id": "us"}), "small letters"),
        (place, json!({"issuer": "http://work.example", "client_id": "us"}), "https URL"),
        (
            place,
            json!({"issuer": "https://work.example", "client_id": "us", "client_secret": 12_345_678}),
            "`client_secret`",
        ),
    ] {
        let heard = desk.serving.with(&desk.admin, "PUT", path, &wrong);
        assert!(heard.status == 400 && heard.body.contains(says), "{}", heard.body);
        assert!(!heard.body.contains("12345678"), "{}", heard.body);
    }
    desk.only_administrators("DELETE", place, &none);
    desk.good("DELETE", place, &none);
    assert!(!login().contains("Work account"));
    desk.refused("DELETE", place, &none, (404, "no such provider"));
    let event = desk.last(EventKind::AdminChanged);
    assert_eq!((event.get_user(), event.get_action()), (Some("app:ops"), Some("provider.remove")));
    let told = desk.serving.events().iter().map(|event| format!("{event:?}")).collect::<String>();
    assert!(!told.contains(hidden), "no event has the secret");
}

/// What is granted and taken is seen in the order in which it was, from where one stopped.
#[test]
fn changes_of_the_tenants_tuples_are_read_in_order() {
    let none = Value::Null;
    let desk = Desk::new(["changes:read", "connections:write"], |db| {
        db.good(&["resource", "create", API, "--id", "api", "--scope", "read"]);
        db.good(&["client", "create", "--id", "sales", "--kind", "agent", "--auth", "client_secret_post"]);
    });
    desk.only_administrators("GET", "/admin/changes", &none);
    let read = |query: &str| desk.seen(&format!("/admin/changes?{query}"));
    // To the end of what there is.
    let (mut next, mut before) = (String::new(), 0);
    loop {
        let page = read(format!("limit=2&after={next}").trim_end_matches("&after="));
        let count = page["changes"].as_array().unwrap().len();
        assert!(count <= 2);
        before += count;
        if count == 0 {
            assert_eq!(page["next"], next, "where one is stays where nothing comes");
            break;
        }
        next = page["next"].as_str().unwrap().to_owned();
    }
    assert_eq!(read("limit=500")["changes"].as_array().unwrap().len(), before, "pages are the whole");
    let target = json!({"name": "API", "target": {"resource": {"resource": API}}});
    desk.good("PUT", "/admin/managed-connections/api", &target);
    let allowed = "/admin/managed-connections/api/allowed/agent:sales";
    desk.good("PUT", allowed, &none);
    desk.good("DELETE", allowed, &none);
    let page = read(&format!("type=connection&after={next}"));
    let told: Vec<String> = page["changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| {
            let text = |name: &str| c[name].as_str().unwrap().to_owned();
            format!("{} {} {} {}", text("operation"), text("object"), text("relation"), text("user"))
        })
        .collect();
    let expected = [
        "write connection:api tenant tenant:main",
        "write connection:api allowed agent:sales",
        "delete connection:api allowed agent:sales",
    ];
    assert_eq!(told, expected);
    assert!(page["changes"][0]["at"].as_u64().unwrap() > 1_700_000_000 && page["changes"][0]["revision"].is_u64());
    assert_eq!(desk.serving.send("GET", "/admin/changes", &[], "").status, 401);
}
