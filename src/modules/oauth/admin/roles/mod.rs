//! Roles, as an administrator gives and takes them. Nobody gives more than they hold: who asks is an administrator by Check, and
//! who gets a role can do no more with it at the administration than the token that gives it.

pub mod http;

use super::clients::{asked_here, covers};
use crate::identity::{
    Answer, Appointment, Env, ErrorCode, Examined, Refusal, Resource, Role, Scope, Tenant, scope_object,
};
use serde_json::{Value, json};

/// The scope that reads roles.
pub const ROLES_READ: &str = "roles:read";
/// The scope that gives and takes roles, and reads them.
pub const ROLES_WRITE: &str = "roles:write";

/// The scope by which a reporter reports (`modules/agent`).
const REPORT: &str = "agents:report";
/// The scopes about connections (`modules/vault`).
const CONNECTIONS: &str = "connections:";

/// A role as it is answered.
fn shown(tenant: &Tenant, held: &Appointment) -> Answer<Value> {
    let (kind, id) = held.subject.split_once(':').unwrap_or_default();
    // A team and everybody of a kind are none who act.
    let active = match kind {
        "user" | "agent" | "app" if id != "*" => Some(tenant.is_active(&held.subject)?),
        _ => None,
    };
    let (role, object) = (held.role.name(), held.shown_object());
    Ok(json!({"subject": held.subject, "role": role, "object": object, "active": active}))
}

/// Whether a scope of the administration is of use to who has a role, which without it would be of none or of less.
/// `here` is the id of the administration's resource.
fn opens(held: &Appointment, here: &str, scope: &str) -> bool {
    match held.role {
        Role::Administrator => true,
        Role::Auditor => scope.ends_with(":read"),
        Role::Reporter => scope == REPORT,
        Role::ConnectionOwner => scope.starts_with(CONNECTIONS),
        Role::AppOwner => false,
        Role::ScopeHolder => held.shown_object() == format!("scope:{here}|{scope}"),
    }
}

/// The scopes of the administration for which a subject may ask: a client for those that it has, and a person for all, since
/// any client may ask for them.
fn reachable(tenant: &Tenant, subject: &str) -> Answer<Vec<String>> {
    match subject.split_once(':') {
        Some(("agent" | "app", id)) if id != "*" => match tenant.client(id) {
            Ok(client) => asked_here(tenant, &client),
            Err(refusal) if refusal.error == ErrorCode::NotFound => Ok(Vec::new()),
            Err(refusal) => Err(refusal),
        },
        _ => {
            let here = tenant.resource(&tenant.url("/admin"))?;
            let scopes = here.as_ref().map(|held| held.scopes.as_slice()).unwrap_or_default();
            Ok(scopes.iter().map(|scope| scope.name.clone()).collect())
        }
    }
}

/// Refuses a token whose scopes do not cover what the role opens.
fn within(tenant: &Tenant, token: &Examined, held: &Appointment) -> Answer<()> {
    let here = tenant.resource(&tenant.url("/admin"))?.map(|held| held.id.clone()).unwrap_or_default();
    let reachable = reachable(tenant, &held.subject)?;
    let more = reachable.iter().find(|scope| opens(held, &here, scope) && !covers(&token.scopes, scope));
    let Some(scope) = more else { return Ok(()) };
    let text = format!(
        "as `{}` of `{}`, `{}` could use `{scope}`, which this token has not; use one that has it",
        held.role.name(),
        held.shown_object(),
        held.subject
    );
    Err(Refusal::new(ErrorCode::AccessDenied, "role.more", text))
}

/// Gives a role that the token may give.
fn give(tenant: &Tenant, token: &Examined, held: &Appointment, env: &Env<'_>) -> Answer<Value> {
    within(tenant, token, held)?;
    tenant.give_role(held, env)?;
    Ok(json!({"role": shown(tenant, held)?}))
}

/// Refuses that scopes of a resource are checked no more, unless the token may give each of them: what is not checked everybody
/// holds, as if all were given the role. One that is taken away counts too, since it could come back without the check.
///
/// # Errors
/// The token has not the scope that gives roles, or does not cover what this opens.
pub(super) fn may_open(tenant: &Tenant, token: &Examined, before: &Resource, wanted: &[Scope]) -> Answer<()> {
    let stays = |checked: &Scope| wanted.iter().any(|scope| scope.name == checked.name && scope.checked);
    for scope in before.scopes.iter().filter(|scope| scope.checked && !stays(scope)) {
        if !covers(&token.scopes, ROLES_WRITE) {
            let text = format!(
                "`{}` is checked, and without the check everybody holds it; this takes a token that has `{ROLES_WRITE}` too",
                scope.name
            );
            return Err(Refusal::new(ErrorCode::AccessDenied, "resource.unchecked", text));
        }
        let object = scope_object(&before.id, &scope.name);
        within(tenant, token, &Appointment { role: Role::ScopeHolder, object, subject: "user:*".to_owned() })?;
    }
    Ok(())
}
