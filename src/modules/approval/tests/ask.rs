//! What a client may ask, and how it is refused (CIBA 7, 13).

use super::*;

#[test]
fn a_good_request_is_answered_with_an_id_that_cannot_be_guessed() {
    let world = World::new();
    let asked = world.ask(&[]).unwrap();
    assert_eq!((asked.expires_in, asked.interval), (300, 5));
    assert!(
        asked.auth_req_id.len() > 60
            && asked.auth_req_id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    );
    let record = world.record(&asked);
    assert!(!serde_json::to_string(&record.value).unwrap().contains(asked.auth_req_id.split_once('.').unwrap().1));
    assert_eq!((record.user.as_str(), record.asks.as_str()), ("sarah", "agent:sales"));
    assert_eq!(record.shown.scopes[0].value, "email:send in your name");
    let event = world.newest("approval.asked");
    assert_eq!((event.get_user(), event.get_agent()), (Some("user:sarah"), Some("agent:sales")));
    assert_eq!(event.details()["shown"], record.shown_hash);
    assert_eq!(event.details()["who"], "subject");
}

#[test]
fn requests_that_are_not_right_are_refused_with_the_codes_of_the_standard() {
    let world = World::new();
    let long = "x".repeat(BINDING_MESSAGE_CHARS_MAX + 1);
    let foreign = r#"{"format": "iss_sub", "iss": "https://other.example/", "sub": "sarah"}"#;
    let details = json!([detail("5")]).to_string();
    for (other, expected) in [
        // CIBA 7.1: exactly one hint.
        (vec![("login_hint", "")], "invalid_request"),
        // fapi-ciba-id1-ensure-authorization-request-with-multiple-hints-fails
        (vec![("login_hint_token", "x")], "invalid_request"),
        (vec![("id_token_hint", "x")], "invalid_request"),
        (vec![("login_hint", ""), ("id_token_hint", "x")], "invalid_request"),
        (vec![("login_hint", ""), ("login_hint_token", "x")], "invalid_request"),
        (vec![("login_hint", "nobody@example.com")], "unknown_user_id"),
        (vec![("login_hint", foreign)], "unknown_user_id"),
        (vec![("login_hint", "{x")], "invalid_request"),
        (vec![("login_hint", r#"{"format": "phone", "phone": "1"}"#)], "invalid_request"),
        (vec![("login_hint", r#"{"format": "opaque", "id": "a:b"}"#)], "unknown_user_id"),
        (vec![("scope", "")], "invalid_request"),
        (vec![("scope", "email:send")], "invalid_scope"),
        (vec![("scope", "openid offline_access")], "invalid_scope"),
        (vec![("scope", "openid unknown")], "invalid_scope"),
        (vec![("resource", "https://unknown.example/")], "invalid_target"),
        (vec![("binding_message", &long)], "invalid_binding_message"),
        (vec![("binding_message", "pay\u{202e}me")], "invalid_binding_message"),
        (vec![("binding_message", "two\nlines")], "invalid_binding_message"),
        // fapi-ciba-id1-ensure-requested-expiry-zero-fails-for-brazil, -negative-fails-for-brazil
        (vec![("requested_expiry", "0")], "invalid_request"),
        (vec![("requested_expiry", "-30")], "invalid_request"),
        (vec![("requested_expiry", "soon")], "invalid_request"),
        (vec![("authorization_details", "[]")], "invalid_authorization_details"),
        (vec![("authorization_details", r#"[{"type": "unknown"}]"#)], "invalid_authorization_details"),
        (vec![("authorization_details", r#"[{"type": "payment"}]"#)], "invalid_authorization_details"),
        (vec![("authorization_details", &details.replace("\"5\"", "5"))], "invalid_authorization_details"),
        (vec![("authorization_details", &details.replace("currency", "money"))], "invalid_authorization_details"),
        (vec![("request_uri", "urn:x")], "invalid_request"),
    ] {
        assert_eq!(error(world.ask(&other)), expected, "{other:?}");
    }
    assert_eq!(error(world.ask_as("sales", &pairs(&[]))), "invalid_request");
    // fapi-ciba-id1-ensure-authorization-request-with-potentially-bad-binding-message: taken, or refused by its code.
    let odd = world.ask(&[("binding_message", "1234 👍🏿 𝟷𝟸𝟹𝟺 你好")]);
    assert_eq!(error(odd), "allowed");
    // fapi-ciba-id1-ensure-authorization-request-with-binding-message-succeeds
    world.ask(&[("binding_message", "1234")]).unwrap();
    // fapi-ciba-id1-ensure-other-scope-order-succeeds
    world.ask(&[("scope", "email:send openid")]).unwrap();
}

#[test]
fn hints_lead_to_one_person_in_the_forms_that_clients_send() {
    let world = World::new();
    for hint in [
        "SARAH@example.com",
        // Auth0's SDKs: with a slash at the end, whatever the issuer has.
        r#"{"format": "iss_sub", "iss": "https://id.example/acme/", "sub": "sarah"}"#,
        r#"{"format": "iss_sub", "iss": "https://id.example/acme", "sub": "sarah"}"#,
        r#"{"format": "opaque", "id": "sarah"}"#,
        r#" {"format": "email", "email": "sarah@example.com"}"#,
    ] {
        let asked = world.ask(&[("login_hint", hint)]).unwrap();
        assert_eq!(world.record(&asked).user, "sarah", "{hint}");
    }
    world.tenant.suspend("user:sarah", true, None, &world.env()).unwrap();
    assert_eq!(error(world.ask(&[])), "unknown_user_id");
}

#[test]
fn the_time_to_decide_is_as_asked_up_to_a_bound() {
    let world = World::new();
    assert_eq!(world.ask(&[("requested_expiry", "30")]).unwrap().expires_in, 30);
    // fapi-ciba-id1-ensure-requested-expiry-above-maximum-is-capped-for-brazil
    assert_eq!(world.ask(&[("requested_expiry", "99999999")]).unwrap().expires_in, 7 * 24 * 3_600);
}

#[test]
fn only_clients_that_show_who_they_are_and_may_ask_do() {
    let world = World::new();
    let plain = Client { grant_types: vec![], ..world.tenant.client("sales").unwrap().value.clone() };
    world.tenant.create_client(&Client { id: "plain".into(), ..plain.clone() }, &world.env()).unwrap();
    assert_eq!(error(world.ask_as("plain", &form(&[]))), "unauthorized_client");
    let public = Client {
        id: "public".into(),
        auth_methods: vec![AuthMethod::None],
        keys: None,
        grant_types: vec![CIBA_GRANT.into()],
        ..plain
    };
    world.tenant.create_client(&public, &world.env()).unwrap();
    assert_eq!(error(world.ask_as("public", &form(&[]))), "unauthorized_client");
}

#[test]
fn a_client_does_not_flood_a_person() {
    let mut world = World::new();
    for _ in 0..32 {
        world.ask(&[("requested_expiry", "86400")]).unwrap();
        world.now += u64::from(ASKS_IN_VAIN.period_ms / 1_000);
    }
    let refused = world.ask(&[]).unwrap_err();
    assert_eq!((refused.rule, refused.retry_after_s), ("ask.open", Some(30)));
    world.ask(&[("login_hint", "olga@example.com")]).unwrap();
    world.ask_as("other", &form(&[])).unwrap();
}

/// As many as may be open at once may be asked for: what still waits was not in vain yet.
#[test]
fn as_many_wait_as_may_be_open() {
    let mut world = World::new();
    for _ in 0..32 {
        world.ask(&[("requested_expiry", "86400")]).unwrap();
        world.now += u64::from(ASKS_OF_PERSON.period_ms / 1_000);
    }
    assert_eq!(rule(world.ask(&[])), "ask.open");
}

#[test]
fn who_is_not_told_yes_asks_less_and_less() {
    let mut world = World::new();
    let refused =
        |world: &World| world.events().into_iter().filter(|e| e.get_reason() == Some("rate.asks_in_vain")).count();
    let deny = |world: &World, asked: &Asked| world.decide(&world.sign_in("sarah"), asked, &Choice::Deny).unwrap();
    let mut taken = 0;
    while let Ok(asked) = world.ask(&[]) {
        deny(&world, &asked);
        taken += 1;
        world.now += u64::from(ASKS_OF_PERSON.period_ms / 1_000);
    }
    assert!((ASKS_IN_VAIN.burst..ASKS_IN_VAIN.burst + 5).contains(&taken), "{taken}");
    for _ in 0..3 {
        let refusal = world.ask(&[]).unwrap_err();
        assert_eq!((refusal.rule, refusal.error.text()), ("rate.asks_in_vain", "temporarily_unavailable"));
        assert!(refusal.error.status() == 429 && refusal.retry_after_s.is_some_and(|wait| (1..=300).contains(&wait)));
    }
    assert_eq!(refused(&world), 1, "it is noted once a minute");
    let event = world.newest("approval.asked");
    assert_eq!(
        (event.get_agent(), event.get_user(), event.outcome().name()),
        (Some("agent:sales"), Some("user:sarah"), "refused")
    );
    // Others, and for others, are not held up.
    world.ask(&[("login_hint", "olga@example.com")]).unwrap();
    world.ask_as("other", &form(&[])).unwrap();
    world.now += 300;
    let asked = world.ask(&[]).unwrap();
    assert_eq!(rule(world.ask(&[])), "rate.asks_in_vain", "one in five minutes");
    assert_eq!(refused(&world), 2);
    // What was allowed was not in vain.
    world.approve(&asked).unwrap();
    world.ask(&[]).unwrap();
}

#[test]
fn even_who_is_always_told_yes_asks_only_so_often() {
    let mut world = World::new();
    for _ in 0..ASKS_OF_PERSON.burst {
        let asked = world.ask(&[]).unwrap();
        world.approve(&asked).unwrap();
    }
    let refusal = world.ask(&[]).unwrap_err();
    assert_eq!((refusal.rule, refusal.retry_after_s), ("rate.asks", Some(30)));
    world.now += 30;
    world.ask(&[]).unwrap();
}

#[test]
fn a_person_has_time_to_decide_whatever_a_client_says() {
    let world = World::new();
    for (said, given) in [("1", 30), ("29", 30), ("31", 31)] {
        assert_eq!(world.ask(&[("requested_expiry", said)]).unwrap().expires_in, given, "{said}");
    }
    assert_eq!(rule(world.ask(&[("requested_expiry", "0")])), "ask.expiry");
}

/// The claims of a request object that is good, with one changed; null leaves it out.
fn object(world: &World, change: (&str, Value)) -> String {
    object_by(&world.signer, &json!({"alg": "ES256", "kid": "k1"}), change)
}

#[expect(clippy::wildcard_enum_match_arm, reason = "what is not named stays as it is")]
fn object_by(signer: &Signer, header: &Value, change: (&str, Value)) -> String {
    let mut claims = json!({
        "iss": "sales", "aud": ISSUER, "exp": START + 300, "iat": START, "nbf": START, "jti": "object-1",
        "scope": "openid email:send", "login_hint": "sarah@example.com", "binding_message": "1234",
    });
    match change.1 {
        Value::Null => drop(claims.as_object_mut().unwrap().remove(change.0)),
        value => claims[change.0] = value,
    }
    signer.sign(header, &claims)
}

#[test]
#[expect(clippy::too_many_lines, reason = "one story")]
fn signed_requests_are_of_their_client_for_us_and_used_once() {
    let world = World::new();
    let send = |object: &str| world.ask_as("sales", &pairs(&[("request", object)]));
    let asked = send(&object(&world, ("jti", json!("first")))).unwrap();
    assert_eq!(world.record(&asked).binding_message.as_deref(), Some("1234"));
    // fapi-ciba-id1-ensure-requested-expiry-as-string-succeeds; as a number too.
    for (jti, expiry) in [("text", json!("30")), ("number", json!(30))] {
        let mut parameters = json!({"alg": "ES256", "kid": "k1"});
        parameters["typ"] = "JWT".into();
        let claims = json!({
            "iss": "sales", "aud": [ISSUER], "exp": START + 300, "iat": START, "nbf": START, "jti": jti,
            "scope": "openid", "login_hint": "sarah@example.com", "requested_expiry": expiry,
        });
        assert_eq!(send(&world.signer.sign(&parameters, &claims)).unwrap().expires_in, 30);
    }
    let stranger = Signer::new("k1");
    let none = {
        let good = object(&world, ("jti", json!("none")));
        format!("{}.{}.", encode(br#"{"alg":"none"}"#), good.split('.').nth(1).unwrap())
    };
    let header = |alg: &str| json!({"alg": alg, "kid": "k1"});
    for (id, object, expected) in [
        ("fapi-ciba-id1-ensure-request-object-missing-aud-fails", object(&world, ("aud", Value::Null)), "object.aud"),
        (
            "fapi-ciba-id1-ensure-request-object-bad-aud-fails",
            object(&world, ("aud", json!("https://other.example"))),
            "object.aud",
        ),
        ("fapi-ciba-id1-ensure-request-object-missing-iss-fails", object(&world, ("iss", Value::Null)), "object.iss"),
        ("fapi-ciba-id1-ensure-request-object-bad-iss-fails", object(&world, ("iss", json!("other"))), "object.iss"),
        ("fapi-ciba-id1-ensure-request-object-missing-exp-fails", object(&world, ("exp", Value::Null)), "object.times"),
        (
            "fapi-ciba-id1-ensure-request-object-expired-exp-fails",
            object(&world, ("exp", json!(START - 300))),
            "token.expired",
        ),
        (
            "fapi-ciba-id1-ensure-request-object-exp-is-70-minutes-in-future-fails",
            object(&world, ("exp", json!(START + 4_200))),
            "token.life",
        ),
        ("fapi-ciba-id1-ensure-request-object-missing-iat-fails", object(&world, ("iat", Value::Null)), "object.times"),
        ("fapi-ciba-id1-ensure-request-object-missing-nbf-fails", object(&world, ("nbf", Value::Null)), "object.times"),
        (
            "fapi-ciba-id1-ensure-request-object-nbf-is-10-minutes-in-future-fails",
            object(&world, ("nbf", json!(START + 600))),
            "token.early",
        ),
        (
            "fapi-ciba-id1-ensure-request-object-nbf-is-70-minutes-in-past-fails",
            object(&world, ("nbf", json!(START - 4_200))),
            "object.life",
        ),
        ("fapi-ciba-id1-ensure-request-object-missing-jti-fails", object(&world, ("jti", Value::Null)), "object.jti"),
        ("fapi-ciba-id1-ensure-request-object-signature-algorithm-is-none-fails", none, "token.algorithm"),
        (
            "fapi-ciba-id1-ensure-request-object-signature-algorithm-is-bad-fails",
            object_by(&world.signer, &header("HS256"), ("jti", json!("hs"))),
            "token.algorithm",
        ),
        (
            "fapi-ciba-id1-ensure-request-object-signature-algorithm-is-RS256-fails",
            object_by(&world.signer, &header("RS256"), ("jti", json!("rs"))),
            "token.kid",
        ),
        (
            "fapi-ciba-id1-ensure-request-object-signed-by-other-client-fails",
            object_by(&stranger, &header("ES256"), ("jti", json!("by"))),
            "token.signature",
        ),
        ("used before", object(&world, ("jti", json!("first"))), "object.replayed"),
        (
            "a parameter that is the client's way to show who it is",
            object(&world, ("client_secret", json!("x"))),
            "object.nested",
        ),
        ("no token at all", "x".into(), "token.form"),
    ] {
        let refused = send(&object).unwrap_err();
        assert_eq!((refused.rule, refused.error.text()), (expected, "invalid_request"), "{id}");
    }
    // Nothing stands beside it.
    let beside = pairs(&[("request", &object(&world, ("jti", json!("beside")))), ("scope", "openid")]);
    assert_eq!(rule(world.ask_as("sales", &beside)), "object.beside");
    // A client that signs sends nothing unsigned.
    let signed = Backchannel { signed_requests: true, ..Backchannel::default() };
    put_backchannel(&world.tenant, "sales", &signed, "user:ann", &world.env()).unwrap();
    // fapi-ciba-id1-ensure-unsigned-backchannel-authorization-request-fails
    assert_eq!(rule(world.ask(&[])), "object.missing");
    send(&object(&world, ("jti", json!("must")))).unwrap();
}

#[test]
fn push_is_not_served_and_ping_needs_a_good_token() {
    let world = World::new();
    let push =
        serde_json::from_value::<Backchannel>(json!({"delivery": {"mode": "push", "endpoint": "https://a.example/"}}));
    assert!(push.is_err(), "FAPI-CIBA 5.2.2: no push");
    let ping = |endpoint: &str| Backchannel {
        delivery: Delivery::Ping { endpoint: endpoint.into() },
        ..Backchannel::default()
    };
    for bad in ["http://a.example/cb", "a", "https://u@a.example/", "https://a.example/#f"] {
        assert_eq!(rule(put_backchannel(&world.tenant, "sales", &ping(bad), "x", &world.env())), "backchannel.client");
    }
    put_backchannel(&world.tenant, "sales", &ping("https://a.example/cb"), "x", &world.env()).unwrap();
    let good = "8d67dc78-7faa-4d41-aabd-67707b374255";
    let (long, edge) = ("x".repeat(1_025), "x".repeat(1_024));
    for (token, expected) in [
        ("", "form.missing"),
        ("short", "ask.notification_token"),
        (&long, "ask.notification_token"),
        ("not a bearer token, with blanks in it", "ask.notification_token"),
        (&edge, "allowed"),
        (good, "allowed"),
    ] {
        assert_eq!(rule(world.ask(&[("client_notification_token", token)])), expected, "{token}");
    }
    let all = world.tenant.engine().records(APPROVAL).scan(&[], None, 1_000).unwrap();
    assert!(all.iter().all(|(_, value)| !String::from_utf8_lossy(value).contains(good)), "it is sealed");
}
