//! The keys with which a tenant signs, and their rotation.
//!
//! A key goes three ways: *next*, published and not used, so that every cache has it; *current*, which signs; *old*, published
//! until nothing that it signed lives. In an emergency all go at once, and with them every token. The private parts are
//! sealed by the key ring at the place of their record.

use super::jwt::{self, Verified};
use super::{
    Answer, Change, Env, ErrorCode, EventKind, Held, Outcome, Refusal, Seconds, Stored, Tenant, again, decode, encode,
    record_key,
};
use crate::secrets::{self, Hierarchy};
use aws_lc_rs::agreement::{ECDH_P256, PrivateKey};
use aws_lc_rs::hmac;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;

/// Most keys that a tenant has at a time.
pub const SIGNING_KEYS_MAX: usize = 8;
/// Bytes of a coordinate, and of a private key, of P-256.
const P256_BYTES: usize = 32;
/// How much longer than the longest life of a token an old key is published.
const MARGIN_S: Seconds = 300;

/// A key that signs, will sign, or has signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SigningKey {
    /// Its id in tokens and in the published set.
    pub kid: String,
    /// The public point, as in a JWK.
    pub x: String,
    /// The public point, as in a JWK.
    pub y: String,
    /// When it was made.
    pub created_at: Seconds,
    /// From when it signs.
    pub signs_from: Seconds,
    /// Until when it is published; open while no other takes its place.
    pub published_until: Option<Seconds>,
    /// The private part, sealed.
    sealed: String,
}

/// All keys of a tenant, in one record, so that a rotation is one change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeySet {
    // INVARIANT: `signs_from` ascends, and at least one signs at any time since the tenant was made.
    keys: Vec<SigningKey>,
    /// What authenticates refresh tokens, sealed.
    mac: String,
}

impl Stored for KeySet {
    const SORT: u8 = b'k';
    const WHAT: &'static str = "set of keys";
}

/// The state of a key at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// Published, and does not sign yet.
    Next,
    /// Signs.
    Current,
    /// Published so that what it signed can be verified.
    Old,
}

impl KeySet {
    /// The key that signs at a time: the last that has begun to.
    fn current(&self, now: Seconds) -> Option<&SigningKey> {
        self.keys.iter().rfind(|key| key.signs_from <= now).or(self.keys.first())
    }

    fn published(&self, now: Seconds) -> impl Iterator<Item = &SigningKey> {
        self.keys.iter().filter(move |key| key.published_until.is_none_or(|until| now < until))
    }

    fn state(&self, key: &SigningKey, now: Seconds) -> KeyState {
        match self.current(now) {
            Some(current) if current.kid == key.kid => KeyState::Current,
            _ if key.signs_from > now => KeyState::Next,
            _ => KeyState::Old,
        }
    }

    /// Adds a key that signs from a time on. `old_life_s` is how long what the others signed may live from then.
    fn add(&mut self, fresh: SigningKey, now: Seconds, old_life_s: Seconds) -> Answer<()> {
        let until = fresh.signs_from.saturating_add(old_life_s).saturating_add(MARGIN_S);
        self.keys.retain(|key| key.published_until.is_none_or(|until| now < until));
        for key in &mut self.keys {
            key.published_until = Some(key.published_until.unwrap_or(until).min(until));
        }
        self.keys.push(fresh);
        if self.keys.len() > SIGNING_KEYS_MAX {
            let text = format!("there are {SIGNING_KEYS_MAX} signing keys that tokens may still need; rotate later");
            return Err(Refusal::new(ErrorCode::Conflict, "keys.max", text));
        }
        Ok(())
    }
}

/// Keys that are opened: ready to sign and to verify.
pub(super) struct KeyChain {
    set: Held<KeySet>,
    pairs: Vec<(String, EcdsaKeyPair)>,
    verifying: Vec<(String, DecodingKey)>,
    mac: hmac::Key,
}

impl KeyChain {
    /// Signs claims with the key that signs now.
    pub(super) fn sign(&self, typ: &str, claims: &impl Serialize, now: Seconds) -> Answer<String> {
        let current = self.set.current(now).map(|key| key.kid.as_str());
        let pair = self.pairs.iter().find(|(kid, _)| Some(kid.as_str()) == current);
        let (kid, pair) = pair.ok_or_else(|| Refusal::failed("keys.none", "no key signs"))?;
        jwt::sign(pair, kid, typ, claims)
    }

    /// Verifies a token that one of the published keys signed.
    pub(super) fn verify(&self, token: &str, now: Seconds) -> Answer<Verified> {
        let unknown = || {
            let text = "this is no token that is accepted here: it is signed with a key that is not ours, or no longer";
            Refusal::new(ErrorCode::InvalidToken, "token.kid", text)
        };
        let header = jwt::unverified_header(token)?;
        let kid = header.get("kid").and_then(Value::as_str).ok_or_else(unknown)?;
        self.set.published(now).find(|key| key.kid == kid).ok_or_else(unknown)?;
        let (_, key) = self.verifying.iter().find(|(known, _)| known == kid).ok_or_else(unknown)?;
        jwt::verify(token, ("ES256", Algorithm::ES256), key)
    }

    /// What authenticates a text of this tenant.
    pub(super) fn mac(&self, text: &str) -> String {
        encode(hmac::sign(&self.mac, text.as_bytes()).as_ref())
    }

    /// Whether it does.
    pub(super) fn mac_is(&self, text: &str, mac: &str) -> bool {
        decode(mac).is_some_and(|mac| hmac::verify(&self.mac, text.as_bytes(), &mac).is_ok())
    }
}

/// Where a sealed key is, which is part of what is sealed.
fn place(tenant: u32, kid: &str) -> Vec<u8> {
    record_key(tenant, KeySet::SORT, &["", kid])
}

impl Tenant {
    fn seal(&self, name: &str, plain: &[u8], env: &Env<'_>) -> Answer<String> {
        let place = place(self.number(), name);
        let sealed = secrets::seal(self.identity().ring(), Hierarchy::System, &place, plain, &env.bytes());
        sealed.map(|bytes| encode(&bytes)).map_err(|error| Refusal::failed("keys.seal", error.to_string()))
    }

    fn fresh_key(&self, signs_from: Seconds, env: &Env<'_>) -> Answer<SigningKey> {
        let failed = |what: &str| Refusal::failed("keys.make", what.to_owned());
        let private = env.bytes::<P256_BYTES>();
        // Fails for one in 2^32 draws: those that are no scalar of the curve.
        let key = PrivateKey::from_private_key(&ECDH_P256, &private).map_err(|_| failed("draw again"))?;
        let point = key.compute_public_key().map_err(|_| failed("the library"))?;
        let (x, y) = point.as_ref().get(1..).unwrap_or_default().split_at_checked(P256_BYTES).unwrap_or_default();
        let pair =
            EcdsaKeyPair::from_private_key_and_public_key(&ECDSA_P256_SHA256_FIXED_SIGNING, &private, point.as_ref());
        let pair = pair.map_err(|_| failed("the library"))?;
        let document = pair.to_pkcs8v1().map_err(|_| failed("the library"))?;
        let kid = env.id();
        Ok(SigningKey {
            sealed: self.seal(&kid, document.as_ref(), env)?,
            kid,
            x: encode(x),
            y: encode(y),
            created_at: env.seconds(),
            signs_from,
            published_until: None,
        })
    }

    /// Adds the first keys to the change that makes the tenant.
    pub(super) fn first_keys(&self, change: &mut Change<'_>, env: &Env<'_>) -> Answer<()> {
        let mac = self.seal("mac", &env.bytes::<32>(), env)?;
        let set = KeySet { keys: vec![self.fresh_key(env.seconds(), env)?], mac };
        change.create(&[], &set);
        Ok(())
    }

    /// The opened keys. They are opened once for each state of their record.
    pub(super) fn keys(&self) -> Answer<Arc<KeyChain>> {
        let known = self.identity().opened().lock().get(&self.number()).cloned();
        if let Some(chain) = known
            && self.is_as_read(&chain.set)?
        {
            return Ok(chain);
        }
        let set = self.held::<KeySet>(&[])?;
        let open = |name: &str, sealed: &str| {
            let bytes = decode(sealed).unwrap_or_default();
            secrets::open(self.identity().ring(), Hierarchy::System, &place(self.number(), name), &bytes)
                .map_err(|error| Refusal::failed("keys.open", format!("key `{name}`: {error}")))
        };
        let damaged = |kid: &str| Refusal::failed("keys.open", format!("key `{kid}` is damaged"));
        let (mut pairs, mut verifying) = (Vec::new(), Vec::new());
        for key in &set.keys {
            let private = open(&key.kid, &key.sealed)?;
            let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &private);
            pairs.push((key.kid.clone(), pair.map_err(|_| damaged(&key.kid))?));
            let public = DecodingKey::from_ec_components(&key.x, &key.y).map_err(|_| damaged(&key.kid))?;
            verifying.push((key.kid.clone(), public));
        }
        let mac = hmac::Key::new(hmac::HMAC_SHA256, &open("mac", &set.mac)?);
        let chain = Arc::new(KeyChain { set, pairs, verifying, mac });
        self.identity().opened().lock().insert(self.number(), Arc::clone(&chain));
        Ok(chain)
    }

    /// Signs claims as a token of a type, with the key that signs now. For tokens that hang on no grant; others are made by
    /// [`Tenant::issue`](super::Tenant::issue).
    ///
    /// # Errors
    /// The keys cannot be opened.
    pub fn sign(&self, typ: &str, claims: &impl Serialize, env: &Env<'_>) -> Answer<String> {
        self.keys()?.sign(typ, claims, env.seconds())
    }

    /// The published keys, as a JWK set (RFC 7517).
    ///
    /// # Errors
    /// The disk failed.
    pub fn jwks(&self, env: &Env<'_>) -> Answer<Value> {
        let set = self.held::<KeySet>(&[])?;
        let jwk = |key: &SigningKey| json!({"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": key.kid, "x": key.x, "y": key.y});
        let keys: Vec<Value> = set.published(env.seconds()).map(jwk).collect();
        Ok(json!({ "keys": keys }))
    }

    /// The keys with their states.
    ///
    /// # Errors
    /// The disk failed.
    pub fn signing_keys(&self, env: &Env<'_>) -> Answer<Vec<(SigningKey, KeyState)>> {
        let set = self.held::<KeySet>(&[])?;
        let now = env.seconds();
        Ok(set.published(now).map(|key| (key.clone(), set.state(key, now))).collect())
    }

    /// Plans the next key: it is published now, and signs when every cache has it.
    ///
    /// # Errors
    /// One waits already.
    pub fn rotate_keys(&self, env: &Env<'_>) -> Answer<SigningKey> {
        again(|| {
            let held = self.held::<KeySet>(&[])?;
            let (now, settings) = (env.seconds(), self.settings());
            if held.keys.iter().any(|key| key.signs_from > now) {
                let text = "the next signing key is published already; it signs when its time comes";
                return Err(Refusal::new(ErrorCode::Conflict, "keys.waiting", text));
            }
            let fresh = self.fresh_key(now.saturating_add(settings.key_lead_s), env)?;
            let life = settings.access_token_s.max(settings.id_token_s);
            let mut set = held.value.clone();
            set.add(fresh.clone(), now, life)?;
            let mut change = self.change(env);
            change.replace(&held, &set);
            change.event(&self.event(EventKind::KeyCreated, Outcome::Done, env).resource(&fresh.kid));
            change.commit()?;
            Ok(fresh)
        })
    }

    /// The same, when the newest key is older than keys grow; answers whether it was.
    ///
    /// # Errors
    /// As [`Tenant::rotate_keys`].
    pub fn rotate_old_keys(&self, env: &Env<'_>) -> Answer<bool> {
        let set = self.held::<KeySet>(&[])?;
        let due = |key: &SigningKey| key.signs_from.saturating_add(self.settings().key_life_s) <= env.seconds();
        if !set.keys.last().is_some_and(due) {
            return Ok(false);
        }
        self.rotate_keys(env).map(|_| true)
    }

    /// Throws all keys away and takes a new one at once: every token, refresh tokens too, is void. For when a key was seen
    /// by others.
    ///
    /// # Errors
    /// The disk failed.
    pub fn replace_keys(&self, env: &Env<'_>) -> Answer<SigningKey> {
        again(|| {
            let held = self.held::<KeySet>(&[])?;
            let fresh = self.fresh_key(env.seconds(), env)?;
            let set = KeySet { keys: vec![fresh.clone()], mac: self.seal("mac", &env.bytes::<32>(), env)? };
            let mut change = self.change(env);
            change.replace(&held, &set);
            let event = self.event(EventKind::KeyRotated, Outcome::Done, env).resource(&fresh.kid);
            change.event(&event.reason("emergency"));
            change.commit()?;
            Ok(fresh)
        })
    }

    /// Seals with the newest key of the ring what is sealed with an older one; answers whether anything was.
    ///
    /// # Errors
    /// A key cannot be opened, or the disk failed.
    pub fn reseal_keys(&self, env: &Env<'_>) -> Answer<bool> {
        again(|| {
            let held = self.held::<KeySet>(&[])?;
            let ring = self.identity().ring();
            let old = |sealed: &String| !decode(sealed).is_some_and(|bytes| secrets::is_newest(ring, &bytes));
            let mut set = held.value.clone();
            let names = set.keys.iter_mut().map(|key| (key.kid.clone(), &mut key.sealed));
            let mut sealed_anew = false;
            for (name, sealed) in names.chain([("mac".to_owned(), &mut set.mac)]).filter(|(_, sealed)| old(sealed)) {
                let bytes = decode(sealed).unwrap_or_default();
                let plain = secrets::open(ring, Hierarchy::System, &place(self.number(), &name), &bytes)
                    .map_err(|error| Refusal::failed("keys.open", format!("key `{name}`: {error}")))?;
                *sealed = self.seal(&name, &plain, env)?;
                sealed_anew = true;
            }
            if sealed_anew {
                let mut change = self.change(env);
                change.replace(&held, &set);
                change.commit()?;
            }
            Ok(sealed_anew)
        })
    }
}
