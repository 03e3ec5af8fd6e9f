//! Secrets: the keys that seal records, the seal itself, and the filter that takes secrets out of what leaves.
//!
//! Pure: no file, no clock and no randomness. What is read from outside comes in as an argument.
//! Nothing here shows a secret in `Debug` or in an error. `docs/secrets.md` has the formats and what they promise,
//! `docs/output-filter.md` what is filtered.

mod redact;
mod ring;
mod seal;

pub use redact::{
    EVENT_BYTES_MAX, EventRedactor, Filter, FilterError, HELD_SECRET_BYTES_MAX, HELD_SECRET_BYTES_MIN,
    HELD_SECRETS_MAX, HOLDING_BYTES_MAX, HOLDING_BYTES_MIN, HOLDINGS_MAX, Holdings, HoldingsFull, Redactor, Report,
    SHAPE_BYTES_MAX, can_be_guessed,
};
pub use ring::{
    Hierarchy, KEY_BYTES, KEY_ID_BYTES_MAX, KEY_RING_BYTES_MAX, KEYS_MAX, KeyRing, KeyRingError, PASSPHRASE_BYTES_MIN,
    PASSPHRASE_SALT_BYTES, PASSPHRASES_MAX, PassphraseCost,
};
pub use seal::{NONCE_BYTES, OpenError, PLAIN_BYTES_MAX, SealError, is_newest, open, seal};

#[cfg(test)]
mod tests;
