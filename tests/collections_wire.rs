//! Collections, chunks and search through a real server: the same stories and the same faults over HTTP and over gRPC.

use crate::wire_client::Server;
use bailiwick::server::Settings;
use bailiwick::wire::Bounds;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Surface {
    Http,
    Grpc,
}

pub(crate) const BOTH: [Surface; 2] = [Surface::Http, Surface::Grpc];

/// What came back. Over HTTP `number` is 0 or 1 and `code` the code's name; over gRPC the other way round.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) number: i32,
    pub(crate) code: String,
    pub(crate) text: String,
    headers: BTreeMap<String, String>,
    body: Value,
}

pub(crate) struct World {
    pub(crate) server: Server,
    pub(crate) surface: Surface,
}

impl World {
    fn start(surface: Surface) -> World {
        World { server: Server::start(), surface }
    }

    pub(crate) fn ask(&self, call: &str, collection: &str, body: Value) -> Answer {
        self.ask_with(call, collection, body, &[])
    }

    pub(crate) fn ask_with(&self, call: &str, collection: &str, body: Value, headers: &[(&str, &str)]) -> Answer {
        let store = self.server.name("$STORE").to_owned();
        match self.surface {
            Surface::Http => http(&self.server, &store, call, collection, &body.to_string(), headers),
            Surface::Grpc => grpc(&self.server, &store, call, collection, body, headers),
        }
    }

    /// The body of an answer that must be one.
    pub(crate) fn done(&self, call: &str, collection: &str, body: Value) -> Value {
        let answer = self.ask(call, collection, body);
        assert_eq!((answer.status / 100, answer.number), (2, 0), "{:?} {call}: {answer:?}", self.surface);
        let token = answer.headers.get("bailiwick-consistency-token");
        assert!(token.is_some() && answer.headers.contains_key("x-request-id"), "{answer:?}");
        assert!(answer.body.get("token").is_none_or(|t| t.as_str() == token.map(String::as_str)), "{answer:?}");
        answer.body
    }

    /// Makes a collection of two dimensions and puts chunks of these ids, objects and vectors into it, if there are any.
    pub(crate) fn fill(&self, chunks: &[(&str, &str, [f32; 2])]) {
        let guard = json!({"type": "document", "relation": "viewer"});
        self.done("CreateCollection", "", json!({"name": "c", "dimension": 2, "metric": "dot", "guard": guard}));
        if chunks.is_empty() {
            return;
        }
        let chunk = |(id, object, vector): &(&str, &str, [f32; 2])| {
            let payload = json!({"lang": if id.len() > 1 { "de" } else { "en" }, "big": 9_007_199_254_740_993_u64});
            json!({"id": id, "object": object, "vector": vector, "text": format!("text of {id}"), "payload": payload})
        };
        let body = json!({"chunks": chunks.iter().map(chunk).collect::<Vec<_>>()});
        assert_eq!(self.done("WriteChunks", "c", body)["upserted"], chunks.len());
    }

    fn search(&self, body: Value) -> Value {
        let mut whole = json!({"user": "user:a", "vector": [1.0, 0.0]});
        whole.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
        self.done("Search", "c", whole)
    }
}

fn http(server: &Server, store: &str, call: &str, collection: &str, body: &str, headers: &[(&str, &str)]) -> Answer {
    let (method, rest) = match call {
        "CreateCollection" => ("POST", String::new()),
        "ListCollections" => ("GET", String::new()),
        "GetCollection" => ("GET", format!("/{collection}")),
        "DeleteCollection" => ("DELETE", format!("/{collection}")),
        "WriteChunks" => ("POST", format!("/{collection}/chunks")),
        "GetChunks" => ("POST", format!("/{collection}/chunks/get")),
        "ScrollChunks" => ("POST", format!("/{collection}/chunks/scroll")),
        "DeleteChunks" => ("POST", format!("/{collection}/chunks/delete")),
        "Search" => ("POST", format!("/{collection}/search")),
        other => panic!("{other} is no call"),
    };
    let path = format!("/stores/{store}/collections{rest}");
    let answer = server.http(method, &path, headers, Some(body));
    let body: Value = serde_json::from_str(&answer.body).unwrap_or_default();
    let fault = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    Answer {
        status: answer.status,
        number: i32::from(answer.status >= 300),
        code: fault("code"),
        text: fault("message"),
        headers: answer.headers,
        body,
    }
}

fn grpc(server: &Server, store: &str, call: &str, collection: &str, body: Value, headers: &[(&str, &str)]) -> Answer {
    let mut request = outward(body).as_object().unwrap().clone();
    request.insert("store_id".into(), store.into());
    if !collection.is_empty() {
        request.insert("collection".into(), collection.into());
    }
    let answer = server.grpc_with(&format!("bailiwick.v1.Collections/{call}"), &Value::Object(request), headers);
    Answer {
        status: 200,
        number: answer.number,
        code: String::new(),
        text: answer.text,
        headers: answer.headers,
        body: answer.messages.into_iter().next().map(inward).unwrap_or_default(),
    }
}

/// A body of HTTP as the message has it.
fn outward(value: Value) -> Value {
    match value {
        Value::Object(map) => map
            .into_iter()
            .map(|(key, value)| match key.as_str() {
                "payload" | "filter" => (key, value.to_string().into()),
                "vectors" => {
                    let list = value.as_array().unwrap().iter().map(|v| json!({"values": outward(v.clone())}));
                    (key, list.collect())
                }
                _ => (key, outward(value)),
            })
            .collect(),
        Value::Array(list) => list.into_iter().map(outward).collect(),
        Value::Number(n) if n.as_f64().unwrap() > f64::from(f32::MAX) => "Infinity".into(),
        other => other,
    }
}

/// A message as a body of HTTP has it.
fn inward(value: Value) -> Value {
    let Value::Object(map) = value else {
        return match value {
            Value::Array(list) => list.into_iter().map(inward).collect(),
            other => other,
        };
    };
    let mut out = Map::new();
    for (key, value) in map {
        match key.as_str() {
            "payload" => drop(out.insert(key, serde_json::from_str(value.as_str().unwrap()).unwrap())),
            "chunk" | "result" => out.extend(inward(value).as_object().unwrap().clone()),
            // Lists cannot be unset in a message.
            "vector" | "results" if value == json!([]) => {}
            _ => drop(out.insert(key, inward(value))),
        }
    }
    Value::Object(out)
}

pub(crate) fn ids(found: &Value) -> Vec<&str> {
    let list = found.get("hits").or(found.get("chunks")).unwrap().as_array().unwrap();
    list.iter().map(|hit| hit["id"].as_str().unwrap()).collect()
}

#[test]
fn the_whole_life_of_a_collection() {
    for surface in BOTH {
        let world = World::start(surface);
        world.fill(&[
            ("x", "document:1", [1.0, 0.0]),
            ("y", "document:2", [0.5, 0.0]),
            ("zz", "document:2", [0.0, 1.0]),
        ]);
        let described = world.done("GetCollection", "c", json!({}));
        let expected =
            json!({"name": "c", "dimension": 2, "metric": "dot", "element": "f32", "chunks": 3, "objects": 2});
        for (key, value) in expected.as_object().unwrap() {
            assert_eq!(&described[key], value, "{described}");
        }
        assert_eq!(described["guard"], json!({"type": "document", "relation": "viewer"}));
        let memory = described["memory"].as_object().unwrap();
        assert_eq!(memory.len(), 6);
        assert!(
            ["vectors", "codes", "maps", "payloads"].iter().all(|of| memory[*of].as_u64() > Some(0)),
            "{described}"
        );
        assert!(described["created_at"].as_str().unwrap().ends_with('Z') && described["kernel"] != "", "{described}");
        let listed = world.done("ListCollections", "", json!({}));
        assert_eq!(listed["collections"][0]["name"], "c");

        // Get, in the order asked for, with what was asked for.
        let got =
            world.done("GetChunks", "c", json!({"ids": ["zz", "none", "x"], "with": ["text", "payload", "vector"]}));
        assert_eq!((ids(&got), &got["missing"]), (vec!["zz", "x"], &json!(["none"])));
        let payload = json!({"lang": "de", "big": 9_007_199_254_740_993_u64});
        let whole =
            json!({"id": "zz", "object": "document:2", "text": "text of zz", "payload": payload, "vector": [0.0, 1.0]});
        assert_eq!(got["chunks"][0], whole);
        let got = world.done("GetChunks", "c", json!({"ids": ["x"]}));
        assert_eq!(got["chunks"][0], json!({"id": "x", "object": "document:1"}));

        // Scroll, page by page.
        let page = world.done("ScrollChunks", "c", json!({"page_size": 2, "with": ["text"]}));
        assert_eq!((ids(&page), &page["chunks"][0]["text"]), (vec!["x", "y"], &json!("text of x")));
        let next = json!({"page_size": 2, "continuation_token": page["continuation_token"]});
        let page = world.done("ScrollChunks", "c", next);
        assert_eq!((ids(&page), &page["continuation_token"]), (vec!["zz"], &json!("")));
        let page = world.done("ScrollChunks", "c", json!({"object": "document:2"}));
        assert_eq!(ids(&page), ["y", "zz"]);
        let page = world.done("ScrollChunks", "c", json!({"filter": {"field": "lang", "equal": "de"}}));
        assert_eq!(ids(&page), ["zz"]);

        // Upsert in place of, delete by id and by object.
        let again = json!({"chunks": [{"id": "x", "object": "document:2", "vector": [3.0, 0.0]}]});
        assert_eq!(world.done("WriteChunks", "c", again)["upserted"], 1);
        let got = world.done("GetChunks", "c", json!({"ids": ["x"], "with": ["text", "payload", "vector"]}));
        assert_eq!(got["chunks"][0], json!({"id": "x", "object": "document:2", "vector": [3.0, 0.0]}));
        assert_eq!(world.done("DeleteChunks", "c", json!({"ids": ["y", "none"]}))["deleted"], 1);
        let both = json!({"delete_objects": ["document:2"], "delete_ids": ["x"]});
        assert_eq!(world.done("WriteChunks", "c", both)["deleted"], 2);
        assert_eq!(world.done("GetCollection", "c", json!({}))["chunks"], 0);

        world.done("DeleteCollection", "c", json!({}));
        assert_eq!(world.done("ListCollections", "", json!({})), json!({"collections": []}));
        let answer = world.ask("GetCollection", "c", json!({}));
        assert!(answer.code == "collection_not_found" || answer.number == 5100, "{answer:?}");
    }
}

#[test]
fn refused_chunks_are_told_or_refuse_all() {
    for surface in BOTH {
        let world = World::start(surface);
        world.fill(&[]);
        let chunk = |id: &str, object: &str, vector: Value, payload: Value| json!({"id": id, "object": object, "vector": vector, "payload": payload});
        let chunks = json!([
            chunk("payload", "document:1", json!([1, 0]), json!([])),
            chunk("good", "document:1", json!([1, 0]), json!({})),
            chunk("dimension", "document:1", json!([1, 0, 0]), json!({})),
            chunk("object", "document", json!([1, 0]), json!({})),
            chunk("type", "folder:1", json!([1, 0]), json!({})),
            chunk("last", "document:1", json!([1, 1]), json!({})),
        ]);
        let answer = world.ask("WriteChunks", "c", json!({"chunks": chunks}));
        assert!(answer.text.starts_with("chunk 'payload' (number 0 of the request): the payload is not"), "{answer:?}");
        assert_eq!(world.done("GetCollection", "c", json!({}))["chunks"], 0);
        let done = world.done("WriteChunks", "c", json!({"chunks": chunks, "on_refused": "skip"}));
        assert_eq!(done["upserted"], 2);
        let refused = done["refused"].as_array().unwrap();
        let places: Vec<_> =
            refused.iter().map(|r| (r["position"].as_u64().unwrap(), r["id"].as_str().unwrap())).collect();
        assert_eq!(places, [(0, "payload"), (2, "dimension"), (3, "object"), (4, "type")]);
        let reason = refused[1]["reason"].as_str().unwrap();
        assert!(reason.starts_with("the vector has 3 elements where the collection has 2"), "{reason}");
        assert_eq!(ids(&world.done("ScrollChunks", "c", json!({}))), ["good", "last"]);
    }
}

#[test]
fn a_chunk_and_its_tuple_become_visible_together() {
    for surface in BOTH {
        let world = World::start(surface);
        world.fill(&[("x", "document:2", [1.0, 0.0])]);
        let before = world.search(json!({"user": "user:new"}));
        assert_eq!((ids(&before), &before["visible"]), (vec![], &json!(0)));
        let key = json!({"user": "user:new", "relation": "viewer", "object": "document:9"});
        let done = world.done(
            "WriteChunks",
            "c",
            json!({
                "chunks": [{"id": "n", "object": "document:9", "vector": [0.5, 0.5]}],
                "writes": {"tuple_keys": [key]},
            }),
        );
        // The token before and the one after are the two sides of one revision.
        let (before, after) = (before["token"].as_str().unwrap(), done["token"].as_str().unwrap());
        for (header, token, visible) in [
            ("bailiwick-exactly", before, 0),
            ("bailiwick-exactly", after, 1),
            ("bailiwick-at-least", after, 1),
            ("bailiwick-at-least", before, 1),
        ] {
            let body = json!({"user": "user:new", "vector": [1.0, 0.0], "consistency": "HIGHER_CONSISTENCY"});
            let found = world.ask_with("Search", "c", body, &[(header, token)]);
            assert_eq!(found.body["visible"], visible, "{header}: {found:?}");
            assert!(header == "bailiwick-at-least" || found.body["token"] == token, "{found:?}");
            assert_eq!(found.headers["openfga-authorization-model-id"], world.server.name("$MODEL"));
        }
        // A refused tuple refuses the chunk; so does a refused chunk the tuple.
        let taken = json!({
            "chunks": [{"id": "m", "object": "document:9", "vector": [0.5, 0.5]}],
            "writes": {"tuple_keys": [key]},
        });
        let answer = world.ask("WriteChunks", "c", taken.clone());
        assert!(answer.text.starts_with("cannot write a tuple which already exists"), "{answer:?}");
        assert_eq!(world.search(json!({"user": "user:new"}))["visible"], 1);
        let mut ignored = taken;
        ignored["writes"]["on_duplicate"] = "ignore".into();
        world.done("WriteChunks", "c", ignored);
        assert_eq!(world.search(json!({"user": "user:new"}))["visible"], 2);
        // The chunks stay when the tuple goes; nobody sees them.
        let deletes = json!({"deletes": {"tuple_keys": [key]}, "delete_ids": ["m"]});
        assert_eq!(world.done("WriteChunks", "c", deletes)["deleted"], 1);
        assert_eq!(world.search(json!({"user": "user:new"}))["visible"], 0);
        assert_eq!(ids(&world.done("ScrollChunks", "c", json!({}))), ["x", "n"]);
    }
}

#[test]
fn searches_answer_in_every_form() {
    for surface in BOTH {
        let world = World::start(surface);
        // user:a sees document:2 directly, document:1 through folder:1; user:t1 sees document:1 alone.
        world.fill(&[
            ("x", "document:1", [1.0, 0.0]),
            ("y", "document:2", [0.75, 0.0]),
            ("zz", "document:2", [0.0, 1.0]),
            ("w", "document:3", [9.0, 9.0]),
        ]);
        let found = world.search(json!({}));
        assert_eq!(ids(&found), ["x", "y", "zz"]);
        assert_eq!(found["hits"][1], json!({"id": "y", "object": "document:2", "score": 0.75}));
        assert_eq!((&found["visible"], &found["plan"]["kind"]), (&json!(3), &json!("scan")));
        assert!(
            found["plan"]["candidates"].as_u64() >= Some(3) && found["plan"]["visited"].as_u64() >= Some(3),
            "{found}"
        );

        let found = world.search(json!({"k": 1, "exact": true, "with": ["text", "payload", "vector"]}));
        let hit = json!({
            "id": "x", "object": "document:1", "score": 1.0, "text": "text of x",
            "payload": {"lang": "en", "big": 9_007_199_254_740_993_u64}, "vector": [1.0, 0.0],
        });
        assert_eq!((&found["hits"], &found["visible"]), (&json!([hit]), &json!(3)));

        assert_eq!(ids(&world.search(json!({"agent": "user:t1"}))), ["x"]);
        assert_eq!(ids(&world.search(json!({"user": "user:t1", "agent": "user:a"}))), ["x"]);
        assert_eq!(ids(&world.search(json!({"user": "folder:1"}))), [""; 0]);
        assert_eq!(ids(&world.search(json!({"relation": "editor"}))), [""; 0]);
        let filter = json!({"not": {"field": "lang", "equal": "en"}});
        assert_eq!(ids(&world.search(json!({"filter": filter}))), ["zz"]);
        assert_eq!(
            ids(&world.search(json!({"filter": {"field": "big", "equal": 9_007_199_254_740_992_u64}}))),
            [""; 0]
        );

        let member = json!([
            {"user": "user:guest", "relation": "member", "object": "group:g"},
            {"user": "group:g#member", "relation": "viewer", "object": "document:3"},
        ]);
        let given = json!({"user": "user:guest", "contextual_tuples": {"tuple_keys": member}});
        assert_eq!(ids(&world.search(given)), ["w"]);
        assert_eq!(ids(&world.search(json!({"user": "user:guest"}))), [""; 0]);

        let conditional = |z: &str| json!({"user": "user:cond", "relation": "conditional", "context": {"z": z}});
        assert_eq!(ids(&world.search(conditional("yes"))), ["x"]);
        assert_eq!(ids(&world.search(conditional("no"))), [""; 0]);

        let vectors = json!({"user": "user:a", "vectors": [[0.0, 1.0], [1.0, 0.0]], "k": 1, "with": ["text"]});
        let found = world.done("Search", "c", vectors);
        let results = found["results"].as_array().unwrap();
        assert_eq!(results.iter().map(ids).collect::<Vec<_>>(), [["zz"], ["x"]]);
        assert_eq!((&results[0]["visible"], &results[1]["hits"][0]["text"]), (&json!(3), &json!("text of x")));
        assert!(found["token"].is_string() && found.get("hits").is_none(), "{found}");
        let one = world.done("Search", "c", json!({"user": "user:a", "vectors": [[0.0, 1.0]]}));
        assert_eq!(one["results"].as_array().unwrap().len(), 1);

        let model = world.server.name("$MODEL").to_owned();
        assert_eq!(ids(&world.search(json!({"authorization_model_id": model}))), ["x", "y", "zz"]);
    }
}

#[test]
fn bodies_of_vectors_have_a_bound_of_their_own() {
    for surface in BOTH {
        let world = World::start(surface);
        world.fill(&[]);
        // More than other calls may send on either surface.
        let text = "t".repeat(100_000);
        let chunk = |i: u64| json!({"id": i.to_string(), "object": "document:1", "vector": [1, i], "text": text});
        let body = json!({"chunks": (0..25).map(chunk).collect::<Vec<_>>()});
        assert_eq!(world.done("WriteChunks", "c", body)["upserted"], 25);

        let bounds = Bounds { chunks_bytes_max: 4_096, ..Bounds::default() };
        let server = Server::start_with(Settings { bounds, ..Settings::default() });
        let world = World { server, surface };
        world.fill(&[]);
        let body =
            json!({"chunks": [{"id": "a", "object": "document:1", "vector": [1, 0], "text": "t".repeat(5_000)}]});
        let answer = world.ask("WriteChunks", "c", body);
        match surface {
            Surface::Http => assert_eq!(
                (answer.code.as_str(), answer.text.as_str()),
                ("resource_exhausted", "the body is larger than 4096 bytes; send less at a time")
            ),
            Surface::Grpc => {
                assert!(answer.number == 8 && answer.text.ends_with("vs. 4096)"), "{answer:?}");
            }
        }
    }
}

/// Call, collection, body, number, code, and how the text begins.
type Row = (&'static str, &'static str, Value, i32, &'static str, &'static str);

fn with(base: Value, more: Value) -> Value {
    let mut whole = base;
    whole.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    whole
}

fn faults_of_collections() -> Vec<Row> {
    let create = |more: Value| {
        let guard = json!({"type": "document", "relation": "viewer"});
        with(json!({"name": "new", "dimension": 2, "metric": "dot", "guard": guard}), more)
    };
    let call = "CreateCollection";
    let rule = "validation_error";
    vec![
        (call, "", create(json!({"name": ""})), 2000, rule, "'' is not a name of a collection: use 1 to 64 letters"),
        (call, "", create(json!({"name": "a/b"})), 2000, rule, "'a/b' is not a name of a collection"),
        (call, "", create(json!({"metric": "l2"})), 2000, rule, "metric is 'l2'; say one of 'cosine', 'dot', 'euclid'"),
        (call, "", create(json!({"element": "i8"})), 2000, rule, "element is 'i8'; say one of 'f32', 'f16'"),
        (call, "", create(json!({"dimension": 1})), 2000, rule, "dimension 1 is not within 2 to 4096"),
        (call, "", create(json!({"dimension": 4_097})), 2000, rule, "dimension 4097 is not within 2 to 4096"),
        (call, "", create(json!({"guard": {}})), 3, rule, "invalid CreateCollectionRequest.Guard.Type: value does not"),
        (
            call,
            "",
            create(json!({"guard": {"type": "paper", "relation": "viewer"}})),
            2021,
            "type_not_found",
            "type 'paper' not found",
        ),
        (
            call,
            "",
            create(json!({"guard": {"type": "document", "relation": "reader"}})),
            2022,
            "relation_not_found",
            "relation 'document#reader' not found",
        ),
        (call, "", create(json!({"name": "c"})), 5101, "collection_exists", "collection 'c' exists already; delete it"),
        ("GetCollection", "none", json!({}), 5100, "collection_not_found", "collection 'none' not found in store"),
        ("DeleteCollection", "none", json!({}), 5100, "collection_not_found", "collection 'none' not found in store"),
    ]
}

fn faults_of_chunks() -> Vec<Row> {
    let chunk = |more: Value| {
        let chunk = with(json!({"id": "a", "object": "document:1", "vector": [1, 0]}), more);
        json!({"chunks": [chunk]})
    };
    let (call, rule) = ("WriteChunks", "validation_error");
    let key =
        |relation: &str| json!({"tuple_keys": [{"user": "user:a", "relation": relation, "object": "document:1"}]});
    let long = "x".repeat(65_536);
    let twice = json!({"chunks": [chunk(json!({}))["chunks"][0], chunk(json!({}))["chunks"][0]]});
    let at = "chunk 'a' (number 0 of the request): element 1 is not a finite number";
    vec![
        (call, "c", chunk(json!({"vector": [1, 1e39]})), 2000, rule, at),
        (call, "c", chunk(json!({"vector": [1]})), 2000, rule, "*the vector has 1 elements where the collection has 2"),
        (call, "c", chunk(json!({"vector": []})), 2000, rule, "*the vector has 0 elements"),
        (call, "cosine", chunk(json!({"vector": [0, 0]})), 2000, rule, "*a zero vector has no direction"),
        (call, "c", chunk(json!({"object": "folder:1"})), 2000, rule, "*the object is of type 'folder'"),
        (call, "c", chunk(json!({"object": "document:*"})), 2000, rule, "*the object 'document:*' is not valid"),
        (call, "c", chunk(json!({"id": ""})), 2000, rule, "*the id has 0 bytes; it may have 1 to 512"),
        (call, "c", chunk(json!({"payload": {"x": long}})), 2000, rule, "*the payload has 65544 bytes"),
        (call, "c", chunk(json!({"payload": 1})), 2000, rule, "*the payload is not a JSON object"),
        (call, "c", twice, 2000, rule, "chunk 'a' (number 1 of the request): the id occurs twice"),
        (call, "c", json!({}), 2003, "invalid_write_input", "there is nothing to write; give `chunks`"),
        (call, "c", with(chunk(json!({})), json!({"on_refused": "no"})), 2000, rule, "on_refused is 'no'; say one of"),
        (
            call,
            "c",
            json!({"delete_objects": ["document"]}),
            2000,
            rule,
            "delete_objects[0]: `document` is not an object",
        ),
        (call, "c", json!({"delete_objects": ["user:a"]}), 2000, rule, "*the object is of type 'user'"),
        (call, "none", chunk(json!({})), 5100, "collection_not_found", "collection 'none' not found"),
        (
            call,
            "c",
            json!({"writes": key("reader")}),
            2000,
            rule,
            "Invalid tuple 'document:1#reader@user:a'. Reason: relation 'document#reader' not found",
        ),
        (
            call,
            "c",
            json!({"deletes": key("editor")}),
            2017,
            "write_failed_due_to_invalid_input",
            "cannot delete a tuple which does not exist",
        ),
    ]
}

fn faults_of_reads() -> Vec<Row> {
    let rule = "validation_error";
    vec![
        ("GetChunks", "c", json!({}), 2000, rule, "`ids` has 0 items; it may have 1 to 1000"),
        (
            "GetChunks",
            "c",
            json!({"ids": ["a"], "with": ["all"]}),
            2000,
            rule,
            "`with` names 'all'; it may name 'text'",
        ),
        ("GetChunks", "none", json!({"ids": ["a"]}), 5100, "collection_not_found", "collection 'none' not found"),
        ("ScrollChunks", "c", json!({"page_size": 0}), 2000, rule, "page_size is 0; it may be 1 to 1000"),
        ("ScrollChunks", "c", json!({"page_size": 1001}), 2000, rule, "page_size is 1001; it may be 1 to 1000"),
        ("ScrollChunks", "c", json!({"object": "x"}), 2000, rule, "object: `x` is not an object"),
        ("ScrollChunks", "c", json!({"filter": []}), 2000, rule, "`filter` must be a filter"),
        (
            "ScrollChunks",
            "c",
            json!({"continuation_token": "abc"}),
            2007,
            "invalid_continuation_token",
            "Invalid continuation token",
        ),
        ("DeleteChunks", "c", json!({}), 2003, "invalid_write_input", "there is nothing to delete; give `ids` or"),
        ("DeleteChunks", "c", json!({"objects": ["x"]}), 2000, rule, "objects[0]: `x` is not an object"),
    ]
}

fn faults_of_searches() -> Vec<Row> {
    let search = |more: Value| with(json!({"user": "user:a", "vector": [1, 0]}), more);
    let (call, rule) = ("Search", "validation_error");
    let many: Vec<_> = (0..101).map(|_| [1, 0]).collect();
    vec![
        (call, "c", search(json!({"k": 0})), 2000, rule, "k is 0; it may be 1 to 1000"),
        (call, "c", search(json!({"k": 1001})), 2000, rule, "k is 1001; it may be 1 to 1000"),
        (
            call,
            "c",
            json!({"user": "user:a"}),
            2000,
            rule,
            "there is no vector; give `vector`, several as `vectors`, or a `query_text`",
        ),
        (call, "c", search(json!({"vectors": [[1, 0]]})), 2000, rule, "`vector` and `vectors` are both given"),
        (
            call,
            "c",
            json!({"user": "user:a", "vectors": many}),
            2000,
            rule,
            "the request has 101 vectors; it may have 100",
        ),
        (call, "c", search(json!({"vector": [1, 0, 0]})), 2000, rule, "the vector has 3 elements where the collection"),
        (call, "c", search(json!({"vector": [1e39, 0]})), 2000, rule, "element 0 is not a finite number"),
        (call, "cosine", search(json!({"vector": [0, 0]})), 2000, rule, "a zero vector has no direction"),
        (
            call,
            "c",
            search(json!({"filter": {"field": "x"}})),
            2000,
            rule,
            "`filter` has 0 operators where it must have",
        ),
        (
            call,
            "c",
            search(json!({"filter": {"and": [{"field": "x", "range": {"gte": null}}]}})),
            2000,
            rule,
            "`filter.and[0].range.gte` must be a number or a text",
        ),
        (
            call,
            "c",
            search(json!({"relation": "reader"})),
            2022,
            "relation_not_found",
            "relation 'document#reader' not found",
        ),
    ]
}

fn faults_of_subjects() -> Vec<Row> {
    let search = |more: Value| with(json!({"user": "user:a", "vector": [1, 0]}), more);
    let (call, rule) = ("Search", "validation_error");
    let tuple = json!({"tuple_keys": [{"user": "user:a", "relation": "parent", "object": "document:1"}]});
    vec![
        (
            call,
            "c",
            search(json!({"user": "anne"})),
            2000,
            rule,
            "invalid 'user' value: the 'user' field must be an object",
        ),
        (call, "c", search(json!({"user": ""})), 3, rule, "invalid SearchRequest.User: value does not match"),
        (call, "c", search(json!({"user": "robot:1"})), 2000, rule, "invalid 'user' value: type 'robot' not found"),
        (
            call,
            "c",
            search(json!({"agent": "bot"})),
            2000,
            rule,
            "invalid 'agent' value: the 'agent' field must be an object",
        ),
        (call, "c", search(json!({"agent": ""})), 3, rule, "invalid SearchRequest.Agent: value does not match"),
        (call, "c", search(json!({"with": ["score"]})), 2000, rule, "`with` names 'score'"),
        (
            call,
            "c",
            search(json!({"contextual_tuples": tuple})),
            2027,
            "invalid_tuple",
            "Invalid tuple 'document:1#parent@user:a'",
        ),
        (
            call,
            "c",
            search(json!({"authorization_model_id": "01HVMMBCK00000000000000000"})),
            2001,
            "authorization_model_not_found",
            "Authorization Model '01HVMMBCK00000000000000000' not found",
        ),
        (call, "none", search(json!({})), 5100, "collection_not_found", "collection 'none' not found in store"),
    ]
}

#[test]
fn wrong_inputs_are_told_alike_on_both_surfaces() {
    let mut faults = Vec::new();
    for surface in BOTH {
        let world = World::start(surface);
        world.fill(&[]);
        let guard = json!({"type": "document", "relation": "viewer"});
        let cosine = json!({"name": "cosine", "dimension": 2, "metric": "cosine", "element": "f16", "guard": guard});
        world.done("CreateCollection", "", cosine);
        let chunks = [faults_of_chunks(), faults_of_reads()].concat();
        let rows = [faults_of_collections(), chunks, faults_of_searches(), faults_of_subjects()].concat();
        assert!(rows.len() >= 55, "{} rows", rows.len());
        for (call, collection, body, number, code, text) in rows {
            let brief: String = body.to_string().chars().take(200).collect();
            let found = world.ask(call, collection, body);
            let status = match number {
                5101 => 409,
                5000.. => 404,
                _ => 400,
            };
            let says = text.strip_prefix('*').map_or(found.text.starts_with(text), |part| found.text.contains(part));
            let fine = match surface {
                Surface::Http => found.status == status && found.code == code,
                Surface::Grpc => found.number == number,
            };
            if !(fine && says) {
                faults
                    .push(format!("{surface:?} {call} {brief}\n  expected {number} {code} {text}\n  found {found:?}"));
            }
        }
        assert_eq!(world.done("GetCollection", "c", json!({}))["chunks"], 0, "nothing of a refused write is there");
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn what_only_json_can_get_wrong_is_told_with_its_place() {
    let world = World::start(Surface::Http);
    world.fill(&[]);
    let store = world.server.name("$STORE").to_owned();
    for (call, body, text) in [
        ("WriteChunks", r#"{"chunk":[]}"#, "chunk: unknown field `chunk`, expected one of `chunks`, `delete_ids`"),
        ("WriteChunks", r#"{"chunks":[{"id":"a","vectr":[1]}]}"#, "chunks[0].vectr: unknown field `vectr`"),
        (
            "WriteChunks",
            r#"{"chunks":[{"vector":[1,"x"]}]}"#,
            "chunks[0].vector[1]: invalid type: string \"x\", expected f64",
        ),
        ("WriteChunks", r#"{"chunks":[{"vector":[1,null]}]}"#, "chunks[0].vector[1]: invalid type: null, expected f64"),
        (
            "WriteChunks",
            r#"{"chunks":[["a","document:1",[1,0]]]}"#,
            "chunks[0]: invalid type: sequence, expected an object",
        ),
        (
            "WriteChunks",
            r#"{"writes":{"tuple_keys":[{"usr":"user:a"}]}}"#,
            "writes.tuple_keys[0].usr: unknown field `usr`",
        ),
        ("WriteChunks", r#"{"chunks":[{"vector":[NaN,1]}]}"#, "expected value at line 1"),
        ("WriteChunks", r#"{"chunks":["#, "malformed JSON"),
        ("Search", r#"{"user":7}"#, "user: invalid type: integer `7`, expected a string"),
        ("Search", r#"{"k":-1}"#, "k: invalid value: integer `-1`, expected u32"),
        (
            "Search",
            r#"{"consistency":"NEVER"}"#,
            "consistency: invalid value: string \"NEVER\", expected `UNSPECIFIED`",
        ),
        ("Search", "[]", "invalid type: sequence, expected an object"),
        ("CreateCollection", r#"{"guard":{"typ":"x"}}"#, "guard.typ: unknown field `typ`"),
    ] {
        let found = http(&world.server, &store, call, "c", body, &[]);
        assert_eq!((found.status, found.code.as_str()), (400, "validation_error"), "{call} {body}: {found:?}");
        assert!(found.text.starts_with(text), "{call} {body}\n  expected {text}\n  found    {}", found.text);
    }
    let nowhere = world.server.name("$MISSING").to_owned();
    let found = http(&world.server, &nowhere, "ListCollections", "", "", &[]);
    assert_eq!((found.status, found.code.as_str()), (404, "store_id_not_found"), "{found:?}");
    let found = http(&world.server, "x", "ListCollections", "", "", &[]);
    assert_eq!((found.status, found.code.as_str()), (400, "validation_error"), "{found:?}");
    let path = format!("/stores/{store}/collections/c/nothing");
    assert_eq!(world.server.http("POST", &path, &[], Some("{}")).status, 404);
    assert_eq!(world.server.http("PUT", &format!("/stores/{store}/collections/c"), &[], Some("{}")).status, 404);
}
