//! Why a request is refused (RFC 7644 3.12).

use crate::identity::{ErrorCode, Refusal};

/// See the file's head.
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
    pub(super) fn of(status: u16, detail: impl Into<String>) -> Fault {
        Fault { status, scim_type: None, detail: detail.into(), refusal: None }
    }

    /// A fault of the request, with its keyword.
    pub(super) fn bad(scim_type: &'static str, detail: impl Into<String>) -> Fault {
        Fault { status: 400, scim_type: Some(scim_type), detail: detail.into(), refusal: None }
    }

    pub(super) fn invalid(detail: impl Into<String>) -> Fault {
        Fault::bad("invalidValue", detail)
    }

    pub(super) fn missing(what: &str, id: &str) -> Fault {
        Fault::of(404, format!("there is no {what} `{id}`"))
    }

    /// Whether it was refused only because a record changed since it was read.
    pub(super) fn is_stale(&self) -> bool {
        self.refusal.as_ref().is_some_and(Refusal::is_stale)
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Fault {
        // A 409 has no other keyword: that somebody is the last administrator is said by the detail alone.
        let last = refusal.rule == "role.last_administrator";
        let taken = refusal.error == ErrorCode::Conflict && !refusal.is_stale() && !last;
        let scim_type = if taken { Some("uniqueness") } else { None };
        let invalid = refusal.error == ErrorCode::InvalidRequest;
        let scim_type = if invalid { Some("invalidValue") } else { scim_type };
        Fault { status: refusal.error.status(), scim_type, detail: refusal.description.clone(), refusal: Some(refusal) }
    }
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Refusal {
        if let Some(refusal) = fault.refusal {
            return refusal;
        }
        let error = match fault.status {
            404 => ErrorCode::NotFound,
            409 => ErrorCode::Conflict,
            400..500 => ErrorCode::InvalidRequest,
            _ => return Refusal::failed("scim.failed", fault.detail),
        };
        Refusal::new(error, "scim", fault.detail)
    }
}

impl From<crate::engine::QuestionError> for Fault {
    fn from(error: crate::engine::QuestionError) -> Fault {
        Refusal::from(error).into()
    }
}
