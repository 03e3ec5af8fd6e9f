//! HTTP/JSON, served from the engine directly. Every route decodes, makes one call, encodes.

use super::authn::PresharedKeys;
use super::authzen::{self, PolicyDecisionPoint};
use super::calls::{Called, Objects};
use super::cors::{Cors, is_preflight};
use super::fast::{self, FromJson};
use super::run::{Api, Call, Place, Reply};
use super::validate::Wire;
use super::{grpc, json, proto as pb};
use crate::wire::{Bounds, Code, Problem};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use http_body_util::{BodyExt as _, Limited};
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

/// Query parameters that are looked at; more are ignored like unknown ones.
const PARAMETERS_MAX: usize = 64;
/// Objects in one part of a streamed list.
const CHUNK: usize = grpc::CHUNK;

pub(super) fn respond(status: StatusCode, body: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

impl IntoResponse for &Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::json!({"code": self.text(), "message": self.short()});
        respond(status, body.to_string().into_bytes())
    }
}

pub(super) fn finish(
    api: &Api,
    status: StatusCode,
    reply: &Reply<Vec<u8>>,
    body: impl FnOnce() -> Vec<u8>,
) -> Response {
    let mut response = match &reply.result {
        Ok(_) if status == StatusCode::NO_CONTENT => status.into_response(),
        Ok(_) => respond(status, body()),
        Err(problem) => problem.into_response(),
    };
    reply.decorate(api, response.headers_mut());
    response
}

/// Runs a request whose answer is a body.
async fn answer<Q: Wire + prost::Message>(
    api: &Api,
    headers: &HeaderMap,
    status: StatusCode,
    request: Result<Q, Problem>,
    place: Place,
    call: Call<Q, Vec<u8>>,
) -> Response {
    let request = match request {
        Ok(request) => request,
        Err(problem) => return problem.into_response(),
    };
    let max = api.bounds().message_bytes_max;
    if request.encoded_len() > max {
        let text = format!("grpc: received message larger than max ({} vs. {max})", request.encoded_len());
        return Problem::new(Code::ResourceExhausted, text).into_response();
    }
    let mut reply = api.ask(headers, request, place, call).await;
    let body = reply.result.as_mut().map(|answer| std::mem::take(&mut answer.message)).unwrap_or_default();
    finish(api, status, &reply, || body)
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        (&self).into_response()
    }
}

/// Reads a request from its body, within the bound.
async fn read<Q: FromJson>(body: Body, bounds: &Bounds, store: String) -> Result<Q, Problem> {
    let mut request = Q::from_json(&collected(body, bounds.body_bytes_max).await?)?;
    request.set_store(store);
    Ok(request)
}

/// A body that has at most `max` bytes.
pub(super) async fn collected(body: Body, max: usize) -> Result<Bytes, Problem> {
    let collected = Limited::new(body, max).collect().await.map_err(|error| {
        if error.downcast_ref::<http_body_util::LengthLimitError>().is_some() {
            Problem::new(Code::ResourceExhausted, format!("the body is larger than {max} bytes; send less at a time"))
        } else {
            Problem::new(Code::InvalidArgument, "malformed JSON") // the client stopped in the middle
        }
    })?;
    Ok(collected.to_bytes())
}

/// An answer as JSON, by the general way.
fn printed<T: prost::Message>(name: &str, called: Called<T>) -> Called<Vec<u8>> {
    let answer = called?;
    let body = json::to_value(name, &answer.message)?.to_string().into_bytes();
    Ok(answer.map(|_| body))
}

/// An answer without a message.
fn empty<T>(called: Called<T>) -> Called<Vec<u8>> {
    Ok(called?.map(|_| b"{}".to_vec()))
}

/// The parameters behind the question mark.
struct Parameters(Vec<(String, String)>);

impl Parameters {
    fn of(head: &Parts) -> Parameters {
        let pairs = head.uri.query().unwrap_or_default().split('&').take(PARAMETERS_MAX);
        let pair = |text: &str| {
            let (name, value) = text.split_once('=').unwrap_or((text, ""));
            (unescaped(name), unescaped(value))
        };
        Parameters(pairs.map(pair).collect())
    }

    fn text(&self, name: &str) -> String {
        self.0.iter().rev().find(|(n, _)| n == name).map(|(_, value)| value.clone()).unwrap_or_default()
    }

    fn number(&self, name: &str) -> Result<Option<i32>, Problem> {
        let text = self.text(name);
        if text.is_empty() {
            return Ok(None);
        }
        let invalid = |error: std::num::ParseIntError| {
            use std::num::IntErrorKind::{NegOverflow, PosOverflow};
            let range = matches!(error.kind(), NegOverflow | PosOverflow);
            let why = if range { "value out of range" } else { "invalid syntax" };
            let text = format!("parsing field \"{name}\": strconv.ParseInt: parsing \"{text}\": {why}");
            Problem::new(Code::InvalidArgument, text)
        };
        text.parse().map(Some).map_err(invalid)
    }

    fn time(&self, name: &str) -> Result<Option<prost_types::Timestamp>, Problem> {
        let text = self.text(name);
        if text.is_empty() {
            return Ok(None);
        }
        let invalid = |_| {
            let text = format!("parsing field \"{name}\": `{text}` is no time as in 2026-01-31T12:00:00Z");
            Problem::new(Code::InvalidArgument, text)
        };
        text.parse().map(Some).map_err(invalid)
    }
}

/// A part of a query string: `+` is a blank, `%41` an A.
fn unescaped(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let digit = |b: Option<u8>| b.and_then(|b| char::from(b).to_digit(16));
        let mut ahead = bytes.clone();
        match (byte, digit(ahead.next()), digit(ahead.next())) {
            (b'%', Some(high), Some(low)) => {
                out.push(u8::try_from(high * 16 + low).unwrap_or(b'?'));
                bytes = ahead;
            }
            (b'+', ..) => out.push(b' '),
            (other, ..) => out.push(other),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn wrong_method() -> Response {
    Problem::new(Code::Unimplemented, "Method Not Allowed").into_response()
}

/// Where questions without a deadline of their own run.
const LONG: Place = Place::Questions(Duration::ZERO);

/// Routes that take a body: name, method, request, status, place, call.
macro_rules! bodies {
    ($($name:ident($method:ident, $request:ident) $status:ident, $place:expr, $call:expr;)*) => {
        $(async fn $name(api: &Api, store: String, request: Request) -> Response {
            let (parts, body) = request.into_parts();
            let read = read::<pb::$request>(body, api.bounds(), store).await;
            let place: fn(&Bounds) -> Place = $place;
            answer(api, &parts.headers, StatusCode::$status, read, place(api.bounds()), $call).await
        })*
    };
}

bodies! {
    check(POST, CheckRequest) OK, |_| Place::Here, |api, r, asked| Ok(api.check(r, asked)?.map(|m| fast::checked(&m)));
    batch_check(POST, BatchCheckRequest) OK, |_| LONG, |api, r, asked| {
        let answer = api.batch_check(r, asked)?;
        let body = fast::batch_checked(&answer.message)?;
        Ok(answer.map(|_| body))
    };
    list_objects(POST, ListObjectsRequest) OK, |b| Place::Questions(b.list_objects_deadline),
        |api, r, asked| Ok(api.list_objects(r, asked)?.map(|m| fast::listed(&m)));
    list_users(POST, ListUsersRequest) OK, |b| Place::Questions(b.list_users_deadline),
        |api, r, asked| printed("ListUsersResponse", api.list_users(r, asked));
    expand(POST, ExpandRequest) OK, |_| LONG, |api, r, asked| printed("ExpandResponse", api.expand(r, asked));
    read_tuples(POST, ReadRequest) OK, |_| LONG, |api, r, asked| printed("ReadResponse", api.read(r, asked));
    write(POST, WriteRequest) OK, |_| Place::Writes, |api, r, asked| empty(api.write(r, asked));
    write_model(POST, WriteAuthorizationModelRequest) CREATED, |_| Place::Writes,
        |api, r, asked| printed("WriteAuthorizationModelResponse", api.write_model(r, asked));
    create_store(POST, CreateStoreRequest) CREATED, |_| Place::Writes,
        |api, r, asked| printed("CreateStoreResponse", api.create_store(r, asked));
    update_store(PATCH, UpdateStoreRequest) OK, |_| Place::Here,
        |api, r, asked| printed("UpdateStoreResponse", api.update_store(r, asked));
}

/// Everything about one store, by what follows its id. Matching here spares a table of routes its wildcards.
async fn in_store(State(api): State<Api>, Path((store, rest)): Path<(String, String)>, request: Request) -> Response {
    let api = &api;
    let method = request.method().clone();
    let (name, id) = rest.split_once('/').map_or((rest.as_str(), None), |(name, id)| (name, Some(id.to_owned())));
    let known = match (name, id.is_some()) {
        ("check" | "batch-check" | "list-objects" | "streamed-list-objects" | "list-users" | "expand", false)
        | ("read" | "write" | "changes" | "authorization-models", false) => true,
        ("authorization-models" | "assertions", true) => !id.as_deref().unwrap_or_default().contains('/'),
        _ => false,
    };
    if !known {
        return not_found().await;
    }
    if method == Method::GET {
        let (head, _) = request.into_parts();
        return match (name, id) {
            ("authorization-models", None) => read_models(api, store, &head).await,
            ("authorization-models", Some(id)) => read_model(api, store, id, &head).await,
            ("assertions", Some(id)) => read_assertions(api, store, id, &head).await,
            ("changes", _) => read_changes(api, store, &head).await,
            _ => wrong_method(),
        };
    }
    match (name, method, id) {
        ("check", Method::POST, _) => check(api, store, request).await,
        ("batch-check", Method::POST, _) => batch_check(api, store, request).await,
        ("list-objects", Method::POST, _) => list_objects(api, store, request).await,
        ("streamed-list-objects", Method::POST, _) => streamed(api, store, request).await,
        ("list-users", Method::POST, _) => list_users(api, store, request).await,
        ("expand", Method::POST, _) => expand(api, store, request).await,
        ("read", Method::POST, _) => read_tuples(api, store, request).await,
        ("write", Method::POST, _) => write(api, store, request).await,
        ("authorization-models", Method::POST, None) => write_model(api, store, request).await,
        ("assertions", Method::PUT, Some(id)) => write_assertions(api, store, id, request).await,
        _ => wrong_method(),
    }
}

async fn read_models(api: &Api, store_id: String, head: &Parts) -> Response {
    let query = Parameters::of(head);
    let made = query.number("page_size").map(|page_size| pb::ReadAuthorizationModelsRequest {
        store_id,
        page_size,
        continuation_token: query.text("continuation_token"),
    });
    let call: Call<_, _> = |api, r, asked| printed("ReadAuthorizationModelsResponse", api.read_models(r, asked));
    answer(api, &head.headers, StatusCode::OK, made, LONG, call).await
}

async fn read_model(api: &Api, store_id: String, id: String, head: &Parts) -> Response {
    let made = Ok(pb::ReadAuthorizationModelRequest { store_id, id });
    let call: Call<_, _> = |api, r, asked| printed("ReadAuthorizationModelResponse", api.read_model(r, asked));
    answer(api, &head.headers, StatusCode::OK, made, LONG, call).await
}

async fn read_changes(api: &Api, store_id: String, head: &Parts) -> Response {
    let query = Parameters::of(head);
    let made = query.number("page_size").and_then(|page_size| {
        let start_time = query.time("start_time")?;
        let (r#type, continuation_token) = (query.text("type"), query.text("continuation_token"));
        Ok(pb::ReadChangesRequest { store_id, r#type, page_size, continuation_token, start_time })
    });
    let call: Call<_, _> = |api, r, asked| printed("ReadChangesResponse", api.read_changes(r, asked));
    answer(api, &head.headers, StatusCode::OK, made, LONG, call).await
}

async fn write_assertions(api: &Api, store: String, id: String, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let mut made = read::<pb::WriteAssertionsRequest>(body, api.bounds(), store).await;
    if let Ok(request) = &mut made {
        request.authorization_model_id = id;
    }
    let call: Call<_, _> = |api, r, asked| empty(api.write_assertions(r, asked));
    answer(api, &parts.headers, StatusCode::NO_CONTENT, made, Place::Writes, call).await
}

async fn read_assertions(api: &Api, store_id: String, id: String, head: &Parts) -> Response {
    let made = Ok(pb::ReadAssertionsRequest { store_id, authorization_model_id: id });
    let call: Call<_, _> = |api, r, asked| printed("ReadAssertionsResponse", api.read_assertions(r, asked));
    answer(api, &head.headers, StatusCode::OK, made, LONG, call).await
}

/// One JSON object a line, made as the client takes them.
async fn streamed(api: &Api, store: String, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let request = match read::<pb::StreamedListObjectsRequest>(body, api.bounds(), store).await {
        Ok(request) => request,
        Err(problem) => return problem.into_response(),
    };
    let place = Place::Questions(api.bounds().list_objects_deadline);
    let reply = api.ask(&parts.headers, request, place, grpc::streamed).await;
    let mut headers = HeaderMap::new();
    reply.decorate(api, &mut headers);
    let mut response = match reply.result {
        Ok(answer) => {
            let mut response = Response::new(Body::new(Lines { objects: answer.message, taken: 0 }));
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            response
        }
        Err(problem) => problem.into_response(),
    };
    response.headers_mut().extend(headers);
    response
}

/// The body of a streamed list.
struct Lines {
    objects: Objects,
    taken: usize,
}

impl http_body::Body for Lines {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
        if self.taken >= self.objects.len() {
            return Poll::Ready(None);
        }
        let lines = fast::lines(&self.objects, self.taken, CHUNK);
        self.taken += CHUNK;
        Poll::Ready(Some(Ok(http_body::Frame::data(lines.into()))))
    }
}

/// One store.
async fn store(State(api): State<Api>, Path(store_id): Path<String>, request: Request) -> Response {
    if request.method() == Method::PATCH {
        return update_store(&api, store_id, request).await;
    }
    let (head, _) = request.into_parts();
    if head.method == Method::GET {
        let call: Call<_, _> = |api, r, asked| printed("GetStoreResponse", api.get_store(r, asked));
        let made = Ok(pb::GetStoreRequest { store_id });
        answer(&api, &head.headers, StatusCode::OK, made, LONG, call).await
    } else if head.method == Method::DELETE {
        let call: Call<_, _> = |api, r, asked| empty(api.delete_store(r, asked));
        let made = Ok(pb::DeleteStoreRequest { store_id });
        answer(&api, &head.headers, StatusCode::NO_CONTENT, made, Place::Writes, call).await
    } else {
        wrong_method()
    }
}

/// All stores.
async fn stores(State(api): State<Api>, request: Request) -> Response {
    if request.method() == Method::POST {
        return create_store(&api, String::new(), request).await;
    }
    let (head, _) = request.into_parts();
    if head.method != Method::GET {
        return wrong_method();
    }
    let query = Parameters::of(&head);
    let made = query.number("page_size").map(|page_size| pb::ListStoresRequest {
        page_size,
        continuation_token: query.text("continuation_token"),
        name: query.text("name"),
    });
    let call: Call<_, _> = |api, r, asked| printed("ListStoresResponse", api.list_stores(r, asked));
    answer(&api, &head.headers, StatusCode::OK, made, LONG, call).await
}

/// Whether the server takes work: the database is open and caught up before the server listens, so only draining says no.
async fn ready(State(api): State<Api>, request: Request) -> Response {
    if request.method() != Method::GET {
        return wrong_method();
    }
    match api.draining() {
        false => respond(StatusCode::OK, br#"{"status":"SERVING"}"#.to_vec()),
        true => respond(StatusCode::SERVICE_UNAVAILABLE, br#"{"status":"NOT_SERVING"}"#.to_vec()),
    }
}

async fn not_found() -> Response {
    Problem::new(Code::UndefinedEndpoint, "Not Found").into_response()
}

/// The longest text of the framework's own that is passed on.
const REFUSAL_BYTES_MAX: usize = 4_096;

/// What the framework refuses by itself (a path or query that is no text) is said as all else is.
async fn refused(response: Response) -> Response {
    let status = response.status();
    if !status.is_client_error() || response.headers().contains_key("x-request-id") {
        return response;
    }
    let kind = response.headers().get(header::CONTENT_TYPE);
    if kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/json")) {
        return response;
    }
    let text = axum::body::to_bytes(response.into_body(), REFUSAL_BYTES_MAX).await.unwrap_or_default();
    let body = serde_json::json!({"code": Code::Validation.text(), "message": String::from_utf8_lossy(&text)});
    respond(status, body.to_string().into_bytes())
}

/// Answers browsers that ask beforehand, and lets web pages read the other answers.
async fn cross_origin(State(cors): State<Arc<Cors>>, request: Request, next: Next) -> Response {
    if is_preflight(request.method(), request.headers()) {
        let mut response = StatusCode::NO_CONTENT.into_response();
        response.headers_mut().extend(cors.preflight(request.headers()));
        return response;
    }
    let origin = request.headers().get(header::ORIGIN).cloned();
    let mut response = next.run(request).await;
    let asked = origin.map(|o| HeaderMap::from_iter([(header::ORIGIN, o)])).unwrap_or_default();
    cors.answer(&asked, response.headers_mut());
    response
}

/// Lets on whoever shows one of the keys. How the server is, and where AuthZEN's endpoints are, may be asked by all.
async fn known(State(keys): State<PresharedKeys>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let open = ["/healthz", "/readyz"].contains(&path) || authzen::is_discovery(path);
    match if open { Ok(()) } else { keys.check(request.headers()) } {
        Ok(()) => next.run(request).await,
        Err(problem) => {
            let mut response = problem.into_response();
            authzen::echo(path, request.headers(), response.headers_mut());
            response
        }
    }
}

/// All routes of the HTTP surface. With keys, one of them must be shown; with a public URL, AuthZEN's endpoints can be discovered.
pub fn routes(api: Api, cors: Cors, keys: Option<PresharedKeys>, point: Option<PolicyDecisionPoint>) -> Router {
    let routes = Router::new()
        .route("/healthz", any(ready))
        .route("/readyz", any(ready))
        .route("/stores", any(stores))
        .route("/stores/{store}", any(store))
        .route("/stores/{store}/{*rest}", any(in_store))
        .merge(super::bulk_http::routes())
        .merge(super::collections::routes())
        .merge(authzen::routes(point))
        .fallback(not_found)
        .method_not_allowed_fallback(|| async { wrong_method() })
        .layer(axum::middleware::map_response(refused));
    // Who asks for no key does not pay for asking.
    let routes = match keys {
        Some(keys) => routes.layer(axum::middleware::from_fn_with_state(keys, known)),
        None => routes,
    };
    routes.layer(axum::middleware::from_fn_with_state(Arc::new(cors), cross_origin)).with_state(api)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn query_strings() {
        assert_eq!(unescaped("a+b%20c%2"), "a b c%2");
        assert_eq!(unescaped("%zz%41%c3%a9"), "%zzA\u{e9}");
    }
}
