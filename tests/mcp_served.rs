//! MCP endpoints on real sockets: that answers stream through the gateway as they come, and that a client that goes away ends
//! the call.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderValue, Response};
use axum::routing::post;
use bailiwick::Bailiwick;
use bailiwick::engine::{Settings, WriteQuery};
use bailiwick::model::Model;
use bailiwick::modules::mcp::*;
use bailiwick::tuple::{ModelId, ObjectRef, StoreId, Timestamp, TupleKeyRef};
use bailiwick::wire::Pool;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;

const NOW: Timestamp = Timestamp(1_700_000_000_000_000_000);
const MODEL: &str = "model
  schema 1.1
type user
type agent
type mcp_server
  relations
    define can_use: [user, user:*, agent, agent:*]
type mcp_tool
  relations
    define can_call: [user, user:*, agent, agent:*]
";

/// `SUBJECT/AGENT` or `SUBJECT/AGENT/SCOPE+SCOPE` (with `.` for `:`), for whatever resource.
struct Plain;

impl Tokens for Plain {
    fn judge(&self, presented: &Presented<'_>, _: &str, _: Timestamp) -> Result<Judged, Refusal> {
        let mut parts = presented.token.split('/');
        let (Some(subject), Some(agent)) = (parts.next(), parts.next()) else {
            return Err(Refusal::Invalid { reason: "the token is none of ours".into() });
        };
        let object = |text: String| ObjectRef::parse(&text).unwrap().to_owned();
        let scopes = parts.next().unwrap_or("mcp.read").split('+');
        Ok(Judged {
            subject: object(format!("user:{subject}")),
            agent: Some(agent).filter(|agent| *agent != "-").map(|agent| object(format!("agent:{agent}"))),
            actors: Vec::new(),
            client: "app:test".into(),
            scopes: scopes.map(|scope| scope.replace('.', ":")).collect(),
            details: Vec::new(),
            token: None,
            grant: None,
            session: None,
            authentication: None,
        })
    }
}

/// Plain HTTP to a server on this machine.
struct Direct(reqwest::Client);

impl Upstream for Direct {
    fn send(&self, request: Request) -> Future<'_, Result<Response<Body>, UpstreamError>> {
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let failed = |error: reqwest::Error| UpstreamError::Unreachable(error.without_url().to_string());
            let body = axum::body::to_bytes(body, 8 << 20)
                .await
                .map_err(|error| UpstreamError::Unreachable(error.to_string()))?;
            let sent = self.0.request(head.method, head.uri.to_string()).headers(head.headers).body(body);
            let mut answer = sent.send().await.map_err(failed)?;
            let (status, headers) = (answer.status(), answer.headers().clone());
            let (sender, receiver) = mpsc::channel::<Result<Bytes, std::io::Error>>(4);
            tokio::spawn(async move {
                loop {
                    let part = tokio::select! {
                        part = answer.chunk() => part,
                        () = sender.closed() => return,
                    };
                    let part = match part {
                        Ok(Some(part)) => Ok(part),
                        Ok(None) => return,
                        Err(error) => Err(std::io::Error::other(error)),
                    };
                    if sender.send(part).await.is_err() {
                        return;
                    }
                }
            });
            let mut response = Response::new(Body::from_stream(ReceiverStream::new(receiver)));
            (*response.status_mut(), *response.headers_mut()) = (status, headers);
            Ok(response)
        })
    }
}

/// A store in which Sarah's agent may call the tool `slow`.
fn database(directory: &std::path::Path) -> (Bailiwick, StoreId) {
    let database = Bailiwick::open_with(directory, Settings { sync: false, ..Settings::default() }).unwrap();
    let store = StoreId(ulid::Ulid::from_parts(1, 1));
    database.create_store(store, "mcp", NOW).unwrap();
    database.write_model(store, ModelId(ulid::Ulid::from_parts(1, 2)), Model::parse_dsl(MODEL).unwrap()).unwrap();
    let tuples = ["user:*", "agent:sales"].map(|subject| {
        [("mcp_server:own", "can_use"), ("mcp_tool:slow", "can_call")]
            .map(|(object, relation)| TupleKeyRef::parse(object, relation, subject).unwrap().to_tuple())
    });
    database.write(store, None, WriteQuery { writes: tuples.concat(), ..WriteQuery::default() }, NOW).unwrap();
    (database, store)
}

fn gateway_spec(url: &str) -> GatewaySpec {
    serde_json::from_value(json!({
        "url": url,
        "policy": {
            "server": {"object": "mcp_server:own", "relation": "can_use"},
            "other_tools": {"checks": [{"object": "mcp_tool:{name}", "relation": "can_call"}]},
        },
    }))
    .unwrap()
}

/// The gateway at `/gateway`.
fn router(address: SocketAddr, upstream: &str, directory: &std::path::Path) -> Router {
    let (engine, store) = database(directory);
    let pool = Arc::new(Pool::new("mcp-test", 4, 256).unwrap());
    let resource = Resource::new(ResourceSpec {
        url: format!("http://{address}/gateway"),
        authorization_servers: vec![format!("http://{address}/")],
        scopes_supported: vec!["mcp:read".into()],
        ..ResourceSpec::default()
    });
    let guard = Guard::new(resource.unwrap(), Arc::new(Plain), GuardSpec::default()).unwrap();
    let spec = EndpointSpec { engine, store, tenant: 1, guard, approvals: Arc::new(NoApprovals), pool };
    // The crate chooses none by itself; an error means that another test has chosen already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
    let gateway =
        Endpoint::gateway(spec, gateway_spec(upstream), Arc::new(Direct(client)), Arc::new(NoCredentials), &[7; 32]);
    routes([gateway.unwrap()]).unwrap()
}

/// A server on a free port, until the sender is dropped.
async fn served(make: impl FnOnce(SocketAddr) -> Router) -> (SocketAddr, oneshot::Sender<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = make(address);
    let (stop, stopped) = oneshot::channel::<()>();
    let stopping = async move { drop(stopped.await) };
    tokio::spawn(async move { axum::serve(listener, router).with_graceful_shutdown(stopping).await.unwrap() });
    (address, stop)
}

/// A server whose tool `slow` says that it works, and ends when it is told to.
fn slow(mut go: mpsc::Receiver<()>, gone: oneshot::Sender<()>) -> Router {
    let (sender, receiver) = mpsc::channel::<Result<Bytes, Infallible>>(1);
    let event = |message: Value| Ok(Bytes::from(format!("data: {message}\n\n")));
    tokio::spawn(async move {
        let progress = json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progress": 1}});
        sender.send(event(progress)).await.unwrap();
        tokio::select! {
            told = go.recv() => {
                if told.is_some() {
                    let result = json!({"jsonrpc": "2.0", "id": 1, "result": {"content": []}});
                    sender.send(event(result)).await.unwrap();
                }
            }
            () = sender.closed() => {}
        }
        sender.closed().await;
        gone.send(()).unwrap();
    });
    let body = Arc::new(std::sync::Mutex::new(Some(Body::from_stream(ReceiverStream::new(receiver)))));
    Router::new().route(
        "/mcp",
        post(move || async move {
            let mut response = Response::new(body.lock().unwrap().take().unwrap());
            response.headers_mut().insert("content-type", HeaderValue::from_static("text/event-stream"));
            response
        }),
    )
}

/// Asks for `slow` through the gateway; the connection, at the first event.
fn begun(address: SocketAddr) -> BufReader<TcpStream> {
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "slow"}}).to_string();
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "POST /gateway HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer sarah/sales\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut reader = BufReader::new(stream);
    assert!(line_with(&mut reader, "data: ").contains("notifications/progress"));
    reader
}

fn line_with(reader: &mut BufReader<TcpStream>, start: &str) -> String {
    loop {
        let mut line = String::new();
        assert!(reader.read_line(&mut line).unwrap() > 0, "the server hung up");
        if line.starts_with(start) {
            return line;
        }
    }
}

#[test]
fn answers_stream_and_a_client_that_goes_away_ends_the_call() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    for leaves in [false, true] {
        let directory = tempfile::tempdir().unwrap();
        let (go, told) = mpsc::channel(1);
        let (gone, ended) = oneshot::channel();
        let (behind, _stop_behind) = runtime.block_on(served(|_| slow(told, gone)));
        let upstream = format!("http://{behind}/mcp");
        let (address, _stop) = runtime.block_on(served(|address| router(address, &upstream, directory.path())));
        // The first event is here while the server still works.
        let mut reader = begun(address);
        if leaves {
            drop(reader);
        } else {
            runtime.block_on(go.send(())).unwrap();
            assert!(line_with(&mut reader, "data: ").contains("\"result\""));
        }
        runtime.block_on(ended).unwrap();
        drop(go);
    }
}
