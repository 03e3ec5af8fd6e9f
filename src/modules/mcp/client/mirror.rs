//! What of a call is mirrored into headers (MCP 2026-07-28, Streamable HTTP): its name, and arguments that the tool's schema
//! marks with `x-mcp-header`. A tool whose marks are wrong is not called.

use super::challenge::is_token;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

/// How a schema marks a property.
const MARK: &str = "x-mcp-header";
/// How deep a schema is looked into.
const DEPTH_MAX: usize = 32;
/// Most marks of a tool.
const MARKS_MAX: usize = 64;

/// A property that is mirrored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Where it is in the arguments.
    pub path: Vec<String>,
    /// What its header is called, behind `Mcp-Param-`.
    pub name: String,
}

/// The marks of a tool's schema.
///
/// # Errors
/// Why the tool must not be called.
pub fn marks(schema: &Value) -> Result<Vec<Mark>, &'static str> {
    let mut found = Vec::new();
    if let Some(schema) = schema.as_object() {
        walk(schema, &mut Vec::new(), true, &mut found)?;
    }
    for (at, mark) in found.iter().enumerate() {
        if found.iter().take(at).any(|before: &Mark| before.name.eq_ignore_ascii_case(&mark.name)) {
            return Err("two of its properties have the same x-mcp-header");
        }
    }
    Ok(found)
}

/// Looks at a schema; `reached` says whether only `properties` lead to it, so that a call's argument has a place there.
fn walk(
    schema: &Map<String, Value>,
    path: &mut Vec<String>,
    reached: bool,
    found: &mut Vec<Mark>,
) -> Result<(), &'static str> {
    if path.len() > DEPTH_MAX {
        return Err("its schema is nested too deep");
    }
    if let Some(name) = schema.get(MARK) {
        let name = name.as_str().filter(|name| !name.is_empty() && name.chars().all(is_token));
        let name = name.ok_or("an x-mcp-header of it is no name of a header")?;
        let primitive = matches!(schema.get("type").and_then(Value::as_str), Some("string" | "integer" | "boolean"));
        if !reached || path.is_empty() || !primitive {
            return Err(
                "an x-mcp-header of it is on something else than a string, an integer or a boolean of the arguments",
            );
        }
        if found.len() >= MARKS_MAX {
            return Err("it has too many x-mcp-header");
        }
        found.push(Mark { path: path.clone(), name: name.to_owned() });
    }
    for (key, value) in schema {
        match (key.as_str(), value) {
            ("properties", Value::Object(properties)) => {
                for (name, property) in properties {
                    path.push(name.clone());
                    within(property, path, reached, found)?;
                    path.pop();
                }
            }
            ("const" | "default" | "enum" | "examples" | MARK, _) => {}
            (_, inner) => {
                path.push(key.clone());
                within(inner, path, false, found)?;
                path.pop();
            }
        }
    }
    Ok(())
}

fn within(value: &Value, path: &mut Vec<String>, reached: bool, found: &mut Vec<Mark>) -> Result<(), &'static str> {
    match value {
        Value::Object(schema) => walk(schema, path, reached, found),
        Value::Array(several) => several.iter().try_for_each(|one| {
            path.push(String::new());
            let done = within(one, path, false, found);
            path.pop();
            done
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
    }
}

/// The headers of a call: a name behind `Mcp-Param-` and a value each. What is null or not there has none.
#[must_use]
pub fn mirrored(marks: &[Mark], arguments: &Map<String, Value>) -> Vec<(String, String)> {
    let value = |mark: &Mark| {
        let (first, rest) = mark.path.split_first()?;
        let found = rest.iter().try_fold(arguments.get(first)?, |value, name| value.get(name))?;
        let text = match found {
            Value::String(text) => text.clone(),
            Value::Bool(_) | Value::Number(_) => found.to_string(),
            Value::Null | Value::Array(_) | Value::Object(_) => return None,
        };
        Some((mark.name.clone(), encoded(&text)))
    };
    marks.iter().filter_map(value).collect()
}

/// A text as the value of a header: as it is where it is plain, else in base64.
#[must_use]
pub fn encoded(text: &str) -> String {
    let plain = text.bytes().all(|b| (0x20..=0x7e).contains(&b)) && text.trim() == text;
    if plain && !text.starts_with("=?base64?") {
        return text.to_owned();
    }
    format!("=?base64?{}?=", STANDARD.encode(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn marked_arguments_become_headers() {
        let schema = json!({"type": "object", "properties": {
            "region": {"type": "string", "x-mcp-header": "Region"},
            "n": {"type": "integer", "x-mcp-header": "N"},
            "deep": {"type": "object", "properties": {"on": {"type": "boolean", "x-mcp-header": "On"}}},
            "x-mcp-header": {"type": "string"},
            "other": {"type": "string", "default": {"x-mcp-header": 1}},
        }});
        let marks = marks(&schema).unwrap();
        let arguments = json!({"region": " pad", "n": 42, "deep": {"on": false}, "other": "x"});
        let headers = mirrored(&marks, arguments.as_object().unwrap());
        let expected = [("Region", "=?base64?IHBhZA==?="), ("N", "42"), ("On", "false")];
        assert_eq!(headers, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert!(mirrored(&marks, json!({"region": null}).as_object().unwrap()).is_empty());
    }

    #[test]
    fn a_tool_with_wrong_marks_is_not_called() {
        let of = |name: Value, kind: &str| json!({"properties": {"a": {"type": kind, "x-mcp-header": name}}});
        for schema in [
            of(json!(""), "string"),
            of(json!(1), "string"),
            of(json!("My Region"), "string"),
            of(json!("Région"), "string"),
            of(json!("a:b"), "string"),
            of(json!("A"), "number"),
            of(json!("A"), "object"),
            json!({"x-mcp-header": "A", "type": "string"}),
            json!({"properties": {"a": {"type": "array", "items": {"type": "string", "x-mcp-header": "A"}}}}),
            json!({"$defs": {"a": {"type": "string", "x-mcp-header": "A"}}}),
            json!({"allOf": [{"properties": {"a": {"type": "string", "x-mcp-header": "A"}}}]}),
            json!({"properties": {"a": {"type": "string", "x-mcp-header": "My"}, "b": {"type": "string", "x-mcp-header": "mY"}}}),
        ] {
            assert!(marks(&schema).is_err(), "{schema}");
        }
        let mut deep = json!({"type": "string"});
        for _ in 0..DEPTH_MAX + 1 {
            deep = json!({"properties": {"a": deep}});
        }
        assert!(marks(&deep).is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_a_header_that_says_it(text in any::<String>()) {
            let header = encoded(&text);
            prop_assert!(http::HeaderValue::from_str(&header).is_ok() && header.trim() == header);
            let said = match header.strip_prefix("=?base64?").and_then(|rest| rest.strip_suffix("?=")) {
                Some(inside) => String::from_utf8(STANDARD.decode(inside).unwrap()).unwrap(),
                None => header,
            };
            prop_assert_eq!(said, text);
        }
    }
}
