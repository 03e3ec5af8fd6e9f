//! kill -9 while calls go through the vault's proxy: each credential that was lent has one end in the log, and only one. The
//! process tells how calls ended that it saw end; of the rest the next process tells that nobody knows. VAULT-9.

use crate::cli::program;
use crate::elsewhere::{Asked, Elsewhere, Furnished, Serving};
use crate::identity::env;
use bailiwick::identity::{Event, EventKind, Outcome};
use bailiwick::modules::vault;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Calls that are answered before the process is killed.
const ANSWERED: usize = 40;
const CALLERS: usize = 3;
const PATIENCE: Duration = Duration::from_secs(60);

/// An API that answers, but for one path, which says that it was asked, and waits until the test is over.
fn api(runtime: &tokio::runtime::Runtime) -> (Elsewhere, Receiver<()>, Sender<()>) {
    let ((release, wait), (came, begun)) = (channel::<()>(), channel::<()>());
    let wait: Arc<Mutex<Receiver<()>>> = Arc::new(Mutex::new(wait));
    let answer = move |asked: &Asked| {
        if asked.path().ends_with("/slow") {
            came.send(()).unwrap();
            // Fails when the test is over. The thread's other tasks go on.
            let _ = tokio::task::block_in_place(|| wait.lock().unwrap().recv());
        }
        (200, json!({"target": asked.target}))
    };
    (Elsewhere::start(runtime, answer), begun, release)
}

fn furnish(db: &Furnished, origin: &str) -> String {
    let proxy = format!("{}/proxy", db.issuer);
    db.good(&["resource", "create", &proxy, "--id", "proxy", "--scope", "model.use"]);
    let create = ["client", "create", "--id", "sales", "--kind", "agent", "--auth", "client_secret_post"];
    let what = ["--grant-type", "client_credentials", "--scope", "model.use", "--resource", &proxy];
    let secret = db.json(&[&create[..], &what].concat())["client_secret"].as_str().unwrap().to_owned();
    let create = ["connection", "create", "model", "--type", "api-key", "--holder", "agent", "--base", origin];
    db.good(&[&create[..], &["--rule", "GET /v1/** model.use"]].concat());
    db.good(&["connection", "allow", "model", "agent:sales"]);
    db.good(&["connection", "scope", "set", "model", "model.use", "--class", "automatic", "--for", "agent:sales"]);
    db.run(&["connection", "credential", "set", "model", "--agent", "sales"], "model-key-9f8e7d6c5b4a39281706")
        .unwrap();
    secret
}

/// The program, serving the database on a port of its own: it can be killed.
pub(crate) fn serve(db: &Furnished) -> (Child, SocketAddr) {
    let mut command = program(db.directory.path());
    let anywhere = ["--http-addr", "127.0.0.1:0", "--grpc-addr", "127.0.0.1:0", "--identity-addr", "127.0.0.1:0"];
    command.args(["serve", "--outgoing-allow", "127.0.0.1"]).args(anywhere);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim_end().rsplit(' ').next().and_then(|address| address.parse().ok());
    (child, address.unwrap_or_else(|| panic!("{line}")))
}

/// One request, on a connection of its own; an error when the other side is gone.
pub(crate) fn ask(at: SocketAddr, issuer: &str, head: &str, body: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(at)?;
    let (host, path) = issuer.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let (method, rest) = head.split_once(' ').unwrap();
    let length = body.len();
    write!(
        stream,
        "{method} /{path}{rest}\r\nhost: {host}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    if answer.starts_with("HTTP/1.1 200") { Ok(answer) } else { Err(std::io::Error::other(answer)) }
}

/// What the log says of each call, by its trace: how often it was lent, and its ends.
fn calls(serving: &Serving) -> BTreeMap<String, (usize, Vec<Event>)> {
    let mut calls: BTreeMap<String, (usize, Vec<Event>)> = BTreeMap::new();
    for event in serving.events() {
        let of = calls.entry(event.get_trace().unwrap_or_default().to_owned()).or_default();
        match event.kind() {
            EventKind::VaultLeased => of.0 += 1,
            EventKind::ProxyCalled | EventKind::ProxyLost => of.1.push(event),
            _ => {}
        }
    }
    calls.retain(|_, (lent, ends)| *lent > 0 || !ends.is_empty());
    calls
}

#[test]
fn who_is_killed_in_the_middle_of_calls_leaves_each_with_one_end() {
    let db = Furnished::new();
    let (stub, slow_came, release) = api(&db.runtime);
    let secret = furnish(&db, &stub.origin);
    let (mut child, at) = serve(&db);
    let issuer = db.issuer.clone();
    let form = format!(
        "grant_type=client_credentials&client_id=sales&client_secret={secret}&scope=model.use&resource={issuer}/proxy"
    );
    let head = "POST /token HTTP/1.1\r\ncontent-type: application/x-www-form-urlencoded";
    let answer = ask(at, &issuer, head, &form).unwrap();
    let answer: Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
    let token = answer["access_token"].as_str().unwrap();
    let (traces, answered) = (AtomicUsize::new(1), AtomicUsize::new(0));
    let call = |path: &str| {
        let trace = traces.fetch_add(1, Ordering::SeqCst);
        let parent = format!("traceparent: 00-{trace:032x}-00f067aa0ba902b7-01\r\nauthorization: Bearer {token}");
        ask(at, &issuer, &format!("GET /proxy/model/v1/{path} HTTP/1.1\r\n{parent}"), "")
    };
    std::thread::scope(|scope| {
        let slow = scope.spawn(|| call("slow"));
        if slow_came.recv_timeout(PATIENCE).is_err() {
            panic!("the slow call did not come: {:?}", slow.join().unwrap());
        }
        let begun = Instant::now();
        for _ in 0..CALLERS {
            scope.spawn(|| {
                while call("fast").is_ok() {
                    answered.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        while answered.load(Ordering::SeqCst) < ANSWERED {
            assert!(begun.elapsed() < PATIENCE, "{answered:?} calls were answered");
            std::thread::yield_now();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(slow.join().unwrap().is_err());
    });

    // The next process tells of them as soon as it serves.
    let serving = db.serve();
    let begun = Instant::now();
    let mut all = calls(&serving);
    while all.values().any(|(_, ends)| ends.is_empty()) {
        assert!(begun.elapsed() < PATIENCE, "{all:?}");
        std::thread::yield_now();
        all = calls(&serving);
    }
    assert!(all.len() > ANSWERED && all.values().all(|(lent, ends)| (*lent, ends.len()) == (1, 1)), "{all:?}");
    let slow = &all[&format!("{:032x}", 1)].1[0];
    assert_eq!((slow.kind(), slow.outcome()), (EventKind::ProxyLost, Outcome::Failed));
    assert_eq!((slow.get_agent(), slow.get_reason()), (Some("agent:sales"), Some("process.ended")));
    assert_eq!((slow.get_resource(), slow.get_action()), (Some("connection:model"), Some("GET /v1/slow")));
    assert_eq!(slow.details()["scope"], "model.use");
    let lost = all.values().filter(|(_, ends)| ends[0].kind() == EventKind::ProxyLost).count();
    assert!(lost <= 1 + 2 * CALLERS, "{lost} calls were lost of those that the process saw end");
    // Nothing is told twice, and calls of this process are its own to tell of.
    assert_eq!(vault::tell_lost(&serving.tenant, &env()).unwrap(), 0);
    assert_eq!(calls(&serving), all);
    drop(release);
}
