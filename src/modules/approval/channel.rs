//! How people learn that something waits for them, and how clients learn that it was decided: traits, which `server.rs` fills.
//!
//! What is said leads to the page, where a person signs in and decides. It holds nothing by which anybody else could decide,
//! and no more of what is asked than its title. Browsers are told one by one (`push`), and not by a [`Channel`].

use crate::identity::{Seconds, Tenant};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::time::Duration;

/// A person who may decide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// Their id.
    pub id: String,
    /// What they are called.
    pub name: String,
    /// Their address, when it is known to be theirs (`email_verified`).
    pub email: Option<String>,
}

/// What is said of a request.
#[derive(Clone, Debug)]
pub struct Message<'a> {
    /// The tenant's name.
    pub tenant: &'a str,
    /// The id of the request.
    pub id: &'a str,
    /// Its page.
    pub link: &'a str,
    /// Who asks.
    pub client: &'a str,
    /// For whom.
    pub user: &'a str,
    /// What is asked, a sentence each.
    pub titles: Vec<&'a str>,
    /// What the client shows too.
    pub binding_message: Option<&'a str>,
    /// Until when it can be decided.
    pub expires_at: Seconds,
    /// Who may decide.
    pub people: &'a [Person],
}

/// What a person is told that is about no request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum News {
    /// The provider of a connection of theirs does not take it any more.
    Reconnect {
        /// The id of the connection.
        connection: String,
        /// What people call it.
        name: String,
    },
    /// Nobody answers any more for agents that they operate.
    Orphans {
        /// Ids of agents, at most [`ORPHANS_NAMED_MAX`].
        agents: Vec<String>,
        /// How many more there are.
        more: usize,
    },
    /// Somebody else allowed an agent something in their name.
    AllowedForYou {
        /// The id of the approval.
        approval: String,
        /// What the agent is called.
        client: String,
        /// Who allowed it, as people call them.
        by: String,
        /// What, a sentence each.
        titles: Vec<String>,
    },
}

/// Most agents that are named in one message.
pub const ORPHANS_NAMED_MAX: usize = 50;

impl News {
    /// Where it is looked at: a page for what a person does there, else what an API answers.
    #[must_use]
    pub fn link(&self, tenant: &Tenant) -> String {
        match self {
            News::Reconnect { connection, .. } => tenant.url(&format!("/connect/{connection}")),
            News::Orphans { .. } => tenant.url("/admin/agents?orphaned=true"),
            News::AllowedForYou { .. } => tenant.url("/account"),
        }
    }

    /// Whether a browser may open what it links to.
    pub(super) fn has_page(&self) -> bool {
        matches!(self, News::Reconnect { .. } | News::AllowedForYou { .. })
    }
}

/// News for a person.
#[derive(Clone, Copy, Debug)]
pub struct Tidings<'a> {
    /// The tenant's name.
    pub tenant: &'a str,
    /// What is new.
    pub news: &'a News,
    /// Where it is looked at.
    pub link: &'a str,
    /// Who is told.
    pub person: &'a Person,
}

/// Why something was not said: a sentence for the log, without anything that a caller sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotSaid(pub &'static str);

/// A way to tell people.
pub trait Channel: Send + Sync {
    /// Its name, as settings have it.
    fn name(&self) -> &str;

    /// Whether each person is told for themselves: then who was told is not told again because another was not.
    fn tells_each(&self) -> bool {
        false
    }

    /// Whether it can tell this person.
    fn reaches(&self, _: &Person) -> bool {
        true
    }

    /// Tells those who may decide: all, or one alone if [`Channel::tells_each`]. It may block, for a bounded time.
    ///
    /// # Errors
    /// Somebody was not told; all are told again.
    fn tell(&self, message: &Message<'_>) -> Result<(), NotSaid>;

    /// Tells a person what is about no request. It may block, for a bounded time.
    ///
    /// # Errors
    /// They were not told.
    fn news(&self, tidings: &Tidings<'_>) -> Result<(), NotSaid>;
}

/// A call of another's server.
#[derive(Clone, Copy)]
pub struct Callback<'a> {
    /// Where.
    pub url: &'a str,
    /// The bearer token that it wants to see. It has no `Debug`.
    pub bearer: &'a str,
    /// JSON.
    pub body: &'a str,
}

/// What came of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Called {
    /// It answered with this status; the body was not looked at.
    Answered(u16),
    /// The address is one that may not be called.
    Refused,
    /// It could not be reached, or took too long.
    Failed,
}

/// The client for other people's servers: `https` (or this machine), private addresses refused, no redirects followed,
/// bounded time and bytes.
pub trait Calls: Send + Sync {
    /// POSTs a JSON body.
    fn call(&self, callback: &Callback<'_>) -> Called;
}

/// A message for one browser, for its push service to carry (RFC 8030 5).
#[derive(Clone, Copy)]
pub struct PushCall<'a> {
    /// What reaches the browser. It has no `Debug`: who has it can reach the browser too.
    pub url: &'a str,
    /// The `Authorization` header (RFC 8292 3).
    pub authorization: &'a str,
    /// How long the service keeps it for a browser that is off, in seconds.
    pub ttl_s: Seconds,
    /// What a later message about the same takes the place of (RFC 8030 5.4).
    pub topic: &'a str,
    /// The message, encrypted as `aes128gcm`.
    pub body: &'a [u8],
}

/// The client for push services: as [`Calls`] is for others.
pub trait Pushes: Send + Sync {
    /// POSTs a message.
    fn push(&self, call: &PushCall<'_>) -> Called;
}

/// All ways there are.
pub struct Channels {
    /// To people.
    pub channels: Vec<Box<dyn Channel>>,
    /// To people's browsers.
    pub push: Box<dyn Pushes>,
    /// To clients' endpoints.
    pub callback: Box<dyn Calls>,
    /// How long it is since some moment: how long others take is measured by it.
    pub clock: Box<dyn Fn() -> Duration + Send + Sync>,
}

impl Channels {
    /// The channel of a name.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&dyn Channel> {
        self.channels.iter().find(|channel| channel.name() == name).map(|channel| &**channel)
    }
}

/// Tells a program of the tenant's operator, which tells people in whatever way it likes.
pub struct Webhook {
    /// Its name.
    pub name: String,
    /// Where.
    pub url: String,
    /// The bearer token that it wants to see.
    pub bearer: String,
    /// How it is called.
    pub calls: Box<dyn Calls>,
}

impl Webhook {
    fn post(&self, body: &Value) -> Result<(), NotSaid> {
        match self.calls.call(&Callback { url: &self.url, bearer: &self.bearer, body: &body.to_string() }) {
            Called::Answered(200..=299) => Ok(()),
            Called::Answered(_) => Err(NotSaid("the webhook answered with an error")),
            Called::Refused => Err(NotSaid("the webhook's address may not be called")),
            Called::Failed => Err(NotSaid("the webhook could not be reached")),
        }
    }
}

fn person(person: &Person) -> Value {
    json!({"id": person.id, "name": person.name, "email": person.email})
}

impl Channel for Webhook {
    fn name(&self) -> &str {
        &self.name
    }

    fn tell(&self, message: &Message<'_>) -> Result<(), NotSaid> {
        let people: Vec<_> = message.people.iter().map(person).collect();
        self.post(&json!({
            "event": "approval.asked", "tenant": message.tenant, "id": message.id, "link": message.link,
            "client": message.client, "user": message.user, "titles": message.titles,
            "binding_message": message.binding_message, "expires_at": message.expires_at, "people": people,
        }))
    }

    fn news(&self, tidings: &Tidings<'_>) -> Result<(), NotSaid> {
        let Tidings { tenant, news, link, person: of } = tidings;
        let people = [person(of)];
        self.post(&match news {
            News::Reconnect { connection, name } => json!({
                "event": "connection.reconnect_needed", "tenant": tenant, "connection": connection, "name": name,
                "link": link, "people": people,
            }),
            News::Orphans { agents, more } => json!({
                "event": "agent.orphaned", "tenant": tenant, "agents": agents, "more": more, "link": link,
                "people": people,
            }),
            News::AllowedForYou { approval, client, by, titles } => json!({
                "event": "approval.allowed_for_you", "tenant": tenant, "id": approval, "client": client, "by": by,
                "titles": titles, "link": link, "people": people,
            }),
        })
    }
}
