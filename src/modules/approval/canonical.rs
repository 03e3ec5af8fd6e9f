//! One spelling for each JSON value (RFC 8785), and its digest: what was approved is exactly this.
//!
//! Whole numbers beyond 2^53 have no spelling: to most who read JSON they are another number (RFC 7493 2.2), so a value that
//! holds one is refused and not approved as something else.

use crate::identity::encode;
use aws_lc_rs::digest::{SHA256, digest};
use serde_json::{Number, Value};

/// The largest whole number that all readers of JSON agree on.
const WHOLE_MAX: u64 = (1 << 53) - 1;
/// Deepest nesting.
pub const NESTING_MAX: usize = 16;

/// Why a value has no canonical spelling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CanonicalFault {
    /// See the file's head.
    #[error("a number beyond 2^53 is not the same to everybody; write it as a text")]
    Number,
    /// Over [`NESTING_MAX`].
    #[error("it is nested deeper than {NESTING_MAX}")]
    Nesting,
}

/// The value in its one spelling.
///
/// # Errors
/// It has none.
pub fn canonical(value: &Value) -> Result<String, CanonicalFault> {
    let mut text = String::new();
    write(value, 0, &mut text)?;
    Ok(text)
}

/// SHA-256 of the canonical spelling, as base64url.
///
/// # Errors
/// It has none.
pub fn digest_of(value: &Value) -> Result<String, CanonicalFault> {
    Ok(encode(digest(&SHA256, canonical(value)?.as_bytes()).as_ref()))
}

fn write(value: &Value, depth: usize, text: &mut String) -> Result<(), CanonicalFault> {
    if depth > NESTING_MAX {
        return Err(CanonicalFault::Nesting);
    }
    match value {
        Value::Null => text.push_str("null"),
        Value::Bool(true) => text.push_str("true"),
        Value::Bool(false) => text.push_str("false"),
        Value::Number(number) => text.push_str(&number_text(number)?),
        // RFC 8785 3.2.2.2 escapes what serde_json escapes, in the same way.
        Value::String(_) => text.push_str(&value.to_string()),
        Value::Array(list) => {
            text.push('[');
            for (at, item) in list.iter().enumerate() {
                if at > 0 {
                    text.push(',');
                }
                write(item, depth + 1, text)?;
            }
            text.push(']');
        }
        Value::Object(members) => {
            let mut members: Vec<(&String, &Value)> = members.iter().collect();
            // By UTF-16 code units (3.2.3), which is not the order of bytes beyond the basic plane.
            members.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
            text.push('{');
            for (at, (name, member)) in members.into_iter().enumerate() {
                if at > 0 {
                    text.push(',');
                }
                text.push_str(&Value::String(name.clone()).to_string());
                text.push(':');
                write(member, depth + 1, text)?;
            }
            text.push('}');
        }
    }
    Ok(())
}

/// A number as ECMAScript writes it (RFC 8785 3.2.2.3).
fn number_text(number: &Number) -> Result<String, CanonicalFault> {
    let whole = number.as_i64().map(i64::unsigned_abs).or(number.as_u64());
    if let Some(magnitude) = whole {
        return if magnitude <= WHOLE_MAX { Ok(number.to_string()) } else { Err(CanonicalFault::Number) };
    }
    let agreed = |f: &f64| f.is_finite() && f.abs() <= 9_007_199_254_740_991.0;
    number.as_f64().filter(agreed).and_then(ecmascript).ok_or(CanonicalFault::Number)
}

/// Significant digits with which every double is written exactly (767 are the most that one has).
const EXACT_DIGITS: usize = 800;

/// The digits that are even, where two of the same length are equally near (ECMAScript, Number::toString, note 2).
fn even(float: f64, digits: &str) -> Option<String> {
    if !digits.ends_with(['1', '3', '5', '7', '9']) {
        return None;
    }
    let exact = format!("{float:.EXACT_DIGITS$e}");
    let (exact, exponent) = exact.split_once('e')?;
    let exact: String = exact.chars().filter(|c| *c != '.').collect();
    let (lower, rest) = exact.split_at_checked(digits.len())?;
    let half = rest.strip_prefix('5')?.bytes().all(|b| b == b'0');
    let (first, others) = lower.split_at_checked(1)?;
    let same = format!("{first}.{others}e{exponent}").parse() == Ok(float);
    (half && same && lower != digits).then(|| lower.to_owned())
}

fn ecmascript(float: f64) -> Option<String> {
    if float == 0.0 {
        return Some("0".to_owned()); // -0 too
    }
    // Rust gives the shortest digits that are read back as the number, and the exponent of the first.
    let shortest = format!("{:e}", float.abs());
    let (digits, exponent) = shortest.split_once('e').unwrap_or((&shortest, "0"));
    let digits: String = digits.chars().filter(|c| *c != '.').collect();
    let digits = even(float.abs(), &digits).unwrap_or(digits);
    let exponent: i32 = exponent.parse().ok()?;
    let sign = if float < 0.0 { "-" } else { "" };
    let count = i32::try_from(digits.len()).ok()?;
    let point = exponent + 1; // where the point stands in the digits
    let zeros = |n: i32| "0".repeat(usize::try_from(n).unwrap_or(0));
    let split = |at: i32| digits.split_at_checked(usize::try_from(at).unwrap_or(0)).unwrap_or((&digits, ""));
    let text = if (count..=21).contains(&point) {
        format!("{digits}{}", zeros(point - count))
    } else if (1..=21).contains(&point) {
        let (before, after) = split(point);
        format!("{before}.{after}")
    } else if (-5..=0).contains(&point) {
        format!("0.{}{digits}", zeros(-point))
    } else {
        let (first, rest) = split(1);
        let dot = if rest.is_empty() { "" } else { "." };
        let plus = if exponent > 0 { "+" } else { "" };
        format!("{first}{dot}{rest}e{plus}{exponent}")
    };
    Some(format!("{sign}{text}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    /// RFC 8785, appendix B.
    #[test]
    fn numbers_are_written_as_ecmascript_writes_them() {
        for (bits, text) in [
            (0x0000_0000_0000_0000_u64, "0"),
            (0x8000_0000_0000_0000, "0"),
            (0x0000_0000_0000_0001, "5e-324"),
            (0x8000_0000_0000_0001, "-5e-324"),
            (0x7fef_ffff_ffff_ffff, "1.7976931348623157e+308"),
            (0xffef_ffff_ffff_ffff, "-1.7976931348623157e+308"),
            (0x4340_0000_0000_0000, "9007199254740992"),
            (0xc340_0000_0000_0000, "-9007199254740992"),
            (0x4430_0000_0000_0000, "295147905179352830000"),
            (0x44b5_2d02_c7e1_4af5, "9.999999999999997e+22"),
            (0x44b5_2d02_c7e1_4af6, "1e+23"),
            (0x44b5_2d02_c7e1_4af7, "1.0000000000000001e+23"),
            (0x444b_1ae4_d6e2_ef4e, "999999999999999700000"),
            (0x444b_1ae4_d6e2_ef4f, "999999999999999900000"),
            (0x444b_1ae4_d6e2_ef50, "1e+21"),
            (0x3eb0_c6f7_a0b5_ed8c, "9.999999999999997e-7"),
            (0x3eb0_c6f7_a0b5_ed8d, "0.000001"),
            (0x41b3_de43_5555_5553, "333333333.3333332"),
            (0x41b3_de43_5555_5554, "333333333.33333325"),
            (0x41b3_de43_5555_5555, "333333333.3333333"),
            (0x41b3_de43_5555_5556, "333333333.3333334"),
            (0x41b3_de43_5555_5557, "333333333.33333343"),
            (0xbecb_f647_612f_3696, "-0.0000033333333333333333"),
            (0x4314_3ff3_c1cb_0959, "1424953923781206.2"),
        ] {
            assert_eq!(ecmascript(f64::from_bits(bits)).unwrap(), text, "{bits:016x}");
        }
        assert_eq!(canonical(&json!(4.50)).unwrap(), "4.5");
        assert_eq!(canonical(&json!(2e-3)).unwrap(), "0.002");
        assert_eq!(canonical(&json!(1e-27)).unwrap(), "1e-27");
        assert_eq!(canonical(&json!(9_007_199_254_740_991_u64)).unwrap(), "9007199254740991");
        assert_eq!(canonical(&json!(9_007_199_254_740_992_u64)), Err(CanonicalFault::Number));
        assert_eq!(canonical(&json!(-9_007_199_254_740_992_i64)), Err(CanonicalFault::Number));
        assert_eq!(canonical(&json!(1e17)), Err(CanonicalFault::Number), "however it is written");
    }

    /// RFC 8785 3.2.2 and 3.2.3.
    #[test]
    fn members_are_sorted_and_texts_escaped() {
        let value: Value = serde_json::from_str(
            r#"{"numbers": [333333333.33333329, 4.50, 2e-3, 0.000000000000000000000000001],
                "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/", "literals": [null, true, false]}"#,
        )
        .unwrap();
        assert_eq!(
            canonical(&value).unwrap(),
            r#"{"literals":[null,true,false],"numbers":[333333333.3333333,4.5,0.002,1e-27],"string":"€$\u000f\nA'B\"\\\\\"/"}"#
        );
        let names: Value = serde_json::from_str(
            r#"{"\u20ac": 1, "\r": 2, "\ufb33": 3, "1": 4, "\ud83d\ude00": 5, "\u0080": 6, "\u00f6": 7}"#,
        )
        .unwrap();
        assert_eq!(
            canonical(&names).unwrap(),
            "{\"\\r\":2,\"1\":4,\"\u{80}\":6,\"\u{f6}\":7,\"\u{20ac}\":1,\"\u{1f600}\":5,\"\u{fb33}\":3}"
        );
        let mut deep = json!(1);
        for _ in 0..=NESTING_MAX {
            deep = json!([deep]);
        }
        assert_eq!(canonical(&deep), Err(CanonicalFault::Nesting));
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            any::<f64>().prop_filter_map("finite", |f| Number::from_f64(f).map(Value::Number)),
            "\\PC{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::hash_map("\\PC{0,6}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        /// What is read back from a spelling is spelled the same: two values have one spelling only when they are one.
        #[test]
        fn a_spelling_is_of_one_value(value in values()) {
            if let Ok(text) = canonical(&value) {
                let back: Value = serde_json::from_str(&text).unwrap();
                prop_assert_eq!(canonical(&back).unwrap(), text);
            }
        }
    }
}
