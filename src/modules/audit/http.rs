//! The log over HTTP: checkpoint, tiles and entries as C2SP tlog-tiles has them, events by query, and proofs; how long
//! events are kept and who witnesses; and legal holds.
//!
//! Who may read which log is for others to say ([`Access`]). Only what a signed checkpoint covers is served as tiles and
//! entries, so that nothing is published that could still be another.

mod holds;

use super::care::Care;
use super::explain::{About, Paths};
use super::note::hash_text;
use super::query::Filter;
use super::tree::{TILE_WIDTH, Tiles as _};
use super::{Audit, AuditError, By, Entry, Log, read_time, time_text};
use crate::identity::{EventKind, Outcome};
use crate::wire::{Pool, now};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Path, Query, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::io::Write as _;
use std::sync::Arc;

/// Events of a page when nobody says how many.
const PAGE_DEFAULT: usize = 100;
/// Seconds for which a full tile may be kept: it never changes.
const FULL_TILE: HeaderValue = HeaderValue::from_static("private, max-age=31536000, immutable");
const NOT_KEPT: HeaderValue = HeaderValue::from_static("no-store");
const BYTES: HeaderValue = HeaderValue::from_static("application/octet-stream");
/// Longest path of a tile: two levels of digits, groups of an index, and a width.
const TILE_PATH_BYTES_MAX: usize = 64;
/// Longest body of a request that changes how a log is cared for: each witness with an address and a key; or of a hold.
const CARE_BYTES_MAX: usize = 64 << 10;
const TILE: u64 = TILE_WIDTH as u64;

/// Why a request may not read a log. Its answer is the caller's own: status, challenge, body.
pub type Refusal = Box<Response>;

/// Who may read which log.
pub trait Access: Send + Sync {
    /// The tenant whose log a request may read; else the answer that refuses it. It must not block for long.
    ///
    /// # Errors
    /// The request may read no log.
    fn admit(&self, request: &Parts) -> Result<u32, Refusal>;

    /// The tenant for whose log a request may say how long events are kept, who witnesses and what is held, and who asks; else
    /// the answer that refuses it.
    ///
    /// # Errors
    /// The request may change no log.
    fn govern(&self, request: &Parts) -> Result<(u32, By), Refusal>;
}

/// What the routes need.
#[derive(Clone)]
struct Shared {
    audit: Audit,
    access: Arc<dyn Access>,
    paths: Arc<dyn Paths>,
    pool: Arc<Pool>,
}

/// The routes of a log, to be nested where a tenant's log is: `checkpoint`, `tile/…`, `events`, `events/{index}`, `explain`,
/// `consistency`, `settings`, `holds` and `holds/{id}`. Work that reads much, or writes, runs in `pool`. By which tuples a Check was allowed is asked
/// of `paths`.
pub fn routes(audit: Audit, access: Arc<dyn Access>, paths: Arc<dyn Paths>, pool: Arc<Pool>) -> Router {
    let shared = Shared { audit, access, paths, pool };
    let changes = Router::new()
        .route("/settings", put(set_care))
        .route("/holds/{id}", put(holds::put).delete(holds::release))
        .layer(DefaultBodyLimit::max(CARE_BYTES_MAX))
        .layer(axum::middleware::from_fn_with_state(shared.clone(), govern))
        .with_state(shared.clone());
    Router::new()
        .route("/checkpoint", get(checkpoint))
        .route("/tile/{*path}", get(tile))
        .route("/events", get(events))
        .route("/events/{index}", get(event))
        .route("/explain", get(explain))
        .route("/consistency", get(consistency))
        .route("/settings", get(care))
        .route("/holds", get(holds::list))
        .layer(axum::middleware::from_fn_with_state(shared.clone(), admit))
        .with_state(shared)
        .merge(changes)
}

/// The tenant that a request was admitted to.
#[derive(Clone, Copy)]
struct Tenant(u32);

async fn admit(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    match shared.access.admit(&parts) {
        Err(refusal) => *refusal,
        Ok(tenant) => {
            parts.extensions.insert(Tenant(tenant));
            next.run(Request::from_parts(parts, body)).await
        }
    }
}

async fn govern(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    match shared.access.govern(&parts) {
        Err(refusal) => *refusal,
        Ok((tenant, by)) => {
            parts.extensions.insert(Tenant(tenant));
            parts.extensions.insert(by);
            next.run(Request::from_parts(parts, body)).await
        }
    }
}

/// An answer without success.
struct Problem(StatusCode, String);

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let code = match self.0 {
            StatusCode::NOT_FOUND => "not_found",
            StatusCode::GONE => "dropped",
            StatusCode::BAD_REQUEST => "invalid_request",
            StatusCode::SERVICE_UNAVAILABLE => "temporarily_unavailable",
            _ => "internal_error",
        };
        answer(self.0, &json!({"code": code, "message": self.1}))
    }
}

impl From<AuditError> for Problem {
    fn from(error: AuditError) -> Problem {
        let status = match &error {
            AuditError::NoEvent { .. } | AuditError::NoCheckpoint => StatusCode::NOT_FOUND,
            AuditError::Refused(_) => StatusCode::BAD_REQUEST,
            AuditError::Contended => StatusCode::SERVICE_UNAVAILABLE,
            AuditError::Question(_)
            | AuditError::Write(_)
            | AuditError::Note(_)
            | AuditError::Damaged { .. }
            | AuditError::Changed { .. }
            | AuditError::Full(_)
            | AuditError::NoKey => {
                tracing::error!(%error, "the audit log");
                return Problem(StatusCode::INTERNAL_SERVER_ERROR, "the audit log cannot be read; see the log".into());
            }
        };
        Problem(status, error.to_string())
    }
}

fn answer(status: StatusCode, body: &Value) -> Response {
    let headers =
        [(header::CONTENT_TYPE, HeaderValue::from_static("application/json")), (header::CACHE_CONTROL, NOT_KEPT)];
    (status, headers, body.to_string()).into_response()
}

impl Shared {
    /// Does what reads much.
    async fn work<T: Send + 'static>(
        &self,
        tenant: Tenant,
        work: impl FnOnce(&Log) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let log = self.audit.log(tenant.0);
        let full = |_| Problem(StatusCode::SERVICE_UNAVAILABLE, "too many requests are waiting; try again".into());
        let answer = self.pool.run(move || work(&log)).map_err(full)?;
        let died = |_| Problem(StatusCode::INTERNAL_SERVER_ERROR, "the audit log cannot be read; see the log".into());
        answer.await.map_err(died)?
    }
}

async fn checkpoint(State(shared): State<Shared>, axum::Extension(tenant): axum::Extension<Tenant>) -> Response {
    let newest = shared.audit.log(tenant.0).checkpoint();
    match newest.and_then(|signed| signed.ok_or(AuditError::NoCheckpoint)) {
        Err(error) => Problem::from(error).into_response(),
        Ok(signed) => {
            let text = HeaderValue::from_static("text/plain; charset=utf-8");
            ([(header::CONTENT_TYPE, text), (header::CACHE_CONTROL, NOT_KEPT)], signed.note).into_response()
        }
    }
}

/// What a path below `tile/` names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Hashes { level: u8, index: u64, width: usize },
    Entries { index: u64, width: usize },
}

/// Reads `<L>/<N>[.p/<W>]` or `entries/<N>[.p/<W>]`, in their one form.
fn read_tile(path: &str) -> Option<Wanted> {
    if path.len() > TILE_PATH_BYTES_MAX {
        return None;
    }
    let (level, rest) = path.split_once('/')?;
    let (groups, width) = match rest.split_once(".p/") {
        None => (rest, TILE_WIDTH),
        Some((groups, width)) => {
            (groups, usize::try_from(super::note::number(width)?).ok().filter(|w| (1..TILE_WIDTH).contains(w))?)
        }
    };
    let mut index = 0_u64;
    let count = groups.split('/').count();
    for (at, group) in groups.split('/').enumerate() {
        let digits = if at + 1 < count { group.strip_prefix('x')? } else { group };
        if digits.len() != 3 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        index = index.checked_mul(1_000)?.checked_add(digits.parse().ok()?)?;
    }
    // `x000/001` is no other name of `001`.
    if super::tree::tile_path(level, index, width) != format!("tile/{path}") {
        return None;
    }
    Some(match level {
        "entries" => Wanted::Entries { index, width },
        level => {
            let level = super::note::number(level).and_then(|level| u8::try_from(level).ok())?;
            (level < 64).then_some(Wanted::Hashes { level, index, width })?
        }
    })
}

async fn tile(
    State(shared): State<Shared>,
    axum::Extension(tenant): axum::Extension<Tenant>,
    Path(path): Path<String>,
    headers: HeaderMap,
) -> Response {
    let Some(wanted) = read_tile(&path) else {
        let what = "this names no tile; it is tile/<L>/<N>[.p/<W>] or tile/entries/<N>[.p/<W>] (C2SP tlog-tiles)";
        return Problem(StatusCode::BAD_REQUEST, what.into()).into_response();
    };
    let zip = matches!(wanted, Wanted::Entries { .. }) && takes_gzip(&headers);
    match shared.work(tenant, move |log| Ok(serve_tile(log, wanted)?)).await {
        Err(problem) => problem.into_response(),
        Ok(Served::Nothing(what)) => Problem(StatusCode::NOT_FOUND, what.into()).into_response(),
        Ok(Served::Dropped) => {
            let what = "events of this bundle were dropped; their hashes are in the tile of level 0";
            Problem(StatusCode::GONE, what.into()).into_response()
        }
        Ok(Served::Bytes(bytes)) => {
            // What is dropped later must not stay with others; hashes may.
            let kept = if matches!(wanted, Wanted::Hashes { .. }) { FULL_TILE } else { NOT_KEPT };
            let mut response = Response::new(Body::empty());
            response.headers_mut().insert(header::CONTENT_TYPE, BYTES);
            response.headers_mut().insert(header::CACHE_CONTROL, kept);
            response.headers_mut().insert(header::VARY, HeaderValue::from_static("accept-encoding"));
            let zipped = if zip { gzip(&bytes) } else { None };
            if zipped.is_some() {
                response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            }
            *response.body_mut() = Body::from(zipped.unwrap_or(bytes));
            response
        }
    }
}

enum Served {
    Bytes(Vec<u8>),
    Nothing(&'static str),
    Dropped,
}

fn serve_tile(log: &Log, wanted: Wanted) -> Result<Served, AuditError> {
    let Some(signed) = log.checkpoint()? else { return Ok(Served::Nothing("no checkpoint is signed yet")) };
    let (level, index, width) = match wanted {
        Wanted::Hashes { level, index, width } => (level, index, width),
        Wanted::Entries { index, width } => (0, index, width),
    };
    let hashes = signed.size.checked_shr(u32::from(level) * super::tree::TILE_HEIGHT).unwrap_or(0);
    let end = index.checked_mul(TILE).and_then(|first| first.checked_add(width as u64));
    if end.is_none_or(|end| end > hashes) {
        return Ok(Served::Nothing("the newest checkpoint has no such tile, or not as many hashes in it"));
    }
    match wanted {
        Wanted::Hashes { .. } => Ok(Served::Bytes(log.records.tile(level, index, width)?.concat())),
        Wanted::Entries { .. } => {
            let mut reader = log.reader();
            let mut bundle = Vec::new();
            for at in index * TILE..index * TILE + width as u64 {
                let Entry { place, bytes, .. } = reader.entry(at)?;
                let Some(bytes) = bytes else { return Ok(Served::Dropped) };
                let place = place.leaf_bytes();
                let length = u16::try_from(place.len() + bytes.len()).ok();
                let length = length.ok_or_else(|| log.changed(at, "longer than events are"))?;
                bundle.extend_from_slice(&length.to_be_bytes());
                bundle.extend_from_slice(&place);
                bundle.extend_from_slice(&bytes);
            }
            Ok(Served::Bytes(bundle))
        }
    }
}

fn takes_gzip(headers: &HeaderMap) -> bool {
    let accepted = headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or("");
    accepted.split(',').any(|one| {
        let mut parts = one.split(';').map(str::trim);
        let refused = |part: &str| part.strip_prefix("q=").is_some_and(|weight| weight.parse() == Ok(0.0_f32));
        parts.next() == Some("gzip") && !parts.any(refused)
    })
}

fn gzip(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).ok()?;
    encoder.finish().ok()
}

/// The parameters of a query.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Parameters {
    kind: Option<String>,
    outcome: Option<String>,
    user: Option<String>,
    agent: Option<String>,
    resource: Option<String>,
    trace: Option<String>,
    from: Option<String>,
    to: Option<String>,
    page_size: Option<usize>,
    page_token: Option<String>,
}

impl Parameters {
    fn filter(&self) -> Result<Filter, Problem> {
        let refused = |what: String| Problem(StatusCode::BAD_REQUEST, what);
        let kind = |name: &String| EventKind::of(name).ok_or_else(|| refused(format!("there is no kind `{name}`")));
        let outcome = |name: &String| {
            let known = [Outcome::Done, Outcome::Allowed, Outcome::Refused, Outcome::Failed];
            let found = known.into_iter().find(|outcome| outcome.name() == name);
            found.ok_or_else(|| refused(format!("outcome is done, allowed, refused or failed, not `{name}`")))
        };
        let time = |text: &String| {
            read_time(text).ok_or_else(|| refused(format!("`{text}` is no moment, as 2026-01-31T12:00:00Z")))
        };
        Ok(Filter {
            kind: self.kind.as_ref().map(kind).transpose()?,
            outcome: self.outcome.as_ref().map(outcome).transpose()?,
            user: self.user.clone(),
            agent: self.agent.clone(),
            resource: self.resource.clone(),
            trace: self.trace.clone(),
            from: self.from.as_ref().map(time).transpose()?,
            to: self.to.as_ref().map(time).transpose()?,
        })
    }
}

async fn events(
    State(shared): State<Shared>,
    axum::Extension(tenant): axum::Extension<Tenant>,
    parameters: Result<Query<Parameters>, axum::extract::rejection::QueryRejection>,
) -> Response {
    let parameters = match parameters {
        Ok(Query(parameters)) => parameters,
        Err(error) => return Problem(StatusCode::BAD_REQUEST, error.body_text()).into_response(),
    };
    let filter = match parameters.filter() {
        Ok(filter) => filter,
        Err(problem) => return problem.into_response(),
    };
    let size = parameters.page_size.unwrap_or(PAGE_DEFAULT);
    let page = shared.work(tenant, move |log| Ok(log.query(&filter, size, parameters.page_token.as_deref())?)).await;
    match page {
        Err(problem) => problem.into_response(),
        Ok(page) => {
            let events: Vec<Value> = page.entries.iter().map(shown).collect();
            answer(StatusCode::OK, &json!({"events": events, "next_page_token": page.next}))
        }
    }
}

/// An event as JSON, with its number and place.
#[must_use]
pub fn shown(entry: &Entry) -> Value {
    let event: Option<Value> = match entry.event() {
        Some(Ok(_)) => entry.bytes.as_deref().and_then(|bytes| serde_json::from_slice(bytes).ok()),
        Some(Err(_)) | None => None,
    };
    json!({
        "index": entry.index,
        "place": {"revision": entry.place.revision, "number": entry.place.number},
        "dropped": entry.bytes.is_none(),
        "event": event,
    })
}

async fn event(
    State(shared): State<Shared>,
    axum::Extension(tenant): axum::Extension<Tenant>,
    Path(index): Path<u64>,
) -> Response {
    let proved = shared.work(tenant, move |log| Ok(proved(log, index)?)).await;
    proved.map_or_else(IntoResponse::into_response, |body| {
        let headers: [(HeaderName, HeaderValue); 2] =
            [(header::CONTENT_TYPE, HeaderValue::from_static("application/json")), (header::CACHE_CONTROL, NOT_KEPT)];
        (headers, body).into_response()
    })
}

/// An event with what proves it: its bytes as they were hashed, its leaf, the newest checkpoint and the proof to it. The
/// proof is empty and the checkpoint null when none covers it yet.
///
/// # Errors
/// There is no such event, or it is not what the tree took.
pub fn proved(log: &Log, index: u64) -> Result<String, AuditError> {
    let entry = log.entry(index)?;
    let signed = log.checkpoint()?.filter(|signed| signed.size > index);
    let leaf = super::tree::leaf(&log.records, index, log.size()?)?;
    let proof = match &signed {
        Some(signed) => log.inclusion(index, signed.size)?,
        None => Vec::new(),
    };
    let raw: Option<Box<RawValue>> = match entry.event() {
        Some(Ok(_)) => entry.bytes.as_deref().and_then(|bytes| serde_json::from_slice(bytes).ok()),
        Some(Err(_)) | None => None,
    };
    let event = raw.as_deref().map_or("null", RawValue::get);
    let rest = json!({
        "index": index,
        "place": {"revision": entry.place.revision, "number": entry.place.number},
        "dropped": entry.bytes.is_none(),
        "leaf": hash_text(&leaf),
        "proof": proof.iter().map(hash_text).collect::<Vec<_>>(),
        "checkpoint": signed.as_ref().map(|signed| signed.note.as_str()),
        "signed_at": signed.as_ref().map(|signed| time_text(signed.at)),
    });
    let rest = rest.to_string();
    Ok(format!("{{\"event\":{event},{}", rest.strip_prefix('{').unwrap_or("}")))
}

/// What is to be explained: one of these.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Explaining {
    trace: Option<String>,
    token: Option<String>,
    approval: Option<String>,
    event: Option<u64>,
}

impl Explaining {
    fn about(self) -> Option<About> {
        match self {
            Explaining { trace: Some(id), token: None, approval: None, event: None } => Some(About::Trace(id)),
            Explaining { trace: None, token: Some(id), approval: None, event: None } => Some(About::Token(id)),
            Explaining { trace: None, token: None, approval: Some(id), event: None } => Some(About::Approval(id)),
            Explaining { trace: None, token: None, approval: None, event: Some(number) } => Some(About::Event(number)),
            _ => None,
        }
    }
}

async fn explain(
    State(shared): State<Shared>,
    axum::Extension(tenant): axum::Extension<Tenant>,
    wanted: Result<Query<Explaining>, axum::extract::rejection::QueryRejection>,
) -> Response {
    let about = match wanted {
        Ok(Query(wanted)) => wanted.about(),
        Err(error) => return Problem(StatusCode::BAD_REQUEST, error.body_text()).into_response(),
    };
    let Some(about) = about else {
        let what = "say one of `trace`, `token` (its `jti`), `approval` and `event`";
        return Problem(StatusCode::BAD_REQUEST, what.into()).into_response();
    };
    let paths = Arc::clone(&shared.paths);
    let explained = shared.work(tenant, move |log| {
        let explained = log.explain(&about, &*paths)?;
        if explained.steps.is_empty() {
            return Err(Problem(StatusCode::NOT_FOUND, "the log has nothing of that".into()));
        }
        Ok(explained.json())
    });
    match explained.await {
        Err(problem) => problem.into_response(),
        Ok(body) => answer(StatusCode::OK, &body),
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sizes {
    old: u64,
    size: Option<u64>,
}

async fn consistency(
    State(shared): State<Shared>,
    axum::Extension(tenant): axum::Extension<Tenant>,
    sizes: Result<Query<Sizes>, axum::extract::rejection::QueryRejection>,
) -> Response {
    let Sizes { old, size } = match sizes {
        Ok(Query(sizes)) => sizes,
        Err(error) => return Problem(StatusCode::BAD_REQUEST, error.body_text()).into_response(),
    };
    let proof = shared.work(tenant, move |log| {
        let newest = log.checkpoint()?.ok_or(AuditError::NoCheckpoint)?.size;
        let size = size.unwrap_or(newest);
        let proof = log.consistency(old, size)?;
        Ok(json!({"old": old, "size": size, "proof": proof.iter().map(hash_text).collect::<Vec<_>>()}))
    });
    match proof.await {
        Err(problem) => problem.into_response(),
        Ok(body) => answer(StatusCode::OK, &body),
    }
}

fn care_answer(care: Result<Care, Problem>) -> Response {
    care.map_or_else(IntoResponse::into_response, |care| answer(StatusCode::OK, &json!(care)))
}

async fn care(State(shared): State<Shared>, axum::Extension(tenant): axum::Extension<Tenant>) -> Response {
    care_answer(shared.work(tenant, |log| Ok(log.care()?)).await)
}

async fn set_care(
    State(shared): State<Shared>,
    axum::Extension(tenant): axum::Extension<Tenant>,
    axum::Extension(by): axum::Extension<By>,
    body: Bytes,
) -> Response {
    let wanted: Care = match serde_json::from_slice(&body) {
        Ok(wanted) => wanted,
        Err(error) => return Problem(StatusCode::BAD_REQUEST, error.to_string()).into_response(),
    };
    let set = move |log: &Log| Ok(log.set_care(|care| care.clone_from(&wanted), &by, now())?);
    care_answer(shared.work(tenant, set).await)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_have_one_name() {
        let hashes = |level, index, width| Some(Wanted::Hashes { level, index, width });
        assert_eq!(read_tile("0/000"), hashes(0, 0, 256));
        assert_eq!(read_tile("1/x001/x234/067.p/8"), hashes(1, 1_234_067, 8));
        assert_eq!(read_tile("entries/x001/000.p/255"), Some(Wanted::Entries { index: 1_000, width: 255 }));
        let long = format!("0/{}000", "x001/".repeat(20));
        for wrong in [
            "",
            "0",
            "0/0",
            "0/00",
            "0/0000",
            "0/x000/001",
            "0/001/002",
            "0/x001",
            "00/000",
            "64/000",
            "-1/000",
            "+1/000",
            "0/000.p/0",
            "0/000.p/256",
            "0/000.p/01",
            "0/000.p/",
            "0/000.p/8/9",
            "data/000",
            "0/00a",
            "0//000",
            &long,
        ] {
            assert_eq!(read_tile(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn gzip_is_given_to_who_takes_it() {
        let takes = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, text.parse().unwrap());
            takes_gzip(&headers)
        };
        assert!(takes("gzip") && takes("br, gzip;q=0.5"));
        assert!(!takes("br") && !takes("gzip;q=0") && !takes("identity"));
    }
}
