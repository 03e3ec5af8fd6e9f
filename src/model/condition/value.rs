//! Expressions whose value may be anything that JSON can say, for those who make texts and lists with them.

use super::{Compiled, ConditionFault, check, cost};
use crate::model::ast::{ConditionDefinition, ParameterType};
use crate::tuple::Context;
use cel::common::types::{CelBool, CelDouble, CelInt, CelList, CelMap, CelNull, CelString, CelUInt};
use cel::common::value::Val;
use serde_json::{Map, Number, Value as Json};

/// Deepest nesting of a value.
const VALUE_NESTING_MAX: usize = 8;
/// The largest whole number that a double says exactly (RFC 8259 6).
const EXACT_MAX: f64 = 9_007_199_254_740_991.0;

/// An expression that gives a value, ready to be evaluated.
#[derive(Debug)]
pub struct CompiledExpression {
    compiled: Compiled,
    output: ParameterType,
}

impl CompiledExpression {
    /// Compiles an expression and checks its types; the value is of a type that JSON can say.
    ///
    /// # Errors
    /// It is no CEL, names what is not declared, mixes types, or gives what JSON cannot say: a time, bytes, an address.
    pub fn compile(definition: &ConditionDefinition) -> Result<Self, ConditionFault> {
        let (compiled, output) = Compiled::compile(definition)?;
        let output = said(&output).ok_or_else(|| {
            let text = format!("the value is of type '{output}', which JSON cannot say; make a text or a number of it");
            ConditionFault::Compile(text)
        })?;
        Ok(CompiledExpression { compiled, output })
    }

    /// The type of its value; [`ParameterType::Any`] where that is decided when it is evaluated.
    #[must_use]
    pub fn output(&self) -> &ParameterType {
        &self.output
    }

    /// Whether it names a parameter.
    #[must_use]
    pub fn names(&self, parameter: &str) -> bool {
        self.compiled.program.references().has_variable(parameter)
    }

    /// Its value for these parameters.
    ///
    /// # Errors
    /// A parameter is missing or of another type, it costs more than `cost_max`, the expression fails, or its value is larger
    /// than `bytes_max` as JSON, nested too deep, or nothing that JSON can say.
    pub fn evaluate(&self, values: &Context, cost_max: u64, bytes_max: usize) -> Result<Json, ConditionFault> {
        self.compiled.evaluate((values, None), cost_max, |value| {
            let mut left = bytes_max;
            json(value, 0, &mut left)
        })
    }
}

/// A type of the checker as JSON can say it.
fn said(output: &check::Type) -> Option<ParameterType> {
    use check::Type;
    Some(match output {
        Type::Dyn | Type::Free => ParameterType::Any,
        Type::Bool => ParameterType::Bool,
        Type::Int => ParameterType::Int,
        Type::Uint => ParameterType::Uint,
        Type::Double => ParameterType::Double,
        Type::String => ParameterType::String,
        Type::List(inner) => ParameterType::List(Box::new(said(inner)?)),
        Type::Map(key, inner) => match key.as_ref() {
            Type::String | Type::Dyn | Type::Free => ParameterType::Map(Box::new(said(inner)?)),
            Type::Null
            | Type::Bool
            | Type::Int
            | Type::Uint
            | Type::Double
            | Type::Bytes
            | Type::Timestamp
            | Type::Duration
            | Type::Address
            | Type::Kind
            | Type::List(_)
            | Type::Map(..) => return None,
        },
        Type::Null | Type::Bytes | Type::Timestamp | Type::Duration | Type::Address | Type::Kind => return None,
    })
}

/// A value as JSON. What it takes is taken from `left`, before it is copied.
fn json(value: &dyn Val, depth: usize, left: &mut usize) -> Result<Json, ConditionFault> {
    let fault = |text: String| ConditionFault::Evaluation(text);
    let own = usize::try_from(cost::size(value)).unwrap_or(usize::MAX);
    *left = left.checked_sub(own.max(1)).ok_or_else(|| fault("the value is too large".to_owned()))?;
    if depth > VALUE_NESTING_MAX {
        return Err(fault(format!("the value is nested deeper than {VALUE_NESTING_MAX}")));
    }
    if let Some(text) = value.downcast_ref::<CelString<'_>>() {
        return Ok(text.inner().into());
    }
    if let Some(list) = value.downcast_ref::<CelList<'_>>() {
        return list.inner().iter().map(|inner| json(inner.as_ref(), depth + 1, left)).collect();
    }
    if let Some(map) = value.downcast_ref::<CelMap<'_>>() {
        let mut members = Map::new();
        for (key, inner) in map.inner() {
            let key = key.inner().downcast_ref::<CelString<'_>>().map(|key| key.inner().to_owned());
            let key = key.ok_or_else(|| fault("a name in the value is no text".to_owned()))?;
            *left = left.checked_sub(key.len()).ok_or_else(|| fault("the value is too large".to_owned()))?;
            members.insert(key, json(inner.as_ref(), depth + 1, left)?);
        }
        // The order of a map is none; that of what is signed is always the same.
        members.sort_keys();
        return Ok(Json::Object(members));
    }
    let number = |value: &dyn Val| {
        let whole = value.downcast_ref::<CelInt>().map(|i| Number::from(*i.inner()));
        let unsigned = value.downcast_ref::<CelUInt>().map(|u| Number::from(*u.inner()));
        whole.or(unsigned).or_else(|| double(*value.downcast_ref::<CelDouble>()?.inner()))
    };
    if let Some(truth) = value.downcast_ref::<CelBool>() {
        return Ok((*truth.inner()).into());
    }
    if value.downcast_ref::<CelNull>().is_some() {
        return Ok(Json::Null);
    }
    let name = || value.get_type().name().to_owned();
    number(value).map(Json::Number).ok_or_else(|| fault(format!("JSON cannot say a value of type '{}'", name())))
}

/// A double as JSON; one that is whole as the whole number, which is what it was in the JSON that it came from.
#[expect(clippy::cast_possible_truncation, reason = "whole, and in range")]
fn double(value: f64) -> Option<Number> {
    if value.fract() == 0.0 && value.abs() <= EXACT_MAX {
        return Some(Number::from(value as i64));
    }
    Number::from_f64(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Origin;
    use serde_json::json;

    fn compile(expression: &str) -> Result<CompiledExpression, ConditionFault> {
        let any = || Box::new(ParameterType::Any);
        let parameters = vec![
            ("user".to_owned(), ParameterType::Map(any())),
            ("scopes".to_owned(), ParameterType::List(Box::new(ParameterType::String))),
            ("at".to_owned(), ParameterType::Int),
        ];
        let (name, expression) = ("claim".to_owned(), expression.to_owned());
        CompiledExpression::compile(&ConditionDefinition { name, expression, parameters, origin: Origin::default() })
    }

    fn value(expression: &str) -> Result<Json, String> {
        let values = json!({"user": {"n": 3, "f": 0.5, "tags": ["a", "b"], "deep": {"x": {"y": null}}}, "scopes": ["r", "w"], "at": 7});
        let compiled = compile(expression).unwrap();
        compiled.evaluate(values.as_object().unwrap(), 1_000, 200).map_err(|fault| fault.to_string())
    }

    #[test]
    fn values_are_those_of_json() {
        for (expression, expected) in [
            ("'a' + 'b'", json!("ab")),
            ("at + 1", json!(8)),
            ("user.n", json!(3)),
            ("user.f", json!(0.5)),
            ("user.tags", json!(["a", "b"])),
            ("user.deep", json!({"x": {"y": null}})),
            ("scopes.filter(s, s != 'r')", json!(["w"])),
            ("'w' in scopes ? dyn('yes') : dyn(null)", json!("yes")),
            ("{'b': 1, 'a': true}", json!({"a": true, "b": 1})),
            ("has(user.missing)", json!(false)),
        ] {
            assert_eq!(value(expression), Ok(expected), "{expression}");
        }
        assert_eq!(value("{'b': 1, 'a': true}").unwrap().to_string(), r#"{"a":true,"b":1}"#);
    }

    #[test]
    fn what_fails_or_is_too_much_is_an_error() {
        assert!(value("user.missing").is_err());
        assert!(value("user.tags[5]").is_err());
        let long = format!("'{}'", "x".repeat(201));
        assert_eq!(value(&long).unwrap_err(), "the value is too large");
        let doubled = "[1,2,3,4,5,6,7,8,9].map(a, [1,2,3,4,5,6,7,8,9].map(b, [1,2,3,4,5,6,7,8,9].map(c, a * b * c)))";
        assert_eq!(value(doubled).unwrap_err(), ConditionFault::Cost.to_string());
        assert!(value("[[[[[[[[[[1]]]]]]]]]]").unwrap_err().contains("nested"));
        for bad in ["at", "timestamp(at)", "duration('1s')", "b'x'", "null", "{1: 2}", "unknown", "at +", "'a' + 1"] {
            assert_eq!(compile(bad).is_ok(), bad == "at", "{bad}");
        }
        let compiled = compile("user.n").unwrap();
        assert!(compiled.names("user") && !compiled.names("scopes"));
        assert_eq!((compiled.output(), compile("at").unwrap().output()), (&ParameterType::Any, &ParameterType::Int));
    }
}
