//! Clients who do not wait for the answer of a server behind the gateway, or do not take it: the log says so.

use super::http::{Lender, at, call, gateway_spec};
use super::{TENANT, World};
use crate::identity::{Event, EventKind, Outcome};
use crate::modules::mcp::http::{Endpoint, routes};
use crate::modules::mcp::{Future, GatewaySpec, NoApprovals, Upstream, UpstreamError};
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio_stream::StreamExt as _;
use tower::ServiceExt as _;

/// What a server does that never comes to its answer.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Does {
    Nothing,
    OneEvent,
    Events,
    /// Begins an answer in JSON.
    Begins,
    /// Breaks off its stream.
    BreaksOff,
}

struct Endless {
    does: Does,
    came: Notify,
    left: Arc<Notify>,
}

/// Tells when it is let go.
struct Held(Arc<Notify>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

impl Upstream for Arc<Endless> {
    fn send(&self, _: Request<Body>) -> Future<'_, Result<Response<Body>, UpstreamError>> {
        Box::pin(async move {
            let held = Held(Arc::clone(&self.left));
            self.came.notify_one();
            let progress = json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progress": 1}});
            let event = format!("data: {progress}\n\n");
            let ever = move |text: &'static str| {
                tokio_stream::pending().map(move |()| {
                    let _held = &held;
                    Ok::<_, std::io::Error>(text.to_owned())
                })
            };
            let (kind, body) = match self.does {
                Does::Nothing => return std::future::pending().await,
                Does::OneEvent => {
                    ("text/event-stream", Body::from_stream(tokio_stream::once(Ok(event)).chain(ever(""))))
                }
                Does::BreaksOff => ("text/event-stream", Body::from(event)),
                Does::Begins => {
                    ("application/json", Body::from_stream(tokio_stream::once(Ok("{".to_owned())).chain(ever(""))))
                }
                Does::Events => {
                    let all = std::iter::from_fn(move || {
                        let _ever = &ever;
                        Some(Ok::<_, std::io::Error>(event.clone()))
                    });
                    ("text/event-stream", Body::from_stream(tokio_stream::iter(all)))
                }
            };
            let mut response = Response::new(body);
            response.headers_mut().insert("content-type", HeaderValue::from_static(kind));
            Ok(response)
        })
    }
}

fn gateway(world: &World, does: Does) -> (Router, Arc<Endless>) {
    let server = Arc::new(Endless { does, came: Notify::new(), left: Arc::default() });
    let spec = GatewaySpec { stalled_seconds_max: 1, ..gateway_spec() };
    let (upstream, lender) = (Arc::new(Arc::clone(&server)), Arc::new(Lender(true)));
    let endpoint = Endpoint::gateway(at(world, Arc::new(NoApprovals)), spec, upstream, lender, &[7; 32]);
    (routes([endpoint.unwrap()]).unwrap(), server)
}

fn weather() -> Request<Body> {
    call("sarah/sales", "tools/call", json!({"name": "weather"}))
}

impl World {
    /// Waits for the record of a call that failed.
    async fn failed(&self) -> Event {
        let found = async {
            loop {
                let failed =
                    |event: &Event| event.outcome() == Outcome::Failed && event.kind() == EventKind::ProxyCalled;
                if let Some(event) = self.events().into_iter().find(failed) {
                    return event;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), found).await.expect("no record of a call that failed")
    }

    fn called(&self) -> Vec<Outcome> {
        let called = self.events().into_iter().filter(|event| event.kind() == EventKind::ProxyCalled);
        called.map(|event| event.outcome()).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_before_the_answer_is_in_the_log() {
    for does in [Does::Nothing, Does::Begins] {
        let world = World::new();
        let (router, server) = gateway(&world, does);
        {
            let call = router.oneshot(weather());
            tokio::select! {
                answer = call => panic!("nobody answered: {answer:?}"),
                () = server.came.notified() => {}
            }
        }
        server.left.notified().await;
        let event = world.failed().await;
        assert_eq!(event.get_reason(), Some("caller.gone"), "{does:?}");
        assert_eq!((event.get_user(), event.get_agent()), (Some("user:sarah"), Some("agent:sales")));
        let details = event.details();
        assert_eq!((details["method"].as_str(), details["name"].as_str()), ("tools/call", "weather"));
        assert_eq!((event.tenant(), world.called()), (TENANT, vec![Outcome::Allowed, Outcome::Failed]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_in_the_middle_of_a_stream_is_in_the_log() {
    let world = World::new();
    let (router, server) = gateway(&world, Does::OneEvent);
    let mut body = router.oneshot(weather()).await.unwrap().into_body();
    assert!(body.frame().await.unwrap().is_ok());
    drop(body);
    server.left.notified().await;
    assert_eq!(world.failed().await.get_reason(), Some("caller.gone"));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_takes_nothing_holds_nothing() {
    let world = World::new();
    let (router, server) = gateway(&world, Does::Events);
    let answer = router.oneshot(weather()).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    server.left.notified().await;
    assert_eq!(world.failed().await.get_reason(), Some("caller.slow"));
    drop(answer);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_fails_is_in_the_log_and_one_that_is_listened_to_is_not() {
    let world = World::new();
    let (router, _) = gateway(&world, Does::BreaksOff);
    let answer = router.oneshot(weather()).await.unwrap().into_body().collect().await.unwrap().to_bytes();
    assert!(String::from_utf8_lossy(&answer).contains("broke off"), "{answer:?}");
    let event = world.failed().await;
    assert_eq!(event.get_reason(), Some("mcp.server"));
    assert_eq!(event.details()["failure"], "the server behind the gateway broke off its answer");

    let world = World::new();
    let (router, server) = gateway(&world, Does::OneEvent);
    let listen = call("sarah/sales", "subscriptions/listen", json!({"notifications": {}}));
    let mut body = router.oneshot(listen).await.unwrap().into_body();
    assert!(body.frame().await.unwrap().is_ok());
    drop(body);
    server.left.notified().await;
    assert!(!world.called().contains(&Outcome::Failed), "{:?}", world.called());
}
