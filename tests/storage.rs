//! What survives: module records beside tuples, refusals of what cannot be read, and the bounds of reading.

use bailiwick::Bailiwick;
use bailiwick::engine::*;
use bailiwick::model::Model;
use bailiwick::tuple::*;

const NOW: Timestamp = Timestamp(7);
const IMPORT: Module = Module::new("import");
/// Its name begins with the other's: their records must not mix.
const IMPORTS: Module = Module::new("imports");

fn store() -> StoreId {
    StoreId(ulid::Ulid::from_parts(1, 1))
}

fn model(database: &Bailiwick, store: StoreId) {
    let text = "model\n  schema 1.1\ntype user\ntype folder\n  relations\n    define viewer: [user]\n\
                type document\n  relations\n    define viewer: [user, user:*]\n";
    database.write_model(store, ModelId(ulid::Ulid::from_parts(1, 2)), Model::parse_dsl(text).unwrap()).unwrap();
}

fn open(path: &std::path::Path) -> Bailiwick {
    let database = Bailiwick::open_with(path, Settings { sync: false, ..Settings::default() }).unwrap();
    if database.store(store()).is_err() {
        database.create_store(store(), "storage", NOW).unwrap();
        model(&database, store());
    }
    database
}

fn tuple(text: &str) -> Tuple {
    let mut words = text.split(' ');
    let mut next = || words.next().unwrap();
    let (subject, relation, object) = (next(), next(), next());
    TupleKeyRef::parse(object, relation, subject).unwrap().to_tuple()
}

fn write(texts: &[&str]) -> WriteQuery {
    WriteQuery { writes: texts.iter().map(|t| tuple(t)).collect(), ..WriteQuery::default() }
}

fn clean(database: &Bailiwick) {
    let report = database.verify().unwrap();
    assert!(report.differences.is_empty(), "{:?}", report.differences);
}

#[test]
fn records_are_there_if_and_only_if_the_tuples_are() {
    let directory = tempfile::tempdir().unwrap();
    let database = open(directory.path());
    let (mine, other) = (database.records(IMPORT), database.records(IMPORTS));
    let at = |n: u8| mine.put("progress", [n]);

    database.write(store(), None, write(&["user:a viewer document:1"]).with_record(at(1)), NOW).unwrap();
    assert_eq!(mine.get(b"progress").unwrap(), Some(vec![1]));
    let again = database.write(store(), None, write(&["user:a viewer document:1"]).with_record(at(2)), NOW);
    assert!(matches!(again, Err(WriteError::AlreadyExists { .. })), "{again:?}");
    assert_eq!(mine.get(b"progress").unwrap(), Some(vec![1]), "a refused write left its record");
    // A write whose tuples are all there already still moves the record.
    let skipped = WriteQuery { on_duplicate: OnDuplicate::Ignore, ..write(&["user:a viewer document:1"]) };
    let before = database.revision();
    database.write(store(), None, skipped.with_record(at(3)), NOW).unwrap();
    assert_eq!((mine.get(b"progress").unwrap(), database.revision() > before), (Some(vec![3]), true));

    other.write(vec![other.put("progress", "theirs"), other.put("q", ""), other.delete("none")]).unwrap();
    mine.write((0..5_u8).map(|n| mine.put([b'k', n], [n])).collect()).unwrap();
    mine.write(vec![mine.delete([b'k', 2])]).unwrap();
    let keys = |page: Vec<Record>| page.into_iter().map(|(_, v)| v[0]).collect::<Vec<_>>();
    assert_eq!(keys(mine.scan(b"k", None, 10).unwrap()), [0, 1, 3, 4]);
    assert_eq!(keys(mine.scan(b"k", Some(&[b'k', 1]), 1).unwrap()), [3]);
    assert_eq!(keys(mine.scan(b"", None, 100).unwrap()), [0, 1, 3, 4, 3]);
    assert_eq!(other.scan(b"", None, 100).unwrap().len(), 2);
    assert!(mine.scan(b"k", None, 0).unwrap().is_empty());
    clean(&database);
    drop((database, mine, other));

    let database = open(directory.path());
    assert_eq!(database.records(IMPORT).get(b"progress").unwrap(), Some(vec![3]));
    assert_eq!(database.records(IMPORTS).get(b"progress").unwrap(), Some(b"theirs".to_vec()));
    clean(&database);
}

/// Somebody who is faster makes the others' writes fail, whole: a thing that is used once is used once.
#[test]
fn of_writes_that_expect_the_same_record_one_takes_place() {
    const THREADS: u8 = 16;
    let directory = tempfile::tempdir().unwrap();
    let database = open(directory.path());
    let records = database.records(IMPORT);
    for round in 0..20_u8 {
        let code = [b'c', round];
        records.write_if(vec![records.expect(code, None)], vec![records.put(code, "fresh")]).unwrap();
        let again = records.write_if(vec![records.expect(code, None)], vec![records.put(code, "other")]);
        assert!(matches!(again, Err(WriteError::RecordChanged { module: "import" })), "{again:?}");
        let redeem = |who: u8| {
            let expected = records.expect(code, Some(b"fresh".to_vec()));
            let text = format!("user:{who} viewer document:{round}");
            // Half of them with a tuple: both ways into the writer hold the rule.
            if who.is_multiple_of(2) {
                let write = write(&[&text]).expecting(expected).with_record(records.put(code, [who]));
                database.write(store(), None, write, NOW)
            } else {
                records.write_if(vec![expected], vec![records.put(code, [who])])
            }
        };
        let won: Vec<u8> = std::thread::scope(|threads| {
            let all: Vec<_> = (0..THREADS).map(|who| (who, threads.spawn(move || redeem(who)))).collect();
            let done = all.into_iter().map(|(who, thread)| (who, thread.join().unwrap()));
            done.filter_map(|(who, outcome)| outcome.is_ok().then_some(who)).collect()
        });
        assert_eq!(won.len(), 1, "round {round}: {won:?} all used it");
        assert_eq!(records.get(&code).unwrap(), Some(won.clone()));
        let document = format!("document:{round}");
        let view = database.view(store(), None, Consistency::Latest).unwrap();
        for who in 0..THREADS {
            let subject = format!("user:{who}");
            let key = TupleKeyRef::parse(&document, "viewer", &subject).unwrap();
            let answer = view.check(&CheckQuery { key, given: Given::default() }, &Limits::default()).unwrap();
            let due = who.is_multiple_of(2) && won == [who];
            assert_eq!(answer == Decision::Allow, due, "{subject} after a write that did not take place");
        }
    }
    clean(&database);
}

#[test]
fn appended_records_stand_in_the_order_of_the_log() {
    let directory = tempfile::tempdir().unwrap();
    let database = open(directory.path());
    let (mine, other) = (database.records(IMPORT), database.records(IMPORTS));
    let mut last = Revision(0);
    std::thread::scope(|threads| {
        for thread in 0..8_u8 {
            let (mine, other) = (&mine, &other);
            threads.spawn(move || {
                for n in 0..25_u8 {
                    let changes = vec![
                        mine.append("e", [thread, n, 0]),
                        other.append("e", [9]),
                        mine.append("e", [thread, n, 1]),
                    ];
                    mine.write(changes).unwrap();
                }
            });
        }
    });
    let events = mine.scan(b"e", None, 1_000).unwrap();
    assert_eq!(events.len(), 8 * 25 * 2);
    assert_eq!(other.scan(b"e", None, 1_000).unwrap().len(), 8 * 25);
    let mut next = [0_u8; 8];
    for pair in events.chunks(2) {
        let [(first, one), (second, two)] = pair else { panic!("{pair:?}") };
        assert_eq!(first.len(), 1 + RECORD_PLACE_BYTES);
        let revision = |key: &[u8]| Revision(u64::from_be_bytes(key[1..9].try_into().unwrap()));
        let place = |key: &[u8]| u32::from_be_bytes(key[9..].try_into().unwrap());
        assert_eq!((revision(first), place(first) + 2), (revision(second), place(second)), "of one write");
        assert!(revision(first) >= last && revision(first) <= database.revision());
        last = revision(first);
        let thread = usize::from(one[0]);
        assert_eq!((one[1], one[2], two[2]), (next[thread], 0, 1), "each caller's own order");
        next[thread] += 1;
    }
    let long = mine.append(vec![0; RECORD_KEY_BYTES_MAX - RECORD_PLACE_BYTES + 1], "");
    assert!(matches!(mine.write(vec![long]), Err(WriteError::Full { .. })), "its place must fit too");
    clean(&database);
    drop((database, mine, other));
    clean(&open(directory.path()));
}

#[test]
fn records_have_bounds() {
    let directory = tempfile::tempdir().unwrap();
    let database = open(directory.path());
    let records = database.records(IMPORT);
    let over = |changes| {
        let refused = records.write(changes).unwrap_err();
        assert!(matches!(refused, WriteError::Full { .. }), "{refused}");
    };
    over(vec![records.put(vec![0; RECORD_KEY_BYTES_MAX + 1], "")]);
    over(vec![records.put("", vec![0; RECORD_VALUE_BYTES_MAX + 1])]);
    over(vec![records.delete(""); RECORDS_PER_WRITE_MAX + 1]);
    let write = write(&["user:a viewer document:1"]).with_record(records.put("", vec![0; RECORD_VALUE_BYTES_MAX + 1]));
    assert!(matches!(database.write(store(), None, write, NOW), Err(WriteError::Full { .. })));
    assert!(records.scan(b"", None, 10).unwrap().is_empty());
    records.write(vec![records.put(vec![255; RECORD_KEY_BYTES_MAX], vec![0; RECORD_VALUE_BYTES_MAX])]).unwrap();
    assert_eq!(records.scan(&[255; 100], None, 10).unwrap().len(), 1);
}

fn names_of(path: &std::path::Path) -> Vec<std::ffi::OsString> {
    let mut names: Vec<_> = std::fs::read_dir(path).unwrap().map(|e| e.unwrap().file_name()).collect();
    names.sort();
    names
}

fn copy(from: &std::path::Path) -> tempfile::TempDir {
    let to = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.path().join(entry.file_name())).unwrap();
    }
    to
}

fn numbered(count: usize) -> WriteQuery {
    let tuples = (0..count).map(|n| tuple(&format!("user:{} viewer document:{}", n % 97, n / 97)));
    WriteQuery { writes: tuples.collect(), ..WriteQuery::default() }
}

/// A database with table files.
fn filled() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let database = open(directory.path());
    database.write(store(), None, numbered(20_000), NOW).unwrap();
    drop(database);
    assert!(names_of(directory.path()).iter().any(|n| n.to_string_lossy().ends_with(".sst")));
    directory
}

#[test]
fn what_is_not_ours_is_not_touched() {
    let refused = |path: &std::path::Path, part: &str| {
        let before = names_of(path);
        let error = Bailiwick::open(path).err().unwrap_or_else(|| panic!("`{part}` was opened"));
        assert!(error.to_string().contains(part), "{error}");
        assert_eq!(names_of(path), before, "the directory was touched");
    };
    let foreign = tempfile::tempdir().unwrap();
    std::fs::write(foreign.path().join("thesis.txt"), "years of work").unwrap();
    refused(foreign.path(), "choose an empty directory");

    let filled = filled();
    let newer = copy(filled.path());
    std::fs::write(newer.path().join("BAILIWICK"), "bailiwick database, format 99\n").unwrap();
    refused(newer.path(), "has format 99");
    std::fs::write(newer.path().join("BAILIWICK"), "bailiwick database, format x\n").unwrap();
    refused(newer.path(), "marker file");
    std::fs::remove_file(newer.path().join("BAILIWICK")).unwrap();
    refused(newer.path(), "not a database of bailiwick");
    let rootless = copy(filled.path());
    std::fs::remove_file(rootless.path().join("CURRENT")).unwrap();
    refused(rootless.path(), "CURRENT is missing");

    let database = Bailiwick::open(filled.path()).unwrap();
    let second = Bailiwick::open(filled.path()).err().unwrap();
    assert!(second.to_string().contains("another process has it open"), "{second}");
    clean(&database);
}

#[test]
fn damaged_files_are_refused() {
    let filled = filled();
    let tables = || names_of(filled.path()).into_iter().filter(|n| n.to_string_lossy().ends_with(".sst"));
    for name in tables() {
        let cut = copy(filled.path());
        let file = cut.path().join(&name);
        let bytes = std::fs::read(&file).unwrap();
        std::fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
        let error = Bailiwick::open(cut.path()).err().unwrap();
        assert!(error.to_string().contains("damaged"), "{error}");
        for tenth in 0..7 {
            let flipped = copy(filled.path());
            let mut changed = bytes.clone();
            changed[bytes.len() * tenth / 10 + 100] ^= 0x10;
            std::fs::write(flipped.path().join(&name), changed).unwrap();
            let seen = match Bailiwick::open(flipped.path()) {
                Err(error) => error.to_string().contains("damaged"),
                Ok(database) => database.verify().map_or(true, |r| !r.differences.is_empty()),
            };
            assert!(seen, "a flipped bit at {tenth} tenths of {name:?} was not seen");
        }
    }
}

fn changes(database: &Bailiwick, query: &ReadChangesQuery<'_>) -> Result<Vec<Change>, QuestionError> {
    database.read_changes(store(), query).map(|at| at.value)
}

#[test]
fn a_trimmed_log_says_so() {
    let directory = tempfile::tempdir().unwrap();
    drop(open(directory.path()));
    let log_retention = LogRetention { revisions: Some(10), age: None };
    let settings = Settings { sync: false, log_retention, ..Settings::default() };
    let database = Bailiwick::open_with(directory.path(), settings.clone()).unwrap();
    let all = ReadChangesQuery { page_size: 1_000, ..ReadChangesQuery::default() };
    let other = ReadChangesQuery { object_type: Some("folder"), ..all };
    database.write(store(), None, write(&["user:a viewer folder:1"]), NOW).unwrap();
    let first = changes(&database, &all).unwrap()[0].position;
    for n in 0..100 {
        database.write(store(), None, write(&[&format!("user:{n} viewer document:1")]), NOW).unwrap();
    }
    database
        .write(
            store(),
            None,
            WriteQuery { deletes: vec![tuple("user:99 viewer document:1")], ..WriteQuery::default() },
            NOW,
        )
        .unwrap();
    let kept = changes(&database, &all).unwrap();
    assert_eq!(kept.len(), 10);
    assert!(kept.last().unwrap().deleted);
    assert!(database.stats().log_from > first.revision);
    assert!(changes(&database, &other).unwrap().is_empty());
    // Who stopped at a change that is gone has missed some; who stopped later has not.
    let behind = |position| ReadChangesQuery { after: Some(position), ..all };
    assert_eq!(changes(&database, &behind(first)), Err(QuestionError::PositionGone));
    assert_eq!(changes(&database, &behind(kept[3].position)).unwrap(), kept[4..]);
    clean(&database);
    drop(database);
    let database = Bailiwick::open_with(directory.path(), settings).unwrap();
    assert_eq!(changes(&database, &all).unwrap(), kept);
    assert_eq!(changes(&database, &behind(first)), Err(QuestionError::PositionGone));
    clean(&database);
}

#[test]
fn a_log_is_kept_by_age_and_read_up_to_a_horizon() {
    let directory = tempfile::tempdir().unwrap();
    drop(open(directory.path()));
    let log_retention = LogRetention { revisions: None, age: Some(std::time::Duration::from_nanos(50)) };
    let database =
        Bailiwick::open_with(directory.path(), Settings { sync: false, log_retention, ..Settings::default() }).unwrap();
    for n in 0..100 {
        let query = write(&[&format!("user:{n} viewer document:1"), &format!("user:{n} viewer folder:1")]);
        database.write(store(), None, query, Timestamp(1_000 + n)).unwrap();
    }
    let all = ReadChangesQuery { page_size: 1_000, ..ReadChangesQuery::default() };
    let at = |query| changes(&database, &query).unwrap().into_iter().map(|c| c.at.0).collect::<Vec<_>>();
    let folders = ReadChangesQuery { object_type: Some("folder"), ..all };
    assert_eq!(at(folders), (1_050..1_100).collect::<Vec<_>>());
    assert_eq!(at(ReadChangesQuery { start_time: Some(Timestamp(1_097)), ..folders }), [1_097, 1_098, 1_099]);
    assert_eq!(at(ReadChangesQuery { until: Some(Timestamp(1_051)), ..folders }), [1_050, 1_051]);
    assert_eq!(at(ReadChangesQuery { page_size: 2, ..folders }), [1_050, 1_051]);
    clean(&database);
}

fn pages(database: &Bailiwick, query: &ReadQuery<'_>) -> Vec<String> {
    let (mut texts, mut query) = (Vec::new(), *query);
    loop {
        let page = database.read(store(), &query).unwrap().value;
        assert!(page.tuples.len() <= query.page_size);
        texts.extend(page.tuples.iter().map(|t| t.tuple.to_string()));
        match page.next {
            Some(next) => query.after = Some(next),
            None => return texts,
        }
    }
}

#[test]
fn read_finds_every_tuple_once_however_many() {
    let directory = tempfile::tempdir().unwrap();
    let database = open(directory.path());
    // 5,000 users of one document, 5,000 documents of one user, written from the last to the first.
    let mut tuples: Vec<Tuple> = (0..5_000).rev().map(|n| tuple(&format!("user:{n} viewer document:wide"))).collect();
    tuples.extend((0..5_000).rev().map(|n| tuple(&format!("user:all viewer document:{n}"))));
    tuples.extend((0..30).rev().map(|n| tuple(&format!("user:{n} viewer folder:f"))));
    tuples.push(tuple("user:* viewer document:wide"));
    database.write(store(), None, WriteQuery { writes: tuples.clone(), ..WriteQuery::default() }, NOW).unwrap();
    let texts: Vec<String> = tuples.iter().map(ToString::to_string).collect();
    let all = ReadQuery { page_size: 700, ..ReadQuery::default() };
    assert_eq!(pages(&database, &all), texts, "the order of writing");
    let part = |start: &str, end: &str| {
        texts.iter().filter(|t| t.starts_with(start) && t.ends_with(end)).cloned().collect::<Vec<_>>()
    };
    let sorted = |mut list: Vec<String>| {
        list.sort();
        list
    };
    let same = |query: ReadQuery<'_>, expected: Vec<String>| {
        assert!(!expected.is_empty());
        assert_eq!(sorted(pages(&database, &query)), sorted(expected), "{query:?}");
    };
    let document = ReadQuery { object_type: Some("document"), ..all };
    let subject = |text| Some(SubjectRef::parse(text).unwrap());
    let users = SubjectRef::Object(ObjectRef { object_type: "user", id: "" });
    same(document, part("document:", ""));
    same(ReadQuery { object_id: Some("wide"), ..document }, part("document:wide#", ""));
    same(ReadQuery { object_id: Some("wide"), page_size: 1_000, subject: Some(users), ..document }, {
        part("document:wide#", "").into_iter().filter(|t| !t.ends_with(":*")).collect()
    });
    same(ReadQuery { subject: subject("user:all"), ..document }, part("document:", "@user:all"));
    same(ReadQuery { subject: subject("user:*"), ..document }, part("document:", "@user:*"));
    same(
        ReadQuery { object_id: Some("wide"), subject: subject("user:7"), ..document },
        part("document:wide#", "@user:7"),
    );
    // Few tuples keep the order of writing.
    let folder = ReadQuery { object_type: Some("folder"), object_id: Some("f"), page_size: 7, ..all };
    assert_eq!(pages(&database, &folder), part("folder:f", ""));
    let none = ReadQuery { relation: Some("viewer"), object_id: Some("none"), ..folder };
    assert!(pages(&database, &none).is_empty());
}

#[test]
fn a_lock_that_cannot_be_opened_is_not_another_process() {
    let directory = tempfile::tempdir().unwrap();
    drop(open(directory.path()));
    let lock = directory.path().join("LOCK");
    std::fs::remove_file(&lock).unwrap();
    std::fs::create_dir(&lock).unwrap();
    let refused = Bailiwick::open(directory.path()).err().unwrap().to_string();
    assert!(refused.contains("check the path, its permissions") && !refused.contains("another process"), "{refused}");
}

#[test]
fn a_revision_is_told_when_questions_can_see_it() {
    let directory = tempfile::tempdir().unwrap();
    let database = open(directory.path());
    let next = Revision(database.revision().0 + 1);
    let ahead = database.view(store(), None, Consistency::AtLeast(next)).err();
    assert!(matches!(ahead, Some(QuestionError::RevisionAhead { asked, .. }) if asked == next), "{ahead:?}");
    let (told, heard) = std::sync::mpsc::channel();
    database.on_publish(move |revision| {
        let _ = told.send(revision); // the test has ended
    });
    database.write(store(), None, write(&["user:a viewer document:1"]), NOW).unwrap();
    // It was told before the write was acknowledged.
    assert_eq!(heard.try_recv(), Ok(next));
    assert_eq!(database.view(store(), None, Consistency::AtLeast(next)).unwrap().revision(), next);
}

#[test]
fn a_full_dictionary_refuses_the_model_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let database = open(directory.path());
    let wide = |prefix: &str| {
        let mut model = Model::parse_dsl("model\n  schema 1.1\ntype user\n").unwrap();
        let plain = model.types[0].clone();
        model.types.extend((0..40_000).map(|n| {
            let mut ty = plain.clone();
            ty.name = format!("{prefix}{n}");
            ty
        }));
        model
    };
    let id = |n| ModelId(ulid::Ulid::from_parts(2, n));
    database.write_model(store(), id(1), wide("a")).unwrap();
    let refused = database.write_model(store(), id(2), wide("b"));
    assert!(matches!(refused, Err(WriteError::Full { .. })), "{refused:?}");
    let model = Some(ModelId(ulid::Ulid::from_parts(1, 2)));
    let mut long = tuple("user:a viewer document:1");
    long.object.id = "x".repeat(SUBJECT_BYTES_MAX + 1);
    let refused = database.write(store(), model, WriteQuery { writes: vec![long], ..WriteQuery::default() }, NOW);
    assert!(matches!(refused, Err(WriteError::Full { .. })), "{refused:?}");
    database.write(store(), model, write(&["user:a viewer document:1"]), NOW).unwrap();
    clean(&database);
}

#[test]
fn a_small_store_costs_little() {
    const STORES: u64 = 500;
    const STORE_BYTES_MAX: usize = 6_000;
    let directory = tempfile::tempdir().unwrap();
    let database = open(directory.path());
    for n in 0..STORES {
        let id = StoreId(ulid::Ulid::from_parts(9, u128::from(n)));
        database.create_store(id, "small", NOW).unwrap();
        model(&database, id);
        let writes = (0..10).map(|k| tuple(&format!("user:{k} viewer document:{n}"))).collect();
        database.write(id, None, WriteQuery { writes, ..WriteQuery::default() }, NOW).unwrap();
    }
    clean(&database);
    drop(database);
    let database = Bailiwick::open(directory.path()).unwrap();
    let stats = database.stats();
    let small: Vec<_> = stats.stores.iter().filter(|s| s.name == "small").collect();
    assert_eq!((small.len() as u64, small.iter().map(|s| s.tuples).sum::<u64>()), (STORES, STORES * 10));
    let largest = small.iter().map(|s| s.column_bytes + s.name_bytes).max().unwrap();
    assert!(largest < STORE_BYTES_MAX, "{largest} bytes for a store of ten tuples");
    clean(&database);
}

#[test]
fn old_versions_are_read() {
    let data = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/v1");
    let directory = copy(&data);
    let database = Bailiwick::open(directory.path()).unwrap();
    let view = database.view(store(), None, Consistency::Latest).unwrap();
    let allowed = |text: &str| {
        let tuple = tuple(text);
        view.check(&CheckQuery { key: tuple.key(), given: Given::default() }, &Limits::default()).unwrap()
    };
    assert_eq!(allowed("user:7 viewer document:0"), Decision::Allow);
    assert_eq!(allowed("user:8 viewer document:0"), Decision::Deny);
    assert_eq!(database.records(IMPORT).get(b"progress").unwrap(), Some(b"200".to_vec()));
    let all = ReadChangesQuery { page_size: 1_000, ..ReadChangesQuery::default() };
    assert_eq!(changes(&database, &all).unwrap().len(), 201);
    clean(&database);
    drop(database);
    // An older program would misread what this one may write from now on.
    let marker = std::fs::read_to_string(directory.path().join("BAILIWICK")).unwrap();
    assert_eq!(marker, format!("bailiwick database, format {}\n", bailiwick::storage::FORMAT_VERSION));
    clean(&open(directory.path()));
}

/// Not a test of its own: makes `tests/data/v1` when told where, once for each version.
#[test]
fn make_data() {
    let Some(path) = std::env::var_os("BAILIWICK_MAKE_DATA") else { return };
    let database = open(std::path::Path::new(&path));
    let progress = database.records(IMPORT).put("progress", "200");
    database.write(store(), None, numbered(200).with_record(progress), NOW).unwrap();
    let deletes = vec![tuple("user:8 viewer document:0")];
    database.write(store(), None, WriteQuery { deletes, ..WriteQuery::default() }, NOW).unwrap();
    clean(&database);
}
