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
