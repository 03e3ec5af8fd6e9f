//! The last administrator who may act stays one, in whatever way somebody would end being one: a role that is taken, somebody
//! who is suspended or deleted, a team that somebody leaves or that is deleted, here or by a directory.
//!
//! A change by which somebody ends rests on a count of those that did, so that of two who end in one moment, in whatever ways,
//! one is told to look again.

use super::roles::{Role, object_query};
use super::{Answer, Change, ErrorCode, Held, Refusal, Stored, Tenant, check};
use crate::engine::{Decision, ReadQuery, View};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Most people and teams that are looked at to find one who administers.
const LOOKED_AT_MAX: usize = 100_000;

/// What a change takes away of that by which somebody administers.
#[derive(Clone, Copy, Debug)]
pub enum Leaving<'a> {
    /// The role, of this subject of its tuple.
    Role(&'a str),
    /// Somebody, as a subject: they are suspended or deleted.
    Somebody(&'a str),
    /// Members, as tuples have them (`user:ID`, `team:ID#member`), each with the team (`team:ID`) that they leave.
    Members(&'a [(&'a str, &'a str)]),
    /// The same of one team (`team:ID`), into which others come by the same change.
    Exchanged {
        /// The team.
        team: &'a str,
        /// Who leaves it.
        leave: &'a [&'a str],
        /// Who comes.
        join: &'a [&'a str],
    },
}

impl Leaving<'_> {
    fn is_role(&self, subject: &str) -> bool {
        matches!(self, Leaving::Role(role) if *role == subject)
    }

    fn is(&self, who: &str) -> bool {
        matches!(self, Leaving::Somebody(somebody) if *somebody == who)
    }

    fn is_member(&self, team: &str, member: &str) -> bool {
        match self {
            Leaving::Members(all) => all.contains(&(team, member)),
            Leaving::Exchanged { team: theirs, leave, .. } => *theirs == team && leave.contains(&member),
            Leaving::Role(_) | Leaving::Somebody(_) => false,
        }
    }

    /// Who comes into a team.
    fn joining(&self, team: &str) -> &[&str] {
        match self {
            Leaving::Exchanged { team: theirs, join, .. } if *theirs == team => join,
            Leaving::Role(_) | Leaving::Somebody(_) | Leaving::Members(_) | Leaving::Exchanged { .. } => &[],
        }
    }
}

/// How often somebody ended being an administrator.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Dismissals {
    count: u64,
}

impl Stored for Dismissals {
    const SORT: u8 = b'A';
    const WHAT: &'static str = "count of administrators who are none any more";
}

/// The one record of [`Dismissals`].
const DISMISSALS: &[&str] = &["admin"];

/// Counts one more in a change, which so rests on the count that was read.
fn dismiss(change: &mut Change<'_>, before: Option<&Held<Dismissals>>) {
    match before {
        Some(held) => change.replace(held, &Dismissals { count: held.count.saturating_add(1) }),
        None => change.create(DISMISSALS, &Dismissals { count: 1 }),
    }
}

/// What becomes of the administration.
#[derive(Clone, Copy, Default)]
struct Outlook {
    /// Something of it is taken away.
    touched: bool,
    /// Somebody has it now who may act.
    has_one: bool,
    /// Somebody has it afterwards who may act.
    keeps_one: bool,
}

impl Tenant {
    /// Adds to a change, by which something is taken away, that somebody who may act administers the tenant afterwards. Nothing
    /// happens when nobody did before, or when it takes nothing of that away. Once in a change.
    ///
    /// # Errors
    /// [`ErrorCode::Conflict`], by the rule `role.last_administrator`, when nobody would; or it could not be decided.
    pub fn spare_administrator(&self, change: &mut Change<'_>, leaving: Leaving<'_>) -> Answer<()> {
        if matches!(leaving, Leaving::Members([]) | Leaving::Exchanged { leave: [], .. }) {
            return Ok(());
        }
        // Before the rest: who ends meanwhile makes it another.
        let before = self.get::<Dismissals>(DISMISSALS)?;
        let outlook = self.outlook(leaving)?;
        if outlook.has_one && !outlook.keeps_one {
            return Err(last_administrator(leaving));
        }
        if outlook.touched {
            dismiss(change, before.as_ref());
        }
        Ok(())
    }

    fn outlook(&self, leaving: Leaving<'_>) -> Answer<Outlook> {
        let view = self.view()?;
        let (mut outlook, mut after) = (Outlook::default(), None);
        // Each with whether they are an administrator by what is taken away alone.
        let mut seen = BTreeSet::new();
        loop {
            let named = object_query("tenant", self.name());
            let query = ReadQuery { relation: Some(Role::Administrator.name()), after, ..named };
            let page = self.read_tuples(&query)?;
            for stored in &page.tuples {
                let subject = stored.tuple.subject.to_string();
                let gone = leaving.is_role(&subject);
                outlook.touched |= gone;
                self.walk((subject, gone), leaving, &view, &mut seen, &mut outlook)?;
            }
            after = page.next;
            if after.is_none() {
                return Ok(outlook);
            }
        }
    }

    /// Looks at one who administers, or at all who are in a team that does.
    fn walk(
        &self,
        first: (String, bool),
        leaving: Leaving<'_>,
        view: &View,
        seen: &mut BTreeSet<(String, bool)>,
        outlook: &mut Outlook,
    ) -> Answer<()> {
        let mut waiting = vec![first];
        while let Some((subject, gone)) = waiting.pop() {
            if !seen.insert((subject.clone(), gone)) {
                continue;
            }
            if seen.len() > LOOKED_AT_MAX {
                let text =
                    format!("more than {LOOKED_AT_MAX} people and teams administer; it is not looked for the last");
                return Err(Refusal::failed("role.administrators", text));
            }
            match subject.strip_prefix("team:").and_then(|team| team.strip_suffix("#member")) {
                Some(team) => waiting.extend(self.members(team, gone, leaving, outlook)?),
                None => self.look_at(&subject, gone, leaving, view, outlook)?,
            }
        }
        Ok(())
    }

    /// The members of a team, with those who come, each with whether they are in it no more, or the team itself administers no more.
    fn members(
        &self,
        team: &str,
        gone: bool,
        leaving: Leaving<'_>,
        outlook: &mut Outlook,
    ) -> Answer<Vec<(String, bool)>> {
        let (mut found, mut after, object) = (Vec::new(), None, format!("team:{team}"));
        if !gone {
            found.extend(leaving.joining(&object).iter().map(|member| ((*member).to_owned(), false)));
        }
        loop {
            let query = ReadQuery { relation: Some("member"), after, ..object_query("team", team) };
            let page = self.read_tuples(&query)?;
            for stored in &page.tuples {
                let member = stored.tuple.subject.to_string();
                let leaves = leaving.is_member(&object, &member);
                outlook.touched |= leaves;
                found.push((member, gone || leaves));
            }
            after = page.next;
            if after.is_none() {
                return Ok(found);
            }
        }
    }

    fn look_at(&self, who: &str, gone: bool, leaving: Leaving<'_>, view: &View, outlook: &mut Outlook) -> Answer<()> {
        let gone = gone || leaving.is(who);
        outlook.touched |= leaving.is(who);
        let known = if gone { outlook.has_one } else { outlook.keeps_one };
        if !known && check(view, who, "active", &self.object())? == Decision::Allow {
            outlook.has_one = true;
            outlook.keeps_one |= !gone;
        }
        Ok(())
    }
}

fn last_administrator(leaving: Leaving<'_>) -> Refusal {
    let who = match leaving {
        Leaving::Role(subject) | Leaving::Somebody(subject) => format!("`{subject}` is"),
        Leaving::Members([(team, member)]) => format!("`{member}` is, by `{team}`,"),
        Leaving::Exchanged { team, leave: [member], .. } => format!("`{member}` is, by `{team}`,"),
        Leaving::Members(_) | Leaving::Exchanged { .. } => "among those who leave the team is".to_owned(),
    };
    let text = format!("{who} the last administrator; make another one first");
    Refusal::new(ErrorCode::Conflict, "role.last_administrator", text)
}
