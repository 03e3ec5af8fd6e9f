//! The authorization model: what users write, the rules it must keep, and the plan that runs. Pure: no storage, no clock.

mod ast;

pub use ast::{
    ConditionDefinition, Model, Origin, ParameterType, RelationDefinition, Rewrite, SchemaVersion, SubjectKind,
    SubjectType, TypeDefinition,
};
