//! Conditions: CEL over the parameters that a model declares, with OpenFGA's casting, merging and bounds.
//!
//! CEL itself is the crate `cel`. What OpenFGA adds is here: parameter types, `ipaddress` and `in_cidr`, "the tuple's
//! context wins", "a declared parameter that is missing is an error", and a bound on the cost of one evaluation. The crate
//! has no type checker, so a condition that is not boolean is refused when it is evaluated, and an address is compared
//! as text in its canonical form.

use super::ast::{ConditionDefinition, ParameterType};
use crate::tuple::Context;
use cel::common::ast::{EntryExpr, Expr, IdedExpr};
use cel::{Env, ExecutionError, Program, Value};
use serde_json::Value as Json;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, LazyLock};

/// Longest expression, in bytes (OpenFGA's proto rule).
const EXPRESSION_BYTES_MAX: usize = 512;
/// Deepest nesting of an expression or a value.
const NESTING_MAX: usize = 64;

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

/// A condition, ready to be evaluated.
pub struct CompiledCondition {
    program: Program,
    parameters: Vec<(String, ParameterType)>,
}

impl std::fmt::Debug for CompiledCondition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CompiledCondition").field("parameters", &self.parameters).finish_non_exhaustive()
    }
}

static ENV: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib()));
/// Names of CEL that an expression may use without declaring them.
const BUILT_IN: [&str; 11] =
    ["bool", "int", "uint", "double", "string", "bytes", "list", "map", "type", "null_type", "optional"];

impl CompiledCondition {
    /// Compiles a condition.
    pub fn compile(definition: &ConditionDefinition) -> Result<Self, ConditionFault> {
        if definition.expression.len() > EXPRESSION_BYTES_MAX {
            let text = format!("the expression is longer than {EXPRESSION_BYTES_MAX} bytes");
            return Err(ConditionFault::Compile(text));
        }
        let program =
            ENV.compile(&definition.expression).map_err(|error| ConditionFault::Compile(error.to_string()))?;
        let declared: Vec<&str> = definition.parameters.iter().map(|(n, _)| n.as_str()).collect();
        declared_only(program.expression(), &declared, &mut Vec::new(), 0)?;
        if matches!(&program.expression().expr, Expr::Literal(l) if !matches!(l, cel::common::ast::LiteralValue::Boolean(_)))
            || matches!(&program.expression().expr, Expr::List(_) | Expr::Map(_))
        {
            return Err(ConditionFault::Compile("expected a bool condition expression output".into()));
        }
        Ok(CompiledCondition { program, parameters: definition.parameters.clone() })
    }

    /// Whether the condition is met. What the tuple stored wins over what the request sends.
    pub fn evaluate(&self, stored: &Context, request: Option<&Context>, cost_max: u64) -> Result<bool, ConditionFault> {
        let mut context = cel::Context::with_env(Arc::clone(&ENV));
        let mut missing = Vec::new();
        let mut sizes: HashMap<&str, u64> = HashMap::new();
        for (name, ty) in &self.parameters {
            let Some(json) = stored.get(name).or_else(|| request.and_then(|r| r.get(name))) else {
                missing.push(name.clone());
                continue;
            };
            sizes.insert(name, size(json));
            context.add_variable_from_value(name.as_str(), cast(json, ty, name, 0)?);
        }
        if !missing.is_empty() {
            return Err(ConditionFault::Missing(missing));
        }
        let largest = sizes.values().copied().max().unwrap_or(0).max(1);
        if cost(self.program.expression(), &sizes, largest, 0) > cost_max {
            return Err(ConditionFault::Cost);
        }
        let named = |error: cel::DeclarationError| ConditionFault::Evaluation(error.to_string());
        context.add_function("ipaddress", |text: Arc<String>| address(&text)).map_err(named)?;
        context.add_function("in_cidr", in_cidr).map_err(named)?;
        match self.program.execute(&context) {
            Ok(Value::Bool(met)) => Ok(met),
            Ok(other) => Err(ConditionFault::Evaluation(format!("expected a bool, found {}", other.type_of()))),
            Err(error) => Err(ConditionFault::Evaluation(error.to_string())),
        }
    }

    /// Checks what a tuple stores for this condition: only declared parameters, each of its type.
    pub fn check_stored_context(&self, stored: &Context) -> Result<(), ConditionFault> {
        for (key, json) in stored {
            let Some((_, ty)) = self.parameters.iter().find(|(n, _)| n == key) else {
                return Err(ConditionFault::Undeclared(key.clone()));
            };
            cast(json, ty, key, 0)?;
        }
        Ok(())
    }
}

fn address(text: &str) -> Result<Value, ExecutionError> {
    let parsed: Result<IpAddr, _> = text.parse();
    let address = parsed.map_err(|_| ExecutionError::function_error("ipaddress", format!("`{text}` is no address")))?;
    Ok(Value::from(address.to_canonical().to_string()))
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that cel wants of a function")]
fn in_cidr(
    cel::extractors::This(text): cel::extractors::This<Arc<String>>,
    cidr: Arc<String>,
) -> Result<Value, ExecutionError> {
    let fault = |what: &str| ExecutionError::function_error("in_cidr", what.to_owned());
    let address: IpAddr = text.parse().map_err(|_| fault("not an address"))?;
    let network: ipnet::IpNet = cidr.parse().map_err(|_| fault("not a network in CIDR notation"))?;
    Ok(Value::Bool(network.contains(&address.to_canonical())))
}

fn name_of(ty: &ParameterType) -> String {
    match ty {
        ParameterType::Any => "any".into(),
        ParameterType::Bool => "bool".into(),
        ParameterType::String => "string".into(),
        ParameterType::Int => "int".into(),
        ParameterType::Uint => "uint".into(),
        ParameterType::Double => "double".into(),
        ParameterType::Duration => "duration".into(),
        ParameterType::Timestamp => "timestamp".into(),
        ParameterType::IpAddress => "ipaddress".into(),
        ParameterType::Map(inner) => format!("map<{}>", name_of(inner)),
        ParameterType::List(inner) => format!("list<{}>", name_of(inner)),
    }
}

/// A JSON value as a parameter's type wants it.
fn cast(json: &Json, ty: &ParameterType, parameter: &str, depth: usize) -> Result<Value, ConditionFault> {
    let fault = || ConditionFault::Cast { parameter: parameter.to_owned(), expected: name_of(ty) };
    if depth > NESTING_MAX {
        return Err(fault());
    }
    let text = json.as_str();
    let value = match ty {
        ParameterType::Any => Some(any(json, 0).ok_or_else(fault)?),
        ParameterType::Bool => json.as_bool().map(Value::Bool),
        ParameterType::String => text.map(Value::from),
        ParameterType::Int => int(json).map(Value::Int),
        ParameterType::Uint => uint(json).map(Value::UInt),
        ParameterType::Double => json.as_f64().or_else(|| text?.parse().ok()).map(Value::Float),
        ParameterType::Duration => text.and_then(duration).map(Value::Duration),
        ParameterType::Timestamp => {
            text.and_then(|t| chrono::DateTime::parse_from_rfc3339(t).ok()).map(Value::Timestamp)
        }
        ParameterType::IpAddress => text.and_then(|t| address(t).ok()),
        ParameterType::List(inner) => match json {
            Json::Array(list) => {
                let list: Result<Vec<Value>, _> = list.iter().map(|j| cast(j, inner, parameter, depth + 1)).collect();
                Some(Value::List(Arc::new(list?)))
            }
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Object(_) => None,
        },
        ParameterType::Map(inner) => match json {
            Json::Object(map) => {
                let pairs = map.iter().map(|(k, j)| Ok((k.clone(), cast(j, inner, parameter, depth + 1)?)));
                Some(Value::from(pairs.collect::<Result<HashMap<String, Value>, ConditionFault>>()?))
            }
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Array(_) => None,
        },
    };
    value.ok_or_else(fault)
}

#[expect(clippy::cast_possible_truncation, reason = "the float is integral and in range")]
fn int(json: &Json) -> Option<i64> {
    let float = |f: &f64| f.fract() == 0.0 && f.abs() < 9.2e18;
    json.as_i64().or_else(|| json.as_f64().filter(float).map(|f| f as i64)).or_else(|| json.as_str()?.parse().ok())
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the float is integral and in range")]
fn uint(json: &Json) -> Option<u64> {
    let float = |f: &f64| f.fract() == 0.0 && (0.0..1.8e19).contains(f);
    json.as_u64().or_else(|| json.as_f64().filter(float).map(|f| f as u64)).or_else(|| json.as_str()?.parse().ok())
}

/// JSON as CEL sees a `google.protobuf.Value`: numbers are doubles.
fn any(json: &Json, depth: usize) -> Option<Value> {
    if depth > NESTING_MAX {
        return None;
    }
    Some(match json {
        Json::Null => Value::Null,
        Json::Bool(b) => Value::Bool(*b),
        Json::Number(n) => Value::Float(n.as_f64()?),
        Json::String(s) => Value::from(s.as_str()),
        Json::Array(list) => {
            Value::List(Arc::new(list.iter().map(|j| any(j, depth + 1)).collect::<Option<Vec<Value>>>()?))
        }
        Json::Object(map) => {
            let pairs = map.iter().map(|(k, j)| Some((k.clone(), any(j, depth + 1)?)));
            Value::from(pairs.collect::<Option<HashMap<String, Value>>>()?)
        }
    })
}

/// Go's notation: `1h30m`, `-1.5s`, `300ms`.
fn duration(text: &str) -> Option<chrono::Duration> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(chrono::Duration::zero());
    }
    let mut nanos = 0_f64;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(end);
        let unit_end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        let scale = match unit {
            "ns" => 1.0,
            "us" | "µs" | "μs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3_600e9,
            _ => return None,
        };
        nanos += number.parse::<f64>().ok()? * scale;
        rest = tail;
    }
    if nanos >= 9.2e18 {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, reason = "checked above")]
    let nanos = nanos.round() as i64;
    Some(chrono::Duration::nanoseconds(if negative { -nanos } else { nanos }))
}

/// How many elements a value holds.
fn size(json: &Json) -> u64 {
    match json {
        Json::Array(list) => list.len() as u64 + list.iter().map(size).sum::<u64>(),
        Json::Object(map) => map.len() as u64 + map.values().map(size).sum::<u64>(),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => 0,
    }
}

/// Parts of an expression that are evaluated once for each time it is.
fn parts(expr: &Expr) -> Vec<&IdedExpr> {
    match expr {
        Expr::Call(call) => call.target.as_deref().into_iter().chain(&call.args).collect(),
        Expr::List(list) => list.elements.iter().collect(),
        Expr::Map(map) => map.entries.iter().flat_map(|e| entry(&e.expr)).collect(),
        Expr::Struct(s) => s.entries.iter().flat_map(|e| entry(&e.expr)).collect(),
        Expr::Select(select) => vec![&*select.operand],
        Expr::Comprehension(_) | Expr::Ident(_) | Expr::Literal(_) | Expr::Unspecified => Vec::new(),
    }
}

fn entry(entry: &EntryExpr) -> Vec<&IdedExpr> {
    match entry {
        EntryExpr::StructField(field) => vec![&field.value],
        EntryExpr::MapEntry(pair) => vec![&pair.key, &pair.value],
    }
}

/// The most that an evaluation can cost: one for each operation, those of a comprehension once for each element.
fn cost(expr: &IdedExpr, sizes: &HashMap<&str, u64>, largest: u64, depth: usize) -> u64 {
    if depth > NESTING_MAX {
        return u64::MAX;
    }
    let of = |e: &IdedExpr| cost(e, sizes, largest, depth + 1);
    match &expr.expr {
        Expr::Comprehension(c) => {
            let turns = match &c.iter_range.expr {
                Expr::Ident(name) => sizes.get(name.as_str()).copied().unwrap_or(largest),
                Expr::List(list) => list.elements.len() as u64,
                Expr::Call(_)
                | Expr::Comprehension(_)
                | Expr::Literal(_)
                | Expr::Map(_)
                | Expr::Select(_)
                | Expr::Struct(_)
                | Expr::Unspecified => largest,
            };
            let each = of(&c.loop_cond).saturating_add(of(&c.loop_step));
            of(&c.iter_range).saturating_add(of(&c.result)).saturating_add(turns.saturating_mul(each))
        }
        Expr::Call(_) | Expr::Select(_) | Expr::Ident(_) => {
            parts(&expr.expr).into_iter().map(of).fold(1, u64::saturating_add)
        }
        Expr::List(_) | Expr::Map(_) | Expr::Struct(_) | Expr::Literal(_) | Expr::Unspecified => {
            parts(&expr.expr).into_iter().map(of).fold(0, u64::saturating_add)
        }
    }
}

/// Refuses a name that is neither a parameter, nor CEL's own, nor bound by a comprehension around it.
fn declared_only<'a>(
    expr: &'a IdedExpr,
    declared: &[&str],
    bound: &mut Vec<&'a str>,
    depth: usize,
) -> Result<(), ConditionFault> {
    if depth > NESTING_MAX {
        return Err(ConditionFault::Compile(format!("the expression is nested deeper than {NESTING_MAX}")));
    }
    match &expr.expr {
        Expr::Ident(name) => {
            let known = |list: &[&str]| list.contains(&name.as_str());
            if known(declared) || known(bound) || known(&BUILT_IN) || name.starts_with('@') {
                return Ok(());
            }
            Err(ConditionFault::Compile(format!("undeclared reference to '{name}'")))
        }
        Expr::Comprehension(c) => {
            declared_only(&c.iter_range, declared, bound, depth + 1)?;
            let before = bound.len();
            bound.extend([c.iter_var.as_str(), c.accu_var.as_str()]);
            bound.extend(c.iter_var2.as_deref());
            for part in [&c.accu_init, &c.loop_cond, &c.loop_step, &c.result] {
                declared_only(part, declared, bound, depth + 1)?;
            }
            bound.truncate(before);
            Ok(())
        }
        other @ (Expr::Call(_)
        | Expr::List(_)
        | Expr::Literal(_)
        | Expr::Map(_)
        | Expr::Select(_)
        | Expr::Struct(_)
        | Expr::Unspecified) => parts(other).into_iter().try_for_each(|e| declared_only(e, declared, bound, depth + 1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[expect(clippy::needless_pass_by_value, reason = "reads better at the calls")]
    fn ask(expression: &str, parameters: &[(&str, ParameterType)], context: Json) -> Result<bool, ConditionFault> {
        let definition = ConditionDefinition {
            name: "c".into(),
            expression: expression.into(),
            parameters: parameters.iter().map(|(n, t)| ((*n).to_owned(), t.clone())).collect(),
            origin: super::super::ast::Origin::default(),
        };
        CompiledCondition::compile(&definition)?.evaluate(context.as_object().unwrap(), None, 100)
    }

    #[test]
    fn types_and_casts() {
        use ParameterType::*;
        let list = List(Box::new(String));
        assert_eq!(ask("x < 100", &[("x", Int)], json!({"x": 5.0})), Ok(true));
        assert_eq!(ask("x < 100", &[("x", Int)], json!({"x": "500"})), Ok(false));
        assert!(ask("x < 100", &[("x", Int)], json!({"x": 5.5})).is_err());
        assert_eq!(ask("'a' in xs", &[("xs", list.clone())], json!({"xs": ["b", "a"]})), Ok(true));
        assert_eq!(ask("ip.in_cidr('10.0.0.0/8')", &[("ip", IpAddress)], json!({"ip": "::ffff:10.1.2.3"})), Ok(true));
        assert_eq!(ask("ip == ipaddress('10.1.2.3')", &[("ip", IpAddress)], json!({"ip": "10.1.2.3"})), Ok(true));
        let times = [("t", Timestamp), ("g", Timestamp), ("d", Duration)];
        let context = json!({"t": "2024-01-01T00:10:00Z", "g": "2024-01-01T00:00:00Z", "d": "1h"});
        assert_eq!(ask("t < g + d", &times, context), Ok(true));
        assert_eq!(ask("m['a'] == 1.0", &[("m", Map(Box::new(Double)))], json!({"m": {"a": 1}})), Ok(true));
        assert_eq!(ask("xs.exists(x, x == 'a')", &[("xs", list.clone())], json!({"xs": ["a"]})), Ok(true));
        let many: Vec<std::string::String> = (0..1000).map(|i| i.to_string()).collect();
        assert_eq!(ask("xs.exists(x, x == 'a')", &[("xs", list)], json!({"xs": many})), Err(ConditionFault::Cost));
    }

    #[test]
    fn faults() {
        use ParameterType::*;
        assert_eq!(ask("x", &[("x", Bool)], json!({})), Err(ConditionFault::Missing(vec!["x".into()])));
        assert!(matches!(ask("y", &[("x", Bool)], json!({"x": true})), Err(ConditionFault::Compile(_))));
        assert!(matches!(ask("x +", &[("x", Int)], json!({"x": 1})), Err(ConditionFault::Compile(_))));
        assert!(matches!(ask("x + 1", &[("x", Int)], json!({"x": 1})), Err(ConditionFault::Evaluation(_))));
        assert!(matches!(ask("1 / x == 1", &[("x", Int)], json!({"x": 0})), Err(ConditionFault::Evaluation(_))));
        assert!(matches!(ask("x + 1 > 0", &[("x", Int)], json!({"x": i64::MAX})), Err(ConditionFault::Evaluation(_))));
    }
}
