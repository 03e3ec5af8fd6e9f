//! `bailiwick tuple`: write, delete and read tuples, and read their changes.

use super::Failure;
use super::given::{condition_text, key, object, tuple_json};
use super::place::{Freshness, InStore, State, fresh};
use super::question::with_token;
use super::show::{Look, note, print, rows, say, terminal};
use bailiwick::api::proto as pb;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};
use std::process::ExitCode;

/// A page of tuples or changes.
const PAGE: i32 = 100;
/// Rows that one table holds before it is printed and the next is begun.
const TABLE_ROWS_MAX: usize = 1000;

/// Tuples of a store.
#[derive(Subcommand)]
pub(super) enum Tuple {
    /// Write a tuple
    #[command(
        after_help = "Example: bailiwick tuple write user:anne viewer document:1\n\nMany tuples: bailiwick import"
    )]
    Write(Write),
    /// Delete a tuple
    #[command(after_help = "Example: bailiwick tuple delete user:anne viewer document:1")]
    Delete(Delete),
    /// Read tuples as they are stored, in the order they were written; with --json one object a line
    #[command(
        after_help = "Examples: bailiwick tuple read\n          bailiwick tuple read --object document:1\n          bailiwick \
                            tuple read --user user:anne --object document:"
    )]
    Read(Read),
    /// Read the changes of tuples in the order they were made; with --json one object a line
    #[command(after_help = "Example: bailiwick tuple changes --type document --since 2026-01-01T00:00:00Z")]
    Changes(Changes),
}

#[derive(Args)]
struct Key {
    /// Who, as in `user:anne`, `group:eng#member` or `user:*`
    #[arg(value_name = "USER")]
    subject: String,
    /// The relation, as in `viewer`
    relation: String,
    /// The object, as in `document:1`
    object: String,
}

/// What to do about a tuple that is there already, or is not there.
#[derive(Clone, Copy, ValueEnum)]
enum Otherwise {
    /// Refuse
    Error,
    /// Pass over it
    Ignore,
}

impl Otherwise {
    fn text(self) -> String {
        match self {
            Otherwise::Error => "error".into(),
            Otherwise::Ignore => "ignore".into(),
        }
    }
}

#[derive(Args)]
pub(super) struct Write {
    #[command(flatten)]
    key: Key,
    /// The condition under which it holds
    #[arg(long, value_name = "NAME")]
    condition: Option<String>,
    /// Parameters of the condition that are stored with the tuple: a JSON object
    #[arg(long, value_name = "JSON", requires = "condition")]
    condition_context: Option<String>,
    /// When the tuple is there already
    #[arg(long, value_enum, default_value = "error")]
    on_duplicate: Otherwise,
    #[command(flatten)]
    place: InStore,
    #[command(flatten)]
    model: State,
    #[command(flatten)]
    look: Look,
}

#[derive(Args)]
pub(super) struct Delete {
    #[command(flatten)]
    key: Key,
    /// When there is no such tuple
    #[arg(long, value_enum, default_value = "error")]
    on_missing: Otherwise,
    #[command(flatten)]
    place: InStore,
    #[command(flatten)]
    model: State,
    #[command(flatten)]
    look: Look,
}

#[derive(Args)]
pub(super) struct Read {
    /// Only of this user; needs --object with a type at least
    #[arg(long, value_name = "USER", requires = "object")]
    user: Option<String>,
    /// Only this relation; needs --object
    #[arg(long, requires = "object")]
    relation: Option<String>,
    /// Only of this object, or with --user of a type: `document:1`, `document:`
    #[arg(long)]
    object: Option<String>,
    #[command(flatten)]
    place: InStore,
    #[command(flatten)]
    freshness: Freshness,
    #[command(flatten)]
    look: Look,
}

#[derive(Args)]
pub(super) struct Changes {
    /// Only of objects of this type
    #[arg(long = "type", value_name = "TYPE")]
    object_type: Option<String>,
    /// Only from this time on, as in 2026-01-01T00:00:00Z
    #[arg(long, value_name = "TIME", conflicts_with = "after")]
    since: Option<String>,
    /// Go on behind this continuation token, which is printed at the end
    #[arg(long, value_name = "TOKEN")]
    after: Option<String>,
    #[command(flatten)]
    place: InStore,
    #[command(flatten)]
    look: Look,
}

impl Tuple {
    pub(super) fn run(&self) -> Result<ExitCode, Failure> {
        match self {
            Tuple::Write(write) => write.run(),
            Tuple::Delete(delete) => delete.run(),
            Tuple::Read(read) => read.run(),
            Tuple::Changes(changes) => changes.run(),
        }?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Sends a write and says that it is done.
fn send(place: &InStore, model: &State, look: Look, mut request: pb::WriteRequest, done: &str) -> Result<(), Failure> {
    let (place, store_id) = place.open()?;
    request.store_id = store_id;
    request.authorization_model_id = model.model();
    let request = fresh(request, &model.freshness)?;
    let answer = place.ask(async |mut client| client.write(request).await)?;
    if look.json {
        say(with_token(json!({done: 1}), &answer));
    } else {
        say(done);
    }
    Ok(())
}

impl Write {
    fn run(&self) -> Result<(), Failure> {
        let context = self.condition_context.as_deref().map(|text| object("--condition-context", text)).transpose()?;
        let condition = self.condition.clone().map(|name| pb::RelationshipCondition { name, context });
        let Key { subject, relation, object } = &self.key;
        let tuple_keys = vec![key(subject, relation, object, condition)?];
        let writes = pb::WriteRequestWrites { tuple_keys, on_duplicate: self.on_duplicate.text() };
        let request = pb::WriteRequest { writes: Some(writes), ..pb::WriteRequest::default() };
        send(&self.place, &self.model, self.look, request, "written")
    }
}

impl Delete {
    fn run(&self) -> Result<(), Failure> {
        let Key { subject, relation, object } = &self.key;
        let pb::TupleKey { user, relation, object, .. } = key(subject, relation, object, None)?;
        let tuple_keys = vec![pb::TupleKeyWithoutCondition { user, relation, object }];
        let deletes = pb::WriteRequestDeletes { tuple_keys, on_missing: self.on_missing.text() };
        let request = pb::WriteRequest { deletes: Some(deletes), ..pb::WriteRequest::default() };
        send(&self.place, &self.model, self.look, request, "deleted")
    }
}

/// Prints rows as they come: JSON a line, fields with tabs, or tables of a bounded size.
struct Printer {
    look: Look,
    head: &'static [&'static str],
    waiting: Vec<Vec<String>>,
}

impl Printer {
    /// False when nobody reads any more.
    fn add(&mut self, row: Vec<String>, json: impl FnOnce() -> Value) -> bool {
        if self.look.json {
            return print(json());
        }
        if !terminal() {
            return print(row.join("\t"));
        }
        self.waiting.push(row);
        if self.waiting.len() >= TABLE_ROWS_MAX {
            self.end();
        }
        true
    }

    fn end(&mut self) {
        if !self.waiting.is_empty() {
            rows(self.head, &std::mem::take(&mut self.waiting));
        }
    }
}

fn time(at: Option<&prost_types::Timestamp>) -> String {
    at.map(ToString::to_string).unwrap_or_default()
}

impl Read {
    fn run(&self) -> Result<(), Failure> {
        let (place, store_id) = self.place.open()?;
        let part = |text: &Option<String>| text.clone().unwrap_or_default();
        let tuple_key = self.object.as_ref().map(|object| pb::ReadRequestTupleKey {
            user: part(&self.user),
            relation: part(&self.relation),
            object: object.clone(),
        });
        let head = &["user", "relation", "object", "condition", "written"];
        let mut printer = Printer { look: self.look, head, waiting: Vec::new() };
        let mut continuation_token = String::new();
        loop {
            let message = pb::ReadRequest {
                store_id: store_id.clone(),
                tuple_key: tuple_key.clone(),
                page_size: Some(PAGE),
                continuation_token,
                ..pb::ReadRequest::default()
            };
            let request = fresh(message, &self.freshness)?;
            let page = place.ask(async |mut client| client.read(request).await)?.message;
            let read = page.tuples.iter().filter_map(|t| Some((t.key.as_ref()?, time(t.timestamp.as_ref()))));
            let all = read.into_iter().all(|(k, at)| {
                let condition = condition_text(k.condition.as_ref());
                let row = vec![k.user.clone(), k.relation.clone(), k.object.clone(), condition, at.clone()];
                printer.add(row, || {
                    let mut map = tuple_json(k);
                    map.insert("timestamp".into(), at.into());
                    Value::Object(map)
                })
            });
            continuation_token = page.continuation_token;
            if !all || continuation_token.is_empty() {
                break;
            }
        }
        printer.end();
        Ok(())
    }
}

impl Changes {
    fn run(&self) -> Result<(), Failure> {
        let bad = |text: &str| Failure::Said(format!("`{text}` is no time; write it as 2026-01-01T00:00:00Z"));
        let since = self.since.as_deref();
        let start_time = since.map(|text| text.parse::<prost_types::Timestamp>().map_err(|_| bad(text))).transpose()?;
        let (place, store_id) = self.place.open()?;
        let head = &["when", "what", "user", "relation", "object", "condition"];
        let mut printer = Printer { look: self.look, head, waiting: Vec::new() };
        let mut token = self.after.clone().unwrap_or_default();
        loop {
            let request = pb::ReadChangesRequest {
                store_id: store_id.clone(),
                r#type: self.object_type.clone().unwrap_or_default(),
                page_size: Some(PAGE),
                continuation_token: token.clone(),
                start_time,
            };
            let page = place.ask(async |mut client| client.read_changes(request).await)?.message;
            let changes = page.changes.iter().filter_map(|c| Some((c, c.tuple_key.as_ref()?)));
            let all = changes.into_iter().all(|(change, k)| {
                let what = if change.operation == 1 { "delete" } else { "write" };
                let at = time(change.timestamp.as_ref());
                let condition = condition_text(k.condition.as_ref());
                let row =
                    vec![at.clone(), what.into(), k.user.clone(), k.relation.clone(), k.object.clone(), condition];
                printer.add(row, || json!({"operation": what, "timestamp": at, "tuple_key": tuple_json(k)}))
            });
            let at_the_end = page.changes.is_empty() || page.continuation_token == token;
            if !page.continuation_token.is_empty() {
                token = page.continuation_token;
            }
            if !all || at_the_end {
                break;
            }
        }
        printer.end();
        if !token.is_empty() {
            note(format!("later changes: --after {token}"));
        }
        Ok(())
    }
}
