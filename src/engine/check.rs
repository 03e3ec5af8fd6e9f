//! Check: may a subject do this to an object?
//!
//! Works from the object towards the subject, remembers what it has found, and stops at the first proof. Before it goes, it
//! looks from the subject's side at which columns of direct tuples name it, or a userset it belongs to: a relation none of
//! whose columns does is false, and the others are met with the few objects that the subject has there. So what a question
//! costs depends on the subject's own tuples and the object's ancestors, not on how many relations the model has.
//! Cycles in the data have Kripke-Kleene meaning: what depends only on itself is unknown, passes are repeated while they
//! settle something new, and what stays unknown is Deny, also below `but not`.

use super::plan::{Arrow, Direct, Expr, Gate, NodeId, Part, Slot, SlotId, SlotSet};
use super::small_map::SmallMap;
use super::types::{Decision, QuestionError};
use super::world::{FaultIx, Verdict, Who, World};
use crate::index::{Column, ColumnIx, Postings};
use crate::tuple::Ordinal;

/// Memberships gathered for one subject before the search goes back to walking.
const GATHER_MAX: usize = 16_384;

/// Usersets of a subject whose tuples are looked up beforehand; with more, each object's are met with the memberships.
const OWN_USERSETS_MAX: usize = 32;

/// Look-ups of tuplesets that are kept.
const LED_TO_KEPT: usize = 8;

/// What is known of a relation of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Value {
    True,
    False,
    /// Depends on itself so far.
    Unknown,
    /// No proof, and one path failed.
    Fault(FaultIx),
    /// Both of the last two.
    UnknownFault(FaultIx),
}

#[derive(Clone, Copy)]
enum Memo {
    OnPath,
    /// Unknown in that pass.
    Open(u32, Value),
    /// Settled, at that depth (a fault may vanish when asked from nearer).
    Settled(Value, u32),
}

/// The (relation, object) pairs that a subject has, with the fewest hops that lead there.
type Memberships = SmallMap<u32>;

/// The objects that a column of direct tuples without a condition gives the subject.
enum Own<'a> {
    /// By naming it, or the wildcard of its type.
    Objects(Postings<'a>),
    /// By naming usersets that it belongs to, each with the hops that lead to the userset.
    Usersets(Vec<(Postings<'a>, u32)>),
}

/// One Check, or several of the same subject against the same world.
pub(crate) struct Checker<'w, 'a> {
    pub(crate) world: &'w mut World<'a>,
    who: Who,
    depth_max: u32,
    memos: SmallMap<Memo>,
    /// For each relation that usersets name: what the subject has of it, or `None` when that is too much to gather.
    gathered: Vec<(NodeId, Option<Memberships>)>,
    /// The relation that `live` and `own` were looked up for.
    prepared: Option<NodeId>,
    /// The columns that name the subject, as bits of the index.
    named_in: u64,
    /// Slots with a tuple that can count for the subject. Never too few.
    live: SlotSet,
    /// What was found in live slots. A live slot that is not here is asked from the object's side.
    own: Vec<(SlotId, Own<'a>)>,
    /// The places that tuplesets led to last.
    led_to: [Option<(ColumnIx, Ordinal, Postings<'a>)>; LED_TO_KEPT],
    pass: u32,
    /// Whether something was settled in this pass after something open was read.
    read_open: bool,
    settled_after: bool,
}

impl<'w, 'a> Checker<'w, 'a> {
    /// Prepares to ask about one subject.
    pub(crate) fn new(world: &'w mut World<'a>, who: Who) -> Self {
        let depth_max = world.limits.depth_max;
        Checker {
            world,
            who,
            depth_max,
            memos: SmallMap::default(),
            gathered: Vec::new(),
            prepared: None,
            named_in: 0,
            live: SlotSet::default(),
            own: Vec::new(),
            led_to: [None; LED_TO_KEPT],
            pass: 0,
            read_open: false,
            settled_after: false,
        }
    }

    /// The same with another bound on hops, for questions that are not bounded by the request's.
    pub(crate) fn with_depth_max(self, depth_max: u32) -> Self {
        Checker { depth_max, ..self }
    }

    /// Whether the subject has the relation `node` to `object`.
    ///
    /// # Errors
    /// A limit, or a condition that failed on the only path.
    pub(crate) fn check(&mut self, node: NodeId, object: Ordinal) -> Result<Decision, QuestionError> {
        self.prepare(node);
        match self.settle(|checker| checker.node(node, object, 0))? {
            Value::True => Ok(Decision::Allow),
            Value::False | Value::Unknown => Ok(Decision::Deny),
            Value::Fault(fault) | Value::UnknownFault(fault) => Err(self.world.error(fault)),
        }
    }

    /// Whether a part of the relation `node` is false of `object` for certain: neither true, nor unknown by a cycle. `None`
    /// when a condition or a limit stands in the way.
    pub(crate) fn certainly_false(
        &mut self,
        node: NodeId,
        part: &'a Expr,
        object: Ordinal,
    ) -> Result<Option<bool>, QuestionError> {
        self.prepare(node);
        Ok(match self.settle(|checker| checker.expr(part, object, 0))? {
            Value::False => Some(true),
            Value::True | Value::Unknown => Some(false),
            Value::Fault(_) | Value::UnknownFault(_) => None,
        })
    }

    /// Evaluates until nothing new is settled.
    fn settle(&mut self, evaluate: impl Fn(&mut Self) -> Result<Value, QuestionError>) -> Result<Value, QuestionError> {
        loop {
            self.pass += 1;
            (self.read_open, self.settled_after) = (false, false);
            match evaluate(self)? {
                Value::Unknown | Value::UnknownFault(_) if self.settled_after => {}
                value @ (Value::True | Value::False | Value::Unknown | Value::Fault(_) | Value::UnknownFault(_)) => {
                    return Ok(value);
                }
            }
        }
    }

    /// Looks up, from the subject's side, what the answer for `root` can depend on.
    fn prepare(&mut self, root: NodeId) {
        if self.prepared == Some(root) {
            return;
        }
        self.prepared = Some(root);
        self.own.clear();
        let plan = self.world.plan;
        if matches!(self.who, Who::Userset(..)) {
            return self.live.fill(plan.slots()); // a userset is also what it names: rare, so not worth the care
        }
        self.live.clear();
        self.named_in = match self.who {
            Who::Object(t, o) => self.world.state.presence(t, o),
            Who::Userset(..) | Who::Wildcard(_) => u64::MAX,
        };
        self.look_all(&plan.node(root).depends);
        for edge in &self.world.edges {
            if let Some(id) = plan.slot_of(edge.column) {
                self.live.insert(id);
            }
        }
    }

    fn look_all(&mut self, slots: &'a SlotSet) {
        let plan = self.world.plan;
        for id in slots.iter() {
            let Some(slot) = plan.slot(id) else { continue };
            if self.live.contains(id) {
                continue;
            }
            let (live, own) = self.look(slot);
            if live {
                self.live.insert(id);
                match (own, slot.part) {
                    (Some(own), _) => self.own.push((id, own)),
                    // The search will walk through the usersets, so it needs to know of what their members depend on.
                    (None, Part::Userset(target)) => self.look_all(&plan.node(target).depends),
                    (None, Part::Object | Part::Wildcard) => {}
                }
            }
        }
    }

    /// Whether a tuple of the slot can count for the subject, and what it has there when that is little enough.
    fn look(&mut self, slot: Slot) -> (bool, Option<Own<'a>>) {
        let column = self.world.state.column(slot.column);
        let subject = match (slot.part, self.who) {
            (Part::Object, Who::Object(t, o)) if t == slot.subject_type => {
                if self.named_in & self.world.state.column_bit(slot.column) == 0 {
                    return (false, None);
                }
                o
            }
            (Part::Wildcard, Who::Object(t, _) | Who::Wildcard(t)) if t == slot.subject_type => Ordinal(0),
            (Part::Userset(target), _) => return self.look_usersets(slot, target),
            (Part::Object | Part::Wildcard, _) => return (false, None),
        };
        let objects = column.objects(subject);
        let conditional = column.has_conditional() && !column.conditional_objects(subject).is_empty();
        (conditional || !objects.is_empty(), Some(Own::Objects(objects)))
    }

    fn look_usersets(&mut self, slot: Slot, target: NodeId) -> (bool, Option<Own<'a>>) {
        let state = self.world.state;
        let (column, bit) = (state.column(slot.column), state.column_bit(slot.column));
        let Some(memberships) = self.gather(target) else { return (true, None) };
        if memberships.len() > OWN_USERSETS_MAX {
            return (true, None);
        }
        let mut lists = Vec::new();
        for (node, userset, hops) in memberships.iter() {
            if node == target && state.presence(slot.subject_type, userset) & bit != 0 {
                if column.has_conditional() && !column.conditional_objects(userset).is_empty() {
                    return (true, None); // the search walks from a tuple with a condition to the members
                }
                let objects = column.objects(userset);
                if !objects.is_empty() {
                    lists.push((objects, *hops));
                }
            }
        }
        (!lists.is_empty(), Some(Own::Usersets(lists)))
    }

    fn own(&self, slot: SlotId) -> Option<&Own<'a>> {
        self.own.iter().find(|(id, _)| *id == slot).map(|(_, own)| own)
    }

    /// Whether a relation can be true for the subject of any object at all.
    fn may(&self, node: NodeId) -> bool {
        let node = self.world.plan.node(node);
        !node.prunable || node.positive.intersects(&self.live)
    }

    fn node(&mut self, id: NodeId, object: Ordinal, depth: u32) -> Result<Value, QuestionError> {
        let plan = self.world.plan;
        let node = plan.node(id);
        let reachable = match self.who {
            Who::Userset(n, o) if n == id && o == object => return Ok(Value::True),
            Who::Userset(n, _) => node.passes(n),
            Who::Object(t, _) | Who::Wildcard(t) => node.reaches_type(t),
        };
        if !reachable || !self.may(id) {
            return Ok(Value::False);
        }
        let depth_max = self.depth_max;
        if node.leaf
            && depth <= depth_max
            && let Expr::Direct(directs) = &node.expr
        {
            self.world.visit()?;
            return self.direct(directs, object, depth); // probing again is as cheap as remembering
        }
        let known = self.memos.find(id, object);
        match known.and_then(|place| self.memos.at(place)).copied() {
            Some(Memo::OnPath) => {
                self.read_open = true;
                return Ok(Value::Unknown);
            }
            Some(Memo::Open(pass, value)) if pass == self.pass => {
                self.read_open = true;
                return Ok(value);
            }
            Some(Memo::Settled(value @ (Value::True | Value::False), _)) => return Ok(value),
            Some(Memo::Settled(value, at)) if at <= depth => return Ok(value),
            Some(Memo::Open(..) | Memo::Settled(..)) | None => {}
        }
        if depth > depth_max {
            return Ok(Value::Fault(self.world.fault(QuestionError::DepthExceeded { depth_max })));
        }
        self.world.visit()?;
        let place = known.unwrap_or_else(|| self.memos.push(id, object, Memo::OnPath));
        self.remember(place, Memo::OnPath);
        let value = self.expr(&node.expr, object, depth)?;
        let memo = match value {
            Value::Unknown | Value::UnknownFault(_) => Memo::Open(self.pass, value),
            Value::True | Value::False | Value::Fault(_) => {
                self.settled_after |= self.read_open;
                Memo::Settled(value, depth)
            }
        };
        self.remember(place, memo);
        Ok(value)
    }

    fn remember(&mut self, place: usize, memo: Memo) {
        if let Some(known) = self.memos.at(place) {
            *known = memo;
        }
    }

    fn expr(&mut self, expr: &'a Expr, object: Ordinal, depth: u32) -> Result<Value, QuestionError> {
        match expr {
            Expr::Direct(directs) => self.direct(directs, object, depth),
            Expr::Computed(node) => self.node(*node, object, depth),
            Expr::Arrow(arrows) => self.arrow(arrows, object, depth),
            Expr::Union(children) => {
                let mut value = Value::False;
                for child in children {
                    value = either(value, self.expr(child, object, depth)?);
                    if value == Value::True {
                        break;
                    }
                }
                Ok(value)
            }
            Expr::Intersection(children) => {
                let mut value = Value::True;
                for child in children {
                    value = both(value, self.expr(child, object, depth)?);
                    if value == Value::False {
                        break;
                    }
                }
                Ok(value)
            }
            Expr::Exclusion(base, subtract) => {
                let base = self.expr(base, object, depth)?;
                if base == Value::False {
                    return Ok(Value::False);
                }
                Ok(both(base, not(self.expr(subtract, object, depth)?)))
            }
        }
    }

    fn direct(&mut self, directs: &'a [Direct], object: Ordinal, depth: u32) -> Result<Value, QuestionError> {
        let mut value = Value::False;
        for direct in directs {
            let probe = match (direct.part, self.who) {
                (Part::Object, Who::Object(t, o)) if t == direct.subject_type => Some(o),
                (Part::Wildcard, Who::Object(t, _) | Who::Wildcard(t)) if t == direct.subject_type => Some(Ordinal(0)),
                (Part::Userset(n), Who::Userset(m, o)) if n == m => Some(o),
                (Part::Object | Part::Wildcard | Part::Userset(_), _) => None,
            };
            if let Some(subject) = probe.filter(|_| self.live.contains(direct.slot)) {
                value = either(value, self.probe(direct, object, subject));
                if value == Value::True {
                    return Ok(value);
                }
            }
        }
        for direct in directs {
            if let Part::Userset(node) = direct.part {
                if self.world.plan.node(node).gatherable && !self.live.contains(direct.slot) {
                    continue;
                }
                value = either(value, self.usersets(direct, node, object, depth)?);
                if value == Value::True {
                    return Ok(value);
                }
            }
        }
        Ok(value)
    }

    fn arrow(&mut self, arrows: &'a [Arrow], object: Ordinal, depth: u32) -> Result<Value, QuestionError> {
        let mut value = Value::False;
        for arrow in arrows {
            if !self.may(arrow.target) {
                continue;
            }
            let stored = self.world.state.column(arrow.column);
            if arrow.gate.plain {
                let objects = self.led_to(arrow.column, stored, object);
                value = either(value, self.walk(&objects, arrow.target, depth)?);
            }
            if value != Value::True {
                value = either(value, self.guarded(arrow.column, &arrow.gate, arrow.target, object, depth)?);
            }
            if value == Value::True {
                break;
            }
        }
        Ok(value)
    }

    /// Where the tuples of a tupleset lead from an object. Several relations follow the same tupleset, one after the other.
    fn led_to(&mut self, ix: ColumnIx, column: &'a Column, object: Ordinal) -> Postings<'a> {
        let place = (object.0 as usize ^ usize::from(ix.0)) % LED_TO_KEPT;
        let Some(kept) = self.led_to.get_mut(place) else { return column.subjects(object) };
        match kept {
            Some((c, o, postings)) if *c == ix && *o == object => *postings,
            Some(_) | None => {
                let postings = column.subjects(object);
                *kept = Some((ix, object, postings));
                postings
            }
        }
    }

    /// Whether one tuple is there and counts.
    fn probe(&mut self, direct: &'a Direct, object: Ordinal, subject: Ordinal) -> Value {
        let (column, gate) = (direct.column, &direct.gate);
        let stored = self.world.state.column(column);
        let mut value = Value::False;
        let there = || match self.own(direct.slot) {
            Some(Own::Objects(objects)) => objects.contains(object),
            Some(Own::Usersets(_)) | None => stored.contains(object, subject),
        };
        if gate.plain && there() {
            return Value::True;
        }
        if !gate.conditions.is_empty() && stored.has_conditional() {
            let list = stored.conditional_subjects(object);
            if let Ok(at) = list.binary_search_by_key(&subject, |(o, _)| *o)
                && let Some((_, class)) = list.get(at)
            {
                value = either(value, self.world.verdict(gate, *class).into());
            }
        }
        for i in 0..self.world.edges.len() {
            let Some(&edge) = self.world.edges.get(i) else { break };
            if edge.column == column && edge.object == object && edge.subject == subject {
                value = either(value, self.world.edge_verdict(gate, edge).into());
            }
        }
        value
    }

    /// Whether the subject belongs to one of the usersets that tuples relate to `object`.
    fn usersets(
        &mut self,
        direct: &'a Direct,
        target: NodeId,
        object: Ordinal,
        depth: u32,
    ) -> Result<Value, QuestionError> {
        let mut value = Value::False;
        let stored = self.world.state.column(direct.column);
        if direct.gate.plain {
            if let Some(Own::Usersets(lists)) = self.own(direct.slot) {
                let nearest = lists.iter().filter(|(l, _)| l.contains(object)).map(|(_, hops)| *hops).min();
                value = self.within(nearest, depth);
            } else {
                let postings = stored.subjects(object);
                let gather = !postings.is_empty() && self.world.plan.node(target).gatherable;
                if gather && let Some(memberships) = self.gather(target) {
                    let nearest = meet(memberships, target, &postings);
                    value = self.within(nearest, depth);
                } else {
                    value = self.walk(&postings, target, depth)?;
                }
            }
        }
        if value == Value::True {
            return Ok(value);
        }
        Ok(either(value, self.guarded(direct.column, &direct.gate, target, object, depth)?))
    }

    /// A proof that is `hops` away, if the bound on depth reaches so far.
    fn within(&mut self, hops: Option<u32>, depth: u32) -> Value {
        let depth_max = self.depth_max;
        match hops {
            None => Value::False,
            Some(hops) if depth + 1 + hops <= depth_max => Value::True,
            Some(_) => Value::Fault(self.world.fault(QuestionError::DepthExceeded { depth_max })),
        }
    }

    /// Whether the subject has the relation `target` to one of the objects.
    fn walk(&mut self, objects: &Postings<'a>, target: NodeId, depth: u32) -> Result<Value, QuestionError> {
        let mut value = Value::False;
        for next in objects.iter() {
            value = either(value, self.node(target, next, depth + 1)?);
            if value == Value::True {
                break;
            }
        }
        Ok(value)
    }

    /// Whether the subject has the relation `target` to one of the objects that tuples with a condition, or the request's own,
    /// lead to.
    fn guarded(
        &mut self,
        column: ColumnIx,
        gate: &'a Gate,
        target: NodeId,
        object: Ordinal,
        depth: u32,
    ) -> Result<Value, QuestionError> {
        let stored = self.world.state.column(column);
        let mut value = Value::False;
        if !gate.conditions.is_empty() && stored.has_conditional() {
            for &(next, class) in stored.conditional_subjects(object) {
                let verdict = self.world.verdict(gate, class);
                value = either(value, self.step(verdict, target, next, depth)?);
            }
        }
        for i in 0..self.world.edges.len() {
            let Some(&edge) = self.world.edges.get(i) else { break };
            if edge.column == column && edge.object == object {
                let verdict = self.world.edge_verdict(gate, edge);
                value = either(value, self.step(verdict, target, edge.subject, depth)?);
            }
        }
        Ok(value)
    }

    /// Goes on behind a tuple whose condition had that verdict.
    fn step(&mut self, verdict: Verdict, target: NodeId, next: Ordinal, depth: u32) -> Result<Value, QuestionError> {
        match verdict {
            Verdict::No => Ok(Value::False),
            Verdict::Yes => self.node(target, next, depth + 1),
            Verdict::Fault(_) => Ok(both(verdict.into(), self.node(target, next, depth + 1)?)),
        }
    }

    /// Gathers, once, what the subject has of `target`, from its own side; `None` when it is too much.
    fn gather(&mut self, target: NodeId) -> Option<&Memberships> {
        let known = self.gathered.iter().position(|(node, _)| *node == target);
        let at = known.unwrap_or_else(|| {
            // Contextual tuples are few and rare: with them the search walks.
            let found = if self.world.edges.is_empty() { gather(self.world, self.who, target) } else { None };
            self.gathered.push((target, found));
            self.gathered.len() - 1
        });
        self.gathered.get(at).and_then(|(_, found)| found.as_ref())
    }
}

/// The fewest hops to one of `postings` among the gathered memberships.
fn meet(memberships: &Memberships, target: NodeId, postings: &Postings<'_>) -> Option<u32> {
    if memberships.len() < postings.len() {
        let own = memberships.iter().filter(|(n, o, _)| *n == target && postings.contains(*o));
        return own.map(|(.., hops)| *hops).min();
    }
    postings.iter().filter_map(|o| memberships.get(target, o).copied()).min()
}

/// What the subject has of `target` and of all that it passes. `target` is gatherable, so these are unions of plain tuples.
fn gather(world: &World<'_>, who: Who, target: NodeId) -> Option<Memberships> {
    let target = world.plan.node(target);
    let mut found = Memberships::default();
    let mut level: Vec<(NodeId, Ordinal)> = Vec::new();
    if let Who::Userset(node, object) = who {
        level.push((node, object));
    }
    for id in target.passed() {
        world.plan.node(id).expr.each_direct(&mut |direct| {
            let subject = match (direct.part, who) {
                (Part::Object, Who::Object(t, o)) if t == direct.subject_type => o,
                (Part::Wildcard, Who::Object(t, _) | Who::Wildcard(t)) if t == direct.subject_type => Ordinal(0),
                (Part::Object | Part::Wildcard | Part::Userset(_), _) => return,
            };
            let objects = world.state.column(direct.column).objects(subject);
            level.extend(objects.iter().take(GATHER_MAX + 1).map(|o| (id, o)));
        });
    }
    let mut hops = 0;
    while !level.is_empty() {
        let mut next = Vec::new();
        while let Some((id, object)) = level.pop() {
            if found.len() + level.len() + next.len() > GATHER_MAX {
                return None;
            }
            if found.find(id, object).is_some() {
                continue;
            }
            found.push(id, object, hops);
            for reader in world.plan.readers(id).iter().filter(|r| target.passes(r.node)) {
                match reader.column {
                    None => level.push((reader.node, object)),
                    Some(column) => {
                        let objects = world.state.column(column).objects(object);
                        next.extend(objects.iter().take(GATHER_MAX + 1).map(|o| (reader.node, o)));
                    }
                }
            }
        }
        level = next;
        hops += 1;
    }
    Some(found)
}

impl From<Verdict> for Value {
    fn from(verdict: Verdict) -> Value {
        match verdict {
            Verdict::Yes => Value::True,
            Verdict::No => Value::False,
            Verdict::Fault(fault) => Value::Fault(fault),
        }
    }
}

/// `a or b`: a proof wins; else an open question stays open; else an error beats false.
fn either(a: Value, b: Value) -> Value {
    join(a, b, Value::True, Value::False)
}

/// `a and b`: a definite false wins; else an open question stays open; else an error beats true.
fn both(a: Value, b: Value) -> Value {
    join(a, b, Value::False, Value::True)
}

fn join(a: Value, b: Value, winner: Value, loser: Value) -> Value {
    match (a, b) {
        (a, b) if a == winner || b == winner => winner,
        (a, b) if a == loser => b,
        (a, b) if b == loser => a,
        (Value::UnknownFault(f), _)
        | (_, Value::UnknownFault(f))
        | (Value::Unknown, Value::Fault(f))
        | (Value::Fault(f), Value::Unknown) => Value::UnknownFault(f),
        (Value::Fault(f), _) => Value::Fault(f),
        (Value::Unknown | Value::True | Value::False, _) => Value::Unknown,
    }
}

fn not(value: Value) -> Value {
    match value {
        Value::True => Value::False,
        Value::False => Value::True,
        Value::Unknown | Value::Fault(_) | Value::UnknownFault(_) => value,
    }
}
