//! Questions and chores against a directory.

use super::model::read_model;
use super::{Failure, open, say, store};
use bailiwick::engine::{
    BulkFormat, CheckQuery, Compression, Consistency, Decision, ExportQuery, Given, Limits, ListObjectsQuery,
    ListUsersQuery, View,
};
use bailiwick::tuple::{Context, ObjectRef, SubjectRef, Tuple, TupleCondition, TupleKeyRef};
use clap::Args;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Tuples that are imported together, or not at all.
const CHUNK_TUPLES: usize = 10_000;

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

    pub(super) fn export(&self) -> Result<ExitCode, Failure> {
        let engine = open(&self.data)?;
        let store = store(&engine, self.store.as_deref())?;
        let query = ExportQuery { store, format: BulkFormat::JsonLines, compression: Compression::None };
        engine.export(&query, |_| std::io::stdout()).map_err(|error| Failure::Said(error.to_string()))?;
        Ok(ExitCode::SUCCESS)
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

#[derive(Args)]
pub(super) struct Import {
    /// The file; `-` is standard input.
    file: PathBuf,
    /// A model to write first; makes the store when there is none.
    #[arg(long)]
    model: Option<PathBuf>,
    #[command(flatten)]
    place: InStore,
}

/// The content, decompressed when its first bytes say so.
fn reader(path: &Path) -> Result<Box<dyn BufRead>, Failure> {
    let fault = |reason| Failure::File { path: path.to_owned(), reason };
    let raw: Box<dyn Read> = if path == Path::new("-") {
        Box::new(std::io::stdin())
    } else {
        Box::new(std::fs::File::open(path).map_err(fault)?)
    };
    let mut raw = BufReader::with_capacity(1 << 20, raw);
    let head = raw.fill_buf().map_err(fault)?;
    if head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        let plain = zstd::Decoder::new(raw).map_err(fault)?;
        return Ok(Box::new(BufReader::with_capacity(1 << 20, plain)));
    }
    if head.starts_with(&[0x1f, 0x8b]) {
        return Ok(Box::new(BufReader::with_capacity(1 << 20, flate2::read::MultiGzDecoder::new(raw))));
    }
    Ok(Box::new(raw))
}

/// A line of a file of tuples.
fn tuple(line: &str) -> Result<Tuple, String> {
    #[derive(serde::Deserialize)]
    struct Condition {
        name: String,
        #[serde(default)]
        context: Context,
    }
    #[derive(serde::Deserialize)]
    struct Line {
        user: String,
        relation: String,
        object: String,
        condition: Option<Condition>,
    }
    let line: Line = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let key = TupleKeyRef::parse(&line.object, &line.relation, &line.user).map_err(|error| error.to_string())?;
    let condition = line.condition.map(|c| TupleCondition { name: c.name, context: c.context });
    Ok(Tuple { condition, ..key.to_tuple() })
}

impl Import {
    pub(super) fn run(&self) -> Result<ExitCode, Failure> {
        let engine = bailiwick::Bailiwick::open(&self.place.data)?;
        let now = bailiwick::wire::now;
        if self.model.is_some() && engine.stores(None, None, 1).0.is_empty() {
            let name = self.place.store.as_deref().unwrap_or("imported");
            engine.create_store(bailiwick::tuple::StoreId(bailiwick::wire::fresh_id()), name, now())?;
        }
        let store = store(&engine, self.place.store.as_deref())?;
        if let Some(model) = &self.model {
            engine.write_model(store, bailiwick::tuple::ModelId(bailiwick::wire::fresh_id()), read_model(model)?)?;
        }
        let (mut chunk, mut total, mut number) = (Vec::with_capacity(CHUNK_TUPLES), 0, 0_u64);
        let bar = indicatif::ProgressBar::new_spinner();
        for line in reader(&self.file)?.lines() {
            let line = line.map_err(|reason| Failure::File { path: self.file.clone(), reason })?;
            number += 1;
            if line.trim().is_empty() {
                continue;
            }
            chunk.push(tuple(&line).map_err(|why| {
                let file = self.file.display();
                Failure::Said(format!("{file}:{number}: {why}; {total} tuples before it are imported"))
            })?);
            if chunk.len() == CHUNK_TUPLES {
                total += chunk.len();
                engine.import_chunk(store, None, std::mem::take(&mut chunk), now())?;
                bar.set_message(format!("{total} tuples"));
                bar.tick();
            }
        }
        total += chunk.len();
        let at = engine.import_chunk(store, None, chunk, now())?;
        bar.finish_and_clear();
        say(format!("{total} tuples imported into {store} at revision {}", at.revision.0));
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
