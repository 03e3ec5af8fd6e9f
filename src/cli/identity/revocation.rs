//! `bailiwick revocation-place`: other systems that are told when all is over that a person has here.

use super::super::Failure;
use super::{InTenant, env};
use bailiwick::identity::SigningAlgorithm;
use bailiwick::modules::revocation::{Place, SubjectFormat, places, put_place, remove_place};
use clap::{Subcommand, ValueEnum};
use serde_json::json;
use std::process::ExitCode;

/// Another system that takes Global Token Revocation.
#[derive(Subcommand)]
pub(crate) enum RevocationPlace {
    /// Add a place, or change one
    Put {
        /// What it is named by
        id: String,
        /// Its `global_token_revocation_endpoint`
        #[arg(long, value_name = "URL")]
        endpoint: String,
        /// By what it knows people
        #[arg(long, default_value = "iss_sub")]
        subject: Subject,
        /// The id of its client here, which it expects as `sub`
        #[arg(long)]
        client_id: Option<String>,
        /// Its issuer, when it may ask for revocations here too: it is not told of what it asked for itself
        #[arg(long, value_name = "URL")]
        issuer: Option<String>,
        /// With what is signed what it is shown
        #[arg(long, default_value = "ES256")]
        alg: Algorithm,
        #[command(flatten)]
        tenant: InTenant,
    },
    /// List the places
    List {
        #[command(flatten)]
        tenant: InTenant,
    },
    /// Take a place away; what it was not told yet, it is not told
    Delete {
        /// What it is named by
        id: String,
        #[command(flatten)]
        tenant: InTenant,
    },
}

/// By what people are named (RFC 9493).
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Subject {
    /// This issuer and their id
    #[value(name = "iss_sub")]
    IssSub,
    /// Their address, when it is known to be theirs
    Email,
    /// Their id alone
    Opaque,
}

/// A signing algorithm.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Algorithm {
    /// P-256
    #[value(name = "ES256")]
    Es256,
    /// RSA
    #[value(name = "RS256")]
    Rs256,
}

impl RevocationPlace {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        match self {
            RevocationPlace::Put { id, endpoint, subject, client_id, issuer, alg, tenant } => {
                let subject = match subject {
                    Subject::IssSub => SubjectFormat::IssSub,
                    Subject::Email => SubjectFormat::Email,
                    Subject::Opaque => SubjectFormat::Opaque,
                };
                let alg = match alg {
                    Algorithm::Es256 => SigningAlgorithm::Es256,
                    Algorithm::Rs256 => SigningAlgorithm::Rs256,
                };
                let (signals, created_at) = (None, env().seconds());
                let place = Place { id, endpoint, subject, client_id, issuer, alg, signals, created_at };
                put_place(&tenant.open()?, &place, &env())?;
            }
            RevocationPlace::List { tenant } => {
                let places = places(&tenant.open()?)?;
                let places: Vec<&Place> = places.iter().map(|p| &p.value).filter(|p| p.signals.is_none()).collect();
                let lines: Vec<Vec<String>> = places.iter().map(|p| vec![p.id.clone(), p.endpoint.clone()]).collect();
                let json = || json!({ "revocation_places": places });
                tenant.list(&["id", "endpoint"], &lines, json);
            }
            RevocationPlace::Delete { id, tenant } => remove_place(&tenant.open()?, &id, false, &env())?,
        }
        Ok(ExitCode::SUCCESS)
    }
}
