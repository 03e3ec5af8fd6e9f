//! The rules that a model must keep before a store takes it, with OpenFGA's texts (those of WriteAuthorizationModel).
//!
//! The order is OpenFGA's too, since only the first fault is told: names, then each relation in the order of names with
//! all its rules, then conditions. So a client gets the text that it would get there.

use super::ast::{ConditionDefinition, Model, RelationDefinition, Rewrite, SubjectKind, TypeDefinition};
use super::condition::CompiledCondition;
use super::reach::{self, Reach};
use std::collections::{HashMap, HashSet};

/// Why a model is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct ModelFault {
    /// OpenFGA's text.
    pub reason: String,
    /// Whether it is about two types of one name, which has a code of its own in OpenFGA's history.
    pub duplicate_types: bool,
}

fn refuse<T>(reason: impl Into<String>) -> Result<T, ModelFault> {
    Err(ModelFault { reason: reason.into(), duplicate_types: false })
}

/// Checks every rule; the first that is broken is the answer.
pub(super) fn validate(model: &Model) -> Result<(), ModelFault> {
    let types: HashMap<&str, &TypeDefinition> = model.types.iter().map(|t| (t.name.as_str(), t)).collect();
    if types.len() < model.types.len() {
        let reason = "an authorization model cannot contain duplicate types".into();
        return Err(ModelFault { reason, duplicate_types: true });
    }
    names(model)?;
    let conditions = model.conditions.iter().map(|c| c.name.as_str()).collect();
    let rules = Rules { types, conditions, reach: Reach::of(model) };
    let mut types: Vec<&TypeDefinition> = model.types.iter().collect();
    types.sort_by_key(|ty| &ty.name);
    for ty in types {
        let of_type = OfType { ty, tuplesets: tuplesets(ty), loops: rules.reach.loops(ty), cycles: reach::cycles(ty) };
        let mut relations: Vec<&RelationDefinition> = ty.relations.iter().collect();
        relations.sort_by_key(|relation| &relation.name);
        relations.into_iter().try_for_each(|relation| rules.relation(&of_type, relation))?;
    }
    model.conditions.iter().try_for_each(condition)
}

fn names(model: &Model) -> Result<(), ModelFault> {
    for ty in &model.types {
        let t = &ty.name;
        if t.is_empty() {
            return refuse("the type name of a type definition cannot be an empty string");
        }
        if matches!(t.as_str(), "self" | "this") {
            return refuse(format!("the definition of type '{t}' is invalid"));
        }
        for relation in &ty.relations {
            let r = &relation.name;
            if r.is_empty() {
                return refuse(format!("type '{t}' defines a relation with an empty string for a name"));
            }
            if matches!(r.as_str(), "self" | "this") {
                return invalid(ty, relation, "self and this are reserved keywords");
            }
        }
    }
    Ok(())
}

fn condition(definition: &ConditionDefinition) -> Result<(), ModelFault> {
    match CompiledCondition::compile(definition) {
        Ok(_) => Ok(()),
        Err(fault) => refuse(format!("failed to compile expression on condition '{}': {fault}", definition.name)),
    }
}

fn invalid<T>(ty: &TypeDefinition, relation: &RelationDefinition, why: &str) -> Result<T, ModelFault> {
    let (t, r) = (&ty.name, &relation.name);
    refuse(format!("the definition of relation '{r}' in object type '{t}' is invalid: {why}"))
}

struct Rules<'a> {
    types: HashMap<&'a str, &'a TypeDefinition>,
    conditions: HashSet<&'a str>,
    reach: Reach<'a>,
}

/// What is found once for all relations of a type.
struct OfType<'a> {
    ty: &'a TypeDefinition,
    /// Relations after `from`.
    tuplesets: HashSet<&'a str>,
    loops: HashSet<&'a str>,
    cycles: HashSet<&'a str>,
}

fn tuplesets(ty: &TypeDefinition) -> HashSet<&str> {
    fn collect<'a>(rewrite: &'a Rewrite, found: &mut HashSet<&'a str>) {
        match rewrite {
            Rewrite::This | Rewrite::ComputedUserset { .. } => {}
            Rewrite::TupleToUserset { tupleset, .. } => {
                found.insert(tupleset);
            }
            Rewrite::Union(children) | Rewrite::Intersection(children) => {
                children.iter().for_each(|child| collect(child, found));
            }
            Rewrite::Exclusion { base, subtract } => {
                collect(base, found);
                collect(subtract, found);
            }
        }
    }
    let mut found = HashSet::new();
    ty.relations.iter().for_each(|relation| collect(&relation.rewrite, &mut found));
    found
}

fn contains_this(rewrite: &Rewrite) -> bool {
    match rewrite {
        Rewrite::This => true,
        Rewrite::ComputedUserset { .. } | Rewrite::TupleToUserset { .. } => false,
        Rewrite::Union(children) | Rewrite::Intersection(children) => children.iter().any(contains_this),
        Rewrite::Exclusion { base, subtract } => contains_this(base) || contains_this(subtract),
    }
}

impl Rules<'_> {
    fn relation(&self, of_type: &OfType<'_>, relation: &RelationDefinition) -> Result<(), ModelFault> {
        let (ty, r) = (of_type.ty, relation.name.as_str());
        self.rewrite(ty, relation, &relation.rewrite)?;
        self.restrictions(of_type, relation)?;
        if !self.reach.has(&ty.name, r) {
            let why = if of_type.loops.contains(r) { "potential loop" } else { "no entrypoints defined" };
            return invalid(ty, relation, why);
        }
        if of_type.cycles.contains(r) {
            return invalid(ty, relation, "an authorization model cannot contain a cycle");
        }
        Ok(())
    }

    fn rewrite(&self, ty: &TypeDefinition, relation: &RelationDefinition, rewrite: &Rewrite) -> Result<(), ModelFault> {
        let all = |children: &[Rewrite], what: &str| {
            if children.len() < 2 {
                return invalid(ty, relation, &format!("{what} has less than 2 children"));
            }
            children.iter().try_for_each(|child| self.rewrite(ty, relation, child))
        };
        match rewrite {
            Rewrite::This => Ok(()),
            Rewrite::ComputedUserset { relation: computed } if *computed == relation.name => {
                invalid(ty, relation, "invalid userset rewrite definition")
            }
            Rewrite::ComputedUserset { relation } => defined(ty, relation),
            Rewrite::TupleToUserset { tupleset, relation } => self.arrow(ty, tupleset, relation),
            Rewrite::Union(children) => all(children, "union"),
            Rewrite::Intersection(children) => all(children, "intersection"),
            Rewrite::Exclusion { base, subtract } => {
                self.rewrite(ty, relation, base)?;
                self.rewrite(ty, relation, subtract)
            }
        }
    }

    fn restrictions(&self, of_type: &OfType<'_>, relation: &RelationDefinition) -> Result<(), ModelFault> {
        let (t, r) = (&of_type.ty.name, &relation.name);
        match (contains_this(&relation.rewrite), relation.subject_types.is_empty()) {
            (true, true) => {
                let text = "must contain at least one relation type";
                return refuse(format!("the assignable relation '{r}' in object type '{t}' {text}"));
            }
            (false, false) => {
                let text = "should not contain a relation type";
                return refuse(format!("the non-assignable relation '{r}' in object type '{t}' {text}"));
            }
            (true, false) | (false, true) => {}
        }
        let leads = of_type.tuplesets.contains(r.as_str());
        for subject in &relation.subject_types {
            let known = self.types.get(subject.object_type.as_str());
            // OpenFGA prints a wildcard as its type.
            let (text, fine) = match &subject.kind {
                SubjectKind::Object => (subject.object_type.clone(), known.is_some()),
                SubjectKind::Wildcard => (subject.object_type.clone(), known.is_some() && !leads),
                SubjectKind::Userset(u) => {
                    let has = known.is_some_and(|ty| ty.relation(u).is_some());
                    (format!("{}#{u}", subject.object_type), has && !leads)
                }
            };
            if !fine {
                return refuse(format!("the relation type '{text}' on '{r}' in object type '{t}' is not valid"));
            }
            if let Some(condition) = subject.condition.as_deref().filter(|c| !self.conditions.contains(c)) {
                return refuse(format!("condition {condition} is undefined for relation {r}"));
            }
        }
        Ok(())
    }

    fn arrow(&self, ty: &TypeDefinition, tupleset: &str, relation: &str) -> Result<(), ModelFault> {
        defined(ty, tupleset)?;
        let Some(leading) = ty.relation(tupleset) else { return Ok(()) };
        if leading.rewrite != Rewrite::This {
            return refuse(format!(
                "the '{}#{tupleset}' relation is referenced in at least one tupleset and thus must be a direct relation",
                ty.name
            ));
        }
        let has = |name: &str| self.types.get(name).is_some_and(|t| t.relation(relation).is_some());
        if leading.subject_types.iter().any(|s| has(&s.object_type)) {
            return Ok(());
        }
        let types: Vec<String> = leading.subject_types.iter().map(|s| format!("type:\"{}\"", s.object_type)).collect();
        refuse(format!(
            "undefined relation: {relation} does not appear as a relation in any of the directly related user types [{}]",
            types.join(" ")
        ))
    }
}

fn defined(ty: &TypeDefinition, relation: &str) -> Result<(), ModelFault> {
    if ty.relation(relation).is_some() {
        return Ok(());
    }
    refuse(format!("'{}#{relation}' relation is undefined", ty.name))
}

#[cfg(test)]
mod tests;
