//! Texts with places in them, `{/customer/name}`: each is a JSON pointer (RFC 6901), and what stands there is put in. There is
//! nothing else: no condition, no loop, no call.

use super::canonical::canonical;
use super::detail::TEXT_BYTES_MAX;
use crate::identity::{Answer, ErrorCode, Refusal};
pub(super) use crate::wire::visible;
use serde_json::Value;

/// A part of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Place(String),
}

/// See the file's head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Template(Vec<Part>);

impl Template {
    /// Reads a template. `{{` and `}}` are braces.
    pub(super) fn parse(text: &str) -> Answer<Template> {
        let refuse = |why: &str| {
            let text = format!("the template `{text}` cannot be used: {why}");
            Err(Refusal::new(ErrorCode::InvalidRequest, "type.template", text))
        };
        if text.trim().is_empty() || text.len() > TEXT_BYTES_MAX || visible(text) != text {
            return refuse("it is empty, too long, or has characters that cannot be seen");
        }
        let (mut parts, mut plain, mut chars) = (Vec::new(), String::new(), text.chars().peekable());
        while let Some(c) = chars.next() {
            match c {
                '{' | '}' if chars.peek() == Some(&c) => {
                    chars.next();
                    plain.push(c);
                }
                '}' => return refuse("a brace closes that did not open; write `}}` for one"),
                '{' => {
                    let mut place = String::new();
                    loop {
                        match chars.next() {
                            Some('}') => break,
                            Some('{') | None => return refuse("a brace opens and does not close; write `{{` for one"),
                            Some(c) => place.push(c),
                        }
                    }
                    if !place.starts_with('/') {
                        return refuse("a place is a JSON pointer, as `{/amount}`");
                    }
                    if !plain.is_empty() {
                        parts.push(Part::Text(std::mem::take(&mut plain)));
                    }
                    parts.push(Part::Place(place));
                }
                c => plain.push(c),
            }
        }
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        Ok(Template(parts))
    }

    /// The places in it.
    pub(super) fn places(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|part| match part {
            Part::Place(place) => Some(place.as_str()),
            Part::Text(_) => None,
        })
    }

    /// The text, with what stands in a value at the places.
    pub(super) fn fill(&self, value: &Value) -> String {
        let parts = self.0.iter().map(|part| match part {
            Part::Text(text) => text.clone(),
            Part::Place(place) => value.pointer(place).map_or_else(|| "–".to_owned(), shown),
        });
        parts.collect()
    }
}

/// A value in words.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::Null => "–".to_owned(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => visible(text),
        Value::Array(list) if !list.iter().any(|item| item.is_object() || item.is_array()) => {
            list.iter().map(shown).collect::<Vec<_>>().join(", ")
        }
        Value::Array(_) | Value::Object(_) => visible(&canonical(value).unwrap_or_else(|_| value.to_string())),
    }
}

/// Everything in a value that holds nothing else, with its place. As deep as values may be.
pub(super) fn leaves(value: &Value) -> Vec<(String, &Value)> {
    let (mut found, mut next) = (Vec::new(), vec![(String::new(), value)]);
    while let Some((place, value)) = next.pop() {
        match value {
            Value::Object(members) if !members.is_empty() => {
                for (name, member) in members.iter().rev() {
                    let name = name.replace('~', "~0").replace('/', "~1");
                    next.push((format!("{place}/{name}"), member));
                }
            }
            Value::Array(list) if list.iter().any(|item| item.is_object() || item.is_array()) => {
                for (at, item) in list.iter().enumerate().rev() {
                    next.push((format!("{place}/{at}"), item));
                }
            }
            // A list of plain values is one line.
            Value::Array(_) | Value::Object(_) | Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                found.push((place, value));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn places_are_filled_and_nothing_else_is() {
        let value = json!({"a": "x {/b} {{", "b": 5, "c": ["p", "q"], "d": {"e/f": true, "g": null}, "h": [{"i": 1}]});
        for (template, filled) in [
            ("{/a}", "x {/b} {{"),
            ("to {/b}: {/c}", "to 5: p, q"),
            ("{/d/e~1f} {/d/g} {/none}", "yes – –"),
            ("{{{/b}}}", "{5}"),
            ("{/h}", r#"[{"i":1}]"#),
        ] {
            assert_eq!(Template::parse(template).unwrap().fill(&value), filled, "{template}");
        }
        for bad in ["", " ", "{a}", "{/a", "/a}", "{", "}", "{/a{/b}}", "a\u{202e}b", "a\nb", &"x".repeat(257)] {
            assert_eq!(Template::parse(bad).unwrap_err().rule, "type.template", "{bad}");
        }
    }

    #[test]
    fn leaves_are_all_there_is() {
        let value = json!({"a": {"b": 1, "c": {}}, "d": [1, 2], "e": [{"f": "x"}], "g~/": null});
        let found: Vec<String> = leaves(&value).into_iter().map(|(place, value)| format!("{place}={value}")).collect();
        assert_eq!(found, ["/a/b=1", "/a/c={}", "/d=[1,2]", "/e/0/f=\"x\"", "/g~0~1=null"]);
        assert_eq!(leaves(&json!({})).len(), 1);
    }
}
