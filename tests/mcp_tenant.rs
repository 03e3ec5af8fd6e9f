//! The MCP servers of a tenant as `bailiwick serve` has them: put by an administrator, in force at once, with tokens of the
//! tenant's issuer, approvals of its people and credentials of its vault.

use crate::cli::{err, out, program};
use crate::identity::{Heard, Issuing, env};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse as _;
use axum::routing::any;
use bailiwick::engine::{ChunksQuery, CollectionSpec, Engine, Guard, NewChunk, WriteQuery};
use bailiwick::identity::{
    AUDIT, AuthMethod, Authentication, Browser, Client, ClientKind, ConsentRule, Decided, Event, EventKind, Held,
    Resource, Scope, Session, Tenant, audit_key, hash_of,
};
use bailiwick::model::Model;
use bailiwick::modules::approval::{ApprovalRequest, ApprovalSettings, Approvals, Choice, Decider, put_type};
use bailiwick::modules::exchange::TOKEN_EXCHANGE;
use bailiwick::modules::vault::{
    self, CallLimits, ConnectionSpec, Hidden, Holder, HolderKind, Provider, ProxyRule, Secret,
};
use bailiwick::tuple::{ModelId, Object, StoreId, TupleKeyRef};
use bailiwick::vector::{Element, Metric, Space};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};

const CALLBACK: &str = "https://sales.example/cb";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CIBA: &str = "urn:openid:params:grant-type:ciba";
const MODEL: &str = "model
  schema 1.1
type user
type agent
type mcp_server
  relations
    define can_use: [user, agent]
type account
  relations
    define viewer: [user, agent]
    define editor: [user, agent]
type document
  relations
    define viewer: [user, agent]
";

pub(crate) fn strings(list: &[&str]) -> Vec<String> {
    list.iter().map(|text| (*text).to_owned()).collect()
}

/// A data store: Sarah and the sales agent both see acme; she alone sees globex, and the salaries.
pub(crate) fn data_store(engine: &Engine) -> StoreId {
    let now = env().now;
    let store = StoreId(ulid::Ulid::from_parts(1, 7));
    engine.create_store(store, "sales", now).unwrap();
    engine.write_model(store, ModelId(ulid::Ulid::from_parts(1, 8)), Model::parse_dsl(MODEL).unwrap()).unwrap();
    let both = ["user:sarah", "agent:sales"];
    let mut tuples = vec![("account:globex", "viewer", "user:sarah"), ("document:salaries", "viewer", "user:sarah")];
    for subject in both {
        tuples.extend([("mcp_server:crm", "can_use", subject), ("account:acme", "viewer", subject)]);
        tuples.extend([("account:acme", "editor", subject), ("document:plan", "viewer", subject)]);
    }
    let tuple = |(object, relation, subject)| TupleKeyRef::parse(object, relation, subject).unwrap().to_tuple();
    let writes = tuples.into_iter().map(tuple).collect();
    engine.write(store, None, WriteQuery { writes, ..WriteQuery::default() }, now).unwrap();
    let space = Space::new(3, Metric::Cosine, Element::F32).unwrap();
    let guard = Guard { object_type: "document".into(), relation: "viewer".into() };
    engine.create_collection(store, CollectionSpec { name: "passages".into(), space, guard }, now).unwrap();
    let chunk = |document: &str, vector: [f32; 3]| NewChunk {
        id: format!("{document}-1"),
        object: Object { object_type: "document".into(), id: document.into() },
        vector: vector.into(),
        text: Some(format!("The text of {document}.")),
        payload: None,
    };
    let upserts = vec![chunk("plan", [0.9, 0.1, 0.0]), chunk("salaries", [1.0, 0.0, 0.0])];
    engine.write_chunks(store, "passages", ChunksQuery { upserts, ..ChunksQuery::default() }, now).unwrap();
    store
}

/// What a server behind the gateway was asked: its headers and its messages.
type Seen = Arc<Mutex<Vec<(HeaderMap, Value)>>>;

/// An MCP server that knows nothing of authorization, and repeats what it sees as a key.
async fn crm(State(seen): State<Seen>, headers: HeaderMap, body: Bytes) -> axum::response::Response {
    let Ok(message) = serde_json::from_slice::<Value>(&body) else { return StatusCode::BAD_REQUEST.into_response() };
    let key = headers.get("authorization").map(|value| value.to_str().unwrap().to_owned());
    seen.lock().unwrap().push((headers, message.clone()));
    let tools = json!([{"name": "get_account", "inputSchema": {"type": "object"}}, {"name": "send_proposal",
        "inputSchema": {"type": "object"}}, {"name": "drop_tables", "inputSchema": {"type": "object"}}]);
    let result = match message["method"].as_str().unwrap() {
        "tools/list" => json!({"resultType": "complete", "tools": tools}),
        "tools/call" => json!({"resultType": "complete", "content": [{"type": "text", "text":
            format!("{} of {}, with {}", message["params"]["name"], message["params"]["arguments"], key.unwrap_or_default())}]}),
        "resources/read" => {
            json!({"resultType": "complete", "contents": [{"uri": message["params"]["uri"], "text": "It."}]})
        }
        _ => json!({}),
    };
    let answer = json!({"jsonrpc": "2.0", "id": message["id"], "result": result});
    ([("content-type", "application/json")], answer.to_string()).into_response()
}

pub(crate) struct World {
    pub(crate) issuing: Issuing,
    seen: Seen,
    /// Where the server behind the gateway is.
    url: String,
    /// `Authorization` of the administrator's tool, and of the agent as a client.
    admin: String,
    pub(crate) agent: String,
}

pub(crate) fn basic(id: &str, secret: &str) -> String {
    use base64::Engine as _;
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{id}:{secret}")))
}

/// A client with a secret; answers its `Authorization`.
pub(crate) fn client(tenant: &Tenant, client: Client) -> String {
    let client = Client { auth_methods: vec![AuthMethod::ClientSecretBasic, AuthMethod::ClientSecretPost], ..client };
    tenant.create_client(&client, &env()).unwrap();
    basic(&client.id, &tenant.add_secret(&client.id, None, &env()).unwrap().1)
}

/// A person of `acme`, who has just signed in with two factors.
pub(crate) fn session(issuing: &Issuing, user: &str) -> Held<Session> {
    let authentication = Authentication { at: env().seconds(), acr: "phr".into(), amr: strings(&["hwk"]) };
    let (_, cookie) = issuing.acme.start_session(user, authentication, Browser::default(), &env()).unwrap();
    issuing.acme.session_of_cookie(&cookie, &env()).unwrap().unwrap()
}

/// A token of a person for a client that asks for no consent, by the code flow. Several resources have blanks between.
pub(crate) fn signed_in(
    issuing: &Issuing,
    (client, authorization): (&str, &str),
    user: &str,
    resource: &str,
    scope: &str,
) -> String {
    let (tenant, challenge) = (&issuing.acme, hash_of(VERIFIER));
    let query = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs([
            ("client_id", client),
            ("response_type", "code"),
            ("redirect_uri", CALLBACK),
            ("scope", scope),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ])
        .extend_pairs(resource.split(' ').map(|one| ("resource", one)))
        .finish();
    let heard = issuing.send("GET", &format!("/t/acme/authorize?{query}"), &[], "");
    let to = url::Url::parse(heard.header("location").unwrap_or_else(|| panic!("{}", heard.body))).unwrap();
    let id = to.query_pairs().find(|(name, _)| name == "request").unwrap_or_else(|| panic!("{to}")).1.into_owned();
    let request = tenant.request(&id, &env()).unwrap();
    let to = tenant.complete(&request, &session(issuing, user), &Decided::NotAsked, &env()).unwrap();
    let to = url::Url::parse(&to).unwrap();
    let code = to.query_pairs().find(|(name, _)| name == "code").unwrap().1.into_owned();
    let pairs = [
        ("grant_type", "authorization_code"),
        ("code", &code),
        ("code_verifier", VERIFIER),
        ("redirect_uri", CALLBACK),
    ];
    let heard = issuing.post("/t/acme/token", &[("authorization", authorization)], &pairs);
    assert_eq!(heard.status, 200, "{}", heard.body);
    heard.json()["access_token"].as_str().unwrap().to_owned()
}

/// Somebody of `acme` approves the one request that waits for them.
pub(crate) fn approve(issuing: &Issuing, user: &str) -> ApprovalRequest {
    let (approvals, session) = (Approvals::new(ApprovalSettings::default()), session(issuing, user));
    let decider = Decider { session: &session };
    let (waiting, _) = approvals.waiting(&issuing.acme, decider, &env()).unwrap();
    let [request] = waiting.as_slice() else { panic!("{waiting:?}") };
    let details = (0..request.details.len()).collect();
    let choice = Choice::Approve { scopes: request.scopes.clone(), details };
    approvals.decide(&issuing.acme, decider, (&request.id, &request.shown_hash), &choice, &env()).unwrap()
}

/// What happened in `acme`, in order.
pub(crate) fn events(issuing: &Issuing) -> Vec<Event> {
    let (records, start) = (issuing.acme.engine().records(AUDIT), audit_key(issuing.acme.number(), b'e'));
    let page = records.scan(&start, None, 1_000).unwrap();
    page.iter().map(|(_, bytes)| Event::read(bytes).unwrap()).collect()
}

impl World {
    pub(crate) fn start() -> World {
        let issuing = Issuing::start();
        let tenant = &issuing.acme;
        let seen = Seen::default();
        let router = Router::new().route("/mcp", any(crm)).with_state(Arc::clone(&seen));
        let listener = issuing.runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let url = format!("http://{}/mcp", listener.local_addr().unwrap());
        issuing.runtime.spawn(async move { axum::serve(listener, router).await.unwrap() });
        let place = tenant.url("/admin");
        let scopes = [("mcp:read", "See MCP servers"), ("mcp:write", "Change MCP servers")];
        let scope = |(name, text): (&str, &str)| Scope { name: name.into(), description: text.into(), checked: false };
        let scopes = scopes.map(scope).to_vec();
        let resource =
            Resource { id: "admin".into(), identifier: place.clone(), name: "A".into(), scopes, created_at: 0 };
        tenant.put_resource(&resource, &env()).unwrap();
        let ops = Client {
            grant_types: strings(&["client_credentials"]),
            scopes: strings(&["mcp:read", "mcp:write"]),
            resources: vec![place.clone()],
            ..Client::new("ops", ClientKind::App, "Operations")
        };
        let ops = client(tenant, ops);
        let mut change = tenant.change(&env());
        change.relate(&tenant.object(), "admin", "app:ops");
        change.commit().unwrap();
        let (crm, docs) = (tenant.url("/mcp/crm"), tenant.url("/mcp/docs"));
        let sales = Client {
            redirect_uris: strings(&[CALLBACK]),
            grant_types: strings(&["authorization_code", CIBA, TOKEN_EXCHANGE]),
            scopes: strings(&["openid", "mcp:crm:read", "mcp:crm:write", "mcp:docs:read"]),
            resources: vec![crm, docs],
            details_types: strings(&["proposal"]),
            consent: ConsentRule::Managed,
            ..Client::new("sales", ClientKind::Agent, "The sales agent")
        };
        let agent = client(tenant, sales);
        let pairs = [("grant_type", "client_credentials"), ("resource", &place), ("scope", "mcp:read mcp:write")];
        let heard = issuing.post("/t/acme/token", &[("authorization", &ops)], &pairs);
        let admin = format!("Bearer {}", heard.json()["access_token"].as_str().unwrap());
        World { issuing, seen, url, admin, agent }
    }

    fn tenant(&self) -> &Tenant {
        &self.issuing.acme
    }

    fn administer(&self, method: &str, path: &str, body: &Value) -> Heard {
        let headers = [("authorization", self.admin.as_str()), ("content-type", "application/json")];
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.issuing.send(method, &format!("/t/acme{path}"), &headers, &body)
    }

    pub(crate) fn put(&self, name: &str, spec: &Value) -> Value {
        let heard = self.administer("PUT", &format!("/admin/mcp/{name}"), spec);
        assert_eq!(heard.status, 200, "{}", heard.body);
        heard.json()
    }

    /// The gateway before the CRM.
    pub(crate) fn gateway(&self) -> Value {
        json!({
            "title": "The CRM", "scopes": ["mcp:crm:read"], "implies": {"mcp:crm:write": ["mcp:crm:read"]},
            "gateway": {"url": self.url, "policy": {
                "server": {"object": "mcp_server:crm", "relation": "can_use"},
                "tools": {
                    "get_account": {"checks": [{"object": "account:{account_id}", "relation": "viewer"}]},
                    "send_proposal": {"scopes": ["mcp:crm:write"], "approval": true, "approval_type": "proposal",
                                      "checks": [{"object": "account:{account_id}", "relation": "editor"}]},
                },
                "resources": [{"uri": "crm://accounts/{id}", "checks": [{"object": "account:{id}", "relation": "viewer"}]}],
            }},
        })
    }

    /// A token with which the agent acts for Sarah at a server.
    pub(crate) fn token(&self, server: &str, scope: &str) -> String {
        signed_in(&self.issuing, ("sales", &self.agent), "sarah", &self.tenant().url(server), scope)
    }

    /// A request of the version without sessions.
    pub(crate) fn call(&self, server: &str, token: &str, method: &str, mut params: Value) -> Heard {
        params["_meta"] = json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": {},
        });
        let name = params.get("name").or(params.get("uri")).and_then(Value::as_str).unwrap_or_default().to_owned();
        let shown = format!("Bearer {token}");
        let mut headers = vec![
            ("content-type", "application/json"),
            ("accept", "application/json, text/event-stream"),
            ("mcp-protocol-version", "2026-07-28"),
            ("mcp-method", method),
        ];
        if !name.is_empty() {
            headers.push(("mcp-name", &name));
        }
        if !token.is_empty() {
            headers.push(("authorization", &shown));
        }
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string();
        self.issuing.send("POST", &format!("/t/acme{server}"), &headers, &body)
    }
}

pub(crate) fn tool(name: &str, arguments: Value) -> Value {
    json!({"name": name, "arguments": arguments})
}

/// The challenge of a refusal.
fn challenge(heard: &Heard) -> &str {
    heard.header("www-authenticate").unwrap_or_else(|| panic!("{} {}", heard.status, heard.body))
}

/// A token for elsewhere, one that was changed, and one whose agent was suspended.
fn no_other_token_is_taken(world: &World, token: &str) {
    let (tenant, get) = (world.tenant(), || tool("get_account", json!({"account_id": "acme"})));
    world.put(
        "docs",
        &json!({"own": {"title": "Docs", "policy": {"server": {"object": "mcp_server:crm", "relation": "can_use"}}}}),
    );
    let elsewhere = world.token("/mcp/docs", "openid");
    let heard = world.call("/mcp/crm", &elsewhere, "tools/call", get());
    assert!(heard.status == 401 && challenge(&heard).contains("error=\"invalid_token\""), "{}", heard.body);
    let several = format!("{} {}", tenant.url("/mcp/crm"), tenant.url("/mcp/docs"));
    let several = signed_in(&world.issuing, ("sales", &world.agent), "sarah", &several, "openid mcp:crm:read");
    let heard = world.call("/mcp/crm", &several, "tools/call", get());
    assert!(heard.status == 401 && challenge(&heard).contains("other resources"), "{}", heard.body);
    let (body, signature) = token.rsplit_once('.').unwrap();
    let turned: String = signature.chars().rev().collect();
    assert_eq!(world.call("/mcp/crm", &format!("{body}.{turned}"), "tools/call", get()).status, 401);
    tenant.suspend("agent:sales", true, None, &env()).unwrap();
    assert_eq!(world.call("/mcp/crm", token, "tools/call", get()).status, 401);
    tenant.suspend("agent:sales", false, None, &env()).unwrap();
}

#[test]
fn a_gateway_is_put_by_an_administrator_and_decides_every_call() {
    let world = World::start();
    let (tenant, get) = (world.tenant(), || tool("get_account", json!({"account_id": "acme"})));
    // Nothing is there; and no store that the tenant was not given can be named.
    assert_eq!(world.call("/mcp/crm", "", "tools/list", json!({})).status, 404);
    let store = data_store(tenant.engine());
    let heard = world.administer("PUT", "/admin/mcp/crm", &world.gateway());
    assert!(heard.status == 400 && heard.body.contains("attach-store"), "{}", heard.body);
    tenant.attach_store(store, true, &env()).unwrap();
    let made = world.put("crm", &world.gateway());
    assert_eq!((&made["identifier"], &made["version"]), (&json!(tenant.url("/mcp/crm")), &json!(1)));
    assert_eq!(made["server"]["store"], store.to_string());

    // RFC 9728: the metadata stand behind the well-known path, and the challenge leads there.
    let heard = world.call("/mcp/crm", "", "tools/list", json!({}));
    assert_eq!(heard.status, 401);
    let place = format!("http://{}/.well-known/oauth-protected-resource/t/acme/mcp/crm", world.issuing.address);
    assert!(challenge(&heard).contains(&format!("resource_metadata=\"{place}\"")), "{}", challenge(&heard));
    assert!(challenge(&heard).contains("scope=\"mcp:crm:read\""));
    let metadata = world.issuing.send("GET", "/.well-known/oauth-protected-resource/t/acme/mcp/crm", &[], "").json();
    assert_eq!(metadata["resource"], tenant.url("/mcp/crm"));
    assert_eq!(metadata["authorization_servers"], json!([tenant.issuer()]));
    assert_eq!(metadata["authorization_details_types_supported"], json!(["proposal"]));

    // What both may, goes on; and the server never sees the token.
    let token = world.token("/mcp/crm", "openid mcp:crm:read");
    let listed = world.call("/mcp/crm", &token, "tools/list", json!({})).json();
    let names: Vec<&Value> = listed["result"]["tools"].as_array().unwrap().iter().map(|tool| &tool["name"]).collect();
    assert_eq!(names, ["get_account", "send_proposal"], "what no rule names is not shown");
    let heard = world.call("/mcp/crm", &token, "tools/call", get());
    assert_eq!(heard.status, 200, "{}", heard.body);
    let text = heard.json()["result"]["content"][0]["text"].as_str().unwrap().to_owned();
    assert_eq!(text, "\"get_account\" of {\"account_id\":\"acme\"}, with ");
    assert!(!world.seen.lock().unwrap().last().unwrap().0.contains_key("authorization"));
    let read = world.call("/mcp/crm", &token, "resources/read", json!({"uri": "crm://accounts/acme"})).json();
    assert_eq!(read["result"]["contents"][0]["text"], "It.");

    // What the agent may not, what no rule names, what lacks a scope.
    let seen = world.seen.lock().unwrap().len();
    let denied = world.call("/mcp/crm", &token, "tools/call", tool("get_account", json!({"account_id": "globex"})));
    assert_eq!(denied.json()["error"]["code"], -32_001, "she may, the agent may not");
    assert_eq!(
        world.call("/mcp/crm", &token, "tools/call", tool("drop_tables", json!({}))).json()["error"]["code"],
        -32_001
    );
    let denied = world.call("/mcp/crm", &token, "resources/read", json!({"uri": "crm://accounts/globex"}));
    assert_eq!(denied.json()["error"]["code"], -32_001);
    let heard = world.call("/mcp/crm", &token, "tools/call", tool("send_proposal", json!({"account_id": "acme"})));
    assert_eq!(heard.status, 403);
    assert!(challenge(&heard).contains("error=\"insufficient_scope\"") && challenge(&heard).contains("mcp:crm:write"));
    assert_eq!(world.seen.lock().unwrap().len(), seen, "nothing of it went on");

    no_other_token_is_taken(&world, &token);

    // Another policy is in force from the next request on, and so is none at all.
    let mut spec = world.gateway();
    spec["gateway"]["policy"]["tools"]["get_account"]["checks"][0]["relation"] = "owner".into();
    let heard = world.administer("PUT", "/admin/mcp/crm", &spec);
    assert!(heard.status == 400 && heard.body.contains("owner"), "{}", heard.body);
    spec["gateway"]["policy"]["tools"] = json!({});
    assert_eq!(world.put("crm", &spec)["version"], 2);
    assert_eq!(world.call("/mcp/crm", &token, "tools/call", get()).json()["error"]["code"], -32_001);
    assert_eq!(world.administer("DELETE", "/admin/mcp/crm", &Value::Null).status, 200);
    assert_eq!(world.call("/mcp/crm", &token, "tools/call", get()).status, 404);
    assert!(tenant.resource(&tenant.url("/mcp/crm")).unwrap().is_none());

    // One call leaves linked records: the Checks of both, of the server and of the tool, and the call.
    let events = events(&world.issuing);
    let called = events.iter().find(|e| e.details().get("name").is_some_and(|name| name == "get_account")).unwrap();
    let trace = called.get_trace().unwrap();
    let linked: Vec<EventKind> = events.iter().filter(|e| e.get_trace() == Some(trace)).map(Event::kind).collect();
    assert_eq!(linked, [[EventKind::CheckDecided; 4].as_slice(), &[EventKind::ProxyCalled]].concat());
    assert_eq!((called.get_user(), called.get_agent()), (Some("user:sarah"), Some("agent:sales")));
}

/// Whoever may put MCP servers alone drops no check: neither by taking the server away nor by making it anew.
#[test]
fn a_checked_scope_outlives_its_server() {
    let world = World::start();
    let tenant = world.tenant();
    tenant.attach_store(data_store(tenant.engine()), true, &env()).unwrap();
    world.put("crm", &world.gateway());
    let identifier = tenant.url("/mcp/crm");
    let mut resource = tenant.resource(&identifier).unwrap().unwrap().value;
    resource.scopes[0].checked = true;
    tenant.put_resource(&resource, &env()).unwrap();
    for _ in 0..2 {
        assert_eq!(world.administer("DELETE", "/admin/mcp/crm", &Value::Null).status, 200);
        assert_eq!(tenant.resource(&identifier).unwrap().unwrap().value, resource, "it stays");
        world.put("crm", &world.gateway());
        assert_eq!(tenant.resource(&identifier).unwrap().unwrap().value, resource);
    }
    resource.scopes[0].checked = false;
    tenant.put_resource(&resource, &env()).unwrap();
    assert_eq!(world.administer("DELETE", "/admin/mcp/crm", &Value::Null).status, 200);
    assert!(tenant.resource(&identifier).unwrap().is_none());
}

#[test]
fn what_was_taken_away_decides_nothing_of_what_is_put_anew() {
    let world = World::start();
    let tenant = world.tenant();
    tenant.attach_store(data_store(tenant.engine()), true, &env()).unwrap();
    world.put("crm", &world.gateway());
    let token = world.token("/mcp/crm", "openid mcp:crm:read");
    let get = || world.call("/mcp/crm", &token, "tools/call", tool("get_account", json!({"account_id": "acme"})));
    assert_eq!(get().status, 200);
    assert_eq!(world.administer("DELETE", "/admin/mcp/crm", &Value::Null).status, 200);
    let mut strict = world.gateway();
    strict["gateway"]["policy"]["tools"] = json!({});
    assert_eq!(world.put("crm", &strict)["version"], 1);
    assert_eq!(get().json()["error"]["code"], -32_001, "the new policy has no such tool");

    // A resource of others is none for a server: it would get scopes by it, and go with it.
    let api = Resource {
        id: "api".into(),
        identifier: "https://api.example/".into(),
        name: "The API".into(),
        scopes: Vec::new(),
        created_at: env().seconds(),
    };
    tenant.put_resource(&api, &env()).unwrap();
    for taken in ["https://api.example/".to_owned(), tenant.url("/admin"), tenant.url("/mcp/other")] {
        let mut spec = world.gateway();
        spec["resource"] = taken.clone().into();
        let heard = world.administer("PUT", "/admin/mcp/more", &spec);
        assert!(heard.status == 409 && heard.body.contains("resource of its own"), "{taken}: {}", heard.body);
    }
    assert!(tenant.resource("https://api.example/").unwrap().is_some());
}

#[test]
fn only_administrators_put_servers_and_see_them() {
    let world = World::start();
    world.tenant().attach_store(data_store(world.tenant().engine()), true, &env()).unwrap();
    world.put("crm", &world.gateway());
    assert_eq!(world.administer("GET", "/admin/mcp", &Value::Null).json()["servers"][0]["server"]["name"], "crm");
    assert_eq!(world.administer("GET", "/admin/mcp/crm", &Value::Null).json()["version"], 1);
    assert_eq!(world.administer("GET", "/admin/mcp/other", &Value::Null).status, 404);
    let with = |token: &str| {
        let headers = [("authorization", token), ("content-type", "application/json")];
        world.issuing.send("PUT", "/t/acme/admin/mcp/crm", &headers, &world.gateway().to_string()).status
    };
    assert_eq!(with(""), 401);
    assert_eq!(with(&format!("Bearer {}", world.token("/mcp/crm", "openid mcp:crm:read"))), 401, "for elsewhere");
    for (change, says) in [
        (json!({"gateway": null}), "`gateway` or `own`"),
        (json!({"title": ""}), "title"),
        (json!({"store": "other"}), "no data store `other`"),
        (json!({"colour": "red"}), "colour"),
        (json!({"scopes": ["a b"]}), "scope"),
        (json!({"resource": "http://crm.example/mcp"}), "https"),
    ] {
        let mut spec = world.gateway();
        spec.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let heard = world.administer("PUT", "/admin/mcp/crm", &spec);
        assert!(heard.status == 400 && heard.body.contains(says), "{says}: {}", heard.body);
    }
    let mut change = world.tenant().change(&env());
    change.unrelate(&world.tenant().object(), "admin", "app:ops");
    change.commit().unwrap();
    assert_eq!(world.administer("GET", "/admin/mcp", &Value::Null).status, 403, "an administrator no more");
    // Nor does another tenant see it.
    assert_eq!(world.issuing.send("POST", "/mcp/crm", &[], "").status, 404);
}

#[test]
fn our_own_server_answers_with_what_both_may_see() {
    let world = World::start();
    world.tenant().attach_store(data_store(world.tenant().engine()), true, &env()).unwrap();
    world.put(
        "docs",
        &json!({"scopes": ["mcp:docs:read"], "store": "sales", "own": {
            "title": "Documents",
            "policy": {
                "server": {"object": "mcp_server:crm", "relation": "can_use"},
                "tools": {"search": {"checks": [{"object": "mcp_server:crm", "relation": "can_use"}]}},
            },
            "collections": ["passages"],
            "resources": [{"uri": "docs://{id}", "object": "document:{id}", "relation": "viewer",
                           "collection": "passages", "name": "Documents"}],
        }}),
    );
    let token = world.token("/mcp/docs", "openid mcp:docs:read");
    let found = world.call("/mcp/docs", &token, "tools/call", tool("search", json!({"vector": [1, 0, 0], "k": 5})));
    let hits = found.json()["result"]["structuredContent"]["hits"].clone();
    let objects: Vec<&Value> = hits.as_array().unwrap().iter().map(|hit| &hit["object"]).collect();
    assert_eq!(objects, ["document:plan"], "the salaries are hers alone");
    let listed = world.call("/mcp/docs", &token, "resources/list", json!({})).json();
    assert_eq!(listed["result"]["resources"].as_array().unwrap().len(), 1, "{listed}");
    let read = |uri: &str| world.call("/mcp/docs", &token, "resources/read", json!({ "uri": uri })).json();
    assert_eq!(read("docs://plan")["result"]["contents"][0]["text"], "The text of plan.");
    assert_eq!(read("docs://salaries")["error"]["code"], -32_001);
    // A store that is taken from the tenant is asked no more.
    let store = world.tenant().data_stores().unwrap()[0];
    world.tenant().attach_store(store, false, &env()).unwrap();
    assert_eq!(world.call("/mcp/docs", &token, "resources/list", json!({})).status, 500);
}

pub(crate) fn proposal() -> bailiwick::modules::approval::DetailType {
    serde_json::from_value(json!({
        "name": "proposal", "title": "Send {/arguments/account_id} a proposal for {/arguments/amount} USD",
        "schema": {"type": "object", "additionalProperties": false, "required": ["type", "locations", "actions", "arguments"],
                   "properties": {"type": {}, "locations": {}, "actions": {}, "arguments": {
                       "type": "object", "additionalProperties": false, "required": ["account_id", "amount"],
                       "properties": {"account_id": {"type": "string"}, "amount": {"type": "string"}}}}},
        "rules": [{"when": "amount <= most", "who": [], "values": {
            "amount": {"kind": "decimal", "path": "/arguments/amount"}, "most": {"kind": "decimal", "value": "1000"}}}],
    }))
    .unwrap()
}

#[test]
fn a_tool_behind_an_approval_runs_once_with_what_was_approved() {
    let world = World::start();
    let tenant = world.tenant();
    tenant.attach_store(data_store(tenant.engine()), true, &env()).unwrap();
    world.put("crm", &world.gateway());
    put_type(tenant, &proposal(), "user:admin", &env()).unwrap();
    let token = world.token("/mcp/crm", "openid mcp:crm:write");
    let send = |token: &str, amount: &str| {
        world.call(
            "/mcp/crm",
            token,
            "tools/call",
            tool("send_proposal", json!({"account_id": "acme", "amount": amount})),
        )
    };
    let denied = send(&token, "450000").json();
    assert_eq!(denied["error"]["code"], -32_001, "{denied}");
    let hints = &denied["error"]["data"]["authorization"]["remediationHints"];
    let details = hints[0]["authorization_details"].clone();
    assert_eq!(
        details,
        json!([{"type": "proposal", "locations": [tenant.url("/mcp/crm")], "actions": ["send_proposal"],
                "arguments": {"account_id": "acme", "amount": "450000"}}])
    );
    let text = details.to_string();
    let resource = tenant.url("/mcp/crm");
    let pairs = [
        ("scope", "openid mcp:crm:write"),
        ("login_hint", "sarah@example.com"),
        ("resource", &resource),
        ("authorization_details", &text),
    ];
    let heard = world.issuing.post("/t/acme/bc-authorize", &[("authorization", &world.agent)], &pairs);
    assert_eq!(heard.status, 200, "{}", heard.body);
    let asked = heard.json();
    assert_eq!(approve(&world.issuing, "sarah").shown.details[0].title, "Send acme a proposal for 450000 USD");
    let pairs = [("grant_type", CIBA), ("auth_req_id", asked["auth_req_id"].as_str().unwrap())];
    let heard = world.issuing.post("/t/acme/token", &[("authorization", &world.agent)], &pairs);
    assert_eq!(heard.status, 200, "{}", heard.body);
    let approved = heard.json()["access_token"].as_str().unwrap().to_owned();
    // Other arguments are not what was approved; what was, goes once.
    assert_eq!(send(&approved, "450001").json()["error"]["code"], -32_001);
    assert_eq!(send(&token, "450000").json()["error"]["code"], -32_001, "another token");
    let done = send(&approved, "450000").json();
    assert!(done["result"]["content"][0]["text"].as_str().unwrap().starts_with("\"send_proposal\""), "{done}");
    assert_eq!(send(&approved, "450000").json()["error"]["code"], -32_001, "used up");
    // Up to an amount nobody need be asked, and what is not as the type wants it is not below it.
    for (amount, code) in [("1000", None), ("1000.00", None), ("1000.01", Some(-32_001)), ("a lot", Some(-32_001))] {
        assert_eq!(send(&token, amount).json()["error"]["code"].as_i64(), code, "{amount}");
    }
    let more = json!({"account_id": "acme", "amount": "5", "cc": "eve"});
    let heard = world.call("/mcp/crm", &token, "tools/call", tool("send_proposal", more));
    assert_eq!(heard.json()["error"]["code"], -32_001);
    let events = events(&world.issuing);
    let called: Vec<_> = events.iter().filter(|event| event.details().contains_key("approval")).collect();
    assert_eq!(called.iter().map(|event| event.kind()).collect::<Vec<_>>(), [EventKind::ProxyCalled; 3]);
    assert_eq!(called[1].details()["approval"], "not needed");
    let called = called[0];
    let used =
        events.iter().find(|e| e.kind() == EventKind::ApprovalDecided && e.get_reason() == Some("used")).unwrap();
    assert_eq!(used.get_resource(), Some(format!("approval:{}", called.details()["approval"]).as_str()));
}

#[test]
fn who_was_denied_requests_access_and_calls_again() {
    let world = World::start();
    let tenant = world.tenant();
    tenant.attach_store(data_store(tenant.engine()), true, &env()).unwrap();
    world.put("crm", &world.gateway());
    put_type(tenant, &proposal(), "user:admin", &env()).unwrap();
    let token = world.token("/mcp/crm", "openid mcp:crm:write");
    let send = |amount: &str| {
        world.call(
            "/mcp/crm",
            &token,
            "tools/call",
            tool("send_proposal", json!({"account_id": "acme", "amount": amount})),
        )
    };
    let denied = send("450000").json()["error"]["data"].clone();
    let endpoint = denied["access_request"]["endpoint"].as_str().unwrap();
    assert_eq!(endpoint, tenant.url("/access-requests"));
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let wanted = json!({
        "resource": {"type": "mcp_tool", "id": "send_proposal", "properties": {"server": "crm"}},
        "action": {"name": "tools/call", "properties": {"account_id": "acme", "amount": "450000"}},
        "denial": {"evaluation_id": denied["evaluation_id"], "expires_at": denied["access_request"]["expires_at"],
                   "binding_token": denied["access_request"]["binding_token"]},
        "client": {"actor": {"type": "agent", "id": "sales"}},
    });
    // What ties it to the denial fits that call and no other.
    let mut other = wanted.clone();
    other["action"]["properties"]["amount"] = "450001".into();
    let heard = world.issuing.send("POST", "/t/acme/access-requests", &headers, &other.to_string());
    assert!(heard.status == 400 && heard.body.contains("of another denial"), "{} {}", heard.status, heard.body);
    let heard = world.issuing.send("POST", "/t/acme/access-requests", &headers, &wanted.to_string());
    assert_eq!(heard.status, 202, "{}", heard.body);
    let path = format!("/t/acme/access-requests/{}", heard.json()["id"].as_str().unwrap());
    let status = || world.issuing.send("GET", &path, &headers, "").json();
    assert_eq!(status()["status"], "pending");
    assert_eq!(send("450000").json()["error"]["code"], -32_001, "nobody has decided");
    approve(&world.issuing, "sarah");
    assert_eq!((&status()["status"], &status()["result"]["mode"]), (&json!("approved"), &json!("reevaluate")));
    assert_eq!(send("450001").json()["error"]["code"], -32_001, "something else");
    assert!(send("450000").json().get("result").is_some());
    assert_eq!(send("450000").json()["error"]["code"], -32_001, "used up");
    assert_eq!(status()["result"]["approval"]["state"], "used");
    assert_eq!(world.issuing.send("POST", "/t/acme/access-requests", &headers[1..], &wanted.to_string()).status, 401);
}

#[test]
fn a_connection_of_the_vault_supplies_what_the_server_wants_to_see() {
    let world = World::start();
    let tenant = world.tenant();
    tenant.attach_store(data_store(tenant.engine()), true, &env()).unwrap();
    let spec = ConnectionSpec {
        id: "crm-key".into(),
        name: "CRM".into(),
        holder: HolderKind::Agent,
        base: world.url.trim_end_matches("/mcp").to_owned(),
        provider: Provider::ApiKeyHeader { header: "authorization".into(), prefix: "Bearer ".into() },
        rules: vec![ProxyRule {
            methods: strings(&["POST"]),
            path: "/mcp".into(),
            scope: None,
            acr: None,
            max_age: None,
        }],
        exchange: false,
        limits: CallLimits::default(),
    };
    vault::create(tenant, spec, None, "user:admin", &env()).unwrap();
    let mut gateway = world.gateway();
    gateway["gateway"]["connection"] = "crm-key".into();
    world.put("crm", &gateway);
    let token = world.token("/mcp/crm", "openid mcp:crm:read");
    let get = || world.call("/mcp/crm", &token, "tools/call", tool("get_account", json!({"account_id": "acme"})));
    let refused = get();
    assert_eq!(refused.status, 502);
    assert!(refused.body.contains("may not use this connection"), "{}", refused.body);
    vault::allow(tenant, "crm-key", "agent:sales", true, "user:admin", &env()).unwrap();
    let holder = Holder::Agent("agent:sales".into());
    let secret = Secret::ApiKey { key: Hidden::new("a-key-that-nobody-sees-0123456789".into()) };
    vault::set_credential(tenant, "crm-key", &holder, secret, "user:admin", &env()).unwrap();
    let heard = get();
    assert_eq!(heard.status, 200, "{}", heard.body);
    let seen = world.seen.lock().unwrap().last().unwrap().0["authorization"].to_str().unwrap().to_owned();
    assert_eq!(seen, "Bearer a-key-that-nobody-sees-0123456789");
    let text = heard.json()["result"]["content"][0]["text"].as_str().unwrap().to_owned();
    assert!(text.starts_with("\"get_account\"") && !text.contains("nobody-sees"), "{text}");
}

#[test]
fn servers_by_commands() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let run = |arguments: &[&str]| -> Result<String, String> {
        let mut command = program(directory);
        command.args(arguments).args(["--data", "bailiwick-data"]);
        if !matches!(arguments[0], "store" | "model") {
            command.args(["--identity-key-ring", "bailiwick.keys"]);
        }
        let output = command.output().unwrap();
        if output.status.success() { Ok(out(&output).trim().to_owned()) } else { Err(err(&output)) }
    };
    let refused = |arguments: &[&str], says: &str| {
        let said = run(arguments).unwrap_err();
        assert!(said.contains(says), "{arguments:?}: {said}");
    };
    let init = ["init", "--issuer", "http://127.0.0.1:9/", "--admin", "admin@example.com"];
    assert!(program(directory).args(init).output().unwrap().status.success());
    std::fs::write(directory.join("model.fga"), MODEL).unwrap();
    std::fs::write(
        directory.join("crm.json"),
        json!({"name": "crm", "gateway": {"url": "http://127.0.0.1:9/mcp", "policy": {
            "server": {"object": "mcp_server:crm", "relation": "can_use"},
            "tools": {"ping": {"scopes": ["mcp:crm:read"], "open": true}},
        }}})
        .to_string(),
    )
    .unwrap();
    let store = run(&["store", "create", "sales"]).unwrap();
    run(&["model", "write", "--store", "sales", "model.fga"]).unwrap();
    refused(&["mcp", "put", "crm.json"], "attach-store");
    refused(&["tenant", "attach-store", "unknown"], "bailiwick store list");
    run(&["tenant", "attach-store", "sales"]).unwrap();
    let made: Value = serde_json::from_str(&run(&["mcp", "put", "crm.json", "--json"]).unwrap()).unwrap();
    assert_eq!(made["identifier"], "http://127.0.0.1:9/mcp/crm");
    assert_eq!(run(&["mcp", "list"]).unwrap().split('\t').nth(1), Some("http://127.0.0.1:9/mcp/crm"));
    let shown: Value = serde_json::from_str(&run(&["mcp", "show", "crm", "--json"]).unwrap()).unwrap();
    assert_eq!((&shown["server"]["store"], &shown["version"]), (&json!(store), &json!(1)));
    let resource = run(&["resource", "show", "http://127.0.0.1:9/mcp/crm", "--json"]).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&resource).unwrap()["scopes"][0]["name"], "mcp:crm:read");
    std::fs::write(directory.join("bad.json"), r#"{"name": "crm", "gateway": {"url": "x", "colour": "red"}}"#).unwrap();
    refused(&["mcp", "put", "bad.json"], "at `gateway.colour`");
    run(&["mcp", "remove", "crm"]).unwrap();
    refused(&["mcp", "show", "crm"], "no such MCP server");
    run(&["tenant", "detach-store", "sales"]).unwrap();
    refused(&["mcp", "put", "crm.json"], "attach-store");
}

/// What a person may say wrongly, where nothing is asked of anybody (modules/mcp/client has the rest).
#[test]
fn a_trial_says_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    std::fs::write(directory.join("key"), "no key").unwrap();
    std::fs::write(directory.join("long"), "x".repeat((16 << 10) + 1)).unwrap();
    let refused = |url: &str, said: &[&str], says: &str| {
        let output = program(directory).args(["mcp", "try", url]).args(said).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{said:?}");
        assert!(err(&output).contains(says), "{said:?}: {}{}", out(&output), err(&output));
    };
    let here = "http://127.0.0.1:9/mcp";
    refused(here, &[], "`127.0.0.1` cannot be reached");
    refused("http://mcp.example/mcp", &[], "it is no https URL");
    refused(here, &["--redirect-uri", "https://app.example/cb"], "is an http URL of this machine");
    refused(here, &["--client-id", "a", "--client-key-file", "key"], "openssl pkcs8");
    refused(here, &["--client-id", "a", "--client-secret-file", "long"], "more than 16384 bytes");
    refused(here, &["--client-secret-file", "none"], "none: No such file");
    refused(here, &["--call", "add {"], "'name {\"argument\": 1}'");
    refused(here, &["--idp", "https://id.example"], "--subject-token-file");
    refused(here, &["--client-credentials", "--assertion-file", "key"], "cannot be used with");
    refused(here, &["--protocol", "2024-11-05"], "2026-07-28");
}
