//! What import and export cost on the `scale` world: from JSON lines, CSV and zstd, durable, indexed, queryable; and out again.
//!
//! `cargo bench --bench bulk` runs 1e5 tuples; `cargo bench --bench bulk -- 1e6` the real size. The tuples come from
//! `../shared/data/scale/generate.py`. Asserts that what goes out is what came in.
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
use std::fs::File;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn store() -> StoreId {
    StoreId(ulid::Ulid::from_parts(1, 1))
}

fn open(path: &Path, model: &Model) -> Bailiwick {
    let database = Bailiwick::open(path).unwrap();
    database.create_store(store(), "scale", Timestamp(1)).unwrap();
    database.write_model(store(), ModelId(ulid::Ulid::from_parts(1, 2)), model.clone()).unwrap();
    database
}

fn import(database: &Bailiwick, file: &Path, what: &str) {
    let query = ImportQuery { id: Some("bench".into()), ..ImportQuery::new(store()) };
    let clock = || Timestamp(1);
    let start = Instant::now();
    let report =
        database.import(&query, File::open(file).unwrap(), &clock, &mut |_| ControlFlow::Continue(())).unwrap();
    let seconds = start.elapsed().as_secs_f64();
    assert_eq!(report.stopped, None);
    let ImportProgress { lines, written, skipped, .. } = report.progress;
    println!(
        "import, {what}: {written} written, {skipped} there already, {seconds:.2} s, {:.0} a second",
        lines as f64 / seconds
    );
}

fn export(database: &Bailiwick, file: &Path, format: BulkFormat, compression: Compression) {
    let query = ExportQuery { store: store(), format, compression };
    let start = Instant::now();
    let at = database.export(&query, |_| File::create(file).unwrap()).unwrap();
    let (seconds, bytes) = (start.elapsed().as_secs_f64(), file.metadata().unwrap().len());
    println!("export, {format:?}, {compression:?}: {} tuples, {bytes} bytes, {seconds:.2} s", at.value);
}

fn main() {
    let size = std::env::args().find(|a| a.starts_with("1e")).unwrap_or_else(|| "1e5".into());
    let data = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    if !data.exists() {
        eprintln!("SKIPPED: {} is not there", data.display());
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let tuples = at("tuples.jsonl");
    let generate = data.join("scale/generate.py");
    let out = ["--tuples", &size, "--seed", "1", "--out"];
    let made = std::process::Command::new("python3").arg(generate).args(out).arg(&tuples).output().unwrap();
    assert!(made.status.success());
    let model = Model::parse_dsl(&std::fs::read_to_string(data.join("k8s-docs/model.fga")).unwrap()).unwrap();

    let database = open(&at("first"), &model);
    import(&database, &tuples, "JSON lines");
    import(&database, &tuples, "JSON lines again");
    export(&database, &at("out.jsonl"), BulkFormat::JsonLines, Compression::None);
    export(&database, &at("out.csv"), BulkFormat::Csv, Compression::None);
    export(&database, &at("out.jsonl.gz"), BulkFormat::JsonLines, Compression::Gzip);
    export(&database, &at("out.jsonl.zst"), BulkFormat::JsonLines, Compression::Zstd);
    drop(database);
    for (name, what) in [("out.csv", "CSV"), ("out.jsonl.zst", "JSON lines in zstd")] {
        let database = open(&at(&format!("{name}.db")), &model);
        import(&database, &at(name), what);
        export(&database, &at("again.jsonl"), BulkFormat::JsonLines, Compression::None);
        assert_eq!(std::fs::read(at("again.jsonl")).unwrap(), std::fs::read(at("out.jsonl")).unwrap(), "{what}");
    }
    std::io::stdout().flush().unwrap();
}
