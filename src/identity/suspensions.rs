//! Whom an administrator suspended. The tuple alone decides; this says who may take it away: a directory that lets people in
//! again in its ordinary course knows nothing of why somebody here was stopped.

use super::{Answer, Change, Env, Seconds, Stored, Tenant};
use serde::{Deserialize, Serialize};

/// That an administrator, or a command, suspended a subject.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Suspension {
    at: Seconds,
}

impl Stored for Suspension {
    const SORT: u8 = b'z';
    const WHAT: &'static str = "suspension";
}

impl Tenant {
    /// Whether an administrator suspended a person, whoever else did besides.
    ///
    /// # Errors
    /// The disk failed.
    pub fn is_contained(&self, subject: &str) -> Answer<bool> {
        Ok(self.get::<Suspension>(&[subject])?.is_some())
    }

    /// Adds to a change that an administrator suspends a person, or lets them act again. Of agents the registry knows.
    pub(super) fn contain(&self, change: &mut Change<'_>, subject: &str, suspended: bool, env: &Env<'_>) -> Answer<()> {
        if !subject.starts_with("user:") {
            return Ok(());
        }
        match (suspended, self.get::<Suspension>(&[subject])?) {
            (true, None) => change.create(&[subject], &Suspension { at: env.seconds() }),
            (true, Some(held)) => change.expect(&held),
            (false, Some(held)) => change.remove(&held),
            (false, None) => {}
        }
        Ok(())
    }
}
