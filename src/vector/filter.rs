//! Filters on payloads, and their JSON.
//!
//! A filter is one of `{"and":[..]}`, `{"or":[..]}`, `{"not":..}`, `{"field":"lang","equal":"en"}`,
//! `{"field":"lang","any_of":["en","de"]}`, `{"field":"year","range":{"gte":2020,"lt":2024}}` and
//! `{"field":"year","exists":true}`. What is not exactly one of them is refused with the place in the filter where it
//! stands, so that a typo cannot pass for a filter that admits more.

use super::payload::{FIELD_BYTES_MAX, FILTER_TEXT_BYTES_MAX, Scalar};
use serde_json::{Map, Value};
use std::ops::Bound;

/// The most filters around a filter, itself included.
pub const FILTER_DEPTH_MAX: usize = 16;

/// The most filters within a filter, itself and the values of `any_of` included.
pub const FILTER_NODES_MAX: usize = 1_000;

/// The most ranges within a filter: one may walk every value of its field.
pub const FILTER_RANGES_MAX: usize = 32;

/// Bytes of a user's key that an error repeats.
const ECHO_CHARS_MAX: usize = 64;

/// Which chunks to look at, by their payloads.
///
/// A field is the dotted path of keys, `a.b`; a key with a dot in it is reached by the same text. A field whose value is an
/// array has each element as a value, and any of them may match.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Filter {
    /// All of them.
    And(Vec<Filter>),
    /// At least one of them.
    Or(Vec<Filter>),
    /// Whatever this does not admit, chunks without the field or without a payload included.
    Not(Box<Filter>),
    /// The field has this value.
    Equal {
        /// Which field.
        field: String,
        /// The value.
        value: Scalar,
    },
    /// The field has at least one of these values.
    AnyOf {
        /// Which field.
        field: String,
        /// The values.
        values: Vec<Scalar>,
    },
    /// The field has a value within the range.
    Range {
        /// Which field.
        field: String,
        /// The range.
        range: ScalarRange,
    },
    /// The field is there, whatever its value, or is not.
    Exists {
        /// Which field.
        field: String,
        /// Whether it is to be there.
        wanted: bool,
    },
}

/// A range of numbers or of texts.
// INVARIANT: both ends of one kind, the lower before the upper, and not the same unless both are included; made only by
// `range`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ScalarRange {
    lower: Bound<Scalar>,
    upper: Bound<Scalar>,
}

impl ScalarRange {
    pub(super) fn ends(&self) -> (Bound<&Scalar>, Bound<&Scalar>) {
        (self.lower.as_ref(), self.upper.as_ref())
    }
}

/// Why a filter is refused. `at` is the place within it, such as `filter.and[1].range.gte`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// Text that is not JSON.
    #[error("the filter is not JSON at line {line}, column {column}; give one such as {EXAMPLE}")]
    Syntax {
        /// Where, from 1.
        line: usize,
        /// Where, from 1.
        column: usize,
    },
    /// Something that is not of the kind that belongs there.
    #[error("`{at}` must be {wanted}")]
    Kind {
        /// Where.
        at: String,
        /// What belongs there, with an example.
        wanted: &'static str,
    },
    /// None or several of the operators.
    #[error(
        "`{at}` has {given} operators where it must have one: `and`, `or`, `not`, or a `field` with one of `equal`, \
         `any_of`, `range`, `exists`, such as {EXAMPLE}"
    )]
    Operator {
        /// Where.
        at: String,
        /// How many.
        given: usize,
    },
    /// A key that nothing knows.
    #[error("`{at}` has the unknown key `{key}`; it may have {accepted}")]
    UnknownKey {
        /// Where.
        at: String,
        /// The key, shortened.
        key: String,
        /// What is known there.
        accepted: &'static str,
    },
    /// A field where none belongs, or none where one does.
    #[error("`{at}` needs `field` beside `{operator}`, such as {EXAMPLE}")]
    NoField {
        /// Where.
        at: String,
        /// The operator.
        operator: &'static str,
    },
    /// A field beside an operator that takes filters.
    #[error("`{at}` has `field` beside `{operator}`, which takes filters; move the field into one of them")]
    StrayField {
        /// Where.
        at: String,
        /// The operator.
        operator: &'static str,
    },
    /// An empty list.
    #[error("`{at}` is empty; give at least one item or leave the operator out")]
    Empty {
        /// Where.
        at: String,
    },
    /// A range that holds nothing.
    #[error("`{at}` holds no value: its lower end is not below its upper end; correct the ends")]
    EmptyRange {
        /// Where.
        at: String,
    },
    /// Ends that do not go together.
    #[error("`{at}` has {problem}; give at most one of `gt`, `gte` and one of `lt`, `lte`, both numbers or both texts")]
    Ends {
        /// Where.
        at: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// Too long a field or text.
    #[error("`{at}` has {given} bytes; it may have {max}: shorten it")]
    Bytes {
        /// Where.
        at: String,
        /// Its bytes.
        given: usize,
        /// The bound.
        max: usize,
    },
    /// Too deep.
    #[error("the filter nests deeper than {FILTER_DEPTH_MAX}; flatten it")]
    Depth,
    /// Too many parts.
    #[error("the filter has more than {FILTER_NODES_MAX} filters and values; ask in several requests")]
    Nodes,
    /// Too many ranges.
    #[error("the filter has more than {FILTER_RANGES_MAX} ranges; ask in several requests")]
    Ranges,
}

const EXAMPLE: &str = r#"{"field":"lang","equal":"en"}"#;
const WANTED_FILTER: &str = r#"a filter, an object such as {"field":"lang","equal":"en"}"#;
const WANTED_FILTERS: &str = r#"a list of filters, such as [{"field":"lang","equal":"en"}]"#;
const WANTED_FIELD: &str = r#"the dotted path of a field as text, such as "author.name""#;
const WANTED_SCALAR: &str = "null, a boolean, a number or a text; an array matches by each of its elements";
const WANTED_SCALARS: &str = r#"a list of nulls, booleans, numbers or texts, such as ["en","de"]"#;
const WANTED_RANGE: &str = r#"an object with `gt` or `gte`, `lt` or `lte`, such as {"gte":2020,"lt":2024}"#;
const WANTED_END: &str = "a number or a text";
const WANTED_FLAG: &str = "true or false";
const KEYS: &str = "`and`, `or`, `not`, `field`, `equal`, `any_of`, `range`, `exists`";
const ENDS: &str = "`gt`, `gte`, `lt`, `lte`";
const OPERATORS: [&str; 7] = ["and", "or", "not", "equal", "any_of", "range", "exists"];

impl Filter {
    /// The filter that this JSON is.
    pub fn from_json(json: &Value) -> Result<Self, FilterError> {
        Reader { at: "filter".to_owned(), depth: 0, nodes: 0, ranges: 0 }.filter(json)
    }

    /// The filter that this text is, as JSON. Of two equal keys the last counts.
    pub fn parse(json: &str) -> Result<Self, FilterError> {
        match serde_json::from_str(json) {
            Ok(value) => Self::from_json(&value),
            Err(error) if too_deep(&error) => Err(FilterError::Depth),
            Err(error) => Err(FilterError::Syntax { line: error.line(), column: error.column() }),
        }
    }
}

/// Whether the text is JSON that nests too deeply to be read at all.
pub(super) fn too_deep(error: &serde_json::Error) -> bool {
    error.to_string().starts_with("recursion limit exceeded")
}

struct Reader {
    /// The place within the filter.
    at: String,
    depth: usize,
    nodes: usize,
    ranges: usize,
}

impl Reader {
    /// Reads with `step` added to the place.
    fn within<T>(
        &mut self,
        step: &str,
        read: impl FnOnce(&mut Self) -> Result<T, FilterError>,
    ) -> Result<T, FilterError> {
        let before = self.at.len();
        self.at.push_str(step);
        let result = read(self);
        self.at.truncate(before);
        result
    }

    fn kind<T>(&self, given: Option<T>, wanted: &'static str) -> Result<T, FilterError> {
        given.ok_or_else(|| FilterError::Kind { at: self.at.clone(), wanted })
    }

    fn count(&mut self, nodes: usize) -> Result<(), FilterError> {
        self.nodes += nodes;
        if self.nodes > FILTER_NODES_MAX { Err(FilterError::Nodes) } else { Ok(()) }
    }

    fn filter(&mut self, json: &Value) -> Result<Filter, FilterError> {
        self.count(1)?;
        if self.depth == FILTER_DEPTH_MAX {
            return Err(FilterError::Depth);
        }
        let object = self.kind(json.as_object(), WANTED_FILTER)?;
        self.known(object, |key| key == "field" || OPERATORS.contains(&key), KEYS)?;
        let given: Vec<_> = OPERATORS.into_iter().filter_map(|name| Some((name, object.get(name)?))).collect();
        let [(operator, value)] = *given.as_slice() else {
            return Err(FilterError::Operator { at: self.at.clone(), given: given.len() });
        };
        self.depth += 1;
        let filter = match (operator, object.get("field")) {
            ("and" | "or" | "not", Some(_)) => {
                return Err(FilterError::StrayField { at: self.at.clone(), operator });
            }
            ("and", None) => Filter::And(self.within(".and", |reader| reader.filters(value))?),
            ("or", None) => Filter::Or(self.within(".or", |reader| reader.filters(value))?),
            ("not", None) => Filter::Not(Box::new(self.within(".not", |reader| reader.filter(value))?)),
            (_, None) => return Err(FilterError::NoField { at: self.at.clone(), operator }),
            (_, Some(field)) => {
                let field = self.within(".field", |reader| reader.field(field))?;
                self.within(&format!(".{operator}"), |reader| reader.leaf(operator, field, value))?
            }
        };
        self.depth -= 1;
        Ok(filter)
    }

    /// What `operator` asks of a field.
    fn leaf(&mut self, operator: &str, field: String, value: &Value) -> Result<Filter, FilterError> {
        Ok(match operator {
            "equal" => Filter::Equal { field, value: self.scalar(value, WANTED_SCALAR)? },
            "any_of" => Filter::AnyOf { field, values: self.scalars(value)? },
            "range" => Filter::Range { field, range: self.range(value)? },
            _ => Filter::Exists { field, wanted: self.kind(value.as_bool(), WANTED_FLAG)? },
        })
    }

    fn known(
        &self,
        object: &Map<String, Value>,
        is_known: impl Fn(&str) -> bool,
        accepted: &'static str,
    ) -> Result<(), FilterError> {
        match object.keys().find(|key| !is_known(key)) {
            None => Ok(()),
            Some(key) => Err(FilterError::UnknownKey {
                at: self.at.clone(),
                key: key.chars().take(ECHO_CHARS_MAX).collect(),
                accepted,
            }),
        }
    }

    fn list<'a>(&self, json: &'a Value, wanted: &'static str) -> Result<&'a [Value], FilterError> {
        let items = self.kind(json.as_array(), wanted)?;
        if items.is_empty() { Err(FilterError::Empty { at: self.at.clone() }) } else { Ok(items) }
    }

    fn filters(&mut self, json: &Value) -> Result<Vec<Filter>, FilterError> {
        let mut filters = Vec::new();
        for (i, item) in self.list(json, WANTED_FILTERS)?.iter().enumerate() {
            filters.push(self.within(&format!("[{i}]"), |reader| reader.filter(item))?);
        }
        Ok(filters)
    }

    fn field(&mut self, json: &Value) -> Result<String, FilterError> {
        let field = self.kind(json.as_str(), WANTED_FIELD)?;
        self.short(field, FIELD_BYTES_MAX)?;
        Ok(field.to_owned())
    }

    fn short(&self, text: &str, max: usize) -> Result<(), FilterError> {
        if text.len() > max {
            return Err(FilterError::Bytes { at: self.at.clone(), given: text.len(), max });
        }
        Ok(())
    }

    fn scalar(&mut self, json: &Value, wanted: &'static str) -> Result<Scalar, FilterError> {
        self.short(json.as_str().unwrap_or_default(), FILTER_TEXT_BYTES_MAX)?;
        self.kind(Scalar::new(json), wanted)
    }

    fn scalars(&mut self, json: &Value) -> Result<Vec<Scalar>, FilterError> {
        let items = self.list(json, WANTED_SCALARS)?;
        self.count(items.len())?;
        let mut scalars = Vec::new();
        for (i, item) in items.iter().enumerate() {
            scalars.push(self.within(&format!("[{i}]"), |reader| reader.scalar(item, WANTED_SCALAR))?);
        }
        Ok(scalars)
    }

    fn range(&mut self, json: &Value) -> Result<ScalarRange, FilterError> {
        self.ranges += 1;
        if self.ranges > FILTER_RANGES_MAX {
            return Err(FilterError::Ranges);
        }
        let ends = self.kind(json.as_object(), WANTED_RANGE)?;
        self.known(ends, |key| ["gt", "gte", "lt", "lte"].contains(&key), ENDS)?;
        let lower = self.end(ends, "gt", "gte")?;
        let upper = self.end(ends, "lt", "lte")?;
        let fault = |problem| Err(FilterError::Ends { at: self.at.clone(), problem });
        let kind = match (kind_of(&lower), kind_of(&upper)) {
            (None, None) => return fault("no end"),
            (Some(lower), Some(upper)) if lower != upper => return fault("a number and a text as its ends"),
            (Some(kind), _) | (None, Some(kind)) => kind,
        };
        let lower = if lower == Bound::Unbounded { kind.lowest() } else { lower };
        let upper = if upper == Bound::Unbounded { kind.highest() } else { upper };
        let empty = match (&lower, &upper) {
            (Bound::Included(lower), Bound::Included(upper)) => lower > upper,
            (Bound::Included(lower) | Bound::Excluded(lower), Bound::Included(upper) | Bound::Excluded(upper)) => {
                lower >= upper
            }
            (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
        };
        if empty {
            return Err(FilterError::EmptyRange { at: self.at.clone() });
        }
        Ok(ScalarRange { lower, upper })
    }

    /// One end of a range, by the names that leave it out and take it in.
    fn end(&mut self, ends: &Map<String, Value>, out: &str, taken: &str) -> Result<Bound<Scalar>, FilterError> {
        let (name, value) = match (ends.get(out), ends.get(taken)) {
            (None, None) => return Ok(Bound::Unbounded),
            (Some(_), Some(_)) => {
                return Err(FilterError::Ends { at: self.at.clone(), problem: "two ends of one side" });
            }
            (Some(value), None) => (out, value),
            (None, Some(value)) => (taken, value),
        };
        let scalar = self.within(&format!(".{name}"), |reader| {
            let scalar = reader.scalar(value, WANTED_END)?;
            reader.kind(scalar.range_kind().map(|_| scalar), WANTED_END)
        })?;
        Ok(if name == out { Bound::Excluded(scalar) } else { Bound::Included(scalar) })
    }
}

fn kind_of(end: &Bound<Scalar>) -> Option<super::payload::RangeKind> {
    match end {
        Bound::Included(scalar) | Bound::Excluded(scalar) => scalar.range_kind(),
        Bound::Unbounded => None,
    }
}
