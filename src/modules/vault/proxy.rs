//! A call through the proxy, judged: who may use the connection, what is let through, with whose credential, and how the
//! request looks on the way out. The events of a call are here too.

use super::lease::{self, Lease, Looked, Whose};
use super::policy::{ProxyRule, SafePath, sent_headers, upstream_url};
use super::records::{Connection, Provider, Secret};
use super::upstream::secret_value;
use super::{Caller, Vault, connection_scope, connections, underway};
use crate::engine::{Decision, View};
use crate::identity::{Answer, Env, ErrorCode, Event, EventKind, Held, Outcome, Refusal, Seconds, Tenant, check};
use crate::secrets::{Filter, Report};
use crate::tuple::Revision;
use crate::wire::Asked;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use url::Url;
use zeroize::Zeroizing;

/// Longest purpose that is kept.
const PURPOSE_BYTES_MAX: usize = 128;
/// How a call ended whose caller did not wait for the whole answer.
pub(super) const CALLER_GONE: &str = "caller.gone";
/// How a call ended whose caller did not take the answer.
pub(super) const CALLER_SLOW: &str = "caller.slow";

/// A call as it came.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) connection: String,
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) query: Option<String>,
    pub(super) purpose: Option<String>,
}

/// A call that may be made.
#[derive(Clone, Debug)]
pub(super) struct Admitted {
    pub(super) connection: Held<Connection>,
    pub(super) whose: Whose,
    pub(super) url: Url,
    pub(super) scope: Option<String>,
    /// Whether it needs an approval besides.
    pub(super) asks: bool,
    /// The revision at which it was decided.
    pub(super) revision: Revision,
}

/// What is needed to make it, and what is told when it has ended: from here on it is a call that was made.
pub(super) struct Taken {
    pub(super) lease: Lease,
    pub(super) filter: Filter,
    pub(super) told: Told,
}

fn refuse(rule: &'static str, text: impl Into<String>) -> Refusal {
    Refusal::new(ErrorCode::AccessDenied, rule, text)
}

/// Judges a call.
///
/// # Errors
/// Which rule refuses it.
pub(super) fn admit(tenant: &Tenant, caller: &Caller, call: &Call, env: &Env<'_>) -> Answer<Admitted> {
    let view = tenant.view()?;
    let revision = view.revision();
    admit_at(tenant, &view, caller, call, env).map_err(|refusal| refusal.at(revision))
}

fn admit_at(tenant: &Tenant, view: &View, caller: &Caller, call: &Call, env: &Env<'_>) -> Answer<Admitted> {
    let connection = usable(tenant, view, caller, &call.connection)?;
    let path = SafePath::read(&call.path)?;
    let (rule, asks) = ruled(view, &connection, caller, (&call.method, &path), env.seconds())?;
    let scope = rule.scope.clone();
    let url = upstream_url(&connection.spec, &path, call.query.as_deref())?;
    let whose = lease::whose(&connection, caller)?;
    Ok(Admitted { connection, whose, url, scope, asks, revision: view.revision() })
}

/// What a token must be for: the proxy, or this connection of it.
pub(super) fn audiences(tenant: &Tenant, connection: &str) -> [String; 2] {
    [tenant.url("/proxy"), tenant.url(&format!("/proxy/{connection}"))]
}

/// A connection that the caller may use, by Check. One that is not there is refused in the same words.
#[expect(clippy::wildcard_enum_match_arm, reason = "what is not named stays as it is")]
pub(super) fn usable(tenant: &Tenant, view: &View, caller: &Caller, id: &str) -> Answer<Held<Connection>> {
    let refusal = || {
        let text =
            format!("`{}` may not use this connection, or there is none; whoever runs this can allow it", caller.agent);
        refuse("connection.usable", text)
    };
    let connection = connections::get(tenant, id).map_err(|refusal_of| match refusal_of.error {
        ErrorCode::NotFound => refusal(),
        _ => refusal_of,
    })?;
    match check(view, &caller.agent, "usable", &connection.object())? {
        Decision::Allow => Ok(connection),
        Decision::Deny => Err(refusal()),
    }
}

/// The first rule that lets a call through, and whether it takes an approval; one that takes none goes before those that do.
fn ruled<'a>(
    view: &View,
    connection: &'a Connection,
    caller: &Caller,
    (method, path): (&Method, &SafePath),
    now: Seconds,
) -> Answer<(&'a ProxyRule, bool)> {
    let (mut asks, mut refusal) = (None, None);
    for rule in connection.spec.rules.iter().filter(|rule| rule.lets(method, path)) {
        match scoped(view, connection, caller, rule, now) {
            Ok(false) => return Ok((rule, false)),
            Ok(true) => asks = asks.or(Some(rule)),
            Err(other) if other.error == ErrorCode::ServerError => return Err(other),
            Err(other) => refusal = refusal.or(Some(other)),
        }
    }
    if let Some(rule) = asks {
        return Ok((rule, true));
    }
    Err(refusal.unwrap_or_else(|| {
        refuse("proxy.rule", format!("no rule of this connection lets `{method}` of this path through"))
    }))
}

/// Sees that the caller has what a rule asks for: the scope, and a person who was authenticated well enough and not too long
/// ago. Answers whether it has the scope with an approval only.
pub(super) fn scoped(
    view: &View,
    connection: &Connection,
    caller: &Caller,
    rule: &ProxyRule,
    now: Seconds,
) -> Answer<bool> {
    let asks = has_scope(view, connection, caller, rule)?;
    // Last: to be authenticated again is of no use to whom the scope is denied.
    rule.demand(caller.authentication.as_ref(), now)?;
    Ok(asks)
}

/// Sees that the caller has the scope of a rule: in its token, and for this connection in the system store.
fn has_scope(view: &View, connection: &Connection, caller: &Caller, rule: &ProxyRule) -> Answer<bool> {
    let Some(scope) = &rule.scope else { return Ok(false) };
    if !caller.scopes.iter().any(|has| has == scope) {
        let text = format!("this needs a token with the scope `{scope}`");
        return Err(Refusal::new(ErrorCode::InsufficientScope, "proxy.scope", text));
    }
    let object = connection_scope(&connection.spec.id, scope);
    if check(view, &caller.agent, "granted", &object)? == Decision::Allow {
        return Ok(false);
    }
    if check(view, &caller.agent, "requestable", &object)? == Decision::Allow {
        return Ok(true);
    }
    Err(refuse("proxy.scope.denied", format!("`{}` is not given the scope `{scope}` of this connection", caller.agent)))
}

impl Connection {
    /// What of a URL is behind the base of the connection.
    ///
    /// # Errors
    /// It is not below the base.
    pub(super) fn path_of(&self, url: &http::Uri) -> Answer<String> {
        let whole = url.to_string();
        let bare = whole.split('?').next().unwrap_or_default();
        let path = bare.strip_prefix(self.spec.base.trim_end_matches('/')).filter(|path| path.starts_with('/'));
        path.map(str::to_owned).ok_or_else(|| {
            let text = format!("the URL is not below the base of the connection `{}`", self.spec.id);
            Refusal::new(ErrorCode::AccessDenied, "proxy.base", text)
        })
    }
}

impl Vault {
    /// Takes what an admitted call needs, and writes down that a credential is lent before it is. `None`: it is to be
    /// refreshed first, and there is nothing good until then. `good` takes what there is. `approval` is the one that the call
    /// has used up.
    ///
    /// # Errors
    /// There is no credential, or it cannot be filtered out of answers.
    pub(super) fn take(
        &self,
        asked: &Asked,
        caller: &Caller,
        admitted: &Admitted,
        call: &Call,
        (good, approval): (bool, Option<&str>),
        env: &Env<'_>,
    ) -> Answer<Option<Taken>> {
        let Admitted { connection, whose, scope, .. } = admitted;
        let tenant = &asked.tenant;
        let lease = match self.look(tenant, connection, (caller, whose), env)? {
            Looked::Ready(lease) => *lease,
            Looked::Refresh(Some(lease)) if good => *lease,
            Looked::Refresh(_) | Looked::Broken(_) => return Ok(None),
        };
        let got = self.inner.tokens.of(tenant, caller, env.seconds());
        let filter = self.inner.filters.of(tenant, caller, &got, Some((connection, &lease)))?;
        let event = caller.tell(tenant.event(EventKind::VaultLeased, Outcome::Allowed, env));
        let (resource, action) = (connection.object(), format!("{} {}", call.method, call.path));
        let mut event = event.resource(&resource).action(&action).revision(admitted.revision);
        event = lease.told(event.detail("mode", "proxy").detail("holder", whose.subjects()));
        if let Some(scope) = scope {
            event = event.detail("scope", scope);
        }
        if let Some(purpose) = &call.purpose {
            event = event.detail("purpose", purpose);
        }
        if let Some(approval) = approval {
            event = event.detail("approval", approval);
        }
        let mut change = tenant.change(env);
        let under_way = underway::begin(&mut change, &event, env);
        change.commit()?;
        let (approval, under_way) = (approval.map(str::to_owned), Some(under_way));
        let revision = Some(admitted.revision);
        let what = What { kind: EventKind::ProxyCalled, resource, action, approval, revision, under_way };
        Ok(Some(Taken { lease, filter, told: Told::new(asked, caller, what) }))
    }

    /// The filter of a caller's own output.
    ///
    /// # Errors
    /// A credential does not open.
    pub(super) fn filter_of(&self, tenant: &Tenant, caller: &Caller, env: &Env<'_>) -> Answer<Filter> {
        self.inner.filters.of(tenant, caller, &self.inner.tokens.of(tenant, caller, env.seconds()), None)
    }
}

/// The headers and the URL with the credential in them.
///
/// # Errors
/// The credential is not of the kind of the connection, or cannot stand there.
pub(super) fn injected(
    connection: &Connection,
    secret: &Secret,
    mut url: Url,
    headers: &HeaderMap,
) -> Answer<(Url, HeaderMap)> {
    let mut headers = sent_headers(headers);
    match (&connection.spec.provider, secret) {
        (
            Provider::Oauth2 { .. } | Provider::ServiceAccount { .. } | Provider::IdentityAssertion { .. },
            Secret::Oauth2 { .. } | Secret::ServiceAccount { .. },
        ) => {
            let token =
                secret.access_token().ok_or_else(|| Refusal::failed("lease.token", "a credential has no token"))?;
            headers.insert(header::AUTHORIZATION, secret_value(&Zeroizing::new(format!("Bearer {token}")))?);
        }
        (Provider::ApiKeyHeader { header, prefix }, Secret::ApiKey { key }) => {
            let name = HeaderName::try_from(header.as_str());
            let name = name.map_err(|error| Refusal::failed("connection.header", error.to_string()))?;
            headers.insert(name, secret_value(&Zeroizing::new(format!("{prefix}{}", &**key)))?);
        }
        (Provider::ApiKeyQuery { parameter }, Secret::ApiKey { key }) => {
            url.query_pairs_mut().append_pair(parameter, key);
        }
        (Provider::Basic {}, Secret::Basic { user, password }) => {
            let pair = Zeroizing::new(format!("{user}:{}", &**password));
            headers
                .insert(header::AUTHORIZATION, secret_value(&format!("Basic {}", STANDARD.encode(pair.as_bytes())))?);
        }
        _ => return Err(Refusal::failed("lease.kind", "a credential is not of the kind of its connection")),
    }
    Ok((url, headers))
}

/// The headers of an answer as the caller sees them: filtered, and with what keeps a browser from taking them for ours.
pub(super) fn answered(
    connection: &Connection,
    filter: &Filter,
    from: &HeaderMap,
    prefix: &str,
) -> (HeaderMap, Report) {
    let mut headers = HeaderMap::new();
    let mut report = Report::default();
    for (name, value) in &super::policy::answered_headers(from) {
        let (bytes, found) = filter.redact(value.as_bytes());
        report.add(&found);
        if let Ok(value) = HeaderValue::from_bytes(&bytes) {
            headers.append(name.clone(), value);
        }
    }
    // What the other side calls itself is, for the caller, below the connection.
    let base = connection.spec.base.trim_end_matches('/');
    let location = headers.get(header::LOCATION).and_then(|value| value.to_str().ok());
    let below = location.and_then(|to| to.strip_prefix(base)).filter(|rest| rest.starts_with('/'));
    if let Some(value) = below.and_then(|rest| HeaderValue::try_from(format!("{prefix}{rest}")).ok()) {
        headers.insert(header::LOCATION, value);
    }
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox; default-src 'none'"));
    headers.insert(super::ANSWERED_BY, HeaderValue::from_static("upstream"));
    (headers, report)
}

/// Why a caller calls, as it says, for the log.
pub(super) fn purpose(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(super::PURPOSE)?.to_str().ok()?;
    Some(text.chars().take(PURPOSE_BYTES_MAX).collect())
}

/// How a call ended.
#[derive(Clone, Debug, Default)]
pub(super) struct Ended {
    pub(super) status: Option<u16>,
    pub(super) bytes: u64,
    pub(super) failure: Option<String>,
    pub(super) removed: Report,
}

/// What is told of.
pub(super) struct What {
    kind: EventKind,
    resource: String,
    action: String,
    /// The approval that it used up.
    approval: Option<String>,
    /// The revision at which it was decided.
    revision: Option<Revision>,
    /// What a call is called while it is under way.
    under_way: Option<String>,
}

impl What {
    /// An agent's own output, on its way to people.
    pub(super) fn output() -> What {
        let (resource, action) = ("output".to_owned(), "filter".to_owned());
        What { kind: EventKind::OutputFiltered, resource, action, approval: None, revision: None, under_way: None }
    }
}

/// What is told of a call that was made, or of output that was filtered, when it has ended. One that is dropped before was
/// left by its caller, and then that is told.
pub(super) struct Told {
    asked: Asked,
    caller: Caller,
    /// Nothing when it is told.
    what: Option<What>,
}

impl Told {
    pub(super) fn new(asked: &Asked, caller: &Caller, what: What) -> Told {
        Told { asked: asked.clone(), caller: caller.clone(), what: Some(what) }
    }

    /// Has it written down how it ended. Nobody waits for that, of a call: if the process ends before it is written, the next
    /// one tells that nobody knows.
    pub(super) async fn end(mut self, ended: Ended) {
        let waits = self.what.as_ref().is_some_and(|what| what.under_way.is_none());
        if let Some(written) = self.tell(ended).filter(|_| waits) {
            drop(written.await);
        }
    }

    /// The event is under way when this returns: a caller that goes away takes nothing of it along.
    fn tell(&mut self, end: Ended) -> Option<impl Future<Output = Answer<()>> + Send + use<>> {
        let (what, caller) = (self.what.take()?, self.caller.clone());
        Some(self.asked.run_surely(move |tenant, env| {
            let written = ended(tenant, &caller, &what, &end, env);
            if let Err(refusal) = &written {
                tracing::error!(%refusal, "the end of a call could not be written down");
            }
            written
        }))
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        let why = if std::thread::panicking() { "proxy.panic" } else { CALLER_GONE };
        drop(self.tell(Ended { failure: Some(why.to_owned()), ..Ended::default() }));
    }
}

/// The event of a call that was made, or of output that was filtered.
fn ended(tenant: &Tenant, caller: &Caller, what: &What, end: &Ended, env: &Env<'_>) -> Answer<()> {
    let outcome = if end.failure.is_some() { Outcome::Failed } else { Outcome::Done };
    let mut event = caller.tell(tenant.event(what.kind, outcome, env)).resource(&what.resource).action(&what.action);
    if let Some(status) = end.status {
        event = event.detail("status", status.to_string());
    }
    if let Some(failure) = &end.failure {
        event = event.reason(failure);
    }
    if let Some(revision) = what.revision {
        event = event.revision(revision);
    }
    if let Some(approval) = &what.approval {
        event = event.detail("approval", approval);
    }
    event = with_removed(event.detail("bytes", end.bytes.to_string()), &end.removed);
    let mut change = tenant.change(env);
    change.event(&event);
    if let Some(under_way) = &what.under_way {
        underway::end(&mut change, under_way);
    }
    change.commit()?;
    Ok(())
}

/// What was removed, by rule, and whose it was; never what it was.
fn with_removed(event: Event, removed: &Report) -> Event {
    if removed.total() == 0 {
        return event;
    }
    let rules: Vec<String> = removed.counts().map(|(rule, count)| format!("{rule}={count}")).collect();
    let event = event.detail("removed", removed.total().to_string()).detail("removed_rules", rules.join(" "));
    let owners: Vec<&str> = removed.owners().collect();
    if owners.is_empty() { event } else { event.detail("removed_of", owners.join(", ")) }
}

/// The event of a call that was refused. Who has not shown who they are gets none: they could fill the log.
pub(super) fn refused(tenant: &Tenant, caller: &Caller, call: &Call, refusal: &Refusal, env: &Env<'_>) -> Answer<()> {
    let event = caller.tell(tenant.event(EventKind::ProxyRefused, Outcome::Refused, env));
    let event = event.resource(format!("connection:{}", call.connection));
    let mut event = event.action(format!("{} {}", call.method, call.path)).reason(refusal.rule);
    if let Some(revision) = refusal.revision {
        event = event.revision(revision);
    }
    let mut change = tenant.change(env);
    change.event(&event);
    change.commit()?;
    Ok(())
}
