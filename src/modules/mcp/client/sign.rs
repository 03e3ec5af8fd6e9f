//! What a client signs: assertions of who it is (RFC 7523), and proofs that it has the key of a token (RFC 9449).

use super::fault::ClientError;
use crate::identity::{Env, encode, hash_of};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use url::Url;
use zeroize::Zeroizing;

/// How long an assertion is good, in seconds.
const ASSERTION_LIFE_S: u64 = 60;
/// Longest file of a key.
pub const KEY_BYTES_MAX: usize = 16 << 10;

enum Pair {
    Es256(EcdsaKeyPair),
    Rs256(RsaKeyPair),
}

/// A client's private key.
pub struct SigningKey {
    pair: Pair,
    kid: Option<String>,
}

fn failed(what: &str) -> ClientError {
    ClientError::Wrong(format!("cryptography failed: {what}"))
}

impl SigningKey {
    /// Reads a private key of P-256 or RSA, as PKCS #8 in PEM; `kid` is what it is called in the client's key set.
    ///
    /// # Errors
    /// It is none.
    pub fn read(pem: &str, kid: Option<String>) -> Result<SigningKey, ClientError> {
        let wrong = || {
            let text = "the client's key is no private key of P-256 or RSA in PEM (`-----BEGIN PRIVATE KEY-----`); \
                        `openssl pkcs8 -topk8 -nodes` writes others so";
            ClientError::Wrong(text.into())
        };
        let body = pem
            .split("-----BEGIN PRIVATE KEY-----")
            .nth(1)
            .and_then(|rest| rest.split("-----END PRIVATE KEY-----").next());
        let body = Zeroizing::new(body.ok_or_else(wrong)?.split_ascii_whitespace().collect::<String>());
        let der = Zeroizing::new(STANDARD.decode(body.as_bytes()).map_err(|_| wrong())?);
        let pair = match EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &der) {
            Ok(pair) => Pair::Es256(pair),
            Err(_) => Pair::Rs256(RsaKeyPair::from_pkcs8(&der).map_err(|_| wrong())?),
        };
        Ok(SigningKey { pair, kid })
    }

    fn sign(&self, mut header: Value, claims: &Value) -> Result<String, ClientError> {
        let algorithm = match self.pair {
            Pair::Es256(_) => "ES256",
            Pair::Rs256(_) => "RS256",
        };
        if let Some(members) = header.as_object_mut() {
            members.insert("alg".into(), algorithm.into());
            if let Some(kid) = &self.kid {
                members.insert("kid".into(), kid.as_str().into());
            }
        }
        let message = format!("{}.{}", encode(header.to_string().as_bytes()), encode(claims.to_string().as_bytes()));
        let random = SystemRandom::new();
        let signature = match &self.pair {
            Pair::Es256(pair) => {
                pair.sign(&random, message.as_bytes()).map_err(|_| failed("no signature"))?.as_ref().to_vec()
            }
            Pair::Rs256(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                let signed = pair.sign(&RSA_PKCS1_SHA256, &random, message.as_bytes(), &mut signature);
                signed.map_err(|_| failed("no signature"))?;
                signature
            }
        };
        Ok(format!("{message}.{}", encode(&signature)))
    }
}

/// An assertion that we are a client, for one issuer.
///
/// # Errors
/// The library fails.
pub(super) fn assertion(key: &SigningKey, client: &str, issuer: &str, env: &Env<'_>) -> Result<String, ClientError> {
    let now = env.seconds();
    let claims = json!({"iss": client, "sub": client, "aud": issuer, "jti": env.secret(), "iat": now,
                        "exp": now.saturating_add(ASSERTION_LIFE_S)});
    key.sign(json!({"typ": "JWT"}), &claims)
}

/// The key of one trial's tokens.
pub(super) struct ProofKey {
    key: SigningKey,
    public: Value,
    /// The thumbprint of its public half (RFC 7638).
    pub(super) thumbprint: String,
}

impl ProofKey {
    /// Draws one.
    ///
    /// # Errors
    /// The library fails.
    pub(super) fn draw() -> Result<ProofKey, ClientError> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(|_| failed("no key"))?;
        let point = pair.public_key().as_ref().get(1..).and_then(|xy| xy.split_at_checked(32));
        let (x, y) = point.ok_or_else(|| failed("no point"))?;
        // Members in the order of the alphabet, as the thumbprint has them.
        let public = json!({"crv": "P-256", "kty": "EC", "x": encode(x), "y": encode(y)});
        let thumbprint = hash_of(&public.to_string());
        Ok(ProofKey { key: SigningKey { pair: Pair::Es256(pair), kid: None }, public, thumbprint })
    }

    /// A proof for one request.
    ///
    /// # Errors
    /// The library fails.
    pub(super) fn proof(
        &self,
        (method, url): (&str, &Url),
        token: Option<&str>,
        nonce: Option<&str>,
        env: &Env<'_>,
    ) -> Result<String, ClientError> {
        let mut bare = url.clone();
        bare.set_query(None);
        bare.set_fragment(None);
        let mut claims = json!({"jti": env.secret(), "htm": method, "htu": bare.as_str(), "iat": env.seconds()});
        if let Some(members) = claims.as_object_mut() {
            members.extend(token.map(|token| ("ath".to_owned(), hash_of(token).into())));
            members.extend(nonce.map(|nonce| ("nonce".to_owned(), nonce.into())));
        }
        self.key.sign(json!({"typ": "dpop+jwt", "jwk": self.public}), &claims)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::{Proved, judge_proof, unverified_claim, unverified_header, verify_with};
    use crate::tuple::Timestamp;
    use aws_lc_rs::encoding::AsDer as _;
    use aws_lc_rs::rsa::KeySize;

    fn env() -> Env<'static> {
        Env::new(Timestamp(1_700_000_000_000_000_000), &|bytes| bytes.fill(7))
    }

    fn pem(der: &[u8]) -> String {
        format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(der))
    }

    #[test]
    fn a_proof_is_one_that_our_own_server_takes() {
        let key = ProofKey::draw().unwrap();
        let url = Url::parse("https://a.example/mcp?x=1").unwrap();
        let proof = key.proof(("POST", &url), Some("token"), Some("n"), &env()).unwrap();
        let of = Proved { method: "POST", url: "https://a.example/mcp", token: Some("token") };
        let judged = judge_proof(&proof, &of, 1_700_000_000).unwrap();
        assert_eq!(judged.jkt, key.thumbprint);
        assert_eq!(unverified_claim(&proof, "nonce").as_deref(), Some("n"));
        assert!(judge_proof(&proof, &Proved { token: Some("other"), ..of }, 1_700_000_000).is_err());
    }

    #[test]
    fn an_assertion_is_signed_by_the_key_that_was_read() {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
        let set = json!({"keys": [{"kty": "EC", "crv": "P-256", "alg": "ES256", "kid": "k", "x": encode(x), "y": encode(y)}]});
        let der = pair.to_pkcs8v1().unwrap();
        let key = SigningKey::read(&pem(der.as_ref()), Some("k".into())).unwrap();
        let signed = assertion(&key, "a", "https://id.example", &env()).unwrap();
        let verified = verify_with(&signed, &set).unwrap();
        assert_eq!(verified.audience(), ["https://id.example"]);
        assert_eq!((verified.text("iss"), verified.text("sub")), (Some("a"), Some("a")));
        let rsa = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let der: aws_lc_rs::encoding::Pkcs8V1Der<'_> = rsa.as_der().unwrap();
        let key = SigningKey::read(&pem(der.as_ref()), None).unwrap();
        let signed = assertion(&key, "a", "https://id.example", &env()).unwrap();
        assert_eq!(unverified_header(&signed).unwrap()["alg"], "RS256");
        for wrong in [
            "",
            "-----BEGIN PRIVATE KEY-----",
            &pem(b"x"),
            "-----BEGIN EC PRIVATE KEY-----\nAA==\n-----END EC PRIVATE KEY-----",
        ] {
            assert!(SigningKey::read(wrong, None).is_err(), "{wrong}");
        }
    }
}
