//! Connections: made, changed, allowed and taken away by whoever runs the tenant.
//!
//! Who may use one is decided in the system store: `connection:ID#allowed`, and for scopes of a connection one class for each
//! agent (`automatic`, `needs_approval`, `never`). The same tuples govern the proxy, exchanges and other modules.

use super::policy::RULES_MAX;
use super::records::{ClientAuth, Connection, ConnectionSpec, HolderKind, Provider, seal_client_secret};
use crate::engine::ReadQuery;
use crate::identity::{
    Answer, ClientKind, Env, ErrorCode, EventKind, Held, Outcome, PAGE_MAX, Refusal, Tenant, again,
    connection_scope_of, is_scope, is_secure, scope_object,
};
use crate::secrets::Filter;
use crate::tuple::SubjectRef;
use http::HeaderName;
use url::Url;

/// Longest id of a connection.
const ID_BYTES_MAX: usize = 64;
/// Longest name, URL and other text.
const TEXT_BYTES_MAX: usize = 1_024;
/// Most scopes that are asked for.
const SCOPES_MAX: usize = 64;
/// Most parameters that a provider wants.
const PARAMETERS_MAX: usize = 16;
/// The largest bodies and the longest time that a connection may allow.
const BODY_BYTES_MAX: u64 = 1 << 30;
const TIMEOUT_MAX_S: u64 = 900;
/// Parameters of an authorization request that are ours to set.
const OUR_PARAMETERS: [&str; 8] = [
    "response_type",
    "response_mode",
    "client_id",
    "redirect_uri",
    "state",
    "scope",
    "code_challenge",
    "code_challenge_method",
];

/// How a scope of a connection is had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScopeClass {
    /// Without being asked for.
    Automatic,
    /// When somebody approves.
    NeedsApproval,
    /// Never, whatever else says otherwise.
    Never,
}

impl ScopeClass {
    /// All there are, with their relations.
    pub const ALL: [(ScopeClass, &'static str); 3] = [
        (ScopeClass::Automatic, "automatic"),
        (ScopeClass::NeedsApproval, "needs_approval"),
        (ScopeClass::Never, "never"),
    ];

    /// The class of a name.
    #[must_use]
    pub fn of(name: &str) -> Option<ScopeClass> {
        ScopeClass::ALL.iter().find(|(_, known)| *known == name).map(|(class, _)| *class)
    }

    /// Its name, which is the relation.
    #[must_use]
    pub fn name(self) -> &'static str {
        ScopeClass::ALL.iter().find(|(class, _)| *class == self).map_or("none", |(_, name)| name)
    }
}

/// A scope of a connection, how it is had, and by whom.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Classed {
    /// The scope.
    pub scope: String,
    /// The name of its class.
    pub class: &'static str,
    /// For whom: `agent:ID`, `app:ID`, `agent:*` or `app:*`.
    pub subject: String,
}

/// The object of a scope of a connection.
#[must_use]
pub fn connection_scope(connection: &str, scope: &str) -> String {
    format!("connection_{}", scope_object(connection, scope))
}

fn invalid(text: impl Into<String>) -> Refusal {
    Refusal::new(ErrorCode::InvalidRequest, "connection.spec", text)
}

/// A URL that we ask or send people to: https, or http of this machine.
fn check_url(what: &str, text: &str) -> Answer<Url> {
    let refuse = |why: &str| invalid(format!("{what}: {why}"));
    let url = Url::parse(text).map_err(|_| refuse("write a whole URL, as `https://api.example.com/v1`"))?;
    if !is_secure(&url) {
        return Err(refuse("it is not https; only servers on this machine may be asked over http"));
    }
    if text.len() > TEXT_BYTES_MAX || !url.has_host() {
        return Err(refuse("it has no host, or is too long"));
    }
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        return Err(refuse("it has a user, a password or a fragment; take them out"));
    }
    Ok(url)
}

fn check_text(what: &str, text: &str) -> Answer<()> {
    if text.is_empty() || text.len() > TEXT_BYTES_MAX || text.chars().any(char::is_control) {
        return Err(invalid(format!("{what} is empty, too long, or has control characters")));
    }
    Ok(())
}

fn check_scopes(scopes: &[String]) -> Answer<()> {
    if scopes.len() > SCOPES_MAX || !scopes.iter().all(|scope| is_scope(scope)) {
        return Err(invalid(format!("there are more than {SCOPES_MAX} scopes, or one is none (RFC 6749 3.3)")));
    }
    Ok(())
}

fn check_provider(provider: &Provider) -> Answer<()> {
    match provider {
        Provider::Oauth2 {
            authorize_url,
            token_url,
            revoke_url,
            issuer,
            issuer_required,
            client_id,
            assertion_audience,
            scopes,
            parameters,
            ..
        } => {
            check_url("authorize_url", authorize_url)?;
            check_url("token_url", token_url)?;
            if let Some(url) = revoke_url {
                check_url("revoke_url", url)?;
            }
            if *issuer_required && issuer.is_none() {
                return Err(invalid("`issuer_required` is set and `issuer` is not; say who the issuer is"));
            }
            check_text("client_id", client_id)?;
            if let Some(audience) = assertion_audience {
                check_text("assertion_audience", audience)?;
            }
            if parameters.len() > PARAMETERS_MAX
                || parameters.keys().any(|name| OUR_PARAMETERS.contains(&name.as_str()))
            {
                return Err(invalid("parameters: there are too many, or one is set by the request itself"));
            }
            check_scopes(scopes)
        }
        Provider::ServiceAccount { token_url, account, scopes, .. } => {
            check_url("token_url", token_url)?;
            check_text("account", account)?;
            check_scopes(scopes)
        }
        Provider::IdentityAssertion { issuer, token_url, client_id, scopes, resource, .. } => {
            check_url("issuer", issuer)?;
            check_url("token_url", token_url)?;
            check_url("resource", resource)?;
            check_text("client_id", client_id)?;
            check_scopes(scopes)
        }
        Provider::ApiKeyHeader { header, prefix } => {
            let name =
                HeaderName::try_from(header.as_str()).map_err(|_| invalid("header: it is no name of a header"))?;
            let mut one = http::HeaderMap::new();
            one.insert(name.clone(), http::HeaderValue::from_static("x"));
            let ours = super::policy::sent_headers(&one).is_empty() && name != http::header::AUTHORIZATION;
            if ours || !prefix.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
                return Err(invalid("header: a key cannot stand in this header, or behind this prefix"));
            }
            Ok(())
        }
        Provider::ApiKeyQuery { parameter } => check_text("parameter", parameter),
        Provider::Basic {} => Ok(()),
    }
}

impl ConnectionSpec {
    /// Sees that a connection means something.
    ///
    /// # Errors
    /// It does not; the text says where.
    pub fn check(&self) -> Answer<()> {
        let of_id = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
        if self.id.is_empty() || self.id.len() > ID_BYTES_MAX || !self.id.bytes().all(of_id) {
            return Err(invalid(format!("id: use 1 to {ID_BYTES_MAX} small letters, digits, `-` and `_`")));
        }
        check_text("name", &self.name)?;
        let base = check_url("base", &self.base)?;
        if base.query().is_some() {
            return Err(invalid("base: it has a query; calls bring their own"));
        }
        super::policy::SafePath::read(base.path())?;
        if self.rules.len() > RULES_MAX {
            return Err(invalid(format!("rules: there are more than {RULES_MAX}")));
        }
        self.rules.iter().try_for_each(super::policy::ProxyRule::check)?;
        check_provider(&self.provider)?;
        if self.exchange && (!matches!(self.provider, Provider::Oauth2 { .. }) || self.holder != HolderKind::User) {
            return Err(invalid("exchange: only access tokens that people got by OAuth can be handed out"));
        }
        let got = matches!(self.provider, Provider::IdentityAssertion { .. });
        if got != (self.holder == HolderKind::UserAndAgent) {
            return Err(invalid(
                "holder: tokens that an identity assertion gets are of the person and the agent together \
                 (`user_and_agent`), and no others are",
            ));
        }
        let limits = self.limits;
        let bytes = limits.request_bytes_max.max(limits.response_bytes_max);
        let times = [limits.timeout_s, limits.stalled_s];
        if bytes > BODY_BYTES_MAX || times.iter().any(|time| !(1..=TIMEOUT_MAX_S).contains(time)) {
            return Err(invalid(format!("limits: at most {BODY_BYTES_MAX} bytes, and 1 to {TIMEOUT_MAX_S} seconds")));
        }
        Ok(())
    }
}

/// Makes a connection. `secret` is our client secret at the provider; `by` is who does it, as a subject.
///
/// # Errors
/// It means nothing, or its id is or was taken.
pub fn create(tenant: &Tenant, spec: ConnectionSpec, secret: Option<&str>, by: &str, env: &Env<'_>) -> Answer<()> {
    spec.check()?;
    check_secret(secret)?;
    if tenant.get::<Connection>(&[&spec.id])?.is_some() {
        return Err(taken(&spec.id));
    }
    // A connection of another sort has this id, or had it: what it was given must not become this one's.
    let object = format!("connection:{}", spec.id);
    if any(tenant, tuples("connection", Some(&spec.id), None)?)?
        || any(tenant, tuples("connection_scope", None, Some(("connection", &object)))?)?
    {
        return Err(taken(&spec.id));
    }
    check_shown(&spec.provider, secret.is_some())?;
    let secret = secret.map(|secret| seal_client_secret(tenant, &spec.id, secret, env)).transpose()?;
    let id = spec.id.clone();
    let now = env.seconds();
    let connection = Connection { spec, secret, keys: Vec::new(), created_at: now, changed_at: now, removed_at: None };
    let mut change = tenant.change(env);
    change.create(&[&id], &connection);
    change.relate(&connection.object(), "tenant", &tenant.object());
    let event = tenant.event(EventKind::ConnectionCreated, Outcome::Done, env).resource(connection.object());
    let event = event.user(by).detail("host", host_of(&connection));
    change.event(&event.detail("exchange", if connection.spec.exchange { "yes" } else { "no" }));
    change.commit()?;
    Ok(())
}

fn taken(id: &str) -> Refusal {
    let text = format!("`{id}` is, or was, another connection; ids are not used again");
    Refusal::new(ErrorCode::Conflict, "connection.taken", text)
}

/// A client secret must not leave either: one that could not be told from ordinary text is not taken.
fn check_secret(secret: Option<&str>) -> Answer<()> {
    let takes = secret.map_or(Ok(()), |secret| Filter::takes(secret.as_bytes()));
    takes.map_err(|error| invalid(format!("the client secret: {error}")))
}

/// A connection that shows a secret has one: without it, each call would fail at the provider.
fn check_shown(provider: &Provider, has_secret: bool) -> Answer<()> {
    let shows = matches!(provider.client_auth(), Some(ClientAuth::Basic | ClientAuth::Post));
    if shows && !has_secret {
        return Err(invalid(
            "client_auth: our client secret at the provider is shown and there is none; say it (`client_secret`, or \
             --client-secret-file), or `none` for a public client, or `private_key_jwt`",
        ));
    }
    Ok(())
}

fn host_of(connection: &Connection) -> String {
    Url::parse(&connection.spec.base).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default()
}

/// Whether credentials and people go only where they went: to the host of the API, and those of the provider's endpoints.
fn keeps_hosts(held: &ConnectionSpec, spec: &ConnectionSpec) -> bool {
    let origin = |url: &str| Url::parse(url).map(|url| url.origin()).ok();
    let ends = |spec: &ConnectionSpec| match &spec.provider {
        Provider::Oauth2 { authorize_url, revoke_url, .. } => {
            (origin(authorize_url), revoke_url.as_deref().and_then(origin))
        }
        Provider::ServiceAccount { .. }
        | Provider::IdentityAssertion { .. }
        | Provider::ApiKeyHeader { .. }
        | Provider::ApiKeyQuery { .. }
        | Provider::Basic {} => (None, None),
    };
    let tokens = |spec: &ConnectionSpec| spec.provider.token_url().and_then(origin);
    // To whom assertions are shown, and for whom they are, are said together.
    let asserts = |spec: &ConnectionSpec| match &spec.provider {
        Provider::IdentityAssertion { issuer, .. } => Some(issuer.clone()),
        Provider::Oauth2 { .. }
        | Provider::ServiceAccount { .. }
        | Provider::ApiKeyHeader { .. }
        | Provider::ApiKeyQuery { .. }
        | Provider::Basic {} => None,
    };
    let ((authorize, revoke), (wanted_authorize, wanted_revoke)) = (ends(held), ends(spec));
    origin(&held.base) == origin(&spec.base)
        && tokens(held) == tokens(spec)
        && authorize == wanted_authorize
        && asserts(held) == asserts(spec)
        // Where tokens are taken back may be said later, or no more: it gets them, and our secret.
        && (wanted_revoke.is_none() || wanted_revoke == revoke || wanted_revoke == tokens(held))
}

/// Changes what a connection is. Without a secret it keeps the one it has. Where calls go, and whose credentials they use,
/// stay: credentials were given for that and nothing else.
///
/// # Errors
/// There is none, or the new one means nothing.
pub fn change(tenant: &Tenant, spec: &ConnectionSpec, secret: Option<&str>, by: &str, env: &Env<'_>) -> Answer<()> {
    spec.check()?;
    check_secret(secret)?;
    again(|| {
        let held = get(tenant, &spec.id)?;
        let kind = |spec: &ConnectionSpec| std::mem::discriminant(&spec.provider);
        let same = keeps_hosts(&held.spec, spec) && held.spec.holder == spec.holder && kind(&held.spec) == kind(spec);
        if !same {
            return Err(invalid(
                "a connection keeps its hosts (that of the API, and of authorization, tokens and revocation), its holder and \
                 its kind of provider, because credentials were given for them; make another connection",
            ));
        }
        let secret = match secret {
            Some(secret) => Some(seal_client_secret(tenant, &spec.id, secret, env)?),
            None => held.secret.clone(),
        };
        check_shown(&spec.provider, secret.is_some())?;
        let changed = Connection { spec: spec.clone(), secret, changed_at: env.seconds(), ..held.value.clone() };
        let mut change = tenant.change(env);
        change.replace(&held, &changed);
        let event = tenant.event(EventKind::AdminChanged, Outcome::Done, env).resource(held.object());
        let event = event.action("connection.change").user(by);
        change.event(&event.detail("exchange", if spec.exchange { "yes" } else { "no" }));
        change.commit()?;
        Ok(())
    })
}

/// Takes a connection away. Credentials for it stay sealed and are of no use; their holders can still remove them.
///
/// # Errors
/// There is none.
pub fn remove(tenant: &Tenant, id: &str, by: &str, env: &Env<'_>) -> Answer<()> {
    again(|| {
        let held = get(tenant, id)?;
        let mut change = tenant.change(env);
        let gone = Connection { removed_at: Some(env.seconds()), secret: None, keys: Vec::new(), ..held.value.clone() };
        change.replace(&held, &gone);
        change.unrelate(&held.object(), "tenant", &tenant.object());
        let event = tenant.event(EventKind::ConnectionRemoved, Outcome::Done, env).resource(held.object());
        change.event(&event.user(by));
        change.commit()?;
        Ok(())
    })
}

/// A connection that was not taken away.
///
/// # Errors
/// There is none.
pub fn get(tenant: &Tenant, id: &str) -> Answer<Held<Connection>> {
    let held = tenant.held::<Connection>(&[id])?;
    if held.removed_at.is_some() {
        return Err(Refusal::not_found("connection"));
    }
    Ok(held)
}

/// Connections in the order of their ids, behind `after`, those that were taken away left out; and behind what the next page
/// is, if there is one.
///
/// # Errors
/// The disk failed.
pub fn list(tenant: &Tenant, after: Option<&str>, max: usize) -> Answer<(Vec<Held<Connection>>, Option<String>)> {
    let page = tenant.list::<Connection>(&[], after, max)?;
    let next = page.last().filter(|_| page.len() >= max.min(PAGE_MAX)).map(|held| held.spec.id.clone());
    Ok((page.into_iter().filter(|held| held.removed_at.is_none()).collect(), next))
}

/// The accounts with which connections go to other systems, where the connection itself names one: a service account, or our
/// OAuth client. Each as its connection (`connection:ID`), what the system is called (the connection's id, and the hosts that
/// it names, with their ports where those are not the usual), and the account.
///
/// # Errors
/// The disk failed.
pub fn accounts(tenant: &Tenant) -> Answer<Vec<(String, Vec<String>, String)>> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let (page, next) = list(tenant, after.as_deref(), PAGE_MAX)?;
        for held in &page {
            let (account, urls) = match &held.spec.provider {
                Provider::Oauth2 { client_id, authorize_url, token_url, .. } => {
                    (client_id, vec![authorize_url, token_url])
                }
                Provider::ServiceAccount { account, token_url, .. } => (account, vec![token_url]),
                Provider::IdentityAssertion { client_id, token_url, .. } => (client_id, vec![token_url]),
                Provider::ApiKeyHeader { .. } | Provider::ApiKeyQuery { .. } | Provider::Basic {} => continue,
            };
            let urls = urls.into_iter().chain([&held.spec.base]).filter_map(|url| Url::parse(url).ok());
            let hosts = urls.filter_map(|url| {
                let host = url.host_str()?.to_owned();
                Some(url.port().map_or_else(|| host.clone(), |port| format!("{host}:{port}")))
            });
            let systems = hosts.chain([held.spec.id.clone()]).collect();
            found.push((held.object(), systems, account.clone()));
        }
        after = next;
        if after.is_none() {
            return Ok(found);
        }
    }
}

/// Allows an agent or an application, as a subject or `agent:*`, to use a connection, or no longer.
///
/// # Errors
/// There is no such connection.
pub fn allow(tenant: &Tenant, id: &str, subject: &str, allowed: bool, by: &str, env: &Env<'_>) -> Answer<()> {
    let held = get(tenant, id)?;
    check_subject(tenant, subject, allowed)?;
    again(|| {
        let mut change = tenant.change(env);
        change.said_by(by);
        if allowed {
            change.relate(&held.object(), "allowed", subject);
        } else {
            change.unrelate(&held.object(), "allowed", subject);
        }
        let action = if allowed { "connection.allow" } else { "connection.disallow" };
        let event = tenant.event(EventKind::PolicyChanged, Outcome::Done, env).resource(held.object());
        change.event(&event.action(action).detail("subject", subject).user(by));
        change.commit()
    })?;
    Ok(())
}

/// Says how an agent has a scope of a connection; with none, it has it not.
///
/// # Errors
/// There is no such connection, or it is no scope.
pub fn classify(
    tenant: &Tenant,
    (id, scope): (&str, &str),
    subject: &str,
    class: Option<ScopeClass>,
    by: &str,
    env: &Env<'_>,
) -> Answer<()> {
    let held = get(tenant, id)?;
    if !is_scope(scope) {
        return Err(invalid(format!("`{scope}` is no scope (RFC 6749 3.3)")));
    }
    check_subject(tenant, subject, class.is_some())?;
    let object = connection_scope(id, scope);
    again(|| {
        let mut change = tenant.change(env);
        change.said_by(by);
        change.relate(&object, "connection", &held.object());
        for (known, relation) in ScopeClass::ALL {
            if Some(known) == class {
                change.relate(&object, relation, subject);
            } else {
                change.unrelate(&object, relation, subject);
            }
        }
        let name = class.map_or("none", ScopeClass::name);
        let event = tenant.event(EventKind::PolicyChanged, Outcome::Done, env).resource(&object);
        let event = event.action("connection.scope").detail("class", name);
        change.event(&event.detail("subject", subject).user(by));
        change.commit()
    })?;
    Ok(())
}

/// Whether this may be given something: a client that is there, or all of a kind. What is taken away may be gone.
fn check_subject(tenant: &Tenant, subject: &str, given: bool) -> Answer<()> {
    let refuse = |why: &str| {
        let text = format!("`{subject}` {why}; write `agent:ID`, `app:ID`, `agent:*` or `app:*`");
        Err(Refusal::new(ErrorCode::InvalidRequest, "connection.subject", text))
    };
    let (kind, id) = match subject.split_once(':') {
        Some(("agent", id)) => (ClientKind::Agent, id),
        Some(("app", id)) => (ClientKind::App, id),
        _ => return refuse("is neither an agent nor an application"),
    };
    if id == "*" || !given {
        return Ok(());
    }
    match tenant.client(id) {
        Ok(client) if client.kind == kind => Ok(()),
        Ok(_) => refuse("is of the other kind"),
        Err(refusal) if refusal.error == ErrorCode::NotFound => refuse("is not there"),
        Err(refusal) => Err(refusal),
    }
}

/// Tuples of one page.
const TUPLES_PAGE: usize = 500;

/// The question for tuples of objects of a type, or of one, with a relation to a subject.
fn tuples<'a>(
    object_type: &'a str,
    object_id: Option<&'a str>,
    related: Option<(&'a str, &'a str)>,
) -> Answer<ReadQuery<'a>> {
    let subject = related.map(|(_, subject)| SubjectRef::parse(subject)).transpose();
    let subject = subject.map_err(|error| Refusal::failed("subject.form", error.to_string()))?;
    let relation = related.map(|(relation, _)| relation);
    Ok(ReadQuery { object_type: Some(object_type), object_id, relation, subject, page_size: TUPLES_PAGE, after: None })
}

/// Whether there is any of them.
fn any(tenant: &Tenant, query: ReadQuery<'_>) -> Answer<bool> {
    let query = ReadQuery { page_size: 1, ..query };
    Ok(!tenant.engine().read(tenant.system_store(), &query)?.value.tuples.is_empty())
}

/// Who may use a connection, in order.
///
/// # Errors
/// There is no such connection, or the disk failed.
pub fn allowed(tenant: &Tenant, id: &str) -> Answer<Vec<String>> {
    get(tenant, id)?;
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let query = ReadQuery { relation: Some("allowed"), after, ..tuples("connection", Some(id), None)? };
        let page = tenant.engine().read(tenant.system_store(), &query)?.value;
        found.extend(page.tuples.iter().map(|stored| stored.tuple.subject.to_string()));
        after = page.next;
        if after.is_none() {
            found.sort();
            return Ok(found);
        }
    }
}

/// How the scopes of a connection are had, in order.
///
/// # Errors
/// There is no such connection, or the disk failed.
pub fn classes(tenant: &Tenant, id: &str) -> Answer<Vec<Classed>> {
    let object = get(tenant, id)?.object();
    let mut found = Vec::new();
    let mut after = None;
    loop {
        let query = ReadQuery { after, ..tuples("connection_scope", None, Some(("connection", &object)))? };
        let scopes = tenant.engine().read(tenant.system_store(), &query)?.value;
        for scope in scopes.tuples {
            classes_of(tenant, &scope.tuple.object.id, &mut found)?;
        }
        after = scopes.next;
        if after.is_none() {
            found.sort();
            return Ok(found);
        }
    }
}

/// Adds the classes of one scope.
fn classes_of(tenant: &Tenant, object_id: &str, found: &mut Vec<Classed>) -> Answer<()> {
    let Some((_, scope)) = connection_scope_of(object_id) else { return Ok(()) };
    let mut after = None;
    loop {
        let query = ReadQuery { after, ..tuples("connection_scope", Some(object_id), None)? };
        let page = tenant.engine().read(tenant.system_store(), &query)?.value;
        for stored in page.tuples {
            if let Some(class) = ScopeClass::of(&stored.tuple.relation) {
                let subject = stored.tuple.subject.to_string();
                found.push(Classed { scope: scope.clone(), class: class.name(), subject });
            }
        }
        after = page.next;
        if after.is_none() {
            return Ok(());
        }
    }
}
