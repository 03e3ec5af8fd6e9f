//! Agents for which nobody answers any more: whoever operates them still is told, the administrators among them, who may give
//! them to somebody else; and these once more when nobody did in a week. Until then the agent acts as before, and is listed as
//! orphaned: that people leave stops no work.

use super::records::AGENT;
use super::{Agent, Filter, Orphan, Registry, Stage};
use crate::engine::{Given, Limits, ListUsersQuery, Module, View};
use crate::identity::{Answer, Env, EventKind, Held, Outcome, Refusal, Seconds, Stored, Tenant};
use crate::tuple::{ObjectRef, Subject};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// How long it takes until the administrators are told once more, in seconds.
pub const ESCALATED_AFTER_S: Seconds = 7 * 24 * 3_600;
/// Most people who are told of one agent.
const TOLD_MAX: usize = 50;
/// Agents that are looked at in one go.
const PAGE: usize = 500;

/// That nobody answers for an agent, from when it was noticed until somebody does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Orphaned {
    /// When it was noticed.
    since: Seconds,
    /// Whether the administrators were told once more.
    escalated: bool,
}

impl Stored for Orphaned {
    const MODULE: Module = AGENT;
    const SORT: u8 = b'u';
    const WHAT: &'static str = "agent for which nobody answers";
}

/// Has people told. `server.rs` plugs it in.
pub trait Tell {
    /// Nobody answers for these agents, by their ids, which a person operates.
    ///
    /// # Errors
    /// The disk failed; it is told again.
    fn orphaned(&self, tenant: &Tenant, user: &str, agents: &[String], env: &Env<'_>) -> Answer<()>;
}

/// An agent of which somebody has to be told now. One that may not act yet is nobody's worry.
struct Due {
    agent: Agent,
    known: Option<Held<Orphaned>>,
    people: BTreeSet<String>,
}

impl Registry<'_> {
    /// Looks for agents for which nobody answers any more, and has those told who operate them still: the team that owns them,
    /// and the administrators, who may give them to somebody else; and these once more when a week has passed. Answers of how many
    /// agents somebody was told. Each is told once; what fails in the middle is told again.
    ///
    /// # Errors
    /// The disk failed, or it could not be decided who operates an agent.
    pub fn tell_of_orphans(&self, tell: &dyn Tell, env: &Env<'_>) -> Answer<usize> {
        // Nobody of a suspended tenant may act. That is no reason to give its agents to others.
        if self.has_nobody(&self.tenant.view()?)? {
            return Ok(0);
        }
        let (mut after, mut told) = (None::<String>, 0);
        let filter = Filter { orphaned: true, ..Filter::default() };
        loop {
            let (agents, next) = self.list(&filter, after.as_deref(), PAGE)?;
            told += self.tell_page(agents, tell, env)?;
            after = next;
            if after.is_none() {
                break;
            }
        }
        self.forget_answered(env)?;
        Ok(told)
    }

    /// Whether no administrator may act: nobody is told then.
    fn has_nobody(&self, view: &View) -> Answer<bool> {
        Ok(self.people(view, &self.tenant.object(), "admin")?.is_empty())
    }

    fn tell_page(&self, agents: Vec<Agent>, tell: &dyn Tell, env: &Env<'_>) -> Answer<usize> {
        let view = self.tenant.view()?;
        let (mut due, mut of_person) = (Vec::new(), BTreeMap::<String, Vec<String>>::new());
        for agent in agents.into_iter().filter(|agent| matches!(agent.stage, Stage::Active | Stage::Suspended)) {
            let known = self.tenant.get::<Orphaned>(&[&agent.record.id])?;
            let waited = known.as_ref().map(|known| env.seconds().saturating_sub(known.since));
            let escalate = waited.is_some_and(|waited| waited >= ESCALATED_AFTER_S);
            if known.as_ref().is_some_and(|known| known.escalated || !escalate) {
                continue;
            }
            let people = self.who_is_told(&view, &agent, escalate)?;
            for person in &people {
                of_person.entry(person.clone()).or_default().push(agent.record.id.clone());
            }
            due.push(Due { agent, known, people });
        }
        for (person, agents) in &of_person {
            tell.orphaned(self.tenant, person, agents, env)?;
        }
        due.iter().try_for_each(|due| self.note(due, env))?;
        Ok(due.len())
    }

    fn note(&self, Due { agent, known, people }: &Due, env: &Env<'_>) -> Answer<()> {
        let escalated = known.is_some();
        let orphaned = Orphaned { since: known.as_ref().map_or(env.seconds(), |known| known.since), escalated };
        let mut change = self.tenant.change(env);
        match known {
            Some(known) => change.replace(known, &orphaned),
            None => change.create(&[&agent.record.id], &orphaned),
        }
        let event = self.tenant.event(EventKind::AgentOrphaned, Outcome::Done, env).agent(agent.record.subject());
        let event = event.detail("why", agent.orphaned.iter().copied().map(Orphan::name).collect::<Vec<_>>().join(" "));
        let event = event.detail("told", people.iter().cloned().collect::<Vec<_>>().join(" "));
        change.event(&if escalated { event.reason("escalated") } else { event });
        match change.commit() {
            // Somebody changed it meanwhile: the next look sees how it stands.
            Err(refusal) if !refusal.is_stale() => Err(refusal),
            _ => Ok(()),
        }
    }

    /// The ids of the people who are told of an agent.
    fn who_is_told(&self, view: &View, agent: &Agent, escalate: bool) -> Answer<BTreeSet<String>> {
        if escalate {
            return self.people(view, &self.tenant.object(), "admin");
        }
        self.people(view, &agent.record.subject(), "operator")
    }

    fn people(&self, view: &View, object: &str, relation: &str) -> Answer<BTreeSet<String>> {
        let (object_type, id) =
            object.split_once(':').ok_or_else(|| Refusal::failed("orphans.object", object.to_owned()))?;
        let object = ObjectRef { object_type, id };
        let given = Given::default();
        let query = ListUsersQuery { object, relation, subject_type: "user", subject_relation: None, given };
        let subjects = view.list_users(&query, &Limits::default())?;
        let ids = subjects.into_iter().filter_map(|subject| match subject {
            Subject::Object(_) => subject.to_string().split_once(':').map(|(_, id)| id.to_owned()),
            Subject::Userset { .. } | Subject::Wildcard { .. } => None,
        });
        Ok(ids.take(TOLD_MAX).collect())
    }

    /// Forgets those for which somebody answers again, or that are retired.
    fn forget_answered(&self, env: &Env<'_>) -> Answer<()> {
        let mut after = None::<String>;
        loop {
            let page = self.tenant.list::<Orphaned>(&[], after.as_deref(), PAGE)?;
            for held in &page {
                if self.get(&held.last()).is_ok_and(|agent| agent.orphaned.is_empty()) {
                    let mut change = self.tenant.change(env);
                    change.remove(held);
                    change.commit()?;
                }
            }
            after = page.last().filter(|_| page.len() == PAGE).map(Held::last);
            if after.is_none() {
                return Ok(());
            }
        }
    }
}
