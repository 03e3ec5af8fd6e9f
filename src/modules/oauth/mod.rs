//! The authorization server's endpoints (OAuth 2.1, OpenID Connect Core): what each promises is in `docs/oauth.md`.
//!
//! The rules are those of `identity`; here is what an endpoint adds to them. Grant types come from whoever has them.

pub mod admin;
mod http;
mod metadata;

pub use http::{bearer, bearer_for, routes};

use crate::identity::{
    Answer, Caller, ClientKind, Confirmation, CredentialUses, Env, ErrorCode, EventKind, Examined, Form, GrantType,
    KeySource, NoUses, Outcome, Proof, Proved, Refusal, Refused, Tenant, TokenAnswer, TokenKind, act_claim,
    profile_claims,
};
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// Who looks at clients that nobody knows, and that name themselves by the URL of a document (OAuth Client ID Metadata
/// Document). The registry of agents does; `server.rs` plugs it in.
pub trait Strangers: Send + Sync {
    /// A request named one. Answers what it is told; it is refused in any case.
    fn seen(&self, tenant: &Tenant, url: &str, env: &Env<'_>) -> Refusal;
}

/// Who knows which authorization details (RFC 9396) are good once, and which were used. Approvals do; `server.rs` plugs them
/// in.
pub trait DetailUses: Send + Sync {
    /// Those details of a token that may still be used.
    ///
    /// # Errors
    /// The disk failed.
    fn unused(&self, tenant: &Tenant, examined: &Examined, env: &Env<'_>) -> Answer<Vec<Value>>;

    /// Uses one up, whatever else runs at the same time. Answers by which approval it was allowed; `None` when the token does
    /// not allow exactly this, or no more.
    ///
    /// # Errors
    /// The disk failed, which allows nothing.
    fn use_up(&self, tenant: &Tenant, examined: &Examined, what: &Value, env: &Env<'_>) -> Answer<Option<String>>;
}

/// What the endpoints work with.
#[derive(Clone)]
pub struct OAuth {
    grant_types: Arc<Vec<Arc<dyn GrantType>>>,
    keys: Arc<dyn KeySource>,
    strangers: Option<Arc<dyn Strangers>>,
    uses: Arc<dyn CredentialUses>,
    details: Option<Arc<dyn DetailUses>>,
    more: Option<Describe>,
}

/// Adds to the metadata of a tenant what another module serves.
pub type Describe = fn(&Tenant, &mut Map<String, Value>);

/// What of a request's head the endpoints look at.
#[derive(Clone, Default)]
pub struct Head {
    /// The value of `Authorization`.
    pub authorization: Option<String>,
    /// The values of `DPoP`.
    pub proofs: Vec<String>,
}

fn refuse(error: ErrorCode, rule: &'static str, text: &str) -> Refusal {
    Refusal::new(error, rule, text)
}

impl OAuth {
    /// Endpoints that give tokens in these ways, and find the keys of clients there.
    #[must_use]
    pub fn new(grant_types: Vec<Arc<dyn GrantType>>, keys: Arc<dyn KeySource>) -> OAuth {
        let (grant_types, uses) = (Arc::new(grant_types), Arc::new(NoUses));
        OAuth { grant_types, keys, strangers: None, uses, details: None, more: None }
    }

    /// The same, with somebody who looks at clients that nobody knows.
    #[must_use]
    pub fn with_strangers(self, strangers: Arc<dyn Strangers>) -> OAuth {
        OAuth { strangers: Some(strangers), ..self }
    }

    /// The same, with somebody who keeps when credentials were last used.
    #[must_use]
    pub fn with_uses(self, uses: Arc<dyn CredentialUses>) -> OAuth {
        OAuth { uses, ..self }
    }

    /// The same, with somebody who knows which authorization details were used.
    #[must_use]
    pub fn with_details(self, details: Arc<dyn DetailUses>) -> OAuth {
        OAuth { details: Some(details), ..self }
    }

    /// The same, whose metadata says more.
    #[must_use]
    pub fn with_more(self, more: Describe) -> OAuth {
        OAuth { more: Some(more), ..self }
    }

    fn caller(&self, tenant: &Tenant, head: &Head, form: &Form, env: &Env<'_>) -> Answer<Caller> {
        let authorization = head.authorization.as_deref();
        let caller = tenant.authenticate_client(authorization, form, &*self.keys, &*self.uses, env);
        caller.map_err(|refusal| self.stranger(tenant, form, refusal, env))
    }

    /// What a request is told that was refused: of a client that nobody knows, what becomes of it. At whichever endpoint, its
    /// address is counted first.
    fn stranger(&self, tenant: &Tenant, form: &Form, refusal: Refusal, env: &Env<'_>) -> Refusal {
        if !matches!(refusal.rule, "client.unknown" | "request.client") || refusal.cause.is_some() {
            return refusal;
        }
        let asserted = || crate::identity::unverified_claim(form.get("client_assertion")?, "sub");
        let named = form.get("client_id").map(str::to_owned).or_else(asserted);
        let url = named.filter(|id| id.starts_with("https://") || id.starts_with("http://"));
        match (url, &self.strangers) {
            (Some(url), Some(strangers)) => match tenant.count_stranger(env) {
                Ok(()) => strangers.seen(tenant, &url, env),
                Err(limited) => limited,
            },
            _ => refusal,
        }
    }

    /// Takes a request at the authorization endpoint. Answers the id under which the login pages find it.
    ///
    /// # Errors
    /// As [`Tenant::take_request`].
    pub fn authorize(&self, tenant: &Tenant, form: &Form, env: &Env<'_>) -> Result<String, Refused> {
        tenant.take_request(form, env).map_err(|refused| match refused {
            Refused::Page(refusal) => Refused::Page(self.stranger(tenant, form, refusal, env)),
            Refused::Redirect(..) => refused,
        })
    }

    /// The token endpoint (RFC 6749 3.2), at a path of the issuer's.
    ///
    /// # Errors
    /// What RFC 6749 5.2 and the standards of the grant types say.
    pub fn token(&self, tenant: &Tenant, path: &str, head: &Head, form: &Form, env: &Env<'_>) -> Answer<TokenAnswer> {
        let mut caller = self.caller(tenant, head, form, env)?;
        // Anybody can name a public client: what such a request may cost is bounded, unless it gets something.
        let public = caller.client.is_public();
        if public {
            tenant.count_failure(env)?;
        }
        let answer = self.granted(tenant, path, head, form, (&mut caller, env));
        // That we failed, or that a limit held it up, is no fault of who asks.
        let faultless = |refusal: &Refusal| matches!(refusal.error.status(), 429 | 500..);
        if public && answer.as_ref().err().is_none_or(faultless) {
            tenant.forgive_failure(env);
        }
        if let Err(refusal) = &answer
            && !public
            && !matches!(
                refusal.error,
                ErrorCode::ServerError
                    | ErrorCode::AuthorizationPending
                    | ErrorCode::SlowDown
                    | ErrorCode::TooManyRequests // noted where it is counted, once in a while
            )
        {
            // Who has shown who they are is worth an event; everybody else could fill the log.
            let subject = caller.client.subject();
            let event = tenant.event(EventKind::TokenRefused, Outcome::Refused, env).client(&subject);
            let event = if caller.client.kind == ClientKind::Agent { event.agent(&subject) } else { event };
            let event = event.reason(refusal.rule).action(form.get("scope").unwrap_or_default());
            let mut change = tenant.change(env);
            change.event(&event.detail("grant_type", form.get("grant_type").unwrap_or_default()));
            change.commit()?;
        }
        answer
    }

    fn granted(
        &self,
        tenant: &Tenant,
        path: &str,
        head: &Head,
        form: &Form,
        (caller, env): (&mut Caller, &Env<'_>),
    ) -> Answer<TokenAnswer> {
        let name = form.need("grant_type")?;
        let grant_type = self.grant_types.iter().find(|grant_type| grant_type.name() == name);
        let grant_type = grant_type.ok_or_else(|| {
            let text = "this grant type is not served; `grant_types_supported` of the metadata lists those that are";
            refuse(ErrorCode::UnsupportedGrantType, "grant_type.unknown", text)
        })?;
        if !caller.client.may_use(name) {
            let text = "this client may not use this grant type";
            return Err(refuse(ErrorCode::UnauthorizedClient, "grant_type.client", text));
        }
        let proof = taken_proof(tenant, path, head, env)?;
        caller.jkt = proof.as_ref().map(|proof| proof.jkt.clone());
        let env = Env { proof: proof.as_ref(), ..*env };
        let answer = grant_type.redeem(tenant, caller, form, &env)?;
        tenant.keep_proof(&env)?;
        Ok(answer)
    }

    /// The endpoint of pushed requests (RFC 9126).
    ///
    /// # Errors
    /// What the authorization endpoint would say.
    pub fn push(&self, tenant: &Tenant, head: &Head, form: &Form, env: &Env<'_>) -> Answer<Value> {
        let mut caller = self.caller(tenant, head, form, env)?;
        let proof = taken_proof(tenant, "/par", head, env)?;
        caller.jkt = proof.as_ref().map(|proof| proof.jkt.clone());
        let env = Env { proof: proof.as_ref(), ..*env };
        let (request_uri, expires_in) = tenant.push_request(&caller, form, &env)?;
        Ok(json!({"request_uri": request_uri, "expires_in": expires_in}))
    }

    /// Introspection (RFC 7662): what a token is good for, to the client that it was given to or a resource server that it
    /// is for; to others it is not active, whatever it is.
    ///
    /// # Errors
    /// The caller has not shown who it is.
    pub fn introspect(&self, tenant: &Tenant, head: &Head, form: &Form, env: &Env<'_>) -> Answer<(Caller, Value)> {
        let caller = self.asking(tenant, head, form, env)?;
        let token = form.need("token")?;
        let found = find(tenant, token, form.get("token_type_hint"), env)?;
        let Some(examined) = found.filter(|examined| concerns(&caller, examined)) else {
            return Ok((caller, json!({"active": false})));
        };
        let details = match &self.details {
            Some(uses) => uses.unused(tenant, &examined, env)?,
            None => examined.details().to_vec(),
        };
        Ok((caller, described(tenant, &examined, &details)))
    }

    /// A client that may ask about tokens.
    fn asking(&self, tenant: &Tenant, head: &Head, form: &Form, env: &Env<'_>) -> Answer<Caller> {
        let caller = self.caller(tenant, head, form, env)?;
        if caller.client.is_public() {
            let text = "only clients that show who they are may ask about tokens";
            return Err(refuse(ErrorCode::InvalidClient, "introspect.public", text));
        }
        Ok(caller)
    }

    /// Uses up what a person approved (RFC 9396), for a resource server that is about to do it: one of the details of an access
    /// token for it, exactly as it stands there. It is used once, whatever else runs.
    ///
    /// # Errors
    /// The caller has not shown who it is, or serves nothing that the token is for; the token is not good, does not allow exactly
    /// this, or no more.
    pub fn use_detail(&self, tenant: &Tenant, head: &Head, form: &Form, env: &Env<'_>) -> Answer<Value> {
        let caller = self.asking(tenant, head, form, env)?;
        let token = form.need("token")?;
        let details = form.details()?.unwrap_or_default();
        let [what] = details.as_slice() else {
            let text = "send `authorization_details` with the one that is about to be done";
            return Err(refuse(ErrorCode::InvalidRequest, "details.one", text));
        };
        let served = |examined: &Examined| examined.audience.iter().any(|at| caller.client.serves.contains(at));
        let found = find(tenant, token, Some("access_token"), env)?;
        let found = found.filter(|examined| examined.kind == TokenKind::Access && served(examined));
        let used = match (&found, &self.details) {
            (Some(examined), Some(uses)) => uses.use_up(tenant, examined, what, env)?,
            _ => None,
        };
        let approval = used.ok_or_else(|| {
            let text = "this token does not allow exactly this here, or no more; it takes another approval";
            refuse(ErrorCode::AccessDenied, "details.used", text)
        })?;
        Ok(json!({"used": true, "approval": approval}))
    }

    /// Revocation (RFC 7009). A token that is unknown, over or another client's is left as it is, and the answer is the same.
    ///
    /// # Errors
    /// The caller has not shown who it is, or the disk failed.
    pub fn revoke(&self, tenant: &Tenant, head: &Head, form: &Form, env: &Env<'_>) -> Answer<()> {
        let caller = self.caller(tenant, head, form, env)?;
        let token = form.need("token")?;
        if tenant.revoke_refresh(&caller, token, env)? {
            return Ok(());
        }
        let found = find(tenant, token, Some("access_token"), env)?;
        match found.filter(|examined| examined.grant.client == caller.client.id) {
            Some(examined) => tenant.revoke_token(&examined, env),
            None => Ok(()),
        }
    }
}

/// The proof of a request that asks for something, when it has one (RFC 9449 4.3): it is used up when that is given.
fn taken_proof(tenant: &Tenant, path: &str, head: &Head, env: &Env<'_>) -> Answer<Option<Proof>> {
    let proved = Proved { method: "POST", url: &tenant.url(path), token: None };
    one_proof(head)?.map(|proof| tenant.take_proof(proof, &proved, env)).transpose()
}

/// The one proof of a request's head, if there is one.
fn one_proof(head: &Head) -> Answer<Option<&str>> {
    match head.proofs.as_slice() {
        [] => Ok(None),
        [proof] => Ok(Some(proof)),
        _ => Err(refuse(ErrorCode::InvalidDpopProof, "dpop.several", "there is more than one `DPoP` header")),
    }
}

/// The thumbprint of the key that a request proves, when it does (RFC 9449 4.3).
///
/// # Errors
/// There is more than one proof, or it is of no use.
pub fn proof(
    tenant: &Tenant,
    path: &str,
    method: &str,
    head: &Head,
    token: Option<&str>,
    env: &Env<'_>,
) -> Answer<Option<String>> {
    let proved = Proved { method, url: &tenant.url(path), token };
    one_proof(head)?.map(|proof| tenant.check_proof(proof, &proved, env)).transpose()
}

/// Judges a token of which it is not known what it is. `None` when it is good for nothing.
fn find(tenant: &Tenant, token: &str, hint: Option<&str>, env: &Env<'_>) -> Answer<Option<Examined>> {
    let mut kinds = [TokenKind::Access, TokenKind::Refresh];
    if hint == Some("refresh_token") {
        kinds.reverse();
    }
    for kind in kinds {
        match tenant.examine(token, kind, None, env) {
            Ok(examined) => return Ok(Some(examined)),
            Err(refusal) if refusal.error == ErrorCode::InvalidToken => {
                tracing::debug!(rule = refusal.rule, "a token is not active");
            }
            Err(refusal) => return Err(refusal),
        }
    }
    Ok(None)
}

/// Whether a client is to be told of a token.
fn concerns(caller: &Caller, examined: &Examined) -> bool {
    let served = |audience: &String| caller.client.serves.contains(audience);
    examined.grant.client == caller.client.id
        || (examined.kind == TokenKind::Access && examined.audience.iter().any(served))
}

/// What introspection says of a token that is good (RFC 7662 2.2, RFC 9068, RFC 9470 6.2).
fn described(tenant: &Tenant, examined: &Examined, details: &[Value]) -> Value {
    let grant = &examined.grant;
    let mut out = Map::new();
    let mut say = |name: &str, value: Value| {
        if !value.is_null() && value.as_array().is_none_or(|list| !list.is_empty()) {
            out.insert(name.to_owned(), value);
        }
    };
    say("active", true.into());
    say("iss", tenant.issuer().into());
    say("sub", grant.sub().into());
    say("client_id", grant.client.as_str().into());
    say("scope", Some(examined.scopes.join(" ")).filter(|scope| !scope.is_empty()).into());
    say("aud", json!(examined.audience));
    say("exp", examined.ends().into());
    say("iat", examined.issued_at.into());
    say("jti", Some(examined.jti.as_str()).filter(|jti| !jti.is_empty()).into());
    if examined.kind == TokenKind::Access {
        say("token_type", if examined.jkt.is_some() { "DPoP" } else { "Bearer" }.into());
    }
    say("cnf", Confirmation { jkt: examined.jkt.clone(), x5t: examined.x5t.clone() }.claim().into());
    say("act", act_claim(&grant.actors).into());
    say("authorization_details", json!(details));
    if let Some(authentication) = examined.authentication() {
        say("auth_time", authentication.at.into());
        say("acr", authentication.acr.as_str().into());
        say("amr", json!(authentication.amr));
    }
    for (name, value) in &examined.custom {
        say(name, value.clone());
    }
    Value::Object(out)
}

/// The access token of a request's head, and whether it must come with a proof (RFC 6750 2.1, RFC 9449 7.1).
fn shown(head: &Head) -> Answer<(&str, bool)> {
    let missing =
        || refuse(ErrorCode::InvalidToken, "token.none", "show an access token in the `Authorization` header");
    let (scheme, token) = head.authorization.as_deref().and_then(|value| value.split_once(' ')).ok_or_else(missing)?;
    if scheme.eq_ignore_ascii_case("bearer") {
        Ok((token.trim(), false))
    } else if scheme.eq_ignore_ascii_case("dpop") {
        Ok((token.trim(), true))
    } else {
        Err(missing())
    }
}

/// The access token of a request's head, judged for an audience when one is named: its key proved if it is bound to one (RFC 9449 7.1).
///
/// # Errors
/// There is none, it is not good, or not for this.
pub fn judged(
    tenant: &Tenant,
    (path, method): (&str, &str),
    head: &Head,
    audience: Option<&str>,
    env: &Env<'_>,
) -> Answer<Examined> {
    let (token, with_proof) = shown(head)?;
    let examined = tenant.examine(token, TokenKind::Access, audience, env)?;
    examined.must_be_held(env)?;
    if examined.jkt.is_some() != with_proof {
        let text = "a token that is bound to a key is shown as `DPoP` with a proof, and another as `Bearer`";
        return Err(refuse(ErrorCode::InvalidToken, "dpop.scheme", text));
    }
    if with_proof && proof(tenant, path, method, head, Some(token), env)? != examined.jkt {
        return Err(refuse(ErrorCode::InvalidToken, "dpop.key", "the token is bound to another key than is proved"));
    }
    Ok(examined)
}

/// Userinfo (OpenID Connect Core 5.3): the claims of the person of a token, as its scopes let out.
///
/// # Errors
/// The token is not good, or not for this.
pub fn userinfo(tenant: &Tenant, method: &str, head: &Head, env: &Env<'_>) -> Answer<Value> {
    let examined = judged(tenant, ("/userinfo", method), head, Some(tenant.issuer()), env)?;
    let user = examined.grant.user().filter(|_| examined.has_scope("openid"));
    let user = user.ok_or_else(|| {
        refuse(
            ErrorCode::InsufficientScope,
            "userinfo.openid",
            "this needs a token of a person with the scope `openid`",
        )
    })?;
    let mut claims = profile_claims(&tenant.user(user)?.claims, &examined.scopes);
    claims.extend(tenant.userinfo_claims(&examined, env)?);
    claims.insert("sub".to_owned(), user.into());
    Ok(Value::Object(claims))
}

/// Where a browser goes after it was signed out (OpenID Connect RP-Initiated Logout 1.0), and ends the session of the ID
/// token that it shows. Without one the person is asked, on the login pages.
///
/// # Errors
/// The hint is none of this issuer's, or the redirect URI not the client's: then nothing is ended.
pub fn end_session(tenant: &Tenant, form: &Form, env: &Env<'_>) -> Answer<String> {
    let invalid = |rule, text: &str| refuse(ErrorCode::InvalidRequest, rule, text);
    let Some(hint) = form.get("id_token_hint") else { return Ok(tenant.url("/logout")) };
    let named = crate::identity::unverified_claim(hint, "aud");
    let named = named.ok_or_else(|| invalid("logout.hint", "`id_token_hint` is no ID token"))?;
    if form.get("client_id").is_some_and(|id| id != named) {
        return Err(invalid("logout.client", "`client_id` is not the client of the ID token"));
    }
    let client = tenant.client_named(&named)?;
    let hinted = tenant.hinted(hint, &client, env)?;
    let to = match form.get("post_logout_redirect_uri") {
        None => tenant.url("/logout"),
        Some(uri) if client.post_logout_redirect_uris.iter().any(|known| known == uri) => {
            let mut url = url::Url::parse(uri).map_err(|e| Refusal::failed("logout.redirect", e.to_string()))?;
            if let Some(state) = form.get("state") {
                url.query_pairs_mut().append_pair("state", state);
            }
            url.into()
        }
        Some(_) => {
            return Err(invalid("logout.redirect", "`post_logout_redirect_uri` is not registered for this client"));
        }
    };
    if let Some(session) = &hinted.session {
        match tenant.end_session(&hinted.user, session, "rp", env) {
            Err(refusal) if refusal.error != ErrorCode::NotFound => return Err(refusal),
            _ => {}
        }
    }
    Ok(to)
}

/// Introspection as a signed token (RFC 9701 5).
///
/// # Errors
/// The keys cannot be opened.
pub fn introspection_token(tenant: &Tenant, caller: &Caller, answer: &Value, env: &Env<'_>) -> Answer<String> {
    let claims = json!({
        "iss": tenant.issuer(), "aud": caller.client.id, "iat": env.seconds(), "token_introspection": answer,
    });
    tenant.sign("token-introspection+jwt", &claims, env)
}
