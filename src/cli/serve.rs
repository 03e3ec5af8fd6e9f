//! `bailiwick serve` and `bailiwick config`: the settings become flags here, and the server is started with what they say.

use super::ring::ring;
use super::show::{Look, note, rows, say};
use super::{Failure, identity};
use crate::config::{self, Authn, Config, LogFormat, MailTlsWish, SETTINGS, Said, Settings, Source};
use bailiwick::api::{PolicyDecisionPoint, PresharedKeys};
use bailiwick::engine::{self, Engine, LogRetention};
use bailiwick::secrets::KeyRing;
use bailiwick::server::{
    self, ChannelSettings, Issuers, MailSettings, RelayLogin, RelayTls, ServeError, TlsSettings, WebhookSettings, serve,
};
use bailiwick::wire::{
    Bounds, EMBEDDING_KEY_BYTES_MAX, EmbeddingKey, EmbeddingSettings, Outgoing, OutgoingSettings, SystemResolver,
};
use clap::{Arg, ArgAction, ArgMatches, Args, Command};
use serde_json::{Value, json};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// Where `bailiwick run` keeps the database when nothing is said, for those who come from a server that needs no directory.
const RUN_DATA: &str = "bailiwick-data";
/// The port of relays that speak TLS from the first byte (RFC 8314 7.3).
const SUBMISSIONS_PORT: u16 = 465;

/// What the settings' flags say.
pub(super) struct Flags(Vec<(String, String)>);

impl clap::FromArgMatches for Flags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Flags, clap::Error> {
        let mut flags = Flags(Vec::new());
        flags.update_from_arg_matches(matches)?;
        Ok(flags)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        let ours = SETTINGS.iter().map(|s| s.name);
        for name in ours.chain(config::foreign_flags().map(|(name, _)| name)) {
            if let Ok(Some(values)) = matches.try_get_many::<String>(name) {
                let values: Vec<&str> = values.map(String::as_str).collect();
                self.0.push((name.to_owned(), values.join(",")));
            }
        }
        Ok(())
    }
}

impl Args for Flags {
    fn augment_args(mut command: Command) -> Command {
        for setting in SETTINGS {
            let default =
                if setting.default.is_empty() { String::new() } else { format!(" [default: {}]", setting.default) };
            let help = format!("{} ({}){default}", setting.about, (setting.bound)());
            let arg = Arg::new(setting.name).long(setting.name).value_name(setting.form).help(help);
            let arg = arg.help_heading("Settings").action(ArgAction::Set).aliases(setting.openfga);
            command = command.arg(match setting.form {
                "BOOL" => arg.num_args(0..=1).require_equals(true).default_missing_value("true"),
                "LIST" => arg.action(ArgAction::Append),
                _ => arg,
            });
        }
        for (name, alone) in config::foreign_flags() {
            let arg = Arg::new(name).long(name).hide(true).action(ArgAction::Append);
            let with_equals = |a: Arg| a.num_args(0..=1).require_equals(true).default_missing_value("true");
            command = command.arg(if alone { with_equals(arg) } else { arg });
        }
        command
    }

    fn augment_args_for_update(command: Command) -> Command {
        Flags::augment_args(command)
    }
}

/// `bailiwick serve`
#[derive(Args)]
pub(super) struct Serve {
    /// A settings file in YAML [env: BAILIWICK_CONFIG] [default: bailiwick.yaml when it is there]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    flags: Flags,
}

/// `bailiwick config`
#[derive(Args)]
pub(super) struct Show {
    #[command(flatten)]
    serve: Serve,
    /// Print docs/config.md
    #[arg(long, hide = true)]
    markdown: bool,
    #[command(flatten)]
    look: Look,
}

impl Serve {
    fn settings(self) -> Result<Settings, Failure> {
        let file = self.config.or_else(|| config::variable("BAILIWICK_CONFIG").map(PathBuf::from));
        Ok(Settings::read(&Said { flags: self.flags.0, variables: config::environment(), file })?)
    }

    /// Serves until told to stop. `run` is how OpenFGA's users start a server: no directory need be named.
    pub(super) fn run(self, run: bool) -> Result<ExitCode, Failure> {
        let Settings { mut config, warnings, .. } = self.settings()?;
        warnings.iter().for_each(|warning| note(format!("warning: {warning}")));
        if config.data.0.is_none() && run {
            note(format!("note: the database is kept in ./{RUN_DATA}; say --data DIR to keep it elsewhere"));
            config.data.0 = Some(RUN_DATA.into());
        }
        start(&config)
    }
}

fn start(config: &Config) -> Result<ExitCode, Failure> {
    let data = config.data.0.as_ref().ok_or_else(|| {
        Failure::Said("where is the database to be kept? Say --data DIR; it is made when it is not there".into())
    })?;
    let mut server = server_settings(config, embedding(config, config::variable(config::KEY_VARIABLE))?);
    server.tls = tls(config)?;
    server.keys = preshared_keys(config)?;
    server.decision_point = decision_point(config)?;
    // What will be refused is refused before a directory is made.
    server.check()?;
    server.outgoing = outgoing(config)?;
    server.channels = channels(config)?;
    let ring = ring(config.identity_key_ring.0.as_deref(), &config.identity_key_ring_command.0)?;
    if ring.is_some() {
        server.check_issuers(config.identity_addr.0)?;
    }
    log(config);
    let engine = Engine::open_with(data, engine_settings(config))?;
    server.issuers = ring.map(|ring| issuers(config, &engine, ring)).transpose()?;
    let issuing = server.issuers.as_ref().and_then(|issuers| issuers.listener.local_addr().ok());
    let mutual = server.issuers.as_ref().and_then(|issuers| issuers.mutual_tls.as_ref()?.local_addr().ok());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Said(format!("no threads: {error}")))?;
    let ready = move |http, grpc| {
        let issuing = issuing.map(|address| format!(", issuers on {address}")).unwrap_or_default();
        let mutual =
            mutual.map(|address| format!(", their clients with certificates on {address}")).unwrap_or_default();
        say(format!("serving HTTP on {http}, gRPC on {grpc}{issuing}{mutual}"));
    };
    runtime.block_on(serve(engine, server, ready, stop()))?;
    Ok(ExitCode::SUCCESS)
}

/// The issuers of the database, and where they are served.
fn issuers(config: &Config, engine: &Engine, ring: KeyRing) -> Result<Issuers, Failure> {
    let bind = |address| {
        let bound = std::net::TcpListener::bind(address).map_err(|reason| ServeError::Bind { address, reason });
        bound.map(Arc::new)
    };
    let listener = bind(config.identity_addr.0)?;
    let mutual_tls = config.identity_mtls_addr.0.map(bind).transpose()?;
    let identity = identity::open(engine.clone(), ring)?;
    if identity.tenants().is_empty() {
        note("note: the database has no issuer yet; `bailiwick tenant create` makes one");
    }
    Ok(Issuers { listener, mutual_tls, identity })
}

fn engine_settings(config: &Config) -> engine::Settings {
    engine::Settings {
        sync: config.sync,
        snapshots_retained: config.snapshots_retained.size(),
        snapshot_bytes_max: config.snapshot_bytes_max.0,
        log_retention: LogRetention {
            revisions: Some(config.log_retention_revisions.0).filter(|n| *n > 0),
            age: Some(config.log_retention_time.0).filter(|t| !t.is_zero()),
        },
        plans_max: config.plans_max.size(),
        search_sets_bytes_max: config.search_sets_bytes_max.size(),
        vectors_memory_bytes_max: config.vectors_memory_bytes_max.size(),
        arrange_threads: config.arrange_threads.size(),
        ..engine::Settings::default()
    }
}

/// Where vectors of texts come from, if anybody said.
fn embedding(config: &Config, key: Option<String>) -> Result<Option<EmbeddingSettings>, Failure> {
    let Some(url) = config.embedding_url.0.clone() else {
        let unused = if config.embedding_key_file.0.is_some() { Some("embedding-key-file") } else { None };
        let unused = unused.or(Some("embedding-model").filter(|_| !config.embedding_model.0.is_empty()));
        return match unused {
            Some(name) => {
                Err(Failure::Said(format!("`{name}` is set and `embedding-url` is not; set both or neither")))
            }
            None => Ok(None),
        };
    };
    let key = match (key, &config.embedding_key_file.0) {
        (Some(_), Some(_)) => {
            let variable = config::KEY_VARIABLE;
            return Err(Failure::Said(format!("`embedding-key-file` and {variable} are both set; set one of them")));
        }
        (None, Some(path)) => Some(key_of_file(path)?),
        (key, None) => key,
    };
    let key = key.map(|key| EmbeddingKey::new(&key).map_err(server::ServeError::from)).transpose()?;
    let model = config.embedding_model.0.clone();
    Ok(Some(EmbeddingSettings { url, model, key, timeout: config.embedding_timeout.0 }))
}

/// The keys that the engine asks for.
fn preshared_keys(config: &Config) -> Result<Option<PresharedKeys>, Failure> {
    match (config.authn_method, config.authn_preshared_keys.0.as_slice()) {
        (Authn::None, []) => Ok(None),
        (Authn::None, _) => Err(Failure::Said(
            "`authn-preshared-keys` is set; set `authn-method` to preshared, or they open nothing".into(),
        )),
        (Authn::Preshared, keys) => {
            let keys =
                PresharedKeys::new(keys).map_err(|error| Failure::Said(format!("`authn-preshared-keys`: {error}")))?;
            Ok(Some(keys))
        }
    }
}

/// The URL that the metadata of AuthZEN's endpoints has.
fn decision_point(config: &Config) -> Result<Option<PolicyDecisionPoint>, Failure> {
    let point = config.authzen_base_url.0.as_deref().map(PolicyDecisionPoint::new).transpose();
    point.map_err(|error| Failure::Said(format!("`authzen-base-url`: {error}")))
}

/// How listeners speak TLS. What makes sense with it alone is refused without it, and half a setting is a mistake.
fn tls(config: &Config) -> Result<Option<TlsSettings>, Failure> {
    let needs = |name: &str, other: &str| {
        Err(Failure::Said(format!("`{name}` is set and `{other}` is not; set both or neither")))
    };
    match (&config.tls_cert.0, &config.tls_key.0) {
        (Some(certificate), Some(key)) => {
            if config.identity_client_ca.0.is_some() && config.identity_mtls_addr.0.is_none() {
                return needs("identity-client-ca", "identity-mtls-addr");
            }
            let issuers = config.identity_key_ring.0.is_some() || !config.identity_key_ring_command.0.is_empty();
            if config.identity_mtls_addr.0.is_some() && !issuers {
                return needs("identity-mtls-addr", "identity-key-ring");
            }
            Ok(Some(TlsSettings {
                certificate: certificate.clone(),
                key: key.clone(),
                engine_clients: config.tls_client_ca.0.clone(),
                identity_clients: config.identity_client_ca.0.clone(),
            }))
        }
        (Some(_), None) => needs("tls-cert", "tls-key"),
        (None, Some(_)) => needs("tls-key", "tls-cert"),
        (None, None) if config.tls_client_ca.0.is_some() => needs("tls-client-ca", "tls-cert"),
        (None, None) if config.identity_client_ca.0.is_some() => needs("identity-client-ca", "tls-cert"),
        (None, None) if config.identity_mtls_addr.0.is_some() => Err(ServeError::MutualTls.into()),
        (None, None) => Ok(None),
    }
}

/// How the issuers ask other people's servers. That it can be used is seen here, before anything is opened.
fn outgoing(config: &Config) -> Result<OutgoingSettings, Failure> {
    const AUTHORITIES_BYTES_MAX: u64 = 4 << 20;
    let read = |path: &PathBuf| {
        let mut pem = Vec::new();
        let file = std::fs::File::open(path);
        let read = file.and_then(|file| file.take(AUTHORITIES_BYTES_MAX).read_to_end(&mut pem));
        read.map(|_| pem).map_err(|reason| Failure::File { path: path.clone(), reason })
    };
    let timeout = config.outgoing_connect_timeout.0;
    if timeout.is_zero() {
        return Err(Failure::Said(
            "`outgoing-connect-timeout` is 0s, in which nobody can be reached; say a longer time".into(),
        ));
    }
    let settings = OutgoingSettings {
        loopback: false,
        allow: config.outgoing_allow.0.clone(),
        allow_strangers: config.outgoing_allow_strangers.0.clone(),
        authorities: config.outgoing_authorities.0.as_ref().map(read).transpose()?,
        connect_timeout: timeout,
    };
    Outgoing::new(settings.clone(), SystemResolver).map_err(ServeError::from)?;
    Ok(settings)
}

/// How people learn that something waits for their approval. Half a setting is a mistake.
fn channels(config: &Config) -> Result<ChannelSettings, Failure> {
    let both =
        |one: &str, other: &str| Failure::Said(format!("`{one}` is set and `{other}` is not; set both or neither"));
    let mail = match (config.approval_mail_relay.0.as_str(), config.approval_mail_from.0.as_str()) {
        ("", "") => None,
        (_, "") => return Err(both("approval-mail-relay", "approval-mail-from")),
        ("", _) => return Err(both("approval-mail-from", "approval-mail-relay")),
        (relay, from) => {
            let wrong =
                || Failure::Said(format!("`{relay}` is no mail relay; write its host and port, as `localhost:25`"));
            let (host, port) = relay.rsplit_once(':').ok_or_else(wrong)?;
            let port = port.parse().ok().filter(|port| *port > 0 && !host.is_empty()).ok_or_else(wrong)?;
            let host = host.trim_matches(['[', ']']).to_owned();
            let tls = mail_tls(config.approval_mail_tls.0, &host, port);
            Some(MailSettings { login: mail_login(config, tls)?, host, port, from: from.to_owned(), tls })
        }
    };
    let webhook = match (&config.approval_webhook.0, &config.approval_webhook_token_file.0) {
        (None, None) => None,
        (Some(_), None) => return Err(both("approval-webhook", "approval-webhook-token-file")),
        (None, Some(_)) => return Err(both("approval-webhook-token-file", "approval-webhook")),
        (Some(url), Some(path)) => {
            let bearer = key_of_file(path)?.trim().to_owned();
            if bearer.is_empty() || !bearer.bytes().all(|b| b.is_ascii_graphic()) {
                return Err(Failure::Said(format!("the token in `{}` is empty, or no line of ASCII", path.display())));
            }
            Some(WebhookSettings { url: url.clone(), bearer })
        }
    };
    Ok(ChannelSettings { mail, webhook })
}

/// Whether the relay is spoken to over TLS, when nobody says: by where it is.
fn mail_tls(wish: MailTlsWish, host: &str, port: u16) -> RelayTls {
    let here = host == "localhost" || host.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback());
    match wish {
        MailTlsWish::None => RelayTls::None,
        MailTlsWish::StartTls => RelayTls::StartTls,
        MailTlsWish::Implicit => RelayTls::Implicit,
        MailTlsWish::Auto if here => RelayTls::None,
        MailTlsWish::Auto if port == SUBMISSIONS_PORT => RelayTls::Implicit,
        MailTlsWish::Auto => RelayTls::StartTls,
    }
}

/// Who we are to the relay.
fn mail_login(config: &Config, tls: RelayTls) -> Result<Option<RelayLogin>, Failure> {
    let both = |one: &str, other: &str| {
        Err(Failure::Said(format!("`{one}` is set and `{other}` is not; set both or neither")))
    };
    match (config.approval_mail_login.0.as_str(), &config.approval_mail_password_file.0) {
        ("", None) => Ok(None),
        ("", Some(_)) => both("approval-mail-password-file", "approval-mail-login"),
        (_, None) => both("approval-mail-login", "approval-mail-password-file"),
        (_, Some(_)) if tls == RelayTls::None => Err(Failure::Said(
            "a password is not sent to a mail relay in the clear; set `approval-mail-tls` to starttls or implicit"
                .into(),
        )),
        (name, Some(path)) => {
            let password = key_of_file(path)?.trim().to_owned();
            if password.is_empty() {
                return Err(Failure::Said(format!("the password in `{}` is empty", path.display())));
            }
            Ok(Some(RelayLogin { name: name.to_owned(), password }))
        }
    }
}

/// A key as it stands in its file. A larger file is none, and is not read to its end.
fn key_of_file(path: &Path) -> Result<String, Failure> {
    let unreadable = |why: std::io::Error| Failure::Said(format!("cannot read the key in `{}`: {why}", path.display()));
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut key = String::new();
    // One more than fits, and the blanks around it.
    let most = 2 * EMBEDDING_KEY_BYTES_MAX;
    file.take(u64::try_from(most).unwrap_or(u64::MAX)).read_to_string(&mut key).map_err(unreadable)?;
    Ok(key)
}

fn server_settings(config: &Config, embedding: Option<EmbeddingSettings>) -> server::Settings {
    server::Settings {
        http: config.http_addr.0,
        grpc: config.grpc_addr.0,
        insecure_listen: config.insecure_listen,
        drain_timeout: config.shutdown_timeout.0,
        cors_origins: config.http_cors_allowed_origins.0.clone(),
        cors_headers: config.http_cors_allowed_headers.0.clone(),
        bounds: Bounds {
            request_timeout: config.request_timeout.0,
            list_objects_deadline: config.list_objects_deadline.0,
            list_users_deadline: config.list_users_deadline.0,
            list_objects_results_max: config.list_objects_max_results.size(),
            list_users_results_max: config.list_users_max_results.size(),
            message_bytes_max: config.grpc_max_recv_msg_bytes.size(),
            chunks_bytes_max: config.chunks_bytes_max.size(),
            body_bytes_max: config.http_max_body_bytes.size(),
            tuples_per_write_max: config.max_tuples_per_write.size(),
            types_per_model_max: config.max_types_per_authorization_model.size(),
            model_bytes_max: config.max_authorization_model_size_in_bytes.size(),
            checks_per_batch_max: config.max_checks_per_batch_check.size(),
            changes_horizon: Duration::from_secs(config.changelog_horizon_offset.0.saturating_mul(60)),
            depth_max: u32::try_from(config.resolve_node_limit.0).unwrap_or(u32::MAX),
            visits_max: config.visits_max.0,
            condition_cost_max: config.max_condition_evaluation_cost.0,
            question_queue_max: config.question_queue_max.size(),
            write_threads: config.write_threads.size(),
            write_queue_max: config.write_queue_max.size(),
            ..Bounds::default()
        },
        embedding,
        ..server::Settings::default()
    }
}

/// Sends log lines to standard error.
fn log(config: &Config) {
    let lines = tracing_subscriber::fmt().with_max_level(config.log_level.0).with_writer(std::io::stderr);
    match config.log_format {
        LogFormat::Text => lines.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).init(),
        LogFormat::Json => lines.json().init(),
    }
}

/// Resolves at SIGINT or SIGTERM.
async fn stop() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return std::future::pending().await };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}

impl Show {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        if self.markdown {
            say(config::document().trim_end());
            return Ok(ExitCode::SUCCESS);
        }
        let settings = self.serve.settings()?;
        settings.warnings.iter().for_each(|warning| note(format!("warning: {warning}")));
        let all = SETTINGS.iter().zip(&settings.sources).map(|(s, from)| (s.name, (s.show)(&settings.config), from));
        if self.look.json {
            let map = all.map(|(name, value, from)| {
                let default = *from == Source::Default;
                (name.to_owned(), json!({"value": value, "from": from.to_string(), "default": default}))
            });
            say(Value::Object(map.collect()));
        } else {
            let lines: Vec<Vec<String>> =
                all.map(|(name, value, from)| vec![name.to_owned(), value, from.to_string()]).collect();
            rows(&["setting", "value", "from"], &lines);
        }
        Ok(ExitCode::SUCCESS)
    }
}
