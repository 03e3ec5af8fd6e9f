//! `bailiwick connection scope`: how agents have the scopes of a connection.

use super::super::super::Failure;
use super::super::connection::Class;
use super::super::{InTenant, env};
use super::{BY, find};
use bailiwick::modules::vault::{self, ScopeClass};
use clap::Subcommand;
use serde_json::json;

/// How agents have the scopes of a connection. A scope without a class is not had.
#[derive(Subcommand)]
pub(crate) enum ScopeOf {
    /// Give a scope a class for somebody, in place of the one it has for them
    Set {
        /// The id of the connection
        connection: String,
        /// The scope, as a rule of the connection names it
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
    /// Take the class of a scope for somebody away
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

impl ScopeOf {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self {
            ScopeOf::Set { connection, scope, class, client, tenant } => {
                let class = match class {
                    Class::Automatic => ScopeClass::Automatic,
                    Class::NeedsApproval => ScopeClass::NeedsApproval,
                    Class::Never => ScopeClass::Never,
                };
                let opened = tenant.open()?;
                find(&opened, &connection)?;
                vault::classify(&opened, (&connection, &scope), &client, Some(class), BY, &env())?;
            }
            ScopeOf::Unset { connection, scope, client, tenant } => {
                let opened = tenant.open()?;
                find(&opened, &connection)?;
                vault::classify(&opened, (&connection, &scope), &client, None, BY, &env())?;
            }
            ScopeOf::List { connection, tenant } => {
                let opened = tenant.open()?;
                find(&opened, &connection)?;
                let all = vault::classes(&opened, &connection)?;
                let line = |c: &vault::Classed| vec![c.scope.clone(), c.class.to_owned(), c.subject.clone()];
                let lines: Vec<Vec<String>> = all.iter().map(line).collect();
                let json = |c: &vault::Classed| json!({"scope": c.scope, "class": c.class, "for": c.subject});
                let json = || json!({ "scopes": all.iter().map(json).collect::<Vec<_>>() });
                tenant.list(&["scope", "class", "for"], &lines, json);
            }
        }
        Ok(())
    }
}
