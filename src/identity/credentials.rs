//! What users can show to prove who they are: passwords, one-time codes, passkeys, identities at other providers.

use super::{
    Answer, Change, Env, ErrorCode, EventKind, Held, IDENTITY, Outcome, Refusal, Seconds, Stored, Tenant, User, again,
    decode, encode, hash_of, record_key,
};
use crate::secrets::{self, Hierarchy};
use serde::{Deserialize, Serialize};

/// Most credentials of a user.
pub const CREDENTIALS_MAX: usize = 32;
/// Largest credential.
pub const CREDENTIAL_BYTES_MAX: usize = 16 << 10;
/// The index of identities at other providers.
const UPSTREAM: u8 = b'p';

/// A kind of credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CredentialKind {
    /// The hash of a password.
    Password,
    /// The secret of time-based one-time passwords (RFC 6238), and the last step that was used.
    Totp,
    /// A passkey (WebAuthn).
    Passkey,
    /// An identity at another OpenID provider.
    Upstream,
    /// One-time codes for who has lost the rest.
    Recovery,
}

impl CredentialKind {
    /// Its name in events.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            CredentialKind::Password => "password",
            CredentialKind::Totp => "totp",
            CredentialKind::Passkey => "passkey",
            CredentialKind::Upstream => "upstream",
            CredentialKind::Recovery => "recovery",
        }
    }
}

/// What became of credentials that are sealed anew.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resealed {
    /// How many were.
    pub count: usize,
    /// Those that do not open.
    pub unopened: Vec<String>,
    /// Where to go on; none when all have been looked at.
    pub next: Option<String>,
}

/// Something a user can show. What it holds is opaque here, and sealed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credential {
    /// Its id.
    pub id: String,
    /// Whose it is.
    pub user: String,
    /// Of which kind.
    pub kind: CredentialKind,
    /// What the user calls it.
    pub label: String,
    /// When it was added.
    pub created_at: Seconds,
    /// When it was last used.
    pub used_at: Option<Seconds>,
    /// Its data, sealed at its place.
    sealed: String,
}

impl Stored for Credential {
    const SORT: u8 = b'c';
    const WHAT: &'static str = "credential";
}

/// Who somebody is at another OpenID provider: the data of a credential of [`CredentialKind::Upstream`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpstreamIdentity {
    /// The provider's issuer.
    pub issuer: String,
    /// The `sub` there.
    pub subject: String,
    /// What the provider was named by here when the account was linked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
}

impl UpstreamIdentity {
    pub(super) fn read(data: &[u8]) -> Answer<UpstreamIdentity> {
        serde_json::from_slice(data).map_err(|_| invalid("credential.form", "write issuer and subject as JSON"))
    }

    fn part(&self) -> String {
        upstream_part(&self.issuer, &self.subject)
    }
}

/// Whose an identity at another provider is.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct UpstreamOf {
    id: String,
}

impl Stored for UpstreamOf {
    const SORT: u8 = UPSTREAM;
    const WHAT: &'static str = "identity at another provider";
}

fn upstream_part(issuer: &str, subject: &str) -> String {
    hash_of(&format!("{issuer}\0{subject}"))
}

fn invalid(rule: &'static str, text: impl Into<String>) -> Refusal {
    Refusal::new(ErrorCode::InvalidRequest, rule, text)
}

impl Tenant {
    /// Adds a credential. For [`CredentialKind::Upstream`] the data is the JSON of [`UpstreamIdentity`], by which
    /// [`Tenant::user_by_upstream`] finds the user.
    ///
    /// # Errors
    /// There is no such user, they have too many, the data is too large, or the upstream identity is somebody's.
    pub fn add_credential(
        &self,
        user: &str,
        kind: CredentialKind,
        label: &str,
        data: &[u8],
        env: &Env<'_>,
    ) -> Answer<Credential> {
        let held = self.user(user)?;
        if self.credentials(user)?.len() >= CREDENTIALS_MAX {
            return Err(invalid("credential.max", format!("a user has at most {CREDENTIALS_MAX} ways to log in")));
        }
        let id = env.id();
        let credential = Credential {
            sealed: self.seal_credential(user, &id, data, env)?,
            id,
            user: user.to_owned(),
            kind,
            label: label.chars().filter(|c| !c.is_control()).take(64).collect(),
            created_at: env.seconds(),
            used_at: None,
        };
        let mut change = self.change(env);
        change.expect(&held);
        if kind == CredentialKind::Upstream {
            let part = UpstreamIdentity::read(data)?.part();
            if self.get::<UpstreamOf>(&[&part])?.is_some() {
                let text = "this identity is linked with an account already";
                return Err(Refusal::new(ErrorCode::Conflict, "credential.linked", text));
            }
            change.create(&[&part], &UpstreamOf { id: user.to_owned() });
        }
        change.create(&[user, &credential.id], &credential);
        let event = self.event(EventKind::CredentialAdded, Outcome::Done, env).user(held.subject());
        change.event(&event.resource(&credential.id).detail("kind", kind.name()));
        change.commit()?;
        Ok(credential)
    }

    fn seal_credential(&self, user: &str, id: &str, data: &[u8], env: &Env<'_>) -> Answer<String> {
        if data.len() > CREDENTIAL_BYTES_MAX {
            return Err(invalid("credential.size", "the credential is too large"));
        }
        let place = record_key(self.number(), Credential::SORT, &[user, id]);
        let sealed = secrets::seal(self.identity().ring(), Hierarchy::System, &place, data, &env.bytes());
        sealed.map(|bytes| encode(&bytes)).map_err(|e| Refusal::failed("credential.seal", e.to_string()))
    }

    /// All credentials of a user, in the order in which they were added.
    ///
    /// # Errors
    /// The disk failed.
    pub fn credentials(&self, user: &str) -> Answer<Vec<Held<Credential>>> {
        self.list(&[user], None, CREDENTIALS_MAX + 1)
    }

    /// What a credential holds.
    ///
    /// # Errors
    /// The key ring cannot open it.
    pub fn open_credential(&self, credential: &Credential) -> Answer<impl std::ops::Deref<Target = Vec<u8>> + use<>> {
        let place = record_key(self.number(), Credential::SORT, &[&credential.user, &credential.id]);
        let bytes = decode(&credential.sealed).unwrap_or_default();
        secrets::open(self.identity().ring(), Hierarchy::System, &place, &bytes)
            .map_err(|error| Refusal::failed("credential.open", error.to_string()))
    }

    /// Seals with the newest key of the ring what an older one sealed, for at most `max` credentials of all users behind
    /// `after`, which is where the call before stopped.
    ///
    /// # Errors
    /// The disk failed. That one does not open is none.
    pub fn reseal_credentials(&self, after: Option<&str>, max: usize, env: &Env<'_>) -> Answer<Resealed> {
        let page = self.list::<Credential>(&[], after, max)?;
        let place = |held: &Held<Credential>| format!("{}\0{}", held.user, held.id);
        let mut resealed =
            Resealed { next: page.last().filter(|_| page.len() == max).map(place), ..Resealed::default() };
        let ring = self.identity().ring();
        let newest = |sealed: &str| decode(sealed).is_some_and(|bytes| secrets::is_newest(ring, &bytes));
        for held in page.iter().filter(|held| !newest(&held.sealed)) {
            let Ok(plain) = self.open_credential(held) else {
                resealed.unopened.push(format!("{} of user:{}", held.id, held.user));
                continue;
            };
            let sealed = self.seal_credential(&held.user, &held.id, &plain, env)?;
            let mut change = self.change(env);
            change.replace(held, &Credential { sealed, ..held.value.clone() });
            match change.commit() {
                Ok(_) => resealed.count += 1,
                // Who used it meanwhile sealed it with the newest key.
                Err(refusal) if refusal.is_stale() => {}
                Err(refusal) => return Err(refusal),
            }
        }
        Ok(resealed)
    }

    /// Notes that a credential was used, with new data when using it changes it (a counter, the last step of a one-time
    /// password). It rests on what was read, so that nothing that may be used once is used twice.
    ///
    /// # Errors
    /// [`Refusal::is_stale`] when it was used or changed meanwhile.
    pub fn use_credential(&self, held: &Held<Credential>, data: Option<&[u8]>, env: &Env<'_>) -> Answer<()> {
        let mut credential = held.value.clone();
        credential.used_at = Some(env.seconds());
        if let Some(data) = data {
            credential.sealed = self.seal_credential(&credential.user, &credential.id, data, env)?;
        }
        let mut change = self.change(env);
        change.replace(held, &credential);
        change.commit()?;
        Ok(())
    }

    /// Notes that a user has just shown who they are at another provider.
    ///
    /// # Errors
    /// The disk failed, or a credential cannot be opened. That it was changed meanwhile is none.
    pub fn use_upstream(&self, user: &str, issuer: &str, subject: &str, env: &Env<'_>) -> Answer<()> {
        for held in self.credentials(user)?.iter().filter(|held| held.kind == CredentialKind::Upstream) {
            let identity = UpstreamIdentity::read(&self.open_credential(held)?)?;
            if (identity.issuer.as_str(), identity.subject.as_str()) == (issuer, subject) {
                return match self.use_credential(held, None, env) {
                    Err(refusal) if !refusal.is_stale() => Err(refusal),
                    _ => Ok(()),
                };
            }
        }
        Ok(())
    }

    pub(super) fn drop_credential(&self, change: &mut Change<'_>, credential: &Held<Credential>) -> Answer<()> {
        if credential.kind == CredentialKind::Upstream {
            let identity = UpstreamIdentity::read(&self.open_credential(credential)?)?;
            change.unmark(IDENTITY, UPSTREAM, &[&identity.part()]);
        }
        change.remove(credential);
        Ok(())
    }

    /// Takes a credential away.
    ///
    /// # Errors
    /// It is not there.
    pub fn remove_credential(&self, user: &str, id: &str, env: &Env<'_>) -> Answer<()> {
        again(|| {
            let credential = self.held::<Credential>(&[user, id])?;
            let mut change = self.change(env);
            self.drop_credential(&mut change, &credential)?;
            let event = self.event(EventKind::CredentialRemoved, Outcome::Done, env).user(format!("user:{user}"));
            change.event(&event.resource(id).detail("kind", credential.kind.name()));
            change.commit()
        })?;
        Ok(())
    }

    /// The user who is linked with an identity at another provider.
    ///
    /// # Errors
    /// The disk failed.
    pub fn user_by_upstream(&self, issuer: &str, subject: &str) -> Answer<Option<Held<User>>> {
        match self.get::<UpstreamOf>(&[&upstream_part(issuer, subject)])? {
            Some(owner) => Ok(Some(self.user(&owner.id)?)),
            None => Ok(None),
        }
    }
}
