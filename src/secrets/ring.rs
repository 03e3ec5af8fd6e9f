//! The key ring: named keys, of which the newest seals and all open.
//!
//! It is a text outside of the database. Its lines hold keys, or say how a key is derived from a passphrase, which is
//! never written down. What is kept in memory are not the keys but what is derived from them, one subkey for each
//! hierarchy: who holds the subkey of one hierarchy can compute neither the key nor the subkey of another.

use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::{constant_time, hkdf};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::fmt;
use zeroize::{Zeroize as _, Zeroizing};

/// The length of a key, in bytes.
pub const KEY_BYTES: usize = 32;
/// The most keys of a ring. Old ones stay until nothing is sealed with them.
pub const KEYS_MAX: usize = 64;
/// The longest name of a key, in bytes.
pub const KEY_ID_BYTES_MAX: usize = 32;
/// The longest text of a ring, in bytes.
pub const KEY_RING_BYTES_MAX: usize = 64 << 10;
/// The most keys of a ring that are derived from passphrases, and the most passphrases: each pair may cost a derivation.
pub const PASSPHRASES_MAX: usize = 4;
/// The shortest passphrase, in bytes.
pub const PASSPHRASE_BYTES_MIN: usize = 12;
/// The length of the salt of a passphrase, in bytes.
pub const PASSPHRASE_SALT_BYTES: usize = 16;
/// The least memory of a derivation, in KiB: below it a guess is cheap.
const MEMORY_KIB_MIN: u32 = 19_456;
/// The most memory of a derivation, in KiB, so that a ring cannot ask for all that the machine has.
const MEMORY_KIB_MAX: u32 = 4 << 20;
/// The most passes of a derivation.
const PASSES_MAX: u32 = 64;
/// The most lanes of a derivation.
const LANES_MAX: u32 = 16;
/// The length of what tells whether a passphrase is the right one, in bytes.
const CHECK_BYTES: usize = 16;

const HEAD: &str = "bailiwick-keys";
const FORMAT: &str = "1";
/// Makes the derivations ours: the same key in another program derives other subkeys.
const DERIVATION_SALT: &[u8] = b"bailiwick secrets 1";
const CHECK_LABEL: &[u8] = b"check";

/// What a sealed value belongs to. What is sealed in one hierarchy does not open in another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hierarchy {
    /// Credentials that a user delegated.
    UserCredentials,
    /// An agent's own credentials.
    AgentCredentials,
    /// The system's: signing keys, secrets of clients.
    System,
}

impl Hierarchy {
    const ALL: [Hierarchy; 3] = [Hierarchy::UserCredentials, Hierarchy::AgentCredentials, Hierarchy::System];

    /// What its subkey is derived with. Never changed, and no two alike.
    pub(super) fn label(self) -> &'static [u8] {
        match self {
            Hierarchy::UserCredentials => b"user credentials",
            Hierarchy::AgentCredentials => b"agent credentials",
            Hierarchy::System => b"system",
        }
    }
}

/// How much work a passphrase costs who guesses it (argon2id).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PassphraseCost {
    /// Memory, in KiB.
    pub memory_kib: u32,
    /// Passes over it.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
}

impl Default for PassphraseCost {
    /// 256 MiB and three passes: less than a second when a server starts.
    fn default() -> PassphraseCost {
        PassphraseCost { memory_kib: 256 << 10, passes: 3, lanes: 1 }
    }
}

/// Why a text is no key ring. Neither a key nor a passphrase is part of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyRingError {
    /// It is too long.
    #[error("the key ring is longer than {KEY_RING_BYTES_MAX} bytes; is it the right file?")]
    TooLong,
    /// It does not begin as one.
    #[error("the key ring does not begin with the line `{HEAD} {FORMAT}`; is it the right file?")]
    Head,
    /// It is of a version that this program does not know.
    #[error("the key ring has a version that this program does not know; it reads `{HEAD} {FORMAT}`")]
    Version,
    /// A line is none.
    #[error("line {line} of the key ring is not understood: {what}")]
    Line {
        /// The first is 1.
        line: usize,
        /// What is wrong, and how it should be.
        what: &'static str,
    },
    /// Two keys are hard to tell apart.
    #[error("line {line} of the key ring has a key whose name, time or bytes another line has; give each its own")]
    Twice {
        /// The second of the two.
        line: usize,
    },
    /// It has none.
    #[error("the key ring has no key; add a line `key NAME SECONDS BASE64`")]
    Empty,
    /// It has too many.
    #[error(
        "the key ring has more than {KEYS_MAX} keys, or {PASSPHRASES_MAX} with passphrases; remove those that seal nothing"
    )]
    TooMany,
    /// A passphrase is missing, or wrong.
    #[error("no passphrase that was given is that of key `{id}` of the key ring; is it mistyped?")]
    Passphrase {
        /// The key that it should give.
        id: String,
    },
    /// A passphrase or a cost that must not be used for a new key.
    #[error(
        "a passphrase has at least {PASSPHRASE_BYTES_MIN} bytes, and its cost at least {MEMORY_KIB_MIN} KiB, 1 pass and 1 lane"
    )]
    Weak,
    /// The machine has no memory, or the library fails.
    #[error("a key cannot be derived; does the machine have the memory that the key ring asks for?")]
    Derivation,
}

/// Named keys. `Debug` shows their names.
pub struct KeyRing {
    // INVARIANT: not empty; created ascends strictly; no two ids are alike; ids satisfy `is_id`.
    keys: Vec<Key>,
}

struct Key {
    id: String,
    created: u64,
    /// In the order of `Hierarchy::ALL`.
    subkeys: [Zeroizing<[u8; KEY_BYTES]>; 3],
    /// Tells two keys apart, and whether a passphrase is right. Derived too, and not secret.
    check: [u8; CHECK_BYTES],
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyRing").field("keys", &self.ids().collect::<Vec<_>>()).finish_non_exhaustive()
    }
}

impl KeyRing {
    /// Reads a key ring. Whoever reads its file sees that only its owner can.
    ///
    /// `passphrases` are tried for each line that wants one; each try costs what the line says.
    ///
    /// # Errors
    /// The text is no key ring, or a passphrase is missing.
    pub fn parse(text: &str, passphrases: &[&[u8]]) -> Result<KeyRing, KeyRingError> {
        if text.len() > KEY_RING_BYTES_MAX {
            return Err(KeyRingError::TooLong);
        }
        let mut lines = text.lines().enumerate();
        match lines.next().and_then(|(_, first)| first.trim_end().split_once(' ')) {
            Some((HEAD, FORMAT)) => {}
            Some((HEAD, _)) => return Err(KeyRingError::Version),
            Some(_) | None => return Err(KeyRingError::Head),
        }
        let mut keys: Vec<Key> = Vec::new();
        let mut derived = 0;
        for (at, line) in lines {
            let words: Vec<&str> = line.split_ascii_whitespace().collect();
            let key = match words.as_slice() {
                [] => continue,
                [first, ..] if first.starts_with('#') => continue,
                ["key", id, created, bytes] => key_line(at + 1, id, created, bytes)?,
                ["passphrase", id, created, "argon2id", rest @ ..] => {
                    derived += 1;
                    if derived > PASSPHRASES_MAX || passphrases.len() > PASSPHRASES_MAX {
                        return Err(KeyRingError::TooMany);
                    }
                    passphrase_line(at + 1, id, created, rest, passphrases)?
                }
                _ => {
                    let what = "write `key NAME SECONDS BASE64`, or what made a passphrase's line";
                    return Err(KeyRingError::Line { line: at + 1, what });
                }
            };
            let alike = |k: &Key| k.id == key.id || k.created == key.created || k.check == key.check;
            if keys.iter().any(alike) {
                return Err(KeyRingError::Twice { line: at + 1 });
            }
            keys.push(key);
            if keys.len() > KEYS_MAX {
                return Err(KeyRingError::TooMany);
            }
        }
        if keys.is_empty() {
            return Err(KeyRingError::Empty);
        }
        keys.sort_by_key(|key| key.created);
        Ok(KeyRing { keys })
    }

    /// The first line of a key ring's text.
    #[must_use]
    pub fn head() -> String {
        format!("{HEAD} {FORMAT}\n")
    }

    /// A line with a key, for a ring's text. `created` is in seconds since 1970.
    ///
    /// # Errors
    /// The name is none.
    pub fn key_line(id: &str, created: u64, bytes: &[u8; KEY_BYTES]) -> Result<Zeroizing<String>, KeyRingError> {
        id_of(1, id)?;
        let bytes = Zeroizing::new(STANDARD.encode(bytes));
        Ok(Zeroizing::new(format!("key {id} {created} {}\n", bytes.as_str())))
    }

    /// A line that says how a passphrase gives a key, for a ring's text. It is public. `salt` is random.
    ///
    /// # Errors
    /// The name is none, or the passphrase or its cost is weak.
    pub fn passphrase_line(
        id: &str,
        created: u64,
        salt: &[u8; PASSPHRASE_SALT_BYTES],
        cost: PassphraseCost,
        passphrase: &[u8],
    ) -> Result<String, KeyRingError> {
        id_of(1, id)?;
        if passphrase.len() < PASSPHRASE_BYTES_MIN || !cost.is_bounded() {
            return Err(KeyRingError::Weak);
        }
        let check = key_of(id, created, &*derive(cost, salt, passphrase)?)?.check;
        let PassphraseCost { memory_kib, passes, lanes } = cost;
        let (salt, check) = (STANDARD.encode(salt), STANDARD.encode(check));
        Ok(format!(
            "passphrase {id} {created} argon2id m={memory_kib} t={passes} p={lanes} salt={salt} check={check}\n"
        ))
    }

    /// The names of the keys and when they were made, the oldest first.
    pub fn ids(&self) -> impl Iterator<Item = (&str, u64)> {
        self.keys.iter().map(|key| (key.id.as_str(), key.created))
    }

    /// The name of the key that seals: the newest.
    #[must_use]
    pub fn newest(&self) -> &str {
        self.keys.last().map_or("", |key| key.id.as_str())
    }

    /// The subkey of a hierarchy, or none when the ring has no such key.
    pub(super) fn subkey(&self, id: &str, hierarchy: Hierarchy) -> Option<&[u8; KEY_BYTES]> {
        let key = self.keys.iter().find(|key| key.id == id)?;
        let place = Hierarchy::ALL.iter().position(|one| *one == hierarchy)?;
        key.subkeys.get(place).map(|subkey| &**subkey)
    }
}

/// Whether it can name a key: small letters, digits, `-`, `_` and `.`.
pub(super) fn is_id(id: &[u8]) -> bool {
    let fits = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(b);
    (1..=KEY_ID_BYTES_MAX).contains(&id.len()) && id.iter().all(fits)
}

impl PassphraseCost {
    fn is_bounded(self) -> bool {
        (MEMORY_KIB_MIN..=MEMORY_KIB_MAX).contains(&self.memory_kib)
            && (1..=PASSES_MAX).contains(&self.passes)
            && (1..=LANES_MAX).contains(&self.lanes)
    }
}

fn id_of(line: usize, id: &str) -> Result<(), KeyRingError> {
    let what = "a key's name is 1 to 32 small letters, digits, `-`, `_` and `.`";
    if is_id(id.as_bytes()) { Ok(()) } else { Err(KeyRingError::Line { line, what }) }
}

fn created_of(line: usize, created: &str) -> Result<u64, KeyRingError> {
    let what = "the time is the seconds since 1970, as `date +%s` prints them";
    created.parse().map_err(|_| KeyRingError::Line { line, what })
}

fn key_line(line: usize, id: &str, created: &str, bytes: &str) -> Result<Key, KeyRingError> {
    id_of(line, id)?;
    let created = created_of(line, created)?;
    let what = "the key is 32 random bytes in base64, as `openssl rand -base64 32` prints them";
    let bytes = decode::<KEY_BYTES>(bytes).ok_or(KeyRingError::Line { line, what })?;
    if bytes.iter().all(|b| Some(b) == bytes.first()) {
        return Err(KeyRingError::Line { line, what });
    }
    key_of(id, created, &bytes)
}

fn passphrase_line(
    line: usize,
    id: &str,
    created: &str,
    rest: &[&str],
    passphrases: &[&[u8]],
) -> Result<Key, KeyRingError> {
    id_of(line, id)?;
    let created = created_of(line, created)?;
    let what = "write `argon2id m=KIB t=PASSES p=LANES salt=BASE64 check=BASE64` as it was made";
    let wrong = KeyRingError::Line { line, what };
    let [memory, passes, lanes, salt, check] = rest else { return Err(wrong) };
    let number = |word: &str, name: &str| word.strip_prefix(name)?.parse::<u32>().ok();
    let (Some(memory_kib), Some(passes), Some(lanes)) =
        (number(memory, "m="), number(passes, "t="), number(lanes, "p="))
    else {
        return Err(wrong);
    };
    let salt = salt.strip_prefix("salt=").and_then(decode::<PASSPHRASE_SALT_BYTES>);
    let check = check.strip_prefix("check=").and_then(decode::<CHECK_BYTES>);
    let cost = PassphraseCost { memory_kib, passes, lanes };
    let (Some(salt), Some(check), true) = (salt, check, cost.is_bounded()) else { return Err(wrong) };
    for passphrase in passphrases {
        let key = key_of(id, created, &*derive(cost, &salt, passphrase)?)?;
        if constant_time::verify_slices_are_equal(&key.check, &*check).is_ok() {
            return Ok(key);
        }
    }
    Err(KeyRingError::Passphrase { id: id.to_owned() })
}

/// Exactly so many bytes.
fn decode<const BYTES: usize>(text: &str) -> Option<Zeroizing<[u8; BYTES]>> {
    let bytes = Zeroizing::new(STANDARD.decode(text).ok()?);
    let mut exact = Zeroizing::new([0; BYTES]);
    if bytes.len() != BYTES {
        return None;
    }
    exact.copy_from_slice(&bytes);
    Some(exact)
}

fn derive(
    cost: PassphraseCost,
    salt: &[u8; PASSPHRASE_SALT_BYTES],
    passphrase: &[u8],
) -> Result<Zeroizing<[u8; KEY_BYTES]>, KeyRingError> {
    let PassphraseCost { memory_kib, passes, lanes } = cost;
    let params = Params::new(memory_kib, passes, lanes, Some(KEY_BYTES)).map_err(|_| KeyRingError::Derivation)?;
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(passphrase, salt, &mut *key)
        .map_err(|_| KeyRingError::Derivation)?;
    Ok(key)
}

/// Derives what is kept of a key.
fn key_of(id: &str, created: u64, bytes: &[u8; KEY_BYTES]) -> Result<Key, KeyRingError> {
    let root = hkdf::Salt::new(hkdf::HKDF_SHA256, DERIVATION_SALT).extract(bytes);
    let expand = |label: &[u8]| {
        let mut out = Zeroizing::new([0; KEY_BYTES]);
        let filled = root.expand(&[label], hkdf::HKDF_SHA256).and_then(|okm| okm.fill(&mut *out));
        filled.map(|()| out).map_err(|_| KeyRingError::Derivation)
    };
    let [users, agents, system] = Hierarchy::ALL;
    let subkeys = [expand(users.label())?, expand(agents.label())?, expand(system.label())?];
    let mut whole = expand(CHECK_LABEL)?;
    let mut check = [0; CHECK_BYTES];
    for (to, from) in check.iter_mut().zip(whole.iter()) {
        *to = *from;
    }
    whole.zeroize();
    Ok(Key { id: id.to_owned(), created, subkeys, check })
}
