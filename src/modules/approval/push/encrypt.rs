//! The encryption of a message for one browser (RFC 8291), in one record of `aes128gcm` (RFC 8188): whoever carries it learns
//! its length and nothing else.

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{ECDH_P256, PrivateKey, UnparsedPublicKey, agree};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};

/// Bytes of an uncompressed point of P-256.
pub(super) const POINT_BYTES: usize = 65;
/// Bytes of the secret that a browser shares with whoever may tell it something (RFC 8291 3.2).
pub(super) const AUTH_BYTES: usize = 16;
/// Bytes of the salt of a message (RFC 8188 2.1).
pub(super) const SALT_BYTES: usize = 16;
/// Bytes of a private key of P-256.
pub(super) const PRIVATE_BYTES: usize = 32;
/// What every push service takes, encryption included (RFC 8030 7.2).
const MESSAGE_BYTES_MAX: usize = 4_096;
/// Salt, record size, length of the key's id, and the key (RFC 8188 2.1).
const HEADER_BYTES: usize = SALT_BYTES + 4 + 1 + POINT_BYTES;
const TAG_BYTES: usize = 16;
/// Longest text: the message without its header, its tag, and the byte that ends the last record.
pub(super) const PLAIN_BYTES_MAX: usize = MESSAGE_BYTES_MAX - HEADER_BYTES - TAG_BYTES - 1;
/// What ends the last record (RFC 8188 2).
const LAST_RECORD: u8 = 2;

/// The keys of a browser, as its subscription has them.
pub(super) struct Receiver {
    /// Its public key for ECDH.
    pub(super) p256dh: [u8; POINT_BYTES],
    /// Its secret.
    pub(super) auth: [u8; AUTH_BYTES],
}

impl Receiver {
    /// Reads what a browser sent. `None` when the key is no point of the curve, or the secret has another length.
    pub(super) fn read(p256dh: &[u8], auth: &[u8]) -> Option<Receiver> {
        let receiver = Receiver { p256dh: p256dh.try_into().ok()?, auth: auth.try_into().ok()? };
        // A key that agrees with nothing is refused when it is given, not when it is used.
        let probe = PrivateKey::from_private_key(&ECDH_P256, &[1; PRIVATE_BYTES]).ok()?;
        agree(&probe, UnparsedPublicKey::new(&ECDH_P256, &receiver.p256dh), (), |_| Ok(())).ok()?;
        Some(receiver)
    }
}

/// A length, for HKDF.
struct Bytes(usize);

impl KeyType for Bytes {
    fn len(&self) -> usize {
        self.0
    }
}

fn expand<const N: usize>(key: &Prk, info: &[&[u8]]) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    key.expand(info, Bytes(N)).ok()?.fill(&mut bytes).ok()?;
    Some(bytes)
}

/// Encrypts a text for a browser. `private` is a key of this message alone, as is `salt`. `None` when the text is longer than
/// [`PLAIN_BYTES_MAX`], or the keys are none.
pub(super) fn encrypt(
    plain: &[u8],
    receiver: &Receiver,
    private: &[u8; PRIVATE_BYTES],
    salt: &[u8; SALT_BYTES],
) -> Option<Vec<u8>> {
    if plain.len() > PLAIN_BYTES_MAX {
        return None;
    }
    let private = PrivateKey::from_private_key(&ECDH_P256, private).ok()?;
    let public = private.compute_public_key().ok()?;
    let theirs = UnparsedPublicKey::new(&ECDH_P256, &receiver.p256dh);
    // RFC 8291 3.3 and 3.4.
    let shared =
        agree(&private, theirs, (), |secret| Ok(Salt::new(HKDF_SHA256, &receiver.auth).extract(secret))).ok()?;
    let input: [u8; 32] = expand(&shared, &[b"WebPush: info\0", &receiver.p256dh, public.as_ref()])?;
    // RFC 8188 2.2 and 2.3.
    let key = Salt::new(HKDF_SHA256, salt).extract(&input);
    let content: [u8; 16] = expand(&key, &[b"Content-Encoding: aes128gcm\0"])?;
    let nonce: [u8; 12] = expand(&key, &[b"Content-Encoding: nonce\0"])?;

    let mut record = plain.to_vec();
    record.push(LAST_RECORD);
    let content = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &content).ok()?);
    content.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut record).ok()?;
    let size = u32::try_from(MESSAGE_BYTES_MAX).ok()?;
    let length = u8::try_from(POINT_BYTES).ok()?;
    Some([salt.as_slice(), &size.to_be_bytes(), &[length], public.as_ref(), &record].concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::{decode, encode};

    fn bytes(text: &str) -> Vec<u8> {
        decode(text).unwrap()
    }

    fn receiver() -> Receiver {
        let p256dh = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4";
        Receiver::read(&bytes(p256dh), &bytes("BTBZMqHH6r4Tts7J_aSIgg")).unwrap()
    }

    /// RFC 8291, section 5 and appendix A.
    #[test]
    fn the_example_of_the_standard_is_encrypted_as_it_says() {
        let private = bytes("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw").try_into().unwrap();
        let salt = bytes("DGv6ra1nlYgDCS1FRnbzlw").try_into().unwrap();
        let plain = bytes("V2hlbiBJIGdyb3cgdXAsIEkgd2FudCB0byBiZSBhIHdhdGVybWVsb24");
        assert_eq!(plain, b"When I grow up, I want to be a watermelon");
        let message = encrypt(&plain, &receiver(), &private, &salt).unwrap();
        assert_eq!(
            encode(&message),
            "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBr\
             u3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
        );
    }

    #[test]
    fn the_longest_text_fits_and_a_longer_one_is_refused() {
        let encrypted = |n: usize| encrypt(&vec![b'a'; n], &receiver(), &[7; 32], &[9; 16]);
        assert_eq!(encrypted(PLAIN_BYTES_MAX).unwrap().len(), MESSAGE_BYTES_MAX);
        assert!(encrypted(PLAIN_BYTES_MAX + 1).is_none());
    }

    #[test]
    fn what_is_no_key_of_a_browser_is_refused() {
        let good = receiver();
        let mut off = good.p256dh;
        off[64] ^= 1;
        let mut other = good.p256dh;
        other[0] = 2;
        for (p256dh, auth) in [
            (&off[..], &good.auth[..]),
            (&other[..], &good.auth[..]),
            (&[0; 65][..], &good.auth[..]),
            (&good.p256dh[..33], &good.auth[..]),
            (&good.p256dh[..], &good.auth[..15]),
            (b"", b""),
        ] {
            assert!(Receiver::read(p256dh, auth).is_none(), "{p256dh:?}");
        }
    }
}
