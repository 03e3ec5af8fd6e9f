//! Groups: a team, whose members are tuples, as a SCIM resource.

use super::records::{SCIM, TEAM_BY_EXTERNAL, Team, external_part};
use super::schema::Kind;
use super::shape::Wanted;
use super::users::{done_by, is_id, location, time, tuples};
use super::{Answer, Fault};
use crate::engine::{Given, Limits, ListObjectsQuery, ReadQuery, View};
use crate::identity::{Change, Env, EventKind, Held, Leaving, Outcome, Tenant};
use crate::tuple::{ObjectRef, SubjectRef, Tuple};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// Most members of a group that can be answered or changed.
pub const MEMBERS_MAX: usize = 20_000;
/// Most members that come or go by one request: each is a tuple and an event, and all are one write.
pub const MEMBER_CHANGES_MAX: usize = 400;
/// Members that are read in one go.
const MEMBERS_PER_READ: usize = 1_000;

/// A team as it is.
pub(super) struct Loaded {
    pub(super) id: String,
    /// None for a team that only tuples know.
    pub(super) team: Option<Held<Team>>,
    /// As subjects: `user:ID` and `team:ID#member`.
    pub(super) members: BTreeSet<String>,
}

/// The members of a team, as subjects.
fn members(tenant: &Tenant, id: &str) -> Answer<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    let mut query = ReadQuery {
        object_type: Some("team"),
        object_id: Some(id),
        relation: Some("member"),
        page_size: MEMBERS_PER_READ,
        ..ReadQuery::default()
    };
    loop {
        let page = tenant.engine().read(tenant.system_store(), &query)?.value;
        found.extend(page.tuples.into_iter().map(|stored| stored.tuple.subject.to_string()));
        if found.len() > MEMBERS_MAX {
            return Err(Fault::bad("tooMany", format!("the group `{id}` has more than {MEMBERS_MAX} members")));
        }
        match page.next {
            Some(next) => query.after = Some(next),
            None => return Ok(found),
        }
    }
}

/// A team, if there is one: it has a record, or somebody is in it.
pub(super) fn load(tenant: &Tenant, id: &str) -> Answer<Loaded> {
    let none = || Fault::missing("group", id);
    if !is_id(id) {
        return Err(none());
    }
    let team = tenant.get::<Team>(&[id])?;
    let members = members(tenant, id)?;
    if team.is_none() && members.is_empty() {
        return Err(none());
    }
    Ok(Loaded { id: id.to_owned(), team, members })
}

/// What a client may write of a team, as it is now.
pub(super) fn current(tenant: &Tenant, loaded: &Loaded) -> Wanted {
    let name = loaded.team.as_ref().map_or(&loaded.id, |team| &team.display_name);
    let mut wanted = Map::from_iter([("displayName".to_owned(), Value::from(name.as_str()))]);
    if let Some(external) = loaded.team.as_ref().and_then(|team| team.external_id.as_ref()) {
        wanted.insert("externalId".to_owned(), external.as_str().into());
    }
    let one = |member: &String| {
        let (kind, id) = match member.strip_prefix("user:") {
            Some(id) => (Kind::User, id),
            None => (Kind::Group, member.strip_prefix("team:")?.strip_suffix("#member")?),
        };
        Some(json!({"value": id, "$ref": location(tenant, kind, id), "type": kind.name()}))
    };
    let members: Vec<Value> = loaded.members.iter().filter_map(one).collect();
    if !members.is_empty() {
        wanted.insert("members".to_owned(), members.into());
    }
    wanted
}

/// A team as a resource.
pub(super) fn resource(tenant: &Tenant, loaded: &Loaded) -> Value {
    let id = &loaded.id;
    let mut out = Map::from_iter([
        ("schemas".to_owned(), json!([Kind::Group.schema().urn])),
        ("id".to_owned(), id.as_str().into()),
    ]);
    out.extend(current(tenant, loaded));
    let mut meta = json!({"resourceType": "Group", "location": location(tenant, Kind::Group, id)});
    if let (Some(team), Some(meta)) = (&loaded.team, meta.as_object_mut()) {
        meta.insert("created".to_owned(), time(team.created_at).into());
        meta.insert("lastModified".to_owned(), time(team.changed_at).into());
    }
    out.insert("meta".to_owned(), meta);
    super::list::versioned(Value::Object(out))
}

/// The groups in which a user is, by themselves or by another group.
pub(super) fn groups_of(tenant: &Tenant, view: &View, user: &str) -> Answer<Vec<Value>> {
    let subject = SubjectRef::Object(ObjectRef { object_type: "user", id: user });
    let query = ListObjectsQuery { object_type: "team", relation: "member", subject, given: Given::default() };
    let found = view.list_objects(&query, &Limits::default())?;
    let mut groups = Vec::new();
    for id in found.iter() {
        let name = tenant.get::<Team>(&[id])?.map_or_else(|| id.to_owned(), |team| team.value.display_name);
        let one = ReadQuery {
            object_type: Some("team"),
            object_id: Some(id),
            relation: Some("member"),
            subject: Some(subject),
            page_size: 1,
            ..ReadQuery::default()
        };
        let kind = if tuples(tenant, &one)?.is_empty() { "indirect" } else { "direct" };
        groups.push(json!({"value": id, "$ref": location(tenant, Kind::Group, id), "display": name, "type": kind}));
    }
    Ok(groups)
}

/// The members that a write wants, as subjects. Who is new must be there.
fn wanted_members(
    tenant: &Tenant,
    id: &str,
    said: Option<&Value>,
    before: &BTreeSet<String>,
) -> Answer<BTreeSet<String>> {
    let mut wanted = BTreeSet::new();
    for member in said.and_then(Value::as_array).into_iter().flatten() {
        let reference = member.get("$ref").and_then(Value::as_str).unwrap_or_default();
        let value = member.get("value").and_then(Value::as_str).or_else(|| reference.rsplit('/').next());
        let value = value.filter(|value| is_id(value));
        let value = value.ok_or_else(|| Fault::invalid("a member has no `value` that can be an id"))?;
        let (user, team) = (format!("user:{value}"), format!("team:{value}#member"));
        let kind = member.get("type").and_then(Value::as_str);
        let is_team = kind.is_some_and(|kind| kind.eq_ignore_ascii_case("group"))
            || (kind.is_none() && reference.contains(Kind::Group.endpoint()));
        let is_user = kind.is_some_and(|kind| kind.eq_ignore_ascii_case("user"));
        if before.contains(&user) && !is_team {
            wanted.insert(user);
        } else if before.contains(&team) && !is_user {
            wanted.insert(team);
        } else if !is_team && tenant.user(value).is_ok() {
            wanted.insert(user);
        } else if !is_user && value == id {
            return Err(Fault::invalid("a group is no member of itself"));
        } else if !is_user && load(tenant, value).is_ok() {
            wanted.insert(team);
        } else {
            return Err(Fault::invalid(format!("there is no user and no group `{value}` to be a member")));
        }
    }
    Ok(wanted)
}

/// Writes a team: a new one when none is loaded. Answers the id.
///
/// # Errors
/// A member is not there, too many come or go at once, nobody would administer the tenant any more, or something is not right.
pub(super) fn write(
    tenant: &Tenant,
    loaded: Option<&Loaded>,
    mut wanted: Wanted,
    (by, action): (&str, &'static str),
    env: &Env<'_>,
) -> Answer<String> {
    let id = loaded.map_or_else(|| env.id(), |loaded| loaded.id.clone());
    let name = wanted.shift_remove("displayName");
    let name = name.as_ref().and_then(Value::as_str).map(str::trim).filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| Fault::invalid("`displayName` is missing"))?;
    if name.len() > 256 {
        return Err(Fault::invalid("`displayName` is longer than 256 bytes"));
    }
    let external_id = wanted.shift_remove("externalId").and_then(|id| id.as_str().map(str::to_owned));
    let none = BTreeSet::new();
    let before = loaded.map_or(&none, |loaded| &loaded.members);
    let after = wanted_members(tenant, &id, wanted.get("members"), before)?;
    let changes = before.symmetric_difference(&after).count();
    if changes > MEMBER_CHANGES_MAX {
        let text = format!("{changes} members would come or go; {MEMBER_CHANGES_MAX} are the most of one request");
        return Err(Fault::of(413, format!("{text}: send them by PATCH, in parts")));
    }
    let held = loaded.and_then(|loaded| loaded.team.as_ref());
    let mut change = tenant.change(env);
    let object = format!("team:{id}");
    let event = tenant.event(EventKind::AdminChanged, Outcome::Done, env).resource(&object).action(action);
    change.event(&done_by(event, by));
    for member in after.difference(before) {
        change.relate(&object, "member", member);
        belongs(tenant, &mut change, (&object, member, by), true, env);
    }
    let leave: Vec<&str> = before.difference(&after).map(|member| &**member).collect();
    let join: Vec<&str> = after.difference(before).map(|member| &**member).collect();
    tenant.spare_administrator(&mut change, Leaving::Exchanged { team: &object, leave: &leave, join: &join })?;
    for member in before.difference(&after) {
        change.unrelate(&object, "member", member);
        belongs(tenant, &mut change, (&object, member, by), false, env);
    }
    let gone = held.and_then(|held| held.external_id.as_deref());
    if let Some(gone) = gone.filter(|gone| Some(*gone) != external_id.as_deref()) {
        change.unmark(SCIM, TEAM_BY_EXTERNAL, &[&external_part(gone), &id]);
    }
    if let Some(external) = &external_id {
        change.mark(SCIM, TEAM_BY_EXTERNAL, &[&external_part(external), &id]);
    }
    let team = Team {
        version: held.map_or(1, |held| held.version.saturating_add(1)),
        display_name: name.to_owned(),
        external_id,
        created_at: held.map_or(env.seconds(), |held| held.created_at),
        changed_at: env.seconds(),
    };
    match held {
        Some(held) => change.replace(held, &team),
        None => change.create(&[&id], &team),
    }
    change.commit()?;
    Ok(id)
}

/// The event of a member, as the commands write it.
pub(super) fn belongs(
    tenant: &Tenant,
    change: &mut Change<'_>,
    (object, member, by): (&str, &str, &str),
    there: bool,
    env: &Env<'_>,
) {
    let event = tenant.event(EventKind::AdminChanged, Outcome::Done, env).resource(object).action("member");
    let event = if member.starts_with("user:") { event.user(member) } else { event.detail("member", member) };
    change.event(&event.detail("there", if there { "yes" } else { "no" }).detail("by", by));
}

/// Takes tuples away.
pub(super) fn unrelate_all(change: &mut Change<'_>, tuples: &[Tuple]) {
    for tuple in tuples {
        change.unrelate(&tuple.object.to_string(), &tuple.relation, &tuple.subject.to_string());
    }
}

/// Deletes a team: nobody is in it any more, and it is in no other.
///
/// # Errors
/// Nobody would administer the tenant any more, or the disk failed.
pub(super) fn delete(
    tenant: &Tenant,
    loaded: &Loaded,
    (by, action): (&str, &'static str),
    env: &Env<'_>,
) -> Answer<()> {
    let id = &loaded.id;
    let object = format!("team:{id}");
    let members: Vec<&String> = loaded.members.iter().collect();
    let subject = SubjectRef::Userset { object: ObjectRef { object_type: "team", id }, relation: "member" };
    let within = ReadQuery {
        object_type: Some("team"),
        relation: Some("member"),
        subject: Some(subject),
        page_size: MEMBER_CHANGES_MAX,
        ..ReadQuery::default()
    };
    let within = tuples(tenant, &within)?;
    let ours = format!("{object}#member");
    let outer: Vec<String> = within.iter().map(|tuple| tuple.object.to_string()).collect();
    // All at once, before the first of several writes: a team is not left half emptied.
    let leave: Vec<(&str, &str)> = members.iter().map(|member| (&*object, &***member)).collect();
    let leave = [leave, outer.iter().map(|outer| (&**outer, &*ours)).collect()].concat();
    let (parts, last) = members.split_at(members.len() - members.len() % MEMBER_CHANGES_MAX);
    for part in parts.chunks(MEMBER_CHANGES_MAX) {
        let mut change = tenant.change(env);
        tenant.spare_administrator(&mut change, Leaving::Members(&leave))?;
        for member in part {
            change.unrelate(&object, "member", member);
            belongs(tenant, &mut change, (&object, member, by), false, env);
        }
        change.commit()?;
    }
    let mut change = tenant.change(env);
    tenant.spare_administrator(&mut change, Leaving::Members(&leave))?;
    for member in last {
        change.unrelate(&object, "member", member);
        belongs(tenant, &mut change, (&object, member, by), false, env);
    }
    unrelate_all(&mut change, &within);
    let event = tenant.event(EventKind::AdminChanged, Outcome::Done, env).resource(&object).action(action);
    change.event(&done_by(event, by));
    if let Some(team) = &loaded.team {
        if let Some(external) = &team.external_id {
            change.unmark(SCIM, TEAM_BY_EXTERNAL, &[&external_part(external), id]);
        }
        change.remove(team);
    }
    change.commit()?;
    Ok(())
}

/// Notes that there is a team, in a change that puts somebody into it: so SCIM lists it. Its name is its id until a directory
/// says another.
///
/// # Errors
/// The disk failed.
pub fn note_team(tenant: &Tenant, change: &mut Change<'_>, id: &str, env: &Env<'_>) -> crate::identity::Answer<()> {
    if tenant.get::<Team>(&[id])?.is_none() {
        let now = env.seconds();
        let team =
            Team { version: 1, display_name: id.to_owned(), external_id: None, created_at: now, changed_at: now };
        change.create(&[id], &team);
    }
    Ok(())
}

/// The teams that SCIM knows, in the order of their ids, behind one of them.
pub(super) fn page(tenant: &Tenant, after: Option<&str>, max: usize) -> Answer<Vec<String>> {
    Ok(tenant.list::<Team>(&[], after, max)?.iter().map(Held::last).collect())
}
