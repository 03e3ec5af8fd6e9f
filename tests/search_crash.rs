//! kill -9 during upserts, deletes and background rewrites: no acknowledged chunk is lost, none is there in part or visible
//! to somebody who may not see it, and what is searched is what the rows say, before and after they are laid out anew.

use crate::search::SETTLED;
use bailiwick::Bailiwick;
use bailiwick::engine::*;
use bailiwick::model::Model;
use bailiwick::tuple::*;
use bailiwick::vector::{Effort, Element, Metric, Space};
use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasher, Hasher};
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

const ROUNDS: u64 = 200;
const ROUNDS_PER_DIRECTORY: u64 = 25;
const WRITERS: u64 = 3;
const CHUNKS_PER_WRITE: u64 = 6;
const DIMENSION: usize = 8;
const DIRECTORY: &str = "BAILIWICK_SEARCH_CRASH_DIRECTORY";
const ROUND: &str = "BAILIWICK_SEARCH_CRASH_ROUND";
const COLLECTION: &str = "chunks";
const MODEL: &str = "model\n  schema 1.1\ntype user\ntype document\n  relations\n    define viewer: [user]\n";

fn store() -> StoreId {
    StoreId(ulid::Ulid::from_parts(1, 1))
}

fn open(directory: &str) -> Bailiwick {
    // Few chunks, so that rows are laid out and graphs are written all the time.
    let settings = Settings { arrange_chunks_min: 24, ..Settings::default() };
    let database = Bailiwick::open_with(directory, settings).unwrap();
    if database.store(store()).is_err() {
        database.create_store(store(), "crash", Timestamp(1)).unwrap();
    }
    if database.latest_model(store()).is_err() {
        let id = ModelId(ulid::Ulid::from_parts(1, 2));
        database.write_model(store(), id, Model::parse_dsl(MODEL).unwrap()).unwrap();
    }
    if database.collection(store(), COLLECTION).is_err() {
        let guard = Guard { object_type: "document".into(), relation: "viewer".into() };
        let space = Space::new(DIMENSION, Metric::Cosine, Element::F16).unwrap();
        let spec = CollectionSpec { name: COLLECTION.into(), space, guard };
        database.create_collection(store(), spec, Timestamp(1)).unwrap();
    }
    database
}

fn document(write: &str) -> Object {
    Object { object_type: "document".into(), id: write.to_owned() }
}

/// The vector of a chunk, which its id tells.
fn vector(id: &str) -> Vec<f32> {
    let hash = foldhash_of(id);
    (0..DIMENSION).map(|at| f32::from(u8::try_from(hash >> (at * 8) & 0xff).unwrap()) - 127.5).collect()
}

fn foldhash_of(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

fn grant(writer: u64, write: &str) -> Tuple {
    TupleKeyRef::parse(&document(write).to_string(), "viewer", &format!("user:{writer}")).unwrap().to_tuple()
}

fn ids(write: &str) -> impl Iterator<Item = String> + '_ {
    (0..CHUNKS_PER_WRITE).map(move |part| format!("{write}-{part}"))
}

/// Writes a document with its chunks and its reader; every third write takes the one before it away.
fn work(database: &Bailiwick, round: &str, writer: u64) {
    for n in 0_u64.. {
        let write = format!("{round}.{writer}.{n}");
        let chunk = |id: String| NewChunk {
            vector: vector(&id),
            text: Some(format!("text of {id}")),
            object: document(&write),
            payload: None,
            id,
        };
        let mut query = ChunksQuery { upserts: ids(&write).map(chunk).collect(), ..ChunksQuery::default() };
        query.tuples.writes.push(grant(writer, &write));
        if n % 3 == 2 {
            let before = format!("{round}.{writer}.{}", n - 1);
            query.delete_objects.push(document(&before));
            query.tuples.deletes.push(grant(writer, &before));
        }
        database.write_chunks(store(), COLLECTION, query, Timestamp(1)).unwrap();
        let mut out = std::io::stdout().lock();
        writeln!(out, "acknowledged {writer} {n}").unwrap();
        out.flush().unwrap();
    }
}

/// Not a test of its own: the process that [`killed_during_upserts`] starts and kills runs this.
#[test]
fn child() {
    let (Some(directory), Some(round)) = (std::env::var_os(DIRECTORY), std::env::var_os(ROUND)) else { return };
    let database = open(directory.to_str().unwrap());
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (database, round) = (&database, round.to_str().unwrap());
            scope.spawn(move || work(database, round, writer));
        }
    });
}

fn run_and_kill(directory: &str, round: u64, acknowledgements: u64) -> HashMap<u64, u64> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "search_crash::child", "--nocapture", "--test-threads=1"])
        .env(DIRECTORY, directory)
        .env(ROUND, round.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let (mut last, mut seen) = (HashMap::new(), 0);
    for line in BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok) {
        let Some((_, told)) = line.split_once("acknowledged ") else { continue };
        let (writer, n) = told.split_once(' ').unwrap();
        last.insert(writer.parse().unwrap(), n.parse().unwrap());
        seen += 1;
        if seen == acknowledgements {
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    assert!(seen >= acknowledgements, "the child died by itself after {seen} acknowledgements");
    last
}

/// What a user finds: ids, the nearest first.
fn found(database: &Bailiwick, writer: u64, near: &str, k: usize) -> Vec<SearchHit> {
    let user = format!("user:{writer}");
    let query = SearchQuery {
        collection: COLLECTION,
        subject: SubjectRef::parse(&user).unwrap(),
        agent: None,
        vectors: &[vector(near)],
        k,
        relation: None,
        filter: None,
        effort: Effort::Exact,
        given: Given::default(),
        with: With { text: true, vector: true, payload: false },
    };
    let answers = database.search(store(), None, Consistency::Latest, &query, &Limits::default());
    answers.unwrap().value.remove(0).hits
}

/// Every chunk that is there, by scrolling.
fn all(database: &Bailiwick) -> BTreeSet<String> {
    let (mut ids, mut after) = (BTreeSet::new(), None);
    loop {
        let query = ScrollQuery { page_size: 1_000, after, ..ScrollQuery::default() };
        let page = database.scroll(store(), COLLECTION, &query).unwrap().value;
        ids.extend(page.chunks.into_iter().map(|chunk| chunk.id));
        after = page.next;
        if after.is_none() {
            return ids;
        }
    }
}

#[test]
fn killed_during_upserts() {
    let seed = std::hash::RandomState::new().build_hasher().finish();
    eprintln!("seed {seed}");
    let mut random = seed | 1;
    let mut directory = tempfile::tempdir().unwrap();
    for round in 0..ROUNDS {
        if round % ROUNDS_PER_DIRECTORY == 0 {
            directory = tempfile::tempdir().unwrap();
        }
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let path = directory.path().to_str().unwrap();
        let acknowledged = run_and_kill(path, round, 1 + (random >> 33) % 40);
        let what = format!("seed {seed}, round {round}");
        let database = open(path);
        let there = all(&database);
        for writer in 0..WRITERS {
            let last = acknowledged.get(&writer).copied();
            for n in 0..=last.map_or(0, |last| last + 1) {
                let write = format!("{round}.{writer}.{n}");
                let count = ids(&write).filter(|id| there.contains(id)).count() as u64;
                assert!(count == 0 || count == CHUNKS_PER_WRITE, "{what}: {write} is there in part: {count}");
                let gone = n % 3 == 1;
                let told = last.is_some_and(|last| n <= last);
                assert!(!told || gone || count > 0, "{what}: {write} was acknowledged and is lost");
                assert!(!(gone && count > 0 && last.is_some_and(|last| n < last)), "{what}: {write} came back");
            }
            let check = |database: &Bailiwick| {
                let hits = found(database, writer, "nearest", 1_000);
                for hit in &hits {
                    let id = &hit.chunk.id;
                    assert_eq!(hit.chunk.text.as_deref(), Some(&*format!("text of {id}")), "{what}");
                    assert_eq!(id.split('.').nth(1).unwrap(), writer.to_string(), "{what}: {id} is another's");
                    assert_eq!(hit.chunk.object, document(id.rsplit_once('-').unwrap().0), "{what}");
                    if id.starts_with(&format!("{round}.")) {
                        let one = found(database, writer, id, 1);
                        assert!(one[0].score > 0.999, "{what}: {id} has another's vector: {one:?}");
                    }
                }
                let own = there.iter().filter(|id| id.split('.').nth(1).unwrap() == writer.to_string()).count();
                assert_eq!(hits.len(), own.min(1_000), "{what}: what {writer} wrote is what {writer} finds");
                hits
            };
            let before = check(&database);
            assert!(database.settle(SETTLED), "{what}: rows are not laid out");
            assert_eq!(check(&database), before, "{what}: rows in another order");
        }
        let report = database.verify().unwrap();
        assert!(report.differences.is_empty(), "{what}: {report:?}");
    }
}
