//! Signing in: by passkey, by password, with a code where there is one. What it leads to is in `go_on.rs`.

use super::assurance::{Method, Need};
use super::browser::PageKind;
use super::factors::{self, Factors, Unused};
use super::go_on::{asked_of, go_on};
use super::limit::Attempt;
use super::pages::{CodePage, Notice, PasskeyForm, PasswordForm, SignInPage, UpstreamForm};
use super::passkey::{CEREMONY_SECONDS, Claim, PasskeyError, Passkeys, SignIn};
use super::password::{self, Checked, SALT_BYTES, Stored};
use super::sealed::Purpose;
use super::upstream::{self, Provider};
use super::visit::{For, Reply, STEP_SECONDS, Visit};
use super::words;
use crate::identity::{Answer, CredentialKind, Held, Limited, Refusal, Seconds, User};
use serde::{Deserialize, Serialize};

/// The status of a form that is shown again because something in it is wrong (RFC 9110, 15.5.21).
const WRONG: u16 = 422;
/// That of one that comes too often (RFC 6585, 4).
const TOO_MANY: u16 = 429;

/// Who has shown the first factor.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FirstFactor {
    user: String,
    what: String,
    /// Whether another provider vouched for it; else it was a password.
    upstream: bool,
    /// When it was shown.
    at: Seconds,
}

/// What is shown beside the forms.
#[derive(Default)]
struct Shown<'a> {
    status: u16,
    name: &'a str,
    error: &'a str,
    notice: Option<Notice>,
    retry_after: Option<u32>,
}

/// The page where one signs in.
///
/// # Errors
/// The disk failed, or there is no such request.
pub(super) fn page(visit: &mut Visit<'_>) -> Answer<Reply> {
    let what = visit.what();
    sign_in_page(visit, &what, Shown { status: 200, ..Shown::default() })
}

/// The same, with something to say.
///
/// # Errors
/// As [`page`].
pub(super) fn page_with(visit: &mut Visit<'_>, what: &For, notice: Option<Notice>) -> Answer<Reply> {
    sign_in_page(visit, what, Shown { status: 200, notice, ..Shown::default() })
}

fn sign_in_page(visit: &mut Visit<'_>, what: &For, shown: Shown<'_>) -> Answer<Reply> {
    let asked = asked_of(visit, what)?;
    let user = visit.user()?;
    let passkeys = Passkeys::new(visit.tenant.issuer(), visit.tenant.name());
    let passkey = match &passkeys {
        Some(passkeys) => Some(passkey_form(visit, passkeys, what)?),
        None => None,
    };
    let known = asked.login_hint.as_deref().filter(|hint| hint.len() <= 256);
    let (name, fixed) = match (&user, shown.name, known) {
        // Who confirms that it is them cannot be somebody else.
        (Some(user), _, _) if asked.again => (user.logins.first().map(String::as_str).unwrap_or_default(), true),
        (_, "", Some(hint)) => (hint, false),
        (_, name, _) => (name, false),
    };
    let enough = asked.need.would_meet(Method::PasswordAndCode);
    let password = (enough || passkey.is_none()).then(|| PasswordForm {
        form: visit.form("/login/password", what),
        name,
        fixed,
        error: shown.error,
        button: if passkey.is_some() { "Continue with a password" } else { "Continue" },
    });
    let upstreams = if enough { upstream_forms(visit, what, "/login/upstream")? } else { Vec::new() };
    let cancel = matches!(what, For::Request(_)).then(|| visit.form("/login/cancel", what));
    let page = SignInPage {
        shell: visit.shell(),
        heading: if asked.again { "Confirm that it is you" } else { "Sign in" },
        lead: asked.lead,
        notice: shown.notice,
        passkey,
        password,
        upstreams,
        cancel,
    };
    let leads = matches!(what, For::Request(_)) || !page.upstreams.is_empty();
    let kind = if leads { PageKind::Leads } else { PageKind::Stays };
    let mut reply = visit.page(shown.status, kind, &page)?;
    reply.headers.extend(shown.retry_after.map(|seconds| ("retry-after", seconds.to_string())));
    Ok(reply)
}

/// A form for each other provider, sent to `path`.
///
/// # Errors
/// The disk failed.
pub(super) fn upstream_forms(visit: &Visit<'_>, what: &For, path: &str) -> Answer<Vec<UpstreamForm>> {
    let providers = upstream::providers(visit.tenant)?;
    let form = |provider: &Provider| UpstreamForm {
        form: visit.form(path, what),
        id: provider.id.clone(),
        name: words::shown(&provider.name),
    };
    Ok(providers.iter().map(|provider| form(provider)).collect())
}

fn passkey_form(visit: &Visit<'_>, passkeys: &Passkeys, what: &For) -> Answer<PasskeyForm> {
    let failed = |error: PasskeyError| Refusal::failed(error.rule(), error.to_string());
    let (options, begun) = passkeys.begin_sign_in(visit.env.seconds()).map_err(failed)?;
    let state = visit.seal(Purpose::PasskeySignIn, &begun, CEREMONY_SECONDS)?;
    Ok(PasskeyForm { form: visit.form("/login/passkey", what), options, state })
}

fn limited<'a>(limit: Limited, name: &'a str, text: &'a mut String) -> Shown<'a> {
    *text = format!("Too many attempts. Try again in {}.", words::left(u64::from(limit.retry_seconds)));
    let retry_after = Some(limit.retry_seconds);
    Shown { status: TOO_MANY, name, error: text, notice: None, retry_after }
}

/// A name and a password were sent. It takes as long whether there is such an account or not.
///
/// # Errors
/// The form is not ours, or the disk failed.
pub(super) fn password(visit: &mut Visit<'_>) -> Answer<Reply> {
    visit.check_form()?;
    let what = visit.what();
    let (name, password) = (visit.fields.get("name").trim().to_owned(), visit.fields.get("password").to_owned());
    let password = zeroize::Zeroizing::new(password);
    let (limiter, tenant, now) = (&visit.login.limiter, visit.tenant.number(), visit.env.now);
    let key = name.to_lowercase();
    let address = visit.address_key();
    let counted = limiter
        .count(Attempt::Address, tenant, &address, now)
        .and_then(|()| limiter.count(Attempt::Password, tenant, &key, now));
    if let Err(limit) = counted {
        let mut text = String::new();
        return sign_in_page(visit, &what, limited(limit, &name, &mut text));
    }
    let user = user_of(visit, &name)?;
    let factors = user.as_ref().map(|user| Factors::of(visit.tenant, &user.id)).transpose()?;
    let stored = factors.as_ref().map(|factors| factors.password(visit.tenant)).transpose()?.flatten();
    let cost = visit.login.settings.cost;
    let failed = |error: password::PasswordError| Refusal::failed("password.hash", error.to_string());
    let checked = password::check(&password, &stored.unwrap_or_else(|| Stored::nobody(cost)), cost).map_err(failed)?;
    let (Checked::Right { cheap }, Some(user), Some(factors)) = (checked, user.as_ref(), factors) else {
        visit.failed(user.as_deref(), "password.wrong")?;
        let error = "The name or the password is not right.";
        return sign_in_page(visit, &what, Shown { status: WRONG, name: &name, error, ..Shown::default() });
    };
    visit.login.limiter.forgive(Attempt::Address, tenant, &address);
    visit.login.limiter.forgive(Attempt::Password, tenant, &key);
    let dearer = cheap.then(|| password::hash(&password, &visit.env.bytes::<SALT_BYTES>(), cost)).transpose();
    factors::used_password(visit.tenant, &factors, dearer.map_err(failed)?.as_ref(), &visit.env)?;
    if factors.has(CredentialKind::Totp) {
        return ask_code(visit, user, &what, Method::PasswordAndCode, visit.env.seconds());
    }
    signed_in(visit, user, Method::Password, &factors, &what)
}

/// The first factor was right; what comes to `method` with a code is sent to the page that asks for it.
///
/// # Errors
/// The state is too long.
pub(super) fn ask_code(visit: &mut Visit<'_>, user: &User, what: &For, method: Method, at: Seconds) -> Answer<Reply> {
    let upstream = method == Method::UpstreamAndCode;
    let first = FirstFactor { user: user.id.clone(), what: what.text().to_owned(), upstream, at };
    visit.set_step(Purpose::SecondFactor, &first, STEP_SECONDS)?;
    let next = visit.path_for("/login/code", what);
    Ok(visit.redirect(next))
}

fn user_of(visit: &Visit<'_>, name: &str) -> Answer<Option<Held<User>>> {
    match visit.tenant.user_by_login(name) {
        Err(refusal) if refusal.rule == "not_found" => Ok(None),
        found => found,
    }
}

/// Somebody has shown who they are; whether it is enough is another question.
fn signed_in(visit: &mut Visit<'_>, user: &User, method: Method, factors: &Factors, what: &For) -> Answer<Reply> {
    let need = asked_of(visit, what)?.need;
    if !need.would_meet(method) && factors.has(CredentialKind::Passkey) {
        let notice = Notice::Bad("A password is not enough here. Use a passkey of your account.".to_owned());
        return page_with(visit, what, Some(notice));
    }
    visit.sign_in(user, method, what)?;
    go_on(visit, what)
}

/// The page for the second factor.
///
/// # Errors
/// The disk failed.
pub(super) fn code_page(visit: &mut Visit<'_>) -> Answer<Reply> {
    let recovery = visit.query.get("recovery") == "yes";
    show_code(visit, recovery, 200, "")
}

fn show_code(visit: &mut Visit<'_>, recovery: bool, status: u16, error: &str) -> Answer<Reply> {
    let what = visit.what();
    let Some(first) = visit.step::<FirstFactor>(Purpose::SecondFactor).filter(|first| first.what == what.text()) else {
        let notice = Notice::Bad("That took too long. Please begin again.".to_owned());
        return page_with(visit, &what, Some(notice));
    };
    let user = visit.tenant.user(&first.user)?;
    let path = if recovery { "/login/recovery" } else { "/login/code" };
    let (code, again) = (visit.path_for("/login/code", &what), visit.path_for("/login", &what));
    let other =
        if recovery { code } else { format!("{code}{}recovery=yes", if code.contains('?') { '&' } else { '?' }) };
    let account = user.logins.first().map_or(user.display_name(), String::as_str);
    let form = visit.form(path, &what);
    let page = CodePage { shell: visit.shell(), account, recovery, form, error, other, again };
    let kind = if matches!(what, For::Request(_)) { PageKind::Leads } else { PageKind::Stays };
    visit.page(status, kind, &page)
}

/// A second factor was sent: a code of an app, or a recovery code.
///
/// # Errors
/// The form is not ours, or the disk failed.
pub(super) fn code(visit: &mut Visit<'_>, recovery: bool) -> Answer<Reply> {
    visit.check_form()?;
    let what = visit.what();
    let Some(first) = visit.step::<FirstFactor>(Purpose::SecondFactor).filter(|first| first.what == what.text()) else {
        return show_code(visit, recovery, WRONG, ""); // says that it took too long
    };
    let (tenant, code) = (visit.tenant, visit.fields.get("code").to_owned());
    if let Err(limit) = visit.login.limiter.count(Attempt::Code, tenant.number(), &first.user, visit.env.now) {
        let wait = words::left(u64::from(limit.retry_seconds));
        let mut reply = show_code(visit, recovery, TOO_MANY, &format!("Too many attempts. Try again in {wait}."))?;
        reply.headers.push(("retry-after", limit.retry_seconds.to_string()));
        return Ok(reply);
    }
    let user = tenant.user(&first.user)?;
    let good = if recovery {
        factors::use_recovery_code(tenant, &user.id, &code, &visit.env)?
    } else {
        factors::use_totp(tenant, &user.id, &code, &visit.env)?
    };
    if !good {
        visit.failed(Some(&user), if recovery { "recovery.wrong" } else { "totp.wrong" })?;
        let error = if recovery {
            "This is none of your recovery codes, or it was used."
        } else {
            "This code is not right, or it was used. Wait for the next one."
        };
        return show_code(visit, recovery, WRONG, error);
    }
    visit.login.limiter.forgive(Attempt::Code, tenant.number(), &user.id);
    let factors = Factors::of(tenant, &user.id)?;
    if first.upstream {
        visit.sign_in_at(&user, Method::UpstreamAndCode, first.at, &what)?;
        return go_on(visit, &what);
    }
    signed_in(visit, &user, Method::PasswordAndCode, &factors, &what)
}

/// A passkey has answered.
///
/// # Errors
/// The form is not ours, or the disk failed.
pub(super) fn passkey(visit: &mut Visit<'_>) -> Answer<Reply> {
    visit.check_form()?;
    let what = visit.what();
    let (tenant, address) = (visit.tenant, visit.address_key());
    if let Err(limit) = visit.login.limiter.count(Attempt::Address, tenant.number(), &address, visit.env.now) {
        let mut text = String::new();
        let mut shown = limited(limit, "", &mut text);
        shown.notice = Some(Notice::Bad(shown.error.to_owned()));
        shown.error = "";
        return sign_in_page(visit, &what, shown);
    }
    let used = use_passkey(visit)?;
    let user = match used {
        Ok(user) => user,
        Err(Unused { error, user }) => {
            visit.failed(user.as_deref(), error.rule())?;
            let text = match error {
                PasskeyError::Copied => {
                    "This passkey was refused: there may be a copy of it. Sign in in another way and remove it."
                }
                PasskeyError::Full => "This passkey was used very often just now. Wait a few minutes.",
                PasskeyError::Replayed => "This attempt was used already. Try again.",
                PasskeyError::Form
                | PasskeyError::Unproved
                | PasskeyError::Known
                | PasskeyError::NotDiscoverable
                | PasskeyError::Library => "This passkey is not known here, or it took too long. Try again.",
            };
            let notice = Some(Notice::Bad(text.to_owned()));
            return sign_in_page(visit, &what, Shown { status: WRONG, notice, ..Shown::default() });
        }
    };
    visit.login.limiter.forgive(Attempt::Address, tenant.number(), &address);
    if let (false, Some(session)) = (matches!(what, For::Request(_)), &visit.session)
        && session.user != user.id
    {
        let notice = Notice::Bad("This passkey is another account's.".to_owned());
        return page_with(visit, &what, Some(notice));
    }
    visit.sign_in(&user, Method::Passkey, &what)?;
    go_on(visit, &what)
}

fn use_passkey(visit: &Visit<'_>) -> Answer<Result<Held<User>, Unused>> {
    let passkeys = Passkeys::new(visit.tenant.issuer(), visit.tenant.name());
    let begun = visit.open::<SignIn>(Purpose::PasskeySignIn, visit.fields.get("state"));
    let unused = |error| Ok(Err(Unused { error, user: None }));
    let (Some(passkeys), Some(begun)) = (passkeys, begun) else { return unused(PasskeyError::Unproved) };
    match Claim::read(visit.fields.get("response")) {
        Ok(claim) => factors::use_passkey(visit.tenant, &passkeys, &claim, begun, &visit.env),
        Err(error) => unused(error),
    }
}

/// Whether a session does for a page of the account that changes ways in: it must be new, and as strong as can be shown.
pub(super) fn need_to_change(visit: &Visit<'_>, factors: &Factors) -> Need {
    let second = factors.has(CredentialKind::Totp) || factors.has(CredentialKind::Passkey);
    Need {
        level: second.then_some(super::assurance::Level::Two),
        since: visit.env.seconds().saturating_sub(super::visit::FRESH_SECONDS),
    }
}
