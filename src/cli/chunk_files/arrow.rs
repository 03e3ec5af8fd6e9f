//! Chunks from Arrow IPC, batch by batch. A file is a stream between a magic and a footer, so that both are read alike.

use super::{Fields, Found, Parts, PayloadFields, Place, unreadable};
use arrow_array::cast::AsArray;
use arrow_array::types::{
    Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_ipc::reader::StreamReader;
use arrow_schema::{ArrowError, DataType, Schema};
use bailiwick::vector::{DIMENSION_MAX, half_to_f32};
use serde_json::{Map, Value};
use std::io::{BufRead, Cursor, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The most bytes of one batch with its dictionaries.
const BATCH_BYTES_MAX: u64 = 1 << 30;
/// How deep lists and dictionaries may stand in each other in the payload.
const DEPTH_MAX: usize = 4;

/// The most padding behind the magic.
const PADDING_BYTES_MAX: usize = 1 << 10;

const FILE_MAGIC: &[u8] = b"ARROW1";
/// Every message begins with it.
const CONTINUATION: &[u8] = &[0xff; 4];

/// What the first bytes look like.
pub(super) fn is_arrow(head: &[u8]) -> bool {
    head.starts_with(FILE_MAGIC) || head.starts_with(CONTINUATION)
}

/// Gives no more than is allowed.
pub(super) struct Bounded {
    pub(super) reader: Box<dyn BufRead + Send>,
    pub(super) left: u64,
}

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.left == 0 && !buffer.is_empty() {
            return Err(std::io::Error::other(format!(
                "a batch has more than {BATCH_BYTES_MAX} bytes; write smaller ones, with pyarrow: max_chunksize=10000"
            )));
        }
        let read = (&mut self.reader).take(self.left).read(buffer)?;
        self.left -= read as u64;
        Ok(read)
    }
}

/// The stream within a file. The magic is padded with zeros, to 8 bytes or to as many as the writer aligns to.
fn behind_magic(mut reader: Box<dyn BufRead + Send>) -> Result<Box<dyn BufRead + Send>, String> {
    let mut word = [0; 8];
    reader.read_exact(&mut word).map_err(|error| unreadable(&error))?;
    for _ in 0..PADDING_BYTES_MAX / word.len() {
        reader.read_exact(&mut word).map_err(|error| unreadable(&error))?;
        if word != [0; 8] {
            return Ok(Box::new(Cursor::new(word).chain(reader)));
        }
    }
    Err("no Arrow IPC: there is nothing behind its magic".into())
}

/// Where in a batch the parts of a chunk are.
struct Columns {
    id: usize,
    object: usize,
    text: Option<usize>,
    vector: Option<usize>,
    payload: Vec<(String, usize)>,
}

/// See the file's head.
pub(super) struct Arrow {
    reader: StreamReader<Bounded>,
    is_file: bool,
    columns: Columns,
    names: Names,
    batch: Option<RecordBatch>,
    /// The next row of the batch.
    at: usize,
    rows: u64,
}

/// How errors call the columns.
struct Names {
    id: String,
    object: String,
    text: String,
    vector: String,
}

impl Arrow {
    pub(super) fn open(
        mut reader: Box<dyn BufRead + Send>,
        fields: &Fields,
        with_vector: bool,
    ) -> Result<Arrow, String> {
        let is_file = reader.fill_buf().map_err(|error| unreadable(&error))?.starts_with(FILE_MAGIC);
        if is_file {
            reader = behind_magic(reader)?;
        }
        let bounded = Bounded { reader, left: BATCH_BYTES_MAX };
        let reader = unbroken(|| StreamReader::try_new(bounded, None))?.map_err(|error| fault(&error))?;
        let columns = columns(&reader.schema(), fields, with_vector)?;
        let names = Names {
            id: fields.id.clone(),
            object: fields.object.clone(),
            text: fields.text().to_owned(),
            vector: fields.vector.clone(),
        };
        Ok(Arrow { reader, is_file, columns, names, batch: None, at: 0, rows: 0 })
    }

    /// Elements of a vector, when the column's type says so.
    pub(super) fn dimension(&self) -> Option<usize> {
        let schema = self.reader.schema();
        let of = schema.fields().get(self.columns.vector?)?.data_type();
        if let DataType::FixedSizeList(_, size) = of { usize::try_from(*size).ok() } else { None }
    }

    pub(super) fn next(&mut self) -> Result<Option<(Place, Found)>, String> {
        loop {
            if let Some(batch) = self.batch.as_ref().filter(|batch| self.at < batch.num_rows()) {
                let found = parts(batch, &self.columns, &self.names, self.at);
                self.at += 1;
                self.rows += 1;
                return Ok(Some((Place::Row(self.rows), found)));
            }
            if !self.next_batch()? {
                return Ok(None);
            }
        }
    }

    fn next_batch(&mut self) -> Result<bool, String> {
        self.at = 0;
        self.batch = None;
        self.reader.get_mut().left = BATCH_BYTES_MAX;
        match unbroken(|| self.reader.next())? {
            Some(batch) => self.batch = Some(batch.map_err(|error| fault(&error))?),
            None if self.is_file => self.footer()?,
            None => {}
        }
        Ok(self.batch.is_some())
    }

    /// A stream may end anywhere between batches; a file that is whole ends in its magic.
    fn footer(&mut self) -> Result<(), String> {
        let reader = &mut self.reader.get_mut().reader;
        let mut tail = Vec::new();
        loop {
            let bytes = reader.fill_buf().map_err(|error| unreadable(&error))?;
            let count = bytes.len();
            if count == 0 {
                break;
            }
            let from = count.saturating_sub(FILE_MAGIC.len());
            tail.extend_from_slice(bytes.get(from..).unwrap_or_default());
            tail.drain(..tail.len().saturating_sub(FILE_MAGIC.len()));
            reader.consume(count);
        }
        if tail == FILE_MAGIC { Ok(()) } else { Err("the file ends early, without its footer; is it complete?".into()) }
    }

    /// Reads to the end and counts.
    pub(super) fn count_rest(&mut self) -> Result<u64, String> {
        let mut count = 0;
        loop {
            let rows = self.batch.as_ref().map_or(0, RecordBatch::num_rows);
            count += rows.saturating_sub(self.at) as u64;
            if !self.next_batch()? {
                return Ok(count);
            }
        }
    }
}

/// The decoder panics on some damage that it does not look for. The stream ends with the error, so that what the panic
/// left behind is not used again.
fn unbroken<T>(decode: impl FnOnce() -> T) -> Result<T, String> {
    let decoded = catch_unwind(AssertUnwindSafe(decode));
    decoded.map_err(|_| "no Arrow IPC that can be read on: a batch is damaged; write the file again".into())
}

fn fault(error: &ArrowError) -> String {
    let said = error.to_string();
    if said.contains("decompression requires") {
        return "its batches are compressed, which is not read; write it with compression=None, or compress the whole \
                file with zstd"
            .into();
    }
    format!("no Arrow IPC that can be read on: {said}")
}

fn columns(schema: &Schema, fields: &Fields, with_vector: bool) -> Result<Columns, String> {
    let find = |name: &str| schema.fields().iter().position(|field| field.name() == name);
    let need = |name: &str, flag: &str| {
        let there: Vec<_> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        find(name).ok_or_else(|| {
            format!("there is no column `{name}` among {}; name the column with {flag}", there.join(", "))
        })
    };
    let type_of = |at: usize| schema.fields().get(at).map_or(&DataType::Null, |field| field.data_type());
    let id = need(&fields.id, "--id")?;
    let object = need(&fields.object, "--object")?;
    let text = match &fields.text {
        Some(name) => Some(need(name, "--text")?),
        None => find(fields.text()),
    };
    for (at, name, flag) in [(id, &fields.id, "--id"), (object, &fields.object, "--object")] {
        if !is_text(type_of(at)) && !type_of(at).is_integer() {
            return Err(format!("the column `{name}` is {}, not text; name another with {flag}", type_of(at)));
        }
    }
    if let Some(at) = text.filter(|at| !is_text(type_of(*at))) {
        return Err(format!("the column `{}` is {}, not text; name another with --text", fields.text(), type_of(at)));
    }
    let vector = with_vector.then(|| need(&fields.vector, "--vector")).transpose()?;
    if let Some(at) = vector.filter(|at| !is_vector(type_of(*at))) {
        return Err(format!(
            "the column `{}` is {}, not lists of floats of 16, 32 or 64 bits; cast it, or name another with --vector",
            fields.vector,
            type_of(at)
        ));
    }
    let mut payload = Vec::new();
    if let PayloadFields::These(these) = &fields.payload {
        for name in these {
            payload.push((name.clone(), need(name, "--payload")?));
        }
    } else {
        let others = schema.fields().iter().enumerate().filter(|(_, field)| fields.in_payload(field.name()));
        payload.extend(others.map(|(at, field)| (field.name().clone(), at)));
    }
    for (name, at) in &payload {
        if !is_payload(type_of(*at), DEPTH_MAX) {
            return Err(format!(
                "the column `{name}` is {}, which no payload holds; cast it to text or a number, or leave it out with \
                 --payload",
                type_of(*at)
            ));
        }
    }
    Ok(Columns { id, object, text, vector, payload })
}

fn is_text(of: &DataType) -> bool {
    let of = if let DataType::Dictionary(_, values) = of { values } else { of };
    matches!(of, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

/// What lists of the type are lists of.
fn element(of: &DataType) -> Option<&DataType> {
    if let DataType::List(inner) | DataType::LargeList(inner) | DataType::FixedSizeList(inner, _) = of {
        return Some(inner.data_type());
    }
    None
}

fn is_vector(of: &DataType) -> bool {
    element(of).is_some_and(DataType::is_floating)
}

fn is_payload(of: &DataType, depth: usize) -> bool {
    let simple = of.is_integer() || of.is_floating() || matches!(of, DataType::Boolean | DataType::Null) || is_text(of);
    simple || (depth > 0 && element(of).is_some_and(|inner| is_payload(inner, depth - 1)))
}

fn parts(batch: &RecordBatch, columns: &Columns, names: &Names, row: usize) -> Found {
    let cell = |at: usize, name: &str| match batch.columns().get(at) {
        Some(column) => value(column, row, DEPTH_MAX).map_err(|reason| format!("`{name}` {reason}")),
        None => Err(format!("the column `{name}` is missing")),
    };
    let word = |at: usize, name: &str| match cell(at, name)? {
        Some(Value::String(text)) => Ok(text),
        Some(other) => Ok(other.to_string()),
        None => Err(format!("`{name}` is null")),
    };
    let mut payload = Map::new();
    for (name, at) in &columns.payload {
        if let Some(value) = cell(*at, name)? {
            payload.insert(name.clone(), value);
        }
    }
    let text = match columns.text.map(|at| cell(at, &names.text)).transpose()?.flatten() {
        Some(Value::String(text)) => Some(text),
        _ => None,
    };
    let vector = columns.vector.and_then(|at| batch.columns().get(at)).map(|column| vector(column, row));
    let vector = vector.transpose().map_err(|reason| format!("`{}` {reason}", names.vector))?;
    Ok(Parts { id: word(columns.id, &names.id)?, object: word(columns.object, &names.object)?, vector, text, payload })
}

/// The list of a row. `None` when it is null.
fn list(column: &ArrayRef, row: usize) -> Option<ArrayRef> {
    if column.is_null(row) {
        return None;
    }
    if let Some(lists) = column.as_list_opt::<i32>() {
        return Some(lists.value(row));
    }
    if let Some(lists) = column.as_list_opt::<i64>() {
        return Some(lists.value(row));
    }
    column.as_fixed_size_list_opt().map(|lists| lists.value(row))
}

fn vector(column: &ArrayRef, row: usize) -> Result<Vec<f32>, String> {
    let Some(elements) = list(column, row) else { return Err("is null".into()) };
    if elements.len() > DIMENSION_MAX {
        return Err(format!("has {} elements, more than {DIMENSION_MAX}", elements.len()));
    }
    if elements.null_count() > 0 {
        return Err("has an element that is null".into());
    }
    if let Some(floats) = elements.as_primitive_opt::<Float32Type>() {
        return Ok(floats.values().to_vec());
    }
    if let Some(floats) = elements.as_primitive_opt::<Float16Type>() {
        return Ok(floats.values().iter().map(|half| half_to_f32(half.to_bits())).collect());
    }
    match elements.as_primitive_opt::<Float64Type>() {
        Some(floats) => Ok(floats.values().iter().copied().map(super::npy::narrow).collect()),
        None => Err(format!("is {}, not a list of floats", elements.data_type())),
    }
}

/// A cell as JSON. `None` for null, and for NaN, which tables have where there is nothing.
fn value(column: &ArrayRef, row: usize, depth: usize) -> Result<Option<Value>, String> {
    if column.is_null(row) || *column.data_type() == DataType::Null {
        return Ok(None);
    }
    macro_rules! whole {
        ($($of:ty),*) => {$(
            if let Some(numbers) = column.as_primitive_opt::<$of>() {
                return Ok(Some(Value::from(numbers.value(row))));
            }
        )*};
    }
    macro_rules! dictionary {
        ($($of:ty),*) => {$(
            if let Some(words) = column.as_dictionary_opt::<$of>() {
                return match words.key(row) {
                    Some(key) if key < words.values().len() => value(words.values(), key, depth.saturating_sub(1)),
                    Some(_) | None => Ok(None),
                };
            }
        )*};
    }
    if let Some(texts) = column.as_string_opt::<i32>() {
        return Ok(Some(texts.value(row).into()));
    }
    if let Some(texts) = column.as_string_opt::<i64>() {
        return Ok(Some(texts.value(row).into()));
    }
    if let Some(texts) = column.as_string_view_opt() {
        return Ok(Some(texts.value(row).into()));
    }
    if let Some(truths) = column.as_boolean_opt() {
        return Ok(Some(truths.value(row).into()));
    }
    whole!(Int64Type, Int32Type, Int16Type, Int8Type, UInt64Type, UInt32Type, UInt16Type, UInt8Type);
    if let Some(floats) = column.as_primitive_opt::<Float64Type>() {
        return float(floats.value(row));
    }
    if let Some(floats) = column.as_primitive_opt::<Float32Type>() {
        return float(f64::from(floats.value(row)));
    }
    if let Some(floats) = column.as_primitive_opt::<Float16Type>() {
        return float(f64::from(half_to_f32(floats.value(row).to_bits())));
    }
    dictionary!(Int32Type, Int16Type, Int8Type, Int64Type, UInt32Type, UInt16Type, UInt8Type, UInt64Type);
    let Some(elements) = list(column, row).filter(|_| depth > 0) else {
        return Err(format!("is {}, which no payload holds", column.data_type()));
    };
    let values = (0..elements.len()).map(|at| value(&elements, at, depth - 1));
    Ok(Some(Value::Array(values.filter_map(Result::transpose).collect::<Result<_, _>>()?)))
}

fn float(number: f64) -> Result<Option<Value>, String> {
    if number.is_infinite() {
        return Err("is infinite, which JSON cannot say".into());
    }
    Ok(serde_json::Number::from_f64(number).map(Value::Number))
}
