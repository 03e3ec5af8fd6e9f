//! Global Token Revocation between two servers: what a person has at the second is over when they sign out at the first, and
//! both logs say so; and shared signals, by push. Who may ask, over HTTP, and what each is answered. E9, AUTH-6, UL-1, UL-2.

use crate::admin_served::Desk;
use crate::elsewhere::{Elsewhere, Furnished, Serving, Walker};
use crate::identity::{Heard, env};
use crate::oauth_served::{PASSWORD, World, active, by_ciba, refresh, text, tokens};
use crate::outgoing_served::Signer;
use bailiwick::identity::{
    CredentialKind, EventKind, Outcome, SigningAlgorithm, Tenant, UpstreamIdentity, verify_with,
};
use bailiwick::modules::revocation::{PATH, Place, REVOCATION_TYP, SubjectFormat, put_place};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

fn place(id: &str, endpoint: String) -> Place {
    let (client_id, alg) = (Some("acme".to_owned()), SigningAlgorithm::Rs256);
    let (id, subject, signals) = (id.to_owned(), SubjectFormat::IssSub, None);
    Place { id, endpoint, subject, client_id, issuer: None, alg, signals, created_at: 0 }
}

/// Links a person with what a provider calls them.
fn link(tenant: &Tenant, user: &str, issuer: &str, subject: &str) {
    let identity = UpstreamIdentity { issuer: issuer.into(), subject: subject.into(), provider: None };
    let data = serde_json::to_vec(&identity).unwrap();
    tenant.add_credential(user, CredentialKind::Upstream, "Work", &data, &env()).unwrap();
}

fn ask(serving: &Serving, token: &str, body: &str) -> Heard {
    let headers = [("authorization", format!("Bearer {token}")), ("content-type", "application/json".to_owned())];
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    serving.send("POST", PATH, &headers, body)
}

// AUTH-6, UL-1, UL-2: what is handed out elsewhere ends with a sign-out here, whoever else does not answer.
#[test]
fn a_sign_out_at_the_provider_ends_all_that_the_person_has_at_the_other_server() {
    // Where Sarah signs in, and where she has an application and a worker: two databases, two servers.
    let idp = Furnished::new();
    idp.good(&["user", "create", "sarah@example.com", "--id", "s-17"]);
    let invitation = idp.json(&["user", "invite", "s-17"])["link"].as_str().unwrap().to_owned();
    let there = World::new();
    let put = ["provider", "put", "work", "--issuer", &idp.issuer, "--client-id", "acme"];
    there.db.good(&put);
    there.db.good(&["user", "create", "bob@example.com", "--id", "bob"]);
    // Two more are told: one that fails at first, and one that never answers well.
    let tries = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&tries);
    let late = Elsewhere::start(&idp.runtime, move |_| match count.fetch_add(1, Ordering::Relaxed) {
        0 => (503, Value::Null),
        _ => (200, Value::Null),
    });
    let wrong = Elsewhere::start(&idp.runtime, |_| (400, Value::Null));
    for (id, endpoint) in [
        ("there", format!("{}{PATH}", there.db.issuer)),
        ("late", format!("{}/revoke", late.origin)),
        ("wrong", format!("{}/revoke", wrong.origin)),
    ] {
        let place = ["revocation-place", "put", id, "--endpoint", &endpoint, "--client-id", "acme"];
        idp.good(&[&place[..], &["--alg", "RS256"]].concat());
    }
    assert_eq!(idp.json(&["revocation-place", "list"])["revocation_places"].as_array().unwrap().len(), 3);
    idp.refused(&["revocation-place", "put", "x", "--endpoint", "http://crm.example/"], "https");
    let (crm, worker, enrolling) = (there.crm.clone(), there.worker.clone(), there.link.clone());
    let (idp, there) = (idp.serve(), there.db.serve());

    let mut browser = Walker::new(&there);
    browser.enrol(&enrolling, PASSWORD);
    link(&there.tenant, "sarah", &idp.issuer, "s-17"); // an invitation that is taken takes other ways in away
    let given = tokens(&there, &mut browser, &crm, "openid read").json();
    let offline = tokens(&there, &mut browser, &crm, "openid read offline_access").json();
    let alone = by_ciba(&there, &worker);
    assert!(active(&there, &crm, "crm", text(&given, "access_token")) && browser.is_signed_in());
    assert!(active(&there, &worker, "worker", &alone));

    let mut at_work = Walker::new(&idp);
    at_work.enrol(&invitation, PASSWORD);
    let page = at_work.get("/account");
    at_work.post(&page.form("/account/everywhere")).shows("You are signed out");

    let asked = there.events_once(|events| events.iter().any(|event| event.kind() == EventKind::RevocationAsked));
    let asked = asked.iter().find(|event| event.kind() == EventKind::RevocationAsked).unwrap();
    assert_eq!(
        (asked.outcome(), asked.get_user(), asked.get_resource(), asked.get_reason()),
        (Outcome::Done, Some("user:sarah"), Some(idp.issuer.as_str()), None)
    );
    for tokens in [&given, &offline] {
        assert!(!active(&there, &crm, "crm", text(tokens, "access_token")));
        assert_eq!(refresh(&there, &crm, text(tokens, "refresh_token")).refusal(), (400, "invalid_grant".into()));
    }
    assert!(!active(&there, &worker, "worker", &alone), "the worker's, which has no session");
    browser.get("/account").form("/login/password");

    receipts(&idp, &late);
}

/// Receipts at the provider: one place that was told, one that refused, and one that was told again.
fn receipts(idp: &Serving, late: &Elsewhere) {
    let told = |events: &[bailiwick::identity::Event], place: &str| {
        let of = |event: &&bailiwick::identity::Event| {
            event.kind() == EventKind::RevocationTold && event.details().get("place").is_some_and(|id| id == place)
        };
        let found = events.iter().find(of);
        found.map(|event| (event.outcome(), event.details()["tries"].clone(), event.get_user().unwrap().to_owned()))
    };
    let events = idp.events_once(|events| told(events, "late").is_some());
    let user = "user:s-17".to_owned();
    assert_eq!(told(&events, "there"), Some((Outcome::Done, "1".into(), user.clone())));
    assert_eq!(told(&events, "wrong"), Some((Outcome::Failed, "1".into(), user.clone())));
    assert_eq!(told(&events, "late"), Some((Outcome::Done, "2".into(), user)));
    let seen = late.asked();
    let keys = idp.send("GET", "/jwks", &[], "").json();
    let shown: Vec<_> =
        seen.iter().map(|asked| asked.header("authorization").strip_prefix("Bearer ").unwrap()).collect();
    assert_ne!(shown[0], shown[1], "each time another");
    let verified = verify_with(shown[1], &keys).unwrap();
    assert_eq!((&verified.header["typ"], &verified.header["alg"]), (&json!(REVOCATION_TYP), &json!("RS256")));
    assert_eq!((verified.text("aud"), verified.text("sub")), (Some(&*format!("{}/revoke", late.origin)), Some("acme")));
    let body: Value = serde_json::from_str(&seen[1].body).unwrap();
    assert_eq!(body, json!({"sub_id": {"format": "iss_sub", "iss": idp.issuer, "sub": "s-17"}}));
}

// What lies in the database when the server stops is told when it is back.
#[test]
fn what_was_revoked_while_no_server_ran_is_told_when_one_does() {
    let db = Furnished::new();
    let stub = Elsewhere::start(&db.runtime, |_| (204, Value::Null));
    db.good(&["user", "create", "sarah@example.com", "--id", "sarah"]);
    db.good(&["revocation-place", "put", "crm", "--endpoint", &stub.origin, "--subject", "opaque"]);
    db.good(&["user", "sign-out", "sarah"]);
    db.good(&["user", "delete", "sarah", "--yes"]);
    let serving = db.serve();
    let told = |event: &&bailiwick::identity::Event| event.kind() == EventKind::RevocationTold;
    let events = serving.events_once(|events| events.iter().filter(told).count() == 2);
    assert!(events.iter().filter(told).all(|event| event.outcome() == Outcome::Done));
    let body = json!({"sub_id": {"format": "opaque", "id": "sarah"}}).to_string();
    assert_eq!(stub.asked().iter().map(|asked| asked.body.clone()).collect::<Vec<_>>(), [body.clone(), body]);
}

#[test]
fn whoever_asks_is_answered_as_the_draft_says() {
    let desk = Desk::new(["users:read", "users:revoke"], |db| {
        for id in ["sarah", "bob"] {
            db.good(&["user", "create", &format!("{id}@example.com"), "--id", id]);
        }
        db.good(&["provider", "put", "work", "--issuer", "https://idp.example", "--client-id", "acme"]);
        db.good(&["resource", "create", "https://api.example/", "--id", "api", "--scope", "read"]);
    });
    let serving = &desk.serving;
    let signer = Signer::new("one");
    let trust = bailiwick::modules::exchange::TrustedIssuer {
        acr_max: None,
        issuer: "https://idp.example".into(),
        keys: bailiwick::modules::exchange::IssuerKeys::Jwks(signer.jwks()),
        subject: bailiwick::modules::exchange::SubjectMapping::Linked,
        create_users: false,
        clients: vec![],
        scopes: [("r".to_owned(), "read".to_owned())].into(),
        resources: vec!["https://api.example/".into()],
        life_max_s: 300,
        access_token_s: None,
        replay: bailiwick::modules::exchange::Replay::Once,
        created_at: 0,
    };
    bailiwick::modules::exchange::trust(&serving.tenant, &trust, &env()).unwrap();
    link(&serving.tenant, "sarah", "https://idp.example", "s-1");
    link(&serving.tenant, "bob", "https://other.example", "b-1");
    let (sarah, bob) = (
        r#"{"sub_id":{"format":"iss_sub","iss":"https://idp.example","sub":"s-1"}}"#,
        r#"{"sub_id":{"format":"iss_sub","iss":"https://other.example","sub":"b-1"}}"#,
    );

    let metadata = serving.send("GET", "/.well-known/oauth-authorization-server", &[], "").json();
    let endpoint = format!("{}{PATH}", serving.issuer);
    assert_eq!(metadata["global_token_revocation_endpoint"], json!(endpoint));
    let methods = &metadata["global_token_revocation_endpoint_auth_methods_supported"];
    assert_eq!(methods, &json!([REVOCATION_TYP, "Bearer", "DPoP"]));

    // An administrator's token, with a scope of its own.
    for body in [sarah, bob, r#"{"sub_id":{"format":"email","email":"sarah@example.com"}}"#] {
        let heard = ask(serving, &desk.admin, body);
        assert_eq!((heard.status, heard.body.as_str()), (204, ""));
        let event = desk.last(EventKind::RevocationAsked);
        assert_eq!(event.details().get("by").map(String::as_str), Some("app:ops"));
    }
    let opaque = r#"{"sub_id":{"format":"opaque","id":"nobody"}}"#;
    assert_eq!(ask(serving, &desk.admin, opaque).status, 404);
    assert_eq!(desk.last(EventKind::RevocationAsked).outcome(), Outcome::Refused);
    for body in ["", "{}", "[", r#"{"sub_id":{"format":"did","url":"did:example:1"}}"#, &" ".repeat(200 << 10)] {
        assert_eq!(ask(serving, &desk.admin, body).status, 400, "{}", body.len());
    }
    let bearer = format!("Bearer {}", desk.admin);
    let heard = serving.send("POST", PATH, &[("authorization", &bearer)], sarah);
    assert_eq!(heard.status, 400, "it is no JSON");
    let heard = ask(serving, &desk.reader, sarah);
    assert_eq!(heard.refusal(), (403, "insufficient_scope".into()));
    assert!(heard.header("www-authenticate").unwrap().contains("users:revoke"));
    for (who, token) in &desk.strangers {
        let status = ask(serving, token, sarah).status;
        assert!(matches!(status, 401 | 403), "{who}: {status}");
    }
    assert_eq!(serving.send("POST", PATH, &[("content-type", "application/json")], sarah).status, 401);
    assert_eq!(serving.send("GET", PATH, &[], "").status, 405);

    an_issuer_asks(&desk, &signer, (&endpoint, sarah, bob));

    // An address asks so often in vain.
    let most = 2 * bailiwick::identity::REQUESTS_OF_ADDRESS.burst;
    let last = (0..=most).map(|_| ask(serving, "none", sarah)).find(|heard| heard.status != 401).unwrap();
    assert_eq!(last.status, 429);
    assert!(last.header("retry-after").is_some());
}

/// An issuer asks of its own people.
fn an_issuer_asks(desk: &Desk, signer: &Signer, (endpoint, sarah, bob): (&str, &str, &str)) {
    let serving = &desk.serving;
    let now = env().seconds();
    let token = |jti: &str, aud: &str| {
        let claims = json!({
            "iss": "https://idp.example", "sub": "acme", "aud": aud, "iat": now, "nbf": now, "exp": now + 300, "jti": jti,
        });
        signer.sign(REVOCATION_TYP, &claims)
    };
    assert_eq!(ask(serving, &token("1", endpoint), sarah).status, 204);
    let event = desk.last(EventKind::RevocationAsked);
    assert_eq!((event.get_user(), event.get_resource()), (Some("user:sarah"), Some("https://idp.example")));
    assert_eq!(ask(serving, &token("1", endpoint), sarah).refusal(), (401, "invalid_token".into()), "once");
    assert_eq!(ask(serving, &token("2", &serving.issuer), sarah).status, 401, "for something else");
    assert_eq!(ask(serving, &token("3", endpoint), bob).refusal(), (403, "access_denied".into()));
    assert_eq!(
        ask(serving, &token("4", endpoint), r#"{"sub_id":{"format":"email","email":"a@b.example"}}"#).status,
        422
    );
    let nobody = r#"{"sub_id":{"format":"iss_sub","iss":"https://idp.example","sub":"s-2"}}"#;
    assert_eq!(ask(serving, &token("5", endpoint), nobody).status, 404);
    let claims =
        json!({"iss": "https://idp.example", "sub": "acme", "aud": endpoint, "iat": now, "exp": now + 60, "jti": "6"});
    let other = Signer::new("one").sign(REVOCATION_TYP, &claims);
    assert_eq!(ask(serving, &other, sarah).status, 401, "signed by somebody else");
    assert_eq!(ask(serving, &signer.sign("at+jwt", &claims), sarah).status, 401);
}

#[test]
fn administrators_say_which_places_are_told() {
    let desk = Desk::new(["revocations:read", "revocations:write"], |_| {});
    let (path, none) = ("/admin/revocation-places/crm", Value::Null);
    let wanted = json!({"endpoint": "https://crm.example/gtr", "subject": "email", "client_id": "crm", "alg": "RS256"});
    desk.only_administrators("PUT", path, &wanted);
    let put = desk.good("PUT", path, &wanted);
    let shown = &put["revocation_places"][0];
    assert_eq!((&shown["id"], &shown["subject"], &shown["alg"]), (&json!("crm"), &json!("email"), &json!("RS256")));
    let event = desk.last(EventKind::PolicyChanged);
    assert_eq!((event.get_user(), event.get_action()), (Some("app:ops"), Some("revocation_place.put")));
    desk.only_administrators("GET", "/admin/revocation-places", &none);
    assert_eq!(desk.seen("/admin/revocation-places"), put);
    for (wrong, says) in [
        (json!({"endpoint": "http://crm.example/gtr"}), "https URL"),
        (json!({"endpoint": "https://crm.example/gtr", "subject": "name"}), "unknown variant"),
        (json!({"endpoint": "https://crm.example/gtr", "more": 1}), "unknown field"),
    ] {
        desk.refused("PUT", path, &wrong, (400, says));
    }
    desk.only_administrators("DELETE", path, &none);
    desk.good("DELETE", path, &none);
    desk.refused("DELETE", path, &none, (404, "no such place"));
    put_place(&desk.serving.tenant, &place("x", "https://x.example/".into()), &env()).unwrap();
    assert_eq!(desk.seen("/admin/revocation-places")["revocation_places"].as_array().unwrap().len(), 1);
}

// A stream of shared signals (OpenID SSF, CAEP), by push.
#[test]
fn a_stream_is_pushed_what_its_administrator_made_it_for() {
    let desk = Desk::new(["signals:read", "signals:write"], |db| {
        db.good(&["user", "create", "sarah@example.com", "--id", "sarah"]);
    });
    let stub = Elsewhere::start(&desk.serving.runtime, |_| (202, Value::Null));
    let (path, none) = ("/admin/ssf-streams/caep", Value::Null);
    let said = desk.serving.send("GET", "/.well-known/ssf-configuration", &[], "").json();
    assert_eq!((&said["issuer"], &said["spec_version"]), (&json!(desk.serving.issuer), &json!("1_0")));
    let wanted =
        json!({"endpoint": stub.origin, "audience": "https://caep.example", "authorization": "Bearer of-theirs"});
    desk.only_administrators("PUT", path, &wanted);
    let put = desk.good("PUT", path, &wanted);
    let shown = &put["streams"][0];
    assert_eq!((&shown["stream_id"], &shown["has_authorization"]), (&json!("caep"), &json!(true)));
    assert!(!put.to_string().contains("of-theirs"));
    desk.only_administrators("GET", "/admin/ssf-streams", &none);
    desk.refused("PUT", path, &json!({"endpoint": stub.origin, "audience": 7}), (400, "at `audience`"));
    desk.refused("DELETE", "/admin/revocation-places/caep", &none, (403, "scope"));

    let verify = format!("{path}/verify");
    desk.only_administrators("POST", &verify, &json!({"state": "s-1"}));
    desk.good("POST", &verify, &json!({"state": "s-1"}));
    desk.serving.tenant.sign_out_everywhere("sarah", "administrator", &env()).unwrap();
    let told = |event: &&bailiwick::identity::Event| event.kind() == EventKind::RevocationTold;
    let events = desk.serving.events_once(|events| events.iter().filter(told).count() == 2);
    assert!(events.iter().filter(told).all(|event| event.outcome() == Outcome::Done));
    let keys = desk.serving.send("GET", "/jwks", &[], "").json();
    let seen = stub.asked();
    let mut names = Vec::new();
    for asked in &seen {
        assert_eq!(asked.header("content-type"), "application/secevent+jwt");
        assert_eq!(asked.header("authorization"), "Bearer of-theirs");
        let verified = verify_with(&asked.body, &keys).unwrap();
        assert_eq!(verified.header["typ"], "secevent+jwt");
        names.extend(verified.claims["events"].as_object().unwrap().keys().cloned());
    }
    names.sort();
    let [revoked, verification] = names.as_slice() else { panic!("{names:?}") };
    assert!(revoked.ends_with("/session-revoked") && verification.ends_with("/verification"));
    desk.only_administrators("DELETE", path, &none);
    desk.good("DELETE", path, &none);
    desk.refused("POST", &verify, &json!({}), (404, "no such stream"));
}
