//! Access tokens that nobody keeps: each is got for a person and an agent together, by an identity assertion about both, at the
//! authorization server of another domain (ID-JAG, RFC 7523 2.1; enterprise-managed authorization, where an MCP server is there).
//!
//! Whether there may be one is judged anew before each call, by whoever makes assertions; a token is lent only to the person,
//! the agent, the sign-in, the connection and the words for which it was got. Tokens are in memory alone, until they are over or
//! the other side does not take them.

use super::answer::{TokenFault, read_answer};
use super::everybody::LookedFor;
use super::lease::{Lease, Looked, Source, is_due};
use super::records::{Connection, Hidden, Provider, Secret};
use super::upstream::{TokenRequest, assertion_request};
use super::{Caller, Vault, keys};
use crate::identity::{Answer, Env, ErrorCode, EventKind, Outcome, Refusal, Seconds, Tenant, hash_of};
use crate::wire::Asked;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;

/// Most tokens that are held, most of one tenant, and most of one person and agent.
pub(super) const TOKENS_MAX: usize = 4_096;
pub(super) const TOKENS_PER_TENANT_MAX: usize = TOKENS_MAX / 4;
pub(super) const TOKENS_PER_PAIR_MAX: usize = 64;
/// How long a token is used of which the other side does not say how long it lives, in seconds.
const UNSAID_S: Seconds = 60;
/// How long a token is kept at most, whatever the other side says, in seconds.
const KEPT_MAX_S: Seconds = 3_600;

/// What is to be asserted, of whom and where.
#[derive(Clone, Copy, Debug)]
pub struct WantedAssertion<'a> {
    /// Who calls, by a token that was judged just now.
    pub caller: &'a Caller,
    /// The connection through which they call.
    pub connection: &'a str,
    /// The issuer of the other authorization server.
    pub issuer: &'a str,
    /// As which client we show ourselves there.
    pub client_id: &'a str,
    /// Scopes by name; none for all that need nobody.
    pub scopes: &'a [String],
    /// The resource there.
    pub resource: &'a str,
}

/// An assertion that was made.
#[derive(Clone, Debug)]
pub struct Assertion {
    /// What is shown to the other authorization server.
    pub text: Hidden,
    /// Its id.
    pub id: String,
    /// What it says, as [`Assertions::judge`] says it.
    pub says: String,
    /// The scopes that it asserts, as they are called there.
    pub scopes: Vec<String>,
    /// Until when the approvals that it rests on are good, when it rests on any.
    pub approved_until: Option<Seconds>,
}

/// Who asserts to other authorization servers that an agent acts for a person. `server.rs` plugs it in.
pub trait Assertions: Send + Sync {
    /// Judges whether there would be an assertion now. Answers what it would say, in a text that is another whenever that is.
    ///
    /// # Errors
    /// There would be none.
    fn judge(&self, tenant: &Tenant, wanted: &WantedAssertion<'_>, env: &Env<'_>) -> Answer<String>;

    /// Makes one, by the same rules, and writes down that it did, or why not.
    ///
    /// # Errors
    /// There is none.
    fn make(&self, tenant: &Tenant, wanted: &WantedAssertion<'_>, env: &Env<'_>) -> Answer<Assertion>;
}

/// Where nothing is asserted: connections that need it are of no use.
pub struct NoAssertions;

impl Assertions for NoAssertions {
    fn judge(&self, _: &Tenant, _: &WantedAssertion<'_>, _: &Env<'_>) -> Answer<String> {
        Err(Refusal::new(ErrorCode::AccessDenied, "assertion.none", "nothing is asserted to other servers here"))
    }

    fn make(&self, tenant: &Tenant, wanted: &WantedAssertion<'_>, env: &Env<'_>) -> Answer<Assertion> {
        self.judge(tenant, wanted, env).and_then(|_| Err(Refusal::failed("assertion.none", "nobody makes them")))
    }
}

/// A token that was got.
#[derive(Debug)]
pub(super) struct Got {
    pub(super) secret: Secret,
    /// The id of the assertion that got it.
    pub(super) assertion: String,
    issued_at: Seconds,
    expires_at: Seconds,
    /// Whether another can be had without somebody approving it.
    pub(super) renewable: bool,
    /// For calls through which connection.
    pub(super) connection: String,
    /// As long as it lives, it leaves in nobody's answer.
    _looked_for: Option<LookedFor>,
}

impl Got {
    /// Whether another is to be had by now, if that takes nobody who approves it.
    pub(super) fn is_due(&self, now: Seconds) -> bool {
        self.renewable && is_due(self.issued_at, self.expires_at, now)
    }
}

/// Of whom a token is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Pair {
    tenant: u32,
    user: String,
    agent: String,
}

/// For what a token was got.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pair: Pair,
    connection: String,
    /// The sign-in.
    grant: String,
    /// What was asserted, and where and how it was redeemed, as a hash.
    says: String,
}

/// The tokens of a process.
#[derive(Default)]
pub(super) struct Tokens {
    // INVARIANT: no more than the bounds above.
    known: Mutex<HashMap<Pair, Vec<(Key, Arc<Got>)>>>,
}

impl Tokens {
    /// The token that was got for exactly this, while it lives.
    pub(super) fn find(&self, key: &Key, now: Seconds) -> Option<Arc<Got>> {
        let known = self.known.lock();
        let found = known.get(&key.pair)?.iter().find(|(of, got)| of == key && now < got.expires_at);
        found.map(|(_, got)| Arc::clone(got))
    }

    /// All that live of a caller: none of them may leave.
    pub(super) fn of(&self, tenant: &Tenant, caller: &Caller, now: Seconds) -> Vec<Arc<Got>> {
        let Some(user) = &caller.user else { return Vec::new() };
        let pair = Pair { tenant: tenant.number(), user: user.clone(), agent: caller.agent.clone() };
        let known = self.known.lock();
        let of_pair = known.get(&pair).map(Vec::as_slice).unwrap_or_default();
        of_pair.iter().filter(|(_, got)| now < got.expires_at).map(|(_, got)| Arc::clone(got)).collect()
    }

    /// Keeps a token. Where there are too many, the one that is over first goes.
    pub(super) fn keep(&self, key: Key, got: Arc<Got>, now: Seconds) {
        let mut known = self.known.lock();
        retain(&mut known, |of, got| *of != key && now < got.expires_at);
        let (pair, tenant) = (key.pair.clone(), key.pair.tenant);
        if count(&known, |of| *of == pair) >= TOKENS_PER_PAIR_MAX {
            drop_first(&mut known, |of| *of == pair);
        }
        if count(&known, |of| of.tenant == tenant) >= TOKENS_PER_TENANT_MAX {
            drop_first(&mut known, |of| of.tenant == tenant);
        }
        if count(&known, |_| true) >= TOKENS_MAX {
            drop_first(&mut known, |_| true);
        }
        known.entry(pair).or_default().push((key, got));
    }

    /// Drops a token that is of no use, unless another has taken its place. One that somebody approved stays: the other side may
    /// have its own reasons for one call, and nobody approves anew for that.
    pub(super) fn drop_it(&self, gone: &Arc<Got>) {
        if !gone.renewable {
            return;
        }
        retain(&mut self.known.lock(), |_, got| !Arc::ptr_eq(got, gone));
    }

    /// Drops what is over, and what is of somebody who was deleted.
    pub(super) fn forget(&self, now: Seconds, gone: Option<(u32, &str)>) {
        let of_gone = |of: &Key| gone == Some((of.pair.tenant, of.pair.user.as_str()));
        retain(&mut self.known.lock(), |of, got| now < got.expires_at && !of_gone(of));
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        count(&self.known.lock(), |_| true)
    }
}

type Known = HashMap<Pair, Vec<(Key, Arc<Got>)>>;

fn retain(known: &mut Known, stays: impl Fn(&Key, &Arc<Got>) -> bool) {
    known.retain(|_, of_pair| {
        of_pair.retain(|(key, got)| stays(key, got));
        !of_pair.is_empty()
    });
}

fn count(known: &Known, of: impl Fn(&Pair) -> bool) -> usize {
    known.iter().filter(|(pair, _)| of(pair)).map(|(_, of_pair)| of_pair.len()).sum()
}

fn drop_first(known: &mut Known, of: impl Fn(&Pair) -> bool) {
    let among = known.iter().filter(|(pair, _)| of(pair)).flat_map(|(_, of_pair)| of_pair);
    let first = among.min_by_key(|(_, got)| got.expires_at).map(|(_, got)| Arc::clone(got));
    if let Some(first) = first {
        retain(known, |_, got| !Arc::ptr_eq(got, &first));
    }
}

/// Why a caller of the proxy is refused for whom nothing is asserted: whatever the code at the token endpoint would be, here
/// the call is denied.
fn of_call(refusal: Refusal) -> Refusal {
    if matches!(refusal.error, ErrorCode::ServerError | ErrorCode::TemporarilyUnavailable) {
        return refusal;
    }
    Refusal { error: ErrorCode::AccessDenied, ..refusal }
}

fn no_provider() -> Refusal {
    Refusal::failed("assertion.provider", "a connection is of another kind than its holder")
}

impl Connection {
    /// What is to be asserted for a call through this connection.
    fn wanted<'a>(&'a self, caller: &'a Caller) -> Answer<WantedAssertion<'a>> {
        let Provider::IdentityAssertion { issuer, client_id, scopes, resource, .. } = &self.spec.provider else {
            return Err(no_provider());
        };
        Ok(WantedAssertion { caller, connection: &self.spec.id, issuer, client_id, scopes, resource })
    }

    /// What a token is for that was got by an assertion which says this.
    fn key(&self, tenant: &Tenant, caller: &Caller, says: &str) -> Answer<Key> {
        let provider = serde_json::to_string(&self.spec.provider);
        let provider = provider.map_err(|error| Refusal::failed("assertion.key", error.to_string()))?;
        let user = caller.user.clone().ok_or_else(no_provider)?;
        Ok(Key {
            pair: Pair { tenant: tenant.number(), user, agent: caller.agent.clone() },
            connection: self.spec.id.clone(),
            grant: caller.grant.clone(),
            says: hash_of(&format!("{says} {provider}")),
        })
    }
}

/// What a flight has to do.
struct Flight {
    assertion: Assertion,
    request: TokenRequest,
}

impl Vault {
    /// For what a token would be got now, if there would be an assertion.
    fn key_now(&self, tenant: &Tenant, connection: &Connection, caller: &Caller, env: &Env<'_>) -> Answer<Key> {
        let says = self.assertions.judge(tenant, &connection.wanted(caller)?, env).map_err(of_call)?;
        connection.key(tenant, caller, &says)
    }

    /// Looks for a token of the caller, for whom there would be an assertion now.
    ///
    /// # Errors
    /// There would be none.
    pub(super) fn look_for_got(
        &self,
        tenant: &Tenant,
        connection: &Connection,
        caller: &Caller,
        env: &Env<'_>,
    ) -> Answer<Looked> {
        let key = self.key_now(tenant, connection, caller, env)?;
        let Some(got) = self.inner.tokens.find(&key, env.seconds()) else { return Ok(Looked::Refresh(None)) };
        let due = got.is_due(env.seconds());
        let lease = Box::new(Lease { secret: got.secret.clone(), source: Source::Got(got) });
        Ok(if due { Looked::Refresh(Some(lease)) } else { Looked::Ready(lease) })
    }

    /// Gets a token, once however many callers wait for it. It goes on when they have gone.
    ///
    /// # Errors
    /// There is none.
    pub(super) async fn get(&self, asked: &Asked, caller: &Caller, connection: &Connection) -> Answer<()> {
        let (vault, by, of) = (self.clone(), caller.clone(), connection.clone());
        let key = asked.run(move |tenant, env| vault.key_now(tenant, &of, &by, env)).await?;
        let flight = (self.clone(), asked.clone(), caller.clone(), connection.clone(), key.clone());
        let work = || async {
            let (vault, asked, caller, connection, key) = flight;
            vault.get_alone(asked, caller, connection, key).await
        };
        let done = self.inner.redemptions.join(key, work).await;
        done.unwrap_or_else(|| Err(Refusal::failed("assertion.panic", "a redemption panicked")))
    }

    async fn get_alone(self, asked: Asked, caller: Caller, connection: Connection, key: Key) -> Answer<()> {
        let (vault, by, of, for_this) = (self.clone(), caller.clone(), connection.clone(), key.clone());
        let begun = asked.run(move |tenant, env| vault.begin(tenant, (&of, &by), &for_this, env)).await?;
        let Some(Flight { assertion, request }) = begun else { return Ok(()) };
        let (status, body) = self.ask(&connection.spec.id, request).await?;
        let finish = move |tenant: &Tenant, env: &Env<'_>| {
            let got = self.finish(tenant, (&connection, &caller), (&assertion, status, &body), env)?;
            self.inner.tokens.keep(key, Arc::new(got), env.seconds());
            Ok(())
        };
        asked.run_surely(finish).await
    }

    /// Has an assertion made, unless another flight has just ended.
    fn begin(
        &self,
        tenant: &Tenant,
        (connection, caller): (&Connection, &Caller),
        key: &Key,
        env: &Env<'_>,
    ) -> Answer<Option<Flight>> {
        let there = self.inner.tokens.find(key, env.seconds());
        if there.is_some_and(|got| !got.is_due(env.seconds())) {
            return Ok(None);
        }
        let shown = keys::proof(tenant, connection)?;
        let assertion = self.assertions.make(tenant, &connection.wanted(caller)?, env).map_err(of_call)?;
        if connection.key(tenant, caller, &assertion.says)? != *key {
            let text = "what may be asserted for this call has just changed; try again";
            return Err(Refusal::new(ErrorCode::TemporarilyUnavailable, "assertion.changed", text));
        }
        let (provider, text) = (&connection.spec.provider, &assertion.text);
        let request = assertion_request(provider, &shown, text, &assertion.scopes, env)?;
        Ok(Some(Flight { assertion, request }))
    }

    /// Reads what the other authorization server answers, and writes down what came of it.
    pub(super) fn finish(
        &self,
        tenant: &Tenant,
        (connection, caller): (&Connection, &Caller),
        (assertion, status, body): (&Assertion, u16, &[u8]),
        env: &Env<'_>,
    ) -> Answer<Got> {
        let (now, spec) = (env.seconds(), &connection.spec);
        let told = |kind, outcome| {
            let event = caller.tell(tenant.event(kind, outcome, env)).resource(connection.object()).action("redeem");
            event.detail("assertion", &assertion.id)
        };
        let unkept =
            |_| TokenFault::Refused("its token cannot be told from ordinary text, and so not be kept from leaving");
        let read = read_answer(status, body, &spec.provider, None, now);
        let read = read.and_then(|new| new.secret.check().map_err(unkept).map(|()| new));
        let mut change = tenant.change(env);
        let new = match read {
            Ok(new) => new,
            Err(fault) => {
                let refusal = if fault == TokenFault::Gone { not_believed(&spec.id) } else { fault.refusal(&spec.id) };
                change.event(&told(EventKind::VaultRefused, Outcome::Failed).reason(refusal.rule));
                change.commit()?;
                return Err(refusal);
            }
        };
        let end = new.expires_at.unwrap_or(now.saturating_add(UNSAID_S)).min(now.saturating_add(KEPT_MAX_S));
        let expires_at = end.min(assertion.approved_until.unwrap_or(Seconds::MAX));
        if expires_at <= now {
            let text = format!("the token that was got for `{}` is over already; try again", spec.id);
            return Err(Refusal::new(ErrorCode::TemporarilyUnavailable, "assertion.over", text));
        }
        change.event(&told(EventKind::VaultStored, Outcome::Done).detail("scopes", new.scopes.join(" ")));
        change.commit()?;
        let renewable = assertion.approved_until.is_none();
        let (user, id) = (caller.user.as_deref().unwrap_or_default(), assertion.id.clone());
        let owner = format!("user:{user} {} connection:{} assertion:{id}", caller.agent, spec.id);
        let _looked_for = Some(self.inner.filters.look_for(tenant, owner, &new.secret)?);
        let connection = spec.id.clone();
        Ok(Got { secret: new.secret, assertion: id, issued_at: now, expires_at, renewable, connection, _looked_for })
    }
}

/// The other authorization server does not take what is asserted (RFC 6749 5.2 `invalid_grant`).
fn not_believed(connection: &str) -> Refusal {
    let text = format!(
        "the authorization server of `{connection}` does not take what is asserted of this person and agent; whoever runs it \
         can see why"
    );
    Refusal::new(ErrorCode::AccessDenied, "assertion.refused", text)
}

#[cfg(test)]
impl Got {
    pub(super) fn of_test(issued_at: Seconds, expires_at: Seconds, assertion: &str, renewable: bool) -> Got {
        let secret = Secret::Oauth2 { access_token: Hidden::new("a-token-0123456789".into()), refresh_token: None };
        let (assertion, connection) = (assertion.to_owned(), "prices".to_owned());
        Got { secret, assertion, issued_at, expires_at, renewable, connection, _looked_for: None }
    }

    pub(super) fn ends(&self) -> Seconds {
        self.expires_at
    }
}

#[cfg(test)]
impl Key {
    pub(super) fn of_test(tenant: u32, [user, agent, connection, grant, says]: [&str; 5]) -> Key {
        let pair = Pair { tenant, user: user.to_owned(), agent: agent.to_owned() };
        Key { pair, connection: connection.to_owned(), grant: grant.to_owned(), says: says.to_owned() }
    }
}
