//! Assertions that do not leave: what the token endpoint would give the same client, and nothing else.

use super::*;

/// A call of the sales agent that goes on to the other domain.
fn call<'a>(grant: &'a str, scopes: &'a [String]) -> Onward<'a> {
    Onward {
        grant,
        agent: "agent:sales",
        audience: RAS,
        client_there: "sales-there",
        resource: PRICES,
        scopes,
        through: "prices",
    }
}

/// Sarah signs in at a client; the grant, and the ID token with which the client could ask itself.
fn signed_in(world: &World, client: &str, scope: &str) -> (String, String) {
    let tokens = world.tokens(client, scope);
    (world.examine(&tokens.access_token).unwrap().grant.id, tokens.id_token.unwrap_or_default())
}

fn assert(world: &World, onward: &Onward<'_>) -> Answer<OnwardAssertion> {
    onward.assert(&world.idp, &Kept, &world.env())
}

fn judge(world: &World, onward: &Onward<'_>) -> Answer<String> {
    onward.judge(&world.idp, &world.env())
}

/// Refused alike when it is judged and when it is made, and written down.
#[track_caller]
fn refused_by(world: &World, onward: &Onward<'_>, expected: &str) {
    assert_eq!(rule(judge(world, onward)), expected);
    assert_eq!(rule(assert(world, onward)), expected);
}

/// A client that gets no refresh tokens.
fn plain(world: &World, id: &str, change: impl FnOnce(&mut Client)) {
    let grant_types = strings(&["authorization_code", TOKEN_EXCHANGE]);
    let mut plain = Client { grant_types, ..client(id, ClientKind::Agent) };
    change(&mut plain);
    world.idp.create_client(&plain, &world.env()).unwrap();
    let server = Server { clients: pairs(&[("sales", "sales-there"), (id, "sales-there")]), ..server() };
    put_connection(&world.idp, &connection("pricing", Target::Server(server)), &world.env()).unwrap();
    allow(&world.idp, "pricing", &format!("agent:{id}"), true, &world.env()).unwrap();
}

#[test]
fn it_says_what_the_token_endpoint_would_say_and_is_redeemed_there() {
    let world = World::new();
    let (grant, id) = signed_in(&world, "sales", "openid read");
    let wanted = strings(&["sales.read"]);
    let onward = call(&grant, &wanted);
    let says = judge(&world, &onward).unwrap();
    let made = assert(&world, &onward).unwrap();
    assert_eq!((&made.says, made.scopes.as_slice()), (&says, ["pricing:read".to_owned()].as_slice()));
    let own = world.assert_for("sales", &id, &[("scope", "sales.read"), ("resource", PRICES)]).unwrap();
    let (mut said, mut expected) = (claims(&made.assertion), claims(&own.access_token));
    assert_eq!(said.remove("jti"), Some(json!(made.jti)));
    expected.remove("jti");
    assert_eq!(said, expected);
    assert_eq!((&said["sub"], &said["act"]), (&json!("sarah"), &json!({"sub": "sales"})));
    let events = events(&world.idp);
    let event = events.iter().rfind(|event| event.get_token() == Some(&made.jti)).unwrap();
    assert_eq!((event.get_user(), event.get_agent()), (Some("user:sarah"), Some("agent:sales")));
    assert_eq!((&event.details()["through"], &event.details()["connection"]), (&"prices".into(), &"pricing".into()));
    // As with others, the other side takes it once; and it dies with the grant.
    let token = world.redeem(&made.assertion, &[("resource", PRICES)]).unwrap();
    assert_eq!(token.scope.as_deref(), Some("pricing:read"));
    assert_eq!(rule(world.redeem(&made.assertion, &[])), "redeem.replayed");
    let another = assert(&world, &onward).unwrap();
    world.idp.revoke_grant(&grant, "test", &world.env()).unwrap();
    assert_eq!(rule(world.redeem(&another.assertion, &[])), "redeem.over");
}

#[test]
fn nothing_is_had_that_the_agent_could_not_get_itself() {
    let world = World::new();
    let (grant, _) = signed_in(&world, "sales", "openid read");
    let (none, read) = (strings(&[]), strings(&["sales.read"]));
    let good = call(&grant, &read);
    assert!(assert(&world, &good).is_ok());
    for (onward, expected) in [
        (Onward { audience: "https://unknown.example", ..good }, "connection.unknown"),
        (Onward { audience: API, ..good }, "idjag.server"),
        (Onward { audience: IDP, ..good }, "connection.unknown"),
        (Onward { resource: API, ..good }, "idjag.resource"),
        (Onward { client_there: "other-there", ..good }, "onward.client"),
        (Onward { agent: "agent:planner", ..good }, "onward.agent"),
        (Onward { grant: "", ..good }, "grant.missing"),
        (Onward { grant: "01ARZ3NDEKTSV4RRFFQ69G5FAV", ..good }, "grant.missing"),
        (Onward { scopes: &strings(&["sales.admin"]), ..good }, "connection.never"),
        (Onward { scopes: &strings(&["pricing:read"]), ..good }, "idjag.scopes"),
    ] {
        refused_by(&world, &onward, expected);
    }
    let event = world.last(&world.idp, EventKind::ExchangeRefused);
    assert_eq!((event.get_reason(), event.get_user()), (Some("idjag.scopes"), Some("user:sarah")));
    // One that the connection does not let go there, and one of whom it does not say what it is called there.
    let (planner, _) = signed_in(&world, "planner", "openid read");
    let of_planner = Onward { grant: &planner, agent: "agent:planner", ..good };
    refused_by(&world, &of_planner, "connection.none");
    allow(&world.idp, "pricing", "agent:planner", true, &world.env()).unwrap();
    refused_by(&world, &of_planner, "idjag.client");
    // What says nothing of who signed in; a token of no person.
    plain(&world, "plain", |_| {});
    let (grant, _) = signed_in(&world, "plain", "read");
    let of_plain = Onward { agent: "agent:plain", grant: &grant, ..good };
    refused_by(&world, &of_plain, "onward.signed_in");
    let own = world.examine(&world.own_token("sales", "read")).unwrap().grant.id;
    refused_by(&world, &Onward { grant: &own, ..good }, "onward.signed_in");
    // What was handed on by another agent.
    delegate(&world.idp, "planner", "sales", true, &world.env()).unwrap();
    let first = world.tokens("planner", "openid read").access_token;
    let second = world.pass_on("sales", &first, &[("resource", API), ("scope", "read")]).unwrap().access_token;
    let handed_on = world.examine(&second).unwrap().grant.id;
    refused_by(&world, &Onward { grant: &handed_on, scopes: &none, ..good }, "onward.signed_in");
    // Who may not exchange, or cannot show who they are.
    plain(&world, "mute", |client| client.grant_types = strings(&["authorization_code"]));
    let (grant, _) = signed_in(&world, "mute", "openid read");
    refused_by(&world, &Onward { agent: "agent:mute", grant: &grant, ..good }, "grant_type.client");
    plain(&world, "public", |client| client.auth_methods = vec![AuthMethod::None]);
    let (grant, _) = signed_in(&world, "public", "openid read");
    refused_by(&world, &Onward { agent: "agent:public", grant: &grant, ..good }, "exchange.public");
    remove_connection(&world.idp, "pricing", &world.env()).unwrap();
    refused_by(&world, &good, "connection.unknown");
}

/// Without a refresh token, the agent can ask for as long as its ID token is good.
#[test]
fn it_ends_with_the_id_token_and_says_no_more_than_that() {
    let mut world = World::new();
    plain(&world, "plain", |_| {});
    let (grant, id) = signed_in(&world, "plain", "openid read");
    let read = strings(&["sales.read"]);
    world.now += 500;
    let onward = Onward { agent: "agent:plain", ..call(&grant, &read) };
    assert_eq!(claims(&assert(&world, &onward).unwrap().assertion)["exp"], START + 600);
    world.now += 100;
    refused_by(&world, &onward, "onward.over");
    assert_eq!(rule(world.assert_for("plain", &id, &[])), "token.expired");
}

#[test]
fn what_needs_an_approval_is_asked_for_and_never_widened() {
    let world = World::new();
    let (grant, _) = signed_in(&world, "sales", "openid read");
    let (none, both) = (strings(&[]), strings(&["sales.read", "sales.write"]));
    let (all, named) = (call(&grant, &none), call(&grant, &both));
    let made = assert(&world, &all).unwrap();
    assert_eq!((&claims(&made.assertion)["scope"], made.approved_until), (&json!("pricing:read"), None));
    // By name it is refused; the judgement says so, and how to ask.
    let says = judge(&world, &named).unwrap();
    assert_ne!(says, made.says);
    let refusal = assert(&world, &named).err().unwrap();
    assert_eq!((refusal.rule, refusal.error), ("connection.needs_approval", ErrorCode::InteractionRequired));
    assert!(refusal.description.contains("ask at the approval endpoint"), "{refusal}");
    // A class that changes changes what is said, whatever is asserted in the end.
    let class = |scope, class| classify(&world.idp, ("pricing", scope), "agent:*", Some(class), &world.env()).unwrap();
    class("sales.write", ScopeClass::Automatic);
    let wider = judge(&world, &named).unwrap();
    assert!(wider != says && judge(&world, &all).unwrap() != made.says);
    class("sales.write", ScopeClass::Never);
    assert_eq!(claims(&assert(&world, &named).unwrap().assertion)["scope"], "pricing:read");
    class("sales.read", ScopeClass::Never);
    refused_by(&world, &named, "connection.never");
    refused_by(&world, &all, "connection.never");
}

#[test]
fn an_approval_is_used_up_and_says_until_when() {
    /// Knows one approval, of whatever is asked.
    struct One(Kept);
    impl Approvals for One {
        fn spend(&self, change: &mut Change<'_>, needs: &NeedsApproval<'_>, env: &Env<'_>) -> Answer<Option<Approval>> {
            self.0.spend(change, &NeedsApproval { approval: Some("ap"), ..*needs }, env)
        }

        fn how(&self, needs: &NeedsApproval<'_>) -> String {
            self.0.how(needs)
        }
    }
    let world = World::new();
    let (grant, _) = signed_in(&world, "sales", "openid read");
    let write = strings(&["sales.write"]);
    world.approve("ap", "sales.write", START + 30);
    let made = call(&grant, &write).assert(&world.idp, &One(Kept), &world.env()).unwrap();
    assert_eq!((made.approved_until, &claims(&made.assertion)["exp"]), (Some(START + 30), &json!(START + 30)));
    assert_eq!(rule(call(&grant, &write).assert(&world.idp, &One(Kept), &world.env())), "connection.needs_approval");
}

#[test]
fn every_link_kills_what_goes_on() {
    let kills = |expected: &str, act: &dyn Fn(&World, &Examined)| {
        let world = World::new();
        let token = world.examine(&world.tokens("sales", "openid read").access_token).unwrap();
        let read = strings(&["sales.read"]);
        let onward = call(&token.grant.id, &read);
        judge(&world, &onward).unwrap();
        act(&world, &token);
        refused_by(&world, &onward, expected);
    };
    kills("user.signed_out", &|world, _| {
        world.idp.suspend("user:sarah", true, None, &world.env()).unwrap();
    });
    kills("user.signed_out", &|world, _| {
        world.idp.sign_out_everywhere("sarah", "test", &world.env()).unwrap();
    });
    kills("agent.inactive", &|world, _| {
        world.idp.suspend("agent:sales", true, None, &world.env()).unwrap();
    });
    kills("agent.inactive", &|world, _| world.idp.delete_client("sales", &world.env()).unwrap());
    kills("grant.revoked", &|world, token| world.idp.revoke_grant(&token.grant.id, "t", &world.env()).unwrap());
    kills("session.over", &|world, token| {
        let session = token.grant.session.clone().unwrap();
        world.idp.end_session("sarah", &session, "test", &world.env()).unwrap();
    });
    kills("connection.none", &|world, _| {
        allow(&world.idp, "pricing", "agent:sales", false, &world.env()).unwrap();
    });
    kills("connection.never", &|world, _| {
        let class = Some(ScopeClass::Never);
        classify(&world.idp, ("pricing", "sales.read"), "agent:sales", class, &world.env()).unwrap();
    });
    kills("connection.unknown", &|world, _| remove_connection(&world.idp, "pricing", &world.env()).unwrap());
}
