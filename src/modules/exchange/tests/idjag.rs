//! Assertions for another domain: what is in one, who gets one, and who does not.

use super::*;

// F-4.2, F-4.3, TX-3, TX-5
#[test]
fn an_assertion_says_this_and_nothing_else() {
    let mut world = World::new();
    let tokens = world.tokens("sales", "openid read");
    let id = tokens.id_token.unwrap();
    world.now += 10;
    let answer = world.assert_for("sales", &id, &[("scope", "sales.read sales.admin other")]);
    let answer = answer.unwrap_or_else(|refusal| panic!("{refusal}"));
    assert_eq!(answer.issued_token_type.as_deref(), Some(ID_JAG));
    assert_eq!((answer.token_type, answer.expires_in), ("N_A", 300));
    assert_eq!((answer.scope.as_deref(), answer.refresh_token, answer.id_token), (Some("pricing:read"), None, None));
    let header = unverified_header(&answer.access_token).unwrap();
    assert_eq!((&header["typ"], &header["alg"]), (&json!("oauth-id-jag+jwt"), &json!("ES256")));
    let said = claims(&answer.access_token);
    let jti = said["jti"].as_str().unwrap().to_owned();
    let expected = json!({
        "iss": IDP, "sub": "sarah", "aud": RAS, "client_id": "sales-there", "jti": jti,
        "iat": START + 10, "exp": START + 310, "scope": "pricing:read", "resource": PRICES,
        "auth_time": START - 60, "acr": "phr", "amr": ["hwk", "user"], "act": {"sub": "sales"},
    });
    assert_eq!(Value::Object(said), expected);
    let event = world.last(&world.idp, EventKind::ExchangeAllowed);
    assert_eq!((event.get_user(), event.get_agent()), (Some("user:sarah"), Some("agent:sales")));
    assert_eq!((event.get_resource(), event.get_action()), (Some(RAS), Some("pricing:read")));
    assert_eq!(
        (event.get_token(), &event.details()["left_out"]),
        (Some(jti.as_str()), &"sales.admin other".to_owned())
    );
    // It verifies with the published keys, and is no token here.
    verify_with(&answer.access_token, &world.idp.jwks(&world.env()).unwrap()).unwrap();
    assert_eq!(rule(world.examine(&answer.access_token)), "token.typ");
}

#[test]
fn what_more_it_says_is_the_connections_to_say() {
    let world = World::new();
    let tokens = world.tokens("sales", "openid offline_access read");
    let (id, refresh) = (tokens.id_token.unwrap(), tokens.refresh_token.unwrap());
    let more = |subject, life_s| {
        let server = Server { subject, life_s, ..server() };
        put_connection(&world.idp, &connection("pricing", Target::Server(server)), &world.env()).unwrap();
        claims(&world.assert_for("sales", &id, &[]).unwrap().access_token)
    };
    let said = more(SubjectClaims { email: true, aud_sub: Some("there".into()), sub_id: None }, 60);
    assert_eq!((&said["email"], &said["email_verified"]), (&json!("Sarah@example.com"), &json!(true)));
    assert_eq!((&said["aud_sub"], &said["exp"]), (&json!("s-1"), &json!(START + 60)));
    assert_eq!(said["scope"], "pricing:read", "without a scope, all that need nobody");
    let said = more(SubjectClaims { aud_sub: Some("missing".into()), ..SubjectClaims::default() }, 300);
    assert!(said.get("email").is_none() && said.get("aud_sub").is_none());
    // An address that is not verified is not asserted.
    let held = world.idp.user("sarah").unwrap();
    let profile = json!({"email": "sarah@example.com"});
    world.idp.change_user(&held, &["sarah@example.com"], profile.as_object().unwrap().clone(), &world.env()).unwrap();
    assert!(more(SubjectClaims { email: true, ..SubjectClaims::default() }, 300).get("email").is_none());
    // Who they are at a third that both know (RFC 9493): a provider with which they are linked, or this issuer.
    let known_at = |issuer: &str| {
        more(SubjectClaims { sub_id: Some(issuer.into()), ..SubjectClaims::default() }, 300).remove("sub_id")
    };
    assert_eq!(known_at("https://accounts.example"), None);
    let data = json!({"issuer": "https://accounts.example", "subject": "108"}).to_string();
    world.idp.add_credential("sarah", CredentialKind::Upstream, "x", data.as_bytes(), &world.env()).unwrap();
    let named = |iss: &str, sub: &str| Some(json!({"format": "iss_sub", "iss": iss, "sub": sub}));
    assert_eq!(known_at("https://accounts.example"), named("https://accounts.example", "108"));
    assert_eq!(known_at(IDP), named(IDP, "sarah"));
    assert_eq!(known_at("https://other.example"), None);
    // A refresh token does too, and a key that was proved is in it.
    let caller = Caller { jkt: Some("A".repeat(43)), ..world.caller(&world.idp, "sales") };
    let pairs = [
        ("subject_token", refresh.as_str()),
        ("subject_token_type", REFRESH),
        ("requested_token_type", ID_JAG),
        ("audience", RAS),
        ("resource", PRICES),
    ];
    let said = claims(&world.exchange_of(&caller, &pairs).unwrap().access_token);
    let mut bound = world.caller(&world.idp, "sales");
    bound.client.value.dpop_bound_access_tokens = true;
    assert_eq!(rule(world.exchange_of(&bound, &pairs)), "dpop.missing");
    assert_eq!((&said["cnf"], &said["resource"]), (&json!({"jkt": "A".repeat(43)}), &json!(PRICES)));
}

#[test]
fn an_assertion_lives_no_longer_than_what_it_came_from() {
    let mut world = World::new();
    let id = world.tokens("sales", "openid read").id_token.unwrap();
    world.now += 500;
    let answer = world.assert_for("sales", &id, &[]).unwrap();
    assert_eq!((answer.expires_in, &claims(&answer.access_token)["exp"]), (100, &json!(START + 600)));
    let own = world.own_token("sales", "read");
    world.now += 60;
    let answer = world.assert_for("sales", &id, &[("actor_token", &own), ("actor_token_type", ACCESS)]).unwrap();
    assert_eq!(answer.expires_in, 40);
    world.now += 40;
    assert_eq!(refused(world.assert_for("sales", &id, &[])), ("token.expired", "invalid_request"));
}

// MC-1, MC-2, MC-3, F-4.3b, TX-8
#[test]
fn the_connection_says_who_gets_what() {
    let world = World::new();
    let env = world.env();
    let (sales, planner) = (world.tokens("sales", "openid read"), world.tokens("planner", "openid read"));
    let (id, other) = (sales.id_token.unwrap(), planner.id_token.unwrap());
    let ask = |scope, more: &[(&str, &str)]| world.assert_for("sales", &id, &with(&[("scope", scope)], more));
    let part = ask("sales.read sales.write", &[]).unwrap();
    assert_eq!(
        (part.scope.as_deref(), &part.more["scope_needs_approval"]),
        (Some("pricing:read"), &json!("sales.write"))
    );
    assert_eq!(refused(ask("sales.write", &[])), ("connection.needs_approval", "interaction_required"));
    world.approve("ap", "sales.write", START + 30);
    let answer = ask("sales.read sales.write", &[("approval", "ap")]).unwrap();
    assert_eq!((answer.scope.as_deref(), answer.expires_in), (Some("pricing:read pricing:write"), 30));
    assert_eq!(refused(ask("sales.admin", &[])), ("connection.never", "invalid_scope"));
    assert_eq!(refused(ask("pricing:read", &[])), ("idjag.scopes", "invalid_scope"));
    assert_eq!(rule(world.assert_for("planner", &other, &[])), "connection.none");
    allow(&world.idp, "pricing", "agent:planner", true, &env).unwrap();
    assert_eq!(rule(world.assert_for("planner", &other, &[])), "idjag.client");
    // Nobody is asked, and each time is decided and noted anew (TX-10).
    let before = events(&world.idp).len();
    for _ in 0..10 {
        ask("sales.read", &[]).unwrap();
    }
    assert_eq!(events(&world.idp).len(), before + 10);
    remove_connection(&world.idp, "pricing", &env).unwrap();
    assert_eq!(refused(ask("sales.read", &[])), ("connection.unknown", "invalid_target"));
}

#[test]
fn an_assertion_is_for_one_other_server_about_a_person_who_signed_in() {
    let world = World::new();
    let tokens = world.tokens("sales", "openid offline_access read");
    let (id, access) = (tokens.id_token.unwrap(), tokens.access_token);
    let own = world.own_token("sales", "read");
    let slash = format!("{IDP}/");
    let details = r#"[{"type": "payment"}]"#;
    let cases: Vec<(Vec<(&str, &str)>, &str, &str)> = vec![
        (vec![("audience", "")], "idjag.audience", "invalid_target"),
        (vec![("audience", RAS), ("audience", CRM)], "idjag.audience", "invalid_target"),
        // A server takes no assertion of its own: not here, and not there.
        (vec![("audience", IDP)], "idjag.own_issuer", "invalid_target"),
        (vec![("audience", &slash)], "idjag.own_issuer", "invalid_target"),
        (vec![("audience", "https://unknown.example")], "connection.unknown", "invalid_target"),
        (vec![("audience", API)], "idjag.server", "invalid_target"),
        (vec![("resource", API)], "idjag.resource", "invalid_target"),
        (vec![("subject_token", &access), ("subject_token_type", ACCESS)], "idjag.subject_type", "invalid_request"),
        (vec![("subject_token", &own), ("subject_token_type", ID)], "token.typ", "invalid_request"),
        (vec![("authorization_details", details)], "idjag.details", "invalid_authorization_details"),
    ];
    for (more, expected, code) in cases {
        assert_eq!(refused(world.assert_for("sales", &id, &more)), (expected, code), "{more:?}");
        assert_eq!(world.last(&world.idp, EventKind::ExchangeRefused).get_reason(), Some(expected));
    }
    // An ID token is of the client for which it was made.
    assert_eq!(refused(world.assert_for("planner", &id, &[])), ("exchange.subject_client", "invalid_request"));
    let none = format!("{}.{}.", encode(br#"{"alg":"none","typ":"JWT"}"#), id.split('.').nth(1).unwrap());
    assert_eq!(rule(world.assert_for("sales", &none, &[])), "token.kid");
}

#[test]
fn whoever_is_signed_out_or_suspended_gets_none() {
    let kills = |expected: &str, act: &dyn Fn(&World, &Examined)| {
        let world = World::new();
        let tokens = world.tokens("sales", "openid read");
        let id = tokens.id_token.unwrap();
        act(&world, &world.examine(&tokens.access_token).unwrap());
        assert_eq!(rule(world.assert_for("sales", &id, &[])), expected);
    };
    kills("user.signed_out", &|world, _| {
        world.idp.suspend("user:sarah", true, None, &world.env()).unwrap();
    });
    kills("session.over", &|world, token| {
        let session = token.grant.session.clone().unwrap();
        world.idp.end_session("sarah", &session, "test", &world.env()).unwrap();
    });
    kills("grant.revoked", &|world, token| world.idp.revoke_grant(&token.grant.id, "t", &world.env()).unwrap());
    kills("agent.inactive", &|world, _| {
        world.idp.suspend("agent:sales", true, None, &world.env()).unwrap();
    });
}
