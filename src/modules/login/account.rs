//! What somebody sees and changes of their own account: ways in, sessions, and what they have allowed.
//!
//! Changing a way in asks for a new authentication, as strong as the account can give.

use super::assurance::Method;
use super::browser::PageKind;
use super::factors::{self, Factors};
use super::pages::{
    AccountPage, ConnectionRow, ConsentRow, CredentialRow, MessagePage, NewPasswordPage, Notice, RecoveryCodesPage,
    SessionRow, TotpPage, Way, qr,
};
use super::passkey::Passkeys;
use super::password::{self, PASSWORD_CHARS_MIN};
use super::sealed::Purpose;
use super::sign_in::{need_to_change, upstream_forms};
use super::totp::{TOTP_SECRET_BYTES, TotpSecret};
use super::visit::{CHANGE, For, Reply, STEP_SECONDS, Visit};
use super::words;
use super::{devices, enrol};
use crate::identity::{Answer, CredentialKind, Held, Refusal, User, decode, encode};
use serde::{Deserialize, Serialize};

/// A secret that is shown, before a code has shown that the app has it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewTotp {
    user: String,
    secret: String,
}

/// Who is signed in, or the page where one signs in.
macro_rules! signed_in {
    ($visit:expr, $page:expr) => {
        match $visit.user()? {
            Some(user) => user,
            None => {
                let next = $visit.path_for("/login", &For::Account($page));
                return Ok($visit.redirect(next));
            }
        }
    };
}

/// Who is signed in, newly and strongly enough to change ways in, or the page where they show it.
macro_rules! confirmed {
    ($visit:expr, $page:expr) => {{
        let user = signed_in!($visit, $page);
        let factors = Factors::of($visit.tenant, &user.id)?;
        if !$visit.meets(&need_to_change($visit, &factors)) {
            let next = $visit.path_for("/login", &For::Account($page));
            return Ok($visit.redirect(next));
        }
        (user, factors)
    }};
}

/// The account.
///
/// # Errors
/// The disk failed.
pub(super) fn page(visit: &mut Visit<'_>) -> Answer<Reply> {
    let user = signed_in!(visit, "");
    let notice = match visit.query.get("done") {
        "added" => Some("It was added."),
        "removed" => Some("It was removed."),
        "confirmed" => Some("Thank you. Now you can take away what you want to."),
        "ended" => Some("It was ended."),
        "withdrawn" => Some("It was withdrawn. Whatever was handed out with it is void."),
        "password" => Some("The password was set."),
        "told" => Some("This browser shows a notice from now on when something waits for you."),
        "untold" => Some("That browser shows no notices any more."),
        _ => None,
    };
    let notice = notice.map(|text| Notice::Good(text.to_owned()));
    let notice = match visit.query.get("not") {
        "last" => Some(Notice::Bad("This is your only way in. Add another before you remove it.".to_owned())),
        _ => notice,
    };
    let factors = Factors::of(visit.tenant, &user.id)?;
    let (credentials, adds) = (credential_rows(visit, &factors)?, ways(visit, &factors));
    let links = upstream_forms(visit, &For::Account(""), "/account/upstream")?;
    let (sessions, consents) = (session_rows(visit, &user)?, consent_rows(visit, &user)?);
    let (connections, broken) = connection_rows(visit, &user)?;
    let again = || {
        let text = format!("{} has to be connected again: agents cannot use it for you.", broken.join(", "));
        (!broken.is_empty()).then_some(Notice::Bad(text))
    };
    let none = For::Account("");
    let form = |path: &str| visit.form(path, &none);
    let page = AccountPage {
        shell: visit.shell(),
        display_name: user.display_name(),
        account: user.logins.first().map_or(user.id.as_str(), String::as_str),
        notice: notice.or_else(again),
        credentials,
        adds,
        links,
        sessions,
        consents,
        connections,
        told: devices::section(visit, &user)?,
        sign_out: form("/logout"),
        end: form("/account/session"),
        everywhere: form("/account/everywhere"),
        withdraw: form("/account/consent"),
        remove: form("/account/credential"),
    };
    let kind = if page.links.is_empty() { PageKind::Stays } else { PageKind::Leads };
    visit.page(200, kind, &page)
}

fn credential_rows(visit: &Visit<'_>, factors: &Factors) -> Answer<Vec<CredentialRow>> {
    let now = visit.env.seconds();
    let row = |held: &Held<crate::identity::Credential>| {
        let mut about = format!("Added {}", words::ago(held.created_at, now));
        if let Some(used_at) = held.used_at {
            about.push_str(&format!(", last used {}", words::ago(used_at, now)));
        }
        if held.kind == CredentialKind::Recovery {
            about.push_str(&format!(", {} left", factors::recovery_codes_left(visit.tenant, held)?));
        }
        let name = words::shown(&held.label);
        let name = if held.kind == CredentialKind::Passkey && name != "Passkey" {
            format!("Passkey “{name}”")
        } else {
            name
        };
        Ok(CredentialRow { id: held.id.clone(), name, about, removable: !factors.is_last_way_in(&held.id) })
    };
    let rank = |kind: CredentialKind| match kind {
        CredentialKind::Passkey => 0,
        CredentialKind::Password => 1,
        CredentialKind::Totp => 2,
        CredentialKind::Recovery => 3,
        CredentialKind::Upstream => 4,
    };
    let mut all: Vec<_> = factors.all().iter().collect();
    all.sort_by_key(|held| (rank(held.kind), held.created_at));
    all.into_iter().map(row).collect()
}

fn ways(visit: &Visit<'_>, factors: &Factors) -> Vec<Way> {
    let mut ways = Vec::new();
    let mut add = |page, text| ways.push(Way { href: visit.path(&format!("/account{page}")), text });
    if Passkeys::new(visit.tenant.issuer(), visit.tenant.name()).is_some() {
        add("/passkey", "Add a passkey");
    }
    let password = factors.has(CredentialKind::Password);
    add("/password", if password { "Change the password" } else { "Set a password" });
    if password && !factors.has(CredentialKind::Totp) {
        add("/totp", "Add an authenticator app");
    }
    if factors.has(CredentialKind::Totp) {
        add("/recovery", "New recovery codes");
    }
    ways
}

fn session_rows(visit: &Visit<'_>, user: &User) -> Answer<Vec<SessionRow>> {
    let (now, own) = (visit.env.seconds(), visit.session.as_ref().map(|s| s.id.as_str()));
    let mut rows = Vec::new();
    for session in visit.tenant.live_sessions(user, &visit.env)? {
        let from = if session.address.is_empty() { String::new() } else { format!(" from {}", session.address) };
        let (began, seen) = (words::ago(session.started_at, now), words::ago(session.seen_at, now));
        rows.push(SessionRow {
            id: session.id.clone(),
            device: words::device(&session.browser),
            about: format!("Signed in {began}{from}, active {seen}"),
            current: Some(session.id.as_str()) == own,
        });
    }
    Ok(rows)
}

/// Accounts at others' APIs, and the names of those that have to be connected again.
fn connection_rows(visit: &Visit<'_>, user: &User) -> Answer<(Vec<ConnectionRow>, Vec<String>)> {
    let Some(connected) = &visit.login.house.connected else { return Ok(Default::default()) };
    let (mut rows, mut broken) = (Vec::new(), Vec::new());
    for account in connected.of(visit.tenant, &user.id)? {
        let name = words::shown(&account.name);
        if account.broken {
            broken.push(name.clone());
        }
        let (about, text) = match (account.connected, account.broken) {
            (_, true) => ("It has to be connected again", "Connect again"),
            (true, false) => ("It is connected", "Look at"),
            (false, false) => ("It is not connected", "Connect"),
        };
        rows.push(ConnectionRow { name, about, href: visit.path(&account.path), text });
    }
    Ok((rows, broken))
}

fn consent_rows(visit: &Visit<'_>, user: &User) -> Answer<Vec<ConsentRow>> {
    let now = visit.env.seconds();
    let mut rows = Vec::new();
    for consent in visit.tenant.consents(&user.id, None)? {
        let name = match visit.tenant.client(&consent.client) {
            Ok(client) => words::shown(&client.name),
            Err(refusal) if refusal.rule == "not_found" => words::shown(&consent.client),
            Err(refusal) => return Err(refusal),
        };
        let said = |scope: &String| words::standard_scope(scope).map_or_else(|| words::shown(scope), ToOwned::to_owned);
        let what: Vec<String> = consent.scopes.iter().map(said).collect();
        let about = format!("{}. Allowed {}.", what.join(" · "), words::ago(consent.changed_at, now));
        rows.push(ConsentRow { id: consent.client.clone(), app: name, about });
    }
    Ok(rows)
}

/// Ends this session.
///
/// # Errors
/// The form is not ours, or the disk failed.
pub(super) fn sign_out(visit: &mut Visit<'_>) -> Answer<Reply> {
    visit.check_form()?;
    visit.sign_out()?;
    let next = visit.path("/logout");
    Ok(visit.redirect(next))
}

/// Asks whether to sign out, or says that nobody is signed in.
///
/// # Errors
/// It cannot be made.
pub(super) fn sign_out_page(visit: &mut Visit<'_>) -> Answer<Reply> {
    if visit.session.is_none() {
        let way = ("Sign in again", visit.path("/login"));
        return visit.message(200, "You are signed out", "You can close this page.", way);
    }
    let form = Some(visit.form("/logout", &For::Account("")));
    let text = "Applications that you use with this sign-in lose their access.";
    let page = MessagePage {
        shell: visit.shell(),
        heading: "Sign out?",
        text,
        form,
        href: String::new(),
        button: "Sign out",
        trace: "",
    };
    visit.page(200, PageKind::Stays, &page)
}

/// Ends another session, or all others.
///
/// # Errors
/// The form is not ours, there is no such session, or the disk failed.
pub(super) fn end_session(visit: &mut Visit<'_>) -> Answer<Reply> {
    let user = signed_in!(visit, "");
    visit.check_form()?;
    let own = visit.session.as_ref().map(|s| s.id.clone()).unwrap_or_default();
    match visit.fields.get("session") {
        "others" => visit.tenant.end_other_sessions(&user.id, &own, "session.ended_by_owner", &visit.env)?,
        id => visit.tenant.end_session(&user.id, id, "session.ended_by_owner", &visit.env)?,
    }
    let next = visit.path("/account?done=ended");
    Ok(visit.redirect(next))
}

/// Ends every session of the person, this one too, and all that was ever handed out for them, with a session or without.
///
/// # Errors
/// The form is not ours, or the disk failed.
pub(super) fn sign_out_everywhere(visit: &mut Visit<'_>) -> Answer<Reply> {
    let user = signed_in!(visit, "");
    visit.check_form()?;
    visit.tenant.sign_out_everywhere(&user.id, "session.ended_by_owner", &visit.env)?;
    visit.sign_out()?;
    let next = visit.path("/logout");
    Ok(visit.redirect(next))
}

/// Takes back what was allowed.
///
/// # Errors
/// The form is not ours, or the disk failed.
pub(super) fn withdraw(visit: &mut Visit<'_>) -> Answer<Reply> {
    let user = signed_in!(visit, "");
    visit.check_form()?;
    visit.tenant.withdraw_consent(&user.id, visit.fields.get("consent"), &visit.env)?;
    let next = visit.path("/account?done=withdrawn");
    Ok(visit.redirect(next))
}

/// Takes a way in away.
///
/// # Errors
/// The form is not ours, there is no such credential, or the disk failed.
pub(super) fn remove(visit: &mut Visit<'_>) -> Answer<Reply> {
    let (user, factors) = confirmed!(visit, CHANGE);
    visit.check_form()?;
    let id = visit.fields.get("credential");
    if factors.is_last_way_in(id) {
        let next = visit.path("/account?not=last");
        return Ok(visit.redirect(next));
    }
    visit.tenant.remove_credential(&user.id, id, &visit.env)?;
    let next = visit.path("/account?done=removed");
    Ok(visit.redirect(next))
}

/// The page that adds a passkey.
///
/// # Errors
/// The disk failed.
pub(super) fn passkey_page(visit: &mut Visit<'_>) -> Answer<Reply> {
    let (user, _) = confirmed!(visit, "/passkey");
    let (what, back) = (visit.what(), visit.path("/account"));
    enrol::show_passkey(visit, &user, "/account/passkey", &what, None, (back, "Back to your account"))
}

/// A passkey is to be added.
///
/// # Errors
/// The form is not ours, or the disk failed.
pub(super) fn passkey(visit: &mut Visit<'_>) -> Answer<Reply> {
    let (user, _) = confirmed!(visit, "/passkey");
    visit.check_form()?;
    let (what, back) = (visit.what(), visit.path("/account"));
    if let Err(error) = enrol::keep_passkey(visit, &user)? {
        let notice = enrol::passkey_notice(error);
        return enrol::show_passkey(visit, &user, "/account/passkey", &what, notice, (back, "Back to your account"));
    }
    // Whoever adds one has used it, verified, in this very browser.
    visit.sign_in(&user, Method::Passkey, &what)?;
    added(visit, &what)
}

fn added(visit: &mut Visit<'_>, what: &For) -> Answer<Reply> {
    match what {
        For::Request(_) | For::Page(_) => super::go_on::go_on(visit, what),
        For::Account(_) => {
            let next = visit.path("/account?done=added");
            Ok(visit.redirect(next))
        }
    }
}

/// The page that sets a password.
///
/// # Errors
/// The disk failed.
pub(super) fn password_page(visit: &mut Visit<'_>) -> Answer<Reply> {
    let (user, _) = confirmed!(visit, "/password");
    let (what, back) = (visit.what(), visit.path("/account"));
    show_password(visit, &user, "/account/password", &what, ("", ""), (back, "Back to your account"))
}

/// The page that sets a password, with what is wrong.
///
/// # Errors
/// It cannot be made.
pub(super) fn show_password(
    visit: &mut Visit<'_>,
    user: &User,
    path: &str,
    what: &For,
    (error, again_error): (&str, &'static str),
    (other, other_text): (String, &'static str),
) -> Answer<Reply> {
    let status = if error.is_empty() && again_error.is_empty() { 200 } else { 422 };
    let page = NewPasswordPage {
        shell: visit.shell(),
        account: user.logins.first().map_or(user.id.as_str(), String::as_str),
        form: visit.form(path, what),
        chars_min: PASSWORD_CHARS_MIN,
        error: error.to_owned(),
        again_error,
        reset: path.starts_with("/login/") && !visit.tenant.credentials(&user.id)?.is_empty(),
        other,
        other_text,
    };
    visit.page(status, PageKind::Stays, &page)
}

/// Judges the password of the form, and hashes it. What is wrong is for the page.
///
/// # Errors
/// It cannot be hashed.
pub(super) fn new_password(visit: &Visit<'_>, user: &User) -> Answer<Result<password::Stored, (String, &'static str)>> {
    let (password, again) = (visit.fields.get("password"), visit.fields.get("again"));
    let mut names: Vec<&str> = user.logins.iter().map(String::as_str).collect();
    names.extend([user.display_name(), visit.tenant.name()]);
    if let Err(error) = password::judge(password, &names) {
        return Ok(Err((error.to_string(), "")));
    }
    if password != again {
        return Ok(Err((String::new(), "This is not the same.")));
    }
    let stored = password::hash(password, &visit.env.bytes(), visit.login.settings.cost);
    stored.map(Ok).map_err(|error| Refusal::failed("password.hash", error.to_string()))
}

/// A password is to be set. Whoever else was signed in with the one before is not any more.
///
/// # Errors
/// The form is not ours, or the disk failed.
pub(super) fn password(visit: &mut Visit<'_>) -> Answer<Reply> {
    let (user, factors) = confirmed!(visit, "/password");
    visit.check_form()?;
    let (what, back) = (visit.what(), visit.path("/account"));
    let stored = match new_password(visit, &user)? {
        Ok(stored) => stored,
        Err((error, again_error)) => {
            let (wrong, other) = ((error.as_str(), again_error), (back, "Back to your account"));
            return show_password(visit, &user, "/account/password", &what, wrong, other);
        }
    };
    factors::set_password(visit.tenant, &user.id, &stored, &visit.env)?;
    if factors.has(CredentialKind::Password) {
        let own = visit.session.as_ref().map(|s| s.id.clone()).unwrap_or_default();
        visit.tenant.end_other_sessions(&user.id, &own, "password.changed", &visit.env)?;
    }
    let next = visit.path("/account?done=password");
    Ok(visit.redirect(next))
}

/// The page that adds an app for one-time passwords.
///
/// # Errors
/// The disk failed.
pub(super) fn totp_page(visit: &mut Visit<'_>) -> Answer<Reply> {
    let (user, _) = confirmed!(visit, "/totp");
    let secret = TotpSecret::new(visit.env.bytes::<TOTP_SECRET_BYTES>());
    show_totp(visit, &user, &secret, "")
}

fn show_totp(visit: &mut Visit<'_>, user: &User, secret: &TotpSecret, error: &'static str) -> Answer<Reply> {
    let what = visit.what();
    let state = NewTotp { user: user.id.clone(), secret: encode(secret.bytes()) };
    let state = visit.seal(Purpose::TotpSetup, &state, STEP_SECONDS)?;
    let account = user.logins.first().map_or(user.id.as_str(), String::as_str);
    let (uri, text) = (secret.uri(visit.tenant.name(), account), secret.text());
    let page = TotpPage {
        shell: visit.shell(),
        qr: qr(&uri),
        uri: &uri,
        secret: &text,
        state,
        form: visit.form("/account/totp", &what),
        error,
        account_page: visit.path("/account"),
    };
    let kind = if matches!(what, For::Request(_)) { PageKind::Leads } else { PageKind::Stays };
    visit.page(if error.is_empty() { 200 } else { 422 }, kind, &page)
}

/// An app is to be added, with its first code. The recovery codes are shown, once.
///
/// # Errors
/// The form is not ours, or the disk failed.
pub(super) fn totp(visit: &mut Visit<'_>) -> Answer<Reply> {
    let (user, factors) = confirmed!(visit, "/totp");
    visit.check_form()?;
    let what = visit.what();
    let state = visit.open::<NewTotp>(Purpose::TotpSetup, visit.fields.get("state")).filter(|s| s.user == user.id);
    let secret = state.and_then(|state| decode(&state.secret)).and_then(|bytes| bytes.try_into().ok());
    let Some(secret) = secret.map(TotpSecret::new) else {
        let next = visit.path_for("/account/totp", &what); // it took too long: another secret
        return Ok(visit.redirect(next));
    };
    let last = factors::last_totp_step(visit.tenant, &factors, &secret)?;
    let Some(step) = secret.check(visit.fields.get("code"), visit.env.seconds(), last) else {
        return show_totp(visit, &user, &secret, "This code is not right. Is the clock of the device set?");
    };
    factors::add_totp(visit.tenant, &user.id, &secret, step, &visit.env)?;
    if visit.session.as_ref().is_some_and(|s| s.authentication.amr.iter().any(|amr| amr == "pwd")) {
        visit.sign_in(&user, Method::PasswordAndCode, &what)?;
    }
    show_recovery_codes(visit, &user, &what)
}

fn show_recovery_codes(visit: &mut Visit<'_>, user: &User, what: &For) -> Answer<Reply> {
    let codes = factors::make_recovery_codes(visit.tenant, &user.id, &visit.env)?;
    let codes: Vec<String> = codes.iter().map(|code| code.to_string()).collect();
    let account_page = match what {
        For::Request(_) | For::Page(_) => visit.path_for("/login", what),
        For::Account(_) => visit.path("/account?done=added"),
    };
    let page = RecoveryCodesPage { shell: visit.shell(), codes: &codes, account_page };
    visit.page(200, PageKind::Stays, &page)
}

/// The page that makes new recovery codes.
///
/// # Errors
/// The disk failed.
pub(super) fn recovery_page(visit: &mut Visit<'_>) -> Answer<Reply> {
    let _ = confirmed!(visit, "/recovery");
    let form = Some(visit.form("/account/recovery", &For::Account("/recovery")));
    let text = "They stand for the codes of your app when you do not have it. Those that you have now will be void.";
    let page = MessagePage {
        shell: visit.shell(),
        heading: "New recovery codes",
        text,
        form,
        href: String::new(),
        button: "Make new codes",
        trace: "",
    };
    visit.page(200, PageKind::Stays, &page)
}

/// New recovery codes are to be made. They are shown, once.
///
/// # Errors
/// The form is not ours, or the disk failed.
pub(super) fn recovery(visit: &mut Visit<'_>) -> Answer<Reply> {
    let (user, factors) = confirmed!(visit, "/recovery");
    visit.check_form()?;
    if !factors.has(CredentialKind::Totp) {
        let next = visit.path("/account/totp");
        return Ok(visit.redirect(next));
    }
    show_recovery_codes(visit, &user, &For::Account(""))
}
