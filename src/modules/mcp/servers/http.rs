//! The routes of every tenant: its MCP servers below the issuer, their metadata, and their administration.

use super::{MCP_READ, MCP_WRITE, Parts, Server, ServerSpec, put_server, remove_server, server, servers};
use crate::identity::{Answer, Env, ErrorCode, Examined, Refusal, Tenant};
use crate::modules::mcp::{Approvals, Endpoint, GatewaySpec, SettingsError, Tokens, Upstream};
use crate::tuple::StoreId;
use crate::wire::{Asked, Embedder, Pool, challenged, json_response, random, read_body};
use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::http::request::Parts as Head;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{any, get};
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;

/// What the servers of a tenant need of others. `server.rs` plugs it in.
pub trait Plugs: Send + Sync {
    /// Judges the token of a request for the tenant's administration.
    ///
    /// # Errors
    /// There is none, or it is of no use.
    fn administration(&self, tenant: &Tenant, head: &Head, env: &Env<'_>) -> Answer<Examined>;

    /// Who judges the tokens that callers of its servers show.
    fn tokens(&self, tenant: &Tenant) -> Arc<dyn Tokens>;

    /// Who knows of approvals.
    fn approvals(&self, tenant: &Tenant) -> Arc<dyn Approvals>;

    /// Who reaches a server behind the gateway.
    fn upstream(&self, tenant: &Tenant, spec: &GatewaySpec) -> Arc<dyn Upstream>;
}

/// Servers that were made, by tenant and name, each with the version of its record.
type Made = Mutex<HashMap<(u32, String), (ServerSpec, Endpoint)>>;

/// What the routes need. Clones share it.
#[derive(Clone)]
pub struct Setup {
    plugs: Arc<dyn Plugs>,
    embedder: Option<Embedder>,
    pool: Arc<Pool>,
    session_key: [u8; 32],
    made: Arc<Made>,
}

impl Setup {
    /// Routes with these plugs. Calls are judged and recorded on the threads of `pool`.
    #[must_use]
    pub fn new(plugs: Arc<dyn Plugs>, embedder: Option<Embedder>, pool: Arc<Pool>) -> Setup {
        // Sessions of older versions end with this process; a client begins anew then.
        let mut session_key = [0; 32];
        random(&mut session_key);
        Setup { plugs, embedder, pool, session_key, made: Arc::default() }
    }

    /// A server that is in force, made when it is not yet.
    fn endpoint(&self, tenant: &Tenant, name: &str) -> Answer<Endpoint> {
        let key = (tenant.number(), name.to_owned());
        let held = match server(tenant, name) {
            Ok(held) => held,
            Err(refusal) => {
                self.made.lock().remove(&key);
                return Err(refusal);
            }
        };
        let store = held.spec.store.as_deref().and_then(|id| ulid::Ulid::from_string(id).ok()).map(StoreId);
        let attached = store.map(|store| Ok::<_, Refusal>(tenant.has_store(store)?.then_some(store))).transpose()?;
        let Some(store) = attached.flatten() else {
            return Err(Refusal::failed("mcp.store", format!("the store of the MCP server `{name}` was detached")));
        };
        // By what it is: the versions of one that was taken away and put anew begin anew.
        if let Some((spec, endpoint)) = self.made.lock().get(&key)
            && *spec == held.spec
        {
            return Ok(endpoint.clone());
        }
        let upstream = held.spec.gateway.as_ref().map(|spec| self.plugs.upstream(tenant, spec));
        let parts = Parts {
            tokens: self.plugs.tokens(tenant),
            approvals: self.plugs.approvals(tenant),
            upstream: upstream.unwrap_or_else(|| Arc::new(crate::modules::mcp::NoUpstream)),
            embedder: self.embedder.clone(),
            pool: Arc::clone(&self.pool),
            session_key: self.session_key,
        };
        let made = held.spec.endpoint(tenant, store, parts);
        let endpoint = made.map_err(|SettingsError(why)| Refusal::failed("mcp.settings", why))?;
        self.made.lock().insert(key, (held.spec.clone(), endpoint.clone()));
        Ok(endpoint)
    }
}

/// The routes of every tenant.
pub fn routes(setup: Setup) -> Router {
    Router::new()
        .route("/mcp/{name}", any(call))
        .route("/.well-known/oauth-protected-resource/mcp/{name}", get(metadata))
        .route("/admin/mcp", get(list))
        .route("/admin/mcp/{name}", get(show).put(put).delete(remove))
        .with_state(setup)
}

async fn found(setup: Setup, asked: &Asked, name: String) -> Answer<Endpoint> {
    asked.run(move |tenant, _| setup.endpoint(tenant, &name)).await
}

async fn call(State(setup): State<Setup>, asked: Asked, Path(name): Path<String>, request: Request) -> Response<Body> {
    match found(setup, &asked, name).await {
        Ok(endpoint) => endpoint.answer(request).await,
        Err(refusal) => refusal.into_response(),
    }
}

async fn metadata(State(setup): State<Setup>, asked: Asked, Path(name): Path<String>) -> Response<Body> {
    match found(setup, &asked, name).await {
        Ok(endpoint) => endpoint.metadata(),
        Err(refusal) => refusal.into_response(),
    }
}

/// Who administers the servers: an administrator by Check, with a token of their own.
fn administrator(tenant: &Tenant, token: &Examined, scope: &'static str) -> Answer<String> {
    token.administrator(tenant, [scope, MCP_WRITE], ["mcp.scope", "mcp.not_allowed"])
}

/// Judges a token, runs what it asks for, and answers JSON.
async fn administered(
    setup: Setup,
    asked: Asked,
    (head, scope): (Head, &'static str),
    rules: impl FnOnce(&Tenant, &str, &Env<'_>) -> Answer<Value> + Send + 'static,
) -> Response {
    let answer = asked.run(move |tenant, env| {
        let token = setup.plugs.administration(tenant, &head, env)?;
        let by = administrator(tenant, &token, scope)?;
        rules(tenant, &by, &Env { by: Some(&by), ..*env })
    });
    answer.await.map_or_else(|refusal| challenged(refusal, None), |value| json_response(StatusCode::OK, &value))
}

/// A server as it is answered: what was put, and where it is.
#[must_use]
pub fn server_json(tenant: &Tenant, server: &Server) -> Value {
    json!({
        "identifier": server.spec.identifier(tenant), "version": server.version, "changed_at": server.changed_at,
        "server": server.spec,
    })
}

async fn list(State(setup): State<Setup>, asked: Asked, request: Request) -> Response {
    let (head, _) = request.into_parts();
    administered(setup, asked, (head, MCP_READ), |tenant, _, _| {
        let all: Vec<Value> = servers(tenant)?.iter().map(|held| server_json(tenant, held)).collect();
        Ok(json!({ "servers": all }))
    })
    .await
}

async fn show(State(setup): State<Setup>, asked: Asked, Path(name): Path<String>, request: Request) -> Response {
    let (head, _) = request.into_parts();
    let rules = move |tenant: &Tenant, _: &str, _: &Env<'_>| Ok(server_json(tenant, &*server(tenant, &name)?));
    administered(setup, asked, (head, MCP_READ), rules).await
}

/// A description as it was sent; what is wrong with it is said with its place.
fn described(body: &[u8], name: &str) -> Answer<ServerSpec> {
    let refuse = |text: String| Refusal::new(ErrorCode::InvalidRequest, "mcp.body", text);
    let mut value: Value =
        serde_json::from_slice(body).map_err(|error| refuse(format!("the body is no JSON: {error}")))?;
    if let Some(members) = value.as_object_mut() {
        members.insert("name".to_owned(), name.into());
    }
    serde_path_to_error::deserialize(value)
        .map_err(|error| refuse(format!("the body is not what it should be: at `{}`: {}", error.path(), error.inner())))
}

async fn put(State(setup): State<Setup>, asked: Asked, Path(name): Path<String>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = match read_body(body).await {
        Ok(body) => body,
        Err(refusal) => return challenged(refusal, None),
    };
    let rules = move |tenant: &Tenant, by: &str, env: &Env<'_>| {
        Ok(server_json(tenant, &put_server(tenant, &described(&body, &name)?, by, env)?))
    };
    administered(setup, asked, (head, MCP_WRITE), rules).await
}

async fn remove(State(setup): State<Setup>, asked: Asked, Path(name): Path<String>, request: Request) -> Response {
    let (head, _) = request.into_parts();
    let rules = move |tenant: &Tenant, by: &str, env: &Env<'_>| {
        remove_server(tenant, &name, by, env)?;
        Ok(json!({ "removed": name }))
    };
    administered(setup, asked, (head, MCP_WRITE), rules).await
}
