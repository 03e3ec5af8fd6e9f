//! The vault: credentials for other people's APIs, lent and never handed out.
//!
//! An agent calls `/proxy/CONNECTION/…` with its own token. The call is judged (who, by Check; what, by the connection's
//! rules; with which scope), the credential is put in on the way out, and the answer is filtered on the way back. The agent
//! never sees the credential, and its environment holds none. `docs/vault.md` says what is promised and what is refused.

pub mod admin;
pub mod http;

mod answer;
mod approved;
mod asserted;
mod connect;
mod connections;
mod everybody;
mod exchange;
mod filter;
mod keys;
mod lease;
mod pages;
mod policy;
mod proxy;
mod records;
mod underway;
mod upstream;

pub use asserted::{Assertion, Assertions, NoAssertions, WantedAssertion};
pub use connect::{Connected, connections_of, disconnect, set_credential};
pub use connections::{
    Classed, ScopeClass, accounts, allow, allowed, change, classes, classify, connection_scope, create, get, list,
    remove,
};
pub use exchange::{FEDERATED_GRANT, FederatedConnection};
pub use keys::{CLIENT_KEYS_MAX, KeyFrom, add_key, remove_key, use_key};
pub use policy::{ANSWERED_BY, PURPOSE, ProxyRule, SafePath};
pub use records::{
    CallLimits, ClientAuth, ClientKey, Connection, ConnectionSpec, Credential, CredentialState, HeldCredential, Hidden,
    Holder, HolderKind, Provider, ResealCursor, Secret, VAULT, credentials_for, reseal,
};
pub use underway::tell_lost;

use crate::identity::{
    Actor, Answer, Authentication, Env, ErrorCode, Event, Examined, Grant, GrantSubject, Refusal, Tenant,
};
use crate::wire::{Asked, Flights, Outgoing, OutgoingRequest, Place, Places, now, random};
use ::http::{HeaderMap, Method};
use filter::Filters;
use lease::{Begun, Lease, Looked, Refreshed, Source, Whose};
use proxy::Admitted;
use records::credentials_of;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use upstream::TokenRequest;

/// How long a token endpoint may take.
const TOKEN_TIMEOUT: Duration = Duration::from_secs(10);
/// The largest answer of a token endpoint.
const TOKEN_ANSWER_BYTES_MAX: u64 = 128 << 10;
/// Calls whose bodies are held at once, because all of a body is what is approved: 8 MiB each at most.
const BODIES_MAX: usize = 64;
/// How many of them one tenant may have.
const BODIES_PER_TENANT_MAX: usize = BODIES_MAX / 4;
/// When a call that found no place may come again, in seconds.
const BUSY_SECONDS: u32 = 2;

/// Who is signed in at a browser. The login module knows; `server.rs` plugs it in.
pub trait SignedIn: Send + Sync {
    /// The person and the id of their session, as the request's headers show it.
    ///
    /// # Errors
    /// It could not be found out.
    fn signed_in(&self, tenant: &Tenant, headers: &HeaderMap, env: &Env<'_>) -> Answer<Option<(String, String)>>;

    /// Where a person signs in, to come back to a path of the issuer afterwards.
    fn sign_in_url(&self, tenant: &Tenant, back: &str) -> String;
}

/// Tells people what they have to do. `server.rs` plugs in what sends mail or the like.
pub trait Tell: Send + Sync {
    /// A connection of a person has to be connected again. It must not block.
    fn reconnect_needed(&self, tenant: &Tenant, user: &str, connection: &str);
}

/// Who knows approvals: the proxy asks it where a scope needs one. `server.rs` plugs it in.
pub trait Approvals: Send + Sync {
    /// Uses up, once, the approval by which a grant was given, for exactly this detail of it. Answers the id of the approval;
    /// nothing when the grant came from none, or from one that does not allow this, or no more.
    ///
    /// # Errors
    /// It could not be looked at, which allows nothing.
    fn spend(&self, tenant: &Tenant, grant: &Grant, detail: &Value, env: &Env<'_>) -> Answer<Option<String>>;
}

/// Where nobody approves anything: calls that need an approval are refused.
pub struct NoApprovals;

impl Approvals for NoApprovals {
    fn spend(&self, _: &Tenant, _: &Grant, _: &Value, _: &Env<'_>) -> Answer<Option<String>> {
        Ok(None)
    }
}

/// The vault. Clones share it.
#[derive(Clone)]
pub struct Vault {
    inner: Arc<Inner>,
    approvals: Arc<dyn Approvals>,
    assertions: Arc<dyn Assertions>,
}

struct Inner {
    outgoing: Outgoing,
    signed_in: Arc<dyn SignedIn>,
    tell: Arc<dyn Tell>,
    refreshes: Flights<(u32, String, Holder), Answer<()>>,
    redemptions: Flights<asserted::Key, Answer<()>>,
    tokens: asserted::Tokens,
    filters: Filters,
    bodies: Places,
}

/// Who calls: a token of ours, judged.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The person for whom it acts: the id of a user.
    pub user: Option<String>,
    /// The agent or application that acts, as a subject.
    pub agent: String,
    /// Those for whom it acts besides, the nearest first.
    pub behind: Vec<String>,
    /// The scopes of the token.
    pub scopes: Vec<String>,
    /// The client, as a subject.
    pub client: String,
    /// The grant and the id of the token.
    pub grant: String,
    /// The id of the token.
    pub jti: String,
    /// The token, to be judged again, when an approval by which it was given lets calls through here.
    pub held: Option<Hidden>,
    /// How and when the person was authenticated; nothing when nobody was.
    pub authentication: Option<Authentication>,
}

impl Caller {
    /// The caller whose token was judged.
    #[must_use]
    pub fn of(examined: &Examined) -> Caller {
        let client = examined.client().subject();
        // An actor of another issuer is nobody here: who acts is the client that it uses.
        let ours = |actor: &&Actor| actor.issuer.is_none();
        let mut actors = examined.grant.actors.iter();
        let agent = actors.clone().next().filter(ours).map(|actor| actor.subject.clone());
        if agent.is_some() {
            actors.next();
        }
        let user = match &examined.grant.subject {
            GrantSubject::User(id) => Some(id.clone()),
            GrantSubject::Client => None,
        };
        Caller {
            user,
            agent: agent.unwrap_or_else(|| client.clone()),
            behind: actors.map(|actor| actor.subject.clone()).collect(),
            scopes: examined.scopes.clone(),
            client,
            grant: examined.grant.id.clone(),
            jti: examined.jti.clone(),
            held: None,
            authentication: examined.authentication().cloned(),
        }
    }

    /// An event with who it is in its fields.
    fn tell(&self, mut event: Event) -> Event {
        event = event.agent(&self.agent).client(&self.client).grant(&self.grant).token(&self.jti);
        if let Some(user) = &self.user {
            event = event.user(format!("user:{user}"));
        }
        self.behind.iter().fold(event, |event, actor| event.actor(actor))
    }
}

impl Vault {
    /// A vault that asks others through this client.
    #[must_use]
    pub fn new(outgoing: Outgoing, signed_in: Arc<dyn SignedIn>, tell: Arc<dyn Tell>) -> Vault {
        let inner = Arc::new(Inner {
            outgoing,
            signed_in,
            tell,
            refreshes: Flights::default(),
            redemptions: Flights::default(),
            tokens: asserted::Tokens::default(),
            filters: Filters::default(),
            bodies: Places::new(BODIES_MAX, BODIES_PER_TENANT_MAX),
        });
        Vault { inner, approvals: Arc::new(NoApprovals), assertions: Arc::new(NoAssertions) }
    }

    /// The same vault, which asks this one about approvals.
    #[must_use]
    pub fn with_approvals(self, approvals: Arc<dyn Approvals>) -> Vault {
        Vault { approvals, ..self }
    }

    /// The same vault, which has this one assert to other authorization servers for whom calls are.
    #[must_use]
    pub fn with_assertions(self, assertions: Arc<dyn Assertions>) -> Vault {
        Vault { assertions, ..self }
    }

    /// Drops what is in memory and over.
    pub fn tidy(&self, env: &Env<'_>) {
        self.inner.tokens.forget(env.seconds(), None);
    }

    /// A place for a tenant's call among those whose bodies are held.
    ///
    /// # Errors
    /// There is none now.
    fn turn(&self, tenant: &Tenant) -> Answer<Place> {
        self.inner.bodies.take(tenant.number()).ok_or_else(|| {
            let text = "too many calls that need an approval are being sent at this moment; try again in a few seconds";
            let refusal = Refusal::new(ErrorCode::TemporarilyUnavailable, "proxy.busy", text);
            Refusal { retry_after_s: Some(BUSY_SECONDS), ..refusal }
        })
    }

    /// Has a credential that is good, for a call that was admitted.
    ///
    /// # Errors
    /// There is none, now or any more.
    async fn renew(&self, asked: &Asked, caller: &Caller, admitted: &Admitted) -> Answer<()> {
        match &admitted.whose {
            Whose::Kept(holder) => self.refresh(&asked.tenant, &admitted.connection.spec.id, holder).await,
            Whose::Both { .. } => self.get(asked, caller, &admitted.connection).await,
        }
    }

    /// Refreshes a credential, once however many wait for it. It goes on when nobody waits any more: a refresh token that was
    /// rotated must not be lost because a caller went away.
    ///
    /// # Errors
    /// There are no tokens, now or any more.
    async fn refresh(&self, tenant: &Tenant, id: &str, holder: &Holder) -> Answer<()> {
        let key = (tenant.number(), id.to_owned(), holder.clone());
        let work = || self.clone().refresh_alone(tenant.clone(), id.to_owned(), holder.clone());
        let done = self.inner.refreshes.join(key, work).await;
        done.unwrap_or_else(|| Err(Refusal::failed("lease.panic", "a refresh panicked")))
    }

    async fn refresh_alone(self, tenant: Tenant, id: String, holder: Holder) -> Answer<()> {
        let (of_rules, of_id, of_holder) = (tenant.clone(), id.clone(), holder.clone());
        let begun = rules(move |env| lease::begin_refresh(&of_rules, &of_id, &of_holder, env)).await?;
        let Begun::Ask(flight, request) = begun else { return Ok(()) };
        let (status, body) = self.ask(&id, request).await?;
        let of_rules = tenant.clone();
        let done = rules(move |env| lease::finish_refresh(&of_rules, &flight, (status, &body), env)).await?;
        if done == Refreshed::Broken {
            self.tell(&tenant, &holder, &id);
            return Err(answer::reconnect(&id));
        }
        Ok(())
    }

    /// Looks at the credential that a call uses.
    ///
    /// # Errors
    /// There is none that is, or will be, of use.
    fn look(
        &self,
        tenant: &Tenant,
        connection: &Connection,
        (caller, whose): (&Caller, &Whose),
        env: &Env<'_>,
    ) -> Answer<Looked> {
        match whose {
            Whose::Kept(holder) => self.look_at(tenant, connection, holder, env),
            Whose::Both { .. } => self.look_for_got(tenant, connection, caller, env),
        }
    }

    /// Looks at the credential of a holder, and tells them when it has just turned out to be of no use.
    ///
    /// # Errors
    /// There is none that is, or will be, of use.
    fn look_at(&self, tenant: &Tenant, connection: &Connection, holder: &Holder, env: &Env<'_>) -> Answer<Looked> {
        let looked = lease::look(tenant, connection, holder, env)?;
        let Looked::Broken(news) = looked else { return Ok(looked) };
        if news {
            self.tell(tenant, holder, &connection.spec.id);
        }
        Err(answer::reconnect(&connection.spec.id))
    }

    fn tell(&self, tenant: &Tenant, holder: &Holder, connection: &str) {
        if let Holder::User(user) = holder {
            self.inner.tell.reconnect_needed(tenant, user, connection);
        }
    }

    /// The other side did not take a credential: one that was got is dropped, and one that is kept is refreshed for the next
    /// call, if that may help.
    ///
    /// # Errors
    /// The disk failed.
    async fn not_taken(&self, asked: &Asked, lease: &Lease) -> Answer<()> {
        match &lease.source {
            Source::Kept(held) => {
                let held = held.clone();
                asked.run(move |tenant, env| lease::not_taken(tenant, &held, env)).await
            }
            Source::Got(got) => {
                self.inner.tokens.drop_it(got);
                Ok(())
            }
        }
    }

    /// Takes a token back at its provider; whether it said that it did. What was removed is gone here whatever it says.
    async fn take_back(&self, connection: &str, request: TokenRequest) -> bool {
        match self.ask(connection, request).await {
            Ok((status, _)) => (200..300).contains(&status),
            Err(refusal) => {
                tracing::warn!(connection, %refusal, "a token could not be taken back at its provider");
                false
            }
        }
    }

    /// Removes what somebody who was deleted had connected, and takes their tokens back at the providers. It may block, for a
    /// bounded time each. Answers how many there were.
    ///
    /// # Errors
    /// The disk failed.
    pub fn forget_user(&self, tenant: &Tenant, user: &str, env: &Env<'_>) -> Answer<usize> {
        self.inner.tokens.forget(env.seconds(), Some((tenant.number(), user)));
        self.forget(tenant, &Holder::User(user.to_owned()), "user.deleted", env)
    }

    /// The same for an agent that was retired, or an application that was deleted, as `agent:ID` or `app:ID`: what it had of its
    /// own. Its owners can do nothing with that any more, and a secret that nobody watches is found by somebody else.
    ///
    /// # Errors
    /// The disk failed.
    pub fn forget_client(&self, tenant: &Tenant, subject: &str, env: &Env<'_>) -> Answer<usize> {
        self.forget(tenant, &Holder::Agent(subject.to_owned()), "client.deleted", env)
    }

    fn forget(&self, tenant: &Tenant, holder: &Holder, reason: &'static str, env: &Env<'_>) -> Answer<usize> {
        let held = credentials_of(tenant, holder)?;
        for credential in &held {
            let request = match connect::removed(tenant, &credential.connection, holder, reason, env) {
                Ok(request) => request,
                Err(refusal) if refusal.error == ErrorCode::NotFound => None,
                Err(refusal) => return Err(refusal),
            };
            if let Some(request) = request {
                self.inner.outgoing.wait(self.take_back(&credential.connection, request));
            }
        }
        Ok(held.len())
    }

    /// Asks a token endpoint.
    async fn ask(&self, connection: &str, request: TokenRequest) -> Answer<(u16, Vec<u8>)> {
        let TokenRequest { url, headers, body } = request;
        let url = url.parse().map_err(|_| Refusal::failed("connection.url", "a token endpoint is no URL"))?;
        let mut ask = OutgoingRequest::new(Method::POST, url);
        (ask.headers, ask.timeout, ask.answer_bytes_max) = (headers, TOKEN_TIMEOUT, TOKEN_ANSWER_BYTES_MAX);
        ask.body = body.as_bytes().to_vec().into();
        let answer = self.inner.outgoing.fetch(ask).await.map_err(|error| {
            let text = format!("the provider of `{connection}` cannot be asked for tokens; try again later");
            let refusal = Refusal::new(ErrorCode::TemporarilyUnavailable, "lease.unreachable", text);
            Refusal { retry_after_s: Some(5), ..refusal.because(error.to_string()) }
        })?;
        Ok((answer.status.as_u16(), answer.body))
    }
}

/// Runs rules that belong to no request on a thread that may wait.
async fn rules<T: Send + 'static>(rules: impl FnOnce(&Env<'_>) -> Answer<T> + Send + 'static) -> Answer<T> {
    crate::wire::blocking(move || rules(&Env::new(now(), &random)))
        .await
        .unwrap_or_else(|| Err(Refusal::failed("vault.panic", "a rule panicked")))
}

#[cfg(test)]
mod tests;
