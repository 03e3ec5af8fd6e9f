//! Bulk import and export: tuples as JSON lines, a JSON list or CSV, plain or compressed, to and from any stream.
//!
//! An import reads on one thread while the writer commits the chunk before on another. Each chunk is written whole or not
//! at all, together with a record of how far the import is, so that the same import goes on where it stopped, whatever
//! stopped it. An export streams one revision in constant memory.

mod export;
mod import;
mod parse;
mod progress;
mod source;
#[cfg(test)]
mod tests;

pub use export::{Compression, ExportError, ExportQuery};
pub(crate) use import::Stored;
pub use parse::{CONTEXT_BYTES_MAX, LineFault};
pub use source::{LINE_BYTES_MAX, SourceFault, decompressed};

use super::types::{QuestionError, WriteError};
use crate::tuple::{ModelId, Revision, StoreId};

/// Bad lines that a report names; all are counted.
pub const BAD_LINES_TOLD_MAX: usize = 100;
/// Lines that are written together, unless the caller says otherwise.
pub const CHUNK_LINES_DEFAULT: usize = 10_000;
/// The most lines that can be asked for.
pub const CHUNK_LINES_MAX: usize = 100_000;
/// Bytes of lines after which a chunk is written though it has few.
pub const CHUNK_BYTES_MAX: usize = 16 << 20;
/// The longest name of an import.
pub const IMPORT_ID_BYTES_MAX: usize = 256;

/// How tuples are written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BulkFormat {
    /// One JSON object a line: `{"user","relation","object","condition"}`, or that under `key`, as Read answers.
    JsonLines,
    /// A JSON list of such objects, or a Read answer with such a list under `tuples`. Import only.
    Json,
    /// CSV with the columns of the `fga` command line: `user_type,user_id,user_relation,relation,object_type,object_id,`
    /// `condition_name,condition_context`.
    Csv,
}

/// What an import does with a line that is no tuple, does not fit the model, or contradicts a stored condition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnBadLine {
    /// Writes nothing of the line's chunk and stops.
    #[default]
    Stop,
    /// Leaves the line out and reports it.
    Skip,
}

/// What to import and how.
#[derive(Clone, Debug)]
pub struct ImportQuery {
    /// Into which store.
    pub store: StoreId,
    /// The model that lines must fit; the store's latest when none is named.
    pub model: Option<ModelId>,
    /// How the tuples are written down; seen by the content when not said. Compression is always seen by the content.
    pub format: Option<BulkFormat>,
    /// What to do with a bad line.
    pub on_bad_line: OnBadLine,
    /// Stop when more lines than these are bad; only with [`OnBadLine::Skip`].
    pub bad_lines_max: Option<u64>,
    /// The name under which the import goes on after it was stopped. Without one it cannot.
    pub id: Option<String>,
    /// Lines that are written together, 1 to [`CHUNK_LINES_MAX`].
    pub chunk_lines: usize,
    /// Begin at the first line though an import of that name was stopped further on.
    pub restart: bool,
}

impl ImportQuery {
    /// Imports into a store with nothing said otherwise.
    #[must_use]
    pub fn new(store: StoreId) -> ImportQuery {
        ImportQuery {
            store,
            model: None,
            format: None,
            on_bad_line: OnBadLine::Stop,
            bad_lines_max: None,
            id: None,
            chunk_lines: CHUNK_LINES_DEFAULT,
            restart: false,
        }
    }
}

/// How far an import is. `lines` counts from the source's beginning, the other numbers only what this run did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImportProgress {
    /// Lines (JSON lines), records (CSV) or elements (JSON) that are done.
    pub lines: u64,
    /// Tuples written.
    pub written: u64,
    /// Tuples left out because they were there already, condition and all.
    pub skipped: u64,
    /// Bad lines left out.
    pub bad: u64,
}

/// A bad line.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("line {number}: {fault}")]
pub struct BadLine {
    /// Its number in the decompressed source, from 1; in a JSON list the number of the element.
    pub number: u64,
    /// What is wrong.
    pub fault: LineFault,
}

/// Why an import stopped before its end.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ImportStop {
    /// A bad line, with [`OnBadLine::Stop`].
    #[error(transparent)]
    Bad(BadLine),
    /// More bad lines than allowed, with [`OnBadLine::Skip`].
    #[error("more than {max} bad lines; correct the source or allow more")]
    TooManyBad {
        /// How many are allowed.
        max: u64,
    },
    /// The source cannot be read on.
    #[error("{0}")]
    Source(#[from] SourceFault),
    /// The database refused the chunk.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The caller did not want to go on.
    #[error("cancelled")]
    Cancelled,
}

/// What an import did.
#[derive(Clone, Debug, PartialEq)]
pub struct ImportReport {
    /// The revision that has all that was written.
    pub revision: Revision,
    /// How far it came and what it did.
    pub progress: ImportProgress,
    /// Lines that an earlier run had done, so that this one began behind them; 0 when it began at the first.
    pub resumed_after: u64,
    /// The first bad lines, at most [`BAD_LINES_TOLD_MAX`].
    pub bad_lines: Vec<BadLine>,
    /// Why it stopped; `None` when it came to the end. What `progress.lines` counts is in either way.
    pub stopped: Option<ImportStop>,
}

/// Why an import did not begin. Nothing was written.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ImportError {
    /// The store or the model is not there.
    #[error(transparent)]
    Question(#[from] QuestionError),
    /// The source's beginning cannot be read.
    #[error("{0}")]
    Source(#[from] SourceFault),
    /// The import's name cannot be used.
    #[error("the name of an import has 1 to {max} bytes, not {len}", max = IMPORT_ID_BYTES_MAX)]
    Id {
        /// Its length.
        len: usize,
    },
    /// The setting is out of bounds.
    #[error("a chunk has 1 to {max} lines, not {lines}", max = CHUNK_LINES_MAX)]
    Chunk {
        /// What was asked for.
        lines: usize,
    },
    /// The import of that name was stopped within another source.
    #[error(
        "import `{id}` stopped after line {lines} of a source that began otherwise; give the same source, another name, or \
         restart it"
    )]
    OtherSource {
        /// The import's name.
        id: String,
        /// Where it stopped.
        lines: u64,
    },
    /// The system has no more threads.
    #[error("no thread for the import: {reason}")]
    Thread {
        /// The system's words.
        reason: String,
    },
}
