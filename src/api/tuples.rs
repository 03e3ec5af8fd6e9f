//! Write, Read and ReadChanges: the tuples themselves.

use super::calls::{Answer, Asked, Called};
use super::convert;
use super::proto as pb;
use super::run::Api;
use super::stores::bad_token;
use crate::engine::{
    Consistency, OnDuplicate, OnMissing, Position, ReadChangesQuery, ReadQuery, TupleFault, WriteError, WriteQuery,
};
use crate::tuple::{ObjectRef, Revision, SubjectRef, Timestamp};
use crate::wire::{Code, Problem, decode_page, encode_page, now};
use prost::Message as _;

pub(super) const PAGE_SIZE_DEFAULT: usize = 50;

/// The page size of a request that its rule has let pass.
pub(super) fn page_size(size: Option<i32>, max: usize) -> usize {
    size.and_then(|n| usize::try_from(n).ok()).map_or(PAGE_SIZE_DEFAULT, |n| n.min(max))
}

fn position(token: &str) -> Result<Option<Position>, Problem> {
    if token.is_empty() {
        return Ok(None);
    }
    decode_page(token).and_then(|text| text.parse().ok()).map(Some).ok_or_else(bad_token)
}

fn option<T>(name: &str, text: &str, error: T, ignore: T) -> Result<T, Problem> {
    match text {
        "" | "error" => Ok(error),
        "ignore" => Ok(ignore),
        other => Err(Problem::new(Code::Validation, format!("invalid {name} option: {other}"))),
    }
}

impl Api {
    /// What is only answered at the newest revision must not be asked for at another one.
    pub(super) fn newest_only(&self, asked: &Asked<'_>, revision: Revision) -> Result<(), Problem> {
        match asked.consistency {
            Consistency::Exact(exactly) if exactly != revision => {
                let text = format!(
                    "this call answers at the newest revision, which is {}, not exactly at {}; send `bailiwick-at-least`",
                    revision.0, exactly.0
                );
                Err(Problem::new(Code::Validation, text).at(revision, None))
            }
            Consistency::Exact(_) | Consistency::AtLeast(_) | Consistency::Latest => Ok(()),
        }
    }

    pub(super) fn write(&self, r: &pb::WriteRequest, _: &Asked<'_>) -> Called<pb::WriteResponse> {
        let view = self.view(&r.store_id, &r.authorization_model_id, &Asked::default())?;
        let (store, model) = (view.store_id(), view.model_id());
        let at = self
            .write_query(r)
            .and_then(|query| {
                let written = self.engine().write(store, Some(model), query, now());
                written.map_err(|error| refusal(r, error))
            })
            .map_err(|problem| problem.at(view.revision(), Some(model)))?;
        Ok(Answer { message: pb::WriteResponse {}, revision: at.revision, model: Some(model), truncated: false })
    }

    pub(super) fn write_query(&self, r: &pb::WriteRequest) -> Result<WriteQuery, Problem> {
        let (writes, deletes) = (r.writes.as_ref(), r.deletes.as_ref());
        if writes.is_none() && deletes.is_none() {
            let text = "Invalid input. Make sure you provide at least one write, or at least one delete";
            return Err(Problem::new(Code::InvalidWriteInput, text));
        }
        let mut query = WriteQuery::default();
        for key in writes.map_or(&[][..], |w| &w.tuple_keys) {
            let tuple = convert::tuple(key, Code::Validation)?;
            let context = key.condition.as_ref().and_then(|c| c.context.as_ref());
            let (bytes, max) = (context.map_or(0, |c| c.encoded_len()), self.bounds().tuple_context_bytes_max);
            if bytes > max {
                let text = format!("condition context size limit exceeded: {bytes} bytes exceeds {max} bytes");
                return Err(Problem::new(Code::Validation, format!("Invalid tuple '{tuple}'. Reason: {text}")));
            }
            query.writes.push(tuple);
        }
        query.on_duplicate =
            option("on_duplicate", writes.map_or("", |w| &w.on_duplicate), OnDuplicate::Error, OnDuplicate::Ignore)?;
        query.on_missing =
            option("on_missing", deletes.map_or("", |d| &d.on_missing), OnMissing::Error, OnMissing::Ignore)?;
        for k in deletes.map_or(&[][..], |d| &d.tuple_keys) {
            if let Some(tuple) = deleted(k, query.on_missing)? {
                query.deletes.push(tuple);
            }
        }
        let max = self.bounds().tuples_per_write_max;
        if query.writes.len() + query.deletes.len() > max {
            let text = format!("The number of write operations exceeds the allowed limit of {max}");
            return Err(Problem::new(Code::EntityLimit, text));
        }
        Ok(query)
    }

    pub(super) fn read(&self, r: &pb::ReadRequest, asked: &Asked<'_>) -> Called<pb::ReadResponse> {
        let store = convert::store_id(&r.store_id)?;
        let mut query = ReadQuery { page_size: page_size(r.page_size, 100), ..ReadQuery::default() };
        if let Some(key) = &r.tuple_key {
            let missing = "the 'tuple_key' field was provided but the object type field is required and both the object id \
                           and user cannot be empty";
            let (object_type, id) = key.object.split_once(':').unwrap_or((&key.object, ""));
            if object_type.is_empty() || !key.object.contains(':') || id.is_empty() && key.user.is_empty() {
                return Err(Problem::new(Code::Validation, missing));
            }
            query.object_type = Some(object_type);
            query.object_id = Some(id).filter(|i| !i.is_empty());
            query.relation = Some(key.relation.as_str()).filter(|x| !x.is_empty());
            query.subject = match (key.user.strip_suffix(':'), key.user.as_str()) {
                (_, "") => None,
                (Some(object_type), _) => Some(SubjectRef::Object(ObjectRef { object_type, id: "" })),
                (None, user) => match SubjectRef::parse(user) {
                    Ok(subject) => Some(subject),
                    // No tuple has a user of that form.
                    Err(_) => return Ok(self.empty_page()),
                },
            };
        }
        query.after = position(&r.continuation_token)?;
        let page = self.engine().read(store, &query)?;
        self.newest_only(asked, page.revision)?;
        let tuples = page.value.tuples.iter().map(convert::stored).collect();
        let next = page.value.next.map(|p| encode_page(&p.to_string())).unwrap_or_default();
        let message = pb::ReadResponse { tuples, continuation_token: next };
        Ok(Answer { message, revision: page.revision, model: None, truncated: false })
    }

    fn empty_page(&self) -> Answer<pb::ReadResponse> {
        let revision = self.engine().revision();
        Answer { message: pb::ReadResponse::default(), revision, model: None, truncated: false }
    }

    pub(super) fn read_changes(
        &self,
        r: &pb::ReadChangesRequest,
        asked: &Asked<'_>,
    ) -> Called<pb::ReadChangesResponse> {
        let store = convert::store_id(&r.store_id)?;
        let mut after = None;
        if !r.continuation_token.is_empty() {
            let text = decode_page(&r.continuation_token).ok_or_else(bad_token)?;
            let (place, object_type) = text.split_once('|').ok_or_else(bad_token)?;
            let place = place.parse::<Position>().map_err(|_| bad_token())?;
            if object_type != r.r#type {
                let text = "The type in the querystring and the continuation token don't match";
                return Err(Problem::new(Code::TokenMismatch, text));
            }
            after = Some(place);
        }
        let start_time = match (after, &r.start_time) {
            (None, Some(start)) => {
                let start = convert::nanoseconds(start);
                if start < 0 {
                    return Err(Problem::new(Code::InvalidStartTime, "Invalid start time"));
                }
                Some(Timestamp(start))
            }
            _ => None,
        };
        let object_type = Some(r.r#type.as_str()).filter(|t| !t.is_empty());
        let page_size = page_size(r.page_size, self.bounds().changes_page_max);
        let horizon = i64::try_from(self.bounds().changes_horizon.as_nanos()).unwrap_or(i64::MAX);
        let until = (horizon > 0).then(|| Timestamp(now().0.saturating_sub(horizon)));
        let query = ReadChangesQuery { object_type, page_size, after, start_time, until };
        let mut page = self.engine().read_changes(store, &query)?;
        if let Consistency::Exact(exactly) = asked.consistency {
            // Changes are in the order of revisions, so what was known then is the beginning of what is known now.
            page.value.retain(|change| change.position.revision <= exactly);
            page.revision = exactly;
        }
        let token = match page.value.last() {
            Some(last) => encode_page(&format!("{}|{}", last.position, r.r#type)),
            None => r.continuation_token.clone(),
        };
        let changes = page.value.iter().map(convert::change).collect();
        let message = pb::ReadChangesResponse { changes, continuation_token: token };
        Ok(Answer { message, revision: page.revision, model: None, truncated: false })
    }
}

/// A tuple to delete; `None` when none of that form can exist and that is to be ignored.
fn deleted(k: &pb::TupleKeyWithoutCondition, on_missing: OnMissing) -> Result<Option<crate::tuple::Tuple>, Problem> {
    if let Ok(key) = crate::tuple::TupleKeyRef::parse(&k.object, &k.relation, &k.user) {
        return Ok(Some(key.to_tuple()));
    }
    let why = convert::malformed("x:x", "x", &k.user);
    if why == convert::USER_MALFORMED {
        let text = format!("Invalid tuple '{}#{}@{}'. Reason: {why}", k.object, k.relation, k.user);
        return Err(Problem::new(Code::Validation, text));
    }
    match on_missing {
        OnMissing::Ignore => Ok(None),
        OnMissing::Error => {
            let text = format!(
                "cannot delete a tuple which does not exist: user: '{}', relation: '{}', object: '{}': tuple to be written \
                 already existed or the tuple to be deleted did not exist",
                k.user, k.relation, k.object
            );
            Err(Problem::new(Code::WriteFailed, text))
        }
    }
}

/// A refused write; a fault in a condition's context names the condition.
pub(super) fn refusal(r: &pb::WriteRequest, error: WriteError) -> Problem {
    if let WriteError::Tuple { tuple, fault: TupleFault::ConditionContext { reason } } = &error {
        let same = |k: &&pb::TupleKey| format!("{}#{}@{}", k.object, k.relation, k.user) == *tuple;
        let key = r.writes.iter().flat_map(|w| &w.tuple_keys).find(same);
        if let Some(condition) = key.and_then(|k| k.condition.as_ref()) {
            let text = format!("Invalid tuple '{tuple} (condition {})'. Reason: {reason}", condition.name);
            return Problem::new(Code::Validation, text);
        }
    }
    error.into()
}
