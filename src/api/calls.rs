//! The questions and Write: check the request's form, ask the engine, say it in wire messages.

use super::convert;
use super::proto as pb;
use super::rules;
use crate::engine::{
    CheckQuery, Consistency, Decision, Engine, ExpandQuery, Given, Limits, ListObjectsQuery, ListUsersQuery,
    OnDuplicate, OnMissing, QuestionError, ReadQuery, View, WriteQuery,
};
use crate::tuple::{ModelId, ObjectRef, Revision, StoreId, SubjectRef, Tuple, TupleKeyRef};
use crate::wire::{Code, Problem};
use std::sync::atomic::AtomicBool;

const CHECKS_MAX: usize = 50;
const WRITES_MAX: usize = 100;
const CONTEXT_BYTES_MAX: usize = 32 * 1024;

/// The API on an engine. A clone shares it.
#[derive(Clone)]
pub struct Api {
    pub(super) engine: Engine,
}

/// An answer, the revision it belongs to, and the model that gave it.
pub struct Answer<T> {
    /// The message.
    pub message: T,
    /// The revision.
    pub revision: Revision,
    /// The model, where one was asked.
    pub model: Option<ModelId>,
}

/// What a request says beside its message: how fresh the answer must be, and whether it is still wanted.
#[derive(Clone, Copy, Default)]
pub(super) struct Asked<'a> {
    pub(super) consistency: Consistency,
    pub(super) stop: Option<&'a AtomicBool>,
}

type Called<T> = Result<Answer<T>, Problem>;

fn from<T>(view: &View, message: T) -> Answer<T> {
    Answer { message, revision: view.revision(), model: Some(view.model_id()) }
}

fn limits<'a>(asked: &Asked<'a>) -> Limits<'a> {
    Limits { stop: asked.stop, ..Limits::default() }
}

/// In Check, what the model does not know is a fault of the tuple.
fn of_check(error: QuestionError) -> Problem {
    let unknown = matches!(error, QuestionError::TypeNotFound { .. } | QuestionError::RelationNotFound { .. });
    let problem = Problem::from(error);
    if unknown { Problem::new(Code::Validation, problem.message) } else { problem }
}

impl Api {
    /// Serves an engine.
    #[must_use]
    pub fn new(engine: Engine) -> Api {
        Api { engine }
    }

    fn view(&self, store: StoreId, model: Option<ModelId>, asked: &Asked<'_>) -> Result<View, Problem> {
        Ok(self.engine.view(store, model, asked.consistency)?)
    }

    pub(super) fn check(&self, r: &pb::CheckRequest, asked: &Asked<'_>) -> Called<pb::CheckResponse> {
        let store = rules::store_id("CheckRequest", &r.store_id)?;
        let model = rules::model_id("CheckRequest", &r.authorization_model_id)?;
        let view = self.view(store, model, asked)?;
        let allowed = check_in(
            &view,
            r.tuple_key.as_ref(),
            r.contextual_tuples.as_ref(),
            r.context.as_ref(),
            asked,
            "CheckRequest",
        )?;
        Ok(from(&view, pb::CheckResponse { allowed, resolution: String::new() }))
    }

    pub(super) fn batch_check(&self, r: &pb::BatchCheckRequest, asked: &Asked<'_>) -> Called<pb::BatchCheckResponse> {
        let store = rules::store_id("BatchCheckRequest", &r.store_id)?;
        let model = rules::model_id("BatchCheckRequest", &r.authorization_model_id)?;
        rules::at_least_one("BatchCheckRequest.Checks", r.checks.len())?;
        if r.checks.len() > CHECKS_MAX {
            let text = format!("batchCheck received {} checks, the maximum allowed is {CHECKS_MAX}", r.checks.len());
            return Err(Problem::new(Code::Validation, text));
        }
        let view = self.view(store, model, asked)?;
        let mut result = std::collections::BTreeMap::new();
        for item in &r.checks {
            let id = &item.correlation_id;
            let fine = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
            if id.is_empty() || id.len() > 36 || !id.chars().all(fine) {
                let text = "value does not match regex pattern \"^[\\\\w\\\\d-]{1,36}$\"";
                return Err(Problem::field("BatchCheckItem.CorrelationId", text));
            }
            let answer = check_in(
                &view,
                item.tuple_key.as_ref(),
                item.contextual_tuples.as_ref(),
                item.context.as_ref(),
                asked,
                "BatchCheckItem",
            );
            let answer = match answer {
                Ok(allowed) => pb::batch_check_single_result::CheckResult::Allowed(allowed),
                Err(problem) => pb::batch_check_single_result::CheckResult::Error(slot(problem)),
            };
            let single = pb::BatchCheckSingleResult { check_result: Some(answer) };
            if result.insert(id.clone(), single).is_some() {
                let text = format!("received duplicate correlation id: {id}");
                return Err(Problem::new(Code::Validation, text));
            }
        }
        Ok(from(&view, pb::BatchCheckResponse { result }))
    }

    pub(super) fn list_objects(
        &self,
        r: &pb::ListObjectsRequest,
        asked: &Asked<'_>,
    ) -> Called<pb::ListObjectsResponse> {
        let store = rules::store_id("ListObjectsRequest", &r.store_id)?;
        let model = rules::model_id("ListObjectsRequest", &r.authorization_model_id)?;
        rules::type_name("ListObjectsRequest.Type", &r.r#type)?;
        rules::relation("ListObjectsRequest.Relation", &r.relation, false)?;
        if r.user.is_empty() || r.user.len() > 512 {
            let text = "value length must be between 1 and 512 bytes, inclusive";
            return Err(Problem::field("ListObjectsRequest.User", text));
        }
        let tuples = convert::tuples(r.contextual_tuples.as_ref())?;
        let context = convert::context(r.context.as_ref())?;
        let view = self.view(store, model, asked)?;
        let subject = SubjectRef::parse(&r.user)
            .map_err(|_| Problem::new(Code::Validation, format!("invalid 'user' value: {}", r.user)))?;
        let given = Given { contextual_tuples: &tuples, context: Some(&context) };
        let query = ListObjectsQuery { object_type: &r.r#type, relation: &r.relation, subject, given };
        let listed = view.list_objects(&query, &limits(asked))?;
        let objects = listed.iter().map(|id| [r.r#type.as_str(), ":", id].concat()).collect();
        Ok(from(&view, pb::ListObjectsResponse { objects }))
    }

    pub(super) fn list_users(&self, r: &pb::ListUsersRequest, asked: &Asked<'_>) -> Called<pb::ListUsersResponse> {
        let store = rules::store_id("ListUsersRequest", &r.store_id)?;
        let model = rules::model_id("ListUsersRequest", &r.authorization_model_id)?;
        let object = r.object.as_ref().ok_or_else(|| Problem::field("ListUsersRequest.Object", "value is required"))?;
        rules::type_name("Object.Type", &object.r#type)?;
        if object.id.is_empty() || object.id.contains(|c: char| c.is_whitespace() || matches!(c, '#' | ':')) {
            return Err(Problem::field("Object.Id", "value does not match regex pattern \"^[^#:\\\\s]+$\""));
        }
        rules::relation("ListUsersRequest.Relation", &r.relation, false)?;
        let [filter] = r.user_filters.as_slice() else {
            return Err(Problem::field("ListUsersRequest.UserFilters", "value must contain exactly 1 item(s)"));
        };
        rules::type_name("UserTypeFilter.Type", &filter.r#type)?;
        rules::relation("UserTypeFilter.Relation", &filter.relation, true)?;
        let tuples = convert::contextual(&r.contextual_tuples)?;
        let context = convert::context(r.context.as_ref())?;
        let view = self.view(store, model, asked)?;
        let query = ListUsersQuery {
            object: ObjectRef { object_type: &object.r#type, id: &object.id },
            relation: &r.relation,
            subject_type: &filter.r#type,
            subject_relation: Some(filter.relation.as_str()).filter(|x| !x.is_empty()),
            given: Given { contextual_tuples: &tuples, context: Some(&context) },
        };
        let users = view.list_users(&query, &limits(asked))?;
        Ok(from(&view, pb::ListUsersResponse { users: users.iter().map(convert::user).collect() }))
    }

    pub(super) fn expand(&self, r: &pb::ExpandRequest, asked: &Asked<'_>) -> Called<pb::ExpandResponse> {
        let store = rules::store_id("ExpandRequest", &r.store_id)?;
        let model = rules::model_id("ExpandRequest", &r.authorization_model_id)?;
        let key = r.tuple_key.as_ref().ok_or_else(|| Problem::field("ExpandRequest.TupleKey", "value is required"))?;
        if key.relation.is_empty() || key.object.is_empty() {
            let text = "Invalid input. Make sure you provide an object and a relation";
            return Err(Problem::new(Code::InvalidExpand, text));
        }
        rules::tuple_key("ExpandRequestTupleKey", "", &key.relation, &key.object)?;
        let object = ObjectRef::parse(&key.object)
            .map_err(|_| Problem::new(Code::Validation, format!("invalid 'object' field format: {}", key.object)))?;
        let tuples = convert::tuples(r.contextual_tuples.as_ref())?;
        let view = self.view(store, model, asked)?;
        let given = Given { contextual_tuples: &tuples, context: None };
        let node = view.expand(&ExpandQuery { object, relation: &key.relation, given })?;
        let root = convert::tree(&node, &format!("{object}#{}", key.relation));
        Ok(from(&view, pb::ExpandResponse { tree: Some(pb::UsersetTree { root: Some(root) }) }))
    }

    pub(super) fn write(&self, r: &pb::WriteRequest) -> Called<pb::WriteResponse> {
        let store = rules::store_id("WriteRequest", &r.store_id)?;
        let model = rules::model_id("WriteRequest", &r.authorization_model_id)?;
        let (writes, deletes) = (r.writes.as_ref(), r.deletes.as_ref());
        let view = self.view(store, model, &Asked::default())?;
        if writes.is_none() && deletes.is_none() {
            let text = "Invalid input. Make sure you provide at least one write, or at least one delete";
            return Err(Problem::new(Code::InvalidWriteInput, text));
        }
        let mut query = WriteQuery::default();
        if let Some(writes) = writes {
            rules::at_least_one("WriteRequestWrites.TupleKeys", writes.tuple_keys.len())?;
            query.on_duplicate = match writes.on_duplicate.as_str() {
                "" | "error" => OnDuplicate::Error,
                "ignore" => OnDuplicate::Ignore,
                other => return Err(Problem::new(Code::Validation, format!("invalid on_duplicate option: {other}"))),
            };
            for key in &writes.tuple_keys {
                query.writes.push(bounded(convert::tuple(key, false)?)?);
            }
        }
        if let Some(deletes) = deletes {
            rules::at_least_one("WriteRequestDeletes.TupleKeys", deletes.tuple_keys.len())?;
            query.on_missing = match deletes.on_missing.as_str() {
                "" | "error" => OnMissing::Error,
                "ignore" => OnMissing::Ignore,
                other => return Err(Problem::new(Code::Validation, format!("invalid on_missing option: {other}"))),
            };
            for k in &deletes.tuple_keys {
                let (user, relation, object) = (k.user.clone(), k.relation.clone(), k.object.clone());
                query.deletes.push(convert::tuple(&pb::TupleKey { user, relation, object, condition: None }, false)?);
            }
        }
        if query.writes.len() + query.deletes.len() > WRITES_MAX {
            let text = format!("The number of write operations exceeds the allowed limit of {WRITES_MAX}");
            return Err(Problem::new(Code::EntityLimit, text));
        }
        let at = self.engine.write(store, model, query, crate::wire::now())?;
        Ok(Answer { message: pb::WriteResponse {}, revision: at.revision, model: Some(view.model_id()) })
    }

    pub(super) fn read(&self, r: &pb::ReadRequest) -> Called<pb::ReadResponse> {
        let store = rules::store_id("ReadRequest", &r.store_id)?;
        let page_size = rules::page_size("ReadRequest", r.page_size)?;
        rules::token("ReadRequest", &r.continuation_token)?;
        let mut query =
            ReadQuery { page_size, after: super::stores::position(&r.continuation_token)?, ..ReadQuery::default() };
        if let Some(key) = &r.tuple_key {
            rules::tuple_key("ReadRequestTupleKey", &key.user, &key.relation, &key.object)?;
            let missing = "the 'tuple_key' field was provided but the object type field is required and both the object id \
                           and user cannot be empty";
            let (object_type, id) = key.object.split_once(':').unwrap_or((&key.object, ""));
            if object_type.is_empty() || id.is_empty() && key.user.is_empty() {
                return Err(Problem::new(Code::Validation, missing));
            }
            query.object_type = Some(object_type);
            query.object_id = Some(id).filter(|i| !i.is_empty());
            query.relation = Some(key.relation.as_str()).filter(|x| !x.is_empty());
            if let Some(object_type) = key.user.strip_suffix(':') {
                query.subject = Some(SubjectRef::Object(ObjectRef { object_type, id: "" }));
            } else if !key.user.is_empty() {
                let text = || Problem::new(Code::Validation, format!("the 'user' field is malformed: {}", key.user));
                query.subject = Some(SubjectRef::parse(&key.user).map_err(|_| text())?);
            }
        }
        let page = self.engine.read(store, &query)?;
        let tuples = page.value.tuples.iter().map(convert::stored).collect();
        let next = page.value.next.map(|p| crate::wire::encode_page(&p.to_string())).unwrap_or_default();
        let message = pb::ReadResponse { tuples, continuation_token: next };
        Ok(Answer { message, revision: page.revision, model: None })
    }
}

fn bounded(tuple: Tuple) -> Result<Tuple, Problem> {
    let bytes = tuple.condition.as_ref().map_or(0, |c| serde_json::to_string(&c.context).map_or(0, |t| t.len()));
    if bytes <= CONTEXT_BYTES_MAX {
        return Ok(tuple);
    }
    let text = format!("condition context size limit exceeded: {bytes} bytes exceeds {CONTEXT_BYTES_MAX} bytes");
    Err(Problem::new(Code::Validation, format!("Invalid tuple '{tuple}'. Reason: {text}")))
}

/// A failed check in its slot of a batch.
fn slot(problem: Problem) -> pb::CheckError {
    use pb::check_error::Code as Slot;
    let code = match problem.code as i32 {
        code @ (2027 | 2002) => Slot::InputError(code),
        3 | 2000..4000 => Slot::InputError(2000),
        4004 => Slot::InternalError(4004),
        _ => Slot::InternalError(4000),
    };
    pb::CheckError { code: Some(code), message: problem.message }
}

fn check_in(
    view: &View,
    key: Option<&pb::CheckRequestTupleKey>,
    given: Option<&pb::ContextualTupleKeys>,
    context: Option<&prost_types::Struct>,
    asked: &Asked<'_>,
    message: &str,
) -> Result<bool, Problem> {
    let key = key.ok_or_else(|| Problem::field(&format!("{message}.TupleKey"), "value is required"))?;
    rules::user("CheckRequestTupleKey.User", &key.user)?;
    rules::relation("CheckRequestTupleKey.Relation", &key.relation, false)?;
    rules::object("CheckRequestTupleKey.Object", &key.object, false)?;
    let tuples = convert::tuples(given)?;
    let context = context.map(|c| convert::context(Some(c))).transpose()?;
    let parsed = TupleKeyRef::parse(&key.object, &key.relation, &key.user).map_err(|fault| {
        let text = format!("{}#{}@{}", key.object, key.relation, key.user);
        Problem::new(Code::Validation, format!("Invalid tuple '{text}'. Reason: {fault}"))
    })?;
    let given = Given { contextual_tuples: &tuples, context: context.as_ref() };
    let decision = view.check(&CheckQuery { key: parsed, given }, &limits(asked)).map_err(of_check)?;
    Ok(decision == Decision::Allow)
}
