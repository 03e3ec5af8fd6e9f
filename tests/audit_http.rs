//! The log over HTTP, read as a stranger with a client of C2SP tlog-tiles would: checkpoint, tiles, entries; and who may not
//! read it, does not.

use crate::audit::{TENANT, append, event, grow, log_key, now, open, stored};
use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bailiwick::Bailiwick;
use bailiwick::modules::audit::explain::NoPaths;
use bailiwick::modules::audit::http::{Access, Refusal, routes};
use bailiwick::modules::audit::note::{Checkpoint, Signer};
use bailiwick::modules::audit::tree::{Hash, Tiles, extends, includes, leaf_hash, root_at, tile_path};
use bailiwick::modules::audit::{Audit, By, Log};
use bailiwick::wire::Pool;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_body_util::BodyExt as _;
use serde_json::Value;
use std::io::Read;
use std::sync::Arc;
use tower::ServiceExt as _;

/// Whoever says a tenant's number may read its log.
struct Numbers;

impl Access for Numbers {
    fn govern(&self, request: &Parts) -> Result<(u32, By), Refusal> {
        self.admit(request).map(|number| (number, By { user: Some("user:olga".into()), ..By::default() }))
    }

    fn admit(&self, request: &Parts) -> Result<u32, Refusal> {
        let number = request.headers.get("tenant").and_then(|n| n.to_str().ok()?.parse().ok());
        let refusal = || (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Bearer")]).into_response();
        number.ok_or_else(|| Box::new(refusal()))
    }
}

struct Served {
    router: axum::Router,
    runtime: tokio::runtime::Runtime,
}

impl Served {
    fn new(database: &Bailiwick) -> Served {
        let pool = Arc::new(Pool::new("audit", 2, 16).unwrap());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        Served { router: routes(Audit::new(database), Arc::new(Numbers), Arc::new(NoPaths), pool), runtime }
    }

    fn answer(&self, path: &str, headers: &[(&str, &str)]) -> (StatusCode, HeaderMap, Vec<u8>) {
        let mut request = Request::get(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::empty()).unwrap();
        self.runtime.block_on(async {
            let response: Response = self.router.clone().oneshot(request).await.unwrap();
            let (parts, body) = response.into_parts();
            (parts.status, parts.headers, body.collect().await.unwrap().to_bytes().to_vec())
        })
    }

    fn get(&self, path: &str) -> Vec<u8> {
        let (status, _, body) = self.answer(path, &[("tenant", "7")]);
        assert_eq!(status, StatusCode::OK, "{path}: {}", String::from_utf8_lossy(&body));
        body
    }

    fn json(&self, path: &str) -> Value {
        serde_json::from_slice(&self.get(path)).unwrap()
    }

    fn status(&self, path: &str) -> u16 {
        self.answer(path, &[("tenant", "7")]).0.as_u16()
    }
}

/// Tiles as a client sees them: over the network, and nothing else.
impl Tiles for Served {
    type Error = String;

    fn tile(&self, level: u8, index: u64, width: usize) -> Result<Vec<Hash>, String> {
        let bytes = self.get(&format!("/{}", tile_path(level, index, width)));
        assert_eq!(bytes.len(), width * 32);
        Ok(bytes.chunks(32).map(|hash| hash.try_into().unwrap()).collect())
    }
}

fn log_of(database: &Bailiwick, events: u64) -> Log {
    append(database, (0..events).map(|n| event(TENANT, n)));
    let log = Audit::new(database).log(TENANT);
    grow(&log);
    log.sign(&log_key(), now(1)).unwrap();
    log
}

/// The entries of a bundle.
fn entries(bundle: &[u8]) -> Vec<Vec<u8>> {
    let (mut rest, mut all) = (bundle, Vec::new());
    while let Some((length, behind)) = rest.split_first_chunk::<2>() {
        let (entry, behind) = behind.split_at(usize::from(u16::from_be_bytes(*length)));
        all.push(entry.to_vec());
        rest = behind;
    }
    all
}

#[test]
fn a_stranger_computes_the_root_from_tiles_and_leaves_from_entries() {
    let directory = tempfile::tempdir().unwrap();
    let database = open(directory.path());
    let log = log_of(&database, 700);
    let served = Served::new(&database);
    let note = String::from_utf8(served.get("/checkpoint")).unwrap();
    let (checkpoint, _) = Checkpoint::open(&note, std::slice::from_ref(log_key().key()), &[]).unwrap();
    assert_eq!(checkpoint.size, 700);
    assert_eq!(root_at(&served, 700).unwrap(), checkpoint.root);
    let events = stored(&database, TENANT);
    let mut index = 0;
    for (tile, width) in [(0, 256), (1, 256), (2, 188)] {
        let bundle = entries(&served.get(&format!("/{}", tile_path("entries", tile, width))));
        let hashes = served.tile(0, tile, width).unwrap();
        assert_eq!(bundle.len(), width);
        for (entry, hash) in bundle.iter().zip(hashes) {
            assert_eq!(leaf_hash(&[entry]), hash);
            assert_eq!(entry[12..], events[index].1);
            index += 1;
        }
    }
    // A partial tile of an earlier size is still served.
    assert_eq!(served.tile(0, 1, 7).unwrap(), log_tile(&log, 1)[..7]);
    let old = log.root(300).unwrap();
    let proof = served.json("/consistency?old=300");
    let hashes: Vec<Hash> = proof["proof"].as_array().unwrap().iter().map(hash).collect();
    assert!(extends(300, &old, 700, &checkpoint.root, &hashes));
}

fn log_tile(log: &Log, tile: u64) -> Vec<Hash> {
    (0..256).map(|n| log.entry(tile * 256 + n).unwrap().leaf().unwrap()).collect()
}

fn hash(value: &Value) -> Hash {
    STANDARD.decode(value.as_str().unwrap()).unwrap().try_into().unwrap()
}

#[test]
fn headers_are_those_of_the_specification() {
    let directory = tempfile::tempdir().unwrap();
    let database = open(directory.path());
    log_of(&database, 300);
    let served = Served::new(&database);
    let header = |path: &str, name: header::HeaderName, more: &[(&str, &str)]| {
        let (_, headers, _) = served.answer(path, &[&[("tenant", "7")], more].concat());
        headers.get(name).map(|value| value.to_str().unwrap().to_owned())
    };
    let text = Some("text/plain; charset=utf-8".to_owned());
    assert_eq!(header("/checkpoint", header::CONTENT_TYPE, &[]), text);
    assert_eq!(header("/checkpoint", header::CACHE_CONTROL, &[]), Some("no-store".into()));
    assert_eq!(header("/tile/0/000", header::CONTENT_TYPE, &[]), Some("application/octet-stream".into()));
    assert!(header("/tile/0/000", header::CACHE_CONTROL, &[]).unwrap().contains("immutable"));
    assert_eq!(header("/tile/entries/000", header::CONTENT_ENCODING, &[]), None);
    let gzip = [("accept-encoding", "br, gzip")];
    assert_eq!(header("/tile/entries/000", header::CONTENT_ENCODING, &gzip), Some("gzip".into()));
    let (_, _, zipped) = served.answer("/tile/entries/000", &[("tenant", "7"), gzip[0]]);
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(&zipped[..]).read_to_end(&mut plain).unwrap();
    assert_eq!(plain, served.get("/tile/entries/000"));
    assert!(zipped.len() * 3 < plain.len(), "{} of {}", zipped.len(), plain.len());
}

#[test]
fn what_is_not_signed_not_there_or_not_named_so_is_not_served() {
    let directory = tempfile::tempdir().unwrap();
    let database = open(directory.path());
    append(&database, (0..300).map(|n| event(TENANT, n)));
    let log = Audit::new(&database).log(TENANT);
    grow(&log);
    let served = Served::new(&database);
    assert_eq!(served.status("/checkpoint"), 404);
    assert_eq!(served.status("/tile/0/000"), 404);
    log.sign(&log_key(), now(1)).unwrap();
    append(&database, (300..400).map(|n| event(TENANT, n)));
    grow(&log);
    assert_eq!(served.status("/tile/0/001.p/44"), 200);
    for path in ["/tile/0/001.p/45", "/tile/0/001", "/tile/0/002", "/tile/1/000.p/2", "/tile/2/000.p/1", "/tile/63/000"]
    {
        assert_eq!(served.status(path), 404, "{path}");
    }
    assert_eq!(served.status("/tile/entries/001.p/45"), 404);
    for path in ["/tile/0/0", "/tile/0/000.p/256", "/tile/x/000", "/tile/64/000", "/events?usr=x", "/events?kind=x"] {
        assert_eq!(served.status(path), 400, "{path}");
    }
    for path in ["/events?page_token=x", "/events?from=yesterday", "/events?page_size=many", "/consistency?old=x"] {
        assert_eq!(served.status(path), 400, "{path}");
    }
    assert_eq!(served.status("/events/400"), 404);
    assert_eq!(served.status("/consistency?old=500"), 404);
    let (status, headers, _) = served.answer("/checkpoint", &[]);
    assert_eq!((status, headers[header::WWW_AUTHENTICATE].to_str().unwrap()), (StatusCode::UNAUTHORIZED, "Bearer"));
    for path in ["/tile/0/000", "/tile/entries/000", "/events", "/events/1", "/consistency?old=1"] {
        assert_eq!(served.answer(path, &[]).0, StatusCode::UNAUTHORIZED, "{path}");
        assert_eq!(served.answer(path, &[("tenant", "8")]).0 == StatusCode::OK, path == "/events", "{path}");
    }
    assert_eq!(served.answer("/events", &[("tenant", "8")]).2, br#"{"events":[],"next_page_token":null}"#);
}

#[test]
fn events_come_in_pages_and_each_with_its_proof() {
    let directory = tempfile::tempdir().unwrap();
    let database = open(directory.path());
    let log = log_of(&database, 200);
    let served = Served::new(&database);
    let (mut path, mut numbers) = ("/events?user=user:5&page_size=7".to_owned(), Vec::new());
    loop {
        let page = served.json(&path);
        for event in page["events"].as_array().unwrap() {
            assert_eq!(event["event"]["user"], "user:5");
            numbers.push(event["index"].as_u64().unwrap());
        }
        let Some(token) = page["next_page_token"].as_str() else { break };
        path = format!("/events?user=user:5&page_size=7&page_token={token}");
    }
    let wanted: Vec<u64> = (0..200).rev().filter(|n| event(TENANT, *n).get_user() == Some("user:5")).collect();
    assert_eq!(numbers, wanted);
    let shown = served.json("/events/42");
    let root = log.root(200).unwrap();
    let proof: Vec<Hash> = shown["proof"].as_array().unwrap().iter().map(hash).collect();
    assert!(includes(&hash(&shown["leaf"]), 42, 200, &root, &proof));
    assert_eq!(shown["event"], serde_json::from_slice::<Value>(&event(TENANT, 42).bytes()).unwrap());
    assert!(shown["checkpoint"].as_str().unwrap().starts_with("example.com/audit\n200\n"));
    // Of what was dropped the hashes are served, and the entries are gone.
    log.drop_before(now(10), &By::default(), now(3)).unwrap();
    assert_eq!(served.status("/tile/entries/000.p/200"), 410);
    assert_eq!(served.tile(0, 0, 200).unwrap().len(), 200);
    let gone = served.json("/events/3");
    assert_eq!((&gone["event"], &gone["dropped"]), (&Value::Null, &Value::Bool(true)));
    assert_eq!(served.json("/events?to=2023-11-14T22:13:30Z")["events"], serde_json::json!([]));
}
