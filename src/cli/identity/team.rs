//! `bailiwick team`: who belongs to which team, and who is whose manager. All of it is tuples of the system store.

use super::super::Failure;
use super::{InTenant, env};
use bailiwick::engine::{Given, Limits, ListUsersQuery};
use bailiwick::identity::{EventKind, Leaving, Outcome, check_id};
use bailiwick::modules::scim::note_team;
use bailiwick::tuple::ObjectRef;
use clap::Subcommand;
use serde_json::json;
use std::process::ExitCode;

/// A team owns agents, and its members may decide for it.
#[derive(Subcommand)]
pub(crate) enum Team {
    /// Make a user a member
    Add {
        /// The team's id; a team is there when somebody is in it
        team: String,
        /// The user's id
        user: String,
        #[command(flatten)]
        tenant: InTenant,
    },
    /// Make a user no member any more
    Remove {
        /// The team's id
        team: String,
        /// The user's id
        user: String,
        #[command(flatten)]
        tenant: InTenant,
    },
    /// Print the members
    Show {
        /// The team's id
        team: String,
        #[command(flatten)]
        tenant: InTenant,
    },
    /// Say who is a user's manager, who may decide where rules ask for one
    Manager {
        /// The user's id
        user: String,
        /// The manager's id
        manager: String,
        /// They are not any more
        #[arg(long)]
        no_more: bool,
        #[command(flatten)]
        tenant: InTenant,
    },
}

/// Writes or removes one tuple, with its event.
fn relate(tenant: &InTenant, (object, relation, subject): (&str, &str, &str), there: bool) -> Result<(), Failure> {
    let opened = tenant.open()?;
    if there {
        opened.user(subject.split_once(':').map_or(subject, |(_, id)| id))?;
    }
    let env = env();
    let mut change = opened.change(&env);
    if !there && relation == "member" {
        opened.spare_administrator(&mut change, Leaving::Members(&[(object, subject)]))?;
    }
    if there {
        change.relate(object, relation, subject);
        if let Some(team) = object.strip_prefix("team:") {
            note_team(&opened, &mut change, team, &env)?;
        }
    } else {
        change.unrelate(object, relation, subject);
    }
    let event = opened.event(EventKind::AdminChanged, Outcome::Done, &env).resource(object).action(relation);
    change.event(&event.user(subject).detail("there", if there { "yes" } else { "no" }));
    change.commit()?;
    Ok(())
}

impl Team {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        match self {
            Team::Add { team, user, tenant } => {
                check_id(&team)?;
                relate(&tenant, (&format!("team:{team}"), "member", &format!("user:{user}")), true)?;
            }
            Team::Remove { team, user, tenant } => {
                check_id(&team)?;
                relate(&tenant, (&format!("team:{team}"), "member", &format!("user:{user}")), false)?;
            }
            Team::Manager { user, manager, no_more, tenant } => {
                check_id(&user)?;
                relate(&tenant, (&format!("user:{user}"), "manager", &format!("user:{manager}")), !no_more)?;
            }
            Team::Show { team, tenant } => {
                check_id(&team)?;
                let view = tenant.open()?.view()?;
                let query = ListUsersQuery {
                    object: ObjectRef { object_type: "team", id: &team },
                    relation: "member",
                    subject_type: "user",
                    subject_relation: None,
                    given: Given::default(),
                };
                let found = view.list_users(&query, &Limits::default());
                let found = found.map_err(|error| Failure::Said(error.to_string()))?;
                let mut members: Vec<String> = found.iter().map(ToString::to_string).collect();
                members.sort_unstable();
                let lines: Vec<Vec<String>> = members.iter().map(|member| vec![member.clone()]).collect();
                tenant.list(&["member"], &lines, || json!({ "members": members }));
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
