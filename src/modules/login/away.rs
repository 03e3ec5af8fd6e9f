//! A browser that goes to another provider, and comes back.

use super::assurance::Method;
use super::factors::Factors;
use super::go_on::{asked_of, go_on};
use super::limit::Attempt;
use super::pages::Notice;
use super::sealed::Purpose;
use super::sign_in::{self, need_to_change};
use super::upstream::{self, Away, Returned};
use super::visit::{CHANGE, For, Reply, STEP_SECONDS, Visit};
use crate::identity::{Answer, CredentialKind, ErrorCode, Refusal, UpstreamIdentity};

/// The browser goes to a provider, to sign in here.
///
/// # Errors
/// The form is not ours, or the provider is not to be had.
pub(super) fn leave(visit: &mut Visit<'_>) -> Answer<Reply> {
    visit.check_form()?;
    let what = visit.what();
    let asked = asked_of(visit, &what)?;
    go(visit, &what, None, asked.again || asked.anew)
}

/// The browser goes to a provider, to link an account there with this one.
///
/// # Errors
/// The form is not ours, or the provider is not to be had.
pub(super) fn leave_to_link(visit: &mut Visit<'_>) -> Answer<Reply> {
    visit.check_form()?;
    let Some(user) = visit.user()? else {
        let next = visit.path_for("/login", &For::Account(CHANGE));
        return Ok(visit.redirect(next));
    };
    if !visit.meets(&need_to_change(visit, &Factors::of(visit.tenant, &user.id)?)) {
        let next = visit.path_for("/login", &For::Account(CHANGE));
        return Ok(visit.redirect(next));
    }
    go(visit, &For::Account(""), Some(user.id.as_str()), false)
}

fn go(visit: &mut Visit<'_>, what: &For, link: Option<&str>, again: bool) -> Answer<Reply> {
    let key = visit.address_key();
    if let Err(limit) = visit.login.limiter.count(Attempt::Begin, visit.tenant.number(), &key, visit.env.now) {
        let text = "there were too many attempts from your network; try again in a moment";
        let refusal = Refusal::new(ErrorCode::SlowDown, "upstream.rate", text);
        return Err(Refusal { retry_after_s: Some(limit.retry_seconds), ..refusal });
    }
    let (login, provider) = (visit.login, visit.fields.get("provider").to_owned());
    let meant = (what.text(), link, again);
    let (url, away) = upstream::begin(visit.tenant, &*login.outside, &provider, meant, &visit.env)?;
    visit.set_step(Purpose::Upstream, &away, STEP_SECONDS)?;
    Ok(visit.redirect(url))
}

/// The browser comes back.
///
/// # Errors
/// The disk failed.
pub(super) fn back(visit: &mut Visit<'_>) -> Answer<Reply> {
    let Some(away) = visit.step::<Away>(Purpose::Upstream) else {
        let text = "that took too long, or began in another browser; begin again";
        return Err(Refusal::new(ErrorCode::InvalidRequest, "upstream.step", text));
    };
    visit.clear_step();
    let login = visit.login;
    let query = &visit.query;
    let returned = Returned {
        state: query.get("state"),
        code: query.get("code"),
        error: query.get("error"),
        iss: query.get("iss"),
    };
    let what = For::read(&away.what);
    let known = match upstream::finish(visit.tenant, &*login.outside, &away, &returned, &visit.env) {
        Ok(known) => known,
        Err(refusal) if refusal.error == ErrorCode::AccessDenied => {
            visit.failed(None, refusal.rule)?;
            tracing::info!(rule = refusal.rule, cause = refusal.cause, "a sign-in with another provider was refused");
            let text = super::words::sentence(&refusal.description);
            return sign_in::page_with(visit, &what, Some(Notice::Bad(text)));
        }
        Err(refusal) => return Err(refusal),
    };
    if let Some(user) = &away.link {
        return link(visit, user, known);
    }
    let Some(user) = visit.tenant.user_by_upstream(&known.issuer, &known.subject)? else {
        visit.failed(None, "upstream.unlinked")?;
        let text = format!(
            "No account here is linked with that account at {}. Sign in in another way, and link it on your account.",
            super::words::shown(&known.name)
        );
        return sign_in::page_with(visit, &what, Some(Notice::Bad(text)));
    };
    visit.tenant.use_upstream(&user.id, &known.issuer, &known.subject, &visit.env)?;
    let factors = Factors::of(visit.tenant, &user.id)?;
    if factors.has(CredentialKind::Totp) {
        return sign_in::ask_code(visit, &user, &what, Method::UpstreamAndCode, known.at);
    }
    visit.sign_in_at(&user, Method::Upstream, known.at, &what)?;
    go_on(visit, &what)
}

/// Links the account with what was shown, if they are still who they were.
fn link(visit: &mut Visit<'_>, user: &str, known: upstream::Known) -> Answer<Reply> {
    let still = visit.session.as_ref().is_some_and(|session| session.user == user);
    let factors = Factors::of(visit.tenant, user)?;
    if !still || !visit.meets(&need_to_change(visit, &factors)) {
        let next = visit.path_for("/login", &For::Account(CHANGE));
        return Ok(visit.redirect(next));
    }
    let identity = UpstreamIdentity { issuer: known.issuer, subject: known.subject, provider: Some(known.provider) };
    let data = serde_json::to_vec(&identity).map_err(|error| Refusal::failed("upstream.form", error.to_string()))?;
    visit.tenant.add_credential(user, CredentialKind::Upstream, &known.name, &data, &visit.env)?;
    let next = visit.path("/account?done=added");
    Ok(visit.redirect(next))
}
