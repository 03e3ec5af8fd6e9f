//! What the modules ask of each other: the traits that they declare, answered by the identity room.

use crate::identity::{Answer, Env, ErrorCode, Examined, Held, Identity, Refusal, Session, Tenant};
use crate::modules::audit::http::Access;
use crate::modules::audit::keys::Fresh;
use crate::modules::audit::note::Signer;
use crate::modules::audit::{Audit, AuditError, By, Tenants};
use crate::modules::login::{self, CookieKind, Cookies, sign_in_url};
use crate::modules::{agent, approval, oauth, scim, vault};
use crate::tuple::StoreId;
use crate::wire::Asked;
use axum::http::HeaderMap;
use axum::http::header::COOKIE;
use axum::http::request::Parts;
use axum::response::{IntoResponse as _, Response};
use std::sync::Arc;

/// The scopes that read an audit log, and that change how it is cared for.
const AUDIT_READ: &str = "audit:read";
const AUDIT_WRITE: &str = "audit:write";

/// The access token that a request to a tenant's administration shows: good now, for the issuer's `/admin`, and its key
/// proved when it is bound to one.
pub(super) fn administration(tenant: &Tenant, head: &Parts, env: &Env<'_>) -> Answer<Examined> {
    oauth::bearer(tenant, head, &tenant.url("/admin"), env)
}

/// Who judges tokens for the endpoints of a tenant's administration.
pub(super) struct Administration;

impl agent::http::Tokens for Administration {
    fn judge(&self, tenant: &Tenant, head: &Parts, env: &Env<'_>) -> Answer<Examined> {
        administration(tenant, head, env)
    }
}

impl approval::http::Tokens for Administration {
    fn judge(&self, tenant: &Tenant, head: &Parts, env: &Env<'_>) -> Answer<Examined> {
        administration(tenant, head, env)
    }
}

impl scim::http::Tokens for Administration {
    fn judge(&self, tenant: &Tenant, head: &Parts, env: &Env<'_>) -> Answer<Examined> {
        administration(tenant, head, env)
    }
}

/// The data stores of tenants, by the tenant's number.
pub(super) fn data_stores(identity: Identity) -> Arc<dyn Fn(u32) -> Vec<StoreId> + Send + Sync> {
    Arc::new(move |number| {
        let found = identity.tenant(number).map(|tenant| tenant.data_stores());
        found.transpose().ok().flatten().unwrap_or_default() // none is told of when they cannot be read
    })
}

/// What the registry says of agents, for the page of consent.
pub(super) struct Introductions;

impl login::Agents for Introductions {
    fn introduce(&self, tenant: &Tenant, id: &str) -> Answer<Option<login::Introduction>> {
        let found = (agent::Registry { tenant, approvals: &agent::NoApprovals }).get(id);
        let profile = match found {
            Ok(agent) => agent.record.profile,
            Err(refusal) if refusal.error == ErrorCode::NotFound => return Ok(None),
            Err(refusal) => return Err(refusal),
        };
        let id_of = |subject: String| subject.split_once(':').map(|(_, id)| id.to_owned());
        Ok(Some(login::Introduction {
            purpose: profile.purpose,
            accountable: profile.accountable.and_then(id_of),
            team: profile.owner.and_then(id_of),
        }))
    }
}

/// Whether the registry of agents keeps the agent of an id.
pub(super) fn registered(tenant: &Tenant, id: &str) -> Answer<bool> {
    match (agent::Registry { tenant, approvals: &agent::NoApprovals }).get(id) {
        Ok(_) => Ok(true),
        Err(refusal) if refusal.error == ErrorCode::NotFound => Ok(false),
        Err(refusal) => Err(refusal),
    }
}

/// Who knows browsers, by the cookies of the login pages.
pub(super) struct Browsers;

impl Browsers {
    /// The session of a browser, and the cookie that it had before anybody signed in.
    fn of(tenant: &Tenant, headers: &HeaderMap, env: &Env<'_>) -> Answer<Option<(Held<Session>, String)>> {
        // HTTP/2 may bring cookies one by one (RFC 9113, 8.2.3).
        let sent: Vec<&str> = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok()).collect();
        let sent = sent.join("; ");
        let cookies = Cookies { secure: tenant.issuer().starts_with("https:"), tenant: tenant.number() };
        let Some(session) = cookies.find(&sent, CookieKind::Session) else { return Ok(None) };
        let Some(visit) = cookies.find(&sent, CookieKind::Visit) else { return Ok(None) };
        let session = tenant.session_of_cookie(session, env)?;
        Ok(session.map(|session| (session, visit.to_owned())))
    }
}

impl approval::http::Visitors for Browsers {
    fn visitor(&self, tenant: &Tenant, head: &Parts, env: &Env<'_>) -> Answer<Option<approval::http::Visitor>> {
        let found = Browsers::of(tenant, &head.headers, env)?;
        Ok(found.map(|(session, secret)| approval::http::Visitor { session, secret }))
    }

    fn sign_in(&self, tenant: &Tenant, back: &str, acr: Option<&str>) -> String {
        sign_in_url(tenant, back, acr)
    }
}

impl vault::SignedIn for Browsers {
    fn signed_in(&self, tenant: &Tenant, headers: &HeaderMap, env: &Env<'_>) -> Answer<Option<(String, String)>> {
        let found = Browsers::of(tenant, headers, env)?;
        Ok(found.map(|(session, _)| (session.user.clone(), session.id.clone())))
    }

    fn sign_in_url(&self, tenant: &Tenant, back: &str) -> String {
        sign_in_url(tenant, back, None)
    }
}

/// Who reads a tenant's audit log: whoever audits it by Check, with a token that has the scope.
pub(super) struct Auditors;

/// How a request is judged, with what it showed.
type Judged<T> = fn(&Asked, &Examined, &Env<'_>) -> Answer<T>;

impl Auditors {
    /// Judges a request.
    fn judge<T>(request: &Parts, rule: Judged<T>) -> Result<T, Box<Response>> {
        let Some(asked) = request.extensions.get::<Asked>() else {
            return Err(Box::new(Refusal::failed("audit.tenant", "no tenant was found for it").into_response()));
        };
        let env = asked.env();
        let examined = administration(&asked.tenant, request, &env);
        let judged = examined.and_then(|examined| rule(asked, &examined, &env));
        judged.map_err(|refusal| Box::new(refusal.into_response()))
    }

    /// Who may read.
    fn reads(asked: &Asked, examined: &Examined, _: &Env<'_>) -> Answer<u32> {
        let tenant = &asked.tenant;
        if !examined.has_scope(AUDIT_READ) {
            let text = "this needs a token with the scope `audit:read`";
            return Err(Refusal::new(ErrorCode::InsufficientScope, "admin.scope", text));
        }
        // An agent that acts for a person must be an auditor itself too.
        let subject = examined.grant.user().map(|user| format!("user:{user}"));
        let acting = examined.grant.actors.iter().map(|actor| actor.subject.clone());
        let client = subject.is_none().then(|| examined.grant.client_subject());
        for who in subject.into_iter().chain(acting).chain(client) {
            if tenant.check(&who, "auditor", &tenant.object())? != crate::engine::Decision::Allow {
                let text = "only who audits the tenant may read this";
                return Err(Refusal::new(ErrorCode::AccessDenied, "admin.auditor", text).because(who));
            }
        }
        Ok(tenant.number())
    }
}

impl Access for Auditors {
    fn admit(&self, request: &Parts) -> Result<u32, Box<Response>> {
        Auditors::judge(request, Auditors::reads)
    }

    fn govern(&self, request: &Parts) -> Result<(u32, By), Box<Response>> {
        Auditors::judge(request, |asked, examined, env| {
            let rules = ["admin.scope", "admin.relation"];
            let by = examined.administrator(&asked.tenant, [AUDIT_WRITE, AUDIT_WRITE], rules)?;
            let (trace, address) = (env.trace.map(str::to_owned), env.address.map(str::to_owned));
            Ok((asked.tenant.number(), By { user: Some(by), trace, address, ..By::default() }))
        })
    }
}

/// Whose logs are tended, and what signs them.
pub(super) struct Logs(pub(super) Identity);

impl Logs {
    /// The first key of a tenant's log, when it has none: named by the issuer.
    pub(super) fn first_key(&self, tenant: &Tenant, env: &Env<'_>) -> Result<(), AuditError> {
        let log = Audit::new(self.0.engine()).log(tenant.number());
        if !log.keys()?.is_empty() {
            return Ok(());
        }
        let issuer = tenant.url("/audit");
        let name = issuer.split_once("://").map_or(issuer.as_str(), |(_, name)| name);
        let fresh = Fresh { seed: &env.bytes(), nonce: &env.bytes() };
        log.make_key(Some(name), self.0.ring(), fresh, &By::default(), env.now)?;
        Ok(())
    }
}

impl Tenants for Logs {
    fn tenants(&self) -> Vec<u32> {
        self.0.tenants().iter().map(Tenant::number).collect()
    }

    fn signer(&self, tenant: u32) -> Option<Arc<dyn Signer + Send + Sync>> {
        match Audit::new(self.0.engine()).log(tenant).signer(self.0.ring()) {
            Ok(key) => Some(Arc::new(key)),
            Err(error) => {
                tracing::error!(tenant, %error, "the audit log cannot be signed; it grows unsigned");
                None
            }
        }
    }
}
