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

#[test]
fn what_cannot_be_told_is_refused() {
    let world = World::new();
    for uri in ["http://crm.example/logout", "https://crm.example/#x", "https://u@crm.example/", "crm", "ftp://x/"] {
        let held = world.tenant.client("crm").unwrap();
        let wanted = Client { backchannel_logout_uri: Some(uri.into()), ..held.value.clone() };
        assert_eq!(rule(world.tenant.change_client(&held, &wanted, &world.env())), "client.logout_uri", "{uri}");
    }
}
