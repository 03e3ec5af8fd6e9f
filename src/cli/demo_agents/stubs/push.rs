//! A push service, as browsers' makers run them: it carries what it cannot read (RFC 8030).

use super::{Log, Seen};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::post;
use std::sync::Arc;

/// What was sent to phones.
#[derive(Default)]
pub(in super::super) struct PushService {
    log: Log,
}

impl PushService {
    pub(in super::super) fn routes(self: &Arc<Self>) -> Router {
        Router::new().route("/send/{phone}", post(carry)).with_state(Arc::clone(self))
    }

    /// The messages for the phone at this URL, and who is shown to have sent them.
    pub(in super::super) fn sent_to(&self, endpoint: &str) -> Vec<Seen> {
        self.log.all().into_iter().filter(|seen| endpoint.ends_with(&format!("/send/{}", seen.what))).collect()
    }
}

async fn carry(
    State(service): State<Arc<PushService>>,
    Path(phone): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let (shown, coding) = (text(header::AUTHORIZATION), text(header::CONTENT_ENCODING));
    if !shown.starts_with("vapid t=") || coding != "aes128gcm" {
        return StatusCode::BAD_REQUEST;
    }
    service.log.add(Seen { what: phone, token: shown, body: body.to_vec() });
    StatusCode::CREATED
}
