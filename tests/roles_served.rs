//! Roles while a tenant is served: who gives and takes them over HTTP, that nobody gives more than they hold, that they are in
//! force at once, and that commands do the same.

use crate::admin_served::Desk;
use crate::elsewhere::Furnished;
use crate::identity::env;
use bailiwick::identity::{Event, EventKind, Resource, Scope};
use serde_json::{Value, json};

const API: &str = "https://api.example/";

fn desk() -> Desk {
    Desk::new(["roles:read", "roles:write"], |db| {
        let scope = ["--scope", "read", "--checked-scope", "orders:all"];
        db.good(&[&["resource", "create", API, "--id", "api"], &scope[..]].concat());
        let asks = ["--scope", "orders:all", "--resource", API, "--grant-type", "client_credentials"];
        db.good(&[&["client", "create", "--id", "bot", "--kind", "agent"], &asks[..]].concat());
        db.good(&["user", "create", "ann@example.com", "--id", "ann"]);
        db.good(&["team", "add", "ops", "ann"]);
    })
}

/// The scopes of the administration from now on.
fn administration(desk: &Desk, names: &[&str]) {
    let tenant = &desk.serving.tenant;
    let scope = |name: &&str| Scope { name: (*name).into(), description: (*name).into(), checked: false };
    let scopes = names.iter().map(scope).collect();
    let identifier = tenant.url("/admin");
    let resource = Resource { id: "admin".into(), identifier, name: "Admin".into(), scopes, created_at: 0 };
    tenant.put_resource(&resource, &env()).unwrap();
}

fn may(desk: &Desk, subject: &str, relation: &str, object: &str) -> bool {
    desk.serving.tenant.check(subject, relation, object).unwrap() == bailiwick::engine::Decision::Allow
}

fn detail<'a>(event: &'a Event, name: &str) -> &'a str {
    event.details().get(name).map(String::as_str).unwrap_or_default()
}

fn who(page: &Value) -> Vec<String> {
    let text = |role: &Value| format!("{} {}", role["subject"].as_str().unwrap(), role["role"].as_str().unwrap());
    page["roles"].as_array().unwrap().iter().map(text).collect()
}

#[test]
fn administrators_give_and_take_roles() {
    let desk = desk();
    let none = Value::Null;
    let paul = "/admin/roles/tenant:main/auditor/user:paul";
    for method in ["PUT", "DELETE"] {
        desk.only_administrators(method, paul, &none);
    }
    desk.only_administrators("GET", "/admin/roles", &none);
    let before = who(&desk.good("GET", "/admin/roles", &none));
    assert!(before.len() == 2 && before.contains(&"app:ops admin".to_owned()), "{before:?}");
    let given = desk.good("PUT", paul, &none);
    let expected = json!({"subject": "user:paul", "role": "auditor", "object": "tenant:main", "active": true});
    assert_eq!(given["role"], expected);
    assert!(may(&desk, "user:paul", "auditor", "tenant:main"));
    let told = desk.last(EventKind::RoleGiven);
    assert_eq!((told.get_user(), detail(&told, "by")), (Some("user:paul"), "app:ops"));
    assert_eq!((told.get_resource(), told.get_action()), (Some("tenant:main"), Some("auditor")));
    let page = desk.good("GET", "/admin/roles?limit=2", &none);
    let rest = desk.good("GET", &format!("/admin/roles?after={}", page["next"].as_str().unwrap()), &none);
    assert_eq!((who(&page), who(&rest)), (before, vec!["user:paul auditor".to_owned()]));
    assert_eq!(desk.good("GET", "/admin/roles?held_by=user:paul", &none)["roles"], json!([expected]));

    desk.good("DELETE", paul, &none);
    assert!(!may(&desk, "user:paul", "auditor", "tenant:main"));
    assert_eq!(detail(&desk.last(EventKind::RoleTaken), "by"), "app:ops");
    desk.refused("DELETE", paul, &none, (404, "is not `auditor`"));

    // A team administers by who is in it; a scope that is checked is held at the next request.
    desk.good("PUT", "/admin/roles/tenant:main/admin/team:ops", &none);
    assert!(may(&desk, "user:ann", "admin", "tenant:main"));
    let holds = "/admin/roles/scope:api%7Corders:all/allowed/agent:bot";
    assert_eq!(desk.good("PUT", holds, &none)["role"]["object"], "scope:api|orders:all");
    assert!(may(&desk, "agent:bot", "granted", "scope:api|orders%3Aall"));
    let page = desk.good("GET", "/admin/roles?object=scope:api%7Corders:all", &none);
    assert_eq!(who(&page), ["agent:bot allowed"]);
    desk.good("PUT", "/admin/roles/app:clerk/owner/team:ops", &none);
    assert!(may(&desk, "user:ann", "operator", "app:clerk"));

    for (path, refused) in [
        ("tenant:main/member/user:paul", (400, "is no role")),
        ("tenant:main/suspended/user:paul", (400, "is no role")),
        ("tenant:other/admin/user:paul", (404, "no such tenant")),
        ("tenant:main/admin/user:nobody", (404, "is nobody here")),
        ("tenant:main/admin/user:*", (400, "cannot be `admin`")),
        ("connection:none/owner/user:paul", (404, "no such connection")),
        ("scope:api%7Cread/allowed/user:paul", (409, "not `checked`")),
    ] {
        desk.refused("PUT", &format!("/admin/roles/{path}"), &none, refused);
    }
    for (query, refused) in [("object=tenant:main&held_by=user:paul", 400), ("after=x", 400), ("objet=x", 400)] {
        let heard = desk.serving.with(&desk.admin, "GET", &format!("/admin/roles?{query}"), &none);
        assert_eq!(heard.status, refused, "{query}: {}", heard.body);
    }
}

#[test]
fn nobody_gives_more_than_they_hold() {
    let desk = desk();
    let none = Value::Null;
    administration(&desk, &["roles:read", "roles:write", "clients:read", "clients:write", "audit:read"]);
    // A person, and whoever is in a team, may ask for any scope of the administration; the token has `roles:write` alone.
    for (path, lacks) in [
        ("tenant:main/admin/user:paul", "clients:"),
        ("tenant:main/admin/team:ops", "clients:"),
        ("tenant:main/auditor/user:paul", "clients:read"),
    ] {
        desk.refused("PUT", &format!("/admin/roles/{path}"), &none, (403, lacks));
    }
    desk.good("PUT", "/admin/roles/tenant:main/reporter/user:paul", &none);
    desk.good("PUT", "/admin/roles/app:clerk/owner/user:paul", &none);
    // A program may ask for what it is made for: this one for the scopes of the token, and for one more afterwards.
    desk.good("PUT", "/admin/roles/tenant:main/admin/app:clerk", &none);
    desk.good("DELETE", "/admin/roles/tenant:main/admin/app:clerk", &none);
    let tenant = &desk.serving.tenant;
    let clerk = tenant.client("clerk").unwrap();
    let mut wider = clerk.value.clone();
    wider.scopes.push("clients:write".into());
    tenant.change_client(&clerk, &wider, &env()).unwrap();
    desk.refused("PUT", "/admin/roles/tenant:main/admin/app:clerk", &none, (403, "clients:write"));
    assert!(!may(&desk, "app:clerk", "admin", "tenant:main") && !may(&desk, "user:paul", "admin", "tenant:main"));

    // The last administrator stays.
    let by_init = desk.good("GET", "/admin/roles", &none)["roles"].as_array().unwrap().clone();
    let person = by_init.iter().find(|role| role["subject"] != "app:ops" && role["role"] == "admin").unwrap();
    let person = person["subject"].as_str().unwrap();
    desk.good("DELETE", &format!("/admin/roles/tenant:main/admin/{person}"), &none);
    desk.refused("DELETE", "/admin/roles/tenant:main/admin/app:ops", &none, (409, "last administrator"));
}

/// What the events tell of who administers: the kind, and whom.
fn appointed(events: &[Event]) -> Vec<(EventKind, String)> {
    let role = |event: &&Event| matches!(event.kind(), EventKind::RoleGiven | EventKind::RoleTaken);
    let told = |event: &Event| (event.kind(), detail(event, "subject").to_owned());
    events.iter().filter(role).map(told).collect()
}

#[test]
fn commands_give_take_and_list_roles_and_leave_events() {
    let db = Furnished::new();
    db.good(&["user", "create", "ann@example.com", "--id", "ann", "--admin"]);
    db.good(&["user", "create", "paul@example.com", "--id", "paul"]);
    db.good(&["client", "create", "--id", "ops", "--admin"]);
    db.good(&["resource", "create", API, "--id", "api", "--checked-scope", "orders"]);
    db.good(&["role", "give", "user:paul", "auditor"]);
    db.good(&["role", "give", "user:paul", "allowed", "scope:api|orders"]);
    let held = db.json(&["role", "list", "--held-by", "user:paul"]);
    assert_eq!(
        held["roles"],
        json!([
            {"subject": "user:paul", "role": "auditor", "object": "tenant:main"},
            {"subject": "user:paul", "role": "allowed", "object": "scope:api|orders"},
        ])
    );
    assert_eq!(who(&db.json(&["role", "list", "scope:api|orders"])), ["user:paul allowed"]);
    assert_eq!(who(&db.json(&["role", "list"])).len(), 4);
    db.good(&["role", "take", "user:ann", "admin"]);
    db.good(&["role", "take", "app:ops", "admin"]);
    let last = db.json(&["role", "list"])["roles"][0]["subject"].as_str().unwrap().to_owned();
    db.refused(&["role", "take", &last, "admin"], "the last administrator");
    db.refused(&["role", "give", "user:nobody", "auditor"], "nobody here");
    db.refused(&["role", "take", "user:paul", "admin"], "is not `admin`");
    db.refused(&["role", "give", "user:paul", "member"], "is no role");

    let serving = db.serve();
    use EventKind::{RoleGiven, RoleTaken};
    let to = |kind: EventKind, whom: &str| (kind, whom.to_owned());
    let (ann, ops, paul) = ("user:ann", "app:ops", "user:paul");
    let after = [(RoleGiven, ann), (RoleGiven, ops), (RoleGiven, paul), (RoleGiven, paul), (RoleTaken, ann)];
    let mut expected = vec![to(RoleGiven, &last)];
    expected.extend(after.map(|(kind, whom)| to(kind, whom)));
    expected.push(to(RoleTaken, ops));
    assert_eq!(appointed(&serving.events()), expected);
    // Whom `init` made an administrator, the write that made them says.
    let events = serving.events();
    let made = events.iter().position(|event| event.kind() == EventKind::UserCreated).unwrap();
    assert_eq!(events[made + 1].kind(), EventKind::RoleGiven);
}
