//! Administration of the places that are told. Each change and its event are one write.

use super::records::{PLACES_MAX, Place};
use crate::identity::{Answer, Env, ErrorCode, EventKind, Held, Outcome, Refusal, Tenant, again};

/// The places of a tenant.
///
/// # Errors
/// The disk failed.
pub fn places(tenant: &Tenant) -> Answer<Vec<Held<Place>>> {
    tenant.list(&[], None, PLACES_MAX)
}

/// Adds a place, or changes it.
///
/// # Errors
/// Something is not right, or there are too many.
pub fn put_place(tenant: &Tenant, place: &Place, env: &Env<'_>) -> Answer<()> {
    place.check()?;
    again(|| {
        let mut change = tenant.change(env);
        match tenant.get::<Place>(&[&place.id])? {
            Some(held) if held.signals.is_some() != place.signals.is_some() => {
                let text = "this id is taken: one of another sort is told under it";
                return Err(Refusal::new(ErrorCode::Conflict, "revocation.sort", text));
            }
            Some(held) => change.replace(&held, &Place { created_at: held.created_at, ..place.clone() }),
            None if places(tenant)?.len() >= PLACES_MAX => {
                let text = format!("at most {PLACES_MAX} places are told");
                return Err(Refusal::new(ErrorCode::InvalidRequest, "revocation.places", text));
            }
            None => change.create(&[&place.id], &Place { created_at: env.seconds(), ..place.clone() }),
        }
        tenant.need_key(&mut change, place.alg, env)?;
        let event = tenant.event(EventKind::PolicyChanged, Outcome::Done, env).resource(&place.endpoint);
        change.event(&event.action("revocation_place.put").detail("place", &place.id));
        change.commit()
    })?;
    Ok(())
}

/// Takes a place away, which is a stream of shared signals or not. What it was not told yet, it is not told.
///
/// # Errors
/// There is none.
pub fn remove_place(tenant: &Tenant, id: &str, stream: bool, env: &Env<'_>) -> Answer<()> {
    again(|| {
        let place = places(tenant)?.into_iter().find(|place| place.id == id && place.signals.is_some() == stream);
        let what = if stream { "stream" } else { "place that is told of revocations" };
        let place = place.ok_or_else(|| Refusal::not_found(what))?;
        let mut change = tenant.change(env);
        change.remove(&place);
        let event = tenant.event(EventKind::PolicyChanged, Outcome::Done, env).resource(&place.endpoint);
        change.event(&event.action("revocation_place.remove").detail("place", id));
        change.commit()
    })?;
    Ok(())
}
