//! Token exchange (RFC 8693), and identity assertions across domains (ID-JAG, cross-app access) in both roles.
//!
//! Whatever comes out is a part of what went in: of the subject token in scopes, resources, details and life; of what the
//! managed connection lets this client have, by Check; and of what the client may ask for at all. Who acts is always said
//! (`act`); a token that only says for whom is not made here. What is made within a tenant hangs on the grant that it was
//! made from, and dies with it.
//!
//! * `TokenExchange` is the grant type of RFC 8693. With `requested_token_type` of an ID-JAG it makes, as identity
//!   provider, an assertion for the authorization server of another domain.
//! * `IdentityAssertion` is the grant type `jwt-bearer`: as that other authorization server, it takes such an assertion.
//!
//! Every refusal is an event, `exchange.refused`, with the rule; what the client reads says as much as is safe.

mod act;
mod admin;
mod class;
#[expect(
    clippy::module_inception,
    reason = "the module is named after its standard, and so is the file of its first half"
)]
mod exchange;
pub mod http;
mod idjag;
mod mapping;
mod metadata;
mod onward;
mod records;
mod redeem;
mod request;
mod subject;
mod trust;

pub use act::ACTORS_IN_CHAIN_MAX;
pub use admin::{
    Classed, allow, classes, classify, connection, connections, delegate, holders, put_connection, remove_connection,
};
pub use class::{Approval, Approvals, NeedsApproval, NoApprovals, ScopeClass};
pub use exchange::{TOKEN_EXCHANGE, TokenExchange};
pub use idjag::{ID_JAG, ID_JAG_TYP};
pub use metadata::{ID_JAG_PROFILE, check_client_metadata};
pub use onward::{Onward, OnwardAssertion};
pub use records::{
    ASSERTION_S_MAX, Connection, EXCHANGE, IssuerKeys, ROWS_MAX, Replay, Server, SubjectClaims, SubjectMapping, Target,
    TrustedIssuer,
};
pub use redeem::{IdentityAssertion, JWT_BEARER};
pub use trust::{distrust, trust, trusted_issuer, trusted_issuers};

#[cfg(test)]
mod tests;
