//! Teams over HTTP, at `/admin/teams`, and managers, at `/admin/users/ID/managers`.

use super::{
    NewTeam, TEAMS_READ, TEAMS_WRITE, create, list as list_teams, remove as remove_team, set_manager, set_member,
    show as show_team,
};
use crate::wire::{Call, Json, Judge};
use axum::Router;
use axum::extract::{Path, Query};
use axum::response::Response;
use axum::routing::{get, put};
use serde::Deserialize;

/// Teams, or members of one, on a page, when nobody says how many, and at most.
const PAGE_DEFAULT: usize = 100;
const PAGE_MAX: usize = 500;
const SCOPES: [&str; 2] = [TEAMS_READ, TEAMS_WRITE];

/// The routes of every tenant. `judge` judges tokens.
pub fn routes(judge: Judge) -> Router {
    Router::new()
        .route("/admin/teams", get(list).post(make))
        .route("/admin/teams/{id}", get(show).delete(remove))
        .route("/admin/teams/{id}/members/{member}", put(join).delete(leave))
        .route("/admin/users/{id}/managers/{manager}", put(manages).delete(manages_no_more))
        .with_state(judge)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PageQuery {
    after: Option<String>,
    limit: Option<usize>,
}

impl PageQuery {
    fn max(&self) -> usize {
        self.limit.unwrap_or(PAGE_DEFAULT).clamp(1, PAGE_MAX)
    }
}

async fn list(call: Call<Judge>, Query(query): Query<PageQuery>) -> Response {
    let judge = call.setup;
    call.administer(judge, SCOPES, move |tenant, _| list_teams(tenant, query.after.as_deref(), query.max())).await
}

async fn make(call: Call<Judge>, Json(wanted): Json<NewTeam>) -> Response {
    let judge = call.setup;
    call.administer(judge, SCOPES, move |tenant, env| create(tenant, &wanted, env)).await
}

async fn show(call: Call<Judge>, Path(id): Path<String>, Query(query): Query<PageQuery>) -> Response {
    let judge = call.setup;
    call.administer(judge, SCOPES, move |tenant, _| {
        let max = query.max();
        show_team(tenant, &id, query.after, max)
    })
    .await
}

async fn remove(call: Call<Judge>, Path(id): Path<String>) -> Response {
    let judge = call.setup;
    call.administer(judge, SCOPES, move |tenant, env| remove_team(tenant, &id, env)).await
}

/// Two names of a path.
type Pair = Path<(String, String)>;

async fn join(call: Call<Judge>, Path((team, member)): Pair) -> Response {
    let judge = call.setup;
    call.administer(judge, SCOPES, move |tenant, env| set_member(tenant, (&team, &member), true, env)).await
}

async fn leave(call: Call<Judge>, Path((team, member)): Pair) -> Response {
    let judge = call.setup;
    call.administer(judge, SCOPES, move |tenant, env| set_member(tenant, (&team, &member), false, env)).await
}

async fn manages(call: Call<Judge>, Path((user, manager)): Pair) -> Response {
    let judge = call.setup;
    call.administer(judge, SCOPES, move |tenant, env| set_manager(tenant, (&user, &manager), true, env)).await
}

async fn manages_no_more(call: Call<Judge>, Path((user, manager)): Pair) -> Response {
    let judge = call.setup;
    call.administer(judge, SCOPES, move |tenant, env| set_manager(tenant, (&user, &manager), false, env)).await
}
