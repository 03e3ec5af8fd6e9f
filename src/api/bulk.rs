//! What both surfaces share of import and export: settings in words, errors, and the bridges between streams that wait
//! without a thread and the engine, which reads and writes in one.

use crate::engine::{
    BulkFormat, Compression, ExportError, ImportError, ImportReport, ImportStop, OnBadLine, QuestionError, WriteError,
};
use crate::wire::{Code, Problem};
use axum::body::Bytes;
use std::io::{Error, ErrorKind, Read, Write};
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::{Stream, StreamExt as _};

/// Parts of a body that wait between the network and the engine.
const PARTS_WAITING_MAX: usize = 8;
/// Imports and exports that run at once in a process; others wait for their turn.
const AT_ONCE_MAX: usize = 8;
/// The most bytes of one import's source, as they are sent.
pub(super) const SOURCE_BYTES_MAX: u64 = 256 << 30;
/// How long the other side may neither send nor take anything.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// Taken for as long as an import or export runs.
pub(super) static TURNS: Semaphore = Semaphore::const_new(AT_ONCE_MAX);

/// A part of a source; an empty one is its end, so that a broken connection is not taken for it.
type Part = Result<Bytes, Error>;

/// A source for the engine, fed by [`pump`].
pub(super) struct Feed {
    parts: mpsc::Receiver<Part>,
    part: Bytes,
    ended: bool,
}

/// Where [`pump`] puts what comes in.
pub(super) struct Inlet(mpsc::Sender<Part>);

/// A source and where to put its parts.
pub(super) fn feed() -> (Inlet, Feed) {
    let (sender, parts) = mpsc::channel(PARTS_WAITING_MAX);
    (Inlet(sender), Feed { parts, part: Bytes::new(), ended: false })
}

impl Read for Feed {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        while self.part.is_empty() && !self.ended {
            let broken = || Error::new(ErrorKind::UnexpectedEof, "the connection ended before the source did");
            self.part = self.parts.blocking_recv().ok_or_else(broken)??;
            self.ended = self.part.is_empty();
        }
        let taken = self.part.split_to(buffer.len().min(self.part.len()));
        if let Some(to) = buffer.get_mut(..taken.len()) {
            to.copy_from_slice(&taken);
        }
        Ok(taken.len())
    }
}

/// Moves what comes in to the engine, until the source ends, breaks, idles or is too large, or nobody reads it.
pub(super) async fn pump(inlet: Inlet, stream: impl Stream<Item = Result<Bytes, String>>) {
    tokio::pin!(stream);
    let mut bytes = 0_u64;
    loop {
        let part = match tokio::time::timeout(IDLE_MAX, stream.next()).await {
            Err(_) => Err(Error::new(ErrorKind::TimedOut, "nothing came in for a minute")),
            Ok(None) => Ok(Bytes::new()),
            Ok(Some(Err(reason))) => Err(Error::other(reason)),
            Ok(Some(Ok(part))) if part.is_empty() => continue,
            Ok(Some(Ok(part))) => {
                bytes = bytes.saturating_add(part.len() as u64);
                let over = || Error::other(format!("a source has at most {SOURCE_BYTES_MAX} bytes; send it in parts"));
                if bytes > SOURCE_BYTES_MAX { Err(over()) } else { Ok(part) }
            }
        };
        let last = part.as_ref().map_or(true, Bytes::is_empty);
        if inlet.0.send(part).await.is_err() || last {
            return;
        }
    }
}

/// A sink for the engine; what is written comes out of the receiver. Only for threads that may wait.
pub(super) struct Outlet<T> {
    sender: mpsc::Sender<T>,
    runtime: tokio::runtime::Handle,
    wrap: fn(Bytes) -> T,
}

/// A sink, and a sender for what goes before and behind it.
pub(super) fn outlet<T>(wrap: fn(Bytes) -> T) -> (Outlet<T>, mpsc::Sender<T>, mpsc::Receiver<T>) {
    let (sender, receiver) = mpsc::channel(PARTS_WAITING_MAX);
    (Outlet { sender: sender.clone(), runtime: tokio::runtime::Handle::current(), wrap }, sender, receiver)
}

impl<T> Write for Outlet<T> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let part = (self.wrap)(Bytes::copy_from_slice(bytes));
        let sent = self.runtime.block_on(async { self.sender.send_timeout(part, IDLE_MAX).await });
        sent.map_err(|_| Error::new(ErrorKind::BrokenPipe, "nobody takes the export"))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn unknown<T>(what: &str, given: &str, known: &str) -> Result<T, Problem> {
    Err(Problem::new(Code::Validation, format!("`{given}` is no {what}; say {known}")))
}

pub(super) fn format(text: &str) -> Result<Option<BulkFormat>, Problem> {
    match text {
        "" => Ok(None),
        "jsonl" => Ok(Some(BulkFormat::JsonLines)),
        "json" => Ok(Some(BulkFormat::Json)),
        "csv" => Ok(Some(BulkFormat::Csv)),
        _ => unknown("format", text, "jsonl, json or csv"),
    }
}

pub(super) fn on_error(text: &str) -> Result<OnBadLine, Problem> {
    match text {
        "" | "stop" => Ok(OnBadLine::Stop),
        "skip" => Ok(OnBadLine::Skip),
        _ => unknown("on_error", text, "stop or skip"),
    }
}

pub(super) fn compression(text: &str) -> Result<Compression, Problem> {
    match text {
        "" | "none" => Ok(Compression::None),
        "zstd" => Ok(Compression::Zstd),
        "gzip" => Ok(Compression::Gzip),
        _ => unknown("compression", text, "zstd, gzip or none"),
    }
}

/// Why an import stopped, in a sentence that says what is in.
pub(super) fn stopped(report: &ImportReport) -> Option<Problem> {
    let stop = report.stopped.clone()?;
    let mut problem = Problem::from(stop);
    problem.message = match report.progress.lines {
        0 => format!("{}; nothing is imported", problem.message),
        lines => format!("{}; the {lines} lines before its chunk are imported", problem.message),
    };
    Some(problem)
}

impl From<ImportStop> for Problem {
    fn from(stop: ImportStop) -> Problem {
        let text = stop.to_string();
        match stop {
            ImportStop::Bad(_) | ImportStop::TooManyBad { .. } | ImportStop::Source(_) => {
                Problem::new(Code::Validation, text)
            }
            ImportStop::Write(error) => error.into(),
            ImportStop::Cancelled => Problem::new(Code::Cancelled, text),
        }
    }
}

impl From<ImportError> for Problem {
    fn from(error: ImportError) -> Problem {
        let text = error.to_string();
        match error {
            ImportError::Question(error) => error.into(),
            ImportError::Source(_)
            | ImportError::Id { .. }
            | ImportError::Chunk { .. }
            | ImportError::OtherSource { .. } => Problem::new(Code::Validation, text),
            ImportError::Thread { .. } => WriteError::Poisoned.into(),
        }
    }
}

impl From<ExportError> for Problem {
    fn from(error: ExportError) -> Problem {
        match error {
            ExportError::Question(error) => error.into(),
            ExportError::Sink(_) => QuestionError::Stopped.into(),
        }
    }
}

/// What a call ends with when the thread that ran it died of a fault of ours.
pub(super) fn died() -> Problem {
    Problem::new(Code::Internal, "Internal Server Error")
}
