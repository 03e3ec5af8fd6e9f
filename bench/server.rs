//! What the surface costs beside the transport: our server against empty handlers with the same messages, in one run,
//! interleaved, on the same cores as the clients. Every answer of ours is compared with the known one.
//!
//! `cargo bench --bench server` (2 s a round); `cargo bench --bench server -- 5` for longer rounds. The world is
//! `../shared/data/k8s-docs`; the widest list is 43,000 objects of a world of its own.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::indexing_slicing,
    reason = "a bench fails loudly and talks to a person"
)]

use bailiwick::Bailiwick;
use bailiwick::api::proto as pb;
use bailiwick::api::proto::open_fga_service_client::OpenFgaServiceClient;
use bailiwick::api::proto::open_fga_service_server::{OpenFgaService, OpenFgaServiceServer};
use bailiwick::engine::{Consistency, Given, Limits, ListObjectsQuery};
use bailiwick::model::Model;
use bailiwick::server::{Settings, serve};
use bailiwick::tuple::{ModelId, StoreId, SubjectRef, Timestamp, TupleKeyRef};
use hdrhistogram::Histogram;
use serde_json::Value;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Response, Status};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const CONNECTIONS: usize = 16;
const ROUNDS: usize = 5;
const WIDE: usize = 43_000;
const WIDE_ROUNDS: usize = 40;

fn lines(path: &Path) -> Vec<Value> {
    let reader = BufReader::new(zstd::Decoder::new(std::fs::File::open(path).unwrap()).unwrap());
    reader.lines().map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap()
}

/// A question and its answer, ready for both wires.
struct Case {
    request: pb::CheckRequest,
    http: Vec<u8>,
    allowed: bool,
}

fn store(n: u128) -> StoreId {
    StoreId(ulid::Ulid::from_parts(1, n))
}

fn import(database: &Bailiwick, store: StoreId, tuples: &[(String, String, String)]) {
    for chunk in tuples.chunks(10_000) {
        let chunk = chunk.iter().map(|(o, r, s)| TupleKeyRef::parse(o, r, s).unwrap().to_tuple()).collect();
        database.import_chunk(store, None, chunk, Timestamp(1)).unwrap();
    }
}

fn documents(database: &Bailiwick, folder: &Path) -> Vec<Case> {
    let id = store(1);
    database.create_store(id, "docs", Timestamp(1)).unwrap();
    let model = Model::parse_dsl(&std::fs::read_to_string(folder.join("model.fga")).unwrap()).unwrap();
    database.write_model(id, ModelId(ulid::Ulid::from_parts(1, 9)), model).unwrap();
    let tuples: Vec<_> = lines(&folder.join("tuples.jsonl.zst"))
        .iter()
        .map(|t| (text(t, "object").to_owned(), text(t, "relation").to_owned(), text(t, "user").to_owned()))
        .collect();
    import(database, id, &tuples);
    let case = |c: &Value| {
        let key = pb::CheckRequestTupleKey {
            user: text(c, "user").to_owned(),
            relation: text(c, "relation").to_owned(),
            object: text(c, "object").to_owned(),
        };
        let body = serde_json::json!({"tuple_key": {"user": key.user, "relation": key.relation, "object": key.object}});
        let body = body.to_string();
        let head = format!(
            "POST /stores/{id}/check HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        Case {
            request: pb::CheckRequest { store_id: id.to_string(), tuple_key: Some(key), ..pb::CheckRequest::default() },
            http: [head, body].concat().into_bytes(),
            allowed: c["allowed"].as_bool().unwrap(),
        }
    };
    lines(&folder.join("checks.jsonl.zst")).iter().map(case).collect()
}

fn wide(database: &Bailiwick) -> pb::ListObjectsRequest {
    let id = store(2);
    database.create_store(id, "wide", Timestamp(1)).unwrap();
    let model = "model\n  schema 1.1\ntype user\ntype document\n  relations\n    define viewer: [user]\n";
    database.write_model(id, ModelId(ulid::Ulid::from_parts(1, 8)), Model::parse_dsl(model).unwrap()).unwrap();
    let name = |i: usize| format!("document:handbook-{i:06}");
    let tuples: Vec<_> = (0..100_000)
        .map(|i| (name(i), "viewer".to_owned(), format!("user:{}", if i % 100 < 43 { "wide" } else { "other" })))
        .collect();
    import(database, id, &tuples);
    pb::ListObjectsRequest {
        store_id: id.to_string(),
        r#type: "document".to_owned(),
        relation: "viewer".to_owned(),
        user: "user:wide".to_owned(),
        ..pb::ListObjectsRequest::default()
    }
}

/// Handlers that do nothing but answer.
#[derive(Clone)]
struct Empty {
    objects: Arc<Vec<String>>,
}

type Boxed<'a, T> = Pin<Box<dyn Future<Output = Result<Response<T>, Status>> + Send + 'a>>;

macro_rules! absent {
    ($($rpc:ident $request:ident $response:ident;)*) => {
        $(fn $rpc<'s, 'a>(&'s self, _: Request<pb::$request>) -> Boxed<'a, pb::$response> where 's: 'a, Self: 'a {
            Box::pin(async { Err(Status::unimplemented("")) })
        })*
    };
}

#[tonic::async_trait]
impl OpenFgaService for Empty {
    async fn check(&self, r: Request<pb::CheckRequest>) -> Result<Response<pb::CheckResponse>, Status> {
        let allowed = r.get_ref().tuple_key.is_some();
        Ok(Response::new(pb::CheckResponse { allowed, resolution: String::new() }))
    }

    async fn list_objects(
        &self,
        _: Request<pb::ListObjectsRequest>,
    ) -> Result<Response<pb::ListObjectsResponse>, Status> {
        Ok(Response::new(pb::ListObjectsResponse { objects: self.objects.to_vec() }))
    }

    absent! {
        batch_check BatchCheckRequest BatchCheckResponse;
        list_users ListUsersRequest ListUsersResponse;
        expand ExpandRequest ExpandResponse;
        read ReadRequest ReadResponse;
        write WriteRequest WriteResponse;
        read_authorization_models ReadAuthorizationModelsRequest ReadAuthorizationModelsResponse;
        read_authorization_model ReadAuthorizationModelRequest ReadAuthorizationModelResponse;
        write_authorization_model WriteAuthorizationModelRequest WriteAuthorizationModelResponse;
        write_assertions WriteAssertionsRequest WriteAssertionsResponse;
        read_assertions ReadAssertionsRequest ReadAssertionsResponse;
        read_changes ReadChangesRequest ReadChangesResponse;
        create_store CreateStoreRequest CreateStoreResponse;
        update_store UpdateStoreRequest UpdateStoreResponse;
        delete_store DeleteStoreRequest DeleteStoreResponse;
        get_store GetStoreRequest GetStoreResponse;
        list_stores ListStoresRequest ListStoresResponse;
    }

    type StreamedListObjectsStream = tokio_stream::Empty<Result<pb::StreamedListObjectsResponse, Status>>;

    async fn streamed_list_objects(
        &self,
        _: Request<pb::StreamedListObjectsRequest>,
    ) -> Result<Response<Self::StreamedListObjectsStream>, Status> {
        Ok(Response::new(tokio_stream::empty()))
    }
}

#[derive(serde::Deserialize)]
struct Body {
    tuple_key: Key,
}

#[derive(serde::Deserialize)]
struct Key {
    user: String,
    relation: String,
    object: String,
}

#[derive(serde::Serialize)]
struct Answer {
    allowed: bool,
    resolution: &'static str,
}

async fn empty_check(
    axum::extract::Path(_): axum::extract::Path<String>,
    axum::Json(body): axum::Json<Body>,
) -> axum::Json<Answer> {
    let key = body.tuple_key;
    axum::Json(Answer {
        allowed: !(key.user.is_empty() && key.relation.is_empty() && key.object.is_empty()),
        resolution: "",
    })
}

/// Where the four servers listen: ours over gRPC and HTTP, the empty ones likewise.
struct Addresses {
    grpc: SocketAddr,
    http: SocketAddr,
    empty_grpc: SocketAddr,
    empty_http: SocketAddr,
}

fn servers(database: &Bailiwick, objects: Vec<String>) -> Addresses {
    let free = SocketAddr::from(([127, 0, 0, 1], 0));
    let settings = Settings { http: free, grpc: free, ..Settings::default() };
    let (told, addresses) = std::sync::mpsc::channel();
    let database = database.clone();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async move {
            use axum::serve::ListenerExt as _;
            let listener = tokio::net::TcpListener::bind(free).await.unwrap();
            let empty_grpc = listener.local_addr().unwrap();
            let incoming = tonic::transport::server::TcpIncoming::from(listener).with_nodelay(Some(true));
            let service = OpenFgaServiceServer::new(Empty { objects: Arc::new(objects) });
            tokio::spawn(tonic::transport::Server::builder().add_service(service).serve_with_incoming(incoming));
            let listener = tokio::net::TcpListener::bind(free).await.unwrap();
            let empty_http = listener.local_addr().unwrap();
            let routes = axum::Router::new().route("/stores/{store}/check", axum::routing::post(empty_check));
            let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
            tokio::spawn(async move { axum::serve(listener, routes).await });
            let ready = move |http, grpc| told.send(Addresses { grpc, http, empty_grpc, empty_http }).unwrap();
            serve(database, settings, ready, std::future::pending()).await.unwrap();
        });
    });
    addresses.recv().unwrap()
}

async fn connect(address: SocketAddr) -> OpenFgaServiceClient<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap().tcp_nodelay(true);
    OpenFgaServiceClient::new(endpoint.connect().await.unwrap()).max_decoding_message_size(64 << 20)
}

/// Asks over gRPC, one question at a time on each connection.
async fn grpc_round(address: SocketAddr, cases: &Arc<Vec<Case>>, length: Duration, verify: bool) -> Histogram<u64> {
    let mut tasks = Vec::new();
    for connection in 0..CONNECTIONS {
        let (cases, mut client) = (Arc::clone(cases), connect(address).await);
        tasks.push(tokio::spawn(async move {
            let mut times = Histogram::<u64>::new(3).unwrap();
            let (end, mut at) = (Instant::now() + length, connection * 997);
            while Instant::now() < end {
                let case = &cases[at % cases.len()];
                at += 1;
                let began = Instant::now();
                let answer = client.check(case.request.clone()).await.unwrap().into_inner();
                times.record(u64::try_from(began.elapsed().as_nanos()).unwrap()).unwrap();
                assert!(!verify || answer.allowed == case.allowed, "{:?}", case.request);
            }
            times
        }));
    }
    joined(tasks).await
}

async fn http_round(address: SocketAddr, cases: &Arc<Vec<Case>>, length: Duration, verify: bool) -> Histogram<u64> {
    let mut tasks = Vec::new();
    for connection in 0..CONNECTIONS {
        let (cases, mut stream) = (Arc::clone(cases), TcpStream::connect(address).await.unwrap());
        stream.set_nodelay(true).unwrap();
        tasks.push(tokio::spawn(async move {
            let mut times = Histogram::<u64>::new(3).unwrap();
            let mut buffer = vec![0; 16 * 1024];
            let (end, mut at) = (Instant::now() + length, connection * 997);
            while Instant::now() < end {
                let case = &cases[at % cases.len()];
                at += 1;
                let began = Instant::now();
                stream.write_all(&case.http).await.unwrap();
                let mut filled = 0;
                let allowed = loop {
                    let read = stream.read(&mut buffer[filled..]).await.unwrap();
                    assert!(read > 0, "the server closed the connection");
                    filled += read;
                    if let Some(allowed) = answered(&buffer[..filled]) {
                        break allowed;
                    }
                };
                times.record(u64::try_from(began.elapsed().as_nanos()).unwrap()).unwrap();
                assert!(!verify || allowed == case.allowed, "{:?}", case.request);
            }
            times
        }));
    }
    joined(tasks).await
}

/// Whether a whole answer allows; `None` while it is not whole.
fn answered(bytes: &[u8]) -> Option<bool> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    assert!(head.starts_with("HTTP/1.1 200"), "{text}");
    let length: usize = head.lines().find_map(|l| l.strip_prefix("content-length: "))?.parse().ok()?;
    (body.len() >= length).then(|| body.contains("\"allowed\":true"))
}

async fn joined(tasks: Vec<tokio::task::JoinHandle<Histogram<u64>>>) -> Histogram<u64> {
    let mut all = Histogram::<u64>::new(3).unwrap();
    for task in tasks {
        all.add(task.await.unwrap()).unwrap();
    }
    all
}

fn print(what: &str, ours: &Histogram<u64>, empty: &Histogram<u64>, seconds: f64) {
    let line = |name: &str, h: &Histogram<u64>| {
        let (p50, p99) = (h.value_at_quantile(0.5) as f64 / 1e3, h.value_at_quantile(0.99) as f64 / 1e3);
        println!(
            "{what:<12} {name:<14} {:>9.0} a second  p50 {p50:>7.0} us  p99 {p99:>7.0} us",
            h.len() as f64 / seconds
        );
    };
    line("ours", ours);
    line("empty handler", empty);
    println!(
        "{what:<12} ratio          {:>9.1} % of the empty handler's throughput",
        100.0 * ours.len() as f64 / empty.len() as f64
    );
}

/// The whole list over gRPC, one request at a time: ours against one that only copies, encodes and sends.
async fn lists(addresses: &Addresses, request: &pb::ListObjectsRequest) {
    let (mut ours, mut empty) = (connect(addresses.grpc).await, connect(addresses.empty_grpc).await);
    let (mut of_ours, mut of_empty) = (Vec::new(), Vec::new());
    for _ in 0..WIDE_ROUNDS {
        for (client, times) in [(&mut ours, &mut of_ours), (&mut empty, &mut of_empty)] {
            let began = Instant::now();
            let found = client.list_objects(request.clone()).await.unwrap().into_inner().objects;
            times.push(began.elapsed());
            assert_eq!(found.len(), WIDE);
        }
    }
    of_ours.sort_unstable();
    of_empty.sort_unstable();
    let (ours, empty) = (of_ours[WIDE_ROUNDS / 2], of_empty[WIDE_ROUNDS / 2]);
    println!(
        "ListObjects  ours           {:>9.2} ms, {WIDE} objects (median of {WIDE_ROUNDS})",
        ours.as_secs_f64() * 1e3
    );
    println!("ListObjects  empty handler  {:>9.2} ms, the same list", empty.as_secs_f64() * 1e3);
    println!("ListObjects  ratio          {:>9.2} x", ours.as_secs_f64() / empty.as_secs_f64());
}

fn main() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/data/k8s-docs");
    if !folder.exists() {
        eprintln!("SKIPPED: {} is not there", folder.display());
        return;
    }
    let seconds: f64 = std::env::args().skip(1).find_map(|a| a.parse().ok()).unwrap_or(2.0);
    let length = Duration::from_secs_f64(seconds);
    let directory = tempfile::tempdir().unwrap();
    let database = Bailiwick::open(directory.path()).unwrap();
    let cases = Arc::new(documents(&database, &folder));
    let request = wide(&database);
    let view = database.view(store(2), None, Consistency::Latest).unwrap();
    let subject = SubjectRef::parse(&request.user).unwrap();
    let given = Given::default();
    let query = ListObjectsQuery { object_type: "document", relation: "viewer", subject, given };
    let listed = view.list_objects(&query, &Limits::default()).unwrap();
    let addresses = servers(&database, listed.iter().map(|id| format!("document:{id}")).collect());
    println!("{} questions, {CONNECTIONS} connections, {ROUNDS} rounds of {seconds} s each", cases.len());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let new = || Histogram::<u64>::new(3).unwrap();
        let (mut ours, mut empty) = (new(), new());
        grpc_round(addresses.grpc, &cases, length / 2, true).await; // warm
        for _ in 0..ROUNDS {
            ours.add(grpc_round(addresses.grpc, &cases, length, true).await).unwrap();
            empty.add(grpc_round(addresses.empty_grpc, &cases, length, false).await).unwrap();
        }
        print("gRPC Check", &ours, &empty, seconds * ROUNDS as f64);
        let (mut ours, mut empty) = (new(), new());
        for _ in 0..ROUNDS {
            ours.add(http_round(addresses.http, &cases, length, true).await).unwrap();
            empty.add(http_round(addresses.empty_http, &cases, length, false).await).unwrap();
        }
        print("HTTP Check", &ours, &empty, seconds * ROUNDS as f64);
        lists(&addresses, &request).await;
    });
}
