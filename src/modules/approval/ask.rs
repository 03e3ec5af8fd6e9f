//! A client asks (CIBA 7, `/bc-authorize`): its parameters are judged once, what will be shown is written down word for word,
//! and who may decide becomes tuples.

use super::detail::{Line, Rendered, Who};
use super::records::{APPROVAL, ApprovalRequest, Backchannel, Delivery, Notice, Ping, Recipient, State, Way};
use super::redeem::CIBA_GRANT;
use super::template::visible;
use super::types::{stronger, type_of, unknown_type};
use super::{Approvals, canonical, hint, signed};
use crate::engine::{Given, Limits, ListObjectsQuery, ListUsersQuery, View};
use crate::identity::{
    ACR_VALUES, Answer, Caller, Change, Client, ClientKind, Env, ErrorCode, Event, EventKind, Form, Held, KeySource,
    OPENID_SCOPES, Outcome, Refusal, Seconds, Stored, Tenant, User, hash_of, record_key,
};
use crate::secrets::{self, Hierarchy};
use crate::tuple::{ObjectRef, Subject, SubjectRef, Tuple, TupleKeyRef};
use serde_json::{Value, json};

/// Longest binding message, in characters.
pub const BINDING_MESSAGE_CHARS_MAX: usize = 128;
/// Open requests of a client for one person.
const OPEN_MAX: usize = 32;
/// How long a request can be decided at the least, whatever the client says: nobody decides in less.
pub(super) const EXPIRY_MIN_S: Seconds = 30;
/// Bounds of `client_notification_token` (CIBA 7.1): 128 bits, as base64 has them, and 1024 characters.
const NOTIFICATION_TOKEN_CHARS: std::ops::RangeInclusive<usize> = 22..=1024;
/// The index of open requests by their end: the time, and the request.
pub(super) const DUE: u8 = b'o';
/// How long the record of a request is kept after its end, for who looks back.
const KEPT_S: Seconds = 30 * 24 * 3_600;

/// The answer to a request (CIBA 7.3).
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Asked {
    /// What the client asks the token endpoint with.
    pub auth_req_id: String,
    /// How long that is good, in seconds.
    pub expires_in: Seconds,
    /// How long it waits between two questions.
    pub interval: Seconds,
}

/// What is asked for, judged.
pub(super) struct Asking<'a> {
    pub(super) way: Way,
    pub(super) client: &'a Held<Client>,
    pub(super) user: Held<User>,
    pub(super) scopes: Vec<String>,
    pub(super) resources: Vec<String>,
    pub(super) details: Vec<Value>,
    pub(super) binding_message: Option<String>,
    pub(super) acr_values: Vec<String>,
    pub(super) expiry_s: Seconds,
    pub(super) ping: Option<Ping>,
    /// The id of the denial that it is surely about, for the record.
    pub(super) denial: Option<String>,
}

/// How the details of a request are judged together.
struct Judged {
    who: Vec<Who>,
    rendered: Rendered,
    acr: String,
    versions: Vec<(String, u32)>,
}

fn invalid(rule: &'static str, text: impl Into<String>) -> Refusal {
    Refusal::new(ErrorCode::InvalidRequest, rule, text)
}

/// The key of an entry of the index of open requests.
pub(super) fn due_part(at: Seconds) -> String {
    format!("{at:016}")
}

/// Where the sealed token of a ping belongs.
pub(super) fn ping_place(tenant: &Tenant, request: &str) -> Vec<u8> {
    record_key(tenant.number(), ApprovalRequest::SORT, &[request, "ping"])
}

impl Approvals {
    /// Takes a request of a client that has shown who it is.
    ///
    /// # Errors
    /// It is refused (CIBA 13).
    pub fn ask(
        &self,
        tenant: &Tenant,
        caller: &Caller,
        form: &Form,
        keys: &dyn KeySource,
        env: &Env<'_>,
    ) -> Answer<Asked> {
        let client = &caller.client;
        if client.is_public() || !client.may_use(CIBA_GRANT) {
            let text = "this client may not ask for approvals; it needs the grant type, and a way to show who it is";
            return Err(Refusal::new(ErrorCode::UnauthorizedClient, "ask.client", text));
        }
        let backchannel = tenant.get::<Backchannel>(&[&client.id])?.map(|held| held.value).unwrap_or_default();
        let form = signed::parameters(tenant, client, form, backchannel.signed_requests, keys, env)?;
        if form.get("request_uri").is_some() {
            return Err(invalid("ask.request_uri", "`request_uri` is not served here; send `request`"));
        }
        if form.get("user_code").is_some() {
            // Passed over, it would be a check that a client counts on and nobody makes.
            return Err(invalid(
                "ask.user_code",
                "`user_code` is not served; people show who they are when they decide",
            ));
        }
        let scope = form.need("scope")?;
        let (scopes, resources) = tenant.allowed(client, Some(scope), form.resources())?;
        if !scopes.iter().any(|scope| scope == "openid") {
            let text = "`scope` has to hold `openid` (CIBA 7.1)";
            return Err(Refusal::new(ErrorCode::InvalidScope, "ask.openid", text));
        }
        if scopes.iter().any(|scope| scope == "offline_access") {
            let text = "an approval is used once; it gives no refresh token, so leave `offline_access` out";
            return Err(Refusal::new(ErrorCode::InvalidScope, "ask.offline", text));
        }
        let details = form.details()?.unwrap_or_default();
        tenant.allowed_details(client, &details)?;
        let asking = Asking {
            way: Way::Ciba,
            user: hint::hinted(tenant, client, &form, env)?,
            client,
            scopes,
            resources,
            details,
            binding_message: form.get("binding_message").map(checked_message).transpose()?,
            acr_values: form.get("acr_values").unwrap_or_default().split(' ').map(str::to_owned).collect(),
            expiry_s: self.expiry(&form)?,
            ping: None,
            denial: None,
        };
        let secret = env.secret();
        let (id, expiry_s) = (env.id(), asking.expiry_s);
        let auth_req_id = format!("{id}.{secret}");
        let ping = ping_of(tenant, &backchannel, (&id, &auth_req_id), &form, env)?;
        self.open_with(tenant, (&id, &secret), Asking { ping, ..asking }, env, |_, _| {})?;
        Ok(Asked { auth_req_id, expires_in: expiry_s, interval: self.settings().interval_s })
    }

    fn expiry(&self, form: &Form) -> Answer<Seconds> {
        let Some(text) = form.get("requested_expiry") else { return Ok(self.settings().expiry_s) };
        let wanted = text.parse::<Seconds>().ok().filter(|seconds| *seconds > 0);
        let wanted =
            wanted.ok_or_else(|| invalid("ask.expiry", "`requested_expiry` is a positive number of seconds"))?;
        Ok(wanted.max(EXPIRY_MIN_S).min(self.settings().expiry_max_s))
    }

    /// Judges and writes a request: the record, its tuples, its event, the notices that tell of it, and what `more` adds.
    pub(super) fn open_with(
        &self,
        tenant: &Tenant,
        (id, secret): (&str, &str),
        asking: Asking<'_>,
        env: &Env<'_>,
        more: impl FnOnce(&mut Change<'_>, &ApprovalRequest),
    ) -> Answer<ApprovalRequest> {
        let judged = self.judge(tenant, &asking)?;
        if !judged.who.contains(&Who::Subject) {
            must_be_theirs_already(tenant, &asking)?;
        }
        let (client, now) = (asking.client, env.seconds());
        let digest = canonical::digest_of(&json!({
            "client": client.subject(), "user": asking.user.id, "scopes": asking.scopes, "resources": asking.resources,
            "details": asking.details, "binding_message": asking.binding_message,
        }));
        let unspeakable = |error: canonical::CanonicalFault| {
            Refusal::new(ErrorCode::InvalidAuthorizationDetails, "details.form", error.to_string())
        };
        let request = ApprovalRequest {
            id: id.to_owned(),
            way: asking.way,
            secret: hash_of(secret),
            client: client.id.clone(),
            asks: client.subject(),
            user: asking.user.id.clone(),
            digest: digest.map_err(unspeakable)?,
            shown_hash: canonical::digest_of(&json!(judged.rendered)).map_err(unspeakable)?,
            shown: judged.rendered,
            who: judged.who,
            acr: judged.acr,
            versions: judged.versions,
            scopes: asking.scopes,
            resources: asking.resources,
            details: asking.details,
            binding_message: asking.binding_message,
            ping: asking.ping,
            created_at: now,
            expires_at: now.saturating_add(asking.expiry_s),
            state: State::Open,
        };
        let view = tenant.view()?;
        let deciders = deciders(&view, &request)?;
        must_be_decidable(&view, tenant, &request, &deciders)?;
        must_be_few(&view, &request)?;
        tenant.count_ask(client, &request.user, env)?;
        let mut change = tenant.change(env);
        change.create(&[&request.id], &request);
        change.expires::<ApprovalRequest>(&[&request.id], request.expires_at.saturating_add(KEPT_S), None);
        change.mark(APPROVAL, DUE, &[&due_part(request.expires_at), &request.id]);
        change.relate(&request.object(), "tenant", &tenant.object());
        change.relate(&request.object(), "asks", &request.asks);
        change.relate(&request.object(), "subject", &format!("user:{}", request.user));
        for (relation, subject) in &deciders {
            change.relate(&request.object(), relation, subject);
        }
        let asked = event_of(tenant, &request, EventKind::ApprovalAsked, Outcome::Done, env);
        change.event(&asking.denial.iter().fold(asked, |event, denial| event.detail("denial", denial)));
        for channel in &self.settings().channels {
            self.tell(&mut change, &request, Recipient::Channel(channel.clone()), env);
        }
        if self.settings().push {
            self.tell(&mut change, &request, Recipient::Browsers, env);
        }
        more(&mut change, &request);
        change.commit()?;
        Ok(request)
    }

    /// Adds to a change that somebody is told.
    pub(super) fn tell(&self, change: &mut Change<'_>, request: &ApprovalRequest, to: Recipient, env: &Env<'_>) {
        let notice =
            Notice { request: request.id.clone(), to, due_at: env.seconds(), tries: 0, over_at: request.expires_at };
        change.create(&[&env.id()], &notice);
    }

    /// Who decides, how strongly they have to have shown who they are, and what they are shown.
    fn judge(&self, tenant: &Tenant, asking: &Asking<'_>) -> Answer<Judged> {
        let mut who: Option<Vec<Who>> = None;
        let (mut rendered, mut versions) = (Vec::with_capacity(asking.details.len()), Vec::new());
        let mut acr = self.settings().acr.as_str();
        let types = asking.details.iter().map(|detail| {
            let name = detail.get("type").and_then(Value::as_str).unwrap_or_default();
            type_of(tenant, name)?.ok_or_else(unknown_type)
        });
        let types = types.collect::<Answer<Vec<_>>>()?;
        for (detail, kind) in asking.details.iter().zip(&types) {
            kind.validate(detail)?;
            rendered.push(kind.render(detail)?);
            if !versions.iter().any(|(name, _)| *name == kind.name) {
                versions.push((kind.name.clone(), kind.version));
            }
            acr = stronger(acr, kind.acr.as_deref().unwrap_or(acr));
            let mut decides = kind.who(detail)?;
            if decides.is_empty() {
                decides.push(Who::Subject); // nobody need be asked, and so the person may be
            }
            if who.as_ref().is_some_and(|before| *before != decides) {
                let text = "different people decide on these details; ask for each in a request of its own";
                return Err(Refusal::new(ErrorCode::InvalidAuthorizationDetails, "details.who", text));
            }
            who = Some(decides);
        }
        // Any of the values will do (OpenID Connect Core 3.1.2.1); those that are not ours ask for nothing.
        let wished = ACR_VALUES.iter().find(|known| asking.acr_values.iter().any(|wanted| wanted == *known));
        let acr = stronger(acr, wished.copied().unwrap_or(acr)).to_owned();
        let client = asking.client;
        let rendered = Rendered {
            client: visible(&client.name),
            agent: client.kind == ClientKind::Agent,
            user: visible(asking.user.display_name()),
            binding_message: asking.binding_message.clone(),
            scopes: self.scope_lines(tenant, asking)?,
            details: rendered,
        };
        Ok(Judged { who: who.unwrap_or_else(|| vec![Who::Subject]), rendered, acr, versions })
    }

    fn scope_lines(&self, tenant: &Tenant, asking: &Asking<'_>) -> Answer<Vec<Line>> {
        let mut resources = Vec::new();
        for identifier in &asking.resources {
            resources.extend(tenant.resource(identifier)?);
        }
        let words = |scope: &str| {
            let known = resources.iter().find_map(|resource| resource.scope(scope));
            known.map_or_else(|| scope.to_owned(), |known| known.description.clone())
        };
        let of_resource = asking.scopes.iter().filter(|scope| !OPENID_SCOPES.contains(&scope.as_str()));
        Ok(of_resource.map(|scope| Line { label: scope.clone(), value: visible(&words(scope)) }).collect())
    }
}

/// What both sides show (CIBA 7.1): short, and nothing in it that cannot be seen.
pub(super) fn checked_message(text: &str) -> Answer<String> {
    if text.chars().count() > BINDING_MESSAGE_CHARS_MAX || visible(text) != text || text.trim().is_empty() {
        let text = format!(
            "`binding_message` has at most {BINDING_MESSAGE_CHARS_MAX} characters, all of which can be seen, in one line"
        );
        return Err(Refusal::new(ErrorCode::InvalidBindingMessage, "ask.binding_message", text));
    }
    Ok(text.to_owned())
}

/// What it takes to call the client, sealed.
fn ping_of(
    tenant: &Tenant,
    backchannel: &Backchannel,
    (id, auth_req_id): (&str, &str),
    form: &Form,
    env: &Env<'_>,
) -> Answer<Option<Ping>> {
    let Delivery::Ping { endpoint } = &backchannel.delivery else { return Ok(None) };
    let token = form.need("client_notification_token")?;
    // RFC 6750 2.1: b68token.
    let body = token.trim_end_matches('=');
    let fine = |b: u8| b.is_ascii_alphanumeric() || b"-._~+/".contains(&b);
    if !NOTIFICATION_TOKEN_CHARS.contains(&token.len()) || body.is_empty() || !body.bytes().all(fine) {
        let text =
            "`client_notification_token` is a bearer token of at least 128 bits and at most 1024 characters (CIBA 7.1)";
        return Err(invalid("ask.notification_token", text));
    }
    let ring = tenant.identity().ring();
    // The request keeps the hash of `auth_req_id`; the client is told the whole, so it is sealed with the token.
    let both = format!("{token}\n{auth_req_id}");
    let sealed = secrets::seal(ring, Hierarchy::System, &ping_place(tenant, id), both.as_bytes(), &env.bytes());
    let sealed = sealed.map_err(|error| Refusal::failed("ask.seal", error.to_string()))?;
    Ok(Some(Ping { endpoint: endpoint.clone(), sealed: crate::identity::encode(&sealed) }))
}

/// Refuses scopes that the person has not allowed the client for good, of a request on which others decide alone: they would
/// give away what is not theirs, in the name of somebody who was never asked. Who they are is said in no token then.
fn must_be_theirs_already(tenant: &Tenant, asking: &Asking<'_>) -> Answer<()> {
    let what = (asking.scopes.as_slice(), asking.resources.as_slice());
    let (standing, _) = tenant.standing(&asking.user.id, asking.client, what)?;
    let lacking = |scope: &&String| *scope != "openid" && !standing.contains(*scope);
    let lacking: Vec<&str> = asking.scopes.iter().filter(lacking).map(String::as_str).collect();
    if lacking.is_empty() {
        return Ok(());
    }
    let text = format!(
        "others than the person decide on these details, and the person has not allowed this client `{}`; leave them out, \
         or have the person sign in to the client and allow them first",
        lacking.join(" ")
    );
    Err(Refusal::new(ErrorCode::InvalidScope, "ask.consent", text))
}

/// Who may decide, as relation and subject of tuples of the request.
fn deciders(view: &View, request: &ApprovalRequest) -> Answer<Vec<(&'static str, String)>> {
    let (user, mut tuples) = (format!("user:{}", request.user), Vec::new());
    for who in &request.who {
        match who {
            Who::Subject => tuples.push(("decides", user.clone())),
            Who::Manager => tuples.push(("manager_of", user.clone())),
            Who::Person(id) => tuples.push(("decides", format!("user:{id}"))),
            Who::Team(id) => tuples.push(("decides", format!("team:{id}#member"))),
            Who::Accountable if request.asks.starts_with("agent:") => tuples.push(("answers", request.asks.clone())),
            Who::Owner => {
                for (kind, suffix) in [("team", "#member"), ("user", "")] {
                    let owners = subjects(view, &request.asks, "owner", kind)?;
                    tuples.extend(owners.into_iter().map(|owner| ("decides", format!("{owner}{suffix}"))));
                }
            }
            Who::Accountable => {} // an application has none
        }
    }
    tuples.sort_unstable();
    tuples.dedup();
    Ok(tuples)
}

#[expect(clippy::needless_pass_by_value, reason = "it is taken where it is given")]
fn form_fault(error: crate::tuple::TupleTextError) -> Refusal {
    Refusal::failed("approval.tuple", error.to_string())
}

/// The objects of a kind that have a relation to an object.
fn subjects(view: &View, object: &str, relation: &str, kind: &str) -> Answer<Vec<String>> {
    let query = ListUsersQuery {
        object: ObjectRef::parse(object).map_err(form_fault)?,
        relation,
        subject_type: kind,
        subject_relation: None,
        given: Given::default(),
    };
    let found = view.list_users(&query, &Limits::default())?;
    Ok(found.iter().filter(|s| matches!(s, Subject::Object(_))).map(ToString::to_string).collect())
}

/// Refuses a request on which nobody could decide: the tuples that it would have are asked before they are written.
fn must_be_decidable(
    view: &View,
    tenant: &Tenant,
    request: &ApprovalRequest,
    deciders: &[(&'static str, String)],
) -> Answer<()> {
    let object = request.object();
    let place = tenant.object();
    let all =
        deciders.iter().map(|(relation, subject)| (*relation, subject.as_str())).chain([("tenant", place.as_str())]);
    let tuples = all.map(|(relation, subject)| {
        TupleKeyRef::parse(&object, relation, subject).map(TupleKeyRef::to_tuple).map_err(form_fault)
    });
    let tuples: Vec<Tuple> = tuples.collect::<Answer<_>>()?;
    let query = ListUsersQuery {
        object: ObjectRef::parse(&object).map_err(form_fault)?,
        relation: "approver",
        subject_type: "user",
        subject_relation: None,
        given: Given { contextual_tuples: &tuples, context: None },
    };
    if view.list_users(&query, &Limits::default())?.is_empty() {
        let text = "nobody is there who may decide on this; ask who runs this server";
        let who: Vec<String> = request.who.iter().cloned().map(String::from).collect();
        return Err(Refusal::new(ErrorCode::AccessDenied, "ask.nobody", text).because(who.join(" ")));
    }
    Ok(())
}

/// Refuses a client that asks the same person too often before they have answered.
fn must_be_few(view: &View, request: &ApprovalRequest) -> Answer<()> {
    let of = |relation: &'static str, subject: &str| -> Answer<Vec<String>> {
        let query = ListObjectsQuery {
            object_type: "approval",
            relation,
            subject: SubjectRef::parse(subject).map_err(form_fault)?,
            given: Given::default(),
        };
        Ok(view.list_objects(&query, &Limits::default())?.iter().map(str::to_owned).collect())
    };
    let theirs = of("subject", &format!("user:{}", request.user))?;
    let asked = of("asks", &request.asks)?;
    if asked.iter().filter(|id| theirs.contains(id)).count() >= OPEN_MAX {
        let text = format!("{OPEN_MAX} requests of this client wait for this person already; wait for an answer");
        let mut refusal = Refusal::new(ErrorCode::TemporarilyUnavailable, "ask.open", text);
        refusal.retry_after_s = Some(30);
        return Err(refusal);
    }
    Ok(())
}

/// Begins an event about a request.
pub(super) fn event_of(
    tenant: &Tenant,
    request: &ApprovalRequest,
    kind: EventKind,
    outcome: Outcome,
    env: &Env<'_>,
) -> Event {
    let mut event = tenant.event(kind, outcome, env).user(format!("user:{}", request.user));
    event = if request.asks.starts_with("agent:") { event.agent(&request.asks) } else { event.client(&request.asks) };
    event = event.resource(request.object()).action(request.scopes.join(" "));
    let versions: Vec<String> = request.versions.iter().map(|(name, version)| format!("{name}@{version}")).collect();
    let who: Vec<String> = request.who.iter().cloned().map(String::from).collect();
    event = event.detail("shown", &request.shown_hash).detail("digest", &request.digest);
    event.detail("types", versions.join(" ")).detail("who", who.join(" "))
}
