//! `bailiwick connection`: other people's APIs, for which the vault lends credentials.

mod credential;
mod key;

use credential::{CredentialFor, secret};
use key::KeyOf;

use super::super::Failure;
use super::super::show::note;
use super::scope::{Class, Kind as ScopeKind, Scopes};
use super::{InTenant, env, json_of, time};
use bailiwick::identity::{Held, MACHINE, PAGE_MAX, Tenant};
use bailiwick::modules::vault::{self, Connection as Record, ConnectionSpec, Holder, Provider, ScopeClass};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Map, Value, json};
use std::path::PathBuf;
use std::process::ExitCode;

/// What is shown behind the help of `bailiwick connection`.
pub(crate) const CONNECTION_EXAMPLES: &str = "\
Examples: bailiwick connection create crm --type oauth2 --base https://api.crm.example/v1 \\
            --authorize-url https://crm.example/authorize --token-url https://crm.example/token \\
            --client-id acme --client-secret-file secret --rule 'GET /contacts/** crm.read'
          bailiwick connection allow crm agent:sales
          bailiwick connection scope set crm crm.read --class automatic --for agent:sales
          bailiwick connection create model --type api-key --holder agent --base https://api.model.example \\
            --rule 'POST /v1/chat/completions'
          bailiwick connection credential set model --agent sales < key
          bailiwick connection create prices --type identity-assertion --base https://pricing.example \\
            --issuer https://pricing.example --token-url https://pricing.example/token --client-id acme-sales \\
            --client-secret-file secret --resource https://pricing.example/mcp --rule 'POST /mcp'
          bailiwick connection disconnect crm --user sarah@example.com

Agents call ISSUER/proxy/ID/PATH with their own token: docs/vault.md";

/// Somebody else's API, for which the vault lends credentials.
#[derive(Subcommand)]
pub(crate) enum Connection {
    /// Make a connection
    Create {
        /// Its id in tuples and URLs, which is never given again: small letters, digits, `-` and `_`
        id: String,
        #[command(flatten)]
        what: What,
        #[command(flatten)]
        tenant: InTenant,
    },
    /// Change what is said, and leave the rest; a list takes the place of the one before
    Set {
        /// Its id
        id: String,
        #[command(flatten)]
        what: What,
        #[command(flatten)]
        tenant: InTenant,
    },
    /// List the connections
    List {
        #[command(flatten)]
        tenant: InTenant,
    },
    /// Print a connection, who may use it, and how its scopes are had
    Show {
        /// Its id
        id: String,
        #[command(flatten)]
        tenant: InTenant,
    },
    /// Take a connection away; credentials for it are of no use from then on
    Delete {
        /// Its id
        id: String,
        /// Do not ask first
        #[arg(long, short)]
        yes: bool,
        #[command(flatten)]
        tenant: InTenant,
    },
    /// Let an agent or an application use it
    Allow {
        /// Its id
        id: String,
        /// Who: agent:ID, app:ID, agent:* or app:*
        client: String,
        #[command(flatten)]
        tenant: InTenant,
    },
    /// Let an agent or an application use it no longer
    Disallow {
        /// Its id
        id: String,
        /// Who: agent:ID, app:ID, agent:* or app:*
        client: String,
        #[command(flatten)]
        tenant: InTenant,
    },
    /// Say how agents have the scopes that its rules name
    #[command(
        subcommand,
        after_help = "Example: bailiwick connection scope set crm crm.read --class automatic --for agent:sales"
    )]
    Scope(Scopes),
    /// Set and list the credentials that are lent
    #[command(
        subcommand,
        after_help = "Example: bailiwick connection credential set model --agent sales --file /run/secrets/model"
    )]
    Credential(CredentialFor),
    /// The keys with which we show at its provider who we are (`--client-auth private-key-jwt`)
    #[command(
        subcommand,
        after_help = "Example: bailiwick connection key add crm, and register the JWK that it prints at the provider"
    )]
    Key(KeyOf),
    /// Take a credential away. Its token is not taken back at the provider: that is done at ISSUER/connect/ID, and by
    /// DELETE ISSUER/admin/connections/ID/credentials/HOLDER
    Disconnect {
        /// The id of the connection
        id: String,
        #[command(flatten)]
        who: Who,
        #[command(flatten)]
        tenant: InTenant,
    },
}

/// How the other side wants to be asked.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Type {
    /// OAuth 2 with an authorization code and refresh tokens: each person connects their account
    Oauth2,
    /// A service account, whose key signs assertions for access tokens (RFC 7523)
    ServiceAccount,
    /// The authorization server of another domain, to which is asserted for whom a call is (ID-JAG): nobody connects anything
    IdentityAssertion,
    /// A key in a header, or in the query
    ApiKey,
    /// A user and a password
    Basic,
}

/// Whose credentials are lent.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum HolderOf {
    /// Those of the person for whom the agent acts
    User,
    /// The agent's own
    Agent,
}

/// How we show who we are at a token endpoint.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Auth {
    /// In the header
    Basic,
    /// In the form
    Post,
    /// Not at all: we are a public client there
    None,
    /// By an assertion that a key of ours signs (RFC 7523); `bailiwick connection key add` makes the key
    #[value(alias = "private_key_jwt")]
    PrivateKeyJwt,
}

/// What is said of a connection.
#[derive(Args)]
#[command(next_help_heading = "The connection")]
pub(crate) struct What {
    /// What people call it; its id when it is left out
    #[arg(long)]
    name: Option<String>,
    /// The URL below which calls go, as https://api.example.com/v1
    #[arg(long, value_name = "URL")]
    base: Option<String>,
    /// How the other side wants to be asked
    #[arg(long = "type", value_enum)]
    kind: Option<Type>,
    /// Whose credentials are lent; a person's when it is left out
    #[arg(long, value_enum)]
    holder: Option<HolderOf>,
    /// What is let through: methods with commas between them, a path (`*` is one segment, `**` at the end any number), and
    /// the scope that it takes, if any
    #[arg(long, value_name = "METHODS PATH [SCOPE]", value_parser = rule)]
    rule: Option<Vec<Value>>,
    /// Whether agents may be handed access tokens themselves, which no rule and no filter binds
    #[arg(long, value_name = "BOOL")]
    exchange: Option<bool>,
    /// The largest body that is sent, in bytes
    #[arg(long, value_name = "BYTES")]
    request_bytes_max: Option<u64>,
    /// The largest body that is answered, in bytes
    #[arg(long, value_name = "BYTES")]
    response_bytes_max: Option<u64>,
    /// How long a call may take, in seconds
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,
    /// How long an agent may take nothing of an answer that waits for it, in seconds
    #[arg(long, value_name = "SECONDS")]
    stalled: Option<u64>,
    #[command(flatten)]
    provider: ProviderSays,
}

/// What is said of the provider, as its type wants it.
#[derive(Args)]
#[command(next_help_heading = "The provider")]
pub(crate) struct ProviderSays {
    /// oauth2: where people allow it
    #[arg(long, value_name = "URL")]
    authorize_url: Option<String>,
    /// oauth2, service-account, identity-assertion: where tokens are had
    #[arg(long, value_name = "URL")]
    token_url: Option<String>,
    /// oauth2: where tokens are taken back (RFC 7009)
    #[arg(long, value_name = "URL")]
    revoke_url: Option<String>,
    /// oauth2: its issuer, which an `iss` in its answers must be (RFC 9207); identity-assertion: the issuer of the managed
    /// connection
    #[arg(long, value_name = "URL")]
    issuer: Option<String>,
    /// oauth2: whether its answers must have an `iss`
    #[arg(long, value_name = "BOOL")]
    issuer_required: Option<bool>,
    /// oauth2: who we are there; identity-assertion: the client that the managed connection names for the agent
    #[arg(long)]
    client_id: Option<String>,
    /// oauth2, identity-assertion: how we show it; in the header when it is left out
    #[arg(long, value_enum)]
    client_auth: Option<Auth>,
    /// private-key-jwt: `aud` of our assertions; the issuer when it is left out, or the token endpoint without one
    #[arg(long, value_name = "URL")]
    assertion_audience: Option<String>,
    /// oauth2, identity-assertion: a file with our secret there; `-` is the standard input
    #[arg(long, value_name = "FILE")]
    client_secret_file: Option<PathBuf>,
    /// oauth2, service-account: a scope that is asked for there; identity-assertion: one of the managed connection, and all
    /// that need nobody when none is said
    #[arg(long, value_name = "SCOPE")]
    provider_scope: Option<Vec<String>>,
    /// identity-assertion: the resource there, for which tokens are to be
    #[arg(long, value_name = "URL")]
    resource: Option<String>,
    /// oauth2: a parameter that it wants besides, as access_type=offline
    #[arg(long, value_name = "NAME=VALUE", value_parser = super::pair)]
    parameter: Option<Vec<(String, String)>>,
    /// service-account: the account, `iss` of the assertions
    #[arg(long)]
    account: Option<String>,
    /// service-account: for whom it acts, `sub` of the assertions
    #[arg(long)]
    subject: Option<String>,
    /// service-account: `aud` of the assertions; the token endpoint when it is left out
    #[arg(long)]
    audience: Option<String>,
    /// service-account: the id of its key, `kid` of the assertions
    #[arg(long)]
    key_id: Option<String>,
    /// api-key: the header in which the key stands; Authorization when neither this nor --query is said
    #[arg(long, value_name = "NAME", conflicts_with = "query")]
    header: Option<String>,
    /// api-key: what stands before the key; `Bearer ` when no header is said
    #[arg(long, value_name = "TEXT", conflicts_with = "query")]
    prefix: Option<String>,
    /// api-key: the parameter of the query in which the key stands
    #[arg(long, value_name = "NAME")]
    query: Option<String>,
}

/// Who holds a credential.
#[derive(Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Who {
    /// A person, by id or login name
    #[arg(long)]
    user: Option<String>,
    /// An agent or an application, by its id
    #[arg(long, value_name = "ID")]
    agent: Option<String>,
}

/// A rule as it is written: methods, path, scope.
fn rule(text: &str) -> Result<Value, String> {
    let mut words = text.split_whitespace();
    let (methods, path, scope) = (words.next(), words.next(), words.next());
    let (Some(methods), Some(path), None) = (methods, path, words.next()) else {
        return Err("write methods, a path, and the scope if it takes one, as `GET,HEAD /v1/** crm.read`".into());
    };
    let methods: Vec<&str> = methods.split(',').collect();
    Ok(match scope {
        Some(scope) => json!({"methods": methods, "path": path, "scope": scope}),
        None => json!({"methods": methods, "path": path}),
    })
}

/// Adds what was said to what is there.
fn put(members: &mut Map<String, Value>, said: impl IntoIterator<Item = (&'static str, Option<Value>)>) {
    for (name, value) in said {
        if let Some(value) = value {
            members.insert(name.to_owned(), value);
        }
    }
}

fn text(value: Option<String>) -> Option<Value> {
    value.map(Value::from)
}

impl What {
    /// The connection with what was said in place of what was there.
    fn over(self, mut spec: Map<String, Value>) -> Result<ConnectionSpec, Failure> {
        let mut provider = match spec.remove("provider") {
            Some(Value::Object(provider)) => provider,
            _ => Map::new(),
        };
        let (kind, says) = (self.kind, self.provider);
        if let Some(kind) = kind {
            says.of_type(kind, &mut provider);
        }
        says.over(&mut provider);
        let holder = match (self.holder, kind) {
            (Some(HolderOf::User), _) => Some("user"),
            (Some(HolderOf::Agent), _) => Some("agent"),
            (None, Some(Type::IdentityAssertion)) => Some("user_and_agent"),
            (None, _) => None,
        };
        put(
            &mut spec,
            [
                ("name", text(self.name)),
                ("base", text(self.base)),
                ("holder", holder.map(Value::from)),
                ("rules", self.rule.map(Value::from)),
                ("exchange", self.exchange.map(Value::from)),
                ("provider", (!provider.is_empty()).then_some(Value::Object(provider))),
            ],
        );
        let mut limits = match spec.remove("limits") {
            Some(Value::Object(limits)) => limits,
            _ => Map::new(),
        };
        put(
            &mut limits,
            [
                ("request_bytes_max", self.request_bytes_max.map(Value::from)),
                ("response_bytes_max", self.response_bytes_max.map(Value::from)),
                ("timeout_s", self.timeout.map(Value::from)),
                ("stalled_s", self.stalled.map(Value::from)),
            ],
        );
        spec.insert("limits".to_owned(), Value::Object(limits));
        serde_json::from_value(Value::Object(spec)).map_err(|error| misfit(&error.to_string()))
    }
}

/// What is missing, or does not go with the type, in the words of the command.
fn misfit(error: &str) -> Failure {
    let named = error.split('`').nth(1).unwrap_or_default();
    let flag = match named {
        "provider" => "type".to_owned(),
        "rules" => "rule".to_owned(),
        named => named.replace('_', "-"),
    };
    Failure::Said(if error.starts_with("missing field") {
        format!("say --{flag}: it is missing")
    } else if error.starts_with("unknown field") {
        format!("--{flag} does not go with this --type; leave it out")
    } else {
        error.to_owned()
    })
}

impl ProviderSays {
    /// What a type is of, before anything else was said.
    fn of_type(&self, kind: Type, provider: &mut Map<String, Value>) {
        let name = match kind {
            Type::Oauth2 => "oauth2",
            Type::ServiceAccount => "service_account",
            Type::IdentityAssertion => "identity_assertion",
            Type::ApiKey if self.query.is_some() => "api_key_query",
            Type::ApiKey => "api_key_header",
            Type::Basic => "basic",
        };
        provider.insert("type".to_owned(), name.into());
        if name == "api_key_header" && self.header.is_none() {
            provider.insert("header".to_owned(), "Authorization".into());
            provider.insert("prefix".to_owned(), "Bearer ".into());
        }
    }

    fn over(self, provider: &mut Map<String, Value>) {
        let auth = self.client_auth.map(|auth| match auth {
            Auth::Basic => "basic",
            Auth::Post => "post",
            Auth::None => "none",
            Auth::PrivateKeyJwt => "private_key_jwt",
        });
        let parameters = self.parameter.map(|all| all.into_iter().map(|(n, v)| (n, Value::from(v))).collect());
        put(
            provider,
            [
                ("authorize_url", text(self.authorize_url)),
                ("token_url", text(self.token_url)),
                ("revoke_url", text(self.revoke_url)),
                ("issuer", text(self.issuer)),
                ("issuer_required", self.issuer_required.map(Value::from)),
                ("client_id", text(self.client_id)),
                ("client_auth", auth.map(Value::from)),
                ("assertion_audience", text(self.assertion_audience)),
                ("scopes", self.provider_scope.map(Value::from)),
                ("resource", text(self.resource)),
                ("parameters", parameters.map(Value::Object)),
                ("account", text(self.account)),
                ("subject", text(self.subject)),
                ("audience", text(self.audience)),
                ("key_id", text(self.key_id)),
                ("header", text(self.header)),
                ("prefix", text(self.prefix)),
                ("parameter", text(self.query)),
            ],
        );
    }
}

impl Who {
    fn holder(&self, tenant: &Tenant) -> Result<Holder, Failure> {
        match (&self.user, &self.agent) {
            (Some(user), _) => Ok(Holder::User(super::user::find(tenant, user)?.id.clone())),
            (None, agent) => {
                let agent = agent.as_deref().unwrap_or_default();
                let id = agent.strip_prefix("agent:").or_else(|| agent.strip_prefix("app:")).unwrap_or(agent);
                let none = || Failure::Said(format!("there is no client `{id}`; `bailiwick client list` prints those"));
                Ok(Holder::Agent(tenant.client(id).map_err(|_| none())?.subject()))
            }
        }
    }
}

/// A connection as the commands print it.
fn shown(tenant: &Tenant, connection: &Record, whole: bool) -> Result<Value, Failure> {
    let mut value = if whole {
        vault::admin::whole_json(tenant, connection)?
    } else {
        vault::admin::connection_json(tenant, connection)
    };
    let Some(members) = value.as_object_mut() else { return Ok(value) };
    members.insert("created_at".to_owned(), time(connection.created_at).into());
    members.insert("changed_at".to_owned(), time(connection.changed_at).into());
    let Some(Value::Object(mut spec)) = members.remove("connection") else { return Ok(value) };
    spec.append(members);
    Ok(Value::Object(spec))
}

fn all(tenant: &Tenant) -> Result<Vec<Held<Record>>, Failure> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let (page, next) = vault::list(tenant, after.as_deref(), PAGE_MAX)?;
        all.extend(page);
        after = next;
        if after.is_none() {
            return Ok(all);
        }
    }
}

fn find(tenant: &Tenant, id: &str) -> Result<Held<Record>, Failure> {
    let none =
        || Failure::Said(format!("there is no connection `{id}`; `bailiwick connection list` prints those there are"));
    vault::get(tenant, id).map_err(|_| none())
}

/// The scopes of the vault's connections.
const SCOPES: ScopeKind = ScopeKind {
    classify: |tenant, (connection, scope), client, class| {
        find(tenant, connection)?;
        let class = class.map(|class| match class {
            Class::Automatic => ScopeClass::Automatic,
            Class::NeedsApproval => ScopeClass::NeedsApproval,
            Class::Never => ScopeClass::Never,
        });
        Ok(vault::classify(tenant, (connection, scope), client, class, MACHINE, &env())?)
    },
    classes: |tenant, connection| {
        find(tenant, connection)?;
        let all = vault::classes(tenant, connection)?;
        Ok(all.into_iter().map(|one| (one.scope, one.class, one.subject)).collect())
    },
};

fn kind(provider: &Provider) -> &'static str {
    match provider {
        Provider::Oauth2 { .. } => "oauth2",
        Provider::ServiceAccount { .. } => "service-account",
        Provider::IdentityAssertion { .. } => "identity-assertion",
        Provider::ApiKeyHeader { .. } | Provider::ApiKeyQuery { .. } => "api-key",
        Provider::Basic {} => "basic",
    }
}

fn create(id: &str, what: What, tenant: &InTenant) -> Result<(), Failure> {
    let file = what.provider.client_secret_file.clone();
    let spec = json!({"id": id, "name": id, "holder": "user", "rules": []});
    let Value::Object(spec) = spec else { return Ok(()) };
    let spec = what.over(spec)?;
    let client_secret = file.as_deref().map(|file| secret(Some(file))).transpose()?;
    let opened = tenant.open()?;
    if spec.rules.is_empty() {
        note("warning: no --rule was said, so nothing is let through; `bailiwick connection set` adds some");
    }
    vault::create(&opened, spec, client_secret.as_deref(), MACHINE, &env())?;
    tenant.show(&shown(&opened, &find(&opened, id)?.value, true)?);
    Ok(())
}

fn set(id: &str, what: What, tenant: &InTenant) -> Result<(), Failure> {
    let file = what.provider.client_secret_file.clone();
    let opened = tenant.open()?;
    let Value::Object(before) = json_of(&find(&opened, id)?.spec)? else { return Ok(()) };
    let spec = what.over(before)?;
    let client_secret = file.as_deref().map(|file| secret(Some(file))).transpose()?;
    vault::change(&opened, &spec, client_secret.as_deref(), MACHINE, &env())?;
    tenant.show(&shown(&opened, &find(&opened, id)?.value, true)?);
    Ok(())
}

impl Connection {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        match self {
            Connection::Create { id, what, tenant } => create(&id, what, &tenant)?,
            Connection::Set { id, what, tenant } => set(&id, what, &tenant)?,
            Connection::List { tenant } => {
                let opened = tenant.open()?;
                let all = all(&opened)?;
                let line = |c: &Held<Record>| {
                    let holder = match c.spec.holder {
                        vault::HolderKind::User => "user",
                        vault::HolderKind::Agent => "agent",
                        vault::HolderKind::UserAndAgent => "user and agent",
                    };
                    let spec = &c.spec;
                    vec![
                        spec.id.clone(),
                        kind(&spec.provider).into(),
                        holder.into(),
                        spec.base.clone(),
                        spec.name.clone(),
                    ]
                };
                let lines: Vec<Vec<String>> = all.iter().map(line).collect();
                let json = all.iter().map(|c| shown(&opened, c, false)).collect::<Result<Vec<_>, _>>()?;
                let head = ["id", "type", "credentials of", "base", "name"];
                tenant.list(&head, &lines, || json!({ "connections": json }));
            }
            Connection::Show { id, tenant } => {
                let opened = tenant.open()?;
                tenant.show(&shown(&opened, &find(&opened, &id)?.value, true)?);
            }
            Connection::Delete { id, yes, tenant } => {
                let opened = tenant.open()?;
                let held = find(&opened, &id)?;
                if !yes && !super::super::store::sure(&format!("connection `{id}`"), &format!(" ({})", held.spec.name))?
                {
                    return Ok(ExitCode::from(1));
                }
                vault::remove(&opened, &id, MACHINE, &env())?;
            }
            Connection::Allow { id, client, tenant } => allow(&tenant, &id, &client, true)?,
            Connection::Disallow { id, client, tenant } => allow(&tenant, &id, &client, false)?,
            Connection::Scope(scopes) => return scopes.run(&SCOPES),
            Connection::Credential(credential) => credential.run()?,
            Connection::Key(key) => key.run()?,
            Connection::Disconnect { id, who, tenant } => {
                let opened = tenant.open()?;
                vault::disconnect(&opened, &id, &who.holder(&opened)?, MACHINE, &env())?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn allow(tenant: &InTenant, id: &str, client: &str, allowed: bool) -> Result<(), Failure> {
    let opened = tenant.open()?;
    find(&opened, id)?;
    Ok(vault::allow(&opened, id, client, allowed, MACHINE, &env())?)
}
