//! Administration of connections, classes and trusted issuers.

use super::*;

#[test]
fn a_connection_that_makes_no_sense_is_refused() {
    let world = World::new();
    let env = world.env();
    let to = |resource: &str| Target::Resource { resource: resource.into() };
    let server = |change: fn(&mut Server)| {
        let mut server = Server { issuer: "https://new.example".into(), ..server() };
        change(&mut server);
        Target::Server(server)
    };
    for (id, target, expected) in [
        ("a b", to(API), "id.form"),
        ("new", to("https://unknown.example/"), "connection.resource"),
        ("new", to("relative"), "resource.form"),
        ("new", to(API), "connection.taken"),
        ("new", server(|s| s.issuer = RAS.into()), "connection.taken"),
        ("new", server(|s| s.issuer = IDP.into()), "trust.own_issuer"),
        ("new", server(|s| s.issuer = format!("{IDP}/")), "trust.own_issuer"),
        ("new", server(|s| s.issuer = "new.example".into()), "trust.issuer"),
        ("new", server(|s| s.issuer = "https://new.example?x".into()), "trust.issuer"),
        ("new", server(|s| s.life_s = 301), "trust.life"),
        ("new", server(|s| s.life_s = 0), "trust.life"),
        ("new", server(|s| s.scopes = pairs(&[("a", "b c")])), "trust.scopes"),
        ("new", server(|s| s.clients = pairs(&[("sales", "")])), "trust.clients"),
        ("new", server(|s| s.clients = pairs(&[("nobody", "x")])), "trust.clients"),
        ("new", server(|s| s.resources = vec!["relative".into()]), "resource.form"),
    ] {
        assert_eq!(rule(put_connection(&world.idp, &connection(id, target.clone()), &env)), expected, "{target:?}");
    }
    let nameless = Connection { name: String::new(), ..connection("new", server(|_| {})) };
    assert_eq!(rule(put_connection(&world.idp, &nameless, &env)), "connection.name");
    // An id of a connection of another module.
    let mut change = world.idp.change(&env);
    change.relate("connection:vaulted", "tenant", &world.idp.object());
    change.commit().unwrap();
    assert_eq!(rule(put_connection(&world.idp, &connection("vaulted", server(|_| {})), &env)), "connection.id");
    put_connection(&world.idp, &connection("new", server(|_| {})), &env).unwrap();
    assert_eq!(super::super::connection(&world.idp, "new").unwrap().audience(), "https://new.example");
}

#[test]
fn a_connection_moves_and_its_id_is_never_given_again() {
    let world = World::new();
    let env = world.env();
    let ids = || connections(&world.idp).unwrap().iter().map(|c| c.id.clone()).collect::<Vec<_>>();
    let moved = Target::Server(Server { issuer: "https://moved.example".into(), ..server() });
    put_connection(&world.idp, &connection("pricing", moved), &env).unwrap();
    assert_eq!(ids().len(), 3);
    let id = world.tokens("sales", "openid read").id_token.unwrap();
    assert_eq!(rule(world.assert_for("sales", &id, &[])), "connection.unknown");
    let answer = world.assert_for("sales", &id, &[("audience", "https://moved.example")]).unwrap();
    assert_eq!(claims(&answer.access_token)["aud"], "https://moved.example");
    remove_connection(&world.idp, "pricing", &env).unwrap();
    assert_eq!(ids().len(), 2);
    for gone in [
        rule(remove_connection(&world.idp, "pricing", &env)),
        rule(allow(&world.idp, "pricing", "agent:*", true, &env)),
        rule(classes(&world.idp, "pricing")),
        rule(remove_connection(&world.idp, "never", &env)),
    ] {
        assert_eq!(gone, "not_found");
    }
    assert_eq!(
        rule(put_connection(&world.idp, &connection("pricing", Target::Server(server())), &env)),
        "connection.id"
    );
    put_connection(&world.idp, &connection("pricing-2", Target::Server(server())), &env).unwrap();
    assert_eq!(rule(world.assert_for("sales", &id, &[])), "connection.none");
    let removed = world.last(&world.idp, EventKind::ConnectionRemoved);
    assert_eq!(removed.get_resource(), Some("connection:pricing"));
}

#[test]
fn classes_are_of_clients_that_are_there() {
    let world = World::new();
    let env = world.env();
    for bad in ["sales", "user:sarah", "agent:nobody", "agent:web", "app:sales", "agent:", "agent:*#x"] {
        assert_eq!(rule(allow(&world.idp, "api", bad, true, &env)), "connection.holder", "{bad}");
        let class = classify(&world.idp, ("api", "read"), bad, Some(ScopeClass::Never), &env);
        assert_eq!(rule(class), "connection.holder", "{bad}");
    }
    let bad = classify(&world.idp, ("api", "a b"), "agent:*", None, &env);
    assert_eq!(rule(bad), "connection.scope");
    classify(&world.idp, ("api", "read"), "agent:sales", Some(ScopeClass::NeedsApproval), &env).unwrap();
    classify(&world.idp, ("api", "read"), "agent:sales", Some(ScopeClass::Never), &env).unwrap();
    let of = |scope: &str, class, holder: &str| Classed { scope: scope.into(), class, holder: holder.into() };
    let expected = [
        of("delete", ScopeClass::Never, "agent:*"),
        of("read", ScopeClass::Automatic, "agent:*"),
        of("read", ScopeClass::Never, "agent:sales"),
        of("write", ScopeClass::NeedsApproval, "agent:*"),
    ];
    assert_eq!(classes(&world.idp, "api").unwrap(), expected);
    assert_eq!(holders(&world.idp, "pricing").unwrap(), ["agent:sales"]);
    let told = world.last(&world.idp, EventKind::PolicyChanged);
    assert_eq!((told.get_resource(), told.get_action()), (Some("connection_scope:api|read"), Some("never")));
    assert_eq!(rule(delegate(&world.idp, "sales", "sales", true, &env)), "delegate.self");
    assert_eq!(rule(delegate(&world.idp, "sales", "nobody", true, &env)), "not_found");
}

#[test]
fn a_trusted_issuer_that_makes_no_sense_is_refused() {
    let world = World::new();
    let secret = json!({"keys": [{"kty": "oct", "k": "AA"}]});
    type Mistake = fn(&mut TrustedIssuer);
    let cases: [(Mistake, &str); 13] = [
        (|row| row.issuer = RAS.into(), "trust.own_issuer"),
        (|row| row.issuer = format!("{RAS}/"), "trust.own_issuer"),
        (|row| row.issuer = "x".into(), "trust.issuer"),
        (|row| row.life_max_s = 301, "trust.life"),
        (|row| row.access_token_s = Some(0), "trust.life"),
        (|row| row.acr_max = Some("high".into()), "trust.acr"),
        (|row| row.scopes = pairs(&[("a", "openid")]), "trust.scopes"),
        (|row| row.scopes = pairs(&[("", "pricing:read")]), "trust.scopes"),
        (|row| row.resources = vec!["https://unknown.example/".into()], "trust.resources"),
        (|row| row.clients = vec!["nobody".into()], "trust.clients"),
        (|row| row.keys = IssuerKeys::Jwks(json!({"keys": []})), "trust.keys"),
        (|row| row.keys = IssuerKeys::JwksUri("keys".into()), "resource.form"),
        (|row| (row.subject, row.create_users) = (SubjectMapping::AudSub, true), "trust.create_users"),
    ];
    for (at, (mistake, expected)) in cases.iter().enumerate() {
        let mut row = row();
        mistake(&mut row);
        assert_eq!(rule(trust(&world.ras, &row, &world.env())), *expected, "{at}");
    }
    let row = TrustedIssuer { keys: IssuerKeys::Jwks(secret), ..row() };
    assert_eq!(rule(trust(&world.ras, &row, &world.env())), "trust.keys");
    assert_eq!(trusted_issuers(&world.ras).unwrap().len(), 1);
    assert!(trusted_issuers(&world.idp).unwrap().is_empty(), "rows are of one tenant");
    assert!(connections(&world.ras).unwrap().is_empty());
    let known: Vec<&str> = SubjectMapping::ALL.iter().map(|(_, name)| *name).collect();
    let spelt = SubjectMapping::ALL.map(|(mapping, _)| serde_json::to_value(mapping).unwrap());
    assert_eq!(known, spelt);
}
