//! Wire types to ours and back. The only file where a subject is called a user.

use super::proto as pb;
use crate::engine::{Change, ExpandNode, StoredModel, StoredTuple};
use crate::tuple::context_number;
use crate::tuple::{
    Context, ModelId, ObjectRef, StoreId, Subject, SubjectRef, Timestamp, Tuple, TupleCondition, TupleKeyRef,
};
use crate::wire::{Code, Problem};
use prost_types::value::Kind;
use serde_json::Value;

/// Deepest nesting of a context.
const NESTING_MAX: usize = 64;
const NANOS: i64 = 1_000_000_000;

pub(super) fn timestamp(at: Timestamp) -> prost_types::Timestamp {
    let nanos = i32::try_from(at.0.rem_euclid(NANOS)).unwrap_or(0);
    prost_types::Timestamp { seconds: at.0.div_euclid(NANOS), nanos }
}

/// A moment in nanoseconds since 1970, or the nearest that fits.
pub(super) fn nanoseconds(at: &prost_types::Timestamp) -> i64 {
    at.seconds.saturating_mul(NANOS).saturating_add(i64::from(at.nanos))
}

fn json(value: &prost_types::Value, depth: usize) -> Result<Value, Problem> {
    if depth > NESTING_MAX {
        return Err(Problem::new(Code::Validation, format!("context is nested deeper than {NESTING_MAX}")));
    }
    Ok(match &value.kind {
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::NumberValue(n)) => context_number(*n).map_or(Value::Null, Value::Number),
        Some(Kind::StringValue(s)) => Value::String(s.clone()),
        Some(Kind::BoolValue(b)) => Value::Bool(*b),
        Some(Kind::StructValue(s)) => Value::Object(fields(s, depth + 1)?),
        Some(Kind::ListValue(list)) => {
            Value::Array(list.values.iter().map(|v| json(v, depth + 1)).collect::<Result<_, _>>()?)
        }
    })
}

fn fields(value: &prost_types::Struct, depth: usize) -> Result<Context, Problem> {
    value.fields.iter().map(|(k, v)| Ok((k.clone(), json(v, depth)?))).collect()
}

pub(super) fn context(value: Option<&prost_types::Struct>) -> Result<Context, Problem> {
    value.map_or_else(|| Ok(Context::new()), |s| fields(s, 0))
}

fn value(json: &Value) -> prost_types::Value {
    let kind = match json {
        Value::Null => Kind::NullValue(0),
        Value::Bool(b) => Kind::BoolValue(*b),
        Value::Number(n) => Kind::NumberValue(n.as_f64().unwrap_or_default()),
        Value::String(s) => Kind::StringValue(s.clone()),
        Value::Array(list) => Kind::ListValue(prost_types::ListValue { values: list.iter().map(value).collect() }),
        Value::Object(map) => Kind::StructValue(structure(map)),
    };
    prost_types::Value { kind: Some(kind) }
}

pub(super) fn structure(context: &Context) -> prost_types::Struct {
    prost_types::Struct { fields: context.iter().map(|(k, v)| (k.clone(), value(v))).collect() }
}

/// What is wrong with a user, whatever the model says.
pub(super) const USER_MALFORMED: &str = "the 'user' field is malformed";

/// What is wrong with a tuple that cannot be parsed, in the order user, object, relation.
pub(super) fn malformed(object: &str, relation: &str, user: &str) -> &'static str {
    let bare = |text: &str| !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || matches!(c, ':' | '#'));
    if SubjectRef::parse(user).is_err() {
        return if bare(user) {
            "the 'user' field must be an object (e.g. document:1) or an 'object#relation' or a typed wildcard (e.g. group:*)"
        } else {
            USER_MALFORMED
        };
    }
    if ObjectRef::parse(object).is_err() {
        let wildcard = object.strip_suffix(":*").is_some_and(bare);
        return if wildcard {
            "the 'object' field cannot reference a typed wildcard"
        } else {
            "invalid 'object' field format"
        };
    }
    debug_assert!(TupleKeyRef::parse(object, relation, user).is_err(), "nothing is wrong");
    "the 'relation' field is malformed"
}

/// An id whose letters were checked; `None` when it is beyond 128 bits, which the parser would cut off.
fn id(text: &str) -> Option<ulid::Ulid> {
    ulid::Ulid::from_string(text).ok().filter(|_| text.bytes().next().is_some_and(|first| first <= b'7'))
}

/// A store's id. Those of tenants' own identities are not to be found on this surface, whether they exist or not.
pub(super) fn store_id(text: &str) -> Result<StoreId, Problem> {
    let none = || Problem::new(Code::Validation, format!("store id '{text}' is no ULID: it begins beyond 7"));
    let store = id(text).map(StoreId).ok_or_else(none)?;
    if store.is_system() {
        return Err(Problem::new(Code::StoreNotFound, "Store ID not found"));
    }
    Ok(store)
}

/// A model's id; empty means the latest model.
pub(super) fn model_id(text: &str) -> Result<Option<ModelId>, Problem> {
    if text.is_empty() {
        return Ok(None);
    }
    let unknown = || Problem::new(Code::ModelNotFound, format!("Authorization Model '{text}' not found"));
    id(text).map(|id| Some(ModelId(id))).ok_or_else(unknown)
}

/// A tuple; what the model says of it comes later. `code` is for one that cannot be parsed.
pub(super) fn tuple(key: &pb::TupleKey, code: Code) -> Result<Tuple, Problem> {
    let parsed = TupleKeyRef::parse(&key.object, &key.relation, &key.user).map_err(|_| {
        let why = malformed(&key.object, &key.relation, &key.user);
        let text = format!("Invalid tuple '{}#{}@{}'. Reason: {why}", key.object, key.relation, key.user);
        Problem::new(code, text)
    })?;
    let mut tuple = parsed.to_tuple();
    if let Some(condition) = &key.condition {
        tuple.condition =
            Some(TupleCondition { name: condition.name.clone(), context: context(condition.context.as_ref())? });
    }
    Ok(tuple)
}

/// The tuples that a request adds for itself.
pub(super) fn tuples(keys: Option<&pb::ContextualTupleKeys>) -> Result<Vec<Tuple>, Problem> {
    keys.map_or_else(|| Ok(Vec::new()), |k| contextual(&k.tuple_keys))
}

pub(super) fn contextual(keys: &[pb::TupleKey]) -> Result<Vec<Tuple>, Problem> {
    keys.iter().map(|k| tuple(k, Code::InvalidTuple)).collect()
}

fn key(tuple: &Tuple) -> pb::TupleKey {
    pb::TupleKey {
        user: tuple.subject.to_string(),
        relation: tuple.relation.clone(),
        object: tuple.object.to_string(),
        condition: tuple
            .condition
            .as_ref()
            .map(|c| pb::RelationshipCondition { name: c.name.clone(), context: Some(structure(&c.context)) }),
    }
}

pub(super) fn stored(tuple: &StoredTuple) -> pb::Tuple {
    pb::Tuple { key: Some(key(&tuple.tuple)), timestamp: Some(timestamp(tuple.written_at)) }
}

pub(super) fn change(change: &Change) -> pb::TupleChange {
    pb::TupleChange {
        tuple_key: Some(key(&change.tuple)),
        operation: i32::from(change.deleted),
        timestamp: Some(timestamp(change.at)),
    }
}

pub(super) fn user(subject: &Subject) -> pb::User {
    use pb::user::User;
    let user = match subject {
        Subject::Object(o) => User::Object(pb::Object { r#type: o.object_type.clone(), id: o.id.clone() }),
        Subject::Userset { object: o, relation } => User::Userset(pb::UsersetUser {
            r#type: o.object_type.clone(),
            id: o.id.clone(),
            relation: relation.clone(),
        }),
        Subject::Wildcard { object_type } => User::Wildcard(pb::TypedWildcard { r#type: object_type.clone() }),
    };
    pb::User { user: Some(user) }
}

/// The tree of an Expand; every node has the name of the relation asked about.
pub(super) fn tree(node: &ExpandNode, name: &str) -> pb::userset_tree::Node {
    use pb::userset_tree as t;
    let leaf = |value| t::node::Value::Leaf(t::Leaf { value: Some(value) });
    let all = |list: &[ExpandNode]| t::Nodes { nodes: list.iter().map(|n| tree(n, name)).collect() };
    let computed = |userset: &String| t::Computed { userset: userset.clone() };
    let value = match node {
        ExpandNode::Users(users) => {
            leaf(t::leaf::Value::Users(t::Users { users: users.iter().map(ToString::to_string).collect() }))
        }
        ExpandNode::Computed(userset) => leaf(t::leaf::Value::Computed(computed(userset))),
        ExpandNode::TupleToUserset { tupleset, computed: list } => {
            let computed = list.iter().map(computed).collect();
            leaf(t::leaf::Value::TupleToUserset(t::TupleToUserset { tupleset: tupleset.clone(), computed }))
        }
        ExpandNode::Union(list) => t::node::Value::Union(all(list)),
        ExpandNode::Intersection(list) => t::node::Value::Intersection(all(list)),
        ExpandNode::Difference(base, subtract) => t::node::Value::Difference(Box::new(t::Difference {
            base: Some(Box::new(tree(base, name))),
            subtract: Some(Box::new(tree(subtract, name))),
        })),
    };
    t::Node { name: name.to_owned(), value: Some(value) }
}

/// A model as the wire has it, by way of its JSON form.
pub(super) fn model(stored: &StoredModel) -> Result<pb::AuthorizationModel, Problem> {
    let mut json = stored.model.to_json();
    if let Some(map) = json.as_object_mut() {
        map.insert("id".into(), stored.id.to_string().into());
    }
    super::json::from_json("AuthorizationModel", &json)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_of_form_are_named_in_order() {
        let of_user = "the 'user' field must be an object (e.g. document:1) or an 'object#relation' or a typed wildcard \
                       (e.g. group:*)";
        let cases = [
            ("bad", "r", "a:b:c", USER_MALFORMED),
            ("bad", "r", "", USER_MALFORMED),
            ("bad", "r", "anne", of_user),
            ("bad", "r", "user:anne", "invalid 'object' field format"),
            ("d:*", "r", "user:anne", "the 'object' field cannot reference a typed wildcard"),
            ("d:1", "", "user:anne", "the 'relation' field is malformed"),
        ];
        for (object, relation, user, expected) in cases {
            assert_eq!(malformed(object, relation, user), expected, "{object} {relation} {user}");
        }
    }
}
