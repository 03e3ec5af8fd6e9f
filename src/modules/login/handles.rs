//! What names users to authenticators. Credentials are records of `identity`; what is in their sealed data is said in
//! `factors.rs`.

use super::passkey::USER_HANDLE_BYTES;
use crate::engine::Module;
use crate::identity::{Answer, Env, Refusal, Stored, Tenant, again, decode, encode};
use serde::{Deserialize, Serialize};

/// The module whose records these are.
pub const LOGIN: Module = Module::new("login");

/// What a user is called by authenticators: random, so that it says nothing (Web Authentication Level 3, 14.6.1).
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Handle {
    handle: String,
}

impl Stored for Handle {
    const MODULE: Module = LOGIN;
    const SORT: u8 = b'h';
    const WHAT: &'static str = "handle of a user";
}

/// Whose a handle is.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HandleOwner {
    user: String,
}

impl Stored for HandleOwner {
    const MODULE: Module = LOGIN;
    const SORT: u8 = b'o';
    const WHAT: &'static str = "owner of a handle";
}

fn damaged() -> Refusal {
    Refusal::failed("login.handle", "a handle has not the form of one")
}

fn bytes(handle: &str) -> Answer<[u8; USER_HANDLE_BYTES]> {
    decode(handle).and_then(|bytes| bytes.try_into().ok()).ok_or_else(damaged)
}

/// What names a user to authenticators; made when it is first asked for.
///
/// # Errors
/// The disk failed.
pub(super) fn handle_of(tenant: &Tenant, user: &str, env: &Env<'_>) -> Answer<[u8; USER_HANDLE_BYTES]> {
    again(|| {
        if let Some(held) = tenant.get::<Handle>(&[user])? {
            return bytes(&held.handle);
        }
        let fresh = env.bytes::<USER_HANDLE_BYTES>();
        let handle = encode(&fresh);
        let mut change = tenant.change(env);
        change.create(&[&handle], &HandleOwner { user: user.to_owned() });
        change.create(&[user], &Handle { handle });
        change.commit()?;
        Ok(fresh)
    })
}

/// The user that authenticators call so.
///
/// # Errors
/// The disk failed.
pub(super) fn user_of_handle(tenant: &Tenant, handle: [u8; USER_HANDLE_BYTES]) -> Answer<Option<String>> {
    Ok(tenant.get::<HandleOwner>(&[&encode(&handle)])?.map(|held| held.value.user))
}
