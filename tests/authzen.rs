//! AuthZEN's Authorization API over HTTP: what is decided is what Check decides, what is malformed is refused and never decided,
//! batches end as they are asked, lists come in pages, and the rules of the surface hold here too.

use crate::wire_client::{Http, Server};
use bailiwick::api::{PolicyDecisionPoint, PresharedKeys};
use bailiwick::model::Model;
use bailiwick::server::{Settings, serve};
use bailiwick::wire::Bounds;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::mpsc;
use std::time::Duration;
use tokio::sync::oneshot;

const TOKEN: &str = "bailiwick-consistency-token";
const JSON: (&str, &str) = ("content-type", "application/json");

/// A store of its own on a server.
pub(crate) struct Store<'a> {
    pub(crate) server: &'a Server,
    pub(crate) id: String,
}

impl Store<'_> {
    /// A store with a model and tuples, each `object relation user`, perhaps ` condition {context}` behind.
    pub(crate) fn new<'a>(server: &'a Server, model: &str, tuples: &[&str]) -> Store<'a> {
        let made = server.http("POST", "/stores", &[], Some(r#"{"name": "authzen"}"#)).json();
        let store = Store { server, id: made["id"].as_str().unwrap().to_owned() };
        store.model(model);
        let keys: Vec<Value> = tuples.iter().map(|line| tuple(line)).collect();
        for keys in keys.chunks(100) {
            store.fga("write", &json!({"writes": {"tuple_keys": keys}}));
        }
        store
    }

    /// Writes a model; returns its id.
    pub(crate) fn model(&self, text: &str) -> String {
        let made = self.fga("authorization-models", &Model::parse_dsl(text).unwrap().to_json());
        made["authorization_model_id"].as_str().unwrap().to_owned()
    }

    /// A call of OpenFGA's API that succeeds.
    pub(crate) fn fga(&self, call: &str, body: &Value) -> Value {
        let answer = self.server.http("POST", &format!("/stores/{}/{call}", self.id), &[], Some(&body.to_string()));
        assert!(answer.status < 300, "{call}: {} {}", answer.status, answer.body);
        answer.json()
    }

    /// A request of AuthZEN's API, as it is.
    pub(crate) fn send(&self, call: &str, headers: &[(&str, &str)], body: &str) -> Http {
        let path = format!("/stores/{}/access/v1/{call}", self.id);
        self.server.http("POST", &path, &[&[JSON], headers].concat(), Some(body))
    }

    /// One that is answered.
    pub(crate) fn ask(&self, call: &str, body: &Value) -> Value {
        let answer = self.send(call, &[], &body.to_string());
        assert_eq!(answer.status, 200, "{call} {body}: {}", answer.body);
        assert_eq!(answer.headers["content-type"], "application/json");
        answer.json()
    }

    /// One that is refused; the answer decides nothing.
    fn refused(&self, call: &str, body: &str, status: u16, words: &str) {
        let answer = self.send(call, &[], body);
        assert_eq!(answer.status, status, "{call} {body}: {}", answer.body);
        let message = answer.json()["message"].as_str().unwrap().to_owned();
        assert!(message.contains(words), "{call} {body}: `{message}` has no `{words}`");
        undecided(&answer);
    }

    fn decision(&self, user: &str, relation: &str, object: &str) -> bool {
        let answer = self.ask("evaluation", &question(user, relation, object));
        let keys: Vec<&String> = answer.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["decision"]);
        answer["decision"].as_bool().unwrap()
    }
}

/// An error is never a decision.
fn undecided(answer: &Http) {
    for key in ["decision", "evaluations", "results"] {
        assert!(answer.json().get(key).is_none(), "{}", answer.body);
    }
}

fn tuple(line: &str) -> Value {
    let mut parts = line.splitn(5, ' ');
    let mut next = || parts.next();
    let mut key = json!({"object": next().unwrap(), "relation": next().unwrap(), "user": next().unwrap()});
    if let (Some(name), Some(context)) = (next(), next()) {
        key["condition"] = json!({"name": name, "context": serde_json::from_str::<Value>(context).unwrap()});
    }
    key
}

pub(crate) fn entity(text: &str) -> Value {
    let (object_type, id) = text.split_once(':').unwrap();
    json!({"type": object_type, "id": id})
}

pub(crate) fn question(user: &str, relation: &str, object: &str) -> Value {
    json!({"subject": entity(user), "action": {"name": relation}, "resource": entity(object)})
}

/// The resources of MCP servers, each named by its URI, which is an object with the scheme as its type.
const RESOURCES: &str = "model
  schema 1.1
type user
type agent
type team
  relations
    define member: [user]
type crm
  relations
    define viewer: [user, agent]
type docs
  relations
    define viewer: [user, agent, team#member]
type pricing
  relations
    define viewer: [user, agent, team#member]
";
const RESOURCES_TUPLES: [&str; 7] = [
    "team:sales member user:sarah",
    "team:executives member user:eva",
    "crm://contacts/acme-corp viewer user:sarah",
    "crm://contacts/acme-corp viewer agent:sales-agent-prod-001",
    "docs://proposals/templates viewer team:sales#member",
    "docs://proposals/templates viewer agent:sales-agent-prod-001",
    "pricing://executive-discounts viewer team:executives#member",
];

#[test]
fn three_resources_are_decided_by_openfga_and_by_authzen_alike() {
    let server = Server::start();
    let store = Store::new(&server, RESOURCES, &RESOURCES_TUPLES);
    let asked = [
        ("crm://contacts/acme-corp", true),
        ("docs://proposals/templates", true),
        ("pricing://executive-discounts", false),
    ];
    for user in ["user:sarah", "agent:sales-agent-prod-001"] {
        for (object, allowed) in asked {
            let key = json!({"tuple_key": {"user": user, "relation": "viewer", "object": object}});
            assert_eq!(store.fga("check", &key)["allowed"], allowed, "{user} {object}");
            assert_eq!(store.decision(user, "viewer", object), allowed, "{user} {object}");
        }
        let items: Vec<Value> = asked.iter().map(|(object, _)| json!({"resource": entity(object)})).collect();
        let batch = json!({"subject": entity(user), "action": {"name": "viewer"}, "evaluations": items});
        let expected: Vec<Value> = asked.iter().map(|(_, allowed)| json!({"decision": allowed})).collect();
        assert_eq!(store.ask("evaluations", &batch), json!({"evaluations": expected}));
    }
    assert!(store.decision("user:eva", "viewer", "pricing://executive-discounts"), "somebody may");
    // A URI in one piece is no id, for OpenFGA as for us, and it is said how it is asked.
    let whole = question("user:sarah", "viewer", "crm:crm://contacts/acme-corp").to_string();
    store.refused("evaluation", &whole, 400, "its scheme as the type and the rest as the id");
    let key = json!({"user": "user:sarah", "relation": "viewer", "object": "crm:crm://contacts/acme-corp"});
    let check = format!("/stores/{}/check", store.id);
    assert_eq!(server.http("POST", &check, &[], Some(&json!({"tuple_key": key}).to_string())).status, 400);
}

const DOCUMENTS: &str = "model
  schema 1.1
type user
type group
  relations
    define member: [user]
type document
  relations
    define owner: [user]
    define editor: [user, group#member] or owner
    define viewer: [user, user:*] or editor
    define cleared: [user with level]
condition level(subject_level: int, resource_level: int, action_urgent: bool, hour: int) {
  (subject_level >= resource_level || action_urgent) && hour < 18
}
";

#[test]
fn what_is_malformed_is_refused_and_never_decided() {
    let server = Server::start();
    let store = Store::new(&server, DOCUMENTS, &["document:1 owner user:anne", "document:1 viewer user:*"]);
    let good = || question("user:anne", "owner", "document:1");
    let with = |path: &str, value: Value| {
        let mut body = good();
        *body.pointer_mut(path).unwrap() = value;
        body.to_string()
    };
    let without = |path: &[&str]| {
        let mut body = good();
        let (last, path) = path.split_last().unwrap();
        path.iter().fold(&mut body, |at, key| &mut at[*key]).as_object_mut().unwrap().remove(*last);
        body.to_string()
    };
    let long = |count: usize| "x".repeat(count);
    let mut deep = json!(1);
    for _ in 0..70 {
        deep = json!([deep]);
    }
    let mut nested = good();
    nested["context"] = json!({"hour": deep});
    for (body, words) in [
        (String::new(), "the body is empty"),
        (" \n".to_owned(), "the body is empty"),
        ("{".to_owned(), "cannot be read"),
        ("[]".to_owned(), "expected an object"),
        ("null".to_owned(), "cannot be read"),
        ("{}".to_owned(), "`subject` is missing"),
        (without(&["subject"]), "`subject` is missing"),
        (without(&["action"]), "`action` is missing"),
        (without(&["resource"]), "`resource` is missing"),
        (without(&["subject", "type"]), "`subject.type` is missing"),
        (without(&["subject", "id"]), "`subject.id` is missing"),
        (without(&["action", "name"]), "`action.name` is missing"),
        (without(&["resource", "type"]), "`resource.type` is missing"),
        (without(&["resource", "id"]), "`resource.id` is missing"),
        (with("/subject", Value::Null), "`subject` is missing"),
        (with("/subject", json!("anne")), "expected an object"),
        (with("/subject", json!(["user", "anne"])), "expected an object"),
        (with("/action", json!("owner")), "expected an object"),
        (with("/action/name", json!(123)), "expected a string"),
        (with("/resource/id", json!(1)), "expected a string"),
        (with("/subject/type", json!("")), "`subject.type` is 1 to 254"),
        (with("/subject/type", json!("us er")), "`subject.type` is 1 to 254"),
        (with("/subject/type", json!("user:x")), "`subject.type` is 1 to 254"),
        (with("/subject/type", json!(long(255))), "`subject.type` is 1 to 254"),
        (with("/subject/id", json!("")), "`subject.id` is one or more"),
        (with("/subject/id", json!("a b")), "`subject.id` is one or more"),
        (with("/subject/id", json!("a\u{0}b")), "`subject.id` is one or more"),
        (with("/subject/id", json!("eng#member")), "`subject.id` is one or more"),
        (with("/subject/id", json!("a:b")), "`subject.id` holds `:`"),
        (with("/subject/id", json!(long(508))), "longer than 512 bytes"),
        (with("/resource/id", json!("a:b")), "`resource.id` holds `:`"),
        (with("/resource/id", json!("1#viewer")), "`resource.id` is one or more"),
        (with("/resource/id", json!("*")), "`resource.id` is `*`"),
        (with("/resource/id", json!(long(248))), "longer than 256 characters"),
        (with("/action/name", json!("")), "`action.name` is 1 to 50"),
        (with("/action/name", json!("document#owner")), "`action.name` is 1 to 50"),
        (with("/action/name", json!(long(51))), "`action.name` is 1 to 50"),
        // What the model does not know is a slip, and no denial.
        (with("/subject/type", json!("spaceship")), "type 'spaceship' not found"),
        (with("/resource/type", json!("spaceship")), "type 'spaceship' not found"),
        (with("/action/name", json!("fly")), "relation 'document#fly' not found"),
        // Nor is what a condition lacks.
        (nested.to_string(), "nested deeper"),
    ] {
        store.refused("evaluation", &body, 400, words);
    }
    assert!(store.decision("user:anne", "owner", "document:1"), "the good one");
}

#[test]
fn what_is_unusual_is_answered_and_what_is_said_twice_is_not() {
    let server = Server::start();
    let store = Store::new(&server, DOCUMENTS, &["document:1 owner user:anne", "document:1 viewer user:*"]);
    let long = |count: usize| "x".repeat(count);
    for twice in [
        r#"{"subject": {"type": "user", "id": "anne"}, "subject": {"type": "user", "id": "bob"}}"#,
        r#"{"subject": {"type": "user", "id": "anne", "id": "bob"}}"#,
    ] {
        store.refused("evaluation", twice, 400, "duplicate");
    }
    assert!(
        !store.decision(&format!("user:{}", long(507)), "viewer", &format!("document:{}", long(247))),
        "the longest"
    );
    assert!(store.decision("user:*", "viewer", "document:1"), "everybody may, as a tuple has it");
    // Fields that are not known are passed over.
    let mut more = question("user:anne", "owner", "document:1");
    more["futureField"] = json!({"nested": true});
    more["page"] = json!("no page here");
    more["subject"]["alias"] = json!(7);
    assert_eq!(store.ask("evaluation", &more), json!({"decision": true}));
}

#[test]
fn the_rules_of_the_surface_hold() {
    let bounds = Bounds { request_timeout: Duration::from_millis(300), body_bytes_max: 20_000, ..Bounds::default() };
    let server = Server::start_with(Settings { bounds, ..Settings::default() });
    let store = Store::new(&server, DOCUMENTS, &["document:1 owner user:anne"]);
    let body = question("user:anne", "owner", "document:1").to_string();
    let path = format!("/stores/{}/access/v1/evaluation", store.id);
    for kind in [&[][..], &[("content-type", "text/plain")], &[("content-type", "application/json-patch+json")]] {
        let refused = server.http("POST", &path, kind, Some(&body));
        assert!(refused.status == 400 && refused.body.contains("must be `application/json`"), "{}", refused.body);
    }
    let kind = [("content-type", "Application/JSON; charset=utf-8")];
    assert_eq!(server.http("POST", &path, &kind, Some(&body)).json(), json!({"decision": true}));
    for method in ["GET", "PUT", "DELETE"] {
        assert_eq!(server.http(method, &path, &[JSON], Some(&body)).status, 404, "{method}");
    }
    let large = format!(r#"{{"x": "{}"}}"#, "x".repeat(20_000));
    let refused = store.send("evaluations", &[], &large);
    assert_eq!((refused.status, refused.json()["code"].as_str()), (500, Some("resource_exhausted")));
    undecided(&refused);
    // Stores and models.
    let of = |store: &str| server.http("POST", &format!("/stores/{store}/access/v1/evaluation"), &[JSON], Some(&body));
    assert_eq!((of(server.name("$MISSING")).status, of("nonsense").status), (400, 400));
    assert_eq!(of(server.name("$EMPTY")).json()["code"], "latest_authorization_model_not_found");
    let renamed = store.model(&DOCUMENTS.replace("owner", "holder"));
    assert_eq!(store.send("evaluation", &[], &body).status, 400, "the latest model has no owner");
    let models = server.http("GET", &format!("/stores/{}/authorization-models", store.id), &[], None).json();
    let first = models["authorization_models"][1]["id"].as_str().unwrap().to_owned();
    let header = "openfga-authorization-model-id";
    let pinned = store.send("evaluation", &[("Openfga-Authorization-Model-Id", &first)], &body);
    assert_eq!((pinned.status, &pinned.headers[header]), (200, &first));
    assert_eq!(store.send("evaluation", &[], &body).headers[header], renamed);
    for (model, code) in [(server.name("$MISSING"), "authorization_model_not_found"), ("x", "validation_error")] {
        let refused = store.send("evaluation", &[(header, model)], &body);
        assert_eq!((refused.status, refused.json()["code"].as_str()), (400, Some(code)), "{}", refused.body);
        undecided(&refused);
    }
    // Consistency, and a deadline.
    let pin = [(header, first.as_str())];
    let old = store.send("evaluation", &pin, &body).headers[TOKEN].clone();
    let gone = json!({"deletes": {"tuple_keys": [{"user": "user:anne", "relation": "owner", "object": "document:1"}]},
        "authorization_model_id": first});
    store.fga("write", &gone);
    assert_eq!(store.send("evaluation", &pin, &body).json(), json!({"decision": false}));
    let then = store.send("evaluation", &[pin[0], ("bailiwick-exactly", &old)], &body);
    assert_eq!((then.json(), &then.headers[TOKEN]), (json!({"decision": true}), &old));
    let identity = server.engine.identity(0).unwrap();
    let ahead = bailiwick::tuple::Revision(server.engine.revision().0 + 1);
    let ahead = bailiwick::wire::Tokens::new(identity).encode(ahead);
    for call in ["evaluation", "evaluations", "search/subject", "search/resource", "search/action"] {
        let late = store.send(call, &[pin[0], ("bailiwick-at-least", &ahead)], &body);
        assert_eq!((late.status, late.json()["code"].as_str()), (500, Some("deadline_exceeded")), "{call}");
        undecided(&late);
    }
}

#[test]
fn a_batch_ends_as_it_is_asked() {
    let server = Server::start();
    let store = Store::new(&server, DOCUMENTS, &["document:1 owner user:anne", "document:3 owner user:anne"]);
    let ask = |semantic: Option<&str>, documents: &[&str]| {
        let resource = |id: &&str| json!({"resource": {"type": "document", "id": id}});
        let items: Vec<Value> = documents.iter().map(resource).collect();
        let mut body = json!({"subject": entity("user:anne"), "action": {"name": "viewer"}, "evaluations": items});
        if let Some(semantic) = semantic {
            body["options"] = json!({"evaluations_semantic": semantic, "another_option": 1});
        }
        let answer = store.ask("evaluations", &body);
        assert!(answer.get("decision").is_none());
        answer["evaluations"].clone()
    };
    let (yes, no) = (json!({"decision": true}), json!({"decision": false}));
    let because = |decision: bool, reason: &str| json!({"decision": decision, "context": {"reason": reason}});
    for semantic in [None, Some("execute_all")] {
        assert_eq!(ask(semantic, &["1", "2", "3"]), json!([yes, no, yes]));
    }
    let deny = Some("deny_on_first_deny");
    assert_eq!(ask(deny, &["1", "2", "3"]), json!([yes, because(false, "deny_on_first_deny")]));
    assert_eq!(ask(deny, &["1", "3"]), json!([yes, yes]));
    assert_eq!(ask(deny, &["1", "2"]), json!([yes, no]), "nothing was left out");
    let permit = Some("permit_on_first_permit");
    assert_eq!(ask(permit, &["2", "1", "3"]), json!([no, because(true, "permit_on_first_permit")]));
    assert_eq!(ask(permit, &["2", "4"]), json!([no, no]));
    // An error is a denial, and ends what a denial ends, alone.
    let failed = ask(deny, &["1", "a:b", "3"]);
    assert_eq!(failed.as_array().unwrap().len(), 2);
    assert_eq!((&failed[1]["decision"], &failed[1]["context"]["error"]["status"]), (&json!(false), &json!(400)));
    assert_eq!(failed[1]["context"]["reason"], "deny_on_first_deny");
    let failed = ask(permit, &["a:b", "1", "3"]);
    assert_eq!((failed.as_array().unwrap().len(), &failed[1]["decision"]), (2, &json!(true)));
    for (options, words) in [
        (json!({"evaluations_semantic": "first"}), "`execute_all`, `deny_on_first_deny` or"),
        (json!({"evaluations_semantic": 1}), "expected a string"),
        (json!("execute_all"), "expected an object"),
    ] {
        let body = json!({"evaluations": [question("user:anne", "viewer", "document:1")], "options": options});
        store.refused("evaluations", &body.to_string(), 400, words);
    }
    let many = |count: usize| {
        let all = vec![question("user:anne", "viewer", "document:1"); count];
        json!({ "evaluations": all })
    };
    assert_eq!(store.ask("evaluations", &many(50))["evaluations"].as_array().unwrap().len(), 50);
    store.refused("evaluations", &many(51).to_string(), 400, "51 items; at most 50");
}

#[test]
fn items_take_defaults_and_are_answered_in_their_place() {
    let server = Server::start();
    let tuples = [
        "document:1 owner user:anne",
        "document:2 editor user:bob",
        r#"document:1 cleared user:anne level {"resource_level": 3}"#,
    ];
    let store = Store::new(&server, DOCUMENTS, &tuples);
    let answers = |body: Value| store.ask("evaluations", &body)["evaluations"].as_array().unwrap().clone();
    let decisions = |body: Value| {
        let all = answers(body);
        all.iter().map(|answer| answer["decision"].as_bool().unwrap()).collect::<Vec<_>>()
    };
    let (anne, bob, one, two) = (entity("user:anne"), entity("user:bob"), entity("document:1"), entity("document:2"));
    let defaults =
        |items: Value| json!({"subject": anne, "action": {"name": "owner"}, "resource": one, "evaluations": items});
    let items = json!([{}, {"subject": bob}, {"resource": two}, {"subject": bob, "resource": two, "action": {"name": "editor"}}]);
    assert_eq!(decisions(defaults(items)), [true, false, false, true]);
    // A name or a type that an entity lacks is the default's.
    assert_eq!(decisions(defaults(json!([{"resource": {"id": "1"}}, {"resource": {"id": "2"}}]))), [true, false]);
    // Properties are their entity's own; a context is whole, the item's or the default.
    let cleared = |items: Value| {
        json!({
            "subject": {"type": "user", "id": "anne", "properties": {"level": 3}}, "resource": one,
            "action": {"name": "cleared", "properties": {"urgent": false}}, "context": {"hour": 9}, "evaluations": items,
        })
    };
    let items = json!([
        {},
        {"context": {"hour": 20}},
        {"subject": {"type": "user", "id": "anne", "properties": {"level": 2}}},
        {"subject": {"type": "user", "id": "anne", "properties": {"level": 2}}, "action": {"name": "cleared", "properties": {"urgent": true}}},
    ]);
    assert_eq!(decisions(cleared(items)), [true, false, false, true]);
    let lacking = answers(cleared(json!([{"subject": anne}, {"context": {}}, {}])));
    for (answer, lacks) in lacking.iter().zip(["subject_level", "hour"]) {
        assert_eq!(
            (&answer["decision"], &answer["context"]["error"]["code"]),
            (&json!(false), &json!("validation_error"))
        );
        let message = answer["context"]["error"]["message"].as_str().unwrap();
        assert!(message.contains("'level'") && message.contains(lacks), "{message}");
    }
    assert_eq!(lacking[2], json!({"decision": true}));
    // What cannot be read is answered in its place as well; what is wrong with the whole is not.
    let mixed = answers(defaults(
        json!([{}, 7, {"subject": "anne"}, {"action": {"name": "fly"}}, {"resource": {"type": "ship"}}]),
    ));
    assert_eq!(mixed[0], json!({"decision": true}));
    for (answer, words) in mixed[1..].iter().zip(["expected an object", "expected an object", "document#fly", "'ship'"])
    {
        let error = &answer["context"]["error"];
        assert_eq!((&answer["decision"], &error["status"]), (&json!(false), &json!(400)), "{answer}");
        assert!(error["message"].as_str().unwrap().contains(words), "{answer}");
    }
    assert!(
        answers(json!({"evaluations": [{}]}))[0]["context"]["error"]["message"].as_str().unwrap().contains("`subject`")
    );
    store.refused("evaluations", r#"{"subject": 7, "evaluations": [{}]}"#, 400, "expected an object");
    store.refused("evaluations", r#"{"evaluations": {}}"#, 400, "expected a sequence");
    // Without items it is one evaluation.
    let mut one = question("user:anne", "owner", "document:1");
    for items in [None, Some(json!([])), Some(Value::Null)] {
        if let Some(items) = items {
            one["evaluations"] = items;
        }
        assert_eq!(store.ask("evaluations", &one), json!({"decision": true}));
    }
    store.refused("evaluations", "{}", 400, "`subject` is missing");
}

#[test]
fn conditions_see_properties_and_above_them_the_context() {
    let server = Server::start();
    let store = Store::new(&server, DOCUMENTS, &["document:1 cleared user:anne level {}"]);
    let ask = |subject: Value, resource: Value, action: Value, context: Value| {
        let mut body = question("user:anne", "cleared", "document:1");
        for (entity, properties) in [("subject", subject), ("resource", resource), ("action", action)] {
            body[entity]["properties"] = properties;
        }
        body["context"] = context;
        store.ask("evaluation", &body)["decision"].as_bool().unwrap()
    };
    let calm = || json!({"urgent": false});
    assert!(ask(json!({"level": 3}), json!({"level": 3}), calm(), json!({"hour": 9})));
    assert!(!ask(json!({"level": 2}), json!({"level": 3}), calm(), json!({"hour": 9})));
    assert!(ask(json!({"level": 2.0}), json!({"level": 3}), json!({"urgent": true}), json!({"hour": "9"})));
    // The context is what counts where both say something, as OpenFGA has it.
    assert!(ask(json!({"level": 2}), json!({"level": 3}), calm(), json!({"hour": 9, "subject_level": 4})));
    assert!(!ask(json!({"level": 4}), json!({"level": 3}), calm(), json!({"hour": 9, "subject_level": 1})));
    let lacking = question("user:anne", "cleared", "document:1").to_string();
    store.refused("evaluation", &lacking, 400, "failed to evaluate relationship condition");
}

/// A second server on the same engine.
fn beside(server: &Server, settings: Settings, ask: impl FnOnce(SocketAddr)) {
    let free = SocketAddr::from(([127, 0, 0, 1], 0));
    let settings = Settings { http: free, grpc: free, ..settings };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (bound, addresses) = mpsc::channel();
    let (stop, stopped) = oneshot::channel::<()>();
    let engine = server.engine.clone();
    let serving = runtime.spawn(async move {
        let ready = move |http, _| bound.send(http).unwrap();
        serve(engine, settings, ready, async { stopped.await.unwrap_or_default() }).await.unwrap();
    });
    ask(addresses.recv().unwrap());
    drop(stop);
    runtime.block_on(serving).unwrap();
}

fn names(answer: &Value, key: &str) -> Vec<String> {
    answer["results"].as_array().unwrap().iter().map(|result| result[key].as_str().unwrap().to_owned()).collect()
}

const FOUND: [&str; 5] = [
    "group:eng member user:carl",
    "document:1 owner user:anne",
    "document:1 editor group:eng#member",
    "document:2 viewer user:*",
    r#"document:1 cleared user:anne level {"resource_level": 1}"#,
];

/// Who may?
fn who(relation: &str, object: &str) -> Value {
    json!({"subject": {"type": "user"}, "action": {"name": relation}, "resource": entity(object)})
}

/// To what?
fn which(user: &str, relation: &str, object_type: &str) -> Value {
    json!({"subject": entity(user), "action": {"name": relation}, "resource": {"type": object_type}})
}

/// What may they do?
fn what(user: &str, object: &str) -> Value {
    json!({"subject": entity(user), "resource": entity(object)})
}

#[test]
fn searches_find_what_the_evaluation_would_permit() {
    let server = Server::start();
    let store = Store::new(&server, DOCUMENTS, &FOUND);
    let found = store.ask("search/subject", &who("viewer", "document:1"));
    let expected = json!([{"type": "user", "id": "anne"}, {"type": "user", "id": "carl"}]);
    assert_eq!(found, json!({"results": expected, "page": {"next_token": "", "count": 2, "total": 2}}));
    let mut ignored = who("viewer", "document:1");
    ignored["subject"]["id"] = json!("bob");
    assert_eq!(store.ask("search/subject", &ignored), found, "the id of what is searched for is not looked at");
    assert_eq!(names(&store.ask("search/subject", &who("viewer", "document:2")), "id"), ["*"]);
    assert!(store.decision("user:*", "viewer", "document:2"));
    assert_eq!(names(&store.ask("search/resource", &which("user:carl", "viewer", "document")), "id"), ["1", "2"]);
    assert_eq!(names(&store.ask("search/resource", &which("user:carl", "owner", "document")), "id"), [""; 0]);
    let actions = store.ask("search/action", &what("user:anne", "document:1"));
    assert_eq!(names(&actions, "name"), ["editor", "owner", "viewer"]);
    assert_eq!(actions["context"]["undecided"][0]["name"], "cleared", "and what could not be decided is said");
    let mut level = what("user:anne", "document:1");
    level["subject"]["properties"] = json!({"level": 1});
    level["context"] = json!({"hour": 3, "action_urgent": false});
    let actions = store.ask("search/action", &level);
    assert_eq!(names(&actions, "name"), ["cleared", "editor", "owner", "viewer"]);
    assert!(actions.get("context").is_none());
}

#[test]
fn searches_for_what_is_not_there_are_empty_and_slips_are_refused() {
    let server = Server::start();
    let store = Store::new(&server, DOCUMENTS, &FOUND);
    // Nobody of a type that is not there has anything, and nothing is of it.
    for (call, body) in [
        (
            "search/subject",
            json!({"subject": {"type": "ship"}, "action": {"name": "viewer"}, "resource": entity("document:1")}),
        ),
        ("search/subject", who("viewer", "ship:1")),
        ("search/subject", who("viewer", "document:none")),
        ("search/resource", which("ship:1", "viewer", "document")),
        ("search/resource", which("user:anne", "viewer", "ship")),
        ("search/resource", which("user:nobody", "owner", "document")),
        ("search/action", what("ship:1", "document:1")),
        ("search/action", what("user:anne", "ship:1")),
        ("search/action", what("user:nobody", "document:1")),
    ] {
        let empty = store.ask(call, &body);
        assert_eq!((&empty["results"], &empty["page"]["total"]), (&json!([]), &json!(0)), "{call} {body}");
    }
    for (call, body, words) in [
        ("search/subject", who("fly", "document:1"), "relation 'document#fly' not found"),
        ("search/resource", which("user:anne", "fly", "document"), "relation 'document#fly' not found"),
        ("search/resource", which("user:anne", "cleared", "document"), "failed to evaluate"),
        ("search/subject", what("user:anne", "document:1"), "`action` is missing"),
        (
            "search/subject",
            json!({"action": {"name": "viewer"}, "resource": entity("document:1")}),
            "`subject` is missing",
        ),
        ("search/subject", which("user:anne", "viewer", "document"), "`resource.id` is missing"),
        (
            "search/resource",
            json!({"subject": {"type": "user"}, "action": {"name": "viewer"}, "resource": {"type": "document"}}),
            "`subject.id` is missing",
        ),
        (
            "search/resource",
            json!({"subject": entity("user:anne"), "action": {"name": "viewer"}}),
            "`resource` is missing",
        ),
        ("search/action", json!({"subject": entity("user:anne")}), "`resource` is missing"),
        ("search/action", json!({"resource": entity("document:1")}), "`subject` is missing"),
        ("search/action", what("user:anne", "document:a:b"), "`resource.id` holds `:`"),
    ] {
        store.refused(call, &body.to_string(), 400, words);
    }
}

#[test]
fn lists_come_in_pages_and_are_never_cut() {
    let bounds = Bounds { list_objects_results_max: 40, list_users_results_max: 30, ..Bounds::default() };
    let server = Server::start_with(Settings { bounds, ..Settings::default() });
    let mut lines: Vec<String> = (0..100).map(|n| format!("document:d{n:02} owner user:anne")).collect();
    lines.extend((0..50).map(|n| format!("document:d00 viewer user:u{n:02}")));
    let store = Store::new(&server, DOCUMENTS, &lines.iter().map(String::as_str).collect::<Vec<_>>());
    let which = json!({"subject": entity("user:anne"), "action": {"name": "owner"}, "resource": {"type": "document"}});
    let who = json!({"subject": {"type": "user"}, "action": {"name": "viewer"}, "resource": entity("document:d00")});
    let what = json!({"subject": entity("user:anne"), "resource": entity("document:d00")});
    let all = |call: &str, body: &Value, key: &str, limit: Option<usize>, most: usize| {
        let (mut met, mut body) = (Vec::new(), body.clone());
        loop {
            if let Some(limit) = limit {
                body["page"]["limit"] = json!(limit);
            }
            let answer = store.ask(call, &body);
            let count = answer["results"].as_array().unwrap().len();
            assert!(count <= most && answer["page"]["count"] == count, "{call} {limit:?}");
            met.extend(names(&answer, key));
            let token = answer["page"]["next_token"].as_str().unwrap();
            if token.is_empty() {
                assert_eq!(answer["page"]["total"], met.len());
                return met;
            }
            assert_eq!(count, most, "only the last page is short");
            body["page"]["token"] = json!(token);
        }
    };
    let documents: Vec<String> = (0..100).map(|n| format!("d{n:02}")).collect();
    let mut users: Vec<String> = (0..50).map(|n| format!("u{n:02}")).collect();
    users.insert(0, "anne".to_owned());
    for (limit, most) in [(None, 40), (Some(7), 7), (Some(40), 40), (Some(1_000), 40)] {
        assert_eq!(all("search/resource", &which, "id", limit, most), documents);
    }
    for (limit, most) in [(None, 30), (Some(25), 25)] {
        assert_eq!(all("search/subject", &who, "id", limit, most), users);
    }
    assert_eq!(all("search/action", &what, "name", Some(2), 2), ["editor", "owner", "viewer"]);
    // A token goes on with its own question only.
    let mut first = which.clone();
    first["page"] = json!({"limit": 3});
    let token = store.ask("search/resource", &first)["page"]["next_token"].clone();
    let mut other = which.clone();
    other["action"]["name"] = json!("editor");
    other["page"] = json!({"token": token});
    store.refused("search/resource", &other.to_string(), 400, "another question");
    let mut same = which;
    for (page, words) in [
        (json!({"token": "nonsense"}), "none of ours"),
        (json!({"token": 7}), "expected a string"),
        (json!({"limit": 0}), "1 or more"),
        (json!({"limit": -1}), "cannot be read"),
        (json!({"next_token": token}), "as `page.token`"),
        (json!({"properties": {"sort": "id"}}), "not supported"),
        (json!([]), "expected an object"),
    ] {
        same["page"] = page;
        store.refused("search/resource", &same.to_string(), 400, words);
    }
    same["page"] = json!({"token": token, "limit": 2, "properties": {}});
    assert_eq!(names(&store.ask("search/resource", &same), "id"), ["d03", "d04"]);
}

#[test]
fn answers_have_the_name_of_their_request_and_keys_are_asked_for() {
    let key = "a-key-of-sixteen-letters";
    let server = Server::start();
    let store = Store::new(&server, DOCUMENTS, &["document:1 owner user:anne"]);
    let good = question("user:anne", "owner", "document:1").to_string();
    let id = [("X-Request-ID", "bfe9eb29-ab87-4ca3-be83-a1d5d8305716")];
    for (call, body, status) in [
        ("evaluation", good.as_str(), 200),
        ("evaluation", "{}", 400),
        ("evaluation", "", 400),
        ("evaluations", good.as_str(), 200),
        ("search/action", good.as_str(), 200),
    ] {
        let answer = store.send(call, &id, body);
        assert_eq!((answer.status, answer.headers["x-request-id"].as_str()), (status, id[0].1), "{call} {body}");
    }
    assert_eq!(store.send("evaluation", &[], &good).headers["x-request-id"].len(), 36, "one of ours");
    let keys = PresharedKeys::new(&[key.to_owned()]).unwrap();
    let decision_point = PolicyDecisionPoint::new("https://fga.example.com").unwrap();
    let guarded = Settings { keys: Some(keys), decision_point: Some(decision_point), ..Settings::default() };
    beside(&server, guarded, |address| {
        let ask = |method: &str, path: &str, headers: &[(&str, &str)], body: &str| {
            crate::wire_client::ask(address, method, path, &[&[JSON, id[0]], headers].concat(), Some(body))
        };
        let path = format!("/stores/{}/access/v1/evaluation", store.id);
        for wrong in [&[][..], &[("authorization", "Bearer another-key-of-letters")]] {
            let refused = ask("POST", &path, wrong, &good);
            assert_eq!((refused.status, refused.headers["x-request-id"].as_str()), (401, id[0].1));
            undecided(&refused);
        }
        let bearer = format!("Bearer {key}");
        assert_eq!(ask("POST", &path, &[("authorization", &bearer)], &good).json(), json!({"decision": true}));
        let document = ask("GET", &format!("/.well-known/authzen-configuration/stores/{}", store.id), &[], "");
        assert_eq!((document.status, document.headers["x-request-id"].as_str()), (200, id[0].1));
        let outside = format!("/stores/{}/read/.well-known/authzen-configuration", store.id);
        assert_eq!(ask("GET", &outside, &[], "").status, 401, "nothing else is open");
    });
}

#[test]
fn metadata_says_where_to_ask() {
    let point = PolicyDecisionPoint::new("https://fga.example.com/").unwrap();
    let server = Server::start_with(Settings { decision_point: Some(point), ..Settings::default() });
    let store = server.name("$STORE").to_owned();
    let base = format!("https://fga.example.com/stores/{store}");
    let expected = json!({
        "policy_decision_point": base,
        "access_evaluation_endpoint": format!("{base}/access/v1/evaluation"),
        "access_evaluations_endpoint": format!("{base}/access/v1/evaluations"),
        "search_subject_endpoint": format!("{base}/access/v1/search/subject"),
        "search_resource_endpoint": format!("{base}/access/v1/search/resource"),
        "search_action_endpoint": format!("{base}/access/v1/search/action"),
    });
    // By the standard's rule, by OpenFGA's path, and as clients that append look for it.
    for path in [
        format!("/.well-known/authzen-configuration/stores/{store}"),
        format!("/.well-known/authzen-configuration/{store}"),
        format!("/stores/{store}/.well-known/authzen-configuration"),
    ] {
        let answer = server.http("GET", &path, &[], None);
        assert_eq!((answer.status, answer.json()), (200, expected.clone()), "{path}");
        assert_eq!(answer.headers["content-type"], "application/json");
        assert_eq!(answer.headers["cache-control"], "max-age=300");
        assert_eq!(server.http("POST", &path, &[JSON], Some("{}")).status, 404, "{path}");
    }
    for (rest, status) in [("/stores/nonsense", 400), ("/a/b/c", 404), ("", 404)] {
        let path = format!("/.well-known/authzen-configuration{rest}");
        assert_eq!(server.http("GET", &path, &[], None).status, status, "{path}");
    }
    let silent = Server::start();
    let answer = silent.http("GET", &format!("/.well-known/authzen-configuration/{store}"), &[], None);
    assert!(answer.status == 404 && answer.body.contains("set `authzen-base-url`"), "{}", answer.body);
}
