//! What is to be said to others lies in the database, from the write that it tells of until it was said: a restart loses none,
//! and what fails is said again, later each time, until it is of no use any more.

use super::Approvals;
use super::ask::ping_place;
use super::channel::{Callback, Called, Channels, Message, News, Person, Tidings};
use super::push::{Device, devices, origin_of, push, push_news};
use super::records::{ApprovalRequest, Medium, Notice, Recipient, State};
use super::telling;
use crate::engine::{Decision, Given, Limits, ListUsersQuery};
use crate::identity::{Answer, Change, Env, Held, Refusal, Seconds, Tenant, User, decode};
use crate::secrets::{self, Hierarchy};
use crate::tuple::ObjectRef;
use serde_json::Value;
use url::Url;

/// How often something is tried.
pub const TRIES_MAX: u32 = 8;
/// Notices that are read at a time.
const PAGE: usize = 200;
/// Notices that one call tries: the next begins with those that are left.
const TRIED_MAX: usize = 200;
/// People who are told of one request.
const PEOPLE_MAX: usize = 50;
/// How long it waits before it tries again: so many seconds, and twice as many each time.
pub(super) const WAIT_S: Seconds = 10;
/// How long it is of use to tell somebody of what is about no request.
const NEWS_S: Seconds = 7 * 24 * 3_600;
/// How long a client is still told of a decision after the request's end.
const PING_LATE_S: Seconds = 60;

const NO_CHANNEL: &str = "there is no such channel";

/// What became of the notices of one call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Said.
    pub sent: usize,
    /// Failed, or kept waiting by others for the same place; to be tried again.
    pub later: usize,
    /// Given up, or of no use any more.
    pub dropped: usize,
}

/// Whether something was said.
pub(super) enum Outcome {
    Sent,
    Failed(&'static str),
    OfNoUse,
    /// There are others in its place.
    Spread,
}

impl Approvals {
    /// Says what is due, over these channels, as long as one pass may take. One caller at a time: what is said twice was said by
    /// two.
    ///
    /// # Errors
    /// The disk failed. That a channel failed is none, nor that one notice cannot be told: it is tried again.
    pub fn send(&self, tenant: &Tenant, channels: &Channels, env: &Env<'_>) -> Answer<Sent> {
        telling::tell(self, tenant, due(tenant, env)?, channels, env)
    }

    /// Has a person told, in every way there is: by the channels, and, if there is a page for it, in their browsers.
    ///
    /// # Errors
    /// The disk failed.
    pub fn tell_news(&self, tenant: &Tenant, user: &str, news: &News, env: &Env<'_>) -> Answer<()> {
        let mut change = tenant.change(env);
        self.news(&mut change, tenant, user, news, env)?;
        if !change.is_empty() {
            change.commit()?;
        }
        Ok(())
    }

    /// The same, within a change.
    pub(super) fn news(
        &self,
        change: &mut Change<'_>,
        tenant: &Tenant,
        user: &str,
        news: &News,
        env: &Env<'_>,
    ) -> Answer<()> {
        let mut media: Vec<Medium> = self.settings().channels.iter().cloned().map(Medium::Channel).collect();
        if self.settings().push && news.has_page() {
            media.extend(devices(tenant, user)?.into_iter().map(|device| Medium::Browser(device.value.id)));
        }
        for by in media {
            let to = Recipient::Person { user: user.to_owned(), by, news: news.clone() };
            let (due_at, over_at) = (env.seconds(), env.seconds().saturating_add(NEWS_S));
            change.create(&[&env.id()], &Notice { request: String::new(), to, due_at, tries: 0, over_at });
        }
        Ok(())
    }

    /// Says one notice.
    pub(super) fn say(
        &self,
        tenant: &Tenant,
        notice: &Held<Notice>,
        channels: &Channels,
        env: &Env<'_>,
    ) -> Answer<Outcome> {
        if let Recipient::Person { user, by, news } = &notice.to {
            return say_news(tenant, (user, by, news), notice.over_at, channels, env);
        }
        let Some(request) = tenant.get::<ApprovalRequest>(&[&notice.request])? else { return Ok(Outcome::OfNoUse) };
        match &notice.to {
            Recipient::Ping => self.ping(tenant, &request, channels, env),
            Recipient::Person { .. } => Ok(Outcome::OfNoUse), // it is about no request
            // There is nothing left to decide.
            Recipient::Channel(_) | Recipient::Browsers | Recipient::Browser { .. } | Recipient::Named { .. }
                if !request.is_open(env.seconds()) =>
            {
                Ok(Outcome::OfNoUse)
            }
            Recipient::Browsers => Ok(Outcome::Spread), // it was before
            Recipient::Browser { user, device } => match tenant.get::<Device>(&[user, device])? {
                Some(device) => push(tenant, &request, &device, &*channels.push, env),
                None => Ok(Outcome::OfNoUse),
            },
            Recipient::Channel(name) => tell_people(tenant, &request, (name, &people(tenant, &request)?), channels),
            Recipient::Named { user, channel } => {
                // Whoever may not decide any more is not told.
                let may = tenant.check(&format!("user:{user}"), "approver", &request.object())?;
                match tenant.user(user) {
                    Ok(user) if may == Decision::Allow => {
                        tell_people(tenant, &request, (channel, &[person(&user)]), channels)
                    }
                    _ => Ok(Outcome::OfNoUse),
                }
            }
        }
    }

    /// Calls the client (CIBA 10.2): any answer of 200 or 204 will do, and what else it says is not looked at. It is called again
    /// when it was not reached, or says that it could not just now; whoever answers otherwise would do so again.
    fn ping(&self, tenant: &Tenant, request: &ApprovalRequest, channels: &Channels, env: &Env<'_>) -> Answer<Outcome> {
        let Some(ping) = &request.ping else { return Ok(Outcome::OfNoUse) };
        let fetched = matches!(&request.state, State::Approved(approved) if approved.grant.is_some());
        if fetched || env.seconds() > request.expires_at.saturating_add(PING_LATE_S) {
            return Ok(Outcome::OfNoUse);
        }
        let bytes = decode(&ping.sealed).unwrap_or_default();
        let opened =
            secrets::open(tenant.identity().ring(), Hierarchy::System, &ping_place(tenant, &request.id), &bytes);
        let token = opened.map_err(|error| Refusal::failed("ping.open", error.to_string()))?;
        let token = std::str::from_utf8(&token).map_err(|_| Refusal::failed("ping.open", "no text"))?;
        let Some((token, auth_req_id)) = token.split_once('\n') else {
            return Err(Refusal::failed("ping.open", "it has not two parts"));
        };
        let body = serde_json::json!({ "auth_req_id": auth_req_id }).to_string();
        let called = channels.callback.call(&Callback { url: &ping.endpoint, bearer: token, body: &body });
        Ok(match called {
            Called::Answered(200 | 204) => Outcome::Sent,
            Called::Answered(408 | 425 | 429 | 500..=599) => Outcome::Failed("it answered that it cannot now"),
            Called::Answered(status) => {
                tracing::warn!(
                    request = request.id,
                    client = request.client,
                    status,
                    "a ping is refused, and given up"
                );
                Outcome::OfNoUse
            }
            Called::Refused => Outcome::Failed("its address may not be called"),
            Called::Failed => Outcome::Failed("it could not be reached"),
        })
    }
}

/// Tells people of a request by a channel.
fn tell_people(
    tenant: &Tenant,
    request: &ApprovalRequest,
    (channel, people): (&str, &[Person]),
    channels: &Channels,
) -> Answer<Outcome> {
    let Some(channel) = channels.named(channel) else { return Ok(Outcome::Failed(NO_CHANNEL)) };
    let message = Message {
        tenant: tenant.name(),
        id: &request.id,
        link: &tenant.url(&format!("/approvals/{}", request.id)),
        client: &request.shown.client,
        user: &request.shown.user,
        titles: request.shown.details.iter().map(|detail| detail.title.as_str()).collect(),
        binding_message: request.binding_message.as_deref(),
        expires_at: request.expires_at,
        people,
    };
    Ok(channel.tell(&message).map_or_else(|why| Outcome::Failed(why.0), |()| Outcome::Sent))
}

/// Tells a person what is about no request.
fn say_news(
    tenant: &Tenant,
    (user, by, news): (&str, &Medium, &News),
    over_at: Seconds,
    channels: &Channels,
    env: &Env<'_>,
) -> Answer<Outcome> {
    let (Ok(user), true) = (tenant.user(user), env.seconds() < over_at) else { return Ok(Outcome::OfNoUse) };
    match by {
        Medium::Channel(name) => {
            let Some(channel) = channels.named(name) else { return Ok(Outcome::Failed(NO_CHANNEL)) };
            let (link, person) = (news.link(tenant), person(&user));
            let tidings = Tidings { tenant: tenant.name(), news, link: &link, person: &person };
            Ok(channel.news(&tidings).map_or_else(|why| Outcome::Failed(why.0), |()| Outcome::Sent))
        }
        Medium::Browser(device) => match tenant.get::<Device>(&[&user.id, device])? {
            Some(device) => push_news(tenant, news, over_at, &device, &*channels.push, env),
            None => Ok(Outcome::OfNoUse),
        },
    }
}

/// The notices that are due: those that wait for their time keep no others from being seen.
fn due(tenant: &Tenant, env: &Env<'_>) -> Answer<Vec<Held<Notice>>> {
    let (mut due, mut after) = (Vec::new(), None::<String>);
    loop {
        let page = tenant.list::<Notice>(&[], after.as_deref(), PAGE)?;
        after = page.last().filter(|_| page.len() == PAGE).map(Held::last);
        due.extend(page.into_iter().filter(|held| env.seconds() >= held.due_at));
        if after.is_none() || due.len() >= TRIED_MAX {
            due.truncate(TRIED_MAX);
            return Ok(due);
        }
    }
}

/// Where a notice goes: what goes to one place is said one after another. `None`: nowhere, as far as can be seen.
pub(super) fn place_of(tenant: &Tenant, notice: &Notice) -> Option<String> {
    let channel = |name: &str| Some(format!("channel {name}"));
    let browser =
        |user: &str, id: &str| tenant.get::<Device>(&[user, id]).ok()?.and_then(|held| origin_of(tenant, &held));
    match &notice.to {
        Recipient::Ping => {
            let request = tenant.get::<ApprovalRequest>(&[&notice.request]).ok()??;
            Some(Url::parse(&request.ping.as_ref()?.endpoint).ok()?.origin().ascii_serialization())
        }
        Recipient::Channel(name)
        | Recipient::Named { channel: name, .. }
        | Recipient::Person { by: Medium::Channel(name), .. } => channel(name),
        Recipient::Browser { user, device } | Recipient::Person { user, by: Medium::Browser(device), .. } => {
            browser(user, device)
        }
        Recipient::Browsers => None,
    }
}

/// One notice for each browser, or for each person whom a channel tells for themselves, in place of the one for all: each is
/// tried for itself. `None` when there is nothing to spread.
pub(super) fn spread_one(
    tenant: &Tenant,
    notice: &Held<Notice>,
    channels: &Channels,
    env: &Env<'_>,
) -> Answer<Option<Outcome>> {
    let each = match &notice.to {
        Recipient::Browsers => None,
        Recipient::Channel(name) => match channels.named(name).filter(|channel| channel.tells_each()) {
            Some(channel) => Some(channel),
            None => return Ok(None),
        },
        Recipient::Ping | Recipient::Person { .. } | Recipient::Browser { .. } | Recipient::Named { .. } => {
            return Ok(None);
        }
    };
    let request = tenant.get::<ApprovalRequest>(&[&notice.request])?;
    let Some(request) = request.filter(|request| request.is_open(env.seconds())) else {
        return Ok(Some(Outcome::OfNoUse)); // there is nothing left to decide
    };
    let mut change = tenant.change(env);
    change.remove(notice);
    let mut add = |to: Recipient| {
        change.create(&[&env.id()], &Notice { to, tries: 0, ..notice.value.clone() });
    };
    let mut reached = 0;
    for person in people(tenant, &request)? {
        match each {
            Some(channel) if channel.reaches(&person) => {
                reached += 1;
                add(Recipient::Named { user: person.id, channel: channel.name().to_owned() });
            }
            Some(_) => {}
            None => {
                for device in devices(tenant, &person.id)? {
                    add(Recipient::Browser { user: person.id.clone(), device: device.id.clone() });
                }
            }
        }
    }
    if each.is_some() && reached == 0 {
        return Ok(Some(Outcome::Failed("nobody who may decide can be reached by this channel")));
    }
    match change.commit() {
        Err(refusal) if !refusal.is_stale() => Err(refusal),
        _ => Ok(Some(Outcome::Spread)),
    }
}

pub(super) fn remove(tenant: &Tenant, held: &Held<Notice>, env: &Env<'_>) -> Answer<()> {
    let mut change = tenant.change(env);
    change.remove(held);
    match change.commit() {
        Err(refusal) if !refusal.is_stale() => Err(refusal),
        _ => Ok(()),
    }
}

/// Who may decide on a request now.
fn people(tenant: &Tenant, request: &ApprovalRequest) -> Answer<Vec<Person>> {
    let query = ListUsersQuery {
        object: ObjectRef { object_type: "approval", id: &request.id },
        relation: "approver",
        subject_type: "user",
        subject_relation: None,
        given: Given::default(),
    };
    let mut people = Vec::new();
    for subject in tenant.view()?.list_users(&query, &Limits::default())?.into_iter().take(PEOPLE_MAX) {
        let subject = subject.to_string();
        let Some((_, id)) = subject.split_once(':') else { continue };
        let Ok(user) = tenant.user(id) else { continue };
        people.push(person(&user));
    }
    Ok(people)
}

/// A person as channels know them.
fn person(user: &User) -> Person {
    let verified = user.claims.get("email_verified") == Some(&Value::Bool(true));
    let email = user.claims.get("email").and_then(Value::as_str).filter(|_| verified).map(str::to_owned);
    Person { id: user.id.clone(), name: user.display_name().to_owned(), email }
}
