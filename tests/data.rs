//! Real worlds with known answers: every check, list and list-users case of `data/k8s-org` and `data/k8s-docs`, and the
//! given questions of `data/scale` at 1e5 tuples.

use crate::conformance::shared;
use bailiwick::Bailiwick;
use bailiwick::engine::*;
use bailiwick::model::Model;
use bailiwick::tuple::*;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

/// The JSON values of a compressed file, one a line.
pub(crate) fn lines(path: &Path) -> Vec<Value> {
    let reader: Box<dyn Read> = Box::new(zstd::Decoder::new(std::fs::File::open(path).unwrap()).unwrap());
    BufReader::new(reader).lines().map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect()
}

pub(crate) fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap()
}

pub(crate) fn import(database: &Bailiwick, store: StoreId, tuples: &[Value]) {
    for chunk in tuples.chunks(10_000) {
        let parse =
            |t: &Value| TupleKeyRef::parse(text(t, "object"), text(t, "relation"), text(t, "user")).unwrap().to_tuple();
        database.import_chunk(store, None, chunk.iter().map(parse).collect(), Timestamp(1)).unwrap();
    }
}

/// Asks every case in a folder; `prefix` is what its files begin with.
fn ask_all(folder: &Path, prefix: &str, view: &View) -> usize {
    let (limits, given) = (Limits::default(), Given::default());
    let mut asked = 0;
    for case in lines(&folder.join(format!("{prefix}checks.jsonl.zst"))) {
        let key = TupleKeyRef::parse(text(&case, "object"), text(&case, "relation"), text(&case, "user")).unwrap();
        let allowed = view.check(&CheckQuery { key, given }, &limits).unwrap() == Decision::Allow;
        assert_eq!(allowed, case["allowed"].as_bool().unwrap(), "{case}");
        asked += 1;
    }
    for case in lines(&folder.join(format!("{prefix}list_objects.jsonl.zst"))) {
        let subject = SubjectRef::parse(text(&case, "user")).unwrap();
        let object_type = text(&case, "type");
        let query = ListObjectsQuery { object_type, relation: text(&case, "relation"), subject, given };
        let listed = view.list_objects(&query, &limits).unwrap();
        assert_eq!(listed.len() as u64, case["count"].as_u64().unwrap(), "{} {}", case["user"], case["relation"]);
        if let Some(objects) = case["objects"].as_array() {
            let mut found: Vec<String> = listed.iter().map(|id| format!("{object_type}:{id}")).collect();
            found.sort_unstable();
            let mut expected: Vec<&str> = objects.iter().map(|o| o.as_str().unwrap()).collect();
            expected.sort_unstable();
            assert_eq!(found, expected, "{} {}", case["user"], case["relation"]);
        }
        asked += 1;
    }
    let users = folder.join(format!("{prefix}list_users.jsonl.zst"));
    for case in if users.exists() { lines(&users) } else { Vec::new() } {
        let query = ListUsersQuery {
            object: ObjectRef::parse(text(&case, "object")).unwrap(),
            relation: text(&case, "relation"),
            subject_type: "user",
            subject_relation: None,
            given,
        };
        let mut found: Vec<String> =
            view.list_users(&query, &limits).unwrap().iter().map(ToString::to_string).collect();
        found.sort_unstable();
        assert_eq!(found.contains(&"user:*".to_owned()), case["wildcard"].as_bool().unwrap(), "{case}");
        if !case["wildcard"].as_bool().unwrap() {
            let mut expected: Vec<&str> =
                case["users"].as_array().unwrap().iter().map(|u| u.as_str().unwrap()).collect();
            expected.sort_unstable();
            assert_eq!(found, expected, "{} {}", case["object"], case["relation"]);
        }
        asked += 1;
    }
    asked
}

fn world(folder: &Path, model: &Path, tuples: &[Value], prefix: &str) -> usize {
    let directory = tempfile::tempdir().unwrap();
    let database = Bailiwick::open(directory.path()).unwrap();
    let store = StoreId(ulid::Ulid::from_parts(1, 1));
    database.create_store(store, "data", Timestamp(1)).unwrap();
    let text = std::fs::read_to_string(model).unwrap();
    let model = if model.extension().unwrap() == "json" {
        Model::from_json(&serde_json::from_str(&text).unwrap()).unwrap()
    } else {
        Model::parse_dsl(&text).unwrap()
    };
    database.write_model(store, ModelId(ulid::Ulid::from_parts(1, 2)), model).unwrap();
    import(&database, store, tuples);
    let asked = ask_all(folder, prefix, &database.view(store, None, Consistency::Latest).unwrap());
    let report = database.verify().unwrap();
    assert!(report.differences.is_empty(), "{report:?}");
    assert_eq!(report.tuples, tuples.len() as u64);
    drop(database);
    let again = Bailiwick::open(directory.path()).unwrap();
    assert_eq!(
        asked,
        ask_all(folder, prefix, &again.view(store, None, Consistency::Latest).unwrap()),
        "after a restart"
    );
    asked
}

#[test]
fn kubernetes_organization() {
    let Some(folder) = shared("data/k8s-org") else { return };
    let tuples = lines(&folder.join("tuples.jsonl.zst"));
    assert!(world(&folder, &folder.join("model.fga"), &tuples, "") > 500);
    assert!(world(&folder, &folder.join("model.json"), &tuples, "") > 500);
}

#[test]
fn kubernetes_documents() {
    let Some(folder) = shared("data/k8s-docs") else { return };
    let tuples = lines(&folder.join("tuples.jsonl.zst"));
    assert!(world(&folder, &folder.join("model.fga"), &tuples, "") > 1_500);
}

/// The tuples come from the generator; the answers are known.
#[test]
fn scale_of_a_hundred_thousand() {
    let Some(folder) = shared("data/scale") else { return };
    let out = ["--tuples", "1e5", "--seed", "1", "--out", "-"];
    let made = std::process::Command::new("python3").arg(folder.join("generate.py")).args(out).output();
    let Ok(made) = made else {
        eprintln!("SKIPPED: there is no python3 to make the tuples");
        return;
    };
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let text = String::from_utf8(made.stdout).unwrap();
    let tuples: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(tuples.len() > 99_000, "{} tuples", tuples.len());
    assert!(world(&folder, &folder.join("../k8s-docs/model.fga"), &tuples, "n1e5_seed1.") > 1_000);
}
