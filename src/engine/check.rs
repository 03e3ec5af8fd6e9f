//! Check: may a subject do this to an object?
//!
//! Works from the object towards the subject, remembers what it has found, and stops at the first proof. Where a relation
//! names usersets (`[group#member]`), the subject's own memberships are gathered once from its side and met in the middle.
//! Cycles in the data have Kripke-Kleene meaning: what depends only on itself is unknown, passes are repeated while they
//! settle something new, and what stays unknown is Deny, also below `but not`.

use super::plan::{Arrow, Direct, Expr, Gate, NodeId, Part};
use super::types::{Decision, QuestionError};
use super::world::{FaultIx, Verdict, Who, World};
use crate::index::ColumnIx;
use crate::tuple::Ordinal;
use hashbrown::HashMap;

/// Memberships gathered for one subject before the search goes back to walking.
const GATHER_MAX: usize = 16_384;

/// Room for what a common question settles, so that the memo does not grow while it runs.
const MEMO_START: usize = 112;

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
type Memberships = HashMap<(NodeId, Ordinal), u32>;

/// One Check, or several of the same subject against the same world.
pub(crate) struct Checker<'w, 'a> {
    pub(crate) world: &'w mut World<'a>,
    who: Who,
    /// Where in `memos` a relation of an object is.
    places: HashMap<(NodeId, Ordinal), usize>,
    memos: Vec<Memo>,
    /// For each relation that usersets name: what the subject has of it, or `None` when that is too much to gather.
    gathered: HashMap<NodeId, Option<Memberships>>,
    pass: u32,
    /// Whether something was settled in this pass after something open was read.
    read_open: bool,
    settled_after: bool,
}

impl<'w, 'a> Checker<'w, 'a> {
    /// Prepares to ask about one subject.
    pub(crate) fn new(world: &'w mut World<'a>, who: Who) -> Self {
        Checker {
            world,
            who,
            places: HashMap::with_capacity(MEMO_START),
            memos: Vec::with_capacity(MEMO_START),
            gathered: HashMap::new(),
            pass: 0,
            read_open: false,
            settled_after: false,
        }
    }

    /// Whether the subject has the relation `node` to `object`.
    ///
    /// # Errors
    /// A limit, or a condition that failed on the only path.
    pub(crate) fn check(&mut self, node: NodeId, object: Ordinal) -> Result<Decision, QuestionError> {
        loop {
            self.pass += 1;
            (self.read_open, self.settled_after) = (false, false);
            match self.node(node, object, 0)? {
                Value::True => return Ok(Decision::Allow),
                Value::False => return Ok(Decision::Deny),
                Value::Fault(fault) => return Err(self.world.error(fault)),
                Value::Unknown | Value::UnknownFault(_) if self.settled_after => {}
                Value::Unknown => return Ok(Decision::Deny),
                Value::UnknownFault(fault) => return Err(self.world.error(fault)),
            }
        }
    }

    fn node(&mut self, id: NodeId, object: Ordinal, depth: u32) -> Result<Value, QuestionError> {
        let plan = self.world.plan;
        let node = plan.node(id);
        let reachable = match self.who {
            Who::Userset(n, o) if n == id && o == object => return Ok(Value::True),
            Who::Userset(n, _) => node.passes(n),
            Who::Object(t, _) | Who::Wildcard(t) => node.reaches_type(t),
        };
        if !reachable {
            return Ok(Value::False);
        }
        let depth_max = self.world.limits.depth_max;
        if node.leaf
            && depth <= depth_max
            && let Expr::Direct(directs) = &node.expr
        {
            self.world.visit()?;
            return self.direct(directs, object, depth); // probing again is as cheap as remembering
        }
        let fresh = self.memos.len();
        let place = *self.places.entry((id, object)).or_insert(fresh);
        match self.memos.get(place).copied() {
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
            Some(Memo::Open(..) | Memo::Settled(..)) => {}
            None => self.memos.push(Memo::Open(0, Value::Unknown)),
        }
        if depth > depth_max {
            return Ok(Value::Fault(self.world.fault(QuestionError::DepthExceeded { depth_max })));
        }
        self.world.visit()?;
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
        if let Some(known) = self.memos.get_mut(place) {
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
            if let Some(subject) = probe {
                value = either(value, self.probe(direct.column, &direct.gate, object, subject));
                if value == Value::True {
                    return Ok(value);
                }
            }
        }
        for direct in directs {
            if let Part::Userset(node) = direct.part {
                value = either(value, self.hop(direct.column, &direct.gate, node, object, depth)?);
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
            value = either(value, self.hop(arrow.column, &arrow.gate, arrow.target, object, depth)?);
            if value == Value::True {
                break;
            }
        }
        Ok(value)
    }

    /// Whether one tuple is there and counts.
    fn probe(&mut self, column: ColumnIx, gate: &'a Gate, object: Ordinal, subject: Ordinal) -> Value {
        let state = self.world.state;
        let mut value = Value::False;
        let stored = state.column(column);
        if gate.plain && stored.contains(object, subject) {
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

    /// Whether the subject has the relation `target` to one of the objects that `column` leads to.
    fn hop(
        &mut self,
        column: ColumnIx,
        gate: &'a Gate,
        target: NodeId,
        object: Ordinal,
        depth: u32,
    ) -> Result<Value, QuestionError> {
        let plan = self.world.plan;
        let node = plan.node(target);
        let state = self.world.state;
        let stored = state.column(column);
        let mut value = Value::False;
        if gate.plain {
            let postings = stored.subjects(object);
            if !postings.is_empty() {
                if node.gatherable && self.gather(target) {
                    value = either(value, self.meet(target, &postings, depth));
                } else {
                    for next in postings.iter() {
                        value = either(value, self.node(target, next, depth + 1)?);
                        if value == Value::True {
                            return Ok(value);
                        }
                    }
                }
            }
        }
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

    /// Whether one of `postings` is among the gathered memberships.
    fn meet(&mut self, target: NodeId, postings: &crate::index::Postings<'a>, depth: u32) -> Value {
        let Some(Some(gathered)) = self.gathered.get(&target) else { return Value::False };
        let nearest = if gathered.len() < postings.len() {
            let own = gathered.iter().filter(|((n, o), _)| *n == target && postings.contains(*o));
            own.map(|(_, hops)| *hops).min()
        } else {
            postings.iter().filter_map(|o| gathered.get(&(target, o)).copied()).min()
        };
        match nearest {
            None => Value::False,
            Some(hops) if depth + 1 + hops <= self.world.limits.depth_max => Value::True,
            Some(_) => {
                let depth_max = self.world.limits.depth_max;
                Value::Fault(self.world.fault(QuestionError::DepthExceeded { depth_max }))
            }
        }
    }

    /// Gathers, once, what the subject has of `target`, from its own side; false when it is too much.
    fn gather(&mut self, target: NodeId) -> bool {
        let (world, who) = (&*self.world, self.who);
        let known = self.gathered.entry(target);
        // Contextual tuples are few and rare: with them the search walks.
        known.or_insert_with(|| if world.edges.is_empty() { gather(world, who, target) } else { None }).is_some()
    }
}

/// What the subject has of `target` and of all that it passes. `target` is gatherable, so these are unions of plain tuples.
fn gather(world: &World<'_>, who: Who, target: NodeId) -> Option<Memberships> {
    let target = world.plan.node(target);
    let mut found = Memberships::new();
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
            if found.contains_key(&(id, object)) {
                continue;
            }
            found.insert((id, object), hops);
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
