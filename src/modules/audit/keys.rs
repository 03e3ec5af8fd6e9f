//! The keys that sign checkpoints: Ed25519, one generation after another under one name, which is the log's.
//!
//! A seed is sealed by the key ring and bound to its record's key. The public halves of all generations stay, so that what
//! an older one signed can be verified.

use super::note::{KeyKind, Signer as _, SignerKey, VerifierKey};
use super::{AuditError, By, Log};
use crate::identity::{AUDIT, EventKind, Outcome};
use crate::secrets::{Hierarchy, KeyRing, NONCE_BYTES, is_newest, open, seal};
use crate::tuple::Timestamp;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use std::ops::Deref;

/// Bytes of a seed: good randomness.
pub const SEED_BYTES: usize = 32;
/// Most generations of a log's key.
pub const GENERATIONS_MAX: usize = 256;

/// A generation of a log's key, as it is kept.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    /// `NAME+ID+KEY`.
    public: String,
    /// In nanoseconds since 1970.
    created: i64,
    /// The sealed seed, in base64.
    sealed: String,
}

/// The randomness that a new key takes.
#[derive(Clone, Copy)]
pub struct Fresh<'a> {
    /// The seed.
    pub seed: &'a [u8; SEED_BYTES],
    /// The nonce of its seal.
    pub nonce: &'a [u8; NONCE_BYTES],
}

impl Log {
    /// The public halves of the log's keys, the newest first.
    ///
    /// # Errors
    /// The disk failed, or a record is damaged.
    pub fn keys(&self) -> Result<Vec<VerifierKey>, AuditError> {
        let read = |stored: &Stored| VerifierKey::parse(&stored.public).map_err(AuditError::from);
        self.generations()?.iter().rev().map(read).collect()
    }

    fn generations(&self) -> Result<Vec<Stored>, AuditError> {
        let read = |bytes: Vec<u8>| serde_json::from_slice(&bytes).map_err(|_| self.records.damaged("a key's record"));
        self.records.keys(GENERATIONS_MAX)?.into_iter().map(read).collect()
    }

    /// Makes a key: the first one under `name`, or a new generation, which keeps the name that the log has.
    /// From then on it signs; those before it still verify.
    ///
    /// # Errors
    /// The name is none of a log or not the log's, a seal fails, or another made a key at the same moment.
    pub fn make_key(
        &self,
        name: Option<&str>,
        ring: &KeyRing,
        fresh: Fresh<'_>,
        by: &By,
        now: Timestamp,
    ) -> Result<VerifierKey, AuditError> {
        let known = self.keys()?;
        let name = match (known.first(), name) {
            (Some(key), Some(name)) if key.name() != name => {
                return Err(AuditError::Refused(format!("the log is named `{}`, and its keys stay so", key.name())));
            }
            (Some(key), _) => key.name().to_owned(),
            (None, Some(name)) => name.to_owned(),
            (None, None) => return Err(AuditError::NoKey),
        };
        if known.len() >= GENERATIONS_MAX {
            return Err(AuditError::Refused(format!("the log has {GENERATIONS_MAX} keys and takes no more")));
        }
        let generation = u32::try_from(known.len()).unwrap_or(u32::MAX); // below the bound
        let key = SignerKey::from_seed(&name, KeyKind::Log, fresh.seed)?.key().clone();
        let place = self.records.key_key(generation);
        let sealed = seal(ring, Hierarchy::System, &self.bound(&place), fresh.seed, fresh.nonce);
        let sealed = sealed.map_err(|error| AuditError::Refused(format!("the log's key: {error}")))?;
        let stored = Stored { public: key.to_string(), created: now.0, sealed: STANDARD.encode(sealed) };
        let kind = if known.is_empty() { EventKind::KeyCreated } else { EventKind::KeyRotated };
        let told = by.event(self.tenant(), kind, Outcome::Done, now).resource(id_of(&key)).detail("use", "audit");
        let records = &self.records.records;
        let changes = vec![records.put(place.clone(), json(&stored)), told.change()];
        if self.records.write_if(vec![records.expect(place, None)], changes)? {
            Ok(key)
        } else {
            Err(AuditError::Contended)
        }
    }

    /// The key that signs: the newest.
    ///
    /// # Errors
    /// There is none, or the ring does not open it.
    pub fn signer(&self, ring: &KeyRing) -> Result<SignerKey, AuditError> {
        let generations = self.generations()?;
        let newest = generations.last().ok_or(AuditError::NoKey)?;
        let generation = u32::try_from(generations.len() - 1).unwrap_or(u32::MAX);
        let opened = self.opened(ring, &self.records.key_key(generation), newest)?;
        let seed = opened.as_slice().try_into().map_err(|_| self.records.damaged("a key's record"))?;
        let public = VerifierKey::parse(&newest.public)?;
        let key = SignerKey::from_seed(public.name(), KeyKind::Log, seed)?;
        if *key.key() != public {
            return Err(self.records.damaged("a key's record"));
        }
        Ok(key)
    }

    /// A seed, which is overwritten when it is dropped.
    fn opened(
        &self,
        ring: &KeyRing,
        place: &[u8],
        stored: &Stored,
    ) -> Result<impl Deref<Target = Vec<u8>> + use<>, AuditError> {
        let sealed = STANDARD.decode(&stored.sealed).map_err(|_| self.records.damaged("a key's record"))?;
        let opened = open(ring, Hierarchy::System, &self.bound(place), &sealed);
        opened.map_err(|error| AuditError::Refused(format!("the log's key: {error}")))
    }

    /// Seals with the ring's newest key what is sealed with an older one. Answers how many keys that were. `nonces` gives
    /// randomness.
    ///
    /// # Errors
    /// The ring does not open one, or another changes it at the same moment.
    pub fn reseal_keys(
        &self,
        ring: &KeyRing,
        mut nonces: impl FnMut() -> [u8; NONCE_BYTES],
    ) -> Result<usize, AuditError> {
        let (records, mut resealed) = (&self.records.records, 0);
        for (generation, mut stored) in (0_u32..).zip(self.generations()?) {
            let place = self.records.key_key(generation);
            let sealed = STANDARD.decode(&stored.sealed).map_err(|_| self.records.damaged("a key's record"))?;
            if is_newest(ring, &sealed) {
                continue;
            }
            let before = records.expect(place.clone(), Some(json(&stored)));
            let seed = self.opened(ring, &place, &stored)?;
            let sealed = seal(ring, Hierarchy::System, &self.bound(&place), &seed, &nonces());
            let sealed = sealed.map_err(|error| AuditError::Refused(format!("the log's key: {error}")))?;
            stored.sealed = STANDARD.encode(sealed);
            if !self.records.write_if(vec![before], vec![records.put(place, json(&stored))])? {
                return Err(AuditError::Contended);
            }
            resealed += 1;
        }
        Ok(resealed)
    }

    /// What a seed is bound to: the module and the key of its record, which has the tenant.
    fn bound(&self, place: &[u8]) -> Vec<u8> {
        [AUDIT.name().as_bytes(), &[0], place].concat()
    }
}

fn json(stored: &Stored) -> Vec<u8> {
    serde_json::to_vec(stored).unwrap_or_default() // texts and a number: it has no way to fail
}

/// `NAME+ID`, which tells a key from others and is no secret.
fn id_of(key: &VerifierKey) -> String {
    format!("{}+{:08x}", key.name(), key.id())
}
