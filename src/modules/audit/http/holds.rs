//! Legal holds over HTTP: which there are, for who reads the log; putting one and lifting it, for who governs it.

use super::super::query::Filter;
use super::super::retention::Hold;
use super::super::{By, time_text};
use super::{Problem, Shared, Tenant, answer};
use crate::tuple::Timestamp;
use crate::wire::now;
use axum::Extension;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

/// A hold that is wanted.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// Why, as a reference to a case.
    reason: String,
    /// Which events; without it, all.
    #[serde(default)]
    filter: Filter,
}

fn shown(hold: &Hold) -> Value {
    let since = time_text(Timestamp(hold.since));
    json!({"id": hold.id, "reason": hold.reason, "since": since, "by": hold.by, "filter": hold.filter})
}

pub(super) async fn list(State(shared): State<Shared>, Extension(tenant): Extension<Tenant>) -> Response {
    let holds = shared.work(tenant, |log| Ok(log.holds()?)).await;
    holds.map_or_else(IntoResponse::into_response, |holds| {
        answer(StatusCode::OK, &json!({"holds": holds.iter().map(shown).collect::<Vec<_>>()}))
    })
}

pub(super) async fn put(
    State(shared): State<Shared>,
    Extension(tenant): Extension<Tenant>,
    Extension(by): Extension<By>,
    Path(id): Path<String>,
    body: Bytes,
) -> Response {
    let wanted: Wanted = match serde_json::from_slice(&body) {
        Ok(wanted) => wanted,
        Err(error) => return Problem(StatusCode::BAD_REQUEST, error.to_string()).into_response(),
    };
    let held = shared.work(tenant, move |log| Ok(log.hold(&id, &wanted.reason, wanted.filter, &by, now())?)).await;
    held.map_or_else(IntoResponse::into_response, |hold| answer(StatusCode::CREATED, &shown(&hold)))
}

pub(super) async fn release(
    State(shared): State<Shared>,
    Extension(tenant): Extension<Tenant>,
    Extension(by): Extension<By>,
    Path(id): Path<String>,
) -> Response {
    let released = shared.work(tenant, move |log| Ok(log.release(&id, &by, now())?)).await;
    released.map_or_else(IntoResponse::into_response, |hold| answer(StatusCode::OK, &json!({"released": hold.id})))
}
