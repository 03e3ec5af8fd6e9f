//! Somebody else's server: a token endpoint and an API that repeats what it was shown.

use super::*;
use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{any, post};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use parking_lot::Mutex;
use std::sync::atomic::AtomicBool;
use tokio::sync::{Notify, Semaphore};
use tokio_stream::StreamExt as _;

/// What the stub saw and does.
pub(super) struct Stub {
    pub(super) origin: String,
    inner: Arc<Seen>,
}

struct Seen {
    /// Forms that came to the token endpoint, with the header.
    tokens: Mutex<Vec<(String, Option<String>)>>,
    revoked: Mutex<Vec<String>>,
    /// Requests that came to the API: method, target, headers, body.
    calls: Mutex<Vec<(String, String, HeaderMap, Vec<u8>)>>,
    /// What the token endpoint answers: status and body; nothing for the next tokens.
    answer: Mutex<Option<(u16, Value)>>,
    /// Requests to the token endpoint that may be answered.
    open: Semaphore,
    /// Tokens that the API does not take.
    not_taken: Mutex<Vec<String>>,
    /// Whether calls of the API wait for ever.
    holds: AtomicBool,
    /// A call that waits, or a body without end, has begun, and was let go by who asked.
    came: Notify,
    left: Notify,
}

/// What has no end, until who asked lets it go.
struct Endless(Arc<Seen>);

impl Endless {
    fn new(seen: &Arc<Seen>) -> Endless {
        seen.came.notify_one();
        Endless(Arc::clone(seen))
    }
}

impl Drop for Endless {
    fn drop(&mut self) {
        self.0.left.notify_one();
    }
}

impl Stub {
    pub(super) async fn start() -> Stub {
        let seen = Arc::new(Seen {
            tokens: Mutex::default(),
            revoked: Mutex::default(),
            calls: Mutex::default(),
            answer: Mutex::default(),
            open: Semaphore::new(1_000),
            not_taken: Mutex::default(),
            holds: AtomicBool::new(false),
            came: Notify::new(),
            left: Notify::new(),
        });
        let routes = Router::new()
            .route("/token", post(token))
            .route("/revoke", post(revoke))
            .fallback(any(api))
            .with_state(Arc::clone(&seen));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Stub { origin, inner: seen }
    }

    pub(super) fn answers(&self, status: u16, body: Value) {
        *self.inner.answer.lock() = Some((status, body));
    }

    pub(super) fn answers_tokens(&self) {
        *self.inner.answer.lock() = None;
    }

    /// No request to the token endpoint is answered before as many are let through.
    pub(super) fn close(&self) {
        self.inner.open.forget_permits(usize::MAX);
    }

    pub(super) fn let_through(&self) {
        self.inner.open.add_permits(1_000);
    }

    /// The API takes these tokens no more.
    pub(super) fn takes_no_more(&self, tokens: &[String]) {
        *self.inner.not_taken.lock() = tokens.to_vec();
    }

    /// No call of the API is answered from now on.
    pub(super) fn holds(&self) {
        self.inner.holds.store(true, Ordering::SeqCst);
    }

    /// Waits for something without end to begin.
    pub(super) async fn came(&self) {
        self.inner.came.notified().await;
    }

    /// Waits until it is let go.
    pub(super) async fn left(&self) {
        self.inner.left.notified().await;
    }

    pub(super) fn tokens(&self) -> Vec<(String, Option<String>)> {
        self.inner.tokens.lock().clone()
    }

    pub(super) fn revoked(&self) -> Vec<String> {
        self.inner.revoked.lock().clone()
    }

    pub(super) fn calls(&self) -> Vec<(String, String, HeaderMap, Vec<u8>)> {
        std::mem::take(&mut *self.inner.calls.lock())
    }
}

async fn body_of(request: Request) -> Vec<u8> {
    axum::body::to_bytes(request.into_body(), 64 << 20).await.unwrap().to_vec()
}

async fn token(State(seen): State<Arc<Seen>>, request: Request) -> Response {
    let header = request.headers().get("authorization").map(|value| value.to_str().unwrap().to_owned());
    let form = String::from_utf8(body_of(request).await).unwrap();
    let count = {
        let mut tokens = seen.tokens.lock();
        tokens.push((form, header));
        tokens.len()
    };
    seen.open.acquire().await.unwrap().forget();
    let answer = seen.answer.lock().clone();
    let (status, body) = answer.unwrap_or_else(|| {
        let (access, refresh) = (format!("{ACCESS}-{count:04}"), format!("{REFRESH}-{count:04}"));
        let body = json!({"access_token": access, "refresh_token": refresh, "token_type": "bearer", "expires_in": "3600",
            "scope": "contacts.read"});
        (200, body)
    });
    (StatusCode::from_u16(status).unwrap(), body.to_string()).into_response()
}

async fn revoke(State(seen): State<Arc<Seen>>, request: Request) -> Response {
    let form = String::from_utf8(body_of(request).await).unwrap();
    seen.revoked.lock().push(form);
    "".into_response()
}

fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

/// Nothing comes after the first line.
fn one_line_and_no_end(endless: Endless) -> Response {
    let first = tokio_stream::once(Ok::<_, std::io::Error>("one line\n"));
    let never = tokio_stream::pending().map(move |()| {
        let _endless = &endless;
        Ok("")
    });
    Body::from_stream(first.chain(never)).into_response()
}

/// As much as is read.
fn flood(endless: Endless) -> Response {
    let chunk = vec![b'.'; 64 << 10];
    let all = tokio_stream::iter(std::iter::from_fn(move || {
        let _endless = &endless;
        Some(Ok::<_, std::io::Error>(chunk.clone()))
    }));
    Body::from_stream(all).into_response()
}

async fn api(State(seen): State<Arc<Seen>>, request: Request) -> Response {
    let (method, target) = (request.method().to_string(), request.uri().to_string());
    let (headers, path) = (request.headers().clone(), request.uri().path().to_owned());
    let query = request.uri().query().unwrap_or_default().to_owned();
    let body = body_of(request).await;
    let shown = headers.get("authorization").or_else(|| headers.get("x-api-key"));
    let shown = shown.map(|value| value.to_str().unwrap().to_owned()).unwrap_or(query);
    seen.calls.lock().push((method, target, headers, body));
    if seen.holds.load(Ordering::SeqCst) {
        let _endless = Endless::new(&seen);
        return std::future::pending().await;
    }
    let token = shown.rsplit([' ', '=']).next().unwrap_or_default().to_owned();
    // A token that ends with `=` is cut by the line before: take all behind the first blank.
    let token = shown.split_once(' ').map_or(token, |(_, token)| token.to_owned());
    if seen.not_taken.lock().contains(&token) {
        return (StatusCode::UNAUTHORIZED, [("www-authenticate", "Bearer")], "not this one").into_response();
    }
    match path.rsplit('/').next().unwrap_or_default() {
        "raw" => token.into_response(),
        "echo" => axum::Json(json!({"you": "sent", "authorization": shown})).into_response(),
        "encodings" => {
            let json = json!({ "a": token }).to_string();
            let all = [
                STANDARD.encode(&token),
                STANDARD.encode(format!("x{token}y")),
                URL_SAFE_NO_PAD.encode(format!("xx{token}")),
                hex(&token),
                hex(&token).to_uppercase(),
                token.bytes().map(|byte| format!("%{byte:02X}")).collect(),
                token.bytes().map(|byte| format!("\\u{byte:04x}")).collect(),
                token.replace('/', "\\/"),
                json!({ "b": json }).to_string(),
                STANDARD.encode(format!("user:{token}")),
            ];
            all.join("\n").into_response()
        }
        "drip" => {
            // One byte a chunk.
            let bytes: Vec<Result<Vec<u8>, std::io::Error>> = token.bytes().map(|byte| Ok(vec![byte])).collect();
            Body::from_stream(tokio_stream::iter(bytes)).into_response()
        }
        "endless" => one_line_and_no_end(Endless::new(&seen)),
        "flood" => flood(Endless::new(&seen)),
        "events" => {
            let (one, two) = token.split_at(token.len() / 2);
            let event =
                |text: &str| format!("data: {}\n\n", json!({"choices": [{"index": 0, "delta": {"content": text}}]}));
            let stream = [&event("The key is "), &event(one), &event(two), &event("."), "data: [DONE]\n\n"].concat();
            ([("content-type", "text/event-stream")], stream).into_response()
        }
        "headers" => {
            let headers = [
                ("set-cookie", token.clone()),
                ("x-debug", format!("used {token}")),
                ("location", format!("{}?t={token}", "/elsewhere")),
                ("www-authenticate", "Bearer".to_owned()),
            ];
            (headers, "see the headers").into_response()
        }
        "utf-16" => {
            let bytes: Vec<u8> = token.encode_utf16().flat_map(u16::to_be_bytes).collect();
            ([("content-type", "text/plain; charset=UTF-16BE")], bytes).into_response()
        }
        "gzip" => ([("content-encoding", "gzip")], "compressed").into_response(),
        "large" => vec![b'.'; 100_000].into_response(),
        "unauthorized" => (StatusCode::UNAUTHORIZED, [("www-authenticate", "Bearer")], "no").into_response(),
        "image" => ([("content-type", "image/png")], [b"\x89PNG AKIAIOSFODNN7ABCDEFG ", token.as_bytes()].concat())
            .into_response(),
        other => other.to_owned().into_response(),
    }
}
