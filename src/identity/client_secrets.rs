//! Secrets of clients: made, one after another, and taken away.

use super::{
    Answer, Change, Client, ClientEdit, Env, EventKind, Held, Outcome, Refusal, Seconds, Tenant, again, hash_of,
};
use serde::{Deserialize, Serialize};

/// Most secrets that a client has at a time.
pub const SECRETS_MAX: usize = 4;

/// A secret of a client. The secret itself is shown once and not kept: it has 256 random bits, so that its hash tells
/// nobody what it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientSecret {
    /// Its id.
    pub id: String,
    /// The hash.
    pub(super) hash: String,
    /// When it was made.
    pub created_at: Seconds,
    /// Until when it is good.
    pub expires_at: Option<Seconds>,
}

impl Client {
    /// The same with a secret that is good for ever.
    pub(super) fn with_secret(&self, secret: &str, env: &Env<'_>) -> Client {
        let made = ClientSecret { id: env.id(), hash: hash_of(secret), created_at: env.seconds(), expires_at: None };
        Client { secrets: vec![made], ..self.clone() }
    }
}

impl Tenant {
    /// Makes a secret of a client, and answers its id and the secret, which cannot be read again.
    ///
    /// # Errors
    /// There is no such client, or it has [`SECRETS_MAX`] that are good.
    pub fn add_secret(&self, client: &str, life_s: Option<Seconds>, env: &Env<'_>) -> Answer<(String, String)> {
        again(|| {
            let held = self.client(client)?;
            let mut change = self.change(env);
            let made = self.push_secret(&mut change, &held, (life_s, None), env)?;
            change.commit()?;
            Ok(made)
        })
    }

    /// Adds a new secret of a client to a change: how long it is good, and how long those before it still are. Answers its
    /// id and the secret.
    ///
    /// # Errors
    /// The client has [`SECRETS_MAX`] that are good.
    pub fn push_secret(
        &self,
        change: &mut Change<'_>,
        held: &Held<Client>,
        (life_s, overlap_s): (Option<Seconds>, Option<Seconds>),
        env: &Env<'_>,
    ) -> Answer<(String, String)> {
        let (id, secret, now) = (env.id(), env.secret(), env.seconds());
        let mut changed = held.value.clone();
        if let Some(overlap) = overlap_s {
            let end = now.saturating_add(overlap);
            changed.secrets.iter_mut().for_each(|old| old.expires_at = Some(old.expires_at.unwrap_or(end).min(end)));
        }
        changed.secrets.retain(|old| old.expires_at.is_none_or(|end| end > now));
        changed.secrets.push(ClientSecret {
            id: id.clone(),
            hash: hash_of(&secret),
            created_at: now,
            expires_at: life_s.map(|life| now.saturating_add(life)),
        });
        changed.check()?;
        self.note_client_used(change, held)?;
        change.replace(held, &changed);
        let event = self.event(EventKind::ClientChanged, Outcome::Done, env).client(held.subject());
        change.edits_client([ClientEdit::of_secret(held, None, Some(&id))]);
        change.event(&event.action("secret.add").detail("secret", &id));
        Ok((id, secret))
    }

    /// Takes a secret away.
    ///
    /// # Errors
    /// It is not there.
    pub fn remove_secret(&self, client: &str, id: &str, env: &Env<'_>) -> Answer<()> {
        again(|| {
            let held = self.client(client)?;
            let mut change = self.change(env);
            self.pull_secret(&mut change, &held, id, env)?;
            change.commit()
        })?;
        Ok(())
    }

    /// Adds to a change that a secret is taken away.
    ///
    /// # Errors
    /// It is not there.
    pub fn pull_secret(&self, change: &mut Change<'_>, held: &Held<Client>, id: &str, env: &Env<'_>) -> Answer<()> {
        let mut changed = held.value.clone();
        changed.secrets.retain(|secret| secret.id != id);
        if changed.secrets.len() == held.secrets.len() {
            return Err(Refusal::not_found("secret"));
        }
        change.replace(held, &changed);
        let event = self.event(EventKind::ClientChanged, Outcome::Done, env).client(held.subject());
        change.edits_client([ClientEdit::of_secret(held, Some(id), None)]);
        change.event(&event.action("secret.remove").detail("secret", id));
        Ok(())
    }
}
