//! The plan of a model in one store: every relation as an expression over columns of the index.
//!
//! Compiled once for a model and a store, kept until the store's dictionaries change. A tuple that no longer fits the
//! model is ignored because the plan probes only the columns, and only the conditions, that the model allows.

use crate::index::{ColumnIx, ColumnKey, RelationIx, StoreState, SubjectPart, TypeIx};
use crate::model::{
    CompiledCondition, ConditionFault, Model, RelationDefinition, Rewrite, SubjectKind, TypeDefinition,
};
use hashbrown::{HashMap, HashSet};
use std::cell::RefCell;

/// Postings longer than this are joined as bitmaps; shorter ones are gathered and sorted.
pub(crate) const SORTED_MAX: usize = 512;

/// The number of a column of direct tuples within a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SlotId(pub(crate) u16);

/// A column of direct tuples that some relation of the model reads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot {
    pub(crate) column: ColumnIx,
    pub(crate) subject_type: TypeIx,
    pub(crate) part: Part,
}

/// A set of slots.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct SlotSet(Vec<u64>);

impl SlotSet {
    /// No slots, in the place of what was there.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Every slot.
    pub(crate) fn fill(&mut self, slots: usize) {
        self.0.clear();
        self.0.resize(slots.div_ceil(64), u64::MAX);
    }

    /// Adds a slot.
    pub(crate) fn insert(&mut self, slot: SlotId) {
        let word = usize::from(slot.0 / 64);
        if word >= self.0.len() {
            self.0.resize(word + 1, 0);
        }
        if let Some(bits) = self.0.get_mut(word) {
            *bits |= 1 << (slot.0 % 64);
        }
    }

    /// Whether a slot is in it.
    pub(crate) fn contains(&self, slot: SlotId) -> bool {
        self.0.get(usize::from(slot.0 / 64)).is_some_and(|bits| bits >> (slot.0 % 64) & 1 == 1)
    }

    /// Whether the two share a slot.
    pub(crate) fn intersects(&self, other: &SlotSet) -> bool {
        self.0.iter().zip(&other.0).any(|(a, b)| a & b != 0)
    }

    /// Adds all of `other`; true when that changed something.
    fn union_with(&mut self, other: &SlotSet) -> bool {
        let before = self.clone();
        self.0.resize(self.0.len().max(other.0.len()), 0);
        self.0.iter_mut().zip(&other.0).for_each(|(a, b)| *a |= b);
        *self != before
    }

    /// The slots, ascending.
    pub(crate) fn iter(&self) -> impl Iterator<Item = SlotId> + '_ {
        self.0.iter().zip(0_u16..).flat_map(|(bits, word)| {
            (0..64_u16).filter(move |bit| bits >> bit & 1 == 1).map(move |bit| SlotId(word * 64 + bit))
        })
    }
}

/// The number of a relation of a type within a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct NodeId(pub(crate) u32);

/// See the file's head.
#[derive(Debug)]
pub(crate) struct Plan {
    nodes: Vec<Node>,
    by_name: HashMap<(TypeIx, RelationIx), NodeId>,
    /// One that no longer compiles keeps its fault, so that a tuple under it is an error and never just no grant.
    conditions: HashMap<String, Result<CompiledCondition, ConditionFault>>,
    types: HashSet<TypeIx>,
    slots: Vec<Slot>,
    /// For each node, which gatherable nodes read it. Same length as `nodes`.
    readers: Vec<Vec<Reader>>,
}

/// A gatherable node that has what another node has: of the same object, or through the tuples of a column.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader {
    pub(crate) node: NodeId,
    pub(crate) column: Option<ColumnIx>,
}

/// A relation of a type.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) object_type: TypeIx,
    pub(crate) expr: Expr,
    /// Types whose objects (or wildcard) can stand at the end of a path from here.
    subject_types: Box<[bool]>,
    /// Nodes that a path from here can pass, this one included.
    passes: HashSet<NodeId>,
    /// Whether the node and all that it passes are unions of tuples and computed relations without conditions, so that
    /// a subject's memberships can be gathered from its own side.
    pub(crate) gatherable: bool,
    /// Whether the node is answered by probing tuples, without going on.
    pub(crate) leaf: bool,
    /// Whether the node can pass itself.
    pub(crate) recursive: bool,
    /// Whether "nothing leads to the subject" may stand for false. Not below `but not` where a cycle in the data can leave the
    /// node unknown: what is unknown there is no grant, and what is false is one.
    pub(crate) prunable: bool,
    /// Slots of which one must hold a tuple of the subject, or of a userset it belongs to, for the node to be true: those
    /// that a path without `but not` can end in.
    pub(crate) positive: SlotSet,
    /// The same, and those that a path through `but not` can end in: all that an answer can depend on.
    pub(crate) depends: SlotSet,
    /// See [`Plan::components`].
    components: Vec<Vec<NodeId>>,
}

/// How a relation is computed.
#[derive(Debug)]
pub(crate) enum Expr {
    /// Tuples of these columns.
    Direct(Vec<Direct>),
    /// Another relation of the same object.
    Computed(NodeId),
    /// A relation of the objects that these columns lead to.
    Arrow(Vec<Arrow>),
    /// Any of them; the cheap ones come first.
    Union(Vec<Expr>),
    /// All of them.
    Intersection(Vec<Expr>),
    /// The first, unless the second.
    Exclusion(Box<Expr>, Box<Expr>),
}

/// Which tuples of a column the model allows.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    /// Those without a condition.
    pub(crate) plain: bool,
    /// Those with one of these conditions.
    pub(crate) conditions: Vec<String>,
}

/// A kind of subject that a relation's tuples may name.
#[derive(Debug)]
pub(crate) struct Direct {
    pub(crate) slot: SlotId,
    pub(crate) column: ColumnIx,
    pub(crate) subject_type: TypeIx,
    pub(crate) part: Part,
    pub(crate) gate: Gate,
}

/// See [`Direct`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Object,
    Wildcard,
    Userset(NodeId),
}

/// One type of object that a tupleset leads to, and the relation asked there.
#[derive(Debug)]
pub(crate) struct Arrow {
    pub(crate) column: ColumnIx,
    pub(crate) gate: Gate,
    pub(crate) target: NodeId,
}

impl Plan {
    /// Compiles `model` for the store whose dictionaries already know all its types, relations and columns.
    ///
    /// What the dictionaries do not know has no tuples, and is left out.
    pub(crate) fn compile(model: &Model, state: &StoreState) -> Plan {
        let mut by_name = HashMap::new();
        let mut order = Vec::new();
        for ty in &model.types {
            for relation in &ty.relations {
                if let (Some(t), Some(r)) = (state.type_ix(&ty.name), state.relation_ix(&relation.name)) {
                    let id = NodeId(u32::try_from(order.len()).unwrap_or(u32::MAX));
                    by_name.insert((t, r), id);
                    order.push((t, r, ty, relation));
                }
            }
        }
        let compiler = Compiler { state, by_name: &by_name, slots: RefCell::default() };
        let mut nodes: Vec<Node> = order
            .iter()
            .map(|&(t, r, ty, relation)| Node {
                object_type: t,
                expr: compiler.expr(t, r, ty, relation, &relation.rewrite),
                subject_types: Box::default(),
                leaf: false,
                passes: HashSet::new(),
                gatherable: false,
                recursive: false,
                prunable: true,
                positive: SlotSet::default(),
                depends: SlotSet::default(),
                components: Vec::new(),
            })
            .collect();
        derive(&mut nodes);
        reach(&mut nodes);
        let conditions = model.conditions.iter().map(|c| (c.name.clone(), CompiledCondition::compile(c))).collect();
        let readers = readers(&nodes);
        let types = model.types.iter().filter_map(|t| state.type_ix(&t.name)).collect();
        let slots = compiler.slots.into_inner();
        Plan { nodes, by_name, conditions, types, slots, readers }
    }

    /// The node of a relation, when the model defines it.
    pub(crate) fn node_of(&self, object_type: TypeIx, relation: RelationIx) -> Option<NodeId> {
        self.by_name.get(&(object_type, relation)).copied()
    }

    /// Whether the model defines a type.
    pub(crate) fn has_type(&self, object_type: TypeIx) -> bool {
        self.types.contains(&object_type)
    }

    /// The node itself. Ids are made only by [`Plan::compile`], for this plan.
    #[expect(clippy::indexing_slicing, reason = "NodeIds are positions in `nodes`, made only by compile")]
    pub(crate) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0 as usize]
    }

    /// The nodes that `root` passes, in groups of nodes that pass each other, each group behind all that it needs.
    pub(crate) fn components(&self, root: NodeId) -> &[Vec<NodeId>] {
        self.node(root).components.as_slice()
    }

    /// The gatherable nodes that read `id`.
    pub(crate) fn readers(&self, id: NodeId) -> &[Reader] {
        self.readers.get(id.0 as usize).map_or(&[], Vec::as_slice)
    }

    /// How many slots there are.
    pub(crate) fn slots(&self) -> usize {
        self.slots.len()
    }

    /// The slot itself.
    pub(crate) fn slot(&self, id: SlotId) -> Option<Slot> {
        self.slots.get(usize::from(id.0)).copied()
    }

    /// The slot of a column.
    pub(crate) fn slot_of(&self, column: ColumnIx) -> Option<SlotId> {
        self.slots.iter().zip(0_u16..).find(|(s, _)| s.column == column).map(|(_, i)| SlotId(i))
    }

    /// The compiled condition of that name, or why it is none; nothing when the model has no such condition.
    pub(crate) fn condition(&self, name: &str) -> Option<Result<&CompiledCondition, &ConditionFault>> {
        self.conditions.get(name).map(Result::as_ref)
    }
}

impl Node {
    /// Whether an object (or the wildcard) of `subject_type` can be found from here.
    pub(crate) fn reaches_type(&self, subject_type: TypeIx) -> bool {
        self.subject_types.get(usize::from(subject_type.0)).copied().unwrap_or(false)
    }

    /// Whether a path from here can pass `node`.
    pub(crate) fn passes(&self, node: NodeId) -> bool {
        self.passes.contains(&node)
    }

    /// All nodes that a path from here can pass, this one included.
    pub(crate) fn passed(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.passes.iter().copied()
    }
}

impl Expr {
    /// Whether one of `nodes` is asked directly.
    pub(crate) fn asks(&self, nodes: &HashSet<NodeId>) -> bool {
        let mut found = false;
        walk(self, &mut |_| {}, &mut |n| found |= nodes.contains(&n));
        found
    }

    /// Whether a cycle in the data can leave it unknown where that matters, see [`Node::prunable`].
    pub(crate) fn unsure(&self, plan: &Plan) -> bool {
        let mut found = false;
        walk(self, &mut |_| {}, &mut |n| found |= !plan.node(n).prunable);
        found
    }

    /// Every direct column that a union holds itself.
    pub(crate) fn each_direct<'a>(&'a self, visit: &mut dyn FnMut(&'a Direct)) {
        walk(self, visit, &mut |_| {});
    }
}

struct Compiler<'a> {
    state: &'a StoreState,
    by_name: &'a HashMap<(TypeIx, RelationIx), NodeId>,
    slots: RefCell<Vec<Slot>>,
}

impl Compiler<'_> {
    fn expr(
        &self,
        t: TypeIx,
        r: RelationIx,
        ty: &TypeDefinition,
        relation: &RelationDefinition,
        rewrite: &Rewrite,
    ) -> Expr {
        let list = |children: &[Rewrite]| children.iter().map(|c| self.expr(t, r, ty, relation, c)).collect::<Vec<_>>();
        match rewrite {
            Rewrite::This => Expr::Direct(self.directs(t, r, relation)),
            Rewrite::ComputedUserset { relation } => match self.named(t, relation) {
                Some(node) => Expr::Computed(node),
                None => Expr::Union(Vec::new()),
            },
            Rewrite::TupleToUserset { tupleset, relation } => Expr::Arrow(self.arrows(t, ty, tupleset, relation)),
            Rewrite::Union(children) => {
                let mut children = list(children);
                children.sort_by_key(cost);
                Expr::Union(children)
            }
            Rewrite::Intersection(children) => {
                let mut children = list(children);
                children.sort_by_key(cost);
                Expr::Intersection(children)
            }
            Rewrite::Exclusion { base, subtract } => Expr::Exclusion(
                Box::new(self.expr(t, r, ty, relation, base)),
                Box::new(self.expr(t, r, ty, relation, subtract)),
            ),
        }
    }

    fn named(&self, t: TypeIx, relation: &str) -> Option<NodeId> {
        self.by_name.get(&(t, self.state.relation_ix(relation)?)).copied()
    }

    /// The columns of a relation, one for each kind of subject, with all conditions under which it is allowed.
    fn directs(&self, t: TypeIx, r: RelationIx, relation: &RelationDefinition) -> Vec<Direct> {
        let mut directs: Vec<Direct> = Vec::new();
        for allowed in &relation.subject_types {
            let Some(subject_type) = self.state.type_ix(&allowed.object_type) else { continue };
            let (part, key_part) = match &allowed.kind {
                SubjectKind::Object => (Part::Object, SubjectPart::Object),
                SubjectKind::Wildcard => (Part::Wildcard, SubjectPart::Wildcard),
                SubjectKind::Userset(name) => {
                    let Some(ix) = self.state.relation_ix(name) else { continue };
                    let Some(node) = self.by_name.get(&(subject_type, ix)) else { continue };
                    (Part::Userset(*node), SubjectPart::Userset(ix))
                }
            };
            let key = ColumnKey { object_type: t, relation: r, subject_type, part: key_part };
            let Some(column) = self.state.column_ix(&key) else { continue };
            let at = directs.iter().position(|d| d.column == column).unwrap_or_else(|| {
                let slot = self.slot(Slot { column, subject_type, part });
                directs.push(Direct { slot, column, subject_type, part, gate: Gate::default() });
                directs.len() - 1
            });
            if let Some(direct) = directs.get_mut(at) {
                match &allowed.condition {
                    None => direct.gate.plain = true,
                    Some(name) => direct.gate.conditions.push(name.clone()),
                }
            }
        }
        directs
    }

    /// Numbers a column. A store has fewer than 65,535 of them.
    fn slot(&self, slot: Slot) -> SlotId {
        let mut slots = self.slots.borrow_mut();
        let at = slots.iter().position(|s| s.column == slot.column).unwrap_or_else(|| {
            slots.push(slot);
            slots.len() - 1
        });
        SlotId(u16::try_from(at).unwrap_or(u16::MAX))
    }

    fn arrows(&self, t: TypeIx, ty: &TypeDefinition, tupleset: &str, relation: &str) -> Vec<Arrow> {
        let Some(definition) = ty.relation(tupleset) else { return Vec::new() };
        let Some(r) = self.state.relation_ix(tupleset) else { return Vec::new() };
        let directs = self.directs(t, r, definition).into_iter();
        directs
            .filter(|d| d.part == Part::Object)
            .filter_map(|d| {
                let target = self.named(d.subject_type, relation)?;
                Some(Arrow { column: d.column, gate: d.gate, target })
            })
            .collect()
    }
}

fn cost(expr: &Expr) -> u8 {
    match expr {
        Expr::Direct(_) => 0,
        Expr::Computed(_) => 1,
        Expr::Arrow(_) => 2,
        Expr::Union(_) | Expr::Intersection(_) | Expr::Exclusion(..) => 3,
    }
}

/// Calls `visit` with every direct column and `next` with every node that an expression asks.
fn walk<'a>(expr: &'a Expr, visit: &mut dyn FnMut(&'a Direct), next: &mut dyn FnMut(NodeId)) {
    match expr {
        Expr::Direct(directs) => {
            for direct in directs {
                visit(direct);
                if let Part::Userset(node) = direct.part {
                    next(node);
                }
            }
        }
        Expr::Computed(node) => next(*node),
        Expr::Arrow(arrows) => arrows.iter().for_each(|a| next(a.target)),
        Expr::Union(children) | Expr::Intersection(children) => children.iter().for_each(|c| walk(c, visit, next)),
        Expr::Exclusion(base, subtract) => {
            walk(base, visit, next);
            walk(subtract, visit, next);
        }
    }
}

/// Whether an expression is a union of unconditioned tuples and computed relations.
fn plain_union(expr: &Expr) -> bool {
    match expr {
        Expr::Direct(directs) => directs.iter().all(|d| d.gate.conditions.is_empty()),
        Expr::Computed(_) => true,
        Expr::Union(children) => children.iter().all(plain_union),
        Expr::Arrow(_) | Expr::Intersection(_) | Expr::Exclusion(..) => false,
    }
}

/// Fills in what follows from the expressions: reach, recursion, gatherability.
fn derive(nodes: &mut [Node]) {
    let mut next: Vec<Vec<NodeId>> = Vec::new();
    let mut types: Vec<HashSet<TypeIx>> = Vec::new();
    for node in nodes.iter() {
        let (mut out, mut ends) = (Vec::new(), HashSet::new());
        let mut visit = |d: &Direct| {
            if !matches!(d.part, Part::Userset(_)) {
                ends.insert(d.subject_type);
            }
        };
        walk(&node.expr, &mut visit, &mut |n| out.push(n));
        next.push(out);
        types.push(ends);
    }
    let plain: Vec<bool> = nodes.iter().map(|n| plain_union(&n.expr)).collect();
    let at = |n: &NodeId| n.0 as usize;
    for (i, node) in nodes.iter_mut().enumerate() {
        let me = NodeId(u32::try_from(i).unwrap_or(u32::MAX));
        node.passes.insert(me);
        let mut stack = vec![me];
        while let Some(current) = stack.pop() {
            for &n in next.get(at(&current)).into_iter().flatten() {
                node.recursive |= n == me;
                if node.passes.insert(n) {
                    stack.push(n);
                }
            }
        }
        node.gatherable = node.passes.iter().all(|n| plain.get(at(n)).copied().unwrap_or(false));
        let ends = || node.passes.iter().flat_map(|n| types.get(at(n)).into_iter().flatten());
        let len = ends().map(|t| usize::from(t.0) + 1).max().unwrap_or(0);
        let mut reached = vec![false; len];
        for end in ends() {
            if let Some(slot) = reached.get_mut(usize::from(end.0)) {
                *slot = true;
            }
        }
        node.subject_types = reached.into();
        node.leaf = matches!(&node.expr, Expr::Direct(d) if d.iter().all(|d| !matches!(d.part, Part::Userset(_))));
    }
    guard(nodes);
    let passes: Vec<HashSet<NodeId>> = nodes.iter().map(|n| n.passes.clone()).collect();
    for node in nodes.iter_mut() {
        node.components = components(&node.passes, &passes);
    }
}

/// Fills in [`Node::positive`] and [`Node::depends`]. A userset whose members can be gathered from the subject's side counts
/// by its own tuples; another by whatever can make it true.
fn reach(nodes: &mut [Node]) {
    let positive = reached(nodes, false);
    let depends = reached(nodes, true);
    for ((node, positive), depends) in nodes.iter_mut().zip(positive).zip(depends) {
        (node.positive, node.depends) = (positive, depends);
    }
}

/// For each node, the slots that a path from it can end in; `subtracted` says whether paths through `but not` count.
fn reached(nodes: &[Node], subtracted: bool) -> Vec<SlotSet> {
    let mut sets: Vec<SlotSet> = Vec::new();
    let mut edges: Vec<Vec<NodeId>> = Vec::new();
    for node in nodes {
        let (mut slots, mut next) = (SlotSet::default(), Vec::new());
        ends(&node.expr, nodes, subtracted, &mut slots, &mut next);
        sets.push(slots);
        edges.push(next);
    }
    let mut changed = true;
    while changed {
        changed = false;
        for (i, next) in edges.iter().enumerate() {
            for n in next {
                let other = sets.get(n.0 as usize).cloned().unwrap_or_default();
                changed |= sets.get_mut(i).is_some_and(|own| own.union_with(&other));
            }
        }
    }
    sets
}

/// The slots that an expression reads itself, and the nodes that it asks.
fn ends(expr: &Expr, nodes: &[Node], subtracted: bool, slots: &mut SlotSet, next: &mut Vec<NodeId>) {
    match expr {
        Expr::Direct(directs) => {
            for direct in directs {
                match direct.part {
                    Part::Userset(n) if !nodes.get(n.0 as usize).is_some_and(|n| n.gatherable) => next.push(n),
                    Part::Object | Part::Wildcard | Part::Userset(_) => slots.insert(direct.slot),
                }
            }
        }
        Expr::Computed(node) => next.push(*node),
        Expr::Arrow(arrows) => next.extend(arrows.iter().map(|a| a.target)),
        Expr::Union(children) | Expr::Intersection(children) => {
            children.iter().for_each(|c| ends(c, nodes, subtracted, slots, next));
        }
        Expr::Exclusion(base, subtract) => {
            ends(base, nodes, subtracted, slots, next);
            if subtracted {
                ends(subtract, nodes, subtracted, slots, next);
            }
        }
    }
}

/// Finds the nodes that are not to be pruned, see [`Node::prunable`], nor gathered, for the same reason.
fn guard(nodes: &mut [Node]) {
    fn subtracted(expr: &Expr, found: &mut Vec<NodeId>) {
        match expr {
            Expr::Direct(_) | Expr::Computed(_) | Expr::Arrow(_) => {}
            Expr::Union(children) | Expr::Intersection(children) => children.iter().for_each(|c| subtracted(c, found)),
            Expr::Exclusion(base, subtract) => {
                subtracted(base, found);
                walk(subtract, &mut |_| {}, &mut |n| found.push(n));
            }
        }
    }
    let mut found = Vec::new();
    nodes.iter().for_each(|n| subtracted(&n.expr, &mut found));
    let at = |n: &NodeId| nodes.get(n.0 as usize);
    let below: HashSet<NodeId> = found.iter().filter_map(at).flat_map(|n| n.passes.iter().copied()).collect();
    let recursive: HashSet<NodeId> =
        (0_u32..).map(NodeId).zip(nodes.iter()).filter(|(_, n)| n.recursive).map(|(i, _)| i).collect();
    for (id, node) in (0_u32..).map(NodeId).zip(nodes) {
        node.prunable = !(below.contains(&id) && node.passes.iter().any(|n| recursive.contains(n)));
        node.gatherable &= node.prunable;
    }
}

/// Groups nodes that pass each other, and orders the groups so that each comes behind all that it needs: a node passes
/// strictly more than any node outside its group that it needs, and exactly as much as those inside.
fn components(of: &HashSet<NodeId>, passes: &[HashSet<NodeId>]) -> Vec<Vec<NodeId>> {
    let reach = |n: NodeId| passes.get(n.0 as usize);
    let mut order: Vec<(usize, NodeId)> = of.iter().map(|n| (reach(*n).map_or(0, HashSet::len), *n)).collect();
    order.sort_unstable();
    let mut groups: Vec<Vec<NodeId>> = Vec::new();
    for (_, n) in order {
        let mutual = |m: &NodeId| reach(*m).is_some_and(|r| r.contains(&n)) && reach(n).is_some_and(|r| r.contains(m));
        match groups.iter_mut().find(|g| g.first().is_some_and(mutual)) {
            Some(group) => group.push(n),
            None => groups.push(vec![n]),
        }
    }
    groups
}

fn readers(nodes: &[Node]) -> Vec<Vec<Reader>> {
    let mut readers: Vec<Vec<Reader>> = nodes.iter().map(|_| Vec::new()).collect();
    for (i, node) in nodes.iter().enumerate().filter(|(_, n)| n.gatherable) {
        let me = NodeId(u32::try_from(i).unwrap_or(u32::MAX));
        let mut found = Vec::new();
        computed(&node.expr, &mut |n| found.push((n, None)));
        node.expr.each_direct(&mut |d| {
            if let Part::Userset(n) = d.part {
                found.push((n, Some(d.column)));
            }
        });
        for (n, column) in found {
            if let Some(list) = readers.get_mut(n.0 as usize) {
                list.push(Reader { node: me, column });
            }
        }
    }
    readers
}

/// The computed relations of a union.
fn computed(expr: &Expr, visit: &mut dyn FnMut(NodeId)) {
    match expr {
        Expr::Computed(node) => visit(*node),
        Expr::Union(children) => children.iter().for_each(|c| computed(c, visit)),
        Expr::Direct(_) | Expr::Arrow(_) | Expr::Intersection(_) | Expr::Exclusion(..) => {}
    }
}
