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
