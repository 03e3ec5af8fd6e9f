//! One file per subcommand; this one reads the arguments.

mod audit;
mod bulk;
mod bulk_remote;
mod care;
mod chunk;
mod chunk_files;
mod chunk_import;
mod collection;
mod demo;
mod demo_agents;
mod failure;
mod given;
mod identity;
mod mcp_try;
mod model;
mod models;
mod place;
mod question;
mod ring;
mod search;
mod serve;
mod show;
mod store;
mod tree;
mod tuple;

pub(crate) use failure::Failure;
pub(crate) use show::say;

use bailiwick::engine::Engine;
use bailiwick::tuple::StoreId;
use clap::{Parser, Subcommand};
use place::open;
use std::path::PathBuf;
use std::process::ExitCode;

const EXAMPLES: &str = "\
Start:
  bailiwick demo                                       a small world, and the questions that matter
  bailiwick demo agents                                an agent that acts for a person, step by step
  bailiwick serve --data ./data                        HTTP on 127.0.0.1:8080, gRPC on 127.0.0.1:8081
  bailiwick store create docs
  bailiwick model write model.fga
  bailiwick tuple write user:anne viewer document:1
  bailiwick check user:anne viewer document:1          exit code 0 allow, 1 deny, 2 error

Commands about stores ask the server on this machine; --server URL names another, --data DIR opens a directory
instead. Those about identities and audit open the directory themselves, while no server has it open.";

/// An authorization database: OpenFGA's API, exact and consistent, from one binary
#[derive(Parser)]
#[command(name = "bailiwick", version, after_help = EXAMPLES, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Show what it does, on a small world behind a real server
    #[command(after_help = "Examples: bailiwick demo\n          bailiwick demo agents")]
    Demo {
        #[command(subcommand)]
        what: Option<Demo>,
    },
    /// Serve OpenFGA's API over HTTP and gRPC
    #[command(
        after_help = "Example: bailiwick serve --data ./data --http-addr 127.0.0.1:8080\n\nEvery setting may also be a \
                            variable (BAILIWICK_HTTP_ADDR) or stand in a file: docs/config.md"
    )]
    Serve(Box<serve::Serve>),
    /// The same as serve, with OpenFGA's name for it
    #[command(hide = true, after_help = "Example: bailiwick run --data ./data")]
    Run(Box<serve::Serve>),
    /// Print the settings in effect, and where each comes from
    #[command(after_help = "Example: BAILIWICK_LOG_FORMAT=json bailiwick config --resolve-node-limit 50")]
    Config(Box<serve::Show>),
    /// Create, list, get and delete stores
    #[command(subcommand, after_help = "Example: bailiwick store create docs")]
    Store(store::Store),
    /// Check, transform, write, read and list authorization models
    #[command(subcommand, after_help = "Example: bailiwick model write model.fga")]
    Model(models::Model),
    /// Write, delete and read tuples, and read their changes
    #[command(subcommand, after_help = "Example: bailiwick tuple write user:anne viewer document:1")]
    Tuple(tuple::Tuple),
    /// Import tuples from JSON lines, JSON or CSV: exit code 0 all in, 1 bad lines left out, 2 stopped
    #[command(after_help = "Examples: bailiwick import --data ./data --model model.fga tuples.jsonl.zst\n          \
                            bailiwick import --server 127.0.0.1:8081 --on-error skip tuples.csv")]
    Import(Box<bulk::Import>),
    /// Export the tuples of a store as JSON lines, JSON or CSV
    #[command(after_help = "Example: bailiwick export --data ./data --output tuples.csv.zst")]
    Export(bulk::Export),
    /// Create, list, show and delete collections of chunks
    #[command(
        subcommand,
        after_help = "Example: bailiwick collection create --name docs --dimension 384 --guard document#can_view"
    )]
    Collection(collection::Collection),
    /// Import, get, list and delete the chunks of a collection
    #[command(subcommand, after_help = "Example: bailiwick chunk list --collection docs --object document:1")]
    Chunk(chunk::Chunk),
    /// Find the nearest chunks among those that a user may see
    #[command(after_help = search::EXAMPLES)]
    Search(Box<search::Search>),
    /// Ask whether a user has a relation to an object: exit code 0 allow, 1 deny, 2 error
    #[command(
        after_help = "Examples: bailiwick check user:anne viewer document:1\n          bailiwick check user:carl viewer \
                            document:2 --context '{\"hour\": 10}' --with 'user:carl member group:eng'"
    )]
    Check(question::Check),
    /// List the objects to which a user has a relation
    #[command(after_help = "Example: bailiwick list-objects user:anne viewer document")]
    ListObjects(question::ListObjects),
    /// List the users who have a relation to an object
    #[command(
        after_help = "Examples: bailiwick list-users document:1 viewer user\n          bailiwick list-users document:1 \
                            viewer group#member"
    )]
    ListUsers(question::ListUsers),
    /// Draw what a relation of an object is made of
    #[command(after_help = "Example: bailiwick expand viewer document:1")]
    Expand(question::Expand),
    /// Make a key ring, a tenant and its first administrator, and the settings to serve them
    #[command(after_help = "Example: bailiwick init --issuer http://127.0.0.1:8082 --admin sarah@example.com")]
    Init(identity::Init),
    /// Create, list, show, suspend and resume tenants; their keys and settings
    #[command(subcommand, after_help = "Example: bailiwick tenant create acme --issuer https://id.example.com/acme")]
    Tenant(identity::Tenant),
    /// Create, list, show, invite, suspend and delete users
    #[command(subcommand, after_help = "Example: bailiwick user create sarah@example.com --name 'Sarah Chen'")]
    User(identity::User),
    /// Create, list, show, change, suspend and delete clients
    #[command(
        subcommand,
        after_help = "Example: bailiwick client create --id sales --kind agent --grant-type client_credentials"
    )]
    Client(Box<identity::Client>),
    /// Register, list and show agents, lead them through their life, and see what they reach
    #[command(
        subcommand,
        after_help = "Example: bailiwick agent register --id sales --name Sales --purpose 'Writes proposals' --owner \
                      team:sales-ops --accountable user:john"
    )]
    Agent(Box<identity::Agent>),
    /// Say what needs a person's approval, how it is shown and who decides; list what was asked
    #[command(subcommand, after_help = "Example: bailiwick approval put-type proposal.json")]
    Approval(identity::Approval),
    /// Say who belongs to which team, and who is whose manager
    #[command(subcommand, after_help = "Example: bailiwick team add sales-ops 01K...")]
    Team(identity::Team),
    /// Give, take and list roles: who administers and audits the tenant, owns what is in it, or may hold a checked scope
    #[command(subcommand, after_help = "Example: bailiwick role give user:paul auditor")]
    Role(identity::Role),
    /// Create, list, show and delete resources, which tokens are for
    #[command(
        subcommand,
        after_help = "Example: bailiwick resource create https://api.example.com/ --id api --scope read='See it'"
    )]
    Resource(identity::Resource),
    /// Set, list and remove claims of the tenant's own in tokens and userinfo, by an expression each
    #[command(
        subcommand,
        after_help = "Examples: bailiwick claim set https://acme.example/role user.claims.role --type string --in id_token\n          \
                            bailiwick claim set strong \"acr != 'aal1'\" --in access_token --optional"
    )]
    Claim(identity::Claim),
    /// Put, list, show and remove MCP servers whose every call is decided by Check; try one as a client
    #[command(
        subcommand,
        after_help = "Examples: bailiwick mcp put crm.json\n          bailiwick mcp try https://crm.example/mcp"
    )]
    Mcp(identity::Mcp),
    /// List, show, export, verify, hold and drop what happened
    #[command(subcommand, after_help = "Example: bailiwick audit list --data ./data --tenant 1 --user user:sarah")]
    Audit(Box<audit::Audit>),
    /// Say why something was allowed or refused, over all layers: who, each decision and its rule, by number in the audit log
    #[command(after_help = identity::EXPLAIN_EXAMPLES)]
    Explain(identity::Explain),
    /// Make connections to other people's APIs, let agents use them, and set and take away their credentials
    #[command(subcommand, after_help = identity::CONNECTION_EXAMPLES)]
    Connection(Box<identity::Connection>),
    /// Say where clients may go with the tokens of people: resources of a tenant, and other domains
    #[command(
        subcommand,
        after_help = "Examples: bailiwick managed-connection put crm --resource https://crm.example/\n          bailiwick \
                            managed-connection put pricing --issuer https://pricing.example --client sales=sales-there \
                            --scope sales.read=pricing:read\n          bailiwick managed-connection allow pricing agent:sales"
    )]
    ManagedConnection(Box<identity::ManagedConnection>),
    /// Say which scopes of a managed connection clients have for the asking, with an approval, or never
    #[command(
        subcommand,
        after_help = "Example: bailiwick connection-scope set pricing sales.read --class automatic --for agent:sales"
    )]
    ConnectionScope(identity::ConnectionScope),
    /// Trust the identity assertions of other domains (ID-JAG)
    #[command(
        subcommand,
        after_help = "Example: bailiwick trust put https://id.example/acme --subject email --scope pricing:read \
                            --resource https://pricing.example/api --jwks-uri https://id.example/acme/jwks"
    )]
    Trust(Box<identity::Trust>),
    /// Trust platforms and SPIFFE trust domains to say which client a workload is
    #[command(
        subcommand,
        after_help = "Examples: bailiwick workload put https://token.actions.githubusercontent.com --jwks-uri \
                            https://token.actions.githubusercontent.com/.well-known/jwks\n          bailiwick workload put \
                            spiffe://example.org --jwks-uri https://bundles.example.org/bundle.json"
    )]
    Workload(identity::Workloads),
    /// Add, list and delete other OpenID providers with whose word people sign in
    #[command(
        subcommand,
        after_help = "Example: bailiwick provider put work --issuer https://login.example.org --client-id bailiwick \
                      --secret-file secret"
    )]
    Provider(identity::Provider),
    /// Add, list and delete other systems that are told when all is over that a person has here
    #[command(
        subcommand,
        after_help = "Example: bailiwick revocation-place put crm --endpoint https://crm.example/global-token-revocation \
                      --client-id crm"
    )]
    RevocationPlace(identity::RevocationPlace),
    /// Derive the index again from what is stored, and compare: exit code 0 clean, 1 damaged, 2 error
    #[command(after_help = "Example: bailiwick verify --data ./data")]
    Verify(care::Verify),
    /// Print what the database holds and what it costs
    #[command(after_help = "Example: bailiwick stats --data ./data")]
    Stats(care::Stats),
    /// Print a completion script for a shell
    #[command(
        after_help = "Example: bailiwick completions bash > ~/.local/share/bash-completion/completions/bailiwick"
    )]
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
}

/// Which demonstration; the engine's when none is named.
#[derive(Clone, Subcommand)]
enum Demo {
    /// An agent writes and sends a proposal for somebody: sign-in, tokens, vault, approvals, MCP, audit
    Agents {
        /// A directory that is not there yet, for all that it leaves: the database, the exported log, what the server logged,
        /// and what each person, program and stub sent and received
        #[arg(long, value_name = "DIRECTORY")]
        keep: Option<PathBuf>,
    },
}

/// The store asked for; the only one when none is named.
fn store(engine: &Engine, named: Option<&str>) -> Result<StoreId, Failure> {
    let place = place::Place::here(engine.clone())?;
    store_id(&place.store(named)?)
}

/// The id that a server or a directory gave.
fn store_id(id: &str) -> Result<StoreId, Failure> {
    ulid::Ulid::from_string(id).map(StoreId).map_err(|_| Failure::Said(format!("`{id}` is no id of a store")))
}

/// Reads the arguments and runs.
pub(crate) fn run() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Serve(serve) => serve.run(false),
        Command::Run(serve) => serve.run(true),
        Command::Config(show) => show.run(),
        Command::Demo { what: None } => demo::run(),
        Command::Demo { what: Some(Demo::Agents { keep }) } => demo_agents::run(keep),
        Command::Store(store) => store.run(),
        Command::Tuple(tuple) => tuple.run(),
        Command::Collection(collection) => collection.run(),
        Command::Chunk(chunk) => chunk.run(),
        Command::Search(search) => search.run(),
        Command::Check(check) => check.run(),
        Command::ListObjects(list) => list.run(),
        Command::ListUsers(list) => list.run(),
        Command::Expand(expand) => expand.run(),
        Command::Init(init) => init.run(),
        Command::Tenant(tenant) => tenant.run(),
        Command::User(user) => user.run(),
        Command::Client(client) => client.run(),
        Command::Agent(agent) => agent.run(),
        Command::Approval(approval) => approval.run(),
        Command::Team(team) => team.run(),
        Command::Role(role) => role.run(),
        Command::Resource(resource) => resource.run(),
        Command::Claim(claim) => claim.run(),
        Command::Mcp(mcp) => mcp.run(),
        Command::Audit(audit) => audit.run(),
        Command::Explain(explain) => explain.run(),
        Command::Connection(connection) => connection.run(),
        Command::ManagedConnection(connection) => connection.run(),
        Command::ConnectionScope(scope) => scope.run(),
        Command::Trust(trust) => trust.run(),
        Command::Workload(workload) => workload.run(),
        Command::Provider(provider) => provider.run(),
        Command::RevocationPlace(place) => place.run(),
        Command::Verify(verify) => verify.run(),
        Command::Stats(stats) => stats.run(),
        Command::Model(model) => model.run(),
        Command::Import(import) => import.run(),
        Command::Export(export) => export.run(),
        Command::Completions { shell } => {
            let mut command = <Cli as clap::CommandFactory>::command();
            clap_complete::generate(shell, &mut command, "bailiwick", &mut std::io::stdout());
            Ok(ExitCode::SUCCESS)
        }
    };
    done.unwrap_or_else(|failure| {
        show::note(format!("error: {failure}"));
        ExitCode::from(2)
    })
}
