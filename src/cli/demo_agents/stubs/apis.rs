//! The APIs that the agent works with: the CRM, and Google's Drive, mail and calendar. Each takes tokens of its own
//! authorization server, and none of ours.

use super::super::keys::seconds;
use super::super::world::VAULT;
use super::provider::Provider;
use super::{Log, Seen, answer, bearer, locked, refused};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::Response;
use axum::routing::any;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

const DAY_S: u64 = 86_400;

/// One API: what it holds, and what a request needs.
pub(in super::super) struct Api {
    provider: Arc<Provider>,
    /// The beginning of a method and a path, and the scope for it.
    scopes: &'static [(&'static str, &'static str)],
    held: Mutex<BTreeMap<String, Value>>,
    /// The key that reads its list of accounts, and the list: who else but people works with it.
    accounts: Option<(String, Value)>,
    log: Log,
}

impl Api {
    /// The CRM: contacts, and deals that can be changed. Somebody let an agent of their own work with it by a service account.
    pub(in super::super) fn crm(provider: &Arc<Provider>, directory_key: &str) -> Arc<Api> {
        let scopes = &[("GET /", "crm.read"), ("PATCH /deals/", "crm.write"), ("DELETE /", "crm.delete")];
        let held = [
            (
                "/contacts/acme-corp",
                json!({"account": "Acme Corp", "cto": "dana.wright@acmecorp.example", "cfo": "luis.ortega@acmecorp.example"}),
            ),
            (
                "/deals/acme-corp",
                json!({"account": "Acme Corp", "stage": "qualified", "seats": 1_500, "owner": "sarah"}),
            ),
            ("/deals/globex", json!({"account": "Globex", "stage": "won", "seats": 40, "owner": "bob"})),
        ];
        let now = seconds();
        let accounts = json!({"accounts": [
            {"id": "svc-proposals", "label": "Proposal bot", "client": null, "made_by": "j.smith",
             "permissions": ["crm.read", "crm.write", "crm.delete"], "made": now - 40 * DAY_S, "last_login": now - 120},
            {"id": "app-0017", "label": "Acme's vault", "client": VAULT, "made_by": "o.petrova",
             "permissions": ["crm.read", "crm.write", "crm.delete"], "made": now - 90 * DAY_S, "last_login": null},
        ]});
        Api::new(provider, scopes, &held, Some((directory_key.to_owned(), accounts)))
    }

    /// Google's APIs.
    pub(in super::super) fn workspace(provider: &Arc<Provider>) -> Arc<Api> {
        let scopes = &[
            ("PUT /drive/", "drive.file"),
            ("POST /mail/", "gmail.send"),
            ("GET /calendar/", "calendar"),
            ("POST /calendar/", "calendar"),
        ];
        let free = json!({"free": ["2026-12-01T10:00/11:30", "2026-12-03T14:00/16:00", "2026-12-08T09:00/10:00"]});
        Api::new(provider, scopes, &[("/calendar/free", free)], None)
    }

    fn new(
        provider: &Arc<Provider>,
        scopes: &'static [(&'static str, &'static str)],
        held: &[(&str, Value)],
        accounts: Option<(String, Value)>,
    ) -> Arc<Api> {
        let held = held.iter().map(|(path, value)| ((*path).to_owned(), value.clone())).collect();
        Arc::new(Api { provider: Arc::clone(provider), scopes, held: Mutex::new(held), accounts, log: Log::default() })
    }

    pub(in super::super) fn routes(self: &Arc<Self>) -> Router {
        Router::new().fallback(any(call)).with_state(Arc::clone(self))
    }

    /// The requests that were let through.
    pub(in super::super) fn seen(&self) -> Vec<Seen> {
        self.log.all()
    }

    fn done(&self, method: &Method, path: &str, body: &[u8]) -> Response {
        let mut held = locked(&self.held);
        let sent: Value = serde_json::from_slice(body).unwrap_or_default();
        match (method.as_str(), held.get_mut(path)) {
            ("GET", Some(value)) => answer(StatusCode::OK, value),
            ("PATCH", Some(value)) => {
                if let (Some(value), Some(sent)) = (value.as_object_mut(), sent.as_object()) {
                    value.extend(sent.clone());
                }
                answer(StatusCode::OK, value)
            }
            ("GET" | "PATCH" | "DELETE", None) => refused(StatusCode::NOT_FOUND, "not_found"),
            ("DELETE", Some(_)) => {
                held.remove(path);
                answer(StatusCode::OK, &json!({"deleted": path}))
            }
            _ => {
                let number = held.len();
                held.insert(format!("{path}#{number}"), sent);
                answer(StatusCode::CREATED, &json!({"path": path, "bytes": body.len()}))
            }
        }
    }
}

async fn call(State(api): State<Arc<Api>>, headers: HeaderMap, request: Request) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let what = format!("{method} {path}");
    let needed = api.scopes.iter().find(|(begins, _)| what.starts_with(begins)).map(|(_, scope)| *scope);
    let Some(needed) = needed else { return refused(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed") };
    let token = bearer(&headers).unwrap_or_default();
    if let Some((key, list)) = api.accounts.as_ref().filter(|_| what == "GET /service-accounts") {
        return if token == *key {
            answer(StatusCode::OK, list)
        } else {
            refused(StatusCode::FORBIDDEN, "not_allowed")
        };
    }
    if path == "/debug" {
        return answer(StatusCode::OK, &json!({"asked with": format!("Bearer {token}")}));
    }
    if let Err(status) = api.provider.takes(&token, needed) {
        return refused(status, "invalid_token");
    }
    let body: Bytes = match axum::body::to_bytes(request.into_body(), 8 << 20).await {
        Ok(body) => body,
        Err(_) => return refused(StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
    };
    let answered = api.done(&method, &path, &body);
    api.log.add(Seen { what, token, body: body.to_vec() });
    answered
}
