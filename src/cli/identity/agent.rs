//! `bailiwick agent`: register, list and show agents, lead them through their life, and see what they reach.

mod account;

use super::super::Failure;
use super::super::show::{note, say};
use super::{InTenant, env, json_file, json_of, time};
use bailiwick::identity::{AuthMethod, TlsSubject, Workload};
use bailiwick::modules::agent::{
    Access, Agent as Shown, AgentType, By, Filter, NewKeys, NoApprovals, Profile, Registry, ScopeClass, Stage, Ways,
};
use bailiwick::server::ConnectionTargets;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::ExitCode;

/// Agents of a page.
const PAGE: usize = 500;

/// Agents are identities of their own: somebody answers for each.
#[derive(Subcommand)]
pub(crate) enum Agent {
    /// Register an agent and print its id
    Register {
        /// Its id, which is never given again; a fresh one when it is left out
        #[arg(long)]
        id: Option<String>,
        #[command(flatten)]
        what: What,
        #[command(flatten)]
        tenant: InTenant,
    },
    /// Print an agent: who answers for it, what it may do, how it shows who it is
    Show {
        /// Its id
        agent: String,
        #[command(flatten)]
        tenant: InTenant,
    },
    /// List the agents
    List {
        /// Only those of this stage: discovered, registered, active, suspended or retired
        #[arg(long, value_parser = stage)]
        stage: Option<Stage>,
        /// Only those that this team owns, `team:ID`
        #[arg(long)]
        owner: Option<String>,
        /// Only those with these letters in id, name or purpose
        #[arg(long)]
        text: Option<String>,
        /// Only those for which nobody answers
        #[arg(long)]
        orphaned: bool,
        #[command(flatten)]
        tenant: InTenant,
    },
    /// Say other things of an agent, and leave the rest
    Set {
        /// Its id
        agent: String,
        #[command(flatten)]
        what: What,
        #[command(flatten)]
        tenant: InTenant,
    },
    #[command(flatten)]
    Found(account::Found),
    /// Take on an agent that was seen
    Adopt {
        /// Its id
        agent: String,
        /// Give one that was found by its account this id, which is never given again; the draft's own is then gone
        #[arg(long = "as", value_name = "ID")]
        id: Option<String>,
        #[command(flatten)]
        what: What,
        #[command(flatten)]
        tenant: InTenant,
    },
    /// Let an agent act, when somebody answers for it
    Activate {
        /// Its id
        agent: String,
        #[command(flatten)]
        tenant: InTenant,
    },
    /// Let an agent do nothing for now
    Suspend {
        /// Its id
        agent: String,
        /// Why
        #[arg(long, default_value = "")]
        reason: String,
        #[command(flatten)]
        tenant: InTenant,
    },
    /// Let a suspended agent act again
    Resume {
        /// Its id
        agent: String,
        #[command(flatten)]
        tenant: InTenant,
    },
    /// End an agent: its id stays taken, and its history is kept
    Retire {
        /// Its id
        agent: String,
        /// Why
        #[arg(long, default_value = "")]
        reason: String,
        #[command(flatten)]
        tenant: InTenant,
    },
    /// Print what was changed of an agent, by whom, and which approval allowed it
    History {
        /// Its id
        agent: String,
        #[command(flatten)]
        tenant: InTenant,
    },
    /// How an agent shows who it is
    #[command(subcommand)]
    Credential(Credential),
    /// Let an agent use a connection, with scopes of these classes
    Allow {
        /// Its id
        agent: String,
        /// The connection, `connection:ID`
        connection: String,
        /// Scopes that need nobody
        #[arg(long, value_name = "SCOPE")]
        automatic: Vec<String>,
        /// Scopes that a person approves each time
        #[arg(long, value_name = "SCOPE")]
        needs_approval: Vec<String>,
        /// Scopes that the agent never gets
        #[arg(long, value_name = "SCOPE")]
        never: Vec<String>,
        /// Scopes whose class is taken away
        #[arg(long, value_name = "SCOPE")]
        unclassed: Vec<String>,
        #[command(flatten)]
        tenant: InTenant,
    },
    /// Take a connection from an agent, with its scopes
    Disallow {
        /// Its id
        agent: String,
        /// The connection, `connection:ID`
        connection: String,
        #[command(flatten)]
        tenant: InTenant,
    },
    /// Say that an agent needs an agent, a connection or an MCP server to work
    Uses {
        /// Its id
        agent: String,
        /// `agent:ID`, `connection:ID` or `mcp_server:ID`
        object: String,
        /// It does not any more
        #[arg(long)]
        no_more: bool,
        #[command(flatten)]
        tenant: InTenant,
    },
    /// Print what an agent, a connection or an MCP server needs, and what breaks when it does
    Map {
        /// `agent:ID`, `connection:ID` or `mcp_server:ID`
        object: String,
        #[command(flatten)]
        tenant: InTenant,
    },
    /// Print what an agent reaches
    Blast {
        /// Its id
        agent: String,
        /// A data store, in which what it reaches is counted too, by id
        #[arg(long)]
        data_store: Option<String>,
        /// For whom it acts there, `user:ID`; itself when it is left out
        #[arg(long = "for", value_name = "SUBJECT")]
        subject: Option<String>,
        #[command(flatten)]
        tenant: InTenant,
    },
}

/// How an agent shows who it is.
#[derive(Subcommand)]
pub(crate) enum Credential {
    /// List its credentials, and when each was last used
    List {
        /// The agent's id
        agent: String,
        #[command(flatten)]
        tenant: InTenant,
    },
    /// Make a secret and print it; it cannot be read again. Better use keys
    AddSecret {
        /// The agent's id
        agent: String,
        /// How long it is good, in seconds; for ever when it is left out
        #[arg(long, value_name = "SECONDS")]
        life: Option<u64>,
        /// Rotate: how long the secrets before it are still good, in seconds; 0 ends them at once
        #[arg(long, value_name = "SECONDS")]
        overlap: Option<u64>,
        #[command(flatten)]
        tenant: InTenant,
    },
    /// Take a secret away
    RemoveSecret {
        /// The agent's id
        agent: String,
        /// The id of the secret
        secret: String,
        #[command(flatten)]
        tenant: InTenant,
    },
    /// Set its public keys: all at once, so to rotate first the old and the new, then the new
    Keys {
        /// The agent's id
        agent: String,
        /// A file with a JWK set
        #[arg(long, value_name = "FILE", conflicts_with = "jwks_uri")]
        jwks: Option<PathBuf>,
        /// An https URL of a JWK set
        #[arg(long, value_name = "URL")]
        jwks_uri: Option<String>,
        #[command(flatten)]
        tenant: InTenant,
    },
    /// Set whose certificates its assertions may carry (`x5c`), and the name in its own; without a name, it is known by none
    Chain {
        /// The agent's id
        agent: String,
        /// A file with certificates of authorities in PEM
        #[arg(long, value_name = "FILE", requires = "subject")]
        authorities: Option<PathBuf>,
        /// The name, as `san-uri=https://sales.example.org/`
        #[arg(long, value_name = "KIND=VALUE", requires = "authorities")]
        subject: Option<String>,
        #[command(flatten)]
        tenant: InTenant,
    },
    /// Set which workloads it is, all at once, by the word of issuers that are trusted (`bailiwick workload`); none when none is
    /// said
    Workloads {
        /// The agent's id
        agent: String,
        /// The issuer of a platform and the subject that it calls the agent by
        #[arg(long, value_name = "ISSUER=SUBJECT", value_parser = super::workload::of_platform)]
        workload: Vec<Workload>,
        /// A SPIFFE ID; `/*` at its end for all below
        #[arg(long, value_name = "ID", value_parser = super::workload::of_spiffe)]
        spiffe_id: Vec<Workload>,
        #[command(flatten)]
        tenant: InTenant,
    },
    /// Set the ways by which it may show who it is
    Methods {
        /// The agent's id
        agent: String,
        /// none, client_secret_basic, client_secret_post, private_key_jwt, workload_jwt, spiffe_jwt, tls_client_auth,
        /// self_signed_tls_client_auth
        #[arg(required = true, value_parser = method)]
        methods: Vec<AuthMethod>,
        /// The subject of its certificate, as `san-uri=spiffe://example.org/sales` or `dn=CN=sales,O=Example`
        #[arg(long, value_name = "KIND=VALUE")]
        tls_subject: Option<TlsSubject>,
        /// Whether its tokens are bound to the certificate that it shows; yes, if it can show nothing else
        #[arg(long, value_name = "BOOL")]
        certificate_bound: Option<bool>,
        #[command(flatten)]
        tenant: InTenant,
    },
}

/// What kind of agent it is.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Kind {
    /// It answers a person who is there
    Assistant,
    /// It works by itself
    Autonomous,
    /// One step of a process that somebody has laid out
    Workflow,
    /// It offers tools to other agents
    Tool,
}

/// What is said of an agent.
#[derive(Args)]
#[command(next_help_heading = "The agent")]
pub(crate) struct What {
    /// What people call it
    #[arg(long)]
    name: Option<String>,
    /// What it is for; it stands on pages where people are asked
    #[arg(long)]
    purpose: Option<String>,
    /// What kind it is
    #[arg(long = "type", value_enum)]
    kind: Option<Kind>,
    /// The language model that it runs on
    #[arg(long)]
    model: Option<String>,
    /// The team that owns it, `team:ID`
    #[arg(long)]
    owner: Option<String>,
    /// The one person who answers for it, `user:ID`
    #[arg(long)]
    accountable: Option<String>,
}

fn stage(text: &str) -> Result<Stage, String> {
    let known = || Stage::ALL.map(Stage::name).join(", ");
    Stage::of(text).ok_or_else(|| format!("a stage is one of: {}", known()))
}

fn method(text: &str) -> Result<AuthMethod, String> {
    let found = AuthMethod::ALL.iter().find(|(_, name)| *name == text).map(|(method, _)| *method);
    let known = || AuthMethod::ALL.map(|(_, name)| name).join(", ");
    found.ok_or_else(|| format!("a way is one of: {}", known()))
}

impl What {
    /// What was said of it before, but for what is said now.
    fn over(self, before: Profile) -> Profile {
        let kind = self.kind.map(|kind| match kind {
            Kind::Assistant => AgentType::Assistant,
            Kind::Autonomous => AgentType::Autonomous,
            Kind::Workflow => AgentType::Workflow,
            Kind::Tool => AgentType::Tool,
        });
        Profile {
            name: self.name.unwrap_or(before.name),
            purpose: self.purpose.unwrap_or(before.purpose),
            kind: kind.unwrap_or(before.kind),
            model: self.model.unwrap_or(before.model),
            owner: self.owner.or(before.owner),
            accountable: self.accountable.or(before.accountable),
        }
    }
}

fn summary(agent: &Shown) -> Value {
    let record = &agent.record;
    json!({
        "id": record.id,
        "stage": agent.stage.name(),
        "name": record.profile.name,
        "purpose": record.profile.purpose,
        "type": record.profile.kind.name(),
        "model": record.profile.model,
        "owner": record.profile.owner,
        "accountable": record.profile.accountable,
        "orphaned": agent.orphaned,
        "missing": record.profile.missing(),
        "origin": record.origin,
        "suspension": record.suspension,
        "created_at": time(record.created_at),
        "changed_at": time(record.changed_at),
        "changes": record.version,
    })
}

/// Does something with the registry of the tenant that is meant.
fn with<T>(
    tenant: &InTenant,
    act: impl for<'a> FnOnce(&Registry<'a>) -> Result<T, bailiwick::identity::Refusal>,
) -> Result<T, Failure> {
    let opened = tenant.open()?;
    Ok(act(&Registry { tenant: &opened, approvals: &NoApprovals })?)
}

fn whole(registry: &Registry<'_>, id: &str) -> Result<Value, bailiwick::identity::Refusal> {
    let mut value = summary(&registry.get(id)?);
    if let Some(members) = value.as_object_mut() {
        members.insert("connections".to_owned(), json!(registry.access(id)?));
        members.insert("credentials".to_owned(), json!(registry.credentials(id)?));
        members.insert("accounts".to_owned(), json!(registry.accounts(id)?));
        members.insert("needs".to_owned(), json!(registry.dependencies(&format!("agent:{id}"))?));
    }
    Ok(value)
}

fn list(tenant: &InTenant, filter: &Filter) -> Result<(), Failure> {
    let agents = with(tenant, |registry| {
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let (page, next) = registry.list(filter, after.as_deref(), PAGE)?;
            all.extend(page);
            match next {
                Some(next) => after = Some(next),
                None => return Ok(all),
            }
        }
    })?;
    let line = |agent: &Shown| {
        let profile = &agent.record.profile;
        let orphaned = if agent.orphaned.is_empty() { "" } else { "orphaned" };
        vec![
            agent.record.id.clone(),
            agent.stage.name().to_owned(),
            profile.name.clone(),
            profile.owner.clone().unwrap_or_default(),
            profile.accountable.clone().unwrap_or_default(),
            orphaned.to_owned(),
        ]
    };
    let lines: Vec<Vec<String>> = agents.iter().map(line).collect();
    let head = ["id", "stage", "name", "owner", "accountable", ""];
    tenant.list(&head, &lines, || json!({"agents": agents.iter().map(summary).collect::<Vec<_>>()}));
    Ok(())
}

fn history(tenant: &InTenant, id: &str) -> Result<(), Failure> {
    let entries = with(tenant, |registry| {
        let mut all = Vec::new();
        loop {
            let page = registry.history(id, all.last().map_or(0, version), PAGE)?;
            let last = page.len() < PAGE;
            all.extend(page);
            if last {
                return Ok(all);
            }
        }
    })?;
    let change = |c: &bailiwick::modules::agent::FieldChange| {
        let side = |side: &Option<String>| side.clone().unwrap_or_else(|| "–".to_owned());
        format!("{}: {} → {}", c.field, side(&c.from), side(&c.to))
    };
    let line = |entry: &bailiwick::modules::agent::HistoryEntry| {
        let changes: Vec<String> = entry.changes.iter().map(change).collect();
        vec![
            entry.version.to_string(),
            time(entry.at),
            entry.by.clone(),
            entry.action.clone(),
            entry.approval.clone().unwrap_or_default(),
            changes.join("; "),
        ]
    };
    let lines: Vec<Vec<String>> = entries.iter().map(line).collect();
    tenant.list(&["", "at", "by", "what", "approval", "changes"], &lines, || json!({ "history": entries }));
    Ok(())
}

fn version(entry: &bailiwick::modules::agent::HistoryEntry) -> u32 {
    entry.version
}

/// Prints where an agent is in its life after a step.
fn stepped(tenant: &InTenant, agent: &Shown) {
    if tenant.look.json { say(summary(agent)) } else { say(agent.stage.name()) }
}

impl Agent {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        let by = By::Machine;
        match self {
            Agent::Register { id, what, tenant } => {
                let profile = what.over(Profile::default());
                let made = with(&tenant, |r| r.register(by, id.as_deref(), &profile, &env()))?;
                if tenant.look.json { say(summary(&made)) } else { say(&made.record.id) }
            }
            Agent::Show { agent, tenant } => tenant.show(&with(&tenant, |r| whole(r, &agent))?),
            Agent::List { stage, owner, text, orphaned, tenant } => {
                list(&tenant, &Filter { stage, owner, text, orphaned, ..Filter::default() })?;
            }
            Agent::Set { agent, what, tenant } => {
                let changed = with(&tenant, |r| {
                    let profile = what.over(r.get(&agent)?.record.profile);
                    r.change(by, &agent, &profile, &env())
                })?;
                stepped(&tenant, &changed);
            }
            Agent::Found(found) => found.run()?,
            Agent::Adopt { agent, id, what, tenant } => {
                stepped(&tenant, &with(&tenant, |r| account::adopt(r, &agent, id.as_deref(), what))?);
            }
            Agent::Activate { agent, tenant } => stepped(&tenant, &with(&tenant, |r| r.activate(by, &agent, &env()))?),
            Agent::Suspend { agent, reason, tenant } => {
                stepped(&tenant, &with(&tenant, |r| r.suspend(by, &agent, &reason, &env()))?);
            }
            Agent::Resume { agent, tenant } => stepped(&tenant, &with(&tenant, |r| r.resume(by, &agent, &env()))?),
            Agent::Retire { agent, reason, tenant } => {
                stepped(&tenant, &with(&tenant, |r| r.retire(by, &agent, &reason, &env()))?);
            }
            Agent::History { agent, tenant } => history(&tenant, &agent)?,
            Agent::Credential(credential) => credential.run()?,
            Agent::Allow { agent, connection, automatic, needs_approval, never, unclassed, tenant } => {
                let class = |scopes: Vec<String>, class| scopes.into_iter().map(move |scope| (scope, class));
                let classes = class(automatic, Some(ScopeClass::Automatic))
                    .chain(class(needs_approval, Some(ScopeClass::NeedsApproval)))
                    .chain(class(never, Some(ScopeClass::Never)))
                    .chain(class(unclassed, None));
                let access = Access { connection, scopes: classes.collect() };
                with(&tenant, |r| r.allow(by, &agent, &access, None, &env()))?;
            }
            Agent::Disallow { agent, connection, tenant } => {
                with(&tenant, |r| r.disallow(by, &agent, &connection, &env()))?;
            }
            Agent::Uses { agent, object, no_more, tenant } => {
                with(&tenant, |r| r.depend(by, &agent, &object, !no_more, &env()))?;
            }
            Agent::Map { object, tenant } => {
                tenant.show(&json_of(&with(&tenant, |r| r.dependencies(&object))?)?);
            }
            Agent::Blast { agent, data_store, subject, tenant } => {
                let store = data_store.as_deref().map(super::super::store_id).transpose()?;
                let reach = with(&tenant, |r| r.reach(&agent, (store, subject.as_deref()), &ConnectionTargets))?;
                tenant.show(&json_of(&reach)?);
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Credential {
    fn run(self) -> Result<(), Failure> {
        let by = By::Machine;
        match self {
            Credential::List { agent, tenant } => {
                let all = with(&tenant, |r| r.credentials(&agent))?;
                let at = |at: Option<u64>| at.map(time).unwrap_or_default();
                let sort = |c: &bailiwick::modules::agent::CredentialInfo| {
                    json_of(&c.sort).map(|sort| sort.as_str().unwrap_or_default().to_owned())
                };
                let mut lines = Vec::new();
                for c in &all {
                    lines.push(vec![sort(c)?, c.id.clone(), at(c.created_at), at(c.expires_at), at(c.used_at)]);
                }
                let head = ["sort", "id", "made", "good until", "last used"];
                tenant.list(&head, &lines, || json!({ "credentials": all }));
                if let Some(warning) = all.iter().find_map(|c| c.warning) {
                    note(format!("warning: {warning}"));
                }
            }
            Credential::AddSecret { agent, life, overlap, tenant } => {
                let made = with(&tenant, |r| r.add_secret(by, &agent, life, overlap, &env()))?;
                tenant.show(&json!({"id": made.id, "client_secret": made.secret}));
                note(format!("warning: {}", made.warning));
            }
            Credential::RemoveSecret { agent, secret, tenant } => {
                with(&tenant, |r| r.remove_secret(by, &agent, &secret, &env()))?;
            }
            Credential::Keys { agent, jwks, jwks_uri, tenant } => {
                let keys = match (jwks, jwks_uri) {
                    (Some(file), _) => NewKeys::Jwks(json_file(&file)?),
                    (None, Some(uri)) => NewKeys::JwksUri(uri),
                    (None, None) => NewKeys::None,
                };
                with(&tenant, |r| r.set_keys(by, &agent, &keys, &env()))?;
            }
            Credential::Chain { agent, authorities, subject, tenant } => {
                let chain = super::client::chain(subject.as_deref().unwrap_or_default(), authorities.as_deref(), None)?;
                with(&tenant, |r| r.set_chain(by, &agent, chain.as_ref(), &env()))?;
            }
            Credential::Workloads { agent, workload, spiffe_id, tenant } => {
                let all = [workload, spiffe_id].concat();
                with(&tenant, |r| r.set_workloads(by, &agent, &all, &env()))?;
            }
            Credential::Methods { agent, methods, tls_subject, certificate_bound, tenant } => {
                let ways = Ways { auth_methods: methods, tls_subject, certificate_bound };
                with(&tenant, |r| r.set_methods(by, &agent, &ways, &env()))?;
            }
        }
        Ok(())
    }
}
