//! Rules without a server, on one small world; the stories through the routes are in `http.rs`.

mod any;
mod http;
mod leaving;

use super::decide::{Asker, Case, Decider, Stop};
use super::filter::{Filter, Said};
use super::message::{DENIED, INTERNAL_ERROR, INVALID_PARAMS, METHOD_NOT_FOUND, Message, Request};
use super::*;
use crate::engine::{ChunksQuery, CollectionSpec, Engine, Guard as ChunkGuard, NewChunk, Settings, WriteQuery};
use crate::identity::{AUDIT, Event, EventKind, Outcome, audit_key};
use crate::model::Model;
use crate::tuple::{ModelId, ObjectRef, StoreId, TupleKeyRef};
use crate::vector::{Element, Metric, Space};
use crate::wire::Pool;
use ::http::HeaderMap;
use parking_lot::Mutex;
use serde_json::json;
use std::sync::Arc;

pub(super) const NOW: Timestamp = Timestamp(1_700_000_000_000_000_000);
pub(super) const TENANT: u32 = 7;

const MODEL: &str = "model
  schema 1.1
type user
type agent
type mcp_server
  relations
    define can_use: [user, user:*, agent, agent:*]
type mcp_tool
  relations
    define can_call: [user, user:*, agent, agent:*]
type account
  relations
    define editor: [user, agent]
    define viewer: [user, agent] or editor
type document
  relations
    define viewer: [user, user:*, agent, agent:*]
type timed
  relations
    define viewer: [user with until, agent with until]
condition until(current_time: timestamp, end: timestamp) {
  current_time < end
}
";

/// Sarah works with acme and globex, her agent with acme and initech: together they may see acme.
const TUPLES: [(&str, &str, &str); 15] = [
    ("mcp_server:crm", "can_use", "user:*"),
    ("mcp_server:crm", "can_use", "agent:sales"),
    ("mcp_tool:get_account", "can_call", "user:*"),
    ("mcp_tool:get_account", "can_call", "agent:*"),
    ("mcp_tool:delete_all", "can_call", "user:*"),
    ("account:acme", "editor", "user:sarah"),
    ("account:acme", "editor", "agent:sales"),
    ("account:globex", "viewer", "user:sarah"),
    ("account:initech", "viewer", "agent:sales"),
    ("document:handbook", "viewer", "user:*"),
    ("document:handbook", "viewer", "agent:*"),
    ("document:salaries", "viewer", "user:sarah"),
    ("document:agent-notes", "viewer", "agent:sales"),
    ("document:q1%20plan", "viewer", "user:sarah"),
    ("document:q1%20plan", "viewer", "agent:sales"),
];

pub(super) fn object(text: &str) -> Object {
    ObjectRef::parse(text).unwrap().to_owned()
}

/// A good token's judgement, with every scope there is.
pub(super) fn judged(subject: &str, agent: Option<&str>) -> Judged {
    Judged {
        subject: object(subject),
        agent: agent.map(object),
        actors: vec!["agent:planner".into()],
        client: "app:sales-agent".into(),
        scopes: ["mcp:crm:read", "mcp:crm:write", "mcp:docs:read"].map(str::to_owned).into(),
        details: Vec::new(),
        token: Some("jti-1".into()),
        grant: Some("grant-1".into()),
        session: None,
        authentication: None,
    }
}

pub(super) struct World {
    pub(super) engine: Engine,
    pub(super) store: StoreId,
    pub(super) pool: Arc<Pool>,
    _directory: tempfile::TempDir,
}

impl World {
    pub(super) fn new() -> World {
        let directory = tempfile::tempdir().unwrap();
        let engine = Engine::open_with(directory.path(), Settings { sync: false, ..Settings::default() }).unwrap();
        let store = StoreId(ulid::Ulid::from_parts(1, 1));
        engine.create_store(store, "mcp", NOW).unwrap();
        engine.write_model(store, ModelId(ulid::Ulid::from_parts(1, 2)), Model::parse_dsl(MODEL).unwrap()).unwrap();
        let tuple = |(object, relation, subject): &(&str, &str, &str)| {
            TupleKeyRef::parse(object, relation, subject).unwrap().to_tuple()
        };
        let writes = TUPLES.iter().map(tuple).collect();
        engine.write(store, None, WriteQuery { writes, ..WriteQuery::default() }, NOW).unwrap();
        let space = Space::new(3, Metric::Cosine, Element::F32).unwrap();
        let guard = ChunkGuard { object_type: "document".into(), relation: "viewer".into() };
        engine.create_collection(store, CollectionSpec { name: "passages".into(), space, guard }, NOW).unwrap();
        let chunk = |id: &str, document: &str, vector: [f32; 3]| NewChunk {
            id: id.into(),
            object: Object { object_type: "document".into(), id: document.into() },
            vector: vector.into(),
            text: Some(format!("the text of {id}")),
            payload: None,
        };
        let upserts = vec![
            chunk("h1", "handbook", [0.5, 0.5, 0.0]),
            chunk("h2", "handbook", [0.4, 0.6, 0.0]),
            chunk("s1", "salaries", [1.0, 0.0, 0.0]),
            chunk("n1", "agent-notes", [0.9, 0.1, 0.0]),
            chunk("q1", "q1%20plan", [0.8, 0.2, 0.0]),
        ];
        engine.write_chunks(store, "passages", ChunksQuery { upserts, ..ChunksQuery::default() }, NOW).unwrap();
        let pool = Arc::new(Pool::new("mcp-test", 4, 64).unwrap());
        World { engine, store, pool, _directory: directory }
    }

    pub(super) fn decider(&self) -> Decider {
        Decider { engine: self.engine.clone(), store: self.store, tenant: TENANT }
    }

    pub(super) fn delete(&self, object: &str, relation: &str, subject: &str) {
        let tuple = TupleKeyRef::parse(object, relation, subject).unwrap().to_tuple();
        self.engine.write(self.store, None, WriteQuery { deletes: vec![tuple], ..WriteQuery::default() }, NOW).unwrap();
    }

    /// The records of the tenant, in the order of the log.
    pub(super) fn events(&self) -> Vec<Event> {
        let records = self.engine.records(AUDIT).scan(&audit_key(TENANT, b'e'), None, 1_000).unwrap();
        records.iter().map(|(_, value)| Event::read(value).unwrap()).collect()
    }
}

pub(super) fn policy_spec() -> PolicySpec {
    serde_json::from_value(json!({
        "server": {"object": "mcp_server:crm", "relation": "can_use"},
        "tools": {
            "get_account": {
                "scopes": ["mcp:crm:read"],
                "checks": [{"object": "account:{account_id}", "relation": "viewer"}],
            },
            "transfer": {
                "scopes": ["mcp:crm:write"],
                "checks": [
                    {"object": "account:{from.id}", "relation": "editor"},
                    {"object": "account:{to.id}", "relation": "viewer"},
                ],
            },
            "send_proposal": {
                "scopes": ["mcp:crm:write"],
                "checks": [{"object": "account:{account_id}", "relation": "editor"}],
                "approval": true,
            },
            "weather": {"open": true},
        },
        "other_tools": {"checks": [{"object": "mcp_tool:{name}", "relation": "can_call"}]},
        "resources": [
            {"uri": "crm://accounts/{id}", "scopes": ["mcp:crm:read"],
             "checks": [{"object": "account:{id}", "relation": "viewer"}]},
            {"uri": "docs://{+path}", "checks": [{"object": "document:{path}", "relation": "viewer"}]},
        ],
        "prompts": {"greet": {"open": true}},
    }))
    .unwrap()
}

/// Approves what it was told to, once each.
#[derive(Default)]
pub(super) struct Approver {
    pub(super) approved: Mutex<Vec<serde_json::Value>>,
    pub(super) broken: bool,
}

impl Approvals for Approver {
    fn approve(
        &self,
        caller: &Judged,
        call: &ApprovalCall<'_>,
        _: Timestamp,
    ) -> Result<Approval, ApprovalsUnavailable> {
        if self.broken {
            return Err(ApprovalsUnavailable);
        }
        let asked = json!([caller.subject.to_string(), call.tool, call.arguments]);
        let mut approved = self.approved.lock();
        if let Some(at) = approved.iter().position(|given| *given == asked) {
            approved.remove(at);
            return Ok(Approval::Given("approval-1".into()));
        }
        Ok(Approval::Needed(ApprovalNeeded {
            evaluation_id: "evaluation-1".into(),
            expires_at: "2026-01-01T00:00:00Z".into(),
            endpoint: Some("https://id.example.com/access-requests".into()),
            form_url: Some("https://id.example.com/approve".into()),
            binding_token: Some("binding-1".into()),
            details: vec![json!({"type": "tool_call", "tool": call.tool})],
        }))
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "what is not named stays as it is")]
fn request(method: &str, params: &Value) -> Request {
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string();
    match Message::read(&HeaderMap::new(), body.as_bytes()).unwrap() {
        Message::Request(request) => request,
        other => panic!("{other:?}"),
    }
}

fn decide(world: &World, judged: Judged, approvals: &dyn Approvals, request: &Request) -> Result<(), Stop> {
    let policy = Policy::new(&policy_spec()).unwrap();
    let asker = Asker { judged, trace: "trace-1".into(), now: NOW };
    let base = ["mcp".to_owned()];
    let resource = "https://mcp.example.com/crm";
    let case = Case { policy: &policy, approvals, resource, base: &base, asker: &asker, request };
    world.decider().decide(case).map(drop)
}

/// The code of the refusal, or 0.
fn code(world: &World, judged: Judged, request: &Request) -> i64 {
    match decide(world, judged, &NoApprovals, request) {
        Ok(()) => 0,
        Err(Stop::Fault(fault)) => fault.code,
        Err(stop) => panic!("{stop:?}"),
    }
}

// COAZ-MCP, default mappings; MCPP-4: the user's permission and the agent's.
#[test]
#[expect(clippy::too_many_lines, reason = "one story")]
fn a_call_goes_on_when_both_may() {
    let world = World::new();
    let both = || judged("user:sarah", Some("agent:sales"));
    let account = |id: Value| request("tools/call", &json!({"name": "get_account", "arguments": {"account_id": id}}));
    for (asked, expected) in [
        (account(json!("acme")), 0),
        (account(json!("globex")), DENIED),  // the agent may not
        (account(json!("initech")), DENIED), // the user may not
        (account(json!("unheard-of")), DENIED),
        (account(json!("acme#editor")), DENIED),
        (account(json!("")), INVALID_PARAMS),
        (account(json!(["acme"])), INVALID_PARAMS),
        (request("tools/call", &json!({"name": "get_account"})), INVALID_PARAMS),
        (request("tools/call", &json!({})), INVALID_PARAMS),
        (
            request(
                "tools/call",
                &json!({"name": "transfer", "arguments": {"from": {"id": "acme"}, "to": {"id": "acme"}}}),
            ),
            0,
        ),
        (
            request(
                "tools/call",
                &json!({"name": "transfer", "arguments": {"from": {"id": "acme"}, "to": {"id": "globex"}}}),
            ),
            DENIED,
        ),
        (request("tools/call", &json!({"name": "weather"})), 0),
        (request("tools/call", &json!({"name": "get_account_list"})), DENIED),
        (request("tools/call", &json!({"name": "delete_all"})), DENIED),
        (request("resources/read", &json!({"uri": "crm://accounts/acme"})), 0),
        (request("resources/read", &json!({"uri": "crm://accounts/globex"})), DENIED),
        (request("resources/read", &json!({"uri": "crm://accounts/../accounts/acme"})), DENIED),
        (request("resources/read", &json!({"uri": "pricing://executive-discounts"})), DENIED),
        (request("resources/subscribe", &json!({"uri": "crm://accounts/acme"})), 0),
        (request("prompts/get", &json!({"name": "greet"})), 0),
        (request("prompts/get", &json!({"name": "other"})), DENIED),
        (request("completion/complete", &json!({"ref": {"type": "ref/prompt", "name": "greet"}})), 0),
        (
            request("completion/complete", &json!({"ref": {"type": "ref/resource", "uri": "crm://accounts/{id}"}})),
            DENIED,
        ),
        (request("completion/complete", &json!({})), INVALID_PARAMS),
        (request("initialize", &json!({})), 0),
        (request("server/discover", &json!({})), 0),
        (request("tools/list", &json!({})), 0),
        (request("ping", &json!({})), 0),
        (request("tasks/get", &json!({"taskId": "1"})), METHOD_NOT_FOUND),
        (request("sampling/createMessage", &json!({})), METHOD_NOT_FOUND),
        (request("some/future-method", &json!({})), METHOD_NOT_FOUND),
        (
            request(
                "subscriptions/listen",
                &json!({"notifications": {"resourceSubscriptions": ["crm://accounts/acme"]}}),
            ),
            0,
        ),
        (
            request(
                "subscriptions/listen",
                &json!({"notifications": {"resourceSubscriptions": ["crm://accounts/globex"]}}),
            ),
            DENIED,
        ),
        (request("subscriptions/listen", &json!({"notifications": {"resourceSubscriptions": "all"}})), INVALID_PARAMS),
    ] {
        assert_eq!(code(&world, both(), &asked), expected, "{asked:?}");
    }
    // Without an agent the user alone counts; an agent that acts for itself is its own subject.
    assert_eq!(code(&world, judged("user:sarah", None), &account(json!("globex"))), 0);
    assert_eq!(code(&world, judged("agent:sales", None), &account(json!("initech"))), 0);
    assert_eq!(code(&world, judged("agent:other", None), &request("tools/list", &json!({}))), DENIED);
}

// FGA-5: the next call after a change.
#[test]
fn what_is_revoked_is_denied_at_the_next_call() {
    let world = World::new();
    let asked = request("resources/read", &json!({"uri": "crm://accounts/acme"}));
    assert_eq!(code(&world, judged("user:sarah", Some("agent:sales")), &asked), 0);
    world.delete("account:acme", "editor", "agent:sales");
    assert_eq!(code(&world, judged("user:sarah", Some("agent:sales")), &asked), DENIED);
}

// MCPM-3: all scopes of the call are asked for at once.
#[test]
fn a_missing_scope_names_all_that_the_call_needs() {
    let world = World::new();
    let poor = Judged { scopes: vec!["mcp".into()], ..judged("user:sarah", Some("agent:sales")) };
    let asked = request("tools/call", &json!({"name": "get_account", "arguments": {"account_id": "acme"}}));
    let stop = decide(&world, poor, &NoApprovals, &asked).unwrap_err();
    assert_eq!(stop, Stop::Scopes(vec!["mcp".into(), "mcp:crm:read".into()]));
    let event = world.events().pop().unwrap();
    assert_eq!((event.kind(), event.get_reason()), (EventKind::ProxyRefused, Some("mcp.scope")));
}

// RFC 9470, AUTH-5.
#[test]
fn a_rule_may_ask_for_a_better_or_a_newer_authentication() {
    let world = World::new();
    let now = u64::try_from(NOW.0 / 1_000_000_000).unwrap();
    let mut spec = policy_spec();
    let rule = |rule: serde_json::Value| serde_json::from_value::<RuleSpec>(rule).unwrap();
    spec.tools.insert("weather".into(), rule(json!({"open": true, "acr": "aal2", "max_age": 300})));
    spec.resources[0].max_age = Some(60);
    let policy = Policy::new(&spec).unwrap();
    let decided = |judged: Judged, method: &str, params: &serde_json::Value| {
        let asker = Asker { judged, trace: "trace-1".into(), now: NOW };
        let request = request(method, params);
        let (approvals, resource) = (&NoApprovals, "r");
        let case = Case { policy: &policy, approvals, resource, base: &[], asker: &asker, request: &request };
        world.decider().decide(case).map(drop)
    };
    let by = |acr: &str, ago: u64| {
        let authentication = Some(Authentication { at: now - ago, acr: acr.into(), amr: Vec::new() });
        Judged { authentication, ..judged("user:sarah", Some("agent:sales")) }
    };
    let weather = |judged| decided(judged, "tools/call", &json!({"name": "weather"}));
    for (acr, ago, good) in [("aal2", 300, true), ("phr", 0, true), ("aal1", 0, false), ("phr", 301, false)] {
        assert_eq!(weather(by(acr, ago)).is_ok(), good, "{acr} {ago}");
    }
    let stop = weather(judged("user:sarah", Some("agent:sales"))).unwrap_err();
    let Stop::StepUp(step_up) = &stop else { panic!("{stop:?}") };
    assert_eq!((step_up.acr(), step_up.max_age()), (Some("aal2"), Some(300)));
    let event = world.events().pop().unwrap();
    assert_eq!((event.kind(), event.get_reason()), (EventKind::ProxyRefused, Some("mcp.step_up")));
    let read = |judged, uri: &str| decided(judged, "resources/read", &json!({ "uri": uri }));
    assert!(read(by("aal1", 60), "crm://accounts/acme").is_ok());
    assert!(matches!(read(by("aal1", 61), "crm://accounts/acme"), Err(Stop::StepUp(_))));
    // Of what is denied anyway nobody is asked to authenticate again.
    assert!(matches!(read(by("aal1", 61), "crm://accounts/globex"), Err(Stop::Fault(_))));
    let subscribed = json!({"notifications": {"resourceSubscriptions": ["docs://handbook", "crm://accounts/acme"]}});
    assert!(decided(by("aal1", 60), "subscriptions/listen", &subscribed).is_ok());
    assert!(matches!(decided(by("aal1", 61), "subscriptions/listen", &subscribed), Err(Stop::StepUp(_))));
    for wrong in [json!({"open": true, "acr": "a b"}), json!({"open": true, "max_age": 0})] {
        spec.tools.insert("weather".into(), rule(wrong.clone()));
        assert!(Policy::new(&spec).unwrap_err().to_string().contains("the tool `weather`"), "{wrong}");
    }
}

// Whoever may not use the server calls nothing of it, neither what is open nor what they may see.
#[test]
fn who_may_not_use_the_server_calls_nothing_of_it() {
    let world = World::new();
    let calls = [
        ("tools/call", json!({"name": "weather"})),
        ("tools/call", json!({"name": "get_account", "arguments": {"account_id": "acme"}})),
        ("resources/read", json!({"uri": "crm://accounts/acme"})),
        ("prompts/get", json!({"name": "greet"})),
        ("completion/complete", json!({"ref": {"type": "ref/prompt", "name": "greet"}})),
        ("subscriptions/listen", json!({"notifications": {"resourceSubscriptions": ["crm://accounts/acme"]}})),
        ("tools/list", json!({})),
    ];
    let decided = |(method, params): &(&str, Value)| {
        decide(&world, judged("user:sarah", Some("agent:sales")), &NoApprovals, &request(method, params))
    };
    for call in &calls {
        decided(call).unwrap();
    }
    world.delete("mcp_server:crm", "can_use", "agent:sales");
    for call in &calls {
        let Stop::Fault(fault) = decided(call).unwrap_err() else { panic!("scopes") };
        assert_eq!(fault.code, DENIED, "{call:?}");
    }
}

// MCPM-6, PR-4: the records of one call, linked, with user and agent in each.
#[test]
fn one_call_leaves_linked_records() {
    let world = World::new();
    let asked = request("tools/call", &json!({"name": "get_account", "arguments": {"account_id": "acme"}}));
    decide(&world, judged("user:sarah", Some("agent:sales")), &NoApprovals, &asked).unwrap();
    let events = world.events();
    let kinds: Vec<_> = events.iter().map(|event| (event.kind(), event.outcome())).collect();
    let checked = (EventKind::CheckDecided, Outcome::Allowed);
    // The server and the account, for the person and for the agent.
    assert_eq!(kinds, [checked, checked, checked, checked, (EventKind::ProxyCalled, Outcome::Allowed)]);
    for event in &events {
        assert_eq!(event.get_user(), Some("user:sarah"));
        assert_eq!(event.get_agent(), Some("agent:sales"));
        assert_eq!(event.get_actors(), ["agent:planner"]);
        assert_eq!(event.get_client(), Some("app:sales-agent"));
        assert_eq!((event.get_trace(), event.get_grant()), (Some("trace-1"), Some("grant-1")));
        assert_eq!((event.get_token(), event.details()["name"].as_str()), (Some("jti-1"), "get_account"));
    }
    let asked: Vec<_> = events.iter().map(|event| (event.get_resource(), event.get_action())).collect();
    assert!(asked.contains(&(Some("mcp_server:crm"), Some("can_use"))), "{asked:?}");
    assert!(asked.contains(&(Some("account:acme"), Some("viewer"))), "{asked:?}");
    assert!(events[0].get_revision().is_some());
    let asked = request("tools/call", &json!({"name": "get_account", "arguments": {"account_id": "globex"}}));
    decide(&world, judged("user:sarah", Some("agent:sales")), &NoApprovals, &asked).unwrap_err();
    let denied = world.events().pop().unwrap();
    assert_eq!((denied.outcome(), denied.details()["asked"].as_str()), (Outcome::Refused, "agent:sales"));
}

// An approval is for one call with exactly its arguments; a denial says how to ask.
#[test]
fn a_call_behind_an_approval_says_how_to_ask_and_goes_on_once() {
    let world = World::new();
    let approver = Approver::default();
    let call = |amount: u64| {
        request("tools/call", &json!({"name": "send_proposal", "arguments": {"account_id": "acme", "amount": amount}}))
    };
    let sarah = || judged("user:sarah", Some("agent:sales"));
    let Stop::Fault(fault) = decide(&world, sarah(), &approver, &call(450_000)).unwrap_err() else { panic!("scopes") };
    assert_eq!(fault.code, DENIED);
    assert_eq!(
        fault.data.unwrap(),
        json!({
            "evaluation_id": "evaluation-1",
            "access_request": {
                "expires_at": "2026-01-01T00:00:00Z",
                "endpoint": "https://id.example.com/access-requests",
                "form_url": "https://id.example.com/approve",
                "binding_token": "binding-1",
            },
            "authorization": {
                "reason": "insufficient_authorization",
                "authorizationContextId": "trace-1",
                "credentialDisposition": "additional",
                "remediationHints": [
                    {"type": "url", "url": "https://id.example.com/approve"},
                    {"type": "oauth_authorization_details",
                     "authorization_details": [{"type": "tool_call", "tool": "send_proposal"}]},
                ],
            },
        })
    );
    let given = json!(["user:sarah", "send_proposal", {"account_id": "acme", "amount": 450_000}]);
    approver.approved.lock().push(given);
    assert!(decide(&world, sarah(), &approver, &call(450_001)).is_err(), "other arguments");
    assert!(decide(&world, judged("user:bob", Some("agent:sales")), &approver, &call(450_000)).is_err());
    decide(&world, sarah(), &approver, &call(450_000)).unwrap();
    assert_eq!(world.events().pop().unwrap().details()["approval"], "approval-1");
    assert!(decide(&world, sarah(), &approver, &call(450_000)).is_err(), "used up");
    let broken = Approver { broken: true, ..Approver::default() };
    let Stop::Fault(fault) = decide(&world, sarah(), &broken, &call(1)).unwrap_err() else { panic!("scopes") };
    assert_eq!(fault.code, INTERNAL_ERROR);
}

// An error is never an allowance.
#[test]
fn a_question_that_cannot_be_answered_refuses_the_call() {
    let world = World::new();
    let mut spec = policy_spec();
    let rule: RuleSpec =
        serde_json::from_value(json!({"checks": [{"object": "timed:{id}", "relation": "viewer"}]})).unwrap();
    spec.tools.insert("timed".into(), rule);
    let policy = Policy::new(&spec).unwrap();
    world.decider().verify(&policy).unwrap();
    let mut tuple = TupleKeyRef::parse("timed:a", "viewer", "user:sarah").unwrap().to_tuple();
    for (end, expected) in [("2030-01-01T00:00:00Z", 0), ("2020-01-01T00:00:00Z", DENIED)] {
        let context = json!({"end": end}).as_object().unwrap().clone();
        tuple.condition = Some(crate::tuple::TupleCondition { name: "until".into(), context });
        let query = WriteQuery { writes: vec![tuple.clone()], ..WriteQuery::default() };
        world.engine.write(world.store, None, query, NOW).unwrap();
        let asker = Asker { judged: judged("user:sarah", None), trace: "t".into(), now: NOW };
        let request = request("tools/call", &json!({"name": "timed", "arguments": {"id": "a"}}));
        let case = Case {
            policy: &policy,
            approvals: &NoApprovals,
            resource: "r",
            base: &[],
            asker: &asker,
            request: &request,
        };
        let code = match world.decider().decide(case) {
            Ok(_) => 0,
            Err(Stop::Fault(fault)) => fault.code,
            Err(stop) => panic!("{stop:?}"),
        };
        assert_eq!(code, expected, "conditions see the time");
        world.delete("timed:a", "viewer", "user:sarah");
    }
    // A store that is gone answers nothing.
    let nowhere = Decider { store: StoreId(ulid::Ulid::from_parts(9, 9)), ..world.decider() };
    let asker = Asker { judged: judged("user:sarah", None), trace: "t".into(), now: NOW };
    let request = request("tools/list", &json!({}));
    let case =
        Case { policy: &policy, approvals: &NoApprovals, resource: "r", base: &[], asker: &asker, request: &request };
    let Err(Stop::Fault(fault)) = nowhere.decide(case) else { panic!("allowed") };
    assert_eq!(fault.code, INTERNAL_ERROR);
}

fn filtered(world: &World, asked: &Request, server_requests: &[String], said: &str) -> Result<Said, i64> {
    let policy = Policy::new(&policy_spec()).unwrap();
    let asker = Asker { judged: judged("user:sarah", Some("agent:sales")), trace: "t".into(), now: NOW };
    let decider = world.decider();
    let filter = Filter {
        decider: &decider,
        policy: &policy,
        asker: &asker,
        resource: "https://mcp.example.com/crm",
        request: asked,
        server_requests,
    };
    filter.judge(said.as_bytes()).map(|verdict| verdict.said).map_err(|fault| fault.code)
}

// F-3.2a: lists show what may be used.
#[test]
fn lists_are_cut_to_what_both_may_use() {
    let world = World::new();
    let shown = |method: &str, list: &str, items: Value, key: &str| {
        let result = json!({list: items, "nextCursor": "n", "cacheScope": "public", "ttlMs": 5});
        let said = json!({"jsonrpc": "2.0", "id": 1, "result": result});
        let Said::Changed(value) = filtered(&world, &request(method, &json!({})), &[], &said.to_string()).unwrap()
        else {
            panic!()
        };
        assert_eq!(value["result"]["cacheScope"], "private", "a list for one is for no other's cache");
        assert_eq!((&value["result"]["nextCursor"], &value["result"]["ttlMs"]), (&json!("n"), &json!(5)));
        let items = value["result"][list].as_array().unwrap();
        items.iter().map(|item| item[key].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let tools =
        json!([{"name": "get_account"}, {"name": "delete_all"}, {"name": "unknown"}, {"name": "weather"}, {}, 7]);
    assert_eq!(shown("tools/list", "tools", tools, "name"), ["get_account", "weather"]);
    let resources = json!([{"uri": "crm://accounts/acme"}, {"uri": "crm://accounts/globex"}, {"uri": "docs://handbook"},
        {"uri": "docs://salaries"}, {"uri": "pricing://executive-discounts"}]);
    assert_eq!(shown("resources/list", "resources", resources, "uri"), ["crm://accounts/acme", "docs://handbook"]);
    let templates = json!([{"uriTemplate": "crm://accounts/{account}"}, {"uriTemplate": "pricing://{x}"}]);
    let list = shown("resources/templates/list", "resourceTemplates", templates, "uriTemplate");
    assert_eq!(list, ["crm://accounts/{account}"]);
    let prompts = json!([{"name": "greet"}, {"name": "other"}]);
    assert_eq!(shown("prompts/list", "prompts", prompts, "name"), ["greet"]);
    let event = world.events().into_iter().find(|event| event.get_action() == Some("tools/list")).unwrap();
    assert_eq!((event.details()["shown"].as_str(), event.details()["hidden"].as_str()), ("2", "4"));
}

#[test]
fn a_server_says_only_what_belongs_to_the_answer() {
    let world = World::new();
    let call = request("tools/call", &json!({"name": "weather"}));
    let said = |said: Value| filtered(&world, &call, &[], &said.to_string());
    for as_is in [
        json!({"jsonrpc": "2.0", "id": 1, "result": {"content": []}}),
        json!({"jsonrpc": "2.0", "id": 1, "error": {"code": -1, "message": "x"}}),
        json!({"jsonrpc": "2.0", "error": {"code": -1, "message": "x"}}),
        json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": {}}),
        json!({"jsonrpc": "2.0", "method": "notifications/resources/updated", "params": {"uri": "crm://accounts/acme"}}),
    ] {
        assert_eq!(said(as_is.clone()), Ok(Said::Asis), "{as_is}");
    }
    for dropped in [
        json!({"jsonrpc": "2.0", "id": 2, "result": {"content": []}}),
        json!({"jsonrpc": "2.0", "id": 1, "method": "sampling/createMessage"}),
        json!({"jsonrpc": "2.0", "method": "notifications/unheard-of"}),
        json!({"jsonrpc": "2.0", "method": "notifications/resources/updated", "params": {"uri": "crm://accounts/globex"}}),
        json!("text"),
        json!([]),
    ] {
        assert_eq!(said(dropped.clone()), Ok(Said::Dropped), "{dropped}");
    }
    // What a client could read as something else than was judged.
    for two in [
        r#"{"jsonrpc":"2.0","method":"sampling/createMessage","method":"notifications/progress"}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/progress","Method":"sampling/createMessage"}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{"inputRequests":{"a":{"method":"roots/list"}},"inputRequests":{}}}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/progress","result":{"tools":[{"name":"delete_all"}]}}"#,
    ] {
        assert_eq!(filtered(&world, &call, &[], two), Ok(Said::Dropped), "{two}");
    }
    let ask = json!({"jsonrpc": "2.0", "id": 9, "method": "roots/list"});
    assert_eq!(filtered(&world, &call, &["roots/list".into()], &ask.to_string()), Ok(Said::Asis));
    let wants = json!({"jsonrpc": "2.0", "id": 1, "result": {"resultType": "input_required",
        "inputRequests": {"a": {"method": "elicitation/create"}}}});
    assert_eq!(filtered(&world, &call, &[], &wants.to_string()), Err(DENIED));
    assert_eq!(filtered(&world, &call, &["elicitation/create".into()], &wants.to_string()), Ok(Said::Asis));
}

#[test]
fn policies_that_could_not_work_are_refused_with_what_to_do() {
    let refused = |change: fn(&mut Value)| {
        let mut value = json!({"server": {"object": "mcp_server:crm", "relation": "can_use"}, "tools": {}});
        change(&mut value);
        match serde_json::from_value::<PolicySpec>(value) {
            Ok(spec) => match Policy::new(&spec) {
                Ok(policy) => World::new().decider().verify(&policy).unwrap_err().to_string(),
                Err(error) => error.to_string(),
            },
            Err(error) => error.to_string(),
        }
    };
    let cases: [(fn(&mut Value), &str); 9] = [
        (|v| v["tools"] = json!({"a": {}}), "`open: true`"),
        (|v| v["tools"] = json!({"a": {"open": true, "checks": [{"object": "a:b", "relation": "c"}]}}), "drop one"),
        (|v| v["tools"] = json!({"a": {"checks": [{"object": "account", "relation": "c"}]}}), "`type:id`"),
        (|v| v["tools"] = json!({"a": {"checks": [{"object": "{x}:1", "relation": "c"}]}}), "names in the id alone"),
        (|v| v["tools"] = json!({"a": {"scopes": ["a b"], "open": true}}), "`a b`"),
        (
            |v| v["resources"] = json!([{"uri": "a://{x}", "checks": [{"object": "account:{y}", "relation": "c"}]}]),
            "`{y}`",
        ),
        (|v| v["server"] = json!({"object": "mcp_server:{x}", "relation": "can_use"}), "`{x}`"),
        (|v| v["server"] = json!({"object": "mcp_server:crm", "relation": "can_fly"}), "can_fly"),
        (|v| v["toolz"] = json!({}), "unknown field"),
    ];
    for (change, why) in cases {
        let error = refused(change);
        assert!(error.contains(why), "{why}: {error}");
    }
}
