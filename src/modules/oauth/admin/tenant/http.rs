//! A tenant's signing keys and settings over HTTP, at `/admin/keys` and `/admin/settings`.

use super::super::http::judge;
use super::{KEYS_READ, KEYS_WRITE, SETTINGS_READ, SETTINGS_WRITE, keys, settings};
use crate::identity::TenantSettings;
use crate::wire::{Call, Json};
use axum::Router;
use axum::response::Response;
use axum::routing::{get, post};

const KEYS: [&str; 2] = [KEYS_READ, KEYS_WRITE];
const SETTINGS: [&str; 2] = [SETTINGS_READ, SETTINGS_WRITE];

/// The routes of every tenant.
pub fn routes() -> Router {
    Router::new()
        .route("/admin/keys", get(list))
        .route("/admin/keys/rotate", post(rotate))
        .route("/admin/keys/replace", post(replace))
        .route("/admin/settings", get(show).put(change))
}

async fn list(call: Call<()>) -> Response {
    call.administer(judge, KEYS, keys).await
}

async fn rotate(call: Call<()>) -> Response {
    call.administer(judge, KEYS, |tenant, env| {
        tenant.rotate_keys(env)?;
        keys(tenant, env)
    })
    .await
}

async fn replace(call: Call<()>) -> Response {
    call.administer(judge, KEYS, |tenant, env| {
        tenant.replace_keys(env)?;
        keys(tenant, env)
    })
    .await
}

async fn show(call: Call<()>) -> Response {
    call.administer(judge, SETTINGS, |tenant, _| Ok(settings(tenant))).await
}

async fn change(call: Call<()>, Json(wanted): Json<TenantSettings>) -> Response {
    call.administer(judge, SETTINGS, move |tenant, env| Ok(settings(&tenant.change_settings(wanted, env)?))).await
}
