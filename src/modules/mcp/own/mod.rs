//! Our own MCP server: search, lists and reads of what both the user and the agent may see. The transport is rmcp's; that a
//! call may be made at all was decided before it comes here.

mod answers;
mod tools;

use super::decide::{Asker, Decider};
use super::policy::{CheckSpec, Listed, Policy, PolicySpec, ResourceRuleSpec};
use super::template::Template;
use super::{SettingsError, VERSIONS};
use crate::identity::Seconds;
use crate::wire::{Embedder, Pool};
use answers::{Check, ListObjects, Search, arguments, log, wrong};
use rmcp::model::{
    CacheScope, CallToolRequestParams, CallToolResponse, Implementation, ListResourceTemplatesResult,
    ListResourcesResult, ListToolsResult, PaginatedRequestParams, ProtocolVersion, ReadResourceRequestParams,
    ReadResourceResponse, ResourceTemplate, ServerCapabilities, ServerConfig, Tool,
};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer, ServerHandler};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::sync::Arc;
use tools::TOOLS;

/// Longest text of a question, in bytes.
const QUERY_BYTES_MAX: usize = 8 << 10;

/// A kind of resource: chunks of objects of one type, as one text each.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct ResourceKindSpec {
    /// Their URIs, as `docs://handbook/{id}`.
    pub uri: String,
    /// The object behind a URI, as `document:{id}`.
    pub object: String,
    /// The relation that user and agent must have to it.
    pub relation: String,
    /// The collection whose chunks of the object are its text.
    pub collection: String,
    /// A name for people.
    pub name: String,
    /// What they are, for people and models.
    #[serde(default)]
    pub description: Option<String>,
    /// The type of their text.
    #[serde(default = "plain_text")]
    pub mime_type: String,
    /// Scopes that a token must have to read one.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// How well the person must have been authenticated (`acr`), or above it.
    #[serde(default)]
    pub acr: Option<String>,
    /// How many seconds ago at most.
    #[serde(default)]
    pub max_age: Option<Seconds>,
}

fn plain_text() -> String {
    "text/plain".to_owned()
}

/// Our own MCP server.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct OwnSpec {
    /// Its name for people.
    pub title: String,
    /// What it is good for, for models.
    #[serde(default)]
    pub instructions: Option<String>,
    /// Who may use it, and which of its tools there are: `search`, `check` and `list_objects` exist where a rule names them.
    pub policy: PolicySpec,
    /// Collections that `search` searches; the first one unless a call names another.
    #[serde(default)]
    pub collections: Vec<String>,
    /// What can be listed and read.
    #[serde(default)]
    pub resources: Vec<ResourceKindSpec>,
}

impl OwnSpec {
    /// The policy with a rule for each kind of resource.
    pub(super) fn whole_policy(&self) -> Result<Policy, SettingsError> {
        let mut spec = self.policy.clone();
        if !spec.resources.is_empty() || !spec.prompts.is_empty() || spec.other_tools.is_some() {
            let what =
                "the policy of our own server has rules for resources, prompts or other tools; it has `resources`";
            return Err(SettingsError(what.to_owned()));
        }
        if let Some(name) = spec.tools.keys().find(|name| !TOOLS.contains(&name.as_str())) {
            return Err(SettingsError(format!("our own server has no tool `{name}`; it has {}", TOOLS.join(", "))));
        }
        if spec.tools.contains_key("search") && self.collections.is_empty() {
            return Err(SettingsError("the tool `search` has no collection; name one in `collections`".to_owned()));
        }
        spec.resources.extend(self.resources.iter().map(|kind| ResourceRuleSpec {
            uri: kind.uri.clone(),
            scopes: kind.scopes.clone(),
            checks: vec![CheckSpec { object: kind.object.clone(), relation: kind.relation.clone() }],
            acr: kind.acr.clone(),
            max_age: kind.max_age,
            open: false,
        }));
        Policy::new(&spec)
    }
}

struct Kind {
    spec: ResourceKindSpec,
    uri: Template,
    object_type: String,
    id: Template,
    /// The one name in URI and id, where there is one: only then can they be listed.
    name: Option<String>,
}

impl Kind {
    fn new(spec: &ResourceKindSpec) -> Result<Kind, SettingsError> {
        let (object_type, id) = spec.object.split_once(':').unwrap_or_default();
        let (uri, id) = (Template::parse(&spec.uri)?, Template::parse(id)?);
        let names: Vec<&str> = uri.names().collect();
        let name = match names.as_slice() {
            // Only when the id is the name and nothing else can it be read back.
            [name] if id.text() == format!("{{{name}}}") => Some((*name).to_owned()),
            _ => None,
        };
        Ok(Kind { spec: spec.clone(), object_type: object_type.to_owned(), uri, id, name })
    }

    /// The URI of an object, if it has one that leads back to it.
    fn uri_of(&self, id: &str) -> Option<String> {
        let value = |name: &str| self.name.as_deref().filter(|own| *own == name).map(|_| decoded_id(id));
        let uri = self.uri.uri(value).ok()?;
        let values = self.uri.matches(&uri)?;
        let back = self.id.id(|name| values.iter().find(|(n, _)| n == name).map(|(_, value)| value.clone())).ok()?;
        (back == id).then_some(uri)
    }
}

/// The value that an object's id was written for: the way back of [`Template::id`].
fn decoded_id(id: &str) -> String {
    let mut out = Vec::with_capacity(id.len());
    let mut rest = id.as_bytes();
    while let Some((byte, behind)) = rest.split_first() {
        let digits = behind.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        match digits.and_then(|two| u8::from_str_radix(two, 16).ok()).filter(|_| *byte == b'%') {
            Some(value) => {
                out.push(value);
                rest = behind.get(2..).unwrap_or_default();
            }
            None => {
                out.push(*byte);
                rest = behind;
            }
        }
    }
    String::from_utf8(out).unwrap_or_else(|_| id.to_owned())
}

/// The server, as rmcp drives it. A clone shares it.
#[derive(Clone)]
pub(super) struct Own {
    inner: Arc<Inner>,
}

struct Inner {
    spec: OwnSpec,
    kinds: Vec<Kind>,
    decider: Decider,
    policy: Arc<Policy>,
    embedder: Option<Embedder>,
    pool: Arc<Pool>,
}

impl Own {
    pub(super) fn new(
        spec: OwnSpec,
        policy: Arc<Policy>,
        decider: Decider,
        embedder: Option<Embedder>,
        pool: Arc<Pool>,
    ) -> Result<Own, SettingsError> {
        let kinds = spec.resources.iter().map(Kind::new).collect::<Result<_, _>>()?;
        let own = Own { inner: Arc::new(Inner { spec, kinds, decider, policy, embedder, pool }) };
        let named =
            own.inner.spec.collections.iter().chain(own.inner.spec.resources.iter().map(|kind| &kind.collection));
        for name in named {
            let found = own.inner.decider.engine.collection(own.inner.decider.store, name);
            found.map_err(|error| SettingsError(format!("our own MCP server cannot serve `{name}`: {error}")))?;
        }
        Ok(own)
    }

    /// Runs what may take long where it holds up nobody.
    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, ErrorData> + Send + 'static,
    ) -> Result<T, ErrorData> {
        let inner = Arc::clone(&self.inner);
        let busy = |_| ErrorData::internal_error("too many calls are waiting; try again later", None);
        let answer = self.inner.pool.run(move || work(&inner)).map_err(busy)?;
        answer.await.map_err(|_| undecided())?
    }
}

fn undecided() -> ErrorData {
    ErrorData::internal_error("no decision could be made just now; try again later", None)
}

/// Who asks: put there by the decision that let the call through. Without it there is no answer.
fn asker(context: &RequestContext<RoleServer>) -> Result<Asker, ErrorData> {
    let parts = context.extensions.get::<http::request::Parts>();
    parts.and_then(|parts| parts.extensions.get::<Asker>()).cloned().ok_or_else(undecided)
}

impl ServerHandler for Own {
    fn get_info(&self) -> ServerConfig {
        let spec = &self.inner.spec;
        let both = (!spec.policy.tools.is_empty(), !spec.resources.is_empty());
        let capabilities = match both {
            (true, true) => ServerCapabilities::builder().enable_tools().enable_resources().build(),
            (true, false) => ServerCapabilities::builder().enable_tools().build(),
            (false, true) => ServerCapabilities::builder().enable_resources().build(),
            (false, false) => ServerCapabilities::builder().build(),
        };
        let me = Implementation::new("bailiwick", env!("CARGO_PKG_VERSION")).with_title(&spec.title);
        let mut info = ServerConfig::new(capabilities).with_server_info(me);
        info.instructions.clone_from(&spec.instructions);
        info
    }

    fn supported_protocol_versions(&self) -> Cow<'static, [ProtocolVersion]> {
        let known = |version: &&ProtocolVersion| VERSIONS.contains(&version.as_str());
        Cow::Owned(ProtocolVersion::KNOWN_VERSIONS.iter().filter(known).cloned().collect())
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let asker = asker(&context)?;
        self.work(move |inner| {
            let view = inner.decider.list_view().map_err(|error| log(&error))?;
            let mut tools = Vec::new();
            for tool in TOOLS.iter().filter_map(|name| inner.tool(name)) {
                let shown = inner.decider.shows(&view, &inner.policy, &asker, Listed::Tool(&tool.name));
                if shown.map_err(|error| log(&error))? {
                    tools.push(tool);
                }
            }
            Ok(ListToolsResult::with_all_items(tools).with_ttl_ms(0).with_cache_scope(CacheScope::Private))
        })
        .await
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let asker = asker(&context)?;
        let CallToolRequestParams { name, arguments: given, .. } = request;
        let result = match &*name {
            "search" => {
                let search: Search = match arguments(given) {
                    Ok(search) => search,
                    Err(fault) => return Ok(wrong(fault).into()),
                };
                match self.vector(&search).await {
                    Ok(vector) => self.work(move |inner| inner.searched(&asker, &search, vector)).await?,
                    Err(fault) => wrong(fault),
                }
            }
            "check" => match arguments::<Check>(given) {
                Ok(check) => self.work(move |inner| inner.checked(&asker, &check)).await?,
                Err(fault) => wrong(fault),
            },
            "list_objects" => match arguments::<ListObjects>(given) {
                Ok(list) => self.work(move |inner| inner.listed(&asker, &list)).await?,
                Err(fault) => wrong(fault),
            },
            _ => return Err(ErrorData::invalid_params("there is no such tool", None)),
        };
        Ok(result.into())
    }

    async fn list_resources(
        &self,
        request: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        let (asker, cursor) = (asker(&context)?, request.and_then(|request| request.cursor));
        self.work(move |inner| inner.resources(&asker, cursor.as_deref())).await
    }

    async fn list_resource_templates(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        let templates = self.inner.spec.resources.iter().map(|kind| {
            let mut template = ResourceTemplate::new(&kind.uri, &kind.name).with_mime_type(&kind.mime_type);
            template.description.clone_from(&kind.description);
            template
        });
        Ok(ListResourceTemplatesResult::with_all_items(templates.collect()))
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        asker(&context)?; // never without a decision
        self.work(move |inner| inner.read(&request.uri)).await.map(Into::into)
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        self.inner.tool(name)
    }
}

impl Own {
    /// The vector of a question.
    async fn vector(&self, search: &Search) -> Result<Vec<f32>, String> {
        match (&search.query, &search.vector) {
            (None, Some(vector)) => Ok(vector.clone()),
            (Some(_), Some(_)) => Err("`query` and `vector` are both given; give one of them".to_owned()),
            (None, None) => Err("there is no question; give `query` or `vector`".to_owned()),
            (Some(query), None) if query.trim().is_empty() || query.len() > QUERY_BYTES_MAX => {
                Err(format!("`query` has not 1 to {QUERY_BYTES_MAX} bytes"))
            }
            (Some(query), None) => {
                let needed = "`query` needs an embedding endpoint, and none is configured; give `vector`";
                let embedder = self.inner.embedder.as_ref().ok_or(needed)?;
                let vectors =
                    embedder.embed(std::slice::from_ref(query), None).await.map_err(|error| error.to_string())?;
                vectors.into_iter().next().ok_or_else(|| "the embedding endpoint gave no vector".to_owned())
            }
        }
    }
}
