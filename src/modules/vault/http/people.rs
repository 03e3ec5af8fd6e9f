//! The pages on which people connect accounts of theirs, and take them back.

use super::super::records::Holder;
use super::super::{Vault, connect, keys};
use crate::identity::{Answer, ErrorCode, Form, Refusal, Tenant};
use crate::wire::{Asked, json_response, read_body};
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse as _, Redirect, Response};

/// Who is signed in at the browser, or where to sign in.
async fn person(vault: &Vault, asked: &Asked, headers: &HeaderMap, back: String) -> Result<(String, String), Response> {
    let (signed_in, headers) = (vault.inner.signed_in.clone(), headers.clone());
    match asked.run(move |tenant, env| signed_in.signed_in(tenant, &headers, env)).await {
        Ok(Some(person)) => Ok(person),
        Ok(None) => Err(Redirect::to(&vault.inner.signed_in.sign_in_url(&asked.tenant, &back)).into_response()),
        Err(refusal) => Err(refusal.into_response()),
    }
}

/// Whether a request that changes something comes from a page of the issuer: browsers say so themselves, in one way or, over
/// http, in the other. Of a page without referrers the origin would be `null` (Fetch, 3.1), so that ours have one.
fn same_site(tenant: &Tenant, headers: &HeaderMap) -> Answer<()> {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let own = url::Url::parse(tenant.issuer()).map(|url| url.origin().ascii_serialization()).unwrap_or_default();
    match (text("sec-fetch-site"), text("origin")) {
        (Some("same-origin"), _) => return Ok(()),
        (None, Some(origin)) if origin == own => return Ok(()),
        _ => {}
    }
    let text = "this comes from another page than ours; open the page of the connection and try there";
    Err(Refusal::new(ErrorCode::AccessDenied, "connect.origin", text))
}

pub(super) async fn connections(State(vault): State<Vault>, asked: Asked, headers: HeaderMap) -> Response {
    let (user, _) = match person(&vault, &asked, &headers, "/connections".to_owned()).await {
        Ok(person) => person,
        Err(response) => return response,
    };
    let text = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let reads_pages = text.contains("text/html");
    match asked.run(move |tenant, _| connect::connections_of(tenant, &user)).await {
        Ok(found) if reads_pages => html(super::super::pages::connections(&found)),
        Ok(found) => json_response(StatusCode::OK, &serde_json::json!({ "connections": found })),
        Err(refusal) => refusal.into_response(),
    }
}

pub(super) async fn page(
    State(vault): State<Vault>,
    asked: Asked,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    let (user, _) = match person(&vault, &asked, &headers, format!("/connect/{id}")).await {
        Ok(person) => person,
        Err(response) => return response,
    };
    let shown = asked.run(move |tenant, _| {
        let connection = connect::for_people(tenant, &id)?;
        let own = super::super::records::credential(tenant, &id, &Holder::User(user))?;
        Ok(super::super::pages::connect(&connection, &connect::stands(&connection, own.as_ref())))
    });
    shown.await.map_or_else(Refusal::into_response, html)
}

/// The public keys of a connection, for its provider (RFC 7517 5). They are no secret, and nobody has to sign in.
pub(super) async fn jwks(asked: Asked, Path(id): Path<String>) -> Response {
    match asked.run(move |tenant, _| keys::published(tenant, &id)).await {
        Ok(set) => json_response(StatusCode::OK, &set),
        Err(refusal) => refusal.into_response(),
    }
}

fn html(text: String) -> Response {
    const POLICY: HeaderValue = HeaderValue::from_static(
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'",
    );
    const REFERRER: HeaderValue = HeaderValue::from_static("same-origin");
    ([(header::CONTENT_SECURITY_POLICY, POLICY), (header::REFERRER_POLICY, REFERRER)], Html(text)).into_response()
}

pub(super) async fn start(
    State(vault): State<Vault>,
    asked: Asked,
    Path(id): Path<String>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let (user, session) = match person(&vault, &asked, &parts.headers, format!("/connect/{id}")).await {
        Ok(person) => person,
        Err(response) => return response,
    };
    let begun = async {
        same_site(&asked.tenant, &parts.headers)?;
        let text = String::from_utf8(read_body(body).await?.to_vec());
        let text = text.map_err(|_| Refusal::new(ErrorCode::InvalidRequest, "body", "the form is no text"))?;
        let form = Form::parse(&text)?;
        asked
            .run(move |tenant, env| {
                let connection = connect::for_people(tenant, &id)?;
                if connection.spec.provider.token_url().is_some() {
                    return connect::begin(tenant, &id, (&user, &session), env);
                }
                let secret = connect::from_form(&connection, &form)?;
                let (holder, by) = (Holder::User(user.clone()), format!("user:{user}"));
                super::super::set_credential(tenant, &id, &holder, secret, &by, env)?;
                Ok(tenant.url(&format!("/connect/{id}")))
            })
            .await
    };
    begun.await.map_or_else(Refusal::into_response, |to: String| Redirect::to(&to).into_response())
}

pub(super) async fn callback(
    State(vault): State<Vault>,
    asked: Asked,
    Path(id): Path<String>,
    request: Request,
) -> Response {
    let (parts, _) = request.into_parts();
    let (user, session) = match person(&vault, &asked, &parts.headers, format!("/connect/{id}")).await {
        Ok(person) => person,
        Err(response) => return response,
    };
    let done = async {
        let form = Form::parse(parts.uri.query().unwrap_or_default())?;
        let of_call = id.clone();
        let called =
            asked.run(move |tenant, env| connect::called_back(tenant, &of_call, &form, (&user, &session), env));
        let (called, request) = called.await?;
        let (status, body) = vault.ask(&id, request).await?;
        asked.run(move |tenant, env| connect::connected(tenant, &called, (status, &body), env)).await?;
        Ok(asked.tenant.url(&format!("/connect/{id}")))
    };
    let done: Answer<String> = done.await;
    done.map_or_else(Refusal::into_response, |to| Redirect::to(&to).into_response())
}

pub(super) async fn disconnect(
    State(vault): State<Vault>,
    asked: Asked,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    let (user, _) = match person(&vault, &asked, &headers, format!("/connect/{id}")).await {
        Ok(person) => person,
        Err(response) => return response,
    };
    let done = async {
        same_site(&asked.tenant, &headers)?;
        let of_rules = id.clone();
        let removed = asked.run(move |tenant, env| {
            connect::removed(tenant, &of_rules, &Holder::User(user.clone()), &format!("user:{user}"), env)
        });
        if let Some(request) = removed.await? {
            vault.take_back(&id, request).await;
        }
        Ok(asked.tenant.url(&format!("/connect/{id}")))
    };
    let done: Answer<String> = done.await;
    done.map_or_else(Refusal::into_response, |to| Redirect::to(&to).into_response())
}
