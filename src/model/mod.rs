//! The authorization model: what users write, and the rules it must keep; conditions. Pure: no storage, no clock.

mod ast;
mod condition;
mod dsl;
mod json;
mod validate;

pub use ast::{
    ConditionDefinition, Model, Origin, ParameterType, RelationDefinition, Rewrite, SchemaVersion, SubjectKind,
    SubjectType, TypeDefinition,
};
pub use condition::{CompiledCondition, ConditionFault};
pub use dsl::SyntaxError;
pub use json::JsonFault;
pub use validate::ModelFault;

impl Model {
    /// Reads the modelling language.
    pub fn parse_dsl(text: &str) -> Result<Model, Vec<SyntaxError>> {
        dsl::parse(text)
    }

    /// Prints the modelling language.
    #[must_use]
    pub fn to_dsl(&self) -> String {
        dsl::print(self)
    }

    /// Reads OpenFGA's JSON.
    pub fn from_json(value: &serde_json::Value) -> Result<Model, JsonFault> {
        json::from_json(value)
    }

    /// Prints OpenFGA's JSON, without an id.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        json::to_json(self)
    }

    /// Checks the rules that a store demands of a model.
    pub fn validate(&self) -> Result<(), ModelFault> {
        validate::validate(self)
    }
}
