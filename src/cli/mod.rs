//! One file per subcommand; this one reads the arguments.

mod ask;
mod bulk;
mod bulk_remote;
mod demo;
mod model;
mod serve;

use bailiwick::engine::{Engine, OpenError};
use bailiwick::tuple::{StoreId, TupleTextError};
use clap::{Args, Parser, Subcommand};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// An authorization database: OpenFGA's API, exact and consistent, from one binary.
#[derive(Parser)]
#[command(name = "bailiwick", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve OpenFGA's API over HTTP and gRPC.
    Serve(serve::Serve),
    /// Show what it does, on a small world in a temporary directory.
    Demo,
    /// List the stores in a directory.
    Stores(Directory),
    /// Ask whether a subject has a relation to an object: exit code 0 allow, 1 deny, 2 error.
    Check(ask::Check),
    /// List the objects to which a subject has a relation.
    ListObjects(ask::ListObjects),
    /// List the subjects that have a relation to an object.
    ListUsers(ask::ListUsers),
    /// Derive the index again and compare it with what is stored.
    Verify(Directory),
    /// Print what the database holds and what it costs.
    Stats(Directory),
    /// Check a model, turn one form into another, or write one to a store.
    #[command(subcommand)]
    Model(model::ModelCommand),
    /// Import tuples from JSON lines, JSON or CSV: exit code 0 all in, 1 bad lines left out, 2 stopped.
    #[command(after_help = "Examples: bailiwick import --data ./data --model model.fga tuples.jsonl.zst\n          \
                            bailiwick import --server 127.0.0.1:8081 --on-error skip tuples.csv")]
    Import(Box<bulk::Import>),
    /// Export the tuples of a store as JSON lines, JSON or CSV.
    #[command(after_help = "Example: bailiwick export --data ./data --output tuples.csv.zst")]
    Export(bulk::Export),
    /// Print a completion script for a shell.
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
}

/// Where the database is.
#[derive(Args)]
struct Directory {
    /// The database's directory.
    #[arg(long, env = "BAILIWICK_DATA")]
    data: PathBuf,
}

/// What went wrong, in words for a person.
#[derive(Debug, thiserror::Error)]
enum Failure {
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
    #[error("{path}: {reason}")]
    File { path: PathBuf, reason: std::io::Error },
    #[error("{0}")]
    Said(String),
}

fn open(path: &Path) -> Result<Engine, Failure> {
    if !path.exists() {
        return Err(Failure::Said(format!("`{}` does not exist; `bailiwick serve` makes it", path.display())));
    }
    Ok(Engine::open(path)?)
}

/// The store asked for; the only one when none is named.
fn store(engine: &Engine, named: Option<&str>) -> Result<StoreId, Failure> {
    let (stores, more) = engine.stores(None, None, 100);
    match named {
        Some(text) => {
            let id = bailiwick_id(text).map(StoreId);
            let found = stores.iter().find(|s| Some(s.id) == id || s.name == text).map(|s| s.id);
            found.or(id).ok_or_else(|| Failure::Said(format!("there is no store `{text}`; see `bailiwick stores`")))
        }
        None => match stores.as_slice() {
            [only] if !more => Ok(only.id),
            _ => Err(Failure::Said("there is not exactly one store; name one with --store".into())),
        },
    }
}

fn bailiwick_id(text: &str) -> Option<ulid::Ulid> {
    ulid::Ulid::from_string(text).ok()
}

/// Prints a line of an answer.
fn say(line: impl std::fmt::Display) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stdout().lock(), "{line}"); // a closed pipe is not an error of ours
}

/// Reads the arguments and runs.
pub(crate) fn run() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Serve(serve) => serve.run(),
        Command::Demo => demo::run(),
        Command::Stores(directory) => ask::stores(&directory.data),
        Command::Check(check) => check.run(),
        Command::ListObjects(list) => list.run(),
        Command::ListUsers(list) => list.run(),
        Command::Verify(directory) => ask::verify(&directory.data),
        Command::Stats(directory) => ask::stats(&directory.data),
        Command::Model(command) => command.run(),
        Command::Import(import) => import.run(),
        Command::Export(export) => export.run(),
        Command::Completions { shell } => {
            let mut command = <Cli as clap::CommandFactory>::command();
            clap_complete::generate(shell, &mut command, "bailiwick", &mut std::io::stdout());
            Ok(ExitCode::SUCCESS)
        }
    };
    done.unwrap_or_else(|failure| {
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), "error: {failure}"); // nowhere else to say it
        ExitCode::from(2)
    })
}
