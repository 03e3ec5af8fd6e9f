//! What a connection is: whose credentials it uses, how the other side wants to be asked, and what is let through.

use super::VAULT;
use crate::engine::Module;
use crate::identity::{Seconds, Stored};
use crate::modules::vault::policy::ProxyRule;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// Whose credentials a connection uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HolderKind {
    /// Those of the person for whom the agent acts: each connects their own account.
    User,
    /// Those of the agent itself: a service account, a key of a model's provider.
    Agent,
    /// One that is got for the person and the agent together, about both, and kept by nobody.
    UserAndAgent,
}

/// How a client shows itself at another's token endpoint (RFC 6749 2.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientAuth {
    /// In the `Authorization` header.
    #[default]
    Basic,
    /// In the body.
    Post,
    /// Not at all: a public client.
    None,
    /// By an assertion that a key of ours signs (RFC 7523 2.2).
    PrivateKeyJwt,
}

/// How the other side wants to be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Provider {
    /// OAuth 2 with an authorization code and PKCE (RFC 6749 4.1, RFC 7636), and refresh tokens.
    Oauth2 {
        /// The authorization endpoint.
        authorize_url: String,
        /// The token endpoint.
        token_url: String,
        /// The revocation endpoint (RFC 7009).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        revoke_url: Option<String>,
        /// The issuer, which an `iss` of the callback must be (RFC 9207).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        issuer: Option<String>,
        /// Whether the callback must have an `iss`.
        #[serde(default)]
        issuer_required: bool,
        /// Our client id there.
        client_id: String,
        /// How we show ourselves.
        #[serde(default)]
        client_auth: ClientAuth,
        /// `aud` of our assertions (`private_key_jwt`): the issuer, or where none is said the token endpoint, unless said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        assertion_audience: Option<String>,
        /// The scopes that are asked for.
        #[serde(default)]
        scopes: Vec<String>,
        /// Parameters that this provider wants besides, as `access_type=offline`.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        parameters: BTreeMap<String, String>,
    },
    /// A service account: an assertion that its key signs gets access tokens (RFC 7523, as Google does it).
    ServiceAccount {
        /// The token endpoint.
        token_url: String,
        /// `iss` of the assertion: the account.
        account: String,
        /// `sub` of the assertion, when the account acts for somebody.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        subject: Option<String>,
        /// `aud` of the assertion; the token endpoint, unless said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        audience: Option<String>,
        /// `kid` of the assertion.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key_id: Option<String>,
        /// The scopes that are asked for.
        #[serde(default)]
        scopes: Vec<String>,
    },
    /// The authorization server of another domain, which trusts this tenant: an identity assertion about the person and the
    /// agent (ID-JAG) gets access tokens (RFC 7523 2.1). A managed connection says for whom.
    IdentityAssertion {
        /// Its issuer, byte for byte: that of the managed connection.
        issuer: String,
        /// Its token endpoint.
        token_url: String,
        /// Our client id there, which the managed connection names for the agent.
        client_id: String,
        /// How we show ourselves.
        #[serde(default)]
        client_auth: ClientAuth,
        /// Scopes of the managed connection by name; none for all that need nobody.
        #[serde(default)]
        scopes: Vec<String>,
        /// The resource there (RFC 8707), for which its tokens are to be.
        resource: String,
    },
    /// A key in a header, or a personal access token.
    ApiKeyHeader {
        /// The header.
        header: String,
        /// What stands before the key, as `Bearer `.
        #[serde(default)]
        prefix: String,
    },
    /// A key in a parameter of the URL.
    ApiKeyQuery {
        /// The parameter.
        parameter: String,
    },
    /// A user and a password (RFC 7617).
    Basic {},
}

impl Provider {
    /// Where tokens are had, if they are.
    #[must_use]
    pub fn token_url(&self) -> Option<&str> {
        match self {
            Provider::Oauth2 { token_url, .. }
            | Provider::ServiceAccount { token_url, .. }
            | Provider::IdentityAssertion { token_url, .. } => Some(token_url),
            Provider::ApiKeyHeader { .. } | Provider::ApiKeyQuery { .. } | Provider::Basic {} => None,
        }
    }

    /// How we show ourselves there, where that is asked.
    #[must_use]
    pub fn client_auth(&self) -> Option<ClientAuth> {
        match self {
            Provider::Oauth2 { client_auth, .. } | Provider::IdentityAssertion { client_auth, .. } => {
                Some(*client_auth)
            }
            Provider::ServiceAccount { .. }
            | Provider::ApiKeyHeader { .. }
            | Provider::ApiKeyQuery { .. }
            | Provider::Basic {} => None,
        }
    }

    /// Whether its credentials stay as they are: nothing refreshes them, and whoever has one has it until it is replaced.
    /// OAuth is to be preferred where there is a choice.
    #[must_use]
    pub fn is_static(&self) -> bool {
        matches!(self, Provider::ApiKeyHeader { .. } | Provider::ApiKeyQuery { .. } | Provider::Basic {})
    }
}

/// Bounds of the calls through a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CallLimits {
    /// The largest body that is sent.
    pub request_bytes_max: u64,
    /// The largest body that is answered.
    pub response_bytes_max: u64,
    /// How long a call may take, the last byte of its answer included.
    pub timeout_s: u64,
    /// How long a caller may take nothing of an answer that waits for it; then it is cut off.
    pub stalled_s: u64,
}

impl Default for CallLimits {
    fn default() -> CallLimits {
        CallLimits { request_bytes_max: 8 << 20, response_bytes_max: 32 << 20, timeout_s: 120, stalled_s: 30 }
    }
}

/// What a connection is, as whoever runs the tenant says it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConnectionSpec {
    /// Its id: small letters, digits, `-` and `_`. Given once and never again: it stands in tuples and URLs.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// Whose credentials it uses.
    pub holder: HolderKind,
    /// The URL below which calls go, as `https://api.example.com/v1`.
    pub base: String,
    /// How the other side wants to be asked.
    pub provider: Provider,
    /// What is let through. Nothing else is.
    pub rules: Vec<ProxyRule>,
    /// Whether agents may be handed the access token itself (exchange mode). Then the proxy's rules and its filter bind
    /// nobody.
    #[serde(default)]
    pub exchange: bool,
    /// Bounds of calls.
    #[serde(default)]
    pub limits: CallLimits,
}

/// A key with which we show ourselves at a provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientKey {
    /// Its id: the thumbprint (RFC 7638).
    pub kid: String,
    /// The public part, as a JWK.
    pub public: Value,
    /// When it was added.
    pub created_at: Seconds,
    /// The private part, sealed.
    pub(in super::super) sealed: String,
}

/// A connection to somebody else's API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Connection {
    /// What it is.
    pub spec: ConnectionSpec,
    /// Our client secret there, sealed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in super::super) secret: Option<String>,
    /// The keys with which we show ourselves there. The first signs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(in super::super) keys: Vec<ClientKey>,
    /// When it was made.
    pub created_at: Seconds,
    /// When it was changed last.
    pub changed_at: Seconds,
    /// When it was taken away. Its id stays taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removed_at: Option<Seconds>,
}

impl Stored for Connection {
    const MODULE: Module = VAULT;
    const SORT: u8 = b'c';
    const WHAT: &'static str = "connection";
}

impl Connection {
    /// Whether we have a client secret there.
    #[must_use]
    pub fn has_client_secret(&self) -> bool {
        self.secret.is_some()
    }

    /// The keys with which we show ourselves there. The first signs.
    #[must_use]
    pub fn keys(&self) -> &[ClientKey] {
        &self.keys
    }

    /// As an object of the system store.
    #[must_use]
    pub fn object(&self) -> String {
        format!("connection:{}", self.spec.id)
    }
}
