//! One story over the routes, with real tokens: who may read, who may change, and how refusals look.

use super::*;
use crate::identity::{Caller, Client, ClientKind, Examined, Grant, GrantSubject, Resource, Scope, TokenKind, Wanted};
use crate::modules::agent::http::{READ, Setup, Tokens, WRITE, routes};
use crate::wire::Front;
use axum::body::Body;
use axum::http::Request;
use axum::http::request::Parts;
use http_body_util::BodyExt as _;
use serde_json::json;
use std::sync::Arc;
use tower::ServiceExt as _;

const ADMIN: &str = "https://id.example/acme/admin";

/// Judges bearer tokens as they come. Its clock is the world's.
struct Bearer;

impl Tokens for Bearer {
    fn judge(&self, tenant: &Tenant, head: &Parts, _: &Env<'_>) -> Answer<Examined> {
        let none = || Refusal::new(ErrorCode::InvalidToken, "token.none", "there is no token");
        let header = head.headers.get("authorization").and_then(|h| h.to_str().ok()).ok_or_else(none)?;
        let random = |bytes: &mut [u8]| bytes.fill(0);
        let env = Env::new(at(START), &random);
        tenant.examine(header.strip_prefix("Bearer ").ok_or_else(none)?, TokenKind::Access, Some(ADMIN), &env)
    }
}

/// A client, and tokens for people and for itself.
fn furnish(world: &World, kind: ClientKind, id: &str) {
    let env = world.env();
    let client =
        Client { scopes: vec![READ.into(), WRITE.into()], resources: vec![ADMIN.into()], ..Client::new(id, kind, id) };
    world.tenant.create_client(&client, &env).unwrap();
    let scope = |name: &str| Scope { name: name.into(), description: name.into(), checked: false };
    let resource = Resource {
        id: "admin".into(),
        identifier: ADMIN.into(),
        name: "Administration".into(),
        scopes: vec![scope(READ), scope(WRITE)],
        created_at: START,
    };
    world.tenant.put_resource(&resource, &env).unwrap();
}

fn token(world: &World, client: &str, user: Option<&str>, scopes: &[&str]) -> String {
    let env = world.env();
    let held = world.tenant.client(client).unwrap();
    let acts = held.kind == ClientKind::Agent && user.is_some();
    let actor = crate::identity::Actor { subject: held.subject(), issuer: None };
    let grant = Grant {
        id: env.id(),
        by: "test".into(),
        subject: user.map_or(GrantSubject::Client, |user| GrantSubject::User(user.into())),
        client: client.into(),
        client_kind: held.kind,
        actors: acts.then_some(actor).into_iter().collect(),
        scopes: scopes.iter().map(|s| (*s).to_owned()).collect(),
        resources: vec![ADMIN.into()],
        details: Vec::new(),
        details_allowed: false,
        authentication: None,
        nonce: None,
        created_at: START,
        expires_at: START + 600,
        parent: None,
        parent_token: None,
        session: None,
        offline: false,
        consent: None,
        through: Vec::new(),
        epoch: 0,
        jkt: None,
        x5t: None,
        refresh: None,
        revoked_at: None,
    };
    let method = held.auth_methods[0];
    let caller = Caller { client: held, method, jkt: None };
    let mut change = world.tenant.change(&env);
    world.tenant.add_grant(&mut change, &grant, &env).unwrap();
    let answer = world.tenant.issue(&mut change, &caller, &grant, &Wanted::default(), &env).unwrap();
    change.commit().unwrap();
    answer.access_token
}

struct Desk {
    front: Front,
    runtime: tokio::runtime::Runtime,
}

impl Desk {
    fn new(world: &World) -> Desk {
        let setup = Setup {
            tokens: Arc::new(Bearer),
            approvals: Arc::new(NoApprovals),
            accounts: Arc::new(Own::default()),
            destinations: Arc::new(NoDestinations),
            data_stores: Arc::new(|_| Vec::new()),
        };
        let front = Front::new(world.tenant.identity().clone(), routes(setup), 1, 16).unwrap();
        Desk { front, runtime: tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap() }
    }

    fn call(&self, token: &str, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let request = Request::builder().method(method).uri(format!("/acme/admin{path}"));
        let request = request.header("host", "id.example").header("authorization", format!("Bearer {token}"));
        let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
        let response = self.front.clone().oneshot(request.body(body).unwrap());
        self.runtime.block_on(async {
            let response = response.await.unwrap();
            let status = response.status().as_u16();
            let bytes = response.into_body().collect().await.unwrap().to_bytes();
            (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
        })
    }
}

#[test]
fn an_owner_brings_an_agent_to_life_over_http() {
    let world = World::new();
    furnish(&world, ClientKind::App, "console");
    let desk = Desk::new(&world);
    let both = [READ, WRITE];
    let (ann, olga) = (token(&world, "console", Some("ann"), &both), token(&world, "console", Some("olga"), &both));
    let (john, eve) = (token(&world, "console", Some("john"), &both), token(&world, "console", Some("eve"), &both));
    let none = Value::Null;

    let body = json!({"id": "sales", "profile": profile("Sales")});
    assert_eq!(desk.call(&eve, "POST", "/agents", &body).0, 403);
    let (status, made) = desk.call(&olga, "POST", "/agents", &body);
    assert_eq!((status, &made["stage"], &made["steps"]), (200, &json!("registered"), &json!(["activate", "retire"])));
    assert_eq!(desk.call(&olga, "POST", "/agents", &body).0, 409);
    let (status, secret) = desk.call(&olga, "POST", "/agents/sales/secrets", &json!({"overlap_s": 0}));
    assert_eq!((status, secret["client_secret"].as_str().map(str::len)), (200, Some(43)));
    assert_eq!(desk.call(&olga, "POST", "/agents/sales/activate", &none).0, 403);
    assert_eq!(desk.call(&john, "POST", "/agents/sales/activate", &none).1["stage"], "active");
    let wanted = json!({"access": {"connection": "connection:crm", "scopes": {"read": "automatic"}}});
    let (status, refused) = desk.call(&olga, "PUT", "/agents/sales/connections", &wanted);
    assert_eq!((status, &refused["error"]), (403, &json!("access_denied")));
    assert!(refused["error_description"].as_str().unwrap().contains("an administrator"));
    assert_eq!(desk.call(&ann, "PUT", "/agents/sales/connections", &wanted).0, 200);
    let (_, shown) = desk.call(&olga, "GET", "/agents/sales/connections", &none);
    assert_eq!(shown["connections"][0]["automatic"], json!(["read"]));
    assert_eq!(desk.call(&olga, "PUT", "/agents/sales/uses/connection:crm", &none).0, 200);
    let (_, needs) = desk.call(&ann, "GET", "/dependencies/connection:crm", &none);
    assert_eq!(needs["needed_by"]["direct"]["names"], json!(["agent:sales"]));
    assert_eq!(desk.call(&olga, "GET", "/dependencies/connection:crm", &none).0, 403);
    let (_, reach) = desk.call(&olga, "GET", "/agents/sales/reach", &none);
    assert_eq!(reach["automatic"]["names"], json!(["connection_scope:crm|read"]));
    for (who, subject, expected) in
        [(&olga, "user:ann", 403), (&olga, "user:olga", 200), (&olga, "agent:sales", 200), (&ann, "user:olga", 200)]
    {
        let path = format!("/agents/sales/reach?subject={subject}");
        assert_eq!(desk.call(who, "GET", &path, &none).0, expected, "{subject}");
    }
    let of_other = format!("/agents/sales/reach?store={}", world.tenant.system_store());
    assert_eq!(desk.call(&ann, "GET", &of_other, &none).0, 404, "only the tenant's own data stores");
    let (_, told) = desk.call(&olga, "GET", "/agents/sales/history?limit=2", &none);
    assert_eq!((told["history"].as_array().unwrap().len(), &told["next"]), (2, &json!(2)));
    // What is not theirs is not there.
    assert_eq!(desk.call(&eve, "GET", "/agents/sales", &none).0, 404);
    assert_eq!(desk.call(&eve, "GET", "/agents", &none).1["agents"], json!([]));
    assert_eq!(desk.call(&olga, "GET", "/agents?stage=active", &none).1["agents"][0]["id"], "sales");
    let suspended = desk.call(&olga, "POST", "/agents/sales/suspend", &json!({"reason": "odd"})).1;
    assert_eq!((&suspended["stage"], &suspended["suspension"]["by"]), (&json!("suspended"), &json!("user:olga")));
    assert_eq!(desk.call(&john, "POST", "/agents/sales/retire", &json!({"reason": "over"})).1["stage"], "retired");
    let (status, wrong) = desk.call(&ann, "POST", "/agents", &json!({"profile": {"name": "x", "owner": 1}}));
    assert_eq!(status, 400);
    assert!(wrong["error_description"].as_str().unwrap().contains("profile.owner"), "{wrong}");
}

#[test]
fn a_token_needs_the_scope_and_is_no_agents_for_a_person() {
    let world = World::new();
    furnish(&world, ClientKind::Agent, "helper");
    world.relate(&["tenant:acme admin agent:helper"]);
    let desk = Desk::new(&world);
    let none = Value::Null;
    let body = json!({"id": "sales", "profile": profile("Sales")});
    assert_eq!(desk.call("x", "GET", "/agents", &none).0, 401);
    let for_ann = token(&world, "helper", Some("ann"), &[WRITE]);
    let (status, refused) = desk.call(&for_ann, "POST", "/agents", &body);
    assert_eq!((status, &refused["error"]), (403, &json!("access_denied")));
    let reads = token(&world, "helper", None, &[READ]);
    assert_eq!(desk.call(&reads, "GET", "/agents", &none).0, 200);
    let (status, refused) = desk.call(&reads, "POST", "/agents", &body);
    assert_eq!((status, &refused["error"]), (403, &json!("insufficient_scope")));
    let writes = token(&world, "helper", None, &[WRITE]);
    assert_eq!(desk.call(&writes, "POST", "/agents", &body).0, 200, "an administrator that is an agent, for itself");
}
