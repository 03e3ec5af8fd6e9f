//! One property for each class of OpenFGA's wrong answers (caches that forgot a part of the question): wildcards under
//! conditions, one question under several contexts, batches of alike questions, wildcards and exclusion, usersets under
//! conditions. Each is compared with the oracle, one after the other and in parallel on one view.

use crate::oracle::{Answers, Oracle, Value};
use crate::served::Served;
use crate::story::{Story, model, tuple};
use bailiwick::engine::*;
use bailiwick::model::Model;
use bailiwick::tuple::*;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value as Json, json};

const CASES: u32 = 60;
const MODEL: &str = "type user
type group
  relations
    define member: [user, user with small, user:*, user:* with small, group#member, group#member with near]
type document
  relations
    define blocked: [user, user with small, user:*, user:* with small, group#member with small]
    define reader: [user, user with small, user:*, user:* with small, group#member, group#member with near]
    define viewer: reader but not blocked
    define both: reader and blocked
    define either: reader or blocked
condition small(x: int) {
  x < 5
}
condition near(x: int, y: string) {
  x < 5 && y == \"a\"
}
";
const RELATIONS: [&str; 5] = ["reader", "blocked", "viewer", "both", "either"];
const SUBJECTS: [&str; 5] = ["user:0", "user:1", "user:2", "user:*", "group:0#member"];

/// The contexts that a request may have: enough, some or nothing of what the conditions want, and a wrong type.
fn contexts() -> Vec<Context> {
    let all = [
        json!({}),
        json!({"x": 1}),
        json!({"x": 9}),
        json!({"x": 1, "y": "a"}),
        json!({"x": 1, "y": "b"}),
        json!({"x": 9, "y": "a"}),
        json!({"x": "one", "y": "a"}),
    ];
    all.iter().map(|c| c.as_object().unwrap().clone()).collect()
}

/// What the conditions of [`MODEL`] say, written down a second time.
fn decide(request: &Context, condition: &TupleCondition) -> Value {
    let of = |key: &str| condition.context.get(key).or_else(|| request.get(key));
    let x = of("x").and_then(Json::as_i64);
    match (condition.name.as_str(), x, of("y").and_then(Json::as_str)) {
        ("small", Some(x), _) => truth(x < 5),
        ("near", Some(x), Some(y)) => truth(x < 5 && y == "a"),
        _ => Value::Fault,
    }
}

fn truth(is: bool) -> Value {
    if is { Value::True } else { Value::False }
}

/// A tuple as text, out of those that a class is about.
fn line(class: Class, pick: (u8, u8, u8, u8)) -> String {
    let (place, who, guard, x) = pick;
    let object = match place % 6 {
        0 => "group:0 member".to_owned(),
        1 => "group:1 member".to_owned(),
        n => format!("document:{} {}", n % 2, if n < 4 { "reader" } else { "blocked" }),
    };
    let in_group = place % 6 < 2;
    let blocked = place % 6 >= 4;
    let subject = match class {
        Class::Wildcards => {
            if who % 2 == 0 {
                "user:*".into()
            } else {
                format!("user:{}", who % 3)
            }
        }
        Class::Usersets if in_group => format!("user:{}", who % 3),
        Class::Usersets => format!("group:{}#member", who % 2),
        Class::All => match who % 4 {
            0 => "user:*".into(),
            // `group:0#member` in `group:0 member` is there by itself, so a group holds only the other one.
            1 if in_group => format!("group:{}#member", 1 - place % 6),
            1 => format!("group:{}#member", x % 2),
            _ => format!("user:{}", who % 3),
        },
    };
    let stored = match x % 4 {
        0 => "{\"x\": 1}",
        1 => "{\"x\": 9}",
        _ => "{}",
    };
    let userset = subject.starts_with("group");
    let condition = match guard % 3 {
        0 if !(userset && blocked) => String::new(),
        _ if userset && !blocked => format!(" with near {stored}"),
        _ => format!(" with small {stored}"),
    };
    format!("{object} {subject}{condition}")
}

#[derive(Clone, Copy, Debug)]
enum Class {
    Wildcards,
    Usersets,
    All,
}

fn lines(class: Class, max: usize) -> impl Strategy<Value = Vec<String>> {
    let picks = prop::collection::vec((0..6u8, 0..12u8, 0..3u8, 0..8u8), 0..max);
    picks.prop_map(move |picks| {
        let mut lines: Vec<String> = picks.into_iter().map(|pick| line(class, pick)).collect();
        lines.sort_unstable_by_key(|line| line.split(" with ").next().unwrap().to_owned());
        lines.dedup_by_key(|line| line.split(" with ").next().unwrap().to_owned());
        lines
    })
}

/// Whether an answer may be given: a fault is an error or a denial, never an allowance.
fn fits(value: Value, answer: &Result<Decision, QuestionError>) -> bool {
    match value {
        Value::True => matches!(answer, Ok(Decision::Allow)),
        Value::False | Value::Unknown => matches!(answer, Ok(Decision::Deny)),
        Value::Fault => matches!(answer, Ok(Decision::Deny) | Err(QuestionError::Condition { .. })),
    }
}

fn compare(view: &View, story: &Model, stored: &[Tuple], given: &[Tuple], context: &Context) -> Result<(), String> {
    let deciding = |condition: &TupleCondition| decide(context, condition);
    let oracle = Oracle::new(story, stored.iter().chain(given), &deciding);
    let added = Given { contextual_tuples: given, context: Some(context) };
    let limits = Limits::default();
    for subject in SUBJECTS.map(|s| SubjectRef::parse(s).unwrap()) {
        let answers: Answers = oracle.answers(&subject.to_owned());
        for relation in RELATIONS {
            let mut open = false;
            for id in ["0", "1"] {
                let object = ObjectRef { object_type: "document", id };
                let value = oracle.check(&answers, &object.to_owned(), relation);
                open |= value == Value::Fault;
                let key = TupleKeyRef { object, relation, subject };
                let answer = view.check(&CheckQuery { key, given: added }, &limits);
                if !fits(value, &answer) {
                    return Err(format!("{key} {context:?} {given:?}: oracle {value:?}, engine {answer:?}"));
                }
            }
            let [expected, _] = oracle.list_objects(&answers, "document", relation);
            let query = ListObjectsQuery { object_type: "document", relation, subject, given: added };
            match view.list_objects(&query, &limits) {
                Ok(listed)
                    if listed.iter().map(str::to_owned).collect::<std::collections::BTreeSet<_>>() == expected => {}
                Err(QuestionError::Condition { .. })
                    if open || !context.contains_key("y") || context["x"].is_string() => {}
                Ok(listed) => {
                    let listed: Vec<&str> = listed.iter().collect();
                    return Err(format!("{subject} {relation} {context:?}: oracle {expected:?}, engine {listed:?}"));
                }
                Err(error) => return Err(format!("{subject} {relation} {context:?}: {error}")),
            }
        }
    }
    Ok(())
}

/// Asks one view under every context, with and without the given tuples: in turn and back again, then all at once.
fn ask_all(stored: &[String], given: &[String]) -> Result<(), TestCaseError> {
    let story = Story::new(MODEL);
    let texts: Vec<&str> = stored.iter().map(String::as_str).collect();
    if !texts.is_empty() {
        story.write(&texts).map_err(|e| TestCaseError::fail(e.to_string()))?;
    }
    let (stored, given): (Vec<Tuple>, Vec<Tuple>) =
        (stored.iter().map(|t| tuple(t)).collect(), given.iter().map(|t| tuple(t)).collect());
    let (view, model, contexts) = (story.view(), model(MODEL), contexts());
    for context in contexts.iter().chain(contexts.iter().rev()) {
        for given in [&given[..], &[]] {
            compare(&view, &model, &stored, given, context).map_err(TestCaseError::fail)?;
        }
    }
    let failures: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = contexts
            .iter()
            .enumerate()
            .map(|(n, context)| {
                let given = if n % 2 == 0 { &given[..] } else { &[] };
                let (view, model, stored) = (&view, &model, &stored[..]);
                scope.spawn(move || compare(view, model, stored, given, context))
            })
            .collect();
        threads.into_iter().filter_map(|t| t.join().unwrap().err()).collect()
    });
    prop_assert!(failures.is_empty(), "in parallel: {failures:?}");
    Ok(())
}

fn runner(cases: u32) -> TestRunner {
    TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() })
}

fn property(class: Class) {
    let worlds = (lines(class, 12), lines(class, 4));
    let outcome = runner(CASES).run(&worlds, |(stored, given)| ask_all(&stored, &given));
    assert!(outcome.is_ok(), "{}", outcome.unwrap_err());
}

/// CVE-2025-64751: a wildcard under a condition granted without it.
#[test]
fn wildcards_under_conditions_and_below_exclusion() {
    property(Class::Wildcards);
}

/// A userset's condition was taken for that of another tuple of the same userset.
#[test]
fn usersets_under_conditions() {
    property(Class::Usersets);
}

/// CVE-2026-33729: an answer under one context was given under another.
#[test]
fn one_view_under_different_contexts_and_contextual_tuples() {
    property(Class::All);
}

/// CVE-2026-34972: two items of a batch were taken for one. Alike items that differ in contextual tuples, in the order of
/// them, or in context are answered as each alone, whatever their order.
#[test]
fn batches_of_alike_checks() {
    let served = Served::start();
    let item = (0..2usize, 0..5usize, 0..3usize, 0..7usize, lines(Class::All, 4), any::<bool>());
    let worlds = (lines(Class::All, 12), prop::collection::vec(item, 1..12));
    let model = model(MODEL);
    let outcome = runner(CASES / 2).run(&worlds, |(stored, items)| {
        let mut http = served.http();
        let made = http.send("POST", "/stores", &[], br#"{"name": "batch"}"#).json();
        let store = format!("/stores/{}", made["id"].as_str().unwrap());
        let body = model.to_json().to_string();
        assert_eq!(http.send("POST", &format!("{store}/authorization-models"), &[], body.as_bytes()).status, 201);
        if !stored.is_empty() {
            let body = json!({"writes": {"tuple_keys": stored.iter().map(|t| wire(t)).collect::<Vec<_>>()}});
            let written = http.send("POST", &format!("{store}/write"), &[], body.to_string().as_bytes());
            assert_eq!(written.status, 200, "{}", written.json());
        }
        let (contexts, mut checks, mut expected) = (contexts(), Vec::new(), Vec::new());
        for (n, (id, relation, subject, context, given, reversed)) in items.iter().enumerate() {
            let question = format!("document:{id} {} {}", RELATIONS[*relation], SUBJECTS[*subject]);
            let mut keys: Vec<Json> = given.iter().map(|t| wire(t)).collect();
            if *reversed {
                keys.reverse();
            }
            checks.push(json!({"correlation_id": format!("c{n}"), "tuple_key": wire(&question),
                "contextual_tuples": {"tuple_keys": keys}, "context": contexts[*context]}));
            let tuples: Vec<Tuple> = stored.iter().chain(given).map(|t| tuple(t)).collect();
            let deciding = |condition: &TupleCondition| decide(&contexts[*context], condition);
            let oracle = Oracle::new(&model, tuples.iter(), &deciding);
            let question = tuple(&question);
            let answers = oracle.answers(&question.subject);
            expected.push(oracle.check(&answers, &question.object, &question.relation));
        }
        for turned in [false, true] {
            if turned {
                checks.reverse();
            }
            let body = json!({"checks": checks}).to_string();
            let answer = http.send("POST", &format!("{store}/batch-check"), &[], body.as_bytes());
            prop_assert_eq!(answer.status, 200);
            let answer = answer.json();
            for (n, value) in expected.iter().enumerate() {
                let single = &answer["result"][format!("c{n}")];
                let fits = match value {
                    Value::True => single["allowed"] == true,
                    Value::False | Value::Unknown => single["allowed"] == false,
                    Value::Fault => single["allowed"] != true,
                };
                prop_assert!(fits, "{:?}: oracle {:?}, server {}\nstored {:?}", items[n], value, single, stored);
            }
        }
        assert_eq!(http.send("DELETE", &store, &[], b"").status, 204);
        Ok(())
    });
    assert!(outcome.is_ok(), "{}", outcome.unwrap_err());
}

/// A tuple as the wire has it.
fn wire(text: &str) -> Json {
    let tuple = tuple(text);
    let mut json = json!({"object": tuple.object.to_string(), "relation": tuple.relation,
        "user": tuple.subject.to_string()});
    if let Some(condition) = tuple.condition {
        json["condition"] = json!({"name": condition.name, "context": condition.context});
    }
    json
}
