//! The applications around the story: each a small server of its own on this machine, which knows nothing of the others and
//! believes nobody without a token. They stand for Google, a CRM, and so on; what is shown is not in them.

pub(super) mod apis;
pub(super) mod mcp;
pub(super) mod portal;
pub(super) mod prices;
pub(super) mod provider;
pub(super) mod push;
pub(super) mod start;

use crate::cli::Failure;
use axum::Router;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// Most requests that a stub remembers.
const SEEN_MAX: usize = 1_000;

/// A port on which nobody serves yet: a stub has to know its own URL before it is made.
pub(super) fn bound(runtime: &Runtime) -> Result<(TcpListener, String), Failure> {
    let failed = |error: std::io::Error| Failure::Said(format!("a stub application cannot listen: {error}"));
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).map_err(failed)?;
    let url = format!("http://{}", listener.local_addr().map_err(failed)?);
    Ok((listener, url))
}

/// Serves a stub until the runtime ends.
pub(super) fn serve(runtime: &Runtime, listener: TcpListener, routes: Router) {
    runtime.spawn(async move {
        let _ = axum::serve(listener, routes).await; // the story asks it, and says what it hears
    });
}

/// A request that a stub had: the story looks at what really arrived.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) what: String,
    pub(super) token: String,
    pub(super) body: Vec<u8>,
}

/// The requests that a stub had.
#[derive(Default)]
pub(super) struct Log(Mutex<Vec<Seen>>);

impl Log {
    fn add(&self, seen: Seen) {
        let mut all = locked(&self.0);
        if all.len() < SEEN_MAX {
            all.push(seen);
        }
    }

    pub(super) fn all(&self) -> Vec<Seen> {
        locked(&self.0).clone()
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn answer(status: StatusCode, body: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

fn refused(status: StatusCode, error: &str) -> Response {
    answer(status, &json!({ "error": error }))
}

/// The token of a request.
fn bearer(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    value.strip_prefix("Bearer ").map(str::to_owned)
}

/// The pairs of a form or a query.
fn pairs(text: &str) -> HashMap<String, String> {
    url::form_urlencoded::parse(text.as_bytes()).into_owned().collect()
}
