//! The administration over HTTP: JSON in, one call, JSON out. Who asks is an administrator by Check, with a token of their own.

use super::changes::{self, CHANGES_READ, ChangesQuery};
use super::roles::may_open;
use super::{CLAIMS_READ, CLAIMS_WRITE, RESOURCES_READ, RESOURCES_WRITE, WORKLOADS_READ, WORKLOADS_WRITE};
use crate::identity::{
    Answer, ClientKeys, Env, ErrorCode, Examined, Held, LimitEdits, NewClaim, Refusal, Resource, Scope, Seconds,
    Tenant, TokenLimits, WorkloadIssuer, again,
};
use crate::wire::{Call, Json};
use axum::Router;
use axum::extract::{Path, Query};
use axum::http::request::Parts;
use axum::response::Response;
use axum::routing::{get, put};
use serde::Deserialize;
use serde_json::{Value, json};

const CLAIMS: [&str; 2] = [CLAIMS_READ, CLAIMS_WRITE];
const RESOURCES: [&str; 2] = [RESOURCES_READ, RESOURCES_WRITE];
const WORKLOADS: [&str; 2] = [WORKLOADS_READ, WORKLOADS_WRITE];

/// The routes of every tenant, at `/admin/changes`, `/admin/claims`, `/admin/resources` and `/admin/workload-issuers`.
pub fn routes() -> Router {
    Router::new()
        .route("/admin/changes", get(changes))
        .route("/admin/claims", get(claims))
        .route("/admin/claims/{name}", put(put_claim).delete(remove_claim))
        .route("/admin/resources", get(resources).post(make_resource))
        .route("/admin/resources/{id}", get(show_resource).put(change_resource).delete(remove_resource))
        .route("/admin/resources/{id}/limit", put(limit))
        .route("/admin/workload-issuers", get(workload_issuers))
        .route("/admin/workload-issuers/{issuer}", put(trust_workloads).delete(distrust_workloads))
}

/// The access token that the head of a request to the administration shows.
pub(super) fn judge(tenant: &Tenant, head: &Parts, env: &Env<'_>) -> Answer<Examined> {
    crate::modules::oauth::bearer(tenant, head, &tenant.url("/admin"), env)
}

/// Who asks, as claims and limits are told of it.
fn by<'a>(env: &Env<'a>) -> &'a str {
    env.by.unwrap_or_default()
}

async fn changes(call: Call<()>, Query(query): Query<ChangesQuery>) -> Response {
    call.administer(judge, [CHANGES_READ; 2], move |tenant, _| changes::page(tenant, &query)).await
}

async fn claims(call: Call<()>) -> Response {
    call.administer(judge, CLAIMS, |tenant, _| Ok(json!({ "claims": tenant.custom_claims()? }))).await
}

async fn put_claim(call: Call<()>, Path(name): Path<String>, Json(wanted): Json<NewClaim>) -> Response {
    call.administer(judge, CLAIMS, move |tenant, env| {
        if !wanted.name.is_empty() && wanted.name != name {
            let text = "the body names another claim than the path";
            return Err(Refusal::new(ErrorCode::InvalidRequest, "claim.name", text));
        }
        Ok(json!({ "claim": tenant.put_claim(&NewClaim { name, ..wanted }, by(env), env)? }))
    })
    .await
}

async fn remove_claim(call: Call<()>, Path(name): Path<String>) -> Response {
    call.administer(judge, CLAIMS, move |tenant, env| {
        tenant.remove_claim(&name, by(env), env)?;
        Ok(json!({ "removed": name }))
    })
    .await
}

fn resource_json(tenant: &Tenant, resource: &Resource) -> Answer<Value> {
    let TokenLimits { per_minute, life_s } = tenant.token_limits(&resource.identifier)?;
    Ok(json!({"resource": resource, "tokens_per_minute": per_minute, "access_token_s": life_s}))
}

async fn resources(call: Call<()>) -> Response {
    call.administer(judge, RESOURCES, |tenant, _| {
        let all: Answer<Vec<Value>> = tenant.resources()?.iter().map(|held| resource_json(tenant, held)).collect();
        Ok(json!({ "resources": all? }))
    })
    .await
}

/// The resource of an id.
fn resource(tenant: &Tenant, id: &str) -> Answer<Held<Resource>> {
    tenant.resources()?.into_iter().find(|held| held.id == id).ok_or_else(|| Refusal::not_found("resource"))
}

async fn show_resource(call: Call<()>, Path(id): Path<String>) -> Response {
    call.administer(judge, RESOURCES, move |tenant, _| resource_json(tenant, &resource(tenant, &id)?.value)).await
}

/// A resource that is wanted.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewResource {
    id: String,
    identifier: String,
    /// What people call it; its id when it is left out.
    name: Option<String>,
    scopes: Vec<Scope>,
}

async fn make_resource(call: Call<()>, Json(wanted): Json<NewResource>) -> Response {
    call.administer(judge, RESOURCES, move |tenant, env| {
        let NewResource { id, identifier, name, scopes } = wanted;
        let name = name.unwrap_or_else(|| id.clone());
        let wanted = Resource { id, identifier, name, scopes, created_at: env.seconds() };
        again(|| {
            let taken = |held: &Held<Resource>| held.id == wanted.id || held.identifier == wanted.identifier;
            if tenant.resources()?.iter().any(taken) {
                let text = "there is a resource of this id or identifier already; change it with PUT";
                return Err(Refusal::new(ErrorCode::Conflict, "resource.taken", text));
            }
            tenant.replace_resource(None, &wanted, env)
        })?;
        resource_json(tenant, &wanted)
    })
    .await
}

/// What of a resource can be changed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ResourceSettings {
    name: Option<String>,
    scopes: Vec<Scope>,
}

async fn change_resource(call: Call<()>, Path(id): Path<String>, Json(wanted): Json<ResourceSettings>) -> Response {
    call.administer_with(judge, RESOURCES, move |tenant, token, env| {
        let made = again(|| {
            let before = resource(tenant, &id)?;
            let name = wanted.name.clone().unwrap_or_else(|| before.name.clone());
            let made = Resource { name, scopes: wanted.scopes.clone(), ..before.value.clone() };
            may_open(tenant, token, &before, &made.scopes)?;
            tenant.replace_resource(Some(&before), &made, env)?;
            Ok(made)
        })?;
        resource_json(tenant, &made)
    })
    .await
}

async fn remove_resource(call: Call<()>, Path(id): Path<String>) -> Response {
    call.administer_with(judge, RESOURCES, move |tenant, token, env| {
        again(|| {
            let found = resource(tenant, &id)?;
            if found.identifier == tenant.url("/admin") {
                let text =
                    "this resource is the administration; without it nobody could ask for a token to make it again";
                return Err(Refusal::new(ErrorCode::Conflict, "resource.administration", text));
            }
            may_open(tenant, token, &found, &[])?;
            tenant.remove_held_resource(&found, env)
        })?;
        Ok(json!({ "removed": id }))
    })
    .await
}

/// The body that limits tokens: numbers, or `null` for no limit. What is left out stays.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Limit {
    #[serde(default, deserialize_with = "said")]
    tokens_per_minute: Option<Option<u32>>,
    #[serde(default, deserialize_with = "said")]
    access_token_s: Option<Option<Seconds>>,
}

/// A member that is there, if only as `null`.
fn said<'de, D: serde::Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

async fn limit(call: Call<()>, Path(id): Path<String>, Json(wanted): Json<Limit>) -> Response {
    call.administer(judge, RESOURCES, move |tenant, env| {
        let found = resource(tenant, &id)?;
        let edits = LimitEdits { per_minute: wanted.tokens_per_minute, life_s: wanted.access_token_s };
        tenant.edit_limits(&found.identifier, edits, by(env), env)?;
        resource_json(tenant, &found)
    })
    .await
}

async fn workload_issuers(call: Call<()>) -> Response {
    call.administer(judge, WORKLOADS, |tenant, _| {
        let all = tenant.workload_issuers()?;
        Ok(json!({ "workload_issuers": all.iter().map(|held| &held.value).collect::<Vec<_>>() }))
    })
    .await
}

/// How far an issuer of workloads is trusted; what is not said is as the kind of issuer has it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Trust {
    keys: ClientKeys,
    life_max_s: Option<Seconds>,
    reusable: Option<bool>,
}

async fn trust_workloads(call: Call<()>, Path(issuer): Path<String>, Json(wanted): Json<Trust>) -> Response {
    call.administer(judge, WORKLOADS, move |tenant, env| {
        let row = WorkloadIssuer::new(issuer, wanted.keys);
        let life_max_s = wanted.life_max_s.unwrap_or(row.life_max_s);
        let row = WorkloadIssuer { life_max_s, reusable: wanted.reusable.unwrap_or(row.reusable), ..row };
        Ok(json!({ "workload_issuer": tenant.put_workload_issuer(&row, by(env), env)? }))
    })
    .await
}

async fn distrust_workloads(call: Call<()>, Path(issuer): Path<String>) -> Response {
    call.administer(judge, WORKLOADS, move |tenant, env| {
        tenant.remove_workload_issuer(&issuer, by(env), env)?;
        Ok(json!({ "removed": issuer }))
    })
    .await
}
