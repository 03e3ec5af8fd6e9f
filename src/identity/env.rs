//! What a call takes from outside: the time, randomness, and what its events say of the request.

use super::ClientCertificate;
use super::proof::Proof;
use crate::tuple::Timestamp;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Whole seconds since 1970-01-01T00:00:00Z, as JSON Web Tokens count.
pub type Seconds = u64;

/// Bytes of everything that must not be guessed.
pub const SECRET_BYTES: usize = 32;

/// See the file's head.
#[derive(Clone, Copy)]
pub struct Env<'a> {
    /// The time.
    pub now: Timestamp,
    /// Fills bytes with what nobody can guess.
    pub random: &'a (dyn Fn(&mut [u8]) + Sync),
    /// What ties the events of one cause together: a request id, a trace id.
    pub trace: Option<&'a str>,
    /// The network address of the caller.
    pub address: Option<&'a str>,
    /// The certificate that the caller has shown in the TLS handshake.
    pub certificate: Option<&'a ClientCertificate>,
    /// The proof of possession that the caller has shown: it is used up in the write that gives something for it.
    pub proof: Option<&'a Proof>,
    /// Who administers the tenant with this call, as a subject, or [`super::MACHINE`] for a command on it: its events say so.
    /// Nobody, when it is somebody's own doing, or happens by itself.
    pub by: Option<&'a str>,
}

impl<'a> Env<'a> {
    /// Of no request.
    #[must_use]
    pub fn new(now: Timestamp, random: &'a (dyn Fn(&mut [u8]) + Sync)) -> Env<'a> {
        Env { now, random, trace: None, address: None, certificate: None, proof: None, by: None }
    }

    /// Whether the caller has shown the certificate to which something is bound (RFC 8705 3): the one of this SHA-256
    /// thumbprint. What is bound to none needs none.
    #[must_use]
    pub fn shows(&self, bound_to: Option<&str>) -> bool {
        bound_to.is_none_or(|x5t| self.certificate.is_some_and(|shown| shown.thumbprint == x5t))
    }

    /// The time in whole seconds.
    #[must_use]
    pub fn seconds(&self) -> Seconds {
        u64::try_from(self.now.0 / 1_000_000_000).unwrap_or(0)
    }

    /// Random bytes.
    #[must_use]
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        (self.random)(&mut bytes);
        bytes
    }

    /// A fresh id: a ULID of now, of which 80 bits are random. It names and is no secret.
    #[must_use]
    pub fn id(&self) -> String {
        let random = self.bytes::<10>().iter().fold(0_u128, |all, byte| all << 8 | u128::from(*byte));
        ulid::Ulid::from_parts(u64::try_from(self.now.0 / 1_000_000).unwrap_or(0), random).to_string()
    }

    /// A fresh secret of 256 bits, as text that may stand in a URL.
    #[must_use]
    pub fn secret(&self) -> String {
        encode(&self.bytes::<SECRET_BYTES>())
    }
}

/// Base64url without padding, the one form in which bytes stand in tokens and records.
#[must_use]
pub fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The bytes of [`encode`]; `None` when it is none.
#[must_use]
pub fn decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// SHA-256 of a text, as [`encode`] writes it. It stands for secrets of full strength that need not be read back, and for
/// texts of any length in keys.
#[must_use]
pub fn hash_of(text: &str) -> String {
    encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes()).as_ref())
}

/// Whether two texts are the same, in a time that tells nothing of where they differ.
#[must_use]
pub fn same(a: &str, b: &str) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(a.as_bytes(), b.as_bytes()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_secrets_come_from_what_is_given() {
        let random = |bytes: &mut [u8]| bytes.fill(7);
        let env = Env::new(Timestamp(1_700_000_000_999_999_999), &random);
        assert_eq!(env.seconds(), 1_700_000_000);
        let id = ulid::Ulid::from_string(&env.id()).unwrap();
        assert_eq!(id.timestamp_ms(), 1_700_000_000_999);
        assert_eq!(decode(&env.secret()).unwrap(), [7; SECRET_BYTES]);
    }

    #[test]
    fn the_hash_is_sha_256() {
        assert_eq!(hash_of("abc"), encode(&sha2_of_abc()));
        assert!(same("a", "a") && !same("a", "b") && !same("a", "ab"));
    }

    fn sha2_of_abc() -> Vec<u8> {
        use sha2::Digest as _;
        sha2::Sha256::digest(b"abc").to_vec()
    }
}
