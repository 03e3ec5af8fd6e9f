//! Signed requests (CIBA 7.1.1): the parameters in a JWT of the client, each used once.

use super::records::UsedObject;
use crate::identity::{
    Answer, Client, ClientKeys, Env, ErrorCode, Form, KeySource, Refusal, SKEW_S, Seconds, Tenant, Verified,
    check_times, hash_of, verify_with,
};
use serde_json::{Map, Value};

/// Longest life of a request object (FAPI-CIBA 5.2.2: 60 minutes).
const LIFE_MAX_S: Seconds = 3_600;
/// Parameters that may stand beside a request object: by them the client shows who it is.
const OUTSIDE: [&str; 5] = ["request", "client_id", "client_secret", "client_assertion", "client_assertion_type"];
/// Claims that are no parameters.
const CLAIMS: [&str; 6] = ["iss", "aud", "exp", "iat", "nbf", "jti"];
/// All parameters of a backchannel request, none of which may stand beside a request object.
const PARAMETERS: [&str; 13] = [
    "scope",
    "client_notification_token",
    "acr_values",
    "login_hint_token",
    "id_token_hint",
    "login_hint",
    "binding_message",
    "user_code",
    "requested_expiry",
    "authorization_details",
    "resource",
    "audience",
    "request_uri",
];

fn invalid(rule: &'static str, text: impl Into<String>) -> Refusal {
    Refusal::new(ErrorCode::InvalidRequest, rule, text)
}

/// The parameters of a request: those in its request object when it has one, else those beside it.
///
/// # Errors
/// The object is not of this client, for us, of now, or used; parameters stand beside it; or there is none and must be.
pub(super) fn parameters(
    tenant: &Tenant,
    client: &Client,
    form: &Form,
    must_be_signed: bool,
    keys: &dyn KeySource,
    env: &Env<'_>,
) -> Answer<Form> {
    let Some(object) = form.get("request") else {
        if must_be_signed {
            return Err(invalid("object.missing", "this client signs its requests; send `request` (CIBA 7.1.1)"));
        }
        return Ok(form.clone());
    };
    if let Some(beside) = PARAMETERS.iter().find(|name| form.get(name).is_some()) {
        let text = format!("`{beside}` stands beside `request`; all parameters are in the request object (CIBA 7.1.1)");
        return Err(invalid("object.beside", text));
    }
    debug_assert!(OUTSIDE.iter().all(|name| !PARAMETERS.contains(name)));
    let verified = verify(tenant, client, object, keys)?;
    check_claims(tenant, client, &verified, env)?;
    let members: Map<String, Value> =
        verified.claims.into_iter().filter(|(name, _)| !CLAIMS.contains(&name.as_str())).collect();
    if let Some(own) = OUTSIDE.iter().find(|name| **name != "client_id" && members.contains_key(**name)) {
        return Err(invalid("object.nested", format!("`{own}` has no place in a request object")));
    }
    let bytes = serde_json::to_vec(&members).map_err(|error| Refusal::failed("object.form", error.to_string()))?;
    Form::from_json(&bytes)
}

fn verify(tenant: &Tenant, client: &Client, object: &str, keys: &dyn KeySource) -> Answer<Verified> {
    let verified = match &client.keys {
        Some(ClientKeys::Jwks(set)) => verify_with(object, set),
        Some(ClientKeys::JwksUri(uri)) => {
            let set = |fresh| tenant.jwks_of(client, uri, keys, fresh);
            match verify_with(object, &*set(false)?) {
                Err(refusal) if refusal.rule == "token.kid" => verify_with(object, &*set(true)?),
                done => done,
            }
        }
        None => return Err(invalid("object.keys", "this client has no keys with which it could sign requests")),
    };
    let verified = verified.map_err(|refusal| Refusal { error: ErrorCode::InvalidRequest, ..refusal })?;
    // FAPI 1.0 part 2, 8.6: of RSA only with PSS.
    if verified.header.get("alg").and_then(Value::as_str).is_some_and(|alg| alg.starts_with("RS")) {
        return Err(invalid(
            "object.algorithm",
            "request objects are signed with ES256, PS256 or EdDSA, and not with RS256",
        ));
    }
    Ok(verified)
}

fn check_claims(tenant: &Tenant, client: &Client, verified: &Verified, env: &Env<'_>) -> Answer<()> {
    let of_request = |refusal: Refusal| Refusal { error: ErrorCode::InvalidRequest, ..refusal };
    if verified.text("iss") != Some(&client.id) {
        return Err(invalid("object.iss", "the request object's `iss` is not the client"));
    }
    if verified.audience() != [tenant.issuer()] {
        return Err(invalid("object.aud", "the request object's `aud` is not this issuer"));
    }
    for claim in ["exp", "iat", "nbf"] {
        if verified.time(claim).is_none() {
            return Err(invalid("object.times", format!("the request object has no `{claim}` (CIBA 7.1.1)")));
        }
    }
    check_times(verified, env.seconds(), LIFE_MAX_S).map_err(of_request)?;
    let life = verified.time("exp").unwrap_or(0).saturating_sub(verified.time("nbf").unwrap_or(0));
    if life > LIFE_MAX_S {
        return Err(invalid("object.life", "the request object lives longer than 60 minutes (FAPI-CIBA 5.2.2)"));
    }
    let jti = verified.text("jti").filter(|jti| !jti.is_empty());
    let jti = jti.ok_or_else(|| invalid("object.jti", "the request object has no `jti` (CIBA 7.1.1)"))?;
    let until = verified.time("exp").unwrap_or(0).saturating_add(SKEW_S);
    let part = hash_of(jti);
    let mut change = tenant.change(env);
    change.create(&[&client.id, &part], &UsedObject { until });
    change.expires::<UsedObject>(&[&client.id, &part], until, None);
    match change.commit() {
        Err(refusal) if refusal.is_stale() => Err(invalid("object.replayed", "the request object was used before")),
        done => done.map(|_| ()),
    }
}
