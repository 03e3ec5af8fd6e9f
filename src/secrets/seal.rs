//! Sealing of records: encrypted, authenticated and bound to their place.
//!
//! The cipher is XAES-256-GCM (C2SP): AES-256-GCM whose key is derived, for each record, from the subkey and the first half
//! of a nonce of 192 bits. A random nonce of plain GCM has 96 bits, which repeats too early when a key lives for years;
//! of 192 bits, 2^80 records can be sealed before a repetition is as likely as 2^-32. So nonces need only be random, and
//! nobody has to count. All of it is made of what the cryptographic library offers: CMAC and GCM.
//!
//! An envelope is `version (1) | length of the key's name (1) | name | nonce (24) | ciphertext | tag (16)`. Its version, its
//! key's name and its place are authenticated, so that a value opens only where it was sealed.

use super::ring::{Hierarchy, KeyRing, is_id};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cmac;
use zeroize::Zeroizing;

/// The length of a nonce, in bytes. It is random.
pub const NONCE_BYTES: usize = 24;
/// The longest value that is sealed, in bytes.
pub const PLAIN_BYTES_MAX: usize = 1 << 20;
const TAG_BYTES: usize = 16;
const VERSION: u8 = 1;

/// Why a value is not sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// It is too long.
    #[error("a value of {0} bytes is not sealed; the most are {PLAIN_BYTES_MAX}")]
    TooLong(usize),
    /// A value that is bound to no place could be moved.
    #[error("a value is not sealed without the place that it belongs to")]
    NoPlace,
    /// The library fails. It is the machine's fault.
    #[error("the cryptographic library cannot seal; see whether the machine is sound")]
    Library,
}

/// Why a sealed value does not open. Nothing of its content is part of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The ring lacks its key.
    #[error("it is sealed with key `{id}`, which the key ring does not have; add the key's line to the ring again")]
    UnknownKey {
        /// The key's name.
        id: String,
    },
    /// It is not what was sealed, or not where, or in another hierarchy.
    #[error("it is damaged, or was moved from the place where it was sealed; restore it, or have it entered again")]
    Damaged,
    /// It is of a later program.
    #[error(
        "it is sealed in version {0}, which this program does not know; use the version that sealed it or a later one"
    )]
    Version(u8),
}

/// Seals a value with the newest key. `nonce` is random; `place` is where the value will be, and without it it never opens.
///
/// # Errors
/// The value is too long, or has no place.
pub fn seal(
    ring: &KeyRing,
    hierarchy: Hierarchy,
    place: &[u8],
    plain: &[u8],
    nonce: &[u8; NONCE_BYTES],
) -> Result<Vec<u8>, SealError> {
    if plain.len() > PLAIN_BYTES_MAX {
        return Err(SealError::TooLong(plain.len()));
    }
    if place.is_empty() {
        return Err(SealError::NoPlace);
    }
    let id = ring.newest();
    let subkey = ring.subkey(id, hierarchy).ok_or(SealError::Library)?;
    let id_length = u8::try_from(id.len()).map_err(|_| SealError::Library)?;
    // Of the final length, so that no copy of the plain value is left behind by a move.
    let mut out = Vec::with_capacity(2 + id.len() + NONCE_BYTES + plain.len() + TAG_BYTES);
    out.extend_from_slice(&[VERSION, id_length]);
    out.extend_from_slice(id.as_bytes());
    out.extend_from_slice(nonce);
    let body = out.len();
    out.extend_from_slice(plain);
    let (key, nonce) = cipher(subkey, nonce).ok_or(SealError::Library)?;
    let secret = out.get_mut(body..).ok_or(SealError::Library)?;
    let aad = Aad::from(bound(id.as_bytes(), place));
    let tag = key.seal_in_place_separate_tag(nonce, aad, secret).map_err(|_| SealError::Library)?;
    out.extend_from_slice(tag.as_ref());
    Ok(out)
}

/// Opens what `seal` made in this hierarchy, for this place.
///
/// # Errors
/// The key is not in the ring, or the value is not what was sealed here.
pub fn open(
    ring: &KeyRing,
    hierarchy: Hierarchy,
    place: &[u8],
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, OpenError> {
    let Envelope { id, nonce, body } = envelope(sealed)?;
    let name = || String::from_utf8_lossy(id).into_owned();
    let subkey = std::str::from_utf8(id).ok().and_then(|id| ring.subkey(id, hierarchy));
    let subkey = subkey.ok_or_else(|| OpenError::UnknownKey { id: name() })?;
    let (key, nonce) = cipher(subkey, nonce).ok_or(OpenError::Damaged)?;
    let mut plain = Zeroizing::new(body.to_vec());
    let length =
        key.open_in_place(nonce, Aad::from(bound(id, place)), &mut plain).map_err(|_| OpenError::Damaged)?.len();
    plain.truncate(length);
    Ok(plain)
}

/// Whether a value is sealed with the ring's newest key. What is not can be opened and sealed again.
#[must_use]
pub fn is_newest(ring: &KeyRing, sealed: &[u8]) -> bool {
    envelope(sealed).is_ok_and(|envelope| envelope.id == ring.newest().as_bytes())
}

struct Envelope<'a> {
    // INVARIANT: satisfies `is_id`.
    id: &'a [u8],
    nonce: &'a [u8; NONCE_BYTES],
    body: &'a [u8],
}

fn envelope(sealed: &[u8]) -> Result<Envelope<'_>, OpenError> {
    let (version, rest) = sealed.split_first().ok_or(OpenError::Damaged)?;
    if *version != VERSION {
        return Err(OpenError::Version(*version));
    }
    let parts = || {
        let (length, rest) = rest.split_first()?;
        let (id, rest) = rest.split_at_checked(usize::from(*length))?;
        let (nonce, body) = rest.split_first_chunk()?;
        (is_id(id) && body.len() >= TAG_BYTES).then_some(Envelope { id, nonce, body })
    };
    parts().ok_or(OpenError::Damaged)
}

/// What is authenticated beside the value. No two different ones give the same bytes: the name's length comes first.
fn bound(id: &[u8], place: &[u8]) -> Vec<u8> {
    let length = u8::try_from(id.len()).unwrap_or(u8::MAX);
    [&[VERSION, length], id, place].concat()
}

/// The record's key, and what of the nonce is left for it: CMAC in counter mode, as XAES-256-GCM says.
fn cipher(subkey: &[u8; 32], nonce: &[u8; NONCE_BYTES]) -> Option<(LessSafeKey, Nonce)> {
    let (derives, counts) = nonce.split_first_chunk::<12>()?;
    let subkey = cmac::Key::new(cmac::AES_256, subkey).ok()?;
    let half = |number: u8| cmac::sign(&subkey, &[&[0, number, b'X', 0], derives.as_slice()].concat()).ok();
    let (first, second) = (half(1)?, half(2)?);
    let key = Zeroizing::new([first.as_ref(), second.as_ref()].concat());
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key).ok()?);
    Some((key, Nonce::try_assume_unique_for_key(counts).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The two vectors of the specification (c2sp.org/XAES-256-GCM).
    #[test]
    fn the_cipher_is_xaes_256_gcm() {
        let nonce = b"ABCDEFGHIJKLMNOPQRSTUVWX";
        for (key, aad, expected) in [
            (1, "", "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271"),
            (3, "c2sp.org/XAES-256-GCM", "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d"),
        ] {
            let (key, nonce) = cipher(&[key; 32], nonce).unwrap();
            let mut text = b"XAES-256-GCM".to_vec();
            let tag = key.seal_in_place_separate_tag(nonce, Aad::from(aad), &mut text).unwrap();
            text.extend_from_slice(tag.as_ref());
            let hex: String = text.iter().map(|b| format!("{b:02x}")).collect();
            assert_eq!(hex, expected);
        }
    }
}
