//! What an evaluation costs, by the model of cel-go, so that a condition that runs on OpenFGA runs here and one that is
//! stopped there is stopped here.
//!
//! A name, a field and most functions cost 1, a literal and a conversion of one nothing, a new list 10 and a new map 30; what
//! goes through a text costs a tenth of its length. Operands that `&&`, `||` and `?:` do not reach are free.
//!
//! [`bound`] is the quick answer: the most that an expression without comprehensions can cost. Only where that is too much
//! is the true cost found by [`Meter`], which goes through the expression and evaluates the parts that the cost depends on.

use super::{ConditionFault, NESTING_MAX};
use cel::common::ast::{ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue, operators};
use cel::common::types::{CelBool, CelList, CelMap, CelString};
use cel::common::value::{CowVal, Val};
use cel::{Context, Value};

const LIST_COST: u64 = 10;
const MAP_COST: u64 = 30;
const STRUCT_COST: u64 = 40;
/// Functions that convert a value; of a literal they are evaluated once, when cel-go plans the program.
const CONVERSIONS: [&str; 10] =
    ["bool", "bytes", "double", super::DURATION, "dyn", "int", "string", "timestamp", "type", "uint"];

/// A tenth, rounded up: what it costs to go through a text.
fn tenth(size: u64) -> u64 {
    size.div_ceil(10)
}

/// What a call costs besides its operands, by the sizes of the target and the arguments.
fn call(function: &str, sizes: &[u64]) -> u64 {
    let size = |at: usize| sizes.get(at).copied().unwrap_or(1);
    match function {
        "startsWith" | "endsWith" | "bytes" => tenth(size(0)),
        operators::EQUALS
        | operators::NOT_EQUALS
        | operators::LESS
        | operators::LESS_EQUALS
        | operators::GREATER
        | operators::GREATER_EQUALS => tenth(size(0).min(size(1))),
        operators::ADD => tenth(size(0).saturating_add(size(1))),
        "contains" => tenth(size(0)).saturating_mul(tenth(size(1))),
        "matches" => tenth(size(0).saturating_add(1)).saturating_mul(size(1).div_ceil(4)),
        operators::IN => size(1),
        _ => 1,
    }
}

/// Whether sizes of operands matter to the cost of a call.
fn by_size(function: &str) -> bool {
    matches!(
        function,
        "startsWith"
            | "endsWith"
            | "bytes"
            | "contains"
            | "matches"
            | operators::EQUALS
            | operators::NOT_EQUALS
            | operators::LESS
            | operators::LESS_EQUALS
            | operators::GREATER
            | operators::GREATER_EQUALS
            | operators::ADD
            | operators::IN
    )
}

/// Whether cel-go knows the value when it plans the program.
fn constant(expr: &IdedExpr, depth: usize) -> bool {
    if depth > NESTING_MAX {
        return false;
    }
    let known = |e: &IdedExpr| constant(e, depth + 1);
    match &expr.expr {
        Expr::Literal(_) => true,
        Expr::List(list) => list.elements.iter().all(known),
        Expr::Map(map) => map.entries.iter().flat_map(|e| entry(&e.expr)).all(known),
        Expr::Call(call) => {
            call.target.is_none()
                && CONVERSIONS.contains(&call.func_name.as_str())
                && matches!(call.args.as_slice(), [IdedExpr { expr: Expr::Literal(_), .. }])
        }
        Expr::Comprehension(_) | Expr::Ident(_) | Expr::Select(_) | Expr::Struct(_) | Expr::Unspecified => false,
    }
}

fn entry(entry: &EntryExpr) -> Vec<&IdedExpr> {
    match entry {
        EntryExpr::StructField(field) => vec![&field.value],
        EntryExpr::MapEntry(pair) => vec![&pair.key, &pair.value],
    }
}

/// The most that an expression can cost, and the largest size of its value; nothing when that is not said quickly.
/// `largest` is the largest size of anything in the context.
pub(super) fn bound(expr: &IdedExpr, largest: u64, depth: usize) -> Option<(u64, u64)> {
    if depth > NESTING_MAX {
        return None;
    }
    let of = |e: &IdedExpr| bound(e, largest, depth + 1);
    match &expr.expr {
        Expr::Literal(literal) => Some((0, literal_size(literal))),
        Expr::Ident(_) => Some((1, largest)),
        Expr::Select(select) => of(&select.operand).map(|(cost, size)| (cost + 1, size.max(largest))),
        Expr::Call(c) => {
            let (mut cost, mut sizes) = (0_u64, Vec::with_capacity(2));
            for part in c.target.as_deref().into_iter().chain(&c.args) {
                let (part_cost, size) = of(part)?;
                cost = cost.saturating_add(part_cost);
                sizes.push(size);
            }
            let own = match c.func_name.as_str() {
                operators::LOGICAL_AND | operators::LOGICAL_OR | operators::CONDITIONAL => 0,
                name => call(name, &sizes),
            };
            let size = if c.func_name == operators::ADD {
                sizes.iter().copied().fold(0, u64::saturating_add)
            } else {
                sizes.iter().copied().fold(largest, u64::max)
            };
            Some((cost.saturating_add(own), size))
        }
        Expr::List(list) if constant(expr, 0) => Some((0, list.elements.len() as u64)),
        Expr::List(_) | Expr::Comprehension(_) | Expr::Map(_) | Expr::Struct(_) | Expr::Unspecified => None,
    }
}

fn literal_size(literal: &LiteralValue) -> u64 {
    match literal {
        LiteralValue::String(text) => text.inner().chars().count() as u64,
        LiteralValue::Bytes(bytes) => bytes.inner().len() as u64,
        LiteralValue::Boolean(_)
        | LiteralValue::Double(_)
        | LiteralValue::Int(_)
        | LiteralValue::Null
        | LiteralValue::UInt(_) => 1,
    }
}

/// Adds up what an evaluation costs and stops it at a limit.
pub(super) struct Meter {
    spent: u64,
    max: u64,
}

impl Meter {
    pub(super) fn new(max: u64) -> Meter {
        Meter { spent: 0, max }
    }

    /// What was spent.
    pub(super) fn spent(&self) -> u64 {
        self.spent
    }

    fn spend(&mut self, cost: u64) -> Result<(), ConditionFault> {
        self.spent = self.spent.saturating_add(cost);
        if self.spent > self.max { Err(ConditionFault::Cost) } else { Ok(()) }
    }

    /// Goes through what an evaluation would go through. Work is bounded by the limit: a part is evaluated only after it has
    /// been paid for.
    pub(super) fn walk(&mut self, expr: &IdedExpr, ctx: &Context<'_, '_>, depth: usize) -> Result<(), ConditionFault> {
        if depth > NESTING_MAX {
            return Err(ConditionFault::Cost);
        }
        if constant(expr, 0) {
            return Ok(());
        }
        match &expr.expr {
            Expr::Literal(_) | Expr::Unspecified => Ok(()),
            Expr::Ident(_) => self.spend(1),
            Expr::Select(select) => {
                self.walk(&select.operand, ctx, depth + 1)?;
                self.spend(1)
            }
            Expr::Call(c) => {
                let parts: Vec<&IdedExpr> = c.target.as_deref().into_iter().chain(&c.args).collect();
                self.call(&c.func_name, &parts, ctx, depth)
            }
            Expr::List(list) => {
                list.elements.iter().try_for_each(|e| self.walk(e, ctx, depth + 1))?;
                self.spend(LIST_COST)
            }
            Expr::Map(map) => {
                let mut parts = map.entries.iter().flat_map(|e| entry(&e.expr));
                parts.try_for_each(|e| self.walk(e, ctx, depth + 1))?;
                self.spend(MAP_COST)
            }
            Expr::Struct(s) => {
                let mut parts = s.entries.iter().flat_map(|e| entry(&e.expr));
                parts.try_for_each(|e| self.walk(e, ctx, depth + 1))?;
                self.spend(STRUCT_COST)
            }
            Expr::Comprehension(c) => self.comprehension(c, ctx, depth),
        }
    }

    fn call(
        &mut self,
        function: &str,
        parts: &[&IdedExpr],
        ctx: &Context<'_, '_>,
        depth: usize,
    ) -> Result<(), ConditionFault> {
        let known = |e: &IdedExpr| {
            let value = Value::resolve_val(e, ctx).ok()?;
            value.downcast_ref::<CelBool>().map(|b| *b.inner())
        };
        match (function, parts) {
            (operators::LOGICAL_AND | operators::LOGICAL_OR, [left, right]) => {
                self.walk(left, ctx, depth + 1)?;
                if known(left) == Some(function == operators::LOGICAL_OR) {
                    return Ok(());
                }
                self.walk(right, ctx, depth + 1)
            }
            (operators::CONDITIONAL, [condition, yes, no]) => {
                self.walk(condition, ctx, depth + 1)?;
                self.walk(if known(condition) == Some(true) { yes } else { no }, ctx, depth + 1)
            }
            // Membership in a list that is known is planned as a set.
            (operators::IN, [element, list]) if constant(list, 0) => self.walk(element, ctx, depth + 1),
            _ => {
                parts.iter().try_for_each(|e| self.walk(e, ctx, depth + 1))?;
                if !by_size(function) {
                    return self.spend(1);
                }
                let sizes: Vec<u64> =
                    parts.iter().map(|e| Value::resolve_val(e, ctx).map_or(1, |v| size(v.as_ref()))).collect();
                // Adding lists does not copy them.
                let lists = function == operators::ADD && parts.first().is_some_and(|e| is_list(e, ctx));
                self.spend(if lists { 1 } else { call(function, &sizes) })
            }
        }
    }

    fn comprehension(
        &mut self,
        c: &ComprehensionExpr,
        ctx: &Context<'_, '_>,
        depth: usize,
    ) -> Result<(), ConditionFault> {
        self.walk(&c.iter_range, ctx, depth + 1)?;
        self.walk(&c.accu_init, ctx, depth + 1)?;
        // What fails here fails again in the evaluation, which says how.
        let (Ok(range), Ok(init)) = (Value::resolve_val(&c.iter_range, ctx), Value::resolve_val(&c.accu_init, ctx))
        else {
            return Ok(());
        };
        let Some(range) = range.as_iterable() else { return Ok(()) };
        let mut inner = ctx.new_inner_scope();
        inner.add_variable_as_val(&c.accu_var, init.into_owned());
        let mut items = range.iter();
        while let Some(item) = items.next() {
            self.walk(&c.loop_cond, &inner, depth + 1)?;
            let goes_on = Value::resolve_val(&c.loop_cond, &inner).ok();
            if goes_on.and_then(|v| v.downcast_ref::<CelBool>().map(|b| *b.inner())) == Some(false) {
                break;
            }
            inner.add_variable_as_val(&c.iter_var, item.clone_as_boxed());
            self.walk(&c.loop_step, &inner, depth + 1)?;
            let step = Value::resolve_val(&c.loop_step, &inner).map(CowVal::into_owned);
            if let Ok(step) = step {
                inner.add_variable_as_val(&c.accu_var, step);
            }
        }
        self.walk(&c.result, &inner, depth + 1)
    }
}

fn is_list(expr: &IdedExpr, ctx: &Context<'_, '_>) -> bool {
    Value::resolve_val(expr, ctx).is_ok_and(|v| v.downcast_ref::<CelList<'_>>().is_some())
}

/// The size of a value as cel-go counts it: characters, elements, or 1.
pub(super) fn size(value: &dyn Val) -> u64 {
    if let Some(text) = value.downcast_ref::<CelString<'_>>() {
        return text.inner().chars().count() as u64;
    }
    if let Some(list) = value.downcast_ref::<CelList<'_>>() {
        return list.inner().len() as u64;
    }
    value.downcast_ref::<CelMap<'_>>().map_or(1, |map| map.inner().len() as u64)
}
