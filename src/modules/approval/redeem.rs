//! What was allowed is used: once as a token (CIBA 10.1), and each detail once where it is done.

use super::ask::event_of;
use super::decide::{gives_token, values};
use super::detail::digest;
use super::records::{APPROVAL, ApprovalRequest, Approved, State, Way};
use super::types::type_of;
use super::{Approvals, Polled};
use crate::engine::Module;
use crate::identity::{
    Actor, Answer, Caller, Change, Client, ClientKind, Consent, Env, ErrorCode, EventKind, Form, Grant, GrantSubject,
    GrantType, Held, Outcome, Refusal, Seconds, Stored, Tenant, TokenAnswer, User, Wanted, again, hash_of, same,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// `grant_type` of CIBA 10.1.
pub const CIBA_GRANT: &str = "urn:openid:params:grant-type:ciba";
/// By how much a client that asks too soon has to wait longer, in seconds (CIBA 11).
const SLOWER_S: Seconds = 5;
/// Clients that are held back at a time; past it, those that asked longest ago are forgotten.
const POLLS_MAX: usize = 100_000;

/// The index of what access requests were allowed and was not used: who asked, for whom, the digest, and the request.
const UNUSED: u8 = b'd';
/// Approvals of the same thing that are looked at for one that is good.
const SAME_MAX: usize = 32;

/// Which request a grant came from.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OfGrant {
    request: String,
}

impl Stored for OfGrant {
    const MODULE: Module = APPROVAL;
    const SORT: u8 = b'g';
    const WHAT: &'static str = "approval of a grant";
}

/// What a change uses up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsedUp {
    /// Until when it could be used.
    pub until: Seconds,
    /// Who allowed it, as a subject.
    pub by: String,
}

/// The person for whom something was allowed, if it still stands: they and who allowed it are active, and neither has signed
/// out everywhere since. Else the rule by which it does not.
fn stands(tenant: &Tenant, request: &ApprovalRequest, approved: &Approved) -> Answer<Result<Held<User>, &'static str>> {
    let found = |id: &str| match tenant.user(id) {
        Ok(user) => Ok(Some(user)),
        Err(refusal) if refusal.error == ErrorCode::NotFound => Ok(None),
        Err(refusal) => Err(refusal),
    };
    let by = approved.by.strip_prefix("user:").unwrap_or_default();
    let (Some(user), Some(by)) = (found(&request.user)?, found(by)?) else { return Ok(Err("approval.user")) };
    for subject in [user.subject(), by.subject()] {
        if !tenant.is_active(&subject)? {
            return Ok(Err("approval.inactive"));
        }
    }
    if user.epoch != approved.epoch || approved.by_epoch.is_some_and(|epoch| by.epoch != epoch) {
        return Ok(Err("approval.signed_out"));
    }
    Ok(Ok(user))
}

/// The scopes that come of an approval, and the consent on which they rest: all that the person allowed themselves. Of what
/// others allowed, what the person has allowed the client for good, and still does. Those others have not shown who the person
/// is either, so that there is nothing to say about them in an ID token.
pub(super) fn given(
    tenant: &Tenant,
    client: &Client,
    request: &ApprovalRequest,
    approved: &Approved,
) -> Answer<(Vec<String>, Option<Held<Consent>>)> {
    if approved.by.strip_prefix("user:") == Some(request.user.as_str()) {
        return Ok((approved.scopes.clone(), None));
    }
    let asked: Vec<String> = approved.scopes.iter().filter(|scope| *scope != "openid").cloned().collect();
    let (scopes, consent) = tenant.standing(&request.user, client, (&asked, &request.resources))?;
    let rests = !scopes.is_empty();
    Ok((scopes, consent.filter(|_| rests)))
}

/// The grant type, for the token endpoint.
pub struct CibaGrant(pub Approvals);

fn invalid_grant(rule: &'static str) -> Refusal {
    let text = "`auth_req_id` is unknown, used, or of another client";
    Refusal::new(ErrorCode::InvalidGrant, rule, text)
}

impl GrantType for CibaGrant {
    fn name(&self) -> &'static str {
        CIBA_GRANT
    }

    fn describe(&self, tenant: &Tenant, metadata: &mut Map<String, Value>) {
        metadata.insert("backchannel_authentication_endpoint".to_owned(), tenant.url("/bc-authorize").into());
        metadata.insert("backchannel_token_delivery_modes_supported".to_owned(), json!(["poll", "ping"]));
        let algorithms: Vec<&str> = crate::identity::ALGORITHMS.iter().map(|(name, _)| *name).collect();
        let signing = "backchannel_authentication_request_signing_alg_values_supported";
        metadata.insert(signing.to_owned(), json!(algorithms));
        metadata.insert("backchannel_user_code_parameter_supported".to_owned(), false.into());
        if let Ok(types) = super::types(tenant) {
            let names: Vec<&str> = types.iter().map(|held| held.name.as_str()).collect();
            metadata.insert("authorization_details_types_supported".to_owned(), json!(names));
        }
    }

    fn redeem(&self, tenant: &Tenant, caller: &Caller, form: &Form, env: &Env<'_>) -> Answer<TokenAnswer> {
        let auth_req_id = form.need("auth_req_id")?;
        again(|| self.0.redeem(tenant, caller, auth_req_id, env))
    }
}

/// Adds to a change that what an access request was allowed can be found by those who use it.
pub(super) fn mark_details(change: &mut Change<'_>, request: &ApprovalRequest) {
    let State::Approved(approved) = &request.state else { return };
    if request.way == Way::AccessRequest {
        for detail in &approved.details {
            let parts = [request.asks.as_str(), &request.user, &detail.digest, &request.id];
            change.mark_until(APPROVAL, UNUSED, &parts, approved.until, None);
        }
    }
}

impl Approvals {
    fn redeem(&self, tenant: &Tenant, caller: &Caller, auth_req_id: &str, env: &Env<'_>) -> Answer<TokenAnswer> {
        let unknown = || invalid_grant("approval.unknown");
        let (id, secret) = auth_req_id.split_once('.').ok_or_else(unknown)?;
        if ulid::Ulid::from_string(id).is_err() {
            return Err(unknown()); // no key is made of what is no id
        }
        let held = tenant.get::<ApprovalRequest>(&[id])?.ok_or_else(unknown)?;
        if !same(&held.secret, &hash_of(secret)) || !gives_token(&held) {
            return Err(unknown());
        }
        if held.client != caller.client.id {
            return Err(invalid_grant("approval.client"));
        }
        let expired = || {
            let text = "the time of this request is over; ask anew (CIBA 11)";
            Refusal::new(ErrorCode::ExpiredToken, "approval.expired", text)
        };
        if !held.is_open(env.seconds()) {
            self.inner.polls.lock().remove(&(tenant.number(), held.id.clone()));
        }
        match &held.state {
            State::Open if env.seconds() >= held.expires_at => {
                self.expire_one(tenant, &held, env)?;
                Err(expired())
            }
            State::Open => Err(self.pending(tenant, &held, env)),
            State::Expired => Err(expired()),
            State::Denied { .. } => {
                let text = "the person has not allowed it";
                // At the token endpoint an error is a 400 (RFC 6749 5.2).
                Err(Refusal::new(ErrorCode::AccessDenied, "approval.denied", text))
            }
            State::Approved(approved) if approved.grant.is_some() => Err(invalid_grant("approval.used")),
            State::Approved(approved) if env.seconds() >= approved.until => Err(expired()),
            State::Approved(approved) => self.fetch(tenant, caller, &held, approved, env),
        }
    }

    /// Nobody has decided: the client waits, and longer when it asks too soon.
    fn pending(&self, tenant: &Tenant, request: &ApprovalRequest, env: &Env<'_>) -> Refusal {
        let (now, least) = (env.seconds(), self.settings().interval_s);
        let mut polls = self.inner.polls.lock();
        if polls.len() >= POLLS_MAX {
            let mut times: Vec<Seconds> = polls.values().map(|polled| polled.at).collect();
            times.sort_unstable();
            let middle = times.get(times.len() / 2).copied().unwrap_or(now);
            polls.retain(|_, polled| polled.at > middle);
        }
        let key = (tenant.number(), request.id.clone());
        let before = polls.get(&key).copied();
        let early = before.is_some_and(|polled| now < polled.at.saturating_add(polled.interval_s));
        let interval_s =
            before.map_or(least, |polled| polled.interval_s).saturating_add(if early { SLOWER_S } else { 0 });
        polls.insert(key, Polled { at: now, interval_s });
        drop(polls);
        let (error, rule, text) = if early {
            (
                ErrorCode::SlowDown,
                "approval.slow_down",
                "you ask too soon; wait five seconds longer from now on (CIBA 11)",
            )
        } else {
            (
                ErrorCode::AuthorizationPending,
                "approval.pending",
                "nobody has decided yet; ask again after the interval",
            )
        };
        let mut refusal = Refusal::new(error, rule, text);
        refusal.retry_after_s = u32::try_from(interval_s).ok().filter(|_| early);
        refusal
    }

    /// Makes the grant of an approval and its token, in the write that uses the approval up.
    fn fetch(
        &self,
        tenant: &Tenant,
        caller: &Caller,
        held: &Held<ApprovalRequest>,
        approved: &Approved,
        env: &Env<'_>,
    ) -> Answer<TokenAnswer> {
        let user = stands(tenant, held, approved)?.map_err(invalid_grant)?;
        let themselves = approved.by == user.subject();
        let (scopes, consent) = given(tenant, &caller.client, held, approved)?;
        let acts = caller.client.kind == ClientKind::Agent;
        let actor = Actor { subject: caller.client.subject(), issuer: None };
        let now = env.seconds();
        let grant = Grant {
            id: env.id(),
            by: CIBA_GRANT.to_owned(),
            subject: GrantSubject::User(user.id.clone()),
            client: caller.client.id.clone(),
            client_kind: caller.client.kind,
            actors: acts.then_some(actor).into_iter().collect(),
            scopes,
            resources: held.resources.clone(),
            details: values(approved),
            details_allowed: false,
            authentication: themselves.then(|| approved.authentication.clone()),
            nonce: None,
            created_at: now,
            expires_at: now.saturating_add(tenant.settings().access_token_s),
            parent: None,
            parent_token: None,
            session: None,
            offline: false,
            consent: consent.as_ref().map(|consent| consent.id.clone()),
            through: Vec::new(),
            epoch: approved.epoch,
            jkt: None,
            x5t: None,
            refresh: None,
            revoked_at: None,
        };
        let used = Approved { grant: Some(grant.id.clone()), until: grant.expires_at, ..approved.clone() };
        let mut change = tenant.change(env);
        change.expect(&user);
        consent.iter().for_each(|consent| change.expect(consent));
        change.replace(held, &ApprovalRequest { state: State::Approved(used), ..held.value.clone() });
        change.create(&[&grant.id], &OfGrant { request: held.id.clone() });
        change.expires::<OfGrant>(&[&grant.id], grant.expires_at, None);
        tenant.add_grant(&mut change, &grant, env)?;
        let answer = tenant.issue(&mut change, caller, &grant, &Wanted::default(), env)?;
        change.commit()?;
        Ok(answer)
    }

    /// The request from which a grant came, if it came from one.
    ///
    /// # Errors
    /// The disk failed.
    pub fn of_grant(&self, tenant: &Tenant, grant: &str) -> Answer<Option<String>> {
        Ok(tenant.get::<OfGrant>(&[grant])?.map(|held| held.request.clone()))
    }

    /// Whether somebody has to be asked before `detail` is done: the rules of its type say who, or that nobody need be. What is
    /// of no type here, or not as its type wants it, or what no rule can judge, needs an approval.
    ///
    /// # Errors
    /// The disk failed, which lets nothing through.
    pub fn needed(&self, tenant: &Tenant, detail: &Value) -> Answer<bool> {
        let name = detail.get("type").and_then(Value::as_str).unwrap_or_default();
        let Some(kind) = type_of(tenant, name)? else { return Ok(true) };
        Ok(kind.validate(detail).is_err() || !kind.who(detail).is_ok_and(|who| who.is_empty()))
    }

    /// The approval of exactly `what` that an access request of `asks` for `user` brought, if one is good and not used.
    ///
    /// # Errors
    /// The disk failed, or `what` has no canonical spelling.
    pub fn find(
        &self,
        tenant: &Tenant,
        (asks, user): (&str, &str),
        what: &Value,
        env: &Env<'_>,
    ) -> Answer<Option<String>> {
        let wanted = digest(what)?;
        for id in tenant.marks(APPROVAL, UNUSED, &[asks, user, &wanted], None, SAME_MAX)? {
            let held = tenant.get::<ApprovalRequest>(&[&id])?;
            if let Some(held) = &held
                && let State::Approved(approved) = &held.state
                && env.seconds() < approved.until
                && stands(tenant, held, approved)?.is_ok()
            {
                return Ok(Some(id));
            }
        }
        Ok(None)
    }

    /// Adds to a change that a detail of an approval is used by it: exactly `what`, for `asks` and, when one is named, for
    /// `user`. It is used once, whatever else runs: the change rests on it.
    ///
    /// # Errors
    /// There is no such approval, or it is not of this, used, or over; or who allowed it, or for whom it is, is suspended or has
    /// signed out everywhere since.
    pub fn spend(
        &self,
        tenant: &Tenant,
        change: &mut Change<'_>,
        id: &str,
        (asks, user): (&str, Option<&str>),
        what: &Value,
        env: &Env<'_>,
    ) -> Answer<UsedUp> {
        let refuse = |rule| {
            let text = "no approval allows exactly this; ask for one";
            Err(Refusal::new(ErrorCode::AccessDenied, rule, text))
        };
        if ulid::Ulid::from_string(id).is_err() {
            return refuse("approval.unknown");
        }
        let Some(held) = tenant.get::<ApprovalRequest>(&[id])? else { return refuse("approval.unknown") };
        let State::Approved(approved) = &held.state else { return refuse("approval.open") };
        if held.asks != asks || user.is_some_and(|user| user != held.user) {
            return refuse("approval.other");
        }
        if env.seconds() >= approved.until {
            return refuse("approval.over");
        }
        let user = match stands(tenant, &held, approved)? {
            Ok(user) => user,
            Err(rule) => return refuse(rule),
        };
        let wanted = digest(what)?;
        let mut used = approved.clone();
        let Some(detail) = used.details.iter_mut().find(|detail| detail.digest == wanted && detail.used_at.is_none())
        else {
            let known = approved.details.iter().any(|detail| detail.digest == wanted);
            return refuse(if known { "approval.used" } else { "approval.other" });
        };
        detail.used_at = Some(env.seconds());
        let done = UsedUp { until: used.until, by: used.by.clone() };
        if !used.details.iter().any(|detail| detail.digest == wanted && detail.used_at.is_none()) {
            change.unmark(APPROVAL, UNUSED, &[&held.asks, &held.user, &wanted, &held.id]);
        }
        change.replace(&held, &ApprovalRequest { state: State::Approved(used), ..held.value.clone() });
        let event = event_of(tenant, &held, EventKind::ApprovalDecided, Outcome::Done, env);
        change.event(&event.reason("used").detail("details", &wanted));
        change.expect(&user);
        Ok(done)
    }

    /// Which of these details may still be used: all but those that were used of the approval by which a grant was given.
    ///
    /// # Errors
    /// The disk failed.
    pub fn unused(&self, tenant: &Tenant, grant: &Grant, details: Vec<Value>) -> Answer<Vec<Value>> {
        let Some(id) = self.of_grant(tenant, &grant.id)? else { return Ok(details) };
        let held = tenant.get::<ApprovalRequest>(&[&id])?;
        let Some(State::Approved(approved)) = held.as_ref().map(|held| &held.state) else { return Ok(Vec::new()) };
        let mut left: Vec<&Value> =
            approved.details.iter().filter(|detail| detail.used_at.is_none()).map(|detail| &detail.value).collect();
        // The same thing may have been approved twice, and used once.
        let mut still =
            |detail: &Value| left.iter().position(|good| *good == detail).map(|at| left.swap_remove(at)).is_some();
        Ok(details.into_iter().filter(|detail| still(detail)).collect())
    }

    /// Uses up the approval by which a grant was given, for exactly `what`. Answers its id; nothing when the grant came from
    /// none, or from one that does not allow this, or no more.
    ///
    /// # Errors
    /// The disk failed, which allows nothing.
    pub fn spend_granted(&self, tenant: &Tenant, grant: &Grant, what: &Value, env: &Env<'_>) -> Answer<Option<String>> {
        let Some(id) = self.of_grant(tenant, &grant.id)? else { return Ok(None) };
        let asks = tenant.client(&grant.client)?.subject();
        let spent = again(|| {
            let mut change = tenant.change(env);
            self.spend(tenant, &mut change, &id, (&asks, grant.user()), what, env)?;
            change.commit()
        });
        match spent {
            Ok(_) => Ok(Some(id)),
            Err(refusal) if refusal.error == ErrorCode::AccessDenied => Ok(None),
            Err(refusal) => Err(refusal),
        }
    }
}
