//! kill -9 at random moments under load: every acknowledged write is there whole, no write is there in part, and the index
//! that is read back is the one that the tables and the log give. The load writes and deletes tuples, creates stores with
//! their models, imports into them, and deletes them. A log that was cut short, as by a power cut, gives back a prefix.

use bailiwick::Bailiwick;
use bailiwick::engine::*;
use bailiwick::model::Model;
use bailiwick::tuple::*;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const ROUNDS: u64 = 100;
const ROUNDS_PER_DIRECTORY: u64 = 20;
const WRITERS: u64 = 4;
const TUPLES_PER_WRITE: u64 = 7;
/// Tuples that are imported at once.
const TUPLES_PER_IMPORT: usize = 300;
/// The number of the thread that makes and deletes stores.
const MAKER: u64 = WRITERS;
const DIRECTORY: &str = "BAILIWICK_CRASH_DIRECTORY";
const ROUND: &str = "BAILIWICK_CRASH_ROUND";

fn store() -> StoreId {
    StoreId(ulid::Ulid::from_parts(1, 1))
}

fn tuple(write: &str, part: u64) -> Tuple {
    TupleKeyRef::parse(&format!("document:{write}-{part}"), "viewer", &format!("user:{part}")).unwrap().to_tuple()
}

const MODEL: &str = "model\n  schema 1.1\ntype user\ntype document\n  relations\n    define viewer: [user]\n";

fn acknowledge(writer: u64, n: u64) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "acknowledged {writer} {n}").unwrap();
    out.flush().unwrap();
}

fn made(round: u64, n: u64) -> StoreId {
    StoreId(ulid::Ulid::from_parts(2 + round, 1 + u128::from(n)))
}

/// Makes a store, writes its model, imports into it, and deletes the one before.
fn make(database: &Bailiwick, round: &str) {
    let round = round.parse().unwrap();
    for n in 0.. {
        let store = made(round, n);
        database.create_store(store, "made", Timestamp(1)).unwrap();
        database.write_model(store, ModelId(store.0), Model::parse_dsl(MODEL).unwrap()).unwrap();
        let tuples = (0..TUPLES_PER_IMPORT).map(|part| tuple("made", part as u64)).collect();
        database.import_chunk(store, None, tuples, Timestamp(1)).unwrap();
        if n > 0 {
            database.delete_store(made(round, n - 1), Timestamp(2)).unwrap();
        }
        acknowledge(MAKER, n);
    }
}

/// What is there of the stores that were made: the last whole, none before it, and the next in whole steps.
fn check_made(database: &Bailiwick, round: u64, last: u64) {
    let count = |n| database.read(made(round, n), &ReadQuery { page_size: 1_000, ..ReadQuery::default() }).unwrap();
    let count = |n| count(n).value.tuples.len();
    let model = |n| database.latest_model(made(round, n)).is_ok();
    for n in 0..last {
        assert!(database.store(made(round, n)).is_err(), "round {round}: store {n} was deleted and came back");
        assert_eq!((count(n), model(n)), (0, false), "round {round}: store {n} was deleted in part");
    }
    // The next round of the loop may have deleted it already.
    let next = count(last + 1);
    if database.store(made(round, last)).is_ok() {
        assert_eq!((count(last), model(last)), (TUPLES_PER_IMPORT, true), "round {round}: store {last} is not whole");
    } else {
        assert_eq!(next, TUPLES_PER_IMPORT, "round {round}: store {last} was acknowledged and is lost");
    }
    assert!(next == 0 || next == TUPLES_PER_IMPORT && model(last + 1), "round {round}: {next} tuples of an import");
}

/// What the child does until it is killed: writes from several threads, and says which were acknowledged.
fn load(directory: &str, round: &str) {
    let database = Bailiwick::open(directory).unwrap();
    if database.store(store()).is_err() {
        database.create_store(store(), "crash", Timestamp(1)).unwrap();
        let id = ModelId(ulid::Ulid::from_parts(1, 2));
        database.write_model(store(), id, Model::parse_dsl(MODEL).unwrap()).unwrap();
    }
    std::thread::scope(|scope| {
        scope.spawn(|| make(&database, round));
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
                    acknowledge(writer, n);
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
            if writer == MAKER {
                check_made(&database, round, last);
                continue;
            }
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

/// The newest file of RocksDB's write-ahead log.
fn newest_log(directory: &Path) -> PathBuf {
    let files = std::fs::read_dir(directory).unwrap().map(|e| e.unwrap().path());
    files.filter(|p| p.extension().is_some_and(|e| e == "log")).max().expect("a write-ahead log")
}

/// Files of an open database, copied as a power cut would leave them.
fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() && path.file_name().unwrap() != "LOCK" {
            std::fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
        }
    }
}

#[test]
fn log_cut_short_gives_back_a_prefix() {
    const WRITES: u64 = 60;
    let source = tempfile::tempdir().unwrap();
    let settings = Settings { sync: false, ..Settings::default() };
    let database = Bailiwick::open_with(source.path(), settings).unwrap();
    database.create_store(store(), "cut", Timestamp(1)).unwrap();
    let id = ModelId(ulid::Ulid::from_parts(1, 2));
    database.write_model(store(), id, Model::parse_dsl(MODEL).unwrap()).unwrap();
    for n in 0..WRITES {
        let writes = (0..TUPLES_PER_WRITE).map(|part| tuple(&n.to_string(), part)).collect();
        database.write(store(), None, WriteQuery { writes, ..WriteQuery::default() }, Timestamp(1)).unwrap();
    }
    let mut lost = 0;
    for cut in (0..40).map(|n| n * n * 11) {
        let target = tempfile::tempdir().unwrap();
        copy(source.path(), target.path());
        let log = newest_log(target.path());
        let length = std::fs::metadata(&log).unwrap().len();
        std::fs::File::options().write(true).open(&log).unwrap().set_len(length.saturating_sub(cut)).unwrap();
        let database = Bailiwick::open(target.path()).unwrap_or_else(|e| panic!("{cut} bytes cut off: {e}"));
        let there = (0..WRITES).take_while(|n| whole(&database, &n.to_string())).count() as u64;
        assert!((there..WRITES).all(|n| !whole(&database, &n.to_string())), "{cut} bytes cut off: a hole");
        assert!(cut > 0 || there == WRITES, "nothing was cut off, and {there} writes are there");
        lost = lost.max(WRITES - there);
        let report = database.verify().unwrap();
        assert!(report.differences.is_empty(), "{cut} bytes cut off: {report:?}");
    }
    assert!(lost > 1, "the cuts were too short to lose a write");
}
