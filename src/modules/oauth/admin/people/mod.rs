//! What an administrator does for a person who cannot sign in, or should not be signed in. A directory pushes people by SCIM,
//! which is another module.

pub mod http;

use crate::identity::{Answer, Env, ErrorCode, INVITATION_LIFE_MAX_S, Refusal, Seconds, Tenant, check_id};
use serde_json::{Value, json};

/// The scope that invites people, and signs them out.
pub const USERS_WRITE: &str = "users:write";
/// How long an invitation is good when nobody says how long.
const LINK_LIFE_S: Seconds = 3 * 24 * 3_600;

/// What may be an id; no key is made of what cannot.
fn known(id: &str) -> Answer<&str> {
    check_id(id).map(|()| id).map_err(|_| Refusal::not_found("user"))
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
