//! Sends a request on, and brings its answer back: bounded in bytes and time, and filtered as it streams.

use super::super::decide::{Asker, Decider, internal};
use super::super::filter::{Filter, Said, Verdict};
use super::super::message::{Fault, INTERNAL_ERROR, Message, Request as Call};
use super::super::policy::Policy;
use super::super::session::Sessions;
use super::super::sse::{Splitter, SseEvent};
use super::super::{Credentials, Future, Judged};
use super::{GatewaySpec, SESSION, forwarded, modest};
use crate::wire::{Pool, now};
use axum::body::{Body, Bytes};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::{self, error::SendTimeoutError};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_stream::wrappers::ReceiverStream;

/// How often a stream says that it lives.
const ALIVE: Duration = Duration::from_secs(15);
/// Events that wait for a slow client.
const EVENTS_WAITING_MAX: usize = 16;
/// The request whose answer is a stream of notifications, for as long as the client listens.
const LISTEN: &str = "subscriptions/listen";
/// How a call ended whose client did not wait for the answer.
const CLIENT_GONE: &str = "caller.gone";

/// A server was not asked, or did not answer. What it said is not repeated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UpstreamError {
    /// It cannot be reached; why is for the log.
    #[error("the server cannot be reached: {0}")]
    Unreachable(String),
    /// It may not be asked for this caller; the sentence is for them, and names no secret.
    #[error("the server is not asked: {0}")]
    Refused(String),
}

/// Sends requests to servers behind the gateway: the one client of other people's servers, which follows no redirects and
/// judges addresses. A request carries, besides what came with the caller's own, for whom it is (its extension [`Judged`]).
pub trait Upstream: Send + Sync {
    /// Sends a request, and answers as soon as the head of the answer is there.
    ///
    /// # Errors
    /// There is no answer.
    fn send(&self, request: Request<Body>) -> Future<'_, Result<Response<Body>, UpstreamError>>;
}

/// Reaches nobody.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoUpstream;

impl Upstream for NoUpstream {
    fn send(&self, _: Request<Body>) -> Future<'_, Result<Response<Body>, UpstreamError>> {
        Box::pin(std::future::ready(Err(UpstreamError::Unreachable("nobody is asked here".to_owned()))))
    }
}

/// A server behind the gateway.
pub(in super::super) struct Gateway {
    pub(in super::super) spec: GatewaySpec,
    pub(in super::super) upstream: Arc<dyn Upstream>,
    pub(in super::super) credentials: Arc<dyn Credentials>,
    pub(in super::super) sessions: Sessions,
}

/// All that an answer is judged with.
#[derive(Clone)]
pub(in super::super) struct Way {
    pub(in super::super) gateway: Arc<Gateway>,
    pub(in super::super) decider: Decider,
    pub(in super::super) policy: Arc<Policy>,
    pub(in super::super) pool: Arc<Pool>,
    pub(in super::super) resource: Arc<str>,
    pub(in super::super) asker: Asker,
}

/// A call that was let through, and recorded as such. That it does not end well is recorded too; it is dropped without an end
/// when its client has left.
pub(in super::super) struct Open {
    way: Way,
    call: Call,
    has_ended: bool,
}

/// Why a stream is cut off.
enum Cut {
    /// The client has left.
    Gone,
    /// The client takes nothing.
    Slow,
    Fault(Fault),
}

impl Open {
    fn ended(mut self) {
        self.has_ended = true;
    }

    fn failed(mut self, cut: &Cut) {
        let (reason, failure) = match cut {
            Cut::Gone => (CLIENT_GONE, None),
            Cut::Slow => ("caller.slow", None),
            Cut::Fault(fault) => ("mcp.server", Some(fault.message.clone())),
        };
        self.record(reason, failure);
    }

    fn record(&mut self, reason: &'static str, failure: Option<String>) {
        self.has_ended = true;
        let (mut way, call) = (self.way.clone(), self.call.clone());
        way.asker.now = now();
        let recorded = self.way.pool.run_surely(move || {
            let why = (reason, failure.as_deref());
            // Why it could not be recorded is in the log, and the call has ended.
            let _ = way.decider.record_failed(&way.asker, &way.resource, &call, why);
        });
        drop(recorded);
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if !self.has_ended {
            self.record(if std::thread::panicking() { "mcp.panic" } else { CLIENT_GONE }, None);
        }
    }
}

/// Why there is no answer, for the log and the client.
fn gone(call: Option<&Call>, what: &str) -> Fault {
    Fault::new(StatusCode::BAD_GATEWAY, call.map(|call| call.id.clone()), INTERNAL_ERROR, what)
}

impl Way {
    /// A call that goes this way.
    pub(in super::super) fn open(self, call: Call) -> Open {
        Open { way: self, call, has_ended: false }
    }

    /// Sends a message on that was let through; with it, the call that it opened.
    pub(in super::super) async fn forward(
        self,
        parts: &Parts,
        body: Bytes,
        (message, mut open): (Message, Option<Open>),
    ) -> Response<Body> {
        let call = match message {
            Message::Request(call) => Some(call),
            Message::Notification { .. } => None,
            Message::Answer if self.gateway.spec.server_requests.is_empty() => {
                let what = "this gateway lets no server ask its client, so that there is nothing to answer";
                return Fault::new(StatusCode::BAD_REQUEST, None, super::super::message::INVALID_REQUEST, what)
                    .response()
                    .map(Body::from);
            }
            Message::Answer => None,
        };
        let answer = match self.sent(parts, body, call.as_ref()).await {
            Ok(answer) => self.brought(answer, call, &mut open).await,
            Err(fault) => Err(fault),
        };
        match (answer, open) {
            (Ok(response), None) => response,
            (Ok(response), Some(open)) => {
                open.ended();
                response
            }
            (Err(fault), None) => fault.response().map(Body::from),
            (Err(fault), Some(open)) => {
                let response = fault.response().map(Body::from);
                open.failed(&Cut::Fault(fault));
                response
            }
        }
    }

    /// Ends a session of the server.
    pub(in super::super) async fn ended(self, parts: &Parts) -> Response<Body> {
        if !parts.headers.contains_key(SESSION) {
            return Fault::new(
                StatusCode::BAD_REQUEST,
                None,
                super::super::message::INVALID_REQUEST,
                "there is no session",
            )
            .response()
            .map(Body::from);
        }
        match self.sent(parts, Bytes::new(), None).await {
            Ok(answer) => {
                let status = answer.status();
                let mut response = Response::new(Body::empty());
                let known = status.is_success() || matches!(status.as_u16(), 404 | 405);
                *response.status_mut() = if known { status } else { StatusCode::BAD_GATEWAY };
                response
            }
            Err(fault) => fault.response().map(Body::from),
        }
    }

    async fn sent(&self, parts: &Parts, body: Bytes, call: Option<&Call>) -> Result<Response<Body>, Fault> {
        let Gateway { spec, upstream, credentials, sessions } = &*self.gateway;
        let mut headers = forwarded(&parts.headers);
        if let Some(bound) = parts.headers.get(SESSION) {
            let opened = bound.to_str().ok().and_then(|text| sessions.opened(&self.resource, &self.asker.judged, text));
            let session = opened.and_then(|session| HeaderValue::try_from(session).ok());
            // As a server answers to a session that is no more: the client begins anew.
            let unknown =
                || Fault::new(StatusCode::NOT_FOUND, call.map(|call| call.id.clone()), -32_600, "no such session");
            headers.insert(SESSION, session.ok_or_else(unknown)?);
        }
        let credential = credentials.authorization(&self.asker.judged, &self.resource).await;
        match credential {
            Ok(Some(mut value)) => {
                value.set_sensitive(true);
                headers.insert(header::AUTHORIZATION, value);
            }
            Ok(None) => {}
            Err(what) => {
                tracing::warn!(resource = &*self.resource, trace = self.asker.trace, "no credential: {what}");
                return Err(gone(call, what));
            }
        }
        let body = match call {
            Some(call) if call.method == "initialize" => modest(&body, &spec.server_requests).map_or(body, Bytes::from),
            _ => body,
        };
        let mut request = Request::new(Body::from(body));
        *request.method_mut() = if parts.method == Method::DELETE { Method::DELETE } else { Method::POST };
        *request.headers_mut() = headers;
        *request.extensions_mut() = parts.extensions.clone();
        request.extensions_mut().insert::<Judged>(self.asker.judged.clone());
        let wrong = || gone(call, "the gateway's settings name no usable server");
        *request.uri_mut() = spec.url.parse().map_err(|_| wrong())?;
        let time = Duration::from_secs(spec.answer_seconds_max);
        match timeout(time, upstream.send(request)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => {
                tracing::warn!(resource = &*self.resource, trace = self.asker.trace, "{error}");
                Err(match error {
                    UpstreamError::Unreachable(_) => gone(call, "the server behind the gateway cannot be reached"),
                    UpstreamError::Refused(why) => gone(call, &why),
                })
            }
            Err(_) => Err(gone(call, "the server behind the gateway did not answer in time")),
        }
    }

    /// The head of an answer, and the way that its body comes; a stream takes what is open along.
    async fn brought(
        self,
        answer: Response<Body>,
        call: Option<Call>,
        open: &mut Option<Open>,
    ) -> Result<Response<Body>, Fault> {
        let (head, body) = answer.into_parts();
        let status = head.status;
        let Some(call) = call else {
            // A notification has no answer.
            return match status.as_u16() {
                200..300 => Ok(empty(StatusCode::ACCEPTED)),
                404 => Ok(empty(StatusCode::NOT_FOUND)),
                400..500 if !matches!(status.as_u16(), 401 | 403) => Ok(empty(StatusCode::BAD_REQUEST)),
                _ => Err(gone(None, "the server behind the gateway failed")),
            };
        };
        if matches!(status.as_u16(), 401 | 403) {
            // Its challenge is the gateway's own affair: a client that followed it would send its token elsewhere.
            tracing::error!(resource = &*self.resource, %status, "a server refuses the gateway's credential");
            return Err(gone(Some(&call), "the server behind the gateway refuses the gateway's credential"));
        }
        if !(status.is_success() || matches!(status.as_u16(), 400 | 404 | 405)) {
            tracing::warn!(resource = &*self.resource, %status, "a server failed");
            return Err(gone(Some(&call), "the server behind the gateway failed"));
        }
        let mut headers = HeaderMap::new();
        if let Some(session) = head.headers.get(SESSION).and_then(|value| value.to_str().ok()) {
            let bound = self.gateway.sessions.bound(&self.resource, &self.asker.judged, session);
            let value = bound.and_then(|bound| HeaderValue::try_from(bound).ok());
            headers.insert(SESSION, value.ok_or_else(|| gone(Some(&call), "the server's session is no session"))?);
        }
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        let kind = head.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let essence = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let mut response = match essence.as_str() {
            "text/event-stream" if status == StatusCode::OK => self.streamed(body, call, open.take()),
            "application/json" => self.whole(body, &call, status).await?,
            // A server of an older kind has no message for what it does not know.
            _ if matches!(status.as_u16(), 400 | 404 | 405) => empty(status),
            _ => {
                return Err(gone(Some(&call), "the server behind the gateway answered with neither JSON nor a stream"));
            }
        };
        response.headers_mut().extend(headers);
        Ok(response)
    }

    /// Judges one message where it holds up nobody.
    async fn judged(&self, call: &Arc<Call>, message: Bytes) -> Result<Verdict, Fault> {
        let (way, of) = (self.clone(), Arc::clone(call));
        let judging = self.pool.run(move || {
            let filter = Filter {
                decider: &way.decider,
                policy: &way.policy,
                asker: &way.asker,
                resource: &way.resource,
                request: &of,
                server_requests: &way.gateway.spec.server_requests,
            };
            filter.judge(&message)
        });
        match judging {
            Ok(judging) => judging.await.unwrap_or_else(|_| Err(internal(call))),
            Err(_) => Err(internal(call)),
        }
    }

    async fn whole(&self, body: Body, call: &Call, status: StatusCode) -> Result<Response<Body>, Fault> {
        let spec = &self.gateway.spec;
        let collecting = Limited::new(body, spec.answer_bytes_max).collect();
        let time = Duration::from_secs(spec.answer_seconds_max);
        let late = |_| gone(Some(call), "the server behind the gateway did not answer in time");
        let body = timeout(time, collecting).await.map_err(late)?.map_err(|error| {
            let long = error.downcast_ref::<LengthLimitError>().is_some();
            gone(Some(call), if long { "the answer is longer than the gateway takes" } else { "the answer broke off" })
        })?;
        let body = body.to_bytes();
        let shared = Arc::new(call.clone());
        let bytes = match self.judged(&shared, body.clone()).await? {
            Verdict { said: Said::Asis, last: true } => body,
            Verdict { said: Said::Changed(value), last: true } => Bytes::from(value.to_string()),
            _ => return Err(gone(Some(call), "the server behind the gateway answered another request")),
        };
        let mut response = Response::new(Body::from(bytes));
        *response.status_mut() = status;
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(response)
    }

    fn streamed(self, body: Body, call: Call, open: Option<Open>) -> Response<Body> {
        let (sender, receiver) = mpsc::channel::<Result<Bytes, std::convert::Infallible>>(EVENTS_WAITING_MAX);
        tokio::spawn(async move {
            let call = Arc::new(call);
            // A client that goes away drops the receiver, and with this task the server's stream ends too.
            let cut = match self.pumped(body, &call, &sender).await {
                // Who listens leaves when they like.
                Ok(()) | Err(Cut::Gone) if call.method == LISTEN => None,
                Ok(()) => None,
                Err(cut) => Some(cut),
            };
            match (open, &cut) {
                (Some(open), Some(cut)) => open.failed(cut),
                (Some(open), None) => open.ended(),
                (None, _) => {}
            }
            if let Some(Cut::Fault(fault)) = cut {
                let event = SseEvent { data: fault.body().to_string(), ..SseEvent::default() };
                let _ = self.passed_on(&sender, event.written()).await; // nothing comes after it
            }
        });
        let mut response = Response::new(Body::from_stream(ReceiverStream::new(receiver)));
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
        response
    }

    /// Passes on to a client, who has to take it in time.
    async fn passed_on(
        &self,
        out: &mpsc::Sender<Result<Bytes, std::convert::Infallible>>,
        bytes: impl Into<Bytes>,
    ) -> Result<(), Cut> {
        let stalled_max = Duration::from_secs(self.gateway.spec.stalled_seconds_max);
        out.send_timeout(Ok(bytes.into()), stalled_max).await.map_err(|error| match error {
            SendTimeoutError::Timeout(_) => Cut::Slow,
            SendTimeoutError::Closed(_) => Cut::Gone,
        })
    }

    /// Passes events on until the answer was among them.
    async fn pumped(
        &self,
        mut body: Body,
        call: &Arc<Call>,
        out: &mpsc::Sender<Result<Bytes, std::convert::Infallible>>,
    ) -> Result<(), Cut> {
        let spec = &self.gateway.spec;
        let end = Instant::now() + spec.time(&call.method);
        let streams = call.method == LISTEN;
        let fault = |what: &str| Cut::Fault(gone(Some(call), what));
        let mut splitter = Splitter::default();
        let mut taken = 0_usize;
        loop {
            let alive = end.min(Instant::now() + ALIVE);
            let frame = tokio::select! {
                frame = timeout_at(alive, body.frame()) => frame,
                () = out.closed() => return Err(Cut::Gone),
            };
            let frame = match frame {
                Ok(None) if streams => return Ok(()),
                Ok(None) => return Err(fault("the server behind the gateway broke off its answer")),
                Ok(Some(Ok(frame))) => frame,
                Ok(Some(Err(_))) => return Err(fault("the server behind the gateway broke off its answer")),
                Err(_) if Instant::now() >= end => {
                    return Err(fault("the server behind the gateway did not answer in time"));
                }
                Err(_) => {
                    self.passed_on(out, Bytes::from_static(b":\n\n")).await?;
                    continue;
                }
            };
            let Ok(data) = frame.into_data() else { continue };
            taken = taken.saturating_add(data.len());
            if taken > spec.answer_bytes_max && !streams {
                return Err(fault("the answer is longer than the gateway takes"));
            }
            splitter.feed(&data);
            while let Some(event) = splitter.next().map_err(|_| fault("the answer is no stream of events"))? {
                if event.data.is_empty() {
                    continue; // where to take up a stream again, which the gateway does not offer
                }
                let Verdict { said, last } =
                    self.judged(call, Bytes::from(event.data.clone())).await.map_err(Cut::Fault)?;
                let data = match said {
                    Said::Asis => event.data,
                    Said::Changed(value) => value.to_string(),
                    Said::Dropped => continue,
                };
                let event = SseEvent { data, ..SseEvent::default() };
                self.passed_on(out, event.written()).await?;
                if last {
                    return Ok(());
                }
            }
        }
    }
}

fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}
