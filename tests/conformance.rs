//! OpenFGA's own consolidated suite: every stage, stored and contextual, all questions. Who answers is a [`Surface`]: here
//! the engine in process, in `surface.rs` the server.

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
        // `true:` is a boolean to YAML, also as a key.
        let key = |k: &Yaml<'_>| k.as_bool().map_or_else(|| k.as_str().unwrap().to_owned(), |b| b.to_string());
        return map.iter().map(|(k, v)| (key(k), json_of(v))).collect();
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

pub(crate) fn tuple(value: &Value) -> Tuple {
    let text = |key: &str| value[key].as_str().unwrap();
    let mut tuple = TupleKeyRef::parse(text("object"), text("relation"), text("user")).unwrap().to_tuple();
    if let Some(condition) = value.get("condition").filter(|c| !c.is_null()) {
        let context = condition.get("context").and_then(Value::as_object).cloned().unwrap_or_default();
        tuple.condition = Some(TupleCondition { name: condition["name"].as_str().unwrap().into(), context });
    }
    tuple
}

pub(crate) fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// What the suite asks, and of whom. Tuples and questions are as the suite (and the HTTP surface) writes them.
pub(crate) trait Surface {
    /// Makes a fresh store, which all that follows is about.
    fn store(&mut self);
    /// Writes a model, which from then on answers.
    fn model(&mut self, model: Model);
    /// Writes tuples.
    fn write(&mut self, tuples: &[Value]);
    /// Answers a check; an error is its gRPC status number.
    fn check(&mut self, key: &Value, given: &Asked<'_>) -> Result<bool, u64>;
    /// Lists objects.
    fn list_objects(&mut self, request: &Value, given: &Asked<'_>) -> Result<Vec<String>, u64>;
    /// Lists objects as a stream.
    fn streamed(&mut self, request: &Value, given: &Asked<'_>) -> Result<Vec<String>, u64>;
    /// Lists users.
    fn list_users(&mut self, request: &Value, given: &Asked<'_>) -> Result<Vec<String>, u64>;
}

/// What a question adds to the stored state.
pub(crate) struct Asked<'a> {
    pub(crate) tuples: Vec<Value>,
    pub(crate) context: &'a Value,
}

fn expected(assertion: &Value) -> String {
    if let Some(code) = assertion["errorCode"].as_u64() {
        return format!("error {code}");
    }
    let wanted = assertion.get("expectation").filter(|e| !e.is_null());
    let wanted = wanted.unwrap_or(&assertion["request"]["expectation"]);
    let mut wanted: Vec<&str> = list(wanted).iter().map(|v| v.as_str().unwrap()).collect();
    wanted.sort_unstable();
    format!("{wanted:?}")
}

fn found(listed: Result<Vec<String>, u64>) -> String {
    match listed {
        Err(code) => format!("error {code}"),
        Ok(mut listed) => {
            listed.sort_unstable();
            format!("{listed:?}")
        }
    }
}

#[derive(Default)]
struct Tally {
    failures: Vec<String>,
    asked: usize,
}

impl Tally {
    fn expect(&mut self, name: &str, question: &Value, expected: &str, found: &str) {
        self.asked += 1;
        if expected != found {
            self.failures.push(format!("{name}: {question}\n    expected {expected}\n    found    {found}"));
        }
    }

    fn stage(&mut self, name: &str, stage: &Value, contextual: &[Value], surface: &mut dyn Surface) {
        let given =
            |assertion: &Value| contextual.iter().chain(list(&assertion["contextualTuples"])).cloned().collect();
        for a in list(&stage["checkAssertions"]) {
            let asked = Asked { tuples: given(a), context: &a["context"] };
            let answer = surface.check(&a["tuple"], &asked);
            let answer = answer.map_or_else(|code| format!("error {code}"), |allowed| allowed.to_string());
            let wanted = match a["errorCode"].as_u64() {
                Some(code) => format!("error {code}"),
                None => a["expectation"].as_bool().unwrap_or(false).to_string(),
            };
            self.expect(name, a, &wanted, &answer);
        }
        for a in list(&stage["listObjectsAssertions"]) {
            let asked = Asked { tuples: given(a), context: &a["context"] };
            self.expect(name, a, &expected(a), &found(surface.list_objects(&a["request"], &asked)));
            self.expect(name, a, &expected(a), &found(surface.streamed(&a["request"], &asked)));
        }
        for a in list(&stage["listUsersAssertions"]) {
            let asked = Asked { tuples: given(a), context: &a["context"] };
            self.expect(name, a, &expected(a), &found(surface.list_users(&a["request"], &asked)));
        }
    }
}

/// Asks the whole suite of a surface, and returns how many questions that were; all must be answered right.
pub(crate) fn run(surface: &mut dyn Surface) -> Option<usize> {
    let path = shared("conformance/openfga/consolidated_1_1_tests.yaml")?;
    let suite = json_of(&Yaml::load_from_str(&std::fs::read_to_string(path).unwrap()).unwrap()[0]);
    let mut tally = Tally::default();
    for test in list(&suite["tests"]) {
        let stages = list(&test["stages"]);
        for contextual in [false, true] {
            if contextual && (stages.len() > 1 || list(&stages[0]["tuples"]).len() > 100) {
                continue;
            }
            surface.store();
            let name = format!("{}{}", test["name"], if contextual { " (contextual)" } else { "" });
            for stage in stages {
                let model = Model::parse_dsl(stage["model"].as_str().unwrap());
                surface.model(model.unwrap_or_else(|e| panic!("{name}: {e:?}")));
                let tuples = list(&stage["tuples"]);
                if !contextual && !tuples.is_empty() {
                    surface.write(tuples);
                }
                tally.stage(&name, stage, if contextual { tuples } else { &[] }, surface);
            }
        }
    }
    let Tally { failures, asked } = tally;
    assert!(asked > 2_000, "only {asked} questions were asked");
    assert!(failures.is_empty(), "{} of {asked} wrong:\n{}", failures.len(), failures.join("\n"));
    Some(asked)
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

/// The engine in this process.
struct InProcess {
    database: Bailiwick,
    next: u64,
    store: StoreId,
}

impl InProcess {
    fn fresh(&mut self) -> ulid::Ulid {
        self.next += 1;
        ulid::Ulid::from_parts(self.next, 1)
    }

    fn view(&self) -> View {
        self.database.view(self.store, None, Consistency::Latest).unwrap()
    }
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap()
}

impl Surface for InProcess {
    fn store(&mut self) {
        self.store = StoreId(self.fresh());
        self.database.create_store(self.store, "suite", Timestamp(1)).unwrap();
    }

    fn model(&mut self, model: Model) {
        assert_eq!(Model::parse_dsl(&model.to_dsl()).unwrap(), model, "printed and read again");
        assert_eq!(Model::from_json(&model.to_json()).unwrap(), model, "through JSON");
        let id = ModelId(self.fresh());
        self.database.write_model(self.store, id, model).unwrap();
    }

    fn write(&mut self, tuples: &[Value]) {
        let query = WriteQuery { writes: tuples.iter().map(tuple).collect(), ..WriteQuery::default() };
        self.database.write(self.store, None, query, Timestamp(1)).unwrap();
    }

    fn check(&mut self, key: &Value, asked: &Asked<'_>) -> Result<bool, u64> {
        let key =
            TupleKeyRef::parse(text(key, "object"), text(key, "relation"), text(key, "user")).map_err(|_| 2000_u64)?;
        let tuples: Vec<Tuple> = asked.tuples.iter().map(tuple).collect();
        let given = Given { contextual_tuples: &tuples, context: asked.context.as_object() };
        let answer = self.view().check(&CheckQuery { key, given }, &Limits::default()).map_err(|e| code(&e, true))?;
        Ok(answer == Decision::Allow)
    }

    fn list_objects(&mut self, request: &Value, asked: &Asked<'_>) -> Result<Vec<String>, u64> {
        let subject = SubjectRef::parse(text(request, "user")).map_err(|_| 2000_u64)?;
        let tuples: Vec<Tuple> = asked.tuples.iter().map(tuple).collect();
        let given = Given { contextual_tuples: &tuples, context: asked.context.as_object() };
        let (object_type, relation) = (text(request, "type"), text(request, "relation"));
        let query = ListObjectsQuery { object_type, relation, subject, given };
        let view = self.view();
        let listed = view.list_objects(&query, &Limits::default()).map_err(|e| code(&e, false))?;
        for id in listed.iter() {
            let key = TupleKeyRef { object: ObjectRef { object_type, id }, relation, subject };
            let again = view.check(&CheckQuery { key, given }, &Limits::default());
            let fine = matches!(again, Ok(Decision::Allow) | Err(QuestionError::DepthExceeded { .. }));
            assert!(fine, "{key} is listed, but {again:?}");
        }
        Ok(listed.iter().map(|id| format!("{object_type}:{id}")).collect())
    }

    fn streamed(&mut self, request: &Value, asked: &Asked<'_>) -> Result<Vec<String>, u64> {
        self.list_objects(request, asked) // the stream is of the wire
    }

    fn list_users(&mut self, request: &Value, asked: &Asked<'_>) -> Result<Vec<String>, u64> {
        let filter = request["filters"][0].as_str().unwrap();
        let (subject_type, relation) = filter.split_once('#').map_or((filter, None), |(t, r)| (t, Some(r)));
        let tuples: Vec<Tuple> = asked.tuples.iter().map(tuple).collect();
        let query = ListUsersQuery {
            object: ObjectRef::parse(text(request, "object")).map_err(|_| 2000_u64)?,
            relation: text(request, "relation"),
            subject_type,
            subject_relation: relation,
            given: Given { contextual_tuples: &tuples, context: asked.context.as_object() },
        };
        let users = self.view().list_users(&query, &Limits::default()).map_err(|e| code(&e, false))?;
        Ok(users.iter().map(ToString::to_string).collect())
    }
}

#[test]
fn consolidated_suite() {
    let directory = tempfile::tempdir().unwrap();
    let database = Bailiwick::open_with(directory.path(), Settings { sync: false, ..Settings::default() }).unwrap();
    let mut surface = InProcess { database, next: 1, store: StoreId(ulid::Ulid::nil()) };
    run(&mut surface);
    let report = surface.database.verify().unwrap();
    assert!(report.differences.is_empty(), "{report:?}");
}
