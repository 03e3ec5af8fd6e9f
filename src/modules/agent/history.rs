//! History of what others do to an agent: lend it a connection, class a scope, let it act with somebody's tokens, suspend it,
//! say other things of its client. Whoever writes such a change knows nothing of the registry; it looks at each change before
//! it is written, and adds its entry and the agent's next version to the same write.

use super::access::has_tuple;
use super::edit::field;
use super::records::padded;
use super::{AgentRecord, By, FieldChange, HistoryEntry};
use crate::identity::{Answer, Change, Historian, Tenant, check_id};
use crate::tuple::{Object, Subject, Tuple};
use std::collections::BTreeMap;

/// What is done when nothing says what.
const CHANGE: &str = "change";

/// The histories of all agents. Whoever opens the identities of a database plugs it in.
#[derive(Clone, Copy, Debug, Default)]
pub struct Histories;

impl Historian for Histories {
    fn keep(&self, change: &mut Change<'_>) -> Answer<()> {
        let mut fields = of_clients(change);
        of_tuples(change, &mut fields)?;
        let tenant = change.tenant();
        for (id, changes) in fields {
            keep_one(tenant, change, &id, changes)?;
        }
        Ok(())
    }
}

/// The id of an agent whose history somebody has to keep.
fn id_of<'a>(change: &Change<'_>, subject: &'a str) -> Option<&'a str> {
    let id = subject.strip_prefix("agent:").filter(|id| check_id(id).is_ok())?;
    (!change.keeps_history_of(subject)).then_some(id)
}

/// What a change says of clients that are agents.
fn of_clients(change: &Change<'_>) -> BTreeMap<String, Vec<FieldChange>> {
    let mut fields: BTreeMap<String, Vec<FieldChange>> = BTreeMap::new();
    for edit in change.client_edits() {
        if let Some(id) = id_of(change, &edit.client) {
            let changed = field(&edit.field, edit.from.as_deref(), edit.to.as_deref());
            fields.entry(id.to_owned()).or_default().push(changed);
        }
    }
    fields
}

/// Adds what tuples that come and go do to agents.
fn of_tuples(change: &Change<'_>, fields: &mut BTreeMap<String, Vec<FieldChange>>) -> Answer<()> {
    for (tuples, comes) in change.tuples().into_iter().zip([false, true]) {
        for tuple in tuples {
            let agents = [about(tuple), given(tuple)].into_iter().flatten();
            for (agent, name, value) in agents {
                let Some(id) = id_of(change, &agent) else { continue };
                let (object, subject) = (tuple.object.to_string(), tuple.subject.to_string());
                if has_tuple(change.tenant(), &object, &tuple.relation, &subject)? == comes {
                    continue;
                }
                let of = fields.entry(id.to_owned()).or_default();
                match of.iter_mut().find(|other| comes && other.field == name && other.to.is_none()) {
                    Some(before) => before.to = Some(value), // one class of a scope took the place of another
                    None if comes => of.push(field(&name, None, Some(&value))),
                    None => of.push(field(&name, Some(&value), None)),
                }
            }
        }
    }
    Ok(())
}

/// The agent that is the object of a tuple, as whom or what it names: who answers for it, who may act with its tokens.
fn about(tuple: &Tuple) -> Option<(String, String, String)> {
    let tells = tuple.object.object_type == "agent" && tuple.relation != "tenant";
    tells.then(|| (tuple.object.to_string(), tuple.relation.to_string(), tuple.subject.to_string()))
}

/// The agent that a tuple gives something to. What it asks somebody to approve gives it nothing, and that another needs it
/// neither.
fn given(tuple: &Tuple) -> Option<(String, String, String)> {
    let Subject::Object(Object { object_type, .. }) = &tuple.subject else { return None };
    let to = tuple.object.object_type.as_str();
    if object_type != "agent" || to == "approval" || (to == "agent" && tuple.relation == "uses") {
        return None;
    }
    let (object, agent) = (tuple.object.to_string(), tuple.subject.to_string());
    Some(match to {
        // Of a scope of a connection an agent has one class, which the registry tells by its name.
        "connection_scope" => (agent, object, tuple.relation.to_string()),
        _ => (agent.clone(), format!("{object}#{}", tuple.relation), agent),
    })
}

/// Adds the entry and the next version of an agent that is registered.
fn keep_one(tenant: &Tenant, change: &mut Change<'_>, id: &str, changes: Vec<FieldChange>) -> Answer<()> {
    let Some(held) = tenant.get::<AgentRecord>(&[id])?.filter(|_| !changes.is_empty()) else { return Ok(()) };
    let at = u64::try_from(change.at().0 / 1_000_000_000).unwrap_or(0);
    let version = held.version.saturating_add(1);
    let entry = HistoryEntry {
        version,
        at,
        by: change.by().unwrap_or(By::Machine.name()).to_owned(),
        action: change.action().unwrap_or(CHANGE).to_owned(),
        approval: None,
        changes,
    };
    change.replace(&held, &AgentRecord { changed_at: at, version, ..held.value.clone() });
    change.create(&[id, &padded(version)], &entry);
    Ok(())
}
