//! `bailiwick import` and `bailiwick export` against a directory and against a server: what they say and how they end.

use crate::bulk_wire::{MODEL, STORE, json, lines, served};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output};

fn run(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bailiwick"));
    command.args(arguments).env_remove("BAILIWICK_DATA").output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), output.stderr.as_slice()].concat()).into_owned()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn the_command_line_imports_and_exports_a_directory() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let (db, model, tuples) = (at("db"), at("model.fga"), at("tuples.jsonl"));
    std::fs::write(&model, MODEL).unwrap();
    std::fs::write(&tuples, format!("{}nonsense\n{}", lines(0..6), lines(6..8))).unwrap();
    let arguments = ["import", text(&tuples), "--data", text(&db), "--model", text(&model), "--chunk-lines", "2"];
    let stopped = run(&arguments);
    assert_eq!(stopped.status.code(), Some(2), "{}", said(&stopped));
    assert!(said(&stopped).contains("line 7: expected ident"), "{}", said(&stopped));
    assert!(said(&stopped).contains("the 6 lines before its chunk are imported"), "{}", said(&stopped));
    let skipped = run(&[&arguments[..], &["--on-error", "skip"]].concat());
    assert_eq!(skipped.status.code(), Some(1), "{}", said(&skipped));
    assert!(said(&skipped).contains("went on behind line 6"), "{}", said(&skipped));
    assert!(said(&skipped).contains("tuples.jsonl:7: expected ident"), "{}", said(&skipped));
    std::fs::write(&tuples, lines(0..10)).unwrap();
    let all = run(&[&arguments[..], &["--json"]].concat());
    assert_eq!(all.status.code(), Some(0), "{}", said(&all));
    let report = json(&all.stdout);
    assert_eq!((&report["written"], &report["skipped"], &report["resumed_after"]), (&2.into(), &8.into(), &0.into()));

    let packed = at("out.csv.zst");
    let exported = run(&["export", "--data", text(&db), "--output", text(&packed)]);
    assert_eq!(exported.status.code(), Some(0), "{}", said(&exported));
    let copy = at("copy");
    let again = run(&["import", text(&packed), "--data", text(&copy), "--model", text(&model)]);
    assert_eq!(again.status.code(), Some(0), "{}", said(&again));
    let out = run(&["export", "--data", text(&copy)]);
    assert_eq!(String::from_utf8(out.stdout).unwrap(), lines(0..10));
}

#[test]
fn the_command_line_imports_and_exports_through_a_server() {
    let server = served();
    let directory = tempfile::tempdir().unwrap();
    let tuples = directory.path().join("tuples.jsonl.gz");
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(format!("{}nonsense\n", lines(0..25_000)).as_bytes()).unwrap();
    std::fs::write(&tuples, encoder.finish().unwrap()).unwrap();
    let url = server.grpc.to_string();
    let stopped = run(&["import", text(&tuples), "--server", &url]);
    assert_eq!(stopped.status.code(), Some(2), "{}", said(&stopped));
    assert!(said(&stopped).contains("line 25001: expected ident"), "{}", said(&stopped));
    let skipped = run(&["import", text(&tuples), "--server", &url, "--store", "bulk", "--on-error", "skip"]);
    assert_eq!(skipped.status.code(), Some(1), "{}", said(&skipped));
    assert!(said(&skipped).contains("went on behind line 20,000"), "{}", said(&skipped));
    let out = run(&["export", "--server", &url, "--store", STORE]);
    assert_eq!(String::from_utf8(out.stdout).unwrap(), lines(0..25_000));
    let nobody = run(&["export", "--server", "127.0.0.1:1"]);
    assert_eq!(nobody.status.code(), Some(2));
    assert!(said(&nobody).contains("there is no server at http://127.0.0.1:1"), "{}", said(&nobody));
}
