//! `bailiwick approval`: types of details, how clients ask, and what was asked and decided.

use super::super::Failure;
use super::{InTenant, env, json_file, json_of, time};
use bailiwick::identity::{ErrorCode, MACHINE, PAGE_MAX};
use bailiwick::modules::approval::{
    ApprovalRequest, Backchannel, Delivery, decided_by, put_backchannel, put_type, remove_type, request_json,
    request_of, requests, rotate_push_key, state_name, types,
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

/// A request without what is secret in it, with times for people.
fn shown(request: &ApprovalRequest) -> Value {
    let mut value = request_json(request, env().seconds());
    if let Some(members) = value.as_object_mut() {
        members.insert("created_at".to_owned(), time(request.created_at).into());
        members.insert("expires_at".to_owned(), time(request.expires_at).into());
    }
    value
}

fn list(tenant: &InTenant, open: bool) -> Result<(), Failure> {
    let (opened, now) = (tenant.open()?, env().seconds());
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let (page, next) = requests(&opened, open, after, PAGE_MAX, now)?;
        all.extend(page);
        after = next;
        if after.is_none() {
            break;
        }
    }
    let title = |request: &ApprovalRequest| request.shown.details.first().map(|d| d.title.clone()).unwrap_or_default();
    let line = |r: &ApprovalRequest| {
        let (state, by) = (state_name(r, now).to_owned(), decided_by(r).to_owned());
        vec![r.id.clone(), state, r.asks.clone(), r.user.clone(), by, title(r), time(r.created_at)]
    };
    let lines: Vec<Vec<String>> = all.iter().map(line).collect();
    let json = || json!({ "approvals": all.iter().map(shown).collect::<Vec<_>>() });
    tenant.list(&["id", "state", "asks", "for", "by", "what", "asked"], &lines, json);
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
                let found = request_of(&tenant.open()?, &id);
                let found =
                    found.map_err(|refusal| if refusal.error == ErrorCode::NotFound { none() } else { refusal.into() });
                tenant.show(&shown(&found?));
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
