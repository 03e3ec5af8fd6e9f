//! `bailiwick connection credential`: the credentials that are lent.

use super::super::super::Failure;
use super::super::super::show::note;
use super::super::{InTenant, env, time};
use super::{Who, find};
use bailiwick::identity::{MACHINE, PAGE_MAX};
use bailiwick::modules::vault::admin::credential_json;
use bailiwick::modules::vault::{self, CredentialState, HeldCredential, Hidden, Holder, Provider, Secret};
use bailiwick::secrets::HELD_SECRET_BYTES_MAX;
use clap::Subcommand;
use serde_json::json;
use std::io::{IsTerminal as _, Read as _};
use std::path::{Path, PathBuf};

/// The credentials that are lent.
#[derive(Subcommand)]
pub(crate) enum CredentialFor {
    /// Set a credential, which is read from the standard input or a file: the key, the password, the private key in PEM, or
    /// for oauth2 JSON with `access_token` and `refresh_token`
    Set {
        /// The id of the connection
        connection: String,
        #[command(flatten)]
        who: Who,
        /// The file in which it is; the standard input when it is left out
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
        /// basic: the user that goes with the password
        #[arg(long, value_name = "NAME")]
        login: Option<String>,
        #[command(flatten)]
        tenant: InTenant,
    },
    /// List who has a credential for a connection, and whether it works
    List {
        /// The id of the connection
        connection: String,
        #[command(flatten)]
        tenant: InTenant,
    },
}

/// A secret from a file or the standard input, without the end of its last line.
pub(super) fn secret(file: Option<&Path>) -> Result<Hidden, Failure> {
    // More than fits, so that what is too long is refused and not cut.
    let most = u64::try_from(HELD_SECRET_BYTES_MAX).unwrap_or(u64::MAX).saturating_mul(4);
    let mut text = String::new();
    match file.filter(|path| *path != Path::new("-")) {
        Some(path) => {
            let unreadable = |reason| Failure::File { path: path.to_owned(), reason };
            let file = std::fs::File::open(path).map_err(unreadable)?;
            file.take(most).read_to_string(&mut text).map_err(unreadable)?;
        }
        None => {
            let input = std::io::stdin();
            if input.is_terminal() {
                note("type or paste the secret, then Enter and Ctrl-D");
            }
            let unreadable = |reason| Failure::File { path: "standard input".into(), reason };
            input.lock().take(most).read_to_string(&mut text).map_err(unreadable)?;
        }
    }
    text.truncate(text.trim_end_matches(['\n', '\r']).len());
    Ok(Hidden::new(text))
}

/// A credential as it was brought, of the kind of its connection.
fn brought(provider: &Provider, login: Option<String>, secret: Hidden) -> Result<Secret, Failure> {
    Ok(match provider {
        Provider::ApiKeyHeader { .. } | Provider::ApiKeyQuery { .. } => Secret::ApiKey { key: secret },
        Provider::Basic {} => {
            let none =
                || Failure::Said("this connection takes a user and a password; say the user with --login".into());
            Secret::Basic { user: login.ok_or_else(none)?, password: secret }
        }
        Provider::ServiceAccount { .. } => Secret::ServiceAccount { private_key: secret, access_token: None },
        Provider::IdentityAssertion { .. } => {
            return Err(Failure::Said(
                "nobody brings credentials for this connection: they are got when a call is made".into(),
            ));
        }
        Provider::Oauth2 { .. } => {
            // The text of the error would repeat a part of it.
            let none = |_| {
                let text = "give the tokens as JSON, `{\"access_token\": \"..\", \"refresh_token\": \"..\"}`; or let the \
                            person connect at ISSUER/connect/ID";
                Failure::Said(text.into())
            };
            let Tokens { access_token, refresh_token } = serde_json::from_str(&secret).map_err(none)?;
            Secret::Oauth2 { access_token, refresh_token }
        }
    })
}

/// Tokens as a token endpoint answers them (RFC 6749 5.1).
#[derive(serde::Deserialize)]
struct Tokens {
    access_token: Hidden,
    refresh_token: Option<Hidden>,
}

impl CredentialFor {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self {
            CredentialFor::Set { connection, who, file, login, tenant } => {
                let opened = tenant.open()?;
                let held = find(&opened, &connection)?;
                let holder = who.holder(&opened)?;
                let secret = brought(&held.spec.provider, login, secret(file.as_deref())?)?;
                vault::set_credential(&opened, &connection, &holder, secret, MACHINE, &env())?;
                if held.spec.provider.is_static() {
                    note("note: this credential does not change by itself; where there is a choice, use OAuth");
                }
            }
            CredentialFor::List { connection, tenant } => {
                let opened = tenant.open()?;
                let held = find(&opened, &connection)?;
                let mut all: Vec<HeldCredential> = Vec::new();
                loop {
                    let after = all.last().map(|last| match &last.holder {
                        Holder::User(id) | Holder::Agent(id) => id.clone(),
                    });
                    let page = vault::credentials_for(&opened, &held, after.as_deref(), PAGE_MAX)?;
                    let last = page.len() < PAGE_MAX;
                    all.extend(page);
                    if last {
                        break;
                    }
                }
                let state = |c: &HeldCredential| match c.state {
                    CredentialState::Active => "active".to_owned(),
                    CredentialState::ReconnectNeeded { .. } => "reconnect needed".to_owned(),
                };
                let line = |c: &HeldCredential| {
                    let end = c.expires_at.map(time).unwrap_or_default();
                    vec![c.holder.subject(), state(c), time(c.connected_at), end, c.scopes.join(" ")]
                };
                let lines: Vec<Vec<String>> = all.iter().map(line).collect();
                let json = || json!({ "credentials": all.iter().map(credential_json).collect::<Vec<_>>() });
                tenant.list(&["holder", "state", "connected", "token good until", "scopes"], &lines, json);
            }
        }
        Ok(())
    }
}
