//! `bailiwick mcp`: the MCP servers of a tenant, in force from the next request on.

use super::super::{Failure, mcp_try};
use super::{InTenant, env, json_file, time};
use bailiwick::identity::{Held, MACHINE, Tenant};
use bailiwick::modules::mcp::servers::http::server_json;
use bailiwick::modules::mcp::{Server, ServerSpec, put_server, remove_server, server, servers};
use clap::Subcommand;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// MCP servers whose every call is decided by Check: others behind the gateway, and our own.
#[derive(Subcommand)]
pub(crate) enum Mcp {
    /// Make or change an MCP server, from a JSON file (docs/mcp.md)
    Put {
        /// The file; its member `name` is the server's name
        file: PathBuf,
        #[command(flatten)]
        tenant: InTenant,
    },
    /// List the MCP servers
    List {
        #[command(flatten)]
        tenant: InTenant,
    },
    /// Print an MCP server
    Show {
        /// Its name
        name: String,
        #[command(flatten)]
        tenant: InTenant,
    },
    /// Take an MCP server away, and the resource that its tokens are for
    Remove {
        /// Its name
        name: String,
        #[command(flatten)]
        tenant: InTenant,
    },
    /// Try an MCP server as a client, step by step: who gives tokens for it, a token, its tools, and calls of them
    #[command(after_help = mcp_try::EXAMPLES)]
    Try(Box<mcp_try::Try>),
}

fn described(file: &Path) -> Result<ServerSpec, Failure> {
    serde_path_to_error::deserialize(json_file(file)?)
        .map_err(|error| Failure::Said(format!("{}: at `{}`: {}", file.display(), error.path(), error.inner())))
}

/// What is behind: a server's URL, or our own.
fn behind(server: &Server) -> String {
    server.spec.gateway.as_ref().map_or_else(|| "our own".to_owned(), |gateway| gateway.url.clone())
}

fn list(tenant: &InTenant) -> Result<(), Failure> {
    let opened: Tenant = tenant.open()?;
    let all = servers(&opened)?;
    let line = |held: &Held<Server>| {
        vec![held.spec.name.clone(), held.spec.identifier(&opened), behind(held), time(held.changed_at)]
    };
    let lines: Vec<Vec<String>> = all.iter().map(line).collect();
    let json: Vec<Value> = all.iter().map(|held| server_json(&opened, held)).collect();
    tenant.list(&["name", "identifier", "behind", "changed"], &lines, || json!({ "servers": json }));
    Ok(())
}

impl Mcp {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        match self {
            Mcp::Put { file, tenant } => {
                let (wanted, opened) = (described(&file)?, tenant.open()?);
                let made = put_server(&opened, &wanted, MACHINE, &env())?;
                let identifier = made.spec.identifier(&opened);
                tenant.show(&json!({"name": made.spec.name, "identifier": identifier, "version": made.version}));
            }
            Mcp::List { tenant } => list(&tenant)?,
            Mcp::Show { name, tenant } => {
                let opened = tenant.open()?;
                tenant.show(&server_json(&opened, &*server(&opened, &name)?));
            }
            Mcp::Try(trial) => return trial.run(),
            Mcp::Remove { name, tenant } => remove_server(&tenant.open()?, &name, MACHINE, &env())?,
        }
        Ok(ExitCode::SUCCESS)
    }
}
