//! Reads a source as items: lines, CSV records or elements of a JSON list, decompressed when its first bytes say so.
//!
//! Memory is bounded whatever the source holds: one item of at most [`LINE_BYTES_MAX`] and the buffers of the decoder.

use super::BulkFormat;
use super::parse::{Columns, LineFault};
use super::progress::Place;
use std::io::{BufRead, BufReader, Cursor, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The longest line (record, element) that is read.
pub const LINE_BYTES_MAX: usize = 256 << 10;
const BUFFER_BYTES: usize = 256 << 10;
/// Most bytes that are looked at to tell what a source is; only white space makes it need so many.
const HEAD_BYTES_MAX: usize = 4 << 10;
/// As long as the longest mark of a compression.
const MARK_BYTES: usize = 4;
/// What may stand behind the list of a Read answer.
const TAIL_BYTES_MAX: u64 = 64 << 10;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Why a source cannot be read on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SourceFault {
    /// The bytes cannot be had: a disk, a connection, or damaged compression.
    #[error("the source cannot be read on: {reason}")]
    Unreadable {
        /// Why.
        reason: String,
    },
    /// The first line of CSV does not name the columns.
    #[error(
        "{reason}; the columns are user_type,user_id,user_relation,relation,object_type,object_id,condition_name,\
         condition_context"
    )]
    Header {
        /// What is wrong with it.
        reason: String,
    },
    /// It is not what its beginning promised.
    #[error("{reason}")]
    Form {
        /// What is wrong, and what to do.
        reason: String,
    },
}

impl From<std::io::Error> for SourceFault {
    fn from(error: std::io::Error) -> SourceFault {
        SourceFault::Unreadable { reason: error.to_string() }
    }
}

fn form(reason: impl Into<String>) -> SourceFault {
    SourceFault::Form { reason: reason.into() }
}

type Plain = Box<dyn BufRead + Send>;

/// An item as it was found.
pub(super) enum Item<'a> {
    Json(&'a [u8]),
    Csv(&'a csv::StringRecord, &'a Columns),
    Bad(LineFault),
}

/// See the file's head.
pub(super) struct Source {
    items: Items,
    /// Items read.
    done: u64,
    read: Tally,
}

/// What was read of all items.
#[derive(Default)]
struct Tally {
    bytes: u64,
    sum: flate2::Crc,
}

impl Tally {
    fn add(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        self.sum.update(bytes);
    }
}

enum Items {
    Lines { reader: Plain, line: Vec<u8> },
    List(List),
    Csv(Box<Records>),
}

struct List {
    reader: Plain,
    element: Vec<u8>,
    /// Within a Read answer: there is something behind the list.
    within: bool,
    ended: bool,
}

struct Records {
    reader: csv::Reader<Allowance>,
    allowed: Arc<AtomicUsize>,
    record: csv::StringRecord,
    columns: Columns,
    /// A record was longer than is read.
    ended: bool,
}

/// A reader that gives no more than is allowed until it is told that a record was complete.
struct Allowance {
    reader: Plain,
    left: Arc<AtomicUsize>,
}

impl Read for Allowance {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let left = self.left.load(Ordering::Relaxed);
        if left == 0 {
            return Err(std::io::Error::other(LineFault::TooLong.to_string()));
        }
        let end = buffer.len().min(left);
        let read = self.reader.read(buffer.get_mut(..end).unwrap_or_default())?;
        self.left.store(left - read, Ordering::Relaxed);
        Ok(read)
    }
}

/// Reads until the first bytes are `enough`, which the size of single reads must not decide. Gives them, and all of the source
/// with them.
fn begun(mut rest: impl BufRead, enough: impl Fn(&[u8]) -> bool) -> std::io::Result<(Vec<u8>, impl BufRead)> {
    let mut head = Vec::new();
    while !enough(&head) && head.len() < HEAD_BYTES_MAX {
        let bytes = match rest.fill_buf() {
            Ok([]) => break,
            Ok(bytes) => bytes.get(..HEAD_BYTES_MAX - head.len()).unwrap_or(bytes),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let count = bytes.len();
        head.extend_from_slice(bytes);
        rest.consume(count);
    }
    Ok((head.clone(), Cursor::new(head).chain(rest)))
}

/// The content, decompressed when its first bytes are those of zstd or gzip.
pub fn decompressed(source: Box<dyn Read + Send>) -> std::io::Result<Box<dyn BufRead + Send>> {
    let raw = BufReader::with_capacity(BUFFER_BYTES, source);
    let (head, raw) = begun(raw, |head| head.len() >= MARK_BYTES)?;
    let skippable = matches!(*head, [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..]);
    if skippable || head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        return Ok(Box::new(BufReader::with_capacity(BUFFER_BYTES, zstd::Decoder::with_buffer(raw)?)));
    }
    if head.starts_with(&[0x1f, 0x8b]) {
        return Ok(Box::new(BufReader::with_capacity(BUFFER_BYTES, flate2::bufread::MultiGzDecoder::new(raw))));
    }
    Ok(Box::new(raw))
}

/// Takes a byte when it is the one that is wanted, after white space.
fn takes(reader: &mut Plain, wanted: u8) -> Result<bool, SourceFault> {
    loop {
        let Some(byte) = reader.fill_buf()?.first().copied() else { return Ok(false) };
        if byte.is_ascii_whitespace() || byte == wanted {
            reader.consume(1);
        }
        if !byte.is_ascii_whitespace() {
            return Ok(byte == wanted);
        }
    }
}

/// What the first bytes look like. `None` while more of them could tell otherwise.
fn seen(head: &[u8]) -> Option<BulkFormat> {
    if BYTE_ORDER_MARK.starts_with(head) {
        return None;
    }
    let text = head.strip_prefix(BYTE_ORDER_MARK).unwrap_or(head);
    let (first, rest) = text.trim_ascii_start().split_first()?;
    let rest = rest.trim_ascii_start();
    match first {
        b'[' => Some(BulkFormat::Json),
        b'{' if rest.starts_with(b"\"tuples\"") => Some(BulkFormat::Json),
        b'{' if b"\"tuples\"".starts_with(rest) => None,
        b'{' => Some(BulkFormat::JsonLines),
        _ => Some(BulkFormat::Csv),
    }
}

/// Reads as many bytes as there is room for. False when the source has fewer.
fn filled(reader: &mut Plain, room: &mut [u8]) -> Result<bool, SourceFault> {
    match reader.read_exact(room) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error.into()),
    }
}

impl Source {
    pub(super) fn open(source: Box<dyn Read + Send>, format: Option<BulkFormat>) -> Result<Source, SourceFault> {
        let (head, reader) = begun(decompressed(source)?, |head| seen(head).is_some())?;
        let mut reader: Plain = Box::new(reader);
        if head.starts_with(BYTE_ORDER_MARK) {
            reader.consume(BYTE_ORDER_MARK.len());
        }
        let format = format.or_else(|| seen(&head)).unwrap_or(BulkFormat::JsonLines);
        let items = match format {
            BulkFormat::JsonLines => Items::Lines { reader, line: Vec::new() },
            BulkFormat::Json => Items::List(List::open(reader)?),
            BulkFormat::Csv => Items::Csv(Box::new(Records::open(reader)?)),
        };
        Ok(Source { items, done: 0, read: Tally::default() })
    }

    /// Items read, and a sum over all of their bytes.
    pub(super) fn place(&self) -> Place {
        Place { lines: self.done, sum: self.read.sum.sum() }
    }

    /// Bytes of all items read.
    pub(super) fn bytes(&self) -> u64 {
        self.read.bytes
    }

    /// The next item with its number for a person. `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<(u64, Item<'_>)>, SourceFault> {
        let read = &mut self.read;
        let found = match &mut self.items {
            Items::Lines { reader, line } => next_line(reader, line)?.then(|| (self.done + 1, json(line, read))),
            Items::List(list) => list.next()?.then(|| (self.done + 1, json(&list.element, read))),
            Items::Csv(records) => records.next(read)?,
        };
        self.done += u64::from(found.is_some());
        Ok(found)
    }
}

fn json<'a>(bytes: &'a [u8], read: &mut Tally) -> Item<'a> {
    read.add(bytes);
    if bytes.len() > LINE_BYTES_MAX { Item::Bad(LineFault::TooLong) } else { Item::Json(bytes.trim_ascii()) }
}

/// Reads a line; of one that is too long only its beginning. False at the end.
fn next_line(reader: &mut Plain, line: &mut Vec<u8>) -> Result<bool, SourceFault> {
    line.clear();
    let read = reader.take(LINE_BYTES_MAX as u64 + 2).read_until(b'\n', line)?;
    if line.ends_with(b"\n") {
        line.pop();
    } else if line.len() > LINE_BYTES_MAX {
        reader.skip_until(b'\n')?;
    }
    Ok(read > 0)
}

impl List {
    fn open(mut reader: Plain) -> Result<List, SourceFault> {
        let within = takes(&mut reader, b'{')?;
        if within {
            let mut name = [0; 7];
            let named = takes(&mut reader, b'"')? && filled(&mut reader, &mut name)? && name == *b"tuples\"";
            if !named || !takes(&mut reader, b':')? {
                return Err(form("a JSON source is a list, or an object that begins with the list `tuples`"));
            }
        }
        if !takes(&mut reader, b'[')? {
            return Err(form("a JSON source is a list of tuples; for one object a line say the format jsonl"));
        }
        Ok(List { reader, element: Vec::new(), within, ended: false })
    }

    /// Reads an element; of one that is too long only its beginning. False at the end.
    fn next(&mut self) -> Result<bool, SourceFault> {
        let first = self.element.is_empty();
        self.element.clear();
        if self.ended || takes(&mut self.reader, b']')? {
            if !self.ended {
                self.ended = true;
                self.tail()?;
            }
            return Ok(false);
        }
        if !first && !takes(&mut self.reader, b',')? {
            return Err(form("a comma or `]` is missing in the list, or the source ends within it"));
        }
        let (mut depth, mut in_text, mut escaped) = (0_u32, false, false);
        loop {
            let bytes = self.reader.fill_buf()?;
            if bytes.is_empty() {
                return Err(form("the source ends within its list; is it complete?"));
            }
            let mut end = None;
            for (at, byte) in bytes.iter().enumerate() {
                match byte {
                    _ if escaped => escaped = false,
                    b'\\' if in_text => escaped = true,
                    b'"' => in_text = !in_text,
                    _ if in_text => {}
                    b',' | b']' | b'}' if depth == 0 => end = Some(at),
                    b'{' | b'[' => depth += 1,
                    b'}' | b']' => depth -= 1,
                    _ => {}
                }
                if end.is_some() {
                    break;
                }
            }
            let taken = end.unwrap_or(bytes.len());
            let room = (LINE_BYTES_MAX + 1).saturating_sub(self.element.len()).min(taken);
            self.element.extend_from_slice(bytes.get(..room).unwrap_or_default());
            self.reader.consume(taken);
            if end.is_some() {
                break;
            }
        }
        if self.element.is_empty() {
            self.element.push(b','); // nothing between two commas: bad, and not the first
        }
        Ok(true)
    }

    /// Checks what stands behind the list.
    fn tail(&mut self) -> Result<(), SourceFault> {
        let mut tail = Vec::new();
        (&mut self.reader).take(TAIL_BYTES_MAX).read_to_end(&mut tail)?;
        let tail = tail.trim_ascii();
        if !self.within {
            return if tail.is_empty() { Ok(()) } else { Err(form("there is something behind the end of the list")) };
        }
        #[derive(serde::Deserialize)]
        struct Rest {
            #[serde(default)]
            continuation_token: String,
        }
        let whole = [b"{\"tuples\":[]", tail].concat();
        let rest: Rest = serde_json::from_slice(&whole).map_err(|_| form("what stands behind the list is no JSON"))?;
        if rest.continuation_token.is_empty() {
            return Ok(());
        }
        Err(form("this is one page of a Read answer, with more behind it; read all pages and import them"))
    }
}

impl Records {
    fn open(reader: Plain) -> Result<Records, SourceFault> {
        let allowed = Arc::new(AtomicUsize::new(LINE_BYTES_MAX));
        let reader = Allowance { reader, left: Arc::clone(&allowed) };
        let mut reader = csv::ReaderBuilder::new().buffer_capacity(BUFFER_BYTES).from_reader(reader);
        let header = reader.headers().map_err(|error| {
            let broken = matches!(error.kind(), csv::ErrorKind::Io(_)) && allowed.load(Ordering::Relaxed) > 0;
            let reason = text(&error);
            if broken { SourceFault::Unreadable { reason } } else { SourceFault::Header { reason } }
        })?;
        let columns = Columns::of(header)?;
        Ok(Records { reader, allowed, record: csv::StringRecord::new(), columns, ended: false })
    }

    fn next(&mut self, read: &mut Tally) -> Result<Option<(u64, Item<'_>)>, SourceFault> {
        if self.ended {
            return Err(form("a record is longer than is read, so where the next begins is not known"));
        }
        self.allowed.store(LINE_BYTES_MAX + BUFFER_BYTES, Ordering::Relaxed);
        let line = self.reader.position().line();
        match self.reader.read_record(&mut self.record) {
            Ok(false) => Ok(None),
            Ok(true) => {
                let line = self.record.position().map_or(line, csv::Position::line);
                read.add(self.record.as_slice().as_bytes());
                read.add(b"\n");
                Ok(Some((line, Item::Csv(&self.record, &self.columns))))
            }
            Err(error) => {
                let line = error.position().map_or(line, csv::Position::line);
                if matches!(error.kind(), csv::ErrorKind::Io(_)) {
                    if self.allowed.load(Ordering::Relaxed) > 0 {
                        return Err(SourceFault::Unreadable { reason: text(&error) });
                    }
                    self.ended = true;
                    return Ok(Some((line, Item::Bad(LineFault::TooLong))));
                }
                read.add(b"\0\n");
                Ok(Some((line, Item::Bad(LineFault::Csv { reason: text(&error) }))))
            }
        }
    }
}

/// The csv crate's errors without its own prefixes.
fn text(error: &csv::Error) -> String {
    if let csv::ErrorKind::UnequalLengths { expected_len, len, .. } = error.kind() {
        return format!("{len} columns where the first line has {expected_len}");
    }
    if matches!(error.kind(), csv::ErrorKind::Utf8 { .. }) {
        return "not UTF-8".into();
    }
    error.to_string()
}
