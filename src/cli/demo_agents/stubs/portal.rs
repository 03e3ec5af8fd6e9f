//! The portal: the agent's own application, to which Sarah's browser comes back, and which is told when an approval was
//! decided (CIBA, ping).

use super::{Log, Seen, bearer};
use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Html;
use axum::routing::{get, post};
use std::sync::Arc;

/// What the portal was told.
#[derive(Default)]
pub(in super::super) struct Portal {
    log: Log,
}

impl Portal {
    pub(in super::super) fn routes(self: &Arc<Self>) -> Router {
        Router::new()
            .route("/callback", get(callback))
            .route("/approvals/decided", post(decided))
            .with_state(Arc::clone(self))
    }

    /// The query with which a browser came back last.
    pub(in super::super) fn came_back(&self) -> Option<String> {
        self.log.all().into_iter().rev().find(|seen| seen.what == "callback").map(|seen| seen.token)
    }

    /// The token and the body of the pings.
    pub(in super::super) fn pings(&self) -> Vec<Seen> {
        self.log.all().into_iter().filter(|seen| seen.what == "ping").collect()
    }
}

async fn callback(State(portal): State<Arc<Portal>>, RawQuery(query): RawQuery) -> Html<&'static str> {
    portal.log.add(Seen { what: "callback".into(), token: query.unwrap_or_default(), body: Vec::new() });
    Html("<title>Portal</title><p>You are signed in; what shall I do for you?</p>")
}

async fn decided(State(portal): State<Arc<Portal>>, headers: HeaderMap, body: String) -> StatusCode {
    let token = bearer(&headers).unwrap_or_default();
    portal.log.add(Seen { what: "ping".into(), token, body: body.into_bytes() });
    StatusCode::NO_CONTENT
}
