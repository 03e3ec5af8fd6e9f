//! What the modules that ask other people's servers, or are asked for because of them, want of the rest of the house.

use super::plugs::Administration;
use crate::identity::{
    Answer, Client, ClientKind, CredentialUses, Env, ErrorCode, Examined, Refusal, Tenant, check_id,
};
use crate::modules::agent::{
    self, Agent, DOCUMENT_BYTES_MAX, Destinations, Documents, NoApprovals, OwnAccount, OwnAccounts, Registry, Stage,
};
use crate::modules::approval::Approvals;
use crate::modules::approval::channel::News;
use crate::modules::{exchange, login, oauth, vault};
use crate::wire::{Outgoing, OutgoingRequest, Places, now, random};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode, header};
use std::sync::Arc;
use std::time::Duration;

/// How long a server of client metadata documents may take.
const DOCUMENT_TIMEOUT: Duration = Duration::from_secs(5);
/// Most of them that are asked at a time, each on a thread that waits: anybody can name one. And most of them for one tenant.
const DOCUMENTS_AT_ONCE_MAX: usize = 8;
const DOCUMENTS_AT_ONCE_PER_TENANT_MAX: usize = DOCUMENTS_AT_ONCE_MAX / 4;

/// What a person's account page says of their connections.
pub(super) struct Connections;

impl vault::admin::http::Tokens for Administration {
    fn judge(&self, tenant: &Tenant, head: &Parts, env: &Env<'_>) -> Answer<Examined> {
        agent::http::Tokens::judge(self, tenant, head, env)
    }
}

impl login::ConnectedAccounts for Connections {
    fn of(&self, tenant: &Tenant, user: &str) -> Answer<Vec<login::ConnectedAccount>> {
        let found = vault::connections_of(tenant, user)?.into_iter().map(|one| login::ConnectedAccount {
            path: format!("/connect/{}", one.connection),
            name: one.name,
            connected: one.state != "none",
            broken: one.state == "reconnect_needed",
        });
        Ok(found.collect())
    }
}

/// Tells people what they have to connect again, as they are told of approvals.
pub(super) struct Reconnects(pub(super) Approvals);

impl vault::Tell for Reconnects {
    fn reconnect_needed(&self, tenant: &Tenant, user: &str, connection: &str) {
        tracing::warn!(tenant = tenant.name(), user, connection, "somebody has to connect this again");
        let (approvals, tenant) = (self.0.clone(), tenant.clone());
        let (user, connection) = (user.to_owned(), connection.to_owned());
        // It waits for the disk. That the credential is of no use is in the log and on the person's pages whatever becomes of this.
        drop(tokio::task::spawn_blocking(move || {
            let env = Env::new(now(), &random);
            let name = vault::connections_of(&tenant, &user).map(|all| {
                all.into_iter()
                    .find(|one| one.connection == connection)
                    .map_or_else(|| connection.clone(), |one| one.name)
            });
            let told = name.and_then(|name| {
                approvals.tell_news(&tenant, &user, &News::Reconnect { connection: connection.clone(), name }, &env)
            });
            if let Err(refusal) = told {
                tracing::error!(%refusal, user, connection, "nobody could be told of a connection that is broken");
            }
        }));
    }
}

/// The tenant's own accounts at other systems: those of its connections.
#[derive(Clone, Copy, Debug, Default)]
pub struct ConnectionAccounts;

impl OwnAccounts for ConnectionAccounts {
    fn of(&self, tenant: &Tenant) -> Answer<Vec<OwnAccount>> {
        let found = vault::accounts(tenant)?.into_iter();
        Ok(found.map(|(connection, systems, account)| OwnAccount { connection, systems, account }).collect())
    }
}

/// Where connections lead: those of the vault, and managed ones.
#[derive(Clone, Copy, Debug, Default)]
pub struct ConnectionTargets;

impl Destinations for ConnectionTargets {
    fn of(&self, tenant: &Tenant, connection: &str) -> Answer<Option<String>> {
        let found = |answer: Answer<String>| match answer {
            Ok(to) => Ok(Some(to)),
            Err(refusal) if refusal.error == ErrorCode::NotFound => Ok(None),
            Err(refusal) => Err(refusal),
        };
        if check_id(connection).is_err() {
            return Ok(None); // neither gives such ids
        }
        if let Some(to) = found(vault::get(tenant, connection).map(|held| held.spec.base.clone()))? {
            return Ok(Some(to));
        }
        found(exchange::connection(tenant, connection).map(|held| held.audience().to_owned()))
    }
}

/// Client metadata documents, from where they are.
struct FromTheNet {
    outgoing: Outgoing,
    places: Places,
}

impl Documents for FromTheNet {
    fn fetch(&self, tenant: u32, url: &str) -> Answer<Vec<u8>> {
        let busy = || {
            let text = "too many client metadata documents are asked for at this moment; try again in a few seconds";
            Refusal { retry_after_s: Some(2), ..Refusal::new(ErrorCode::TemporarilyUnavailable, "document.busy", text) }
        };
        // Why is for the log: who asks has chosen the URL, and must not learn what is behind it.
        let failed = |why: String| {
            let text = "the client metadata document cannot be had; it is at an https URL that anybody can read, without \
                        a redirect";
            Refusal::new(ErrorCode::InvalidClient, "document.unreachable", text).because(why)
        };
        let _place = self.places.take(tenant).ok_or_else(busy)?;
        let mut ask = OutgoingRequest::new(Method::GET, url.parse().map_err(|_| failed("it is no URL".into()))?);
        (ask.timeout, ask.answer_bytes_max) = (DOCUMENT_TIMEOUT, DOCUMENT_BYTES_MAX as u64);
        ask.headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        let answer = self.outgoing.wait(self.outgoing.fetch(ask));
        let answer = answer.ok_or_else(|| Refusal::failed("document.runtime", "there is no runtime"))?;
        let answer = answer.map_err(|error| failed(error.to_string()))?;
        if answer.status != StatusCode::OK {
            return Err(failed(format!("it answered {}", answer.status.as_u16())));
        }
        Ok(answer.body)
    }
}

/// Makes drafts in the registry of agents that nobody registered.
pub(super) struct Drafts(FromTheNet);

impl Drafts {
    pub(super) fn new(outgoing: Outgoing) -> Arc<Drafts> {
        Arc::new(Drafts(FromTheNet {
            outgoing,
            places: Places::new(DOCUMENTS_AT_ONCE_MAX, DOCUMENTS_AT_ONCE_PER_TENANT_MAX),
        }))
    }
}

impl oauth::Strangers for Drafts {
    fn seen(&self, tenant: &Tenant, url: &str, env: &Env<'_>) -> Refusal {
        let registry = Registry { tenant, approvals: &NoApprovals };
        match registry.seen(url, &self.0, env) {
            Ok(seen) => stands(seen.agent()),
            Err(refusal) => refusal,
        }
    }
}

/// Keeps when agents last showed their credentials, in the registry.
pub(super) struct LastUses;

impl CredentialUses for LastUses {
    fn used(&self, tenant: &Tenant, client: &Client, credential: &str, env: &Env<'_>) {
        if client.kind != ClientKind::Agent {
            return;
        }
        let registry = Registry { tenant, approvals: &NoApprovals };
        match registry.note_use(&client.id, credential, env) {
            // An agent that is a client, and that nobody registered.
            Err(refusal) if refusal.error == ErrorCode::NotFound => {}
            Err(refusal) => tracing::warn!(tenant = tenant.name(), client = client.id, %refusal, "a use is not noted"),
            Ok(()) => {}
        }
    }
}

/// What an agent is told that names itself by its document.
fn stands(agent: &Agent) -> Refusal {
    let id = &agent.record.id;
    let (rule, text) = match agent.stage {
        Stage::Discovered => (
            "draft.waiting",
            format!(
                "this agent is known now as the draft `{id}`; it can act once somebody has adopted and activated it"
            ),
        ),
        Stage::Retired => ("draft.retired", "this agent was retired".to_owned()),
        Stage::Registered | Stage::Active | Stage::Suspended => {
            ("draft.registered", format!("this agent is registered as `{id}`, which is its `client_id` here"))
        }
    };
    Refusal::new(ErrorCode::InvalidClient, rule, text)
}
