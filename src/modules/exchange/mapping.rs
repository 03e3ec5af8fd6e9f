//! Who the person of another's assertion is here. By a link, by an id that both sides share, or by a verified address; never
//! guessed, and never somebody new unless the row says so.

use super::records::{SubjectMapping, TrustedIssuer};
use crate::identity::{
    Answer, CredentialKind, Env, ErrorCode, Held, Refusal, Tenant, UpstreamIdentity, User, Verified, check_id, hash_of,
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// Longest `sub` of an assertion, in bytes.
const SUBJECT_BYTES_MAX: usize = 256;

fn unknown(rule: &'static str) -> Refusal {
    Refusal::new(ErrorCode::InvalidGrant, rule, "the person of this assertion is nobody here; ask who runs this server")
}

/// The user of a refusal-free lookup: that there is none is no error.
fn found(user: Answer<Held<User>>) -> Answer<Option<Held<User>>> {
    match user {
        Err(refusal) if refusal.error == ErrorCode::NotFound => Ok(None),
        other => other.map(Some),
    }
}

/// See the file's head.
pub(super) fn user(tenant: &Tenant, row: &TrustedIssuer, claims: &Verified, env: &Env<'_>) -> Answer<Held<User>> {
    let subject = claims.text("sub").filter(|sub| !sub.is_empty() && sub.len() <= SUBJECT_BYTES_MAX);
    let subject = subject.ok_or_else(|| {
        Refusal::new(ErrorCode::InvalidGrant, "redeem.sub", "the assertion has no `sub`, or one that is too long")
    })?;
    match row.subject {
        SubjectMapping::Linked => linked(tenant, row, subject, claims, env),
        SubjectMapping::Same => same(tenant, row, subject, claims, env),
        SubjectMapping::AudSub => {
            let id = claims.text("aud_sub").filter(|id| check_id(id).is_ok());
            let id = id.ok_or_else(|| unknown("mapping.aud_sub"))?;
            found(tenant.user(id))?.ok_or_else(|| unknown("mapping.aud_sub"))
        }
        SubjectMapping::SubId => by_sub_id(tenant, claims),
        SubjectMapping::Email => by_email(tenant, row, claims, env),
    }
}

/// A subject identifier of RFC 9493 3.2.4. Others are not understood.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct IssSub {
    format: String,
    iss: String,
    sub: String,
}

fn by_sub_id(tenant: &Tenant, claims: &Verified) -> Answer<Held<User>> {
    let nobody = || unknown("mapping.sub_id");
    let id = claims.claims.get("sub_id").and_then(|value| IssSub::deserialize(value).ok());
    let id = id.filter(|id| id.format == "iss_sub" && id.sub.len() <= SUBJECT_BYTES_MAX).ok_or_else(nobody)?;
    if id.iss == tenant.issuer() {
        check_id(&id.sub).map_err(|_| nobody())?;
        return found(tenant.user(&id.sub))?.ok_or_else(nobody);
    }
    found_link(tenant, &id.iss, &id.sub)?.ok_or_else(nobody)
}

fn linked(tenant: &Tenant, row: &TrustedIssuer, subject: &str, claims: &Verified, env: &Env<'_>) -> Answer<Held<User>> {
    if let Some(user) = found_link(tenant, &row.issuer, subject)? {
        return Ok(user);
    }
    if !row.create_users {
        return Err(unknown("mapping.linked"));
    }
    // The id comes from the identity, so that two at once, or one that was interrupted, make one user.
    let id = format!("x-{}", hash_of(&format!("{}\0{subject}", row.issuer)));
    if found(tenant.user(&id))?.is_none() {
        create(tenant, &id, claims, env)?;
        found(tenant.user(&id))?.ok_or_else(|| unknown("mapping.gone"))?;
    }
    let identity = UpstreamIdentity { issuer: row.issuer.clone(), subject: subject.to_owned(), provider: None };
    let data = serde_json::to_vec(&identity).map_err(|error| Refusal::failed("mapping.link", error.to_string()))?;
    match tenant.add_credential(&id, CredentialKind::Upstream, &row.issuer, &data, env) {
        Err(refusal) if refusal.error != ErrorCode::Conflict || refusal.is_stale() => return Err(refusal),
        _ => {}
    }
    found_link(tenant, &row.issuer, subject)?.ok_or_else(|| unknown("mapping.linked"))
}

fn found_link(tenant: &Tenant, issuer: &str, subject: &str) -> Answer<Option<Held<User>>> {
    match tenant.user_by_upstream(issuer, subject) {
        Err(refusal) if refusal.error == ErrorCode::NotFound => Err(unknown("mapping.gone")),
        other => other,
    }
}

fn same(tenant: &Tenant, row: &TrustedIssuer, id: &str, claims: &Verified, env: &Env<'_>) -> Answer<Held<User>> {
    if check_id(id).is_err() {
        return Err(unknown("mapping.same"));
    }
    if let Some(user) = found(tenant.user(id))? {
        return Ok(user);
    }
    if !row.create_users {
        return Err(unknown("mapping.same"));
    }
    create(tenant, id, claims, env)?;
    found(tenant.user(id))?.ok_or_else(|| unknown("mapping.same"))
}

/// A verified address of the assertion, in the form in which addresses are compared.
fn verified_email(claims: &Map<String, Value>) -> Option<String> {
    let email = claims.get("email").and_then(Value::as_str)?.trim();
    let fine = email.contains('@') && email.len() <= SUBJECT_BYTES_MAX && !email.chars().any(char::is_control);
    (fine && claims.get("email_verified") == Some(&Value::Bool(true))).then(|| email.to_lowercase())
}

fn by_email(tenant: &Tenant, row: &TrustedIssuer, claims: &Verified, env: &Env<'_>) -> Answer<Held<User>> {
    let email = verified_email(&claims.claims).ok_or_else(|| unknown("mapping.email.unverified"))?;
    match found_login(tenant, &email)? {
        // Who only says that an address is theirs does not get what others assert of it.
        Some(user) if verified_email(&user.claims).as_ref() == Some(&email) => return Ok(user),
        Some(_) => return Err(unknown("mapping.email.unverified_here")),
        None if !row.create_users => return Err(unknown("mapping.email")),
        None => {}
    }
    let profile = json!({"email": email, "email_verified": true});
    let profile = profile.as_object().cloned().unwrap_or_default();
    match tenant.create_user(None, &[&email], profile, env) {
        Err(refusal) if refusal.error != ErrorCode::Conflict => return Err(refusal),
        _ => {}
    }
    let user = found_login(tenant, &email)?.filter(|user| verified_email(&user.claims).as_ref() == Some(&email));
    user.ok_or_else(|| unknown("mapping.email"))
}

fn found_login(tenant: &Tenant, login: &str) -> Answer<Option<Held<User>>> {
    match tenant.user_by_login(login) {
        Err(refusal) if refusal.error == ErrorCode::NotFound => Ok(None),
        other => other,
    }
}

/// Makes a user without a way to sign in by themselves. That somebody else just made them is fine; that the id was somebody's once is not.
fn create(tenant: &Tenant, id: &str, claims: &Verified, env: &Env<'_>) -> Answer<()> {
    let mut profile = Map::new();
    if let Some(email) = verified_email(&claims.claims) {
        profile.insert("email".to_owned(), email.into());
        profile.insert("email_verified".to_owned(), true.into());
    }
    match tenant.create_user(Some(id), &[], profile, env) {
        Err(refusal) if refusal.error == ErrorCode::Conflict => Ok(()),
        other => other.map(|_| ()),
    }
}
