//! Requests and answers about collections as JSON, straight between bytes and what the engine takes: a vector never goes
//! through a tree of values. Whatever is not known is refused with its place, so that a typo cannot pass for a default.

use super::{Described, ELEMENTS, Got, METRICS, Page, Searched, name_of};
use crate::api::fast::Object;
use crate::api::{convert, proto as fga};
use crate::engine::{SearchAnswer, StoredChunk};
use crate::tuple::Context;
use crate::vector::PlanKind;
use crate::wire::{Code, Problem};
use serde::de::{DeserializeOwned, SeqAccess, Visitor};
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use std::fmt;

/// Elements that room is made for before they come.
const ELEMENTS_AHEAD: usize = 1_024;

/// Reads a body; an empty one is an empty object.
pub(super) fn read<R: DeserializeOwned>(body: &[u8]) -> Result<R, Problem> {
    let body = if body.iter().all(u8::is_ascii_whitespace) { b"{}" } else { body };
    serde_json::from_slice::<Object<R>>(body).map(|Object(request)| request).map_err(|error| {
        // Read again for the place only when something is wrong: to keep it costs as much as reading.
        let place = || {
            let mut input = serde_json::Deserializer::from_slice(body);
            let error = serde_path_to_error::deserialize::<_, Object<R>>(&mut input).err()?;
            Some(error.path().to_string()).filter(|path| path != ".")
        };
        let text = match (error.is_eof(), error.is_data().then(place).flatten()) {
            (true, _) => "malformed JSON".to_owned(),
            (false, None) => error.to_string(),
            (false, Some(place)) => format!("{place}: {error}"),
        };
        Problem::new(Code::InvalidArgument, text)
    })
}

/// One that must be an object.
pub(super) fn object<'de, D: Deserializer<'de>, T: Deserialize<'de>>(input: D) -> Result<T, D::Error> {
    Object::deserialize(input).map(|Object(inner)| inner)
}

/// Some that must be objects.
pub(super) fn objects<'de, D: Deserializer<'de>, T: Deserialize<'de>>(input: D) -> Result<Vec<T>, D::Error> {
    let list = Vec::<Object<T>>::deserialize(input)?;
    Ok(list.into_iter().map(|Object(inner)| inner).collect())
}

/// JSON as it stands there.
pub(super) fn raw<'de, D: Deserializer<'de>>(input: D) -> Result<Option<String>, D::Error> {
    let raw = Option::<Box<RawValue>>::deserialize(input)?;
    Ok(raw.map(|raw| String::from(Box::<str>::from(raw))))
}

/// A vector. What is too large for an `f32` becomes infinite, which the engine refuses by its place in the vector.
struct Floats(Vec<f32>);

impl<'de> Deserialize<'de> for Floats {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = Vec<f32>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of numbers")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<f32>, A::Error> {
                let mut floats = Vec::with_capacity(ELEMENTS_AHEAD.min(seq.size_hint().unwrap_or(ELEMENTS_AHEAD)));
                while let Some(number) = seq.next_element::<f64>()? {
                    #[expect(clippy::cast_possible_truncation, reason = "rounding is what is asked for")]
                    floats.push(number as f32);
                }
                floats.shrink_to_fit();
                Ok(floats)
            }
        }
        input.deserialize_seq(List).map(Floats)
    }
}

pub(super) fn vector<'de, D: Deserializer<'de>>(input: D) -> Result<Vec<f32>, D::Error> {
    Ok(Option::<Floats>::deserialize(input)?.map(|floats| floats.0).unwrap_or_default())
}

pub(super) fn vectors<'de, D: Deserializer<'de>>(input: D) -> Result<Vec<Vec<f32>>, D::Error> {
    let list = Option::<Vec<Floats>>::deserialize(input)?.unwrap_or_default();
    Ok(list.into_iter().map(|floats| floats.0).collect())
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct Key {
    user: String,
    relation: String,
    object: String,
    condition: Option<Object<Condition>>,
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct Condition {
    name: String,
    context: Option<Context>,
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct Keys {
    tuple_keys: Vec<Object<Key>>,
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct Writes {
    tuple_keys: Vec<Object<Key>>,
    on_duplicate: String,
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct Deletes {
    tuple_keys: Vec<Object<Bare>>,
    on_missing: String,
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct Bare {
    user: String,
    relation: String,
    object: String,
}

fn keys(keys: Vec<Object<Key>>) -> Vec<fga::TupleKey> {
    let key = |Object(Key { user, relation, object, condition })| {
        let condition = condition.map(|Object(c): Object<Condition>| fga::RelationshipCondition {
            name: c.name,
            context: c.context.as_ref().map(convert::structure),
        });
        fga::TupleKey { user, relation, object, condition }
    };
    keys.into_iter().map(key).collect()
}

pub(super) fn given<'de, D: Deserializer<'de>>(input: D) -> Result<Option<fga::ContextualTupleKeys>, D::Error> {
    let given = Option::<Object<Keys>>::deserialize(input)?;
    Ok(given.map(|Object(given)| fga::ContextualTupleKeys { tuple_keys: keys(given.tuple_keys) }))
}

pub(super) fn writes<'de, D: Deserializer<'de>>(input: D) -> Result<Option<fga::WriteRequestWrites>, D::Error> {
    let writes = Option::<Object<Writes>>::deserialize(input)?;
    Ok(writes.map(|Object(Writes { tuple_keys, on_duplicate })| fga::WriteRequestWrites {
        tuple_keys: keys(tuple_keys),
        on_duplicate,
    }))
}

pub(super) fn deletes<'de, D: Deserializer<'de>>(input: D) -> Result<Option<fga::WriteRequestDeletes>, D::Error> {
    let deletes = Option::<Object<Deletes>>::deserialize(input)?;
    let key = |Object(Bare { user, relation, object })| fga::TupleKeyWithoutCondition { user, relation, object };
    Ok(deletes.map(|Object(Deletes { tuple_keys, on_missing })| fga::WriteRequestDeletes {
        tuple_keys: tuple_keys.into_iter().map(key).collect(),
        on_missing,
    }))
}

pub(super) fn context<'de, D: Deserializer<'de>>(input: D) -> Result<Option<prost_types::Struct>, D::Error> {
    let context = Option::<Context>::deserialize(input)?;
    Ok(context.as_ref().map(convert::structure))
}

/// A preference by name or by number, as Check takes it.
pub(super) fn consistency<'de, D: Deserializer<'de>>(input: D) -> Result<(), D::Error> {
    struct Preference;
    impl Visitor<'_> for Preference {
        type Value = ();
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("`UNSPECIFIED`, `MINIMIZE_LATENCY` or `HIGHER_CONSISTENCY`")
        }
        fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<(), E> {
            let known = fga::ConsistencyPreference::from_str_name(name).is_some();
            if known { Ok(()) } else { Err(E::invalid_value(serde::de::Unexpected::Str(name), &self)) }
        }
        fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<(), E> {
            let known = i32::try_from(number).is_ok_and(|n| fga::ConsistencyPreference::try_from(n).is_ok());
            if known { Ok(()) } else { Err(E::invalid_value(serde::de::Unexpected::Unsigned(number), &self)) }
        }
        fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
            Ok(())
        }
    }
    input.deserialize_any(Preference)
}

/// An answer as a body.
pub(super) fn body<A: Serialize>(answer: &A) -> Result<Vec<u8>, Problem> {
    serde_json::to_vec(answer).map_err(|_| Problem::new(Code::Internal, "Internal Server Error"))
}

#[derive(Serialize)]
struct GuardOut<'a> {
    r#type: &'a str,
    relation: &'a str,
}

#[derive(Serialize)]
struct MemoryOut {
    vectors: usize,
    codes: usize,
    maps: usize,
    payloads: usize,
    graph: usize,
    disk: usize,
}

#[derive(Serialize)]
struct CollectionOut<'a> {
    name: &'a str,
    dimension: usize,
    metric: &'static str,
    element: &'static str,
    guard: GuardOut<'a>,
    created_at: String,
    chunks: u64,
    objects: u64,
    rows: usize,
    graph_rows: usize,
    memory: MemoryOut,
    kernel: &'static str,
}

impl Serialize for Described {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        let Described(info) = self;
        let (space, guard, memory) = (info.spec.space, &info.spec.guard, info.memory);
        let collection = CollectionOut {
            name: &info.spec.name,
            dimension: space.dimension(),
            metric: name_of(&METRICS, &space.metric()),
            element: name_of(&ELEMENTS, &space.element()),
            guard: GuardOut { r#type: &guard.object_type, relation: &guard.relation },
            created_at: convert::timestamp(info.created_at).to_string(),
            chunks: info.chunks,
            objects: info.objects,
            rows: memory.rows,
            graph_rows: info.graph_rows,
            memory: MemoryOut {
                vectors: memory.exact,
                codes: memory.codes,
                maps: memory.maps,
                payloads: info.payload_bytes,
                graph: info.graph_bytes,
                disk: memory.disk,
            },
            kernel: info.kernel,
        };
        collection.serialize(out)
    }
}

#[derive(Serialize)]
struct ChunkOut<'a> {
    id: &'a str,
    object: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    score: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    vector: Option<&'a [f32]>,
}

fn chunk<E: serde::ser::Error>(chunk: &StoredChunk, score: Option<f32>) -> Result<ChunkOut<'_>, E> {
    let payload = chunk.payload.as_ref().map(|payload| serde_json::from_str(payload.json()));
    Ok(ChunkOut {
        id: &chunk.id,
        object: chunk.object.to_string(),
        score,
        text: chunk.text.as_deref(),
        payload: payload.transpose().map_err(E::custom)?,
        vector: chunk.vector.as_deref(),
    })
}

fn chunks<E: serde::ser::Error>(list: &[StoredChunk]) -> Result<Vec<ChunkOut<'_>>, E> {
    list.iter().map(|one| chunk(one, None)).collect()
}

impl Serialize for Got {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Out<'a> {
            chunks: Vec<ChunkOut<'a>>,
            missing: &'a [String],
        }
        Out { chunks: chunks(&self.chunks)?, missing: &self.missing }.serialize(out)
    }
}

impl Serialize for Page {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Out<'a> {
            chunks: Vec<ChunkOut<'a>>,
            continuation_token: &'a str,
        }
        Out { chunks: chunks(&self.chunks)?, continuation_token: &self.continuation_token }.serialize(out)
    }
}

#[derive(Serialize)]
struct PlanOut {
    kind: &'static str,
    candidates: usize,
    visited: usize,
}

#[derive(Serialize)]
struct FoundOut<'a> {
    hits: Vec<ChunkOut<'a>>,
    visible: usize,
    plan: PlanOut,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<&'a str>,
}

/// How a search was answered, in a word.
pub(super) fn plan(kind: PlanKind) -> &'static str {
    match kind {
        PlanKind::Scan => "scan",
        PlanKind::Graph => "graph",
        PlanKind::GraphThenScan => "graph_then_scan",
    }
}

fn found<'a, E: serde::ser::Error>(answer: &'a SearchAnswer, token: Option<&'a str>) -> Result<FoundOut<'a>, E> {
    Ok(FoundOut {
        hits: answer.hits.iter().map(|hit| chunk(&hit.chunk, Some(hit.score))).collect::<Result<_, _>>()?,
        visible: answer.visible,
        plan: PlanOut { kind: plan(answer.plan), candidates: answer.candidates, visited: answer.visited },
        token,
    })
}

impl Serialize for Searched {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Out<'a> {
            results: Vec<FoundOut<'a>>,
            token: &'a str,
        }
        if self.several {
            let results = self.answers.iter().map(|answer| found(answer, None)).collect::<Result<_, _>>()?;
            return Out { results, token: &self.token }.serialize(out);
        }
        let answer = self.answers.first().ok_or_else(|| S::Error::custom("a vector has an answer"))?;
        found(answer, Some(&self.token))?.serialize(out)
    }
}
