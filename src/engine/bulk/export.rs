//! The export: every tuple of a store at one revision, in the order they were written, in constant memory.

use super::BulkFormat;
use super::parse::COLUMNS;
use crate::engine::state::{StoreEntry, TupleRow};
use crate::engine::{At, Engine, QuestionError};
use crate::index::{Class, SubjectPart};
use crate::storage::{Key, StorageError, Table};
use crate::tuple::{ObjectRef, Revision, StoreId, SubjectRef, TupleKeyRef};
use std::fmt::Write as _;
use std::io::{BufWriter, Write};

const BUFFER_BYTES: usize = 64 << 10;

/// How an export is compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// Zstandard: small and fast.
    Zstd,
    /// Gzip, which everything reads.
    Gzip,
}

/// What to export and how.
#[derive(Clone, Copy, Debug)]
pub struct ExportQuery {
    /// Which store.
    pub store: StoreId,
    /// How the tuples are written down. [`BulkFormat::Json`] is a list of the same objects as JSON lines.
    pub format: BulkFormat,
    /// How the whole is compressed.
    pub compression: Compression,
}

/// Why an export ended before its end.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The store is not there, or the disk failed.
    #[error(transparent)]
    Question(#[from] QuestionError),
    /// Nobody takes what is written.
    #[error("the export cannot be written on: {0}")]
    Sink(#[from] std::io::Error),
}

impl Engine {
    /// Writes every tuple of a store, as they are at the newest revision, which `begin` is told before it gives the sink.
    /// Answers how many there were.
    ///
    /// # Errors
    /// No such store, the disk failed, or the sink did.
    pub fn export<W: Write>(
        &self,
        query: &ExportQuery,
        begin: impl FnOnce(Revision) -> W,
    ) -> Result<At<u64>, ExportError> {
        let (reading, snapshot) = self.reading()?;
        let Some(entry) = snapshot.store(query.store) else {
            return Err(QuestionError::StoreNotFound(query.store).into());
        };
        let sink = BufWriter::with_capacity(BUFFER_BYTES, begin(snapshot.revision));
        let mut sink = Sink::new(sink, query.compression)?;
        let mut lines = Lines { format: query.format, count: 0, line: Vec::new(), text: String::new() };
        lines.begin(&mut sink)?;
        let mut failed = None;
        let prefix = Key::of(Table::BySequence).u32(entry.number);
        let scanned = reading.scan(&prefix, None, |key, value| {
            let row = TupleRow::by_sequence(key, value).ok_or(StorageError)?;
            let (key, class) = words(entry, &row).ok_or(StorageError)?;
            failed = lines.put(&mut sink, key, class).err();
            Ok(failed.is_none())
        });
        scanned.map_err(|_| QuestionError::Storage)?;
        if let Some(error) = failed {
            return Err(error.into());
        }
        lines.end(&mut sink)?;
        sink.finish()?;
        Ok(At { revision: snapshot.revision, value: lines.count })
    }
}

/// A row in words; `None` when a name is missing: damage.
fn words<'a>(entry: &'a StoreEntry, row: &TupleRow) -> Option<(TupleKeyRef<'a>, Option<&'a Class>)> {
    let index = &entry.index;
    let key = index.column_key(row.column);
    let object =
        ObjectRef { object_type: index.type_name(key.object_type), id: index.name(key.object_type, row.object)? };
    let object_type = index.type_name(key.subject_type);
    let subject = match key.part {
        SubjectPart::Wildcard => SubjectRef::Wildcard { object_type },
        SubjectPart::Object => {
            SubjectRef::Object(ObjectRef { object_type, id: index.name(key.subject_type, row.subject)? })
        }
        SubjectPart::Userset(relation) => SubjectRef::Userset {
            object: ObjectRef { object_type, id: index.name(key.subject_type, row.subject)? },
            relation: index.relation_name(relation),
        },
    };
    let key = TupleKeyRef { object, relation: index.relation_name(key.relation), subject };
    Some((key, row.class.map(|class| index.class(class))))
}

/// The sink behind its compression.
enum Sink<W: Write> {
    Plain(W),
    Zstd(zstd::Encoder<'static, W>),
    Gzip(flate2::write::GzEncoder<W>),
}

impl<W: Write> Sink<W> {
    fn new(sink: W, compression: Compression) -> std::io::Result<Sink<W>> {
        Ok(match compression {
            Compression::None => Sink::Plain(sink),
            Compression::Zstd => Sink::Zstd(zstd::Encoder::new(sink, zstd::DEFAULT_COMPRESSION_LEVEL)?),
            Compression::Gzip => Sink::Gzip(flate2::write::GzEncoder::new(sink, flate2::Compression::default())),
        })
    }

    fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        match self {
            Sink::Plain(sink) => sink.write_all(bytes),
            Sink::Zstd(sink) => sink.write_all(bytes),
            Sink::Gzip(sink) => sink.write_all(bytes),
        }
    }

    fn finish(self) -> std::io::Result<()> {
        let mut sink = match self {
            Sink::Plain(sink) => sink,
            Sink::Zstd(sink) => sink.finish()?,
            Sink::Gzip(sink) => sink.finish()?,
        };
        sink.flush()
    }
}

struct Lines {
    format: BulkFormat,
    count: u64,
    line: Vec<u8>,
    text: String,
}

impl Lines {
    fn begin<W: Write>(&mut self, sink: &mut Sink<W>) -> std::io::Result<()> {
        match self.format {
            BulkFormat::JsonLines => Ok(()),
            BulkFormat::Json => sink.write(b"["),
            BulkFormat::Csv => {
                let header = COLUMNS.join(",");
                sink.write(header.as_bytes())?;
                sink.write(b"\n")
            }
        }
    }

    fn end<W: Write>(&mut self, sink: &mut Sink<W>) -> std::io::Result<()> {
        match self.format {
            BulkFormat::JsonLines | BulkFormat::Csv => Ok(()),
            BulkFormat::Json => sink.write(b"\n]\n"),
        }
    }

    fn put<W: Write>(
        &mut self,
        sink: &mut Sink<W>,
        key: TupleKeyRef<'_>,
        class: Option<&Class>,
    ) -> std::io::Result<()> {
        self.line.clear();
        match self.format {
            BulkFormat::JsonLines => self.json(key, class)?,
            BulkFormat::Json => {
                self.line.extend_from_slice(if self.count == 0 { b"\n" } else { b",\n" });
                self.json(key, class)?;
            }
            BulkFormat::Csv => self.csv(key, class)?,
        }
        if self.format != BulkFormat::Json {
            self.line.push(b'\n');
        }
        self.count += 1;
        sink.write(&self.line)
    }

    fn json(&mut self, key: TupleKeyRef<'_>, class: Option<&Class>) -> std::io::Result<()> {
        let subject: &dyn std::fmt::Display = &key.subject;
        for (name, part) in [("{\"user\":", subject), (",\"relation\":", &key.relation), (",\"object\":", &key.object)]
        {
            self.line.extend_from_slice(name.as_bytes());
            self.text.clear();
            let _ = write!(self.text, "{part}"); // writing to a string cannot fail
            serde_json::to_writer(&mut self.line, &self.text)?;
        }
        if let Some(class) = class {
            self.line.extend_from_slice(b",\"condition\":{\"name\":");
            serde_json::to_writer(&mut self.line, &class.condition)?;
            self.line.extend_from_slice(b",\"context\":");
            serde_json::to_writer(&mut self.line, &class.context)?;
            self.line.push(b'}');
        }
        self.line.push(b'}');
        Ok(())
    }

    fn csv(&mut self, key: TupleKeyRef<'_>, class: Option<&Class>) -> std::io::Result<()> {
        let (id, relation) = match key.subject {
            SubjectRef::Object(object) => (object.id, ""),
            SubjectRef::Userset { object, relation } => (object.id, relation),
            SubjectRef::Wildcard { .. } => ("*", ""),
        };
        let context = class.map(|c| serde_json::to_string(&c.context)).transpose()?.unwrap_or_default();
        let condition = class.map_or("", |c| c.condition.as_str());
        let subject_type = key.subject.object_type();
        let object = key.object;
        let fields = [subject_type, id, relation, key.relation, object.object_type, object.id, condition, &context];
        for (at, field) in fields.into_iter().enumerate() {
            if at > 0 {
                self.line.push(b',');
            }
            if field.bytes().any(|b| matches!(b, b',' | b'"' | b'\n' | b'\r')) {
                self.line.push(b'"');
                self.line.extend_from_slice(field.replace('"', "\"\"").as_bytes());
                self.line.push(b'"');
            } else {
                self.line.extend_from_slice(field.as_bytes());
            }
        }
        Ok(())
    }
}
