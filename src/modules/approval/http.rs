//! `/bc-authorize`, the pages on which people decide, access requests, and the administration of types of details. Each
//! handler decodes, makes one call, encodes.

use super::detail::DetailType;
use super::pages::{self, ListPage, MessagePage, RequestPage, Row};
use super::{
    AccessWanted, ApprovalRequest, Approvals, Asked as AskedFor, Backchannel, Choice, Decider, Shapes, put_backchannel,
    put_type, remove_type, types,
};
use crate::identity::{
    Answer, CredentialUses, Env, ErrorCode, Examined, Form, Held, KeySource, Refusal, Session, Tenant, same,
};
use crate::wire::{Asked, challenged, json_response, read_body};
use aws_lc_rs::hmac;
use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post, put};
use serde_json::{Value, json};
use std::sync::Arc;

/// The scope that reads types of details and requests.
pub const READ: &str = "approvals:read";
/// The scope that changes types of details.
pub const WRITE: &str = "approvals:write";
/// Most fields of a form of a page.
const FIELDS_MAX: usize = 256;
/// What a form's token is of.
const FORM_LABEL: &[u8] = b"bailiwick approval form 1\0";

/// A person who is signed in, as their browser shows.
pub struct Visitor {
    /// Their session.
    pub session: Held<Session>,
    /// What their browser has and no other: tokens of forms are made of it. It has no `Debug`.
    pub secret: String,
}

/// Who knows browsers: the login.
pub trait Visitors: Send + Sync {
    /// Who is signed in, by the head of a request.
    ///
    /// # Errors
    /// It cannot be said.
    fn visitor(&self, tenant: &Tenant, head: &Parts, env: &Env<'_>) -> Answer<Option<Visitor>>;

    /// Where a person signs in, and comes back to the path `back` of the issuer. With a class of authentication, where they
    /// show now, and at least so strongly, who they are, even when they are signed in.
    fn sign_in(&self, tenant: &Tenant, back: &str, acr: Option<&str>) -> String;
}

/// Who judges the access token of a request.
pub trait Tokens: Send + Sync {
    /// The access token that the head of a request shows: good now, for this tenant's own endpoints, and its key proved when
    /// it is bound to one.
    ///
    /// # Errors
    /// There is none, or it is of no use.
    fn judge(&self, tenant: &Tenant, head: &Parts, env: &Env<'_>) -> Answer<Examined>;
}

/// What the routes need.
#[derive(Clone)]
pub struct Setup {
    /// The rules.
    pub approvals: Approvals,
    /// Where keys of clients are.
    pub keys: Arc<dyn KeySource>,
    /// Who keeps when clients last showed their credentials.
    pub uses: Arc<dyn CredentialUses>,
    /// Who knows browsers.
    pub visitors: Arc<dyn Visitors>,
    /// Who judges tokens of the administration.
    pub tokens: Arc<dyn Tokens>,
    /// Who judges the tokens with which access is asked for.
    pub askers: Arc<dyn Tokens>,
    /// What details access requests become.
    pub shapes: Arc<dyn Shapes>,
}

/// The routes of every tenant.
pub fn routes(setup: Setup) -> Router {
    Router::new()
        .route("/bc-authorize", post(ask))
        .route("/approvals", get(list))
        .route("/approvals/{id}", get(show).post(decide))
        .route("/access-requests", post(request_access))
        .route("/access-requests/{id}", get(access_task))
        .route("/admin/approval-types", get(list_types))
        .route("/admin/approval-types/{name}", put(put_detail_type).delete(remove_detail_type))
        .route("/admin/approval-clients/{client}", put(put_client))
        .with_state(setup)
}

fn is_media(head: &Parts, media: &str) -> bool {
    let said = head.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    said.split(';').next().is_some_and(|said| said.trim().eq_ignore_ascii_case(media))
}

/// The parameters of a client: a form, or the JSON of Auth0's SDKs.
async fn parameters(request: Request) -> Answer<(Parts, Form)> {
    let (head, body) = request.into_parts();
    let bytes = read_body(body).await?;
    let refuse = |text: &str| Refusal::new(ErrorCode::InvalidRequest, "form.media", text);
    let form = if is_media(&head, "application/json") {
        Form::from_json(&bytes)?
    } else if is_media(&head, "application/x-www-form-urlencoded") {
        Form::parse(std::str::from_utf8(&bytes).map_err(|_| refuse("the form is not in UTF-8"))?)?
    } else {
        return Err(refuse("send the parameters as application/x-www-form-urlencoded"));
    };
    Ok((head, form))
}

/// The one `Authorization` header.
fn authorization(head: &Parts) -> Answer<Option<String>> {
    let refuse = |text: &str| Refusal::new(ErrorCode::InvalidRequest, "head", text);
    let mut all = head.headers.get_all(header::AUTHORIZATION).iter();
    let first = all.next().map(|value| value.to_str().map(str::to_owned).map_err(|_| refuse("a header is not plain")));
    if all.next().is_some() {
        return Err(refuse("there is more than one `Authorization` header"));
    }
    first.transpose()
}

async fn ask(State(setup): State<Setup>, asked: Asked, request: Request) -> Response {
    let read = parameters(request).await.and_then(|(head, form)| Ok((authorization(&head)?, form)));
    let (shown, form) = match read {
        Ok(read) => read,
        Err(refusal) => return refusal.into_response(),
    };
    let with_header = shown.is_some();
    let answer = asked.run(move |tenant, env| {
        let caller = tenant.authenticate_client(shown.as_deref(), &form, &*setup.keys, &*setup.uses, env)?;
        setup.approvals.ask(tenant, &caller, &form, &*setup.keys, env)
    });
    match answer.await {
        Ok(AskedFor { auth_req_id, expires_in, interval }) => {
            let body = json!({"auth_req_id": auth_req_id, "expires_in": expires_in, "interval": interval});
            json_response(StatusCode::OK, &body)
        }
        Err(refusal) => {
            let challenge = with_header && refusal.error == ErrorCode::InvalidClient;
            let mut response = refusal.into_response();
            if challenge {
                let basic = HeaderValue::from_static("Basic realm=\"clients\", charset=\"UTF-8\"");
                response.headers_mut().insert(header::WWW_AUTHENTICATE, basic);
            }
            response
        }
    }
}

/// What a request of a browser is answered with.
enum Seen {
    Page(StatusCode, String),
    Elsewhere(String),
}

fn show_seen(answer: Answer<Seen>) -> Response {
    match answer {
        Ok(Seen::Page(status, html)) => {
            let mut response = (status, html).into_response();
            for (name, value) in pages::headers() {
                if let Ok(value) = HeaderValue::try_from(value) {
                    response.headers_mut().insert(HeaderName::from_static(name), value);
                }
            }
            response
        }
        Ok(Seen::Elsewhere(to)) => match HeaderValue::try_from(to) {
            Ok(to) => (StatusCode::SEE_OTHER, [(header::LOCATION, to)]).into_response(),
            Err(_) => Refusal::failed("redirect.form", "a URL that is no header").into_response(),
        },
        Err(refusal) => refusal.into_response(),
    }
}

/// The token of a form: of the browser's secret, the tenant and the request. Who does not have the cookie cannot make one.
fn form_token(tenant: &Tenant, visitor: &Visitor, id: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, visitor.secret.as_bytes());
    let mut context = hmac::Context::with_key(&key);
    context.update(FORM_LABEL);
    context.update(&tenant.number().to_be_bytes());
    context.update(id.as_bytes());
    crate::identity::encode(context.sign().as_ref())
}

/// What is above every page: the issuer, and who is signed in.
fn above(tenant: &Tenant, session: &Session) -> Answer<(String, String)> {
    let account = tenant.user(&session.user)?.display_name().to_owned();
    Ok((tenant.name().to_owned(), account))
}

fn rendered(page: Result<String, askama::Error>) -> Answer<String> {
    page.map_err(|error| Refusal::failed("page.render", error.to_string()))
}

/// Says something on a page.
fn said(tenant: &Tenant, session: &Session, status: StatusCode, (heading, text): (&str, &str)) -> Answer<Seen> {
    let (issuer, account) = above(tenant, session)?;
    let inner = MessagePage { heading, text, list: &tenant.url("/approvals") };
    Ok(Seen::Page(status, rendered(pages::page(heading, (&issuer, &account), &inner))?))
}

async fn list(State(setup): State<Setup>, asked: Asked, request: Request) -> Response {
    let (head, _) = request.into_parts();
    let answer = asked.run(move |tenant, env| {
        let Some(visitor) = setup.visitors.visitor(tenant, &head, env)? else {
            return Ok(Seen::Elsewhere(setup.visitors.sign_in(tenant, "/approvals", None)));
        };
        let (open, count) = setup.approvals.waiting(tenant, Decider { session: &visitor.session }, env)?;
        let row = |request: &ApprovalRequest| Row {
            href: tenant.url(&format!("/approvals/{}", request.id)),
            title: title(request),
            about: format!("{}, for {}", request.shown.client, request.shown.user),
            left: pages::left(request.expires_at.saturating_sub(env.seconds())),
        };
        let inner = ListPage { rows: open.iter().map(row).collect(), more: count.saturating_sub(open.len()) };
        let (issuer, account) = above(tenant, &visitor.session)?;
        let html = rendered(pages::page("Waiting for you", (&issuer, &account), &inner))?;
        Ok(Seen::Page(StatusCode::OK, html))
    });
    show_seen(answer.await)
}

/// What a request is called in a list.
fn title(request: &ApprovalRequest) -> String {
    let first = request.shown.details.first().map(|detail| detail.title.clone());
    let scopes = || request.shown.scopes.iter().map(|scope| scope.value.as_str()).collect::<Vec<_>>().join(", ");
    let more = request.shown.details.len().saturating_sub(1);
    match first {
        Some(title) if more > 0 => format!("{title}, and {more} more"),
        Some(title) => title,
        None if request.shown.scopes.is_empty() => "Who you are".to_owned(),
        None => scopes(),
    }
}

/// The page of a request.
fn request_page(
    setup: &Setup,
    tenant: &Tenant,
    visitor: &Visitor,
    request: &ApprovalRequest,
    error: Option<&str>,
    env: &Env<'_>,
) -> Answer<Seen> {
    let decider = Decider { session: &visitor.session };
    let path = format!("/approvals/{}", request.id);
    let again = decider.needs(&setup.approvals, request, env);
    let confirm = again.then(|| setup.visitors.sign_in(tenant, &path, Some(&request.acr)));
    let (issuer, account) = above(tenant, &visitor.session)?;
    let inner = RequestPage {
        action: &tenant.url(&path),
        token: &form_token(tenant, visitor, &request.id),
        shown: &request.shown_hash,
        agent: request.shown.agent,
        client: &request.shown.client,
        user: &request.shown.user,
        left: &pages::left(request.expires_at.saturating_sub(env.seconds())),
        binding_message: request.shown.binding_message.as_deref(),
        error,
        details: &request.shown.details,
        scopes: &request.shown.scopes,
        confirm: confirm.as_deref(),
        list: &tenant.url("/approvals"),
    };
    let status = if error.is_some() { StatusCode::BAD_REQUEST } else { StatusCode::OK };
    Ok(Seen::Page(status, rendered(pages::page(&title(request), (&issuer, &account), &inner))?))
}

/// What cannot be decided, said on a page.
fn not_open(tenant: &Tenant, visitor: &Visitor, refusal: Refusal) -> Answer<Seen> {
    let known = [(ErrorCode::NotFound, StatusCode::NOT_FOUND), (ErrorCode::Conflict, StatusCode::CONFLICT)];
    let Some((_, status)) = known.into_iter().find(|(error, _)| *error == refusal.error) else { return Err(refusal) };
    tracing::info!(rule = refusal.rule, "a request for approval is not open");
    said(tenant, &visitor.session, status, ("Nothing to decide", &format!("{}.", refusal.description)))
}

async fn show(State(setup): State<Setup>, asked: Asked, Path(id): Path<String>, request: Request) -> Response {
    let (head, _) = request.into_parts();
    let answer = asked.run(move |tenant, env| {
        let Some(visitor) = setup.visitors.visitor(tenant, &head, env)? else {
            // Whether there is such a request is told to nobody who is not signed in.
            let back =
                if ulid::Ulid::from_string(&id).is_ok() { format!("/approvals/{id}") } else { "/approvals".into() };
            return Ok(Seen::Elsewhere(setup.visitors.sign_in(tenant, &back, None)));
        };
        match setup.approvals.open_for(tenant, Decider { session: &visitor.session }, &id, env) {
            Ok(held) => request_page(&setup, tenant, &visitor, &held, None, env),
            Err(refusal) => not_open(tenant, &visitor, refusal),
        }
    });
    show_seen(answer.await)
}

/// What a page's form says.
struct Decided {
    token: String,
    shown: String,
    approve: bool,
    scopes: Vec<String>,
    details: Vec<usize>,
}

impl Decided {
    fn read(body: &[u8]) -> Answer<Decided> {
        let refuse = |text: &str| Refusal::new(ErrorCode::InvalidRequest, "approval.form", text);
        let (mut token, mut shown, mut decision) = (None, None, None);
        let (mut scopes, mut details) = (Vec::new(), Vec::new());
        for (at, (name, value)) in url::form_urlencoded::parse(body).enumerate() {
            if at == FIELDS_MAX {
                return Err(refuse("the form has too many fields"));
            }
            match &*name {
                "token" => token = Some(value.into_owned()),
                "shown" => shown = Some(value.into_owned()),
                "decision" if decision.is_some() => return Err(refuse("decide one way")),
                "decision" => decision = Some(value.into_owned()),
                "scope" => scopes.push(value.into_owned()),
                "detail" => details.push(value.parse().map_err(|_| refuse("a detail is named by its number"))?),
                _ => return Err(refuse("the form has a field that is none of ours")),
            }
        }
        let approve = match decision.as_deref() {
            Some("approve") => true,
            Some("deny") => false,
            _ => return Err(refuse("say whether you approve or deny")),
        };
        let (token, shown) = (token.unwrap_or_default(), shown.unwrap_or_default());
        Ok(Decided { token, shown, approve, scopes, details })
    }
}

/// Whether a form may come from there: all browsers say so, and no page can say otherwise.
fn is_own_site(head: &Parts) -> bool {
    let site = head.headers.get("sec-fetch-site").map(|value| value.to_str().unwrap_or("?"));
    site.is_none_or(|site| site == "same-origin")
}

async fn decide(State(setup): State<Setup>, asked: Asked, Path(id): Path<String>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = match read_body(body).await {
        Ok(body) => body,
        Err(refusal) => return refusal.into_response(),
    };
    let answer = asked.run(move |tenant, env| {
        let Some(visitor) = setup.visitors.visitor(tenant, &head, env)? else {
            return Ok(Seen::Elsewhere(setup.visitors.sign_in(tenant, &format!("/approvals/{id}"), None)));
        };
        let form = Decided::read(&body)?;
        if !is_own_site(&head) || !same(&form.token, &form_token(tenant, &visitor, &id)) {
            let text = "this form was not made for your browser; open the request again";
            return Err(Refusal::new(ErrorCode::AccessDenied, "approval.csrf", text));
        }
        decided(&setup, tenant, &visitor, (&id, form), env)
    });
    show_seen(answer.await)
}

fn decided(
    setup: &Setup,
    tenant: &Tenant,
    visitor: &Visitor,
    (id, form): (&str, Decided),
    env: &Env<'_>,
) -> Answer<Seen> {
    let decider = Decider { session: &visitor.session };
    let held = match setup.approvals.open_for(tenant, decider, id, env) {
        Ok(held) => held,
        Err(refusal) => return not_open(tenant, visitor, refusal),
    };
    let mut scopes = form.scopes;
    // Who the person is goes with whatever they allow; it is not a choice of its own.
    scopes.extend(held.scopes.iter().filter(|scope| *scope == "openid").cloned());
    let choice = if form.approve { Choice::Approve { scopes, details: form.details } } else { Choice::Deny };
    match setup.approvals.decide(tenant, decider, (id, &form.shown), &choice, env) {
        Ok(_) if form.approve => {
            let text = format!("{} may do now what you allowed, this once.", held.shown.client);
            said(tenant, &visitor.session, StatusCode::OK, ("Approved", &text))
        }
        Ok(_) => {
            let text = format!("{} was told that you do not allow it.", held.shown.client);
            said(tenant, &visitor.session, StatusCode::OK, ("Denied", &text))
        }
        Err(refusal) if refusal.error == ErrorCode::InsufficientUserAuthentication => {
            let path = format!("/approvals/{id}");
            Ok(Seen::Elsewhere(setup.visitors.sign_in(tenant, &path, Some(&held.acr))))
        }
        Err(refusal) if refusal.error == ErrorCode::InvalidRequest => {
            request_page(setup, tenant, visitor, &held, Some(&refusal.description), env)
        }
        Err(refusal) => not_open(tenant, visitor, refusal),
    }
}

async fn json_body(request: Request) -> Answer<(Parts, Value)> {
    let (head, body) = request.into_parts();
    let bytes = read_body(body).await?;
    let refuse = |error: serde_json::Error| {
        Refusal::new(ErrorCode::InvalidRequest, "body.json", format!("the body is no JSON: {error}"))
    };
    let value = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).map_err(refuse)? };
    Ok((head, value))
}

fn typed<T: serde::de::DeserializeOwned>(value: Value) -> Answer<T> {
    serde_json::from_value(value).map_err(|error| {
        Refusal::new(ErrorCode::InvalidRequest, "body.form", format!("the body is not what it should be: {error}"))
    })
}

/// Judges a token, runs what it asks for with the body, and answers JSON.
async fn with_token(
    setup: Setup,
    asked: Asked,
    request: Request,
    status: StatusCode,
    rules: impl FnOnce(&Setup, &Tenant, &Examined, Value, &Env<'_>) -> Answer<Value> + Send + 'static,
) -> Response {
    let (head, body) = match json_body(request).await {
        Ok(read) => read,
        Err(refusal) => return challenged(refusal, None),
    };
    let answer = asked.run(move |tenant, env| {
        let token = setup.tokens.judge(tenant, &head, env)?;
        rules(&setup, tenant, &token, body, env)
    });
    match answer.await {
        Ok(value) => json_response(status, &value),
        Err(refusal) => challenged(refusal, None),
    }
}

/// The same, for who asks for access.
fn asking(setup: Setup) -> Setup {
    Setup { tokens: Arc::clone(&setup.askers), ..setup }
}

async fn request_access(State(setup): State<Setup>, asked: Asked, request: Request) -> Response {
    let key = request.headers().get("idempotency-key").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let rules = move |setup: &Setup, tenant: &Tenant, token: &Examined, body: Value, env: &Env<'_>| {
        let wanted: AccessWanted = typed(body)?;
        let shapes = (key.as_deref(), &*setup.shapes);
        let task = setup.approvals.request_shaped(tenant, token, &wanted, shapes, env)?;
        Ok(json!(task))
    };
    with_token(asking(setup), asked, request, StatusCode::ACCEPTED, rules).await
}

async fn access_task(State(setup): State<Setup>, asked: Asked, Path(id): Path<String>, request: Request) -> Response {
    let rules = move |setup: &Setup, tenant: &Tenant, token: &Examined, _: Value, env: &Env<'_>| {
        Ok(json!(setup.approvals.access_task(tenant, token, &id, env)?))
    };
    with_token(asking(setup), asked, request, StatusCode::OK, rules).await
}

/// Who administers approvals: an administrator by Check, with a token of their own.
fn administrator(tenant: &Tenant, token: &Examined, scope: &'static str) -> Answer<String> {
    token.administrator(tenant, [scope, WRITE], ["approval.scope", "approval.not_allowed"])
}

async fn list_types(State(setup): State<Setup>, asked: Asked, request: Request) -> Response {
    let rules = |_: &Setup, tenant: &Tenant, token: &Examined, _: Value, _: &Env<'_>| {
        administrator(tenant, token, READ)?;
        let all: Vec<DetailType> = types(tenant)?.into_iter().map(|held| held.value).collect();
        Ok(json!({ "types": all }))
    };
    with_token(setup, asked, request, StatusCode::OK, rules).await
}

async fn put_detail_type(
    State(setup): State<Setup>,
    asked: Asked,
    Path(name): Path<String>,
    request: Request,
) -> Response {
    let rules = move |_: &Setup, tenant: &Tenant, token: &Examined, mut body: Value, env: &Env<'_>| {
        let by = administrator(tenant, token, WRITE)?;
        if let Some(members) = body.as_object_mut() {
            members.insert("name".to_owned(), name.into());
        }
        Ok(json!(put_type(tenant, &typed(body)?, &by, env)?))
    };
    with_token(setup, asked, request, StatusCode::OK, rules).await
}

async fn remove_detail_type(
    State(setup): State<Setup>,
    asked: Asked,
    Path(name): Path<String>,
    request: Request,
) -> Response {
    let rules = move |_: &Setup, tenant: &Tenant, token: &Examined, _: Value, env: &Env<'_>| {
        remove_type(tenant, &name, &administrator(tenant, token, WRITE)?, env)?;
        Ok(json!({ "removed": name }))
    };
    with_token(setup, asked, request, StatusCode::OK, rules).await
}

async fn put_client(
    State(setup): State<Setup>,
    asked: Asked,
    Path(client): Path<String>,
    request: Request,
) -> Response {
    let rules = move |_: &Setup, tenant: &Tenant, token: &Examined, body: Value, env: &Env<'_>| {
        let by = administrator(tenant, token, WRITE)?;
        let wanted: Backchannel = typed(body)?;
        put_backchannel(tenant, &client, &wanted, &by, env)?;
        Ok(json!(wanted))
    };
    with_token(setup, asked, request, StatusCode::OK, rules).await
}
