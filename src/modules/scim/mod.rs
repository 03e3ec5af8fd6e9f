//! Provisioning by SCIM 2.0 (RFC 7642 to 7644): the directory of a company pushes its people, their managers and its groups.
//!
//! There is no second truth. A person is a [`User`](crate::identity::User) of the tenant, `active` is what suspension is, a
//! manager is `user:ID#manager`, a group is a team, and a member of it is `team:ID#member`: the tuples that decide. What a
//! directory says besides, which decides nothing, is kept as it was said.
//!
//! Who may is an administrator of the tenant by Check, with a token that has the scope `scim:read` or `scim:write`.

mod filter;
mod groups;
pub mod http;
mod list;
mod patch;
mod path;
mod records;
mod schema;
mod shape;
#[cfg(test)]
mod tests;
mod users;

pub use filter::{FILTER_BYTES_MAX, FILTER_DEPTH_MAX, Filter};
pub use groups::{MEMBER_CHANGES_MAX, MEMBERS_MAX, note_team};
pub use list::{LOOKED_AT_MAX, PAGE_MAX};
pub use patch::OPERATIONS_MAX;
pub use records::{ATTRIBUTES_BYTES_MAX, SCIM};
pub use schema::Kind;
pub use shape::VALUES_MAX;

use crate::identity::{ErrorCode, Refusal};

/// The scope that reads.
pub const READ: &str = "scim:read";
/// The scope that changes, and reads.
pub const WRITE: &str = "scim:write";

/// Why a request is refused, as RFC 7644 3.12 has it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Fault {
    /// The HTTP status.
    pub status: u16,
    /// The detail error keyword of 400 and 409 (RFC 7644 table 9).
    pub scim_type: Option<&'static str>,
    /// What is wrong and what to do.
    pub detail: String,
    /// The refusal behind it, when another room refused: the log has what else it says.
    pub refusal: Option<Refusal>,
}

/// What most functions here answer.
pub type Answer<T> = Result<T, Fault>;

impl Fault {
    /// A fault of a status without a keyword.
    fn of(status: u16, detail: impl Into<String>) -> Fault {
        Fault { status, scim_type: None, detail: detail.into(), refusal: None }
    }

    /// A fault of the request, with its keyword.
    fn bad(scim_type: &'static str, detail: impl Into<String>) -> Fault {
        Fault { status: 400, scim_type: Some(scim_type), detail: detail.into(), refusal: None }
    }

    fn invalid(detail: impl Into<String>) -> Fault {
        Fault::bad("invalidValue", detail)
    }

    fn missing(what: &str, id: &str) -> Fault {
        Fault::of(404, format!("there is no {what} `{id}`"))
    }

    /// Whether it was refused only because a record changed since it was read.
    fn is_stale(&self) -> bool {
        self.refusal.as_ref().is_some_and(Refusal::is_stale)
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Fault {
        let taken = refusal.error == ErrorCode::Conflict && !refusal.is_stale();
        let scim_type = if taken { Some("uniqueness") } else { None };
        let invalid = refusal.error == ErrorCode::InvalidRequest;
        let scim_type = if invalid { Some("invalidValue") } else { scim_type };
        Fault { status: refusal.error.status(), scim_type, detail: refusal.description.clone(), refusal: Some(refusal) }
    }
}

impl From<crate::engine::QuestionError> for Fault {
    fn from(error: crate::engine::QuestionError) -> Fault {
        Refusal::from(error).into()
    }
}
