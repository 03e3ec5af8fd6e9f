//! Requests for approval as whoever administers the tenant looks at them: what was asked, what was shown, and what became of it.
//! Nobody decides here: that is for those whom the rules name, signed in, on the page.

pub mod http;

use super::{ApprovalRequest, State};
use crate::identity::{Answer, PAGE_MAX, Refusal, Seconds, Tenant};
use serde_json::{Value, json};

/// Pages of records that one page of requests is found in, those that do not wait among them.
const PAGES_MAX: usize = 20;

/// Where a request stands, in a word: `open`, `approved`, `fetched`, `denied` or `expired`.
#[must_use]
pub fn state_name(request: &ApprovalRequest, now: Seconds) -> &'static str {
    match &request.state {
        State::Open if request.is_open(now) => "open",
        State::Open | State::Expired => "expired",
        State::Approved(approved) if approved.grant.is_some() => "fetched",
        State::Approved(_) => "approved",
        State::Denied { .. } => "denied",
    }
}

/// Who decided, as a subject; nobody yet when it is empty.
#[must_use]
pub fn decided_by(request: &ApprovalRequest) -> &str {
    match &request.state {
        State::Approved(approved) => &approved.by,
        State::Denied { by, .. } => by,
        State::Open | State::Expired => "",
    }
}

/// A request without what is secret in it.
#[must_use]
pub fn request_json(request: &ApprovalRequest, now: Seconds) -> Value {
    json!({
        "id": request.id,
        "state": state_name(request, now),
        "asks": request.asks,
        "user": request.user,
        "by": decided_by(request),
        "shown": request.shown,
        "shown_hash": request.shown_hash,
        "digest": request.digest,
        "who": request.who.iter().cloned().map(String::from).collect::<Vec<_>>(),
        "details": request.details,
        "scopes": request.scopes,
        "created_at": request.created_at,
        "expires_at": request.expires_at,
    })
}

/// The request of an id.
///
/// # Errors
/// There is none, or no more.
pub fn request_of(tenant: &Tenant, id: &str) -> Answer<ApprovalRequest> {
    let none = || Refusal::not_found("request for approval");
    // No key is made of what cannot be an id.
    ulid::Ulid::from_string(id).map_err(|_| none())?;
    Ok(tenant.get::<ApprovalRequest>(&[id])?.ok_or_else(none)?.value)
}

/// Requests in the order in which they came, behind the id `after`, or those that wait for a decision: at most `max`, and behind
/// which to go on when there may be more.
///
/// # Errors
/// The disk failed.
pub fn requests(
    tenant: &Tenant,
    open: bool,
    after: Option<String>,
    max: usize,
    now: Seconds,
) -> Answer<(Vec<ApprovalRequest>, Option<String>)> {
    let (mut page, mut at) = (Vec::new(), after);
    for _ in 0..PAGES_MAX {
        let records = tenant.list::<ApprovalRequest>(&[], at.as_deref(), PAGE_MAX)?;
        let last = records.len() < PAGE_MAX;
        for held in records {
            if page.len() >= max {
                return Ok((page, at));
            }
            at = Some(held.id.clone());
            if !open || held.is_open(now) {
                page.push(held.value);
            }
        }
        if last {
            return Ok((page, None));
        }
    }
    Ok((page, at))
}
