//! Identity assertions for the authorization server of another domain: this tenant as identity provider
//! (draft-ietf-oauth-identity-assertion-authz-grant-04, 4 and 5).

use super::act;
use super::admin::connection_to;
use super::class::{Had, Sorted, check_usable, not_connected};
use super::exchange::Attempt;
use super::records::{ASSERTION_S_MAX, Connection, Server, Target};
use super::request::Request;
use crate::engine::View;
use crate::identity::{
    Actor, Answer, Confirmation, CredentialKind, ErrorCode, Event, EventKind, Examined, Held, Outcome, Refusal,
    Seconds, Tenant, TokenAnswer, TokenKind, UpstreamIdentity, act_claim, encode, with_actors,
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

/// Makes an assertion. It is noted in the database before it is answered, in a write that rests on all that it came from.
pub(super) fn issue(
    attempt: &Attempt<'_>,
    request: &Request<'_>,
    examined: &Examined,
    until: Seconds,
) -> Answer<TokenAnswer> {
    let (tenant, caller, env) = (attempt.tenant, attempt.caller, attempt.env);
    let Some(user) = examined.grant.user() else {
        let text = "an assertion is about a person; this token is of a client alone";
        return Err(Refusal::new(ErrorCode::InvalidRequest, "idjag.alone", text));
    };
    let view = tenant.view()?;
    let audience = request.audiences.first().map(String::as_str).unwrap_or_default();
    let connection = connection_to(tenant, audience)?;
    let connection = connection.ok_or_else(|| not_connected("connection.unknown").because(audience))?;
    let Target::Server(server) = &connection.target else { return Err(not_connected("idjag.server")) };
    check_usable(&view, &caller.client, &connection.id)?;
    let unknown =
        || not_connected("idjag.client").because("the connection does not say what the client is called there");
    let client_there = server.clients.get(&caller.client.id).ok_or_else(unknown)?;
    let resources = resources(request, server)?;
    let (sorted, unmapped) = sort(attempt, &view, request, &connection, server)?;
    let mut change = tenant.change(env);
    let mut had = attempt.had(&mut change, sorted, request, examined)?;
    had.dropped.extend(unmapped);
    let scopes = translated(&had, server);
    if scopes.is_empty() && !server.scopes.is_empty() {
        let text = "none of these scopes can be asserted there";
        return Err(Refusal::new(ErrorCode::InvalidScope, "idjag.scopes", text));
    }
    let life = env.seconds().saturating_add(server.life_s.min(ASSERTION_S_MAX));
    let said = Said {
        audience,
        client_there,
        scopes,
        resources,
        actors: act::taken_on(&caller.client, &examined.grant.actors)?,
        bound: caller.bound(attempt.env)?,
        jti: format!("{}.{}", examined.grant.id, encode(&env.bytes::<16>())),
        until: until.min(life).min(had.until.unwrap_or(Seconds::MAX)),
    };
    let claims = claims(attempt, examined, subject_claims(tenant, user, server)?, &said);
    let assertion = tenant.sign(ID_JAG_TYP, &claims, env)?;
    examined.chain().expect(&mut change);
    change.expect(&connection);
    let event = event(attempt, examined, &said).revision(view.revision()).detail("connection", &connection.id);
    change.event(&had.noted(event));
    change.commit()?;
    Ok(TokenAnswer {
        access_token: assertion,
        issued_token_type: Some(ID_JAG.to_owned()),
        token_type: "N_A",
        expires_in: said.until.saturating_sub(env.seconds()),
        scope: Some(said.scopes.join(" ")).filter(|scope| !scope.is_empty()),
        refresh_token: None,
        id_token: None,
        authorization_details: Vec::new(),
        more: Map::new(),
    })
}

/// The claims of an assertion, beside those of the person.
fn claims(
    attempt: &Attempt<'_>,
    examined: &Examined,
    of_person: Map<String, Value>,
    said: &Said<'_>,
) -> Map<String, Value> {
    let mut claims = of_person;
    let mut say = |name: &str, value: Value| drop(claims.insert(name.to_owned(), value));
    say("iss", attempt.tenant.issuer().into());
    say("sub", examined.grant.sub().into());
    say("aud", said.audience.into());
    say("client_id", said.client_there.into());
    say("jti", said.jti.as_str().into());
    say("iat", attempt.env.seconds().into());
    say("exp", said.until.into());
    if !said.scopes.is_empty() {
        say("scope", said.scopes.join(" ").into());
    }
    match said.resources.as_slice() {
        [] => {}
        [one] => say("resource", one.as_str().into()),
        several => say("resource", several.into()),
    }
    if let Some(authentication) = examined.authentication() {
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

fn event(attempt: &Attempt<'_>, examined: &Examined, said: &Said<'_>) -> Event {
    let mut event = attempt.tenant.event(EventKind::ExchangeAllowed, Outcome::Allowed, attempt.env);
    event = event.user(format!("user:{}", examined.grant.sub())).client(attempt.caller.client.subject());
    event = event.resource(said.audience).action(said.scopes.join(" ")).token(&said.jti).grant(&examined.grant.id);
    if let Some(session) = &examined.grant.session {
        event = event.session(session);
    }
    event = event.detail("client_there", said.client_there).detail("subject_type", examined.kind.urn());
    with_actors(event.detail("issued", "id-jag"), &said.actors)
}

/// The resources there that are named; the one there is when none is.
fn resources(request: &Request<'_>, server: &Server) -> Answer<Vec<String>> {
    if request.resources.iter().any(|resource| !server.resources.contains(resource)) {
        return Err(not_connected("idjag.resource"));
    }
    match (request.resources.as_slice(), server.resources.as_slice()) {
        ([], [only]) => Ok(vec![only.clone()]),
        (named, _) => Ok(named.to_vec()),
    }
}

/// The scopes that are asked for and can be asserted there, by what the client may have of them; and those that cannot.
/// When none are asked for by name, all there are.
fn sort(
    attempt: &Attempt<'_>,
    view: &View,
    request: &Request<'_>,
    connection: &Held<Connection>,
    server: &Server,
) -> Answer<(Sorted, Vec<String>)> {
    let all = || server.scopes.keys().cloned().collect();
    let asked = request.scopes.clone().unwrap_or_else(all);
    let (mapped, unmapped): (Vec<String>, Vec<String>) =
        asked.into_iter().partition(|scope| server.scopes.contains_key(scope));
    let mut sorted = Sorted::default();
    for scope in &mapped {
        let way = (connection.id.clone(), server.issuer.clone());
        sorted.add(view, &attempt.caller.client, scope, &[way])?;
    }
    Ok((sorted, unmapped))
}

/// What the scopes are called there, each once.
fn translated(had: &Had, server: &Server) -> Vec<String> {
    let mut there: Vec<String> = Vec::new();
    for name in had.scopes.iter().filter_map(|scope| server.scopes.get(scope)) {
        if !there.contains(name) {
            there.push(name.clone());
        }
    }
    there
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
