//! Binds the two surfaces, serves, and drains when told to stop.

use crate::api::{Api, Cors, grpc_service, http_routes};
use crate::engine::Engine;
use crate::wire::{Bounds, Embedder, EmbeddingSettings, EmbeddingStartError};
use axum::serve::ListenerExt as _;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpListener;
use tonic::transport::server::TcpIncoming;

/// What a client may send on one stream, and on one connection, before it is taken. The largest message fits.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;

/// Why the server could not start or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Without authentication, which comes later, only this machine may reach the server.
    #[error("{0} is not a loopback address and there is no authentication yet; add --insecure-listen if you mean it")]
    NotLoopback(SocketAddr),
    /// The address is taken or may not be used.
    #[error("cannot listen on {address}: {reason}; stop what listens there, or say another --http-addr or --grpc-addr")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why.
        reason: std::io::Error,
    },
    /// The embedding endpoint's settings are of no use.
    #[error(transparent)]
    Embedding(#[from] EmbeddingStartError),
    /// Serving failed.
    #[error("serving failed: {0}")]
    Failed(String),
}

/// How the server behaves. `Settings::default()` is what `bailiwick serve` does without flags.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where to listen for HTTP/JSON. Port 0 takes a free one.
    pub http: SocketAddr,
    /// Where to listen for gRPC. Port 0 takes a free one.
    pub grpc: SocketAddr,
    /// Whether other addresses than loopback are allowed.
    pub insecure_listen: bool,
    /// How long running requests get to finish once the server is told to stop.
    pub drain_timeout: Duration,
    /// Most requests that one gRPC connection may have open at a time.
    pub streams_per_connection_max: u32,
    /// Web origins that may call the HTTP surface from a browser; `*` is all.
    pub cors_origins: Vec<String>,
    /// Request headers that such calls may carry; `*` is all.
    pub cors_headers: Vec<String>,
    /// Times, sizes and counts of the surface.
    pub bounds: Bounds,
    /// Where vectors of texts come from, if texts may stand for vectors.
    pub embedding: Option<EmbeddingSettings>,
}

impl Default for Settings {
    fn default() -> Self {
        let loopback = |port| SocketAddr::from(([127, 0, 0, 1], port));
        Settings {
            http: loopback(8080),
            grpc: loopback(8081),
            insecure_listen: false,
            drain_timeout: Duration::from_secs(10),
            streams_per_connection_max: 1_024,
            cors_origins: vec!["*".to_owned()],
            cors_headers: vec!["*".to_owned()],
            bounds: Bounds::default(),
            embedding: None,
        }
    }
}

async fn bind(address: SocketAddr) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address).await.map_err(|reason| ServeError::Bind { address, reason })
}

/// Serves until `stop` resolves, then lets running requests finish, for as long as the settings say. `ready` gets the bound
/// addresses (HTTP, gRPC), so that port 0 can be asked for.
pub async fn serve(
    engine: Engine,
    settings: Settings,
    ready: impl FnOnce(SocketAddr, SocketAddr),
    stop: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    for address in [settings.http, settings.grpc] {
        if !address.ip().is_loopback() && !settings.insecure_listen {
            return Err(ServeError::NotLoopback(address));
        }
    }
    let embedder = settings.embedding.clone().map(Embedder::new).transpose()?;
    let (http, grpc) = (bind(settings.http).await?, bind(settings.grpc).await?);
    let local = |l: &TcpListener, a| l.local_addr().unwrap_or(a);
    let addresses = (local(&http, settings.http), local(&grpc, settings.grpc));
    let failed = |e: &dyn std::error::Error| ServeError::Failed(e.to_string());
    let api = Api::new(engine, settings.bounds.clone(), embedder).map_err(|e| failed(&e))?;
    let (service, health) = grpc_service(api.clone()).await.map_err(|e| failed(&e))?;
    let cors = Cors::new(&settings.cors_origins, &settings.cors_headers);
    let (stopping, stopped) = tokio::sync::watch::channel(());
    let wait = |mut stopped: tokio::sync::watch::Receiver<()>| async move {
        let _ = stopped.changed().await; // an error means the sender is gone: stop as well
    };
    // Small answers must not wait for the acknowledgement of those before; a connection that cannot is served all the same.
    let http = http.tap_io(|stream| drop(stream.set_nodelay(true)));
    let http = axum::serve(http, http_routes(api.clone(), cors)).with_graceful_shutdown(wait(stopped.clone()));
    let grpc = tonic::transport::Server::builder()
        .max_concurrent_streams(settings.streams_per_connection_max)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .serve_with_incoming_shutdown(service, TcpIncoming::from(grpc).with_nodelay(Some(true)), wait(stopped));
    let both = async {
        tokio::try_join!(async { http.await.map_err(|e| e.to_string()) }, async {
            grpc.await.map_err(|e| e.to_string())
        })
    };
    tokio::pin!(both);
    ready(addresses.0, addresses.1);
    tokio::select! {
        done = &mut both => return done.map(|_| ()).map_err(ServeError::Failed),
        () = stop => {}
    }
    tracing::info!("stopping: running requests may finish");
    api.drain();
    health.drain().await;
    drop(stopping);
    match tokio::time::timeout(settings.drain_timeout, both).await {
        Ok(done) => done.map(|_| ()).map_err(ServeError::Failed),
        Err(_) => {
            tracing::warn!(timeout_ms = settings.drain_timeout.as_millis(), "some requests did not finish in time");
            Ok(())
        }
    }
}
