//! Templates: from a resource's URI to the object that guards it, and back.
//!
//! A URI template is that of RFC 6570 with `{name}` (one part of a path) and `{+name}` (several); an object template is
//! `type:id` with the same names in the id. Both ways are exact: a URI has at most one reading, and what could be read
//! otherwise further on (dot segments, encoded slashes, double encoding) matches nothing, so that it is denied.

use super::SettingsError;
use serde_json::{Map, Value};

/// Longest template in bytes.
const TEMPLATE_BYTES_MAX: usize = 512;
/// Longest URI that is matched, in bytes.
const URI_BYTES_MAX: usize = 2_048;
/// Most names in a template.
const NAMES_MAX: usize = 8;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    /// `several`: also with slashes.
    Name {
        name: String,
        several: bool,
    },
}

/// Text with names in braces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Template {
    text: String,
    parts: Vec<Part>,
}

/// The names of a template and what stands for them.
pub(super) type Values = Vec<(String, String)>;

/// Why a template has no value for one of its names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NoValue(pub(super) String);

impl Template {
    pub(super) fn parse(text: &str) -> Result<Template, SettingsError> {
        let fault = |why: &str| SettingsError(format!("the template `{text}` {why}"));
        if text.is_empty() || text.len() > TEMPLATE_BYTES_MAX {
            return Err(fault(&format!("has not 1 to {TEMPLATE_BYTES_MAX} bytes")));
        }
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once('{') {
            let (inner, after) = behind.split_once('}').ok_or_else(|| fault("has a `{` without `}`"))?;
            let (name, several) = inner.strip_prefix('+').map_or((inner, false), |name| (name, true));
            let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.' || c == '-';
            if name.is_empty() || !name.chars().all(plain) {
                return Err(fault("has a name that is not of letters, digits, `_`, `-` and `.`"));
            }
            let again = parts.iter().any(|part| matches!(part, Part::Name { name: other, .. } if other == name));
            if again {
                return Err(fault(&format!("has `{name}` twice")));
            }
            if before.contains('}') {
                return Err(fault("has a `}` without `{`"));
            }
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            } else if matches!(parts.last(), Some(Part::Name { .. })) {
                return Err(fault("has two names side by side; put a character between them"));
            }
            parts.push(Part::Name { name: name.to_owned(), several });
            rest = after;
        }
        if rest.contains('}') {
            return Err(fault("has a `}` without `{`"));
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        let template = Template { text: text.to_owned(), parts };
        if template.names().count() > NAMES_MAX {
            return Err(fault(&format!("has over {NAMES_MAX} names")));
        }
        Ok(template)
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Name { name, .. } => Some(name.as_str()),
            Part::Text(_) => None,
        })
    }

    /// Whether two templates have the same form, whatever their names are.
    pub(super) fn is_like(&self, other: &Template) -> bool {
        let same = |(a, b): (&Part, &Part)| match (a, b) {
            (Part::Text(a), Part::Text(b)) => a == b,
            (Part::Name { several: a, .. }, Part::Name { several: b, .. }) => a == b,
            (Part::Text(_), Part::Name { .. }) | (Part::Name { .. }, Part::Text(_)) => false,
        };
        self.parts.len() == other.parts.len() && self.parts.iter().zip(&other.parts).all(same)
    }

    /// What stands in a URI for the names, decoded. `None` when it is not of this form.
    pub(super) fn matches(&self, uri: &str) -> Option<Values> {
        if uri.len() > URI_BYTES_MAX || !uri.bytes().all(|b| b.is_ascii_graphic()) {
            return None;
        }
        let mut values = Vec::new();
        let mut rest = uri;
        let mut parts = self.parts.iter().peekable();
        while let Some(part) = parts.next() {
            match part {
                Part::Text(text) => rest = rest.strip_prefix(text.as_str())?,
                Part::Name { name, several } => {
                    let raw = match parts.peek() {
                        // The text behind it ends it where it first occurs: there is one reading at most.
                        Some(Part::Text(text)) => rest.split_once(text.as_str())?.0,
                        _ => rest,
                    };
                    rest = rest.get(raw.len()..)?;
                    values.push((name.clone(), value_of(raw, *several)?));
                }
            }
        }
        rest.is_empty().then_some(values)
    }

    /// The text with values in place of names, each as it stands in a URI.
    pub(super) fn uri(&self, value: impl Fn(&str) -> Option<String>) -> Result<String, NoValue> {
        self.filled(value, |value, several| {
            let keep = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b) || (several && b == b'/');
            encoded(value, keep)
        })
    }

    /// The text with values in place of names, each as it stands in the id of an object: what an id cannot have is encoded
    /// as in URIs, so that no two values become one.
    pub(super) fn id(&self, value: impl Fn(&str) -> Option<String>) -> Result<String, NoValue> {
        self.filled(value, |value, _| {
            if value == "*" {
                return "%2A".to_owned(); // everybody's wildcard is no object's id
            }
            encoded(value, |b| (b.is_ascii_graphic() && !b":#%".contains(&b)) || b >= 0x80)
        })
    }

    fn filled(
        &self,
        value: impl Fn(&str) -> Option<String>,
        written: impl Fn(&str, bool) -> String,
    ) -> Result<String, NoValue> {
        let mut out = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Name { name, several } => {
                    let value = value(name).filter(|value| !value.is_empty()).ok_or_else(|| NoValue(name.clone()))?;
                    out.push_str(&written(&value, *several));
                }
            }
        }
        Ok(out)
    }
}

/// The value that a part of a URI stands for, if it can be read in one way only.
fn value_of(raw: &str, several: bool) -> Option<String> {
    let segments = raw.split('/');
    let mut decoded = Vec::new();
    for segment in segments {
        let value = percent_decoded(segment)?;
        let strange = |c: char| c.is_control() || c.is_whitespace() || matches!(c, '/' | '\\' | '?' | '#');
        // A blank is fine when it was encoded; a second decoding must find nothing to decode.
        let twice = value.contains('%');
        if value.is_empty() || matches!(value.as_str(), "." | "..") || twice {
            return None;
        }
        if value.chars().any(|c| strange(c) && c != ' ') || segment.contains(['?', '#', '\\']) {
            return None;
        }
        decoded.push(value);
    }
    if decoded.len() > 1 && !several { None } else { Some(decoded.join("/")) }
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let mut digit = || char::from(bytes.next()?).to_digit(16).and_then(|d| u8::try_from(d).ok());
            out.push(digit()? << 4 | digit()?);
        } else {
            out.push(byte);
        }
    }
    String::from_utf8(out).ok()
}

fn encoded(text: &str, keep: impl Fn(u8) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let mut buffer = [0; 4];
        let bytes = c.encode_utf8(&mut buffer).bytes();
        let whole = bytes.clone().all(&keep) && !c.is_whitespace() && !c.is_control();
        if whole {
            out.push(c);
        } else {
            bytes.for_each(|b| out.push_str(&format!("%{b:02X}")));
        }
    }
    out
}

/// A value of a call's arguments, by a path with dots: `customer.id`. Only texts and whole numbers stand for an id.
pub(super) fn argument(arguments: &Map<String, Value>, path: &str) -> Option<String> {
    let mut steps = path.split('.');
    let mut value = arguments.get(steps.next()?)?;
    for step in steps {
        value = value.as_object()?.get(step)?;
    }
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) if number.is_i64() || number.is_u64() => Some(number.to_string()),
        Value::Number(_) | Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(template: &str, uri: &str) -> Option<String> {
        let values = Template::parse(template).unwrap().matches(uri)?;
        Some(values.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(","))
    }

    #[test]
    fn a_uri_has_one_reading_or_none() {
        let accounts = "crm://accounts/{id}";
        assert_eq!(of(accounts, "crm://accounts/acme").as_deref(), Some("id=acme"));
        assert_eq!(of(accounts, "crm://accounts/acme%20corp").as_deref(), Some("id=acme corp"));
        assert_eq!(of("docs://{+path}", "docs://proposals/q1/acme.pdf").as_deref(), Some("path=proposals/q1/acme.pdf"));
        assert_eq!(of("db://{schema}/{table}/rows", "db://a/b/rows").as_deref(), Some("schema=a,table=b"));
        for uri in [
            "crm://accounts/",
            "crm://accounts/a/b",
            "crm://accounts/..",
            "crm://accounts/.",
            "crm://accounts/%2e%2e",
            "crm://accounts/a%2Fb",
            "crm://accounts/a%5Cb",
            "crm://accounts/a%252Fb",
            "crm://accounts/a%2",
            "crm://accounts/a%ff",
            "crm://accounts/a%00",
            "crm://accounts/a%0a",
            "crm://accounts/a?x=1",
            "crm://accounts/a#x",
            "crm://accounts/a b",
            "crm://accounts/\u{e9}",
            "CRM://accounts/a",
            "crm://accounts",
            "xcrm://accounts/a",
        ] {
            assert_eq!(of(accounts, uri), None, "{uri}");
        }
        for uri in ["docs://a/../b", "docs://a//b", "docs://a/", "docs:///a", "docs://a/%2e/b"] {
            assert_eq!(of("docs://{+path}", uri), None, "{uri}");
        }
        assert_eq!(of("a://{x}-{y}", "a://1-2-3").as_deref(), Some("x=1,y=2-3"), "the first that fits ends it");
        assert_eq!(of(accounts, &format!("crm://accounts/{}", "a".repeat(URI_BYTES_MAX))), None);
    }

    #[test]
    fn ids_of_objects_are_told_apart() {
        let template = Template::parse("account:{id}").unwrap();
        let id = |value: &str| template.id(|_| Some(value.to_owned())).unwrap();
        for (value, expected) in [
            ("acme", "account:acme"),
            ("acme corp", "account:acme%20corp"),
            ("a:b#c", "account:a%3Ab%23c"),
            ("a%3Ab", "account:a%253Ab"),
            ("*", "account:%2A"),
            ("q1/acme|x", "account:q1/acme|x"),
            ("\u{e9}\u{a0}\u{85}", "account:\u{e9}%C2%A0%C2%85"),
        ] {
            assert_eq!(id(value), expected);
            let parsed = crate::tuple::ObjectRef::parse(expected).unwrap();
            assert_eq!(parsed.object_type, "account", "a value never changes the type");
        }
        assert_eq!(template.id(|_| None), Err(NoValue("id".into())));
        assert_eq!(template.id(|_| Some(String::new())), Err(NoValue("id".into())), "nothing is no id");
    }

    #[test]
    fn a_uri_is_made_and_read_alike() {
        for (template, values) in [("crm://accounts/{id}", "acme corp"), ("docs://{+path}", "a/b c/d")] {
            let template = Template::parse(template).unwrap();
            let uri = template.uri(|_| Some(values.to_owned())).unwrap();
            assert_eq!(template.matches(&uri).unwrap()[0].1, values, "{uri}");
        }
    }

    #[test]
    fn arguments_are_found_by_their_path() {
        let value = json!({"id": "a", "n": 7, "o": {"id": "b"}, "f": 1.5, "l": ["c"]});
        let arguments = value.as_object().unwrap();
        let found = |path| argument(arguments, path);
        assert_eq!(found("id").as_deref(), Some("a"));
        assert_eq!(found("n").as_deref(), Some("7"));
        assert_eq!(found("o.id").as_deref(), Some("b"));
        for path in ["f", "l", "o", "x", "id.x", ""] {
            assert_eq!(found(path), None, "{path}");
        }
    }

    #[test]
    fn templates_that_mean_nothing_are_refused() {
        for (text, why) in [
            ("", "bytes"),
            ("a{", "without"),
            ("a}", "without"),
            ("a}b{c}", "without"),
            ("a{}", "letters"),
            ("a{b c}", "letters"),
            ("a{b}{c}", "side by side"),
            ("a{b}/{b}", "twice"),
        ] {
            let error = Template::parse(text).unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
        let like = |a, b| Template::parse(a).unwrap().is_like(&Template::parse(b).unwrap());
        assert!(like("crm://accounts/{id}", "crm://accounts/{account_id}"));
        assert!(!like("crm://accounts/{id}", "crm://accounts/{+id}") && !like("crm://a/{id}", "crm://b/{id}"));
    }
}
