//! Signing in, and what a person decides there: pages without script but for passkeys.
//!
//! The rules are functions over the records of `identity`, with time and randomness as arguments; a call of a browser is a
//! `Visit`, and `Login::answer` answers it. Only `http.rs` knows a server. `docs/login.md` says what is promised.

mod account;
/// For administrators: the providers with whose word people sign in.
pub mod admin {
    pub mod http;
}
mod assurance;
mod away;
mod browser;
mod devices;
mod enrol;
mod factors;
mod go_on;
mod handles;
mod http;
mod limit;
mod pages;
mod passkey;
mod password;
mod sealed;
mod sign_in;
mod totp;
mod upstream;
mod visit;
mod who_asks;
mod words;

pub use assurance::{Level, Method};
pub use browser::{COOKIE_HEADER_BYTES_MAX, CookieKind, Cookies, FORM_BYTES_MAX, FORM_FIELDS_MAX};
pub use enrol::ENROLMENT_SECONDS;
pub use factors::{Factors, add_passkey, add_totp, make_recovery_codes, set_password};
pub use handles::LOGIN;
pub use http::routes;
pub use limit::{Attempt, Limiter, Rates};
pub use passkey::{
    CEREMONY_SECONDS, Claim, PASSKEY_RESPONSE_BYTES_MAX, PASSKEY_USES_MAX, PASSKEYS_MAX, PasskeyError, PasskeyRecord,
    Passkeys, Registration, SignIn, USER_HANDLE_BYTES,
};
pub use password::{Cost, PASSWORD_BYTES_MAX, PASSWORD_CHARS_MIN, PasswordError, SALT_BYTES};
pub use totp::{RECOVERY_CODES, TOTP_DIGITS, TOTP_SECRET_BYTES, TOTP_STEP_SECONDS, TotpSecret};
pub use upstream::{
    NewProvider, NoOutside, Outside, PROVIDER_TEXT_BYTES_MAX, PROVIDERS_MAX, Provider, UPSTREAM_TOKEN_SECONDS_MAX,
    providers, put_provider, remove_provider, reseal_providers,
};
pub use visit::{Call, FRESH_SECONDS, Reply, STEP_SECONDS, Visit, sign_in_url};

use crate::identity::{Answer, Env, ErrorCode, Refusal, Seconds, Tenant};
use std::hash::RandomState;
use std::sync::Arc;

/// How signing in behaves.
#[derive(Clone, Copy, Debug, Default)]
pub struct LoginSettings {
    /// What a password costs to check.
    pub cost: Cost,
    /// How often things may be tried.
    pub rates: Rates,
}

/// An account of somebody at another's API, which agents use for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectedAccount {
    /// What people call it.
    pub name: String,
    /// Where it is connected and disconnected: a path below the issuer.
    pub path: String,
    /// Whether it is connected; when it is and does not work any more, it has to be connected again.
    pub connected: bool,
    /// Whether it has to be connected again.
    pub broken: bool,
}

/// Who knows the connections of people. The vault does; `server.rs` plugs it in.
pub trait ConnectedAccounts: Send + Sync {
    /// Those that a person has, or can have.
    ///
    /// # Errors
    /// The disk failed.
    fn of(&self, tenant: &Tenant, user: &str) -> Answer<Vec<ConnectedAccount>>;
}

/// A browser in which somebody is told of what waits for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// What names it.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// When it was added.
    pub added_at: Seconds,
    /// Whether it is bound to a key that is to go, and should be added anew.
    pub renew: bool,
}

/// A browser that somebody chose: what its subscription says (W3C Push API).
#[derive(Clone, Copy)]
pub struct NewDevice<'a> {
    /// The URL of its push service.
    pub endpoint: &'a str,
    /// Its public key, as base64url.
    pub p256dh: &'a str,
    /// Its secret, as base64url.
    pub auth: &'a str,
    /// The key that its subscription is bound to, as the page had it; empty for the newest.
    pub key: &'a str,
    /// What people call it.
    pub name: &'a str,
}

/// Who tells people in their browsers. Approvals do; `server.rs` plugs it in.
pub trait Devices: Send + Sync {
    /// The key that browsers bind their subscription to.
    ///
    /// # Errors
    /// The disk failed.
    fn key(&self, tenant: &Tenant, env: &Env<'_>) -> Answer<String>;

    /// Those of a person.
    ///
    /// # Errors
    /// The disk failed.
    fn of(&self, tenant: &Tenant, user: &str) -> Answer<Vec<Device>>;

    /// Adds one.
    ///
    /// # Errors
    /// What the browser sent is not what browsers send, or there are too many.
    fn add(&self, tenant: &Tenant, user: &str, new: NewDevice<'_>, env: &Env<'_>) -> Answer<()>;

    /// Takes one away.
    ///
    /// # Errors
    /// There is none such.
    fn remove(&self, tenant: &Tenant, user: &str, id: &str, env: &Env<'_>) -> Answer<()>;
}

/// An agent, as somebody says of it who is asked what it may do for them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Introduction {
    /// What it is for.
    pub purpose: String,
    /// The id of the person who answers for it.
    pub accountable: Option<String>,
    /// The id of the team that owns it.
    pub team: Option<String>,
}

/// Who knows what agents are for, and who answers for them. The registry of agents does; `server.rs` plugs it in.
pub trait Agents: Send + Sync {
    /// What is said of an agent, by its id; nothing of one that nobody registered.
    ///
    /// # Errors
    /// The disk failed.
    fn introduce(&self, tenant: &Tenant, id: &str) -> Answer<Option<Introduction>>;
}

/// What the pages of the account and of consent show of the rest of the house.
#[derive(Clone, Default)]
pub struct House {
    /// Accounts at others' APIs.
    pub connected: Option<Arc<dyn ConnectedAccounts>>,
    /// Browsers in which people are told.
    pub devices: Option<Arc<dyn Devices>>,
    /// What agents are for.
    pub agents: Option<Arc<dyn Agents>>,
}

/// What all visits share.
pub struct Login {
    settings: LoginSettings,
    limiter: Limiter,
    outside: Arc<dyn Outside>,
    house: House,
}

/// What a call costs: which threads it may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// A few reads of the disk, and perhaps a write.
    Light,
    /// A password is checked or made: much memory, for a while.
    Memory,
    /// Somebody else's server is asked, which may take as long as it is let.
    Waits,
}

impl Login {
    /// With these settings. The hasher's keys are random: who can choose them can push others out of the limits.
    #[must_use]
    pub fn new(settings: LoginSettings, outside: Arc<dyn Outside>, hasher: RandomState) -> Login {
        Login { settings, limiter: Limiter::new(settings.rates, hasher), outside, house: House::default() }
    }

    /// The same, with more on the pages of the account and of consent.
    #[must_use]
    pub fn with_house(self, house: House) -> Login {
        Login { house, ..self }
    }

    /// What a call costs.
    #[must_use]
    pub fn weight(call: &Call<'_>) -> Weight {
        match (call.post, call.path) {
            (true, path) if path.ends_with("/password") => Weight::Memory,
            (true, path) if path.ends_with("/upstream") => Weight::Waits,
            (false, upstream::CALLBACK) => Weight::Waits,
            _ => Weight::Light,
        }
    }

    /// Answers one call of a browser.
    ///
    /// # Errors
    /// Not even a page that says what is wrong could be made.
    pub fn answer(&self, tenant: &Tenant, call: Call<'_>, env: Env<'_>) -> Answer<Reply> {
        let mut visit = Visit::enter(self, tenant, call, env)?;
        page_of(&mut visit).or_else(|refusal| visit.refused(&refusal))
    }
}

/// The page of a path.
fn page_of(visit: &mut Visit<'_>) -> Answer<Reply> {
    let (post, path) = (visit.call.post, visit.call.path);
    match (post, path) {
        (false, "/login") => go_on::enter(visit),
        (true, "/login/password") => sign_in::password(visit),
        (true, "/login/passkey") => sign_in::passkey(visit),
        (false, "/login/code") => sign_in::code_page(visit),
        (true, "/login/code") => sign_in::code(visit, false),
        (true, "/login/recovery") => sign_in::code(visit, true),
        (true, "/login/cancel") => go_on::cancel(visit),
        (true, "/login/upstream") => away::leave(visit),
        (false, upstream::CALLBACK) => away::back(visit),
        (true, "/account/upstream") => away::leave_to_link(visit),
        (false, "/login/consent") => go_on::consent_page(visit),
        (true, "/login/consent") => go_on::consent(visit),
        (false, "/invite") => enrol::invite_page(visit),
        (true, "/invite") => enrol::follow(visit),
        (false, "/login/enrol") => enrol::passkey_page(visit),
        (true, "/login/enrol/passkey") => enrol::passkey(visit),
        (false, "/login/enrol/password") => enrol::password_page(visit),
        (true, "/login/enrol/password") => enrol::password(visit),
        (false, "/logout") => account::sign_out_page(visit),
        (true, "/logout") => account::sign_out(visit),
        (false, "/account") => account::page(visit),
        (true, "/account/session") => account::end_session(visit),
        (true, "/account/everywhere") => account::sign_out_everywhere(visit),
        (true, "/account/consent") => account::withdraw(visit),
        (true, "/account/credential") => account::remove(visit),
        (false, "/account/passkey") => account::passkey_page(visit),
        (true, "/account/passkey") => account::passkey(visit),
        (false, "/account/password") => account::password_page(visit),
        (true, "/account/password") => account::password(visit),
        (false, "/account/totp") => account::totp_page(visit),
        (true, "/account/totp") => account::totp(visit),
        (false, "/account/recovery") => account::recovery_page(visit),
        (true, "/account/recovery") => account::recovery(visit),
        (true, "/account/device") => devices::add(visit),
        (true, "/account/device/remove") => devices::remove(visit),
        (false, devices::SCRIPT_PATH) => Ok(devices::script()),
        (false, devices::WORKER_PATH) => Ok(devices::worker()),
        (false, devices::APP_PATH) => Ok(devices::app(visit)),
        _ => Err(Refusal::new(ErrorCode::NotFound, "login.path", "there is no such page here")),
    }
}
