//! Requests for approval over HTTP, at `/admin/approvals`, and the key of Web Push, at `/admin/approval-push-key`.

use super::super::http::{READ, WRITE};
use super::super::rotate_push_key;
use super::{request_json, request_of, requests};
use crate::identity::{ErrorCode, Refusal};
use crate::wire::{Call, Json, Judge};
use axum::Router;
use axum::extract::{Path, Query};
use axum::response::Response;
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::{Value, json};

/// Requests on a page, when nobody says how many, and at most.
const PAGE_DEFAULT: usize = 100;
const PAGE_MAX: usize = 500;
const SCOPES: [&str; 2] = [READ, WRITE];

/// The routes of every tenant. `judge` judges tokens.
pub fn routes(judge: Judge) -> Router {
    Router::new()
        .route("/admin/approvals", get(list))
        .route("/admin/approvals/{id}", get(show))
        .route("/admin/approval-push-key/rotate", post(rotate))
        .with_state(judge)
}

/// Which requests.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    /// Only those that wait for a decision.
    #[serde(default)]
    open: bool,
    after: Option<String>,
    limit: Option<usize>,
}

async fn list(call: Call<Judge>, Query(query): Query<ListQuery>) -> Response {
    let judge = call.setup;
    call.administer(judge, SCOPES, move |tenant, env| {
        if query.after.as_deref().is_some_and(|after| ulid::Ulid::from_string(after).is_err()) {
            return Err(Refusal::new(ErrorCode::InvalidRequest, "approval.page", "`after` is no id of a request"));
        }
        let (now, max) = (env.seconds(), query.limit.unwrap_or(PAGE_DEFAULT).clamp(1, PAGE_MAX));
        let (page, next) = requests(tenant, query.open, query.after, max, now)?;
        let page: Vec<Value> = page.iter().map(|request| request_json(request, now)).collect();
        Ok(json!({"approvals": page, "next": next}))
    })
    .await
}

async fn show(call: Call<Judge>, Path(id): Path<String>) -> Response {
    let judge = call.setup;
    call.administer(judge, SCOPES, move |tenant, env| {
        Ok(json!({"approval": request_json(&request_of(tenant, &id)?, env.seconds())}))
    })
    .await
}

/// Whether older keys are thrown away.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rotation {
    #[serde(default)]
    drop_old: bool,
}

async fn rotate(call: Call<Judge>, Json(wanted): Json<Rotation>) -> Response {
    let judge = call.setup;
    call.administer(judge, SCOPES, move |tenant, env| {
        let by = env.by.unwrap_or_default();
        Ok(json!({"key": rotate_push_key(tenant, wanted.drop_old, by, env)?}))
    })
    .await
}
