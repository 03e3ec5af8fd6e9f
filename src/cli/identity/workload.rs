//! `bailiwick workload`: whose word is taken about workloads, by which clients show who they are without a secret.

use super::super::Failure;
use super::{InTenant, env, json_file, json_of};
use bailiwick::identity::{ClientKeys, Held, MACHINE, WORKLOAD_LIFE_S, Workload, WorkloadIssuer};
use clap::{ArgGroup, Subcommand};
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;

/// Issuers of workloads: platforms (Kubernetes, GitHub Actions, a cloud's OpenID provider) and SPIFFE trust domains. Which
/// client a workload is, is said of the client.
#[derive(Subcommand)]
pub(crate) enum Workloads {
    /// Trust an issuer of workloads, or change how far
    #[command(group = ArgGroup::new("keys").required(true))]
    Put {
        /// `iss` of its tokens, byte for byte; or a trust domain, as `spiffe://example.org`
        issuer: String,
        /// Its JWK set, in a file; of a trust domain, its bundle
        #[arg(long, value_name = "FILE", group = "keys")]
        jwks: Option<PathBuf>,
        /// Where its JWK set is, or its bundle
        #[arg(long, value_name = "URL", group = "keys")]
        jwks_uri: Option<String>,
        /// How long a token of it may live, in seconds
        #[arg(long, value_name = "SECONDS", default_value_t = WORKLOAD_LIFE_S)]
        life_max: u64,
        /// Whether a token of it may be shown again until it expires; else once, by its `jti`. Those of a trust domain may when
        /// nothing is said, others may not
        #[arg(long, value_name = "BOOL")]
        reusable: Option<bool>,
        #[command(flatten)]
        tenant: InTenant,
    },
    /// List the trusted issuers of workloads
    List {
        #[command(flatten)]
        tenant: InTenant,
    },
    /// Print how far an issuer is trusted
    Show {
        /// The issuer
        issuer: String,
        #[command(flatten)]
        tenant: InTenant,
    },
    /// Trust an issuer no longer: from the next request on none of its workloads is a client
    Delete {
        /// The issuer
        issuer: String,
        #[command(flatten)]
        tenant: InTenant,
    },
}

/// A workload of a platform: its issuer, `=`, its subject, in which more of them may be.
pub(super) fn of_platform(text: &str) -> Result<Workload, String> {
    let (issuer, subject) = text.split_once('=').ok_or("write ISSUER=SUBJECT")?;
    if issuer.starts_with("spiffe://") {
        return Err("a SPIFFE ID has its issuer in it; say it with --spiffe-id".to_owned());
    }
    Ok(Workload { issuer: issuer.to_owned(), subject: subject.to_owned() })
}

/// A workload by its SPIFFE ID.
pub(super) fn of_spiffe(text: &str) -> Result<Workload, String> {
    Workload::of_spiffe_id(text).map_err(|refusal| refusal.description)
}

impl Workloads {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        match self {
            Workloads::Put { issuer, jwks, jwks_uri, life_max, reusable, tenant } => {
                let keys = match (jwks, jwks_uri) {
                    (Some(file), _) => ClientKeys::Jwks(json_file(&file)?),
                    (None, uri) => ClientKeys::JwksUri(uri.unwrap_or_default()),
                };
                let row = WorkloadIssuer::new(issuer, keys);
                let row = WorkloadIssuer { life_max_s: life_max, reusable: reusable.unwrap_or(row.reusable), ..row };
                tenant.show(&json_of(&tenant.open()?.put_workload_issuer(&row, MACHINE, &env())?)?);
            }
            Workloads::List { tenant } => {
                let all = tenant.open()?.workload_issuers()?;
                let keys = |row: &WorkloadIssuer| match &row.keys {
                    ClientKeys::Jwks(_) => "here".to_owned(),
                    ClientKeys::JwksUri(uri) => uri.clone(),
                };
                let times = |row: &WorkloadIssuer| if row.reusable { "until it expires" } else { "once" };
                let line = |row: &Held<WorkloadIssuer>| {
                    vec![row.issuer.clone(), keys(row), row.life_max_s.to_string(), times(row).to_owned()]
                };
                let lines: Vec<Vec<String>> = all.iter().map(line).collect();
                let json = all.iter().map(|row| json_of(&row.value)).collect::<Result<Vec<_>, _>>()?;
                let head = ["issuer", "keys", "seconds at most", "good"];
                tenant.list(&head, &lines, || json!({ "workload_issuers": json }));
            }
            Workloads::Show { issuer, tenant } => {
                let held = tenant.open()?.workload_issuer(&issuer)?;
                let none = || Failure::Said(format!("`{issuer}` is not trusted to know workloads"));
                tenant.show(&json_of(&held.ok_or_else(none)?.value)?);
            }
            Workloads::Delete { issuer, tenant } => {
                tenant.open()?.remove_workload_issuer(&issuer, MACHINE, &env())?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
