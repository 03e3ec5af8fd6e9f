//! The negative modules of the OpenID conformance suite for FAPI-CIBA (Implementer's Draft 1), with `private_key_jwt` and
//! signed requests, polled: see `openid_conformance`. Those that ping are beside the rules (`modules/approval/tests/notices.rs`).

use crate::identity::{Heard, env};
use crate::openid_conformance::{Judge, Pairs, Suite, Who, ago, changed, form, message, said, with};
use bailiwick::identity::{AuthMethod, Caller, NoKeys};
use bailiwick::modules::approval::{ApprovalRequest, ApprovalSettings, Approvals, CIBA_GRANT, Choice, Decider};
use serde_json::{Value, json};

fn ciba(rest: &str) -> String {
    format!("fapi-ciba-id1-{rest}")
}

/// What a client asks for.
fn parameters(message: &str) -> Value {
    json!({"scope": "openid read", "login_hint": "sarah@example.com", "binding_message": message})
}

/// A request object of a client, so many seconds old.
fn claims(suite: &Suite, client: &str, seconds_ago: u64) -> Value {
    let now = ago(seconds_ago).seconds();
    let mut claims = parameters("1234");
    for (name, value) in [
        ("iss", json!(client)),
        ("aud", json!(suite.tenant().issuer())),
        ("iat", json!(now)),
        ("nbf", json!(now)),
        ("exp", json!(now + 300)),
        ("jti", json!(env().secret())),
    ] {
        claims[name] = value;
    }
    claims
}

fn sign(who: Who<'_>, claims: &Value) -> String {
    who.signer.sign(&json!({"alg": "ES256"}), claims)
}

fn ask(suite: &Suite, who: Who<'_>, object: &str) -> Heard {
    let request = vec![("request", object.to_owned())];
    suite.post("/bc-authorize", &[], &[suite.auth(who), request].concat())
}

fn poll(suite: &Suite, auth: Pairs, auth_req_id: &str) -> Heard {
    let pairs = vec![("grant_type", CIBA_GRANT.to_owned()), ("auth_req_id", auth_req_id.to_owned())];
    suite.post("/token", &[], &[auth, pairs].concat())
}

/// The id of a request that was taken.
fn begun(suite: &Suite, who: Who<'_>) -> String {
    let heard = ask(suite, who, &sign(who, &claims(suite, who.id, 0)));
    heard.json()["auth_req_id"].as_str().unwrap_or_else(|| panic!("{}", heard.body)).to_owned()
}

/// Sarah decides.
fn decide(suite: &Suite, auth_req_id: &str, approve: bool) {
    let id = auth_req_id.split_once('.').unwrap().0;
    let request = suite.tenant().get::<ApprovalRequest>(&[id]).unwrap().unwrap();
    let choice =
        if approve { Choice::Approve { scopes: request.scopes.clone(), details: Vec::new() } } else { Choice::Deny };
    let (session, _) = suite.session("aal2", 0);
    let approvals = Approvals::new(ApprovalSettings::default());
    let decider = Decider { session: &session };
    approvals.decide(suite.tenant(), decider, (id, &request.shown_hash), &choice, &env()).unwrap();
}

#[test]
fn request_objects() {
    let (suite, judge) = (Suite::new(), Judge::default());
    let (first, second, now) = (suite.first("ciba1"), suite.second("ciba2"), env().seconds());
    for (module, change) in [
        ("missing-aud", ("aud", Value::Null)),
        ("bad-aud", ("aud", json!("https://other.example/"))),
        ("missing-iss", ("iss", Value::Null)),
        ("bad-iss", ("iss", json!("ciba2"))),
        ("missing-exp", ("exp", Value::Null)),
        ("expired-exp", ("exp", json!(now - 300))),
        ("exp-is-70-minutes-in-future", ("exp", json!(now + 4_200))),
        ("missing-iat", ("iat", Value::Null)),
        ("missing-nbf", ("nbf", Value::Null)),
        ("nbf-is-70-minutes-in-past", ("nbf", json!(now - 4_200))),
        ("missing-jti", ("jti", Value::Null)),
    ] {
        let heard = ask(&suite, first, &sign(first, &changed(claims(&suite, "ciba1", 0), change)));
        judge.row(&ciba(&format!("ensure-request-object-{module}-fails")), &heard, 400, "invalid_request");
    }
    let good = || claims(&suite, "ciba1", 0);
    let none = format!("{}.", message(&json!({"alg": "none"}), &good()));
    let bad = first.signer.sign(&json!({"alg": "ES384"}), &good());
    for (module, object) in [
        ("signature-algorithm-is-none", none),
        ("signature-algorithm-is-bad", bad),
        ("signed-by-other-client", sign(second, &good())),
    ] {
        let heard = ask(&suite, first, &object);
        judge.row(&ciba(&format!("ensure-request-object-{module}-fails")), &heard, 400, "invalid_request");
    }
    let rsa = |alg: &str| {
        let auth = suite.shows(&suite.rsa.sign("PS256", &suite.claims("ciba-rsa")));
        let object = suite.rsa.sign(alg, &claims(&suite, "ciba-rsa", 0));
        suite.post("/bc-authorize", &[], &[auth, vec![("request", object)]].concat())
    };
    let module = ciba("ensure-request-object-signature-algorithm-is-RS256-fails");
    judge.row(&module, &rsa("RS256"), 400, "invalid_request");
    judge.row(&format!("{module} (PS256)"), &rsa("PS256"), 200, "none");

    let unsigned: Pairs = vec![("scope", "openid read".into()), ("login_hint", "sarah@example.com".into())];
    let unsigned = suite.post("/bc-authorize", &[], &[suite.auth(first), unsigned].concat());
    judge.row(&ciba("ensure-unsigned-backchannel-authorization-request-fails"), &unsigned, 400, "invalid_request");
    let twice = sign(first, &good());
    assert_eq!(ask(&suite, first, &twice).status, 200);
    judge.row("a request object is used once", &ask(&suite, first, &twice), 400, "invalid_request");
}

#[test]
fn what_is_asked_for() {
    let (suite, judge) = (Suite::new(), Judge::default());
    let first = suite.first("ciba1");
    let asked = |change: (&str, Value)| ask(&suite, first, &sign(first, &changed(claims(&suite, "ciba1", 0), change)));
    let module = ciba("ensure-authorization-request-with-multiple-hints-fails");
    judge.row(&module, &asked(("id_token_hint", json!("a.b.c"))), 400, "invalid_request");
    let module = ciba("ensure-authorization-request-with-user-code-fails-for-brazil");
    judge.row(&module, &asked(("user_code", json!("1234"))), 400, "invalid_request");
    let module = ciba("ensure-authorization-request-with-invalid-login-hint-fails-for-brazil");
    judge.row(&module, &asked(("login_hint", json!("nobody@example.com"))), 400, "unknown_user_id");
    let module = ciba("ensure-authorization-request-with-potentially-bad-binding-message");
    let strange = asked(("binding_message", json!("1234 \u{1F44D}\u{1F3FF} \u{5678} 1234 1234 1234 1234 1234 !\u{7}")));
    judge.row(&module, &strange, 400, "invalid_binding_message");
    for (module, expiry, status, error) in [
        ("zero-fails-for-brazil", json!(0), 400, "invalid_request"),
        ("negative-fails-for-brazil", json!(-60), 400, "invalid_request"),
        ("as-string-succeeds", json!("30"), 200, "none"),
        ("above-maximum-is-capped-for-brazil", json!(99_999_999), 200, "none"),
    ] {
        let heard = asked(("requested_expiry", expiry));
        judge.row(&ciba(&format!("ensure-requested-expiry-{module}")), &heard, status, error);
    }
    let scopes = asked(("scope", json!("read openid")));
    judge.row(&ciba("ensure-other-scope-order-succeeds"), &scopes, 200, "none");
}

#[test]
fn who_asks() {
    let (suite, judge) = (Suite::new(), Judge::default());
    let (first, second) = (suite.first("ciba1"), suite.second("ciba2"));
    let object = || vec![("request", sign(first, &claims(&suite, "ciba1", 0)))];
    let ask = |auth: Pairs| suite.post("/bc-authorize", &[], &[auth, object()].concat());
    for (what, auth) in suite.bad_assertions(first, "/bc-authorize") {
        let malformed = what.starts_with("client_assertion_type");
        let (status, error) = if malformed { (400, "invalid_request") } else { (401, "invalid_client") };
        let module = ciba("ensure-invalid-client-assertions-in-backchannel-authorization-request-fail");
        judge.row(&format!("{module} ({what})"), &ask(auth), status, error);
    }
    let id = vec![("client_id", "ciba1".to_owned())];
    let module = ciba("ensure-without-client-assertion-in-backchannel-authorization-request");
    judge.row(&module, &ask(id.clone()), 401, "invalid_client");
    let wrong = with(suite.auth(first), &[("client_id", "ciba2")]);
    let module = ciba("ensure-wrong-client-id-in-backchannel-authorization-request");
    judge.row(&module, &ask(wrong.clone()), 400, "invalid_request");
    let module = ciba("ensure-different-client-id-and-issuer-in-backchannel-authorization-request");
    judge.row(&module, &ask(suite.auth(second)), 400, "invalid_request");
    let rs256 = || suite.shows(&suite.rsa.sign("RS256", &suite.claims("ciba-rsa")));
    let module = "ensure-client-assertion-signature-algorithm-in-backchannel-authorization-request-is-RS256-fails";
    judge.row(&ciba(module), &ask(rs256()), 401, "invalid_client");

    let begun = begun(&suite, first);
    decide(&suite, &begun, true);
    let module = ciba("ensure-without-client-assertion-in-token-endpoint-request");
    judge.row(&module, &poll(&suite, id, &begun), 401, "invalid_client");
    let module = ciba("ensure-wrong-client-id-in-token-endpoint-request");
    judge.row(
        &module,
        &poll(&suite, with(suite.auth(first), &[("client_id", "ciba2")]), &begun),
        400,
        "invalid_request",
    );
    judge.row(&format!("{module} (and its key)"), &poll(&suite, suite.auth(second), &begun), 400, "invalid_grant");
    let module = ciba("ensure-client-assertion-signature-algorithm-in-token-endpoint-request-is-RS256-fails");
    judge.row(&module, &poll(&suite, rs256(), &begun), 401, "invalid_client");
    let module = ciba("ensure-wrong-auth-req-id-in-token-endpoint-request");
    let wrong = format!("{}.{}", begun.split_once('.').unwrap().0, env().secret());
    for wrong in [wrong.as_str(), "unknown", &begun[..begun.len() - 1]] {
        judge.row(&module, &poll(&suite, suite.auth(first), wrong), 400, "invalid_grant");
    }
    // None of these used it up.
    assert_eq!(said(&poll(&suite, suite.auth(first), &begun)), (200, "none".into()));
}

#[test]
fn what_comes_of_it() {
    let (suite, judge) = (Suite::new(), Judge::default());
    let first = suite.first("ciba1");
    let poll = |id: &str| poll(&suite, suite.auth(first), id);
    let denied = begun(&suite, first);
    judge.row("nobody has decided", &poll(&denied), 400, "authorization_pending");
    decide(&suite, &denied, false);
    judge.row(&ciba("user-rejects-authentication"), &poll(&denied), 400, "access_denied");
    let approved = begun(&suite, first);
    decide(&suite, &approved, true);
    judge.row(&ciba("multiple-call-to-token-endpoint (first)"), &poll(&approved), 200, "none");
    judge.row(&ciba("multiple-call-to-token-endpoint"), &poll(&approved), 400, "invalid_grant");
    let impatient = begun(&suite, first);
    judge.row("the first question", &poll(&impatient), 400, "authorization_pending");
    judge.row("one too soon (CIBA 11)", &poll(&impatient), 400, "slow_down");

    let approvals = Approvals::new(ApprovalSettings::default());
    let caller =
        Caller { client: suite.tenant().client("ciba1").unwrap(), method: AuthMethod::PrivateKeyJwt, jkt: None };
    let short = changed(claims(&suite, "ciba1", 40), ("requested_expiry", json!(30)));
    let object = form(&vec![("request", sign(first, &short))]);
    let old = approvals.ask(suite.tenant(), &caller, &object, &NoKeys, &ago(40)).unwrap();
    judge.row(&ciba("auth-req-id-expired"), &poll(&old.auth_req_id), 400, "expired_token");
}
