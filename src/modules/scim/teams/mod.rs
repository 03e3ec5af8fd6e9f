//! Teams and managers, as an administrator changes them who has no directory. All of it is the tuples that SCIM's groups are:
//! what is done here, a directory sees there.

pub mod http;

use super::groups::{belongs, delete, load};
use super::records::Team;
use super::users::is_id;
use super::{Fault, MEMBERS_MAX, note_team};
use crate::identity::{Answer, Env, ErrorCode, EventKind, Held, Leaving, Outcome, Refusal, Tenant, again, check_id};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::ops::Bound;

/// The scope that reads teams.
pub const TEAMS_READ: &str = "teams:read";
/// The scope that changes teams and managers, and reads teams.
pub const TEAMS_WRITE: &str = "teams:write";
/// Longest name of a team.
const NAME_BYTES_MAX: usize = 256;

/// A fault as the administration answers it.
fn refusal(fault: Fault) -> Refusal {
    if fault.status == 404 { Refusal::not_found("team") } else { fault.into() }
}

/// A team that is wanted.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewTeam {
    /// Its id; a fresh one when it is left out.
    id: Option<String>,
    /// What it is called; its id when it is left out.
    name: Option<String>,
}

/// Makes a team without members.
fn create(tenant: &Tenant, wanted: &NewTeam, env: &Env<'_>) -> Answer<Value> {
    let id = wanted.id.clone().unwrap_or_else(|| env.id());
    check_id(&id)?;
    let name = wanted.name.as_deref().map_or(id.as_str(), str::trim);
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        let text = format!("the name of a team has 1 to {NAME_BYTES_MAX} bytes");
        return Err(Refusal::new(ErrorCode::InvalidRequest, "team.name", text));
    }
    if load(tenant, &id).is_ok() {
        return Err(Refusal::new(ErrorCode::Conflict, "team.taken", "there is a team of this id already"));
    }
    let now = env.seconds();
    let team = Team { version: 1, display_name: name.to_owned(), external_id: None, created_at: now, changed_at: now };
    let mut change = tenant.change(env);
    change.create(&[&id], &team);
    let event = tenant.event(EventKind::AdminChanged, Outcome::Done, env).resource(format!("team:{id}"));
    change.event(&event.action("team.create"));
    change.commit()?;
    Ok(shown(&id, &team))
}

fn shown(id: &str, team: &Team) -> Value {
    json!({"id": id, "name": team.display_name, "created_at": team.created_at})
}

/// The teams that have a record, in the order of their ids, behind `after`.
fn list(tenant: &Tenant, after: Option<&str>, max: usize) -> Answer<Value> {
    after.map(check_id).transpose()?;
    let page = tenant.list::<Team>(&[], after, max)?;
    let next = (page.len() == max).then(|| page.last().map(Held::last)).flatten();
    let teams: Vec<Value> = page.iter().map(|held| shown(&held.last(), held)).collect();
    Ok(json!({"teams": teams, "next": next}))
}

/// A team with a page of its members, in order.
fn show(tenant: &Tenant, id: &str, after: Option<String>, max: usize) -> Answer<Value> {
    let loaded = load(tenant, id).map_err(refusal)?;
    let name = loaded.team.as_ref().map_or(id, |team| &team.display_name);
    let start = after.map_or(Bound::Unbounded, Bound::Excluded);
    let page: Vec<&String> = loaded.members.range((start, Bound::Unbounded)).take(max).collect();
    let next = (page.len() == max).then(|| page.last().copied()).flatten();
    let created_at = loaded.team.as_ref().map(|team| team.created_at);
    Ok(json!({"id": id, "name": name, "created_at": created_at, "members": page, "next": next}))
}

/// A member as tuples have it: `user:ID`, or `team:ID#member`.
fn member_of(subject: &str) -> Answer<String> {
    let refuse = || {
        let text = format!("`{subject}` cannot be a member; write `user:ID` or `team:ID`");
        Refusal::new(ErrorCode::InvalidRequest, "team.member", text)
    };
    match subject.split_once(':').ok_or_else(refuse)? {
        ("user", id) if is_id(id) => Ok(format!("user:{id}")),
        ("team", id) => {
            let id = id.strip_suffix("#member").unwrap_or(id);
            if is_id(id) { Ok(format!("team:{id}#member")) } else { Err(refuse()) }
        }
        _ => Err(refuse()),
    }
}

/// Sees that who is to be a member of a team is there, and is not the team.
fn may_join(tenant: &Tenant, team: &str, member: &str) -> Answer<()> {
    match member.strip_prefix("team:").and_then(|member| member.strip_suffix("#member")) {
        Some(other) if other == team => {
            Err(Refusal::new(ErrorCode::InvalidRequest, "team.member", "a team is no member of itself"))
        }
        Some(other) => load(tenant, other).map(|_| ()).map_err(refusal),
        None => tenant.user(member.strip_prefix("user:").unwrap_or(member)).map(|_| ()),
    }
}

/// Puts somebody into a team, or takes them out. A team is there when somebody is in it. Nothing happens when it is so.
fn set_member(tenant: &Tenant, (id, subject): (&str, &str), there: bool, env: &Env<'_>) -> Answer<Value> {
    check_id(id)?;
    let member = member_of(subject)?;
    if there {
        may_join(tenant, id, &member)?;
    }
    again(|| {
        let members = match load(tenant, id) {
            Ok(loaded) => loaded.members,
            Err(fault) if fault.status == 404 && there => BTreeSet::new(),
            Err(fault) => return Err(refusal(fault)),
        };
        if members.contains(&member) == there {
            return Ok(());
        }
        if there && members.len() >= MEMBERS_MAX {
            let text = format!("a team has at most {MEMBERS_MAX} members");
            return Err(Refusal::new(ErrorCode::Conflict, "team.members", text));
        }
        let (mut change, object) = (tenant.change(env), format!("team:{id}"));
        if there {
            change.relate(&object, "member", &member);
            note_team(tenant, &mut change, id, env)?;
        } else {
            tenant.spare_administrator(&mut change, Leaving::Members(&[(&object, &member)]))?;
            change.unrelate(&object, "member", &member);
        }
        belongs(tenant, &mut change, (&object, &member, env.by.unwrap_or_default()), there, env);
        change.commit()?;
        Ok(())
    })?;
    Ok(json!({"team": id, "member": member, "there": there}))
}

/// Takes a team away: nobody is in it any more, and it is in no other.
fn remove(tenant: &Tenant, id: &str, env: &Env<'_>) -> Answer<Value> {
    let loaded = load(tenant, id).map_err(refusal)?;
    delete(tenant, &loaded, (env.by.unwrap_or_default(), "team.delete"), env).map_err(refusal)?;
    Ok(json!({ "removed": id }))
}

/// Says that somebody is a person's manager, or no longer.
fn set_manager(tenant: &Tenant, (id, manager): (&str, &str), there: bool, env: &Env<'_>) -> Answer<Value> {
    let known = |id: &str| if is_id(id) { Ok(()) } else { Err(Refusal::not_found("user")) };
    known(id)?;
    known(manager)?;
    if there {
        tenant.user(id)?;
        tenant.user(manager)?;
        if id == manager {
            let text = "nobody is their own manager";
            return Err(Refusal::new(ErrorCode::InvalidRequest, "user.manager", text));
        }
    }
    let (subject, object) = (format!("user:{manager}"), format!("user:{id}"));
    let mut change = tenant.change(env);
    if there {
        change.relate(&object, "manager", &subject);
    } else {
        change.unrelate(&object, "manager", &subject);
    }
    let event = tenant.event(EventKind::AdminChanged, Outcome::Done, env).resource(&object).action("manager");
    change.event(&event.user(&subject).detail("there", if there { "yes" } else { "no" }));
    change.commit()?;
    Ok(json!({"user": id, "manager": manager, "there": there}))
}
