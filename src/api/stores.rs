//! Stores, models and assertions: what surrounds the questions.

use super::calls::{Answer, Asked, Called, unknown};
use super::run::Api;
use super::tuples::page_size;
use super::{convert, json, proto as pb};
use crate::engine::{Assertions, StoreInfo, View};
use crate::model::Model;
use crate::tuple::{ModelId, Revision, StoreId, TupleKeyRef};
use crate::wire::{Code, Problem, decode_page, encode_page, fresh_id, now};
use prost::Message as _;

const ASSERTIONS_BYTES_MAX: usize = 64_000;
const PAGE_MAX: usize = 100;

pub(super) fn bad_token() -> Problem {
    Problem::new(Code::InvalidToken, "Invalid continuation token")
}

fn ulid_token(token: &str) -> Result<Option<ulid::Ulid>, Problem> {
    if token.is_empty() {
        return Ok(None);
    }
    decode_page(token).and_then(|text| ulid::Ulid::from_string(&text).ok()).map(Some).ok_or_else(bad_token)
}

fn store(info: &StoreInfo) -> pb::Store {
    let at = Some(convert::timestamp(info.created_at));
    pb::Store { id: info.id.to_string(), name: info.name.clone(), created_at: at, updated_at: at, deleted_at: None }
}

/// An answer at a revision.
fn at<T>(revision: Revision, message: T) -> Answer<T> {
    Answer { message, revision, model: None, truncated: false }
}

impl Api {
    /// The revision of an answer that is found right after; the answer is at least as new.
    fn pinned(&self, asked: &Asked<'_>) -> Result<Revision, Problem> {
        let revision = self.engine().revision();
        self.newest_only(asked, revision).map(|()| revision)
    }

    pub(super) fn create_store(&self, r: &pb::CreateStoreRequest, _: &Asked<'_>) -> Called<pb::CreateStoreResponse> {
        let made = self.engine().create_store(StoreId(fresh_id()), &r.name, now())?;
        let pb::Store { id, name, created_at, updated_at, .. } = store(&made.value);
        Ok(at(made.revision, pb::CreateStoreResponse { id, name, created_at, updated_at }))
    }

    pub(super) fn delete_store(&self, r: &pb::DeleteStoreRequest, _: &Asked<'_>) -> Called<pb::DeleteStoreResponse> {
        let done = self.engine().delete_store(convert::store_id(&r.store_id)?, now())?;
        Ok(at(done.revision, pb::DeleteStoreResponse {}))
    }

    pub(super) fn update_store(&self, _: &pb::UpdateStoreRequest, _: &Asked<'_>) -> Called<pb::UpdateStoreResponse> {
        Err(Problem::new(Code::Unimplemented, "method UpdateStore not implemented"))
    }

    pub(super) fn get_store(&self, r: &pb::GetStoreRequest, asked: &Asked<'_>) -> Called<pb::GetStoreResponse> {
        let revision = self.pinned(asked)?;
        let found = self.engine().store(convert::store_id(&r.store_id)?);
        let found = found.map_err(|error| Problem::from(error).at(revision, None))?;
        let pb::Store { id, name, created_at, updated_at, deleted_at } = store(&found.value);
        Ok(at(found.revision, pb::GetStoreResponse { id, name, created_at, updated_at, deleted_at }))
    }

    pub(super) fn list_stores(&self, r: &pb::ListStoresRequest, asked: &Asked<'_>) -> Called<pb::ListStoresResponse> {
        let after = ulid_token(&r.continuation_token)?.map(StoreId);
        let revision = self.pinned(asked)?;
        let name = Some(r.name.as_str()).filter(|n| !n.is_empty());
        let (found, more) = self.engine().stores(name, after, page_size(r.page_size, PAGE_MAX));
        let last = found.last().filter(|_| more).map(|s| encode_page(&s.id.to_string()));
        let stores = found.iter().map(store).collect();
        Ok(at(revision, pb::ListStoresResponse { stores, continuation_token: last.unwrap_or_default() }))
    }

    pub(super) fn write_model(
        &self,
        r: &pb::WriteAuthorizationModelRequest,
        _: &Asked<'_>,
    ) -> Called<pb::WriteAuthorizationModelResponse> {
        let store = convert::store_id(&r.store_id)?;
        let (types, bytes) = (self.bounds().types_per_model_max, self.bounds().model_bytes_max);
        if r.type_definitions.len() > types {
            let text = format!(
                "The number of type definitions in an authorization model exceeds the allowed limit of {types}"
            );
            return Err(Problem::new(Code::EntityLimit, text));
        }
        if r.encoded_len() > bytes {
            let text = format!("model exceeds size limit: {} bytes vs {bytes} bytes", r.encoded_len());
            return Err(Problem::new(Code::EntityLimit, text));
        }
        let value = json::to_value("WriteAuthorizationModelRequest", r)?;
        let model = Model::from_json(&value).map_err(|fault| Problem::new(Code::InvalidModel, fault.message))?;
        let id = ModelId(fresh_id());
        let done = self.engine().write_model(store, id, model)?;
        Ok(at(done.revision, pb::WriteAuthorizationModelResponse { authorization_model_id: id.to_string() }))
    }

    pub(super) fn read_model(
        &self,
        r: &pb::ReadAuthorizationModelRequest,
        asked: &Asked<'_>,
    ) -> Called<pb::ReadAuthorizationModelResponse> {
        let store = convert::store_id(&r.store_id)?;
        let id = convert::model_id(&r.id)?.unwrap_or(ModelId(ulid::Ulid::nil()));
        let revision = self.pinned(asked)?;
        let stored = self.engine().model(store, id).map_err(|error| Problem::from(error).at(revision, None))?;
        let authorization_model = Some(convert::model(&stored)?);
        Ok(at(revision, pb::ReadAuthorizationModelResponse { authorization_model }))
    }

    pub(super) fn read_models(
        &self,
        r: &pb::ReadAuthorizationModelsRequest,
        asked: &Asked<'_>,
    ) -> Called<pb::ReadAuthorizationModelsResponse> {
        let store = convert::store_id(&r.store_id)?;
        let after = ulid_token(&r.continuation_token)?.map(ModelId);
        let revision = self.pinned(asked)?;
        let (found, more) = self.engine().models(store, after, page_size(r.page_size, PAGE_MAX));
        let last = found.last().filter(|_| more).map(|m| encode_page(&m.id.to_string()));
        let authorization_models = found.iter().map(convert::model).collect::<Result<_, _>>()?;
        let continuation_token = last.unwrap_or_default();
        Ok(at(revision, pb::ReadAuthorizationModelsResponse { authorization_models, continuation_token }))
    }

    pub(super) fn write_assertions(
        &self,
        r: &pb::WriteAssertionsRequest,
        _: &Asked<'_>,
    ) -> Called<pb::WriteAssertionsResponse> {
        let view = self.view(&r.store_id, &r.authorization_model_id, &Asked::default())?;
        let body = pb::Assertions { assertions: r.assertions.clone() }.encode_to_vec();
        let checked = r.assertions.iter().try_for_each(|a| assertion(&view, a)).and_then(|()| {
            if body.len() <= ASSERTIONS_BYTES_MAX {
                return Ok(());
            }
            let text = format!("The number of bytes exceeds the allowed limit of {ASSERTIONS_BYTES_MAX}");
            Err(Problem::new(Code::EntityLimit, text))
        });
        checked.map_err(|problem| problem.at(view.revision(), None))?;
        let done = self.engine().write_assertions(view.store_id(), view.model_id(), Assertions { body })?;
        Ok(at(done.revision, pb::WriteAssertionsResponse {}))
    }

    pub(super) fn read_assertions(
        &self,
        r: &pb::ReadAssertionsRequest,
        asked: &Asked<'_>,
    ) -> Called<pb::ReadAssertionsResponse> {
        let store = convert::store_id(&r.store_id)?;
        let model = convert::model_id(&r.authorization_model_id)?.unwrap_or(ModelId(ulid::Ulid::nil()));
        let revision = self.pinned(asked)?;
        let stored = self.engine().assertions(store, model)?;
        let damaged = |_| Problem::new(Code::Internal, "Internal Server Error");
        let stored = stored.map(|a| pb::Assertions::decode(a.body.as_slice())).transpose().map_err(damaged)?;
        let assertions = stored.map(|a| a.assertions).unwrap_or_default();
        Ok(at(revision, pb::ReadAssertionsResponse { authorization_model_id: model.to_string(), assertions }))
    }
}

/// Whether the model knows what an assertion asks, and allows the tuples that it adds.
fn assertion(view: &View, assertion: &pb::Assertion) -> Result<(), Problem> {
    let key = assertion.tuple_key.clone().unwrap_or_default();
    let fault = |text: &str| Problem::new(Code::Validation, text);
    let parsed = TupleKeyRef::parse(&key.object, &key.relation, &key.user)
        .map_err(|_| fault(convert::malformed(&key.object, &key.relation, &key.user)))?;
    if let Some(text) = unknown(view.model(), parsed) {
        return Err(fault(&text));
    }
    for key in &assertion.contextual_tuples {
        let tuple = convert::tuple(key, Code::InvalidTuple)?;
        let refused = |why| Problem::new(Code::InvalidTuple, format!("Invalid tuple '{tuple}'. Reason: {why}"));
        view.allows(&tuple).map_err(|why| refused(why.to_string()))?;
    }
    Ok(())
}
