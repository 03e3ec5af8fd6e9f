//! Objects, subjects and tuples as text: `document:1`, `group:eng#member`, `user:*`. Parse and print.
//!
//! The rules are OpenFGA's (an object holds exactly one `:`, ids hold no `#` and no white space, `*` is no object's id).
//! One pass over the bytes, no regular expression, no allocation: this runs for every Check.

use super::{Object, ObjectRef, Subject, SubjectRef, Tuple, TupleKeyRef};
use std::fmt;

/// The longest `type:id` that is accepted, in characters (the bound of OpenFGA's proto).
pub const OBJECT_BYTES_MAX: usize = 256;
/// The longest subject that is accepted, in bytes.
pub const SUBJECT_BYTES_MAX: usize = 512;
/// The longest relation name, in characters.
pub const RELATION_BYTES_MAX: usize = 50;

/// Why a text is no object, subject or relation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TupleTextError {
    /// Not `type:id`.
    #[error("`{text}` is not an object; write it as `type:id`, without `#`, `*`, spaces or control characters")]
    Object {
        /// What was given.
        text: String,
    },
    /// Not a subject.
    #[error("`{text}` is not a subject; write it as `type:id`, `type:id#relation` or `type:*`")]
    Subject {
        /// What was given.
        text: String,
    },
    /// Not a relation.
    #[error("`{text}` is not a relation; it is 1 to 50 characters without `:`, `#`, `@` and spaces")]
    Relation {
        /// What was given.
        text: String,
    },
}

/// Splits `type:id`. `None` when a part is empty, when there is not exactly one `:`, or when a forbidden character occurs.
fn split_object(text: &str) -> Option<ObjectRef<'_>> {
    let (object_type, id) = text.split_once(':')?;
    if object_type.is_empty() || id.is_empty() {
        return None;
    }
    let fine = if text.is_ascii() {
        text.bytes().all(|b| b > b' ' && b != 0x7f && b != b'#') && !id.bytes().any(|b| b == b':')
    } else {
        !text.chars().any(|c| c.is_whitespace() || c.is_control() || c == '#') && !id.contains(':')
    };
    fine.then_some(ObjectRef { object_type, id })
}

/// Whether `text` may name a relation: not empty, no `:`, `#`, `@`, white space or control character.
fn is_relation(text: &str) -> bool {
    !text.is_empty() && !text.chars().any(|c| matches!(c, ':' | '#' | '@') || c.is_whitespace() || c.is_control())
}

impl<'a> ObjectRef<'a> {
    /// Parses `type:id`. The id `*` is refused: a typed wildcard is a subject, never an object.
    pub fn parse(text: &'a str) -> Result<Self, TupleTextError> {
        match split_object(text) {
            Some(object) if object.id != "*" => Ok(object),
            _ => Err(TupleTextError::Object { text: text.into() }),
        }
    }
}

impl<'a> SubjectRef<'a> {
    /// Parses `type:id`, `type:id#relation` or `type:*`.
    pub fn parse(text: &'a str) -> Result<Self, TupleTextError> {
        let fault = || TupleTextError::Subject { text: text.into() };
        if let Some((object, relation)) = text.rsplit_once('#') {
            let object = split_object(object).filter(|o| o.id != "*").ok_or_else(fault)?;
            return if is_relation(relation) { Ok(SubjectRef::Userset { object, relation }) } else { Err(fault()) };
        }
        let object = split_object(text).ok_or_else(fault)?;
        if object.id == "*" {
            return Ok(SubjectRef::Wildcard { object_type: object.object_type });
        }
        Ok(SubjectRef::Object(object))
    }
}

impl<'a> TupleKeyRef<'a> {
    /// Parses the three parts of a tuple.
    ///
    /// # Errors
    /// The first part that is malformed, in the order object, relation, subject.
    pub fn parse(object: &'a str, relation: &'a str, subject: &'a str) -> Result<Self, TupleTextError> {
        let object = ObjectRef::parse(object)?;
        if !is_relation(relation) {
            return Err(TupleTextError::Relation { text: relation.into() });
        }
        Ok(TupleKeyRef { object, relation, subject: SubjectRef::parse(subject)? })
    }
}

impl fmt::Display for ObjectRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.object_type, self.id)
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_ref().fmt(f)
    }
}

impl fmt::Display for SubjectRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SubjectRef::Object(object) => object.fmt(f),
            SubjectRef::Userset { object, relation } => write!(f, "{object}#{relation}"),
            SubjectRef::Wildcard { object_type } => write!(f, "{object_type}:*"),
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_ref().fmt(f)
    }
}

/// Prints OpenFGA's form, `document:1#viewer@user:anne`.
impl fmt::Display for TupleKeyRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}@{}", self.object, self.relation, self.subject)
    }
}

impl fmt::Display for Tuple {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.key().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects() {
        for good in ["document:1", "a:b@c", "d:a|b/c", "д:ж"] {
            assert_eq!(ObjectRef::parse(good).unwrap().to_string(), good);
        }
        for bad in ["", ":", "a:", ":b", "a", "a:b:c", "a:b#c", "a:*", "a: b", "a:b\u{0}", "a:\u{a0}b", "a:b\u{85}"] {
            assert!(ObjectRef::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn subjects() {
        for good in ["user:anne", "group:eng#member", "user:*"] {
            assert_eq!(SubjectRef::parse(good).unwrap().to_string(), good);
        }
        for bad in ["", "anne", "user:", "user:*#member", "group:eng#", "group#member", "a:b#c#d", "*"] {
            assert!(SubjectRef::parse(bad).is_err(), "{bad:?}");
        }
        assert!(TupleKeyRef::parse("a:b", "c@", "d:e").is_err());
    }
}
