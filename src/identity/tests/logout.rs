//! Who is told that a session ended, and with what.

use super::*;

const TOLD: &str = "https://crm.example/logout";

fn with_uri(world: &World, client: &str) {
    let held = world.tenant.client(client).unwrap();
    let wanted = Client { backchannel_logout_uri: Some(TOLD.into()), ..held.value.clone() };
    world.tenant.change_client(&held, &wanted, &world.env()).unwrap();
}

fn session_of(tokens: &TokenAnswer) -> String {
    claims(&tokens.access_token)["sid"].as_str().unwrap().to_owned()
}

#[test]
fn clients_of_a_session_are_told_once_when_it_ends() {
    let mut world = World::new();
    with_uri(&world, "crm");
    let (first, other) = (world.tokens("crm", "sarah", "openid read"), world.tokens("crm", "sarah", "openid read"));
    world.refresh("crm", first.refresh_token.as_deref().unwrap()).unwrap();
    world.tokens("sales", "sarah", "read"); // it wants to know nothing
    assert_eq!(world.tenant.spread_logouts(&world.env()), Ok(0));
    let session = session_of(&first);
    world.tenant.end_session("sarah", &session, "rp", &world.env()).unwrap();
    assert_eq!(world.tenant.spread_logouts(&world.env()), Ok(1));
    assert_eq!(world.tenant.spread_logouts(&world.env()), Ok(0), "once");
    let due = world.tenant.due_logouts(&world.env()).unwrap();
    let [call] = due.as_slice() else { panic!("{due:?}") };
    let (url, token) = world.tenant.logout_token(call, &world.env()).unwrap().unwrap();
    assert_eq!(url, TOLD);
    assert_eq!(unverified_header(&token).unwrap()["typ"], "logout+jwt");
    verify_with(&token, &world.tenant.jwks(&world.env()).unwrap()).unwrap();
    let said = claims(&token);
    let expected = json!({
        "iss": "https://id.example/acme", "sub": "sarah", "aud": "crm", "iat": START, "exp": START + 120,
        "jti": said["jti"], "sid": session, "events": {"http://schemas.openid.net/event/backchannel-logout": {}},
    });
    assert_eq!(Value::Object(said), expected, "and no nonce (2.4)");
    // It is no token for anything else.
    assert_eq!(rule(world.examine(&token)), "token.typ");
    assert!(world.tenant.hinted(&token, &world.caller("crm").client, &world.env()).is_err());

    // What fails is told again, later each time, and given up.
    let mut waits = Vec::new();
    for _ in 1..LOGOUT_TRIES_MAX {
        let call = world.tenant.due_logouts(&world.env()).unwrap().pop().unwrap();
        world.tenant.settle_logout(&call, LogoutTold::Later("logout.busy"), &world.env()).unwrap();
        assert!(world.tenant.due_logouts(&world.env()).unwrap().is_empty());
        let begun = world.now;
        while world.tenant.due_logouts(&world.env()).unwrap().is_empty() {
            world.now += 10;
        }
        waits.push(world.now - begun);
    }
    assert_eq!(waits, [10, 20, 40, 80, 160, 320, 640]);
    let call = world.tenant.due_logouts(&world.env()).unwrap().pop().unwrap();
    world.tenant.settle_logout(&call, LogoutTold::Later("logout.busy"), &world.env()).unwrap();
    world.now += 100_000;
    assert!(world.tenant.due_logouts(&world.env()).unwrap().is_empty());
    let told = world.events().pop().unwrap();
    assert_eq!((told.kind(), told.outcome()), (EventKind::LogoutTold, Outcome::Failed));
    assert_eq!((told.get_client(), told.get_reason()), (Some("app:crm"), Some("logout.busy")));
    assert_eq!((told.get_session(), told.details()["tries"].as_str()), (Some(session.as_str()), "8"));
    assert_ne!(session_of(&other), session, "whose session lives, and who was told nothing");
}

#[test]
fn a_logout_token_is_signed_as_the_clients_id_tokens() {
    let world = World::new();
    with_uri(&world, "crm");
    let held = world.tenant.client("crm").unwrap();
    let asks = Client { id_token_signed_response_alg: SigningAlgorithm::Rs256, ..held.value.clone() };
    world.tenant.change_client(&held, &asks, &world.env()).unwrap();
    let tokens = world.tokens("crm", "sarah", "openid");
    world.tenant.end_session("sarah", &session_of(&tokens), "rp", &world.env()).unwrap();
    world.tenant.spread_logouts(&world.env()).unwrap();
    let due = world.tenant.due_logouts(&world.env()).unwrap();
    let (_, token) = world.tenant.logout_token(&due[0], &world.env()).unwrap().unwrap();
    assert_eq!(unverified_header(&token).unwrap()["alg"], "RS256");
    verify_with(&token, &world.tenant.jwks(&world.env()).unwrap()).unwrap();
}

/// Who is called now, with the session that is over.
fn called(world: &World) -> Vec<(String, String)> {
    let due = world.tenant.due_logouts(&world.env()).unwrap();
    let mut called: Vec<(String, String)> = due.iter().map(|c| (c.client.clone(), c.session.clone())).collect();
    for call in &due {
        world.tenant.settle_logout(call, LogoutTold::Done, &world.env()).unwrap();
    }
    called.sort();
    called
}

#[test]
fn a_session_that_is_over_by_its_time_is_told_once() {
    let mut world = World::new();
    with_uri(&world, "crm");
    with_uri(&world, "sales");
    let code = world.code("crm", "sarah", &[("scope", "openid read")]);
    let tokens = world.redeem("crm", &code).unwrap();
    let session = session_of(&tokens);
    let settings = world.tenant.settings().clone();
    let expire = |world: &World| world.tenant.expire_sessions(&world.env());
    assert_eq!(expire(&world), Ok(0));
    // Activity moves the end of its rest.
    world.now += settings.session_idle_s - 1;
    assert_eq!(expire(&world), Ok(0));
    let held = world.tenant.held::<Session>(&[&session]).unwrap();
    world.tenant.touch_session(&held, &world.env()).unwrap();
    world.now += 1;
    assert_eq!(expire(&world), Ok(0), "it was looked at, and there was activity");
    world.now += settings.session_idle_s - 2;
    assert_eq!(expire(&world), Ok(0));
    world.now += 1;
    assert_eq!(expire(&world), Ok(1));
    assert_eq!(called(&world), [("crm".to_owned(), session)]);
    world.now += settings.session_s;
    assert_eq!((expire(&world), called(&world)), (Ok(0), vec![]), "once");
    // The end that nothing moves; and more clients than one.
    let session = world.sign_in("sarah");
    for client in ["crm", "sales"] {
        let request = world.ask(client, &[("scope", "openid read")]);
        let to = world.tenant.complete(&request, &session, &Decided::Allowed { scopes: None }, &world.env()).unwrap();
        world.redeem(client, &parameter(&to, "code").unwrap()).unwrap();
    }
    let end = world.now + settings.session_s;
    while world.now < end {
        let held = world.tenant.held::<Session>(&[&session.id]).unwrap();
        world.tenant.touch_session(&held, &world.env()).unwrap();
        assert_eq!(expire(&world), Ok(0));
        world.now += settings.session_idle_s / 2;
    }
    assert_eq!(expire(&world), Ok(2));
    assert_eq!(called(&world), [("crm".to_owned(), session.id.clone()), ("sales".to_owned(), session.id.clone())]);
    // Who signed out before is told of that, and not again.
    let tokens = world.tokens("crm", "sarah", "openid");
    world.tenant.end_session("sarah", &session_of(&tokens), "owner", &world.env()).unwrap();
    world.tenant.spread_logouts(&world.env()).unwrap();
    assert_eq!(called(&world).len(), 1);
    world.now += settings.session_s;
    assert_eq!((expire(&world), called(&world)), (Ok(0), vec![]));
}

#[test]
fn what_outlives_its_session_is_told_of_both_ends_once() {
    let mut world = World::new();
    with_uri(&world, "crm");
    let tokens = world.tokens("crm", "sarah", "openid read offline_access");
    let session = session_of(&tokens);
    world.now += world.tenant.settings().session_idle_s;
    assert_eq!(world.tenant.expire_sessions(&world.env()), Ok(1));
    assert_eq!(called(&world), [("crm".to_owned(), session.clone())]);
    // It goes on, and is not told again because of that; another client that joins late is not told at all.
    let tokens = world.refresh("crm", &tokens.refresh_token.unwrap()).unwrap();
    world.now += 10;
    assert_eq!((world.tenant.expire_sessions(&world.env()), called(&world)), (Ok(0), vec![]));
    world.examine(&tokens.access_token).unwrap();
    // That it ends too is another matter.
    world.tenant.sign_out_everywhere("sarah", "test", &world.env()).unwrap();
    world.tenant.spread_logouts(&world.env()).unwrap();
    assert_eq!(called(&world), [("crm".to_owned(), session)]);
    assert_eq!(world.tenant.expire_sessions(&world.env()), Ok(0));
}

#[test]
fn who_is_suspended_or_deleted_is_signed_out_everywhere() {
    for deleted in [false, true] {
        let world = World::new();
        with_uri(&world, "crm");
        let tokens = world.tokens("crm", "sarah", "openid read offline_access");
        if deleted {
            world.tenant.delete_user("sarah", &world.env()).unwrap();
        } else {
            world.tenant.suspend("user:sarah", true, Some("user:ann"), &world.env()).unwrap();
        }
        assert_eq!(world.tenant.spread_logouts(&world.env()), Ok(1));
        assert_eq!(called(&world), [("crm".to_owned(), session_of(&tokens))]);
        if deleted {
            continue;
        }
        // Who may act again signs in again: what was handed out before stays void.
        world.tenant.suspend("user:sarah", false, None, &world.env()).unwrap();
        assert_eq!(rule(world.examine(&tokens.access_token)), "user.signed_out");
        assert_eq!(rule(world.refresh("crm", &tokens.refresh_token.unwrap())), "user.signed_out");
        world.examine(&world.tokens("crm", "sarah", "openid").access_token).unwrap();
        let ended = world.events().into_iter().rfind(|event| event.kind() == EventKind::SessionEnded).unwrap();
        assert_eq!((ended.get_user(), ended.get_reason()), (Some("user:sarah"), Some("suspended")));
    }
    // Who is nobody can be suspended beforehand, and a client has no sessions.
    let world = World::new();
    for subject in ["user:nobody", "agent:sales", "app:crm"] {
        world.tenant.suspend(subject, true, None, &world.env()).unwrap();
    }
    assert_eq!(world.tenant.spread_logouts(&world.env()), Ok(0));
}

#[test]
fn everywhere_is_everywhere() {
    let world = World::new();
    with_uri(&world, "crm");
    with_uri(&world, "sales");
    let all = [
        world.tokens("crm", "sarah", "openid read offline_access"),
        world.tokens("crm", "sarah", "openid read"),
        world.tokens("sales", "sarah", "read"),
    ];
    world.tenant.sign_out_everywhere("sarah", "test", &world.env()).unwrap();
    for tokens in &all {
        assert_eq!(rule(world.examine(&tokens.access_token)), "user.signed_out");
    }
    assert_eq!(world.tenant.spread_logouts(&world.env()), Ok(3), "two sessions of one, and one of the other");
    let mut told: Vec<(String, String)> =
        world.tenant.due_logouts(&world.env()).unwrap().iter().map(|c| (c.client.clone(), c.session.clone())).collect();
    told.sort();
    let mut expected: Vec<(String, String)> =
        ["crm", "crm", "sales"].iter().zip(&all).map(|(c, t)| ((*c).to_owned(), session_of(t))).collect();
    expected.sort();
    assert_eq!(told, expected);
    // Who took its URI away meanwhile wants to know nothing.
    let held = world.tenant.client("sales").unwrap();
    let without = Client { backchannel_logout_uri: None, ..held.value.clone() };
    world.tenant.change_client(&held, &without, &world.env()).unwrap();
    let due = world.tenant.due_logouts(&world.env()).unwrap();
    let of_sales = due.iter().find(|call| call.client == "sales").unwrap();
    assert_eq!(world.tenant.logout_token(of_sales, &world.env()).unwrap(), None);
}

#[test]
fn other_sessions_end_however_many_there_are() {
    let world = World::new();
    let kept = world.sign_in("sarah");
    for _ in 0..SESSIONS_PAGE_MAX + 5 {
        world.sign_in("sarah");
    }
    world.tenant.end_other_sessions("sarah", &kept.id, "test", &world.env()).unwrap();
    let (mut live, mut after) = (Vec::new(), None);
    loop {
        let page = world.tenant.sessions("sarah", after.as_deref()).unwrap();
        live.extend(page.iter().filter(|s| s.is_live(world.now)).map(|s| s.id.clone()));
        after = page.last().map(|s| s.id.clone());
        if page.len() < SESSIONS_PAGE_MAX {
            break;
        }
    }
    assert_eq!(live, std::slice::from_ref(&kept.id));
}

/// What hangs on a session that ran out long ago may live on (`offline_access`): it ends with it.
#[test]
fn other_sessions_end_though_their_time_is_over() {
    let mut world = World::new();
    let old = world.tokens("crm", "sarah", "openid read offline_access").refresh_token.unwrap();
    world.now += world.tenant.settings().session_s + 1;
    let old = world.refresh("crm", &old).unwrap().refresh_token.unwrap();
    let own = world.sign_in("sarah");
    let ended = |world: &World| {
        let of = |event: &&Event| event.kind() == EventKind::SessionEnded;
        world.events().iter().filter(of).count()
    };
    world.tenant.end_other_sessions("sarah", &own.id, "password.changed", &world.env()).unwrap();
    assert_eq!(rule(world.refresh("crm", &old)), "session.over");
    assert_eq!(ended(&world), 1);
    world.tenant.end_other_sessions("sarah", &own.id, "password.changed", &world.env()).unwrap();
    assert_eq!(ended(&world), 1, "once");
    assert!(world.tenant.get::<Session>(&[&own.id]).unwrap().unwrap().is_live(world.now));
}

/// Records of sessions that are over stay while something hangs on them, and may be many: who is signed in now is found.
#[test]
fn live_sessions_are_found_behind_any_number_that_are_over() {
    let mut world = World::new();
    let live = |world: &World| -> Vec<String> {
        let user = world.tenant.user("sarah").unwrap();
        world.tenant.live_sessions(&user, &world.env()).unwrap().into_iter().map(|session| session.id.clone()).collect()
    };
    for _ in 0..SESSIONS_PAGE_MAX + 5 {
        let session = world.sign_in("sarah");
        world.tenant.end_session("sarah", &session.id, "test", &world.env()).unwrap();
    }
    assert_eq!(live(&world), Vec::<String>::new());
    world.now += 1;
    let old = world.sign_in("sarah").id.clone();
    world.now += 1;
    let new = world.sign_in("sarah").id.clone();
    assert_eq!(live(&world), [new.clone(), old.clone()], "the newest is first");
    // One that began when sessions lived longer is found too, and many of now push out the oldest.
    let settings = crate::identity::TenantSettings { session_s: 1, ..world.tenant.settings().clone() };
    world.tenant = world.tenant.change_settings(settings, &world.env()).unwrap();
    world.now += 60;
    assert_eq!(live(&world), [new, old]);
    let settings = crate::identity::TenantSettings { session_s: 3_600, ..world.tenant.settings().clone() };
    world.tenant = world.tenant.change_settings(settings, &world.env()).unwrap();
    let mut newest = String::new();
    for _ in 0..crate::identity::LIVE_SESSIONS_MAX + 5 {
        world.now += 1;
        newest = world.sign_in("sarah").id.clone();
    }
    let shown = live(&world);
    assert_eq!((shown.len(), &shown[0]), (crate::identity::LIVE_SESSIONS_MAX, &newest));
}

#[test]
fn what_cannot_be_told_is_refused() {
    let world = World::new();
    for uri in ["http://crm.example/logout", "https://crm.example/#x", "https://u@crm.example/", "crm", "ftp://x/"] {
        let held = world.tenant.client("crm").unwrap();
        let wanted = Client { backchannel_logout_uri: Some(uri.into()), ..held.value.clone() };
        assert_eq!(rule(world.tenant.change_client(&held, &wanted, &world.env())), "client.logout_uri", "{uri}");
    }
}
