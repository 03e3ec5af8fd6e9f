//! Who is told, and that it is told once it can be.

use super::channel::{
    Callback, Called, Calls, Channel, Channels, Message, News, NotSaid, PushCall, Pushes, Tidings, Webhook,
};
use super::*;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;

/// Answers as it is told to, and remembers what it was asked.
#[derive(Clone)]
struct Endpoint {
    answers: Arc<Mutex<Vec<Called>>>,
    calls: Arc<Mutex<Vec<(String, String, String)>>>,
}

impl Endpoint {
    fn new(answers: &[Called]) -> Endpoint {
        Endpoint { answers: Arc::new(Mutex::new(answers.to_vec())), calls: Arc::default() }
    }
}

impl Calls for Endpoint {
    fn call(&self, callback: &Callback<'_>) -> Called {
        let call = (callback.url.to_owned(), callback.bearer.to_owned(), callback.body.to_owned());
        self.calls.lock().push(call);
        self.answers.lock().pop().unwrap_or(Called::Answered(204))
    }
}

impl Pushes for Endpoint {
    fn push(&self, _: &PushCall<'_>) -> Called {
        Called::Failed
    }
}

fn pinged(world: &World) -> (Asked, &'static str) {
    let ping = Backchannel {
        delivery: Delivery::Ping { endpoint: "https://agent.example/notify".into() },
        ..Backchannel::default()
    };
    put_backchannel(&world.tenant, "sales", &ping, "user:ann", &world.env()).unwrap();
    let token = "8d67dc78-7faa-4d41-aabd-67707b374255";
    (world.ask(&[("client_notification_token", token)]).unwrap(), token)
}

fn send(world: &World, endpoint: &Endpoint) -> Sent {
    let (push, callback) = (Box::new(endpoint.clone()), Box::new(endpoint.clone()));
    let channels = Channels { channels: Vec::new(), push, callback, clock: Box::new(|| Duration::ZERO) };
    world.approvals.send(&world.tenant, &channels, &world.env()).unwrap()
}

#[test]
fn a_client_is_pinged_when_it_is_decided() {
    let world = World::new();
    let endpoint = Endpoint::new(&[]);
    let (asked, token) = pinged(&world);
    assert_eq!(send(&world, &endpoint), Sent::default(), "nothing is decided yet");
    world.approve(&asked).unwrap();
    assert_eq!(send(&world, &endpoint), Sent { sent: 1, ..Sent::default() });
    let body = json!({"auth_req_id": asked.auth_req_id}).to_string();
    assert_eq!(*endpoint.calls.lock(), [("https://agent.example/notify".to_owned(), token.to_owned(), body)]);
    assert_eq!(send(&world, &endpoint), Sent::default(), "once");
    world.fetch(&asked).unwrap();
    // Of a denial, and of an end without a decision, too.
    for deny in [true, false] {
        let (asked, _) = pinged(&world);
        let record = world.record(&asked);
        if deny {
            world.decide(&world.sign_in("sarah"), &asked, &Choice::Deny).unwrap();
        } else {
            world.approvals.expire_one(&world.tenant, &record, &world.env()).unwrap();
        }
        assert_eq!(send(&world, &endpoint).sent, 1);
    }
}

#[test]
fn an_endpoint_that_fails_is_called_again_and_not_for_ever() {
    let (sent, later, refused) = ((1, 0, 0), (0, 1, 0), (0, 0, 1));
    // Over HTTP: tests/openid_ciba.rs.
    for (id, answer, expected) in [
        ("a body", Called::Answered(200), sent),
        ("nothing", Called::Answered(204), sent),
        ("401", Called::Answered(401), refused),
        ("403", Called::Answered(403), refused),
        ("a redirect", Called::Answered(302), refused),
        ("too many", Called::Answered(429), later),
        // fapi-ciba-id1-ping-notification-endpoint-retries-after-transient-error-for-brazil
        ("503", Called::Answered(503), later),
        ("an address that may not be called", Called::Refused, later),
        ("nobody", Called::Failed, later),
    ] {
        let mut world = World::new();
        let endpoint = Endpoint::new(&[answer]);
        let (asked, _) = pinged(&world);
        world.approve(&asked).unwrap();
        let done = send(&world, &endpoint);
        assert_eq!((done.sent, done.later, done.dropped), expected, "{id}");
        world.now += 10;
        let again = if expected == later { Sent { sent: 1, ..Sent::default() } } else { Sent::default() };
        assert_eq!(send(&world, &endpoint), again, "{id}");
        // Whatever it answers, the token can be fetched.
        world.fetch(&asked).unwrap();
    }
    let mut world = World::new();
    let endpoint = Endpoint::new(&[Called::Failed; 20]);
    let ping =
        Backchannel { delivery: Delivery::Ping { endpoint: "https://a.example/".into() }, ..Backchannel::default() };
    put_backchannel(&world.tenant, "sales", &ping, "x", &world.env()).unwrap();
    let token = ("client_notification_token", "8d67dc78-7faa-4d41-aabd-67707b374255");
    let asked = world.ask(&[token, ("requested_expiry", "100000")]).unwrap();
    world.approve(&asked).unwrap();
    let (mut tries, mut dropped) = (0, 0);
    for _ in 0..10_000 {
        let done = send(&world, &endpoint);
        (tries, dropped) = (tries + done.later + done.dropped, dropped + done.dropped);
        world.now += 10;
    }
    assert_eq!((tries, dropped), (TRIES_MAX as usize, 1));
}

#[test]
fn a_notice_that_cannot_be_told_keeps_no_other_back() {
    let mut world = World::new();
    let endpoint = Endpoint::new(&[]);
    let (broken, _) = pinged(&world);
    let (sound, _) = pinged(&world);
    for asked in [&broken, &sound] {
        world.approve(asked).unwrap();
    }
    let held = world.record(&broken);
    let mut damaged = held.value.clone();
    damaged.ping.as_mut().unwrap().sealed = "AAAA".into();
    let env = world.env();
    let mut change = world.tenant.change(&env);
    change.replace(&held, &damaged);
    change.commit().unwrap();
    assert_eq!(send(&world, &endpoint), Sent { sent: 1, later: 1, dropped: 0 });
    let mut dropped = 0;
    for _ in 0..1_000 {
        world.now += 10;
        dropped += send(&world, &endpoint).dropped;
    }
    assert_eq!(dropped, 1);
    assert_eq!(endpoint.calls.lock().len(), 1);
}

/// Remembers what it was told.
#[derive(Clone, Default)]
struct Board(Arc<Mutex<Vec<String>>>);

impl Channel for Board {
    fn name(&self) -> &str {
        "board"
    }

    fn tell(&self, message: &Message<'_>) -> Result<(), NotSaid> {
        let people: Vec<&str> = message.people.iter().filter_map(|p| p.email.as_deref()).collect();
        let (subject, body) = super::mail::text(message);
        self.0.lock().push(format!("{} | {} | {subject} | {body}", people.join(","), message.link));
        Ok(())
    }

    fn news(&self, tidings: &Tidings<'_>) -> Result<(), NotSaid> {
        let (subject, body) = super::mail::news_text(tidings);
        self.0.lock().push(format!("{} | {subject} | {body}", tidings.person.email.as_deref().unwrap_or("nobody")));
        Ok(())
    }
}

/// The board and the hook.
fn board(endpoint: &Endpoint) -> (Board, Channels) {
    let board = Board::default();
    let hook = Webhook {
        name: "hook".into(),
        url: "https://ops.example/hook".into(),
        bearer: "hook-token".into(),
        calls: Box::new(endpoint.clone()),
    };
    let channels = Channels {
        channels: vec![Box::new(board.clone()), Box::new(hook)],
        push: Box::new(endpoint.clone()),
        callback: Box::new(endpoint.clone()),
        clock: Box::new(|| Duration::ZERO),
    };
    (board, channels)
}

fn reconnect(name: &str) -> News {
    News::Reconnect { connection: "crm".into(), name: name.into() }
}

#[test]
fn who_has_to_connect_something_again_is_told_by_every_channel_once() {
    let world =
        World::with(ApprovalSettings { channels: vec!["board".into(), "hook".into()], ..ApprovalSettings::default() });
    let endpoint = Endpoint::new(&[Called::Answered(503)]);
    let (board, channels) = board(&endpoint);
    let send = |now| world.approvals.send(&world.tenant, &channels, &Env { now: at(now), ..world.env() }).unwrap();
    world.approvals.tell_news(&world.tenant, "boss", &reconnect("The\nCRM"), &world.env()).unwrap();
    assert_eq!(send(START), Sent { sent: 1, later: 1, dropped: 0 }, "the hook fails at first");
    assert_eq!(send(START + 60), Sent { sent: 1, ..Sent::default() });
    assert_eq!(send(START + 120), Sent::default(), "once");
    let told = board.0.lock().clone();
    assert_eq!(told.len(), 1);
    let link = "https://id.example/acme/connect/crm";
    assert!(told[0].starts_with("boss@example.com | Connect TheCRM again | ") && told[0].contains(link), "{told:?}");
    let body: Value = serde_json::from_str(&endpoint.calls.lock()[1].2).unwrap();
    assert_eq!((&body["event"], &body["link"]), (&json!("connection.reconnect_needed"), &json!(link)));
    assert_eq!((&body["connection"], &body["people"][0]["id"]), (&json!("crm"), &json!("boss")));
    // Of somebody who is gone, or long after, nobody is told.
    world.approvals.tell_news(&world.tenant, "nobody", &reconnect("CRM"), &world.env()).unwrap();
    assert_eq!(send(START + 180).dropped, 2);
    world.approvals.tell_news(&world.tenant, "boss", &reconnect("CRM"), &world.env()).unwrap();
    assert_eq!(send(START + 8 * 24 * 3_600).dropped, 2);
}

#[test]
fn who_may_give_agents_to_somebody_else_is_told_which() {
    let world =
        World::with(ApprovalSettings { channels: vec!["board".into(), "hook".into()], ..ApprovalSettings::default() });
    let endpoint = Endpoint::new(&[]);
    let (board, channels) = board(&endpoint);
    let orphans = News::Orphans { agents: vec!["sales-bot".into(), "mail-bot".into()], more: 3 };
    world.approvals.tell_news(&world.tenant, "boss", &orphans, &world.env()).unwrap();
    let done = world.approvals.send(&world.tenant, &channels, &world.env()).unwrap();
    assert_eq!(done, Sent { sent: 2, ..Sent::default() });
    let told = board.0.lock().pop().unwrap();
    assert!(told.starts_with("boss@example.com | 5 agents have nobody who answers for them | "), "{told}");
    assert!(told.contains("  sales-bot\n  mail-bot\n  and 3 more\n"), "{told}");
    let body: Value = serde_json::from_str(&endpoint.calls.lock()[0].2).unwrap();
    assert_eq!((&body["event"], &body["agents"][1]), (&json!("agent.orphaned"), &json!("mail-bot")));
}

#[test]
fn who_was_not_asked_is_told_what_others_allowed_in_their_name() {
    let world = World::with(ApprovalSettings { channels: vec!["board".into()], ..ApprovalSettings::default() });
    let endpoint = Endpoint::new(&[]);
    let (board, channels) = board(&endpoint);
    let told = || {
        world.approvals.send(&world.tenant, &channels, &world.env()).unwrap();
        std::mem::take(&mut *board.0.lock())
    };
    let (large, small) = (world.propose(&["450000"]).unwrap(), world.propose(&["5000"]).unwrap());
    told();
    world.approve(&small).unwrap();
    assert!(told().is_empty(), "what they allow themselves they know");
    world.decide(&world.sign_in("boss"), &large, &all_of(&world.record(&large))).unwrap();
    let told = told();
    assert_eq!(told.len(), 1, "{told:?}");
    let subject = "sarah@example.com | Bo Ss allowed The sales agent something in your name | ";
    assert!(
        told[0].starts_with(subject) && told[0].contains("  Send the proposal for 450000 USD to Acme Corp"),
        "{told:?}"
    );
    assert!(told[0].contains("https://id.example/acme/account"), "{told:?}");
}

#[test]
fn people_are_told_of_what_waits_for_them_and_nothing_secret() {
    let world =
        World::with(ApprovalSettings { channels: vec!["board".into(), "hook".into()], ..ApprovalSettings::default() });
    let endpoint = Endpoint::new(&[]);
    let (board, channels) = board(&endpoint);
    let asked = world.propose(&["450000"]).unwrap();
    let decided = world.propose(&["5000"]).unwrap();
    world.approve(&decided).unwrap();
    let done = world.approvals.send(&world.tenant, &channels, &world.env()).unwrap();
    assert_eq!((done.sent, done.dropped), (2, 2), "of what is decided nobody is told any more");
    let told = board.0.lock().clone();
    let link = format!("https://id.example/acme/approvals/{}", id_of(&asked));
    assert_eq!(told.len(), 1);
    assert!(told[0].starts_with(&format!("boss@example.com | {link} | The sales agent asks you to approve: Send the proposal for 450000 USD to Acme Corp")), "{told:?}");
    let (url, bearer, body) = endpoint.calls.lock()[0].clone();
    assert_eq!((url.as_str(), bearer.as_str()), ("https://ops.example/hook", "hook-token"));
    let secret = asked.auth_req_id.split_once('.').unwrap().1;
    assert!(!body.contains(secret) && !told[0].contains(secret));
    assert!(body.contains("\"people\":[{\"id\":\"boss\""), "{body}");
    // A channel that is not there any more is tried again, and given up in the end.
    let unknown = World::with(ApprovalSettings { channels: vec!["gone".into()], ..ApprovalSettings::default() });
    unknown.propose(&["5000"]).unwrap();
    assert_eq!(send(&unknown, &endpoint).later, 1);
}
