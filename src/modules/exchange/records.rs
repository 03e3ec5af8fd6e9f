//! What the module keeps: where agents may go, whose assertions are believed, and which of them were used.

use crate::engine::Module;
use crate::identity::{
    ACR_VALUES, Answer, ErrorCode, ISSUER_BYTES_MAX, JWKS_BYTES_MAX, OPENID_SCOPES, RESOURCES_MAX, Refusal, SCOPES_MAX,
    Seconds, Stored, check_resource, is_scope,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// The module whose records these are.
pub const EXCHANGE: Module = Module::new("exchange");
/// Longest life of an identity assertion, ours and others', in seconds.
pub const ASSERTION_S_MAX: Seconds = 300;
/// Most managed connections of a tenant, and most issuers that it trusts.
pub const ROWS_MAX: usize = 500;
/// Most clients that a row names.
pub(super) const CLIENTS_MAX: usize = 256;
/// Longest `client_id` at another authorization server.
const FOREIGN_CLIENT_BYTES_MAX: usize = 1024;

/// A managed connection, `connection:ID` in the system store: where clients of this tenant may go, and how they get there.
/// Who may use it, and for which scopes, is in tuples.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Connection {
    /// Its id in tuples.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// Where it leads to.
    pub target: Target,
    /// When it was made.
    pub created_at: Seconds,
}

impl Stored for Connection {
    const MODULE: Module = EXCHANGE;
    const SORT: u8 = b'c';
    const WHAT: &'static str = "managed connection";
}

/// Which connection has an id. An id that was given stays taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Named {
    /// The last part of the key of its [`Connection`]; none when it was taken away.
    pub(super) at: Option<String>,
}

impl Stored for Named {
    const MODULE: Module = EXCHANGE;
    const SORT: u8 = b'n';
    const WHAT: &'static str = "managed connection";
}

/// Where a managed connection leads to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Target {
    /// A resource of this tenant: tokens for it come from token exchange (RFC 8693).
    Resource {
        /// Its identifier.
        resource: String,
    },
    /// The authorization server of another domain: it takes an ID-JAG of ours.
    Server(Server),
}

/// An authorization server of another domain, which trusts this tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// Its issuer, byte for byte: the `aud` of assertions.
    pub issuer: String,
    /// The resources there that may be named.
    #[serde(default)]
    pub resources: Vec<String>,
    /// Our clients, and what each is called there. A client that is not here gets no assertion.
    pub clients: BTreeMap<String, String>,
    /// The scopes that may be asked for, and what each is called there. Others are left out.
    pub scopes: BTreeMap<String, String>,
    /// What an assertion says of the person, besides their id here.
    #[serde(default)]
    pub subject: SubjectClaims,
    /// How long an assertion lives, in seconds.
    #[serde(default = "assertion_s")]
    pub life_s: Seconds,
}

fn assertion_s() -> Seconds {
    ASSERTION_S_MAX
}

/// What an assertion says of a person, besides `sub`, which is their id here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SubjectClaims {
    /// `email`, when it is verified.
    pub email: bool,
    /// `aud_sub`, their id there: the claim of their profile that has it.
    pub aud_sub: Option<String>,
    /// `sub_id` (RFC 9493 3.2.4, `iss_sub`), who they are at a third that both sides know: its issuer, with which they are
    /// linked here, or ours.
    pub sub_id: Option<String>,
}

/// An issuer whose identity assertions this tenant believes, as far as the row goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustedIssuer {
    /// Its issuer, byte for byte: the `iss` of assertions.
    pub issuer: String,
    /// Where its keys are. Never taken from an assertion.
    #[serde(default)]
    pub keys: IssuerKeys,
    /// Who its `sub` is here.
    #[serde(default)]
    pub subject: SubjectMapping,
    /// Whether a person who is nobody here yet becomes a user.
    #[serde(default)]
    pub create_users: bool,
    /// Our clients that may bring its assertions; empty when all may that may use the grant type.
    #[serde(default)]
    pub clients: Vec<String>,
    /// The scopes that it may assert, and what each is called here. Others are left out.
    pub scopes: BTreeMap<String, String>,
    /// The resources here for which it may assert.
    pub resources: Vec<String>,
    /// How long an assertion may live, in seconds.
    #[serde(default = "assertion_s")]
    pub life_max_s: Seconds,
    /// How long the access token lives at most, in seconds; else as long as others of the tenant.
    #[serde(default)]
    pub access_token_s: Option<Seconds>,
    /// The highest class of authentication (`acr`) that it may assert; more than that counts as that. Without one nothing that
    /// it says of how a person was authenticated counts here.
    #[serde(default)]
    pub acr_max: Option<String>,
    /// How often an assertion may be used.
    #[serde(default)]
    pub replay: Replay,
    /// When it was made.
    pub created_at: Seconds,
}

impl Stored for TrustedIssuer {
    const MODULE: Module = EXCHANGE;
    const SORT: u8 = b'i';
    const WHAT: &'static str = "trusted issuer";
}

/// Where the keys of an issuer are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IssuerKeys {
    /// It is a tenant of this process.
    #[default]
    Here,
    /// In the row: a JWK set.
    Jwks(Value),
    /// At a URL, from where they are fetched and kept for a while.
    JwksUri(String),
}

/// Who the subject of another's assertion is here. The person must be there already, unless the row creates them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SubjectMapping {
    /// Who is linked with the identity (`iss`, `sub`).
    #[default]
    Linked,
    /// The user of the id `sub`: both tenants give the same ids.
    Same,
    /// The user of the id `aud_sub`: the other side keeps our ids.
    AudSub,
    /// The user who is linked with the identity that `sub_id` names (RFC 9493 3.2.4, `iss_sub`), at whatever provider; or the
    /// user of its `sub`, when it names our issuer.
    SubId,
    /// The user whose login name is `email`, when both sides say that it is verified.
    Email,
}

impl SubjectMapping {
    /// All, by their names.
    pub const ALL: [(SubjectMapping, &'static str); 5] = [
        (SubjectMapping::Linked, "linked"),
        (SubjectMapping::Same, "same"),
        (SubjectMapping::AudSub, "aud_sub"),
        (SubjectMapping::SubId, "sub_id"),
        (SubjectMapping::Email, "email"),
    ];
}

/// How often an assertion may be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Replay {
    /// Once.
    #[default]
    Once,
    /// Until it expires.
    UntilExpiry,
}

/// The index of grants that assertions of an issuer were redeemed for: the hash of the issuer, and the grant.
pub(super) const GRANTS_OF_ISSUER: u8 = b'g';

/// An assertion that was used: who has another of the same issuer and `jti` comes too late.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Used {
    /// When.
    pub(super) at: Seconds,
}

impl Stored for Used {
    const MODULE: Module = EXCHANGE;
    const SORT: u8 = b'u';
    const WHAT: &'static str = "used assertion";
}

fn refuse<T>(rule: &'static str, text: impl Into<String>) -> Answer<T> {
    Err(Refusal::new(ErrorCode::InvalidRequest, rule, text))
}

fn check_scopes(scopes: &BTreeMap<String, String>) -> Answer<()> {
    if scopes.len() > SCOPES_MAX {
        return refuse("trust.scopes", format!("a row translates at most {SCOPES_MAX} scopes"));
    }
    match scopes.iter().flat_map(|(from, to)| [from, to]).find(|scope| !is_scope(scope)) {
        Some(bad) => refuse("trust.scopes", format!("`{bad}` is no scope")),
        None => Ok(()),
    }
}

fn check_resources(resources: &[String]) -> Answer<()> {
    if resources.len() > RESOURCES_MAX {
        return refuse("trust.resources", format!("a row names at most {RESOURCES_MAX} resources"));
    }
    resources.iter().try_for_each(|resource| check_resource(resource))
}

fn check_life(life_s: Seconds) -> Answer<()> {
    if (1..=ASSERTION_S_MAX).contains(&life_s) {
        return Ok(());
    }
    refuse("trust.life", format!("an assertion lives 1 to {ASSERTION_S_MAX} seconds"))
}

fn check_issuer(issuer: &str, own: &str) -> Answer<()> {
    let same = issuer.trim_end_matches('/') == own.trim_end_matches('/');
    if same {
        let text = "a tenant neither trusts itself nor asks itself for an assertion: within it, use token exchange";
        return refuse("trust.own_issuer", text);
    }
    if issuer.len() > ISSUER_BYTES_MAX || check_resource(issuer).is_err() || issuer.contains('?') {
        return refuse("trust.issuer", format!("`{issuer}` is no issuer; write it exactly as its metadata does"));
    }
    Ok(())
}

impl Connection {
    /// Whether it makes sense in a tenant with this issuer.
    pub(super) fn check(&self, own: &str) -> Answer<()> {
        if self.name.is_empty() || self.name.len() > 128 || self.name.chars().any(char::is_control) {
            return refuse("connection.name", "a connection has a name of 1 to 128 bytes");
        }
        match &self.target {
            Target::Resource { resource } => check_resource(resource),
            Target::Server(server) => {
                check_issuer(&server.issuer, own)?;
                check_resources(&server.resources)?;
                check_scopes(&server.scopes)?;
                check_life(server.life_s)?;
                let bad = |id: &String| id.is_empty() || id.len() > FOREIGN_CLIENT_BYTES_MAX || !id.is_ascii();
                if server.clients.len() > CLIENTS_MAX || server.clients.values().any(bad) {
                    return refuse(
                        "trust.clients",
                        format!("a row names at most {CLIENTS_MAX} clients, each with an id"),
                    );
                }
                Ok(())
            }
        }
    }

    /// What is named in `resource` or `audience` to go there.
    #[must_use]
    pub fn audience(&self) -> &str {
        match &self.target {
            Target::Resource { resource } => resource,
            Target::Server(server) => &server.issuer,
        }
    }
}

impl TrustedIssuer {
    /// Whether it makes sense in a tenant with this issuer.
    pub(super) fn check(&self, own: &str) -> Answer<()> {
        check_issuer(&self.issuer, own)?;
        check_resources(&self.resources)?;
        check_scopes(&self.scopes)?;
        check_life(self.life_max_s)?;
        if let Some(own) = self.scopes.values().find(|scope| OPENID_SCOPES.contains(&scope.as_str())) {
            return refuse("trust.scopes", format!("`{own}` is of people who sign in here; it cannot be asserted"));
        }
        if self.clients.len() > CLIENTS_MAX {
            return refuse("trust.clients", format!("a row names at most {CLIENTS_MAX} clients"));
        }
        if self.access_token_s == Some(0) {
            return refuse("trust.life", "an access token lives at least a second");
        }
        if self.acr_max.as_ref().is_some_and(|acr| !ACR_VALUES.contains(&acr.as_str())) {
            return refuse("trust.acr", format!("`acr_max` is one of `{}`", ACR_VALUES.join("`, `")));
        }
        if self.create_users && matches!(self.subject, SubjectMapping::AudSub | SubjectMapping::SubId) {
            let text = "who is known by our id (`aud_sub`), or by a link (`sub_id`), is here already; take another mapping to create users";
            return refuse("trust.create_users", text);
        }
        match &self.keys {
            IssuerKeys::Here => Ok(()),
            IssuerKeys::Jwks(set) => check_jwks(set),
            IssuerKeys::JwksUri(uri) => check_resource(uri),
        }
    }
}

fn check_jwks(set: &Value) -> Answer<()> {
    let keys = set.get("keys").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    if keys.is_empty() || set.to_string().len() > JWKS_BYTES_MAX {
        return refuse("trust.keys", format!("a JWK set has `keys`, and at most {JWKS_BYTES_MAX} bytes"));
    }
    if keys.iter().any(|key| key.get("d").is_some() || key.get("k").is_some()) {
        return refuse("trust.keys", "the JWK set has a private or secret key; only public keys are for others");
    }
    Ok(())
}
