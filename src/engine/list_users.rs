//! ListUsers: which subjects of a kind have a relation to an object?
//!
//! Walks from the object along every tuple that could count and gathers the subjects it meets; where the way passed only
//! unions they are the answer, else each is asked of Check. A wildcard is a subject of its own: `user:*` in the answer
//! means what is stored, and cannot say who is excluded from it.

use super::check::Checker;
use super::plan::{Direct, Expr, Gate, NodeId, Part};
use super::types::{Decision, ListUsersQuery, QuestionError};
use super::world::{Verdict, Who, World};
use crate::index::{ColumnIx, TypeIx};
use crate::model::Model;
use crate::tuple::{Object, Ordinal, Subject};
use hashbrown::HashMap;

/// Answers the question. Limits are errors: the list is whole or there is none.
pub(crate) fn list_users<'a>(
    world: &mut World<'a>,
    model: &Model,
    query: &ListUsersQuery<'a>,
) -> Result<Vec<Subject>, QuestionError> {
    let (object_type, node) = world.node(model, query.object.object_type, query.relation)?;
    let object = world.ordinal(object_type, query.object.id);
    let wanted = match query.subject_relation {
        Some(relation) => Wanted::Usersets(world.node(model, query.subject_type, relation)?.1),
        None => match (model.object_type(query.subject_type), world.state.type_ix(query.subject_type)) {
            (Some(_), Some(t)) => Wanted::Objects(t),
            _ => return Err(QuestionError::TypeNotFound { object_type: query.subject_type.into() }),
        },
    };
    let mut walk = Walk { world, wanted, found: HashMap::new(), star: None, unions_only: true, seen: HashMap::new() };
    walk.run(node, object)?;
    let Walk { found, star, unions_only, .. } = walk;
    let mut subjects = Vec::new();
    let mut has_star = star.is_some();
    if let (Some(_), Wanted::Objects(t)) = (star, wanted) {
        has_star = unions_only || allowed(world, Who::Wildcard(t), node, object)?;
        if has_star {
            subjects.push(Subject::Wildcard { object_type: query.subject_type.into() });
        }
    }
    let mut found: Vec<(Ordinal, Sign)> = found.into_iter().collect();
    found.sort_unstable_by_key(|(ordinal, _)| *ordinal);
    for (ordinal, sign) in found {
        let (who, named) = match wanted {
            Wanted::Objects(t) => (Who::Object(t, ordinal), t),
            Wanted::Usersets(n) => (Who::Userset(n, ordinal), world.plan.node(n).object_type),
        };
        if sign == Sign::Subtracted && has_star {
            continue; // met only below `but not`: the wildcard speaks for it
        }
        if unions_only || allowed(world, who, node, object)? {
            let id = world.name(named, ordinal).ok_or(QuestionError::Storage)?.to_owned();
            let object = Object { object_type: query.subject_type.into(), id };
            subjects.push(match query.subject_relation {
                None => Subject::Object(object),
                Some(relation) => Subject::Userset { object, relation: relation.into() },
            });
        }
    }
    Ok(subjects)
}

fn allowed(world: &mut World<'_>, who: Who, node: NodeId, object: Ordinal) -> Result<bool, QuestionError> {
    world.visit()?;
    Ok(Checker::new(world, who).check(node, object)? == Decision::Allow)
}

#[derive(Clone, Copy)]
enum Wanted {
    Objects(TypeIx),
    Usersets(NodeId),
}

/// On which side of a `but not` a subject was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Sign {
    Granted,
    Subtracted,
}

type Place = (NodeId, Ordinal, Sign);

struct Walk<'w, 'a> {
    world: &'w mut World<'a>,
    wanted: Wanted,
    found: HashMap<Ordinal, Sign>,
    star: Option<Sign>,
    unions_only: bool,
    seen: HashMap<Place, ()>,
}

/// Places to visit: at this depth, and one hop on.
#[derive(Default)]
struct Fringe {
    here: Vec<Place>,
    next: Vec<Place>,
}

impl<'a> Walk<'_, 'a> {
    /// Visits all that leads to the object, nearest first, so that the bound on depth counts the fewest hops.
    fn run(&mut self, node: NodeId, object: Ordinal) -> Result<(), QuestionError> {
        let plan = self.world.plan;
        let mut fringe = Fringe { here: vec![(node, object, Sign::Granted)], next: Vec::new() };
        let mut depth = 0;
        while !fringe.here.is_empty() {
            while let Some(place) = fringe.here.pop() {
                if !self.leads(place.0) || self.seen.insert(place, ()).is_some() {
                    continue;
                }
                // One hop less than Check takes, as OpenFGA has it.
                if depth >= self.world.limits.depth_max {
                    return Err(QuestionError::DepthExceeded { depth_max: self.world.limits.depth_max });
                }
                self.world.visit()?;
                if matches!(self.wanted, Wanted::Usersets(n) if n == place.0) {
                    meet(self.found.entry(place.1).or_insert(place.2), place.2);
                }
                self.expr(&plan.node(place.0).expr, place, &mut fringe)?;
            }
            fringe.here = std::mem::take(&mut fringe.next);
            depth += 1;
        }
        Ok(())
    }

    fn leads(&self, node: NodeId) -> bool {
        let node = self.world.plan.node(node);
        match self.wanted {
            Wanted::Objects(t) => node.reaches_type(t),
            Wanted::Usersets(n) => node.passes(n),
        }
    }

    fn expr(&mut self, expr: &'a Expr, place: Place, fringe: &mut Fringe) -> Result<(), QuestionError> {
        let (_, object, sign) = place;
        match expr {
            Expr::Direct(directs) => {
                for direct in directs {
                    self.direct(direct, object, sign, fringe)?;
                }
            }
            Expr::Computed(node) => fringe.here.push((*node, object, sign)),
            Expr::Arrow(arrows) => {
                for arrow in arrows {
                    let next = &mut fringe.next;
                    self.subjects(arrow.column, &arrow.gate, object, &mut |_, o| next.push((arrow.target, o, sign)))?;
                }
            }
            Expr::Union(children) => {
                for child in children {
                    self.expr(child, place, fringe)?;
                }
            }
            Expr::Intersection(children) => {
                self.unions_only = false;
                for child in children {
                    self.expr(child, place, fringe)?;
                }
            }
            Expr::Exclusion(base, subtract) => {
                self.unions_only = false;
                self.expr(base, place, fringe)?;
                self.expr(subtract, (place.0, object, Sign::Subtracted), fringe)?;
            }
        }
        Ok(())
    }

    fn direct(
        &mut self,
        direct: &'a Direct,
        object: Ordinal,
        sign: Sign,
        fringe: &mut Fringe,
    ) -> Result<(), QuestionError> {
        let wanted = matches!(self.wanted, Wanted::Objects(t) if t == direct.subject_type);
        match direct.part {
            Part::Userset(node) => {
                let next = &mut fringe.next;
                self.subjects(direct.column, &direct.gate, object, &mut |_, o| next.push((node, o, sign)))
            }
            Part::Object if wanted => self.subjects(direct.column, &direct.gate, object, &mut |walk, o| {
                meet(walk.found.entry(o).or_insert(sign), sign);
            }),
            Part::Wildcard if wanted => self.subjects(direct.column, &direct.gate, object, &mut |walk, _| {
                meet(walk.star.get_or_insert(sign), sign);
            }),
            Part::Object | Part::Wildcard => Ok(()),
        }
    }

    /// Calls `each` for every subject that a tuple of `column` relates to `object`, unless its condition is not met.
    fn subjects(
        &mut self,
        column: ColumnIx,
        gate: &'a Gate,
        object: Ordinal,
        each: &mut dyn FnMut(&mut Self, Ordinal),
    ) -> Result<(), QuestionError> {
        let stored = self.world.state.column(column);
        if gate.plain {
            for subject in stored.subjects(object).iter() {
                self.world.visit()?;
                each(self, subject);
            }
        }
        if !gate.conditions.is_empty() && stored.has_conditional() {
            for &(subject, class) in stored.conditional_subjects(object) {
                let verdict = self.world.verdict(gate, class);
                self.admit(verdict, subject, each);
            }
        }
        for i in 0..self.world.edges.len() {
            let Some(&edge) = self.world.edges.get(i) else { break };
            if edge.column == column && edge.object == object {
                let verdict = self.world.edge_verdict(gate, edge);
                self.admit(verdict, edge.subject, each);
            }
        }
        Ok(())
    }

    fn admit(&mut self, verdict: Verdict, subject: Ordinal, each: &mut dyn FnMut(&mut Self, Ordinal)) {
        match verdict {
            Verdict::No => {}
            Verdict::Yes => each(self, subject),
            Verdict::Fault(_) => {
                self.unions_only = false; // Check decides whether the error matters
                each(self, subject);
            }
        }
    }
}

fn meet(known: &mut Sign, sign: Sign) {
    *known = (*known).min(sign);
}
