//! The keys with which a tenant signs, and their rotation.
//!
//! A key goes three ways: *next*, published and not used, so that every cache has it; *current*, which signs; *old*, published
//! until nothing that it signed lives. In an emergency all go at once, and with them every token. The private parts are
//! sealed by the key ring at the place of their record.

use super::jwt::{self, Verified};
use super::pairs::{Pair, SigningAlgorithm};
use super::{
    Answer, Change, Env, ErrorCode, EventKind, Held, Outcome, Refusal, Seconds, Stored, Tenant, again, decode, encode,
    record_key,
};
use crate::secrets::{self, Hierarchy};
use aws_lc_rs::hmac;
use jsonwebtoken::DecodingKey;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;

/// Most keys of an algorithm that a tenant has at a time.
pub const SIGNING_KEYS_MAX: usize = 8;
/// How much longer than the longest life of a token an old key is published.
const MARGIN_S: Seconds = 300;

/// A key that signs, will sign, or has signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SigningKey {
    /// Its id in tokens and in the published set.
    pub kid: String,
    /// The public point of P-256, as in a JWK; empty for another algorithm.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    x: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    y: String,
    /// The public modulus and exponent of RSA, as in a JWK; empty for another algorithm.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    n: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    e: String,
    /// When it was made.
    pub created_at: Seconds,
    /// From when it signs.
    pub signs_from: Seconds,
    /// Until when it is published; open while no other takes its place.
    pub published_until: Option<Seconds>,
    /// The private part, sealed.
    sealed: String,
}

impl SigningKey {
    /// What it signs with.
    #[must_use]
    pub fn algorithm(&self) -> SigningAlgorithm {
        if self.n.is_empty() { SigningAlgorithm::Es256 } else { SigningAlgorithm::Rs256 }
    }

    fn jwk(&self) -> Value {
        let mut jwk = match self.algorithm() {
            SigningAlgorithm::Es256 => json!({"kty": "EC", "crv": "P-256", "x": self.x, "y": self.y}),
            SigningAlgorithm::Rs256 => json!({"kty": "RSA", "n": self.n, "e": self.e}),
        };
        if let Some(members) = jwk.as_object_mut() {
            members.insert("use".to_owned(), "sig".into());
            members.insert("alg".to_owned(), self.algorithm().name().into());
            members.insert("kid".to_owned(), self.kid.as_str().into());
        }
        jwk
    }

    fn verifying(&self) -> Option<DecodingKey> {
        match self.algorithm() {
            SigningAlgorithm::Es256 => DecodingKey::from_ec_components(&self.x, &self.y).ok(),
            SigningAlgorithm::Rs256 => DecodingKey::from_rsa_components(&self.n, &self.e).ok(),
        }
    }
}

/// All keys of a tenant, in one record, so that a rotation is one change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeySet {
    // INVARIANT: of each algorithm `signs_from` ascends, and at least one signs at any time since there was one; one of ES256
    // there was when the tenant was made.
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
    fn of(&self, algorithm: SigningAlgorithm) -> impl DoubleEndedIterator<Item = &SigningKey> {
        self.keys.iter().filter(move |key| key.algorithm() == algorithm)
    }

    /// The algorithms of which there is a key.
    fn algorithms(&self) -> Vec<SigningAlgorithm> {
        let all = SigningAlgorithm::ALL.map(|(algorithm, _)| algorithm);
        all.into_iter().filter(|algorithm| self.of(*algorithm).next().is_some()).collect()
    }

    /// The key that signs at a time: the last that has begun to.
    fn current(&self, algorithm: SigningAlgorithm, now: Seconds) -> Option<&SigningKey> {
        self.of(algorithm).rfind(|key| key.signs_from <= now).or_else(|| self.of(algorithm).next())
    }

    fn published(&self, now: Seconds) -> impl Iterator<Item = &SigningKey> {
        self.keys.iter().filter(move |key| key.published_until.is_none_or(|until| now < until))
    }

    fn state(&self, key: &SigningKey, now: Seconds) -> KeyState {
        match self.current(key.algorithm(), now) {
            Some(current) if current.kid == key.kid => KeyState::Current,
            _ if key.signs_from > now => KeyState::Next,
            _ => KeyState::Old,
        }
    }

    /// Adds a key that signs from a time on. `old_life_s` is how long what the others of its algorithm signed may live from then.
    fn add(&mut self, fresh: SigningKey, now: Seconds, old_life_s: Seconds) -> Answer<()> {
        let until = fresh.signs_from.saturating_add(old_life_s).saturating_add(MARGIN_S);
        self.keys.retain(|key| key.published_until.is_none_or(|until| now < until));
        let algorithm = fresh.algorithm();
        for key in self.keys.iter_mut().filter(|key| key.algorithm() == algorithm) {
            key.published_until = Some(key.published_until.unwrap_or(until).min(until));
        }
        self.keys.push(fresh);
        if self.of(algorithm).count() > SIGNING_KEYS_MAX {
            let text = format!("there are {SIGNING_KEYS_MAX} signing keys that tokens may still need; rotate later");
            return Err(Refusal::new(ErrorCode::Conflict, "keys.max", text));
        }
        Ok(())
    }
}

/// Keys that are opened: ready to sign and to verify.
pub(super) struct KeyChain {
    set: Held<KeySet>,
    pairs: Vec<(String, Pair)>,
    verifying: Vec<(String, SigningAlgorithm, DecodingKey)>,
    mac: hmac::Key,
}

impl KeyChain {
    /// Signs claims with the key of an algorithm that signs now.
    pub(super) fn sign(
        &self,
        algorithm: SigningAlgorithm,
        typ: &str,
        claims: &impl Serialize,
        now: Seconds,
    ) -> Answer<String> {
        let current = self.set.current(algorithm, now).map(|key| key.kid.as_str());
        let pair = self.pairs.iter().find(|(kid, _)| Some(kid.as_str()) == current);
        let (kid, pair) = pair.ok_or_else(|| Refusal::failed("keys.none", "no key signs"))?;
        jwt::sign(pair, Some(kid), typ, claims)
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
        let (_, algorithm, key) = self.verifying.iter().find(|(known, ..)| known == kid).ok_or_else(unknown)?;
        jwt::verify(token, algorithm.of_library(), key)
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

/// The first of some keys, which is of ES256.
fn first(keys: Vec<SigningKey>) -> Answer<SigningKey> {
    keys.into_iter().next().ok_or_else(|| Refusal::failed("keys.none", "no key was made"))
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

    fn fresh_key(&self, algorithm: SigningAlgorithm, signs_from: Seconds, env: &Env<'_>) -> Answer<SigningKey> {
        let (drawn, kid) = (Pair::draw(algorithm, env)?, env.id());
        let sealed = self.seal(&kid, &drawn.private, env)?;
        let ([x, y], [n, e]) = match algorithm {
            SigningAlgorithm::Es256 => (drawn.public, Default::default()),
            SigningAlgorithm::Rs256 => (Default::default(), drawn.public),
        };
        Ok(SigningKey { kid, x, y, n, e, created_at: env.seconds(), signs_from, published_until: None, sealed })
    }

    /// Adds the first keys to the change that makes the tenant.
    pub(super) fn first_keys(&self, change: &mut Change<'_>, env: &Env<'_>) -> Answer<()> {
        let mac = self.seal("mac", &env.bytes::<32>(), env)?;
        let set = KeySet { keys: vec![self.fresh_key(SigningAlgorithm::Es256, env.seconds(), env)?], mac };
        change.create(&[], &set);
        Ok(())
    }

    /// Adds to a change the first key of an algorithm, when there is none yet. It signs at once: nobody has kept a token of it.
    ///
    /// # Errors
    /// The disk failed.
    pub fn need_key(&self, change: &mut Change<'_>, algorithm: SigningAlgorithm, env: &Env<'_>) -> Answer<()> {
        let held = self.held::<KeySet>(&[])?;
        if held.of(algorithm).next().is_some() {
            return Ok(());
        }
        let fresh = self.fresh_key(algorithm, env.seconds(), env)?;
        let mut set = held.value.clone();
        change.event(&self.event(EventKind::KeyCreated, Outcome::Done, env).resource(&fresh.kid));
        set.add(fresh, env.seconds(), 0)?;
        change.replace(&held, &set);
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
            let pair = Pair::read(key.algorithm(), &private).ok_or_else(|| damaged(&key.kid))?;
            let public = key.verifying().ok_or_else(|| damaged(&key.kid))?;
            pairs.push((key.kid.clone(), pair));
            verifying.push((key.kid.clone(), key.algorithm(), public));
        }
        let mac = hmac::Key::new(hmac::HMAC_SHA256, &open("mac", &set.mac)?);
        let chain = Arc::new(KeyChain { set, pairs, verifying, mac });
        self.identity().opened().lock().insert(self.number(), Arc::clone(&chain));
        Ok(chain)
    }

    /// Signs claims as a token of a type, with the key of ES256 that signs now. For tokens that hang on no grant; others are made by
    /// [`Tenant::issue`](super::Tenant::issue).
    ///
    /// # Errors
    /// The keys cannot be opened.
    pub fn sign(&self, typ: &str, claims: &impl Serialize, env: &Env<'_>) -> Answer<String> {
        self.keys()?.sign(SigningAlgorithm::Es256, typ, claims, env.seconds())
    }

    /// As [`Tenant::sign`], with the key of another algorithm, of which there must be one ([`Tenant::need_key`]).
    ///
    /// # Errors
    /// The keys cannot be opened, or there is none.
    pub fn sign_with(
        &self,
        algorithm: SigningAlgorithm,
        typ: &str,
        claims: &impl Serialize,
        env: &Env<'_>,
    ) -> Answer<String> {
        self.keys()?.sign(algorithm, typ, claims, env.seconds())
    }

    /// What authenticates a text that comes back to this tenant. Texts of different meaning begin with different words: `bwr1.` are
    /// refresh tokens.
    ///
    /// # Errors
    /// The keys cannot be opened.
    pub fn mac(&self, text: &str) -> Answer<String> {
        Ok(self.keys()?.mac(text))
    }

    /// Whether it does.
    ///
    /// # Errors
    /// The keys cannot be opened.
    pub fn mac_is(&self, text: &str, mac: &str) -> Answer<bool> {
        Ok(self.keys()?.mac_is(text, mac))
    }

    /// The published keys, as a JWK set (RFC 7517).
    ///
    /// # Errors
    /// The disk failed.
    pub fn jwks(&self, env: &Env<'_>) -> Answer<Value> {
        let set = self.held::<KeySet>(&[])?;
        let keys: Vec<Value> = set.published(env.seconds()).map(SigningKey::jwk).collect();
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

    /// Plans the next key of each algorithm that there is one of: it is published now, and signs when every cache has it. Answers
    /// that of ES256.
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
            let life = settings.access_token_s.max(settings.id_token_s);
            let (mut set, mut change, mut made) = (held.value.clone(), self.change(env), Vec::new());
            for algorithm in set.algorithms() {
                let fresh = self.fresh_key(algorithm, now.saturating_add(settings.key_lead_s), env)?;
                change.event(&self.event(EventKind::KeyCreated, Outcome::Done, env).resource(&fresh.kid));
                set.add(fresh.clone(), now, life)?;
                made.push(fresh);
            }
            change.replace(&held, &set);
            change.commit()?;
            first(made)
        })
    }

    /// The same, when the newest key is older than keys grow; answers whether it was.
    ///
    /// # Errors
    /// As [`Tenant::rotate_keys`].
    pub fn rotate_old_keys(&self, env: &Env<'_>) -> Answer<bool> {
        let set = self.held::<KeySet>(&[])?;
        let due = |key: &SigningKey| key.signs_from.saturating_add(self.settings().key_life_s) <= env.seconds();
        let waits = set.keys.iter().any(|key| key.signs_from > env.seconds());
        let old = |algorithm: &SigningAlgorithm| set.of(*algorithm).next_back().is_some_and(due);
        if waits || !set.algorithms().iter().any(old) {
            return Ok(false);
        }
        self.rotate_keys(env).map(|_| true)
    }

    /// Throws all keys away and takes new ones at once: every token, refresh tokens too, is void. For when a key was seen by
    /// others. Answers that of ES256.
    ///
    /// # Errors
    /// The disk failed.
    pub fn replace_keys(&self, env: &Env<'_>) -> Answer<SigningKey> {
        again(|| {
            let held = self.held::<KeySet>(&[])?;
            let fresh = held.algorithms().into_iter().map(|algorithm| self.fresh_key(algorithm, env.seconds(), env));
            let keys: Vec<SigningKey> = fresh.collect::<Answer<_>>()?;
            let set = KeySet { keys: keys.clone(), mac: self.seal("mac", &env.bytes::<32>(), env)? };
            let mut change = self.change(env);
            change.replace(&held, &set);
            for key in &keys {
                let event = self.event(EventKind::KeyRotated, Outcome::Done, env).resource(&key.kid);
                change.event(&event.reason("emergency"));
            }
            change.commit()?;
            first(keys)
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
