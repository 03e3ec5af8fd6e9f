//! The questions: ask the engine, say the answer in wire messages. The rules of each request hold already.

use super::convert;
use super::proto as pb;
use super::run::Api;
use crate::engine::{
    CheckQuery, Consistency, Decision, ExpandQuery, Given, Limits, ListObjectsQuery, ListUsersQuery, ListedObjects,
    QuestionError, View,
};
use crate::model::Model;
use crate::tuple::{ModelId, ObjectRef, Revision, SubjectRef, TupleKeyRef};
use crate::wire::{Code, Problem};
use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;

/// An answer, and what belongs to it beside its message.
pub(super) struct Answer<T> {
    pub(super) message: T,
    /// The revision at which it was found.
    pub(super) revision: Revision,
    /// The model, where one was asked.
    pub(super) model: Option<ModelId>,
    /// Whether a list was cut at the configured maximum.
    pub(super) truncated: bool,
}

/// What a request says beside its message: how fresh the answer must be, and whether it is still wanted.
#[derive(Clone, Copy, Default)]
pub(super) struct Asked<'a> {
    pub(super) consistency: Consistency,
    pub(super) stop: Option<&'a AtomicBool>,
}

pub(super) type Called<T> = Result<Answer<T>, Problem>;

/// The objects of a list, not yet turned into text.
pub(super) struct Objects {
    object_type: String,
    listed: ListedObjects,
    /// How many of them are the answer.
    count: usize,
}

impl Objects {
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// The objects behind the first `skip` ones.
    pub(super) fn iter_from(&self, skip: usize) -> impl Iterator<Item = String> {
        let left = self.count.saturating_sub(skip);
        self.listed.iter_from(skip).take(left).map(|id| [self.object_type.as_str(), ":", id].concat())
    }

    /// The object type and the ids.
    pub(super) fn ids(&self) -> (&str, impl Iterator<Item = &str>) {
        (&self.object_type, self.listed.iter().take(self.count))
    }
}

/// What the model does not know is in Check and Expand a fault of the tuple.
fn of_tuple(error: QuestionError) -> Problem {
    let unknown = matches!(error, QuestionError::TypeNotFound { .. } | QuestionError::RelationNotFound { .. });
    let subject = if let QuestionError::SubjectInvalid { fault, .. } = &error { Some(fault.to_string()) } else { None };
    let problem = Problem::from(error);
    match subject {
        Some(fault) => Problem::new(Code::Validation, fault),
        None if unknown => Problem::new(Code::Validation, problem.message),
        None => problem,
    }
}

/// The first of user, object and relation that the model does not know, in that order.
pub(super) fn unknown(model: &Model, key: TupleKeyRef<'_>) -> Option<String> {
    let missing = |object_type: &str, relation: Option<&str>| match model.object_type(object_type) {
        None => Some(format!("type '{object_type}' not found")),
        Some(ty) => {
            let relation = relation.filter(|r| ty.relation(r).is_none())?;
            Some(format!("relation '{object_type}#{relation}' not found"))
        }
    };
    let of_subject = match key.subject {
        SubjectRef::Userset { object, relation } => missing(object.object_type, Some(relation)),
        SubjectRef::Object(object) => missing(object.object_type, None),
        SubjectRef::Wildcard { object_type } => missing(object_type, None),
    };
    of_subject.or_else(|| missing(key.object.object_type, Some(key.relation)))
}

impl Api {
    pub(super) fn limits<'a>(&self, asked: &Asked<'a>) -> Limits<'a> {
        let bounds = self.bounds();
        Limits {
            depth_max: bounds.depth_max,
            visits_max: bounds.visits_max,
            condition_cost_max: bounds.condition_cost_max,
            stop: asked.stop,
        }
    }

    pub(super) fn view(&self, store: &str, model: &str, asked: &Asked<'_>) -> Result<View, Problem> {
        let store = convert::store_id(store)?;
        let id = convert::model_id(model)?;
        let not_found = |problem: Problem| problem.at(self.engine().revision(), None);
        self.engine().view(store, id, asked.consistency).map_err(|error| not_found(error.into()))
    }

    /// Asks under a view; an error says at which revision it was found.
    pub(super) fn under<T>(&self, view: &View, ask: impl FnOnce(&View) -> Result<T, Problem>) -> Called<T> {
        let (revision, model) = (view.revision(), Some(view.model_id()));
        let message = ask(view).map_err(|problem| problem.at(revision, model))?;
        Ok(Answer { message, revision, model, truncated: false })
    }

    pub(super) fn check(&self, r: &pb::CheckRequest, asked: &Asked<'_>) -> Called<pb::CheckResponse> {
        let view = self.view(&r.store_id, &r.authorization_model_id, asked)?;
        self.under(&view, |view| {
            let item =
                Item { key: r.tuple_key.as_ref(), given: r.contextual_tuples.as_ref(), context: r.context.as_ref() };
            let allowed = self.check_in(view, &item, asked)?;
            Ok(pb::CheckResponse { allowed, resolution: String::new() })
        })
    }

    fn check_in(&self, view: &View, item: &Item<'_>, asked: &Asked<'_>) -> Result<bool, Problem> {
        let empty = pb::CheckRequestTupleKey::default();
        let key = item.key.unwrap_or(&empty);
        let parts = [key.object.as_str(), &key.relation, &key.user];
        if parts.iter().any(|part| part.chars().any(char::is_control)) {
            return Err(Problem::new(Code::Validation, "request tuple_key contains forbidden characters"));
        }
        let parsed = TupleKeyRef::parse(&key.object, &key.relation, &key.user)
            .map_err(|_| Problem::new(Code::Validation, convert::malformed(&key.object, &key.relation, &key.user)))?;
        let tuples = convert::tuples(item.given)?;
        let context = item.context.map(|c| convert::context(Some(c))).transpose()?;
        self.decide(view, parsed, Given { contextual_tuples: &tuples, context: context.as_ref() }, asked)
    }

    /// Decides a check whose parts are read. What the model does not know is told in the order user, object, relation.
    pub(super) fn decide(
        &self,
        view: &View,
        key: TupleKeyRef<'_>,
        given: Given<'_>,
        asked: &Asked<'_>,
    ) -> Result<bool, Problem> {
        let decision = view.check(&CheckQuery { key, given }, &self.limits(asked)).map_err(|error| {
            let problem = of_tuple(error);
            let text = unknown(view.model(), key).filter(|_| problem.code == Code::Validation);
            text.map_or(problem, |text| Problem::new(Code::Validation, text))
        })?;
        Ok(decision == Decision::Allow)
    }

    pub(super) fn batch_check(&self, r: &pb::BatchCheckRequest, asked: &Asked<'_>) -> Called<pb::BatchCheckResponse> {
        let view = self.view(&r.store_id, &r.authorization_model_id, asked)?;
        self.under(&view, |view| {
            let (count, max) = (r.checks.len(), self.bounds().checks_per_batch_max);
            if count > max {
                // The blank at the end is OpenFGA's.
                let text = format!("batchCheck received {count} checks, the maximum allowed is {max} ");
                return Err(Problem::new(Code::Validation, text));
            }
            let mut result: BTreeMap<String, pb::BatchCheckSingleResult> = BTreeMap::new();
            for item in &r.checks {
                if result.insert(item.correlation_id.clone(), pb::BatchCheckSingleResult::default()).is_some() {
                    let text = format!("received duplicate correlation id: {}", item.correlation_id);
                    return Err(Problem::new(Code::Validation, text));
                }
            }
            for item in &r.checks {
                let asks = Item {
                    key: item.tuple_key.as_ref(),
                    given: item.contextual_tuples.as_ref(),
                    context: item.context.as_ref(),
                };
                let answer = match self.check_in(view, &asks, asked) {
                    Ok(allowed) => pb::batch_check_single_result::CheckResult::Allowed(allowed),
                    Err(problem) => pb::batch_check_single_result::CheckResult::Error(slot(problem)),
                };
                result.insert(item.correlation_id.clone(), pb::BatchCheckSingleResult { check_result: Some(answer) });
            }
            Ok(pb::BatchCheckResponse { result })
        })
    }

    pub(super) fn list_objects(&self, r: &pb::ListObjectsRequest, asked: &Asked<'_>) -> Called<Objects> {
        let view = self.view(&r.store_id, &r.authorization_model_id, asked)?;
        let mut answer = self.under(&view, |view| {
            let tuples = convert::tuples(r.contextual_tuples.as_ref())?;
            let context = convert::context(r.context.as_ref())?;
            let subject = SubjectRef::parse(&r.user).map_err(|_| {
                let why = convert::malformed("x:x", "x", &r.user);
                Problem::new(Code::Validation, format!("invalid 'user' value: {why}"))
            })?;
            let given = Given { contextual_tuples: &tuples, context: Some(&context) };
            let query = ListObjectsQuery { object_type: &r.r#type, relation: &r.relation, subject, given };
            let listed = view.list_objects(&query, &self.limits(asked))?;
            let count = listed.len();
            Ok(Objects { object_type: r.r#type.clone(), listed, count })
        })?;
        let max = self.bounds().list_objects_results_max;
        if max > 0 && answer.message.count > max {
            answer.message.count = max;
            answer.truncated = true;
        }
        Ok(answer)
    }

    pub(super) fn list_users(&self, r: &pb::ListUsersRequest, asked: &Asked<'_>) -> Called<pb::ListUsersResponse> {
        let view = self.view(&r.store_id, &r.authorization_model_id, asked)?;
        let (object, filter) =
            (r.object.clone().unwrap_or_default(), r.user_filters.first().cloned().unwrap_or_default());
        let mut answer = self.under(&view, |view| {
            let tuples = convert::contextual(&r.contextual_tuples)?;
            let context = convert::context(r.context.as_ref())?;
            let query = ListUsersQuery {
                object: ObjectRef { object_type: &object.r#type, id: &object.id },
                relation: &r.relation,
                subject_type: &filter.r#type,
                subject_relation: Some(filter.relation.as_str()).filter(|x| !x.is_empty()),
                given: Given { contextual_tuples: &tuples, context: Some(&context) },
            };
            let users = view.list_users(&query, &self.limits(asked))?;
            Ok(pb::ListUsersResponse { users: users.iter().map(convert::user).collect() })
        })?;
        let max = self.bounds().list_users_results_max;
        if max > 0 && answer.message.users.len() > max {
            answer.message.users.truncate(max);
            answer.truncated = true;
        }
        Ok(answer)
    }

    pub(super) fn expand(&self, r: &pb::ExpandRequest, asked: &Asked<'_>) -> Called<pb::ExpandResponse> {
        let view = self.view(&r.store_id, &r.authorization_model_id, asked)?;
        let key = r.tuple_key.clone().unwrap_or_default();
        self.under(&view, |view| {
            if key.relation.is_empty() || key.object.is_empty() {
                let text = "Invalid input. Make sure you provide an object and a relation";
                return Err(Problem::new(Code::InvalidExpand, text));
            }
            let malformed = |_| Problem::new(Code::Validation, convert::malformed(&key.object, &key.relation, "x:x"));
            let object = ObjectRef::parse(&key.object).map_err(malformed)?;
            let tuples = convert::tuples(r.contextual_tuples.as_ref())?;
            let given = Given { contextual_tuples: &tuples, context: None };
            let query = ExpandQuery { object, relation: &key.relation, given };
            let node = view.expand(&query).map_err(of_tuple)?;
            let root = convert::tree(&node, &format!("{object}#{}", key.relation));
            Ok(pb::ExpandResponse { tree: Some(pb::UsersetTree { root: Some(root) }) })
        })
    }
}

/// One check: of a Check, or of a batch.
struct Item<'a> {
    key: Option<&'a pb::CheckRequestTupleKey>,
    given: Option<&'a pb::ContextualTupleKeys>,
    context: Option<&'a prost_types::Struct>,
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
