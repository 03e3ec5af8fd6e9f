//! Rules in CEL over named values: who has to approve, what a claim says. With exact decimals.
//!
//! A decimal is a whole number of millionths in the expression, so that amounts are compared as they were written and never
//! as floating point: `100000` and `100000.01` differ, and what has more digits than can be kept is refused. Only sums and
//! comparisons of decimals mean what they say; a product of two is not one.

use super::{Answer, ErrorCode, Refusal};
use crate::model::{CompiledCondition, ConditionDefinition, Origin, ParameterType};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Digits behind the point that a decimal may have.
pub const DECIMAL_DIGITS: u32 = 6;
/// Most names of a rule.
pub const RULE_NAMES_MAX: usize = 32;
/// Most that the evaluation of a rule may cost, as conditions count it.
const RULE_COST_MAX: u64 = 1_000;

/// What a value of a rule is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ValueKind {
    /// A text.
    Text,
    /// A whole number.
    Whole,
    /// A decimal: a text, as `"450000.00"`, or a whole number.
    Decimal,
    /// True or false.
    Bool,
    /// A list of texts.
    Texts,
}

/// A rule that is compiled: its types are checked, and it answers yes or no.
#[derive(Debug)]
pub struct Rule {
    compiled: CompiledCondition,
    names: Vec<(String, ValueKind)>,
}

fn invalid(text: impl Into<String>) -> Refusal {
    Refusal::new(ErrorCode::InvalidRequest, "rule.form", text)
}

/// A decimal in millionths; nothing for what is none, has more digits behind the point, or is too large.
///
/// A number with a fraction is none: by the time it is read it is a binary fraction, and not what was written.
#[must_use]
pub fn decimal(value: &Value) -> Option<i64> {
    if let Some(whole) = value.as_i64() {
        return whole.checked_mul(10_i64.pow(DECIMAL_DIGITS));
    }
    let text = value.as_str()?;
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let plain = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let fraction_digits = u32::try_from(fraction.len()).ok().filter(|n| *n <= DECIMAL_DIGITS)?;
    if !plain(whole) || !plain(fraction) {
        return None;
    }
    let whole = whole.parse::<i64>().ok()?.checked_mul(10_i64.pow(DECIMAL_DIGITS))?;
    let fraction = fraction.parse::<i64>().ok()?.checked_mul(10_i64.pow(DECIMAL_DIGITS - fraction_digits))?;
    let amount = whole.checked_add(fraction)?;
    Some(if negative { -amount } else { amount })
}

impl Rule {
    /// Compiles a rule whose names have these kinds.
    ///
    /// # Errors
    /// It is no CEL, names what is not there, mixes types, or is no yes or no; the text points at the place.
    pub fn compile(expression: &str, names: &[(String, ValueKind)]) -> Answer<Rule> {
        let fine = |name: &str| {
            name.starts_with(|c: char| c.is_ascii_lowercase())
                && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        };
        if names.len() > RULE_NAMES_MAX || names.iter().any(|(name, _)| name.len() > 64 || !fine(name)) {
            let text = format!("a rule has at most {RULE_NAMES_MAX} names, of small letters, digits and `_`");
            return Err(invalid(text));
        }
        let type_of = |kind| match kind {
            ValueKind::Text => ParameterType::String,
            ValueKind::Whole | ValueKind::Decimal => ParameterType::Int,
            ValueKind::Bool => ParameterType::Bool,
            ValueKind::Texts => ParameterType::List(Box::new(ParameterType::String)),
        };
        let definition = ConditionDefinition {
            name: "rule".to_owned(),
            expression: expression.to_owned(),
            parameters: names.iter().map(|(name, kind)| (name.clone(), type_of(*kind))).collect(),
            origin: Origin::default(),
        };
        let compiled = CompiledCondition::compile(&definition).map_err(|fault| invalid(fault.to_string()))?;
        Ok(Rule { compiled, names: names.to_vec() })
    }

    /// Whether it holds for these values. Those that the rule has no name for are passed over.
    ///
    /// # Errors
    /// A value is missing or not of its kind, or the expression fails: never yes, and never no.
    pub fn holds(&self, values: &Map<String, Value>) -> Answer<bool> {
        let mut context = Map::new();
        for (name, kind) in &self.names {
            let value = values.get(name).ok_or_else(|| invalid(format!("`{name}` is missing")))?;
            let of_kind = match kind {
                ValueKind::Text => value.is_string().then(|| value.clone()),
                ValueKind::Whole => value.is_i64().then(|| value.clone()),
                ValueKind::Decimal => decimal(value).map(Value::from),
                ValueKind::Bool => value.is_boolean().then(|| value.clone()),
                ValueKind::Texts => {
                    value.as_array().filter(|list| list.iter().all(Value::is_string)).map(|_| value.clone())
                }
            };
            let of_kind = of_kind.ok_or_else(|| {
                let hint = if *kind == ValueKind::Decimal {
                    format!("; write an amount as a text with at most {DECIMAL_DIGITS} digits behind the point")
                } else {
                    String::new()
                };
                invalid(format!("`{name}` is not what the rule takes it for{hint}"))
            })?;
            context.insert(name.clone(), of_kind);
        }
        self.compiled.evaluate(&context, None, RULE_COST_MAX).map_err(|fault| invalid(fault.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn decimals_are_exact() {
        for (value, millionths) in [
            (json!("450000.00"), Some(450_000_000_000)),
            (json!("100000.01"), Some(100_000_010_000)),
            (json!("0.000001"), Some(1)),
            (json!("-1.5"), Some(-1_500_000)),
            (json!("-0.5"), Some(-500_000)),
            (json!(100_000), Some(100_000_000_000)),
            (json!("007"), Some(7_000_000)),
            (json!("9223372036854.775807"), Some(i64::MAX)),
            (json!("9223372036854.775808"), None),
            (json!("0.0000001"), None),
            (json!("1e5"), None),
            (json!("1."), None),
            (json!(".5"), None),
            (json!("1,000"), None),
            (json!(" 1"), None),
            (json!("+1"), None),
            (json!("--1"), None),
            (json!("1.-5"), None),
            (json!(""), None),
            (json!(100_000.01), None),
            (json!(i64::MAX), None),
            (json!(true), None),
        ] {
            assert_eq!(decimal(&value), millionths, "{value}");
        }
    }

    #[test]
    fn a_rule_says_yes_or_no_or_fails() {
        let names = [
            ("amount".to_owned(), ValueKind::Decimal),
            ("most".to_owned(), ValueKind::Decimal),
            ("currency".to_owned(), ValueKind::Text),
            ("people".to_owned(), ValueKind::Texts),
        ];
        let rule = Rule::compile("amount > most || currency != 'USD' || people.size() > 2", &names).unwrap();
        let holds = |amount: Value, currency: Value| {
            let values = json!({"amount": amount, "most": "100000", "currency": currency, "people": ["a"], "more": 1});
            rule.holds(values.as_object().unwrap()).map_err(|refusal| refusal.rule)
        };
        assert_eq!(holds(json!("100000"), json!("USD")), Ok(false));
        assert_eq!(holds(json!("100000.000001"), json!("USD")), Ok(true));
        assert_eq!(holds(json!("100000.01"), json!("USD")), Ok(true));
        assert_eq!(holds(json!(99_999), json!("EUR")), Ok(true));
        for (amount, currency) in [
            (json!(1.5), json!("USD")),
            (json!("x"), json!("USD")),
            (json!("1"), json!(1)),
            (json!(null), json!("USD")),
        ] {
            assert_eq!(holds(amount, currency), Err("rule.form"));
        }
        assert_eq!(rule.holds(&Map::new()).unwrap_err().rule, "rule.form");
        for bad in ["amount", "amount > 'x'", "unknown > 1", "amount >", ""] {
            assert_eq!(Rule::compile(bad, &names).unwrap_err().rule, "rule.form", "{bad}");
        }
        assert_eq!(Rule::compile("A", &[("A".to_owned(), ValueKind::Bool)]).unwrap_err().rule, "rule.form");
    }
}
