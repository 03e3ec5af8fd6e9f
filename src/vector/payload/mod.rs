//! The payloads of a collection, a JSON object a chunk, and an index of them, so that filters are set operations.
//!
//! `Payloads` is a persistent value beside `Vectors`: a clone is a snapshot that costs a few pointers and never changes.
//! Every field has the set of chunks that have it, and an ordered map from each of its values to the chunks that have
//! that. A field is named by its dotted path; an array has each of its elements, those of arrays within it included.

mod matching;
mod posting;
mod scalar;
#[cfg(test)]
mod tests;

pub use matching::Matching;
pub(super) use scalar::RangeKind;
pub use scalar::Scalar;

use super::paged::Paged;
use super::{Chunk, ROWS_MAX};
use posting::Posting;
use rpds::RedBlackTreeMapSync;
use scalar::{Leaf, leaves};
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The most bytes of a payload as compact JSON.
pub const PAYLOAD_BYTES_MAX: usize = 65_536;

/// The most values of a payload: each scalar is one, in arrays too, and each empty array or object.
pub const PAYLOAD_FIELDS_MAX: usize = 256;

/// The most objects and arrays of a payload around a value, the payload itself included.
pub const PAYLOAD_DEPTH_MAX: usize = 16;

/// The most bytes of a field's dotted path, in payloads and filters.
pub const FIELD_BYTES_MAX: usize = 512;

/// The most bytes of a text in a filter. Longer texts of payloads are kept whole and compared rightly with it, but cannot
/// be asked for: the index holds only their beginning.
pub const FILTER_TEXT_BYTES_MAX: usize = 512;

/// A JSON object that a chunk carries, within the bounds. A clone costs a pointer.
///
/// Two are equal when their compact JSON is, so that the order of keys counts.
// INVARIANT: the compact JSON of an object within the bounds; made only by Payload::new.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload(Arc<str>);

/// Why a payload is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    /// Text that is not JSON.
    #[error("the payload is not JSON at line {line}, column {column}; give an object such as {{\"lang\":\"en\"}}")]
    Syntax {
        /// Where, from 1.
        line: usize,
        /// Where, from 1.
        column: usize,
    },
    /// JSON that is not an object.
    #[error("the payload is not a JSON object; give one such as {{\"lang\":\"en\"}}")]
    NotObject,
    /// Too long.
    #[error(
        "the payload has {given} bytes as compact JSON; it may have {PAYLOAD_BYTES_MAX}: keep what no filter needs \
         elsewhere"
    )]
    Bytes {
        /// Its bytes.
        given: usize,
    },
    /// Too many values.
    #[error("the payload has {given} values; it may have {PAYLOAD_FIELDS_MAX}: leave out what no filter needs")]
    Fields {
        /// How many.
        given: usize,
    },
    /// Too deep.
    #[error("the payload nests deeper than {PAYLOAD_DEPTH_MAX} objects and arrays; flatten it")]
    Depth,
    /// Too long a path.
    #[error("a field's dotted path has {given} bytes; it may have {FIELD_BYTES_MAX}: shorten the keys")]
    Path {
        /// Its bytes.
        given: usize,
    },
}

impl Payload {
    /// A payload, if the object is within the bounds.
    pub fn new(object: Map<String, Value>) -> Result<Self, PayloadError> {
        // Before it is written, which takes a call a level.
        let given = count(&object, None, 1)?;
        if given > PAYLOAD_FIELDS_MAX {
            return Err(PayloadError::Fields { given });
        }
        let json = Value::Object(object).to_string();
        if json.len() > PAYLOAD_BYTES_MAX {
            return Err(PayloadError::Bytes { given: json.len() });
        }
        Ok(Self(json.into()))
    }

    /// A payload, if the text is a JSON object within the bounds. Of two equal keys the last counts.
    pub fn parse(json: &str) -> Result<Self, PayloadError> {
        match serde_json::from_str(json) {
            Ok(Value::Object(object)) => Self::new(object),
            Ok(_) => Err(PayloadError::NotObject),
            Err(error) if super::filter::too_deep(&error) => Err(PayloadError::Depth),
            Err(error) => Err(PayloadError::Syntax { line: error.line(), column: error.column() }),
        }
    }

    /// Compact JSON, its keys in the order they were given.
    #[must_use]
    pub fn json(&self) -> &str {
        &self.0
    }

    /// The object.
    #[must_use]
    pub fn to_value(&self) -> Value {
        Value::Object(self.object())
    }

    fn object(&self) -> Map<String, Value> {
        #[expect(clippy::expect_used, reason = "by INVARIANT on Payload")]
        serde_json::from_str(&self.0).expect("the JSON of an object")
    }

    fn leaves(&self) -> BTreeSet<Leaf> {
        leaves(&self.object())
    }
}

/// Values of an object whose own path, if it has one, has `path` bytes, `depth` objects and arrays deep with itself.
fn count(object: &Map<String, Value>, path: Option<usize>, depth: usize) -> Result<usize, PayloadError> {
    let mut values = 0;
    for (key, value) in object {
        let path = path.map_or(0, |path| path + 1) + key.len();
        if path > FIELD_BYTES_MAX {
            return Err(PayloadError::Path { given: path });
        }
        values += count_value(value, path, depth)?;
    }
    Ok(values)
}

fn count_value(value: &Value, path: usize, depth: usize) -> Result<usize, PayloadError> {
    let values = match value {
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return Ok(1),
        Value::Array(_) | Value::Object(_) if depth == PAYLOAD_DEPTH_MAX => return Err(PayloadError::Depth),
        Value::Object(object) => count(object, Some(path), depth + 1)?,
        Value::Array(items) => items.iter().map(|item| count_value(item, path, depth + 1)).sum::<Result<_, _>>()?,
    };
    Ok(values.max(1))
}

/// The payloads of a collection at one moment, and their index. A clone is a snapshot: it costs a few pointers and never
/// changes.
#[derive(Clone, Debug, Default)]
pub struct Payloads {
    of_chunk: Paged<Option<Payload>>,
    // INVARIANT: lists exactly the leaves of the payloads; no field, value or posting is empty.
    fields: RedBlackTreeMapSync<Arc<str>, Field>,
    json_bytes: usize,
    index_bytes: usize,
}

/// What the index knows about the fields of one path.
#[derive(Clone, Debug, Default)]
struct Field {
    exists: Posting,
    values: RedBlackTreeMapSync<Scalar, Posting>,
}

/// Bytes of an entry of a persistent map besides what its key and value have on the heap: the entry, its node, and what
/// counts their holders.
const fn entry_bytes(key: usize, value: usize) -> usize {
    16 + key + value + 48
}

const FIELD_BYTES: usize = entry_bytes(size_of::<Arc<str>>(), size_of::<Field>());
const VALUE_BYTES: usize = entry_bytes(size_of::<Scalar>(), size_of::<Posting>());

impl Payloads {
    /// The payload of `chunk`.
    #[must_use]
    pub fn get(&self, chunk: Chunk) -> Option<&Payload> {
        self.of_chunk.get(chunk.0 as usize)?.as_ref()
    }

    /// Gives `chunk` this payload, or none, in place of what it had.
    ///
    /// The chunk is one that `Vectors` admits: beyond their numbers nothing is kept.
    pub fn set(&mut self, chunk: Chunk, payload: Option<Payload>) {
        let old = self.get(chunk).cloned();
        if old == payload || chunk.0 >= ROWS_MAX {
            return;
        }
        // Only what differs is touched: a payload is mostly replaced by one much like it.
        let before = old.as_ref().map(Payload::leaves).unwrap_or_default();
        let after = payload.as_ref().map(Payload::leaves).unwrap_or_default();
        self.json_bytes -= old.map_or(0, |old: Payload| old.json().len());
        self.json_bytes += payload.as_ref().map_or(0, |new| new.json().len());
        before.difference(&after).for_each(|leaf| self.unlist(leaf, chunk));
        after.difference(&before).for_each(|leaf| self.list(leaf, chunk));
        self.of_chunk.set(chunk.0 as usize, payload, &None);
    }

    /// Bytes in memory, near enough.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.of_chunk.bytes() + self.json_bytes + self.index_bytes
    }

    fn list(&mut self, (path, value): &Leaf, chunk: Chunk) {
        if !self.fields.contains_key(path.as_str()) {
            self.fields.insert_mut(path.as_str().into(), Field::default());
            self.index_bytes += FIELD_BYTES + path.len();
        }
        let Some(field) = self.fields.get_mut(path.as_str()) else { return };
        let posting = match value {
            None => Some(&mut field.exists),
            Some(value) => field.values.get_mut(value),
        };
        let mut change = 0;
        match (posting, value) {
            (Some(posting), _) => change = posting.insert(chunk.0),
            (None, Some(value)) => {
                let mut posting = Posting::default();
                posting.insert(chunk.0);
                field.values.insert_mut(value.clone(), posting);
                self.index_bytes += VALUE_BYTES + value.heap_bytes();
            }
            (None, None) => {}
        }
        self.index_bytes = self.index_bytes.saturating_add_signed(change);
    }

    fn unlist(&mut self, (path, value): &Leaf, chunk: Chunk) {
        let Some(field) = self.fields.get_mut(path.as_str()) else { return };
        let change = match value {
            None => field.exists.remove(chunk.0),
            Some(value) => {
                let Some(posting) = field.values.get_mut(value) else { return };
                let change = posting.remove(chunk.0);
                if posting.is_empty() {
                    field.values.remove_mut(value);
                    self.index_bytes -= VALUE_BYTES + value.heap_bytes();
                }
                change
            }
        };
        self.index_bytes = self.index_bytes.saturating_add_signed(change);
        if field.exists.is_empty() && field.values.is_empty() {
            self.fields.remove_mut(path.as_str());
            self.index_bytes -= FIELD_BYTES + path.len();
        }
    }
}
