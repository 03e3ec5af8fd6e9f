//! Expand: which usersets make up a relation of an object? One level; conditions are neither evaluated nor shown. `witness.rs`
//! asks the same of tuples whose conditions are met.

use super::plan::{Direct, Part};
use super::types::{ExpandNode, ExpandQuery, QuestionError};
use super::world::{Verdict, World};
use crate::model::{Model, Rewrite};
use crate::tuple::{Object, Ordinal, Subject};

/// Which tuples count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    /// Those that the model allows.
    Allowed,
    /// Those of them whose condition is met, or that have none.
    Met,
}

/// Answers the question. Tuples that the model does not allow are left out.
pub(crate) fn expand<'a>(
    world: &mut World<'a>,
    model: &Model,
    query: &ExpandQuery<'a>,
    which: Which,
) -> Result<ExpandNode, QuestionError> {
    world.node(model, query.object.object_type, query.relation)?;
    let missing = || QuestionError::RelationNotFound {
        object_type: query.object.object_type.into(),
        relation: query.relation.into(),
    };
    let ty = model.object_type(query.object.object_type).ok_or_else(missing)?;
    let relation = ty.relation(query.relation).ok_or_else(missing)?;
    tree(world, model, (query, which), query.relation, &relation.rewrite)
}

fn tree<'a>(
    world: &mut World<'a>,
    model: &Model,
    (query, which): (&ExpandQuery<'a>, Which),
    relation: &str,
    rewrite: &Rewrite,
) -> Result<ExpandNode, QuestionError> {
    let all = |world: &mut World<'a>, children: &[Rewrite]| {
        children.iter().map(|c| tree(world, model, (query, which), relation, c)).collect::<Result<Vec<_>, _>>()
    };
    Ok(match rewrite {
        Rewrite::This => ExpandNode::Users(users(world, model, (query, which), relation)?),
        Rewrite::ComputedUserset { relation } => ExpandNode::Computed(format!("{}#{relation}", query.object)),
        Rewrite::TupleToUserset { tupleset, relation } => {
            let mut computed = Vec::new();
            for parent in users(world, model, (query, which), tupleset)? {
                if model.object_type(parent.as_ref().object_type()).is_some_and(|t| t.relation(relation).is_some()) {
                    computed.push(format!("{parent}#{relation}"));
                }
            }
            ExpandNode::TupleToUserset { tupleset: format!("{}#{tupleset}", query.object), computed }
        }
        Rewrite::Union(children) => ExpandNode::Union(all(world, children)?),
        Rewrite::Intersection(children) => ExpandNode::Intersection(all(world, children)?),
        Rewrite::Exclusion { base, subtract } => {
            let base = tree(world, model, (query, which), relation, base)?;
            ExpandNode::Difference(Box::new(base), Box::new(tree(world, model, (query, which), relation, subtract)?))
        }
    })
}

/// The subjects that tuples of a relation name, sorted as text.
fn users<'a>(
    world: &mut World<'a>,
    model: &Model,
    (query, which): (&ExpandQuery<'a>, Which),
    relation: &str,
) -> Result<Vec<Subject>, QuestionError> {
    let (t, node) = world.node(model, query.object.object_type, relation)?;
    let object = world.ordinal(t, query.object.id);
    let plan = world.plan;
    let mut directs = Vec::new();
    plan.node(node).expr.each_direct(&mut |d| directs.push(d));
    let mut subjects: Vec<(String, Subject)> = Vec::new();
    for direct in directs {
        for ordinal in stored(world, direct, object, which)? {
            let subject = named(world, direct, ordinal)?;
            subjects.push((subject.to_string(), subject));
        }
    }
    subjects.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    subjects.dedup_by(|a, b| a.0 == b.0);
    Ok(subjects.into_iter().map(|(_, s)| s).collect())
}

fn stored(
    world: &mut World<'_>,
    direct: &Direct,
    object: Ordinal,
    which: Which,
) -> Result<Vec<Ordinal>, QuestionError> {
    let column = world.state.column(direct.column);
    let mut found = Vec::new();
    if direct.gate.plain {
        found.extend(column.subjects(object).iter());
    }
    if column.has_conditional() {
        let allowed = |c: &str| direct.gate.conditions.iter().any(|name| name == c);
        for &(subject, class) in column.conditional_subjects(object) {
            let counts = match which {
                Which::Allowed => allowed(&world.state.class(class).condition),
                Which::Met => world.verdict(&direct.gate, class) == Verdict::Yes,
            };
            found.extend(counts.then_some(subject));
        }
    }
    let edges = world.edges.iter().filter(|e| e.column == direct.column && e.object == object);
    let edges: Vec<_> = edges.copied().collect();
    for edge in edges {
        let counts = which == Which::Allowed || world.edge_verdict(&direct.gate, edge) == Verdict::Yes;
        found.extend(counts.then_some(edge.subject));
    }
    for _ in &found {
        world.visit()?;
    }
    Ok(found)
}

fn named(world: &World<'_>, direct: &Direct, ordinal: Ordinal) -> Result<Subject, QuestionError> {
    let object_type = world.state.type_name(direct.subject_type).to_owned();
    if direct.part == Part::Wildcard {
        return Ok(Subject::Wildcard { object_type });
    }
    let id = world.name(direct.subject_type, ordinal).ok_or(QuestionError::Storage)?.to_owned();
    let object = Object { object_type, id };
    Ok(match world.state.column_key(direct.column).part {
        crate::index::SubjectPart::Userset(relation) => {
            Subject::Userset { object, relation: world.state.relation_name(relation).to_owned() }
        }
        crate::index::SubjectPart::Object | crate::index::SubjectPart::Wildcard => Subject::Object(object),
    })
}
