//! A matrix in NumPy's format, versions 1.0 to 3.0, row by row: two dimensions of half, single or double floats.

use super::{NUMPY_MAGIC, unreadable};
use bailiwick::vector::{DIMENSION_MAX, half_to_f32};
use std::io::{BufRead, ErrorKind, Read};

/// The longest header that is read; NumPy's own is 118 bytes for a matrix.
const HEADER_BYTES_MAX: usize = 64 << 10;

const ADVICE: &str = "save it with numpy.save(file, numpy.ascontiguousarray(vectors, numpy.float32))";

#[derive(Clone, Copy)]
enum Width {
    Half,
    Single,
    Double,
}

/// See the file's head.
pub(super) struct Npy {
    reader: Box<dyn BufRead + Send>,
    width: Width,
    big_endian: bool,
    rows: u64,
    dimension: usize,
    done: u64,
    /// The bytes of one row.
    row: Vec<u8>,
}

impl Npy {
    /// Begins to read a matrix, a row a chunk.
    pub(super) fn open(source: Box<dyn Read + Send>) -> Result<Npy, String> {
        Npy::open_as(source, false)
    }

    /// Begins to read questions: a row each, or one alone without rows.
    pub(super) fn open_questions(source: Box<dyn Read + Send>) -> Result<Npy, String> {
        Npy::open_as(source, true)
    }

    fn open_as(source: Box<dyn Read + Send>, alone: bool) -> Result<Npy, String> {
        let mut reader = bailiwick::engine::decompressed(source).map_err(|error| unreadable(&error))?;
        let header = Header::parse(&header(&mut reader)?)?;
        let (big_endian, width) = match header.descr.as_str() {
            "<f2" => (false, Width::Half),
            "<f4" => (false, Width::Single),
            "<f8" => (false, Width::Double),
            ">f2" => (true, Width::Half),
            ">f4" => (true, Width::Single),
            ">f8" => (true, Width::Double),
            other => return Err(format!("its elements are `{other}`, not floats of 16, 32 or 64 bits; {ADVICE}")),
        };
        let (rows, dimension) = match *header.shape.as_slice() {
            [rows, dimension] => (rows, dimension),
            [dimension] if alone => (1, dimension),
            _ => {
                let shape = &header.shape;
                return Err(format!("its shape is {shape:?}, not rows and columns; {ADVICE}, one row a chunk"));
            }
        };
        if header.fortran_order && rows > 1 {
            return Err(format!("it is in Fortran order, columns one after the other; {ADVICE}"));
        }
        let dimension = usize::try_from(dimension).unwrap_or(usize::MAX);
        if dimension == 0 || dimension > DIMENSION_MAX {
            return Err(format!("its rows have {dimension} elements; vectors have 2 to {DIMENSION_MAX}"));
        }
        let bytes = match width {
            Width::Half => 2,
            Width::Single => 4,
            Width::Double => 8,
        };
        Ok(Npy { reader, width, big_endian, rows, dimension, done: 0, row: vec![0; dimension * bytes] })
    }

    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    pub(super) fn dimension(&self) -> usize {
        self.dimension
    }

    /// The next row. `None` behind the last, when the file ends there.
    pub(super) fn next(&mut self) -> Result<Option<Vec<f32>>, String> {
        if self.done == self.rows {
            let rest = self.reader.fill_buf().map_err(|error| unreadable(&error))?;
            return if rest.is_empty() {
                Ok(None)
            } else {
                Err(format!("there is more behind the {} rows that its header names; save it again", self.rows))
            };
        }
        let ends = || format!("the file ends here, its header names {} rows; is it complete?", self.rows);
        self.reader.read_exact(&mut self.row).map_err(|error| short(&error, ends()))?;
        self.done += 1;
        Ok(Some(match self.width {
            Width::Half => self.elements(|bytes| half_to_f32(u16::from_be_bytes(bytes))),
            Width::Single => self.elements(|bytes| f32::from_bits(u32::from_be_bytes(bytes))),
            Width::Double => self.elements(|bytes| narrow(f64::from_bits(u64::from_be_bytes(bytes)))),
        }))
    }

    fn elements<const N: usize>(&self, of: impl Fn([u8; N]) -> f32) -> Vec<f32> {
        let (elements, _) = self.row.as_chunks::<N>();
        let ordered = |mut bytes: [u8; N]| {
            if !self.big_endian {
                bytes.reverse();
            }
            bytes
        };
        elements.iter().map(|bytes| of(ordered(*bytes))).collect()
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the nearest is asked for; what is too large becomes infinite")]
pub(super) fn narrow(value: f64) -> f32 {
    value as f32
}

/// What to say of a file that ends early, unless it is something else that is wrong.
fn short(error: &std::io::Error, ends: String) -> String {
    if error.kind() == ErrorKind::UnexpectedEof { ends } else { unreadable(error) }
}

/// The header's text, behind magic, version and length.
fn header(reader: &mut impl Read) -> Result<String, String> {
    let short = |error: std::io::Error| short(&error, format!("it ends within its header; {ADVICE}"));
    let mut head = [0; 8];
    reader.read_exact(&mut head).map_err(short)?;
    if head.starts_with(b"PK") {
        return Err(format!("an .npz is an archive of arrays; {ADVICE}"));
    }
    let Some([major, _]) = head.strip_prefix(NUMPY_MAGIC) else {
        return Err(format!("it is no NumPy file; {ADVICE}"));
    };
    let bytes = match major {
        1 => {
            let mut bytes = [0; 2];
            reader.read_exact(&mut bytes).map_err(short)?;
            bytes.reverse();
            usize::from(u16::from_be_bytes(bytes))
        }
        2 | 3 => {
            let mut bytes = [0; 4];
            reader.read_exact(&mut bytes).map_err(short)?;
            bytes.reverse();
            usize::try_from(u32::from_be_bytes(bytes)).unwrap_or(usize::MAX)
        }
        other => return Err(format!("version {other} of NumPy's format is not known; {ADVICE}")),
    };
    if bytes > HEADER_BYTES_MAX {
        return Err(format!("its header has {bytes} bytes, more than {HEADER_BYTES_MAX}; {ADVICE}"));
    }
    let mut text = vec![0; bytes];
    reader.read_exact(&mut text).map_err(short)?;
    String::from_utf8(text).map_err(|_| format!("its header is no text; {ADVICE}"))
}

#[derive(Default)]
struct Header {
    descr: String,
    fortran_order: bool,
    shape: Vec<u64>,
}

impl Header {
    /// Reads `{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2), }`.
    fn parse(text: &str) -> Result<Header, String> {
        let mut rest = Literal(text);
        let mut header = Header::default();
        let mut seen = Vec::new();
        rest.wants('{')?;
        while !rest.takes('}') {
            let key = rest.string()?;
            rest.wants(':')?;
            match key {
                "descr" if rest.peek() == Some('[') => {
                    return Err(format!(
                        "its elements are records of several fields; take out the vectors, and {ADVICE}"
                    ));
                }
                "descr" => header.descr = rest.string()?.to_owned(),
                "fortran_order" => {
                    header.fortran_order = match rest.word() {
                        "True" => true,
                        "False" => false,
                        other => return Err(fault(&format!("`{other}` where True or False is expected"))),
                    }
                }
                "shape" => header.shape = rest.shape()?,
                other => return Err(fault(&format!("the key `{other}` is not known"))),
            }
            seen.push(key);
            if !rest.takes(',') && rest.peek() != Some('}') {
                return Err(fault("a comma is missing"));
            }
        }
        seen.sort_unstable();
        if seen != ["descr", "fortran_order", "shape"] || rest.peek().is_some() {
            return Err(fault("it is not descr, fortran_order and shape, once each"));
        }
        Ok(header)
    }
}

fn fault(what: &str) -> String {
    format!("its header is not one that NumPy writes: {what}; {ADVICE}")
}

/// What is left of a Python literal.
struct Literal<'a>(&'a str);

impl<'a> Literal<'a> {
    fn peek(&mut self) -> Option<char> {
        self.0 = self.0.trim_start();
        self.0.chars().next()
    }

    fn takes(&mut self, wanted: char) -> bool {
        self.peek();
        let rest = self.0.strip_prefix(wanted);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    fn wants(&mut self, wanted: char) -> Result<(), String> {
        if self.takes(wanted) { Ok(()) } else { Err(fault(&format!("`{wanted}` is missing"))) }
    }

    fn string(&mut self) -> Result<&'a str, String> {
        let quote = if self.takes('\'') { '\'' } else { '"' };
        let inner = if quote == '"' && !self.takes('"') { None } else { self.0.split_once(quote) };
        let (inner, rest) = inner.ok_or_else(|| fault("a quoted word is missing"))?;
        self.0 = rest;
        Ok(inner)
    }

    fn word(&mut self) -> &'a str {
        self.peek();
        let end = self.0.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(self.0.len());
        let (word, rest) = self.0.split_at(end);
        self.0 = rest;
        word
    }

    /// `(3, 2)`; Python 2 wrote `(3L, 2L)`.
    fn shape(&mut self) -> Result<Vec<u64>, String> {
        self.wants('(')?;
        let mut shape = Vec::new();
        while !self.takes(')') {
            let word = self.word();
            let number = word.trim_end_matches('L').parse();
            shape.push(number.map_err(|_| fault(&format!("`{word}` is no size")))?);
            if !self.takes(',') && self.peek() != Some(')') {
                return Err(fault("a comma is missing in its shape"));
            }
        }
        Ok(shape)
    }
}
