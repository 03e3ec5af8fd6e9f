//! How credentials come into the vault, and leave it: a person connects an account at a provider, or brings a key; whoever
//! runs the tenant gives agents theirs.

use super::answer::read_answer;
use super::connections;
use super::keys::{proof, read_pem};
use super::lease::of_holder;
use super::records::{
    Connection, CredentialState, HeldCredential, Hidden, Holder, HolderKind, NewCredential, Pending, Provider, Secret,
    credential, credentials_of, opened, remove, store,
};
use super::upstream::{self, TokenRequest, authorize_url, code_request};
use crate::identity::{
    Answer, Env, ErrorCode, EventKind, Form, Held, Outcome, Refusal, Seconds, Tenant, again, hash_of,
};
use serde::Serialize;

/// How long a person may take at the provider.
const PENDING_S: Seconds = 600;
/// Longest code.
const CODE_BYTES_MAX: usize = 4 << 10;

/// A connection of somebody, as they see it.
#[derive(Clone, Debug, Serialize)]
pub struct Connected {
    /// The connection.
    pub connection: String,
    /// What people call it.
    pub name: String,
    /// `active`, `reconnect_needed`, or `none`.
    pub state: &'static str,
    /// What it is for, as the provider says.
    pub scopes: Vec<String>,
    /// When it was connected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connected_at: Option<Seconds>,
    /// Whether the credential stays as it is until somebody replaces it. OAuth is to be preferred.
    pub is_static: bool,
}

fn invalid(rule: &'static str, text: impl Into<String>) -> Refusal {
    Refusal::new(ErrorCode::InvalidRequest, rule, text)
}

/// The connections that a person can have, with the state of those that they have.
///
/// # Errors
/// The disk failed.
pub fn connections_of(tenant: &Tenant, user: &str) -> Answer<Vec<Connected>> {
    let held = credentials_of(tenant, &Holder::User(user.to_owned()))?;
    let mut found = Vec::new();
    let mut after = None;
    loop {
        let (page, next) = connections::list(tenant, after.as_deref(), crate::identity::PAGE_MAX)?;
        for connection in page.iter().filter(|connection| connection.spec.holder == HolderKind::User) {
            let own = held.iter().find(|held| held.connection == connection.spec.id);
            found.push(stands(connection, own));
        }
        after = next;
        if after.is_none() {
            return Ok(found);
        }
    }
}

/// How a connection stands for one person.
pub(super) fn stands(connection: &Connection, own: Option<&HeldCredential>) -> Connected {
    Connected {
        connection: connection.spec.id.clone(),
        name: connection.spec.name.clone(),
        state: match own.map(|own| &own.state) {
            None => "none",
            Some(CredentialState::Active) => "active",
            Some(CredentialState::ReconnectNeeded { .. }) => "reconnect_needed",
        },
        scopes: own.map(|own| own.scopes.clone()).unwrap_or_default(),
        connected_at: own.map(|own| own.connected_at),
        is_static: connection.spec.provider.is_static(),
    }
}

/// A connection that people make for themselves.
pub(super) fn for_people(tenant: &Tenant, id: &str) -> Answer<Held<Connection>> {
    let connection = connections::get(tenant, id)?;
    let text = match connection.spec.holder {
        HolderKind::User => return Ok(connection),
        HolderKind::Agent => "this connection uses credentials of agents, which whoever runs this sets",
        HolderKind::UserAndAgent => "this connection is made by nobody: its tokens are got for each person and agent",
    };
    Err(invalid("connect.holder", text))
}

fn redirect_uri(tenant: &Tenant, id: &str) -> String {
    tenant.url(&format!("/connect/{id}/callback"))
}

/// Begins to connect an account: the URL at the provider to which the browser goes.
///
/// # Errors
/// The connection is not made this way.
pub(super) fn begin(tenant: &Tenant, id: &str, (user, session): (&str, &str), env: &Env<'_>) -> Answer<String> {
    let connection = for_people(tenant, id)?;
    let (state, verifier) = (env.secret(), env.secret());
    let url = authorize_url(&connection.spec.provider, &redirect_uri(tenant, id), &state, &verifier)?;
    // Nobody is sent there if we could not show who we are when they come back.
    proof(tenant, &connection)?;
    let (part, until) = (hash_of(&state), env.seconds() + PENDING_S);
    let pending = Pending::new(tenant, &part, (id, user, session), (&verifier, until), env)?;
    let mut change = tenant.change(env);
    change.create(&[&part], &pending);
    change.expires::<Pending>(&[&part], until, None);
    change.commit()?;
    Ok(url)
}

/// A callback that was taken: what to ask the provider for, and for whom.
pub(super) struct Called {
    connection: Held<Connection>,
    user: String,
}

/// Takes a callback (RFC 6749 4.1.2, RFC 9207). Its state is used up, whatever comes of it.
///
/// # Errors
/// It is no answer to a request of this browser, or the provider said no.
pub(super) fn called_back(
    tenant: &Tenant,
    id: &str,
    form: &Form,
    (user, session): (&str, &str),
    env: &Env<'_>,
) -> Answer<(Called, TokenRequest)> {
    let unknown = || {
        let text = "this is the answer to a request that is over, was answered already, or began in another browser; \
                    begin again";
        invalid("connect.state", text)
    };
    let part = hash_of(form.get("state").ok_or_else(unknown)?);
    let pending = tenant.get::<Pending>(&[&part])?.ok_or_else(unknown)?;
    // Before it is used up: a stranger who guesses nothing must not end somebody's request.
    if pending.user != user || pending.session != session || pending.connection != id {
        return Err(unknown());
    }
    let mut change = tenant.change(env);
    change.remove(&pending);
    change.commit().map_err(|refusal| if refusal.is_stale() { unknown() } else { refusal })?;
    if env.seconds() >= pending.until {
        return Err(unknown());
    }
    let connection = for_people(tenant, id)?;
    let Provider::Oauth2 { issuer, issuer_required, .. } = &connection.spec.provider else { return Err(unknown()) };
    match (form.get("iss"), issuer) {
        (Some(said), Some(known)) if said != known => {
            return Err(invalid("connect.issuer", "the answer is of another issuer than the one that was asked"));
        }
        (None, _) if *issuer_required => {
            return Err(invalid("connect.issuer", "the answer does not say of which issuer it is (RFC 9207)"));
        }
        _ => {}
    }
    if form.get("error").is_some() {
        // What the provider says is not repeated: it may say anything.
        let text = "the provider was not allowed, or did not want, to connect; nothing was stored";
        return Err(Refusal::new(ErrorCode::AccessDenied, "connect.refused", text));
    }
    let code = form.get("code").filter(|code| code.len() <= CODE_BYTES_MAX);
    let code = code.ok_or_else(|| invalid("connect.code", "the answer has no code"))?;
    let verifier = pending.verifier(tenant, &part)?;
    let shown = proof(tenant, &connection)?;
    let uri = redirect_uri(tenant, id);
    let request = code_request(&connection.spec.provider, &shown, (code, &uri, &verifier), env)?;
    Ok((Called { connection, user: user.to_owned() }, request))
}

/// Stores what the provider gave for the code.
///
/// # Errors
/// It gave nothing of use.
pub(super) fn connected(tenant: &Tenant, called: &Called, (status, body): (u16, &[u8]), env: &Env<'_>) -> Answer<()> {
    let Called { connection, user } = called;
    let new = read_answer(status, body, &connection.spec.provider, None, env.seconds()).map_err(|fault| {
        let text =
            "the provider gave no tokens for this; begin again, and if it stays so whoever runs this has to see why";
        Refusal::new(ErrorCode::TemporarilyUnavailable, "connect.tokens", text).because(format!("{fault:?}"))
    })?;
    put(tenant, connection, &Holder::User(user.clone()), &new, "connect", &format!("user:{user}"), env)
}

fn put(
    tenant: &Tenant,
    connection: &Connection,
    holder: &Holder,
    new: &NewCredential,
    action: &str,
    by: &str,
    env: &Env<'_>,
) -> Answer<()> {
    let id = &connection.spec.id;
    again(|| {
        let before = credential(tenant, id, holder)?;
        if before.is_none() && credentials_of(tenant, holder)?.len() >= super::records::CREDENTIALS_MAX {
            let text = format!("there are {} connections already, which is the most", super::records::CREDENTIALS_MAX);
            return Err(Refusal::new(ErrorCode::Conflict, "credential.max", text));
        }
        let mut change = tenant.change(env);
        let stored = store(tenant, &mut change, (id, holder), before.as_ref(), new, env)?;
        let event =
            tenant.event(EventKind::VaultStored, Outcome::Done, env).resource(connection.object()).action(action);
        let event = event.detail("by", by).detail("generation", stored.generation.to_string());
        let kind = if connection.spec.provider.is_static() { "static" } else { "refreshed" };
        change.event(&of_holder(event, holder).detail("kind", kind).detail("scopes", stored.scopes.join(" ")));
        change.commit()?;
        Ok(())
    })
}

/// A credential that is brought and not got at a provider: from a form with `key`, with `user` and `password`, or with
/// `private_key`.
///
/// # Errors
/// It is not of the kind of the connection.
pub(super) fn from_form(connection: &Connection, form: &Form) -> Answer<Secret> {
    let hidden = |name: &'static str| Ok::<_, Refusal>(Hidden::new(form.need(name)?.to_owned()));
    match &connection.spec.provider {
        Provider::ApiKeyHeader { .. } | Provider::ApiKeyQuery { .. } => Ok(Secret::ApiKey { key: hidden("key")? }),
        Provider::Basic {} => Ok(Secret::Basic { user: form.need("user")?.to_owned(), password: hidden("password")? }),
        Provider::ServiceAccount { .. } => {
            Ok(Secret::ServiceAccount { private_key: hidden("private_key")?, access_token: None })
        }
        Provider::Oauth2 { .. } => {
            Err(invalid("connect.provider", "this connection is made by signing in at the provider, not with a key"))
        }
        Provider::IdentityAssertion { .. } => {
            Err(invalid("connect.provider", "this connection is made by nobody, and takes no key"))
        }
    }
}

/// Stores a credential that somebody brings. `by` is who does it, as a subject.
///
/// # Errors
/// It is not of the kind of the connection or of its holder, or could not be kept from leaving.
pub fn set_credential(
    tenant: &Tenant,
    id: &str,
    holder: &Holder,
    secret: Secret,
    by: &str,
    env: &Env<'_>,
) -> Answer<()> {
    let connection = connections::get(tenant, id)?;
    let of_kind = matches!(
        (connection.spec.holder, holder),
        (HolderKind::User, Holder::User(_)) | (HolderKind::Agent, Holder::Agent(_))
    );
    if !of_kind {
        return Err(invalid("credential.holder", "the connection uses credentials of the other kind of holder"));
    }
    let (expires_at, refreshable) = match (&connection.spec.provider, &secret) {
        (Provider::ServiceAccount { .. }, Secret::ServiceAccount { private_key, .. }) => {
            read_pem(private_key)?;
            (Some(env.seconds()), true)
        }
        (Provider::ApiKeyHeader { .. } | Provider::ApiKeyQuery { .. }, Secret::ApiKey { key }) => {
            check_line(key)?;
            (None, false)
        }
        (Provider::Basic {}, Secret::Basic { user, password }) => {
            check_line(password)?;
            if user.contains(':') || user.chars().any(char::is_control) {
                return Err(invalid("credential.user", "a user has no colon and no control character (RFC 7617)"));
            }
            (None, false)
        }
        (Provider::Oauth2 { .. }, Secret::Oauth2 { refresh_token, .. }) => {
            let refreshable = refresh_token.is_some();
            (refreshable.then(|| env.seconds()), refreshable)
        }
        _ => return Err(invalid("credential.kind", "the credential is not of the kind of the connection")),
    };
    let new = NewCredential { scopes: Vec::new(), expires_at, refreshable, secret };
    put(tenant, &connection, holder, &new, "set", by, env)
}

fn check_line(text: &str) -> Answer<()> {
    if text.chars().any(char::is_control) {
        return Err(invalid("credential.form", "a key or a password is one line without control characters"));
    }
    Ok(())
}

/// Removes a credential. Answers what takes its token back at the provider, where there is such an endpoint.
///
/// # Errors
/// There is none.
pub(super) fn removed(
    tenant: &Tenant,
    id: &str,
    holder: &Holder,
    by: &str,
    env: &Env<'_>,
) -> Answer<Option<TokenRequest>> {
    again(|| {
        let held = credential(tenant, id, holder)?.ok_or_else(|| Refusal::not_found("credential"))?;
        // A connection that is gone, or a secret that does not open, must not keep anybody from removing it.
        let revoke = connections::get(tenant, id).and_then(|connection| {
            let secret = opened(tenant, &held)?;
            upstream::revoke_request(&connection.spec.provider, &proof(tenant, &connection)?, &secret, env)
        });
        let mut change = tenant.change(env);
        remove(&mut change, &held);
        let event = tenant.event(EventKind::VaultRemoved, Outcome::Done, env).resource(format!("connection:{id}"));
        change.event(&of_holder(event, holder).detail("by", by));
        change.commit()?;
        Ok(revoke.unwrap_or_default())
    })
}

/// Removes a credential, without a word to the provider.
///
/// # Errors
/// There is none.
pub fn disconnect(tenant: &Tenant, id: &str, holder: &Holder, by: &str, env: &Env<'_>) -> Answer<()> {
    removed(tenant, id, holder, by, env).map(|_| ())
}
