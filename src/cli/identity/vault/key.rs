//! `bailiwick connection key`: the keys with which we show at a provider who we are.

use super::super::super::Failure;
use super::super::{InTenant, env, time};
use super::{find, secret};
use bailiwick::identity::{MACHINE, SigningAlgorithm};
use bailiwick::modules::vault::{self, KeyFrom};
use clap::{Subcommand, ValueEnum};
use serde_json::json;
use std::path::PathBuf;

/// The keys with which we show at a provider who we are.
#[derive(Subcommand)]
pub(crate) enum KeyOf {
    /// Add a key, and print the JWK that is registered at the provider. The first signs at once; a second when `use` says so
    Add {
        /// The id of the connection
        connection: String,
        /// A file with a private key in PEM (PKCS #8); `-` is the standard input. Without one, a key is made here
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
        /// Of which kind one that is made here is
        #[arg(long, value_enum, ignore_case = true, conflicts_with = "file", default_value = "es256")]
        algorithm: Algorithm,
        #[command(flatten)]
        tenant: InTenant,
    },
    /// Sign with a key from now on, after it was registered at the provider
    Use {
        /// The id of the connection
        connection: String,
        /// The id of the key, which `list` prints
        kid: String,
        #[command(flatten)]
        tenant: InTenant,
    },
    /// Take a key away that signs no more
    Remove {
        /// The id of the connection
        connection: String,
        /// The id of the key, which `list` prints
        kid: String,
        #[command(flatten)]
        tenant: InTenant,
    },
    /// List the keys of a connection, and which of them signs
    List {
        /// The id of the connection
        connection: String,
        #[command(flatten)]
        tenant: InTenant,
    },
}

/// A kind of key.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Algorithm {
    /// P-256
    Es256,
    /// RSA with 2,048 bits
    Rs256,
}

impl KeyOf {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self {
            KeyOf::Add { connection, file, algorithm, tenant } => {
                let brought = file.as_deref().map(|file| secret(Some(file))).transpose()?;
                let opened = tenant.open()?;
                find(&opened, &connection)?;
                let drawn = match algorithm {
                    Algorithm::Es256 => SigningAlgorithm::Es256,
                    Algorithm::Rs256 => SigningAlgorithm::Rs256,
                };
                let from = brought.as_deref().map_or(KeyFrom::Drawn(drawn), KeyFrom::Pem);
                let added = vault::add_key(&opened, &connection, from, MACHINE, &env())?;
                tenant.show(&added.public);
            }
            KeyOf::Use { connection, kid, tenant } => {
                vault::use_key(&tenant.open()?, &connection, &kid, MACHINE, &env())?;
            }
            KeyOf::Remove { connection, kid, tenant } => {
                vault::remove_key(&tenant.open()?, &connection, &kid, MACHINE, &env())?;
            }
            KeyOf::List { connection, tenant } => {
                let held = find(&tenant.open()?, &connection)?;
                let keys: Vec<_> = held.keys().iter().enumerate().collect();
                let signs = |at: usize| if at == 0 { "signs" } else { "published" };
                let line = |(at, key): &(usize, &vault::ClientKey)| {
                    vec![key.kid.clone(), signs(*at).into(), time(key.created_at)]
                };
                let lines: Vec<Vec<String>> = keys.iter().map(line).collect();
                let json = |(at, key): &(usize, &vault::ClientKey)| json!({"kid": key.kid, "signs": *at == 0, "created_at": time(key.created_at), "jwk": key.public});
                let all = || json!({"keys": keys.iter().map(json).collect::<Vec<_>>()});
                tenant.list(&["id", "state", "created"], &lines, all);
            }
        }
        Ok(())
    }
}
