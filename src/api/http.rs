//! HTTP/JSON, served from the engine directly. Every route decodes, makes one call, encodes.

use super::calls::{Answer, Api, Asked};
use super::{grpc, json, proto as pb};
use crate::engine::Consistency;
use crate::wire::{Code, Problem, decode_revision, encode_revision, fresh_id};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use prost::Message;
use serde_json::{Value, json};
use std::collections::HashMap;

/// The largest body taken; JSON is wordier than the gRPC message of the same bound.
const BODY_BYTES_MAX: usize = 2 << 20;

/// The longest text of the framework's own that is passed on.
const REFUSAL_BYTES_MAX: usize = 4_096;

type Parameters = HashMap<String, String>;

fn respond(status: StatusCode, body: &Value) -> Response {
    let mut response = (status, body.to_string()).into_response();
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/json"));
    response
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut message = self.message.as_str();
        if let Some((_, last)) = message.rsplit_once("| caused by: ") {
            message = last;
        }
        let status = StatusCode::from_u16(self.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let code = if self.code == Code::InvalidArgument { field_code(message) } else { self.code.text() };
        respond(status, &json!({"code": code, "message": message}))
    }
}

/// The code of a broken field rule, by the field and the start of the reason.
fn field_code(message: &str) -> &'static str {
    let Some((field, reason)) = message.strip_prefix("invalid ").and_then(|m| m.split_once(": ")) else {
        return "validation_error";
    };
    let field = field.split_once('.').map_or(field, |(_, f)| f);
    let table: [(&str, &str, &str); 14] = [
        ("Assertions", "value must contain no more than", "assertions_too_many_items"),
        ("AuthorizationModelId", "value length must be at most", "authorization_model_id_too_long"),
        ("Base", "value is required", "difference_base_missing_value"),
        ("Subtract", "value is required", "subtract_base_missing_value"),
        ("Params", "value is required", "param_missing_value"),
        ("TupleKey", "value is required", "tuple_key_value_not_specified"),
        ("Id", "value length must be at most", "id_too_long"),
        ("Object", "value length must be at most", "object_too_long"),
        ("Relation", "value length must be at most", "relation_too_long"),
        ("PageSize", "value must be inside range", "page_size_invalid"),
        ("StoreId", "value length must be", "store_id_invalid_length"),
        ("TupleKeys", "value must contain between", "tuple_keys_too_many_or_too_few_items"),
        ("Type", "value does not match regex", "type_invalid_pattern"),
        ("TypeDefinitions", "value must contain at least", "type_definitions_too_few_items"),
    ];
    table.iter().find(|(f, r, _)| *f == field && reason.starts_with(r)).map_or("validation_error", |(.., code)| code)
}

fn asked(headers: &HeaderMap) -> Result<Asked<'static>, Problem> {
    let read = |name: &str| {
        let Some(token) = headers.get(name).and_then(|v| v.to_str().ok()) else { return Ok(None) };
        let known = decode_revision(token).map(Some);
        known.ok_or_else(|| Problem::new(Code::Validation, format!("{name} is no token of this server")))
    };
    let consistency = match (read("bailiwick-exactly")?, read("bailiwick-at-least")?) {
        (Some(revision), _) => Consistency::Exact(revision),
        (None, Some(revision)) => Consistency::AtLeast(revision),
        (None, None) => Consistency::Latest,
    };
    Ok(Asked { consistency, stop: None })
}

/// The body with what the path and the query string say beside it.
fn request<T: Message + Default>(name: &str, body: &[u8], beside: &[(&str, &str)]) -> Result<T, Problem> {
    let mut value = if body.iter().all(u8::is_ascii_whitespace) {
        json!({})
    } else {
        serde_json::from_slice(body).map_err(|error| {
            let text = if error.is_eof() { "malformed JSON".to_owned() } else { error.to_string() };
            Problem::new(Code::InvalidArgument, text)
        })?
    };
    let Some(map) = value.as_object_mut() else {
        return Err(Problem::new(Code::InvalidArgument, "syntax error: the body is not a JSON object"));
    };
    for (key, text) in beside {
        map.insert((*key).into(), if *key == "page_size" { number(text)? } else { Value::from(*text) });
    }
    json::from_json(name, &value)
}

fn number(text: &str) -> Result<Value, Problem> {
    let parsed: Result<i32, _> = text.parse();
    parsed.map(Value::from).map_err(|_| Problem::new(Code::InvalidArgument, format!("page_size `{text}` is no number")))
}

fn decorate<T>(answer: &Answer<T>, store: Option<&str>, response: &mut Response) {
    let mut set = |name: &'static str, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            response.headers_mut().insert(HeaderName::from_static(name), value);
        }
    };
    set("bailiwick-consistency-token", &encode_revision(answer.revision));
    if let Some(model) = answer.model {
        set("openfga-authorization-model-id", &model.to_string());
    }
    if let Some(store) = store {
        set("openfga-store-id", store);
    }
}

fn finish<T: Message>(name: &str, status: u16, called: Result<Answer<T>, Problem>, store: Option<&str>) -> Response {
    let made = called.and_then(|answer| {
        let body = if status == 204 { Value::Null } else { json::to_json(name, &answer.message)? };
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
        let mut response = if body.is_null() { status.into_response() } else { respond(status, &body) };
        decorate(&answer, store, &mut response);
        Ok(response)
    });
    made.unwrap_or_else(IntoResponse::into_response)
}

async fn blocking<T: Send + 'static>(
    call: impl FnOnce() -> Result<Answer<T>, Problem> + Send + 'static,
) -> Result<Answer<T>, Problem> {
    let joined = tokio::task::spawn_blocking(call).await;
    joined.unwrap_or_else(|_| Err(Problem::new(Code::Internal, "Internal Server Error")))
}

async fn check(State(api): State<Api>, Path(store): Path<String>, headers: HeaderMap, body: Bytes) -> Response {
    let made = request::<pb::CheckRequest>("CheckRequest", &body, &[("store_id", &store)])
        .and_then(|r| api.check(&r, &asked(&headers)?));
    finish("CheckResponse", 200, made, Some(&store))
}

macro_rules! questions {
    ($($name:ident $request:ident $response:ident;)*) => {
        $(async fn $name(State(api): State<Api>, Path(store): Path<String>, headers: HeaderMap, body: Bytes) -> Response {
            let path = store.clone();
            let made = blocking(move || {
                let r: pb::$request = request(stringify!($request), &body, &[("store_id", &path)])?;
                api.$name(&r, &asked(&headers)?)
            });
            finish(stringify!($response), 200, made.await, Some(&store))
        })*
    };
}

questions! {
    batch_check BatchCheckRequest BatchCheckResponse;
    list_objects ListObjectsRequest ListObjectsResponse;
    list_users ListUsersRequest ListUsersResponse;
    expand ExpandRequest ExpandResponse;
}

macro_rules! on_store {
    ($($name:ident $request:ident $response:ident $status:literal;)*) => {
        $(async fn $name(
            State(api): State<Api>,
            Path(store): Path<String>,
            Query(query): Query<Parameters>,
            body: Bytes,
        ) -> Response {
            let path = store.clone();
            let made = blocking(move || {
                let mut beside = parameters(&query);
                beside.push(("store_id", &path));
                let r: pb::$request = request(stringify!($request), &body, &beside)?;
                api.$name(&r)
            });
            finish(stringify!($response), $status, made.await, Some(&store))
        })*
    };
}

on_store! {
    read ReadRequest ReadResponse 200;
    write WriteRequest WriteResponse 200;
    read_changes ReadChangesRequest ReadChangesResponse 200;
    read_models ReadAuthorizationModelsRequest ReadAuthorizationModelsResponse 200;
    write_model WriteAuthorizationModelRequest WriteAuthorizationModelResponse 201;
    get_store GetStoreRequest GetStoreResponse 200;
    delete_store DeleteStoreRequest DeleteStoreResponse 204;
}

macro_rules! on_model {
    ($($name:ident $request:ident $response:ident $key:literal $status:literal;)*) => {
        $(async fn $name(State(api): State<Api>, Path((store, model)): Path<(String, String)>, body: Bytes) -> Response {
            let path = store.clone();
            let made = blocking(move || {
                let beside = [("store_id", path.as_str()), ($key, model.as_str())];
                let r: pb::$request = request(stringify!($request), &body, &beside)?;
                api.$name(&r)
            });
            finish(stringify!($response), $status, made.await, Some(&store))
        })*
    };
}

on_model! {
    read_model ReadAuthorizationModelRequest ReadAuthorizationModelResponse "id" 200;
    write_assertions WriteAssertionsRequest WriteAssertionsResponse "authorization_model_id" 204;
    read_assertions ReadAssertionsRequest ReadAssertionsResponse "authorization_model_id" 200;
}

/// Query parameters that OpenFGA knows; others are ignored.
fn parameters(query: &Parameters) -> Vec<(&str, &str)> {
    let known = ["page_size", "continuation_token", "type", "start_time", "name"];
    query.iter().filter(|(k, _)| known.contains(&k.as_str())).map(|(k, v)| (k.as_str(), v.as_str())).collect()
}

async fn create_store(State(api): State<Api>, body: Bytes) -> Response {
    let made = blocking(move || api.create_store(&request("CreateStoreRequest", &body, &[])?));
    finish("CreateStoreResponse", 201, made.await, None)
}

async fn list_stores(State(api): State<Api>, Query(query): Query<Parameters>) -> Response {
    let made = blocking(move || api.list_stores(&request("ListStoresRequest", b"", &parameters(&query))?));
    finish("ListStoresResponse", 200, made.await, None)
}

/// One JSON object a line.
async fn streamed(State(api): State<Api>, Path(store): Path<String>, headers: HeaderMap, body: Bytes) -> Response {
    let path = store.clone();
    let made = blocking(move || {
        let r = request("StreamedListObjectsRequest", &body, &[("store_id", &path)])?;
        api.list_objects(&grpc::as_list(r), &asked(&headers)?)
    });
    match made.await {
        Err(problem) => problem.into_response(),
        Ok(answer) => {
            let lines: Vec<String> =
                answer.message.objects.iter().map(|o| format!("{}\n", json!({"result": {"object": o}}))).collect();
            let mut response = lines.concat().into_response();
            response.headers_mut().insert("content-type", HeaderValue::from_static("application/json"));
            decorate(&answer, Some(&store), &mut response);
            response
        }
    }
}

async fn health() -> Response {
    respond(StatusCode::OK, &json!({"status": "SERVING"}))
}

async fn not_found() -> Response {
    Problem::new(Code::UndefinedEndpoint, "Not Found").into_response()
}

async fn wrong_method() -> Response {
    Problem::new(Code::Unimplemented, "Method Not Allowed").into_response()
}

/// What the framework refuses by itself (a path or query that is no text, a body that is too long) is said as all else is.
async fn refused(request: axum::extract::Request, next: axum::middleware::Next) -> Response {
    let response = next.run(request).await;
    let told =
        response.headers().get("content-type").is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
    if told || !response.status().is_client_error() {
        return response;
    }
    let status = response.status();
    let text = axum::body::to_bytes(response.into_body(), REFUSAL_BYTES_MAX).await.unwrap_or_default();
    respond(status, &json!({"code": Code::Validation.text(), "message": String::from_utf8_lossy(&text)}))
}

async fn request_id(request: axum::extract::Request, next: axum::middleware::Next) -> Response {
    let mut response = next.run(request).await;
    if let Ok(id) = HeaderValue::from_str(&fresh_id().to_string()) {
        response.headers_mut().insert("x-request-id", id);
    }
    response
}

/// All routes of the HTTP surface.
pub fn routes(api: Api) -> Router {
    Router::new()
        .route("/healthz", get(health))
        .route("/stores", post(create_store).get(list_stores))
        .route("/stores/{store}", get(get_store).delete(delete_store))
        .route("/stores/{store}/check", post(check))
        .route("/stores/{store}/batch-check", post(batch_check))
        .route("/stores/{store}/expand", post(expand))
        .route("/stores/{store}/list-objects", post(list_objects))
        .route("/stores/{store}/streamed-list-objects", post(streamed))
        .route("/stores/{store}/list-users", post(list_users))
        .route("/stores/{store}/read", post(read))
        .route("/stores/{store}/write", post(write))
        .route("/stores/{store}/changes", get(read_changes))
        .route("/stores/{store}/authorization-models", post(write_model).get(read_models))
        .route("/stores/{store}/authorization-models/{id}", get(read_model))
        .route("/stores/{store}/assertions/{id}", put(write_assertions).get(read_assertions))
        .merge(super::bulk_http::routes())
        .fallback(not_found)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(axum::middleware::from_fn(refused))
        .layer(axum::middleware::from_fn(request_id))
        .with_state(api)
}
