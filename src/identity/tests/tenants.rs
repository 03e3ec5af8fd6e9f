//! Tenants are apart; numbers, names and ids are given once; keys rotate; users and what they can show.

use super::*;
use crate::tuple::StoreId;

#[test]
fn tenants_are_numbered_named_and_apart() {
    let world = World::new();
    let (identity, env) = (&world.identity, &world.env());
    let create = |name: &str, issuer: &str| identity.create_tenant(name, issuer, &TenantSettings::default(), env);
    let other = create("other", "https://other.example/").unwrap();
    assert_eq!((world.tenant.number(), other.number()), (1, 2));
    assert_eq!(rule(create("acme", "https://third.example")), "tenant.taken");
    // With a slash at the end or without, it is the same place.
    assert_eq!(rule(create("third", "https://other.example")), "tenant.taken");
    for bad in ["", "Acme", "a b", "a:b", &"a".repeat(33)] {
        assert_eq!(rule(create(bad, "https://bad.example")), "tenant.name", "{bad}");
    }
    for bad in [
        "bad",
        "http://bad.example",
        "https://bad.example?x",
        "https://bad.example#x",
        "https://u@bad.example",
        "https://Bad.example",
        "https://bad.example:443",
        "https://bad.example/a/../b",
        "https://bad.example//",
    ] {
        assert_eq!(rule(create("bad", bad)), "tenant.issuer", "{bad}");
    }
    create("local", "http://127.0.0.1:9000/t/local").unwrap();
    // The same ids are others' in another tenant.
    assert_eq!(rule(other.user("sarah")), "not_found");
    assert_eq!(rule(other.client("crm")), "not_found");
    assert_eq!(other.user_by_login("sarah@example.com").unwrap().map(|u| u.value), None);
    other.create_user(Some("sarah"), &["sarah@example.com"], Map::new(), env).unwrap();
    let token = world.tokens("crm", "sarah", "openid").access_token;
    world.examine(&token).unwrap();
    assert_eq!(rule(other.examine(&token, TokenKind::Access, None, env)), "token.kid");
    // Its store is no store of the engine's surface.
    assert!(world.tenant.system_store().is_system());
    let (stores, _) = world.tenant.engine().stores(None, None, 100);
    assert!(stores.iter().all(|store| !store.id.is_system()), "{stores:?}");
    assert_eq!(StoreId::system(1), world.tenant.system_store());
}

#[test]
fn what_was_made_is_there_when_it_is_opened_again() {
    let world = World::new();
    let env = world.env();
    let token = world.tokens("crm", "sarah", "openid").access_token;
    let settings = TenantSettings { access_token_s: 60, ..TenantSettings::default() };
    world.tenant.change_settings(settings.clone(), &env).unwrap();
    let again = Identity::open(world.tenant.engine().clone(), ring(), &env).unwrap();
    let tenant = again.named("acme").unwrap();
    assert_eq!((tenant.issuer(), tenant.settings()), ("https://id.example/acme", &settings));
    tenant.examine(&token, TokenKind::Access, None, &env).unwrap();
    assert_eq!(again.tenants().len(), 1);
    let other = KeyRing::parse(
        &(KeyRing::head() + &KeyRing::key_line("b", 1, b"another key, of thirty-two bytes").unwrap()),
        &[],
    )
    .unwrap();
    let blind = Identity::open(world.tenant.engine().clone(), other, &env).unwrap();
    assert_eq!(rule(blind.named("acme").unwrap().examine(&token, TokenKind::Access, None, &env)), "keys.open");
}

#[test]
fn a_planned_rotation_voids_nothing_and_an_emergency_all() {
    let mut world = World::new();
    let state = |world: &World| -> Vec<KeyState> {
        world.tenant.signing_keys(&world.env()).unwrap().iter().map(|(_, state)| *state).collect()
    };
    let kid = |token: &str| unverified_header(token).unwrap()["kid"].clone();
    let old = world.tokens("crm", "sarah", "openid offline_access");
    assert_eq!(state(&world), [KeyState::Current]);
    world.tenant.rotate_keys(&world.env()).unwrap();
    assert_eq!(state(&world), [KeyState::Current, KeyState::Next]);
    assert_eq!(world.tenant.jwks(&world.env()).unwrap()["keys"].as_array().unwrap().len(), 2);
    assert_eq!(rule(world.tenant.rotate_keys(&world.env())), "keys.waiting");
    let before = world.refresh("crm", &old.refresh_token.clone().unwrap()).unwrap();
    assert_eq!(kid(&before.access_token), kid(&old.access_token), "the next key does not sign yet");
    world.now += world.tenant.settings().key_lead_s;
    assert_eq!(state(&world), [KeyState::Old, KeyState::Current]);
    let after = world.refresh("crm", &before.refresh_token.unwrap()).unwrap();
    assert_ne!(kid(&after.access_token), kid(&old.access_token));
    world.examine(&after.access_token).unwrap();
    // Long after, the old key is gone, and what it signed is over.
    world.now += 3_600;
    assert_eq!(state(&world), [KeyState::Current]);
    let fresh = world.refresh("crm", &after.refresh_token.unwrap()).unwrap();
    world.tenant.replace_keys(&world.env()).unwrap();
    assert_eq!(rule(world.examine(&fresh.access_token)), "token.kid");
    assert_eq!(rule(world.refresh("crm", &fresh.refresh_token.unwrap())), "refresh.form");
    assert_eq!(state(&world), [KeyState::Current]);
    assert!(!world.tenant.rotate_old_keys(&world.env()).unwrap());
    world.now += world.tenant.settings().key_life_s;
    assert!(world.tenant.rotate_old_keys(&world.env()).unwrap());
}

#[test]
fn an_id_token_is_signed_as_its_client_asks() {
    let mut world = World::new();
    let alg = |token: &str| unverified_header(token).unwrap()["alg"].as_str().unwrap().to_owned();
    let kid = |token: &str| unverified_header(token).unwrap()["kid"].as_str().unwrap().to_owned();
    let algs = |world: &World| -> Vec<(SigningAlgorithm, KeyState)> {
        let keys = world.tenant.signing_keys(&world.env()).unwrap();
        keys.iter().map(|(key, state)| (key.algorithm(), *state)).collect()
    };
    let (es, rs) = (SigningAlgorithm::Es256, SigningAlgorithm::Rs256);
    let before = world.tokens("crm", "sarah", "openid");
    assert_eq!(alg(before.id_token.as_deref().unwrap()), "ES256");
    assert_eq!(algs(&world), [(es, KeyState::Current)], "there is no key that nobody needs");
    let held = world.tenant.client("crm").unwrap();
    let asks = Client { id_token_signed_response_alg: rs, ..held.value.clone() };
    world.tenant.change_client(&held, &asks, &world.env()).unwrap();
    assert_eq!(algs(&world), [(es, KeyState::Current), (rs, KeyState::Current)]);
    let tokens = world.tokens("crm", "sarah", "openid offline_access");
    let id_token = tokens.id_token.clone().unwrap();
    assert_eq!((alg(&id_token), alg(&tokens.access_token)), ("RS256".into(), "ES256".into()));
    // Others verify it with the published set, and no key of another algorithm does.
    let set = world.tenant.jwks(&world.env()).unwrap();
    verify_with(&id_token, &set).unwrap();
    let [point, modulus] = set["keys"].as_array().unwrap().as_slice() else { panic!("{set}") };
    assert_eq!((&modulus["kty"], &modulus["alg"], modulus.get("x")), (&json!("RSA"), &json!("RS256"), None));
    assert_eq!(rule(verify_with(&id_token, &json!({"keys": [point]}))), "token.kid");
    // We know it again, as a hint and as what it is; and a header that says something else is refused.
    world.tenant.hinted(&id_token, &world.caller("crm").client, &world.env()).unwrap();
    world.tenant.examine(&id_token, TokenKind::Id, None, &world.env()).unwrap();
    let (_, rest) = id_token.split_once('.').unwrap();
    let header = json!({"alg": "ES256", "typ": "JWT", "kid": kid(&id_token)}).to_string();
    let confused = format!("{}.{rest}", encode(header.as_bytes()));
    assert_eq!(rule(world.tenant.examine(&confused, TokenKind::Id, None, &world.env())), "token.signature");
    // Other clients' are as they were.
    let other = world.tokens("sales", "sarah", "openid").id_token.unwrap();
    assert_eq!(kid(&other), kid(&tokens.access_token));

    // Both keys are rotated, published in time and thrown away together.
    world.tenant.rotate_keys(&world.env()).unwrap();
    assert_eq!(
        algs(&world),
        [(es, KeyState::Current), (rs, KeyState::Current), (es, KeyState::Next), (rs, KeyState::Next)]
    );
    assert!(!world.tenant.rotate_old_keys(&world.env()).unwrap());
    world.now += world.tenant.settings().key_lead_s;
    let next = world.refresh("crm", &tokens.refresh_token.unwrap()).unwrap();
    assert_ne!(kid(next.id_token.as_deref().unwrap()), kid(&id_token));
    assert_eq!(alg(next.id_token.as_deref().unwrap()), "RS256");
    world.tenant.examine(next.id_token.as_deref().unwrap(), TokenKind::Id, None, &world.env()).unwrap();
    world.now += 3_600;
    assert_eq!(algs(&world), [(es, KeyState::Current), (rs, KeyState::Current)]);
    world.tenant.replace_keys(&world.env()).unwrap();
    assert_eq!(algs(&world), [(es, KeyState::Current), (rs, KeyState::Current)]);
    let voided = world.tenant.examine(next.id_token.as_deref().unwrap(), TokenKind::Id, None, &world.env());
    assert_eq!(rule(voided), "token.kid");
    // What is sealed is sealed anew.
    let (a, b) = (*b"a key of thirty-two bytes, or so", *b"another key, of thirty-two bytes");
    let key = |id, at, bytes| KeyRing::key_line(id, at, bytes).unwrap().to_string();
    let parse = |lines: &str| KeyRing::parse(&(KeyRing::head() + lines), &[]).unwrap();
    let fresh = world.tokens("crm", "sarah", "openid").id_token.unwrap();
    let engine = world.tenant.engine();
    let both = Identity::open(engine.clone(), parse(&(key("a", 1, &a) + &key("b", 2, &b))), &world.env()).unwrap();
    assert!(both.named("acme").unwrap().reseal_keys(&world.env()).unwrap());
    let new = Identity::open(engine.clone(), parse(&key("b", 2, &b)), &world.env()).unwrap().named("acme").unwrap();
    new.examine(&fresh, TokenKind::Id, None, &world.env()).unwrap();
}

#[test]
fn keys_are_sealed_anew_with_the_newest_of_the_ring() {
    let world = World::new();
    let env = world.env();
    let token = world.tokens("crm", "sarah", "openid").access_token;
    let (a, b) = (*b"a key of thirty-two bytes, or so", *b"another key, of thirty-two bytes");
    let key = |id, at, bytes| KeyRing::key_line(id, at, bytes).unwrap().to_string();
    let parse = |lines: &str| KeyRing::parse(&(KeyRing::head() + lines), &[]).unwrap();
    let both =
        Identity::open(world.tenant.engine().clone(), parse(&(key("a", 1, &a) + &key("b", 2, &b))), &env).unwrap();
    let tenant = both.named("acme").unwrap();
    assert!(tenant.reseal_keys(&env).unwrap());
    assert!(!tenant.reseal_keys(&env).unwrap());
    let new = Identity::open(world.tenant.engine().clone(), parse(&key("b", 2, &b)), &env).unwrap();
    new.named("acme").unwrap().examine(&token, TokenKind::Access, None, &env).unwrap();
}

#[test]
fn ids_and_login_names_are_one_persons() {
    let world = World::new();
    let (tenant, env) = (&world.tenant, &world.env());
    let create = |id: Option<&str>, logins: &[&str]| tenant.create_user(id, logins, Map::new(), env);
    assert_eq!(rule(create(Some("sarah"), &[])), "id.taken");
    assert_eq!(rule(create(Some("crm"), &[])), "id.taken", "a client's id is no user's");
    assert_eq!(rule(create(Some("a:b"), &[])), "id.form");
    assert_eq!(rule(create(None, &[" SARAH@example.com "])), "user.login.taken");
    assert_eq!(rule(create(None, &["a", "A"])), "user.login");
    assert_eq!(rule(tenant.create_client(&app("sarah"), env)), "id.taken");
    let sub = json!({"sub": "x"}).as_object().unwrap().clone();
    assert_eq!(rule(tenant.create_user(None, &[], sub, env)), "user.claims");
    assert_eq!(tenant.user_by_login("Sarah@Example.COM").unwrap().unwrap().id, "sarah");

    let sarah = tenant.user("sarah").unwrap();
    tenant.change_user(&sarah, &["s.chen@example.com"], Map::new(), env).unwrap();
    assert!(tenant.user_by_login("sarah@example.com").unwrap().is_none());
    assert!(tenant.change_user(&sarah, &[], Map::new(), env).unwrap_err().is_stale());
    create(Some("other"), &["sarah@example.com"]).unwrap();

    tenant.delete_user("sarah", env).unwrap();
    assert_eq!(rule(tenant.user("sarah")), "not_found");
    assert!(!tenant.is_active("user:sarah").unwrap());
    assert_eq!(rule(create(Some("sarah"), &[])), "id.taken", "an id is never given again");
    create(Some("third"), &["s.chen@example.com"]).unwrap();
}

#[test]
fn credentials_are_sealed_and_used_once() {
    let world = World::new();
    let (tenant, env) = (&world.tenant, &world.env());
    let secret = b"a hash that is secret enough";
    let made = tenant.add_credential("sarah", CredentialKind::Totp, "phone", secret, env).unwrap();
    let held = tenant.credentials("sarah").unwrap();
    assert_eq!((held.len(), &held[0].id), (1, &made.id));
    assert_eq!(**tenant.open_credential(&held[0]).unwrap(), *secret);
    tenant.use_credential(&held[0], Some(b"the next"), env).unwrap();
    assert!(tenant.use_credential(&held[0], Some(b"the next"), env).unwrap_err().is_stale());
    let held = tenant.credentials("sarah").unwrap();
    assert_eq!(**tenant.open_credential(&held[0]).unwrap(), *b"the next");
    assert_eq!(held[0].used_at, Some(START));
    let upstream = UpstreamIdentity { issuer: "https://up.example".into(), subject: "1".into(), provider: None };
    let data = serde_json::to_vec(&upstream).unwrap();
    let linked = tenant.add_credential("sarah", CredentialKind::Upstream, "Up", &data, env).unwrap();
    assert_eq!(tenant.user_by_upstream("https://up.example", "1").unwrap().unwrap().id, "sarah");
    tenant.create_user(Some("other"), &[], Map::new(), env).unwrap();
    let again = tenant.add_credential("other", CredentialKind::Upstream, "Up", &data, env);
    assert_eq!(rule(again), "credential.linked");
    tenant.remove_credential("sarah", &linked.id, env).unwrap();
    assert!(tenant.user_by_upstream("https://up.example", "1").unwrap().is_none());
    // Nothing of it is in the database in clear.
    let all = tenant.engine().records(IDENTITY).scan(&[], None, 1_000).unwrap();
    let shows = |bytes: &[u8], what: &[u8]| bytes.windows(what.len()).any(|w| w == what);
    assert!(all.iter().all(|(_, value)| !shows(value, secret) && !shows(value, b"the next")));
}

#[test]
fn what_is_over_is_swept_and_what_is_not_stays() {
    let mut world = World::new();
    let offline = world.tokens("crm", "sarah", "openid offline_access");
    let online = world.tokens("sales", "sarah", "openid");
    let count = |world: &World| world.tenant.engine().records(IDENTITY).scan(&[], None, 1_000).unwrap().len();
    let before = count(&world);
    let sweep = |world: &World| while world.tenant.sweep(IDENTITY, &world.env()).unwrap() > 0 {};
    sweep(&world);
    assert_eq!(count(&world), before);
    world.now += 3 * 24 * 3_600;
    sweep(&world);
    assert!(count(&world) < before);
    assert_eq!(rule(world.refresh("sales", &online.refresh_token.unwrap())), "grant.missing");
    assert_eq!(world.tenant.sessions("sarah", None).unwrap().len(), 1, "the one on which something hangs");
    world.refresh("crm", &offline.refresh_token.unwrap()).unwrap();
    world.now += 40 * 24 * 3_600;
    sweep(&world);
    assert_eq!(world.tenant.sessions("sarah", None).unwrap().len(), 0);
    assert_eq!(world.tenant.grants_of("sarah", "crm", None).unwrap().len(), 0);
}

/// After something went wrong, the log says what was changed, and what it was.
#[test]
fn the_log_says_what_changed() {
    let world = World::new();
    let changes = |event: &Event| -> Vec<String> {
        let of = |(name, value): (&String, &String)| name.starts_with("change_").then(|| value.clone());
        event.details().iter().filter_map(of).collect()
    };
    let last = |kind: EventKind| world.events().into_iter().rfind(|event| event.kind() == kind).unwrap();
    // A client that is no agent.
    let held = world.tenant.client("crm").unwrap();
    let mut after = held.value.clone();
    after.redirect_uris.push("https://evil.example/cb".into());
    after.consent = ConsentRule::Managed;
    world.tenant.change_client(&held, &after, &world.env()).unwrap();
    let told = last(EventKind::ClientChanged);
    assert_eq!(told.get_client(), Some("app:crm"));
    assert_eq!(changes(&told), ["consent: ask -> managed", "redirect_uris + https://evil.example/cb"]);
    // What is too much for one event is in further ones: nobody hides one thing behind many.
    let held = world.tenant.client("crm").unwrap();
    let mut after = held.value.clone();
    after.details_types = (0..20).map(|n| format!("type_{n:02}")).collect();
    after.redirect_uris.retain(|uri| uri == CALLBACK);
    let before = world.events().len();
    world.tenant.change_client(&held, &after, &world.env()).unwrap();
    let told: Vec<Event> = world.events().split_off(before);
    let all: Vec<String> = told.iter().flat_map(changes).collect();
    assert_eq!((told.len(), told[0].details()["changes"].parse::<usize>().unwrap()), (2, all.len()));
    assert!(all.contains(&"redirect_uris - https://evil.example/cb".to_owned()), "{all:?}");
    // The tenant, and a resource.
    let mut settings = world.tenant.settings().clone();
    settings.access_token_s = 77;
    settings.registration.who = Registrants::Anybody;
    world.tenant.change_settings(settings, &world.env()).unwrap();
    let told = changes(&last(EventKind::TenantChanged));
    assert!(told[0].ends_with(" -> 77") && told[1] == "registration.who: nobody -> anybody", "{told:?}");
    let mut resource = world.tenant.resource(API).unwrap().unwrap().value.clone();
    resource.scopes.iter_mut().for_each(|scope| scope.checked = false);
    world.tenant.put_resource(&resource, &world.env()).unwrap();
    assert_eq!(changes(&last(EventKind::AdminChanged)), ["scope discounts.checked: true -> false"]);
    // Of people, which names, and never what stands there.
    let held = world.tenant.user("sarah").unwrap();
    let mut claims = held.claims.clone();
    claims.insert("email".into(), "other@example.com".into());
    claims.remove("name");
    world.tenant.change_user(&held, &["sarah@example.com"], claims, &world.env()).unwrap();
    let told = last(EventKind::UserChanged);
    assert_eq!(told.details()["changed"], "email name");
    assert!(!String::from_utf8_lossy(&told.bytes()).contains("other@example.com"));
}
