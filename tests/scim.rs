//! SCIM as a directory of a company uses it, over HTTP: people, managers and groups become what decides.

use crate::approvals_served::{kind, resource};
use crate::identity::{Heard, Issuing, env};
use crate::mcp_tenant::{approve, client, events, session, signed_in, strings};
use bailiwick::identity::{Answer, Client, ClientKind, ConsentRule, Env, EventKind, Tenant};
use bailiwick::modules::agent::{By, NoApprovals, Profile, Registry, Tell};
use bailiwick::modules::scim::{SCIM, forget_user};
use parking_lot::Mutex;
use serde_json::{Value, json};

const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";
const CALLBACK: &str = "https://sales.example/cb";
const CIBA: &str = "urn:openid:params:grant-type:ciba";

/// The issuer, and the directory `hr` that may push into `acme`.
struct World {
    issuing: Issuing,
    token: String,
}

impl World {
    fn start() -> World {
        let issuing = Issuing::start();
        let tenant = &issuing.acme;
        let place = tenant.url("/admin");
        resource(tenant, "admin", &place, &["scim:read", "scim:write", "agents:write"]);
        let hr = Client {
            grant_types: strings(&["client_credentials"]),
            scopes: strings(&["scim:read", "scim:write", "agents:write"]),
            resources: vec![place],
            ..Client::new("hr", ClientKind::App, "The directory")
        };
        let basic = client(tenant, hr);
        let writes = token(&issuing, &basic, "scim:write");
        let world = World { issuing, token: writes };
        assert_eq!(world.send("GET", "/Users", &[], &Value::Null).status, 403, "it is no administrator yet");
        let mut change = world.issuing.acme.change(&env());
        change.relate("tenant:acme", "admin", "app:hr");
        change.commit().unwrap();
        assert_eq!(world.with(&token(&world.issuing, &basic, "agents:write"), "GET", "/Users").status, 403);
        let reads = token(&world.issuing, &basic, "scim:read");
        assert_eq!(world.with(&reads, "GET", "/Users").status, 200);
        let refused = world.with(&reads, "DELETE", "/Users/sarah");
        assert_eq!(refused.status, 403);
        assert!(refused.header("www-authenticate").unwrap().contains("scope=\"scim:write\""));
        world
    }

    fn with(&self, token: &str, method: &str, path: &str) -> Heard {
        let bearer = format!("Bearer {token}");
        self.issuing.send(method, &format!("/t/acme/scim/v2{path}"), &[("authorization", &bearer)], "")
    }

    fn send(&self, method: &str, path: &str, more: &[(&str, &str)], body: &Value) -> Heard {
        let bearer = format!("Bearer {}", self.token);
        let headers = [("authorization", bearer.as_str()), ("content-type", "application/scim+json")];
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.issuing.send(method, &format!("/t/acme/scim/v2{path}"), &[&headers, more].concat(), &body)
    }

    /// Sends what must be answered with a status, and answers the body.
    #[track_caller]
    fn ok(&self, status: u16, method: &str, path: &str, body: &Value) -> Value {
        let heard = self.send(method, path, &[], body);
        assert_eq!(heard.status, status, "{method} {path}: {}", heard.body);
        if heard.body.is_empty() { Value::Null } else { heard.json() }
    }

    /// Sends what must be refused, and answers status and keyword.
    #[track_caller]
    fn refused(&self, method: &str, path: &str, body: &Value) -> (u16, String) {
        let heard = self.send(method, path, &[], body);
        assert_eq!(heard.header("content-type"), Some("application/scim+json"), "{}", heard.body);
        let error = heard.json();
        assert_eq!(error["schemas"], json!(["urn:ietf:params:scim:api:messages:2.0:Error"]), "{error}");
        assert_eq!(error["status"], heard.status.to_string());
        (heard.status, error["scimType"].as_str().unwrap_or_default().to_owned())
    }

    fn patch(&self, path: &str, operations: &Value) -> Value {
        self.ok(200, "PATCH", path, &patch(operations))
    }

    fn person(&self, name: &str, more: &Value) -> Value {
        let mut body = json!({"schemas": [USER], "userName": format!("{name}@example.com"), "displayName": name});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.ok(201, "POST", "/Users", &body)
    }

    fn allows(&self, subject: &str, relation: &str, object: &str) -> bool {
        self.issuing.acme.check(subject, relation, object).unwrap() == bailiwick::engine::Decision::Allow
    }
}

fn token(issuing: &Issuing, basic: &str, scope: &str) -> String {
    let place = issuing.acme.url("/admin");
    let pairs = [("grant_type", "client_credentials"), ("scope", scope), ("resource", &place)];
    let heard = issuing.post("/t/acme/token", &[("authorization", basic)], &pairs);
    assert_eq!(heard.status, 200, "{}", heard.body);
    heard.json()["access_token"].as_str().unwrap().to_owned()
}

fn patch(operations: &Value) -> Value {
    json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": operations})
}

fn id(resource: &Value) -> &str {
    resource["id"].as_str().unwrap()
}

#[test]
fn an_approval_goes_to_the_manager_whom_the_directory_pushed() {
    let world = World::start();
    let tenant = &world.issuing.acme;
    let john = world.person("john", &json!({"emails": [{"value": "john@example.com", "primary": true}]}));
    let olga = world.person("olga", &json!({}));
    kind(tenant, "wire", "Pay {/amount}", &["amount"], "manager");
    let sales = Client {
        redirect_uris: strings(&[CALLBACK]),
        grant_types: strings(&[CIBA]),
        scopes: strings(&["openid"]),
        details_types: strings(&["wire"]),
        consent: ConsentRule::Managed,
        ..Client::new("sales", ClientKind::Agent, "The sales agent")
    };
    let agent = client(tenant, sales);
    let ask = |amount: u32| {
        let details = json!([{"type": "wire", "amount": amount}]).to_string();
        let pairs = [("scope", "openid"), ("login_hint", "sarah@example.com"), ("authorization_details", &details)];
        world.issuing.post("/t/acme/bc-authorize", &[("authorization", &agent)], &pairs)
    };
    // Sarah was made by a command; the directory says who manages her.
    let found = world.ok(200, "GET", "/Users?filter=userName%20eq%20%22SARAH@example.com%22", &Value::Null);
    assert_eq!((&found["totalResults"], &found["Resources"][0]["id"]), (&json!(1), &json!("sarah")));
    assert_eq!(found["Resources"][0]["displayName"], "Sarah Chen", "from what was known");
    let refused = ask(100);
    assert_ne!(refused.status, 200, "she has no manager: {}", refused.body);
    let manager = format!("{ENTERPRISE}:manager");
    let set =
        |who: &str| world.patch("/Users/sarah", &json!([{"op": "replace", "path": manager, "value": {"value": who}}]));
    let sarah = set(id(&john));
    assert_eq!(sarah[ENTERPRISE]["manager"]["$ref"], john["meta"]["location"]);
    assert!(world.allows(&format!("user:{}", id(&john)), "manager", "user:sarah"));
    let heard = ask(200);
    assert_eq!(heard.status, 200, "{}", heard.body);
    assert_eq!(approve(&world.issuing, id(&john)).shown.details[0].title, "Pay 200");
    // She moves to another team: the next question goes to Olga, and John is not asked.
    set(id(&olga));
    assert_eq!(ask(300).status, 200);
    assert_eq!(approve(&world.issuing, id(&olga)).shown.details[0].title, "Pay 300");
    assert!(!world.allows(&format!("user:{}", id(&john)), "manager", "user:sarah"));
    // Nobody decides about themselves, and nobody who is not there is a manager.
    let to = |who: &str| patch(&json!([{"op": "add", "path": manager, "value": who}]));
    assert_eq!(world.refused("PATCH", "/Users/sarah", &to("sarah")), (400, "invalidValue".into()));
    assert_eq!(world.refused("PATCH", "/Users/sarah", &to("nobody")), (400, "invalidValue".into()));
    // Who is gone manages nobody.
    world.ok(204, "DELETE", &format!("/Users/{}", id(&olga)), &Value::Null);
    assert_eq!(world.ok(200, "GET", "/Users/sarah", &Value::Null).get(ENTERPRISE), None);
    let told: Vec<(String, String, String)> = events(&world.issuing)
        .iter()
        .filter(|event| event.kind() == EventKind::AdminChanged && event.get_action() == Some("manager"))
        .map(|event| {
            (event.get_user().unwrap().into(), event.details()["there"].clone(), event.details()["by"].clone())
        })
        .collect();
    let (john, olga) = (format!("user:{}", id(&john)), format!("user:{}", id(&olga)));
    let line = |who: &str, there: &str| (who.to_owned(), there.to_owned(), "app:hr".to_owned());
    assert_eq!(told, [line(&john, "yes"), line(&john, "no"), line(&olga, "yes")]);
}

#[test]
fn a_person_who_is_not_active_can_do_nothing_and_is_signed_out() {
    let world = World::start();
    let tenant = &world.issuing.acme;
    resource(tenant, "crm", "https://crm.example/", &["read"]);
    let app = Client {
        redirect_uris: strings(&[CALLBACK]),
        grant_types: strings(&["authorization_code"]),
        scopes: strings(&["openid", "read"]),
        resources: strings(&["https://crm.example/"]),
        consent: ConsentRule::Managed,
        ..Client::new("console", ClientKind::App, "A console")
    };
    let basic = client(tenant, app);
    let token = signed_in(&world.issuing, ("console", &basic), "sarah", "https://crm.example/", "openid read");
    let before = session(&world.issuing, "sarah");
    let userinfo = |token: &str| {
        world.issuing.send("GET", "/t/acme/userinfo", &[("authorization", &format!("Bearer {token}"))], "").status
    };
    assert_eq!(userinfo(&token), 200);
    let shown = world.patch("/Users/sarah", &json!([{"op": "Replace", "path": "active", "value": "False"}]));
    assert_eq!(shown["active"], false);
    assert!(!world.allows("user:sarah", "active", "tenant:acme"));
    assert_eq!(userinfo(&token), 401);
    // She is back: what was handed out before is void all the same.
    world.patch("/Users/sarah", &json!([{"op": "replace", "value": {"active": true}}]));
    assert!(world.allows("user:sarah", "active", "tenant:acme"));
    assert_eq!(userinfo(&token), 401);
    assert!(before.epoch < tenant.user("sarah").unwrap().epoch, "the browser's session is of an epoch that is over");
    let kinds: Vec<EventKind> = events(&world.issuing).iter().map(bailiwick::identity::Event::kind).collect();
    for kind in [EventKind::UserSuspended, EventKind::SessionEnded, EventKind::UserResumed] {
        assert_eq!(kinds.iter().filter(|one| **one == kind).count(), 1, "{kind:?}");
    }
    // A PUT that says nothing of it changes nothing of it; nobody comes back by being forgotten.
    world.patch("/Users/sarah", &json!([{"op": "replace", "path": "active", "value": false}]));
    let put = json!({"schemas": [USER], "userName": "sarah@example.com"});
    assert_eq!(world.ok(200, "PUT", "/Users/sarah", &put)["active"], false);
    assert_eq!(tenant.user("sarah").unwrap().claims.get("name"), None, "what is left out of a PUT is gone");
}

/// An ordinary full sync says `active: true` of everybody it has.
#[test]
fn whom_an_administrator_suspended_the_directory_does_not_let_in_again() {
    let world = World::start();
    let tenant = &world.issuing.acme;
    let active = |said: bool| world.patch("/Users/sarah", &json!([{"op": "replace", "value": {"active": said}}]));
    let suspend = |suspended| tenant.suspend("user:sarah", suspended, None, &env()).map(drop).unwrap();
    let may_act = || world.allows("user:sarah", "active", "tenant:acme");
    suspend(true);
    assert_eq!((&active(true)["active"], may_act()), (&json!(false), false));
    let put = json!({"schemas": [USER], "userName": "sarah@example.com", "active": true});
    assert_eq!((&world.ok(200, "PUT", "/Users/sarah", &put)["active"], may_act()), (&json!(false), false));
    suspend(false);
    assert_eq!((&active(true)["active"], may_act()), (&json!(true), true));
    // Both: what the directory put, it cannot lift once an administrator has stopped her too.
    active(false);
    suspend(true);
    assert_eq!((&active(true)["active"], may_act()), (&json!(false), false));
    suspend(false);
    assert!(may_act());
    active(false);
    assert_eq!((&active(true)["active"], may_act()), (&json!(true), true), "what it put itself");
}

/// Remembers who was told of which agents.
#[derive(Default)]
struct Told(Mutex<Vec<(String, Vec<String>)>>);

impl Tell for Told {
    fn orphaned(&self, _: &Tenant, user: &str, agents: &[String], _: &Env<'_>) -> Answer<()> {
        self.0.lock().push((user.to_owned(), agents.to_vec()));
        Ok(())
    }
}

#[test]
fn when_the_directory_says_that_somebody_left_their_agents_find_who_answers_for_them() {
    let world = World::start();
    let tenant = &world.issuing.acme;
    let (ann, bob, boss) =
        (world.person("ann", &json!({})), world.person("bob", &json!({})), world.person("boss", &json!({})));
    let body =
        json!({"schemas": [GROUP], "displayName": "Sales", "members": [{"value": id(&ann)}, {"value": id(&bob)}]});
    let sales = world.ok(201, "POST", "/Groups", &body);
    let mut change = tenant.change(&env());
    change.relate("tenant:acme", "admin", &format!("user:{}", id(&boss)));
    change.commit().unwrap();
    let registry = Registry { tenant, approvals: &NoApprovals };
    let profile = |who: &Value| Profile {
        name: "The sales agent".into(),
        purpose: "sells".into(),
        kind: bailiwick::modules::agent::AgentType::default(),
        model: "a model".into(),
        owner: Some(format!("team:{}", id(&sales))),
        accountable: Some(format!("user:{}", id(who))),
    };
    registry.register(By::Machine, Some("bot"), &profile(&ann), &env()).unwrap();
    registry.activate(By::Machine, "bot", &env()).unwrap();
    let told = || {
        let told = Told::default();
        registry.tell_of_orphans(&told, &env()).unwrap();
        told.0.into_inner()
    };
    let bots = vec!["bot".to_owned()];
    assert_eq!(told(), [], "all are there");
    world.patch(&format!("/Users/{}", id(&ann)), &json!([{"op": "replace", "path": "active", "value": false}]));
    let mut both = [(id(&bob).to_owned(), bots.clone()), (id(&boss).to_owned(), bots.clone())];
    both.sort();
    assert_eq!(told(), both, "ann left");
    let admin = format!("user:{}", id(&boss));
    registry.change(By::Subject(&admin), "bot", &profile(&bob), &env()).unwrap();
    assert_eq!(told(), [], "bob took it over");
    world.ok(204, "DELETE", &format!("/Users/{}", id(&bob)), &Value::Null);
    assert_eq!(told(), [(id(&boss).to_owned(), bots)], "nobody of the team is left");
}

#[test]
fn groups_are_teams_and_their_members_decide() {
    let world = World::start();
    let (ann, bob) = (world.person("ann", &json!({})), world.person("bob", &json!({"active": true})));
    let member = |who: &Value| json!({"value": id(who), "display": "what directories say"});
    let body = json!({"schemas": [GROUP], "displayName": "Sales", "externalId": "g-7", "members": [member(&ann)]});
    let sales = world.ok(201, "POST", "/Groups", &body);
    let (path, team) = (format!("/Groups/{}", id(&sales)), format!("team:{}", id(&sales)));
    assert_eq!(sales["members"][0]["type"], "User");
    let user = |who: &Value| format!("user:{}", id(who));
    assert!(world.allows(&user(&ann), "member", &team));
    let add = json!([{"op": "add", "path": "members", "value": [member(&bob), member(&ann)]}]);
    assert_eq!(world.patch(&path, &add)["members"].as_array().unwrap().len(), 2);
    assert!(world.allows(&user(&bob), "member", &team));
    let whole = json!({"schemas": [GROUP], "displayName": "All", "members": [{"value": id(&sales)}]});
    let all = world.ok(201, "POST", "/Groups", &whole);
    assert_eq!(all["members"][0]["type"], "Group");
    assert!(world.allows(&user(&bob), "member", &format!("team:{}", id(&all))));
    let shown = world.ok(200, "GET", &format!("/Users/{}", id(&bob)), &Value::Null);
    let mut kinds: Vec<(&str, &str)> = shown["groups"]
        .as_array()
        .unwrap()
        .iter()
        .map(|group| (group["display"].as_str().unwrap(), group["type"].as_str().unwrap()))
        .collect();
    kinds.sort_unstable();
    assert_eq!(kinds, [("All", "indirect"), ("Sales", "direct")]);
    let filter = "/Users?filter=groups.display%20eq%20%22sales%22&attributes=userName";
    assert_eq!(world.ok(200, "GET", filter, &Value::Null)["totalResults"], 2);
    let one = format!("members[value eq \"{}\"]", id(&ann));
    let left = world.patch(
        &path,
        &json!([{"op": "remove", "path": one}, {"op": "replace", "path": "displayName", "value": "EMEA"}]),
    );
    assert_eq!((left["members"].as_array().unwrap().len(), &left["displayName"]), (1, &json!("EMEA")));
    assert!(!world.allows(&user(&ann), "member", &team));
    for (operations, keyword) in [
        (json!([{"op": "add", "path": "members", "value": [{"value": "nobody"}]}]), "invalidValue"),
        (json!([{"op": "add", "path": "members", "value": [{"value": id(&sales)}]}]), "invalidValue"),
        (json!([{"op": "remove", "path": "displayName"}]), "mutability"),
    ] {
        assert_eq!(world.refused("PATCH", &path, &patch(&operations)).1, keyword, "{operations}");
    }
    let found =
        world.ok(200, "GET", "/Groups?filter=externalId%20eq%20%22g-7%22&excludedAttributes=members", &Value::Null);
    assert_eq!((&found["totalResults"], found["Resources"][0].get("members")), (&json!(1), None));
    // A person who goes leaves the team, and a team that goes the one that it is in.
    world.ok(204, "DELETE", &format!("/Users/{}", id(&bob)), &Value::Null);
    assert_eq!(world.ok(200, "GET", &path, &Value::Null).get("members"), None);
    world.ok(204, "DELETE", &path, &Value::Null);
    assert_eq!(world.refused("GET", &path, &Value::Null).0, 404);
    assert_eq!(world.ok(200, "GET", &format!("/Groups/{}", id(&all)), &Value::Null).get("members"), None);
}

#[test]
fn versions_pages_and_refusals_are_as_the_standard_has_them() {
    let world = World::start();
    let many = json!({"externalId": "HR-1", "password": "is not taken", "emails": [{"value": "eve@example.com"}]});
    let eve = world.person("eve", &many);
    assert_eq!((eve.get("password"), &eve["active"]), (None, &json!(true)));
    let claims = world.issuing.acme.user(id(&eve)).unwrap().claims.clone();
    assert_eq!(
        (&claims["email"], &claims["email_verified"], &claims["name"]),
        (&json!("eve@example.com"), &json!(true), &json!("eve"))
    );
    let path = format!("/Users/{}", id(&eve));
    let heard = world.send("GET", &path, &[], &Value::Null);
    let tag = heard.header("etag").unwrap().to_owned();
    assert_eq!(
        (Some(tag.as_str()), heard.header("location")),
        (eve["meta"]["version"].as_str(), eve["meta"]["location"].as_str())
    );
    assert_eq!(world.send("GET", &path, &[("if-none-match", &tag)], &Value::Null).status, 304);
    let title = patch(&json!([{"op": "add", "path": "title", "value": "Boss"}]));
    assert_eq!(world.send("PATCH", &path, &[("if-match", "W/\"other\"")], &title).status, 412);
    let changed = world.send("PATCH", &path, &[("if-match", &tag)], &title);
    assert_eq!((changed.status, changed.header("etag") == Some(tag.as_str())), (200, false));
    assert_eq!(world.send("PUT", &path, &[("if-match", &tag)], &eve).status, 412);
    assert_eq!(world.send("DELETE", &path, &[("if-match", &tag)], &Value::Null).status, 412);
    let again = world.send("PATCH", &path, &[], &title);
    assert_eq!(again.header("etag"), changed.header("etag"), "what changes nothing is no other version");

    for name in ["a1", "a2", "a3"] {
        world.person(name, &json!({}));
    }
    let page = world.ok(200, "GET", "/Users?startIndex=2&count=2&attributes=userName", &Value::Null);
    assert_eq!((&page["totalResults"], &page["startIndex"], &page["itemsPerPage"]), (&json!(5), &json!(2), &json!(2)));
    assert_eq!(world.ok(200, "GET", "/Users?count=0", &Value::Null)["Resources"], json!([]));
    let search = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"], "filter": "userName sw \"a\"",
        "attributes": ["userName"], "startIndex": 1, "count": 1,
    });
    let found = world.ok(200, "POST", "/Users/.search", &search);
    assert_eq!((&found["totalResults"], found["Resources"].as_array().unwrap().len()), (&json!(3), 1));

    let same = json!({"schemas": [USER], "userName": "EVE@example.com"});
    assert_eq!(world.refused("POST", "/Users", &same), (409, "uniqueness".into()));
    assert_eq!(world.refused("POST", "/Users", &json!({"schemas": [USER]})), (400, "invalidValue".into()));
    assert_eq!(
        world.refused("GET", "/Users?filter=userName%20like%20%22x%22", &Value::Null),
        (400, "invalidFilter".into())
    );
    assert_eq!(world.refused("GET", "/Users/nobody", &Value::Null), (404, String::new()));
    assert_eq!(world.refused("POST", "/Bulk", &json!({})), (501, String::new()));
    assert_eq!(world.refused("PUT", "/Users", &same), (405, String::new()));
    assert_eq!(world.refused("GET", "/Elsewhere", &Value::Null), (404, String::new()));
    let plain = [("authorization", format!("Bearer {}", world.token)), ("content-type", "text/plain".to_owned())];
    let plain: Vec<(&str, &str)> = plain.iter().map(|(name, value)| (*name, value.as_str())).collect();
    assert_eq!(world.issuing.send("POST", "/t/acme/scim/v2/Users", &plain, "{}").status, 415);
    let nobody = world.issuing.send("GET", "/t/acme/scim/v2/Users", &[], "");
    assert_eq!((nobody.status, nobody.header("www-authenticate").is_some()), (401, true));
    // What is served is told to everybody; another tenant has none of it.
    let config = world.issuing.send("GET", "/t/acme/scim/v2/ServiceProviderConfig", &[], "");
    assert_eq!((config.status, &config.json()["etag"]["supported"]), (200, &json!(true)));
    let other = format!("Bearer {}", world.token);
    assert_eq!(world.issuing.send("GET", "/scim/v2/Users", &[("authorization", &other)], "").status, 401);
    // A deleted person is nowhere, and the id is never given again.
    world.ok(204, "DELETE", &path, &Value::Null);
    assert_eq!(world.refused("DELETE", &path, &Value::Null).0, 404);
    let gone = world.ok(200, "GET", "/Users?filter=externalId%20eq%20%22HR-1%22", &Value::Null);
    assert_eq!(gone["totalResults"], 0);
    assert_eq!(world.person("eve", &json!({}))["userName"], "eve@example.com", "the name is free again");
}

#[test]
fn of_who_was_deleted_elsewhere_nothing_is_kept() {
    let world = World::start();
    let tenant = &world.issuing.acme;
    let boss = world.person("boss", &json!({}));
    let said = json!({"externalId": "HR-7", "title": "Guide", ENTERPRISE: {"manager": {"value": id(&boss)}}});
    let eve = world.person("eve", &said);
    let group = json!({"schemas": [GROUP], "displayName": "Tours", "members": [{"value": id(&eve)}]});
    let group = world.ok(201, "POST", "/Groups", &group);
    let kept = || {
        let records = tenant.engine().records(SCIM).scan(&tenant.number().to_be_bytes(), None, 100).unwrap();
        records.iter().filter(|(key, _)| String::from_utf8_lossy(key).contains(id(&eve))).count()
    };
    assert_eq!(kept(), 2, "the person, and their id at the directory");
    tenant.delete_user(id(&eve), &env()).unwrap();
    forget_user(tenant, id(&eve), &env()).unwrap();
    assert_eq!(kept(), 0);
    let subject = format!("user:{}", id(&eve));
    assert!(!world.allows(&subject, "member", &format!("team:{}", id(&group))));
    assert!(!world.allows(&format!("user:{}", id(&boss)), "manager", &subject));
    let count = events(&world.issuing).len();
    forget_user(tenant, id(&eve), &env()).unwrap();
    assert_eq!(events(&world.issuing).len(), count, "there is nothing more to forget");
    world.person("eve", &said);
}
