//! What the audit log costs: writes with and without an event, growth of the tree, checkpoints, proofs, queries and exports.
//!
//! `cargo bench --bench audit` runs 1e4 events; `cargo bench --bench audit -- 1e6` the real size too.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a bench fails loudly and talks to a person"
)]

use bailiwick::Bailiwick;
use bailiwick::engine::{RecordChange, WriteQuery};
use bailiwick::identity::{AUDIT, Event, EventKind, Outcome};
use bailiwick::model::Model;
use bailiwick::modules::audit::export::ExportQuery;
use bailiwick::modules::audit::note::{KeyKind, Signer, SignerKey};
use bailiwick::modules::audit::query::Filter;
use bailiwick::modules::audit::verify::{Trust, verify};
use bailiwick::modules::audit::{Audit, Log};
use bailiwick::tuple::{ModelId, StoreId, Timestamp, TupleKeyRef};
use hdrhistogram::Histogram;
use std::path::Path;
use std::time::{Duration, Instant};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const TENANT: u32 = 1;
const CLIENTS: u64 = 64;
const PEOPLE: u64 = 2_000;
const AGENTS: u64 = 200;
const RESOURCES: u64 = 20_000;
const QUESTIONS: u64 = 300;
const PAGE: usize = 50;
const SECOND: i64 = 1_000_000_000;
const BEGIN: i64 = 1_700_000_000 * SECOND;
const MODEL: &str = "model\n  schema 1.1\ntype user\ntype document\n  relations\n    define viewer: [user]\n";

fn mixed(n: u64) -> u64 {
    (n ^ n >> 31).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 16
}

/// An event as a token endpoint writes one.
fn event(n: u64) -> Event {
    const KINDS: [EventKind; 5] = [
        EventKind::TokenIssued,
        EventKind::CheckDecided,
        EventKind::ProxyCalled,
        EventKind::ExchangeAllowed,
        EventKind::TokenRefused,
    ];
    let kind = KINDS[usize::try_from(mixed(n) % 5).unwrap()];
    let outcome = if kind == EventKind::TokenRefused { Outcome::Refused } else { Outcome::Allowed };
    Event::new(TENANT, kind, outcome, Timestamp(BEGIN + i64::try_from(n).unwrap() * SECOND))
        .user(format!("user:{}", mixed(n + 1) % PEOPLE))
        .agent(format!("agent:{}", mixed(n + 2) % AGENTS))
        .client("app:crm")
        .resource(format!("https://api.example/documents/{}", mixed(n + 3) % RESOURCES))
        .action("read")
        .reason("policy.allowed")
        .session(format!("session-{}", n / 20))
        .grant(format!("grant-{}", n / 10))
        .trace(format!("00-{:032x}", mixed(n / 4)))
        .address("192.0.2.1")
}

/// Writes a second of one tuple each by many callers, with or without an event.
fn writes(database: &Bailiwick, store: StoreId, round: u64, with: bool, time: Duration) -> f64 {
    let start = Instant::now();
    let count: u64 = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                scope.spawn(move || {
                    for n in 0_u64.. {
                        if start.elapsed() > time {
                            return n;
                        }
                        let object = format!("document:{round}-{client}-{n}");
                        let tuple = TupleKeyRef::parse(&object, "viewer", "user:anne").unwrap().to_tuple();
                        let mut query = WriteQuery { writes: vec![tuple], ..WriteQuery::default() };
                        if with {
                            query = query.with_record(event(n).change());
                        }
                        database.write(store, None, query, Timestamp(1)).unwrap();
                    }
                    0
                })
            })
            .collect();
        clients.into_iter().map(|client| client.join().unwrap()).sum()
    });
    count as f64 / start.elapsed().as_secs_f64()
}

fn appends(directory: &Path, seconds: u64) {
    let database = Bailiwick::open(directory.join("appends")).unwrap();
    let store = StoreId(ulid::Ulid::from_parts(1, 1));
    database.create_store(store, "bench", Timestamp(1)).unwrap();
    let model = Model::parse_dsl(MODEL).unwrap();
    database.write_model(store, ModelId(ulid::Ulid::from_parts(1, 2)), model).unwrap();
    let time = Duration::from_millis(seconds * 500);
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for round in 0..8 {
        without.push(writes(&database, store, round * 2, false, time));
        with.push(writes(&database, store, round * 2 + 1, true, time));
    }
    let median = |rates: &mut Vec<f64>| {
        rates.sort_by(f64::total_cmp);
        rates[rates.len() / 2]
    };
    let (without, with) = (median(&mut without), median(&mut with));
    let cost = 100.0 * (1.0 - with / without);
    println!(
        "| durable writes, {CLIENTS} callers | {without:.0}/s without an event, {with:.0}/s with one: {cost:.1} % |"
    );
}

fn append(database: &Bailiwick, from: u64, to: u64) {
    let changes: Vec<RecordChange> = (from..to).map(|n| event(n).change()).collect();
    for some in changes.chunks(1_000) {
        database.records(AUDIT).write(some.to_vec()).unwrap();
    }
}

fn grow(log: &Log) -> u64 {
    loop {
        let grown = log.grow().unwrap();
        if !grown.more {
            return grown.size;
        }
    }
}

/// Median and 99th percentile of what each question takes, in microseconds, and how many events were found.
fn ask(log: &Log, filter: impl Fn(u64) -> Filter) -> String {
    let (mut times, mut found) = (Histogram::<u64>::new(3).unwrap(), 0);
    for n in 0..QUESTIONS {
        let filter = filter(mixed(n + 77));
        let start = Instant::now();
        let page = log.query(&filter, PAGE, None).unwrap();
        times.record(u64::try_from(start.elapsed().as_micros()).unwrap()).unwrap();
        found += page.entries.len();
    }
    let at = |q| times.value_at_quantile(q) as f64 / 1e3;
    format!("p50 {:.2} ms, p99 {:.2} ms, {:.1} events a page", at(0.5), at(0.99), found as f64 / QUESTIONS as f64)
}

fn size(directory: &Path, events: u64) {
    let path = directory.join(format!("log-{events}"));
    let database = Bailiwick::open(&path).unwrap();
    let log = Audit::new(&database).log(TENANT);
    let start = Instant::now();
    let mut from = 0;
    while from < events {
        let to = (from + 50_000).min(events);
        append(&database, from, to);
        from = to;
    }
    println!("| append {events} events, 1,000 a write | {:.0}/s |", events as f64 / start.elapsed().as_secs_f64());
    let bytes = database.stats().disk_bytes;
    let start = Instant::now();
    assert_eq!(grow(&log), events);
    println!("| grow the tree by them | {:.0}/s |", events as f64 / start.elapsed().as_secs_f64());
    let grown = database.stats().disk_bytes.saturating_sub(bytes) / events;
    println!(
        "| disk | {} bytes an event, and {grown} for tree and index; the log has both a second time |",
        bytes / events
    );
    let signer = SignerKey::from_seed("bench.example", KeyKind::Log, &[1; 32]).unwrap();
    let start = Instant::now();
    log.sign(&signer, Timestamp(BEGIN)).unwrap();
    println!("| sign a checkpoint | {:.2} ms |", start.elapsed().as_secs_f64() * 1e3);
    // After a start, and read from files.
    drop(log);
    drop(database);
    let database = Bailiwick::open(&path).unwrap();
    let log = Audit::new(&database).log(TENANT);
    let all = Filter::default;
    println!("| one person | {} |", ask(&log, |n| Filter { user: Some(format!("user:{}", n % PEOPLE)), ..all() }));
    let person_kind =
        |n: u64| Filter { user: Some(format!("user:{}", n % PEOPLE)), kind: Some(EventKind::TokenRefused), ..all() };
    println!("| one person, one kind | {} |", ask(&log, person_kind));
    println!(
        "| one trace | {} |",
        ask(&log, |n| Filter { trace: Some(format!("00-{:032x}", mixed(n % events / 4))), ..all() })
    );
    let two = |n: u64| Filter {
        agent: Some(format!("agent:{}", n % AGENTS)),
        resource: Some(format!("https://api.example/documents/{}", n % RESOURCES)),
        ..all()
    };
    println!("| one agent, one resource | {} |", ask(&log, two));
    let window = |n: u64| {
        let from = BEGIN + i64::try_from(n % events).unwrap() * SECOND;
        Filter { from: Some(Timestamp(from)), to: Some(Timestamp(from + 600 * SECOND)), ..all() }
    };
    println!("| ten minutes of all | {} |", ask(&log, window));
    let person_window = |n: u64| Filter { user: Some(format!("user:{}", n % PEOPLE)), ..window(mixed(n)) };
    println!("| one person, ten minutes | {} |", ask(&log, person_window));
    println!("| the newest of all | {} |", ask(&log, |_| all()));
    let mut times = Histogram::<u64>::new(3).unwrap();
    for n in 0..QUESTIONS {
        let start = Instant::now();
        log.inclusion(mixed(n) % events, events).unwrap();
        times.record(u64::try_from(start.elapsed().as_micros()).unwrap()).unwrap();
    }
    println!("| proof of inclusion | p50 {:.2} ms |", times.value_at_quantile(0.5) as f64 / 1e3);
    let mut text = Vec::new();
    let start = Instant::now();
    log.export(&ExportQuery::default(), &mut text).unwrap();
    println!(
        "| export | {:.0}/s, {} bytes an event |",
        events as f64 / start.elapsed().as_secs_f64(),
        text.len() as u64 / events
    );
    let start = Instant::now();
    let keys = [signer.key().clone()];
    assert!(verify(&text[..], &Trust { keys: &keys, whole: true, ..Trust::default() }).unwrap().is_good());
    println!("| verify the export | {:.0}/s |", events as f64 / start.elapsed().as_secs_f64());
}

fn main() {
    let large = std::env::args().any(|argument| argument == "1e6");
    let directory = tempfile::tempdir().unwrap();
    println!("| what | cost |\n|---|---|");
    appends(directory.path(), if large { 4 } else { 1 });
    for events in [10_000, 1_000_000] {
        if large || events < 1_000_000 {
            println!("| **{events} events** | |");
            size(directory.path(), events);
        }
    }
}
