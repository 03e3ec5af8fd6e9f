//! Audit logs grow as their events are written, whoever grows them and whenever it stops; what a query answers is what
//! reading all events gives; keys are sealed, and witnesses are believed only when they sign.

use crate::concurrency::Random;
use bailiwick::Bailiwick;
use bailiwick::engine::Settings;
use bailiwick::identity::{AUDIT, Event, EventKind, Outcome, audit_key};
use bailiwick::modules::audit::keys::Fresh;
use bailiwick::modules::audit::note::{Checkpoint, KeyKind, Note, Signer, SignerKey, VerifierKey};
use bailiwick::modules::audit::query::Filter;
use bailiwick::modules::audit::tree::{Hash, extends, includes};
use bailiwick::modules::audit::{Audit, AuditError, By, Entry, Log, Place, Tenants, leaf};
use bailiwick::secrets::KeyRing;
use bailiwick::tuple::Timestamp;
use ct_merkle::mem_backed_tree::MemoryBackedTree;
use proptest::prelude::*;
use sha2::Sha256;
use std::path::Path;
use std::sync::Arc;

pub(crate) const TENANT: u32 = 7;
/// Seconds between two events, in nanoseconds.
pub(crate) const SECOND: i64 = 1_000_000_000;
pub(crate) const BEGIN: i64 = 1_700_000_000 * SECOND;

pub(crate) fn open(directory: &Path) -> Bailiwick {
    Bailiwick::open_with(directory, Settings { sync: false, ..Settings::default() }).unwrap()
}

/// An event that its number tells: some people do much, some little.
pub(crate) fn event(tenant: u32, n: u64) -> Event {
    const KINDS: [EventKind; 5] = [
        EventKind::TokenIssued,
        EventKind::ProxyCalled,
        EventKind::CheckDecided,
        EventKind::TokenRefused,
        EventKind::ApprovalAsked,
    ];
    const OUTCOMES: [Outcome; 4] = [Outcome::Done, Outcome::Allowed, Outcome::Refused, Outcome::Failed];
    let at = |n: u64, step: u64| usize::try_from(n / step).unwrap();
    // Now and then a clock was wrong.
    let late = if n % 17 == 3 { 40 } else { 0 };
    let time = BEGIN + (i64::try_from(n).unwrap() - late) * SECOND;
    let mut event = Event::new(tenant, KINDS[at(n, 1) % 5], OUTCOMES[at(n, 3) % 4], Timestamp(time))
        .user(format!("user:{}", (n * n + 1) % 11))
        .resource(format!("document:{}", n % 13))
        .trace(format!("trace-{}", n / 3));
    if n.is_multiple_of(2) {
        event = event.agent(format!("agent:{}", n % 3)).actor(format!("agent:{}", n % 5));
    }
    if n.is_multiple_of(7) {
        event = event.reason("rule.of_seven").detail("n", n.to_string());
    }
    event
}

pub(crate) fn append(database: &Bailiwick, events: impl IntoIterator<Item = Event>) {
    let changes: Vec<_> = events.into_iter().map(|event| event.change()).collect();
    for some in changes.chunks(900) {
        database.records(AUDIT).write(some.to_vec()).unwrap();
    }
}

pub(crate) fn grow(log: &Log) -> u64 {
    loop {
        let grown = log.grow().unwrap();
        if !grown.more {
            return grown.size;
        }
    }
}

/// The events of a tenant as the database has them, with their places.
pub(crate) fn stored(database: &Bailiwick, tenant: u32) -> Vec<(Place, Vec<u8>)> {
    let start = audit_key(tenant, b'e');
    let (mut all, mut after) = (Vec::new(), None::<Vec<u8>>);
    loop {
        let page = database.records(AUDIT).scan(&start, after.as_deref(), 1_000).unwrap();
        for (key, value) in &page {
            let place = &key[start.len()..];
            let revision = u64::from_be_bytes(place[..8].try_into().unwrap());
            all.push((Place { revision, number: u32::from_be_bytes(place[8..].try_into().unwrap()) }, value.clone()));
        }
        if page.len() < 1_000 {
            return all;
        }
        after = page.last().map(|(key, _)| key.clone());
    }
}

/// The tree of the same leaves, by another implementation.
fn oracle(events: &[(Place, Vec<u8>)]) -> MemoryBackedTree<Sha256, Vec<u8>> {
    let mut tree = MemoryBackedTree::new();
    for (place, bytes) in events {
        let place = [&place.revision.to_be_bytes()[..], &place.number.to_be_bytes()].concat();
        tree.push([place, bytes.clone()].concat());
    }
    tree
}

/// The tree is that of the events that are stored, in their order, and each of them is proved.
pub(crate) fn compare(database: &Bailiwick, tenant: u32, every: usize) {
    let log = Audit::new(database).log(tenant);
    let events = stored(database, tenant);
    let size = events.len() as u64;
    assert_eq!(log.size().unwrap(), size);
    let root = log.root(size).unwrap();
    assert_eq!(root[..], oracle(&events).root().as_bytes()[..]);
    for (index, (place, bytes)) in events.iter().enumerate().step_by(every) {
        let index = index as u64;
        let entry = log.entry(index).unwrap();
        assert_eq!(entry, Entry { index, place: *place, bytes: Some(bytes.clone()) });
        assert_eq!(log.index_of(*place).unwrap(), Some(index));
        let proof = log.inclusion(index, size).unwrap();
        assert!(includes(&leaf(*place, bytes), index, size, &root, &proof));
        let before = log.root(index + 1).unwrap();
        assert!(extends(index + 1, &before, size, &root, &log.consistency(index + 1, size).unwrap()));
    }
}

pub(crate) fn key(name: &str, kind: KeyKind, seed: u8) -> SignerKey {
    SignerKey::from_seed(name, kind, &[seed; 32]).unwrap()
}

pub(crate) fn log_key() -> SignerKey {
    key("example.com/audit", KeyKind::Log, 1)
}

pub(crate) fn now(n: i64) -> Timestamp {
    Timestamp(BEGIN + n * SECOND)
}

pub(crate) fn by(user: &str) -> By {
    By { user: Some(user.into()), ..By::default() }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn a_tree_is_that_of_its_events_however_it_grows(steps in prop::collection::vec((0_u64..400, 1_usize..600, any::<bool>()), 1..8)) {
        let directory = tempfile::tempdir().unwrap();
        let mut database = open(directory.path());
        let mut n = 0;
        for (events, max, again) in steps {
            append(&database, (n..n + events).flat_map(|n| [event(TENANT, n), event(TENANT + 1, n)]));
            n += events;
            let log = Audit::new(&database).log(TENANT);
            let before = log.size().unwrap();
            let root = log.root(before).unwrap();
            let grown = log.grow_step(max).unwrap();
            prop_assert_eq!(grown.size, log.size().unwrap());
            prop_assert_eq!(grown.events, grown.size - before);
            prop_assert!(grown.more || grown.size == n);
            // What was there is the beginning of what is.
            prop_assert_eq!(log.root(before).unwrap(), root);
            if again {
                drop(log);
                drop(database);
                database = open(directory.path());
            }
        }
        for tenant in [TENANT, TENANT + 1] {
            grow(&Audit::new(&database).log(tenant));
            compare(&database, tenant, 97);
        }
        prop_assert!(database.verify().unwrap().differences.is_empty());
    }
}

#[test]
fn full_tiles_of_two_levels() {
    let directory = tempfile::tempdir().unwrap();
    let database = open(directory.path());
    // 65,536 leaves fill a tile of level 1; a group of moments ends there too.
    append(&database, (0..66_000).map(|n| Event::new(TENANT, EventKind::CheckDecided, Outcome::Done, now(n))));
    let log = Audit::new(&database).log(TENANT);
    assert_eq!(grow(&log), 66_000);
    compare(&database, TENANT, 9_973);
    let filter = Filter { from: Some(now(65_000)), to: Some(now(65_600)), ..Filter::default() };
    let page = log.query(&filter, 1_000, None).unwrap();
    assert_eq!((page.entries.len(), page.entries[0].index, page.next), (600, 65_599, None));
}

#[test]
fn many_writers_and_growers_make_one_tree() {
    const WRITERS: u64 = 4;
    const EVENTS: u64 = 400;
    let directory = tempfile::tempdir().unwrap();
    let database = open(directory.path());
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let database = database.clone();
            scope.spawn(move || {
                for n in 0..EVENTS {
                    append(&database, [event(TENANT, writer * EVENTS + n)]);
                }
            });
        }
        for grower in 0..3 {
            let log = Audit::new(&database).log(TENANT);
            scope.spawn(move || {
                let (mut seen, signer) = (Vec::<(u64, Hash)>::new(), log_key());
                while log.size().unwrap() < WRITERS * EVENTS {
                    log.grow_step(7 + grower).unwrap();
                    let signed = log.sign(&signer, now(0)).unwrap();
                    let note = Note::parse(&signed.note).unwrap();
                    let checkpoint = Checkpoint::parse(note.text()).unwrap();
                    seen.push((checkpoint.size, checkpoint.root));
                }
                for (size, root) in seen {
                    assert_eq!(log.root(size).unwrap(), root, "{size} events were signed with another root");
                }
            });
        }
    });
    compare(&database, TENANT, 1);
}

/// An event that its number tells, which others than those it is about have done, now and then.
fn done(n: u64) -> Event {
    match n % 4 {
        1 => event(TENANT, n).detail("by", format!("user:{}", n % 11)),
        2 => event(TENANT, n).detail("by", format!("agent:{}", n % 5)),
        3 => event(TENANT, n).detail("by", "authorization_code"),
        _ => event(TENANT, n),
    }
}

/// Makes the index of a log that of a program which knew nothing of who did it: state of version 1, and keys that lack.
fn as_an_older_one(database: &Bailiwick) {
    let records = database.records(AUDIT);
    let state = audit_key(TENANT, b's');
    let mut value = records.get(&state).unwrap().unwrap();
    assert_eq!((value.len(), value[0]), (1 + 8 + 12 + 16, 2));
    value.truncate(1 + 8 + 12);
    value[0] = 1;
    records.write(vec![records.put(state, value)]).unwrap();
    for field in [b'u', b'a'] {
        let start = [audit_key(TENANT, b'i'), vec![field]].concat();
        while let keys @ [_, ..] = &records.scan(&start, None, 1_000).unwrap()[..] {
            records.write(keys.iter().map(|(key, _)| records.delete(key.clone())).collect()).unwrap();
        }
    }
}

/// What reading all events gives.
fn by_hand(entries: &[Entry], filter: &Filter) -> Vec<u64> {
    // Read as events say who did it, and not as the filter does.
    let by = |event: &Event, kind: &str| {
        let by = event.details().get("by").filter(|by| by.starts_with(kind));
        by.cloned().into_iter().collect::<Vec<_>>()
    };
    let admits = |entry: &Entry| {
        let Some(event) = entry.event() else { return filter.is_all() };
        let event = event.unwrap();
        let others = Filter { user: None, agent: None, ..filter.clone() };
        let user = |user: &String| {
            event.get_user() == Some(user) || by(&event, "user:").contains(user) || by(&event, "agent:").contains(user)
        };
        let agent = |agent: &String| {
            let acted = event.get_agent() == Some(agent) || event.get_actors().contains(agent);
            acted || by(&event, "agent:").contains(agent)
        };
        others.admits(&event) && filter.user.as_ref().is_none_or(user) && filter.agent.as_ref().is_none_or(agent)
    };
    entries.iter().rev().filter(|entry| admits(entry)).map(|entry| entry.index).collect()
}

/// A random filter: most of its parts are not given.
fn filter(random: &mut Random) -> Filter {
    let mut some = |text: &str, below: u64| (random.below(3) == 0).then(|| format!("{text}{}", random.below(below)));
    let (user, agent) = (some("user:", 12), some("agent:", 6));
    let (resource, trace) = (some("document:", 14), some("trace-", 300));
    let kind = random.pick(&[None, None, Some(EventKind::TokenIssued), Some(EventKind::TokenRefused)]);
    let outcome = random.pick(&[None, None, None, Some(Outcome::Done), Some(Outcome::Refused)]);
    let mut time = || (random.below(4) == 0).then(|| now(i64::try_from(random.below(1_000)).unwrap()));
    let (from, to) = (time(), time());
    Filter { kind, outcome, user, agent, resource, trace, from, to }
}

#[test]
fn a_query_answers_what_reading_all_gives() {
    let directory = tempfile::tempdir().unwrap();
    let database = open(directory.path());
    append(&database, (0..900).map(done));
    let log = Audit::new(&database).log(TENANT);
    grow(&log);
    asked_of(&log, 300, 5_000);
    let all = log.query(&Filter::default(), 1_000, None).unwrap();
    assert_eq!(all.entries.iter().map(|entry| entry.index).collect::<Vec<_>>(), (0..900).rev().collect::<Vec<_>>());
}

#[test]
fn an_event_that_is_missing_stops_neither_the_index_nor_the_log() {
    let directory = tempfile::tempdir().unwrap();
    let database = open(directory.path());
    append(&database, (0..40).map(done));
    let log = Audit::new(&database).log(TENANT);
    grow(&log);
    as_an_older_one(&database);
    let records = database.records(AUDIT);
    let (key, _) = records.scan(&audit_key(TENANT, b'e'), None, 8).unwrap().pop().unwrap();
    records.write(vec![records.delete(key)]).unwrap();
    append(&database, (40..50).map(done));
    while log.grow().unwrap().more {}
    assert_eq!(log.sign(&log_key(), now(3_000)).unwrap().size, 50);
    assert!(log.entry(7).unwrap_err().to_string().contains("missing"));
    let found = log.query(&Filter { user: Some("user:5".into()), ..Filter::default() }, 10, None).unwrap();
    assert!(!found.entries.is_empty());
}

#[test]
fn the_index_of_an_older_program_is_made_anew_and_asked_meanwhile() {
    let directory = tempfile::tempdir().unwrap();
    let database = open(directory.path());
    append(&database, (0..2_500).map(done));
    let log = Audit::new(&database).log(TENANT);
    grow(&log);
    log.sign(&log_key(), now(3_000)).unwrap();
    as_an_older_one(&database);
    asked_of(&log, 40, 500);
    // Some steps, and it is asked; what is new meanwhile is in the index as it should be; what is dropped is not.
    append(&database, (2_500..2_600).map(done));
    let mut steps = 0;
    while log.grow().unwrap().more {
        asked_of(&log, 20, 100);
        if steps == 0 {
            while log.drop_before(now(700), &by("user:root"), now(3_001)).unwrap().more {}
        }
        steps += 1;
    }
    assert!(steps > 1, "it was done at once, and says nothing");
    assert!(!log.grow().unwrap().more);
    asked_of(&log, 100, 1_000);
    // It is the index that answers: who is in no event is so at once, and in none that was dropped either.
    let records = database.records(AUDIT);
    let state = records.get(&audit_key(TENANT, b's')).unwrap().unwrap();
    assert_eq!(state[21..29], state[29..37], "nothing is left to do");
    let leaves = |field: u8| {
        let start = [audit_key(TENANT, b'i'), vec![field]].concat();
        let (mut all, mut after) = (Vec::new(), None::<Vec<u8>>);
        loop {
            let page = records.scan(&start, after.as_deref(), 1_000).unwrap();
            all.extend(page.iter().map(|(key, _)| !u64::from_be_bytes(key[key.len() - 8..].try_into().unwrap())));
            after = page.last().map(|(key, _)| key.clone());
            if page.len() < 1_000 {
                return all;
            }
        }
    };
    let gone: Vec<u64> = (0..2_500).filter(|index| log.entry(*index).unwrap().bytes.is_none()).collect();
    assert!(gone.len() > 500);
    assert!(leaves(b'u').iter().chain(&leaves(b'a')).all(|leaf| !gone.contains(leaf)));
    assert!(leaves(b'u').len() > 2_000);
}

#[test]
fn a_hold_for_a_person_keeps_what_they_did_to_others() {
    let directory = tempfile::tempdir().unwrap();
    let database = open(directory.path());
    let of = |n, user: &str| Event::new(TENANT, EventKind::ApprovalDecided, Outcome::Allowed, now(n)).user(user);
    let all = [of(0, "user:sarah").detail("by", "user:john"), of(1, "user:sarah"), of(2, "user:john")];
    append(&database, all);
    let log = Audit::new(&database).log(TENANT);
    grow(&log);
    log.sign(&log_key(), now(3)).unwrap();
    let john = Filter { user: Some("user:john".into()), ..Filter::default() };
    log.hold("case-1", "a claim", john.clone(), &by("user:root"), now(4)).unwrap();
    while log.drop_before(now(10), &by("user:root"), now(5)).unwrap().more {}
    let left: Vec<u64> = log.query(&john, 10, None).unwrap().entries.iter().map(|entry| entry.index).collect();
    assert_eq!(left, [2, 0]);
    assert_eq!(log.entry(1).unwrap().bytes, None);
}

/// Asks a log in many ways, and compares with what reading all gives.
fn asked_of(log: &Log, times: usize, least: usize) {
    let entries: Vec<Entry> = (0..log.size().unwrap()).map(|index| log.entry(index).unwrap()).collect();
    let mut random = Random(5);
    let mut found = 0;
    for _ in 0..times {
        let filter = filter(&mut random);
        let wanted = by_hand(&entries, &filter);
        let page_size = random.pick(&[1, 3, 50, 1_000]);
        let (mut got, mut token) = (Vec::new(), None);
        loop {
            let page = log.query(&filter, page_size, token.as_deref()).unwrap();
            assert!(page.entries.len() <= page_size);
            got.extend(page.entries.iter().map(|entry| entry.index));
            token = page.next;
            if token.is_none() {
                break;
            }
        }
        assert_eq!(got, wanted, "{filter:?}");
        found += wanted.len();
    }
    assert!(found > least, "the filters find too little to say something: {found}");
}

#[test]
fn a_page_ends_at_a_bound_of_work_and_its_token_is_its_querys() {
    let directory = tempfile::tempdir().unwrap();
    let database = open(directory.path());
    append(&database, (0..30_000).map(|n| Event::new(TENANT, EventKind::CheckDecided, Outcome::Allowed, now(n))));
    append(&database, [Event::new(TENANT + 1, EventKind::CheckDecided, Outcome::Done, now(1))]);
    let log = Audit::new(&database).log(TENANT);
    grow(&log);
    // Outcomes that are no refusals are not indexed: all events are looked at.
    let filter = Filter { outcome: Some(Outcome::Done), ..Filter::default() };
    let page = log.query(&filter, 10, None).unwrap();
    assert_eq!(page.entries, []);
    let token = page.next.unwrap();
    let last = log.query(&filter, 10, Some(&token)).unwrap();
    assert_eq!((last.entries.len(), last.next), (0, None));
    // The index says at once that there is none.
    assert_eq!(log.query(&Filter { user: Some("user:x".into()), ..filter }, 10, None).unwrap().next, None);
    for wrong in [token.as_str(), "x", "", "MS4w"] {
        let refused = log.query(&Filter::default(), 10, Some(wrong)).unwrap_err().to_string();
        assert!(refused.contains("begin again"), "{refused}");
    }
    let other = Audit::new(&database).log(TENANT + 1);
    grow(&other);
    let mut found =
        other.query(&Filter { kind: Some(EventKind::CheckDecided), ..Filter::default() }, 10, None).unwrap();
    assert_eq!((found.entries.len(), found.entries.remove(0).index), (1, 0), "another tenant's are not seen");
}

#[test]
fn an_event_that_this_program_does_not_know_is_in_the_tree() {
    let directory = tempfile::tempdir().unwrap();
    let database = open(directory.path());
    let records = database.records(AUDIT);
    let newer = br#"{"tenant":7,"at":"2031-01-01T00:00:00.000000000Z","kind":"robot.built","outcome":"done"}"#;
    records.write(vec![event(TENANT, 1).change(), records.append(audit_key(TENANT, b'e'), &newer[..])]).unwrap();
    append(&database, [event(TENANT, 2)]);
    let log = Audit::new(&database).log(TENANT);
    assert_eq!(grow(&log), 3);
    compare(&database, TENANT, 1);
    let all = log.query(&Filter::default(), 10, None).unwrap().entries;
    assert_eq!(all.len(), 3);
    assert!(all[1].event().unwrap().is_err());
    let window = Filter { from: Some(now(0)), ..Filter::default() };
    assert_eq!(log.query(&window, 10, None).unwrap().entries.len(), 2);
}

#[test]
fn what_was_changed_in_the_database_is_seen() {
    let directory = tempfile::tempdir().unwrap();
    let database = open(directory.path());
    append(&database, (0..5).map(|n| event(TENANT, n)));
    let log = Audit::new(&database).log(TENANT);
    grow(&log);
    log.sign(&log_key(), now(1)).unwrap();
    let records = database.records(AUDIT);
    let places: Vec<Place> = stored(&database, TENANT).into_iter().map(|(place, _)| place).collect();
    let key = |place: Place| [audit_key(TENANT, b'e'), place.leaf_bytes().to_vec()].concat();
    records
        .write(vec![records.put(key(places[2]), event(TENANT, 99).bytes()), records.delete(key(places[3]))])
        .unwrap();
    let what = |index| match log.entry(index).unwrap_err() {
        AuditError::Changed { what, .. } => what,
        error => panic!("{error}"),
    };
    assert!(what(2).contains("not what it was"));
    assert_eq!(what(3), "missing");
    assert!(matches!(log.entry(5), Err(AuditError::NoEvent { index: 5, size: 5 })));
    // A leaf that is another one now: nothing is signed on top of it.
    let tile = [audit_key(TENANT, b't'), vec![0], 0_u64.to_be_bytes().to_vec()].concat();
    let mut hashes = records.get(&tile).unwrap().unwrap();
    hashes[7] ^= 1;
    records.write(vec![records.put(tile, hashes)]).unwrap();
    append(&database, [event(TENANT, 6)]);
    grow(&log);
    let refused = log.sign(&log_key(), now(2)).unwrap_err().to_string();
    assert!(refused.contains("not the one that was signed"), "{refused}");
}

fn ring(lines: &[(&str, u64, u8)]) -> KeyRing {
    let mut text = KeyRing::head();
    for (id, created, byte) in lines {
        let mut bytes = [*byte; 32];
        bytes[0] = 0;
        text.push_str(&KeyRing::key_line(id, *created, &bytes).unwrap());
    }
    KeyRing::parse(&text, &[]).unwrap()
}

#[test]
fn keys_are_sealed_rotated_and_sealed_anew() {
    let directory = tempfile::tempdir().unwrap();
    let database = open(directory.path());
    let log = Audit::new(&database).log(TENANT);
    let (old_ring, new_ring) = (ring(&[("a", 1, 1)]), ring(&[("a", 1, 1), ("b", 2, 2)]));
    assert_eq!(log.signer(&old_ring).unwrap_err(), AuditError::NoKey);
    let fresh = |n: &'static u8| Fresh { seed: Box::leak(Box::new([*n; 32])), nonce: Box::leak(Box::new([*n; 24])) };
    assert_eq!(log.make_key(None, &old_ring, fresh(&1), &By::default(), now(1)).unwrap_err(), AuditError::NoKey);
    let first = log.make_key(Some("a.example"), &old_ring, fresh(&101), &by("user:root"), now(1)).unwrap();
    append(&database, [event(TENANT, 1)]);
    grow(&log);
    let before = log.sign(&log.signer(&old_ring).unwrap(), now(2)).unwrap();
    // A key stays under its name, and an older one verifies what it signed.
    let other = log.make_key(Some("b.example"), &old_ring, fresh(&102), &By::default(), now(3)).unwrap_err();
    assert!(other.to_string().contains("a.example"), "{other}");
    let second = log.make_key(None, &old_ring, fresh(&103), &By::default(), now(4)).unwrap();
    assert_eq!(log.keys().unwrap(), [second.clone(), first.clone()]);
    grow(&log);
    let after = log.sign(&log.signer(&old_ring).unwrap(), now(5)).unwrap();
    let keys = log.keys().unwrap();
    for (note, size) in [(&before.note, 2), (&after.note, 3)] {
        assert_eq!(Checkpoint::open(note, &keys, &[]).unwrap().0.size, size);
    }
    assert!(Checkpoint::open(&after.note, std::slice::from_ref(&first), &[]).is_err());
    // The events say who made which key.
    let told: Vec<String> = log
        .query(&Filter::default(), 10, None)
        .unwrap()
        .entries
        .iter()
        .map(|entry| {
            let event = entry.event().unwrap().unwrap();
            format!("{} {}", event.kind().name(), event.get_resource().unwrap_or_default())
        })
        .collect();
    assert_eq!(told[0], format!("key.rotated a.example+{:08x}", second.id()));
    assert_eq!(told[2], format!("key.created a.example+{:08x}", first.id()));
    // Nothing of a seed is in the records, and a record that was moved does not open.
    let keys_at = audit_key(TENANT, b'k');
    let all = database.records(AUDIT).scan(&[], None, 1_000).unwrap();
    assert!(!all.iter().any(|(_, value)| value.windows(8).any(|bytes| bytes == [103; 8] || bytes == [101; 8])));
    assert_eq!(log.reseal_keys(&new_ring, || [9; 24]).unwrap(), 2);
    assert_eq!(log.reseal_keys(&new_ring, || [9; 24]).unwrap(), 0);
    assert!(log.signer(&old_ring).unwrap_err().to_string().contains("key `b`"));
    assert_eq!(log.signer(&new_ring).unwrap().key(), &second);
    let records = database.records(AUDIT);
    let values: Vec<Vec<u8>> = records.scan(&keys_at, None, 10).unwrap().into_iter().map(|(_, value)| value).collect();
    let at = |tenant: u32, n: u32| [audit_key(tenant, b'k'), n.to_be_bytes().to_vec()].concat();
    records.write(vec![records.put(at(TENANT + 1, 0), values[0].clone())]).unwrap();
    let moved = Audit::new(&database).log(TENANT + 1).signer(&new_ring).unwrap_err().to_string();
    assert!(moved.contains("moved"), "{moved}");
}

#[test]
fn witnesses_are_asked_and_believed_when_they_sign() {
    let directory = tempfile::tempdir().unwrap();
    let database = open(directory.path());
    let log = Audit::new(&database).log(TENANT);
    let (one, two) = (key("w.example/1", KeyKind::Witness, 2), key("w.example/2", KeyKind::Witness, 3));
    let known = [one.key().clone(), two.key().clone()];
    assert_eq!(log.witness_request(one.key(), None).unwrap_err(), AuditError::NoCheckpoint);
    append(&database, (0..5).map(|n| event(TENANT, n)));
    grow(&log);
    let five = log.sign(&log_key(), now(1)).unwrap();
    let asked = log.witness_request(one.key(), None).unwrap().unwrap();
    assert_eq!(asked.body, format!("old 0\n\n{}", five.note));
    let cosign = |note: &str, key: &SignerKey, time| Note::parse(note).unwrap().cosign(key, time).unwrap();
    let seen = log.add_cosignatures(5, &cosign(&five.note, &one, 10), &known).unwrap();
    assert_eq!(log.checkpoint().unwrap().unwrap(), seen);
    assert!(seen.note.starts_with(&five.note) && seen.note.contains("w.example/1"));
    assert_eq!(log.witness_request(one.key(), None).unwrap(), None);
    // The next checkpoint is sent with the proof from what the witness has.
    append(&database, (5..12).map(|n| event(TENANT, n)));
    grow(&log);
    let twelve = log.sign(&log_key(), now(2)).unwrap();
    let asked = log.witness_request(one.key(), None).unwrap().unwrap();
    let (proof, note) = asked.body.split_once("\n\n").unwrap();
    let mut lines = proof.lines();
    assert_eq!((lines.next(), note), (Some("old 5"), twelve.note.as_str()));
    use base64::Engine as _;
    let proof: Vec<Hash> =
        lines.map(|l| base64::engine::general_purpose::STANDARD.decode(l).unwrap().try_into().unwrap()).collect();
    assert!(extends(5, &log.root(5).unwrap(), 12, &log.root(12).unwrap(), &proof));
    assert!(log.witness_request(two.key(), None).unwrap().unwrap().body.starts_with("old 0\n\n"));
    assert!(log.witness_request(one.key(), Some(13)).unwrap_err().to_string().contains("set back"));
    // What does not verify, goes back, or is nobody's that is known, is refused.
    let wrong = cosign(&five.note, &one, 11);
    assert!(log.add_cosignatures(12, &wrong, &known).unwrap_err().to_string().contains("does not fit"));
    let seen = log.add_cosignatures(12, &cosign(&twelve.note, &one, 12), &known).unwrap();
    let back = log.add_cosignatures(5, &cosign(&five.note, &one, 13), &known).unwrap_err().to_string();
    assert!(back.contains("go back"), "{back}");
    log.add_cosignatures(5, &cosign(&five.note, &two, 13), &known).unwrap();
    let stranger = key("w.example/3", KeyKind::Witness, 4);
    assert!(log.add_cosignatures(12, &cosign(&twelve.note, &stranger, 1), &known).is_err());
    assert!(log.add_cosignatures(7, &cosign(&twelve.note, &one, 1), &known).is_err());
    assert!(log.add_cosignatures(12, "", &known).is_err());
    assert_eq!(log.checkpoint().unwrap().unwrap(), seen);
    // As a whole note, of this log only.
    let whole = format!("{}{}", twelve.note, cosign(&twelve.note, &two, 14));
    let both = log.add_cosigned(&whole, &known).unwrap();
    let (_, seen) = Checkpoint::open(&both.note, std::slice::from_ref(log_key().key()), &known).unwrap();
    assert_eq!(seen.iter().map(|s| s.time).collect::<Vec<_>>(), [Some(12), Some(14)]);
    let mut other = Checkpoint::parse(Note::parse(&twelve.note).unwrap().text()).unwrap();
    other.root = [1; 32];
    let other = other.sign(&log_key()).unwrap();
    let other = format!("{other}{}", other.cosign(&two, 15).unwrap());
    assert!(log.add_cosigned(&other, &known).unwrap_err().to_string().contains("two histories"));
}

struct Two(SignerKey);

impl Tenants for Two {
    fn tenants(&self) -> Vec<u32> {
        vec![1, 2, 3]
    }

    fn signer(&self, tenant: u32) -> Option<Arc<dyn Signer + Send + Sync>> {
        let key = SignerKey::from_seed(self.0.key().name(), KeyKind::Log, &[1; 32]).unwrap();
        (tenant != 2).then(|| Arc::new(key) as Arc<dyn Signer + Send + Sync>)
    }
}

#[test]
fn all_logs_are_tended_and_a_damaged_one_holds_up_no_other() {
    let directory = tempfile::tempdir().unwrap();
    let database = open(directory.path());
    let audit = Audit::new(&database);
    append(&database, (0..10).flat_map(|n| (1..=3).map(move |tenant| event(tenant, n))));
    let two = Two(log_key());
    let tended = audit.tend(&two, now(1));
    assert_eq!((tended.events, tended.checkpoints, tended.more, tended.failed.len()), (30, 2, false, 0));
    let again = audit.tend(&two, now(2));
    assert_eq!((again.events, again.checkpoints), (0, 0));
    assert_eq!(audit.log(1).checkpoint().unwrap().unwrap().at, now(1));
    assert_eq!(audit.log(2).checkpoint().unwrap(), None);
    let records = database.records(AUDIT);
    records.write(vec![records.put(audit_key(1, b's'), &b"nonsense"[..])]).unwrap();
    append(&database, (1..=3).map(|tenant| event(tenant, 11)));
    let tended = audit.tend(&two, now(3));
    assert_eq!((tended.events, tended.checkpoints), (2, 1));
    assert!(matches!(tended.failed[..], [(1, AuditError::Damaged { tenant: 1, .. })]), "{tended:?}");
}

#[test]
fn old_checkpoints_go_and_those_of_any_size_are_found() {
    let directory = tempfile::tempdir().unwrap();
    let database = open(directory.path());
    let log = Audit::new(&database).log(TENANT);
    let signer = log_key();
    for n in 0..300 {
        append(&database, [event(TENANT, n)]);
        grow(&log);
        log.sign(&signer, now(i64::try_from(n).unwrap())).unwrap();
    }
    let kept = database.records(AUDIT).scan(&audit_key(TENANT, b'c'), None, 1_000).unwrap();
    assert_eq!(kept.len(), bailiwick::modules::audit::grow::CHECKPOINTS_KEPT);
    assert_eq!(log.checkpoint().unwrap().unwrap().size, 300);
    assert_eq!(log.checkpoint_at_most(299).unwrap().unwrap().size, 299);
    assert_eq!(log.checkpoint_at_most(10).unwrap(), None);
    let keys: Vec<VerifierKey> = vec![signer.key().clone()];
    assert!(Checkpoint::open(&log.checkpoint().unwrap().unwrap().note, &keys, &[]).is_ok());
}
