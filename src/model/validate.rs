//! The rules that a model must keep before a store takes it, with OpenFGA's texts (those of WriteAuthorizationModel).

use super::ast::{Model, RelationDefinition, Rewrite, SubjectKind, TypeDefinition};
use super::condition::CompiledCondition;
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
    let mut names = HashSet::new();
    for ty in &model.types {
        if ty.name.is_empty() {
            return refuse("the type name of a type definition cannot be an empty string");
        }
        if matches!(ty.name.as_str(), "self" | "this") {
            return refuse(format!("the definition of type '{}' is invalid", ty.name));
        }
        if !names.insert(ty.name.as_str()) {
            let reason = "an authorization model cannot contain duplicate types".into();
            return Err(ModelFault { reason, duplicate_types: true });
        }
    }
    let rules = Rules { model };
    for ty in &model.types {
        for relation in &ty.relations {
            rules.relation(ty, relation)?;
        }
    }
    for condition in &model.conditions {
        if let Err(fault) = CompiledCondition::compile(condition) {
            return refuse(format!("failed to compile expression on condition '{}' - {fault}", condition.name));
        }
    }
    for ty in &model.types {
        for relation in &ty.relations {
            rules.computed_cycle(ty, relation)?;
        }
    }
    rules.entrypoints()
}

struct Rules<'a> {
    model: &'a Model,
}

/// Calls `visit` for a rewrite and all inside it.
fn each<'a>(
    rewrite: &'a Rewrite,
    visit: &mut dyn FnMut(&'a Rewrite) -> Result<(), ModelFault>,
) -> Result<(), ModelFault> {
    visit(rewrite)?;
    match rewrite {
        Rewrite::This | Rewrite::ComputedUserset { .. } | Rewrite::TupleToUserset { .. } => Ok(()),
        Rewrite::Union(children) | Rewrite::Intersection(children) => children.iter().try_for_each(|c| each(c, visit)),
        Rewrite::Exclusion { base, subtract } => {
            each(base, visit)?;
            each(subtract, visit)
        }
    }
}

impl<'a> Rules<'a> {
    fn relation(&self, ty: &TypeDefinition, relation: &RelationDefinition) -> Result<(), ModelFault> {
        let (t, r) = (&ty.name, &relation.name);
        if r.is_empty() {
            return refuse(format!("type '{t}' defines a relation with an empty string for a name"));
        }
        if matches!(r.as_str(), "self" | "this") {
            let why = "self and this are reserved keywords";
            return refuse(format!("the definition of relation '{r}' in object type '{t}' is invalid: {why}"));
        }
        let invalid = |why: &str| format!("the definition of relation '{r}' in object type '{t}' is invalid: {why}");
        let mut assignable = false;
        each(&relation.rewrite, &mut |rewrite| match rewrite {
            Rewrite::This => {
                assignable = true;
                Ok(())
            }
            Rewrite::ComputedUserset { relation } if relation == r => {
                refuse(invalid("invalid userset rewrite definition"))
            }
            Rewrite::ComputedUserset { relation } => defined(ty, relation),
            Rewrite::TupleToUserset { tupleset, relation } => self.arrow(ty, tupleset, relation),
            Rewrite::Union(children) if children.len() < 2 => refuse(invalid("union has less than 2 children")),
            Rewrite::Intersection(children) if children.len() < 2 => {
                refuse(invalid("intersection has less than 2 children"))
            }
            Rewrite::Union(_) | Rewrite::Intersection(_) | Rewrite::Exclusion { .. } => Ok(()),
        })?;
        match (assignable, relation.subject_types.is_empty()) {
            (true, true) => refuse(format!(
                "the assignable relation '{r}' in object type '{t}' must contain at least one relation type"
            )),
            (false, false) => refuse(format!(
                "the non-assignable relation '{r}' in object type '{t}' should not contain a relation type"
            )),
            (true, false) | (false, true) => self.restrictions(ty, relation),
        }
    }

    fn restrictions(&self, ty: &TypeDefinition, relation: &RelationDefinition) -> Result<(), ModelFault> {
        for subject in &relation.subject_types {
            let known = self.model.object_type(&subject.object_type);
            let (text, fine) = match &subject.kind {
                SubjectKind::Object => (subject.object_type.clone(), known.is_some()),
                SubjectKind::Wildcard => (format!("{}:*", subject.object_type), known.is_some()),
                SubjectKind::Userset(r) => {
                    (format!("{}#{r}", subject.object_type), known.is_some_and(|t| t.relation(r).is_some()))
                }
            };
            let plain = subject.kind == SubjectKind::Object || !leads(ty, &relation.name);
            if !fine || !plain {
                return refuse(format!(
                    "the relation type '{text}' on '{}' in object type '{}' is not valid",
                    relation.name, ty.name
                ));
            }
            if let Some(condition) = &subject.condition
                && self.model.condition(condition).is_none()
            {
                return refuse(format!("condition {condition} is undefined for relation {}", relation.name));
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
        let has = |name: &str| self.model.object_type(name).is_some_and(|t| t.relation(relation).is_some());
        if leading.subject_types.iter().any(|s| has(&s.object_type)) {
            return Ok(());
        }
        let types: Vec<&str> = leading.subject_types.iter().map(|s| s.object_type.as_str()).collect();
        refuse(format!(
            "undefined relation: {relation} does not appear as a relation in any of the directly related user types {}",
            types.join(", ")
        ))
    }

    /// Refuses relations of one object that are computed from each other in a ring.
    fn computed_cycle(&self, ty: &'a TypeDefinition, relation: &'a RelationDefinition) -> Result<(), ModelFault> {
        let mut seen = HashSet::new();
        let mut stack = vec![relation];
        while let Some(current) = stack.pop() {
            each(&current.rewrite, &mut |rewrite| {
                if let Rewrite::ComputedUserset { relation: next } = rewrite {
                    if *next == relation.name {
                        return refuse(format!(
                            "the definition of relation '{}' in object type '{}' is invalid: an authorization model \
                             cannot contain a cycle",
                            relation.name, ty.name
                        ));
                    }
                    if let Some(next) = ty.relation(next).filter(|n| seen.insert(n.name.as_str())) {
                        stack.push(next);
                    }
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Refuses relations that no tuple can ever grant.
    fn entrypoints(&self) -> Result<(), ModelFault> {
        let mut open: HashMap<(&str, &str), bool> = HashMap::new();
        loop {
            let before = open.len();
            for ty in &self.model.types {
                for relation in &ty.relations {
                    if self.enters(ty, relation, &relation.rewrite, &open) {
                        open.insert((ty.name.as_str(), relation.name.as_str()), true);
                    }
                }
            }
            if open.len() == before {
                break;
            }
        }
        for ty in &self.model.types {
            for relation in &ty.relations {
                if !open.contains_key(&(ty.name.as_str(), relation.name.as_str())) {
                    return refuse(format!(
                        "the definition of relation '{}' in object type '{}' is invalid: no entrypoints defined",
                        relation.name, ty.name
                    ));
                }
            }
        }
        Ok(())
    }

    fn enters(
        &self,
        ty: &TypeDefinition,
        relation: &RelationDefinition,
        rewrite: &Rewrite,
        open: &HashMap<(&str, &str), bool>,
    ) -> bool {
        let has = |t: &str, r: &str| open.contains_key(&(t, r));
        match rewrite {
            Rewrite::This => relation.subject_types.iter().any(|s| match &s.kind {
                SubjectKind::Object | SubjectKind::Wildcard => true,
                SubjectKind::Userset(r) => has(&s.object_type, r),
            }),
            Rewrite::ComputedUserset { relation } => has(&ty.name, relation),
            Rewrite::TupleToUserset { tupleset, relation } => ty
                .relation(tupleset)
                .is_some_and(|leading| leading.subject_types.iter().any(|s| has(&s.object_type, relation))),
            Rewrite::Union(children) => children.iter().any(|c| self.enters(ty, relation, c, open)),
            Rewrite::Intersection(children) => children.iter().all(|c| self.enters(ty, relation, c, open)),
            Rewrite::Exclusion { base, subtract } => {
                self.enters(ty, relation, base, open) && self.enters(ty, relation, subtract, open)
            }
        }
    }
}

fn defined(ty: &TypeDefinition, relation: &str) -> Result<(), ModelFault> {
    if ty.relation(relation).is_some() {
        return Ok(());
    }
    refuse(format!("'{}#{relation}' relation is undefined", ty.name))
}

/// Whether a relation of the type is a tupleset.
fn leads(ty: &TypeDefinition, relation: &str) -> bool {
    let mut found = false;
    for definition in &ty.relations {
        let _ = each(&definition.rewrite, &mut |rewrite| {
            found |= matches!(rewrite, Rewrite::TupleToUserset { tupleset, .. } if tupleset == relation);
            Ok(())
        });
    }
    found
}
