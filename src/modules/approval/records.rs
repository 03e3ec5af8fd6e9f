//! What is kept of approvals: how clients are told, types of details, and each request from the question to its end.

use super::channel::News;
use super::detail::{Rendered, Who};
use crate::engine::Module;
use crate::identity::{Authentication, Seconds, Stored};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The module whose records these are.
pub const APPROVAL: Module = Module::new("approval");

/// How a client learns that a decision was made (CIBA 4: `backchannel_token_delivery_mode`). Push is not served: tokens leave
/// by the token endpoint alone (FAPI-CIBA 5.2.2).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "mode", deny_unknown_fields)]
pub enum Delivery {
    /// It asks the token endpoint now and then.
    #[default]
    Poll,
    /// It is called once, and asks then.
    Ping {
        /// `backchannel_client_notification_endpoint`
        endpoint: String,
    },
}

/// What a client has said of how it asks. A client without a record polls.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Backchannel {
    /// How it is told.
    pub delivery: Delivery,
    /// Whether it must sign its requests (CIBA 7.1.1, FAPI-CIBA 5.2.2).
    #[serde(default)]
    pub signed_requests: bool,
}

impl Stored for Backchannel {
    const MODULE: Module = APPROVAL;
    const SORT: u8 = b'b';
    const WHAT: &'static str = "backchannel of a client";
}

/// A request object that was used (CIBA 7.1.1: `jti`).
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UsedObject {
    pub(super) until: Seconds,
}

impl Stored for UsedObject {
    const MODULE: Module = APPROVAL;
    const SORT: u8 = b'j';
    const WHAT: &'static str = "used request object";
}

/// Where a request stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state", deny_unknown_fields)]
pub enum State {
    /// Nobody has decided.
    Open,
    /// Somebody allowed it, or a part of it.
    Approved(Approved),
    /// Somebody did not.
    Denied {
        /// Who, as a subject.
        by: String,
        /// When.
        at: Seconds,
    },
    /// Nobody decided in time.
    Expired,
}

/// What somebody allowed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approved {
    /// Who, as a subject.
    pub by: String,
    /// When.
    pub at: Seconds,
    /// How they had shown who they are.
    pub authentication: Authentication,
    /// The epoch of the person for whom it is, when it was allowed.
    pub epoch: u32,
    /// The epoch of who allowed it. Not known of what was allowed before it was kept.
    #[serde(default)]
    pub by_epoch: Option<u32>,
    /// The scopes: all that were asked for, or some.
    pub scopes: Vec<String>,
    /// The details: all, or some.
    pub details: Vec<Detail>,
    /// Until when it may be used.
    pub until: Seconds,
    /// The grant of its token, once it was fetched.
    #[serde(default)]
    pub grant: Option<String>,
}

/// A detail that was allowed. It is used once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Detail {
    /// What was allowed.
    pub value: Value,
    /// The digest of its canonical spelling.
    pub digest: String,
    /// When it was used.
    #[serde(default)]
    pub used_at: Option<Seconds>,
}

/// How a request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// By CIBA: a token is fetched with it.
    Ciba,
    /// By an access request (AuthZEN ARAP): what was allowed is used where it was denied.
    AccessRequest,
}

/// A request for approval.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApprovalRequest {
    /// Its id. It stands in links, and who has it may do nothing by it.
    pub id: String,
    /// How it came.
    pub way: Way,
    /// The hash of the secret part of `auth_req_id`.
    pub secret: String,
    /// Who asks: the id of a client.
    pub client: String,
    /// The client as a subject: `agent:ID` or `app:ID`.
    pub asks: String,
    /// For whom: the id of a user.
    pub user: String,
    /// The scopes that are asked for.
    pub scopes: Vec<String>,
    /// The resources.
    pub resources: Vec<String>,
    /// The details.
    pub details: Vec<Value>,
    /// The digest of all that is asked for.
    pub digest: String,
    /// What both the client and the person show (CIBA 7.1).
    pub binding_message: Option<String>,
    /// Who may decide, as the rules said.
    pub who: Vec<Who>,
    /// How strongly whoever decides has shown who they are, at least.
    pub acr: String,
    /// What is shown, word for word.
    pub shown: Rendered,
    /// Its hash.
    pub shown_hash: String,
    /// The versions of the types of the details, by which they were judged.
    pub versions: Vec<(String, u32)>,
    /// The sealed `client_notification_token`, when the client is pinged.
    #[serde(default)]
    pub ping: Option<Ping>,
    /// When it came.
    pub created_at: Seconds,
    /// Until when it can be decided, and its token fetched.
    pub expires_at: Seconds,
    /// Where it stands.
    pub state: State,
}

/// Where a client is told that a decision was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ping {
    /// The endpoint.
    pub endpoint: String,
    /// The token that it wants to see, sealed.
    pub sealed: String,
}

impl Stored for ApprovalRequest {
    const MODULE: Module = APPROVAL;
    const SORT: u8 = b'a';
    const WHAT: &'static str = "request for approval";
}

impl ApprovalRequest {
    /// The object that stands for it in the system store.
    #[must_use]
    pub fn object(&self) -> String {
        format!("approval:{}", self.id)
    }

    /// Whether somebody can still decide.
    #[must_use]
    pub fn is_open(&self, now: Seconds) -> bool {
        self.state == State::Open && now < self.expires_at
    }
}

/// A message that is to be sent, until it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Notice {
    /// The request that it is about; empty when it is about none.
    pub request: String,
    /// To whom.
    pub to: Recipient,
    /// When it is sent, or sent again.
    pub due_at: Seconds,
    /// How often it was tried.
    pub tries: u32,
    /// From when it is no longer of use.
    pub over_at: Seconds,
}

impl Stored for Notice {
    const MODULE: Module = APPROVAL;
    const SORT: u8 = b'n';
    const WHAT: &'static str = "notice of an approval";
}

/// What a person is reached by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Medium {
    /// The channel of this name.
    Channel(String),
    /// The browser of this id.
    Browser(String),
}

/// Who is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Recipient {
    /// The client, that a decision was made (CIBA 10.2).
    Ping,
    /// The people who may decide, by a channel of this name.
    Channel(String),
    /// The people who may decide, in their browsers: each becomes a notice of its own.
    Browsers,
    /// A person, of what is about no request.
    Person {
        /// The id of a user.
        user: String,
        /// By what.
        by: Medium,
        /// What.
        news: News,
    },
    /// One of the people who may decide, by a channel that tells each for themselves.
    Named {
        /// The id of a user.
        user: String,
        /// The channel's name.
        channel: String,
    },
    /// A person, in a browser.
    Browser {
        /// The id of a user.
        user: String,
        /// The id of the browser.
        device: String,
    },
}
