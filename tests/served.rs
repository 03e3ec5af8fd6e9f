//! A real server in this process, on ports that the system picks, and plain clients of its two surfaces.

use bailiwick::Bailiwick;
use bailiwick::api::proto::open_fga_service_client::OpenFgaServiceClient;
use bailiwick::engine::Settings;
use bailiwick::server::{self, serve};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::oneshot;
use tonic::body::Body;
use tonic::transport::Channel;

/// Where [`Numbered`] puts the number of a status that tonic's own `Code` has no name for.
const NUMBER: &str = "status-number";
/// The largest answer the clients take.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// The generated client, which tells OpenFGA's own status numbers.
pub(crate) type Client = OpenFgaServiceClient<Numbered>;

/// A server that runs until this is dropped.
pub(crate) struct Served {
    pub(crate) runtime: tokio::runtime::Runtime,
    pub(crate) http: SocketAddr,
    pub(crate) grpc: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    serving: Option<tokio::task::JoinHandle<()>>,
    _directory: tempfile::TempDir,
}

impl Served {
    /// Starts a server on an empty database.
    pub(crate) fn start() -> Served {
        let directory = tempfile::tempdir().unwrap();
        let engine = Bailiwick::open_with(directory.path(), Settings { sync: false, ..Settings::default() }).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let (ready, bound) = oneshot::channel();
        let (stop, stopped) = oneshot::channel();
        let addresses = server::Settings { http: any, grpc: any, ..server::Settings::default() };
        let serving = runtime.spawn(async move {
            let told = |http, grpc| ready.send((http, grpc)).unwrap();
            let stopped = async { stopped.await.unwrap_or_default() };
            serve(engine, addresses, told, stopped).await.unwrap();
        });
        let (http, grpc) = runtime.block_on(bound).unwrap();
        Served { runtime, http, grpc, stop: Some(stop), serving: Some(serving), _directory: directory }
    }

    /// A gRPC client.
    pub(crate) fn client(&self) -> Client {
        let endpoint = Channel::from_shared(format!("http://{}", self.grpc)).unwrap();
        let channel = self.runtime.block_on(endpoint.connect()).unwrap();
        OpenFgaServiceClient::new(Numbered(channel)).max_decoding_message_size(ANSWER_BYTES_MAX)
    }

    /// An HTTP client on one connection.
    pub(crate) fn http(&self) -> Http {
        Http::connect(self.http)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(serving) = self.serving.take() {
            let ended = self.runtime.block_on(serving);
            assert!(ended.is_ok() || std::thread::panicking(), "the server failed: {ended:?}");
        }
    }
}

/// A connection that copies the status number to where tonic's `Status` keeps it.
#[derive(Clone)]
pub(crate) struct Numbered(Channel);

impl tower::Service<http::Request<Body>> for Numbered {
    type Response = http::Response<Body>;
    type Error = tonic::transport::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        tower::Service::poll_ready(&mut self.0, context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let answering = tower::Service::call(&mut self.0, request);
        Box::pin(async move {
            let mut response = answering.await?;
            if let Some(number) = response.headers().get("grpc-status").cloned() {
                response.headers_mut().insert(NUMBER, number);
            }
            Ok(response)
        })
    }
}

/// The number of a status as the server sent it.
pub(crate) fn number(status: &tonic::Status) -> u64 {
    let number = status.metadata().get(NUMBER).unwrap_or_else(|| panic!("no number in {status:?}"));
    number.to_str().unwrap().parse().unwrap()
}

/// HTTP/1.1 by hand, so that any bytes can be sent.
pub(crate) struct Http(BufReader<TcpStream>);

/// An answer: status, head as lines, body.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: Vec<String>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The body as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|e| panic!("{e}: {} {}", self.status, String::from_utf8_lossy(&self.body)))
    }

    /// A header's value.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let pairs = self.head.iter().filter_map(|line| line.split_once(": "));
        pairs.into_iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

impl Http {
    fn connect(address: SocketAddr) -> Http {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        Http(BufReader::new(stream))
    }

    /// Sends a request and waits for the answer. The connection lives on.
    pub(crate) fn send(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut request = format!("{method} {path} HTTP/1.1\r\nhost: bailiwick\r\ncontent-length: {}\r\n", body.len());
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str("\r\n");
        let stream = self.0.get_mut();
        stream.write_all(&[request.as_bytes(), body].concat()).unwrap();
        let status: u16 = self.line().split(' ').nth(1).expect("a status line").parse().unwrap();
        let mut head = Vec::new();
        loop {
            match self.line() {
                end if end.is_empty() => break,
                line => head.push(line),
            }
        }
        let mut answer = Answer { status, head, body: Vec::new() };
        if answer.header("transfer-encoding").is_some_and(|value| value == "chunked") {
            while let size @ 1.. = usize::from_str_radix(&self.line(), 16).unwrap() {
                self.take(size, &mut answer.body);
                self.line();
            }
            self.line();
        } else if let Some(length) = answer.header("content-length") {
            let length = length.parse().unwrap();
            self.take(length, &mut answer.body);
        }
        answer
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        assert!(self.0.read_line(&mut line).unwrap() > 0, "the server hung up");
        line.trim_end().to_owned()
    }

    fn take(&mut self, length: usize, body: &mut Vec<u8>) {
        assert!(body.len() + length <= ANSWER_BYTES_MAX, "an answer larger than expected");
        let start = body.len();
        body.resize(start + length, 0);
        self.0.read_exact(&mut body[start..]).unwrap();
    }
}
