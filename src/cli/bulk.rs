//! `bailiwick import` and `bailiwick export`, against a directory or a server.

use super::bulk_remote as remote;
use super::model::read_model;
use super::place::InStore;
use super::show::note;
use super::{Failure, open, say, store};
use bailiwick::engine::{
    BulkFormat, Compression, Engine, ExportQuery, IMPORT_ID_BYTES_MAX, ImportQuery, ImportReport, OnBadLine,
};
use bailiwick::tuple::{ModelId, StoreId};
use bailiwick::wire::{Tokens, fresh_id, now};
use clap::{Args, ValueEnum};
use indicatif::{HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::fs::File;
use std::io::{Read, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How often a progress bar is drawn.
const TICK: Duration = Duration::from_millis(100);

/// How tuples are written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// One JSON object a line
    Jsonl,
    /// A JSON list
    Json,
    /// CSV as the fga command line has it
    Csv,
}

impl From<Format> for BulkFormat {
    fn from(format: Format) -> BulkFormat {
        match format {
            Format::Jsonl => BulkFormat::JsonLines,
            Format::Json => BulkFormat::Json,
            Format::Csv => BulkFormat::Csv,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum OnError {
    /// Write nothing of the bad line's chunk, and stop
    Stop,
    /// Leave bad lines out, and report them
    Skip,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Squeeze {
    /// Zstandard
    Zstd,
    /// Gzip
    Gzip,
    /// Not at all
    None,
}

#[derive(Args)]
pub(super) struct Import {
    /// Files; `-` is standard input. Format and compression (gzip, zstd) are seen by the content
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    place: InStore,
    /// A model to write first, unless the store has it; makes the store when there is none
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// How the tuples are written down, when their beginning does not tell
    #[arg(long)]
    format: Option<Format>,
    /// What to do with a bad line
    #[arg(long, default_value = "stop")]
    on_error: OnError,
    /// Stop when more lines than these are bad; with --on-error skip
    #[arg(long, value_name = "N")]
    errors_max: Option<u64>,
    /// The name under which the import goes on after it was stopped; the file's path when none is given
    #[arg(long, value_name = "NAME")]
    id: Option<String>,
    /// Begin at the first line though the import was stopped further on
    #[arg(long)]
    restart: bool,
    /// Lines that are written together or not at all
    #[arg(long, value_name = "N", default_value_t = bailiwick::engine::CHUNK_LINES_DEFAULT)]
    chunk_lines: usize,
    /// Report as JSON
    #[arg(long)]
    json: bool,
}

/// What an import did, wherever it ran.
pub(super) struct Done {
    pub(super) lines: u64,
    pub(super) written: u64,
    pub(super) skipped: u64,
    pub(super) bad: u64,
    pub(super) resumed_after: u64,
    /// Numbers and what is wrong.
    pub(super) bad_lines: Vec<(u64, String)>,
    pub(super) token: String,
    pub(super) stopped: Option<String>,
}

impl Done {
    fn of(report: &ImportReport, tokens: &Tokens) -> Done {
        Done {
            lines: report.progress.lines,
            written: report.progress.written,
            skipped: report.progress.skipped,
            bad: report.progress.bad,
            resumed_after: report.resumed_after,
            bad_lines: report.bad_lines.iter().map(|b| (b.number, b.fault.to_string())).collect(),
            token: tokens.encode(report.revision),
            stopped: report.stopped.as_ref().map(ToString::to_string),
        }
    }
}

/// A source that counts what is read of it, before decompression.
pub(super) struct Counted {
    inner: Box<dyn Read + Send>,
    bytes: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.bytes.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

/// A bar on a terminal, nothing elsewhere.
pub(super) struct Bar {
    pub(super) bar: ProgressBar,
    bytes: Arc<AtomicU64>,
    pub(super) begun: Instant,
}

impl Bar {
    fn new(len: Option<u64>) -> Bar {
        let bar = ProgressBar::with_draw_target(len, ProgressDrawTarget::stderr());
        let template = match len {
            Some(_) => "{wide_bar} {bytes}/{total_bytes}  {msg}  {eta} left",
            None => "{spinner} {bytes}  {msg}",
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.enable_steady_tick(TICK);
        Bar { bar, bytes: Arc::default(), begun: Instant::now() }
    }

    /// Says how far it is.
    pub(super) fn at(&self, lines: u64, from: u64) {
        self.at_of(lines, from, "lines");
    }

    /// Says how many of something are done.
    pub(super) fn at_of(&self, lines: u64, from: u64, what: &str) {
        self.bar.set_position(self.bytes.load(Ordering::Relaxed));
        let rate = lines.saturating_sub(from) as f64 / self.begun.elapsed().as_secs_f64().max(0.001);
        self.bar.set_message(format!("{} {what}, {rate:.0} a second", HumanCount(lines)));
    }
}

/// A file, or standard input.
pub(super) fn source(path: &Path) -> Result<(Counted, Bar), Failure> {
    let fault = |reason| Failure::File { path: path.to_owned(), reason };
    let (inner, len): (Box<dyn Read + Send>, _) = if path == Path::new("-") {
        (Box::new(std::io::stdin()), None)
    } else {
        let file = File::open(path).map_err(fault)?;
        let len = file.metadata().map_err(fault)?;
        (Box::new(file), len.is_file().then_some(len.len()))
    };
    let bar = Bar::new(len);
    Ok((Counted { inner, bytes: Arc::clone(&bar.bytes) }, bar))
}

impl Import {
    /// The name of a file's import: said, or its full path. Standard input has none of its own.
    fn id(&self, number: usize, path: &Path) -> Option<String> {
        let id = match &self.id {
            Some(id) if self.files.len() == 1 => id.clone(),
            Some(id) => format!("{id}/{}", number + 1),
            None if path == Path::new("-") => return None,
            None => path.canonicalize().unwrap_or_else(|_| path.to_owned()).display().to_string(),
        };
        // Of a long path the end tells more than the beginning.
        let from = id.len().saturating_sub(IMPORT_ID_BYTES_MAX);
        let from = (from..=id.len()).find(|at| id.is_char_boundary(*at)).unwrap_or(id.len());
        id.get(from..).map(str::to_owned)
    }

    fn query(&self, store: StoreId, id: Option<String>) -> ImportQuery {
        ImportQuery {
            format: self.format.map(Into::into),
            on_bad_line: match self.on_error {
                OnError::Stop => OnBadLine::Stop,
                OnError::Skip => OnBadLine::Skip,
            },
            bad_lines_max: self.errors_max,
            id,
            chunk_lines: self.chunk_lines,
            restart: self.restart,
            ..ImportQuery::new(store)
        }
    }

    pub(super) fn run(&self) -> Result<ExitCode, Failure> {
        let place = match self.place.at.named_directory()? {
            Some(path) => self.directory(&path)?,
            None if self.model.is_some() => {
                return Err(Failure::Said(
                    "--model is for a directory, say --data DIR; at a server, `bailiwick model write FILE` comes first"
                        .into(),
                ));
            }
            None => Place::Server(Box::new(remote::Server::open(&self.place)?)),
        };
        let (mut bad, mut reports) = (false, Vec::new());
        for (number, path) in self.files.iter().enumerate() {
            let (source, bar) = source(path)?;
            let id = self.id(number, path);
            let done = match &place {
                Place::Directory(engine, store) => local(engine, &self.query(*store, id), source, &bar),
                Place::Server(server) => server.import(&self.query(server.store, id), source, &bar),
            };
            let done = done.map_err(|failure| Failure::Said(format!("{}: {failure}", path.display())))?;
            bar.bar.finish_and_clear();
            bad |= done.bad > 0;
            let seconds = bar.begun.elapsed().as_secs_f64();
            if self.json {
                reports.push(as_json(path, &done, seconds));
            } else {
                tell(path, &done, seconds);
            }
            if let Some(why) = done.stopped {
                self.print(&reports);
                let path = path.display();
                return Err(Failure::Said(format!("{path}: {why}; {}", what_is_in(done.lines))));
            }
        }
        self.print(&reports);
        Ok(if bad { ExitCode::from(1) } else { ExitCode::SUCCESS })
    }

    fn print(&self, reports: &[serde_json::Value]) {
        if self.json {
            reports.iter().for_each(say);
        }
    }

    /// Opens a directory, with the model that is wanted.
    fn directory(&self, path: &Path) -> Result<Place, Failure> {
        let named = self.place.named();
        let Some(file) = &self.model else {
            let engine = open(path)?;
            let store = store(&engine, named.as_deref())?;
            return Ok(Place::Directory(engine, store));
        };
        let model = read_model(file)?;
        let engine = Engine::open(path)?;
        if engine.stores(None, None, 1).0.is_empty() {
            engine.create_store(StoreId(fresh_id()), named.as_deref().unwrap_or("imported"), now())?;
        }
        let store = store(&engine, named.as_deref())?;
        // The same command again, after it was stopped, is not to write the same model again.
        if !engine.latest_model(store).is_ok_and(|latest| latest.model.to_json() == model.to_json()) {
            engine.write_model(store, ModelId(fresh_id()), model)?;
        }
        Ok(Place::Directory(engine, store))
    }
}

enum Place {
    Directory(Engine, StoreId),
    Server(Box<remote::Server>),
}

fn local(engine: &Engine, query: &ImportQuery, source: Counted, bar: &Bar) -> Result<Done, Failure> {
    let mut from = None;
    let told = &mut |done: &bailiwick::engine::ImportProgress| {
        bar.at(done.lines, *from.get_or_insert(done.lines));
        ControlFlow::Continue(())
    };
    let report = engine.import(query, source, &now, told).map_err(|error| Failure::Said(error.to_string()))?;
    Ok(Done::of(&report, &tokens(engine)?))
}

/// What makes the consistency tokens of a directory's database.
fn tokens(engine: &Engine) -> Result<Tokens, Failure> {
    Ok(Tokens::new(engine.identity(fresh_id().0)?))
}

fn what_is_in(lines: u64) -> String {
    match lines {
        0 => "nothing of it is imported".into(),
        _ => format!("the {} lines before its chunk are imported, the same command goes on there", HumanCount(lines)),
    }
}

/// Says in a line what was done, and names the bad lines.
fn tell(path: &Path, done: &Done, seconds: f64) {
    let name = path.display();
    for (number, why) in &done.bad_lines {
        note(format!("{name}:{number}: {why}"));
    }
    if done.bad > done.bad_lines.len() as u64 {
        note(format!("{name}: {} more bad lines", HumanCount(done.bad - done.bad_lines.len() as u64)));
    }
    if done.resumed_after > 0 {
        note(format!("{name}: went on behind line {}, where it had stopped", HumanCount(done.resumed_after)));
    }
    let rate = (done.lines - done.resumed_after) as f64 / seconds.max(0.001);
    say(format!(
        "{name}: {} lines: {} tuples written, {} there already, {} bad, in {seconds:.2} s ({rate:.0} lines a second)",
        HumanCount(done.lines),
        HumanCount(done.written),
        HumanCount(done.skipped),
        HumanCount(done.bad)
    ));
}

fn as_json(path: &Path, done: &Done, seconds: f64) -> serde_json::Value {
    let bad_lines: Vec<_> =
        done.bad_lines.iter().map(|(line, message)| serde_json::json!({"line": line, "message": message})).collect();
    serde_json::json!({
        "file": path.display().to_string(),
        "lines": done.lines,
        "written": done.written,
        "skipped": done.skipped,
        "bad": done.bad,
        "bad_lines": bad_lines,
        "resumed_after": done.resumed_after,
        "consistency_token": done.token,
        "stopped": done.stopped,
        "seconds": seconds,
    })
}

#[derive(Args)]
pub(super) struct Export {
    #[command(flatten)]
    place: InStore,
    /// Where to write; standard output when it is not given. The name's endings choose format and compression
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// How to write the tuples down; JSON lines unless FILE ends otherwise
    #[arg(long)]
    format: Option<Format>,
    /// How to compress; not at all unless FILE ends otherwise
    #[arg(long)]
    compression: Option<Squeeze>,
    /// Report as JSON, on standard error
    #[arg(long)]
    json: bool,
}

impl Export {
    fn query(&self, store: StoreId) -> ExportQuery {
        let name = self.output.as_deref().and_then(Path::file_name).map(|n| n.to_string_lossy().to_lowercase());
        let name = name.unwrap_or_default();
        let (stem, by_name) = match name.rsplit_once('.') {
            Some((stem, "zst" | "zstd")) => (stem, Squeeze::Zstd),
            Some((stem, "gz")) => (stem, Squeeze::Gzip),
            Some(_) | None => (name.as_str(), Squeeze::None),
        };
        let format = self.format.unwrap_or(match stem.rsplit_once('.') {
            Some((_, "csv")) => Format::Csv,
            Some((_, "json")) => Format::Json,
            Some(_) | None => Format::Jsonl,
        });
        let compression = match self.compression.unwrap_or(by_name) {
            Squeeze::Zstd => Compression::Zstd,
            Squeeze::Gzip => Compression::Gzip,
            Squeeze::None => Compression::None,
        };
        ExportQuery { store, format: format.into(), compression }
    }

    pub(super) fn run(&self) -> Result<ExitCode, Failure> {
        let Some(path) = &self.output else {
            let told = self.write(std::io::stdout())?;
            self.tell(&told);
            return Ok(ExitCode::SUCCESS);
        };
        // Whole or not there: half an export looks like a small one.
        let mut part = path.clone().into_os_string();
        part.push(".part");
        let part = PathBuf::from(part);
        let fault = |reason| Failure::File { path: part.clone(), reason };
        let file = File::create(&part).map_err(fault)?;
        let told = self.write(file.try_clone().map_err(fault)?)?;
        file.sync_all().map_err(fault)?;
        std::fs::rename(&part, path).map_err(|reason| Failure::File { path: path.clone(), reason })?;
        self.tell(&told);
        Ok(ExitCode::SUCCESS)
    }

    fn write(&self, sink: impl Write) -> Result<(Option<u64>, String), Failure> {
        let Some(path) = self.place.at.named_directory()? else {
            let server = remote::Server::open(&self.place)?;
            return Ok((None, server.export(&self.query(server.store), sink)?));
        };
        let engine = open(&path)?;
        let store = store(&engine, self.place.named().as_deref())?;
        let at = engine.export(&self.query(store), |_| sink).map_err(|error| Failure::Said(error.to_string()))?;
        Ok((Some(at.value), tokens(&engine)?.encode(at.revision)))
    }

    fn tell(&self, (tuples, token): &(Option<u64>, String)) {
        if self.json {
            note(serde_json::json!({"tuples": tuples, "consistency_token": token}));
        } else if let Some(tuples) = tuples {
            note(format!("{} tuples exported, as of token {token}", HumanCount(*tuples)));
        } else {
            note(format!("exported, as of token {token}"));
        }
    }
}
