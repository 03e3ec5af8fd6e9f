//! What a user can show, over the sealed credentials of `identity`: what is in each, and how it is used once.
//!
//! | kind | data |
//! |---|---|
//! | password | a PHC string; of several the newest counts |
//! | totp | JSON: the secret, and the step that was accepted last |
//! | recovery | JSON: the hashes of the codes that are left |
//! | passkey | JSON: a [`PasskeyRecord`] |
//!
//! Using one that changes by use rests on what was read: of two that use the same code at once, one finds it used.

use super::passkey::{Claim, PasskeyError, PasskeyRecord, Passkeys, SignIn};
use super::password::Stored;
use super::totp::{RECOVERY_CODE_BYTES, RECOVERY_CODES, TOTP_SECRET_BYTES, TotpSecret, recovery_code, recovery_hash};
use super::{handles, password};
use crate::identity::{
    self, Answer, Credential, CredentialKind, Env, Held, Refusal, Tenant, User, again, decode, encode,
};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize as _, Zeroizing};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TotpData {
    secret: String,
    /// The step that was accepted last.
    last: Option<u64>,
}

impl Drop for TotpData {
    fn drop(&mut self) {
        self.secret.zeroize();
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RecoveryData {
    hashes: Vec<String>,
}

/// The credentials of a user by what they are for.
pub struct Factors {
    all: Vec<Held<Credential>>,
}

fn damaged(kind: CredentialKind) -> Refusal {
    Refusal::failed("credential.form", format!("a credential of kind {} has not the form of one", kind.name()))
}

impl Factors {
    /// Those of a user.
    ///
    /// # Errors
    /// The disk failed.
    pub fn of(tenant: &Tenant, user: &str) -> Answer<Factors> {
        Ok(Factors { all: tenant.credentials(user)? })
    }

    /// All of them, in the order in which they were added.
    #[must_use]
    pub fn all(&self) -> &[Held<Credential>] {
        &self.all
    }

    /// The newest of a kind.
    #[must_use]
    pub fn newest(&self, kind: CredentialKind) -> Option<&Held<Credential>> {
        self.all.iter().rev().find(|c| c.kind == kind)
    }

    /// Whether there is one of a kind.
    #[must_use]
    pub fn has(&self, kind: CredentialKind) -> bool {
        self.newest(kind).is_some()
    }

    /// Whether one can still sign in when a credential is gone. What alone signs nobody in is no way in.
    #[must_use]
    pub fn is_last_way_in(&self, id: &str) -> bool {
        let way = |c: &&Held<Credential>| match c.kind {
            CredentialKind::Password | CredentialKind::Passkey | CredentialKind::Upstream => true,
            CredentialKind::Totp | CredentialKind::Recovery => false,
        };
        let mut ways = self.all.iter().filter(way);
        ways.next().is_some_and(|first| first.id == id) && ways.next().is_none()
    }

    /// The password, as it is kept.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn password(&self, tenant: &Tenant) -> Answer<Option<Stored>> {
        let Some(held) = self.newest(CredentialKind::Password) else { return Ok(None) };
        let data = tenant.open_credential(held)?;
        let stored = std::str::from_utf8(&data).ok().and_then(Stored::read);
        stored.map(Some).ok_or_else(|| damaged(CredentialKind::Password))
    }

    /// The passkeys, each with its credential.
    ///
    /// # Errors
    /// One cannot be opened.
    pub fn passkeys(&self, tenant: &Tenant) -> Answer<Vec<(&Held<Credential>, PasskeyRecord)>> {
        let passkeys = self.all.iter().filter(|c| c.kind == CredentialKind::Passkey);
        passkeys
            .map(|held| {
                let record = serde_json::from_slice(&tenant.open_credential(held)?);
                Ok((held, record.map_err(|_| damaged(CredentialKind::Passkey))?))
            })
            .collect()
    }
}

/// Notes that the password was right, and keeps it anew when it was kept too cheaply.
///
/// # Errors
/// The disk failed.
pub(super) fn used_password(
    tenant: &Tenant,
    factors: &Factors,
    dearer: Option<&password::Stored>,
    env: &Env<'_>,
) -> Answer<()> {
    let Some(held) = factors.newest(CredentialKind::Password) else { return Ok(()) };
    match tenant.use_credential(held, dearer.map(|s| s.text().as_bytes()), env) {
        // Somebody with the same password was faster, and noted the same.
        Err(refusal) if refusal.is_stale() => Ok(()),
        done => done,
    }
}

/// Sets a password. Those before it are taken away.
///
/// # Errors
/// The disk failed.
pub fn set_password(tenant: &Tenant, user: &str, stored: &Stored, env: &Env<'_>) -> Answer<()> {
    let before = Factors::of(tenant, user)?;
    // First the new one, which is the one that counts from then on.
    tenant.add_credential(user, CredentialKind::Password, "Password", stored.text().as_bytes(), env)?;
    for old in before.all.iter().filter(|c| c.kind == CredentialKind::Password) {
        tenant.remove_credential(user, &old.id, env)?;
    }
    Ok(())
}

/// Uses a code of the user's app; whether it was good.
///
/// # Errors
/// The disk failed.
pub(super) fn use_totp(tenant: &Tenant, user: &str, code: &str, env: &Env<'_>) -> Answer<bool> {
    again(|| {
        let factors = Factors::of(tenant, user)?;
        let Some(held) = factors.newest(CredentialKind::Totp) else { return Ok(false) };
        let mut data: TotpData =
            serde_json::from_slice(&tenant.open_credential(held)?).map_err(|_| damaged(CredentialKind::Totp))?;
        let secret = Zeroizing::new(decode(&data.secret).unwrap_or_default());
        let secret: [u8; TOTP_SECRET_BYTES] =
            secret.as_slice().try_into().map_err(|_| damaged(CredentialKind::Totp))?;
        let Some(step) = TotpSecret::new(secret).check(code, env.seconds(), data.last) else { return Ok(false) };
        data.last = Some(step);
        tenant.use_credential(held, Some(&json(&data)?), env)?;
        Ok(true)
    })
}

/// The step up to which the codes of a secret were used, if it is the secret of the user's app already.
///
/// # Errors
/// It cannot be opened.
pub(super) fn last_totp_step(tenant: &Tenant, factors: &Factors, secret: &TotpSecret) -> Answer<Option<u64>> {
    let Some(held) = factors.newest(CredentialKind::Totp) else { return Ok(None) };
    let data: TotpData =
        serde_json::from_slice(&tenant.open_credential(held)?).map_err(|_| damaged(CredentialKind::Totp))?;
    Ok(data.last.filter(|_| identity::same(&data.secret, &encode(secret.bytes()))))
}

/// Adds an app, whose first code was good at `step`. Apps before it are taken away.
///
/// # Errors
/// The disk failed.
pub fn add_totp(tenant: &Tenant, user: &str, secret: &TotpSecret, step: u64, env: &Env<'_>) -> Answer<()> {
    let before = Factors::of(tenant, user)?;
    let data = TotpData { secret: encode(secret.bytes()), last: Some(step) };
    tenant.add_credential(user, CredentialKind::Totp, "Authenticator app", &json(&data)?, env)?;
    for old in before.all.iter().filter(|c| c.kind == CredentialKind::Totp) {
        tenant.remove_credential(user, &old.id, env)?;
    }
    Ok(())
}

/// Makes recovery codes, and answers them: they are not kept. Those before are void.
///
/// # Errors
/// The disk failed.
pub fn make_recovery_codes(tenant: &Tenant, user: &str, env: &Env<'_>) -> Answer<Vec<Zeroizing<String>>> {
    let before = Factors::of(tenant, user)?;
    let codes: Vec<Zeroizing<String>> =
        (0..RECOVERY_CODES).map(|_| recovery_code(&env.bytes::<RECOVERY_CODE_BYTES>())).collect();
    let owner = owner(tenant, user);
    let hashes = codes.iter().filter_map(|code| recovery_hash(code, &owner)).map(|hash| encode(&hash)).collect();
    let data = json(&RecoveryData { hashes })?;
    tenant.add_credential(user, CredentialKind::Recovery, "Recovery codes", &data, env)?;
    for old in before.all.iter().filter(|c| c.kind == CredentialKind::Recovery) {
        tenant.remove_credential(user, &old.id, env)?;
    }
    Ok(codes)
}

/// Uses a recovery code; whether it was good.
///
/// # Errors
/// The disk failed.
pub(super) fn use_recovery_code(tenant: &Tenant, user: &str, code: &str, env: &Env<'_>) -> Answer<bool> {
    let Some(hash) = recovery_hash(code, &owner(tenant, user)).map(|hash| encode(&hash)) else { return Ok(false) };
    again(|| {
        let factors = Factors::of(tenant, user)?;
        let Some(held) = factors.newest(CredentialKind::Recovery) else { return Ok(false) };
        let mut data: RecoveryData =
            serde_json::from_slice(&tenant.open_credential(held)?).map_err(|_| damaged(CredentialKind::Recovery))?;
        let before = data.hashes.len();
        data.hashes.retain(|other| *other != hash); // hashes of 80 random bits: their order in time tells nothing
        if data.hashes.len() == before {
            return Ok(false);
        }
        tenant.use_credential(held, Some(&json(&data)?), env)?;
        Ok(true)
    })
}

/// How many recovery codes are left.
///
/// # Errors
/// They cannot be opened.
pub(super) fn recovery_codes_left(tenant: &Tenant, held: &Credential) -> Answer<usize> {
    let data: RecoveryData =
        serde_json::from_slice(&tenant.open_credential(held)?).map_err(|_| damaged(CredentialKind::Recovery))?;
    Ok(data.hashes.len())
}

/// Adds a passkey.
///
/// # Errors
/// The disk failed.
pub fn add_passkey(tenant: &Tenant, user: &str, label: &str, record: &PasskeyRecord, env: &Env<'_>) -> Answer<()> {
    let label = if label.trim().is_empty() { "Passkey" } else { label.trim() };
    tenant.add_credential(user, CredentialKind::Passkey, label, &json(record)?, env)?;
    Ok(())
}

/// Why nobody is signed in by a passkey, and whose it is, if that is proved or was claimed rightly.
pub(super) struct Unused {
    /// Why.
    pub error: PasskeyError,
    /// Whose.
    pub user: Option<Held<User>>,
}

/// Uses a passkey: the user whose it is, or why nobody is signed in.
///
/// # Errors
/// The disk failed.
pub(super) fn use_passkey(
    tenant: &Tenant,
    passkeys: &Passkeys,
    claim: &Claim,
    begun: SignIn,
    env: &Env<'_>,
) -> Answer<Result<Held<User>, Unused>> {
    let nobody = || Ok(Err(Unused { error: PasskeyError::Unproved, user: None }));
    let Some(handle) = claim.user() else { return nobody() };
    let Some(user) = handles::user_of_handle(tenant, handle)? else { return nobody() };
    let user = match tenant.user(&user) {
        Ok(user) => user,
        Err(refusal) if refusal.rule == "not_found" => return nobody(),
        Err(refusal) => return Err(refusal),
    };
    let factors = Factors::of(tenant, &user.id)?;
    let held = factors.passkeys(tenant)?;
    let Some((credential, record)) = held.iter().find(|(_, record)| record.id() == claim.passkey()) else {
        return nobody();
    };
    let record = match passkeys.finish_sign_in(claim, begun, record, handle, env.seconds()) {
        Ok(record) => record,
        Err(error) => return Ok(Err(Unused { error, user: Some(user) })),
    };
    match tenant.use_credential(credential, Some(&json(&record)?), env) {
        Ok(()) => Ok(Ok(user)),
        // It was used at this very moment; whether in this ceremony is not worth finding out.
        Err(refusal) if refusal.is_stale() => Ok(Err(Unused { error: PasskeyError::Replayed, user: Some(user) })),
        Err(refusal) => Err(refusal),
    }
}

fn owner(tenant: &Tenant, user: &str) -> Vec<u8> {
    [&tenant.number().to_be_bytes()[..], user.as_bytes()].concat()
}

fn json<T: Serialize>(data: &T) -> Answer<Zeroizing<Vec<u8>>> {
    let json = serde_json::to_vec(data).map_err(|error| Refusal::failed("credential.form", error.to_string()))?;
    Ok(Zeroizing::new(json))
}
