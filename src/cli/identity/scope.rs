//! `bailiwick connection scope` and `bailiwick connection-scope`: the classes of the scopes of the vault's connections and of
//! managed ones. The commands are the same, for two kinds of connection.

use super::super::Failure;
use super::InTenant;
use bailiwick::identity::Tenant;
use clap::{Subcommand, ValueEnum};
use serde_json::json;
use std::process::ExitCode;

/// The classes of the scopes of a connection. A scope without one is not had.
#[derive(Subcommand)]
pub(crate) enum Scopes {
    /// Give a scope a class for clients, in place of the one it has for them
    Set {
        /// The id of the connection
        connection: String,
        /// The scope, as the connection names it
        scope: String,
        /// Whether it is had for the asking, with an approval, or never, whatever else says so
        #[arg(long, value_enum)]
        class: Class,
        /// For whom: agent:ID, app:ID, agent:* or app:*
        #[arg(long = "for", value_name = "CLIENT")]
        client: String,
        #[command(flatten)]
        tenant: InTenant,
    },
    /// Take the class of a scope for clients away
    Unset {
        /// The id of the connection
        connection: String,
        /// The scope
        scope: String,
        /// For whom: agent:ID, app:ID, agent:* or app:*
        #[arg(long = "for", value_name = "CLIENT")]
        client: String,
        #[command(flatten)]
        tenant: InTenant,
    },
    /// List the classes of the scopes of a connection
    List {
        /// The id of the connection
        connection: String,
        #[command(flatten)]
        tenant: InTenant,
    },
}

/// A class.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Class {
    /// For the asking
    Automatic,
    /// When somebody approves
    NeedsApproval,
    /// Not, whatever else says so
    Never,
}

/// A scope, the name of its class, and for whom it is of it.
pub(super) type Classed = (String, &'static str, String);

/// One kind of connection.
pub(super) struct Kind {
    /// Gives a scope of a connection a class for somebody, or none.
    pub(super) classify: fn(&Tenant, (&str, &str), &str, Option<Class>) -> Result<(), Failure>,
    /// The classes of a connection's scopes, in order.
    pub(super) classes: fn(&Tenant, &str) -> Result<Vec<Classed>, Failure>,
}

impl Scopes {
    pub(super) fn run(self, kind: &Kind) -> Result<ExitCode, Failure> {
        match self {
            Scopes::Set { connection, scope, class, client, tenant } => {
                (kind.classify)(&tenant.open()?, (&connection, &scope), &client, Some(class))?;
            }
            Scopes::Unset { connection, scope, client, tenant } => {
                (kind.classify)(&tenant.open()?, (&connection, &scope), &client, None)?;
            }
            Scopes::List { connection, tenant } => {
                let all = (kind.classes)(&tenant.open()?, &connection)?;
                let line = |(scope, class, client): &Classed| vec![scope.clone(), (*class).to_owned(), client.clone()];
                let lines: Vec<Vec<String>> = all.iter().map(line).collect();
                let json = |(scope, class, client): &Classed| json!({"scope": scope, "class": class, "for": client});
                let json = || json!({ "scopes": all.iter().map(json).collect::<Vec<_>>() });
                tenant.list(&["scope", "class", "for"], &lines, json);
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
