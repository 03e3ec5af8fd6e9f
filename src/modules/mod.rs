//! What stands around the engine: thin modules that do not know each other, and meet through tuples.

/// Agents: who they are, who answers for them, what they reach.
pub mod agent;
/// What a person has to allow before an agent does it.
pub mod approval;
/// What happened, and the proof of it.
pub mod audit;
/// Token exchange, and identity assertions across domains.
pub mod exchange;
/// Signing in: passwords, passkeys, one-time codes, sessions, consent; and the pages.
pub mod login;
/// Tells clients that a session ended.
pub mod logout;
/// MCP servers whose every call is decided: a guard, a gateway, and our own server.
pub mod mcp;
/// The endpoints of the authorization server.
pub mod oauth;
/// Other systems say, and are told, that all is over that a person has (Global Token Revocation).
pub mod revocation;
/// Provisioning by SCIM: a directory pushes people, managers and groups.
pub mod scim;
/// Credentials for other people's APIs, the proxy that lends them, and the filter of what comes back.
pub mod vault;
