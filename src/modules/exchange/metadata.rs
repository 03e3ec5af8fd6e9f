//! What servers and clients say of these grant types in their metadata (RFC 8414, RFC 7591; the ID-JAG draft, 7 and 8).

use super::exchange::TOKEN_EXCHANGE;
use super::idjag::ID_JAG;
use super::redeem::JWT_BEARER;
use crate::identity::{Answer, ErrorCode, Refusal};
use serde_json::{Map, Value};

/// The profile of the grant type `jwt-bearer` that is served.
pub const ID_JAG_PROFILE: &str = "urn:ietf:params:oauth:grant-profile:id-jag";
/// Which types of token a server issues by exchange for other domains, or a client asks for.
pub(super) const REQUESTED: &str = "identity_chaining_requested_token_types_supported";
/// Which profiles of grant types a server takes, or a client uses.
pub(super) const PROFILES: &str = "authorization_grant_profiles_supported";

/// Whether the metadata of a client makes sense: who asks for assertions exchanges tokens for them, and who brings them
/// redeems them, so that the grant types are among its own.
///
/// # Errors
/// A member is malformed, or a grant type is missing.
pub fn check_client_metadata(metadata: &Map<String, Value>) -> Answer<()> {
    let refuse = |text: String| Err(Refusal::new(ErrorCode::InvalidRequest, "client.id_jag", text));
    let list = |name: &str| match metadata.get(name) {
        None => Some(Vec::new()),
        Some(Value::Array(several)) => several.iter().map(Value::as_str).collect(),
        Some(_) => None,
    };
    let Some(grants) = list("grant_types") else { return refuse("`grant_types` is a list of texts".to_owned()) };
    for (name, value, needed) in
        [(REQUESTED, ID_JAG, &[TOKEN_EXCHANGE, JWT_BEARER][..]), (PROFILES, ID_JAG_PROFILE, &[JWT_BEARER][..])]
    {
        let Some(named) = list(name) else { return refuse(format!("`{name}` is a list of texts")) };
        if !named.contains(&value) {
            continue;
        }
        if let Some(missing) = needed.iter().find(|needed| !grants.contains(needed)) {
            return refuse(format!("`{name}` has `{value}`, for which `grant_types` needs `{missing}`"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_client_that_chains_identities_may_use_the_grant_types() {
        let check = |metadata: Value| check_client_metadata(metadata.as_object().unwrap()).map_err(|r| r.rule);
        check(json!({})).unwrap();
        check(json!({REQUESTED: [ID_JAG], "grant_types": [TOKEN_EXCHANGE, JWT_BEARER]})).unwrap();
        check(json!({PROFILES: [ID_JAG_PROFILE], "grant_types": [JWT_BEARER]})).unwrap();
        check(json!({PROFILES: ["other"], "grant_types": []})).unwrap();
        for bad in [
            json!({REQUESTED: [ID_JAG]}),
            json!({REQUESTED: [ID_JAG], "grant_types": [TOKEN_EXCHANGE]}),
            json!({PROFILES: [ID_JAG_PROFILE], "grant_types": [TOKEN_EXCHANGE]}),
            json!({REQUESTED: ID_JAG, "grant_types": [TOKEN_EXCHANGE, JWT_BEARER]}),
            json!({PROFILES: [1]}),
            json!({"grant_types": "x"}),
        ] {
            assert_eq!(check(bad.clone()), Err("client.id_jag"), "{bad}");
        }
    }
}
