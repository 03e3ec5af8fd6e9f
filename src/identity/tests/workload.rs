//! Clients that are workloads of somebody else's platform or trust domain: what is taken of its word, and what is not.

use super::clients::Signer;
use super::*;
use parking_lot::Mutex;
use std::sync::Arc;

const GITHUB: &str = "https://token.actions.githubusercontent.com";
const BRANCH: &str = "repo:acme/agents:ref:refs/heads/main";
const DOMAIN: &str = "spiffe://example.org";
const SALES: &str = "spiffe://example.org/agents/sales";
const OURS: &str = "https://id.example/acme";
const AT: &str = "https://keys.example/jwks";

/// Keys at one URL, which other ones may take the place of; and how often somebody asked.
struct Keys {
    set: Mutex<Value>,
    asked: Mutex<Vec<bool>>,
}

impl Keys {
    fn of(set: Value) -> Keys {
        Keys { set: Mutex::new(set), asked: Mutex::default() }
    }

    fn asked(&self) -> Vec<bool> {
        std::mem::take(&mut *self.asked.lock())
    }
}

impl KeySource for Keys {
    fn jwks(&self, _: u32, uri: &str, fresh: bool) -> Answer<Arc<Value>> {
        assert_eq!(uri, AT);
        self.asked.lock().push(fresh);
        Ok(Arc::new(self.set.lock().clone()))
    }
}

/// A bundle of a trust domain: a key of SVIDs that are JWTs, and one of those that are certificates.
fn bundle(svids: &Signer, certificates: &Signer) -> Value {
    let with = |signer: &Signer, of: &str| {
        let mut key = signer.jwk();
        key["use"] = of.into();
        key
    };
    json!({
        "keys": [with(certificates, "x509-svid"), with(svids, "jwt-svid"), {"kty": "EC", "use": "jwt-svid", "crv": "P-0"}],
        "spiffe_sequence": 1, "spiffe_refresh_hint": 300,
    })
}

fn trusted(world: &World, row: &WorkloadIssuer) {
    world.tenant.put_workload_issuer(row, "user:ann", &world.env()).unwrap();
}

fn at_url(issuer: &str) -> WorkloadIssuer {
    WorkloadIssuer::new(issuer, ClientKeys::JwksUri(AT.into()))
}

/// An agent that is these workloads and shows who it is by nothing else.
fn workload(id: &str, workloads: &[Workload]) -> Client {
    let mut auth_methods: Vec<AuthMethod> = workloads.iter().map(Workload::method).collect();
    auth_methods.dedup();
    Client { auth_methods, workloads: workloads.to_vec(), ..agent(id) }
}

fn of_github() -> Workload {
    Workload { issuer: GITHUB.into(), subject: BRANCH.into() }
}

fn changed(mut value: Value, (name, to): (&str, Value)) -> Value {
    let members = value.as_object_mut().unwrap();
    if to.is_null() {
        members.remove(name)
    } else {
        members.insert(name.to_owned(), to)
    };
    value
}

fn word(signer: &Signer, header: &Value, change: (&str, Value)) -> String {
    let claims = json!({
        "iss": GITHUB, "sub": BRANCH, "aud": OURS, "exp": START + 300, "nbf": START, "iat": START, "jti": "j-1",
    });
    signer.sign(header, &changed(claims, change))
}

fn svid(signer: &Signer, header: &Value, change: (&str, Value)) -> String {
    let claims = json!({"sub": SALES, "aud": [OURS], "exp": START + 300, "iat": START});
    signer.sign(header, &changed(claims, change))
}

fn header(kid: &str) -> Value {
    json!({"alg": "ES256", "typ": "JWT", "kid": kid})
}

fn nothing() -> (&'static str, Value) {
    ("x", Value::Null)
}

fn show(world: &World, of: &str, client: Option<&str>, assertion: &str, keys: &dyn KeySource) -> Answer<Caller> {
    let mut pairs = vec![("client_assertion_type", of), ("client_assertion", assertion)];
    pairs.extend(client.map(|id| ("client_id", id)));
    world.tenant.authenticate_client(None, &form(&pairs), keys, &NoUses, &world.env())
}

#[test]
fn a_workload_of_a_platform_is_the_client_that_it_is_registered_as() {
    let mut world = World::new();
    let signer = Signer::new("k1");
    let keys = Keys::of(json!({"keys": [signer.jwk()]}));
    let bot = workload("bot", &[of_github()]);
    assert_eq!(rule(world.tenant.create_client(&bot, &world.env())), "client.workloads", "nobody trusts it yet");
    trusted(&world, &at_url(GITHUB));
    world.tenant.create_client(&bot, &world.env()).unwrap();
    let ask = |world: &World, jti: &str, of: &str| {
        show(world, JWT_BEARER, Some("bot"), &word(&signer, &header("k1"), ("jti", json!(format!("{of}{jti}")))), &keys)
    };
    let caller = ask(&world, "1", "a").unwrap();
    assert_eq!((caller.client.id.as_str(), caller.method), ("bot", AuthMethod::WorkloadJwt));
    let form = form(&[("scope", "read"), ("resource", API)]);
    let tokens = ClientCredentialsGrant.redeem(&world.tenant, &caller, &form, &world.env()).unwrap();
    assert_eq!(claims(&tokens.access_token)["sub"], "bot");
    assert_eq!(rule(ask(&world, "1", "a")), "workload.replayed");
    ask(&world, "2", "a").unwrap();
    // What `kubelet` keeps for an hour is shown again and again, when the row says so.
    trusted(&world, &WorkloadIssuer { reusable: true, ..at_url(GITHUB) });
    ask(&world, "1", "a").unwrap();
    let without = word(&signer, &header("k1"), ("jti", Value::Null));
    show(&world, JWT_BEARER, Some("bot"), &without, &keys).unwrap();
    assert_eq!(world.tenant.workload_issuer(GITHUB).unwrap().unwrap().created_at, START);
    // Whoever is suspended, or whose platform is trusted no longer, is nobody from the next request on.
    world.tenant.suspend("agent:bot", true, None, &world.env()).unwrap();
    assert_eq!(rule(ask(&world, "3", "a")), "agent.inactive");
    world.tenant.suspend("agent:bot", false, None, &world.env()).unwrap();
    world.now += 331;
    assert_eq!(rule(ask(&world, "4", "a")), "token.expired");
    world.now = START;
    world.tenant.remove_workload_issuer(GITHUB, "user:ann", &world.env()).unwrap();
    keys.asked();
    assert_eq!(rule(ask(&world, "5", "a")), "workload.issuer");
    assert!(keys.asked().is_empty());
    assert_eq!(rule(world.tenant.remove_workload_issuer(GITHUB, "user:ann", &world.env())), "not_found");
    // What else is said of the client can still be changed.
    let held = world.tenant.client("bot").unwrap();
    let named = Client { name: "The bot".into(), ..held.value.clone() };
    world.tenant.change_client(&held, &named, &world.env()).unwrap();
    let done: Vec<String> = world
        .events()
        .iter()
        .filter(|event| event.kind() == EventKind::PolicyChanged)
        .map(|event| format!("{} {}", event.get_action().unwrap(), event.get_user().unwrap()))
        .collect();
    assert_eq!(done, ["workload.put user:ann", "workload.put user:ann", "workload.remove user:ann"]);
}

#[test]
fn what_a_platform_says_is_taken_exactly() {
    let world = World::new();
    let (signer, stranger) = (Signer::new("k1"), Signer::new("k1"));
    let keys = Keys::of(json!({"keys": [signer.jwk()]}));
    trusted(&world, &at_url(GITHUB));
    world.tenant.create_client(&workload("bot", &[of_github()]), &world.env()).unwrap();
    let good = |change| word(&signer, &header("k1"), change);
    let headed = |change| word(&signer, &changed(header("k1"), change), nothing());
    for (assertion, expected) in [
        (word(&stranger, &header("k1"), nothing()), "token.signature"),
        (good(("aud", json!(format!("{OURS}/")))), "workload.audience"),
        (good(("aud", json!(format!("{OURS}/token")))), "workload.audience"),
        (good(("aud", json!([OURS, "https://other.example"]))), "workload.audience"),
        (good(("aud", json!([]))), "workload.audience"),
        (good(("aud", Value::Null)), "workload.audience"),
        (good(("sub", json!("repo:acme/agents:ref:refs/heads/other"))), "workload.subject"),
        (good(("sub", json!(format!("{BRANCH}2")))), "workload.subject"),
        (good(("sub", json!("repo:acme/agents:ref:refs/heads/*"))), "workload.subject"),
        (good(("sub", json!("bot"))), "workload.subject"),
        (good(("sub", Value::Null)), "workload.issuer"),
        (good(("iss", json!("https://evil.example"))), "workload.issuer"),
        (good(("iss", json!(format!("{GITHUB}/")))), "workload.issuer"),
        (good(("exp", Value::Null)), "token.exp"),
        (good(("exp", json!(START - 31))), "token.expired"),
        (good(("exp", json!(START + 3_631))), "token.life"),
        (good(("iat", json!(START - 3_600))), "workload.life"),
        (good(("iat", json!(START + 60))), "token.early"),
        (good(("nbf", json!(START + 60))), "token.early"),
        (good(("jti", Value::Null)), "workload.jti"),
        (good(("jti", json!(""))), "workload.jti"),
        (good(("cnf", json!({"jkt": "x"}))), "workload.cnf"),
        (headed(("typ", json!("at+jwt"))), "workload.typ"),
        (headed(("typ", json!("wit+jwt"))), "workload.typ"),
        (headed(("typ", json!(1))), "workload.typ"),
        (headed(("alg", json!("RS256"))), "token.kid"),
        (headed(("alg", json!("HS256"))), "token.algorithm"),
        (headed(("alg", json!("none"))), "token.algorithm"),
        (headed(("crit", json!(["x"]))), "token.crit"),
        (word(&stranger, &header("k2"), nothing()), "token.kid"),
    ] {
        let refusal = show(&world, JWT_BEARER, Some("bot"), &assertion, &keys).unwrap_err();
        assert_eq!((refusal.rule, refusal.error), (expected, ErrorCode::InvalidClient), "{assertion}");
    }
    // None of them used up what is right, in the three forms that a header may have.
    show(&world, JWT_BEARER, Some("bot"), &good(("jti", json!("1"))), &keys).unwrap();
    for (at, typ) in [Value::Null, json!("jwt"), json!("client-authentication+jwt")].into_iter().enumerate() {
        let assertion = word(&signer, &changed(header("k1"), ("typ", typ)), ("jti", json!(format!("t{at}"))));
        show(&world, JWT_BEARER, Some("bot"), &assertion, &keys).unwrap();
    }
    // It is the client that the request names, and of no use to any other.
    let assertion = good(("jti", json!("2")));
    for (client, expected) in [
        (None, "workload.client_id"),
        (Some("unknown"), "client.unknown"),
        (Some("sales"), "workload.client"),
        (Some(BRANCH), "client.unknown"),
    ] {
        assert_eq!(rule(show(&world, JWT_BEARER, client, &assertion, &keys)), expected, "{client:?}");
    }
    assert_eq!(rule(show(&world, JWT_SPIFFE, Some("bot"), &assertion, &keys)), "workload.form", "it is no SVID");
    let other = Client { auth_methods: vec![AuthMethod::ClientSecretBasic], ..workload("other", &[of_github()]) };
    world.tenant.create_client(&other, &world.env()).unwrap();
    assert_eq!(rule(show(&world, JWT_BEARER, Some("other"), &assertion, &keys)), "workload.client", "not its way");
}

#[test]
fn strangers_make_nobody_be_asked_for_keys() {
    let world = World::new();
    let (old, new) = (Signer::new("old"), Signer::new("new"));
    let keys = Keys::of(json!({"keys": [old.jwk()]}));
    trusted(&world, &at_url(GITHUB));
    world.tenant.create_client(&workload("bot", &[of_github()]), &world.env()).unwrap();
    let show = |client: &str, assertion: &str| show(&world, JWT_BEARER, Some(client), assertion, &keys);
    for (client, assertion) in [
        ("bot", word(&old, &header("old"), ("iss", json!("https://evil.example")))),
        ("bot", word(&old, &json!({"alg": "ES256", "typ": "at+jwt"}), nothing())),
        ("sales", word(&old, &header("old"), nothing())),
        ("unknown", word(&old, &header("old"), nothing())),
    ] {
        show(client, &assertion).unwrap_err();
        assert!(keys.asked().is_empty(), "{client}: {assertion}");
    }
    show("bot", &word(&old, &header("old"), ("jti", json!("1")))).unwrap();
    assert_eq!(keys.asked(), [false]);
    assert_eq!(rule(show("bot", &word(&new, &header("new"), ("jti", json!("2"))))), "token.kid");
    assert_eq!(keys.asked(), [false, true], "a key that was made just now may not be known yet");
    *keys.set.lock() = json!({"keys": [old.jwk(), new.jwk()]});
    show("bot", &word(&new, &header("new"), ("jti", json!("3")))).unwrap();
}

#[test]
fn a_clients_own_assertion_and_a_platforms_are_not_mixed_up() {
    let world = World::new();
    let (own, platform) = (Signer::new("k1"), Signer::new("k1"));
    let keys = Keys::of(json!({"keys": [platform.jwk()]}));
    trusted(&world, &at_url(GITHUB));
    let both = Client {
        auth_methods: vec![AuthMethod::PrivateKeyJwt, AuthMethod::WorkloadJwt],
        keys: Some(ClientKeys::Jwks(json!({"keys": [own.jwk()]}))),
        ..workload("bot", &[of_github()])
    };
    world.tenant.create_client(&both, &world.env()).unwrap();
    let of_itself = |signer: &Signer, issuer: &str, jti: &str| {
        let exp = START + 60;
        signer.sign(&header("k1"), &json!({"iss": issuer, "sub": "bot", "aud": OURS, "exp": exp, "jti": jti}))
    };
    let method = |assertion: &str| show(&world, JWT_BEARER, Some("bot"), assertion, &keys).map(|caller| caller.method);
    assert_eq!(method(&of_itself(&own, "bot", "1")), Ok(AuthMethod::PrivateKeyJwt));
    assert_eq!(method(&word(&platform, &header("k1"), ("jti", json!("2")))), Ok(AuthMethod::WorkloadJwt));
    assert_eq!(rule(method(&of_itself(&platform, "bot", "3"))), "token.signature");
    assert_eq!(rule(method(&of_itself(&own, GITHUB, "4"))), "token.signature");
    assert_eq!(rule(method(&word(&own, &header("k1"), ("jti", json!("5"))))), "token.signature");
}

/// A trust domain, what signs its JWT-SVIDs and its certificates, and three clients of it: one workload, some, and all.
fn of_domain() -> (World, Signer, Signer, Keys) {
    let world = World::new();
    let (svids, certificates) = (Signer::new("k1"), Signer::new("k2"));
    let keys = Keys::of(bundle(&svids, &certificates));
    trusted(&world, &at_url(DOMAIN));
    let id = |text: &str| Workload::of_spiffe_id(text).unwrap();
    world.tenant.create_client(&workload("bot", &[id(SALES)]), &world.env()).unwrap();
    world.tenant.create_client(&workload("crew", &[id("spiffe://example.org/agents/*")]), &world.env()).unwrap();
    world.tenant.create_client(&workload("all", &[id("spiffe://example.org/*")]), &world.env()).unwrap();
    (world, svids, certificates, keys)
}

#[test]
fn a_workload_of_a_trust_domain_shows_its_svid() {
    let (world, svids, _, keys) = of_domain();
    let shows = |client: &str, svid: &str| show(&world, JWT_SPIFFE, Some(client), svid, &keys);
    let good = |change| svid(&svids, &header("k1"), change);
    // It is kept and shown again, as JWT-SVIDs are; `iss` and `jti` say nothing here.
    for _ in 0..2 {
        assert_eq!(shows("bot", &good(nothing())).unwrap().method, AuthMethod::SpiffeJwt);
    }
    shows("bot", &good(("iss", json!("https://oidc.example.org")))).unwrap();
    for typ in [json!("JOSE"), Value::Null] {
        shows("bot", &svid(&svids, &changed(header("k1"), ("typ", typ)), nothing())).unwrap();
    }
    shows("bot", &svid(&svids, &json!({"alg": "ES256"}), nothing())).unwrap();
    let below = |path: &str| good(("sub", json!(format!("{DOMAIN}{path}"))));
    for (client, path, fits) in [
        ("bot", "/agents/sales", true),
        ("bot", "/agents/sales/1", false),
        ("bot", "/agents/sale", false),
        ("crew", "/agents/sales", true),
        ("crew", "/agents/sales/1", true),
        ("crew", "/agents", false),
        ("crew", "/agents2/sales", false),
        ("crew", "/agentsales", false),
        ("all", "/x", true),
    ] {
        let refused = shows(client, &below(path)).err().map(|refusal| refusal.rule);
        assert_eq!(refused, (!fits).then_some("workload.subject"), "{client} {path}");
    }
}

#[test]
fn what_is_no_svid_for_us_is_refused() {
    let (world, svids, certificates, keys) = of_domain();
    let shows = |client: &str, svid: &str| show(&world, JWT_SPIFFE, Some(client), svid, &keys);
    let good = |change| svid(&svids, &header("k1"), change);
    let headed = |change| svid(&svids, &changed(header("k1"), change), nothing());
    for (assertion, expected) in [
        (svid(&certificates, &header("k2"), nothing()), "token.kid"),
        (svid(&certificates, &json!({"alg": "ES256"}), nothing()), "token.signature"),
        (svid(&Signer::new("k1"), &header("k1"), nothing()), "token.signature"),
        (good(("sub", json!("spiffe://example.com/agents/sales"))), "workload.issuer"),
        (good(("sub", json!("spiffe://example.org"))), "workload.form"),
        (good(("sub", json!("spiffe://example.org/"))), "workload.form"),
        (good(("sub", json!("spiffe://example.org/agents/../agents/sales"))), "workload.form"),
        (good(("sub", json!("spiffe://example.org/agents//sales"))), "workload.form"),
        (good(("sub", json!("spiffe://example.org/agents/*"))), "workload.form"),
        (good(("sub", json!("spiffe://example.org:1/agents/sales"))), "workload.form"),
        (good(("sub", json!("spiffe://EXAMPLE.org/agents/sales"))), "workload.form"),
        (good(("sub", json!("SPIFFE://example.org/agents/sales"))), "workload.form"),
        (good(("sub", json!("spiffe://example.org/agents/sales?x"))), "workload.form"),
        (good(("sub", json!("ä"))), "workload.form"),
        (good(("sub", Value::Null)), "workload.form"),
        (good(("aud", json!([OURS, "reports"]))), "workload.audience"),
        (good(("aud", Value::Null)), "workload.audience"),
        (good(("exp", Value::Null)), "token.exp"),
        (good(("exp", json!(START - 31))), "token.expired"),
        (good(("exp", json!(START + 7_200))), "token.life"),
        (good(("cnf", json!({"jwk": {}}))), "workload.cnf"),
        (headed(("typ", json!("wit+jwt"))), "workload.typ"),
        (headed(("alg", json!("EdDSA"))), "workload.algorithm"),
        (headed(("alg", json!("HS256"))), "workload.algorithm"),
        (headed(("alg", Value::Null)), "workload.algorithm"),
    ] {
        let refusal = shows("bot", &assertion).unwrap_err();
        assert_eq!((refusal.rule, refusal.error), (expected, ErrorCode::InvalidClient), "{assertion}");
    }
    assert_eq!(rule(show(&world, JWT_SPIFFE, None, &good(nothing()), &keys)), "workload.client_id");
    assert_eq!(rule(shows("sales", &good(nothing()))), "workload.client");
    // A trust domain's row is of no use to an assertion of RFC 7523 that says it is its issuer.
    let as_issuer = svid(&svids, &header("k1"), ("iss", json!(DOMAIN)));
    assert_eq!(rule(show(&world, JWT_BEARER, Some("bot"), &as_issuer, &keys)), "workload.client");
    // Once it is to be used once, it needs a `jti`.
    trusted(&world, &WorkloadIssuer { reusable: false, ..at_url(DOMAIN) });
    assert_eq!(rule(shows("bot", &good(nothing()))), "workload.jti");
    shows("bot", &good(("jti", json!("1")))).unwrap();
    assert_eq!(rule(shows("bot", &good(("jti", json!("1"))))), "workload.replayed");
}

#[test]
fn an_issuer_or_a_workload_that_makes_no_sense_is_refused() {
    let world = World::new();
    let signer = Signer::new("k1");
    let plain = json!({"keys": [signer.jwk()]});
    let row = |issuer: &str, keys: ClientKeys| WorkloadIssuer::new(issuer, keys);
    let here = |set: &Value| ClientKeys::Jwks(set.clone());
    let mut private = signer.jwk();
    private["d"] = "AA".into();
    for (bad, expected) in [
        (row("http://a.example", here(&plain)), "workload.issuer"),
        (row("https://a.example/?x=1", here(&plain)), "workload.issuer"),
        (row("bot", here(&plain)), "workload.issuer"),
        (row("", here(&plain)), "workload.issuer"),
        (row(OURS, here(&plain)), "workload.own_issuer"),
        (row("https://id.example/acme/", here(&plain)), "workload.own_issuer"),
        (row("spiffe://", here(&plain)), "workload.issuer"),
        (row("spiffe://example.org/", here(&plain)), "workload.issuer"),
        (row("spiffe://Example.org", here(&plain)), "workload.issuer"),
        (row(DOMAIN, here(&plain)), "workload.keys"),
        (row(GITHUB, here(&json!({"keys": []}))), "workload.keys"),
        (row(GITHUB, here(&json!({"keys": [private]}))), "workload.keys"),
        (row(GITHUB, ClientKeys::JwksUri("http://a.example/jwks".into())), "workload.keys"),
        (WorkloadIssuer { life_max_s: 0, ..at_url(GITHUB) }, "workload.life"),
        (WorkloadIssuer { life_max_s: WORKLOAD_LIFE_MAX_S + 1, ..at_url(GITHUB) }, "workload.life"),
    ] {
        let refused = world.tenant.put_workload_issuer(&bad, "machine", &world.env());
        assert_eq!(rule(refused), expected, "{}", bad.issuer);
    }
    trusted(&world, &row(DOMAIN, here(&bundle(&signer, &signer))));
    trusted(&world, &row(GITHUB, here(&plain)));
    let of = |issuer: &str, subject: &str| Workload { issuer: issuer.into(), subject: subject.into() };
    for bad in [
        of(GITHUB, ""),
        of(GITHUB, "repo:acme/*"),
        of(GITHUB, "a\nb"),
        of(GITHUB, &"x".repeat(513)),
        of(DOMAIN, "spiffe://example.com/a"),
        of(DOMAIN, "spiffe://example.org"),
        of(DOMAIN, "spiffe://example.org/a*"),
        of(DOMAIN, "spiffe://example.org/*/a"),
        of(DOMAIN, "spiffe://example.org/a/"),
        of(DOMAIN, &format!("spiffe://example.org/{}", "x".repeat(2_048))),
    ] {
        let refused = world.tenant.create_client(&workload("bot", std::slice::from_ref(&bad)), &world.env());
        assert_eq!(rule(refused), "workload.subject", "{bad:?}");
    }
    let many: Vec<Workload> = (0..=WORKLOADS_MAX).map(|n| of(GITHUB, &format!("w{n}"))).collect();
    assert_eq!(rule(world.tenant.create_client(&workload("bot", &many), &world.env())), "workload.max");
    for method in [AuthMethod::WorkloadJwt, AuthMethod::SpiffeJwt] {
        let none = Client { auth_methods: vec![method], ..agent("bot") };
        assert_eq!(rule(world.tenant.create_client(&none, &world.env())), "client.workloads");
    }
    let spiffe = Client { auth_methods: vec![AuthMethod::SpiffeJwt], ..workload("bot", &[of_github()]) };
    assert_eq!(rule(world.tenant.create_client(&spiffe, &world.env())), "client.workloads", "of the other kind");
    for n in 2..WORKLOAD_ISSUERS_MAX {
        trusted(&world, &row(&format!("https://{n}.example"), here(&plain)));
    }
    let more = world.tenant.put_workload_issuer(&row("https://more.example", here(&plain)), "x", &world.env());
    assert_eq!(rule(more), "workload.max");
    trusted(&world, &row(GITHUB, here(&plain)));
}
