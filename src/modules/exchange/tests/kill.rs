//! Revoking any link of a chain kills what hangs on it at its next use; and a chain has an end.

use super::*;

/// Sarah's token of the web application, handed on to the sales agent, and from there to the planner.
fn chain(world: &World) -> [String; 3] {
    delegate(&world.idp, "web", "sales", true, &world.env()).unwrap();
    delegate(&world.idp, "sales", "planner", true, &world.env()).unwrap();
    let first = world.tokens("web", "read").access_token;
    let second = world.pass_on("sales", &first, &[("resource", API)]).unwrap().access_token;
    let third = world.pass_on("planner", &second, &[]).unwrap().access_token;
    [first, second, third]
}

/// Breaks something; from the token at `from` on, all are refused by this rule, as tokens and as subject tokens.
#[track_caller]
fn kills(from: usize, expected: &str, act: impl FnOnce(&mut World, &[Examined])) {
    let mut world = World::new();
    let tokens = chain(&world);
    let examined: Vec<Examined> = tokens.iter().map(|token| world.examine(token).unwrap()).collect();
    act(&mut world, &examined);
    let holders = ["web", "sales", "planner"];
    for (at, token) in tokens.iter().enumerate() {
        if at < from {
            world.examine(token).unwrap_or_else(|refusal| panic!("{at}: {refusal}"));
            continue;
        }
        assert_eq!(rule(world.examine(token)), expected, "{at}");
        if let Ok(client) = world.idp.client(holders[at]) {
            let caller = Caller { method: client.auth_methods[0], client, jkt: None };
            let pairs = [("subject_token", token.as_str()), ("subject_token_type", ACCESS), ("resource", API)];
            assert_eq!(refused(world.exchange_of(&caller, &pairs)), (expected, "invalid_request"), "{at}");
        }
    }
}

#[test]
fn every_link_kills_what_hangs_on_it() {
    for at in 0..3 {
        kills(at, "grant.revoked", |world, chain| {
            world.idp.revoke_grant(&chain[at].grant.id, "test", &world.env()).unwrap();
        });
    }
    // A token that is revoked by itself leaves its grant, and takes along what was made from it.
    for at in 0..3 {
        kills(at, "token.revoked", |world, chain| world.idp.revoke_token(&chain[at], &world.env()).unwrap());
    }
    for (at, subject) in [(0, "app:web"), (1, "agent:sales"), (2, "agent:planner")] {
        let rule = if at == 0 { "client.inactive" } else { "agent.inactive" };
        kills(at, rule, |world, _| {
            world.idp.suspend(subject, true, None, &world.env()).unwrap();
        });
    }
    kills(0, "user.signed_out", |world, _| {
        world.idp.suspend("user:sarah", true, None, &world.env()).unwrap();
    });
    kills(0, "session.over", |world, chain| {
        let session = chain[0].grant.session.clone().unwrap();
        world.idp.end_session("sarah", &session, "test", &world.env()).unwrap();
    });
    kills(0, "user.signed_out", |world, _| world.idp.sign_out_everywhere("sarah", "test", &world.env()).unwrap());
    kills(1, "agent.inactive", |world, _| world.idp.delete_client("sales", &world.env()).unwrap());
    // The connection by which it was handed on: taken away, taken from one of them, or its scope given another class.
    kills(1, "connection.gone", |world, _| remove_connection(&world.idp, "api", &world.env()).unwrap());
    kills(1, "connection.gone", |world, _| allow(&world.idp, "api", "agent:*", false, &world.env()).unwrap());
    for class in [Some(ScopeClass::Never), Some(ScopeClass::NeedsApproval), None] {
        kills(1, "connection.class", |world, _| {
            classify(&world.idp, ("api", "read"), "agent:*", class, &world.env()).unwrap();
        });
    }
    kills(2, "connection.class", |world, _| {
        let never = Some(ScopeClass::Never);
        classify(&world.idp, ("api", "read"), "agent:planner", never, &world.env()).unwrap();
    });
    let world = World::new();
    let tokens = chain(&world);
    world.idp.suspend_all(true, &world.env()).unwrap();
    let rules = tokens.map(|token| rule(world.examine(&token)));
    assert_eq!(rules, ["client.inactive", "agent.inactive", "agent.inactive"]);
    kills(0, "token.expired", |world, _| world.now += 600);
}

#[test]
fn what_was_approved_dies_when_it_is_not_to_be_had_any_more() {
    let world = World::new();
    let token = world.tokens("sales", "read write").access_token;
    world.approve("ap", "write", START + 300);
    let write = world.pass_on("sales", &token, &[("resource", API), ("scope", "write"), ("approval", "ap")]).unwrap();
    let read = world.pass_on("sales", &token, &[("resource", API), ("scope", "read")]).unwrap();
    let class = |class| classify(&world.idp, ("api", "write"), "agent:*", Some(class), &world.env()).unwrap();
    class(ScopeClass::Automatic);
    world.examine(&write.access_token).unwrap();
    class(ScopeClass::NeedsApproval);
    world.examine(&write.access_token).unwrap();
    class(ScopeClass::Never);
    assert_eq!(rule(world.examine(&write.access_token)), "connection.class");
    world.examine(&read.access_token).unwrap();
    // Through another connection it is not touched.
    remove_connection(&world.idp, "crm", &world.env()).unwrap();
    world.examine(&read.access_token).unwrap();
}

/// A connection counts also where no scope came by it.
#[test]
fn a_token_hangs_on_each_connection_that_leads_to_what_it_is_for() {
    let world = World::new();
    let token = world.tokens_of(&world.caller(&world.idp, "sales"), "read", &[API, CRM]).access_token;
    let both = [("resource", API), ("resource", CRM), ("scope", "read")];
    let both = world.pass_on("sales", &token, &both).unwrap().access_token;
    world.examine(&both).unwrap();
    remove_connection(&world.idp, "crm", &world.env()).unwrap();
    assert_eq!(rule(world.examine(&both)), "connection.gone");
}

#[test]
fn a_chain_ends_where_it_may_not_grow_further() {
    let world = World::new();
    let names: Vec<String> = (0..=ACTORS_IN_CHAIN_MAX).map(|n| format!("bot{n}")).collect();
    for name in &names {
        world.idp.create_client(&client(name, ClientKind::Agent), &world.env()).unwrap();
    }
    for pair in names.windows(2) {
        delegate(&world.idp, &pair[0], &pair[1], true, &world.env()).unwrap();
    }
    let mut token = world.tokens(&names[0], "read").access_token;
    for name in &names[1..ACTORS_IN_CHAIN_MAX] {
        token = world.pass_on(name, &token, &[("resource", API)]).unwrap().access_token;
    }
    let last = names.last().unwrap();
    let event = || world.last(&world.idp, EventKind::ExchangeRefused);
    assert_eq!(refused(world.pass_on(last, &token, &[])), ("act.depth", "invalid_request"));
    assert_eq!(event().get_user(), Some("user:sarah"));
    // The same agent again and again is no longer chain, but a deeper one.
    let mut token = world.tokens("sales", "read").access_token;
    for _ in 1..GRANT_DEPTH_MAX {
        token = world.pass_on("sales", &token, &[("resource", API)]).unwrap().access_token;
    }
    assert_eq!(refused(world.pass_on("sales", &token, &[])), ("grant.depth", "invalid_request"));
    world.examine(&token).unwrap();
}

#[test]
fn a_link_that_breaks_meanwhile_leaves_no_token() {
    let world = World::new();
    let token = world.tokens("sales", "read").access_token;
    let grant = world.examine(&token).unwrap().grant.id;
    // Many at once, and the grant goes in between: what was made before is dead, and nothing is made after.
    let made = std::thread::scope(|scope| {
        let ask = || world.pass_on("sales", &token, &[("resource", API)]);
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(ask)).collect();
        world.idp.revoke_grant(&grant, "test", &world.env()).unwrap();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    for answer in made {
        match answer {
            Ok(answer) => assert_eq!(rule(world.examine(&answer.access_token)), "grant.revoked"),
            Err(refusal) => assert!(["grant.revoked", "write.changed"].contains(&refusal.rule), "{refusal}"),
        }
    }
    assert_eq!(rule(world.pass_on("sales", &token, &[])), "grant.revoked");
}
