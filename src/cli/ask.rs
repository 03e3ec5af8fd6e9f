//! Questions and chores against a directory.

use super::{Failure, open, say, store};
use bailiwick::engine::{CheckQuery, Consistency, Decision, Given, Limits, ListObjectsQuery, ListUsersQuery, View};
use bailiwick::tuple::{Context, ObjectRef, SubjectRef, TupleKeyRef};
use clap::Args;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Args)]
pub(super) struct InStore {
    /// The database's directory.
    #[arg(long, env = "BAILIWICK_DATA")]
    data: PathBuf,
    /// The store, by id or name; may be left out when there is only one.
    #[arg(long)]
    store: Option<String>,
}

impl InStore {
    fn view(&self) -> Result<View, Failure> {
        let engine = open(&self.data)?;
        let store = store(&engine, self.store.as_deref())?;
        Ok(engine.view(store, None, Consistency::Latest)?)
    }
}

/// Parameters for conditions.
#[derive(Args)]
struct Parameters {
    /// Context for conditions, a JSON object.
    #[arg(long)]
    context: Option<String>,
}

impl Parameters {
    fn read(&self) -> Result<Option<Context>, Failure> {
        let parse = |text: &String| {
            serde_json::from_str(text).map_err(|error| Failure::Said(format!("--context is no JSON object: {error}")))
        };
        self.context.as_ref().map(parse).transpose()
    }
}

#[derive(Args)]
pub(super) struct Check {
    /// Who, `user:anne`.
    subject: String,
    /// The relation, `viewer`.
    relation: String,
    /// The object, `document:1`.
    object: String,
    #[command(flatten)]
    place: InStore,
    #[command(flatten)]
    parameters: Parameters,
}

impl Check {
    pub(super) fn run(&self) -> Result<ExitCode, Failure> {
        let key = TupleKeyRef::parse(&self.object, &self.relation, &self.subject)?;
        let context = self.parameters.read()?;
        let given = Given { contextual_tuples: &[], context: context.as_ref() };
        let decision = self.place.view()?.check(&CheckQuery { key, given }, &Limits::default())?;
        let (word, code) = match decision {
            Decision::Allow => ("allow", ExitCode::SUCCESS),
            Decision::Deny => ("deny", ExitCode::from(1)),
        };
        say(word);
        Ok(code)
    }
}

#[derive(Args)]
pub(super) struct ListObjects {
    /// Who, `user:anne`.
    subject: String,
    /// The relation, `viewer`.
    relation: String,
    /// The type of the objects, `document`.
    object_type: String,
    #[command(flatten)]
    place: InStore,
    #[command(flatten)]
    parameters: Parameters,
}

impl ListObjects {
    pub(super) fn run(&self) -> Result<ExitCode, Failure> {
        let context = self.parameters.read()?;
        let query = ListObjectsQuery {
            object_type: &self.object_type,
            relation: &self.relation,
            subject: SubjectRef::parse(&self.subject)?,
            given: Given { contextual_tuples: &[], context: context.as_ref() },
        };
        let listed = self.place.view()?.list_objects(&query, &Limits::default())?;
        listed.iter().for_each(|id| say(format!("{}:{id}", self.object_type)));
        Ok(ExitCode::SUCCESS)
    }
}

#[derive(Args)]
pub(super) struct ListUsers {
    /// The object, `document:1`.
    object: String,
    /// The relation, `viewer`.
    relation: String,
    /// What kind of subjects: `user` or `group#member`.
    filter: String,
    #[command(flatten)]
    place: InStore,
    #[command(flatten)]
    parameters: Parameters,
}

impl ListUsers {
    pub(super) fn run(&self) -> Result<ExitCode, Failure> {
        let context = self.parameters.read()?;
        let (subject_type, subject_relation) = match self.filter.split_once('#') {
            Some((t, r)) => (t, Some(r)),
            None => (self.filter.as_str(), None),
        };
        let query = ListUsersQuery {
            object: ObjectRef::parse(&self.object)?,
            relation: &self.relation,
            subject_type,
            subject_relation,
            given: Given { contextual_tuples: &[], context: context.as_ref() },
        };
        self.place.view()?.list_users(&query, &Limits::default())?.iter().for_each(say);
        Ok(ExitCode::SUCCESS)
    }
}

pub(super) fn stores(data: &Path) -> Result<ExitCode, Failure> {
    let engine = open(data)?;
    let mut table = comfy_table::Table::new();
    table.set_header(["id", "name"]);
    let mut after = None;
    loop {
        let (page, more) = engine.stores(None, after, 100);
        page.iter().for_each(|s| {
            table.add_row([s.id.to_string(), s.name.clone()]);
        });
        after = page.last().map(|s| s.id);
        if !more {
            break;
        }
    }
    say(table);
    Ok(ExitCode::SUCCESS)
}

pub(super) fn verify(data: &Path) -> Result<ExitCode, Failure> {
    let report = open(data)?.verify()?;
    report.differences.iter().for_each(say);
    say(format!("{} stores, {} tuples at revision {}", report.stores, report.tuples, report.revision.0));
    if report.differences.is_empty() {
        say("clean");
        return Ok(ExitCode::SUCCESS);
    }
    Ok(ExitCode::from(1))
}

pub(super) fn stats(data: &Path) -> Result<ExitCode, Failure> {
    let stats = open(data)?.stats();
    let mut table = comfy_table::Table::new();
    table.set_header(["store", "name", "tuples", "column bytes", "name bytes", "classes", "models"]);
    for s in &stats.stores {
        let numbers = [s.column_bytes, s.name_bytes, s.classes, s.models].map(|n| n.to_string());
        table.add_row([vec![s.id.to_string(), s.name.clone(), s.tuples.to_string()], numbers.to_vec()].concat());
    }
    say(table);
    say(format!(
        "revision {}, {} bytes a tuple in memory, {} bytes on disk",
        stats.revision.0,
        stats.bytes_per_tuple(),
        stats.disk_bytes
    ));
    Ok(ExitCode::SUCCESS)
}
