//! The pricing service of another domain: it believes its own authorization server alone, which it asks about every token
//! (RFC 7662).

use super::super::web::{Ask, Web};
use super::{answer, bearer, refused};
use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::Response;
use axum::routing::any;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::sync::Arc;

/// See the file's head.
pub(in super::super) struct Prices {
    /// Its own identifier: the audience of tokens for it.
    pub(in super::super) url: String,
    /// The introspection endpoint of its authorization server, and how it shows who it is there.
    pub(in super::super) introspection: String,
    pub(in super::super) authorization: String,
    pub(in super::super) web: Web,
}

impl Prices {
    pub(in super::super) fn routes(self: Arc<Self>) -> Router {
        Router::new().route("/prices/{product}", any(call)).with_state(self)
    }

    /// What its authorization server knows of a token; nothing when that cannot be asked.
    fn known(&self, token: &str) -> Value {
        let ask = Ask::form(self.introspection.as_str(), [("token", token)]);
        let heard = self.web.send(&ask.with("authorization", self.authorization.as_str()));
        heard.map(|heard| heard.json()).unwrap_or_default()
    }
}

async fn call(
    State(prices): State<Arc<Prices>>,
    Path(product): Path<String>,
    method: Method,
    headers: HeaderMap,
) -> Response {
    let Some(token) = bearer(&headers) else { return refused(StatusCode::UNAUTHORIZED, "invalid_token") };
    let shared = Arc::clone(&prices);
    let known = tokio::task::spawn_blocking(move || shared.known(&token)).await.unwrap_or_default();
    let member = |name: &str| known.get(name).cloned().unwrap_or_default();
    let (audience, own) = (member("aud"), json!(prices.url));
    let mine = audience == own || audience.as_array().is_some_and(|several| several.contains(&own));
    if member("active") != json!(true) || !mine {
        return refused(StatusCode::UNAUTHORIZED, "invalid_token");
    }
    let needed = if method == Method::GET { "pricing:read" } else { "pricing:write" };
    if !member("scope").as_str().unwrap_or_default().split(' ').any(|scope| scope == needed) {
        return refused(StatusCode::FORBIDDEN, "insufficient_scope");
    }
    let price = json!({"product": product, "seat_usd": "300.00", "seats": 1_500, "total_usd": "450000.00",
                       "asked_by": member("sub"), "through": member("act")});
    answer(StatusCode::OK, &price)
}

/// How a client shows who it is with a secret (RFC 6749 2.3.1).
pub(in super::super) fn basic(id: &str, secret: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")))
}
