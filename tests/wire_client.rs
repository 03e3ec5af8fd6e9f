//! A server on free ports of 127.0.0.1 with a small world, and plain clients of both surfaces that show what is on the wire:
//! gRPC with the raw number of a status, HTTP/1.1 with its headers.

use bailiwick::engine::Engine;
use bailiwick::server::{Settings, serve};
use bytes_of::frame;
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, SerializeOptions};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;
use tokio::sync::oneshot;

/// An answer over gRPC.
pub(crate) struct Grpc {
    pub(crate) number: i32,
    pub(crate) text: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) messages: Vec<Value>,
}

/// An answer over HTTP.
pub(crate) struct Http {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

impl Http {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// A running server.
pub(crate) struct Server {
    pub(crate) engine: Engine,
    pub(crate) http: SocketAddr,
    pub(crate) grpc: SocketAddr,
    pool: DescriptorPool,
    runtime: tokio::runtime::Runtime,
    channel: tonic::transport::Channel,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
    names: BTreeMap<&'static str, String>,
    _directory: tempfile::TempDir,
}

const MODEL: &str = "model
  schema 1.1
type user
type group
  relations
    define member: [user, group#member]
type folder
  relations
    define viewer: [user]
type document
  relations
    define parent: [folder]
    define editor: [user]
    define viewer: [user, user:*, group#member] or viewer from parent
    define conditional: [user with cond]
condition cond(x: int, z: string) {
  x < 100 && z != \"no\"
}
";

mod bytes_of {
    /// A message as gRPC frames it.
    pub(super) fn frame(message: &[u8]) -> Vec<u8> {
        let length = u32::try_from(message.len()).unwrap();
        [&[0][..], &length.to_be_bytes(), message].concat()
    }
}

impl Server {
    /// With the default settings, and the world.
    pub(crate) fn start() -> Server {
        Server::start_with(Settings::default())
    }

    pub(crate) fn start_with(settings: Settings) -> Server {
        let directory = tempfile::tempdir().unwrap();
        let engine = Engine::open(directory.path()).unwrap();
        let free = SocketAddr::from(([127, 0, 0, 1], 0));
        let settings = Settings { http: free, grpc: free, ..settings };
        let (stop, stopped) = oneshot::channel::<()>();
        let (bound, addresses) = mpsc::channel();
        let served = engine.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
            let ready = move |http, grpc| bound.send((http, grpc)).unwrap();
            let stop = async {
                let _ = stopped.await;
            };
            runtime.block_on(serve(served, settings, ready, stop)).unwrap();
            runtime.shutdown_background();
        });
        let (http, grpc) = addresses.recv().unwrap();
        // A thread of its own, so that the connection answers when the server wants to close it.
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{grpc}")).unwrap();
        let channel = runtime.block_on(endpoint.connect()).unwrap();
        let mut server = Server {
            engine,
            http,
            grpc,
            pool: DescriptorPool::decode(bailiwick::api::DESCRIPTORS).unwrap(),
            runtime,
            channel,
            stop: Some(stop),
            thread: Some(thread),
            names: BTreeMap::new(),
            _directory: directory,
        };
        server.seed();
        server
    }

    /// Tells the server to stop and waits until it has.
    pub(crate) fn stop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }

    pub(crate) fn name(&self, name: &str) -> &str {
        &self.names[name]
    }

    fn seed(&mut self) {
        let create = |name: &str| {
            let made = self.http("POST", "/stores", &[], Some(&json!({ "name": name }).to_string()));
            assert_eq!(made.status, 201, "{}", made.body);
            made.json()["id"].as_str().unwrap().to_owned()
        };
        let (store, empty, other) = (create("world"), create("empty"), create("other"));
        let mut model = bailiwick::model::Model::parse_dsl(MODEL).unwrap().to_json();
        model.as_object_mut().unwrap().remove("id");
        let path = format!("/stores/{store}/authorization-models");
        let made = self.http("POST", &path, &[], Some(&model.to_string()));
        assert_eq!(made.status, 201, "{}", made.body);
        let model = made.json()["authorization_model_id"].as_str().unwrap().to_owned();
        let keys = json!([
            {"user": "user:t1", "relation": "viewer", "object": "document:1"},
            {"user": "user:cond", "relation": "conditional", "object": "document:1",
             "condition": {"name": "cond", "context": {"x": 7}}},
            {"user": "user:a", "relation": "viewer", "object": "folder:1"},
            {"user": "folder:1", "relation": "parent", "object": "document:1"},
            {"user": "user:a", "relation": "viewer", "object": "document:2"},
        ]);
        let body = json!({"writes": {"tuple_keys": keys}}).to_string();
        assert_eq!(self.http("POST", &format!("/stores/{store}/write"), &[], Some(&body)).status, 200);
        let changes = self.http("GET", &format!("/stores/{store}/changes"), &[], None).json();
        let changes = changes["continuation_token"].as_str().unwrap().to_owned();
        let missing = "01HVMMBCK00000000000000000".to_owned();
        self.names = BTreeMap::from([
            ("$STORE", store),
            ("$EMPTY", empty),
            ("$OTHER", other),
            ("$MODEL", model),
            ("$MISSING", missing),
            ("$CHANGES", changes),
        ]);
    }

    /// The path of a call, its request and its response. A call of another service than OpenFGA's is `service/call`.
    fn messages(&self, call: &str) -> (String, MessageDescriptor, MessageDescriptor) {
        let (service, name) = call.split_once('/').unwrap_or(("openfga.v1.OpenFGAService", call));
        let method = self.pool.get_service_by_name(service).unwrap().methods().find(|m| m.name() == name).unwrap();
        (format!("{service}/{name}"), method.input(), method.output())
    }

    /// Calls over gRPC.
    pub(crate) fn grpc(&self, call: &str, request: &Value) -> Grpc {
        self.grpc_with(call, request, &[])
    }

    pub(crate) fn grpc_with(&self, call: &str, request: &Value, headers: &[(&str, &str)]) -> Grpc {
        let message = DynamicMessage::deserialize(self.messages(call).1, request).unwrap();
        self.grpc_bytes(call, &message.encode_to_vec(), headers)
    }

    pub(crate) fn grpc_bytes(&self, call: &str, message: &[u8], headers: &[(&str, &str)]) -> Grpc {
        use http_body_util::BodyExt as _;
        let (path, _, output) = self.messages(call);
        let mut request = http::Request::builder()
            .method("POST")
            .uri(format!("http://{}/{path}", self.grpc))
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = tonic::body::Body::new(http_body_util::Full::from(frame(message)));
        let request = request.body(body).unwrap();
        let channel = self.channel.clone();
        let (head, body) = self.runtime.block_on(async {
            let response = tower::ServiceExt::oneshot(channel, request).await.unwrap();
            let (head, body) = response.into_parts();
            (head, body.collect().await.unwrap())
        });
        let mut all = head.headers;
        all.extend(body.trailers().cloned().unwrap_or_default());
        let headers: BTreeMap<String, String> =
            all.iter().map(|(k, v)| (k.to_string(), String::from_utf8_lossy(v.as_bytes()).into_owned())).collect();
        let mut bytes = &body.to_bytes()[..];
        let mut messages = Vec::new();
        while bytes.len() >= 5 {
            let length = u32::from_be_bytes(bytes[1..5].try_into().unwrap()) as usize;
            let message = DynamicMessage::decode(output.clone(), &bytes[5..5 + length]).unwrap();
            let own = call.contains('/');
            let options = SerializeOptions::new().use_proto_field_name(own).stringify_64_bit_integers(!own);
            let options = options.skip_default_fields(!own);
            messages.push(message.serialize_with_options(serde_json::value::Serializer, &options).unwrap());
            bytes = &bytes[5 + length..];
        }
        let number = headers["grpc-status"].parse().unwrap();
        Grpc { number, text: unescaped(headers.get("grpc-message").map_or("", String::as_str)), headers, messages }
    }

    /// Calls over HTTP, with the path and the query that belong to the call.
    pub(crate) fn http_call(&self, call: &str, request: &Value) -> Http {
        let mut request = request.clone();
        let fields = request.as_object_mut().unwrap();
        let mut take = |name: &str| fields.remove(name).map(|v| v.as_str().unwrap().to_owned()).unwrap_or_default();
        let in_store = |rest: &str, store: String| format!("/stores/{store}{rest}");
        let (method, path) = match call {
            "CreateStore" => ("POST", "/stores".to_owned()),
            "ListStores" => ("GET", "/stores".to_owned()),
            "GetStore" => ("GET", in_store("", take("store_id"))),
            "DeleteStore" => ("DELETE", in_store("", take("store_id"))),
            "UpdateStore" => ("PATCH", in_store("", take("store_id"))),
            "Check" => ("POST", in_store("/check", take("store_id"))),
            "BatchCheck" => ("POST", in_store("/batch-check", take("store_id"))),
            "ListObjects" => ("POST", in_store("/list-objects", take("store_id"))),
            "StreamedListObjects" => ("POST", in_store("/streamed-list-objects", take("store_id"))),
            "ListUsers" => ("POST", in_store("/list-users", take("store_id"))),
            "Expand" => ("POST", in_store("/expand", take("store_id"))),
            "Read" => ("POST", in_store("/read", take("store_id"))),
            "Write" => ("POST", in_store("/write", take("store_id"))),
            "ReadChanges" => ("GET", in_store("/changes", take("store_id"))),
            "WriteAuthorizationModel" => ("POST", in_store("/authorization-models", take("store_id"))),
            "ReadAuthorizationModels" => ("GET", in_store("/authorization-models", take("store_id"))),
            "ReadAuthorizationModel" => {
                let id = take("id");
                ("GET", in_store(&format!("/authorization-models/{id}"), take("store_id")))
            }
            "WriteAssertions" => {
                let id = take("authorization_model_id");
                ("PUT", in_store(&format!("/assertions/{id}"), take("store_id")))
            }
            "ReadAssertions" => {
                let id = take("authorization_model_id");
                ("GET", in_store(&format!("/assertions/{id}"), take("store_id")))
            }
            other => {
                assert_eq!(other, "a call of the service");
                ("GET", String::new())
            }
        };
        if method != "GET" {
            return self.http(method, &path, &[], Some(&request.to_string()));
        }
        let text = |v: &Value| v.as_str().map_or_else(|| v.to_string(), str::to_owned);
        let query: Vec<String> = request.as_object().unwrap().iter().map(|(k, v)| format!("{k}={}", text(v))).collect();
        let path = if query.is_empty() { path } else { format!("{path}?{}", query.join("&")) };
        self.http(method, &path, &[], None)
    }

    /// One HTTP/1.1 request on a connection of its own.
    pub(crate) fn http(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&str>) -> Http {
        ask(self.http, method, path, headers, body)
    }
}

/// One HTTP/1.1 request on a connection of its own.
pub(crate) fn ask(address: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&str>) -> Http {
    let mut stream = TcpStream::connect(address).unwrap();
    let mut text = format!("{method} {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n");
    for (name, value) in headers {
        text += &format!("{name}: {value}\r\n");
    }
    let body = body.unwrap_or("");
    text += &format!("content-length: {}\r\n\r\n{body}", body.len());
    stream.write_all(text.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    parse(&answer)
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn parse(answer: &[u8]) -> Http {
    let end = answer.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(answer[..end].to_vec()).unwrap();
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers: BTreeMap<String, String> =
        lines.filter_map(|l| l.split_once(": ")).map(|(k, v)| (k.to_ascii_lowercase(), v.to_owned())).collect();
    let mut rest = &answer[end + 4..];
    let mut body = Vec::new();
    if headers.get("transfer-encoding").is_some_and(|v| v == "chunked") {
        while let Some(line) = rest.windows(2).position(|w| w == b"\r\n") {
            let size = usize::from_str_radix(std::str::from_utf8(&rest[..line]).unwrap(), 16).unwrap();
            body.extend_from_slice(&rest[line + 2..line + 2 + size]);
            rest = &rest[line + 4 + size..];
        }
    } else {
        body = rest.to_vec();
    }
    Http { status, headers, body: String::from_utf8(body).unwrap() }
}

/// `grpc-message` is percent-encoded.
fn unescaped(text: &str) -> String {
    let mut out = Vec::new();
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] == b'%' {
            out.push(u8::from_str_radix(&text[at + 1..at + 3], 16).unwrap());
            at += 3;
        } else {
            out.push(bytes[at]);
            at += 1;
        }
    }
    String::from_utf8(out).unwrap()
}

fn many(count: usize, item: impl Fn(usize) -> String) -> String {
    (0..count).map(item).collect::<Vec<_>>().join(",")
}

/// Puts the server's names and long values for their short forms.
pub(crate) fn expand(text: &str, server: &Server) -> String {
    let mut text = text.to_owned();
    for (name, value) in &server.names {
        text = text.replace(name, value);
    }
    let key = r#""tuple_key":{"user":"user:a","relation":"viewer","object":"document:1"}"#;
    let tuple = |i: usize| format!(r#"{{"user":"user:t{i}","relation":"viewer","object":"document:1"}}"#);
    let check = |i: usize| format!(r#"{{{key},"correlation_id":"c{i}"}}"#);
    let long: [(&str, String); 12] = [
        ("$KEY", key.to_owned()),
        ("$T1", tuple(1)),
        ("$T9", tuple(9)),
        ("$MANY101", many(101, |i| tuple(i + 1_000))),
        ("$MANY21", many(21, tuple)),
        ("$CHECKS51", many(51, check)),
        ("$CHECKS50", many(50, check)),
        ("$CONDITIONS26", many(26, |i| format!(r#""c{i}":{{"name":"c{i}","expression":"true"}}"#))),
        ("$TYPES101", many(101, |i| format!(r#"{{"type":"t{i}"}}"#))),
        ("$RELATIONS5000", many(5_000, |i| format!(r#""r{i:049}":{{"this":{{}}}}"#))),
        ("$ASSERTIONS101", many(101, |_| format!("{{{key}}}"))),
        ("$A32768", "a".repeat(32_768)),
    ];
    for (name, value) in long {
        text = text.replace(name, &value);
    }
    // `$A65` is 65 times the letter a.
    while let Some(at) = text.find("$A") {
        let digits: String = text[at + 2..].chars().take_while(char::is_ascii_digit).collect();
        let value = "a".repeat(digits.parse().unwrap());
        text.replace_range(at..at + 2 + digits.len(), &value);
    }
    text
}
