//! Resources and their scopes: what tokens are for.

use super::edits;
use super::{
    Answer, Env, ErrorCode, EventKind, Held, OPENID_SCOPES, Outcome, Refusal, SCOPES_MAX, Seconds, Stored, Tenant,
    again, check_id, check_resource, hash_of, is_scope, scope_object,
};
use crate::engine::{Decision, View};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Most resources of a request.
pub const RESOURCES_MAX: usize = 8;

/// A scope of a resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scope {
    /// Its name, as it stands in requests and tokens.
    pub name: String,
    /// What it lets one do, in the words of a consent page.
    pub description: String,
    /// Whether the person (or who acts alone) needs a tuple for it: `scope:RESOURCE|NAME#allowed`.
    #[serde(default)]
    pub checked: bool,
}

/// Something that tokens are for (RFC 8707).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resource {
    /// Its short name in tuples.
    pub id: String,
    /// Its identifier: an absolute URI without a fragment. It is the `aud` of its tokens.
    pub identifier: String,
    /// What people call it.
    pub name: String,
    /// What can be asked for.
    pub scopes: Vec<Scope>,
    /// When it was made.
    pub created_at: Seconds,
}

impl Stored for Resource {
    const SORT: u8 = b'r';
    const WHAT: &'static str = "resource";
}

impl Resource {
    /// One of its scopes.
    #[must_use]
    pub fn scope(&self, name: &str) -> Option<&Scope> {
        self.scopes.iter().find(|scope| scope.name == name)
    }
}

/// What is said of a resource, each scope by its name.
fn said(resource: &Resource) -> Map<String, Value> {
    let mut said = Map::new();
    said.insert("name".to_owned(), resource.name.as_str().into());
    for scope in &resource.scopes {
        said.insert(format!("scope {}.checked", scope.name), scope.checked.into());
        said.insert(format!("scope {}.description", scope.name), scope.description.as_str().into());
    }
    said
}

impl Tenant {
    /// Makes or changes a resource, whatever it was before.
    ///
    /// # Errors
    /// The identifier is another's, or something is not right.
    pub fn put_resource(&self, resource: &Resource, env: &Env<'_>) -> Answer<()> {
        again(|| self.replace_resource(self.resource(&resource.identifier)?.as_ref(), resource, env))
    }

    /// Makes a resource where there was none, or changes one that must still be as it was read: so that what was judged of it
    /// is what is changed.
    ///
    /// # Errors
    /// As [`Tenant::put_resource`]; or it has changed since it was read ([`Refusal::is_stale`]).
    pub fn replace_resource(&self, before: Option<&Held<Resource>>, resource: &Resource, env: &Env<'_>) -> Answer<()> {
        self.check_whole(before, resource)?;
        let mut change = self.change(env);
        match before {
            Some(held) => change.replace(held, resource),
            None => change.create(&[&hash_of(&resource.identifier)], resource),
        }
        for scope in resource.scopes.iter().filter(|scope| scope.checked) {
            change.relate(&scope_object(&resource.id, &scope.name), "tenant", &self.object());
        }
        let event = self.event(EventKind::AdminChanged, Outcome::Done, env).resource(&resource.identifier);
        let before = before.map(|held| said(held)).unwrap_or_default();
        change.event_of_edits(&event.action("resource.put"), &edits::between(&before, &said(resource)));
        change.commit()?;
        Ok(())
    }

    /// Sees that a resource is as it has to be, and that its id and identifier are no other's.
    fn check_whole(&self, before: Option<&Held<Resource>>, resource: &Resource) -> Answer<()> {
        check_id(&resource.id)?;
        check_resource(&resource.identifier)?;
        let refuse = |text: String| Err(Refusal::new(ErrorCode::InvalidRequest, "resource.scopes", text));
        if resource.scopes.len() > SCOPES_MAX {
            return refuse(format!("a resource has at most {SCOPES_MAX} scopes"));
        }
        for scope in &resource.scopes {
            let twice = resource.scopes.iter().filter(|other| other.name == scope.name).count() > 1;
            if !is_scope(&scope.name) || OPENID_SCOPES.contains(&scope.name.as_str()) || twice {
                return refuse(format!("`{}` cannot be a scope of a resource, or is there twice", scope.name));
            }
        }
        if resource.identifier == self.issuer() {
            return refuse("the issuer is no resource; it has scopes of its own".to_owned());
        }
        let page = self.list::<Resource>(&[], None, super::PAGE_MAX)?;
        let other = |held: &Held<Resource>| (held.id == resource.id) != (held.identifier == resource.identifier);
        if page.iter().any(other) || (before.is_none() && page.len() == super::PAGE_MAX) {
            let text = "there is a resource of this id with another identifier, or the other way round, or too many";
            return Err(Refusal::new(ErrorCode::Conflict, "resource.taken", text));
        }
        Ok(())
    }

    /// A resource, by its identifier.
    ///
    /// # Errors
    /// The disk failed.
    pub fn resource(&self, identifier: &str) -> Answer<Option<Held<Resource>>> {
        self.get(&[&hash_of(identifier)])
    }

    /// All resources; at most a page of them can be made.
    ///
    /// # Errors
    /// The disk failed.
    pub fn resources(&self) -> Answer<Vec<Held<Resource>>> {
        self.list(&[], None, super::PAGE_MAX)
    }

    /// Takes a resource away: no token is issued for it from then on. Those that were live until their end.
    ///
    /// # Errors
    /// There is none.
    pub fn remove_resource(&self, identifier: &str, env: &Env<'_>) -> Answer<()> {
        again(|| self.remove_held_resource(&self.held(&[&hash_of(identifier)])?, env))
    }

    /// The same for one that must still be as it was read.
    ///
    /// # Errors
    /// It has changed since ([`Refusal::is_stale`]).
    pub fn remove_held_resource(&self, held: &Held<Resource>, env: &Env<'_>) -> Answer<()> {
        let mut change = self.change(env);
        change.remove(held);
        self.drop_limit(&mut change, &held.identifier)?;
        let event = self.event(EventKind::AdminChanged, Outcome::Done, env).resource(&held.identifier);
        change.event(&event.action("resource.remove"));
        change.commit()?;
        Ok(())
    }

    /// Those of the scopes that a subject may hold of these resources. A scope that is checked needs a tuple; one that no
    /// resource has, and that is not the issuer's own, may nobody hold.
    ///
    /// # Errors
    /// It could not be decided.
    pub(super) fn holdable(
        &self,
        view: &View,
        subject: &str,
        resources: &[Held<Resource>],
        scopes: &[String],
    ) -> Answer<Vec<String>> {
        let mut may = Vec::new();
        for name in scopes {
            let mut held = OPENID_SCOPES.contains(&name.as_str());
            for resource in resources {
                let Some(scope) = resource.scope(name) else { continue };
                held = !scope.checked
                    || super::check(view, subject, "granted", &scope_object(&resource.id, name))? == Decision::Allow;
                if !held {
                    break;
                }
            }
            if held {
                may.push(name.clone());
            }
        }
        Ok(may)
    }
}
