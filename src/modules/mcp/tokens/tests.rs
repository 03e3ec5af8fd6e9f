//! Tokens of an issuer that is elsewhere, without one: each thing that makes a token none, by itself. With one that is served,
//! see `tests/mcp_elsewhere.rs`.

use super::*;
use crate::identity::{ClientCertificate, encode};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::json;
use std::sync::Arc;

const ISSUER: &str = "https://id.example.com/t/acme";
const RESOURCE: &str = "https://mcp.example.com/crm";
const JWKS: &str = "https://id.example.com/t/acme/jwks";
const NOW_S: Seconds = 1_800_000_000;

fn at(seconds: Seconds) -> Timestamp {
    Timestamp(i64::try_from(seconds).unwrap() * 1_000_000_000)
}

struct Signer(EcdsaKeyPair);

impl Signer {
    fn new() -> Signer {
        Signer(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
    }

    fn jwk(&self) -> Value {
        let (x, y) = self.0.public_key().as_ref()[1..].split_at(32);
        json!({"kty": "EC", "crv": "P-256", "x": encode(x), "y": encode(y)})
    }

    fn set(&self, kid: &str) -> Value {
        let mut jwk = self.jwk();
        jwk["kid"] = kid.into();
        json!({ "keys": [jwk] })
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let part = |value: &Value| encode(value.to_string().as_bytes());
        let message = format!("{}.{}", part(header), part(claims));
        let signature = self.0.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
        format!("{message}.{}", encode(signature.as_ref()))
    }
}

/// What is at URLs, and what was asked for.
#[derive(Clone, Default)]
struct Stub {
    answers: Arc<Mutex<HashMap<String, Value>>>,
    asked: Arc<Mutex<Vec<(String, bool)>>>,
}

impl Stub {
    fn says(&self, url: &str, answer: Value) {
        self.answers.lock().insert(url.to_owned(), answer);
    }

    fn asked(&self) -> Vec<(String, bool)> {
        std::mem::take(&mut *self.asked.lock())
    }
}

impl KeySource for Stub {
    fn jwks(&self, _: u32, uri: &str, fresh: bool) -> Answer<Arc<Value>> {
        self.asked.lock().push((uri.to_owned(), fresh));
        let found = self.answers.lock().get(uri).cloned();
        found.map(Arc::new).ok_or_else(|| Why::new(ErrorCode::TemporarilyUnavailable, "jwks.unreachable", "not now"))
    }
}

struct World {
    stub: Stub,
    key: Signer,
    tokens: IssuedTokens,
}

impl World {
    fn new() -> World {
        let (stub, key) = (Stub::default(), Signer::new());
        let places = "https://id.example.com/.well-known/oauth-authorization-server/t/acme";
        stub.says(places, json!({"issuer": ISSUER, "jwks_uri": JWKS}));
        stub.says(JWKS, key.set("one"));
        let spec = IssuedTokensSpec { apps: ["crm-app".to_owned()].into(), ..IssuedTokensSpec::new(ISSUER) };
        let tokens = IssuedTokens::with_sources(spec, Box::new(stub.clone()), Box::new(stub.clone())).unwrap();
        World { stub, key, tokens }
    }

    /// A token with other headers or claims; a null takes one away.
    fn token(&self, header: &Value, claims: &Value) -> String {
        let own = json!({"typ": "at+jwt", "alg": "ES256", "kid": "one"});
        self.key.sign(&changed(own, header), &changed(claims_of_sarah(), claims))
    }

    fn show(&self, token: &str, scheme: Scheme, proof: Option<&str>) -> Answer<Judged> {
        let (method, certificate) = ("POST", None);
        let presented = Presented { scheme, token, proof, method, url: RESOURCE, certificate };
        self.tokens.judged(&presented, RESOURCE, at(NOW_S))
    }

    fn bearer(&self, token: &str) -> Answer<Judged> {
        self.show(token, Scheme::Bearer, None)
    }
}

fn claims_of_sarah() -> Value {
    json!({"iss": ISSUER, "aud": RESOURCE, "sub": "sarah", "client_id": "sales", "jti": "g.1", "iat": NOW_S,
        "exp": NOW_S + 300, "scope": "mcp:crm:read openid", "acr": "phr", "auth_time": NOW_S - 60})
}

fn changed(mut value: Value, changes: &Value) -> Value {
    for (name, change) in changes.as_object().unwrap() {
        if change.is_null() {
            value.as_object_mut().unwrap().remove(name);
        } else {
            value[name] = change.clone();
        }
    }
    value
}

#[test]
fn a_token_speaks_for_a_person_and_for_who_acts() {
    let world = World::new();
    let judged = |claims: Value| world.bearer(&world.token(&json!({}), &claims)).unwrap();
    let sarah = judged(json!({}));
    assert_eq!(sarah.subject.to_string(), "user:sarah");
    assert_eq!(sarah.agent.unwrap().to_string(), "agent:sales");
    assert_eq!((sarah.client.as_str(), sarah.scopes), ("agent:sales", vec!["mcp:crm:read".into(), "openid".into()]));
    let authentication = sarah.authentication.unwrap();
    assert_eq!((authentication.acr.as_str(), authentication.at), ("phr", NOW_S - 60));
    // An application acts for the person, who alone counts; an agent behind it counts too.
    assert_eq!(judged(json!({"client_id": "crm-app"})).agent, None);
    let behind = judged(json!({"client_id": "crm-app", "act": {"sub": "crm-app", "act": {"sub": "sales"}}}));
    assert_eq!((behind.agent.unwrap().to_string(), behind.actors), ("agent:sales".into(), vec!["agent:sales".into()]));
    // Actors of others are recorded, and are nobody here.
    let act = json!({"sub": "bot", "iss": "https://other.example", "act": {"sub": "x", "iss": ISSUER}});
    let foreign = judged(json!({ "act": act }));
    assert_eq!(foreign.agent.unwrap().to_string(), "agent:sales");
    assert_eq!(foreign.actors, ["bot", "agent:x"]);
    // A client for itself is nobody's agent; nobody was authenticated.
    let alone = judged(json!({"sub": "sales", "acr": null, "auth_time": null}));
    assert_eq!((alone.subject.to_string(), alone.agent, alone.authentication), ("agent:sales".into(), None, None));
    // A person who is called like the client is a person.
    assert_eq!(judged(json!({"sub": "sales"})).subject.to_string(), "user:sales");
    judged(json!({"aud": [RESOURCE, ISSUER]}));
}

#[test]
fn each_thing_that_makes_a_token_none_is_refused() {
    let world = World::new();
    let deep = (0..=ACTORS_MAX).fold(json!({"sub": "a"}), |behind, _| json!({"sub": "a", "act": behind}));
    for (header, claims, rule) in [
        // An ID token, a proof, and what says nothing of itself.
        (json!({"typ": "JWT"}), json!({}), "token.typ"),
        (json!({"typ": "dpop+jwt"}), json!({}), "token.typ"),
        (json!({"typ": null}), json!({}), "token.typ"),
        (json!({"alg": "none"}), json!({}), "token.algorithm"),
        (json!({"alg": "HS256"}), json!({}), "token.algorithm"),
        (json!({"crit": ["x"]}), json!({}), "token.crit"),
        (json!({}), json!({"iss": "https://id.example.com/t/other"}), "token.issuer"),
        (json!({}), json!({"iss": format!("{ISSUER}/")}), "token.issuer"),
        (json!({}), json!({"iss": null}), "token.issuer"),
        (json!({}), json!({"aud": "https://mcp.example.com/docs"}), "token.audience"),
        (json!({}), json!({"aud": [RESOURCE, "https://mcp.example.com/docs"]}), "token.audience"),
        (json!({}), json!({"aud": ISSUER}), "token.audience"),
        (json!({}), json!({"aud": null}), "token.audience"),
        (json!({}), json!({"exp": NOW_S - 60}), "token.expired"),
        (json!({}), json!({"exp": null}), "token.exp"),
        (json!({}), json!({"exp": NOW_S + 48 * 3_600}), "token.life"),
        (json!({}), json!({"nbf": NOW_S + 60}), "token.early"),
        (json!({}), json!({"iat": NOW_S + 60}), "token.early"),
        (json!({}), json!({"iat": null}), "token.claims"),
        (json!({}), json!({"sub": null}), "token.claims"),
        (json!({}), json!({"client_id": null}), "token.claims"),
        (json!({}), json!({"jti": ""}), "token.claims"),
        (json!({}), json!({"sub": "a:b#c"}), "token.subject"),
        (json!({}), json!({"scope": ["a"]}), "token.scope"),
        (json!({}), json!({"authorization_details": {}}), "token.details"),
        (json!({}), json!({"act": "x"}), "token.act"),
        (json!({}), json!({"act": {"iss": ISSUER}}), "token.act"),
        (json!({}), json!({ "act": deep }), "token.act"),
        (json!({}), json!({"cnf": {"kid": "x"}}), "token.cnf"),
        (json!({}), json!({"cnf": {}}), "token.cnf"),
        (json!({}), json!({"cnf": "x"}), "token.cnf"),
        (json!({}), json!({"cnf": {"x5t#S256": "x"}}), "token.certificate"),
        (json!({}), json!({"cnf": {"jkt": "x"}}), "dpop.scheme"),
    ] {
        let refusal = world.bearer(&world.token(&header, &claims)).unwrap_err();
        assert_eq!((refusal.rule, refusal.error), (rule, ErrorCode::InvalidToken), "{header} {claims}");
    }
    // What is not within the skew of clocks is; and a media type may be written whole.
    for (header, claims) in [
        (json!({}), json!({"exp": NOW_S - 29})),
        (json!({}), json!({"nbf": NOW_S + 29})),
        (json!({"typ": "application/at+jwt"}), json!({})),
    ] {
        world.bearer(&world.token(&header, &claims)).unwrap();
    }
    let forged = Signer::new().sign(&json!({"typ": "at+jwt", "alg": "ES256", "kid": "one"}), &json!({"iss": ISSUER}));
    assert_eq!(world.bearer(&forged).unwrap_err().rule, "token.signature");
    assert_eq!(world.bearer("x").unwrap_err().rule, "token.form");
}

#[test]
fn whatever_a_token_says_it_opens_this_resource_alone() {
    use proptest::prelude::*;
    const NAMES: [&str; 16] = [
        "iss",
        "aud",
        "sub",
        "client_id",
        "jti",
        "iat",
        "exp",
        "nbf",
        "scope",
        "acr",
        "auth_time",
        "amr",
        "act",
        "cnf",
        "authorization_details",
        "sid",
    ];
    let world = World::new();
    let values = vec![
        json!(null),
        json!("x"),
        json!("a b"),
        json!("a:b"),
        json!("\u{e9}"),
        json!(""),
        json!(true),
        json!(7),
        json!(-1),
        json!(1.5),
        json!(1e300),
        json!(NOW_S),
        json!(NOW_S + 300),
        json!(RESOURCE),
        json!([RESOURCE]),
        json!(ISSUER),
        json!([RESOURCE, ISSUER]),
        json!([RESOURCE, "https://x.example"]),
        json!([RESOURCE, 7]),
        json!({}),
        json!({"jkt": "x"}),
        json!({"jkt": 7}),
        json!({"sub": "a"}),
        json!({"sub": "a", "iss": "https://x.example"}),
        json!({"sub": "a", "act": {"sub": 7}}),
        json!([{"type": "x"}]),
    ];
    let change = (prop::sample::select(&NAMES[..]), prop::sample::select(values));
    let run = proptest::test_runner::TestRunner::default().run(&prop::collection::vec(change, 0..5), |changes| {
        let changes: Value =
            changes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<Map<_, _>>().into();
        let claims = changed(claims_of_sarah(), &changes);
        match world.bearer(&world.token(&json!({}), &changes)) {
            Ok(judged) => {
                let for_this = [json!(RESOURCE), json!([RESOURCE]), json!([RESOURCE, ISSUER]), json!([RESOURCE, 7])];
                prop_assert!(for_this.contains(&claims["aud"]) && claims["iss"] == ISSUER, "{}", claims);
                prop_assert!(claims.get("cnf").is_none() && claims["exp"].as_f64().unwrap() >= 1_800_000_000.0);
                let named = judged.subject.id == claims["sub"].as_str().unwrap() || judged.authentication.is_none();
                prop_assert!(named && judged.subject.object_type != "app", "{}", claims);
            }
            Err(refusal) => prop_assert_eq!(refusal.error, ErrorCode::InvalidToken, "{}", claims),
        }
        Ok(())
    });
    run.unwrap();
}

#[test]
fn the_issuer_is_asked_no_more_than_it_must_be() {
    let world = World::new();
    let metadata = |place: &str| (format!("https://id.example.com{place}"), false);
    let first = metadata("/.well-known/oauth-authorization-server/t/acme");
    // What is no token of it costs it nothing.
    for header in [json!({"typ": "JWT"}), json!({"alg": "none"})] {
        world.bearer(&world.token(&header, &json!({}))).unwrap_err();
    }
    world.bearer(&world.token(&json!({}), &json!({"iss": "https://evil.example"}))).unwrap_err();
    assert_eq!(world.stub.asked(), []);
    // A key that is not there is asked for once more, whatever comes of it.
    world.bearer(&world.token(&json!({}), &json!({}))).unwrap();
    assert_eq!(world.stub.asked(), [first.clone(), (JWKS.into(), false)]);
    let unknown = world.token(&json!({"kid": "two"}), &json!({}));
    assert_eq!(world.bearer(&unknown).unwrap_err().rule, "token.kid");
    assert_eq!(world.stub.asked(), [first.clone(), (JWKS.into(), false), (JWKS.into(), true)]);
    // Keys or metadata that cannot be had are a refusal, and none that the token is blamed for.
    world.stub.answers.lock().remove(JWKS);
    let presented = |token| Presented {
        scheme: Scheme::Bearer,
        token,
        proof: None,
        method: "POST",
        url: RESOURCE,
        certificate: None,
    };
    let good = world.token(&json!({}), &json!({}));
    let judge = || world.tokens.judge(&presented(&good), RESOURCE, at(NOW_S));
    assert_eq!(judge(), Err(Refusal::Unavailable));
    world.stub.says(JWKS, world.key.set("one"));
    for wrong in [
        json!({"issuer": "https://id.example.com/t/other", "jwks_uri": JWKS}),
        json!({"issuer": ISSUER}),
        json!({"issuer": ISSUER, "jwks_uri": "http://id.example.com/jwks"}),
    ] {
        world.stub.says(&first.0, wrong);
        assert_eq!(judge(), Err(Refusal::Unavailable));
    }
    // Metadata of OpenID Connect are at one of two other places, the last of which is then asked first.
    let last = metadata("/t/acme/.well-known/openid-configuration");
    world.stub.answers.lock().remove(&first.0);
    assert_eq!(judge(), Err(Refusal::Unavailable));
    world.stub.says(&last.0, json!({"issuer": ISSUER, "jwks_uri": JWKS}));
    world.stub.asked();
    judge().unwrap();
    let second = metadata("/.well-known/openid-configuration/t/acme");
    assert_eq!(world.stub.asked(), [first, second, last.clone(), (JWKS.into(), false)]);
    judge().unwrap();
    assert_eq!(world.stub.asked(), [last, (JWKS.into(), false)]);
    for issuer in ["http://id.example.com", "id.example.com", "https://u:p@id.example.com", "https://id.example.com?x"]
    {
        let stub = || Box::new(Stub::default());
        assert!(IssuedTokens::with_sources(IssuedTokensSpec::new(issuer), stub(), stub()).is_err(), "{issuer}");
    }
}

#[test]
fn a_token_that_is_bound_is_of_use_to_its_holder_alone() {
    let world = World::new();
    let (holder, other) = (Signer::new(), Signer::new());
    let jkt = crate::identity::hash_of(&{
        let jwk = holder.jwk();
        format!(r#"{{"crv":"P-256","kty":"EC","x":{},"y":{}}}"#, jwk["x"], jwk["y"])
    });
    let token = world.token(&json!({}), &json!({"cnf": {"jkt": jkt}}));
    let proof = |key: &Signer, jti: &str, claims: Value| {
        let head = json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": key.jwk()});
        let own = json!({"htm": "POST", "htu": RESOURCE, "iat": NOW_S, "jti": jti, "ath": hash_of(&token)});
        key.sign(&head, &changed(own, &claims))
    };
    let show = |proof: Option<&str>| world.show(&token, Scheme::Dpop, proof).map(drop).map_err(|refusal| refusal.rule);
    let good = proof(&holder, "1", json!({}));
    assert_eq!(show(Some(&good)), Ok(()));
    assert_eq!(show(Some(&good)), Err("dpop.replayed"));
    assert_eq!(show(Some(&proof(&holder, "2", json!({})))), Ok(()));
    assert_eq!(show(None), Err("dpop.none"));
    // A proof of another key is refused, and not remembered: whoever makes keys fills nothing.
    let foreign = proof(&other, "3", json!({}));
    assert_eq!([show(Some(&foreign)), show(Some(&foreign))], [Err("dpop.key"), Err("dpop.key")]);
    assert_eq!(show(Some(&proof(&holder, "4", json!({"ath": hash_of("another")})))), Err("dpop.ath"));
    assert_eq!(show(Some(&proof(&holder, "5", json!({"htu": "https://mcp.example.com/docs"})))), Err("dpop.htu"));
    assert_eq!(world.bearer(&token).unwrap_err().rule, "dpop.scheme");
    let unbound = world.token(&json!({}), &json!({}));
    assert_eq!(world.show(&unbound, Scheme::Dpop, Some(&good)).unwrap_err().rule, "dpop.scheme");
    // With a certificate (RFC 8705 3).
    let der = rcgen::generate_simple_self_signed(vec!["sales.example".to_owned()]).unwrap().cert.der().to_vec();
    let certificate = ClientCertificate::read(&der, false).unwrap();
    let token = world.token(&json!({}), &json!({"cnf": {"x5t#S256": certificate.thumbprint}}));
    let shown = |certificate| {
        let (scheme, method) = (Scheme::Bearer, "POST");
        let presented = Presented { scheme, token: &token, proof: None, method, url: RESOURCE, certificate };
        world.tokens.judged(&presented, RESOURCE, at(NOW_S)).map(drop).map_err(|refusal| refusal.rule)
    };
    assert_eq!((shown(Some(&certificate)), shown(None)), (Ok(()), Err("token.certificate")));
}

#[test]
fn proofs_are_remembered_as_long_as_they_could_be_used_again() {
    let mut proofs = Proofs::default();
    let proof = |n: usize, at: Seconds| Proof { jkt: "k".into(), jti: n.to_string(), until: at + DPOP_WINDOW_S };
    let mut see = |n: usize, now| proofs.first_seen(&proof(n, now), now).map_err(|refusal| refusal.rule);
    assert_eq!(see(0, NOW_S), Ok(()));
    for passed in [0, 1, PROOFS_KEPT_S] {
        assert_eq!(see(0, NOW_S + passed), Err("dpop.replayed"), "{passed}");
    }
    // At the end of a span, those of the one before it are still known.
    assert_eq!(see(1, NOW_S + PROOFS_KEPT_S), Ok(()));
    assert_eq!(see(2, NOW_S + PROOFS_KEPT_S + 1), Ok(()));
    assert_eq!(see(1, NOW_S + 2 * PROOFS_KEPT_S), Err("dpop.replayed"));
    // One key has its share of what there is room for.
    for n in 3..PROOFS_OF_KEY_MAX + 2 {
        assert_eq!(see(n, NOW_S + PROOFS_KEPT_S + 1), Ok(()));
    }
    assert_eq!(see(0, NOW_S + PROOFS_KEPT_S + 1), Err("dpop.replayed"));
    assert_eq!(see(PROOFS_OF_KEY_MAX + 2, NOW_S + PROOFS_KEPT_S + 1), Err("dpop.busy"));
    assert_eq!(see(PROOFS_OF_KEY_MAX + 2, NOW_S + 10 * PROOFS_KEPT_S), Ok(()));
    assert_eq!(proofs.before.of_keys.len(), 0);
}
