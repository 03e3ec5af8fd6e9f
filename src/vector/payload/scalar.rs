//! What a filter compares: null, booleans, numbers and texts of payloads, in one total order.

use super::FILTER_TEXT_BYTES_MAX;
use serde_json::{Map, Number, Value};
use std::collections::BTreeSet;
use std::ops::Bound;

/// A null, a boolean, a number or a text as filters compare it.
///
/// Nulls come before booleans, these before numbers, these before texts. Numbers compare by what they are worth, whatever
/// they are written as, and integers exactly; texts compare by their bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scalar(Form);

// The order of the variants and of their fields is the order of scalars.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Form {
    Null,
    Flag(bool),
    /// The nearest `f64`, as an integer of the same order, and what an integer has above it.
    Number(u64, i16),
    /// The first bytes, and whether there are more. A text of a filter never has more, so that one whose bytes go on is
    /// neither equal to it nor on the wrong side of it.
    Text(Box<[u8]>, bool),
}

/// What the ends of a range are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::vector) enum RangeKind {
    Number,
    Text,
}

/// A field of a payload as it is listed: its path, and one of its values or, with none, that it is there.
pub(super) type Leaf = (String, Option<Scalar>);

impl Scalar {
    /// The scalar that a filter gives; none when the value is an array, an object or a text that is too long.
    #[must_use]
    pub fn new(value: &Value) -> Option<Self> {
        Self::cut(value).filter(|scalar| !matches!(scalar.0, Form::Text(_, true)))
    }

    /// The scalar of a payload; none when the value is an array or an object.
    fn cut(value: &Value) -> Option<Self> {
        let form = match value {
            Value::Null => Form::Null,
            Value::Bool(flag) => Form::Flag(*flag),
            Value::Number(number) => worth(number),
            Value::String(text) => match text.as_bytes().get(..FILTER_TEXT_BYTES_MAX) {
                Some(first) => Form::Text(first.into(), text.len() > FILTER_TEXT_BYTES_MAX),
                None => Form::Text(text.as_bytes().into(), false),
            },
            Value::Array(_) | Value::Object(_) => return None,
        };
        Some(Self(form))
    }

    /// Which ranges it can end; none for null and booleans.
    pub(in crate::vector) fn range_kind(&self) -> Option<RangeKind> {
        match &self.0 {
            Form::Null | Form::Flag(_) => None,
            Form::Number(..) => Some(RangeKind::Number),
            Form::Text(..) => Some(RangeKind::Text),
        }
    }

    /// Bytes on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        match &self.0 {
            Form::Null | Form::Flag(_) | Form::Number(..) => 0,
            Form::Text(text, _) => text.len(),
        }
    }
}

impl RangeKind {
    /// Where scalars of this kind begin.
    pub(in crate::vector) fn lowest(self) -> Bound<Scalar> {
        Bound::Included(Scalar(match self {
            Self::Number => Form::Number(0, i16::MIN),
            Self::Text => Form::Text(Box::default(), false),
        }))
    }

    /// Where scalars of this kind end.
    pub(in crate::vector) fn highest(self) -> Bound<Scalar> {
        match self {
            Self::Number => Bound::Included(Scalar(Form::Number(u64::MAX, i16::MAX))),
            Self::Text => Bound::Unbounded,
        }
    }
}

fn worth(number: &Number) -> Form {
    let integer = number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from));
    match integer {
        Some(integer) => {
            let (nearest, rest) = split(integer);
            Form::Number(ascending(nearest), rest)
        }
        // Adding zero makes -0.0 the zero that it equals.
        None => Form::Number(ascending(number.as_f64().unwrap_or_default() + 0.0), 0),
    }
}

/// The nearest `f64` of an integer of 64 bits, and what the integer has above it.
// Rounding keeps the order, and the rest decides among integers that round to the same. It is at most 1,024 either way.
#[expect(clippy::cast_possible_truncation, reason = "the nearest f64 of an i64 or u64 is an integer within i128")]
fn split(integer: i128) -> (f64, i16) {
    let nearest = integer as f64;
    let rest = integer - nearest as i128;
    (nearest, i16::try_from(rest).unwrap_or_default())
}

/// The bits of a number that is not NaN, so that they order as numbers do.
fn ascending(number: f64) -> u64 {
    let bits = number.to_bits();
    if bits >> 63 == 1 { !bits } else { bits | 1 << 63 }
}

/// Every field of an object and every value of each, without duplicates.
pub(super) fn leaves(object: &Map<String, Value>) -> BTreeSet<Leaf> {
    let mut walk = Walk { path: String::new(), found: BTreeSet::new() };
    walk.object(object, "");
    walk.found
}

struct Walk {
    path: String,
    found: BTreeSet<Leaf>,
}

impl Walk {
    // As deep as PAYLOAD_DEPTH_MAX, which Payload::new holds.
    fn object(&mut self, object: &Map<String, Value>, dot: &str) {
        let before = self.path.len();
        for (key, value) in object {
            self.path.push_str(dot);
            self.path.push_str(key);
            self.found.insert((self.path.clone(), None));
            self.value(value);
            self.path.truncate(before);
        }
    }

    fn value(&mut self, value: &Value) {
        match value {
            Value::Object(object) => self.object(object, "."),
            Value::Array(items) => items.iter().for_each(|item| self.value(item)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                let scalar = Scalar::cut(value);
                self.found.insert((self.path.clone(), scalar));
            }
        }
    }
}
