//! The negative modules of the OpenID conformance suite for the FAPI 2.0 Security Profile, with `private_key_jwt`, pushed
//! requests and DPoP: see `openid_conformance`. Modules of one plan begin alike; [`fapi`] puts that before the rest.

use crate::identity::{CALLBACK, Heard, env};
use crate::openid_conformance::{Judge, Pairs, Signer, Suite, Who, ago, changed, form, message, redeeming, with};
use bailiwick::identity::{AuthMethod, Caller, Decided, encode, hash_of, unverified_claim};
use serde_json::{Value, json};

fn fapi(rest: &str) -> String {
    format!("fapi2-security-profile-final-{rest}")
}

/// The thumbprint of a key of P-256 (RFC 7638).
fn thumbprint(signer: &Signer) -> String {
    let jwk = signer.jwk();
    hash_of(&format!(r#"{{"crv":"P-256","kty":"EC","x":{},"y":{}}}"#, jwk["x"], jwk["y"]))
}

/// A proof of a key, with a change to its header and some to its claims.
fn proof_with(
    suite: &Suite,
    signer: &Signer,
    (method, path): (&str, &str),
    header: (&str, Value),
    more: &[(&str, Value)],
) -> String {
    let head = json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": signer.jwk()});
    let claims = json!({
        "htm": method, "htu": suite.tenant().url(path), "iat": env().seconds(), "jti": env().secret(),
    });
    signer.sign(&changed(head, header), &more.iter().cloned().fold(claims, changed))
}

fn proof(suite: &Suite, signer: &Signer, path: &str) -> String {
    proof_with(suite, signer, ("POST", path), ("x", Value::Null), &[])
}

/// Sends with a proof of a key, when there is one.
fn send(suite: &Suite, path: &str, key: Option<&Signer>, pairs: &Pairs) -> Heard {
    let proof = key.map(|key| proof(suite, key, path));
    let headers: Vec<(&str, &str)> = proof.as_deref().map(|proof| ("dpop", proof)).into_iter().collect();
    suite.post(path, &headers, pairs)
}

fn push(suite: &Suite, who: Who<'_>, key: Option<&Signer>, more: &[(&'static str, &str)]) -> Heard {
    let pairs = [suite.auth(who), with(suite.asked(who.id), more)].concat();
    send(suite, "/par", key, &pairs)
}

fn uri(heard: &Heard) -> String {
    heard.json()["request_uri"].as_str().unwrap_or_else(|| panic!("{}", heard.body)).to_owned()
}

fn authorize(suite: &Suite, client: &str, uri: &str, more: &[(&'static str, &str)]) -> Heard {
    let pairs = vec![("client_id", client.to_owned()), ("request_uri", uri.to_owned())];
    suite.get("/authorize", &[], &with(pairs, more))
}

/// What the client is told by way of the browser.
fn decided(suite: &Suite, who: Who<'_>, pushed: &Heard, decided: &Decided, parameter: &str) -> String {
    let id = suite.request_of(&authorize(suite, who.id, &uri(pushed), &[]));
    suite.complete(&id, decided, 0, parameter)
}

/// A code of a client whose pushed request proved a key.
fn code(suite: &Suite, who: Who<'_>, key: &Signer) -> String {
    decided(suite, who, &push(suite, who, Some(key), &[]), &Decided::Allowed { scopes: None }, "code")
}

fn redeem(suite: &Suite, who: Who<'_>, key: Option<&Signer>, code: &str, more: &[(&'static str, &str)]) -> Heard {
    send(suite, "/token", key, &[suite.auth(who), with(redeeming(code), more)].concat())
}

#[test]
fn pushed_requests() {
    let (suite, judge) = (Suite::new(), Judge::default());
    let (first, second, key, other) = (suite.first("fapi1"), suite.second("fapi2"), Signer::new(), Signer::new());
    let push = |more: &[(&'static str, &str)]| push(&suite, first, Some(&key), more);
    for (module, more, error) in [
        ("par-ensure-pkce-required", [("code_challenge", ""), ("code_challenge_method", "")], "invalid_request"),
        ("par-plain-pkce-rejected", [("code_challenge_method", "plain"), ("x", "")], "invalid_request"),
        (
            "par-authorization-request-containing-request_uri-form-param",
            [("request_uri", "urn:ietf:params:oauth:request_uri:x"), ("x", "")],
            "invalid_request",
        ),
        (
            "ensure-registered-redirect-uri",
            [("redirect_uri", "https://app.example/cb/x"), ("x", "")],
            "invalid_request",
        ),
        (
            "plain-fapi-tolerate-unregistered-redirect-uri",
            [("redirect_uri", "https://other.example/"), ("x", "")],
            "invalid_request",
        ),
        ("ensure-redirect-uri-in-authorization-request", [("redirect_uri", ""), ("x", "")], "invalid_request"),
        ("ensure-request-object-without-redirect-uri-fails", [("redirect_uri", ""), ("y", "")], "invalid_request"),
        (
            "ensure-response-type-code-idtoken-fails",
            [("response_type", "code id_token"), ("nonce", "n")],
            "unsupported_response_type",
        ),
        ("ensure-response-type-token-fails", [("response_type", "token"), ("x", "")], "unsupported_response_type"),
    ] {
        judge.row(&fapi(module), &push(&more), 400, error);
    }
    let mismatched = push(&[("dpop_jkt", &thumbprint(&other))]);
    judge.row(&fapi("ensure-mismatched-dpop-jkt-fails"), &mismatched, 400, "invalid_request");
    let put = suite.issuing.send("PUT", "/t/acme/par", &[], "");
    judge.row(&fapi("par-attempt-invalid-http-method"), &put, 405, "page");
    let direct = suite.get("/authorize", &[], &suite.asked("fapi1"));
    let module = fapi("ensure-unsigned-authorization-request-without-using-par-fails");
    judge.row(&module, &direct, 303, "invalid_request");

    let pushed = push(&[]);
    assert_eq!(pushed.status, 201, "{}", pushed.body);
    let module = fapi("par-attempt-to-use-request_uri-for-different-client");
    judge.row(&module, &authorize(&suite, second.id, &uri(&pushed), &[]), 400, "page");
    let module = fapi("par-ensure-reused-request-uri-prior-to-auth-completion-succeeds");
    judge.row(&module, &authorize(&suite, first.id, &uri(&pushed), &[]), 303, "login");
    let used = decided(&suite, first, &pushed, &Decided::Allowed { scopes: None }, "code");
    assert!(!used.is_empty());
    let again = authorize(&suite, first.id, &uri(&pushed), &[]);
    judge.row(&fapi("par-attempt-reuse-request_uri"), &again, 400, "page");
    let caller =
        Caller { client: suite.tenant().client("fapi1").unwrap(), method: AuthMethod::PrivateKeyJwt, jkt: None };
    let (old, life) = suite.tenant().push_request(&caller, &form(&suite.asked("fapi1")), &ago(91)).unwrap();
    assert_eq!(life, 90);
    let late = authorize(&suite, first.id, &old, &[]);
    judge.row(&fapi("par-attempt-to-use-expired-request_uri"), &late, 400, "page");

    let refused = decided(&suite, first, &push(&[]), &Decided::Denied, "error");
    judge.holds(&fapi("user-rejects-authentication"), refused == "access_denied");
}

/// What a client wants back it gets letter for letter, or is told that it is too long.
#[test]
fn states_and_nonces() {
    let (suite, judge) = (Suite::new(), Judge::default());
    let (first, key, all) = (suite.first("fapi1"), Signer::new(), Decided::Allowed { scopes: None });
    let (long, longer) = ("s".repeat(1_000), "s".repeat(2_049));
    for (module, state) in [
        ("ensure-authorization-request-without-state-success", ""),
        ("ensure-authorization-request-with-long-state", &long),
    ] {
        let pushed = push(&suite, first, Some(&key), &[("state", state)]);
        judge.holds(&fapi(module), decided(&suite, first, &pushed, &all, "state") == state);
    }
    let (some, nonce) = ("n".repeat(64), "n".repeat(384));
    for (module, nonce) in [
        ("ensure-authorization-request-without-nonce-success", None),
        ("ensure-authorization-request-with-64-char-nonce-success", Some(some.as_str())),
        ("ensure-authorization-request-with-long-nonce", Some(nonce.as_str())),
    ] {
        let pushed = push(&suite, first, Some(&key), &[("nonce", nonce.unwrap_or_default())]);
        let code = decided(&suite, first, &pushed, &all, "code");
        let tokens = redeem(&suite, first, Some(&key), &code, &[]).json();
        let found = unverified_claim(tokens["id_token"].as_str().unwrap(), "nonce");
        judge.holds(&fapi(module), found.as_deref() == nonce);
    }
    for name in ["state", "nonce"] {
        let heard = push(&suite, first, Some(&key), &[(name, &longer)]);
        judge.row(
            &fapi(&format!("ensure-authorization-request-with-long-{name} (too long)")),
            &heard,
            400,
            "invalid_request",
        );
    }
    let order = push(&suite, first, Some(&key), &[("scope", "read offline_access openid")]);
    judge.row(&fapi("ensure-other-scope-order-succeeds"), &order, 201, "none");
    let alone = authorize(&suite, first.id, &uri(&push(&suite, first, Some(&key), &[])), &[]);
    judge.row(&fapi("par-without-duplicate-parameters"), &alone, 303, "login");
}

/// What stands beside a pushed request does not count.
#[test]
fn parameters_beside_a_pushed_request() {
    let (suite, judge) = (Suite::new(), Judge::default());
    let (first, key) = (suite.first("fapi1"), Signer::new());
    let push = |more: &[(&'static str, &str)]| push(&suite, first, Some(&key), more);
    let beside = [("state", "another"), ("nonce", "another"), ("redirect_uri", "https://other.example/")];
    for (module, pushed, state) in [
        ("ensure-different-state-inside-and-outside-request-object", push(&[]), "s-1"),
        ("state-only-outside-request-object-not-used", push(&[("state", "")]), ""),
    ] {
        let id = suite.request_of(&authorize(&suite, first.id, &uri(&pushed), &beside));
        let found = suite.complete(&id, &Decided::Allowed { scopes: None }, 0, "state");
        judge.holds(&fapi(module), found == state);
    }
    let pushed = push(&[("nonce", "n-1")]);
    let id = suite.request_of(&authorize(&suite, first.id, &uri(&pushed), &beside));
    let request = suite.tenant().request(&id, &env()).unwrap();
    let module = fapi("ensure-different-nonce-inside-and-outside-request-object");
    judge.holds(&module, request.nonce.as_deref() == Some("n-1") && request.redirect_uri == CALLBACK);
}

#[test]
fn who_the_client_is() {
    let (suite, judge) = (Suite::new(), Judge::default());
    let (first, second, key) = (suite.first("fapi1"), suite.second("fapi2"), Signer::new());
    let asked = || with(suite.asked("fapi1"), &[("client_id", "")]); // the client is the one that shows who it is
    let pushed = |auth: Pairs| send(&suite, "/par", Some(&key), &[auth, asked()].concat());
    for (what, auth) in suite.bad_assertions(first, "/par") {
        let malformed = what.starts_with("client_assertion_type");
        let (status, error) = if malformed { (400, "invalid_request") } else { (401, "invalid_client") };
        let module = format!("{} ({what})", fapi("ensure-invalid-client-assertions-fail"));
        judge.row(&module, &pushed(auth), status, error);
    }
    judge.row(&fapi("ensure-invalid-client-assertions-fail (a good one)"), &pushed(suite.auth(first)), 201, "none");

    let code = code(&suite, first, &key);
    let token = |auth: Pairs| send(&suite, "/token", Some(&key), &[auth, redeeming(&code)].concat());
    let without = token(vec![("client_id", "fapi1".into())]);
    judge.row(&fapi("ensure-client-assertion-in-token-endpoint"), &without, 401, "invalid_client");
    let sign = |claims: Value| suite.shows(&first.signer.sign(&json!({"alg": "ES256"}), &claims));
    let claims = || suite.claims("fapi1");
    for (module, change) in [
        ("ensure-client-assertion-with-exp-is-5-minutes-in-past-fails", ("exp", json!(env().seconds() - 300))),
        ("ensure-client-assertion-with-wrong-aud-fails", ("aud", json!("https://other.example/"))),
        ("ensure-client-assertion-with-no-sub-fails", ("sub", Value::Null)),
    ] {
        judge.row(&fapi(module), &token(sign(changed(claims(), change))), 401, "invalid_client");
    }
    let id_of_second = suite.shows(&first.signer.sign(&json!({"alg": "ES256"}), &suite.claims("fapi2")));
    judge.row(&fapi("ensure-client-id-in-token-endpoint"), &token(id_of_second), 401, "invalid_client");
    let another = token(suite.auth(second));
    judge.row(&fapi("ensure-authorization-code-is-bound-to-client"), &another, 400, "invalid_grant");

    // In older versions of the suite each of these is a module of its own.
    let (now, issuer) = (env().seconds(), suite.tenant().issuer());
    for (module, aud) in [
        ("par-test-array-as-audience-fails", json!([issuer, "https://other.example/"])),
        ("par-test-par-endpoint-url-as-audience-fails", json!(suite.tenant().url("/par"))),
    ] {
        judge.row(&fapi(module), &pushed(sign(changed(claims(), ("aud", aud)))), 401, "invalid_client");
    }
    let skewed = |by: u64| {
        let skewed = [("iat", now + by), ("nbf", now + by), ("exp", now + by + 60)];
        pushed(sign(skewed.into_iter().fold(claims(), |claims, (name, at)| changed(claims, (name, json!(at))))))
    };
    let module = fapi("par-ensure-jwt-client-assertions-nbf-over-60-seconds-in-the-future-fails");
    judge.row(&module, &skewed(90), 401, "invalid_client");
    let module = fapi("par-ensure-jwt-client-assertions-nbf-8-seconds-in-the-future-is-accepted");
    judge.row(&module, &skewed(8), 201, "none");

    let rsa = |alg: &str| {
        let auth = suite.shows(&suite.rsa.sign(alg, &suite.claims("fapi-rsa")));
        send(&suite, "/par", Some(&key), &[auth, suite.asked("fapi-rsa")].concat())
    };
    judge.row(&fapi("ensure-signed-client-assertion-with-RS256-fails"), &rsa("RS256"), 401, "invalid_client");
    judge.row(&fapi("ensure-signed-client-assertion-with-RS256-fails (PS256)"), &rsa("PS256"), 201, "none");
}

#[test]
fn codes_and_refresh() {
    let (suite, judge) = (Suite::new(), Judge::default());
    let (first, second, key, other) = (suite.first("fapi1"), suite.second("fapi2"), Signer::new(), Signer::new());
    let code = || code(&suite, first, &key);
    let fresh = code();
    let redeem =
        |key: Option<&Signer>, code: &str, more: &[(&'static str, &str)]| redeem(&suite, first, key, code, more);
    for (module, key, more, error) in [
        ("ensure-pkce-code-verifier-required", Some(&key), ("code_verifier", ""), "invalid_grant"),
        ("incorrect-pkce-code-verifier-rejected", Some(&key), ("code_verifier", &"x".repeat(43)), "invalid_grant"),
        ("ensure-holder-of-key-required", None, ("x", ""), "invalid_grant"),
        ("ensure-token-endpoint-fails-with-mismatched-dpop-proof-jkt", Some(&other), ("x", ""), "invalid_grant"),
    ] {
        judge.row(&fapi(module), &redeem(key, &fresh, &[more]), 400, error);
    }
    let jkt = thumbprint(&key);
    let named = push(&suite, first, None, &[("dpop_jkt", &jkt)]);
    let named = decided(&suite, first, &named, &Decided::Allowed { scopes: None }, "code");
    let module = fapi("ensure-token-endpoint-fails-with-mismatched-dpop-jkt");
    judge.row(&module, &redeem(Some(&other), &named, &[]), 400, "invalid_grant");
    judge.row(&fapi("ensure-dpop-auth-code-binding-success"), &redeem(Some(&key), &named, &[]), 200, "none");

    let caller =
        Caller { client: suite.tenant().client("fapi1").unwrap(), method: AuthMethod::PrivateKeyJwt, jkt: None };
    let (old, _) = suite.tenant().push_request(&caller, &form(&suite.asked("fapi1")), &ago(62)).unwrap();
    let old = vec![("client_id", "fapi1".to_owned()), ("request_uri", old)];
    let old = suite.tenant().take_request(&form(&old), &ago(62)).unwrap();
    let old = suite.complete(&old, &Decided::Allowed { scopes: None }, 62, "code");
    let module = fapi("ensure-token-endpoint-fails-with-expired-auth-code");
    judge.row(&module, &redeem(Some(&key), &old, &[]), 400, "invalid_grant");

    let redeemed = redeem(Some(&key), &fresh, &[]);
    judge.row(&fapi("ensure-dpopproof-at-par-endpoint-binding-success"), &redeemed, 200, "none");
    let tokens = redeemed.json();
    let refresh: Pairs = vec![
        ("grant_type", "refresh_token".into()),
        ("refresh_token", tokens["refresh_token"].as_str().unwrap().to_owned()),
    ];
    let ask = |auth: Pairs, key: Option<&Signer>| send(&suite, "/token", key, &[auth, refresh.clone()].concat());
    let module = fapi("refresh-token");
    let nobody = ask(vec![("client_id", "fapi1".into())], Some(&key));
    judge.row(&format!("{module} (no client authentication)"), &nobody, 401, "invalid_client");
    judge.row(&format!("{module} (no proof)"), &ask(suite.auth(first), None), 400, "invalid_dpop_proof");
    let stranger = ask(suite.auth(second), Some(&key));
    judge.row(&format!("{module} (another client)"), &stranger, 400, "invalid_grant");
    judge.row(&module, &ask(suite.auth(first), Some(&key)), 200, "none");

    let again = redeem(Some(&key), &fresh, &[]);
    judge.row(&fapi("attempt-reuse-authorization-code-after-one-second"), &again, 400, "invalid_grant");
    let bearer = format!("DPoP {}", tokens["access_token"].as_str().unwrap());
    let ath = ("ath", json!(hash_of(tokens["access_token"].as_str().unwrap())));
    let proof = proof_with(&suite, &key, ("GET", "/userinfo"), ("x", Value::Null), &[ath]);
    let info = suite.get("/userinfo", &[("authorization", &bearer), ("dpop", &proof)], &Vec::new());
    let module = fapi("attempt-reuse-authorization-code-after-one-second (what it gave)");
    judge.row(&module, &info, 401, "invalid_token");
}

#[test]
fn proofs_at_a_resource() {
    let (suite, judge) = (Suite::new(), Judge::default());
    let (first, key, other) = (suite.first("fapi1"), Signer::new(), Signer::new());
    let tokens = redeem(&suite, first, Some(&key), &code(&suite, first, &key), &[]).json();
    let access = tokens["access_token"].as_str().unwrap();
    let (bearer, ath, now) = (format!("DPoP {access}"), hash_of(access), env().seconds());
    let ask = |scheme: &str, proofs: &[&str]| {
        let headers: Vec<(&str, &str)> = proofs.iter().map(|proof| ("dpop", *proof)).collect();
        suite.get("/userinfo", &[&[("authorization", scheme)], headers.as_slice()].concat(), &Vec::new())
    };
    let sign = |signer: &Signer, header: (&str, Value), claim: (&str, Value)| {
        let head = changed(json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": signer.jwk()}), header);
        let claims = json!({
            "htm": "GET", "htu": suite.tenant().url("/userinfo"), "iat": env().seconds(), "jti": env().secret(),
            "ath": ath,
        });
        (head.clone(), changed(claims.clone(), claim.clone()), signer.sign(&head, &changed(claims, claim)))
    };
    let nothing = || ("x", Value::Null);
    let mut private = key.jwk();
    private["d"] = json!(encode(&[1; 32]));
    let module = fapi("dpop-negative-tests");
    for (what, header, claim) in [
        ("typ wrong", ("typ", json!("JWT")), nothing()),
        ("typ missing", ("typ", Value::Null), nothing()),
        ("alg HS256", ("alg", json!("HS256")), nothing()),
        ("alg of another kind", ("alg", json!("RS256")), nothing()),
        ("alg missing", ("alg", Value::Null), nothing()),
        ("jwk missing", ("jwk", Value::Null), nothing()),
        ("jwk private", ("jwk", private), nothing()),
        ("signature of another key", ("jwk", other.jwk()), nothing()),
        ("htm wrong", nothing(), ("htm", json!("POST"))),
        ("htm missing", nothing(), ("htm", Value::Null)),
        ("htu wrong", nothing(), ("htu", json!("https://other.example/userinfo"))),
        ("htu missing", nothing(), ("htu", Value::Null)),
        ("iat an hour ago", nothing(), ("iat", json!(now - 3_600))),
        ("iat in an hour", nothing(), ("iat", json!(now + 3_600))),
        ("iat missing", nothing(), ("iat", Value::Null)),
        ("jti missing", nothing(), ("jti", Value::Null)),
        ("ath missing", nothing(), ("ath", Value::Null)),
        ("ath of another token", nothing(), ("ath", json!(hash_of("x")))),
    ] {
        let (_, _, proof) = sign(&key, header, claim);
        judge.row(&format!("{module} ({what})"), &ask(&bearer, &[&proof]), 401, "invalid_dpop_proof");
    }
    let (header, claims, good) = sign(&key, nothing(), nothing());
    let unsigned = format!("{}.", message(&changed(header, ("alg", json!("none"))), &claims));
    judge.row(&format!("{module} (alg none)"), &ask(&bearer, &[&unsigned]), 401, "invalid_dpop_proof");
    for malformed in ["abc", &good[..good.rfind('.').unwrap()], &good[..good.len() - 1], &good.replacen('.', "..", 1)] {
        judge.row(&format!("{module} (malformed)"), &ask(&bearer, &[malformed]), 401, "invalid_dpop_proof");
    }
    judge.row(&format!("{module} (two proofs)"), &ask(&bearer, &[&good, &good]), 401, "invalid_dpop_proof");
    judge.row(&format!("{module} (no proof)"), &ask(&bearer, &[]), 401, "invalid_token");
    let (_, _, foreign) = sign(&other, nothing(), nothing());
    judge.row(&format!("{module} (another key)"), &ask(&bearer, &[&foreign]), 401, "invalid_token");
    judge.row(&format!("{module} (as Bearer)"), &ask(&format!("Bearer {access}"), &[&good]), 401, "invalid_token");
    judge.holds(&format!("{module} (a good one)"), ask(&bearer, &[&good]).status == 200);
    judge.row(&format!("{module} (again)"), &ask(&bearer, &[&good]), 401, "invalid_dpop_proof");
    let (_, _, lower) = sign(&key, nothing(), nothing());
    let module = fapi("access-token-type-header-case-sensitivity");
    judge.holds(&module, ask(&format!("dpop {access}"), &[&lower]).status == 200);
}

/// What is right, though it looks strange.
#[test]
fn proofs_that_are_right() {
    let (suite, judge) = (Suite::new(), Judge::default());
    let (first, key, now) = (suite.first("fapi1"), Signer::new(), env().seconds());
    let tokens = redeem(&suite, first, Some(&key), &code(&suite, first, &key), &[]).json();
    let access = tokens["access_token"].as_str().unwrap();
    let (negative, nothing) = (fapi("dpop-negative-tests"), || ("x", Value::Null));
    let htu = format!("{}?a=b#c", suite.tenant().url("/userinfo"));
    for (module, header, claim) in [
        (format!("{negative} (more in the header)"), ("extra", json!("x")), nothing()),
        (format!("{negative} (more claims)"), nothing(), ("extra", json!({"a": 1}))),
        (format!("{negative} (htu with a query and a fragment)"), nothing(), ("htu", json!(htu))),
        (fapi("check-dpop-proof-nbf-exp"), nothing(), ("nbf", json!(now - 1))),
        (fapi("check-dpop-proof-nbf-exp"), nothing(), ("exp", json!(now + 60))),
        (fapi("ensure-dpopproof-with-iat-10seconds-before-succeeds"), nothing(), ("iat", json!(now - 10))),
        (fapi("ensure-dpopproof-with-iat-10seconds-after-succeeds"), nothing(), ("iat", json!(now + 10))),
    ] {
        let claims = [("ath", json!(hash_of(access))), claim];
        let proof = proof_with(&suite, &key, ("GET", "/userinfo"), header, &claims);
        let headers = [("authorization", format!("DPoP {access}")), ("dpop", proof)];
        let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
        judge.row(&module, &suite.get("/userinfo", &headers, &Vec::new()), 200, "none");
    }
}
