//! Callers who do not wait for their answer, and who do not take it: each call is in the log, and holds nothing. VAULT-9.

use super::calls::{NOTE, approved, note, ready};
use super::*;
use crate::identity::Outcome;
use http_body_util::BodyExt as _;

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_before_the_answer_is_in_the_log() {
    let (stub, world, token) = ready().await;
    stub.holds();
    {
        let call = world.get(&token, "/proxy/crm/v1/x");
        tokio::select! {
            _ = call => panic!("nobody answered"),
            () = stub.came() => {}
        }
    }
    stub.left().await;
    let event = world.until(EventKind::ProxyCalled).await;
    assert_eq!(now_is(|env| tell_lost(&world.tenant, env).unwrap()), 0, "it was told of");
    assert_eq!((event.outcome(), event.get_reason()), (Outcome::Failed, Some("caller.gone")));
    assert_eq!((event.get_agent(), event.get_resource()), (Some("agent:sales"), Some("connection:crm")));
    assert_eq!((event.get_action(), event.details().get("status")), (Some("GET /v1/x"), None));
    let (lent, ended) =
        (world.count(EventKind::VaultLeased, "GET /v1/x"), world.count(EventKind::ProxyCalled, "GET /v1/x"));
    assert_eq!((lent, ended), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_has_used_up_their_approval_and_the_log_says_which() {
    let (stub, world, token) = approved().await;
    stub.holds();
    let call = || note(&token).header("content-type", "application/json").body(Body::from(NOTE)).unwrap();
    {
        let call = world.ask(call());
        tokio::select! {
            _ = call => panic!("nobody answered"),
            () = stub.came() => {}
        }
    }
    stub.left().await;
    let event = world.until(EventKind::ProxyCalled).await;
    assert_eq!((event.get_reason(), event.details()["approval"].as_str()), (Some("caller.gone"), "the-approval"));
    assert_eq!(world.vault.inner.bodies.taken(), 0, "the body is not held any more");
    assert_eq!(world.ask(call()).await.status, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_in_the_middle_of_a_stream_is_in_the_log() {
    let (stub, world, token) = ready().await;
    let (status, mut body) = world.begin(&token, "/proxy/crm/v1/endless").await;
    let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!((status, &first[..]), (StatusCode::OK, &b"one line\n"[..]));
    drop(body);
    // The other side says nothing, and is let go all the same.
    stub.left().await;
    let event = world.until(EventKind::ProxyCalled).await;
    assert_eq!((event.outcome(), event.get_reason()), (Outcome::Failed, Some("caller.gone")));
    assert_eq!((event.details()["status"].as_str(), event.details()["bytes"].as_str()), ("200", "9"));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_takes_nothing_holds_nothing() {
    let (stub, world, token) = ready().await;
    let mut spec = crm(&stub.origin);
    spec.limits.stalled_s = 1;
    now_is(|env| change(&world.tenant, &spec, None, "user:admin", env).unwrap());
    let (status, mut body) = world.begin(&token, "/proxy/crm/v1/flood").await;
    assert_eq!(status, StatusCode::OK);
    stub.left().await;
    let event = world.until(EventKind::ProxyCalled).await;
    assert_eq!((event.outcome(), event.get_reason()), (Outcome::Failed, Some("caller.slow")));
    // What was on its way comes, and then nobody takes it for the whole.
    let mut bytes = 0;
    let end = loop {
        match body.frame().await {
            Some(Ok(frame)) => bytes += frame.data_ref().map_or(0, |data| data.len()),
            end => break end,
        }
    };
    assert!(matches!(end, Some(Err(_))) && bytes > 0, "{bytes} bytes, then {end:?}");
    for stalled_s in [0, 1_000_000] {
        spec.limits.stalled_s = stalled_s;
        assert!(spec.check().is_err(), "{stalled_s}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn output_that_nobody_waits_for_is_in_the_log() {
    let (_stub, world, token) = ready().await;
    let first = tokio_stream::once(Ok::<_, std::io::Error>("one line\n"));
    let endless = tokio_stream::StreamExt::chain(first, tokio_stream::pending());
    let output = request("POST", "/filter", &token).body(Body::from_stream(endless)).unwrap();
    let mut body = world.front.clone().call(output).await.unwrap().into_body();
    assert!(body.frame().await.unwrap().is_ok());
    drop(body);
    let event = world.until(EventKind::OutputFiltered).await;
    assert_eq!((event.outcome(), event.get_reason()), (Outcome::Failed, Some("caller.gone")));
}
