//! Why something is refused: the code and the sentence that a client gets, and the rule, which is for the log.

use super::StepUp;
use crate::engine::{QuestionError, WriteError};
use crate::tuple::Revision;

macro_rules! codes {
    ($($(#[$doc:meta])* $code:ident = $text:literal, $status:literal;)*) => {
        /// The code of a refusal, with its status at endpoints that answer a client directly. The first are OAuth's.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum ErrorCode {
            $($(#[$doc])* $code,)*
        }

        impl ErrorCode {
            /// The code as the protocol spells it.
            #[must_use]
            pub fn text(self) -> &'static str {
                match self { $(ErrorCode::$code => $text,)* }
            }

            /// The HTTP status.
            #[must_use]
            pub fn status(self) -> u16 {
                match self { $(ErrorCode::$code => $status,)* }
            }
        }
    };
}

codes! {
    /// RFC 6749 5.2: the request lacks something, repeats something or is malformed.
    InvalidRequest = "invalid_request", 400;
    /// RFC 6749 5.2: who the client is was not shown.
    InvalidClient = "invalid_client", 401;
    /// RFC 6749 5.2: a code, a refresh token or an assertion is of no use.
    InvalidGrant = "invalid_grant", 400;
    /// RFC 6749 5.2: this client may not do it this way.
    UnauthorizedClient = "unauthorized_client", 400;
    /// RFC 6749 5.2
    UnsupportedGrantType = "unsupported_grant_type", 400;
    /// RFC 6749 4.1.2.1
    UnsupportedResponseType = "unsupported_response_type", 400;
    /// RFC 6749 5.2: unknown, malformed or more than may be had.
    InvalidScope = "invalid_scope", 400;
    /// RFC 8707 2: the resource is unknown or not for this client.
    InvalidTarget = "invalid_target", 400;
    /// RFC 9396 5
    InvalidAuthorizationDetails = "invalid_authorization_details", 400;
    /// RFC 6749 4.1.2.1: the person or a policy said no.
    AccessDenied = "access_denied", 403;
    /// RFC 6750 3.1, RFC 9449 7.1
    InvalidToken = "invalid_token", 401;
    /// RFC 6750 3.1
    InsufficientScope = "insufficient_scope", 403;
    /// RFC 9470 3
    InsufficientUserAuthentication = "insufficient_user_authentication", 401;
    /// RFC 9449 5
    InvalidDpopProof = "invalid_dpop_proof", 400;
    /// RFC 9449 8
    UseDpopNonce = "use_dpop_nonce", 400;
    /// RFC 9126 2.3, RFC 9101 5.2.2
    InvalidRequestUri = "invalid_request_uri", 400;
    /// RFC 9101 6.3
    RequestNotSupported = "request_not_supported", 400;
    /// OpenID Connect Core 3.1.2.6
    RequestUriNotSupported = "request_uri_not_supported", 400;
    /// OpenID Connect Core 3.1.2.6
    RegistrationNotSupported = "registration_not_supported", 400;
    /// OpenID Connect Core 3.1.2.6
    LoginRequired = "login_required", 400;
    /// OpenID Connect Core 3.1.2.6
    ConsentRequired = "consent_required", 400;
    /// OpenID Connect Core 3.1.2.6
    InteractionRequired = "interaction_required", 400;
    /// RFC 7009 2.2.1
    UnsupportedTokenType = "unsupported_token_type", 400;
    /// CIBA 11: nobody has decided yet.
    AuthorizationPending = "authorization_pending", 400;
    /// CIBA 11: the client asks too often.
    SlowDown = "slow_down", 400;
    /// CIBA 11: the time to decide is over.
    ExpiredToken = "expired_token", 400;
    /// CIBA 13
    UnknownUserId = "unknown_user_id", 400;
    /// CIBA 13
    InvalidBindingMessage = "invalid_binding_message", 400;
    /// CIBA 13
    ExpiredLoginHintToken = "expired_login_hint_token", 400;
    /// CIBA 13
    MissingUserCode = "missing_user_code", 400;
    /// CIBA 13
    InvalidUserCode = "invalid_user_code", 400;
    /// RFC 7591 3.2.2
    InvalidRedirectUri = "invalid_redirect_uri", 400;
    /// RFC 7591 3.2.2
    InvalidClientMetadata = "invalid_client_metadata", 400;
    /// Administration: there is no such thing in this tenant.
    NotFound = "not_found", 404;
    /// Administration: somebody was faster, or the name is taken.
    Conflict = "conflict", 409;
    /// RFC 6749 4.1.2.1, RFC 6585 4: too often; come back later.
    TooManyRequests = "temporarily_unavailable", 429;
    /// RFC 6749 4.1.2.1: come back later.
    TemporarilyUnavailable = "temporarily_unavailable", 503;
    /// Our fault.
    ServerError = "server_error", 500;
}

/// The rule of a write that rested on what had changed meanwhile.
const CHANGED: &str = "write.changed";

/// See the file's head. It is an answer like another: nothing of what was asked was done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {description} ({rule}{})", .error.text(), .cause.as_deref().map(|c| format!(": {c}")).unwrap_or_default())]
pub struct Refusal {
    /// The code.
    pub error: ErrorCode,
    /// A sentence that is safe for the client: what is wrong and what to do.
    pub description: String,
    /// Which rule refused: a short word that does not change, for the log and the audit.
    pub rule: &'static str,
    /// What else the log should know; never for a client.
    pub cause: Option<String>,
    /// When it may be tried again, in seconds.
    pub retry_after_s: Option<u32>,
    /// The revision at which it was decided, where it rests on a Check and an event is to say so.
    pub revision: Option<Revision>,
    /// What was asked of the authentication of the person, when that is why.
    pub step_up: Option<Box<StepUp>>,
}

/// What most functions of this room answer.
pub type Answer<T> = Result<T, Refusal>;

impl Refusal {
    /// A refusal by a rule.
    pub fn new(error: ErrorCode, rule: &'static str, description: impl Into<String>) -> Refusal {
        Refusal {
            error,
            description: description.into(),
            rule,
            cause: None,
            retry_after_s: None,
            revision: None,
            step_up: None,
        }
    }

    /// The same, with the revision at which it was decided.
    #[must_use]
    pub fn at(self, revision: Revision) -> Refusal {
        Refusal { revision: Some(revision), ..self }
    }

    /// The same, with what the log should know.
    #[must_use]
    pub fn because(mut self, cause: impl Into<String>) -> Refusal {
        self.cause = Some(cause.into());
        self
    }

    /// Something failed that should not.
    pub fn failed(rule: &'static str, cause: impl Into<String>) -> Refusal {
        let description = "the server could not do this; nothing was changed, try again later";
        Refusal::new(ErrorCode::ServerError, rule, description).because(cause)
    }

    /// There is no such thing, or it is another tenant's.
    #[must_use]
    pub fn not_found(what: &'static str) -> Refusal {
        Refusal::new(ErrorCode::NotFound, "not_found", format!("there is no such {what}"))
    }

    /// Another refusal in the place of one with this code.
    #[must_use]
    pub fn instead_of(self, error: ErrorCode, other: impl FnOnce() -> Refusal) -> Refusal {
        if self.error == error { other() } else { self }
    }

    /// Whether it was refused only because a record changed since it was read: read again and decide anew.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        self.rule == CHANGED
    }
}

impl From<QuestionError> for Refusal {
    fn from(error: QuestionError) -> Refusal {
        Refusal::failed("engine.question", error.to_string())
    }
}

impl From<WriteError> for Refusal {
    fn from(error: WriteError) -> Refusal {
        if matches!(error, WriteError::RecordChanged { .. }) {
            let text = "it was changed or taken by somebody else in this moment; look again and decide anew";
            return Refusal::new(ErrorCode::Conflict, CHANGED, text);
        }
        Refusal::failed("engine.write", error.to_string())
    }
}
