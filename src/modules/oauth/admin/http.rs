//! The administration over HTTP: JSON in, one call, JSON out. Who asks is an administrator by Check, with a token of their own.

use super::{CLAIMS_READ, CLAIMS_WRITE, RESOURCES_READ, RESOURCES_WRITE, WORKLOADS_READ, WORKLOADS_WRITE};
use crate::identity::{
    Answer, ClientKeys, Env, ErrorCode, Held, NewClaim, Refusal, Resource, Seconds, Tenant, WorkloadIssuer,
};
use crate::wire::{Asked, challenged, json_response, read_json, wrong_body};
use axum::Router;
use axum::extract::{Path, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::Response;
use axum::routing::{get, put};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// The routes of every tenant, at `/admin/claims`, `/admin/resources` and `/admin/workload-issuers`.
pub fn routes() -> Router {
    Router::new()
        .route("/admin/claims", get(claims))
        .route("/admin/claims/{name}", put(put_claim).delete(remove_claim))
        .route("/admin/resources", get(resources))
        .route("/admin/resources/{id}/limit", put(limit))
        .route("/admin/workload-issuers", get(workload_issuers))
        .route("/admin/workload-issuers/{issuer}", put(trust_workloads).delete(distrust_workloads))
}

/// Judges a token, runs what it asks for, and answers JSON. The second scope does where the first is asked.
async fn administered(
    asked: Asked,
    (head, scopes): (Parts, [&'static str; 2]),
    rules: impl FnOnce(&Tenant, &str, &Env<'_>) -> Answer<Value> + Send + 'static,
) -> Response {
    let answer = asked.run(move |tenant, env| {
        let token = crate::modules::oauth::bearer(tenant, &head, &tenant.url("/admin"), env)?;
        let by = token.administrator(tenant, scopes, ["admin.scope", "admin.not_allowed"])?;
        rules(tenant, &by, env)
    });
    answer.await.map_or_else(|refusal| challenged(refusal, None), |value| json_response(StatusCode::OK, &value))
}

/// The head of a request, and its body as JSON; what is wrong with that is said with its place.
async fn read<T: DeserializeOwned>(request: Request) -> Answer<(Parts, T)> {
    let (head, body) = request.into_parts();
    Ok((head, read_json(body, |path, error| wrong_body("admin.body", path, error)).await?))
}

async fn claims(asked: Asked, request: Request) -> Response {
    let (head, _) = request.into_parts();
    let rules = |tenant: &Tenant, _: &str, _: &Env<'_>| Ok(json!({ "claims": tenant.custom_claims()? }));
    administered(asked, (head, [CLAIMS_READ, CLAIMS_WRITE]), rules).await
}

async fn put_claim(asked: Asked, Path(name): Path<String>, request: Request) -> Response {
    let (head, wanted) = match read::<NewClaim>(request).await {
        Ok(read) => read,
        Err(refusal) => return challenged(refusal, None),
    };
    let rules = move |tenant: &Tenant, by: &str, env: &Env<'_>| {
        if !wanted.name.is_empty() && wanted.name != name {
            let text = "the body names another claim than the path";
            return Err(Refusal::new(ErrorCode::InvalidRequest, "claim.name", text));
        }
        Ok(json!({ "claim": tenant.put_claim(&NewClaim { name, ..wanted }, by, env)? }))
    };
    administered(asked, (head, [CLAIMS_WRITE; 2]), rules).await
}

async fn remove_claim(asked: Asked, Path(name): Path<String>, request: Request) -> Response {
    let (head, _) = request.into_parts();
    let rules = move |tenant: &Tenant, by: &str, env: &Env<'_>| {
        tenant.remove_claim(&name, by, env)?;
        Ok(json!({ "removed": name }))
    };
    administered(asked, (head, [CLAIMS_WRITE; 2]), rules).await
}

fn resource_json(tenant: &Tenant, resource: &Resource) -> Answer<Value> {
    Ok(json!({"resource": resource, "tokens_per_minute": tenant.token_limit(&resource.identifier)?}))
}

async fn resources(asked: Asked, request: Request) -> Response {
    let (head, _) = request.into_parts();
    let rules = |tenant: &Tenant, _: &str, _: &Env<'_>| {
        let all: Answer<Vec<Value>> = tenant.resources()?.iter().map(|held| resource_json(tenant, held)).collect();
        Ok(json!({ "resources": all? }))
    };
    administered(asked, (head, [RESOURCES_READ, RESOURCES_WRITE]), rules).await
}

/// The body that limits tokens: a number, or `null` for no limit.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Limit {
    tokens_per_minute: Option<u32>,
}

async fn limit(asked: Asked, Path(id): Path<String>, request: Request) -> Response {
    let (head, wanted) = match read::<Limit>(request).await {
        Ok(read) => read,
        Err(refusal) => return challenged(refusal, None),
    };
    let rules = move |tenant: &Tenant, by: &str, env: &Env<'_>| {
        let all = tenant.resources()?;
        let found: Option<&Held<Resource>> = all.iter().find(|held| held.id == id);
        let found = found.ok_or_else(|| Refusal::not_found("resource"))?;
        tenant.limit_tokens(&found.identifier, wanted.tokens_per_minute, by, env)?;
        resource_json(tenant, found)
    };
    administered(asked, (head, [RESOURCES_WRITE; 2]), rules).await
}

async fn workload_issuers(asked: Asked, request: Request) -> Response {
    let (head, _) = request.into_parts();
    let rules = |tenant: &Tenant, _: &str, _: &Env<'_>| {
        let all = tenant.workload_issuers()?;
        Ok(json!({ "workload_issuers": all.iter().map(|held| &held.value).collect::<Vec<_>>() }))
    };
    administered(asked, (head, [WORKLOADS_READ, WORKLOADS_WRITE]), rules).await
}

/// How far an issuer of workloads is trusted; what is not said is as the kind of issuer has it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Trust {
    keys: ClientKeys,
    life_max_s: Option<Seconds>,
    reusable: Option<bool>,
}

async fn trust_workloads(asked: Asked, Path(issuer): Path<String>, request: Request) -> Response {
    let (head, wanted) = match read::<Trust>(request).await {
        Ok(read) => read,
        Err(refusal) => return challenged(refusal, None),
    };
    let rules = move |tenant: &Tenant, by: &str, env: &Env<'_>| {
        let row = WorkloadIssuer::new(issuer, wanted.keys);
        let life_max_s = wanted.life_max_s.unwrap_or(row.life_max_s);
        let row = WorkloadIssuer { life_max_s, reusable: wanted.reusable.unwrap_or(row.reusable), ..row };
        Ok(json!({ "workload_issuer": tenant.put_workload_issuer(&row, by, env)? }))
    };
    administered(asked, (head, [WORKLOADS_WRITE; 2]), rules).await
}

async fn distrust_workloads(asked: Asked, Path(issuer): Path<String>, request: Request) -> Response {
    let (head, _) = request.into_parts();
    let rules = move |tenant: &Tenant, by: &str, env: &Env<'_>| {
        tenant.remove_workload_issuer(&issuer, by, env)?;
        Ok(json!({ "removed": issuer }))
    };
    administered(asked, (head, [WORKLOADS_WRITE; 2]), rules).await
}
