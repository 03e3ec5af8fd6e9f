//! Telling other systems, place by place, several at once. What goes to one place goes one after another; one that does not
//! answer keeps its own waiting, and nobody else's.

use super::asker::{CAUSE, REVOCATION_TYP};
use super::places::places;
use super::receive::HANDLED_S;
use super::records::{About, Call, Handled, Place, SubjectFormat};
use super::signals;
use super::subject::SubjectId;
use crate::identity::{Answer, Change, Env, EventKind, Held, Outcome, PAGE_MAX, Refusal, Seconds, Tenant, hash_of};
use serde_json::json;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use zeroize::Zeroizing;

/// How often a place is told of one person.
pub const TRIES_MAX: u32 = 10;
/// How long is waited before a place is told again: so many seconds, and twice as many each time.
const WAIT_S: Seconds = 10;
/// How long a place may still be told, in seconds.
const CALL_S: Seconds = 24 * 3_600;
/// How long is good what we show, in seconds.
const TOKEN_LIFE_S: Seconds = 120;
/// Places that are told at once.
const PLACES_AT_ONCE: usize = 8;
/// What a place is told of at most in one pass, and after how long the rest waits for the next.
const CALLS_MAX: usize = 100;
const PLACE_TIME: Duration = Duration::from_secs(5);

/// What became of a post.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Posted {
    /// The other side answered with this status.
    Answered(u16),
    /// The URL is none that is called.
    Refused,
    /// There was no answer.
    Failed,
}

/// What is posted.
pub struct Message {
    /// Where.
    pub url: String,
    /// The `Authorization` header, when there is one.
    pub authorization: Option<Zeroizing<String>>,
    /// What the body is.
    pub media: &'static str,
    /// The body.
    pub body: String,
}

/// Who posts to other systems. `server.rs` plugs it in.
pub trait Posts: Send + Sync {
    /// Posts a message, from a thread that may wait. Redirects are answers.
    fn post(&self, message: &Message) -> Posted;

    /// How much time has passed since some moment.
    fn clock(&self) -> Duration;
}

/// How a call went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// The place knows.
    Done,
    /// It has no such person, as it says.
    Unknown,
    /// It did not answer, or not now: it is told again.
    Later(&'static str),
    /// It refused, or cannot be told: it is not told again.
    Never(&'static str),
}

/// What an answer means. Who does not know our key yet may know it soon.
pub(super) fn judged(posted: Posted) -> Told {
    match posted {
        Posted::Answered(200..=299) => Told::Done,
        Posted::Answered(404) => Told::Unknown,
        Posted::Answered(300..=399) => Told::Never("revocation.redirect"),
        Posted::Answered(401 | 408 | 425 | 429 | 500..=599) => Told::Later("revocation.busy"),
        Posted::Answered(_) => Told::Never("revocation.refused"),
        Posted::Refused => Told::Never("revocation.address"),
        Posted::Failed => Told::Later("revocation.unreachable"),
    }
}

/// Tells what is due. One caller at a time for a tenant: what is told twice was told by two. Answers how many were told.
///
/// # Errors
/// The disk failed. That a place did not answer is none: it is told again.
pub fn tell(tenant: &Tenant, posts: &dyn Posts, env: &Env<'_>) -> Answer<usize> {
    spread(tenant, env)?;
    let mut lanes = Vec::new();
    for place in places(tenant)? {
        let calls = due(tenant, &place, env)?;
        if !calls.is_empty() {
            lanes.push((place.value, calls));
        }
    }
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = 0;
        while let Some((place, calls)) = lanes.get(next.fetch_add(1, Ordering::Relaxed)) {
            done += tell_place(tenant, posts, place, calls, env)?;
        }
        Ok(done)
    };
    let parts: Vec<Answer<usize>> = std::thread::scope(|scope| {
        let others: Vec<_> = (1..lanes.len().min(PLACES_AT_ONCE)).map(|_| scope.spawn(work)).collect();
        let own = work();
        let panicked = |_| Err(Refusal::failed("revocation.panic", "a revocation could not be told"));
        others.into_iter().map(|other| other.join().unwrap_or_else(panicked)).chain([own]).collect()
    });
    parts.into_iter().sum()
}

/// Makes calls of people who were signed out: one for each place, and each once.
fn spread(tenant: &Tenant, env: &Env<'_>) -> Answer<()> {
    let waiting = tenant.signed_out()?;
    if waiting.is_empty() {
        return Ok(());
    }
    let places = places(tenant)?;
    for held in waiting {
        let mut change = tenant.change(env);
        for place in places.iter().filter(|place| held.from.is_none() || held.from != place.issuer) {
            let about = About::SignedOut {
                user: held.user.clone(),
                email: held.email.clone(),
                reason: held.reason.clone(),
                cause: held.cause.clone(),
            };
            call(&mut change, place, about, env);
        }
        if !places.is_empty() {
            let parts = [held.user.as_str(), &hash_of(&held.cause)];
            change.put(&parts, &Handled { at: env.seconds() });
            change.expires::<Handled>(&parts, env.seconds().saturating_add(HANDLED_S), None);
        }
        change.remove(&held);
        change.commit()?;
    }
    Ok(())
}

impl Call {
    /// The same, to be told then; no later than when it is too late, so that it is noted that it was.
    fn until(&self, due_at: Seconds) -> Call {
        Call { due_at: due_at.min(self.made_at.saturating_add(CALL_S)), ..self.clone() }
    }
}

/// Adds to a change that a place is to be told.
pub(super) fn call(change: &mut Change<'_>, place: &Place, about: About, env: &Env<'_>) {
    let (id, now) = (env.id(), env.seconds());
    let call = Call {
        id: id.clone(),
        place: place.id.clone(),
        place_made_at: Some(place.created_at),
        about,
        made_at: now,
        due_at: now,
        tries: 0,
    };
    change.create(&[&place.id, &id], &call);
    change.expires::<Call>(&[&place.id, &id], now.saturating_add(CALL_S), None);
}

/// What a place is to be told now, the oldest first. What one of its id was to be told that was taken away goes in its time.
fn due(tenant: &Tenant, place: &Place, env: &Env<'_>) -> Answer<Vec<Held<Call>>> {
    let its = |call: &Call| call.place_made_at.is_none_or(|made_at| made_at == place.created_at);
    let (mut due, mut after) = (Vec::new(), None::<String>);
    loop {
        let page = tenant.list::<Call>(&[&place.id], after.as_deref(), PAGE_MAX)?;
        after = page.last().map(|held| held.id.clone()).filter(|_| page.len() == PAGE_MAX);
        due.extend(page.into_iter().filter(|held| held.due_at <= env.seconds() && its(held)));
        due.truncate(CALLS_MAX);
        if after.is_none() || due.len() == CALLS_MAX {
            return Ok(due);
        }
    }
}

/// Tells one place what is due, until it does not answer or its time is over.
fn tell_place(tenant: &Tenant, posts: &dyn Posts, place: &Place, calls: &[Held<Call>], env: &Env<'_>) -> Answer<usize> {
    let (begun, mut done) = (posts.clock(), 0);
    for (at, call) in calls.iter().enumerate() {
        if posts.clock().saturating_sub(begun) >= PLACE_TIME {
            break; // they are due in the next pass, as they were
        }
        let told = match message(tenant, place, call, env)? {
            _ if env.seconds() >= call.made_at.saturating_add(CALL_S) => Told::Never("revocation.too_late"),
            None => Told::Never("revocation.no_email"),
            Some(message) => judged(posts.post(&message)),
        };
        done += usize::from(told == Told::Done);
        if let Some(due_at) = settle(tenant, place, call, told, env)? {
            rest(tenant, calls.get(at + 1..).unwrap_or_default(), due_at, env)?;
            break;
        }
    }
    Ok(done)
}

/// Whom a place is told of, in its words; nobody when it knows people by an address, and there is none that is theirs.
fn whom(tenant: &Tenant, place: &Place, user: &str, email: Option<&str>) -> Option<SubjectId> {
    match place.subject {
        SubjectFormat::IssSub => Some(SubjectId::IssSub { iss: tenant.issuer().to_owned(), sub: user.to_owned() }),
        SubjectFormat::Email => email.map(|email| SubjectId::Email { email: email.to_owned() }),
        SubjectFormat::Opaque => Some(SubjectId::Opaque { id: user.to_owned() }),
    }
}

/// What a place is sent; nothing when there is nobody whom it would know.
fn message(tenant: &Tenant, place: &Place, call: &Call, env: &Env<'_>) -> Answer<Option<Message>> {
    let (subject, cause) = match &call.about {
        About::SignedOut { user, email, cause, .. } => match whom(tenant, place, user, email.as_deref()) {
            Some(subject) => (Some(subject), cause.as_str()),
            None => return Ok(None),
        },
        About::Verification { .. } => (None, ""),
    };
    let url = place.endpoint.clone();
    if let Some(signals) = &place.signals {
        let body = signals::token(tenant, place, signals, (call, subject.as_ref()), env)?;
        let authorization = signals::authorization(tenant, &place.id, signals)?;
        return Ok(Some(Message { url, authorization, media: "application/secevent+jwt", body }));
    }
    let Some(subject) = subject else { return Ok(None) };
    let authorization = Some(Zeroizing::new(format!("Bearer {}", token(tenant, place, cause, env)?)));
    Ok(Some(Message { url, authorization, media: "application/json", body: subject.body() }))
}

/// What we show at a place: another each time, because each is good once.
fn token(tenant: &Tenant, place: &Place, cause: &str, env: &Env<'_>) -> Answer<String> {
    let now = env.seconds();
    let mut claims = json!({
        "iss": tenant.issuer(), "aud": place.endpoint, "iat": now, "nbf": now, "exp": now.saturating_add(TOKEN_LIFE_S),
        "jti": env.secret(), CAUSE: cause,
    });
    if let (Some(claims), Some(client)) = (claims.as_object_mut(), &place.client_id) {
        claims.insert("sub".to_owned(), client.as_str().into());
    }
    tenant.sign_with(place.alg, REVOCATION_TYP, &claims, env)
}

/// Notes how a call went: done or given up, as an event; or when it is made again, which is answered.
fn settle(tenant: &Tenant, place: &Place, call: &Held<Call>, told: Told, env: &Env<'_>) -> Answer<Option<Seconds>> {
    let (mut change, tries) = (tenant.change(env), call.tries.saturating_add(1));
    let (outcome, why) = match told {
        Told::Later(why) if tries < TRIES_MAX => {
            tracing::info!(tenant = tenant.name(), place = place.id, why, tries, "a revocation is told again");
            let due_at = env.seconds().saturating_add(WAIT_S.saturating_mul(1 << call.tries.min(TRIES_MAX)));
            change.replace(call, &Call { tries, ..call.until(due_at) });
            change.commit()?;
            return Ok(Some(due_at));
        }
        Told::Done => (Outcome::Done, None),
        // A receiver of signals has them sent to it of everybody: there it is the URL that is not known.
        Told::Unknown if place.signals.is_some() => (Outcome::Failed, Some("revocation.refused")),
        Told::Unknown => (Outcome::Refused, Some("revocation.unknown_there")),
        Told::Later(why) | Told::Never(why) => {
            tracing::warn!(tenant = tenant.name(), place = place.id, why, "a revocation cannot be told");
            (Outcome::Failed, Some(why))
        }
    };
    change.remove(call);
    let event = tenant.event(EventKind::RevocationTold, outcome, env);
    let event = match &call.about {
        About::SignedOut { user, .. } => event.user(format!("user:{user}")),
        About::Verification { .. } => event.action("verification"),
    };
    let event = event.resource(&place.endpoint).detail("place", &place.id).detail("tries", tries.to_string());
    change.event(&why.into_iter().fold(event, |event, why| event.reason(why)));
    change.commit()?;
    Ok(None)
}

/// Has what else is due at a place that does not answer wait as long; it does not count as a try.
fn rest(tenant: &Tenant, calls: &[Held<Call>], due_at: Seconds, env: &Env<'_>) -> Answer<()> {
    if calls.is_empty() {
        return Ok(());
    }
    let mut change = tenant.change(env);
    for held in calls {
        change.replace(held, &held.until(due_at));
    }
    change.commit()?;
    Ok(())
}
