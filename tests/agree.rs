//! Random worlds on which Check, ListObjects and ListUsers must agree with the oracle. `BAILIWICK_WORLDS` sets how many,
//! `BAILIWICK_SEED` which; a world that fails shrinks to a small one.

use crate::oracle::{Oracle, Value};
use crate::stored;
use crate::world::{RELATIONS, TYPES, World, decide, world};
use bailiwick::Bailiwick;
use bailiwick::engine::*;
use bailiwick::model::Model;
use bailiwick::tuple::*;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};

const NOW: Timestamp = Timestamp(1_700_000_000_000_000_000);

/// A number from the environment.
pub(crate) fn number(name: &str, default: u64) -> u64 {
    std::env::var_os(name).map_or(default, |text| text.to_str().unwrap().parse().unwrap())
}

fn fresh() -> ulid::Ulid {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    ulid::Ulid::from(u128::from(NEXT.fetch_add(1, Ordering::Relaxed)))
}

/// A store that holds the world, reached by a detour: everything doomed is written and deleted again, and the tuples
/// that the newest model no longer admits were written under an older one. What the store says of itself is compared on
/// the way.
fn settle(engine: &Bailiwick, world: &World) -> Result<View, String> {
    let store = StoreId(fresh());
    let text = |error: WriteError| error.to_string();
    engine.create_store(store, "world", NOW).map_err(text)?;
    engine.write_model(store, ModelId(fresh()), world.model.clone()).map_err(text)?;
    let mut ledger = stored::Ledger::new(engine, store, NOW);
    let mut writes = world.stored.clone();
    writes.extend(world.doomed.iter().cloned());
    for chunk in writes.chunks(7) {
        ledger.write(chunk)?;
    }
    ledger.delete(&world.doomed)?;
    engine.write_model(store, ModelId(fresh()), world.newest.clone()).map_err(text)?;
    let view = engine.view(store, None, Consistency::Latest).map_err(|e| e.to_string())?;
    ledger.compare(&view, &world.newest, &world.contextual)?;
    Ok(view)
}

/// Whether an answer fits a value: a fault may surface or be denied, but never allows.
fn fits(value: Value, answer: &Result<Decision, QuestionError>) -> bool {
    matches!(
        (value, answer),
        (Value::True, Ok(Decision::Allow))
            | (Value::False | Value::Unknown | Value::Fault, Ok(Decision::Deny))
            | (Value::Fault, Err(QuestionError::Condition { .. }))
    )
}

struct Comparison<'a> {
    model: &'a Model,
    view: &'a View,
    oracle: &'a Oracle<'a>,
    given: Given<'a>,
    limits: Limits<'a>,
    /// The tuples there are, as text, where witnesses are asked for.
    known: Option<BTreeSet<String>>,
}

/// Tuples as a witness names them.
fn known<'a>(tuples: impl Iterator<Item = &'a Tuple>) -> BTreeSet<String> {
    tuples.map(|tuple| format!("{}#{}@{}", tuple.object, tuple.relation, tuple.subject)).collect()
}

impl Comparison<'_> {
    fn subject(&self, subject: &Subject) -> Result<(), String> {
        let answers = self.oracle.answers(subject);
        for ((object, relation), value) in &answers {
            let key = TupleKeyRef { object: object.as_ref(), relation, subject: subject.as_ref() };
            let answer = self.view.check(&CheckQuery { key, given: self.given }, &self.limits);
            if !fits(*value, &answer) {
                return Err(format!("check {object} {relation} {subject}: oracle {value:?}, engine {answer:?}"));
            }
            self.witness(key, &answer)?;
        }
        for object_type in &self.model.types {
            let (object_type, relations) = (object_type.name.as_str(), &object_type.relations);
            for relation in relations.iter().map(|r| r.name.as_str()) {
                let query = ListObjectsQuery { object_type, relation, subject: subject.as_ref(), given: self.given };
                let [expected, faults] = self.oracle.list_objects(&answers, object_type, relation);
                let listed = self.view.list_objects(&query, &self.limits);
                let what = format!("list objects {object_type} {relation} {subject}");
                match listed {
                    Ok(listed) => {
                        let ids: Vec<String> = listed.iter().map(str::to_owned).collect();
                        let set: BTreeSet<String> = ids.iter().cloned().collect();
                        if set.len() != ids.len() || listed.len() != ids.len() {
                            return Err(format!("{what}: repeats itself: {ids:?}"));
                        }
                        if set != expected {
                            return Err(format!("{what}: oracle {expected:?}, engine {set:?}"));
                        }
                    }
                    // An evaluation of sets may meet a condition that Check decides without: an error, never a guess.
                    Err(QuestionError::Condition { .. }) if !faults.is_empty() || self.lacking() => {}
                    Err(error) => return Err(format!("{what}: oracle {expected:?}, engine {error}")),
                }
            }
        }
        Ok(())
    }

    /// What is allowed has tuples by which it is, all of which are there; what is not has none.
    fn witness(&self, key: TupleKeyRef<'_>, answer: &Result<Decision, QuestionError>) -> Result<(), String> {
        let Some(known) = &self.known else { return Ok(()) };
        let found = self.view.witness(&CheckQuery { key, given: self.given }, &self.limits);
        let good = match (answer, &found) {
            (Ok(Decision::Allow), Ok(Some(tuples))) => tuples.iter().all(|tuple| known.contains(tuple)),
            (Ok(Decision::Deny), Ok(None)) => true,
            // A condition that Check decides without may be met on the way.
            (_, Err(QuestionError::Condition { .. })) => true,
            _ => false,
        };
        if good { Ok(()) } else { Err(format!("witness of {key:?}: {found:?}, although {answer:?}")) }
    }

    /// Whether some condition could fail under this context.
    fn lacking(&self) -> bool {
        let probe = |name: &str| TupleCondition { name: name.into(), context: Context::new() };
        let context = self.given.context.cloned().unwrap_or_default();
        ["small", "near"].iter().any(|name| decide(&context, &probe(name)) == Value::Fault)
    }

    /// Without a wildcard the list is exact. With one, those whom it covers may be left out, but nobody may be wrong.
    fn users(&self, object_type: &str, relation: &str, wanted: (&str, Option<&str>)) -> Result<(), String> {
        let candidates = self.oracle.candidates(wanted.0, wanted.1);
        let values: Vec<_> = candidates.into_iter().map(|s| (self.oracle.answers(&s), s)).collect();
        for object in self.oracle.objects().iter().filter(|o| o.object_type == object_type) {
            let query = ListUsersQuery {
                object: object.as_ref(),
                relation,
                subject_type: wanted.0,
                subject_relation: wanted.1,
                given: self.given,
            };
            let what = format!("list users {object} {relation} {wanted:?}");
            let listed: BTreeSet<Subject> = match self.view.list_users(&query, &self.limits) {
                Ok(listed) => listed.into_iter().collect(),
                Err(QuestionError::Condition { .. }) if self.lacking() => continue,
                Err(error) => return Err(format!("{what}: {error}")),
            };
            let value = |answers| self.oracle.check(answers, object, relation);
            let open = values.iter().any(|(a, s)| matches!(s, Subject::Wildcard { .. }) && value(a) == Value::True);
            for (answers, subject) in &values {
                let has = value(answers) == Value::True;
                let wildcard = matches!(subject, Subject::Wildcard { .. });
                if listed.contains(subject) && !has || has && !listed.contains(subject) && (wildcard || !open) {
                    return Err(format!("{what}: {subject}: oracle {has}, engine listed {listed:?}"));
                }
            }
            let known: BTreeSet<&Subject> = values.iter().map(|(_, s)| s).collect();
            if let Some(stranger) = listed.iter().find(|s| !known.contains(s) && !is_self(s, object, relation)) {
                return Err(format!("{what}: lists {stranger}, whom nothing names"));
            }
        }
        Ok(())
    }
}

fn is_self(subject: &Subject, object: &Object, relation: &str) -> bool {
    matches!(subject, Subject::Userset { object: o, relation: r } if o == object && r == relation)
}

fn compare(engine: &Bailiwick, world: &World) -> Result<(), String> {
    let view = settle(engine, world)?;
    let decide = |condition: &TupleCondition| world.decide(condition);
    let tuples = world.stored.iter().chain(&world.contextual);
    let oracle = Oracle::new(&world.newest, tuples, &decide);
    let given = Given { contextual_tuples: &world.contextual, context: Some(&world.context) };
    let limits = Limits { depth_max: 1000, ..Limits::default() };
    let known = Some(known(world.stored.iter().chain(&world.contextual)));
    let comparison = Comparison { model: &world.newest, view: &view, oracle: &oracle, given, limits, known };
    for subject in world.subjects() {
        comparison.subject(&subject)?;
    }
    for object_type in TYPES {
        for relation in RELATIONS {
            comparison.users(object_type, relation, ("user", None))?;
            comparison.users(object_type, relation, world.userset_wanted())?;
        }
    }
    let _ = engine.delete_store(view.store_id(), NOW);
    Ok(())
}

/// Compares a view with the oracle on every question about some subjects, and on every ListUsers for their kinds. The
/// conditions are those of random worlds, or there are none.
pub(crate) fn compare_all(
    view: &View,
    model: &Model,
    tuples: &[Tuple],
    given: Given<'_>,
    subjects: &[Subject],
) -> Result<(), String> {
    let context = given.context.cloned().unwrap_or_default();
    let deciding = |condition: &TupleCondition| decide(&context, condition);
    let oracle = Oracle::new(model, tuples.iter(), &deciding);
    let comparison = Comparison { model, view, oracle: &oracle, given, limits: Limits::default(), known: None };
    let mut kinds = BTreeSet::new();
    for subject in subjects {
        comparison.subject(subject)?;
        kinds.insert(crate::story::kind(subject));
    }
    for object_type in &model.types {
        for relation in &object_type.relations {
            for (kind, of) in &kinds {
                comparison.users(&object_type.name, &relation.name, (kind, of.as_deref()))?;
            }
        }
    }
    Ok(())
}

#[test]
fn check_lists_and_the_oracle_agree_on_random_worlds() {
    let (worlds, seed) = (number("BAILIWICK_WORLDS", 500), number("BAILIWICK_SEED", 1));
    eprintln!("agree: {worlds} worlds, BAILIWICK_SEED={seed}");
    let directory = tempfile::tempdir().unwrap();
    let settings = Settings { sync: false, snapshots_retained: 1, plans_max: 64, ..Settings::default() };
    let engine = Bailiwick::open_with(directory.path(), settings).unwrap();
    let mut bytes = [7; 32];
    bytes[..8].copy_from_slice(&seed.to_be_bytes());
    let config = Config {
        cases: u32::try_from(worlds).unwrap(),
        failure_persistence: None,
        max_shrink_iters: 3000,
        max_global_rejects: 100_000,
        ..Config::default()
    };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let outcome = runner.run(&world(), |raw| {
        let Some(world) = raw.build() else { return Err(TestCaseError::reject("the model is not valid")) };
        compare(&engine, &world).map_err(|fault| TestCaseError::fail(format!("{fault}\n\n{world}")))
    });
    assert!(outcome.is_ok(), "BAILIWICK_SEED={seed}: {}", outcome.unwrap_err());
}
