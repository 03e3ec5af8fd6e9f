//! Proofs of possession: what one must be, and what hangs on its key (RFC 9449).

use super::clients::Signer;
use super::*;

const TOKEN_URL: &str = "https://id.example/acme/token";

fn of(token: Option<&str>) -> Proved<'_> {
    Proved { method: "POST", url: TOKEN_URL, token }
}

/// A proof, with other headers or claims; a null takes one away.
fn proof(signer: &Signer, header: (&str, Value), claim: (&str, Value)) -> String {
    let mut head = json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": signer.jwk()});
    let mut claims = json!({"htm": "POST", "htu": TOKEN_URL, "iat": START, "jti": "1"});
    for (place, (name, value)) in [(&mut head, header), (&mut claims, claim)] {
        if value.is_null() {
            place.as_object_mut().unwrap().remove(name);
        } else {
            place[name] = value;
        }
    }
    signer.sign(&head, &claims)
}

#[test]
fn a_proof_is_of_this_request_and_used_once() {
    let world = World::new();
    let (signer, other) = (Signer::new("k"), Signer::new("k"));
    let check = |proof: &str| world.tenant.check_proof(proof, &of(None), &world.env());
    let none = || ("none", Value::Null);
    let good = proof(&signer, none(), none());
    let jkt = check(&good).unwrap();
    assert!(is_thumbprint(&jkt));
    assert_eq!(rule(check(&good)), "dpop.replayed");
    assert_eq!(check(&proof(&signer, ("kid", json!("x")), ("jti", json!("2")))).unwrap(), jkt);
    assert_ne!(check(&proof(&other, none(), ("jti", json!("1")))).unwrap(), jkt, "another key, another proof");
    let with_query = ("htu", json!(format!("{TOKEN_URL}?x=1#y")));
    assert_eq!(rule(check(&proof(&signer, none(), with_query))), "dpop.replayed", "query and fragment do not count");
    let private = {
        let mut jwk = signer.jwk();
        jwk["d"] = json!("AA");
        jwk
    };
    for (header, claim, expected) in [
        (("typ", json!("JWT")), none(), "dpop.typ"),
        (("typ", Value::Null), none(), "dpop.typ"),
        (("jwk", Value::Null), none(), "dpop.jwk"),
        (("jwk", json!({"kty": "oct", "k": "AA"})), none(), "dpop.private"),
        (("jwk", json!({"kty": "EC"})), none(), "dpop.jwk"),
        (("jwk", private), none(), "dpop.private"),
        (("jwk", other.jwk()), none(), "token.signature"),
        (("alg", json!("none")), none(), "token.algorithm"),
        (("alg", json!("HS256")), none(), "token.algorithm"),
        (("crit", json!(["x"])), none(), "token.crit"),
        (none(), ("htm", json!("GET")), "dpop.htm"),
        (none(), ("htm", Value::Null), "dpop.htm"),
        (none(), ("htu", json!("https://id.example/acme/par")), "dpop.htu"),
        (none(), ("htu", Value::Null), "dpop.htu"),
        (none(), ("iat", json!(START - DPOP_WINDOW_S - 1)), "dpop.iat"),
        (none(), ("iat", json!(START + DPOP_WINDOW_S + 1)), "dpop.iat"),
        (none(), ("iat", Value::Null), "dpop.iat"),
        (none(), ("jti", Value::Null), "dpop.jti"),
        (none(), ("jti", json!("")), "dpop.jti"),
    ] {
        let refusal = check(&proof(&signer, header.clone(), claim.clone())).unwrap_err();
        assert_eq!((refusal.rule, refusal.error), (expected, ErrorCode::InvalidDpopProof), "{header:?} {claim:?}");
    }
    assert_eq!(rule(check("x")), "token.form");
    let token = "a-token";
    let with = |claim| world.tenant.check_proof(&proof(&signer, none(), claim), &of(Some(token)), &world.env());
    assert_eq!(rule(with(("jti", json!("3")))), "dpop.ath");
    assert_eq!(rule(with(("ath", json!(hash_of("another"))))), "dpop.ath");
    let bound = json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": signer.jwk()});
    let claims = json!({"htm": "POST", "htu": TOKEN_URL, "iat": START, "jti": "4", "ath": hash_of(token)});
    let bound = signer.sign(&bound, &claims);
    assert_eq!(world.tenant.check_proof(&bound, &of(Some(token)), &world.env()).unwrap(), jkt);
}

/// Who has shown nothing but a key writes nothing: a proof is used up in the write that gives something for it.
#[test]
fn a_proof_that_gets_nothing_leaves_nothing() {
    let world = World::new();
    let signer = Signer::new("k");
    let none = || ("none", Value::Null);
    let (first, second) = (proof(&signer, none(), none()), proof(&signer, none(), ("jti", json!("2"))));
    let take =
        |identity: &Identity, text: &str| identity.named("acme").unwrap().take_proof(text, &of(None), &world.env());
    let revision = || world.tenant.view().unwrap().revision();
    let before = (revision(), take(&world.identity, &first).unwrap());
    assert_eq!(rule(take(&world.identity, &first)), "dpop.replayed", "not even while nothing is written");
    assert_eq!(revision(), before.0);
    // What is in memory goes with the process; what was given for a proof stays, and so does that it was used.
    let again = || Identity::open(world.tenant.engine().clone(), ring(), &world.env()).unwrap();
    let taken = take(&again(), &first).unwrap();
    assert_eq!(taken, before.1);
    let caller = Caller { jkt: Some(taken.jkt.clone()), ..world.caller("sales") };
    let redeem = |taken: &Proof, code: &str| {
        let form = form(&[("code", code), ("code_verifier", VERIFIER), ("redirect_uri", CALLBACK)]);
        CodeGrant.redeem(&world.tenant, &caller, &form, &Env { proof: Some(taken), ..world.env() })
    };
    assert!(redeem(&taken, "x").is_err());
    assert!(take(&again(), &first).is_ok());
    let tokens = redeem(&taken, &world.code("sales", "sarah", &[("scope", "read")])).unwrap();
    assert_eq!(tokens.token_type, "DPoP");
    assert_eq!(rule(take(&again(), &first)), "dpop.replayed");
    assert_eq!(rule(world.tenant.check_proof(&first, &of(None), &world.env())), "dpop.replayed");
    // Where something else than a token of ours was given.
    let taken = take(&world.identity, &second).unwrap();
    let env = Env { proof: Some(&taken), ..world.env() };
    world.tenant.keep_proof(&env).unwrap();
    world.tenant.keep_proof(&env).unwrap();
    assert_eq!(rule(take(&again(), &second)), "dpop.replayed");
}

#[test]
fn what_is_bound_to_a_key_is_of_use_with_it_alone() {
    let world = World::new();
    let public = Client {
        auth_methods: vec![AuthMethod::None],
        grant_types: strings(&["authorization_code", "refresh_token"]),
        dpop_bound_access_tokens: true,
        ..app("spa")
    };
    world.tenant.create_client(&public, &world.env()).unwrap();
    let caller = |jkt: Option<&str>| Caller { jkt: jkt.map(str::to_owned), ..world.caller("spa") };
    let redeem = |code: &str, jkt: Option<&str>| {
        let form = form(&[("code", code), ("code_verifier", VERIFIER), ("redirect_uri", CALLBACK)]);
        CodeGrant.redeem(&world.tenant, &caller(jkt), &form, &world.env())
    };
    let (key, another) = (hash_of("a key"), hash_of("another"));
    let code = world.code("spa", "sarah", &[("scope", "openid read offline_access"), ("dpop_jkt", &key)]);
    assert_eq!(rule(redeem(&code, None)), "code.dpop");
    assert_eq!(rule(redeem(&code, Some(&another))), "code.dpop");
    let tokens = redeem(&code, Some(&key)).unwrap();
    assert_eq!(tokens.token_type, "DPoP");
    assert_eq!(claims(&tokens.access_token)["cnf"], json!({"jkt": key}));
    assert_eq!(world.examine(&tokens.access_token).unwrap().jkt.as_ref(), Some(&key));
    // A public client's refresh tokens are bound too.
    let refresh = |jkt: Option<&str>| {
        let form = form(&[("refresh_token", tokens.refresh_token.as_ref().unwrap())]);
        RefreshGrant.redeem(&world.tenant, &caller(jkt), &form, &world.env())
    };
    assert_eq!(rule(refresh(None)), "refresh.dpop");
    assert_eq!(rule(refresh(Some(&another))), "refresh.dpop");
    refresh(Some(&key)).unwrap();
    let unbound = world.code("spa", "sarah", &[]);
    assert_eq!(rule(redeem(&unbound, None)), "dpop.missing");
    let refused = world.tenant.take_request(&request("spa", &[("dpop_jkt", "x")]), &world.env()).unwrap_err();
    assert_eq!(refused.refusal().rule, "request.dpop_jkt");
}

#[test]
fn an_invitation_is_good_once_and_for_a_while() {
    let mut world = World::new();
    let secret = world.tenant.invite("sarah", 100, &world.env()).unwrap();
    assert_eq!(world.tenant.invited(&secret, &world.env()).unwrap().id, "sarah");
    assert_eq!(rule(world.tenant.invited("x", &world.env())), "invitation.over");
    assert_eq!(world.tenant.use_invitation(&secret, &world.env()).unwrap().id, "sarah");
    assert_eq!(rule(world.tenant.use_invitation(&secret, &world.env())), "invitation.over");
    let late = world.tenant.invite("sarah", 100, &world.env()).unwrap();
    let void = world.tenant.invite("sarah", 1_000, &world.env()).unwrap();
    world.now += 100;
    assert_eq!(rule(world.tenant.invited(&late, &world.env())), "invitation.over");
    world.tenant.sign_out_everywhere("sarah", "test", &world.env()).unwrap();
    assert_eq!(rule(world.tenant.invited(&void, &world.env())), "invitation.over");
}
