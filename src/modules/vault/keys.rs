//! Keys with which we show at a provider who we are (`private_key_jwt`, RFC 7523 2.2): each connection has its own, sealed, and
//! the provider is given the public part alone, as a JWK or at `ISSUER/connect/ID/jwks`.
//!
//! There are two at most, so that one can be registered there before the other is gone: the first signs, both are published.

use super::connections;
use super::records::{ClientAuth, ClientKey, Connection, client_key, client_secret, seal_client_key};
use crate::identity::{
    Answer, Change, Env, ErrorCode, EventKind, Held, Outcome, Pair, Refusal, SigningAlgorithm, Tenant, again,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use zeroize::Zeroizing;

/// Most keys of a connection: one that signs, and one that is to take its place or did.
pub const CLIENT_KEYS_MAX: usize = 2;
/// Longest private key in PEM that is read: one of RSA with 8,192 bits has half of it.
const PEM_BYTES_MAX: usize = 16 << 10;

/// Where a key of ours comes from.
#[derive(Clone, Copy, Debug)]
pub enum KeyFrom<'a> {
    /// It is drawn here, and its private part was never elsewhere.
    Drawn(SigningAlgorithm),
    /// It is brought, in PEM.
    Pem(&'a str),
}

/// What is shown at a token endpoint, beside our id there.
pub(super) enum Proof {
    /// Nothing: we are a public client, whom PKCE protects.
    Nothing,
    /// Our secret.
    Secret(Zeroizing<String>),
    /// An assertion that this key signs.
    Key(Pair, String),
}

fn refuse(rule: &'static str, text: impl Into<String>) -> Refusal {
    Refusal::new(ErrorCode::InvalidRequest, rule, text)
}

/// What a connection shows at its provider's token endpoint.
///
/// # Errors
/// It has none of what its way of showing itself takes, or that does not open.
pub(super) fn proof(tenant: &Tenant, connection: &Connection) -> Answer<Proof> {
    match connection.spec.provider.client_auth() {
        None | Some(ClientAuth::None) => Ok(Proof::Nothing),
        Some(ClientAuth::Basic | ClientAuth::Post) => {
            let secret = client_secret(tenant, connection)?;
            let none = || Refusal::failed("connection.secret", "the connection has no client secret");
            secret.map(Proof::Secret).ok_or_else(none)
        }
        Some(ClientAuth::PrivateKeyJwt) => {
            let none = || Refusal::failed("connection.key", "the connection has no key that signs for it");
            let (kid, private) = client_key(tenant, connection)?.ok_or_else(none)?;
            let damaged = || Refusal::failed("connection.key", "the key of the connection is damaged");
            Ok(Proof::Key(of_pkcs8(&private).ok_or_else(damaged)?, kid))
        }
    }
}

/// The public keys of a connection, as a JWK set for its provider.
///
/// # Errors
/// There is no such connection, or it has no keys; both sound the same.
pub(super) fn published(tenant: &Tenant, id: &str) -> Answer<Value> {
    let connection = connections::get(tenant, id)?;
    if connection.keys.is_empty() {
        return Err(Refusal::not_found("connection"));
    }
    Ok(json!({"keys": connection.keys.iter().map(|key| &key.public).collect::<Vec<_>>()}))
}

/// Adds a key, and answers it. The first signs at once; the second when [`use_key`] says so, after it was registered at the
/// provider. `by` is who does it, as a subject.
///
/// # Errors
/// There is no such connection of OAuth, it has two, or what was brought is no key.
pub fn add_key(tenant: &Tenant, id: &str, from: KeyFrom<'_>, by: &str, env: &Env<'_>) -> Answer<ClientKey> {
    let private = match from {
        KeyFrom::Drawn(algorithm) => Zeroizing::new(Pair::draw(algorithm, env)?.private),
        KeyFrom::Pem(text) => der_of_pem(text)?,
    };
    let public = of_pkcs8(&private).and_then(|pair| pair.public_jwk()).ok_or_else(no_key)?;
    let kid = public.get("kid").and_then(Value::as_str).unwrap_or_default().to_owned();
    changed(tenant, (id, "connection.key.add", &kid), by, env, |held| {
        if held.spec.provider.client_auth().is_none() {
            let text = "only a connection of OAuth (`oauth2`, `identity_assertion`) shows itself with a key";
            return Err(refuse("connection.key", text));
        }
        if held.keys.len() >= CLIENT_KEYS_MAX {
            let text = format!("there are {CLIENT_KEYS_MAX} keys, which is the most; take the one away that is over");
            return Err(Refusal::new(ErrorCode::Conflict, "connection.key.max", text));
        }
        if held.keys.iter().any(|key| key.kid == kid) {
            return Err(Refusal::new(ErrorCode::Conflict, "connection.key.known", "the connection has this key"));
        }
        let sealed = seal_client_key(tenant, (id, &kid), &private, env)?;
        let key = ClientKey { kid: kid.clone(), public: public.clone(), created_at: env.seconds(), sealed };
        Ok(held.keys.iter().cloned().chain([key]).collect())
    })?;
    let known = connections::get(tenant, id)?.value.keys.into_iter().find(|key| key.kid == kid);
    known.ok_or_else(|| Refusal::not_found("key"))
}

/// Signs with a key from now on. The other stays published, and is taken away when the provider needs it no more.
///
/// # Errors
/// There is no such key.
pub fn use_key(tenant: &Tenant, id: &str, kid: &str, by: &str, env: &Env<'_>) -> Answer<()> {
    changed(tenant, (id, "connection.key.use", kid), by, env, |held| {
        let (wanted, others): (Vec<_>, Vec<_>) = held.keys.iter().cloned().partition(|key| key.kid == kid);
        if wanted.is_empty() { Err(Refusal::not_found("key")) } else { Ok([wanted, others].concat()) }
    })
}

/// Takes a key away.
///
/// # Errors
/// There is none, or the connection shows itself with it.
pub fn remove_key(tenant: &Tenant, id: &str, kid: &str, by: &str, env: &Env<'_>) -> Answer<()> {
    changed(tenant, (id, "connection.key.remove", kid), by, env, |held| {
        let signs = held.keys.first().is_some_and(|first| first.kid == kid);
        if signs && held.spec.provider.client_auth() == Some(ClientAuth::PrivateKeyJwt) {
            let text =
                "this key signs for the connection; let another sign first, or show the connection in another way";
            return Err(Refusal::new(ErrorCode::Conflict, "connection.key.signs", text));
        }
        let left: Vec<ClientKey> = held.keys.iter().filter(|key| key.kid != kid).cloned().collect();
        if left.len() == held.keys.len() { Err(Refusal::not_found("key")) } else { Ok(left) }
    })
}

/// Writes other keys, with the event of an action on one of them.
fn changed(
    tenant: &Tenant,
    (id, action, kid): (&str, &str, &str),
    by: &str,
    env: &Env<'_>,
    keys: impl Fn(&Held<Connection>) -> Answer<Vec<ClientKey>>,
) -> Answer<()> {
    again(|| {
        let held = connections::get(tenant, id)?;
        let new = Connection { keys: keys(&held)?, changed_at: env.seconds(), ..held.value.clone() };
        let mut change: Change<'_> = tenant.change(env);
        change.replace(&held, &new);
        let event = tenant.event(EventKind::AdminChanged, Outcome::Done, env).resource(held.object());
        change.event(&event.action(action).detail("key", kid).user(by));
        change.commit()?;
        Ok(())
    })
}

fn no_key() -> Refusal {
    let text = "a key is one of RSA (2,048 bits or more) or P-256 in PEM, beginning with `-----BEGIN PRIVATE KEY-----`";
    refuse("credential.key", text)
}

/// What stands in a PEM text, as PKCS #8.
fn der_of_pem(text: &str) -> Answer<Zeroizing<Vec<u8>>> {
    let body = Some(text.trim()).filter(|text| text.len() <= PEM_BYTES_MAX).ok_or_else(no_key)?;
    let body = body.strip_prefix("-----BEGIN PRIVATE KEY-----").ok_or_else(no_key)?;
    let body = body.strip_suffix("-----END PRIVATE KEY-----").ok_or_else(no_key)?;
    let letters: Zeroizing<String> = Zeroizing::new(body.chars().filter(|c| !c.is_ascii_whitespace()).collect());
    STANDARD.decode(letters.as_bytes()).map(Zeroizing::new).map_err(|_| no_key())
}

fn of_pkcs8(der: &[u8]) -> Option<Pair> {
    [SigningAlgorithm::Rs256, SigningAlgorithm::Es256].into_iter().find_map(|algorithm| Pair::read(algorithm, der))
}

/// Reads a private key in PEM (PKCS #8).
///
/// # Errors
/// It is none, or of another kind.
pub(super) fn read_pem(text: &str) -> Answer<Pair> {
    of_pkcs8(&der_of_pem(text)?).ok_or_else(no_key)
}
