//! The code flow, refresh and client credentials, and every way in which they are refused.

use super::*;

#[test]
fn a_person_gives_an_application_what_it_asks_for() {
    let world = World::new();
    let tokens = world.tokens("crm", "sarah", "openid profile read");
    let access = claims(&tokens.access_token);
    assert_eq!(access["iss"], "https://id.example/acme");
    assert_eq!(access["sub"], "sarah");
    assert_eq!(access["client_id"], "crm");
    assert_eq!(access["aud"], json!([API, "https://id.example/acme"]));
    assert_eq!(access["scope"], "openid profile read");
    assert_eq!((access["iat"].as_u64(), access["exp"].as_u64()), (Some(START), Some(START + 600)));
    assert_eq!(
        (&access["acr"], &access["amr"], &access["auth_time"]),
        (&json!("aal1"), &json!(["pwd"]), &json!(START))
    );
    assert!(access.get("act").is_none(), "a person uses the application themselves");
    assert_eq!(unverified_header(&tokens.access_token).unwrap()["typ"], "at+jwt");

    let id = claims(tokens.id_token.as_ref().unwrap());
    assert_eq!((&id["aud"], &id["nonce"], &id["name"]), (&json!("crm"), &json!("n-1"), &json!("Sarah Chen")));
    assert!(id.get("email").is_none() && id.get("scope").is_none());
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, tokens.access_token.as_bytes());
    assert_eq!(id["at_hash"], encode(&hash.as_ref()[..16]));

    let examined = world.examine(&tokens.access_token).unwrap();
    assert_eq!((examined.grant.user(), examined.client().id.as_str()), (Some("sarah"), "crm"));
    assert_eq!((examined.resources.clone(), examined.ends()), (strings(&[API]), START + 600));
    let kinds: Vec<&str> = world.events().iter().map(|event| event.kind().name()).collect();
    let last = &kinds[kinds.len() - 3..];
    assert_eq!(last, ["session.started", "grant.created", "token.issued"]);
    let issued = world.events().pop().unwrap();
    assert_eq!((issued.get_user(), issued.get_client()), (Some("user:sarah"), Some("app:crm")));
    assert_eq!((issued.get_trace(), issued.get_address()), (Some("trace-1"), Some("192.0.2.1")));
    assert_eq!(issued.get_token(), access["jti"].as_str());
}

#[test]
fn an_agent_acts_for_a_person_and_says_so() {
    let world = World::new();
    let tokens = world.tokens("sales", "sarah", "read");
    let access = claims(&tokens.access_token);
    assert_eq!((&access["sub"], &access["act"]), (&json!("sarah"), &json!({"sub": "sales"})));
    assert_eq!(access["aud"], API);
    assert!(tokens.id_token.is_none());
    let issued = world.events().pop().unwrap();
    assert_eq!((issued.get_user(), issued.get_agent()), (Some("user:sarah"), Some("agent:sales")));
    // An agent alone is never a person.
    let alone =
        ClientCredentialsGrant.redeem(&world.tenant, &world.caller("sales"), &form(&[("scope", "read")]), &world.env());
    let alone = claims(&alone.unwrap().access_token);
    assert_eq!((&alone["sub"], &alone["client_id"], alone.get("act")), (&json!("sales"), &json!("sales"), None));
    for scope in ["openid", "profile read"] {
        let refused = ClientCredentialsGrant.redeem(
            &world.tenant,
            &world.caller("sales"),
            &form(&[("scope", scope)]),
            &world.env(),
        );
        assert_eq!(rule(refused), "scope.person");
    }
}

#[test]
fn a_code_is_redeemed_once_by_its_client_with_its_verifier() {
    let mut world = World::new();
    let code = world.code("crm", "sarah", &[]);
    let redeem = |world: &World, client: &str, change: (&str, &str)| {
        let mut pairs = vec![("code", code.as_str()), ("code_verifier", VERIFIER), ("redirect_uri", CALLBACK)];
        pairs.retain(|(name, _)| *name != change.0);
        pairs.push(change);
        CodeGrant.redeem(&world.tenant, &world.caller(client), &form(&pairs), &world.env())
    };
    let other = "a".repeat(43);
    for (client, change, expected) in [
        ("sales", ("x", "y"), "code.client"),
        ("crm", ("code", "unknown"), "code.unknown"),
        ("crm", ("code", ""), "form.missing"),
        ("crm", ("code_verifier", ""), "code.pkce"),
        ("crm", ("code_verifier", "short"), "code.pkce"),
        ("crm", ("code_verifier", &other), "code.pkce"),
        ("crm", ("redirect_uri", ""), "code.redirect_uri"),
        ("crm", ("redirect_uri", "http://127.0.0.1/cb"), "code.redirect_uri"),
        ("crm", ("resource", "https://other.example/"), "narrow.resources"),
    ] {
        assert_eq!(rule(redeem(&world, client, change)), expected, "{change:?}");
    }
    let tokens = redeem(&world, "crm", ("x", "y")).unwrap();
    world.examine(&tokens.access_token).unwrap();
    // A second time, and what the first gave is void.
    assert_eq!(rule(redeem(&world, "crm", ("x", "y"))), "code.replayed");
    assert_eq!(rule(world.examine(&tokens.access_token)), "grant.revoked");
    assert_eq!(rule(world.refresh("crm", &tokens.refresh_token.unwrap())), "grant.revoked");
    assert!(world.events().iter().any(|event| event.get_reason() == Some("code.replayed")));

    let late = world.code("crm", "sarah", &[]);
    world.now += 61;
    assert_eq!(rule(world.redeem("crm", &late)), "code.expired");
}

#[test]
fn a_code_that_two_redeem_at_once_is_redeemed_by_one() {
    let world = World::new();
    let code = world.code("crm", "sarah", &[]);
    let good = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| world.redeem("crm", &code))).collect();
        threads.into_iter().filter(|_| true).map(|t| t.join().unwrap()).filter(Result::is_ok).count()
    });
    assert_eq!(good, 1);
}

#[test]
fn a_refresh_token_rotates_and_its_reuse_revokes() {
    let mut world = World::new();
    let first = world.tokens("crm", "sarah", "openid read write offline_access");
    let one = first.refresh_token.unwrap();
    let second = world.refresh("crm", &one).unwrap();
    let two = second.refresh_token.unwrap();
    assert_ne!(one, two);
    assert!(claims(second.id_token.as_ref().unwrap()).get("nonce").is_none());
    // Twice at once: the same successor.
    world.now += 5;
    assert_eq!(world.refresh("crm", &one).unwrap().refresh_token.unwrap(), two);
    assert_eq!(rule(world.refresh("sales", &two)), "refresh.client");
    assert_eq!(rule(world.refresh("crm", &format!("{two}x"))), "refresh.form");
    let forged = two.replace(".1.", ".2.");
    assert_eq!(rule(world.refresh("crm", &forged)), "refresh.form");
    let three = world.refresh("crm", &two).unwrap();
    // The grace is for the one before the newest alone.
    assert_eq!(rule(world.refresh("crm", &one)), "refresh.reused");
    assert_eq!(rule(world.refresh("crm", &three.refresh_token.unwrap())), "grant.revoked");
    assert_eq!(rule(world.examine(&three.access_token)), "grant.revoked");

    let again = world.tokens("crm", "sarah", "openid offline_access");
    let one = again.refresh_token.unwrap();
    world.refresh("crm", &one).unwrap();
    world.now += world.tenant.settings().refresh_grace_s + 1;
    assert_eq!(rule(world.refresh("crm", &one)), "refresh.reused");
}

/// A client that never saw the newest has the one before alone, and ends with it what it was given (RFC 7009 2.1).
#[test]
fn a_refresh_token_of_any_generation_is_revoked_by_its_client() {
    let mut world = World::new();
    let one = world.tokens("crm", "sarah", "openid read offline_access").refresh_token.unwrap();
    let newest = world.refresh("crm", &one).unwrap(); // which is lost on the way
    let revoke = |world: &World, client: &str, token: &str| {
        world.tenant.revoke_refresh(&world.caller(client), token, &world.env()).unwrap()
    };
    assert!(!revoke(&world, "sales", &one), "another client's");
    assert!(!revoke(&world, "crm", &format!("{one}x")) && !revoke(&world, "crm", &newest.access_token));
    assert!(world.examine(&newest.access_token).is_ok());
    world.now += world.tenant.settings().refresh_grace_s + 1;
    assert!(revoke(&world, "crm", &one));
    assert_eq!(rule(world.examine(&newest.access_token)), "grant.revoked");
    assert_eq!(rule(world.refresh("crm", &newest.refresh_token.unwrap())), "grant.revoked");
    assert!(revoke(&world, "crm", &one), "again is no error");
}

#[test]
fn two_refreshes_at_once_get_one_successor() {
    let world = World::new();
    let first = world.tokens("crm", "sarah", "openid offline_access").refresh_token.unwrap();
    let successors: std::collections::BTreeSet<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| world.refresh("crm", &first))).collect();
        threads.into_iter().map(|t| t.join().unwrap().unwrap().refresh_token.unwrap()).collect()
    });
    assert_eq!(successors.len(), 1);
}

#[test]
fn a_refresh_narrows_and_never_widens() {
    let world = World::new();
    let first = world.tokens("crm", "sarah", "openid read offline_access").refresh_token.unwrap();
    let refresh = |scope: &str| {
        let form = form(&[("refresh_token", &first), ("scope", scope)]);
        RefreshGrant.redeem(&world.tenant, &world.caller("crm"), &form, &world.env())
    };
    assert_eq!(rule(refresh("read write")), "narrow.scopes");
    let narrow = refresh("read").unwrap();
    assert_eq!((narrow.scope.as_deref(), narrow.id_token), (Some("read"), None));
    assert_eq!(claims(&narrow.access_token)["aud"], API);
    // What the client may no longer ask for is no longer in its tokens.
    let held = world.tenant.client("crm").unwrap();
    let less = Client { scopes: strings(&["openid", "offline_access"]), ..held.value.clone() };
    world.tenant.change_client(&held, &less, &world.env()).unwrap();
    let after = world.refresh("crm", &narrow.refresh_token.unwrap()).unwrap();
    assert_eq!(after.scope.as_deref(), Some("openid offline_access"));
}

#[test]
fn a_scope_that_is_checked_needs_a_tuple_of_the_person() {
    let world = World::new();
    let tokens = world.tokens("sales", "sarah", "read discounts offline_access");
    assert_eq!(tokens.scope.as_deref(), Some("read offline_access"));
    let allowed = world.tenant.appointment(Role::ScopeHolder, "scope:api|discounts", "user:sarah").unwrap();
    world.tenant.give_role(&allowed, &world.env()).unwrap();
    let tokens = world.refresh("sales", &tokens.refresh_token.unwrap()).unwrap();
    assert_eq!(tokens.scope.as_deref(), Some("read discounts offline_access"));
    let only = world.code("sales", "sarah", &[("scope", "discounts")]);
    world.tenant.take_role(&allowed, &world.env()).unwrap();
    assert_eq!(rule(world.redeem("sales", &only)), "issue.scopes");
}

#[test]
fn details_are_of_types_that_the_client_may_ask_for_and_come_back() {
    let world = World::new();
    let details = r#"[{"type":"payment","amount":"5.00"}]"#;
    let code = world.code("crm", "sarah", &[("authorization_details", details), ("scope", "read")]);
    let tokens = world.redeem("crm", &code).unwrap();
    assert_eq!(tokens.authorization_details, [json!({"type": "payment", "amount": "5.00"})]);
    assert_eq!(world.examine(&tokens.access_token).unwrap().details(), tokens.authorization_details);
    let refused =
        world.tenant.take_request(&request("crm", &[("authorization_details", r#"[{"type":"x"}]"#)]), &world.env());
    assert_eq!(refused.unwrap_err().refusal().rule, "details.type");
}

#[test]
fn requests_are_judged_and_refused_to_the_right_one() {
    let world = World::new();
    let take = |more: &[(&str, &str)]| world.tenant.take_request(&request("crm", more), &world.env());
    for (more, expected) in [
        (("client_id", ""), "form.missing"),
        (("client_id", "unknown"), "request.client"),
        (("client_id", "a:b"), "request.client"),
        (("redirect_uri", "https://evil.example/cb"), "request.redirect_uri"),
        (("redirect_uri", "https://app.example/cb/"), "request.redirect_uri"),
        (("redirect_uri", ""), "request.redirect_uri"),
        (("request_uri", "urn:ietf:params:oauth:request_uri:x"), "request.uri"),
    ] {
        match take(&[more]) {
            Err(Refused::Page(refusal)) => assert_eq!(refusal.rule, expected, "{more:?}"),
            other => panic!("{more:?}: {other:?}"),
        }
    }
    for (more, code, expected) in [
        (("response_type", "token"), "unsupported_response_type", "request.response_type"),
        (("response_type", ""), "invalid_request", "form.missing"),
        (("response_mode", "fragment"), "invalid_request", "request.response_mode"),
        (("code_challenge", ""), "invalid_request", "request.pkce"),
        (("code_challenge", VERIFIER.get(..40).unwrap()), "invalid_request", "request.pkce"),
        (("code_challenge_method", "plain"), "invalid_request", "request.pkce"),
        (("code_challenge_method", ""), "invalid_request", "request.pkce"),
        (("scope", "openid unknown"), "invalid_scope", "scope.unknown"),
        (("scope", "a\"b"), "invalid_scope", "scope.form"),
        (("resource", "https://other.example/"), "invalid_target", "resource.unknown"),
        (("resource", "relative"), "invalid_target", "resource.form"),
        (("prompt", "none login"), "invalid_request", "request.prompt"),
        (("prompt", "dance"), "invalid_request", "request.prompt"),
        (("max_age", "-1"), "invalid_request", "request.max_age"),
        (("request", "e30.e30."), "request_not_supported", "request.object"),
        (("request_uri", "https://app.example/request"), "request_uri_not_supported", "request.uri"),
        (("registration", "{}"), "registration_not_supported", "request.registration"),
        (("authorization_details", "{}"), "invalid_authorization_details", "details.form"),
        (("id_token_hint", "x.y.z"), "invalid_request", "request.id_token_hint"),
    ] {
        match take(&[more]) {
            Err(Refused::Redirect(to, refusal)) => {
                assert_eq!(refusal.rule, expected, "{more:?}");
                assert!(to.starts_with("https://app.example/cb?"), "{to}");
                assert_eq!(parameter(&to, "error").as_deref(), Some(code), "{more:?}");
                assert_eq!(parameter(&to, "state").as_deref(), Some("the state"));
                assert_eq!(parameter(&to, "iss").as_deref(), Some("https://id.example/acme"));
            }
            other => panic!("{more:?}: {other:?}"),
        }
    }
    // Where the answer goes need not be said by a client with one place that asks for nothing of OpenID Connect.
    let one = Client { redirect_uris: strings(&[CALLBACK]), ..app("one") };
    world.tenant.create_client(&one, &world.env()).unwrap();
    let silent = |scope: &str| {
        world.tenant.take_request(&request("one", &[("redirect_uri", ""), ("scope", scope)]), &world.env())
    };
    assert_eq!(silent("openid").unwrap_err().refusal().rule, "request.redirect_uri");
    silent("read").unwrap();
    // The port of this machine is the application's choice.
    take(&[("redirect_uri", "http://127.0.0.1:49152/cb")]).unwrap();
}

#[test]
fn a_pushed_request_is_used_once_by_its_client() {
    let mut world = World::new();
    let caller = world.caller("crm");
    let push =
        |world: &World, more: &[(&str, &str)]| world.tenant.push_request(&caller, &request("crm", more), &world.env());
    assert_eq!(rule(push(&world, &[("redirect_uri", "https://evil.example/")])), "request.redirect_uri");
    assert_eq!(rule(push(&world, &[("request_uri", "urn:x")])), "request.uri");
    assert_eq!(rule(push(&world, &[("client_id", "sales")])), "client.differs");
    let (uri, life) = push(&world, &[]).unwrap();
    assert_eq!(life, 90);
    let use_it = |world: &World, client: &str, uri: &str| {
        let form = form(&[("client_id", client), ("request_uri", uri)]);
        world.tenant.take_request(&form, &world.env()).map_err(|refused| refused.refusal().rule)
    };
    assert_eq!(use_it(&world, "sales", &uri), Err("request.used"));
    let id = use_it(&world, "crm", &uri).unwrap();
    assert_eq!(world.tenant.request(&id, &world.env()).unwrap().redirect_uri, CALLBACK);
    // A page that is loaded again is another request, of which one is answered (RFC 9126 4).
    let reloaded = use_it(&world, "crm", &uri).unwrap();
    let reloaded = world.tenant.request(&reloaded, &world.env()).unwrap();
    let decided = Decided::Allowed { scopes: None };
    world.tenant.complete(&reloaded, &world.sign_in("sarah"), &decided, &world.env()).unwrap();
    assert_eq!(rule(world.tenant.request(&id, &world.env())), "request.over");
    assert_eq!(use_it(&world, "crm", &uri), Err("request.used"));
    let pushed = uri.strip_prefix(REQUEST_URI).unwrap();
    assert_eq!(rule(world.tenant.request(pushed, &world.env())), "request.over");
    let (late, _) = push(&world, &[]).unwrap();
    world.now += 90;
    assert_eq!(use_it(&world, "crm", &late), Err("request.expired"));
    let held = world.tenant.client("crm").unwrap();
    let strict = Client { require_pushed_requests: true, ..held.value.clone() };
    world.tenant.change_client(&held, &strict, &world.env()).unwrap();
    let refused = world.tenant.take_request(&request("crm", &[]), &world.env()).unwrap_err();
    assert_eq!(refused.refusal().rule, "request.pushed");
}

#[test]
fn what_a_request_needs_of_a_person() {
    let mut world = World::new();
    let session = world.sign_in("sarah");
    world.now += 100;
    let needs = |more: &[(&str, &str)], session: Option<&Held<Session>>| {
        let request = world.ask("crm", more);
        world.tenant.needs(&request, session.map(|held| &held.value), &world.env()).unwrap()
    };
    let step_up = || Need::StepUp("phr".into());
    assert_eq!(needs(&[], None), Need::SignIn);
    assert_eq!(needs(&[], Some(&session)), Need::Consent);
    assert_eq!(needs(&[("prompt", "login")], Some(&session)), Need::SignIn);
    assert_eq!(needs(&[("max_age", "99")], Some(&session)), Need::SignIn);
    assert_eq!(needs(&[("max_age", "0")], Some(&session)), Need::SignIn);
    assert_eq!(needs(&[("max_age", "100")], Some(&session)), Need::Consent);
    assert_eq!(needs(&[("acr_values", "phr aal2")], Some(&session)), step_up());
    assert_eq!(needs(&[("acr_values", "phr aal1")], Some(&session)), Need::Consent);
    let strong = world.sign_in_as("sarah", "phr");
    assert_eq!(needs(&[("acr_values", "aal2"), ("max_age", "1")], Some(&strong)), Need::Consent);
    // Once it is allowed it is not asked again, but for more, for details, or when the application wants it.
    let request = world.ask("crm", &[]);
    let early = world.tenant.complete(&request, &session, &Decided::NotAsked, &world.env());
    assert_eq!(rule(early), "request.needs");
    world.tenant.complete(&request, &session, &Decided::Allowed { scopes: None }, &world.env()).unwrap();
    assert_eq!(needs(&[], Some(&session)), Need::Nothing);
    assert_eq!(needs(&[("prompt", "consent")], Some(&session)), Need::Consent);
    assert_eq!(needs(&[("scope", "openid write")], Some(&session)), Need::Consent);
    assert_eq!(needs(&[("authorization_details", r#"[{"type":"payment"}]"#)], Some(&session)), Need::Consent);
    let again = world.tenant.complete(&request, &session, &Decided::NotAsked, &world.env());
    assert_eq!(rule(again), "request.over");
    let request = world.ask("crm", &[]);
    world.tenant.complete(&request, &session, &Decided::NotAsked, &world.env()).unwrap();
    let weak = world.ask("crm", &[("acr_values", "phr")]);
    let refused = world.tenant.complete(&weak, &session, &Decided::Allowed { scopes: None }, &world.env());
    assert_eq!(rule(refused), "request.needs");
}

#[test]
fn a_sign_in_is_new_when_it_came_after_the_request_or_was_for_it() {
    let mut world = World::new();
    let id = world.sign_in("sarah").id.clone();
    for asked in [("prompt", "login"), ("prompt", "select_account"), ("max_age", "0")] {
        let (first, second) = (world.ask("crm", &[asked]), world.ask("crm", &[asked]));
        let is_asked = |world: &World, request: &AuthRequest| {
            let session = world.tenant.held::<Session>(&[&id]).unwrap();
            world.tenant.needs(request, Some(&session), &world.env()).unwrap() == Need::SignIn
        };
        let show = |world: &World, request: Option<&AuthRequest>| {
            let held = world.tenant.held::<Session>(&[&id]).unwrap();
            let authentication = Authentication { at: world.now, ..held.authentication.clone() };
            let shown = Shown { authentication, request: request.map(|request| request.id.clone()) };
            world.tenant.authenticate_session(&held, shown, &world.env()).unwrap();
        };
        // All in one second: what was there when it came is not what it asked for, nor what was for something else.
        assert!(is_asked(&world, &first), "{asked:?}");
        show(&world, None);
        assert!(is_asked(&world, &first), "{asked:?}");
        show(&world, Some(&first));
        assert_eq!((is_asked(&world, &first), is_asked(&world, &second)), (false, true), "{asked:?}");
        let session = world.tenant.held::<Session>(&[&id]).unwrap();
        let all = Decided::Allowed { scopes: None };
        let early = world.tenant.complete(&second, &session, &all, &world.env());
        assert_eq!(rule(early), "request.needs", "{asked:?}");
        world.tenant.complete(&first, &session, &all, &world.env()).unwrap();
        // A second later it is known which was first, whatever it was for.
        world.now += 1;
        show(&world, None);
        assert!(!is_asked(&world, &second), "{asked:?}");
    }
}

#[test]
fn a_person_allows_a_part_or_nothing() {
    let world = World::new();
    let session = world.sign_in("sarah");
    let request = world.ask("crm", &[("scope", "openid read write")]);
    let some = Decided::Allowed { scopes: Some(strings(&["openid", "read", "discounts"])) };
    let to = world.tenant.complete(&request, &session, &some, &world.env()).unwrap();
    let tokens = world.redeem("crm", &parameter(&to, "code").unwrap()).unwrap();
    assert_eq!(tokens.scope.as_deref(), Some("openid read"));
    assert_eq!(
        (parameter(&to, "state").as_deref(), parameter(&to, "iss").as_deref()),
        (Some("the state"), Some(world.tenant.issuer()))
    );
    let request = world.ask("crm", &[]);
    let to = world.tenant.complete(&request, &session, &Decided::Denied, &world.env()).unwrap();
    assert_eq!((parameter(&to, "error").as_deref(), parameter(&to, "code")), (Some("access_denied"), None));
    assert_eq!(rule(world.tenant.request(&request.id, &world.env())), "request.over");
}

/// Whatever comes at the authorization endpoint is a request that can be answered, or is refused: to the client only when it is
/// known whose it is. In place of a fuzz target, because what is judged rests on records.
#[test]
fn any_request_is_answered() {
    use proptest::prelude::*;
    const NAMES: [&str; 17] = [
        "client_id",
        "redirect_uri",
        "response_type",
        "scope",
        "resource",
        "audience",
        "state",
        "nonce",
        "code_challenge",
        "acr_values",
        "max_age",
        "prompt",
        "request_uri",
        "id_token_hint",
        "authorization_details",
        "dpop_jkt",
        "response_mode",
    ];
    const VALUES: [&str; 14] = [
        "crm",
        CALLBACK,
        "http://127.0.0.1:1/cb",
        "code",
        "openid read",
        API,
        "login consent",
        "-1",
        "18446744073709551615",
        "urn:ietf:params:oauth:request_uri:AAAA",
        r#"[{"type":"payment"}]"#,
        "eyJ.e30.x",
        "query",
        "",
    ];
    let world = World::new();
    let value = prop_oneof![(0..VALUES.len()).prop_map(|n| VALUES[n].to_owned()), "\\PC{0,80}"];
    let pairs = proptest::collection::vec((0..NAMES.len(), value), 0..6);
    let config = ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() };
    let answered = std::cell::Cell::new(0);
    let each = |pairs: Vec<(usize, String)>| {
        let pairs: Vec<(&str, &str)> = pairs.iter().map(|(n, value)| (NAMES[*n], value.as_str())).collect();
        let env = Env { address: None, ..world.env() };
        match world.tenant.take_request(&request("crm", &pairs), &env) {
            Ok(id) => {
                let taken = world.tenant.request(&id, &env).unwrap();
                assert_eq!(taken.client, "crm");
                assert!(taken.redirect_uri == CALLBACK || taken.redirect_uri == "http://127.0.0.1:1/cb");
                answered.set(answered.get() + 1);
            }
            Err(Refused::Redirect(to, _)) => {
                assert!(to.starts_with(CALLBACK) || to.starts_with("http://127.0.0.1:1/cb"), "{to}");
                assert!(parameter(&to, "error").is_some() && parameter(&to, "iss").is_some(), "{to}");
            }
            Err(Refused::Page(refusal)) => assert_ne!(refusal.error, ErrorCode::ServerError, "{refusal}"),
        }
        Ok(())
    };
    proptest::test_runner::TestRunner::new(config).run(&pairs, each).unwrap();
    assert!(answered.get() > 0, "some are good");
}

/// Which scope it is that nobody knows is said, and not one that is right.
#[test]
fn of_several_scopes_the_wrong_one_is_named() {
    let world = World::new();
    let other = Resource {
        id: "files".into(),
        identifier: "https://files.example/".into(),
        name: "Files".into(),
        scopes: vec![Scope { name: "list".into(), description: "List".into(), checked: false }],
        created_at: START,
    };
    world.tenant.put_resource(&other, &world.env()).unwrap();
    let mut client = app("many");
    client.resources.push(other.identifier.clone());
    client.scopes.push("list".into());
    let client = world.tenant.create_client(&client, &world.env()).unwrap();
    let allowed = |scopes: &str| world.tenant.allowed(&client, Some(scopes), None).map_err(|r| (r.rule, r.description));
    for scopes in ["read nope", "nope read", "read write nope"] {
        let (rule, text) = allowed(scopes).unwrap_err();
        assert!(rule == "scope.unknown" && text.contains("`nope`"), "{scopes}: {text}");
    }
    assert_eq!(allowed("read list").unwrap_err().0, "resource.which");
    assert_eq!(allowed("read write").unwrap().1, [API]);
}
