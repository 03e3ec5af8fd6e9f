//! Web Push (RFC 8030): a browser that somebody chose shows that something waits for them.
//!
//! The notice is encrypted for that browser (`encrypt.rs`), signed for its push service by a key of the tenant (VAPID, RFC
//! 8292), and tells as little as can be: who asks, and where it is looked at. It opens a page on which one signs in; nobody
//! decides by it. What a browser gave is a way to reach somebody, and is sealed as their credentials are.

mod encrypt;
mod send;

use super::records::APPROVAL;
use crate::engine::Module;
use crate::identity::{
    Answer, Change, Env, ErrorCode, EventKind, Held, Outcome, Refusal, Seconds, Stored, Tenant, again, decode, encode,
    hash_of, record_key,
};
use crate::secrets::{self, Hierarchy};
use aws_lc_rs::agreement::{ECDH_P256, PrivateKey};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use encrypt::{PRIVATE_BYTES, Receiver};
pub(super) use send::{origin_of, push, push_news};
use serde::{Deserialize, Serialize};
use serde_json::json;
use url::Url;

/// Most keys of a tenant: the one that browsers are bound to from now on, and those before it that some still are.
pub const PUSH_KEYS_MAX: usize = 4;
/// Browsers that are looked at in one go.
const DEVICES_PAGE: usize = 500;
/// Most browsers of a person.
pub const DEVICES_MAX: usize = 8;
/// Longest URL of a push service, in bytes.
const ENDPOINT_BYTES_MAX: usize = 2_048;
/// Longest name of a browser, in characters.
const NAME_CHARS_MAX: usize = 64;
/// How long a signature for a push service is good, in seconds: a day at most (RFC 8292 2).
const SIGNATURE_S: Seconds = 12 * 3_600;

/// A key by which push services know a tenant. A browser is bound to the one that it was added with, so that older ones are kept
/// as long as there is one: they lie under the hash of their public point, and the newest lies alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PushKey {
    /// The public point, uncompressed.
    public: String,
    /// The private part, sealed.
    sealed: String,
    created_at: Seconds,
    /// Whether it is the first of the tenant: browsers that were added before there were others do not say to which one they
    /// are bound.
    #[serde(default = "first", skip_serializing_if = "is_first")]
    first: bool,
}

fn first() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_first(first: &bool) -> bool {
    *first
}

impl Stored for PushKey {
    const MODULE: Module = APPROVAL;
    const SORT: u8 = b'v';
    const WHAT: &'static str = "key of Web Push";
}

/// A browser in which somebody is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Device {
    /// Whose it is: the id of a user.
    pub user: String,
    /// Its id: the hash of the URL that reaches it, so that a browser is there once.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// When it was added.
    pub added_at: Seconds,
    /// The public point of the key that it is bound to; the first one's when it does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    /// What reaches it, sealed.
    sealed: String,
}

impl Stored for Device {
    const MODULE: Module = APPROVAL;
    const SORT: u8 = b'p';
    const WHAT: &'static str = "browser in which somebody is told";
}

/// Whose a browser is. It is one person's at a time: who signs in there next must not see what waits for the one before.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DeviceOwner {
    user: String,
}

impl Stored for DeviceOwner {
    const MODULE: Module = APPROVAL;
    const SORT: u8 = b'P';
    const WHAT: &'static str = "owner of a browser";
}

/// What a browser's subscription says (W3C Push API, `PushSubscription`). It has no `Debug`: who has it can reach the browser.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Subscription {
    endpoint: String,
    p256dh: String,
    auth: String,
}

/// A browser that is to be added.
#[derive(Clone, Copy)]
pub struct NewDevice<'a> {
    /// The URL of its push service.
    pub endpoint: &'a str,
    /// Its public key, as base64url.
    pub p256dh: &'a str,
    /// Its secret, as base64url.
    pub auth: &'a str,
    /// The key that it is bound to, as its page was told; empty for the newest.
    pub key: &'a str,
    /// What people call it.
    pub name: &'a str,
}

fn invalid(rule: &'static str, text: impl Into<String>) -> Refusal {
    Refusal::new(ErrorCode::InvalidRequest, rule, text)
}

/// Where a key is: the newest under no name.
fn key_place(tenant: &Tenant, name: &str) -> Vec<u8> {
    record_key(tenant.number(), PushKey::SORT, &[name])
}

fn device_place(tenant: &Tenant, user: &str, id: &str) -> Vec<u8> {
    record_key(tenant.number(), Device::SORT, &[user, id])
}

fn seal(tenant: &Tenant, place: &[u8], plain: &[u8], env: &Env<'_>) -> Answer<String> {
    let sealed = secrets::seal(tenant.identity().ring(), Hierarchy::System, place, plain, &env.bytes());
    sealed.map(|bytes| encode(&bytes)).map_err(|error| Refusal::failed("push.seal", error.to_string()))
}

fn open(tenant: &Tenant, place: &[u8], sealed: &str) -> Answer<zeroize::Zeroizing<Vec<u8>>> {
    let bytes = decode(sealed).unwrap_or_default();
    secrets::open(tenant.identity().ring(), Hierarchy::System, place, &bytes)
        .map_err(|error| Refusal::failed("push.open", error.to_string()))
}

/// The key of a tenant; made when it is first asked for.
fn push_key(tenant: &Tenant, env: &Env<'_>) -> Answer<PushKey> {
    again(|| {
        if let Some(held) = tenant.get::<PushKey>(&[])? {
            return Ok(held.value);
        }
        let key = fresh_key(tenant, true, env)?;
        let mut change = tenant.change(env);
        change.create(&[], &key);
        change.event(&tenant.event(EventKind::KeyCreated, Outcome::Done, env).resource("web-push"));
        change.commit()?;
        Ok(key)
    })
}

/// Draws a key that takes the newest's place.
fn fresh_key(tenant: &Tenant, first: bool, env: &Env<'_>) -> Answer<PushKey> {
    let failed = || Refusal::failed("push.key", "draw again");
    let private = env.bytes::<PRIVATE_BYTES>();
    // Fails for one in 2^32 draws: those that are no scalar of the curve.
    let key = PrivateKey::from_private_key(&ECDH_P256, &private).map_err(|_| failed())?;
    let public = key.compute_public_key().map_err(|_| failed())?;
    let sealed = seal(tenant, &key_place(tenant, ""), &private, env)?;
    Ok(PushKey { public: encode(public.as_ref()), sealed, created_at: env.seconds(), first })
}

/// The key that a browser is bound to; nothing when it was dropped.
fn key_of(tenant: &Tenant, device: &Device) -> Answer<Option<Held<PushKey>>> {
    let bound = |key: &PushKey| device.key.as_ref().map_or(key.first, |public| *public == key.public);
    Ok(tenant.list::<PushKey>(&[], None, PUSH_KEYS_MAX)?.into_iter().find(|held| bound(held)))
}

/// Whether a browser is bound to an older key than there is: it is told as long as that is kept, and is asked to bind anew.
///
/// # Errors
/// The disk failed.
pub fn is_of_old_key(tenant: &Tenant, device: &Device) -> Answer<bool> {
    Ok(key_of(tenant, device)?.is_none_or(|held| !held.last().is_empty()))
}

/// Makes the key that browsers are bound to from now on. Those that are bound to the one before are told as they were, until they
/// bind anew; with `drop_old` they are told no longer, which is for when a key was seen by others. Answers the public point.
///
/// # Errors
/// There are [`PUSH_KEYS_MAX`] that browsers are bound to, or the disk failed.
pub fn rotate_push_key(tenant: &Tenant, drop_old: bool, by: &str, env: &Env<'_>) -> Answer<String> {
    again(|| {
        let Some(current) = tenant.get::<PushKey>(&[])? else { return public_key(tenant, env) };
        let all = tenant.list::<PushKey>(&[], None, PUSH_KEYS_MAX)?;
        let used = if drop_old { Vec::new() } else { used_keys(tenant, &all)? };
        let (mut change, mut kept) = (tenant.change(env), 0);
        for held in all.iter().filter(|held| !held.last().is_empty()) {
            if used.contains(&held.public) { kept += 1 } else { change.remove(held) }
        }
        // Whether or not a browser is: one may be added in this moment.
        if !drop_old {
            let name = hash_of(&current.public);
            let plain = open(tenant, &key_place(tenant, ""), &current.sealed)?;
            let sealed = seal(tenant, &key_place(tenant, &name), &plain, env)?;
            change.create(&[&name], &PushKey { sealed, ..current.value.clone() });
            kept += 1;
        }
        if kept >= PUSH_KEYS_MAX {
            let text = "browsers are bound to too many older keys; drop those, and people turn their notices on again";
            return Err(Refusal::new(ErrorCode::Conflict, "push.keys", text));
        }
        let fresh = fresh_key(tenant, false, env)?;
        change.replace(&current, &fresh);
        let event = tenant.event(EventKind::KeyRotated, Outcome::Done, env).user(by).resource("web-push");
        change.event(&event.reason(if drop_old { "emergency" } else { "planned" }));
        change.commit()?;
        Ok(fresh.public)
    })
}

/// The public points of those keys that a browser is bound to.
fn used_keys(tenant: &Tenant, all: &[Held<PushKey>]) -> Answer<Vec<String>> {
    let first = all.iter().find(|held| held.first).map(|held| held.public.clone());
    let (mut used, mut after): (Vec<String>, Option<String>) = (Vec::new(), None);
    loop {
        let page = tenant.list::<Device>(&[], after.as_deref(), DEVICES_PAGE)?;
        for held in &page {
            let key = held.key.clone().or_else(|| first.clone());
            used.extend(key.filter(|key| !used.contains(key)));
        }
        after = page.last().filter(|_| page.len() == DEVICES_PAGE).map(place_behind);
        if after.is_none() {
            return Ok(used);
        }
    }
}

/// Where a list of all browsers goes on behind one.
fn place_behind(held: &Held<Device>) -> String {
    format!("{}\0{}", held.user, held.id)
}

/// What browsers of a tenant's people bind their subscription to (`applicationServerKey`): a point of P-256, as base64url.
///
/// # Errors
/// The disk failed.
pub fn public_key(tenant: &Tenant, env: &Env<'_>) -> Answer<String> {
    Ok(push_key(tenant, env)?.public)
}

/// The header that shows a push service who sends (RFC 8292 2 and 3): a token for its origin, and the key that signed it, which is
/// that of the browser.
fn authorization(tenant: &Tenant, endpoint: &Url, key: &Held<PushKey>, env: &Env<'_>) -> Answer<String> {
    let failed = |what: &str| Refusal::failed("push.sign", what.to_owned());
    let private = open(tenant, &key_place(tenant, &key.last()), &key.sealed)?;
    let public = decode(&key.public).unwrap_or_default();
    let pair = EcdsaKeyPair::from_private_key_and_public_key(&ECDSA_P256_SHA256_FIXED_SIGNING, &private, &public)
        .map_err(|_| failed("the key is damaged"))?;
    let claims = json!({
        "aud": endpoint.origin().ascii_serialization(), "exp": env.seconds().saturating_add(SIGNATURE_S),
        "sub": tenant.issuer(),
    });
    let header = json!({"typ": "JWT", "alg": "ES256"});
    let message = format!("{}.{}", encode(header.to_string().as_bytes()), encode(claims.to_string().as_bytes()));
    let signature = pair.sign(&SystemRandom::new(), message.as_bytes()).map_err(|_| failed("the library"))?;
    Ok(format!("vapid t={message}.{}, k={}", encode(signature.as_ref()), key.public))
}

/// The browsers in which a person is told, in no order that means anything.
///
/// # Errors
/// The disk failed.
pub fn devices(tenant: &Tenant, user: &str) -> Answer<Vec<Held<Device>>> {
    tenant.list::<Device>(&[user], None, DEVICES_MAX)
}

/// Whether a URL may be that of a push service: `https`, or this machine's. What it may lead to is judged when it is called.
fn endpoint_of(text: &str) -> Answer<Url> {
    let url = Url::parse(text).ok().filter(|_| text.len() <= ENDPOINT_BYTES_MAX);
    let here =
        |url: &Url| url.scheme() == "http" && matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    let plain = |url: &Url| url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
    url.filter(|url| plain(url) && (url.scheme() == "https" || here(url)))
        .ok_or_else(|| invalid("push.endpoint", "the browser's push service has no https address that can be used"))
}

/// Adds a browser of a person. One that was another's is theirs no longer.
///
/// # Errors
/// What the browser sent is not what browsers send, or the person has [`DEVICES_MAX`].
pub fn add_device(tenant: &Tenant, user: &str, new: NewDevice<'_>, env: &Env<'_>) -> Answer<()> {
    endpoint_of(new.endpoint)?;
    let keys = decode(new.p256dh).zip(decode(new.auth));
    if keys.and_then(|(p256dh, auth)| Receiver::read(&p256dh, &auth)).is_none() {
        return Err(invalid("push.keys", "the browser sent no keys that can be encrypted for (RFC 8291)"));
    }
    let key = bound_to(tenant, new.key, env)?;
    let id = hash_of(new.endpoint);
    let name: String = super::template::visible(new.name).chars().take(NAME_CHARS_MAX).collect();
    let (endpoint, p256dh, auth) = (new.endpoint.to_owned(), new.p256dh.to_owned(), new.auth.to_owned());
    let plain = zeroize::Zeroizing::new(json!(Subscription { endpoint, p256dh, auth }).to_string());
    again(|| {
        let mut change = tenant.change(env);
        let others = devices(tenant, user)?;
        match others.iter().find(|held| held.id == id) {
            Some(held) => change.expect(held),
            None if others.len() >= DEVICES_MAX => {
                let text = format!("you are told in {DEVICES_MAX} browsers already; remove one of them first");
                return Err(invalid("push.max", text));
            }
            None => {}
        }
        match tenant.get::<DeviceOwner>(&[&id])? {
            Some(owner) => {
                change.replace(&owner, &DeviceOwner { user: user.to_owned() });
                if owner.user != user
                    && let Some(theirs) = tenant.get::<Device>(&[&owner.user, &id])?
                {
                    change.remove(&theirs);
                    change.event(&event(tenant, &theirs, EventKind::DeviceRemoved, env).reason("push.taken"));
                }
            }
            None => change.create(&[&id], &DeviceOwner { user: user.to_owned() }),
        }
        let sealed = seal(tenant, &device_place(tenant, user, &id), plain.as_bytes(), env)?;
        let (user, id, key) = (user.to_owned(), id.clone(), Some(key.clone()));
        let device = Device { user, id, name: name.clone(), added_at: env.seconds(), key, sealed };
        change.put(&[&device.user, &device.id], &device);
        change.event(&event(tenant, &device, EventKind::DeviceAdded, env));
        change.commit()?;
        Ok(())
    })
}

/// The key that a browser says it is bound to, which must be one of ours.
fn bound_to(tenant: &Tenant, said: &str, env: &Env<'_>) -> Answer<String> {
    let newest = public_key(tenant, env)?;
    if said.is_empty() || said == newest {
        return Ok(newest);
    }
    let known = tenant.list::<PushKey>(&[], None, PUSH_KEYS_MAX)?;
    known.iter().find(|held| held.public == said).map(|held| held.public.clone()).ok_or_else(|| {
        invalid("push.key", "the key of this page is of use no more; load the page again and turn notices on there")
    })
}

/// Takes away the browsers of a person who is gone. Answers how many.
///
/// # Errors
/// The disk failed.
pub fn forget_devices(tenant: &Tenant, user: &str, env: &Env<'_>) -> Answer<usize> {
    let mut count = 0;
    loop {
        let page = devices(tenant, user)?;
        for held in &page {
            match remove_device(tenant, user, &held.id, "push.user_deleted", env) {
                Err(refusal) if refusal.error != ErrorCode::NotFound => return Err(refusal),
                _ => count += 1,
            }
        }
        if page.len() < DEVICES_MAX {
            return Ok(count);
        }
    }
}

fn event(tenant: &Tenant, device: &Device, kind: EventKind, env: &Env<'_>) -> crate::identity::Event {
    let event = tenant.event(kind, Outcome::Done, env).user(format!("user:{}", device.user));
    event.resource(format!("device:{}", device.id)).detail("name", &device.name)
}

/// Takes a browser of a person away. `reason` says why.
///
/// # Errors
/// There is none such, or the disk failed.
pub fn remove_device(tenant: &Tenant, user: &str, id: &str, reason: &str, env: &Env<'_>) -> Answer<()> {
    again(|| {
        let held = tenant.held::<Device>(&[user, id])?;
        let mut change: Change<'_> = tenant.change(env);
        change.remove(&held);
        if let Some(owner) = tenant.get::<DeviceOwner>(&[id])?.filter(|owner| owner.user == user) {
            change.remove(&owner);
        }
        change.event(&event(tenant, &held, EventKind::DeviceRemoved, env).reason(reason));
        change.commit()?;
        Ok(())
    })
}

/// Seals with the newest key of the ring what older ones sealed: the tenant's keys, and a page of browsers behind one of them.
/// Answers how many, and where to go on.
///
/// # Errors
/// Something does not open, or the disk failed.
pub fn reseal_push(tenant: &Tenant, after: Option<&str>, max: usize, env: &Env<'_>) -> Answer<(usize, Option<String>)> {
    let ring = tenant.identity().ring();
    let old = |sealed: &str| !decode(sealed).is_some_and(|bytes| secrets::is_newest(ring, &bytes));
    let mut count = 0;
    let mut written = |change: Change<'_>| match change.commit() {
        Ok(_) => {
            count += 1;
            Ok(())
        }
        // Who changed it meanwhile sealed it with the newest key.
        Err(refusal) if refusal.is_stale() => Ok(()),
        Err(refusal) => Err(refusal),
    };
    let keys = if after.is_none() { tenant.list::<PushKey>(&[], None, PUSH_KEYS_MAX)? } else { Vec::new() };
    for held in keys.iter().filter(|held| old(&held.sealed)) {
        let place = key_place(tenant, &held.last());
        let sealed = seal(tenant, &place, &open(tenant, &place, &held.sealed)?, env)?;
        let mut change = tenant.change(env);
        change.replace(held, &PushKey { sealed, ..held.value.clone() });
        written(change)?;
    }
    let page = tenant.list::<Device>(&[], after, max)?;
    for held in page.iter().filter(|held| old(&held.sealed)) {
        let place = device_place(tenant, &held.user, &held.id);
        let sealed = seal(tenant, &place, &open(tenant, &place, &held.sealed)?, env)?;
        let mut change = tenant.change(env);
        change.replace(held, &Device { sealed, ..held.value.clone() });
        written(change)?;
    }
    let next = page.last().filter(|_| page.len() == max).map(place_behind);
    Ok((count, next))
}
