//! One explanation over all layers, as an auditor asks for it over HTTP: from a token, an approval, a trace or an event back to the
//! sign-in, each step with its number in the log; and by which tuples a Check was allowed.

use crate::approvals_served::{World, write_access};
use crate::identity::{Heard, Issuing, env};
use crate::mcp_tenant::{World as Tools, approve, client, data_store, proposal, signed_in, strings, tool};
use bailiwick::engine::WriteQuery;
use bailiwick::identity::{Client, ClientKind, ConsentRule, EventKind, Outcome, Resource, Scope, Tenant, decode};
use bailiwick::model::Model;
use bailiwick::modules::approval::put_type;
use bailiwick::modules::audit::Audit;
use bailiwick::modules::exchange::{Connection, ScopeClass, Target, allow, classify, put_connection};
use bailiwick::tuple::{ModelId, Revision, StoreId, TupleKeyRef};
use serde_json::{Value, json};

/// Whoever audits `acme`, with a token for its administration.
struct Auditor<'a> {
    issuing: &'a Issuing,
    token: String,
}

impl<'a> Auditor<'a> {
    fn new(issuing: &'a Issuing, scope: &str) -> Auditor<'a> {
        let tenant = &issuing.acme;
        let place = tenant.url("/admin");
        let scopes = ["audit:read", "agents:read"];
        let named = |name: &str| Scope { name: name.into(), description: name.into(), checked: false };
        let scopes_of = scopes.iter().map(|name| named(name)).collect();
        let resource = Resource {
            id: "admin".into(),
            identifier: place.clone(),
            name: "x".into(),
            scopes: scopes_of,
            created_at: 0,
        };
        tenant.put_resource(&resource, &env()).unwrap();
        tenant.create_user(Some("olga"), &["olga@example.com"], serde_json::Map::new(), &env()).unwrap();
        let mut change = tenant.change(&env());
        change.relate(&tenant.object(), "admin", "user:olga");
        change.commit().unwrap();
        let console = Client {
            redirect_uris: strings(&["https://sales.example/cb"]),
            scopes: strings(&["openid", "audit:read", "agents:read"]),
            grant_types: strings(&["authorization_code"]),
            resources: vec![place.clone()],
            consent: ConsentRule::Managed,
            ..Client::new("console", ClientKind::App, "The console")
        };
        let credentials = client(tenant, console);
        let token = signed_in(issuing, ("console", &credentials), "olga", &place, scope);
        Auditor { issuing, token }
    }

    fn ask(&self, query: &str) -> Heard {
        let log = Audit::new(self.issuing.acme.engine()).log(self.issuing.acme.number());
        while log.grow().unwrap().more {}
        let bearer = format!("Bearer {}", self.token);
        self.issuing.send("GET", &format!("/t/acme/admin/audit/explain{query}"), &[("authorization", &bearer)], "")
    }

    fn steps(&self, query: &str) -> Vec<Value> {
        let heard = self.ask(query);
        assert_eq!(heard.status, 200, "{query}: {}", heard.body);
        heard.json()["steps"].as_array().unwrap().clone()
    }
}

fn jti(token: &str) -> String {
    let claims: Value = serde_json::from_slice(&decode(token.split('.').nth(1).unwrap()).unwrap()).unwrap();
    claims["jti"].as_str().unwrap().to_owned()
}

fn kinds(steps: &[Value]) -> Vec<&str> {
    steps.iter().map(|step| step["kind"].as_str().unwrap()).collect()
}

#[test]
fn a_token_is_explained_from_the_sign_in_to_the_approval_that_allowed_it() {
    let world = World::start(Issuing::start());
    let olga = Auditor::new(&world.issuing, "openid audit:read");
    let token = world.token();
    let refused = world.exchange(&token, "contacts:write", &[]);
    assert_eq!(refused.status, 400, "{}", refused.body);
    let asked = world.ask(&write_access(), &[]);
    let asked = asked["auth_req_id"].as_str().unwrap();
    let approval = approve(&world.issuing, "john").id;
    let given = world.exchange(&token, "contacts:write", &[("approval", asked)]).json();
    let given = jti(given["access_token"].as_str().unwrap());

    let steps = olga.steps(&format!("?token={given}"));
    let find = |kind: &str, n: usize| {
        steps.iter().filter(|step| step["kind"] == kind).nth(n).unwrap_or_else(|| panic!("{kind}: {steps:?}"))
    };
    // Two people signed in: Sarah, for whom it is, and John, who approved.
    let people = [find("session.started", 0), find("session.started", 1)].map(|step| step["person"].as_str().unwrap());
    assert_eq!(people, ["user:sarah", "user:john"]);
    let (asked, decided) = (find("approval.asked", 0), find("approval.decided", 0));
    assert_eq!((&asked["layer"], &decided["outcome"]), (&json!("approval"), &json!("allowed")));
    assert!(decided["from"].as_array().unwrap().contains(&find("session.started", 1)["number"]), "{decided}");
    assert!(decided["why"].as_str().unwrap().contains("by user:john"), "{decided}");
    // The first token by a code, the second by an exchange, with the approval; each names what it hangs on.
    let (first, second) = (find("grant.created", 0), find("grant.created", 1));
    assert_eq!(first["from"], json!([find("session.started", 0)["number"]]));
    assert_eq!(second["from"], json!([find("token.issued", 0)["number"]]));
    let exchanged = find("exchange.allowed", 0);
    assert_eq!((&exchanged["layer"], &exchanged["agent"]), (&json!("exchange"), &json!("agent:sales")));
    assert!(exchanged["from"].as_array().unwrap().contains(&decided["number"]), "{exchanged}");
    assert!(exchanged["why"].as_str().unwrap().contains(&approval), "{exchanged}");
    let numbers: Vec<u64> = steps.iter().map(|step| step["number"].as_u64().unwrap()).collect();
    assert!(numbers.is_sorted());

    // From the approval one comes to the same exchange, and from the exchange to the same beginning.
    let of_approval = olga.steps(&format!("?approval={approval}"));
    assert!(kinds(&of_approval).contains(&"exchange.allowed"), "{:?}", kinds(&of_approval));
    let of_event = olga.steps(&format!("?event={}", exchanged["number"]));
    assert!(of_event.contains(find("session.started", 0)), "{:?}", kinds(&of_event));
    // What was refused says by which rule.
    let all = olga.ask(&format!("?token={}", jti(&token))).json();
    let refused = all["steps"].as_array().unwrap().iter().find(|step| step["outcome"] == "refused");
    assert!(
        refused.is_none(),
        "a refusal of another request hangs on its grant, and is no use of the token: {refused:?}"
    );
    let trace = exchanged["trace"].as_str().unwrap();
    let of_trace = olga.ask(&format!("?trace={trace}")).json();
    assert!(kinds(of_trace["steps"].as_array().unwrap()).contains(&"exchange.allowed"));
    let layers = of_trace["layers"].as_array().unwrap();
    assert!(layers.iter().any(|layer| layer["layer"] == "exchange" && layer["allowed"] == 1), "{layers:?}");
}

#[test]
fn one_call_is_explained_by_every_layer_that_had_a_say() {
    let world = Tools::start();
    let tenant = &world.issuing.acme;
    tenant.attach_store(data_store(tenant.engine()), true, &env()).unwrap();
    world.put("crm", &world.gateway());
    put_type(tenant, &proposal(), "user:admin", &env()).unwrap();
    let crm = tenant.url("/mcp/crm");
    let target = Target::Resource { resource: crm.clone() };
    let connection = Connection { id: "crm-tools".into(), name: "CRM".into(), target, created_at: 0 };
    put_connection(tenant, &connection, &env()).unwrap();
    allow(tenant, "crm-tools", "agent:sales", true, &env()).unwrap();
    classify(tenant, ("crm-tools", "mcp:crm:write"), "agent:sales", Some(ScopeClass::Automatic), &env()).unwrap();
    let olga = Auditor::new(&world.issuing, "openid audit:read");

    // Sarah signs in to the agent, which exchanges her token for one for the tool's server; she approves the call, and it is made.
    let signed_in = world.token("/mcp/crm", "openid mcp:crm:write");
    let pairs = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("subject_token", &signed_in),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
        ("resource", &crm),
        ("scope", "mcp:crm:write"),
    ];
    let heard = world.issuing.post("/t/acme/token", &[("authorization", &world.agent)], &pairs);
    assert_eq!(heard.status, 200, "{}", heard.body);
    let token = heard.json()["access_token"].as_str().unwrap().to_owned();
    let arguments = json!({"account_id": "acme", "amount": "450000"});
    let send = || world.call("/mcp/crm", &token, "tools/call", tool("send_proposal", arguments.clone())).json();
    let denied = send()["error"]["data"].clone();
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let wanted = json!({
        "resource": {"type": "mcp_tool", "id": "send_proposal", "properties": {"server": "crm"}},
        "action": {"name": "tools/call", "properties": arguments},
        "denial": {"evaluation_id": denied["evaluation_id"], "expires_at": denied["access_request"]["expires_at"]},
    });
    let heard = world.issuing.send("POST", "/t/acme/access-requests", &headers, &wanted.to_string());
    assert_eq!(heard.status, 202, "{}", heard.body);
    approve(&world.issuing, "sarah");
    assert!(send().get("result").is_some());

    // One question, about the call that was made: each layer has a step, and says how it was decided.
    let of_token = olga.steps(&format!("?token={}", jti(&token)));
    let called = of_token.iter().find(|step| step["kind"] == "proxy.called").unwrap_or_else(|| panic!("{of_token:?}"));
    let steps = olga.steps(&format!("?event={}", called["number"]));
    let of_layer = |layer: &str, kind: &str| {
        let mut found = steps.iter().filter(|step| step["layer"] == layer && step["kind"] == kind);
        found.find(|step| step["outcome"] != "refused").unwrap_or_else(|| panic!("no {kind}: {steps:?}"))
    };
    assert_eq!(of_layer("authentication", "session.started")["person"], "user:sarah");
    assert_eq!(of_layer("grant", "token.issued")["person"], "user:sarah");
    let exchanged = of_layer("exchange", "exchange.allowed");
    assert_eq!((&exchanged["person"], &exchanged["agent"]), (&json!("user:sarah"), &json!("agent:sales")));
    assert!(exchanged["why"].as_str().unwrap().contains("through crm-tools"), "the managed connection: {exchanged}");
    let decided = of_layer("approval", "approval.decided");
    assert!(decided["why"].as_str().unwrap().contains("by user:sarah"), "{decided}");
    // Of the server, and of what the call is about.
    let asked = ["mcp_server:crm", "account:acme"].map(|resource| {
        let mut checks = steps.iter().filter(|step| step["kind"] == "check.decided" && step["outcome"] != "refused");
        checks.find(|step| step["resource"] == resource).unwrap_or_else(|| panic!("{resource}: {steps:?}"))
    });
    let checked = asked[1];
    assert_eq!((&checked["layer"], &checked["person"]), (&json!("check"), &json!("user:sarah")));
    assert!(checked["path"]["tuples"].as_array().is_some_and(|tuples| !tuples.is_empty()), "{checked}");
    assert_eq!(of_layer("call", "proxy.called")["number"], called["number"]);
}

#[test]
fn who_may_not_read_the_log_is_told_nothing_and_questions_have_one_form() {
    let issuing = Issuing::start();
    let auditor = Auditor::new(&issuing, "openid audit:read");
    for (query, status) in [
        ("?trace=nothing-has-this", 404),
        ("?approval=01M8FGCCGZHDCXCAP0QBK96D6C", 404),
        ("?token=01M8FGCCGZHDCXCAP0QBK96D6C.x", 404),
        ("?event=100000", 404),
        ("", 400),
        ("?trace=a&event=1", 400),
        ("?event=x", 400),
        ("?other=1", 400),
    ] {
        let heard = auditor.ask(query);
        assert_eq!(heard.status, status, "{query}: {}", heard.body);
    }
    assert_eq!(issuing.send("GET", "/t/acme/admin/audit/explain?event=1", &[], "").status, 401);
    let other = Issuing::start();
    assert_eq!(Auditor::new(&other, "openid agents:read").ask("?event=1").status, 403);
}

const MODEL: &str = "model
  schema 1.1
type user
type team
  relations
    define member: [user]
type folder
  relations
    define viewer: [team#member]
type document
  relations
    define parent: [folder]
    define viewer: [user] or viewer from parent
";

fn write(tenant: &Tenant, store: StoreId, writes: &[[&str; 3]], deletes: &[[&str; 3]]) -> Revision {
    let tuples = |list: &[[&str; 3]]| {
        list.iter().map(|[o, r, s]| TupleKeyRef::parse(o, r, s).unwrap().to_tuple()).collect::<Vec<_>>()
    };
    let query = WriteQuery { writes: tuples(writes), deletes: tuples(deletes), ..WriteQuery::default() };
    tenant.engine().write(store, None, query, env().now).unwrap().revision
}

#[test]
fn a_check_is_explained_by_the_tuples_that_allowed_it_then() {
    let issuing = Issuing::start();
    let (tenant, now) = (&issuing.acme, env().now);
    let auditor = Auditor::new(&issuing, "openid audit:read");
    let (store, engine) = (StoreId(ulid::Ulid::from_parts(1, 7)), tenant.engine());
    engine.create_store(store, "files", now).unwrap();
    engine.write_model(store, ModelId(ulid::Ulid::from_parts(1, 8)), Model::parse_dsl(MODEL).unwrap()).unwrap();
    tenant.attach_store(store, true, &env()).unwrap();
    let tuples = [
        ["document:plan", "parent", "folder:sales"],
        ["folder:sales", "viewer", "team:sales#member"],
        ["team:sales", "member", "user:sarah"],
    ];
    let revision = write(tenant, store, &tuples, &[]);
    let mut change = tenant.change(&env());
    for (subject, outcome) in [("user:sarah", Outcome::Allowed), ("user:eve", Outcome::Refused)] {
        let event = tenant.event(EventKind::CheckDecided, outcome, &env()).user(subject).trace("the-task");
        let event = event.resource("document:plan").action("viewer").detail("asked", subject).reason("mcp.check");
        change.event(&event.revision(revision));
    }
    change.commit().unwrap();
    // It is taken away, and what was decided before is explained as it was.
    write(tenant, store, &[], &[tuples[2]]);
    let steps = auditor.steps("?trace=the-task");
    let expected =
        ["document:plan#parent@folder:sales", "folder:sales#viewer@team:sales#member", "team:sales#member@user:sarah"];
    assert_eq!(steps[0]["path"], json!({"tuples": expected, "then": true}));
    assert_eq!((&steps[1]["path"], &steps[1]["rule"]), (&Value::Null, &json!("mcp.check")));
}
