//! Roles: who administers, audits and reports, who owns connections and applications, and who may hold a scope that is checked.
//!
//! A role is one tuple of the system store. [`Role`] is the closed list of those that somebody is given; what else the model
//! has (members, who is suspended, who owns an agent, who may use a connection) comes with what it is about. Each is given and
//! taken in one write with its event.

use super::names::scope_of;
use super::{
    Answer, Change, Env, ErrorCode, EventKind, Leaving, Outcome, Refusal, Tenant, again, check_id, is_scope,
    scope_object,
};
use crate::engine::{Decision, Position, ReadPage, ReadQuery};
use crate::tuple::{Revision, SubjectRef};

/// Most roles of one page.
pub const ROLES_PAGE_MAX: usize = 500;

/// A role that somebody is given: a relation of an object of a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// May all there is to administer: `tenant#admin`.
    Administrator,
    /// Reads the log, and all agents and connections: `tenant#auditor`.
    Auditor,
    /// Reports which accounts other systems have: `tenant#reporter`.
    Reporter,
    /// Operates a connection: `connection#owner`.
    ConnectionOwner,
    /// Operates an application: `app#owner`.
    AppOwner,
    /// May hold a scope that is checked: `scope#allowed`.
    ScopeHolder,
}

/// In which form a team has a role.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Teams {
    /// Whoever is in it: `team:ID#member`.
    Members,
    /// The team: `team:ID`.
    Themselves,
}

impl Role {
    /// All there are.
    pub const ALL: [Role; 6] =
        [Role::Administrator, Role::Auditor, Role::Reporter, Role::ConnectionOwner, Role::AppOwner, Role::ScopeHolder];

    /// The role of a name, of objects of a type.
    ///
    /// # Errors
    /// There is none.
    pub fn of(object_type: &str, name: &str) -> Answer<Role> {
        let found = Role::ALL.into_iter().find(|role| role.object_type() == object_type && role.name() == name);
        found.ok_or_else(|| {
            let all = Role::ALL.map(|role| format!("`{}` of a {}", role.name(), role.object_type())).join(", ");
            let text = format!("`{name}` of `{object_type}` is no role; there are {all}");
            Refusal::new(ErrorCode::InvalidRequest, "role.name", text)
        })
    }

    /// Its name, which is the relation.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Role::Administrator => "admin",
            Role::Auditor => "auditor",
            Role::Reporter => "reporter",
            Role::ConnectionOwner | Role::AppOwner => "owner",
            Role::ScopeHolder => "allowed",
        }
    }

    /// The type of the objects that have it.
    #[must_use]
    pub fn object_type(self) -> &'static str {
        match self {
            Role::Administrator | Role::Auditor | Role::Reporter => "tenant",
            Role::ConnectionOwner => "connection",
            Role::AppOwner => "app",
            Role::ScopeHolder => "scope",
        }
    }

    /// The types of subjects that can have it, besides teams.
    fn takers(self) -> &'static [&'static str] {
        match self {
            Role::Administrator | Role::Auditor | Role::Reporter | Role::ScopeHolder => &["user", "agent", "app"],
            Role::ConnectionOwner => &["user", "agent"],
            Role::AppOwner => &["user"],
        }
    }

    fn teams(self) -> Teams {
        match self {
            Role::Administrator | Role::Auditor | Role::Reporter | Role::ScopeHolder => Teams::Members,
            Role::ConnectionOwner | Role::AppOwner => Teams::Themselves,
        }
    }

    /// A subject as its tuples have it.
    fn subject(self, text: &str) -> Answer<String> {
        let refuse = || {
            let mut forms: Vec<String> = self.takers().iter().map(|kind| format!("`{kind}:ID`")).collect();
            forms.push("`team:ID`".to_owned());
            if self == Role::ScopeHolder {
                forms.extend(self.takers().iter().map(|kind| format!("`{kind}:*`")));
            }
            let text = format!("`{text}` cannot be `{}`; write one of {}", self.name(), forms.join(", "));
            Refusal::new(ErrorCode::InvalidRequest, "role.subject", text)
        };
        let (kind, id) = text.split_once(':').ok_or_else(refuse)?;
        if kind == "team" {
            let id = id.strip_suffix("#member").unwrap_or(id);
            check_id(id).map_err(|_| refuse())?;
            return Ok(match self.teams() {
                Teams::Members => format!("team:{id}#member"),
                Teams::Themselves => format!("team:{id}"),
            });
        }
        let all = id == "*" && self == Role::ScopeHolder;
        if !self.takers().contains(&kind) || !(all || check_id(id).is_ok()) {
            return Err(refuse());
        }
        Ok(text.to_owned())
    }
}

/// That somebody has a role. Made by [`Tenant::appointment`], which judges the form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appointment {
    /// The role.
    pub role: Role,
    /// Of what, as tuples name it: `tenant:NAME`, `connection:ID`, `app:ID`, `scope:RESOURCE|NAME`, the name escaped.
    pub object: String,
    /// Who: `user:ID`, `agent:ID`, `app:ID`, a team in the form that the role has, or everybody of a kind.
    pub subject: String,
}

impl Appointment {
    /// The object as people write it: the name of a scope is not escaped.
    #[must_use]
    pub fn shown_object(&self) -> String {
        let scope = self.object.strip_prefix("scope:").and_then(scope_of);
        scope.map_or_else(|| self.object.clone(), |(resource, name)| format!("scope:{resource}|{name}"))
    }
}

/// A page of roles, and where the next one begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RolesPage {
    /// The roles.
    pub roles: Vec<Appointment>,
    /// Where to go on; none on the last page.
    pub next: Option<String>,
}

fn missing(rule: &'static str, text: String) -> Refusal {
    Refusal::new(ErrorCode::NotFound, rule, text)
}

/// Where a listing goes on: which of its queries, and where in it.
fn place_of(text: &str) -> Answer<(usize, Option<Position>)> {
    let refuse = || Refusal::new(ErrorCode::InvalidRequest, "role.page", "`after` is none that a page of roles named");
    let parts: Vec<&str> = text.splitn(3, '.').collect();
    let number = |text: &str| text.parse::<u64>().map_err(|_| refuse());
    let small = |text: &str| text.parse::<u32>().map_err(|_| refuse());
    match parts.as_slice() {
        [query] => Ok((small(query)? as usize, None)),
        [query, revision, index] => {
            let position = Position { revision: Revision(number(revision)?), index: small(index)? };
            Ok((small(query)? as usize, Some(position)))
        }
        _ => Err(refuse()),
    }
}

impl Tenant {
    /// Reads a role, an object as people write it, and a subject. Only the form is judged: what is named may be gone.
    ///
    /// # Errors
    /// It is no object of the role, another tenant, or no subject that can have it.
    pub fn appointment(&self, role: Role, object: &str, subject: &str) -> Answer<Appointment> {
        Ok(Appointment { role, object: self.role_object(role, object)?, subject: role.subject(subject)? })
    }

    /// The same by the name of the role, of the tenant when no object is named.
    ///
    /// # Errors
    /// As there, or there is no such role.
    pub fn appointment_named(&self, name: &str, object: Option<&str>, subject: &str) -> Answer<Appointment> {
        let object = object.map_or_else(|| self.object(), str::to_owned);
        let object_type = object.split_once(':').map_or("", |(object_type, _)| object_type);
        self.appointment(Role::of(object_type, name)?, &object, subject)
    }

    /// An object as tuples have it.
    fn role_object(&self, role: Role, object: &str) -> Answer<String> {
        let wrong = || {
            let form = if role == Role::ScopeHolder { "scope:RESOURCE|NAME" } else { "TYPE:ID" };
            let text = format!("`{object}` has no role `{}`; write `{form}`", role.name());
            Refusal::new(ErrorCode::InvalidRequest, "role.object", text)
        };
        let (object_type, id) = object.split_once(':').ok_or_else(wrong)?;
        if object_type != role.object_type() {
            return Err(wrong());
        }
        match role {
            Role::Administrator | Role::Auditor | Role::Reporter if object == self.object() => Ok(object.to_owned()),
            Role::Administrator | Role::Auditor | Role::Reporter => Err(Refusal::not_found("tenant")),
            Role::ConnectionOwner | Role::AppOwner => check_id(id).map(|()| object.to_owned()).map_err(|_| wrong()),
            Role::ScopeHolder => {
                let (resource, name) = id.split_once('|').ok_or_else(wrong)?;
                if check_id(resource).is_err() || !is_scope(name) {
                    return Err(wrong());
                }
                Ok(scope_object(resource, name))
            }
        }
    }

    /// Gives somebody a role; nothing happens when they have it. Answers whether they had it not.
    ///
    /// # Errors
    /// What it is of is not there, or they are not.
    pub fn give_role(&self, appointment: &Appointment, env: &Env<'_>) -> Answer<bool> {
        self.find_role_object(appointment)?;
        self.find_role_subject(&appointment.subject)?;
        if self.has_role(appointment)? {
            return Ok(false);
        }
        let mut change = self.change(env);
        for client in [&appointment.subject, &appointment.object] {
            self.note_subject_used(&mut change, client)?;
        }
        self.put_role(&mut change, appointment, true, env);
        change.commit()?;
        Ok(true)
    }

    /// Takes a role from somebody, who may be gone, as may be what it is of.
    ///
    /// # Errors
    /// They do not have it, or nobody would administer the tenant any more.
    pub fn take_role(&self, appointment: &Appointment, env: &Env<'_>) -> Answer<()> {
        again(|| {
            if !self.has_role(appointment)? {
                let Appointment { role, subject, .. } = appointment;
                let text = format!("`{subject}` is not `{}` of `{}`", role.name(), appointment.shown_object());
                return Err(missing("role.not_held", text));
            }
            let mut change = self.change(env);
            if appointment.role == Role::Administrator {
                self.spare_administrator(&mut change, Leaving::Role(&appointment.subject))?;
            }
            self.put_role(&mut change, appointment, false, env);
            change.commit()?;
            Ok(())
        })
    }

    /// Adds to a change that somebody administers the tenant, who may be made by the same change.
    pub fn add_administrator(&self, change: &mut Change<'_>, subject: &str, env: &Env<'_>) {
        let appointment = Appointment { role: Role::Administrator, object: self.object(), subject: subject.to_owned() };
        self.put_role(change, &appointment, true, env);
    }

    /// Takes from somebody who is gone the roles that they were given: they are held by nobody, and no list has them any more.
    ///
    /// # Errors
    /// The disk failed; it is gone on from there the next time.
    pub fn drop_roles(&self, subject: &str, env: &Env<'_>) -> Answer<()> {
        loop {
            let page = self.roles_held_by(subject, None, ROLES_PAGE_MAX)?;
            if page.roles.is_empty() {
                return Ok(());
            }
            let mut change = self.change(env);
            for held in &page.roles {
                self.put_role(&mut change, held, false, env);
            }
            change.commit()?;
        }
    }

    fn put_role(&self, change: &mut Change<'_>, appointment: &Appointment, there: bool, env: &Env<'_>) {
        let Appointment { role, object, subject } = appointment;
        if there {
            change.relate(object, role.name(), subject);
        } else {
            change.unrelate(object, role.name(), subject);
        }
        let kind = if there { EventKind::RoleGiven } else { EventKind::RoleTaken };
        let event =
            self.event(kind, Outcome::Done, env).resource(object).action(role.name()).detail("subject", subject);
        change.event(&match subject.split_once(':') {
            Some((_, "*")) | None => event,
            Some(("user", _)) => event.user(subject),
            Some(("agent" | "app", _)) => event.client(subject),
            Some(_) => event,
        });
    }

    /// Sees that what a role is of is there.
    fn find_role_object(&self, appointment: &Appointment) -> Answer<()> {
        let Appointment { role, object, .. } = appointment;
        let id = object.split_once(':').map_or("", |(_, id)| id);
        match role {
            Role::Administrator | Role::Auditor | Role::Reporter => Ok(()),
            // The vault's and the managed ones have the tuple alike.
            Role::ConnectionOwner => match self.check(&self.object(), "tenant", object)? {
                Decision::Allow => Ok(()),
                Decision::Deny => Err(Refusal::not_found("connection")),
            },
            Role::AppOwner if self.client(id)?.subject() == *object => Ok(()),
            Role::AppOwner => Err(Refusal::not_found("application")),
            Role::ScopeHolder => {
                let (resource, name) = scope_of(id).ok_or_else(|| Refusal::not_found("scope"))?;
                let held = self.resources()?.into_iter().find(|held| held.id == resource);
                match held.as_ref().and_then(|held| held.scope(&name)) {
                    Some(scope) if scope.checked => Ok(()),
                    Some(_) => {
                        let text = format!("everybody may hold `{name}` of `{resource}`: it is not `checked`");
                        Err(Refusal::new(ErrorCode::Conflict, "role.unchecked", text))
                    }
                    None => Err(Refusal::not_found("scope")),
                }
            }
        }
    }

    /// Sees that a subject is there. A team is there when somebody is in it.
    fn find_role_subject(&self, subject: &str) -> Answer<()> {
        let nobody = || missing("role.nobody", format!("`{subject}` is nobody here"));
        let (kind, id) = subject.split_once(':').ok_or_else(nobody)?;
        let found = match kind {
            _ if id == "*" => Ok(true),
            "team" => {
                let id = id.strip_suffix("#member").unwrap_or(id);
                let query = ReadQuery { relation: Some("member"), page_size: 1, ..object_query("team", id) };
                Ok(!self.read_tuples(&query)?.tuples.is_empty())
            }
            "user" => self.user(id).map(|_| true),
            _ => self.client(id).map(|client| client.subject() == subject),
        };
        match found.map_err(|refusal| refusal.instead_of(ErrorCode::NotFound, nobody))? {
            true => Ok(()),
            false if kind == "team" => {
                Err(missing("role.nobody", format!("nobody is in `{subject}`; a team is there when somebody is in it")))
            }
            false => Err(nobody()),
        }
    }

    fn has_role(&self, appointment: &Appointment) -> Answer<bool> {
        let Appointment { role, object, subject } = appointment;
        let id = object.split_once(':').map_or("", |(_, id)| id);
        let subject = Some(subject_ref(subject)?);
        let exact =
            ReadQuery { relation: Some(role.name()), subject, page_size: 1, ..object_query(role.object_type(), id) };
        Ok(!self.read_tuples(&exact)?.tuples.is_empty())
    }

    /// The roles of an object, as people write it: who has which. A page of at most `max`, behind the place `after`.
    ///
    /// # Errors
    /// It is no object that has roles, or the disk failed.
    pub fn roles_of(&self, object: &str, after: Option<&str>, max: usize) -> Answer<RolesPage> {
        let object_type = object.split_once(':').map_or("", |(object_type, _)| object_type);
        let mut queries = Vec::new();
        for role in Role::ALL.into_iter().filter(|role| role.object_type() == object_type) {
            let object = self.role_object(role, object)?;
            queries.push((role, object.split_once(':').map(|(_, id)| id.to_owned()), None));
        }
        if queries.is_empty() {
            let text = format!("`{object}` has no roles; a tenant, a connection, an application and a scope have");
            return Err(Refusal::new(ErrorCode::InvalidRequest, "role.object", text));
        }
        self.roles(&queries, after, max)
    }

    /// The roles that somebody was given, and not those that they have by a team. Pages as of [`Tenant::roles_of`].
    ///
    /// # Errors
    /// It is no subject that can have a role, or the disk failed.
    pub fn roles_held_by(&self, subject: &str, after: Option<&str>, max: usize) -> Answer<RolesPage> {
        let all = Role::ALL.map(|role| (role, role.subject(subject)));
        let mut queries = Vec::new();
        let mut refused = None;
        for (role, subject) in all {
            match subject {
                Ok(subject) => queries.push((role, None, Some(subject))),
                Err(refusal) => refused = Some(refusal),
            }
        }
        match refused {
            Some(refusal) if queries.is_empty() => Err(refusal),
            _ => self.roles(&queries, after, max),
        }
    }

    /// A page of the tuples that queries find, one query behind the other.
    fn roles(
        &self,
        queries: &[(Role, Option<String>, Option<String>)],
        after: Option<&str>,
        max: usize,
    ) -> Answer<RolesPage> {
        let max = max.clamp(1, ROLES_PAGE_MAX);
        let (first, mut position) = after.map(place_of).transpose()?.unwrap_or_default();
        let mut page = RolesPage::default();
        for (at, (role, id, subject)) in queries.iter().enumerate().skip(first) {
            if page.roles.len() == max {
                page.next = Some(at.to_string());
                break;
            }
            let read = self.read_tuples(&ReadQuery {
                object_type: Some(role.object_type()),
                object_id: id.as_deref(),
                relation: Some(role.name()),
                subject: subject.as_deref().map(subject_ref).transpose()?,
                page_size: max - page.roles.len(),
                after: position.take(),
            })?;
            page.roles.extend(read.tuples.iter().map(|stored| Appointment {
                role: *role,
                object: stored.tuple.object.to_string(),
                subject: stored.tuple.subject.to_string(),
            }));
            if let Some(Position { revision, index }) = read.next {
                page.next = Some(format!("{at}.{}.{index}", revision.0));
                break;
            }
        }
        Ok(page)
    }

    pub(super) fn read_tuples(&self, query: &ReadQuery<'_>) -> Answer<ReadPage> {
        Ok(self.engine().read(self.system_store(), query)?.value)
    }
}

/// Of one object, page by page.
pub(super) fn object_query<'a>(object_type: &'a str, id: &'a str) -> ReadQuery<'a> {
    ReadQuery { object_type: Some(object_type), object_id: Some(id), page_size: ROLES_PAGE_MAX, ..ReadQuery::default() }
}

fn subject_ref(text: &str) -> Answer<SubjectRef<'_>> {
    SubjectRef::parse(text).map_err(|error| Refusal::failed("role.subject", error.to_string()))
}
