//! What a question costs in process on the `scale` worlds, where the answers are known: import, Check, ListObjects, open.
//!
//! `cargo bench --bench scale` runs 1e5 tuples; `cargo bench --bench scale -- 1e6` the real size. The tuples come from
//! `../shared/data/scale/generate.py`. Prints figures and a hash of the answers; asserts that the answers are right.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a bench fails loudly and talks to a person"
)]

use bailiwick::Bailiwick;
use bailiwick::engine::*;
use bailiwick::model::Model;
use bailiwick::tuple::*;
use hdrhistogram::Histogram;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::time::Instant;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Times each question is asked, so that the figures are of a warm process.
const ROUNDS: usize = 20;

/// Users whose widest list is asked for.
const WIDE_USERS: usize = 100;

fn lines(path: &Path) -> Vec<Value> {
    let reader = BufReader::new(zstd::Decoder::new(std::fs::File::open(path).unwrap()).unwrap());
    reader.lines().map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap()
}

fn import(database: &Bailiwick, store: StoreId, path: &Path) -> usize {
    let (mut chunk, mut total) = (Vec::new(), 0);
    for line in BufReader::new(std::fs::File::open(path).unwrap()).lines() {
        let t: Value = serde_json::from_str(&line.unwrap()).unwrap();
        let key = TupleKeyRef::parse(text(&t, "object"), text(&t, "relation"), text(&t, "user"));
        chunk.push(key.unwrap().to_tuple());
        if chunk.len() == 10_000 {
            total += chunk.len();
            database.import_chunk(store, None, std::mem::take(&mut chunk), Timestamp(1)).unwrap();
        }
    }
    total += chunk.len();
    database.import_chunk(store, None, chunk, Timestamp(1)).unwrap();
    total
}

fn checks(view: &View, cases: &[Value], rounds: usize) {
    let mut histogram = Histogram::<u64>::new(3).unwrap();
    let mut kinds: BTreeMap<(String, bool), Histogram<u64>> = BTreeMap::new();
    let mut allowed = 0_usize;
    let limits = Limits::default();
    for case in cases {
        let kind = (text(case, "relation").to_owned(), case["allowed"].as_bool().unwrap());
        let histogram_of_kind = kinds.entry(kind).or_insert_with(|| Histogram::new(3).unwrap());
        for _ in 0..rounds {
            let (object, relation, user) = (text(case, "object"), text(case, "relation"), text(case, "user"));
            let start = Instant::now();
            let key = TupleKeyRef::parse(object, relation, user).unwrap();
            let answer = view.check(&CheckQuery { key, given: Given::default() }, &limits).unwrap();
            histogram_of_kind.record(u64::try_from(start.elapsed().as_nanos()).unwrap()).unwrap();
            assert_eq!(answer == Decision::Allow, case["allowed"].as_bool().unwrap(), "{case}");
        }
    }
    for ((relation, allowed), times) in &kinds {
        let at = |q| times.value_at_quantile(q) as f64 / 1e3;
        println!(
            "  {relation:<12} {} median {:.2} us, p99 {:.2} us, asked again and again",
            if *allowed { "allow" } else { "deny " },
            at(0.5),
            at(0.99)
        );
    }
    for _ in 0..rounds {
        for case in cases {
            let (object, relation, user) = (text(case, "object"), text(case, "relation"), text(case, "user"));
            let start = Instant::now();
            let key = TupleKeyRef::parse(object, relation, user).unwrap();
            let answer = view.check(&CheckQuery { key, given: Given::default() }, &limits).unwrap();
            histogram.record(u64::try_from(start.elapsed().as_nanos()).unwrap()).unwrap();
            assert_eq!(answer == Decision::Allow, case["allowed"].as_bool().unwrap(), "{case}");
            allowed += usize::from(answer == Decision::Allow);
        }
    }
    let at = |q| histogram.value_at_quantile(q) as f64 / 1e3;
    println!(
        "check: {} questions x {rounds}, {allowed} allowed: median {:.2} us, p99 {:.2} us, max {:.0} us",
        cases.len(),
        at(0.5),
        at(0.99),
        histogram.max() as f64 / 1e3
    );
}

fn lists(view: &View, cases: &[Value]) {
    let mut widest = (0, 0.0);
    let (mut objects, mut seconds) = (0, 0.0);
    for case in cases {
        let subject = SubjectRef::parse(text(case, "user")).unwrap();
        let (object_type, relation) = (text(case, "type"), text(case, "relation"));
        let query = ListObjectsQuery { object_type, relation, subject, given: Given::default() };
        let start = Instant::now();
        let listed = view.list_objects(&query, &Limits::default()).unwrap();
        let took = start.elapsed().as_secs_f64();
        assert_eq!(listed.len() as u64, case["count"].as_u64().unwrap(), "{} {}", case["user"], case["relation"]);
        objects += listed.len();
        seconds += took;
        if listed.len() > widest.0 {
            widest = (listed.len(), took);
        }
    }
    println!(
        "list objects: {} questions, {objects} objects in {:.1} ms; the widest, {} objects, first asked: {:.2} ms",
        cases.len(),
        seconds * 1e3,
        widest.0,
        widest.1 * 1e3
    );
}

/// Lists what everybody may read, 43 % of all documents, for users who were not asked about before.
fn widest(view: &View, cases: &[Value]) {
    let users: std::collections::BTreeSet<&str> = cases.iter().map(|c| text(c, "user")).collect();
    let mut times = Vec::new();
    let mut objects = 0;
    for user in users.iter().take(WIDE_USERS) {
        let subject = SubjectRef::parse(user).unwrap();
        let query =
            ListObjectsQuery { object_type: "document", relation: "can_read", subject, given: Given::default() };
        let start = Instant::now();
        let listed = view.list_objects(&query, &Limits::default()).unwrap();
        times.push(start.elapsed().as_secs_f64() * 1e3);
        objects = objects.max(listed.len());
    }
    let first = times.first().copied().unwrap_or_default();
    times.sort_by(f64::total_cmp);
    let median = times.get(times.len() / 2).copied().unwrap_or_default();
    println!(
        "can_read, to a set of up to {objects} documents: first asked {first:.2} ms, median of {} users {median:.2} ms",
        times.len()
    );
}

fn main() {
    let size = std::env::args().find(|a| a.starts_with("1e")).unwrap_or_else(|| "1e5".into());
    let data = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    if !data.exists() {
        eprintln!("SKIPPED: {} is not there", data.display());
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let tuples = directory.path().join("tuples.jsonl");
    let generate = data.join("scale/generate.py");
    let out = ["--tuples", &size, "--seed", "1", "--out"];
    let made = std::process::Command::new("python3").arg(generate).args(out).arg(&tuples).output().unwrap();
    assert!(made.status.success());
    let store = StoreId(ulid::Ulid::from_parts(1, 1));
    let path = directory.path().join("db");
    let database = Bailiwick::open(&path).unwrap();
    database.create_store(store, "scale", Timestamp(1)).unwrap();
    let model = Model::parse_dsl(&std::fs::read_to_string(data.join("k8s-docs/model.fga")).unwrap()).unwrap();
    database.write_model(store, ModelId(ulid::Ulid::from_parts(1, 2)), model).unwrap();
    let start = Instant::now();
    let total = import(&database, store, &tuples);
    println!("import: {total} tuples from JSON lines, durable, in {:.2} s", start.elapsed().as_secs_f64());
    drop(database);
    let start = Instant::now();
    let database = Bailiwick::open(&path).unwrap();
    println!("open: {:.3} s", start.elapsed().as_secs_f64());
    println!("memory: {} bytes a tuple, names included", database.stats().bytes_per_tuple());
    let view = database.view(store, None, Consistency::Latest).unwrap();
    let cases = |kind: &str| data.join(format!("scale/n{size}_seed1.{kind}.jsonl.zst"));
    if !cases("checks").exists() {
        println!("no questions are known for {size}");
        return;
    }
    lists(&view, &lines(&cases("list_objects")));
    let rounds =
        std::env::args().find_map(|a| a.strip_prefix("--rounds=").map(|n| n.parse().unwrap())).unwrap_or(ROUNDS);
    checks(&view, &lines(&cases("checks")), rounds);
    widest(&view, &lines(&cases("checks")));
}
