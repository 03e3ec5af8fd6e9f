//! Invitations: a link, good once and for a while, by which a person comes to their account without being able to log in
//! yet, to add the first credential.

use super::{Answer, Env, ErrorCode, EventKind, Held, Outcome, Refusal, Seconds, Stored, Tenant, User, hash_of};
use serde::{Deserialize, Serialize};

/// The longest that an invitation is good.
pub const INVITATION_LIFE_MAX_S: Seconds = 7 * 24 * 3_600;

/// An invitation, under the hash of its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Invitation {
    user: String,
    expires_at: Seconds,
    used_at: Option<Seconds>,
    epoch: u32,
}

impl Stored for Invitation {
    const SORT: u8 = b'v';
    const WHAT: &'static str = "invitation";
}

impl Tenant {
    /// Invites a user. Answers the secret of the link, which cannot be read again.
    ///
    /// # Errors
    /// There is no such user.
    pub fn invite(&self, user: &str, life_s: Seconds, env: &Env<'_>) -> Answer<String> {
        let held = self.user(user)?;
        let secret = env.secret();
        let expires_at = env.seconds().saturating_add(life_s.min(INVITATION_LIFE_MAX_S));
        let invitation = Invitation { user: held.id.clone(), expires_at, used_at: None, epoch: held.epoch };
        let mut change = self.change(env);
        change.create(&[&hash_of(&secret)], &invitation);
        change.expires::<Invitation>(&[&hash_of(&secret)], expires_at, None);
        let event = self.event(EventKind::UserChanged, Outcome::Done, env).user(held.subject());
        change.event(&event.action("invite"));
        change.commit()?;
        Ok(secret)
    }

    fn open_invitation(&self, secret: &str, env: &Env<'_>) -> Answer<(Held<Invitation>, Held<User>)> {
        let refuse = || {
            let text = "this invitation is unknown, used or too old; ask for another";
            Refusal::new(ErrorCode::NotFound, "invitation.over", text)
        };
        let held = self.get::<Invitation>(&[&hash_of(secret)])?.ok_or_else(refuse)?;
        if held.used_at.is_some() || env.seconds() >= held.expires_at {
            return Err(refuse());
        }
        let user =
            self.get::<User>(&[&held.user])?.filter(|user| user.deleted_at.is_none() && user.epoch == held.epoch);
        Ok((held, user.ok_or_else(refuse)?))
    }

    /// Whom an invitation is for, without using it.
    ///
    /// # Errors
    /// It is unknown, used or too old, or the user was signed out everywhere since.
    pub fn invited(&self, secret: &str, env: &Env<'_>) -> Answer<Held<User>> {
        self.open_invitation(secret, env).map(|(_, user)| user)
    }

    /// Uses an invitation: from now on it is good for nothing. Answers whom it is for.
    ///
    /// # Errors
    /// As [`Tenant::invited`]; or somebody used it in this moment.
    pub fn use_invitation(&self, secret: &str, env: &Env<'_>) -> Answer<Held<User>> {
        let (held, user) = self.open_invitation(secret, env)?;
        let mut change = self.change(env);
        change.replace(&held, &Invitation { used_at: Some(env.seconds()), ..held.value.clone() });
        let event = self.event(EventKind::UserChanged, Outcome::Done, env).user(user.subject());
        change.event(&event.action("invite.used"));
        change.commit()?;
        Ok(user)
    }
}
