//! People, teams and requests for approval over HTTP for administrators, while a tenant is served.

use crate::admin_served::Desk;
use crate::approvals_served::{World, resource, write_access};
use crate::identity::{Heard, Issuing, env};
use crate::mcp_tenant::{approve, client, events, signed_in, strings};
use bailiwick::engine::Decision;
use bailiwick::identity::{Client, ClientKind, ConsentRule, EventKind, Tenant};
use serde_json::{Value, json};

const CALLBACK: &str = "https://sales.example/cb";

fn ids(page: &Value, list: &str) -> Vec<String> {
    page[list].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn people_are_made_listed_and_changed() {
    let desk = Desk::new(["users:read", "users:write"], |_| {});
    let none = Value::Null;
    let wanted = json!({"id": "eve", "logins": ["eve@example.com"], "claims": {"name": "Eve"}});
    desk.only_administrators("POST", "/admin/users", &wanted);
    let made = desk.good("POST", "/admin/users", &wanted);
    assert_eq!((&made["id"], &made["active"], &made["claims"]["name"]), (&json!("eve"), &json!(true), &json!("Eve")));
    assert_eq!(desk.last(EventKind::UserCreated).details()["by"], "app:ops");
    for (wrong, (status, says)) in [
        (wanted.clone(), (409, "never given again")),
        (json!({"logins": ["EVE@example.com"]}), (409, "login name of somebody")),
        (json!({"logins": []}), (400, "logs in with something")),
        (json!({"id": "a b", "logins": ["x"]}), (400, "cannot be an id")),
        (json!({"logins": ["x"], "claims": {"sub": "y"}}), (400, "said by the server")),
        (json!({"logins": ["x"], "admin": true}), (400, "unknown field `admin`")),
        (json!({"claims": {}}), (400, "logins")),
    ] {
        desk.refused("POST", "/admin/users", &wrong, (status, says));
    }

    for path in ["/admin/users", "/admin/users/eve"] {
        desk.only_administrators("GET", path, &none);
    }
    let all = ids(&desk.good("GET", "/admin/users", &none), "users");
    let (mut paged, mut after) = (Vec::new(), String::new());
    loop {
        let page = desk.good("GET", &format!("/admin/users?limit=1{after}"), &none);
        paged.extend(ids(&page, "users"));
        let Some(next) = page["next"].as_str() else { break };
        after = format!("&after={next}");
    }
    assert_eq!((paged.len(), &paged), (3, &all));
    let found = desk.good("GET", "/admin/users?login=Eve%40example.com", &none);
    assert_eq!((ids(&found, "users"), &found["next"]), (vec!["eve".to_owned()], &none));
    assert_eq!(desk.good("GET", "/admin/users?login=nobody", &none)["users"], json!([]));
    // Who has set up a way to log in: it is shown, and nothing of it that is secret.
    let paul = desk.good("GET", "/admin/users/paul", &none);
    assert_eq!((&paul["credentials"][0]["kind"], paul["sessions"].as_array().unwrap().len()), (&json!("password"), 1));
    assert!(!paul.to_string().contains("sealed") && !paul.to_string().contains("cookie"), "{paul}");

    // What is said is all there is.
    let other = json!({"logins": ["eve@example.org"], "claims": {"nickname": "E"}});
    desk.only_administrators("PUT", "/admin/users/eve", &other);
    let changed = desk.good("PUT", "/admin/users/eve", &other);
    assert_eq!((&changed["logins"], &changed["claims"]), (&other["logins"], &other["claims"]));
    assert_eq!(desk.last(EventKind::UserChanged).details()["by"], "app:ops");
    assert_eq!(desk.good("GET", "/admin/users?login=eve@example.com", &none)["users"], json!([]));
    for (wrong, (status, says)) in [
        (json!({"logins": ["paul@example.com"], "claims": {}}), (409, "login name of somebody")),
        (json!({"logins": [], "claims": {}}), (400, "logs in with something")),
        (json!({"logins": ["x"]}), (400, "claims")),
        (json!({"logins": ["x"], "claims": {}, "id": "adam"}), (400, "unknown field `id`")),
    ] {
        desk.refused("PUT", "/admin/users/eve", &wrong, (status, says));
    }
}

#[test]
fn people_are_suspended_and_deleted() {
    let desk = Desk::new(["users:read", "users:write"], |_| {});
    let none = Value::Null;
    let wanted = json!({"id": "eve", "logins": ["eve@example.com"]});
    desk.good("POST", "/admin/users", &wanted);
    let suspended = |suspended: bool| json!({ "suspended": suspended });
    let place = "/admin/users/eve/suspended";
    desk.only_administrators("PUT", place, &suspended(true));
    assert_eq!(desk.good("PUT", place, &suspended(true))["active"], false);
    assert!(!desk.serving.tenant.is_active("user:eve").unwrap());
    assert_eq!(desk.last(EventKind::UserSuspended).get_user(), Some("app:ops"));
    assert_eq!(desk.good("PUT", place, &suspended(false))["active"], true);
    desk.refused("PUT", place, &json!({"suspend": true}), (400, "unknown field"));

    desk.only_administrators("DELETE", "/admin/users/eve", &none);
    desk.good("DELETE", "/admin/users/eve", &none);
    assert_eq!(desk.last(EventKind::UserDeleted).details()["by"], "app:ops");
    for (method, path, body) in [
        ("GET", "/admin/users/eve", none.clone()),
        ("DELETE", "/admin/users/eve", none.clone()),
        ("PUT", "/admin/users/eve", json!({"logins": ["eve@example.com"], "claims": {}})),
        ("PUT", place, suspended(true)),
        ("GET", "/admin/users/a%20b", none.clone()),
    ] {
        desk.refused(method, path, &body, (404, "no such user"));
    }
    assert_eq!(ids(&desk.good("GET", "/admin/users", &none), "users").len(), 2);
    desk.refused("POST", "/admin/users", &wanted, (409, "never given again"));
}

#[test]
fn the_last_administrator_neither_suspends_nor_deletes_themselves() {
    let desk = Desk::new(["users:read", "users:write"], |db| {
        db.good(&["user", "create", "zoe@example.com", "--id", "zoe"]);
    });
    let (tenant, none) = (&desk.serving.tenant, Value::Null);
    let role = |subject: &str| tenant.appointment_named("admin", None, subject).unwrap();
    tenant.give_role(&role("user:paul"), &env()).unwrap();
    let others = tenant.roles_of("tenant:main", None, 100).unwrap().roles;
    for held in others.iter().filter(|held| held.subject != "user:paul") {
        tenant.take_role(held, &env()).unwrap();
    }
    let paul = &desk.strangers.iter().find(|(who, _)| *who == "a person who is none").unwrap().1;
    let ask = |method: &str, path: &str, body: &Value| desk.serving.with(paul, method, path, body);
    for (method, path) in [("DELETE", "/admin/users/paul"), ("PUT", "/admin/users/paul/suspended")] {
        let heard = ask(method, path, &json!({"suspended": true}));
        assert!(heard.status == 409 && heard.body.contains("last administrator"), "{}", heard.body);
    }
    assert_eq!(ask("DELETE", "/admin/users/zoe", &none).status, 200);
    tenant.give_role(&role("app:ops"), &env()).unwrap();
    assert_eq!(ask("DELETE", "/admin/users/paul", &none).status, 200);
}

/// By no way: not by a directory, not by a team, and not by a command, save that a command stops anybody at once.
#[test]
fn the_last_administrator_stays_in_a_team_and_at_a_directory() {
    let desk = Desk::new(["scim:write", "teams:write"], |db| {
        db.good(&["user", "create", "zoe@example.com", "--id", "zoe"]);
        db.good(&["team", "add", "ops", "zoe"]);
        db.good(&["role", "give", "team:ops", "admin"]);
        for held in db.json(&["role", "list"])["roles"].as_array().unwrap() {
            let subject = held["subject"].as_str().unwrap();
            if subject != "team:ops#member" {
                db.good(&["role", "take", subject, held["role"].as_str().unwrap()]);
            }
        }
        for command in [&["team", "remove", "ops", "zoe"][..], &["user", "delete", "zoe", "--yes"]] {
            db.refused(command, "the last administrator; make another one first");
        }
        db.good(&["user", "suspend", "zoe"]);
        db.good(&["user", "resume", "zoe"]);
    });
    let (tenant, none) = (&desk.serving.tenant, Value::Null);
    let paul = &desk.strangers.iter().find(|(who, _)| *who == "a person who is none").unwrap().1;
    desk.good("PUT", "/admin/teams/inner/members/user:paul", &none);
    desk.good("PUT", "/admin/teams/ops/members/team:inner", &none);
    desk.good("DELETE", "/admin/teams/ops/members/user:zoe", &none);
    tenant.take_role(&tenant.appointment_named("admin", None, "app:ops").unwrap(), &env()).unwrap();

    // Paul is the last, by a team within a team.
    let ask = |method: &str, path: &str, body: &Value| desk.serving.with(paul, method, path, body);
    let patch = |operations: Value| json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": operations});
    let inactive = patch(json!([{"op": "replace", "path": "active", "value": false}]));
    let nobody = patch(json!([{"op": "remove", "path": "members"}]));
    let group = json!({"schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"], "displayName": "Operations"});
    for (method, path, body) in [
        ("PATCH", "/scim/v2/Users/paul", &inactive),
        ("DELETE", "/scim/v2/Users/paul", &none),
        ("PATCH", "/scim/v2/Groups/inner", &nobody),
        ("PATCH", "/scim/v2/Groups/ops", &nobody),
        ("PUT", "/scim/v2/Groups/ops", &group),
        ("DELETE", "/scim/v2/Groups/inner", &none),
        ("DELETE", "/scim/v2/Groups/ops", &none),
        ("DELETE", "/admin/teams/inner/members/user:paul", &none),
        ("DELETE", "/admin/teams/ops/members/team:inner", &none),
        ("DELETE", "/admin/teams/inner", &none),
        ("DELETE", "/admin/teams/ops", &none),
    ] {
        let heard = ask(method, path, body);
        assert_eq!(heard.status, 409, "{method} {path}: {}", heard.body);
        assert!(heard.body.contains("last administrator; make another one first"), "{method} {path}: {}", heard.body);
        if path.starts_with("/scim") {
            assert_eq!((&heard.json()["status"], &heard.json()["scimType"]), (&json!("409"), &none), "{}", heard.body);
        }
    }
    assert_eq!(tenant.check("user:paul", "admin", "tenant:main").unwrap(), Decision::Allow);

    // Who comes by the same change counts, if they may act.
    let only =
        |id: &str| patch(json!([{"op": "replace", "path": "members", "value": [{"value": id, "type": "User"}]}]));
    tenant.suspend("user:zoe", true, None, &env()).unwrap();
    assert_eq!(ask("PATCH", "/scim/v2/Groups/inner", &only("zoe")).status, 409);
    tenant.suspend("user:zoe", false, None, &env()).unwrap();
    assert_eq!(ask("PATCH", "/scim/v2/Groups/inner", &only("zoe")).status, 200);
    let zoe = ["user:zoe", "user:paul"].map(|who| tenant.check(who, "admin", "tenant:main").unwrap());
    assert_eq!(zoe, [Decision::Allow, Decision::Deny]);
    tenant.give_role(&tenant.appointment_named("admin", None, "user:paul").unwrap(), &env()).unwrap();
    assert_eq!(ask("PATCH", "/scim/v2/Groups/inner", &only("paul")).status, 200);
    tenant.take_role(&tenant.appointment_named("admin", None, "user:paul").unwrap(), &env()).unwrap();

    // With another one, who leaves leaves.
    assert_eq!(ask("PUT", "/admin/teams/ops/members/user:zoe", &none).status, 200);
    assert_eq!(ask("DELETE", "/admin/teams/inner", &none).status, 200);
    assert_eq!(tenant.check("user:paul", "admin", "tenant:main").unwrap(), Decision::Deny);
    assert_eq!(tenant.check("user:zoe", "admin", "tenant:main").unwrap(), Decision::Allow);
}

#[test]
fn a_program_that_is_the_last_administrator_stays() {
    let desk = Desk::new(["clients:read", "clients:write"], |_| {});
    let (tenant, none, suspended) = (&desk.serving.tenant, Value::Null, json!({"suspended": true}));
    let others = tenant.roles_of("tenant:main", None, 100).unwrap().roles;
    for held in others.iter().filter(|held| held.subject != "app:ops") {
        tenant.take_role(held, &env()).unwrap();
    }
    let says = (409, "last administrator");
    desk.refused("DELETE", "/admin/clients/ops", &none, says);
    desk.refused("PUT", "/admin/clients/ops/suspended", &suspended, says);
    desk.good("PUT", "/admin/clients/clerk/suspended", &suspended);
    desk.good("DELETE", "/admin/clients/clerk", &none);
    tenant.give_role(&tenant.appointment_named("admin", None, "user:paul").unwrap(), &env()).unwrap();
    desk.good("DELETE", "/admin/clients/ops", &none);
}

#[test]
fn teams_are_made_filled_and_deleted() {
    let desk = Desk::new(["teams:read", "teams:write"], |db| {
        db.good(&["user", "create", "ann@example.com", "--id", "ann"]);
        db.good(&["team", "add", "old", "ann"]);
    });
    let none = Value::Null;
    let is = |subject: &str, relation: &str, object: &str| {
        desk.serving.tenant.check(subject, relation, object).unwrap() == Decision::Allow
    };
    let wanted = json!({"id": "sales", "name": "Sales"});
    desk.only_administrators("POST", "/admin/teams", &wanted);
    assert_eq!(desk.good("POST", "/admin/teams", &wanted)["name"], "Sales");
    desk.refused("POST", "/admin/teams", &wanted, (409, "of this id already"));
    desk.refused("POST", "/admin/teams", &json!({"id": "a b"}), (400, "cannot be an id"));
    desk.refused("POST", "/admin/teams", &json!({"id": "x", "members": []}), (400, "unknown field `members`"));
    desk.only_administrators("GET", "/admin/teams", &none);
    assert_eq!(ids(&desk.good("GET", "/admin/teams", &none), "teams"), ["old", "sales"]);
    let page = desk.good("GET", "/admin/teams?limit=1", &none);
    assert_eq!((ids(&page, "teams"), &page["next"]), (vec!["old".to_owned()], &json!("old")));
    assert_eq!(ids(&desk.good("GET", "/admin/teams?limit=1&after=old", &none), "teams"), ["sales"]);

    let joins = "/admin/teams/sales/members/user:paul";
    for method in ["PUT", "DELETE"] {
        desk.only_administrators(method, joins, &none);
    }
    desk.good("PUT", joins, &none);
    desk.good("PUT", "/admin/teams/sales/members/team:old", &none);
    assert!(is("user:paul", "member", "team:sales") && is("user:ann", "member", "team:sales"));
    desk.only_administrators("GET", "/admin/teams/sales", &none);
    let shown = desk.good("GET", "/admin/teams/sales", &none);
    assert_eq!((&shown["name"], &shown["members"]), (&json!("Sales"), &json!(["team:old#member", "user:paul"])));
    let page = desk.good("GET", "/admin/teams/sales?limit=1", &none);
    assert_eq!((&page["members"], &page["next"]), (&json!(["team:old#member"]), &json!("team:old#member")));
    let rest = desk.good("GET", "/admin/teams/sales?after=team:old%23member", &none);
    assert_eq!((&rest["members"], &rest["next"]), (&json!(["user:paul"]), &none));
    for (member, refused) in [
        ("user:nobody", (404, "no such user")),
        ("team:nobody", (404, "no such team")),
        ("team:sales", (400, "no member of itself")),
        ("app:ops", (400, "cannot be a member")),
        ("paul", (400, "cannot be a member")),
    ] {
        desk.refused("PUT", &format!("/admin/teams/sales/members/{member}"), &none, refused);
    }
    desk.good("DELETE", joins, &none);
    assert!(!is("user:paul", "member", "team:sales"));
    let told = desk.last(EventKind::AdminChanged);
    assert_eq!((told.get_user(), told.get_resource()), (Some("user:paul"), Some("team:sales")));
    assert_eq!((told.details()["there"].as_str(), told.details()["by"].as_str()), ("no", "app:ops"));

    let manages = "/admin/users/paul/managers/ann";
    desk.only_administrators("PUT", manages, &none);
    desk.good("PUT", manages, &none);
    assert!(is("user:ann", "manager", "user:paul"));
    desk.refused("PUT", "/admin/users/paul/managers/paul", &none, (400, "their own manager"));
    desk.refused("PUT", "/admin/users/paul/managers/nobody", &none, (404, "no such user"));
    desk.good("DELETE", manages, &none);
    assert!(!is("user:ann", "manager", "user:paul"));

    desk.only_administrators("DELETE", "/admin/teams/old", &none);
    desk.good("DELETE", "/admin/teams/old", &none);
    assert!(!is("user:ann", "member", "team:sales") && !is("user:ann", "member", "team:old"));
    desk.refused("GET", "/admin/teams/old", &none, (404, "no such team"));
    desk.refused("DELETE", "/admin/teams/old", &none, (404, "no such team"));
}

/// A token for the administration of a person, by a console whose consent nobody is asked.
fn administration(issuing: &Issuing, tenant: &Tenant, person: &str) -> String {
    let (place, scopes) = (tenant.url("/admin"), ["approvals:read", "approvals:write"]);
    resource(tenant, "admin", &place, &scopes);
    let console = Client {
        redirect_uris: strings(&[CALLBACK]),
        scopes: strings(&["openid", scopes[0], scopes[1]]),
        grant_types: strings(&["authorization_code"]),
        resources: vec![place.clone()],
        consent: ConsentRule::Managed,
        ..Client::new("console", ClientKind::App, "The console")
    };
    let credentials = client(tenant, console);
    let all = format!("openid {}", scopes.join(" "));
    format!("Bearer {}", signed_in(issuing, ("console", &credentials), person, &place, &all))
}

#[test]
fn requests_for_approval_are_seen_and_the_push_key_turned() {
    let world = World::start(Issuing::start());
    let tenant = &world.issuing.acme;
    let token = administration(&world.issuing, tenant, "john");
    let send = |method: &str, path: &str, body: &str| -> Heard {
        let headers = [("authorization", token.as_str()), ("content-type", "application/json")];
        world.issuing.send(method, &format!("/t/acme/admin/{path}"), &headers, body)
    };
    for (method, path, body) in
        [("GET", "approvals", ""), ("GET", "approvals/x", ""), ("POST", "approval-push-key/rotate", "{}")]
    {
        assert_eq!(send(method, path, body).refusal(), (403, "access_denied".into()), "no administrator: {path}");
    }
    tenant.give_role(&tenant.appointment_named("admin", None, "user:john").unwrap(), &env()).unwrap();

    world.ask(&write_access(), &[]);
    let decided = approve(&world.issuing, "john").id;
    world.ask(&write_access(), &[]);
    let good = |path: &str| {
        let heard = send("GET", path, "");
        assert_eq!(heard.status, 200, "{path}: {}", heard.body);
        heard.json()
    };
    let all = good("approvals");
    let states: Vec<&str> =
        all["approvals"].as_array().unwrap().iter().map(|one| one["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["approved", "open"]);
    let open = good("approvals?open=true");
    assert_eq!((ids(&open, "approvals").len(), &open["approvals"][0]["state"]), (1, &json!("open")));
    let first = good("approvals?limit=1");
    assert_eq!((ids(&first, "approvals"), first["next"].as_str()), (vec![decided.clone()], Some(decided.as_str())));
    let rest = good(&format!("approvals?after={decided}"));
    assert_eq!((ids(&rest, "approvals"), &rest["next"]), (ids(&open, "approvals"), &Value::Null));
    let one = good(&format!("approvals/{decided}"));
    let one = &one["approval"];
    assert_eq!((&one["by"], &one["user"], &one["asks"]), (&json!("user:john"), &json!("sarah"), &json!("agent:sales")));
    assert_eq!(one["shown"]["details"][0]["title"], "Let it use contacts:write of crm");
    assert!(!all.to_string().contains("secret") && !all.to_string().contains("sealed"), "{all}");
    for (path, status) in [
        ("approvals/x", 404),
        ("approvals/01ARZ3NDEKTSV4RRFFQ69G5FAV", 404),
        ("approvals?after=x", 400),
        ("approvals?state=open", 400),
    ] {
        assert_eq!(send("GET", path, "").status, status, "{path}");
    }

    let key = |body: &str| send("POST", "approval-push-key/rotate", body);
    let (first, second) = (key("{}").json(), key(r#"{"drop_old": true}"#).json());
    assert!(first["key"].is_string() && first["key"] != second["key"], "{first} {second}");
    assert_eq!(key(r#"{"drop": true}"#).status, 400);
    let told = events(&world.issuing).into_iter().rfind(|event| event.kind() == EventKind::KeyRotated).unwrap();
    assert_eq!((told.get_user(), told.get_resource()), (Some("user:john"), Some("web-push")));
}
