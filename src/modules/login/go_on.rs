//! What a sign-in is for, and what comes next: an application's request, with consent where it is asked, or the account.

use super::assurance::{Level, Method, Need};
use super::browser::PageKind;
use super::factors::Factors;
use super::pages::{ConsentPage, DetailWords, Field, Notice, ResourceWords, ScopeWords};
use super::passkey::Passkeys;
use super::sign_in;
use super::visit::{For, Reply, Visit};
use super::{who_asks, words};
use crate::identity::{
    self, Answer, AuthRequest, ClientKind, CredentialKind, Decided, ErrorCode, Held, OPENID_SCOPES, Refusal,
};

/// What a page of sign-in must know of what it is for.
pub(super) struct AskedFor {
    /// What must be shown.
    pub(super) need: Need,
    /// Whether somebody is signed in and is asked to show it again.
    pub(super) again: bool,
    /// Whether it must be shown now, and not be found again at another provider, whoever is signed in here.
    pub(super) anew: bool,
    /// Who is meant.
    pub(super) login_hint: Option<String>,
    /// What it is for, in words.
    pub(super) lead: String,
}

/// What is asked of who signs in for this.
///
/// # Errors
/// There is no such request, or the disk failed.
pub(super) fn asked_of(visit: &Visit<'_>, what: &For) -> Answer<AskedFor> {
    let session = visit.session.as_ref();
    let For::Request(id) = what else {
        let need = match what {
            For::Account("") | For::Request(_) => Need::default(),
            For::Page(back) => Need { level: back.level, since: 0 },
            For::Account(_) => {
                let factors = session.map(|s| Factors::of(visit.tenant, &s.user)).transpose()?;
                factors.map_or_else(Need::default, |factors| sign_in::need_to_change(visit, &factors))
            }
        };
        let again = session.is_some();
        let lead = match what {
            For::Page(_) | For::Request(_) => "to go on",
            For::Account(_) if again => "to change how you sign in",
            For::Account(_) => "to see your account",
        };
        return Ok(AskedFor { need, again, anew: false, login_hint: None, lead: lead.to_owned() });
    };
    let request = visit.tenant.request(id, &visit.env)?;
    let client = visit.tenant.client(&request.client)?;
    let hinted = request.user_hint.as_ref().map(|user| visit.tenant.user(user)).transpose()?;
    let login_hint = request.login_hint.clone().or_else(|| hinted.and_then(|user| user.logins.first().cloned()));
    let other = request.prompts("select_account")
        || session.is_some_and(|s| request.user_hint.as_ref().is_some_and(|user| *user != s.user));
    let (level, of_details) = (wanted(&request), level_of_details(visit, &request)?);
    Ok(AskedFor {
        need: Need { level: level.max(of_details), since: 0 }, // when it was shown is judged by the request
        again: session.is_some() && !other,
        anew: request.wants_sign_in() || of_details.is_some(),
        login_hint,
        lead: format!("to continue to {}", words::shown(&client.name)),
    })
}

/// What comes next: the page of the account, or for a request the next thing it needs, until the browser goes back to the
/// application.
///
/// # Errors
/// There is no such request, or the disk failed.
pub(super) fn go_on(visit: &mut Visit<'_>, what: &For) -> Answer<Reply> {
    match what {
        For::Account(page) => {
            let next = visit.path(&format!("/account{page}"));
            Ok(visit.redirect(next))
        }
        For::Page(back) => {
            let need = Need { level: back.level, since: 0 };
            if !visit.meets(&need) {
                return more(visit, what, back.level.unwrap_or(Level::One));
            }
            let next = visit.path(back.path());
            Ok(visit.redirect(next))
        }
        For::Request(id) => next_of(visit, what, id, true),
    }
}

/// The page of sign-in, or what comes after it when nothing is to be shown.
///
/// # Errors
/// There is no such request, or the disk failed.
pub(super) fn enter(visit: &mut Visit<'_>) -> Answer<Reply> {
    match visit.what() {
        For::Request(id) => next_of(visit, &For::Request(id.clone()), &id, false),
        // Who must show it now is asked, whoever is signed in.
        For::Page(back) if back.level.is_some() => sign_in::page(visit),
        For::Page(_) | For::Account(_) => {
            let what = visit.what();
            let need = asked_of(visit, &what)?.need;
            if visit.meets(&need) { go_on(visit, &what) } else { sign_in::page(visit) }
        }
    }
}

/// `shown` says that somebody has shown who they are just now.
fn next_of(visit: &mut Visit<'_>, what: &For, id: &str, shown: bool) -> Answer<Reply> {
    let tenant = visit.tenant;
    let request = tenant.request(id, &visit.env)?;
    if request.prompts("none") {
        return silent(visit, &request);
    }
    let Some(session) = visit.session.clone() else { return sign_in::page_with(visit, what, None) };
    let need = tenant.needs(&request, Some(&session), &visit.env)?;
    match need {
        identity::Need::SignIn if shown => {
            let text = if request.user_hint.as_ref().is_some_and(|user| *user != session.user) {
                "The application asks for another account than this one."
            } else {
                "The application asks for a new sign-in, and the other provider told of an old one. Sign in in another way."
            };
            sign_in::page_with(visit, what, Some(Notice::Bad(text.to_owned())))
        }
        identity::Need::SignIn => sign_in::page_with(visit, what, None),
        identity::Need::StepUp(class) => step_up(visit, what, &request, &class),
        identity::Need::Consent => {
            let next = visit.path_for("/login/consent", what);
            Ok(visit.redirect(next))
        }
        identity::Need::Nothing => {
            let next = tenant.complete(&request, &session, &Decided::NotAsked, &visit.env)?;
            Ok(visit.redirect(next))
        }
    }
}

/// Answers a request that asks for no page: with what is there, or with what would be needed (OpenID Connect Core 3.1.2.6).
fn silent(visit: &mut Visit<'_>, request: &Held<AuthRequest>) -> Answer<Reply> {
    let (tenant, session) = (visit.tenant, visit.session.clone());
    let (error, text) = match (tenant.needs(request, session.as_deref(), &visit.env)?, &session) {
        (identity::Need::Nothing, Some(session)) => {
            let next = tenant.complete(request, session, &Decided::NotAsked, &visit.env)?;
            return Ok(visit.redirect(next));
        }
        (identity::Need::SignIn, _) | (_, None) => {
            (ErrorCode::LoginRequired, "the person is not signed in as is asked")
        }
        (identity::Need::StepUp(_), _) => (ErrorCode::InteractionRequired, "the person has to show more"),
        (identity::Need::Consent, _) => (ErrorCode::ConsentRequired, "the person has to decide"),
    };
    let next = tenant.refuse_request(&request.id, error, text, &visit.env)?;
    Ok(visit.redirect(next))
}

/// The level that an application asks for.
fn wanted(request: &AuthRequest) -> Option<Level> {
    Level::wanted(request.acr_values.iter().map(String::as_str))
}

/// The level that the details of a request ask for, when the person's word is needed for one of them.
fn level_of_details(visit: &Visit<'_>, request: &AuthRequest) -> Answer<Option<Level>> {
    Ok(visit.tenant.details_shown_as(&request.details)?.and_then(|shown| Level::of(&shown.acr)))
}

/// More must be shown than was. Who cannot is told how they could; what nobody can, the application is told.
fn step_up(visit: &mut Visit<'_>, what: &For, request: &Held<AuthRequest>, class: &str) -> Answer<Reply> {
    let passkeys = Passkeys::new(visit.tenant.issuer(), visit.tenant.name()).is_some();
    let level = match wanted(request) {
        None if !request.acr_values.is_empty() => None,
        level => level.max(level_of_details(visit, request)?),
    };
    let possible = match level {
        Some(Level::One | Level::Two) => true,
        Some(Level::PhishingResistant) => passkeys,
        None => false,
    };
    let (Some(level), true) = (level, possible) else {
        let text = format!("nobody can be authenticated here as `{}`", words::shown(class));
        let next = visit.tenant.refuse_request(&request.id, ErrorCode::AccessDenied, &text, &visit.env)?;
        return Ok(visit.redirect(next));
    };
    more(visit, what, level)
}

/// More must be shown than was: the page where it is, or how who has nothing that would do comes to something.
fn more(visit: &mut Visit<'_>, what: &For, level: Level) -> Answer<Reply> {
    let passkeys = Passkeys::new(visit.tenant.issuer(), visit.tenant.name()).is_some();
    let Some(user) = visit.user()? else { return sign_in::page_with(visit, what, None) };
    let factors = Factors::of(visit.tenant, &user.id)?;
    let code = factors.has(CredentialKind::Totp)
        && (factors.has(CredentialKind::Password) || factors.has(CredentialKind::Upstream));
    let by_code = level <= Method::PasswordAndCode.level() && code;
    if (passkeys && factors.has(CredentialKind::Passkey)) || by_code {
        return sign_in::page_with(visit, what, None);
    }
    let (button, page) = if passkeys { ("Add a passkey", "/account/passkey") } else { ("Add an app", "/account/totp") };
    let text = match (level, passkeys) {
        (Level::PhishingResistant, _) => {
            "A passkey is asked for here, and your account has none yet. Add one to go on."
        }
        (Level::One | Level::Two, true) => {
            "More than a password is asked for here, and your account has nothing more yet. Add a passkey to go on."
        }
        (Level::One | Level::Two, false) => {
            "More than a password is asked for here, and your account has nothing more yet. Add an authenticator app to go on."
        }
    };
    let href = visit.path_for(page, what);
    visit.message(200, "One more thing", text, (button, href))
}

/// Back to the application, without having signed in.
///
/// # Errors
/// The form is not ours, or there is no such request.
pub(super) fn cancel(visit: &mut Visit<'_>) -> Answer<Reply> {
    visit.check_form()?;
    let For::Request(id) = visit.what() else {
        let next = visit.path("/login");
        return Ok(visit.redirect(next));
    };
    let text = "the person did not sign in";
    let next = visit.tenant.refuse_request(&id, ErrorCode::AccessDenied, text, &visit.env)?;
    Ok(visit.redirect(next))
}

/// The page that asks whether an application may.
///
/// # Errors
/// There is no such request, or the disk failed.
pub(super) fn consent_page(visit: &mut Visit<'_>) -> Answer<Reply> {
    let what = visit.what();
    let (For::Request(id), Some(user)) = (&what, visit.user()?) else {
        let next = visit.path_for("/login", &what);
        return Ok(visit.redirect(next));
    };
    let request = visit.tenant.request(id, &visit.env)?;
    let session = visit.session.clone();
    if visit.tenant.needs(&request, session.as_deref(), &visit.env)? != identity::Need::Consent {
        return next_of(visit, &what, id, false);
    }
    let client = visit.tenant.client(&request.client)?;
    let Some(details) = details(&request) else {
        let text = "the details are too many or too long for a person to see, so nobody can allow them";
        let next = visit.tenant.refuse_request(id, ErrorCode::InvalidAuthorizationDetails, text, &visit.env)?;
        return Ok(visit.redirect(next));
    };
    let name = words::shown(&client.name);
    let agent = (client.kind == ClientKind::Agent).then(|| who_asks::words_of(visit, &client)).transpose()?;
    let (others, more_others) = who_asks::others(visit, &client)?;
    let (destination, verified) = (words::destination(&request.redirect_uri), who_asks::verified_host(&client));
    let page = ConsentPage {
        shell: visit.shell(),
        app: &name,
        account: user.logins.first().map_or(user.display_name(), String::as_str),
        agent,
        others,
        more_others,
        resources: resources(visit, &request)?,
        details,
        offline: request.scopes.iter().any(|scope| scope == "offline_access"),
        destination: &destination,
        verified: &verified,
        form: visit.form("/login/consent", &what),
        account_page: &visit.path("/account"),
    };
    visit.page(200, PageKind::Leads, &page)
}

fn resources(visit: &Visit<'_>, request: &AuthRequest) -> Answer<Vec<ResourceWords>> {
    let mut all = Vec::new();
    let own: Vec<ScopeWords> = request
        .scopes
        .iter()
        .filter_map(|scope| {
            words::standard_scope(scope).map(|text| ScopeWords { name: text.to_owned(), words: text.to_owned() })
        })
        .collect();
    if !own.is_empty() {
        all.push(ResourceWords { title: "About you".to_owned(), place: String::new(), scopes: own });
    }
    for identifier in &request.resources {
        let resource = visit.tenant.resource(identifier)?;
        let title = resource.as_ref().map_or_else(|| words::shown(identifier), |r| words::shown(&r.name));
        let others = request.scopes.iter().filter(|scope| !OPENID_SCOPES.contains(&scope.as_str()));
        let scopes = others.filter_map(|name| {
            let scope = resource.as_ref()?.scope(name)?;
            let said = words::shown(&scope.description);
            Some(ScopeWords {
                name: words::shown(name),
                words: if said.is_empty() { words::shown(name) } else { said },
            })
        });
        all.push(ResourceWords { title, place: words::shown(identifier), scopes: scopes.collect() });
    }
    Ok(all)
}

fn details(request: &AuthRequest) -> Option<Vec<DetailWords>> {
    let one = |detail: &serde_json::Value| {
        let title = words::shown(detail.get("type")?.as_str()?);
        let fields = words::detail_fields(detail)?.into_iter().filter(|(name, _)| name != "type");
        Some(DetailWords { title, fields: fields.map(|(name, value)| Field { name, value }).collect() })
    };
    request.details.iter().map(one).collect()
}

/// Somebody decided.
///
/// # Errors
/// The form is not ours, or there is no such request.
pub(super) fn consent(visit: &mut Visit<'_>) -> Answer<Reply> {
    visit.check_form()?;
    let what = visit.what();
    let (For::Request(id), Some(session)) = (&what, visit.session.clone()) else {
        let next = visit.path_for("/login", &what);
        return Ok(visit.redirect(next));
    };
    let decided = match visit.fields.get("decision") {
        "allow" => Decided::Allowed { scopes: None },
        "refuse" => Decided::Denied,
        _ => {
            let text = "the form says neither yes nor no; go back and choose one";
            return Err(Refusal::new(ErrorCode::InvalidRequest, "consent.form", text));
        }
    };
    let request = visit.tenant.request(id, &visit.env)?;
    let next = visit.tenant.complete(&request, &session, &decided, &visit.env)?;
    Ok(visit.redirect(next))
}
