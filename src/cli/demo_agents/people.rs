//! The people of the story, each with a browser of their own, and Sarah with her phone.

use super::browser::{Browser, Form, Page};
use super::keys::{Phone, secret};
use super::web::Tape;
use crate::cli::Failure;

/// A person.
pub(super) struct Person {
    pub(super) id: &'static str,
    pub(super) login: &'static str,
    pub(super) password: String,
    pub(super) browser: Browser,
    pub(super) phone: Option<Phone>,
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
        Person { id, login, password, browser: Browser::new(who, tape), phone: None }
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

    /// Types the code of the app, where it is asked for.
    pub(super) fn code(&mut self, page: Page) -> Result<Page, Failure> {
        let Some(phone) = self.phone.as_mut().filter(|_| !page.forms("/login/code").is_empty()) else {
            return Ok(page);
        };
        self.browser.send(&page.form("/login/code")?.with("code", &phone.code()))
    }
}
