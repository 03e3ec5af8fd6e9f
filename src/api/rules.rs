//! The rules that OpenFGA's proto files set for fields, with their texts; without regular expressions.

use crate::wire::Problem;

pub(super) const CONTEXTUAL_TUPLES_MAX: usize = 100;
pub(super) const PAGE_SIZE_DEFAULT: usize = 50;
pub(super) const PAGE_SIZE_MAX: i32 = 100;
const USER_BYTES_MAX: usize = 512;
const TOKEN_BYTES_MAX: usize = 5_120;

fn pattern(field: &str, pattern: &str) -> Problem {
    Problem::field(field, &format!("value does not match regex pattern \"{pattern}\""))
}

fn chars_within(text: &str, min: usize, max: usize) -> bool {
    let count = if text.is_ascii() { text.len() } else { text.chars().count() };
    (min..=max).contains(&count)
}

fn no_space(text: &str) -> bool {
    !text.chars().any(char::is_whitespace)
}

fn none_of(text: &str, marks: &[char]) -> bool {
    no_space(text) && !text.contains(marks)
}

/// A ULID; empty is fine where `optional`.
pub(super) fn id(field: &str, text: &str, optional: bool) -> Result<Option<ulid::Ulid>, Problem> {
    if optional && text.is_empty() {
        return Ok(None);
    }
    let fine = text.len() == 26
        && text
            .bytes()
            .all(|b| b.is_ascii_digit() || b.is_ascii_uppercase() && !matches!(b, b'I' | b'L' | b'O' | b'U'));
    let parsed = if fine { ulid::Ulid::from_string(text).ok() } else { None };
    parsed.map(Some).ok_or_else(|| pattern(field, "^[ABCDEFGHJKMNPQRSTVWXYZ0-9]{26}$"))
}

pub(super) fn store_id(message: &str, text: &str) -> Result<crate::tuple::StoreId, Problem> {
    let id = id(&format!("{message}.StoreId"), text, false)?;
    Ok(crate::tuple::StoreId(id.unwrap_or_default()))
}

pub(super) fn model_id(message: &str, text: &str) -> Result<Option<crate::tuple::ModelId>, Problem> {
    Ok(id(&format!("{message}.AuthorizationModelId"), text, true)?.map(crate::tuple::ModelId))
}

pub(super) fn type_name(field: &str, text: &str) -> Result<(), Problem> {
    let fine = chars_within(text, 1, 254) && none_of(text, &[':', '#', '@']);
    if fine { Ok(()) } else { Err(pattern(field, "^[^:#@\\\\s]{1,254}$")) }
}

pub(super) fn relation(field: &str, text: &str, optional: bool) -> Result<(), Problem> {
    let fine = optional && text.is_empty() || chars_within(text, 1, 50) && none_of(text, &[':', '#', '@']);
    if fine { Ok(()) } else { Err(pattern(field, "^[^:#@\\\\s]{1,50}$")) }
}

pub(super) fn object(field: &str, text: &str, optional: bool) -> Result<(), Problem> {
    let fine = optional && text.is_empty() || chars_within(text, 2, 256) && no_space(text);
    if fine { Ok(()) } else { Err(pattern(field, "^[^\\\\s]{2,256}$")) }
}

/// The user of a Check.
pub(super) fn user(field: &str, text: &str) -> Result<(), Problem> {
    let fine = chars_within(text, 2, 512) && no_space(text);
    if fine { Ok(()) } else { Err(pattern(field, "^[^\\\\s]{2,512}$")) }
}

/// The parts of a tuple that is written or given.
pub(super) fn tuple_key(message: &str, user: &str, r: &str, o: &str) -> Result<(), Problem> {
    if user.len() > USER_BYTES_MAX {
        return Err(Problem::field(&format!("{message}.User"), "value length must be at most 512 bytes"));
    }
    relation(&format!("{message}.Relation"), r, true)?;
    object(&format!("{message}.Object"), o, true)
}

pub(super) fn at_most(field: &str, count: usize, max: usize) -> Result<(), Problem> {
    if count <= max {
        return Ok(());
    }
    Err(Problem::field(field, &format!("value must contain no more than {max} item(s)")))
}

pub(super) fn at_least_one(field: &str, count: usize) -> Result<(), Problem> {
    if count > 0 { Ok(()) } else { Err(Problem::field(field, "value must contain at least 1 item(s)")) }
}

pub(super) fn page_size(message: &str, size: Option<i32>) -> Result<usize, Problem> {
    match size {
        None => Ok(PAGE_SIZE_DEFAULT),
        Some(n @ 1..=PAGE_SIZE_MAX) => Ok(usize::try_from(n).unwrap_or(PAGE_SIZE_DEFAULT)),
        Some(_) => Err(Problem::field(&format!("{message}.PageSize"), "value must be inside range [1, 100]")),
    }
}

pub(super) fn store_name(message: &str, text: &str) -> Result<(), Problem> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c.is_ascii_whitespace() || ".-/^_&@".contains(c);
    let fine = chars_within(text, 3, 64) && text.chars().all(allowed);
    let shape = "^[a-zA-Z0-9\\\\s\\\\.\\\\-\\\\/^_&@]{3,64}$";
    if fine { Ok(()) } else { Err(pattern(&format!("{message}.Name"), shape)) }
}

pub(super) fn token(message: &str, text: &str) -> Result<(), Problem> {
    let field = format!("{message}.ContinuationToken");
    if text.len() > TOKEN_BYTES_MAX {
        return Err(Problem::field(&field, "value length must be at most 5120 bytes"));
    }
    let body = text.trim_end_matches('=');
    let fine = text.len() - body.len() <= 2 && (text.is_empty() || !body.is_empty());
    if fine && body.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_') {
        return Ok(());
    }
    Err(pattern(&field, "^$|^[A-Za-z0-9-_]+={0,2}$"))
}
