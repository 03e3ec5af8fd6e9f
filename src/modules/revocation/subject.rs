//! Subject identifiers (RFC 9493) of the formats that name a person by themselves, and the body that has one.

use crate::identity::{Answer, ErrorCode, Refusal, StrictJson};
use serde_json::{Map, Value, json};

/// The largest body of a revocation.
pub const SUBJECT_BODY_BYTES_MAX: usize = 4 << 10;
/// Longest text of an identifier, in bytes.
const TEXT_BYTES_MAX: usize = 1_024;

/// Who is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubjectId {
    /// Whose address this is (3.2.2).
    Email {
        /// The address.
        email: String,
    },
    /// Whom an issuer calls so (3.2.4).
    IssSub {
        /// The issuer.
        iss: String,
        /// The person.
        sub: String,
    },
    /// Whom both sides call so (3.2.5).
    Opaque {
        /// The person.
        id: String,
    },
}

fn malformed(rule: &'static str, text: &str) -> Refusal {
    Refusal::new(ErrorCode::InvalidRequest, rule, text)
}

impl SubjectId {
    /// Reads a body: an object whose one member is `sub_id`.
    ///
    /// # Errors
    /// It is too large, or anything else than that; or the format is none that names a person here.
    pub fn read_body(body: &[u8]) -> Answer<SubjectId> {
        let form = || malformed("revocation.body", "the body is JSON with one member, `sub_id`, as RFC 9493 writes it");
        if body.len() > SUBJECT_BODY_BYTES_MAX {
            return Err(form());
        }
        let StrictJson(value) = serde_json::from_slice(body).map_err(|_| form())?;
        let Value::Object(mut members) = value else { return Err(form()) };
        match (members.shift_remove("sub_id"), members.is_empty()) {
            (Some(Value::Object(id)), true) => SubjectId::read(&id),
            _ => Err(form()),
        }
    }

    fn read(id: &Map<String, Value>) -> Answer<SubjectId> {
        let format = id.get("format").and_then(Value::as_str);
        let format = format.ok_or_else(|| malformed("revocation.format", "`sub_id` has no `format`"))?;
        Ok(match format {
            "email" => {
                let [email] = members(id, ["email"])?;
                SubjectId::Email { email }
            }
            "iss_sub" => {
                let [iss, sub] = members(id, ["iss", "sub"])?;
                SubjectId::IssSub { iss, sub }
            }
            "opaque" => {
                let [id] = members(id, ["id"])?;
                SubjectId::Opaque { id }
            }
            _ => {
                let text = "people are named here by the formats `iss_sub`, `email` and `opaque` of RFC 9493 alone";
                return Err(malformed("revocation.format", text));
            }
        })
    }

    /// The format.
    #[must_use]
    pub fn format(&self) -> &'static str {
        match self {
            SubjectId::Email { .. } => "email",
            SubjectId::IssSub { .. } => "iss_sub",
            SubjectId::Opaque { .. } => "opaque",
        }
    }

    /// As JSON.
    pub(super) fn json(&self) -> Value {
        match self {
            SubjectId::Email { email } => json!({"format": "email", "email": email}),
            SubjectId::IssSub { iss, sub } => json!({"format": "iss_sub", "iss": iss, "sub": sub}),
            SubjectId::Opaque { id } => json!({"format": "opaque", "id": id}),
        }
    }

    /// The body that names this person.
    #[must_use]
    pub fn body(&self) -> String {
        json!({ "sub_id": self.json() }).to_string()
    }
}

/// The members of a format, which are all there (RFC 9493 3: none besides), and texts.
fn members<const N: usize>(id: &Map<String, Value>, names: [&str; N]) -> Answer<[String; N]> {
    let wrong = |name: &str| {
        let text = format!("`sub_id` has `format` and, of this format, {}; something is wrong with `{name}`", {
            names.map(|name| format!("`{name}`")).join(" and ")
        });
        malformed("revocation.sub_id", &text)
    };
    if let Some(other) = id.keys().find(|name| *name != "format" && !names.contains(&name.as_str())) {
        return Err(wrong(&other.chars().take(64).collect::<String>()));
    }
    let mut texts = [const { String::new() }; N];
    for (text, name) in texts.iter_mut().zip(names) {
        let value = id.get(name).and_then(Value::as_str).filter(|value| {
            !value.trim().is_empty() && value.len() <= TEXT_BYTES_MAX && !value.chars().any(char::is_control)
        });
        *text = value.ok_or_else(|| wrong(name))?.to_owned();
    }
    Ok(texts)
}
