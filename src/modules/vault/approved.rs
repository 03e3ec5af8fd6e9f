//! Calls that need an approval: what exactly is to be approved, as authorization details say it (RFC 9396), and whether what a
//! token was given for is that.
//!
//! A detail of a call has a `type` of the tenant's own and three members of RFC 9396 2.2: `locations`, the connection's place at
//! the proxy; `actions`, the method and the path with its query; and `arguments`, the body. JSON stands there as it is, so that
//! people read it, and the other side gets it as it was read here: what it says twice is said once. Other bodies, and JSON of
//! another type than plain `application/json` (a patch, say), stand there by their digest and their whole media type.

use super::proxy::Call;
use crate::identity::{Answer, ErrorCode, Refusal, encode};
use aws_lc_rs::digest;
use serde_json::{Map, Value, json};

/// The largest body of a call that needs an approval.
pub(super) const BODY_BYTES_MAX: usize = 8 << 20;
/// The largest JSON that stands in a detail itself. A larger one stands there by its digest.
const ARGUMENTS_BYTES_MAX: usize = 16 << 10;

/// What is to be approved, and the body that is sent then.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Wanted {
    /// The members of the detail but for `type`.
    pub(super) members: Map<String, Value>,
    /// The body.
    pub(super) body: Vec<u8>,
}

impl Wanted {
    /// What a call is. `place` is the connection's URL at the proxy, `media` the type of the body as it is sent, with its
    /// parameters.
    ///
    /// # Errors
    /// The body says that it is JSON and is none.
    pub(super) fn of(place: &str, call: &Call, media: &str, body: Vec<u8>) -> Answer<Wanted> {
        let query = call.query.as_deref().map(|query| format!("?{query}")).unwrap_or_default();
        let action = format!("{} {}{query}", call.method, call.path);
        let mut members = Map::new();
        members.insert("locations".to_owned(), json!([place]));
        members.insert("actions".to_owned(), json!([action]));
        if body.is_empty() {
            return Ok(Wanted { members, body });
        }
        if is_json(media) && body.len() <= ARGUMENTS_BYTES_MAX {
            let arguments: Value = serde_json::from_slice(&body).map_err(|error| {
                let text = format!("the body is no JSON, although it says so: {error}");
                Refusal::new(ErrorCode::InvalidRequest, "proxy.body", text)
            })?;
            let body = arguments.to_string().into_bytes();
            members.insert("arguments".to_owned(), arguments);
            return Ok(Wanted { members, body });
        }
        let hash = encode(digest::digest(&digest::SHA256, &body).as_ref());
        let arguments = json!({"media_type": media, "bytes": body.len(), "sha-256": hash});
        members.insert("arguments".to_owned(), arguments);
        Ok(Wanted { members, body })
    }

    /// Which of the details of a token is of exactly this call.
    pub(super) fn among<'a>(&self, details: &'a [Value]) -> Option<&'a Value> {
        let fits = |detail: &&Value| {
            let members = detail.as_object().filter(|members| members.contains_key("type"));
            members.is_some_and(|members| {
                members.len() == self.members.len() + 1
                    && self.members.iter().all(|(name, value)| members.get(name) == Some(value))
            })
        };
        details.iter().find(fits)
    }

    /// Refuses the call, and says what is to be approved for it.
    pub(super) fn refuse(&self, scope: &str) -> Refusal {
        let text =
            format!("the scope `{scope}` of this connection needs an approval of exactly this call; ask for one");
        Refusal::new(ErrorCode::AccessDenied, "proxy.scope.approval", text)
    }
}

/// Whether a body is JSON that means what it says, and nothing else: not a patch, nor of another charset.
fn is_json(media: &str) -> bool {
    let parts: Vec<String> = media.split(';').map(|part| part.trim().to_ascii_lowercase()).collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    matches!(parts.as_slice(), ["application/json"] | ["application/json", "charset=utf-8" | "charset=\"utf-8\""])
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Method;

    fn wanted(path: &str, query: Option<&str>, media: &str, body: &str) -> Answer<Wanted> {
        let (connection, query) = ("mail".to_owned(), query.map(str::to_owned));
        let call = Call { connection, method: Method::POST, path: path.into(), query, purpose: None };
        Wanted::of("https://id.example/proxy/mail", &call, media, body.into())
    }

    #[test]
    fn what_is_approved_is_the_whole_call() {
        let json = "application/json; charset=utf-8";
        let call = wanted("/send", None, json, r#"{"to": ["a"], "n": 1}"#).unwrap();
        let detail = |more: Value| {
            let mut detail = json!({"type": "email", "locations": ["https://id.example/proxy/mail"],
                "actions": ["POST /send"], "arguments": {"n": 1, "to": ["a"]}});
            detail.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            detail
        };
        let good = detail(json!({}));
        assert_eq!(call.among(&[json!(1), good.clone()]), Some(&good));
        for other in [
            json!({"arguments": {"to": ["a", "b"], "n": 1}}),
            json!({"arguments": {"to": ["a"], "n": 1, "bcc": ["c"]}}),
            json!({"actions": ["POST /send?x=1"]}),
            json!({"actions": ["POST /send", "POST /other"]}),
            json!({"locations": ["https://id.example/proxy/crm"]}),
            json!({"privileges": ["admin"]}),
        ] {
            assert_eq!(call.among(&[detail(other.clone())]), None, "{other}");
        }
        assert_eq!(wanted("/send", Some("x=1"), json, r#"{"to": ["a"], "n": 1}"#).unwrap().among(&[good]), None);
    }

    #[test]
    fn what_is_said_twice_is_sent_once() {
        let call = wanted("/send", None, "application/json", r#"{"to": "boss", "to": "all"}"#).unwrap();
        assert_eq!(call.body, br#"{"to":"all"}"#);
        assert_eq!(call.members.get("arguments"), Some(&json!({"to": "all"})));
        assert_eq!(wanted("/send", None, "application/json", "{").unwrap_err().rule, "proxy.body");
    }

    #[test]
    fn other_bodies_are_approved_by_their_digest() {
        let call = wanted("/f", None, "application/pdf", "abc").unwrap();
        let hash = "ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0";
        assert_eq!(call.members["arguments"], json!({"media_type": "application/pdf", "bytes": 3, "sha-256": hash}));
        let large = format!("\"{}\"", "a".repeat(ARGUMENTS_BYTES_MAX));
        assert!(wanted("/f", None, "application/json", &large).unwrap().members["arguments"]["sha-256"].is_string());
        // JSON that may mean something else is not taken for what it reads as.
        for media in [
            "application/merge-patch+json",
            "application/json; charset=utf-16",
            "application/json; charset=utf-8; v=2",
            "Multipart/Form-Data; boundary=Other",
            "",
        ] {
            let call = wanted("/f", None, media, "{}").unwrap();
            let arguments = &call.members["arguments"];
            assert_eq!(arguments["media_type"], media);
            assert!(arguments["sha-256"].is_string());
        }
        assert_eq!(wanted("/f", None, "Application/JSON;Charset=UTF-8", "{}").unwrap().members["arguments"], json!({}));
        assert!(!wanted("/f", None, "", "").unwrap().members.contains_key("arguments"));
    }
}
