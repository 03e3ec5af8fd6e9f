//! Who may decide, how they have shown who they are, and what comes of it.

use super::*;
use crate::identity::TokenKind;

#[test]
fn the_person_approves_and_the_agent_gets_exactly_that() {
    let world = World::new();
    let asked = world.propose(&["5000"]).unwrap();
    assert_eq!(error(world.fetch(&asked)), "authorization_pending");
    world.approve(&asked).unwrap();
    let tokens = world.fetch(&asked).unwrap();
    let access = claims(&tokens.access_token);
    assert_eq!((&access["sub"], &access["act"]), (&json!("sarah"), &json!({"sub": "sales"})));
    assert_eq!(access["scope"], "openid email:send drive:write");
    assert_eq!(access["authorization_details"], json!([detail("5000")]));
    assert_eq!(tokens.authorization_details, [detail("5000")]);
    assert_eq!((&access["acr"], &access["auth_time"]), (&json!("phr"), &json!(START)));
    assert!(tokens.refresh_token.is_none() && tokens.id_token.is_some());
    world.tenant.examine(&tokens.access_token, TokenKind::Access, Some(MAIL), &world.env()).unwrap();
    // fapi-ciba-id1-multiple-call-to-token-endpoint
    assert_eq!(error(world.fetch(&asked)), "invalid_grant");
    let record = world.record(&asked);
    let event = world.newest("approval.decided");
    assert_eq!(
        (event.details()["by"].as_str(), event.details()["shown"].as_str()),
        ("user:sarah", record.shown_hash.as_str())
    );
    assert_eq!(event.done_by(), Some("user:sarah"));
    let decided_at = event.get_revision().unwrap();
    assert!(decided_at > crate::tuple::Revision(0) && decided_at < world.tenant.engine().revision());
    assert_eq!((event.details()["acr"].as_str(), event.details()["amr"].as_str()), ("phr", "hwk user"));
    assert_eq!((event.details()["part"].as_str(), event.details()["types"].as_str()), ("no", "proposal@1"));
    assert_eq!(event.details()["details"], digest_of(&detail("5000")).unwrap());
}

#[test]
fn a_part_may_be_allowed_and_nothing_more_comes_of_it() {
    let world = World::new();
    let asked = world.propose(&["5000", "6000"]).unwrap();
    let sarah = world.sign_in("sarah");
    let choose = |scopes: &[&str], details: &[usize]| Choice::Approve {
        scopes: scopes.iter().map(|s| (*s).to_owned()).collect(),
        details: details.to_vec(),
    };
    for (choice, expected) in [
        (choose(&["openid", "crm:update"], &[0]), "approval.part"),
        (choose(&["openid"], &[2]), "approval.part"),
        (choose(&["openid"], &[1, 1]), "approval.part"),
        (choose(&["openid"], &[]), "approval.part"),
        (choose(&[], &[]), "approval.part"),
    ] {
        assert_eq!(rule(world.decide(&sarah, &asked, &choice)), expected, "{choice:?}");
    }
    world.decide(&sarah, &asked, &choose(&["openid", "drive:write"], &[1])).unwrap();
    let tokens = world.fetch(&asked).unwrap();
    let access = claims(&tokens.access_token);
    assert_eq!(access["scope"], "openid drive:write");
    assert_eq!(access["authorization_details"], json!([detail("6000")]));
    assert_eq!(world.newest("approval.decided").details()["part"], "yes");
}

#[test]
fn a_denial_is_final() {
    let world = World::new();
    let asked = world.ask(&[]).unwrap();
    let sarah = world.sign_in("sarah");
    world.decide(&sarah, &asked, &Choice::Deny).unwrap();
    // fapi-ciba-id1-user-rejects-authentication
    assert_eq!(error(world.fetch(&asked)), "access_denied");
    assert_eq!(rule(world.approve(&asked)), "approval.over");
    assert_eq!(error(world.fetch(&asked)), "access_denied");
    let event = world.newest("approval.decided");
    assert_eq!(event.outcome().name(), "refused");
}

#[test]
fn nobody_decides_late_and_nothing_is_fetched_late() {
    let mut world = World::new();
    let (undecided, approved) =
        (world.ask(&[("requested_expiry", "30")]).unwrap(), world.ask(&[("requested_expiry", "30")]).unwrap());
    world.approve(&approved).unwrap();
    world.now += 29;
    assert_eq!(error(world.fetch(&undecided)), "authorization_pending");
    world.now += 1;
    assert_eq!(rule(world.approve(&undecided)), "approval.over");
    // fapi-ciba-id1-auth-req-id-expired
    assert_eq!(error(world.fetch(&undecided)), "expired_token");
    assert_eq!(error(world.fetch(&approved)), "expired_token", "what was allowed was not fetched in time");
    assert_eq!(world.record(&undecided).state, State::Expired);
    assert_eq!(world.newest("approval.expired").details()["digest"], world.record(&undecided).digest);
    // What nobody asks about is noted too.
    let forgotten = world.ask(&[("requested_expiry", "30")]).unwrap();
    assert_eq!(world.approvals.expire(&world.tenant, &world.env()).unwrap(), 0);
    world.now += 30;
    assert_eq!(world.approvals.expire(&world.tenant, &world.env()).unwrap(), 1);
    assert_eq!(world.approvals.expire(&world.tenant, &world.env()).unwrap(), 0);
    assert_eq!(world.record(&forgotten).state, State::Expired);
}

#[test]
fn who_decides_is_what_tuples_say_now() {
    let world = World::new();
    let large = world.propose(&["450000"]).unwrap();
    let choice = all_of(&world.record(&large));
    // The manager, and not the person for whom it is, nor anybody else. To them it is not there.
    for other in ["sarah", "john", "olga", "eve"] {
        assert_eq!(rule(world.decide(&world.sign_in(other), &large, &choice)), "not_found", "{other}");
    }
    let boss = world.sign_in("boss");
    let (open, count) = world.approvals.waiting(&world.tenant, Decider { session: &boss }, &world.env()).unwrap();
    assert_eq!((open.len(), count, open[0].id.as_str()), (1, 1, id_of(&large).as_str()));
    // Not their manager any more: the next look says so.
    let env = world.env();
    let mut change = world.tenant.change(&env);
    change.unrelate("user:sarah", "manager", "user:boss");
    change.relate("user:sarah", "manager", "user:olga");
    change.commit().unwrap();
    assert_eq!(rule(world.decide(&boss, &large, &choice)), "not_found");
    assert_eq!(world.approvals.waiting(&world.tenant, Decider { session: &boss }, &world.env()).unwrap().1, 0);
    let olga = world.sign_in("olga");
    world.tenant.suspend("user:olga", true, None, &env).unwrap();
    assert_eq!(rule(world.decide(&olga, &large, &choice)), "not_found", "who is suspended decides nothing");
    world.tenant.suspend("user:olga", false, None, &env).unwrap();
    world.decide(&olga, &large, &choice).unwrap();
    assert_eq!(world.approvals.waiting(&world.tenant, Decider { session: &olga }, &world.env()).unwrap().1, 0);
    // Another's decision says nothing of how the person was authenticated, and gives no ID token of theirs.
    let tokens = world.fetch(&large).unwrap();
    let access = claims(&tokens.access_token);
    assert_eq!((&access["sub"], access.get("acr"), access.get("auth_time")), (&json!("sarah"), None, None));
    assert!(tokens.id_token.is_none());
    assert_eq!(access["scope"], "email:send drive:write");
}

#[test]
fn each_role_is_somebody() {
    let world = World::new();
    let mut kind = proposal();
    for (who, decides, not) in [
        ("accountable", "john", "olga"),
        ("owner", "olga", "john"),
        ("user:eve", "eve", "sarah"),
        ("team:ops", "olga", "sarah"),
        ("manager", "boss", "sarah"),
        ("subject", "sarah", "boss"),
    ] {
        kind.rules = vec![DecisionRule {
            when: None,
            values: Default::default(),
            who: vec![who.to_owned().try_into().unwrap()],
        }];
        put_type(&world.tenant, &kind, "user:ann", &world.env()).unwrap();
        let asked = world.propose(&["5"]).unwrap();
        let choice = all_of(&world.record(&asked));
        assert_eq!(rule(world.decide(&world.sign_in(not), &asked, &choice)), "not_found", "{who}");
        assert_eq!(rule(world.decide(&world.sign_in(decides), &asked, &choice)), "allowed", "{who}");
    }
    // Where there is nobody, nothing is asked that nobody could answer.
    kind.rules[0].who = vec![Who::Team("empty".into())];
    put_type(&world.tenant, &kind, "user:ann", &world.env()).unwrap();
    assert_eq!(rule(world.propose(&["5"])), "ask.nobody");
}

#[test]
fn who_decides_has_lately_shown_who_they_are() {
    let world = World::new();
    let asked = world.propose(&["5000"]).unwrap();
    let choice = all_of(&world.record(&asked));
    for (acr, at, expected) in [
        ("aal1", START, "approval.authentication"),
        ("aal2", START - 300, "approval.authentication"),
        ("phr", START - 3_600, "approval.authentication"),
        ("aal2", START - 299, "allowed"),
    ] {
        let session = world.sign_in_as("sarah", acr, at);
        assert_eq!(rule(world.decide(&session, &asked, &choice)), expected, "{acr} {at}");
    }
    // More, where the client or the type asks for it.
    let strong = world.ask(&[("acr_values", "urn:x phr")]).unwrap();
    let all = all_of(&world.record(&strong));
    assert_eq!(rule(world.decide(&world.sign_in_as("sarah", "aal2", START), &strong, &all)), "approval.authentication");
    assert_eq!(rule(world.decide(&world.sign_in("sarah"), &strong, &all)), "allowed");
    let weak = world.ask(&[("acr_values", "aal1")]).unwrap();
    assert_eq!(world.record(&weak).acr, "aal2", "a wish for less is none");
    put_type(&world.tenant, &DetailType { acr: Some("phr".into()), ..proposal() }, "x", &world.env()).unwrap();
    assert_eq!(world.record(&world.propose(&["5000"]).unwrap()).acr, "phr");
}

#[test]
fn what_is_decided_on_is_what_was_shown() {
    let world = World::new();
    let asked = world.propose(&["5000"]).unwrap();
    let choice = all_of(&world.record(&asked));
    let session = world.sign_in("sarah");
    let decider = Decider { session: &session };
    let decide = |id: &str, shown: &str| {
        rule(world.approvals.decide(&world.tenant, decider, (id, shown), &choice, &world.env()))
    };
    assert_eq!(decide(&id_of(&asked), "other"), "approval.over");
    assert_eq!(decide("01J00000000000000000000000", &world.record(&asked).shown_hash), "not_found");
    assert_eq!(decide("a b", ""), "not_found");
    // A template that changes meanwhile changes nothing of what was shown.
    let before = world.record(&asked).shown.clone();
    put_type(&world.tenant, &DetailType { title: "Something harmless".into(), ..proposal() }, "x", &world.env())
        .unwrap();
    assert_eq!(world.record(&asked).shown, before);
    assert_eq!(decide(&id_of(&asked), &world.record(&asked).shown_hash), "allowed");
    assert_eq!(world.newest("approval.decided").details()["types"], "proposal@1");
}

#[test]
fn the_client_waits_between_questions_and_longer_when_it_does_not() {
    let mut world = World::new();
    let asked = world.ask(&[]).unwrap();
    assert_eq!(error(world.fetch(&asked)), "authorization_pending");
    let slow = world.fetch(&asked).err().unwrap();
    assert_eq!((slow.error.text(), slow.retry_after_s), ("slow_down", Some(10)));
    world.now += 9;
    assert_eq!(world.fetch(&asked).err().unwrap().retry_after_s, Some(15), "five seconds longer each time, for good");
    world.now += 15;
    assert_eq!(error(world.fetch(&asked)), "authorization_pending");
    world.now += 14;
    assert_eq!(error(world.fetch(&asked)), "slow_down");
    // It holds back nobody who may have it.
    world.approve(&asked).unwrap();
    world.fetch(&asked).unwrap();
}

#[test]
fn an_id_is_of_one_client_and_one_request() {
    let world = World::new();
    let asked = world.ask(&[]).unwrap();
    world.approve(&asked).unwrap();
    let (id, secret) = asked.auth_req_id.split_once('.').unwrap();
    let other = world.ask(&[]).unwrap();
    // fapi-ciba-id1-ensure-wrong-auth-req-id-in-token-endpoint-request
    for bad in [
        "",
        "x",
        id,
        &format!("{id}."),
        &format!("{id}.x"),
        &format!("{}.{secret}", id_of(&other)),
        &format!("01J00000000000000000000000.{secret}"),
        &format!("{id}\0.{secret}"),
    ] {
        let expected = if bad.is_empty() { "invalid_request" } else { "invalid_grant" };
        assert_eq!(error(world.fetch_as("sales", bad)), expected, "{bad:?}");
    }
    // fapi-ciba-id1-ensure-wrong-client-id-in-token-endpoint-request
    assert_eq!(error(world.fetch_as("other", &asked.auth_req_id)), "invalid_grant");
    world.fetch(&asked).unwrap();
}

#[test]
fn what_was_allowed_dies_with_who_allowed_it_and_for_whom_it_is() {
    for kill in ["suspend sarah", "delete sarah", "sign out sarah", "suspend boss", "suspend sales"] {
        let world = World::new();
        let asked = world.propose(&["450000"]).unwrap();
        let choice = all_of(&world.record(&asked));
        world.decide(&world.sign_in("boss"), &asked, &choice).unwrap();
        let (what, who) = kill.rsplit_once(' ').unwrap();
        let kind = if who == "sales" { "agent" } else { "user" };
        match what {
            "suspend" => world.tenant.suspend(&format!("{kind}:{who}"), true, None, &world.env()).map(|_| ()).unwrap(),
            "delete" => world.tenant.delete_user(who, &world.env()).unwrap(),
            _ => world.tenant.sign_out_everywhere(who, "test", &world.env()).unwrap(),
        }
        if who == "sales" {
            // It cannot even show who it is; and had it, the token would be of no use.
            let token = world.fetch(&asked).unwrap().access_token;
            assert_eq!(rule(world.tenant.examine(&token, TokenKind::Access, None, &world.env())), "agent.inactive");
        } else {
            assert_eq!(error(world.fetch(&asked)), "invalid_grant", "{kill}");
        }
    }
    // After it was fetched too.
    let world = World::new();
    let asked = world.ask(&[]).unwrap();
    world.approve(&asked).unwrap();
    let token = world.fetch(&asked).unwrap().access_token;
    world.tenant.examine(&token, TokenKind::Access, None, &world.env()).unwrap();
    world.tenant.sign_out_everywhere("sarah", "test", &world.env()).unwrap();
    assert_eq!(rule(world.tenant.examine(&token, TokenKind::Access, None, &world.env())), "user.signed_out");
}

#[test]
fn a_restart_between_question_and_answer_loses_nothing() {
    let world = World::new();
    let asked = world.propose(&["5000"]).unwrap();
    let World { tenant, directory, now, .. } = world;
    let number = tenant.number();
    drop(tenant);
    let random = dice();
    let env = Env::new(at(now + 60), &*random);
    let identity = Identity::open(engine(directory.path()), ring(), &env).unwrap();
    let tenant = identity.tenant(number).unwrap();
    let approvals = Approvals::new(ApprovalSettings::default());
    let authentication = Authentication { at: now + 60, acr: "aal2".into(), amr: vec![] };
    let (session, _) = tenant.start_session("sarah", authentication, Browser::default(), &env).unwrap();
    let held = tenant.held::<ApprovalRequest>(&[&id_of(&asked)]).unwrap();
    let decider = Decider { session: &session };
    approvals.decide(&tenant, decider, (&held.id, &held.shown_hash), &all_of(&held), &env).unwrap();
    let client = tenant.client("sales").unwrap();
    let caller = Caller { client, method: AuthMethod::PrivateKeyJwt, jkt: None };
    let form = pairs(&[("auth_req_id", &asked.auth_req_id)]);
    let answer = CibaGrant(approvals).redeem(&tenant, &caller, &form, &env).unwrap();
    assert_eq!(answer.authorization_details, [detail("5000")]);
}
