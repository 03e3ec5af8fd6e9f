//! Consents: what a person has allowed a client, until they take it back.
//!
//! A grant that was made with a consent names it. A consent that is taken back and given again is another one, so that
//! taking back is one write that voids every grant that rests on it, however many there are.

use super::{
    Answer, Change, Client, ConsentRule, Env, EventKind, Held, OPENID_SCOPES, Outcome, Seconds, Stored, Tenant, again,
};
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
    /// Which scopes, of whatever.
    pub scopes: Vec<String>,
    /// Which resources, by their identifiers.
    pub resources: Vec<String>,
    /// Which scopes of which resource: what was shown together.
    #[serde(default)]
    pub shown: Vec<ShownTogether>,
    /// When it was given.
    pub given_at: Seconds,
    /// When something was added to it.
    pub changed_at: Seconds,
}

impl Stored for Consent {
    const SORT: u8 = b'o';
    const WHAT: &'static str = "consent";
}

/// What a person saw on one page and allowed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShownTogether {
    /// The identifier of a resource; empty for what was asked for no resource.
    pub resource: String,
    /// The scopes.
    pub scopes: Vec<String>,
}

impl Consent {
    /// Whether it covers what is asked for: each scope was allowed for each of the resources that have it, not for another. What
    /// the person themselves is asked for ([`OPENID_SCOPES`]) is of no resource.
    #[must_use]
    pub fn covers(&self, wanted: &[ShownTogether]) -> bool {
        wanted.iter().all(|wanted| {
            let shown = self.shown.iter().find(|shown| shown.resource == wanted.resource);
            let has = |scope: &String| match OPENID_SCOPES.contains(&scope.as_str()) {
                true => self.scopes.contains(scope),
                false => shown.is_some_and(|shown| shown.scopes.contains(scope)),
            };
            (shown.is_some() || wanted.resource.is_empty()) && wanted.scopes.iter().all(has)
        })
    }

    /// Adds what was shown together, and allowed.
    fn add(&mut self, allowed: Vec<ShownTogether>) {
        let add = |list: &mut Vec<String>, more: &[String]| {
            let fresh: Vec<String> = more.iter().filter(|item| !list.contains(item)).cloned().collect();
            list.extend(fresh);
        };
        for more in allowed {
            add(&mut self.scopes, &more.scopes);
            if !more.resource.is_empty() {
                add(&mut self.resources, std::slice::from_ref(&more.resource));
            }
            match self.shown.iter_mut().find(|shown| shown.resource == more.resource) {
                Some(shown) => add(&mut shown.scopes, &more.scopes),
                None => self.shown.push(more),
            }
        }
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

    /// What of these scopes each of these resources has, which is what the page of consent shows with it; without a resource, all.
    pub(super) fn by_resource(&self, scopes: &[String], resources: &[String]) -> Answer<Vec<ShownTogether>> {
        if resources.is_empty() {
            return Ok(vec![ShownTogether { resource: String::new(), scopes: scopes.to_vec() }]);
        }
        let of = |identifier: &String| {
            let resource = self.resource(identifier)?;
            let of_person = |scope: &str| OPENID_SCOPES.contains(&scope);
            // Of one that is unknown here nothing is known that it lacks.
            let has = |scope: &&String| of_person(scope) || resource.as_ref().is_none_or(|r| r.scope(scope).is_some());
            Ok(ShownTogether { resource: identifier.clone(), scopes: scopes.iter().filter(has).cloned().collect() })
        };
        resources.iter().map(of).collect()
    }

    /// What of some scopes a client has of a person for these resources without asking them now: all, where a managed connection
    /// governs; else what they have allowed it for good, with the consent that says so.
    ///
    /// # Errors
    /// The disk failed.
    pub fn standing(
        &self,
        user: &str,
        client: &Client,
        (scopes, resources): (&[String], &[String]),
    ) -> Answer<(Vec<String>, Option<Held<Consent>>)> {
        if client.consent == ConsentRule::Managed {
            return Ok((scopes.to_vec(), None));
        }
        let Some(consent) = self.consent(user, &client.id)? else { return Ok((Vec::new(), None)) };
        let mut standing = Vec::with_capacity(scopes.len());
        for scope in scopes {
            if consent.covers(&self.by_resource(std::slice::from_ref(scope), resources)?) {
                standing.push(scope.clone());
            }
        }
        Ok((standing, Some(consent)))
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
                shown: Vec::new(),
                given_at: now,
                changed_at: now,
            },
            |held| held.value.clone(),
        );
        consent.add(self.by_resource(scopes, resources)?);
        match &before {
            Some(held) if held.value == consent => change.expect(held),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(list: &[&str]) -> Vec<String> {
        list.iter().map(|text| (*text).to_owned()).collect()
    }

    fn together(scopes: &[&str], resources: &[&str]) -> Vec<ShownTogether> {
        let of = |resource: &&str| ShownTogether { resource: (*resource).to_owned(), scopes: strings(scopes) };
        resources.iter().map(of).collect()
    }

    #[test]
    fn what_was_shown_for_one_resource_is_not_allowed_for_another() {
        let mut consent: Consent = serde_json::from_value(serde_json::json!({
            "id": "c", "user": "sarah", "client": "app", "scopes": ["read"], "resources": ["a"],
            "given_at": 1, "changed_at": 1
        }))
        .unwrap();
        let covers =
            |consent: &Consent, scopes: &[&str], resources: &[&str]| consent.covers(&together(scopes, resources));
        assert!(!covers(&consent, &["read"], &["a"]), "a record that says not what was together is asked for again");
        let mut add = |scopes: &[&str], resources: &[&str]| {
            consent.add(together(scopes, resources));
            consent.clone()
        };
        let first = add(&["openid", "read", "write"], &["a"]);
        assert!(covers(&first, &["read", "write"], &["a"]) && covers(&first, &["openid"], &[""]));
        assert!(!covers(&first, &["read"], &["b"]) && !covers(&first, &["openid"], &["b"]));
        assert!(!covers(&first, &["read"], &[""]) && !covers(&first, &["read"], &["a", "b"]));
        let second = add(&["read"], &["b"]);
        assert!(covers(&second, &["openid", "read"], &["a", "b"]) && covers(&second, &["read"], &["b"]));
        assert!(!covers(&second, &["write"], &["b"]) && !covers(&second, &["write"], &["a", "b"]));
        let third = add(&["write"], &["b"]);
        assert!(covers(&third, &["read", "write"], &["a", "b"]));
    }
}
