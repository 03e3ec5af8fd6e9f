//! What the store costs: writes a second against syncs a second of the disk, ten thousand small stores, and the `scale`
//! tuples: import, open after a clean stop and after a crash, memory of the process against what stats claim.
//!
//! `cargo bench --bench store` runs small sizes; `cargo bench --bench store -- 1e6` (or 1e7) the real ones. The tuples come
//! from `../shared/data/scale/generate.py`. Each measurement that looks at memory is a process of its own.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::indexing_slicing,
    reason = "a bench fails loudly and talks to a person"
)]

use bailiwick::Bailiwick;
use bailiwick::engine::*;
use bailiwick::model::Model;
use bailiwick::tuple::*;
use hdrhistogram::Histogram;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const CLIENTS: u64 = 64;
const STORES: u128 = 10_000;
const STORES_SMALL: u128 = 500;
const CHUNK: usize = 10_000;
const SMALL_MODEL: &str = "model\n  schema 1.1\ntype user\ntype group\n  relations\n    define member: [user, group#member]\n\
    type document\n  relations\n    define parent: [document]\n    define owner: [user]\n\
    define viewer: [user, user:*, group#member] or owner or viewer from parent\n";

fn store() -> StoreId {
    StoreId(ulid::Ulid::from_parts(1, 1))
}

fn tuple(object: &str, relation: &str, subject: &str) -> Tuple {
    TupleKeyRef::parse(object, relation, subject).unwrap().to_tuple()
}

fn create(database: &Bailiwick, store: StoreId, model: &str) {
    database.create_store(store, "bench", Timestamp(1)).unwrap();
    let model = Model::parse_dsl(model).unwrap();
    database.write_model(store, ModelId(ulid::Ulid::from_parts(1, 2)), model).unwrap();
}

/// Bytes of this process in memory.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

/// Syncs a second that the disk does alone.
fn syncs(directory: &Path, time: Duration) -> f64 {
    let mut file = std::fs::File::create(directory.join("alone")).unwrap();
    let start = Instant::now();
    let mut count = 0_u32;
    while start.elapsed() < time {
        file.write_all(&[7; 4096]).unwrap();
        file.sync_data().unwrap();
        count += 1;
    }
    f64::from(count) / start.elapsed().as_secs_f64()
}

/// Writes a second of one tuple each, and how long one takes, while an import runs or not.
fn writes(database: &Bailiwick, round: u64, time: Duration, import: bool) -> (f64, Histogram<u64>, f64) {
    let (stop, imported) = (AtomicBool::new(false), AtomicU64::new(0));
    let start = Instant::now();
    let all = std::thread::scope(|scope| {
        if import {
            scope.spawn(|| {
                for chunk in 0_u64.. {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let name = |n: usize| format!("document:import-{round}-{chunk}-{n}");
                    let tuples = (0..CHUNK).map(|n| tuple(&name(n), "owner", &format!("user:{}", n % 5_000)));
                    database.import_chunk(store(), None, tuples.collect(), Timestamp(1)).unwrap();
                    imported.fetch_add(CHUNK as u64, Ordering::Relaxed);
                }
            });
        }
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                scope.spawn(move || {
                    let mut histogram = Histogram::<u64>::new(3).unwrap();
                    for n in 0_u64.. {
                        if start.elapsed() > time {
                            break;
                        }
                        let object = format!("document:{round}-{client}-{n}");
                        let writes = vec![tuple(&object, "owner", "user:anne")];
                        let begin = Instant::now();
                        let query = WriteQuery { writes, ..WriteQuery::default() };
                        database.write(store(), None, query, Timestamp(1)).unwrap();
                        histogram.record(u64::try_from(begin.elapsed().as_micros()).unwrap()).unwrap();
                    }
                    histogram
                })
            })
            .collect();
        let mut all = Histogram::<u64>::new(3).unwrap();
        for client in clients {
            all.add(client.join().unwrap()).unwrap();
        }
        stop.store(true, Ordering::Relaxed);
        all
    });
    let seconds = start.elapsed().as_secs_f64();
    (all.len() as f64 / seconds, all, imported.load(Ordering::Relaxed) as f64 / seconds)
}

/// Rounds in turn with the disk alone, because a shared disk changes from one second to the next.
const ROUNDS: u64 = 10;

fn group_commit(directory: &Path, seconds: u64) {
    let database = Bailiwick::open(directory.join("writes")).unwrap();
    create(&database, store(), SMALL_MODEL);
    let time = Duration::from_millis(seconds * 500);
    let mut before = syncs(directory, time / 2);
    for round in 0..2 * ROUNDS {
        let import = round >= ROUNDS;
        let revision = database.revision();
        let (rate, histogram, imported) = writes(&database, round, time, import);
        let per_sync = histogram.len() as f64 / (database.revision().0 - revision.0) as f64;
        let after = syncs(directory, time / 2);
        let alone = (before + after) / 2.0;
        before = after;
        let at = |q| histogram.value_at_quantile(q) as f64 / 1e3;
        println!(
            "{CLIENTS} clients write 1 tuple at a time, synced{}: {rate:.0} a second, {per_sync:.1} a sync; the disk alone \
             {alone:.0} syncs a second: {:.1} x; median {:.1} ms, p99 {:.1} ms, max {:.1} ms",
            if import { format!(", beside an import of {imported:.0} tuples a second") } else { String::new() },
            rate / alone,
            at(0.5),
            at(0.99),
            at(1.0)
        );
    }
}

fn many_stores(directory: &Path, stores: u128) {
    let path = directory.join("stores");
    let database = Bailiwick::open(&path).unwrap();
    create(&database, store(), SMALL_MODEL);
    let one = |database: &Bailiwick, n: u32| {
        let begin = Instant::now();
        let query =
            WriteQuery { writes: vec![tuple(&format!("document:{n}"), "owner", "user:a")], ..WriteQuery::default() };
        database.write(store(), None, query, Timestamp(1)).unwrap();
        begin.elapsed().as_secs_f64() * 1e3
    };
    let median = |database: &Bailiwick, from: u32| {
        let mut times: Vec<f64> = (from..from + 50).map(|n| one(database, n)).collect();
        times.sort_by(f64::total_cmp);
        times.into_iter().nth(25).unwrap()
    };
    let alone = median(&database, 0);
    let next = AtomicU64::new(0);
    let start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                loop {
                    let n = u128::from(next.fetch_add(1, Ordering::Relaxed));
                    if n >= stores {
                        return;
                    }
                    let id = StoreId(ulid::Ulid::from_parts(2, n));
                    create(&database, id, SMALL_MODEL);
                    let writes = (0..10).map(|k| tuple(&format!("document:{k}"), "owner", &format!("user:{k}")));
                    let query = WriteQuery { writes: writes.collect(), ..WriteQuery::default() };
                    database.write(id, None, query, Timestamp(1)).unwrap();
                }
            });
        }
    });
    println!("{stores} stores of ten tuples: made in {:.1} s by {CLIENTS} clients", start.elapsed().as_secs_f64());
    let among = median(&database, 100);
    println!("... a write to another store: median {alone:.2} ms before, {among:.2} ms among them");
    drop(database);
    child("open", &path, &["stores"]);
}

/// Runs a measurement in a process of its own.
fn child(what: &str, path: &Path, more: &[&str]) {
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    command.arg("child").arg(what).arg(path).args(more);
    assert!(command.status().unwrap().success());
}

fn open(path: &Path, what: &str) {
    let before = resident();
    let start = Instant::now();
    let database = Bailiwick::open(path).unwrap();
    let seconds = start.elapsed().as_secs_f64();
    let (after, stats) = (resident(), database.stats());
    let tuples: u64 = stats.stores.iter().map(|s| s.tuples).sum();
    let index: usize = stats.stores.iter().map(|s| s.column_bytes + s.name_bytes).sum();
    let names: usize = stats.stores.iter().map(|s| s.name_bytes).sum();
    println!("open {what}: {seconds:.3} s for {tuples} tuples in {} stores", stats.stores.len());
    println!(
        "... resident {} bytes a tuple ({} a store); stats say index {} bytes a tuple (names {}), {} a store, {:?}",
        (after - before) / tuples.max(1),
        (after - before) / stats.stores.len().max(1) as u64,
        index as u64 / tuples.max(1),
        names as u64 / tuples.max(1),
        index / stats.stores.len().max(1),
        stats.storage
    );
}

fn import(path: &Path, tuples: &Path, model: &Path, crash: bool) {
    let before = resident();
    let database = Bailiwick::open(path).unwrap();
    if crash {
        std::mem::forget(database.clone()); // never closed: what is not in table files stays in the log
    }
    create(&database, store(), &std::fs::read_to_string(model).unwrap());
    let (sender, receiver) = std::sync::mpsc::sync_channel::<Vec<Tuple>>(4);
    let start = Instant::now();
    let total = std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut chunk = Vec::with_capacity(CHUNK);
            for line in BufReader::new(std::fs::File::open(tuples).unwrap()).lines() {
                let line = line.unwrap();
                let t: std::collections::HashMap<&str, &str> = serde_json::from_str(&line).unwrap();
                chunk.push(tuple(t["object"], t["relation"], t["user"]));
                if chunk.len() == CHUNK {
                    sender.send(std::mem::replace(&mut chunk, Vec::with_capacity(CHUNK))).unwrap();
                }
            }
            sender.send(chunk).unwrap();
        });
        let mut total = 0;
        for chunk in receiver {
            total += chunk.len();
            database.import_chunk(store(), None, chunk, Timestamp(1)).unwrap();
        }
        total as u64
    });
    let seconds = start.elapsed().as_secs_f64();
    let stats = database.stats();
    println!(
        "import: {total} tuples in {seconds:.2} s, {:.0} a second; resident {} bytes a tuple, stats say {}; on disk {}",
        total as f64 / seconds,
        (resident() - before) / total,
        stats.memory_bytes() / total,
        stats.disk_bytes / total
    );
}

fn scale(directory: &Path, size: &str) {
    let data = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    if !data.exists() {
        eprintln!("SKIPPED: {} is not there", data.display());
        return;
    }
    let (tuples, model) = (directory.join("tuples.jsonl"), data.join("k8s-docs/model.fga"));
    let mut generate = std::process::Command::new("python3");
    generate.arg(data.join("scale/generate.py")).args(["--tuples", size, "--seed", "1", "--out"]).arg(&tuples);
    assert!(generate.output().unwrap().status.success());
    let paths = [tuples.to_str().unwrap(), model.to_str().unwrap()];
    child("import", &directory.join("clean"), &paths);
    child("open", &directory.join("clean"), &["after a clean stop"]);
    child("open", &directory.join("clean"), &["after a clean stop, again"]);
    std::fs::remove_dir_all(directory.join("clean")).unwrap();
    child("crash", &directory.join("crash"), &paths);
    child("open", &directory.join("crash"), &["after a crash"]);
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(at) = arguments.iter().position(|a| a == "child") {
        let path = |n: usize| PathBuf::from(&arguments[at + n]);
        match arguments[at + 1].as_str() {
            "open" => open(&path(2), &arguments[at + 3]),
            what => import(&path(2), &path(3), &path(4), what == "crash"),
        }
        return;
    }
    let size = arguments.iter().find(|a| a.starts_with("1e")).map(String::as_str);
    let directory = tempfile::tempdir().unwrap();
    if !arguments.iter().any(|a| a == "scale") {
        group_commit(directory.path(), if size.is_some() { 5 } else { 1 });
        many_stores(directory.path(), if size.is_some() { STORES } else { STORES_SMALL });
    }
    scale(directory.path(), size.unwrap_or("1e5"));
}
