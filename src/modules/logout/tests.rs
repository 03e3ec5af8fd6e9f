//! Telling, with clients that answer in every way.

use super::*;
use crate::engine::{Engine, Settings};
use crate::identity::{
    Authentication, Browser, Client, ClientKind, CodeGrant, Decided, Form, GrantType as _, Identity, TenantSettings,
    hash_of,
};
use crate::secrets::KeyRing;
use crate::tuple::Timestamp;
use serde_json::Map;
use std::cell::Cell;
use std::sync::Mutex;

const START: i64 = 1_800_000_000;
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

/// Dice that never fall twice alike.
fn dice(bytes: &mut [u8]) {
    thread_local!(static THROWN: Cell<u64> = const { Cell::new(0) });
    for chunk in bytes.chunks_mut(32) {
        THROWN.set(THROWN.get() + 1);
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &THROWN.get().to_be_bytes());
        chunk.copy_from_slice(&digest.as_ref()[..chunk.len()]);
    }
}

fn env(now: i64) -> Env<'static> {
    Env::new(Timestamp((START + now) * 1_000_000_000), &dice)
}

/// Clients that answer as they are told to, and what they were sent.
struct Clients {
    answer: fn(&str) -> Posted,
    sent: Mutex<Vec<String>>,
}

impl Posts for Clients {
    fn post(&self, url: &str, form: &str) -> Posted {
        assert!(form.starts_with("logout_token=eyJ"), "{form}");
        self.sent.lock().unwrap().push(url.to_owned());
        (self.answer)(url)
    }
}

impl Clients {
    fn new(answer: fn(&str) -> Posted) -> Clients {
        Clients { answer, sent: Mutex::default() }
    }
}

/// A tenant in which Sarah used each of the clients in two sessions, and signed out everywhere.
fn signed_out(clients: &[&str]) -> (Tenant, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let engine = Engine::open_with(directory.path(), Settings { sync: false, ..Settings::default() }).unwrap();
    let ring = KeyRing::head() + &KeyRing::key_line("a", 1, b"a key of thirty-two bytes, or so").unwrap();
    let identity = Identity::open(engine, KeyRing::parse(&ring, &[]).unwrap(), &env(0)).unwrap();
    let tenant = identity.create_tenant("t", "https://id.example", &TenantSettings::default(), &env(0)).unwrap();
    tenant.create_user(Some("sarah"), &["sarah"], Map::new(), &env(0)).unwrap();
    for id in clients {
        let client = Client {
            redirect_uris: vec![format!("https://{id}.example/cb")],
            backchannel_logout_uri: Some(format!("https://{id}.example/logout")),
            grant_types: vec!["authorization_code".into()],
            scopes: vec!["openid".into()],
            ..Client::new(*id, ClientKind::App, *id)
        };
        tenant.create_client(&client, &env(0)).unwrap();
        for _ in 0..2 {
            sign_in(&tenant, id);
        }
    }
    tenant.sign_out_everywhere("sarah", "test", &env(0)).unwrap();
    (tenant, directory)
}

fn form(pairs: &[(&str, &str)]) -> Form {
    Form::parse(&url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()).unwrap()
}

fn sign_in(tenant: &Tenant, id: &str) {
    let (callback, challenge) = (format!("https://{id}.example/cb"), hash_of(VERIFIER));
    let request = form(&[
        ("client_id", id),
        ("response_type", "code"),
        ("redirect_uri", &callback),
        ("scope", "openid"),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
    ]);
    let request = tenant.request(&tenant.take_request(&request, &env(0)).unwrap(), &env(0)).unwrap();
    let authentication = Authentication { at: START as u64, acr: "aal1".into(), amr: vec![] };
    let (_, cookie) = tenant.start_session("sarah", authentication, Browser::default(), &env(0)).unwrap();
    let session = tenant.session_of_cookie(&cookie, &env(0)).unwrap().unwrap();
    let to = tenant.complete(&request, &session, &Decided::Allowed { scopes: None }, &env(0)).unwrap();
    let to = url::Url::parse(&to).unwrap();
    let code = to.query_pairs().find(|(name, _)| name == "code").unwrap().1.into_owned();
    let client = tenant.client(id).unwrap();
    let caller = crate::identity::Caller { method: client.auth_methods[0], client, jkt: None };
    let redeem = form(&[("code", &code), ("code_verifier", VERIFIER), ("redirect_uri", &callback)]);
    CodeGrant.redeem(tenant, &caller, &redeem, &env(0)).unwrap();
}

#[test]
fn each_is_told_and_who_does_not_answer_is_told_again() {
    let (tenant, _directory) = signed_out(&["good", "late", "gone"]);
    let answer = |url: &str| match url {
        "https://good.example/logout" => Posted::Answered(200),
        "https://late.example/logout" => Posted::Failed,
        _ => Posted::Answered(400),
    };
    let clients = Clients::new(answer);
    assert_eq!(tell(&tenant, &clients, &env(0)), Ok(2));
    let sent = |clients: &Clients, id: &str| clients.sent.lock().unwrap().iter().filter(|url| url.contains(id)).count();
    assert_eq!([sent(&clients, "good"), sent(&clients, "late"), sent(&clients, "gone")], [2, 1, 2]);
    assert_eq!(tell(&tenant, &clients, &env(5)), Ok(0));
    assert_eq!(
        [sent(&clients, "good"), sent(&clients, "late"), sent(&clients, "gone")],
        [2, 2, 2],
        "the other session"
    );
    let clients = Clients::new(|_| Posted::Answered(204));
    assert_eq!(tell(&tenant, &clients, &env(600)), Ok(2));
    assert_eq!(tell(&tenant, &clients, &env(6_000)), Ok(0), "each knows, or never will");
    assert_eq!(clients.sent.lock().unwrap().len(), 2);
}

#[test]
fn answers_mean_what_the_standard_says() {
    for (posted, told) in [
        (Posted::Answered(200), LogoutTold::Done),
        (Posted::Answered(204), LogoutTold::Done),
        (Posted::Answered(302), LogoutTold::Never("logout.redirect")),
        (Posted::Answered(400), LogoutTold::Never("logout.refused")),
        (Posted::Answered(404), LogoutTold::Never("logout.refused")),
        (Posted::Answered(429), LogoutTold::Later("logout.busy")),
        (Posted::Answered(503), LogoutTold::Later("logout.busy")),
        (Posted::Refused, LogoutTold::Never("logout.address")),
        (Posted::Failed, LogoutTold::Later("logout.unreachable")),
    ] {
        assert_eq!(judged(posted), told, "{posted:?}");
    }
}
