//! Access requests (AuthZEN Access Request and Approval Profile, draft of 29 April 2026): who was denied asks, a person
//! decides, and with the approval's id the denial is asked about once more, where it is used up.
//!
//! What is asked for becomes a detail of the type `access_request`, and goes the way of all details: an administrator has
//! said what one may hold, how it is shown, and who decides. Callbacks are not served: the task is asked for its status.

use super::ask::Asking;
use super::records::{APPROVAL, ApprovalRequest, State, Way};
use super::wanted::{AccessWanted, Item, access_detail, invalid};
use super::{Approvals, binding};
use crate::engine::Module;
use crate::identity::{Answer, Env, ErrorCode, Examined, Refusal, Seconds, Stored, Tenant, hash_of};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Longest `Idempotency-Key`.
const KEY_BYTES_MAX: usize = 256;

/// Where a request stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskStatus {
    /// Nobody has decided.
    Pending,
    /// All of it was allowed.
    Approved,
    /// A part was.
    Partial,
    /// It was not allowed.
    Denied,
    /// Nobody decided in time.
    Expired,
}

/// What came of it: ask again, with this in the context.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TaskResult {
    /// `reevaluate`
    pub mode: &'static str,
    /// What goes into `context.approval`.
    pub approval: Value,
}

/// A request as its client sees it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AccessTask {
    /// Its id, which is the approval's.
    pub id: String,
    /// Where it stands.
    pub status: TaskStatus,
    /// Where that can be asked.
    pub status_endpoint: String,
    /// Until when it can be decided or used.
    pub expires_at: Seconds,
    /// What came of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<TaskResult>,
}

/// Which task a key of a client made.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Made {
    request: String,
    digest: String,
}

impl Stored for Made {
    const MODULE: Module = APPROVAL;
    const SORT: u8 = b'i';
    const WHAT: &'static str = "key of an access request";
}

/// Who knows what details (RFC 9396) a thing becomes, so that they are those which are used up where it was denied.
pub trait Shapes: Send + Sync {
    /// The detail.
    ///
    /// # Errors
    /// It cannot be said.
    fn detail(&self, tenant: &Tenant, item: &Item) -> Answer<Value>;
}

/// Every thing becomes a detail of type [`ACCESS_TYPE`](super::ACCESS_TYPE).
#[derive(Clone, Copy, Debug, Default)]
pub struct PlainShapes;

impl Shapes for PlainShapes {
    fn detail(&self, _: &Tenant, item: &Item) -> Answer<Value> {
        Ok(access_detail(item))
    }
}

fn task(tenant: &Tenant, request: &ApprovalRequest, env: &Env<'_>) -> AccessTask {
    let (status, approved) = match &request.state {
        State::Open if env.seconds() >= request.expires_at => (TaskStatus::Expired, None),
        State::Open => (TaskStatus::Pending, None),
        State::Approved(approved) if approved.details.len() < request.details.len() => {
            (TaskStatus::Partial, Some(approved))
        }
        State::Approved(approved) => (TaskStatus::Approved, Some(approved)),
        State::Denied { .. } => (TaskStatus::Denied, None),
        State::Expired => (TaskStatus::Expired, None),
    };
    let result = approved.map(|approved| {
        let used = approved.details.iter().all(|detail| detail.used_at.is_some());
        let over = used || env.seconds() >= approved.until;
        let state = if over { "used" } else { "usable" };
        let approval = json!({"id": request.id, "approved_until": approved.until, "state": state});
        TaskResult { mode: "reevaluate", approval }
    });
    AccessTask {
        id: request.id.clone(),
        status,
        status_endpoint: tenant.url(&format!("/access-requests/{}", request.id)),
        expires_at: request.expires_at,
        result,
    }
}

impl Approvals {
    /// Asks a person for what was denied.
    ///
    /// # Errors
    /// The token is of no person, the things are not what details of the type may be or were not what was denied, or nobody could
    /// decide.
    pub fn request_access(
        &self,
        tenant: &Tenant,
        token: &Examined,
        wanted: &AccessWanted,
        key: Option<&str>,
        env: &Env<'_>,
    ) -> Answer<AccessTask> {
        self.request_shaped(tenant, token, wanted, (key, &PlainShapes), env)
    }

    /// As [`Approvals::request_access`], with who knows what details the things become.
    ///
    /// # Errors
    /// As there.
    pub fn request_shaped(
        &self,
        tenant: &Tenant,
        token: &Examined,
        wanted: &AccessWanted,
        (key, shapes): (Option<&str>, &dyn Shapes),
        env: &Env<'_>,
    ) -> Answer<AccessTask> {
        let user = token.grant.user().ok_or_else(|| {
            invalid("access.person", "access is asked for in the name of a person; use a token for one")
        })?;
        wanted.check(user, env)?;
        let client = tenant.client(&token.grant.client)?;
        let asks = client.subject();
        let ours = token.grant.actors.iter().filter(|actor| actor.issuer.is_none());
        let acting: Vec<&str> =
            std::iter::once(asks.as_str()).chain(ours.map(|actor| actor.subject.as_str())).collect();
        wanted.check_actor(&acting)?;
        let details =
            wanted.things()?.iter().map(|item| shapes.detail(tenant, item)).collect::<Answer<Vec<Value>>>()?;
        tenant.allowed_details(&client, &details)?;
        let denial = wanted.denial.as_ref();
        let denial = denial.map(|denial| binding::checked(tenant, denial, (&asks, user), &details, env)).transpose()?;
        let digest = super::digest_of(&json!({"user": user, "details": details}))
            .map_err(|fault| invalid("access.items", fault.to_string()))?;
        let part = key.map(hash_of);
        if let Some(key) = key {
            if key.is_empty() || key.len() > KEY_BYTES_MAX {
                return Err(invalid("access.key", "`Idempotency-Key` is empty or too long"));
            }
            if let Some(made) = tenant.get::<Made>(&[&client.id, &hash_of(key)])? {
                return self.made_before(tenant, &made, &digest, env);
            }
        }
        let message = wanted.message.as_deref().map(super::ask::checked_message).transpose()?;
        let asking = Asking {
            way: Way::AccessRequest,
            user: tenant.user(user)?,
            client: &client,
            scopes: Vec::new(),
            resources: Vec::new(),
            details,
            binding_message: message,
            acr_values: Vec::new(),
            expiry_s: self.settings().expiry_s,
            ping: None,
            denial: denial.flatten(),
        };
        let id = env.id();
        let opened = self.open_with(tenant, (&id, &env.secret()), asking, env, |change, request| {
            if let Some(part) = &part {
                change.create(&[&request.client, part], &Made { request: request.id.clone(), digest: digest.clone() });
                change.expires::<Made>(&[&request.client, part], request.expires_at, None);
            }
        });
        match opened {
            Ok(request) => Ok(task(tenant, &request, env)),
            // The same key, at the same time: the other one was written.
            Err(refusal) if refusal.is_stale() => {
                let made = part.map(|part| tenant.get::<Made>(&[&client.id, &part])).transpose()?.flatten();
                made.map_or(Err(refusal), |made| self.made_before(tenant, &made, &digest, env))
            }
            Err(refusal) => Err(refusal),
        }
    }

    fn made_before(&self, tenant: &Tenant, made: &Made, digest: &str, env: &Env<'_>) -> Answer<AccessTask> {
        if made.digest != digest {
            let text = "this `Idempotency-Key` was used for something else";
            return Err(Refusal::new(ErrorCode::Conflict, "access.key", text));
        }
        Ok(task(tenant, &*tenant.held::<ApprovalRequest>(&[&made.request])?, env))
    }

    /// Where a request stands, for the client that made it. To others it is not there.
    ///
    /// # Errors
    /// There is none of this client's.
    pub fn access_task(&self, tenant: &Tenant, token: &Examined, id: &str, env: &Env<'_>) -> Answer<AccessTask> {
        let gone = || Refusal::not_found("access request");
        if ulid::Ulid::from_string(id).is_err() {
            return Err(gone());
        }
        let held = tenant.get::<ApprovalRequest>(&[id])?.ok_or_else(gone)?;
        if held.client != token.grant.client || held.way != Way::AccessRequest {
            return Err(gone());
        }
        Ok(task(tenant, &held, env))
    }
}
