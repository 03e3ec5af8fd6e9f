//! What a revocation does: all that was ever handed out for one person is void, in one write with who asked for it. Who may mean
//! whom is here too: an administrator anybody, an issuer its own people alone.

use super::asker::{Naming, Said};
use super::records::{Handled, Used};
use super::subject::SubjectId;
use crate::identity::{
    Answer, Cause, Change, Env, ErrorCode, Event, EventKind, Held, Outcome, Refusal, SKEW_S, Seconds, Tenant, User,
    again, check_id, hash_of,
};
use serde_json::Value;

/// How long it is remembered that a cause was acted on, in seconds: longer than anybody tells of it.
pub(super) const HANDLED_S: Seconds = 24 * 3_600;
/// The rule of a refusal to do what cannot be done for who asks (422).
pub(super) const CANNOT: &str = "revocation.naming";

/// Who asks.
#[derive(Clone, Debug)]
pub(super) enum Asker {
    /// An administrator of the tenant, by Check; the [`Env`] says who.
    Administrator,
    /// An issuer.
    Issuer(Box<Said>),
}

/// The user of a lookup for which that there is none is no error.
fn found(user: Answer<Option<Held<User>>>) -> Answer<Option<Held<User>>> {
    match user {
        Err(refusal) if refusal.error == ErrorCode::NotFound => Ok(None),
        other => other,
    }
}

/// The user of an id.
fn of_id(tenant: &Tenant, id: &str) -> Answer<Option<Held<User>>> {
    if check_id(id).is_err() {
        return Ok(None);
    }
    found(tenant.user(id).map(Some))
}

/// Who is linked with what an issuer calls them.
fn linked(tenant: &Tenant, issuer: &str, subject: &str) -> Answer<Option<Held<User>>> {
    found(tenant.user_by_upstream(issuer, subject))
}

/// Whoever an administrator means.
fn anybody(tenant: &Tenant, subject: &SubjectId) -> Answer<Option<Held<User>>> {
    match subject {
        SubjectId::Email { email } => found(tenant.user_by_login(email)),
        SubjectId::IssSub { iss, sub } if iss == tenant.issuer() => of_id(tenant, sub),
        SubjectId::IssSub { iss, sub } => linked(tenant, iss, sub),
        SubjectId::Opaque { id } => of_id(tenant, id),
    }
}

/// Whom an issuer means, of those whom it may name at all.
fn of_issuer(tenant: &Tenant, said: &Said, subject: &SubjectId) -> Answer<Option<Held<User>>> {
    let trusted = &said.trusted;
    let may = |naming| trusted.names.contains(&naming);
    let cannot = |text: &str| Refusal::new(ErrorCode::InvalidRequest, CANNOT, text);
    let (theirs, ours) = match subject {
        SubjectId::Email { email } if may(Naming::Email) => return by_email(tenant, email),
        SubjectId::Email { .. } => {
            return Err(cannot(
                "this issuer is not the one to say here whose an address is; name the person by `iss_sub`",
            ));
        }
        SubjectId::IssSub { iss, sub } if *iss == trusted.issuer => (Some(sub), None),
        SubjectId::IssSub { iss, sub } if iss == tenant.issuer() && may(Naming::Ours) => (None, Some(sub)),
        SubjectId::IssSub { .. } => {
            let text = "an issuer revokes what its own people have, and not those of another";
            return Err(Refusal::new(ErrorCode::AccessDenied, "revocation.other_issuer", text));
        }
        SubjectId::Opaque { id } => (Some(id), Some(id)),
    };
    let mut known = false;
    for (naming, name) in [(Naming::Linked, theirs), (Naming::Same, theirs), (Naming::Ours, ours)] {
        let Some(name) = name.filter(|_| may(naming)) else { continue };
        known = true;
        let user = match naming {
            Naming::Linked => linked(tenant, &trusted.issuer, name)?,
            Naming::Same | Naming::Ours | Naming::Email => of_id(tenant, name)?,
        };
        if user.is_some() {
            return Ok(user);
        }
    }
    if known { Ok(None) } else { Err(cannot("this issuer cannot name people in this way here")) }
}

/// Whose an address is that is known here to be theirs.
fn by_email(tenant: &Tenant, email: &str) -> Answer<Option<Held<User>>> {
    let normal = |text: &str| text.trim().to_lowercase();
    let theirs = |user: &Held<User>| {
        user.claims.get("email_verified") == Some(&Value::Bool(true))
            && user.claims.get("email").and_then(Value::as_str).is_some_and(|own| normal(own) == normal(email))
    };
    Ok(found(tenant.user_by_login(email))?.filter(theirs))
}

/// Makes void all that a person has. What an issuer shows is used up with it.
///
/// # Errors
/// There is no such person, or not of this issuer; what it showed was used before; or the disk failed.
pub(super) fn revoke(tenant: &Tenant, asker: &Asker, subject: &SubjectId, env: &Env<'_>) -> Answer<()> {
    again(|| {
        let user = match asker {
            Asker::Administrator => anybody(tenant, subject)?,
            Asker::Issuer(said) => of_issuer(tenant, said, subject)?,
        };
        let user = user.ok_or_else(|| Refusal::not_found("user"))?;
        let mut change = tenant.change(env);
        let mut cause = Cause::default();
        if let Asker::Issuer(said) = asker {
            use_up(tenant, &mut change, said, env)?;
            if !begin(tenant, &mut change, said, &user.id, env)? {
                return Ok(());
            }
            cause = Cause { id: said.cause.as_deref(), from: Some(&said.trusted.issuer) };
        }
        tenant.add_sign_out(&mut change, &user, ("revocation", cause), env);
        change.event(&asked(tenant, asker, Outcome::Done, env).user(user.subject()).detail("format", subject.format()));
        change.commit()?;
        Ok(())
    })
}

/// Adds to a change that what an issuer showed was used.
fn use_up(tenant: &Tenant, change: &mut Change<'_>, said: &Said, env: &Env<'_>) -> Answer<()> {
    let parts = [&*hash_of(&said.trusted.issuer), &*hash_of(&said.jti)];
    if tenant.get::<Used>(&parts)?.is_some() {
        let text = "this token was used before; sign another";
        return Err(Refusal::new(ErrorCode::InvalidToken, "revocation.replayed", text));
    }
    change.create(&parts, &Used { at: env.seconds() });
    change.expires::<Used>(&parts, said.expires_at.saturating_add(SKEW_S), None);
    Ok(())
}

/// Adds to a change that the cause is acted on; answers whether it was not before.
fn begin(tenant: &Tenant, change: &mut Change<'_>, said: &Said, user: &str, env: &Env<'_>) -> Answer<bool> {
    let Some(cause) = &said.cause else { return Ok(true) };
    let part = hash_of(cause);
    if tenant.get::<Handled>(&[user, &part])?.is_some() {
        return Ok(false);
    }
    change.create(&[user, &part], &Handled { at: env.seconds() });
    change.expires::<Handled>(&[user, &part], env.seconds().saturating_add(HANDLED_S), None);
    Ok(true)
}

/// The event of what was asked for. Who administers is added where the change is made.
pub(super) fn asked(tenant: &Tenant, asker: &Asker, outcome: Outcome, env: &Env<'_>) -> Event {
    let event = tenant.event(EventKind::RevocationAsked, outcome, env);
    match asker {
        Asker::Administrator => event.resource(tenant.issuer()),
        Asker::Issuer(said) => event.resource(&said.trusted.issuer).token(&said.jti),
    }
}
