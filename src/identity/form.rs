//! The parameters of a request: each once, and an empty one is none (RFC 6749 3.1, 3.2).

use super::{Answer, ErrorCode, Refusal, StrictJson};
use serde_json::Value;

/// Most parameters of a request.
pub const PARAMETERS_MAX: usize = 64;
/// Parameters that may be there several times (RFC 8707 2, RFC 8693 2.1).
const REPEATED: [&str; 2] = ["resource", "audience"];

/// See the file's head. It has no `Debug`: secrets are among them.
#[derive(Clone, Default)]
pub struct Form(Vec<(String, String)>);

impl Form {
    /// Reads `application/x-www-form-urlencoded`, of a body or behind a question mark.
    ///
    /// # Errors
    /// A parameter is there twice, or there are too many.
    pub fn parse(text: &str) -> Answer<Form> {
        let pairs = url::form_urlencoded::parse(text.as_bytes());
        Form::of(pairs.map(|(name, value)| (name.into_owned(), value.into_owned())))
    }

    /// Reads the members of a JSON object, as the SDKs of Auth0 send them. A member that is no text is kept as JSON.
    ///
    /// # Errors
    /// It is no object, or one within it has a member twice; else as [`Form::parse`].
    pub fn from_json(bytes: &[u8]) -> Answer<Form> {
        let refuse = |rule, text| Err(Refusal::new(ErrorCode::InvalidRequest, rule, text));
        let members = match serde_json::from_slice(bytes) {
            Ok(StrictJson(Value::Object(members))) => members,
            Err(error) if error.is_data() => {
                return refuse("form.repeated", "a member of the body is there more than once");
            }
            Ok(_) | Err(_) => return refuse("form.json", "the body is no JSON object"),
        };
        let mut pairs = Vec::new();
        for (name, value) in members {
            match value {
                Value::Null => {}
                Value::String(text) => pairs.push((name, text)),
                Value::Array(several) if REPEATED.contains(&name.as_str()) => {
                    pairs.extend(several.iter().filter_map(Value::as_str).map(|text| (name.clone(), text.to_owned())));
                }
                Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
                    pairs.push((name, value.to_string()));
                }
            }
        }
        Form::of(pairs.into_iter())
    }

    fn of(pairs: impl Iterator<Item = (String, String)>) -> Answer<Form> {
        let mut form = Form::default();
        for (name, value) in pairs {
            if form.0.len() == PARAMETERS_MAX {
                let text = format!("a request has at most {PARAMETERS_MAX} parameters");
                return Err(Refusal::new(ErrorCode::InvalidRequest, "form.max", text));
            }
            if !REPEATED.contains(&name.as_str()) && form.0.iter().any(|(known, _)| *known == name) {
                let name: String = name.chars().filter(char::is_ascii_graphic).take(64).collect();
                let text = format!("the parameter `{name}` is there more than once");
                return Err(Refusal::new(ErrorCode::InvalidRequest, "form.repeated", text));
            }
            form.0.push((name, value));
        }
        Ok(form)
    }

    /// A parameter.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// A parameter that must be there.
    ///
    /// # Errors
    /// It is not.
    pub fn need(&self, name: &'static str) -> Answer<&str> {
        let missing = || Refusal::new(ErrorCode::InvalidRequest, "form.missing", format!("`{name}` is missing"));
        self.get(name).ok_or_else(missing)
    }

    /// All values of a parameter that may be repeated.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let values = self.0.iter().filter(move |(known, _)| known == name);
        values.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// The resources that are asked for: `resource` (RFC 8707), or `audience` as Auth0 calls it. `None` when none is named.
    #[must_use]
    pub fn resources(&self) -> Option<Vec<String>> {
        let mut named: Vec<String> = Vec::new();
        for resource in self.all("resource").chain(self.all("audience")) {
            if !named.iter().any(|known| known == resource) {
                named.push(resource.to_owned());
            }
        }
        (!named.is_empty()).then_some(named)
    }

    /// The authorization details (RFC 9396 2): an array of objects with a `type` each.
    ///
    /// # Errors
    /// They are not that, or too large.
    pub fn details(&self) -> Answer<Option<Vec<Value>>> {
        let Some(text) = self.get("authorization_details") else { return Ok(None) };
        let refuse = || {
            let text = "`authorization_details` is a JSON array of objects, each with a `type`";
            Refusal::new(ErrorCode::InvalidAuthorizationDetails, "details.form", text)
        };
        if text.len() > super::DETAILS_BYTES_MAX {
            return Err(refuse().because("too large"));
        }
        let Ok(StrictJson(Value::Array(details))) = serde_json::from_str(text) else { return Err(refuse()) };
        if details.is_empty() || !details.iter().all(|d| d.get("type").is_some_and(Value::is_string)) {
            return Err(refuse());
        }
        Ok(Some(details))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_there_once() {
        let form = Form::parse("a=1&b=%C3%A9+x&c=&resource=r1&resource=r2&audience=r1").unwrap();
        assert_eq!((form.get("a"), form.get("b"), form.get("c"), form.get("d")), (Some("1"), Some("é x"), None, None));
        assert_eq!(form.resources().unwrap(), ["r1", "r2"]);
        assert_eq!(form.need("c").unwrap_err().rule, "form.missing");
        for repeated in ["a=1&a=1", "a=1&%61=2", "a=&a=1"] {
            assert_eq!(Form::parse(repeated).err().unwrap().rule, "form.repeated", "{repeated}");
        }
        let many: String = (0..=PARAMETERS_MAX).map(|n| format!("p{n}=1&")).collect();
        assert_eq!(Form::parse(&many).err().unwrap().rule, "form.max");
    }

    #[test]
    fn json_gives_the_same() {
        let body = br#"{"a": "1", "n": 5, "none": null, "audience": ["r1"], "authorization_details": [{"type": "t"}]}"#;
        let form = Form::from_json(body).unwrap();
        assert_eq!((form.get("a"), form.get("n"), form.get("none")), (Some("1"), Some("5"), None));
        assert_eq!(form.resources().unwrap(), ["r1"]);
        assert_eq!(form.details().unwrap().unwrap(), [serde_json::json!({"type": "t"})]);
        assert_eq!(Form::from_json(b"[]").err().unwrap().rule, "form.json");
        for repeated in [r#"{"a": 1, "a": 1}"#, r#"{"a": {"b": 1, "\u0062": 2}}"#, r#"{"a": [{"b": 1, "b": 2}]}"#] {
            assert_eq!(Form::from_json(repeated.as_bytes()).err().unwrap().rule, "form.repeated", "{repeated}");
        }
        for bad in [
            r#"[{"type": "t", "type": "u"}]"#,
            r#"[{"type": "t", "a": {"b": 1, "b": 2}}]"#,
            "{}",
            "[]",
            "[1]",
            r#"[{"type": 1}]"#,
            r#"[{"kind": "t"}]"#,
        ] {
            let form = Form(vec![("authorization_details".to_owned(), bad.to_owned())]);
            assert_eq!(form.details().unwrap_err().rule, "details.form", "{bad}");
        }
    }
}
