//! A phone that shows notices: what a browser does for Web Push. It makes keys, tells an issuer where it can be reached, and
//! reads what comes (RFC 8291, RFC 8188), which nobody on the way can.

use super::keys::secret;
use crate::cli::Failure;
use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{ECDH_P256, PrivateKey, UnparsedPublicKey, agree};
use aws_lc_rs::hmac;
use bailiwick::identity::{decode, encode, hash_of};
use serde_json::Value;

/// Bytes of a salt, of what stands between it and the sender's key, and of that key.
const SALT: usize = 16;
const BETWEEN: usize = 5;
const POINT: usize = 65;
/// Bytes of the secret that is shared with whoever may send.
const AUTH: usize = 16;

/// See the file's head.
pub(super) struct Pager {
    key: PrivateKey,
    auth: Vec<u8>,
    /// Where its push service reaches it.
    pub(super) endpoint: String,
}

impl Pager {
    /// A phone that a push service knows.
    pub(super) fn new(service: &str) -> Result<Pager, Failure> {
        let key = PrivateKey::generate(&ECDH_P256).map_err(|_| Failure::Said("a phone has no key".into()))?;
        let auth = decode(&hash_of(&secret())).unwrap_or_default().into_iter().take(AUTH).collect();
        Ok(Pager { key, auth, endpoint: format!("{service}/send/{}", secret()) })
    }

    fn point(&self) -> Vec<u8> {
        self.key.compute_public_key().map(|key| key.as_ref().to_vec()).unwrap_or_default()
    }

    /// What it tells the issuer: its public key, and the secret.
    pub(super) fn keys(&self) -> (String, String) {
        (encode(&self.point()), encode(&self.auth))
    }

    /// The secret, to look for it where it must not be.
    pub(super) fn auth(&self) -> &[u8] {
        &self.auth
    }

    /// What it shows of a message. Nothing when it cannot read it.
    pub(super) fn read(&self, message: &[u8]) -> Option<Value> {
        let mac = |key: &[u8], parts: &[&[u8]]| {
            hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), &parts.concat()).as_ref().to_vec()
        };
        let (salt, rest) = message.split_at_checked(SALT)?;
        let (sender, sealed) = rest.get(BETWEEN..)?.split_at_checked(POINT)?;
        let theirs = UnparsedPublicKey::new(&ECDH_P256, sender);
        let shared = agree(&self.key, theirs, (), |secret| Ok(mac(&self.auth, &[secret]))).ok()?;
        let input = mac(&shared, &[b"WebPush: info\0", &self.point(), sender, &[1]]);
        let both = mac(salt, &[&input]);
        let content = mac(&both, &[b"Content-Encoding: aes128gcm\0", &[1]]);
        let nonce = mac(&both, &[b"Content-Encoding: nonce\0", &[1]]);
        let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, content.get(..16)?).ok()?);
        let nonce = Nonce::try_assume_unique_for_key(nonce.get(..12)?).ok()?;
        let mut bytes = sealed.to_vec();
        let plain = key.open_in_place(nonce, Aad::empty(), &mut bytes).ok()?;
        serde_json::from_slice(plain.strip_suffix(&[2])?).ok()
    }
}
