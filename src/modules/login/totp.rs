//! Time-based one-time passwords (RFC 6238) and recovery codes.
//!
//! A code is good for its own step of 30 seconds and its neighbours (RFC 6238, section 5.2), and once: whoever keeps the
//! step that was accepted last gives it back with the next code, and no step up to it is accepted.
//! A recovery code has 80 random bits. It is kept as a hash that is bound to its owner, and crossed off when it is used.

use aws_lc_rs::digest;
use totp_rs::{Builder, Secret, Totp};
use zeroize::Zeroizing;

/// Bytes of a secret. They are random. RFC 4226, section 4, recommends 160 bits.
pub const TOTP_SECRET_BYTES: usize = 20;
/// Digits of a code.
pub const TOTP_DIGITS: u8 = 6;
/// Seconds of a step.
pub const TOTP_STEP_SECONDS: u64 = 30;
/// How many recovery codes an account gets.
pub const RECOVERY_CODES: usize = 10;
/// Random bytes of a recovery code.
pub(super) const RECOVERY_CODE_BYTES: usize = 10;

const RECOVERY_GROUP_CHARS: usize = 4;
const RECOVERY_LABEL: &[u8] = b"bailiwick recovery code 1";
/// Base 32 of RFC 4648: no digit that looks like a letter.
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// The secret that an app and we share. It is not shown in `Debug`, and overwritten when it is dropped.
pub struct TotpSecret(Zeroizing<[u8; TOTP_SECRET_BYTES]>);

impl std::fmt::Debug for TotpSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TotpSecret(..)")
    }
}

impl TotpSecret {
    /// A secret of random bytes.
    #[must_use]
    pub fn new(bytes: [u8; TOTP_SECRET_BYTES]) -> TotpSecret {
        TotpSecret(Zeroizing::new(bytes))
    }

    /// Its bytes, to be sealed.
    #[must_use]
    pub fn bytes(&self) -> &[u8; TOTP_SECRET_BYTES] {
        &self.0
    }

    /// As people type it: base 32, in groups of four.
    #[must_use]
    pub fn text(&self) -> Zeroizing<String> {
        Zeroizing::new(grouped(&base32(&*self.0), ' '))
    }

    /// As an app takes it from a link or a QR code: an `otpauth` URI of the key URI format.
    #[must_use]
    pub fn uri(&self, issuer: &str, account: &str) -> Zeroizing<String> {
        let (issuer, account) = (escape(issuer), escape(account));
        let secret = Zeroizing::new(base32(&*self.0));
        Zeroizing::new(format!("otpauth://totp/{issuer}:{account}?secret={}&issuer={issuer}", *secret))
    }

    /// The step of a code that is good now and was not used: one behind `last`, the step that was accepted last.
    /// `now` is in seconds since 1970.
    #[must_use]
    pub fn check(&self, code: &str, now: u64, last: Option<u64>) -> Option<u64> {
        let code: Zeroizing<String> = Zeroizing::new(code.chars().filter(|c| !c.is_whitespace()).take(16).collect());
        let step = self.totp()?.check(&code, now)?;
        last.is_none_or(|last| step > last).then_some(step)
    }

    fn totp(&self) -> Option<Totp> {
        Builder::new()
            .with_digits(TOTP_DIGITS)
            .with_step_duration(TOTP_STEP_SECONDS)
            .with_skew(1)
            .with_secret(Secret::new_stack(*self.0))
            .build()
            .ok()
    }
}

/// A recovery code as its owner writes it down: `ABCD-EFGH-IJKL-MNOP`. `random` is random.
#[must_use]
pub(super) fn recovery_code(random: &[u8; RECOVERY_CODE_BYTES]) -> Zeroizing<String> {
    Zeroizing::new(grouped(&base32(random), '-'))
}

/// What is kept of a recovery code; `owner` is whose it is, with its tenant, so that the same code of two owners differs.
/// `None` when it has not the form of one.
#[must_use]
pub(super) fn recovery_hash(code: &str, owner: &[u8]) -> Option<[u8; 32]> {
    let mut clean = Zeroizing::new(Vec::with_capacity(RECOVERY_CODE_BYTES * 8 / 5));
    for c in code.chars().filter(|c| !c.is_whitespace() && *c != '-') {
        // What is written down by hand: a nought is no letter of ours, so it was an O; a one was an I, an eight a B.
        let c = match c.to_ascii_uppercase() {
            '0' => 'O',
            '1' => 'I',
            '8' => 'B',
            c => c,
        };
        let byte = u8::try_from(c).ok().filter(|b| BASE32.contains(b))?;
        if clean.len() == clean.capacity() {
            return None;
        }
        clean.push(byte);
    }
    if clean.len() != RECOVERY_CODE_BYTES * 8 / 5 {
        return None;
    }
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(RECOVERY_LABEL);
    context.update(&u64::try_from(owner.len()).ok()?.to_be_bytes());
    context.update(owner);
    context.update(&clean);
    context.finish().as_ref().try_into().ok()
}

fn base32(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 8 / 5 + 1);
    let (mut bits, mut held) = (0_u16, 0_u32);
    for byte in bytes {
        bits = bits << 8 | u16::from(*byte);
        held += 8;
        while held >= 5 {
            held -= 5;
            let index = usize::from(bits >> held & 31);
            text.push(BASE32.get(index).map_or('A', |b| char::from(*b)));
            bits &= (1 << held) - 1;
        }
    }
    if held > 0 {
        let index = usize::from(bits << (5 - held) & 31);
        text.push(BASE32.get(index).map_or('A', |b| char::from(*b)));
    }
    text
}

fn grouped(text: &str, between: char) -> String {
    let mut out = String::with_capacity(text.len() * 5 / 4);
    for (i, c) in text.chars().enumerate() {
        if i > 0 && i % RECOVERY_GROUP_CHARS == 0 {
            out.push(between);
        }
        out.push(c);
    }
    out
}

/// Percent-encodes all but unreserved characters (RFC 3986, section 2.3).
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6238, appendix B: its secret for SHA-1 is these 20 bytes.
    fn secret() -> TotpSecret {
        TotpSecret::new(*b"12345678901234567890")
    }

    #[test]
    fn codes_are_those_of_the_standard_and_good_for_their_neighbours() {
        // Appendix B has eight digits; six are the last ones.
        for (time, code) in
            [(59, "287082"), (1_111_111_109, "081804"), (2_000_000_000, "279037"), (20_000_000_000, "353130")]
        {
            let step = time / TOTP_STEP_SECONDS;
            assert_eq!(secret().check(code, time, None), Some(step), "{time}");
            for near in [step * 30 - 30, step * 30 + 59] {
                assert_eq!(secret().check(code, near, None), Some(step), "{time} at {near}");
            }
            for far in [Some(step * 30 + 60), (step * 30).checked_sub(31)].into_iter().flatten() {
                assert_eq!(secret().check(code, far, None), None, "{time} at {far}");
            }
        }
        assert_eq!(secret().check(" 081 804 ", 1_111_111_109, None), Some(37_037_036));
        for bad in ["", "81804", "0818040", "+81804", "08180a", "٠٨١٨٠٤", &"0".repeat(100)] {
            assert_eq!(secret().check(bad, 1_111_111_109, None), None, "{bad}");
        }
    }

    #[test]
    fn a_code_is_used_once() {
        let time = 1_111_111_109;
        let step = secret().check("081804", time, None).unwrap();
        assert_eq!(secret().check("081804", time, Some(step)), None);
        assert_eq!(secret().check("081804", time + 30, Some(step)), None, "nor later");
        assert_eq!(secret().check("081804", time, Some(step - 1)), Some(step));
    }

    #[test]
    fn the_secret_goes_to_the_app_and_nowhere_else() {
        assert_eq!(*secret().text(), "GEZD GNBV GY3T QOJQ GEZD GNBV GY3T QOJQ");
        let uri = "otpauth://totp/Acme%20%26%20Co:sarah%40example.com?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Acme%20%26%20Co";
        assert_eq!(*secret().uri("Acme & Co", "sarah@example.com"), uri);
        assert_eq!(format!("{:?}", secret()), "TotpSecret(..)");
    }

    #[test]
    fn base_32_is_that_of_the_standard() {
        // RFC 4648, section 10, without padding.
        for (plain, text) in [
            ("", ""),
            ("f", "MY"),
            ("fo", "MZXQ"),
            ("foo", "MZXW6"),
            ("foob", "MZXW6YQ"),
            ("fooba", "MZXW6YTB"),
            ("foobar", "MZXW6YTBOI"),
        ] {
            assert_eq!(base32(plain.as_bytes()), text);
        }
    }

    #[test]
    fn a_recovery_code_is_read_as_it_was_written_down() {
        let code = recovery_code(b"0123456789");
        assert_eq!(*code, "GAYT-EMZU-GU3D-OOBZ");
        let kept = recovery_hash(&code, b"1/sarah").unwrap();
        for same in ["gayt emzu gu3d oobz", "GAYTEMZUGU3DOOBZ", " gayt-emzu-gu3d-00bz ", "GAYTEMZUGU3DOO8Z"] {
            assert_eq!(recovery_hash(same, b"1/sarah"), Some(kept), "{same}");
        }
        assert_ne!(recovery_hash(&code, b"1/bob"), Some(kept));
        assert_ne!(recovery_hash(&code, b"2/sarah"), Some(kept));
        for bad in ["", "GAYT-EMZU-GU3D-OOB", "GAYT-EMZU-GU3D-OOBZA", "GAYT-EMZU-GU3D-OOB9", "GAYT-EMZU-GU3D-OOBé"] {
            assert_eq!(recovery_hash(bad, b"1/sarah"), None, "{bad}");
        }
    }
}
