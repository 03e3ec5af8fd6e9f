//! The registry over HTTP, for administrators and owners: JSON in, one call, JSON out.
//!
//! A token needs the scope [`READ`] or [`WRITE`] (or [`REPORT`], for that alone), and who it is for is judged by Check. A token
//! with which an agent acts for a person reads and changes nothing here: agents do not administer agents.

use super::{
    Access, Agent, Approvals, By, Destinations, Filter, NewKeys, OwnAccounts, Profile, Registry, Report, Stage, Step,
    Ways,
};
use crate::identity::{Answer, AssertionChain, Env, ErrorCode, Examined, Refusal, Seconds, Tenant, Workload};
use crate::tuple::StoreId;
use crate::wire::{Call, challenged, json_response, read_json, wrong_body};
use axum::Router;
use axum::extract::{FromRequest, Path, Query, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::Response;
use axum::routing::{delete, get, post, put};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::sync::Arc;

/// The scope that reads.
pub const READ: &str = "agents:read";
/// The scope that changes, and reads.
pub const WRITE: &str = "agents:write";
/// The scope that reports accounts of other systems, and nothing else.
pub const REPORT: &str = "agents:report";
/// Agents or entries of history on a page, when nobody says how many, and at most.
const PAGE_DEFAULT: usize = 100;
const PAGE_MAX: usize = 500;

/// Who judges the access token of a request.
pub trait Tokens: Send + Sync {
    /// The access token that the head of a request shows: good now, for the administration of this tenant, and its key proved
    /// when it is bound to one.
    ///
    /// # Errors
    /// There is none, or it is of no use.
    fn judge(&self, tenant: &Tenant, head: &Parts, env: &Env<'_>) -> Answer<Examined>;
}

/// What the routes need.
#[derive(Clone)]
pub struct Setup {
    /// Who judges tokens.
    pub tokens: Arc<dyn Tokens>,
    /// Who knows approvals.
    pub approvals: Arc<dyn Approvals>,
    /// Who knows the tenant's own accounts in other systems.
    pub accounts: Arc<dyn OwnAccounts>,
    /// Who knows where connections lead.
    pub destinations: Arc<dyn Destinations>,
    /// The data stores of the tenants, by the tenant's number: what an agent reaches is told of these alone.
    pub data_stores: Arc<dyn Fn(u32) -> Vec<StoreId> + Send + Sync>,
}

/// The routes of every tenant's registry, at `/admin/agents`.
pub fn routes(setup: Setup) -> Router {
    Router::new()
        .route("/admin/agents", get(list).post(register))
        .route("/admin/agents/{id}", get(show).put(change))
        .route("/admin/agents/{id}/adopt", post(adopt))
        .route("/admin/agents/{id}/activate", post(activate))
        .route("/admin/agents/{id}/suspend", post(suspend))
        .route("/admin/agents/{id}/resume", post(resume))
        .route("/admin/agents/{id}/retire", post(retire))
        .route("/admin/agents/{id}/history", get(history))
        .route("/admin/agents/{id}/connections", get(access).put(allow))
        .route("/admin/agents/{id}/connections/{connection}", delete(disallow))
        .route("/admin/agents/{id}/uses/{object}", put(uses).delete(uses_no_more))
        .route("/admin/agents/{id}/credentials", get(credentials))
        .route("/admin/agents/{id}/secrets", post(add_secret))
        .route("/admin/agents/{id}/secrets/{secret}", delete(remove_secret))
        .route("/admin/agents/{id}/keys", put(set_keys))
        .route("/admin/agents/{id}/chain", put(set_chain).delete(no_chain))
        .route("/admin/agents/{id}/workloads", put(set_workloads))
        .route("/admin/agents/{id}/auth_methods", put(set_methods))
        .route("/admin/agents/{id}/reach", get(reach))
        .route("/admin/agents/{id}/same", post(is_same))
        .route("/admin/dependencies/{object}", get(dependencies))
        .route("/admin/discovered", get(discovered).post(report))
        .with_state(setup)
}

/// A JSON body; what is wrong with it is said with its place.
struct Json<T>(T);

impl<T: DeserializeOwned> FromRequest<Setup> for Json<T> {
    type Rejection = Response;

    async fn from_request(request: Request, _: &Setup) -> Result<Json<T>, Response> {
        let read = read_json(request.into_body(), |path, error| wrong_body("agent.body", path, error)).await;
        read.map(Json).map_err(|refusal| challenged(refusal, None))
    }
}

/// For whom a token is, as a subject, if it may read or change the registry.
fn admit(token: &Examined, wanted: &'static str) -> Answer<String> {
    if !token.has_scope(wanted) && !token.has_scope(WRITE) {
        let text = format!("this takes a token with the scope `{wanted}`");
        return Err(Refusal::new(ErrorCode::InsufficientScope, "agent.scope", text));
    }
    if !token.grant.actors.is_empty() && token.grant.user().is_some() {
        let text = "an agent does not administer agents for a person; use a token of the person's own";
        return Err(Refusal::new(ErrorCode::AccessDenied, "agent.delegated", text));
    }
    Ok(token.grant.user().map_or_else(|| token.client().subject(), |user| format!("user:{user}")))
}

impl Call<Setup> {
    /// Judges the token, does one call, and answers it.
    async fn work(
        self,
        call: impl for<'a> FnOnce(&Registry<'a>, By<'a>, &Env<'a>) -> Answer<Value> + Send + 'static,
    ) -> Response {
        let wanted = if self.head.method.is_safe() { READ } else { WRITE };
        self.work_with(wanted, call).await
    }

    /// The same with a scope that is not that of the method.
    async fn work_with(
        self,
        wanted: &'static str,
        call: impl for<'a> FnOnce(&Registry<'a>, By<'a>, &Env<'a>) -> Answer<Value> + Send + 'static,
    ) -> Response {
        let Call { asked, setup, head } = self;
        let answer = asked.run(move |tenant, env| {
            let by = admit(&setup.tokens.judge(tenant, &head, env)?, wanted)?;
            let env = Env { by: Some(&by), ..*env };
            call(&Registry { tenant, approvals: &*setup.approvals }, By::Subject(&by), &env)
        });
        match answer.await {
            Ok(value) => json_response(StatusCode::OK, &value),
            Err(refusal) => challenged(refusal, Some(wanted)),
        }
    }
}

/// An agent as it is answered.
#[must_use]
pub fn agent_json(agent: &Agent) -> Value {
    let record = &agent.record;
    json!({
        "id": record.id,
        "stage": agent.stage,
        "steps": agent.stage.steps().map(Step::name).collect::<Vec<_>>(),
        "profile": record.profile,
        "missing": record.profile.missing(),
        "orphaned": agent.orphaned,
        "origin": record.origin,
        "suspension": record.suspension,
        "created_at": record.created_at,
        "changed_at": record.changed_at,
        "version": record.version,
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    stage: Option<Stage>,
    owner: Option<String>,
    accountable: Option<String>,
    text: Option<String>,
    #[serde(default)]
    orphaned: bool,
    after: Option<String>,
    limit: Option<usize>,
}

async fn list(call: Call<Setup>, Query(query): Query<ListQuery>) -> Response {
    call.work(move |r, by, _| {
        let ListQuery { stage, owner, accountable, text, orphaned, after, limit } = query;
        let operator = r.sees_only(by)?;
        let filter = Filter { stage, owner, accountable, text, orphaned, operator };
        let (agents, next) = r.list(&filter, after.as_deref(), limit.unwrap_or(PAGE_DEFAULT).clamp(1, PAGE_MAX))?;
        Ok(json!({"agents": agents.iter().map(agent_json).collect::<Vec<_>>(), "next": next}))
    })
    .await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Registration {
    id: Option<String>,
    profile: Profile,
}

async fn register(call: Call<Setup>, Json(wanted): Json<Registration>) -> Response {
    call.work(move |r, by, env| Ok(agent_json(&r.register(by, wanted.id.as_deref(), &wanted.profile, env)?))).await
}

async fn show(call: Call<Setup>, Path(id): Path<String>) -> Response {
    call.work(move |r, by, _| {
        r.may_read(by, &id)?;
        with_accounts(r, &r.get(&id)?)
    })
    .await
}

/// An agent with what is known of its accounts in other systems.
fn with_accounts(r: &Registry<'_>, agent: &Agent) -> Answer<Value> {
    let mut value = agent_json(agent);
    if let Some(members) = value.as_object_mut() {
        members.insert("accounts".to_owned(), json!(r.accounts(&agent.record.id)?));
    }
    Ok(value)
}

async fn change(call: Call<Setup>, Path(id): Path<String>, Json(profile): Json<Profile>) -> Response {
    call.work(move |r, by, env| Ok(agent_json(&r.change(by, &id, &profile, env)?))).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AdoptQuery {
    /// The id that it gets, of one that was found by its account.
    #[serde(rename = "as")]
    id: Option<String>,
}

async fn adopt(
    call: Call<Setup>,
    Path(draft): Path<String>,
    Query(query): Query<AdoptQuery>,
    Json(profile): Json<Profile>,
) -> Response {
    call.work(move |r, by, env| {
        let adopted = match &query.id {
            Some(id) => r.adopt_as(by, &draft, id, &profile, env)?,
            None => r.adopt(by, &draft, &profile, env)?,
        };
        with_accounts(r, &adopted)
    })
    .await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Same {
    /// The id of an agent that is there.
    agent: String,
}

async fn is_same(call: Call<Setup>, Path(draft): Path<String>, Json(same): Json<Same>) -> Response {
    call.work(move |r, by, env| with_accounts(r, &r.is_same(by, &draft, &same.agent, env)?)).await
}

async fn report(call: Call<Setup>, Json(report): Json<Report>) -> Response {
    let own = Arc::clone(&call.setup.accounts);
    call.work_with(REPORT, move |r, by, env| Ok(json!({"accounts": r.report(by, &report, &*own, env)?}))).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DiscoveredQuery {
    after: Option<String>,
    limit: Option<usize>,
}

/// The drafts, each with the accounts by which it was found.
async fn discovered(call: Call<Setup>, Query(query): Query<DiscoveredQuery>) -> Response {
    call.work(move |r, by, _| {
        let filter = Filter { stage: Some(Stage::Discovered), operator: r.sees_only(by)?, ..Filter::default() };
        let max = query.limit.unwrap_or(PAGE_DEFAULT).clamp(1, PAGE_MAX);
        let (agents, next) = r.list(&filter, query.after.as_deref(), max)?;
        let agents = agents.iter().map(|agent| with_accounts(r, agent)).collect::<Answer<Vec<_>>>()?;
        Ok(json!({"agents": agents, "next": next}))
    })
    .await
}

async fn activate(call: Call<Setup>, Path(id): Path<String>) -> Response {
    call.work(move |r, by, env| Ok(agent_json(&r.activate(by, &id, env)?))).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reason {
    reason: String,
}

async fn suspend(call: Call<Setup>, Path(id): Path<String>, Json(why): Json<Reason>) -> Response {
    call.work(move |r, by, env| Ok(agent_json(&r.suspend(by, &id, &why.reason, env)?))).await
}

async fn resume(call: Call<Setup>, Path(id): Path<String>) -> Response {
    call.work(move |r, by, env| Ok(agent_json(&r.resume(by, &id, env)?))).await
}

async fn retire(call: Call<Setup>, Path(id): Path<String>, Json(why): Json<Reason>) -> Response {
    call.work(move |r, by, env| Ok(agent_json(&r.retire(by, &id, &why.reason, env)?))).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HistoryQuery {
    #[serde(default)]
    after: u32,
    limit: Option<usize>,
}

async fn history(call: Call<Setup>, Path(id): Path<String>, Query(query): Query<HistoryQuery>) -> Response {
    call.work(move |r, by, _| {
        r.may_read(by, &id)?;
        let max = query.limit.unwrap_or(PAGE_DEFAULT).clamp(1, PAGE_MAX);
        let entries = r.history(&id, query.after, max)?;
        let next = entries.last().filter(|_| entries.len() == max).map(|entry| entry.version);
        Ok(json!({"history": entries, "next": next}))
    })
    .await
}

async fn access(call: Call<Setup>, Path(id): Path<String>) -> Response {
    call.work(move |r, by, _| {
        r.may_read(by, &id)?;
        Ok(json!({"connections": r.access(&id)?}))
    })
    .await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Allowance {
    access: Access,
    approval: Option<String>,
}

async fn allow(call: Call<Setup>, Path(id): Path<String>, Json(wanted): Json<Allowance>) -> Response {
    call.work(move |r, by, env| Ok(agent_json(&r.allow(by, &id, &wanted.access, wanted.approval.as_deref(), env)?)))
        .await
}

async fn disallow(call: Call<Setup>, Path((id, connection)): Path<(String, String)>) -> Response {
    call.work(move |r, by, env| Ok(agent_json(&r.disallow(by, &id, &connection, env)?))).await
}

async fn uses(call: Call<Setup>, Path((id, object)): Path<(String, String)>) -> Response {
    call.work(move |r, by, env| Ok(agent_json(&r.depend(by, &id, &object, true, env)?))).await
}

async fn uses_no_more(call: Call<Setup>, Path((id, object)): Path<(String, String)>) -> Response {
    call.work(move |r, by, env| Ok(agent_json(&r.depend(by, &id, &object, false, env)?))).await
}

async fn credentials(call: Call<Setup>, Path(id): Path<String>) -> Response {
    call.work(move |r, by, _| {
        r.may_read(by, &id)?;
        Ok(json!({"credentials": r.credentials(&id)?}))
    })
    .await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewSecret {
    life_s: Option<Seconds>,
    overlap_s: Option<Seconds>,
}

async fn add_secret(call: Call<Setup>, Path(id): Path<String>, Json(wanted): Json<NewSecret>) -> Response {
    call.work(move |r, by, env| {
        let made = r.add_secret(by, &id, wanted.life_s, wanted.overlap_s, env)?;
        Ok(json!({"id": made.id, "client_secret": made.secret, "warning": made.warning}))
    })
    .await
}

async fn remove_secret(call: Call<Setup>, Path((id, secret)): Path<(String, String)>) -> Response {
    call.work(move |r, by, env| Ok(agent_json(&r.remove_secret(by, &id, &secret, env)?))).await
}

/// One of them, or neither for no keys any more.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    jwks: Option<Value>,
    jwks_uri: Option<String>,
}

async fn set_keys(call: Call<Setup>, Path(id): Path<String>, Json(keys): Json<Keys>) -> Response {
    call.work(move |r, by, env| {
        let keys = match (keys.jwks, keys.jwks_uri) {
            (Some(set), None) => NewKeys::Jwks(set),
            (None, Some(uri)) => NewKeys::JwksUri(uri),
            (None, None) => NewKeys::None,
            (Some(_), Some(_)) => {
                let text = "say `jwks` or `jwks_uri`, not both";
                return Err(Refusal::new(ErrorCode::InvalidRequest, "client.keys", text));
            }
        };
        Ok(agent_json(&r.set_keys(by, &id, &keys, env)?))
    })
    .await
}

async fn set_chain(call: Call<Setup>, Path(id): Path<String>, Json(chain): Json<AssertionChain>) -> Response {
    call.work(move |r, by, env| Ok(agent_json(&r.set_chain(by, &id, Some(&chain), env)?))).await
}

async fn no_chain(call: Call<Setup>, Path(id): Path<String>) -> Response {
    call.work(move |r, by, env| Ok(agent_json(&r.set_chain(by, &id, None, env)?))).await
}

/// All of them; none for no workload any more.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Workloads {
    workloads: Vec<Workload>,
}

async fn set_workloads(call: Call<Setup>, Path(id): Path<String>, Json(wanted): Json<Workloads>) -> Response {
    call.work(move |r, by, env| Ok(agent_json(&r.set_workloads(by, &id, &wanted.workloads, env)?))).await
}

async fn set_methods(call: Call<Setup>, Path(id): Path<String>, Json(ways): Json<Ways>) -> Response {
    call.work(move |r, by, env| Ok(agent_json(&r.set_methods(by, &id, &ways, env)?))).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReachQuery {
    store: Option<String>,
    subject: Option<String>,
}

async fn reach(call: Call<Setup>, Path(id): Path<String>, Query(query): Query<ReachQuery>) -> Response {
    let stores = (call.setup.data_stores)(call.asked.tenant.number());
    let destinations = Arc::clone(&call.setup.destinations);
    call.work(move |r, by, _| {
        r.may_read(by, &id)?;
        // Whoever answers for an agent does not thereby see what any person reaches.
        if let Some(subject) = query.subject.as_deref().filter(|subject| **subject != *format!("agent:{id}"))
            && r.sees_only(by)?.is_some_and(|own| own != subject)
        {
            let text = "what another person reaches is told to an auditor of the tenant; leave `subject` out, or ask for yourself";
            return Err(Refusal::new(ErrorCode::AccessDenied, "reach.subject", text));
        }
        let store = match &query.store {
            None => None,
            Some(text) => {
                let named = ulid::Ulid::from_string(text).ok().map(StoreId).filter(|store| stores.contains(store));
                Some(named.ok_or_else(|| Refusal::not_found("data store of this tenant"))?)
            }
        };
        Ok(json!(r.reach(&id, (store, query.subject.as_deref()), &*destinations)?))
    })
    .await
}

async fn dependencies(call: Call<Setup>, Path(object): Path<String>) -> Response {
    call.work(move |r, by, _| {
        match object.strip_prefix("agent:") {
            Some(id) => r.may_read(by, id)?,
            None if r.sees_only(by)?.is_some() => {
                let text = "this takes an auditor of the tenant";
                return Err(Refusal::new(ErrorCode::AccessDenied, "agent.not_allowed", text));
            }
            None => {}
        }
        Ok(json!(r.dependencies(&object)?))
    })
    .await
}
