//! Redeeming the assertion of another domain, and every trap on the way.

use super::*;
use std::sync::Mutex;

/// An assertion of the identity provider, fresh.
fn assertion(world: &World) -> String {
    let id = world.tokens("sales", "openid read").id_token.unwrap();
    world.assert_for("sales", &id, &[("scope", "sales.read")]).unwrap().access_token
}

/// The claims of a good assertion, to change.
fn good(world: &World) -> Value {
    Value::Object(claims(&assertion(world)))
}

/// Whatever claims, signed by the identity provider.
fn signed(world: &World, claims: &Value) -> String {
    world.idp.sign(ID_JAG_TYP, claims, &world.env()).unwrap()
}

/// The same as another assertion of what it was made from.
fn another(claims: &Value, id: impl std::fmt::Display) -> Value {
    let grant = claims["jti"].as_str().unwrap().split_once('.').unwrap().0;
    changed(claims, "jti", json!(format!("{grant}.{id}")))
}

fn changed(claims: &Value, name: &str, value: Value) -> Value {
    let mut claims = claims.clone();
    if value.is_null() {
        claims.as_object_mut().unwrap().remove(name);
    } else {
        claims[name] = value;
    }
    claims
}

// TX-2, TX-3, F-4.4
#[test]
fn an_assertion_becomes_a_token_that_says_who_acts_for_whom() {
    let mut world = World::new();
    let assertion = assertion(&world);
    world.now += 100;
    let answer = world.redeem(&assertion, &[("scope", "pricing:read")]).unwrap_or_else(|refusal| panic!("{refusal}"));
    assert_eq!((answer.token_type, answer.scope.as_deref()), ("Bearer", Some("pricing:read")));
    assert_eq!((answer.refresh_token, answer.id_token, answer.issued_token_type), (None, None, None));
    let said = claims(&answer.access_token);
    assert_eq!((&said["iss"], &said["sub"], &said["aud"]), (&json!(RAS), &json!("sarah"), &json!(PRICES)));
    assert_eq!(said["client_id"], "sales-there");
    assert_eq!(said["act"], json!({"sub": "sales-there", "act": {"sub": "sales", "iss": IDP}}));
    assert_eq!(
        (&said["auth_time"], &said["acr"], &said["amr"]),
        (&json!(START - 60), &json!("phr"), &json!(["hwk", "user"]))
    );
    let examined = world.ras.examine(&answer.access_token, TokenKind::Access, Some(PRICES), &world.env()).unwrap();
    assert_eq!((examined.grant.user(), examined.grant.by.as_str()), (Some("sarah"), JWT_BEARER));
    // Both sides know of it (AC-EX): by the id of the assertion.
    let (there, here) = (EventKind::ExchangeAllowed, EventKind::ExchangeAllowed);
    let (there, here) = (world.last(&world.ras, there), world.last(&world.idp, here));
    assert_eq!(Some(there.details()["assertion"].as_str()), here.get_token());
    assert_eq!((there.get_user(), there.get_agent()), (Some("user:sarah"), Some("agent:sales-there")));
    assert_eq!((there.get_actors(), &there.details()["issuer"]), (&strings(&["sales"])[..], &IDP.to_owned()));
    // It is of use there alone.
    assert_eq!(rule(world.examine(&answer.access_token)), "token.kid");
}

/// What ends at an identity provider that is a tenant here ends its assertions too.
#[test]
fn what_is_over_at_its_issuer_is_not_redeemed() {
    let over = |act: &dyn Fn(&World, &str)| {
        let world = World::new();
        let assertion = assertion(&world);
        let jti = claims(&assertion)["jti"].as_str().unwrap().to_owned();
        act(&world, jti.split_once('.').unwrap().0);
        world.redeem(&assertion, &[]).map_or_else(|refusal| refusal.rule, |_| "allowed")
    };
    assert_eq!(over(&|_, _| {}), "allowed");
    let suspend = |world: &World, subject| {
        world.idp.suspend(subject, true, None, &world.env()).unwrap();
    };
    assert_eq!(over(&|world, _| suspend(world, "agent:sales")), "redeem.over");
    assert_eq!(over(&|world, _| suspend(world, "user:sarah")), "redeem.over");
    assert_eq!(over(&|world, grant| world.idp.revoke_grant(grant, "test", &world.env()).unwrap()), "redeem.over");
    assert_eq!(over(&|world, _| world.idp.sign_out_everywhere("sarah", "test", &world.env()).unwrap()), "redeem.over");
}

/// The traps of ID-JAG: each claim, missing, wrong or of another form.
#[test]
fn a_claim_that_is_not_right_is_refused() {
    let mut world = World::new();
    let good = good(&world);
    world.now += 10;
    let long = "a".repeat(257);
    let deep = |actors| (1..actors).fold(json!({"sub": "a"}), |behind, _| json!({"sub": "a", "act": behind}));
    for (claim, value, expected) in [
        // For another server, for several, or for none.
        ("aud", json!("https://other.example"), "redeem.audience"),
        ("aud", json!(format!("{RAS}/")), "redeem.audience"),
        ("aud", json!([RAS, "https://other.example"]), "redeem.audience"),
        ("aud", json!([RAS, 1]), "redeem.audience"),
        ("aud", json!([]), "redeem.audience"),
        ("aud", Value::Null, "redeem.audience"),
        // For another client.
        ("client_id", json!("sales"), "redeem.client"),
        ("client_id", json!(["sales-there"]), "redeem.client"),
        ("client_id", Value::Null, "redeem.client"),
        // Of whom nobody trusts.
        ("iss", json!("https://evil.example"), "redeem.issuer"),
        ("iss", json!(format!("{IDP}/")), "redeem.issuer"),
        ("iss", json!([IDP]), "redeem.issuer"),
        ("iss", Value::Null, "redeem.issuer"),
        ("iss", json!(RAS), "redeem.own_issuer"),
        // Of another time.
        ("exp", json!(START - 100), "token.expired"),
        ("exp", Value::Null, "token.exp"),
        ("exp", json!("soon"), "token.exp"),
        ("exp", json!(START + 3_600), "token.life"),
        ("iat", json!(START + 60), "token.early"),
        ("iat", Value::Null, "redeem.iat"),
        ("iat", json!(START - 1_000), "token.life"),
        ("nbf", json!(START + 60), "token.early"),
        // Without a name, or for nobody.
        ("jti", Value::Null, "redeem.jti"),
        ("jti", json!(""), "redeem.jti"),
        ("jti", json!(7), "redeem.jti"),
        ("jti", json!(long), "redeem.jti"),
        ("sub", Value::Null, "redeem.sub"),
        ("sub", json!(""), "redeem.sub"),
        ("sub", json!("nobody"), "mapping.same"),
        ("sub", json!("user:sarah"), "mapping.same"),
        // Who acts is not guessed.
        ("act", json!("sales"), "act.form"),
        ("act", deep(7), "act.depth"),
        ("act", deep(5), "act.depth"),
        // More than was asserted, or of another form.
        ("scope", json!("pricing:admin"), "redeem.scopes"),
        ("scope", json!(["pricing:read"]), "redeem.scope"),
        ("scope", json!("a\"b"), "redeem.scope"),
        ("resource", json!("https://pricing.example/other"), "redeem.resources"),
        ("resource", json!([PRICES, "https://pricing.example/other"]), "redeem.resources"),
        ("resource", json!([1]), "redeem.resource"),
        ("resource", json!(1), "redeem.resource"),
        // Bound to a key that is not proved, or in a way that cannot be.
        ("cnf", json!({"jkt": "A"}), "redeem.dpop"),
        ("cnf", json!({"x5t#S256": "A"}), "redeem.certificate"),
        ("cnf", json!({"kid": "A"}), "redeem.cnf"),
        ("cnf", json!({}), "redeem.cnf"),
        ("cnf", json!({"jkt": "A", "x5t#S256": "A"}), "redeem.dpop"),
        ("cnf", json!({"jkt": "A", "kid": "A"}), "redeem.cnf"),
        ("cnf", json!("A"), "redeem.cnf"),
    ] {
        let answer = world.redeem(&signed(&world, &changed(&good, claim, value.clone())), &[]);
        let (rule, code) = refused(answer);
        assert_eq!(rule, expected, "{claim}: {value}");
        let of_what = match rule {
            "redeem.scopes" => "invalid_scope",
            "redeem.resources" => "invalid_target",
            _ => "invalid_grant",
        };
        assert_eq!(code, of_what, "{claim}: {value}");
        let event = world.last(&world.ras, EventKind::ExchangeRefused);
        assert_eq!((event.get_reason(), event.get_client()), (Some(expected), Some("agent:sales-there")));
    }
    // None of it used the assertion up.
    world.redeem(&signed(&world, &good), &[]).unwrap();
}

#[test]
fn only_the_type_makes_an_assertion() {
    let world = World::new();
    let (good, env) = (good(&world), world.env());
    let tokens = world.tokens("sales", "openid read");
    for other in [&tokens.access_token, &tokens.id_token.unwrap()] {
        assert_eq!(refused(world.redeem(other, &[])), ("redeem.typ", "invalid_grant"));
    }
    for typ in ["JWT", "at+jwt", "logout+jwt", "", "oauth-id-jag", "OAUTH-ID-JAG+JWT"] {
        let token = world.idp.sign(typ, &good, &env).unwrap();
        assert_eq!(refused(world.redeem(&token, &[])), ("redeem.typ", "invalid_grant"), "{typ}");
    }
    assert_eq!(refused(world.redeem("no.token", &[])), ("token.form", "invalid_grant"));
    assert_eq!(rule(world.redeem(&"a".repeat(TOKEN_BYTES_MAX + 1), &[])), "token.form");
    assert_eq!(rule(world.redeem("", &[])), "form.missing");
}

/// `alg` none, a MAC with the public key, another key, another body.
#[test]
fn only_the_keys_of_the_issuer_sign() {
    let world = World::new();
    let token = assertion(&world);
    let kid = unverified_header(&token).unwrap()["kid"].clone();
    let parts: Vec<&str> = token.split('.').collect();
    let header = |header: Value| encode(header.to_string().as_bytes());
    let evil = changed(&good(&world), "scope", json!("pricing:write"));
    let evil = encode(evil.to_string().as_bytes());
    let (none, hmac) = (
        header(json!({"alg": "none", "typ": ID_JAG_TYP, "kid": kid})),
        header(json!({"alg": "HS256", "typ": ID_JAG_TYP, "kid": kid})),
    );
    let jwk = Signer::new("k").jwks()["keys"][0].clone();
    let own_key = header(json!({"alg": "ES256", "typ": ID_JAG_TYP, "jwk": jwk}));
    let crit = header(json!({"alg": "ES256", "typ": ID_JAG_TYP, "kid": kid, "crit": ["exp"]}));
    let public = world.idp.jwks(&world.env()).unwrap()["keys"][0]["x"].as_str().unwrap().to_owned();
    let mac = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, public.as_bytes());
    let mac = encode(aws_lc_rs::hmac::sign(&mac, format!("{hmac}.{}", parts[1]).as_bytes()).as_ref());
    let other = Signer::new("other").sign(json!({"alg": "ES256", "typ": ID_JAG_TYP}), &good(&world));
    for (token, expected) in [
        (format!("{none}.{}.", parts[1]), "token.algorithm"),
        (format!("{none}.{}.{}", parts[1], parts[2]), "token.algorithm"),
        (format!("{hmac}.{}.{mac}", parts[1]), "token.algorithm"),
        (format!("{}.{evil}.{}", parts[0], parts[2]), "token.signature"),
        (format!("{}.{}.", parts[0], parts[1]), "token.signature"),
        (format!("{own_key}.{}.{}", parts[1], parts[2]), "token.signature"),
        (format!("{crit}.{}.{}", parts[1], parts[2]), "token.crit"),
        (other, "token.kid"),
        // The keys of this tenant itself.
        (world.ras.sign(ID_JAG_TYP, &good(&world), &world.env()).unwrap(), "token.kid"),
    ] {
        assert_eq!(refused(world.redeem(&token, &[])), (expected, "invalid_grant"), "{token}");
    }
}

/// A server redeems nothing that it made itself: in a domain of one, token exchange is the way.
#[test]
fn an_assertion_of_its_own_is_refused_in_the_same_domain() {
    let world = World::new();
    let own = changed(&good(&world), "aud", json!(IDP));
    let token = world.idp.sign(ID_JAG_TYP, &changed(&own, "client_id", json!("sales")), &world.env()).unwrap();
    let form = form(&[("assertion", token.as_str())]);
    let caller = world.caller(&world.idp, "sales");
    let answer = IdentityAssertion::new(Arc::new(NoKeys)).redeem(&world.idp, &caller, &form, &world.env());
    assert_eq!(refused(answer), ("redeem.own_issuer", "invalid_grant"));
    let itself = TrustedIssuer { issuer: IDP.into(), ..row() };
    assert_eq!(rule(trust(&world.idp, &itself, &world.env())), "trust.own_issuer");
}

#[test]
fn an_assertion_is_redeemed_once_or_until_it_ends() {
    let mut world = World::new();
    let token = assertion(&world);
    world.redeem(&token, &[]).unwrap();
    assert_eq!(refused(world.redeem(&token, &[])), ("redeem.replayed", "invalid_grant"));
    // One that is signed anew with the same id is the same.
    assert_eq!(rule(world.redeem(&signed(&world, &Value::Object(claims(&token))), &[])), "redeem.replayed");
    let two = assertion(&world);
    let good = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| world.redeem(&two, &[]))).collect();
        let answers: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        let bad = answers.iter().filter_map(|answer| answer.as_ref().err());
        assert!(bad.into_iter().all(|refusal| refusal.rule == "redeem.replayed"));
        answers.iter().filter(|answer| answer.is_ok()).count()
    });
    assert_eq!(good, 1);
    trust(&world.ras, &TrustedIssuer { replay: Replay::UntilExpiry, ..row() }, &world.env()).unwrap();
    let third = assertion(&world);
    for _ in 0..3 {
        world.redeem(&third, &[]).unwrap();
    }
    world.now += 300 + SKEW_S;
    assert_eq!(rule(world.redeem(&third, &[])), "token.expired");
    // What was used is forgotten when it can no longer be of use.
    while world.ras.sweep(EXCHANGE, &world.env()).unwrap() > 0 {}
    world.now += 2 * 24 * 3_600;
    assert!(world.ras.sweep(EXCHANGE, &world.env()).unwrap() > 0);
}

#[test]
fn the_row_says_who_may_bring_what_for_what() {
    let world = World::new();
    let env = world.env();
    let with_row = |change: TrustedIssuer| trust(&world.ras, &change, &world.env()).unwrap();
    with_row(TrustedIssuer { clients: strings(&["sales-there"]), ..row() });
    world.redeem(&assertion(&world), &[]).unwrap();
    let other = Client { id: "other".into(), ..world.ras.client("sales-there").unwrap().value.clone() };
    world.ras.create_client(&other, &env).unwrap();
    with_row(TrustedIssuer { clients: strings(&["other"]), ..row() });
    assert_eq!(rule(world.redeem(&assertion(&world), &[])), "redeem.client_row");
    // Whoever steals one cannot bring it.
    with_row(row());
    assert_eq!(rule(world.redeem_as(&world.caller(&world.ras, "other"), &assertion(&world), &[])), "redeem.client");
    // Scopes are those asked for, of those asserted, of those of the row, of those of the client.
    let all = changed(&good(&world), "scope", json!("pricing:read pricing:write pricing:admin"));
    let redeem = |n: u32, more: &[(&str, &str)]| {
        let token = signed(&world, &another(&all, n));
        world.redeem(&token, more)
    };
    assert_eq!(redeem(1, &[]).unwrap().scope.as_deref(), Some("pricing:read pricing:write"));
    let event = world.last(&world.ras, EventKind::ExchangeAllowed);
    assert_eq!(event.details()["left_out"], "pricing:admin");
    let less = redeem(2, &[("scope", "pricing:write pricing:admin")]).unwrap();
    assert_eq!(less.scope.as_deref(), Some("pricing:write"));
    assert_eq!(refused(redeem(3, &[("scope", "pricing:admin")])), ("redeem.scopes", "invalid_scope"));
    assert_eq!(refused(redeem(3, &[("scope", "openid")])), ("redeem.scopes", "invalid_scope"));
    with_row(TrustedIssuer { scopes: pairs(&[("pricing:admin", "pricing:read")]), ..row() });
    assert_eq!(redeem(4, &[]).unwrap().scope.as_deref(), Some("pricing:read"), "in the words of this domain");
    // They may be asked for in these, or in those of the assertion; what both know means what it means here.
    let asked = |n, scope: &str| redeem(n, &[("scope", scope)]).map(|answer| answer.scope.unwrap());
    assert_eq!(asked(21, "pricing:read").unwrap(), "pricing:read");
    assert_eq!(asked(22, "pricing:admin").unwrap(), "pricing:read");
    assert_eq!(refused(asked(23, "pricing:write")), ("redeem.scopes", "invalid_scope"));
    let crossed = [("pricing:read", "pricing:write"), ("pricing:write", "pricing:read")];
    with_row(TrustedIssuer { scopes: pairs(&crossed), ..row() });
    assert_eq!(asked(24, "pricing:read").unwrap(), "pricing:read");
    assert_eq!(asked(25, "pricing:read pricing:write").unwrap(), "pricing:write pricing:read");
    with_row(row());
    let held = world.ras.client("sales-there").unwrap();
    let client = Client { scopes: strings(&["pricing:read"]), ..held.value.clone() };
    world.ras.change_client(&held, &client, &env).unwrap();
    assert_eq!(redeem(5, &[]).unwrap().scope.as_deref(), Some("pricing:read"));
    // Resources, in the same way.
    assert_eq!(refused(redeem(6, &[("resource", "https://x.example/")])), ("redeem.resources", "invalid_target"));
    assert_eq!(claims(&redeem(6, &[("resource", PRICES)]).unwrap().access_token)["aud"], PRICES);
    let details = redeem(7, &[("authorization_details", r#"[{"type": "payment"}]"#)]);
    assert_eq!(refused(details), ("redeem.details", "invalid_authorization_details"));
    with_row(TrustedIssuer { life_max_s: 60, ..row() });
    assert_eq!(rule(redeem(8, &[])), "token.life");
    with_row(TrustedIssuer { access_token_s: Some(30), ..row() });
    assert_eq!(redeem(8, &[]).unwrap().expires_in, 30);
    with_row(TrustedIssuer { access_token_s: Some(100_000), ..row() });
    assert_eq!(redeem(9, &[]).unwrap().expires_in, 600);
    with_row(TrustedIssuer { resources: Vec::new(), ..row() });
    let bare = another(&changed(&all, "resource", Value::Null), "bare");
    assert_eq!(rule(world.redeem(&signed(&world, &bare), &[])), "redeem.resources");
}

// TX-4
#[test]
fn who_is_no_longer_trusted_is_refused_and_what_they_gave_is_revoked() {
    let world = World::new();
    let tokens: Vec<String> = (0..3).map(|_| world.redeem(&assertion(&world), &[]).unwrap().access_token).collect();
    let next = assertion(&world);
    let examine = |token| world.ras.examine(token, TokenKind::Access, None, &world.env());
    tokens.iter().for_each(|token| drop(examine(token).unwrap()));
    assert_eq!(distrust(&world.ras, IDP, &world.env()).unwrap(), 3);
    for token in &tokens {
        assert_eq!(rule(examine(token)), "grant.revoked");
    }
    assert_eq!(refused(world.redeem(&next, &[])), ("redeem.issuer", "invalid_grant"));
    assert_eq!(rule(distrust(&world.ras, IDP, &world.env())), "not_found");
    trust(&world.ras, &row(), &world.env()).unwrap();
    world.redeem(&next, &[]).unwrap();
    // Suspending either side's client, or the person, is in force at once.
    let last = world.redeem(&assertion(&world), &[]).unwrap().access_token;
    world.ras.suspend("user:sarah", true, None, &world.env()).unwrap();
    assert_eq!(rule(examine(&last)), "user.signed_out");
    assert_eq!(rule(world.redeem(&assertion(&world), &[])), "user.inactive");
}

#[test]
fn an_assertion_that_is_bound_to_a_key_needs_the_proof() {
    let world = World::new();
    let id = world.tokens("sales", "openid read").id_token.unwrap();
    let jkt = "A".repeat(43);
    let bound = Caller { jkt: Some(jkt.clone()), ..world.caller(&world.idp, "sales") };
    let pairs = [
        ("subject_token", id.as_str()),
        ("subject_token_type", ID),
        ("requested_token_type", ID_JAG),
        ("audience", RAS),
    ];
    let token = world.exchange_of(&bound, &pairs).unwrap().access_token;
    assert_eq!(refused(world.redeem(&token, &[])), ("redeem.dpop", "invalid_grant"));
    let there = Caller { jkt: Some(jkt.clone()), ..world.caller(&world.ras, "sales-there") };
    let answer = world.redeem_as(&there, &token, &[]).unwrap();
    assert_eq!((answer.token_type, &claims(&answer.access_token)["cnf"]), ("DPoP", &json!({ "jkt": jkt })));
}

#[test]
fn who_the_person_is_here_is_the_rows_to_say() {
    let world = World::new();
    let env = world.env();
    let with_row = |subject, create_users| {
        trust(&world.ras, &TrustedIssuer { subject, create_users, ..row() }, &world.env()).unwrap();
    };
    let redeem = |more: &[(&str, Value)]| -> Answer<String> {
        let mut claims = good(&world);
        for (name, value) in more {
            claims[*name] = value.clone();
        }
        let answer = world.redeem(&signed(&world, &claims), &[])?;
        Ok(super::claims(&answer.access_token)["sub"].as_str().unwrap().to_owned())
    };
    let profile = |value: Value| value.as_object().unwrap().clone();
    // By a link, which is of this issuer.
    with_row(SubjectMapping::Linked, false);
    assert_eq!(refused(redeem(&[])), ("mapping.linked", "invalid_grant"));
    let link = |issuer: &str, subject: &str| {
        let identity = UpstreamIdentity { issuer: issuer.into(), subject: subject.into(), provider: None };
        let data = serde_json::to_vec(&identity).unwrap();
        world.ras.add_credential("sarah", CredentialKind::Upstream, "acme", &data, &world.env()).unwrap();
    };
    link("https://other.example", "sarah");
    assert_eq!(rule(redeem(&[])), "mapping.linked");
    link(IDP, "sarah");
    assert_eq!(redeem(&[]).unwrap(), "sarah");
    // By our id, which the other side keeps.
    with_row(SubjectMapping::AudSub, false);
    assert_eq!(rule(redeem(&[])), "mapping.aud_sub");
    assert_eq!(rule(redeem(&[("aud_sub", json!("nobody"))])), "mapping.aud_sub");
    assert_eq!(rule(redeem(&[("aud_sub", json!("a/b"))])), "mapping.aud_sub");
    assert_eq!(redeem(&[("aud_sub", json!("sarah")), ("sub", json!("s-77"))]).unwrap(), "sarah");
    // By who they are at a third that both know, or here (RFC 9493).
    with_row(SubjectMapping::SubId, false);
    let sub_id = |value: Value| redeem(&[("sub_id", value), ("sub", json!("s-77"))]);
    let named = |iss: &str, sub: &str| json!({"format": "iss_sub", "iss": iss, "sub": sub});
    assert_eq!(rule(redeem(&[])), "mapping.sub_id");
    for nobody in [
        named("https://other.example", "nobody"),
        named("https://third.example", "sarah"),
        named(RAS, "nobody"),
        named(RAS, "a/b"),
        json!({"format": "opaque", "id": "sarah"}),
        json!({"format": "email", "email": "sarah@example.com"}),
        json!({"format": "iss_sub", "iss": RAS, "sub": ["sarah"]}),
        json!({"format": "iss_sub", "iss": RAS, "sub": "sarah", "more": 1}),
        json!("sarah"),
    ] {
        assert_eq!(rule(sub_id(nobody.clone())), "mapping.sub_id", "{nobody}");
    }
    assert_eq!(sub_id(named("https://other.example", "sarah")).unwrap(), "sarah");
    assert_eq!(sub_id(named(RAS, "sarah")).unwrap(), "sarah");
    // By an address that both sides have verified.
    with_row(SubjectMapping::Email, false);
    let email = |email: &str, verified: Value| redeem(&[("email", json!(email)), ("email_verified", verified)]);
    assert_eq!(rule(redeem(&[])), "mapping.email.unverified");
    assert_eq!(rule(email("sarah@example.com", json!(false))), "mapping.email.unverified");
    assert_eq!(rule(email("sarah@example.com", json!("true"))), "mapping.email.unverified");
    assert_eq!(rule(email("nobody@example.com", json!(true))), "mapping.email");
    assert_eq!(email("SARAH@example.com", json!(true)).unwrap(), "sarah");
    world.ras.create_user(Some("mallory"), &["ceo@example.com"], profile(json!({})), &env).unwrap();
    assert_eq!(rule(email("ceo@example.com", json!(true))), "mapping.email.unverified_here");
    let unverified = profile(json!({"email": "cfo@example.com"}));
    world.ras.create_user(Some("eve"), &["cfo@example.com"], unverified, &env).unwrap();
    assert_eq!(rule(email("cfo@example.com", json!(true))), "mapping.email.unverified_here");
    assert_eq!(world.ras.users(None, 100).unwrap().len(), 3, "nobody was made up");
}

#[test]
fn somebody_new_is_created_only_where_the_row_says_so() {
    let world = World::new();
    let with_row = |subject| {
        trust(&world.ras, &TrustedIssuer { subject, create_users: true, ..row() }, &world.env()).unwrap();
    };
    let redeem = |more: &[(&str, Value)]| -> Answer<String> {
        let mut claims = good(&world);
        for (name, value) in more {
            claims[*name] = value.clone();
        }
        let answer = world.redeem(&signed(&world, &claims), &[])?;
        Ok(super::claims(&answer.access_token)["sub"].as_str().unwrap().to_owned())
    };
    let told = |user: &str| {
        events(&world.ras).iter().filter(|e| e.kind() == EventKind::UserCreated && e.get_user() == Some(user)).count()
    };
    with_row(SubjectMapping::Linked);
    let new = redeem(&[("sub", json!("auth0|5f7c8ec7"))]).unwrap();
    assert_eq!(redeem(&[("sub", json!("auth0|5f7c8ec7"))]).unwrap(), new);
    assert_ne!(redeem(&[("sub", json!("auth0|other"))]).unwrap(), new);
    assert_eq!(told(&format!("user:{new}")), 1);
    // Two at once make one.
    let subs: Vec<String> = std::thread::scope(|scope| {
        let one = || redeem(&[("sub", json!("both"))]).unwrap();
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(one)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(subs.iter().all(|sub| *sub == subs[0]), "{subs:?}");
    // Who was deleted does not come back.
    world.ras.delete_user(&new, &world.env()).unwrap();
    assert_eq!(rule(redeem(&[("sub", json!("auth0|5f7c8ec7"))])), "mapping.gone");
    with_row(SubjectMapping::Same);
    assert_eq!(redeem(&[("sub", json!("bob"))]).unwrap(), "bob");
    assert_eq!(rule(redeem(&[("sub", json!(new))])), "mapping.same");
    assert_eq!(rule(redeem(&[("sub", json!("auth0|bob"))])), "mapping.same");
    with_row(SubjectMapping::Email);
    let email = [("email", json!("Ann@example.com")), ("email_verified", json!(true))];
    let ann = redeem(&email).unwrap();
    assert_eq!(redeem(&email).unwrap(), ann);
    assert_eq!(world.ras.user(&ann).unwrap().logins, ["ann@example.com"]);
    world.ras.create_user(Some("mallory"), &["ceo@example.com"], Map::new(), &world.env()).unwrap();
    let ceo = [("email", json!("ceo@example.com")), ("email_verified", json!(true))];
    assert_eq!(rule(redeem(&ceo)), "mapping.email.unverified_here");
}

/// Keys at a URL: an old set that is kept, and a fresh one.
struct Kept {
    kept: Value,
    fresh: Value,
    asked: Mutex<Vec<(String, bool)>>,
}

impl KeySource for Kept {
    fn jwks(&self, _: u32, uri: &str, fresh: bool) -> Answer<Arc<Value>> {
        self.asked.lock().unwrap().push((uri.to_owned(), fresh));
        Ok(Arc::new(if fresh { self.fresh.clone() } else { self.kept.clone() }))
    }
}

// TX-4: a rollover of keys survives.
#[test]
fn keys_of_others_come_from_the_row_and_are_asked_for_anew_when_they_changed() {
    let world = World::new();
    let (old, new) = (Signer::new("old"), Signer::new("new"));
    let foreign = "https://okta.example";
    let uri = "https://okta.example/keys";
    let mut claims = changed(&good(&world), "iss", json!(foreign));
    let mut token = |signer: &Signer, jti: &str| {
        claims["jti"] = jti.into();
        claims["jku"] = "https://evil.example/keys".into();
        signer.sign(json!({"alg": "ES256", "typ": ID_JAG_TYP, "jku": "https://evil.example/keys"}), &claims)
    };
    let keys = Arc::new(Kept { kept: old.jwks(), fresh: new.jwks(), asked: Mutex::default() });
    let caller = world.caller(&world.ras, "sales-there");
    let redeem = |token: &str| {
        let form = form(&[("assertion", token)]);
        IdentityAssertion::new(keys.clone()).redeem(&world.ras, &caller, &form, &world.env())
    };
    let with_keys = |keys| {
        trust(&world.ras, &TrustedIssuer { issuer: foreign.into(), keys, ..row() }, &world.env()).unwrap();
    };
    with_keys(IssuerKeys::JwksUri(uri.into()));
    redeem(&token(&old, "1")).unwrap();
    redeem(&token(&new, "2")).unwrap();
    let asked = std::mem::take(&mut *keys.asked.lock().unwrap());
    let expected = [(uri.to_owned(), false), (uri.to_owned(), false), (uri.to_owned(), true)];
    assert_eq!(asked, expected);
    assert_eq!(rule(redeem(&token(&Signer::new("third"), "3"))), "token.kid");
    assert_eq!(rule(redeem(&token(&Signer::new("old"), "4"))), "token.signature");
    with_keys(IssuerKeys::Jwks(new.jwks()));
    redeem(&token(&new, "5")).unwrap();
    assert_eq!(rule(redeem(&token(&old, "6"))), "token.kid");
    with_keys(IssuerKeys::Here);
    assert_eq!(refused(redeem(&token(&new, "7"))), ("redeem.keys", "temporarily_unavailable"));
    // A tenant of this process is found here, also after it has changed its keys.
    let before = assertion(&world);
    world.idp.replace_keys(&world.env()).unwrap();
    assert_eq!(rule(world.redeem(&before, &[])), "token.kid");
    world.redeem(&assertion(&world), &[]).unwrap();
}

#[test]
fn an_issuer_asserts_no_more_of_an_authentication_than_its_row_lets_it() {
    let world = World::new();
    let n = std::cell::Cell::new(10);
    let said = |most: Option<&str>, change: (&str, Value)| {
        trust(&world.ras, &TrustedIssuer { acr_max: most.map(str::to_owned), ..row() }, &world.env()).unwrap();
        n.set(n.get() + 1);
        let mut asserted = another(&good(&world), n.get());
        asserted[change.0] = change.1;
        let said = super::claims(&world.redeem(&signed(&world, &asserted), &[]).unwrap().access_token);
        ["acr", "auth_time", "amr"].map(|claim| said.get(claim).cloned().unwrap_or_default())
    };
    let acr = |most, asserted: &str| said(Some(most), ("acr", asserted.into()))[0].clone();
    assert_eq!(said(None, ("acr", "phr".into())), [Value::Null, Value::Null, Value::Null]);
    assert_eq!(
        (acr("phr", "phr"), acr("aal2", "phr"), acr("aal1", "phr")),
        (json!("phr"), json!("aal2"), json!("aal1"))
    );
    assert_eq!(
        (acr("phr", "aal1"), acr("aal2", "aal1"), acr("phr", "urn:theirs")),
        (json!("aal1"), json!("aal1"), json!("0"))
    );
    // Nobody was authenticated after the assertion of it was made.
    assert_eq!(said(Some("phr"), ("auth_time", (START + 3_600).into())), [Value::Null, Value::Null, Value::Null]);
}

#[test]
fn without_scopes_and_times_of_the_issuer_there_are_none() {
    let world = World::new();
    let mut claims = good(&world);
    for gone in ["scope", "auth_time", "acr", "amr", "act"] {
        claims.as_object_mut().unwrap().remove(gone);
    }
    let answer = world.redeem(&signed(&world, &claims), &[]).unwrap();
    assert_eq!(answer.scope, None);
    let said = super::claims(&answer.access_token);
    for claim in ["scope", "auth_time", "acr", "amr"] {
        assert!(said.get(claim).is_none(), "{claim}");
    }
    assert_eq!(said["act"], json!({"sub": "sales-there"}));
    let asked = world.redeem(&signed(&world, &another(&claims, 2)), &[("scope", "pricing:read")]);
    assert_eq!(refused(asked), ("redeem.scopes", "invalid_scope"));
}
