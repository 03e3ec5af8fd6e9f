//! What ties an access request to the denial that it is about (AuthZEN Access Request and Approval Profile, `binding_token`).
//!
//! It is a text that says which denial it was and until when it can be asked about, and a MAC over that, over who was denied, and
//! over what: the details themselves come back in the request.

use super::wanted::{Denial, invalid};
use crate::identity::{Answer, Env, Seconds, Tenant, decode, encode};
use serde_json::{Value, json};

/// What distinguishes these texts from all else that the key of the tenant authenticates.
const HEAD: &str = "bwb1";
/// Longest text that is looked at, and longest id of a denial.
const BINDING_BYTES_MAX: usize = 1_024;
const EVALUATION_BYTES_MAX: usize = 256;

/// Who was denied: the client as a subject, and the id of the person for whom it acts.
pub type WhoDenied<'a> = (&'a str, &'a str);

/// Ties a denial to what was denied. `None` when it has no spelling that others share, so that nothing could be compared.
///
/// # Errors
/// The keys cannot be opened.
pub fn bind(
    tenant: &Tenant,
    who: WhoDenied<'_>,
    evaluation_id: &str,
    what: &Value,
    until: Seconds,
) -> Answer<Option<String>> {
    let head = format!("{HEAD}.{}.{until}", encode(evaluation_id.as_bytes()));
    let Some(text) = covered(&head, who, what).filter(|_| evaluation_id.len() <= EVALUATION_BYTES_MAX) else {
        return Ok(None);
    };
    Ok(Some(format!("{head}.{}", tenant.mac(&text)?)))
}

/// Sees that a request is of the denial that it says it is about, and answers the id of that. Without a token nothing ties them,
/// and nothing is answered.
///
/// # Errors
/// The token is none of ours, is too old, or is of another denial: of somebody else, or of something else.
pub(super) fn checked(
    tenant: &Tenant,
    denial: &Denial,
    who: WhoDenied<'_>,
    details: &[Value],
    env: &Env<'_>,
) -> Answer<Option<String>> {
    let refuse = |text: &str| invalid("access.binding", text);
    let Some(token) = &denial.binding_token else { return Ok(None) };
    let [what] = details else {
        return Err(refuse("`denial.binding_token` is of one thing that was denied; ask for that one alone"));
    };
    let other = "`denial.binding_token` is of another denial than of this, for this person and client";
    let (head, mac) = token
        .rsplit_once('.')
        .filter(|_| token.len() <= BINDING_BYTES_MAX)
        .ok_or_else(|| refuse("`denial.binding_token` is none of this server"))?;
    let text = covered(head, who, what).ok_or_else(|| refuse(other))?;
    let (id, until) = read(head).ok_or_else(|| refuse("`denial.binding_token` is none of this server"))?;
    if !tenant.mac_is(&text, mac)? || denial.evaluation_id.as_ref().is_some_and(|said| *said != id) {
        return Err(refuse(other));
    }
    if env.seconds() >= until {
        return Err(invalid("access.denial", "the denial is too old; ask the question once more"));
    }
    Ok(Some(id))
}

/// What the MAC is over.
fn covered(head: &str, (client, user): WhoDenied<'_>, what: &Value) -> Option<String> {
    let digest = super::digest_of(&json!({"client": client, "user": user, "details": what})).ok()?;
    Some(format!("{head}.{digest}"))
}

fn read(head: &str) -> Option<(String, Seconds)> {
    let mut parts = head.split('.');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(HEAD), Some(id), Some(until), None) => Some((String::from_utf8(decode(id)?).ok()?, until.parse().ok()?)),
        _ => None,
    }
}
