//! Binds the two surfaces, serves, and drains when told to stop.

mod approvals;
mod assertions;
mod channels;
mod explain;
mod house;
mod logouts;
mod logs;
mod mcp;
mod outgoing;
mod plugs;
mod revocations;
mod tls;

use crate::api::{Api, Cors, PolicyDecisionPoint, PresharedKeys, grpc_service, http_routes};
use crate::engine::Engine;
use crate::identity::{
    ClientCredentialsGrant, CodeGrant, CredentialUses, Env, GrantType, IDENTITY, Identity, KeySource, Limiter,
    RefreshGrant, Refusal, Tenant,
};
use crate::modules::agent;
use crate::modules::approval::mail::MailSettingsError;
pub use crate::modules::approval::mail::{RelayLogin, RelayTls};
use crate::modules::approval::{self, APPROVAL, ApprovalSettings, Approvals, CibaGrant};
use crate::modules::audit::{self, Audit};
use crate::modules::exchange::{self, EXCHANGE, IdentityAssertion, TokenExchange};
use crate::modules::login::{self, LoginSettings};
use crate::modules::logout;
use crate::modules::mcp::servers;
use crate::modules::oauth::{self, OAuth};
use crate::modules::revocation::{self, REVOCATION};
use crate::modules::scim;
use crate::modules::vault::{self, FederatedConnection, VAULT, Vault};
use crate::wire::{
    ALIVE_EVERY, ALIVE_TIMEOUT, Bounds, Embedder, EmbeddingSettings, EmbeddingStartError, Front, JwkSets, Listener,
    Outgoing, OutgoingSettings, OutgoingStartError, Pool, SystemResolver, now, random, serve_http,
};
use approvals::{Shapes, Spent};
use assertions::Asserting;
pub use channels::{ChannelSettings, MailSettings, WebhookSettings};
pub use explain::StorePaths;
use house::{Orphans, Resealing, forget_the_gone};
use logouts::Forms;
use logs::{keep_logs, keep_witnesses};
use mcp::{Askers, McpPlugs};
pub use outgoing::{ConnectionAccounts, ConnectionTargets};
use outgoing::{Connections, Drafts, LastUses, Reconnects};
use plugs::{Administration, Auditors, Browsers, Introductions, administration, data_stores, registered};
use revocations::{Tokens, TrustedIssuers};
use std::collections::{HashMap, HashSet};
use std::hash::RandomState;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tls::{Place, Tls};
pub use tls::{TlsError, TlsSettings};
use tokio::net::TcpListener;
use tokio::task::{AbortHandle, JoinSet};

/// What a client may send on one stream, and on one connection, before it is taken. The largest message fits.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;

/// How often what is over is removed, and old keys are rotated.
const HOUSEKEEPING: Duration = Duration::from_secs(60);

/// How often is said what is due of approvals and of sessions that ended.
const TELLING: Duration = Duration::from_secs(1);

/// Threads that read audit logs for requests, and requests that wait for one.
const AUDIT_THREADS: usize = 1;
const AUDIT_QUEUE_MAX: usize = 32;

/// Threads that judge and record calls of MCP servers, and search for our own; and calls that wait for one.
const MCP_THREADS: usize = 4;
const MCP_QUEUE_MAX: usize = 256;

/// Why the server could not start or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Where nobody is asked who they are, only this machine may reach the server.
    #[error(
        "{0} is not a loopback address and nobody is asked there who they are over TLS; say --tls-cert with --tls-client-ca \
         or preshared keys, or add --insecure-listen if you mean it"
    )]
    NotLoopback(SocketAddr),
    /// Issuers are asked for passwords and codes.
    #[error(
        "{0} is not a loopback address, and issuers would be reached there in the clear; say --tls-cert and --tls-key, or add \
         --insecure-listen if a proxy there ends TLS"
    )]
    IssuersInClear(SocketAddr),
    /// The address is taken or may not be used.
    #[error("cannot listen on {address}: {reason}; stop what listens there, or say another --http-addr or --grpc-addr")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why.
        reason: std::io::Error,
    },
    /// The embedding endpoint's settings are of no use.
    #[error(transparent)]
    Embedding(#[from] EmbeddingStartError),
    /// The settings of outgoing requests are of no use.
    #[error(transparent)]
    Outgoing(#[from] OutgoingStartError),
    /// The files of TLS are of no use.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Certificates of clients are to be shown, and there is none of ours.
    #[error("clients can show certificates over TLS alone; say --tls-cert and --tls-key with --identity-mtls-addr")]
    MutualTls,
    /// The settings of mail are of no use.
    #[error(transparent)]
    Mail(#[from] MailSettingsError),
    /// Serving failed.
    #[error("serving failed: {0}")]
    Failed(String),
}

/// How the server behaves. `Settings::default()` is what `bailiwick serve` does without flags.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where to listen for HTTP/JSON. Port 0 takes a free one.
    pub http: SocketAddr,
    /// Where to listen for gRPC. Port 0 takes a free one.
    pub grpc: SocketAddr,
    /// Whether other addresses than loopback are allowed, although nobody is asked who they are.
    pub insecure_listen: bool,
    /// How long running requests get to finish once the server is told to stop.
    pub drain_timeout: Duration,
    /// Most requests that one gRPC connection may have open at a time.
    pub streams_per_connection_max: u32,
    /// Web origins that may call the HTTP surface from a browser; `*` is all.
    pub cors_origins: Vec<String>,
    /// Request headers that such calls may carry; `*` is all.
    pub cors_headers: Vec<String>,
    /// Times, sizes and counts of the surface.
    pub bounds: Bounds,
    /// Where vectors of texts come from, if texts may stand for vectors.
    pub embedding: Option<EmbeddingSettings>,
    /// The issuers and where they are served; without them the server is the engine alone.
    pub issuers: Option<Issuers>,
    /// How the issuers ask other people's servers.
    pub outgoing: OutgoingSettings,
    /// How people learn that something waits for their approval.
    pub channels: ChannelSettings,
    /// The certificate with which all listeners speak TLS; without one, TLS ends before the server.
    pub tls: Option<TlsSettings>,
    /// Keys, one of which whoever asks the engine must show.
    pub keys: Option<PresharedKeys>,
    /// The URL by which others reach the HTTP surface, for those who discover AuthZEN's endpoints; without it they cannot.
    pub decision_point: Option<PolicyDecisionPoint>,
}

/// The issuers of a database, on a listener of their own: they show who calls, and may be reached from elsewhere, where the
/// engine's surface may not.
#[derive(Clone, Debug)]
pub struct Issuers {
    /// Bound by the caller, who may have to know the port before a tenant is made.
    pub listener: Arc<std::net::TcpListener>,
    /// Where clients show certificates (RFC 8705), when they may. It needs TLS of ours.
    pub mutual_tls: Option<Arc<std::net::TcpListener>>,
    /// All tenants.
    pub identity: Identity,
}

impl Default for Settings {
    fn default() -> Self {
        let loopback = |port| SocketAddr::from(([127, 0, 0, 1], port));
        Settings {
            http: loopback(8080),
            grpc: loopback(8081),
            insecure_listen: false,
            drain_timeout: Duration::from_secs(10),
            streams_per_connection_max: 1_024,
            cors_origins: vec!["*".to_owned()],
            cors_headers: vec!["*".to_owned()],
            bounds: Bounds::default(),
            embedding: None,
            issuers: None,
            outgoing: OutgoingSettings::default(),
            channels: ChannelSettings::default(),
            tls: None,
            keys: None,
            decision_point: None,
        }
    }
}

impl Settings {
    /// Refuses to let other machines in where nobody is asked who they are, and files of TLS that are of no use.
    ///
    /// # Errors
    /// [`ServeError::NotLoopback`], [`ServeError::Tls`].
    pub fn check(&self) -> Result<(), ServeError> {
        self.tls.clone().map(Tls::open).transpose()?;
        // A key in the clear is whoever's that reads it.
        let asked = self.tls.as_ref().is_some_and(|tls| tls.engine_clients.is_some() || self.keys.is_some());
        let open = [self.http, self.grpc].into_iter().find(|address| !address.ip().is_loopback());
        if let Some(address) = open.filter(|_| !asked && !self.insecure_listen) {
            return Err(ServeError::NotLoopback(address));
        }
        let issuing = self.issuers.as_ref().and_then(|issuers| issuers.listener.local_addr().ok());
        issuing.map_or(Ok(()), |address| self.check_issuers(address))
    }

    /// Refuses to serve issuers to other machines in the clear.
    ///
    /// # Errors
    /// [`ServeError::IssuersInClear`].
    pub fn check_issuers(&self, address: SocketAddr) -> Result<(), ServeError> {
        let fine = address.ip().is_loopback() || self.tls.is_some() || self.insecure_listen;
        if fine { Ok(()) } else { Err(ServeError::IssuersInClear(address)) }
    }
}

async fn bind(address: SocketAddr) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address).await.map_err(|reason| ServeError::Bind { address, reason })
}

/// Serves until `stop` resolves, then lets running requests finish, for as long as the settings say. `ready` gets the bound
/// addresses (HTTP, gRPC), so that port 0 can be asked for.
pub async fn serve(
    engine: Engine,
    settings: Settings,
    ready: impl FnOnce(SocketAddr, SocketAddr),
    stop: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    settings.check()?;
    let tls = settings.tls.clone().map(Tls::open).transpose()?;
    let embedder = settings.embedding.clone().map(Embedder::new).transpose()?;
    let (http, grpc) = (bind(settings.http).await?, bind(settings.grpc).await?);
    let local = |l: &TcpListener, a| l.local_addr().unwrap_or(a);
    let addresses = (local(&http, settings.http), local(&grpc, settings.grpc));
    let failed = |e: &dyn std::error::Error| ServeError::Failed(e.to_string());
    let api = Api::new(engine, settings.bounds.clone(), embedder.clone()).map_err(|e| failed(&e))?;
    let (service, health) = grpc_service(api.clone()).await.map_err(|e| failed(&e))?;
    let service = service.with_keys(settings.keys.clone());
    let cors = Cors::new(&settings.cors_origins, &settings.cors_headers);
    let (stopping, stopped) = tokio::sync::watch::channel(());
    let wait = |mut stopped: tokio::sync::watch::Receiver<()>| async move {
        let _ = stopped.changed().await; // an error means the sender is gone: stop as well
    };
    let listen = |socket| Listener::new(socket, tls.as_ref().map(|tls| tls.at(Place::Engine)));
    let http = {
        let routes = http_routes(api.clone(), cors, settings.keys.clone(), settings.decision_point.clone());
        serve_http(listen(http), move |_| routes.clone(), wait(stopped.clone()))
    };
    let grpc = tonic::transport::Server::builder()
        .max_concurrent_streams(settings.streams_per_connection_max)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .http2_keepalive_interval(Some(ALIVE_EVERY))
        .http2_keepalive_timeout(Some(ALIVE_TIMEOUT))
        .serve_with_incoming_shutdown(service, listen(grpc), wait(stopped));
    let own = [addresses.0, addresses.1];
    let stop_issuers = || wait(stopping.subscribe());
    let serve_one = |issuers| {
        serve_issuers((issuers, tls.as_ref()), own, &settings, embedder.clone(), [stop_issuers(), stop_issuers()])
    };
    let issuers = settings.issuers.clone().map(serve_one).transpose()?;
    let _keeping = tls.clone().map(|tls| AbortOnDrop(tokio::spawn(tls.keep()).abort_handle()));
    let both = async {
        tokio::try_join!(
            async {
                http.await;
                Ok(())
            },
            async { grpc.await.map_err(|e| e.to_string()) },
            async {
                if let Some(issuers) = issuers {
                    issuers.await;
                }
                Ok(())
            }
        )
    };
    tokio::pin!(both);
    ready(addresses.0, addresses.1);
    tokio::select! {
        done = &mut both => return done.map(|_| ()).map_err(ServeError::Failed),
        () = stop => {}
    }
    tracing::info!("stopping: running requests may finish");
    api.drain();
    health.drain().await;
    drop(stopping);
    match tokio::time::timeout(settings.drain_timeout, both).await {
        Ok(done) => done.map(|_| ()).map_err(ServeError::Failed),
        Err(_) => {
            tracing::warn!(timeout_ms = settings.drain_timeout.as_millis(), "some requests did not finish in time");
            Ok(())
        }
    }
}

/// A task that ends with whoever holds this.
struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// All that an issuer serves: the one place that knows the modules.
fn issuer_routes(
    identity: &Identity,
    (outgoing, approvals, vault): (Outgoing, Approvals, Vault),
    embedder: Option<Embedder>,
) -> std::io::Result<axum::Router> {
    let keys: Arc<dyn KeySource> = Arc::new(JwkSets::new(outgoing.clone()));
    let grant_types: Vec<Arc<dyn GrantType>> = vec![
        Arc::new(CodeGrant),
        Arc::new(RefreshGrant),
        Arc::new(ClientCredentialsGrant),
        Arc::new(TokenExchange::new(Arc::new(Spent(approvals.clone())))),
        Arc::new(IdentityAssertion::new(Arc::clone(&keys))),
        Arc::new(CibaGrant(approvals.clone())),
        Arc::new(FederatedConnection::new(vault.clone())),
    ];
    let readers = Arc::new(Pool::new("audit", AUDIT_THREADS, AUDIT_QUEUE_MAX)?);
    let paths = Arc::new(StorePaths(identity.clone()));
    let log = audit::http::routes(Audit::new(identity.engine()), Arc::new(Auditors), paths, readers);
    let agents = agent::http::Setup {
        tokens: Arc::new(Administration),
        approvals: Arc::new(Spent(approvals.clone())),
        accounts: Arc::new(ConnectionAccounts),
        destinations: Arc::new(ConnectionTargets),
        data_stores: data_stores(identity.clone()),
    };
    let servers = McpPlugs { outgoing: outgoing.clone(), vault: vault.clone(), approvals: approvals.clone() };
    let pool = Arc::new(Pool::new("mcp", MCP_THREADS, MCP_QUEUE_MAX)?);
    let servers = servers::http::Setup::new(Arc::new(servers), embedder, pool);
    let uses: Arc<dyn CredentialUses> = Arc::new(LastUses);
    let details = Arc::new(Spent(approvals.clone()));
    identity.set_detail_types(Arc::new(approvals.clone()));
    let asked = approval::http::Setup {
        approvals,
        keys: Arc::clone(&keys),
        uses: Arc::clone(&uses),
        visitors: Arc::new(Browsers),
        tokens: Arc::new(Administration),
        askers: Arc::new(Askers),
        shapes: Arc::new(Shapes),
    };
    let strangers = Drafts::new(outgoing.for_strangers());
    let revocations = revocation::Setup {
        judge: administration,
        issuers: Arc::new(TrustedIssuers::new(Arc::clone(&keys), outgoing.clone())),
        limits: Arc::new(Limiter::new(RandomState::new())),
    };
    let oauth = OAuth::new(grant_types, keys).with_strangers(strangers).with_uses(uses).with_details(details);
    let house = login::House {
        connected: Some(Arc::new(Connections)),
        devices: Some(Arc::new(channels::Browsers)),
        agents: Some(Arc::new(Introductions)),
    };
    Ok(oauth::routes(oauth.with_more(revocation::describe))
        .merge(oauth::admin::http::routes())
        .merge(oauth::admin::clients::http::routes(registered))
        .merge(oauth::admin::tenant::http::routes())
        .merge(oauth::admin::people::http::routes())
        .merge(oauth::admin::roles::http::routes())
        .merge(exchange::http::routes(administration))
        .merge(revocation::routes(revocations))
        .merge(login::routes(LoginSettings::default(), outgoing, house)?)
        .merge(login::admin::http::routes(administration))
        .merge(agent::http::routes(agents))
        .merge(approval::http::routes(asked))
        .merge(approval::admin::http::routes(administration))
        .merge(vault::admin::http::routes(vault::admin::http::Setup {
            vault: vault.clone(),
            tokens: Arc::new(Administration),
        }))
        .merge(vault::http::routes(vault))
        .merge(servers::http::routes(servers))
        .merge(scim::http::routes(Arc::new(Administration)))
        .merge(scim::teams::http::routes(administration))
        .nest("/admin/audit", log))
}

/// Serves the issuers until told to stop, and keeps house for them. `own` is where the engine listens, which asks nobody who
/// they are: no request of ours goes there.
fn serve_issuers<S: Future<Output = ()> + Send + 'static>(
    (issuers, tls): (Issuers, Option<&Arc<Tls>>),
    own: [SocketAddr; 2],
    settings: &Settings,
    embedder: Option<Embedder>,
    [stop, stop_mutual]: [S; 2],
) -> Result<impl Future<Output = ()> + use<S>, ServeError> {
    let failed = |e: std::io::Error| ServeError::Failed(e.to_string());
    let listen = |socket: &std::net::TcpListener, place| {
        let socket = socket.try_clone().map_err(failed)?;
        socket.set_nonblocking(true).map_err(failed)?;
        let (port, socket) =
            (socket.local_addr().map_err(failed)?.port(), TcpListener::from_std(socket).map_err(failed)?);
        Ok::<_, ServeError>((port, Listener::new(socket, tls.map(|tls| tls.at(place)))))
    };
    if issuers.mutual_tls.is_some() && tls.is_none() {
        return Err(ServeError::MutualTls);
    }
    let mutual = issuers.mutual_tls.as_deref().map(|socket| listen(socket, Place::MutualTls)).transpose()?;
    let (port, listener) = listen(&issuers.listener, Place::Issuers)?;
    issuers.identity.set_historian(Arc::new(agent::Histories));
    let outgoing = Outgoing::apart_from(&own, settings.outgoing.clone(), SystemResolver)?;
    let channels = settings.channels.open(&outgoing, settings.outgoing.authorities.as_deref())?;
    let told = ApprovalSettings { channels: settings.channels.names(), push: true, ..ApprovalSettings::default() };
    let approvals = Approvals::new(told);
    let vault = Vault::new(outgoing.clone(), Arc::new(Browsers), Arc::new(Reconnects(approvals.clone())));
    let vault = vault.with_approvals(Arc::new(Spent(approvals.clone())));
    let vault = vault.with_assertions(Arc::new(Asserting(Spent(approvals.clone()))));
    let house = keep_house(issuers.identity.clone(), approvals.clone(), vault.clone());
    let (forms, tokens) = (Forms(outgoing.clone()), Tokens::new(outgoing.clone()));
    let plugs = (outgoing.clone(), approvals.clone(), vault);
    let routes = issuer_routes(&issuers.identity, plugs, embedder).map_err(failed)?;
    let bounds = &settings.bounds;
    let front = Front::new(issuers.identity.clone(), routes, bounds.write_threads, bounds.write_queue_max);
    let front = front.map_err(failed)?;
    let mutual = mutual.map(|(mutual_port, listener)| {
        issuers.identity.set_mutual_tls_port(mutual_port);
        let front = front.clone().at_another_port(port);
        serve_http(listener, move |peer| front.facing(peer), stop_mutual)
    });
    let served = serve_http(listener, move |peer| front.facing(peer), stop);
    let logs = tokio::spawn(keep_logs(issuers.identity.clone()));
    let witnesses = tokio::spawn(keep_witnesses(issuers.identity.clone(), outgoing));
    let notices = tokio::spawn(keep_telling(issuers.identity.clone(), "notices of approvals", move |tenant, env| {
        approvals.expire(tenant, env).and_then(|_| approvals.send(tenant, &channels, env)).map(drop)
    }));
    let logouts = tokio::spawn(keep_telling(issuers.identity.clone(), "logouts", move |tenant, env| {
        logout::tell(tenant, &forms, env).map(drop)
    }));
    let revocations = tokio::spawn(keep_telling(issuers.identity.clone(), "revocations", move |tenant, env| {
        revocation::tell(tenant, &tokens, env).map(drop)
    }));
    let house = tokio::spawn(house);
    Ok(async move {
        tokio::join!(served, async {
            if let Some(mutual) = mutual {
                mutual.await;
            }
        });
        house.abort();
        logs.abort();
        witnesses.abort();
        notices.abort();
        logouts.abort();
        revocations.abort();
    })
}

/// Removes what is over and rotates old keys, now and then.
async fn keep_house(identity: Identity, approvals: Approvals, vault: Vault) {
    let mut ticks = tokio::time::interval(HOUSEKEEPING);
    let mut kept = (Resealing::default(), Orphans::default());
    loop {
        ticks.tick().await;
        let (identity, approvals, vault) = (identity.clone(), approvals.clone(), vault.clone());
        let (mut resealing, mut orphans) = std::mem::take(&mut kept);
        let work = move || {
            let env = Env::new(now(), &random);
            vault.tidy(&env);
            for tenant in identity.tenants() {
                let tidied = tidy(&tenant, &vault, &env).and_then(|()| resealing.go_on(&tenant, &env));
                if let Err(refusal) = tidied.and_then(|()| orphans.look(&tenant, &approvals, &env)) {
                    tracing::error!(tenant = tenant.name(), %refusal, "housekeeping failed; it is tried again");
                }
            }
            (resealing, orphans)
        };
        // A panic there was reported when it happened; what was resealed is then looked at again.
        kept = tokio::task::spawn_blocking(work).await.unwrap_or_default();
    }
}

/// Says what is due of each tenant, now and then: approvals and those that nobody decided on in time, sessions that ended. Each
/// tenant has one task at a time, so that nothing is said twice, and none waits for whom another's clients are slow.
async fn keep_telling(
    identity: Identity,
    what: &'static str,
    say: impl Fn(&Tenant, &Env<'_>) -> Result<(), Refusal> + Send + Sync + 'static,
) {
    let mut ticks = tokio::time::interval(TELLING);
    let say = Arc::new(say);
    let (mut tasks, mut of) = (JoinSet::new(), HashMap::new());
    loop {
        ticks.tick().await;
        while let Some(done) = tasks.try_join_next_with_id() {
            // A panic there was reported when it happened.
            of.remove(&done.map_or_else(|error| error.id(), |(id, ())| id));
        }
        let busy: HashSet<u32> = of.values().copied().collect();
        for tenant in identity.tenants().into_iter().filter(|tenant| !busy.contains(&tenant.number())) {
            let (say, number) = (Arc::clone(&say), tenant.number());
            let task = tasks.spawn_blocking(move || {
                let env = Env::new(now(), &random);
                if let Err(refusal) = say(&tenant, &env) {
                    tracing::error!(tenant = tenant.name(), %refusal, "{what} wait; it is tried again");
                }
            });
            of.insert(task.id(), number);
        }
    }
}

fn tidy(tenant: &Tenant, vault: &Vault, env: &Env<'_>) -> Result<(), Refusal> {
    // First, because what fails behind it must not keep a key from growing old.
    if tenant.rotate_old_keys(env)? {
        tracing::info!(tenant = tenant.name(), "the next signing key is published");
    }
    for module in [IDENTITY, EXCHANGE, REVOCATION, VAULT, APPROVAL, agent::AGENT] {
        while tenant.sweep(module, env)? > 0 {}
    }
    while vault::tell_lost(tenant, env)? > 0 {}
    let drafts = agent::Registry { tenant, approvals: &agent::NoApprovals }.expire_drafts(env)?;
    if drafts > 0 {
        tracing::info!(tenant = tenant.name(), drafts, "nobody adopted drafts of agents in time; they are gone");
    }
    let unused = tenant.drop_unused_clients(env)?;
    if unused > 0 {
        tracing::info!(
            tenant = tenant.name(),
            clients = unused,
            "clients that registered themselves and were not used are gone"
        );
    }
    forget_the_gone(tenant, vault, env)
}
