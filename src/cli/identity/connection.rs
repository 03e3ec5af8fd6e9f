//! `bailiwick managed-connection` and `bailiwick connection-scope`: where clients may go with the tokens of people, and for
//! which scopes.

use super::super::Failure;
use super::scope::{Class, Kind, Scopes};
use super::{InTenant, env, json_of};
use bailiwick::identity::Held;
use bailiwick::modules::exchange::{
    ASSERTION_S_MAX, Connection as Record, ScopeClass, Server, SubjectClaims, Target, allow, classes, classify,
    connection, connections, holders, put_connection, remove_connection,
};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::process::ExitCode;

/// Where clients may go with the tokens of people: a resource of this tenant, or the authorization server of another domain.
#[derive(Subcommand)]
pub(crate) enum ManagedConnection {
    /// Make a managed connection, or change where it leads to
    Put {
        /// Its id in tuples, which is never given again
        id: String,
        /// What people call it; its id when it is left out
        #[arg(long)]
        name: Option<String>,
        #[command(flatten)]
        to: To,
        #[command(flatten)]
        tenant: InTenant,
    },
    /// List the managed connections
    List {
        #[command(flatten)]
        tenant: InTenant,
    },
    /// Print a managed connection, who may use it, and the classes of its scopes
    Show {
        /// Its id
        id: String,
        #[command(flatten)]
        tenant: InTenant,
    },
    /// Take a managed connection away; nothing is issued through it from then on
    Delete {
        /// Its id
        id: String,
        #[command(flatten)]
        tenant: InTenant,
    },
    /// Let clients use it
    Allow {
        /// Its id
        id: String,
        /// Who: agent:ID, app:ID, agent:* or app:*
        client: String,
        #[command(flatten)]
        tenant: InTenant,
    },
    /// Let clients use it no longer
    Disallow {
        /// Its id
        id: String,
        /// Who: agent:ID, app:ID, agent:* or app:*
        client: String,
        #[command(flatten)]
        tenant: InTenant,
    },
}

/// Where a connection leads to.
#[derive(Args)]
#[command(next_help_heading = "Where it leads to")]
pub(crate) struct To {
    /// A resource of this tenant
    #[arg(long, value_name = "URI", required_unless_present = "issuer", conflicts_with = "issuer")]
    resource: Option<String>,
    /// The issuer of another domain's authorization server
    #[arg(long, value_name = "URL")]
    issuer: Option<String>,
    /// A client of ours, and what it is called there
    #[arg(long, value_name = "OURS=THEIRS", value_parser = super::pair, requires = "issuer")]
    client: Vec<(String, String)>,
    /// A scope that may be asked for, and what it is called there
    #[arg(long, value_name = "OURS=THEIRS", value_parser = super::pair, requires = "issuer")]
    scope: Vec<(String, String)>,
    /// A resource there that may be named
    #[arg(long, value_name = "URI", requires = "issuer")]
    server_resource: Vec<String>,
    /// Say the person's address, when it is verified
    #[arg(long, requires = "issuer")]
    email: bool,
    /// The claim of the profile that has the person's id there
    #[arg(long, value_name = "CLAIM", requires = "issuer")]
    aud_sub: Option<String>,
    /// Say who the person is at this issuer, with which they are linked here, or ours (`sub_id`, RFC 9493)
    #[arg(long, value_name = "URL", requires = "issuer")]
    sub_id: Option<String>,
    /// How long an assertion lives, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = ASSERTION_S_MAX)]
    life: u64,
}

impl To {
    fn target(self) -> Target {
        match (self.resource, self.issuer) {
            (_, Some(issuer)) => Target::Server(Server {
                issuer,
                resources: self.server_resource,
                clients: self.client.into_iter().collect(),
                scopes: self.scope.into_iter().collect(),
                subject: SubjectClaims { email: self.email, aud_sub: self.aud_sub, sub_id: self.sub_id },
                life_s: self.life,
            }),
            (resource, None) => Target::Resource { resource: resource.unwrap_or_default() },
        }
    }
}

impl ManagedConnection {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        match self {
            ManagedConnection::Put { id, name, to, tenant } => {
                let (opened, env) = (tenant.open()?, env());
                let name = name.unwrap_or_else(|| id.clone());
                let wanted = Record { id, name, target: to.target(), created_at: env.seconds() };
                put_connection(&opened, &wanted, &env)?;
                tenant.show(&json_of(&connection(&opened, &wanted.id)?.value)?);
            }
            ManagedConnection::List { tenant } => {
                let all = connections(&tenant.open()?)?;
                let line = |c: &Held<Record>| vec![c.id.clone(), c.name.clone(), c.audience().to_owned()];
                let lines: Vec<Vec<String>> = all.iter().map(line).collect();
                let json = all.iter().map(|c| json_of(&c.value)).collect::<Result<Vec<_>, _>>()?;
                tenant.list(&["id", "name", "leads to"], &lines, || json!({ "managed_connections": json }));
            }
            ManagedConnection::Show { id, tenant } => {
                let opened = tenant.open()?;
                let mut shown = json_of(&connection(&opened, &id)?.value)?;
                if let Some(shown) = shown.as_object_mut() {
                    shown.insert("allowed".to_owned(), json!(holders(&opened, &id)?));
                    shown.insert("scopes".to_owned(), Value::Array(classed(&opened, &id)?));
                }
                tenant.show(&shown);
            }
            ManagedConnection::Delete { id, tenant } => remove_connection(&tenant.open()?, &id, &env())?,
            ManagedConnection::Allow { id, client, tenant } => allow(&tenant.open()?, &id, &client, true, &env())?,
            ManagedConnection::Disallow { id, client, tenant } => allow(&tenant.open()?, &id, &client, false, &env())?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn classed(tenant: &bailiwick::identity::Tenant, id: &str) -> Result<Vec<Value>, Failure> {
    let all = classes(tenant, id)?;
    Ok(all.iter().map(|c| json!({"scope": c.scope, "class": c.class.name(), "for": c.holder})).collect())
}

/// The classes of the scopes of a managed connection. A scope without one is never had.
#[derive(Subcommand)]
pub(crate) enum ConnectionScope {
    #[command(flatten)]
    Scopes(Scopes),
}

const SCOPES: Kind = Kind {
    classify: |tenant, of, client, class| {
        let class = class.map(|class| match class {
            Class::Automatic => ScopeClass::Automatic,
            Class::NeedsApproval => ScopeClass::NeedsApproval,
            Class::Never => ScopeClass::Never,
        });
        Ok(classify(tenant, of, client, class, &env())?)
    },
    classes: |tenant, connection| {
        let all = classes(tenant, connection)?;
        Ok(all.into_iter().map(|one| (one.scope, one.class.name(), one.holder)).collect())
    },
};

impl ConnectionScope {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        let ConnectionScope::Scopes(scopes) = self;
        scopes.run(&SCOPES)
    }
}
