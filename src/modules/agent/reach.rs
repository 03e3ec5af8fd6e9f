//! What hangs together: which agents need what, and what an agent reaches. All of it is asked of the engine, whose sets have
//! the numbers; names are told up to a bound.

use super::Registry;
use super::records::id_of;
use crate::engine::{Consistency, Given, Limits, ListObjectsQuery, ListUsersQuery, View};
use crate::identity::{Answer, Client, ErrorCode, Held, OPENID_SCOPES, Refusal, Tenant, scope_object};
use crate::tuple::{ObjectRef, StoreId, SubjectRef};
use serde::Serialize;
use std::collections::BTreeSet;

/// Most names that are told of each kind; the number is exact.
pub const NAMES_MAX: usize = 100;
/// Most relations of a data store's model that are asked for.
const RELATIONS_MAX: usize = 512;

/// Who knows where connections lead: the vault and the exchange of tokens do; whoever puts the house together plugs them in.
pub trait Destinations: Send + Sync {
    /// The server to which a connection leads, by the connection's id; nothing of one that is gone.
    ///
    /// # Errors
    /// The disk failed.
    fn of(&self, tenant: &Tenant, connection: &str) -> Answer<Option<String>>;
}

/// Where nobody knows.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoDestinations;

impl Destinations for NoDestinations {
    fn of(&self, _: &Tenant, _: &str) -> Answer<Option<String>> {
        Ok(None)
    }
}

/// How many, and the first of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Names {
    /// How many.
    pub count: usize,
    /// The first [`NAMES_MAX`].
    pub names: Vec<String>,
}

impl Names {
    fn of(kind: &str, ids: impl Iterator<Item = String>, count: usize) -> Names {
        Names { count, names: ids.take(NAMES_MAX).map(|id| format!("{kind}:{id}")).collect() }
    }

    /// All of these, each once, in their order.
    fn all(texts: impl IntoIterator<Item = String>) -> Names {
        let all: BTreeSet<String> = texts.into_iter().collect();
        Names { count: all.len(), names: all.into_iter().take(NAMES_MAX).collect() }
    }
}

/// What an object needs, or what needs it: at once, and in the end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Side {
    /// Without anything between.
    pub direct: Names,
    /// In all.
    pub all: Names,
}

/// The dependencies of an agent, a connection or an MCP server, both ways.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Dependencies {
    /// Agents that it needs.
    pub agents: Side,
    /// Connections that it needs.
    pub connections: Side,
    /// MCP servers that it needs.
    pub mcp_servers: Side,
    /// Agents that break when it does.
    pub needed_by: Side,
}

/// Objects of a data store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DataReach {
    /// Their type.
    pub object_type: String,
    /// What may be done with them.
    pub relation: String,
    /// Which.
    pub objects: Names,
}

/// What an agent reaches: how far the damage goes when it goes wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reach {
    /// Whether it may act at all now. If not, all below is empty but `data`, which is another store's.
    pub active: bool,
    /// Connections that it may use.
    pub connections: Names,
    /// Scopes of connections that it has without asking anybody.
    pub automatic: Names,
    /// Scopes of connections that it may have when a person approves.
    pub with_approval: Names,
    /// Servers to which the connections lead that it may use: the API, a resource of ours, the issuer of another domain.
    pub targets: Names,
    /// Scopes of our own resources that are checked, and that it may hold.
    pub scopes: Names,
    /// Scopes that it may ask for and nobody checks: those of our own resources, and of OpenID Connect by their names.
    pub unchecked_scopes: Names,
    /// Our own resources that it may ask for.
    pub resources: Names,
    /// The resources that it is: what tokens for these say it is told, and may exchange.
    pub serves: Names,
    /// Agents that break with it.
    pub needed_by: Names,
    /// What it reaches in a data store, by type and relation; those without any object are left out.
    pub data: Vec<DataReach>,
}

fn form(error: &crate::tuple::TupleTextError) -> Refusal {
    Refusal::new(ErrorCode::InvalidRequest, "subject.form", error.to_string())
}

fn objects(view: &View, object_type: &str, relation: &str, subject: &str) -> Answer<Names> {
    let subject = SubjectRef::parse(subject).map_err(|error| form(&error))?;
    let query = ListObjectsQuery { object_type, relation, subject, given: Given::default() };
    let found = view.list_objects(&query, &Limits::default())?;
    Ok(Names::of(object_type, found.iter().map(str::to_owned), found.len()))
}

fn subjects(view: &View, object: &str, relation: &str, subject_type: &str) -> Answer<Names> {
    let object = ObjectRef::parse(object).map_err(|error| form(&error))?;
    let query = ListUsersQuery { object, relation, subject_type, subject_relation: None, given: Given::default() };
    let mut found: Vec<String> =
        view.list_users(&query, &Limits::default())?.into_iter().map(|subject| subject.to_string()).collect();
    found.sort_unstable();
    let count = found.len();
    found.truncate(NAMES_MAX);
    Ok(Names { count, names: found })
}

impl Registry<'_> {
    /// What an agent, a connection or an MCP server needs, and which agents need it.
    ///
    /// # Errors
    /// It is none of these.
    pub fn dependencies(&self, object: &str) -> Answer<Dependencies> {
        let kind = ["agent", "connection", "mcp_server"].into_iter().find(|kind| id_of(kind, object).is_ok());
        let Some(kind) = kind else {
            let text = format!("`{object}` has no dependencies; write `agent:ID`, `connection:ID` or `mcp_server:ID`");
            return Err(Refusal::new(ErrorCode::InvalidRequest, "reach.object", text));
        };
        let view = self.tenant.view()?;
        let mut found = Dependencies::default();
        if kind == "agent" {
            let needs = |kind| -> Answer<Side> {
                Ok(Side {
                    direct: subjects(&view, object, "uses", kind)?,
                    all: subjects(&view, object, "depends_on", kind)?,
                })
            };
            found.agents = needs("agent")?;
            found.connections = needs("connection")?;
            found.mcp_servers = needs("mcp_server")?;
        }
        found.needed_by = Side {
            direct: objects(&view, "agent", "uses", object)?,
            all: objects(&view, "agent", "depends_on", object)?,
        };
        Ok(found)
    }

    /// What an agent reaches. With a data store, what it reaches there too: as itself, or as `data_subject`, the person for
    /// whom it acts.
    ///
    /// # Errors
    /// There is no such agent or store, or the store's model does not know the subject's type.
    pub fn reach(
        &self,
        id: &str,
        (data, data_subject): (Option<StoreId>, Option<&str>),
        destinations: &dyn Destinations,
    ) -> Answer<Reach> {
        let agent = self.record(id)?.subject();
        let view = self.tenant.view()?;
        let active = self.is(&view, &agent, "active", &self.tenant.object())?;
        let data = match data {
            Some(store) => self.data_reach(store, data_subject.unwrap_or(&agent))?,
            None => Vec::new(),
        };
        // Who is gone, or may do nothing now, asks for nothing.
        let client = if active { Some(self.tenant.client(id)?) } else { None };
        let client = client.as_ref();
        Ok(Reach {
            active,
            targets: self.targets(&view, &agent, destinations)?,
            unchecked_scopes: client.map(|client| self.unchecked(client)).transpose()?.unwrap_or_default(),
            resources: client.map(|client| Names::all(client.resources.clone())).unwrap_or_default(),
            serves: client.map(|client| Names::all(client.serves.clone())).unwrap_or_default(),
            connections: objects(&view, "connection", "usable", &agent)?,
            automatic: objects(&view, "connection_scope", "granted", &agent)?,
            with_approval: objects(&view, "connection_scope", "requestable", &agent)?,
            scopes: objects(&view, "scope", "granted", &agent)?,
            needed_by: objects(&view, "agent", "depends_on", &agent)?,
            data,
        })
    }

    /// Where the connections lead that an agent may use.
    fn targets(&self, view: &View, agent: &str, destinations: &dyn Destinations) -> Answer<Names> {
        let mut found = BTreeSet::new();
        for connection in self.objects(view, "connection", "usable", agent)? {
            found.extend(destinations.of(self.tenant, &connection)?);
        }
        Ok(Names::all(found))
    }

    /// The scopes that a client may ask for and that take no tuple. As tokens are given: of a scope that two of its resources
    /// have, each counts for itself.
    fn unchecked(&self, client: &Held<Client>) -> Answer<Names> {
        let of_person = client.scopes.iter().filter(|scope| OPENID_SCOPES.contains(&scope.as_str()));
        let mut found: BTreeSet<String> = of_person.cloned().collect();
        for identifier in &client.resources {
            let Some(resource) = self.tenant.resource(identifier)? else { continue };
            let asked = client.scopes.iter().filter_map(|scope| resource.scope(scope));
            found.extend(asked.filter(|s| !s.checked).map(|scope| scope_object(&resource.id, &scope.name)));
        }
        Ok(Names::all(found))
    }

    fn data_reach(&self, store: StoreId, subject: &str) -> Answer<Vec<DataReach>> {
        let invalid = |text: String| Refusal::new(ErrorCode::InvalidRequest, "reach.store", text);
        if store.is_system() {
            return Err(Refusal::not_found("store"));
        }
        let view = self.tenant.engine().view(store, None, Consistency::Latest);
        let view = view.map_err(|error| invalid(error.to_string()))?;
        let subject_type = subject.split_once(':').map_or(subject, |(kind, _)| kind);
        if view.model().object_type(subject_type).is_none() {
            return Err(invalid(format!(
                "the model of that store has no type `{subject_type}`; ask for a person with `user:ID` if agents act for people there"
            )));
        }
        let types = &view.model().types;
        let pairs = types.iter().flat_map(|t| t.relations.iter().map(move |r| (t.name.as_str(), r.name.as_str())));
        let pairs: Vec<(&str, &str)> = pairs.collect();
        if pairs.len() > RELATIONS_MAX {
            return Err(invalid(format!("the model of that store has more than {RELATIONS_MAX} relations")));
        }
        let mut reached = Vec::new();
        for (object_type, relation) in pairs {
            let found = objects(&view, object_type, relation, subject)?;
            if found.count > 0 {
                let (object_type, relation) = (object_type.to_owned(), relation.to_owned());
                reached.push(DataReach { object_type, relation, objects: found });
            }
        }
        Ok(reached)
    }
}
