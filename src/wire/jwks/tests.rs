//! The sets of a server on loopback: when it is asked, and when not.

use super::*;
use crate::wire::{OutgoingSettings, Resolution, Resolver};
use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use serde_json::json;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use tokio::sync::Semaphore;

/// A tenant.
const ONE: u32 = 1;

/// A server of sets, and who asks it.
struct World {
    runtime: tokio::runtime::Runtime,
    stub: Arc<Stub>,
    uri: String,
    clock: Arc<AtomicU64>,
    sets: Arc<JwkSets>,
}

/// Every name is this machine.
struct Here;

impl Resolver for Here {
    fn addresses(&self, _: &str) -> Resolution {
        Box::pin(async { Ok(vec![[127, 0, 0, 1].into()]) })
    }
}

struct Stub {
    asked: AtomicUsize,
    /// Questions that may be answered.
    open: Semaphore,
    answer: Mutex<(StatusCode, Option<&'static str>, String)>,
}

/// A set with a key of this name.
fn set(kid: &str) -> String {
    let x = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU";
    let y = "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0";
    json!({"keys": [{"kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": kid, "alg": "ES256"}]}).to_string()
}

async fn answer(State(stub): State<Arc<Stub>>) -> Response {
    stub.asked.fetch_add(1, Ordering::SeqCst);
    stub.open.acquire().await.unwrap().forget();
    let (status, cache, body) = stub.answer.lock().clone();
    let headers = cache.map(|cache| [(header::CACHE_CONTROL, cache)]);
    let location = status.is_redirection().then_some([(header::LOCATION, "http://127.0.0.1:1/jwks")]);
    match (headers, location) {
        (Some(headers), _) => (status, headers, body).into_response(),
        (None, Some(location)) => (status, location, body).into_response(),
        (None, None) => (status, body).into_response(),
    }
}

impl World {
    fn new(loopback: bool) -> World {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let first = (StatusCode::OK, None, set("one"));
        let stub =
            Arc::new(Stub { asked: AtomicUsize::new(0), open: Semaphore::new(1_000), answer: Mutex::new(first) });
        let routes = Router::new().route("/jwks", get(answer)).with_state(Arc::clone(&stub));
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let uri = format!("http://{}/jwks", listener.local_addr().unwrap());
        runtime.spawn(async move { axum::serve(listener, routes).await });
        let settings = OutgoingSettings { loopback, ..OutgoingSettings::default() };
        let within = runtime.enter();
        let outgoing = Outgoing::new(settings, Here).unwrap();
        drop(within);
        let clock = Arc::new(AtomicU64::new(1_800_000_000));
        let time = Arc::clone(&clock);
        let sets = Arc::new(JwkSets::with_clock(outgoing, move || time.load(Ordering::SeqCst)));
        World { runtime, stub, uri, clock, sets }
    }

    fn answers(&self, status: u16, cache: Option<&'static str>, body: impl Into<String>) {
        *self.stub.answer.lock() = (StatusCode::from_u16(status).unwrap(), cache, body.into());
    }

    /// The same set at another host.
    fn uri_at(&self, host: &str, query: usize) -> String {
        format!("{}?{query}", self.uri.replace("127.0.0.1", host))
    }

    /// Asks on a thread of its own for the name of the first key.
    fn asking(&self, tenant: u32, uri: &str, fresh: bool) -> JoinHandle<Result<String, &'static str>> {
        let (sets, uri) = (Arc::clone(&self.sets), uri.to_owned());
        std::thread::spawn(move || {
            let set = sets.jwks(tenant, &uri, fresh).map_err(|refusal| refusal.rule)?;
            Ok(set["keys"][0]["kid"].as_str().unwrap().to_owned())
        })
    }

    /// Waits until so many are asked for, and so many wait.
    fn until(&self, under_way: usize, waiting: usize) {
        while (self.sets.at_once.taken(), self.sets.waiting.taken()) != (under_way, waiting) {
            std::thread::yield_now();
        }
    }

    fn pass(&self, seconds: u64) {
        self.clock.fetch_add(seconds, Ordering::SeqCst);
    }

    fn asked(&self) -> usize {
        self.stub.asked.load(Ordering::SeqCst)
    }

    /// The name of the first key, or the rule of the refusal.
    fn kid(&self, fresh: bool) -> Result<String, &'static str> {
        let set = self.sets.jwks(ONE, &self.uri, fresh).map_err(|refusal| refusal.rule)?;
        Ok(set["keys"][0]["kid"].as_str().unwrap().to_owned())
    }
}

#[test]
fn a_set_is_kept_as_long_as_its_server_says_within_bounds() {
    let world = World::new(true);
    for (cache, kept) in [
        (None, JWKS_KEPT_S),
        (Some("public, max-age=600"), 600),
        (Some("max-age=1"), JWKS_KEPT_MIN_S),
        (Some("no-store"), JWKS_KEPT_MIN_S),
        (Some("max-age=99999999"), JWKS_KEPT_MAX_S),
        (Some("max-age=x"), JWKS_KEPT_S),
    ] {
        world.pass(JWKS_KEPT_MAX_S);
        world.answers(200, cache, set("one"));
        let before = world.asked();
        assert_eq!(world.kid(false).as_deref(), Ok("one"));
        world.pass(kept - 1);
        assert_eq!(world.kid(false).as_deref(), Ok("one"));
        assert_eq!(world.asked(), before + 1, "{cache:?}");
        world.pass(1);
        world.answers(200, cache, set("two"));
        assert_eq!(world.kid(false).as_deref(), Ok("two"));
        assert_eq!(world.asked(), before + 2, "{cache:?}");
    }
    // A SPIFFE bundle says it by itself, when its server does not.
    for (cache, kept) in [(None, 600), (Some("max-age=900"), 900)] {
        world.pass(JWKS_KEPT_MAX_S);
        let mut bundle: Value = serde_json::from_str(&set("one")).unwrap();
        bundle["spiffe_refresh_hint"] = 600.into();
        world.answers(200, cache, bundle.to_string());
        let before = world.asked();
        assert_eq!(world.kid(false).as_deref(), Ok("one"));
        world.pass(kept - 1);
        assert_eq!(world.kid(false).as_deref(), Ok("one"));
        assert_eq!(world.asked(), before + 1, "{cache:?}");
        world.pass(1);
        assert_eq!(world.kid(false).as_deref(), Ok("one"));
        assert_eq!(world.asked(), before + 2, "{cache:?}");
    }
}

#[test]
fn a_key_that_is_not_there_is_looked_for_now_and_then() {
    let world = World::new(true);
    assert_eq!(world.kid(false).as_deref(), Ok("one"));
    world.answers(200, None, set("two"));
    for _ in 0..10 {
        assert_eq!(world.kid(true).as_deref(), Ok("one"), "it was asked for just now");
    }
    assert_eq!(world.asked(), 1);
    world.pass(JWKS_REFETCH_S);
    for _ in 0..10 {
        assert_eq!(world.kid(true).as_deref(), Ok("two"));
    }
    assert_eq!(world.asked(), 2);
    // A server that fails then does not take away what is still good, nor is it asked more often.
    world.pass(JWKS_REFETCH_S);
    world.answers(500, None, "");
    assert_eq!(world.kid(true), Err("jwks.unreachable"));
    assert_eq!(world.kid(true).as_deref(), Ok("two"));
    assert_eq!(world.kid(false).as_deref(), Ok("two"));
    assert_eq!(world.asked(), 3);
}

#[test]
fn many_callers_are_one_question() {
    let world = World::new(true);
    world.stub.open.forget_permits(1_000);
    let ask = || world.asking(ONE, &world.uri, true);
    let asking: Vec<_> = (0..=WAITING_PER_TENANT_MAX).map(|_| ask()).collect();
    world.until(1, WAITING_PER_TENANT_MAX);
    // One more would take a thread that others need.
    assert_eq!(ask().join().unwrap(), Err("jwks.busy"));
    world.stub.open.add_permits(1);
    for one in asking {
        assert_eq!(one.join().unwrap().as_deref(), Ok("one"));
    }
    assert_eq!((world.asked(), world.sets.waiting.taken()), (1, 0));
}

#[test]
fn who_has_their_key_never_waits_for_who_has_not() {
    let world = World::new(true);
    assert_eq!(world.kid(false).as_deref(), Ok("one"));
    world.pass(JWKS_REFETCH_S);
    world.answers(200, None, set("two"));
    world.stub.open.forget_permits(1_000);
    // Strangers make the set be asked for again, and as many as may wait do.
    let strangers: Vec<_> = (0..=WAITING_PER_TENANT_MAX).map(|_| world.asking(ONE, &world.uri, true)).collect();
    world.until(1, WAITING_PER_TENANT_MAX);
    assert_eq!(world.kid(true), Err("jwks.busy"));
    for _ in 0..10 {
        assert_eq!(world.kid(false).as_deref(), Ok("one"));
    }
    // What comes from elsewhere wakes them, and is not what they wait for.
    let at = world.uri_at("x.example", 0);
    world.sets.kept.lock().sets.insert(at.clone(), Entry { under_way: Some(ONE), ..Entry::default() });
    drop(Landing { sets: &world.sets, uri: &at, _place: world.sets.at_once.take(ONE).unwrap() });
    assert_eq!(world.kid(false).as_deref(), Ok("one"));
    world.until(1, WAITING_PER_TENANT_MAX);
    world.stub.open.add_permits(1_000);
    for stranger in strangers {
        assert_eq!(stranger.join().unwrap().as_deref(), Ok("two"));
    }
    assert_eq!((world.kid(false).as_deref(), world.asked()), (Ok("two"), 2));
    // One whose time is over is no good one, whatever is under way.
    world.pass(JWKS_KEPT_S);
    world.answers(200, None, set("three"));
    world.stub.open.forget_permits(1_000);
    let asking = [world.asking(ONE, &world.uri, false), world.asking(ONE, &world.uri, false)];
    world.until(1, 1);
    world.stub.open.add_permits(1_000);
    for one in asking {
        assert_eq!(one.join().unwrap().as_deref(), Ok("three"));
    }
}

#[test]
fn a_host_that_says_nothing_leaves_places_for_others() {
    let world = World::new(true);
    world.stub.open.forget_permits(1_000);
    let slow = |tenant, n| world.asking(tenant, &world.uri_at("slow.example", n), false);
    let mut asking: Vec<_> = (0..AT_ONCE_PER_HOST_AND_TENANT_MAX).map(|n| slow(ONE, n)).collect();
    world.until(AT_ONCE_PER_HOST_AND_TENANT_MAX, 0);
    for host in ["slow.example", "SLOW.example", "slow.example."] {
        let refusal = world.sets.jwks(ONE, &world.uri_at(host, 99), false).unwrap_err();
        assert_eq!(refusal.rule, "jwks.busy", "{host}");
    }
    asking.push(world.asking(ONE, &world.uri_at("other.example", 0), false));
    world.until(AT_ONCE_PER_HOST_AND_TENANT_MAX + 1, 0);
    // Other tenants have keys there too, until the host has all that one host may have.
    for n in AT_ONCE_PER_HOST_AND_TENANT_MAX..AT_ONCE_PER_HOST_MAX {
        asking.push(slow(1 + u32::try_from(n).unwrap(), n));
        world.until(n + 2, 0);
    }
    assert_eq!(slow(99, 99).join().unwrap(), Err("jwks.busy"));
    world.stub.open.add_permits(1_000);
    for one in asking {
        assert_eq!(one.join().unwrap().as_deref(), Ok("one"));
    }
    assert!(world.sets.jwks(ONE, &world.uri_at("slow.example", 99), false).is_ok());
}

#[test]
fn a_tenant_whose_servers_say_nothing_takes_no_others_places() {
    let world = World::new(true);
    world.stub.open.forget_permits(1_000);
    let at = |n: usize| world.uri_at(&format!("{n}.example"), 0);
    let mut asking: Vec<_> = (0..AT_ONCE_PER_TENANT_MAX).map(|n| world.asking(ONE, &at(n), false)).collect();
    world.until(AT_ONCE_PER_TENANT_MAX, 0);
    asking.extend((0..WAITING_PER_TENANT_MAX).map(|_| world.asking(ONE, &at(0), false)));
    world.until(AT_ONCE_PER_TENANT_MAX, WAITING_PER_TENANT_MAX);
    for n in [0, 99] {
        assert_eq!(world.asking(ONE, &at(n), false).join().unwrap(), Err("jwks.busy"));
    }
    // Another asks for the same set, and for one of its own.
    asking.extend([world.asking(2, &at(0), false), world.asking(2, &at(50), false)]);
    world.until(AT_ONCE_PER_TENANT_MAX + 1, WAITING_PER_TENANT_MAX + 1);
    world.stub.open.add_permits(1_000);
    for one in asking {
        assert_eq!(one.join().unwrap().as_deref(), Ok("one"));
    }
    world.until(0, 0);
}

#[test]
fn no_more_are_asked_for_at_once_than_may_be() {
    let world = World::new(true);
    world.stub.open.forget_permits(1_000);
    let asking: Vec<_> = (0..AT_ONCE_MAX)
        .map(|n| world.asking(u32::try_from(n).unwrap(), &world.uri_at(&format!("{n}.example"), 0), false))
        .collect();
    world.until(AT_ONCE_MAX, 0);
    assert_eq!(world.asking(99, &world.uri, false).join().unwrap(), Err("jwks.busy"));
    world.stub.open.add_permits(AT_ONCE_MAX + 1);
    for one in asking {
        assert_eq!(one.join().unwrap().as_deref(), Ok("one"));
    }
    assert_eq!(world.kid(false).as_deref(), Ok("one"));
}

#[test]
fn what_is_no_set_is_none_and_the_one_before_is_not_used_beyond_its_time() {
    let world = World::new(true);
    let large =
        format!("{{\"keys\": [], \"x\": \"{}\"}}", "x".repeat(usize::try_from(FETCHED_JWKS_BYTES_MAX).unwrap()));
    for (status, body) in
        [(200, "{".to_owned()), (200, "{\"keys\": []}".into()), (404, set("one")), (302, set("one")), (200, large)]
    {
        world.answers(status, None, body);
        let before = world.asked();
        assert_eq!(world.kid(false), Err("jwks.unreachable"), "{status}");
        assert_eq!(world.kid(true), Err("jwks.unreachable"), "a failure is remembered for a moment");
        assert_eq!(world.asked(), before + 1);
        world.pass(FAILED_S);
    }
    world.answers(200, None, set("one"));
    assert_eq!(world.kid(false).as_deref(), Ok("one"));
    world.pass(JWKS_KEPT_S);
    world.answers(503, None, "");
    assert_eq!(world.kid(false), Err("jwks.unreachable"));
    world.pass(FAILED_S);
    world.answers(200, None, set("two"));
    assert_eq!(world.kid(false).as_deref(), Ok("two"));
}

#[test]
fn addresses_are_judged_and_why_is_not_told_to_who_asks() {
    let world = World::new(false);
    for uri in [world.uri.as_str(), "https://127.0.0.1/jwks", "https://169.254.169.254/jwks", "ftp://x.example/", "x"] {
        let refusal = world.sets.jwks(ONE, uri, false).unwrap_err();
        assert_eq!((refusal.error, refusal.rule), (ErrorCode::TemporarilyUnavailable, "jwks.unreachable"), "{uri}");
        assert!(!refusal.description.contains("address") && refusal.cause.is_some());
    }
    assert_eq!(world.asked(), 0);
    drop(world.runtime);
}

#[test]
fn what_is_kept_is_bounded() {
    let world = World::new(false);
    for n in 0..SETS_MAX + 10 {
        world.pass(1);
        assert!(world.sets.jwks(ONE, &format!("x{n}"), false).is_err());
    }
    let kept = world.sets.kept.lock();
    assert_eq!(kept.sets.len(), SETS_MAX);
    assert!(!kept.sets.contains_key("x9") && kept.sets.contains_key("x10"));
}
