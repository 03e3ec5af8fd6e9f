//! AuthZEN on worlds that others made up, and on random ones: the scenario of its certification, the Todo application of its
//! interoperability tests, and worlds on which it must say what OpenFGA's API says.

use crate::agree::number;
use crate::authzen::{Store, entity};
use crate::wire_client::Server;
use crate::world::{RELATIONS, TYPES, World, world};
use bailiwick::engine::WriteQuery;
use bailiwick::tuple::{ModelId, StoreId, Subject, Timestamp};
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// The fixture of the certification scenario (openid/authzen, `certification/authorization-api-1_0-scenario.md`, c-1): who
/// may write is up to the state of the record and the role of the user, and a deletion is soft or is not. What the decision point
/// knows by itself is stored with the tuples; what it does not is what the request says.
const RECORDS: &str = "model
  schema 1.1
type user
type record
  relations
    define read: [user]
    define write: [user with active, user with administers]
    define delete: [user with soft]
condition active(resource_status: string) {
  resource_status != \"archived\"
}
condition administers(subject_role: string, resource_status: string) {
  subject_role == \"admin\" && resource_status == \"archived\"
}
condition soft(action_soft: bool) {
  action_soft
}
";
const RECORDS_TUPLES: [&str; 6] = [
    "record:record-1 read user:alice",
    "record:record-1 read user:bob",
    r#"record:record-1 write user:alice active {"resource_status": "active"}"#,
    "record:record-2 write user:alice active {}",
    r#"record:record-2 write user:bob administers {"subject_role": "admin", "resource_status": "archived"}"#,
    "record:record-1 delete user:alice soft {}",
];

/// An entity with properties.
fn with(text: &str, properties: Value) -> Value {
    let mut entity = entity(text);
    entity["properties"] = properties;
    entity
}

#[test]
fn the_decisions_of_the_certification() {
    let server = Server::start();
    let store = Store::new(&server, RECORDS, &RECORDS_TUPLES);
    let (alice, bob) = (|| entity("user:alice"), || entity("user:bob"));
    let one = || entity("record:record-1");
    let archived = || with("record:record-2", json!({"status": "archived"}));
    let admin = || with("user:bob", json!({"role": "admin"}));
    let act = |name: &str| json!({ "name": name });
    let delete = |soft: bool| json!({"name": "delete", "properties": {"soft": soft}});
    let decide = |subject: Value, action: Value, resource: Value| {
        let mut body = json!({"subject": subject, "action": action, "resource": resource});
        let plain = store.ask("evaluation", &body);
        body["context"] = json!({"time": "2025-06-27T18:03-07:00", "ip": "192.168.1.1"});
        body["futureField"] = json!({"nested": true});
        assert_eq!(store.ask("evaluation", &body), plain, "neither a context nor what is not known changes it");
        plain["decision"].as_bool().unwrap()
    };
    // c-1-4 and c-2: rules 1 to 8.
    assert!(decide(alice(), act("read"), one()));
    assert!(decide(alice(), act("write"), one()));
    assert!(decide(bob(), act("read"), one()));
    assert!(!decide(bob(), act("write"), one()));
    assert!(!decide(alice(), act("write"), archived()));
    assert!(decide(admin(), act("write"), archived()));
    assert!(decide(alice(), delete(true), one()));
    assert!(!decide(alice(), delete(false), one()));
    let more = with("record:record-1", json!({"status": "active", "owner": "bob"}));
    let manager = with("user:alice", json!({"department": "Sales", "role": "manager"}));
    assert!(decide(manager, json!({"name": "read", "properties": {"method": "GET"}}), more));

    // c-3: batches.
    let batch = |body: Value| {
        let answer = store.ask("evaluations", &body);
        let decision = |answer: &Value| answer["decision"].as_bool().unwrap();
        answer["evaluations"].as_array().unwrap().iter().map(decision).collect::<Vec<_>>()
    };
    let active = json!({"resource": with("record:record-1", json!({"status": "active"}))});
    let archive = json!({"resource": archived()});
    assert_eq!(
        batch(
            json!({"subject": bob(), "resource": one(), "evaluations": [{"action": act("read")}, {"action": act("write")}]})
        ),
        [true, false]
    );
    assert_eq!(
        batch(json!({"subject": alice(), "action": act("write"), "evaluations": [active, archive]})),
        [true, false]
    );
    assert_eq!(
        batch(
            json!({"action": act("write"), "resource": archived(), "evaluations": [{"subject": alice()}, {"subject": admin()}]})
        ),
        [false, true]
    );
    let merged = json!({"id": "record-1", "properties": {"status": "active"}});
    assert_eq!(
        batch(
            json!({"subject": alice(), "action": act("write"), "resource": {"type": "record"}, "evaluations": [{"resource": merged}, archive]})
        ),
        [true, false]
    );
    assert_eq!(
        batch(json!({"subject": alice(), "action": act("read"), "evaluations": [{"resource": one()}, {}]})),
        [true, false]
    );
}

#[test]
fn the_searches_of_the_certification() {
    let server = Server::start();
    let store = Store::new(&server, RECORDS, &RECORDS_TUPLES);
    let (alice, one) = (|| entity("user:alice"), || entity("record:record-1"));
    let archived = || with("record:record-2", json!({"status": "archived"}));
    let admin = || with("user:bob", json!({"role": "admin"}));
    let act = |name: &str| json!({ "name": name });
    // c-4: they find at least these.
    let search = |kind: &str, key: &str, body: Value, wanted: &[&str]| {
        let answer = store.ask(&format!("search/{kind}"), &body);
        let found: BTreeSet<&str> =
            answer["results"].as_array().unwrap().iter().map(|r| r[key].as_str().unwrap()).collect();
        assert!(wanted.iter().all(|wanted| found.contains(wanted)), "{kind} {body}: {answer}");
    };
    let user = json!({"type": "user"});
    search("subject", "id", json!({"subject": user, "action": act("read"), "resource": one()}), &["alice", "bob"]);
    search("subject", "id", json!({"subject": user, "action": act("write"), "resource": archived()}), &["bob"]);
    let record = json!({"type": "record"});
    search("resource", "id", json!({"subject": alice(), "action": act("read"), "resource": record}), &["record-1"]);
    search("resource", "id", json!({"subject": admin(), "action": act("write"), "resource": record}), &["record-2"]);
    search("action", "name", json!({"subject": alice(), "resource": one()}), &["read", "write"]);
    search("action", "name", json!({"subject": admin(), "resource": archived()}), &["write"]);
    let none = json!({"subject": entity("user:nonexistent-user"), "resource": entity("record:record-2")});
    assert_eq!(store.ask("search/action", &none)["results"], json!([]));
}

/// The Todo application of the interoperability tests (openid/authzen, `interop/authzen-todo-backend`): everybody reads, editors
/// make todos and change their own, an evil genius changes all, an administrator deletes all. Whose a todo is is a property of the
/// resource: the owner's address, which the decision point knows of each user.
const TODOS: &str = "model
  schema 1.1
type app
  relations
    define admin: [user]
    define evil_genius: [user]
    define editor: [user]
    define viewer: [user]
    define owns: [user with is_owner]
    define reader: admin or evil_genius or editor or viewer
type user
  relations
    define app: [app]
    define can_read_user: reader from app
type todo
  relations
    define app: [app]
    define can_read_todos: reader from app
    define can_create_todo: admin from app or editor from app
    define editor: editor from app
    define owns: owns from app
    define own: editor and owns
    define can_update_todo: evil_genius from app or own
    define can_delete_todo: admin from app or own
condition is_owner(address: string, resource_ownerID: string) {
  resource_ownerID == address
}
";
/// Their names, addresses and roles.
const PEOPLE: [(&str, &str, &[&str]); 5] = [
    ("CiRmZDA2MTRkMy1jMzlhLTQ3ODEtYjdiZC04Yjk2ZjVhNTEwMGQSBWxvY2Fs", "rick@the-citadel.com", &["admin", "evil_genius"]),
    ("CiRmZDE2MTRkMy1jMzlhLTQ3ODEtYjdiZC04Yjk2ZjVhNTEwMGQSBWxvY2Fs", "morty@the-citadel.com", &["editor"]),
    ("CiRmZDI2MTRkMy1jMzlhLTQ3ODEtYjdiZC04Yjk2ZjVhNTEwMGQSBWxvY2Fs", "summer@the-smiths.com", &["editor"]),
    ("CiRmZDM2MTRkMy1jMzlhLTQ3ODEtYjdiZC04Yjk2ZjVhNTEwMGQSBWxvY2Fs", "beth@the-smiths.com", &["viewer"]),
    ("CiRmZDQ2MTRkMy1jMzlhLTQ3ODEtYjdiZC04Yjk2ZjVhNTEwMGQSBWxvY2Fs", "jerry@the-smiths.com", &["viewer"]),
];
const TODO: &str = "7240d0db-8ff0-41ec-98b2-34a096273b9f";
/// For each of them: reads Beth, reads themselves, reads the list, makes one, changes Rick's, changes their own, deletes Rick's,
/// deletes their own; Rick's own stands for Morty's. The table of the tests.
const DECISIONS: [[bool; 8]; 5] = [
    [true, true, true, true, true, true, true, true],
    [true, true, true, true, false, true, false, true],
    [true, true, true, true, false, true, false, true],
    [true, true, true, false, false, false, false, false],
    [true, true, true, false, false, false, false, false],
];

#[test]
fn the_decisions_of_the_todo_application() {
    let server = Server::start();
    let mut lines = vec![format!("todo:{TODO} app app:todos"), "todo:todo-1 app app:todos".to_owned()];
    for (id, address, roles) in PEOPLE {
        lines.push(format!("user:{address} app app:todos"));
        lines.push(format!(r#"app:todos owns user:{id} is_owner {{"address": "{address}"}}"#));
        lines.extend(roles.iter().map(|role| format!("app:todos {role} user:{id}")));
    }
    let store = Store::new(&server, TODOS, &lines.iter().map(String::as_str).collect::<Vec<_>>());
    let todo = |owner: &str| json!({"type": "todo", "id": TODO, "properties": {"ownerID": owner}});
    let action = |name: &str| json!({ "name": name });
    for ((id, address, _), expected) in PEOPLE.into_iter().zip(DECISIONS) {
        let own = if address.starts_with("rick") { "morty@the-citadel.com" } else { address };
        let (rick, own) = (todo("rick@the-citadel.com"), todo(own));
        let items = json!([
            {"action": action("can_read_user"), "resource": entity("user:beth@the-smiths.com")},
            {"action": action("can_read_user"), "resource": entity(&format!("user:{address}"))},
            {"action": action("can_read_todos"), "resource": entity("todo:todo-1")},
            {"action": action("can_create_todo"), "resource": entity("todo:todo-1")},
            {"action": action("can_update_todo"), "resource": rick},
            {"action": action("can_update_todo"), "resource": own},
            {"action": action("can_delete_todo"), "resource": rick},
            {"action": action("can_delete_todo"), "resource": own},
        ]);
        let subject = entity(&format!("user:{id}"));
        for (item, expected) in items.as_array().unwrap().iter().zip(expected) {
            let mut body = item.clone();
            body["subject"] = subject.clone();
            assert_eq!(store.ask("evaluation", &body), json!({"decision": expected}), "{address} {item}");
        }
        let answer = store.ask("evaluations", &json!({"subject": subject, "evaluations": items}));
        let expected: Vec<Value> = expected.iter().map(|decision| json!({"decision": decision})).collect();
        assert_eq!(answer, json!({"evaluations": expected}), "{address}");
    }
}

fn fail(text: String) -> TestCaseError {
    TestCaseError::fail(text)
}

/// An answer of either API: what it says, or its status.
fn said(store: &Store<'_>, path: &str, body: &Value) -> Result<Value, u16> {
    let path = format!("/stores/{}/{path}", store.id);
    let answer = store.server.http("POST", &path, &[("content-type", "application/json")], Some(&body.to_string()));
    if answer.status == 200 { Ok(answer.json()) } else { Err(answer.status) }
}

fn ids(list: &Value, of: impl Fn(&Value) -> String) -> BTreeSet<String> {
    list.as_array().unwrap().iter().map(of).collect()
}

/// All questions about one subject in one world, asked of both.
fn compare(store: &Store<'_>, world: &World, user: &str, objects: &[String]) -> Result<(), TestCaseError> {
    let context = json!(world.context);
    let subject = entity(user);
    let mut held: Vec<BTreeSet<String>> = vec![BTreeSet::new(); objects.len()];
    let places: Vec<(usize, &str)> =
        (0..objects.len()).flat_map(|at| RELATIONS.map(|relation| (at, relation))).collect();
    for places in places.chunks(50) {
        let check = |(n, (at, relation)): (usize, &(usize, &str))| json!({"tuple_key": {"user": user, "relation": relation, "object": objects[*at]}, "context": context, "correlation_id": n.to_string()});
        let checks: Vec<Value> = places.iter().enumerate().map(check).collect();
        let theirs = store.fga("batch-check", &json!({ "checks": checks }));
        let item =
            |(at, relation): &(usize, &str)| json!({"action": {"name": relation}, "resource": entity(&objects[*at])});
        let items: Vec<Value> = places.iter().map(item).collect();
        let ours = store.ask("evaluations", &json!({"subject": subject, "context": context, "evaluations": items}));
        for (n, (at, relation)) in places.iter().enumerate() {
            let (theirs, ours) = (&theirs["result"][n.to_string()], &ours["evaluations"][n]);
            let failed = !ours["context"]["error"].is_null();
            let alike = match theirs.get("allowed") {
                Some(allowed) => ours["decision"] == *allowed && !failed,
                None => ours["decision"] == false && failed,
            };
            if !alike {
                return Err(fail(format!("{user} {relation} {}: {theirs} and {ours}", objects[*at])));
            }
            if ours["decision"] == true {
                held[*at].insert((*relation).to_owned());
            }
        }
    }
    for (object, held) in objects.iter().zip(&held) {
        let found =
            store.ask("search/action", &json!({"subject": subject, "resource": entity(object), "context": context}));
        let mut found = ids(&found["results"], |action| action["name"].as_str().unwrap().to_owned());
        found.remove("parent");
        if found != *held {
            return Err(fail(format!("what {user} may do to {object}: {found:?}, and {held:?} hold")));
        }
    }
    for (object_type, relation) in TYPES.iter().flat_map(|t| RELATIONS.map(|r| (*t, r))) {
        let theirs = said(
            store,
            "list-objects",
            &json!({"type": object_type, "relation": relation, "user": user, "context": context}),
        );
        let theirs = theirs.map(|list| ids(&list["objects"], |object| object.as_str().unwrap().to_owned()));
        let body = json!({"subject": subject, "action": {"name": relation}, "resource": {"type": object_type}, "context": context});
        let ours = said(store, "access/v1/search/resource", &body);
        let name = |found: &Value| format!("{}:{}", found["type"].as_str().unwrap(), found["id"].as_str().unwrap());
        let ours = ours.map(|list| ids(&list["results"], name));
        if theirs != ours {
            return Err(fail(format!("{object_type} {relation} of {user}: {theirs:?} and {ours:?}")));
        }
    }
    Ok(())
}

/// Who has each relation, asked of both.
fn compare_users(store: &Store<'_>, world: &World, objects: &[String]) -> Result<(), TestCaseError> {
    for (object, relation) in objects.iter().flat_map(|object| RELATIONS.map(|relation| (object, relation))) {
        let of = entity(object);
        let context = json!(world.context);
        let theirs =
            json!({"object": of, "relation": relation, "user_filters": [{"type": "user"}], "context": context});
        let theirs = said(store, "list-users", &theirs)
            .map(|list| ids(&list["users"], |user| user["object"]["id"].as_str().unwrap_or("*").to_owned()));
        let ours =
            json!({"subject": {"type": "user"}, "action": {"name": relation}, "resource": of, "context": context});
        let ours = said(store, "access/v1/search/subject", &ours);
        let ours = ours.map(|list| ids(&list["results"], |user| user["id"].as_str().unwrap().to_owned()));
        if theirs != ours {
            return Err(fail(format!("who is {relation} of {object}: {theirs:?} and {ours:?}")));
        }
    }
    Ok(())
}

#[test]
fn it_says_what_openfga_says_on_random_worlds() {
    let (worlds, seed) = (number("BAILIWICK_WORLDS", 500).div_ceil(50), number("BAILIWICK_SEED", 1));
    eprintln!("authzen: {worlds} worlds, BAILIWICK_SEED={seed}");
    let server = Server::start();
    let mut bytes = [9; 32];
    bytes[..8].copy_from_slice(&seed.to_be_bytes());
    let config = Config {
        cases: u32::try_from(worlds).unwrap(),
        failure_persistence: None,
        max_shrink_iters: 200,
        max_global_rejects: 100_000,
        ..Config::default()
    };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let next = std::cell::Cell::new(1_u128 << 80);
    let fresh = || ulid::Ulid::from(next.replace(next.get() + 1));
    let now = Timestamp(1_700_000_000_000_000_000);
    let outcome = runner.run(&world(), |raw| {
        let Some(world) = raw.build() else { return Err(TestCaseError::reject("the model is not valid")) };
        let id = StoreId(fresh());
        server.engine.create_store(id, "world", now).unwrap();
        server.engine.write_model(id, ModelId(fresh()), world.model.clone()).unwrap();
        let writes = WriteQuery { writes: world.stored.clone(), ..WriteQuery::default() };
        server.engine.write(id, None, writes, now).unwrap();
        let store = Store { server: &server, id: id.to_string() };
        let objects: Vec<String> = TYPES.iter().flat_map(|t| (0..4).map(move |n| format!("{t}:{n}"))).collect();
        for subject in world.subjects() {
            // A set of subjects is no subject of AuthZEN's.
            if !matches!(subject, Subject::Userset { .. }) {
                compare(&store, &world, &subject.to_string(), &objects).map_err(|f| fail(format!("{f}\n\n{world}")))?;
            }
        }
        compare_users(&store, &world, &objects).map_err(|f| fail(format!("{f}\n\n{world}")))?;
        server.engine.delete_store(id, now).unwrap();
        Ok(())
    });
    assert!(outcome.is_ok(), "BAILIWICK_SEED={seed}: {}", outcome.unwrap_err());
}
