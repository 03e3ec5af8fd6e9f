//! `bailiwick serve`

use super::{Failure, say};
use bailiwick::engine::Engine;
use bailiwick::server::{Settings, serve};
use clap::Args;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Args)]
pub(super) struct Serve {
    /// The database's directory; it is made when it is not there.
    #[arg(long, env = "BAILIWICK_DATA")]
    data: PathBuf,
    /// Where to listen for HTTP.
    #[arg(long, env = "BAILIWICK_HTTP_ADDR", default_value = "127.0.0.1:8080")]
    http_addr: SocketAddr,
    /// Where to listen for gRPC.
    #[arg(long, env = "BAILIWICK_GRPC_ADDR", default_value = "127.0.0.1:8081")]
    grpc_addr: SocketAddr,
    /// Listen beyond this machine although there is no authentication yet.
    #[arg(long)]
    insecure_listen: bool,
}

impl Serve {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let filter = tracing_subscriber::EnvFilter::builder().with_default_directive(tracing::Level::INFO.into());
        tracing_subscriber::fmt().with_env_filter(filter.from_env_lossy()).with_writer(std::io::stderr).init();
        let engine = Engine::open(&self.data)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::Said(format!("no threads: {error}")))?;
        let settings = Settings {
            http: self.http_addr,
            grpc: self.grpc_addr,
            insecure_listen: self.insecure_listen,
            ..Settings::default()
        };
        let ready = |http, grpc| say(format!("serving HTTP on {http}, gRPC on {grpc}"));
        runtime.block_on(serve(engine, settings, ready, stop()))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Resolves at SIGINT or SIGTERM.
async fn stop() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return std::future::pending().await };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}
