//! Administration of connections and of the credentials for them: who may do what, by Check, and how it looks from outside.
//!
//! An administrator of the tenant makes connections; who operates one (`connection#operator`) changes it, gives it to agents
//! and sets credentials; an auditor reads. The secrets go in and never come out.

pub mod http;

use super::connections::{self, allowed, classes};
use super::records::{
    ClientAuth, ClientKey, Connection, CredentialState, HeldCredential, Holder, HolderKind, Provider,
};
use crate::engine::Decision;
use crate::identity::{Answer, ErrorCode, Examined, Held, Refusal, Tenant};
use serde_json::{Value, json};

/// The scope that reads.
pub const READ: &str = "connections:read";
/// The scope that changes, and reads.
pub const WRITE: &str = "connections:write";

/// For whom a token is, as a subject, if it may read or change connections.
///
/// # Errors
/// It may not.
fn admit(token: &Examined, wanted: &'static str) -> Answer<String> {
    if !token.has_scope(wanted) && !token.has_scope(WRITE) {
        let text = format!("this takes a token with the scope `{wanted}`");
        return Err(Refusal::new(ErrorCode::InsufficientScope, "connection.admin.scope", text));
    }
    if !token.grant.actors.is_empty() && token.grant.user().is_some() {
        let text = "an agent does not administer connections for a person; use a token of the person's own";
        return Err(Refusal::new(ErrorCode::AccessDenied, "connection.delegated", text));
    }
    Ok(token.grant.user().map_or_else(|| token.client().subject(), |user| format!("user:{user}")))
}

fn is(tenant: &Tenant, subject: &str, relation: &str, object: &str) -> Answer<bool> {
    Ok(tenant.check(subject, relation, object)? == Decision::Allow)
}

fn denied(text: &str) -> Refusal {
    Refusal::new(ErrorCode::AccessDenied, "connection.not_allowed", text)
}

/// Refuses who does not make connections.
fn may_create(tenant: &Tenant, by: &str) -> Answer<()> {
    if is(tenant, by, "admin", &tenant.object())? {
        return Ok(());
    }
    Err(denied("only an administrator of the tenant makes connections"))
}

/// Whether somebody reads all connections.
fn reads_all(tenant: &Tenant, by: &str) -> Answer<bool> {
    is(tenant, by, "auditor", &tenant.object())
}

/// A connection, for who may look at it: an auditor of the tenant, or who operates it. To others it is not there.
fn readable(tenant: &Tenant, by: &str, id: &str) -> Answer<Held<Connection>> {
    let connection = connections::get(tenant, id)?;
    if reads_all(tenant, by)? || is(tenant, by, "operator", &connection.object())? {
        return Ok(connection);
    }
    Err(Refusal::not_found("connection"))
}

/// A connection, for who may change it.
fn changeable(tenant: &Tenant, by: &str, id: &str) -> Answer<Held<Connection>> {
    let connection = readable(tenant, by, id)?;
    if is(tenant, by, "operator", &connection.object())? {
        return Ok(connection);
    }
    Err(denied("only who operates a connection changes it"))
}

fn nobody(subject: &str) -> Refusal {
    let text = format!("`{subject}` is nobody here; write `user:ID`, `agent:ID` or `app:ID`");
    Refusal::new(ErrorCode::InvalidRequest, "credential.holder", text)
}

/// The holder that `user:ID`, `agent:ID` or `app:ID` names, who may be gone.
///
/// # Errors
/// It names nobody.
fn holder_of(subject: &str) -> Answer<Holder> {
    match subject.split_once(':') {
        Some(("user", id)) => Ok(Holder::User(id.to_owned())),
        Some(("agent" | "app", _)) => Ok(Holder::Agent(subject.to_owned())),
        _ => Err(nobody(subject)),
    }
}

/// The same, and sees that they are there.
fn present(tenant: &Tenant, subject: &str) -> Answer<Holder> {
    let holder = holder_of(subject)?;
    let id = subject.split_once(':').map_or("", |(_, id)| id);
    let known = match &holder {
        Holder::User(_) => tenant.user(id).map(|user| user.subject()),
        Holder::Agent(_) => tenant.client(id).map(|client| client.subject()),
    };
    let known = known.map_err(|refusal| refusal.instead_of(ErrorCode::NotFound, || nobody(subject)))?;
    if known == subject { Ok(holder) } else { Err(nobody(subject)) }
}

/// A connection as it is shown: what it is, and what whoever runs this wants to know of it.
#[must_use]
pub fn connection_json(tenant: &Tenant, connection: &Connection) -> Value {
    let spec = &connection.spec;
    let mut shown = json!({
        "connection": spec,
        "has_client_secret": connection.has_client_secret(),
        "static": spec.provider.is_static(),
        "created_at": connection.created_at,
        "changed_at": connection.changed_at,
    });
    if let Some(members) = shown
        .as_object_mut()
        .filter(|_| spec.provider.client_auth() == Some(ClientAuth::PrivateKeyJwt) || !connection.keys().is_empty())
    {
        members.insert("keys".to_owned(), keys_json(connection));
        members.insert("jwks_uri".to_owned(), tenant.url(&format!("/connect/{}/jwks", spec.id)).into());
    }
    if let (Some(members), Provider::Oauth2 { .. }) = (shown.as_object_mut(), &spec.provider)
        && spec.holder == HolderKind::User
    {
        let redirect = tenant.url(&format!("/connect/{}/callback", spec.id));
        members.insert("redirect_uri".to_owned(), redirect.into());
    }
    shown
}

/// The keys with which a connection shows itself at its provider: what is registered there, and which of them signs.
fn keys_json(connection: &Connection) -> Value {
    let one = |(at, key): (usize, &ClientKey)| json!({"kid": key.kid, "signs": at == 0, "created_at": key.created_at, "jwk": key.public});
    connection.keys().iter().enumerate().map(one).collect()
}

/// The same, with who may use it and how its scopes are had.
///
/// # Errors
/// The disk failed.
pub fn whole_json(tenant: &Tenant, connection: &Connection) -> Answer<Value> {
    let id = &connection.spec.id;
    let mut shown = connection_json(tenant, connection);
    let class = |c: &super::Classed| json!({"scope": c.scope, "class": c.class, "subject": c.subject});
    if let Some(members) = shown.as_object_mut() {
        members.insert("allowed".to_owned(), json!(allowed(tenant, id)?));
        members.insert("scopes".to_owned(), classes(tenant, id)?.iter().map(class).collect());
    }
    Ok(shown)
}

/// A credential as it is shown: who holds it and whether it works, and nothing of what it is.
#[must_use]
pub fn credential_json(held: &HeldCredential) -> Value {
    let (state, since) = match held.state {
        CredentialState::Active => ("active", None),
        CredentialState::ReconnectNeeded { since } => ("reconnect_needed", Some(since)),
    };
    json!({
        "connection": held.connection,
        "holder": held.holder.subject(),
        "state": state,
        "reconnect_needed_since": since,
        "scopes": held.scopes,
        "generation": held.generation,
        "connected_at": held.connected_at,
        "issued_at": held.issued_at,
        "expires_at": held.expires_at,
        "refreshable": held.refreshable,
    })
}
