//! A person decides: who may, whether they have lately shown who they are, and what becomes of the request.

use super::Approvals;
use super::ask::{DUE, due_part, event_of};
use super::channel::News;
use super::detail::digest;
use super::records::{APPROVAL, ApprovalRequest, Approved, Detail, Recipient, State, Way};
use super::redeem::{given, mark_details};
use super::template::visible;
use crate::engine::{Decision, Given, Limits, ListObjectsQuery, ReadQuery};
use crate::identity::{
    Answer, Change, Env, ErrorCode, Event, EventKind, Held, Outcome, PAGE_MAX, Refusal, Session, Tenant, acr_satisfies,
    again, check, check_id,
};
use crate::tuple::{Revision, SubjectRef};
use serde_json::Value;

/// Requests that are shown at a time.
pub(super) const SHOWN_MAX: usize = 100;
/// Requests whose time is over that one call notes.
const EXPIRED_MAX: usize = 100;

/// A person who is signed in.
#[derive(Clone, Copy)]
pub struct Decider<'a> {
    /// Their session.
    pub session: &'a Session,
}

/// What a person decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// They allow it, or a part.
    Approve {
        /// The scopes, of those that were shown.
        scopes: Vec<String>,
        /// The details, by their place in what was shown, from 0.
        details: Vec<usize>,
    },
    /// They do not.
    Deny,
}

fn over(text: &str) -> Refusal {
    Refusal::new(ErrorCode::Conflict, "approval.over", text)
}

fn gone() -> Refusal {
    Refusal::not_found("request for approval")
}

impl Decider<'_> {
    fn subject(&self) -> String {
        format!("user:{}", self.session.user)
    }

    /// What the person has to do before they may decide: show who they are again, and as strongly as this asks.
    #[must_use]
    pub fn needs(&self, approvals: &Approvals, request: &ApprovalRequest, env: &Env<'_>) -> bool {
        let shown = &self.session.authentication;
        let fresh = env.seconds() < shown.at.saturating_add(approvals.settings().auth_age_s);
        !fresh || !acr_satisfies(&shown.acr, &request.acr)
    }
}

impl Approvals {
    /// Open requests on which a person may decide, the oldest first; at most `SHOWN_MAX`, and how many there are.
    ///
    /// # Errors
    /// The disk failed.
    pub fn waiting(
        &self,
        tenant: &Tenant,
        decider: Decider<'_>,
        env: &Env<'_>,
    ) -> Answer<(Vec<ApprovalRequest>, usize)> {
        let subject = decider.subject();
        let form = |error: crate::tuple::TupleTextError| Refusal::failed("approval.subject", error.to_string());
        let query = ListObjectsQuery {
            object_type: "approval",
            relation: "approver",
            subject: SubjectRef::parse(&subject).map_err(form)?,
            given: Given::default(),
        };
        let found = tenant.view()?.list_objects(&query, &Limits::default())?;
        let mut ids: Vec<&str> = found.iter().collect();
        ids.sort_unstable(); // by their time, with which they begin
        let mut open = Vec::new();
        for id in &ids {
            let held = tenant.get::<ApprovalRequest>(&[id])?;
            open.extend(held.map(|held| held.value).filter(|request| request.is_open(env.seconds())));
            if open.len() == SHOWN_MAX {
                break;
            }
        }
        let count = if open.len() < SHOWN_MAX { open.len() } else { ids.len() };
        Ok((open, count))
    }

    /// An open request, for a person who may decide on it. To others it is not there.
    ///
    /// # Errors
    /// There is none, it is over, or it is not theirs to decide.
    pub fn open_for(
        &self,
        tenant: &Tenant,
        decider: Decider<'_>,
        id: &str,
        env: &Env<'_>,
    ) -> Answer<Held<ApprovalRequest>> {
        self.open_at(tenant, decider, id, env).map(|(held, _)| held)
    }

    /// The same, and the revision at which it was theirs.
    fn open_at(
        &self,
        tenant: &Tenant,
        decider: Decider<'_>,
        id: &str,
        env: &Env<'_>,
    ) -> Answer<(Held<ApprovalRequest>, Revision)> {
        check_id(id).map_err(|_| gone())?;
        let held = tenant.held::<ApprovalRequest>(&[id])?;
        match &held.state {
            State::Open if env.seconds() < held.expires_at => {}
            // Its tuples are gone, so that it can be told only to whom it was theirs by name.
            State::Approved(Approved { by, .. }) | State::Denied { by, .. } if *by == decider.subject() => {
                return Err(over("you have decided on this already"));
            }
            State::Open | State::Expired if held.user == decider.session.user => {
                return Err(over("the time to decide on this is over; nothing was allowed"));
            }
            State::Open | State::Approved(_) | State::Denied { .. } | State::Expired => return Err(gone()),
        }
        // A Check now, and not when it was asked for: who left the team or was suspended decides nothing.
        let view = tenant.view()?;
        match check(&view, &decider.subject(), "approver", &held.object())? {
            Decision::Allow => Ok((held, view.revision())),
            Decision::Deny => Err(gone()),
        }
    }

    /// Takes a person's decision. `shown` is the hash of what their page showed: what is decided on is what they saw.
    ///
    /// # Errors
    /// It is over or not theirs; they have to show who they are again first; or they chose nothing that was shown.
    pub fn decide(
        &self,
        tenant: &Tenant,
        decider: Decider<'_>,
        (id, shown): (&str, &str),
        choice: &Choice,
        env: &Env<'_>,
    ) -> Answer<ApprovalRequest> {
        again(|| {
            let (held, revision) = self.open_at(tenant, decider, id, env)?;
            if held.shown_hash != shown {
                return Err(over("this request is not the one that was shown; look at it again"));
            }
            if decider.needs(self, &held, env) {
                let text = "show who you are once more, and then decide";
                let error = ErrorCode::InsufficientUserAuthentication;
                return Err(Refusal::new(error, "approval.authentication", text));
            }
            let mut request = held.value.clone();
            request.state = match choice {
                Choice::Deny => State::Denied { by: decider.subject(), at: env.seconds() },
                Choice::Approve { scopes, details } => {
                    State::Approved(self.approved(tenant, &held, decider, (scopes, details), env)?)
                }
            };
            let outcome = if *choice == Choice::Deny { Outcome::Refused } else { Outcome::Allowed };
            let event = decided_event(tenant, &request, decider, outcome, env).revision(revision);
            self.close(tenant, &held, &request, &event, env)?;
            if *choice != Choice::Deny {
                tenant.forgive_ask(&request.client, &request.user);
            }
            Ok(request)
        })
    }

    fn approved(
        &self,
        tenant: &Tenant,
        held: &ApprovalRequest,
        decider: Decider<'_>,
        (scopes, details): (&[String], &[usize]),
        env: &Env<'_>,
    ) -> Answer<Approved> {
        let refuse = |text: &str| Err(Refusal::new(ErrorCode::InvalidRequest, "approval.part", text));
        if let Some(more) = scopes.iter().find(|scope| !held.scopes.contains(scope)) {
            return refuse(&format!("`{more}` was not asked for"));
        }
        let mut allowed = Vec::with_capacity(details.len());
        for (at, value) in held.details.iter().enumerate().filter(|(at, _)| details.contains(at)) {
            if details.iter().filter(|chosen| **chosen == at).count() > 1 {
                return refuse("a detail was chosen twice");
            }
            allowed.push(Detail { value: value.clone(), digest: digest(value)?, used_at: None });
        }
        if allowed.len() != details.len() {
            return refuse("a detail was chosen that was not asked for");
        }
        let scopes: Vec<String> = held.scopes.iter().filter(|scope| scopes.contains(scope)).cloned().collect();
        if allowed.is_empty() && scopes.iter().all(|scope| scope == "openid") && asks_for_something(held) {
            return refuse("nothing was chosen; deny it, or choose what to allow");
        }
        let approved = Approved {
            by: decider.subject(),
            at: env.seconds(),
            authentication: decider.session.authentication.clone(),
            // Of the person for whom it is, and of who allowed it: that either signs out everywhere voids it.
            epoch: tenant.user(&held.user)?.epoch,
            by_epoch: Some(tenant.user(&decider.session.user)?.epoch),
            scopes,
            details: allowed,
            until: held.expires_at,
            grant: None,
        };
        // What others may not allow is no part of it.
        let client = tenant.client(&held.client)?;
        let scopes = if decider.session.user == held.user {
            approved.scopes.clone()
        } else {
            given(tenant, &client, held, &approved)?.0
        };
        Ok(Approved { scopes, ..approved })
    }

    /// Writes the end of a request: its record, its event, and that nobody may decide on it any more.
    fn close(
        &self,
        tenant: &Tenant,
        held: &Held<ApprovalRequest>,
        request: &ApprovalRequest,
        event: &Event,
        env: &Env<'_>,
    ) -> Answer<()> {
        let mut change = tenant.change(env);
        change.replace(held, request);
        change.unmark(APPROVAL, DUE, &[&due_part(held.expires_at), &held.id]);
        drop_tuples(tenant, &mut change, held)?;
        mark_details(&mut change, request);
        change.event(event);
        if request.ping.is_some() {
            self.tell(&mut change, request, Recipient::Ping, env);
        }
        if let Some(news) = allowed_for_them(tenant, request)? {
            self.news(&mut change, tenant, &request.user, &news, env)?;
        }
        change.commit()?;
        Ok(())
    }

    /// Notes which requests nobody decided on in time, at most a few at a time; answers how many. Call it until it answers
    /// zero, and now and then.
    ///
    /// # Errors
    /// The disk failed.
    pub fn expire(&self, tenant: &Tenant, env: &Env<'_>) -> Answer<usize> {
        let mut expired = 0;
        for id in tenant.marks(APPROVAL, DUE, &[], None, EXPIRED_MAX)? {
            let Some(held) = tenant.get::<ApprovalRequest>(&[&id])? else { continue };
            if env.seconds() < held.expires_at {
                break; // they stand in the order of their ends
            }
            if held.state == State::Open {
                match self.expire_one(tenant, &held, env) {
                    Err(refusal) if refusal.is_stale() => continue, // it was decided in this moment
                    done => done?,
                }
            }
            expired += 1;
        }
        Ok(expired)
    }

    /// Notes that nobody decided on a request in time.
    pub(super) fn expire_one(&self, tenant: &Tenant, held: &Held<ApprovalRequest>, env: &Env<'_>) -> Answer<()> {
        let request = ApprovalRequest { state: State::Expired, ..held.value.clone() };
        let event = event_of(tenant, &request, EventKind::ApprovalExpired, Outcome::Refused, env);
        self.close(tenant, held, &request, &event, env)
    }
}

/// What a person is told of a request in their name that somebody else allowed.
fn allowed_for_them(tenant: &Tenant, request: &ApprovalRequest) -> Answer<Option<News>> {
    let State::Approved(approved) = &request.state else { return Ok(None) };
    let by = approved.by.strip_prefix("user:").unwrap_or_default();
    if by == request.user {
        return Ok(None);
    }
    let by = visible(tenant.user(by)?.display_name());
    let titles = request.shown.details.iter().map(|detail| detail.title.clone()).collect();
    Ok(Some(News::AllowedForYou { approval: request.id.clone(), client: request.shown.client.clone(), by, titles }))
}

/// Whether a request asks for more than who the person is.
fn asks_for_something(request: &ApprovalRequest) -> bool {
    !request.details.is_empty() || request.scopes.iter().any(|scope| scope != "openid")
}

/// Takes the tuples of a request away: it can be decided no more, and is in nobody's list.
fn drop_tuples(tenant: &Tenant, change: &mut Change<'_>, request: &ApprovalRequest) -> Answer<()> {
    let query = ReadQuery {
        object_type: Some("approval"),
        object_id: Some(&request.id),
        page_size: PAGE_MAX,
        ..ReadQuery::default()
    };
    for stored in tenant.engine().read(tenant.system_store(), &query)?.value.tuples {
        let tuple = stored.tuple;
        change.unrelate(&tuple.object.to_string(), &tuple.relation, &tuple.subject.to_string());
    }
    Ok(())
}

/// Who decided what, how they had shown who they are, and what they were shown.
fn decided_event(
    tenant: &Tenant,
    request: &ApprovalRequest,
    decider: Decider<'_>,
    outcome: Outcome,
    env: &Env<'_>,
) -> Event {
    let mut event = event_of(tenant, request, EventKind::ApprovalDecided, outcome, env);
    let shown = &decider.session.authentication;
    event = event.session(&decider.session.id).detail("by", decider.subject());
    event =
        event.detail("acr", &shown.acr).detail("amr", shown.amr.join(" ")).detail("auth_time", shown.at.to_string());
    if let State::Approved(approved) = &request.state {
        let part = approved.scopes != request.scopes || approved.details.len() != request.details.len();
        let digests: Vec<&str> = approved.details.iter().map(|detail| detail.digest.as_str()).collect();
        event = event.action(approved.scopes.join(" ")).detail("part", if part { "yes" } else { "no" });
        event = event.detail("details", digests.join(" "));
    }
    event
}

/// The approved details of a request, as they stand in tokens.
pub(super) fn values(approved: &Approved) -> Vec<Value> {
    approved.details.iter().map(|detail| detail.value.clone()).collect()
}

/// Whether a token may be fetched with a request.
pub(super) fn gives_token(request: &ApprovalRequest) -> bool {
    request.way == Way::Ciba
}
