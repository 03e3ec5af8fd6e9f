//! `bailiwick claim`: what a tenant says of people besides their profile, by an expression each.

use super::super::Failure;
use super::{InTenant, env, json_of};
use bailiwick::identity::{ClaimPlace, ClaimType, CustomClaim, MACHINE, NewClaim};
use clap::Subcommand;
use serde_json::json;
use std::process::ExitCode;

/// A claim of the tenant's own in ID tokens, access tokens and userinfo (docs/oauth.md).
#[derive(Subcommand)]
pub(crate) enum Claim {
    /// Set a claim, in place of the one of its name; it is said from the next token on
    Set {
        /// Its name in tokens: a word, or better a URL of your own
        name: String,
        /// The expression in CEL, over `user`, `client`, `agent`, `actors`, `scopes`, `audience`, `upstream`, `acr`, `amr` and `auth_time`
        expression: String,
        /// Where it is said: id_token, access_token, userinfo; the first and the last when it is left out
        #[arg(long = "in", value_name = "PLACE", value_parser = place)]
        places: Vec<ClaimPlace>,
        /// What its value is: string, integer, number, boolean, strings, json; may be left out where the expression alone tells
        #[arg(long = "type", value_name = "TYPE", value_parser = value_type)]
        value: Option<ClaimType>,
        /// Leave it out when the expression fails; else what was asked for is refused
        #[arg(long)]
        optional: bool,
        #[command(flatten)]
        tenant: InTenant,
    },
    /// List the claims
    List {
        #[command(flatten)]
        tenant: InTenant,
    },
    /// Take a claim away; tokens that have it keep it until their end
    Remove {
        /// Its name
        name: String,
        #[command(flatten)]
        tenant: InTenant,
    },
}

fn place(text: &str) -> Result<ClaimPlace, String> {
    let named = text.replace('-', "_");
    let found = ClaimPlace::ALL.into_iter().find(|place| place.name() == named);
    found.ok_or_else(|| "say id_token, access_token or userinfo".to_owned())
}

fn value_type(text: &str) -> Result<ClaimType, String> {
    let found = ClaimType::ALL.into_iter().find(|ty| ty.name() == text);
    found.ok_or_else(|| format!("say one of {}", ClaimType::ALL.map(ClaimType::name).join(", ")))
}

fn places(claim: &CustomClaim) -> String {
    claim.places.iter().map(|place| place.name()).collect::<Vec<_>>().join(" ")
}

impl Claim {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        match self {
            Claim::Set { name, expression, places, value, optional, tenant } => {
                let usual = || vec![ClaimPlace::IdToken, ClaimPlace::Userinfo];
                let places = if places.is_empty() { usual() } else { places };
                let claim = NewClaim { name, expression, places, value, optional };
                tenant.show(&json_of(&tenant.open()?.put_claim(&claim, MACHINE, &env())?)?);
            }
            Claim::List { tenant } => {
                let claims = tenant.open()?.custom_claims()?;
                let line = |c: &CustomClaim| {
                    let when = if c.optional { "optional" } else { "required" };
                    vec![c.name.clone(), c.value.name().to_owned(), places(c), when.to_owned(), c.expression.clone()]
                };
                let lines: Vec<Vec<String>> = claims.iter().map(line).collect();
                tenant.list(&["name", "type", "in", "", "expression"], &lines, || json!({ "claims": claims }));
            }
            Claim::Remove { name, tenant } => tenant.open()?.remove_claim(&name, MACHINE, &env())?,
        }
        Ok(ExitCode::SUCCESS)
    }
}
