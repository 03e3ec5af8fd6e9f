//! Clients, as an administrator sees and changes them. Of an agent that is registered the registry keeps the name, the secrets,
//! the keys, the ways to show who it is and the life: these are changed there, with a history, and what is left here.

pub mod http;

use super::present;
use crate::identity::{
    Answer, AssertionChain, AuthMethod, Client, ClientKeys, ClientKind, ConsentRule, Env, ErrorCode, Examined, Held,
    OPENID_SCOPES, PAGE_MAX, Refusal, Seconds, SigningAlgorithm, Tenant, TlsSubject, Workload, again,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The scope that reads clients.
pub const CLIENTS_READ: &str = "clients:read";
/// The scope that changes clients, and reads them. Who has it can become any client of the tenant that may do no more at the
/// administration than who has it.
pub const CLIENTS_WRITE: &str = "clients:write";

/// Whether the registry of agents keeps the agent of an id. The registry says so; `server.rs` plugs it in.
pub type Registered = fn(&Tenant, &str) -> Answer<bool>;

/// What is said of a client: all but its id, its kind and its secrets. What is left out is nothing, and of `auth_methods` a
/// secret in the header.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "they are those of `Client`")]
pub struct ClientSettings {
    pub name: String,
    pub redirect_uris: Vec<String>,
    pub post_logout_redirect_uris: Vec<String>,
    pub backchannel_logout_uri: Option<String>,
    pub grant_types: Vec<String>,
    pub scopes: Vec<String>,
    pub resources: Vec<String>,
    pub serves: Vec<String>,
    pub details_types: Vec<String>,
    pub auth_methods: Vec<AuthMethod>,
    pub keys: Option<ClientKeys>,
    pub assertion_chain: Option<AssertionChain>,
    pub workloads: Vec<Workload>,
    pub consent: ConsentRule,
    pub require_pushed_requests: bool,
    pub dpop_bound_access_tokens: bool,
    pub tls_subject: Option<TlsSubject>,
    pub tls_client_certificate_bound_access_tokens: bool,
    pub id_token_signed_response_alg: SigningAlgorithm,
}

impl Default for ClientSettings {
    fn default() -> ClientSettings {
        ClientSettings::of(Client::new("", ClientKind::App, ""))
    }
}

impl ClientSettings {
    fn of(client: Client) -> ClientSettings {
        ClientSettings {
            name: client.name,
            redirect_uris: client.redirect_uris,
            post_logout_redirect_uris: client.post_logout_redirect_uris,
            backchannel_logout_uri: client.backchannel_logout_uri,
            grant_types: client.grant_types,
            scopes: client.scopes,
            resources: client.resources,
            serves: client.serves,
            details_types: client.details_types,
            auth_methods: client.auth_methods,
            keys: client.keys,
            assertion_chain: client.assertion_chain,
            workloads: client.workloads,
            consent: client.consent,
            require_pushed_requests: client.require_pushed_requests,
            dpop_bound_access_tokens: client.dpop_bound_access_tokens,
            tls_subject: client.tls_subject,
            tls_client_certificate_bound_access_tokens: client.tls_client_certificate_bound_access_tokens,
            id_token_signed_response_alg: client.id_token_signed_response_alg,
        }
    }

    /// The client that is wanted in the place of another; its id, kind and secrets stay.
    fn over(self, client: &Client) -> Client {
        Client {
            name: self.name,
            redirect_uris: self.redirect_uris,
            post_logout_redirect_uris: self.post_logout_redirect_uris,
            backchannel_logout_uri: self.backchannel_logout_uri,
            grant_types: self.grant_types,
            scopes: self.scopes,
            resources: self.resources,
            serves: self.serves,
            details_types: self.details_types,
            auth_methods: self.auth_methods,
            keys: self.keys,
            assertion_chain: self.assertion_chain,
            workloads: self.workloads,
            consent: self.consent,
            require_pushed_requests: self.require_pushed_requests,
            dpop_bound_access_tokens: self.dpop_bound_access_tokens,
            tls_subject: self.tls_subject,
            tls_client_certificate_bound_access_tokens: self.tls_client_certificate_bound_access_tokens,
            id_token_signed_response_alg: self.id_token_signed_response_alg,
            ..client.clone()
        }
    }
}

/// A client that is wanted.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewClient {
    /// Its id, which is never given again; a fresh one when it is left out.
    id: Option<String>,
    /// Whether it administers the tenant by itself, as a directory does that pushes people by SCIM.
    #[serde(default)]
    admin: bool,
    /// All else.
    settings: ClientSettings,
}

/// A client as it is answered: without the hashes of its secrets.
fn shown(tenant: &Tenant, client: &Client) -> Answer<Value> {
    let secret = |secret: &crate::identity::ClientSecret| json!({"id": secret.id, "created_at": secret.created_at, "expires_at": secret.expires_at});
    Ok(json!({
        "id": client.id,
        "kind": client.kind,
        "document": client.document,
        "active": tenant.is_active(&client.subject())?,
        "created_at": client.created_at,
        "secrets": client.secrets.iter().map(secret).collect::<Vec<_>>(),
        "settings": ClientSettings::of(client.clone()),
    }))
}

/// Clients in the order of their ids: see [`present`].
fn list(tenant: &Tenant, after: Option<String>, max: usize) -> Answer<(Vec<Held<Client>>, Option<String>)> {
    present(after, max, |after| tenant.clients(after, PAGE_MAX), |client| client.deleted_at.is_none())
}

/// Whether a token with these scopes of the administration may do what a scope says: the one that changes reads too.
pub(super) fn covers(held: &[String], scope: &str) -> bool {
    let writes = |known: &str| scope.strip_suffix(":read").is_some_and(|of| known.strip_suffix(":write") == Some(of));
    held.iter().any(|known| known == scope || writes(known))
}

/// The scopes of the administration for which a client may ask. One that no resource of the client's has counts as one of them,
/// since the administration may have it later.
///
/// # Errors
/// The disk failed.
pub(super) fn asked_here(tenant: &Tenant, client: &Client) -> Answer<Vec<String>> {
    let place = tenant.url("/admin");
    if !client.resources.contains(&place) {
        return Ok(Vec::new());
    }
    let (mut here, mut elsewhere) = (None, Vec::new());
    for identifier in &client.resources {
        let found = tenant.resource(identifier)?;
        if *identifier == place { here = found } else { elsewhere.extend(found) }
    }
    let is_here = |scope: &str| {
        here.as_ref().is_some_and(|resource| resource.scope(scope).is_some())
            || !elsewhere.iter().any(|resource| resource.scope(scope).is_some())
    };
    let asked = client.scopes.iter().filter(|scope| !OPENID_SCOPES.contains(&scope.as_str()) && is_here(scope));
    Ok(asked.cloned().collect())
}

/// Nobody makes a client that may do more at the administration than they do themselves, nor becomes one: whoever gives a client
/// scopes, or a way to show who it is, could use it.
///
/// # Errors
/// The client may ask for a scope there that the token does not have.
fn within(tenant: &Tenant, token: &Examined, client: &Client) -> Answer<()> {
    let asked = asked_here(tenant, client)?;
    match asked.iter().find(|scope| !covers(&token.scopes, scope)) {
        None => Ok(()),
        Some(scope) => {
            let text = format!(
                "`{}` may ask for `{scope}` at the administration, which this token has not; use one that has it",
                client.id
            );
            Err(Refusal::new(ErrorCode::AccessDenied, "client.more", text))
        }
    }
}

/// Makes an application, with a secret when it shows who it is by one; what is answered has it, once.
fn create(tenant: &Tenant, token: &Examined, wanted: &NewClient, env: &Env<'_>) -> Answer<Value> {
    let id = wanted.id.clone().unwrap_or_else(|| env.id());
    let mut settings = wanted.settings.clone();
    if settings.name.is_empty() {
        settings.name.clone_from(&id);
    }
    let client = settings.over(&Client::new(id, ClientKind::App, ""));
    client.check_grant_types()?;
    within(tenant, token, &client)?;
    let made = again(|| {
        let mut change = tenant.change(env);
        let made = tenant.add_client(&mut change, &client, env)?;
        if wanted.admin {
            tenant.add_administrator(&mut change, &made.subject(), env);
        }
        change.commit()?;
        Ok(made)
    })?;
    let by_secret = [AuthMethod::ClientSecretBasic, AuthMethod::ClientSecretPost];
    if !made.auth_methods.iter().any(|method| by_secret.contains(method)) {
        return shown(tenant, &made);
    }
    let (_, secret) = tenant.add_secret(&made.id, None, env)?;
    let held = tenant.client(&made.id)?;
    let mut value = shown(tenant, &held)?;
    if let Some(members) = value.as_object_mut() {
        members.insert("client_secret".to_owned(), secret.into());
    }
    Ok(value)
}

/// Whether two clients are the same in what the registry of agents keeps.
fn same_to_registry(one: &Client, other: &Client) -> bool {
    one.name == other.name
        && one.auth_methods == other.auth_methods
        && one.keys == other.keys
        && one.assertion_chain == other.assertion_chain
        && one.workloads == other.workloads
        && one.tls_subject == other.tls_subject
        && one.tls_client_certificate_bound_access_tokens == other.tls_client_certificate_bound_access_tokens
}

fn elsewhere(id: &str) -> Refusal {
    let text = format!(
        "`{id}` is a registered agent: its name, secrets, keys, workloads, ways to show who it is and life are changed at \
         `/admin/agents/{id}`"
    );
    Refusal::new(ErrorCode::Conflict, "client.registered", text)
}

/// Who changes a client, and where.
struct By<'a> {
    tenant: &'a Tenant,
    token: &'a Examined,
    registered: Registered,
}

/// A client whose secrets and life are kept here, and that may do no more than who asks.
fn kept_here(by: &By<'_>, id: &str) -> Answer<Held<Client>> {
    let held = by.tenant.client(id)?;
    if held.kind == ClientKind::Agent && (by.registered)(by.tenant, id)? {
        return Err(elsewhere(id));
    }
    within(by.tenant, by.token, &held)?;
    Ok(held)
}

fn change(by: &By<'_>, (id, wanted): (&str, &ClientSettings), env: &Env<'_>) -> Answer<Value> {
    let &By { tenant, token, registered } = by;
    again(|| {
        let held = tenant.client(id)?;
        let wanted = wanted.clone().over(&held);
        if wanted.grant_types != held.grant_types {
            wanted.check_grant_types()?;
        }
        within(tenant, token, &held)?;
        within(tenant, token, &wanted)?;
        if held.kind == ClientKind::Agent && !same_to_registry(&held, &wanted) && registered(tenant, id)? {
            return Err(elsewhere(id));
        }
        shown(tenant, &tenant.change_client(&held, &wanted, env)?)
    })
}

fn add_secret(by: &By<'_>, (id, life_s): (&str, Option<Seconds>), env: &Env<'_>) -> Answer<Value> {
    if life_s == Some(0) {
        let text = "a secret is good for a second at least; leave `life_s` out for one that is good for ever";
        return Err(Refusal::new(ErrorCode::InvalidRequest, "client.secret_life", text));
    }
    let held = kept_here(by, id)?;
    let (secret_id, secret) = by.tenant.add_secret(&held.id, life_s, env)?;
    Ok(json!({"id": secret_id, "client_secret": secret}))
}
