//! Administration over HTTP: managed connections with the classes of their scopes, at `/admin/managed-connections`, and whose
//! word is believed, at `/admin/trust` and `/admin/delegates`. JSON in, one call, JSON out; who asks is an administrator by
//! Check, with a token of their own.

use super::{
    Connection, IssuerKeys, Replay, ScopeClass, SubjectMapping, Target, TrustedIssuer, allow, classes, classify,
    connection, connections, delegate, distrust, holders, put_connection, remove_connection, trust, trusted_issuer,
    trusted_issuers,
};
use crate::identity::{Answer, Env, ErrorCode, Held, Refusal, Seconds, Tenant};
use crate::wire::{Call, Json, Judge};
use axum::Router;
use axum::extract::Path;
use axum::response::Response;
use axum::routing::{get, put};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The scope that reads connections, and the one that changes them.
pub const CONNECTIONS: [&str; 2] = ["connections:read", "connections:write"];
/// The scope that reads whom the tenant trusts, and the one that changes it.
pub const TRUST: [&str; 2] = ["trust:read", "trust:write"];

/// The routes of every tenant. `judge` judges tokens.
pub fn routes(judge: Judge) -> Router {
    Router::new()
        .route("/admin/managed-connections", get(list))
        .route("/admin/managed-connections/{id}", get(show).put(change).delete(remove))
        .route("/admin/managed-connections/{id}/allowed/{client}", put(let_use).delete(let_use_no_more))
        .route("/admin/managed-connections/{id}/scopes", put(class))
        .route("/admin/trust", get(rows))
        .route("/admin/trust/{issuer}", get(row).put(put_row).delete(remove_row))
        .route("/admin/delegates/{client}/{to}", put(let_go_on).delete(let_go_on_no_more))
        .with_state(judge)
}

/// A connection, who may use it, and the classes of its scopes.
fn whole(tenant: &Tenant, id: &str) -> Answer<Value> {
    let held = connection(tenant, id)?;
    let classes = classes(tenant, id)?;
    let class = |c: &super::Classed| json!({"scope": c.scope, "class": c.class.name(), "subject": c.holder});
    Ok(json!({
        "connection": held.value,
        "allowed": holders(tenant, id)?,
        "scopes": classes.iter().map(class).collect::<Vec<_>>(),
    }))
}

async fn list(call: Call<Judge>) -> Response {
    let judge = call.setup;
    call.administer(judge, CONNECTIONS, |tenant, _| {
        let all = connections(tenant)?;
        Ok(json!({"managed_connections": all.iter().map(|held| &held.value).collect::<Vec<_>>()}))
    })
    .await
}

async fn show(call: Call<Judge>, Path(id): Path<String>) -> Response {
    let judge = call.setup;
    call.administer(judge, CONNECTIONS, move |tenant, _| whole(tenant, &id)).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// What people call it; its id when it is left out.
    name: Option<String>,
    target: Target,
}

async fn change(call: Call<Judge>, Path(id): Path<String>, Json(wanted): Json<Wanted>) -> Response {
    let judge = call.setup;
    call.administer(judge, CONNECTIONS, move |tenant, env| {
        let name = wanted.name.unwrap_or_else(|| id.clone());
        let wanted = Connection { id, name, target: wanted.target, created_at: env.seconds() };
        put_connection(tenant, &wanted, env)?;
        whole(tenant, &wanted.id)
    })
    .await
}

async fn remove(call: Call<Judge>, Path(id): Path<String>) -> Response {
    let judge = call.setup;
    call.administer(judge, CONNECTIONS, move |tenant, env| {
        remove_connection(tenant, &id, env)?;
        Ok(json!({ "removed": id }))
    })
    .await
}

async fn allowing(call: Call<Judge>, (id, client): (String, String), allowed: bool) -> Response {
    let judge = call.setup;
    call.administer(judge, CONNECTIONS, move |tenant, env| {
        allow(tenant, &id, &client, allowed, env)?;
        whole(tenant, &id)
    })
    .await
}

async fn let_use(call: Call<Judge>, Path(named): Path<(String, String)>) -> Response {
    allowing(call, named, true).await
}

async fn let_use_no_more(call: Call<Judge>, Path(named): Path<(String, String)>) -> Response {
    allowing(call, named, false).await
}

/// How a scope of a connection is had; without a class it is not.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Class {
    scope: String,
    subject: String,
    class: Option<String>,
}

async fn class(call: Call<Judge>, Path(id): Path<String>, Json(wanted): Json<Class>) -> Response {
    let judge = call.setup;
    call.administer(judge, CONNECTIONS, move |tenant, env| {
        let unknown = || {
            let text = "a class is one of `automatic`, `needs_approval` and `never`, or `null` for none";
            Refusal::new(ErrorCode::InvalidRequest, "connection.class", text)
        };
        let class = wanted.class.as_deref().map(|name| ScopeClass::of(name).ok_or_else(unknown)).transpose()?;
        classify(tenant, (&id, &wanted.scope), &wanted.subject, class, env)?;
        whole(tenant, &id)
    })
    .await
}

/// How far an issuer is trusted: a [`TrustedIssuer`] without who it is, and since when.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    #[serde(default)]
    keys: IssuerKeys,
    #[serde(default)]
    subject: SubjectMapping,
    #[serde(default)]
    create_users: bool,
    #[serde(default)]
    clients: Vec<String>,
    scopes: BTreeMap<String, String>,
    resources: Vec<String>,
    life_max_s: Option<Seconds>,
    access_token_s: Option<Seconds>,
    acr_max: Option<String>,
    #[serde(default)]
    replay: Replay,
}

impl Row {
    fn of(self, issuer: String, env: &Env<'_>) -> TrustedIssuer {
        TrustedIssuer {
            issuer,
            keys: self.keys,
            subject: self.subject,
            create_users: self.create_users,
            clients: self.clients,
            scopes: self.scopes,
            resources: self.resources,
            life_max_s: self.life_max_s.unwrap_or(super::ASSERTION_S_MAX),
            access_token_s: self.access_token_s,
            acr_max: self.acr_max,
            replay: self.replay,
            created_at: env.seconds(),
        }
    }
}

/// The row of an issuer.
fn held(tenant: &Tenant, issuer: &str) -> Answer<Held<TrustedIssuer>> {
    trusted_issuer(tenant, issuer)?.ok_or_else(|| Refusal::not_found("trusted issuer"))
}

async fn rows(call: Call<Judge>) -> Response {
    let judge = call.setup;
    call.administer(judge, TRUST, |tenant, _| {
        let all = trusted_issuers(tenant)?;
        Ok(json!({"trusted_issuers": all.iter().map(|held| &held.value).collect::<Vec<_>>()}))
    })
    .await
}

async fn row(call: Call<Judge>, Path(issuer): Path<String>) -> Response {
    let judge = call.setup;
    call.administer(judge, TRUST, move |tenant, _| Ok(json!(held(tenant, &issuer)?.value))).await
}

async fn put_row(call: Call<Judge>, Path(issuer): Path<String>, Json(wanted): Json<Row>) -> Response {
    let judge = call.setup;
    call.administer(judge, TRUST, move |tenant, env| {
        let wanted = wanted.of(issuer, env);
        let here = tenant.identity().issuing(&wanted.issuer).is_some_and(|other| other.issuer() == wanted.issuer);
        if wanted.keys == IssuerKeys::Here && !here {
            let text = format!(
                "`{}` is no tenant of this database; say where its keys are: `{{\"keys\": {{\"jwks_uri\": URL}}}}`",
                wanted.issuer
            );
            return Err(Refusal::new(ErrorCode::InvalidRequest, "trust.keys", text));
        }
        trust(tenant, &wanted, env)?;
        Ok(json!(held(tenant, &wanted.issuer)?.value))
    })
    .await
}

async fn remove_row(call: Call<Judge>, Path(issuer): Path<String>) -> Response {
    let judge = call.setup;
    call.administer(judge, TRUST, move |tenant, env| {
        let revoked = distrust(tenant, &issuer, env)?;
        Ok(json!({"removed": issuer, "revoked": revoked}))
    })
    .await
}

async fn delegating(call: Call<Judge>, (client, to): (String, String), allowed: bool) -> Response {
    let judge = call.setup;
    call.administer(judge, TRUST, move |tenant, env| {
        delegate(tenant, &client, &to, allowed, env)?;
        Ok(json!({"client": client, "to": to, "allowed": allowed}))
    })
    .await
}

async fn let_go_on(call: Call<Judge>, Path(named): Path<(String, String)>) -> Response {
    delegating(call, named, true).await
}

async fn let_go_on_no_more(call: Call<Judge>, Path(named): Path<(String, String)>) -> Response {
    delegating(call, named, false).await
}
