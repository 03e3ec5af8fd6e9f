//! The types of an expression, found before it is ever evaluated, as cel-go's checker does: a condition that mixes types,
//! names what is not declared, or is not a bool is refused when the model is written, not when somebody asks.
//!
//! Where this checker knows less than cel-go's it says `dyn` and lets the expression pass.

use super::NESTING_MAX;
use crate::model::ast::ParameterType;
use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue, operators};

/// The type of an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Type {
    /// Any, decided when evaluated.
    Dyn,
    /// Any, not decided by anything yet: the elements of `[]`.
    Free,
    Null,
    Bool,
    Int,
    Uint,
    Double,
    String,
    Bytes,
    Timestamp,
    Duration,
    Address,
    /// The type of types.
    Kind,
    List(Box<Type>),
    Map(Box<Type>, Box<Type>),
}

impl std::fmt::Display for Type {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Type::Dyn | Type::Free => "dyn",
            Type::Null => "null",
            Type::Bool => "bool",
            Type::Int => "int",
            Type::Uint => "uint",
            Type::Double => "double",
            Type::String => "string",
            Type::Bytes => "bytes",
            Type::Timestamp => "timestamp",
            Type::Duration => "duration",
            Type::Address => "IPAddress",
            Type::Kind => "type",
            Type::List(inner) => return write!(f, "list({inner})"),
            Type::Map(key, value) => return write!(f, "map({key}, {value})"),
        })
    }
}

impl From<&ParameterType> for Type {
    fn from(ty: &ParameterType) -> Type {
        match ty {
            ParameterType::Any => Type::Dyn,
            ParameterType::Bool => Type::Bool,
            ParameterType::String => Type::String,
            ParameterType::Int => Type::Int,
            ParameterType::Uint => Type::Uint,
            ParameterType::Double => Type::Double,
            ParameterType::Duration => Type::Duration,
            ParameterType::Timestamp => Type::Timestamp,
            ParameterType::IpAddress => Type::Address,
            ParameterType::Map(inner) => Type::Map(Box::new(Type::String), Box::new(inner.as_ref().into())),
            ParameterType::List(inner) => Type::List(Box::new(inner.as_ref().into())),
        }
    }
}

/// Why an expression is refused, and at which part of it.
#[derive(Debug)]
pub(super) struct Mistake {
    /// The identifier of the part.
    pub(super) id: u64,
    pub(super) message: String,
}

type Checked = Result<Type, Mistake>;

/// The type of an expression whose names have these types.
pub(super) fn check(expr: &IdedExpr, parameters: &[(String, ParameterType)]) -> Checked {
    let names = parameters.iter().map(|(name, ty)| (name.as_str(), ty.into())).collect();
    Checker { names }.of(expr, 0)
}

/// Whether one type can stand for the other.
fn agree(a: &Type, b: &Type) -> bool {
    let nullable = |t: &Type| matches!(t, Type::Null | Type::Timestamp | Type::Duration | Type::Address);
    match (a, b) {
        (Type::Dyn | Type::Free, _) | (_, Type::Dyn | Type::Free) => true,
        (Type::Null, other) | (other, Type::Null) => nullable(other),
        (Type::List(a), Type::List(b)) => agree(a, b),
        (Type::Map(ak, av), Type::Map(bk, bv)) => agree(ak, bk) && agree(av, bv),
        (a, b) => a == b,
    }
}

/// The type of a value that has either type.
fn join(a: Type, b: Type) -> Type {
    match (a, b) {
        (Type::Free, other) | (other, Type::Free) => other,
        (Type::List(a), Type::List(b)) => Type::List(Box::new(join(*a, *b))),
        (Type::Map(ak, av), Type::Map(bk, bv)) => Type::Map(Box::new(join(*ak, *bk)), Box::new(join(*av, *bv))),
        (a, b) if a == b => a,
        _ => Type::Dyn,
    }
}

fn wild(ty: &Type) -> bool {
    matches!(ty, Type::Dyn | Type::Free)
}

struct Checker<'a> {
    names: Vec<(&'a str, Type)>,
}

impl<'a> Checker<'a> {
    fn of(&mut self, expr: &'a IdedExpr, depth: usize) -> Checked {
        let mistake = |message: String| Err(Mistake { id: expr.id, message });
        if depth > NESTING_MAX {
            return mistake(format!("the expression is nested deeper than {NESTING_MAX}"));
        }
        match &expr.expr {
            Expr::Literal(literal) => Ok(match literal {
                LiteralValue::Boolean(_) => Type::Bool,
                LiteralValue::Bytes(_) => Type::Bytes,
                LiteralValue::Double(_) => Type::Double,
                LiteralValue::Int(_) => Type::Int,
                LiteralValue::Null => Type::Null,
                LiteralValue::String(_) => Type::String,
                LiteralValue::UInt(_) => Type::Uint,
            }),
            Expr::Ident(name) => match self.names.iter().rev().find(|(n, _)| n == name) {
                Some((_, ty)) => Ok(ty.clone()),
                None if KINDS.contains(&name.as_str()) => Ok(Type::Kind),
                None => mistake(format!("undeclared reference to '{name}' (in container '')")),
            },
            Expr::List(list) => {
                let mut inner = Type::Free;
                for element in &list.elements {
                    inner = join(inner, self.of(element, depth + 1)?);
                }
                Ok(Type::List(Box::new(inner)))
            }
            Expr::Map(map) => {
                let (mut key, mut value) = (Type::Free, Type::Free);
                for entry in &map.entries {
                    if let EntryExpr::MapEntry(entry) = &entry.expr {
                        key = join(key, self.of(&entry.key, depth + 1)?);
                        value = join(value, self.of(&entry.value, depth + 1)?);
                    }
                }
                Ok(Type::Map(Box::new(key), Box::new(value)))
            }
            Expr::Select(select) => {
                let field = match self.of(&select.operand, depth + 1)? {
                    Type::Map(_, value) => *value,
                    Type::Dyn | Type::Free => Type::Dyn,
                    other => return mistake(format!("type '{other}' does not support field selection")),
                };
                Ok(if select.test { Type::Bool } else { field })
            }
            Expr::Struct(s) => mistake(format!("undeclared reference to '{}' (in container '')", s.type_name)),
            Expr::Comprehension(c) => self.comprehension(c, depth),
            Expr::Call(call) => self.call(expr.id, call, depth),
            Expr::Unspecified => Ok(Type::Dyn),
        }
    }

    fn comprehension(&mut self, c: &'a ComprehensionExpr, depth: usize) -> Checked {
        let element = match self.of(&c.iter_range, depth + 1)? {
            Type::List(inner) => *inner,
            Type::Map(key, _) => *key,
            Type::Dyn | Type::Free => Type::Dyn,
            other => {
                let message = format!(
                    "expression of type '{other}' cannot be range of a comprehension (must be list, map, or dynamic)"
                );
                return Err(Mistake { id: c.iter_range.id, message });
            }
        };
        let accu = self.of(&c.accu_init, depth + 1)?;
        let before = self.names.len();
        self.names.push((&c.iter_var, element));
        self.names.extend(c.iter_var2.as_deref().map(|name| (name, Type::Dyn)));
        self.names.push((&c.accu_var, accu.clone()));
        let condition = self.of(&c.loop_cond, depth + 1)?;
        let step = self.of(&c.loop_step, depth + 1)?;
        if !agree(&condition, &Type::Bool) || !agree(&step, &accu) {
            let message = format!("expected type '{accu}' but found '{step}'");
            return Err(Mistake { id: c.loop_step.id, message });
        }
        if let Some(last) = self.names.last_mut() {
            last.1 = join(accu, step);
        }
        // The result sees the accumulator, and nothing of the loop.
        let accu = self.names.pop();
        self.names.truncate(before);
        self.names.extend(accu);
        let result = self.of(&c.result, depth + 1);
        self.names.truncate(before);
        result
    }

    fn call(&mut self, id: u64, call: &'a CallExpr, depth: usize) -> Checked {
        let name = if call.func_name == super::DURATION { "duration" } else { call.func_name.as_str() };
        let target = call.target.as_deref().map(|e| self.of(e, depth + 1)).transpose()?;
        let args = call.args.iter().map(|e| self.of(e, depth + 1)).collect::<Result<Vec<_>, _>>()?;
        let found = match &target {
            Some(target) => method(name, target, &args),
            None => function(name, &args),
        };
        found.ok_or_else(|| {
            let list = args.iter().map(Type::to_string).collect::<Vec<_>>().join(", ");
            let known = if target.is_some() { METHODS.contains(&name) } else { known_function(name) };
            let message = match target {
                _ if !known => format!("undeclared reference to '{name}' (in container '')"),
                Some(target) => format!("found no matching overload for '{name}' applied to '{target}.({list})'"),
                None => format!("found no matching overload for '{name}' applied to '({list})'"),
            };
            Mistake { id, message }
        })
    }
}

/// Names of types, which are values too.
const KINDS: [&str; 10] = ["bool", "bytes", "double", "int", "list", "map", "null_type", "string", "type", "uint"];
const METHODS: [&str; 16] = [
    "size",
    "contains",
    "startsWith",
    "endsWith",
    "matches",
    "in_cidr",
    "getFullYear",
    "getMonth",
    "getDayOfYear",
    "getDayOfMonth",
    "getDate",
    "getDayOfWeek",
    "getHours",
    "getMinutes",
    "getSeconds",
    "getMilliseconds",
];

fn known_function(name: &str) -> bool {
    const NAMED: [&str; 13] = [
        "size",
        "matches",
        "bool",
        "bytes",
        "double",
        "duration",
        "dyn",
        "int",
        "string",
        "timestamp",
        "type",
        "uint",
        "ipaddress",
    ];
    name.starts_with(['_', '@', '!', '-']) || NAMED.contains(&name)
}

/// The type of a call of a function, when it takes these arguments.
fn function(name: &str, args: &[Type]) -> Option<Type> {
    match args {
        [one] => match name {
            operators::LOGICAL_NOT | operators::NOT_STRICTLY_FALSE => agree(one, &Type::Bool).then_some(Type::Bool),
            operators::NEGATE => match one {
                Type::Int | Type::Double | Type::Dyn => Some(one.clone()),
                _ => None,
            },
            "size" => sized(one).then_some(Type::Int),
            "ipaddress" => agree(one, &Type::String).then_some(Type::Address),
            _ => conversion(name, one),
        },
        [a, b] => binary(name, a, b),
        [condition, yes, no] if name == operators::CONDITIONAL => {
            (agree(condition, &Type::Bool) && agree(yes, no)).then(|| join(yes.clone(), no.clone()))
        }
        _ => None,
    }
}

fn sized(ty: &Type) -> bool {
    wild(ty) || matches!(ty, Type::String | Type::Bytes | Type::List(_) | Type::Map(..))
}

fn conversion(name: &str, from: &Type) -> Option<Type> {
    use Type::{Bool, Bytes, Double, Duration, Dyn, Int, Kind, String, Timestamp, Uint};
    let (to, takes): (Type, &[Type]) = match name {
        "bool" => (Bool, &[Bool, String]),
        "bytes" => (Bytes, &[Bytes, String]),
        "double" => (Double, &[Double, Int, Uint, String]),
        "duration" => (Duration, &[Duration, Int, String]),
        "int" => (Int, &[Int, Uint, Double, String, Timestamp, Duration]),
        "string" => (String, &[String, Bool, Int, Uint, Double, Bytes, Timestamp, Duration]),
        "timestamp" => (Timestamp, &[Timestamp, Int, String]),
        "uint" => (Uint, &[Uint, Int, Double, String]),
        "dyn" => return Some(Dyn),
        "type" => return Some(Kind),
        _ => return None,
    };
    (wild(from) || takes.contains(from)).then_some(to)
}

fn binary(name: &str, a: &Type, b: &Type) -> Option<Type> {
    let when = |fits: bool, ty: Type| fits.then_some(ty);
    match name {
        operators::LOGICAL_AND | operators::LOGICAL_OR => {
            when(agree(a, &Type::Bool) && agree(b, &Type::Bool), Type::Bool)
        }
        operators::EQUALS | operators::NOT_EQUALS => when(agree(a, b), Type::Bool),
        operators::LESS | operators::LESS_EQUALS | operators::GREATER | operators::GREATER_EQUALS => {
            let ordered =
                |t: &Type| !matches!(t, Type::Null | Type::Address | Type::Kind | Type::List(_) | Type::Map(..));
            when(agree(a, b) && ordered(a) && ordered(b), Type::Bool)
        }
        operators::ADD => add(a, b),
        operators::SUBSTRACT => subtract(a, b),
        operators::MULTIPLY | operators::DIVIDE => number(a, b, true),
        operators::MODULO => number(a, b, false),
        operators::IN => match b {
            Type::List(inner) | Type::Map(inner, _) => when(agree(a, inner), Type::Bool),
            Type::Dyn | Type::Free => Some(Type::Bool),
            _ => None,
        },
        operators::INDEX => match a {
            Type::List(inner) => when(agree(b, &Type::Int), inner.as_ref().clone()),
            Type::Map(key, value) => when(agree(b, key), value.as_ref().clone()),
            Type::Dyn | Type::Free => Some(Type::Dyn),
            _ => None,
        },
        "matches" => when(agree(a, &Type::String) && agree(b, &Type::String), Type::Bool),
        _ => None,
    }
}

/// `* / %`, which take two numbers of one kind.
fn number(a: &Type, b: &Type, fractions: bool) -> Option<Type> {
    let numeric = |t: &Type| wild(t) || matches!(t, Type::Int | Type::Uint) || fractions && *t == Type::Double;
    (agree(a, b) && numeric(a) && numeric(b)).then(|| if wild(a) { b.clone() } else { a.clone() })
}

fn add(a: &Type, b: &Type) -> Option<Type> {
    match (a, b) {
        (Type::Timestamp, Type::Duration) | (Type::Duration, Type::Timestamp) => Some(Type::Timestamp),
        (Type::Duration, Type::Duration) => Some(Type::Duration),
        (Type::List(_), Type::List(_)) => agree(a, b).then(|| join(a.clone(), b.clone())),
        (Type::String, Type::String) | (Type::Bytes, Type::Bytes) => Some(a.clone()),
        (a, b) if wild(a) || wild(b) => {
            let other = if wild(a) { b } else { a };
            let addable = !matches!(other, Type::Null | Type::Bool | Type::Address | Type::Kind | Type::Map(..));
            addable.then_some(Type::Dyn)
        }
        (a, b) => number(a, b, true),
    }
}

fn subtract(a: &Type, b: &Type) -> Option<Type> {
    match (a, b) {
        (Type::Timestamp, Type::Timestamp) | (Type::Duration, Type::Duration) => Some(Type::Duration),
        (Type::Timestamp, Type::Duration) => Some(Type::Timestamp),
        (a, b) if wild(a) || wild(b) => {
            let other = if wild(a) { b } else { a };
            let fits = wild(other)
                || matches!(other, Type::Int | Type::Uint | Type::Double | Type::Timestamp | Type::Duration);
            fits.then_some(Type::Dyn)
        }
        (a, b) => number(a, b, true),
    }
}

/// The type of a call of a method, when the target and the arguments fit.
fn method(name: &str, target: &Type, args: &[Type]) -> Option<Type> {
    let (text, of_text) = (agree(target, &Type::String), args.iter().all(|a| agree(a, &Type::String)));
    match (name, args) {
        ("size", []) => sized(target).then_some(Type::Int),
        ("contains" | "startsWith" | "endsWith" | "matches", [_]) => (text && of_text).then_some(Type::Bool),
        ("in_cidr", [_]) => (agree(target, &Type::Address) && *target != Type::Null && of_text).then_some(Type::Bool),
        ("getHours" | "getMinutes" | "getSeconds" | "getMilliseconds", []) => {
            (wild(target) || matches!(target, Type::Timestamp | Type::Duration)).then_some(Type::Int)
        }
        (name, [] | [_]) if name.starts_with("get") && METHODS.contains(&name) => {
            ((wild(target) || *target == Type::Timestamp) && of_text).then_some(Type::Int)
        }
        _ => None,
    }
}
