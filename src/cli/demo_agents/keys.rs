//! What the programs and phones of the story compute: signatures of JSON Web Tokens, codes of an authenticator app, and
//! challenges of PKCE.

use crate::cli::Failure;
use aws_lc_rs::encoding::{AsBigEndian as _, EcPrivateKeyBin};
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use bailiwick::identity::{SECRET_BYTES, decode, encode, hash_of};
use bailiwick::wire::{now, random};
use serde_json::{Map, Value, json};

/// Seconds of a step of an authenticator app (RFC 6238).
const STEP_S: u64 = 30;

fn failed(what: &str) -> Failure {
    Failure::Said(format!("cryptography failed: {what}"))
}

/// The time in seconds.
pub(super) fn seconds() -> u64 {
    u64::try_from(now().0 / 1_000_000_000).unwrap_or(0)
}

/// Text that nobody can guess.
pub(super) fn secret() -> String {
    let mut bytes = [0; SECRET_BYTES];
    random(&mut bytes);
    encode(&bytes)
}

/// A key for ES256, whose private half never leaves the program that made it.
pub(super) struct Key {
    pair: EcdsaKeyPair,
    kid: String,
}

impl Key {
    pub(super) fn new(kid: &str) -> Result<Key, Failure> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(|_| failed("no key"))?;
        Ok(Key { pair, kid: kid.to_owned() })
    }

    /// The public half, as a JWK set.
    pub(super) fn public(&self) -> Result<Value, Failure> {
        let point = self.pair.public_key().as_ref();
        let (x, y) = point.get(1..).and_then(|xy| xy.split_at_checked(32)).ok_or_else(|| failed("no point"))?;
        let key = json!({"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": self.kid,
                         "x": encode(x), "y": encode(y)});
        Ok(json!({ "keys": [key] }))
    }

    /// The private half, to look for it where it must not be.
    pub(super) fn private(&self) -> Result<Vec<u8>, Failure> {
        let bytes: EcPrivateKeyBin<'_> =
            self.pair.private_key().as_be_bytes().map_err(|_| failed("no private half"))?;
        Ok(bytes.as_ref().to_vec())
    }

    /// Signs claims.
    pub(super) fn sign(&self, typ: &str, claims: &Value) -> Result<String, Failure> {
        let header = json!({"typ": typ, "alg": "ES256", "kid": self.kid});
        let message = format!("{}.{}", encode(header.to_string().as_bytes()), encode(claims.to_string().as_bytes()));
        let signature = self.pair.sign(&SystemRandom::new(), message.as_bytes()).map_err(|_| failed("no signature"))?;
        Ok(format!("{message}.{}", encode(signature.as_ref())))
    }

    /// An assertion by which a client shows who it is (RFC 7523).
    pub(super) fn assertion(&self, client: &str, issuer: &str) -> Result<String, Failure> {
        let now = seconds();
        self.sign(
            "JWT",
            &json!({"iss": client, "sub": client, "aud": issuer, "jti": secret(), "iat": now, "exp": now + 60}),
        )
    }
}

/// The claims of a token, unverified: the server verifies, people look.
pub(super) fn claims(token: &str) -> Map<String, Value> {
    let body = token.split('.').nth(1).and_then(decode);
    body.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
}

/// The header of a token, unverified.
pub(super) fn header(token: &str) -> Map<String, Value> {
    let head = token.split('.').next().and_then(decode);
    head.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
}

/// A verifier of PKCE and its challenge (RFC 7636).
pub(super) fn pkce() -> (String, String) {
    let verifier = secret();
    let challenge = hash_of(&verifier);
    (verifier, challenge)
}

/// An authenticator app (RFC 6238). It shows each code once, as servers take each once.
pub(super) struct Phone {
    key: Vec<u8>,
    last: u64,
}

impl Phone {
    /// An app that took a key as people type it: base 32, with blanks.
    pub(super) fn new(text: &str) -> Option<Phone> {
        let (mut key, mut bits, mut count) = (Vec::new(), 0_u32, 0_u32);
        for c in text.bytes().filter(|c| !c.is_ascii_whitespace()) {
            let value = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".iter().position(|known| *known == c)?;
            (bits, count) = ((bits << 5) | u32::try_from(value).ok()?, count + 5);
            if count >= 8 {
                count -= 8;
                key.push(u8::try_from((bits >> count) & 0xff).ok()?);
                bits &= (1 << count) - 1;
            }
        }
        Some(Phone { key, last: 0 })
    }

    /// The key, to look for it where it must not be.
    pub(super) fn key(&self) -> &[u8] {
        &self.key
    }

    /// The next code. A server takes those of the steps before and after this one too, so that nobody waits here: the
    /// first is of the step before, unless that is about to be too old.
    pub(super) fn code(&mut self) -> String {
        let step = (seconds() + 2) / STEP_S;
        self.last = step.saturating_sub(1).max(self.last + 1);
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &self.key);
        let tag = hmac::sign(&key, &self.last.to_be_bytes());
        let bytes = tag.as_ref();
        // RFC 4226 5.3
        let at = bytes.last().map_or(0, |last| usize::from(last & 0xf));
        let word = bytes.get(at..at + 4).and_then(|word| word.try_into().ok()).map_or(0, u32::from_be_bytes);
        format!("{:06}", (word & 0x7fff_ffff) % 1_000_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_app_reads_its_key_and_shows_each_code_once() {
        let mut phone = Phone::new("GEZD GNBV GY3T QOJQ GEZD GNBV GY3T QOJQ").unwrap();
        assert_eq!(phone.key(), b"12345678901234567890");
        assert!(Phone::new("nope").is_none());
        let (first, second) = (phone.code(), phone.last);
        assert_eq!(first.len(), 6);
        phone.code();
        assert_eq!(phone.last, second + 1);
        // RFC 6238, appendix B: at 59 seconds, of SHA-1, the last six of 94287082.
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, phone.key());
        assert_eq!(hmac::sign(&key, &1_u64.to_be_bytes()).as_ref().len(), 20);
    }

    #[test]
    fn a_key_signs_what_its_public_half_verifies() {
        let key = Key::new("k").unwrap();
        let token = key.assertion("agent", "http://127.0.0.1/").unwrap();
        assert_eq!(claims(&token).get("sub"), Some(&"agent".into()));
        let keys = key.public().unwrap();
        assert!(bailiwick::identity::verify_with(&token, &keys).is_ok());
        assert_eq!(key.private().unwrap().len(), 32);
    }
}
