//! `bailiwick provider`: other OpenID providers with whose word people sign in.

use super::super::Failure;
use super::{InTenant, env};
use bailiwick::modules::login::{NewProvider, PROVIDER_TEXT_BYTES_MAX, Provider as Record, put_provider};
use bailiwick::modules::login::{providers, remove_provider};
use clap::Subcommand;
use serde_json::{Value, json};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Another OpenID provider. Register `ISSUER/login/upstream/callback` there as the redirect URI.
#[derive(Subcommand)]
pub(crate) enum Provider {
    /// Add a provider, or change one
    Put {
        /// What it is named by: small letters, digits and `-`
        id: String,
        /// Its issuer, as its metadata says it
        #[arg(long, value_name = "URL")]
        issuer: String,
        /// Who we are there
        #[arg(long)]
        client_id: String,
        /// A file with the secret by which we show it; a public client has none
        #[arg(long, value_name = "FILE")]
        secret_file: Option<PathBuf>,
        /// What people call it; its id when it is left out
        #[arg(long)]
        name: Option<String>,
        #[command(flatten)]
        tenant: InTenant,
    },
    /// List the providers
    List {
        #[command(flatten)]
        tenant: InTenant,
    },
    /// Take a provider away; who signs in with it does so in another way from then on
    Delete {
        /// What it is named by
        id: String,
        #[command(flatten)]
        tenant: InTenant,
    },
}

/// The secret in a file, without the end of its line.
fn secret(path: &Path) -> Result<String, Failure> {
    let unreadable = |reason| Failure::File { path: path.to_owned(), reason };
    let most = u64::try_from(PROVIDER_TEXT_BYTES_MAX).unwrap_or(u64::MAX).saturating_add(2);
    let mut text = String::new();
    std::fs::File::open(path).map_err(unreadable)?.take(most).read_to_string(&mut text).map_err(unreadable)?;
    Ok(text.trim_end_matches(['\n', '\r']).to_owned())
}

fn shown(provider: &Record) -> Value {
    json!({
        "id": provider.id, "name": provider.name, "issuer": provider.issuer, "client_id": provider.client_id,
        "created_at": super::time(provider.created_at),
    })
}

impl Provider {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        match self {
            Provider::Put { id, issuer, client_id, secret_file, name, tenant } => {
                let secret = secret_file.as_deref().map(secret).transpose()?;
                let name = name.as_deref().unwrap_or(&id);
                let provider =
                    NewProvider { id: &id, name, issuer: &issuer, client_id: &client_id, secret: secret.as_deref() };
                put_provider(&tenant.open()?, provider, None, &env())?;
            }
            Provider::List { tenant } => {
                let providers = providers(&tenant.open()?)?;
                let line = |p: &Record| vec![p.id.clone(), p.name.clone(), p.issuer.clone(), p.client_id.clone()];
                let lines: Vec<Vec<String>> = providers.iter().map(|p| line(p)).collect();
                let json = || json!({ "providers": providers.iter().map(|p| shown(p)).collect::<Vec<_>>() });
                tenant.list(&["id", "name", "issuer", "client id"], &lines, json);
            }
            Provider::Delete { id, tenant } => remove_provider(&tenant.open()?, &id, None, &env())?,
        }
        Ok(ExitCode::SUCCESS)
    }
}
