//! JWK sets of other people's servers (RFC 7517): of clients with a `jwks_uri`, and of issuers whose assertions are believed.
//!
//! A set is asked for once however many want it, and kept as long as its server says, within bounds. A key that is not in it
//! may be one that has just been made: then it is asked for again, but not more often than every [`JWKS_REFETCH_S`], whatever
//! strangers put into their tokens. A set whose time is over is never used because no other can be had. The metadata of an
//! issuer (RFC 8414), which say where its set is, are kept by the same rules.

use super::{Outgoing, OutgoingRequest, Place, Places};
use crate::identity::{Answer, ErrorCode, KeySource, Refusal, Seconds, usable_keys};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use parking_lot::{Condvar, Mutex};
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// The largest set, in bytes.
pub const FETCHED_JWKS_BYTES_MAX: u64 = 128 << 10;
/// How long a set is kept when its server does not say, at least, and at most, in seconds.
pub const JWKS_KEPT_S: Seconds = 300;
/// See [`JWKS_KEPT_S`].
pub const JWKS_KEPT_MIN_S: Seconds = 60;
/// See [`JWKS_KEPT_S`].
pub const JWKS_KEPT_MAX_S: Seconds = 3_600;
/// How long after a set was asked for it is not asked for again because of a key that is not in it, in seconds.
pub const JWKS_REFETCH_S: Seconds = 30;
/// How long after a failure nobody is asked again, in seconds.
const FAILED_S: Seconds = 5;
/// How long a server may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Most sets that are kept; of more, the one that was asked for the longest ago goes.
const SETS_MAX: usize = 1_024;
/// Most sets that are asked for at a time, and most threads that wait for one.
const AT_ONCE_MAX: usize = 12;
const WAITING_MAX: usize = 24;
/// How many of them one tenant may have: however slow the servers are that it names, others have their keys.
const AT_ONCE_PER_TENANT_MAX: usize = AT_ONCE_MAX / 4;
const WAITING_PER_TENANT_MAX: usize = WAITING_MAX / 4;
/// Most threads that wait where there is one issuer alone, and nobody whom they keep from anything.
const WAITING_FOR_ONE_MAX: usize = 256;
/// Most sets that are asked for at a time at one host, and for one tenant there, so that others are served while it says
/// nothing.
const AT_ONCE_PER_HOST_MAX: usize = AT_ONCE_MAX / 2;
const AT_ONCE_PER_HOST_AND_TENANT_MAX: usize = 2;
const _: () = assert!(AT_ONCE_PER_HOST_AND_TENANT_MAX < AT_ONCE_PER_TENANT_MAX, "a tenant has keys at other hosts too");
const _: () = assert!(AT_ONCE_PER_HOST_AND_TENANT_MAX < AT_ONCE_PER_HOST_MAX, "other tenants have keys there too");

/// What is at the URLs that are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sort {
    /// JWK sets.
    Keys,
    /// Metadata of issuers.
    Metadata,
}

impl Sort {
    /// What a caller is told; why it is so is for the log, because the caller may have chosen the URL.
    fn unreachable(self, why: impl Into<String>) -> Refusal {
        let text = match self {
            Sort::Keys => "the keys at the `jwks_uri` cannot be had now; try again later",
            Sort::Metadata => "the metadata of the issuer cannot be had now; try again later",
        };
        let refusal = Refusal::new(ErrorCode::TemporarilyUnavailable, "jwks.unreachable", text);
        Refusal { retry_after_s: Some(5), ..refusal.because(why) }
    }

    fn accept(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Sort::Keys => "application/jwk-set+json, application/json",
            Sort::Metadata => "application/json",
        })
    }
}

/// See the file's head.
pub struct JwkSets {
    outgoing: Outgoing,
    sort: Sort,
    /// The time, in seconds since 1970.
    clock: Box<dyn Fn() -> Seconds + Send + Sync>,
    kept: Mutex<Kept>,
    landed: Condvar,
    waiting: Places,
    at_once: Places,
    /// The same for URLs that strangers wrote, which are asked through another client.
    strangers: Option<Box<JwkSets>>,
}

#[derive(Default)]
struct Kept {
    // INVARIANT: at most `SETS_MAX`, those that are under way besides.
    sets: HashMap<String, Entry>,
}

/// What is known of a set.
#[derive(Default)]
struct Entry {
    /// The set, and until when it is good.
    set: Option<(Arc<Value>, Seconds)>,
    /// When it was asked for last.
    asked_at: Seconds,
    /// Why there was no answer.
    failure: Option<Refusal>,
    /// For which tenant it is asked for now.
    under_way: Option<u32>,
}

/// What is to be done for somebody who wants a set.
enum Next {
    Take(Answer<Arc<Value>>),
    Wait,
    Ask,
}

fn busy() -> Refusal {
    let text = "too many keys of others are asked for at this moment; try again in a few seconds";
    Refusal { retry_after_s: Some(2), ..Refusal::new(ErrorCode::TemporarilyUnavailable, "jwks.busy", text) }
}

impl Entry {
    /// `fresh`: the set lacks a key that is wanted. Who wants no other than the good one has it at once: strangers make others
    /// be asked for, and nobody else may wait for that. `waited`: what was fetched meanwhile is fresh enough.
    fn next(&self, fresh: bool, waited: bool, now: Seconds) -> Next {
        let good = self.set.as_ref().filter(|(_, until)| now < *until).map(|(set, _)| set);
        let rested = |rest: Seconds| now >= self.asked_at.saturating_add(rest);
        match (good, &self.failure) {
            (Some(set), _) if !fresh => Next::Take(Ok(Arc::clone(set))),
            _ if self.under_way.is_some() => Next::Wait,
            (Some(set), _) if waited || !rested(JWKS_REFETCH_S) => Next::Take(Ok(Arc::clone(set))),
            (None, Some(failure)) if !rested(FAILED_S) => Next::Take(Err(failure.clone())),
            _ => Next::Ask,
        }
    }
}

impl Kept {
    /// Makes room for one more.
    fn make_room(&mut self) {
        if self.sets.len() < SETS_MAX {
            return;
        }
        let idle = self.sets.iter().filter(|(_, entry)| entry.under_way.is_none());
        if let Some(oldest) = idle.min_by_key(|(_, entry)| entry.asked_at).map(|(uri, _)| uri.clone()) {
            self.sets.remove(&oldest);
        }
    }

    /// Whether one more may be asked for at the host of a URL, for a tenant.
    fn lets(&self, tenant: u32, uri: &str) -> bool {
        let host = host_of(uri);
        let there = self.sets.iter().filter(|(uri, entry)| entry.under_way.is_some() && host_of(uri) == host);
        let (of_all, own) = there
            .fold((0, 0), |(of_all, own), (_, entry)| (of_all + 1, own + usize::from(entry.under_way == Some(tenant))));
        of_all < AT_ONCE_PER_HOST_MAX && own < AT_ONCE_PER_HOST_AND_TENANT_MAX
    }
}

/// Ends what is under way, whatever becomes of it.
struct Landing<'a> {
    sets: &'a JwkSets,
    uri: &'a str,
    _place: Place,
}

impl Landing<'_> {
    fn with(&self, answer: &Answer<(Arc<Value>, Seconds)>) {
        let mut kept = self.sets.kept.lock();
        let Some(entry) = kept.sets.get_mut(self.uri) else { return };
        match answer {
            Ok((set, kept_s)) => {
                entry.set = Some((Arc::clone(set), entry.asked_at.saturating_add(*kept_s)));
                entry.failure = None;
            }
            Err(refusal) => entry.failure = Some(refusal.clone()),
        }
    }
}

impl Drop for Landing<'_> {
    fn drop(&mut self) {
        if let Some(entry) = self.sets.kept.lock().sets.get_mut(self.uri) {
            entry.under_way = None;
        }
        self.sets.landed.notify_all();
    }
}

impl JwkSets {
    /// Sets that are asked for through this client.
    #[must_use]
    pub fn new(outgoing: Outgoing) -> JwkSets {
        let strangers = JwkSets::with_clock(outgoing.for_strangers(), seconds);
        JwkSets { strangers: Some(Box::new(strangers)), ..JwkSets::with_clock(outgoing, seconds) }
    }

    /// The same where one issuer alone is asked, the only one whom its callers can have chosen: as many wait for it as may.
    #[must_use]
    pub fn of_one(outgoing: Outgoing) -> JwkSets {
        let waiting = Places::new(WAITING_FOR_ONE_MAX, WAITING_FOR_ONE_MAX);
        JwkSets { waiting, ..JwkSets::with_clock(outgoing, seconds) }
    }

    /// Metadata of issuers instead of their keys: what is answered is any JSON object.
    #[must_use]
    pub fn metadata(outgoing: Outgoing) -> JwkSets {
        JwkSets { sort: Sort::Metadata, ..JwkSets::new(outgoing) }
    }

    /// Metadata of that one issuer instead of its keys: what is answered is any JSON object.
    #[must_use]
    pub fn metadata_of_one(outgoing: Outgoing) -> JwkSets {
        JwkSets { sort: Sort::Metadata, ..JwkSets::of_one(outgoing) }
    }

    fn with_clock(outgoing: Outgoing, clock: impl Fn() -> Seconds + Send + Sync + 'static) -> JwkSets {
        JwkSets {
            outgoing,
            sort: Sort::Keys,
            clock: Box::new(clock),
            kept: Mutex::default(),
            landed: Condvar::new(),
            waiting: Places::new(WAITING_MAX, WAITING_PER_TENANT_MAX),
            at_once: Places::new(AT_ONCE_MAX, AT_ONCE_PER_TENANT_MAX),
            strangers: None,
        }
    }

    fn fetch(&self, uri: &str) -> Answer<(Arc<Value>, Seconds)> {
        let unreachable = |why: String| self.sort.unreachable(why);
        let url = uri.parse().map_err(|_| unreachable("it is no URL".into()))?;
        let mut ask = OutgoingRequest::new(Method::GET, url);
        (ask.timeout, ask.answer_bytes_max) = (TIMEOUT, FETCHED_JWKS_BYTES_MAX);
        ask.headers.insert(header::ACCEPT, self.sort.accept());
        let answer = self.outgoing.wait(self.outgoing.fetch(ask));
        let answer = answer.ok_or_else(|| Refusal::failed("jwks.runtime", "there is no runtime"))?;
        let answer = answer.map_err(|error| unreachable(error.to_string()))?;
        if answer.status != StatusCode::OK {
            return Err(unreachable(format!("it answered {}", answer.status.as_u16())));
        }
        let set: Value = serde_json::from_slice(&answer.body).map_err(|_| unreachable("it is no JSON".into()))?;
        match self.sort {
            Sort::Keys if usable_keys(&set).is_empty() => {
                return Err(unreachable("it has no key that can be used".into()));
            }
            Sort::Metadata if !set.is_object() => return Err(unreachable("it is no JSON object".into())),
            Sort::Keys | Sort::Metadata => {}
        }
        let kept_s = kept_s(&answer.headers, &set);
        Ok((Arc::new(set), kept_s))
    }
}

/// The time, in seconds since 1970.
fn seconds() -> Seconds {
    u64::try_from(super::now().0 / 1_000_000_000).unwrap_or(0)
}

/// The host that is asked, whatever the port; none of what is no URL.
fn host_of(uri: &str) -> Option<String> {
    let url: url::Url = uri.parse().ok()?;
    url.host_str().map(|host| host.trim_end_matches('.').to_owned())
}

/// How long an answer may be kept (RFC 9111 5.2.2), within our bounds. A SPIFFE bundle may say it by itself (SPIFFE Bundle 4.1.2).
fn kept_s(headers: &HeaderMap, set: &Value) -> Seconds {
    let said = headers.get_all(header::CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok());
    let words: Vec<String> =
        said.flat_map(|said| said.split(',')).map(|word| word.trim().to_ascii_lowercase()).collect();
    if words.iter().any(|word| word == "no-store" || word == "no-cache") {
        return JWKS_KEPT_MIN_S;
    }
    let age = words.iter().find_map(|word| word.strip_prefix("max-age=")?.trim_matches('"').parse().ok());
    let hint = || set.get("spiffe_refresh_hint").and_then(Value::as_u64);
    age.or_else(hint).unwrap_or(JWKS_KEPT_S).clamp(JWKS_KEPT_MIN_S, JWKS_KEPT_MAX_S)
}

impl KeySource for JwkSets {
    fn jwks(&self, tenant: u32, uri: &str, fresh: bool) -> Answer<Arc<Value>> {
        let (mut kept, mut waited) = (self.kept.lock(), false);
        let landing = loop {
            let now = (self.clock)();
            match kept.sets.get(uri).map_or(Next::Ask, |entry| entry.next(fresh, waited, now)) {
                Next::Take(answer) => return answer,
                Next::Wait => {
                    let _place = self.waiting.take(tenant).ok_or_else(busy)?;
                    self.landed.wait(&mut kept);
                    waited = true;
                }
                Next::Ask if !kept.lets(tenant, uri) => return Err(busy()),
                Next::Ask => {
                    let _place = self.at_once.take(tenant).ok_or_else(busy)?;
                    if !kept.sets.contains_key(uri) {
                        kept.make_room();
                    }
                    let entry = kept.sets.entry(uri.to_owned()).or_default();
                    (entry.under_way, entry.asked_at) = (Some(tenant), now);
                    break Landing { sets: self, uri, _place };
                }
            }
        };
        drop(kept);
        let answer = self.fetch(uri);
        landing.with(&answer);
        if let Err(refusal) = &answer {
            tracing::warn!(%refusal, "a JWK set of others could not be had");
        }
        answer.map(|(set, _)| set)
    }

    fn jwks_of_stranger(&self, tenant: u32, uri: &str, fresh: bool) -> Answer<Arc<Value>> {
        self.strangers.as_deref().unwrap_or(self).jwks(tenant, uri, fresh)
    }
}

#[cfg(test)]
mod tests;
