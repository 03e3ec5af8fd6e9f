//! Collections over HTTP/JSON. Every route names its request; reading it, and all else, is the same for all.

use super::{
    Asks, CreateCollection, DeleteChunks, DeleteCollection, Form, GetChunks, GetCollection, In, ListCollections,
    ScrollChunks, Search, Sent, WriteChunks, json, step,
};
use crate::api::http::{collected, finish};
use crate::api::run::{Api, StepCall};
use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};

/// The routes; they have a limit on bodies of their own.
pub(in crate::api) fn routes() -> Router<Api> {
    let collections = "/stores/{store}/collections";
    let collection = "/stores/{store}/collections/{collection}";
    let below = |rest: &str| format!("{collection}/{rest}");
    let created = async |api, of, request| ask::<CreateCollection>(api, of, request, StatusCode::CREATED).await;
    let gone = async |api, of, request| ask::<DeleteCollection>(api, of, request, StatusCode::NO_CONTENT).await;
    Router::new()
        .route(collections, get(ok::<ListCollections>).post(created))
        .route(collection, get(ok::<GetCollection>).delete(gone))
        .route(&below("chunks"), post(ok::<WriteChunks>))
        .route(&below("chunks/get"), post(ok::<GetChunks>))
        .route(&below("chunks/scroll"), post(ok::<ScrollChunks>))
        .route(&below("chunks/delete"), post(ok::<DeleteChunks>))
        .route(&below("search"), post(ok::<Search>))
}

async fn ok<R: Asks>(api: State<Api>, of: Path<In>, request: Request) -> Response {
    ask::<R>(api, of, request, StatusCode::OK).await
}

async fn ask<R: Asks>(State(api): State<Api>, Path(of): Path<In>, request: Request, status: StatusCode) -> Response {
    let (parts, body) = request.into_parts();
    let body = match collected(body, api.bounds().chunks_bytes_max).await {
        Ok(body) => body,
        Err(problem) => return problem.into_response(),
    };
    let call: StepCall<Sent<R>, Vec<u8>> = |api, sent, asked| {
        step(api, sent, asked, |answer| {
            let body = json::body(&answer.message)?;
            Ok(answer.map(|_| body))
        })
    };
    let mut reply = api.ask_in_steps(&parts.headers, Sent::new(of, Form::Json(body)), R::place(), call).await;
    let body = reply.result.as_mut().map(|answer| std::mem::take(&mut answer.message)).unwrap_or_default();
    finish(&api, status, &reply, || body)
}
