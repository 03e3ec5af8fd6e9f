//! Approvals: details, templates, access requests, hints and the keys of browsers, without those who decide.

#[path = "../../../src/modules/approval/canonical.rs"]
mod canonical;
#[path = "../../../src/modules/approval/detail.rs"]
mod detail;
#[path = "../../../src/modules/approval/push/encrypt.rs"]
mod encrypt;
#[path = "../../../src/modules/approval/login_hint.rs"]
mod login_hint;
#[path = "../../../src/modules/approval/template.rs"]
mod template;
#[path = "../../../src/modules/approval/wanted.rs"]
mod wanted;

pub use canonical::{CanonicalFault, NESTING_MAX, canonical, digest_of};
pub use detail::{DecisionRule, DetailType, FieldTemplate, Line, RenderedDetail, Source, Who};
pub use wanted::{AccessWanted, Item, access_detail};

use crate::identity::{Answer, Env};
use serde_json::Value;

/// Whether a type may be kept.
///
/// # Errors
/// Something could be asked that nobody sees.
pub fn check(of: &DetailType) -> Answer<()> {
    of.check()
}

/// The text, with what cannot be seen written out.
pub fn visible(text: &str) -> String {
    template::visible(text)
}

/// A value in words.
pub fn in_words(value: &Value) -> String {
    template::shown(value)
}

/// The places of a template, and what it says of a value. `None` when it is none.
pub fn filled(text: &str, value: &Value) -> Option<(Vec<String>, String)> {
    let template = template::Template::parse(text).ok()?;
    Some((template.places().map(str::to_owned).collect(), template.fill(value)))
}

/// The places of all that a value holds.
pub fn leaves(value: &Value) -> Vec<(String, &Value)> {
    template::leaves(value)
}

/// The things of an access request, when it is for this person and of now.
///
/// # Errors
/// It is not, or has too few or too many.
pub fn things(wanted: &AccessWanted, user: &str, env: &Env<'_>) -> Answer<Vec<Item>> {
    wanted.check(user, env)?;
    wanted.things()
}

/// Whom a hint names: by `login`, by `id`, or `nobody`.
///
/// # Errors
/// It is no hint.
pub fn hinted(hint: &str, issuer: &str) -> Answer<(&'static str, String)> {
    Ok(match login_hint::LoginHint::read(hint, issuer)? {
        login_hint::LoginHint::Login(login) => ("login", login),
        login_hint::LoginHint::Id(id) => ("id", id),
        login_hint::LoginHint::Nobody => ("nobody", String::new()),
    })
}

/// A message for a browser of these keys. `None` when they are none, or the text is too long.
pub fn encrypted(p256dh: &[u8], auth: &[u8], plain: &[u8]) -> Option<Vec<u8>> {
    encrypt::encrypt(plain, &encrypt::Receiver::read(p256dh, auth)?, &[7; encrypt::PRIVATE_BYTES], &[9; encrypt::SALT_BYTES])
}
