//! Enterprise-managed authorization with the gateway as its client: a tenant's gateway before an MCP server that takes tokens of
//! another tenant alone. The server sees a token of its own issuer, about the person and the agent that called here, and never
//! theirs; what is revoked or taken away here goes no further from the next call on.

use crate::approvals_served::kind;
use crate::identity::{Heard, Issuing, env};
use crate::mcp_tenant::{World, approve, client, data_store, signed_in, strings, tool};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Extension, Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use bailiwick::engine::WriteQuery;
use bailiwick::identity::{AUDIT, Client, ClientKind, Event, EventKind, Resource, Scope, Tenant, audit_key, decode};
use bailiwick::modules::exchange::{
    Connection, IssuerKeys, JWT_BEARER, Replay, ScopeClass, Server, SubjectClaims, SubjectMapping, Target,
    TrustedIssuer, allow, classify, distrust, put_connection, trust,
};
use bailiwick::modules::mcp::{
    Guard, GuardSpec, IssuedTokens, IssuedTokensSpec, Judged, Resource as Protected, ResourceSpec, guarded,
};
use bailiwick::modules::vault::{self, CallLimits, ClientAuth, ConnectionSpec, HolderKind, Provider, ProxyRule};
use bailiwick::tuple::TupleKeyRef;
use bailiwick::wire::{Outgoing, OutgoingSettings, SystemResolver};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// What the server behind was shown, and what of it it takes no more.
#[derive(Default)]
struct Seen {
    shown: Mutex<Vec<String>>,
    not_taken: Mutex<Option<String>>,
}

/// Before the guard, which takes the token off: what was shown.
async fn watched(State(seen): State<Arc<Seen>>, request: Request, next: Next) -> Response {
    let shown = request.headers().get("authorization").map(|value| value.to_str().unwrap().to_owned());
    let token = shown.as_deref().unwrap_or_default().trim_start_matches("Bearer ").to_owned();
    let is_taken = seen.not_taken.lock().unwrap().as_deref() != Some(&token);
    seen.shown.lock().unwrap().push(token);
    if is_taken { next.run(request).await } else { StatusCode::UNAUTHORIZED.into_response() }
}

/// A tool that says for whom it was called, and repeats what was shown.
async fn prices(State(seen): State<Arc<Seen>>, Extension(judged): Extension<Judged>, body: Bytes) -> Response {
    let token = seen.shown.lock().unwrap().last().unwrap().clone();
    let message: Value = serde_json::from_slice(&body).unwrap();
    let agent = judged.agent.map(|agent| agent.to_string()).unwrap_or_default();
    let text = format!("{} {agent} {} {token}", judged.subject, judged.scopes.join(","));
    let result = json!({"resultType": "complete", "content": [{"type": "text", "text": text}]});
    let answer = json!({"jsonrpc": "2.0", "id": message["id"], "result": result});
    ([("content-type", "application/json")], answer.to_string()).into_response()
}

/// An MCP server that knows its issuer's URL, and no more.
fn server(issuing: &Issuing, seen: &Arc<Seen>) -> String {
    let listener = issuing.runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    let (issuer, state) = (issuing.root.issuer().to_owned(), Arc::clone(seen));
    let app = issuing.runtime.block_on(async {
        let settings = OutgoingSettings { loopback: true, ..OutgoingSettings::default() };
        let outgoing = Outgoing::new(settings, SystemResolver).unwrap();
        let resource =
            ResourceSpec { url: url.clone(), authorization_servers: vec![issuer.clone()], ..ResourceSpec::default() };
        let tokens = Arc::new(IssuedTokens::new(IssuedTokensSpec::new(&issuer), outgoing).unwrap());
        let guard = Guard::new(Protected::new(resource).unwrap(), tokens, GuardSpec::default()).unwrap();
        let app = Router::new().route("/mcp", post(prices)).with_state(Arc::clone(&state));
        guarded(app, &guard).layer(from_fn_with_state(state, watched))
    });
    issuing.runtime.spawn(async move { axum::serve(listener, app).await });
    url
}

fn pairs(list: &[(&str, &str)]) -> BTreeMap<String, String> {
    list.iter().map(|(from, to)| ((*from).to_owned(), (*to).to_owned())).collect()
}

fn person(tenant: &Tenant, id: &str, address: &str) {
    let claims = json!({"email": address, "email_verified": true}).as_object().unwrap().clone();
    match tenant.user(id) {
        Ok(held) => drop(tenant.change_user(&held, &[address], claims, &env()).unwrap()),
        Err(_) => drop(tenant.create_user(Some(id), &[address], claims, &env()).unwrap()),
    }
}

/// The other domain: who the people are there, as whom the gateway comes, and whose word is believed.
fn furnish_there(there: &Tenant, here: &Tenant, url: &str) -> String {
    let scope = |name: &str| Scope { name: name.into(), description: name.into(), checked: false };
    let scopes = vec![scope("prices:read"), scope("prices:write")];
    let (id, name) = ("prices".to_owned(), "Prices".to_owned());
    there.put_resource(&Resource { id, identifier: url.into(), name, scopes, created_at: 0 }, &env()).unwrap();
    person(there, "s-chen", "sarah@example.com");
    person(there, "o-novak", "olga@example.com");
    let comes_as = Client {
        grant_types: strings(&[JWT_BEARER]),
        scopes: strings(&["prices:read", "prices:write"]),
        resources: vec![url.to_owned()],
        ..Client::new("acme-sales", ClientKind::Agent, "Acme's sales agent")
    };
    client(there, comes_as);
    let row = TrustedIssuer {
        acr_max: Some("phr".into()),
        issuer: here.issuer().into(),
        keys: IssuerKeys::Here,
        subject: SubjectMapping::Email,
        create_users: false,
        clients: strings(&["acme-sales"]),
        scopes: pairs(&[("acme:read", "prices:read"), ("acme:write", "prices:write")]),
        resources: vec![url.to_owned()],
        life_max_s: 300,
        access_token_s: None,
        replay: Replay::Once,
        created_at: 0,
    };
    trust(there, &row, &env()).unwrap();
    there.add_secret("acme-sales", None, &env()).unwrap().1
}

struct Story {
    world: World,
    seen: Arc<Seen>,
    /// The server behind the gateway.
    url: String,
}

impl Story {
    fn start() -> Story {
        let world = World::start();
        let seen = Arc::new(Seen::default());
        let url = server(&world.issuing, &seen);
        let (here, there) = (&world.issuing.acme, &world.issuing.root);
        let secret = furnish_there(there, here, &url);
        person(here, "sarah", "sarah@example.com");
        person(here, "olga", "olga@example.com");
        let store = data_store(here.engine());
        let tuple = |object, relation| TupleKeyRef::parse(object, relation, "user:olga").unwrap().to_tuple();
        let writes = vec![tuple("mcp_server:crm", "can_use"), tuple("account:acme", "viewer")];
        here.engine().write(store, None, WriteQuery { writes, ..WriteQuery::default() }, env().now).unwrap();
        here.attach_store(store, true, &env()).unwrap();
        let server = Server {
            issuer: there.issuer().into(),
            resources: vec![url.clone()],
            clients: pairs(&[("sales", "acme-sales")]),
            scopes: pairs(&[("prices:read", "acme:read"), ("prices:write", "acme:write")]),
            subject: SubjectClaims { email: true, ..SubjectClaims::default() },
            life_s: 300,
        };
        let (id, name) = ("pricing".to_owned(), "Pricing".to_owned());
        put_connection(here, &Connection { id, name, target: Target::Server(server), created_at: 0 }, &env()).unwrap();
        let story = Story { world, seen, url };
        story.connect(&[], &secret);
        let mut gateway = story.world.gateway();
        gateway["gateway"]["url"] = story.url.clone().into();
        gateway["gateway"]["connection"] = "prices".into();
        story.world.put("crm", &gateway);
        story
    }

    fn here(&self) -> &Tenant {
        &self.world.issuing.acme
    }

    fn there(&self) -> &Tenant {
        &self.world.issuing.root
    }

    /// The connection of the vault through which the gateway goes.
    fn connection(&self, scopes: &[&str]) -> ConnectionSpec {
        let (methods, path) = (strings(&["POST"]), "/mcp".to_owned());
        ConnectionSpec {
            id: "prices".into(),
            name: "Prices".into(),
            holder: HolderKind::UserAndAgent,
            base: self.url.trim_end_matches("/mcp").to_owned(),
            provider: Provider::IdentityAssertion {
                issuer: self.there().issuer().into(),
                token_url: self.there().url("/token"),
                client_id: "acme-sales".into(),
                client_auth: ClientAuth::Basic,
                scopes: strings(scopes),
                resource: self.url.clone(),
            },
            rules: vec![ProxyRule { methods, path, scope: None, acr: None, max_age: None }],
            exchange: false,
            limits: CallLimits::default(),
        }
    }

    fn connect(&self, scopes: &[&str], secret: &str) {
        vault::create(self.here(), self.connection(scopes), Some(secret), "user:admin", &env()).unwrap();
        vault::allow(self.here(), "prices", "agent:sales", true, "user:admin", &env()).unwrap();
    }

    fn class(&self, scope: &str, class: ScopeClass) {
        classify(self.here(), ("pricing", scope), "agent:sales", Some(class), &env()).unwrap();
    }

    /// The agent's token for a person, at the gateway.
    fn token(&self, user: &str) -> String {
        let (issuing, resource) = (&self.world.issuing, self.here().url("/mcp/crm"));
        signed_in(issuing, ("sales", &self.world.agent), user, &resource, "openid mcp:crm:read")
    }

    fn call(&self, token: &str) -> Heard {
        self.world.call("/mcp/crm", token, "tools/call", tool("get_account", json!({"account_id": "acme"})))
    }

    /// A call that the tool answers: what it said.
    #[track_caller]
    fn says(&self, token: &str) -> String {
        let heard = self.call(token);
        assert_eq!(heard.status, 200, "{}", heard.body);
        heard.json()["result"]["content"][0]["text"].as_str().unwrap().to_owned()
    }

    /// A call that goes no further.
    #[track_caller]
    fn refused(&self, token: &str, status: u16, says: &str) {
        let before = self.seen.shown.lock().unwrap().len();
        let heard = self.call(token);
        assert!(heard.status == status && heard.body.contains(says), "{} {}", heard.status, heard.body);
        assert_eq!(self.seen.shown.lock().unwrap().len(), before, "nothing of it went on");
    }

    fn shown(&self) -> Vec<String> {
        self.seen.shown.lock().unwrap().clone()
    }
}

fn claims(token: &str) -> Map<String, Value> {
    serde_json::from_slice(&decode(token.split('.').nth(1).unwrap()).unwrap()).unwrap()
}

fn events(tenant: &Tenant) -> Vec<Event> {
    let (records, start) = (tenant.engine().records(AUDIT), audit_key(tenant.number(), b'e'));
    let page = records.scan(&start, None, 1_000).unwrap();
    page.iter().map(|(_, bytes)| Event::read(bytes).unwrap()).collect()
}

#[test]
fn a_gateway_goes_on_to_another_domain_for_a_person_and_an_agent() {
    let story = Story::start();
    let (here, there) = (story.here(), story.there());
    let (sarah, olga) = (story.token("sarah"), story.token("olga"));
    // What the agent could not get by exchange, the gateway does not get for it.
    story.refused(&sarah, 502, "has no connection to what it asks for");
    allow(here, "pricing", "agent:sales", true, &env()).unwrap();
    story.refused(&sarah, 502, "may have none of these scopes there");
    story.class("prices:read", ScopeClass::Automatic);
    story.class("prices:write", ScopeClass::NeedsApproval);

    // The server sees a token of its own issuer, for itself, about both; and that it repeats it helps nobody.
    assert_eq!(story.says(&sarah), "user:s-chen agent:acme-sales prices:read [removed:held-secret]");
    let shown = story.shown().pop().unwrap();
    let said = claims(&shown);
    assert_eq!((&said["iss"], &said["sub"]), (&json!(there.issuer()), &json!("s-chen")));
    assert_eq!((&said["aud"], &said["scope"]), (&json!(story.url), &json!("prices:read")));
    assert_eq!(said["act"], json!({"sub": "acme-sales", "act": {"sub": "sales", "iss": here.issuer()}}));
    assert_eq!((&said["client_id"], &said["acr"]), (&json!("acme-sales"), &json!("phr")));
    // It is got once; another person's is another, and so is another sign-in's.
    story.says(&sarah);
    assert_eq!(story.says(&olga), "user:o-novak agent:acme-sales prices:read [removed:held-secret]");
    story.says(&story.token("sarah"));
    let all = story.shown();
    assert!(all[0] == all[1] && all[2] != all[0] && all[3] != all[0], "{}", all.len());
    let subjects: Vec<Value> = all.iter().map(|token| claims(token)["sub"].clone()).collect();
    assert_eq!(subjects, ["s-chen", "s-chen", "o-novak", "s-chen"]);

    // Both logs tell it, tied by the id of the assertion; and by the trace of the call here. No token is in them.
    let (told_here, told_there) = (events(here), events(there));
    let made: Vec<&Event> = told_here.iter().filter(|e| e.kind() == EventKind::ExchangeAllowed).collect();
    assert_eq!(made.len(), 3);
    assert_eq!((made[0].get_user(), made[0].get_agent()), (Some("user:sarah"), Some("agent:sales")));
    assert_eq!(
        (&made[0].details()["through"], &made[0].details()["connection"]),
        (&"prices".into(), &"pricing".into())
    );
    let jti = made[0].get_token().unwrap();
    assert!(told_there.iter().any(|event| event.details().get("assertion").is_some_and(|id| id == jti)));
    let lent = told_here.iter().filter(|e| e.kind() == EventKind::VaultLeased && e.details()["assertion"] == jti);
    let lent: Vec<&Event> = lent.collect();
    assert_eq!((lent.len(), lent[0].get_trace()), (2, made[0].get_trace()));
    for token in all.iter().chain([&sarah, &olga]) {
        assert!(![&told_here, &told_there].iter().any(|events| format!("{events:?}").contains(token.as_str())));
    }

    // The server takes it no more: one more try, with another.
    *story.seen.not_taken.lock().unwrap() = Some(all[0].clone());
    story.says(&sarah);
    let after = story.shown();
    assert_eq!((after.len(), &after[4], after[5] != all[0]), (6, &all[0], true));

    // A class that is taken away stops it at the next call, whatever is held; so does the connection.
    story.class("prices:read", ScopeClass::Never);
    story.refused(&sarah, 502, "may have none of these scopes there");
    story.class("prices:read", ScopeClass::Automatic);
    story.says(&sarah);
    vault::allow(here, "prices", "agent:sales", false, "user:admin", &env()).unwrap();
    story.refused(&sarah, 502, "may not use this connection");
    vault::allow(here, "prices", "agent:sales", true, "user:admin", &env()).unwrap();

    // So does what ends at the identity provider: the agent, the person, the grant.
    here.suspend("agent:sales", true, None, &env()).unwrap();
    story.refused(&sarah, 401, "");
    here.suspend("agent:sales", false, None, &env()).unwrap();
    story.says(&sarah);
    let grant = claims(&sarah)["jti"].as_str().unwrap().split('.').next().unwrap().to_owned();
    here.revoke_grant(&grant, "test", &env()).unwrap();
    story.refused(&sarah, 401, "");
    here.suspend("user:olga", true, None, &env()).unwrap();
    story.refused(&olga, 401, "");

    // Where this tenant is no longer trusted, there is no other token.
    distrust(there, here.issuer(), &env()).unwrap();
    story.refused(&story.token("sarah"), 502, "does not take what is asserted of this person and agent");
}

#[test]
fn a_scope_that_needs_an_approval_is_asked_for_and_had_once() {
    let story = Story::start();
    let here = story.here();
    allow(here, "pricing", "agent:sales", true, &env()).unwrap();
    story.class("prices:read", ScopeClass::Automatic);
    story.class("prices:write", ScopeClass::NeedsApproval);
    vault::change(here, &story.connection(&["prices:write"]), None, "user:admin", &env()).unwrap();
    let members = ["connection", "locations", "actions"];
    kind(here, "connection_access", "Let it use {/actions/0} of {/connection}", &members, "subject");
    let sales = here.client("sales").unwrap();
    let asks = Client { details_types: strings(&["connection_access"]), ..sales.value.clone() };
    here.change_client(&sales, &asks, &env()).unwrap();
    let sarah = story.token("sarah");
    story.refused(&sarah, 502, "an approval is needed for `prices:write`");
    let bearer = format!("Bearer {sarah}");
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let wanted = json!({"resource": {"type": "connection", "id": "pricing"}, "action": {"name": "prices:write"}});
    let heard = story.world.issuing.send("POST", "/t/acme/access-requests", &headers, &wanted.to_string());
    assert_eq!(heard.status, 202, "{}", heard.body);
    story.refused(&sarah, 502, "an approval is needed");
    approve(&story.world.issuing, "sarah");
    assert_eq!(story.says(&sarah), "user:s-chen agent:acme-sales prices:write [removed:held-secret]");
    story.says(&sarah);
    let shown = story.shown();
    assert_eq!((shown.len(), shown[0] == shown[1]), (2, true), "one token, while it and the approval are good");
    // It is used up: another sign-in has to ask again.
    story.refused(&story.token("sarah"), 502, "an approval is needed");
    // The connection that names no scope has what needs nobody.
    vault::change(here, &story.connection(&[]), None, "user:admin", &env()).unwrap();
    assert_eq!(story.says(&sarah), "user:s-chen agent:acme-sales prices:read [removed:held-secret]");
}

#[test]
fn an_agent_without_an_id_token_gets_none_by_the_gateway_either() {
    let story = Story::start();
    allow(story.here(), "pricing", "agent:sales", true, &env()).unwrap();
    story.class("prices:read", ScopeClass::Automatic);
    let resource = story.here().url("/mcp/crm");
    let agent = ("sales", story.world.agent.as_str());
    let without = signed_in(&story.world.issuing, agent, "sarah", &resource, "mcp:crm:read");
    story.refused(&without, 502, "sign the person in with the scope `openid`");
}
