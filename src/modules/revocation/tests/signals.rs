//! Streams of shared signals: what is pushed, and that what a receiver wants to be shown is sealed.

use super::tell::{Places, place, put, receipts};
use super::*;
use crate::identity::{ErrorCode, Outcome, SigningAlgorithm, verify_with};
use crate::modules::revocation::signals::{authorization, configuration, seal};

const SECRET: &str = "Bearer what-the-receiver-wants";

fn stream(world: &World, id: &str, authorization: Option<&str>) -> Place {
    let authorization = authorization.map(|header| seal(&world.app, id, header, &env(0)).unwrap());
    let signals = Some(Signals { audience: format!("https://{id}/receiver"), authorization });
    Place { signals, alg: SigningAlgorithm::Rs256, ..place(id) }
}

/// The claims of what a stream was sent, verified.
fn verified(world: &World, token: &str) -> Value {
    let verified = verify_with(token, &world.app.jwks(&env(1)).unwrap()).unwrap();
    assert_eq!((&verified.header["typ"], &verified.header["alg"]), (&json!(SECURITY_EVENT_TYP), &json!("RS256")));
    Value::Object(verified.claims)
}

#[test]
fn a_stream_is_sent_one_event_about_one_person() {
    let world = World::new();
    put(&world, &stream(&world, "caep", Some(SECRET)));
    put(&world, &Place { subject: SubjectFormat::Email, ..stream(&world, "open", None) });
    put(&world, &place("gtr"));
    world.app.sign_out_everywhere("sarah", "session.ended_by_owner", &env(0)).unwrap();
    world.app.suspend("user:sarah", true, None, &env(0)).unwrap();
    let places = Places::new(|_| Posted::Answered(202));
    assert_eq!(super::super::tell(&world.app, &places, &env(1)), Ok(6));
    let sent = places.sent.lock().unwrap().clone();
    let of = |url: &str| sent.iter().filter(|(to, ..)| to == url).cloned().collect::<Vec<_>>();
    let mut by = Vec::new();
    for (_, shown, token) in of("https://caep") {
        assert_eq!(shown, SECRET.strip_prefix("Bearer ").unwrap());
        let claims = verified(&world, &token);
        assert_eq!((&claims["iss"], &claims["aud"]), (&json!(APP), &json!("https://caep/receiver")));
        assert_eq!(claims["sub_id"], json!({"format": "iss_sub", "iss": APP, "sub": "sarah"}));
        assert_eq!((claims.get("sub"), claims.get("exp")), (None, None));
        assert!(claims["jti"].is_string() && claims["txn"].is_string() && claims["iat"].is_u64());
        let events = claims["events"].as_object().unwrap();
        let (name, event) = events.iter().next().unwrap();
        assert_eq!(events.len(), 1);
        assert_eq!(name, "https://schemas.openid.net/secevent/caep/event-type/session-revoked");
        assert!(event["event_timestamp"].is_u64() && event["reason_admin"]["en"].is_string());
        by.push(event["initiating_entity"].as_str().unwrap().to_owned());
    }
    by.sort();
    assert_eq!(by, ["admin", "user"]);
    for (_, shown, token) in of("https://open") {
        assert_eq!(shown, "");
        assert_eq!(verified(&world, &token)["sub_id"], json!({"format": "email", "email": "sarah@example.com"}));
    }
    assert_eq!((of("https://gtr").len(), receipts(&world).len()), (2, 6));
}

#[test]
fn a_token_that_is_sent_again_is_the_same_event() {
    let world = World::new();
    put(&world, &stream(&world, "caep", None));
    world.app.sign_out_everywhere("sarah", "administrator", &env(0)).unwrap();
    let places = Places::new(|_| Posted::Answered(503));
    super::super::tell(&world.app, &places, &env(0)).unwrap();
    super::super::tell(&world.app, &places, &env(10)).unwrap();
    let jtis: Vec<Value> =
        places.sent.lock().unwrap().iter().map(|(.., token)| verified(&world, token)["jti"].clone()).collect();
    assert_eq!((jtis.len(), &jtis[0]), (2, &jtis[1]));
    // A receiver knows everybody or nobody: 404 is of the URL.
    let places = Places::new(|_| Posted::Answered(404));
    super::super::tell(&world.app, &places, &env(100)).unwrap();
    assert_eq!(receipts(&world), [("caep".to_owned(), Outcome::Failed, Some("revocation.refused".to_owned()))]);
}

#[test]
fn a_stream_is_verified_when_its_administrator_wants() {
    let world = World::new();
    put(&world, &stream(&world, "caep", None));
    put(&world, &place("gtr"));
    verify_stream(&world.app, "caep", Some("s-1"), &env(0)).unwrap();
    verify_stream(&world.app, "caep", None, &env(0)).unwrap();
    for id in ["gtr", "none"] {
        assert_eq!(verify_stream(&world.app, id, None, &env(0)).unwrap_err().error, ErrorCode::NotFound);
    }
    for state in ["", &"x".repeat(257)] {
        assert_eq!(verify_stream(&world.app, "caep", Some(state), &env(0)).unwrap_err().rule, "signals.state");
    }
    let places = Places::new(|_| Posted::Answered(202));
    assert_eq!(super::super::tell(&world.app, &places, &env(1)), Ok(2));
    let name = "https://schemas.openid.net/secevent/ssf/event-type/verification";
    let mut events = Vec::new();
    for (.., token) in places.sent.lock().unwrap().iter() {
        let claims = verified(&world, token);
        assert_eq!(claims["sub_id"], json!({"format": "opaque", "id": "caep"}));
        events.push(claims["events"][name].to_string());
    }
    events.sort();
    assert_eq!(events, [r#"{"state":"s-1"}"#, "{}"]);
    let said = configuration(&world.app);
    assert_eq!((&said["issuer"], &said["spec_version"]), (&json!(APP), &json!("1_0")));
    assert_eq!(said["delivery_methods_supported"], json!(["urn:ietf:rfc:8935"]));
}

#[test]
fn what_a_receiver_wants_to_be_shown_is_sealed_at_its_place() {
    let world = World::new();
    put(&world, &stream(&world, "caep", Some(SECRET)));
    let held = places(&world.app).unwrap().remove(0);
    assert!(!serde_json::to_string(&held.value).unwrap().contains("what-the-receiver-wants"));
    let signals = held.signals.as_ref().unwrap();
    assert_eq!(authorization(&world.app, "caep", signals).unwrap().unwrap().as_str(), SECRET);
    assert_eq!(authorization(&world.app, "other", signals).unwrap_err().rule, "signals.open", "it opens nowhere else");
    assert_eq!(reseal_streams(&world.app, &env(0)), Ok(0), "by the newest key");
    for bad in ["", "a\nb", "é", &"x".repeat(AUTHORIZATION_BYTES_MAX + 1)] {
        assert_eq!(seal(&world.app, "caep", bad, &env(0)).unwrap_err().rule, "signals.authorization");
    }
    // An id is of one sort, and is taken away as that.
    assert_eq!(put_place(&world.app, &place("caep"), &env(0)).unwrap_err().rule, "revocation.sort");
    assert_eq!(remove_place(&world.app, "caep", false, &env(0)).unwrap_err().rule, "not_found");
    let bad = Signals { audience: String::new(), authorization: None };
    let bad = Place { signals: Some(bad), ..place("x") };
    assert_eq!(put_place(&world.app, &bad, &env(0)).unwrap_err().rule, "signals.audience");
    remove_place(&world.app, "caep", true, &env(0)).unwrap();
}
