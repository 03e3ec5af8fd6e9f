//! People over HTTP, at `/admin/users`.

use super::super::http::judge;
use super::{
    NewUser, USERS_READ, USERS_WRITE, UserSettings, change as change_person, create, delete, find,
    invite as invite_person, known, list, shown, suspend as suspend_person, whole,
};
use crate::identity::{Answer, ErrorCode, Refusal, Seconds};
use crate::wire::{Call, Json};
use axum::Router;
use axum::extract::{Path, Query};
use axum::response::Response;
use axum::routing::{get, post, put};
use serde::Deserialize;
use serde_json::{Value, json};

/// People on a page, when nobody says how many, and at most.
const PAGE_DEFAULT: usize = 100;
const PAGE_MAX: usize = 500;
const SCOPES: [&str; 2] = [USERS_READ, USERS_WRITE];

/// The routes of every tenant.
pub fn routes() -> Router {
    Router::new()
        .route("/admin/users", get(all).post(make))
        .route("/admin/users/{id}", get(show).put(change).delete(remove))
        .route("/admin/users/{id}/suspended", put(suspend))
        .route("/admin/users/{id}/invite", post(invite))
        .route("/admin/users/{id}/sign-out", post(sign_out))
}

/// Which people: a page of all, or who logs in with a name.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    login: Option<String>,
    after: Option<String>,
    limit: Option<usize>,
}

async fn all(call: Call<()>, Query(query): Query<ListQuery>) -> Response {
    call.administer(judge, SCOPES, move |tenant, _| {
        let (users, next) = match &query.login {
            Some(_) if query.after.is_some() || query.limit.is_some() => {
                let text = "one person at most logs in with a name: `login` has no pages";
                return Err(Refusal::new(ErrorCode::InvalidRequest, "user.list", text));
            }
            Some(login) => (tenant.user_by_login(login)?.into_iter().collect(), None),
            None => list(tenant, query.after, query.limit.unwrap_or(PAGE_DEFAULT).clamp(1, PAGE_MAX))?,
        };
        let users: Answer<Vec<Value>> = users.iter().map(|held| shown(tenant, held)).collect();
        Ok(json!({"users": users?, "next": next}))
    })
    .await
}

async fn make(call: Call<()>, Json(wanted): Json<NewUser>) -> Response {
    call.administer(judge, SCOPES, move |tenant, env| create(tenant, wanted, env)).await
}

async fn show(call: Call<()>, Path(id): Path<String>) -> Response {
    call.administer(judge, SCOPES, move |tenant, env| whole(tenant, &find(tenant, &id)?.value, env)).await
}

async fn change(call: Call<()>, Path(id): Path<String>, Json(wanted): Json<UserSettings>) -> Response {
    call.administer(judge, SCOPES, move |tenant, env| change_person(tenant, &id, &wanted, env)).await
}

async fn remove(call: Call<()>, Path(id): Path<String>) -> Response {
    call.administer(judge, SCOPES, move |tenant, env| delete(tenant, &id, env)).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Suspension {
    suspended: bool,
}

async fn suspend(call: Call<()>, Path(id): Path<String>, Json(wanted): Json<Suspension>) -> Response {
    call.administer(judge, SCOPES, move |tenant, env| suspend_person(tenant, &id, wanted.suspended, env)).await
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
