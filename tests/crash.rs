//! kill -9 at random moments under load: every acknowledged write is there whole, no write is there in part, and the index
//! that is read back is the one that the tables and the log give.

use bailiwick::Bailiwick;
use bailiwick::engine::*;
use bailiwick::model::Model;
use bailiwick::tuple::*;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher};
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

const ROUNDS: u64 = 100;
const ROUNDS_PER_DIRECTORY: u64 = 20;
const WRITERS: u64 = 4;
const TUPLES_PER_WRITE: u64 = 7;
const DIRECTORY: &str = "BAILIWICK_CRASH_DIRECTORY";
const ROUND: &str = "BAILIWICK_CRASH_ROUND";

fn store() -> StoreId {
    StoreId(ulid::Ulid::from_parts(1, 1))
}

fn tuple(write: &str, part: u64) -> Tuple {
    TupleKeyRef::parse(&format!("document:{write}-{part}"), "viewer", &format!("user:{part}")).unwrap().to_tuple()
}

/// What the child does until it is killed: writes from several threads, and says which were acknowledged.
fn load(directory: &str, round: &str) {
    let database = Bailiwick::open(directory).unwrap();
    if database.store(store()).is_err() {
        database.create_store(store(), "crash", Timestamp(1)).unwrap();
        let text = "model\n  schema 1.1\ntype user\ntype document\n  relations\n    define viewer: [user]\n";
        let id = ModelId(ulid::Ulid::from_parts(1, 2));
        database.write_model(store(), id, Model::parse_dsl(text).unwrap()).unwrap();
    }
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let database = database.clone();
            scope.spawn(move || {
                for n in 0_u64.. {
                    let write = format!("{round}.{writer}.{n}");
                    let mut query = WriteQuery {
                        writes: (0..TUPLES_PER_WRITE).map(|part| tuple(&write, part)).collect(),
                        ..WriteQuery::default()
                    };
                    if n % 3 == 2 {
                        // Every third write takes the one before it away again.
                        let before = format!("{round}.{writer}.{}", n - 1);
                        query.deletes = (0..TUPLES_PER_WRITE).map(|part| tuple(&before, part)).collect();
                    }
                    database.write(store(), None, query, Timestamp(1)).unwrap();
                    let mut out = std::io::stdout().lock();
                    writeln!(out, "acknowledged {writer} {n}").unwrap();
                    out.flush().unwrap();
                }
            });
        }
    });
}

/// Not a test of its own: the process that [`killed_under_load`] starts and kills runs this.
#[test]
fn child() {
    if let (Some(directory), Some(round)) = (std::env::var_os(DIRECTORY), std::env::var_os(ROUND)) {
        load(directory.to_str().unwrap(), round.to_str().unwrap());
    }
}

/// Starts a child, kills it after so many acknowledgements, and returns the last one of each writer.
fn run_and_kill(directory: &str, round: u64, acknowledgements: u64) -> HashMap<u64, u64> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash::child", "--nocapture", "--test-threads=1"])
        .env(DIRECTORY, directory)
        .env(ROUND, round.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut last = HashMap::new();
    let mut seen = 0;
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    for line in &mut lines {
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

fn whole(database: &Bailiwick, write: &str) -> bool {
    let view = database.view(store(), None, Consistency::Latest).unwrap();
    let there = |part| {
        let tuple = tuple(write, part);
        let query = CheckQuery { key: tuple.key(), given: Given::default() };
        view.check(&query, &Limits::default()).unwrap() == Decision::Allow
    };
    let count = (0..TUPLES_PER_WRITE).filter(|part| there(*part)).count() as u64;
    assert!(count == 0 || count == TUPLES_PER_WRITE, "{write} is there in part: {count} of {TUPLES_PER_WRITE}");
    count > 0
}

#[test]
fn killed_under_load() {
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
        let acknowledged = run_and_kill(path, round, 1 + (random >> 33) % 60);
        let database = Bailiwick::open(path).unwrap();
        for (writer, last) in acknowledged {
            for n in 0..=last {
                // A write may be taken away by the next one, acknowledged or not, when that is a third.
                let gone = n % 3 == 1;
                let there = whole(&database, &format!("{round}.{writer}.{n}"));
                assert!(
                    there || gone,
                    "seed {seed}, round {round}: write {n} of {writer} was acknowledged and is lost"
                );
                assert!(!(there && gone && n < last), "seed {seed}, round {round}: deleted write {n} came back");
            }
            whole(&database, &format!("{round}.{writer}.{}", last + 1));
        }
        let report = database.verify().unwrap();
        assert!(report.differences.is_empty(), "seed {seed}, round {round}: {report:?}");
    }
}
