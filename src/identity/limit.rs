//! How often something may be done: a table of keys, each with the time at which it is forgiven all.
//!
//! Each key has a theoretical arrival time (the generic cell rate algorithm): what is done moves it on by the period, and is
//! refused while it is further ahead than the burst allows. The table is of one size and never grows: [`LIMITER_KEYS_MAX`] keys
//! in sets of [`SET_KEYS`]. A new key takes the place of the one in its set that is nearest to forgiven, so that a flood of
//! keys pushes out its like and not the few that are held up. Which set a key is in, nobody outside can tell.
//!
//! It is in memory: a restart forgives. What must hold over a restart, as that a code is used once, is in records.

use super::settings::LIFE_MAX_S;
use super::{
    Answer, Client, ClientKind, Env, ErrorCode, EventKind, Outcome, Proof, Refusal, Seconds, Stored, Tenant, again,
    hash_of,
};
use crate::tuple::Timestamp;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::hash::{BuildHasher as _, Hash, RandomState};
use std::net::IpAddr;

/// Most keys that a table remembers.
pub const LIMITER_KEYS_MAX: usize = SETS * SET_KEYS;
/// Keys of a set.
const SET_KEYS: usize = 8;
const SETS: usize = 8_192;
/// Locks that the sets share.
const SHARDS: usize = 16;
const _: () = assert!(SETS.is_multiple_of(SHARDS), "every shard has as many sets");

/// The largest limit of tokens: more than the machine signs, it is none.
pub const TOKENS_PER_MINUTE_MAX: u32 = 60_000;

const SECOND: i64 = 1_000_000_000;
const MILLI: i64 = 1_000_000;
/// How far a clock goes back that was set back. What comes at once may be counted in another order than it came.
const SET_BACK: i64 = 10 * SECOND;

/// How often a thing may be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many times at once.
    pub burst: u32,
    /// Then one every so many milliseconds.
    pub period_ms: u32,
}

impl Rate {
    /// So many in a minute, and as many at once.
    #[must_use]
    pub fn per_minute(count: u32) -> Rate {
        Rate { burst: count, period_ms: 60_000_u32.div_ceil(count.max(1)) }
    }
}

/// Authorization requests from an address (IPv4, or a /64 of IPv6): each is a record until its time is over.
pub const REQUESTS_OF_ADDRESS: Rate = Rate { burst: 300, period_ms: 200 };
/// Clients that anybody registers from an address, behind which an office may be. What a tenant has of them one address fills in
/// less than an hour; from [`super::REGISTERED_UNUSED_S`] on each that is not used makes room for another.
pub const REGISTRATIONS_OF_ADDRESS: Rate = Rate { burst: 60, period_ms: 60_000 };
/// Requests from an address that name a client by the URL of a document that is not known: each may make a draft, and have us
/// ask another's server.
pub const STRANGERS_OF_ADDRESS: Rate = Rate { burst: 30, period_ms: 60_000 };
/// Authorization requests and pushed ones of a client. Anybody can name a client that is public, or at the authorization
/// endpoint, so that this is much more than people need: it bounds the records of one client.
pub const REQUESTS_OF_CLIENT: Rate = Rate { burst: 1_000, period_ms: 50 };
/// Requests at the token endpoint from an address that name a public client and get nothing by a fault of their own: anybody can
/// name one, and each costs a look into the store. Many people may have one address, and who is over is refused whatever they
/// ask, so that this is so much that only a flood is over it.
pub const FAILURES_OF_ADDRESS: Rate = Rate { burst: 3_000, period_ms: 20 };
/// How often a proof of possession may be shown, for as long as one can be of now.
const PROOFS: Rate = Rate { burst: 1, period_ms: 600_000 };
/// Requests of a client for one person on which somebody is to decide (CIBA, access requests): each reaches people's phones.
pub const ASKS_OF_PERSON: Rate = Rate { burst: 20, period_ms: 30_000 };
/// The same, of those on which nobody has said yes: who is denied or passed over asks less and less. What still waits counts too,
/// so that it is no less than may be open at once.
pub const ASKS_IN_VAIN: Rate = Rate { burst: 32, period_ms: 300_000 };
/// How often it is noted for one client that it was refused for a reason that it can repeat as often as it likes.
pub(super) const TOLD: Rate = Rate { burst: 1, period_ms: 60_000 };

/// Who is held up may try again after so many whole seconds; at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many attempts; try again in {retry_seconds} s")]
pub struct Limited {
    /// For the `Retry-After` header.
    pub retry_seconds: u32,
}

impl Limited {
    /// As a refusal (RFC 6585 4).
    #[must_use]
    pub fn refusal(self, rule: &'static str, what: &str) -> Refusal {
        let text = format!("{what}; try again in {} s", self.retry_seconds);
        Refusal { retry_after_s: Some(self.retry_seconds), ..Refusal::new(ErrorCode::TooManyRequests, rule, text) }
    }
}

#[derive(Clone, Copy, Default)]
struct Slot {
    /// 0 is an empty slot.
    key: u64,
    /// When the key is forgiven all, in nanoseconds since 1970.
    free_at: i64,
}

type Shard = Vec<[Slot; SET_KEYS]>;

/// See the file's head.
pub struct Limiter {
    hasher: RandomState,
    shards: Vec<Mutex<Shard>>,
}

impl Limiter {
    /// An empty table. The hasher's keys are random, so that nobody can choose keys that push out another.
    #[must_use]
    pub fn new(hasher: RandomState) -> Limiter {
        let shards = (0..SHARDS).map(|_| Mutex::new(vec![[Slot::default(); SET_KEYS]; SETS / SHARDS])).collect();
        Limiter { hasher, shards }
    }

    /// Counts what is about to be done before it is, so that nothing is done that is over the rate, however many come at once.
    ///
    /// # Errors
    /// It is over the rate; it was not counted.
    pub fn count(&self, rate: Rate, key: impl Hash, now: Timestamp) -> Result<(), Limited> {
        let period = i64::from(rate.period_ms) * MILLI;
        let ahead_max = period * i64::from(rate.burst.max(1));
        let counted = self.at(key, |slot| {
            // Counting alone leads nobody so far ahead: the clock was set back, and nobody is to wait until it catches up.
            if slot.free_at.saturating_sub(now.0) > ahead_max.saturating_add(SET_BACK) {
                slot.free_at = 0;
            }
            let after = slot.free_at.max(now.0).saturating_add(period);
            let over = after.saturating_sub(now.0).saturating_sub(ahead_max);
            if over > 0 {
                let seconds = over.saturating_add(SECOND - 1) / SECOND;
                return Err(Limited { retry_seconds: u32::try_from(seconds).unwrap_or(u32::MAX) });
            }
            slot.free_at = after;
            Ok(())
        });
        // A slot that is not there lets nobody in.
        counted.unwrap_or(Err(Limited { retry_seconds: rate.period_ms.div_ceil(1_000).max(1) }))
    }

    /// Takes one count back: it was not done after all, or those that were right are not to count.
    pub fn forgive(&self, rate: Rate, key: impl Hash) {
        let period = i64::from(rate.period_ms) * MILLI;
        let _ = self.at(key, |slot| slot.free_at = slot.free_at.saturating_sub(period));
    }

    /// Does something with the slot of a key, which may have been another's.
    fn at<T>(&self, key: impl Hash, work: impl FnOnce(&mut Slot) -> T) -> Option<T> {
        let key = self.hasher.hash_one(key).max(1);
        let set = usize::try_from(key % SETS as u64).unwrap_or(0);
        let mut shard = self.shards.get(set % SHARDS)?.lock();
        let set = shard.get_mut(set / SHARDS)?;
        let place = set.iter().position(|slot| slot.key == key).unwrap_or_else(|| {
            let nearest = set.iter().enumerate().min_by_key(|(_, slot)| slot.free_at);
            nearest.map_or(0, |(place, _)| place)
        });
        let slot = set.get_mut(place)?;
        if slot.key != key {
            *slot = Slot { key, free_at: 0 };
        }
        Some(work(slot))
    }
}

/// What an identity database counts in memory: requests, whose keys strangers choose, apart from what clients do that have
/// shown who they are.
pub(super) struct Counts {
    requests: Limiter,
    clients: Limiter,
    /// Apart from the rest: a flood of them pushes out none but its like.
    proofs: Limiter,
}

impl Default for Counts {
    fn default() -> Counts {
        let table = || Limiter::new(RandomState::new());
        Counts { requests: table(), clients: table(), proofs: table() }
    }
}

/// What holds of the access tokens of a resource besides what holds of the tenant's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TokenLimits {
    /// How many one client gets in a minute.
    pub per_minute: Option<u32>,
    /// How many seconds each is good at most.
    pub life_s: Option<Seconds>,
}

/// What of the limits of a resource changes: what is `None` stays, and a limit of `None` is none from then on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LimitEdits {
    /// How many one client gets in a minute.
    pub per_minute: Option<Option<u32>>,
    /// How many seconds each is good at most.
    pub life_s: Option<Option<Seconds>>,
}

impl TokenLimits {
    fn check(&self) -> Answer<()> {
        if self.per_minute.is_some_and(|most| most == 0 || most > TOKENS_PER_MINUTE_MAX) {
            let text = format!(
                "a limit is 1 to {TOKENS_PER_MINUTE_MAX} tokens a minute; take a client's resource away to give it none"
            );
            return Err(Refusal::new(ErrorCode::InvalidRequest, "resource.limit", text));
        }
        if self.life_s.is_some_and(|life| life == 0 || life > LIFE_MAX_S) {
            let text = format!("a token of a resource is good for 1 to {LIFE_MAX_S} seconds");
            return Err(Refusal::new(ErrorCode::InvalidRequest, "resource.life", text));
        }
        Ok(())
    }
}

impl Stored for TokenLimits {
    const SORT: u8 = b'R';
    const WHAT: &'static str = "limit of a resource";
}

/// What is counted; the same key at two of them counts apart.
#[derive(Clone, Copy, Hash)]
pub(super) enum Counted {
    Address,
    Failure,
    Registration,
    Stranger,
    Client,
    Tokens,
    Told,
    Asks,
    InVain,
}

impl Tenant {
    /// Counts a request of an address. One that is not known is not held up: then there is no network between.
    ///
    /// # Errors
    /// It is over [`REQUESTS_OF_ADDRESS`].
    pub(super) fn count_address(&self, env: &Env<'_>) -> Answer<()> {
        let Some(address) = env.address.and_then(|text| text.parse().ok()) else { return Ok(()) };
        let key = (Counted::Address, self.number(), address_key(address));
        let counted = self.identity().limits().requests.count(REQUESTS_OF_ADDRESS, key, env.now);
        counted.map_err(|limited| limited.refusal("rate.address", "too many requests come from this address"))
    }

    /// Counts a client that somebody registers who has shown nothing.
    ///
    /// # Errors
    /// It is over [`REGISTRATIONS_OF_ADDRESS`].
    pub(super) fn count_registration(&self, env: &Env<'_>) -> Answer<()> {
        let Some(address) = env.address.and_then(|text| text.parse().ok()) else { return Ok(()) };
        let key = (Counted::Registration, self.number(), address_key(address));
        let counted = self.identity().limits().requests.count(REGISTRATIONS_OF_ADDRESS, key, env.now);
        counted.map_err(|limited| limited.refusal("rate.registration", "this address registers too many clients"))
    }

    /// It was not registered after all.
    pub(super) fn forgive_registration(&self, env: &Env<'_>) {
        if let Some(address) = env.address.and_then(|text| text.parse().ok()) {
            let key = (Counted::Registration, self.number(), address_key(address));
            self.identity().limits().requests.forgive(REGISTRATIONS_OF_ADDRESS, key);
        }
    }

    /// Counts a request of an address at the token endpoint that has shown nothing yet, as if it got nothing.
    ///
    /// # Errors
    /// It is over [`FAILURES_OF_ADDRESS`].
    pub fn count_failure(&self, env: &Env<'_>) -> Answer<()> {
        let Some(address) = env.address.and_then(|text| text.parse().ok()) else { return Ok(()) };
        let key = (Counted::Failure, self.number(), address_key(address));
        let counted = self.identity().limits().requests.count(FAILURES_OF_ADDRESS, key, env.now);
        counted.map_err(|limited| {
            limited.refusal("rate.address", "too many requests that get nothing come from this address")
        })
    }

    /// It got something after all, or what it got was no fault of its own.
    pub fn forgive_failure(&self, env: &Env<'_>) {
        if let Some(address) = env.address.and_then(|text| text.parse().ok()) {
            let key = (Counted::Failure, self.number(), address_key(address));
            self.identity().limits().requests.forgive(FAILURES_OF_ADDRESS, key);
        }
    }

    /// Whether a proof was not shown before, as far as is remembered since the server started.
    pub(super) fn is_first(&self, proof: &Proof, env: &Env<'_>) -> bool {
        let key = (self.number(), &proof.jkt, &proof.jti);
        self.identity().limits().proofs.count(PROOFS, key, env.now).is_ok()
    }

    /// Counts a request of an address that names a client by a document and that nobody knows, wherever it comes.
    ///
    /// # Errors
    /// It is over [`STRANGERS_OF_ADDRESS`].
    pub fn count_stranger(&self, env: &Env<'_>) -> Answer<()> {
        let Some(address) = env.address.and_then(|text| text.parse().ok()) else { return Ok(()) };
        let key = (Counted::Stranger, self.number(), address_key(address));
        let counted = self.identity().limits().requests.count(STRANGERS_OF_ADDRESS, key, env.now);
        let text = "too many requests of clients that nobody knows come from this address";
        counted.map_err(|limited| limited.refusal("rate.stranger", text))
    }

    /// Counts a request of a client.
    ///
    /// # Errors
    /// It is over [`REQUESTS_OF_CLIENT`].
    pub(super) fn count_client(&self, client: &str, env: &Env<'_>) -> Answer<()> {
        let key = (Counted::Client, self.number(), client);
        let counted = self.identity().limits().requests.count(REQUESTS_OF_CLIENT, key, env.now);
        counted.map_err(|limited| limited.refusal("rate.client", "this client makes too many requests"))
    }

    /// Limits the access tokens of a resource: how many one client gets (so many at once, and then so many a minute), and how long
    /// each is good, by whatever grant type. What is `None` has no limit. It is in force at the next token; what was counted is
    /// forgotten when the server restarts.
    ///
    /// # Errors
    /// There is no such resource, or a limit is out of its bounds.
    pub fn limit_tokens(&self, identifier: &str, limits: TokenLimits, by: &str, env: &Env<'_>) -> Answer<()> {
        let all = LimitEdits { per_minute: Some(limits.per_minute), life_s: Some(limits.life_s) };
        self.edit_limits(identifier, all, by, env)
    }

    /// Changes some limits of a resource's tokens, as [`Tenant::limit_tokens`] does all.
    ///
    /// # Errors
    /// There is no such resource, or a limit is out of its bounds.
    pub fn edit_limits(&self, identifier: &str, edits: LimitEdits, by: &str, env: &Env<'_>) -> Answer<()> {
        let part = hash_of(identifier);
        again(|| {
            let resource = self.resource(identifier)?.ok_or_else(|| Refusal::not_found("resource"))?;
            let mut change = self.change(env);
            change.expect(&resource);
            let held = self.get::<TokenLimits>(&[&part])?;
            let before = held.as_ref().map(|held| held.value).unwrap_or_default();
            let limits = TokenLimits {
                per_minute: edits.per_minute.unwrap_or(before.per_minute),
                life_s: edits.life_s.unwrap_or(before.life_s),
            };
            limits.check()?;
            match &held {
                _ if limits == before => return Ok(()),
                Some(held) if limits == TokenLimits::default() => change.remove(held),
                Some(held) => change.replace(held, &limits),
                None => change.create(&[&part], &limits),
            }
            let said = |most: Option<u64>| most.map_or_else(|| "none".to_owned(), |most| most.to_string());
            let event = self.event(EventKind::PolicyChanged, Outcome::Done, env).user(by).resource(identifier);
            let event =
                event.action("resource.limit").detail("tokens_per_minute", said(limits.per_minute.map(u64::from)));
            change.event(&event.detail("access_token_s", said(limits.life_s)));
            change.commit()?;
            Ok(())
        })
    }

    /// What holds of the access tokens of a resource.
    ///
    /// # Errors
    /// The disk failed.
    pub fn token_limits(&self, identifier: &str) -> Answer<TokenLimits> {
        Ok(self.get::<TokenLimits>(&[&hash_of(identifier)])?.map(|held| held.value).unwrap_or_default())
    }

    /// Adds to a change that a resource has no limit, because it is taken away.
    pub(super) fn drop_limit(&self, change: &mut super::Change<'_>, identifier: &str) -> Answer<()> {
        if let Some(held) = self.get::<TokenLimits>(&[&hash_of(identifier)])? {
            change.remove(&held);
        }
        Ok(())
    }

    /// Counts a token of a client for some resources, by the limit that each has. All or none are counted.
    ///
    /// # Errors
    /// One of them is over.
    pub(super) fn count_tokens(&self, client: &str, limits: &[(&str, u32)], env: &Env<'_>) -> Answer<()> {
        let table = &self.identity().limits().clients;
        let key = |resource| (Counted::Tokens, self.number(), resource, client);
        for (at, (resource, most)) in limits.iter().enumerate() {
            let Err(limited) = table.count(Rate::per_minute(*most), key(*resource), env.now) else { continue };
            for (counted, most) in limits.iter().take(at) {
                table.forgive(Rate::per_minute(*most), key(*counted));
            }
            let text = format!("`{resource}` gives one client {most} tokens a minute");
            return Err(limited.refusal("rate.resource", &text));
        }
        Ok(())
    }

    /// Counts a request of a client that somebody decides something for a person. It counts as one in vain until
    /// [`Tenant::forgive_ask`] says that it was not. That one is refused is an event, once a minute.
    ///
    /// # Errors
    /// It is over [`ASKS_OF_PERSON`], or over [`ASKS_IN_VAIN`]; it was not counted.
    pub fn count_ask(&self, client: &Client, user: &str, env: &Env<'_>) -> Answer<()> {
        let table = &self.identity().limits().clients;
        let key = |counted: Counted| (counted, self.number(), client.id.as_str(), user);
        let counted = table
            .count(ASKS_OF_PERSON, key(Counted::Asks), env.now)
            .map_err(|limited| limited.refusal("rate.asks", "this client asks too often for this person"));
        let counted = counted.and_then(|()| {
            table.count(ASKS_IN_VAIN, key(Counted::InVain), env.now).map_err(|limited| {
                table.forgive(ASKS_OF_PERSON, key(Counted::Asks));
                let text = "too many requests of this client for this person were not allowed, or wait for an answer";
                limited.refusal("rate.asks_in_vain", text)
            })
        });
        if let Err(refusal) = &counted
            && self.tells(refusal.rule, &client.id, env)
        {
            let subject = client.subject();
            let event = self.event(EventKind::ApprovalAsked, Outcome::Refused, env).user(format!("user:{user}"));
            let event = if client.kind == ClientKind::Agent { event.agent(&subject) } else { event.client(&subject) };
            let mut change = self.change(env);
            change.event(&event.reason(refusal.rule));
            change.commit()?;
        }
        counted
    }

    /// Takes one request in vain of a client for a person back: somebody allowed it.
    pub fn forgive_ask(&self, client: &str, user: &str) {
        let key = (Counted::InVain, self.number(), client, user);
        self.identity().limits().clients.forgive(ASKS_IN_VAIN, key);
    }

    /// Whether it is time to note again that a client was refused by a rule: once in a minute.
    pub(super) fn tells(&self, rule: &str, client: &str, env: &Env<'_>) -> bool {
        let key = (Counted::Told, self.number(), rule, client);
        self.identity().limits().clients.count(TOLD, key, env.now).is_ok()
    }
}

/// What an address counts as: an IPv6 network of 64 bits is one household or one machine, and has addresses without end.
#[must_use]
pub fn address_key(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { burst: 3, period_ms: 60_000 };

    fn at(seconds: i64) -> Timestamp {
        Timestamp((1_700_000_000 + seconds) * SECOND)
    }

    fn limiter() -> Limiter {
        Limiter::new(RandomState::new())
    }

    #[test]
    fn a_burst_then_one_a_period() {
        let limiter = limiter();
        let count = |seconds| limiter.count(RATE, "sarah", at(seconds));
        assert_eq!([count(0), count(0), count(0)], [Ok(()); 3]);
        assert_eq!(count(0), Err(Limited { retry_seconds: 60 }));
        assert_eq!(count(59), Err(Limited { retry_seconds: 1 }), "what was refused does not count");
        assert_eq!([count(60), count(61)], [Ok(()), Err(Limited { retry_seconds: 59 })]);
        assert_eq!(
            [count(240), count(240), count(240)],
            [Ok(()); 3],
            "a quiet time forgives all, and no more than all"
        );
        assert!(count(240).is_err());
        assert_eq!(count(239), Err(Limited { retry_seconds: 61 }), "a clock that goes back a little forgives nothing");
        assert_eq!(count(0), Ok(()), "one that was set back holds nobody up until it catches up");
    }

    #[test]
    fn a_rate_by_the_minute_is_one() {
        let limiter = limiter();
        let rate = Rate::per_minute(120);
        let done = |seconds| (0..1_000).take_while(|_| limiter.count(rate, "crm", at(seconds)).is_ok()).count();
        assert_eq!([done(0), done(0), done(1), done(3), done(3_600)], [120, 0, 2, 4, 120]);
        assert_eq!(Rate::per_minute(7), Rate { burst: 7, period_ms: 8_572 }, "never more than was said");
    }

    #[test]
    fn what_was_right_does_not_count() {
        let limiter = limiter();
        for _ in 0..3 {
            limiter.count(RATE, "sarah", at(0)).unwrap();
        }
        assert!(limiter.count(RATE, "sarah", at(0)).is_err());
        assert_eq!(limiter.count(RATE, "bob", at(0)), Ok(()));
        limiter.forgive(RATE, "sarah");
        assert_eq!(limiter.count(RATE, "sarah", at(0)), Ok(()));
        for _ in 0..10 {
            limiter.forgive(RATE, "sarah");
        }
        for _ in 0..3 {
            limiter.count(RATE, "sarah", at(0)).unwrap();
        }
        assert!(limiter.count(RATE, "sarah", at(0)).is_err(), "forgiveness does not pile up");
    }

    #[test]
    fn a_flood_of_keys_does_not_free_who_is_held_up() {
        let limiter = limiter();
        for _ in 0..3 {
            limiter.count(RATE, "sarah", at(0)).unwrap();
        }
        for i in 0..4 * LIMITER_KEYS_MAX {
            let _ = limiter.count(RATE, i, at(0));
        }
        assert_eq!(limiter.count(RATE, "sarah", at(0)), Err(Limited { retry_seconds: 60 }));
    }

    #[test]
    fn a_proof_is_remembered_as_long_as_it_could_be_shown() {
        assert_eq!(u64::from(PROOFS.period_ms), 1_000 * 2 * super::super::DPOP_WINDOW_S);
    }

    #[test]
    fn a_network_of_ipv6_is_one_key() {
        let key = |text: &str| address_key(text.parse().unwrap());
        assert_eq!(key("192.0.2.1"), "192.0.2.1");
        assert_eq!(key("::ffff:192.0.2.1"), "192.0.2.1");
        assert_eq!(key("2001:db8::1"), key("2001:db8::ffff:1"));
        assert_ne!(key("2001:db8::1"), key("2001:db8:0:1::1"));
    }
}
