//! Token exchange within a tenant, and every way in which it is refused.

use super::*;

// TX-0, TX-1, TX-3
#[test]
fn an_agent_gets_a_part_of_what_the_person_gave_it() {
    let mut world = World::new();
    let tokens = world.tokens("sales", "openid read contacts:read contacts:write");
    world.now += 100;
    let answer = world
        .pass_on("sales", &tokens.access_token, &[("scope", "contacts:read"), ("resource", CRM)])
        .unwrap_or_else(|refusal| panic!("{refusal}"));
    assert_eq!(answer.issued_token_type.as_deref(), Some(ACCESS));
    assert_eq!((answer.token_type, answer.expires_in), ("Bearer", 500));
    assert_eq!((answer.scope.as_deref(), answer.refresh_token, answer.id_token), (Some("contacts:read"), None, None));
    let (before, after) = (claims(&tokens.access_token), claims(&answer.access_token));
    assert_eq!((&after["sub"], &after["act"]), (&json!("sarah"), &json!({"sub": "sales"})));
    assert_eq!((&after["aud"], &after["client_id"], &after["iss"]), (&json!(CRM), &json!("sales"), &json!(IDP)));
    assert_eq!(after["exp"], before["exp"], "it lives no longer");
    for claim in ["auth_time", "acr", "amr"] {
        assert_eq!(after[claim], before[claim]);
    }
    assert_eq!(after["auth_time"], START - 60);
    let examined = world.examine(&answer.access_token).unwrap();
    assert_eq!(examined.chain().grants().len(), 2);

    let event = world.last(&world.idp, EventKind::ExchangeAllowed);
    assert_eq!((event.get_user(), event.get_agent()), (Some("user:sarah"), Some("agent:sales")));
    assert_eq!((event.get_resource(), event.get_action()), (Some(CRM), Some("contacts:read")));
    assert_eq!(event.get_grant(), Some(examined.grant.id.as_str()));
    assert_eq!(event.details()["parent"], *examined.grant.parent.as_ref().unwrap());
    // The grant, the token and what is said of them are one write.
    let kinds: Vec<EventKind> = events(&world.idp).iter().map(Event::kind).collect();
    let last = [EventKind::GrantCreated, EventKind::TokenIssued, EventKind::ExchangeAllowed];
    assert_eq!(&kinds[kinds.len() - 3..], last);
}

#[test]
fn an_id_token_and_a_refresh_token_stand_for_their_grant() {
    let mut world = World::new();
    let tokens = world.tokens("sales", "openid offline_access read");
    let (id, refresh) = (tokens.id_token.unwrap(), tokens.refresh_token.unwrap());
    world.now += 100;
    for (token, kind, life) in [(&id, ID, 500), (&refresh, REFRESH, 600)] {
        let pairs = [("subject_token", token.as_str()), ("subject_token_type", kind), ("resource", API)];
        let answer = world.exchange("sales", &pairs).unwrap();
        assert_eq!((answer.scope.as_deref(), answer.expires_in), (Some("read"), life), "{kind}");
        // They are of one client alone.
        let refusal = world.exchange("planner", &pairs);
        assert_eq!(refused(refusal), ("exchange.subject_client", "invalid_request"), "{kind}");
    }
    // The refresh token was not used up.
    let form = form(&[("refresh_token", &refresh)]);
    RefreshGrant.redeem(&world.idp, &world.caller(&world.idp, "sales"), &form, &world.env()).unwrap();
    let pairs = [("subject_token", refresh.as_str()), ("subject_token_type", REFRESH)];
    assert_eq!(refused(world.exchange("sales", &pairs)), ("refresh.used", "invalid_request"));
}

/// Gravitee PR#8587: a token that is declared to be of another type is not judged as what it is.
#[test]
fn a_token_of_another_type_than_is_said_is_refused() {
    let world = World::new();
    let tokens = world.tokens("sales", "openid offline_access read");
    let (access, id) = (tokens.access_token, tokens.id_token.unwrap());
    let refresh = tokens.refresh_token.unwrap();
    let jag = world.assert_for("sales", &id, &[]).unwrap().access_token;
    for (token, kind, expected) in [
        (&access, ID, "token.typ"),
        (&access, REFRESH, "refresh.form"),
        (&id, ACCESS, "token.typ"),
        (&id, REFRESH, "refresh.form"),
        (&refresh, ACCESS, "token.form"),
        (&refresh, ID, "token.form"),
        (&jag, ACCESS, "token.typ"),
        (&jag, ID, "token.typ"),
        (&jag, REFRESH, "refresh.form"),
        (&access, "urn:ietf:params:oauth:token-type:jwt", "exchange.subject_type"),
        (&access, ID_JAG, "exchange.subject_type"),
        (&access, "urn:ietf:params:oauth:token-type:saml2", "exchange.subject_type"),
    ] {
        let answer = world.exchange("sales", &[("subject_token", token), ("subject_token_type", kind)]);
        assert_eq!(refused(answer), (expected, "invalid_request"), "{kind}");
    }
    // Revoked is revoked, by whatever name.
    world.idp.revoke_token(&world.examine(&access).unwrap(), &world.env()).unwrap();
    assert_eq!(rule(world.pass_on("sales", &access, &[])), "token.revoked");
    assert_eq!(rule(world.exchange("sales", &[("subject_token", &access), ("subject_token_type", ID)])), "token.typ");
}

#[test]
fn what_is_malformed_or_not_offered_is_refused() {
    let world = World::new();
    let access = world.tokens("sales", "openid read").access_token;
    let own = world.own_token("sales", "read");
    let details = r#"[{"type": "payment"}]"#;
    let many: Vec<String> = (0..9).map(|n| format!("https://{n}.example/")).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|uri| ("resource", uri.as_str())).collect();
    let cases: Vec<(Vec<(&str, &str)>, &str, &str)> = vec![
        (vec![("subject_token", "")], "form.missing", "invalid_request"),
        (vec![("subject_token_type", "")], "form.missing", "invalid_request"),
        (vec![("actor_token", &own)], "exchange.actor_pair", "invalid_request"),
        (vec![("actor_token_type", ACCESS)], "exchange.actor_pair", "invalid_request"),
        (vec![("actor_token", &own), ("actor_token_type", ID)], "exchange.actor_type", "invalid_request"),
        (vec![("requested_token_type", REFRESH)], "exchange.requested_type", "invalid_request"),
        (vec![("requested_token_type", ID)], "exchange.requested_type", "invalid_request"),
        (vec![("scope", "a\"b")], "scope.form", "invalid_scope"),
        (vec![("scope", "read write")], "narrow.scopes", "invalid_scope"),
        (vec![("scope", "unknown")], "narrow.scopes", "invalid_scope"),
        (vec![("resource", "https://other.example/")], "narrow.resources", "invalid_target"),
        (vec![("audience", "https://other.example/")], "narrow.resources", "invalid_target"),
        (vec![("resource", IDP)], "narrow.resources", "invalid_target"),
        (vec![("authorization_details", details)], "narrow.details", "invalid_authorization_details"),
        (many, "exchange.targets", "invalid_target"),
    ];
    for (more, expected, code) in cases {
        assert_eq!(refused(world.pass_on("sales", &access, &more)), (expected, code), "{more:?}");
        let event = world.last(&world.idp, EventKind::ExchangeRefused);
        assert_eq!((event.get_reason(), event.get_client()), (Some(expected), Some("agent:sales")));
    }
    let garbage = world.pass_on("sales", "eyJhbGciOiJub25lIn0.e30.", &[]);
    assert_eq!(refused(garbage), ("token.kid", "invalid_request"));
    let event = world.last(&world.idp, EventKind::ExchangeRefused);
    assert_eq!(event.get_agent(), Some("agent:sales"), "who acts is known even so");
    assert!(!String::from_utf8(event.bytes()).unwrap().contains("eyJ"));
}

#[test]
fn a_token_for_the_issuer_alone_is_not_passed_on() {
    let world = World::new();
    let tokens = world.tokens_of(&world.caller(&world.idp, "sales"), "openid", &[]);
    let answer = world.pass_on("sales", &tokens.access_token, &[]);
    assert_eq!(refused(answer), ("exchange.target", "invalid_target"));
    // What OpenID Connect lets see is the issuer's to show: it is left out, and no ID token comes of it.
    let tokens = world.tokens("sales", "openid profile read");
    let answer = world.pass_on("sales", &tokens.access_token, &[("resource", API)]).unwrap();
    assert_eq!((answer.scope.as_deref(), answer.id_token), (Some("read"), None));
    assert_eq!(claims(&answer.access_token)["aud"], API);
    let asked = world.pass_on("sales", &tokens.access_token, &[("scope", "openid profile")]);
    assert_eq!(refused(asked), ("connection.never", "invalid_scope"));
}

#[test]
fn a_client_that_cannot_show_who_it_is_exchanges_nothing() {
    let world = World::new();
    let spa = Client {
        auth_methods: vec![AuthMethod::None],
        grant_types: strings(&["authorization_code", TOKEN_EXCHANGE, JWT_BEARER]),
        ..client("spa", ClientKind::App)
    };
    world.idp.create_client(&spa, &world.env()).unwrap();
    world.ras.create_client(&spa, &world.env()).unwrap();
    let id = world.tokens("spa", "openid read").id_token.unwrap();
    let answer = world.exchange("spa", &[("subject_token", &id), ("subject_token_type", ID), ("resource", API)]);
    assert_eq!(refused(answer), ("exchange.public", "unauthorized_client"));
    let answer = world.redeem_as(&world.caller(&world.ras, "spa"), "x.y.z", &[]);
    assert_eq!(refused(answer), ("exchange.public", "unauthorized_client"));
}

#[test]
fn the_chain_says_who_acted_for_whom() {
    let world = World::new();
    let first = world.tokens("web", "read contacts:read").access_token;
    assert!(claims(&first).get("act").is_none());
    // Another client may take it on only when it was told so.
    let answer = world.pass_on("sales", &first, &[("resource", API)]);
    assert_eq!(refused(answer), ("exchange.subject_client", "invalid_request"));
    let event = world.last(&world.idp, EventKind::ExchangeRefused);
    assert_eq!((event.get_user(), event.get_agent()), (Some("user:sarah"), Some("agent:sales")));
    assert_eq!(event.get_resource(), Some(API));
    delegate(&world.idp, "web", "sales", true, &world.env()).unwrap();
    let second = world.pass_on("sales", &first, &[("resource", API)]).unwrap().access_token;
    assert_eq!(claims(&second)["act"], json!({"sub": "sales"}));
    // That one may does not let the next.
    assert_eq!(rule(world.pass_on("planner", &second, &[])), "exchange.subject_client");
    delegate(&world.idp, "sales", "planner", true, &world.env()).unwrap();
    let third = world.pass_on("planner", &second, &[]).unwrap().access_token;
    assert_eq!(claims(&third)["act"], json!({"sub": "planner", "act": {"sub": "sales"}}));
    assert_eq!((&claims(&third)["sub"], &claims(&third)["client_id"]), (&json!("sarah"), &json!("planner")));
    let event = world.last(&world.idp, EventKind::ExchangeAllowed);
    assert_eq!((event.get_agent(), event.get_actors()), (Some("agent:planner"), &strings(&["agent:sales"])[..]));
    // The same one again is no new link.
    let fourth = world.pass_on("planner", &third, &[]).unwrap().access_token;
    assert_eq!(claims(&fourth)["act"], claims(&third)["act"]);
    // What was told can be taken back.
    delegate(&world.idp, "sales", "planner", false, &world.env()).unwrap();
    assert_eq!(rule(world.pass_on("planner", &second, &[])), "exchange.subject_client");
}

#[test]
fn a_resource_server_may_exchange_what_was_shown_to_it() {
    let world = World::new();
    let server = Client { serves: strings(&[API]), ..client("api-server", ClientKind::App) };
    world.idp.create_client(&server, &world.env()).unwrap();
    allow(&world.idp, "api", "app:api-server", true, &world.env()).unwrap();
    classify(&world.idp, ("api", "read"), "app:api-server", Some(ScopeClass::Automatic), &world.env()).unwrap();
    let token = world.tokens("sales", "read contacts:read").access_token;
    let answer = world.pass_on("api-server", &token, &[("resource", API)]).unwrap();
    assert_eq!(claims(&answer.access_token)["act"], json!({"sub": "api-server", "act": {"sub": "sales"}}));
    let elsewhere = world.tokens_of(&world.caller(&world.idp, "sales"), "contacts:read", &[CRM]).access_token;
    assert_eq!(rule(world.pass_on("api-server", &elsewhere, &[])), "exchange.subject_client");
}

/// A token of a grant, with claims that no grant type of ours writes.
fn forged(world: &World, token: &str, claim: &str, value: Value) -> String {
    let mut claims = claims(token);
    claims.insert(claim.to_owned(), value);
    world.idp.sign("at+jwt", &claims, &world.env()).unwrap()
}

#[test]
fn may_act_names_who_may_and_nobody_else() {
    let world = World::new();
    let token = world.tokens("web", "read").access_token;
    delegate(&world.idp, "web", "planner", true, &world.env()).unwrap();
    for named in [json!({"sub": "sales"}), json!({"sub": "sales", "iss": IDP})] {
        let token = forged(&world, &token, "may_act", named.clone());
        let answer = world.pass_on("sales", &token, &[("resource", API)]).unwrap();
        assert_eq!(claims(&answer.access_token)["act"], json!({"sub": "sales"}), "{named}");
        // Not even who else may, and not the client that has it.
        for other in ["planner", "web"] {
            let answer = world.pass_on(other, &token, &[("resource", API)]);
            assert_eq!(refused(answer), ("exchange.may_act", "invalid_request"));
        }
    }
    for named in [
        json!({"sub": "planner"}),
        json!({"sub": "sales", "iss": RAS}),
        json!({"iss": IDP}),
        json!({"sub": ["sales"]}),
        json!({"sub": "sales", "email": "x@example.com"}),
        json!("sales"),
        json!(null),
    ] {
        let token = forged(&world, &token, "may_act", named.clone());
        assert_eq!(rule(world.pass_on("sales", &token, &[("resource", API)])), "exchange.may_act", "{named}");
    }
}

#[test]
fn a_token_of_a_client_alone_never_becomes_one_of_a_person_or_of_another() {
    let world = World::new();
    let own = world.own_token("sales", "read");
    delegate(&world.idp, "sales", "planner", true, &world.env()).unwrap();
    let narrowed = world.pass_on("sales", &own, &[]).unwrap().access_token;
    let (sub, act) = (claims(&narrowed)["sub"].clone(), claims(&narrowed).get("act").cloned());
    assert_eq!((sub, act), (json!("sales"), None));
    assert_eq!(refused(world.pass_on("planner", &own, &[])), ("exchange.alone", "invalid_request"));
    // An actor token that is a person's would make the agent vanish.
    let persons = world.tokens("sales", "read").access_token;
    let act = |token| [("actor_token", token), ("actor_token_type", ACCESS)];
    assert_eq!(refused(world.pass_on("sales", &own, &act(&persons))), ("exchange.actor_user", "invalid_request"));
}

#[test]
fn an_actor_token_is_the_clients_own_and_bounds_the_life() {
    let mut world = World::new();
    let own = world.own_token("sales", "read");
    let others = world.own_token("planner", "read");
    world.now += 400;
    let token = world.tokens("sales", "read").access_token;
    let act = |token| [("resource", API), ("actor_token", token), ("actor_token_type", ACCESS)];
    let answer = world.pass_on("sales", &token, &act(&own)).unwrap();
    assert_eq!(answer.expires_in, 200, "the actor token ends first");
    assert_eq!(claims(&answer.access_token)["act"], json!({"sub": "sales"}));
    assert_eq!(refused(world.pass_on("sales", &token, &act(&others))), ("exchange.actor_client", "invalid_request"));
    assert_eq!(rule(world.pass_on("sales", &token, &act("x.y.z"))), "token.form");
    world.now += 200;
    assert_eq!(refused(world.pass_on("sales", &token, &act(&own))), ("token.expired", "invalid_request"));
}

#[test]
fn a_token_that_is_bound_to_a_key_needs_the_proof_of_it() {
    let world = World::new();
    let key = |letter: &str| Caller { jkt: Some(letter.repeat(43)), ..world.caller(&world.idp, "sales") };
    let token = world.tokens_of(&key("A"), "read", &[API]).access_token;
    let pairs = [("subject_token", token.as_str()), ("subject_token_type", ACCESS)];
    assert_eq!(refused(world.exchange("sales", &pairs)), ("exchange.dpop", "invalid_dpop_proof"));
    assert_eq!(rule(world.exchange_of(&key("B"), &pairs)), "exchange.dpop");
    let answer = world.exchange_of(&key("A"), &pairs).unwrap();
    assert_eq!((answer.token_type, &claims(&answer.access_token)["cnf"]["jkt"]), ("DPoP", &json!("A".repeat(43))));
}

// MC-1, MC-2
#[test]
fn a_connection_and_its_classes_say_what_an_agent_may_have() {
    let world = World::new();
    let env = world.env();
    let token = world.tokens("sales", "read write delete contacts:read").access_token;
    let ask = |scope: &str, more: &[(&str, &str)]| {
        world.pass_on("sales", &token, &with(&[("scope", scope), ("resource", API)], more))
    };
    // One of each class: the first is had, the second waits for an approval, the third is never had; and the answer says so.
    let answer = ask("read write delete", &[]).unwrap();
    assert_eq!((answer.scope.as_deref(), &claims(&answer.access_token)["scope"]), (Some("read"), &json!("read")));
    assert_eq!(
        (&answer.more["scope_needs_approval"], &answer.more["scope_never"]),
        (&json!("write"), &json!("delete"))
    );
    let text = answer.more["approval_description"].as_str().unwrap().to_owned();
    assert!(text.contains("`write`") && text.contains("approval endpoint"), "{text}");
    let event = world.last(&world.idp, EventKind::ExchangeAllowed);
    assert_eq!(
        (event.details()["left_out"].as_str(), event.details()["needs_approval"].as_str()),
        ("delete write", "write")
    );
    // When nothing else is left, it is refused with the same words.
    for scope in ["write", "write delete"] {
        let refusal = ask(scope, &[]).err().unwrap();
        assert_eq!((refusal.rule, refusal.error.text()), ("connection.needs_approval", "interaction_required"));
        assert_eq!(refusal.description, text);
    }
    let answer = ask("read delete", &[]).unwrap();
    assert_eq!((answer.scope.as_deref(), answer.more.len()), (Some("read"), 1));
    assert_eq!(world.last(&world.idp, EventKind::ExchangeAllowed).details()["left_out"], "delete");
    assert_eq!(refused(ask("delete", &[])), ("connection.never", "invalid_scope"));
    // With an approval, once, and no longer than it says.
    world.approve("ap-1", "write", START + 50);
    let answer = ask("read write delete", &[("approval", "ap-1")]).unwrap();
    assert_eq!((answer.scope.as_deref(), answer.expires_in), (Some("read write"), 50));
    assert_eq!(world.last(&world.idp, EventKind::ExchangeAllowed).details()["approval"], "ap-1");
    assert_eq!(rule(ask("read write", &[("approval", "ap-1")])), "connection.needs_approval");
    world.approve("ap-2", "write", START);
    assert_eq!(rule(ask("write", &[("approval", "ap-2")])), "connection.needs_approval");
    // Whatever there is: what needs nobody.
    let all = world.pass_on("sales", &token, &[]).unwrap();
    assert_eq!(all.scope.as_deref(), Some("read contacts:read"));
    assert_eq!((&all.more["scope_needs_approval"], all.more.get("scope_never")), (&json!("write"), None));
    // `never` for one beats `automatic` for all.
    classify(&world.idp, ("api", "read"), "agent:sales", Some(ScopeClass::Never), &env).unwrap();
    assert_eq!(rule(ask("read", &[])), "connection.never");
    classify(&world.idp, ("api", "read"), "agent:sales", None, &env).unwrap();
    ask("read", &[]).unwrap();
    // Without the connection there is nothing; an unknown one sounds the same.
    allow(&world.idp, "crm", "agent:*", false, &env).unwrap();
    let none = world.pass_on("sales", &token, &[("resource", CRM)]).err().unwrap();
    assert_eq!((none.rule, none.error), ("connection.none", ErrorCode::InvalidTarget));
    remove_connection(&world.idp, "crm", &env).unwrap();
    let unknown = world.pass_on("sales", &token, &[("resource", CRM)]).err().unwrap();
    assert_eq!(
        (unknown.rule, unknown.error, &unknown.description),
        ("connection.unknown", none.error, &none.description)
    );
    let event = world.last(&world.idp, EventKind::ExchangeRefused);
    assert_eq!((event.get_reason(), event.get_resource()), (Some("connection.unknown"), Some(CRM)));
    // An app that nobody connected.
    let web = world.tokens("web", "read").access_token;
    assert_eq!(rule(world.pass_on("web", &web, &[("resource", API)])), "connection.none");
}

#[test]
fn an_approval_that_two_use_at_once_is_used_by_one() {
    let world = World::new();
    let token = world.tokens("sales", "write").access_token;
    world.approve("ap", "write", START + 600);
    let ask = || world.pass_on("sales", &token, &[("scope", "write"), ("resource", API), ("approval", "ap")]);
    let good = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(ask)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).filter(Result::is_ok).count()
    });
    assert_eq!(good, 1);
}

#[test]
fn without_anybody_who_approves_nothing_is_approved() {
    let world = World::new();
    let token = world.tokens("sales", "write").access_token;
    let pairs = [
        ("subject_token", token.as_str()),
        ("subject_token_type", ACCESS),
        ("scope", "write"),
        ("resource", API),
        ("approval", "x"),
    ];
    let grant_type = TokenExchange::new(Arc::new(NoApprovals));
    let caller = world.caller(&world.idp, "sales");
    let refusal = grant_type.redeem(&world.idp, &caller, &form(&pairs), &world.env()).err().unwrap();
    assert_eq!(refusal.rule, "connection.needs_approval");
    assert!(refusal.description.contains("takes no requests"), "{}", refusal.description);
    let mut metadata = Map::new();
    grant_type.describe(&world.idp, &mut metadata);
    IdentityAssertion::new(Arc::new(NoKeys)).describe(&world.idp, &mut metadata);
    assert_eq!(metadata["identity_chaining_requested_token_types_supported"], json!([ID_JAG]));
    assert_eq!(metadata["authorization_grant_profiles_supported"], json!([ID_JAG_PROFILE]));
}

#[test]
fn a_scope_of_two_resources_is_of_the_stricter_class() {
    let world = World::new();
    let env = world.env();
    world.idp.put_resource(&resource("crm-api", CRM, &["read", "contacts:read"]), &env).unwrap();
    let token = world.tokens("sales", "read").access_token;
    let both = |scope| world.pass_on("sales", &token, &[("scope", scope), ("resource", API), ("resource", CRM)]);
    assert_eq!(rule(both("read")), "connection.never", "the CRM gives `read` no class");
    classify(&world.idp, ("crm", "read"), "agent:*", Some(ScopeClass::NeedsApproval), &env).unwrap();
    assert_eq!(rule(both("read")), "connection.needs_approval");
    classify(&world.idp, ("crm", "read"), "agent:*", Some(ScopeClass::Automatic), &env).unwrap();
    assert_eq!(both("read").unwrap().scope.as_deref(), Some("read"));
}

#[test]
fn details_are_a_part_and_of_types_that_the_client_may_have() {
    let world = World::new();
    let (five, six) = (json!({"type": "payment", "amount": "5"}), json!({"type": "payment", "amount": "6"}));
    let parent = world.examine(&world.tokens("sales", "read").access_token).unwrap();
    let env = world.env();
    let grant = Grant {
        id: env.id(),
        details: vec![five.clone(), six.clone()],
        parent: Some(parent.grant.id.clone()),
        refresh: None,
        ..parent.grant.clone()
    };
    let mut change = world.idp.change(&env);
    world.idp.add_grant(&mut change, &grant, &env).unwrap();
    let token = world.idp.issue(&mut change, &world.caller(&world.idp, "sales"), &grant, &Wanted::default(), &env);
    let token = token.unwrap().access_token;
    change.commit().unwrap();
    let ask = |details: &Value| {
        let details = details.to_string();
        world.pass_on("sales", &token, &[("resource", API), ("authorization_details", &details)])
    };
    assert_eq!(ask(&json!([five])).unwrap().authorization_details, std::slice::from_ref(&five));
    let seven = json!([{"type": "payment", "amount": "7"}]);
    assert_eq!(refused(ask(&seven)), ("narrow.details", "invalid_authorization_details"));
    let all = world.pass_on("sales", &token, &[("resource", API)]).unwrap();
    assert_eq!(all.authorization_details, [five.clone(), six]);
    let held = world.idp.client("sales").unwrap();
    let less = Client { details_types: Vec::new(), ..held.value.clone() };
    world.idp.change_client(&held, &less, &env).unwrap();
    assert_eq!(rule(ask(&json!([five]))), "details.type");
    assert!(world.pass_on("sales", &token, &[("resource", API)]).unwrap().authorization_details.is_empty());
}
