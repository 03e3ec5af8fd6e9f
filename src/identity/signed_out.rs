//! That all is over that was ever handed out for a person, for those who tell it to other systems. It is noted in the write
//! that ends it, and lies in the database until somebody has taken it on, or for a day.

use super::{Answer, Change, Env, Held, Seconds, Stored, Tenant, User};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How many are answered at a time.
const TAKEN_MAX: usize = 100;
/// How long one is remembered while nobody takes it on.
const REMEMBERED_S: Seconds = 24 * 3_600;

/// Why all that a person had is over, where another system said so. Of what began here, nothing is said.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cause<'a> {
    /// What the other system names it by.
    pub id: Option<&'a str>,
    /// The issuer that said so.
    pub from: Option<&'a str>,
}

/// See the file's head.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedOut {
    /// Its id.
    pub id: String,
    /// The person.
    pub user: String,
    /// Their address, when it was known to be theirs (`email_verified`).
    pub email: Option<String>,
    /// When it was.
    pub at: Seconds,
    /// A short word of why.
    pub reason: String,
    /// What it is named by from system to system.
    pub cause: String,
    /// The issuer that wanted it, when it was one.
    pub from: Option<String>,
}

impl Stored for SignedOut {
    const SORT: u8 = b'Q';
    const WHAT: &'static str = "person who was signed out";
}

fn verified_email(user: &User) -> Option<String> {
    let verified = user.claims.get("email_verified") == Some(&Value::Bool(true));
    user.claims.get("email").and_then(Value::as_str).filter(|_| verified).map(str::to_owned)
}

impl Tenant {
    /// Adds to the change that ends all that a person has that others may be told of it. `user` is what they were before.
    pub(super) fn note_signed_out(
        &self,
        change: &mut Change<'_>,
        user: &User,
        (reason, cause): (&str, Cause<'_>),
        env: &Env<'_>,
    ) {
        let id = env.id();
        let noted = SignedOut {
            id: id.clone(),
            user: user.id.clone(),
            email: verified_email(user),
            at: env.seconds(),
            reason: reason.to_owned(),
            cause: cause.id.map_or_else(|| env.secret(), str::to_owned),
            from: cause.from.map(str::to_owned),
        };
        change.create(&[&id], &noted);
        change.expires::<SignedOut>(&[&id], env.seconds().saturating_add(REMEMBERED_S), None);
    }

    /// People who were signed out everywhere and of whom nobody was told yet: the first hundred. Whoever tells of one removes it
    /// with what it writes.
    ///
    /// # Errors
    /// The disk failed.
    pub fn signed_out(&self) -> Answer<Vec<Held<SignedOut>>> {
        self.list(&[], None, TAKEN_MAX)
    }
}
