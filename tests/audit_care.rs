//! How long events are kept and who witnesses is for administrators to say; the server acts on it.

use crate::audit::{BEGIN, SECOND, TENANT, append, event, grow, log_key, now, open};
use crate::identity::{Issuing, env};
use crate::mcp_tenant::{client, events, strings};
use axum::Router;
use axum::extract::State;
use axum::routing::post;
use bailiwick::identity::{Client, ClientKind, EventKind, Resource, Scope, Tenant};
use bailiwick::modules::audit::care::{Care, KEPT_SECONDS, WITNESSES_MAX, Witness};
use bailiwick::modules::audit::note::{KeyKind, Note, Signer, SignerKey};
use bailiwick::modules::audit::query::Filter;
use bailiwick::modules::audit::{Audit, By};
use bailiwick::tuple::Timestamp;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

const DAY: u64 = 86_400;

fn witness(number: u8) -> (SignerKey, Witness) {
    let key = SignerKey::from_seed(&format!("w.example/{number}"), KeyKind::Witness, &[number; 32]).unwrap();
    let witness = Witness { url: "https://w.example".into(), key: key.key().to_string() };
    (key, witness)
}

#[test]
fn old_events_go_unless_they_are_held() {
    let directory = tempfile::tempdir().unwrap();
    let database = open(directory.path());
    let log = Audit::new(&database).log(TENANT);
    append(&database, (0..600).map(|n| event(TENANT, n)));
    grow(&log);
    // 600 seconds of events, a day later but for the last 100: what is not signed stays, and what nobody limits too.
    let later = Timestamp(BEGIN + i64::try_from(DAY).unwrap() * SECOND + 500 * SECOND);
    assert_eq!(log.drop_old(later).unwrap().dropped, 0);
    log.set_care(|care| care.kept_seconds = Some(DAY), &By::default(), now(1)).unwrap();
    assert_eq!(log.drop_old(later).unwrap().dropped, 0);
    log.sign(&log_key(), now(1)).unwrap();
    let held = Filter { user: Some("user:5".into()), ..Filter::default() };
    log.hold("case-7", "case 7", held, &By::default(), now(1)).unwrap();
    let old = |n: &u64| event(TENANT, *n).at().0 < BEGIN + 500 * SECOND;
    let kept = |n: &u64| event(TENANT, *n).get_user() == Some("user:5");
    let done = log.drop_old(later).unwrap();
    let (gone, stay) = ((0..600).filter(old).filter(|n| !kept(n)).count(), (0..600).filter(old).filter(kept).count());
    assert_eq!((done.dropped, done.held, done.more), (gone as u64, stay as u64, false));
    for n in 0..600 {
        assert_eq!(log.entry(n).unwrap().bytes.is_none(), old(&n) && !kept(&n), "{n}");
    }
    // A second time there is nothing to drop, and nothing is said.
    grow(&log);
    let size = log.size().unwrap();
    assert_eq!(log.drop_old(later).unwrap().dropped, 0);
    assert_eq!(grow(&log), size);
}

#[test]
fn what_makes_no_sense_is_refused_and_nothing_is_changed() {
    let directory = tempfile::tempdir().unwrap();
    let database = open(directory.path());
    let log = Audit::new(&database).log(TENANT);
    let (_, good) = witness(1);
    let with = |witness: Witness| Care { witnesses: vec![witness], ..Care::default() };
    let others = log_key().key().to_string();
    let cases = [
        (Care { kept_seconds: Some(KEPT_SECONDS.start() - 1), ..Care::default() }, "86400"),
        (Care { kept_seconds: Some(KEPT_SECONDS.end() + 1), ..Care::default() }, "3155760000"),
        (Care { witnesses: vec![good.clone(); 2], ..Care::default() }, "twice"),
        (Care { witnesses: vec![good.clone(); WITNESSES_MAX + 1], ..Care::default() }, "at most 16"),
        (with(Witness { url: "ftp://w.example".into(), ..good.clone() }), "no address"),
        (with(Witness { url: "https://me:it@w.example".into(), ..good.clone() }), "no address"),
        (with(Witness { url: "https://w.example/?a=b".into(), ..good.clone() }), "no address"),
        (with(Witness { url: format!("https://w.example/{}", "x".repeat(2_000)), ..good.clone() }), "no address"),
        (with(Witness { key: "w.example/1+00".into(), ..good.clone() }), "key"),
        (with(Witness { key: others, ..good.clone() }), "no witness's"),
    ];
    for (wrong, why) in cases {
        let error = log.set_care(|care| care.clone_from(&wrong), &By::default(), now(1)).unwrap_err().to_string();
        assert!(error.contains(why), "{wrong:?}: {error}");
    }
    assert_eq!((log.care().unwrap(), grow(&log)), (Care::default(), 0));
    let wanted = Care { kept_seconds: Some(400 * DAY), witnesses: vec![good] };
    for _ in 0..2 {
        assert_eq!(log.set_care(|care| care.clone_from(&wanted), &By::default(), now(1)).unwrap(), wanted);
    }
    assert_eq!((log.care().unwrap(), grow(&log)), (wanted, 1), "the second time nothing was changed");
}

/// A witness that signs all that it is sent, and tells what it was sent.
struct Stub {
    key: SignerKey,
    told: Sender<String>,
}

async fn add_checkpoint(State(stub): State<Arc<Stub>>, body: String) -> String {
    let (_, note) = body.split_once("\n\n").unwrap();
    let signed = Note::parse(note).unwrap().cosign(&stub.key, 1_700_000_000).unwrap();
    stub.told.send(body).unwrap();
    signed
}

fn serve(issuing: &Issuing, key: SignerKey) -> (String, Receiver<String>) {
    let (told, asked) = channel();
    let router = Router::new().route("/add-checkpoint", post(add_checkpoint)).with_state(Arc::new(Stub { key, told }));
    let listener = issuing.runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    issuing.runtime.spawn(async move { axum::serve(listener, router).await.unwrap() });
    (url, asked)
}

/// A client that reads and cares for the log; an administrator of the tenant as `relation` says.
fn caretaker(issuing: &Issuing, id: &str, relation: &str) -> String {
    let tenant: &Tenant = &issuing.acme;
    let place = tenant.url("/admin");
    let names = strings(&["audit:read", "audit:write"]);
    let scopes = names.iter().map(|name| Scope { name: name.clone(), description: name.clone(), checked: false });
    let scopes = scopes.collect();
    let resource = Resource { id: "admin".into(), identifier: place.clone(), name: "A".into(), scopes, created_at: 0 };
    tenant.put_resource(&resource, &env()).unwrap();
    let ops = Client {
        grant_types: strings(&["client_credentials"]),
        scopes: names,
        resources: vec![place.clone()],
        ..Client::new(id, ClientKind::App, "Operations")
    };
    let ops = client(tenant, ops);
    let role = tenant.appointment_named(relation, None, &format!("app:{id}")).unwrap();
    tenant.give_role(&role, &env()).unwrap();
    let pairs = [("grant_type", "client_credentials"), ("resource", &place), ("scope", "audit:read audit:write")];
    let heard = issuing.post("/t/acme/token", &[("authorization", &ops)], &pairs);
    format!("Bearer {}", heard.json()["access_token"].as_str().unwrap())
}

#[test]
fn administrators_name_a_witness_and_the_server_asks_it() {
    let issuing = Issuing::start();
    let (key, mut named) = witness(3);
    let (url, asked) = serve(&issuing, key);
    named.url = url;
    let (admin, auditor) = (caretaker(&issuing, "ops", "admin"), caretaker(&issuing, "reader", "auditor"));
    let send = |method: &str, path: &str, token: &str, body: &Value| {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        issuing.send(method, &format!("/t/acme/admin/audit/{path}"), &[("authorization", token)], &body)
    };
    let wanted = json!({"kept_seconds": 400 * DAY, "witnesses": [{"url": named.url, "key": named.key}]});
    assert_eq!(send("GET", "settings", &auditor, &Value::Null).json(), json!({"kept_seconds": null, "witnesses": []}));
    assert_eq!(send("PUT", "settings", &auditor, &wanted).refusal(), (403, "access_denied".into()));
    assert_eq!(send("PUT", "settings", "Bearer x", &wanted).status, 401);
    assert_eq!(send("PUT", "settings", &admin, &json!({"keep": 1})).status, 400);
    assert_eq!(send("PUT", "settings", &admin, &wanted).json(), wanted);
    assert_eq!(send("GET", "settings", &auditor, &Value::Null).json(), wanted);
    let told = events(&issuing).into_iter().find(|event| event.kind() == EventKind::AuditChanged).unwrap();
    assert_eq!(told.get_user(), Some("app:ops"));

    let wait = || asked.recv_timeout(Duration::from_secs(60)).unwrap();
    assert!(wait().starts_with("old 0\n"));
    // What it signed is kept: the next that it is sent goes on from there.
    caretaker(&issuing, "more", "auditor");
    let next = wait();
    let old: u64 = next.lines().next().unwrap().strip_prefix("old ").unwrap().parse().unwrap();
    assert!(old > 0, "{next}");
}

#[test]
fn administrators_hold_events_and_release_them_over_http() {
    let issuing = Issuing::start();
    let (admin, auditor) = (caretaker(&issuing, "ops", "admin"), caretaker(&issuing, "reader", "auditor"));
    let send = |method: &str, path: &str, token: &str, body: &Value| {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        issuing.send(method, &format!("/t/acme/admin/audit/{path}"), &[("authorization", token)], &body)
    };
    let none = Value::Null;
    let filter = json!({"user": "user:sarah", "from": "2026-01-01T00:00:00Z"});
    let wanted = json!({"reason": "case 7", "filter": filter});
    // Who audits sees what is held, and holds nothing; nobody else sees it.
    assert_eq!(send("GET", "holds", &auditor, &none).json(), json!({"holds": []}));
    assert_eq!(send("PUT", "holds/case-7", &auditor, &wanted).refusal(), (403, "access_denied".into()));
    assert_eq!(send("DELETE", "holds/case-7", &auditor, &none).refusal(), (403, "access_denied".into()));
    assert_eq!(send("GET", "holds", "Bearer x", &none).status, 401);
    for (id, wrong, says) in [
        ("case-7", json!({"filter": filter}), "reason"),
        ("case-7", json!({"reason": ""}), "a hold has a reason"),
        ("case-7", json!({"reason": "x", "filter": {"usher": "x"}}), "usher"),
        ("case-7", json!({"reason": "x", "filter": {"kind": "token"}}), "token"),
        ("case%207", wanted.clone(), "names no hold"),
    ] {
        let heard = send("PUT", &format!("holds/{id}"), &admin, &wrong);
        assert!(heard.status == 400 && heard.body.contains(says), "{wrong}: {}", heard.body);
    }
    let made = send("PUT", "holds/case-7", &admin, &wanted);
    assert_eq!((made.status, &made.json()["by"]), (201, &json!("app:ops")));
    assert_eq!(send("PUT", "holds/case-7", &admin, &wanted).status, 400, "a hold is not changed");
    let listed = send("GET", "holds", &auditor, &none).json();
    let [hold] = listed["holds"].as_array().unwrap().as_slice() else { panic!("{listed}") };
    assert_eq!(
        (&hold["id"], &hold["reason"], &hold["filter"]["user"]),
        (&json!("case-7"), &json!("case 7"), &json!("user:sarah"))
    );
    let log = Audit::new(issuing.acme.engine()).log(issuing.acme.number());
    assert_eq!(log.holds().unwrap().len(), 1);
    assert_eq!(send("DELETE", "holds/case-7", &admin, &none).json(), json!({"released": "case-7"}));
    assert_eq!(send("DELETE", "holds/case-7", &admin, &none).status, 400);
    for kind in [EventKind::AuditHeld, EventKind::AuditReleased] {
        let told = events(&issuing).into_iter().find(|event| event.kind() == kind).unwrap();
        assert_eq!((told.get_user(), told.get_resource()), (Some("app:ops"), Some("case-7")));
    }
}
