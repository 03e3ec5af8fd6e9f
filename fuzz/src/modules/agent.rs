//! Agents: reports of accounts and profiles, without the registry.

#[path = "../../../src/modules/agent/records.rs"]
mod records;
#[path = "../../../src/modules/agent/report.rs"]
mod report;
#[path = "../../../src/modules/agent/stage.rs"]
mod stage;

pub use records::{NAME_BYTES_MAX, Profile};
pub use report::{ACCOUNT_SCOPES_MAX, ACCOUNTS_PER_REPORT_MAX, Account, AccountKind, Report};

use crate::identity::Answer;

/// Whether a report may be taken.
///
/// # Errors
/// It is not as it should be.
pub fn check(report: &Report) -> Answer<()> {
    report.check()
}

/// What the draft of an account is called.
pub fn title(account: &Account) -> &str {
    account.title()
}
