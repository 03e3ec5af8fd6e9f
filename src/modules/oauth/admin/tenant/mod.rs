//! A tenant's signing keys and settings, as an administrator sees and changes them.

pub mod http;

use crate::identity::{Answer, Env, KeyState, SigningKey, Tenant};
use serde_json::{Value, json};

/// The scope that reads which keys sign, and the one that rotates and replaces them.
pub const KEYS_READ: &str = "keys:read";
/// See [`KEYS_READ`].
pub const KEYS_WRITE: &str = "keys:write";
/// The scope that reads the settings of the tenant, and the one that changes them.
pub const SETTINGS_READ: &str = "settings:read";
/// See [`SETTINGS_READ`].
pub const SETTINGS_WRITE: &str = "settings:write";

/// A key as it is answered: what is public of it.
fn key_json(key: &SigningKey, state: KeyState) -> Value {
    let state = match state {
        KeyState::Next => "next",
        KeyState::Current => "current",
        KeyState::Old => "old",
    };
    json!({
        "kid": key.kid,
        "alg": key.algorithm(),
        "state": state,
        "created_at": key.created_at,
        "signs_from": key.signs_from,
        "published_until": key.published_until,
    })
}

/// All keys that are published.
fn keys(tenant: &Tenant, env: &Env<'_>) -> Answer<Value> {
    let keys = tenant.signing_keys(env)?;
    Ok(json!({"keys": keys.iter().map(|(key, state)| key_json(key, *state)).collect::<Vec<_>>()}))
}

/// The settings, and whose they are.
fn settings(tenant: &Tenant) -> Value {
    json!({"tenant": tenant.name(), "issuer": tenant.issuer(), "settings": tenant.settings()})
}
