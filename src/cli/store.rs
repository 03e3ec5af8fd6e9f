//! `bailiwick store`: create, list, get and delete stores.

use super::Failure;
use super::place::{At, Place};
use super::question::with_token;
use super::show::{Look, count, note, rows, say, terminal};
use bailiwick::api::proto as pb;
use bailiwick::engine::Engine;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

/// A store is a tenant: models and tuples of its own.
#[derive(Subcommand)]
pub(super) enum Store {
    /// Make a store and print its id
    Create {
        /// Its name; need not be unique
        name: String,
        #[command(flatten)]
        common: Common,
    },
    /// List the stores
    List {
        /// Only those of this name
        #[arg(long)]
        name: Option<String>,
        #[command(flatten)]
        common: Common,
    },
    /// Print one store
    Get {
        /// Its id or name
        store: String,
        #[command(flatten)]
        common: Common,
    },
    /// Delete a store with all that is in it
    Delete {
        /// Its id or name
        store: String,
        /// Do not ask first
        #[arg(long, short)]
        yes: bool,
        #[command(flatten)]
        common: Common,
    },
}

/// What all of them take.
#[derive(Args)]
pub(super) struct Common {
    #[command(flatten)]
    at: At,
    #[command(flatten)]
    look: Look,
}

fn time(at: Option<&prost_types::Timestamp>) -> String {
    at.map(ToString::to_string).unwrap_or_default()
}

fn json(store: &pb::Store) -> Value {
    json!({"id": store.id, "name": store.name, "created_at": time(store.created_at.as_ref())})
}

impl Store {
    pub(super) fn run(&self) -> Result<ExitCode, Failure> {
        match self {
            Store::Create { name, common } => create(name, common)?,
            Store::List { name, common } => list(name.as_deref().unwrap_or(""), common)?,
            Store::Get { store, common } => get(store, common)?,
            Store::Delete { store, yes, common } => return delete(store, *yes, common),
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn create(name: &str, common: &Common) -> Result<(), Failure> {
    // The first store of a directory makes the database.
    let place = match common.at.named_directory()? {
        Some(path) if !path.join("CURRENT").exists() => Place::here(Engine::open(path)?)?,
        _ => common.at.open()?,
    };
    let request = pb::CreateStoreRequest { name: name.to_owned() };
    let answer = place.ask(async |mut client| client.create_store(request).await)?;
    let made = &answer.message;
    if common.look.json {
        let created_at = time(made.created_at.as_ref());
        say(with_token(json!({"id": made.id, "name": made.name, "created_at": created_at}), &answer));
    } else {
        say(&made.id);
    }
    Ok(())
}

fn list(name: &str, common: &Common) -> Result<(), Failure> {
    let place = common.at.open()?;
    let mut stores = Vec::new();
    place.stores(name, |store| {
        stores.push(store);
        true
    })?;
    if common.look.json {
        say(json!({"stores": stores.iter().map(json).collect::<Vec<_>>()}));
        return Ok(());
    }
    let lines: Vec<Vec<String>> =
        stores.iter().map(|s| vec![s.id.clone(), s.name.clone(), time(s.created_at.as_ref())]).collect();
    rows(&["id", "name", "created"], &lines);
    if terminal() {
        note(count(stores.len() as u64, "store"));
    }
    Ok(())
}

fn find(place: &Place, named: &str) -> Result<pb::Store, Failure> {
    let store_id = place.store(Some(named))?;
    let request = pb::GetStoreRequest { store_id };
    let got = place.ask(async |mut client| client.get_store(request).await)?.message;
    let pb::GetStoreResponse { id, name, created_at, updated_at, deleted_at } = got;
    Ok(pb::Store { id, name, created_at, updated_at, deleted_at })
}

fn get(named: &str, common: &Common) -> Result<(), Failure> {
    let store = find(&common.at.open()?, named)?;
    if common.look.json {
        say(json(&store));
    } else {
        rows(&["id", "name", "created"], &[vec![store.id, store.name, time(store.created_at.as_ref())]]);
    }
    Ok(())
}

/// Asks whether to delete something with all that is in it. An error when there is nobody to ask.
pub(super) fn sure(what: &str, more: &str) -> Result<bool, Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::Said(format!("this deletes {what} with all that is in it; add --yes")));
    }
    let mut out = std::io::stderr().lock();
    let _ = write!(out, "Delete {what}{more} with all that is in it? [y/N] ");
    let _ = out.flush(); // a question that cannot be shown is answered no
    let mut answer = String::new();
    let read = std::io::stdin().read_line(&mut answer);
    let sure = read.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes");
    if !sure {
        note("kept");
    }
    Ok(sure)
}

fn delete(named: &str, yes: bool, common: &Common) -> Result<ExitCode, Failure> {
    let place = common.at.open()?;
    let store = find(&place, named)?;
    if !yes && !sure(&format!("store `{}`", store.name), &format!(" ({})", store.id))? {
        return Ok(ExitCode::from(1));
    }
    let request = pb::DeleteStoreRequest { store_id: store.id.clone() };
    let answer = place.ask(async |mut client| client.delete_store(request).await)?;
    if common.look.json {
        say(with_token(json!({"deleted": store.id}), &answer));
    } else {
        say(format!("deleted {}", store.id));
    }
    Ok(ExitCode::SUCCESS)
}
