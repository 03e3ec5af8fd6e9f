//! Chunks from files: JSON lines or Arrow IPC, with the vectors inside or in a NumPy file beside them.
//!
//! A stream, whatever the files hold: in memory are one line or one batch, and one row. What is wrong with one chunk is
//! said with its place, and the stream goes on behind it; what makes the rest unreadable ends it. Nothing here knows a
//! database: whether a vector fits the collection is for the one who writes it.

#[cfg(test)]
mod any_tests;
mod arrow;
mod lines;
mod npy;
#[cfg(test)]
mod tests;

use arrow::Arrow;
use bailiwick::tuple::{Object, ObjectRef};
use lines::Lines;
use npy::Npy;
use serde_json::{Map, Value};
use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

const NUMPY_MAGIC: &[u8] = b"\x93NUMPY";

/// Something to read, with the name that errors give it.
pub(super) struct Input {
    /// The file's name.
    pub(super) path: PathBuf,
    /// Its content; compressed content is seen by its first bytes.
    pub(super) source: Box<dyn Read + Send>,
}

/// Which fields of a line, or columns of a table, are what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fields {
    /// The chunk's id: text, or a whole number that is taken as text.
    pub(super) id: String,
    /// The object that guards it.
    pub(super) object: String,
    /// Put before values of `object` that do not begin with it.
    pub(super) object_prefix: Option<String>,
    /// The chunk's text. `None`: the field `text` of those that have one.
    pub(super) text: Option<String>,
    /// The vector, unless a NumPy file has it.
    pub(super) vector: String,
    /// What filters look at.
    pub(super) payload: PayloadFields,
}

/// Which fields become the payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PayloadFields {
    /// All that are nothing else.
    Others,
    /// These, of those that have them. They may be id, object and text too.
    These(Vec<String>),
}

impl Default for Fields {
    fn default() -> Fields {
        Fields {
            id: "id".into(),
            object: "object".into(),
            object_prefix: None,
            text: None,
            vector: "vector".into(),
            payload: PayloadFields::Others,
        }
    }
}

impl PayloadFields {
    /// A list with commas between, or `none`.
    pub(super) fn parse(text: &str) -> PayloadFields {
        let fields = text.split(',').map(str::trim).filter(|field| !field.is_empty() && text != "none");
        PayloadFields::These(fields.map(str::to_owned).collect())
    }
}

impl Fields {
    fn text(&self) -> &str {
        self.text.as_deref().unwrap_or("text")
    }

    fn in_payload(&self, field: &str) -> bool {
        match &self.payload {
            PayloadFields::Others => {
                ![self.id.as_str(), self.object.as_str(), self.text(), self.vector.as_str()].contains(&field)
            }
            PayloadFields::These(fields) => fields.iter().any(|one| one == field),
        }
    }
}

/// Where in its file something is, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A line of text.
    Line(u64),
    /// A row of a table or of a matrix.
    Row(u64),
}

/// A chunk as the files have it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct FileChunk {
    /// Where it was found, for what the database may say about it.
    pub(super) place: Place,
    /// Its id.
    pub(super) id: String,
    /// The object that guards it.
    pub(super) object: Object,
    /// Its vector, of whatever length and numbers the file has.
    pub(super) vector: Vec<f32>,
    /// Its text.
    pub(super) text: Option<String>,
    /// Its payload, when there is any.
    pub(super) payload: Option<Map<String, Value>>,
}

/// What is wrong with a file, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FileFault {
    /// Which file.
    pub(super) file: PathBuf,
    /// Which line or row; `None` when it is about the file.
    pub(super) place: Option<Place>,
    /// What is wrong, and what to do.
    pub(super) reason: String,
    /// Nothing can be read behind it.
    pub(super) ends: bool,
}

impl FileFault {
    fn whole(file: &Path, reason: String) -> FileFault {
        FileFault { file: file.to_owned(), place: None, reason, ends: true }
    }
}

impl fmt::Display for FileFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (file, reason) = (self.file.display(), &self.reason);
        match self.place {
            None => write!(f, "{file}: {reason}"),
            Some(Place::Line(line)) => write!(f, "{file}:{line}: {reason}"),
            Some(Place::Row(row)) => write!(f, "{file}: row {row}: {reason}"),
        }
    }
}

impl std::error::Error for FileFault {}

/// A chunk's parts before they are put together.
struct Parts {
    id: String,
    object: String,
    vector: Option<Vec<f32>>,
    text: Option<String>,
    payload: Map<String, Value>,
}

/// Parts, or what is wrong with them.
type Found = Result<Parts, String>;

enum Records {
    Lines(Lines),
    Arrow(Box<Arrow>),
}

impl Records {
    /// The next, with its place. `None` at the end; an error when nothing more can be read.
    fn next(&mut self, fields: &Fields, with_vector: bool) -> Result<Option<(Place, Found)>, String> {
        match self {
            Records::Lines(lines) => lines.next(fields, with_vector),
            Records::Arrow(arrow) => arrow.next(),
        }
    }

    /// Reads to the end and counts.
    fn count_rest(&mut self) -> Result<u64, String> {
        match self {
            Records::Lines(lines) => lines.count_rest(),
            Records::Arrow(arrow) => arrow.count_rest(),
        }
    }
}

/// The chunks of one or two files, one after the other.
pub(super) struct Chunks {
    chunks: PathBuf,
    records: Records,
    vectors: Option<(PathBuf, Npy)>,
    fields: Fields,
    done: u64,
    ended: bool,
}

impl Chunks {
    /// Begins to read. `vectors` is a NumPy file whose row k belongs to chunk k; without it chunks have their vectors.
    pub(super) fn open(chunks: Input, vectors: Option<Input>, fields: Fields) -> Result<Chunks, FileFault> {
        let fault = |reason| FileFault::whole(&chunks.path, reason);
        if matches!(&fields.payload, PayloadFields::These(these) if these.contains(&fields.vector)) {
            return Err(fault(format!("the vector `{}` cannot be payload; leave it out of --payload", fields.vector)));
        }
        let mut reader = bailiwick::engine::decompressed(chunks.source).map_err(|error| fault(unreadable(&error)))?;
        let head = reader.fill_buf().map_err(|error| fault(unreadable(&error)))?;
        let records = if head.starts_with(NUMPY_MAGIC) {
            Err("a NumPy file has no ids; give it as --vectors, and the chunks as JSON lines or Arrow IPC".into())
        } else if head.starts_with(b"PAR1") {
            Err("Parquet is not read; write the table as Arrow IPC, with pyarrow: pyarrow.ipc.new_file".into())
        } else if arrow::is_arrow(head) {
            Arrow::open(reader, &fields, vectors.is_none()).map(|arrow| Records::Arrow(Box::new(arrow)))
        } else {
            Lines::open(reader).map(Records::Lines)
        };
        let records = records.map_err(fault)?;
        let vectors = vectors.map(|Input { path, source }| match Npy::open(source) {
            Ok(npy) => Ok((path, npy)),
            Err(reason) => Err(FileFault::whole(&path, reason)),
        });
        Ok(Chunks { chunks: chunks.path, records, vectors: vectors.transpose()?, fields, done: 0, ended: false })
    }

    /// How many chunks there will be, where the files say so.
    pub(super) fn total(&self) -> Option<u64> {
        self.vectors.as_ref().map(|(_, npy)| npy.rows())
    }

    /// How many elements vectors have, where the files say so.
    pub(super) fn dimension(&self) -> Option<usize> {
        match (&self.vectors, &self.records) {
            (Some((_, npy)), _) => Some(npy.dimension()),
            (None, Records::Arrow(arrow)) => arrow.dimension(),
            (None, Records::Lines(_)) => None,
        }
    }

    fn step(&mut self) -> Result<Option<FileChunk>, FileFault> {
        let found = self.records.next(&self.fields, self.vectors.is_none());
        let found = found.map_err(|reason| FileFault::whole(&self.chunks, reason))?;
        let row = match &mut self.vectors {
            None => None,
            Some((_, npy)) if found.is_none() && self.done < npy.rows() => {
                return Err(self.unequal(self.done));
            }
            Some((path, npy)) => {
                let place = Some(Place::Row(self.done + 1)).filter(|_| self.done < npy.rows());
                npy.next().map_err(|reason| FileFault { file: path.clone(), place, reason, ends: true })?
            }
        };
        let Some((place, found)) = found else { return Ok(None) };
        self.done += 1;
        if row.is_none() && self.vectors.is_some() {
            let rest = self.records.count_rest().map_err(|reason| FileFault::whole(&self.chunks, reason))?;
            return Err(self.unequal(self.done + rest));
        }
        let chunk = found.and_then(|parts| self.whole(place, parts, row));
        chunk.map(Some).map_err(|reason| FileFault {
            file: self.chunks.clone(),
            place: Some(place),
            reason,
            ends: false,
        })
    }

    fn unequal(&self, chunks: u64) -> FileFault {
        let (path, rows) = self.vectors.as_ref().map_or((Path::new(""), 0), |(path, npy)| (path, npy.rows()));
        let reason = format!(
            "there are {chunks} chunks here and {rows} rows in {}; row k must belong to chunk k, so give files that \
             were made together",
            path.display()
        );
        FileFault::whole(&self.chunks, reason)
    }

    fn whole(&self, place: Place, parts: Parts, row: Option<Vec<f32>>) -> Result<FileChunk, String> {
        let Some(vector) = row.or(parts.vector) else {
            let field = &self.fields.vector;
            return Err(format!("there is no `{field}`; name the field with --vector, or give a .npy with --vectors"));
        };
        let object = match &self.fields.object_prefix {
            Some(prefix) if !parts.object.starts_with(prefix) => format!("{prefix}{}", parts.object),
            Some(_) | None => parts.object,
        };
        let object = ObjectRef::parse(&object).map_err(|error| {
            format!("`{}`: {error}; --object-prefix puts a type before ids, say document:", self.fields.object)
        })?;
        let payload = Some(parts.payload).filter(|payload| !payload.is_empty());
        Ok(FileChunk { place, id: parts.id, object: object.to_owned(), vector, text: parts.text, payload })
    }
}

impl Iterator for Chunks {
    type Item = Result<FileChunk, FileFault>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let found = self.step().transpose();
        self.ended = found.as_ref().is_none_or(|found| found.as_ref().is_err_and(|fault| fault.ends));
        found
    }
}

/// The row of a NumPy file of questions, counted from 0 as NumPy counts. One row, or no rows, need no number.
pub(super) fn question(file: Input, row: Option<u64>) -> Result<Vec<f32>, FileFault> {
    let fault = |reason| FileFault::whole(&file.path, reason);
    let mut npy = Npy::open_questions(file.source).map_err(fault)?;
    let rows = npy.rows();
    let wanted = match row {
        Some(row) if row < rows => row,
        Some(row) => return Err(fault(format!("there is no row {row} among {rows}, which are counted from 0"))),
        None if rows == 1 => 0,
        None => return Err(fault(format!("there are {rows} rows; say which with --row, counted from 0"))),
    };
    let mut found = None;
    for _ in 0..=wanted {
        found = npy.next().map_err(fault)?;
    }
    found.ok_or_else(|| fault("it has no rows".into()))
}

fn unreadable(error: &std::io::Error) -> String {
    format!("cannot be read on: {error}")
}
