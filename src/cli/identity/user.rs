//! `bailiwick user`: create, list, show, invite, suspend and delete users.

use super::super::Failure;
use super::super::show::say;
use super::{InTenant, env, json_file, json_of, time};
use bailiwick::engine::Decision;
use bailiwick::identity::{Held, PAGE_MAX, User as Record};
use clap::Subcommand;
use serde_json::{Map, Value, json};
use std::path::PathBuf;
use std::process::ExitCode;

/// How long an invitation is good.
const LINK_LIFE_S: u64 = 3 * 24 * 3_600;

/// A person of a tenant. Users are named by their id or by what they log in with.
#[derive(Subcommand)]
pub(crate) enum User {
    /// Make a user and print the id
    Create {
        /// What they log in with
        #[arg(required = true)]
        logins: Vec<String>,
        /// An id, which is never given again; a fresh one when it is left out
        #[arg(long)]
        id: Option<String>,
        /// Their name
        #[arg(long)]
        name: Option<String>,
        /// Their profile: a JSON file with claims of OpenID Connect
        #[arg(long, value_name = "FILE")]
        claims: Option<PathBuf>,
        /// Let them administer the tenant
        #[arg(long)]
        admin: bool,
        #[command(flatten)]
        tenant: InTenant,
    },
    /// List the users
    List {
        #[command(flatten)]
        tenant: InTenant,
    },
    /// Print a user, their ways to log in, where they are signed in and what they have allowed
    Show {
        /// Id or login name
        user: String,
        #[command(flatten)]
        tenant: InTenant,
    },
    /// Print a link, good once, by which they set up a way to log in
    Invite {
        /// Id or login name
        user: String,
        #[command(flatten)]
        tenant: InTenant,
    },
    /// Let them do nothing for now
    Suspend {
        /// Id or login name
        user: String,
        #[command(flatten)]
        tenant: InTenant,
    },
    /// Let them again
    Resume {
        /// Id or login name
        user: String,
        #[command(flatten)]
        tenant: InTenant,
    },
    /// End all their sessions, and void all that was handed out for them
    SignOut {
        /// Id or login name
        user: String,
        #[command(flatten)]
        tenant: InTenant,
    },
    /// Delete them; the id stays taken
    Delete {
        /// Id or login name
        user: String,
        /// Do not ask first
        #[arg(long, short)]
        yes: bool,
        #[command(flatten)]
        tenant: InTenant,
    },
}

type Tenant = bailiwick::identity::Tenant;

/// The user of an id or a login name.
pub(super) fn find(tenant: &Tenant, named: &str) -> Result<Held<Record>, Failure> {
    if let Some(user) = tenant.user_by_login(named)? {
        return Ok(user);
    }
    let none = || Failure::Said(format!("there is no user `{named}`; `bailiwick user list` prints those there are"));
    tenant.user(named).map_err(|_| none())
}

fn shown(tenant: &Tenant, user: &Record) -> Result<Value, Failure> {
    let credential = |c: &Held<bailiwick::identity::Credential>| json!({"id": c.id, "kind": c.kind.name(), "label": c.label, "created_at": time(c.created_at)});
    let session = |s: &Held<bailiwick::identity::Session>| {
        json!({
            "id": s.id, "started_at": time(s.started_at), "address": s.address,
            "browser": s.browser, "acr": s.authentication.acr,
        })
    };
    let consents = tenant.consents(&user.id, None)?;
    Ok(json!({
        "id": user.id,
        "logins": user.logins,
        "claims": user.claims,
        "created_at": time(user.created_at),
        "active": tenant.is_active(&user.subject())?,
        "administrator": tenant.check(&user.subject(), "admin", &tenant.object())? == Decision::Allow,
        "credentials": tenant.credentials(&user.id)?.iter().map(credential).collect::<Vec<_>>(),
        "sessions": tenant.live_sessions(user, &env())?.iter().map(session).collect::<Vec<_>>(),
        "consents": consents.iter().map(|c| json_of(&c.value)).collect::<Result<Vec<_>, _>>()?,
    }))
}

fn all(tenant: &Tenant) -> Result<Vec<Held<Record>>, Failure> {
    let mut all: Vec<Held<Record>> = Vec::new();
    loop {
        let page = tenant.users(all.last().map(|user| user.id.clone()).as_deref(), PAGE_MAX)?;
        let last = page.len() < PAGE_MAX;
        all.extend(page);
        if last {
            all.retain(|user| user.deleted_at.is_none());
            return Ok(all);
        }
    }
}

impl User {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        match self {
            User::Create { logins, id, name, claims, admin, tenant } => {
                let opened = tenant.open()?;
                let mut profile = match claims.as_deref().map(json_file).transpose()? {
                    None => Map::new(),
                    Some(Value::Object(profile)) => profile,
                    Some(_) => return Err(Failure::Said("a profile is a JSON object".into())),
                };
                profile.extend(name.map(|name| ("name".to_owned(), name.into())));
                let logins: Vec<&str> = logins.iter().map(String::as_str).collect();
                let env = env();
                let mut change = opened.change(&env);
                let id = id.unwrap_or_else(|| env.id());
                let user = opened.add_user(&mut change, &id, &logins, profile, &env)?;
                if admin {
                    opened.add_administrator(&mut change, &user.subject(), &env);
                }
                change.commit()?;
                if tenant.look.json { say(shown(&opened, &user)?) } else { say(&user.id) }
            }
            User::List { tenant } => {
                let users = all(&tenant.open()?)?;
                let line = |u: &Held<Record>| vec![u.id.clone(), u.logins.join(" "), time(u.created_at)];
                let json = users.iter().map(|u| json_of(&u.value)).collect::<Result<Vec<_>, _>>()?;
                let lines: Vec<Vec<String>> = users.iter().map(line).collect();
                tenant.list(&["id", "logins", "created"], &lines, || json!({ "users": json }));
            }
            User::Show { user, tenant } => {
                let opened = tenant.open()?;
                tenant.show(&shown(&opened, &find(&opened, &user)?.value)?);
            }
            User::Invite { user, tenant } => {
                let opened = tenant.open()?;
                let secret = opened.invite(&find(&opened, &user)?.id, LINK_LIFE_S, &env())?;
                tenant.show(&json!({"link": opened.url(&format!("/invite?code={secret}"))}));
            }
            User::Suspend { user, tenant } => suspend(&tenant, &user, true)?,
            User::Resume { user, tenant } => suspend(&tenant, &user, false)?,
            User::SignOut { user, tenant } => {
                let opened = tenant.open()?;
                opened.sign_out_everywhere(&find(&opened, &user)?.id, "administrator", &env())?;
            }
            User::Delete { user, yes, tenant } => {
                let opened = tenant.open()?;
                let held = find(&opened, &user)?;
                if !yes && !super::super::store::sure(&format!("user `{user}`"), &format!(" ({})", held.id))? {
                    return Ok(ExitCode::from(1));
                }
                opened.delete_user(&held.id, &env())?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn suspend(tenant: &InTenant, named: &str, suspended: bool) -> Result<(), Failure> {
    let opened = tenant.open()?;
    let subject = find(&opened, named)?.subject();
    opened.suspend(&subject, suspended, None, &env())?;
    Ok(())
}
