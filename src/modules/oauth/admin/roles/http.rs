//! Roles over HTTP, at `/admin/roles`.

use super::super::http::judge;
use super::{ROLES_READ, ROLES_WRITE, give as give_role, shown};
use crate::identity::{Answer, ErrorCode, ROLES_PAGE_MAX, Refusal};
use crate::wire::Call;
use axum::Router;
use axum::extract::{Path, Query};
use axum::response::Response;
use axum::routing::{get, put};
use serde::Deserialize;
use serde_json::{Value, json};

/// Roles on a page, when nobody says how many.
const PAGE_DEFAULT: usize = 100;
const SCOPES: [&str; 2] = [ROLES_READ, ROLES_WRITE];

/// The routes of every tenant.
pub fn routes() -> Router {
    Router::new()
        .route("/admin/roles", get(list))
        .route("/admin/roles/{object}/{role}/{subject}", put(give).delete(take))
}

/// Of what, or whose; the tenant's when neither is said.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    object: Option<String>,
    held_by: Option<String>,
    after: Option<String>,
    limit: Option<usize>,
}

async fn list(call: Call<()>, Query(query): Query<ListQuery>) -> Response {
    call.administer(judge, SCOPES, move |tenant, _| {
        let (after, max) = (query.after.as_deref(), query.limit.unwrap_or(PAGE_DEFAULT).clamp(1, ROLES_PAGE_MAX));
        let page = match (&query.object, &query.held_by) {
            (Some(_), Some(_)) => {
                let text = "ask for the roles of an object or for those of a subject";
                return Err(Refusal::new(ErrorCode::InvalidRequest, "role.list", text));
            }
            (None, Some(subject)) => tenant.roles_held_by(subject, after, max)?,
            (Some(object), None) => tenant.roles_of(object, after, max)?,
            (None, None) => tenant.roles_of(&tenant.object(), after, max)?,
        };
        let roles: Answer<Vec<Value>> = page.roles.iter().map(|held| shown(tenant, held)).collect();
        Ok(json!({"roles": roles?, "next": page.next}))
    })
    .await
}

/// The object, the role, and the subject of a path.
type Place = Path<(String, String, String)>;

async fn give(call: Call<()>, Path((object, role, subject)): Place) -> Response {
    call.administer_with(judge, SCOPES, move |tenant, token, env| {
        give_role(tenant, token, &tenant.appointment_named(&role, Some(&object), &subject)?, env)
    })
    .await
}

async fn take(call: Call<()>, Path((object, role, subject)): Place) -> Response {
    call.administer(judge, SCOPES, move |tenant, env| {
        let held = tenant.appointment_named(&role, Some(&object), &subject)?;
        tenant.take_role(&held, env)?;
        Ok(json!({"removed": {"subject": held.subject, "role": held.role.name(), "object": held.shown_object()}}))
    })
    .await
}
