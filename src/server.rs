//! Binds the two surfaces, serves, and drains when told to stop.

use crate::api::{Api, grpc_routes, http_routes};
use crate::engine::Engine;
use std::net::SocketAddr;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;

/// Why the server could not start or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Without authentication, which comes later, only this machine may reach the server.
    #[error("{0} is not a loopback address and there is no authentication yet; add --insecure-listen if you mean it")]
    NotLoopback(SocketAddr),
    /// The address is taken or may not be used.
    #[error("cannot listen on {address}: {reason}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why.
        reason: std::io::Error,
    },
    /// Serving failed.
    #[error("serving failed: {0}")]
    Failed(String),
}

/// Where to listen.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    /// HTTP/JSON.
    pub http: SocketAddr,
    /// gRPC.
    pub grpc: SocketAddr,
    /// Whether other addresses than loopback are allowed.
    pub insecure_listen: bool,
}

async fn bind(address: SocketAddr) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address).await.map_err(|reason| ServeError::Bind { address, reason })
}

/// Serves until `stop` resolves, then lets running requests finish. `ready` gets the bound addresses (HTTP, gRPC), so that
/// port 0 can be asked for.
pub async fn serve(
    engine: Engine,
    addresses: Addresses,
    ready: impl FnOnce(SocketAddr, SocketAddr),
    stop: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    for address in [addresses.http, addresses.grpc] {
        if !address.ip().is_loopback() && !addresses.insecure_listen {
            return Err(ServeError::NotLoopback(address));
        }
    }
    let (http, grpc) = (bind(addresses.http).await?, bind(addresses.grpc).await?);
    let local = |l: &TcpListener, a| l.local_addr().unwrap_or(a);
    ready(local(&http, addresses.http), local(&grpc, addresses.grpc));
    let api = Api::new(engine);
    let routes = grpc_routes(api.clone()).await.map_err(|e| ServeError::Failed(e.to_string()))?;
    let (stopping, stopped) = tokio::sync::watch::channel(());
    let wait = |mut stopped: tokio::sync::watch::Receiver<()>| async move {
        let _ = stopped.changed().await; // an error means the sender is gone: stop as well
    };
    let http = axum::serve(http, http_routes(api)).with_graceful_shutdown(wait(stopped.clone()));
    let grpc = tonic::transport::Server::builder()
        .tcp_nodelay(true)
        .add_routes(routes)
        .serve_with_incoming_shutdown(TcpListenerStream::new(grpc), wait(stopped));
    let both = async {
        tokio::try_join!(async { http.await.map_err(|e| e.to_string()) }, async {
            grpc.await.map_err(|e| e.to_string())
        })
    };
    tokio::pin!(both);
    tokio::select! {
        done = &mut both => done,
        () = stop => {
            drop(stopping);
            both.await
        }
    }
    .map(|_| ())
    .map_err(ServeError::Failed)
}
