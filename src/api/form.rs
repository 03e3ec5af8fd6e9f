//! Models between their own form and the wire's, for programs that hold one and call the other.

use super::{json, proto as pb};
use crate::model::Model;
use crate::wire::{Code, Problem};

/// The request that writes a model into a store.
///
/// # Errors
/// The model's JSON form does not fit the messages.
pub fn model_request(store_id: &str, model: &Model) -> Result<pb::WriteAuthorizationModelRequest, Problem> {
    let mut request: pb::WriteAuthorizationModelRequest =
        json::from_json("WriteAuthorizationModelRequest", &model.to_json())?;
    request.store_id = store_id.to_owned();
    Ok(request)
}

/// The model of a message.
///
/// # Errors
/// The message is no model.
pub fn model_of(message: &pb::AuthorizationModel) -> Result<Model, Problem> {
    let mut value = json::to_value("AuthorizationModel", message)?;
    value.sort_all_objects(); // a map of the wire has no order; this one is the same every time
    Model::from_json(&value).map_err(|fault| Problem::new(Code::InvalidModel, fault.message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::convert;
    use crate::engine::StoredModel;
    use std::sync::Arc;

    #[test]
    fn a_model_comes_back_as_it_went() {
        let text = "model\n  schema 1.1\n\ntype user\n\ntype document\n  relations\n    define owner: [user with c, user:*]\n    \
                    define viewer: owner but not owner\n\ncondition c(x: int) {\n  x > 1\n}\n";
        let model = Model::parse_dsl(text).unwrap();
        let request = model_request("S", &model).unwrap();
        assert_eq!((request.store_id.as_str(), request.type_definitions.len()), ("S", 2));
        let id = crate::tuple::ModelId(ulid::Ulid::from_parts(1, 1));
        let message = convert::model(&StoredModel { id, model: Arc::new(model.clone()) }).unwrap();
        assert_eq!(message.id, id.to_string());
        assert_eq!(model_of(&message).unwrap(), model);
    }
}
