//! What is said to a browser, and what its push service answers.

use super::encrypt::{PLAIN_BYTES_MAX, PRIVATE_BYTES, Receiver, SALT_BYTES, encrypt};
use super::{Device, PushKey, Subscription, authorization, device_place, endpoint_of, key_of, open, remove_device};
use crate::engine::Decision;
use crate::identity::{Answer, Env, Held, Refusal, Seconds, Tenant, decode, hash_of};
use crate::modules::approval::channel::{Called, News, PushCall, Pushes};
use crate::modules::approval::outbox::Outcome;
use crate::modules::approval::records::ApprovalRequest;
use serde_json::json;

/// The longest that a push service is asked to keep a message, in seconds: what all of them take.
const TTL_MAX_S: Seconds = 28 * 24 * 3_600;
/// Longest name in a notice, in characters.
const NAME_CHARS_MAX: usize = 80;

/// Most bytes of a topic (RFC 8030 5.4).
const TOPIC_BYTES_MAX: usize = 32;

/// What a browser shows.
struct Shown<'a> {
    title: String,
    body: String,
    link: String,
    /// What a later message about the same takes the place of, at the push service and in the browser.
    topic: &'a str,
    /// Until when it is of use.
    until: Seconds,
}

fn short(text: &str) -> String {
    text.chars().take(NAME_CHARS_MAX).collect()
}

/// Tells a browser that a request waits.
///
/// # Errors
/// The disk failed, or what is kept of the browser does not open.
pub(in crate::modules::approval) fn push(
    tenant: &Tenant,
    request: &ApprovalRequest,
    device: &Held<Device>,
    service: &dyn Pushes,
    env: &Env<'_>,
) -> Answer<Outcome> {
    // Whoever may not decide any more is not told.
    let may = tenant.check(&format!("user:{}", device.user), "approver", &request.object())?;
    if may != Decision::Allow {
        return Ok(Outcome::OfNoUse);
    }
    // Who asks, and for whom. What is asked stands on the page, behind a sign-in, and not on a locked screen.
    let shown = Shown {
        title: format!("{} asks for your approval", short(&request.shown.client)),
        body: format!("For {}. Look at it and decide.", short(&request.shown.user)),
        link: tenant.url(&format!("/approvals/{}", request.id)),
        topic: &request.id,
        until: request.expires_at,
    };
    show(tenant, &shown, device, service, env)
}

/// Tells a browser what is about no request; it has a page.
///
/// # Errors
/// As of [`push`].
pub(in crate::modules::approval) fn push_news(
    tenant: &Tenant,
    news: &News,
    until: Seconds,
    device: &Held<Device>,
    service: &dyn Pushes,
    env: &Env<'_>,
) -> Answer<Outcome> {
    let (about, title, body) = match news {
        News::Reconnect { connection, name } => {
            let body = "It does not take any more the access that you gave.".to_owned();
            (connection, format!("Connect {} again", short(name)), body)
        }
        // What was allowed stands behind a sign-in, and not on a locked screen.
        News::AllowedForYou { approval, client, by, .. } => {
            (approval, format!("{} acts in your name", short(client)), format!("{} allowed it.", short(by)))
        }
        News::Orphans { .. } => return Ok(Outcome::OfNoUse),
    };
    let topic = hash_of(about);
    let shown =
        Shown { title, body, link: news.link(tenant), topic: topic.get(..TOPIC_BYTES_MAX).unwrap_or(&topic), until };
    show(tenant, &shown, device, service, env)
}

fn show(
    tenant: &Tenant,
    shown: &Shown<'_>,
    device: &Held<Device>,
    service: &dyn Pushes,
    env: &Env<'_>,
) -> Answer<Outcome> {
    let Some(key) = key_of(tenant, device)? else {
        return gone(tenant, device, "push.key_dropped", env);
    };
    let (url, authorization, body) = match prepared(tenant, shown, (device, &key), env) {
        Ok(prepared) => prepared,
        // One browser whose keys do not open keeps nobody else waiting.
        Err(refusal) if refusal.rule.starts_with("push.") => {
            tracing::error!(device = device.id, %refusal, "a notice for a browser cannot be made");
            return Ok(Outcome::Failed("what is kept of the browser, or the key for its service, is damaged"));
        }
        Err(refusal) => return Err(refusal),
    };
    let ttl_s = shown.until.saturating_sub(env.seconds()).min(TTL_MAX_S);
    let call = PushCall { url: &url, authorization: &authorization, ttl_s, topic: shown.topic, body: &body };
    Ok(match service.push(&call) {
        Called::Answered(200..=299) => Outcome::Sent,
        // RFC 8030 7.3: the subscription is over.
        Called::Answered(404 | 410) => return gone(tenant, device, "push.gone", env),
        Called::Answered(_) => Outcome::Failed("the push service answered with an error"),
        Called::Refused => Outcome::Failed("the push service's address may not be called"),
        Called::Failed => Outcome::Failed("the push service could not be reached"),
    })
}

/// The origin of the push service that reaches a browser; `None` when what is kept of it does not open.
pub(in crate::modules::approval) fn origin_of(tenant: &Tenant, device: &Device) -> Option<String> {
    let plain = open(tenant, &device_place(tenant, &device.user, &device.id), &device.sealed).ok()?;
    let subscription: Subscription = serde_json::from_slice(&plain).ok()?;
    Some(endpoint_of(&subscription.endpoint).ok()?.origin().ascii_serialization())
}

/// A browser that cannot be told any more is forgotten.
fn gone(tenant: &Tenant, device: &Device, reason: &str, env: &Env<'_>) -> Answer<Outcome> {
    match remove_device(tenant, &device.user, &device.id, reason, env) {
        Err(refusal) if refusal.rule != "not_found" => Err(refusal),
        _ => Ok(Outcome::OfNoUse),
    }
}

/// The URL, the header that shows who sends, and the encrypted text.
fn prepared(
    tenant: &Tenant,
    shown: &Shown<'_>,
    (device, key): (&Device, &Held<PushKey>),
    env: &Env<'_>,
) -> Answer<(String, String, Vec<u8>)> {
    let damaged = |what: &str| Refusal::failed("push.device", what.to_owned());
    let plain = open(tenant, &device_place(tenant, &device.user, &device.id), &device.sealed)?;
    let subscription: Subscription = serde_json::from_slice(&plain).map_err(|_| damaged("a subscription"))?;
    let keys = decode(&subscription.p256dh).zip(decode(&subscription.auth));
    let receiver = keys.and_then(|(p256dh, auth)| Receiver::read(&p256dh, &auth));
    let receiver = receiver.ok_or_else(|| damaged("keys of a browser"))?;
    let Shown { title, body, link, topic, .. } = shown;
    let mut text = json!({"title": title, "body": body, "link": link, "tag": topic}).to_string();
    if text.len() > PLAIN_BYTES_MAX {
        text = json!({"tag": topic}).to_string(); // an issuer of a very long name: the worker has words of its own
    }
    let body = encrypt(text.as_bytes(), &receiver, &env.bytes::<PRIVATE_BYTES>(), &env.bytes::<SALT_BYTES>());
    let body = body.ok_or_else(|| damaged("draw again"))?;
    let authorization = authorization(tenant, &endpoint_of(&subscription.endpoint)?, key, env)?;
    Ok((subscription.endpoint, authorization, body))
}
