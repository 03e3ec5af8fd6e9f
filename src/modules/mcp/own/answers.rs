//! What our own server answers, from the engine's questions: of what the user and the agent both may see.

use super::{Inner, decoded_id, undecided};
use crate::engine::{
    CheckQuery, Consistency, Decision, Effort, Filter, Given, ListObjectsQuery, QuestionError, ScrollQuery,
    SearchQuery, With,
};
use crate::modules::mcp::decide::{Asker, Decider, context, limits};
use crate::tuple::{ObjectRef, SubjectRef, TupleKeyRef};
use rmcp::ErrorData;
use rmcp::model::{CallToolResult, ContentBlock, ListResourcesResult, ReadResourceResult, Resource, ResourceContents};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::HashSet;

/// Hits of a search that does not say how many it wants.
pub(super) const HITS_DEFAULT: usize = 10;
/// Most hits of a search.
pub(super) const HITS_MAX: usize = 50;
/// Resources on one page of a list.
const PAGE: usize = 100;
/// Most objects that a tool lists in one answer.
const OBJECTS_MAX: usize = 5_000;
/// Most objects that one list may have to look through; more are an error, never a shorter list.
const LISTED_MAX: usize = 100_000;
/// Longest text of a resource, in bytes.
const READ_BYTES_MAX: usize = 4 << 20;
/// Chunks that are read at a time.
const CHUNKS: usize = 100;

/// A question of the caller that has no answer is told; what is ours is logged.
fn told(error: &QuestionError) -> Result<String, ErrorData> {
    use QuestionError as E;
    match error {
        E::TypeNotFound { .. }
        | E::RelationNotFound { .. }
        | E::Vector(_)
        | E::Count { .. }
        | E::AnswerBytes { .. }
        | E::CollectionNotFound { .. } => Ok(error.to_string()),
        E::StoreNotFound(_)
        | E::NoModel(_)
        | E::ModelNotFound(_)
        | E::SubjectInvalid { .. }
        | E::ContextualTuple { .. }
        | E::DepthExceeded { .. }
        | E::VisitsExceeded { .. }
        | E::Stopped
        | E::Condition { .. }
        | E::RevisionAhead { .. }
        | E::RevisionGone { .. }
        | E::PositionGone
        | E::NotGuarded { .. }
        | E::TextGone { .. }
        | E::Storage => {
            tracing::error!("our own MCP server cannot answer: {error}");
            Err(undecided())
        }
    }
}

/// A result of a tool that says what is wrong with the call, so that a model can do better (SEP-1303).
pub(super) fn wrong(what: impl Into<String>) -> CallToolResult {
    CallToolResult::error(vec![ContentBlock::text(what.into())])
}

fn failed(error: &QuestionError) -> Result<CallToolResult, ErrorData> {
    told(error).map(wrong)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Search {
    pub(super) query: Option<String>,
    pub(super) vector: Option<Vec<f32>>,
    collection: Option<String>,
    k: Option<usize>,
    filter: Option<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Check {
    object: String,
    relation: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListObjects {
    r#type: String,
    relation: String,
}

pub(super) fn arguments<T: serde::de::DeserializeOwned>(given: Option<Map<String, Value>>) -> Result<T, String> {
    serde_json::from_value(Value::Object(given.unwrap_or_default())).map_err(|error| format!("arguments: {error}"))
}

pub(super) fn log(error: &QuestionError) -> ErrorData {
    told(error).map_or_else(|error| error, |what| ErrorData::invalid_params(what, None))
}

impl Inner {
    pub(super) fn searched(
        &self,
        asker: &Asker,
        search: &Search,
        vector: Vec<f32>,
    ) -> Result<CallToolResult, ErrorData> {
        let collection = search.collection.as_ref().or(self.spec.collections.first());
        let Some(collection) = collection.filter(|name| self.spec.collections.contains(name)) else {
            return Ok(wrong(format!("there is no such collection; there are: {}", self.spec.collections.join(", "))));
        };
        let k = search.k.unwrap_or(HITS_DEFAULT);
        if !(1..=HITS_MAX).contains(&k) {
            return Ok(wrong(format!("k may be 1 to {HITS_MAX}")));
        }
        let filter = match search.filter.as_ref().map(Filter::from_json).transpose() {
            Ok(filter) => filter,
            Err(fault) => return Ok(wrong(format!("filter: {fault}"))),
        };
        let context = context(asker.now);
        let query = SearchQuery {
            collection,
            subject: asker.subject(),
            agent: asker.agent(),
            vectors: &[vector],
            k,
            relation: None,
            filter: filter.as_ref(),
            effort: Effort::Balanced,
            given: Given { context: Some(&context), ..Given::default() },
            with: With { text: true, payload: true, vector: false },
        };
        let Decider { engine, store, .. } = &self.decider;
        let answers = match engine.search(*store, None, Consistency::Latest, &query, &limits()) {
            Ok(answers) => answers,
            Err(error) => return failed(&error),
        };
        let hits = answers.value.into_iter().flat_map(|answer| answer.hits);
        let hits: Vec<Value> = hits.map(|hit| self.hit(hit.score, hit.chunk)).collect();
        let recorded =
            self.decider.record_shown(asker, &format!("collection:{collection}"), "search", hits.len(), None);
        recorded.map_err(|()| undecided())?;
        Ok(CallToolResult::structured(json!({"hits": hits})))
    }

    fn hit(&self, score: f32, chunk: crate::engine::StoredChunk) -> Value {
        let mut hit = json!({"id": chunk.id, "object": chunk.object.to_string(), "score": score});
        let kind = self.kinds.iter().find(|kind| kind.object_type == chunk.object.object_type);
        let payload = chunk.payload.and_then(|payload| serde_json::from_str::<Value>(payload.json()).ok());
        let uri = kind.and_then(|kind| kind.uri_of(&chunk.object.id)).map(Value::String);
        let members = [("uri", uri), ("text", chunk.text.map(Value::String)), ("payload", payload)];
        if let Some(hit) = hit.as_object_mut() {
            hit.extend(members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
        }
        hit
    }

    /// May the caller? Answers for the user and for the agent together, and for nobody else.
    pub(super) fn checked(&self, asker: &Asker, check: &Check) -> Result<CallToolResult, ErrorData> {
        let view = self.decider.list_view().map_err(|error| log(&error))?;
        let context = context(asker.now);
        let given = Given { context: Some(&context), ..Given::default() };
        let mut allowed = true;
        for subject in [Some(asker.subject()), asker.agent()].into_iter().flatten() {
            let Ok(object) = ObjectRef::parse(&check.object) else {
                return Ok(wrong("object is not `type:id`"));
            };
            let key = TupleKeyRef { object, relation: &check.relation, subject };
            match view.check(&CheckQuery { key, given }, &limits()) {
                Ok(Decision::Allow) => {}
                Ok(Decision::Deny) => allowed = false,
                Err(error) => return failed(&error),
            }
        }
        Ok(CallToolResult::structured(json!({"allowed": allowed})))
    }

    /// Ids of objects that both may, in the order of their names.
    fn both(&self, asker: &Asker, object_type: &str, relation: &str) -> Result<Vec<String>, QuestionError> {
        let view = self.decider.list_view()?;
        let context = context(asker.now);
        let given = Given { context: Some(&context), ..Given::default() };
        let list = |subject: SubjectRef<'_>| {
            let listed = view.list_objects(&ListObjectsQuery { object_type, relation, subject, given }, &limits())?;
            if listed.len() > LISTED_MAX {
                return Err(QuestionError::Count {
                    what: "objects to look through",
                    given: listed.len(),
                    max: LISTED_MAX,
                });
            }
            Ok(listed)
        };
        let of_subject = list(asker.subject())?;
        let mut ids: Vec<String> = match asker.agent() {
            None => of_subject.iter().map(str::to_owned).collect(),
            Some(agent) => {
                let of_agent = list(agent)?;
                let other: HashSet<&str> = of_agent.iter().collect();
                of_subject.iter().filter(|id| other.contains(id)).map(str::to_owned).collect()
            }
        };
        ids.sort_unstable();
        Ok(ids)
    }

    pub(super) fn listed(&self, asker: &Asker, list: &ListObjects) -> Result<CallToolResult, ErrorData> {
        match self.both(asker, &list.r#type, &list.relation) {
            Ok(ids) if ids.len() > OBJECTS_MAX => {
                Ok(wrong(format!("there are {} objects, which is more than one answer holds", ids.len())))
            }
            Ok(ids) => {
                let objects: Vec<String> = ids.iter().map(|id| format!("{}:{id}", list.r#type)).collect();
                Ok(CallToolResult::structured(json!({"objects": objects})))
            }
            Err(error) => failed(&error),
        }
    }

    /// A page of resources: kinds in their order, objects of each in the order of their names.
    pub(super) fn resources(&self, asker: &Asker, cursor: Option<&str>) -> Result<ListResourcesResult, ErrorData> {
        let bad = || ErrorData::invalid_params("the cursor is none of this list", None);
        let (first, mut after) = match cursor {
            None => (0, None),
            Some(cursor) => {
                let text = crate::wire::decode_page(cursor).ok_or_else(bad)?;
                let (kind, id) = text.split_once('|').ok_or_else(bad)?;
                (kind.parse::<usize>().map_err(|_| bad())?, Some(id.to_owned()))
            }
        };
        let mut page = Vec::new();
        let mut next = None;
        'kinds: for (at, kind) in self.kinds.iter().enumerate().skip(first).filter(|(_, kind)| kind.name.is_some()) {
            let ids = self.both(asker, &kind.object_type, &kind.spec.relation).map_err(|error| log(&error))?;
            let from = after.take().map_or(0, |after| ids.partition_point(|id| *id <= after));
            let mut last: Option<&String> = None;
            for id in ids.get(from..).unwrap_or_default() {
                if page.len() == PAGE {
                    next = Some(crate::wire::encode_page(&format!("{at}|{}", last.map_or("", String::as_str))));
                    break 'kinds;
                }
                last = Some(id);
                let Some(uri) = kind.uri_of(id) else { continue };
                let mut resource = Resource::new(uri, decoded_id(id)).with_mime_type(&kind.spec.mime_type);
                resource.description.clone_from(&kind.spec.description);
                page.push(resource);
            }
        }
        let shown = page.len();
        self.decider.record_shown(asker, "mcp", "resources/list", shown, None).map_err(|()| undecided())?;
        let mut result = ListResourcesResult::with_all_items(page);
        result.next_cursor = next;
        Ok(result)
    }

    /// The text of a resource. That the caller may read it was decided before.
    pub(super) fn read(&self, uri: &str) -> Result<ReadResourceResult, ErrorData> {
        let missing = || ErrorData::resource_not_found("Resource not found", Some(json!({"uri": uri})));
        let found = self.kinds.iter().find_map(|kind| Some((kind, kind.uri.matches(uri)?)));
        let (kind, values) = found.ok_or_else(missing)?;
        let value = |name: &str| values.iter().find(|(n, _)| n == name).map(|(_, value)| value.clone());
        let id = kind.id.id(value).map_err(|_| missing())?;
        let object = ObjectRef { object_type: &kind.object_type, id: &id };
        let (mut text, mut after) = (String::new(), None);
        let Decider { engine, store, .. } = &self.decider;
        loop {
            let with = With { text: true, ..With::default() };
            let query = ScrollQuery { object: Some(object), filter: None, page_size: CHUNKS, after, with };
            let page = engine.scroll(*store, &kind.spec.collection, &query).map_err(|error| log(&error))?.value;
            for part in page.chunks.into_iter().filter_map(|chunk| chunk.text) {
                if !text.is_empty() {
                    text.push_str("\n\n");
                }
                text.push_str(&part);
                if text.len() > READ_BYTES_MAX {
                    let what = format!("the resource is longer than {READ_BYTES_MAX} bytes; search in it instead");
                    return Err(ErrorData::invalid_params(what, Some(json!({"uri": uri}))));
                }
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        if text.is_empty() {
            return Err(missing());
        }
        let contents = ResourceContents::text(text, uri).with_mime_type(&kind.spec.mime_type);
        Ok(ReadResourceResult::new(vec![contents]))
    }
}
