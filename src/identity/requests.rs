//! Authorization requests: what a client asks for at the authorization endpoint, from when it asks until a person decides.
//!
//! The parameters are judged once, when they come; what is stored is good. A refusal goes to the client's redirect URI only
//! when that is known to be the client's.

use super::{
    Answer, Caller, Change, Client, Env, ErrorCode, EventKind, Form, Held, Outcome, Refusal, Seconds, Session, Stored,
    Tenant, acr_satisfies, again,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

/// Longest `state`, `nonce` and other texts of a request.
pub const TEXT_BYTES_MAX: usize = 2048;
/// What a pushed request's URI begins with (RFC 9126 2.2).
pub const REQUEST_URI: &str = "urn:ietf:params:oauth:request_uri:";

/// Where a request stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Pushed, and not yet answered.
    Pushed,
    /// At the login pages: a person has to sign in, or to decide.
    Waiting,
    /// Answered, one way or the other.
    Done,
}

/// A request as it is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthRequest {
    /// Its id: 256 random bits, because it stands in a URL and who has it may answer it.
    pub id: String,
    /// Who asks.
    pub client: String,
    /// Where the answer goes.
    pub redirect_uri: String,
    /// Whether the client named it, and must name it again with the code (RFC 6749 4.1.3).
    pub redirect_uri_given: bool,
    /// The scopes that are asked for.
    pub scopes: Vec<String>,
    /// The resources.
    pub resources: Vec<String>,
    /// The details.
    pub details: Vec<Value>,
    /// What the client wants back.
    pub state: Option<String>,
    /// What goes into the ID token.
    pub nonce: Option<String>,
    /// The PKCE challenge, of the method S256.
    pub challenge: String,
    /// The key to which the code is bound (RFC 9449 10).
    pub dpop_jkt: Option<String>,
    /// Classes of authentication of which one is wanted.
    pub acr_values: Vec<String>,
    /// The oldest authentication that does, in seconds.
    pub max_age: Option<Seconds>,
    /// `login`, `consent`, `select_account`, or `none` alone.
    pub prompt: Vec<String>,
    /// Who is meant, to fill in a form.
    pub login_hint: Option<String>,
    /// Who must be meant: the user of an `id_token_hint`.
    pub user_hint: Option<String>,
    /// Languages for the pages.
    pub ui_locales: Option<String>,
    /// When it came.
    pub created_at: Seconds,
    /// Until when it can be answered.
    pub expires_at: Seconds,
    /// Where it stands.
    pub stage: Stage,
    /// The pushed request that it was made of, which is answered with it.
    #[serde(default)]
    pub pushed: Option<String>,
}

impl Stored for AuthRequest {
    const SORT: u8 = b'q';
    const WHAT: &'static str = "authorization request";
}

/// Whom an ID token is about that comes back as a hint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hinted {
    /// The id of the user.
    pub user: String,
    /// The id of the session.
    pub session: Option<String>,
}

/// What is still needed of a person before a request can be allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Need {
    /// To sign in, anew if they are.
    SignIn,
    /// To show more: a stronger authentication, of this class.
    StepUp(String),
    /// To decide.
    Consent,
    /// Nothing.
    Nothing,
}

impl Need {
    /// The error when the person may not be asked (`prompt=none`, OpenID Connect Core 3.1.2.6); `None` when nothing is needed.
    #[must_use]
    pub fn error(&self) -> Option<ErrorCode> {
        match self {
            Need::SignIn => Some(ErrorCode::LoginRequired),
            Need::StepUp(_) => Some(ErrorCode::InteractionRequired),
            Need::Consent => Some(ErrorCode::ConsentRequired),
            Need::Nothing => None,
        }
    }
}

impl AuthRequest {
    /// Whether a prompt was asked for.
    #[must_use]
    pub fn prompts(&self, prompt: &str) -> bool {
        self.prompt.iter().any(|asked| asked == prompt)
    }

    /// Whether who they are has to be shown for this request, however short a time ago it was: with `prompt=login`, and with
    /// `max_age=0`, which is the same (OpenID Connect Core 3.1.2.1).
    #[must_use]
    pub fn wants_sign_in(&self) -> bool {
        self.prompts("login") || self.max_age == Some(0)
    }

    /// Whether who they are was shown in this session because this request asked for it: after it came, or on the pages of
    /// this very request. Times are whole seconds, and in the one in which it came nobody can tell which was first; then only
    /// the latter counts, so that what was there before is not enough, and who is quick is not asked twice.
    pub(super) fn has_sign_in(&self, session: &Session) -> bool {
        let at = session.authentication.at;
        at > self.created_at || (at == self.created_at && session.shown_for.as_ref() == Some(&self.id))
    }

    /// What is needed of a person to be authenticated as this request wants; `None` when nothing is.
    #[must_use]
    pub fn needs_authentication(&self, session: Option<&Session>, now: Seconds) -> Option<Need> {
        let Some(session) = session.filter(|session| session.is_live(now)) else { return Some(Need::SignIn) };
        let authentication = &session.authentication;
        let old = self.max_age.is_some_and(|max| authentication.at.saturating_add(max) < now);
        let asked = old || self.wants_sign_in() || self.prompts("select_account");
        let other = self.user_hint.as_ref().is_some_and(|user| *user != session.user);
        if other || (asked && !self.has_sign_in(session)) {
            return Some(Need::SignIn);
        }
        let satisfied = self.acr_values.iter().any(|wanted| acr_satisfies(&authentication.acr, wanted));
        match self.acr_values.first() {
            Some(wanted) if !satisfied => Some(Need::StepUp(wanted.clone())),
            _ => None,
        }
    }

    /// The answer that goes to the client with these parameters, beside `state` and `iss` (RFC 9207).
    pub(super) fn redirect(&self, issuer: &str, parameters: &[(&str, &str)]) -> Answer<String> {
        redirect(&self.redirect_uri, self.state.as_deref(), issuer, parameters)
    }
}

fn redirect(to: &str, state: Option<&str>, issuer: &str, parameters: &[(&str, &str)]) -> Answer<String> {
    let mut url = Url::parse(to).map_err(|error| Refusal::failed("request.redirect", error.to_string()))?;
    let state = state.map(|state| ("state", state));
    url.query_pairs_mut().extend_pairs(parameters.iter().copied().chain(state).chain([("iss", issuer)]));
    Ok(url.into())
}

/// A refusal at the authorization endpoint: to whom it is told.
#[derive(Debug)]
pub enum Refused {
    /// To the person, on a page: where the client is, is not known for sure.
    Page(Refusal),
    /// To the client: the browser is sent to this URL.
    Redirect(String, Refusal),
}

impl Refused {
    /// What was refused.
    #[must_use]
    pub fn refusal(&self) -> &Refusal {
        match self {
            Refused::Page(refusal) | Refused::Redirect(_, refusal) => refusal,
        }
    }
}

fn invalid(rule: &'static str, text: &str) -> Refusal {
    Refusal::new(ErrorCode::InvalidRequest, rule, text)
}

/// Challenges of S256 are the base64url of 32 bytes (RFC 7636 4.2).
fn is_challenge(text: &str) -> bool {
    super::decode(text).is_some_and(|bytes| bytes.len() == 32)
}

fn over() -> Refusal {
    let text = "this sign-in is unknown, finished or too old; start again from the application";
    Refusal::new(ErrorCode::NotFound, "request.over", text)
}

fn words(text: Option<&str>) -> Vec<String> {
    text.unwrap_or_default().split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// Refuses the ways of asking that are not served (OpenID Connect Core 3.1.2.6).
fn refuse_unsupported(form: &Form) -> Answer<()> {
    let ways = [
        (
            "request",
            ErrorCode::RequestNotSupported,
            "request.object",
            "request objects are not accepted; push the request instead (RFC 9126)",
        ),
        (
            "request_uri",
            ErrorCode::RequestUriNotSupported,
            "request.uri",
            "`request_uri` must be one that a pushed request got here (RFC 9126)",
        ),
        (
            "registration",
            ErrorCode::RegistrationNotSupported,
            "request.registration",
            "`registration` is not accepted in a request; clients are registered before, at `registration_endpoint` where metadata has one",
        ),
    ];
    match ways.into_iter().find(|(name, ..)| form.get(name).is_some()) {
        Some((_, error, rule, text)) => Err(Refusal::new(error, rule, text)),
        None => Ok(()),
    }
}

impl Tenant {
    /// Where the answer to a request may go, and whether the client said it: it must, but for OAuth alone with one URI
    /// (RFC 6749 3.1.2.3, OpenID Connect Core 3.1.2.1).
    fn redirect_of(client: &Client, form: &Form) -> Answer<(String, bool)> {
        let openid = words(form.get("scope")).iter().any(|scope| scope == "openid");
        match (form.get("redirect_uri"), client.redirect_uris.as_slice()) {
            (Some(uri), _) if client.redirects_to(uri) => Ok((uri.to_owned(), true)),
            (Some(_), _) => Err(invalid(
                "request.redirect_uri",
                "`redirect_uri` is not registered for this client; it must be the same letter for letter",
            )),
            (None, [only]) if !openid => Ok((only.clone(), false)),
            (None, _) => Err(invalid("request.redirect_uri", "`redirect_uri` is missing")),
        }
    }

    /// Judges the parameters of a request of a client whose redirect URI is known.
    fn judged(&self, client: &Client, redirect: (String, bool), form: &Form, env: &Env<'_>) -> Answer<AuthRequest> {
        refuse_unsupported(form)?;
        if form.need("response_type")? != "code" {
            let text = "`response_type` must be `code`";
            return Err(Refusal::new(ErrorCode::UnsupportedResponseType, "request.response_type", text));
        }
        if !client.may_use("authorization_code") {
            let text = "this client may not use the authorization code flow";
            return Err(Refusal::new(ErrorCode::UnauthorizedClient, "request.grant_type", text));
        }
        if form.get("response_mode").is_some_and(|mode| mode != "query") {
            return Err(invalid("request.response_mode", "`response_mode` must be `query`, or left out"));
        }
        if form.get("code_challenge_method") != Some("S256") || !form.get("code_challenge").is_some_and(is_challenge) {
            let text = "send `code_challenge` with `code_challenge_method=S256` (RFC 7636)";
            return Err(invalid("request.pkce", text));
        }
        let texts = ["state", "nonce", "acr_values", "login_hint", "ui_locales", "dpop_jkt", "prompt"];
        if texts.iter().any(|name| form.get(name).is_some_and(|text| text.len() > TEXT_BYTES_MAX)) {
            return Err(invalid("request.long", "a parameter is too long"));
        }
        if form.get("dpop_jkt").is_some_and(|jkt| !super::is_thumbprint(jkt)) {
            return Err(invalid("request.dpop_jkt", "`dpop_jkt` is the thumbprint of a key (RFC 9449 10)"));
        }
        let prompt = words(form.get("prompt"));
        let known = ["none", "login", "consent", "select_account"];
        if prompt.iter().any(|p| !known.contains(&p.as_str()))
            || (prompt.len() > 1 && prompt.iter().any(|p| p == "none"))
        {
            return Err(invalid(
                "request.prompt",
                "`prompt` is `none` alone, or of `login`, `consent`, `select_account`",
            ));
        }
        let max_age = form.get("max_age").map(str::parse::<Seconds>).transpose();
        let max_age = max_age.map_err(|_| invalid("request.max_age", "`max_age` is a number of seconds"))?;
        let (scopes, resources) = self.allowed(client, form.get("scope"), form.resources())?;
        let details = form.details()?.unwrap_or_default();
        self.allowed_details(client, &details)?;
        self.details_shown_as(&details)?;
        let own = |name| form.get(name).map(str::to_owned);
        let hinted = form.get("id_token_hint").map(|hint| self.hinted(hint, client, env)).transpose()?;
        Ok(AuthRequest {
            id: env.secret(),
            client: client.id.clone(),
            redirect_uri: redirect.0,
            redirect_uri_given: redirect.1,
            scopes,
            resources,
            details,
            state: own("state"),
            nonce: own("nonce"),
            challenge: form.get("code_challenge").unwrap_or_default().to_owned(),
            dpop_jkt: own("dpop_jkt"),
            acr_values: words(form.get("acr_values")),
            max_age,
            prompt,
            login_hint: own("login_hint"),
            user_hint: hinted.map(|hinted| hinted.user),
            ui_locales: own("ui_locales"),
            created_at: env.seconds(),
            expires_at: env.seconds().saturating_add(self.settings().request_s),
            stage: Stage::Waiting,
            pushed: None,
        })
    }

    /// Whom an ID token that was handed to a client is about, over or not.
    ///
    /// # Errors
    /// It is none of ours, or another client's.
    pub fn hinted(&self, hint: &str, client: &Client, env: &Env<'_>) -> Answer<Hinted> {
        let refuse =
            || invalid("request.id_token_hint", "the ID token of the hint is not one that this client was given");
        let verified = self.keys()?.verify(hint, env.seconds()).map_err(|_| refuse())?;
        let typ = verified.header.get("typ").and_then(Value::as_str) == Some("JWT");
        let audience = verified.audience();
        let theirs = matches!(audience.as_slice(), [one] if client.is_named(one));
        let ours = typ && theirs && verified.text("iss") == Some(self.issuer());
        let user = verified.text("sub").filter(|_| ours).map(str::to_owned).ok_or_else(refuse)?;
        Ok(Hinted { user, session: verified.text("sid").map(str::to_owned) })
    }

    fn store(&self, request: &AuthRequest, env: &Env<'_>) -> Answer<()> {
        let mut change = self.change(env);
        change.create(&[&request.id], request);
        change.expires::<AuthRequest>(&[&request.id], request.expires_at, None);
        self.use_proof(&mut change, env);
        change.commit()?;
        Ok(())
    }

    /// Takes a request at the authorization endpoint. Answers the id under which the login pages find it.
    ///
    /// # Errors
    /// What [`Refused`] says.
    pub fn take_request(&self, form: &Form, env: &Env<'_>) -> Result<String, Refused> {
        self.count_address(env).map_err(Refused::Page)?;
        let client = self.requesting(form).map_err(Refused::Page)?;
        if let Some(uri) = form.get("request_uri").filter(|uri| uri.starts_with(REQUEST_URI)) {
            let taken = self.count_client(&client.id, env).and_then(|()| self.take_pushed(&client, uri, env));
            return taken.map_err(Refused::Page);
        }
        let to = Tenant::redirect_of(&client, form).map_err(Refused::Page)?;
        let uri = to.0.clone();
        let judged = if client.require_pushed_requests {
            Err(invalid("request.pushed", "this client must push its requests (RFC 9126)"))
        } else {
            self.judged(&client, to, form, env)
        };
        // What is refused leaves no record, and is not counted for the client.
        let judged = judged.and_then(|request| self.count_client(&client.id, env).map(|()| request));
        let stored = judged.and_then(|request| self.store(&request, env).map(|()| request.id));
        stored.map_err(|refusal| {
            let state = form.get("state").filter(|state| state.len() <= TEXT_BYTES_MAX);
            let parameters = [("error", refusal.error.text()), ("error_description", refusal.description.as_str())];
            match redirect(&uri, state, self.issuer(), &parameters) {
                Ok(to) => Refused::Redirect(to, refusal),
                Err(_) => Refused::Page(refusal),
            }
        })
    }

    /// The client of a request at the authorization endpoint, which shows nothing there.
    fn requesting(&self, form: &Form) -> Answer<Held<Client>> {
        let unknown = || invalid("request.client", "the application that sent you here is not known");
        let client = self.client_named(form.need("client_id")?);
        let client = client.map_err(|refusal| refusal.instead_of(ErrorCode::NotFound, unknown))?;
        if self.is_active(&client.subject())? { Ok(client) } else { Err(unknown().because("inactive")) }
    }

    fn take_pushed(&self, client: &Client, uri: &str, env: &Env<'_>) -> Answer<String> {
        let refuse = |rule| {
            let text = "the pushed request is unknown, used or too old; start again from the application";
            Refusal::new(ErrorCode::InvalidRequestUri, rule, text)
        };
        let id = uri.strip_prefix(REQUEST_URI).filter(|id| super::decode(id).is_some_and(|id| id.len() == 32));
        let id = id.ok_or_else(|| refuse("request.uri"))?;
        let held = self.get::<AuthRequest>(&[id])?.ok_or_else(|| refuse("request.unknown"))?;
        if held.client != client.id || held.stage != Stage::Pushed {
            return Err(refuse("request.used"));
        }
        if env.seconds() >= held.expires_at {
            return Err(refuse("request.expired"));
        }
        // Another id, because that of a pushed request went through the client. Until one is answered there may be several,
        // because people load pages again (RFC 9126 4).
        let request = AuthRequest {
            id: env.secret(),
            stage: Stage::Waiting,
            pushed: Some(held.id.clone()),
            created_at: env.seconds(),
            expires_at: env.seconds().saturating_add(self.settings().request_s),
            ..held.value.clone()
        };
        let mut change = self.change(env);
        change.expect(&held);
        change.create(&[&request.id], &request);
        change.expires::<AuthRequest>(&[&request.id], request.expires_at, None);
        change.commit().map_err(|refusal| if refusal.is_stale() { refuse("request.used") } else { refusal })?;
        Ok(request.id)
    }

    /// Takes a pushed request (RFC 9126). Answers its URI, and how long it is good.
    ///
    /// # Errors
    /// It is refused, to the client.
    pub fn push_request(&self, caller: &Caller, form: &Form, env: &Env<'_>) -> Answer<(String, Seconds)> {
        if form.get("request_uri").is_some() {
            return Err(invalid("request.uri", "a pushed request has no `request_uri` (RFC 9126 2.1)"));
        }
        if form.get("client_id").is_some_and(|id| !caller.client.is_named(id)) {
            return Err(invalid("client.differs", "`client_id` is not the client that pushes"));
        }
        let to = Tenant::redirect_of(&caller.client, form)?;
        let life = self.settings().pushed_request_s;
        // Whoever has shown who it is pushes for all its people from its own address.
        if caller.client.is_public() {
            self.count_address(env)?;
        }
        let mut request = self.judged(&caller.client, to, form, env)?;
        if caller.jkt.is_some() {
            if request.dpop_jkt.is_some() && request.dpop_jkt != caller.jkt {
                return Err(invalid("request.dpop_jkt", "`dpop_jkt` is not the key of the proof (RFC 9449 10.1)"));
            }
            request.dpop_jkt.clone_from(&caller.jkt);
        }
        self.count_client(&caller.client.id, env)?;
        request.stage = Stage::Pushed;
        request.expires_at = env.seconds().saturating_add(life);
        self.store(&request, env)?;
        Ok((format!("{REQUEST_URI}{}", request.id), life))
    }

    /// A request at the login pages that can still be answered.
    ///
    /// # Errors
    /// There is none, or it is answered or too old: the person starts again from the application.
    pub fn request(&self, id: &str, env: &Env<'_>) -> Answer<Held<AuthRequest>> {
        if super::decode(id).is_none_or(|id| id.len() != 32) {
            return Err(over());
        }
        let held = self.get::<AuthRequest>(&[id])?.ok_or_else(over)?;
        if held.stage != Stage::Waiting || env.seconds() >= held.expires_at {
            return Err(over());
        }
        self.pushed_of(&held)?;
        Ok(held)
    }

    /// The pushed request that one was made of, which is not answered yet; nothing when it was not pushed.
    fn pushed_of(&self, request: &AuthRequest) -> Answer<Option<Held<AuthRequest>>> {
        let Some(id) = &request.pushed else { return Ok(None) };
        let held = self.get::<AuthRequest>(&[id])?.filter(|held| held.stage == Stage::Pushed);
        held.map(Some).ok_or_else(over)
    }

    /// Adds to a change that a request is answered, and with it the pushed one that it was made of: once, whatever else runs.
    pub(super) fn answered(&self, change: &mut Change<'_>, request: &Held<AuthRequest>) -> Answer<()> {
        if let Some(pushed) = self.pushed_of(request)? {
            change.replace(&pushed, &AuthRequest { stage: Stage::Done, ..pushed.value.clone() });
        }
        change.replace(request, &AuthRequest { stage: Stage::Done, ..request.value.clone() });
        Ok(())
    }

    /// What is needed of a person before the request can be allowed.
    ///
    /// # Errors
    /// The client is gone, or the disk failed.
    pub fn needs(&self, request: &AuthRequest, session: Option<&Session>, env: &Env<'_>) -> Answer<Need> {
        if let Some(need) = request.needs_authentication(session, env.seconds()) {
            return Ok(need);
        }
        let Some(session) = session else { return Ok(Need::SignIn) };
        let client = self.client(&request.client)?;
        // Judged again: the rules of a type may have changed since it was asked for.
        let theirs = self.details_shown_as(&request.details)?;
        if let Some(need) = theirs.as_ref().and_then(|shown| shown.needs(request, session, env.seconds())) {
            return Ok(need);
        }
        if request.prompts("consent") || theirs.is_some() {
            return Ok(Need::Consent);
        }
        if client.consent == super::ConsentRule::Managed {
            return Ok(Need::Nothing);
        }
        let consent = self.consent(&session.user, &client.id)?;
        let wanted = self.by_resource(&request.scopes, &request.resources)?;
        let covered = consent.is_some_and(|consent| consent.covers(&wanted));
        // Details say what exactly: that was never allowed for good.
        Ok(if covered && request.details.is_empty() { Need::Nothing } else { Need::Consent })
    }

    /// Answers a request with an error: the person said no, or cannot do what is asked for. Answers where the browser goes.
    ///
    /// # Errors
    /// It is answered already, or the disk failed.
    pub fn refuse_request(&self, id: &str, error: ErrorCode, description: &str, env: &Env<'_>) -> Answer<String> {
        again(|| {
            let held = self.request(id, env)?;
            let mut change = self.change(env);
            self.answered(&mut change, &held)?;
            let event =
                self.event(EventKind::TokenRefused, Outcome::Refused, env).client(self.client_subject(&held.client)?);
            change.event(&event.action(held.scopes.join(" ")).reason(error.text()));
            change.commit()?;
            held.redirect(self.issuer(), &[("error", error.text()), ("error_description", description)])
        })
    }
}
