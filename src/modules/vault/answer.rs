//! What the answers of a provider's token endpoint mean. Pure. What the provider says is repeated nowhere: neither in what a
//! caller is told, nor in the log.

use super::records::{Hidden, NewCredential, Provider, Secret};
use crate::identity::{ErrorCode, Refusal, Seconds, is_scope};
use serde::Deserialize;

/// Longest token that is taken. The filter can look for no longer one.
const TOKEN_BYTES_MAX: usize = crate::secrets::HELD_SECRET_BYTES_MAX;
/// Most scopes that are kept of an answer.
const SCOPES_MAX: usize = 128;

/// Why there are no tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TokenFault {
    /// What was shown is of no use any more (RFC 6749 5.2 `invalid_grant`): its holder has to connect again.
    Gone,
    /// The provider cannot now; later it may.
    Later(&'static str),
    /// It refuses, and would refuse again: something is set up wrongly.
    Refused(&'static str),
}

impl TokenFault {
    /// What the caller of the proxy is told.
    #[must_use]
    pub(super) fn refusal(&self, connection: &str) -> Refusal {
        match self {
            TokenFault::Gone => reconnect(connection),
            TokenFault::Later(why) => {
                let text = format!("the provider of `{connection}` gives no tokens now; try again later");
                let refusal = Refusal::new(ErrorCode::TemporarilyUnavailable, "lease.later", text).because(*why);
                Refusal { retry_after_s: Some(5), ..refusal }
            }
            TokenFault::Refused(why) => {
                let text =
                    format!("the provider of `{connection}` refuses to give tokens; whoever runs this has to see why");
                Refusal::new(ErrorCode::TemporarilyUnavailable, "lease.refused", text).because(*why)
            }
        }
    }
}

/// The refusal of a credential that does not work any more.
#[must_use]
pub(super) fn reconnect(connection: &str) -> Refusal {
    let text = format!("`{connection}` has to be connected again by its holder");
    Refusal::new(ErrorCode::AccessDenied, "credential.reconnect", text)
}

/// What a token endpoint answers (RFC 6749 5.1, 5.2).
#[derive(Deserialize)]
struct Answered {
    access_token: Option<Hidden>,
    token_type: Option<String>,
    refresh_token: Option<Hidden>,
    expires_in: Option<serde_json::Value>,
    scope: Option<String>,
    error: Option<String>,
}

/// The credential that an answer gives, in place of the one before (with its scopes), if there was one. What the provider says
/// is repeated nowhere.
///
/// # Errors
/// It gives none.
#[expect(clippy::wildcard_enum_match_arm, reason = "what is not named stays as it is")]
pub(super) fn read_answer(
    status: u16,
    body: &[u8],
    provider: &Provider,
    before: Option<(&Secret, &[String])>,
    now: Seconds,
) -> Result<NewCredential, TokenFault> {
    let (before, had) = (before.map(|(secret, _)| secret), before.map_or(&[][..], |(_, scopes)| scopes));
    let answered: Option<Answered> = serde_json::from_slice(body).ok();
    // Some providers answer errors with 200.
    let error = answered.as_ref().and_then(|answered| answered.error.as_deref());
    match (status, error) {
        (429 | 500.., _) => return Err(TokenFault::Later("it answered that it cannot now")),
        (_, Some("temporarily_unavailable" | "slow_down" | "server_error")) => {
            return Err(TokenFault::Later("it answered that it cannot now"));
        }
        (_, Some("invalid_grant")) => return Err(TokenFault::Gone),
        (_, Some("invalid_client" | "unauthorized_client")) => {
            return Err(TokenFault::Refused("it does not take our client"));
        }
        (_, Some(_)) | (300.., None) => return Err(TokenFault::Refused("it answered with another error")),
        (_, None) => {}
    }
    let answered = answered.ok_or(TokenFault::Refused("its answer is not understood"))?;
    let access_token = answered.access_token.filter(|token| is_token(token));
    let access_token = access_token.ok_or(TokenFault::Refused("its answer has no usable access token"))?;
    let is_bearer = |kind: &String| kind.eq_ignore_ascii_case("bearer");
    // RFC 6749 5.1 wants it said; providers with which people connect leave it out.
    let may_be_unsaid = !matches!(provider, Provider::IdentityAssertion { .. });
    if !answered.token_type.as_ref().map_or(may_be_unsaid, is_bearer) {
        return Err(TokenFault::Refused("its token is of a type that is not understood"));
    }
    if let Provider::IdentityAssertion { .. } = provider {
        return Ok(NewCredential {
            scopes: scopes_of(answered.scope.as_deref()),
            expires_at: lifetime(answered.expires_in.as_ref()).map(|life| now + life),
            refreshable: false, // another assertion gets the next one (ID-JAG 4.4.2: no refresh token)
            secret: Secret::Oauth2 { access_token, refresh_token: None },
        });
    }
    let refresh_token = match (answered.refresh_token.filter(|token| is_token(token)), before) {
        (Some(token), _) => Some(token),
        // RFC 6749 6: without another, the one that was shown stays.
        (None, Some(Secret::Oauth2 { refresh_token, .. })) => refresh_token.clone(),
        (None, _) => None,
    };
    let (secret, refreshable) = match (provider, before) {
        (Provider::ServiceAccount { .. }, Some(Secret::ServiceAccount { private_key, .. })) => {
            let private_key = private_key.clone();
            (Secret::ServiceAccount { private_key, access_token: Some(access_token) }, true)
        }
        _ => {
            let refreshable = refresh_token.is_some();
            (Secret::Oauth2 { access_token, refresh_token }, refreshable)
        }
    };
    let scopes: Vec<String> = match provider {
        // RFC 6749 6: left out of a refresh when it is what was given before; 5.1: else when it is what was asked for.
        Provider::Oauth2 { .. } if answered.scope.is_none() && !had.is_empty() => had.to_vec(),
        Provider::Oauth2 { scopes, .. } | Provider::ServiceAccount { scopes, .. } if answered.scope.is_none() => {
            scopes.clone()
        }
        _ => scopes_of(answered.scope.as_deref()),
    };
    Ok(NewCredential {
        scopes,
        expires_at: lifetime(answered.expires_in.as_ref()).map(|life| now + life),
        refreshable,
        secret,
    })
}

/// The scopes of an answer. Some providers write commas between them.
fn scopes_of(text: Option<&str>) -> Vec<String> {
    let granted = text.unwrap_or_default().split([' ', ',']).filter(|scope| is_scope(scope));
    granted.take(SCOPES_MAX).map(str::to_owned).collect()
}

/// Some providers write the number as text.
fn lifetime(value: Option<&serde_json::Value>) -> Option<Seconds> {
    let value = value?;
    let seconds = value.as_u64().or_else(|| value.as_str()?.parse().ok())?;
    Some(seconds.min(10 * 365 * 24 * 3_600))
}

/// Whether it can be shown in a header, and looked for.
fn is_token(token: &str) -> bool {
    (1..=TOKEN_BYTES_MAX).contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_graphic())
}
