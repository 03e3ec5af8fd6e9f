//! The decision on a message: what the policy says it needs, asked of the engine for the user and for the agent, and what is
//! recorded of it. An error is never an allowance, and nothing goes on before its record is written.

use super::message::{DENIED, Fault, INTERNAL_ERROR, INVALID_PARAMS, METHOD_NOT_FOUND, Request};
use super::policy::{Listed, Needs, Policy, Question, Unmapped};
use super::{Approval, ApprovalCall, ApprovalNeeded, Approvals, Judged, SettingsError};
use crate::engine::{CheckQuery, Consistency, Decision, Engine, Given, Limits, QuestionError, View};
use crate::identity::{AUDIT, Event, EventKind, Outcome, Seconds, StepUp};
use crate::tuple::{Context, Revision, StoreId, SubjectRef, Timestamp, TupleKeyRef};
use chrono::{DateTime, SecondsFormat, Utc};
use http::StatusCode;
use serde_json::{Map, Value, json};

/// Most nodes that one question may visit.
const VISITS_MAX: u64 = 10_000_000;
/// Records of one call: as many as one write may have (`RECORDS_PER_WRITE_MAX`), with room to spare.
const EVENTS_MAX: usize = 500;

/// Where decisions come from and go to.
#[derive(Clone)]
pub(super) struct Decider {
    pub(super) engine: Engine,
    /// The store whose model and tuples decide.
    pub(super) store: StoreId,
    /// The number of the tenant, for its records.
    pub(super) tenant: u32,
}

/// Who asks, and in which request.
#[derive(Clone, Debug)]
pub(super) struct Asker {
    pub(super) judged: Judged,
    /// Ties the records of one cause together.
    pub(super) trace: String,
    pub(super) now: Timestamp,
}

/// A request and all that it is decided with.
#[derive(Clone, Copy)]
pub(super) struct Case<'a> {
    pub(super) policy: &'a Policy,
    pub(super) approvals: &'a dyn Approvals,
    /// The server's resource identifier.
    pub(super) resource: &'a str,
    /// Scopes that every call of it needs; the token has them.
    pub(super) base: &'a [String],
    pub(super) asker: &'a Asker,
    pub(super) request: &'a Request,
}

/// Why a message does not go on.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Stop {
    /// The token lacks scopes; these are all that the call needs.
    Scopes(Vec<String>),
    /// The person has to authenticate again, or better.
    StepUp(StepUp),
    /// Anything else.
    Fault(Fault),
}

/// The limits of one question.
pub(super) fn limits() -> Limits<'static> {
    Limits { visits_max: VISITS_MAX, ..Limits::default() }
}

/// What conditions may look at: `current_time`.
pub(super) fn context(now: Timestamp) -> Context {
    let time = DateTime::<Utc>::from_timestamp_nanos(now.0).to_rfc3339_opts(SecondsFormat::Nanos, true);
    let mut context = Context::new();
    context.insert("current_time".into(), json!(time));
    context
}

impl Asker {
    pub(super) fn subject(&self) -> SubjectRef<'_> {
        SubjectRef::Object(self.judged.subject.as_ref())
    }

    pub(super) fn agent(&self) -> Option<SubjectRef<'_>> {
        self.judged.agent.as_ref().map(|agent| SubjectRef::Object(agent.as_ref()))
    }

    fn seconds(&self) -> Seconds {
        u64::try_from(self.now.0 / 1_000_000_000).unwrap_or(0)
    }

    /// An event of this request.
    fn event(&self, tenant: u32, kind: EventKind, outcome: Outcome) -> Event {
        let judged = &self.judged;
        let mut event = Event::new(tenant, kind, outcome, self.now).trace(&self.trace).client(&judged.client);
        // An agent that acts for itself is no person.
        if judged.subject.object_type == "agent" && judged.agent.is_none() {
            event = event.agent(judged.subject.to_string());
        } else {
            event = event.user(judged.subject.to_string());
        }
        if let Some(agent) = &judged.agent {
            event = event.agent(agent.to_string());
        }
        for actor in &judged.actors {
            event = event.actor(actor);
        }
        if let Some(token) = &judged.token {
            event = event.token(token);
        }
        if let Some(grant) = &judged.grant {
            event = event.grant(grant);
        }
        if let Some(session) = &judged.session {
            event = event.session(session);
        }
        event
    }
}

/// What a request is about, for records and refusals: its method, and the name or URI in it.
pub(super) fn named(request: &Request) -> (&str, Option<&str>) {
    let text = |name: &str| request.params.get(name).and_then(Value::as_str);
    (&request.method, text("name").or(text("uri")))
}

fn detailed(event: Event, request: &Request) -> Event {
    let (method, name) = named(request);
    let event = event.detail("method", method);
    match name {
        Some(name) => event.detail("name", name),
        None => event,
    }
}

impl Decider {
    fn view(&self) -> Result<View, QuestionError> {
        self.engine.view(self.store, None, Consistency::Latest)
    }

    /// Refuses a policy that asks about what the store's model does not have.
    pub(super) fn verify(&self, policy: &Policy) -> Result<(), SettingsError> {
        let fault = |error: QuestionError| SettingsError(format!("the policy cannot be asked of its store: {error}"));
        let view = self.view().map_err(fault)?;
        policy.asks().try_for_each(|(object_type, relation)| view.knows(object_type, relation).map_err(fault))
    }

    /// Asks for the user and for the agent until one may not.
    fn ask(&self, view: &View, asker: &Asker, questions: &[Question], seen: &mut Seen) -> Result<bool, QuestionError> {
        let context = context(asker.now);
        let given = Given { context: Some(&context), ..Given::default() };
        for question in questions {
            for subject in [Some(asker.subject()), asker.agent()].into_iter().flatten() {
                let key = TupleKeyRef { object: question.object.as_ref(), relation: &question.relation, subject };
                let decision = view.check(&CheckQuery { key, given }, &limits())?;
                seen.push(subject, question, decision, view.revision());
                if decision != Decision::Allow {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// Whether something is shown in a list.
    pub(super) fn shows(
        &self,
        view: &View,
        policy: &Policy,
        asker: &Asker,
        listed: Listed<'_>,
    ) -> Result<bool, QuestionError> {
        match policy.shows(listed) {
            Ok(needs) => self.ask(view, asker, &needs.questions, &mut Seen::Nothing),
            Err(Unmapped::Method | Unmapped::NoRule | Unmapped::Parameter(_)) => Ok(false),
        }
    }

    /// A view for the questions of one list.
    ///
    /// # Errors
    /// The store or its model is gone.
    pub(super) fn list_view(&self) -> Result<View, QuestionError> {
        self.view()
    }

    /// Decides on a request, and records it. Answers whether there was something to decide.
    ///
    /// # Errors
    /// Why it does not go on.
    pub(super) fn decide(&self, case: Case<'_>) -> Result<bool, Stop> {
        let Case { request, asker, resource, .. } = case;
        let mut events = Vec::new();
        let result = match case.policy.needs(request) {
            Ok(None) => return Ok(false),
            Ok(Some(needs)) => self.weigh(case, &needs, &mut events),
            Err(Unmapped::Method) => {
                events.push(self.refused(asker, resource, "mcp.method"));
                let status = if request.modern { StatusCode::NOT_FOUND } else { StatusCode::OK };
                let fault = Fault::new(status, Some(request.id.clone()), METHOD_NOT_FOUND, "Method not found");
                Err(Stop::Fault(fault))
            }
            Err(Unmapped::NoRule) => {
                events.push(self.refused(asker, resource, "mcp.rule"));
                Err(Stop::Fault(denied(request, None, &asker.trace)))
            }
            Err(Unmapped::Parameter(parameter)) => {
                events.push(self.refused(asker, resource, "mcp.mapping"));
                let what = short(&parameter);
                let message = format!("COAZ mapping error: the parameter `{what}` is missing or of no use");
                Err(Stop::Fault(Fault::new(StatusCode::OK, Some(request.id.clone()), INVALID_PARAMS, message)))
            }
        };
        let detailed = events.into_iter().map(|event| detailed(event, request));
        self.record(detailed.collect()).map_err(|()| Stop::Fault(internal(request)))?;
        result.map(|()| true)
    }

    /// Scopes, then Checks, then the authentication, then an approval: what can be had again is asked for last.
    fn weigh(&self, case: Case<'_>, needs: &Needs, events: &mut Vec<Event>) -> Result<(), Stop> {
        let Case { asker, request, resource, base, .. } = case;
        if !needs.scopes.iter().all(|scope| asker.judged.has_scope(scope)) {
            events.push(self.refused(asker, resource, "mcp.scope").detail("needed", needs.scopes.join(" ")));
            let mut all = base.to_vec();
            all.extend(needs.scopes.iter().filter(|scope| !base.contains(scope)).cloned());
            return Err(Stop::Scopes(all));
        }
        let mut seen = Seen::Checks(Vec::new());
        let asked = self.view().and_then(|view| self.ask(&view, asker, &needs.questions, &mut seen));
        if let Seen::Checks(checks) = seen {
            events.extend(checks.into_iter().map(|check| check.event(self.tenant, asker)));
        }
        match asked {
            Ok(true) => {}
            Ok(false) => return Err(Stop::Fault(denied(request, None, &asker.trace))),
            Err(error) => {
                tracing::error!(trace = asker.trace, "no decision on an MCP call: {error}");
                events.push(asker.event(self.tenant, EventKind::CheckDecided, Outcome::Failed).reason("mcp.error"));
                return Err(Stop::Fault(internal(request)));
            }
        }
        let (by, now) = (asker.judged.authentication.as_ref(), asker.seconds());
        if let Some(step_up) = needs.step_ups.iter().find(|step_up| !step_up.is_met(by, now)) {
            events.push(self.refused(asker, resource, "mcp.step_up"));
            return Err(Stop::StepUp(step_up.clone()));
        }
        let called = asker.event(self.tenant, EventKind::ProxyCalled, Outcome::Allowed).resource(resource);
        let approved = needs.approval.as_deref().map(|kind| self.approved(case, kind, events)).transpose()?;
        events.push(match approved {
            Some(Some(id)) => called.detail("approval", id),
            Some(None) => called.detail("approval", "not needed"),
            None => called,
        });
        Ok(())
    }

    /// The id of the approval that is used up, if the call needs one.
    fn approved(&self, case: Case<'_>, kind: &str, events: &mut Vec<Event>) -> Result<Option<String>, Stop> {
        let Case { asker, request, resource, .. } = case;
        let none = Map::new();
        let arguments = request.params.get("arguments").and_then(Value::as_object).unwrap_or(&none);
        let tool = request.params.get("name").and_then(Value::as_str).unwrap_or_default();
        let call = ApprovalCall { kind, resource, tool, arguments, trace: &asker.trace };
        match case.approvals.approve(&asker.judged, &call, asker.now) {
            Ok(Approval::Given(id)) => Ok(Some(id)),
            Ok(Approval::NotNeeded) => Ok(None),
            Ok(Approval::Needed(needed)) => {
                events.push(self.refused(asker, resource, "mcp.approval"));
                Err(Stop::Fault(denied(request, Some(&needed), &asker.trace)))
            }
            Err(unavailable) => {
                tracing::error!(trace = asker.trace, "{unavailable}");
                events.push(self.refused(asker, resource, "mcp.approval.unavailable"));
                Err(Stop::Fault(internal(request)))
            }
        }
    }

    /// The record of a call that is not let through.
    fn refused(&self, asker: &Asker, resource: &str, reason: &str) -> Event {
        asker.event(self.tenant, EventKind::ProxyRefused, Outcome::Refused).resource(resource).reason(reason)
    }

    /// Records that a call was let through and did not end well; `failure` says more, and repeats nothing that the server
    /// behind the gateway said.
    ///
    /// # Errors
    /// It could not be recorded; why is in the log.
    pub(super) fn record_failed(
        &self,
        asker: &Asker,
        resource: &str,
        request: &Request,
        (reason, failure): (&str, Option<&str>),
    ) -> Result<(), ()> {
        let event = asker.event(self.tenant, EventKind::ProxyCalled, Outcome::Failed).resource(resource).reason(reason);
        let event = detailed(event, request);
        self.record(vec![match failure {
            Some(failure) => event.detail("failure", failure),
            None => event,
        }])
    }

    /// Records what a list or a search showed.
    pub(super) fn record_shown(
        &self,
        asker: &Asker,
        what: &str,
        action: &str,
        shown: usize,
        hidden: Option<usize>,
    ) -> Result<(), ()> {
        let event = asker.event(self.tenant, EventKind::CheckDecided, Outcome::Allowed).resource(what).action(action);
        let event = event.detail("shown", shown.to_string());
        self.record(vec![hidden.map_or(event.clone(), |hidden| event.detail("hidden", hidden.to_string()))])
    }

    #[expect(clippy::needless_pass_by_value, reason = "it is taken where it is given")]
    fn record(&self, events: Vec<Event>) -> Result<(), ()> {
        if events.len() > EVENTS_MAX {
            tracing::error!(
                count = events.len(),
                "an MCP call has more records than one write may have; it is refused"
            );
            return Err(());
        }
        let written = self.engine.records(AUDIT).write(events.iter().map(Event::change).collect());
        written.map(drop).map_err(|error| tracing::error!("an MCP call could not be recorded: {error}"))
    }
}

/// Checks as they were answered, or nothing where a list asks hundreds.
enum Seen {
    Nothing,
    Checks(Vec<Answered>),
}

struct Answered {
    subject: String,
    object: String,
    relation: String,
    decision: Decision,
    revision: Revision,
}

impl Seen {
    fn push(&mut self, subject: SubjectRef<'_>, question: &Question, decision: Decision, revision: Revision) {
        if let Seen::Checks(checks) = self {
            let (subject, object) = (subject.to_string(), question.object.to_string());
            checks.push(Answered { subject, object, relation: question.relation.clone(), decision, revision });
        }
    }
}

impl Answered {
    fn event(self, tenant: u32, asker: &Asker) -> Event {
        let (outcome, reason) = match self.decision {
            Decision::Allow => (Outcome::Allowed, "mcp.check"),
            Decision::Deny => (Outcome::Refused, "mcp.check"),
        };
        let event = asker.event(tenant, EventKind::CheckDecided, outcome).resource(self.object).action(self.relation);
        event.reason(reason).revision(self.revision).detail("asked", self.subject)
    }
}

/// No decision could be made (COAZ-MCP, PDP communication errors).
pub(super) fn internal(request: &Request) -> Fault {
    let message = "no decision could be made just now; try again later";
    Fault::new(StatusCode::OK, Some(request.id.clone()), INTERNAL_ERROR, message)
}

/// The decision is no (COAZ-MCP, authorization denial; the envelope of SEP-2643). With an approval that would change it,
/// how to ask for one (AuthZEN access request profile).
pub(super) fn denied(request: &Request, needed: Option<&ApprovalNeeded>, trace: &str) -> Fault {
    let (method, name) = named(request);
    let what = name.map_or_else(|| method.to_owned(), |name| format!("{method} {}", short(name)));
    let mut authorization = json!({"reason": "insufficient_authorization", "authorizationContextId": trace});
    let mut data = Map::new();
    let message = match needed {
        None => format!("access denied: {what}"),
        Some(needed) => {
            let mut hints = Vec::new();
            if let Some(url) = &needed.form_url {
                hints.push(json!({"type": "url", "url": url}));
            }
            if !needed.details.is_empty() {
                hints.push(json!({"type": "oauth_authorization_details", "authorization_details": needed.details}));
                // A token for one call stands beside the one for all others.
                member(&mut authorization, "credentialDisposition", Some(json!("additional")));
            }
            member(&mut authorization, "remediationHints", Some(json!(hints)));
            let mut request = json!({"expires_at": needed.expires_at});
            member(&mut request, "endpoint", needed.endpoint.as_ref().map(|url| json!(url)));
            member(&mut request, "form_url", needed.form_url.as_ref().map(|url| json!(url)));
            member(&mut request, "binding_token", needed.binding_token.as_ref().map(|token| json!(token)));
            data.insert("evaluation_id".into(), json!(needed.evaluation_id));
            data.insert("access_request".into(), request);
            format!("approval required: {what} has to be approved by a person, with exactly these arguments")
        }
    };
    data.insert("authorization".into(), authorization);
    let mut fault = Fault::new(StatusCode::OK, Some(request.id.clone()), DENIED, message);
    fault.data = Some(Value::Object(data));
    fault
}

fn member(object: &mut Value, name: &str, value: Option<Value>) {
    if let (Some(object), Some(value)) = (object.as_object_mut(), value) {
        object.insert(name.to_owned(), value);
    }
}

/// What a client sent, as it may stand in a message.
fn short(text: &str) -> String {
    const CHARS_MAX: usize = 200;
    let clean = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
    text.chars().take(CHARS_MAX).map(clean).collect()
}
