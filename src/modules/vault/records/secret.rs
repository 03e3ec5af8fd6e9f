//! What is sealed of a credential, while it is open.

use crate::identity::{Answer, ErrorCode, Refusal, Seconds};
use crate::secrets::Filter;
use serde::{Deserialize, Serialize};
use std::fmt;
use zeroize::Zeroize as _;

/// A text that is overwritten when it is dropped, and never shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Hidden(String);

impl Hidden {
    /// Hides a text.
    #[must_use]
    pub fn new(text: String) -> Hidden {
        Hidden(text)
    }
}

impl std::ops::Deref for Hidden {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hidden")
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// What is sealed of a credential.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Secret {
    /// Tokens of an OAuth server.
    Oauth2 {
        /// What is shown to the API.
        access_token: Hidden,
        /// What gets the next one.
        refresh_token: Option<Hidden>,
    },
    /// The key of a service account.
    ServiceAccount {
        /// In PEM (PKCS #8).
        private_key: Hidden,
        /// What is shown to the API, once one was had.
        access_token: Option<Hidden>,
    },
    /// A key or a personal access token.
    ApiKey {
        /// The key.
        key: Hidden,
    },
    /// A user and a password.
    Basic {
        /// The user, who is no secret.
        user: String,
        /// The password.
        password: Hidden,
    },
}

impl Secret {
    /// All that may not leave.
    pub fn texts(&self) -> Vec<&str> {
        match self {
            Secret::Oauth2 { access_token, refresh_token } => {
                std::iter::once(access_token).chain(refresh_token).map(|text| &**text).collect()
            }
            Secret::ServiceAccount { private_key, access_token } => {
                std::iter::once(private_key).chain(access_token).map(|text| &**text).collect()
            }
            Secret::ApiKey { key } => vec![&**key],
            Secret::Basic { password, .. } => vec![&**password],
        }
    }

    /// What the API is shown, where that is a token of its own.
    #[must_use]
    pub fn access_token(&self) -> Option<&str> {
        match self {
            Secret::Oauth2 { access_token, .. } => Some(access_token),
            Secret::ServiceAccount { access_token, .. } => access_token.as_ref().map(|token| &**token),
            Secret::ApiKey { .. } | Secret::Basic { .. } => None,
        }
    }

    /// Sees that all of it can be kept from leaving: what could not be told from ordinary text is not taken.
    ///
    /// # Errors
    /// It could not.
    pub fn check(&self) -> Answer<()> {
        for text in self.texts() {
            Filter::takes(text.as_bytes())
                .map_err(|error| Refusal::new(ErrorCode::InvalidRequest, "vault.secret", error.to_string()))?;
        }
        Ok(())
    }
}

/// A credential before it is stored.
#[derive(Clone, Debug)]
pub(in super::super) struct NewCredential {
    /// What it is for, as the other side says.
    pub scopes: Vec<String>,
    /// When the access token is over.
    pub expires_at: Option<Seconds>,
    /// Whether another can be had.
    pub refreshable: bool,
    /// The secret.
    pub secret: Secret,
}
