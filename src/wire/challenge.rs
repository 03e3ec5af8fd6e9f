//! What a resource says to who shows no token, or one that does not do (RFC 6750 3, RFC 9449 7.1, RFC 9470 3).

use crate::identity::{ALGORITHMS, ErrorCode, Refusal};
use axum::http::HeaderValue;

/// The challenge that belongs to a refusal. Who has shown nothing is told no error, but how a token is shown; what is wrong with
/// the proof of a key is said as `DPoP`.
#[must_use]
pub fn challenge(refusal: &Refusal) -> Option<HeaderValue> {
    // Between quotation marks (RFC 9110 5.6.4): our own sentences have no such marks.
    let text = refusal.description.replace(['"', '\\'], "'");
    let algorithms = ALGORITHMS.map(|(name, _)| name).join(" ");
    let error = refusal.error.text();
    let more = refusal.step_up.as_ref().map(|step_up| step_up.parameters()).unwrap_or_default();
    let value = match refusal.rule {
        "token.none" => format!("Bearer, DPoP algs=\"{algorithms}\""),
        rule if refusal.error == ErrorCode::InvalidDpopProof || rule.starts_with("dpop.") => {
            format!("DPoP error=\"{error}\", error_description=\"{text}\", algs=\"{algorithms}\"")
        }
        _ => format!("Bearer error=\"{error}\", error_description=\"{text}\"{more}"),
    };
    HeaderValue::from_str(&value).ok()
}
