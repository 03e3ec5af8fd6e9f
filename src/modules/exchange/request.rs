//! The parameters of a token exchange (RFC 8693 2.1).

use super::idjag::ID_JAG;
use crate::identity::{Answer, ErrorCode, Form, RESOURCES_MAX, Refusal, TokenKind, scopes_of};
use serde_json::Value;

/// Longest `approval`.
const APPROVAL_BYTES_MAX: usize = 256;

/// What is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wants {
    /// An access token of this tenant.
    Access,
    /// An identity assertion for the authorization server of another domain.
    IdJag,
}

/// See the file's head. Tokens are in it, so that it has no `Debug`.
pub(super) struct Request<'a> {
    pub(super) subject: (&'a str, TokenKind),
    pub(super) actor: Option<&'a str>,
    pub(super) wants: Wants,
    pub(super) resources: Vec<String>,
    pub(super) audiences: Vec<String>,
    pub(super) scopes: Option<Vec<String>>,
    pub(super) details: Option<Vec<Value>>,
    pub(super) approval: Option<&'a str>,
}

fn invalid(rule: &'static str, text: impl Into<String>) -> Refusal {
    Refusal::new(ErrorCode::InvalidRequest, rule, text)
}

fn several(form: &Form, name: &str) -> Answer<Vec<String>> {
    let mut named: Vec<String> = Vec::new();
    for value in form.all(name) {
        if !named.iter().any(|known| known == value) {
            named.push(value.to_owned());
        }
    }
    if named.len() > RESOURCES_MAX {
        let text = format!("a request names at most {RESOURCES_MAX} of `{name}`");
        return Err(Refusal::new(ErrorCode::InvalidTarget, "exchange.targets", text));
    }
    Ok(named)
}

impl<'a> Request<'a> {
    /// Reads the parameters.
    ///
    /// # Errors
    /// One is missing, malformed, or asks for what is not offered.
    pub(super) fn read(form: &'a Form) -> Answer<Request<'a>> {
        let (token, urn) = (form.need("subject_token")?, form.need("subject_token_type")?);
        let kinds = [TokenKind::Access, TokenKind::Id, TokenKind::Refresh];
        let kind = kinds.into_iter().find(|kind| kind.urn() == urn).ok_or_else(|| {
            let text = "`subject_token_type` is that of an access token, an ID token or a refresh token of this server";
            invalid("exchange.subject_type", text)
        })?;
        let actor = match (form.get("actor_token"), form.get("actor_token_type")) {
            (None, None) => None,
            (Some(token), Some(urn)) if urn == TokenKind::Access.urn() => Some(token),
            (Some(_), Some(_)) => {
                return Err(invalid("exchange.actor_type", "`actor_token_type` is that of an access token"));
            }
            (Some(_), None) | (None, Some(_)) => {
                let text = "send `actor_token` and `actor_token_type`, or neither";
                return Err(invalid("exchange.actor_pair", text));
            }
        };
        let wants = match form.get("requested_token_type") {
            None => Wants::Access,
            Some(urn) if urn == TokenKind::Access.urn() => Wants::Access,
            Some(ID_JAG) => Wants::IdJag,
            Some(_) => {
                let text = format!("`requested_token_type` is that of an access token, or `{ID_JAG}`");
                return Err(invalid("exchange.requested_type", text));
            }
        };
        let approval = form.get("approval");
        if approval.is_some_and(|id| id.len() > APPROVAL_BYTES_MAX) {
            return Err(invalid("exchange.approval", "`approval` is no id of one"));
        }
        Ok(Request {
            subject: (token, kind),
            actor,
            wants,
            resources: several(form, "resource")?,
            audiences: several(form, "audience")?,
            scopes: form.get("scope").map(scopes_of).transpose()?,
            details: form.details()?,
            approval,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PIECES: [&str; 20] = [
        "subject_token=a",
        "subject_token=b",
        "subject_token_type=urn:ietf:params:oauth:token-type:access_token",
        "subject_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Aid_token",
        "subject_token_type=urn:ietf:params:oauth:token-type:jwt",
        "actor_token=c",
        "actor_token_type=urn:ietf:params:oauth:token-type:access_token",
        "requested_token_type=urn:ietf:params:oauth:token-type:access_token",
        "requested_token_type=urn:ietf:params:oauth:token-type:id-jag",
        "requested_token_type=x",
        "resource=https://a.example/",
        "resource=https://b.example/&resource=https://c.example/&resource=d&resource=e&resource=f&resource=g&resource=h&resource=i&resource=j",
        "audience=a",
        "scope=a%20b",
        "scope=%22",
        "authorization_details=[{\"type\":\"t\"}]",
        "authorization_details=[]",
        "approval=x",
        "approval=",
        "%",
    ];

    proptest! {
        /// In place of a fuzz target, because kinds of tokens are of a file with records.
        #[test]
        fn any_form_is_a_request_within_bounds_or_refused(
            pieces in prop::collection::vec(prop::sample::select(&PIECES[..]), 0..10),
            value in "\\PC{0,40}",
        ) {
            let good = format!("{}&{}", PIECES[0], PIECES[2]);
            for text in [pieces.join("&"), format!("{good}&{}", pieces.join("&")), format!("{good}&scope={value}")] {
                let Ok(form) = Form::parse(&text) else { continue };
                let Ok(request) = Request::read(&form) else { continue };
                prop_assert_eq!(form.get("subject_token"), Some(request.subject.0));
                prop_assert_eq!(form.get("subject_token_type"), Some(request.subject.1.urn()));
                prop_assert!(request.resources.len() <= RESOURCES_MAX && request.audiences.len() <= RESOURCES_MAX);
                prop_assert!(request.approval.is_none_or(|id| !id.is_empty() && id.len() <= APPROVAL_BYTES_MAX));
                prop_assert_eq!(request.actor.is_some(), form.get("actor_token").is_some());
                prop_assert!(request.details.is_none_or(|details| !details.is_empty()));
                prop_assert!(request.scopes.iter().flatten().all(|scope| crate::identity::is_scope(scope)));
            }
        }
    }
}
