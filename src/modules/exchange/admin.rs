//! Administration of managed connections: where they lead to, who may use them, and the classes of their scopes. Each change
//! and its event are one write.

use super::ScopeClass;
use super::records::{Connection, Named, ROWS_MAX, Server, Target};
use crate::engine::{Decision, ReadQuery};
use crate::identity::{
    Answer, Change, ClientKind, Env, ErrorCode, EventKind, Held, Outcome, Refusal, Tenant, again, check_id,
    connection_scope_object, connection_scope_of, hash_of, is_scope,
};
use crate::tuple::Subject;

/// Tuples of one page.
const TUPLES_PAGE: usize = 500;

pub(super) fn invalid(rule: &'static str, text: impl Into<String>) -> Refusal {
    Refusal::new(ErrorCode::InvalidRequest, rule, text)
}

pub(super) fn too_many() -> Refusal {
    Refusal::new(ErrorCode::Conflict, "trust.max", format!("there are {ROWS_MAX} of them, which is the most"))
}

/// Whether this may be given a connection or a class: a client that is there, or all of a kind.
fn check_holder(tenant: &Tenant, subject: &str) -> Answer<()> {
    let refuse = |why: &str| {
        let text = format!("`{subject}` {why}; write `agent:ID`, `app:ID`, `agent:*` or `app:*`");
        Err(invalid("connection.holder", text))
    };
    let kind = match subject.split_once(':') {
        Some(("agent" | "app", "*")) => return Ok(()),
        Some(("agent", _)) => ClientKind::Agent,
        Some(("app", _)) => ClientKind::App,
        _ => return refuse("is no client"),
    };
    let id = subject.split_once(':').map_or("", |(_, id)| id);
    match tenant.client(id) {
        Ok(client) if client.kind == kind => Ok(()),
        Ok(_) => refuse("is of the other kind"),
        Err(refusal) if refusal.error == ErrorCode::NotFound => refuse("is not there"),
        Err(refusal) => Err(refusal),
    }
}

fn object_of(connection: &str) -> String {
    format!("connection:{connection}")
}

/// The managed connections of a tenant.
///
/// # Errors
/// The disk failed.
pub fn connections(tenant: &Tenant) -> Answer<Vec<Held<Connection>>> {
    tenant.list(&[], None, ROWS_MAX)
}

/// The connection that leads to a resource of this tenant, or to the authorization server of another domain.
pub(super) fn connection_to(tenant: &Tenant, audience: &str) -> Answer<Option<Held<Connection>>> {
    let found = tenant.get::<Connection>(&[&hash_of(audience)])?;
    Ok(found.filter(|connection| connection.audience() == audience))
}

/// The connection of an id.
///
/// # Errors
/// There is none.
pub fn connection(tenant: &Tenant, id: &str) -> Answer<Held<Connection>> {
    check_id(id)?;
    let at = tenant.held::<Named>(&[id])?.value.at;
    tenant.held(&[&at.ok_or_else(|| Refusal::not_found("managed connection"))?])
}

/// Makes a managed connection, or changes where it leads to.
///
/// # Errors
/// Something is not right; another leads there already; the id was given before, or is that of a connection of another sort.
pub fn put_connection(tenant: &Tenant, wanted: &Connection, env: &Env<'_>) -> Answer<()> {
    check_id(&wanted.id)?;
    wanted.check(tenant.issuer())?;
    if let Target::Resource { resource } = &wanted.target
        && tenant.resource(resource)?.is_none()
    {
        return Err(invalid("connection.resource", format!("there is no resource `{resource}`; make it first")));
    }
    if let Target::Server(Server { clients, .. }) = &wanted.target {
        for client in clients.keys() {
            tenant.client(client).map_err(|_| invalid("trust.clients", format!("there is no client `{client}`")))?;
        }
    }
    again(|| {
        let mut change = tenant.change(env);
        place(tenant, &mut change, wanted, env)?;
        change.relate(&object_of(&wanted.id), "tenant", &tenant.object());
        let event = tenant.event(EventKind::ConnectionCreated, Outcome::Done, env).resource(object_of(&wanted.id));
        change.event(&event.detail("audience", wanted.audience()));
        change.commit()
    })?;
    Ok(())
}

/// Adds to a change where the records of a connection are from now on.
fn place(tenant: &Tenant, change: &mut Change<'_>, wanted: &Connection, env: &Env<'_>) -> Answer<()> {
    let part = hash_of(wanted.audience());
    let there = tenant.get::<Connection>(&[&part])?;
    if there.as_ref().is_some_and(|other| other.id != wanted.id) {
        let text = "another connection leads there already; give its scopes classes instead";
        return Err(Refusal::new(ErrorCode::Conflict, "connection.taken", text));
    }
    let named = tenant.get::<Named>(&[&wanted.id])?;
    let before = match named.as_ref().map(|named| named.at.as_deref()) {
        Some(Some(at)) => Some(tenant.held::<Connection>(&[at])?),
        Some(None) => {
            let text = format!("the id `{}` was given once; an id is never given again", wanted.id);
            return Err(Refusal::new(ErrorCode::Conflict, "connection.id", text));
        }
        None => None,
    };
    let created_at = before.as_ref().map_or(env.seconds(), |held| held.created_at);
    let (connection, name) = (Connection { created_at, ..wanted.clone() }, Named { at: Some(part.clone()) });
    match (&there, &before, &named) {
        (Some(held), ..) => change.replace(held, &connection),
        (None, Some(before), Some(named)) => {
            change.remove(before);
            change.create(&[&part], &connection);
            change.replace(named, &name);
        }
        (None, ..) => {
            if connections(tenant)?.len() >= ROWS_MAX {
                return Err(too_many());
            }
            if tenant.check(&tenant.object(), "tenant", &object_of(&wanted.id))? == Decision::Allow {
                let text = format!("`{}` is a connection of another sort; take another id", wanted.id);
                return Err(Refusal::new(ErrorCode::Conflict, "connection.id", text));
            }
            change.create(&[&part], &connection);
            change.create(&[&wanted.id], &name);
        }
    }
    Ok(())
}

/// Takes a managed connection away: nothing is issued through it from then on. Its id stays taken, so that nobody comes by
/// the classes that were given to it.
///
/// # Errors
/// There is none.
pub fn remove_connection(tenant: &Tenant, id: &str, env: &Env<'_>) -> Answer<()> {
    again(|| {
        let held = connection(tenant, id)?;
        let named = tenant.held::<Named>(&[id])?;
        let mut change = tenant.change(env);
        change.remove(&held);
        change.replace(&named, &Named { at: None });
        change.unrelate(&object_of(id), "tenant", &tenant.object());
        change.event(&tenant.event(EventKind::ConnectionRemoved, Outcome::Done, env).resource(object_of(id)));
        change.commit()
    })?;
    Ok(())
}

/// Lets clients use a connection, or no longer: `agent:ID`, `app:ID`, or `agent:*`.
///
/// # Errors
/// There is no such connection, or the holder is no client.
pub fn allow(tenant: &Tenant, id: &str, holder: &str, allowed: bool, env: &Env<'_>) -> Answer<()> {
    check_holder(tenant, holder)?;
    connection(tenant, id)?;
    let object = object_of(id);
    let event = tenant.event(EventKind::PolicyChanged, Outcome::Done, env).resource(&object).action("allowed");
    let event = event.detail("holder", holder).detail("allowed", if allowed { "yes" } else { "no" });
    again(|| {
        let mut change = tenant.change(env);
        relate(&mut change, (&object, "allowed", holder), allowed);
        change.event(&event);
        change.commit()
    })?;
    Ok(())
}

fn relate(change: &mut Change<'_>, (object, relation, subject): (&str, &str, &str), holds: bool) {
    if holds {
        change.relate(object, relation, subject);
    } else {
        change.unrelate(object, relation, subject);
    }
}

/// Gives a scope of a connection a class for clients; `None` takes all classes away, so that it is never had.
///
/// # Errors
/// There is no such connection, the scope is none, or the holder is no client.
pub fn classify(
    tenant: &Tenant,
    (id, scope): (&str, &str),
    holder: &str,
    class: Option<ScopeClass>,
    env: &Env<'_>,
) -> Answer<()> {
    check_holder(tenant, holder)?;
    connection(tenant, id)?;
    if !is_scope(scope) {
        return Err(invalid("connection.scope", format!("`{scope}` is no scope")));
    }
    let object = connection_scope_object(id, scope);
    let event = tenant.event(EventKind::PolicyChanged, Outcome::Done, env).resource(&object);
    let event = event.action(class.map_or("none", ScopeClass::name)).detail("holder", holder);
    again(|| {
        let mut change = tenant.change(env);
        for (other, relation) in ScopeClass::ALL {
            relate(&mut change, (&object, relation, holder), class == Some(other));
        }
        change.relate(&object, "connection", &object_of(id));
        change.event(&event);
        change.commit()
    })?;
    Ok(())
}

/// A scope of a connection, its class, and for whom.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Classed {
    /// The scope.
    pub scope: String,
    /// Its class.
    pub class: ScopeClass,
    /// For whom: `agent:ID`, `app:ID`, `agent:*` or `app:*`.
    pub holder: String,
}

/// The classes of the scopes of a connection.
///
/// # Errors
/// There is no such connection, or the disk failed.
pub fn classes(tenant: &Tenant, id: &str) -> Answer<Vec<Classed>> {
    connection(tenant, id)?;
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let query = ReadQuery {
            object_type: Some("connection_scope"),
            object_id: None,
            relation: None,
            subject: None,
            page_size: TUPLES_PAGE,
            after,
        };
        let page = tenant.engine().read(tenant.system_store(), &query)?.value;
        for stored in page.tuples {
            let tuple = stored.tuple;
            let Some((connection, scope)) = connection_scope_of(&tuple.object.id) else { continue };
            let Some(class) = ScopeClass::of(&tuple.relation) else { continue };
            if connection == id {
                found.push(Classed { scope, class, holder: tuple.subject.to_string() });
            }
        }
        after = page.next;
        if after.is_none() {
            found.sort();
            return Ok(found);
        }
    }
}

/// Who may use a connection.
///
/// # Errors
/// There is no such connection, or the disk failed.
pub fn holders(tenant: &Tenant, id: &str) -> Answer<Vec<String>> {
    connection(tenant, id)?;
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let query = ReadQuery {
            object_type: Some("connection"),
            object_id: Some(id),
            relation: Some("allowed"),
            subject: None,
            page_size: TUPLES_PAGE,
            after,
        };
        let page = tenant.engine().read(tenant.system_store(), &query)?.value;
        found.extend(page.tuples.iter().map(|stored| Subject::to_string(&stored.tuple.subject)));
        after = page.next;
        if after.is_none() {
            found.sort();
            return Ok(found);
        }
    }
}

/// Lets a client act further with the tokens that another was given for people, or no longer (RFC 8693 4.4).
///
/// # Errors
/// One of them is not there.
pub fn delegate(tenant: &Tenant, client: &str, to: &str, allowed: bool, env: &Env<'_>) -> Answer<()> {
    let (client, to) = (tenant.client(client)?.subject(), tenant.client(to)?.subject());
    if client == to {
        return Err(invalid("delegate.self", "a client may act with its own tokens without being told"));
    }
    let event = tenant.event(EventKind::PolicyChanged, Outcome::Done, env).resource(&client).action("delegate");
    let event = event.detail("holder", &to).detail("allowed", if allowed { "yes" } else { "no" });
    again(|| {
        let mut change = tenant.change(env);
        relate(&mut change, (&client, "delegate", &to), allowed);
        change.event(&event);
        change.commit()
    })?;
    Ok(())
}
