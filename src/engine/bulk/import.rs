//! The import: one thread reads, checks and gathers chunks; the caller's hands each to the writer and waits until it is
//! durable. So reading goes on while the chunk before is written.

use super::progress::{Kept, Place};
use super::source::Source;
use super::{
    BAD_LINES_TOLD_MAX, BadLine, CHUNK_BYTES_MAX, CHUNK_LINES_MAX, IMPORT_ID_BYTES_MAX, ImportError, ImportProgress,
    ImportQuery, ImportReport, ImportStop, LineFault, OnBadLine, parse,
};
use crate::engine::records::RecordChange;
use crate::engine::state::StoreEntry;
use crate::engine::{At, Consistency, Engine, View, WriteError, writer};
use crate::tuple::{ModelId, Revision, Timestamp, Tuple};
use crossbeam::channel::{Receiver, Sender, bounded};
use foldhash::fast::FixedState;
use hashbrown::HashTable;
use std::hash::BuildHasher as _;
use std::io::Read;
use std::ops::ControlFlow;
use std::sync::Arc;

/// Chunks that wait for the writer while the reader goes on.
const CHUNKS_WAITING_MAX: usize = 1;
/// How often a chunk is looked through again because others wrote contradicting conditions in the meantime.
const CONFLICT_ROUNDS_MAX: usize = 8;

/// Lines of the source that are written together.
#[derive(Default)]
struct Chunk {
    tuples: Vec<Tuple>,
    /// The number of each tuple's line.
    numbers: Vec<u64>,
    /// Tuples that were twice in the chunk.
    duplicates: u64,
    bad: u64,
    bad_lines: Vec<BadLine>,
    /// Where the source is behind the chunk.
    place: Option<Place>,
    /// Nothing follows, because of this.
    end: Option<End>,
}

enum End {
    Finished,
    Stopped(ImportStop),
}

impl Engine {
    /// Imports tuples from a source until its end, a bad line, or `told` saying that it is enough.
    ///
    /// Each chunk is durable before `told` hears of it. The report says how far the import came; whatever stopped it, all of
    /// `report.progress.lines` is in, and nothing behind. `clock` gives the times of writing.
    ///
    /// # Errors
    /// The import did not begin: no such store or model, an unreadable source, or a name that was used with another source.
    pub fn import(
        &self,
        query: &ImportQuery,
        source: impl Read + Send + 'static,
        clock: &dyn Fn() -> Timestamp,
        told: &mut dyn FnMut(&ImportProgress) -> ControlFlow<()>,
    ) -> Result<ImportReport, ImportError> {
        if !(1..=CHUNK_LINES_MAX).contains(&query.chunk_lines) {
            return Err(ImportError::Chunk { lines: query.chunk_lines });
        }
        let model = self.view(query.store, query.model, Consistency::Latest)?.model_id();
        let kept = query.id.as_deref().map(|id| {
            let fine = (1..=IMPORT_ID_BYTES_MAX).contains(&id.len());
            if fine { Kept::of(self, query, id) } else { Err(ImportError::Id { len: id.len() }) }
        });
        let kept = kept.transpose()?;
        let mut source = Source::open(Box::new(source), query.format)?;
        let from = match &kept {
            Some(kept) if !query.restart => kept.read()?,
            _ => None,
        };
        let resumed_after = from.map_or(0, |place| place.lines);
        if let Some(place) = from {
            skip(&mut source, place, query)?;
        }
        let (sender, chunks) = bounded(CHUNKS_WAITING_MAX);
        let reader = ChunkReader { engine: self.clone(), query: query.clone(), model, source, sender };
        // Not joined: it ends with its source, or when it finds that nobody waits for its chunks.
        std::thread::Builder::new()
            .name("import".into())
            .spawn(move || reader.run())
            .map_err(|error| ImportError::Thread { reason: error.to_string() })?;
        let progress = ImportProgress { lines: resumed_after, ..ImportProgress::default() };
        let mut run = Run { engine: self, query, kept, progress, revision: self.revision(), bad_lines: Vec::new() };
        let stopped = run.write(&chunks, clock, told).err();
        let Run { progress, revision, bad_lines, .. } = run;
        Ok(ImportReport { revision, progress, resumed_after, bad_lines, stopped })
    }
}

/// Reads the lines that are done already, and checks that they are the same ones.
fn skip(source: &mut Source, place: Place, query: &ImportQuery) -> Result<(), ImportError> {
    let mut more = true;
    while more && source.place().lines < place.lines {
        more = source.next()?.is_some();
    }
    if source.place() == place {
        return Ok(());
    }
    Err(ImportError::OtherSource { id: query.id.clone().unwrap_or_default(), lines: place.lines })
}

struct ChunkReader {
    engine: Engine,
    query: ImportQuery,
    model: ModelId,
    source: Source,
    sender: Sender<Chunk>,
}

impl ChunkReader {
    fn run(mut self) {
        let mut bad = 0;
        loop {
            let mut chunk = self.chunk(&mut bad).unwrap_or_else(stopped);
            chunk.place = Some(self.source.place());
            let last = chunk.end.is_some();
            if self.sender.send(chunk).is_err() || last {
                return;
            }
        }
    }

    fn chunk(&mut self, bad: &mut u64) -> Result<Chunk, ImportStop> {
        // Pinned anew for each chunk: a snapshot that is held makes the writer copy what it changes.
        let view = self.engine.view(self.query.store, Some(self.model), Consistency::Latest);
        let view = view.map_err(|error| ImportStop::Write(error.into()))?;
        let mut gather = Gather { view, seen: HashTable::new(), chunk: Chunk::default() };
        let (start, bytes) = (self.source.place().lines, self.source.bytes());
        let mut text = [String::new(), String::new()];
        while self.source.place().lines - start < self.query.chunk_lines as u64
            && self.source.bytes() - bytes < CHUNK_BYTES_MAX as u64
        {
            let Some((number, item)) = self.source.next()? else {
                gather.chunk.end = Some(End::Finished);
                break;
            };
            let taken = match parse::tuple(item, &mut text) {
                Ok(None) => continue,
                Ok(Some(tuple)) => gather.take(tuple, number),
                Err(fault) => Err(fault),
            };
            let Err(fault) = taken else { continue };
            *bad += 1;
            match self.query.on_bad_line {
                OnBadLine::Stop => return Err(ImportStop::Bad(BadLine { number, fault })),
                OnBadLine::Skip => gather.chunk.blame(number, fault),
            }
            if let Some(max) = self.query.bad_lines_max.filter(|max| *bad > *max) {
                gather.chunk.end = Some(End::Stopped(ImportStop::TooManyBad { max }));
                break;
            }
        }
        Ok(gather.chunk)
    }
}

fn stopped(stop: ImportStop) -> Chunk {
    Chunk { end: Some(End::Stopped(stop)), ..Chunk::default() }
}

struct Gather {
    view: View,
    /// Places in `chunk.tuples`, by the hash of their keys.
    seen: HashTable<usize>,
    chunk: Chunk,
}

impl Gather {
    /// Adds a tuple that the model allows, unless it is there.
    fn take(&mut self, tuple: Tuple, number: u64) -> Result<(), LineFault> {
        self.view.allows(&tuple)?;
        let hasher = FixedState::with_seed(0);
        let tuples = &mut self.chunk.tuples;
        let known = |at: usize| tuples.get(at);
        let hash = hasher.hash_one(tuple.key());
        if let Some(at) = self.seen.find(hash, |at| known(*at).is_some_and(|t| t.key() == tuple.key())) {
            if known(*at).is_some_and(|t| t.condition == tuple.condition) {
                self.chunk.duplicates += 1;
                return Ok(());
            }
            return Err(LineFault::Twice { first: self.chunk.numbers.get(*at).copied().unwrap_or_default() });
        }
        let rehash = |at: &usize| tuples.get(*at).map_or(0, |t| hasher.hash_one(t.key()));
        self.seen.insert_unique(hash, tuples.len(), rehash);
        self.chunk.tuples.push(tuple);
        self.chunk.numbers.push(number);
        Ok(())
    }
}

impl Chunk {
    fn blame(&mut self, number: u64, fault: LineFault) {
        self.bad += 1;
        if self.bad_lines.len() < BAD_LINES_TOLD_MAX {
            self.bad_lines.push(BadLine { number, fault });
        }
    }
}

/// One import, as the thread that writes sees it.
struct Run<'a> {
    engine: &'a Engine,
    query: &'a ImportQuery,
    kept: Option<Kept>,
    progress: ImportProgress,
    revision: Revision,
    bad_lines: Vec<BadLine>,
}

impl Run<'_> {
    fn write(
        &mut self,
        chunks: &Receiver<Chunk>,
        clock: &dyn Fn() -> Timestamp,
        told: &mut dyn FnMut(&ImportProgress) -> ControlFlow<()>,
    ) -> Result<(), ImportStop> {
        loop {
            // The reader sends an end before it goes; without one it died of a fault of ours, which is in the log.
            let mut chunk = chunks.recv().map_err(|_| ImportStop::Write(WriteError::Poisoned))?;
            let finished = match chunk.end.take() {
                Some(End::Stopped(stop)) => {
                    self.tell(chunk.bad_lines);
                    return Err(stop);
                }
                Some(End::Finished) => true,
                None => false,
            };
            self.commit(chunk, finished, clock())?;
            let enough = told(&self.progress).is_break();
            if finished {
                return Ok(());
            }
            if enough {
                return Err(ImportStop::Cancelled);
            }
        }
    }

    /// Makes a chunk durable together with the record of how far the import is.
    fn commit(&mut self, mut chunk: Chunk, finished: bool, now: Timestamp) -> Result<(), ImportStop> {
        let place = chunk.place.unwrap_or(Place { lines: self.progress.lines, sum: 0 });
        let mut rounds = 0;
        loop {
            rounds += 1;
            let record = self.kept.as_ref().map(|kept| if finished { kept.delete() } else { kept.put(place) });
            let tuples = Arc::new(std::mem::take(&mut chunk.tuples));
            match self.submit(&tuples, record, now) {
                Ok(at) => {
                    self.revision = self.revision.max(at.revision);
                    self.progress.lines = place.lines;
                    self.progress.written += at.value;
                    self.progress.skipped += tuples.len() as u64 - at.value + chunk.duplicates;
                    self.progress.bad += chunk.bad;
                    self.tell(chunk.bad_lines);
                    return Ok(());
                }
                Err(WriteError::ConditionDiffers { .. }) if rounds < CONFLICT_ROUNDS_MAX => {
                    self.part(&mut chunk, &tuples)?;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn tell(&mut self, bad_lines: Vec<BadLine>) {
        let room = BAD_LINES_TOLD_MAX.saturating_sub(self.bad_lines.len());
        self.bad_lines.extend(bad_lines.into_iter().take(room));
    }

    fn submit(
        &self,
        tuples: &Arc<Vec<Tuple>>,
        record: Option<RecordChange>,
        now: Timestamp,
    ) -> Result<At<u64>, WriteError> {
        let records = record.into_iter().collect();
        if tuples.is_empty() && self.kept.is_none() {
            return Ok(At { revision: self.engine.revision(), value: 0 });
        }
        self.engine.submit_counted(writer::Change::Import {
            store: self.query.store,
            tuples: Arc::clone(tuples),
            records,
            at: now,
        })
    }

    /// Parts the tuples that contradict a stored condition from the others.
    fn part(&self, chunk: &mut Chunk, tuples: &[Tuple]) -> Result<(), ImportStop> {
        let snapshot = self.engine.inner.snapshot.load();
        let store = snapshot.store(self.query.store);
        let numbers = std::mem::take(&mut chunk.numbers);
        for (tuple, number) in tuples.iter().zip(numbers) {
            if store.and_then(|store| store.stored(tuple)) != Some(Stored::Differently) {
                chunk.tuples.push(tuple.clone());
                chunk.numbers.push(number);
                continue;
            }
            let fault = LineFault::ConditionDiffers;
            match self.query.on_bad_line {
                OnBadLine::Stop => return Err(ImportStop::Bad(BadLine { number, fault })),
                OnBadLine::Skip => chunk.blame(number, fault),
            }
        }
        match self.query.bad_lines_max {
            Some(max) if self.progress.bad + chunk.bad > max => Err(ImportStop::TooManyBad { max }),
            _ => Ok(()),
        }
    }
}

/// How a tuple that is there is stored.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stored {
    /// With the same condition and context.
    Same,
    /// With others.
    Differently,
}

impl StoreEntry {
    /// Whether a tuple is stored, and how. `None`: it is not.
    pub(crate) fn stored(&self, tuple: &Tuple) -> Option<Stored> {
        let (column, object, subject) = self.locate(tuple)?;
        let class = self.index.find(column, object, subject)?.map(|class| self.index.class(class));
        let same = match (class, &tuple.condition) {
            (None, None) => true,
            (Some(stored), Some(given)) => stored.condition == given.name && stored.context == given.context,
            (Some(_), None) | (None, Some(_)) => false,
        };
        Some(if same { Stored::Same } else { Stored::Differently })
    }
}
