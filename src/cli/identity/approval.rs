//! `bailiwick approval`: types of details, how clients ask, and what was asked and decided.

use super::super::Failure;
use super::{InTenant, env, json_file, json_of, time};
use bailiwick::identity::{MACHINE, PAGE_MAX};
use bailiwick::modules::approval::{
    ApprovalRequest, Backchannel, Delivery, State, put_backchannel, put_type, remove_type, rotate_push_key, types,
};
use clap::Subcommand;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::ExitCode;

/// What a person has to allow before an agent does it.
#[derive(Subcommand)]
pub(crate) enum Approval {
    /// Make or change a type of details, from a JSON file (docs/approvals.md)
    PutType {
        /// The file; its member `name` is the type's name
        file: PathBuf,
        #[command(flatten)]
        tenant: InTenant,
    },
    /// List the types of details
    Types {
        #[command(flatten)]
        tenant: InTenant,
    },
    /// Take a type of details away
    RemoveType {
        /// Its name
        name: String,
        #[command(flatten)]
        tenant: InTenant,
    },
    /// Say how a client asks and is told; it polls when nothing is said
    Client {
        /// Its id
        client: String,
        /// Call this https URL when a decision was made
        #[arg(long, value_name = "URL")]
        ping: Option<String>,
        /// It must sign its requests
        #[arg(long)]
        signed: bool,
        #[command(flatten)]
        tenant: InTenant,
    },
    /// List requests, the newest last
    List {
        /// Only those that wait for a decision
        #[arg(long)]
        open: bool,
        #[command(flatten)]
        tenant: InTenant,
    },
    /// Make another key for Web Push: browsers are told by the one before until their people turn notices on again
    RotatePushKey {
        /// Throw older keys away: browsers that are bound to them are told no longer, until their people turn notices on again
        #[arg(long)]
        drop_old: bool,
        #[command(flatten)]
        tenant: InTenant,
    },
    /// Print a request, what was shown, and what became of it
    Show {
        /// Its id
        id: String,
        #[command(flatten)]
        tenant: InTenant,
    },
}

fn state(request: &ApprovalRequest) -> &'static str {
    match &request.state {
        State::Open if request.is_open(env().seconds()) => "open",
        State::Open | State::Expired => "expired",
        State::Approved(approved) if approved.grant.is_some() => "fetched",
        State::Approved(_) => "approved",
        State::Denied { .. } => "denied",
    }
}

fn by(request: &ApprovalRequest) -> String {
    match &request.state {
        State::Approved(approved) => approved.by.clone(),
        State::Denied { by, .. } => by.clone(),
        State::Open | State::Expired => String::new(),
    }
}

/// A request without what is secret in it.
fn shown(request: &ApprovalRequest) -> Result<Value, Failure> {
    Ok(json!({
        "id": request.id,
        "state": state(request),
        "asks": request.asks,
        "user": request.user,
        "by": by(request),
        "shown": json_of(&request.shown)?,
        "shown_hash": request.shown_hash,
        "digest": request.digest,
        "who": request.who.iter().cloned().map(String::from).collect::<Vec<_>>(),
        "details": request.details,
        "scopes": request.scopes,
        "created_at": time(request.created_at),
        "expires_at": time(request.expires_at),
    }))
}

fn list(tenant: &InTenant, open: bool) -> Result<(), Failure> {
    let opened = tenant.open()?;
    let mut all: Vec<ApprovalRequest> = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let page = opened.list::<ApprovalRequest>(&[], after.as_deref(), PAGE_MAX)?;
        let last = page.len() < PAGE_MAX;
        after = page.last().map(|held| held.id.clone());
        all.extend(page.into_iter().map(|held| held.value).filter(|request| !open || state(request) == "open"));
        if last {
            break;
        }
    }
    let title = |request: &ApprovalRequest| request.shown.details.first().map(|d| d.title.clone()).unwrap_or_default();
    let line = |r: &ApprovalRequest| {
        vec![r.id.clone(), state(r).to_owned(), r.asks.clone(), r.user.clone(), by(r), title(r), time(r.created_at)]
    };
    let lines: Vec<Vec<String>> = all.iter().map(line).collect();
    let json = all.iter().map(shown).collect::<Result<Vec<_>, _>>()?;
    tenant.list(&["id", "state", "asks", "for", "by", "what", "asked"], &lines, || json!({ "approvals": json }));
    Ok(())
}

impl Approval {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        match self {
            Approval::PutType { file, tenant } => {
                let wanted = serde_json::from_value(json_file(&file)?);
                let wanted = wanted.map_err(|error| Failure::Said(format!("{}: {error}", file.display())))?;
                let made = put_type(&tenant.open()?, &wanted, MACHINE, &env())?;
                tenant.show(&json!({"name": made.name, "version": made.version}));
            }
            Approval::Types { tenant } => {
                let all = types(&tenant.open()?)?;
                let line = |kind: &bailiwick::modules::approval::DetailType| {
                    vec![kind.name.clone(), kind.version.to_string(), kind.title.clone(), time(kind.changed_at)]
                };
                let lines: Vec<Vec<String>> = all.iter().map(|held| line(held)).collect();
                let json = all.iter().map(|held| json_of(&held.value)).collect::<Result<Vec<_>, _>>()?;
                tenant.list(&["name", "version", "title", "changed"], &lines, || json!({ "types": json }));
            }
            Approval::RemoveType { name, tenant } => remove_type(&tenant.open()?, &name, MACHINE, &env())?,
            Approval::Client { client, ping, signed, tenant } => {
                let delivery = ping.map_or(Delivery::Poll, |endpoint| Delivery::Ping { endpoint });
                let wanted = Backchannel { delivery, signed_requests: signed };
                put_backchannel(&tenant.open()?, &client, &wanted, MACHINE, &env())?;
            }
            Approval::RotatePushKey { drop_old, tenant } => {
                let key = rotate_push_key(&tenant.open()?, drop_old, MACHINE, &env())?;
                tenant.show(&json!({ "key": key }));
            }
            Approval::List { open, tenant } => list(&tenant, open)?,
            Approval::Show { id, tenant } => {
                let none =
                    || Failure::Said(format!("there is no request `{id}`; `bailiwick approval list` prints those"));
                if ulid::Ulid::from_string(&id).is_err() {
                    return Err(none());
                }
                let held = tenant.open()?.get::<ApprovalRequest>(&[&id])?.ok_or_else(none)?;
                tenant.show(&shown(&held)?);
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
