//! Types of authorization details as they are kept: made, changed, and taken away by who administers the tenant.

use super::Approvals;
use super::detail::{DetailType, Who};
use super::records::APPROVAL;
use crate::engine::Module;
use crate::identity::{
    ACR_VALUES, Allowing, Answer, DetailTypes, Env, ErrorCode, EventKind, Held, Outcome, Refusal, ShownAs, Stored,
    Tenant,
};
use serde_json::Value;

/// Most types of a tenant.
pub const TYPES_MAX: usize = 200;

impl DetailTypes for Approvals {
    fn allowing(&self, tenant: &Tenant, detail: &Value) -> Answer<Allowing> {
        let name = detail.get("type").and_then(Value::as_str).unwrap_or_default();
        let kind = type_of(tenant, name)?.ok_or_else(unknown_type)?;
        kind.validate(detail)?;
        let who = kind.who(detail)?;
        if who.is_empty() {
            return Ok(Allowing::Nobody);
        }
        if !who.contains(&Who::Subject) {
            return Ok(Allowing::Others);
        }
        let (acr, age_s) = (self.settings().acr.as_str(), self.settings().auth_age_s);
        Ok(Allowing::Person(ShownAs { acr: stronger(acr, kind.acr.as_deref().unwrap_or(acr)).to_owned(), age_s }))
    }
}

/// The stronger of two classes of authentication.
pub(super) fn stronger<'a>(a: &'a str, b: &'a str) -> &'a str {
    let rank = |acr: &str| ACR_VALUES.iter().position(|known| *known == acr);
    if rank(b) > rank(a) { b } else { a }
}

/// What is refused of which nobody here knows what it is.
pub(super) fn unknown_type() -> Refusal {
    let text = "authorization details are of a type that is unknown here";
    Refusal::new(ErrorCode::InvalidAuthorizationDetails, "details.type", text)
}

impl Stored for DetailType {
    const MODULE: Module = APPROVAL;
    const SORT: u8 = b't';
    const WHAT: &'static str = "type of authorization details";
}

/// Makes or changes a type of details.
///
/// # Errors
/// Something is not right, or there are too many.
pub fn put_type(tenant: &Tenant, wanted: &DetailType, by: &str, env: &Env<'_>) -> Answer<DetailType> {
    wanted.check()?;
    let before = tenant.get::<DetailType>(&[&wanted.name])?;
    if before.is_none() && tenant.list::<DetailType>(&[], None, TYPES_MAX)?.len() == TYPES_MAX {
        return Err(Refusal::new(ErrorCode::Conflict, "type.max", format!("there are {TYPES_MAX} types, the most")));
    }
    let version = before.as_ref().map_or(0, |held| held.version).saturating_add(1);
    let fresh = DetailType { version, changed_at: env.seconds(), ..wanted.clone() };
    let mut change = tenant.change(env);
    match &before {
        Some(held) => change.replace(held, &fresh),
        None => change.create(&[&fresh.name], &fresh),
    }
    let event = tenant.event(EventKind::PolicyChanged, Outcome::Done, env).resource(&fresh.name).user(by);
    change.event(&event.action("approval.type").detail("version", version.to_string()));
    change.commit()?;
    Ok(fresh)
}

/// Takes a type of details away: nobody can ask for one of it from then on.
///
/// # Errors
/// There is none.
pub fn remove_type(tenant: &Tenant, name: &str, by: &str, env: &Env<'_>) -> Answer<()> {
    let held = type_of(tenant, name)?.ok_or_else(|| Refusal::not_found(DetailType::WHAT))?;
    let mut change = tenant.change(env);
    change.remove(&held);
    let event = tenant.event(EventKind::PolicyChanged, Outcome::Done, env).resource(name).user(by);
    change.event(&event.action("approval.type.remove"));
    change.commit()?;
    Ok(())
}

/// A type of details, if there is one of this name.
///
/// # Errors
/// The disk failed.
pub fn type_of(tenant: &Tenant, name: &str) -> Answer<Option<Held<DetailType>>> {
    if name.is_empty() || name.len() > 128 || name.contains('\0') {
        return Ok(None); // no key is made of what names no type
    }
    tenant.get::<DetailType>(&[name])
}

/// All types of details of a tenant.
///
/// # Errors
/// The disk failed.
pub fn types(tenant: &Tenant) -> Answer<Vec<Held<DetailType>>> {
    tenant.list::<DetailType>(&[], None, TYPES_MAX)
}
