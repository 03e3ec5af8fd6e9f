//! What an agent may reach: connections, and the class of each of their scopes for it.
//!
//! All of it is tuples of the system store, `connection:C#allowed@agent:A` and `connection_scope:C|S#CLASS@agent:A`, so that
//! whoever lends a credential or issues a token asks Check, and nobody keeps a second list. What others were given for all
//! agents (`agent:*`) counts too, and is theirs to change.

use super::edit::{conflict, field};
use super::records::id_of;
use super::stage::{Stage, Who};
use super::{Agent, By, Registry};
use crate::engine::{Given, Limits, ListObjectsQuery, View};
use crate::identity::{
    Answer, Env, ErrorCode, EventKind, Refusal, Tenant, again, connection_scope_object, connection_scope_of, is_scope,
};
use crate::tuple::{ObjectRef, SubjectRef};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Most scopes that one change classes.
pub const SCOPES_PER_CHANGE_MAX: usize = 64;

/// Of which class a scope of a connection is for an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScopeClass {
    /// Not, whatever else says so.
    Never,
    /// A person approves each time.
    NeedsApproval,
    /// Without asking anybody.
    Automatic,
}

impl ScopeClass {
    /// All, the least first.
    pub const ALL: [ScopeClass; 3] = [ScopeClass::Never, ScopeClass::NeedsApproval, ScopeClass::Automatic];

    /// The name, which is the relation.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            ScopeClass::Never => "never",
            ScopeClass::NeedsApproval => "needs_approval",
            ScopeClass::Automatic => "automatic",
        }
    }

    /// The class of a name.
    #[must_use]
    pub fn of(name: &str) -> Option<ScopeClass> {
        ScopeClass::ALL.into_iter().find(|class| class.name() == name)
    }

    /// How much it lets an agent do; no class at all lets it do nothing, and may be overruled.
    fn rank(class: Option<ScopeClass>) -> u8 {
        match class {
            Some(ScopeClass::Never) => 0,
            None => 1,
            Some(ScopeClass::NeedsApproval) => 2,
            Some(ScopeClass::Automatic) => 3,
        }
    }
}

/// What is wanted of a connection for an agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Access {
    /// The connection, `connection:crm`.
    pub connection: String,
    /// The class of scopes; `null` takes a class away. Those that are not named stay as they are.
    #[serde(default)]
    pub scopes: BTreeMap<String, Option<ScopeClass>>,
}

/// What an agent has of a connection, with what all agents have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConnectionAccess {
    /// The connection, `connection:crm`.
    pub connection: String,
    /// Whether it may be used now: it is allowed, and the agent may act.
    pub usable: bool,
    /// Scopes that need nobody.
    pub automatic: Vec<String>,
    /// Scopes that a person approves each time.
    pub needs_approval: Vec<String>,
    /// Scopes that the agent never gets.
    pub never: Vec<String>,
}

/// A change that lets an agent do more, as an approval names it: what is approved is exactly this.
#[derive(Clone, Debug, PartialEq)]
pub struct Widening(Value);

impl Widening {
    /// The type of the details of a request to approve one (RFC 9396).
    pub const TYPE: &'static str = "agent_access";

    /// What is approved.
    #[must_use]
    pub fn of(agent: &str, access: &Access) -> Widening {
        Widening(json!({
            "type": Widening::TYPE,
            "agent": agent,
            "connection": access.connection,
            "scopes": access.scopes,
        }))
    }

    /// As JSON.
    #[must_use]
    pub fn value(&self) -> &Value {
        &self.0
    }
}

impl<'a> Registry<'a> {
    /// Lets an agent use a connection, with scopes of these classes. What lets it do less is its operators' to say; what lets
    /// it do more takes an administrator, or an approval of exactly this.
    ///
    /// # Errors
    /// They may not, there is no such connection, or the approval is not of this.
    pub fn allow(
        &self,
        by: By<'a>,
        id: &str,
        access: &Access,
        approval: Option<&'a str>,
        env: &Env<'_>,
    ) -> Answer<Agent> {
        let connection = id_of("connection", &access.connection)?;
        check_scopes(access)?;
        again(|| {
            let view = self.tenant.view()?;
            let mut edit = self.edit(by, id, "allow", env)?;
            self.may(&view, &mut edit, Who::Operator)?;
            if edit.record.stage == Stage::Discovered {
                return Err(conflict("agent.stage", "nobody has taken on this agent yet; adopt it"));
            }
            if !self.is(&view, &self.tenant.object(), "tenant", &access.connection)? {
                return Err(Refusal::not_found("connection"));
            }
            let agent = edit.record.subject();
            let mut wider = false;
            if !self.has_tuple(&access.connection, "allowed", &agent)? {
                wider = true;
                edit.change.relate(&access.connection, "allowed", &agent);
                edit.fields.push(field(&format!("{}#allowed", access.connection), None, Some(&agent)));
            }
            for (scope, class) in &access.scopes {
                let object = connection_scope_object(connection, scope);
                let before = self.class(&object, &agent)?;
                if before == *class {
                    continue;
                }
                wider |= ScopeClass::rank(*class) > ScopeClass::rank(before);
                if let Some(before) = before {
                    edit.change.unrelate(&object, before.name(), &agent);
                }
                if let Some(class) = class {
                    edit.change.relate(&object, "connection", &access.connection);
                    edit.change.relate(&object, class.name(), &agent);
                }
                let name = |class: Option<ScopeClass>| class.map(ScopeClass::name);
                edit.fields.push(field(&object, name(before), name(*class)));
            }
            if edit.fields.is_empty() {
                return self.get(id);
            }
            if let Some(approval) = approval {
                let what = Widening::of(&agent, access);
                let allowed =
                    self.approvals.spend(self.tenant, &mut edit.change, approval, &agent, what.value(), env)?;
                // An agent names whom it asks: that must not make somebody who may not widen it one who may.
                let admin = self.is(&view, &allowed, "admin", &self.tenant.object())?;
                if !admin && !self.is(&view, &allowed, "approver", &agent)? {
                    let text = "an approval of this is good from the person who answers for the agent, their manager, or an administrator";
                    return Err(Refusal::new(ErrorCode::AccessDenied, "agent.approver", text));
                }
                edit.approval = Some(approval);
            } else if wider && !self.is_admin(&view, by)? {
                let text = "this lets the agent do more; it takes an administrator, or an approval of exactly this";
                return Err(Refusal::new(ErrorCode::AccessDenied, "agent.widening", text));
            }
            self.finish(edit, EventKind::AgentChanged, env)
        })
    }

    /// Takes a connection from an agent, with all scopes of it.
    ///
    /// # Errors
    /// They may not.
    pub fn disallow(&self, by: By<'a>, id: &str, connection: &str, env: &Env<'_>) -> Answer<Agent> {
        let connection_id = id_of("connection", connection)?;
        again(|| {
            let view = self.tenant.view()?;
            let mut edit = self.edit(by, id, "disallow", env)?;
            self.may(&view, &mut edit, Who::Operator)?;
            let agent = edit.record.subject();
            if self.has_tuple(connection, "allowed", &agent)? {
                edit.change.unrelate(connection, "allowed", &agent);
                edit.fields.push(field(&format!("{connection}#allowed"), Some(&agent), None));
            }
            for class in ScopeClass::ALL {
                // What is never allowed stays so: taking access away gives none.
                if class == ScopeClass::Never {
                    continue;
                }
                for scope in self.scopes_of_class(&view, &agent, class.name(), connection_id)? {
                    let object = connection_scope_object(connection_id, &scope);
                    if self.has_tuple(&object, class.name(), &agent)? {
                        edit.change.unrelate(&object, class.name(), &agent);
                        edit.fields.push(field(&object, Some(class.name()), None));
                    }
                }
            }
            if edit.fields.is_empty() {
                return self.get(id);
            }
            self.finish(edit, EventKind::AgentChanged, env)
        })
    }

    /// Says that an agent needs another agent, a connection or an MCP server to work, or does not any more.
    ///
    /// # Errors
    /// They may not, or it is none of these.
    pub fn depend(&self, by: By<'a>, id: &str, on: &str, needs: bool, env: &Env<'_>) -> Answer<Agent> {
        let kinds = ["agent", "connection", "mcp_server"];
        if !kinds.iter().any(|kind| id_of(kind, on).is_ok()) || on == format!("agent:{id}") {
            let text =
                format!("`{on}` is nothing that an agent needs; write `agent:ID`, `connection:ID` or `mcp_server:ID`");
            return Err(Refusal::new(ErrorCode::InvalidRequest, "agent.uses", text));
        }
        again(|| {
            let view = self.tenant.view()?;
            let mut edit = self.edit(by, id, "depend", env)?;
            self.may(&view, &mut edit, Who::Operator)?;
            let agent = edit.record.subject();
            if self.has_tuple(&agent, "uses", on)? == needs {
                return self.get(id);
            }
            if needs {
                edit.change.relate(&agent, "uses", on);
                edit.fields.push(field("uses", None, Some(on)));
            } else {
                edit.change.unrelate(&agent, "uses", on);
                edit.fields.push(field("uses", Some(on), None));
            }
            self.finish(edit, EventKind::AgentChanged, env)
        })
    }

    /// What an agent has of each connection.
    ///
    /// # Errors
    /// There is no such agent.
    pub fn access(&self, id: &str) -> Answer<Vec<ConnectionAccess>> {
        let agent = self.record(id)?.subject();
        let view = self.tenant.view()?;
        let mut all: BTreeMap<String, ConnectionAccess> = BTreeMap::new();
        #[expect(clippy::needless_pass_by_value, reason = "it is taken where it is given")]
        fn of(all: &mut BTreeMap<String, ConnectionAccess>, connection: String) -> &mut ConnectionAccess {
            all.entry(connection.clone()).or_insert_with(|| ConnectionAccess {
                connection: format!("connection:{connection}"),
                usable: false,
                automatic: Vec::new(),
                needs_approval: Vec::new(),
                never: Vec::new(),
            })
        }
        for connection in self.objects(&view, "connection", "allowed", &agent)? {
            let usable = self.is(&view, &agent, "usable", &format!("connection:{connection}"))?;
            of(&mut all, connection).usable = usable;
        }
        for class in ScopeClass::ALL {
            for object in self.objects(&view, "connection_scope", class.name(), &agent)? {
                let Some((connection, scope)) = connection_scope_of(&object) else { continue };
                let access = of(&mut all, connection);
                match class {
                    ScopeClass::Automatic => access.automatic.push(scope),
                    ScopeClass::NeedsApproval => access.needs_approval.push(scope),
                    ScopeClass::Never => access.never.push(scope),
                }
            }
        }
        Ok(all.into_values().collect())
    }

    /// The ids of all objects of a type to which an agent has a relation.
    pub(super) fn objects(&self, view: &View, kind: &str, relation: &str, subject: &str) -> Answer<Vec<String>> {
        let form = |error: crate::tuple::TupleTextError| Refusal::failed("subject.form", error.to_string());
        let query = ListObjectsQuery {
            object_type: kind,
            relation,
            subject: SubjectRef::parse(subject).map_err(form)?,
            given: Given::default(),
        };
        Ok(view.list_objects(&query, &Limits::default())?.iter().map(str::to_owned).collect())
    }

    fn scopes_of_class(&self, view: &View, agent: &str, class: &str, connection: &str) -> Answer<Vec<String>> {
        let objects = self.objects(view, "connection_scope", class, agent)?;
        let parts = objects.iter().filter_map(|object| connection_scope_of(object));
        Ok(parts.filter(|(of, _)| of == connection).map(|(_, scope)| scope).collect())
    }

    /// The class that a scope has for an agent by a tuple of its own.
    fn class(&self, object: &str, agent: &str) -> Answer<Option<ScopeClass>> {
        for class in ScopeClass::ALL {
            if self.has_tuple(object, class.name(), agent)? {
                return Ok(Some(class));
            }
        }
        Ok(None)
    }

    /// Whether a tuple is stored.
    pub(super) fn has_tuple(&self, object: &str, relation: &str, subject: &str) -> Answer<bool> {
        has_tuple(self.tenant, object, relation, subject)
    }
}

/// Whether a tuple is stored in a tenant's system store.
pub(super) fn has_tuple(tenant: &Tenant, object: &str, relation: &str, subject: &str) -> Answer<bool> {
    let form = |error: crate::tuple::TupleTextError| Refusal::failed("tuple.form", error.to_string());
    let object = ObjectRef::parse(object).map_err(form)?;
    let query = crate::engine::ReadQuery {
        object_type: Some(object.object_type),
        object_id: Some(object.id),
        relation: Some(relation),
        subject: Some(SubjectRef::parse(subject).map_err(form)?),
        page_size: 1,
        after: None,
    };
    Ok(!tenant.engine().read(tenant.system_store(), &query)?.value.tuples.is_empty())
}

fn check_scopes(access: &Access) -> Answer<()> {
    let invalid = |text: String| Err(Refusal::new(ErrorCode::InvalidScope, "access.scopes", text));
    if access.scopes.len() > SCOPES_PER_CHANGE_MAX {
        return invalid(format!("one change classes at most {SCOPES_PER_CHANGE_MAX} scopes; split it"));
    }
    match access.scopes.keys().find(|scope| !is_scope(scope)) {
        Some(bad) => invalid(format!("`{bad}` is no scope")),
        None => Ok(()),
    }
}
