//! Search through the engine, with permissions from tuples: cold subjects and known ones, and what else people do instead.
//!
//! `cargo bench --bench retrieval` takes `../shared/data/debian` (63,666 packages: whole teams, and packages one by one) and
//! `../shared/data/k8s-docs` (its own tuples and questions); `-- small` the first 6,000 packages, `-- 1e6` a million made
//! from them. A cold search is the first of a subject: the engine evaluates who may see what. Speeds are wall time of one
//! thread; those over gRPC are of a client on loopback, one call at a time. Every answer of the graph is compared with the exact one, and every hit with Check.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    reason = "a bench fails loudly and talks to a person"
)]

mod data;

use bailiwick::Bailiwick;
use bailiwick::api::own_proto::SearchRequest;
use bailiwick::api::own_proto::collections_client::CollectionsClient;
use bailiwick::engine::*;
use bailiwick::model::Model;
use bailiwick::tuple::*;
use bailiwick::vector::{Effort, Element, Metric, Space};
use data::{Dice, halves};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SHARES: [f64; 9] = [0.01, 0.1, 1.0, 5.0, 10.0, 25.0, 50.0, 90.0, 100.0];
const K: usize = 10;
const USERS: usize = 8;
const QUERIES: usize = 25;
const NOW: Timestamp = Timestamp(1);
const COLLECTION: &str = "chunks";
const PACKAGES: &str = "model
  schema 1.1
type user
type team
  relations
    define member: [user]
type package
  relations
    define owner: [team]
    define viewer: [user] or member from owner
";

const OPEN: &str = "model
  schema 1.1
type user
type document
  relations
    define can_view: [user:*]
";

fn lines(path: &Path) -> Vec<Value> {
    let reader = BufReader::new(zstd::Decoder::new(std::fs::File::open(path).unwrap()).unwrap());
    reader.lines().map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect()
}

fn store(name: &str, database: &Bailiwick, model: &str) -> StoreId {
    let id = ulid::Ulid::from_parts(1, name.bytes().map(u128::from).sum());
    database.create_store(StoreId(id), name, NOW).unwrap();
    database.write_model(StoreId(id), ModelId(id), Model::parse_dsl(model).unwrap()).unwrap();
    StoreId(id)
}

fn write(database: &Bailiwick, store: StoreId, tuples: Vec<Tuple>) {
    let count = tuples.len();
    let start = Instant::now();
    let mut tuples = tuples.into_iter();
    loop {
        let part: Vec<Tuple> = tuples.by_ref().take(10_000).collect();
        if part.is_empty() {
            break;
        }
        database.import_chunk(store, None, part, NOW).unwrap();
    }
    println!("{count} tuples in {:.2?}", start.elapsed());
}

fn collect(
    database: &Bailiwick,
    store: StoreId,
    guard: (&str, &str),
    element: Element,
    chunks: impl Iterator<Item = (String, Object, Vec<f32>)>,
    dimension: usize,
) {
    let guard = Guard { object_type: guard.0.into(), relation: guard.1.into() };
    let space = Space::new(dimension, Metric::Cosine, element).unwrap();
    database.create_collection(store, CollectionSpec { name: COLLECTION.into(), space, guard }, NOW).unwrap();
    let start = Instant::now();
    let mut chunks = chunks.map(|(id, object, vector)| NewChunk { id, object, vector, text: None, payload: None });
    loop {
        let upserts: Vec<NewChunk> = chunks.by_ref().take(2_000).collect();
        if upserts.is_empty() {
            break;
        }
        database.write_chunks(store, COLLECTION, ChunksQuery { upserts, ..ChunksQuery::default() }, NOW).unwrap();
    }
    let written = start.elapsed();
    assert!(database.settle(Duration::from_secs(3_600)));
    let info = database.collection(store, COLLECTION).unwrap().value;
    let each = |bytes: usize| bytes / info.chunks as usize;
    println!(
        "{} chunks of {} objects written in {written:.2?}, laid out and in the graph after {:.2?}; bytes a chunk: exact {}, \
         codes {}, maps {}, ids and payloads {}, graph {}; kernel {}",
        info.chunks,
        info.objects,
        start.elapsed(),
        each(info.memory.exact),
        each(info.memory.codes),
        each(info.memory.maps),
        each(info.payload_bytes),
        each(info.graph_bytes),
        info.kernel
    );
}

struct Asking<'a> {
    view: View,
    relation: &'a str,
}

impl Asking<'_> {
    fn search(&self, user: &str, vector: &[f32], k: usize, effort: Effort) -> SearchAnswer {
        let vectors = [vector.to_vec()];
        let query = SearchQuery {
            collection: COLLECTION,
            subject: SubjectRef::parse(user).unwrap(),
            agent: None,
            vectors: &vectors,
            k,
            relation: Some(self.relation),
            filter: None,
            effort,
            given: Given::default(),
            with: With::default(),
        };
        self.view.search(&query, &Limits::default()).unwrap().remove(0)
    }

    fn allowed(&self, user: &str, object: &Object) -> bool {
        let subject = SubjectRef::parse(user).unwrap();
        let key = TupleKeyRef { object: object.as_ref(), relation: self.relation, subject };
        let query = CheckQuery { key, given: Given::default() };
        self.view.check(&query, &Limits::default()).unwrap() == Decision::Allow
    }

    fn listed(&self, user: &str, object_type: &str) -> HashSet<String> {
        let subject = SubjectRef::parse(user).unwrap();
        let query = ListObjectsQuery { object_type, relation: self.relation, subject, given: Given::default() };
        self.view.list_objects(&query, &Limits::default()).unwrap().iter().map(str::to_owned).collect()
    }
}

fn percentile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    values[((values.len() - 1) as f64 * share) as usize]
}

/// How many of the expected hits were found.
fn recall(found: &[SearchHit], expected: &[SearchHit]) -> (usize, usize) {
    let ids: HashSet<&str> = found.iter().map(|hit| hit.chunk.id.as_str()).collect();
    (expected.iter().filter(|hit| ids.contains(hit.chunk.id.as_str())).count(), expected.len())
}

/// Cold and warm searches of some users.
fn cell(asking: &Asking<'_>, users: &[String], queries: &[Vec<f32>], effort: Effort) -> Value {
    let (mut cold, mut warm, mut visible, mut walked) = (Vec::new(), Vec::new(), 0, 0);
    let (mut found, mut due) = (0, 0);
    for (n, user) in users.iter().enumerate() {
        let start = Instant::now();
        visible += asking.search(user, &queries[n % queries.len()], K, effort).visible;
        cold.push(start.elapsed().as_secs_f64() * 1e6);
        for at in 0..QUERIES {
            let vector = &queries[(n * QUERIES + at) % queries.len()];
            let mut best = f64::INFINITY;
            let mut answer = asking.search(user, vector, K, effort);
            for _ in 0..3 {
                let start = Instant::now();
                answer = asking.search(user, vector, K, effort);
                best = best.min(start.elapsed().as_secs_f64() * 1e6);
            }
            warm.push(best);
            walked += usize::from(answer.plan != bailiwick::vector::PlanKind::Scan);
            assert!(answer.hits.iter().all(|hit| asking.allowed(user, &hit.chunk.object)), "a forbidden chunk");
            assert_eq!(answer.hits.len(), K.min(answer.visible), "fewer than there are");
            let (of, all) = recall(&answer.hits, &asking.search(user, vector, K, Effort::Exact).hits);
            found += of;
            due += all;
        }
    }
    let mean = warm.iter().sum::<f64>() / warm.len() as f64;
    json!({
        "visible": visible / users.len(), "recall": found as f64 / due.max(1) as f64, "by_graph": walked,
        "cold_us_p50": percentile(&mut cold, 0.5), "warm_us_p50": percentile(&mut warm, 0.5),
        "warm_us_p99": percentile(&mut warm, 0.99), "searches_per_second": 1e6 / mean,
    })
}

/// Users by kind of set and place of their share.
type Users = BTreeMap<(&'static str, usize), Vec<String>>;

fn tuple(object: &str, relation: &str, user: &str) -> Tuple {
    TupleKeyRef::parse(object, relation, user).unwrap().to_tuple()
}

/// Who owns which package, and users who see the shares: through teams, and package by package.
fn permissions(team_of: &[&str], dice: &mut Dice) -> (Vec<Tuple>, Users) {
    let size = team_of.len();
    let owner = |row: usize| tuple(&format!("package:{row}"), "owner", &format!("team:{}", team_of[row]));
    let mut tuples: Vec<Tuple> = (0..size).map(owner).collect();
    let mut sizes: BTreeMap<&str, usize> = BTreeMap::new();
    team_of.iter().for_each(|team| *sizes.entry(team).or_default() += 1);
    let sizes: Vec<(&str, usize)> = sizes.into_iter().collect();
    let mut users = Users::new();
    // Packages granted one by one: as many tuples as a user sees packages, so that a million has fewer users.
    let one_by_one = if size > 100_000 { 2 } else { USERS };
    for (at, share) in SHARES.into_iter().enumerate() {
        let count = ((size as f64 * share / 100.0) as usize).max(1);
        for n in 0..USERS {
            let user = format!("user:team-{at}-{n}");
            let (mut seen, mut tried) = (0, HashSet::new());
            while seen < count && tried.len() < sizes.len() {
                let (team, of) = sizes[dice.below(sizes.len())];
                if tried.insert(team) && (share > 50.0 || seen + of <= count + count / 5 + 2) {
                    tuples.push(tuple(&format!("team:{team}"), "member", &user));
                    seen += of;
                }
            }
            users.entry(("team", at)).or_default().push(user);
        }
        for n in 0..one_by_one {
            let user = format!("user:uniform-{at}-{n}");
            let (step, first) = (size as f64 / count as f64, dice.below(size));
            let rows = (0..count).map(|n| (first + (n as f64 * step) as usize) % size);
            tuples.extend(rows.map(|row| tuple(&format!("package:{row}"), "viewer", &user)));
            users.entry(("uniform", at)).or_default().push(user);
        }
    }
    (tuples, users)
}

/// The vector of a row: the package's own, and beyond them one mixed with another and noise.
fn made(base: &[Vec<f32>], row: usize, noise: &mut Dice) -> Vec<f32> {
    let own = &base[row % base.len()];
    if row < base.len() {
        return own.clone();
    }
    let mate = &base[noise.below(base.len())];
    let jitter = 0.25 / (own.len() as f32).sqrt();
    let share = 0.1 + 0.3 * (noise.below(1_000) as f32 / 1_000.0);
    let mut element =
        |a: f32, b: f32| (1.0 - share) * a + share * b + jitter * (noise.below(2_001) as f32 / 1_000.0 - 1.0) * 1.7;
    own.iter().zip(mate).map(|(a, b)| element(*a, *b)).collect()
}

fn shuffled(size: usize) -> Vec<usize> {
    let mut dice = Dice(17);
    let mut order: Vec<usize> = (0..size).collect();
    (1..size).for_each(|at| order.swap(at, dice.below(at + 1)));
    order
}

/// A store with packages, their teams and users who see the shares; the users, and the questions.
fn package_store(database: &Bailiwick, data: &Path, size: usize) -> (StoreId, Users, Vec<Vec<f32>>) {
    let base = halves(&data.join("packages.f16.npy"));
    let queries = halves(&data.join("queries.f16.npy"));
    let team = |line: &Value| line["team"].as_str().map_or_else(|| line["team"].to_string(), str::to_owned);
    let teams: Vec<String> = lines(&data.join("packages.jsonl.zst")).iter().map(team).collect();
    let store = store("packages", database, PACKAGES);
    let mut dice = Dice(3);
    let team_of: Vec<&str> = (0..size)
        .map(|row| if row >= base.len() && dice.below(10) < 3 { dice.below(base.len()) } else { row % base.len() })
        .map(|row| teams[row].as_str())
        .collect();
    let (tuples, users) = permissions(&team_of, &mut dice);
    write(database, store, tuples);
    let mut noise = Dice(9);
    // Rows come in no order that permissions know.
    let chunks = shuffled(size).into_iter().map(|row| {
        let object = Object { object_type: "package".into(), id: row.to_string() };
        (row.to_string(), object, made(&base, row, &mut noise))
    });
    collect(database, store, ("package", "viewer"), Element::F32, chunks, queries[0].len());
    (store, users, queries)
}

fn packages(data: &Path, size: usize, results: &mut Vec<Value>) {
    let directory = tempfile::tempdir().unwrap();
    let settings = Settings { sync: false, ..Settings::default() };
    let database = Bailiwick::open_with(directory.path(), settings).unwrap();
    let (store, users, queries) = package_store(&database, data, size);
    let view = database.view(store, None, Consistency::Latest).unwrap();
    let asking = Asking { view, relation: "viewer" };
    println!(
        "\n{:>8} {:>7} {:>8} {:>7} {:>10} {:>10} {:>10} {:>11}",
        "sets", "share", "visible", "recall", "cold us", "warm us", "p99 us", "searches/s"
    );
    for ((kind, at), users) in &users {
        let mut line = cell(&asking, users, &queries, Effort::Balanced);
        print_line(kind, SHARES[*at], &line);
        line["sets"] = json!(kind);
        line["share"] = json!(SHARES[*at]);
        line["size"] = json!(size);
        results.push(line);
    }
    let (sets, bytes) = (database.stats().search_sets, database.stats().search_set_bytes);
    println!("{sets} sets kept in {} KiB", bytes / 1024);
}

/// Vectors that do not fit in memory: known users, with the system's cache of the file and without it.
fn on_disk(data: &Path, size: usize, results: &mut Vec<Value>) {
    let directory = tempfile::tempdir().unwrap();
    let settings = Settings { sync: false, vectors_memory_bytes_max: 0, ..Settings::default() };
    let database = Bailiwick::open_with(directory.path(), settings).unwrap();
    let (store, users, queries) = package_store(&database, data, size);
    let asking = Asking { view: database.view(store, None, Consistency::Latest).unwrap(), relation: "viewer" };
    // Only root may empty the cache, and only on Linux.
    let forget = || std::fs::write("/proc/sys/vm/drop_caches", "1");
    println!("\n{:>8} {:>7} {:>12} {:>14} {:>14}", "on disk", "share", "cached us", "uncached us", "uncached p99");
    for ((kind, at), users) in &users {
        let (mut cached, mut uncached) = (Vec::new(), Vec::new());
        for (n, user) in users.iter().enumerate() {
            asking.search(user, &queries[n], K, Effort::Balanced);
            for query in queries.iter().skip(n * QUERIES).take(QUERIES) {
                let (_, answer) = timed(|| asking.search(user, query, K, Effort::Balanced));
                cached.push(timed(|| asking.search(user, query, K, Effort::Balanced)).0);
                if forget().is_ok() {
                    let (us, again) = timed(|| asking.search(user, query, K, Effort::Balanced));
                    uncached.push(us);
                    assert_eq!(answer.hits, again.hits, "the same from the disk");
                }
            }
        }
        let cached = percentile(&mut cached, 0.5);
        let of = |values: &mut Vec<f64>, share| if values.is_empty() { f64::NAN } else { percentile(values, share) };
        let (p50, p99) = (of(&mut uncached, 0.5), of(&mut uncached, 0.99));
        println!("{kind:>8} {:>7} {cached:>12.1} {p50:>14.1} {p99:>14.1}", SHARES[*at]);
        results.push(json!({"what": "rows on disk", "sets": kind, "share": SHARES[*at], "size": size,
            "cached_us_p50": cached, "uncached_us_p50": p50, "uncached_us_p99": p99}));
    }
}

fn print_line(kind: &str, share: f64, line: &Value) {
    let number = |name: &str| line[name].as_f64().unwrap();
    println!(
        "{kind:>8} {share:>7} {:>8} {:>7.4} {:>10.1} {:>10.1} {:>10.1} {:>11.0}",
        line["visible"],
        number("recall"),
        number("cold_us_p50"),
        number("warm_us_p50"),
        number("warm_us_p99"),
        number("searches_per_second")
    );
}

/// Questions of `k8s-docs` with the users who ask them.
struct Question {
    user: String,
    relation: String,
    vector: Vec<f32>,
}

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap().to_owned()
}

fn questions(data: &Path) -> Vec<Question> {
    let vectors = halves(&data.join("queries.f16.npy"));
    let names = lines(&data.join("queries.jsonl.zst"));
    let rows: HashMap<String, usize> = names.iter().enumerate().map(|(row, q)| (text(q, "id"), row)).collect();
    let question = |case: &Value| Question {
        user: text(case, "user"),
        relation: text(case, "relation"),
        vector: vectors[rows[&text(case, "query")]].clone(),
    };
    lines(&data.join("rag_top10.jsonl.zst")).iter().map(question).collect()
}

/// The chunks of `k8s-docs` in no order that permissions know.
fn chunks(data: &Path) -> Vec<(String, Object, Vec<f32>)> {
    let (vectors, lines) = (halves(&data.join("chunks.f16.npy")), lines(&data.join("chunks.jsonl.zst")));
    let chunk = |row: usize| {
        let object = ObjectRef::parse(lines[row]["document"].as_str().unwrap()).unwrap().to_owned();
        (text(&lines[row], "id"), object, vectors[row].clone())
    };
    shuffled(lines.len()).into_iter().map(chunk).collect()
}

/// A store with the tuples and the chunks of `k8s-docs`.
fn real(database: &Bailiwick, data: &Path, chunks: &[(String, Object, Vec<f32>)]) -> StoreId {
    let store = store("k8s-docs", database, &std::fs::read_to_string(data.join("model.fga")).unwrap());
    let tuples = lines(&data.join("tuples.jsonl.zst"));
    write(
        database,
        store,
        tuples.iter().map(|t| tuple(&text(t, "object"), &text(t, "relation"), &text(t, "user"))).collect(),
    );
    let dimension = chunks[0].2.len();
    collect(database, store, ("document", "can_view"), Element::F16, chunks.iter().cloned(), dimension);
    store
}

/// The same chunks, open to everybody: the ranking that a database without permissions gives.
fn open(database: &Bailiwick, chunks: &[(String, Object, Vec<f32>)]) -> StoreId {
    let all = store("open", database, OPEN);
    let objects: HashSet<&Object> = chunks.iter().map(|(_, object, _)| object).collect();
    write(database, all, objects.iter().map(|object| tuple(&object.to_string(), "can_view", "user:*")).collect());
    collect(database, all, ("document", "can_view"), Element::F16, chunks.iter().cloned(), chunks[0].2.len());
    all
}

fn timed<T>(work: impl FnOnce() -> T) -> (f64, T) {
    let start = Instant::now();
    let value = work();
    (start.elapsed().as_secs_f64() * 1e6, value)
}

/// What laying rows out by permission is worth: all questions, exact, of known users, before and after.
fn layout(data: &Path, chunks: &[(String, Object, Vec<f32>)], results: &mut Vec<Value>) {
    let questions = questions(data);
    let mut figures = Vec::new();
    for threads in [0, 1] {
        let directory = tempfile::tempdir().unwrap();
        let settings = Settings { sync: false, arrange_threads: threads, ..Settings::default() };
        let database = Bailiwick::open_with(directory.path(), settings).unwrap();
        let store = real(&database, data, chunks);
        let view = database.view(store, None, Consistency::Latest).unwrap();
        let ask = |q: &Question, relation| {
            let asking = Asking { view: view.clone(), relation };
            asking.search(&q.user, &q.vector, K, Effort::Exact)
        };
        for relation in ["can_view", "can_read"] {
            questions.iter().for_each(|q| drop(ask(q, relation)));
            let best = (0..5).map(|_| timed(|| questions.iter().for_each(|q| drop(ask(q, relation)))).0);
            figures.push(best.fold(f64::INFINITY, f64::min) / questions.len() as f64);
        }
    }
    for (at, relation) in ["can_view", "can_read"].into_iter().enumerate() {
        let (before, after) = (figures[at], figures[at + 2]);
        println!("exact {relation}, mean of 225: {before:.1} us as they came, {after:.1} us laid out by permission");
        results.push(json!({"what": format!("layout {relation}"), "us_as_they_came": before, "us_laid_out": after}));
    }
}

/// Real documents: cold subjects, and what pipelines do today, with our own fast calls.
fn documents(data: &Path, results: &mut Vec<Value>) {
    let chunks = chunks(data);
    layout(data, &chunks, results);
    let directory = tempfile::tempdir().unwrap();
    let database = Bailiwick::open_with(directory.path(), Settings { sync: false, ..Settings::default() }).unwrap();
    let (store, all) = (real(&database, data, &chunks), open(&database, &chunks));
    let everybody = Asking { view: database.view(all, None, Consistency::Latest).unwrap(), relation: "can_view" };
    let view = database.view(store, None, Consistency::Latest).unwrap();
    let (mut permission, mut known) = (Vec::new(), HashSet::new());
    let mut ways: BTreeMap<&str, (Vec<f64>, usize, usize)> = BTreeMap::new();
    let questions = questions(data);
    for Question { user, relation, vector } in &questions {
        let asking = Asking { view: view.clone(), relation };
        let (first, answer) = timed(|| asking.search(user, vector, K, Effort::Balanced));
        let (again, _) = timed(|| asking.search(user, vector, K, Effort::Balanced));
        let exact = asking.search(user, vector, K, Effort::Exact).hits;
        let mut note = |name, us, hits: &[SearchHit]| {
            let (found, due) = recall(hits, &exact);
            let of = ways.entry(name).or_default();
            *of = (std::mem::take(&mut of.0), of.1 + found, of.2 + due);
            of.0.push(us);
        };
        if known.insert((user, relation)) {
            permission.push(first - again);
            note("search with permissions, first of a user", first, &answer.hits);
        }
        note("search with permissions", again, &answer.hits);
        let rank = |k| timed(|| everybody.search("user:anybody", vector, k, Effort::Balanced).hits);
        let (ranking, ranked) = rank(1_000);
        let (us, hits) = timed(|| {
            let listed = asking.listed(user, "document");
            let seen = ranked.iter().filter(|hit| listed.contains(&hit.chunk.object.id));
            seen.take(K).cloned().collect::<Vec<_>>()
        });
        note("ListObjects, then filter 1,000 nearest", ranking + us, &hits);
        for (name, over) in [("over-fetch 100, then Check each", 100), ("over-fetch 1,000, then Check each", 1_000)] {
            let (ranking, ranked) = rank(over);
            let (us, hits) = timed(|| {
                let seen = ranked.iter().filter(|hit| asking.allowed(user, &hit.chunk.object));
                seen.take(K).cloned().collect::<Vec<_>>()
            });
            note(name, ranking + us, &hits);
        }
    }
    println!("\n{:<44} {:>10} {:>10} {:>8}", "k8s-docs, 225 questions", "p50 us", "p99 us", "recall");
    for (name, (mut us, found, due)) in ways {
        let (p50, p99, recall) = (percentile(&mut us, 0.5), percentile(&mut us, 0.99), found as f64 / due as f64);
        println!("{name:<44} {p50:>10.1} {p99:>10.1} {recall:>8.4}");
        results.push(json!({"what": name, "us_p50": p50, "us_p99": p99, "recall": recall}));
    }
    let (p50, p99) = (percentile(&mut permission, 0.5), percentile(&mut permission, 0.99));
    println!("permission part of a user's first search: p50 {p50:.1} us, p99 {p99:.1} us of {} users", known.len());
    println!("(the other ways count the search without permissions that they begin with)");
}

/// The database is opened so many times, so that subjects are cold so many times.
const OPENS: usize = 10;

/// Whole searches over gRPC: the first of a subject, and others.
fn served(data: &Path, results: &mut Vec<Value>) {
    let directory = tempfile::tempdir().unwrap();
    let open = || Bailiwick::open_with(directory.path(), Settings { sync: false, ..Settings::default() }).unwrap();
    let store = real(&open(), data, &chunks(data));
    let questions = questions(data);
    let (mut cold, mut known) = (Vec::new(), Vec::new());
    for _ in 0..OPENS {
        let database = open();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(ask_over_grpc(&database, store, &questions, &mut cold, &mut known));
        runtime.shutdown_timeout(Duration::from_secs(10));
    }
    println!("\n{:<44} {:>10} {:>10}", "k8s-docs over gRPC", "p50 us", "p99 us");
    for (name, mut us) in [("first of a user", cold), ("known user", known)] {
        let (p50, p99) = (percentile(&mut us, 0.5), percentile(&mut us, 0.99));
        println!("{:<44} {p50:>10.1} {p99:>10.1}", format!("{name}, {} searches", us.len()));
        results.push(json!({"what": format!("over gRPC, {name}"), "us_p50": p50, "us_p99": p99}));
    }
}

/// Every question once, on one connection that has been used; answers are compared with the engine's own.
async fn ask_over_grpc(
    database: &Bailiwick,
    store: StoreId,
    questions: &[Question],
    cold: &mut Vec<f64>,
    known: &mut Vec<f64>,
) {
    let free = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    let settings = bailiwick::server::Settings { http: free, grpc: free, ..bailiwick::server::Settings::default() };
    let (told, address) = tokio::sync::oneshot::channel();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server =
        bailiwick::server::serve(database.clone(), settings, move |_, grpc| told.send(grpc).unwrap(), async move {
            drop(stopped.await)
        });
    let server = tokio::spawn(server);
    let address = address.await.unwrap();
    let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{address}")).unwrap().tcp_nodelay(true);
    let mut client = CollectionsClient::new(endpoint.connect().await.unwrap());
    let request = |user: &str, relation: &str, vector: &[f32]| SearchRequest {
        store_id: store.to_string(),
        collection: COLLECTION.to_owned(),
        user: user.to_owned(),
        relation: Some(relation.to_owned()),
        vector: vector.to_vec(),
        ..SearchRequest::default()
    };
    for _ in 0..100 {
        client.search(request("user:nobody", "can_view", &questions[0].vector)).await.unwrap();
    }
    let mut met = HashSet::new();
    for Question { user, relation, vector } in questions {
        let start = Instant::now();
        let answer = client.search(request(user, relation, vector)).await.unwrap().into_inner();
        let us = start.elapsed().as_secs_f64() * 1e6;
        if met.insert((user, relation)) {
            cold.push(us)
        } else {
            known.push(us)
        }
        let asking = Asking { view: database.view(store, None, Consistency::Latest).unwrap(), relation };
        let ids: Vec<String> = answer.result.unwrap().hits.into_iter().map(|hit| hit.chunk.unwrap().id).collect();
        let own = asking.search(user, vector, K, Effort::Balanced).hits;
        assert_eq!(ids, own.into_iter().map(|hit| hit.chunk.id).collect::<Vec<_>>(), "as the engine answers");
    }
    stop.send(()).unwrap();
    server.await.unwrap().unwrap();
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let name = arguments.first().map_or("debian", String::as_str);
    let size = match name {
        "small" => 6_000,
        "debian" => 63_666,
        "1e6" => 1_000_000,
        "k8s-docs" => 0,
        other => other.parse().unwrap(),
    };
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    let data = arguments.get(1).map_or(data, PathBuf::from);
    assert!(data.is_dir(), "no data at {}: give its folder as second argument", data.display());
    let mut results = Vec::new();
    if size > 0 {
        packages(&data.join("debian"), size, &mut results);
    }
    if (1..=100_000).contains(&size) {
        on_disk(&data.join("debian"), size, &mut results);
    }
    if size <= 100_000 {
        documents(&data.join("k8s-docs"), &mut results);
        served(&data.join("k8s-docs"), &mut results);
    }
    let file = std::env::temp_dir().join(format!("bailiwick-retrieval-{name}.json"));
    std::fs::write(&file, serde_json::to_string_pretty(&results).unwrap()).unwrap();
    println!("written to {}", file.display());
}
