//! What the endpoints of administration share: a request with what judges it, bodies of JSON, and refusals as clients of an API
//! see them.

use super::front::{Asked, body as read_body, json as json_response};
use crate::identity::{Answer, Env, ErrorCode, Examined, Refusal, Tenant};
use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// A request without its body, and what it takes to judge and answer it.
pub struct Call<S> {
    /// Whose, and what rules take from outside.
    pub asked: Asked,
    /// What the routes were made with.
    pub setup: S,
    /// The head of the request.
    pub head: Parts,
}

impl<S: Clone + Send + Sync> FromRequestParts<S> for Call<S> {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, setup: &S) -> Result<Call<S>, StatusCode> {
        let asked = Asked::from_request_parts(parts, setup).await?;
        Ok(Call { asked, setup: setup.clone(), head: parts.clone() })
    }
}

/// Who judges the access token that the head of a request shows: good now, for the administration of this tenant, and its key
/// proved when it is bound to one.
pub type Judge = fn(&Tenant, &Parts, &Env<'_>) -> Answer<Examined>;

impl<S> Call<S> {
    /// Does one call for an administrator of the tenant, and answers JSON; events of the call say who that is. The scopes are the
    /// one that reads, and the one that changes, and reads: the method says which it takes.
    pub async fn administer(
        self,
        judge: Judge,
        [read, write]: [&'static str; 2],
        call: impl FnOnce(&Tenant, &Env<'_>) -> Answer<Value> + Send + 'static,
    ) -> Response {
        self.administer_with(judge, [read, write], move |tenant, _, env| call(tenant, env)).await
    }

    /// The same, where it matters what else the token may do.
    pub async fn administer_with(
        self,
        judge: Judge,
        [read, write]: [&'static str; 2],
        call: impl FnOnce(&Tenant, &Examined, &Env<'_>) -> Answer<Value> + Send + 'static,
    ) -> Response {
        let Call { asked, head, .. } = self;
        let scopes = [if head.method.is_safe() { read } else { write }, write];
        let answer = asked.run(move |tenant, env| {
            let token = judge(tenant, &head, env)?;
            let by = token.administrator(tenant, scopes, ["admin.scope", "admin.not_allowed"])?;
            call(tenant, &token, &Env { by: Some(&by), ..*env })
        });
        match answer.await {
            Ok(value) => json_response(StatusCode::OK, &value),
            Err(refusal) => challenged(refusal, Some(scopes[0])),
        }
    }
}

/// A body of JSON in which nothing is secret: what is wrong with it is said with its place, and what stands there.
pub struct Json<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Response;

    async fn from_request(request: Request, _: &S) -> Result<Json<T>, Response> {
        let read = read_json(request.into_body(), |path, error| wrong_body("admin.body", path, error)).await;
        read.map(Json).map_err(|refusal| challenged(refusal, None))
    }
}

/// A body of JSON within the bounds. `wrong` says what is wrong with one that is not what it should be, by the path to the
/// place and the reader's error.
///
/// # Errors
/// It does not come, is too large, or is not what it should be.
pub async fn read_json<T: DeserializeOwned>(
    body: Body,
    wrong: impl FnOnce(&str, &serde_json::Error) -> Refusal,
) -> Answer<T> {
    let body = read_body(body).await?;
    let mut reader = serde_json::Deserializer::from_slice(&body);
    serde_path_to_error::deserialize(&mut reader).map_err(|error| wrong(&error.path().to_string(), error.inner()))
}

/// What is said of a body that is not what it should be, where nothing in it is secret: the place, and what stands there.
#[must_use]
pub fn wrong_body(rule: &'static str, path: &str, error: &serde_json::Error) -> Refusal {
    let text = format!("the body is not what it should be: at `{path}`: {error}");
    Refusal::new(ErrorCode::InvalidRequest, rule, text)
}

/// A refusal, and the challenge that belongs to it (RFC 6750 3), which names the scope that was missing where it is known.
#[must_use]
pub fn challenged(refusal: Refusal, scope: Option<&str>) -> Response {
    let challenge = if refusal.error == ErrorCode::InvalidToken {
        Some("Bearer error=\"invalid_token\"".to_owned())
    } else if refusal.error == ErrorCode::InsufficientScope {
        let scope = scope.map(|scope| format!(", scope=\"{scope}\"")).unwrap_or_default();
        Some(format!("Bearer error=\"insufficient_scope\"{scope}"))
    } else {
        None
    };
    let mut response = refusal.into_response();
    if let Some(value) = challenge.and_then(|challenge| HeaderValue::try_from(challenge).ok()) {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, value);
    }
    response
}
