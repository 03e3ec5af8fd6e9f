//! ListObjects: to which objects of a type does a subject have a relation?
//!
//! Works from the subject towards the objects, with whole sets: every relation that can lead to the one asked is a set of
//! objects, grown until nothing is new (semi-naive: only what was new in a round is followed in the next). Where sets
//! cannot say the exact answer (a condition that cannot be evaluated, a cycle through `but not`), they give an upper
//! bound, and every object in it is asked of Check.

use super::check::Checker;
use super::collection::Reads;
use super::plan::{Expr, NodeId, Part};
use super::types::{Decision, ListObjectsQuery, QuestionError};
use super::world::{Verdict, Who, World};
use crate::index::{ColumnIx, StoreState, TypeIx};
use crate::model::Model;
use crate::tuple::{ObjectSet, Ordinal};
use hashbrown::{HashMap, HashSet};

/// Hops that are followed to see that a cycle does not leave unknown what is subtracted. A list has no bound of the request's
/// on depth; behind this one each candidate is asked of Check, whose bound it is.
const CERTAIN_DEPTH_MAX: u32 = 200;

/// The objects that a question found, each once, as a set and as names.
#[derive(Clone, Debug)]
pub struct ListedObjects {
    state: StoreState,
    object_type: TypeIx,
    set: ObjectSet,
    /// Names that only the request knew.
    own: Vec<(Ordinal, String)>,
}

impl ListedObjects {
    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        usize::try_from(self.set.len()).unwrap_or(usize::MAX)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.set.is_empty()
    }

    /// Their ids, without the type.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.set.iter().filter_map(|ordinal| self.name(ordinal))
    }

    /// The ids behind the first `skip` ones, so that a list can be sent in parts.
    pub fn iter_from(&self, skip: usize) -> impl Iterator<Item = &str> {
        let skip = u32::try_from(skip).unwrap_or(u32::MAX);
        self.set.iter_from(skip).filter_map(|ordinal| self.name(ordinal))
    }

    fn name(&self, ordinal: Ordinal) -> Option<&str> {
        let own = || self.own.iter().find(|(o, _)| *o == ordinal).map(|(_, name)| name.as_str());
        self.state.name(self.object_type, ordinal).or_else(own)
    }
}

/// Answers the question. Limits are errors: the list is whole or there is none.
pub(crate) fn list_objects<'a>(
    world: &mut World<'a>,
    model: &Model,
    query: &ListObjectsQuery<'a>,
) -> Result<ListedObjects, QuestionError> {
    let (object_type, node) = world.node(model, query.object_type, query.relation)?;
    let who = world.who(query.subject)?;
    let mut set = match Sets::solve(world, who, node, Mode::Exact, None)? {
        Some((set, _)) => set,
        None => check_each(world, who, node)?,
    };
    set.optimize();
    Ok(ListedObjects { state: world.state.clone(), object_type, set, own: world.own_names(object_type) })
}

fn check_each(world: &mut World<'_>, who: Who, node: NodeId) -> Result<ObjectSet, QuestionError> {
    let candidates = Sets::solve(world, who, node, Mode::Upper, None)?.map(|(set, _)| set).unwrap_or_default();
    let mut set = ObjectSet::new();
    let mut checker = Checker::new(world, who);
    for object in &candidates {
        if checker.check(node, object)? == Decision::Allow {
            set.insert(object);
        }
    }
    Ok(set)
}

/// All objects of `node` that the subject has, and, when they were found from postings alone, which postings those were.
///
/// # Errors
/// As for [`list_objects`].
pub(super) fn solve_tracked(
    world: &mut World<'_>,
    who: Who,
    node: NodeId,
) -> Result<(ObjectSet, Option<Reads>), QuestionError> {
    let mut reads = Reads::new();
    let (mut set, tracked) = match Sets::solve(world, who, node, Mode::Exact, Some(&mut reads))? {
        Some((set, untracked)) => (set, !untracked),
        None => (check_each(world, who, node)?, false),
    };
    set.optimize();
    Ok((set, tracked.then_some(reads)))
}

/// Whether sets must be exact, or may be too large (never too small).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Exact,
    Upper,
}

/// A leaf of an expression: a place where objects come in. Numbered per node in the order of the walk.
type Leaf = (NodeId, usize);

struct Sets<'w, 'a> {
    world: &'w mut World<'a>,
    /// Where to note which postings are read.
    reads: Option<&'w mut Reads>,
    /// The answer depends on something else than postings: conditions, contextual tuples, checks.
    untracked: bool,
    who: Who,
    mode: Mode,
    totals: HashMap<NodeId, ObjectSet>,
    /// What was new in the last round.
    news: HashMap<NodeId, ObjectSet>,
    leaves: HashMap<Leaf, ObjectSet>,
    inexact: bool,
}

impl<'w, 'a> Sets<'w, 'a> {
    /// The set of objects of `node` and whether it depends on more than postings, or `None` when it cannot be exact.
    fn solve(
        world: &'w mut World<'a>,
        who: Who,
        node: NodeId,
        mode: Mode,
        reads: Option<&'w mut Reads>,
    ) -> Result<Option<(ObjectSet, bool)>, QuestionError> {
        let plan = world.plan;
        let untracked = !world.edges.is_empty();
        let (totals, news, leaves) = (HashMap::new(), HashMap::new(), HashMap::new());
        let mut sets = Sets { world, reads, untracked, who, mode, totals, news, leaves, inexact: false };
        for component in plan.components(node) {
            sets.component(component)?;
            if sets.inexact && mode == Mode::Exact {
                return Ok(None);
            }
        }
        Ok(Some((sets.totals.remove(&node).unwrap_or_default(), sets.untracked)))
    }

    /// Grows the relations of one component until nothing is new. All that they need outside of it is complete.
    fn component(&mut self, nodes: &[NodeId]) -> Result<(), QuestionError> {
        let plan = self.world.plan;
        let inside: HashSet<NodeId> = nodes.iter().copied().collect();
        let cyclic = nodes.iter().any(|n| plan.node(*n).recursive);
        if cyclic && nodes.iter().any(|n| excludes(&plan.node(*n).expr, &inside)) {
            self.inexact = true; // a cycle through `but not` has no least fixpoint
        }
        let mut first = true;
        loop {
            let mut grown: HashMap<NodeId, ObjectSet> = HashMap::new();
            for &id in nodes {
                self.world.visit()?;
                let mut counter = 0;
                let mut value = self.expr(id, &plan.node(id).expr, &inside, first, &mut counter)?;
                if let Who::Userset(n, object) = self.who
                    && first
                    && n == id
                {
                    value.insert(object);
                }
                let total = self.totals.entry(id).or_default();
                value.subtract(total);
                if !value.is_empty() {
                    total.union_with(&value);
                    grown.insert(id, value);
                }
            }
            self.news = grown;
            first = false;
            if !cyclic || self.news.is_empty() {
                self.news.clear();
                return Ok(());
            }
        }
    }

    /// The value of an expression; for a union, what came in this round is enough.
    fn expr(
        &mut self,
        id: NodeId,
        expr: &'a Expr,
        inside: &HashSet<NodeId>,
        first: bool,
        counter: &mut usize,
    ) -> Result<ObjectSet, QuestionError> {
        match expr {
            Expr::Direct(_) | Expr::Computed(_) | Expr::Arrow(_) => {
                let leaf = (id, *counter);
                *counter += 1;
                let fresh = self.leaf(expr, inside, first)?;
                let total = self.leaves.entry(leaf).or_default();
                total.union_with(&fresh);
                Ok(total.clone())
            }
            Expr::Union(children) => {
                let mut value = ObjectSet::new();
                for child in children {
                    value.union_with(&self.expr(id, child, inside, first, counter)?);
                }
                Ok(value)
            }
            Expr::Intersection(children) => {
                let mut value: Option<ObjectSet> = None;
                for child in children {
                    let other = self.expr(id, child, inside, first, counter)?;
                    value = Some(match value {
                        None => other,
                        Some(mut value) => {
                            value.intersect_with(&other);
                            value
                        }
                    });
                }
                Ok(value.unwrap_or_default())
            }
            Expr::Exclusion(base, subtract) => {
                let mut value = self.expr(id, base, inside, first, counter)?;
                let subtract_set = self.expr(id, subtract, inside, first, counter)?;
                if self.mode == Mode::Exact {
                    value.subtract(&subtract_set);
                    if !subtract.unsure(self.world.plan) {
                        return Ok(value);
                    }
                    return self.certain(id, subtract, &value);
                }
                Ok(value)
            }
        }
    }

    /// Those of `objects` for which what is subtracted is false for certain. A cycle in the data leaves it unknown, which sets
    /// do not show.
    fn certain(&mut self, id: NodeId, subtract: &'a Expr, objects: &ObjectSet) -> Result<ObjectSet, QuestionError> {
        self.untracked |= !objects.is_empty();
        let mut checker = Checker::new(self.world, self.who).with_depth_max(CERTAIN_DEPTH_MAX);
        let mut certain = ObjectSet::new();
        for object in objects {
            match checker.certainly_false(id, subtract, object)? {
                Some(true) => {
                    certain.insert(object);
                }
                Some(false) => {}
                None => {
                    self.inexact = true;
                    return Ok(ObjectSet::new());
                }
            }
        }
        Ok(certain)
    }

    /// What a leaf brings in this round.
    fn leaf(&mut self, expr: &'a Expr, inside: &HashSet<NodeId>, first: bool) -> Result<ObjectSet, QuestionError> {
        let mut out = ObjectSet::new();
        match expr {
            Expr::Computed(node) => {
                if let Some(set) = self.incoming(*node, inside, first) {
                    out.union_with(&set);
                }
            }
            Expr::Direct(directs) => {
                for direct in directs {
                    let mut from = ObjectSet::new();
                    match (direct.part, self.who) {
                        (Part::Object, Who::Object(t, o)) if first && t == direct.subject_type => {
                            from.insert(o);
                        }
                        (Part::Wildcard, Who::Object(t, _) | Who::Wildcard(t)) if first && t == direct.subject_type => {
                            from.insert(Ordinal(0));
                        }
                        (Part::Userset(node), _) => {
                            from = self.incoming(node, inside, first).unwrap_or_default();
                        }
                        (Part::Object | Part::Wildcard, _) => {}
                    }
                    self.follow(direct.column, &direct.gate, &from, &mut out)?;
                }
            }
            Expr::Arrow(arrows) => {
                for arrow in arrows {
                    let from = self.incoming(arrow.target, inside, first).unwrap_or_default();
                    self.follow(arrow.column, &arrow.gate, &from, &mut out)?;
                }
            }
            Expr::Union(_) | Expr::Intersection(_) | Expr::Exclusion(..) => {}
        }
        Ok(out)
    }

    /// What a node brings: all it has when it is complete, what was new when it still grows.
    fn incoming(&self, node: NodeId, inside: &HashSet<NodeId>, first: bool) -> Option<ObjectSet> {
        match (inside.contains(&node), first) {
            (false, true) => self.totals.get(&node).cloned(),
            (true, false) => self.news.get(&node).cloned(),
            (false, false) | (true, true) => None,
        }
    }

    /// Adds all objects that tuples of `column` relate to one of `from`.
    fn follow(
        &mut self,
        column: ColumnIx,
        gate: &'a super::plan::Gate,
        from: &ObjectSet,
        out: &mut ObjectSet,
    ) -> Result<(), QuestionError> {
        if let Some(reads) = &mut self.reads {
            reads.entry(column).or_default().union_with(from);
        }
        let stored = self.world.state.column(column);
        let mut few: Vec<Ordinal> = Vec::new();
        for subject in from {
            self.world.visit()?;
            if gate.plain {
                let postings = stored.objects(subject);
                if postings.len() > super::plan::SORTED_MAX {
                    postings.union_into(out);
                } else {
                    few.extend(postings.iter());
                }
            }
            if !gate.conditions.is_empty() && stored.has_conditional() {
                for &(object, class) in stored.conditional_objects(subject) {
                    self.untracked = true;
                    let verdict = self.world.verdict(gate, class);
                    self.admit(verdict, object, &mut few);
                }
            }
        }
        for i in 0..self.world.edges.len() {
            let Some(&edge) = self.world.edges.get(i) else { break };
            if edge.column == column && from.contains(edge.subject) {
                let verdict = self.world.edge_verdict(gate, edge);
                self.admit(verdict, edge.object, &mut few);
            }
        }
        few.sort_unstable();
        out.extend(few);
        Ok(())
    }

    fn admit(&mut self, verdict: Verdict, object: Ordinal, out: &mut Vec<Ordinal>) {
        match verdict {
            Verdict::Yes => out.push(object),
            Verdict::No => {}
            Verdict::Fault(_) => {
                self.inexact = true;
                out.push(object);
            }
        }
    }
}

/// Whether an expression subtracts something that depends on `inside`.
fn excludes(expr: &Expr, inside: &HashSet<NodeId>) -> bool {
    match expr {
        Expr::Direct(_) | Expr::Computed(_) | Expr::Arrow(_) => false,
        Expr::Union(children) | Expr::Intersection(children) => children.iter().any(|c| excludes(c, inside)),
        Expr::Exclusion(base, subtract) => excludes(base, inside) || subtract.asks(inside),
    }
}
