//! One change of an agent: who makes it, whether they may, and the one write that has the record, tuples, the entry of
//! history and the event.

use super::records::{id_of, padded};
use super::stage::{Stage, Step, Who};
use super::{Agent, AgentRecord, By, FieldChange, HistoryEntry, Profile, Registry};
use crate::engine::{Decision, View};
use crate::identity::{self, Answer, Change, Client, Env, ErrorCode, EventKind, Held, Outcome, Refusal, check_id};
use crate::tuple::Revision;

/// Most changed fields that an event names; the entry of history has them all.
const FIELDS_IN_EVENT_MAX: usize = 8;

/// See the file's head.
pub(super) struct Edit<'a> {
    /// As it was; nothing of an agent that is new.
    held: Option<Held<AgentRecord>>,
    /// As it will be.
    pub(super) record: AgentRecord,
    /// What is written.
    pub(super) change: Change<'a>,
    /// What is different.
    pub(super) fields: Vec<FieldChange>,
    /// What its event says besides.
    pub(super) evidence: Vec<(&'static str, String)>,
    by: By<'a>,
    action: &'static str,
    /// The revision of the Check that allowed it.
    revision: Option<Revision>,
    /// Which approval allowed it.
    pub(super) approval: Option<&'a str>,
}

/// What a change did to a field.
pub(super) fn field(name: &str, from: Option<&str>, to: Option<&str>) -> FieldChange {
    FieldChange { field: name.to_owned(), from: from.map(str::to_owned), to: to.map(str::to_owned) }
}

pub(super) fn denied(rule: &'static str, text: impl Into<String>) -> Refusal {
    Refusal::new(ErrorCode::AccessDenied, rule, text)
}

pub(super) fn conflict(rule: &'static str, text: impl Into<String>) -> Refusal {
    Refusal::new(ErrorCode::Conflict, rule, text)
}

impl Edit<'_> {
    /// Says by which view it is decided whether it may be made. A command needs no Check.
    pub(super) fn rests_on(&mut self, view: &View) {
        self.revision = matches!(self.by, By::Subject(_)).then(|| view.revision());
    }
}

impl<'a> Registry<'a> {
    /// Begins a change of an agent that is not gone.
    pub(super) fn edit(&self, by: By<'a>, id: &str, action: &'static str, env: &Env<'_>) -> Answer<Edit<'a>> {
        let held = self.record(id)?;
        if held.stage == Stage::Retired {
            return Err(conflict("agent.retired", "this agent is retired; nothing of it changes any more"));
        }
        let record =
            AgentRecord { changed_at: env.seconds(), version: held.version.saturating_add(1), ..held.value.clone() };
        let change = self.tenant.change(env);
        let (fields, evidence) = (Vec::new(), Vec::new());
        Ok(Edit { held: Some(held), record, change, fields, evidence, by, action, revision: None, approval: None })
    }

    /// Begins an agent.
    pub(super) fn begin(
        &self,
        by: By<'a>,
        record: AgentRecord,
        action: &'static str,
        env: &Env<'_>,
    ) -> Answer<Edit<'a>> {
        check_id(&record.id)?;
        let (fields, evidence) = (Profile::default().changes_to(&record.profile), Vec::new());
        let change = self.tenant.change(env);
        Ok(Edit { held: None, record, change, fields, evidence, by, action, revision: None, approval: None })
    }

    /// Takes a step in the record, if it can be taken from where the agent is.
    pub(super) fn step(&self, view: &View, edit: &mut Edit<'_>, step: Step) -> Answer<()> {
        let from = self.stage(view, &edit.record)?;
        let Some(to) = from.after(step) else {
            let ways: Vec<&str> = from.steps().map(Step::name).collect();
            let ways = if ways.is_empty() { "no way".to_owned() } else { ways.join(", ") };
            let text = format!("this agent is {}; from there it can go by: {ways}", from.name());
            return Err(conflict("agent.stage", text));
        };
        edit.fields.push(field("stage", Some(from.name()), Some(to.name())));
        // That it is suspended is a tuple, and nothing else.
        edit.record.stage = if to == Stage::Suspended { Stage::Active } else { to };
        Ok(())
    }

    /// Whether a subject has a relation, on a view.
    pub(super) fn is(&self, view: &View, subject: &str, relation: &str, object: &str) -> Answer<bool> {
        Ok(identity::check(view, subject, relation, object)? == Decision::Allow)
    }

    /// Whether somebody is an administrator now.
    pub(super) fn is_admin(&self, view: &View, by: By<'_>) -> Answer<bool> {
        match by {
            By::Machine => Ok(true),
            By::Subject(subject) => self.is(view, subject, "admin", &self.tenant.object()),
        }
    }

    /// Refuses who may not change an agent in this way.
    pub(super) fn may(&self, view: &View, edit: &mut Edit<'_>, who: Who) -> Answer<()> {
        edit.rests_on(view);
        let By::Subject(subject) = edit.by else { return Ok(()) };
        let agent = edit.record.subject();
        if subject == agent {
            return Err(denied("agent.self", "an agent does not change itself; ask who answers for it"));
        }
        let tenant = self.tenant.object();
        let allowed = match who {
            Who::Operator => self.is(view, subject, "operator", &agent)?,
            Who::Answerable => {
                let answers = self.is(view, subject, "accountable", &agent)?;
                self.is_admin(view, edit.by)? || (answers && self.is(view, subject, "active", &tenant)?)
            }
            Who::Owner => return self.may_own(view, edit.by, &edit.record.profile),
        };
        let text = match who {
            Who::Operator => "this takes a member of the team that owns the agent, or an administrator",
            Who::Answerable | Who::Owner => "this takes the person who answers for the agent, or an administrator",
        };
        if allowed { Ok(()) } else { Err(denied("agent.not_allowed", text)) }
    }

    /// Refuses who may not take on an agent with this profile.
    pub(super) fn may_own(&self, view: &View, by: By<'_>, profile: &Profile) -> Answer<()> {
        if self.is_admin(view, by)? {
            return Ok(());
        }
        if let (By::Subject(subject), Some(team)) = (by, &profile.owner)
            && subject.starts_with("user:")
            && self.is(view, subject, "active", &self.tenant.object())?
            && self.is(view, subject, "member", team)?
        {
            return Ok(());
        }
        let text = "this takes a member of the team that will own the agent, or an administrator; name the team";
        Err(denied("agent.not_owner", text))
    }

    /// Refuses an owner or an accountable person who is not there.
    pub(super) fn check_people(&self, view: &View, profile: &Profile) -> Answer<()> {
        let missing = |rule, text: String| Err(Refusal::new(ErrorCode::InvalidRequest, rule, text));
        if let Some(team) = &profile.owner
            && !self.has_people(view, team)?
        {
            return missing("agent.owner", format!("`{team}` has no member who may act; name a team that has"));
        }
        if let Some(person) = &profile.accountable
            && !self.is(view, person, "active", &self.tenant.object())?
        {
            let text =
                format!("`{person}` is not there, or may do nothing for now; name a person who can answer for it");
            return missing("agent.accountable", text);
        }
        Ok(())
    }

    /// Writes other people to an agent, in the change of its profile.
    pub(super) fn set_profile(&self, edit: &mut Edit<'_>, profile: &Profile, env: &Env<'_>) -> Answer<()> {
        let before = std::mem::replace(&mut edit.record.profile, profile.clone());
        let agent = edit.record.subject();
        let pairs =
            [("owner", &before.owner, &profile.owner), ("accountable", &before.accountable, &profile.accountable)];
        for (relation, from, to) in pairs {
            // Of what was only seen nobody has written any.
            if let Some(from) = from.as_ref().filter(|_| from != to) {
                edit.change.unrelate(&agent, relation, from);
            }
            if let Some(to) = to {
                edit.change.relate(&agent, relation, to);
            }
        }
        if before.name != profile.name && edit.held.is_some() {
            let client = self.tenant.client(&edit.record.id)?;
            let renamed = Client { name: profile.name.clone(), ..client.value.clone() };
            self.tenant.put_client(&mut edit.change, &client, &renamed, env)?;
        }
        Ok(())
    }

    /// Writes it.
    pub(super) fn finish(&self, edit: Edit<'_>, kind: EventKind, env: &Env<'_>) -> Answer<Agent> {
        let (change, record) = self.close(edit, kind, env)?;
        change.commit()?;
        self.show(&self.tenant.view()?, record)
    }

    /// Puts all of it into its change, which is still to be committed.
    pub(super) fn close<'b>(
        &self,
        mut edit: Edit<'b>,
        kind: EventKind,
        env: &Env<'_>,
    ) -> Answer<(Change<'b>, AgentRecord)> {
        match &edit.held {
            Some(held) => edit.change.replace(held, &edit.record),
            None => edit.change.create(&[&edit.record.id], &edit.record),
        }
        let mut event = self.tenant.event(kind, Outcome::Done, env).resource(edit.record.subject()).action(edit.action);
        event = match edit.by {
            By::Subject(subject) if subject.starts_with("agent:") => event.agent(subject),
            By::Subject(subject) if subject.starts_with("app:") => event.client(subject),
            By::Subject(subject) => event.user(subject),
            By::Machine => event.detail("by", edit.by.name()),
        };
        let names: Vec<&str> = edit.fields.iter().take(FIELDS_IN_EVENT_MAX).map(|f| f.field.as_str()).collect();
        event = event.detail("changed", names.join(" ")).detail("version", edit.record.version.to_string());
        if let Some(revision) = edit.revision {
            event = event.revision(revision);
        }
        if let Some(approval) = edit.approval {
            event = event.detail("approval", approval);
        }
        event = edit.evidence.iter().fold(event, |event, (name, text)| event.detail(name, text));
        edit.change.event(&event);
        let entry = HistoryEntry {
            version: edit.record.version,
            at: env.seconds(),
            by: edit.by.name().to_owned(),
            action: edit.action.to_owned(),
            approval: edit.approval.map(str::to_owned),
            changes: edit.fields,
        };
        edit.change.create(&[&edit.record.id, &padded(edit.record.version)], &entry);
        edit.change.has_history_of(&edit.record.subject());
        Ok((edit.change, edit.record))
    }
}

/// Refuses a profile with which no agent acts.
pub(super) fn complete(profile: &Profile) -> Answer<()> {
    let missing = profile.missing();
    if missing.is_empty() {
        return Ok(());
    }
    let text = format!("before it may act, this agent needs {}", missing.join(", and "));
    Err(Refusal::new(ErrorCode::InvalidRequest, "agent.incomplete", text))
}

/// The team in `team:ID`.
pub(super) fn team_id(team: &str) -> Answer<&str> {
    id_of("team", team)
}
