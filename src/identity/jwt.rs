//! JSON Web Tokens: our own, and others', verified with the keys that we were given for them.
//!
//! What is in a token is believed only behind its signature, and no algorithm is taken from a token that is not in a list
//! here: none of them is symmetric, and `none` is not among them (RFC 8725 3.1, 3.2).

use super::pairs::Pair;
use super::{Answer, ErrorCode, Refusal, Seconds, decode, encode};
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Serialize;
use serde_json::{Map, Value};

/// Longest token that is looked at.
pub const TOKEN_BYTES_MAX: usize = 16 << 10;
/// Most keys of a set that are tried.
pub const JWKS_KEYS_MAX: usize = 32;
/// How far another's clock may be off.
pub const SKEW_S: Seconds = 30;
/// The algorithms that others may sign with. `EdDSA` is the older name of what RFC 9864 calls `Ed25519`.
pub const ALGORITHMS: [(&str, Algorithm); 10] = [
    ("ES256", Algorithm::ES256),
    ("ES384", Algorithm::ES384),
    (ED25519, Algorithm::EdDSA),
    (EDDSA, Algorithm::EdDSA),
    ("PS256", Algorithm::PS256),
    ("PS384", Algorithm::PS384),
    ("PS512", Algorithm::PS512),
    ("RS256", Algorithm::RS256),
    ("RS384", Algorithm::RS384),
    ("RS512", Algorithm::RS512),
];
/// One algorithm, by its name (RFC 9864 2.2) and by the older one, which could mean another curve too (RFC 8037 3.1).
const ED25519: &str = "Ed25519";
const EDDSA: &str = "EdDSA";
/// Shortest RSA modulus, in bytes (RFC 7518 3.3).
const RSA_BYTES_MIN: usize = 256;

/// A token of another that has been verified: what it says was said by who has the key.
#[derive(Clone, Debug)]
pub struct Verified {
    /// The header.
    pub header: Map<String, Value>,
    /// The claims.
    pub claims: Map<String, Value>,
}

impl Verified {
    /// A claim that is a text.
    #[must_use]
    pub fn text(&self, claim: &str) -> Option<&str> {
        self.claims.get(claim).and_then(Value::as_str)
    }

    /// A claim that is a time. A fraction of a second is cut off.
    #[must_use]
    pub fn time(&self, claim: &str) -> Option<Seconds> {
        let value = self.claims.get(claim)?;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "in range, as is looked at before")]
        let whole = |f: f64| (0.0..=9e15).contains(&f).then_some(f.trunc() as u64);
        value.as_u64().or_else(|| value.as_f64().and_then(whole))
    }

    /// The audience, which may be one text or several.
    #[must_use]
    pub fn audience(&self) -> Vec<&str> {
        audience(self.claims.get("aud"))
    }
}

fn audience(aud: Option<&Value>) -> Vec<&str> {
    match aud {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) | None => Vec::new(),
    }
}

/// Signs claims; the key is named in the header where it has a name.
///
/// # Errors
/// The library failed.
pub fn sign(pair: &Pair, kid: Option<&str>, typ: &str, claims: &impl Serialize) -> Answer<String> {
    let failed = |what: &str| Refusal::failed("token.sign", what.to_owned());
    let mut header = serde_json::json!({"typ": typ, "alg": pair.algorithm().name()});
    if let Some((members, kid)) = header.as_object_mut().zip(kid) {
        members.insert("kid".to_owned(), kid.into());
    }
    let header = header.to_string();
    let claims = serde_json::to_vec(claims).map_err(|error| failed(&error.to_string()))?;
    let message = format!("{}.{}", encode(header.as_bytes()), encode(&claims));
    let signature = pair.sign(message.as_bytes()).ok_or_else(|| failed("the library"))?;
    Ok(format!("{message}.{}", encode(&signature)))
}

fn malformed(rule: &'static str, why: &str) -> Refusal {
    Refusal::new(ErrorCode::InvalidToken, rule, format!("this is no token that is accepted here: {why}"))
}

/// What stands in a part of a token, unverified.
fn part(token: &str, at: usize) -> Option<Map<String, Value>> {
    let mut parts = token.split('.');
    let part = parts.nth(at)?;
    serde_json::from_slice(&decode(part)?).ok()
}

/// The header of a token, before anything is verified: to find the key, and for nothing else.
///
/// # Errors
/// It is no token, or asks for what we do not understand (`crit`, RFC 7515 4.1.11).
pub fn unverified_header(token: &str) -> Answer<Map<String, Value>> {
    if token.len() > TOKEN_BYTES_MAX || token.split('.').count() != 3 {
        return Err(malformed("token.form", "it is too long, or does not have three parts"));
    }
    let header = part(token, 0).ok_or_else(|| malformed("token.form", "its header is no JSON"))?;
    if header.contains_key("crit") {
        return Err(malformed("token.crit", "it has a critical extension"));
    }
    Ok(header)
}

/// A claim of a token before anything is verified: to find whose keys verify it, and for nothing else.
#[must_use]
pub fn unverified_claim(token: &str, claim: &str) -> Option<String> {
    if token.len() > TOKEN_BYTES_MAX {
        return None;
    }
    part(token, 1)?.get(claim)?.as_str().map(str::to_owned)
}

/// Verifies a signature with a key, and answers header and claims. Times, issuer and audience are the caller's to judge.
///
/// The library reads no header here: it does not know all names of its algorithms.
pub(super) fn verify(token: &str, (name, algorithm): (&str, Algorithm), key: &DecodingKey) -> Answer<Verified> {
    let header = unverified_header(token)?;
    let wrong = || malformed("token.signature", "its signature does not verify");
    if header.get("alg").and_then(Value::as_str) != Some(name) {
        return Err(wrong().because("`alg` is another"));
    }
    let (message, signature) = token.rsplit_once('.').ok_or_else(wrong)?;
    let good = jsonwebtoken::crypto::verify(signature, message.as_bytes(), key, algorithm);
    if !good.map_err(|error| wrong().because(error.to_string()))? {
        return Err(wrong());
    }
    let claims = part(token, 1).ok_or_else(|| malformed("token.form", "its claims are no JSON object"))?;
    Ok(Verified { header, claims })
}

/// Whether a public key may verify an algorithm: of its type, not too short, and meant for it.
fn fits(jwk: &Jwk, algorithm: &str) -> bool {
    let algorithm = if algorithm == ED25519 { EDDSA } else { algorithm };
    let meant = jwk.common.key_algorithm.as_ref().is_none_or(|a| a.to_string() == algorithm)
        && jwk.common.public_key_use.as_ref().is_none_or(|u| *u == jsonwebtoken::jwk::PublicKeyUse::Signature);
    let of_type = match (&jwk.algorithm, algorithm) {
        (AlgorithmParameters::EllipticCurve(key), "ES256") => key.curve == EllipticCurve::P256,
        (AlgorithmParameters::EllipticCurve(key), "ES384") => key.curve == EllipticCurve::P384,
        (AlgorithmParameters::OctetKeyPair(key), EDDSA) => key.curve == EllipticCurve::Ed25519,
        (AlgorithmParameters::RSA(key), "RS256" | "RS384" | "RS512" | "PS256" | "PS384" | "PS512") => {
            decode(&key.n).is_some_and(|n| n.iter().skip_while(|b| **b == 0).count() >= RSA_BYTES_MIN)
        }
        _ => false,
    };
    meant && of_type
}

/// The keys of a JWK set that we can use; those of other kinds are passed over (RFC 7517 5).
#[must_use]
pub fn usable_keys(set: &Value) -> Vec<Jwk> {
    let keys = set.get("keys").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let read = |key: &Value| {
        let mut key = key.clone();
        // The library knows the older name alone.
        if key.get("alg").and_then(Value::as_str) == Some(ED25519) {
            key.as_object_mut()?.insert("alg".to_owned(), EDDSA.into());
        }
        serde_json::from_value(key).ok()
    };
    keys.iter().take(JWKS_KEYS_MAX).filter_map(read).collect()
}

/// Verifies a token of another with one of the keys of a JWK set: the one of its `kid`, or any that fits when it names none.
///
/// # Errors
/// [`ErrorCode::InvalidToken`] when none verifies it. The rule is `token.kid` when no key has its `kid`: fresher keys may.
pub fn verify_with(token: &str, set: &Value) -> Answer<Verified> {
    let header = unverified_header(token)?;
    let name = header.get("alg").and_then(Value::as_str).unwrap_or_default();
    let Some(known) = ALGORITHMS.iter().find(|(known, _)| *known == name) else {
        return Err(malformed("token.algorithm", "its algorithm is not one of those in the metadata"));
    };
    let kid = header.get("kid").and_then(Value::as_str);
    let named = |jwk: &Jwk| kid.is_none() || jwk.common.key_id.is_none() || jwk.common.key_id.as_deref() == kid;
    let mut refusal = malformed("token.kid", "there is no key of its `kid` and algorithm");
    for jwk in usable_keys(set).iter().filter(|jwk| named(jwk) && fits(jwk, name)) {
        let Ok(key) = DecodingKey::from_jwk(jwk) else { continue };
        match verify(token, *known, &key) {
            Ok(verified) => return Ok(verified),
            Err(other) => refusal = other,
        }
    }
    Err(refusal)
}

/// Judges the times of another's token: it must end, and neither be over nor begin later, give or take [`SKEW_S`].
///
/// # Errors
/// It is over, not yet good, without an end, or ends later than `life_max` from now.
pub fn check_times(verified: &Verified, now: Seconds, life_max: Seconds) -> Answer<()> {
    let Some(end) = verified.time("exp") else { return Err(malformed("token.exp", "it has no `exp`")) };
    if end.saturating_add(SKEW_S) <= now {
        return Err(malformed("token.expired", "it has expired"));
    }
    if end > now.saturating_add(life_max).saturating_add(SKEW_S) {
        return Err(malformed("token.life", "it lives too long"));
    }
    let later = |claim| verified.time(claim).is_some_and(|at| at > now.saturating_add(SKEW_S));
    if later("nbf") || later("iat") {
        return Err(malformed("token.early", "it is of the future; are the clocks right?"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
    use serde_json::json;

    fn token(pair: &Ed25519KeyPair, alg: &str, claims: &str) -> String {
        let message = format!("{}.{}", encode(json!({"alg": alg}).to_string().as_bytes()), encode(claims.as_bytes()));
        format!("{message}.{}", encode(pair.sign(message.as_bytes()).as_ref()))
    }

    #[test]
    fn ed25519_has_two_names() {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
        let x = encode(pair.public_key().as_ref());
        let set = |alg: Option<&str>| {
            let mut key = json!({"kty": "OKP", "crv": "Ed25519", "x": x});
            alg.map(|alg| key.as_object_mut().unwrap().insert("alg".to_owned(), alg.into()));
            json!({ "keys": [key] })
        };
        for alg in [ED25519, EDDSA] {
            let token = token(&pair, alg, r#"{"sub": "x"}"#);
            for of_key in [None, Some(ED25519), Some(EDDSA)] {
                let verified = verify_with(&token, &set(of_key)).unwrap();
                assert_eq!((verified.text("sub"), verified.header["alg"].as_str()), (Some("x"), Some(alg)));
            }
            assert_eq!(verify_with(&token, &set(Some("ES256"))).unwrap_err().rule, "token.kid");
            let (message, _) = token.rsplit_once('.').unwrap();
            let forged = format!("{message}.{}", encode(&[7; 64]));
            assert_eq!(verify_with(&forged, &set(None)).unwrap_err().rule, "token.signature");
        }
        for alg in ["Ed448", "ed25519", "none", "HS256", ""] {
            assert_eq!(verify_with(&token(&pair, alg, "{}"), &set(None)).unwrap_err().rule, "token.algorithm", "{alg}");
        }
        assert_eq!(verify_with(&token(&pair, EDDSA, "[]"), &set(None)).unwrap_err().rule, "token.form");
    }
}
