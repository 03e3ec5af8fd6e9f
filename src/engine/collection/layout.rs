//! The order in which rows are laid out, so that what a subject may see is a few runs of them.
//!
//! Every way by which the guard's relation reaches a subject is a column of the plan. Each object gets one primary parent
//! among the subjects of its tuples in those columns: what a hierarchy says first (the folder that holds it), then groups
//! (the team that it was shared with), then single subjects. The parents form a forest; objects are numbered as a walk of
//! the forest meets them, so that those below one folder, and one folder above, stand together.

use crate::engine::plan::{Expr, NodeId, Part, Plan};
use crate::index::{ColumnIx, StoreState, TypeIx};
use crate::tuple::{ObjectSet, Ordinal};
use hashbrown::HashMap;
use std::collections::{BTreeMap, BTreeSet};

/// Parents of one kind that are compared.
const PARENTS_MAX: usize = 64;
/// Steps from an object to the root of its tree; behind it a tree is cut.
const DEPTH_MAX: usize = 64;

/// An object of any type.
type Place = (TypeIx, Ordinal);

/// Kinds of parents, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Hierarchy,
    Group,
    Subject,
}

/// The columns that lead from a type to its parents.
type Ways = HashMap<TypeIx, BTreeSet<(Kind, ColumnIx)>>;

fn collect(object_type: TypeIx, expr: &Expr, ways: &mut Ways) {
    match expr {
        Expr::Direct(directs) => {
            for direct in directs {
                let kind = match direct.part {
                    Part::Object => Kind::Subject,
                    Part::Userset(_) => Kind::Group,
                    Part::Wildcard => continue, // everybody is no parent
                };
                ways.entry(object_type).or_default().insert((kind, direct.column));
            }
        }
        Expr::Arrow(arrows) => {
            let columns = arrows.iter().map(|arrow| (Kind::Hierarchy, arrow.column));
            ways.entry(object_type).or_default().extend(columns);
        }
        Expr::Computed(_) => {}
        Expr::Union(children) | Expr::Intersection(children) => {
            children.iter().for_each(|child| collect(object_type, child, ways));
        }
        // What is taken away does not bring objects together.
        Expr::Exclusion(base, _) => collect(object_type, base, ways),
    }
}

/// The primary parent of an object, if it has one.
fn parent(index: &StoreState, ways: &Ways, (object_type, object): Place) -> Option<Place> {
    let mut best: Option<((Kind, usize), Place)> = None;
    for &(kind, column) in ways.get(&object_type)? {
        if best.is_some_and(|((known, _), _)| known < kind) {
            break; // kinds ascend
        }
        let (subject_type, stored) = (index.column_key(column).subject_type, index.column(column));
        let conditional = stored.conditional_subjects(object).iter().map(|(subject, _)| *subject);
        for subject in stored.subjects(object).iter().chain(conditional).take(PARENTS_MAX) {
            let fan = stored.objects(subject).len();
            // The folder is nearer than the organization; the large team says more than the small one.
            let weight = if kind == Kind::Hierarchy { fan } else { usize::MAX - fan };
            let rank = ((kind, weight), (subject_type, subject));
            if best.is_none_or(|best| rank < best) && (subject_type, subject) != (object_type, object) {
                best = Some(rank);
            }
        }
    }
    best.map(|(_, parent)| parent)
}

/// A key for each object of `objects`: those that are seen together have near keys.
pub(super) fn keys(
    index: &StoreState,
    plan: &Plan,
    node: NodeId,
    object_type: TypeIx,
    objects: &ObjectSet,
) -> HashMap<Ordinal, u64> {
    let mut ways = Ways::new();
    for id in plan.components(node).iter().flatten() {
        let node = plan.node(*id);
        collect(node.object_type, &node.expr, &mut ways);
    }
    let mut parents: HashMap<Place, Option<Place>> = HashMap::new();
    let mut children: BTreeMap<Option<Place>, BTreeSet<Place>> = BTreeMap::new();
    for object in objects {
        let mut at = (object_type, object);
        let mut path = Vec::new();
        // Up to the root, or to where another object's path has been.
        while !parents.contains_key(&at) {
            let cut = path.len() >= DEPTH_MAX;
            let above = parent(index, &ways, at).filter(|above| !cut && !path.contains(above));
            parents.insert(at, above);
            children.entry(above).or_default().insert(at);
            path.push(at);
            let Some(above) = above else { break };
            at = above;
        }
    }
    number(&children, object_type)
}

/// Numbers the objects of a type as a walk from the roots meets them, each before those below it.
fn number(children: &BTreeMap<Option<Place>, BTreeSet<Place>>, object_type: TypeIx) -> HashMap<Ordinal, u64> {
    let below = |place: Option<Place>| children.get(&place).into_iter().flatten().rev().copied();
    let mut keys = HashMap::new();
    let mut open: Vec<Place> = below(None).collect();
    // Every place has one parent, so that the walk meets each once.
    while let Some(place) = open.pop() {
        if place.0 == object_type {
            keys.insert(place.1, keys.len() as u64);
        }
        open.extend(below(Some(place)));
    }
    keys
}
