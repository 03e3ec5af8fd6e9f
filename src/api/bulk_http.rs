//! Import, export and statistics over HTTP. Bodies stream; nothing of them is held beyond a few parts.

use super::bulk::{self, TURNS};
use super::rules;
use super::run::Api;
use crate::engine::{BulkFormat, ExportQuery, ImportQuery, ImportReport};
use crate::wire::{Code, Problem, now};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::ops::ControlFlow;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;

type Parameters = HashMap<String, String>;

/// The routes; limits on bodies do not apply to them.
pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/stores/{store}/import", post(import))
        .route("/stores/{store}/export", get(export))
        .route("/stats", get(stats))
}

/// Refuses a parameter that is not known: a misspelt one must not be taken for its default.
fn only(parameters: &Parameters, known: &[&str]) -> Result<(), Problem> {
    match parameters.keys().find(|name| !known.contains(&name.as_str())) {
        Some(name) => {
            let known = known.join(", ");
            Err(Problem::new(Code::Validation, format!("there is no parameter `{name}`; there are {known}")))
        }
        None => Ok(()),
    }
}

fn text<'a>(parameters: &'a Parameters, name: &str) -> &'a str {
    parameters.get(name).map_or("", String::as_str)
}

fn number<T: std::str::FromStr>(parameters: &Parameters, name: &str) -> Result<Option<T>, Problem> {
    let Some(given) = parameters.get(name) else { return Ok(None) };
    let refused = |_| Problem::new(Code::Validation, format!("{name} `{given}` is no number that fits"));
    given.parse().map(Some).map_err(refused)
}

fn flag(parameters: &Parameters, name: &str) -> Result<bool, Problem> {
    match text(parameters, name) {
        "" | "false" => Ok(false),
        "true" => Ok(true),
        given => Err(Problem::new(Code::Validation, format!("{name} is true or false, not `{given}`"))),
    }
}

fn import_query(store: &str, parameters: &Parameters) -> Result<ImportQuery, Problem> {
    let known = ["format", "on_error", "errors_max", "import_id", "restart", "chunk_lines", "authorization_model_id"];
    only(parameters, &known)?;
    let mut query = ImportQuery::new(rules::store_id("ImportRequest", store)?);
    query.model = rules::model_id("ImportRequest", text(parameters, "authorization_model_id"))?;
    query.format = bulk::format(text(parameters, "format"))?;
    query.on_bad_line = bulk::on_error(text(parameters, "on_error"))?;
    query.bad_lines_max = number(parameters, "errors_max")?;
    query.id = parameters.get("import_id").cloned();
    query.restart = flag(parameters, "restart")?;
    if let Some(lines) = number(parameters, "chunk_lines")? {
        query.chunk_lines = lines;
    }
    Ok(query)
}

fn report_json(api: &Api, report: &ImportReport) -> Value {
    let bad_lines: Vec<Value> =
        report.bad_lines.iter().map(|bad| json!({"line": bad.number, "message": bad.fault.to_string()})).collect();
    json!({
        "lines": report.progress.lines,
        "written": report.progress.written,
        "skipped": report.progress.skipped,
        "bad": report.progress.bad,
        "bad_lines": bad_lines,
        "resumed_after": report.resumed_after,
        "consistency_token": api.token(report.revision),
        "stopped": report.stopped.as_ref().map(ToString::to_string),
    })
}

async fn import(
    State(api): State<Api>,
    Path(store): Path<String>,
    Query(parameters): Query<Parameters>,
    body: Body,
) -> Response {
    let query = match import_query(&store, &parameters) {
        Ok(query) => query,
        Err(problem) => return problem.into_response(),
    };
    let _turn = TURNS.acquire().await;
    let (inlet, feed) = bulk::feed();
    let parts = body.into_data_stream().map(|part| part.map_err(|error| error.to_string()));
    let pump = tokio::spawn(bulk::pump(inlet, parts));
    let engine = api.engine().clone();
    let call = move || engine.import(&query, feed, &now, &mut |_| ControlFlow::Continue(()));
    let called = tokio::task::spawn_blocking(call).await;
    pump.abort(); // it has ended, or nobody reads what it brings
    match called {
        Err(_) => bulk::died().into_response(),
        Ok(Err(error)) => Problem::from(error).into_response(),
        Ok(Ok(report)) => answer(&api, &report),
    }
}

fn answer(api: &Api, report: &ImportReport) -> Response {
    let body = report_json(api, report);
    let (status, body) = match bulk::stopped(report) {
        None => (StatusCode::OK, body),
        Some(problem) => {
            let status = StatusCode::from_u16(problem.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            (status, json!({"code": problem.code.text(), "message": problem.message, "report": body}))
        }
    };
    let mut response = (status, body.to_string()).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    token(headers, &api.token(report.revision));
    response
}

fn token(headers: &mut HeaderMap, token: &str) {
    if let Ok(value) = HeaderValue::from_str(token) {
        headers.insert("bailiwick-consistency-token", value);
    }
}

fn export_query(store: &str, parameters: &Parameters) -> Result<ExportQuery, Problem> {
    only(parameters, &["format", "compression"])?;
    Ok(ExportQuery {
        store: rules::store_id("ExportRequest", store)?,
        format: bulk::format(text(parameters, "format"))?.unwrap_or(BulkFormat::JsonLines),
        compression: bulk::compression(text(parameters, "compression"))?,
    })
}

fn content_type(query: &ExportQuery) -> &'static str {
    use crate::engine::Compression;
    match (query.compression, query.format) {
        (Compression::Zstd, _) => "application/zstd",
        (Compression::Gzip, _) => "application/gzip",
        (Compression::None, BulkFormat::JsonLines) => "application/x-ndjson",
        (Compression::None, BulkFormat::Json) => "application/json",
        (Compression::None, BulkFormat::Csv) => "text/csv; charset=utf-8",
    }
}

async fn export(State(api): State<Api>, Path(store): Path<String>, Query(parameters): Query<Parameters>) -> Response {
    let query = match export_query(&store, &parameters) {
        Ok(query) => query,
        Err(problem) => return problem.into_response(),
    };
    let turn = TURNS.acquire().await;
    let (sink, behind, parts) = bulk::outlet(Ok::<Bytes, std::io::Error>);
    let (began, begins) = tokio::sync::oneshot::channel();
    let engine = api.engine().clone();
    let job = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        let called = engine.export(&query, |revision| {
            let _ = began.send(revision); // whoever asked may be gone: then the sink says so
            sink
        });
        // A body that breaks off, and does not just end, tells the client that something is missing.
        called.map(|_| ()).map_err(|error| {
            let _ = behind.blocking_send(Err(std::io::Error::other(error.to_string()))); // likewise
            Problem::from(error)
        })
    });
    let Ok(revision) = begins.await else {
        return match job.await {
            Ok(Err(problem)) => problem.into_response(),
            Ok(Ok(())) | Err(_) => bulk::died().into_response(),
        };
    };
    let mut response = Body::from_stream(ReceiverStream::new(parts)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type(&query)));
    token(headers, &api.token(revision));
    response
}

async fn stats(State(api): State<Api>) -> Response {
    let engine = api.engine().clone();
    let Ok(stats) = tokio::task::spawn_blocking(move || engine.stats()).await else {
        return bulk::died().into_response();
    };
    let stores: Vec<Value> = stats
        .stores
        .iter()
        .filter(|store| !store.id.is_system())
        .map(|store| {
            json!({
                "store_id": store.id.to_string(),
                "name": store.name,
                "tuples": store.tuples,
                "column_bytes": store.column_bytes,
                "name_bytes": store.name_bytes,
                "classes": store.classes,
                "models": store.models,
            })
        })
        .collect();
    let body = json!({
        "revision": stats.revision.0,
        "consistency_token": api.token(stats.revision),
        "stores": stores,
        "disk_bytes": stats.disk_bytes,
        "snapshots_retained": stats.snapshots_retained,
        "plans": stats.plans,
        "bytes_per_tuple": stats.bytes_per_tuple(),
        "snapshot_bytes": stats.snapshot_bytes,
        "write_buffer_bytes": stats.storage.write_buffers,
        "block_cache_bytes": stats.storage.block_cache,
        "table_reader_bytes": stats.storage.table_readers,
        "memory_bytes": stats.memory_bytes(),
    });
    let mut response = body.to_string().into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    token(response.headers_mut(), &api.token(stats.revision));
    response
}
