//! Search over real worlds with known answers: `rag_top10` of `data/k8s-docs`, exact and by graph; and nothing forbidden.

use crate::conformance::shared;
use crate::data::{import, lines, text};
use bailiwick::Bailiwick;
use bailiwick::engine::*;
use bailiwick::model::Model;
use bailiwick::tuple::*;
use bailiwick::vector::{Effort, Element, Metric, PlanKind, Space};
use serde_json::Value;
use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

/// Two answers may change places when their scores differ by less: the data was scored in another order of additions.
const MARGIN: f64 = 1e-5;

/// How long rows may take to be laid out and graphs to be built, on a machine that does much else.
pub(crate) const SETTLED: Duration = Duration::from_secs(900);

pub(crate) const COLLECTION: &str = "chunks";

pub(crate) fn store() -> StoreId {
    StoreId(ulid::Ulid::from_parts(1, 1))
}

/// The rows of a two-dimensional array of half-precision numbers.
pub(crate) fn halves(path: &Path) -> Vec<Vec<f32>> {
    let bytes = std::fs::read(path).unwrap();
    let header = usize::from(u16::from(bytes[8]) | u16::from(bytes[9]) << 8);
    let text = std::str::from_utf8(&bytes[10..10 + header]).unwrap();
    assert!(text.contains("'<f2'"), "{text}");
    let shape = text.split_once("'shape': (").unwrap().1.split_once(')').unwrap().0;
    let width: usize = shape.split(',').nth(1).unwrap().trim().parse().unwrap();
    let half = |pair: &[u8]| bailiwick::vector::half_to_f32(u16::from(pair[0]) | u16::from(pair[1]) << 8);
    bytes[10 + header..].chunks(width * 2).map(|row| row.chunks(2).map(half).collect()).collect()
}

/// A database with the tuples of a folder and its chunks in a collection.
pub(crate) fn k8s_docs(database: &Bailiwick, folder: &Path) -> usize {
    let model = Model::parse_dsl(&std::fs::read_to_string(folder.join("model.fga")).unwrap()).unwrap();
    database.create_store(store(), "k8s-docs", Timestamp(1)).unwrap();
    database.write_model(store(), ModelId(store().0), model).unwrap();
    import(database, store(), &lines(&folder.join("tuples.jsonl.zst")));
    let vectors = halves(&folder.join("chunks.f16.npy"));
    let space = Space::new(vectors[0].len(), Metric::Cosine, Element::F16).unwrap();
    let guard = Guard { object_type: "document".into(), relation: "can_view".into() };
    let spec = CollectionSpec { name: COLLECTION.into(), space, guard };
    database.create_collection(store(), spec, Timestamp(1)).unwrap();
    let chunks = lines(&folder.join("chunks.jsonl.zst"));
    assert_eq!(chunks.len(), vectors.len());
    let all: Vec<(&Value, &Vec<f32>)> = chunks.iter().zip(&vectors).collect();
    for part in all.chunks(5_000) {
        let chunk = |(line, vector): &(&Value, &Vec<f32>)| NewChunk {
            id: text(line, "id").into(),
            object: ObjectRef::parse(text(line, "document")).unwrap().to_owned(),
            vector: (*vector).clone(),
            text: Some(text(line, "text").into()),
            payload: None,
        };
        let query = ChunksQuery { upserts: part.iter().map(chunk).collect(), ..ChunksQuery::default() };
        database.write_chunks(store(), COLLECTION, query, Timestamp(1)).unwrap();
    }
    chunks.len()
}

/// Whether the answer is the expected one, where equal scores (within the margin) may stand in any order.
fn same(found: &[SearchHit], expected: &[Value], margin: f64) -> bool {
    let scores: HashMap<&str, f64> =
        expected.iter().map(|e| (e[0].as_str().unwrap(), e[1].as_f64().unwrap())).collect();
    found.len() == expected.len()
        && found.iter().zip(expected).all(|(hit, expected)| {
            let (id, score) = (expected[0].as_str().unwrap(), expected[1].as_f64().unwrap());
            // Beyond the tenth stands one with about its score.
            let own = scores.get(hit.chunk.id.as_str()).copied();
            let near = own.map_or(margin < MARGIN, |own| (own - score).abs() < MARGIN);
            (hit.chunk.id == id || near) && (f64::from(hit.score) - score).abs() < MARGIN
        })
}

fn ask_all(database: &Bailiwick, folder: &Path, effort: Effort) -> (usize, f64, usize) {
    let queries = halves(&folder.join("queries.f16.npy"));
    let names = lines(&folder.join("queries.jsonl.zst"));
    let rows: HashMap<&str, usize> = names.iter().enumerate().map(|(row, q)| (text(q, "id"), row)).collect();
    let view = database.view(store(), None, Consistency::Latest).unwrap();
    let (mut cases, mut found_of_expected, mut expected_all, mut walked) = (0, 0, 0, 0);
    for case in lines(&folder.join("rag_top10.jsonl.zst")) {
        let subject = SubjectRef::parse(text(&case, "user")).unwrap();
        let relation = text(&case, "relation");
        let vectors = [queries[rows[text(&case, "query")]].clone()];
        let query = SearchQuery {
            collection: COLLECTION,
            subject,
            agent: None,
            vectors: &vectors,
            k: 10,
            relation: Some(relation),
            filter: None,
            effort,
            given: Given::default(),
            with: With::default(),
        };
        let answer = view.search(&query, &Limits::default()).unwrap().remove(0);
        assert_eq!(answer.visible as u64, case["visible_chunks"].as_u64().unwrap(), "{case}");
        let expected = case["top"].as_array().unwrap();
        if effort == Effort::Exact {
            let margin = case["margin"].as_f64().unwrap_or(1.0);
            assert!(same(&answer.hits, expected, margin), "{case}\n{:?}", answer.hits);
        }
        for hit in &answer.hits {
            let key = TupleKeyRef { object: hit.chunk.object.as_ref(), relation, subject };
            let decision = view.check(&CheckQuery { key, given: Given::default() }, &Limits::default()).unwrap();
            assert_eq!(decision, Decision::Allow, "{case}: a forbidden chunk: {hit:?}");
        }
        walked += usize::from(answer.plan == PlanKind::Graph);
        let ids: Vec<&str> = expected.iter().map(|e| e[0].as_str().unwrap()).collect();
        found_of_expected += answer.hits.iter().filter(|hit| ids.contains(&hit.chunk.id.as_str())).count();
        expected_all += ids.len();
        cases += 1;
    }
    (
        cases,
        f64::from(u32::try_from(found_of_expected).unwrap()) / f64::from(u32::try_from(expected_all).unwrap()),
        walked,
    )
}

#[test]
fn the_nearest_of_what_people_may_see_in_real_documents() {
    let Some(data) = shared("data") else { return };
    let folder = data.join("k8s-docs");
    let directory = tempfile::tempdir().unwrap();
    let settings = || Settings { sync: false, ..Settings::default() };
    let database = Bailiwick::open_with(directory.path(), settings()).unwrap();
    let chunks = k8s_docs(&database, &folder);
    let exact = ask_all(&database, &folder, Effort::Exact);
    assert_eq!((exact.0, exact.1), (225, 1.0));
    assert!(database.settle(SETTLED), "the graph is not built");
    let info = database.collection(store(), COLLECTION).unwrap().value;
    assert_eq!((info.chunks, info.graph_rows), (chunks as u64, chunks));
    let again = ask_all(&database, &folder, Effort::Exact);
    assert_eq!(again.1, 1.0, "rows that were laid out anew");
    let (_, recall, walked) = ask_all(&database, &folder, Effort::Balanced);
    eprintln!("k8s-docs: recall {recall:.4} of 225 cases, {walked} by graph");
    assert!(recall >= 0.99, "recall {recall}");
    drop(database);
    // What is read back is the same, its graph included.
    let database = Bailiwick::open_with(directory.path(), settings()).unwrap();
    assert_eq!(ask_all(&database, &folder, Effort::Exact).1, 1.0);
    assert!(database.settle(SETTLED), "the graph is not read");
    assert_eq!(database.collection(store(), COLLECTION).unwrap().value.graph_rows, chunks);
    assert_eq!(database.verify().unwrap().differences, Vec::<String>::new());
}

/// The nearest of what two people may see to eight vectors that are none of the collection's, exactly.
fn nearest_of_two(database: &Bailiwick, vectors: &[Vec<f32>]) -> [Vec<Vec<SearchHit>>; 2] {
    assert!(database.settle(SETTLED));
    let queries: Vec<Vec<f32>> = (0..8).map(|n| vectors[n * 1_000].iter().rev().copied().collect()).collect();
    ["user:anne", "user:bob"].map(|subject| {
        let query = SearchQuery {
            collection: "c",
            subject: SubjectRef::parse(subject).unwrap(),
            agent: None,
            vectors: &queries,
            k: 20,
            relation: None,
            filter: None,
            effort: Effort::Exact,
            given: Given::default(),
            with: With { vector: true, ..With::default() },
        };
        let found = database.search(store(), None, Consistency::Latest, &query, &Limits::default()).unwrap().value;
        found.into_iter().map(|answer| answer.hits).collect()
    })
}

/// A database whose memory has no room for vectors answers as one that has: from disk, also after a start.
#[test]
fn vectors_on_disk_answer_as_those_in_memory() {
    const DIMENSION: usize = 1_024;
    const CHUNKS: u32 = 9_000; // two full blocks of 4,096 rows, and a rest
    let space = Space::new(DIMENSION, Metric::Cosine, Element::F32).unwrap();
    let guard = Guard { object_type: "document".into(), relation: "viewer".into() };
    let mut state = 11_u64;
    let mut element = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        f32::from(u16::try_from(state >> 48).unwrap()) - 32_768.5
    };
    let vectors: Vec<Vec<f32>> = (0..CHUNKS).map(|_| (0..DIMENSION).map(|_| element()).collect()).collect();
    let fill = |database: &Bailiwick| {
        database.create_store(store(), "disk", Timestamp(1)).unwrap();
        let text = "model\n  schema 1.1\ntype user\ntype document\n  relations\n    define viewer: [user]\n";
        database.write_model(store(), ModelId(ulid::Ulid::from_parts(1, 2)), Model::parse_dsl(text).unwrap()).unwrap();
        let spec = CollectionSpec { name: "c".into(), space, guard: guard.clone() };
        database.create_collection(store(), spec, Timestamp(1)).unwrap();
        let granted = (0..90).map(|n| {
            let object = format!("document:{n}");
            TupleKeyRef::parse(&object, "viewer", if n % 3 == 0 { "user:anne" } else { "user:bob" }).unwrap().to_tuple()
        });
        let query = WriteQuery { writes: granted.collect(), ..WriteQuery::default() };
        database.write(store(), None, query, Timestamp(1)).unwrap();
        for (part, vectors) in vectors.chunks(500).enumerate() {
            let chunk = |(at, vector): (usize, &Vec<f32>)| {
                let n = part * 500 + at;
                let object = Object { object_type: "document".into(), id: (n % 90).to_string() };
                NewChunk { id: n.to_string(), object, vector: vector.clone(), text: None, payload: None }
            };
            let upserts = vectors.iter().enumerate().map(chunk).collect();
            database
                .write_chunks(store(), "c", ChunksQuery { upserts, ..ChunksQuery::default() }, Timestamp(1))
                .unwrap();
        }
    };
    let settings = |vectors_memory_bytes_max| Settings { sync: false, vectors_memory_bytes_max, ..Settings::default() };
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let memory = Bailiwick::open_with(one.path(), settings(usize::MAX)).unwrap();
    let disk = Bailiwick::open_with(two.path(), settings(0)).unwrap();
    fill(&memory);
    fill(&disk);
    let due = nearest_of_two(&memory, &vectors);
    assert_eq!(due[0][0].len(), 20);
    let on_disk = |database: &Bailiwick| database.collection(store(), "c").unwrap().value.memory.disk;
    assert_eq!(on_disk(&memory), 0);
    assert_eq!(nearest_of_two(&disk, &vectors), due);
    assert_eq!(on_disk(&disk), 2 * 4_096 * DIMENSION * 4, "all full blocks");
    assert!(disk.verify().unwrap().differences.is_empty());
    drop(disk);
    let disk = Bailiwick::open_with(two.path(), settings(0)).unwrap();
    assert_eq!(nearest_of_two(&disk, &vectors), due, "after a start");
    assert_eq!(on_disk(&disk), 2 * 4_096 * DIMENSION * 4);
    // Room for one of the two blocks.
    drop(disk);
    let disk = Bailiwick::open_with(two.path(), settings(20 << 20)).unwrap();
    assert_eq!(nearest_of_two(&disk, &vectors), due);
    assert_eq!(on_disk(&disk), 4_096 * DIMENSION * 4);
}
