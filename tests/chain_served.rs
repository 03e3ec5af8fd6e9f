//! A client that is known by the certificates in its assertions (`x5c`, UDAP), as it is served: registered by a command with its
//! own authorities, from an assertion to a token; and what is refused. E10.

use crate::elsewhere::{Furnished, Serving};
use crate::identity::env;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use bailiwick::identity::{AuthMethod, Client, EventKind, encode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType};
use serde_json::json;

const NAME: &str = "https://partner.example.org/";

fn authority() -> (Issuer<'static, KeyPair>, String) {
    let (mut params, key) = (CertificateParams::default(), KeyPair::generate().unwrap());
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let pem = params.self_signed(&key).unwrap().pem();
    (Issuer::new(params, key), pem)
}

/// An assertion of the client with a fresh key and a certificate of it.
fn assertion(issuer: &Issuer<'static, KeyPair>, name: &str, serving: &Serving) -> String {
    let (mut params, key) = (CertificateParams::default(), KeyPair::generate().unwrap());
    params.subject_alt_names = vec![SanType::URI(name.try_into().unwrap())];
    let own = params.signed_by(&key, issuer).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &key.serialize_der()).unwrap();
    let (header, now) = (json!({"alg": "ES256", "x5c": [STANDARD.encode(own.der())]}), env().seconds());
    let claims = json!({
        "iss": "partner", "sub": "partner", "aud": serving.issuer, "iat": now, "exp": now + 60, "jti": env().id(),
    });
    let part = |value: &serde_json::Value| encode(value.to_string().as_bytes());
    let message = format!("{}.{}", part(&header), part(&claims));
    let signature = pair.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
    format!("{message}.{}", encode(signature.as_ref()))
}

#[test]
fn a_partner_is_known_by_its_authority_and_its_name() {
    let db = Furnished::new();
    let ((issuer, pem), (other, _)) = (authority(), authority());
    let api = "https://api.example/";
    db.good(&["resource", "create", api, "--id", "api", "--scope", "read"]);
    std::fs::write(db.directory.path().join("ca.pem"), &pem).unwrap();
    std::fs::write(
        db.directory.path().join("key.pem"),
        "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
    )
    .unwrap();
    let subject = format!("san-uri={NAME}");
    let create =
        ["client", "create", "--id", "partner", "--kind", "app", "--auth", "private_key_jwt", "--scope", "read"];
    let grants = ["--grant-type", "client_credentials", "--resource", api, "--chain-subject", &subject];
    db.refused(&[&create[..], &grants].concat(), "say whose certificates");
    db.refused(
        &[&create[..], &grants, &["--chain-authorities", "key.pem"]].concat(),
        "certificates of authorities in PEM",
    );
    db.good(&[&create[..], &grants, &["--chain-authorities", "ca.pem"]].concat());
    let shown = db.json(&["client", "show", "partner"]);
    assert_eq!(shown["assertion_chain"]["subject"], json!({"tls_client_auth_san_uri": NAME}));

    let serving = db.serve();
    let ask = |assertion: &str| {
        serving.post(
            "/token",
            &[
                ("grant_type", "client_credentials"),
                ("scope", "read"),
                ("resource", api),
                ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
                ("client_assertion", assertion),
            ],
        )
    };
    // Each time another key.
    let first = assertion(&issuer, NAME, &serving);
    assert_eq!(ask(&first).status, 200);
    assert_eq!(ask(&assertion(&issuer, NAME, &serving)).status, 200);
    for (refused, rule) in [
        (first, "client.assertion.replayed"),
        (assertion(&other, NAME, &serving), "client.chain.authority"),
        (assertion(&issuer, "https://other.example.org/", &serving), "client.chain.subject"),
    ] {
        let heard = ask(&refused);
        assert_eq!((heard.status, heard.json()["error"].as_str()), (401, Some("invalid_client")), "{rule}");
        assert!(!heard.body.contains("certificate") && !heard.body.contains(NAME), "{}", heard.body);
    }
    // The log says which rule, at most once a minute.
    let events = serving.events();
    let told = events.iter().find(|event| event.kind() == EventKind::ClientRefused).unwrap();
    assert_eq!(told.get_reason(), Some("client.assertion.replayed"));
    assert_eq!(told.details()["auth_method"], "private_key_jwt");

    // What is taken away is of no use from the next request on.
    let held = serving.tenant.client("partner").unwrap();
    let auth_methods = vec![AuthMethod::ClientSecretPost];
    let wanted = Client { assertion_chain: None, auth_methods, ..held.value.clone() };
    serving.tenant.change_client(&held, &wanted, &env()).unwrap();
    assert_eq!(ask(&assertion(&issuer, NAME, &serving)).status, 401);
}
