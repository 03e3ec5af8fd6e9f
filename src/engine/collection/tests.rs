//! What is hard to meet from outside: a group of writes that drops what it wrote, and sets kept across a collection's end.

use super::{ChunksQuery, CollectionSpec, Guard, NewChunk, SearchQuery, With};
use crate::engine::state::Sink;
use crate::engine::{Consistency, Engine, Given, Limits, QuestionError, Settings, WriteQuery};
use crate::model::Model;
use crate::tuple::{ModelId, Object, StoreId, SubjectRef, Timestamp, Tuple, TupleKeyRef};
use crate::vector::{Effort, Element, HITS_MAX, Metric, Space};

const NOW: Timestamp = Timestamp(1);
const STORE: StoreId = StoreId(ulid::Ulid::from_parts(1, 1));

fn fresh() -> (tempfile::TempDir, Engine) {
    let directory = tempfile::tempdir().unwrap();
    let engine = Engine::open_with(directory.path(), Settings { sync: false, ..Settings::default() }).unwrap();
    engine.create_store(STORE, "docs", NOW).unwrap();
    let text = "model\n  schema 1.1\ntype user\ntype document\n  relations\n    define viewer: [user]\n";
    engine.write_model(STORE, ModelId(ulid::Ulid::from_parts(1, 2)), Model::parse_dsl(text).unwrap()).unwrap();
    (directory, engine)
}

fn fill(engine: &Engine) {
    let guard = Guard { object_type: "document".into(), relation: "viewer".into() };
    let space = Space::new(2, Metric::Dot, Element::F32).unwrap();
    engine.create_collection(STORE, CollectionSpec { name: "c".into(), space, guard }, NOW).unwrap();
    let object = Object { object_type: "document".into(), id: "1".into() };
    let chunk = NewChunk { id: "x".into(), object, vector: vec![1.0, 0.0], text: None, payload: None };
    let query = ChunksQuery { upserts: vec![chunk], ..ChunksQuery::default() };
    engine.write_chunks(STORE, "c", query, NOW).unwrap();
}

fn granted() -> Tuple {
    TupleKeyRef::parse("document:1", "viewer", "user:anne").unwrap().to_tuple()
}

fn search(engine: &Engine, vectors: &[Vec<f32>], k: usize) -> Result<usize, QuestionError> {
    let query = SearchQuery {
        collection: "c",
        subject: SubjectRef::parse("user:anne").unwrap(),
        agent: None,
        vectors,
        k,
        relation: None,
        filter: None,
        effort: Effort::Balanced,
        given: Given::default(),
        with: With::default(),
    };
    let answers = engine.search(STORE, None, Consistency::Latest, &query, &Limits::default())?;
    Ok(answers.value.first().map_or(0, |answer| answer.visible))
}

#[test]
fn a_set_does_not_outlive_the_collection_that_it_was_kept_for() {
    let (_directory, engine) = fresh();
    let one = [vec![1.0, 0.0]];
    fill(&engine);
    engine.write(STORE, None, WriteQuery { writes: vec![granted()], ..WriteQuery::default() }, NOW).unwrap();
    assert_eq!(search(&engine, &one, 1), Ok(1));
    engine.delete_collection(STORE, "c").unwrap();
    engine.write(STORE, None, WriteQuery { deletes: vec![granted()], ..WriteQuery::default() }, NOW).unwrap();
    fill(&engine);
    assert_eq!(search(&engine, &one, 1), Ok(0), "revoked while there was no collection");
    engine.delete_collection(STORE, "c").unwrap();
    engine.write(STORE, None, WriteQuery { writes: vec![granted()], ..WriteQuery::default() }, NOW).unwrap();
    fill(&engine);
    assert_eq!(search(&engine, &one, 1), Ok(1), "granted while there was no collection");
}

#[test]
fn a_collection_is_written_and_dropped_in_one_group() {
    let mut sink = Sink::default();
    sink.touch_chunks(STORE, 0, 3);
    sink.touch_chunks(STORE, 0, u64::MAX);
    // And as it comes: many threads, so that groups hold both.
    let (_directory, engine) = fresh();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let engine = &engine;
            scope.spawn(move || {
                for n in 0..50 {
                    let object = Object { object_type: "document".into(), id: "1".into() };
                    let id = format!("{thread}.{n}");
                    let chunk = NewChunk { id, object, vector: vec![1.0, 0.0], text: None, payload: None };
                    let query = ChunksQuery { upserts: vec![chunk], ..ChunksQuery::default() };
                    let _ = engine.write_chunks(STORE, "c", query, NOW);
                    if n % 5 == thread {
                        let _ = engine.delete_collection(STORE, "c");
                    }
                    let guard = Guard { object_type: "document".into(), relation: "viewer".into() };
                    let space = Space::new(2, Metric::Dot, Element::F32).unwrap();
                    let _ = engine.create_collection(STORE, CollectionSpec { name: "c".into(), space, guard }, NOW);
                }
            });
        }
    });
    engine.write(STORE, None, WriteQuery { writes: vec![granted()], ..WriteQuery::default() }, NOW).unwrap();
    assert_eq!(engine.verify().unwrap().differences, Vec::<String>::new());
}

#[test]
fn many_vectors_with_many_hits_are_refused() {
    let (_directory, engine) = fresh();
    fill(&engine);
    let many = vec![vec![1.0, 0.0]; 11];
    assert!(matches!(search(&engine, &many, HITS_MAX), Err(QuestionError::Count { .. })));
    assert_eq!(search(&engine, &many[..10], HITS_MAX), Ok(0));
}
