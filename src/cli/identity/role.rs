//! `bailiwick role`: who administers, audits and reports, who owns connections and applications, and who may hold a scope
//! that is checked.

use super::super::Failure;
use super::super::show::note;
use super::{InTenant, env};
use bailiwick::identity::{Appointment, ROLES_PAGE_MAX, Tenant};
use clap::Subcommand;
use serde_json::{Value, json};
use std::process::ExitCode;

/// A role is given to `user:ID`, `agent:ID`, `app:ID` or `team:ID`, as `bailiwick check` would ask for it.
#[derive(Subcommand)]
pub(crate) enum Role {
    /// Give somebody a role
    #[command(after_help = EXAMPLES)]
    Give {
        /// Who: user:ID, agent:ID, app:ID or team:ID; for a scope also user:*, agent:* or app:*
        subject: String,
        /// admin, auditor or reporter of the tenant; owner of a connection or an application; allowed of a scope
        role: String,
        /// connection:ID, app:ID or scope:RESOURCE|NAME; the tenant when it is left out
        object: Option<String>,
        #[command(flatten)]
        tenant: InTenant,
    },
    /// Take a role from somebody, who may be gone
    Take {
        /// Who
        subject: String,
        /// The role
        role: String,
        /// What it is of; the tenant when it is left out
        object: Option<String>,
        #[command(flatten)]
        tenant: InTenant,
    },
    /// List who has which role of the tenant, of another object, or which roles somebody was given
    List {
        /// connection:ID, app:ID or scope:RESOURCE|NAME; the tenant when it is left out
        object: Option<String>,
        /// Those that were given to user:ID, agent:ID, app:ID or team:ID
        #[arg(long, value_name = "SUBJECT", conflicts_with = "object")]
        held_by: Option<String>,
        #[command(flatten)]
        tenant: InTenant,
    },
}

const EXAMPLES: &str = "Examples: bailiwick role give user:paul auditor
          bailiwick role give team:sales-ops owner connection:crm
          bailiwick role give user:sarah allowed 'scope:api|discounts'";

/// Every role of an object, or of a subject.
fn all(tenant: &Tenant, object: Option<&str>, held_by: Option<&str>) -> Result<Vec<Appointment>, Failure> {
    let (mut all, mut after) = (Vec::new(), None::<String>);
    let object = object.map_or_else(|| tenant.object(), str::to_owned);
    loop {
        let page = match held_by {
            Some(subject) => tenant.roles_held_by(subject, after.as_deref(), ROLES_PAGE_MAX)?,
            None => tenant.roles_of(&object, after.as_deref(), ROLES_PAGE_MAX)?,
        };
        all.extend(page.roles);
        after = page.next;
        if after.is_none() {
            return Ok(all);
        }
    }
}

fn json_of(role: &Appointment) -> Value {
    json!({"subject": role.subject, "role": role.role.name(), "object": role.shown_object()})
}

impl Role {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        match self {
            Role::Give { subject, role, object, tenant } => {
                let opened = tenant.open()?;
                let given = opened.appointment_named(&role, object.as_deref(), &subject)?;
                if !opened.give_role(&given, &env())? {
                    note("they have it already");
                }
            }
            Role::Take { subject, role, object, tenant } => {
                let opened = tenant.open()?;
                opened.take_role(&opened.appointment_named(&role, object.as_deref(), &subject)?, &env())?;
            }
            Role::List { object, held_by, tenant } => {
                let all = all(&tenant.open()?, object.as_deref(), held_by.as_deref())?;
                let line = |r: &Appointment| vec![r.subject.clone(), r.role.name().to_owned(), r.shown_object()];
                let lines: Vec<Vec<String>> = all.iter().map(line).collect();
                let json = || json!({ "roles": all.iter().map(json_of).collect::<Vec<_>>() });
                tenant.list(&["who", "role", "of"], &lines, json);
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
