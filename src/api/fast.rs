//! JSON for the calls that matter most, straight between bytes and messages. What a request holds beyond the plain form
//! (an unknown enum name, a field given twice, a wrong type) is left to `json`, which knows every rule and every error.

use super::calls::Objects;
use super::proto as pb;
use super::validate::Wire;
use super::{convert, json};
use crate::tuple::Context;
use crate::wire::{Code, Problem};
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// A request that can be read from JSON.
pub(super) trait FromJson: Wire + prost::Message + Default {
    /// Reads the plain form; `None` when it is not that.
    fn plain(_: &[u8]) -> Option<Self> {
        None
    }

    /// Reads a body.
    fn from_json(body: &[u8]) -> Result<Self, Problem> {
        if body.iter().all(u8::is_ascii_whitespace) {
            return Ok(Self::default());
        }
        if let Some(request) = Self::plain(body) {
            return Ok(request);
        }
        let malformed = |error: serde_json::Error| {
            let text = if error.is_eof() { "malformed JSON".to_owned() } else { error.to_string() };
            Problem::new(Code::InvalidArgument, text)
        };
        let value: Value = serde_json::from_slice(body).map_err(malformed)?;
        if !value.is_object() {
            let first = char::from(*body.trim_ascii_start().first().unwrap_or(&b' '));
            let text = format!("syntax error (line 1:1): unexpected token {first}");
            return Err(Problem::new(Code::InvalidArgument, text));
        }
        json::from_json(Self::NAME, &value)
    }
}

/// `null` is the default.
fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(input: D) -> Result<T, D::Error> {
    Option::deserialize(input).map(Option::unwrap_or_default)
}

/// What must be a JSON object. A derived reader alone would take the values in a list as well.
pub(super) struct Object<T>(pub(super) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct Fields<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
            type Value = T;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map))
            }
        }
        input.deserialize_map(Fields(std::marker::PhantomData)).map(Object)
    }
}

/// Reads a body that is an object of the plain form.
fn plain<'de, T: Deserialize<'de>>(body: &'de [u8]) -> Option<T> {
    serde_json::from_slice::<Object<T>>(body).ok().map(|object| object.0)
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Key {
    #[serde(deserialize_with = "or_default")]
    user: String,
    #[serde(deserialize_with = "or_default")]
    relation: String,
    #[serde(deserialize_with = "or_default")]
    object: String,
    condition: Option<Object<Condition>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Condition {
    #[serde(deserialize_with = "or_default")]
    name: String,
    context: Option<Context>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Keys {
    #[serde(deserialize_with = "or_default")]
    tuple_keys: Vec<Object<Key>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Check {
    tuple_key: Option<Object<Key>>,
    contextual_tuples: Option<Object<Keys>>,
    #[serde(deserialize_with = "or_default")]
    authorization_model_id: String,
    #[serde(deserialize_with = "or_default")]
    trace: bool,
    context: Option<Context>,
    #[serde(deserialize_with = "or_default")]
    consistency: Consistency,
    #[serde(deserialize_with = "or_default")]
    correlation_id: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Batch {
    #[serde(deserialize_with = "or_default")]
    checks: Vec<Object<Check>>,
    #[serde(deserialize_with = "or_default")]
    authorization_model_id: String,
    #[serde(deserialize_with = "or_default")]
    consistency: Consistency,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct List {
    #[serde(deserialize_with = "or_default")]
    authorization_model_id: String,
    #[serde(rename = "type", deserialize_with = "or_default")]
    object_type: String,
    #[serde(deserialize_with = "or_default")]
    relation: String,
    #[serde(deserialize_with = "or_default")]
    user: String,
    contextual_tuples: Option<Object<Keys>>,
    context: Option<Context>,
    #[serde(deserialize_with = "or_default")]
    consistency: Consistency,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Write {
    writes: Option<Object<Part>>,
    deletes: Option<Object<Part>>,
    #[serde(deserialize_with = "or_default")]
    authorization_model_id: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Part {
    #[serde(deserialize_with = "or_default")]
    tuple_keys: Vec<Object<Key>>,
    #[serde(deserialize_with = "or_default")]
    on_duplicate: String,
    #[serde(deserialize_with = "or_default")]
    on_missing: String,
}

/// A preference by name or by number.
#[derive(Clone, Copy, Default)]
struct Consistency(i32);

impl<'de> Deserialize<'de> for Consistency {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Number(i32),
            Name(String),
        }
        match Form::deserialize(input)? {
            Form::Number(number) => Ok(Consistency(number)),
            Form::Name(name) => {
                let known = pb::ConsistencyPreference::from_str_name(&name);
                known.map(|c| Consistency(c.into())).ok_or_else(|| serde::de::Error::custom("unknown name"))
            }
        }
    }
}

impl From<Key> for pb::TupleKey {
    fn from(Key { user, relation, object, condition }: Key) -> Self {
        let condition = condition.map(|Object(c)| pb::RelationshipCondition {
            name: c.name,
            context: c.context.as_ref().map(convert::structure),
        });
        pb::TupleKey { user, relation, object, condition }
    }
}

impl From<Key> for pb::CheckRequestTupleKey {
    fn from(Key { user, relation, object, .. }: Key) -> Self {
        pb::CheckRequestTupleKey { user, relation, object }
    }
}

impl From<Key> for pb::TupleKeyWithoutCondition {
    fn from(Key { user, relation, object, .. }: Key) -> Self {
        pb::TupleKeyWithoutCondition { user, relation, object }
    }
}

impl From<Keys> for pb::ContextualTupleKeys {
    fn from(keys: Keys) -> Self {
        pb::ContextualTupleKeys { tuple_keys: keys.tuple_keys.into_iter().map(|Object(key)| key.into()).collect() }
    }
}

impl FromJson for pb::CheckRequest {
    fn plain(body: &[u8]) -> Option<Self> {
        let r: Check = plain(body)?;
        Some(pb::CheckRequest {
            store_id: String::new(),
            tuple_key: r.tuple_key.map(|Object(key)| key.into()),
            contextual_tuples: r.contextual_tuples.map(|Object(keys)| keys.into()),
            authorization_model_id: r.authorization_model_id,
            trace: r.trace,
            context: r.context.as_ref().map(convert::structure),
            consistency: r.consistency.0,
        })
    }
}

impl FromJson for pb::BatchCheckRequest {
    fn plain(body: &[u8]) -> Option<Self> {
        let r: Batch = plain(body)?;
        let item = |Object(c): Object<Check>| pb::BatchCheckItem {
            tuple_key: c.tuple_key.map(|Object(key)| key.into()),
            contextual_tuples: c.contextual_tuples.map(|Object(keys)| keys.into()),
            context: c.context.as_ref().map(convert::structure),
            correlation_id: c.correlation_id,
        };
        Some(pb::BatchCheckRequest {
            store_id: String::new(),
            checks: r.checks.into_iter().map(item).collect(),
            authorization_model_id: r.authorization_model_id,
            consistency: r.consistency.0,
        })
    }
}

macro_rules! lists {
    ($($name:ident)*) => {
        $(impl FromJson for pb::$name {
            fn plain(body: &[u8]) -> Option<Self> {
                let r: List = plain(body)?;
                Some(pb::$name {
                    store_id: String::new(),
                    authorization_model_id: r.authorization_model_id,
                    r#type: r.object_type,
                    relation: r.relation,
                    user: r.user,
                    contextual_tuples: r.contextual_tuples.map(|Object(keys)| keys.into()),
                    context: r.context.as_ref().map(convert::structure),
                    consistency: r.consistency.0,
                })
            }
        })*
    };
}

lists! { ListObjectsRequest StreamedListObjectsRequest }

impl FromJson for pb::WriteRequest {
    fn plain(body: &[u8]) -> Option<Self> {
        let r: Write = plain(body)?;
        Some(pb::WriteRequest {
            store_id: String::new(),
            writes: r.writes.map(|Object(w)| pb::WriteRequestWrites {
                tuple_keys: w.tuple_keys.into_iter().map(|Object(key)| key.into()).collect(),
                on_duplicate: w.on_duplicate,
            }),
            deletes: r.deletes.map(|Object(d)| pb::WriteRequestDeletes {
                tuple_keys: d.tuple_keys.into_iter().map(|Object(key)| key.into()).collect(),
                on_missing: d.on_missing,
            }),
            authorization_model_id: r.authorization_model_id,
        })
    }
}

impl FromJson for pb::ExpandRequest {}
impl FromJson for pb::ListUsersRequest {}
impl FromJson for pb::ReadRequest {}
impl FromJson for pb::WriteAuthorizationModelRequest {}
impl FromJson for pb::WriteAssertionsRequest {}
impl FromJson for pb::CreateStoreRequest {}
impl FromJson for pb::UpdateStoreRequest {}

fn internal(_: serde_json::Error) -> Problem {
    Problem::new(Code::Internal, "Internal Server Error")
}

/// The answer to a Check.
pub(super) fn checked(answer: &pb::CheckResponse) -> Vec<u8> {
    let body: &[u8] =
        if answer.allowed { br#"{"allowed":true,"resolution":""}"# } else { br#"{"allowed":false,"resolution":""}"# };
    body.to_vec()
}

#[derive(Serialize)]
struct BatchOut<'a> {
    result: BTreeMap<&'a str, Slot<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Slot<'a> {
    Allowed(bool),
    Error(Fault<'a>),
}

#[derive(Serialize)]
struct Fault<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    input_error: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    internal_error: Option<&'static str>,
    message: &'a str,
}

/// The answer to a BatchCheck; codes are printed by name.
pub(super) fn batch_checked(answer: &pb::BatchCheckResponse) -> Result<Vec<u8>, Problem> {
    // Map entries are borrowed; every slot has been filled.
    let result = answer.result.iter().filter_map(|(id, single)| Some((id.as_str(), slot(single)?))).collect();
    serde_json::to_vec(&BatchOut { result }).map_err(internal)
}

fn slot(single: &pb::BatchCheckSingleResult) -> Option<Slot<'_>> {
    use pb::batch_check_single_result::CheckResult;
    match single.check_result.as_ref()? {
        CheckResult::Error(error) => Some(Slot::Error(fault(error))),
        CheckResult::Allowed(allowed) => Some(Slot::Allowed(*allowed)),
    }
}

fn fault(error: &pb::CheckError) -> Fault<'_> {
    use pb::check_error::Code as Slot;
    let name = |number| match number {
        2002 => Code::TooComplex.text(),
        2027 => Code::InvalidTuple.text(),
        4004 => Code::Deadline.text(),
        4000 => Code::Internal.text(),
        _ => Code::Validation.text(),
    };
    let (input_error, internal_error) = match error.code {
        Some(Slot::InputError(number)) => (Some(name(number)), None),
        Some(Slot::InternalError(number)) => (None, Some(name(number))),
        None => (None, None),
    };
    Fault { input_error, internal_error, message: &error.message }
}

/// Adds a JSON string of an object's type and id.
fn object(out: &mut Vec<u8>, object_type: &str, id: &str) {
    let plain = |text: &str| text.bytes().all(|b| b >= b' ' && b != b'"' && b != b'\\');
    if plain(object_type) && plain(id) {
        out.push(b'"');
        out.extend_from_slice(object_type.as_bytes());
        out.push(b':');
        out.extend_from_slice(id.as_bytes());
        out.push(b'"');
    } else {
        out.extend_from_slice(Value::from(format!("{object_type}:{id}")).to_string().as_bytes());
    }
}

/// The answer to a ListObjects.
pub(super) fn listed(answer: &Objects) -> Vec<u8> {
    let (object_type, ids) = answer.ids();
    let mut out = Vec::with_capacity(16 + answer.len() * 32);
    out.extend_from_slice(br#"{"objects":["#);
    for (i, id) in ids.enumerate() {
        if i > 0 {
            out.push(b',');
        }
        object(&mut out, object_type, id);
    }
    out.extend_from_slice(b"]}");
    out
}

/// Lines of a streamed list, for the objects behind the first `skip` ones.
pub(super) fn lines(answer: &Objects, skip: usize, take: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(take * 64);
    for name in answer.iter_from(skip).take(take) {
        let (object_type, id) = name.split_once(':').unwrap_or((&name, ""));
        out.extend_from_slice(br#"{"result":{"object":"#);
        object(&mut out, object_type, id);
        out.extend_from_slice(b"}}\n");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Both ways of reading must give the same message, or the plain one must give way.
    fn same<T: FromJson + PartialEq + std::fmt::Debug>(body: &str) {
        let value: Value = serde_json::from_str(body).unwrap();
        if let Some(plain) = T::plain(body.as_bytes()) {
            assert_eq!(plain, json::from_json::<T>(T::NAME, &value).unwrap(), "{body}");
        }
    }

    #[test]
    fn the_plain_form_is_read_as_the_general_one() {
        let key = r#"{"user":"user:ann\u00e9","relation":"viewer","object":"document:1"}"#;
        let tuple = r#"{"user":"user:a","relation":"r","object":"d:1","condition":{"name":"c1","context":{"n":1.5,"l":[null,true,"x",{"a":{}}]}}}"#;
        for body in [
            "{}".to_owned(),
            format!(r#"{{"tuple_key":{key}}}"#),
            format!(r#"{{"tuple_key":{key},"unknown":[{{}}],"trace":true,"consistency":"HIGHER_CONSISTENCY"}}"#),
            format!(r#"{{"tuple_key":{key},"consistency":200,"context":{{"x":1e3}},"contextual_tuples":null}}"#),
            format!(r#"{{"tuple_key":{key},"contextual_tuples":{{"tuple_keys":[{tuple},{tuple}]}},"context":{{}}}}"#),
            r#"{"tuple_key":{"user":null,"relation":"r"},"authorization_model_id":null}"#.to_owned(),
            r#"{"tupleKey":{"user":"x"},"tuple_key":null}"#.to_owned(),
        ] {
            same::<pb::CheckRequest>(&body);
            assert!(pb::CheckRequest::plain(body.as_bytes()).is_some(), "{body}");
        }
        same::<pb::BatchCheckRequest>(&format!(
            r#"{{"checks":[{{"tuple_key":{key},"correlation_id":"a","context":{{"a":1}}}}],"consistency":100}}"#
        ));
        same::<pb::ListObjectsRequest>(r#"{"type":"document","relation":"viewer","user":"user:a","context":{"a":[]}}"#);
        same::<pb::WriteRequest>(&format!(
            r#"{{"writes":{{"tuple_keys":[{tuple}],"on_duplicate":"ignore"}},"deletes":{{"tuple_keys":[{key}]}}}}"#
        ));
        same::<pb::WriteRequest>(r#"{"writes":{"tuple_keys":[]},"deletes":null}"#);
    }

    const PIECES: [&str; 40] = [
        "{",
        "}",
        "[",
        "]",
        ",",
        "\"tuple_key\":{",
        "\"tuple_key\":null",
        "\"user\":\"user:a\"",
        "\"user\":null",
        "\"user\":1",
        "\"user\":\"\\ud83d\\ude00\"",
        "\"relation\":\"r\"",
        "\"object\":\"d:1\"",
        "\"condition\":{",
        "\"name\":\"c\"",
        "\"context\":{",
        "\"x\":1",
        "\"x\":1e400",
        "\"x\":1.0",
        "\"x\":-0.0",
        "\"x\":18446744073709551615",
        "\"x\":[null,{\"y\":\"z\"}]",
        "\"contextual_tuples\":{\"tuple_keys\":[",
        "\"contextual_tuples\":[]",
        "\"trace\":true",
        "\"trace\":null",
        "\"trace\":\"true\"",
        "\"consistency\":\"HIGHER_CONSISTENCY\"",
        "\"consistency\":200",
        "\"consistency\":-1",
        "\"consistency\":3000000000",
        "\"checks\":[{",
        "\"correlation_id\":\"a\"",
        "\"type\":\"d\"",
        "\"writes\":{\"tuple_keys\":[{",
        "\"on_duplicate\":\"ignore\"",
        "\"authorization_model_id\":\"\"",
        "\"unknown\":{\"a\":[]}",
        "\"tupleKey\":{}",
        "é",
    ];

    proptest! {
        /// In place of a fuzz target, which compiles no messages: the two readers are of one mind about any body. What comes of
        /// it is told by `tests/fuzz.rs`, over HTTP.
        #[test]
        fn any_body_is_read_as_the_general_reader_reads_it(
            pieces in prop::collection::vec(prop::sample::select(&PIECES[..]), 0..24),
            at in any::<prop::sample::Index>(),
        ) {
            let plain = pieces.join(",");
            // The same with the brackets closed that it opened, so that more of it is JSON.
            let mut open = Vec::new();
            for c in plain.chars() {
                match c {
                    '{' => open.push('}'),
                    '[' => open.push(']'),
                    '}' | ']' => drop(open.pop()),
                    _ => {}
                }
            }
            let closed: String = plain.replace("{,", "{").replace("[,", "[").chars().chain(open.iter().rev().copied()).collect();
            let mut cut = closed.clone();
            cut.truncate(cut.floor_char_boundary(at.index(cut.len() + 1)));
            for body in [format!("{{{closed}}}"), closed, cut] {
                if serde_json::from_str::<Value>(&body).is_ok() {
                    same::<pb::CheckRequest>(&body);
                    same::<pb::BatchCheckRequest>(&body);
                    same::<pb::ListObjectsRequest>(&body);
                    same::<pb::WriteRequest>(&body);
                } else if serde_json::from_str::<serde::de::IgnoredAny>(&body).is_err() {
                    prop_assert!(pb::CheckRequest::plain(body.as_bytes()).is_none());
                    prop_assert!(pb::CheckRequest::from_json(body.as_bytes()).is_err() || body.trim_ascii().is_empty());
                }
            }
        }
    }

    #[test]
    fn what_is_not_plain_is_left_to_the_general_reader() {
        for body in [
            r#"{"consistency":"NO_SUCH_NAME"}"#,
            r#"{"tuple_key":{"user":1}}"#,
            r#"{"trace":"true"}"#,
            r#"{"trace":true,"trace":false}"#,
            "[]",
            r#"{"tuple_key":["user:a","viewer","document:1"]}"#,
            r#"{"contextual_tuples":{"tuple_keys":[["user:a","viewer","document:1"]]}}"#,
            "{",
        ] {
            assert!(pb::CheckRequest::plain(body.as_bytes()).is_none(), "{body}");
        }
    }

    #[test]
    fn objects_are_escaped() {
        let mut out = Vec::new();
        object(&mut out, "d", "a\"\\b\u{e9}");
        assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), "d:a\"\\b\u{e9}");
    }
}
