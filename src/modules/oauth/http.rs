//! The endpoints over HTTP: each decodes, makes one call, encodes.

use super::{Head, OAuth, end_session, introspection_token, judged, userinfo};
use crate::identity::{Answer, Env, ErrorCode, Examined, Form, Refusal, Refused, Registrants, Tenant};
use crate::wire::{Asked, challenge, json_response, read_body};
use axum::Router;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use serde_json::Value;

/// The scope that registers clients, where administrators do (docs/oauth.md).
const CLIENTS_REGISTER: &str = "clients:register";
const DPOP: HeaderName = HeaderName::from_static("dpop");
const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";
/// How long metadata and keys may be kept by others, in seconds. Keys are published longer before they sign.
const KEPT: HeaderValue = HeaderValue::from_static("public, max-age=300");

/// The routes of every issuer. Auth0's names for some of them are served too, for its SDKs.
pub fn routes(oauth: OAuth) -> Router {
    // Those that scripts of other origins may call: none of them looks at a cookie.
    let open = Router::new()
        .route("/.well-known/openid-configuration", get(metadata))
        .route("/.well-known/oauth-authorization-server", get(metadata))
        .route("/jwks", get(jwks))
        .route("/.well-known/jwks.json", get(jwks))
        .route("/token", post(token))
        .route("/oauth/token", post(token))
        .route("/oauth2/token", post(token))
        .route("/par", post(push))
        .route("/revoke", post(revoke))
        .route("/oauth/revoke", post(revoke))
        .route("/userinfo", get(info).post(info))
        .route("/register", post(register))
        .layer(middleware::from_fn(cors));
    Router::new()
        .route("/authorize", get(authorize).post(authorize))
        .route("/introspect", post(introspect))
        .route("/authorization-details/use", post(use_detail))
        .route("/end_session", get(end).post(end))
        .route("/oidc/logout", get(end).post(end))
        .merge(open)
        .with_state(oauth)
}

/// Lets scripts of all origins read the answer, without cookies.
async fn cors(request: Request, next: Next) -> Response {
    let mut response = match *request.method() {
        Method::OPTIONS => StatusCode::NO_CONTENT.into_response(),
        _ => next.run(request).await,
    };
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_HEADERS,
        HeaderValue::from_static("authorization, content-type, dpop, mcp-protocol-version"),
    );
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST"));
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("www-authenticate, dpop-nonce"));
    response
}

fn head(headers: &HeaderMap) -> Answer<Head> {
    let invalid = |text: &str| Refusal::new(ErrorCode::InvalidRequest, "head", text);
    let text = |value: &HeaderValue| {
        value.to_str().map(str::to_owned).map_err(|_| invalid("a header has characters it may not have"))
    };
    let mut authorization = headers.get_all(header::AUTHORIZATION).iter();
    let first = authorization.next().map(text).transpose()?;
    if authorization.next().is_some() {
        return Err(invalid("there is more than one `Authorization` header"));
    }
    let proofs = headers.get_all(DPOP).iter().map(text).collect::<Answer<_>>()?;
    Ok(Head { authorization: first, proofs })
}

/// The access token that a request shows, judged for an audience: for modules with endpoints of their own.
///
/// # Errors
/// There is none, it is not good, or not for this.
pub fn bearer(tenant: &Tenant, request: &Parts, audience: &str, env: &Env<'_>) -> Answer<Examined> {
    judged(tenant, (request.uri.path(), request.method.as_str()), &head(&request.headers)?, Some(audience), env)
}

/// As [`bearer`], for any of these audiences.
///
/// # Errors
/// There is none, it is not good, or not for one of these.
pub fn bearer_for(tenant: &Tenant, request: &Parts, audiences: &[String], env: &Env<'_>) -> Answer<Examined> {
    let place = (request.uri.path(), request.method.as_str());
    let examined = judged(tenant, place, &head(&request.headers)?, None, env)?;
    if !examined.audience.iter().any(|audience| audiences.contains(audience)) {
        let text = "this token is not for this audience";
        return Err(Refusal::new(ErrorCode::InvalidToken, "token.audience", text));
    }
    Ok(examined)
}

fn is(headers: &HeaderMap, media: &str) -> bool {
    let said = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    said.split(';').next().is_some_and(|said| said.trim().eq_ignore_ascii_case(media))
}

/// The parameters of a POST: a form, or JSON where that is allowed.
async fn form(request: Request, with_json: bool) -> Answer<Form> {
    let (parts, body) = request.into_parts();
    let refuse = |text: &str| Refusal::new(ErrorCode::InvalidRequest, "form.media", text);
    let json = is(&parts.headers, JSON);
    if !(is(&parts.headers, FORM) || (json && with_json)) {
        return Err(refuse("send the parameters as application/x-www-form-urlencoded"));
    }
    let bytes = read_body(body).await?;
    if json {
        return Form::from_json(&bytes);
    }
    Form::parse(std::str::from_utf8(&bytes).map_err(|_| refuse("the form is not in UTF-8"))?)
}

/// The parameters of a GET or a POST.
async fn parameters(request: Request) -> Answer<Form> {
    match *request.method() {
        Method::POST => form(request, false).await,
        _ => Form::parse(request.uri().query().unwrap_or_default()),
    }
}

/// A refusal to a client, and the challenge that belongs to it: 400 but for a client that has not shown who it is, or asks too
/// often (RFC 6749 5.2, RFC 9126 2.3, CIBA 11, RFC 6585 4), whatever status its code has elsewhere.
fn refused(refusal: Refusal, head: Option<&Head>) -> Response {
    let unknown = refusal.error == ErrorCode::InvalidClient;
    let challenge = unknown && head.is_some_and(|head| head.authorization.is_some());
    let mut response = refusal.into_response();
    let slow = response.status() == StatusCode::TOO_MANY_REQUESTS;
    if response.status().is_client_error() && !unknown && !slow {
        *response.status_mut() = StatusCode::BAD_REQUEST;
    }
    if challenge {
        let basic = HeaderValue::from_static("Basic realm=\"clients\", charset=\"UTF-8\"");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, basic);
    }
    response
}

/// Registers a client (RFC 7591 3), where the tenant lets anybody or the administrator whose token is shown.
async fn register(asked: Asked, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let metadata = read_body(body).await.and_then(|bytes| {
        let text = "the body is no JSON";
        serde_json::from_slice::<Value>(&bytes)
            .map_err(|_| Refusal::new(ErrorCode::InvalidClientMetadata, "registration.form", text))
    });
    let rules = move |tenant: &Tenant, env: &Env<'_>| {
        let by = match tenant.settings().registration.who {
            Registrants::Administrators => {
                let token = bearer(tenant, &parts, &tenant.url("/admin"), env)?;
                let refused = ["registration.scope_of_token", "registration.by"];
                Some(token.administrator(tenant, [CLIENTS_REGISTER; 2], refused)?)
            }
            Registrants::Nobody | Registrants::Anybody => None,
        };
        tenant.register_client(&metadata?, by.as_deref(), env)
    };
    match asked.run(rules).await {
        Ok(registered) => json_response(StatusCode::CREATED, &registered),
        Err(refusal) => challenged(refusal),
    }
}

/// Runs what a client asks for with a form, and shows the answer.
async fn with_form<T: Send + 'static>(
    asked: Asked,
    request: Request,
    with_json: bool,
    rules: impl FnOnce(&Tenant, &Head, &Form, &Env<'_>) -> Answer<T> + Send + 'static,
    show: impl FnOnce(T) -> Response,
) -> Response {
    let head = match head(request.headers()) {
        Ok(head) => head,
        Err(refusal) => return refused(refusal, None),
    };
    let given = match form(request, with_json).await {
        Ok(given) => given,
        Err(refusal) => return refused(refusal, Some(&head)),
    };
    let shown = head.clone();
    match asked.run(move |tenant, env| rules(tenant, &shown, &given, env)).await {
        Ok(answer) => show(answer),
        Err(refusal) => refused(refusal, Some(&head)),
    }
}

async fn token(State(oauth): State<OAuth>, asked: Asked, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let with_json = path == "/oauth/token";
    let rules = move |tenant: &Tenant, head: &Head, form: &Form, env: &Env<'_>| {
        let answer = oauth.token(tenant, &path, head, form, env)?;
        serde_json::to_value(answer).map_err(|error| Refusal::failed("token.form", error.to_string()))
    };
    let show = |answer: Value| json_response(StatusCode::OK, &answer);
    let mut response = with_form(asked, request, with_json, rules, show).await;
    // Whatever is refused here but the client itself is a 400 (RFC 6749 5.2).
    if response.status() == StatusCode::FORBIDDEN {
        *response.status_mut() = StatusCode::BAD_REQUEST;
    }
    response
}

async fn push(State(oauth): State<OAuth>, asked: Asked, request: Request) -> Response {
    let rules = move |tenant: &Tenant, head: &Head, form: &Form, env: &Env<'_>| oauth.push(tenant, head, form, env);
    with_form(asked, request, false, rules, |answer| json_response(StatusCode::CREATED, &answer)).await
}

async fn revoke(State(oauth): State<OAuth>, asked: Asked, request: Request) -> Response {
    let with_json = request.uri().path() == "/oauth/revoke";
    let rules = move |tenant: &Tenant, head: &Head, form: &Form, env: &Env<'_>| oauth.revoke(tenant, head, form, env);
    with_form(asked, request, with_json, rules, |()| StatusCode::OK.into_response()).await
}

async fn introspect(State(oauth): State<OAuth>, asked: Asked, request: Request) -> Response {
    const SIGNED: &str = "application/token-introspection+jwt";
    let accept = request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let signed = accept.split([',', ';']).any(|media| media.trim() == SIGNED);
    let rules = move |tenant: &Tenant, head: &Head, form: &Form, env: &Env<'_>| {
        let (caller, answer) = oauth.introspect(tenant, head, form, env)?;
        let token = signed.then(|| introspection_token(tenant, &caller, &answer, env)).transpose()?;
        Ok((answer, token))
    };
    let show = |(answer, token): (Value, Option<String>)| match token {
        Some(token) => ([(header::CONTENT_TYPE, HeaderValue::from_static(SIGNED))], token).into_response(),
        None => json_response(StatusCode::OK, &answer),
    };
    with_form(asked, request, false, rules, show).await
}

async fn use_detail(State(oauth): State<OAuth>, asked: Asked, request: Request) -> Response {
    let rules =
        move |tenant: &Tenant, head: &Head, form: &Form, env: &Env<'_>| oauth.use_detail(tenant, head, form, env);
    with_form(asked, request, false, rules, |answer| json_response(StatusCode::OK, &answer)).await
}

/// What others may keep for a while.
fn kept(answer: Answer<Value>) -> Response {
    let mut response = match answer {
        Ok(document) => json_response(StatusCode::OK, &document),
        Err(refusal) => return refusal.into_response(),
    };
    response.headers_mut().insert(header::CACHE_CONTROL, KEPT);
    response
}

async fn metadata(State(oauth): State<OAuth>, asked: Asked) -> Response {
    kept(asked.run(move |tenant, _| oauth.metadata(tenant)).await)
}

async fn jwks(asked: Asked) -> Response {
    kept(asked.run(|tenant, env| tenant.jwks(env)).await)
}

async fn info(asked: Asked, request: Request) -> Response {
    let method = request.method().as_str().to_owned();
    let head = head(request.headers());
    let answer = match head {
        Ok(head) => asked.run(move |tenant, env| userinfo(tenant, &method, &head, env)).await,
        Err(refusal) => Err(refusal),
    };
    answer.map_or_else(challenged, |claims| json_response(StatusCode::OK, &claims))
}

/// A refusal at a resource, with the challenge that belongs to it (RFC 6750 3, RFC 9449 7.1).
fn challenged(refusal: Refusal) -> Response {
    let unproved = refusal.error == ErrorCode::InvalidDpopProof;
    let challenge = challenge(&refusal).filter(|_| unproved || matches!(refusal.error.status(), 401 | 403));
    let mut response = refusal.into_response();
    if unproved {
        *response.status_mut() = StatusCode::UNAUTHORIZED;
    }
    if let Some(challenge) = challenge {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
    response
}

fn see_other(to: &str) -> Response {
    match HeaderValue::from_str(to) {
        Ok(to) => (StatusCode::SEE_OTHER, [(header::LOCATION, to)]).into_response(),
        Err(_) => Refusal::failed("redirect.form", "a URL that is no header").into_response(),
    }
}

/// A refusal to a person: plain text, because where the client is, is not known for sure.
fn told(refusal: &Refusal) -> Response {
    tracing::info!(rule = refusal.rule, cause = refusal.cause, "a sign-in was refused");
    let status = StatusCode::from_u16(refusal.error.status()).unwrap_or(StatusCode::BAD_REQUEST);
    let text = format!("This cannot go on: {}.\n", refusal.description);
    let text = (status, [(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"))], text);
    let mut response = text.into_response();
    if let Some(seconds) = refusal.retry_after_s {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

async fn authorize(State(oauth): State<OAuth>, asked: Asked, request: Request) -> Response {
    let form = match parameters(request).await {
        Ok(form) => form,
        Err(refusal) => return told(&refusal),
    };
    let taken = asked.run(move |tenant, env| Ok((oauth.authorize(tenant, &form, env), tenant.url("/login")))).await;
    match taken {
        Ok((Ok(id), login)) => see_other(&format!("{login}?request={id}")),
        Ok((Err(Refused::Redirect(to, refusal)), _)) => {
            tracing::info!(rule = refusal.rule, cause = refusal.cause, "an authorization request was refused");
            see_other(&to)
        }
        Ok((Err(Refused::Page(refusal)), _)) | Err(refusal) => told(&refusal),
    }
}

async fn end(asked: Asked, request: Request) -> Response {
    let form = match parameters(request).await {
        Ok(form) => form,
        Err(refusal) => return told(&refusal),
    };
    match asked.run(move |tenant, env| end_session(tenant, &form, env)).await {
        Ok(to) => see_other(&to),
        Err(refusal) => told(&refusal),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_refused_with_400_but_for_who_it_is() {
        for (error, status) in [
            (ErrorCode::AccessDenied, 400),
            (ErrorCode::InsufficientScope, 400),
            (ErrorCode::InvalidGrant, 400),
            (ErrorCode::InvalidClient, 401),
            (ErrorCode::TooManyRequests, 429),
            (ErrorCode::ServerError, 500),
            (ErrorCode::TemporarilyUnavailable, 503),
        ] {
            let response = refused(Refusal::new(error, "x", "x"), None);
            assert_eq!((response.status().as_u16(), response.headers().get(header::WWW_AUTHENTICATE)), (status, None));
        }
        let head = Head { authorization: Some("Basic x".into()), ..Head::default() };
        let response = refused(Refusal::new(ErrorCode::InvalidClient, "x", "x"), Some(&head));
        assert!(response.headers().contains_key(header::WWW_AUTHENTICATE));
    }
}
