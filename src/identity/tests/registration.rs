//! Clients that register themselves (RFC 7591), where they may.

use super::*;

fn with(world: &World, settings: RegistrationSettings) -> Tenant {
    let settings = TenantSettings { registration: settings, ..world.tenant.settings().clone() };
    world.tenant.change_settings(settings, &world.env()).unwrap()
}

fn open() -> RegistrationSettings {
    RegistrationSettings {
        who: Registrants::Anybody,
        scopes: strings(&["openid", "offline_access", "read"]),
        resources: strings(&[API]),
        clients_max: 4,
    }
}

/// What is good, with other members; a null takes one away.
fn metadata(more: &Value) -> Value {
    let mut metadata =
        json!({"redirect_uris": [CALLBACK], "client_name": "A tool", "token_endpoint_auth_method": "none"});
    for (name, value) in more.as_object().unwrap() {
        metadata[name] = value.clone();
        if value.is_null() {
            metadata.as_object_mut().unwrap().remove(name);
        }
    }
    metadata
}

#[test]
fn nobody_registers_unless_the_tenant_says_who() {
    let world = World::new();
    let register = |tenant: &Tenant, by| tenant.register_client(&metadata(&json!({})), by, &world.env());
    assert_eq!(rule(register(&world.tenant, Some("user:admin"))), "not_found");
    let tenant = with(&world, RegistrationSettings { who: Registrants::Administrators, ..open() });
    assert_eq!(rule(register(&tenant, None)), "registration.by");
    register(&tenant, Some("user:admin")).unwrap();
    let tenant = with(&world, open());
    register(&tenant, None).unwrap();
    let too_many = RegistrationSettings { clients_max: REGISTERED_MAX + 1, ..open() };
    let settings = TenantSettings { registration: too_many, ..TenantSettings::default() };
    assert_eq!(rule(world.tenant.change_settings(settings, &world.env())), "registration.clients_max");
}

#[test]
fn what_is_registered_is_told_and_is_no_more_than_may_be_had() {
    let world = World::new();
    let tenant = with(&world, open());
    let wanted = metadata(&json!({
        "token_endpoint_auth_method": null, // the default shows a secret
        "grant_types": ["authorization_code", "refresh_token"],
        "scope": "openid read discounts",
        "logo_uri": "https://tool.example/logo.png", // not kept, and so not told
        "software_statement": "x.y.z",
        "dpop_bound_access_tokens": true,
    }));
    let told = tenant.register_client(&wanted, None, &world.env()).unwrap();
    let (id, secret) = (told["client_id"].as_str().unwrap(), told["client_secret"].as_str().unwrap());
    let client = tenant.client(id).unwrap();
    assert_eq!(
        told,
        json!({
            "client_id": id,
            "client_id_issued_at": START,
            "client_secret": secret,
            "client_secret_expires_at": 0,
            "client_name": "A tool",
            "redirect_uris": [CALLBACK],
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "token_endpoint_auth_method": "client_secret_basic",
            "scope": "openid read",
            "dpop_bound_access_tokens": true,
            "id_token_signed_response_alg": "ES256",
        })
    );
    assert_eq!((client.kind, client.consent, &client.resources), (ClientKind::App, ConsentRule::Ask, &strings(&[API])));
    let header = super::clients::basic(id, secret);
    tenant.authenticate_client(Some(&header), &form(&[]), &NoKeys, &NoUses, &world.env()).unwrap();
    assert_eq!(world.events().last().unwrap().kind(), EventKind::ClientCreated);
    // The secret is not in the database.
    let all = tenant.engine().records(IDENTITY).scan(&[], None, 1_000).unwrap();
    assert!(all.iter().all(|(_, value)| !String::from_utf8_lossy(value).contains(secret)));
}

#[test]
fn what_may_not_be_registered_is_refused_in_the_words_of_the_standard() {
    let world = World::new();
    let tenant = with(&world, open());
    let (redirect, other) = (ErrorCode::InvalidRedirectUri, ErrorCode::InvalidClientMetadata);
    for (more, error) in [
        (json!({"redirect_uris": null}), redirect),
        (json!({"redirect_uris": []}), redirect),
        (json!({"redirect_uris": ["http://app.example/cb"]}), redirect),
        (json!({"redirect_uris": ["https://app.example/cb#x"]}), redirect),
        (json!({"redirect_uris": ["javascript:alert(1)"]}), redirect),
        (json!({"redirect_uris": vec!["https://app.example/cb"; REDIRECT_URIS_MAX + 1]}), redirect),
        (json!({"redirect_uris": CALLBACK}), other),
        (json!({"redirect_uris": [1]}), other),
        (json!({"client_name": 1}), other),
        (json!({"client_name": "x".repeat(129)}), other),
        (json!({"client_name": "a\nb"}), other),
        (json!({"grant_types": ["client_credentials"]}), other),
        (json!({"grant_types": ["implicit"]}), other),
        (json!({"grant_types": []}), other),
        (json!({"response_types": ["token"]}), other),
        (json!({"token_endpoint_auth_method": "tls_client_auth"}), other),
        (json!({"token_endpoint_auth_method": "client_secret_jwt"}), other),
        (json!({"token_endpoint_auth_method": "private_key_jwt"}), other),
        (json!({"jwks": {"keys": []}}), other),
        (json!({"jwks": []}), other),
        (json!({"jwks": {"keys": []}, "jwks_uri": "https://app.example/keys"}), other),
        (json!({"jwks_uri": "http://app.example/keys"}), other),
        (json!({"scope": "write"}), other),
        (json!({"scope": "a\"b"}), other),
        (json!({"dpop_bound_access_tokens": "yes"}), other),
        (json!({"id_token_signed_response_alg": "none"}), other),
        (json!({"id_token_signed_response_alg": "PS256"}), other),
    ] {
        let refusal = tenant.register_client(&metadata(&more), None, &world.env()).unwrap_err();
        assert_eq!(refusal.error, error, "{more}: {refusal}");
    }
    assert_eq!(rule(tenant.register_client(&json!([]), None, &world.env())), "registration.form");
    assert_eq!(tenant.clients(None, 100).unwrap().len(), 2, "nothing was made");
}

#[test]
fn an_address_registers_so_often() {
    let world = World::new();
    let tenant = with(&world, open());
    let asked = || tenant.register_client(&json!({}), None, &world.env());
    for _ in 0..REQUESTS_OF_ADDRESS.burst {
        assert_eq!(rule(asked()), "registration.redirect_uris");
    }
    assert_eq!(rule(asked()), "rate.address");
}

#[test]
fn there_are_at_most_as_many_as_may_be_and_one_that_is_deleted_makes_room() {
    let world = World::new();
    let tenant = with(&world, open());
    let register = || tenant.register_client(&metadata(&json!({})), None, &world.env());
    let first = register().unwrap()["client_id"].as_str().unwrap().to_owned();
    (0..3).for_each(|_| drop(register().unwrap()));
    assert_eq!(rule(register()), "registration.max");
    tenant.delete_client(&first, &world.env()).unwrap();
    register().unwrap();
    assert_eq!(rule(register()), "registration.max");
}

/// Who asks at which URLs.
struct Asked(std::sync::Mutex<Vec<&'static str>>);

impl KeySource for Asked {
    fn jwks(&self, _: u32, _: &str, _: bool) -> Answer<std::sync::Arc<Value>> {
        self.0.lock().unwrap().push("administrator");
        Err(Refusal::not_found("keys"))
    }

    fn jwks_of_stranger(&self, _: u32, _: &str, _: bool) -> Answer<std::sync::Arc<Value>> {
        self.0.lock().unwrap().push("stranger");
        Err(Refusal::not_found("keys"))
    }
}

/// What an administrator's URLs may reach, those of who registers itself may not.
#[test]
fn keys_of_who_registered_itself_are_asked_for_as_a_strangers() {
    let world = World::new();
    let tenant = with(&world, open());
    let wanted = json!({"token_endpoint_auth_method": "private_key_jwt", "jwks_uri": "https://tool.example/keys"});
    let told = tenant.register_client(&metadata(&wanted), None, &world.env()).unwrap();
    let ours = Client {
        auth_methods: vec![AuthMethod::PrivateKeyJwt],
        keys: Some(ClientKeys::JwksUri("https://tool.example/keys".into())),
        ..Client::new("ours", ClientKind::Agent, "Ours")
    };
    tenant.create_client(&ours, &world.env()).unwrap();
    let asked = Asked(std::sync::Mutex::default());
    for id in [told["client_id"].as_str().unwrap(), "ours"] {
        let claims = encode(json!({"sub": id}).to_string().as_bytes());
        let assertion = format!("{}.{claims}.AAAA", encode(br#"{"alg":"ES256","kid":"k"}"#));
        let form = form(&[("client_assertion_type", JWT_BEARER), ("client_assertion", &assertion)]);
        assert!(tenant.authenticate_client(None, &form, &asked, &NoUses, &world.env()).is_err());
    }
    assert_eq!(*asked.0.lock().unwrap(), ["stranger", "administrator"]);
}

/// A tenant where anybody registers, so many; and how, from an address.
fn crowded(world: &World, clients_max: usize) -> (Tenant, impl Fn(&World, &str) -> Answer<String> + use<>) {
    let tenant = with(world, RegistrationSettings { clients_max, ..open() });
    let at = tenant.clone();
    let register = move |world: &World, address: &str| {
        let env = Env { address: Some(address), ..world.env() };
        let told = at.register_client(&metadata(&json!({"scope": "openid read"})), None, &env)?;
        Ok(told["client_id"].as_str().unwrap().to_owned())
    };
    (tenant, register)
}

fn is_there(tenant: &Tenant, id: &str) -> bool {
    tenant.client(id).is_ok()
}

/// Who fills it up from one address is held up, and what nobody uses makes room for who wants in, the oldest first.
#[test]
fn what_is_registered_and_never_used_makes_room() {
    let mut world = World::new();
    let burst = usize::try_from(REGISTRATIONS_OF_ADDRESS.burst).unwrap();
    let (tenant, register) = crowded(&world, burst + 3);
    let used = register(&world, "192.0.2.1").unwrap();
    let code = world.code(&used, "sarah", &[("scope", "openid")]);
    world.redeem(&used, &code).unwrap();
    // What is not made does not count.
    let env = Env { address: Some("192.0.2.1"), ..world.env() };
    let bad = metadata(&json!({"redirect_uris": ["https://tool.example/cb#x"]}));
    for _ in 0..burst {
        assert_eq!(tenant.register_client(&bad, None, &env).unwrap_err().rule, "client.redirect_uri");
    }
    let first = register(&world, "192.0.2.1").unwrap();
    let mut others: Vec<String> = (2..burst).map(|_| register(&world, "192.0.2.1").unwrap()).collect();
    assert_eq!(rule(register(&world, "192.0.2.1")), "rate.registration");
    others.extend((0..3).map(|n| register(&world, &format!("198.51.100.{n}")).unwrap()));
    assert_eq!(rule(register(&world, "203.0.113.1")), "registration.max");
    world.now += REGISTERED_UNUSED_S - 1;
    assert_eq!(rule(register(&world, "203.0.113.1")), "registration.max");
    world.now += 1;
    assert_eq!(tenant.drop_unused_clients(&world.env()).unwrap(), 0, "nobody wants in");
    let late = register(&world, "203.0.113.1").unwrap();
    others.extend([used.clone(), late]);
    let gone = others.iter().chain([&first]).filter(|id| !is_there(&tenant, id)).count();
    assert!(gone == 1 && is_there(&tenant, &used), "one made room, and not the one that was used");
}

/// House-keeping takes what nobody used for days, whatever is with one of them, and keeps of it little.
#[test]
fn what_is_never_used_goes_after_days() {
    let mut world = World::new();
    let (tenant, register) = crowded(&world, 10);
    let ids: Vec<String> = (0..5).map(|_| register(&world, "192.0.2.1").unwrap()).collect();
    let [first, plain, changed, role, owned] = ids.as_slice() else { panic!("there are five") };
    let held = tenant.client(changed).unwrap();
    tenant.change_client(&held, &Client { name: "Ours".into(), ..held.value.clone() }, &world.env()).unwrap();
    for (object, subject) in [(None, format!("app:{role}")), (Some(format!("app:{owned}")), "user:sarah".to_owned())] {
        let name = if object.is_some() { "owner" } else { "auditor" };
        let role = tenant.appointment_named(name, object.as_deref(), &subject).unwrap();
        tenant.give_role(&role, &world.env()).unwrap();
    }
    world.now += REGISTERED_UNUSED_MAX_S - 1;
    assert_eq!(tenant.drop_unused_clients(&world.env()).unwrap(), 0);
    world.now += 1;
    // One that cannot go: an administrator by a tuple that no call of ours gave.
    let env = world.env();
    let mut change = tenant.change(&env);
    change.relate(&tenant.object(), "admin", &format!("app:{first}"));
    change.commit().unwrap();
    assert_eq!(tenant.drop_unused_clients(&world.env()).unwrap(), 1);
    let there: Vec<&String> = ids.iter().filter(|id| is_there(&tenant, id)).collect();
    assert_eq!(there, [first, changed, role, owned], "what an administrator took on stays");
    let gone = tenant.clients(None, PAGE_MAX).unwrap().into_iter().find(|held| held.id == *plain).unwrap();
    assert!(gone.deleted_at.is_some() && gone.redirect_uris.is_empty());
}
