//! How clients show who they are, and how they do not.

use super::*;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use std::sync::Arc;

pub(super) fn basic(id: &str, secret: &str) -> String {
    let encoded = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let pair = format!("{}:{}", encoded(id), encoded(secret));
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))
}

fn authenticate(world: &World, header: Option<&str>, pairs: &[(&str, &str)]) -> Answer<Caller> {
    world.tenant.authenticate_client(header, &form(pairs), &NoKeys, &NoUses, &world.env())
}

#[test]
fn a_secret_is_shown_in_one_way_that_the_client_may_use() {
    let mut world = World::new();
    let (id, secret) = world.tenant.add_secret("crm", None, &world.env()).unwrap();
    let header = basic("crm", &secret);
    let caller = authenticate(&world, Some(&header), &[]).unwrap();
    assert_eq!((caller.client.id.as_str(), caller.method), ("crm", AuthMethod::ClientSecretBasic));
    authenticate(&world, Some(&header), &[("client_id", "crm")]).unwrap();
    let wrong = basic("crm", "wrong");
    let unknown = basic("unknown", &secret);
    for (header, pairs, expected) in [
        (Some(wrong.as_str()), vec![], "client.secret"),
        (Some(unknown.as_str()), vec![], "client.unknown"),
        (Some("Basic !"), vec![], "client.header"),
        (Some("Bearer x"), vec![], "client.header"),
        (Some(header.as_str()), vec![("client_id", "sales")], "client.differs"),
        (Some(header.as_str()), vec![("client_secret", secret.as_str())], "client.several"),
        (None, vec![("client_id", "crm"), ("client_secret", secret.as_str())], "client.method"),
        (None, vec![("client_id", "crm")], "client.method"),
        (None, vec![], "client.none"),
    ] {
        let refusal = authenticate(&world, header, &pairs).unwrap_err();
        assert_eq!(refusal.rule, expected, "{pairs:?}");
    }
    // What a wrong secret and an unknown client are told does not differ.
    let told = |header: &str| authenticate(&world, Some(header), &[]).unwrap_err();
    assert_eq!(told(&wrong).description, told(&unknown).description);
    // One follows another, with both good for a while.
    let (_, next) = world.tenant.add_secret("crm", Some(100), &world.env()).unwrap();
    authenticate(&world, Some(&header), &[]).unwrap();
    authenticate(&world, Some(&basic("crm", &next)), &[]).unwrap();
    world.tenant.remove_secret("crm", &id, &world.env()).unwrap();
    assert_eq!(rule(authenticate(&world, Some(&header), &[])), "client.secret");
    world.now += 100;
    assert_eq!(rule(authenticate(&world, Some(&basic("crm", &next)), &[])), "client.secret");
    for _ in 0..SECRETS_MAX {
        world.tenant.add_secret("crm", None, &world.env()).unwrap();
    }
    assert_eq!(rule(world.tenant.add_secret("crm", None, &world.env())), "client.max");
    // A secret is not in the database.
    let all = world.tenant.engine().records(IDENTITY).scan(&[], None, 1_000).unwrap();
    assert!(all.iter().all(|(_, value)| !String::from_utf8_lossy(value).contains(&next)));
}

#[test]
fn who_does_not_show_to_be_a_known_client_is_noted_once_a_minute() {
    let mut world = World::new();
    let told = |world: &World| {
        let refused = world.events().into_iter().filter(|event| event.kind() == EventKind::ClientRefused);
        let line = |event: Event| {
            let text = |text: Option<&str>| text.unwrap_or("-").to_owned();
            let (client, agent) = (text(event.get_client()), text(event.get_agent()));
            assert_eq!((event.outcome(), event.get_trace()), (Outcome::Refused, Some("trace-1")));
            format!("{client} {agent} {} {}", text(event.get_reason()), event.details()["auth_method"])
        };
        refused.map(line).collect::<Vec<_>>()
    };
    let wrong = "the-wrong-secret-of-somebody";
    for _ in 0..3 {
        assert_eq!(rule(authenticate(&world, Some(&basic("crm", wrong)), &[])), "client.secret");
        assert_eq!(rule(authenticate(&world, Some(&basic("nobody", wrong)), &[])), "client.unknown");
        assert_eq!(
            rule(authenticate(&world, None, &[("client_id", "sales"), ("client_secret", wrong)])),
            "client.secret"
        );
        assert_eq!(rule(authenticate(&world, None, &[])), "client.none");
    }
    let first =
        ["app:crm - client.secret client_secret_basic", "agent:sales agent:sales client.secret client_secret_post"];
    assert_eq!(told(&world), first);
    world.now += 59;
    let forged = Signer::new("k1").sign(&json!({"alg": "ES256", "kid": "k1"}), &json!({"iss": "crm", "sub": "crm"}));
    assert!(with(&world, &forged, &NoKeys).is_err());
    assert_eq!(told(&world).len(), 2, "whatever it is that was wrong");
    world.now += 1;
    assert!(with(&world, &forged, &NoKeys).is_err());
    assert_eq!(told(&world)[2..], ["app:crm - client.keys private_key_jwt"]);
    let all: Vec<String> = world.events().iter().map(|e| String::from_utf8(e.bytes()).unwrap()).collect();
    assert!(all.iter().all(|event| !event.contains(wrong) && !event.contains(&forged)));
    // Who has shown it is noted with each token.
    let (_, secret) = world.tenant.add_secret("crm", None, &world.env()).unwrap();
    let caller = authenticate(&world, Some(&basic("crm", &secret)), &[]).unwrap();
    ClientCredentialsGrant.redeem(&world.tenant, &caller, &form(&[]), &world.env()).unwrap();
    let issued = world.events().pop().unwrap();
    assert_eq!(
        (issued.kind(), issued.details()["auth_method"].as_str()),
        (EventKind::TokenIssued, "client_secret_basic")
    );
}

#[test]
fn a_public_client_shows_nothing_and_a_suspended_one_is_none() {
    let world = World::new();
    let public = Client {
        auth_methods: vec![AuthMethod::None],
        grant_types: strings(&["authorization_code", "refresh_token"]),
        ..app("spa")
    };
    world.tenant.create_client(&public, &world.env()).unwrap();
    let caller = authenticate(&world, None, &[("client_id", "spa")]).unwrap();
    let refused = ClientCredentialsGrant.redeem(&world.tenant, &caller, &form(&[]), &world.env());
    assert_eq!(rule(refused), "client.public");
    world.tenant.suspend("app:spa", true, None, &world.env()).unwrap();
    let refusal = authenticate(&world, None, &[("client_id", "spa")]).unwrap_err();
    assert_eq!((refusal.error, refusal.rule), (ErrorCode::InvalidClient, "client.inactive"));
    world.tenant.suspend("app:spa", false, None, &world.env()).unwrap();
    world.tenant.delete_client("spa", &world.env()).unwrap();
    assert_eq!(rule(authenticate(&world, None, &[("client_id", "spa")])), "client.unknown");
    assert_eq!(rule(world.tenant.create_client(&public, &world.env())), "id.taken");
}

pub(super) struct Signer {
    pair: EcdsaKeyPair,
    kid: &'static str,
}

impl Signer {
    pub(super) fn new(kid: &'static str) -> Signer {
        Signer { pair: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap(), kid }
    }

    /// With a key that was made elsewhere, as PKCS #8.
    pub(super) fn of(pkcs8: &[u8]) -> Signer {
        Signer { pair: EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8).unwrap(), kid: "k1" }
    }

    pub(super) fn jwk(&self) -> Value {
        let (x, y) = self.pair.public_key().as_ref()[1..].split_at(32);
        json!({"kty": "EC", "crv": "P-256", "kid": self.kid, "x": encode(x), "y": encode(y)})
    }

    pub(super) fn sign(&self, header: &Value, claims: &Value) -> String {
        let part = |value: &Value| encode(value.to_string().as_bytes());
        let message = format!("{}.{}", part(header), part(claims));
        let signature = self.pair.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
        format!("{message}.{}", encode(signature.as_ref()))
    }

    fn assertion(&self, change: (&str, Value)) -> String {
        let mut claims = json!({
            "iss": "bot", "sub": "bot", "aud": "https://id.example/acme", "exp": START + 60, "iat": START, "jti": "1",
        });
        if change.1.is_null() {
            claims.as_object_mut().unwrap().remove(change.0);
        } else {
            claims[change.0] = change.1;
        }
        self.sign(&json!({"alg": "ES256", "kid": self.kid}), &claims)
    }
}

pub(super) fn with(world: &World, assertion: &str, keys: &dyn KeySource) -> Answer<Caller> {
    let form = form(&[("client_assertion_type", JWT_BEARER), ("client_assertion", assertion)]);
    world.tenant.authenticate_client(None, &form, keys, &NoUses, &world.env())
}

#[test]
fn an_assertion_is_of_its_client_for_us_and_used_once() {
    let world = World::new();
    let (signer, other) = (Signer::new("k1"), Signer::new("k1"));
    let bot = Client {
        auth_methods: vec![AuthMethod::PrivateKeyJwt],
        keys: Some(ClientKeys::Jwks(json!({"keys": [{"kty": "oct?"}, signer.jwk()]}))),
        ..agent("bot")
    };
    world.tenant.create_client(&bot, &world.env()).unwrap();
    let assertion = signer.assertion(("jti", json!("first")));
    assert_eq!(with(&world, &assertion, &NoKeys).unwrap().method, AuthMethod::PrivateKeyJwt);
    assert_eq!(rule(with(&world, &assertion, &NoKeys)), "client.assertion.replayed");
    with(&world, &signer.assertion(("aud", json!(["https://id.example/acme/token"]))), &NoKeys).unwrap();
    let none = format!("{}.{}.", encode(br#"{"alg":"none"}"#), assertion.split('.').nth(1).unwrap());
    let hmac = signer.sign(&json!({"alg": "HS256", "kid": "k1"}), &json!({"sub": "bot"}));
    for (assertion, expected) in [
        (other.assertion(("jti", json!("2"))), "token.signature"),
        (signer.assertion(("sub", json!("crm"))), "client.keys"),
        (signer.assertion(("sub", json!("unknown"))), "client.unknown"),
        (signer.assertion(("sub", Value::Null)), "client.assertion"),
        (signer.assertion(("iss", json!("crm"))), "client.assertion.issuer"),
        (signer.assertion(("aud", json!("https://other.example"))), "client.assertion.audience"),
        (
            signer.assertion(("aud", json!(["https://id.example/acme", "https://x.example"]))),
            "client.assertion.audience",
        ),
        (signer.assertion(("aud", Value::Null)), "client.assertion.audience"),
        (signer.assertion(("jti", Value::Null)), "client.assertion.jti"),
        (signer.assertion(("exp", Value::Null)), "token.exp"),
        (signer.assertion(("exp", json!(START - 31))), "token.expired"),
        (signer.assertion(("exp", json!(START + 7_200))), "token.life"),
        (signer.assertion(("nbf", json!(START + 60))), "token.early"),
        (none, "token.algorithm"),
        (hmac, "token.algorithm"),
        ("x".into(), "client.assertion"),
    ] {
        let refusal = with(&world, &assertion, &NoKeys).unwrap_err();
        assert_eq!((refusal.rule, refusal.error), (expected, ErrorCode::InvalidClient), "{assertion}");
    }
    let form = form(&[("client_assertion_type", "x"), ("client_assertion", "x")]);
    let refused = world.tenant.authenticate_client(None, &form, &NoKeys, &NoUses, &world.env());
    assert_eq!(rule(refused), "client.assertion_type");
}

/// Keys that are other when they are fetched anew.
struct Rotated(Value, Value);

impl KeySource for Rotated {
    fn jwks(&self, _: u32, uri: &str, fresh: bool) -> Answer<Arc<Value>> {
        assert_eq!(uri, "https://bot.example/jwks");
        Ok(Arc::new(if fresh { self.1.clone() } else { self.0.clone() }))
    }
}

#[test]
fn keys_at_a_url_are_fetched_anew_for_a_key_that_is_not_known() {
    let world = World::new();
    let (old, new) = (Signer::new("old"), Signer::new("new"));
    let bot = Client {
        auth_methods: vec![AuthMethod::PrivateKeyJwt],
        keys: Some(ClientKeys::JwksUri("https://bot.example/jwks".into())),
        ..agent("bot")
    };
    world.tenant.create_client(&bot, &world.env()).unwrap();
    let source = Rotated(json!({"keys": [old.jwk()]}), json!({"keys": [new.jwk()]}));
    with(&world, &old.assertion(("jti", json!("1"))), &source).unwrap();
    with(&world, &new.assertion(("jti", json!("2"))), &source).unwrap();
    let stranger = Signer::new("stranger").assertion(("jti", json!("3")));
    assert_eq!(rule(with(&world, &stranger, &source)), "token.kid");
    assert_eq!(rule(with(&world, &new.assertion(("jti", json!("4"))), &NoKeys)), "client.jwks_uri");
}
