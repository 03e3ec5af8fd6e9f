//! Reports of accounts: what other systems say of those with which programs work there. Pure.

use super::records::{NAME_BYTES_MAX, check_text};
use crate::identity::{Answer, ErrorCode, Refusal, Seconds};
use serde::{Deserialize, Serialize};

/// Most accounts of one report.
pub const ACCOUNTS_PER_REPORT_MAX: usize = 100;
/// Most scopes of an account.
pub const ACCOUNT_SCOPES_MAX: usize = 64;
/// Longest name of a system, and longest id of an account, in bytes.
const SYSTEM_BYTES_MAX: usize = 128;
const ACCOUNT_BYTES_MAX: usize = 256;

/// What kind of account it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccountKind {
    /// One that a program signs in with.
    #[default]
    ServiceAccount,
    /// An OAuth client to which the system gave access.
    OauthApp,
    /// A key, or a personal access token.
    ApiKey,
}

impl AccountKind {
    /// The name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            AccountKind::ServiceAccount => "service_account",
            AccountKind::OauthApp => "oauth_app",
            AccountKind::ApiKey => "api_key",
        }
    }
}

/// An account of another system, as that system says it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// What tells it from the system's others, for good: its id there.
    pub account: String,
    /// What kind it is.
    #[serde(default)]
    pub kind: AccountKind,
    /// What it is called there.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The OAuth client that signs in with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// What it may do there, in that system's words.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// Who made it there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    /// When it was made there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Seconds>,
    /// When it was last used there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<Seconds>,
}

/// Accounts of one system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// The system: the id of a connection to it, or its host.
    pub system: String,
    /// At most [`ACCOUNTS_PER_REPORT_MAX`].
    pub accounts: Vec<Account>,
}

pub(super) fn invalid(text: String) -> Refusal {
    Refusal::new(ErrorCode::InvalidRequest, "report.form", text)
}

impl Account {
    fn check(&self) -> Answer<()> {
        if self.account.trim().is_empty() {
            return Err(invalid("an account has an id".to_owned()));
        }
        check_text("id of an account", &self.account, ACCOUNT_BYTES_MAX)?;
        check_text("name of an account", &self.name, NAME_BYTES_MAX)?;
        for text in self.client_id.iter().chain(&self.created_by) {
            check_text("client and maker of an account", text, ACCOUNT_BYTES_MAX)?;
        }
        if self.scopes.len() > ACCOUNT_SCOPES_MAX {
            return Err(invalid(format!("an account has at most {ACCOUNT_SCOPES_MAX} scopes; name the widest")));
        }
        self.scopes.iter().try_for_each(|scope| check_text("scope of an account", scope, NAME_BYTES_MAX))
    }

    /// What its draft is called.
    pub(super) fn title(&self) -> &str {
        // An id may be longer than a name.
        let named = Some(self.name.trim()).filter(|name| !name.is_empty());
        let end = self.account.floor_char_boundary(NAME_BYTES_MAX);
        named.or(self.account.get(..end)).unwrap_or_default()
    }
}

impl Report {
    pub(super) fn check(&self) -> Answer<()> {
        let of_system = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'_' | b':');
        let system = &self.system;
        if system.is_empty() || system.len() > SYSTEM_BYTES_MAX || !system.bytes().all(of_system) {
            let text = "write a system as the id of its connection, or as its host in small letters";
            return Err(invalid(format!("{text}: 1 to {SYSTEM_BYTES_MAX} of `a-z0-9._:-`")));
        }
        if self.accounts.len() > ACCOUNTS_PER_REPORT_MAX {
            return Err(invalid(format!("a report has at most {ACCOUNTS_PER_REPORT_MAX} accounts; send several")));
        }
        for (at, account) in self.accounts.iter().enumerate() {
            account.check().map_err(|refusal| invalid(format!("accounts[{at}]: {}", refusal.description)))?;
        }
        Ok(())
    }
}
