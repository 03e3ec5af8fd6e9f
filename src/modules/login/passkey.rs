//! Passkeys (Web Authentication Level 3): registration and sign-in, always discoverable, always with verification of the user.
//!
//! What a ceremony must remember is a [`Ceremony`]: the caller seals it, gives it to the browser with the options, and opens
//! it when the browser answers. So a page that is merely looked at writes nothing and fills no table. A ceremony of sign-in
//! is good once: the passkey remembers which it was used in, until they are over anyway.

use serde::{Deserialize, Serialize};
use webauthn_rs::prelude::{
    DiscoverableAuthentication, Passkey, PasskeyRegistration, PublicKeyCredential, RegisterPublicKeyCredential, Url,
    Uuid, Webauthn, WebauthnBuilder, WebauthnError,
};

/// How long a ceremony may take, in seconds. Web Authentication Level 3, 15.1, recommends 5 to 10 minutes.
pub const CEREMONY_SECONDS: u64 = 600;
/// Longest answer of a browser, in bytes.
pub const PASSKEY_RESPONSE_BYTES_MAX: usize = 32 << 10;
/// Most passkeys of a user.
pub const PASSKEYS_MAX: usize = 20;
/// Most sign-ins with one passkey within [`CEREMONY_SECONDS`].
pub const PASSKEY_USES_MAX: usize = 32;
/// Bytes of what names a user to an authenticator. It says nothing of who it is.
pub const USER_HANDLE_BYTES: usize = 16;

/// Why a ceremony came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasskeyError {
    /// Over [`PASSKEY_RESPONSE_BYTES_MAX`], or not of the form.
    #[error("the browser's answer has not the form of one")]
    Form,
    /// It does not prove what it should: another challenge, site, key or user, or the user was not verified.
    #[error("the passkey does not prove who you are")]
    Unproved,
    /// Its count of signatures went back: there may be a copy of it.
    #[error("the passkey's count of signatures went back; there may be a copy of it")]
    Copied,
    /// The ceremony was used already.
    #[error("this attempt was used already")]
    Replayed,
    /// It is registered already.
    #[error("this passkey is registered already")]
    Known,
    /// The browser says that it cannot be found again without the account's name.
    #[error("this key cannot keep a passkey")]
    NotDiscoverable,
    /// Over [`PASSKEYS_MAX`] or [`PASSKEY_USES_MAX`].
    #[error("there are too many")]
    Full,
    /// The library fails.
    #[error("the ceremony cannot be prepared")]
    Library,
}

impl PasskeyError {
    /// A short word that does not change, for the log and the audit.
    #[must_use]
    pub fn rule(self) -> &'static str {
        match self {
            PasskeyError::Form => "passkey.form",
            PasskeyError::Unproved => "passkey.unproved",
            PasskeyError::Copied => "passkey.copied",
            PasskeyError::Replayed => "passkey.replayed",
            PasskeyError::Known => "passkey.known",
            PasskeyError::NotDiscoverable => "passkey.not_discoverable",
            PasskeyError::Full => "passkey.full",
            PasskeyError::Library => "passkey.library",
        }
    }
}

/// A passkey as it is kept with its user. There is nothing secret in it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PasskeyRecord {
    /// What the library keeps: id, public key, count, backup state.
    key: Passkey,
    /// The ceremonies it was used in, with when they are over, in seconds since 1970.
    // INVARIANT: at most PASSKEY_USES_MAX; made only by `Passkeys::finish_sign_in`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    used: Vec<(String, u64)>,
}

impl PasskeyRecord {
    /// Its id, as authenticators make them.
    #[must_use]
    pub fn id(&self) -> &[u8] {
        self.key.cred_id().as_ref()
    }
}

/// What a ceremony of registration must remember.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Registration(PasskeyRegistration);

/// What a ceremony of sign-in must remember.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignIn {
    state: DiscoverableAuthentication,
    /// What tells it from others: the hash of its challenge.
    id: String,
    /// When it is over, in seconds since 1970.
    until: u64,
}

/// What a browser says: which passkey, and whose it is. It is proved by [`Passkeys::finish_sign_in`] only.
#[derive(Debug)]
pub struct Claim {
    response: PublicKeyCredential,
}

impl Claim {
    /// Reads what the browser answered.
    ///
    /// # Errors
    /// It is too long or not of the form.
    pub fn read(response: &str) -> Result<Claim, PasskeyError> {
        Ok(Claim { response: read(response)? })
    }

    /// The id of the passkey.
    #[must_use]
    pub fn passkey(&self) -> &[u8] {
        self.response.get_credential_id()
    }

    /// The handle of the user that it was registered for.
    #[must_use]
    pub fn user(&self) -> Option<[u8; USER_HANDLE_BYTES]> {
        self.response.get_user_unique_id()?.try_into().ok()
    }
}

/// The ceremonies of one site.
pub struct Passkeys {
    webauthn: Webauthn,
}

impl Passkeys {
    /// Those of an issuer's host. `None` when it has no name: a site that is an IP address can have no passkeys.
    #[must_use]
    pub fn new(issuer: &str, name: &str) -> Option<Passkeys> {
        let issuer = Url::parse(issuer).ok()?;
        let host = issuer.domain()?.to_owned();
        let webauthn = WebauthnBuilder::new(&host, &issuer).ok()?.rp_name(name).build().ok()?;
        Some(Passkeys { webauthn })
    }

    /// Begins a registration: the options for `navigator.credentials.create`, as JSON, and what to remember.
    /// The handle names the user to authenticators for ever; name and display name are what they show.
    ///
    /// # Errors
    /// The user has [`PASSKEYS_MAX`] of them, or the library fails.
    pub fn begin_registration(
        &self,
        handle: [u8; USER_HANDLE_BYTES],
        name: &str,
        display_name: &str,
        held: &[PasskeyRecord],
    ) -> Result<(String, Registration), PasskeyError> {
        if held.len() >= PASSKEYS_MAX {
            return Err(PasskeyError::Full);
        }
        let held = held.iter().map(|p| p.key.cred_id().clone()).collect();
        let begun = self.webauthn.start_passkey_registration(Uuid::from_bytes(handle), name, display_name, Some(held));
        let (options, state) = begun.map_err(|_| PasskeyError::Library)?;
        let mut options = serde_json::to_value(&options).map_err(|_| PasskeyError::Library)?;
        // Sign-in asks for no name first, so that a key that cannot be found without one is of no use.
        let selection = options.pointer_mut("/publicKey/authenticatorSelection").and_then(|s| s.as_object_mut());
        let selection = selection.ok_or(PasskeyError::Library)?;
        selection.insert("residentKey".to_owned(), "required".into());
        selection.insert("requireResidentKey".to_owned(), true.into());
        Ok((options.to_string(), Registration(state)))
    }

    /// Ends a registration: the passkey to keep. That no other user has it is for the caller to see to.
    ///
    /// # Errors
    /// The answer proves nothing, or the passkey is held already.
    pub fn finish_registration(
        &self,
        response: &str,
        begun: &Registration,
        held: &[PasskeyRecord],
    ) -> Result<PasskeyRecord, PasskeyError> {
        let response: RegisterPublicKeyCredential = read(response)?;
        if response.extensions.cred_props.as_ref().is_some_and(|props| props.rk == Some(false)) {
            return Err(PasskeyError::NotDiscoverable);
        }
        if held.len() >= PASSKEYS_MAX {
            return Err(PasskeyError::Full);
        }
        let key = self.webauthn.finish_passkey_registration(&response, &begun.0).map_err(|error| judge(&error))?;
        if held.iter().any(|p| p.id() == key.cred_id().as_slice()) {
            return Err(PasskeyError::Known);
        }
        Ok(PasskeyRecord { key, used: Vec::new() })
    }

    /// Begins a sign-in of whoever has a passkey of this site: the options for `navigator.credentials.get`, as JSON, and
    /// what to remember. `now` is in seconds since 1970.
    ///
    /// # Errors
    /// The library fails.
    pub fn begin_sign_in(&self, now: u64) -> Result<(String, SignIn), PasskeyError> {
        let (options, state) = self.webauthn.start_discoverable_authentication().map_err(|_| PasskeyError::Library)?;
        let options = serde_json::to_value(&options).map_err(|_| PasskeyError::Library)?;
        let challenge =
            options.pointer("/publicKey/challenge").and_then(|c| c.as_str()).ok_or(PasskeyError::Library)?;
        let id = crate::identity::hash_of(challenge);
        Ok((options.to_string(), SignIn { state, id, until: now.saturating_add(CEREMONY_SECONDS) }))
    }

    /// Ends a sign-in: the passkey as it is to be kept from now on. Keep it, on the expectation that it is as it was read,
    /// in the write that starts the session: so a ceremony is used once.
    ///
    /// `owner` is the handle of the user whose passkey it is.
    ///
    /// # Errors
    /// The claim is not proved, or the ceremony is over or was used.
    pub fn finish_sign_in(
        &self,
        claim: &Claim,
        begun: SignIn,
        passkey: &PasskeyRecord,
        owner: [u8; USER_HANDLE_BYTES],
        now: u64,
    ) -> Result<PasskeyRecord, PasskeyError> {
        let SignIn { state, id, until } = begun;
        if until <= now || claim.user() != Some(owner) {
            return Err(PasskeyError::Unproved);
        }
        let mut used: Vec<(String, u64)> = passkey.used.iter().filter(|(_, until)| *until > now).cloned().collect();
        if used.iter().any(|(other, _)| *other == id) {
            return Err(PasskeyError::Replayed);
        }
        if used.len() >= PASSKEY_USES_MAX {
            return Err(PasskeyError::Full);
        }
        let proved = self.webauthn.finish_discoverable_authentication_v2(&claim.response, state, &passkey.key);
        let proved = proved.map_err(|error| judge(&error))?;
        if !proved.user_verified() {
            return Err(PasskeyError::Unproved);
        }
        let mut key = passkey.key.clone();
        key.update_credential(&proved).ok_or(PasskeyError::Unproved)?;
        used.push((id, until));
        Ok(PasskeyRecord { key, used })
    }
}

fn read<T: for<'de> Deserialize<'de>>(response: &str) -> Result<T, PasskeyError> {
    if response.len() > PASSKEY_RESPONSE_BYTES_MAX {
        return Err(PasskeyError::Form);
    }
    serde_json::from_str(response).map_err(|_| PasskeyError::Form)
}

#[expect(clippy::wildcard_enum_match_arm, reason = "of a hundred ways to prove nothing two are told apart")]
fn judge(error: &WebauthnError) -> PasskeyError {
    match error {
        WebauthnError::CredentialPossibleCompromise => PasskeyError::Copied,
        WebauthnError::CredentialExcludedFromRequest => PasskeyError::Known,
        _ => PasskeyError::Unproved,
    }
}
