//! An item of a source as a tuple. Strings are borrowed from the item until the tuple is known to be one.
//!
//! A field that is not known is refused rather than left out: a misspelt `condition` must not become a grant without one.

use super::source::{Item, LINE_BYTES_MAX, SourceFault};
use crate::engine::types::TupleFault;
use crate::tuple::{
    Context, OBJECT_BYTES_MAX, RELATION_BYTES_MAX, SUBJECT_BYTES_MAX, Tuple, TupleCondition, TupleKeyRef,
    TupleTextError, as_struct,
};
use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, Visitor};
use std::borrow::Cow;
use std::fmt;

/// The longest stored context, as JSON.
pub const CONTEXT_BYTES_MAX: usize = 32 << 10;

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum LineFault {
    /// It has too many bytes.
    #[error("longer than {} bytes; is a quote or a line end missing?", LINE_BYTES_MAX)]
    TooLong,
    /// It is no JSON object of the fields that a tuple has.
    #[error("{reason}; a tuple is {{\"user\", \"relation\", \"object\", \"condition\": {{\"name\", \"context\"}}}}")]
    Json {
        /// What is wrong.
        reason: String,
    },
    /// It is no record of CSV with the columns of the first line.
    #[error("{reason}")]
    Csv {
        /// What is wrong.
        reason: String,
    },
    /// Object, relation or subject is malformed.
    #[error(transparent)]
    Text(#[from] TupleTextError),
    /// Object, relation, subject or context is too long.
    #[error("the {what} is longer than {max}")]
    PartTooLong {
        /// Which.
        what: &'static str,
        /// The bound: characters of objects and relations, bytes of subjects and contexts.
        max: usize,
    },
    /// A context stands without the condition that it belongs to.
    #[error("there is a condition context without a condition name; name the condition, or remove the context")]
    ContextAlone,
    /// The model does not allow it.
    #[error(transparent)]
    Model(#[from] TupleFault),
    /// Another line of the same chunk has the tuple with another condition.
    #[error("the same tuple is on line {first} with a different condition; keep one of them")]
    Twice {
        /// The other line.
        first: u64,
    },
    /// The tuple is stored with another condition.
    #[error("the tuple exists with a different condition; delete it first, or remove the line")]
    ConditionDiffers,
}

/// A string that is borrowed when it has no escapes.
struct Text<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Borrows;
        impl<'de> Visitor<'de> for Borrows {
            type Value = Text<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Borrows)
    }
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Condition<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    context: Option<Context>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Key<'a> {
    #[serde(borrow)]
    user: Text<'a>,
    #[serde(borrow)]
    relation: Text<'a>,
    #[serde(borrow)]
    object: Text<'a>,
    #[serde(borrow)]
    condition: Option<Condition<'a>>,
}

/// A tuple as Write takes it, or as Read answers: under `key`, beside the time.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    #[serde(borrow)]
    user: Option<Text<'a>>,
    #[serde(borrow)]
    relation: Option<Text<'a>>,
    #[serde(borrow)]
    object: Option<Text<'a>>,
    #[serde(borrow)]
    condition: Option<Condition<'a>>,
    #[serde(borrow)]
    key: Option<Key<'a>>,
    timestamp: Option<IgnoredAny>,
}

/// The tuple of an item; `None` when the line is empty.
pub(super) fn tuple(item: Item<'_>, text: &mut [String; 2]) -> Result<Option<Tuple>, LineFault> {
    match item {
        Item::Json([]) => Ok(None),
        Item::Json(bytes) => of_json(bytes).map(Some),
        Item::Csv(record, columns) => of_csv(record, columns, text).map(Some),
        Item::Bad(fault) => Err(fault),
    }
}

fn of_json(bytes: &[u8]) -> Result<Tuple, LineFault> {
    let line: Line<'_> = serde_json::from_slice(bytes).map_err(|error| json_fault(&error))?;
    let missing = |what: &str| LineFault::Json { reason: format!("missing field `{what}`") };
    let key = match line {
        Line { key: Some(key), user: None, relation: None, object: None, condition: None, .. } => key,
        Line { key: Some(_), .. } => {
            return Err(LineFault::Json { reason: "there are fields of a tuple beside `key`".into() });
        }
        Line { timestamp: Some(_), .. } => {
            return Err(LineFault::Json { reason: "unknown field `timestamp`".into() });
        }
        Line { user, relation, object, condition, .. } => Key {
            user: user.ok_or_else(|| missing("user"))?,
            relation: relation.ok_or_else(|| missing("relation"))?,
            object: object.ok_or_else(|| missing("object"))?,
            condition,
        },
    };
    let mut tuple = checked(&key.object.0, &key.relation.0, &key.user.0)?;
    if let Some(condition) = key.condition {
        let context = condition.context.unwrap_or_default();
        tuple.condition = Some(of_condition(&condition.name.0, context, bytes.len())?);
    }
    Ok(tuple)
}

/// The error's own words, and where: the line is known, the column is not.
fn json_fault(error: &serde_json::Error) -> LineFault {
    let text = error.to_string();
    let said = text.rsplit_once(" at line ").map_or(text.as_str(), |(said, _)| said);
    let reason = if error.is_data() { said.to_owned() } else { format!("{said} at column {}", error.column()) };
    LineFault::Json { reason }
}

fn checked(object: &str, relation: &str, subject: &str) -> Result<Tuple, LineFault> {
    let over = |text: &str, max: usize| text.len() > max && text.chars().count() > max;
    let too_long = |what, max| Err(LineFault::PartTooLong { what, max });
    if over(object, OBJECT_BYTES_MAX) {
        return too_long("object", OBJECT_BYTES_MAX);
    }
    if over(relation, RELATION_BYTES_MAX) {
        return too_long("relation", RELATION_BYTES_MAX);
    }
    if subject.len() > SUBJECT_BYTES_MAX {
        return too_long("user", SUBJECT_BYTES_MAX);
    }
    Ok(TupleKeyRef::parse(object, relation, subject)?.to_tuple())
}

/// `bytes_max` is an upper bound of the context's length that costs nothing.
fn of_condition(name: &str, mut context: Context, bytes_max: usize) -> Result<TupleCondition, LineFault> {
    if bytes_max > CONTEXT_BYTES_MAX && serde_json::to_vec(&context).map_or(usize::MAX, |c| c.len()) > CONTEXT_BYTES_MAX
    {
        return Err(LineFault::PartTooLong { what: "context", max: CONTEXT_BYTES_MAX });
    }
    as_struct(&mut context);
    Ok(TupleCondition { name: name.to_owned(), context })
}

/// Where each column of a CSV source is.
#[derive(Default)]
pub(super) struct Columns {
    places: [Option<usize>; 8],
}

/// The columns in the order of an export.
pub(super) const COLUMNS: [&str; 8] = [
    "user_type",
    "user_id",
    "user_relation",
    "relation",
    "object_type",
    "object_id",
    "condition_name",
    "condition_context",
];
const OPTIONAL: [&str; 3] = ["user_relation", "condition_name", "condition_context"];

impl Columns {
    pub(super) fn of(header: &csv::StringRecord) -> Result<Columns, SourceFault> {
        let fault = |reason: String| Err(SourceFault::Header { reason });
        let mut columns = Columns::default();
        for (at, name) in header.iter().enumerate() {
            let name = name.trim();
            let place = COLUMNS.iter().zip(&mut columns.places).find(|(known, _)| **known == name);
            match place {
                None => return fault(format!("the first line of CSV names columns, and `{name}` is none")),
                Some((_, Some(_))) => return fault(format!("the column `{name}` is there twice")),
                Some((_, place)) => *place = Some(at),
            }
        }
        for (name, place) in COLUMNS.iter().zip(&columns.places) {
            if place.is_none() && !OPTIONAL.contains(name) {
                return fault(format!("the column `{name}` is missing"));
            }
        }
        Ok(columns)
    }
}

fn of_csv(record: &csv::StringRecord, columns: &Columns, text: &mut [String; 2]) -> Result<Tuple, LineFault> {
    let [user_type, user_id, user_relation, relation, object_type, object_id, name, context] =
        columns.places.map(|place| place.and_then(|at| record.get(at)).unwrap_or_default());
    let [subject, object] = text;
    let join = |text: &mut String, parts: &[&str]| {
        text.clear();
        parts.iter().for_each(|part| text.push_str(part));
    };
    join(object, &[object_type, ":", object_id]);
    let mark = if user_relation.is_empty() { "" } else { "#" };
    join(subject, &[user_type, ":", user_id, mark, user_relation]);
    let mut tuple = checked(object, relation, subject)?;
    if name.is_empty() {
        return if context.is_empty() { Ok(tuple) } else { Err(LineFault::ContextAlone) };
    }
    let context_map = if context.is_empty() {
        Context::new()
    } else {
        let fault = |error: serde_json::Error| LineFault::Csv {
            reason: format!("condition_context is no JSON object: {error}"),
        };
        serde_json::from_str(context).map_err(fault)?
    };
    tuple.condition = Some(of_condition(name, context_map, context.len())?);
    Ok(tuple)
}
