//! `bailiwick demo`: a small company, the questions that matter, and how long each took.

use super::{Failure, say};
use bailiwick::engine::{
    CheckQuery, Consistency, Decision, Engine, Given, Limits, ListObjectsQuery, ListUsersQuery, View, WriteQuery,
};
use bailiwick::model::Model;
use bailiwick::tuple::{
    Context, ModelId, ObjectRef, StoreId, SubjectRef, Timestamp, Tuple, TupleCondition, TupleKeyRef,
};
use bailiwick::wire::{fresh_id, now};
use std::process::ExitCode;
use std::time::Instant;

const MODEL: &str = "model
  schema 1.1
type user
type group
  relations
    define member: [user, group#member]
type division
  relations
    define employee: [user, group#member]
type folder
  relations
    define parent: [folder]
    define owner: [division]
    define archived: [user:*]
    define viewer: [user, user:*, group#member] or employee from owner or viewer from parent
    define can_view: viewer but not archived
type document
  relations
    define parent: [folder]
    define editor: [user, group#member]
    define viewer: [user, group#member with office_hours] or editor or can_view from parent
type section
  relations
    define document: [document]
    define viewer: viewer from document
condition office_hours(hour: int) {
  hour >= 9 && hour < 17
}
";

const TUPLES: [(&str, &str, &str); 16] = [
    ("group:writers", "member", "user:anne"),
    ("group:editors", "member", "group:writers#member"),
    ("group:contractors", "member", "user:carl"),
    ("division:research", "employee", "group:editors#member"),
    ("division:research", "employee", "user:bob"),
    ("folder:papers", "owner", "division:research"),
    ("folder:drafts", "parent", "folder:papers"),
    ("folder:wiki", "viewer", "user:*"),
    ("folder:old", "parent", "folder:papers"),
    ("folder:old", "archived", "user:*"),
    ("document:plan", "parent", "folder:drafts"),
    ("document:welcome", "parent", "folder:wiki"),
    ("document:notes-1999", "parent", "folder:old"),
    ("document:budget", "editor", "user:dora"),
    ("section:plan-goals", "document", "document:plan"),
    ("section:budget-total", "document", "document:budget"),
];

/// (question, subject, relation, object, hour of the day)
const CHECKS: [(&str, &str, &str, &str, Option<u8>); 8] = [
    (
        "Anne writes; writers are editors; editors work in research, which owns the folder above",
        "user:anne",
        "viewer",
        "document:plan",
        None,
    ),
    ("A section inherits from its document", "user:bob", "viewer", "section:plan-goals", None),
    ("Nobody gave Carl the plan", "user:carl", "viewer", "document:plan", None),
    ("The wiki is public", "user:visitor", "viewer", "document:welcome", None),
    ("The old folder is archived, though research owns it", "user:bob", "viewer", "document:notes-1999", None),
    ("Contractors see the budget in office hours", "user:carl", "viewer", "document:budget", Some(10)),
    ("... and not at night", "user:carl", "viewer", "document:budget", Some(23)),
    ("Dora edits the budget, so she sees its sections", "user:dora", "viewer", "section:budget-total", Some(23)),
];

fn world(engine: &Engine, store: StoreId, at: Timestamp) -> Result<(), Failure> {
    engine.create_store(store, "demo", at)?;
    let model = Model::parse_dsl(MODEL).map_err(|errors| Failure::Said(format!("{errors:?}")))?;
    engine.write_model(store, ModelId(fresh_id()), model)?;
    let mut writes: Vec<Tuple> = Vec::new();
    for (object, relation, subject) in TUPLES {
        writes.push(TupleKeyRef::parse(object, relation, subject)?.to_tuple());
    }
    let mut conditional = TupleKeyRef::parse("document:budget", "viewer", "group:contractors#member")?.to_tuple();
    conditional.condition = Some(TupleCondition { name: "office_hours".into(), context: Context::new() });
    writes.push(conditional);
    engine.write(store, None, WriteQuery { writes, ..WriteQuery::default() }, at)?;
    Ok(())
}

/// Runs a question, and says how long it took.
fn timed<T>(question: impl FnOnce() -> Result<T, Failure>) -> Result<(T, String), Failure> {
    let start = Instant::now();
    let answer = question()?;
    Ok((answer, format!("{:.1} µs", start.elapsed().as_secs_f64() * 1e6)))
}

fn checks(view: &View) -> Result<(), Failure> {
    let mut table = comfy_table::Table::new();
    table.set_header(["who", "may view", "answer", "time", "why"]);
    for (why, subject, relation, object, hour) in CHECKS {
        let context: Option<Context> = hour.map(|h| std::iter::once(("hour".to_owned(), h.into())).collect());
        let given = Given { contextual_tuples: &[], context: context.as_ref() };
        let key = TupleKeyRef::parse(object, relation, subject)?;
        let (decision, time) = timed(|| Ok(view.check(&CheckQuery { key, given }, &Limits::default())?))?;
        let word = if decision == Decision::Allow { "allow" } else { "deny" };
        table.add_row([subject, object, word, &time, why]);
    }
    say(table);
    Ok(())
}

/// Runs the demonstration.
pub(super) fn run() -> Result<ExitCode, Failure> {
    let directory = std::env::temp_dir().join(format!("bailiwick-demo-{}", fresh_id()));
    let engine = Engine::open(&directory)?;
    let store = StoreId(fresh_id());
    let asked = tell(&engine, store);
    drop(engine);
    let _ = std::fs::remove_dir_all(&directory); // a leftover in the temporary directory harms nobody
    asked
}

fn tell(engine: &Engine, store: StoreId) -> Result<ExitCode, Failure> {
    let ((), time) = timed(|| world(engine, store, now()))?;
    say(format!("A company of {} tuples, written and on disk in {time}. Its model:\n\n{MODEL}", TUPLES.len() + 1));
    let view = engine.view(store, None, Consistency::Latest)?;
    checks(&view)?;
    let subject = SubjectRef::parse("user:anne")?;
    let given = Given::default();
    let query = ListObjectsQuery { object_type: "document", relation: "viewer", subject, given };
    // Carl's conditional grant needs the hour only where it could matter; Anne's list does not.
    let (listed, time) = timed(|| Ok(view.list_objects(&query, &Limits::default())?))?;
    say(format!("What may Anne view? {} ({time})", listed.iter().collect::<Vec<_>>().join(", ")));
    let query = ListUsersQuery {
        object: ObjectRef::parse("document:plan")?,
        relation: "viewer",
        subject_type: "user",
        subject_relation: None,
        given,
    };
    let (users, time) = timed(|| Ok(view.list_users(&query, &Limits::default())?))?;
    let users: Vec<String> = users.iter().map(ToString::to_string).collect();
    say(format!("Who may view the plan? {} ({time})", users.join(", ")));
    let left = TupleKeyRef::parse("group:writers", "member", "user:anne")?.to_tuple();
    let query = WriteQuery { deletes: vec![left], ..WriteQuery::default() };
    let (at, time) = timed(|| Ok(engine.write(store, None, query, now())?))?;
    say(format!("Anne leaves the writers: durable at revision {} ({time}).", at.revision.0));
    let view = engine.view(store, None, Consistency::AtLeast(at.revision))?;
    let key = TupleKeyRef::parse("document:plan", "viewer", "user:anne")?;
    let (decision, time) = timed(|| Ok(view.check(&CheckQuery { key, given }, &Limits::default())?))?;
    say(format!(
        "May she still view the plan? {} ({time})",
        if decision == Decision::Allow { "allow" } else { "deny" }
    ));
    Ok(ExitCode::SUCCESS)
}
