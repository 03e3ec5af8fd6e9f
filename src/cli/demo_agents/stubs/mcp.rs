//! MCP servers that know nothing of permissions: whoever asks gets what there is (MCP 2026-07-28, Streamable HTTP, without
//! sessions). The gateway stands before them.

use super::{Log, Seen, answer};
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::post;
use serde_json::{Value, json};
use std::sync::Arc;

/// A resource: its URI, its name, its text.
type Resource = (&'static str, &'static str, &'static str);

/// The servers, by their names.
pub(in super::super) const SERVERS: [(&str, &[Resource]); 3] = [
    (
        "sales",
        &[
            ("crm://contacts/acme-corp", "Contacts at Acme Corp", "CTO Dana Wright, CFO Luis Ortega; buys in December"),
            ("crm://deals/acme-corp", "The deal with Acme Corp", "1,500 seats, stage qualified, owner Sarah Chen"),
            ("crm://deals/globex", "The deal with Globex", "40 seats, won at 61 % off, owner Bob Keller"),
        ],
    ),
    (
        "workspace",
        &[
            ("docs://proposals/templates", "Templates of proposals", "Summary, scope, price, terms, next steps"),
            ("docs://negotiations/acme-corp", "Notes on the negotiation", "They would accept 15 % off; do not tell"),
            ("calendar://sarah", "Sarah's calendar", "Free: Tue 10:00, Thu 14:00, Tue 09:00"),
        ],
    ),
    (
        "finance",
        &[
            ("pricing://list-prices", "List prices", "Platform: $300.00 a seat and year"),
            ("pricing://executive-discounts", "Executive discounts", "Up to 40 % with the signature of the CFO"),
            ("pricing://cost-structure", "Cost structure", "Platform: $41.20 a seat and year"),
        ],
    ),
];

/// One of them.
pub(in super::super) struct Server {
    resources: &'static [Resource],
    log: Log,
}

impl Server {
    pub(in super::super) fn new(resources: &'static [Resource]) -> Arc<Server> {
        Arc::new(Server { resources, log: Log::default() })
    }

    pub(in super::super) fn routes(self: &Arc<Self>) -> Router {
        Router::new().route("/mcp", post(call)).with_state(Arc::clone(self))
    }

    /// What it was asked for: the method, and the URI where there is one.
    pub(in super::super) fn seen(&self) -> Vec<Seen> {
        self.log.all()
    }

    fn result(&self, method: &str, uri: &str) -> Option<Value> {
        let media = "text/plain";
        match method {
            "resources/list" => {
                let all = self.resources.iter();
                let all: Vec<Value> =
                    all.map(|(uri, name, _)| json!({"uri": uri, "name": name, "mimeType": media})).collect();
                Some(json!({ "resources": all }))
            }
            "resources/read" => {
                let (uri, _, text) = self.resources.iter().find(|(known, ..)| *known == uri)?;
                Some(json!({"contents": [{"uri": uri, "mimeType": media, "text": text}]}))
            }
            _ => None,
        }
    }
}

async fn call(State(server): State<Arc<Server>>, body: String) -> Response {
    let message: Value = serde_json::from_str(&body).unwrap_or_default();
    let text = |pointer: &str| message.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (method, uri) = (text("/method"), text("/params/uri"));
    let id = message.get("id").cloned().unwrap_or_default();
    server.log.add(Seen { what: format!("{method} {uri}"), token: String::new(), body: body.into_bytes() });
    let mut answered = json!({"jsonrpc": "2.0", "id": id});
    match (server.result(&method, &uri), answered.as_object_mut()) {
        (Some(mut result), Some(members)) => {
            if let Some(result) = result.as_object_mut() {
                result.insert("resultType".to_owned(), json!("complete"));
            }
            members.insert("result".to_owned(), result);
        }
        (None, Some(members)) => {
            members.insert("error".to_owned(), json!({"code": -32_601, "message": "there is no such thing"}));
        }
        (_, None) => {}
    }
    answer(StatusCode::OK, &answered)
}
