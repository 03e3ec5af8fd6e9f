//! Certificates that assertions carry (`x5c`): whose are believed, and for whom. UDAP's way.

use super::clients::{Signer, with};
use super::*;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType,
    date_time_ymd,
};

const NAME: &str = "https://sales.example.org/";

/// Somebody who signs certificates.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    der: Vec<u8>,
}

impl Authority {
    fn params(name: &str) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params
    }

    fn root(name: &str) -> Authority {
        Authority::rooted(Authority::params(name))
    }

    fn rooted(params: CertificateParams) -> Authority {
        let key = KeyPair::generate().unwrap();
        let der = params.self_signed(&key).unwrap().der().to_vec();
        Authority { issuer: Issuer::new(params, key), der }
    }

    fn below(&self, name: &str) -> Authority {
        let (params, key) = (Authority::params(name), KeyPair::generate().unwrap());
        let der = params.signed_by(&key, &self.issuer).unwrap().der().to_vec();
        Authority { issuer: Issuer::new(params, key), der }
    }

    fn pem(&self) -> String {
        format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", STANDARD.encode(&self.der))
    }

    /// A client's certificate with a name, and what is changed in it; and its key.
    fn signs(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> (Vec<u8>, Signer) {
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![SanType::URI(name.try_into().unwrap())];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        (params.not_before, params.not_after) = (date_time_ymd(2026, 1, 1), date_time_ymd(2030, 1, 1));
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let der = params.signed_by(&key, &self.issuer).unwrap().der().to_vec();
        (der, Signer::of(&key.serialize_der()))
    }
}

fn x5c(chain: &[&[u8]]) -> Value {
    chain.iter().map(|der| STANDARD.encode(der)).collect()
}

/// An assertion of a client for us, which carries this.
fn carrying(signer: &Signer, id: &str, x5c: &Value) -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let jti = COUNT.fetch_add(1, Ordering::Relaxed).to_string();
    let claims = json!({
        "iss": id, "sub": id, "aud": "https://id.example/acme", "exp": START + 60, "iat": START, "jti": jti,
    });
    let mut header = json!({"alg": "ES256", "typ": "JWT"});
    if !x5c.is_null() {
        header["x5c"] = x5c.clone();
    }
    signer.sign(&header, &claims)
}

fn by_chain(id: &str, authorities: &str, subject: &str) -> Client {
    let chain = AssertionChain { authorities: authorities.to_owned(), subject: subject.parse().unwrap() };
    Client { auth_methods: vec![AuthMethod::PrivateKeyJwt], assertion_chain: Some(chain), ..agent(id) }
}

fn uri() -> String {
    format!("san-uri={NAME}")
}

#[test]
fn a_chain_to_the_clients_own_authority_shows_who_it_is() {
    let world = World::new();
    let (root, strange) = (Authority::root("root"), Authority::root("strange"));
    let (middle, lower) = (root.below("middle"), root.below("middle").below("lower"));
    world.tenant.create_client(&by_chain("bot", &root.pem(), &uri()), &world.env()).unwrap();
    world
        .tenant
        .create_client(&by_chain("two", &(strange.pem() + &root.pem()), "san-dns=two.example"), &world.env())
        .unwrap();
    let (own, signer) = middle.signs(NAME, |_| {});
    let shows = |signer: &Signer, x5c: &Value| with(&world, &carrying(signer, "bot", x5c), &NoKeys);

    // With what stands between, in any order, and with the root or without.
    for chain in [&[&own[..], &middle.der][..], &[&own, &middle.der, &root.der], &[&own, &root.der, &middle.der]] {
        let caller = shows(&signer, &x5c(chain)).unwrap();
        assert_eq!((caller.method, caller.client.id.as_str()), (AuthMethod::PrivateKeyJwt, "bot"));
    }
    let (direct, of_direct) = root.signs(NAME, |params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    });
    shows(&of_direct, &x5c(&[&direct])).unwrap();
    // Another certificate of the same name, with another key: nothing has to be registered anew.
    let (renewed, of_renewed) = root.signs(NAME, |_| {});
    shows(&of_renewed, &x5c(&[&renewed])).unwrap();
    // An assertion is used once, whatever it carries.
    let once = carrying(&of_direct, "bot", &x5c(&[&direct]));
    with(&world, &once, &NoKeys).unwrap();
    assert_eq!(rule(with(&world, &once, &NoKeys)), "client.assertion.replayed");
    // Another client has the same authority, and its own name.
    assert_eq!(rule(with(&world, &carrying(&of_direct, "two", &x5c(&[&direct])), &NoKeys)), "client.chain.subject");
    let (two, of_two) = root.signs(NAME, |params| {
        params.subject_alt_names = vec![SanType::DnsName("two.example".try_into().unwrap())];
    });
    with(&world, &carrying(&of_two, "two", &x5c(&[&two])), &NoKeys).unwrap();

    let (strangers, of_stranger) = strange.signs(NAME, |_| {});
    let with_chain = |change: &dyn Fn(&mut CertificateParams)| root.signs(NAME, |params| change(params));
    let refused = |(der, signer): (Vec<u8>, Signer)| rule(shows(&signer, &x5c(&[&der])));
    for (answer, expected) in [
        (rule(shows(&of_stranger, &x5c(&[&strangers]))), "client.chain.authority"),
        (rule(shows(&of_stranger, &x5c(&[&strangers, &strange.der]))), "client.chain.authority"),
        // What stands between is not there, or is of another.
        (rule(shows(&signer, &x5c(&[&own]))), "client.chain.authority"),
        (rule(shows(&signer, &x5c(&[&own, &lower.der]))), "client.chain.authority"),
        // Somebody else signed the assertion; the chain is good.
        (rule(shows(&of_direct, &x5c(&[&own, &middle.der]))), "token.signature"),
        (refused(root.signs("https://other.example/", |_| {})), "client.chain.subject"),
        (refused(root.signs("https://sales.example.org", |_| {})), "client.chain.subject"),
        (refused(with_chain(&|params| params.subject_alt_names.clear())), "client.chain.subject"),
        (refused(with_chain(&|params| params.not_after = date_time_ymd(2027, 1, 1))), "client.chain.authority"),
        (refused(with_chain(&|params| params.not_before = date_time_ymd(2029, 1, 1))), "client.chain.authority"),
        (
            refused(with_chain(&|params| params.key_usages = vec![KeyUsagePurpose::KeyEncipherment])),
            "client.chain.usage",
        ),
        (
            refused(with_chain(&|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth])),
            "client.chain.authority",
        ),
        // An authority is no client, and a client no authority.
        (
            refused(with_chain(&|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained))),
            "client.chain.authority",
        ),
        (rule(shows(&signer, &Value::Null)), "client.chain.none"),
    ] {
        assert_eq!(answer, expected);
    }
    let good = STANDARD.encode(&direct);
    let many: Value = (0..7).map(|_| good.clone()).collect();
    for bad in [json!([]), json!({}), json!(good), json!([7]), json!(["!"]), json!([good, ""]), many] {
        let answer = rule(shows(&of_direct, &bad));
        assert!(["client.chain.form", "client.chain.authority"].contains(&answer), "{bad}: {answer}");
    }
    assert_eq!(rule(shows(&of_direct, &json!(["AAAA".repeat(3_000)]))), "client.chain.form");
}

/// Where nobody registered authorities, a chain is worth nothing, and costs nobody anything either.
#[test]
fn without_authorities_a_chain_is_not_looked_at() {
    let world = World::new();
    let root = Authority::root("root");
    let (own, signer) = root.signs(NAME, |_| {});
    let registered = Signer::new("k1");
    let keys = Some(ClientKeys::Jwks(json!({"keys": [registered.jwk()]})));
    let keyed = Client { auth_methods: vec![AuthMethod::PrivateKeyJwt], keys: keys.clone(), ..agent("bot") };
    world.tenant.create_client(&keyed, &world.env()).unwrap();
    let chain = x5c(&[&own]);
    assert_eq!(rule(with(&world, &carrying(&signer, "bot", &chain), &NoKeys)), "token.signature");
    with(&world, &carrying(&registered, "bot", &chain), &NoKeys).unwrap();
    with(&world, &carrying(&registered, "bot", &json!("what it likes")), &NoKeys).unwrap();
    // Who has both is judged by what it shows: from keys to certificates, and back, without a gap.
    let both = Client { keys, id: "both".into(), ..by_chain("both", &root.pem(), &uri()) };
    world.tenant.create_client(&both, &world.env()).unwrap();
    with(&world, &carrying(&signer, "both", &chain), &NoKeys).unwrap();
    with(&world, &carrying(&registered, "both", &Value::Null), &NoKeys).unwrap();
    assert_eq!(rule(with(&world, &carrying(&registered, "both", &chain), &NoKeys)), "token.signature");
}

#[test]
fn an_authority_that_is_over_signs_no_more_and_what_is_none_is_not_registered() {
    let mut world = World::new();
    let mut params = Authority::params("short");
    params.not_after = date_time_ymd(2027, 6, 1);
    let short = Authority::rooted(params);
    let (own, signer) = short.signs(NAME, |_| {});
    let key = |now: u64| by_chain("bot", &short.pem(), &uri()).assertion_chain.unwrap().key(&x5c(&[&own]), now);
    assert!(key(1_801_000_000).is_ok(), "in January 2027");
    assert_eq!(rule(key(1_820_000_000)), "client.chain.authority", "in September");
    drop(signer);
    world.now = START;
    let root = Authority::root("root");
    let (leaf, of_leaf) = root.signs(NAME, |_| {});
    let own = format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", STANDARD.encode(&leaf));
    let private = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n".to_owned();
    let mut encrypts = Authority::params("encrypts");
    encrypts.key_usages = vec![KeyUsagePurpose::KeyEncipherment];
    let too_many = root.pem().repeat(AUTHORITIES_MAX + 1);
    let long = format!("{}{}", root.pem(), " ".repeat(AUTHORITIES_BYTES_MAX));
    for bad in [
        String::new(),
        "no PEM".to_owned(),
        own,
        private.clone(),
        root.pem() + &private,
        too_many,
        long,
        Authority::rooted(encrypts).pem(),
        root.pem().replacen('M', "A", 1),
    ] {
        let refusal = world.tenant.create_client(&by_chain("bot", &bad, &uri()), &world.env()).unwrap_err();
        assert_eq!((refusal.rule, refusal.error), ("client.chain", ErrorCode::InvalidRequest), "{bad}");
    }
    // It is for `private_key_jwt` and for nothing else.
    let other = Client { auth_methods: vec![AuthMethod::ClientSecretBasic], ..by_chain("bot", &root.pem(), &uri()) };
    assert_eq!(rule(world.tenant.create_client(&other, &world.env())), "client.chain");
    drop(of_leaf);
}

fn ready() -> &'static (AssertionChain, Vec<Vec<u8>>) {
    static READY: std::sync::LazyLock<(AssertionChain, Vec<Vec<u8>>)> = std::sync::LazyLock::new(|| {
        let root = Authority::root("root");
        let middle = root.below("middle");
        let (own, _) = middle.signs(NAME, |_| {});
        (by_chain("bot", &root.pem(), &uri()).assertion_chain.unwrap(), vec![own, middle.der])
    });
    &READY
}

proptest! {
    /// A chain in which one byte is another is nobody's.
    #[test]
    fn a_chain_with_another_byte_is_refused(which in 0_usize..2, at: prop::sample::Index, bits in 1_u8..) {
        let (registered, chain) = ready();
        let mut chain = chain.clone();
        assert!(registered.key(&x5c(&[&chain[0], &chain[1]]), START).is_ok());
        let at = at.index(chain[which].len());
        chain[which][at] ^= bits;
        let answer = rule(registered.key(&x5c(&[&chain[0], &chain[1]]), START));
        assert!(answer.starts_with("client.chain."), "{}", answer);
    }

    /// What strangers write in the header is refused, and breaks nothing.
    #[test]
    fn any_x5c_is_refused(parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..8), text in ".{0,40}") {
        let (registered, chain) = ready();
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        for bad in [x5c(&parts), json!(text), json!([text]), x5c(&[&parts[..], &[&chain[1]]].concat())] {
            let answer = rule(registered.key(&bad, START));
            assert!(answer.starts_with("client.chain."), "{}", answer);
        }
    }
}
