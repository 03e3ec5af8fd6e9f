//! Resources and their scopes: what tokens are for.

use super::{Answer, Env, ErrorCode, EventKind, Held, Outcome, Refusal, Seconds, Stored, Tenant, hash_of};
use crate::engine::{Decision, View};
use serde::{Deserialize, Serialize};
use url::Url;

/// Scopes that are the issuer's own, whatever the resource: OpenID Connect Core 5.4 and 11.
pub const OPENID_SCOPES: [&str; 6] = ["openid", "profile", "email", "address", "phone", "offline_access"];
/// Most scopes of a resource, and of a request.
pub const SCOPES_MAX: usize = 64;
/// Longest scope.
pub const SCOPE_BYTES_MAX: usize = 128;
/// Longest identifier of a resource.
pub const RESOURCE_BYTES_MAX: usize = 512;
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

/// A scope as a part of an object's id: what may not stand there is escaped.
fn escaped(scope: &str) -> String {
    let mut text = String::new();
    for byte in scope.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._/+@".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

/// What [`escaped`] made a text of; `None` when it made none of it.
fn unescaped(text: &str) -> Option<String> {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let [first, behind @ ..] = rest {
        rest = behind;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (hex, behind) = rest.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok()?);
        rest = behind;
    }
    String::from_utf8(bytes).ok().filter(|scope| escaped(scope) == text)
}

/// The object that stands for a scope in the system store. What may not stand in an object's id is escaped.
#[must_use]
pub fn scope_object(resource: &str, scope: &str) -> String {
    format!("scope:{resource}|{}", escaped(scope))
}

/// The object that stands for a scope of a connection, in the same way. `connection` is the id alone.
#[must_use]
pub fn connection_scope_object(connection: &str, scope: &str) -> String {
    format!("connection_scope:{connection}|{}", escaped(scope))
}

/// The connection and the scope of an id of [`connection_scope_object`]; `None` when it is none.
#[must_use]
pub fn connection_scope_of(id: &str) -> Option<(String, String)> {
    let (connection, scope) = id.split_once('|')?;
    Some((connection.to_owned(), unescaped(scope)?))
}

/// Whether a text is a scope (RFC 6749 3.3).
#[must_use]
pub fn is_scope(text: &str) -> bool {
    let fine = |b: u8| b == 0x21 || (0x23..=0x5b).contains(&b) || (0x5d..=0x7e).contains(&b);
    !text.is_empty() && text.len() <= SCOPE_BYTES_MAX && text.bytes().all(fine)
}

/// The scopes of a parameter: words with blanks between them, each once, in the order given.
///
/// # Errors
/// One is malformed, or there are too many.
pub fn scopes_of(text: &str) -> Answer<Vec<String>> {
    let mut scopes: Vec<String> = Vec::new();
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        if !is_scope(word) {
            return Err(Refusal::new(ErrorCode::InvalidScope, "scope.form", "a scope has characters it may not have"));
        }
        if !scopes.iter().any(|scope| scope == word) {
            scopes.push(word.to_owned());
        }
    }
    if scopes.len() > SCOPES_MAX {
        let text = format!("a request has at most {SCOPES_MAX} scopes");
        return Err(Refusal::new(ErrorCode::InvalidScope, "scope.max", text));
    }
    Ok(scopes)
}

/// Whether a text may identify a resource (RFC 8707 2): an absolute URI without a fragment.
///
/// # Errors
/// It may not.
pub fn check_resource(identifier: &str) -> Answer<()> {
    let form = |uri: &Url| uri.fragment().is_none() && uri.username().is_empty() && uri.password().is_none();
    let ascii = identifier.bytes().all(|b| b.is_ascii_graphic());
    if identifier.len() > RESOURCE_BYTES_MAX || !ascii || !Url::parse(identifier).is_ok_and(|uri| form(&uri)) {
        let text = "a resource is an absolute URI without a fragment, as `https://api.example.com/`";
        return Err(Refusal::new(ErrorCode::InvalidTarget, "resource.form", text));
    }
    Ok(())
}

impl Tenant {
    /// Makes or changes a resource.
    ///
    /// # Errors
    /// The identifier is another's, or something is not right.
    pub fn put_resource(&self, resource: &Resource, env: &Env<'_>) -> Answer<()> {
        super::users::check_id(&resource.id)?;
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
        let part = hash_of(&resource.identifier);
        let before = self.get::<Resource>(&[&part])?;
        let page = self.list::<Resource>(&[], None, super::PAGE_MAX)?;
        let other = |held: &Held<Resource>| (held.id == resource.id) != (held.identifier == resource.identifier);
        if page.iter().any(other) || (before.is_none() && page.len() == super::PAGE_MAX) {
            let text = "there is a resource of this id with another identifier, or the other way round, or too many";
            return Err(Refusal::new(ErrorCode::Conflict, "resource.taken", text));
        }
        let mut change = self.change(env);
        match &before {
            Some(held) => change.replace(held, resource),
            None => change.create(&[&part], resource),
        }
        for scope in resource.scopes.iter().filter(|scope| scope.checked) {
            change.relate(&scope_object(&resource.id, &scope.name), "tenant", &self.object());
        }
        let event = self.event(EventKind::AdminChanged, Outcome::Done, env).resource(&resource.identifier);
        change.event(&event.action("resource.put"));
        change.commit()?;
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
        let held = self.held::<Resource>(&[&hash_of(identifier)])?;
        let mut change = self.change(env);
        change.remove(&held);
        self.drop_limit(&mut change, identifier)?;
        let event = self.event(EventKind::AdminChanged, Outcome::Done, env).resource(identifier);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_in_an_id_is_read_back() {
        let object = connection_scope_object("crm", "https://a.example/x:y#z%|");
        assert_eq!(object, "connection_scope:crm|https%3A//a.example/x%3Ay%23z%25%7C");
        crate::tuple::ObjectRef::parse(&object).unwrap();
        let id = object.strip_prefix("connection_scope:").unwrap();
        assert_eq!(connection_scope_of(id), Some(("crm".to_owned(), "https://a.example/x:y#z%|".to_owned())));
        for bad in ["crm", "crm|a%", "crm|a%3", "crm|a%zz", "crm|a%3a", "crm|a%41", "crm|a:b"] {
            assert_eq!(connection_scope_of(bad), None, "{bad}");
        }
    }
}
