//! The other providers with whose word people sign in, over HTTP for administrators, at `/admin/providers`.

use super::super::{NewProvider, Provider, providers, put_provider, remove_provider};
use crate::identity::{Answer, ErrorCode, Refusal, Tenant};
use crate::wire::{Call, Judge, challenged, read_json};
use axum::Router;
use axum::extract::{FromRequest, Path, Request};
use axum::response::Response;
use axum::routing::{get, put};
use serde::Deserialize;
use serde_json::{Value, json};

/// The scope that reads which providers there are, and the one that changes them.
pub const PROVIDERS: [&str; 2] = ["providers:read", "providers:write"];

/// The routes of every tenant. `judge` judges tokens.
pub fn routes(judge: Judge) -> Router {
    Router::new()
        .route("/admin/providers", get(list))
        .route("/admin/providers/{id}", put(change).delete(remove))
        .with_state(judge)
}

/// A provider as it is wanted.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// What people call it; its id when it is left out.
    name: Option<String>,
    issuer: String,
    client_id: String,
    /// The secret by which we show who we are there; a public client has none.
    client_secret: Option<String>,
}

/// The body that has a secret: what is wrong with it is said with its place alone.
struct Body(Wanted);

impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = Response;

    async fn from_request(request: Request, _: &S) -> Result<Body, Response> {
        let read = read_json(request.into_body(), |path, error| {
            let text = format!(
                "the body is not what it should be, at `{path}`, line {}, column {}; it has `issuer`, `client_id`, and may \
                 have `name` and `client_secret`",
                error.line(),
                error.column()
            );
            Refusal::new(ErrorCode::InvalidRequest, "admin.body", text)
        });
        read.await.map(Body).map_err(|refusal| challenged(refusal, None))
    }
}

fn shown(provider: &Provider) -> Value {
    json!({
        "id": provider.id, "name": provider.name, "issuer": provider.issuer, "client_id": provider.client_id,
        "created_at": provider.created_at,
    })
}

fn all(tenant: &Tenant) -> Answer<Value> {
    Ok(json!({"providers": providers(tenant)?.iter().map(|held| shown(held)).collect::<Vec<_>>()}))
}

async fn list(call: Call<Judge>) -> Response {
    let judge = call.setup;
    call.administer(judge, PROVIDERS, |tenant, _| all(tenant)).await
}

async fn change(call: Call<Judge>, Path(id): Path<String>, Body(wanted): Body) -> Response {
    let judge = call.setup;
    call.administer(judge, PROVIDERS, move |tenant, env| {
        let provider = NewProvider {
            id: &id,
            name: wanted.name.as_deref().unwrap_or(&id),
            issuer: &wanted.issuer,
            client_id: &wanted.client_id,
            secret: wanted.client_secret.as_deref(),
        };
        put_provider(tenant, provider, None, env)?;
        all(tenant)
    })
    .await
}

async fn remove(call: Call<Judge>, Path(id): Path<String>) -> Response {
    let judge = call.setup;
    call.administer(judge, PROVIDERS, move |tenant, env| {
        if !providers(tenant)?.iter().any(|held| held.id == id) {
            return Err(Refusal::not_found("provider"));
        }
        remove_provider(tenant, &id, None, env)?;
        Ok(json!({ "removed": id }))
    })
    .await
}
