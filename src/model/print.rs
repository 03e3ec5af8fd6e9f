//! Prints a model in the modelling language.

use super::ast::{Model, Origin, ParameterType, RelationDefinition, Rewrite, SubjectKind, SubjectType};
use std::fmt::Write as _;

/// Prints a model. A modular one is printed module by module, so that what belongs together stands together; with
/// `origins`, comments say which module and file each part is from.
pub(super) fn print(model: &Model, origins: bool) -> String {
    let mut out = format!("model\n  schema {}\n", model.schema_version.as_str());
    let mut types: Vec<_> = model.types.iter().collect();
    types.sort_by_key(|ty| order(&ty.origin, &ty.name));
    let note = |origin: &Origin, by: &str| match origin {
        Origin { module, file } if origins && !module.is_empty() => format!(" # {by}module: {module}, file: {file}"),
        Origin { .. } => String::new(),
    };
    for ty in types {
        let _ = write!(out, "\ntype {}{}\n", ty.name, note(&ty.origin, "")); // writing to a String cannot fail
        if !ty.relations.is_empty() {
            out.push_str("  relations\n");
        }
        let mut relations: Vec<_> = ty.relations.iter().collect();
        if !ty.origin.module.is_empty() {
            relations.sort_by(|a, b| {
                let key = |r: &RelationDefinition| (r.origin.module.clone(), r.origin.file.clone(), r.name.clone());
                key(a).cmp(&key(b))
            });
        }
        for relation in relations {
            let rewrite = expression(&relation.rewrite, relation, true);
            let _ = writeln!(out, "    define {}: {rewrite}{}", relation.name, note(&relation.origin, "extended by: "));
        }
    }
    let mut conditions: Vec<_> = model.conditions.iter().collect();
    conditions.sort_by_key(|condition| order(&condition.origin, &condition.name));
    for condition in conditions {
        let list: Vec<String> = condition.parameters.iter().map(|(n, t)| format!("{n}: {}", parameter(t))).collect();
        let (name, list, body) = (&condition.name, list.join(", "), condition.expression.trim());
        let _ = write!(out, "\ncondition {name}({list}) {{\n  {body}\n}}{}\n", note(&condition.origin, ""));
    }
    out
}

/// What parts are sorted by: the parts of a model without modules all alike, so that they keep their order.
fn order<'a>(origin: &'a Origin, name: &'a str) -> Option<(&'a str, &'a str, &'a str)> {
    (!origin.module.is_empty()).then_some((&origin.module, &origin.file, name))
}

fn expression(rewrite: &Rewrite, relation: &RelationDefinition, top: bool) -> String {
    let join = |children: &[Rewrite], word: &str| {
        // The language wants `[...]` first.
        let mut list: Vec<&Rewrite> = children.iter().collect();
        list.sort_by_key(|c| **c != Rewrite::This);
        list.into_iter().map(|c| expression(c, relation, false)).collect::<Vec<_>>().join(word)
    };
    let (text, compound) = match rewrite {
        Rewrite::This => {
            let list: Vec<String> = relation.subject_types.iter().map(restriction).collect();
            (format!("[{}]", list.join(", ")), false)
        }
        Rewrite::ComputedUserset { relation } => (relation.clone(), false),
        Rewrite::TupleToUserset { tupleset, relation } => (format!("{relation} from {tupleset}"), false),
        Rewrite::Union(children) => (join(children, " or "), true),
        Rewrite::Intersection(children) => (join(children, " and "), true),
        Rewrite::Exclusion { base, subtract } => {
            let (base, subtract) = (expression(base, relation, false), expression(subtract, relation, false));
            (format!("{base} but not {subtract}"), true)
        }
    };
    if compound && !top { format!("({text})") } else { text }
}

fn restriction(subject: &SubjectType) -> String {
    let kind = match &subject.kind {
        SubjectKind::Object => String::new(),
        SubjectKind::Wildcard => ":*".into(),
        SubjectKind::Userset(relation) => format!("#{relation}"),
    };
    let with = subject.condition.as_ref().map(|c| format!(" with {c}")).unwrap_or_default();
    format!("{}{kind}{with}", subject.object_type)
}

fn parameter(ty: &ParameterType) -> String {
    match ty {
        ParameterType::Any => "any".into(),
        ParameterType::Bool => "bool".into(),
        ParameterType::String => "string".into(),
        ParameterType::Int => "int".into(),
        ParameterType::Uint => "uint".into(),
        ParameterType::Double => "double".into(),
        ParameterType::Duration => "duration".into(),
        ParameterType::Timestamp => "timestamp".into(),
        ParameterType::IpAddress => "ipaddress".into(),
        ParameterType::Map(inner) => format!("map<{}>", parameter(inner)),
        ParameterType::List(inner) => format!("list<{}>", parameter(inner)),
    }
}
