//! Chunks as JSON lines: one object a line. Empty lines are passed over.

use super::{Fields, Found, Parts, Place, unreadable};
use bailiwick::vector::DIMENSION_MAX;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use std::fmt;
use std::io::{BufRead, Read};

/// The longest line that is read: the longest vector takes about 100 KiB, the rest is for text and payload.
pub(super) const LINE_BYTES_MAX: usize = 4 << 20;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// See the file's head.
pub(super) struct Lines {
    reader: Box<dyn BufRead + Send>,
    line: Vec<u8>,
    number: u64,
}

impl Lines {
    pub(super) fn open(mut reader: Box<dyn BufRead + Send>) -> Result<Lines, String> {
        let head = reader.fill_buf().map_err(|error| unreadable(&error))?;
        if head.starts_with(BYTE_ORDER_MARK) {
            reader.consume(BYTE_ORDER_MARK.len());
        }
        let head = reader.fill_buf().map_err(|error| unreadable(&error))?;
        match head.trim_ascii_start().first() {
            None | Some(b'{') => Ok(Lines { reader, line: Vec::new(), number: 0 }),
            Some(b'[') => Err("a JSON list is not read; write one object a line, with jq: jq -c '.[]'".into()),
            Some(_) => Err("neither JSON lines, one object a line, nor Arrow IPC, file or stream".into()),
        }
    }

    pub(super) fn next(&mut self, fields: &Fields, with_vector: bool) -> Result<Option<(Place, Found)>, String> {
        while self.read()? {
            let place = Place::Line(self.number);
            if self.line.len() > LINE_BYTES_MAX {
                let reason = format!("the line is longer than {LINE_BYTES_MAX} bytes; split the chunk");
                return Ok(Some((place, Err(reason))));
            }
            let line = self.line.trim_ascii();
            if !line.is_empty() {
                return Ok(Some((place, parts(line, fields, with_vector))));
            }
        }
        Ok(None)
    }

    /// Reads a line; of one that is too long only its beginning. False at the end.
    fn read(&mut self) -> Result<bool, String> {
        self.line.clear();
        let bounded = (&mut self.reader).take(LINE_BYTES_MAX as u64 + 2).read_until(b'\n', &mut self.line);
        let read = bounded.map_err(|error| unreadable(&error))?;
        if self.line.ends_with(b"\n") {
            self.line.pop();
        } else if self.line.len() > LINE_BYTES_MAX {
            self.reader.skip_until(b'\n').map_err(|error| unreadable(&error))?;
        }
        self.number += u64::from(read > 0);
        Ok(read > 0)
    }

    /// Reads to the end, and counts the lines that are not empty.
    pub(super) fn count_rest(&mut self) -> Result<u64, String> {
        let mut count = 0;
        while self.read()? {
            count += u64::from(!self.line.trim_ascii().is_empty());
        }
        Ok(count)
    }
}

fn parts(line: &[u8], fields: &Fields, with_vector: bool) -> Found {
    let mut json = serde_json::Deserializer::from_slice(line);
    let found = Wanted { fields, with_vector }.deserialize(&mut json);
    let (mut found, vector) = found.and_then(|found| json.end().map(|()| found)).map_err(|error| fault(&error))?;
    let id = word(&found, &fields.id, "--id")?;
    let object = word(&found, &fields.object, "--object")?;
    let text = match (found.get(fields.text()), &fields.text) {
        (Some(Value::String(text)), _) => Some(text.clone()),
        (None, None) | (Some(Value::Null), _) => None,
        (None, Some(field)) => return Err(format!("there is no `{field}`; name the field with --text")),
        (Some(_), _) => return Err(format!("`{}` is no string; name another field with --text", fields.text())),
    };
    found.retain(|field, _| fields.in_payload(field));
    Ok(Parts { id, object, vector, text, payload: found })
}

/// A string, or a whole number as a string.
fn word(found: &Map<String, Value>, field: &str, flag: &str) -> Result<String, String> {
    match found.get(field) {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(Value::Number(number)) if !number.is_f64() => Ok(number.to_string()),
        Some(_) => Err(format!("`{field}` is neither a string nor a whole number; name another field with {flag}")),
        None => Err(format!("there is no `{field}`; name the field with {flag}")),
    }
}

/// The error's own words, and where: the line is known, the column is not.
fn fault(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let said = text.rsplit_once(" at line ").map_or(text.as_str(), |(said, _)| said);
    if error.is_data() { said.to_owned() } else { format!("no JSON: {said} at column {}", error.column()) }
}

/// The fields of a line that are wanted, and its vector by itself: thousands of numbers need not be values first.
#[derive(Clone, Copy)]
struct Wanted<'a> {
    fields: &'a Fields,
    with_vector: bool,
}

impl<'de> DeserializeSeed<'de> for Wanted<'_> {
    type Value = (Map<String, Value>, Option<Vec<f32>>);

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Wanted<'_> {
    type Value = (Map<String, Value>, Option<Vec<f32>>);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object of fields")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let Wanted { fields, with_vector } = self;
        let (mut found, mut vector) = (Map::new(), None);
        while let Some(field) = map.next_key::<String>()? {
            let named = field == fields.id || field == fields.object || field == fields.text();
            let twice = if with_vector && field == fields.vector {
                vector.replace(map.next_value_seed(Elements(&field))?).is_some()
            } else if named || fields.in_payload(&field) {
                found.insert(field.clone(), map.next_value()?).is_some()
            } else {
                map.next_value::<IgnoredAny>()?;
                false
            };
            if twice {
                return Err(A::Error::custom(format!("`{field}` occurs twice")));
            }
        }
        Ok((found, vector))
    }
}

/// The elements of the vector in the field of that name.
struct Elements<'a>(&'a str);

impl<'de> DeserializeSeed<'de> for Elements<'_> {
    type Value = Vec<f32>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Vec<f32>, D::Error> {
        json.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Elements<'_> {
    type Value = Vec<f32>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of numbers in `{}`", self.0)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<f32>, A::Error> {
        let mut vector = Vec::new();
        loop {
            let element = seq.next_element::<f32>();
            let element = element
                .map_err(|error| A::Error::custom(format!("`{}`, element {}: {error}", self.0, vector.len())))?;
            let Some(element) = element else { return Ok(vector) };
            if vector.len() == DIMENSION_MAX {
                return Err(A::Error::custom(format!("`{}` has more than {DIMENSION_MAX} elements", self.0)));
            }
            vector.push(element);
        }
    }
}
