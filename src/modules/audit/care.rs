//! Care: how long a log's events stay, and which witnesses are asked to sign that they saw its checkpoints. Whoever serves the
//! tenants acts on it.

use super::grow::TRIES_MAX;
use super::note::{KeyKind, VerifierKey};
use super::retention::Dropped;
use super::{AuditError, By, Log, time_text};
use crate::engine::RecordExpectation;
use crate::identity::{EventKind, Outcome};
use crate::tuple::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use url::Url;

/// Most witnesses of a log.
pub const WITNESSES_MAX: usize = 16;
/// Longest address of a witness.
pub const WITNESS_URL_BYTES_MAX: usize = 1_024;
/// The shortest time that events are kept for, and the longest that can be said.
pub const KEPT_SECONDS: std::ops::RangeInclusive<u64> = 86_400..=3_155_760_000;
/// Writes of one call of [`Log::drop_old`].
const DROP_WRITES_MAX: usize = 64;

/// What is cared for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Care {
    /// Events that are older than so many seconds, within [`KEPT_SECONDS`], and under no hold are dropped. Without it all stay.
    #[serde(default)]
    pub kept_seconds: Option<u64>,
    /// Who is asked to sign each checkpoint that is the newest when they are asked; at most [`WITNESSES_MAX`].
    #[serde(default)]
    pub witnesses: Vec<Witness>,
}

/// One who signs that they saw a checkpoint, and that it continues the one before (C2SP tlog-witness).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Witness {
    /// Its submission prefix: `add-checkpoint` is asked for below it.
    pub url: String,
    /// Its public key, as C2SP signed-note writes it.
    pub key: String,
}

impl Witness {
    /// Its key.
    ///
    /// # Errors
    /// It is none, or a log's.
    pub fn verifier(&self) -> Result<VerifierKey, AuditError> {
        let key = VerifierKey::parse(&self.key)?;
        if key.kind() != KeyKind::Witness {
            return Err(AuditError::Refused(format!("the key `{}` is a log's, and no witness's", key.name())));
        }
        Ok(key)
    }

    /// Where it is asked: `<submission prefix>/add-checkpoint`.
    ///
    /// # Errors
    /// Its address is too long, or none of the web's without user, query and fragment.
    pub fn add_checkpoint(&self) -> Result<Url, AuditError> {
        let whole = format!("{}/add-checkpoint", self.url.trim_end_matches('/'));
        let good = |url: &Url| {
            let bare = url.username().is_empty() && url.password().is_none();
            bare && matches!(url.scheme(), "https" | "http") && url.query().is_none() && url.fragment().is_none()
        };
        let url = Url::parse(&whole).ok().filter(|url| self.url.len() <= WITNESS_URL_BYTES_MAX && good(url));
        url.ok_or_else(|| {
            let most = format!("https, no user, query or fragment, at most {WITNESS_URL_BYTES_MAX} bytes");
            AuditError::Refused(format!("`{}` is no address of a witness: {most}", self.url))
        })
    }
}

impl Care {
    /// That all of it makes sense.
    fn check(&self) -> Result<(), AuditError> {
        let refused = |what: String| Err(AuditError::Refused(what));
        if let Some(seconds) = self.kept_seconds.filter(|seconds| !KEPT_SECONDS.contains(seconds)) {
            let (least, most) = (KEPT_SECONDS.start(), KEPT_SECONDS.end());
            return refused(format!("events are kept for {least} to {most} seconds, not {seconds}"));
        }
        if self.witnesses.len() > WITNESSES_MAX {
            return refused(format!("a log has at most {WITNESSES_MAX} witnesses; these are {}", self.witnesses.len()));
        }
        let mut names = Vec::new();
        for witness in &self.witnesses {
            witness.add_checkpoint()?;
            let key = witness.verifier()?;
            if names.iter().any(|name| name == key.name()) {
                return refused(format!("the witness `{}` stands there twice", key.name()));
            }
            names.push(key.name().to_owned());
        }
        Ok(())
    }
}

impl Log {
    /// What is cared for; nothing when nobody said.
    ///
    /// # Errors
    /// The disk failed, or the record is damaged.
    pub fn care(&self) -> Result<Care, AuditError> {
        Ok(self.stored_care()?.0)
    }

    fn stored_care(&self) -> Result<(Care, RecordExpectation), AuditError> {
        let key = self.records.care_key();
        let stored = self.records.raw(&key)?;
        let care = stored.as_deref().map(serde_json::from_slice).transpose();
        let care = care.map_err(|_| self.records.damaged("how long events are kept, and who witnesses"))?;
        Ok((care.unwrap_or_default(), self.records.records.expect(key, stored)))
    }

    /// Changes what is cared for, and says so in the log.
    ///
    /// # Errors
    /// It makes no sense, as the error says; others change it at the same moment; or as [`Log::care`].
    pub fn set_care(&self, change: impl Fn(&mut Care), by: &By, now: Timestamp) -> Result<Care, AuditError> {
        for _ in 0..TRIES_MAX {
            let (before, unchanged) = self.stored_care()?;
            let mut after = before.clone();
            change(&mut after);
            after.check()?;
            if after == before {
                return Ok(after);
            }
            let kept = after.kept_seconds.map_or("always".to_owned(), |seconds| format!("{seconds} s"));
            let witnesses: Result<Vec<_>, _> = after.witnesses.iter().map(Witness::verifier).collect();
            let names: Vec<String> = witnesses?.iter().map(|key| key.name().to_owned()).collect();
            let told = by.event(self.tenant(), EventKind::AuditChanged, Outcome::Done, now).detail("kept", kept);
            let told = told.detail("witnesses", names.len().to_string());
            let value = serde_json::to_vec(&after).unwrap_or_default(); // texts and numbers alone
            let put = self.records.records.put(self.records.care_key(), value);
            if self.records.write_if(vec![unchanged], vec![put, told.change()])? {
                return Ok(after);
            }
        }
        Err(AuditError::Contended)
    }

    /// Drops what is older than is wanted, as far as one call goes; nothing when all is kept, or no checkpoint is signed.
    ///
    /// # Errors
    /// As [`Log::drop_before`].
    pub fn drop_old(&self, now: Timestamp) -> Result<Dropped, AuditError> {
        let Some(seconds) = self.care()?.kept_seconds else { return Ok(Dropped::default()) };
        if self.checkpoint()?.is_none() {
            return Ok(Dropped::default());
        }
        let age = i64::try_from(Duration::from_secs(seconds).as_nanos()).unwrap_or(i64::MAX);
        let before = Timestamp(now.0.saturating_sub(age));
        let mut done = Dropped { more: true, ..Dropped::default() };
        for _ in 0..DROP_WRITES_MAX {
            if !done.more {
                break;
            }
            done = self.drop_before(before, &By::default(), now)?;
        }
        if done.dropped > 0 && !done.more {
            tracing::info!(
                tenant = self.tenant(),
                before = time_text(before),
                dropped = done.dropped,
                held = done.held,
                "old events"
            );
        }
        Ok(done)
    }
}
