//! What went wrong, in words for a person. Every failure ends the program with exit code 2.

use crate::config::ConfigError;
use bailiwick::engine::OpenError;
use bailiwick::tuple::TupleTextError;
use std::path::PathBuf;

/// See the file's head.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Question(#[from] bailiwick::engine::QuestionError),
    #[error(transparent)]
    Write(#[from] bailiwick::engine::WriteError),
    #[error(transparent)]
    Text(#[from] TupleTextError),
    #[error(transparent)]
    Serve(#[from] bailiwick::server::ServeError),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("{}{}", .0.description, .0.cause.as_ref().map(|cause| format!(": {cause}")).unwrap_or_default())]
    Identity(#[from] bailiwick::identity::Refusal),
    #[error(transparent)]
    Audit(#[from] bailiwick::modules::audit::AuditError),
    #[error(transparent)]
    Export(#[from] bailiwick::modules::audit::export::ExportError),
    #[error("{}: {reason}", .path.display())]
    File { path: PathBuf, reason: std::io::Error },
    /// The database, here or behind a server, said no.
    #[error("{message}{advice}")]
    Refused { message: String, advice: &'static str },
    #[error("{0}")]
    Said(String),
}

/// What is wrong with TLS, when an error came of that.
fn of_tls(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    let own = || error.downcast_ref::<rustls::Error>().map(ToString::to_string);
    // What an error of input holds is its cause, which is no `source` of it.
    let held = || of_tls(error.downcast_ref::<std::io::Error>()?.get_ref()?);
    own().or_else(held).or_else(|| of_tls(error.source()?))
}

impl Failure {
    /// What the database answered, with what to do where that is not plain.
    pub(super) fn refused(status: &tonic::Status, server: Option<&str>) -> Failure {
        let message = status.message();
        if let Some(server) = server {
            let source = std::error::Error::source(status);
            if let Some(reason) = source.and_then(of_tls) {
                return Failure::Said(format!(
                    "{server} cannot be spoken to over TLS: {reason}; --server-ca names authorities of the server, --client-cert \
                     and --client-key what it is shown"
                ));
            }
            let unreachable = matches!(status.code(), tonic::Code::Unavailable);
            if server.starts_with("https://") && !unreachable && source.is_some() {
                return Failure::Said(format!(
                    "{server} ended the connection without an answer; if it asks who calls, say --client-cert and \
                     --client-key, by an authority that it knows"
                ));
            }
            if unreachable && source.is_some() {
                return Failure::Said(format!(
                    "there is no server at {server}; start one with `bailiwick serve --data DIR`, name another with \
                     --server, or a directory with --data"
                ));
            }
            // A web server, or our own HTTP address, answers a gRPC call without saying how it went.
            if message.contains("grpc-status") || message.contains("invalid compression flag") {
                return Failure::Said(format!(
                    "{server} does not speak gRPC; give --server the gRPC address of `bailiwick serve`, 8081 by default"
                ));
            }
        }
        let advice = if message.starts_with("No authorization models found") {
            "; write one with `bailiwick model write FILE`"
        } else if message.contains("already exists") && message.starts_with("cannot write") {
            "; --on-duplicate ignore passes over it"
        } else if message.contains("does not exist") && message.starts_with("cannot delete") {
            "; --on-missing ignore passes over it"
        } else if message.contains("StoresRequest.Name:") || message.contains("StoreRequest.Name:") {
            "; a store's name has 3 to 64 letters, digits, spaces or any of . - / ^ _ & @"
        } else if message.starts_with("collection '") && message.contains("' not found in store") {
            "; `bailiwick collection list` prints those there are"
        } else if message.contains(".AuthorizationModelId:") {
            "; `bailiwick model list` prints the ids there are"
        } else {
            ""
        };
        Failure::Refused { message: message.to_owned(), advice }
    }
}
