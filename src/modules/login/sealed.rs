//! State of a sign-in that is under way, held by the browser and closed to it.
//!
//! It is sealed by the key ring and bound to the tenant, to what it is for, and to the cookie of the browser that it was
//! given to: moved to another browser or another form it does not open. It carries its own end. That a thing is used once
//! is seen to by what it leads to, a record that changes.

use crate::secrets::{Hierarchy, KeyRing, NONCE_BYTES, open, seal};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// Longest sealed state, in characters.
pub(super) const SEALED_CHARS_MAX: usize = 32 << 10;

const LABEL: &[u8] = b"login state 1";

/// What a state is for. One does not open as another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A passkey is used.
    PasskeySignIn,
    /// A passkey is added.
    PasskeyRegistration,
    /// The first factor was right, the second is to come.
    SecondFactor,
    /// A secret for one-time passwords is shown, and a code is to come.
    TotpSetup,
    /// An invitation was followed, and a credential is to come.
    Enrolment,
    /// The browser is at another provider.
    Upstream,
}

impl Purpose {
    /// Never changed, and no two alike.
    fn label(self) -> &'static [u8] {
        match self {
            Purpose::PasskeySignIn => b"passkey sign-in",
            Purpose::PasskeyRegistration => b"passkey registration",
            Purpose::SecondFactor => b"second factor",
            Purpose::TotpSetup => b"totp setup",
            Purpose::Enrolment => b"enrolment",
            Purpose::Upstream => b"upstream",
        }
    }
}

/// Where a state belongs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    /// The tenant's number.
    pub tenant: u32,
    /// What it is for.
    pub purpose: Purpose,
    /// The hash of the browser's cookie.
    pub browser: &'a [u8; 32],
}

impl Place<'_> {
    fn bytes(&self) -> Vec<u8> {
        let label = self.purpose.label();
        let length = u8::try_from(label.len()).unwrap_or(u8::MAX);
        [LABEL, &self.tenant.to_be_bytes(), &[length], label, self.browser].concat()
    }
}

/// A state with its end.
#[derive(Serialize, Deserialize)]
struct Bounded<T> {
    until: u64,
    state: T,
}

/// Seals a state that is good until `until`, in seconds since 1970. `nonce` is random. `None` when it is too long.
#[must_use]
pub(super) fn close<T: Serialize>(
    ring: &KeyRing,
    place: Place<'_>,
    state: &T,
    until: u64,
    nonce: &[u8; NONCE_BYTES],
) -> Option<String> {
    let plain = Zeroizing::new(serde_json::to_vec(&Bounded { until, state }).ok()?);
    let sealed = seal(ring, Hierarchy::System, &place.bytes(), &plain, nonce).ok()?;
    Some(URL_SAFE_NO_PAD.encode(sealed)).filter(|text| text.len() <= SEALED_CHARS_MAX)
}

/// Opens a state. `None` when it is not of this place, damaged, or over.
#[must_use]
pub(super) fn reopen<T: DeserializeOwned>(ring: &KeyRing, place: Place<'_>, text: &str, now: u64) -> Option<T> {
    let sealed = URL_SAFE_NO_PAD.decode(Some(text).filter(|text| text.len() <= SEALED_CHARS_MAX)?).ok()?;
    let plain = open(ring, Hierarchy::System, &place.bytes(), &sealed).ok()?;
    let bounded: Bounded<T> = serde_json::from_slice(&plain).ok()?;
    (bounded.until > now).then_some(bounded.state)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::string_slice, reason = "a test fails loudly")]
    fn a_state_opens_in_its_place_until_its_end() {
        let line = KeyRing::key_line("k", 1, b"a key of thirty-two bytes, or so").unwrap();
        let ring = KeyRing::parse(&format!("{}{}", KeyRing::head(), *line), &[]).unwrap();
        let place = Place { tenant: 1, purpose: Purpose::SecondFactor, browser: &[1; 32] };
        let text = close(&ring, place, &"sarah", 100, &[0; NONCE_BYTES]).unwrap();
        let opened = |place, text: &str, now| reopen::<String>(&ring, place, text, now);
        assert_eq!(opened(place, &text, 99).as_deref(), Some("sarah"));
        assert_eq!(opened(place, &text, 100), None, "it is over");
        for other in [
            Place { tenant: 2, ..place },
            Place { purpose: Purpose::Enrolment, ..place },
            Place { browser: &[2; 32], ..place },
        ] {
            assert_eq!(opened(other, &text, 99), None, "{other:?}");
        }
        for bad in ["", "x", &text[..text.len() - 1], &format!("{text}A"), &"A".repeat(SEALED_CHARS_MAX + 1)] {
            assert_eq!(opened(place, bad, 99), None);
        }
        assert!(!text.contains("sarah"));
    }
}
