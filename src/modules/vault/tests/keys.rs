//! Keys with which a connection shows itself at its provider: what is said there, rotation, and what is refused.

use super::stub::Stub;
use super::*;
use crate::identity::{Pair, SigningAlgorithm, Verified, verify_with};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

fn keyed(origin: &str, audience: Option<&str>) -> ConnectionSpec {
    let mut spec = crm(origin);
    if let Provider::Oauth2 { client_auth, assertion_audience, .. } = &mut spec.provider {
        *client_auth = ClientAuth::PrivateKeyJwt;
        *assertion_audience = audience.map(str::to_owned);
    }
    spec
}

fn pem(algorithm: SigningAlgorithm) -> String {
    let drawn = now_is(|env| Pair::draw(algorithm, env).unwrap());
    format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(drawn.private))
}

fn add(world: &World, from: KeyFrom<'_>) -> Answer<ClientKey> {
    now_is(|env| add_key(&world.tenant, "crm", from, "user:admin", env))
}

async fn published(world: &World, id: &str) -> Answered {
    world.ask(request("GET", &format!("/connect/{id}/jwks"), "").body(Body::empty()).unwrap()).await
}

/// What an assertion in a form says, once a published key has verified it.
fn assertion(form: &str, set: &Value) -> (HashMap<String, String>, Verified) {
    let form: HashMap<_, _> = url::form_urlencoded::parse(form.as_bytes()).into_owned().collect();
    assert_eq!(form["client_assertion_type"], "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
    assert_eq!((form["client_id"].as_str(), form.get("client_secret")), ("bailiwick", None));
    let verified = verify_with(&form["client_assertion"], set).unwrap();
    (form, verified)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_shows_who_we_are_for_codes_refreshes_and_revocation() {
    let (stub, world) = (Stub::start().await, World::new(true));
    world.connect(keyed(&stub.origin, None));
    // Without a key nobody is sent to the provider, and nobody learns whether there is such a connection.
    let begin = || now_is(|env| connect::begin(&world.tenant, "crm", ("sarah", "s1"), env));
    assert_eq!(begin().unwrap_err().rule, "connection.key");
    assert_eq!((published(&world, "crm").await.status, published(&world, "none").await.status), {
        (StatusCode::NOT_FOUND, StatusCode::NOT_FOUND)
    });
    let first = add(&world, KeyFrom::Drawn(SigningAlgorithm::Es256)).unwrap();
    let set = published(&world, "crm").await.json();
    assert_eq!(set, json!({"keys": [first.public]}));
    assert!(first.public.get("d").is_none() && first.public["use"] == "sig" && first.public["alg"] == "ES256");

    // The code.
    let to = url::Url::parse(&begin().unwrap()).unwrap();
    let state = to.query_pairs().find(|(name, _)| name == "state").unwrap().1.into_owned();
    let back = format!("/connect/crm/callback?code=the-code&state={state}");
    let asked = request("GET", &back, "").header("cookie", "sarah/s1").body(Body::empty()).unwrap();
    assert_eq!(world.ask(asked).await.status, 303);
    let (sent, header) = stub.tokens().pop().unwrap();
    assert_eq!(header, None, "no secret goes with it, though the connection has one");
    let (form, code) = assertion(&sent, &set);
    assert_eq!((form["grant_type"].as_str(), form["code"].as_str()), ("authorization_code", "the-code"));
    assert!(form.contains_key("code_verifier"));
    assert_eq!((code.text("iss"), code.text("sub")), (Some("bailiwick"), Some("bailiwick")));
    assert_eq!(code.audience(), [&*stub.origin], "the issuer, which is known");
    assert_eq!(code.header["kid"], first.kid);
    assert_eq!(code.time("exp").unwrap() - code.time("iat").unwrap(), 60);

    // A refresh, signed with the other key once it is to be used; both are published.
    let second = add(&world, KeyFrom::Pem(&pem(SigningAlgorithm::Rs256))).unwrap();
    assert_eq!(second.public["alg"], "RS256");
    let set = published(&world, "crm").await.json();
    assert_eq!(set["keys"], json!([first.public, second.public]));
    let refreshed = async |key: &ClientKey| {
        world.store("crm", ACCESS, Some(REFRESH), 0);
        world.vault.refresh(&world.tenant, "crm", &sarah()).await.unwrap();
        let (form, verified) = assertion(&stub.tokens().pop().unwrap().0, &set);
        assert_eq!((form["grant_type"].as_str(), &verified.header["kid"]), ("refresh_token", &json!(key.kid)));
        verified.text("jti").unwrap().to_owned()
    };
    let one = refreshed(&first).await;
    now_is(|env| use_key(&world.tenant, "crm", &second.kid, "user:admin", env)).unwrap();
    let two = refreshed(&second).await;
    assert!(one != two && one != code.text("jti").unwrap(), "each is used once");

    // Revocation, and the other way of saying for whom it is.
    now_is(|env| {
        change(&world.tenant, &keyed(&stub.origin, Some("https://idp.example/oauth")), None, "user:admin", env)
    })
    .unwrap();
    let asked = request("POST", "/connect/crm/disconnect", "").header("cookie", "sarah/s1");
    let asked = asked.header("origin", "https://id.example").body(Body::empty()).unwrap();
    assert_eq!(world.ask(asked).await.status, 303);
    let (form, verified) = assertion(&stub.revoked().pop().unwrap(), &set);
    assert!(form.contains_key("token") && verified.audience() == ["https://idp.example/oauth"]);
}

#[test]
fn keys_are_rotated_and_what_is_none_is_refused() {
    let world = World::new(true);
    let add = |from: KeyFrom<'_>| add(&world, from);
    let (es, rs) = (pem(SigningAlgorithm::Es256), pem(SigningAlgorithm::Rs256));
    let rule = |answer: Answer<()>| answer.unwrap_err().rule;
    // A connection that shows no key has none.
    world.connect(ConnectionSpec { id: "llm".into(), ..llm() });
    let drawn = KeyFrom::Drawn(SigningAlgorithm::Es256);
    let refusal = now_is(|env| add_key(&world.tenant, "llm", drawn, "user:admin", env)).unwrap_err();
    assert_eq!(refusal.rule, "connection.key");
    assert_eq!(add(drawn).unwrap_err().error, ErrorCode::NotFound);
    world.connect(keyed("https://crm.example", None));

    let public = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----";
    let cut = es.replace("-----END PRIVATE KEY-----", "");
    let long = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----", "A".repeat(20 << 10));
    let damaged = rs.replacen("MIIE", "MIIF", 1);
    for bad in ["", "no key", public, &cut, &long, &damaged, "{\"kty\":\"EC\",\"d\":\"secret-part\"}"] {
        let refusal = add(KeyFrom::Pem(bad)).unwrap_err();
        assert_eq!(refusal.rule, "credential.key", "{bad}");
        assert!(!format!("{refusal:?}").contains("secret-part"));
    }
    let first = add(KeyFrom::Pem(&es)).unwrap();
    assert_eq!(add(KeyFrom::Pem(&es)).unwrap_err().rule, "connection.key.known");
    let second = add(KeyFrom::Pem(&rs)).unwrap();
    assert_eq!(add(drawn).unwrap_err().rule, "connection.key.max");
    let tenant = &world.tenant;
    let remove = |kid: &str| now_is(|env| remove_key(tenant, "crm", kid, "user:admin", env));
    let uses = |kid: &str| now_is(|env| use_key(tenant, "crm", kid, "user:admin", env));
    assert_eq!(rule(remove(&first.kid)), "connection.key.signs");
    assert_eq!(remove("none").unwrap_err().error, ErrorCode::NotFound);
    assert_eq!(uses("none").unwrap_err().error, ErrorCode::NotFound);
    uses(&second.kid).unwrap();
    remove(&first.kid).unwrap();
    let event = world.last(EventKind::AdminChanged);
    assert_eq!((event.get_action(), event.get_resource()), (Some("connection.key.remove"), Some("connection:crm")));
    assert_eq!((event.details()["key"].as_str(), event.get_user()), (first.kid.as_str(), Some("user:admin")));

    // Nothing that is shown or written has a private part.
    let held = get(tenant, "crm").unwrap();
    let shown = admin::whole_json(tenant, &held).unwrap();
    assert_eq!(shown["keys"][0]["jwk"], second.public);
    assert_eq!((&shown["keys"][0]["signs"], shown["keys"].as_array().unwrap().len()), (&json!(true), 1));
    assert_eq!(shown["jwks_uri"], format!("{ISSUER}/connect/crm/jwks"));
    let said = format!("{shown} {:?} {:?}", held.value, world.events());
    let letters: String = rs.lines().filter(|line| !line.starts_with('-')).collect();
    assert!(["\"d\"", "PRIVATE", letters.get(200..260).unwrap()].iter().all(|secret| !said.contains(secret)), "{said}");

    // A newer key of the ring takes over, and what it sealed is the same key.
    let newer = now_is(|env| Identity::open(tenant.engine().clone(), ring(2), env).unwrap()).named("acme").unwrap();
    let (count, _) = now_is(|env| reseal(&newer, ResealCursor::default(), 10, env).unwrap());
    assert_eq!(count, 2, "both have a client secret, and one a key");
    let super::super::keys::Proof::Key(pair, kid) =
        super::super::keys::proof(&newer, &get(&newer, "crm").unwrap()).unwrap()
    else {
        panic!()
    };
    assert_eq!((pair.public_jwk().unwrap(), kid), (second.public, second.kid.clone()));

    // Shown in another way, the last key may go; and with the connection all go.
    now_is(|env| change(&newer, &crm("https://crm.example"), None, "user:admin", env)).unwrap();
    now_is(|env| remove_key(&newer, "crm", &second.kid, "user:admin", env)).unwrap();
    now_is(|env| add_key(&newer, "crm", drawn, "user:admin", env)).unwrap();
    now_is(|env| super::super::remove(&newer, "crm", "user:admin", env)).unwrap();
    assert!(newer.held::<Connection>(&["crm"]).unwrap().keys().is_empty());
}

/// A key is of its connection: nobody gets it by moving the row.
#[test]
fn a_key_opens_for_its_connection_alone() {
    let world = World::new(true);
    world.connect(keyed("https://crm.example", None));
    add(&world, KeyFrom::Drawn(SigningAlgorithm::Es256)).unwrap();
    let held = get(&world.tenant, "crm").unwrap();
    let spec = ConnectionSpec { id: "other".into(), ..keyed("https://evil.example", None) };
    let moved = Connection { spec, ..held.value.clone() };
    let refusal = super::super::keys::proof(&world.tenant, &moved).map(|_| ()).unwrap_err();
    assert_eq!(refusal.rule, "vault.open");
    // A key that is called another does not open either.
    let mut renamed = held.value.clone();
    renamed.keys[0].kid = "another".to_owned();
    assert_eq!(super::super::keys::proof(&world.tenant, &renamed).map(|_| ()).unwrap_err().rule, "vault.open");
    // Who has nothing to show is not taken for a public client.
    let mut without = held.value;
    without.keys.clear();
    assert_eq!(super::super::keys::proof(&world.tenant, &without).map(|_| ()).unwrap_err().rule, "connection.key");
}

proptest::proptest! {
    /// Whatever is brought as a key is one that signs, or is refused by one rule, and is not repeated.
    #[test]
    fn any_text_is_a_key_or_is_refused(body in "[A-Za-z0-9+/= \\n]{0,400}", framed: bool, rest in ".{0,40}") {
        let text = if framed {
            format!("-----BEGIN PRIVATE KEY-----{body}-----END PRIVATE KEY-----")
        } else {
            body + &rest
        };
        match super::super::keys::read_pem(&text) {
            Ok(pair) => assert!(pair.public_jwk().is_some()),
            Err(refusal) => assert_eq!(refusal.rule, "credential.key"),
        }
    }
}
