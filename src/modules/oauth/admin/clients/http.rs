//! Clients over HTTP, at `/admin/clients`.

use super::super::http::judge;
use super::{
    By, CLIENTS_READ, CLIENTS_WRITE, ClientSettings, NewClient, Registered, add_secret, change as change_client,
    create, kept_here, list, shown,
};
use crate::identity::{Seconds, again};
use crate::wire::{Call, Json};
use axum::Router;
use axum::extract::{Path, Query};
use axum::response::Response;
use axum::routing::{delete, get, post, put};
use serde::Deserialize;
use serde_json::json;

/// Clients on a page, when nobody says how many, and at most.
const PAGE_DEFAULT: usize = 100;
const PAGE_MAX: usize = 500;
const SCOPES: [&str; 2] = [CLIENTS_READ, CLIENTS_WRITE];

/// The routes of every tenant's clients. `registered` says which agents the registry keeps.
pub fn routes(registered: Registered) -> Router {
    Router::new()
        .route("/admin/clients", get(all).post(make))
        .route("/admin/clients/{id}", get(show).put(change).delete(remove))
        .route("/admin/clients/{id}/secrets", post(make_secret))
        .route("/admin/clients/{id}/secrets/{secret}", delete(remove_secret))
        .route("/admin/clients/{id}/suspended", put(suspend))
        .with_state(registered)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    after: Option<String>,
    limit: Option<usize>,
}

async fn all(call: Call<Registered>, Query(query): Query<ListQuery>) -> Response {
    call.administer(judge, SCOPES, move |tenant, _| {
        let (clients, next) = list(tenant, query.after, query.limit.unwrap_or(PAGE_DEFAULT).clamp(1, PAGE_MAX))?;
        let clients = clients.iter().map(|held| shown(tenant, held)).collect::<Result<Vec<_>, _>>()?;
        Ok(json!({"clients": clients, "next": next}))
    })
    .await
}

async fn make(call: Call<Registered>, Json(wanted): Json<NewClient>) -> Response {
    call.administer_with(judge, SCOPES, move |tenant, token, env| create(tenant, token, &wanted, env)).await
}

async fn show(call: Call<Registered>, Path(id): Path<String>) -> Response {
    call.administer(judge, SCOPES, move |tenant, _| shown(tenant, &tenant.client(&id)?.value)).await
}

async fn change(call: Call<Registered>, Path(id): Path<String>, Json(wanted): Json<ClientSettings>) -> Response {
    let registered = call.setup;
    call.administer_with(judge, SCOPES, move |tenant, token, env| {
        change_client(&By { tenant, token, registered }, (&id, &wanted), env)
    })
    .await
}

async fn remove(call: Call<Registered>, Path(id): Path<String>) -> Response {
    let registered = call.setup;
    call.administer_with(judge, SCOPES, move |tenant, token, env| {
        again(|| {
            let held = kept_here(&By { tenant, token, registered }, &id)?;
            let mut change = tenant.change(env);
            tenant.drop_client(&mut change, &held, env)?;
            change.commit()
        })?;
        Ok(json!({ "removed": id }))
    })
    .await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewSecret {
    /// How long it is good; for ever when it is left out.
    life_s: Option<Seconds>,
}

async fn make_secret(call: Call<Registered>, Path(id): Path<String>, Json(wanted): Json<NewSecret>) -> Response {
    let registered = call.setup;
    call.administer_with(judge, SCOPES, move |tenant, token, env| {
        add_secret(&By { tenant, token, registered }, (&id, wanted.life_s), env)
    })
    .await
}

async fn remove_secret(call: Call<Registered>, Path((id, secret)): Path<(String, String)>) -> Response {
    let registered = call.setup;
    call.administer_with(judge, SCOPES, move |tenant, token, env| {
        tenant.remove_secret(&kept_here(&By { tenant, token, registered }, &id)?.id, &secret, env)?;
        Ok(json!({ "removed": secret }))
    })
    .await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Suspension {
    suspended: bool,
}

async fn suspend(call: Call<Registered>, Path(id): Path<String>, Json(wanted): Json<Suspension>) -> Response {
    let registered = call.setup;
    call.administer_with(judge, SCOPES, move |tenant, token, env| {
        let held = kept_here(&By { tenant, token, registered }, &id)?;
        tenant.suspend(&held.subject(), wanted.suspended, None, env)?;
        shown(tenant, &held)
    })
    .await
}
