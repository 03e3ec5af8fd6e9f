//! Login: what browsers send, and what of others' words pages show.

#[path = "../../../src/modules/login/browser.rs"]
mod browser;
#[path = "../../../src/modules/login/words.rs"]
mod words;

pub use browser::{CookieKind, Cookies, FORM_BYTES_MAX, FORM_FIELDS_MAX};

use serde_json::Value;

/// The value of a field of a form; `None` when it is no form.
pub fn field(body: &[u8], name: &str) -> Option<String> {
    browser::Fields::read(body).map(|fields| fields.get(name).to_owned())
}

/// The text of a cookie, when it is one of ours.
pub fn cookie(text: &str) -> Option<String> {
    browser::CookieSecret::read(text).map(|secret| secret.text().to_owned())
}

/// A text of a caller's as a page shows it.
pub fn shown(text: &str) -> String {
    words::shown(text)
}

/// Where a redirect URI leads.
pub fn destination(uri: &str) -> String {
    words::destination(uri)
}

/// The fields of a detail.
pub fn detail_fields(detail: &Value) -> Option<Vec<(String, String)>> {
    words::detail_fields(detail)
}
