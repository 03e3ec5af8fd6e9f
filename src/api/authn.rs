//! Keys that whoever asks the engine must show one of, as OpenFGA's `authn-method: preshared` has them.

use crate::identity::{hash_of, same};
use crate::wire::{Code, Problem};
use axum::http::{HeaderMap, header};
use std::sync::Arc;

/// Most keys at a time; several, so that one can follow another.
pub const PRESHARED_KEYS_MAX: usize = 64;
/// Shortest key, in bytes: what is shorter can be guessed.
pub const PRESHARED_KEY_BYTES_MIN: usize = 16;

/// The keys. They are hashed: what is kept in memory opens nothing.
#[derive(Clone)]
pub struct PresharedKeys(Arc<[String]>);

impl std::fmt::Debug for PresharedKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PresharedKeys({})", self.0.len())
    }
}

/// Why keys are of no use. It never says a key.
#[derive(Debug, thiserror::Error)]
pub enum PresharedKeysError {
    /// There is none, or there are too many.
    #[error("say 1 to {PRESHARED_KEYS_MAX} preshared keys")]
    Count,
    /// One is too short, or no header could carry it.
    #[error("a preshared key has at least {PRESHARED_KEY_BYTES_MIN} letters, digits or signs of ASCII, and no blanks")]
    Form,
}

impl PresharedKeys {
    /// Takes these keys.
    ///
    /// # Errors
    /// They are of no use.
    pub fn new(keys: &[String]) -> Result<PresharedKeys, PresharedKeysError> {
        if keys.is_empty() || keys.len() > PRESHARED_KEYS_MAX {
            return Err(PresharedKeysError::Count);
        }
        let fine = |key: &String| key.len() >= PRESHARED_KEY_BYTES_MIN && key.bytes().all(|b| b.is_ascii_graphic());
        if !keys.iter().all(fine) {
            return Err(PresharedKeysError::Form);
        }
        Ok(PresharedKeys(keys.iter().map(|key| hash_of(key)).collect()))
    }

    /// Refuses a request that shows none of them, in OpenFGA's words.
    pub(super) fn check(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let mut values = headers.get_all(header::AUTHORIZATION).iter();
        let first = values.next().and_then(|value| value.to_str().ok()?.split_once(' '));
        let shown =
            first.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, key)| hash_of(key.trim()));
        let Some(shown) = shown.filter(|_| values.next().is_none()) else {
            return Err(Problem::new(Code::BearerTokenMissing, "missing bearer token"));
        };
        // All are looked at, so that the time tells nothing of which it was.
        let known = self.0.iter().fold(false, |known, key| known | same(key, &shown));
        if known { Ok(()) } else { Err(Problem::new(Code::Unauthenticated, "unauthenticated")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn one_of_the_keys_is_shown_once() {
        let keys = ["a key of sixteen".replace(' ', "-"), "another-key-of-more".to_owned()];
        let preshared = PresharedKeys::new(&keys).unwrap();
        assert!(!format!("{preshared:?}").contains("key-of"));
        let check = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::AUTHORIZATION, HeaderValue::from_str(value).unwrap());
            }
            preshared.check(&headers).map_err(|problem| problem.code)
        };
        for good in ["Bearer a-key-of-sixteen", "bearer another-key-of-more", "Bearer  a-key-of-sixteen "] {
            assert_eq!(check(&[good]), Ok(()), "{good}");
        }
        for missing in [&[][..], &["Basic a-key-of-sixteen"], &["a-key-of-sixteen"], &["Bearer a-key-of-sixteen"; 2]] {
            assert_eq!(check(missing), Err(Code::BearerTokenMissing), "{missing:?}");
        }
        for wrong in ["Bearer ", "Bearer a-key-of-sixtee", "Bearer a-key-of-sixteenn", "Bearer A-key-of-sixteen"] {
            assert_eq!(check(&[wrong]), Err(Code::Unauthenticated), "{wrong}");
        }
    }

    #[test]
    fn keys_that_can_be_guessed_or_sent_by_nobody_are_refused() {
        for (keys, count) in [
            (vec![], true),
            (vec!["x".repeat(16); PRESHARED_KEYS_MAX + 1], true),
            (vec!["short".to_owned()], false),
            (vec!["a key with some blanks".to_owned()], false),
            (vec!["x".repeat(16), "ä".repeat(16)], false),
        ] {
            let error = PresharedKeys::new(&keys).unwrap_err();
            assert_eq!(matches!(error, PresharedKeysError::Count), count, "{error}");
        }
    }
}
