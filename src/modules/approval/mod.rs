//! Approvals: an agent asks, a person decides, and what comes of it is exactly what they saw.
//!
//! An agent asks by OpenID CIBA (poll or ping) or by an access request, with authorization details (RFC 9396) that say what
//! exactly it is to do. Rules say who may decide, as tuples of the system store: the person for whom it is, their manager, who
//! answers for the agent. Whoever decides is signed in and has lately shown who they are; a link alone decides nothing. What
//! was allowed is bound to the digest of its exact arguments, is used once, and ends. It lies in the database from when it is
//! asked for, so that a restart loses nothing; each step is one write with its audit event.

pub mod admin;
mod arap;
mod ask;
mod backchannel;
mod binding;
mod canonical;
pub mod channel;
mod decide;
mod detail;
mod hint;
pub mod http;
mod login_hint;
pub mod mail;
mod outbox;
mod pages;
mod push;
mod records;
mod redeem;
mod signed;
mod telling;
mod template;
#[cfg(test)]
mod tests;
mod types;
mod wanted;

pub use admin::{decided_by, request_json, request_of, requests, state_name};
pub use arap::{AccessTask, PlainShapes, Shapes, TaskResult, TaskStatus};
pub use ask::{Asked, BINDING_MESSAGE_CHARS_MAX};
pub use backchannel::put_backchannel;
pub use binding::{WhoDenied, bind};
pub use canonical::{CanonicalFault, NESTING_MAX, canonical, digest_of};
pub use decide::{Choice, Decider};
pub use detail::{DecisionRule, DetailType, FieldTemplate, Line, Rendered, RenderedDetail, Source, Who};
pub use outbox::{Sent, TRIES_MAX};
pub use push::{
    DEVICES_MAX, Device, NewDevice, PUSH_KEYS_MAX, add_device, devices, forget_devices, is_of_old_key, public_key,
    remove_device, reseal_push, rotate_push_key,
};
pub use records::{
    APPROVAL, ApprovalRequest, Approved, Backchannel, Delivery, Detail, Notice, Ping, Recipient, State, Way,
};
pub use redeem::{CIBA_GRANT, CibaGrant, UsedUp};
pub use types::{TYPES_MAX, put_type, remove_type, type_of, types};
pub use wanted::{ACCESS_TYPE, AccessWanted, Action, Denial, Entity, Item, Submitter, access_detail};

use crate::identity::Seconds;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;

/// How approvals behave.
#[derive(Clone, Debug)]
pub struct ApprovalSettings {
    /// How long a request can be decided when the client does not say, in seconds.
    pub expiry_s: Seconds,
    /// The longest that a client may say.
    pub expiry_max_s: Seconds,
    /// How long a client waits between two questions, in seconds (CIBA 7.3: `interval`).
    pub interval_s: Seconds,
    /// How strongly whoever decides has shown who they are, when nothing asks for more.
    pub acr: String,
    /// How long ago at most they have shown it, in seconds.
    pub auth_age_s: Seconds,
    /// The names of the channels by which people are told, besides the page.
    pub channels: Vec<String>,
    /// Whether people are told in the browsers that they chose (Web Push).
    pub push: bool,
}

impl Default for ApprovalSettings {
    fn default() -> Self {
        ApprovalSettings {
            expiry_s: 300,
            expiry_max_s: 7 * 24 * 3_600,
            interval_s: 5,
            acr: "aal2".to_owned(),
            auth_age_s: 300,
            channels: Vec::new(),
            push: false,
        }
    }
}

/// When a client asked last, and how long it is to wait from then.
#[derive(Clone, Copy, Debug)]
struct Polled {
    at: Seconds,
    interval_s: Seconds,
}

struct Inner {
    settings: ApprovalSettings,
    /// By tenant and request. It holds clients back and decides nothing, so that a restart may forget it.
    polls: Mutex<HashMap<(u32, String), Polled>>,
}

/// The handle. Clones share it.
#[derive(Clone)]
pub struct Approvals {
    inner: Arc<Inner>,
}

impl Approvals {
    /// Approvals that behave so.
    #[must_use]
    pub fn new(settings: ApprovalSettings) -> Approvals {
        Approvals { inner: Arc::new(Inner { settings, polls: Mutex::default() }) }
    }

    /// How they behave.
    #[must_use]
    pub fn settings(&self) -> &ApprovalSettings {
        &self.inner.settings
    }
}
