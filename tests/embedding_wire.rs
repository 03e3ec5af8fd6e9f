//! Texts in place of vectors, through a real server and an endpoint that the test plays: it answers, fails, lies and falls
//! silent. The key is sent to it and stands nowhere else.

use crate::collections_wire::{Answer, BOTH, Surface, World, ids};
use crate::wire_client::{Server, ask};
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use axum::response::{IntoResponse, Response};
use bailiwick::server::Settings;
use bailiwick::wire::{Bounds, EmbeddingKey, EmbeddingSettings};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const KEY: &str = "sk-never-to-be-seen";
const TEXT: &str = "what nobody else may read";
const LONG: Duration = Duration::from_secs(60);

/// What the endpoint does with a call.
enum Turn {
    Answer(u16, &'static [(&'static str, &'static str)], String),
    Silence,
}

fn status(status: u16) -> Turn {
    // An endpoint that repeats what it was told, as some do.
    Turn::Answer(status, &[], format!("{KEY} {TEXT}"))
}

/// A call as it came.
struct Asked {
    path: String,
    authorization: Option<String>,
    body: Value,
}

#[derive(Clone, Default)]
struct Script {
    /// What to do with the next calls; all others get their vectors.
    turns: Arc<Mutex<VecDeque<Turn>>>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

/// An endpoint on a free port.
struct Endpoint {
    url: String,
    script: Script,
    _runtime: tokio::runtime::Runtime,
}

impl Endpoint {
    fn start() -> Endpoint {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let script = Script::default();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let url = format!("http://{}/v1/embeddings", listener.local_addr().unwrap());
        let router = axum::Router::new().fallback(play).with_state(script.clone());
        runtime.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Endpoint { url, script, _runtime: runtime }
    }

    fn settings(&self, timeout: Duration) -> Settings {
        let key = Some(EmbeddingKey::new(KEY).unwrap());
        let embedding = EmbeddingSettings { url: self.url.clone(), model: "compass-1".into(), key, timeout };
        Settings { embedding: Some(embedding), ..Settings::default() }
    }

    fn world(&self, surface: Surface) -> World {
        World { server: Server::start_with(self.settings(LONG)), surface }
    }

    fn will(&self, turns: impl IntoIterator<Item = Turn>) {
        self.script.turns.lock().unwrap().extend(turns);
    }

    /// The calls since the last time.
    fn asked(&self) -> Vec<Asked> {
        assert!(self.script.turns.lock().unwrap().is_empty(), "fewer calls than planned");
        std::mem::take(&mut self.script.asked.lock().unwrap())
    }
}

async fn play(State(script): State<Script>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let authorization = headers.get("authorization").map(|value| value.to_str().unwrap().to_owned());
    let body: Value = serde_json::from_slice(&body).unwrap();
    let texts: Vec<String> = serde_json::from_value(body["input"].clone()).unwrap();
    script.asked.lock().unwrap().push(Asked { path: uri.path().to_owned(), authorization, body });
    let turn = script.turns.lock().unwrap().pop_front();
    match turn {
        None => {
            let items = texts.iter().enumerate().map(|(i, text)| json!({"index": i, "embedding": vector(text)}));
            // Backwards: the index says to which text a vector belongs.
            axum::Json(json!({"data": items.rev().collect::<Vec<_>>()})).into_response()
        }
        Some(Turn::Answer(status, headers, body)) => {
            let mut response = body.into_response();
            *response.status_mut() = status.try_into().unwrap();
            headers.iter().for_each(|(name, value)| drop(response.headers_mut().insert(*name, value.parse().unwrap())));
            response
        }
        Some(Turn::Silence) => std::future::pending().await,
    }
}

fn vector(text: &str) -> Value {
    match text {
        "east" => json!([1.0, 0.0]),
        "north" => json!([0.0, 1.0]),
        "wide" => json!([1.0, 0.0, 0.0]),
        other => json!([other.len(), 1.0]),
    }
}

fn question(text: &str) -> Value {
    json!({"user": "user:a", "query_text": text})
}

/// That a request failed as it should, and that neither the key nor a text is repeated.
fn failed(answer: &Answer, surface: Surface, status: u16, code: &str, number: i32, words: &[&str]) {
    match surface {
        Surface::Http => assert_eq!((answer.status, answer.code.as_str()), (status, code), "{answer:?}"),
        Surface::Grpc => assert_eq!(answer.number, number, "{answer:?}"),
    }
    words.iter().for_each(|word| assert!(answer.text.contains(word), "no `{word}` in {answer:?}"));
    assert!(!format!("{answer:?}").contains(KEY) && !format!("{answer:?}").contains(TEXT), "{answer:?}");
}

fn unavailable(answer: &Answer, surface: Surface, words: &[&str]) {
    failed(answer, surface, 503, "embedding_unavailable", 5102, words);
}

fn of_no_use(answer: &Answer, surface: Surface, words: &[&str]) {
    failed(answer, surface, 502, "embedding_failed", 5103, words);
}

fn refused(answer: &Answer, surface: Surface, words: &[&str]) {
    failed(answer, surface, 400, "validation_error", 2000, words);
}

#[test]
fn a_text_stands_for_a_vector() {
    for surface in BOTH {
        let endpoint = Endpoint::start();
        let world = endpoint.world(surface);
        world.fill(&[("x", "document:1", [1.0, 0.0]), ("y", "document:2", [0.0, 1.0])]);
        let whole = |user: &str, text: &str| {
            let found = world.done("Search", "c", json!({"user": user, "query_text": text, "with": ["text"]}));
            ids(&found).into_iter().map(str::to_owned).collect::<Vec<_>>()
        };
        assert!(endpoint.asked().is_empty(), "vectors that are given need no endpoint");
        assert_eq!(whole("user:a", "north"), ["y", "x"]);
        assert_eq!(whole("user:a", "east"), ["x", "y"]);
        assert_eq!(whole("user:t1", "north"), ["x"], "a text shows no more than a vector");
        let asked = endpoint.asked();
        assert_eq!(asked.len(), 3);
        assert_eq!(asked[0].path, "/v1/embeddings");
        assert_eq!(asked[0].authorization.as_deref(), Some(format!("Bearer {KEY}").as_str()));
        assert_eq!(asked[0].body, json!({"model": "compass-1", "input": ["north"]}));
    }
}

#[test]
fn chunks_get_the_vectors_of_their_texts() {
    for surface in BOTH {
        let endpoint = Endpoint::start();
        let world = endpoint.world(surface);
        world.fill(&[]);
        let mut chunks: Vec<Value> =
            (1..=100).map(|i| json!({"id": format!("c{i}"), "object": "document:1", "text": "t".repeat(i)})).collect();
        chunks[49]["vector"] = json!([7.0, 7.0]);
        assert_eq!(world.done("WriteChunks", "c", json!({"chunks": chunks}))["upserted"], 100);
        let sizes: Vec<usize> = endpoint.asked().iter().map(|a| a.body["input"].as_array().unwrap().len()).collect();
        assert_eq!((sizes.iter().sum::<usize>(), sizes.len()), (99, 4), "the given vector stays");
        let names: Vec<String> = (1..=100).map(|i| format!("c{i}")).collect();
        let got = world.done("GetChunks", "c", json!({"ids": names, "with": ["vector", "text"]}));
        for (i, chunk) in (1..=100_u32).zip(got["chunks"].as_array().unwrap()) {
            let expected = if i == 50 { json!([7.0, 7.0]) } else { json!([f64::from(i), 1.0]) };
            assert_eq!((&chunk["vector"], chunk["text"].as_str().unwrap().len()), (&expected, i as usize));
        }
    }
}

#[test]
fn a_write_whose_texts_cannot_be_embedded_changes_nothing() {
    for surface in BOTH {
        let endpoint = Endpoint::start();
        let world = endpoint.world(surface);
        world.fill(&[]);
        let chunk = |id: String, text: &str| json!({"id": id, "object": "document:1", "text": text});
        let many = |count: usize| (0..count).map(|i| chunk(format!("c{i}"), TEXT)).collect::<Vec<_>>();
        endpoint.will([status(400)]);
        // So few that they are one call: of several, some are on their way when the first is refused, and come in later.
        let answer = world.ask("WriteChunks", "c", json!({"chunks": many(20)}));
        of_no_use(&answer, surface, &["status 400", "embedding-model"]);
        drop(endpoint.asked());
        let answer = world.ask("WriteChunks", "c", json!({"chunks": many(1_025)}));
        refused(&answer, surface, &["1025 chunks have no vector", "1024"]);
        let long = "x".repeat((32 << 10) + 1);
        let mixed = json!([chunk("good".into(), "east"), chunk("long".into(), &long), chunk("empty".into(), " "),
            chunk("wide".into(), "wide"), {"id": "bare", "object": "document:1"}]);
        let answer = world.ask("WriteChunks", "c", json!({"chunks": mixed.clone()}));
        refused(&answer, surface, &["chunk 'long' (number 1 of the request)", "32769 bytes", "32768"]);
        let answer = world.ask("WriteChunks", "none", json!({"chunks": many(1)}));
        failed(&answer, surface, 404, "collection_not_found", 5100, &["none"]);
        assert!(endpoint.asked().is_empty(), "what is refused in any case costs no call");
        assert_eq!(world.done("GetCollection", "c", json!({}))["chunks"], 0);

        // Those that are good may be written without the others, each told why.
        let done = world.done("WriteChunks", "c", json!({"chunks": mixed, "on_refused": "skip"}));
        assert_eq!((&done["upserted"], done["refused"].as_array().unwrap().len()), (&json!(1), 4), "{done}");
        let reason = |at: usize| done["refused"][at]["reason"].as_str().unwrap();
        assert!(reason(0).contains("32769 bytes") && reason(1).contains("is empty"), "{done}");
        assert!(reason(2).contains("3 elements") && reason(2).contains("'compass-1'"), "{done}");
        assert!(reason(3).contains("0 elements") && !reason(3).contains("compass"), "{done}");
        assert_eq!(endpoint.asked().len(), 1);
    }
}

#[test]
fn a_call_is_repeated_while_that_may_help() {
    for surface in BOTH {
        let endpoint = Endpoint::start();
        // The pauses take longer than a request may take by itself.
        let bounds = Bounds { request_timeout: Duration::from_millis(400), ..Bounds::default() };
        let settings = Settings { bounds, ..endpoint.settings(LONG) };
        let world = World { server: Server::start_with(settings), surface };
        world.fill(&[("x", "document:1", [1.0, 0.0])]);
        endpoint.will([status(503), status(429)]);
        assert_eq!(ids(&world.done("Search", "c", question("north"))), ["x"]);
        assert_eq!(endpoint.asked().len(), 3);
        endpoint.will([status(500), status(502), status(503)]);
        unavailable(&world.ask("Search", "c", question(TEXT)), surface, &["status 503", "try again"]);
        assert_eq!(endpoint.asked().len(), 3);
        // It wants to be left alone for longer than anybody waits.
        endpoint.will([Turn::Answer(429, &[("retry-after", "3600")], String::new())]);
        unavailable(&world.ask("Search", "c", question(TEXT)), surface, &["status 429"]);
        assert_eq!(endpoint.asked().len(), 1);
        endpoint.will([status(401)]);
        of_no_use(&world.ask("Search", "c", question(TEXT)), surface, &["status 401", "key"]);
        assert_eq!(endpoint.asked().len(), 1, "a refusal is final");
    }
}

#[test]
fn nobody_waits_longer_than_he_wants() {
    for surface in BOTH {
        let endpoint = Endpoint::start();
        let settings = endpoint.settings(Duration::from_millis(300));
        let world = World { server: Server::start_with(settings), surface };
        world.fill(&[]);
        let began = Instant::now();
        endpoint.will([Turn::Silence]);
        unavailable(&world.ask("Search", "c", question(TEXT)), surface, &["did not answer within 300ms"]);
        let chunks: Vec<Value> =
            (0..200).map(|i| json!({"id": format!("c{i}"), "object": "document:1", "text": TEXT})).collect();
        endpoint.will([Turn::Silence]);
        unavailable(&world.ask("WriteChunks", "c", json!({"chunks": chunks})), surface, &["300ms"]);
        assert_eq!(world.done("GetCollection", "c", json!({}))["chunks"], 0);

        // The client's time counts, and a text that nobody waits for holds up no other.
        let world = endpoint.world(surface);
        world.fill(&[("x", "document:1", [1.0, 0.0])]);
        if surface == Surface::Http {
            // Over gRPC the test's own client stops waiting before an answer can come.
            endpoint.will([Turn::Silence]);
            let answer = world.ask_with("Search", "c", question(TEXT), &[("grpc-timeout", "200m")]);
            unavailable(&answer, surface, &["did not answer within"]);
        }
        assert_eq!(ids(&world.done("Search", "c", question("north"))), ["x"]);
        assert!(began.elapsed() < LONG / 2, "{:?}", began.elapsed());

        // Nobody there at all.
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let gone = Endpoint { url: format!("http://{free}/"), ..endpoint };
        let world = gone.world(surface);
        world.fill(&[]);
        unavailable(&world.ask("Search", "c", question(TEXT)), surface, &["cannot be reached", "log"]);
    }
}

#[test]
fn an_endpoint_that_makes_no_sense_is_not_believed() {
    for surface in BOTH {
        let (endpoint, elsewhere) = (Endpoint::start(), Endpoint::start());
        let world = endpoint.world(surface);
        world.fill(&[("x", "document:1", [1.0, 0.0])]);
        let search = |turn: Turn, words: &[&str]| {
            endpoint.will([turn]);
            of_no_use(&world.ask("Search", "c", question(TEXT)), surface, words);
            assert_eq!(endpoint.asked().len(), 1);
        };
        let said = |body: &str| Turn::Answer(200, &[], body.to_owned());
        search(said(&" ".repeat(9 << 20)), &["larger than 8388608 bytes"]);
        search(said(&format!("{{\"{KEY}\": \"{TEXT}\"}}")), &["not understood"]);
        search(said(r#"{"data":[]}"#), &["one vector for each text"]);
        search(said(r#"{"data":[{"embedding":[]}]}"#), &["empty"]);
        search(said(r#"{"data":[{"embedding":[1,0],"index":7}]}"#), &["index"]);
        search(said(r#"{"data":[{"embedding":[1e300,0]}]}"#), &["not understood"]);
        let to: &'static str = elsewhere.url.clone().leak();
        let location: &'static [(&str, &str)] = vec![("location", to)].leak();
        search(Turn::Answer(307, location, String::new()), &["redirect 307", "embedding-url"]);
        assert!(elsewhere.asked().is_empty(), "the key and the text went elsewhere");

        // Sense, but not for this collection: both dimensions and the model are named.
        let words = ["3 elements", "has 2", "'compass-1'"];
        refused(&world.ask("Search", "c", question("wide")), surface, &words);
        let chunks = json!([{"id": "w", "object": "document:1", "text": "wide"}]);
        refused(&world.ask("WriteChunks", "c", json!({"chunks": chunks})), surface, &words);
        endpoint.will([said(r#"{"data":[{"embedding":[3e38,0]}]}"#)]);
        refused(&world.ask("Search", "c", question("x")), surface, &["not a finite number", "'compass-1'"]);
        let given = json!({"user": "user:a", "vector": [1.0, 0.0, 0.0]});
        assert!(!world.ask("Search", "c", given).text.contains("compass"), "a given vector is the client's own");
    }
}

#[test]
fn a_question_is_one_of_three() {
    for surface in BOTH {
        let endpoint = Endpoint::start();
        let world = endpoint.world(surface);
        world.fill(&[("x", "document:1", [1.0, 0.0])]);
        let long = "x".repeat((32 << 10) + 1);
        for (more, words) in [
            (json!({"query_text": "east", "vector": [1.0, 0.0]}), "`query_text` is given and a vector too"),
            (json!({"query_text": "east", "vectors": [[1.0, 0.0]]}), "`query_text` is given and a vector too"),
            (json!({"query_text": ""}), "query_text is empty"),
            (json!({"query_text": " \n"}), "query_text is empty"),
            (json!({"query_text": long}), "query_text has 32769 bytes"),
            (json!({"query_text": "east", "k": 0}), "k is 0"),
            (json!({"query_text": "east", "filter": {"field": 1}}), "filter"),
            (json!({"query_text": "east", "with": ["colour"]}), "colour"),
            (json!({}), "there is no vector; give `vector`, several as `vectors`, or a `query_text`"),
        ] {
            let mut body = json!({"user": "user:a"});
            body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            refused(&world.ask("Search", "c", body), surface, &[words]);
        }
        assert!(endpoint.asked().is_empty(), "what is refused in any case costs no call");

        // Without an endpoint a text is no question, and what has a vector needs none.
        let world = World { server: Server::start(), surface };
        world.fill(&[("x", "document:1", [1.0, 0.0])]);
        let words = ["query_text needs an embedding endpoint: set embedding-url"];
        refused(&world.ask("Search", "c", question(TEXT)), surface, &words);
        let chunks = json!([{"id": "y", "object": "document:1", "text": TEXT}]);
        let answer = world.ask("WriteChunks", "c", json!({"chunks": chunks.clone()}));
        refused(&answer, surface, &["chunk 'y'", "set embedding-url"]);
        let done = world.done("WriteChunks", "c", json!({"chunks": chunks, "on_refused": "skip"}));
        assert!(done["refused"][0]["reason"].as_str().unwrap().contains("set embedding-url"), "{done}");
    }
}

/// The program with these settings, its log in `log`.
fn serve(directory: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bailiwick"));
    let own = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    own.filter(|name| name.starts_with("BAILIWICK_")).for_each(|name| {
        command.env_remove(name);
    });
    command.args(["serve", "--data", "db", "--http-addr", "127.0.0.1:0", "--grpc-addr", "127.0.0.1:0"]);
    command.args(arguments).envs(variables.iter().copied()).current_dir(directory).stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(std::fs::File::create(directory.join("log")).unwrap());
    command
}

#[test]
fn the_key_is_in_no_line_of_the_log() {
    let endpoint = Endpoint::start();
    for by_file in [true, false] {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("key"), format!("{KEY}\n")).unwrap();
        let yaml = format!("embedding: {{url: '{}', model: compass-1}}\nlog-level: trace\n", endpoint.url);
        std::fs::write(directory.path().join("bailiwick.yaml"), yaml).unwrap();
        let arguments: &[&str] = if by_file { &["--embedding-key-file", "key"] } else { &[] };
        let variables: &[(&str, &str)] = if by_file { &[] } else { &[("BAILIWICK_EMBEDDING_KEY", KEY)] };
        let mut child = serve(directory.path(), arguments, variables).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let told = line.strip_prefix("serving HTTP on ").unwrap_or_else(|| panic!("it says {line:?}"));
        let http = told.split_once(',').unwrap().0.parse().unwrap();
        let post = |path: &str, body: Value| ask(http, "POST", path, &[], Some(&body.to_string()));
        let store = post("/stores", json!({"name": "pipeline"})).json()["id"].as_str().unwrap().to_owned();
        let model = json!({"schema_version": "1.1", "type_definitions": [{"type": "user"},
            {"type": "document", "relations": {"viewer": {"this": {}}}, "metadata":
             {"relations": {"viewer": {"directly_related_user_types": [{"type": "user"}]}}}}]});
        assert_eq!(post(&format!("/stores/{store}/authorization-models"), model).status, 201);
        let guard = json!({"type": "document", "relation": "viewer"});
        let collection = json!({"name": "c", "dimension": 2, "metric": "dot", "guard": guard});
        assert_eq!(post(&format!("/stores/{store}/collections"), collection).status, 201);
        let search = || post(&format!("/stores/{store}/collections/c/search"), question(TEXT)).status;
        assert_eq!(search(), 200);
        endpoint.will([status(403)]);
        assert_eq!(search(), 502);
        endpoint.will([Turn::Answer(429, &[("retry-after", "3600")], KEY.to_owned())]);
        assert_eq!(search(), 503);
        child.kill().unwrap();
        child.wait().unwrap();
        let asked = endpoint.asked();
        assert!(asked.len() == 3 && asked.iter().all(|a| a.authorization == Some(format!("Bearer {KEY}"))));
        let log = std::fs::read_to_string(directory.path().join("log")).unwrap();
        assert!(log.contains("no embeddings: the embedding endpoint refused with status 403"), "{log}");
        assert!(log.contains("sent in the clear") && log.contains("Search"), "{log}");
        assert!(!log.contains(KEY) && !log.contains(TEXT), "{log}");
    }
    let settings = endpoint.settings(LONG);
    assert!(format!("{settings:?}").contains("compass-1") && !format!("{settings:?}").contains(KEY), "{settings:?}");
}

#[test]
fn settings_that_do_not_fit_together_are_refused_at_the_start() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("key"), KEY).unwrap();
    std::fs::write(directory.path().join("two"), format!("{KEY}\n{KEY}\n")).unwrap();
    let url = ["--embedding-url", "http://127.0.0.1:1/v1/embeddings"];
    let model = ["--embedding-model", "compass-1"];
    let key = |name| ["--embedding-key-file", name];
    let secret = ["--embedding-url", "https://user:sk-never-to-be-seen@127.0.0.1/"];
    for (arguments, variables, words) in [
        (url.to_vec(), &[][..], "`embedding-model` is not"),
        (model.to_vec(), &[], "`embedding-url` is not"),
        (key("key").to_vec(), &[], "`embedding-url` is not"),
        ([url, model, key("none")].concat(), &[], "cannot read the key in `none`"),
        ([url, model, key("two")].concat(), &[], "on one line"),
        ([url, model, key("key")].concat(), &[("BAILIWICK_EMBEDDING_KEY", KEY)], "both set"),
        ([url, model, ["--embedding-timeout", "0s"]].concat(), &[], "`embedding-timeout` is 0s"),
        ([secret, model].concat(), &[], "without user and password"),
        (["--embedding-key", KEY].to_vec(), &[], "unexpected argument"),
    ] {
        let output = serve(directory.path(), &arguments, variables).stderr(Stdio::piped()).output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && text.contains(words), "{arguments:?}: {text}");
        assert!(!text.contains(KEY), "{text}");
    }
}
