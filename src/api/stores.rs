//! Stores, models, assertions and changes: what surrounds the questions.

use super::calls::{Answer, Api};
use super::{convert, json, proto as pb, rules};
use crate::engine::{Assertions, Position, ReadChangesQuery, StoreInfo};
use crate::model::Model;
use crate::tuple::{ModelId, StoreId, Timestamp};
use crate::wire::{Code, Problem, decode_page, encode_page, fresh_id, now};
use prost::Message as _;

const ASSERTIONS_MAX: usize = 100;
const ASSERTIONS_BYTES_MAX: usize = 64_000;
const TYPES_MAX: usize = 100;
const MODEL_BYTES_MAX: usize = 256 * 1024;

type Called<T> = Result<Answer<T>, Problem>;

fn bad_token() -> Problem {
    Problem::new(Code::InvalidToken, "Invalid continuation token")
}

/// The position that a token names; `None` for the empty token.
pub(super) fn position(token: &str) -> Result<Option<Position>, Problem> {
    if token.is_empty() {
        return Ok(None);
    }
    decode_page(token).and_then(|text| text.parse().ok()).map(Some).ok_or_else(bad_token)
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

impl Api {
    fn now<T>(&self, message: T) -> Answer<T> {
        Answer { message, revision: self.engine.revision(), model: None }
    }

    pub(super) fn create_store(&self, r: &pb::CreateStoreRequest) -> Called<pb::CreateStoreResponse> {
        rules::store_name("CreateStoreRequest", &r.name)?;
        let at = self.engine.create_store(StoreId(fresh_id()), &r.name, now())?;
        let pb::Store { id, name, created_at, updated_at, .. } = store(&at.value);
        let message = pb::CreateStoreResponse { id, name, created_at, updated_at };
        Ok(Answer { message, revision: at.revision, model: None })
    }

    pub(super) fn delete_store(&self, r: &pb::DeleteStoreRequest) -> Called<pb::DeleteStoreResponse> {
        let at = self.engine.delete_store(rules::store_id("DeleteStoreRequest", &r.store_id)?, now())?;
        Ok(Answer { message: pb::DeleteStoreResponse {}, revision: at.revision, model: None })
    }

    pub(super) fn get_store(&self, r: &pb::GetStoreRequest) -> Called<pb::GetStoreResponse> {
        let at = self.engine.store(rules::store_id("GetStoreRequest", &r.store_id)?)?;
        let pb::Store { id, name, created_at, updated_at, deleted_at } = store(&at.value);
        let message = pb::GetStoreResponse { id, name, created_at, updated_at, deleted_at };
        Ok(Answer { message, revision: at.revision, model: None })
    }

    pub(super) fn list_stores(&self, r: &pb::ListStoresRequest) -> Called<pb::ListStoresResponse> {
        let size = rules::page_size("ListStoresRequest", r.page_size)?;
        rules::token("ListStoresRequest", &r.continuation_token)?;
        if !r.name.is_empty() {
            rules::store_name("ListStoresRequest", &r.name)?;
        }
        let after = ulid_token(&r.continuation_token)?.map(StoreId);
        let (found, more) = self.engine.stores(Some(r.name.as_str()).filter(|n| !n.is_empty()), after, size);
        let last = found.last().filter(|_| more).map(|s| encode_page(&s.id.to_string()));
        let stores = found.iter().map(store).collect();
        Ok(self.now(pb::ListStoresResponse { stores, continuation_token: last.unwrap_or_default() }))
    }

    pub(super) fn write_model(
        &self,
        r: &pb::WriteAuthorizationModelRequest,
    ) -> Called<pb::WriteAuthorizationModelResponse> {
        let store = rules::store_id("WriteAuthorizationModelRequest", &r.store_id)?;
        rules::at_least_one("WriteAuthorizationModelRequest.TypeDefinitions", r.type_definitions.len())?;
        if r.type_definitions.len() > TYPES_MAX {
            let text = format!(
                "The number of type definitions in an authorization model exceeds the allowed limit of {TYPES_MAX}"
            );
            return Err(Problem::new(Code::EntityLimit, text));
        }
        if r.encoded_len() > MODEL_BYTES_MAX {
            let text = format!("model exceeds size limit: {} bytes vs {MODEL_BYTES_MAX} bytes", r.encoded_len());
            return Err(Problem::new(Code::EntityLimit, text));
        }
        if !matches!(r.schema_version.as_str(), "1.0" | "1.1" | "1.2") {
            let field = "WriteAuthorizationModelRequest.SchemaVersion";
            return Err(Problem::field(field, "value must be in list [1.0 1.1 1.2]"));
        }
        for ty in &r.type_definitions {
            rules::type_name("TypeDefinition.Type", &ty.r#type)?;
            for name in ty.relations.keys() {
                rules::relation(&format!("TypeDefinition.Relations[{name}]"), name, false)?;
            }
        }
        let value = json::to_json("WriteAuthorizationModelRequest", r)?;
        let model = Model::from_json(&value).map_err(|fault| Problem::new(Code::InvalidModel, fault.message))?;
        let id = ModelId(fresh_id());
        let at = self.engine.write_model(store, id, model)?;
        let message = pb::WriteAuthorizationModelResponse { authorization_model_id: id.to_string() };
        Ok(Answer { message, revision: at.revision, model: None })
    }

    pub(super) fn read_model(
        &self,
        r: &pb::ReadAuthorizationModelRequest,
    ) -> Called<pb::ReadAuthorizationModelResponse> {
        let store = rules::store_id("ReadAuthorizationModelRequest", &r.store_id)?;
        let id = rules::id("ReadAuthorizationModelRequest.Id", &r.id, false)?.unwrap_or_default();
        let model = convert::model(&self.engine.model(store, ModelId(id))?)?;
        Ok(self.now(pb::ReadAuthorizationModelResponse { authorization_model: Some(model) }))
    }

    pub(super) fn read_models(
        &self,
        r: &pb::ReadAuthorizationModelsRequest,
    ) -> Called<pb::ReadAuthorizationModelsResponse> {
        let store = rules::store_id("ReadAuthorizationModelsRequest", &r.store_id)?;
        let size = rules::page_size("ReadAuthorizationModelsRequest", r.page_size)?;
        rules::token("ReadAuthorizationModelsRequest", &r.continuation_token)?;
        let (found, more) = self.engine.models(store, ulid_token(&r.continuation_token)?.map(ModelId), size);
        let last = found.last().filter(|_| more).map(|m| encode_page(&m.id.to_string()));
        let authorization_models = found.iter().map(convert::model).collect::<Result<_, _>>()?;
        let continuation_token = last.unwrap_or_default();
        Ok(self.now(pb::ReadAuthorizationModelsResponse { authorization_models, continuation_token }))
    }

    pub(super) fn write_assertions(&self, r: &pb::WriteAssertionsRequest) -> Called<pb::WriteAssertionsResponse> {
        let store = rules::store_id("WriteAssertionsRequest", &r.store_id)?;
        let field = "WriteAssertionsRequest.AuthorizationModelId";
        let model = ModelId(rules::id(field, &r.authorization_model_id, false)?.unwrap_or_default());
        rules::at_most("WriteAssertionsRequest.Assertions", r.assertions.len(), ASSERTIONS_MAX)?;
        let known = self.engine.model(store, model)?.model;
        for assertion in &r.assertions {
            let Some(key) = &assertion.tuple_key else {
                return Err(Problem::field("Assertion.TupleKey", "value is required"));
            };
            rules::tuple_key("AssertionTupleKey", &key.user, &key.relation, &key.object)?;
            let object_type = key.object.split(':').next().unwrap_or_default();
            let ty = known.object_type(object_type);
            if ty.is_none_or(|t| t.relation(&key.relation).is_none()) {
                let text = match ty {
                    None => format!("type '{object_type}' not found"),
                    Some(_) => format!("relation '{object_type}#{}' not found", key.relation),
                };
                return Err(Problem::new(Code::Validation, text));
            }
        }
        let body = pb::Assertions { assertions: r.assertions.clone() }.encode_to_vec();
        if body.len() > ASSERTIONS_BYTES_MAX {
            let text = format!("The number of bytes exceeds the allowed limit of {ASSERTIONS_BYTES_MAX}");
            return Err(Problem::new(Code::EntityLimit, text));
        }
        let at = self.engine.write_assertions(store, model, Assertions { body })?;
        Ok(Answer { message: pb::WriteAssertionsResponse {}, revision: at.revision, model: None })
    }

    pub(super) fn read_assertions(&self, r: &pb::ReadAssertionsRequest) -> Called<pb::ReadAssertionsResponse> {
        let store = rules::store_id("ReadAssertionsRequest", &r.store_id)?;
        let field = "ReadAssertionsRequest.AuthorizationModelId";
        let model = ModelId(rules::id(field, &r.authorization_model_id, false)?.unwrap_or_default());
        let stored = self.engine.assertions(store, model)?;
        let damaged = |_| Problem::new(Code::Internal, "Internal Server Error");
        let stored = stored.map(|a| pb::Assertions::decode(a.body.as_slice())).transpose().map_err(damaged)?;
        let assertions = stored.map(|a| a.assertions).unwrap_or_default();
        Ok(self.now(pb::ReadAssertionsResponse { authorization_model_id: model.to_string(), assertions }))
    }

    pub(super) fn read_changes(&self, r: &pb::ReadChangesRequest) -> Called<pb::ReadChangesResponse> {
        let store = rules::store_id("ReadChangesRequest", &r.store_id)?;
        let size = match r.page_size {
            Some(n) if n < 1 => {
                return Err(Problem::field("ReadChangesRequest.PageSize", "value must be greater than or equal to 1"));
            }
            size => rules::page_size("ReadChangesRequest", size.map(|n| n.min(rules::PAGE_SIZE_MAX)))?,
        };
        rules::token("ReadChangesRequest", &r.continuation_token)?;
        let mut after = None;
        if !r.continuation_token.is_empty() {
            let text = decode_page(&r.continuation_token).ok_or_else(bad_token)?;
            let (place, object_type) = text.split_once('|').ok_or_else(bad_token)?;
            if object_type != r.r#type {
                let text = "The type in the querystring and the continuation token don't match";
                return Err(Problem::new(Code::TokenMismatch, text));
            }
            after = Some(place.parse::<Position>().map_err(|_| bad_token())?);
        }
        let mut start_time = None;
        if let (None, Some(start)) = (after, &r.start_time) {
            let start = start.seconds.saturating_mul(1_000_000_000).saturating_add(i64::from(start.nanos));
            if start < 0 || start > now().0 {
                return Err(Problem::new(Code::InvalidStartTime, "Invalid start time"));
            }
            start_time = Some(Timestamp(start));
        }
        let object_type = Some(r.r#type.as_str()).filter(|t| !t.is_empty());
        let query = ReadChangesQuery { object_type, page_size: size, after, start_time };
        let page = self.engine.read_changes(store, &query)?;
        let token = match page.value.last() {
            Some(last) => encode_page(&format!("{}|{}", last.position, r.r#type)),
            None => r.continuation_token.clone(),
        };
        let changes = page.value.iter().map(convert::change).collect();
        let message = pb::ReadChangesResponse { changes, continuation_token: token };
        Ok(Answer { message, revision: page.revision, model: None })
    }
}
