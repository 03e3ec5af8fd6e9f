//! The routes: metadata, and the MCP endpoint of each server. Reads a request, has it judged, and hands it on.

use super::decide::{Asker, Case, Decider, Stop};
use super::gateway::{Gateway, GatewaySpec, Open, Upstream, Way};
use super::message::{Fault, INTERNAL_ERROR, INVALID_REQUEST, Message};
use super::own::{Own, OwnSpec};
use super::policy::Policy;
use super::session::Sessions;
use super::{Approvals, Credentials, Denial, Guard, Judged, Refusal, SettingsError};
use crate::engine::Engine;
use crate::tuple::{StoreId, Timestamp};
use crate::wire::{Embedder, Pool, now, request_id};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};
use axum::middleware::{self, Next};
use axum::routing::{any, get};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// Longest message of a client, in bytes.
const MESSAGE_BYTES_MAX: usize = 4 << 20;
/// How long a client may take to send its message.
const MESSAGE_TIME_MAX: Duration = Duration::from_secs(30);
/// Headers of answers that pages may read.
const EXPOSED: &str = "WWW-Authenticate, DPoP-Nonce, Mcp-Session-Id, Mcp-Protocol-Version, X-Request-Id";
/// Headers of requests that pages may send.
const ALLOWED: &str = "Authorization, DPoP, Content-Type, Accept, Mcp-Session-Id, Mcp-Protocol-Version, Mcp-Method, \
                       Mcp-Name, Last-Event-ID, traceparent, tracestate";

/// What every endpoint has.
#[derive(Clone)]
pub struct EndpointSpec {
    /// The database.
    pub engine: Engine,
    /// The store whose model and tuples decide.
    pub store: StoreId,
    /// The number of the tenant, for its records.
    pub tenant: u32,
    /// Who is let in.
    pub guard: Guard,
    /// Who knows of approvals.
    pub approvals: Arc<dyn Approvals>,
    /// Threads that judge calls, write records, and search.
    pub pool: Arc<Pool>,
}

/// An MCP server as clients see it.
#[derive(Clone)]
pub struct Endpoint {
    inner: Arc<Inner>,
}

struct Inner {
    guard: Guard,
    decider: Decider,
    policy: Arc<Policy>,
    approvals: Arc<dyn Approvals>,
    pool: Arc<Pool>,
    behind: Behind,
}

enum Behind {
    Own(Box<StreamableHttpService<Own, NeverSessionManager>>),
    Gateway(Arc<Gateway>),
}

impl Endpoint {
    /// Our own server.
    ///
    /// # Errors
    /// Settings that could not work: a rule, or a collection, type or relation that the store does not have.
    pub fn own(at: EndpointSpec, spec: OwnSpec, embedder: Option<Embedder>) -> Result<Endpoint, SettingsError> {
        let policy = Arc::new(spec.whole_policy()?);
        let decider = Decider { engine: at.engine.clone(), store: at.store, tenant: at.tenant };
        let own = Own::new(spec, Arc::clone(&policy), decider.clone(), embedder, Arc::clone(&at.pool))?;
        // Hosts, origins and tokens are judged before; without sessions every request stands for itself, in all versions.
        let config = StreamableHttpServerConfig::default()
            .disable_allowed_hosts()
            .with_legacy_session_mode(false)
            .with_json_response(true)
            .with_max_request_body_bytes(MESSAGE_BYTES_MAX);
        let service = StreamableHttpService::new(move || Ok(own.clone()), Arc::default(), config);
        Endpoint::new(at, decider, policy, Behind::Own(Box::new(service)))
    }

    /// A server behind the gateway. `session_key` is 32 random bytes; gateways that stand for the same server share them.
    ///
    /// # Errors
    /// Settings that could not work.
    pub fn gateway(
        at: EndpointSpec,
        spec: GatewaySpec,
        upstream: Arc<dyn Upstream>,
        credentials: Arc<dyn Credentials>,
        session_key: &[u8; 32],
    ) -> Result<Endpoint, SettingsError> {
        spec.verify()?;
        let policy = Arc::new(Policy::new(&spec.policy)?);
        let decider = Decider { engine: at.engine.clone(), store: at.store, tenant: at.tenant };
        let gateway = Gateway { spec, upstream, credentials, sessions: Sessions::new(session_key) };
        Endpoint::new(at, decider, policy, Behind::Gateway(Arc::new(gateway)))
    }

    /// Answers a request for its path, whatever the method.
    pub async fn answer(&self, request: Request) -> Response<Body> {
        served(State(self.clone()), request).await
    }

    /// Answers with the metadata of its resource (RFC 9728).
    #[must_use]
    pub fn metadata(&self) -> Response<Body> {
        metadata(&self.inner.guard)
    }

    fn new(at: EndpointSpec, decider: Decider, policy: Arc<Policy>, behind: Behind) -> Result<Endpoint, SettingsError> {
        decider.verify(&policy)?;
        let EndpointSpec { guard, approvals, pool, .. } = at;
        Ok(Endpoint { inner: Arc::new(Inner { guard, decider, policy, approvals, pool, behind }) })
    }
}

impl Inner {
    /// Runs what may wait for the disk where it holds up nobody.
    async fn work<T: Send + 'static>(
        self: &Arc<Inner>,
        work: impl FnOnce(&Inner) -> T + Send + 'static,
    ) -> Result<T, Fault> {
        let inner = Arc::clone(self);
        let busy = |what| Fault::new(StatusCode::SERVICE_UNAVAILABLE, None, INTERNAL_ERROR, what);
        let answer =
            self.pool.run(move || work(&inner)).map_err(|_| busy("too many calls are waiting; try again later"))?;
        answer.await.map_err(|_| busy("the call failed; the server's log says why"))
    }

    async fn serve(self: &Arc<Inner>, request: Request) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let trace = trace_of(&parts.headers);
        let now = now();
        let head = parts.clone();
        let admitted = self.work(move |inner| inner.guard.admit(&head, now)).await;
        let judged = match admitted {
            Ok(Ok(judged)) => judged,
            Ok(Err(denial)) => {
                tracing::info!(resource = self.guard.resource().url(), trace, "not admitted: {denial:?}");
                return self.guard.refuse(&denial, &[]).map(Body::from);
            }
            Err(fault) => return fault.response().map(Body::from),
        };
        let asker = Asker { judged, trace: trace.clone(), now };
        let mut response = match parts.method {
            Method::POST => self.posted(parts, body, asker).await,
            Method::DELETE => self.deleted(&parts, asker).await,
            _ => not_allowed(),
        };
        if let Ok(id) = HeaderValue::try_from(trace) {
            response.headers_mut().insert("x-request-id", id);
        }
        response
    }

    async fn posted(self: &Arc<Inner>, parts: Parts, body: Body, asker: Asker) -> Response<Body> {
        let kind = parts.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if !kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json") {
            let what = "Content-Type is not application/json";
            return Fault::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, None, INVALID_REQUEST, what)
                .response()
                .map(Body::from);
        }
        let body = match collected(body).await {
            Ok(body) => body,
            Err(fault) => return fault.response().map(Body::from),
        };
        let message = match Message::read(&parts.headers, &body) {
            Ok(message) => message,
            Err(fault) => return fault.response().map(Body::from),
        };
        if let Message::Notification { method } = &message
            && !method.starts_with("notifications/")
        {
            let what = "a message without `id` is no request";
            return Fault::new(StatusCode::BAD_REQUEST, None, INVALID_REQUEST, what).response().map(Body::from);
        }
        let open = match self.decided(&message, &asker).await {
            Ok(open) => open,
            Err(response) => return response,
        };
        match &self.behind {
            Behind::Own(service) => {
                let mut parts = parts;
                parts.headers.remove(header::AUTHORIZATION);
                parts.headers.remove("dpop");
                parts.extensions.insert(asker);
                service.handle(Request::from_parts(parts, Body::from(body))).await.map(Body::new)
            }
            Behind::Gateway(gateway) => self.way(gateway, asker).forward(&parts, body, (message, open)).await,
        }
    }

    async fn deleted(self: &Arc<Inner>, parts: &Parts, asker: Asker) -> Response<Body> {
        match &self.behind {
            Behind::Own(_) => not_allowed(),
            Behind::Gateway(gateway) => self.way(gateway, asker).ended(parts).await,
        }
    }

    fn way(&self, gateway: &Arc<Gateway>, asker: Asker) -> Way {
        Way {
            gateway: Arc::clone(gateway),
            decider: self.decider.clone(),
            policy: Arc::clone(&self.policy),
            pool: Arc::clone(&self.pool),
            resource: self.guard.resource().url().into(),
            asker,
        }
    }

    /// Has a message decided; the response is why it does not go on. What goes on to a server behind the gateway is open
    /// from the moment that it was recorded.
    async fn decided(self: &Arc<Inner>, message: &Message, asker: &Asker) -> Result<Option<Open>, Response<Body>> {
        let Message::Request(request) = message else { return Ok(None) };
        let (request, asker) = (request.clone(), asker.clone());
        let deciding = self.work(move |inner| {
            // What our own server has no kind for does not exist; it says so itself, as the protocol has it.
            if matches!(inner.behind, Behind::Own(_)) && inner.policy.is_nothing(&request) {
                return Ok(None);
            }
            let recorded = inner.decider.decide(Case {
                policy: &inner.policy,
                approvals: &*inner.approvals,
                resource: inner.guard.resource().url(),
                base: inner.guard.scopes(),
                asker: &asker,
                request: &request,
            })?;
            Ok(match &inner.behind {
                Behind::Gateway(gateway) if recorded => Some(inner.way(gateway, asker).open(request)),
                Behind::Gateway(_) | Behind::Own(_) => None,
            })
        });
        match deciding.await {
            Ok(Ok(open)) => Ok(open),
            Ok(Err(Stop::Scopes(scopes))) => Err(self.guard.refuse(&Denial::Scope(scopes), &[]).map(Body::from)),
            Ok(Err(Stop::StepUp(step_up))) => {
                let denial = Denial::Refused(Refusal::for_step_up(&step_up));
                Err(self.guard.refuse(&denial, &[]).map(Body::from))
            }
            Ok(Err(Stop::Fault(fault))) | Err(fault) => Err(fault.response().map(Body::from)),
        }
    }
}

async fn collected(body: Body) -> Result<Bytes, Fault> {
    let collecting = tokio::time::timeout(MESSAGE_TIME_MAX, Limited::new(body, MESSAGE_BYTES_MAX).collect());
    let late = |_| Fault::new(StatusCode::REQUEST_TIMEOUT, None, INVALID_REQUEST, "the message did not come in time");
    let collected = collecting.await.map_err(late)?.map_err(|error| {
        if error.downcast_ref::<LengthLimitError>().is_some() {
            let what = format!("the message is longer than {MESSAGE_BYTES_MAX} bytes");
            Fault::new(StatusCode::PAYLOAD_TOO_LARGE, None, INVALID_REQUEST, what)
        } else {
            Fault::new(StatusCode::BAD_REQUEST, None, INVALID_REQUEST, "the message broke off")
        }
    })?;
    Ok(collected.to_bytes())
}

/// What ties the records of a request together: the trace of W3C Trace Context where the client has one, else a fresh id.
fn trace_of(headers: &HeaderMap) -> String {
    let given = headers.get("traceparent").and_then(|value| value.to_str().ok());
    let trace = given.and_then(|text| text.split('-').nth(1)).filter(|id| {
        id.len() == 32
            && id.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
            && id.bytes().any(|b| b != b'0')
    });
    trace.map_or_else(|| String::from_utf8_lossy(&request_id()).into_owned(), str::to_owned)
}

/// There is no stream to listen to, and nothing to change otherwise.
fn not_allowed() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
    response
}

/// What a browser is told of which pages may call. Only pages of known origins may.
fn shared(guard: &Guard, origin: Option<&HeaderValue>, response: &mut Response<Body>) {
    let headers = response.headers_mut();
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
    if let Some(origin) = origin.filter(|origin| guard.knows_origin(origin)) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
    }
}

fn preflight(guard: &Guard, headers: &HeaderMap) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    shared(guard, headers.get(header::ORIGIN), &mut response);
    if response.headers().contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN) {
        let answer = response.headers_mut();
        answer.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST, DELETE"));
        answer.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(ALLOWED));
    }
    response
}

async fn served(State(endpoint): State<Endpoint>, request: Request) -> Response<Body> {
    let guard = &endpoint.inner.guard;
    if request.method() == Method::OPTIONS {
        return preflight(guard, request.headers());
    }
    let origin = request.headers().get(header::ORIGIN).cloned();
    let mut response = endpoint.inner.serve(request).await;
    shared(guard, origin.as_ref(), &mut response);
    response
}

/// A resource's metadata: the same for everybody.
fn metadata(guard: &Guard) -> Response<Body> {
    let mut response = Response::new(Body::from(guard.resource().metadata().to_string()));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("max-age=300"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    response
}

fn with_metadata(router: Router, guard: &Guard) -> Router {
    let guard = guard.clone();
    let path = guard.resource().metadata_path();
    router.route(&path, get(move || std::future::ready(metadata(&guard))))
}

/// The routes of MCP servers: each at the path of its resource, its metadata at the well-known one.
///
/// # Errors
/// Two servers have the same path.
pub fn routes(endpoints: impl IntoIterator<Item = Endpoint>) -> Result<Router, SettingsError> {
    let (mut router, mut paths) = (Router::new(), BTreeSet::new());
    for endpoint in endpoints {
        let path = endpoint.inner.guard.resource().path().to_owned();
        if path.contains(['{', '}', '*']) || path.contains("//") || !paths.insert(path.clone()) {
            return Err(SettingsError(format!("the path `{path}` is that of two MCP servers, or no plain path")));
        }
        router = with_metadata(router, &endpoint.inner.guard);
        router = router.route(&path, any(served).with_state(endpoint));
    }
    Ok(router)
}

/// A guard before somebody's own routes: its metadata are served, every request has to have a token for this resource, and
/// handlers find for whom it speaks as `Extension<Judged>`. The token goes no further.
pub fn guarded(router: Router, guard: &Guard) -> Router {
    async fn judge(State(guard): State<Guard>, request: Request, next: Next) -> Response<Body> {
        let (mut parts, body) = request.into_parts();
        if parts.method == Method::OPTIONS {
            return preflight(&guard, &parts.headers);
        }
        let (judge, head, at): (Guard, Parts, Timestamp) = (guard.clone(), parts.clone(), now());
        let origin = parts.headers.get(header::ORIGIN).cloned();
        let admitted = tokio::task::spawn_blocking(move || judge.admit(&head, at)).await;
        let mut response = match admitted {
            Ok(Ok(judged)) => {
                const DPOP: HeaderName = HeaderName::from_static("dpop");
                parts.headers.remove(header::AUTHORIZATION);
                parts.headers.remove(DPOP);
                parts.extensions.insert::<Judged>(judged);
                next.run(Request::from_parts(parts, body)).await
            }
            Ok(Err(denial)) => guard.refuse(&denial, &[]).map(Body::from),
            Err(_) => guard.refuse(&Denial::Refused(Refusal::Unavailable), &[]).map(Body::from),
        };
        shared(&guard, origin.as_ref(), &mut response);
        response
    }
    let router = router.layer(middleware::from_fn_with_state(guard.clone(), judge));
    with_metadata(router, guard)
}
