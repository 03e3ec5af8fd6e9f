//! Values of a context as the types of a condition's parameters want them, with OpenFGA's casts.

use super::address::Address;
use super::{ConditionFault, NESTING_MAX};
use crate::model::ast::ParameterType;
use cel::common::types::{
    CelBool, CelDouble, CelDuration, CelInt, CelList, CelMap, CelMapKey, CelNull, CelString, CelTimestamp, CelUInt,
};
use cel::common::value::Val;
use serde_json::Value as Json;
use std::collections::HashMap;

/// A value of CEL that may borrow the text of the context.
pub(super) type Boxed<'v> = Box<dyn Val + 'v>;

/// The type as the modelling language writes it.
pub(super) fn name_of(ty: &ParameterType) -> String {
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
pub(super) fn cast<'v>(
    json: &'v Json,
    ty: &ParameterType,
    parameter: &str,
    depth: usize,
) -> Result<Boxed<'v>, ConditionFault> {
    let fault = || ConditionFault::Cast { parameter: parameter.to_owned(), expected: name_of(ty) };
    if depth > NESTING_MAX {
        return Err(fault());
    }
    let text = json.as_str();
    let value: Option<Boxed<'v>> = match ty {
        ParameterType::Any => any(json, 0),
        ParameterType::Bool => json.as_bool().map(|b| Box::new(CelBool::from(b)) as Boxed<'v>),
        ParameterType::String => text.map(|t| Box::new(CelString::from(t)) as Boxed<'v>),
        ParameterType::Int => int(json).map(|i| Box::new(CelInt::from(i)) as Boxed<'v>),
        ParameterType::Uint => uint(json).map(|u| Box::new(CelUInt::from(u)) as Boxed<'v>),
        ParameterType::Double => double(json).map(|d| Box::new(CelDouble::from(d)) as Boxed<'v>),
        ParameterType::Duration => text.and_then(duration).map(|d| Box::new(CelDuration::from(d)) as Boxed<'v>),
        ParameterType::Timestamp => text
            .and_then(|t| chrono::DateTime::parse_from_rfc3339(t).ok())
            .map(|t| Box::new(CelTimestamp::from(t)) as Boxed<'v>),
        ParameterType::IpAddress => text.and_then(Address::parse).map(|a| Box::new(a) as Boxed<'v>),
        ParameterType::List(inner) => match json {
            Json::Array(list) => {
                let list: Result<Vec<Boxed<'v>>, _> =
                    list.iter().map(|j| cast(j, inner, parameter, depth + 1)).collect();
                Some(Box::new(CelList::from(list?)))
            }
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Object(_) => None,
        },
        ParameterType::Map(inner) => match json {
            Json::Object(map) => {
                let pairs =
                    map.iter().map(|(k, j)| Ok((CelMapKey::from(k.as_str()), cast(j, inner, parameter, depth + 1)?)));
                Some(Box::new(CelMap::from(pairs.collect::<Result<HashMap<_, _>, ConditionFault>>()?)))
            }
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Array(_) => None,
        },
    };
    value.ok_or_else(fault)
}

/// A number, or a text that is one and nothing else: OpenFGA reads numbers from text, with an exponent or without.
fn double(json: &Json) -> Option<f64> {
    let number = |t: &str| {
        let digits = t.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.'));
        t.parse::<f64>().ok().filter(|f| digits && f.is_finite())
    };
    json.as_f64().or_else(|| number(json.as_str()?))
}

#[expect(clippy::cast_possible_truncation, reason = "the float is integral and in range")]
fn int(json: &Json) -> Option<i64> {
    let float = |f: &f64| f.fract() == 0.0 && f.abs() < 9.2e18;
    let exact = json.as_i64().or_else(|| json.as_str()?.parse().ok());
    exact.or_else(|| double(json).filter(float).map(|f| f as i64))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the float is integral and in range")]
fn uint(json: &Json) -> Option<u64> {
    let float = |f: &f64| f.fract() == 0.0 && (0.0..1.8e19).contains(f);
    let exact = json.as_u64().or_else(|| json.as_str()?.parse().ok());
    exact.or_else(|| double(json).filter(float).map(|f| f as u64))
}

/// JSON as CEL sees a `google.protobuf.Value`: numbers are doubles.
fn any(json: &Json, depth: usize) -> Option<Boxed<'_>> {
    if depth > NESTING_MAX {
        return None;
    }
    Some(match json {
        Json::Null => Box::new(CelNull),
        Json::Bool(b) => Box::new(CelBool::from(*b)),
        Json::Number(n) => Box::new(CelDouble::from(n.as_f64()?)),
        Json::String(s) => Box::new(CelString::from(s.as_str())),
        Json::Array(list) => {
            Box::new(CelList::from(list.iter().map(|j| any(j, depth + 1)).collect::<Option<Vec<_>>>()?))
        }
        Json::Object(map) => {
            let pairs = map.iter().map(|(k, j)| Some((CelMapKey::from(k.as_str()), any(j, depth + 1)?)));
            Box::new(CelMap::from(pairs.collect::<Option<HashMap<_, _>>>()?))
        }
    })
}

/// Go's notation: `1h30m`, `-1.5s`, `300ms`.
pub(super) fn duration(text: &str) -> Option<chrono::Duration> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(chrono::Duration::zero());
    }
    if rest.is_empty() {
        return None;
    }
    let mut nanos = 0_f64;
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
