//! Conditions: CEL over the parameters that a model declares, with OpenFGA's casting, merging and bounds.
//!
//! CEL's grammar and values are the crate `cel`. What OpenFGA and cel-go add is here: parameter types (`cast.rs`),
//! `ipaddress` and `in_cidr` (`address.rs`), types found when a model is written (`check.rs`), the cost of an evaluation
//! (`cost.rs`), "the tuple's context wins", and "a declared parameter that is missing is an error".

mod address;
mod cast;
#[expect(clippy::wildcard_enum_match_arm, reason = "a type that an operator does not name is refused")]
mod check;
mod cost;
mod value;

use super::ast::{ConditionDefinition, ParameterType};
use crate::tuple::Context;
use cast::Boxed;
use cel::common::ast::{CallExpr, Expr, IdedExpr};
use cel::common::types::{CelBool, CelDuration, CelInt, CelString};
use cel::common::value::{CowVal, Val};
use cel::context::VariableResolver;
use cel::parser::Macro;
use cel::{Env, ExecutionError, Program, Value};
use std::sync::{Arc, LazyLock};
pub use value::CompiledExpression;

/// Longest expression, in bytes (OpenFGA's proto rule).
const EXPRESSION_BYTES_MAX: usize = 512;
/// Deepest nesting of an expression or a value.
const NESTING_MAX: usize = 64;
/// What a call of `duration` is parsed as.
const DURATION: &str = "@duration";
/// The most that [`CompiledCondition::cost`] measures.
const COST_MEASURED_MAX: u64 = 1_000_000;

/// Why a condition cannot be compiled or evaluated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConditionFault {
    /// The expression is too long, is no CEL, or names what is not declared.
    #[error("{0}")]
    Compile(String),
    /// Declared parameters that neither the tuple nor the request gave.
    #[error("tuple is missing context parameters '[{}]'", .0.join(" "))]
    Missing(Vec<String>),
    /// A value that is not of its parameter's type.
    #[error("failed to convert context parameter '{parameter}': expected {expected}")]
    Cast {
        /// The parameter.
        parameter: String,
        /// Its type.
        expected: String,
    },
    /// A key of a tuple's context that the condition does not declare.
    #[error("found invalid context parameter: {0}")]
    Undeclared(String),
    /// The evaluation would cost too much.
    #[error("operation cancelled: actual cost limit exceeded")]
    Cost,
    /// The expression failed, or was not boolean.
    #[error("{0}")]
    Evaluation(String),
}

/// An expression whose types are checked.
struct Compiled {
    program: Program,
    parameters: Vec<(String, ParameterType)>,
}

impl std::fmt::Debug for Compiled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Compiled").field("parameters", &self.parameters).finish_non_exhaustive()
    }
}

/// A condition, ready to be evaluated.
#[derive(Debug)]
pub struct CompiledCondition(Compiled);

/// The functions of CEL and ours, declared once and shared by all evaluations. Nothing when the crate refuses a declaration,
/// which a test rules out.
static ENV: LazyLock<Option<Arc<Env>>> = LazyLock::new(|| {
    use cel::common::types::{DURATION_TYPE, INT_TYPE, STRING_TYPE};
    let mut env = Env::stdlib().with_optional_support(false);
    address::declare(&mut env).ok()?;
    env.add_overload("int", "duration_to_int64", vec![DURATION_TYPE], int_of_duration).ok()?;
    // The crate's own `duration` passes over what follows a duration, `1hour`, and takes no number of nanoseconds, so calls
    // of it are made calls of ours.
    env.add_macro(Macro::global("duration", 1, |helper, _, args| {
        let call = CallExpr { func_name: DURATION.to_owned(), target: None, args: std::mem::take(args) };
        Ok(Some(helper.next_expr(Expr::Call(call))))
    }))
    .ok()?;
    for (id, from) in [("string", STRING_TYPE), ("int64", INT_TYPE), ("duration", DURATION_TYPE)] {
        env.add_overload(DURATION, id, vec![from], to_duration).ok()?;
    }
    Some(Arc::new(env))
});

#[expect(clippy::needless_pass_by_value, reason = "the shape that cel wants of a function")]
fn int_of_duration<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let nanos = args.first().and_then(|v| v.downcast_ref::<CelDuration>()).and_then(|d| d.inner().num_nanoseconds());
    let nanos = nanos.ok_or_else(|| ExecutionError::function_error("int", "the duration is out of range"))?;
    Ok(CowVal::owned(CelInt::from(nanos)))
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that cel wants of a function")]
fn to_duration<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let value = args.first();
    let text = value.and_then(|v| v.downcast_ref::<CelString<'_>>()).and_then(|text| cast::duration(text.inner()));
    let nanos = value.and_then(|v| v.downcast_ref::<CelInt>()).map(|i| chrono::Duration::nanoseconds(*i.inner()));
    let same = value.and_then(|v| v.downcast_ref::<CelDuration>()).map(|d| *d.inner());
    let duration = text.or(nanos).or(same);
    let duration = duration.ok_or_else(|| ExecutionError::function_error("duration", "expected one like `1h30m`"))?;
    Ok(CowVal::owned(CelDuration::from(duration)))
}

fn env() -> Result<Arc<Env>, ConditionFault> {
    ENV.clone().ok_or_else(|| ConditionFault::Compile("the functions of conditions cannot be declared".into()))
}

/// The parameters of one evaluation. A few names are found faster in a list than in a map, and none is copied.
struct Given<'v>(Vec<(&'v str, Boxed<'v>)>);

impl VariableResolver for Given<'_> {
    fn resolve<'b>(&'b self, variable: &str) -> Option<CowVal<'b, 'b>> {
        self.0.iter().find(|(name, _)| *name == variable).map(|(_, value)| CowVal::Borrowed(value.as_ref()))
    }
}

impl Compiled {
    /// Parses an expression and finds its type. The text of a fault is cel-go's, with the place in the expression.
    fn compile(definition: &ConditionDefinition) -> Result<(Compiled, check::Type), ConditionFault> {
        let expression = &definition.expression;
        if expression.len() > EXPRESSION_BYTES_MAX {
            let text = format!("the expression is longer than {EXPRESSION_BYTES_MAX} bytes");
            return Err(ConditionFault::Compile(text));
        }
        let program = env()?.compile(expression).map_err(|error| ConditionFault::Compile(error.to_string()))?;
        let output = check::check(program.expression(), &definition.parameters).map_err(|mistake| {
            let at = program.source_info().offset_for(mistake.id).map_or(0, |(start, _)| start);
            ConditionFault::Compile(pointed(&definition.name, expression, at as usize, &mistake.message))
        })?;
        Ok((Compiled { program, parameters: definition.parameters.clone() }, output))
    }

    /// Evaluates the expression for at most `cost_max`, and reads its value.
    fn evaluate<T>(
        &self,
        (stored, request): (&Context, Option<&Context>),
        cost_max: u64,
        read: impl FnOnce(&dyn Val) -> Result<T, ConditionFault>,
    ) -> Result<T, ConditionFault> {
        let given = self.given(stored, request)?;
        let largest = given.0.iter().map(|(_, value)| largest(value.as_ref())).max().unwrap_or(0).max(1);
        let mut context = cel::Context::with_env(env()?);
        context.set_variable_resolver(&given);
        if cost::bound(self.program.expression(), largest, 0).is_none_or(|(most, _)| most > cost_max) {
            cost::Meter::new(cost_max).walk(self.program.expression(), &context, 0)?;
        }
        let failed = |error: ExecutionError| {
            ConditionFault::Evaluation(format!("failed to evaluate condition expression: {error}"))
        };
        let value = Value::resolve_val(self.program.expression(), &context).map_err(failed)?;
        read(value.as_ref())
    }

    fn given<'v>(&'v self, stored: &'v Context, request: Option<&'v Context>) -> Result<Given<'v>, ConditionFault> {
        let mut given = Vec::with_capacity(self.parameters.len());
        let mut missing = Vec::new();
        for (name, ty) in &self.parameters {
            match stored.get(name).or_else(|| request.and_then(|r| r.get(name))) {
                Some(json) => given.push((name.as_str(), cast::cast(json, ty, name, 0)?)),
                None => missing.push(name.clone()),
            }
        }
        if missing.is_empty() { Ok(Given(given)) } else { Err(ConditionFault::Missing(missing)) }
    }
}

impl CompiledCondition {
    /// Compiles a condition and checks its types. The text of a fault is cel-go's, with the place in the expression.
    pub fn compile(definition: &ConditionDefinition) -> Result<Self, ConditionFault> {
        let (compiled, output) = Compiled::compile(definition)?;
        // A name, a field or an element that may be anything is no bool; for a call this checker may know too little.
        let plain = |e: &IdedExpr| match &e.expr {
            Expr::Ident(_) | Expr::Select(_) => true,
            Expr::Call(call) => call.func_name == cel::common::ast::operators::INDEX || call.func_name == "dyn",
            Expr::Comprehension(_)
            | Expr::List(_)
            | Expr::Literal(_)
            | Expr::Map(_)
            | Expr::Struct(_)
            | Expr::Unspecified => false,
        };
        let open = matches!(output, check::Type::Dyn | check::Type::Free) && !plain(compiled.program.expression());
        if output != check::Type::Bool && !open {
            let text = format!("expected a bool condition expression output, but got '{output}'");
            return Err(ConditionFault::Compile(text));
        }
        Ok(CompiledCondition(compiled))
    }

    /// Whether the condition is met. What the tuple stored wins over what the request sends.
    ///
    /// A value that is not of its parameter's type, a parameter that nobody gave, a cost above `cost_max` and an expression
    /// that fails are errors: never "not met".
    pub fn evaluate(&self, stored: &Context, request: Option<&Context>, cost_max: u64) -> Result<bool, ConditionFault> {
        self.0.evaluate((stored, request), cost_max, |value| match value.downcast_ref::<CelBool>() {
            Some(met) => Ok(*met.inner()),
            None => Err(ConditionFault::Evaluation(format!("expected a bool, found {}", value.get_type().name()))),
        })
    }

    /// What an evaluation costs, whatever that is; see [`CompiledCondition::evaluate`].
    pub fn cost(&self, stored: &Context, request: Option<&Context>) -> Result<u64, ConditionFault> {
        let given = self.0.given(stored, request)?;
        let mut context = cel::Context::with_env(env()?);
        context.set_variable_resolver(&given);
        let mut meter = cost::Meter::new(COST_MEASURED_MAX);
        meter.walk(self.0.program.expression(), &context, 0)?;
        Ok(meter.spent())
    }

    /// Checks what a tuple stores for this condition: only declared parameters, each of its type.
    pub fn check_stored_context(&self, stored: &Context) -> Result<(), ConditionFault> {
        for (key, json) in stored {
            let Some((_, ty)) = self.0.parameters.iter().find(|(n, _)| n == key) else {
                return Err(ConditionFault::Undeclared(key.clone()));
            };
            cast::cast(json, ty, key, 0)?;
        }
        Ok(())
    }
}

/// The largest size of a value or of anything in it. As deep as [`cast`] goes, which bounds it.
fn largest(value: &dyn Val) -> u64 {
    use cel::common::types::{CelList, CelMap};
    let own = cost::size(value);
    let inner = match (value.downcast_ref::<CelList<'_>>(), value.downcast_ref::<CelMap<'_>>()) {
        (Some(list), _) => list.inner().iter().map(|v| largest(v.as_ref())).max(),
        (None, Some(map)) => map.inner().values().map(|v| largest(v.as_ref())).max(),
        (None, None) => None,
    };
    own.max(inner.unwrap_or(0))
}

/// cel-go's text of a mistake: the place, the line of the expression, and a mark under it.
fn pointed(name: &str, expression: &str, at: usize, message: &str) -> String {
    let (line, column) = super::line_and_column(expression, at);
    let text = expression.lines().nth(line - 1).unwrap_or_default();
    format!("ERROR: {name}:{line}:{column}: {message}\n | {text}\n | {}^", ".".repeat(column - 1))
}
