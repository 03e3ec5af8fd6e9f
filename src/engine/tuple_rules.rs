//! Which tuples a model allows, and in which column each belongs.

use super::types::TupleFault;
use crate::index::{ColumnIx, ColumnKey, RelationIx, StoreState, SubjectPart};
use crate::model::{Model, RelationDefinition, Rewrite, SubjectKind, TypeDefinition};
use crate::tuple::{Subject, Tuple};

/// The column of a tuple that the model allows. Its condition's context is checked by [`check_context`].
///
/// # Errors
/// What does not fit, in OpenFGA's words.
pub(crate) fn column_of(state: &StoreState, model: &Model, tuple: &Tuple) -> Result<ColumnIx, TupleFault> {
    let ty = model
        .object_type(&tuple.object.object_type)
        .ok_or_else(|| TupleFault::TypeNotFound { object_type: tuple.object.object_type.clone() })?;
    let relation = ty.relation(&tuple.relation).ok_or_else(|| TupleFault::RelationNotFound {
        object_type: ty.name.clone(),
        relation: tuple.relation.clone(),
    })?;
    known(model, &tuple.subject)?;
    if let Subject::Userset { object, relation } = &tuple.subject
        && *object == tuple.object
        && *relation == tuple.relation
    {
        return Err(TupleFault::Implicit);
    }
    if !matches!(tuple.subject, Subject::Object(_)) && leads(ty, &relation.name) {
        return Err(TupleFault::TuplesetSubject {
            subject: tuple.subject.to_string(),
            object_type: ty.name.clone(),
            relation: relation.name.clone(),
        });
    }
    restrictions(ty, relation, tuple, model)?;
    column_at(state, tuple).ok_or_else(|| not_allowed(ty, relation, tuple))
}

/// The column of a tuple whatever the model says; `None` when the store never had such a column.
pub(crate) fn column_at(state: &StoreState, tuple: &Tuple) -> Option<ColumnIx> {
    let subject_type = state.type_ix(tuple.subject.as_ref().object_type())?;
    let part = match &tuple.subject {
        Subject::Object(_) => SubjectPart::Object,
        Subject::Userset { relation, .. } => SubjectPart::Userset(state.relation_ix(relation)?),
        Subject::Wildcard { .. } => SubjectPart::Wildcard,
    };
    let object_type = state.type_ix(&tuple.object.object_type)?;
    let relation: RelationIx = state.relation_ix(&tuple.relation)?;
    state.column_ix(&ColumnKey { object_type, relation, subject_type, part })
}

fn known(model: &Model, subject: &Subject) -> Result<(), TupleFault> {
    let object_type = subject.as_ref().object_type();
    let ty = model
        .object_type(object_type)
        .ok_or_else(|| TupleFault::TypeNotFound { object_type: object_type.to_owned() })?;
    match subject {
        Subject::Userset { relation, .. } if ty.relation(relation).is_none() => {
            Err(TupleFault::RelationNotFound { object_type: object_type.to_owned(), relation: relation.clone() })
        }
        Subject::Object(_) | Subject::Userset { .. } | Subject::Wildcard { .. } => Ok(()),
    }
}

/// Whether a relation of the type is a tupleset: `parent` in `viewer from parent`.
fn leads(ty: &TypeDefinition, relation: &str) -> bool {
    fn inside(rewrite: &Rewrite, relation: &str) -> bool {
        match rewrite {
            Rewrite::TupleToUserset { tupleset, .. } => tupleset == relation,
            Rewrite::This | Rewrite::ComputedUserset { .. } => false,
            Rewrite::Union(children) | Rewrite::Intersection(children) => children.iter().any(|c| inside(c, relation)),
            Rewrite::Exclusion { base, subtract } => inside(base, relation) || inside(subtract, relation),
        }
    }
    ty.relations.iter().any(|r| inside(&r.rewrite, relation))
}

fn not_allowed(ty: &TypeDefinition, relation: &RelationDefinition, tuple: &Tuple) -> TupleFault {
    let subject_type = match &tuple.subject {
        Subject::Object(object) => object.object_type.clone(),
        Subject::Userset { object, relation } => format!("{}#{relation}", object.object_type),
        Subject::Wildcard { object_type } => format!("{object_type}:*"),
    };
    TupleFault::SubjectNotAllowed { subject_type, object_type: ty.name.clone(), relation: relation.name.clone() }
}

fn restrictions(
    ty: &TypeDefinition,
    relation: &RelationDefinition,
    tuple: &Tuple,
    model: &Model,
) -> Result<(), TupleFault> {
    let same_kind = |kind: &SubjectKind| match (kind, &tuple.subject) {
        (SubjectKind::Object, Subject::Object(_)) | (SubjectKind::Wildcard, Subject::Wildcard { .. }) => true,
        (SubjectKind::Userset(allowed), Subject::Userset { relation, .. }) => allowed == relation,
        (SubjectKind::Object | SubjectKind::Wildcard | SubjectKind::Userset(_), _) => false,
    };
    let subject_type = tuple.subject.as_ref().object_type();
    let mut entries =
        relation.subject_types.iter().filter(|s| s.object_type == subject_type && same_kind(&s.kind)).peekable();
    if entries.peek().is_none() {
        return Err(not_allowed(ty, relation, tuple));
    }
    let condition = tuple.condition.as_ref().map(|c| c.name.as_str());
    if entries.any(|s| s.condition.as_deref() == condition) {
        return Ok(());
    }
    Err(match condition {
        None => TupleFault::ConditionMissing,
        Some(name) if model.condition(name).is_none() => TupleFault::ConditionUndefined { condition: name.into() },
        Some(name) => TupleFault::ConditionNotAllowed { condition: name.into() },
    })
}

/// Checks the stored context of a tuple's condition.
pub(crate) fn check_context(plan: &super::plan::Plan, tuple: &Tuple) -> Result<(), TupleFault> {
    let Some(condition) = &tuple.condition else { return Ok(()) };
    let compiled = plan
        .condition(&condition.name)
        .ok_or_else(|| TupleFault::ConditionUndefined { condition: condition.name.clone() })?;
    let checked = match compiled {
        Ok(compiled) => compiled.check_stored_context(&condition.context),
        Err(fault) => Err(fault.clone()),
    };
    checked.map_err(|fault| TupleFault::ConditionContext { reason: fault.to_string() })
}
