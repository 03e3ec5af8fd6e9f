//! Key pairs that sign tokens: of P-256, and of RSA for clients whose libraries expect that.

use super::proof::thumbprint;
use super::{Answer, Env, Refusal, encode};
use aws_lc_rs::agreement::{ECDH_P256, PrivateKey};
use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair};
use jsonwebtoken::Algorithm;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Bytes of a coordinate, and of a private key, of P-256.
const P256_BYTES: usize = 32;

/// An algorithm that a tenant signs with (RFC 7518 3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum SigningAlgorithm {
    /// ECDSA with P-256: all tokens, unless a client asks for another.
    #[default]
    #[serde(rename = "ES256")]
    Es256,
    /// RSASSA-PKCS1-v1_5 with 2,048 bits, which OpenID Connect Core 15.1 wants of everybody: ID tokens and logout tokens of
    /// clients that are registered for it.
    #[serde(rename = "RS256")]
    Rs256,
}

impl SigningAlgorithm {
    /// All, by their names.
    pub const ALL: [(SigningAlgorithm, &'static str); 2] =
        [(SigningAlgorithm::Es256, "ES256"), (SigningAlgorithm::Rs256, "RS256")];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            SigningAlgorithm::Es256 => "ES256",
            SigningAlgorithm::Rs256 => "RS256",
        }
    }

    /// Its name, and what the library calls it.
    pub(super) fn of_library(self) -> (&'static str, Algorithm) {
        match self {
            SigningAlgorithm::Es256 => (self.name(), Algorithm::ES256),
            SigningAlgorithm::Rs256 => (self.name(), Algorithm::RS256),
        }
    }

    /// Whether it is the one that nobody has to ask for.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
    pub(super) fn is_default(&self) -> bool {
        *self == SigningAlgorithm::default()
    }
}

/// A key pair that was drawn.
pub struct Drawn {
    /// The private part, as PKCS #8.
    pub private: Vec<u8>,
    /// The public part as a JWK has it: `x` and `y` of P-256, `n` and `e` of RSA.
    pub(super) public: [String; 2],
}

/// A key pair that signs tokens. No debug output shows one.
pub enum Pair {
    /// Of P-256.
    Es256(EcdsaKeyPair),
    /// Of RSA.
    Rs256(RsaKeyPair),
}

fn failed(what: &str) -> Refusal {
    Refusal::failed("keys.make", what.to_owned())
}

impl Pair {
    /// Draws a key pair. That of RSA takes its randomness from the library, which finds primes by itself.
    ///
    /// # Errors
    /// The library failed, or randomness was no key, which it is once in 2^32.
    pub fn draw(algorithm: SigningAlgorithm, env: &Env<'_>) -> Answer<Drawn> {
        match algorithm {
            SigningAlgorithm::Es256 => p256(env),
            SigningAlgorithm::Rs256 => rsa(),
        }
    }

    /// Reads a private part, in PKCS #8.
    #[must_use]
    pub fn read(algorithm: SigningAlgorithm, private: &[u8]) -> Option<Pair> {
        match algorithm {
            SigningAlgorithm::Es256 => {
                EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, private).map(Pair::Es256).ok()
            }
            SigningAlgorithm::Rs256 => RsaKeyPair::from_pkcs8(private).map(Pair::Rs256).ok(),
        }
    }

    /// What it signs with.
    #[must_use]
    pub fn algorithm(&self) -> SigningAlgorithm {
        match self {
            Pair::Es256(_) => SigningAlgorithm::Es256,
            Pair::Rs256(_) => SigningAlgorithm::Rs256,
        }
    }

    /// Its public part as a JWK that names its use, its algorithm, and its thumbprint (RFC 7638) as `kid`.
    #[must_use]
    pub fn public_jwk(&self) -> Option<Value> {
        let mut jwk = match self {
            Pair::Es256(pair) => {
                let (x, y) = pair.public_key().as_ref().get(1..)?.split_at_checked(P256_BYTES)?;
                json!({"kty": "EC", "crv": "P-256", "x": encode(x), "y": encode(y)})
            }
            Pair::Rs256(pair) => {
                let (n, e) = integers(pair.public_key().as_ref())?;
                json!({"kty": "RSA", "n": encode(n), "e": encode(e)})
            }
        };
        let kid = thumbprint(&jwk)?;
        let members = jwk.as_object_mut()?;
        members.insert("alg".to_owned(), self.algorithm().name().into());
        members.insert("use".to_owned(), "sig".into());
        members.insert("kid".to_owned(), kid.into());
        Some(jwk)
    }

    /// Signs a message; `None` when the library fails.
    pub(super) fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        let random = SystemRandom::new();
        match self {
            Pair::Es256(pair) => Some(pair.sign(&random, message).ok()?.as_ref().to_vec()),
            Pair::Rs256(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).ok()?;
                Some(signature)
            }
        }
    }
}

fn p256(env: &Env<'_>) -> Answer<Drawn> {
    let private = env.bytes::<P256_BYTES>();
    // Fails for one in 2^32 draws: those that are no scalar of the curve.
    let key = PrivateKey::from_private_key(&ECDH_P256, &private).map_err(|_| failed("draw again"))?;
    let point = key.compute_public_key().map_err(|_| failed("the library"))?;
    let (x, y) = point.as_ref().get(1..).unwrap_or_default().split_at_checked(P256_BYTES).unwrap_or_default();
    let pair =
        EcdsaKeyPair::from_private_key_and_public_key(&ECDSA_P256_SHA256_FIXED_SIGNING, &private, point.as_ref());
    let document = pair.and_then(|pair| pair.to_pkcs8v1().map_err(Into::into)).map_err(|_| failed("the library"))?;
    Ok(Drawn { private: document.as_ref().to_vec(), public: [encode(x), encode(y)] })
}

fn rsa() -> Answer<Drawn> {
    let pair = RsaKeyPair::generate(KeySize::Rsa2048).map_err(|_| failed("the library"))?;
    let document: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| failed("the library"))?;
    let (n, e) = integers(pair.public_key().as_ref()).ok_or_else(|| failed("the library's public key"))?;
    Ok(Drawn { private: document.as_ref().to_vec(), public: [encode(n), encode(e)] })
}

/// One value of DER of a type (X.690 8.1): its content, and what comes behind it.
fn value(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (head, rest) = der.split_first_chunk::<2>()?;
    let [found, length] = *head;
    let (length, rest) = match length {
        short @ 0..=0x7f => (usize::from(short), rest),
        long => {
            let (bytes, rest) = rest.split_at_checked(usize::from(long & 0x7f))?;
            let length = bytes.iter().try_fold(0usize, |n, byte| n.checked_mul(256)?.checked_add(usize::from(*byte)));
            (length?, rest)
        }
    };
    rest.split_at_checked(length).filter(|_| found == tag)
}

/// Modulus and exponent of an `RSAPublicKey` (RFC 8017 A.1.1), without the zero that says they are positive.
fn integers(der: &[u8]) -> Option<(&[u8], &[u8])> {
    const SEQUENCE: u8 = 0x30;
    const INTEGER: u8 = 0x02;
    let (both, _) = value(der, SEQUENCE)?;
    let (n, rest) = value(both, INTEGER)?;
    let (e, _) = value(rest, INTEGER)?;
    let positive = |number: &'_ [u8]| number.iter().take_while(|byte| **byte == 0).count();
    Some((n.get(positive(n)..)?, e.get(positive(e)..)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::decode;

    #[test]
    fn an_rsa_key_is_read_as_it_was_drawn() {
        let drawn = rsa().unwrap();
        let [n, e] = &drawn.public;
        assert_eq!((decode(n).unwrap().len(), e.as_str()), (256, "AQAB"));
        let pair = Pair::read(SigningAlgorithm::Rs256, &drawn.private).unwrap();
        let signature = pair.sign(b"a message").unwrap();
        let key = jsonwebtoken::DecodingKey::from_rsa_components(n, e).unwrap();
        let verify = |message: &[u8]| {
            jsonwebtoken::crypto::verify(&encode(&signature), message, &key, Algorithm::RS256).unwrap()
        };
        assert!(verify(b"a message") && !verify(b"another"));
        assert!(Pair::read(SigningAlgorithm::Es256, &drawn.private).is_none());
        for damaged in
            [&[][..], &[0x30], &[0x30, 0x82, 1], &[0x30, 3, 2, 1, 5], &[0x30, 0x89, 0, 0, 0, 0, 0, 0, 0, 0, 1]]
        {
            assert_eq!(integers(damaged), None);
        }
    }
}
