//! The first credential, and the first after all were lost: what an invitation leads to.
//!
//! It is followed by a POST, so that what merely looks at links uses none up. Then the browser has a sealed state that
//! says who may add a credential, for as long as [`ENROLMENT_SECONDS`].

use super::account::{new_password, show_password};
use super::assurance::Method;
use super::browser::PageKind;
use super::factors::{self, Factors};
use super::handles;
use super::limit::Attempt;
use super::pages::{AddPasskeyPage, InvitePage, Notice, PasskeyForm};
use super::passkey::{CEREMONY_SECONDS, PasskeyError, PasskeyRecord, Passkeys, Registration};
use super::sealed::Purpose;
use super::visit::{For, Reply, Visit};
use super::words;
use crate::identity::{Answer, ErrorCode, Held, Refusal, Seconds, User};
use serde::{Deserialize, Serialize};

/// How long somebody who followed a link may take, in seconds.
pub const ENROLMENT_SECONDS: Seconds = 1_800;

/// Who may add a credential.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Enrolment {
    user: String,
}

fn limit(visit: &Visit<'_>) -> Answer<()> {
    let counted = visit.login.limiter.count(Attempt::Begin, visit.tenant.number(), &visit.address_key(), visit.env.now);
    counted.map_err(|limit| {
        let text = "there were too many attempts from your network; try again in a moment";
        let mut refusal = Refusal::new(ErrorCode::SlowDown, "link.rate", text);
        refusal.retry_after_s = Some(limit.retry_seconds);
        refusal
    })
}

/// The page of an invitation. Looking at it changes nothing.
///
/// # Errors
/// The invitation is over, or the disk failed.
pub(super) fn invite_page(visit: &mut Visit<'_>) -> Answer<Reply> {
    limit(visit)?;
    let code = visit.query.get("code").to_owned();
    let user = visit.tenant.invited(&code, &visit.env)?;
    let known = !visit.tenant.credentials(&user.id)?.is_empty();
    let page = InvitePage {
        shell: visit.shell(),
        heading: if known { "Add a way to sign in" } else { "Welcome" },
        account: user.logins.first().map_or(user.display_name(), String::as_str),
        form: visit.form("/invite", &For::Account("")),
        code: &code,
    };
    visit.page(200, PageKind::Stays, &page)
}

/// An invitation is followed.
///
/// # Errors
/// The form is not ours, the invitation is over, or the disk failed.
pub(super) fn follow(visit: &mut Visit<'_>) -> Answer<Reply> {
    visit.check_form()?;
    limit(visit)?;
    let user = visit.tenant.use_invitation(visit.fields.get("code"), &visit.env)?;
    visit.set_step(Purpose::Enrolment, &Enrolment { user: user.id.clone() }, ENROLMENT_SECONDS)?;
    let named = Passkeys::new(visit.tenant.issuer(), visit.tenant.name()).is_some();
    let next = visit.path(if named { "/login/enrol" } else { "/login/enrol/password" });
    Ok(visit.redirect(next))
}

fn enrolment(visit: &Visit<'_>) -> Answer<Held<User>> {
    let enrolment = visit.step::<Enrolment>(Purpose::Enrolment).ok_or_else(|| {
        Refusal::new(ErrorCode::LoginRequired, "enrolment.over", "that took too long; ask for another invitation")
    })?;
    visit.tenant.user(&enrolment.user)
}

fn other(visit: &Visit<'_>, password: bool) -> (String, &'static str) {
    if password {
        return (visit.path("/login/enrol/password"), "Set a password instead");
    }
    match Passkeys::new(visit.tenant.issuer(), visit.tenant.name()) {
        Some(_) => (visit.path("/login/enrol"), "Add a passkey instead"),
        None => (String::new(), ""),
    }
}

/// The page that adds the first passkey.
///
/// # Errors
/// Nobody may, or the disk failed.
pub(super) fn passkey_page(visit: &mut Visit<'_>) -> Answer<Reply> {
    let user = enrolment(visit)?;
    let other = other(visit, true);
    show_passkey(visit, &user, "/login/enrol/passkey", &For::Account(""), None, other)
}

/// The first passkey is to be added.
///
/// # Errors
/// Nobody may, the form is not ours, or the disk failed.
pub(super) fn passkey(visit: &mut Visit<'_>) -> Answer<Reply> {
    visit.check_form()?;
    let user = enrolment(visit)?;
    let before = Factors::of(visit.tenant, &user.id)?;
    if let Err(error) = keep_passkey(visit, &user)? {
        let (notice, other) = (passkey_notice(error), other(visit, true));
        return show_passkey(visit, &user, "/login/enrol/passkey", &For::Account(""), notice, other);
    }
    enrolled(visit, &user, &before, Method::Passkey)
}

/// The page that sets the first password.
///
/// # Errors
/// Nobody may, or the disk failed.
pub(super) fn password_page(visit: &mut Visit<'_>) -> Answer<Reply> {
    let user = enrolment(visit)?;
    let other = other(visit, false);
    show_password(visit, &user, "/login/enrol/password", &For::Account(""), ("", ""), other)
}

/// The first password is to be set.
///
/// # Errors
/// Nobody may, the form is not ours, or the disk failed.
pub(super) fn password(visit: &mut Visit<'_>) -> Answer<Reply> {
    visit.check_form()?;
    let user = enrolment(visit)?;
    let before = Factors::of(visit.tenant, &user.id)?;
    let stored = match new_password(visit, &user)? {
        Ok(stored) => stored,
        Err((error, again_error)) => {
            let (other, wrong) = (other(visit, false), (error.as_str(), again_error));
            return show_password(visit, &user, "/login/enrol/password", &For::Account(""), wrong, other);
        }
    };
    factors::set_password(visit.tenant, &user.id, &stored, &visit.env)?;
    enrolled(visit, &user, &before, Method::Invitation)
}

/// A credential was added. Who has lost the others can have a new beginning: what was there before signs nobody in, and
/// nobody is signed in with it.
fn enrolled(visit: &mut Visit<'_>, user: &User, before: &Factors, method: Method) -> Answer<Reply> {
    if visit.fields.get("reset") == "yes" {
        let left = Factors::of(visit.tenant, &user.id)?;
        for old in before.all().iter().filter(|old| left.all().iter().any(|now| now.id == old.id)) {
            visit.tenant.remove_credential(&user.id, &old.id, &visit.env)?;
        }
        visit.tenant.sign_out_everywhere(&user.id, "account.recovered", &visit.env)?;
        visit.session = None;
    }
    visit.clear_step();
    visit.sign_in(user, method, &For::Account(""))?;
    let next = visit.path("/account?done=added");
    Ok(visit.redirect(next))
}

/// The page that adds a passkey of a user.
///
/// # Errors
/// The disk failed, or there can be none.
pub(super) fn show_passkey(
    visit: &mut Visit<'_>,
    user: &User,
    path: &str,
    what: &For,
    notice: Option<Notice>,
    (other, other_text): (String, &'static str),
) -> Answer<Reply> {
    let Some(passkeys) = Passkeys::new(visit.tenant.issuer(), visit.tenant.name()) else {
        let text = "there can be no passkeys here: the address of this site is a number, and passkeys need a name";
        return Err(Refusal::new(ErrorCode::InvalidRequest, "passkey.site", text));
    };
    let handle = handles::handle_of(visit.tenant, &user.id, &visit.env)?;
    let account = user.logins.first().map_or(user.id.as_str(), String::as_str);
    let begun = passkeys.begin_registration(handle, account, user.display_name(), &held(visit, user)?);
    let (options, begun) = match begun {
        Ok(begun) => begun,
        Err(PasskeyError::Full) => {
            let text = "there are as many passkeys as there can be; remove one first";
            return Err(Refusal::new(ErrorCode::InvalidRequest, "passkey.full", text));
        }
        Err(error) => return Err(Refusal::failed(error.rule(), error.to_string())),
    };
    let state = visit.seal(Purpose::PasskeyRegistration, &(&user.id, begun), CEREMONY_SECONDS)?;
    let label = words::device(visit.call.user_agent);
    let form = visit.form(path, what);
    let status = if notice.is_some() { 422 } else { 200 };
    let passkey = PasskeyForm { form, options, state };
    let reset = path.starts_with("/login/") && !visit.tenant.credentials(&user.id)?.is_empty();
    let page = AddPasskeyPage { shell: visit.shell(), notice, passkey, label: &label, reset, other, other_text };
    let kind = if matches!(what, For::Request(_)) { PageKind::Leads } else { PageKind::Stays };
    visit.page(status, kind, &page)
}

fn held(visit: &Visit<'_>, user: &User) -> Answer<Vec<PasskeyRecord>> {
    let factors = Factors::of(visit.tenant, &user.id)?;
    Ok(factors.passkeys(visit.tenant)?.into_iter().map(|(_, record)| record).collect())
}

/// Keeps the passkey that the form brings, if it is proved.
///
/// # Errors
/// The disk failed.
pub(super) fn keep_passkey(visit: &Visit<'_>, user: &User) -> Answer<Result<(), PasskeyError>> {
    let passkeys = Passkeys::new(visit.tenant.issuer(), visit.tenant.name());
    let begun = visit.open::<(String, Registration)>(Purpose::PasskeyRegistration, visit.fields.get("state"));
    let begun = begun.filter(|(owner, _)| *owner == user.id);
    let (Some(passkeys), Some((_, begun))) = (passkeys, begun) else { return Ok(Err(PasskeyError::Unproved)) };
    match passkeys.finish_registration(visit.fields.get("response"), &begun, &held(visit, user)?) {
        Ok(record) => {
            let label = words::shown(visit.fields.get("label"));
            factors::add_passkey(visit.tenant, &user.id, &label, &record, &visit.env).map(Ok)
        }
        Err(error) => Ok(Err(error)),
    }
}

/// What is said when a passkey was not added.
pub(super) fn passkey_notice(error: PasskeyError) -> Option<Notice> {
    let text = match error {
        PasskeyError::Known => "This device already has a passkey of this account.",
        PasskeyError::NotDiscoverable => "This key cannot keep a passkey. Use another one.",
        PasskeyError::Full => "There are as many passkeys as there can be. Remove one first.",
        PasskeyError::Form
        | PasskeyError::Unproved
        | PasskeyError::Copied
        | PasskeyError::Replayed
        | PasskeyError::Library => "The passkey was not added. Try again.",
    };
    Some(Notice::Bad(text.to_owned()))
}
