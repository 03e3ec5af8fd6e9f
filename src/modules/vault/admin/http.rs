//! Administration over HTTP, at `/admin/connections`: JSON in, one call, JSON out.
//!
//! A token is for `ISSUER/admin` and needs the scope [`READ`] or [`WRITE`]; what whoever it is for may do is judged by Check.

use super::super::connections::{self, ScopeClass};
use super::super::keys::{self, KeyFrom};
use super::super::records::{ConnectionSpec, Hidden, Secret, credentials_for};
use super::super::{Vault, connect, set_credential};
use super::{
    READ, WRITE, admit, changeable, connection_json, credential_json, holder_of, may_create, present, readable,
    reads_all, whole_json,
};
use crate::identity::{Answer, Env, ErrorCode, Examined, Refusal, SigningAlgorithm, Tenant};
use crate::wire::{Call, challenged, json_response, read_json};
use axum::Router;
use axum::extract::{FromRequest, Path, Query, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::Response;
use axum::routing::{get, post, put};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::sync::Arc;

/// Connections or credentials on a page, when nobody says how many, and at most.
const PAGE_DEFAULT: usize = 100;
const PAGE_MAX: usize = 500;

/// Who judges the access token of a request.
pub trait Tokens: Send + Sync {
    /// The access token that the head of a request shows: good now, for the administration of this tenant, and its key proved
    /// when it is bound to one.
    ///
    /// # Errors
    /// There is none, or it is of no use.
    fn judge(&self, tenant: &Tenant, head: &Parts, env: &Env<'_>) -> Answer<Examined>;
}

/// What the routes need.
#[derive(Clone)]
pub struct Setup {
    /// The vault, which asks providers.
    pub vault: Vault,
    /// Who judges tokens.
    pub tokens: Arc<dyn Tokens>,
}

/// The routes of every tenant.
pub fn routes(setup: Setup) -> Router {
    Router::new()
        .route("/admin/connections", get(list).post(create))
        .route("/admin/connections/{id}", get(show).put(change).delete(remove))
        .route("/admin/connections/{id}/allowed/{subject}", put(allow).delete(disallow))
        .route("/admin/connections/{id}/scopes", put(classify))
        .route("/admin/connections/{id}/keys", post(add_key))
        .route("/admin/connections/{id}/keys/{kid}", put(use_key).delete(remove_key))
        .route("/admin/connections/{id}/credentials", get(credentials))
        .route("/admin/connections/{id}/credentials/{holder}", put(set).delete(disconnect))
        .with_state(setup)
}

/// A JSON body. What is wrong is said with its place alone: what stands there may be a secret.
struct Json<T>(T);

impl<T: DeserializeOwned> FromRequest<Setup> for Json<T> {
    type Rejection = Response;

    async fn from_request(request: Request, _: &Setup) -> Result<Json<T>, Response> {
        let read = read_json(request.into_body(), |path, error| {
            // These name members, which are no secret; others say what stands there.
            let names = |text: &String| ["unknown field", "missing field"].iter().any(|begin| text.starts_with(begin));
            let named = Some(error.to_string()).filter(names).map(|text| format!(": {text:.200}")).unwrap_or_default();
            let text = format!(
                "the body is not what it should be, at `{path}`, line {}, column {}{named}; docs/vault.md shows what it is",
                error.line(),
                error.column()
            );
            Refusal::new(ErrorCode::InvalidRequest, "connection.body", text)
        });
        read.await.map(Json).map_err(|refusal| challenged(refusal, None))
    }
}

impl Call<Setup> {
    /// Judges the token and does one call, for whom the token is.
    async fn judged<T: Send + 'static>(
        self,
        call: impl FnOnce(&Tenant, &str, &Env<'_>) -> Answer<T> + Send + 'static,
    ) -> Result<T, Response> {
        let Call { asked, setup, head } = self;
        let wanted = if head.method.is_safe() { READ } else { WRITE };
        let answer = asked.run(move |tenant, env| {
            let by = admit(&setup.tokens.judge(tenant, &head, env)?, wanted)?;
            call(tenant, &by, &Env { by: Some(&by), ..*env })
        });
        answer.await.map_err(|refusal| challenged(refusal, Some(wanted)))
    }

    /// The same, and answers it.
    async fn work(self, call: impl FnOnce(&Tenant, &str, &Env<'_>) -> Answer<Value> + Send + 'static) -> Response {
        match self.judged(call).await {
            Ok(value) => json_response(StatusCode::OK, &value),
            Err(response) => response,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    after: Option<String>,
    limit: Option<usize>,
}

impl Page {
    fn max(&self) -> usize {
        self.limit.unwrap_or(PAGE_DEFAULT).clamp(1, PAGE_MAX)
    }
}

async fn list(call: Call<Setup>, Query(page): Query<Page>) -> Response {
    call.work(move |tenant, by, _| {
        let (found, next) = connections::list(tenant, page.after.as_deref(), page.max())?;
        let all = reads_all(tenant, by)?;
        let mut shown = Vec::new();
        for connection in found {
            if all || super::is(tenant, by, "operator", &connection.object())? {
                shown.push(connection_json(tenant, &connection));
            }
        }
        Ok(json!({"connections": shown, "next": next}))
    })
    .await
}

/// A connection to be made or changed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    connection: ConnectionSpec,
    /// Our client secret at the provider; when it is left out, the one that there is stays.
    client_secret: Option<Hidden>,
}

async fn create(call: Call<Setup>, Json(wanted): Json<Wanted>) -> Response {
    let made = call.judged(move |tenant, by, env| {
        may_create(tenant, by)?;
        let id = wanted.connection.id.clone();
        connections::create(tenant, wanted.connection, wanted.client_secret.as_deref(), by, env)?;
        whole_json(tenant, &*connections::get(tenant, &id)?)
    });
    match made.await {
        Ok(value) => json_response(StatusCode::CREATED, &value),
        Err(response) => response,
    }
}

async fn show(call: Call<Setup>, Path(id): Path<String>) -> Response {
    call.work(move |tenant, by, _| whole_json(tenant, &*readable(tenant, by, &id)?)).await
}

async fn change(call: Call<Setup>, Path(id): Path<String>, Json(wanted): Json<Wanted>) -> Response {
    call.work(move |tenant, by, env| {
        changeable(tenant, by, &id)?;
        if wanted.connection.id != id {
            let text = "a connection keeps its id; make another connection";
            return Err(Refusal::new(ErrorCode::InvalidRequest, "connection.id", text));
        }
        connections::change(tenant, &wanted.connection, wanted.client_secret.as_deref(), by, env)?;
        whole_json(tenant, &*connections::get(tenant, &id)?)
    })
    .await
}

async fn remove(call: Call<Setup>, Path(id): Path<String>) -> Response {
    call.work(move |tenant, by, env| {
        changeable(tenant, by, &id)?;
        connections::remove(tenant, &id, by, env)?;
        Ok(json!({}))
    })
    .await
}

/// Lets somebody use a connection, or no longer.
async fn allowing(call: Call<Setup>, id: String, subject: String, allowed: bool) -> Response {
    call.work(move |tenant, by, env| {
        changeable(tenant, by, &id)?;
        connections::allow(tenant, &id, &subject, allowed, by, env)?;
        whole_json(tenant, &*connections::get(tenant, &id)?)
    })
    .await
}

async fn allow(call: Call<Setup>, Path((id, subject)): Path<(String, String)>) -> Response {
    allowing(call, id, subject, true).await
}

async fn disallow(call: Call<Setup>, Path((id, subject)): Path<(String, String)>) -> Response {
    allowing(call, id, subject, false).await
}

/// How a scope of a connection is had; without a class it is not.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Class {
    scope: String,
    subject: String,
    class: Option<String>,
}

async fn classify(call: Call<Setup>, Path(id): Path<String>, Json(wanted): Json<Class>) -> Response {
    call.work(move |tenant, by, env| {
        changeable(tenant, by, &id)?;
        let unknown = || {
            let text = "a class is one of `automatic`, `needs_approval` and `never`, or `null` for none";
            Refusal::new(ErrorCode::InvalidRequest, "connection.class", text)
        };
        let class = wanted.class.as_deref().map(|name| ScopeClass::of(name).ok_or_else(unknown)).transpose()?;
        connections::classify(tenant, (&id, &wanted.scope), &wanted.subject, class, by, env)?;
        whole_json(tenant, &*connections::get(tenant, &id)?)
    })
    .await
}

/// A key to be added: one that is brought, or one that is drawn here, of ES256 when nothing is said.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Key {
    private_key: Option<Hidden>,
    algorithm: Option<SigningAlgorithm>,
}

async fn add_key(call: Call<Setup>, Path(id): Path<String>, Json(wanted): Json<Key>) -> Response {
    let made = call.judged(move |tenant, by, env| {
        changeable(tenant, by, &id)?;
        let from = match (&wanted.private_key, wanted.algorithm) {
            (Some(pem), None) => KeyFrom::Pem(pem),
            (None, algorithm) => KeyFrom::Drawn(algorithm.unwrap_or_default()),
            (Some(_), Some(_)) => {
                let text = "a key that is brought has its algorithm; leave `algorithm` out";
                return Err(Refusal::new(ErrorCode::InvalidRequest, "connection.key", text));
            }
        };
        keys::add_key(tenant, &id, from, by, env)?;
        whole_json(tenant, &*connections::get(tenant, &id)?)
    });
    match made.await {
        Ok(value) => json_response(StatusCode::CREATED, &value),
        Err(response) => response,
    }
}

async fn use_key(call: Call<Setup>, Path((id, kid)): Path<(String, String)>) -> Response {
    call.work(move |tenant, by, env| {
        changeable(tenant, by, &id)?;
        keys::use_key(tenant, &id, &kid, by, env)?;
        whole_json(tenant, &*connections::get(tenant, &id)?)
    })
    .await
}

async fn remove_key(call: Call<Setup>, Path((id, kid)): Path<(String, String)>) -> Response {
    call.work(move |tenant, by, env| {
        changeable(tenant, by, &id)?;
        keys::remove_key(tenant, &id, &kid, by, env)?;
        whole_json(tenant, &*connections::get(tenant, &id)?)
    })
    .await
}

async fn credentials(call: Call<Setup>, Path(id): Path<String>, Query(page): Query<Page>) -> Response {
    call.work(move |tenant, by, _| {
        let connection = readable(tenant, by, &id)?;
        // As a subject, or as the part behind `user:` alone.
        let after = page.after.as_deref().map(|after| after.strip_prefix("user:").unwrap_or(after));
        let found = credentials_for(tenant, &connection, after, page.max())?;
        let next = found.last().filter(|_| found.len() == page.max()).map(|held| held.holder.subject());
        Ok(json!({"credentials": found.iter().map(credential_json).collect::<Vec<_>>(), "next": next}))
    })
    .await
}

async fn set(call: Call<Setup>, Path((id, holder)): Path<(String, String)>, Json(secret): Json<Secret>) -> Response {
    call.work(move |tenant, by, env| {
        changeable(tenant, by, &id)?;
        set_credential(tenant, &id, &present(tenant, &holder)?, secret, by, env)?;
        Ok(json!({}))
    })
    .await
}

/// Removes a credential, and takes its token back at the provider. It is gone here whatever the provider says.
async fn disconnect(call: Call<Setup>, Path((id, holder)): Path<(String, String)>) -> Response {
    let (vault, of_rules) = (call.setup.vault.clone(), id.clone());
    let removed = call.judged(move |tenant, by, env| {
        changeable(tenant, by, &of_rules)?;
        connect::removed(tenant, &of_rules, &holder_of(&holder)?, by, env)
    });
    let request = match removed.await {
        Ok(request) => request,
        Err(response) => return response,
    };
    let taken_back = match request {
        Some(request) => Some(vault.take_back(&id, request).await),
        None => None,
    };
    json_response(StatusCode::OK, &json!({"taken_back": taken_back}))
}
