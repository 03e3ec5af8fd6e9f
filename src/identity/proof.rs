//! What a proof of possession says (RFC 9449 4.3), judged without a database: bytes of strangers come in here.

use super::{Answer, ErrorCode, Refusal, Seconds, decode, encode, hash_of, jwt, same};
use aws_lc_rs::digest;
use serde_json::{Value, json};
use url::Url;

/// How old a proof may be, or how far ahead its clock, in seconds.
pub const DPOP_WINDOW_S: Seconds = 300;
/// Longest `jti` of a proof.
const JTI_BYTES_MAX: usize = 256;

/// What a proof must be of.
#[derive(Clone, Copy, Debug)]
pub struct Proved<'a> {
    /// The method of the request.
    pub method: &'a str,
    /// Its URL.
    pub url: &'a str,
    /// The access token that is shown with it, if one is.
    pub token: Option<&'a str>,
}

/// A proof that is good, if it was not used before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The thumbprint of its key.
    pub jkt: String,
    /// What tells it from others of the key.
    pub jti: String,
    /// Until when it could be used again.
    pub until: Seconds,
}

pub(super) fn refuse(rule: &'static str, text: &str) -> Refusal {
    Refusal::new(ErrorCode::InvalidDpopProof, rule, format!("the `DPoP` proof is of no use: {text}"))
}

/// Judges a proof but for whether it was used before.
///
/// # Errors
/// [`ErrorCode::InvalidDpopProof`], with the rule that refused.
pub fn judge_proof(proof: &str, of: &Proved<'_>, now: Seconds) -> Answer<Proof> {
    let header = jwt::unverified_header(proof).map_err(|r| refuse(r.rule, "it is no signed token"))?;
    if header.get("typ").and_then(Value::as_str) != Some("dpop+jwt") {
        return Err(refuse("dpop.typ", "its `typ` is not `dpop+jwt`"));
    }
    let jwk = header.get("jwk").filter(|jwk| jwk.is_object()).ok_or_else(|| refuse("dpop.jwk", "it has no `jwk`"))?;
    if ["d", "p", "q", "dp", "dq", "qi", "k"].iter().any(|secret| jwk.get(secret).is_some()) {
        return Err(refuse("dpop.private", "its `jwk` is a private key"));
    }
    let jkt = thumbprint(jwk).ok_or_else(|| refuse("dpop.jwk", "its key is of no kind that is accepted"))?;
    let mut key = jwk.clone();
    if let Some(members) = key.as_object_mut() {
        members.remove("kid"); // it is the one key there is, whatever it is called
    }
    let verified = jwt::verify_with(proof, &json!({ "keys": [key] }))
        .map_err(|r| refuse(r.rule, "its signature does not verify with its `jwk`"))?;
    if verified.text("htm") != Some(of.method) {
        return Err(refuse("dpop.htm", "its `htm` is not the method of this request"));
    }
    if !verified.text("htu").is_some_and(|url| same_target(url, of.url)) {
        return Err(refuse("dpop.htu", "its `htu` is not the URL of this request"));
    }
    let at = verified.time("iat").unwrap_or(0);
    if at.saturating_add(DPOP_WINDOW_S) < now || at > now.saturating_add(DPOP_WINDOW_S) {
        return Err(refuse("dpop.iat", "its `iat` is too far from now; are the clocks right?"));
    }
    if let Some(token) = of.token
        && !verified.text("ath").is_some_and(|ath| same(ath, &hash_of(token)))
    {
        return Err(refuse("dpop.ath", "its `ath` is not of the access token"));
    }
    let jti = verified.text("jti").filter(|jti| !jti.is_empty() && jti.len() <= JTI_BYTES_MAX);
    let jti = jti.ok_or_else(|| refuse("dpop.jti", "it has no `jti`, or one that is too long"))?;
    Ok(Proof { jkt, jti: jti.to_owned(), until: at.saturating_add(DPOP_WINDOW_S) })
}

/// The thumbprint of a public key (RFC 7638).
pub(super) fn thumbprint(jwk: &Value) -> Option<String> {
    let member = |name: &str| jwk.get(name).and_then(Value::as_str);
    // serde_json keeps the order in which members are written, which here is that of the alphabet.
    let canonical = match member("kty")? {
        "EC" => json!({"crv": member("crv")?, "kty": "EC", "x": member("x")?, "y": member("y")?}),
        "OKP" => json!({"crv": member("crv")?, "kty": "OKP", "x": member("x")?}),
        "RSA" => json!({"e": member("e")?, "kty": "RSA", "n": member("n")?}),
        _ => return None,
    };
    Some(encode(digest::digest(&digest::SHA256, canonical.to_string().as_bytes()).as_ref()))
}

/// Whether two URLs are the same but for query and fragment (RFC 9449 4.3).
fn same_target(a: &str, b: &str) -> bool {
    let bare = |text: &str| {
        let mut url = Url::parse(text).ok()?;
        url.set_query(None);
        url.set_fragment(None);
        Some(url)
    };
    matches!((bare(a), bare(b)), (Some(a), Some(b)) if a == b)
}

/// Whether a text may be a thumbprint.
#[must_use]
pub fn is_thumbprint(text: &str) -> bool {
    decode(text).is_some_and(|bytes| bytes.len() == 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7638 3.1 and RFC 8037 A.3.
    #[test]
    fn thumbprints_are_those_of_the_standards() {
        let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
        let rsa = json!({"kty": "RSA", "n": n, "e": "AQAB", "alg": "RS256", "kid": "2011-04-29"});
        assert_eq!(thumbprint(&rsa).unwrap(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
        let ed = json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"});
        assert_eq!(thumbprint(&ed).unwrap(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
        assert_eq!(thumbprint(&json!({"kty": "oct", "k": "AA"})), None);
        assert!(same_target("https://a.example/token?x#y", "https://A.example:443/token"));
        assert!(!same_target("https://a.example/token", "https://a.example/token/"));
        assert!(!same_target("x", "x"));
    }
}
