//! kill -9 while events are written, trees grow, checkpoints are signed and events are dropped: what was acknowledged is
//! there, what was signed is the beginning of what is there, and the tree goes on as if nothing had been.

use crate::audit::{BEGIN, SECOND, TENANT, append, by, event, grow, log_key, now};
use bailiwick::Bailiwick;
use bailiwick::modules::audit::note::{Checkpoint, Note};
use bailiwick::modules::audit::tree::Hash;
use bailiwick::modules::audit::{Audit, leaf};
use bailiwick::tuple::Timestamp;
use std::hash::{BuildHasher, Hasher};
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

const ROUNDS: u64 = 24;
const ROUNDS_PER_DIRECTORY: u64 = 12;
const DIRECTORY: &str = "BAILIWICK_AUDIT_CRASH_DIRECTORY";

fn told(what: &str, number: u64, hash: &Hash) {
    let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut out = std::io::stdout().lock();
    writeln!(out, "told {what} {number} {hash}").unwrap();
    out.flush().unwrap();
}

/// What the child does until it is killed.
fn load(directory: &str) {
    let database = Bailiwick::open(directory).unwrap();
    let log = Audit::new(&database).log(TENANT);
    let begin = grow(&log);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in begin.. {
                append(&database, (0..3).map(|part| event(TENANT, n * 3 + part)));
                told("written", n, &[0; 32]);
            }
        });
        for _ in 0..2 {
            scope.spawn(|| {
                let signer = log_key();
                for n in 0.. {
                    log.grow_step(1 + n % 40).unwrap();
                    let signed = log.sign(&signer, now(0)).unwrap();
                    let checkpoint = Checkpoint::parse(Note::parse(&signed.note).unwrap().text()).unwrap();
                    told("signed", checkpoint.size, &checkpoint.root);
                }
            });
        }
        scope.spawn(|| {
            // Events of the first hundred seconds go, again and again, while others come.
            while log.checkpoint().unwrap().is_none() {}
            loop {
                log.drop_before(Timestamp(BEGIN + 100 * SECOND), &by("user:root"), now(0)).unwrap();
            }
        });
    });
}

/// Not a test of its own: the process that [`killed_while_trees_grow`] starts and kills runs this.
#[test]
fn child() {
    if let Some(directory) = std::env::var_os(DIRECTORY) {
        load(directory.to_str().unwrap());
    }
}

/// Starts a child, kills it after so many lines, and returns the signed sizes and roots.
fn run_and_kill(directory: &str, lines: u64) -> Vec<(u64, String)> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "audit_crash::child", "--nocapture", "--test-threads=1"])
        .env(DIRECTORY, directory)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let (mut seen, mut signed) = (0, Vec::new());
    for line in BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok) {
        let Some((_, rest)) = line.split_once("told ") else { continue };
        let mut words = rest.split(' ');
        if words.next() == Some("signed") {
            signed.push((words.next().unwrap().parse().unwrap(), words.next().unwrap().to_owned()));
        }
        seen += 1;
        if seen == lines {
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    assert!(seen >= lines, "the child died by itself after {seen} lines");
    signed
}

#[test]
fn killed_while_trees_grow() {
    let seed = std::hash::RandomState::new().build_hasher().finish();
    eprintln!("seed {seed}");
    let mut random = seed | 1;
    let mut directory = tempfile::tempdir().unwrap();
    let mut all: Vec<(u64, String)> = Vec::new();
    for round in 0..ROUNDS {
        if round % ROUNDS_PER_DIRECTORY == 0 {
            directory = tempfile::tempdir().unwrap();
            all.clear();
        }
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let path = directory.path().to_str().unwrap();
        all.extend(run_and_kill(path, 5 + (random >> 33) % 80));
        let database = Bailiwick::open(path).unwrap();
        let log = Audit::new(&database).log(TENANT);
        let size = grow(&log);
        for (signed, root) in &all {
            let now: String = log.root(*signed).unwrap().iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(&now, root, "seed {seed}, round {round}: {signed} events were signed with another root");
        }
        for index in 0..size {
            // Dropped or what the tree took: anything else is an error here.
            let entry = log.entry(index).unwrap();
            assert_eq!(log.index_of(entry.place).unwrap(), Some(index));
            assert!(entry.leaf().is_none_or(|hash| hash == leaf(entry.place, entry.bytes.as_ref().unwrap())));
        }
        log.sign(&log_key(), now(0)).unwrap();
        let report = database.verify().unwrap();
        assert!(report.differences.is_empty(), "seed {seed}, round {round}: {report:?}");
    }
}
