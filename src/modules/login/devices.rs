//! The browsers in which somebody is told of what waits for them: chosen and taken away on the page of the account.
//!
//! Choosing one needs two small files of ours, a script and a service worker. They are the same for everybody, know nothing,
//! and come from our own address; neither stands in a page.

use super::House;
use super::pages::ToldRows;
use super::visit::{For, Reply, Visit};
use super::{NewDevice, words};
use crate::identity::{Answer, ErrorCode, Refusal, User};
use serde_json::json;

/// Where the script of the page is.
pub(super) const SCRIPT_PATH: &str = "/account/notices.js";
/// Where the program is that shows notices. Its scope is what is beside it, of which it answers nothing.
pub(super) const WORKER_PATH: &str = "/account/notices-worker.js";
/// Where it is said what the pages are as an app: an iPhone shows notices of apps on its home screen alone.
pub(super) const APP_PATH: &str = "/account/app.webmanifest";
/// Where one is added, and where it is taken away.
const ADD: &str = "/account/device";
const REMOVE: &str = "/account/device/remove";

const SCRIPT: &str = include_str!("pages/notices.js");
const WORKER: &str = include_str!("pages/notices-worker.js");

/// The part of the account's page. `None` where nobody is told so.
///
/// # Errors
/// The disk failed.
pub(super) fn section(visit: &Visit<'_>, user: &User) -> Answer<Option<ToldRows>> {
    let House { devices: Some(devices), .. } = &visit.login.house else { return Ok(None) };
    let now = visit.env.seconds();
    let mut all = devices.of(visit.tenant, &user.id)?;
    all.sort_by(|a, b| (a.added_at, &a.id).cmp(&(b.added_at, &b.id)));
    let row = |device: super::Device| {
        let added = words::ago(device.added_at, now);
        let about = match device.renew {
            true => format!("Added {added}; turn notices on in it again soon, or it will show none"),
            false => format!("Added {added}"),
        };
        (device.id, words::shown(&device.name), about)
    };
    Ok(Some(ToldRows {
        rows: all.into_iter().map(row).collect(),
        add: visit.form(ADD, &For::Account("")),
        remove: visit.form(REMOVE, &For::Account("")),
        key: devices.key(visit.tenant, &visit.env)?,
        script: visit.path(SCRIPT_PATH),
        worker: visit.path(WORKER_PATH),
        app: visit.path(APP_PATH),
    }))
}

/// Who is signed in and where they are told; without the first, the page where one signs in.
macro_rules! signed_in {
    ($visit:expr) => {
        match $visit.user()? {
            Some(user) => user,
            None => {
                let next = $visit.path_for("/login", &For::Account(""));
                return Ok($visit.redirect(next));
            }
        }
    };
}

fn nobody() -> Refusal {
    Refusal::new(ErrorCode::NotFound, "login.devices", "nobody is told in a browser here")
}

/// A browser is to be told.
///
/// # Errors
/// The form is not ours, what the browser sent is not what browsers send, or there are too many.
pub(super) fn add(visit: &mut Visit<'_>) -> Answer<Reply> {
    let user = signed_in!(visit);
    visit.check_form()?;
    let name = words::device(visit.call.user_agent);
    let field = |name| visit.fields.get(name);
    let (endpoint, p256dh, auth, key) = (field("endpoint"), field("p256dh"), field("auth"), field("key"));
    let new = NewDevice { endpoint, p256dh, auth, key, name: &name };
    visit.login.house.devices.as_ref().ok_or_else(nobody)?.add(visit.tenant, &user.id, new, &visit.env)?;
    let next = visit.path("/account?done=told");
    Ok(visit.redirect(next))
}

/// A browser is to be told no longer.
///
/// # Errors
/// The form is not ours, or there is no such browser.
pub(super) fn remove(visit: &mut Visit<'_>) -> Answer<Reply> {
    let user = signed_in!(visit);
    visit.check_form()?;
    let devices = visit.login.house.devices.as_ref().ok_or_else(nobody)?;
    devices.remove(visit.tenant, &user.id, visit.fields.get("device"), &visit.env)?;
    let next = visit.path("/account?done=untold");
    Ok(visit.redirect(next))
}

/// The script of the page.
pub(super) fn script() -> Reply {
    file("text/javascript; charset=utf-8", SCRIPT.to_owned())
}

/// The program that shows notices.
pub(super) fn worker() -> Reply {
    file("text/javascript; charset=utf-8", WORKER.to_owned())
}

/// What the pages are as an app.
pub(super) fn app(visit: &Visit<'_>) -> Reply {
    let about = json!({
        "name": format!("Approvals of {}", visit.tenant.name()), "short_name": "Approvals",
        "start_url": visit.path("/approvals"), "scope": visit.path("/"), "display": "standalone",
    });
    file("application/manifest+json", about.to_string())
}

/// A file of ours: it loads nothing, and nothing takes it for anything else.
fn file(media: &'static str, body: String) -> Reply {
    let headers = [
        ("content-type", media),
        ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
        ("x-content-type-options", "nosniff"),
        ("cross-origin-resource-policy", "same-origin"),
        ("referrer-policy", "no-referrer"),
        ("cache-control", "no-cache"),
    ];
    let headers = headers.map(|(name, value)| (name, value.to_owned())).to_vec();
    Reply { status: 200, headers, body }
}
