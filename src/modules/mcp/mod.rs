//! MCP servers as OAuth resource servers whose every call is decided by Check.
//!
//! * `Guard` stands before any resource: RFC 9728 metadata, challenges, one token for exactly this resource.
//! * `Endpoint` stands before an MCP server: it reads each message, asks the `Policy` what it needs, asks the engine for
//!   the user **and** for the agent, and lets through what both may. Behind it is another server (`Endpoint::gateway`),
//!   which needs no code for this and never sees the caller's token, or our own (`Endpoint::own`).
//!
//! Who a token is for is said by `Tokens` (`IssuedTokens` where the issuer is another process), whether a person approved a call by `Approvals`, and what the gateway shows to
//! the server behind it by `Credentials`; others carry them out.
//! The standards: MCP 2026-07-28 (authorization, Streamable HTTP) and the two versions before it; COAZ-MCP Draft 1.

/// A client, to see what a client sees.
pub mod client;
mod decide;
mod filter;
mod gateway;
mod guard;
/// The routes, and the way to the server behind the gateway.
pub mod http;
mod message;
mod own;
mod policy;
mod resource;
pub mod servers;
mod session;
mod sse;
mod template;
mod tokens;
#[cfg(test)]
mod tests;

pub use self::http::{Endpoint, EndpointSpec, guarded, routes};
pub use gateway::{GatewaySpec, NoUpstream, Upstream, UpstreamError};
pub use guard::{Denial, Guard, GuardSpec, TOKEN_BYTES_MAX};
pub use message::VERSIONS;
pub use own::{OwnSpec, ResourceKindSpec};
pub use policy::{CALL_TYPE, CheckSpec, Policy, PolicySpec, ResourceRuleSpec, RuleSpec};
pub use resource::{Resource, ResourceSpec};
pub use servers::{MCP, SERVERS_MAX, Server, ServerSpec, put_server, remove_server, server, servers};
pub use tokens::{IssuedTokens, IssuedTokensSpec, must_be_proved, only_for};

use crate::identity::{Authentication, ClientCertificate};
use crate::tuple::{Object, Timestamp};
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::fmt;
use std::pin::Pin;

/// Why settings could not work, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SettingsError(pub String);

/// How a token is presented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// RFC 6750: who has it may use it.
    Bearer,
    /// RFC 9449: with a proof of its key.
    Dpop,
}

/// A token as it is presented, and with which request.
#[derive(Clone, Copy)]
pub struct Presented<'a> {
    /// How.
    pub scheme: Scheme,
    /// The token. Never log it.
    pub token: &'a str,
    /// The proof, where one was sent.
    pub proof: Option<&'a str>,
    /// The method of the request, which a proof names (`htm`).
    pub method: &'a str,
    /// The URL of the request as clients know it, which a proof names (`htu`).
    pub url: &'a str,
    /// The certificate that was shown in the TLS handshake.
    pub certificate: Option<&'a ClientCertificate>,
}

impl fmt::Debug for Presented<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Presented({:?}, hidden)", self.scheme)
    }
}

/// For whom a good token speaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// The one on whose behalf: `user:sarah`; an agent that acts for itself is its own subject.
    pub subject: Object,
    /// The agent that acts for the subject: `agent:sales`. What one of both may not, is denied.
    pub agent: Option<Object>,
    /// Agents behind that agent, the nearest first. They are recorded, and do not count in decisions (RFC 8693, 4.1).
    pub actors: Vec<String>,
    /// The client, as a subject: `app:crm`.
    pub client: String,
    /// The token's scopes.
    pub scopes: Vec<String>,
    /// The token's `authorization_details` (RFC 9396).
    pub details: Vec<Value>,
    /// The id of the token (`jti`), for the record; never the token.
    pub token: Option<String>,
    /// The id of the grant, for the record.
    pub grant: Option<String>,
    /// The id of the session, for the record.
    pub session: Option<String>,
    /// How and when the person was authenticated; nothing when nobody was.
    pub authentication: Option<Authentication>,
}

impl Judged {
    /// Whether the token has a scope.
    #[must_use]
    pub fn has_scope(&self, scope: &str) -> bool {
        self.scopes.iter().any(|own| own == scope)
    }
}

/// Why a token does not open a resource. Texts are for the client: they say no more than it may know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Expired, revoked, forged, or for another audience.
    Invalid {
        /// Which, as far as the client may know.
        reason: Cow<'static, str>,
    },
    /// The DPoP proof is missing, wrong or old (RFC 9449).
    Proof {
        /// Which.
        reason: Cow<'static, str>,
        /// A nonce that the next proof has to have, when one is demanded.
        nonce: Option<String>,
    },
    /// The user has to authenticate again, or better (RFC 9470).
    StepUp {
        /// How well, by preference, with blanks between.
        acr_values: Option<String>,
        /// How long ago at most, in seconds.
        max_age_s: Option<u64>,
    },
    /// It cannot be said just now.
    Unavailable,
}

/// Who judges tokens.
pub trait Tokens: Send + Sync {
    /// Says for whom a token speaks. It may wait for a disk, or for the issuer.
    ///
    /// Good is a token whose signature, type, issuer and times are right, that is not revoked, whose audience is exactly
    /// `resource`, and, where it is bound to a key, whose proof is right for this request.
    ///
    /// # Errors
    /// Why it does not open the resource.
    fn judge(&self, presented: &Presented<'_>, resource: &str, now: Timestamp) -> Result<Judged, Refusal>;
}

/// A call that a person has to approve.
#[derive(Clone, Copy, Debug)]
pub struct ApprovalCall<'a> {
    /// The type of authorization details that the rule names.
    pub kind: &'a str,
    /// The server's resource identifier.
    pub resource: &'a str,
    /// The tool.
    pub tool: &'a str,
    /// The arguments, exactly as they would reach the tool.
    pub arguments: &'a Map<String, Value>,
    /// Ties the records of this call together.
    pub trace: &'a str,
}

impl ApprovalCall<'_> {
    /// The authorization details (RFC 9396) of this call and no other: where, which tool, and the arguments as they are.
    #[must_use]
    pub fn details(&self) -> Value {
        serde_json::json!({
            "type": self.kind, "locations": [self.resource], "actions": [self.tool], "arguments": self.arguments,
        })
    }
}

/// How an approval can be asked for (AuthZEN access request profile, and the hints of SEP-2643).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ApprovalNeeded {
    /// The denial that an access request refers to.
    pub evaluation_id: String,
    /// Until when it may be asked for, RFC 3339.
    pub expires_at: String,
    /// Where a program asks.
    pub endpoint: Option<String>,
    /// Where a person asks.
    pub form_url: Option<String>,
    /// What ties the request to this call.
    pub binding_token: Option<String>,
    /// What a token has to be asked for with (RFC 9396), where the approval comes as a token.
    pub details: Vec<Value>,
}

/// What became of the question for an approval.
#[derive(Clone, Debug, PartialEq)]
pub enum Approval {
    /// A person approved exactly this call; the approval is used up now, and its id is this.
    Given(String),
    /// Nobody need be asked about this call: the rules of its type say so.
    NotNeeded,
    /// Nobody did; this is how to ask.
    Needed(ApprovalNeeded),
}

/// Approvals could not be asked about. The call is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("approvals cannot be asked about just now")]
pub struct ApprovalsUnavailable;

/// Who knows of approvals.
pub trait Approvals: Send + Sync {
    /// Uses up the approval of exactly this call, if there is one.
    ///
    /// # Errors
    /// It cannot be said.
    fn approve(
        &self,
        caller: &Judged,
        call: &ApprovalCall<'_>,
        now: Timestamp,
    ) -> Result<Approval, ApprovalsUnavailable>;
}

/// Where nothing can be approved: calls that need an approval are refused.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoApprovals;

impl Approvals for NoApprovals {
    fn approve(&self, _: &Judged, _: &ApprovalCall<'_>, _: Timestamp) -> Result<Approval, ApprovalsUnavailable> {
        Err(ApprovalsUnavailable)
    }
}

/// What an asynchronous trait answers.
pub type Future<'a, T> = Pin<Box<dyn std::future::Future<Output = T> + Send + 'a>>;

/// Who knows what the gateway shows to the server behind it, in place of the caller's token.
pub trait Credentials: Send + Sync {
    /// The value of `Authorization` for a call of the server, or none. It is marked as sensitive.
    ///
    /// # Errors
    /// There is no credential just now; the call is refused. The text is for the caller and names no secret.
    fn authorization<'a>(
        &'a self,
        caller: &'a Judged,
        resource: &'a str,
    ) -> Future<'a, Result<Option<::http::HeaderValue>, &'static str>>;
}

/// For a server behind the gateway that wants no credential, because only the gateway reaches it.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoCredentials;

impl Credentials for NoCredentials {
    fn authorization<'a>(
        &'a self,
        _: &'a Judged,
        _: &'a str,
    ) -> Future<'a, Result<Option<::http::HeaderValue>, &'static str>> {
        Box::pin(std::future::ready(Ok(None)))
    }
}
