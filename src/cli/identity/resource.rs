//! `bailiwick resource`: what tokens are for, and its scopes.

use super::super::Failure;
use super::{InTenant, env, json_of};
use bailiwick::identity::{Held, LimitEdits, MACHINE, Resource as Record, Scope, Tenant};
use clap::Subcommand;
use serde_json::{Value, json};
use std::process::ExitCode;

/// Something that tokens are for.
#[derive(Subcommand)]
pub(crate) enum Resource {
    /// Make a resource
    Create {
        /// Its identifier: an absolute URI, which is the `aud` of its tokens
        identifier: String,
        /// Its short name in tuples
        #[arg(long)]
        id: String,
        /// What people call it; its id when it is left out
        #[arg(long)]
        name: Option<String>,
        /// A scope and what it lets one do, as `orders:read=See your orders`
        #[arg(long, value_name = "NAME=TEXT", value_parser = scope)]
        scope: Vec<Scope>,
        /// A scope that only those may hold who have a tuple for it
        #[arg(long, value_name = "NAME=TEXT", value_parser = checked)]
        checked_scope: Vec<Scope>,
        #[command(flatten)]
        tenant: InTenant,
    },
    /// List the resources
    List {
        #[command(flatten)]
        tenant: InTenant,
    },
    /// Print a resource
    Show {
        /// Its identifier
        identifier: String,
        #[command(flatten)]
        tenant: InTenant,
    },
    /// Limit its tokens: how many one client gets in a minute, and how long each is good; what is left out stays
    Limit {
        /// Its identifier
        identifier: String,
        /// How many; `none` for no limit
        #[arg(long, value_name = "COUNT", value_parser = most::<u32>)]
        tokens_per_minute: Option<Most<u32>>,
        /// How long each is good, where the tenant's is longer; `none` for no limit
        #[arg(long, value_name = "SECONDS", value_parser = most::<u64>)]
        access_token_life: Option<Most<u64>>,
        #[command(flatten)]
        tenant: InTenant,
    },
    /// Take a resource away; no token is issued for it from then on
    Delete {
        /// Its identifier
        identifier: String,
        #[command(flatten)]
        tenant: InTenant,
    },
}

/// A limit, or that there is none.
#[derive(Clone, Copy)]
pub(crate) struct Most<T>(Option<T>);

fn most<T: std::str::FromStr>(text: &str) -> Result<Most<T>, String> {
    if text == "none" {
        return Ok(Most(None));
    }
    text.parse().map(|most| Most(Some(most))).map_err(|_| "write a whole number, or `none` for no limit".to_owned())
}

#[expect(clippy::unnecessary_wraps, reason = "clap wants a result")]
fn scope(text: &str) -> Result<Scope, String> {
    let (name, description) = text.split_once('=').unwrap_or((text, text));
    Ok(Scope { name: name.to_owned(), description: description.to_owned(), checked: false })
}

fn checked(text: &str) -> Result<Scope, String> {
    scope(text).map(|scope| Scope { checked: true, ..scope })
}

fn find(tenant: &Tenant, identifier: &str) -> Result<Held<Record>, Failure> {
    let none = || Failure::Said(format!("there is no resource `{identifier}`"));
    tenant.resource(identifier)?.ok_or_else(none)
}

/// A resource with its limits, when it has any.
fn shown(tenant: &Tenant, resource: &Record) -> Result<Value, Failure> {
    let mut value = json_of(resource)?;
    let limits = tenant.token_limits(&resource.identifier)?;
    let said = [("tokens_per_minute", limits.per_minute.map(u64::from)), ("access_token_s", limits.life_s)];
    if let Some(members) = value.as_object_mut() {
        members.extend(said.into_iter().filter_map(|(name, most)| Some((name.to_owned(), most?.into()))));
    }
    Ok(value)
}

impl Resource {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        match self {
            Resource::Create { identifier, id, name, scope, checked_scope, tenant } => {
                let env = env();
                let resource = Record {
                    name: name.unwrap_or_else(|| id.clone()),
                    id,
                    identifier,
                    scopes: scope.into_iter().chain(checked_scope).collect(),
                    created_at: env.seconds(),
                };
                tenant.open()?.put_resource(&resource, &env)?;
                tenant.show(&json_of(&resource)?);
            }
            Resource::List { tenant } => {
                let opened = tenant.open()?;
                let resources = opened.resources()?;
                let names = |r: &Held<Record>| r.scopes.iter().map(|s| s.name.clone()).collect::<Vec<_>>().join(" ");
                let line = |r: &Held<Record>| vec![r.id.clone(), r.identifier.clone(), names(r)];
                let lines: Vec<Vec<String>> = resources.iter().map(line).collect();
                let json = resources.iter().map(|r| shown(&opened, r)).collect::<Result<Vec<_>, _>>()?;
                tenant.list(&["id", "identifier", "scopes"], &lines, || json!({ "resources": json }));
            }
            Resource::Show { identifier, tenant } => {
                let opened = tenant.open()?;
                let held = find(&opened, &identifier)?;
                tenant.show(&shown(&opened, &held)?);
            }
            Resource::Limit { identifier, tokens_per_minute, access_token_life, tenant } => {
                let opened = tenant.open()?;
                let held = find(&opened, &identifier)?;
                let per_minute = tokens_per_minute.map(|Most(most)| most);
                let edits = LimitEdits { per_minute, life_s: access_token_life.map(|Most(most)| most) };
                opened.edit_limits(&identifier, edits, MACHINE, &env())?;
                tenant.show(&shown(&opened, &held)?);
            }
            Resource::Delete { identifier, tenant } => tenant.open()?.remove_resource(&identifier, &env())?,
        }
        Ok(ExitCode::SUCCESS)
    }
}
