//! Inputs that nobody would send. Any bytes to any HTTP route are answered, with 2xx or 4xx, never with a panic; any sequence
//! of writes, deletes, model changes and restarts leaves what the oracle says. `BAILIWICK_FUZZ_SECONDS` sets for how long,
//! `BAILIWICK_SEED` which. The pure rooms have targets of their own in `fuzz/`; these need the whole crate.

use crate::agree::{compare_all, number};
use crate::concurrency::{Random, models, universe};
use crate::served::Served;
use bailiwick::Bailiwick;
use bailiwick::engine::*;
use bailiwick::tuple::*;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

const SECONDS: u64 = 3;
/// The longest body that is made up.
const BODY_BYTES_MAX: usize = 4_096;

fn deadline() -> (Instant, u64) {
    let (seconds, seed) = (number("BAILIWICK_FUZZ_SECONDS", SECONDS), number("BAILIWICK_SEED", 1));
    eprintln!("fuzz: {seconds} s, BAILIWICK_SEED={seed}");
    (Instant::now() + Duration::from_secs(seconds), seed)
}

/// Bodies that are right or nearly so, to be damaged.
const BODIES: [&str; 20] = [
    r#"{"name": "fuzz"}"#,
    r#"{"tuple_key": {"user": "user:anne", "relation": "viewer", "object": "folder:1"}, "context": {"x": 1, "y": [{"z": null}]}}"#,
    r#"{"tuple_key": {"user": "user:*", "relation": "viewer", "object": "folder:1"}, "contextual_tuples": {"tuple_keys": [{"user": "group:1#member", "relation": "viewer", "object": "folder:1", "condition": {"name": "small", "context": {"x": 1e400}}}]}}"#,
    r#"{"checks": [{"correlation_id": "a", "tuple_key": {"user": "user:anne", "relation": "viewer", "object": "folder:1"}}, {"correlation_id": "b", "tuple_key": {"user": "user:b", "relation": "parent", "object": "folder:2"}}]}"#,
    r#"{"type": "folder", "relation": "viewer", "user": "user:anne", "consistency": "HIGHER_CONSISTENCY"}"#,
    r#"{"object": {"type": "folder", "id": "1"}, "relation": "viewer", "user_filters": [{"type": "user"}], "contextual_tuples": []}"#,
    r#"{"writes": {"tuple_keys": [{"user": "user:anne", "relation": "viewer", "object": "folder:1"}], "on_duplicate": "ignore"}}"#,
    r#"{"deletes": {"tuple_keys": [{"user": "user:anne", "relation": "viewer", "object": "folder:1"}], "on_missing": "ignore"}}"#,
    r#"{"page_size": 10, "continuation_token": "", "tuple_key": {"object": "folder:", "user": "user:anne"}}"#,
    r#"{"schema_version": "1.1", "type_definitions": [{"type": "user"}, {"type": "folder", "relations": {"viewer": {"union": {"child": [{"this": {}}, {"tupleToUserset": {"tupleset": {"relation": "parent"}, "computedUserset": {"relation": "viewer"}}}]}}, "parent": {"this": {}}}, "metadata": {"relations": {"viewer": {"directly_related_user_types": [{"type": "user", "wildcard": {}}]}, "parent": {"directly_related_user_types": [{"type": "folder"}]}}}}]}"#,
    r#"{"schema_version": "1.1", "type_definitions": [{"type": "user"}], "conditions": {"c": {"name": "c", "expression": "x.all(y, y < 1)", "parameters": {"x": {"type_name": "TYPE_NAME_LIST", "generic_types": [{"type_name": "TYPE_NAME_INT"}]}}}}}"#,
    r#"{"assertions": [{"tuple_key": {"user": "user:anne", "relation": "viewer", "object": "folder:1"}, "expectation": true, "contextual_tuples": [], "context": {}}]}"#,
    r#"{"tuple_key": {"relation": "viewer", "object": "folder:1"}}"#,
    "",
    r#"{"name": "d", "dimension": 2, "metric": "cosine", "element": "f16", "guard": {"type": "folder", "relation": "viewer"}}"#,
    r#"{"chunks": [{"id": "a", "object": "folder:1", "vector": [1, 0.5], "text": "t", "payload": {"lang": "en", "n": [1, {"x": null}]}}]}"#,
    r#"{"ids": ["a", "b"], "with": ["text", "payload", "vector"]}"#,
    r#"{"object": "folder:1", "filter": {"and": [{"field": "lang", "equal": "en"}, {"field": "n", "range": {"gte": 1}}]}, "page_size": 3}"#,
    r#"{"ids": ["a"]}"#,
    r#"{"user": "user:anne", "vector": [1, 0], "k": 3, "filter": {"not": {"field": "lang", "any_of": ["de"]}}, "context": {"x": 1}, "with": ["text"]}"#,
];

/// Pieces that are put where they do not belong.
const PIECES: [&str; 24] = [
    "{",
    "}",
    "[",
    "]",
    "\"",
    ":",
    ",",
    "null",
    "true",
    "-1",
    "1e999",
    "18446744073709551616",
    "\\u0000",
    "\\ud800",
    "é",
    "#",
    "*",
    "user:*",
    "folder:1#viewer",
    "\"context\": ",
    "{\"this\": {}}",
    "\"union\": {\"child\": ",
    "01ARZ3NDEKTSV4RRFFQ69G5FAV",
    "%00",
];

/// A body, mostly the one that the call wants.
fn body(random: &mut Random, path: &str) -> Vec<u8> {
    let calls = [
        ("/check", 1),
        ("/batch-check", 3),
        ("/list-objects", 4),
        ("/list-users", 5),
        ("/write", 6),
        ("/read", 8),
        ("/expand", 12),
        ("/assertions/", 11),
        ("/chunks/get", 16),
        ("/chunks/scroll", 17),
        ("/chunks/delete", 18),
        ("/chunks", 15),
        ("/search", 19),
        ("/collections", 14),
    ];
    let wanted = calls.iter().find(|(call, _)| path.contains(call)).filter(|_| random.below(4) > 0);
    let mut body = wanted.map_or_else(|| random.pick(&BODIES), |(_, at)| BODIES[*at]).as_bytes().to_vec();
    if random.below(3) == 0 {
        return body;
    }
    if random.below(8) == 0 {
        let length = random.below(200);
        body = (0..length).map(|_| u8::try_from(random.below(256)).unwrap()).collect();
    }
    if random.below(16) == 0 {
        let depth = usize::try_from(random.below(1_000)).unwrap();
        body =
            [r#"{"context": "#.as_bytes(), "[".repeat(depth).as_bytes(), "]".repeat(depth).as_bytes(), b"}"].concat();
    }
    for _ in 0..random.below(4) {
        let at = usize::try_from(random.below(body.len() as u64 + 1)).unwrap();
        match random.below(4) {
            0 => body.truncate(at),
            1 if at < body.len() => body[at] = u8::try_from(random.below(256)).unwrap(),
            2 if at < body.len() => {
                let end = (at + 1 + usize::try_from(random.below(20)).unwrap()).min(body.len());
                body.drain(at..end);
            }
            _ => {
                body.splice(at..at, random.pick(&PIECES).bytes());
            }
        }
    }
    body.truncate(BODY_BYTES_MAX);
    body
}

fn path(random: &mut Random, store: &str, model: &str) -> String {
    let calls = [
        "",
        "/check",
        "/batch-check",
        "/expand",
        "/list-objects",
        "/streamed-list-objects",
        "/list-users",
        "/read",
        "/write",
        "/changes",
        "/authorization-models",
        "/authorization-models/MODEL",
        "/assertions/MODEL",
        "/collections",
        "/collections/c",
        "/collections/c/chunks",
        "/collections/c/chunks/get",
        "/collections/c/chunks/scroll",
        "/collections/c/chunks/delete",
        "/collections/c/search",
        "/collections/%2e%2e/search",
        "/nothing",
    ];
    let ids = [
        store,
        store,
        store,
        store,
        store,
        store,
        store,
        store,
        store,
        store,
        "01ARZ3NDEKTSV4RRFFQ69G5FAV",
        "x",
        "%2e%2e",
        "%FF%00",
        "a%20b",
    ];
    let queries = [
        "",
        "",
        "?page_size=2",
        "?page_size=-1",
        "?page_size=x&continuation_token=%00",
        "?type=folder&start_time=2020-01-01T00:00:00Z",
        "?start_time=never",
        "?continuation_token=AAAA&page_size=1&page_size=2",
        "?name=%F0%9F",
        "?=&&&",
    ];
    let call = random.pick(&calls).replace("MODEL", random.pick(&[model, model, "x", "%00"]));
    let start =
        if random.below(10) == 0 { "/stores".to_owned() } else { format!("/stores/{}{call}", random.pick(&ids)) };
    format!("{start}{}", random.pick(&queries))
}

#[test]
fn http_bodies() {
    let (until, seed) = deadline();
    let mut random = Random(seed);
    let served = Served::start();
    let mut http = served.http();
    let fresh = || {
        let made = served.http().send("POST", "/stores", &[], br#"{"name": "fuzz"}"#).json();
        let store = made["id"].as_str().unwrap().to_owned();
        let path = format!("/stores/{store}/authorization-models");
        let made = served.http().send("POST", &path, &[], models()[0].to_json().to_string().as_bytes()).json();
        let collection = BODIES[14].replace(r#""d""#, r#""c""#);
        let answer = served.http().send("POST", &format!("/stores/{store}/collections"), &[], collection.as_bytes());
        assert_eq!(answer.status, 201, "{}", String::from_utf8_lossy(&answer.body));
        (store, made["authorization_model_id"].as_str().unwrap().to_owned())
    };
    let (mut store, mut model) = fresh();
    let (mut sent, mut fine) = (0_u64, 0_u64);
    while Instant::now() < until {
        let path = path(&mut random, &store, &model);
        let method = match random.below(4) {
            0 => random.pick(&["POST", "GET", "PUT", "DELETE", "PATCH"]),
            1 if path.contains("models") => "GET",
            _ if path.contains("/changes") => "GET",
            _ if path.contains("/assertions") => random.pick(&["GET", "PUT"]),
            _ => "POST",
        };
        let body = body(&mut random, &path);
        let kind = random.pick(&["application/json", "application/json", "text/plain", "\u{1}"]);
        // A token that is none is refused by every call, so most requests carry none.
        let token = random.pick(&["", "", "", "", "", "", "", "AAAA", "zzz", "%%%"]);
        let mut headers = vec![("content-type", kind.trim_matches('\u{1}'))];
        if !token.is_empty() {
            headers.push(("bailiwick-at-least", token));
        }
        let answer = http.send(method, &path, &headers, &body);
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        let what = || {
            format!(
                "BAILIWICK_SEED={seed}: {method} {path}\n{}\n{} {text}",
                String::from_utf8_lossy(&body),
                answer.status
            )
        };
        assert!((200..300).contains(&answer.status) || (400..500).contains(&answer.status), "{}", what());
        if answer.status >= 400 {
            let problem: serde_json::Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {}", what()));
            assert!(problem["code"].is_string() && problem["message"].is_string(), "{}", what());
        }
        if method == "DELETE" && answer.status == 204 {
            (store, model) = fresh();
        }
        sent += 1;
        fine += u64::from(answer.status < 300);
    }
    assert!(fine * 20 > sent && fine * 10 < sent * 9, "{fine} of {sent} were taken: the bodies test little");
    assert_eq!(http.send("GET", "/healthz", &[], b"").status, 200);
    eprintln!("fuzz: {sent} requests, {fine} of them taken");
}

/// A store, and what must be in it.
struct Known {
    id: StoreId,
    model: usize,
    there: BTreeSet<usize>,
}

#[test]
fn operations_and_restarts() {
    let (until, seed) = deadline();
    let mut random = Random(seed);
    let (models, universe) = (models(), universe());
    let directory = tempfile::tempdir().unwrap();
    let settings = || Settings { sync: false, snapshots_retained: 2, plans_max: 2, ..Settings::default() };
    let mut database = Bailiwick::open_with(directory.path(), settings()).unwrap();
    let mut next = 1;
    let mut fresh = || {
        next += 1;
        ulid::Ulid::from_parts(next, 1)
    };
    let mut stores: Vec<Known> = Vec::new();
    let (mut operations, mut restarts) = (0_u64, 0_u64);
    while Instant::now() < until || restarts < 2 {
        operations += 1;
        if stores.len() < 2 || random.below(60) == 0 && stores.len() < 4 {
            let known = Known { id: StoreId(fresh()), model: 0, there: BTreeSet::new() };
            database.create_store(known.id, "fuzz", Timestamp(1)).unwrap();
            database.write_model(known.id, ModelId(fresh()), models[0].clone()).unwrap();
            stores.push(known);
        }
        let at = usize::try_from(random.below(stores.len() as u64)).unwrap();
        match random.below(40) {
            0 => {
                let gone = stores.swap_remove(at);
                database.delete_store(gone.id, Timestamp(2)).unwrap();
                assert!(database.view(gone.id, None, Consistency::Latest).is_err());
                continue;
            }
            1..=3 => {
                stores[at].model = usize::try_from(random.below(models.len() as u64)).unwrap();
                database.write_model(stores[at].id, ModelId(fresh()), models[stores[at].model].clone()).unwrap();
            }
            4 => {
                restarts += 1;
                drop(database);
                database = Bailiwick::open_with(directory.path(), settings()).unwrap();
                let report = database.verify().unwrap();
                assert!(report.differences.is_empty(), "BAILIWICK_SEED={seed}: {report:?}");
            }
            _ => write(&database, &mut stores[at], &universe, &mut random),
        }
        if random.below(4) == 0 {
            let known = &stores[at];
            let view = database.view(known.id, None, Consistency::Latest).unwrap();
            let tuples: Vec<Tuple> = known.there.iter().map(|n| universe[*n].clone()).collect();
            let subject = random.pick(&["user:a", "user:b", "user:c", "user:*", "group:1#member"]);
            let subject = SubjectRef::parse(subject).unwrap().to_owned();
            compare_all(&view, &models[known.model], &tuples, Given::default(), &[subject])
                .unwrap_or_else(|fault| panic!("BAILIWICK_SEED={seed}, operation {operations}: {fault}\n{tuples:?}"));
        }
    }
    eprintln!("fuzz: {operations} operations, {restarts} restarts");
}

/// Writes or deletes a few tuples, some of them in vain.
fn write(database: &Bailiwick, known: &mut Known, universe: &[Tuple], random: &mut Random) {
    let chosen: BTreeSet<usize> =
        (0..=random.below(6)).map(|_| usize::try_from(random.below(universe.len() as u64)).unwrap()).collect();
    let (there, missing): (Vec<usize>, Vec<usize>) = chosen.iter().partition(|n| known.there.contains(n));
    let all = |of: &mut dyn Iterator<Item = &usize>| of.map(|n| universe[*n].clone()).collect::<Vec<_>>();
    let grant = random.below(3) > 0;
    let (writes, deletes) = if grant { (chosen.clone(), BTreeSet::new()) } else { (BTreeSet::new(), chosen.clone()) };
    let lenient = random.below(2) == 0;
    let query = WriteQuery {
        writes: all(&mut writes.iter()),
        deletes: all(&mut deletes.iter()),
        on_duplicate: if lenient { OnDuplicate::Ignore } else { OnDuplicate::Error },
        on_missing: if lenient { OnMissing::Ignore } else { OnMissing::Error },
        ..WriteQuery::default()
    };
    let answer = database.write(known.id, None, query, Timestamp(1));
    match answer {
        Ok(_) => {
            assert!(lenient || if grant { there.is_empty() } else { missing.is_empty() }, "taken: {chosen:?}");
            if grant {
                known.there.extend(&chosen);
            } else {
                known.there.retain(|n| !chosen.contains(n));
            }
        }
        Err(WriteError::AlreadyExists { .. }) => assert!(grant && !lenient && !there.is_empty()),
        Err(WriteError::DoesNotExist { .. }) => assert!(!grant && !lenient && !missing.is_empty()),
        Err(WriteError::Tuple { .. }) => assert!(grant && known.model == 2, "the other models take all"),
        Err(error) => panic!("{error}"),
    }
}
