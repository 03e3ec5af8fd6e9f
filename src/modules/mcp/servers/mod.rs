//! The MCP servers of a tenant, as its administrator describes them: records that are in force from the next request on.
//!
//! What is put is tried first: a description from which no server could be made is refused, and the sentence says what to do.
//! The tenant's resource of the same identifier comes with it, so that clients can ask for tokens.

pub mod http;

use super::gateway::{GatewaySpec, NoUpstream, Upstream};
use super::own::OwnSpec;
use super::policy::PolicySpec;
use super::{
    Approvals, Endpoint, EndpointSpec, Guard, GuardSpec, Judged, NoApprovals, NoCredentials, Presented,
    Refusal as Refused, Resource, ResourceSpec, SettingsError, Tokens,
};
use crate::engine::Module;
use crate::identity::{
    ALGORITHMS, Answer, Env, ErrorCode, EventKind, Held, Outcome, Refusal, Resource as Audience, Scope, Seconds,
    Stored, Tenant, again, check_id,
};
use crate::tuple::{StoreId, Timestamp};
use crate::wire::{Embedder, Pool};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use url::Url;

/// The module whose records these are.
pub const MCP: Module = Module::new("mcp");
/// Most MCP servers of a tenant.
pub const SERVERS_MAX: usize = 200;
/// The scope that reads what an administrator has put.
pub const MCP_READ: &str = "mcp:read";
/// The scope that changes it, and reads.
pub const MCP_WRITE: &str = "mcp:write";
/// Longest title of a server.
const TITLE_BYTES_MAX: usize = 128;

/// An MCP server, as an administrator describes it: one behind the gateway, or our own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerSpec {
    /// Its name: the last part of its path, and `mcp_server:NAME` in the system store.
    pub name: String,
    /// What people call it; its name when it is left out.
    #[serde(default)]
    pub title: Option<String>,
    /// Its identifier (RFC 8707), when a proxy shows it under another URL than `ISSUER/mcp/NAME`.
    #[serde(default)]
    pub resource: Option<String>,
    /// The data store whose model and tuples decide, by id or name; the tenant's only one when it is left out.
    #[serde(default)]
    pub store: Option<String>,
    /// Scopes that every call needs.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// Scopes that imply others.
    #[serde(default)]
    pub implies: BTreeMap<String, Vec<String>>,
    /// Web origins whose pages may call, besides its own.
    #[serde(default)]
    pub origins: Vec<String>,
    /// Names that clients may use in `Host`, besides its own and the issuer's.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// Whether tokens without a proof of their key (RFC 9449) are refused.
    #[serde(default)]
    pub dpop_required: bool,
    /// It is a server behind the gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<GatewaySpec>,
    /// It is our own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own: Option<OwnSpec>,
}

/// An MCP server as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// What it is; `store` is an id.
    pub spec: ServerSpec,
    /// How often it was put.
    pub version: u32,
    /// When it was put last.
    pub changed_at: Seconds,
}

impl Stored for Server {
    const MODULE: Module = MCP;
    const SORT: u8 = b's';
    const WHAT: &'static str = "MCP server";
}

/// What a server is made with: who is let in, who approves, and how others are reached.
pub(super) struct Parts {
    pub(super) tokens: Arc<dyn Tokens>,
    pub(super) approvals: Arc<dyn Approvals>,
    pub(super) upstream: Arc<dyn Upstream>,
    pub(super) embedder: Option<Embedder>,
    pub(super) pool: Arc<Pool>,
    /// Binds sessions to their callers.
    pub(super) session_key: [u8; 32],
}

fn invalid(rule: &'static str, text: impl Into<String>) -> Refusal {
    Refusal::new(ErrorCode::InvalidRequest, rule, text)
}

impl ServerSpec {
    /// Its identifier in a tenant.
    #[must_use]
    pub fn identifier(&self, tenant: &Tenant) -> String {
        self.resource.clone().unwrap_or_else(|| tenant.url(&format!("/mcp/{}", self.name)))
    }

    /// The type of details (RFC 9396) of the approval that a tool needs; none when it needs no approval.
    #[must_use]
    pub fn approval_of(&self, tool: &str) -> Option<&str> {
        self.policy().and_then(|policy| policy.approval_of(tool))
    }

    fn policy(&self) -> Option<&PolicySpec> {
        self.gateway.as_ref().map(|gateway| &gateway.policy).or(self.own.as_ref().map(|own| &own.policy))
    }

    /// All scopes that it names, each once: those of every call first.
    fn all_scopes(&self) -> Vec<String> {
        let mut all = self.scopes.clone();
        let of_rules = self.policy().map(PolicySpec::scopes).unwrap_or_default();
        let of_kinds = self.own.iter().flat_map(|own| &own.resources).flat_map(|kind| &kind.scopes);
        let implied = self.implies.iter().flat_map(|(scope, implied)| implied.iter().chain([scope]));
        for scope in of_rules.into_iter().chain(of_kinds.map(String::as_str)).chain(implied.map(String::as_str)) {
            if !all.iter().any(|known| known == scope) {
                all.push(scope.to_owned());
            }
        }
        all
    }

    fn check(&self) -> Answer<()> {
        check_id(&self.name)?;
        if self.name.starts_with('.') {
            return Err(invalid("mcp.name", "the name of an MCP server begins with no dot: it stands in its URL"));
        }
        let title = self.title.as_deref().unwrap_or("-");
        if title.is_empty() || title.len() > TITLE_BYTES_MAX || title.chars().any(char::is_control) {
            return Err(invalid("mcp.title", format!("a title has 1 to {TITLE_BYTES_MAX} bytes, in one line")));
        }
        if self.gateway.is_some() == self.own.is_some() {
            return Err(invalid("mcp.kind", "an MCP server is `gateway` or `own`; say one of them"));
        }
        Ok(())
    }

    /// The data store that is meant: one that the tenant has.
    fn store(&self, tenant: &Tenant) -> Answer<StoreId> {
        let stores = tenant.data_stores()?;
        let none = |text: String| Err(invalid("mcp.store", text));
        let attach = "`bailiwick tenant attach-store` gives it one";
        let Some(named) = &self.store else {
            return match stores.as_slice() {
                [only] => Ok(*only),
                [] => none(format!("the tenant has no data store; {attach}")),
                _ => none("the tenant has several data stores; say which in `store`".to_owned()),
            };
        };
        let is_named = |id: &&StoreId| {
            id.to_string() == *named || tenant.engine().store(**id).is_ok_and(|store| store.value.name == *named)
        };
        let mut found = stores.iter().filter(is_named);
        match (found.next(), found.next()) {
            (Some(only), None) => Ok(*only),
            (None, _) => none(format!("the tenant has no data store `{named}`; {attach}")),
            (Some(_), Some(_)) => none(format!("the tenant has several data stores `{named}`; say its id")),
        }
    }

    /// What it takes to be let in.
    fn guard(&self, tenant: &Tenant, tokens: Arc<dyn Tokens>) -> Result<Guard, SettingsError> {
        let mut types: Vec<String> = Vec::new();
        if let Some(policy) = self.policy() {
            types.extend(policy.details_types().into_iter().map(str::to_owned));
        }
        let resource = Resource::new(ResourceSpec {
            url: self.identifier(tenant),
            authorization_servers: vec![tenant.issuer().to_owned()],
            scopes_supported: self.scopes.clone(),
            name: Some(self.title.clone().unwrap_or_else(|| self.name.clone())),
            documentation: None,
            dpop_algs: ALGORITHMS.iter().map(|(name, _)| (*name).to_owned()).collect(),
            dpop_required: self.dpop_required,
            details_types: types,
        })?;
        let mut hosts = self.hosts.clone();
        // A proxy that shows it elsewhere may speak to us by the issuer's name.
        hosts.extend(Url::parse(tenant.issuer()).ok().and_then(|url| {
            let host = url.host_str()?.to_owned();
            Some(url.port().map_or_else(|| host.clone(), |port| format!("{host}:{port}")))
        }));
        let (scopes, implies, origins) = (self.scopes.clone(), self.implies.clone(), self.origins.clone());
        Guard::new(resource, tokens, GuardSpec { scopes, implies, origins, hosts })
    }

    /// Makes the server.
    pub(super) fn endpoint(&self, tenant: &Tenant, store: StoreId, parts: Parts) -> Result<Endpoint, SettingsError> {
        let at = EndpointSpec {
            engine: tenant.engine().clone(),
            store,
            tenant: tenant.number(),
            guard: self.guard(tenant, parts.tokens)?,
            approvals: parts.approvals,
            pool: parts.pool,
        };
        match (&self.gateway, &self.own) {
            // What the server wants to see is put in by who reaches it.
            (Some(spec), None) => {
                Endpoint::gateway(at, spec.clone(), parts.upstream, Arc::new(NoCredentials), &parts.session_key)
            }
            (None, Some(spec)) => Endpoint::own(at, spec.clone(), parts.embedder),
            _ => Err(SettingsError("an MCP server is `gateway` or `own`; say one of them".to_owned())),
        }
    }

    /// Whether a server can be made of it.
    fn try_out(&self, tenant: &Tenant, store: StoreId) -> Answer<()> {
        let pool = Pool::new("mcp-try", 1, 1).map_err(|error| Refusal::failed("mcp.pool", error.to_string()))?;
        let parts = Parts {
            tokens: Arc::new(Nobody),
            approvals: Arc::new(NoApprovals),
            upstream: Arc::new(NoUpstream),
            embedder: None,
            pool: Arc::new(pool),
            session_key: [0; 32],
        };
        let made = self.endpoint(tenant, store, parts);
        made.map(drop).map_err(|SettingsError(text)| invalid("mcp.settings", text))
    }

    /// The id of the resource that its tokens are for.
    fn audience_id(&self) -> String {
        format!("mcp-{}", self.name)
    }

    /// Gives the tenant's resource its scopes. What is known of a scope stays. A resource of others is none for it: whoever
    /// may put MCP servers would give it scopes, and take it away with the server.
    fn put_audience(&self, tenant: &Tenant, env: &Env<'_>) -> Answer<()> {
        let identifier = self.identifier(tenant);
        let held = tenant.resource(&identifier)?;
        let own = identifier == tenant.url(&format!("/mcp/{}", self.name));
        if held.as_ref().is_some_and(|held| held.id != self.audience_id())
            || (!own && identifier.starts_with(&tenant.url("/")))
        {
            let text = format!("`{identifier}` is a resource of its own already; leave `resource` out, or say another");
            return Err(Refusal::new(ErrorCode::Conflict, "mcp.resource", text));
        }
        let mut audience = held.as_ref().map(|held| held.value.clone()).unwrap_or_else(|| Audience {
            id: self.audience_id(),
            identifier,
            name: self.title.clone().unwrap_or_else(|| self.name.clone()),
            scopes: Vec::new(),
            created_at: env.seconds(),
        });
        for name in self.all_scopes() {
            if audience.scope(&name).is_none() {
                audience.scopes.push(Scope { description: name.clone(), name, checked: false });
            }
        }
        tenant.replace_resource(held.as_ref(), &audience, env)
    }
}

/// Lets nobody in: what a description is tried out with.
struct Nobody;

impl Tokens for Nobody {
    fn judge(&self, _: &Presented<'_>, _: &str, _: Timestamp) -> Result<Judged, Refused> {
        Err(Refused::Unavailable)
    }
}

fn object_of(name: &str) -> String {
    format!("mcp_server:{name}")
}

/// Makes or changes an MCP server, and the resource that its tokens are for.
///
/// # Errors
/// No server can be made of it; the sentence says why.
pub fn put_server(tenant: &Tenant, wanted: &ServerSpec, by: &str, env: &Env<'_>) -> Answer<Server> {
    wanted.check()?;
    let store = wanted.store(tenant)?;
    let spec = ServerSpec { store: Some(store.to_string()), ..wanted.clone() };
    spec.try_out(tenant, store)?;
    let others = servers(tenant)?;
    let identifier = spec.identifier(tenant);
    if others.iter().any(|other| other.spec.name != spec.name && other.spec.identifier(tenant) == identifier) {
        let text = format!("another MCP server of the tenant is `{identifier}` already");
        return Err(Refusal::new(ErrorCode::Conflict, "mcp.taken", text));
    }
    // First, so that there is no server for which nobody can have a token.
    again(|| spec.put_audience(tenant, env))?;
    again(|| {
        let held = tenant.get::<Server>(&[&spec.name])?;
        if held.is_none() && others.len() >= SERVERS_MAX {
            let text = format!("a tenant has at most {SERVERS_MAX} MCP servers");
            return Err(Refusal::new(ErrorCode::Conflict, "mcp.max", text));
        }
        let version = held.as_ref().map_or(1, |held| held.version.saturating_add(1));
        let made = Server { spec: spec.clone(), version, changed_at: env.seconds() };
        let mut change = tenant.change(env);
        match &held {
            Some(held) => change.replace(held, &made),
            None => change.create(&[&spec.name], &made),
        }
        change.relate(&object_of(&spec.name), "tenant", &tenant.object());
        let event = tenant.event(EventKind::AdminChanged, Outcome::Done, env).user(by).resource(object_of(&spec.name));
        let event = event.action("mcp.put").detail("audience", &identifier).detail("version", version.to_string());
        change.event(&event);
        change.commit()?;
        Ok(made)
    })
}

/// Takes an MCP server away, and the resource that its tokens are for: from the next request on it is not there. A resource with
/// a scope that is checked stays: who makes the server anew would make it without the check, which is not theirs to drop.
///
/// # Errors
/// There is none.
pub fn remove_server(tenant: &Tenant, name: &str, by: &str, env: &Env<'_>) -> Answer<()> {
    let spec = again(|| {
        let held = server(tenant, name)?;
        let mut change = tenant.change(env);
        change.remove(&held);
        change.unrelate(&object_of(name), "tenant", &tenant.object());
        let event = tenant.event(EventKind::AdminChanged, Outcome::Done, env).user(by).resource(object_of(name));
        change.event(&event.action("mcp.remove"));
        change.commit()?;
        Ok(held.spec.clone())
    })?;
    again(|| match tenant.resource(&spec.identifier(tenant))? {
        Some(held) if held.id == spec.audience_id() && !held.scopes.iter().any(|scope| scope.checked) => {
            tenant.remove_held_resource(&held, env)
        }
        // Somebody took it away before, or it is another's, or it has a check, which would not come back with it.
        _ => Ok(()),
    })
}

/// An MCP server of a tenant.
///
/// # Errors
/// There is none of this name.
pub fn server(tenant: &Tenant, name: &str) -> Answer<Held<Server>> {
    check_id(name).map_err(|_| Refusal::not_found(Server::WHAT))?;
    tenant.held(&[name])
}

/// The MCP servers of a tenant.
///
/// # Errors
/// The disk failed.
pub fn servers(tenant: &Tenant) -> Answer<Vec<Held<Server>>> {
    tenant.list(&[], None, SERVERS_MAX)
}
