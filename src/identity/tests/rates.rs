//! Who asks too often is held up, and others are not.

use super::*;

#[test]
fn an_address_makes_so_many_requests() {
    let mut world = World::new();
    let ask = |world: &World, address| {
        let env = Env { address: Some(address), ..world.env() };
        world.tenant.take_request(&request("crm", &[]), &env)
    };
    for _ in 0..REQUESTS_OF_ADDRESS.burst {
        ask(&world, "192.0.2.1").unwrap();
    }
    let Err(Refused::Page(refused)) = ask(&world, "192.0.2.1") else { panic!() };
    assert_eq!((refused.rule, refused.error.status(), refused.retry_after_s), ("rate.address", 429, Some(1)));
    ask(&world, "192.0.2.2").unwrap();
    world.now += 1;
    ask(&world, "192.0.2.1").unwrap();
}

#[test]
fn a_client_makes_so_many_requests_from_everywhere() {
    let world = World::new();
    let public =
        Client { auth_methods: vec![AuthMethod::None], grant_types: strings(&["authorization_code"]), ..app("pub") };
    world.tenant.create_client(&public, &world.env()).unwrap();
    // One address alone would be held up before: a confidential client pushes for all its people, a public one does not.
    let push = |client: &str| world.tenant.push_request(&world.caller(client), &request(client, &[]), &world.env());
    let pushed = |client: &str| (0..REQUESTS_OF_CLIENT.burst + 1).find_map(|n| push(client).err().map(|r| (n, r)));
    let (after, refused) = pushed("crm").unwrap();
    assert_eq!((after, refused.rule, refused.error.status()), (REQUESTS_OF_CLIENT.burst, "rate.client", 429));
    let (after, refused) = pushed("pub").unwrap();
    assert_eq!((after, refused.rule), (REQUESTS_OF_ADDRESS.burst, "rate.address"));
    // At the authorization endpoint it is the client that is told.
    let env = Env { address: Some("198.51.100.7"), ..world.env() };
    let Err(Refused::Redirect(to, refused)) = world.tenant.take_request(&request("crm", &[]), &env) else { panic!() };
    assert_eq!(refused.rule, "rate.client");
    assert_eq!(parameter(&to, "error").as_deref(), Some("temporarily_unavailable"));
    assert!(world.tenant.take_request(&request("sales", &[]), &env).is_ok());
}

#[test]
fn a_resource_gives_a_client_so_many_tokens() {
    let mut world = World::new();
    let limit = |world: &World, most| {
        let limits = TokenLimits { per_minute: most, life_s: None };
        world.tenant.limit_tokens(API, limits, "user:admin", &world.env())
    };
    limit(&world, Some(3)).unwrap();
    let alone = |world: &World, client: &str| {
        ClientCredentialsGrant.redeem(&world.tenant, &world.caller(client), &form(&[("scope", "read")]), &world.env())
    };
    let first = world.tokens("crm", "sarah", "openid read offline_access");
    alone(&world, "crm").unwrap();
    let second = world.refresh("crm", first.refresh_token.as_deref().unwrap()).unwrap();
    let refused = alone(&world, "crm").err().unwrap();
    assert_eq!((refused.rule, refused.error.status(), refused.retry_after_s), ("rate.resource", 429, Some(20)));
    assert!(refused.description.contains(API) && refused.description.contains("3 tokens"), "{}", refused.description);
    // What was refused is not used up, and it is noted once in a minute.
    let noted = world.events().len();
    assert_eq!(world.events()[noted - 1].get_reason(), Some("rate.resource"));
    let token = second.refresh_token.as_deref().unwrap();
    assert_eq!(rule(world.refresh("crm", token)), "rate.resource");
    assert_eq!(world.events().len(), noted);
    // Another client, and another resource, are not held up.
    alone(&world, "sales").unwrap();
    world.tokens("crm", "sarah", "openid profile"); // for no resource
    world.now += 20;
    world.refresh("crm", token).unwrap();
    limit(&world, None).unwrap();
    for _ in 0..10 {
        alone(&world, "crm").unwrap();
    }
    for bad in [0, TOKENS_PER_MINUTE_MAX + 1] {
        assert_eq!(rule(limit(&world, Some(bad))), "resource.limit");
    }
    let one = TokenLimits { per_minute: Some(1), life_s: None };
    let unknown = world.tenant.limit_tokens("https://other.example/", one, "user:admin", &world.env());
    assert_eq!(rule(unknown), "not_found");
    // It goes with its resource, and does not come back with another of the same identifier.
    limit(&world, Some(1)).unwrap();
    let resource = world.tenant.resource(API).unwrap().unwrap().value;
    world.tenant.remove_resource(API, &world.env()).unwrap();
    world.tenant.put_resource(&resource, &world.env()).unwrap();
    assert_eq!(world.tenant.token_limits(API), Ok(TokenLimits::default()));
}

/// AC-3: the life of a token is the least of the tenant's, the grant's and those of its resources.
#[test]
fn a_token_lives_as_long_as_each_of_its_resources_says() {
    let world = World::new();
    let limit = |life_s| {
        let limits = TokenLimits { per_minute: None, life_s };
        world.tenant.limit_tokens(API, limits, "user:admin", &world.env())
    };
    let life = |scope: &str| {
        let answer = world.tokens("crm", "sarah", scope);
        assert_eq!(claims(&answer.access_token)["exp"], world.now + answer.expires_in);
        answer.expires_in
    };
    let tenants = world.tenant.settings().access_token_s;
    assert_eq!(life("read"), tenants);
    limit(Some(30)).unwrap();
    assert_eq!(life("read"), 30);
    limit(Some(tenants * 2)).unwrap();
    assert_eq!(life("read"), tenants);
    for wrong in [0, u64::MAX] {
        assert_eq!(rule(limit(Some(wrong))), "resource.life");
    }
    limit(None).unwrap();
    assert_eq!(life("read"), tenants);
    let told = world.events().into_iter().rfind(|event| event.get_action() == Some("resource.limit")).unwrap();
    assert_eq!(told.details()["access_token_s"], "none");
}
