//! The model as OpenFGA's JSON (the JSON of the proto message `AuthorizationModel`), both ways.

use super::ast::{
    ConditionDefinition, Model, Origin, ParameterType, RelationDefinition, Rewrite, SchemaVersion, SubjectKind,
    SubjectType, TypeDefinition,
};
use serde_json::{Map, Value, json};

/// Deepest nesting of rewrites.
const NESTING_MAX: usize = 64;

/// JSON that is no model.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{at}: {message}")]
pub struct JsonFault {
    /// Where, as a path of keys.
    pub at: String,
    /// What is wrong.
    pub message: String,
}

fn fault<T>(at: &str, message: impl Into<String>) -> Result<T, JsonFault> {
    Err(JsonFault { at: at.into(), message: message.into() })
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn entries(value: Option<&Value>) -> impl Iterator<Item = (&String, &Value)> {
    value.and_then(Value::as_object).into_iter().flatten()
}

fn list(value: Option<&Value>) -> impl Iterator<Item = &Value> {
    value.and_then(Value::as_array).into_iter().flatten()
}

/// Either spelling of a key: the proto's and protojson's.
fn either<'a>(value: &'a Value, snake: &str, camel: &str) -> Option<&'a Value> {
    value.get(snake).or_else(|| value.get(camel)).filter(|v| !v.is_null())
}

/// Reads a model.
pub(super) fn from_json(value: &Value) -> Result<Model, JsonFault> {
    let version = either(value, "schema_version", "schemaVersion").and_then(Value::as_str).unwrap_or_default();
    let schema_version = match version {
        "1.1" | "" => SchemaVersion::V1_1,
        "1.2" => SchemaVersion::V1_2,
        _ => return fault("schema_version", "invalid schema version"),
    };
    let mut model = Model { schema_version, types: Vec::new(), conditions: Vec::new() };
    for ty in list(either(value, "type_definitions", "typeDefinitions")) {
        model.types.push(type_definition(ty)?);
    }
    for (key, condition) in entries(value.get("conditions")) {
        let name = text(condition, "name");
        if name != key {
            return fault("conditions", format!("condition key '{key}' does not match condition name '{name}'"));
        }
        let mut parameters = Vec::new();
        for (name, ty) in entries(condition.get("parameters")) {
            parameters.push((name.clone(), parameter(ty, key, name, 0)?));
        }
        let origin = origin(condition.get("metadata"));
        let expression = text(condition, "expression").to_owned();
        model.conditions.push(ConditionDefinition { name: key.clone(), expression, parameters, origin });
    }
    Ok(model)
}

fn origin(metadata: Option<&Value>) -> Origin {
    let Some(metadata) = metadata else { return Origin::default() };
    let file = either(metadata, "source_info", "sourceInfo").map(|s| text(s, "file")).unwrap_or_default();
    Origin { module: text(metadata, "module").into(), file: file.into() }
}

fn type_definition(ty: &Value) -> Result<TypeDefinition, JsonFault> {
    let name = text(ty, "type").to_owned();
    let metadata = ty.get("metadata").filter(|m| !m.is_null());
    let about = metadata.and_then(|m| m.get("relations"));
    let mut relations = Vec::new();
    for (relation, value) in entries(ty.get("relations")) {
        let at = format!("{name}#{relation}");
        let own = about.and_then(|a| a.get(relation));
        let allowed = own.and_then(|o| either(o, "directly_related_user_types", "directlyRelatedUserTypes"));
        let subject_types = list(allowed).map(|v| subject_type(v, &at)).collect::<Result<_, _>>()?;
        let rewrite = rewrite(value, &at, 0)?;
        relations.push(RelationDefinition { name: relation.clone(), rewrite, subject_types, origin: origin(own) });
    }
    Ok(TypeDefinition { name, relations, origin: origin(metadata) })
}

fn subject_type(value: &Value, at: &str) -> Result<SubjectType, JsonFault> {
    let kind = match (text(value, "relation"), value.get("wildcard").filter(|w| !w.is_null())) {
        ("", Some(_)) => SubjectKind::Wildcard,
        (relation, Some(_)) => {
            let name = text(value, "type");
            return fault(at, format!("type restriction `{name}#{relation}` cannot be wildcard and userset at once"));
        }
        ("", None) => SubjectKind::Object,
        (relation, None) => SubjectKind::Userset(relation.into()),
    };
    let condition = Some(text(value, "condition")).filter(|c| !c.is_empty()).map(str::to_owned);
    Ok(SubjectType { object_type: text(value, "type").into(), kind, condition })
}

fn rewrite(value: &Value, at: &str, depth: usize) -> Result<Rewrite, JsonFault> {
    if depth > NESTING_MAX {
        return fault(at, format!("rewrites are nested deeper than {NESTING_MAX}"));
    }
    let relation = |v: &Value| text(v, "relation").to_owned();
    let children = |v: &Value| list(v.get("child")).map(|c| rewrite(c, at, depth + 1)).collect::<Result<Vec<_>, _>>();
    if value.get("this").is_some() {
        return Ok(Rewrite::This);
    }
    if let Some(v) = either(value, "computed_userset", "computedUserset") {
        return Ok(Rewrite::ComputedUserset { relation: relation(v) });
    }
    if let Some(v) = either(value, "tuple_to_userset", "tupleToUserset") {
        let tupleset = v.get("tupleset").map(relation).unwrap_or_default();
        let relation = either(v, "computed_userset", "computedUserset").map(relation).unwrap_or_default();
        return Ok(Rewrite::TupleToUserset { tupleset, relation });
    }
    if let Some(v) = value.get("union") {
        return Ok(Rewrite::Union(children(v)?));
    }
    if let Some(v) = value.get("intersection") {
        return Ok(Rewrite::Intersection(children(v)?));
    }
    if let Some(v) = value.get("difference") {
        let side = |key| v.get(key).map_or_else(|| fault(at, no_rewrite(at)), |c| rewrite(c, at, depth + 1));
        return Ok(Rewrite::Exclusion { base: Box::new(side("base")?), subtract: Box::new(side("subtract")?) });
    }
    fault(at, no_rewrite(at))
}

/// OpenFGA's text about a relation, `type#relation`, that is not defined by anything.
fn no_rewrite(at: &str) -> String {
    let (ty, relation) = at.rsplit_once('#').unwrap_or((at, ""));
    let why = "invalid userset rewrite definition";
    format!("the definition of relation '{relation}' in object type '{ty}' is invalid: {why}")
}

fn parameter(value: &Value, condition: &str, parameter_name: &str, depth: usize) -> Result<ParameterType, JsonFault> {
    let wrong = |why: String| {
        let head = format!("failed to compile expression on condition '{condition}'");
        fault(condition, format!("{head}: failed to decode parameter type for parameter '{parameter_name}': {why}"))
    };
    if depth > NESTING_MAX {
        return wrong(format!("types are nested deeper than {NESTING_MAX}"));
    }
    let name = either(value, "type_name", "typeName").and_then(Value::as_str).unwrap_or("TYPE_NAME_UNSPECIFIED");
    let inner = || {
        let inner: Vec<&Value> = list(either(value, "generic_types", "genericTypes")).collect();
        match inner.as_slice() {
            [one] => parameter(one, condition, parameter_name, depth + 1).map(Box::new),
            _ => wrong(format!("type `{name}` requires 1 generic types; found {}", inner.len())).map(Box::new),
        }
    };
    Ok(match name.strip_prefix("TYPE_NAME_").unwrap_or(name) {
        "ANY" => ParameterType::Any,
        "BOOL" => ParameterType::Bool,
        "STRING" => ParameterType::String,
        "INT" => ParameterType::Int,
        "UINT" => ParameterType::Uint,
        "DOUBLE" => ParameterType::Double,
        "DURATION" => ParameterType::Duration,
        "TIMESTAMP" => ParameterType::Timestamp,
        "IPADDRESS" => ParameterType::IpAddress,
        "MAP" => ParameterType::Map(inner()?),
        "LIST" => ParameterType::List(inner()?),
        _ => return wrong(format!("unknown condition parameter type `{name}`")),
    })
}

/// Prints a model, without an id.
pub(super) fn to_json(model: &Model) -> Value {
    let types: Vec<Value> = model.types.iter().map(type_json).collect();
    let conditions: Map<String, Value> = model.conditions.iter().map(|c| (c.name.clone(), condition_json(c))).collect();
    json!({"schema_version": model.schema_version.as_str(), "type_definitions": types, "conditions": conditions})
}

fn source_json(origin: &Origin) -> Value {
    if origin.file.is_empty() { Value::Null } else { json!({"file": origin.file}) }
}

fn type_json(ty: &TypeDefinition) -> Value {
    let relations: Map<String, Value> =
        ty.relations.iter().map(|r| (r.name.clone(), rewrite_json(&r.rewrite))).collect();
    let about: Map<String, Value> = ty
        .relations
        .iter()
        .map(|r| {
            let types: Vec<Value> = r.subject_types.iter().map(subject_json).collect();
            let own = json!({"directly_related_user_types": types, "module": r.origin.module,
                "source_info": source_json(&r.origin)});
            (r.name.clone(), own)
        })
        .collect();
    if about.is_empty() && ty.origin == Origin::default() {
        return json!({"type": ty.name, "relations": relations, "metadata": null});
    }
    json!({"type": ty.name, "relations": relations, "metadata":
        {"relations": about, "module": ty.origin.module, "source_info": source_json(&ty.origin)}})
}

fn subject_json(subject: &SubjectType) -> Value {
    let condition = subject.condition.as_deref().unwrap_or_default();
    match &subject.kind {
        SubjectKind::Object => json!({"type": subject.object_type, "condition": condition}),
        SubjectKind::Wildcard => json!({"type": subject.object_type, "wildcard": {}, "condition": condition}),
        SubjectKind::Userset(r) => json!({"type": subject.object_type, "relation": r, "condition": condition}),
    }
}

fn rewrite_json(rewrite: &Rewrite) -> Value {
    let named = |relation: &String| json!({"object": "", "relation": relation});
    let all = |children: &[Rewrite]| children.iter().map(rewrite_json).collect::<Vec<_>>();
    match rewrite {
        Rewrite::This => json!({"this": {}}),
        Rewrite::ComputedUserset { relation } => json!({"computedUserset": named(relation)}),
        Rewrite::TupleToUserset { tupleset, relation } => {
            json!({"tupleToUserset": {"tupleset": named(tupleset), "computedUserset": named(relation)}})
        }
        Rewrite::Union(children) => json!({"union": {"child": all(children)}}),
        Rewrite::Intersection(children) => json!({"intersection": {"child": all(children)}}),
        Rewrite::Exclusion { base, subtract } => {
            json!({"difference": {"base": rewrite_json(base), "subtract": rewrite_json(subtract)}})
        }
    }
}

fn parameter_json(ty: &ParameterType) -> Value {
    let (name, inner) = match ty {
        ParameterType::Any => ("ANY", None),
        ParameterType::Bool => ("BOOL", None),
        ParameterType::String => ("STRING", None),
        ParameterType::Int => ("INT", None),
        ParameterType::Uint => ("UINT", None),
        ParameterType::Double => ("DOUBLE", None),
        ParameterType::Duration => ("DURATION", None),
        ParameterType::Timestamp => ("TIMESTAMP", None),
        ParameterType::IpAddress => ("IPADDRESS", None),
        ParameterType::Map(inner) => ("MAP", Some(inner)),
        ParameterType::List(inner) => ("LIST", Some(inner)),
    };
    let generic: Vec<Value> = inner.into_iter().map(|i| parameter_json(i)).collect();
    json!({"type_name": format!("TYPE_NAME_{name}"), "generic_types": generic})
}

fn condition_json(condition: &ConditionDefinition) -> Value {
    let parameters: Map<String, Value> =
        condition.parameters.iter().map(|(n, t)| (n.clone(), parameter_json(t))).collect();
    let metadata = if condition.origin == Origin::default() {
        Value::Null
    } else {
        json!({"module": condition.origin.module, "source_info": source_json(&condition.origin)})
    };
    json!({"name": condition.name, "expression": condition.expression, "parameters": parameters, "metadata": metadata})
}
