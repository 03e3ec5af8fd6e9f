//! What a user wrote: types, relations, rewrites and conditions, in the order they were written.

/// The version of the modelling language.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub enum SchemaVersion {
    /// `1.1`
    V1_1,
    /// `1.2`: adds modules.
    V1_2,
}

impl SchemaVersion {
    /// As it is written, `1.1`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            SchemaVersion::V1_1 => "1.1",
            SchemaVersion::V1_2 => "1.2",
        }
    }
}

/// An authorization model.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Model {
    /// The language version.
    pub schema_version: SchemaVersion,
    /// The object types, in order.
    pub types: Vec<TypeDefinition>,
    /// The conditions, in order.
    pub conditions: Vec<ConditionDefinition>,
}

/// Which module a part of a modular model came from.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Origin {
    /// The module, empty when the model has none.
    pub module: String,
    /// The file, `core.fga`; empty when unknown.
    pub file: String,
}

/// One object type.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct TypeDefinition {
    /// Its name.
    pub name: String,
    /// Its relations, in order.
    pub relations: Vec<RelationDefinition>,
    /// Where it came from.
    pub origin: Origin,
}

/// One relation of a type.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct RelationDefinition {
    /// Its name.
    pub name: String,
    /// How it is computed.
    pub rewrite: Rewrite,
    /// The subjects that a tuple may name directly (OpenFGA: directly related user types). Meaningful where the rewrite
    /// holds [`Rewrite::This`].
    pub subject_types: Vec<SubjectType>,
    /// Where it came from, when a module extended the type.
    pub origin: Origin,
}

/// How a relation is computed. OpenFGA's proto message `Userset` is this. Matched without `_` everywhere.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Rewrite {
    /// The tuples themselves: `[user, group#member]`.
    This,
    /// Another relation of the same object: `editor`.
    ComputedUserset {
        /// The relation.
        relation: String,
    },
    /// A relation of related objects: `viewer from parent`.
    TupleToUserset {
        /// The relation that leads to the objects, `parent`.
        tupleset: String,
        /// The relation asked of them, `viewer`.
        relation: String,
    },
    /// `a or b`
    Union(Vec<Rewrite>),
    /// `a and b`
    Intersection(Vec<Rewrite>),
    /// `base but not subtract`
    Exclusion {
        /// Who has it,
        base: Box<Rewrite>,
        /// unless they have this.
        subtract: Box<Rewrite>,
    },
}

/// A kind of subject that a tuple may name: `user`, `group#member`, `user:*`, each perhaps `with` a condition.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct SubjectType {
    /// The object type.
    pub object_type: String,
    /// An object, a userset or the wildcard.
    pub kind: SubjectKind,
    /// The condition that a tuple must carry, if any.
    pub condition: Option<String>,
}

/// See [`SubjectType`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum SubjectKind {
    /// `user`
    Object,
    /// `group#member`, with the relation.
    Userset(String),
    /// `user:*`
    Wildcard,
}

/// A named condition.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct ConditionDefinition {
    /// Its name.
    pub name: String,
    /// CEL.
    pub expression: String,
    /// Parameters and their types, in order.
    pub parameters: Vec<(String, ParameterType)>,
    /// Where it came from.
    pub origin: Origin,
}

/// The type of a condition's parameter.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum ParameterType {
    /// Anything.
    Any,
    /// `bool`
    Bool,
    /// `string`
    String,
    /// 64 bits, signed.
    Int,
    /// 64 bits, unsigned.
    Uint,
    /// 64 bits, floating.
    Double,
    /// `1h30m`
    Duration,
    /// RFC 3339.
    Timestamp,
    /// `map<T>`: keys are strings.
    Map(Box<ParameterType>),
    /// `list<T>`
    List(Box<ParameterType>),
    /// An IPv4 or IPv6 address.
    IpAddress,
}

impl Model {
    /// The type of that name.
    #[must_use]
    pub fn object_type(&self, name: &str) -> Option<&TypeDefinition> {
        self.types.iter().find(|t| t.name == name)
    }

    /// The condition of that name.
    #[must_use]
    pub fn condition(&self, name: &str) -> Option<&ConditionDefinition> {
        self.conditions.iter().find(|c| c.name == name)
    }
}

impl TypeDefinition {
    /// The relation of that name.
    #[must_use]
    pub fn relation(&self, name: &str) -> Option<&RelationDefinition> {
        self.relations.iter().find(|r| r.name == name)
    }
}
