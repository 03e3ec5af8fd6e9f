//! Certificates by which clients show who they are, and to which tokens are bound (RFC 8705).

use super::*;
use rcgen::{CertificateParams, DnType, KeyPair, PublicKeyData as _, SanType};

/// A certificate with these alternative names, which it has signed itself.
fn certificate(key: &KeyPair, names: Vec<SanType>) -> Vec<u8> {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "Acme, Inc.");
    params.distinguished_name.push(DnType::CommonName, "sales");
    params.subject_alt_names = names;
    params.self_signed(key).unwrap().der().to_vec()
}

fn uri(uri: &str) -> SanType {
    SanType::URI(uri.try_into().unwrap())
}

/// One that an authority has signed, as far as whoever shook hands could see.
fn shown(names: Vec<SanType>, trusted: bool) -> ClientCertificate {
    ClientCertificate::read(&certificate(&KeyPair::generate().unwrap(), names), trusted).unwrap()
}

/// The public key as a JWK.
fn jwk(key: &KeyPair) -> Value {
    let point = key.der_bytes(); // uncompressed
    json!({"kty": "EC", "crv": "P-256", "x": encode(&point[1..33]), "y": encode(&point[33..]), "kid": "k"})
}

fn by(world: &World, id: &str, certificate: Option<&ClientCertificate>) -> Answer<Caller> {
    let env = Env { certificate, ..world.env() };
    world.tenant.authenticate_client(None, &form(&[("client_id", id)]), &NoKeys, &NoUses, &env)
}

fn client_by(method: AuthMethod, id: &str, more: impl FnOnce(&mut Client)) -> Client {
    let mut client = Client { auth_methods: vec![method], ..agent(id) };
    more(&mut client);
    client
}

#[test]
fn who_shows_another_certificate_is_noted() {
    let world = World::new();
    let subject: TlsSubject = "san-dns=sales.example".parse().unwrap();
    let client = client_by(AuthMethod::TlsClientAuth, "by-name", |client| client.tls_subject = Some(subject));
    world.tenant.create_client(&client, &world.env()).unwrap();
    let other = shown(vec![SanType::DnsName("other.example".try_into().unwrap())], true);
    assert_eq!(rule(by(&world, "by-name", Some(&other))), "client.certificate.subject");
    let told = world.events().pop().unwrap();
    assert_eq!((told.kind(), told.get_reason()), (EventKind::ClientRefused, Some("client.certificate.subject")));
    assert_eq!(told.details()["auth_method"], "tls_client_auth");
}

#[test]
fn a_subject_is_one_of_the_names_that_a_trusted_authority_signed() {
    let names = || {
        vec![
            SanType::DnsName("Sales.example".try_into().unwrap()),
            uri("spiffe://example.org/sales"),
            SanType::IpAddress("192.0.2.7".parse().unwrap()),
            SanType::Rfc822Name("sales@example.org".try_into().unwrap()),
        ]
    };
    let (trusted, own) = (shown(names(), true), shown(names(), false));
    for good in [
        r"dn=CN=sales,O=Acme\, Inc.",
        "san-dns=sales.EXAMPLE",
        "san-uri=spiffe://example.org/sales",
        "san-ip=192.0.2.7",
        "san-email=sales@example.org",
    ] {
        let subject: TlsSubject = good.parse().unwrap();
        assert_eq!(subject.to_string(), good);
        assert!(trusted.is_of(&subject), "{good}");
        assert!(!own.is_of(&subject), "{good}, by nobody who is trusted");
    }
    for bad in [
        "dn=CN=sales",
        r"dn=O=Acme\, Inc.,CN=sales",
        r"dn=CN=Sales,O=Acme\, Inc.",
        "san-dns=example",
        "san-dns=x.sales.example",
        "san-uri=spiffe://example.org/sales/x",
        "san-uri=spiffe://example.org/",
        "san-uri=Sales.example",
        "san-ip=192.0.2.8",
        "san-email=Sales@example.org",
    ] {
        assert!(!trusted.is_of(&bad.parse().unwrap()), "{bad}");
    }
    for none in ["", "sales", "cn=sales", "dn=sales", "dn=", "san-dns=", "san-ip=x", "san-uri=a\nb"] {
        assert!(none.parse::<TlsSubject>().is_err(), "{none}");
    }
    // An X.509-SVID has one URI (SPIFFE X509-SVID 2).
    let two = shown(vec![uri("spiffe://example.org/sales"), uri("spiffe://example.org/admin")], true);
    assert!(!two.is_of(&"san-uri=spiffe://example.org/sales".parse().unwrap()));
    let urls = shown(vec![uri("https://a.example/"), uri("https://b.example/")], true);
    assert!(urls.is_of(&"san-uri=https://b.example/".parse().unwrap()));
}

#[test]
fn a_client_is_known_by_the_subject_of_its_certificate() {
    let world = World::new();
    let subject = |uri: &str| Some(TlsSubject::Uri(uri.to_owned()));
    let client = client_by(AuthMethod::TlsClientAuth, "svid", |client| {
        client.tls_subject = subject("spiffe://example.org/sales");
    });
    world.tenant.create_client(&client, &world.env()).unwrap();
    let good = shown(vec![uri("spiffe://example.org/sales")], true);
    let caller = by(&world, "svid", Some(&good)).unwrap();
    assert_eq!(caller.method, AuthMethod::TlsClientAuth);
    for (certificate, rule_) in [
        (Some(shown(vec![uri("spiffe://example.org/sales")], false)), "client.certificate.authority"),
        (Some(shown(vec![uri("spiffe://example.org/other")], true)), "client.certificate.subject"),
        (None, "client.certificate.none"),
    ] {
        assert_eq!(rule(by(&world, "svid", certificate.as_ref())), rule_);
    }
    // A certificate does for no client that is known in another way.
    assert_eq!(rule(by(&world, "crm", Some(&good))), "client.method");
    // It may not show another thing besides.
    let env = Env { certificate: Some(&good), ..world.env() };
    let secret = form(&[("client_id", "svid"), ("client_secret", "x")]);
    assert_eq!(rule(world.tenant.authenticate_client(None, &secret, &NoKeys, &NoUses, &env)), "client.secret");
    // Method and subject go together.
    for wrong in [
        client_by(AuthMethod::TlsClientAuth, "a", |_| {}),
        client_by(AuthMethod::ClientSecretBasic, "b", |client| client.tls_subject = subject("spiffe://x/y")),
    ] {
        assert_eq!(rule(world.tenant.create_client(&wrong, &world.env())), "client.tls_subject");
    }
}

#[test]
fn a_client_is_known_by_a_key_that_it_has_signed_for_itself() {
    let world = World::new();
    let (key, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let read = |key: &KeyPair| ClientCertificate::read(&certificate(key, vec![]), false).unwrap();
    let client = client_by(AuthMethod::SelfSignedTlsClientAuth, "own", |client| {
        client.keys = Some(ClientKeys::Jwks(json!({"keys": [jwk(&key)]})));
    });
    world.tenant.create_client(&client, &world.env()).unwrap();
    let caller = by(&world, "own", Some(&read(&key))).unwrap();
    assert_eq!(caller.method, AuthMethod::SelfSignedTlsClientAuth);
    by(&world, "own", Some(&read(&key))).expect("a fresh certificate with the same key is as good");
    assert_eq!(rule(by(&world, "own", Some(&read(&other)))), "client.certificate.key");
    assert_eq!(rule(by(&world, "own", None)), "client.certificate.none");
    // With `x5c` the very certificate is meant.
    let der = certificate(&key, vec![]);
    let mut with_chain = jwk(&key);
    let standard = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &der);
    with_chain["x5c"] = json!([standard]);
    let pinned = client_by(AuthMethod::SelfSignedTlsClientAuth, "pinned", |client| {
        client.keys = Some(ClientKeys::Jwks(json!({"keys": [with_chain]})));
    });
    world.tenant.create_client(&pinned, &world.env()).unwrap();
    by(&world, "pinned", Some(&ClientCertificate::read(&der, false).unwrap())).unwrap();
    assert_eq!(rule(by(&world, "pinned", Some(&shown(vec![], true)))), "client.certificate.key");
    let without_keys = client_by(AuthMethod::SelfSignedTlsClientAuth, "none", |_| {});
    assert_eq!(rule(world.tenant.create_client(&without_keys, &world.env())), "client.keys");
}

#[test]
fn tokens_are_of_use_with_their_certificate_alone() {
    let world = World::new();
    let public = Client {
        auth_methods: vec![AuthMethod::None],
        grant_types: strings(&["authorization_code", "refresh_token"]),
        tls_client_certificate_bound_access_tokens: true,
        ..app("spa")
    };
    world.tenant.create_client(&public, &world.env()).unwrap();
    let (certificate, other) = (shown(vec![], false), shown(vec![], false));
    let with = |shown| Env { certificate: Some(shown), ..world.env() };
    let code = world.code("spa", "sarah", &[("scope", "openid offline_access read")]);
    assert_eq!(rule(world.redeem("spa", &code)), "certificate.missing");
    let asked = form(&[("code", &code), ("code_verifier", VERIFIER), ("redirect_uri", CALLBACK)]);
    let tokens = CodeGrant.redeem(&world.tenant, &world.caller("spa"), &asked, &with(&certificate)).unwrap();
    assert_eq!(tokens.token_type, "Bearer");
    let examined = world.examine(&tokens.access_token).unwrap();
    assert_eq!(examined.x5t.as_ref(), Some(&certificate.thumbprint));
    examined.must_be_held(&with(&certificate)).unwrap();
    for env in [with(&other), world.env()] {
        assert_eq!(rule(examined.must_be_held(&env)), "token.certificate");
    }
    let refresh = form(&[("refresh_token", tokens.refresh_token.as_ref().unwrap())]);
    let again = |env: &Env<'_>| RefreshGrant.redeem(&world.tenant, &world.caller("spa"), &refresh, env);
    assert_eq!(rule(again(&with(&other))), "refresh.certificate");
    assert_eq!(rule(again(&world.env())), "refresh.certificate");
    again(&with(&certificate)).unwrap();
    // Whose tokens are not to be bound gets such as anybody may show.
    let code = world.code("crm", "sarah", &[]);
    let asked = form(&[("code", &code), ("code_verifier", VERIFIER), ("redirect_uri", CALLBACK)]);
    let tokens = CodeGrant.redeem(&world.tenant, &world.caller("crm"), &asked, &with(&certificate)).unwrap();
    let examined = world.examine(&tokens.access_token).unwrap();
    assert_eq!((examined.x5t.clone(), examined.must_be_held(&world.env())), (None, Ok(())));
}

#[test]
fn what_is_no_certificate_is_none() {
    let good = certificate(&KeyPair::generate().unwrap(), vec![]);
    assert!(ClientCertificate::read(&good, true).is_some());
    let longer = [good.as_slice(), b"x"].concat();
    for bad in [&[][..], &[0x30], &good[..good.len() - 1], longer.as_slice(), b"-----BEGIN CERTIFICATE-----"] {
        assert_eq!(ClientCertificate::read(bad, true), None);
    }
}

#[test]
fn proofs_may_name_the_port_at_which_certificates_are_shown() {
    let world = World::new();
    assert_eq!(world.tenant.mutual_tls_url("/token"), None);
    let signer = super::clients::Signer::new("k");
    let proof = |url: &str, jti: &str| {
        let head = json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": signer.jwk()});
        signer.sign(&head, &json!({"htm": "POST", "htu": url, "iat": START, "jti": jti}))
    };
    let of = Proved { method: "POST", url: "https://id.example/acme/token", token: None };
    let check = |proof: &str| world.tenant.check_proof(proof, &of, &world.env());
    let elsewhere = "https://id.example:8443/acme/token";
    assert_eq!(rule(check(&proof(elsewhere, "1"))), "dpop.htu");
    world.identity.set_mutual_tls_port(8443);
    assert_eq!(world.tenant.mutual_tls_url("/token").as_deref(), Some(elsewhere));
    check(&proof(elsewhere, "1")).unwrap();
    check(&proof(of.url, "2")).unwrap();
    assert_eq!(rule(check(&proof(elsewhere, "2"))), "dpop.replayed");
    assert_eq!(rule(check(&proof("https://id.example:8443/acme/par", "3"))), "dpop.htu");
    assert_eq!(rule(check(&proof("https://id.example:8444/acme/token", "4"))), "dpop.htu");
}
