//! Web Push: who is told in which browser, what they are told, and what becomes of a browser that is gone.

use super::channel::{Called, Calls, Channels, News, PushCall, Pushes};
use super::*;
use crate::identity::{EventKind, decode, hash_of};
use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{ECDH_P256, PrivateKey, UnparsedPublicKey, agree};
use aws_lc_rs::hmac;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey as Verifying};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// A browser: its keys, and the URL by which a push service knows it.
pub(super) struct Phone {
    key: PrivateKey,
    auth: [u8; 16],
    pub(super) endpoint: String,
}

impl Phone {
    pub(super) fn new(n: u8) -> Phone {
        let key = PrivateKey::from_private_key(&ECDH_P256, &[n; 32]).unwrap();
        Phone { key, auth: [n; 16], endpoint: format!("https://push.example/send/{n}") }
    }

    fn public(&self) -> Vec<u8> {
        self.key.compute_public_key().unwrap().as_ref().to_vec()
    }

    pub(super) fn add(&self, world: &World, user: &str) -> Answer<()> {
        let (p256dh, auth) = (encode(&self.public()), encode(&self.auth));
        let new = NewDevice { endpoint: &self.endpoint, p256dh: &p256dh, auth: &auth, key: "", name: "A phone" };
        add_device(&world.tenant, user, new, &world.env())
    }

    /// What it shows, as RFC 8291 and RFC 8188 say that it is read. The steps are those of the standards with HMAC alone, so that
    /// they are not the code that they judge.
    fn read(&self, message: &[u8]) -> Value {
        let mac = |key: &[u8], parts: &[&[u8]]| {
            hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), &parts.concat()).as_ref().to_vec()
        };
        let (salt, rest) = message.split_at(16);
        assert_eq!(rest[..5], [0, 0, 16, 0, 65], "one record of 4,096 bytes, and a key");
        let (sender, sealed) = rest[5..].split_at(65);
        let shared = agree(&self.key, UnparsedPublicKey::new(&ECDH_P256, sender), (), |s| Ok(s.to_vec())).unwrap();
        let first = mac(&self.auth, &[&shared]);
        let input = mac(&first, &[b"WebPush: info\0", &self.public(), sender, &[1]]);
        let second = mac(salt, &[&input]);
        let content = mac(&second, &[b"Content-Encoding: aes128gcm\0", &[1]]);
        let nonce = mac(&second, &[b"Content-Encoding: nonce\0", &[1]]);
        let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &content[..16]).unwrap());
        let nonce = Nonce::try_assume_unique_for_key(&nonce[..12]).unwrap();
        let mut bytes = sealed.to_vec();
        let plain = key.open_in_place(nonce, Aad::empty(), &mut bytes).unwrap();
        serde_json::from_slice(plain.strip_suffix(&[2]).unwrap()).unwrap()
    }
}

/// What a push service was sent.
struct Sent1 {
    url: String,
    authorization: String,
    ttl_s: u64,
    topic: String,
    body: Vec<u8>,
}

/// Answers as it is told to, the last first, and remembers what it was sent.
#[derive(Clone, Default)]
struct Service {
    answers: Arc<Mutex<Vec<Called>>>,
    sent: Arc<Mutex<Vec<Sent1>>>,
}

impl Pushes for Service {
    fn push(&self, call: &PushCall<'_>) -> Called {
        self.sent.lock().push(Sent1 {
            url: call.url.into(),
            authorization: call.authorization.into(),
            ttl_s: call.ttl_s,
            topic: call.topic.into(),
            body: call.body.to_vec(),
        });
        self.answers.lock().pop().unwrap_or(Called::Answered(201))
    }
}

impl Calls for Service {
    fn call(&self, _: &super::channel::Callback<'_>) -> Called {
        Called::Failed
    }
}

fn world() -> World {
    World::with(ApprovalSettings { push: true, ..ApprovalSettings::default() })
}

/// Says what is due: first one notice becomes one for each browser, then those are tried.
fn send(world: &World, service: &Service) -> Sent {
    let channels = Channels {
        channels: Vec::new(),
        push: Box::new(service.clone()),
        callback: Box::new(service.clone()),
        clock: Box::new(|| Duration::ZERO),
    };
    world.approvals.send(&world.tenant, &channels, &world.env()).unwrap()
}

#[test]
fn who_may_decide_is_told_in_each_of_their_browsers_and_in_no_others() {
    let (world, service) = (world(), Service::default());
    let (phone, desk, eves) = (Phone::new(1), Phone::new(2), Phone::new(3));
    for (browser, user) in [(&phone, "boss"), (&desk, "boss"), (&eves, "eve")] {
        browser.add(&world, user).unwrap();
    }
    let asked = world.propose(&["450000"]).unwrap();
    assert_eq!(send(&world, &service), Sent::default(), "one notice becomes two");
    assert_eq!(send(&world, &service), Sent { sent: 2, ..Sent::default() });
    assert_eq!(send(&world, &service), Sent::default(), "once");
    let sent = service.sent.lock();
    let mut told = Vec::new();
    for one in sent.iter() {
        let browser = [&phone, &desk].into_iter().find(|browser| browser.endpoint == one.url).unwrap();
        told.push(browser.read(&one.body));
        assert_eq!((one.topic.as_str(), one.ttl_s), (id_of(&asked).as_str(), 300));
    }
    assert_ne!(sent[0].url, sent[1].url);
    assert_ne!(sent[0].body[..86], sent[1].body[..86], "salt and key are of one message");
    let link = format!("{ISSUER}/approvals/{}", id_of(&asked));
    let expected = json!({
        "title": "The sales agent asks for your approval", "body": "For Sarah Chen. Look at it and decide.", "link": link,
        "tag": id_of(&asked),
    });
    assert_eq!(told, [expected.clone(), expected]);
    // Neither what is asked for nor what could be used stands in it.
    let secret = asked.auth_req_id.split_once('.').unwrap().1;
    assert!(!told[0].to_string().contains("450000") && !told[0].to_string().contains(secret));
}

#[test]
fn whose_connection_is_broken_is_told_in_their_browsers() {
    let (world, service) = (world(), Service::default());
    let (phone, desk, eves) = (Phone::new(1), Phone::new(2), Phone::new(3));
    for (browser, user) in [(&phone, "boss"), (&desk, "boss"), (&eves, "eve")] {
        browser.add(&world, user).unwrap();
    }
    let news = News::Reconnect { connection: "crm".into(), name: "The CRM".into() };
    world.approvals.tell_news(&world.tenant, "boss", &news, &world.env()).unwrap();
    // What has no page is not for browsers.
    let orphans = News::Orphans { agents: vec!["a".into()], more: 0 };
    world.approvals.tell_news(&world.tenant, "boss", &orphans, &world.env()).unwrap();
    assert_eq!(send(&world, &service), Sent { sent: 2, ..Sent::default() });
    let sent = service.sent.lock();
    for one in sent.iter() {
        let browser = [&phone, &desk].into_iter().find(|browser| browser.endpoint == one.url).unwrap();
        let told = browser.read(&one.body);
        assert_eq!(
            (&told["title"], &told["link"]),
            (&json!("Connect The CRM again"), &json!(format!("{ISSUER}/connect/crm")))
        );
        assert_eq!((told["tag"].as_str(), one.topic.len()), (Some(one.topic.as_str()), 32), "RFC 8030 5.4");
    }
    assert_ne!(sent[0].url, sent[1].url);
}

#[test]
fn a_push_service_is_shown_who_sends() {
    let (world, service, phone) = (world(), Service::default(), Phone::new(1));
    phone.add(&world, "sarah").unwrap();
    world.propose(&["5000"]).unwrap();
    send(&world, &service);
    send(&world, &service);
    let sent = service.sent.lock();
    // RFC 8292 3: `vapid t=TOKEN, k=KEY`.
    let (token, key) = sent[0].authorization.strip_prefix("vapid t=").unwrap().split_once(", k=").unwrap();
    assert_eq!(key, public_key(&world.tenant, &world.env()).unwrap());
    let (message, signature) = token.rsplit_once('.').unwrap();
    let point = decode(key).unwrap();
    assert_eq!((point.len(), point[0]), (65, 4));
    let verifying = Verifying::new(&ECDSA_P256_SHA256_FIXED, &point);
    verifying.verify(message.as_bytes(), &decode(signature).unwrap()).unwrap();
    let header: Value = serde_json::from_slice(&decode(message.split('.').next().unwrap()).unwrap()).unwrap();
    assert_eq!(header, json!({"typ": "JWT", "alg": "ES256"}));
    let claims = claims(token);
    assert_eq!((&claims["aud"], &claims["sub"]), (&json!("https://push.example"), &json!(ISSUER)));
    let lives = claims["exp"].as_u64().unwrap() - world.now;
    assert!((1..=24 * 3_600).contains(&lives), "{lives}");
}

#[test]
fn a_browser_that_is_gone_is_forgotten_and_one_that_fails_is_tried_again_and_not_for_ever() {
    for status in [404, 410] {
        let (world, service, phone) = (world(), Service::default(), Phone::new(1));
        phone.add(&world, "sarah").unwrap();
        world.propose(&["5000"]).unwrap();
        send(&world, &service);
        service.answers.lock().push(Called::Answered(status));
        assert_eq!(send(&world, &service), Sent { dropped: 1, ..Sent::default() });
        assert!(devices(&world.tenant, "sarah").unwrap().is_empty());
        let gone = world.newest("device.removed");
        assert_eq!((gone.kind(), gone.get_reason()), (EventKind::DeviceRemoved, Some("push.gone")));
        phone.add(&world, "sarah").unwrap(); // it can come back
    }
    let failing =
        [400, 401, 403, 413, 429, 500, 503].map(Called::Answered).into_iter().chain([Called::Refused, Called::Failed]);
    for answer in failing {
        let (mut world, service, phone) = (world(), Service::default(), Phone::new(1));
        phone.add(&world, "sarah").unwrap();
        let details = json!([detail("5000")]).to_string();
        world.ask(&[("authorization_details", &details), ("requested_expiry", "100000")]).unwrap();
        send(&world, &service);
        *service.answers.lock() = vec![answer; 100];
        let (mut later, mut dropped) = (0, 0);
        for _ in 0..400 {
            let done = send(&world, &service);
            (later, dropped) = (later + done.later, dropped + done.dropped);
            world.now += 10;
        }
        assert_eq!((later + 1, dropped), (TRIES_MAX as usize, 1), "{answer:?}");
        assert_eq!(devices(&world.tenant, "sarah").unwrap().len(), 1, "{answer:?}");
    }
}

#[test]
fn nobody_is_told_of_what_is_decided_or_is_not_theirs_any_more() {
    let (world, service, phone) = (world(), Service::default(), Phone::new(1));
    phone.add(&world, "sarah").unwrap();
    let asked = world.propose(&["5000"]).unwrap();
    send(&world, &service);
    world.approve(&asked).unwrap();
    assert_eq!(send(&world, &service), Sent { dropped: 1, ..Sent::default() });
    // Who was removed between the question and the notice.
    phone.add(&world, "olga").unwrap();
    let mut by_owner = proposal();
    by_owner.rules.clear();
    by_owner.rules.push(serde_json::from_value(json!({"who": ["owner"]})).unwrap());
    put_type(&world.tenant, &by_owner, "user:ann", &world.env()).unwrap();
    world.propose(&["5000"]).unwrap();
    send(&world, &service);
    let mut change = world.tenant.change(&world.env());
    change.unrelate("team:ops", "member", "user:olga");
    change.commit().unwrap();
    assert_eq!(send(&world, &service), Sent { dropped: 1, ..Sent::default() });
    assert!(service.sent.lock().is_empty());
}

#[test]
fn a_browser_is_one_persons_is_there_once_and_holds_nothing_in_clear() {
    let world = world();
    let phone = Phone::new(1);
    phone.add(&world, "sarah").unwrap();
    phone.add(&world, "sarah").unwrap();
    assert_eq!(devices(&world.tenant, "sarah").unwrap().len(), 1);
    phone.add(&world, "eve").unwrap();
    assert!(devices(&world.tenant, "sarah").unwrap().is_empty(), "who signed in there next has it now");
    let device = devices(&world.tenant, "eve").unwrap().pop().unwrap();
    let kept = serde_json::to_string(&device.value).unwrap();
    assert!(!kept.contains("push.example") && !kept.contains(&encode(&phone.auth)), "{kept}");
    assert_eq!(rule(remove_device(&world.tenant, "sarah", &device.id, "x", &world.env())), "not_found");
    remove_device(&world.tenant, "eve", &device.id, "push.removed_by_owner", &world.env()).unwrap();
    assert!(devices(&world.tenant, "eve").unwrap().is_empty());
    for n in 1..=u8::try_from(DEVICES_MAX).unwrap() {
        Phone::new(n).add(&world, "sarah").unwrap();
    }
    assert_eq!(rule(Phone::new(99).add(&world, "sarah")), "push.max");
    Phone::new(1).add(&world, "sarah").unwrap(); // one that is there can be renewed
}

#[test]
fn what_no_browser_sends_is_refused() {
    let world = world();
    let phone = Phone::new(1);
    let (p256dh, auth) = (encode(&phone.public()), encode(&phone.auth));
    let short = encode(&[1; 15]);
    let off = encode(&[4; 65]);
    let long = format!("https://push.example/{}", "a".repeat(2_048));
    for (endpoint, p256dh, auth, expected) in [
        ("https://push.example/x", &p256dh, &auth, "allowed"),
        ("http://push.example/x", &p256dh, &auth, "push.endpoint"),
        ("https://a:b@push.example/x", &p256dh, &auth, "push.endpoint"),
        ("https://push.example/x#y", &p256dh, &auth, "push.endpoint"),
        ("ftp://push.example/x", &p256dh, &auth, "push.endpoint"),
        ("", &p256dh, &auth, "push.endpoint"),
        (&long, &p256dh, &auth, "push.endpoint"),
        ("https://push.example/y", &off, &auth, "push.keys"),
        ("https://push.example/y", &auth, &auth, "push.keys"),
        ("https://push.example/y", &p256dh, &short, "push.keys"),
        ("https://push.example/y", &p256dh, &String::new(), "push.keys"),
    ] {
        let new = NewDevice { endpoint, p256dh, auth, key: "", name: "x" };
        assert_eq!(rule(add_device(&world.tenant, "sarah", new, &world.env())), expected, "{endpoint}");
    }
    let new = NewDevice { endpoint: "https://push.example/x", p256dh: &p256dh, auth: &auth, key: &off, name: "x" };
    assert_eq!(rule(add_device(&world.tenant, "sarah", new, &world.env())), "push.key");
}

/// The key by which a push service was shown who sends, and whether it signed.
fn key_of(sent: &Sent1) -> String {
    let (token, key) = sent.authorization.strip_prefix("vapid t=").unwrap().split_once(", k=").unwrap();
    let (message, signature) = token.rsplit_once('.').unwrap();
    let verifying = Verifying::new(&ECDSA_P256_SHA256_FIXED, decode(key).unwrap());
    verifying.verify(message.as_bytes(), &decode(signature).unwrap()).unwrap();
    key.to_owned()
}

#[test]
fn browsers_are_told_by_the_key_that_they_are_bound_to_until_it_is_dropped() {
    let (world, service) = (world(), Service::default());
    let (old, new) = (Phone::new(1), Phone::new(2));
    let key = || public_key(&world.tenant, &world.env()).unwrap();
    let rotate = |drop_old| rotate_push_key(&world.tenant, drop_old, "machine", &world.env());
    let told = |service: &Service| -> BTreeMap<String, String> {
        world.propose(&["5000"]).unwrap();
        send(&world, service);
        send(&world, service);
        service.sent.lock().drain(..).map(|sent| (sent.url.clone(), key_of(&sent))).collect()
    };
    old.add(&world, "sarah").unwrap();
    let first = key();
    let second = rotate(false).unwrap();
    assert_eq!((key() == second, second != first), (true, true));
    new.add(&world, "sarah").unwrap();
    let expected = [(old.endpoint.clone(), first.clone()), (new.endpoint.clone(), second.clone())];
    assert_eq!(told(&service), BTreeMap::from(expected));
    let renews = || -> Vec<bool> {
        let all = devices(&world.tenant, "sarah").unwrap();
        let mut all: Vec<(String, bool)> =
            all.iter().map(|held| (held.id.clone(), is_of_old_key(&world.tenant, held).unwrap())).collect();
        all.sort_by_key(|(id, _)| *id != hash_of(&old.endpoint));
        all.into_iter().map(|(_, renew)| renew).collect()
    };
    assert_eq!(renews(), [true, false], "its person is asked to bind it anew");
    old.add(&world, "sarah").unwrap();
    assert_eq!(renews(), [false, false]);
    assert_eq!(told(&service).into_values().collect::<Vec<_>>(), [second.clone(), second.clone()]);
    // A page from before the rotation still has the key before, which is kept; one that nobody is bound to is not, in the end.
    let third = rotate(false).unwrap();
    let (p256dh, auth) = (encode(&old.public()), encode(&old.auth));
    let by_old_page = |key: &str| {
        let new = NewDevice { endpoint: &old.endpoint, p256dh: &p256dh, auth: &auth, key, name: "x" };
        rule(add_device(&world.tenant, "sarah", new, &world.env()))
    };
    assert_eq!([by_old_page(&second), by_old_page(&first)], ["allowed", "push.key"]);
    assert_eq!(told(&service).into_values().collect::<Vec<_>>(), [second.clone(), second]);
    assert_eq!(key(), third);
    // In an emergency all older ones go at once, and the browsers that are bound to them.
    let fourth = rotate(true).unwrap();
    assert!(told(&service).is_empty());
    assert!(devices(&world.tenant, "sarah").unwrap().is_empty());
    assert_eq!(world.newest("device.removed").get_reason(), Some("push.key_dropped"));
    old.add(&world, "sarah").unwrap();
    assert_eq!(told(&service).into_values().collect::<Vec<_>>(), [fourth]);
}

#[test]
fn a_browser_that_says_no_key_is_bound_to_the_first_and_keys_have_a_bound() {
    let (world, service, phone) = (world(), Service::default(), Phone::new(1));
    phone.add(&world, "sarah").unwrap();
    let first = public_key(&world.tenant, &world.env()).unwrap();
    // As it was kept before there were several.
    let held = devices(&world.tenant, "sarah").unwrap().pop().unwrap();
    let mut old = serde_json::to_value(&held.value).unwrap();
    old.as_object_mut().unwrap().remove("key");
    let mut change = world.tenant.change(&world.env());
    change.replace(&held, &serde_json::from_value::<Device>(old).unwrap());
    change.commit().unwrap();
    let rotate = || rotate_push_key(&world.tenant, false, "machine", &world.env());
    for n in 2..=4 {
        rotate().unwrap();
        Phone::new(n).add(&world, "eve").unwrap();
    }
    assert_eq!(rule(rotate()), "push.keys");
    world.propose(&["5000"]).unwrap();
    send(&world, &service);
    send(&world, &service);
    assert_eq!(key_of(&service.sent.lock()[0]), first);
    // They are sealed anew each at its place.
    assert_eq!(reseal_push(&world.tenant, None, 100, &world.env()).unwrap(), (0, None));
}

#[test]
fn who_is_deleted_is_forgotten() {
    let world = world();
    for n in 1..=3 {
        Phone::new(n).add(&world, "sarah").unwrap();
    }
    Phone::new(4).add(&world, "eve").unwrap();
    world.tenant.delete_user("sarah", &world.env()).unwrap();
    assert_eq!(world.tenant.gone_users(10).unwrap(), ["sarah"]);
    assert_eq!(forget_devices(&world.tenant, "sarah", &world.env()), Ok(3));
    assert_eq!(forget_devices(&world.tenant, "sarah", &world.env()), Ok(0));
    world.tenant.forgot_user("sarah", &world.env()).unwrap();
    assert!(world.tenant.gone_users(10).unwrap().is_empty() && devices(&world.tenant, "sarah").unwrap().is_empty());
    assert_eq!(devices(&world.tenant, "eve").unwrap().len(), 1);
    assert_eq!(world.newest("device.removed").get_reason(), Some("push.user_deleted"));
    // Who has the browser next may choose it.
    Phone::new(1).add(&world, "eve").unwrap();
}
