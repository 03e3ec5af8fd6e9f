//! The people of the story, each with a browser of their own, some with a phone: for its codes, and for its notices.

use super::browser::{Browser, Form, Page};
use super::keys::{Phone, secret};
use super::pager::Pager;
use super::stubs::push::PushService;
use super::web::Tape;
use crate::cli::Failure;
use std::time::{Duration, Instant};

/// How long it may take until a phone shows something.
const NOTIFIED_WITHIN: Duration = Duration::from_secs(15);

/// A person.
pub(super) struct Person {
    pub(super) id: &'static str,
    pub(super) login: &'static str,
    pub(super) password: String,
    pub(super) browser: Browser,
    pub(super) phone: Option<Phone>,
    pub(super) pager: Option<Pager>,
}

/// An account of a person somewhere else.
#[derive(Clone)]
pub(super) struct Elsewhere {
    /// What the other provider is called.
    pub(super) name: &'static str,
    pub(super) login: String,
    pub(super) password: String,
}

impl Elsewhere {
    /// The page of sign-in there, filled in.
    pub(super) fn form(&self, page: &Page) -> Result<Form, Failure> {
        Ok(page.form("/signin")?.with("login", &self.login).with("password", &self.password))
    }
}

impl Person {
    pub(super) fn new(who: &'static str, id: &'static str, login: &'static str, tape: &Tape) -> Person {
        let password = format!("correct horse {}", secret());
        Person { id, login, password, browser: Browser::new(who, tape), phone: None, pager: None }
    }

    /// Comes by an invitation for the first time, and sets a password.
    pub(super) fn arrive(&mut self, invitation: &str) -> Result<(), Failure> {
        let page = self.browser.open(invitation)?;
        let mut page = self.browser.send(&page.form("/invite")?)?;
        if page.forms("/login/enrol/password").is_empty() {
            let to = page.url.join("enrol/password").map_err(|error| Failure::Said(error.to_string()))?;
            page = self.browser.open(to.as_str())?;
        }
        let form = page.form("/login/enrol/password")?;
        let form = form.with("password", &self.password).with("again", &self.password);
        self.browser.send(&form)?.says("Ways to sign in")?;
        Ok(())
    }

    /// Adds an authenticator app to the account.
    pub(super) fn add_phone(&mut self, issuer: &str) -> Result<(), Failure> {
        let page = self.browser.open(&format!("{issuer}/account/totp"))?;
        let key = page.element("mono")?;
        let mut phone = Phone::new(&key).ok_or_else(|| Failure::Said("the key for the app is none".into()))?;
        let form = page.form("/account/totp")?.with("code", &phone.code());
        self.browser.send(&form)?.says("codes")?;
        self.phone = Some(phone);
        Ok(())
    }

    /// Lets this browser, which is the one of their phone, show notices: what the page's script does when its button is pressed.
    pub(super) fn add_pager(&mut self, issuer: &str, service: &str) -> Result<(), Failure> {
        let pager = Pager::new(service)?;
        let page = self.browser.open(&format!("{issuer}/account"))?;
        let (p256dh, auth) = pager.keys();
        let form = page.form("/account/device")?.with("endpoint", &pager.endpoint);
        self.browser.send(&form.with("p256dh", &p256dh).with("auth", &auth))?.says("This browser shows a notice")?;
        self.pager = Some(pager);
        Ok(())
    }

    /// What their phone shows of a request: once, and nothing that is asked for.
    pub(super) fn notified(&self, service: &PushService, request: &str) -> Result<String, Failure> {
        let failed = |what: &str| Failure::Said(format!("the phone of {} {what}", self.id));
        let pager = self.pager.as_ref().ok_or_else(|| failed("shows no notices"))?;
        let until = Instant::now() + NOTIFIED_WITHIN;
        let notice = loop {
            let sent = service.sent_to(&pager.endpoint);
            let mut read = sent.iter().filter_map(|sent| pager.read(&sent.body));
            if let Some(notice) = read.find(|notice| super::app::text(notice, "tag") == request) {
                break notice;
            }
            if Instant::now() > until {
                return Err(failed("should show a notice"));
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        if !super::app::text(&notice, "link").ends_with(&format!("/approvals/{request}")) {
            return Err(failed("should lead to the page of the request"));
        }
        Ok(format!("{}. {}", super::app::text(&notice, "title"), super::app::text(&notice, "body")))
    }

    /// Signs in at somebody else's, on the page that is shown.
    pub(super) fn sign_in_at(&mut self, page: &Page, there: &Elsewhere) -> Result<Page, Failure> {
        page.says(&format!("Sign in at {}", there.name))?;
        self.browser.send(&there.form(page)?)
    }

    /// Links an account at another provider with the one here.
    pub(super) fn link(&mut self, issuer: &str, there: &Elsewhere) -> Result<(), Failure> {
        let page = self.browser.open(&format!("{issuer}/account"))?;
        let page = self.browser.send(&page.form("/account/upstream")?)?;
        self.sign_in_at(&page, there)?.says("It was added")?;
        Ok(())
    }

    /// Connects an account at an API, so that the vault has tokens for it.
    pub(super) fn connect(&mut self, issuer: &str, connection: &str, there: &Elsewhere) -> Result<(), Failure> {
        let page = self.browser.open(&format!("{issuer}/connect/{connection}"))?;
        let page = self.browser.send(&page.form(&format!("/connect/{connection}"))?)?;
        self.sign_in_at(&page, there)?.says("It is connected")?;
        Ok(())
    }

    /// Shows once more who they are, where a page asks for it, and comes back to it.
    pub(super) fn confirm(&mut self, page: Page) -> Result<Page, Failure> {
        let Some(to) = page.link("Confirm who I am") else { return Ok(page) };
        let page = self.browser.open(&to)?;
        let form = page.form("/login/password")?.with("name", self.login).with("password", &self.password);
        let page = self.browser.send(&form)?;
        self.code(page)
    }

    /// Types the code of the app, where it is asked for.
    pub(super) fn code(&mut self, page: Page) -> Result<Page, Failure> {
        let Some(phone) = self.phone.as_mut().filter(|_| !page.forms("/login/code").is_empty()) else {
            return Ok(page);
        };
        self.browser.send(&page.form("/login/code")?.with("code", &phone.code()))
    }
}
