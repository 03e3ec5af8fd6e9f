//! What an administrator does for people whom no directory pushes: makes, lists, changes, suspends and deletes them; invites who cannot
//! sign in, and signs out who should not be signed in. A directory pushes people by SCIM, which is another module.

pub mod http;

use super::present;
use crate::identity::{
    Answer, Credential, Env, ErrorCode, Held, INVITATION_LIFE_MAX_S, PAGE_MAX, Refusal, Seconds, Session, Tenant, User,
    again, check_id,
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// The scope that reads people.
pub const USERS_READ: &str = "users:read";
/// The scope that makes, suspends, deletes and invites people, signs them out, and reads them.
pub const USERS_WRITE: &str = "users:write";
/// How long an invitation is good when nobody says how long.
const LINK_LIFE_S: Seconds = 3 * 24 * 3_600;

/// What may be an id; no key is made of what cannot.
fn known(id: &str) -> Answer<&str> {
    check_id(id).map(|()| id).map_err(|_| Refusal::not_found("user"))
}

/// A person of an id.
fn find(tenant: &Tenant, id: &str) -> Answer<Held<User>> {
    tenant.user(known(id)?)
}

/// A link, good once, by which a person sets up a way to log in.
fn invite(tenant: &Tenant, id: &str, life_s: Option<Seconds>, env: &Env<'_>) -> Answer<Value> {
    let life_s = life_s.unwrap_or(LINK_LIFE_S);
    if !(1..=INVITATION_LIFE_MAX_S).contains(&life_s) {
        let text = format!("an invitation is good for 1 to {INVITATION_LIFE_MAX_S} seconds");
        return Err(Refusal::new(ErrorCode::InvalidRequest, "invitation.life", text));
    }
    let secret = tenant.invite(known(id)?, life_s, env)?;
    let link = tenant.url(&format!("/invite?code={secret}"));
    Ok(json!({"link": link, "expires_at": env.seconds().saturating_add(life_s)}))
}

/// A person who is wanted. Whether they administer is a role, which is given for itself.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewUser {
    /// Their id, which is never given again; a fresh one when it is left out.
    id: Option<String>,
    /// What they log in with.
    logins: Vec<String>,
    /// Their profile: claims of OpenID Connect.
    #[serde(default)]
    claims: Map<String, Value>,
}

/// What is said of a person: all of it, so that what is left out of the profile is gone.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserSettings {
    logins: Vec<String>,
    claims: Map<String, Value>,
}

/// What somebody logs in with, which is something.
fn named(logins: &[String]) -> Answer<Vec<&str>> {
    if logins.is_empty() {
        let text = "a person logs in with something; write `logins`";
        return Err(Refusal::new(ErrorCode::InvalidRequest, "user.logins", text));
    }
    Ok(logins.iter().map(String::as_str).collect())
}

/// Makes a person.
fn create(tenant: &Tenant, wanted: NewUser, env: &Env<'_>) -> Answer<Value> {
    let logins = named(&wanted.logins)?;
    let made = tenant.create_user(wanted.id.as_deref(), &logins, wanted.claims, env)?;
    shown(tenant, &made)
}

/// Changes what a person logs in with, and their profile.
fn change(tenant: &Tenant, id: &str, wanted: &UserSettings, env: &Env<'_>) -> Answer<Value> {
    let logins = named(&wanted.logins)?;
    let changed = again(|| tenant.change_user(&find(tenant, id)?, &logins, wanted.claims.clone(), env))?;
    shown(tenant, &changed)
}

/// A person as they are answered in a list.
fn shown(tenant: &Tenant, user: &User) -> Answer<Value> {
    Ok(json!({
        "id": user.id,
        "logins": user.logins,
        "claims": user.claims,
        "created_at": user.created_at,
        "active": tenant.is_active(&user.subject())?,
    }))
}

/// A person with their ways to log in and a page of their sessions, the oldest first; nothing of it is secret.
fn whole(tenant: &Tenant, user: &User, env: &Env<'_>) -> Answer<Value> {
    let credential = |held: &Held<Credential>| {
        json!({
            "id": held.id, "kind": held.kind.name(), "label": held.label, "created_at": held.created_at,
            "used_at": held.used_at,
        })
    };
    let session = |held: &Held<Session>| {
        json!({
            "id": held.id, "started_at": held.started_at, "address": held.address,
            "browser": held.browser, "acr": held.authentication.acr,
        })
    };
    let mut value = shown(tenant, user)?;
    if let Some(members) = value.as_object_mut() {
        let credentials = tenant.credentials(&user.id)?.iter().map(credential).collect();
        let sessions = tenant.live_sessions(user, env)?.iter().map(session).collect();
        members.insert("credentials".to_owned(), credentials);
        members.insert("sessions".to_owned(), sessions);
    }
    Ok(value)
}

/// People in the order of their ids: see [`present`].
fn list(tenant: &Tenant, after: Option<String>, max: usize) -> Answer<(Vec<Held<User>>, Option<String>)> {
    present(after, max, |after| tenant.users(after, PAGE_MAX), |user| user.deleted_at.is_none())
}

/// Lets a person do nothing for now, or again. The last administrator stays one who may act.
fn suspend(tenant: &Tenant, id: &str, suspended: bool, env: &Env<'_>) -> Answer<Value> {
    let user = find(tenant, id)?;
    tenant.suspend(&user.subject(), suspended, None, env)?;
    shown(tenant, &user)
}

/// Deletes a person who is not the last administrator.
fn delete(tenant: &Tenant, id: &str, env: &Env<'_>) -> Answer<Value> {
    again(|| {
        let user = find(tenant, id)?;
        let mut change = tenant.change(env);
        tenant.drop_user(&mut change, &user, env)?;
        change.commit()
    })?;
    Ok(json!({ "removed": id }))
}
