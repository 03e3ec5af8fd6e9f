//! An export is verified by who has a public key and nothing else, and every change to it is found and named; what was
//! dropped stays proved, and what is under hold is not dropped.

use crate::audit::{TENANT, append, by, event, grow, key, log_key, now, open, stored};
use crate::concurrency::Random;
use bailiwick::Bailiwick;
use bailiwick::identity::{AUDIT, Event, EventKind, Outcome, audit_key};
use bailiwick::modules::audit::export::{ExportQuery, Exported, Format};
use bailiwick::modules::audit::note::{KeyKind, Note, Signer, SignerKey, VerifierKey};
use bailiwick::modules::audit::query::Filter;
use bailiwick::modules::audit::tree::includes;
use bailiwick::modules::audit::verify::{Fault, LINE_BYTES_MAX, Report, Trust, verify};
use bailiwick::modules::audit::{Audit, AuditError, By, Log};
use bailiwick::tuple::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};

/// A log of so many events, signed.
fn log_of(database: &Bailiwick, events: u64) -> Log {
    append(database, (0..events).map(|n| event(TENANT, n)));
    let log = Audit::new(database).log(TENANT);
    grow(&log);
    log.sign(&log_key(), now(1)).unwrap();
    log
}

fn export(log: &Log, query: &ExportQuery) -> (String, Exported) {
    let mut out = Vec::new();
    let done = log.export(query, &mut out).unwrap();
    (String::from_utf8(out).unwrap(), done)
}

fn whole(log: &Log) -> String {
    export(log, &ExportQuery::default()).0
}

fn keys() -> Vec<VerifierKey> {
    vec![log_key().key().clone()]
}

fn check_with(text: &str, trust: &Trust<'_>) -> Report {
    verify(text.as_bytes(), trust).unwrap()
}

fn check(text: &str) -> Report {
    check_with(text, &Trust { keys: &keys(), ..Trust::default() })
}

fn faults(text: &str) -> Vec<Fault> {
    check(text).faults
}

fn joined(lines: &[&str]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

#[test]
fn ranges_and_selections_of_any_size_are_good() {
    let directory = tempfile::tempdir().unwrap();
    let database = open(directory.path());
    let log = log_of(&database, 600);
    let witness = key("w.example/1", KeyKind::Witness, 2);
    let note = Note::parse(&log.checkpoint().unwrap().unwrap().note).unwrap();
    log.add_cosignatures(600, &note.cosign(&witness, 10).unwrap(), std::slice::from_ref(witness.key())).unwrap();
    let trusted = [witness.key().clone()];
    let mut random = Random(3);
    for round in 0..60 {
        let (a, b) = (random.below(601), random.below(601));
        let (from, to) = if round == 0 { (0, 600) } else { (a.min(b), a.max(b)) };
        let query = ExportQuery { from, to: Some(to), since: Some(random.below(601)), ..ExportQuery::default() };
        let (text, done) = export(&log, &query);
        assert_eq!(done, Exported { from, to, size: 600, lines: to - from, ..Exported::default() });
        let trust = Trust { keys: &keys(), witnesses: &trusted, whole: round == 0, ..Trust::default() };
        let report = check_with(&text, &trust);
        assert_eq!(report.faults, [], "{from} to {to}");
        assert_eq!((report.lines, report.from, report.to, report.tenant), (to - from, from, to, TENANT));
        assert_eq!(report.witnesses.len(), 1);
    }
    let selections = [
        Filter { user: Some("user:5".into()), ..Filter::default() },
        Filter { from: Some(now(100)), to: Some(now(120)), ..Filter::default() },
        Filter { kind: Some(EventKind::TokenRefused), agent: Some("agent:1".into()), ..Filter::default() },
        Filter { user: Some("user:none".into()), ..Filter::default() },
    ];
    for filter in selections {
        let wanted = (0..600).filter(|index| filter.admits(&log.entry(*index).unwrap().event().unwrap().unwrap()));
        let wanted = wanted.count() as u64;
        let query = ExportQuery { filter: filter.clone(), since: Some(300), ..ExportQuery::default() };
        let (text, done) = export(&log, &query);
        let report = check(&text);
        assert_eq!((report.faults, done.lines, report.lines), (vec![], wanted, wanted), "{filter:?}");
        assert_eq!(report.selection, Some(filter));
    }
    let partial = export(&log, &ExportQuery { from: 1, ..ExportQuery::default() }).0;
    let trust = Trust { keys: &keys(), whole: true, ..Trust::default() };
    assert_eq!(check_with(&partial, &trust).faults, [Fault::NotWhole { from: 1, to: 600, size: 600 }]);
}

#[test]
fn what_no_checkpoint_covers_is_not_exported() {
    let directory = tempfile::tempdir().unwrap();
    let database = open(directory.path());
    append(&database, [event(TENANT, 1)]);
    let log = Audit::new(&database).log(TENANT);
    grow(&log);
    let refused = |query: &ExportQuery| log.export(query, &mut Vec::new()).unwrap_err().to_string();
    assert_eq!(refused(&ExportQuery::default()), AuditError::NoCheckpoint.to_string());
    log.sign(&log_key(), now(1)).unwrap();
    append(&database, [event(TENANT, 2)]);
    grow(&log);
    for query in [
        ExportQuery { to: Some(2), ..ExportQuery::default() },
        ExportQuery { from: 2, ..ExportQuery::default() },
        ExportQuery { since: Some(2), ..ExportQuery::default() },
    ] {
        assert!(refused(&query).contains("covers 1 events"), "{query:?}");
    }
    assert_eq!(export(&log, &ExportQuery::default()).1.lines, 1);
    log.tell_export(&ExportQuery::default(), &by("user:root"), now(2)).unwrap();
    grow(&log);
    let told = log.entry(2).unwrap().event().unwrap().unwrap();
    assert_eq!((told.kind(), told.get_user()), (EventKind::AuditExported, Some("user:root")));
}

#[test]
fn each_change_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let database = open(directory.path());
    let log = log_of(&database, 9);
    let text = whole(&log);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!((lines.len(), faults(&text)), (11, vec![]));
    for index in 0..9_u64 {
        let at = usize::try_from(index).unwrap() + 1;
        // Missing.
        let mut less = lines.clone();
        less.remove(at);
        let count = Fault::Count { told: 9, told_dropped: 0, lines: 8, dropped: 0 };
        assert_eq!(faults(&joined(&less)), [Fault::Missing { from: index, to: index + 1 }, count]);
        // Truncated behind it.
        let cut = faults(&joined(&lines[..=at]));
        let missing = (index < 8).then_some(Fault::Missing { from: index + 1, to: 9 });
        let wanted: Vec<Fault> = missing.into_iter().chain([Fault::Truncated { line: index + 2 }]).collect();
        assert_eq!(cut, wanted);
        // Twice.
        let mut more = lines.clone();
        more.insert(at, lines[at]);
        let twice = faults(&joined(&more));
        assert_eq!(twice[0], Fault::Twice { line: index + 3, index });
        // Changed, the leaf left as it was: this event and no other.
        let changed = lines[at].replace("\"user\":\"user:", "\"user\":\"user:x");
        let mut other = lines.clone();
        other[at] = &changed;
        assert_eq!(faults(&joined(&other)), [Fault::Changed { index }]);
        // Another place.
        let mut value: Value = serde_json::from_str(lines[at]).unwrap();
        value["number"] = json!(70 + index);
        let placed = value.to_string();
        let mut other = lines.clone();
        other[at] = &placed;
        assert!(faults(&joined(&other)).contains(&Fault::Changed { index }), "{:?}", faults(&joined(&other)));
        // No body, and nothing says that it was dropped.
        let mut value: Value = serde_json::from_str(lines[at]).unwrap();
        value.as_object_mut().unwrap().remove("event");
        value["dropped"] = json!(true);
        let (gone, end) = (value.to_string(), json!({"end": 9, "dropped": 1}).to_string());
        let mut other = lines.clone();
        (other[at], other[10]) = (&gone, &end);
        assert_eq!(faults(&joined(&other)), [Fault::Untold { from: index, to: index + 1 }]);
        if index > 0 {
            // Reordered, with their numbers, and with the numbers set right.
            let mut swapped = lines.clone();
            swapped.swap(at, at - 1);
            assert!(faults(&joined(&swapped)).contains(&Fault::Order {
                line: index + 2,
                index: index - 1,
                after: index
            }));
            let number = |line: &str, index: u64| {
                let (_, rest) = line.split_once(',').unwrap();
                format!("{{\"index\":{index},{rest}")
            };
            let (first, second) = (number(lines[at], index - 1), number(lines[at - 1], index));
            let mut renumbered = lines.clone();
            (renumbered[at - 1], renumbered[at]) = (&first, &second);
            let found = faults(&joined(&renumbered));
            assert!(found.contains(&Fault::Place { index }) && found.contains(&Fault::Root), "{found:?}");
        }
    }
    let more = joined(&lines) + "{}\n";
    assert!(faults(&more).contains(&Fault::Behind { line: 12 }));
    for nothing in ["", "\n", "{}", "hello", "{\"bailiwick_audit\":2}"] {
        assert!(matches!(faults(nothing)[..], [Fault::Head(_)]), "{nothing}");
    }
    let long = text.replacen('\n', &format!("\n{}\n", "x".repeat(usize::try_from(LINE_BYTES_MAX).unwrap() * 2)), 1);
    let found = faults(&long);
    assert!(matches!(&found[..], [Fault::Line { line: 2, what }] if what.contains("bytes")), "{found:?}");
}

#[test]
fn a_replaced_event_with_its_own_leaf_is_found_by_the_root() {
    let directory = tempfile::tempdir().unwrap();
    let database = open(directory.path());
    let text = whole(&log_of(&database, 40));
    let other = tempfile::tempdir().unwrap();
    // A history that differs in one event, signed by nobody who is trusted.
    let another = open(other.path());
    append(&another, (0..40).map(|n| event(TENANT, if n == 20 { 21 } else { n })));
    let log = Audit::new(&another).log(TENANT);
    grow(&log);
    log.sign(&log_key(), now(1)).unwrap();
    let (ours, theirs): (Vec<&str>, String) = (text.lines().collect(), whole(&log));
    let theirs: Vec<&str> = theirs.lines().collect();
    let mut mixed = ours.clone();
    mixed[21] = theirs[21];
    assert_eq!(faults(&joined(&mixed)), [Fault::Root]);
    // Its head, for that matter, fits its own events only.
    let mut headed = ours;
    headed[0] = theirs[0];
    assert_eq!(faults(&joined(&headed)), [Fault::Root]);
}

#[test]
fn another_key_another_log_and_another_history() {
    let directory = tempfile::tempdir().unwrap();
    let database = open(directory.path());
    let log = log_of(&database, 9);
    let old = log.checkpoint().unwrap().unwrap().note;
    append(&database, (9..30).map(|n| event(TENANT, n)));
    grow(&log);
    log.sign(&log_key(), now(2)).unwrap();
    let text = whole(&log);
    let since = |text: &str, note: &str| {
        check_with(text, &Trust { keys: &keys(), since: Some(note), ..Trust::default() }).faults
    };
    assert_eq!(since(&text, &old), []);
    assert_eq!(since(&text, &log.checkpoint().unwrap().unwrap().note), []);
    // A part that does not reach back so far shows it by a proof, if it has one.
    let part = |since| export(&log, &ExportQuery { from: 12, since, ..ExportQuery::default() }).0;
    assert_eq!(since(&part(Some(9)), &old), []);
    assert_eq!(since(&part(None), &old), [Fault::Unproved(9)]);
    let mut head: Value = serde_json::from_str(part(Some(9)).lines().next().unwrap()).unwrap();
    head["consistency"]["proof"][0] = head["consistency"]["proof"][1].clone();
    let forged = part(Some(9)).split_once('\n').map(|(_, rest)| format!("{head}\n{rest}")).unwrap();
    assert_eq!(since(&forged, &old), [Fault::Fork { size: 9 }]);
    // Who verifies has another key.
    let other = SignerKey::from_seed("example.com/audit", KeyKind::Log, &[9; 32]).unwrap();
    let others = [other.key().clone()];
    let found = check_with(&text, &Trust { keys: &others, ..Trust::default() }).faults;
    assert!(
        matches!(&found[..], [Fault::Checkpoint(error)] if error.to_string().contains("no signature is of the key"))
    );
    assert!(matches!(check_with(&text, &Trust::default()).faults[..], [Fault::Checkpoint(_)]));
    // The same key has signed another history: two people were shown two logs.
    let fork = tempfile::tempdir().unwrap();
    let forked = open(fork.path());
    append(&forked, (0..30).map(|n| event(TENANT, n + 1)));
    let fork = Audit::new(&forked).log(TENANT);
    grow(&fork);
    fork.sign(&log_key(), now(2)).unwrap();
    assert_eq!(since(&whole(&fork), &old), [Fault::Fork { size: 9 }]);
    assert_eq!(since(&text, &fork.checkpoint().unwrap().unwrap().note), [Fault::Fork { size: 30 }]);
    // A log that was cut.
    let short = tempfile::tempdir().unwrap();
    let shorter = whole(&log_of(&open(short.path()), 5));
    assert_eq!(since(&shorter, &old), [Fault::SetBack { since: 9, size: 5 }]);
    let named = SignerKey::from_seed("example.com/other", KeyKind::Log, &[9; 32]).unwrap();
    let another = tempfile::tempdir().unwrap();
    let another = open(another.path());
    append(&another, [event(TENANT, 1)]);
    let another = Audit::new(&another).log(TENANT);
    grow(&another);
    let note = another.sign(&named, now(1)).unwrap().note;
    let both = [log_key().key().clone(), named.key().clone()];
    let found = check_with(&text, &Trust { keys: &both, since: Some(&note), ..Trust::default() }).faults;
    let (theirs, ours) = ("example.com/other".to_owned(), "example.com/audit".to_owned());
    assert_eq!(found, [Fault::OtherLog { theirs, ours }]);
    assert!(matches!(since(&text, "nonsense")[..], [Fault::Since(_)]));
}

#[test]
fn no_byte_of_an_export_can_be_another() {
    let directory = tempfile::tempdir().unwrap();
    let database = open(directory.path());
    let log = log_of(&database, 7);
    let selection = Filter { outcome: Some(Outcome::Done), ..Filter::default() };
    let queries = [
        ExportQuery::default(),
        ExportQuery { from: 2, to: Some(5), ..ExportQuery::default() },
        ExportQuery { filter: selection, ..ExportQuery::default() },
    ];
    for query in queries {
        let (text, _) = export(&log, &query);
        let good = check(&text);
        assert_eq!(good.faults, []);
        for at in 0..text.len() {
            for bit in 0..7 {
                let mut bytes = text.clone().into_bytes();
                bytes[at] ^= 1 << bit;
                let report = verify(&bytes[..], &Trust { keys: &keys(), ..Trust::default() }).unwrap();
                // JSON may be written in several ways; what it says must then be the same. Of a selection it is not proved
                // what was wanted.
                let mut like = report.clone();
                if good.selection.is_some() {
                    (like.selection, like.from, like.to) = (good.selection.clone(), good.from, good.to);
                }
                let same = like == good;
                assert!(!report.is_good() || same, "bit {bit} of byte {at} of {text}");
            }
        }
        for at in 0..text.len() {
            let cut = verify(&text.as_bytes()[..at], &Trust { keys: &keys(), ..Trust::default() }).unwrap();
            assert!(!cut.is_good(), "cut off at {at} of {text}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn lines_are_never_moved_left_out_or_doubled_unseen(seed in any::<u64>(), changes in 1_usize..4) {
        let directory = tempfile::tempdir().unwrap();
        let database = open(directory.path());
        let text = whole(&log_of(&database, 30));
        let lines: Vec<&str> = text.lines().collect();
        let mut changed = lines.clone();
        let mut random = Random(seed);
        for _ in 0..changes {
            let place = |random: &mut Random, length: usize| usize::try_from(random.below(length as u64)).unwrap();
            let (a, b) = (place(&mut random, changed.len()), place(&mut random, changed.len()));
            match random.below(3) {
                0 => changed.swap(a, b),
                1 => { changed.remove(a); }
                _ => changed.insert(a, lines[place(&mut random, lines.len())]),
            }
        }
        prop_assert_eq!(check(&joined(&changed)).is_good(), changed == lines);
    }

    #[test]
    fn whatever_is_brought_is_answered(bytes in prop::collection::vec(any::<u8>(), 0..300), at in any::<prop::sample::Index>(), selected in any::<bool>()) {
        static EXPORTS: std::sync::OnceLock<[String; 2]> = std::sync::OnceLock::new();
        let [all, some] = EXPORTS.get_or_init(|| {
            let directory = tempfile::tempdir().unwrap();
            let database = open(directory.path());
            let log = log_of(&database, 12);
            let filter = Filter { user: Some("user:5".into()), ..Filter::default() };
            [whole(&log), export(&log, &ExportQuery { filter, ..ExportQuery::default() }).0]
        });
        let text = if selected { some } else { all };
        let mut mixed = text.clone().into_bytes();
        let at = at.index(mixed.len());
        mixed.splice(at..at, bytes.iter().copied());
        let trusted = keys();
        let trust = Trust { keys: &trusted, ..Trust::default() };
        let good = verify(&mixed[..], &trust).unwrap().is_good();
        prop_assert!(good || !bytes.is_empty());
        let alone = verify(&bytes[..], &trust).unwrap().is_good();
        prop_assert!(!alone);
    }
}

fn drop_all(log: &Log, before: Timestamp) -> (u64, u64) {
    loop {
        let done = log.drop_before(before, &by("user:root"), now(5_000)).unwrap();
        if !done.more {
            return (done.dropped, done.held);
        }
    }
}

/// The keys of the index that are there.
fn index_keys(database: &Bailiwick) -> usize {
    let (mut count, mut after) = (0, None::<Vec<u8>>);
    loop {
        let page = database.records(AUDIT).scan(&audit_key(TENANT, b'i'), after.as_deref(), 1_000).unwrap();
        count += page.len();
        after = page.last().map(|(key, _)| key.clone());
        if page.len() < 1_000 {
            return count;
        }
    }
}

#[test]
fn what_is_dropped_stays_proved_and_what_is_held_stays() {
    let directory = tempfile::tempdir().unwrap();
    let database = open(directory.path());
    append(&database, (0..700).map(|n| event(TENANT, n)));
    let log = Audit::new(&database).log(TENANT);
    grow(&log);
    assert_eq!(log.drop_before(now(300), &By::default(), now(1)).unwrap_err(), AuditError::NoCheckpoint);
    let before = log.sign(&log_key(), now(1)).unwrap();
    let root = log.root(700).unwrap();
    let of_three = Filter { user: Some("user:5".into()), ..Filter::default() };
    let hold = log.hold("case-7", "case 7", of_three.clone(), &by("user:law"), now(2)).unwrap();
    assert_eq!(log.holds().unwrap(), [hold]);
    let old: Vec<Event> = (0..700).map(|n| log.entry(n).unwrap().event().unwrap().unwrap()).collect();
    let keys_before = index_keys(&database);
    let (dropped, held) = drop_all(&log, now(300));
    let due = old.iter().filter(|event| event.at() < now(300));
    let kept = due.clone().filter(|event| of_three.admits(event)).count() as u64;
    assert_eq!((dropped, held), (due.count() as u64 - kept, kept));
    assert!(kept > 20 && dropped > 200, "{kept} kept, {dropped} dropped");
    for (index, event) in old.iter().enumerate() {
        let entry = log.entry(index as u64).unwrap();
        let gone = event.at() < now(300) && !of_three.admits(event);
        assert_eq!(entry.bytes, (!gone).then(|| event.bytes()), "{index}");
        let proof = log.inclusion(index as u64, 700).unwrap();
        let leaf = bailiwick::modules::audit::leaf(entry.place, &event.bytes());
        assert!(includes(&leaf, index as u64, 700, &root, &proof), "who kept a dropped event can still prove it");
    }
    // Nothing finds what is gone, and what finds it is gone too.
    let found = log.query(&Filter { to: Some(now(300)), ..Filter::default() }, 1_000, None).unwrap().entries;
    assert_eq!(found.len() as u64, kept);
    assert!(index_keys(&database) + usize::try_from(dropped).unwrap() * 3 < keys_before);
    assert_eq!(stored(&database, TENANT).len() as u64, 700 - dropped + 3, "a hold, a drop begun, a drop done");
    // An export with the old checkpoint cannot say that they were dropped; one with a newer one does.
    grow(&log);
    let (text, done) = export(&log, &ExportQuery::default());
    assert_eq!((done.dropped, done.untold), (dropped, dropped));
    assert!(matches!(faults(&text)[0], Fault::Untold { from: 0, .. }));
    log.sign(&log_key(), now(3)).unwrap();
    let (text, done) = export(&log, &ExportQuery { since: Some(700), ..ExportQuery::default() });
    assert_eq!((done.dropped, done.untold), (dropped, 0));
    let trust = Trust { keys: &keys(), since: Some(&before.note), whole: true, ..Trust::default() };
    let report = check_with(&text, &trust);
    assert_eq!((report.faults, report.dropped, report.lines), (vec![], dropped, 703));
    let part = export(&log, &ExportQuery { to: Some(300), ..ExportQuery::default() }).0;
    let report = check(&part);
    assert!(report.is_good() && report.untold > 0, "{report:?}");
    // A body that goes missing without a drop is no drop.
    let records = database.records(AUDIT);
    let place = log.entry(650).unwrap().place;
    let at = [audit_key(TENANT, b'e'), place.leaf_bytes().to_vec()].concat();
    let body = records.get(&at).unwrap().unwrap();
    records.write(vec![records.delete(at.clone())]).unwrap();
    let missing = log.export(&ExportQuery::default(), &mut Vec::new()).unwrap_err().to_string();
    assert!(missing.contains("event 650 of tenant 7 is missing"), "{missing}");
    records.write(vec![records.put(at, body)]).unwrap();
    // Released, they go with the next drop.
    log.release("case-7", &by("user:law"), now(4)).unwrap();
    assert_eq!(drop_all(&log, now(300)), (kept, 0));
    assert_eq!(drop_all(&log, now(300)), (0, 0));
    let size = grow(&log);
    log.sign(&log_key(), now(5)).unwrap();
    assert_eq!(check(&whole(&log)).faults, []);
    let told: Vec<String> = (700..size)
        .map(|n| log.entry(n).unwrap().event().unwrap().unwrap())
        .map(|event| format!("{} {}", event.kind().name(), event.outcome().name()))
        .collect();
    let drop = ["audit.dropped allowed", "audit.dropped done"];
    assert_eq!(told, [&["audit.held done"][..], &drop, &["audit.released done"], &drop].concat());
}

#[test]
fn holds_have_names_reasons_and_a_bound() {
    let directory = tempfile::tempdir().unwrap();
    let database = open(directory.path());
    let log = log_of(&database, 3);
    let hold = |id: &str, reason: &str| log.hold(id, reason, Filter::default(), &By::default(), now(1));
    for (id, reason) in [("", "x"), ("a b", "x"), (&"a".repeat(65), "x"), ("a", ""), ("a", "x\ny")] {
        assert!(matches!(hold(id, reason), Err(AuditError::Refused(_))), "{id} {reason}");
    }
    hold("a", "x").unwrap();
    assert!(hold("a", "y").unwrap_err().to_string().contains("already"));
    assert!(log.release("b", &By::default(), now(1)).unwrap_err().to_string().contains("no hold `b`"));
    // A hold without a filter holds all.
    assert_eq!(drop_all(&log, now(1_000)), (0, 3));
    for n in 1..bailiwick::modules::audit::retention::HOLDS_MAX {
        hold(&format!("h{n}"), "x").unwrap();
    }
    assert!(hold("more", "x").unwrap_err().to_string().contains("release one"));
}

#[test]
fn a_drop_goes_on_after_a_stop_and_holds_come_in_between() {
    let directory = tempfile::tempdir().unwrap();
    let mut database = open(directory.path());
    log_of(&database, 3_000);
    let mut steps = 0;
    let (dropped, held) = loop {
        let log = Audit::new(&database).log(TENANT);
        let done = log.drop_before(now(2_900), &By::default(), now(1)).unwrap();
        assert!(!done.more || done.dropped < 2_900);
        steps += 1;
        if steps == 3 {
            let late = Filter { from: Some(now(2_000)), ..Filter::default() };
            log.hold("late", "x", late, &By::default(), now(1)).unwrap();
        }
        if !done.more {
            break (done.dropped, done.held);
        }
        drop(log);
        drop(database);
        database = open(directory.path());
    };
    assert!(steps > 5, "{steps} steps");
    let log = Audit::new(&database).log(TENANT);
    let gone = (0..3_000).filter(|n| log.entry(*n).unwrap().bytes.is_none()).count() as u64;
    let due = |from, to| (0..3_000).filter(|n| (now(from)..now(to)).contains(&event(TENANT, *n).at())).count() as u64;
    assert_eq!((gone, gone), (dropped, due(-100, 2_000)));
    assert_eq!(held, due(2_000, 2_900));
    grow(&log);
    log.sign(&log_key(), now(2)).unwrap();
    assert_eq!(check(&whole(&log)).faults, []);
    assert!(database.verify().unwrap().differences.is_empty());
}

#[test]
fn two_drops_at_once_are_one_after_the_other() {
    let directory = tempfile::tempdir().unwrap();
    let database = open(directory.path());
    let log = log_of(&database, 1_500);
    std::thread::scope(|scope| {
        for before in [700, 1_200, 400] {
            let log = &log;
            scope.spawn(move || {
                for _ in 0..40 {
                    match log.drop_before(now(before), &By::default(), now(1)) {
                        Ok(_) | Err(AuditError::Contended) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
            });
        }
    });
    for n in 0..1_500 {
        assert_eq!(log.entry(n).unwrap().bytes.is_none(), event(TENANT, n).at() < now(1_200), "{n}");
    }
    grow(&log);
    log.sign(&log_key(), now(2)).unwrap();
    assert_eq!(check(&whole(&log)).faults, []);
}

#[test]
fn ocsf_has_the_class_of_every_kind() {
    let directory = tempfile::tempdir().unwrap();
    let database = open(directory.path());
    let each = |kind: &EventKind| {
        let full = Event::new(TENANT, *kind, Outcome::Refused, now(1))
            .user("user:sarah")
            .agent("agent:sales")
            .actor("agent:planner")
            .client("app:crm")
            .resource("crm:accounts")
            .action("read")
            .reason("narrow.scope")
            .session("s1")
            .grant("g1")
            .token("t1")
            .trace("trace-1")
            .address("192.0.2.1");
        [Event::new(TENANT, *kind, Outcome::Done, now(0)), full]
    };
    append(&database, EventKind::ALL.iter().flat_map(each));
    let log = Audit::new(&database).log(TENANT);
    grow(&log);
    log.sign(&log_key(), now(1)).unwrap();
    let (text, done) = export(&log, &ExportQuery { format: Format::Ocsf, ..ExportQuery::default() });
    assert_eq!(done.lines, 2 * EventKind::ALL.len() as u64);
    if let Some(path) = std::env::var_os("BAILIWICK_OCSF_OUT") {
        std::fs::write(path, &text).unwrap();
    }
    for (n, line) in text.lines().enumerate() {
        let value: Value = serde_json::from_str(line).unwrap();
        let number = |name: &str| value[name].as_u64().unwrap();
        assert_eq!(number("type_uid"), number("class_uid") * 100 + number("activity_id"));
        assert_eq!(number("category_uid"), number("class_uid") / 1_000);
        assert!([3001, 3002, 3004, 3005, 6003, 2004].contains(&number("class_uid")));
        assert_eq!(value["metadata"]["version"], "1.8.0");
        assert_eq!(value["metadata"]["uid"], format!("example.com/audit#{n}"));
        assert_eq!(value["unmapped"]["bailiwick"]["index"], n);
        assert!(value["unmapped"]["bailiwick"]["event"]["kind"].is_string());
        if n % 2 == 1 && number("class_uid") != 2004 {
            assert_eq!(value["actor"]["user"]["uid"], "user:sarah", "{line}");
            assert_eq!(value["actor"]["app_uid"], "agent:sales", "{line}");
            assert_eq!(value["src_endpoint"]["ip"], "192.0.2.1");
            assert_eq!(number("status_id"), 2);
        }
    }
}

/// Of a role, the user is who holds it, and the actor who gave or took it.
#[test]
fn ocsf_tells_who_holds_a_role_from_who_gave_it() {
    let directory = tempfile::tempdir().unwrap();
    let database = open(directory.path());
    let role = |kind, subject: &str| {
        let event = Event::new(TENANT, kind, Outcome::Done, now(0)).resource("tenant:acme").action("admin");
        event.detail("subject", subject)
    };
    append(
        &database,
        [
            role(EventKind::RoleGiven, "user:paul").user("user:paul").detail("by", "user:olga"),
            role(EventKind::RoleGiven, "agent:x").client("agent:x").user("user:olga"),
            role(EventKind::RoleTaken, "team:ops#member").user("user:olga"),
        ],
    );
    let log = Audit::new(&database).log(TENANT);
    grow(&log);
    log.sign(&log_key(), now(1)).unwrap();
    let (text, _) = export(&log, &ExportQuery { format: Format::Ocsf, ..ExportQuery::default() });
    let told: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let holders: Vec<&Value> = told.iter().map(|value| &value["user"]["uid"]).collect();
    assert_eq!(holders, ["user:paul", "agent:x", "team:ops#member"]);
    for value in &told {
        assert_eq!(value["actor"], json!({"user": {"uid": "user:olga", "type_id": 1, "type": "User"}}), "{value}");
    }
}
