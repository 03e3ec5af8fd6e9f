//! Consents: what a person has allowed a client, until they take it back.
//!
//! A grant that was made with a consent names it. A consent that is taken back and given again is another one, so that
//! taking back is one write that voids every grant that rests on it, however many there are.

use super::{Answer, Change, Client, Env, EventKind, Held, Outcome, Seconds, Stored, Tenant, again};
use serde::{Deserialize, Serialize};

/// Consents of a user that are listed at a time.
pub const CONSENTS_PAGE_MAX: usize = 100;

/// What a user has allowed a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Consent {
    /// Its id; another one each time it is given anew.
    pub id: String,
    /// Who.
    pub user: String,
    /// Whom.
    pub client: String,
    /// Which scopes.
    pub scopes: Vec<String>,
    /// Of which resources, by their identifiers.
    pub resources: Vec<String>,
    /// When it was given.
    pub given_at: Seconds,
    /// When something was added to it.
    pub changed_at: Seconds,
}

impl Stored for Consent {
    const SORT: u8 = b'o';
    const WHAT: &'static str = "consent";
}

impl Consent {
    /// Whether it covers what is asked for.
    #[must_use]
    pub fn covers(&self, scopes: &[String], resources: &[String]) -> bool {
        scopes.iter().all(|scope| self.scopes.contains(scope)) && resources.iter().all(|r| self.resources.contains(r))
    }
}

impl Tenant {
    /// What a user has allowed a client, if anything.
    ///
    /// # Errors
    /// The disk failed.
    pub fn consent(&self, user: &str, client: &str) -> Answer<Option<Held<Consent>>> {
        self.get(&[user, client])
    }

    /// What a user has allowed, by client, behind the client `after`.
    ///
    /// # Errors
    /// The disk failed.
    pub fn consents(&self, user: &str, after: Option<&str>) -> Answer<Vec<Held<Consent>>> {
        self.list(&[user], after, CONSENTS_PAGE_MAX)
    }

    /// Adds a consent to a change: to what was allowed before, or as the first. Answers its id.
    pub(super) fn give_consent(
        &self,
        change: &mut Change<'_>,
        user: &str,
        client: &Client,
        (scopes, resources): (&[String], &[String]),
        env: &Env<'_>,
    ) -> Answer<String> {
        let before = self.consent(user, &client.id)?;
        let now = env.seconds();
        let mut consent = before.as_ref().map_or_else(
            || Consent {
                id: env.id(),
                user: user.to_owned(),
                client: client.id.clone(),
                scopes: Vec::new(),
                resources: Vec::new(),
                given_at: now,
                changed_at: now,
            },
            |held| held.value.clone(),
        );
        let add = |list: &mut Vec<String>, more: &[String]| {
            let fresh: Vec<String> = more.iter().filter(|item| !list.contains(item)).cloned().collect();
            list.extend(fresh);
        };
        add(&mut consent.scopes, scopes);
        add(&mut consent.resources, resources);
        match &before {
            Some(held) if held.scopes == consent.scopes && held.resources == consent.resources => change.expect(held),
            Some(held) => change.replace(held, &Consent { changed_at: now, ..consent.clone() }),
            None => change.create(&[user, &client.id], &consent),
        }
        Ok(consent.id)
    }

    /// Takes back what a user has allowed a client. All that was made with it is void from then on. That there is nothing
    /// to take back is no error.
    ///
    /// # Errors
    /// The disk failed.
    pub fn withdraw_consent(&self, user: &str, client: &str, env: &Env<'_>) -> Answer<()> {
        again(|| {
            let Some(held) = self.consent(user, client)? else { return Ok(()) };
            let mut change = self.change(env);
            change.remove(&held);
            let event = self.event(EventKind::GrantRevoked, Outcome::Done, env).user(format!("user:{user}"));
            let event =
                event.client(self.client_subject(client)?).reason("consent.withdrawn").detail("consent", &held.id);
            change.event(&event.action(held.scopes.join(" ")));
            change.commit()?;
            Ok(())
        })
    }
}
