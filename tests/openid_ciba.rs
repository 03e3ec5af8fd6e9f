//! The negative modules of the OpenID conformance suite for FAPI-CIBA (Implementer's Draft 1), with `private_key_jwt` and
//! signed requests, polled and pinged: see `openid_conformance`.

use crate::identity::{Heard, env};
use crate::openid_conformance::{Judge, Pairs, Suite, Who, ago, changed, form, message, said, with};
use bailiwick::identity::{AuthMethod, Caller, Env, NoKeys, decode, encode};
use bailiwick::modules::approval::channel::{Callback, Called, Calls, Channels, PushCall, Pushes};
use bailiwick::modules::approval::{
    ApprovalRequest, ApprovalSettings, Approvals, Backchannel, CIBA_GRANT, Choice, Decider, Delivery, put_backchannel,
};
use bailiwick::tuple::Timestamp;
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How long a ping that has to come may take. It is never waited for in full.
const COMES: Duration = Duration::from_secs(60);
/// What the endpoint is called with.
const NOTIFICATION_TOKEN: &str = "8d67dc78-7faa-4d41-aabd-67707b374255";

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
        ("nbf-is-10-minutes-in-future", ("nbf", json!(now + 600))),
        ("nbf-is-70-minutes-in-past", ("nbf", json!(now - 4_200))),
        ("missing-jti", ("jti", Value::Null)),
    ] {
        let heard = ask(&suite, first, &sign(first, &changed(claims(&suite, "ciba1", 0), change)));
        judge.row(&ciba(&format!("ensure-request-object-{module}-fails")), &heard, 400, "invalid_request");
    }
    let good = || claims(&suite, "ciba1", 0);
    let none = format!("{}.", message(&json!({"alg": "none"}), &good()));
    let signed = sign(first, &good());
    let (head, signature) = signed.rsplit_once('.').unwrap();
    let mut bytes = decode(signature).unwrap();
    bytes.iter_mut().for_each(|byte| *byte ^= 0x5a);
    for (module, object) in [
        ("signature-algorithm-is-none", none),
        ("signature-algorithm-is-bad", format!("{head}.{}", encode(&bytes))),
        ("signature-algorithm-is-bad", first.signer.sign(&json!({"alg": "ES384"}), &good())),
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
    judge.row(&module, &asked(("login_hint_token", json!("xxxxxxxxxxxxxxxxxxxx"))), 400, "invalid_request");
    let module = ciba("ensure-authorization-request-with-user-code-fails-for-brazil");
    judge.row(&module, &asked(("user_code", json!("1234"))), 400, "invalid_request");
    let module = ciba("ensure-authorization-request-with-binding-message-succeeds");
    judge.row(&module, &asked(("binding_message", json!("1234"))), 200, "none");
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
    judge.row(&format!("{module} (another client's)"), &poll(&suite, suite.auth(second), &begun), 400, "invalid_grant");
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
    judge.row("fetched", &poll(&approved), 200, "none");
    judge.row("fetched twice (CIBA 11)", &poll(&approved), 400, "invalid_grant");
    let impatient = begun(&suite, first);
    judge.row("the first question", &poll(&impatient), 400, "authorization_pending");
    for _ in 1..20 {
        judge.row(&ciba("multiple-call-to-token-endpoint"), &poll(&impatient), 400, "slow_down");
    }

    let approvals = Approvals::new(ApprovalSettings::default());
    let caller =
        Caller { client: suite.tenant().client("ciba1").unwrap(), method: AuthMethod::PrivateKeyJwt, jkt: None };
    let short = changed(claims(&suite, "ciba1", 40), ("requested_expiry", json!(30)));
    let object = form(&vec![("request", sign(first, &short))]);
    let old = approvals.ask(suite.tenant(), &caller, &object, &NoKeys, &ago(40)).unwrap();
    judge.row(&ciba("auth-req-id-expired"), &poll(&old.auth_req_id), 400, "expired_token");
}

/// A notification endpoint: it answers as the path says, and hands on the path, the `Authorization` and the body.
fn notified() -> (SocketAddr, Receiver<(String, String, String)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, calls) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut reader = BufReader::new(stream.unwrap());
            let (mut path, mut shown, mut length) = (String::new(), String::new(), 0);
            loop {
                let mut line = String::new();
                if reader.read_line(&mut line).unwrap_or(0) <= 2 {
                    break;
                }
                let (name, value) = line.trim().split_once(": ").unwrap_or(("", line.trim()));
                match name.to_ascii_lowercase().as_str() {
                    "" => path = value.split(' ').nth(1).unwrap_or_default().to_owned(),
                    "authorization" => shown = value.to_owned(),
                    "content-length" => length = value.parse().unwrap(),
                    _ => {}
                }
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            let (head, says) = match path.as_str() {
                "/body" => ("200 OK".to_owned(), "{\"error\": \"none\"}"),
                "/401" => ("401 Unauthorized".to_owned(), ""),
                "/403" => ("403 Forbidden".to_owned(), ""),
                "/redirect" => (format!("301 Moved Permanently\r\nlocation: http://{address}/followed"), ""),
                _ => ("204 No Content".to_owned(), ""),
            };
            let length = says.len();
            write!(reader.get_mut(), "HTTP/1.1 {head}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{says}")
                .unwrap();
            let _ = sender.send((path, shown, String::from_utf8(body).unwrap()));
        }
    });
    (address, calls)
}

/// Remembers whom it would call.
#[derive(Clone, Default)]
struct Later(Arc<Mutex<Vec<String>>>);

impl Calls for Later {
    fn call(&self, callback: &Callback<'_>) -> Called {
        self.0.lock().unwrap().push(callback.body.to_owned());
        Called::Answered(204)
    }
}

impl Pushes for Later {
    fn push(&self, _: &PushCall<'_>) -> Called {
        Called::Failed
    }
}

#[test]
fn pings() {
    let (suite, judge) = (Suite::new(), Judge::default());
    let (first, (address, calls)) = (suite.first("ciba1"), notified());
    let begin = |path: &str| {
        let endpoint = format!("http://{address}{path}");
        let ping = Backchannel { delivery: Delivery::Ping { endpoint }, signed_requests: true };
        put_backchannel(suite.tenant(), "ciba1", &ping, "user:ann", &env()).unwrap();
        let token = ("client_notification_token", json!(NOTIFICATION_TOKEN));
        let heard = ask(&suite, first, &sign(first, &changed(claims(&suite, "ciba1", 0), token)));
        heard.json()["auth_req_id"].as_str().unwrap_or_else(|| panic!("{}", heard.body)).to_owned()
    };
    let body = |id: &str| json!({"auth_req_id": id}).to_string();
    let modules = [
        ("ping-backchannel-notification-endpoint-response-has-body", "/body"),
        ("ping-backchannel-notification-endpoint-response-401", "/401"),
        ("ping-backchannel-notification-endpoint-response-403", "/403"),
        ("ping-backchannel-notification-endpoint-return-redirect-request", "/redirect"),
    ];
    let mut asked = Vec::new();
    for (module, path) in modules {
        let id = begin(path);
        decide(&suite, &id, true);
        let bearer = format!("Bearer {NOTIFICATION_TOKEN}");
        let expected = (path.to_owned(), bearer, body(&id));
        judge.holds(&ciba(module), calls.recv_timeout(COMES).unwrap() == expected);
        asked.push((module, id));
    }
    // They are called in turn, so that once this comes the others are settled, and a redirect would have been followed.
    let last = begin("/last");
    decide(&suite, &last, true);
    let (path, ..) = calls.recv_timeout(COMES).unwrap();
    assert_eq!(path, "/last");
    // Later nobody is called again who has answered.
    let (later, called) = (env().now.0 + 100 * 1_000_000_000, Later::default());
    let (push, callback) = (Box::new(called.clone()), Box::new(called.clone()));
    let channels = Channels { channels: Vec::new(), push, callback, clock: Box::new(|| Duration::ZERO) };
    let approvals = Approvals::new(ApprovalSettings::default());
    approvals.send(suite.tenant(), &channels, &Env { now: Timestamp(later), ..env() }).unwrap();
    let called = called.0.lock().unwrap().clone();
    let module = "ping-with-mtls-ciba-notification-endpoint-response-401-and-require-server-does-not-retry";
    judge.holds(&ciba(module), asked.iter().all(|(_, id)| !called.contains(&body(id))));
    // Whatever it answered, the token is fetched.
    for (module, id) in &asked {
        judge.row(&ciba(module), &poll(&suite, suite.auth(first), id), 200, "none");
    }
}
