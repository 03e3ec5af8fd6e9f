//! `bailiwick chunk import`: files of chunks and vectors into a collection, batch by batch. Chunks are put in place of those
//! with their ids, so that an import that was stopped is simply run again.

use super::Failure;
use super::bulk::{Bar, source};
use super::care::spinner;
use super::chunk_files::{Chunks, Fields, FileChunk, FileFault, Input, PayloadFields, Place as Spot};
use super::collection::{Element, InCollection, Metric, guard, guard_text, kind, listed};
use super::place::Place;
use super::show::{Look, count, grouped, note, say};
use bailiwick::api::own_proto as pb;
use bailiwick::engine::CHUNKS_PER_WRITE_MAX;
use clap::Args;
use serde_json::json;
use std::fs::File;
use std::iter::Peekable;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// What the help shows.
pub(super) const EXAMPLES: &str = "\
Examples: bailiwick chunk import --collection docs --create document#can_view --vectors chunks.npy --chunks chunks.jsonl
          bailiwick chunk import --collection docs --chunks chunks.arrow --object path --object-prefix document:

A line of --chunks is {\"id\": .., \"object\": \"document:1\", \"text\": ..} and more fields, which become the payload. Row k of
--vectors belongs to chunk k; without --vectors each chunk brings its own. Stopped half way? Run it again.";

/// Bytes of one batch, near enough; well below the longest request that a server takes.
const BATCH_BYTES_MAX: usize = 16 << 20;
/// What a chunk takes in a request besides its parts.
const CHUNK_BYTES: usize = 64;
/// Refused chunks that are named; the others are counted.
const REFUSED_NAMED_MAX: usize = 20;
/// How long to wait for rows to be laid out and for the graph.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(600);

#[derive(Args)]
pub(super) struct Import {
    /// The chunks: JSON lines or Arrow IPC, also compressed (gzip, zstd); `-` is standard input
    #[arg(long, value_name = "FILE")]
    chunks: PathBuf,
    /// Their vectors: a NumPy file of two dimensions whose row k belongs to chunk k
    #[arg(long, value_name = "FILE")]
    vectors: Option<PathBuf>,
    /// The field that is the id
    #[arg(long, value_name = "FIELD", default_value = "id", help_heading = "Fields")]
    id: String,
    /// The field that is the object which guards the chunk
    #[arg(long, value_name = "FIELD", default_value = "object", help_heading = "Fields")]
    object: String,
    /// Put before objects that do not begin with it, as in document:
    #[arg(long, value_name = "TEXT", help_heading = "Fields")]
    object_prefix: Option<String>,
    /// The field that is the text; `text` where there is one
    #[arg(long, value_name = "FIELD", help_heading = "Fields")]
    text: Option<String>,
    /// The field that is the vector, without --vectors
    #[arg(long, value_name = "FIELD", default_value = "vector", help_heading = "Fields")]
    vector: String,
    /// The fields that become the payload, with commas between, or none; all that are nothing else when not given
    #[arg(long, value_name = "FIELDS", help_heading = "Fields")]
    payload: Option<String>,
    /// Make the collection when there is none: who may see a chunk, as in document#can_view
    #[arg(long, value_name = "TYPE#RELATION", help_heading = "A new collection")]
    create: Option<String>,
    /// What is near to what [default: cosine]
    #[arg(long, value_enum, requires = "create", help_heading = "A new collection")]
    metric: Option<Metric>,
    /// How elements are kept [default: f32]
    #[arg(long, value_enum, requires = "create", help_heading = "A new collection")]
    element: Option<Element>,
    /// Chunks that are written together or not at all
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = batch)]
    batch: usize,
    /// Leave refused chunks out, and report them
    #[arg(long)]
    skip_refused: bool,
    #[command(flatten)]
    place: InCollection,
    #[command(flatten)]
    look: Look,
}

fn batch(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| (1..=CHUNKS_PER_WRITE_MAX).contains(number));
    number.ok_or_else(|| format!("a batch has 1 to {CHUNKS_PER_WRITE_MAX} chunks"))
}

/// The batch that is filled, and what became of those before it.
#[derive(Default)]
struct Done {
    batch: Vec<pb::NewChunk>,
    spots: Vec<Spot>,
    bytes: usize,
    written: u64,
    refused: u64,
    /// The first of them.
    named: Vec<FileFault>,
    token: String,
    /// How many chunks there are, when the files say so.
    total: Option<u64>,
}

impl Done {
    fn refuse(&mut self, fault: FileFault) {
        self.refused += 1;
        if self.named.len() < REFUSED_NAMED_MAX {
            self.named.push(fault);
        }
    }
}

/// An open place, and the collection there.
struct Target {
    place: Place,
    store_id: String,
    collection: String,
}

type Files = Peekable<Chunks>;

impl Import {
    pub(super) fn run(&self) -> Result<ExitCode, Failure> {
        // What can be wrong with the files is said before a database is opened.
        let wanted = self.create.as_deref().map(guard).transpose()?;
        let said = |fault: &FileFault| Failure::Said(fault.to_string());
        let (chunks, bar) = self.files()?;
        let (dimension, total) = (chunks.dimension(), chunks.total());
        let mut chunks = chunks.peekable();
        if let Some(Err(fault)) = chunks.peek()
            && (fault.ends || !self.skip_refused)
        {
            return Err(said(fault));
        }
        let dimension = match (dimension, chunks.peek()) {
            (Some(dimension), _) => Some(dimension),
            (None, Some(Ok(first))) => Some(first.vector.len()),
            (None, Some(Err(_)) | None) => None,
        };
        let (place, store_id) = self.place.store.open()?;
        let target = Target { place, store_id, collection: self.place.collection.clone() };
        bar.bar.suspend(|| self.collection(&target, wanted, dimension))?;
        let mut done = Done { total, ..Done::default() };
        let written = self.write_all(&target, chunks, &mut done, &bar);
        bar.bar.finish_and_clear();
        let seconds = bar.begun.elapsed().as_secs_f64();
        if let Err(failure) = written {
            self.tell_refused(&done);
            let what = match done.written {
                0 => "nothing is written".to_owned(),
                n => format!(
                    "{} before its batch are written; the same command writes them again and goes on",
                    count(n, "chunk")
                ),
            };
            return Err(Failure::Said(format!("{failure}; {what}")));
        }
        target.settle();
        self.tell(&done, seconds);
        Ok(if done.refused > 0 { ExitCode::from(1) } else { ExitCode::SUCCESS })
    }

    /// Opens the files.
    fn files(&self) -> Result<(Chunks, Bar), Failure> {
        let fields = Fields {
            id: self.id.clone(),
            object: self.object.clone(),
            object_prefix: self.object_prefix.clone(),
            text: self.text.clone(),
            vector: self.vector.clone(),
            payload: self.payload.as_deref().map_or(PayloadFields::Others, PayloadFields::parse),
        };
        let vectors = match &self.vectors {
            None => None,
            Some(path) => {
                let file = File::open(path).map_err(|reason| Failure::File { path: path.clone(), reason })?;
                Some(Input { path: path.clone(), source: Box::new(file) })
            }
        };
        let (counted, bar) = source(&self.chunks)?;
        let input = Input { path: self.chunks.clone(), source: Box::new(counted) };
        match Chunks::open(input, vectors, fields) {
            Ok(chunks) => Ok((chunks, bar)),
            Err(fault) => Err(Failure::Said(fault.to_string())),
        }
    }

    /// Finds the collection, or makes it; what is there must fit.
    fn collection(&self, target: &Target, wanted: Option<pb::Guard>, dimension: Option<usize>) -> Result<(), Failure> {
        let name = &target.collection;
        let known = listed(&target.place, &target.store_id)?.into_iter().find(|of| of.name == *name);
        let Some(known) = known else {
            let Some(guard) = wanted else {
                return Err(Failure::Said(format!(
                    "there is no collection `{name}`; --create TYPE#RELATION makes it, as in --create document#can_view"
                )));
            };
            let Some(dimension) = dimension else {
                return Err(Failure::Said(format!(
                    "{}: there is no chunk to tell the dimension; make the collection with `bailiwick collection create`",
                    self.chunks.display()
                )));
            };
            let request = pb::CreateCollectionRequest {
                store_id: target.store_id.clone(),
                name: name.clone(),
                dimension: u32::try_from(dimension).unwrap_or(u32::MAX),
                metric: self.metric.unwrap_or(Metric::Cosine).text().to_owned(),
                element: Some(self.element.unwrap_or(Element::F32).text().to_owned()),
                guard: Some(guard),
            };
            let made = target.place.chunks(async |mut client| client.create_collection(request).await)?;
            note(format!("made collection {name}: {}", kind(&made)));
            return Ok(());
        };
        let other = wanted.is_some_and(|wanted| known.guard.as_ref() != Some(&wanted))
            || self.metric.is_some_and(|metric| metric.text() != known.metric)
            || self.element.is_some_and(|element| element.text() != known.element);
        if other {
            return Err(Failure::Said(format!(
                "collection `{name}` is there already, and is another: {}; choose another name, or leave out --create",
                kind(&known)
            )));
        }
        match dimension.filter(|dimension| u32::try_from(*dimension) != Ok(known.dimension)) {
            Some(dimension) if self.vectors.is_some() || !self.skip_refused => Err(Failure::Said(format!(
                "{}: vectors have {dimension} elements here, and {} in collection `{name}` ({}); give files that were \
                 made by the same model",
                self.vectors.as_ref().unwrap_or(&self.chunks).display(),
                known.dimension,
                guard_text(&known)
            ))),
            Some(_) | None => Ok(()),
        }
    }

    fn write_all(&self, target: &Target, chunks: Files, done: &mut Done, bar: &Bar) -> Result<(), Failure> {
        let of = done.total.map_or("chunks".to_owned(), |total| format!("of {}", count(total, "chunk")));
        for chunk in chunks {
            match chunk {
                Ok(chunk) => {
                    let (spot, chunk) = message(chunk);
                    let bytes = size(&chunk);
                    if done.bytes + bytes > BATCH_BYTES_MAX {
                        self.write(target, done)?;
                    }
                    done.bytes += bytes;
                    done.batch.push(chunk);
                    done.spots.push(spot);
                    if done.batch.len() >= self.batch {
                        self.write(target, done)?;
                        bar.at_of(done.written + done.refused, 0, &of);
                    }
                }
                Err(fault) if fault.ends || !self.skip_refused => return Err(Failure::Said(fault.to_string())),
                Err(fault) => done.refuse(fault),
            }
        }
        self.write(target, done)
    }

    /// Writes the batch and empties it.
    fn write(&self, target: &Target, done: &mut Done) -> Result<(), Failure> {
        done.bytes = 0;
        let (chunks, spots) = (std::mem::take(&mut done.batch), std::mem::take(&mut done.spots));
        if chunks.is_empty() {
            return Ok(());
        }
        let fault = |at: usize, reason: String| {
            let place = spots.get(at).copied();
            FileFault { file: self.chunks.clone(), place, reason, ends: false }
        };
        let ids: Vec<String> = chunks.iter().map(|chunk| chunk.id.clone()).collect();
        let request = pb::WriteChunksRequest {
            store_id: target.store_id.clone(),
            collection: target.collection.clone(),
            chunks,
            on_refused: self.skip_refused.then(|| "skip".to_owned()),
            ..pb::WriteChunksRequest::default()
        };
        let answer = target.place.chunks(async |mut client| client.write_chunks(request).await);
        let answer = answer.map_err(|failure| match refused_at(&failure, &ids) {
            Some((at, reason)) => Failure::Said(fault(at, reason).to_string()),
            None => failure,
        })?;
        done.written += answer.upserted;
        done.token = answer.token;
        for refused in answer.refused {
            let at = usize::try_from(refused.position).unwrap_or(usize::MAX);
            done.refuse(fault(at, format!("chunk '{}': {}", refused.id, refused.reason)));
        }
        Ok(())
    }

    fn tell_refused(&self, done: &Done) {
        if self.look.json {
            return;
        }
        done.named.iter().for_each(note);
        let more = done.refused - done.named.len() as u64;
        if more > 0 {
            note(format!("{}: {} more chunks are refused", self.chunks.display(), grouped(more)));
        }
    }

    fn tell(&self, done: &Done, seconds: f64) {
        let rate = done.written as f64 / seconds.max(0.001);
        if self.look.json {
            let named: Vec<_> = done.named.iter().map(ToString::to_string).collect();
            say(json!({
                "written": done.written, "refused": done.refused, "refused_first": named, "seconds": seconds,
                "token": done.token,
            }));
            return;
        }
        self.tell_refused(done);
        let refused = if done.refused > 0 { format!(", {} refused", grouped(done.refused)) } else { String::new() };
        let written = count(done.written, "chunk");
        let file = self.chunks.display();
        say(format!("{file}: {written} written{refused}, in {seconds:.1} s ({rate:.0} chunks a second)"));
    }
}

impl Target {
    /// In a directory nobody goes on when this command ends: waits until rows are laid out and the graph is kept.
    fn settle(&self) {
        let Some(engine) = self.place.engine() else { return };
        let bar = spinner("written; laying out rows and building the graph (Ctrl-C loses nothing but this work)");
        let settled = engine.settle(SETTLE_TIMEOUT);
        bar.finish_and_clear();
        if !settled {
            note(format!(
                "the graph was not finished within {} s; it is built on when the database is next open",
                SETTLE_TIMEOUT.as_secs()
            ));
        }
    }
}

/// A chunk of a file as a request has it.
fn message(chunk: FileChunk) -> (Spot, pb::NewChunk) {
    let FileChunk { place, id, object, vector, text, payload } = chunk;
    let payload = payload.map(|fields| serde_json::Value::Object(fields).to_string());
    (place, pb::NewChunk { id, object: object.to_string(), vector, text, payload })
}

fn size(chunk: &pb::NewChunk) -> usize {
    let texts = [Some(&chunk.id), Some(&chunk.object), chunk.text.as_ref(), chunk.payload.as_ref()];
    CHUNK_BYTES + chunk.vector.len() * size_of::<f32>() + texts.into_iter().flatten().map(String::len).sum::<usize>()
}

/// Which chunk of the batch a refusal is about, and the refusal without its place in the batch.
fn refused_at(failure: &Failure, ids: &[String]) -> Option<(usize, String)> {
    let Failure::Refused { message, .. } = failure else { return None };
    ids.iter().enumerate().find_map(|(at, id)| {
        let fault = message.strip_prefix(&format!("chunk '{id}' (number {at} of the request): "))?;
        Some((at, format!("chunk '{id}': {fault}")))
    })
}
