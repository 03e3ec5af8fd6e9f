//! One call of a browser: who it is, what it sent, and what goes back. Nothing here knows a server.

use super::assurance::{Level, Method, Need};
use super::browser::{
    self, COOKIE_BYTES, CookieKind, CookieSecret, Cookies, FORM_BYTES_MAX, Fields, PageKind, Script, is_own_site,
};
use super::pages::{Form, MessagePage, SCRIPT, STYLE, Shell};
use super::sealed::{self, Place, Purpose};
use super::{Login, words};
use crate::identity::{
    Answer, Browser, Env, ErrorCode, EventKind, Held, Outcome, Refusal, Seconds, Session, Shown, Tenant, User,
    address_key, again,
};
use askama::Template;
use serde::Serialize;
use serde::de::DeserializeOwned;
use url::Url;

/// How long the state of a sign-in between two pages is good, in seconds.
pub const STEP_SECONDS: Seconds = 600;
/// How new an authentication must be to change the ways in, in seconds.
pub const FRESH_SECONDS: Seconds = 900;

/// What a browser sent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Call<'a> {
    /// Whether it is a POST; else it is a GET.
    pub post: bool,
    /// The path below the issuer: `/login`.
    pub path: &'a str,
    /// What stands behind the question mark.
    pub query: &'a str,
    /// The `Cookie` header.
    pub cookie: &'a str,
    /// The `Sec-Fetch-Site` header.
    pub sec_fetch_site: Option<&'a str>,
    /// The `Content-Type` header.
    pub content_type: &'a str,
    /// The `User-Agent` header.
    pub user_agent: &'a str,
    /// The body.
    pub body: &'a [u8],
}

/// What goes back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: String,
}

/// What a sign-in is for. It goes from page to page as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum For {
    /// An application's request, by its id.
    Request(String),
    /// A page of the account: what stands behind `/account`.
    Account(&'static str),
    /// Another page of the issuer.
    Page(Back),
}

/// A page of the issuer to come back to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Back {
    text: String,
    /// The level that must be shown now, whoever is signed in.
    pub(super) level: Option<Level>,
}

impl Back {
    /// Longest path.
    const BYTES_MAX: usize = 512;

    /// Reads `/path`, or `LEVEL!/path`. `None` when it is not a path of this host.
    fn read(text: &str) -> Option<Back> {
        let (level, path) = match text.split_once('!') {
            Some((name, path)) if !name.starts_with('/') => (Some(Level::of(name)?), path),
            _ => (None, text),
        };
        // `//host` and `/\host` are other hosts to a browser.
        let local = path.starts_with('/') && !path.starts_with("//") && !path.contains('\\');
        let plain = text.len() <= Back::BYTES_MAX && text.bytes().all(|b| b.is_ascii_graphic());
        (local && plain).then(|| Back { text: text.to_owned(), level })
    }

    /// The path, below the issuer.
    pub(super) fn path(&self) -> &str {
        match self.level {
            Some(_) => self.text.split_once('!').map_or("/", |(_, path)| path),
            None => &self.text,
        }
    }
}

/// Where a person signs in to come back to a path below the issuer. With a level, they show now, and at least so strongly,
/// who they are, even when they are signed in.
#[must_use]
pub fn sign_in_url(tenant: &Tenant, back: &str, acr: Option<&str>) -> String {
    let text = acr.map_or_else(|| back.to_owned(), |acr| format!("{acr}!{back}"));
    let text: String = url::form_urlencoded::byte_serialize(text.as_bytes()).collect();
    tenant.url(&format!("/login?request={text}"))
}

/// The account, where something is to be taken away.
pub(super) const CHANGE: &str = "?done=confirmed";
/// Pages of the account that a sign-in can be for.
const ACCOUNT_PAGES: [(&str, &str); 6] = [
    ("account", ""),
    ("account.credential", CHANGE),
    ("account.passkey", "/passkey"),
    ("account.password", "/password"),
    ("account.totp", "/totp"),
    ("account.recovery", "/recovery"),
];

impl For {
    /// Reads the text; what is not known leads to the account.
    #[must_use]
    pub(super) fn read(text: &str) -> For {
        if let Some((_, path)) = ACCOUNT_PAGES.iter().find(|(name, _)| *name == text) {
            return For::Account(path);
        }
        match text {
            "" => For::Account(""),
            _ if text.contains('/') => Back::read(text).map_or(For::Account(""), For::Page),
            id => For::Request(id.to_owned()),
        }
    }

    /// The text.
    #[must_use]
    pub(super) fn text(&self) -> &str {
        match self {
            For::Request(id) => id,
            For::Page(back) => &back.text,
            For::Account(page) => ACCOUNT_PAGES.iter().find(|(_, path)| path == page).map_or("", |(name, _)| name),
        }
    }
}

/// See the file's head.
pub struct Visit<'a> {
    pub(super) login: &'a Login,
    pub(super) tenant: &'a Tenant,
    pub(super) env: Env<'a>,
    pub(super) call: Call<'a>,
    /// What stood behind the question mark.
    pub(super) query: Fields,
    /// The form that was sent.
    pub(super) fields: Fields,
    /// Who is signed in.
    pub(super) session: Option<Held<Session>>,
    /// Where the issuer's pages begin on its host, without a slash at the end.
    base: String,
    cookies: Cookies,
    browser: CookieSecret,
    set_cookies: Vec<String>,
}

impl<'a> Visit<'a> {
    /// Takes in what a browser sent.
    ///
    /// # Errors
    /// The form is none, or the disk failed.
    pub fn enter(login: &'a Login, tenant: &'a Tenant, call: Call<'a>, env: Env<'a>) -> Answer<Visit<'a>> {
        let issuer =
            Url::parse(tenant.issuer()).map_err(|error| Refusal::failed("tenant.issuer", error.to_string()))?;
        let cookies = Cookies { secure: issuer.scheme() == "https", tenant: tenant.number() };
        let bad_form = || {
            let text = format!("the form is too long ({FORM_BYTES_MAX} bytes are the most) or says something twice");
            Refusal::new(ErrorCode::InvalidRequest, "form.malformed", text)
        };
        let query = Fields::read(call.query.as_bytes()).ok_or_else(bad_form)?;
        let fields = if call.post { call.body } else { &[] };
        let fields = Fields::read(fields).ok_or_else(bad_form)?;
        let found = cookies.find(call.cookie, CookieKind::Visit).and_then(CookieSecret::read);
        let mut set_cookies = Vec::new();
        let browser = found.unwrap_or_else(|| {
            let fresh = CookieSecret::new(&env.bytes::<COOKIE_BYTES>());
            set_cookies.push(cookies.set(CookieKind::Visit, fresh.text()));
            fresh
        });
        let session = match cookies.find(call.cookie, CookieKind::Session) {
            Some(cookie) => tenant.session_of_cookie(cookie, &env)?,
            None => None,
        };
        if let Some(session) = &session {
            tenant.touch_session(session, &env)?;
        }
        let base = issuer.path().trim_end_matches('/').to_owned();
        Ok(Visit { login, tenant, env, call, query, fields, session, base, cookies, browser, set_cookies })
    }

    /// What is around every page of this tenant.
    pub(super) fn shell(&self) -> Shell<'a> {
        Shell { issuer_name: self.tenant.name() }
    }

    /// A path of this tenant on its host.
    pub(super) fn path(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// The path of a page, with what it is for.
    pub(super) fn path_for(&self, path: &str, what: &For) -> String {
        let text: String = url::form_urlencoded::byte_serialize(what.text().as_bytes()).collect();
        if text.is_empty() { self.path(path) } else { format!("{}?request={text}", self.path(path)) }
    }

    /// What this call is for, as its form or its query says.
    pub(super) fn what(&self) -> For {
        For::read(if self.call.post { self.fields.get("request") } else { self.query.get("request") })
    }

    /// A form that is sent to `path`, about what this is for.
    pub(super) fn form(&self, path: &str, what: &For) -> Form {
        let token = self.browser.form_token(path, &self.about(what));
        Form { action: self.path(path), token, request: what.text().to_owned() }
    }

    /// What a form's token is about: what the form is for, and the session that it was made in.
    fn about(&self, what: &For) -> String {
        format!("{} {}", what.text(), self.session.as_ref().map_or("", |s| s.id.as_str()))
    }

    /// Whether the form that was sent was made by us for this browser.
    ///
    /// # Errors
    /// It was not: it is from another site, or from before somebody signed in.
    pub(super) fn check_form(&self) -> Answer<()> {
        let form = self.call.content_type.split(';').next().unwrap_or_default().trim();
        let ours = is_own_site(self.call.sec_fetch_site)
            && form.eq_ignore_ascii_case("application/x-www-form-urlencoded")
            && self.browser.is_form_token(self.call.path, &self.about(&self.what()), self.fields.get("token"));
        if ours {
            return Ok(());
        }
        let text = "This page is too old, or it is not ours. Go back, load it again, and try once more.";
        Err(Refusal::new(ErrorCode::AccessDenied, "form.token", text))
    }

    /// Seals a state that this browser alone can give back.
    ///
    /// # Errors
    /// It is too long.
    pub(super) fn seal<T: Serialize>(&self, purpose: Purpose, state: &T, seconds: Seconds) -> Answer<String> {
        let browser = self.browser.hash();
        let place = Place { tenant: self.tenant.number(), purpose, browser: &browser };
        let until = self.env.seconds().saturating_add(seconds);
        let sealed = sealed::close(self.tenant.identity().ring(), place, state, until, &self.env.bytes());
        sealed.ok_or_else(|| Refusal::failed("login.state", "a state is too long"))
    }

    /// Opens a state of this browser's.
    pub(super) fn open<T: DeserializeOwned>(&self, purpose: Purpose, text: &str) -> Option<T> {
        let browser = self.browser.hash();
        let place = Place { tenant: self.tenant.number(), purpose, browser: &browser };
        sealed::reopen(self.tenant.identity().ring(), place, text, self.env.seconds())
    }

    /// Gives the browser a state to bring to the next page.
    ///
    /// # Errors
    /// It is too long.
    pub(super) fn set_step<T: Serialize>(&mut self, purpose: Purpose, state: &T, seconds: Seconds) -> Answer<()> {
        let text = self.seal(purpose, state, seconds)?;
        self.set_cookies.push(self.cookies.set(CookieKind::Step, &text));
        Ok(())
    }

    /// The state that the browser brought from the page before.
    pub(super) fn step<T: DeserializeOwned>(&self, purpose: Purpose) -> Option<T> {
        self.open(purpose, self.cookies.find(self.call.cookie, CookieKind::Step)?)
    }

    /// The browser need not bring it any more.
    pub(super) fn clear_step(&mut self) {
        if self.cookies.find(self.call.cookie, CookieKind::Step).is_some() {
            self.set_cookies.push(self.cookies.clear(CookieKind::Step));
        }
    }

    /// Signs somebody in who has just shown who they are, for `what`: the session of this browser is theirs from now on.
    ///
    /// # Errors
    /// They may do nothing for now, or the disk failed.
    pub(super) fn sign_in(&mut self, user: &User, method: Method, what: &For) -> Answer<()> {
        self.sign_in_at(user, method, self.env.seconds(), what)
    }

    /// The same, when they showed it before: to another provider.
    ///
    /// # Errors
    /// As [`Visit::sign_in`].
    pub(super) fn sign_in_at(&mut self, user: &User, method: Method, at: Seconds, what: &For) -> Answer<()> {
        let request = match what {
            For::Request(id) => Some(id.clone()),
            For::Account(_) | For::Page(_) => None,
        };
        let (shown, env) = (Shown { authentication: method.authentication(at), request }, self.env);
        let before = self.session.take();
        let (session, cookie) = match before.as_ref().filter(|session| session.user == user.id) {
            Some(held) if self.tenant.is_active(&user.subject())? => again(|| {
                let held = self.tenant.held::<Session>(&[&held.id])?;
                self.tenant.authenticate_session(&held, shown.clone(), &env)
            })?,
            _ => {
                let browser = Browser { name: self.call.user_agent };
                let (session, cookie) = self.tenant.start_session(&user.id, shown, browser, &env)?;
                (self.tenant.held::<Session>(&[&session.id])?, cookie)
            }
        };
        if let Some(other) = before.filter(|other| other.id != session.id) {
            self.tenant.end_session(&other.user, &other.id, "session.replaced", &env)?;
        }
        self.session = Some(session);
        // What was known to whoever was here before is worth nothing from now on: forms that were made before are void.
        self.browser = CookieSecret::new(&env.bytes::<COOKIE_BYTES>());
        self.set_cookies.push(self.cookies.set(CookieKind::Visit, self.browser.text()));
        self.set_cookies.push(self.cookies.set(CookieKind::Session, &cookie));
        self.clear_step();
        Ok(())
    }

    /// Ends the session of this browser, if there is one.
    ///
    /// # Errors
    /// The disk failed.
    pub(super) fn sign_out(&mut self) -> Answer<()> {
        if let Some(session) = self.session.take() {
            self.tenant.end_session(&session.user, &session.id, "session.signed_out", &self.env)?;
        }
        self.set_cookies.push(self.cookies.clear(CookieKind::Session));
        self.set_cookies.push(self.cookies.clear(CookieKind::Visit));
        Ok(())
    }

    /// Who is signed in.
    ///
    /// # Errors
    /// The disk failed.
    pub(super) fn user(&self) -> Answer<Option<Held<User>>> {
        self.session.as_ref().map(|session| self.tenant.user(&session.user)).transpose()
    }

    /// What the network address of the browser counts as.
    pub(super) fn address_key(&self) -> String {
        let address = self.env.address.and_then(|text| text.parse().ok());
        address.map(address_key).unwrap_or_default()
    }

    /// Whether the session does for something.
    pub(super) fn meets(&self, need: &Need) -> bool {
        self.session.as_ref().is_some_and(|session| need.is_met(&session.authentication))
    }

    /// Notes that somebody did not get in. `user` is whom they claimed to be, if there is such a user.
    ///
    /// # Errors
    /// The disk failed.
    pub(super) fn failed(&self, user: Option<&User>, rule: &'static str) -> Answer<()> {
        let mut event = self.tenant.event(EventKind::LoginFailed, Outcome::Failed, &self.env).reason(rule);
        if let Some(user) = user {
            event = event.user(user.subject());
        }
        let mut change = self.tenant.change(&self.env);
        change.event(&event);
        change.commit()?;
        Ok(())
    }

    /// A page.
    ///
    /// # Errors
    /// It cannot be made.
    pub(super) fn page(&mut self, status: u16, kind: PageKind, page: &impl Template) -> Answer<Reply> {
        let body = page.render().map_err(|error| Refusal::failed("login.page", error.to_string()))?;
        let script = if body.contains("<script>") {
            Script::Inline(SCRIPT)
        } else if body.contains("<script src=") {
            Script::Own
        } else {
            Script::None
        };
        let mut headers = browser::headers(kind, STYLE, script).to_vec();
        headers.extend(self.set_cookies.drain(..).map(|cookie| ("set-cookie", cookie)));
        Ok(Reply { status, headers, body })
    }

    /// Sends the browser elsewhere, with a GET whatever it sent (RFC 9700, 4.12).
    pub(super) fn redirect(&mut self, location: String) -> Reply {
        let mut headers = vec![
            ("location", location),
            ("cache-control", "no-store".to_owned()),
            ("referrer-policy", "no-referrer".to_owned()),
        ];
        headers.extend(self.set_cookies.drain(..).map(|cookie| ("set-cookie", cookie)));
        Reply { status: 303, headers, body: String::new() }
    }

    /// A page that says something, and how to go on.
    ///
    /// # Errors
    /// It cannot be made.
    pub(super) fn message(
        &mut self,
        status: u16,
        heading: &str,
        text: &str,
        way: (&'static str, String),
    ) -> Answer<Reply> {
        let (button, href) = way;
        let page = MessagePage { shell: self.shell(), heading, text, form: None, href, button, trace: "" };
        self.page(status, PageKind::Stays, &page)
    }

    /// The page of a refusal: what the person should know, and what the log knows it by.
    ///
    /// # Errors
    /// It cannot be made.
    pub(super) fn refused(&mut self, refusal: &Refusal) -> Answer<Reply> {
        let ours = refusal.error.status() >= 500;
        if ours {
            tracing::error!(trace = self.env.trace, %refusal, "a page of login failed");
        } else {
            tracing::info!(trace = self.env.trace, rule = refusal.rule, "a page of login refused");
        }
        let heading = if ours { "Something went wrong" } else { "This did not work" };
        let text = words::sentence(&refusal.description);
        let trace = self.env.trace.unwrap_or_default();
        let href = self.path("/account");
        let page =
            MessagePage { shell: self.shell(), heading, text: &text, form: None, href, button: "Your account", trace };
        let mut reply = self.page(refusal.error.status(), PageKind::Stays, &page)?;
        if let Some(seconds) = refusal.retry_after_s {
            reply.headers.push(("retry-after", seconds.to_string()));
        }
        Ok(reply)
    }
}
