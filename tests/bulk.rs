//! Bulk import and export: every format and compression, bad lines, bounds, kills and resumption, random worlds out and in
//! again, and both surfaces through a real server.

use crate::world::world;
use bailiwick::Bailiwick;
use bailiwick::engine::*;
use bailiwick::model::Model;
use bailiwick::tuple::*;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use std::io::{BufRead, BufReader, Cursor, Read, Write};
use std::ops::ControlFlow;
use std::process::{Command, Stdio};

const MODEL: &str = "model
  schema 1.1
type user
type group
  relations
    define member: [user, group#member]
type document
  relations
    define parent: [document]
    define viewer: [user, user with small, user:*, group#member, group#member with small]
condition small(x: double, names: list<string>) {
  x < 5.0
}
";
/// Worlds that go out and in again.
const WORLDS: u32 = 60;

fn store() -> StoreId {
    StoreId(ulid::Ulid::from_parts(1, 1))
}

fn clock() -> Timestamp {
    Timestamp(1_700_000_000_000_000_000)
}

fn fresh(database: &Bailiwick, store: StoreId, model: Model) {
    database.create_store(store, "bulk", clock()).unwrap();
    database.write_model(store, ModelId(ulid::Ulid::from_parts(2, 2)), model).unwrap();
}

fn empty() -> (tempfile::TempDir, Bailiwick) {
    let directory = tempfile::tempdir().unwrap();
    let settings = Settings { sync: false, ..Settings::default() };
    let database = Bailiwick::open_with(directory.path(), settings).unwrap();
    fresh(&database, store(), Model::parse_dsl(MODEL).unwrap());
    (directory, database)
}

fn import_with(database: &Bailiwick, query: &ImportQuery, source: impl Into<Vec<u8>>) -> ImportReport {
    database.import(query, Cursor::new(source.into()), &clock, &mut |_| ControlFlow::Continue(())).unwrap()
}

fn import(database: &Bailiwick, source: impl Into<Vec<u8>>) -> ImportReport {
    import_with(database, &ImportQuery::new(store()), source)
}

/// Chunks of two lines, so that small sources have several.
fn small_chunks() -> ImportQuery {
    ImportQuery { chunk_lines: 2, ..ImportQuery::new(store()) }
}

fn skipping() -> ImportQuery {
    ImportQuery { on_bad_line: OnBadLine::Skip, ..small_chunks() }
}

/// What an export writes goes where it can be looked at.
#[derive(Clone, Default)]
struct Sink(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn export_as(database: &Bailiwick, store: StoreId, format: BulkFormat, compression: Compression) -> Vec<u8> {
    let sink = Sink::default();
    let query = ExportQuery { store, format, compression };
    let at = database.export(&query, |revision| {
        assert_eq!(revision, database.revision());
        sink.clone()
    });
    assert_eq!(at.unwrap().revision, database.revision());
    std::mem::take(&mut *sink.0.lock().unwrap())
}

fn export(database: &Bailiwick) -> String {
    String::from_utf8(export_as(database, store(), BulkFormat::JsonLines, Compression::None)).unwrap()
}

fn line(n: u64) -> String {
    format!("{{\"user\":\"user:{n}\",\"relation\":\"viewer\",\"object\":\"document:{n}\"}}\n")
}

fn lines(range: std::ops::Range<u64>) -> String {
    range.map(line).collect()
}

const PLAIN: &str = r#"{"user":"user:anne","relation":"member","object":"group:eng"}
{"user":"group:eng#member","relation":"viewer","object":"document:1"}
{"user":"user:*","relation":"viewer","object":"document:2"}
{"user":"user:\"quoted\",","relation":"viewer","object":"document:ü"}
{"user":"user:bob","relation":"viewer","object":"document:1","condition":{"name":"small","context":{"x":2.5,"names":["a","b\"c"]}}}
{"user":"user:carl","relation":"viewer","object":"document:1","condition":{"name":"small","context":{}}}
"#;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn every_format_in_every_compression() {
    let keyed: String =
        PLAIN.lines().map(|l| format!("{{\"key\":{l},\"timestamp\":\"2024-01-01T00:00:00Z\"}}\n")).collect();
    let list = format!("[{}]", PLAIN.trim_end().replace('\n', ",\n"));
    let answer = format!("{{\"tuples\":[{}],\"continuation_token\":\"\"}}", keyed.trim_end().replace('\n', ","));
    let csv = "user_type,user_id,user_relation,relation,object_type,object_id,condition_name,condition_context\n\
        user,anne,,member,group,eng,,\ngroup,eng,member,viewer,document,1,,\nuser,*,,viewer,document,2,,\n\
        user,\"\"\"quoted\"\",\",,viewer,document,ü,,\r\n\
        user,bob,,viewer,document,1,small,\"{\"\"x\"\":2.5,\"\"names\"\":[\"\"a\"\",\"\"b\\\"\"c\"\"]}\"\n\
        user,carl,,viewer,document,1,small,\n";
    for source in [PLAIN, &keyed, &list, &answer, csv] {
        let (plain, two) = (source.as_bytes().to_vec(), source.len() / 2);
        let packed = zstd::encode_all(source.as_bytes(), 3).unwrap();
        // Several members one behind the other are one source: what parallel compressors write.
        let members = [gzip(&source.as_bytes()[..two]), gzip(&source.as_bytes()[two..])].concat();
        let frames = [
            zstd::encode_all(&source.as_bytes()[..two], 3).unwrap(),
            zstd::encode_all(&source.as_bytes()[two..], 3).unwrap(),
        ];
        for bytes in [plain, packed, gzip(source.as_bytes()), members, frames.concat()] {
            let (_directory, database) = empty();
            let report = import(&database, bytes);
            assert_eq!(report.stopped, None, "{source}");
            assert_eq!((report.progress.lines, report.progress.written), (6, 6), "{source}");
            assert_eq!(export(&database), PLAIN, "{source}");
        }
    }
}

#[test]
fn nothing_is_imported_from_nothing() {
    for source in ["", "\n\n", "[]", "user_type,user_id,relation,object_type,object_id\n"] {
        let (_directory, database) = empty();
        let report = import(&database, source);
        assert_eq!((report.stopped, report.progress.written), (None, 0), "{source:?}");
    }
}

#[test]
fn a_bad_line_stops_before_its_chunk() {
    let (_directory, database) = empty();
    let source = format!("{}{{\"user\":\"user:1\"}}\n{}", lines(0..5), lines(6..9));
    let report = import_with(&database, &small_chunks(), source.clone());
    let stop = report.stopped.unwrap();
    assert!(matches!(&stop, ImportStop::Bad(BadLine { number: 6, .. })), "{stop}");
    assert!(stop.to_string().starts_with("line 6: missing field `relation`"), "{stop}");
    assert_eq!(export(&database), lines(0..4), "lines 5 and 6 are one chunk");
    assert_eq!((report.progress.lines, report.progress.written, report.progress.bad), (4, 4, 0));
    assert_eq!(report.revision, database.revision());
    // In a chunk of its own the whole source is refused.
    let (_directory, database) = empty();
    assert_eq!(import(&database, source).progress, ImportProgress::default());
    assert_eq!(export(&database), "");
}

#[test]
fn what_the_model_refuses_is_a_bad_line() {
    let (_directory, database) = empty();
    let bad = |user: &str, relation: &str, object: &str, condition: &str| {
        format!("{{\"user\":\"{user}\",\"relation\":\"{relation}\",\"object\":\"{object}\"{condition}}}\n")
    };
    let with = |condition: &str| format!(",\"condition\":{condition}");
    let source = [
        line(0),
        bad("user:1", "owner", "document:1", ""),
        bad("document:1", "viewer", "document:1", ""),
        bad("group:1#member", "member", "group:1", ""),
        bad("user:1", "viewer", "document:1", &with("{\"name\":\"big\"}")),
        bad("user:1", "viewer", "document:1", &with("{\"name\":\"small\",\"context\":{\"y\":1}}")),
        bad("user:1", "viewer", "document:1", &with("{\"name\":\"small\",\"context\":{\"x\":\"one\"}}")),
        line(7),
    ]
    .concat();
    let report = import_with(&database, &skipping(), source);
    assert_eq!(report.stopped, None);
    assert_eq!((report.progress.lines, report.progress.written, report.progress.bad), (8, 2, 6));
    let numbers: Vec<u64> = report.bad_lines.iter().map(|bad| bad.number).collect();
    assert_eq!(numbers, [2, 3, 4, 5, 6, 7]);
    assert!(report.bad_lines[0].to_string().contains("relation 'document#owner' not found"));
    assert_eq!(export(&database), [line(0), line(7)].concat());
}

#[test]
fn bad_lines_are_all_counted_but_not_all_told() {
    let (_directory, database) = empty();
    let source = format!("{}{}", "{}\n".repeat(250), line(1));
    let query = ImportQuery { on_bad_line: OnBadLine::Skip, ..ImportQuery::new(store()) };
    let report = import_with(&database, &query, source.clone());
    assert_eq!((report.progress.bad, report.bad_lines.len()), (250, BAD_LINES_TOLD_MAX));
    let report = import_with(&database, &ImportQuery { bad_lines_max: Some(249), ..query.clone() }, source.clone());
    assert_eq!(report.stopped, Some(ImportStop::TooManyBad { max: 249 }));
    assert_eq!(report.bad_lines.len(), BAD_LINES_TOLD_MAX);
    let report = import_with(&database, &ImportQuery { bad_lines_max: Some(250), ..query }, source);
    assert_eq!(report.stopped, None);
}

#[test]
fn duplicates_are_skipped_and_contradictions_are_bad() {
    let under = |n: u64, x: &str| {
        line(n).replace("}\n", &format!(",\"condition\":{{\"name\":\"small\",\"context\":{{\"x\":{x}}}}}}}\n"))
    };
    for chunk_lines in [1, 2, 3, 100] {
        let (_directory, database) = empty();
        import(&database, [line(1), under(2, "1")].concat());
        let source =
            [line(1), under(1, "1"), under(2, "1.0"), under(2, "2"), line(2), line(3), line(3), under(3, "1")].concat();
        let report = import_with(&database, &ImportQuery { chunk_lines, ..skipping() }, source);
        let told = format!("chunks of {chunk_lines}: {report:?}");
        assert_eq!(report.stopped, None, "{told}");
        let ImportProgress { lines, written, skipped, bad } = report.progress;
        assert_eq!((lines, written, skipped, bad), (8, 1, 3, 4), "{told}");
        let mut numbers: Vec<u64> = report.bad_lines.iter().map(|bad| bad.number).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, [2, 4, 5, 8], "{told}");
        assert_eq!(export(&database), [line(1), under(2, "1"), line(3)].concat(), "{told}");
    }
    let (_directory, database) = empty();
    import(&database, line(1));
    let report = import(&database, [line(0), under(1, "1")].concat());
    assert!(matches!(report.stopped, Some(ImportStop::Bad(BadLine { number: 2, fault: LineFault::ConditionDiffers }))));
    assert_eq!(export(&database), line(1));
}

#[test]
fn a_written_number_is_the_imported_one() {
    let (_directory, database) = empty();
    let mut tuple = TupleKeyRef::parse("document:1", "viewer", "user:1").unwrap().to_tuple();
    let context = [("x".to_owned(), context_number(3.0).unwrap().into())].into_iter().collect();
    tuple.condition = Some(TupleCondition { name: "small".into(), context });
    database.write(store(), None, WriteQuery { writes: vec![tuple], ..WriteQuery::default() }, clock()).unwrap();
    let same = line(1).replace("}\n", ",\"condition\":{\"name\":\"small\",\"context\":{\"x\":3}}}\n");
    assert_eq!(import(&database, same).progress.skipped, 1);
}

/// Gives its bytes, then breaks like a connection.
struct Breaks(Cursor<Vec<u8>>);

impl Read for Breaks {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self.0.read(buffer)? {
            0 => Err(std::io::Error::new(std::io::ErrorKind::ConnectionReset, "the cable is out")),
            read => Ok(read),
        }
    }
}

#[test]
fn an_import_goes_on_where_it_stopped() {
    let (directory, database) = empty();
    let query = ImportQuery { id: Some("nightly".into()), ..small_chunks() };
    let broken = Breaks(Cursor::new(lines(0..7).into_bytes()));
    let report = database.import(&query, broken, &clock, &mut |_| ControlFlow::Continue(())).unwrap();
    assert!(report.stopped.as_ref().unwrap().to_string().contains("the cable is out"), "{report:?}");
    assert_eq!((report.progress.lines, report.resumed_after), (6, 0));
    drop(database);
    let database = Bailiwick::open(directory.path()).unwrap();

    let other = ImportError::OtherSource { id: "nightly".into(), lines: 6 };
    for source in [lines(1..10), lines(0..3)] {
        let refused = database.import(&query, Cursor::new(source), &clock, &mut |_| ControlFlow::Continue(()));
        assert_eq!(refused, Err(other.clone()));
    }
    // Corrected behind the place where it stopped, it is the same source.
    let report = import_with(&database, &query, [lines(0..6), lines(8..12)].concat());
    assert_eq!(report.stopped, None);
    assert_eq!((report.resumed_after, report.progress.lines, report.progress.written), (6, 10, 4));
    assert_eq!(export(&database), [lines(0..6), lines(8..12)].concat());
    // It came to its end, so the name is free.
    let report = import_with(&database, &query, lines(20..22));
    assert_eq!((report.resumed_after, report.progress.written), (0, 2));
}

#[test]
fn an_import_can_be_restarted_and_cancelled() {
    let (_directory, database) = empty();
    let query = ImportQuery { id: Some("x".into()), ..small_chunks() };
    let cancel =
        &mut |done: &ImportProgress| if done.lines < 4 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) };
    let report = database.import(&query, Cursor::new(lines(0..9)), &clock, cancel).unwrap();
    assert_eq!((report.stopped, report.progress.lines), (Some(ImportStop::Cancelled), 4));
    // Another name knows nothing of it.
    let other = ImportQuery { id: Some("y".into()), ..small_chunks() };
    assert_eq!(import_with(&database, &other, lines(0..2)).resumed_after, 0);
    let report = import_with(&database, &ImportQuery { restart: true, ..query }, lines(0..9));
    assert_eq!((report.resumed_after, report.progress.skipped, report.progress.written), (0, 4, 5));
}

#[test]
fn progress_of_a_deleted_store_is_forgotten() {
    let (_directory, database) = empty();
    let query = ImportQuery { id: Some("x".into()), ..small_chunks() };
    let enough = &mut |_: &ImportProgress| ControlFlow::Break(());
    database.import(&query, Cursor::new(lines(0..9)), &clock, enough).unwrap();
    database.delete_store(store(), clock()).unwrap();
    fresh(&database, store(), Model::parse_dsl(MODEL).unwrap());
    let report = import_with(&database, &query, lines(0..9));
    assert_eq!((report.resumed_after, report.progress.written), (0, 9));
}

#[test]
fn settings_have_bounds() {
    let (_directory, database) = empty();
    let refused = |query: ImportQuery| {
        let done = database.import(&query, Cursor::new(""), &clock, &mut |_| ControlFlow::Continue(()));
        done.unwrap_err()
    };
    assert_eq!(refused(ImportQuery { chunk_lines: 0, ..small_chunks() }), ImportError::Chunk { lines: 0 });
    assert!(matches!(
        refused(ImportQuery { chunk_lines: CHUNK_LINES_MAX + 1, ..small_chunks() }),
        ImportError::Chunk { .. }
    ));
    assert_eq!(refused(ImportQuery { id: Some(String::new()), ..small_chunks() }), ImportError::Id { len: 0 });
    assert_eq!(refused(ImportQuery { id: Some("x".repeat(257)), ..small_chunks() }), ImportError::Id { len: 257 });
    let nowhere = StoreId(ulid::Ulid::from_parts(9, 9));
    assert_eq!(refused(ImportQuery::new(nowhere)), ImportError::Question(QuestionError::NoModel(nowhere)));
}

#[test]
fn bytes_close_a_chunk_before_lines_do() {
    let (_directory, database) = empty();
    let mut chunks = 0;
    let padding = " ".repeat(200_000);
    let source: String = (0..200).map(|n| format!("{padding}{}", line(n))).collect();
    let told = &mut |_: &ImportProgress| {
        chunks += 1;
        ControlFlow::Continue(())
    };
    let report = database.import(&ImportQuery::new(store()), Cursor::new(source), &clock, told).unwrap();
    assert_eq!(report.progress.written, 200);
    assert_eq!(chunks, 3, "40 MB in chunks of 16 MiB");
}

const DIRECTORY: &str = "BAILIWICK_BULK_DIRECTORY";
const KILLED_LINES: u64 = 4_000;

/// Not a test of its own: the process that [`killed_in_the_middle`] starts and kills runs this.
#[test]
fn importing_child() {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return };
    let database = Bailiwick::open(directory).unwrap();
    let query = ImportQuery { id: Some("killed".into()), chunk_lines: 50, ..ImportQuery::new(store()) };
    let told = &mut |done: &ImportProgress| {
        let mut out = std::io::stdout().lock();
        writeln!(out, "done {}", done.lines).unwrap();
        out.flush().unwrap();
        ControlFlow::Continue(())
    };
    database.import(&query, Cursor::new(lines(0..KILLED_LINES)), &clock, told).unwrap();
}

/// Kills an import again and again; the next one goes on, nothing is lost and nothing is there twice.
#[test]
fn killed_in_the_middle() {
    let directory = tempfile::tempdir().unwrap();
    let database = Bailiwick::open(directory.path()).unwrap();
    fresh(&database, store(), Model::parse_dsl(MODEL).unwrap());
    drop(database);
    let mut durable = 0;
    for kill_after in [1, 3, 7, 2] {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "bulk::importing_child", "--nocapture", "--test-threads=1"])
            .env(DIRECTORY, directory.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let told = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        for (seen, lines) in told.filter_map(|line| line.split_once("done ")?.1.parse::<u64>().ok()).enumerate() {
            assert!(lines > durable, "line {lines} was told again");
            durable = lines;
            if seen + 1 == kill_after {
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
    }
    assert!(durable < KILLED_LINES, "the child was never killed in the middle");
    let database = Bailiwick::open(directory.path()).unwrap();
    let query = ImportQuery { id: Some("killed".into()), ..ImportQuery::new(store()) };
    let report = import_with(&database, &query, lines(0..KILLED_LINES));
    assert_eq!(report.stopped, None);
    assert!(report.resumed_after >= durable, "{} lines were acknowledged: {report:?}", durable);
    assert_eq!(report.progress.written, KILLED_LINES - report.resumed_after, "what was done is not done again");
    assert_eq!(export(&database), lines(0..KILLED_LINES));
    assert!(database.verify().unwrap().differences.is_empty());
}

#[test]
fn others_write_while_an_import_runs() {
    let (_directory, database) = empty();
    let writer = database.clone();
    let under = Some(TupleCondition { name: "small".into(), context: Context::new() });
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for n in 0..300_u64 {
                let key = (format!("document:{}", n * 7), format!("user:{}", n * 7));
                let mut tuple = TupleKeyRef::parse(&key.0, "viewer", &key.1).unwrap().to_tuple();
                tuple.condition = under.clone().filter(|_| n % 2 == 0);
                let query = WriteQuery { writes: vec![tuple], ..WriteQuery::default() };
                let _ = writer.write(store(), None, query, clock()); // refused where the import came first
            }
        });
        let query = ImportQuery { chunk_lines: 50, ..skipping() };
        let report = import_with(&database, &query, lines(0..3_000));
        assert_eq!(report.stopped, None);
        let ImportProgress { written, skipped, bad, .. } = report.progress;
        assert_eq!(written + skipped + bad, 3_000);
    });
    assert_eq!(export(&database).lines().count(), 3_000);
    assert!(database.verify().unwrap().differences.is_empty());
}

#[test]
fn random_worlds_go_out_and_in_again() {
    let mut runner = TestRunner::deterministic();
    let (mut built, mut number) = (0, 10);
    while built < WORLDS {
        let Some(world) = world().new_tree(&mut runner).unwrap().current().build() else { continue };
        built += 1;
        let (_directory, database) = empty();
        let mut next = || {
            number += 1;
            let id = StoreId(ulid::Ulid::from_parts(number, 1));
            fresh(&database, id, world.model.clone());
            id
        };
        let first = next();
        for chunk in world.stored.chunks(5) {
            database
                .write(first, None, WriteQuery { writes: chunk.to_vec(), ..WriteQuery::default() }, clock())
                .unwrap();
        }
        let text = |id| String::from_utf8(export_as(&database, id, BulkFormat::JsonLines, Compression::None)).unwrap();
        let expected = text(first);
        for format in [BulkFormat::JsonLines, BulkFormat::Json, BulkFormat::Csv] {
            for compression in [Compression::None, Compression::Zstd, Compression::Gzip] {
                let copy = next();
                let exported = export_as(&database, first, format, compression);
                let report = import_with(&database, &ImportQuery::new(copy), exported);
                assert_eq!(report.stopped, None, "{world}");
                assert_eq!(report.progress.written, world.stored.len() as u64, "{world}");
                assert_eq!(text(copy), expected, "{format:?} {compression:?}\n{world}");
            }
        }
    }
}

#[test]
fn an_export_knows_its_store_and_its_sink() {
    let (_directory, database) = empty();
    let nowhere = StoreId(ulid::Ulid::from_parts(9, 9));
    let query = ExportQuery { store: nowhere, format: BulkFormat::Csv, compression: Compression::None };
    assert!(matches!(database.export(&query, |_| Sink::default()), Err(ExportError::Question(_))));
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("no space"))
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    import(&database, lines(0..3));
    for compression in [Compression::None, Compression::Zstd, Compression::Gzip] {
        let query = ExportQuery { store: store(), format: BulkFormat::JsonLines, compression };
        assert!(matches!(database.export(&query, |_| Full), Err(ExportError::Sink(_))));
    }
}

#[test]
fn floats_come_back_bit_for_bit() {
    let (_directory, database) = empty();
    let floats: [f64; 6] = [2.638_344_616_030_823e-256, 0.1, 1e300, -5e-324, 9_007_199_254_740_993.0, 1.0 / 3.0];
    let source: String = (0_u64..)
        .zip(floats)
        .map(|(n, x)| {
            line(n).replace("}\n", &format!(",\"condition\":{{\"name\":\"small\",\"context\":{{\"x\":{x:e}}}}}}}\n"))
        })
        .collect();
    assert_eq!(import(&database, source).stopped, None);
    let out = export(&database);
    for (text, x) in out.lines().zip(floats) {
        let value = text.rsplit_once("\"x\":").unwrap().1.trim_end_matches('}');
        assert_eq!(value.parse::<f64>().unwrap().to_bits(), x.to_bits(), "{text}");
    }
    assert_eq!(import(&database, out).progress.skipped, 6);
}
