//! The commands about identities: `init`, `tenant`, `user`, `team`, `role`, `client`, `agent`, `approval`, `resource`,
//! `claim`, `provider`, `connection`, and what they trust. They open the database's directory, so no server may have it open.

mod agent;
mod approval;
mod claim;
mod client;
mod connection;
mod explain;
mod init;
mod mcp;
mod provider;
mod resource;
mod revocation;
mod role;
mod scope;
mod team;
mod tenant;
mod trust;
mod user;
mod vault;
mod workload;

pub(super) use agent::Agent;
pub(super) use approval::Approval;
pub(super) use claim::Claim;
pub(super) use client::Client;
pub(super) use connection::{ConnectionScope, ManagedConnection};
pub(super) use explain::{EXAMPLES as EXPLAIN_EXAMPLES, Explain};
pub(super) use init::Init;
pub(super) use mcp::Mcp;
pub(super) use provider::Provider;
pub(super) use resource::Resource;
pub(super) use revocation::RevocationPlace;
pub(super) use role::Role;
pub(super) use team::Team;
pub(super) use tenant::Tenant;
pub(super) use trust::Trust;
pub(super) use user::User;
pub(super) use vault::{CONNECTION_EXAMPLES, Connection};
pub(super) use workload::Workloads;

use super::Failure;
use super::place::{At, open as open_directory};
use super::ring::ring;
use super::show::{Look, rows, say};
use crate::config::{self, variable};
use bailiwick::engine::Engine;
use bailiwick::identity::{Env, Identity, MACHINE, Seconds};
use bailiwick::modules::agent::Histories;
use bailiwick::secrets::KeyRing;
use bailiwick::wire::{now, random};
use clap::Args;
use serde_json::Value;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where the identities are.
#[derive(Args, Clone)]
#[command(next_help_heading = "Where")]
pub(super) struct In {
    #[command(flatten)]
    at: At,
    /// The file of the keys that seal secrets [env: BAILIWICK_IDENTITY_KEY_RING]
    #[arg(long, value_name = "FILE")]
    identity_key_ring: Option<PathBuf>,
}

/// Where, and which tenant.
#[derive(Args, Clone)]
pub(super) struct InTenant {
    #[command(flatten)]
    place: In,
    /// The tenant, by name; may be left out when there is one only [env: BAILIWICK_TENANT]
    #[arg(long, help_heading = "Where")]
    tenant: Option<String>,
    #[command(flatten)]
    look: Look,
}

/// What rules take from outside. Events say that it was a command on this machine.
pub(super) fn env() -> Env<'static> {
    Env { by: Some(MACHINE), ..Env::new(now(), &random) }
}

/// Opens the identities of a database, with the model of this program, and the histories of its agents kept.
pub(super) fn open(engine: Engine, ring: KeyRing) -> Result<Identity, Failure> {
    let identity = Identity::open(engine, ring, &env())?;
    identity.set_historian(Arc::new(Histories));
    Ok(identity)
}

/// The key ring of a file, or the one that the environment or the settings file names.
pub(super) fn named_ring(file: Option<PathBuf>) -> Result<KeyRing, Failure> {
    let (mut file, mut command) = (file, None);
    if file.is_none() {
        command = variable("BAILIWICK_IDENTITY_KEY_RING_COMMAND");
    }
    if file.is_none() && command.is_none() {
        let config = config::of_file()?;
        (file, command) = (config.identity_key_ring.0, Some(config.identity_key_ring_command.0));
    }
    let none = || {
        let text = "where is the key ring? Say --identity-key-ring FILE; `bailiwick init` makes one";
        Failure::Said(text.into())
    };
    ring(file.as_deref(), command.as_deref().unwrap_or_default())?.ok_or_else(none)
}

impl In {
    fn ring(&self) -> Result<KeyRing, Failure> {
        let named = self.identity_key_ring.clone();
        named_ring(named.or_else(|| variable("BAILIWICK_IDENTITY_KEY_RING").map(PathBuf::from)))
    }

    fn open(&self) -> Result<Identity, Failure> {
        let ring = self.ring()?;
        open(open_directory(&self.at.directory("a command about identities")?)?, ring)
    }
}

impl InTenant {
    /// The tenant that is meant.
    fn open(&self) -> Result<bailiwick::identity::Tenant, Failure> {
        let identity = self.place.open()?;
        if let Some(name) = self.tenant.clone().or_else(|| variable("BAILIWICK_TENANT")) {
            let none = format!("there is no tenant `{name}`; `bailiwick tenant list` prints those there are");
            return identity.named(&name).map_err(|_| Failure::Said(none));
        }
        let mut tenants = identity.tenants();
        match (tenants.pop(), tenants.is_empty()) {
            (Some(only), true) => Ok(only),
            (None, _) => Err(Failure::Said("there is no tenant yet; `bailiwick tenant create` makes one".into())),
            (Some(_), false) => Err(Failure::Said("there are several tenants; say which with --tenant NAME".into())),
        }
    }

    /// Prints one thing: a line for each member, or JSON.
    fn show(&self, value: &Value) {
        show(self.look, value);
    }

    /// Prints a list.
    fn list(&self, head: &[&str], lines: &[Vec<String>], json: impl FnOnce() -> Value) {
        if self.look.json { say(json()) } else { rows(head, lines) }
    }
}

fn show(look: Look, value: &Value) {
    if look.json {
        return say(value);
    }
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let members = value.as_object().into_iter().flatten();
    let lines: Vec<Vec<String>> = members.map(|(name, value)| vec![name.clone(), text(value)]).collect();
    rows(&["", ""], &lines);
}

/// A record as JSON.
fn json_of(record: &impl serde::Serialize) -> Result<Value, Failure> {
    serde_json::to_value(record).map_err(|error| Failure::Said(error.to_string()))
}

/// Two names with `=` between them; one alone stands for both.
#[expect(clippy::unnecessary_wraps, reason = "clap wants a result")]
fn pair(text: &str) -> Result<(String, String), String> {
    let (from, to) = text.split_once('=').unwrap_or((text, text));
    Ok((from.to_owned(), to.to_owned()))
}

/// A time for a person.
fn time(seconds: Seconds) -> String {
    let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
    prost_types::Timestamp { seconds, nanos: 0 }.to_string()
}

/// JSON in a file.
fn json_file(path: &Path) -> Result<Value, Failure> {
    const BYTES_MAX: u64 = 1 << 20;
    let unreadable = |reason| Failure::File { path: path.to_owned(), reason };
    let mut text = String::new();
    std::fs::File::open(path).map_err(unreadable)?.take(BYTES_MAX).read_to_string(&mut text).map_err(unreadable)?;
    serde_json::from_str(&text).map_err(|error| Failure::Said(format!("{}: {error}", path.display())))
}
