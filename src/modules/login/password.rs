//! Passwords: which are taken, and how they are kept (argon2id in a PHC string).
//!
//! What a password costs to check is bounded by [`COST_MAX`], whatever the stored string says. An account that does not
//! exist, or has no password, costs the same as one that has: [`Stored::nobody`] is checked in its place.

use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use unicode_normalization::UnicodeNormalization as _;
use zeroize::Zeroizing;

/// Shortest password, in characters: what NIST SP 800-63B-4, 3.1.1.2, asks of a password that can be the only factor.
pub const PASSWORD_CHARS_MIN: usize = 15;
/// Longest password, in bytes of UTF-8.
pub const PASSWORD_BYTES_MAX: usize = 1024;
/// Bytes of a salt. They are random.
pub const SALT_BYTES: usize = 16;
/// The dearest that a stored password may be to check: what is above it is refused as damaged.
pub(super) const COST_MAX: Cost = Cost { memory_kib: 1 << 20, passes: 16, lanes: 4 };

/// The longest run of one character, or of characters that follow one another, that a password may consist of for the most part.
const DISTINCT_CHARS_MIN: usize = 5;
const HASH_BYTES: usize = 32;
const STORED_BYTES_MAX: usize = 256;

/// How dear a password is to check, and so to guess.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// Memory, in KiB.
    pub memory_kib: u32,
    /// Passes over it.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
}

impl Default for Cost {
    /// 64 MiB and three passes: the second choice of RFC 9106, section 4, in one lane.
    fn default() -> Cost {
        Cost { memory_kib: 64 << 10, passes: 3, lanes: 1 }
    }
}

/// Why a password is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// Under [`PASSWORD_CHARS_MIN`].
    #[error("Use at least {PASSWORD_CHARS_MIN} characters. A few words in a row are good.")]
    Short,
    /// Over [`PASSWORD_BYTES_MAX`].
    #[error("Use at most {PASSWORD_BYTES_MAX} bytes.")]
    Long,
    /// A few characters over and over, or one after another.
    #[error("This is a row of the same few characters. Use a few words in a row.")]
    Plain,
    /// Little more than the account's name or the service's.
    #[error("This is little more than a name that others know. Use a few words in a row.")]
    Named,
    /// The library fails, or the cost is none. It is the machine's fault or the configuration's.
    #[error("the password cannot be hashed; see whether the memory of the machine suffices")]
    Library,
}

/// A password as it is kept: a PHC string, `$argon2id$v=19$m=65536,t=3,p=1$SALT$HASH`. It is not shown in `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Stored(String);

impl std::fmt::Debug for Stored {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Stored(..)")
    }
}

/// What a check says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(super) enum Checked {
    /// It is the password.
    Right {
        /// Whether it is kept at less than the cost that is wanted: hash it anew.
        cheap: bool,
    },
    /// It is not.
    Wrong,
}

/// Judges a new password. `names` are what others know: the account's name, its address, the service.
///
/// There are no rules of composition (NIST SP 800-63B-4, 3.1.1.2): length counts, and what is guessed first is refused.
///
/// # Errors
/// It is not taken; the error is shown to who chose it.
pub(super) fn judge(password: &str, names: &[&str]) -> Result<(), PasswordError> {
    let password = prepare(password)?;
    if password.chars().count() < PASSWORD_CHARS_MIN {
        return Err(PasswordError::Short);
    }
    let lower = Zeroizing::new(password.to_lowercase());
    let mut rest: Zeroizing<String> = Zeroizing::new(lower.to_string());
    for name in names {
        let name = name.to_lowercase();
        for part in name.split(|c: char| !c.is_alphanumeric()).filter(|p| p.chars().count() >= 4).chain([name.as_str()])
        {
            if !part.is_empty() {
                rest = Zeroizing::new(rest.replace(part, ""));
            }
        }
    }
    if rest.chars().count() < PASSWORD_CHARS_MIN / 2 {
        return Err(PasswordError::Named);
    }
    let mut seen: Vec<char> = lower.chars().collect();
    let steps = seen.windows(2).filter(|w| matches!(w, [a, b] if u32::from(*a).abs_diff(u32::from(*b)) <= 1)).count();
    let rows = steps * 4 >= seen.len().saturating_sub(1) * 3;
    seen.sort_unstable();
    seen.dedup();
    if rows || seen.len() < DISTINCT_CHARS_MIN {
        return Err(PasswordError::Plain);
    }
    Ok(())
}

/// Hashes a password that was judged. `salt` is random.
///
/// # Errors
/// It is too long, or there is not enough memory.
pub(super) fn hash(password: &str, salt: &[u8; SALT_BYTES], cost: Cost) -> Result<Stored, PasswordError> {
    let password = prepare(password)?;
    let hash = derive(password.as_bytes(), salt, cost, HASH_BYTES).ok_or(PasswordError::Library)?;
    let Cost { memory_kib, passes, lanes } = cost;
    let (salt, hash) = (STANDARD_NO_PAD.encode(salt), STANDARD_NO_PAD.encode(&*hash));
    Ok(Stored(format!("$argon2id$v=19$m={memory_kib},t={passes},p={lanes}${salt}${hash}")))
}

/// Checks a password. `wanted` is what a new one would cost.
///
/// # Errors
/// There is not enough memory: neither right nor wrong.
pub(super) fn check(password: &str, stored: &Stored, wanted: Cost) -> Result<Checked, PasswordError> {
    // One that is too long is wrong, and takes as long to say so.
    let password = prepare(password).unwrap_or_default();
    let (cost, salt, hash) = stored.parts().ok_or(PasswordError::Library)?;
    let found = derive(password.as_bytes(), &salt, cost, hash.len()).ok_or(PasswordError::Library)?;
    if password.is_empty() || verify_slices_are_equal(&found, &hash).is_err() {
        return Ok(Checked::Wrong);
    }
    let cheap = cost.memory_kib < wanted.memory_kib || cost.passes < wanted.passes;
    Ok(Checked::Right { cheap })
}

impl Stored {
    /// Reads one that was kept, or that another system kept as a PHC string of argon2id.
    #[must_use]
    pub fn read(text: &str) -> Option<Stored> {
        let stored = Stored((text.len() <= STORED_BYTES_MAX).then(|| text.to_owned())?);
        stored.parts().map(|_| stored)
    }

    /// The text to keep.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }

    /// What is checked where there is no password, so that it takes as long: no password is right.
    #[must_use]
    pub fn nobody(cost: Cost) -> Stored {
        let Cost { memory_kib, passes, lanes } = cost;
        let (salt, hash) = (STANDARD_NO_PAD.encode([0; SALT_BYTES]), STANDARD_NO_PAD.encode([0; HASH_BYTES]));
        Stored(format!("$argon2id$v=19$m={memory_kib},t={passes},p={lanes}${salt}${hash}"))
    }

    fn parts(&self) -> Option<(Cost, Vec<u8>, Vec<u8>)> {
        let mut parts = self.0.strip_prefix("$argon2id$v=19$")?.split('$');
        let (costs, salt, hash) = (parts.next()?, parts.next()?, parts.next()?);
        let mut costs = costs.split(',');
        let mut number = |name: &str| costs.next()?.strip_prefix(name)?.parse::<u32>().ok();
        let cost = Cost { memory_kib: number("m=")?, passes: number("t=")?, lanes: number("p=")? };
        let bounded =
            cost.memory_kib <= COST_MAX.memory_kib && cost.passes <= COST_MAX.passes && cost.lanes <= COST_MAX.lanes;
        let (salt, hash) = (STANDARD_NO_PAD.decode(salt).ok()?, STANDARD_NO_PAD.decode(hash).ok()?);
        let sound = bounded && parts.next().is_none() && costs.next().is_none();
        (sound && (8..=64).contains(&salt.len()) && (16..=64).contains(&hash.len())).then_some((cost, salt, hash))
    }
}

/// A password as it is compared: the OpaqueString profile of RFC 8265, section 4.2 (spaces are spaces, NFC), without its
/// refusal of characters that Unicode does not know yet.
fn prepare(password: &str) -> Result<Zeroizing<String>, PasswordError> {
    if password.len() > PASSWORD_BYTES_MAX {
        return Err(PasswordError::Long);
    }
    // NFC is at most three times as long as what it is made of; of that capacity, so that no copy is left by a move.
    let mut prepared = Zeroizing::new(String::with_capacity(3 * password.len()));
    prepared.extend(password.chars().map(|c| if c.is_whitespace() { ' ' } else { c }).nfc());
    Ok(prepared)
}

fn derive(password: &[u8], salt: &[u8], cost: Cost, bytes: usize) -> Option<Zeroizing<Vec<u8>>> {
    let params = Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(bytes)).ok()?;
    let mut out = Zeroizing::new(vec![0; bytes]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params).hash_password_into(password, salt, &mut out).ok()?;
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHEAP: Cost = Cost { memory_kib: 64, passes: 1, lanes: 1 };
    const GOOD: &str = "correct horse battery staple";

    #[test]
    fn length_counts_and_what_is_guessed_first_does_not() {
        let names = ["sarah@example.com", "Bailiwick"];
        assert_eq!(judge(GOOD, &names), Ok(()));
        assert_eq!(judge("päßwörter sind lang", &names), Ok(()));
        assert_eq!(judge("short but sweet", &names), Ok(()));
        assert_eq!(judge("short", &names), Err(PasswordError::Short));
        assert_eq!(judge("ääääääääääääää", &names), Err(PasswordError::Short), "characters count, not bytes");
        assert_eq!(judge(&"x".repeat(PASSWORD_BYTES_MAX + 1), &names), Err(PasswordError::Long));
        for plain in [
            "aaaaaaaaaaaaaaaaaaaa",
            "abcabcabcabcabcabc",
            "abcdefghijklmnopq",
            "98765432109876543210",
            "1212121212121212",
        ] {
            assert_eq!(judge(plain, &names), Err(PasswordError::Plain), "{plain}");
        }
        for named in ["sarah@example.com1", "SarahSarahSarah12", "bailiwick-sarah-1"] {
            assert_eq!(judge(named, &names), Err(PasswordError::Named), "{named}");
        }
    }

    #[test]
    fn a_password_is_kept_as_argon2id_and_is_checked() {
        let stored = hash(GOOD, &[7; SALT_BYTES], CHEAP).unwrap();
        assert!(stored.text().starts_with("$argon2id$v=19$m=64,t=1,p=1$BwcHBwcHBwcHBwcHBwcHBw$"), "{}", stored.text());
        let stored = Stored::read(stored.text()).unwrap();
        assert_eq!(check(GOOD, &stored, CHEAP), Ok(Checked::Right { cheap: false }));
        assert_eq!(check(GOOD, &stored, Cost { passes: 2, ..CHEAP }), Ok(Checked::Right { cheap: true }));
        for wrong in ["", "correct horse battery stapl", &"x".repeat(PASSWORD_BYTES_MAX + 1)] {
            assert_eq!(check(wrong, &stored, CHEAP), Ok(Checked::Wrong), "{wrong}");
        }
        assert_eq!(format!("{stored:?}"), "Stored(..)");
    }

    #[test]
    fn one_password_is_written_in_several_ways() {
        let stored = hash("cafe\u{301} au\u{a0}lait, deux fois", &[7; SALT_BYTES], CHEAP).unwrap();
        assert_eq!(check("caf\u{e9} au lait, deux fois", &stored, CHEAP), Ok(Checked::Right { cheap: false }));
        assert_eq!(check("cafe au lait, deux fois", &stored, CHEAP), Ok(Checked::Wrong));
    }

    #[test]
    fn nobody_has_a_password() {
        for password in ["", GOOD] {
            assert_eq!(check(password, &Stored::nobody(CHEAP), CHEAP), Ok(Checked::Wrong));
        }
    }

    #[test]
    fn strings_of_other_forms_and_above_the_bound_are_refused() {
        // From the reference implementation: argon2id, "password", "somesalt", m=65536, t=2, p=1.
        let foreign = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
        assert_eq!(check("password", &Stored::read(foreign).unwrap(), CHEAP), Ok(Checked::Right { cheap: false }));
        let salt = "BwcHBwcHBwcHBwcHBwcHBw";
        let hash = "CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
        for bad in [
            String::new(),
            format!("$argon2i$v=19$m=64,t=1,p=1${salt}${hash}"),
            format!("$argon2id$v=16$m=64,t=1,p=1${salt}${hash}"),
            format!("$argon2id$v=19$m=1048577,t=1,p=1${salt}${hash}"),
            format!("$argon2id$v=19$m=64,t=17,p=1${salt}${hash}"),
            format!("$argon2id$v=19$m=64,t=1,p=5${salt}${hash}"),
            format!("$argon2id$v=19$m=64,t=1,p=1${salt}${hash}$"),
            format!("$argon2id$v=19$m=64,t=1,p=1,k=1${salt}${hash}"),
            format!("$argon2id$v=19$m=64,t=1,p=1${salt}$"),
            format!("$argon2id$v=19$m=64,t=1,p=1${salt}${}", "A".repeat(400)),
        ] {
            assert!(Stored::read(&bad).is_none(), "{bad}");
        }
    }
}
