//! The routes. Bodies are JSON, an answer is 200 whatever was decided, and every answer names its request as the request named
//! itself (AuthZEN 1.0, section 10.1).

use super::entity::Parts;
use super::evaluate::Batch;
use super::metadata::PolicyDecisionPoint;
use super::search::{ActionSearch, ResourceSearch, SubjectSearch};
use super::{Asks, Sent};
use crate::api::fast::Object;
use crate::api::http::{collected, finish, respond};
use crate::api::rules;
use crate::api::run::{Api, Call, MODEL, Place, REQUEST_ID};
use crate::wire::{Bounds, Code, Problem};
use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use std::time::Duration;

/// Where clients look for the document of a policy decision point.
const WELL_KNOWN: &str = "/.well-known/authzen-configuration";
/// How long a document may be kept.
const DOCUMENT_AGE: &str = "max-age=300";

/// Routes of questions: name, body, place, call.
macro_rules! questions {
    ($($name:ident($body:ident) $place:expr, $call:ident;)*) => {
        $(async fn $name(State(api): State<Api>, Path(store): Path<String>, request: Request) -> Response {
            let place: fn(&Bounds) -> Place = $place;
            let call: Call<Sent<$body>, Vec<u8>> = |api, sent, asked| api.$call(sent, asked);
            ask(&api, store, request, place(api.bounds()), call).await
        })*
    };
}

questions! {
    evaluation(Parts) |_| Place::Here, evaluation;
    evaluations(Batch) |_| Place::Questions(Duration::ZERO), evaluations;
    subjects(SubjectSearch) |b| Place::Questions(b.list_users_deadline), search_subjects;
    resources(ResourceSearch) |b| Place::Questions(b.list_objects_deadline), search_resources;
    actions(ActionSearch) |_| Place::Questions(Duration::ZERO), search_actions;
}

/// The routes; documents are served where the server's public URL is known.
pub(in crate::api) fn routes(point: Option<PolicyDecisionPoint>) -> Router<Api> {
    let at = |rest: &str| format!("/stores/{{store}}/access/v1/{rest}");
    let document = move |Path(rest): Path<String>, request: Request| {
        let answer = documented(point.as_ref(), &rest);
        async move { named(request.headers(), answer) }
    };
    Router::new()
        .route(&at("evaluation"), post(evaluation))
        .route(&at("evaluations"), post(evaluations))
        .route(&at("search/subject"), post(subjects))
        .route(&at("search/resource"), post(resources))
        .route(&at("search/action"), post(actions))
        .route(&format!("{WELL_KNOWN}/{{*rest}}"), get(document.clone()))
        .route(&format!("/stores/{{store}}{WELL_KNOWN}"), get(document))
}

/// Whether a path is of a document, which is shown to whoever asks: it says nothing of what is in the database.
pub(in crate::api) fn is_discovery(path: &str) -> bool {
    let of_store = || path.strip_prefix("/stores/")?.strip_suffix(WELL_KNOWN);
    path.strip_prefix(WELL_KNOWN).is_some_and(|rest| rest.starts_with('/'))
        || of_store().is_some_and(|store| !store.contains('/'))
}

/// Gives an answer the identifier that its request has, if it is one of this API.
pub(in crate::api) fn echo(path: &str, request: &HeaderMap, answer: &mut HeaderMap) {
    if let Some(id) = request.get(&REQUEST_ID).filter(|_| path.contains("/access/v1/")) {
        answer.insert(REQUEST_ID, id.clone());
    }
}

fn named(request: &HeaderMap, mut answer: Response) -> Response {
    if let Some(id) = request.get(&REQUEST_ID) {
        answer.headers_mut().insert(REQUEST_ID, id.clone());
    }
    answer
}

/// Answers a question.
async fn ask<B: Asks>(
    api: &Api,
    store: String,
    request: Request,
    place: Place,
    call: Call<Sent<B>, Vec<u8>>,
) -> Response {
    let (head, body) = request.into_parts();
    let sent = async {
        is_json(&head.headers)?;
        let model = match head.headers.get(&MODEL) {
            None => String::new(),
            // What is no text is no id either.
            Some(value) => value.to_str().unwrap_or("?").to_owned(),
        };
        let body = collected(body, api.bounds().body_bytes_max).await?;
        Ok::<_, Problem>(Sent { store, model, body: read(&body)? })
    };
    let sent = match sent.await {
        Ok(sent) => sent,
        Err(problem) => return named(&head.headers, problem.into_response()),
    };
    let mut reply = api.ask(&head.headers, sent, place, call).await;
    let body = reply.result.as_mut().map(|answer| std::mem::take(&mut answer.message)).unwrap_or_default();
    named(&head.headers, finish(api, StatusCode::OK, &reply, || body))
}

/// Refuses a body that does not say that it is JSON, as web pages of others can send one.
fn is_json(headers: &HeaderMap) -> Result<(), Problem> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if kind.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    Err(Problem::new(Code::Validation, "the header `Content-Type` must be `application/json`"))
}

fn read<B: Asks>(body: &[u8]) -> Result<B, Problem> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Err(Problem::new(Code::Validation, "the body is empty; send a JSON object"));
    }
    let Object(body) = serde_json::from_slice::<Object<B>>(body)
        .map_err(|error| Problem::new(Code::Validation, format!("the body cannot be read: {error}")))?;
    Ok(body)
}

/// The document of a store.
fn documented(point: Option<&PolicyDecisionPoint>, rest: &str) -> Response {
    let Some(point) = point else {
        let text = "no metadata is published here; set `authzen-base-url` to the URL by which others reach this server";
        return Problem::new(Code::UndefinedEndpoint, text).into_response();
    };
    let Some(store) = point.store_of(rest) else {
        let text = format!("there is no policy decision point `{rest}`; each store is one, as `stores/ID`");
        return Problem::new(Code::UndefinedEndpoint, text).into_response();
    };
    if let Err(problem) = rules::ulid(("GetConfigurationRequest", "StoreId"), store) {
        return problem.into_response();
    }
    let mut response = respond(StatusCode::OK, point.document(store).to_string().into_bytes());
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static(DOCUMENT_AGE));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_documents_are_shown_to_whoever_asks() {
        for path in [
            "/.well-known/authzen-configuration/S",
            "/.well-known/authzen-configuration/stores/S",
            "/stores/S/.well-known/authzen-configuration",
        ] {
            assert!(is_discovery(path), "{path}");
        }
        for path in [
            "/stores/S/access/v1/evaluation",
            "/stores/S/check/.well-known/authzen-configuration",
            "/stores/S/.well-known/authzen-configuration/x",
            "/.well-known/authzen-configurations",
            "/.well-known/authzen-configuration",
            "/stores",
        ] {
            assert!(!is_discovery(path), "{path}");
        }
    }
}
