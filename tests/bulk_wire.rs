//! Import, export and statistics through a real server, over HTTP and gRPC.

use bailiwick::Bailiwick;
use bailiwick::api::own_proto as pb;
use bailiwick::api::own_proto::bailiwick_service_client::BailiwickServiceClient;
use bailiwick::engine::*;
use bailiwick::model::Model;
use bailiwick::server::{self, serve};
use bailiwick::tuple::*;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use tonic::transport::Channel;

pub(crate) const MODEL: &str =
    "model\n  schema 1.1\ntype user\ntype document\n  relations\n    define viewer: [user]\n";
pub(crate) const STORE: &str = "00000000010000000000000001";

fn store() -> StoreId {
    StoreId(ulid::Ulid::from_string(STORE).unwrap())
}

pub(crate) fn lines(range: std::ops::Range<u64>) -> String {
    range.map(|n| format!("{{\"user\":\"user:{n}\",\"relation\":\"viewer\",\"object\":\"document:{n}\"}}\n")).collect()
}

/// A server on free ports, until it is dropped.
pub(crate) struct Served {
    http: SocketAddr,
    pub(crate) grpc: SocketAddr,
    runtime: tokio::runtime::Runtime,
    _directory: tempfile::TempDir,
}

pub(crate) fn served() -> Served {
    let directory = tempfile::tempdir().unwrap();
    let settings = Settings { sync: false, ..Settings::default() };
    let engine = Bailiwick::open_with(directory.path(), settings).unwrap();
    engine.create_store(store(), "bulk", Timestamp(1)).unwrap();
    engine.write_model(store(), ModelId(ulid::Ulid::from_parts(1, 2)), Model::parse_dsl(MODEL).unwrap()).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
    let (told, ready) = std::sync::mpsc::channel();
    runtime.spawn(async move {
        let addresses = server::Settings { http: loopback, grpc: loopback, ..server::Settings::default() };
        serve(engine, addresses, |http, grpc| told.send((http, grpc)).unwrap(), std::future::pending()).await.unwrap();
    });
    let (http, grpc) = ready.recv().unwrap();
    Served { http, grpc, runtime, _directory: directory }
}

/// The status, headers and body of an answer; `parts` go as a chunked body.
fn ask(server: &Served, method: &str, path: &str, parts: &[&[u8]]) -> (u16, String, Vec<u8>) {
    let mut stream = TcpStream::connect(server.http).unwrap();
    // Without parts there is no body: one that nobody reads makes the system reset the connection when it is closed.
    let chunked = if parts.is_empty() { "" } else { "transfer-encoding: chunked\r\n" };
    let head = format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{chunked}\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let mut body = Vec::new();
    for part in parts {
        body.extend_from_slice(format!("{:x}\r\n", part.len()).as_bytes());
        body.extend_from_slice(part);
        body.extend_from_slice(b"\r\n");
    }
    if !parts.is_empty() {
        body.extend_from_slice(b"0\r\n\r\n");
    }
    let _ = stream.write_all(&body); // a server that refuses at once has closed already; its answer says why
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let split = answer.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(answer[..split].to_vec()).unwrap().to_lowercase();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let body = &answer[split + 4..];
    (status, head.clone(), if head.contains("transfer-encoding: chunked") { dechunk(body) } else { body.to_vec() })
}

fn dechunk(mut body: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    loop {
        let line = body.windows(2).position(|w| w == b"\r\n").expect("the body broke off");
        let len = usize::from_str_radix(std::str::from_utf8(&body[..line]).unwrap(), 16).unwrap();
        if len == 0 {
            return whole;
        }
        whole.extend_from_slice(&body[line + 2..line + 2 + len]);
        body = &body[line + 4 + len..];
    }
}

pub(crate) fn json(body: &[u8]) -> serde_json::Value {
    serde_json::from_slice(body).unwrap()
}

fn export(server: &Served) -> String {
    let (status, _, body) = ask(server, "GET", &format!("/stores/{STORE}/export"), &[]);
    assert_eq!(status, 200);
    String::from_utf8(body).unwrap()
}

#[test]
fn http_imports_a_stream() {
    let server = served();
    let path = format!("/stores/{STORE}/import");
    let source = lines(0..30_000);
    let parts: Vec<&[u8]> = source.as_bytes().chunks(7_001).collect();
    let (status, head, body) = ask(&server, "POST", &path, &parts);
    assert_eq!((status, &json(&body)["written"]), (200, &30_000.into()), "{head}");
    assert!(head.contains("bailiwick-consistency-token: "), "{head}");
    assert_eq!(export(&server), source);
    let packed = zstd::encode_all(source.as_bytes(), 1).unwrap();
    let (status, _, body) = ask(&server, "POST", &path, &[&packed]);
    assert_eq!((status, &json(&body)["skipped"]), (200, &30_000.into()));
}

#[test]
fn http_says_what_is_wrong() {
    let server = served();
    let import = |query: &str, source: &str| {
        let (status, _, body) = ask(&server, "POST", &format!("/stores/{STORE}/import{query}"), &[source.as_bytes()]);
        (status, json(&body))
    };
    let bad = format!("{}nonsense\n{}", lines(0..3), lines(3..5));
    let (status, body) = import("?chunk_lines=2", &bad);
    assert_eq!((status, body["code"].as_str().unwrap()), (400, "validation_error"));
    let message = body["message"].as_str().unwrap();
    assert!(message.starts_with("line 4: expected ident"), "{message}");
    assert!(message.ends_with("the 2 lines before its chunk are imported"), "{message}");
    assert_eq!(body["report"]["lines"], 2);
    let (status, body) = import("?on_error=skip", &bad);
    assert_eq!((status, &body["bad"], &body["written"], &body["skipped"]), (200, &1.into(), &3.into(), &2.into()));
    assert_eq!(body["bad_lines"][0]["line"], 4);
    for (query, says) in [
        ("?on_eror=skip", "there is no parameter `on_eror`"),
        ("?on_error=ignore", "say stop or skip"),
        ("?format=xml", "say jsonl, json or csv"),
        ("?errors_max=-1", "`-1` is no number that fits"),
        ("?chunk_lines=0", "a chunk has 1 to 100000 lines"),
        ("?restart=yes", "restart is true or false"),
        ("?format=csv", "the first line of CSV names columns"),
    ] {
        let (status, body) = import(query, &lines(0..1));
        assert!(status == 400 && body["message"].as_str().unwrap().contains(says), "{query}: {body}");
    }
    let (status, _, body) = ask(&server, "POST", "/stores/00000000010000000000000009/import", &[b""]);
    assert_eq!((status, json(&body)["code"].as_str().unwrap()), (400, "latest_authorization_model_not_found"));
    let (status, _, body) = ask(&server, "GET", "/stores/00000000010000000000000009/export", &[]);
    assert_eq!((status, json(&body)["code"].as_str().unwrap()), (404, "store_id_not_found"));
}

#[test]
fn http_goes_on_where_a_connection_broke() {
    let server = served();
    let source = lines(0..100);
    let path = format!("/stores/{STORE}/import?import_id=http&chunk_lines=10");
    let mut stream = TcpStream::connect(server.http).unwrap();
    let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", source.len());
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&source.as_bytes()[..source.len() / 2]).unwrap();
    // When some of it can be read, it is durable; then the client goes away.
    while export(&server).lines().count() < 20 {
        std::thread::yield_now();
    }
    drop(stream);
    let (status, _, body) = ask(&server, "POST", &path, &[source.as_bytes()]);
    let body = json(&body);
    assert_eq!(status, 200, "{body}");
    assert!(body["resumed_after"].as_u64().unwrap() >= 20, "{body}");
    assert_eq!(export(&server), source);
}

#[test]
fn http_exports_in_every_form() {
    let server = served();
    ask(&server, "POST", &format!("/stores/{STORE}/import"), &[lines(0..20_000).as_bytes()]);
    let get = |query: &str| {
        let (status, head, body) = ask(&server, "GET", &format!("/stores/{STORE}/export{query}"), &[]);
        assert_eq!(status, 200, "{head}");
        assert!(head.contains("bailiwick-consistency-token: "), "{head}");
        (head, body)
    };
    let (head, body) = get("?compression=zstd");
    assert!(head.contains("content-type: application/zstd"), "{head}");
    assert_eq!(zstd::decode_all(body.as_slice()).unwrap(), lines(0..20_000).into_bytes());
    let (_, body) = get("?compression=gzip&format=csv");
    let mut csv = String::new();
    flate2::read::GzDecoder::new(body.as_slice()).read_to_string(&mut csv).unwrap();
    assert_eq!(csv.lines().count(), 20_001);
    assert_eq!(csv.lines().nth(1), Some("user,0,,viewer,document,0,,"));
    assert_eq!(json(&get("?format=json").1).as_array().unwrap().len(), 20_000);
    let (status, _, body) = ask(&server, "GET", "/stats", &[]);
    let body = json(&body);
    assert_eq!((status, &body["stores"][0]["tuples"]), (200, &20_000.into()), "{body}");
    let (status, _, body) = ask(&server, "GET", &format!("/stores/{STORE}/export?compress=zstd"), &[]);
    assert_eq!((status, json(&body)["code"].as_str().unwrap()), (400, "validation_error"));
}

async fn client(server: &Served) -> BailiwickServiceClient<Channel> {
    BailiwickServiceClient::connect(format!("http://{}", server.grpc)).await.unwrap()
}

fn header(header: pb::ImportHeader) -> pb::ImportRequest {
    let header = pb::ImportHeader { store_id: STORE.into(), ..header };
    pb::ImportRequest { part: Some(pb::import_request::Part::Header(header)) }
}

fn data(bytes: &[u8]) -> pb::ImportRequest {
    pb::ImportRequest { part: Some(pb::import_request::Part::Data(bytes.to_vec())) }
}

/// Sends the messages; answers how often progress was told, the report and the status.
async fn send(
    server: &Served,
    messages: Vec<pb::ImportRequest>,
) -> (usize, Option<pb::ImportReport>, Result<(), tonic::Status>) {
    let (mut told, mut report) = (0, None);
    let answered = client(server).await.import(tokio_stream::iter(messages)).await;
    let mut answers = match answered {
        Ok(answers) => answers.into_inner(),
        Err(status) => return (0, None, Err(status)),
    };
    loop {
        match answers.message().await {
            Ok(None) => return (told, report, Ok(())),
            Err(status) => return (told, report, Err(status)),
            Ok(Some(answer)) => match answer.part.unwrap() {
                pb::import_response::Part::Progress(_) => told += 1,
                pb::import_response::Part::Report(last) => report = Some(last),
            },
        }
    }
}

#[test]
fn grpc_imports_exports_and_counts() {
    let server = served();
    server.runtime.block_on(async {
        let source = lines(0..30_000);
        let mut messages = vec![header(pb::ImportHeader::default())];
        messages.extend(source.as_bytes().chunks(100_000).map(data));
        let (told, report, status) = send(&server, messages).await;
        let report = report.unwrap();
        assert!(status.is_ok() && told >= 1 && report.stopped.is_empty(), "{report:?}");
        assert_eq!(report.progress.unwrap().written, 30_000);

        let request =
            pb::ExportRequest { store_id: STORE.into(), compression: pb::Compression::Gzip.into(), format: 0 };
        let mut parts = client(&server).await.export(request).await.unwrap().into_inner();
        let (mut token, mut bytes) = (String::new(), Vec::new());
        while let Some(part) = parts.message().await.unwrap() {
            token.push_str(&part.consistency_token);
            bytes.extend_from_slice(&part.data);
        }
        assert_eq!(token, report.consistency_token);
        let mut text = String::new();
        flate2::read::GzDecoder::new(bytes.as_slice()).read_to_string(&mut text).unwrap();
        assert_eq!(text, source);

        let stats = client(&server).await.stats(pb::StatsRequest {}).await.unwrap().into_inner();
        assert_eq!((stats.stores[0].tuples, &stats.consistency_token), (30_000, &token));
    });
}

#[test]
fn grpc_reports_before_it_refuses() {
    let server = served();
    server.runtime.block_on(async {
        let bad = [data(lines(0..4).as_bytes()), data(b"{}\n")].to_vec();
        let chunks = pb::ImportHeader { chunk_lines: 2, ..pb::ImportHeader::default() };
        let (_, report, status) = send(&server, [vec![header(chunks)], bad].concat()).await;
        let (report, status) = (report.unwrap(), status.unwrap_err());
        assert_eq!(report.progress.unwrap().lines, 4);
        assert!(report.stopped.starts_with("line 5: missing field `user`"), "{report:?}");
        assert!(status.message().ends_with("the 4 lines before its chunk are imported"), "{status:?}");

        let (_, report, status) = send(&server, vec![data(b"{}")]).await;
        assert!(report.is_none() && status.unwrap_err().message().contains("is its header"));
        let twice = vec![header(pb::ImportHeader::default()), header(pb::ImportHeader::default())];
        let (_, _, status) = send(&server, twice).await;
        assert!(status.unwrap_err().message().contains("a second header came"));
        let nowhere =
            pb::ExportRequest { store_id: "00000000010000000000000009".into(), ..pb::ExportRequest::default() };
        let mut parts = client(&server).await.export(nowhere).await.unwrap().into_inner();
        assert_eq!(parts.message().await.unwrap_err().message(), "Store ID not found");
    });
}
