//! People: a user of the tenant as a SCIM resource, and a SCIM resource as a user, a manager and a suspension.

use super::groups::{self, groups_of};
use super::records::{ATTRIBUTES_BYTES_MAX, PERSON_BY_EXTERNAL, Person, SCIM, external_part};
use super::schema::Kind;
use super::shape::Wanted;
use super::{Answer, Fault};
use crate::engine::{Consistency, ReadQuery, View};
use crate::identity::{Change, Env, Event, EventKind, Held, ID_BYTES_MAX, Leaving, Outcome, Tenant, User, check};
use crate::tuple::{ObjectRef, SubjectRef, Tuple};
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Map, Value, json};

/// Tuples that one write takes away when a person is deleted; those before go in writes of their own.
const TUPLES_PER_WRITE_MAX: usize = 500;
/// Most managers of a person that are looked at: the commands can give several.
const MANAGERS_MAX: usize = 16;
/// The reason in the audit log for which sessions end.
const REASON: &str = "scim";

/// A person as they are.
pub(super) struct Loaded {
    pub(super) user: Held<User>,
    pub(super) person: Option<Held<Person>>,
}

/// A time as SCIM writes it.
pub(super) fn time(seconds: u64) -> String {
    let at = DateTime::<Utc>::from_timestamp(i64::try_from(seconds).unwrap_or(i64::MAX), 0).unwrap_or_default();
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// Where a resource is.
pub(super) fn location(tenant: &Tenant, kind: Kind, id: &str) -> String {
    tenant.url(&format!("/scim/v2{}/{id}", kind.endpoint()))
}

/// The tuples that a query finds: one page.
pub(super) fn tuples(tenant: &Tenant, query: &ReadQuery<'_>) -> Answer<Vec<Tuple>> {
    let page = tenant.engine().read(tenant.system_store(), query)?.value;
    Ok(page.tuples.into_iter().map(|stored| stored.tuple).collect())
}

/// Whether a text can be an id in a key or a tuple; what cannot names nobody.
pub(super) fn is_id(id: &str) -> bool {
    !id.is_empty() && id.len() <= ID_BYTES_MAX && crate::identity::check_id(id).is_ok()
}

/// A person, if there is one.
pub(super) fn load(tenant: &Tenant, id: &str) -> Answer<Loaded> {
    let none = || Fault::missing("user", id);
    if !is_id(id) {
        return Err(none());
    }
    let user = tenant.user(id).map_err(|refusal| {
        if refusal.error == crate::identity::ErrorCode::NotFound { none() } else { refusal.into() }
    })?;
    Ok(Loaded { person: tenant.get::<Person>(&[id])?, user })
}

/// Their managers.
fn managers(tenant: &Tenant, id: &str) -> Answer<Vec<String>> {
    let query = ReadQuery {
        object_type: Some("user"),
        object_id: Some(id),
        relation: Some("manager"),
        page_size: MANAGERS_MAX,
        ..ReadQuery::default()
    };
    let found = tuples(tenant, &query)?;
    Ok(found.iter().filter_map(|tuple| tuple.subject.to_string().strip_prefix("user:").map(str::to_owned)).collect())
}

/// What a client may write of a person, as it is now.
pub(super) fn current(tenant: &Tenant, view: &View, loaded: &Loaded) -> Answer<Wanted> {
    let user = &loaded.user;
    let mut wanted = match &loaded.person {
        Some(person) => person.attributes.clone(),
        None => from_claims(&user.claims),
    };
    let name = user.logins.first().unwrap_or(&user.id);
    wanted.insert("userName".to_owned(), name.as_str().into());
    let active = check(view, &user.subject(), "active", &tenant.object())? == crate::engine::Decision::Allow;
    wanted.insert("active".to_owned(), active.into());
    if let Some(external) = loaded.person.as_ref().and_then(|person| person.external_id.as_ref()) {
        wanted.insert("externalId".to_owned(), external.as_str().into());
    }
    if let (Some(manager), Some(schema)) = (managers(tenant, &user.id)?.first(), Kind::User.extension()) {
        let manager = json!({"value": manager, "$ref": location(tenant, Kind::User, manager)});
        let place = wanted.entry(schema.urn).or_insert_with(|| json!({}));
        place.as_object_mut().map(|place| place.insert("manager".to_owned(), manager));
    }
    Ok(wanted)
}

/// A person as a resource, without the groups: those are added by [`with_groups`], and are no part of the version.
pub(super) fn resource(tenant: &Tenant, view: &View, loaded: &Loaded) -> Answer<Value> {
    let user = &loaded.user;
    let wanted = current(tenant, view, loaded)?;
    let mut schemas = vec![Kind::User.schema().urn];
    let mut out = Map::from_iter([("schemas".to_owned(), json!([])), ("id".to_owned(), user.id.as_str().into())]);
    out.extend(wanted);
    if let Some(extension) = Kind::User.extension()
        && let Some(place) = out.get_mut(extension.urn)
    {
        schemas.push(extension.urn);
        let manager = place.get_mut("manager").and_then(Value::as_object_mut);
        if let Some(manager) = manager
            && let Some(id) = manager.get("value").and_then(Value::as_str)
            && let Ok(held) = tenant.user(id)
        {
            manager.insert("displayName".to_owned(), held.display_name().into());
        }
    }
    out.insert("schemas".to_owned(), json!(schemas));
    let changed_at = loaded.person.as_ref().map_or(user.created_at, |person| person.changed_at);
    let meta = json!({
        "resourceType": "User", "created": time(user.created_at), "lastModified": time(changed_at),
        "location": location(tenant, Kind::User, &user.id),
    });
    out.insert("meta".to_owned(), meta);
    Ok(super::list::versioned(Value::Object(out)))
}

/// Adds the groups in which a person is (RFC 7643 4.1.2).
pub(super) fn with_groups(tenant: &Tenant, view: &View, mut resource: Value) -> Answer<Value> {
    let id = resource.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
    let groups = groups_of(tenant, view, &id)?;
    if let Some(members) = resource.as_object_mut().filter(|_| !groups.is_empty()) {
        members.insert("groups".to_owned(), groups.into());
    }
    Ok(resource)
}

/// What claims say of a person whom no directory has pushed.
fn from_claims(claims: &Map<String, Value>) -> Wanted {
    let text = |claim: &str| claims.get(claim).and_then(Value::as_str);
    let mut out = Map::new();
    let name = NAMES.iter().filter_map(|(attribute, claim)| Some(((*attribute).to_owned(), text(claim)?.into())));
    let name: Map<String, Value> = name.collect();
    if !name.is_empty() {
        out.insert("name".to_owned(), name.into());
    }
    let simple = SIMPLE.iter().filter_map(|(attribute, claim)| Some(((*attribute).to_owned(), text(claim)?.into())));
    out.extend(simple);
    for (attribute, claim) in PRIMARIES {
        if let Some(value) = text(claim) {
            out.insert(attribute.to_owned(), json!([{"value": value, "primary": true}]));
        }
    }
    out
}

/// The parts of a name, and their claims (OpenID Connect Core 5.1).
const NAMES: [(&str, &str); 4] =
    [("formatted", "name"), ("familyName", "family_name"), ("givenName", "given_name"), ("middleName", "middle_name")];
/// Attributes that are claims as they are.
const SIMPLE: [(&str, &str); 5] = [
    ("displayName", "name"),
    ("nickName", "nickname"),
    ("profileUrl", "profile"),
    ("locale", "locale"),
    ("timezone", "zoneinfo"),
];
/// Attributes of several values of which the primary one, or the first, is a claim.
const PRIMARIES: [(&str, &str); 3] = [("emails", "email"), ("phoneNumbers", "phone_number"), ("photos", "picture")];

/// The claims of a person: those that the directory knows are what it says, others stay. An address that it says is verified:
/// who runs the tenant trusts it.
fn claims(before: &Map<String, Value>, attributes: &Wanted) -> Map<String, Value> {
    let mut claims = before.clone();
    let mut say = |claim: &str, value: Option<&Value>| match value.and_then(Value::as_str).filter(|v| !v.is_empty()) {
        Some(text) => drop(claims.insert(claim.to_owned(), text.into())),
        None => drop(claims.shift_remove(claim)),
    };
    let name = attributes.get("name");
    for (attribute, claim) in NAMES {
        say(claim, name.and_then(|name| name.get(attribute)));
    }
    for (attribute, claim) in SIMPLE {
        // What they are called is better than all of their name.
        let value = attributes.get(attribute);
        let value = if claim == "name" { value.or_else(|| name.and_then(|name| name.get("formatted"))) } else { value };
        say(claim, value);
    }
    for (attribute, claim) in PRIMARIES {
        let values = attributes.get(attribute).and_then(Value::as_array);
        let primary = values.and_then(|values| values.iter().find(|value| super::shape::is_primary(value)));
        let chosen = primary.or_else(|| values.and_then(|values| values.first()));
        say(claim, chosen.and_then(|chosen| chosen.get("value")));
    }
    if claims.get("phone_number") != before.get("phone_number") {
        claims.shift_remove("phone_number_verified");
    }
    match claims.contains_key("email") {
        true => claims.insert("email_verified".to_owned(), true.into()),
        false => claims.shift_remove("email_verified"),
    };
    claims
}

/// What a write says, taken apart.
struct Said {
    user_name: String,
    active: Option<bool>,
    external_id: Option<String>,
    manager: Option<String>,
    attributes: Wanted,
}

fn text(value: Option<Value>) -> Option<String> {
    match value {
        Some(Value::String(text)) => Some(text),
        _ => None,
    }
}

impl Said {
    fn of(tenant: &Tenant, id: &str, mut wanted: Wanted) -> Answer<Said> {
        let user_name = text(wanted.shift_remove("userName")).map(|name| name.trim().to_owned());
        let user_name = user_name.filter(|name| !name.is_empty());
        let user_name = user_name.ok_or_else(|| Fault::invalid("`userName` is missing"))?;
        let active = wanted.shift_remove("active").and_then(|active| active.as_bool());
        let external_id = text(wanted.shift_remove("externalId"));
        let mut manager = None;
        if let Some(extension) = Kind::User.extension()
            && let Some(place) = wanted.get_mut(extension.urn).and_then(Value::as_object_mut)
        {
            manager = place.shift_remove("manager").map(|said| manager_id(tenant, id, &said)).transpose()?;
            if place.is_empty() {
                wanted.shift_remove(extension.urn);
            }
        }
        if json!(wanted).to_string().len() > ATTRIBUTES_BYTES_MAX {
            return Err(Fault::of(413, format!("a person has at most {ATTRIBUTES_BYTES_MAX} bytes")));
        }
        Ok(Said { user_name, active, external_id, manager, attributes: wanted })
    }
}

/// The person who is meant by `manager`, who is there and somebody else.
fn manager_id(tenant: &Tenant, id: &str, said: &Value) -> Answer<String> {
    let value = said.get("value").and_then(Value::as_str);
    let reference = said.get("$ref").and_then(Value::as_str).and_then(|url| url.rsplit('/').next());
    let manager = value.or(reference).ok_or_else(|| Fault::invalid("`manager` has no `value`"))?;
    if manager == id {
        return Err(Fault::invalid("nobody is their own manager"));
    }
    match load(tenant, manager) {
        Ok(_) => Ok(manager.to_owned()),
        Err(fault) if fault.status == 404 => {
            Err(Fault::invalid(format!("`manager` is `{manager}`, and there is no such user; push the manager first")))
        }
        Err(fault) => Err(fault),
    }
}

/// Names who did it in an event.
pub(super) fn done_by(event: Event, by: &str) -> Event {
    match by.split_once(':') {
        Some(("agent", _)) => event.agent(by),
        Some(("app", _)) => event.client(by),
        _ => event.user(by),
    }
}

/// Writes a person: a new one when none is loaded. Answers the id.
///
/// # Errors
/// A login name is somebody's, the manager is not there, or something is not right. A stale one is tried again by the caller.
pub(super) fn write(
    tenant: &Tenant,
    loaded: Option<&Loaded>,
    wanted: Wanted,
    (by, action): (&str, &'static str),
    env: &Env<'_>,
) -> Answer<String> {
    let id = loaded.map_or_else(|| env.id(), |loaded| loaded.user.id.clone());
    let said = Said::of(tenant, &id, wanted)?;
    let subject = format!("user:{id}");
    let mut change = tenant.change(env);
    let event = tenant.event(EventKind::AdminChanged, Outcome::Done, env).resource(&subject).action(action);
    change.event(&done_by(event, by));
    let was_active = match loaded {
        Some(_) => tenant.is_active(&subject)?,
        None => true,
    };
    // Whom an administrator stopped, a directory does not let in again: it says so of everybody it has.
    let contained = !was_active && tenant.is_contained(&subject)?;
    let active = said.active.filter(|_| !contained).unwrap_or(was_active);
    match loaded {
        None => {
            let claims = claims(&Map::new(), &said.attributes);
            tenant.add_user(&mut change, &id, &[&said.user_name], claims, env)?;
        }
        Some(loaded) => {
            let claims = claims(&loaded.user.claims, &said.attributes);
            let others = loaded.user.logins.iter().skip(1).map(String::as_str);
            let same = |other: &&str| other.to_lowercase() == said.user_name.to_lowercase();
            let logins: Vec<&str> =
                std::iter::once(said.user_name.as_str()).chain(others.filter(|other| !same(other))).collect();
            let signed_out = (was_active && !active).then_some(REASON);
            tenant.put_user(&mut change, &loaded.user, (&logins, claims), signed_out, env)?;
        }
    }
    if active != was_active {
        tenant.put_suspended(&mut change, &subject, !active, Some(by), env)?;
    }
    let before = loaded.map_or_else(|| Ok(Vec::new()), |_| managers(tenant, &id))?;
    for gone in before.iter().filter(|manager| said.manager.as_ref() != Some(manager)) {
        change.unrelate(&subject, "manager", &format!("user:{gone}"));
        manages(tenant, &mut change, (&subject, gone, by), false, env);
    }
    if let Some(manager) = said.manager.as_ref().filter(|manager| !before.contains(manager)) {
        change.relate(&subject, "manager", &format!("user:{manager}"));
        manages(tenant, &mut change, (&subject, manager, by), true, env);
    }
    keep(&mut change, &id, loaded.and_then(|loaded| loaded.person.as_ref()), said, env);
    change.commit()?;
    Ok(id)
}

/// The record of what decides nothing.
fn keep(change: &mut Change<'_>, id: &str, held: Option<&Held<Person>>, said: Said, env: &Env<'_>) {
    let before = held.and_then(|held| held.external_id.as_deref());
    if let Some(gone) = before.filter(|gone| Some(*gone) != said.external_id.as_deref()) {
        change.unmark(SCIM, PERSON_BY_EXTERNAL, &[&external_part(gone), id]);
    }
    if let Some(external) = &said.external_id {
        change.mark(SCIM, PERSON_BY_EXTERNAL, &[&external_part(external), id]);
    }
    let person = Person {
        version: held.map_or(1, |held| held.version.saturating_add(1)),
        changed_at: env.seconds(),
        external_id: said.external_id,
        attributes: said.attributes,
    };
    match held {
        Some(held) => change.replace(held, &person),
        None => change.create(&[id], &person),
    }
}

/// The event of a manager, as the commands write it.
fn manages(
    tenant: &Tenant,
    change: &mut Change<'_>,
    (subject, manager, by): (&str, &str, &str),
    there: bool,
    env: &Env<'_>,
) {
    let event = tenant.event(EventKind::AdminChanged, Outcome::Done, env).resource(subject).action("manager");
    let event = event.user(format!("user:{manager}")).detail("there", if there { "yes" } else { "no" });
    change.event(&event.detail("by", by));
}

/// The tuples that name a person as a member or a manager, and say who theirs are: at most a write's worth.
fn named(tenant: &Tenant, id: &str) -> Answer<Vec<Tuple>> {
    let subject = SubjectRef::Object(ObjectRef { object_type: "user", id });
    let page = ReadQuery { page_size: TUPLES_PER_WRITE_MAX, ..ReadQuery::default() };
    let queries = [
        ReadQuery { object_type: Some("user"), object_id: Some(id), relation: Some("manager"), ..page },
        ReadQuery { object_type: Some("user"), relation: Some("manager"), subject: Some(subject), ..page },
        ReadQuery { object_type: Some("team"), relation: Some("member"), subject: Some(subject), ..page },
    ];
    let mut found = Vec::new();
    for query in &queries {
        for tuple in tuples(tenant, query)? {
            // Who manages themselves is found twice.
            if !found.contains(&tuple) {
                found.push(tuple);
            }
        }
    }
    found.truncate(TUPLES_PER_WRITE_MAX);
    Ok(found)
}

/// Deletes a person, and every tuple that says that they manage somebody or are in a team.
///
/// # Errors
/// They are the last administrator, or the disk failed.
pub(super) fn delete(tenant: &Tenant, loaded: &Loaded, by: &str, env: &Env<'_>) -> Answer<()> {
    let id = &loaded.user.id;
    let mut left = named(tenant, id)?;
    while left.len() == TUPLES_PER_WRITE_MAX {
        let mut change = tenant.change(env);
        tenant.spare_administrator(&mut change, Leaving::Somebody(&loaded.user.subject()))?;
        groups::unrelate_all(&mut change, &left);
        let event = tenant.event(EventKind::AdminChanged, Outcome::Done, env).resource(loaded.user.subject());
        change.event(&done_by(event.action("scim.delete"), by).detail("tuples", left.len().to_string()));
        change.commit()?;
        left = named(tenant, id)?;
    }
    let mut change = tenant.change(env);
    groups::unrelate_all(&mut change, &left);
    let event = tenant.event(EventKind::AdminChanged, Outcome::Done, env).resource(loaded.user.subject());
    change.event(&done_by(event.action("scim.delete"), by).detail("tuples", left.len().to_string()));
    tenant.drop_user(&mut change, &loaded.user, env)?;
    if let Some(person) = &loaded.person {
        if let Some(external) = &person.external_id {
            change.unmark(SCIM, PERSON_BY_EXTERNAL, &[&external_part(external), id]);
        }
        change.remove(person);
    }
    change.commit()?;
    Ok(())
}

/// Forgets what is kept of a person whom somebody else deleted: in which teams they were, whose manager they were, who was
/// theirs, and what a directory said of them.
///
/// # Errors
/// The disk failed; it is gone on from there the next time.
pub fn forget_user(tenant: &Tenant, id: &str, env: &Env<'_>) -> crate::identity::Answer<()> {
    loop {
        let left = named(tenant, id)?;
        let last = left.len() < TUPLES_PER_WRITE_MAX;
        let person = if last { tenant.get::<Person>(&[id])? } else { None };
        if left.is_empty() && person.is_none() {
            return Ok(());
        }
        let mut change = tenant.change(env);
        groups::unrelate_all(&mut change, &left);
        if let Some(person) = &person {
            if let Some(external) = &person.external_id {
                change.unmark(SCIM, PERSON_BY_EXTERNAL, &[&external_part(external), id]);
            }
            change.remove(person);
        }
        let event = tenant.event(EventKind::AdminChanged, Outcome::Done, env).resource(format!("user:{id}"));
        change.event(&event.action("user.forgotten").detail("tuples", left.len().to_string()));
        change.commit()?;
        if last {
            return Ok(());
        }
    }
}

/// The system store as it is now.
pub(super) fn view(tenant: &Tenant) -> Answer<View> {
    Ok(tenant.engine().view(tenant.system_store(), None, Consistency::Latest)?)
}
