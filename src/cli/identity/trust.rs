//! `bailiwick trust`: whose identity assertions are believed, and which client may act with the tokens of another.

use super::super::Failure;
use super::super::show::say;
use super::{InTenant, env, json_file, json_of};
use bailiwick::identity::Held;
use bailiwick::modules::exchange::{
    ASSERTION_S_MAX, IssuerKeys, Replay, SubjectMapping, TrustedIssuer, delegate, distrust, trust, trusted_issuer,
    trusted_issuers,
};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;

/// Issuers of other domains whose identity assertions (ID-JAG) are believed, as far as their row goes.
#[derive(Subcommand)]
pub(crate) enum Trust {
    /// Trust an issuer, or change how far
    Put {
        /// The issuer, byte for byte as it stands in its assertions
        issuer: String,
        #[command(flatten)]
        row: Row,
        #[command(flatten)]
        tenant: InTenant,
    },
    /// List the trusted issuers
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
    /// Trust an issuer no longer, and revoke what its assertions were redeemed for
    Delete {
        /// The issuer
        issuer: String,
        #[command(flatten)]
        tenant: InTenant,
    },
    /// Let a client act further with the tokens that another was given for people
    Delegate {
        /// The client that is given the tokens
        client: String,
        /// The client that may take them further
        #[arg(long)]
        to: String,
        /// No longer
        #[arg(long)]
        remove: bool,
        #[command(flatten)]
        tenant: InTenant,
    },
}

/// How far an issuer is trusted.
#[derive(Args)]
#[command(next_help_heading = "How far")]
pub(crate) struct Row {
    /// Its JWK set, in a file; a tenant of this database needs none
    #[arg(long, value_name = "FILE", conflicts_with = "jwks_uri")]
    jwks: Option<PathBuf>,
    /// Its JWK set, at a URL
    #[arg(long, value_name = "URL")]
    jwks_uri: Option<String>,
    /// Who its `sub` is here
    #[arg(long, value_enum, default_value = "linked")]
    subject: Mapping,
    /// Make a user of who is nobody here yet
    #[arg(long)]
    create_users: bool,
    /// A client that may bring its assertions; all may that may use the grant type when none is named
    #[arg(long, value_name = "ID")]
    client: Vec<String>,
    /// A scope that it may assert, and what it is called here
    #[arg(long, value_name = "THEIRS=OURS", value_parser = super::pair)]
    scope: Vec<(String, String)>,
    /// A resource of this tenant for which it may assert
    #[arg(long, value_name = "URI")]
    resource: Vec<String>,
    /// How long an assertion may live, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = ASSERTION_S_MAX)]
    life_max: u64,
    /// How long access tokens live at most, in seconds; else as long as others of the tenant
    #[arg(long, value_name = "SECONDS")]
    access_token_life: Option<u64>,
    /// The highest class of authentication that it may assert; nothing that it says of it counts when none is named
    #[arg(long, value_name = "ACR", value_parser = ["aal1", "aal2", "phr"])]
    acr_max: Option<String>,
    /// Let an assertion be used until it expires, in place of once
    #[arg(long)]
    reusable: bool,
}

/// Who a subject is here.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Mapping {
    /// Who is linked with the identity
    Linked,
    /// The user of the same id
    Same,
    /// The user of the id in `aud_sub`
    AudSub,
    /// The user who is linked with the identity that `sub_id` names
    SubId,
    /// The user of the address, when both sides have verified it
    Email,
}

impl Row {
    fn row(self, issuer: String) -> Result<TrustedIssuer, Failure> {
        let keys = match (&self.jwks, self.jwks_uri) {
            (Some(file), _) => IssuerKeys::Jwks(json_file(file)?),
            (None, Some(uri)) => IssuerKeys::JwksUri(uri),
            (None, None) => IssuerKeys::Here,
        };
        Ok(TrustedIssuer {
            issuer,
            keys,
            subject: match self.subject {
                Mapping::Linked => SubjectMapping::Linked,
                Mapping::Same => SubjectMapping::Same,
                Mapping::AudSub => SubjectMapping::AudSub,
                Mapping::SubId => SubjectMapping::SubId,
                Mapping::Email => SubjectMapping::Email,
            },
            create_users: self.create_users,
            clients: self.client,
            scopes: self.scope.into_iter().collect(),
            resources: self.resource,
            life_max_s: self.life_max,
            access_token_s: self.access_token_life,
            acr_max: self.acr_max,
            replay: if self.reusable { Replay::UntilExpiry } else { Replay::Once },
            created_at: env().seconds(),
        })
    }
}

impl Trust {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        match self {
            Trust::Put { issuer, row, tenant } => {
                let opened = tenant.open()?;
                let row = row.row(issuer)?;
                let here = opened.identity().issuing(&row.issuer).is_some_and(|t| t.issuer() == row.issuer);
                if row.keys == IssuerKeys::Here && !here {
                    let text = format!(
                        "`{}` is no tenant of this database; say where its keys are with --jwks-uri URL or --jwks FILE",
                        row.issuer
                    );
                    return Err(Failure::Said(text));
                }
                trust(&opened, &row, &env())?;
                tenant.show(&json_of(&row)?);
            }
            Trust::List { tenant } => {
                let all = trusted_issuers(&tenant.open()?)?;
                let scopes = |row: &TrustedIssuer| row.scopes.values().cloned().collect::<Vec<_>>().join(" ");
                let line =
                    |row: &Held<TrustedIssuer>| vec![row.issuer.clone(), scopes(&row.value), row.resources.join(" ")];
                let lines: Vec<Vec<String>> = all.iter().map(line).collect();
                let json = all.iter().map(|row| json_of(&row.value)).collect::<Result<Vec<_>, _>>()?;
                tenant.list(&["issuer", "scopes", "resources"], &lines, || json!({ "trusted_issuers": json }));
            }
            Trust::Show { issuer, tenant } => {
                let held = trusted_issuer(&tenant.open()?, &issuer)?;
                let none = || Failure::Said(format!("`{issuer}` is not trusted"));
                tenant.show(&json_of(&held.ok_or_else(none)?.value)?);
            }
            Trust::Delete { issuer, tenant } => {
                let revoked = distrust(&tenant.open()?, &issuer, &env())?;
                if tenant.look.json {
                    say(json!({ "revoked": revoked }));
                } else if revoked > 0 {
                    say(format!("{} revoked", super::super::show::count(revoked as u64, "grant")));
                }
            }
            Trust::Delegate { client, to, remove, tenant } => {
                delegate(&tenant.open()?, &client, &to, !remove, &env())?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
