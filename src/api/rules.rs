//! The kinds of rules that OpenFGA's proto files set for fields, with the validator's texts; without regular expressions,
//! and without an allocation while nothing is wrong.

use crate::wire::Problem;

/// Whether a rule holds.
pub(super) type Checked = Result<(), Problem>;

/// A field: its message and its name.
pub(super) type Field = (&'static str, &'static str);

fn broken((message, field): Field, reason: &str) -> Problem {
    Problem::field(message, field, reason)
}

/// A pattern as the validator prints it: a quoted Go string, with backslashes doubled.
fn no_match(field: Field, pattern: &str) -> Problem {
    broken(field, &format!("value does not match regex pattern \"{pattern}\""))
}

fn check(holds: bool, problem: impl FnOnce() -> Problem) -> Checked {
    if holds { Ok(()) } else { Err(problem()) }
}

fn chars_within(text: &str, min: usize, max: usize) -> bool {
    let count = if text.is_ascii() { text.len() } else { text.chars().count() };
    (min..=max).contains(&count)
}

/// What `\s` means in the patterns: ASCII only, and not the vertical tab.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\x0c' | b'\r')
}

fn no_space(text: &str) -> bool {
    !text.bytes().any(is_space)
}

fn is_word(text: &str, max: usize) -> bool {
    chars_within(text, 1, max) && !text.bytes().any(|b| is_space(b) || matches!(b, b':' | b'#' | b'@'))
}

/// A ULID by its letters.
pub(super) fn ulid(field: Field, text: &str) -> Checked {
    let letter = |b: u8| b.is_ascii_digit() || b.is_ascii_uppercase() && !matches!(b, b'I' | b'L' | b'O' | b'U');
    let fine = text.len() == 26 && text.bytes().all(letter);
    check(fine, || no_match(field, "^[ABCDEFGHJKMNPQRSTVWXYZ0-9]{26}$"))
}

/// A store's id in a message of our own.
pub(super) fn store_id(message: &'static str, text: &str) -> Result<crate::tuple::StoreId, Problem> {
    ulid((message, "StoreId"), text)?;
    super::convert::store_id(text)
}

/// A model's id in a message of our own; empty means the latest model.
pub(super) fn model_id(message: &'static str, text: &str) -> Result<Option<crate::tuple::ModelId>, Problem> {
    ulid_or_empty((message, "AuthorizationModelId"), text)?;
    super::convert::model_id(text)
}

pub(super) fn ulid_or_empty(field: Field, text: &str) -> Checked {
    if text.is_empty() { Ok(()) } else { ulid(field, text) }
}

pub(super) fn type_name(field: Field, text: &str) -> Checked {
    check(is_word(text, 254), || no_match(field, "^[^:#@\\\\s]{1,254}$"))
}

/// The type that ReadChanges filters by, which may hold an `@`; empty is none.
pub(super) fn changed_type(field: Field, text: &str) -> Checked {
    let fine =
        text.is_empty() || chars_within(text, 1, 254) && !text.bytes().any(|b| is_space(b) || matches!(b, b':' | b'#'));
    check(fine, || no_match(field, "^[^:#\\\\s]{1,254}$"))
}

pub(super) fn relation(field: Field, text: &str) -> Checked {
    check(is_word(text, 50), || no_match(field, "^[^:#@\\\\s]{1,50}$"))
}

pub(super) fn relation_or_empty(field: Field, text: &str) -> Checked {
    if text.is_empty() { Ok(()) } else { relation(field, text) }
}

pub(super) fn object(field: Field, text: &str) -> Checked {
    check(chars_within(text, 2, 256) && no_space(text), || no_match(field, "^[^\\\\s]{2,256}$"))
}

pub(super) fn object_or_empty(field: Field, text: &str) -> Checked {
    if text.is_empty() { Ok(()) } else { object(field, text) }
}

/// The id of an Object; the pattern is anchored at its end only.
pub(super) fn object_id(field: Field, text: &str) -> Checked {
    let fine = text.bytes().last().is_some_and(|b| !is_space(b) && !matches!(b, b'#' | b':'));
    check(fine, || no_match(field, "[^#:\\\\s]+$"))
}

/// The user of a Check.
pub(super) fn user(field: Field, text: &str) -> Checked {
    check(chars_within(text, 2, 512) && no_space(text), || no_match(field, "^[^\\\\s]{2,512}$"))
}

/// The user that Read filters by; empty is none.
pub(super) fn read_user(field: Field, text: &str) -> Checked {
    bytes_at_most(field, text, 512)?;
    let halves = |at: usize| {
        text.split_at_checked(at).is_some_and(|(left, right)| {
            chars_within(left, 1, 511) && chars_within(right.strip_prefix(':').unwrap_or_default(), 1, 511)
        })
    };
    let fine = text.is_empty() || no_space(text) && text.match_indices(':').any(|(at, _)| halves(at));
    check(fine, || no_match(field, "^[^\\\\s]{1,511}:[^\\\\s]{1,511}$"))
}

pub(super) fn condition_name(field: Field, text: &str) -> Checked {
    object(field, text)
}

pub(super) fn correlation_id(field: Field, text: &str) -> Checked {
    let fine = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
    let holds = (1..=36).contains(&text.len()) && text.bytes().all(fine);
    check(holds, || no_match(field, "^[\\\\w\\\\d-]{1,36}$"))
}

pub(super) fn store_name(field: Field, text: &str) -> Checked {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || is_space(b) || b".-/^_&@".contains(&b);
    let fine = (3..=64).contains(&text.len()) && text.bytes().all(allowed);
    check(fine, || no_match(field, "^[a-zA-Z0-9\\\\s\\\\.\\\\-\\\\/^_&@]{3,64}$"))
}

pub(super) fn source_file(field: Field, text: &str) -> Checked {
    let fine = |name: &str| {
        let letter = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'/');
        (1..=100).contains(&name.len()) && name.bytes().all(letter)
    };
    let holds = text.is_empty() || text.strip_suffix(".fga").is_some_and(fine);
    check(holds, || no_match(field, "^[a-zA-Z0-9_\\\\-\\\\/]{1,100}\\\\.fga$"))
}

pub(super) fn bytes_at_most(field: Field, text: &str, max: usize) -> Checked {
    check(text.len() <= max, || broken(field, &format!("value length must be at most {max} bytes")))
}

pub(super) fn bytes_within(field: Field, text: &str, min: usize, max: usize) -> Checked {
    let reason = || format!("value length must be between {min} and {max} bytes, inclusive");
    check((min..=max).contains(&text.len()), || broken(field, &reason()))
}

/// A continuation token by its letters.
pub(super) fn token(field: Field, text: &str) -> Checked {
    bytes_at_most(field, text, 5_120)?;
    let body = text.trim_end_matches('=');
    let padded = text.len() - body.len() <= 2 && (text.is_empty() || !body.is_empty());
    let fine = padded && body.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    check(fine, || no_match(field, "^$|^[A-Za-z0-9-_]+={0,2}$"))
}

pub(super) fn items_at_least_one(field: Field, count: usize) -> Checked {
    check(count > 0, || broken(field, "value must contain at least 1 item(s)"))
}

pub(super) fn items_exactly_one(field: Field, count: usize) -> Checked {
    check(count == 1, || broken(field, "value must contain exactly 1 item(s)"))
}

pub(super) fn items_at_most(field: Field, count: usize, max: usize) -> Checked {
    check(count <= max, || broken(field, &format!("value must contain no more than {max} item(s)")))
}

pub(super) fn pairs_at_most(field: Field, count: usize, max: usize) -> Checked {
    check(count <= max, || broken(field, &format!("value must contain no more than {max} pair(s)")))
}

/// A key of a map, by the rule of relations.
pub(super) fn key((message, field): Field, text: &str) -> Checked {
    check(is_word(text, 50), || {
        let reason = "value does not match regex pattern \"^[^:#@\\\\s]{1,50}$\"";
        Problem::field(&format!("key for {message}"), &format!("{field}[{text}]"), reason)
    })
}

pub(super) fn page_size(field: Field, size: Option<i32>) -> Checked {
    check(size.is_none_or(|n| (1..=100).contains(&n)), || broken(field, "value must be inside range [1, 100]"))
}

pub(super) fn one_or_more(field: Field, size: Option<i32>) -> Checked {
    check(size.is_none_or(|n| n >= 1), || broken(field, "value must be greater than or equal to 1"))
}

pub(super) fn one_of(field: Field, text: &str, list: &[&str]) -> Checked {
    check(list.contains(&text), || broken(field, &format!("value must be in list [{}]", list.join(" "))))
}

pub(super) fn defined(field: Field, known: bool) -> Checked {
    check(known, || broken(field, "value must be one of the defined enum values"))
}

pub(super) fn in_the_past(field: Field, past: bool) -> Checked {
    check(past, || broken(field, "value must be less than now"))
}

/// A message that must be there.
pub(super) fn required<T>(field: Field, value: Option<&T>) -> Result<&T, Problem> {
    value.ok_or_else(|| broken(field, "value is required"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_hold_at_their_edges() {
        let f = ("M", "F");
        let long = |n: usize| "ä".repeat(n);
        assert!(object(f, &long(256)).is_ok() && object(f, &long(257)).is_err() && object(f, "a").is_err());
        assert!(object(f, "a\u{a0}b").is_ok() && object(f, "a b").is_err() && object(f, "a\u{b}b").is_ok());
        assert!(relation(f, &long(50)).is_ok() && relation(f, &long(51)).is_err() && relation(f, "a@b").is_err());
        assert!(object_id(f, "a b").is_ok() && object_id(f, "a#").is_err() && object_id(f, "").is_err());
        assert!(read_user(f, "a:b").is_ok() && read_user(f, "a:").is_err() && read_user(f, ":a:b").is_ok());
        assert!(token(f, "").is_ok() && token(f, "a==").is_ok() && token(f, "=").is_err() && token(f, "a===").is_err());
        assert!(source_file(f, "a/b.fga").is_ok() && source_file(f, ".fga").is_err());
        assert!(correlation_id(f, "a_b-1").is_ok() && correlation_id(f, "a.b").is_err());
        let text = ulid(f, "x").err().map(|p| p.message);
        let expected = "invalid M.F: value does not match regex pattern \"^[ABCDEFGHJKMNPQRSTVWXYZ0-9]{26}$\"";
        assert_eq!(text.as_deref(), Some(expected));
    }
}
