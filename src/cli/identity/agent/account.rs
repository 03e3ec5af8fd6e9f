//! `bailiwick agent discover`: agents that nobody registered, found by their accounts in other systems.

use super::super::super::Failure;
use super::super::super::show::note;
use super::super::{InTenant, env, json_file};
use super::{What, stepped, with};
use bailiwick::identity::Answer;
use bailiwick::modules::agent::{ACCOUNTS_PER_REPORT_MAX, Account, Agent, By, Registry, Report, Sighting, Whose};
use bailiwick::server::ConnectionAccounts;
use clap::Subcommand;
use serde_json::json;
use std::path::{Path, PathBuf};

/// What is found, and whose it is.
#[derive(Subcommand)]
pub(crate) enum Found {
    /// Report the accounts that another system has. What is no agent's, and no connection's, becomes a draft
    #[command(after_help = EXAMPLE)]
    Discover {
        /// The system: the id of a connection to it, or its host
        #[arg(long)]
        system: String,
        /// A JSON file with a list of accounts
        file: PathBuf,
        #[command(flatten)]
        tenant: InTenant,
    },
    /// Say that what was found is the account of an agent that is there
    Same {
        /// The id of the draft
        draft: String,
        /// The id of the agent
        agent: String,
        #[command(flatten)]
        tenant: InTenant,
    },
    /// Let a program or a person report accounts over HTTP, with a token that has the scope `agents:report`
    Reporter {
        /// `app:ID`, `agent:ID` or `user:ID`
        subject: String,
        /// They may not any more
        #[arg(long)]
        no_more: bool,
        #[command(flatten)]
        tenant: InTenant,
    },
}

const EXAMPLE: &str = "The file, with what is known of each (only `account` must be there):
  [{\"account\": \"svc-proposals\", \"kind\": \"service_account\", \"name\": \"Proposal bot\", \"client_id\": \"…\",
    \"scopes\": [\"crm.read\"], \"created_by\": \"j.smith\", \"created_at\": 1795000000, \"last_used_at\": 1795600000}]
`kind` is service_account, oauth_app or api_key; times are seconds of Unix.";

impl Found {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self {
            Found::Discover { system, file, tenant } => discover(&tenant, &system, &file)?,
            Found::Same { draft, agent, tenant } => {
                stepped(&tenant, &with(&tenant, |r| r.is_same(By::Machine, &draft, &agent, &env()))?);
            }
            Found::Reporter { subject, no_more, tenant } => {
                with(&tenant, |r| r.reporter(&subject, !no_more, &env()))?;
            }
        }
        Ok(())
    }
}

/// Takes on a draft, under its own id or another.
pub(super) fn adopt(registry: &Registry<'_>, draft: &str, id: Option<&str>, what: What) -> Answer<Agent> {
    let profile = what.over(registry.get(draft)?.record.profile);
    match id {
        Some(id) => registry.adopt_as(By::Machine, draft, id, &profile, &env()),
        None => registry.adopt(By::Machine, draft, &profile, &env()),
    }
}

fn discover(tenant: &InTenant, system: &str, file: &Path) -> Result<(), Failure> {
    let accounts: Vec<Account> = serde_json::from_value(json_file(file)?)
        .map_err(|error| Failure::Said(format!("{}: {error}; it is a list of accounts", file.display())))?;
    let found = with(tenant, |registry| {
        let mut all = Vec::with_capacity(accounts.len());
        for part in accounts.chunks(ACCOUNTS_PER_REPORT_MAX) {
            let report = Report { system: system.to_owned(), accounts: part.to_vec() };
            all.extend(registry.report(By::Machine, &report, &ConnectionAccounts, &env())?);
        }
        Ok(all)
    })?;
    let line =
        |one: &Sighting| vec![one.account.clone(), one.whose.name().to_owned(), one.of.clone().unwrap_or_default()];
    let lines: Vec<Vec<String>> = found.iter().map(line).collect();
    tenant.list(&["account", "whose", ""], &lines, || json!({ "accounts": found }));
    let left = found.iter().filter(|one| one.whose == Whose::NoRoom).count();
    if left > 0 {
        note(format!(
            "warning: {left} accounts are nobody's and were not kept; adopt or retire drafts, then do it again"
        ));
    }
    Ok(())
}
