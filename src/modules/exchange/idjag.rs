//! Identity assertions for the authorization server of another domain: this tenant as identity provider
//! (draft-ietf-oauth-identity-assertion-authz-grant-04, 4 and 5).

use super::act;
use super::admin::connection_to;
use super::class::{Approvals, NeedsApproval, Sorted, check_usable, not_connected};
use super::records::{ASSERTION_S_MAX, Connection, Server, Target};
use super::request::Request;
use crate::engine::View;
use crate::identity::{
    Actor, Answer, Caller, Chain, Client, Confirmation, CredentialKind, Env, ErrorCode, Event, EventKind, Grant, Held,
    Outcome, Refusal, Seconds, Tenant, TokenKind, UpstreamIdentity, act_claim, encode, with_actors,
};
use serde_json::{Map, Value, json};

/// The type of such an assertion in a token exchange.
pub const ID_JAG: &str = "urn:ietf:params:oauth:token-type:id-jag";
/// The `typ` of its header.
pub const ID_JAG_TYP: &str = "oauth-id-jag+jwt";

fn target(rule: &'static str, text: &str) -> Refusal {
    Refusal::new(ErrorCode::InvalidTarget, rule, text)
}

/// What of a request can be said before the subject token is looked at.
pub(super) fn check(tenant: &Tenant, request: &Request<'_>) -> Answer<()> {
    let [audience] = request.audiences.as_slice() else {
        let text = "`audience` is the issuer of the one authorization server that the assertion is for";
        return Err(target("idjag.audience", text));
    };
    if audience.trim_end_matches('/') == tenant.issuer().trim_end_matches('/') {
        let text = "this server takes no assertion of its own; ask for an access token instead";
        return Err(target("idjag.own_issuer", text));
    }
    if request.subject.1 == TokenKind::Access {
        let text = "`subject_token_type` is that of an ID token or a refresh token: an assertion says who signed in";
        return Err(Refusal::new(ErrorCode::InvalidRequest, "idjag.subject_type", text));
    }
    if request.details.is_some() {
        let text = "`authorization_details` are not asserted to other domains; ask for them there";
        return Err(Refusal::new(ErrorCode::InvalidAuthorizationDetails, "idjag.details", text));
    }
    Ok(())
}

/// Who asks for an assertion, and what it is made from.
pub(super) struct Basis<'a> {
    pub(super) tenant: &'a Tenant,
    /// The client that asks, and acts.
    pub(super) client: &'a Client,
    /// The client, where it takes the assertion itself: what it has proved is in it. None where nobody does but this server.
    pub(super) holder: Option<&'a Caller>,
    pub(super) chain: &'a Chain,
    /// The first of the chain.
    pub(super) grant: &'a Grant,
    /// The type of what stands for the grant.
    pub(super) shown: &'a str,
    /// Until when it is good.
    pub(super) until: Seconds,
    pub(super) env: &'a Env<'a>,
}

/// What is asked for.
pub(super) struct Asked<'a> {
    /// The issuer of the other server.
    pub(super) audience: &'a str,
    pub(super) resources: &'a [String],
    /// Scopes by name; none for all that need nobody.
    pub(super) scopes: Option<&'a [String]>,
    pub(super) approval: Option<&'a str>,
    /// Whether it is refused when a scope waits for an approval, and not granted without that scope.
    pub(super) whole: bool,
}

/// What may be asserted of what is asked for, but for approvals.
pub(super) struct Judged<'a> {
    user: &'a str,
    view: View,
    connection: Held<Connection>,
    server: Server,
    client_there: String,
    resources: Vec<String>,
    sorted: Sorted,
    /// Scopes that cannot be asserted there at all.
    unmapped: Vec<String>,
}

/// An assertion that was made.
pub(super) struct Made {
    pub(super) assertion: String,
    pub(super) jti: String,
    pub(super) scopes: Vec<String>,
    pub(super) until: Seconds,
    /// Until when the approvals that were used are good, when any were.
    pub(super) approved_until: Option<Seconds>,
    /// What the answer says of scopes that are not in it.
    pub(super) told: Map<String, Value>,
}

/// What an assertion says besides who it is about.
struct Said<'a> {
    audience: &'a str,
    client_there: &'a str,
    scopes: Vec<String>,
    resources: Vec<String>,
    actors: Vec<Actor>,
    bound: Confirmation,
    jti: String,
    until: Seconds,
}

/// Judges what is asked for: the one place that says to whom what is asserted about whom.
///
/// # Errors
/// Which rule refuses it.
pub(super) fn judge<'a>(basis: &Basis<'a>, asked: &Asked<'_>) -> Answer<Judged<'a>> {
    let (tenant, client) = (basis.tenant, basis.client);
    let Some(user) = basis.grant.user() else {
        let text = "an assertion is about a person; this token is of a client alone";
        return Err(Refusal::new(ErrorCode::InvalidRequest, "idjag.alone", text));
    };
    let view = tenant.view()?;
    let connection = connection_to(tenant, asked.audience)?;
    let connection = connection.ok_or_else(|| not_connected("connection.unknown").because(asked.audience))?;
    let Target::Server(server) = connection.target.clone() else { return Err(not_connected("idjag.server")) };
    check_usable(&view, client, &connection.id)?;
    let unknown =
        || not_connected("idjag.client").because("the connection does not say what the client is called there");
    let client_there = server.clients.get(&client.id).cloned().ok_or_else(unknown)?;
    let resources = resources(asked.resources, &server)?;
    let (sorted, unmapped) = sort(basis, &view, asked, &connection, &server)?;
    Ok(Judged { user, view, connection, server, client_there, resources, sorted, unmapped })
}

impl Judged<'_> {
    /// What the client is called there.
    pub(super) fn client_there(&self) -> &str {
        &self.client_there
    }

    /// What would be asserted, in a text that is another whenever that is; nothing is used up and nothing made.
    ///
    /// # Errors
    /// Nothing would.
    pub(super) fn outlook(&self, by_name: bool) -> Answer<String> {
        let [had, asking] = self.sorted.outlook(by_name)?;
        let scopes = translated(&[had.as_slice(), &asking].concat(), &self.server)?;
        let said = json!([self.connection.id, self.server.issuer, self.client_there, scopes, asking, self.resources]);
        Ok(said.to_string())
    }
}

/// Makes an assertion of what was judged. It is noted in the database before it is answered, in a write that rests on all that
/// it came from. `noted` adds to the event.
///
/// # Errors
/// Which rule refuses it.
pub(super) fn make(
    (basis, asked): (&Basis<'_>, &Asked<'_>),
    judged: Judged<'_>,
    approvals: &dyn Approvals,
    noted: impl FnOnce(Event) -> Event,
) -> Answer<Made> {
    let (tenant, env) = (basis.tenant, basis.env);
    let Judged { user, view, connection, server, client_there, resources, sorted, unmapped } = judged;
    let mut change = tenant.change(env);
    let needs = NeedsApproval {
        tenant,
        client: basis.client,
        user: Some(user),
        connection: "",
        audience: "",
        scopes: &[],
        details: &[],
        approval: asked.approval,
    };
    let mut had = sorted.decide(approvals, &mut change, &needs, asked.scopes.is_some(), env)?;
    if asked.whole && !had.waiting.is_empty() {
        return Err(had.refusal());
    }
    had.unknown.extend(unmapped);
    let (scopes, approved_until) = (translated(&had.scopes, &server)?, had.until);
    let life = env.seconds().saturating_add(server.life_s.min(ASSERTION_S_MAX));
    let said = Said {
        audience: asked.audience,
        client_there: &client_there,
        scopes,
        resources,
        actors: act::taken_on(basis.client, &basis.grant.actors)?,
        bound: basis.holder.map(|caller| caller.bound(env)).transpose()?.unwrap_or_default(),
        jti: format!("{}.{}", basis.grant.id, encode(&env.bytes::<16>())),
        until: basis.until.min(life).min(had.until.unwrap_or(Seconds::MAX)),
    };
    let claims = claims(basis, subject_claims(tenant, user, &server)?, &said);
    let assertion = tenant.sign(ID_JAG_TYP, &claims, env)?;
    basis.chain.expect(&mut change);
    change.expect(&connection);
    let event = event(basis, &said).revision(view.revision()).detail("connection", &connection.id);
    let told = had.told();
    change.event(&noted(had.noted(event)));
    change.commit()?;
    Ok(Made { assertion, jti: said.jti, scopes: said.scopes, until: said.until, approved_until, told })
}

/// The claims of an assertion, beside those of the person.
fn claims(basis: &Basis<'_>, of_person: Map<String, Value>, said: &Said<'_>) -> Map<String, Value> {
    let mut claims = of_person;
    let mut say = |name: &str, value: Value| drop(claims.insert(name.to_owned(), value));
    say("iss", basis.tenant.issuer().into());
    say("sub", basis.grant.sub().into());
    say("aud", said.audience.into());
    say("client_id", said.client_there.into());
    say("jti", said.jti.as_str().into());
    say("iat", basis.env.seconds().into());
    say("exp", said.until.into());
    if !said.scopes.is_empty() {
        say("scope", said.scopes.join(" ").into());
    }
    match said.resources.as_slice() {
        [] => {}
        [one] => say("resource", one.as_str().into()),
        several => say("resource", several.into()),
    }
    if let Some(authentication) = &basis.grant.authentication {
        say("auth_time", authentication.at.into());
        say("acr", authentication.acr.as_str().into());
        if !authentication.amr.is_empty() {
            say("amr", json!(authentication.amr));
        }
    }
    if let Some(act) = act_claim(&said.actors) {
        say("act", act);
    }
    if let Some(bound) = said.bound.claim() {
        say("cnf", bound);
    }
    claims
}

fn event(basis: &Basis<'_>, said: &Said<'_>) -> Event {
    let grant = basis.grant;
    let mut event = basis.tenant.event(EventKind::ExchangeAllowed, Outcome::Allowed, basis.env);
    event = event.user(format!("user:{}", grant.sub())).client(basis.client.subject());
    event = event.resource(said.audience).action(said.scopes.join(" ")).token(&said.jti).grant(&grant.id);
    if let Some(session) = &grant.session {
        event = event.session(session);
    }
    event = event.detail("client_there", said.client_there).detail("subject_type", basis.shown);
    with_actors(event.detail("issued", "id-jag"), &said.actors)
}

/// The resources there that are named; the one there is when none is.
fn resources(named: &[String], server: &Server) -> Answer<Vec<String>> {
    if named.iter().any(|resource| !server.resources.contains(resource)) {
        return Err(not_connected("idjag.resource"));
    }
    match (named, server.resources.as_slice()) {
        ([], [only]) => Ok(vec![only.clone()]),
        (named, _) => Ok(named.to_vec()),
    }
}

/// The scopes that are asked for and can be asserted there, by what the client may have of them; and those that cannot.
/// When none are asked for by name, all there are.
fn sort(
    basis: &Basis<'_>,
    view: &View,
    asked: &Asked<'_>,
    connection: &Held<Connection>,
    server: &Server,
) -> Answer<(Sorted, Vec<String>)> {
    let all = || server.scopes.keys().cloned().collect();
    let asked = asked.scopes.map_or_else(all, <[String]>::to_vec);
    let (mapped, unmapped): (Vec<String>, Vec<String>) =
        asked.into_iter().partition(|scope| server.scopes.contains_key(scope));
    let mut sorted = Sorted::default();
    for scope in &mapped {
        let way = (connection.id.clone(), server.issuer.clone());
        sorted.add(view, basis.client, scope, &[way])?;
    }
    Ok((sorted, unmapped))
}

/// What the scopes are called there, each once.
fn translated(scopes: &[String], server: &Server) -> Answer<Vec<String>> {
    let mut there: Vec<String> = Vec::new();
    for name in scopes.iter().filter_map(|scope| server.scopes.get(scope)) {
        if !there.contains(name) {
            there.push(name.clone());
        }
    }
    if there.is_empty() && !server.scopes.is_empty() {
        let text = "none of these scopes can be asserted there";
        return Err(Refusal::new(ErrorCode::InvalidScope, "idjag.scopes", text));
    }
    Ok(there)
}

/// What the connection lets an assertion say of a person.
fn subject_claims(tenant: &Tenant, user: &str, server: &Server) -> Answer<Map<String, Value>> {
    let profile = tenant.user(user)?.value.claims;
    let mut claims = Map::new();
    let verified = profile.get("email_verified") == Some(&Value::Bool(true));
    if let Some(email) = profile.get("email").filter(|_| server.subject.email && verified) {
        claims.insert("email".to_owned(), email.clone());
        claims.insert("email_verified".to_owned(), true.into());
    }
    if let Some(name) = &server.subject.aud_sub
        && let Some(id) = profile.get(name).and_then(Value::as_str)
    {
        claims.insert("aud_sub".to_owned(), id.into());
    }
    if let Some(issuer) = &server.subject.sub_id
        && let Some(sub) = known_at(tenant, user, issuer)?
    {
        claims.insert("sub_id".to_owned(), json!({"format": "iss_sub", "iss": issuer, "sub": sub}));
    }
    Ok(claims)
}

/// Who a person is at an issuer: ours, or a provider with which they are linked.
fn known_at(tenant: &Tenant, user: &str, issuer: &str) -> Answer<Option<String>> {
    if issuer == tenant.issuer() {
        return Ok(Some(user.to_owned()));
    }
    for held in tenant.credentials(user)?.iter().filter(|held| held.kind == CredentialKind::Upstream) {
        let identity = serde_json::from_slice::<UpstreamIdentity>(&tenant.open_credential(held)?);
        let identity = identity.map_err(|error| Refusal::failed("idjag.sub_id", error.to_string()))?;
        if identity.issuer == issuer {
            return Ok(Some(identity.subject));
        }
    }
    Ok(None)
}
