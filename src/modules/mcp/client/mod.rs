//! A client of MCP servers, to see what a client sees: `bailiwick mcp try`.
//!
//! It asks a server without a token and does what its challenge says: protected resource metadata (RFC 9728), metadata of the
//! authorization server (RFC 8414), a client there, a token (authorization code with PKCE, client credentials, an assertion, or
//! enterprise-managed authorization), and the call again; more scopes where they are wanted (SEP-2350), within bounds. Each step
//! is told to a `Teller`; no secret is. It keeps nothing: what one trial had, the next has not.
//!
//! What it does not take from rmcp, and why, stands in docs/mcp.md.

mod answer;
mod challenge;
mod fault;
mod flow;
/// What is asked, and heard.
pub mod http;
mod metadata;
mod mirror;
mod session;
mod sign;
mod who;
#[cfg(test)]
mod tests;

pub use answer::{CLIENT_SECRET_BYTES_MAX, Token, code_of, error_of, token_of, union, words};
pub use challenge::{CHALLENGE_BYTES_MAX, CHALLENGES_MAX, Challenge, PARAMETERS_MAX, challenges, parse, written};
pub use fault::{ClientError, SHOWN_LETTERS_MAX, shown};
pub use flow::{NONCES_MAX, ROUNDS_MAX};
pub use metadata::{
    METADATA_LIST_MAX, METADATA_TEXT_BYTES_MAX, ResourceMetadata, ServerMetadata, resource_metadata, resource_places,
    server_metadata, server_places,
};
pub use mirror::{Mark, encoded, marks, mirrored};
pub use session::{CALLS_MAX, PAGES_MAX, Seen, TOOLS_MAX, attempt};
pub use sign::{KEY_BYTES_MAX, SigningKey};
pub use who::ClientGiven;

use crate::identity::Env;
use crate::wire::Outgoing;
use serde_json::{Map, Value};
use std::pin::Pin;
use url::Url;
use zeroize::Zeroizing;

/// What is tried.
pub struct Trial {
    /// The MCP server.
    pub url: Url,
    /// The version of the protocol; the newest that both speak when none is said.
    pub version: Option<&'static str>,
    /// The authorization server at which the client is registered: a server that names another gets nothing.
    pub issuer: Option<String>,
    /// Who we are.
    pub client: ClientGiven,
    /// How a token is had.
    pub way: Way,
    /// Scopes that are asked for, besides those of challenges; those that the server names when none are said.
    pub scopes: Vec<String>,
    /// Whether tokens are bound to a key, also where nobody demands it.
    pub dpop: bool,
    /// Whether the refresh token is tried too.
    pub refresh: bool,
    /// Whether questions of the server to a person are answered with the defaults of their forms, and not declined.
    pub accept: bool,
    /// The tools that are called.
    pub calls: Vec<ToolCall>,
}

/// How a token is had.
pub enum Way {
    /// A person signs in (authorization code with PKCE).
    Person,
    /// The client has it for itself (client credentials).
    Own,
    /// For an assertion that somebody else made (RFC 7523 2.1).
    Assertion(Zeroizing<String>),
    /// For an assertion of the enterprise's identity provider (ID-JAG).
    Enterprise(Enterprise),
}

/// An identity provider that says for whom a client acts, and what it is shown (enterprise-managed authorization).
pub struct Enterprise {
    /// The issuer.
    pub issuer: String,
    /// Who we are there.
    pub client: ClientGiven,
    /// What is exchanged there for an assertion.
    pub token: Zeroizing<String>,
    /// What kind of token that is (RFC 8693 3).
    pub token_type: String,
}

/// A tool that is called.
#[derive(Clone, Debug)]
pub struct ToolCall {
    /// Its name.
    pub name: String,
    /// Its arguments.
    pub arguments: Map<String, Value>,
}

/// Who is told of each step. Texts have nothing hidden in them, and no secrets.
pub trait Teller: Sync {
    /// A step begins.
    fn step(&self, title: &str);
    /// What is said of it.
    fn says(&self, text: &str);
}

/// Where a browser came back to.
pub type Visited<'a> = Pin<Box<dyn Future<Output = Result<Url, ClientError>> + 'a>>;

/// Who has a browser.
pub trait Visitor: Sync {
    /// Where the browser is to be sent back to.
    fn redirect_uri(&self) -> &Url;
    /// Opens a URL, and answers to which the browser came back.
    fn visit<'a>(&'a self, url: &'a Url) -> Visited<'a>;
}

/// What a trial takes from outside.
#[derive(Clone, Copy)]
pub struct Around<'a> {
    /// The one client of other people's servers.
    pub outgoing: &'a Outgoing,
    /// Who is told.
    pub teller: &'a dyn Teller,
    /// Who has a browser.
    pub visitor: &'a dyn Visitor,
    /// The time and randomness.
    pub env: &'a (dyn Fn() -> Env<'static> + Sync),
}
