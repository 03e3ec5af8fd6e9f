//! Claims that a tenant adds: where they are said, what they may be, and what happens when they cannot be said.

use super::*;

fn set(world: &World, name: &str, expression: &str, places: &[ClaimPlace]) -> Answer<CustomClaim> {
    let claim = NewClaim {
        name: name.into(),
        expression: expression.into(),
        places: places.to_vec(),
        value: None,
        optional: false,
    };
    world.tenant.put_claim(&claim, "user:admin", &world.env())
}

fn set_as(world: &World, name: &str, expression: &str, (value, optional): (ClaimType, bool)) -> Answer<CustomClaim> {
    let places = ClaimPlace::ALL.to_vec();
    let claim = NewClaim { name: name.into(), expression: expression.into(), places, value: Some(value), optional };
    world.tenant.put_claim(&claim, "user:admin", &world.env())
}

fn profile(world: &World, claims: &Value) {
    let held = world.tenant.user("sarah").unwrap();
    let logins: Vec<&str> = held.logins.iter().map(String::as_str).collect();
    world.tenant.change_user(&held, &logins, claims.as_object().unwrap().clone(), &world.env()).unwrap();
}

fn userinfo(world: &World, tokens: &TokenAnswer) -> Answer<Map<String, Value>> {
    world.tenant.userinfo_claims(&world.examine(&tokens.access_token)?, &world.env())
}

#[test]
fn a_claim_is_said_where_it_is_to_be() {
    let world = World::new();
    profile(&world, &json!({"name": "Sarah Chen", "role": "sales", "territory": ["EMEA", "DACH"], "level": 3}));
    let all = ClaimPlace::ALL;
    set_as(&world, "https://acme.example/role", "user.claims.role", (ClaimType::String, false)).unwrap();
    set_as(&world, "territory", "user.claims.territory", (ClaimType::Strings, false)).unwrap();
    set_as(&world, "level", "user.claims.level", (ClaimType::Integer, false)).unwrap();
    set(&world, "strong", "acr != 'aal1' || 'mfa' in amr", &all[..1]).unwrap();
    set(&world, "asked_by", "client.kind + ':' + client.id", &all[1..2]).unwrap();
    set(&world, "for", "audience", &all[1..2]).unwrap();
    set(&world, "may_write", "'write' in scopes", &all[1..2]).unwrap();
    set(&world, "at", "auth_time + 1", &all[2..]).unwrap();
    set_as(&world, "agent", "has(agent.id) ? dyn(agent.id) : null", (ClaimType::String, false)).unwrap();
    let tokens = world.tokens("crm", "sarah", "openid read");
    let (access, id) = (claims(&tokens.access_token), claims(tokens.id_token.as_ref().unwrap()));
    for said in [&access, &id, &userinfo(&world, &tokens).unwrap()] {
        assert_eq!((&said["https://acme.example/role"], &said["level"]), (&json!("sales"), &json!(3)));
        assert_eq!(said["territory"], json!(["EMEA", "DACH"]));
        assert!(!said.contains_key("agent"), "null is nothing to say");
    }
    assert_eq!((&id["strong"], id.get("asked_by"), id.get("at")), (&json!(false), None, None));
    assert_eq!((&access["asked_by"], access.get("strong")), (&json!("app:crm"), None));
    assert_eq!((&access["for"], &access["may_write"]), (&access["aud"], &json!(false)));
    assert_eq!(userinfo(&world, &tokens).unwrap()["at"], START + 1);
    assert_eq!(world.examine(&tokens.access_token).unwrap().custom["asked_by"], "app:crm");

    // An agent that acts for her, and one that acts alone: then nothing of a person is said.
    let agent = claims(&world.tokens("sales", "sarah", "read").access_token);
    assert_eq!((&agent["agent"], &agent["asked_by"]), (&json!("sales"), &json!("agent:sales")));
    let alone =
        ClientCredentialsGrant.redeem(&world.tenant, &world.caller("sales"), &form(&[("scope", "read")]), &world.env());
    let alone = claims(&alone.unwrap().access_token);
    assert_eq!((&alone["asked_by"], alone.get("level")), (&json!("agent:sales"), None));

    // It is said from the next token on, and no more once it is taken away.
    set(&world, "strong", "true", &all[..1]).unwrap();
    let id = claims(world.tokens("crm", "sarah", "openid").id_token.as_ref().unwrap());
    assert_eq!(id["strong"], true);
    world.tenant.remove_claim("strong", "user:admin", &world.env()).unwrap();
    assert_eq!(rule(world.tenant.remove_claim("strong", "user:admin", &world.env())), "not_found");
    let id = claims(world.tokens("crm", "sarah", "openid").id_token.as_ref().unwrap());
    assert!(!id.contains_key("strong"));
    let removed = world.events().into_iter().rfind(|event| event.kind() == EventKind::PolicyChanged).unwrap();
    assert_eq!((removed.get_action(), removed.get_resource()), (Some("claim.remove"), Some("strong")));
    assert_eq!(removed.get_user(), Some("user:admin"));
}

/// The one of F-2.2: `sub` as others have it, with the name of the connection before what the provider calls the person.
#[test]
fn who_somebody_is_elsewhere_can_be_said() {
    let mut world = World::new();
    set(
        &world,
        "https://acme.example/sub",
        "upstream.size() > 0 ? upstream[0].provider + '|' + upstream[0].subject : user.id + ''",
        &ClaimPlace::ALL[..1],
    )
    .unwrap_err();
    let expression = "upstream.size() > 0 ? upstream[0].provider + '|' + upstream[0].subject : 'bailiwick|'";
    set(&world, "https://acme.example/sub", expression, &ClaimPlace::ALL[..1]).unwrap();
    let said = |world: &World| {
        let id = claims(world.tokens("crm", "sarah", "openid").id_token.as_ref().unwrap());
        id["https://acme.example/sub"].as_str().unwrap().to_owned()
    };
    assert_eq!(said(&world), "bailiwick|");
    for (issuer, subject, provider) in [
        ("https://accounts.google.example", "1078", Some("google-oauth2")),
        ("https://work.example", "s.chen", Some("work")),
    ] {
        let identity =
            UpstreamIdentity { issuer: issuer.into(), subject: subject.into(), provider: provider.map(str::to_owned) };
        let data = serde_json::to_vec(&identity).unwrap();
        world.now += 1;
        world.tenant.add_credential("sarah", CredentialKind::Upstream, "x", &data, &world.env()).unwrap();
    }
    assert_eq!(said(&world), "work|s.chen", "the one that was linked last, while none was used");
    world.now += 1;
    world.tenant.use_upstream("sarah", "https://accounts.google.example", "1078", &world.env()).unwrap();
    assert_eq!(said(&world), "google-oauth2|1078", "the one that was used last");
}

#[test]
fn what_cannot_be_said_refuses_or_is_left_out_and_is_noted() {
    let mut world = World::new();
    set_as(&world, "role", "user.claims.role", (ClaimType::String, false)).unwrap();
    let code = world.code("crm", "sarah", &[("scope", "openid read")]);
    let refused = world.redeem("crm", &code).err().unwrap();
    assert_eq!((refused.rule, refused.error), ("claim.failed", ErrorCode::ServerError));
    assert!(refused.description.contains("`role`") && refused.cause.is_some());
    let last = world.events().pop().unwrap();
    assert_eq!((last.kind(), last.get_reason()), (EventKind::TokenRefused, Some("claim.failed")));
    assert_eq!((last.details()["claim"].as_str(), last.details()["place"].as_str()), ("role", "access_token"));
    // Nothing was used up, and it is noted once in a minute.
    let noted = world.events().len();
    assert_eq!(rule(world.redeem("crm", &code)), "claim.failed");
    assert_eq!(world.events().len(), noted);
    world.now += 59;
    profile(&world, &json!({"role": 7}));
    assert_eq!(rule(world.redeem("crm", &code)), "claim.failed", "of another type");
    profile(&world, &json!({"role": "x".repeat(CUSTOM_CLAIM_BYTES_MAX)}));
    assert_eq!(rule(world.redeem("crm", &code)), "claim.failed", "too large");
    profile(&world, &json!({"role": "sales"}));
    let tokens = world.redeem("crm", &code).unwrap();
    assert_eq!(claims(&tokens.access_token)["role"], "sales");
    // Userinfo too.
    profile(&world, &json!({}));
    assert_eq!(rule(userinfo(&world, &tokens)), "claim.failed");

    set_as(&world, "role", "user.claims.role", (ClaimType::String, true)).unwrap();
    assert_eq!(userinfo(&world, &tokens).unwrap(), Map::new());
    let tokens = world.tokens("crm", "sarah", "openid read");
    assert!(!claims(&tokens.access_token).contains_key("role"));
    let issued = world.events().into_iter().rfind(|event| event.kind() == EventKind::TokenIssued).unwrap();
    assert_eq!(issued.details()["claims_left_out"], "role role");
    // All together have a bound, whatever each is.
    profile(&world, &json!({"role": "x".repeat(1_900)}));
    for name in ["a", "b", "c", "d"] {
        set_as(&world, name, "user.claims.role", (ClaimType::String, true)).unwrap();
    }
    let access = claims(&world.tokens("crm", "sarah", "openid").access_token);
    let said: Vec<&str> = ["a", "b", "c", "d", "role"].into_iter().filter(|name| access.contains_key(*name)).collect();
    assert_eq!(said, ["a", "b", "c"]);
}

#[test]
fn a_claim_that_makes_no_sense_is_refused() {
    let world = World::new();
    let places = ClaimPlace::ALL.as_slice();
    for name in
        ["iss", "sub", "aud", "exp", "act", "cnf", "scope", "client_id", "jti", "may_act", "email", "sid", "nonce"]
    {
        assert_eq!(rule(set(&world, name, "'x'", places)), "claim.taken", "{name}");
    }
    for name in ["", "a b", "a\"", "é", &"x".repeat(CUSTOM_CLAIM_NAME_BYTES_MAX + 1)] {
        assert_eq!(rule(set(&world, name, "'x'", places)), "claim.name", "{name}");
    }
    for expression in ["", "unknown", "user.id +", "'a' + 1", "timestamp(auth_time)", "null", "b'x'", &"a".repeat(600)]
    {
        assert_eq!(rule(set(&world, "x", expression, places)), "claim.expression", "{expression}");
    }
    for expression in ["user.claims.role", "user", "[1, 2]", "{'a': 1}"] {
        assert_eq!(rule(set(&world, "x", expression, places)), "claim.type", "{expression}: say what it is");
        set_as(&world, "x", expression, (ClaimType::Json, false)).unwrap();
    }
    for (expression, value) in [("1", ClaimType::String), ("'x'", ClaimType::Boolean), ("[1]", ClaimType::Strings)] {
        assert_eq!(rule(set_as(&world, "x", expression, (value, false))), "claim.type", "{expression}");
    }
    for bad in [&[][..], &[ClaimPlace::IdToken, ClaimPlace::IdToken]] {
        assert_eq!(rule(set(&world, "x", "'x'", bad)), "claim.places");
    }
    for n in world.tenant.custom_claims().unwrap().len()..CUSTOM_CLAIMS_MAX {
        set(&world, &format!("x{n}"), "'x'", places).unwrap();
    }
    assert_eq!(rule(set(&world, "more", "'x'", places)), "claim.max");
    set(&world, "x", "'y'", places).unwrap();
    // What costs too much is stopped when it is said, and refuses.
    let costly = "[1,2,3,4,5,6,7,8,9].all(a, [1,2,3,4,5,6,7,8,9].all(b, [1,2,3,4,5,6,7,8,9].all(c, a + b + c > 0)))";
    set(&world, "x", costly, places).unwrap();
    let code = world.code("crm", "sarah", &[("scope", "openid")]);
    assert_eq!(rule(world.redeem("crm", &code)), "claim.failed");
}
