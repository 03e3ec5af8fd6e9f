//! The registry of agents: who they are, who answers for them, what they reach, and what became of them.
//!
//! An agent is an identity of its own, `agent:ID` in tuples and `ID` as a client, which lives longer than its name, its keys
//! and its owners, and whose id nobody else ever has. What decides is in the system store: that it may act at all is one
//! tuple (`tenant#member`), that it may not for now is another (`tenant#suspended`), which beats every grant from the next
//! decision on. Records hold what people say of it, and what was changed by whom.
//!
//! Who may change what is a Check too: `agent#operator` (the team that owns it, the accountable person, an administrator) for
//! what is ordinary; the accountable person or an administrator for what lets it act. To *widen* what it reaches takes an
//! administrator, or an approval of exactly that change. No agent changes itself.

mod access;
mod account;
mod credential;
mod draft;
mod edit;
mod history;
pub mod http;
mod orphans;
mod reach;
mod records;
mod registry;
mod report;
mod stage;
#[cfg(test)]
mod tests;

pub use access::{Access, ConnectionAccess, SCOPES_PER_CHANGE_MAX, ScopeClass, Widening};
pub use account::{
    ACCOUNTS_PER_AGENT_MAX, ACCOUNTS_WAITING_MAX, OwnAccount, OwnAccounts, SeenAccount, Sighting, Whose,
};
pub use credential::{CredentialInfo, CredentialSort, Issued, NewKeys, USE_STEP_S, Ways};
pub use draft::{
    DOCUMENT_BYTES_MAX, DRAFT_LIFE_S, DRAFTS_PER_DOMAIN_MAX, DRAFTS_PER_HOST_MAX, DRAFTS_WAITING_MAX, Documents, Seen,
};
pub use history::Histories;
pub use orphans::{ESCALATED_AFTER_S, Tell};
pub use reach::{DataReach, Dependencies, Destinations, NAMES_MAX, Names, NoDestinations, Reach, Side};
pub use records::{
    AGENT, AgentRecord, AgentType, FieldChange, HistoryEntry, LastUse, NAME_BYTES_MAX, Origin, PURPOSE_BYTES_MAX,
    Profile, Suspension,
};
pub use registry::{Agent, Filter, Orphan, Registry};
pub use report::{ACCOUNT_SCOPES_MAX, ACCOUNTS_PER_REPORT_MAX, Account, AccountKind, Report};
pub use stage::{Stage, Step, Who};

use crate::identity::{Answer, Change, Env, ErrorCode, MACHINE, Refusal, Tenant};
use serde_json::Value;

/// Who changes something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By<'a> {
    /// Who works on the database's files. No Check holds them back: they have the disk.
    Machine,
    /// A subject, as `user:ID`. A Check decides what they may.
    Subject(&'a str),
}

impl By<'_> {
    /// As events and history name it.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            By::Machine => MACHINE,
            By::Subject(subject) => subject,
        }
    }
}

/// Who knows approvals: the registry asks it to let a change rest on one. `server.rs` plugs it in.
pub trait Approvals: Send + Sync {
    /// Adds to a change that the approval is used up by it, if it allows `subject` exactly `what`. Answers who allowed it, as a
    /// subject.
    ///
    /// # Errors
    /// There is no such approval, or it is not of this, used, denied or over.
    fn spend(
        &self,
        tenant: &Tenant,
        change: &mut Change<'_>,
        approval: &str,
        subject: &str,
        what: &Value,
        env: &Env<'_>,
    ) -> Answer<String>;
}

/// Where nobody knows approvals: none allows anything.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoApprovals;

impl Approvals for NoApprovals {
    fn spend(
        &self,
        _tenant: &Tenant,
        _change: &mut Change<'_>,
        _approval: &str,
        _subject: &str,
        _what: &Value,
        _env: &Env<'_>,
    ) -> Answer<String> {
        let text = "approvals are not served here; an administrator can make the change";
        Err(Refusal::new(ErrorCode::AccessDenied, "approval.none", text))
    }
}
