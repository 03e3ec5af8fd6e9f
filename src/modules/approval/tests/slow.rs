//! Who is slow, refuses, or is damaged keeps nobody else from being told. No test waits: the clock says what calls take.

use super::channel::{Callback, Called, Calls, Channel, Channels, Message, NotSaid, Person, PushCall, Pushes, Tidings};
use super::push::Phone;
use super::*;
use parking_lot::Mutex;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

thread_local! {
    /// How long calls of this thread have taken.
    static TOOK: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// How long who does not answer is waited for, as `server/channels.rs` has it.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Push services and clients: those of a host that is called slow answer nothing, after long. Remembers the URLs.
#[derive(Clone, Default)]
struct Others {
    asked: Arc<Mutex<Vec<String>>>,
    well: Arc<Mutex<bool>>,
}

impl Others {
    fn ask(&self, url: &str) -> Called {
        self.asked.lock().push(url.to_owned());
        if url.contains("slow") && !*self.well.lock() {
            TOOK.set(TOOK.get() + TIMEOUT);
            return Called::Failed;
        }
        Called::Answered(204)
    }

    fn asked(&self) -> Vec<String> {
        let mut asked = std::mem::take(&mut *self.asked.lock());
        asked.sort_unstable();
        asked
    }
}

impl Pushes for Others {
    fn push(&self, call: &PushCall<'_>) -> Called {
        self.ask(call.url)
    }
}

impl Calls for Others {
    fn call(&self, callback: &Callback<'_>) -> Called {
        self.ask(callback.url)
    }
}

/// Mail to each, where some addresses are refused.
#[derive(Clone, Default)]
struct Letters {
    refuses: Arc<Mutex<Vec<&'static str>>>,
    told: Arc<Mutex<Vec<String>>>,
}

impl Channel for Letters {
    fn name(&self) -> &str {
        "letters"
    }

    fn tells_each(&self) -> bool {
        true
    }

    fn reaches(&self, person: &Person) -> bool {
        person.email.is_some()
    }

    fn tell(&self, message: &Message<'_>) -> Result<(), NotSaid> {
        assert_eq!(message.people.len(), 1, "who else may decide is nobody's business");
        let person = &message.people[0];
        if self.refuses.lock().contains(&person.id.as_str()) {
            return Err(NotSaid("the mail relay did not take a mail"));
        }
        self.told.lock().push(person.id.clone());
        Ok(())
    }

    fn news(&self, _: &Tidings<'_>) -> Result<(), NotSaid> {
        Ok(())
    }
}

fn send(world: &World, others: &Others, letters: &Letters) -> Sent {
    TOOK.set(Duration::ZERO);
    let channels = Channels {
        channels: vec![Box::new(letters.clone())],
        push: Box::new(others.clone()),
        callback: Box::new(others.clone()),
        clock: Box::new(|| TOOK.get()),
    };
    world.approvals.send(&world.tenant, &channels, &world.env()).unwrap()
}

/// A world in which a team decides, by browsers or by letters.
fn team(settings: ApprovalSettings, members: &[&str]) -> World {
    let world = World::with(settings);
    let mut by_owner = proposal();
    by_owner.rules.clear();
    by_owner.rules.push(serde_json::from_value(json!({"who": ["owner"]})).unwrap());
    put_type(&world.tenant, &by_owner, "user:ann", &world.env()).unwrap();
    let tuples: Vec<String> = members.iter().map(|id| format!("team:ops member user:{id}")).collect();
    world.relate(&tuples.iter().map(String::as_str).collect::<Vec<_>>());
    world
}

#[test]
fn a_refused_address_keeps_nobody_from_being_told_and_nobody_is_told_twice() {
    let channels = ApprovalSettings { channels: vec!["letters".into()], ..ApprovalSettings::default() };
    let mut world = team(channels, &["sarah", "john", "olga"]);
    let (others, letters) = (Others::default(), Letters::default());
    *letters.refuses.lock() = vec!["john"];
    let told = |letters: &Letters| {
        let mut told = std::mem::take(&mut *letters.told.lock());
        told.sort_unstable();
        told
    };
    world.propose(&["5000"]).unwrap();
    assert_eq!(send(&world, &others, &letters), Sent::default(), "one notice becomes three");
    assert_eq!(send(&world, &others, &letters), Sent { sent: 2, later: 1, dropped: 0 });
    assert_eq!(told(&letters), ["olga", "sarah"]);
    world.now += 10;
    assert_eq!(send(&world, &others, &letters), Sent { later: 1, ..Sent::default() });
    letters.refuses.lock().clear();
    world.now += 20;
    assert_eq!(send(&world, &others, &letters), Sent { sent: 1, ..Sent::default() });
    assert_eq!(told(&letters), ["john"]);
    // Who left the team between the question and the letter is not told.
    world.propose(&["6000"]).unwrap();
    send(&world, &others, &letters);
    let mut change = world.tenant.change(&world.env());
    change.unrelate("team:ops", "member", "user:john");
    change.commit().unwrap();
    assert_eq!(send(&world, &others, &letters), Sent { sent: 2, dropped: 1, later: 0 });
    assert_eq!(told(&letters), ["olga", "sarah"]);
}

#[test]
fn whom_no_letter_reaches_is_tried_again_and_given_up() {
    let channels = ApprovalSettings { channels: vec!["letters".into()], ..ApprovalSettings::default() };
    let world = team(channels, &[]);
    let held = world.tenant.user("olga").unwrap();
    let (others, letters) = (Others::default(), Letters::default());
    let mut claims = held.claims.clone();
    claims.insert("email_verified".into(), json!(false));
    world.tenant.change_user(&held, &["olga@example.com"], claims, &world.env()).unwrap();
    world.propose(&["5000"]).unwrap();
    assert_eq!(send(&world, &others, &letters), Sent { later: 1, ..Sent::default() });
}

#[test]
fn a_slow_push_service_is_asked_once_in_a_pass_and_others_do_not_wait() {
    let push = ApprovalSettings { push: true, ..ApprovalSettings::default() };
    let mut world = team(push, &["john"]);
    let (others, letters) = (Others::default(), Letters::default());
    let add = |n: u8, host: &str, user: &str| {
        let mut phone = Phone::new(n);
        phone.endpoint = format!("https://{host}/{n}");
        phone.add(&world, user).unwrap();
    };
    for n in 1..=4 {
        add(n, "slow.example", "olga");
    }
    add(5, "push.example", "olga");
    add(6, "push.example", "john");
    world.propose(&["5000"]).unwrap();
    assert_eq!(send(&world, &others, &letters), Sent::default(), "one notice becomes six");
    assert_eq!(send(&world, &others, &letters), Sent { sent: 2, later: 4, dropped: 0 });
    let asked = others.asked();
    assert_eq!(asked[..2], ["https://push.example/5", "https://push.example/6"]);
    assert_eq!(asked.len(), 3, "{asked:?}");
    // It costs a pass one wait, and that what waited behind it was not tried is no try.
    world.now += 10;
    assert_eq!(send(&world, &others, &letters), Sent { later: 4, ..Sent::default() });
    assert_eq!(others.asked().len(), 1);
    *others.well.lock() = true;
    world.now += 20;
    assert_eq!(send(&world, &others, &letters), Sent { sent: 4, ..Sent::default() });
    let asked = others.asked();
    assert_eq!(asked.iter().collect::<std::collections::BTreeSet<_>>().len(), 4, "each is told once: {asked:?}");
}

#[test]
fn a_pass_ends_however_many_are_slow() {
    let push = ApprovalSettings { push: true, ..ApprovalSettings::default() };
    let people = ["sarah", "boss", "john", "olga", "eve"];
    let mut world = team(push, &people);
    let (others, letters) = (Others::default(), Letters::default());
    let mut browsers = 0_u8;
    for user in people {
        for _ in 0..DEVICES_MAX {
            browsers += 1;
            let mut phone = Phone::new(browsers);
            phone.endpoint = format!("https://slow{browsers}.example/");
            phone.add(&world, user).unwrap();
        }
    }
    world.propose(&["5000"]).unwrap();
    send(&world, &others, &letters);
    // Eight at once, and none begins once thirty seconds are over: three timeouts each.
    let first = send(&world, &others, &letters);
    assert_eq!((first, browsers), (Sent { later: 24, ..Sent::default() }, 40));
    assert_eq!(others.asked().len(), 24);
    // The others come first in the next pass.
    world.now += 1;
    assert_eq!(send(&world, &others, &letters), Sent { later: 16, ..Sent::default() });
    let mut times = BTreeMap::<u32, usize>::new();
    for notice in world.tenant.list::<Notice>(&[], None, 100).unwrap() {
        *times.entry(notice.tries).or_default() += 1;
    }
    assert_eq!(times, BTreeMap::from([(1, 40)]), "each was tried once");
}

#[test]
fn a_notice_that_cannot_be_told_keeps_no_other_back() {
    let world = World::new();
    let (others, letters) = (Others::default(), Letters::default());
    let ping =
        Backchannel { delivery: Delivery::Ping { endpoint: "https://a.example/".into() }, ..Backchannel::default() };
    put_backchannel(&world.tenant, "sales", &ping, "user:ann", &world.env()).unwrap();
    let ask = || {
        let asked = world.ask(&[("client_notification_token", "8d67dc78-7faa-4d41-aabd-67707b374255")]).unwrap();
        world.approve(&asked).unwrap();
        asked
    };
    let (damaged, _good) = (ask(), ask());
    let held = world.record(&damaged);
    let mut change = world.tenant.change(&world.env());
    let bad = Ping { sealed: "AAAA".into(), ..held.ping.clone().unwrap() };
    change.replace(&held, &ApprovalRequest { ping: Some(bad), ..held.value.clone() });
    change.commit().unwrap();
    assert_eq!(send(&world, &others, &letters), Sent { sent: 1, later: 1, dropped: 0 });
}
