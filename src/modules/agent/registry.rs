//! Agents from the first sight to the tombstone: each step a Check, a write and an entry of history.

use super::account::ACCOUNT_WAITING;
use super::draft;
use super::edit::{Edit, complete, conflict, denied, field, team_id};
use super::records::{check_text, padded};
use super::stage::{Stage, Step, Who};
use super::{AGENT, AgentRecord, Approvals, By, HistoryEntry, Origin, PURPOSE_BYTES_MAX, Profile, Suspension};
use crate::engine::{Given, Limits, ListUsersQuery, ReadQuery, View};
use crate::identity::{
    Answer, Client, ClientKind, Env, ErrorCode, EventKind, Held, PAGE_MAX, Refusal, Tenant, again, check_id,
};
use crate::tuple::{ObjectRef, Subject, SubjectRef, Tuple};
use std::collections::HashMap;

/// Records that one page of a list looks at when most do not match.
const LOOKED_AT_MAX: usize = 20_000;
/// Tuples of an agent that one write takes away. Each may name another agent, whose history has it in the same write.
pub(super) const TUPLES_PER_WRITE_MAX: usize = 200;

/// The registry of a tenant.
#[derive(Clone, Copy)]
pub struct Registry<'a> {
    /// Whose agents.
    pub tenant: &'a Tenant,
    /// Who knows approvals.
    pub approvals: &'a dyn Approvals,
}

/// Why nobody answers for an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Orphan {
    /// It has no owner.
    NoOwner,
    /// The team that owns it has no member who may act.
    OwnerEmpty,
    /// It has no accountable person.
    NoAccountable,
    /// The accountable person is gone, or may do nothing for now.
    AccountableGone,
}

impl Orphan {
    /// As answers and events name it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Orphan::NoOwner => "no_owner",
            Orphan::OwnerEmpty => "owner_empty",
            Orphan::NoAccountable => "no_accountable",
            Orphan::AccountableGone => "accountable_gone",
        }
    }
}

/// Who was looked at for a list, so that many agents of one team are one question.
#[derive(Default)]
struct Known {
    /// Teams, and whether they have people.
    teams: HashMap<String, bool>,
    /// People, and whether they may act.
    people: HashMap<String, bool>,
}

/// An agent as it is shown.
#[derive(Clone, Debug)]
pub struct Agent {
    /// What is kept of it.
    pub record: AgentRecord,
    /// Where it is in its life, with what tuples say.
    pub stage: Stage,
    /// Why nobody answers for it, each reason. Nothing for one that is gone, or was only seen.
    pub orphaned: Vec<Orphan>,
}

/// Which agents are listed.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Of this stage.
    pub stage: Option<Stage>,
    /// Owned by this team, `team:ID`.
    pub owner: Option<String>,
    /// For which this person answers, `user:ID`.
    pub accountable: Option<String>,
    /// With these letters in id, name or purpose; small and large ones are the same.
    pub text: Option<String>,
    /// Only those for which nobody answers.
    pub orphaned: bool,
    /// Only those that this subject operates.
    pub operator: Option<String>,
}

impl Filter {
    /// What can be said from the record alone; `text` is in small letters.
    fn admits(&self, record: &AgentRecord, text: Option<&str>) -> bool {
        let profile = &record.profile;
        let said = |text: &str| {
            let said = [&record.id, &profile.name, &profile.purpose];
            said.iter().any(|said| said.to_lowercase().contains(text))
        };
        self.owner.as_ref().is_none_or(|owner| profile.owner.as_ref() == Some(owner))
            && self.accountable.as_ref().is_none_or(|person| profile.accountable.as_ref() == Some(person))
            && text.is_none_or(said)
    }
}

impl<'a> Registry<'a> {
    /// Registers an agent under an id, or under a fresh one. It can do nothing before it is activated.
    ///
    /// # Errors
    /// They may not own it, the id is taken, or something is not right.
    pub fn register(&self, by: By<'a>, id: Option<&str>, profile: &Profile, env: &Env<'_>) -> Answer<Agent> {
        profile.check()?;
        let id = id.map_or_else(|| env.id(), str::to_owned);
        again(|| {
            let view = self.tenant.view()?;
            self.may_own(&view, by, profile)?;
            self.check_people(&view, profile)?;
            let record = fresh(&id, profile, Stage::Registered, None, env);
            let mut edit = self.begin(by, record, "register", env)?;
            edit.rests_on(&view);
            let client = Client::new(&id, ClientKind::Agent, &profile.name);
            self.tenant.add_dormant_client(&mut edit.change, &client, env)?;
            self.set_profile(&mut edit, profile, env)?;
            self.finish(edit, EventKind::AgentRegistered, env)
        })
    }

    /// An agent.
    ///
    /// # Errors
    /// There is none.
    pub fn get(&self, id: &str) -> Answer<Agent> {
        let record = self.record(id)?.value;
        self.show(&self.tenant.view()?, record)
    }

    pub(super) fn record(&self, id: &str) -> Answer<Held<AgentRecord>> {
        check_id(id).map_err(|_| Refusal::not_found("agent"))?;
        self.tenant.held::<AgentRecord>(&[id])
    }

    /// Agents in the order of their ids, behind the id `after`: at most `max`, and behind which to go on when there may be
    /// more.
    ///
    /// # Errors
    /// The disk failed.
    pub fn list(&self, filter: &Filter, after: Option<&str>, max: usize) -> Answer<(Vec<Agent>, Option<String>)> {
        let view = self.tenant.view()?;
        let text = filter.text.as_ref().map(|text| text.to_lowercase());
        let (mut page, mut known, mut at, mut seen) = (Vec::new(), Known::default(), after.map(str::to_owned), 0);
        loop {
            let records = self.tenant.list::<AgentRecord>(&[], at.as_deref(), PAGE_MAX)?;
            let last = records.len() < PAGE_MAX;
            for held in records {
                if page.len() >= max || seen == LOOKED_AT_MAX {
                    return Ok((page, at));
                }
                (seen, at) = (seen + 1, Some(held.id.clone()));
                if !filter.admits(&held, text.as_deref()) {
                    continue;
                }
                if let Some(operator) = &filter.operator
                    && !self.is(&view, operator, "operator", &held.subject())?
                {
                    continue;
                }
                let agent = self.show_with(&view, held.value, &mut known)?;
                let wanted = filter.stage.is_none_or(|stage| stage == agent.stage);
                if wanted && (!filter.orphaned || !agent.orphaned.is_empty()) {
                    page.push(agent);
                }
            }
            if last {
                return Ok((page, None));
            }
        }
    }

    /// Whom a list is bound to: nobody for who may see all agents, an auditor of the tenant; else the subject, who sees those
    /// that they operate.
    ///
    /// # Errors
    /// It could not be decided.
    pub fn sees_only(&self, by: By<'_>) -> Answer<Option<String>> {
        match by {
            By::Machine => Ok(None),
            By::Subject(subject) => {
                let all = self.is(&self.tenant.view()?, subject, "auditor", &self.tenant.object())?;
                Ok((!all).then(|| subject.to_owned()))
            }
        }
    }

    /// Refuses who may not look at an agent: neither an auditor nor one of its operators. To them it is not there.
    ///
    /// # Errors
    /// They may not.
    pub fn may_read(&self, by: By<'_>, id: &str) -> Answer<()> {
        let record = self.record(id)?;
        let Some(subject) = self.sees_only(by)? else { return Ok(()) };
        if self.is(&self.tenant.view()?, &subject, "operator", &record.subject())? {
            return Ok(());
        }
        Err(Refusal::not_found("agent"))
    }

    /// What was changed of an agent, from the first, behind the entry `after`; at most `max`.
    ///
    /// # Errors
    /// There is no such agent.
    pub fn history(&self, id: &str, after: u32, max: usize) -> Answer<Vec<HistoryEntry>> {
        self.record(id)?;
        let entries = self.tenant.list::<HistoryEntry>(&[id], Some(&padded(after)), max)?;
        Ok(entries.into_iter().map(|held| held.value).collect())
    }

    /// Says other things of an agent. Who owns it and who answers for it are changed by who answers for it now, or by an
    /// administrator.
    ///
    /// # Errors
    /// They may not, or something is not right.
    pub fn change(&self, by: By<'a>, id: &str, profile: &Profile, env: &Env<'_>) -> Answer<Agent> {
        profile.check()?;
        again(|| {
            let view = self.tenant.view()?;
            let mut edit = self.edit(by, id, "change", env)?;
            let before = &edit.record.profile;
            let people = before.owner != profile.owner || before.accountable != profile.accountable;
            self.may(&view, &mut edit, if people { Who::Answerable } else { Who::Operator })?;
            edit.fields = edit.record.profile.changes_to(profile);
            if edit.fields.is_empty() {
                return self.get(id);
            }
            if edit.record.stage == Stage::Discovered {
                return Err(conflict("agent.stage", "nobody has taken on this agent yet; adopt it"));
            }
            if people {
                self.check_people(&view, profile)?;
            }
            if edit.record.stage == Stage::Active {
                complete(profile)?;
            }
            self.set_profile(&mut edit, profile, env)?;
            self.finish(edit, EventKind::AgentChanged, env)
        })
    }

    /// Takes on an agent that was seen.
    ///
    /// # Errors
    /// They may not own it, it is not `discovered`, or something is not right.
    pub fn adopt(&self, by: By<'a>, id: &str, profile: &Profile, env: &Env<'_>) -> Answer<Agent> {
        profile.check()?;
        again(|| {
            let view = self.tenant.view()?;
            let mut edit = self.edit(by, id, Step::Adopt.name(), env)?;
            edit.rests_on(&view);
            self.may_own(&view, by, profile)?;
            self.step(&view, &mut edit, Step::Adopt)?;
            waits_no_more(&mut edit, id);
            self.check_people(&view, profile)?;
            edit.fields.extend(edit.record.profile.changes_to(profile));
            self.set_profile(&mut edit, profile, env)?;
            if let Some(Origin::Document { document, .. }) = &edit.record.origin {
                // From now on the client is whom the document says.
                let client = self.tenant.client(id)?;
                self.tenant.name_client(&mut edit.change, &client, document, &profile.name);
            }
            self.finish(edit, EventKind::AgentRegistered, env)
        })
    }

    /// Lets an agent act. It has a purpose, a team that owns it and a person who answers for it, who are there.
    ///
    /// # Errors
    /// One of them is missing, they may not, or it is not `registered`.
    pub fn activate(&self, by: By<'a>, id: &str, env: &Env<'_>) -> Answer<Agent> {
        again(|| {
            let view = self.tenant.view()?;
            let mut edit = self.edit(by, id, Step::Activate.name(), env)?;
            self.may(&view, &mut edit, Step::Activate.who())?;
            self.step(&view, &mut edit, Step::Activate)?;
            complete(&edit.record.profile)?;
            self.check_people(&view, &edit.record.profile)?;
            edit.change.relate(&self.tenant.object(), "member", &edit.record.subject());
            self.finish(edit, EventKind::AgentChanged, env)
        })
    }

    /// Lets an agent do nothing for now: one tuple, which the next decision anywhere sees.
    ///
    /// # Errors
    /// They may not, or it is not `active`.
    pub fn suspend(&self, by: By<'a>, id: &str, reason: &str, env: &Env<'_>) -> Answer<Agent> {
        check_text("reason", reason, PURPOSE_BYTES_MAX)?;
        again(|| {
            let view = self.tenant.view()?;
            let mut edit = self.edit(by, id, Step::Suspend.name(), env)?;
            self.may(&view, &mut edit, Step::Suspend.who())?;
            self.step(&view, &mut edit, Step::Suspend)?;
            edit.change.relate(&self.tenant.object(), "suspended", &edit.record.subject());
            edit.fields.push(field("reason", None, Some(reason).filter(|r| !r.is_empty())));
            edit.record.suspension = Some(Suspension {
                by: by.name().to_owned(),
                admin: self.is_admin(&view, by)?,
                at: env.seconds(),
                reason: reason.to_owned(),
            });
            self.finish(edit, EventKind::AgentSuspended, env)
        })
    }

    /// Lets a suspended agent act again.
    ///
    /// # Errors
    /// They may not, it is not `suspended`, or all agents are.
    pub fn resume(&self, by: By<'a>, id: &str, env: &Env<'_>) -> Answer<Agent> {
        again(|| {
            let view = self.tenant.view()?;
            let mut edit = self.edit(by, id, Step::Resume.name(), env)?;
            self.may(&view, &mut edit, Step::Resume.who())?;
            self.step(&view, &mut edit, Step::Resume)?;
            // A suspension that did not come through here, a detector's, is an administrator's to lift.
            let owners = edit.record.suspension.as_ref().is_some_and(|suspension| !suspension.admin);
            if !owners && !self.is_admin(&view, by)? {
                let text = "an administrator suspended this agent; only an administrator lets it act again";
                return Err(denied("agent.suspended.admin", text));
            }
            if self.is_everybody_suspended()? {
                let text = "all agents of the tenant are suspended; let them act again first";
                return Err(conflict("agent.suspended.all", text));
            }
            edit.change.unrelate(&self.tenant.object(), "suspended", &edit.record.subject());
            edit.record.suspension = None;
            self.finish(edit, EventKind::AgentResumed, env)
        })
    }

    /// Ends an agent: from this write on it can do nothing, and all that was handed out for it is void. The tuples that name
    /// it go with it; those that do not fit into one write, in further ones. Its record, its history and its id stay.
    ///
    /// # Errors
    /// They may not, it is gone already, or it is the last administrator.
    pub fn retire(&self, by: By<'a>, id: &str, reason: &str, env: &Env<'_>) -> Answer<Agent> {
        check_text("reason", reason, PURPOSE_BYTES_MAX)?;
        let retired = again(|| {
            let view = self.tenant.view()?;
            let mut edit = self.edit(by, id, Step::Retire.name(), env)?;
            self.may(&view, &mut edit, Step::Retire.who())?;
            self.step(&view, &mut edit, Step::Retire)?;
            self.clear(&mut edit, env)?;
            edit.fields.push(field("reason", None, Some(reason).filter(|r| !r.is_empty())));
            edit.record.suspension = None;
            self.finish(edit, EventKind::AgentRetired, env)
        })?;
        let mut further = false;
        while again(|| self.take_rest(by, id, env))? {
            further = true;
        }
        if further { self.get(id) } else { Ok(retired) }
    }

    /// Takes away tuples that still name an agent that is retired, as many as one write takes. Whether there were any.
    fn take_rest(&self, by: By<'_>, id: &str, env: &Env<'_>) -> Answer<bool> {
        let rest = self.tuples_of(&self.tenant.view()?, id, TUPLES_PER_WRITE_MAX)?;
        if rest.is_empty() {
            return Ok(false);
        }
        let mut change = self.tenant.change(env);
        change.said_by(by.name());
        for tuple in &rest {
            change.unrelate(&tuple.object.to_string(), &tuple.relation, &tuple.subject.to_string());
        }
        change.commit()?;
        Ok(true)
    }

    /// Takes away what an agent has that ends: its client, its tuples (as many as one write takes), its place among drafts.
    pub(super) fn clear(&self, edit: &mut Edit<'_>, env: &Env<'_>) -> Answer<()> {
        let id = edit.record.id.clone();
        waits_no_more(edit, &id);
        for tuple in self.tuples_of(&self.tenant.view()?, &id, TUPLES_PER_WRITE_MAX)? {
            let (object, subject) = (tuple.object.to_string(), tuple.subject.to_string());
            edit.fields.push(field(&format!("{object}#{}", tuple.relation), Some(&subject), None));
            if tuple.relation != "member" || tuple.object.object_type != "tenant" {
                edit.change.unrelate(&object, &tuple.relation, &subject);
            }
        }
        match self.tenant.client(&id) {
            Ok(client) => self.tenant.drop_client(&mut edit.change, &client, env)?, // and `tenant#member`
            Err(refusal) if refusal.error == ErrorCode::NotFound => {}              // it was deleted by itself
            Err(refusal) => return Err(refusal),
        }
        Ok(())
    }

    /// Where an agent is in its life: the record, but for what one tuple says.
    pub(super) fn stage(&self, view: &View, record: &AgentRecord) -> Answer<Stage> {
        if record.stage == Stage::Active && self.is(view, &record.subject(), "suspended", &self.tenant.object())? {
            return Ok(Stage::Suspended);
        }
        Ok(record.stage)
    }

    pub(super) fn show(&self, view: &View, record: AgentRecord) -> Answer<Agent> {
        self.show_with(view, record, &mut Known::default())
    }

    fn show_with(&self, view: &View, record: AgentRecord, known: &mut Known) -> Answer<Agent> {
        let stage = self.stage(view, &record)?;
        let mut orphaned = Vec::new();
        if matches!(stage, Stage::Discovered | Stage::Retired) {
            return Ok(Agent { record, stage, orphaned });
        }
        match &record.profile.owner {
            None => orphaned.push(Orphan::NoOwner),
            Some(team) => {
                if !known.teams.contains_key(team) {
                    known.teams.insert(team.clone(), self.has_people(view, team)?);
                }
                if known.teams.get(team) != Some(&true) {
                    orphaned.push(Orphan::OwnerEmpty);
                }
            }
        }
        match &record.profile.accountable {
            None => orphaned.push(Orphan::NoAccountable),
            Some(person) => {
                if !known.people.contains_key(person) {
                    known.people.insert(person.clone(), self.is(view, person, "active", &self.tenant.object())?);
                }
                if known.people.get(person) != Some(&true) {
                    orphaned.push(Orphan::AccountableGone);
                }
            }
        }
        Ok(Agent { record, stage, orphaned })
    }

    /// Whether a team has a member who may act.
    pub(super) fn has_people(&self, view: &View, team: &str) -> Answer<bool> {
        let query = ListUsersQuery {
            object: ObjectRef { object_type: "team", id: team_id(team)? },
            relation: "member",
            subject_type: "user",
            subject_relation: None,
            given: Given::default(),
        };
        for member in view.list_users(&query, &Limits::default())? {
            if matches!(member, Subject::Object(_))
                && self.is(view, &member.to_string(), "active", &self.tenant.object())?
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Tuples in which an agent is the object or the subject, at most `max`.
    fn tuples_of(&self, view: &View, id: &str, max: usize) -> Answer<Vec<Tuple>> {
        let (engine, store) = (self.tenant.engine(), self.tenant.system_store());
        let agent = ObjectRef { object_type: "agent", id };
        let about = ReadQuery { object_type: Some("agent"), object_id: Some(id), ..ReadQuery::default() };
        let by_type = view.model().types.iter().map(|definition| ReadQuery {
            object_type: Some(&definition.name),
            subject: Some(SubjectRef::Object(agent)),
            ..ReadQuery::default()
        });
        let mut tuples: Vec<Tuple> = Vec::new();
        for query in std::iter::once(about).chain(by_type) {
            let query = ReadQuery { page_size: max.saturating_sub(tuples.len()), ..query };
            tuples.extend(engine.read(store, &query)?.value.tuples.into_iter().map(|stored| stored.tuple));
        }
        Ok(tuples)
    }

    fn is_everybody_suspended(&self) -> Answer<bool> {
        self.has_tuple(&self.tenant.object(), "suspended", "agent:*")
    }
}

/// A draft gives its place free.
fn waits_no_more(edit: &mut Edit<'_>, id: &str) {
    draft::waits_no_more(edit, id);
    edit.change.unmark(AGENT, ACCOUNT_WAITING, &[id]);
}

/// The record of an agent that is new.
pub(super) fn fresh(id: &str, profile: &Profile, stage: Stage, origin: Option<Origin>, env: &Env<'_>) -> AgentRecord {
    AgentRecord {
        id: id.to_owned(),
        profile: profile.clone(),
        stage,
        origin,
        suspension: None,
        created_at: env.seconds(),
        changed_at: env.seconds(),
        version: 1,
    }
}
