//! Where a command works: in a directory that it opens itself, or at a server. Both are asked by the same gRPC client, the
//! directory without a socket, so that every command is written once and says the same in both places.

use super::Failure;
use crate::config::{self, variable};
use bailiwick::api::own_proto::bailiwick_service_client::BailiwickServiceClient;
use bailiwick::api::own_proto::collections_client::CollectionsClient;
use bailiwick::api::proto as pb;
use bailiwick::api::proto::open_fga_service_client::OpenFgaServiceClient;
use bailiwick::api::{Api, Grpc, grpc_service};
use bailiwick::engine::Engine;
use bailiwick::wire::Bounds;
use clap::Args;
use http::HeaderValue;
use http::header::AUTHORIZATION;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tonic::body::Body;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

/// Where `bailiwick serve` listens when nothing else is said.
const SERVER_DEFAULT: &str = "http://127.0.0.1:8081";
/// The variable with the key that a server asks for. There is no flag: it would stand in the list of processes.
const API_TOKEN: &str = "BAILIWICK_API_TOKEN";
/// The variables that say what the flags of TLS do.
const SERVER_CA: &str = "BAILIWICK_SERVER_CA";
const CLIENT_CERT: &str = "BAILIWICK_CLIENT_CERT";
const CLIENT_KEY: &str = "BAILIWICK_CLIENT_KEY";
/// The longest answer that is taken; a whole list comes in one message.
const ANSWER_BYTES_MAX: usize = 1 << 30;
/// How long a server may take to take a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Stores to name when it is not clear which is meant.
const STORES_NAMED_MAX: usize = 10;
/// A page of any list.
const PAGE: i32 = 100;

/// Where the database is.
#[derive(Args, Clone)]
#[command(next_help_heading = "Where")]
pub(crate) struct At {
    /// The database's directory, opened by this command; no server may have it open [env: BAILIWICK_DATA]
    #[arg(long, value_name = "DIR", conflicts_with = "server")]
    pub(crate) data: Option<PathBuf>,
    /// The gRPC address of a server [env: BAILIWICK_SERVER] [default: http://127.0.0.1:8081]
    #[arg(long, value_name = "URL")]
    pub(crate) server: Option<String>,
    /// Authorities in PEM that the server's certificate may be by, besides the system's [env: BAILIWICK_SERVER_CA]
    #[arg(long, value_name = "FILE")]
    pub(crate) server_ca: Option<PathBuf>,
    /// A certificate to show to the server, in PEM [env: BAILIWICK_CLIENT_CERT]
    #[arg(long, value_name = "FILE")]
    pub(crate) client_cert: Option<PathBuf>,
    /// The private key of that certificate, in PEM [env: BAILIWICK_CLIENT_KEY]
    #[arg(long, value_name = "FILE")]
    pub(crate) client_key: Option<PathBuf>,
}

/// Where the database is, and which store of it.
#[derive(Args, Clone)]
pub(crate) struct InStore {
    #[command(flatten)]
    pub(crate) at: At,
    /// The store, by id or name; may be left out when there is one only [env: BAILIWICK_STORE]
    #[arg(long, help_heading = "Where")]
    pub(crate) store: Option<String>,
}

/// Which model, and how fresh the answer must be.
#[derive(Args, Clone)]
#[command(next_help_heading = "Which state")]
pub(crate) struct State {
    /// The id of the model; the latest when none is named [env: BAILIWICK_MODEL]
    #[arg(long, value_name = "ID")]
    pub(crate) model: Option<String>,
    #[command(flatten)]
    pub(crate) freshness: Freshness,
}

/// How fresh an answer must be.
#[derive(Args, Clone, Default)]
#[command(next_help_heading = "Which state")]
pub(crate) struct Freshness {
    /// See at least what this token saw; every answer with --json carries one
    #[arg(long, value_name = "TOKEN")]
    pub(crate) at_least: Option<String>,
    /// See exactly what this token saw, while it is retained
    #[arg(long, value_name = "TOKEN", conflicts_with = "at_least")]
    pub(crate) exactly: Option<String>,
}

impl State {
    /// The model's id; empty for the latest.
    pub(super) fn model(&self) -> String {
        self.model.clone().or_else(|| variable("BAILIWICK_MODEL")).unwrap_or_default()
    }
}

/// The way of a request to the engine.
#[derive(Clone)]
pub(super) enum Way {
    /// In this process.
    Here(Grpc),
    /// Over the network, with what is shown there.
    There(Channel, Option<HeaderValue>),
}

/// The client of OpenFGA's API on either way.
pub(super) type Client = OpenFgaServiceClient<Way>;
/// The client of collections, their chunks and their search.
pub(super) type ChunkClient = CollectionsClient<Way>;
/// The client of what is beyond it.
pub(super) type OwnClient = BailiwickServiceClient<Way>;

impl tower::Service<http::Request<Body>> for Way {
    type Response = http::Response<Body>;
    type Error = tonic::transport::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        match self {
            // The service is always ready and never fails.
            Way::Here(_) => Poll::Ready(Ok(())),
            Way::There(channel, _) => tower::Service::poll_ready(channel, cx),
        }
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        match self {
            Way::Here(service) => {
                let answer = tower::Service::call(service, request);
                Box::pin(async move {
                    match answer.await {
                        Ok(response) => Ok(response),
                        Err(never) => match never {},
                    }
                })
            }
            Way::There(channel, shown) => {
                if let Some(shown) = shown {
                    request.headers_mut().insert(AUTHORIZATION, shown.clone());
                }
                Box::pin(tower::Service::call(channel, request))
            }
        }
    }
}

/// An open place.
pub(super) struct Place {
    runtime: tokio::runtime::Runtime,
    way: Way,
    server: Option<String>,
    engine: Option<Engine>,
}

/// An answer and the token of its state.
pub(super) struct Answer<T> {
    pub(super) message: T,
    pub(super) token: Option<String>,
    /// Whether a bound of the server cut a list.
    pub(super) cut: bool,
}

/// A request with how fresh its answer must be.
pub(super) fn fresh<T>(message: T, freshness: &Freshness) -> Result<tonic::Request<T>, Failure> {
    let mut request = tonic::Request::new(message);
    for (name, token) in [("bailiwick-at-least", &freshness.at_least), ("bailiwick-exactly", &freshness.exactly)] {
        if let Some(token) = token {
            let value = token.parse().map_err(|_| Failure::Said(format!("`{token}` is no token")))?;
            request.metadata_mut().insert(name, value);
        }
    }
    Ok(request)
}

/// An error and what it came of.
fn said_of(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", said_of(source)),
        None => error.to_string(),
    }
}

enum Where {
    Directory(PathBuf),
    Server(String),
}

impl At {
    /// A flag wins over the environment; without either it is the server on this machine.
    fn choose(&self) -> Result<Where, Failure> {
        if let Some(path) = &self.data {
            return Ok(Where::Directory(path.clone()));
        }
        if let Some(url) = &self.server {
            return Ok(Where::Server(url.clone()));
        }
        match (variable("BAILIWICK_DATA"), variable("BAILIWICK_SERVER")) {
            (Some(_), Some(_)) => Err(Failure::Said(
                "BAILIWICK_DATA and BAILIWICK_SERVER are both set; unset one, or say --data or --server".into(),
            )),
            (Some(path), None) => Ok(Where::Directory(path.into())),
            (None, url) => Ok(Where::Server(url.unwrap_or_else(|| SERVER_DEFAULT.to_owned()))),
        }
    }

    /// How a server over `https` is spoken to.
    fn tls(&self) -> Result<ClientTlsConfig, Failure> {
        let said = |flag: &Option<PathBuf>, name| flag.clone().or_else(|| variable(name).map(PathBuf::from));
        let read = |path: PathBuf| std::fs::read(&path).map_err(|reason| Failure::File { path, reason });
        let mut tls = ClientTlsConfig::new().with_native_roots();
        if let Some(path) = said(&self.server_ca, SERVER_CA) {
            let pem = read(path.clone())?;
            // The library passes over what is none.
            if CertificateDer::pem_slice_iter(&pem).next().is_none_or(|first| first.is_err()) {
                return Err(Failure::Said(format!("there is no certificate in `{}`", path.display())));
            }
            tls = tls.ca_certificate(Certificate::from_pem(pem));
        }
        match (said(&self.client_cert, CLIENT_CERT), said(&self.client_key, CLIENT_KEY)) {
            (Some(certificate), Some(key)) => Ok(tls.identity(Identity::from_pem(read(certificate)?, read(key)?))),
            (None, None) => Ok(tls),
            (Some(_), None) => Err(Failure::Said("a certificate is shown with its key; say --client-key".into())),
            (None, Some(_)) => Err(Failure::Said("a key is of use with its certificate; say --client-cert".into())),
        }
    }

    /// The directory, when a flag or the environment names one.
    pub(super) fn named_directory(&self) -> Result<Option<PathBuf>, Failure> {
        Ok(match self.choose()? {
            Where::Directory(path) => Some(path),
            Where::Server(_) => None,
        })
    }

    /// The directory, for what cannot be done through a server; that of the settings file when nothing else is said.
    pub(super) fn directory(&self, what: &str) -> Result<PathBuf, Failure> {
        let fault = || Failure::Said(format!("{what} reads the database's files; stop the server and say --data DIR"));
        let mut named = self.named_directory()?;
        if named.is_none() && self.server.is_none() && variable("BAILIWICK_SERVER").is_none() {
            named = config::of_file()?.data.0;
        }
        named.ok_or_else(fault)
    }

    /// Opens the place.
    pub(super) fn open(&self) -> Result<Place, Failure> {
        match self.choose()? {
            Where::Directory(path) => Place::here(open(&path)?),
            Where::Server(url) => Place::there(url, &self.tls()?),
        }
    }
}

/// Opens a directory that holds a database.
pub(crate) fn open(path: &Path) -> Result<Engine, Failure> {
    // Opening makes what is not there, which would answer a mistyped path with an empty database.
    if !path.join("CURRENT").exists() {
        let path = path.display();
        return Err(Failure::Said(format!(
            "there is no database in `{path}`; `bailiwick serve --data {path}` or `bailiwick store create NAME --data {path}` \
             makes one"
        )));
    }
    Ok(Engine::open(path)?)
}

impl Place {
    fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
        let built = tokio::runtime::Builder::new_current_thread().enable_all().build();
        built.map_err(|error| Failure::Said(format!("no threads: {error}")))
    }

    /// The database in this process.
    pub(super) fn here(engine: Engine) -> Result<Place, Failure> {
        let runtime = Place::runtime()?;
        // A person who asks a large directory waits for the answer; a server's callers do not.
        let bounds = Bounds { request_timeout: Duration::ZERO, ..Bounds::default() };
        let api = Api::new(engine.clone(), bounds, None).map_err(|error| Failure::Said(error.to_string()))?;
        let service = runtime.block_on(grpc_service(api));
        let (service, _health) = service.map_err(|error| Failure::Said(error.to_string()))?;
        Ok(Place { runtime, way: Way::Here(service), server: None, engine: Some(engine) })
    }

    /// A server.
    pub(super) fn there(url: String, tls: &ClientTlsConfig) -> Result<Place, Failure> {
        let full = if url.contains("://") { url } else { format!("http://{url}") };
        let endpoint = Endpoint::from_shared(full.clone());
        let mut endpoint =
            endpoint.map_err(|_| Failure::Said(format!("`{full}` is no URL, as in {SERVER_DEFAULT}")))?;
        if full.starts_with("https://") {
            let unusable = |error| Failure::Said(format!("the files for TLS cannot be used: {}", said_of(&error)));
            endpoint = endpoint.tls_config(tls.clone()).map_err(unusable)?;
        }
        let shown = variable(API_TOKEN).map(|key| HeaderValue::try_from(format!("Bearer {}", key.trim())));
        let mut shown = shown.transpose().map_err(|_| Failure::Said(format!("{API_TOKEN} is no key")))?;
        shown.iter_mut().for_each(|shown| shown.set_sensitive(true));
        let runtime = Place::runtime()?;
        let channel = {
            let _inside = runtime.enter();
            endpoint.connect_timeout(CONNECT_TIMEOUT).connect_lazy()
        };
        Ok(Place { runtime, way: Way::There(channel, shown), server: Some(full), engine: None })
    }

    /// Asks.
    pub(super) fn ask<T>(
        &self,
        call: impl AsyncFnOnce(Client) -> Result<tonic::Response<T>, tonic::Status>,
    ) -> Result<Answer<T>, Failure> {
        let client = OpenFgaServiceClient::new(self.way.clone()).max_decoding_message_size(ANSWER_BYTES_MAX);
        let answered = self.runtime.block_on(call(client));
        let response = answered.map_err(|status| self.refused(&status))?;
        let said = |name| response.metadata().get(name).and_then(|t| t.to_str().ok()).map(str::to_owned);
        let (token, cut) = (said("bailiwick-consistency-token"), said("bailiwick-truncated").is_some());
        Ok(Answer { message: response.into_inner(), token, cut })
    }

    /// Asks about collections.
    pub(super) fn chunks<T>(
        &self,
        call: impl AsyncFnOnce(ChunkClient) -> Result<tonic::Response<T>, tonic::Status>,
    ) -> Result<T, Failure> {
        let client = CollectionsClient::new(self.way.clone()).max_decoding_message_size(ANSWER_BYTES_MAX);
        let answered = self.runtime.block_on(call(client));
        answered.map(tonic::Response::into_inner).map_err(|status| self.refused(&status))
    }

    /// The database, when it is in this process.
    pub(super) fn engine(&self) -> Option<&Engine> {
        self.engine.as_ref()
    }

    /// Does what takes the client of our own API.
    pub(super) fn work<T>(&self, work: impl AsyncFnOnce(OwnClient) -> Result<T, Failure>) -> Result<T, Failure> {
        let client = BailiwickServiceClient::new(self.way.clone()).max_decoding_message_size(ANSWER_BYTES_MAX);
        self.runtime.block_on(work(client))
    }

    /// What an answer without success means.
    pub(super) fn refused(&self, status: &tonic::Status) -> Failure {
        Failure::refused(status, self.server.as_deref())
    }

    /// Stores, page by page, as long as `more` wants more.
    pub(super) fn stores(&self, name: &str, mut more: impl FnMut(pb::Store) -> bool) -> Result<(), Failure> {
        let mut continuation_token = String::new();
        loop {
            let request = pb::ListStoresRequest { page_size: Some(PAGE), continuation_token, name: name.to_owned() };
            let page = self.ask(async |mut client| client.list_stores(request).await)?.message;
            if !page.stores.into_iter().all(&mut more) || page.continuation_token.is_empty() {
                return Ok(());
            }
            continuation_token = page.continuation_token;
        }
    }

    /// The id of the store that is meant.
    pub(super) fn store(&self, named: Option<&str>) -> Result<String, Failure> {
        let mut found = Vec::new();
        self.stores(named.filter(|n| ulid::Ulid::from_string(n).is_err()).unwrap_or(""), |store| {
            if named.is_none_or(|n| store.name == n || store.id == n) {
                found.push(store);
            }
            found.len() <= STORES_NAMED_MAX
        })?;
        match (found.as_slice(), named) {
            ([only], _) => Ok(only.id.clone()),
            ([], Some(name)) => {
                Err(Failure::Said(format!("there is no store `{name}`; `bailiwick store list` prints those there are")))
            }
            ([], None) => {
                Err(Failure::Said("there is no store yet; make one with `bailiwick store create NAME`".into()))
            }
            (several, _) => {
                let lines: Vec<String> = several.iter().map(|s| format!("  {}  {}", s.id, s.name)).collect();
                let what =
                    named.map_or("there are several stores".to_owned(), |n| format!("several stores are named `{n}`"));
                Err(Failure::Said(format!("{what}; say which with --store ID:\n{}", lines.join("\n"))))
            }
        }
    }
}

impl InStore {
    /// The store's id or name, when a flag or the environment says it.
    pub(super) fn named(&self) -> Option<String> {
        self.store.clone().or_else(|| variable("BAILIWICK_STORE"))
    }

    /// Opens the place, and finds the store in it.
    pub(super) fn open(&self) -> Result<(Place, String), Failure> {
        let place = self.at.open()?;
        let store = place.store(self.named().as_deref())?;
        Ok((place, store))
    }
}
