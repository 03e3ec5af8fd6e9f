//! Shared signals (OpenID SSF 1.0, CAEP 1.0), as transmitter by push (RFC 8935) and no more: a stream is a place that is told by
//! security event tokens (RFC 8417). Its administrator makes it here; there is no endpoint at which receivers make their own.

use super::records::{About, Call, Place, Signals};
use super::subject::SubjectId;
use super::tell;
use crate::identity::{
    Answer, Env, ErrorCode, EventKind, Outcome, Refusal, Stored as _, Tenant, decode, encode, record_key,
};
use crate::secrets::{self, Hierarchy};
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

/// Longest `Authorization` header of a receiver, in bytes.
pub const AUTHORIZATION_BYTES_MAX: usize = 4_096;
/// Longest `state` of a verification (SSF 8.1.4.1), in bytes.
const STATE_BYTES_MAX: usize = 256;
/// The type of a security event token (RFC 8417 2.3).
pub const SECURITY_EVENT_TYP: &str = "secevent+jwt";
/// The event of CAEP 3.1.
const SESSION_REVOKED: &str = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";
/// The event of SSF 8.1.4.1.
const VERIFICATION: &str = "https://schemas.openid.net/secevent/ssf/event-type/verification";
/// Delivery by push.
const PUSH: &str = "urn:ietf:rfc:8935";

/// What a transmitter says of itself (SSF 7.1).
pub(super) fn configuration(tenant: &Tenant) -> Value {
    json!({
        "spec_version": "1_0",
        "issuer": tenant.issuer(),
        "jwks_uri": tenant.url("/jwks"),
        "delivery_methods_supported": [PUSH],
        "default_subjects": "ALL",
    })
}

fn sealed_at(tenant: &Tenant, id: &str) -> Vec<u8> {
    record_key(tenant.number(), Place::SORT, &[id])
}

/// Seals a header at the place of its stream.
pub(super) fn seal(tenant: &Tenant, id: &str, header: &str, env: &Env<'_>) -> Answer<String> {
    let visible = header.bytes().all(|b| b == b' ' || b.is_ascii_graphic());
    if header.is_empty() || header.len() > AUTHORIZATION_BYTES_MAX || !visible {
        let text = "`authorization` is the value of a header: visible characters, and not very long";
        return Err(Refusal::new(ErrorCode::InvalidRequest, "signals.authorization", text));
    }
    let (ring, at) = (tenant.identity().ring(), sealed_at(tenant, id));
    let sealed = secrets::seal(ring, Hierarchy::System, &at, header.as_bytes(), &env.bytes());
    sealed.map(|bytes| encode(&bytes)).map_err(|error| Refusal::failed("signals.seal", error.to_string()))
}

/// The header that a receiver wants, when it wants one.
pub(super) fn authorization(tenant: &Tenant, id: &str, signals: &Signals) -> Answer<Option<Zeroizing<String>>> {
    let Some(sealed) = &signals.authorization else { return Ok(None) };
    let bytes = decode(sealed).unwrap_or_default();
    let plain = secrets::open(tenant.identity().ring(), Hierarchy::System, &sealed_at(tenant, id), &bytes);
    let plain = plain.map_err(|error| Refusal::failed("signals.open", error.to_string()))?;
    let text = std::str::from_utf8(&plain).map_err(|_| Refusal::failed("signals.open", "it is no text"))?;
    Ok(Some(Zeroizing::new(text.to_owned())))
}

/// Seals with the newest key of the ring the headers that an older one sealed; answers how many those were.
///
/// # Errors
/// The disk failed.
pub fn reseal_streams(tenant: &Tenant, env: &Env<'_>) -> Answer<usize> {
    let ring = tenant.identity().ring();
    let mut count = 0;
    for held in super::places(tenant)? {
        let Some(signals) = &held.signals else { continue };
        let Some(sealed) = signals.authorization.as_deref() else { continue };
        if decode(sealed).is_some_and(|bytes| secrets::is_newest(ring, &bytes)) {
            continue;
        }
        // One that does not open must not keep the others from it.
        let plain = match authorization(tenant, &held.id, signals) {
            Ok(plain) => plain.unwrap_or_default(),
            Err(refusal) => {
                tracing::error!(tenant = tenant.name(), stream = held.id, %refusal, "a header was not sealed anew");
                continue;
            }
        };
        let authorization = Some(seal(tenant, &held.id, &plain, env)?);
        let signals = Some(Signals { authorization, ..signals.clone() });
        let mut change = tenant.change(env);
        change.replace(&held, &Place { signals, ..held.value.clone() });
        change.commit()?;
        count += 1;
    }
    Ok(count)
}

/// Asks that a stream be sent a verification (SSF 8.1.4.2).
///
/// # Errors
/// There is no such stream, or the state is not right.
pub fn verify_stream(tenant: &Tenant, id: &str, state: Option<&str>, env: &Env<'_>) -> Answer<()> {
    let found = super::places(tenant)?.into_iter().find(|place| place.id == id && place.signals.is_some());
    let stream = found.ok_or_else(|| Refusal::not_found("stream"))?;
    if state.is_some_and(|state| state.is_empty() || state.len() > STATE_BYTES_MAX) {
        let text = format!("a state has 1 to {STATE_BYTES_MAX} bytes");
        return Err(Refusal::new(ErrorCode::InvalidRequest, "signals.state", text));
    }
    let mut change = tenant.change(env);
    change.expect(&stream);
    let about = About::Verification { state: state.map(str::to_owned) };
    tell::call(&mut change, &stream, about, env);
    let event = tenant.event(EventKind::AdminChanged, Outcome::Done, env).resource(&stream.endpoint);
    change.event(&event.action("ssf_stream.verify").detail("place", id));
    change.commit()?;
    Ok(())
}

/// Who ended it (CAEP 2), by the word of why.
fn initiator(reason: &str) -> &'static str {
    match reason {
        "session.ended_by_owner" | "account.recovered" => "user",
        "revocation" => "policy",
        _ => "admin",
    }
}

/// The security event token of a call, without `sub` and `exp` (SSF 4.1): about whom, which event, and what ties it to its cause.
pub(super) fn token(
    tenant: &Tenant,
    place: &Place,
    signals: &Signals,
    (call, subject): (&Call, Option<&SubjectId>),
    env: &Env<'_>,
) -> Answer<String> {
    let (mut claims, mut events) = (Map::new(), Map::new());
    let mut say = |name: &str, value: Value| drop(claims.insert(name.to_owned(), value));
    match (&call.about, subject) {
        (About::SignedOut { cause, reason, .. }, Some(subject)) => {
            say("sub_id", subject.json());
            say("txn", cause.as_str().into());
            let by = initiator(reason);
            let text = json!({"en": format!("all that was handed out for this person is void: {reason}")});
            let event = json!({
                "event_timestamp": call.made_at, "initiating_entity": by, "reason_admin": text,
            });
            events.insert(SESSION_REVOKED.to_owned(), event);
        }
        (About::Verification { state }, _) => {
            say("sub_id", SubjectId::Opaque { id: place.id.clone() }.json());
            let state = state.as_ref().map(|state| json!({ "state": state }));
            events.insert(VERIFICATION.to_owned(), state.unwrap_or_else(|| json!({})));
        }
        (About::SignedOut { .. }, None) => return Err(Refusal::failed("signals.subject", "there is nobody")),
    }
    say("iss", tenant.issuer().into());
    say("aud", signals.audience.as_str().into());
    say("iat", env.seconds().into());
    // The same one each time: who has taken it takes it again (RFC 8935 2).
    say("jti", call.id.as_str().into());
    say("events", Value::Object(events));
    tenant.sign_with(place.alg, SECURITY_EVENT_TYP, &claims, env)
}
