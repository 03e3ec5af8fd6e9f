//! `bailiwick tenant`: create, list, show, suspend and resume tenants; their keys and settings.

use super::super::Failure;
use super::super::place::At;
use super::super::show::{rows, say};
use super::{In, InTenant, Look, env, json_file, json_of, open, time};
use bailiwick::engine::Engine;
use bailiwick::identity::{KeyState, TenantSettings};
use clap::Subcommand;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::ExitCode;

/// A tenant is an issuer: a URL, keys, users and clients of its own.
#[derive(Subcommand)]
pub(crate) enum Tenant {
    /// Make a tenant
    Create {
        /// Its name: small letters, digits and `-`; it cannot be changed
        name: String,
        /// Its issuer, byte for byte as it will stand in tokens; with a slash at the end, or without
        #[arg(long, value_name = "URL")]
        issuer: String,
        #[command(flatten)]
        place: In,
        #[command(flatten)]
        look: Look,
    },
    /// List the tenants
    List {
        #[command(flatten)]
        place: In,
        #[command(flatten)]
        look: Look,
    },
    /// Print a tenant with its settings and keys
    Show {
        #[command(flatten)]
        tenant: InTenant,
    },
    /// Change settings, by a JSON file with those that are not the default
    Set {
        /// The file
        file: PathBuf,
        #[command(flatten)]
        tenant: InTenant,
    },
    /// Let the tenant's own servers (docs/mcp.md) ask a store
    AttachStore {
        /// The store, by id or name
        store: String,
        #[command(flatten)]
        tenant: InTenant,
    },
    /// Let them ask it no longer
    DetachStore {
        /// The store, by id or name
        store: String,
        #[command(flatten)]
        tenant: InTenant,
    },
    /// Let nobody of the tenant do anything for now
    Suspend {
        #[command(flatten)]
        tenant: InTenant,
    },
    /// Let them again
    Resume {
        #[command(flatten)]
        tenant: InTenant,
    },
    /// Publish the next signing key, which signs when every cache has it
    RotateKeys {
        #[command(flatten)]
        tenant: InTenant,
    },
    /// Throw all keys away and take a new one at once: every token is void
    ReplaceKeys {
        /// Do not ask first
        #[arg(long, short)]
        yes: bool,
        #[command(flatten)]
        tenant: InTenant,
    },
}

fn shown(tenant: &bailiwick::identity::Tenant) -> Result<Value, Failure> {
    let record = tenant.record();
    let state = |state| match state {
        KeyState::Next => "next",
        KeyState::Current => "current",
        KeyState::Old => "old",
    };
    let keys: Vec<Value> = tenant
        .signing_keys(&env())?
        .iter()
        .map(|(key, at)| json!({"kid": key.kid, "alg": key.algorithm(), "state": state(*at), "signs_from": time(key.signs_from)}))
        .collect();
    Ok(json!({
        "name": record.name,
        "number": record.number,
        "issuer": record.issuer,
        "created_at": time(record.created_at),
        "keys": keys,
        "stores": tenant.data_stores()?.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "settings": json_of(&record.settings)?,
    }))
}

fn attach(tenant: &InTenant, named: &str, attached: bool) -> Result<(), Failure> {
    let opened = tenant.open()?;
    let store = super::super::store(opened.engine(), Some(named))?;
    Ok(opened.attach_store(store, attached, &env())?)
}

fn create(name: &str, issuer: &str, place: &In, look: Look) -> Result<(), Failure> {
    // The first tenant of a directory makes the database.
    let path = At::directory(&place.at, "a command about identities")?;
    let identity = open(Engine::open(path)?, place.ring()?)?;
    let tenant = identity.create_tenant(name, issuer, &TenantSettings::default(), &env())?;
    if look.json {
        say(shown(&tenant)?)
    } else {
        say(tenant.name())
    }
    Ok(())
}

impl Tenant {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        match self {
            Tenant::Create { name, issuer, place, look } => create(&name, &issuer, &place, look)?,
            Tenant::List { place, look } => {
                let tenants = place.open()?.tenants();
                if look.json {
                    let list = tenants.iter().map(shown).collect::<Result<Vec<_>, _>>()?;
                    say(json!({ "tenants": list }));
                } else {
                    let line = |t: &bailiwick::identity::Tenant| vec![t.name().to_owned(), t.issuer().to_owned()];
                    rows(&["name", "issuer"], &tenants.iter().map(line).collect::<Vec<_>>());
                }
            }
            Tenant::Show { tenant } => tenant.show(&shown(&tenant.open()?)?),
            Tenant::Set { file, tenant } => {
                let settings: TenantSettings = serde_json::from_value(json_file(&file)?)
                    .map_err(|error| Failure::Said(format!("{}: {error}", file.display())))?;
                tenant.show(&shown(&tenant.open()?.change_settings(settings, &env())?)?);
            }
            Tenant::AttachStore { store, tenant } => attach(&tenant, &store, true)?,
            Tenant::DetachStore { store, tenant } => attach(&tenant, &store, false)?,
            Tenant::Suspend { tenant } => {
                tenant.open()?.suspend_all(true, &env())?;
            }
            Tenant::Resume { tenant } => {
                tenant.open()?.suspend_all(false, &env())?;
            }
            Tenant::RotateKeys { tenant } => {
                let key = tenant.open()?.rotate_keys(&env())?;
                tenant.show(&json!({"kid": key.kid, "signs_from": time(key.signs_from)}));
            }
            Tenant::ReplaceKeys { yes, tenant } => {
                let opened = tenant.open()?;
                if !yes && !super::super::store::sure(&format!("every token of `{}`", opened.name()), "")? {
                    return Ok(ExitCode::from(1));
                }
                tenant.show(&json!({"kid": opened.replace_keys(&env())?.kid}));
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
