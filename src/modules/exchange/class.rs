//! Scope classes: what a client may have of a managed connection, by Check in the system store.
//!
//! `connection_scope:CONNECTION|SCOPE` has the classes *automatic*, *needs approval* and *never*, each for clients or all
//! agents and applications. *Never* beats the others. A scope without a class is never had: what nobody wrote down denies.

use crate::engine::{Decision, View};
use crate::identity::{
    Answer, Change, Client, Env, ErrorCode, Event, Passage, Refusal, Seconds, Tenant, check, connection_scope_object,
};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// What a client may have of a scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ScopeClass {
    /// It has it for the asking.
    Automatic,
    /// It has it when somebody approves.
    NeedsApproval,
    /// It does not have it.
    Never,
}

impl ScopeClass {
    /// All, by the relation that gives them, which is also their name.
    pub const ALL: [(ScopeClass, &'static str); 3] = [
        (ScopeClass::Automatic, "automatic"),
        (ScopeClass::NeedsApproval, "needs_approval"),
        (ScopeClass::Never, "never"),
    ];

    /// Its relation.
    #[must_use]
    pub fn name(self) -> &'static str {
        ScopeClass::ALL.iter().find(|(class, _)| *class == self).map_or("never", |(_, name)| name)
    }

    /// The class of a name.
    #[must_use]
    pub fn of(name: &str) -> Option<ScopeClass> {
        ScopeClass::ALL.iter().find(|(_, known)| *known == name).map(|(class, _)| *class)
    }
}

/// What needs an approval: who asks, for whom, and for what.
#[derive(Clone, Copy, Debug)]
pub struct NeedsApproval<'a> {
    /// The tenant.
    pub tenant: &'a Tenant,
    /// Who asks.
    pub client: &'a Client,
    /// For which person; none when the client asks for itself.
    pub user: Option<&'a str>,
    /// The id of the connection.
    pub connection: &'a str,
    /// Where it leads to: a resource, or the issuer of another domain.
    pub audience: &'a str,
    /// The scopes of the connection that need an approval.
    pub scopes: &'a [String],
    /// The authorization details that are asked for.
    pub details: &'a [Value],
    /// The approval that the client says it has (the parameter `approval`).
    pub approval: Option<&'a str>,
}

/// An approval of all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approval {
    /// Its id, for the audit.
    pub id: String,
    /// Until when what rests on it is good.
    pub until: Seconds,
}

/// Who knows what was approved. `server.rs` plugs it in.
pub trait Approvals: Send + Sync {
    /// Finds an approval of exactly this, and adds to the change that it is used up by it. `None` when there is none.
    ///
    /// # Errors
    /// It could not be looked at, or the one that the client names is not of this, used or over.
    fn spend(&self, change: &mut Change<'_>, needs: &NeedsApproval<'_>, env: &Env<'_>) -> Answer<Option<Approval>>;

    /// How a client asks for one, as the end of a sentence.
    fn how(&self, needs: &NeedsApproval<'_>) -> String;
}

/// Where nobody approves anything.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoApprovals;

impl Approvals for NoApprovals {
    fn spend(&self, _: &mut Change<'_>, _: &NeedsApproval<'_>, _: &Env<'_>) -> Answer<Option<Approval>> {
        Ok(None)
    }

    fn how(&self, _: &NeedsApproval<'_>) -> String {
        "this server takes no requests for approval; ask who runs it".to_owned()
    }
}

/// What an unknown target and one without a connection are told alike, so that nobody can find out what there is.
pub(super) fn not_connected(rule: &'static str) -> Refusal {
    let text = "this client has no connection to what it asks for; ask who runs this server to connect it";
    Refusal::new(ErrorCode::InvalidTarget, rule, text)
}

/// Whether a client may use a connection at all.
pub(super) fn check_usable(view: &View, client: &Client, connection: &str) -> Answer<()> {
    if check(view, &client.subject(), "usable", &format!("connection:{connection}"))? == Decision::Allow {
        return Ok(());
    }
    Err(not_connected("connection.none").because(format!("{} may not use {connection}", client.subject())))
}

/// The class of a scope of a connection for a client.
pub(super) fn class_of(view: &View, client: &Client, connection: &str, scope: &str) -> Answer<ScopeClass> {
    let (subject, object) = (client.subject(), connection_scope_object(connection, scope));
    if check(view, &subject, "granted", &object)? == Decision::Allow {
        return Ok(ScopeClass::Automatic);
    }
    if check(view, &subject, "requestable", &object)? == Decision::Allow {
        return Ok(ScopeClass::NeedsApproval);
    }
    Ok(ScopeClass::Never)
}

/// Scopes that are asked for, by what the client may have of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Sorted {
    /// Each with its class, in the order asked.
    scopes: Vec<(String, ScopeClass)>,
    /// Those that need an approval, by the connection that says so, with where it leads to.
    approval: BTreeMap<(String, String), Vec<String>>,
    /// What each connection gives, by its id.
    ways: BTreeMap<String, Passage>,
}

/// What of them it gets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Had {
    /// The scopes.
    pub(super) scopes: Vec<String>,
    /// Those that wait for an approval.
    pub(super) waiting: Vec<String>,
    /// Those that are never had.
    pub(super) never: Vec<String>,
    /// Those that are no scopes there.
    pub(super) unknown: Vec<String>,
    /// Until when, as far as approvals say.
    pub(super) until: Option<Seconds>,
    /// The approvals that were used.
    pub(super) approvals: Vec<String>,
    /// What of it each connection gives.
    pub(super) through: Vec<Passage>,
    /// Whether the scopes were asked for by name.
    by_name: bool,
    /// How to ask for the approvals that lack.
    how: Option<String>,
}

impl Had {
    fn waits(&mut self, scopes: &[String], how: impl FnOnce() -> String) {
        if self.how.is_none() {
            self.how = Some(format!("an approval is needed for `{}`; {}", scopes.join(" "), how()));
        }
        self.waiting.extend(scopes.iter().filter(|scope| !self.waiting.contains(scope)).cloned().collect::<Vec<_>>());
    }

    /// Notes a connection that leads to what it is for, when none of its scopes came by it.
    pub(super) fn goes_through(&mut self, connection: &str) {
        if !self.through.iter().any(|passage| passage.connection == connection) {
            let connection = connection.to_owned();
            self.through.push(Passage { connection, automatic: Vec::new(), approved: Vec::new() });
        }
    }

    /// That it is refused whole, and how to ask for the approval that lacks.
    pub(super) fn refusal(self) -> Refusal {
        Refusal::new(ErrorCode::InteractionRequired, "connection.needs_approval", self.how.unwrap_or_default())
    }

    fn lacks(&self, scope: &String) -> bool {
        self.waiting.contains(scope) || self.never.contains(scope)
    }

    /// Of what a connection gives, that which is had.
    fn kept(&self, mut passage: Passage) -> Passage {
        passage.automatic.retain(|scope| !self.lacks(scope));
        passage.approved.retain(|scope| !self.lacks(scope));
        passage
    }

    /// What the answer says of scopes that are not in it (RFC 6749 3.3 and 5.1): which wait for an approval, and how to ask for
    /// one; and of those that were asked for by name, which the client never has.
    pub(super) fn told(&self) -> Map<String, Value> {
        let mut told = Map::new();
        let mut say = |name: &str, text: String| drop(told.insert(name.to_owned(), text.into()));
        if !self.waiting.is_empty() {
            say("scope_needs_approval", self.waiting.join(" "));
        }
        if let Some(how) = &self.how {
            say("approval_description", how.clone());
        }
        if self.by_name && !self.never.is_empty() {
            say("scope_never", self.never.join(" "));
        }
        told
    }

    /// An event with what of it matters.
    pub(super) fn noted(&self, mut event: Event) -> Event {
        let left_out = [self.never.as_slice(), &self.waiting, &self.unknown].concat();
        if !left_out.is_empty() {
            event = event.detail("left_out", left_out.join(" "));
        }
        if !self.waiting.is_empty() {
            event = event.detail("needs_approval", self.waiting.join(" "));
        }
        if !self.approvals.is_empty() {
            event = event.detail("approval", self.approvals.join(" "));
        }
        event
    }
}

impl Sorted {
    /// Adds a scope; `ways` are the connections that have it, each with where it leads to. The strictest says what it is.
    pub(super) fn add(&mut self, view: &View, client: &Client, scope: &str, ways: &[(String, String)]) -> Answer<()> {
        let mut class = if ways.is_empty() { ScopeClass::Never } else { ScopeClass::Automatic };
        let mut asking = Vec::new();
        for way in ways {
            let here = class_of(view, client, &way.0, scope)?;
            if here == ScopeClass::NeedsApproval {
                asking.push(way);
            }
            self.gives(&way.0, scope, here);
            class = class.max(here);
        }
        if class == ScopeClass::NeedsApproval {
            for way in asking {
                self.approval.entry(way.clone()).or_default().push(scope.to_owned());
            }
        }
        self.scopes.push((scope.to_owned(), class));
        Ok(())
    }

    fn gives(&mut self, connection: &str, scope: &str, class: ScopeClass) {
        let none = || Passage { connection: connection.to_owned(), automatic: Vec::new(), approved: Vec::new() };
        let passage = self.ways.entry(connection.to_owned()).or_insert_with(none);
        match class {
            ScopeClass::Automatic => passage.automatic.push(scope.to_owned()),
            ScopeClass::NeedsApproval => passage.approved.push(scope.to_owned()),
            ScopeClass::Never => {}
        }
    }

    fn of(&self, class: ScopeClass) -> Vec<String> {
        self.scopes.iter().filter(|(_, of)| *of == class).map(|(scope, _)| scope.clone()).collect()
    }

    /// What the client would get: the scopes that need nobody, and those that it gets with an approval, which are left out
    /// when it did not ask for them by name. Nothing is used up.
    pub(super) fn outlook(&self, by_name: bool) -> Answer<[Vec<String>; 2]> {
        let asking = if by_name { self.of(ScopeClass::NeedsApproval) } else { Vec::new() };
        let had = self.of(ScopeClass::Automatic);
        if had.is_empty() && asking.is_empty() && !self.scopes.is_empty() {
            return Err(nothing_had());
        }
        Ok([had, asking])
    }

    /// What the client gets. Scopes that need an approval and have none are left out, and the answer says how to ask for one.
    /// It is refused when nothing else is left; when an approval that it names does not do; and when one would be used up for
    /// a scope that needs a second.
    pub(super) fn decide(
        mut self,
        approvals: &dyn Approvals,
        change: &mut Change<'_>,
        needs: &NeedsApproval<'_>,
        by_name: bool,
        env: &Env<'_>,
    ) -> Answer<Had> {
        let (mut had, none) = (Had { by_name, ..Had::default() }, self.scopes.is_empty());
        let mut approved: Vec<String> = Vec::new();
        for ((connection, audience), scopes) in std::mem::take(&mut self.approval) {
            let needs = NeedsApproval { connection: &connection, audience: &audience, scopes: &scopes, ..*needs };
            let found = if by_name { approvals.spend(change, &needs, env)? } else { None };
            match found.filter(|good| good.until > env.seconds()) {
                Some(approval) => {
                    had.until = Some(had.until.unwrap_or(Seconds::MAX).min(approval.until));
                    had.approvals.push(approval.id);
                    approved.extend(scopes);
                }
                None => had.waits(&scopes, || approvals.how(&needs)),
            }
        }
        let half = approved.iter().any(|scope| had.waiting.contains(scope));
        had.never = self.of(ScopeClass::Never);
        had.through = std::mem::take(&mut self.ways).into_values().map(|passage| had.kept(passage)).collect();
        had.scopes = self.scopes.into_iter().map(|(scope, _)| scope).filter(|scope| !had.lacks(scope)).collect();
        if half || (by_name && !had.waiting.is_empty() && (needs.approval.is_some() || had.scopes.is_empty())) {
            return Err(had.refusal());
        }
        if had.scopes.is_empty() && !none {
            return Err(nothing_had());
        }
        Ok(had)
    }
}

fn nothing_had() -> Refusal {
    Refusal::new(ErrorCode::InvalidScope, "connection.never", "this client may have none of these scopes there")
}
