//! An OAuth client of the story: the sales agent, which shows who it is with a key (RFC 7523), and the console with which
//! administrators work, which has nothing to show. A client knows URLs and tokens, and nothing of how the server is made.

use super::browser::Browser;
use super::keys::{Key, pkce, secret};
use super::stubs::portal::Portal;
use super::tell::{Refused, expect};
use super::web::{Ask, Heard, Tape, Web};
use crate::cli::Failure;
use bailiwick::identity::JWT_BEARER;
use serde_json::Value;
use std::sync::Arc;

/// The pairs of a form.
pub(super) type Pairs<'a> = [(&'a str, &'a str)];

/// See the file's head.
pub(super) struct App {
    pub(super) web: Web,
    /// Its id at the issuer.
    id: String,
    /// Where its tokens come from.
    issuer: String,
    /// Where browsers come back to.
    redirect: String,
    key: Option<Arc<Key>>,
    /// What ties all that it does for one task together (W3C Trace Context).
    trace: Option<String>,
}

/// A person is sent away with this; it comes back with a code.
pub(super) struct Request {
    pub(super) url: String,
    state: String,
    verifier: String,
}

impl App {
    pub(super) fn new(who: &'static str, tape: &Tape, (id, issuer, redirect): (&str, &str, &str)) -> App {
        let web = Web::new(who, tape);
        App { web, id: id.into(), issuer: issuer.into(), redirect: redirect.into(), key: None, trace: None }
    }

    /// The same, with a key by which it shows who it is.
    pub(super) fn with_key(self, key: &Arc<Key>) -> App {
        App { key: Some(Arc::clone(key)), ..self }
    }

    /// The same program, as it is known at another issuer.
    pub(super) fn at(&self, id: &str, issuer: &str) -> App {
        let (key, trace) = (self.key.clone(), self.trace.clone());
        App { web: self.web.clone(), id: id.into(), issuer: issuer.into(), redirect: String::new(), key, trace }
    }

    /// From now on all calls belong to one task.
    pub(super) fn begin_task(&mut self, trace: &str) {
        self.trace = Some(trace.to_owned());
    }

    /// A URL below the issuer.
    pub(super) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.issuer)
    }

    /// Sends a request, as a part of the task.
    pub(super) fn send(&self, ask: Ask) -> Result<Heard, Failure> {
        let ask = match &self.trace {
            Some(trace) => ask.with("traceparent", format!("00-{trace}-00f067aa0ba902b7-01")),
            None => ask,
        };
        self.web.send(&ask)
    }

    /// A request for a person's consent (OAuth 2.1 4.1, PKCE, RFC 8707, and a nonce for the ID token).
    pub(super) fn request(&self, scope: &str, resources: &[&str]) -> Request {
        let ((verifier, challenge), state) = (pkce(), secret());
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.extend_pairs([
            ("client_id", self.id.as_str()),
            ("response_type", "code"),
            ("redirect_uri", &self.redirect),
            ("scope", scope),
            ("state", &state),
            ("nonce", &secret()),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ]);
        query.extend_pairs(resources.iter().map(|resource| ("resource", resource)));
        Request { url: self.url(&format!("/authorize?{}", query.finish())), state, verifier }
    }

    /// What came back with a person: tokens for the code.
    pub(super) fn come_back(&self, request: &Request, portal: &Portal) -> Result<Value, Failure> {
        let query = portal.came_back().unwrap_or_default();
        let given = |wanted: &str| {
            let mut pairs = url::form_urlencoded::parse(query.as_bytes());
            pairs.find(|(name, _)| name == wanted).map(|(_, value)| value.into_owned()).unwrap_or_default()
        };
        expect(given("state") == request.state && given("iss") == self.issuer && given("error").is_empty(), || {
            format!("the browser should come back with our state and the issuer, and came with `{query}`")
        })?;
        let pairs = [
            ("grant_type", "authorization_code"),
            ("code", &given("code")),
            ("code_verifier", &request.verifier),
            ("redirect_uri", &self.redirect),
        ];
        ok("tokens for the code", &self.token(&pairs)?)
    }

    /// Asks the token endpoint.
    pub(super) fn token(&self, pairs: &Pairs<'_>) -> Result<Heard, Failure> {
        self.post("/token", pairs)
    }

    /// Sends a form to an endpoint at which clients show who they are.
    pub(super) fn post(&self, path: &str, pairs: &Pairs<'_>) -> Result<Heard, Failure> {
        let shown = match &self.key {
            None => vec![("client_id".to_owned(), self.id.clone())],
            Some(key) => vec![
                ("client_assertion_type".to_owned(), JWT_BEARER.to_owned()),
                ("client_assertion".to_owned(), key.assertion(&self.id, &self.issuer)?),
            ],
        };
        let pairs = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        self.send(Ask::form(self.url(path), pairs.chain(shown)))
    }

    /// A person who is signed in already lets the client act for them, and it gets its tokens.
    pub(super) fn sign_in(
        &self,
        browser: &mut Browser,
        portal: &Portal,
        (scope, resources): (&str, &[&str]),
        pages: impl FnOnce(&mut Browser, super::browser::Page) -> Result<super::browser::Page, Failure>,
    ) -> Result<Value, Failure> {
        let request = self.request(scope, resources);
        let page = browser.open(&request.url)?;
        pages(browser, page)?.says("You are signed in")?;
        self.come_back(&request, portal)
    }
}

/// The JSON of a good answer.
pub(super) fn ok(what: &str, heard: &Heard) -> Result<Value, Failure> {
    expect((200..300).contains(&heard.status), || {
        format!("{what} should be had, and was refused: {} {}", heard.status, heard.text())
    })?;
    Ok(heard.json())
}

/// A refusal with this status and code.
pub(super) fn no(what: &str, heard: &Heard, (status, code): (u16, &str)) -> Result<Refused, Failure> {
    let json = heard.json();
    let text = |pointer: &str| json.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let said = text("/error").or_else(|| text("/code")).unwrap_or_default();
    expect((heard.status, said.as_str()) == (status, code), || {
        format!(
            "{what} should be refused with {status} {code}, and was answered with {} {}",
            heard.status,
            heard.text()
        )
    })?;
    let words = text("/error_description").or_else(|| text("/message")).unwrap_or_default();
    Ok(Refused { status, code: said, rule: None, words })
}

/// A text member of a JSON answer.
pub(super) fn text(value: &Value, name: &str) -> String {
    value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}
