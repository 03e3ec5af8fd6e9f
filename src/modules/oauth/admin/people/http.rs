//! Invitations and sign-out of people over HTTP, below `/admin/users/ID`.

use super::super::http::judge;
use super::{USERS_WRITE, invite as invite_person, known};
use crate::identity::Seconds;
use crate::wire::{Call, Json};
use axum::Router;
use axum::extract::Path;
use axum::response::Response;
use axum::routing::post;
use serde::Deserialize;
use serde_json::json;

const SCOPES: [&str; 2] = [USERS_WRITE; 2];

/// The routes of every tenant.
pub fn routes() -> Router {
    Router::new().route("/admin/users/{id}/invite", post(invite)).route("/admin/users/{id}/sign-out", post(sign_out))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Invitation {
    /// How long it is good; three days when it is left out.
    life_s: Option<Seconds>,
}

async fn invite(call: Call<()>, Path(id): Path<String>, Json(wanted): Json<Invitation>) -> Response {
    call.administer(judge, SCOPES, move |tenant, env| invite_person(tenant, &id, wanted.life_s, env)).await
}

async fn sign_out(call: Call<()>, Path(id): Path<String>) -> Response {
    call.administer(judge, SCOPES, move |tenant, env| {
        tenant.sign_out_everywhere(known(&id)?, "administrator", env)?;
        Ok(json!({ "signed_out": id }))
    })
    .await
}
