//! What the MCP servers of a tenant are plugged into: its tokens, its approvals, the client of other people's servers, and the
//! vault, whose connections supply what a server behind the gateway wants to see.

use super::approvals::Spent;
use super::plugs::Administration;
use crate::identity::{Answer, Env, ErrorCode, Examined, Identity, Refusal, Tenant, TokenKind, again};
use crate::modules::mcp::servers::{self, http::Plugs};
use crate::modules::mcp::{
    self, Approval, ApprovalCall, ApprovalNeeded, ApprovalsUnavailable, GatewaySpec, Judged, Presented, Upstream,
    UpstreamError,
};
use crate::modules::vault::{self, Vault};
use crate::modules::{agent, approval, oauth};
use crate::tuple::{Object, ObjectRef, Timestamp};
use crate::wire::{Asked, Outgoing, OutgoingAnswer, OutgoingRequest, random};
use axum::body::{Body, Bytes, to_bytes};
use axum::http::request::Parts;
use axum::http::{Request, Response};
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

/// Most bytes of a stream of notifications.
const STREAM_BYTES_MAX: u64 = 1 << 30;
/// Longest message to a server, in bytes: what the gateway takes.
const MESSAGE_BYTES_MAX: usize = 4 << 20;
/// Parts of an answer on their way to a caller.
const PARTS_MAX: usize = 8;
/// How long an approval may be asked for after a denial, in seconds.
const ASKED_FOR_S: i64 = 3_600;

/// See the file's head.
pub(super) struct McpPlugs {
    pub(super) outgoing: Outgoing,
    pub(super) vault: Vault,
    pub(super) approvals: approval::Approvals,
}

impl Plugs for McpPlugs {
    fn administration(&self, tenant: &Tenant, head: &Parts, env: &Env<'_>) -> Answer<Examined> {
        agent::http::Tokens::judge(&Administration, tenant, head, env)
    }

    fn tokens(&self, tenant: &Tenant) -> Arc<dyn mcp::Tokens> {
        Arc::new(Of { identity: tenant.identity().clone(), number: tenant.number() })
    }

    fn approvals(&self, tenant: &Tenant) -> Arc<dyn mcp::Approvals> {
        let of = Of { identity: tenant.identity().clone(), number: tenant.number() };
        Arc::new(Approved { of, approvals: self.approvals.clone() })
    }

    fn upstream(&self, _: &Tenant, spec: &GatewaySpec) -> Arc<dyn Upstream> {
        match &spec.connection {
            Some(connection) => Arc::new(Lent { vault: self.vault.clone(), connection: connection.clone() }),
            None => Arc::new(Direct { outgoing: self.outgoing.clone(), spec: spec.clone() }),
        }
    }
}

/// A tenant, as it is when it is asked.
struct Of {
    identity: Identity,
    number: u32,
}

impl Of {
    fn tenant(&self) -> Option<Tenant> {
        self.identity.tenant(self.number)
    }
}

fn env(now: Timestamp, trace: Option<&str>) -> Env<'_> {
    Env { trace, ..Env::new(now, &random) }
}

impl mcp::Tokens for Of {
    fn judge(&self, presented: &Presented<'_>, resource: &str, now: Timestamp) -> Result<Judged, mcp::Refusal> {
        let tenant = self.tenant().ok_or(mcp::Refusal::Unavailable)?;
        let env = Env { certificate: presented.certificate, ..env(now, None) };
        judged(&tenant, presented, resource, &env).map_err(mcp::Refusal::of)
    }
}

/// Judges an access token of the tenant for a resource of its own, and the proof of its key (RFC 9449 7.1).
fn judged(tenant: &Tenant, presented: &Presented<'_>, resource: &str, env: &Env<'_>) -> Answer<Judged> {
    let examined = tenant.examine(presented.token, TokenKind::Access, Some(resource), env)?;
    examined.must_be_held(env)?;
    let audience: Vec<&str> = examined.audience.iter().map(String::as_str).collect();
    mcp::only_for(&audience, resource, tenant.issuer())?;
    mcp::must_be_proved(examined.jkt.as_deref(), presented, |proof, of| tenant.check_proof(proof, of, env))?;
    caller(&examined)
}

/// For whom a token speaks, by the rule of the vault too: who acts is the nearest actor of ours. When that is an application
/// that an agent gave its token to, the agent counts: what it may not, it may not through another.
fn caller(examined: &Examined) -> Answer<Judged> {
    let object = |text: &str| -> Answer<Object> {
        let parsed = ObjectRef::parse(text).map_err(|error| Refusal::failed("mcp.subject", error.to_string()))?;
        Ok(parsed.to_owned())
    };
    let vault::Caller { user, agent, behind, client, .. } = vault::Caller::of(examined);
    let (subject, agent) = match &user {
        // Without an agent an application acts for the person, who alone counts.
        Some(user) => {
            let mut chain = std::iter::once(&agent).chain(&behind);
            (object(&format!("user:{user}"))?, chain.find(|actor| actor.starts_with("agent:")).cloned())
        }
        None => (object(&agent)?, None),
    };
    Ok(Judged {
        subject,
        agent: agent.as_deref().map(object).transpose()?,
        actors: behind,
        client,
        scopes: examined.scopes.clone(),
        details: examined.details().to_vec(),
        token: Some(examined.jti.clone()),
        grant: Some(examined.grant.id.clone()),
        session: examined.grant.session.clone(),
        authentication: examined.authentication().cloned(),
    })
}

/// Uses up approvals of calls.
struct Approved {
    of: Of,
    approvals: approval::Approvals,
}

impl mcp::Approvals for Approved {
    fn approve(
        &self,
        caller: &Judged,
        call: &ApprovalCall<'_>,
        now: Timestamp,
    ) -> Result<Approval, ApprovalsUnavailable> {
        let failed = |refusal: Refusal| {
            tracing::error!(%refusal, rule = refusal.rule, cause = refusal.cause, "an approval could not be looked at");
            ApprovalsUnavailable
        };
        let tenant = self.of.tenant().ok_or(ApprovalsUnavailable)?;
        let env = env(now, Some(call.trace));
        let what = call.details();
        if !self.approvals.needed(&tenant, &what).map_err(failed)? {
            return Ok(Approval::NotNeeded);
        }
        if let Some(id) = self.spent(&tenant, caller, &what, &env).map_err(failed)? {
            return Ok(Approval::Given(id));
        }
        let until = DateTime::<Utc>::from_timestamp_nanos(now.0) + chrono::TimeDelta::seconds(ASKED_FOR_S);
        // Only in the name of a person can access be asked for.
        let binding_token = match caller.subject.object_type.as_str() {
            "user" => {
                let who = (caller.client.as_str(), caller.subject.id.as_str());
                let seconds = u64::try_from(until.timestamp()).unwrap_or(0);
                approval::bind(&tenant, who, call.trace, &what, seconds).map_err(failed)?
            }
            _ => None,
        };
        Ok(Approval::Needed(ApprovalNeeded {
            evaluation_id: call.trace.to_owned(),
            expires_at: until.to_rfc3339_opts(SecondsFormat::Secs, true),
            endpoint: Some(tenant.url("/access-requests")),
            form_url: None,
            binding_token,
            details: vec![what],
        }))
    }
}

impl Approved {
    /// The approval of exactly this that came with the caller's token or with an access request, now used up.
    fn spent(&self, tenant: &Tenant, caller: &Judged, what: &Value, env: &Env<'_>) -> Answer<Option<String>> {
        if let Some(grant) = caller.grant.as_ref().filter(|_| caller.details.contains(what)) {
            let (spent, chain) = (Spent(self.approvals.clone()), tenant.living(grant, env)?);
            if let Some(id) = spent.granted(tenant, &chain, &caller.details, what, env)? {
                return Ok(Some(id));
            }
        }
        // People approve for a person.
        if caller.subject.object_type != "user" {
            return Ok(None);
        }
        let user = caller.subject.id.as_str();
        let Some(id) = self.approvals.find(tenant, (&caller.client, user), what, env)? else { return Ok(None) };
        let spent = again(|| {
            let mut change = tenant.change(env);
            self.approvals.spend(tenant, &mut change, &id, (&caller.client, Some(user)), what, env)?;
            change.commit()
        });
        match spent {
            Ok(_) => Ok(Some(id)),
            Err(refusal) if refusal.error == ErrorCode::AccessDenied => Ok(None), // another call was faster
            Err(refusal) => Err(refusal),
        }
    }
}

/// Who may ask for access: whoever has a token for an MCP server of the tenant, or for the issuer's own endpoints. To ask
/// gives nothing, and the person sees who asks.
pub(super) struct Askers;

impl approval::http::Tokens for Askers {
    fn judge(&self, tenant: &Tenant, head: &Parts, env: &Env<'_>) -> Answer<Examined> {
        let mut audiences = vec![tenant.url("/access-requests"), tenant.url("/admin"), tenant.issuer().to_owned()];
        audiences.extend(servers::servers(tenant)?.iter().map(|held| held.spec.identifier(tenant)));
        oauth::bearer_for(tenant, head, &audiences, env)
    }
}

/// Reaches a server that wants no credential.
struct Direct {
    outgoing: Outgoing,
    spec: GatewaySpec,
}

impl Upstream for Direct {
    fn send(&self, request: Request<Body>) -> mcp::Future<'_, Result<Response<Body>, UpstreamError>> {
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let failed = |error: String| UpstreamError::Unreachable(error);
            let url = head.uri.to_string().parse().map_err(|_| failed("the URL is none".to_owned()))?;
            let streams = head.headers.get("mcp-method").is_some_and(|method| method == "subscriptions/listen");
            let (seconds, bytes) = if streams {
                (self.spec.stream_seconds_max, STREAM_BYTES_MAX)
            } else {
                (self.spec.answer_seconds_max, self.spec.answer_bytes_max as u64)
            };
            let request = OutgoingRequest {
                headers: head.headers,
                body,
                body_bytes_max: MESSAGE_BYTES_MAX,
                timeout: Duration::from_secs(seconds),
                answer_bytes_max: bytes,
                ..OutgoingRequest::new(head.method, url)
            };
            let answer = self.outgoing.send(request).await.map_err(|error| failed(error.to_string()))?;
            Ok(streamed(answer))
        })
    }
}

/// An answer whose body comes as it comes. A caller that goes away ends it.
fn streamed(mut answer: OutgoingAnswer) -> Response<Body> {
    let (status, headers) = (answer.status, std::mem::take(&mut answer.headers));
    let (sender, receiver) = mpsc::channel::<Result<Bytes, std::io::Error>>(PARTS_MAX);
    tokio::spawn(async move {
        loop {
            let part = tokio::select! {
                part = answer.chunk() => part,
                () = sender.closed() => return,
            };
            let part = match part {
                Ok(Some(part)) => Ok(part),
                Ok(None) => return,
                Err(error) => Err(std::io::Error::other(error)),
            };
            let last = part.is_err();
            if sender.send(part).await.is_err() || last {
                return;
            }
        }
    });
    let mut response = Response::new(Body::from_stream(ReceiverStream::new(receiver)));
    (*response.status_mut(), *response.headers_mut()) = (status, headers);
    response
}

/// Reaches a server through a connection of the vault, which puts the credential in and takes it out of answers.
struct Lent {
    vault: Vault,
    connection: String,
}

impl Upstream for Lent {
    fn send(&self, request: Request<Body>) -> mcp::Future<'_, Result<Response<Body>, UpstreamError>> {
        Box::pin(async move {
            let extensions = request.extensions();
            let (asked, judged) = (extensions.get::<Asked>().cloned(), extensions.get::<Judged>().cloned());
            let (Some(asked), Some(judged)) = (asked, judged) else {
                return Err(UpstreamError::Unreachable("nobody asks".to_owned()));
            };
            let (parts, body) = request.into_parts();
            let body = to_bytes(body, MESSAGE_BYTES_MAX).await;
            let body = body.map_err(|_| UpstreamError::Unreachable("the message is too long".to_owned()))?;
            let request = Request::from_parts(parts, body);
            let sent = vault::http::through(&self.vault, &asked, of(judged), &self.connection, request).await;
            sent.map_err(|refusal| {
                if refusal.error == ErrorCode::ServerError {
                    UpstreamError::Unreachable(refusal.to_string())
                } else {
                    UpstreamError::Refused(refusal.description)
                }
            })
        })
    }
}

/// A caller in the words of the vault.
fn of(judged: Judged) -> vault::Caller {
    let user = (judged.subject.object_type == "user").then(|| judged.subject.id.clone());
    let agent = match (&judged.agent, &user) {
        (Some(agent), _) => agent.to_string(),
        (None, Some(_)) => judged.client.clone(),
        (None, None) => judged.subject.to_string(),
    };
    vault::Caller {
        user,
        agent,
        behind: judged.actors,
        scopes: judged.scopes,
        client: judged.client,
        grant: judged.grant.unwrap_or_default(),
        jti: judged.token.unwrap_or_default(),
        // What needs an approval was judged before it came here, as a call of a tool.
        held: None,
        authentication: judged.authentication,
    }
}
