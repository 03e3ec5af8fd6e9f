//! Tuples and context between what people type, JSON, and the wire's messages.

use super::Failure;
use bailiwick::api::proto as pb;
use bailiwick::tuple::TupleKeyRef;
use clap::Args;
use prost_types::value::Kind;
use serde_json::{Map, Number, Value, json};

/// The deepest nesting of a context that is read; the server takes no more either.
const NESTING_MAX: usize = 64;
/// Whole numbers up to here are the same as a double, which is what the wire has.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

/// What a question adds to the stored state.
#[derive(Args, Clone)]
#[command(next_help_heading = "For this question only")]
pub(crate) struct Given {
    /// Parameters of conditions: a JSON object, as in '{"hour": 10}'
    #[arg(long, value_name = "JSON")]
    context: Option<String>,
    /// A tuple that counts as if it were stored, as in 'user:anne member group:eng'; may be said several times. A condition
    /// and its context may follow
    #[arg(long = "with", visible_alias = "contextual-tuple", value_name = "TUPLE")]
    with: Vec<String>,
}

impl Given {
    /// Tuples without parameters of conditions.
    pub(super) fn of(tuples: &[String]) -> Given {
        Given { context: None, with: tuples.to_owned() }
    }

    /// The parameters of conditions.
    pub(super) fn context(&self) -> Result<Option<prost_types::Struct>, Failure> {
        self.context.as_deref().map(|text| object("--context", text)).transpose()
    }

    /// The tuples.
    pub(super) fn tuples(&self) -> Result<Vec<pb::TupleKey>, Failure> {
        self.with.iter().map(|text| tuple(text)).collect()
    }

    /// The tuples, as most messages have them.
    pub(super) fn contextual(&self) -> Result<Option<pb::ContextualTupleKeys>, Failure> {
        let tuple_keys = self.tuples()?;
        Ok((!tuple_keys.is_empty()).then_some(pb::ContextualTupleKeys { tuple_keys }))
    }
}

/// Reads `user relation object [condition [context]]`.
fn tuple(text: &str) -> Result<pb::TupleKey, Failure> {
    let mut parts = text.trim().splitn(5, char::is_whitespace);
    let (Some(user), Some(relation), Some(object_text)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(Failure::Said(format!("`{text}` is no tuple; write --with 'user:anne member group:eng'")));
    };
    let context = |c: &str| object("the context of --with", c);
    let condition = match (parts.next(), parts.next()) {
        (None, _) => None,
        (Some(name), rest) => {
            Some(pb::RelationshipCondition { name: name.to_owned(), context: rest.map(context).transpose()? })
        }
    };
    key(user, relation, object_text, condition)
}

/// A tuple whose parts have the right form.
pub(super) fn key(
    user: &str,
    relation: &str,
    object: &str,
    condition: Option<pb::RelationshipCondition>,
) -> Result<pb::TupleKey, Failure> {
    TupleKeyRef::parse(object, relation, user)?;
    Ok(pb::TupleKey { user: user.to_owned(), relation: relation.to_owned(), object: object.to_owned(), condition })
}

/// Reads a JSON object.
pub(super) fn object(what: &str, text: &str) -> Result<prost_types::Struct, Failure> {
    let map: Map<String, Value> =
        serde_json::from_str(text).map_err(|error| Failure::Said(format!("{what} is no JSON object: {error}")))?;
    let deep = || Failure::Said(format!("{what} is nested deeper than {NESTING_MAX}"));
    structure(&map, 0).ok_or_else(deep)
}

fn structure(map: &Map<String, Value>, depth: usize) -> Option<prost_types::Struct> {
    if depth > NESTING_MAX {
        return None;
    }
    let fields = map.iter().map(|(k, v)| Some((k.clone(), message(v, depth)?))).collect::<Option<_>>()?;
    Some(prost_types::Struct { fields })
}

fn message(value: &Value, depth: usize) -> Option<prost_types::Value> {
    let kind = match value {
        Value::Null => Kind::NullValue(0),
        Value::Bool(b) => Kind::BoolValue(*b),
        Value::Number(n) => Kind::NumberValue(n.as_f64()?),
        Value::String(s) => Kind::StringValue(s.clone()),
        Value::Array(list) if depth < NESTING_MAX => {
            let values = list.iter().map(|v| message(v, depth + 1)).collect::<Option<_>>()?;
            Kind::ListValue(prost_types::ListValue { values })
        }
        Value::Array(_) => return None,
        Value::Object(map) => Kind::StructValue(structure(map, depth + 1)?),
    };
    Some(prost_types::Value { kind: Some(kind) })
}

/// A context as JSON. The wire has doubles only; whole ones are printed as whole numbers.
pub(super) fn json(context: &prost_types::Struct) -> Value {
    Value::Object(context.fields.iter().map(|(k, v)| (k.clone(), plain(v))).collect())
}

#[expect(clippy::cast_possible_truncation, reason = "whole, and within the bound on the same line")]
fn plain(value: &prost_types::Value) -> Value {
    match &value.kind {
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::BoolValue(b)) => Value::Bool(*b),
        Some(Kind::NumberValue(n)) if n.fract() == 0.0 && n.abs() <= WHOLE_MAX => Value::from(*n as i64),
        Some(Kind::NumberValue(n)) => Number::from_f64(*n).map_or(Value::Null, Value::Number),
        Some(Kind::StringValue(s)) => Value::String(s.clone()),
        Some(Kind::StructValue(s)) => json(s),
        Some(Kind::ListValue(list)) => Value::Array(list.values.iter().map(plain).collect()),
    }
}

/// A tuple as JSON, as an import reads it.
pub(super) fn tuple_json(key: &pb::TupleKey) -> Map<String, Value> {
    let mut map = Map::new();
    for (name, text) in [("user", &key.user), ("relation", &key.relation), ("object", &key.object)] {
        map.insert(name.into(), Value::String(text.clone()));
    }
    if let Some(condition) = &key.condition {
        let context = condition.context.as_ref().map_or_else(|| json!({}), json);
        map.insert("condition".into(), json!({"name": condition.name, "context": context}));
    }
    map
}

/// A condition and its stored context, in a word or two.
pub(super) fn condition_text(condition: Option<&pb::RelationshipCondition>) -> String {
    let Some(condition) = condition else { return String::new() };
    match condition.context.as_ref().filter(|c| !c.fields.is_empty()) {
        Some(context) => format!("{} {}", condition.name, json(context)),
        None => condition.name.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tuple_may_bring_its_condition() {
        let key = tuple("user:anne viewer document:1 office_hours {\"zone\": \"a b\", \"n\": [1, 2.5]}").unwrap();
        let text = Value::Object(tuple_json(&key)).to_string();
        let expect = r#"{"user":"user:anne","relation":"viewer","object":"document:1","condition":{"name":"office_hours","context":{"n":[1,2.5],"zone":"a b"}}}"#;
        assert_eq!(text, expect);
        assert!(tuple("user:anne viewer").unwrap_err().to_string().contains("--with 'user:anne member group:eng'"));
        assert!(tuple("anne viewer document:1").unwrap_err().to_string().contains("`anne` is not a subject"));
    }

    #[test]
    fn a_context_is_an_object_of_bounded_depth() {
        assert!(object("--context", "[1]").unwrap_err().to_string().starts_with("--context is no JSON object"));
        let deep = format!("{{\"a\": {}1{}}}", "[".repeat(70), "]".repeat(70));
        assert!(object("--context", &deep).unwrap_err().to_string().contains("nested deeper"));
        assert_eq!(
            json(&object("x", r#"{"a": {"b": null}, "c": 0.5}"#).unwrap()).to_string(),
            r#"{"a":{"b":null},"c":0.5}"#
        );
    }
}
