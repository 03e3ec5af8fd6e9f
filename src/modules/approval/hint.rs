//! For whom a client asks (CIBA 7.1): exactly one hint, which leads to one person of the tenant.

use super::login_hint::LoginHint;
use crate::identity::{Answer, Client, Env, ErrorCode, Form, Held, Refusal, Tenant, User};

/// Longest hint.
const HINT_BYTES_MAX: usize = 4096;

fn invalid(rule: &'static str, text: &str) -> Refusal {
    Refusal::new(ErrorCode::InvalidRequest, rule, text)
}

fn unknown() -> Refusal {
    Refusal::new(ErrorCode::UnknownUserId, "hint.unknown", "the hint leads to nobody who can be asked")
}

/// The person that the hint of a request leads to.
///
/// # Errors
/// There is none, or more than one; or it leads to nobody.
pub(super) fn hinted(tenant: &Tenant, client: &Client, form: &Form, env: &Env<'_>) -> Answer<Held<User>> {
    let hints = ["login_hint", "login_hint_token", "id_token_hint"].map(|name| (name, form.get(name)));
    let mut given = hints.into_iter().filter_map(|(name, hint)| hint.map(|hint| (name, hint)));
    let (Some((name, hint)), None) = (given.next(), given.next()) else {
        let text = "say for whom with exactly one of `login_hint`, `login_hint_token` and `id_token_hint` (CIBA 7.1)";
        return Err(invalid("hint.count", text));
    };
    if hint.len() > HINT_BYTES_MAX {
        return Err(invalid("hint.form", "the hint is too long"));
    }
    let user = match name {
        "login_hint" => match LoginHint::read(hint, tenant.issuer())? {
            LoginHint::Login(login) => tenant.user_by_login(&login)?,
            LoginHint::Id(id) => found(tenant.user(&id))?,
            LoginHint::Nobody => None,
        },
        "id_token_hint" => found(tenant.user(&tenant.hinted(hint, client, env)?.user))?,
        // CIBA leaves open what one is and who makes it.
        _ => {
            return Err(invalid("hint.token", "`login_hint_token` is not served; use `login_hint` or `id_token_hint`"));
        }
    };
    let user = user.ok_or_else(unknown)?;
    if tenant.is_active(&user.subject())? { Ok(user) } else { Err(unknown().because("inactive")) }
}

/// `None` for nobody; a failure stays one.
fn found(user: Answer<Held<User>>) -> Answer<Option<Held<User>>> {
    match user {
        Err(refusal) if refusal.error == ErrorCode::NotFound => Ok(None),
        other => other.map(Some),
    }
}
