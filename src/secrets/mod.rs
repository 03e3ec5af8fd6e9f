//! Secrets: the keys that seal records, and the seal itself.
//!
//! Pure: no file, no clock and no randomness. What is read from outside comes in as an argument.
//! Nothing here shows a secret in `Debug` or in an error. `docs/secrets.md` has the formats and what they promise.

mod ring;
mod seal;

pub use ring::{
    Hierarchy, KEY_BYTES, KEY_ID_BYTES_MAX, KEY_RING_BYTES_MAX, KEYS_MAX, KeyRing, KeyRingError, PASSPHRASE_BYTES_MIN,
    PASSPHRASE_SALT_BYTES, PASSPHRASES_MAX, PassphraseCost,
};
pub use seal::{NONCE_BYTES, OpenError, PLAIN_BYTES_MAX, SealError, is_newest, open, seal};

#[cfg(test)]
mod tests;
