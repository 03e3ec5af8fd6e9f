//! The endpoints (RFC 7644), at `/scim/v2` below every issuer: decode, one call, encode.

use super::list::{self, Loaded, Query};
use super::schema::{Kind, provider_config, resource_types, schemas};
use super::shape::{self, Selection};
use super::{Answer, Fault, READ, WRITE, groups, patch, users};
use crate::identity::{self, Env, ErrorCode, Examined, Tenant};
use crate::wire::{Asked, json_response, read_body};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{FromRequestParts, Path, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use axum::routing::{any, get, post};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;

/// Media type of SCIM (RFC 7644 8.1).
const MEDIA: HeaderValue = HeaderValue::from_static("application/scim+json");
/// How often what rests on a record that changed meanwhile is tried again.
const TRIES: usize = 4;

/// Who judges the access token of a request.
pub trait Tokens: Send + Sync {
    /// The access token that the head of a request shows: good now, for the administration of this tenant, and its key proved
    /// when it is bound to one.
    ///
    /// # Errors
    /// There is none, or it is of no use.
    fn judge(&self, tenant: &Tenant, head: &Parts, env: &Env<'_>) -> identity::Answer<Examined>;
}

/// The routes of every tenant. The three endpoints that describe what is served need no token (RFC 7643 5).
pub fn routes(tokens: Arc<dyn Tokens>) -> Router {
    let of = |kind: Kind| {
        let path = format!("/scim/v2{}", kind.endpoint());
        Router::new()
            .route(&path, any(move |call: Call| call.answer(kind, None)))
            .route(&format!("{path}/.search"), post(move |call: Call| search(call, Some(kind))).fallback(wrong_method))
            .route(
                &format!("{path}/{{id}}"),
                any(move |Path(id): Path<String>, call: Call| call.answer(kind, Some(id))),
            )
    };
    Router::new()
        .merge(of(Kind::User))
        .merge(of(Kind::Group))
        .route("/scim/v2/Schemas", get(all_schemas).fallback(wrong_method))
        .route("/scim/v2/Schemas/{id}", get(one_schema).fallback(wrong_method))
        .route("/scim/v2/ResourceTypes", get(all_types).fallback(wrong_method))
        .route("/scim/v2/ResourceTypes/{id}", get(one_type).fallback(wrong_method))
        .route("/scim/v2/ServiceProviderConfig", get(config).fallback(wrong_method))
        .route("/scim/v2/Bulk", any(not_served))
        .route("/scim/v2/Me", any(not_served))
        .route("/scim/v2/.search", post(|call: Call| search(call, None)).fallback(wrong_method))
        .route("/scim/v2/{*rest}", any(nothing))
        .with_state(tokens)
}

/// A request, and what it takes to judge and answer it.
struct Call {
    asked: Asked,
    tokens: Arc<dyn Tokens>,
    head: Parts,
    body: Body,
}

impl axum::extract::FromRequest<Arc<dyn Tokens>> for Call {
    type Rejection = StatusCode;

    async fn from_request(request: Request, tokens: &Arc<dyn Tokens>) -> Result<Call, StatusCode> {
        let (mut head, body) = request.into_parts();
        let asked = Asked::from_request_parts(&mut head, tokens).await?;
        Ok(Call { asked, tokens: Arc::clone(tokens), head, body })
    }
}

/// What a request is answered when it is not refused.
enum Done {
    Shown(Found),
    Created(Found),
    Same(Found),
    Gone,
}

/// A resource in the part that is answered, and what is said of it in headers.
struct Found {
    shown: Value,
    version: String,
    place: String,
}

/// An answer of a status in SCIM's media type.
fn answer(status: StatusCode, body: &Value) -> Response {
    let mut response = json_response(status, body);
    response.headers_mut().insert(header::CONTENT_TYPE, MEDIA);
    response
}

/// A fault as clients see it (RFC 7644 3.12), with the challenge that belongs to it (RFC 6750 3).
fn refused(fault: Fault, scope: &str) -> Response {
    let status = StatusCode::from_u16(fault.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut body = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:Error"],
        "status": fault.status.to_string(), "detail": fault.detail,
    });
    if let (Some(keyword), Some(members)) = (fault.scim_type, body.as_object_mut()) {
        members.insert("scimType".to_owned(), keyword.into());
    }
    let mut response = answer(status, &body);
    let Some(refusal) = fault.refusal else { return response };
    let (rule, cause) = (refusal.rule, refusal.cause.as_deref());
    if refusal.error == ErrorCode::ServerError {
        tracing::error!(rule, cause, "a request failed");
    } else {
        tracing::info!(rule, cause, error = refusal.error.text(), "refused");
    }
    let challenge = if refusal.error == ErrorCode::InsufficientScope {
        Some(format!("Bearer error=\"insufficient_scope\", scope=\"{scope}\""))
    } else {
        (status == StatusCode::UNAUTHORIZED).then(|| "Bearer error=\"invalid_token\"".to_owned())
    };
    if let Some(value) = challenge.and_then(|challenge| HeaderValue::try_from(challenge).ok()) {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, value);
    }
    if let Some(seconds) = refusal.retry_after_s {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

async fn wrong_method() -> Response {
    refused(Fault::of(405, "this cannot be done here"), READ)
}

async fn not_served() -> Response {
    refused(Fault::of(501, "this is not served; `/ServiceProviderConfig` says what is"), READ)
}

async fn nothing() -> Response {
    refused(Fault::of(404, "there is nothing here"), READ)
}

/// One of a list, by its id.
fn one(all: Vec<Value>, id: &str) -> Response {
    match all.into_iter().find(|one| one.get("id").and_then(Value::as_str) == Some(id)) {
        Some(one) => answer(StatusCode::OK, &one),
        None => refused(Fault::of(404, "there is nothing of this id"), READ),
    }
}

/// A list of what describes the service; a filter over it is refused (RFC 7644 4).
fn described(head: &Parts, all: Vec<Value>) -> Response {
    if parameters(head).contains_key("filter") {
        return refused(Fault::of(403, "this list is not filtered; leave `filter` out"), READ);
    }
    let total = all.len();
    answer(StatusCode::OK, &list::listed(all, total, 1))
}

fn base(asked: &Asked) -> String {
    asked.tenant.url("/scim/v2")
}

async fn all_schemas(call: Call) -> Response {
    described(&call.head, schemas(&base(&call.asked)))
}

async fn one_schema(asked: Asked, Path(id): Path<String>) -> Response {
    one(schemas(&base(&asked)), &id)
}

async fn all_types(call: Call) -> Response {
    described(&call.head, resource_types(&base(&call.asked)))
}

async fn one_type(asked: Asked, Path(id): Path<String>) -> Response {
    one(resource_types(&base(&asked)), &id)
}

async fn config(asked: Asked) -> Response {
    answer(StatusCode::OK, &provider_config(&base(&asked)))
}

fn parameters(head: &Parts) -> HashMap<String, String> {
    url::form_urlencoded::parse(head.uri.query().unwrap_or_default().as_bytes()).into_owned().collect()
}

/// The body of a request as JSON.
fn json_body(head: &Parts, body: &Bytes) -> Answer<Value> {
    let said = head.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media = said.split(';').next().unwrap_or_default().trim();
    if !media.eq_ignore_ascii_case("application/scim+json") && !media.eq_ignore_ascii_case("application/json") {
        return Err(Fault::of(415, "send the body as application/scim+json"));
    }
    serde_json::from_slice(body).map_err(|error| Fault::bad("invalidSyntax", format!("the body is no JSON: {error}")))
}

/// Whether a condition names the version that there is (RFC 7232 3.1, 3.2, by the weak comparison that SCIM means).
fn names(headers: &HeaderMap, name: &HeaderName, version: &str) -> Option<bool> {
    let mut values = headers.get_all(name).iter().peekable();
    values.peek()?;
    let strong = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    let mut tags = values.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    Some(tags.any(|tag| tag.trim() == "*" || strong(tag) == strong(version)))
}

/// Refuses a change of another version than the client has seen.
fn unchanged(head: &Parts, resource: &Value) -> Answer<()> {
    match names(&head.headers, &header::IF_MATCH, list::version(resource)) {
        Some(false) => Err(Fault::of(412, "it was changed by somebody else; read it again and decide anew")),
        _ => Ok(()),
    }
}

impl Call {
    /// Judges the token, and does one call, again when what it rests on changed meanwhile.
    async fn work<T: Send + 'static>(
        self,
        scope: &'static str,
        call: impl Fn(&Tenant, &Parts, &Bytes, &str, &Env<'_>) -> Answer<T> + Send + 'static,
    ) -> Result<T, Response> {
        let Call { asked, tokens, head, body } = self;
        let body = read_body(body).await.map_err(|refusal| refused(refusal.into(), scope))?;
        let answer = asked.run(move |tenant, env| {
            let token = tokens.judge(tenant, &head, env)?;
            let by = token.administrator(tenant, [scope, WRITE], ["scim.scope", "scim.not_allowed"])?;
            let env = Env { by: Some(&by), ..*env };
            for _ in 1..TRIES {
                match call(tenant, &head, &body, &by, &env) {
                    Err(fault) if fault.is_stale() => {}
                    done => return Ok(done),
                }
            }
            Ok(call(tenant, &head, &body, &by, &env))
        });
        answer.await.map_err(Fault::from).and_then(|done| done).map_err(|fault| refused(fault, scope))
    }

    /// Answers a request to a kind of resource, or to one.
    async fn answer(self, kind: Kind, id: Option<String>) -> Response {
        let method = self.head.method.clone();
        let scope = if method.is_safe() { READ } else { WRITE };
        let done = match (method, id) {
            (Method::GET, None) => {
                let listed = self.work(scope, move |tenant, head, _, _, _| {
                    let parameters = parameters(head);
                    let query = Query::read(kind, |name| parameters.get(name).map(String::as_str))?;
                    list::list(tenant, kind, &query)
                });
                return listed.await.map_or_else(|refused| refused, |page| answer(StatusCode::OK, &page));
            }
            (Method::POST, None) => {
                self.work(scope, move |tenant, head, body, by, env| {
                    let selection = selection(kind, head)?;
                    let wanted = shape::read(kind, &json_body(head, body)?)?;
                    let id = write(tenant, kind, None, wanted, (by, "scim.create"), env)?;
                    Ok(Done::Created(look(tenant, kind, &id, &selection)?))
                })
                .await
            }
            (Method::GET, Some(id)) => {
                self.work(scope, move |tenant, head, _, _, _| show(tenant, kind, &id, head)).await
            }
            (Method::PUT | Method::PATCH, Some(id)) => {
                self.work(scope, move |tenant, head, body, by, env| change(tenant, (kind, &id), (head, body), by, env))
                    .await
            }
            (Method::DELETE, Some(id)) => {
                self.work(scope, move |tenant, head, _, by, env| remove(tenant, (kind, &id), head, by, env)).await
            }
            _ => return wrong_method().await,
        };
        done.map_or_else(|refused| refused, encode)
    }
}

fn show(tenant: &Tenant, kind: Kind, id: &str, head: &Parts) -> Answer<Done> {
    let found = look(tenant, kind, id, &selection(kind, head)?)?;
    match names(&head.headers, &header::IF_NONE_MATCH, &found.version) {
        Some(true) => Ok(Done::Same(found)),
        _ => Ok(Done::Shown(found)),
    }
}

/// PUT and PATCH: the one says what the resource is, the other what becomes of it.
fn change(
    tenant: &Tenant,
    (kind, id): (Kind, &str),
    (head, body): (&Parts, &Bytes),
    by: &str,
    env: &Env<'_>,
) -> Answer<Done> {
    let (selection, body) = (selection(kind, head)?, json_body(head, body)?);
    let loaded = Loaded::load(tenant, kind, id)?;
    let view = users::view(tenant)?;
    unchanged(head, &loaded.resource(tenant, &view)?)?;
    if head.method == Method::PUT {
        let wanted = shape::read(kind, &body)?;
        write(tenant, kind, Some(&loaded), wanted, (by, "scim.replace"), env)?;
    } else {
        let before = loaded.current(tenant, &view)?;
        let mut wanted = before.clone();
        patch::apply(kind, &body, &mut wanted)?;
        // What changes nothing is no other version.
        if wanted != before {
            write(tenant, kind, Some(&loaded), wanted, (by, "scim.patch"), env)?;
        }
    }
    Ok(Done::Shown(look(tenant, kind, id, &selection)?))
}

fn remove(tenant: &Tenant, (kind, id): (Kind, &str), head: &Parts, by: &str, env: &Env<'_>) -> Answer<Done> {
    let loaded = Loaded::load(tenant, kind, id)?;
    unchanged(head, &loaded.resource(tenant, &users::view(tenant)?)?)?;
    match &loaded {
        Loaded::User(user) => users::delete(tenant, user, by, env)?,
        Loaded::Group(group) => groups::delete(tenant, group, (by, "scim.delete"), env)?,
    }
    Ok(Done::Gone)
}

/// A search that is posted (RFC 7644 3.4.3).
async fn search(call: Call, kind: Option<Kind>) -> Response {
    let listed = call.work(READ, move |tenant, head, body, _, _| {
        let body = json_body(head, body)?;
        let text = |name: &str| {
            let value = body.get(name).filter(|value| !value.is_null())?;
            let names = |names: &Vec<Value>| names.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(",");
            let text = value.as_str().map(str::to_owned).or_else(|| value.as_array().map(names));
            Some(text.unwrap_or_else(|| value.to_string()))
        };
        let names = ["filter", "attributes", "excludedAttributes", "startIndex", "count", "sortBy"];
        let said: HashMap<&str, String> = names.iter().filter_map(|name| Some((*name, text(name)?))).collect();
        let parameter = |name: &str| said.get(name).map(String::as_str);
        match kind {
            Some(kind) => list::list(tenant, kind, &Query::read(kind, parameter)?),
            None => list::list_all(tenant, parameter),
        }
    });
    listed.await.map_or_else(|refused| refused, |page| answer(StatusCode::OK, &page))
}

fn write(
    tenant: &Tenant,
    kind: Kind,
    loaded: Option<&Loaded>,
    wanted: shape::Wanted,
    by: (&str, &'static str),
    env: &Env<'_>,
) -> Answer<String> {
    match (kind, loaded) {
        (Kind::User, Some(Loaded::User(user))) => users::write(tenant, Some(user), wanted, by, env),
        (Kind::Group, Some(Loaded::Group(group))) => groups::write(tenant, Some(group), wanted, by, env),
        (Kind::User, _) => users::write(tenant, None, wanted, by, env),
        (Kind::Group, _) => groups::write(tenant, None, wanted, by, env),
    }
}

fn selection(kind: Kind, head: &Parts) -> Answer<Selection> {
    let parameters = parameters(head);
    let parameter = |name: &str| parameters.get(name).map(String::as_str);
    Selection::read(kind, &[], parameter("attributes"), parameter("excludedAttributes"))
}

/// A resource as the request wants to see it.
fn look(tenant: &Tenant, kind: Kind, id: &str, selection: &Selection) -> Answer<Found> {
    let view = users::view(tenant)?;
    let whole = Loaded::load(tenant, kind, id)?.resource(tenant, &view)?;
    let (version, place) = (list::version(&whole).to_owned(), users::location(tenant, kind, id));
    Ok(Found { shown: list::shown(tenant, &view, kind, whole, selection)?, version, place })
}

fn encode(done: Done) -> Response {
    let (status, found) = match done {
        Done::Shown(found) => (StatusCode::OK, Some(found)),
        Done::Created(found) => (StatusCode::CREATED, Some(found)),
        Done::Same(found) => (StatusCode::NOT_MODIFIED, Some(found)),
        Done::Gone => (StatusCode::NO_CONTENT, None),
    };
    let mut response = match &found {
        Some(found) if status != StatusCode::NOT_MODIFIED => answer(status, &found.shown),
        _ => {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = status;
            response
        }
    };
    for (name, value) in found.iter().flat_map(|f| [(header::ETAG, &f.version), (header::LOCATION, &f.place)]) {
        HeaderValue::try_from(value)
            .into_iter()
            .for_each(|value| drop(response.headers_mut().insert(name.clone(), value)));
    }
    response
}
