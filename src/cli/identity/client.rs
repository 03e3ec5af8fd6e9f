//! `bailiwick client`: create, list, show, change, suspend and delete clients, and their secrets.

use super::super::Failure;
use super::super::show::say;
use super::{InTenant, env, json_file, json_of, time};
use bailiwick::identity::{
    AssertionChain, AuthMethod, Client as Record, ClientKeys, ClientKind, ConsentRule, Held, PAGE_MAX,
    SigningAlgorithm, Workload,
};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// An application or an agent that asks for tokens.
#[derive(Subcommand)]
pub(crate) enum Client {
    /// Make a client; with a secret, when it shows who it is by one
    Create {
        /// Its id (`client_id`), which is never given again; a fresh one when it is left out
        #[arg(long)]
        id: Option<String>,
        /// What it is: an agent acts by itself, and its tokens for people say so
        #[arg(long, value_enum, default_value = "app")]
        kind: Kind,
        /// Let it administer the tenant by itself, as a directory does that pushes people by SCIM
        #[arg(long)]
        admin: bool,
        #[command(flatten)]
        what: What,
        #[command(flatten)]
        tenant: InTenant,
    },
    /// List the clients
    List {
        #[command(flatten)]
        tenant: InTenant,
    },
    /// Print a client
    Show {
        /// Its id
        client: String,
        #[command(flatten)]
        tenant: InTenant,
    },
    /// Change what is said, and leave the rest; a list takes the place of the one before
    Set {
        /// Its id
        client: String,
        #[command(flatten)]
        what: What,
        #[command(flatten)]
        tenant: InTenant,
    },
    /// Make another secret and print it; it cannot be read again
    AddSecret {
        /// Its id
        client: String,
        /// How long it is good, in seconds; for ever when it is left out
        #[arg(long, value_name = "SECONDS")]
        life: Option<u64>,
        #[command(flatten)]
        tenant: InTenant,
    },
    /// Take a secret away
    RemoveSecret {
        /// Its id
        client: String,
        /// The id of the secret
        secret: String,
        #[command(flatten)]
        tenant: InTenant,
    },
    /// Let it do nothing for now
    Suspend {
        /// Its id
        client: String,
        #[command(flatten)]
        tenant: InTenant,
    },
    /// Let it again
    Resume {
        /// Its id
        client: String,
        #[command(flatten)]
        tenant: InTenant,
    },
    /// Delete it; the id stays taken, and all that it was given is void
    Delete {
        /// Its id
        client: String,
        /// Do not ask first
        #[arg(long, short)]
        yes: bool,
        #[command(flatten)]
        tenant: InTenant,
    },
}

/// What a client is.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Kind {
    /// An application that a person uses
    App,
    /// An agent
    Agent,
}

/// Whether people are asked.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Consent {
    /// They are
    Ask,
    /// Whoever runs the tenant has decided
    Managed,
}

/// What may be said of a client.
#[derive(Args)]
#[command(next_help_heading = "The client")]
pub(crate) struct What {
    /// What people call it
    #[arg(long)]
    name: Option<String>,
    /// Where answers may go
    #[arg(long, value_name = "URI")]
    redirect_uri: Option<Vec<String>>,
    /// Where a browser may go after it signed out
    #[arg(long, value_name = "URI")]
    post_logout_redirect_uri: Option<Vec<String>>,
    /// Where it is told that a session ended (OpenID Connect Back-Channel Logout); empty for nowhere
    #[arg(long, value_name = "URL")]
    backchannel_logout_uri: Option<String>,
    /// The grant types it may use, as `authorization_code`
    #[arg(long, value_name = "NAME")]
    grant_type: Option<Vec<String>>,
    /// The scopes it may ask for
    #[arg(long, value_name = "NAME")]
    scope: Option<Vec<String>>,
    /// The identifiers of the resources it may ask for
    #[arg(long, value_name = "URI")]
    resource: Option<Vec<String>>,
    /// The identifiers of the resources that it is
    #[arg(long, value_name = "URI")]
    serves: Option<Vec<String>>,
    /// The types of authorization details it may ask for
    #[arg(long, value_name = "NAME")]
    details_type: Option<Vec<String>>,
    /// How it may show who it is: none, client_secret_basic, client_secret_post, private_key_jwt, workload_jwt, spiffe_jwt,
    /// tls_client_auth, self_signed_tls_client_auth
    #[arg(long, value_name = "METHOD", value_parser = method)]
    auth: Option<Vec<AuthMethod>>,
    /// A workload that it is: the issuer of a platform that is trusted (`bailiwick workload`), and the subject there
    #[arg(long, value_name = "ISSUER=SUBJECT", value_parser = super::workload::of_platform)]
    workload: Option<Vec<Workload>>,
    /// A workload that it is, by its SPIFFE ID; `/*` at its end for all below
    #[arg(long, value_name = "ID", value_parser = super::workload::of_spiffe)]
    spiffe_id: Option<Vec<Workload>>,
    /// A file with its JWK set
    #[arg(long, value_name = "FILE", conflicts_with = "jwks_uri")]
    jwks: Option<PathBuf>,
    /// Where its JWK set is
    #[arg(long, value_name = "URL")]
    jwks_uri: Option<String>,
    /// A file with the authorities, in PEM, whose certificates its assertions may carry (`x5c`); empty for none
    #[arg(long, value_name = "FILE", requires = "chain_subject")]
    chain_authorities: Option<PathBuf>,
    /// The name that such a certificate has, as `san-uri=https://sales.example.org/`; empty for none
    #[arg(long, value_name = "KIND=VALUE")]
    chain_subject: Option<String>,
    /// Whether people are asked what it may do for them
    #[arg(long, value_enum)]
    consent: Option<Consent>,
    /// Whether it must push its authorization requests
    #[arg(long, value_name = "BOOL")]
    require_pushed_requests: Option<bool>,
    /// Whether its tokens must be bound to a key
    #[arg(long, value_name = "BOOL")]
    dpop_bound: Option<bool>,
    /// The subject of its certificate, as `san-uri=spiffe://example.org/sales` or `dn=CN=sales,O=Example`; empty for none
    #[arg(long, value_name = "KIND=VALUE")]
    tls_subject: Option<String>,
    /// Whether its tokens must be bound to the certificate that it shows
    #[arg(long, value_name = "BOOL")]
    certificate_bound: Option<bool>,
    /// With what ID tokens for it, and logout tokens, are signed: ES256, or RS256 for libraries that expect it
    #[arg(long, value_name = "ALG", value_parser = algorithm)]
    id_token_alg: Option<SigningAlgorithm>,
}

fn method(text: &str) -> Result<AuthMethod, String> {
    let found = AuthMethod::ALL.iter().find(|(_, name)| *name == text).map(|(method, _)| *method);
    found.ok_or_else(|| format!("write one of {}", AuthMethod::ALL.map(|(_, name)| name).join(", ")))
}

fn algorithm(text: &str) -> Result<SigningAlgorithm, String> {
    let found = SigningAlgorithm::ALL.iter().find(|(_, name)| *name == text).map(|(algorithm, _)| *algorithm);
    found.ok_or_else(|| format!("write one of {}", SigningAlgorithm::ALL.map(|(_, name)| name).join(", ")))
}

impl What {
    fn apply(self, client: &mut Record) -> Result<(), Failure> {
        fn set<T>(place: &mut T, said: Option<T>) {
            if let Some(said) = said {
                *place = said;
            }
        }
        set(&mut client.name, self.name);
        set(&mut client.redirect_uris, self.redirect_uri);
        set(&mut client.post_logout_redirect_uris, self.post_logout_redirect_uri);
        if let Some(grant_types) = self.grant_type {
            client.grant_types = grant_types;
            client.check_grant_types()?;
        }
        set(&mut client.scopes, self.scope);
        set(&mut client.resources, self.resource);
        set(&mut client.serves, self.serves);
        set(&mut client.details_types, self.details_type);
        set(&mut client.auth_methods, self.auth);
        if self.workload.is_some() || self.spiffe_id.is_some() {
            client.workloads = [self.workload.unwrap_or_default(), self.spiffe_id.unwrap_or_default()].concat();
        }
        set(&mut client.require_pushed_requests, self.require_pushed_requests);
        set(&mut client.dpop_bound_access_tokens, self.dpop_bound);
        set(&mut client.id_token_signed_response_alg, self.id_token_alg);
        let consent = self.consent.map(|consent| match consent {
            Consent::Ask => ConsentRule::Ask,
            Consent::Managed => ConsentRule::Managed,
        });
        set(&mut client.consent, consent);
        set(&mut client.tls_client_certificate_bound_access_tokens, self.certificate_bound);
        if let Some(subject) = self.tls_subject {
            let read = |text: String| text.parse().map_err(Failure::Said);
            client.tls_subject = Some(subject).filter(|text| !text.is_empty()).map(read).transpose()?;
        }
        if let Some(uri) = self.backchannel_logout_uri {
            client.backchannel_logout_uri = Some(uri).filter(|uri| !uri.is_empty());
        }
        if let Some(subject) = self.chain_subject {
            client.assertion_chain =
                chain(&subject, self.chain_authorities.as_deref(), client.assertion_chain.as_ref())?;
        }
        if let Some(file) = self.jwks {
            client.keys = Some(ClientKeys::Jwks(json_file(&file)?));
        }
        if let Some(uri) = self.jwks_uri {
            client.keys = Some(ClientKeys::JwksUri(uri));
        }
        Ok(())
    }
}

/// The certificates by which a client is known: with this name, of the authorities in a file, or of those before. None when no
/// name is said.
pub(super) fn chain(
    subject: &str,
    authorities: Option<&Path>,
    before: Option<&AssertionChain>,
) -> Result<Option<AssertionChain>, Failure> {
    if subject.is_empty() {
        return Ok(None);
    }
    let authorities = match (authorities, before) {
        (Some(file), _) => {
            let unreadable = |reason| Failure::File { path: file.to_owned(), reason };
            std::fs::read_to_string(file).map_err(unreadable)?
        }
        (None, Some(before)) => before.authorities.clone(),
        (None, None) => {
            return Err(Failure::Said("say whose certificates they are, with a file of authorities".into()));
        }
    };
    Ok(Some(AssertionChain { authorities, subject: subject.parse().map_err(Failure::Said)? }))
}

type Tenant = bailiwick::identity::Tenant;

fn find(tenant: &Tenant, id: &str) -> Result<Held<Record>, Failure> {
    let none = || Failure::Said(format!("there is no client `{id}`; `bailiwick client list` prints those there are"));
    tenant.client(id).map_err(|_| none())
}

/// A client without the hashes of its secrets.
fn shown(tenant: &Tenant, client: &Record) -> Result<Value, Failure> {
    let mut value = json_of(client)?;
    let secret = |s: &bailiwick::identity::ClientSecret| json!({"id": s.id, "created_at": time(s.created_at), "expires_at": s.expires_at.map(time)});
    if let Some(members) = value.as_object_mut() {
        members.insert("secrets".to_owned(), client.secrets.iter().map(secret).collect());
        members.insert("created_at".to_owned(), time(client.created_at).into());
        members.insert("active".to_owned(), tenant.is_active(&client.subject())?.into());
        members.remove("deleted_at");
    }
    Ok(value)
}

fn all(tenant: &Tenant) -> Result<Vec<Held<Record>>, Failure> {
    let mut all: Vec<Held<Record>> = Vec::new();
    loop {
        let page = tenant.clients(all.last().map(|client| client.id.clone()).as_deref(), PAGE_MAX)?;
        let last = page.len() < PAGE_MAX;
        all.extend(page);
        if last {
            all.retain(|client| client.deleted_at.is_none());
            return Ok(all);
        }
    }
}

fn create(id: Option<String>, (kind, admin): (Kind, bool), what: What, tenant: &InTenant) -> Result<(), Failure> {
    let opened = tenant.open()?;
    let env = env();
    let kind = match kind {
        Kind::App => ClientKind::App,
        Kind::Agent => ClientKind::Agent,
    };
    let id = id.unwrap_or_else(|| env.id());
    let mut client = Record::new(id.clone(), kind, id);
    what.apply(&mut client)?;
    let mut change = opened.change(&env);
    let made = opened.add_client(&mut change, &client, &env)?;
    if admin {
        opened.add_administrator(&mut change, &made.subject(), &env);
    }
    change.commit()?;
    let mut value = shown(&opened, &made)?;
    let by_secret = [AuthMethod::ClientSecretBasic, AuthMethod::ClientSecretPost];
    if made.auth_methods.iter().any(|method| by_secret.contains(method)) {
        let (_, secret) = opened.add_secret(&made.id, None, &env)?;
        if let Some(members) = value.as_object_mut() {
            members.insert("client_secret".to_owned(), secret.into());
        }
    }
    tenant.show(&value);
    Ok(())
}

impl Client {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        match self {
            Client::Create { id, kind, admin, what, tenant } => create(id, (kind, admin), what, &tenant)?,
            Client::List { tenant } => {
                let opened = tenant.open()?;
                let clients = all(&opened)?;
                let line = |c: &Held<Record>| vec![c.id.clone(), c.kind.object_type().to_owned(), c.name.clone()];
                let lines: Vec<Vec<String>> = clients.iter().map(line).collect();
                let json = clients.iter().map(|c| shown(&opened, c)).collect::<Result<Vec<_>, _>>()?;
                tenant.list(&["id", "kind", "name"], &lines, || json!({ "clients": json }));
            }
            Client::Show { client, tenant } => {
                let opened = tenant.open()?;
                tenant.show(&shown(&opened, &find(&opened, &client)?.value)?);
            }
            Client::Set { client, what, tenant } => {
                let opened = tenant.open()?;
                let held = find(&opened, &client)?;
                let mut wanted = held.value.clone();
                what.apply(&mut wanted)?;
                tenant.show(&shown(&opened, &opened.change_client(&held, &wanted, &env())?)?);
            }
            Client::AddSecret { client, life, tenant } => {
                let opened = tenant.open()?;
                let (id, secret) = opened.add_secret(&find(&opened, &client)?.id, life, &env())?;
                if tenant.look.json { say(json!({"id": id, "client_secret": secret})) } else { say(secret) }
            }
            Client::RemoveSecret { client, secret, tenant } => {
                let opened = tenant.open()?;
                opened.remove_secret(&find(&opened, &client)?.id, &secret, &env())?;
            }
            Client::Suspend { client, tenant } => suspend(&tenant, &client, true)?,
            Client::Resume { client, tenant } => suspend(&tenant, &client, false)?,
            Client::Delete { client, yes, tenant } => {
                let opened = tenant.open()?;
                let held = find(&opened, &client)?;
                if !yes && !super::super::store::sure(&format!("client `{client}`"), &format!(" ({})", held.name))? {
                    return Ok(ExitCode::from(1));
                }
                opened.delete_client(&held.id, &env())?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn suspend(tenant: &InTenant, id: &str, suspended: bool) -> Result<(), Failure> {
    let opened = tenant.open()?;
    let subject = find(&opened, id)?.subject();
    opened.suspend(&subject, suspended, None, &env())?;
    Ok(())
}
