//! The words of the field: objects, subjects, tuples, ordinals and sets of them. Pure values, no storage, no model.
//!
//! Every type that names something comes in two forms: owned (`Object`) for what is kept, and borrowed (`ObjectRef`) for
//! what a request only asks about, so that a Check allocates nothing for its names.

mod set;
mod text;

pub use set::{ObjectSet, ObjectSetIter};
pub use text::{OBJECT_BYTES_MAX, RELATION_BYTES_MAX, SUBJECT_BYTES_MAX, TupleTextError};

/// The values of a condition's parameters, by name: what a tuple stores and what a request sends.
///
/// Numbers are JSON numbers, as in `google.protobuf.Struct`.
pub type Context = serde_json::Map<String, serde_json::Value>;

/// A number of a context, from what `google.protobuf.Struct` carries: a whole number is written as one, so that `1` comes back
/// as `1`, whichever way it went in. `None` for what JSON has no number for.
#[must_use]
pub fn context_number(value: f64) -> Option<serde_json::Number> {
    /// Whole numbers up to here are exact as doubles.
    const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;
    if value.fract() == 0.0 && value.abs() <= WHOLE_MAX && !(value == 0.0 && value.is_sign_negative()) {
        #[expect(clippy::cast_possible_truncation, reason = "whole, and in range")]
        return Some((value as i64).into());
    }
    serde_json::Number::from_f64(value)
}

/// Brings the numbers of a context into the one form that `google.protobuf.Struct` can carry, doubles, so that equal contexts
/// are equal however they came.
pub fn as_struct(context: &mut Context) {
    fn each(value: &mut serde_json::Value) {
        match value {
            serde_json::Value::Number(n) => {
                if let Some(plain) = n.as_f64().and_then(context_number) {
                    *n = plain;
                }
            }
            serde_json::Value::Array(list) => list.iter_mut().for_each(each),
            serde_json::Value::Object(map) => map.values_mut().for_each(each),
            serde_json::Value::Null | serde_json::Value::Bool(_) | serde_json::Value::String(_) => {}
        }
    }
    context.values_mut().for_each(each);
}

/// The dense number of an object within its store and object type. Never reused, and meaningless outside of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ordinal(pub u32);

/// A position in the one sequence of changes of a database. Revision 0 is the empty database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

/// A moment in nanoseconds since 1970-01-01T00:00:00Z. Below `wire` it is always an argument.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

/// The identifier of a store (a tenant): a ULID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoreId(pub ulid::Ulid);

/// The identifier of an authorization model: a ULID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModelId(pub ulid::Ulid);

/// An object, borrowed: `document:1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectRef<'a> {
    /// The object type, `document`.
    pub object_type: &'a str,
    /// The identifier within the type, `1`.
    pub id: &'a str,
}

/// An object: `document:1`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Object {
    /// The object type, `document`.
    pub object_type: String,
    /// The identifier within the type, `1`.
    pub id: String,
}

/// Who a tuple relates to an object, borrowed. OpenFGA's wire calls it *user*.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SubjectRef<'a> {
    /// One object: `user:anne`.
    Object(ObjectRef<'a>),
    /// All that have a relation to an object: `group:eng#member`.
    Userset {
        /// The object, `group:eng`.
        object: ObjectRef<'a>,
        /// The relation, `member`.
        relation: &'a str,
    },
    /// Every object of a type: `user:*`.
    Wildcard {
        /// The type, `user`.
        object_type: &'a str,
    },
}

/// Who a tuple relates to an object. OpenFGA's wire calls it *user*.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// One object: `user:anne`.
    Object(Object),
    /// All that have a relation to an object: `group:eng#member`.
    Userset {
        /// The object, `group:eng`.
        object: Object,
        /// The relation, `member`.
        relation: String,
    },
    /// Every object of a type: `user:*`.
    Wildcard {
        /// The type, `user`.
        object_type: String,
    },
}

/// Object, relation and subject of a tuple, borrowed: what identifies it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TupleKeyRef<'a> {
    /// The object the tuple is about.
    pub object: ObjectRef<'a>,
    /// The relation it grants.
    pub relation: &'a str,
    /// To whom.
    pub subject: SubjectRef<'a>,
}

/// A condition as a tuple carries it.
#[derive(Clone, Debug, PartialEq)]
pub struct TupleCondition {
    /// The name of a condition of the model.
    pub name: String,
    /// The parameters stored with the tuple; they win over a request's.
    pub context: Context,
}

/// A relationship tuple: `user:anne` is `viewer` of `document:1`, perhaps under a condition.
#[derive(Clone, Debug, PartialEq)]
pub struct Tuple {
    /// The object the tuple is about.
    pub object: Object,
    /// The relation it grants.
    pub relation: String,
    /// To whom.
    pub subject: Subject,
    /// Under which condition, if any.
    pub condition: Option<TupleCondition>,
}

impl Object {
    /// The same object, borrowed.
    #[must_use]
    pub fn as_ref(&self) -> ObjectRef<'_> {
        ObjectRef { object_type: &self.object_type, id: &self.id }
    }
}

impl ObjectRef<'_> {
    /// The same object, owned.
    #[must_use]
    pub fn to_owned(self) -> Object {
        Object { object_type: self.object_type.into(), id: self.id.into() }
    }
}

impl Subject {
    /// The same subject, borrowed.
    #[must_use]
    pub fn as_ref(&self) -> SubjectRef<'_> {
        match self {
            Subject::Object(object) => SubjectRef::Object(object.as_ref()),
            Subject::Userset { object, relation } => SubjectRef::Userset { object: object.as_ref(), relation },
            Subject::Wildcard { object_type } => SubjectRef::Wildcard { object_type },
        }
    }
}

impl<'a> SubjectRef<'a> {
    /// The same subject, owned.
    #[must_use]
    pub fn to_owned(self) -> Subject {
        match self {
            SubjectRef::Object(object) => Subject::Object(object.to_owned()),
            SubjectRef::Userset { object, relation } => {
                Subject::Userset { object: object.to_owned(), relation: relation.into() }
            }
            SubjectRef::Wildcard { object_type } => Subject::Wildcard { object_type: object_type.into() },
        }
    }

    /// The type of the object that the subject names: `group` of `group:eng#member`, `user` of `user:*`.
    #[must_use]
    pub fn object_type(self) -> &'a str {
        match self {
            SubjectRef::Object(object) | SubjectRef::Userset { object, .. } => object.object_type,
            SubjectRef::Wildcard { object_type } => object_type,
        }
    }
}

impl Tuple {
    /// What identifies the tuple, borrowed.
    #[must_use]
    pub fn key(&self) -> TupleKeyRef<'_> {
        TupleKeyRef { object: self.object.as_ref(), relation: &self.relation, subject: self.subject.as_ref() }
    }
}

impl TupleKeyRef<'_> {
    /// The same key as an owned tuple without a condition.
    #[must_use]
    pub fn to_tuple(self) -> Tuple {
        Tuple {
            object: self.object.to_owned(),
            relation: self.relation.into(),
            subject: self.subject.to_owned(),
            condition: None,
        }
    }
}

impl StoreId {
    /// The store of a tenant's own identities. Its id is a ULID of time zero, which no store has that somebody creates: the
    /// surface of OpenFGA neither lists nor finds it.
    #[must_use]
    pub fn system(tenant: u32) -> StoreId {
        StoreId(ulid::Ulid::from_parts(0, u128::from(tenant)))
    }

    /// Whether it is one of those.
    #[must_use]
    pub fn is_system(self) -> bool {
        self.0.timestamp_ms() == 0
    }
}

impl std::fmt::Display for StoreId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::fmt::Display for ModelId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_contexts() {
        let text = |value| context_number(value).map(|n| n.to_string());
        for (value, expected) in [(1.0, "1"), (-3.0, "-3"), (0.0, "0"), (-0.0, "-0.0"), (2.5, "2.5")] {
            assert_eq!(text(value).as_deref(), Some(expected));
        }
        // How a large one is spelled is the crate's choice.
        assert_eq!(context_number(1e300).and_then(|n| n.as_f64()), Some(1e300));
        assert_eq!((text(f64::NAN), text(f64::INFINITY)), (None, None));
    }
}
