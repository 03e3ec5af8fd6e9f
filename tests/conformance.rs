//! OpenFGA's own consolidated suite: every stage, stored and contextual, all three questions, in process.

use bailiwick::Bailiwick;
use bailiwick::engine::*;
use bailiwick::model::Model;
use bailiwick::tuple::*;
use saphyr::{LoadableYamlNode, Yaml};
use serde_json::{Value, json};
use std::path::PathBuf;

/// A directory of shared test data; `None`, with a word on standard error, when it is not there.
pub(crate) fn shared(path: &str) -> Option<PathBuf> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared").join(path);
    if path.exists() {
        return Some(path);
    }
    eprintln!("SKIPPED: {} is not there", path.display());
    None
}

pub(crate) fn json_of(yaml: &Yaml<'_>) -> Value {
    if let Some(map) = yaml.as_mapping() {
        return map.iter().map(|(k, v)| (k.as_str().unwrap().to_owned(), json_of(v))).collect();
    }
    if let Some(list) = yaml.as_sequence() {
        return list.iter().map(json_of).collect();
    }
    if let Some(text) = yaml.as_str() {
        return json!(text);
    }
    if let Some(b) = yaml.as_bool() {
        return json!(b);
    }
    if let Some(n) = yaml.as_integer() {
        return json!(n);
    }
    yaml.as_floating_point().map_or(Value::Null, |f| json!(f))
}

fn tuple(value: &Value) -> Tuple {
    let text = |key: &str| value[key].as_str().unwrap();
    let mut tuple = TupleKeyRef::parse(text("object"), text("relation"), text("user")).unwrap().to_tuple();
    if let Some(condition) = value.get("condition").filter(|c| !c.is_null()) {
        let context = condition.get("context").and_then(Value::as_object).cloned().unwrap_or_default();
        tuple.condition = Some(TupleCondition { name: condition["name"].as_str().unwrap().into(), context });
    }
    tuple
}

fn tuples(value: &Value) -> Vec<Tuple> {
    value.as_array().map(|list| list.iter().map(tuple).collect()).unwrap_or_default()
}

/// The gRPC status number that OpenFGA gives for an error; `check` differs from the lists in one case.
fn code(error: &QuestionError, check: bool) -> u64 {
    match error {
        QuestionError::ContextualTuple { .. } => 2027,
        QuestionError::DepthExceeded { .. } => 2002,
        QuestionError::TypeNotFound { .. } if !check => 2021,
        QuestionError::RelationNotFound { .. } if !check => 2022,
        _ => 2000,
    }
}

struct Run {
    name: String,
    view: View,
    contextual: Vec<Tuple>,
    failures: Vec<String>,
    asked: usize,
}

impl Run {
    fn given<'a>(&self, assertion: &'a Value, all: &'a mut Vec<Tuple>) -> Given<'a> {
        *all = self.contextual.iter().cloned().chain(tuples(&assertion["contextualTuples"])).collect();
        Given { contextual_tuples: all, context: assertion["context"].as_object() }
    }

    fn expect(&mut self, question: &Value, expected: String, found: String) {
        self.asked += 1;
        if expected != found {
            self.failures.push(format!("{}: {question}\n    expected {expected}\n    found    {found}", self.name));
        }
    }

    fn check(&mut self, assertion: &Value) {
        let mut all = Vec::new();
        let t = &assertion["tuple"];
        let text = |key: &str| t[key].as_str().unwrap();
        let found =
            TupleKeyRef::parse(text("object"), text("relation"), text("user")).map_err(|_| 2000_u64).and_then(|key| {
                let query = CheckQuery { key, given: self.given(assertion, &mut all) };
                self.view.check(&query, &Limits::default()).map_err(|e| code(&e, true))
            });
        let found = match found {
            Ok(decision) => (decision == Decision::Allow).to_string(),
            Err(code) => format!("error {code}"),
        };
        let expected = match assertion["errorCode"].as_u64() {
            Some(code) => format!("error {code}"),
            None => assertion["expectation"].as_bool().unwrap_or(false).to_string(),
        };
        self.expect(assertion, expected, found);
    }

    fn expected_list(assertion: &Value) -> String {
        if let Some(code) = assertion["errorCode"].as_u64() {
            return format!("error {code}");
        }
        let list =
            assertion.get("expectation").filter(|e| !e.is_null()).unwrap_or(&assertion["request"]["expectation"]);
        let mut list: Vec<&str> = list.as_array().into_iter().flatten().map(|v| v.as_str().unwrap()).collect();
        list.sort_unstable();
        format!("{list:?}")
    }

    fn list_objects(&mut self, assertion: &Value) {
        let mut all = Vec::new();
        let request = &assertion["request"];
        let text = |key: &str| request[key].as_str().unwrap();
        let found = SubjectRef::parse(text("user")).map_err(|_| 2000_u64).and_then(|subject| {
            let given = self.given(assertion, &mut all);
            let query = ListObjectsQuery { object_type: text("type"), relation: text("relation"), subject, given };
            let listed = self.view.list_objects(&query, &Limits::default()).map_err(|e| code(&e, false))?;
            for id in listed.iter() {
                let object = ObjectRef { object_type: text("type"), id };
                let key = TupleKeyRef { object, relation: text("relation"), subject };
                let again = self.view.check(&CheckQuery { key, given }, &Limits::default());
                assert!(
                    matches!(again, Ok(Decision::Allow) | Err(QuestionError::DepthExceeded { .. })),
                    "{}: {key} is listed, but {again:?}",
                    self.name
                );
            }
            let mut list: Vec<String> = listed.iter().map(|id| format!("{}:{id}", text("type"))).collect();
            list.sort_unstable();
            Ok(list)
        });
        let found = found.map_or_else(|code| format!("error {code}"), |list| format!("{list:?}"));
        self.expect(assertion, Self::expected_list(assertion), found);
    }

    fn list_users(&mut self, assertion: &Value) {
        let mut all = Vec::new();
        let request = &assertion["request"];
        let filter = request["filters"][0].as_str().unwrap();
        let (subject_type, subject_relation) = match filter.split_once('#') {
            Some((t, r)) => (t, Some(r)),
            None => (filter, None),
        };
        let text = |key: &str| request[key].as_str().unwrap();
        let found = ObjectRef::parse(text("object")).map_err(|_| 2000_u64).and_then(|object| {
            let relation = text("relation");
            let given = self.given(assertion, &mut all);
            let query = ListUsersQuery { object, relation, subject_type, subject_relation, given };
            let users = self.view.list_users(&query, &Limits::default()).map_err(|e| code(&e, false))?;
            let mut users: Vec<String> = users.iter().map(ToString::to_string).collect();
            users.sort_unstable();
            Ok(users)
        });
        let found = found.map_or_else(|code| format!("error {code}"), |list| format!("{list:?}"));
        self.expect(assertion, Self::expected_list(assertion), found);
    }
}

#[test]
fn consolidated_suite() {
    let Some(path) = shared("conformance/openfga/consolidated_1_1_tests.yaml") else { return };
    let suite = json_of(&Yaml::load_from_str(&std::fs::read_to_string(path).unwrap()).unwrap()[0]);
    let directory = tempfile::tempdir().unwrap();
    let database = Bailiwick::open_with(directory.path(), Settings { sync: false, ..Settings::default() }).unwrap();
    let (mut failures, mut asked, mut next) = (Vec::new(), 0, 1_u64);
    for test in suite["tests"].as_array().unwrap() {
        let stages = test["stages"].as_array().unwrap();
        for contextual in [false, true] {
            if contextual && (stages.len() > 1 || tuples(&stages[0]["tuples"]).len() > 100) {
                continue;
            }
            next += 1;
            let store = StoreId(ulid::Ulid::from_parts(next, 1));
            database.create_store(store, "suite", Timestamp(1)).unwrap();
            for stage in stages {
                next += 1;
                let model = Model::parse_dsl(stage["model"].as_str().unwrap())
                    .unwrap_or_else(|e| panic!("{}: {e:?}", test["name"]));
                let printed = Model::parse_dsl(&model.to_dsl()).unwrap();
                assert_eq!(printed, model, "printed and read again");
                assert_eq!(Model::from_json(&model.to_json()).unwrap(), model, "through JSON");
                let id = ModelId(ulid::Ulid::from_parts(next, 2));
                database.write_model(store, id, model).unwrap_or_else(|e| panic!("{}: {e}", test["name"]));
                let stored = tuples(&stage["tuples"]);
                let mut given = Vec::new();
                if contextual {
                    given = stored;
                } else if !stored.is_empty() {
                    let query = WriteQuery { writes: stored, ..WriteQuery::default() };
                    database
                        .write(store, None, query, Timestamp(1))
                        .unwrap_or_else(|e| panic!("{}: {e}", test["name"]));
                }
                let view = database.view(store, None, Consistency::Latest).unwrap();
                let name = format!("{}{}", test["name"], if contextual { " (contextual)" } else { "" });
                let mut run = Run { name, view, contextual: given, failures: Vec::new(), asked: 0 };
                for a in stage["checkAssertions"].as_array().into_iter().flatten() {
                    run.check(a);
                }
                for a in stage["listObjectsAssertions"].as_array().into_iter().flatten() {
                    run.list_objects(a);
                }
                for a in stage["listUsersAssertions"].as_array().into_iter().flatten() {
                    run.list_users(a);
                }
                failures.append(&mut run.failures);
                asked += run.asked;
            }
        }
    }
    let report = database.verify().unwrap();
    assert!(report.differences.is_empty(), "{report:?}");
    assert!(asked > 1_500, "only {asked} questions were asked");
    assert!(failures.is_empty(), "{} of {asked} wrong:\n{}", failures.len(), failures.join("\n"));
}
