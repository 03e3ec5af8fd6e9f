//! The authorization model: what users write, and the rules it must keep; conditions. Pure: no storage, no clock.

mod ast;
mod condition;
mod diagnostic;
mod json;
mod lexer;
mod lint;
mod module;
mod parse;
mod positions;
mod print;
mod reach;
mod source;
mod validate;

pub use ast::{
    ConditionDefinition, Model, Origin, ParameterType, RelationDefinition, Rewrite, SchemaVersion, SubjectKind,
    SubjectType, TypeDefinition,
};
pub use condition::{CompiledCondition, CompiledExpression, ConditionFault};
pub use diagnostic::{Fault, FaultCode, Place, Source, line_and_column};
pub use json::JsonFault;
pub use module::{ModuleFile, parse_module_file};
pub use parse::SyntaxError;
pub use source::{Faults, SourceModel};
pub use validate::ModelFault;

impl Model {
    /// Reads the modelling language: a model, or one module that extends no type of another. What is read by
    /// [`SourceModel`] keeps the places of its parts.
    pub fn parse_dsl(text: &str) -> Result<Model, Vec<SyntaxError>> {
        let parsed = parse::parse(text, 0)?;
        match parsed.extensions.first() {
            None => Ok(parsed.model),
            Some((ty, at)) => {
                let (line, column) = line_and_column(text, at.name.span.start);
                let message = format!("'{}' is extended here; read the modules together, through `fga.mod`", ty.name);
                Err(vec![SyntaxError { line, column, span: at.name.span.clone(), message }])
            }
        }
    }

    /// Prints the modelling language.
    #[must_use]
    pub fn to_dsl(&self) -> String {
        print::print(self, false)
    }

    /// Prints the modelling language, with a comment at each part of a modular model that says where it came from.
    #[must_use]
    pub fn to_dsl_with_origins(&self) -> String {
        print::print(self, true)
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

    /// The modules of a modular model, sorted.
    #[must_use]
    pub fn modules(&self) -> Vec<&str> {
        let types = self.types.iter().flat_map(|ty| ty.relations.iter().map(|r| &r.origin).chain([&ty.origin]));
        let origins = types.chain(self.conditions.iter().map(|c| &c.origin));
        let names: std::collections::BTreeSet<&str> = origins.map(|o| o.module.as_str()).collect();
        names.into_iter().filter(|name| !name.is_empty()).collect()
    }

    /// Checks the editor's rules, which are stricter than a store's; see [`SourceModel::lint`], which also knows places.
    #[must_use]
    pub fn lint(&self) -> Vec<Fault> {
        lint::lint(self, &positions::Positions::default())
    }

    /// Checks the rules that a store demands of a model.
    pub fn validate(&self) -> Result<(), ModelFault> {
        validate::validate(self)
    }
}
