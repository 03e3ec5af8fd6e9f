//! What the vault keeps: connections, credentials of people and of agents, and connections that somebody is about to make.
//!
//! These files alone know how they are stored and sealed. A credential is sealed in the hierarchy of its kind of holder, at
//! the place of its record: a row that was moved, or is read as the other kind, does not open.

mod connection;
mod reseal;
mod secret;

pub use connection::{CallLimits, ClientAuth, ClientKey, Connection, ConnectionSpec, HolderKind, Provider};
pub use reseal::{ResealCursor, reseal};
pub(super) use secret::NewCredential;
pub use secret::{Hidden, Secret};

use crate::engine::Module;
use crate::identity::{
    Answer, Change, Env, Held, PAGE_MAX, Refusal, Seconds, Stored, Tenant, decode, encode, record_key,
};
use crate::secrets::{self, Hierarchy};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// The module whose records these are.
pub const VAULT: Module = Module::new("vault");
/// Most connections for which one person or agent has credentials.
pub(super) const CREDENTIALS_MAX: usize = 64;
/// The index of a person's credentials: user, connection.
const OF_USER: u8 = b'U';
/// The index of an agent's credentials: agent, connection.
const OF_AGENT: u8 = b'A';

/// Who holds a credential.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Holder {
    /// A person: the id of a user.
    User(String),
    /// An agent or an application, as a subject: `agent:ID`.
    Agent(String),
}

impl Holder {
    /// As a subject.
    #[must_use]
    pub fn subject(&self) -> String {
        match self {
            Holder::User(id) => format!("user:{id}"),
            Holder::Agent(subject) => subject.clone(),
        }
    }

    fn part(&self) -> &str {
        match self {
            Holder::User(part) | Holder::Agent(part) => part,
        }
    }

    fn hierarchy(&self) -> Hierarchy {
        match self {
            Holder::User(_) => Hierarchy::UserCredentials,
            Holder::Agent(_) => Hierarchy::AgentCredentials,
        }
    }

    fn sort(&self) -> u8 {
        match self {
            Holder::User(_) => OfUser::SORT,
            Holder::Agent(_) => OfAgent::SORT,
        }
    }

    fn index(&self) -> u8 {
        match self {
            Holder::User(_) => OF_USER,
            Holder::Agent(_) => OF_AGENT,
        }
    }
}

/// Whether a credential works.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CredentialState {
    /// As far as is known.
    Active,
    /// The other side does not take it any more: its holder has to connect again.
    ReconnectNeeded {
        /// Since when.
        since: Seconds,
    },
}

/// A credential for a connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credential {
    /// The connection.
    pub connection: String,
    /// Whether it works.
    pub state: CredentialState,
    /// What the other side said it is for.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// How often it was replaced: each change of the secret is another generation.
    pub generation: u64,
    /// When the access token was made.
    pub issued_at: Seconds,
    /// When the access token is over, when it is ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Seconds>,
    /// Whether another access token can be had without its holder.
    pub refreshable: bool,
    /// When its holder connected.
    pub connected_at: Seconds,
    sealed: String,
}

/// A credential of a person.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct OfUser(Credential);

impl Stored for OfUser {
    const MODULE: Module = VAULT;
    const SORT: u8 = b'u';
    const WHAT: &'static str = "credential";
}

/// A credential of an agent.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct OfAgent(Credential);

impl Stored for OfAgent {
    const MODULE: Module = VAULT;
    const SORT: u8 = b'a';
    const WHAT: &'static str = "credential";
}

/// A credential as it was read.
#[derive(Clone, Debug)]
pub struct HeldCredential {
    /// Who holds it.
    pub holder: Holder,
    held: Row,
}

#[derive(Clone, Debug)]
enum Row {
    User(Held<OfUser>),
    Agent(Held<OfAgent>),
}

impl HeldCredential {
    fn of_user(held: Held<OfUser>) -> HeldCredential {
        HeldCredential { holder: Holder::User(held.last()), held: Row::User(held) }
    }

    fn of_agent(held: Held<OfAgent>) -> HeldCredential {
        HeldCredential { holder: Holder::Agent(held.last()), held: Row::Agent(held) }
    }

    /// What tells this state of its secret from others.
    pub(super) fn stamp(&self) -> &str {
        &self.sealed
    }
}

impl std::ops::Deref for HeldCredential {
    type Target = Credential;
    fn deref(&self) -> &Credential {
        match &self.held {
            Row::User(held) => &held.value.0,
            Row::Agent(held) => &held.value.0,
        }
    }
}

fn unsealed(error: &secrets::OpenError) -> Refusal {
    Refusal::failed("vault.open", error.to_string())
}

fn seal(tenant: &Tenant, hierarchy: Hierarchy, place: &[u8], plain: &[u8], env: &Env<'_>) -> Answer<String> {
    let sealed = secrets::seal(tenant.identity().ring(), hierarchy, place, plain, &env.bytes());
    sealed.map(|bytes| encode(&bytes)).map_err(|error| Refusal::failed("vault.seal", error.to_string()))
}

fn open(tenant: &Tenant, hierarchy: Hierarchy, place: &[u8], sealed: &str) -> Answer<Zeroizing<Vec<u8>>> {
    let bytes = decode(sealed).ok_or_else(|| unsealed(&secrets::OpenError::Damaged))?;
    secrets::open(tenant.identity().ring(), hierarchy, place, &bytes).map_err(|error| unsealed(&error))
}

fn is_newest(tenant: &Tenant, sealed: &str) -> bool {
    decode(sealed).is_some_and(|bytes| secrets::is_newest(tenant.identity().ring(), &bytes))
}

fn connection_place(tenant: &Tenant, id: &str) -> Vec<u8> {
    record_key(tenant.number(), Connection::SORT, &[id])
}

/// Seals a client secret at the place of its connection.
pub(super) fn seal_client_secret(tenant: &Tenant, id: &str, secret: &str, env: &Env<'_>) -> Answer<String> {
    seal(tenant, Hierarchy::System, &connection_place(tenant, id), secret.as_bytes(), env)
}

/// The client secret of a connection.
pub(super) fn client_secret(tenant: &Tenant, connection: &Connection) -> Answer<Option<Zeroizing<String>>> {
    let Some(sealed) = &connection.secret else { return Ok(None) };
    let plain = open(tenant, Hierarchy::System, &connection_place(tenant, &connection.spec.id), sealed)?;
    let text = String::from_utf8(plain.to_vec()).map_err(|_| unsealed(&secrets::OpenError::Damaged))?;
    Ok(Some(Zeroizing::new(text)))
}

fn client_key_place(tenant: &Tenant, id: &str, kid: &str) -> Vec<u8> {
    record_key(tenant.number(), Connection::SORT, &[id, kid])
}

/// Seals a private key of a connection at the place of its connection, by its name.
pub(super) fn seal_client_key(
    tenant: &Tenant,
    (id, kid): (&str, &str),
    private: &[u8],
    env: &Env<'_>,
) -> Answer<String> {
    seal(tenant, Hierarchy::System, &client_key_place(tenant, id, kid), private, env)
}

fn opened_key(tenant: &Tenant, id: &str, key: &ClientKey) -> Answer<Zeroizing<Vec<u8>>> {
    open(tenant, Hierarchy::System, &client_key_place(tenant, id, &key.kid), &key.sealed)
}

/// The private parts of all keys of a connection.
pub(super) fn client_keys(tenant: &Tenant, connection: &Connection) -> Answer<Vec<Zeroizing<Vec<u8>>>> {
    connection.keys.iter().map(|key| opened_key(tenant, &connection.spec.id, key)).collect()
}

/// The key of a connection that signs: its name, and its private part.
pub(super) fn client_key(tenant: &Tenant, connection: &Connection) -> Answer<Option<(String, Zeroizing<Vec<u8>>)>> {
    let Some(key) = connection.keys.first() else { return Ok(None) };
    Ok(Some((key.kid.clone(), opened_key(tenant, &connection.spec.id, key)?)))
}

fn credential_place(tenant: &Tenant, connection: &str, holder: &Holder) -> Vec<u8> {
    record_key(tenant.number(), holder.sort(), &[connection, holder.part()])
}

/// What the key of a record of the vault names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum KeyOf {
    /// A connection, by its id.
    Connection(String),
    /// A credential, by its connection and its holder.
    Credential(String, Holder),
}

/// What a key names, if it is a connection or a credential.
pub(super) fn key_of(key: &[u8]) -> Option<KeyOf> {
    let (sort, parts) = key.get(4..)?.split_first()?;
    let parts = std::str::from_utf8(parts).ok()?;
    let held = |holder: fn(String) -> Holder| {
        let (connection, part) = parts.split_once('\0')?;
        Some(KeyOf::Credential(connection.to_owned(), holder(part.to_owned())))
    };
    match *sort {
        Connection::SORT => Some(KeyOf::Connection(parts.to_owned())),
        OfUser::SORT => held(Holder::User),
        OfAgent::SORT => held(Holder::Agent),
        _ => None,
    }
}

/// All credentials of a tenant, one after another.
///
/// # Errors
/// The disk failed, or what `look` answers.
pub(super) fn every_credential(tenant: &Tenant, mut look: impl FnMut(&HeldCredential) -> Answer<()>) -> Answer<()> {
    let last = |held: &HeldCredential| format!("{}\0{}", held.connection, held.holder.part());
    let pages: [&dyn Fn(Option<&str>) -> Answer<Vec<HeldCredential>>; 2] = [
        &|after| Ok(tenant.list::<OfUser>(&[], after, PAGE_MAX)?.into_iter().map(HeldCredential::of_user).collect()),
        &|after| Ok(tenant.list::<OfAgent>(&[], after, PAGE_MAX)?.into_iter().map(HeldCredential::of_agent).collect()),
    ];
    for page in pages {
        let mut after: Option<String> = None;
        loop {
            let all = page(after.as_deref())?;
            all.iter().try_for_each(&mut look)?;
            after = all.last().map(last);
            if all.len() < PAGE_MAX {
                break;
            }
        }
    }
    Ok(())
}

/// The credential of a holder.
pub(super) fn credential(tenant: &Tenant, connection: &str, holder: &Holder) -> Answer<Option<HeldCredential>> {
    let parts = [connection, holder.part()];
    let held = match holder {
        Holder::User(_) => tenant.get::<OfUser>(&parts)?.map(Row::User),
        Holder::Agent(_) => tenant.get::<OfAgent>(&parts)?.map(Row::Agent),
    };
    Ok(held.map(|held| HeldCredential { holder: holder.clone(), held }))
}

/// All credentials of a holder, in the order of their connections.
pub(super) fn credentials_of(tenant: &Tenant, holder: &Holder) -> Answer<Vec<HeldCredential>> {
    let connections = tenant.marks(VAULT, holder.index(), &[holder.part()], None, CREDENTIALS_MAX)?;
    let mut found = Vec::with_capacity(connections.len());
    for connection in connections {
        found.extend(credential(tenant, &connection, holder)?);
    }
    Ok(found)
}

/// The credentials for a connection, in the order of their holders, behind the one of `after`, which is the id of a user or an
/// agent as a subject; those of people or of agents, as the connection is. At most `max`; a page that is not full is the last.
///
/// # Errors
/// The disk failed.
pub fn credentials_for(
    tenant: &Tenant,
    connection: &Connection,
    after: Option<&str>,
    max: usize,
) -> Answer<Vec<HeldCredential>> {
    let id = [connection.spec.id.as_str()];
    Ok(match connection.spec.holder {
        HolderKind::User => tenant.list::<OfUser>(&id, after, max)?.into_iter().map(HeldCredential::of_user).collect(),
        HolderKind::Agent => {
            tenant.list::<OfAgent>(&id, after, max)?.into_iter().map(HeldCredential::of_agent).collect()
        }
        HolderKind::UserAndAgent => Vec::new(), // nobody keeps any
    })
}

/// The secret of a credential.
pub(super) fn opened(tenant: &Tenant, held: &HeldCredential) -> Answer<Secret> {
    let place = credential_place(tenant, &held.connection, &held.holder);
    let plain = open(tenant, held.holder.hierarchy(), &place, &held.sealed)?;
    serde_json::from_slice(&plain).map_err(|_| unsealed(&secrets::OpenError::Damaged))
}

/// Adds a credential to a change: the first of its holder for the connection, or in place of the one that was read.
pub(super) fn store(
    tenant: &Tenant,
    change: &mut Change<'_>,
    (connection, holder): (&str, &Holder),
    before: Option<&HeldCredential>,
    new: &NewCredential,
    env: &Env<'_>,
) -> Answer<Credential> {
    new.secret.check()?;
    let place = credential_place(tenant, connection, holder);
    let plain = serde_json::to_vec(&new.secret).map(Zeroizing::new);
    let plain = plain.map_err(|error| Refusal::failed("vault.form", error.to_string()))?;
    let credential = Credential {
        connection: connection.to_owned(),
        state: CredentialState::Active,
        scopes: new.scopes.clone(),
        generation: before.map_or(1, |before| before.generation + 1),
        issued_at: env.seconds(),
        expires_at: new.expires_at,
        refreshable: new.refreshable,
        connected_at: before.map_or(env.seconds(), |before| before.connected_at),
        sealed: seal(tenant, holder.hierarchy(), &place, &plain, env)?,
    };
    put(change, (connection, holder), before, &credential);
    Ok(credential)
}

/// Adds another state of a credential to a change; its secret stays.
pub(super) fn mark(
    change: &mut Change<'_>,
    before: &HeldCredential,
    state: CredentialState,
    expires_at: Option<Seconds>,
) {
    let credential = Credential { state, expires_at, ..(**before).clone() };
    put(change, (&before.connection, &before.holder), Some(before), &credential);
}

fn put(
    change: &mut Change<'_>,
    (connection, holder): (&str, &Holder),
    before: Option<&HeldCredential>,
    credential: &Credential,
) {
    let parts = [connection, holder.part()];
    match (holder, before.map(|before| &before.held)) {
        (Holder::User(_), Some(Row::User(held))) => change.replace(held, &OfUser(credential.clone())),
        (Holder::Agent(_), Some(Row::Agent(held))) => change.replace(held, &OfAgent(credential.clone())),
        (Holder::User(_), _) => change.create(&parts, &OfUser(credential.clone())),
        (Holder::Agent(_), _) => change.create(&parts, &OfAgent(credential.clone())),
    }
    change.mark(VAULT, holder.index(), &[holder.part(), connection]);
}

/// Adds the removal of a credential to a change.
pub(super) fn remove(change: &mut Change<'_>, before: &HeldCredential) {
    match &before.held {
        Row::User(held) => change.remove(held),
        Row::Agent(held) => change.remove(held),
    }
    change.unmark(VAULT, before.holder.index(), &[before.holder.part(), &before.connection]);
}

/// A connection that somebody is about to make: the state of a request to a provider.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Pending {
    pub(super) connection: String,
    pub(super) user: String,
    /// The browser's session, which the callback must come in.
    pub(super) session: String,
    pub(super) until: Seconds,
    /// The verifier of PKCE, sealed.
    verifier: String,
}

impl Stored for Pending {
    const MODULE: Module = VAULT;
    const SORT: u8 = b'p';
    const WHAT: &'static str = "connection to be made";
}

fn pending_place(tenant: &Tenant, part: &str) -> Vec<u8> {
    record_key(tenant.number(), Pending::SORT, &[part])
}

impl Pending {
    pub(super) fn new(
        tenant: &Tenant,
        part: &str,
        (connection, user, session): (&str, &str, &str),
        (verifier, until): (&str, Seconds),
        env: &Env<'_>,
    ) -> Answer<Pending> {
        let verifier = seal(tenant, Hierarchy::System, &pending_place(tenant, part), verifier.as_bytes(), env)?;
        let (connection, user, session) = (connection.to_owned(), user.to_owned(), session.to_owned());
        Ok(Pending { connection, user, session, until, verifier })
    }

    pub(super) fn verifier(&self, tenant: &Tenant, part: &str) -> Answer<Zeroizing<String>> {
        let plain = open(tenant, Hierarchy::System, &pending_place(tenant, part), &self.verifier)?;
        let text = String::from_utf8(plain.to_vec()).map_err(|_| unsealed(&secrets::OpenError::Damaged))?;
        Ok(Zeroizing::new(text))
    }
}
