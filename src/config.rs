//! Settings of the server: one table, read once. A flag wins over the environment, the environment over the file, the file
//! over the default; what is unknown is refused, and nothing is passed over in silence.
//!
//! Names are compared by their letters and digits only, so that `max-tuples-per-write`, `BAILIWICK_MAX_TUPLES_PER_WRITE`,
//! `maxTuplesPerWrite:` and `http: { addr: .. }` are found by one look, OpenFGA's spellings among them.

mod kinds;
mod openfga;

use kinds::Kind;
use kinds::{
    Address, AllowList, Count, Directory, Endpoint, File, Keys, LogLevel, MailTls, Names, OptionalAddress, Text, Time,
};
pub(crate) use kinds::{Authn, LogFormat, MailTlsWish};
use openfga::{FOREIGN, Foreign, Verdict};
use saphyr::{LoadableYamlNode as _, MarkedYaml, Scalar, YamlData};
use std::path::{Path, PathBuf};

/// The file that is read when none is named and it is there.
pub(crate) const FILE_DEFAULT: &str = "bailiwick.yaml";
/// The largest settings file that is read.
const FILE_BYTES_MAX: usize = 1 << 20;
/// The deepest nesting of keys in a file; OpenFGA's deepest is three.
const NESTING_MAX: usize = 8;
/// The variable that holds the key of the embedding endpoint. It is no setting: a flag would stand in the list of processes,
/// and settings are printed.
pub(crate) const KEY_VARIABLE: &str = "BAILIWICK_EMBEDDING_KEY";
/// The variable that holds the passphrase of the key ring, which is no setting for the same reasons.
pub(crate) const PASSPHRASE_VARIABLE: &str = "BAILIWICK_PASSPHRASE";
/// Variables that belong to the other commands.
const OTHER_VARIABLES: [&str; 10] = [
    "BAILIWICK_API_TOKEN",
    "BAILIWICK_SERVER",
    "BAILIWICK_SERVER_CA",
    "BAILIWICK_CLIENT_CERT",
    "BAILIWICK_CLIENT_KEY",
    "BAILIWICK_STORE",
    "BAILIWICK_MODEL",
    "BAILIWICK_CONFIG",
    "BAILIWICK_TENANT",
    PASSPHRASE_VARIABLE,
];

/// A setting as it is described.
pub(crate) struct Setting {
    /// Its name: the flag, and the key in a file.
    pub(crate) name: &'static str,
    /// OpenFGA's flag when it is another.
    pub(crate) openfga: Option<&'static str>,
    /// What to write.
    pub(crate) form: &'static str,
    /// The default, as it would be written.
    pub(crate) default: &'static str,
    /// What is allowed.
    pub(crate) bound: fn() -> String,
    /// What it does, with its unit.
    pub(crate) about: &'static str,
    take: fn(&mut Config, &str) -> Result<(), String>,
    /// The value in effect.
    pub(crate) show: fn(&Config) -> String,
}

macro_rules! settings {
    ($($field:ident: $kind:ty = $default:literal, $name:literal, $openfga:expr, $about:literal;)*) => {
        /// The settings in effect.
        pub(crate) struct Config {
            $(#[doc = $about] pub(crate) $field: $kind,)*
        }

        /// Every setting, in the order in which they are printed.
        pub(crate) const SETTINGS: &[Setting] = &[$(Setting {
            name: $name,
            openfga: $openfga,
            form: <$kind as Kind>::FORM,
            default: $default,
            bound: <$kind as Kind>::bound,
            about: $about,
            take: |config, text| {
                config.$field = Kind::read(text)?;
                Ok(())
            },
            show: |config| config.$field.show(),
        },)*];

        impl Config {
            fn defaults() -> Result<Config, String> {
                Ok(Config { $($field: Kind::read($default)?,)* })
            }
        }
    };
}

settings! {
    data: Directory = "", "data", None, "the database's directory; it is made when it is not there";
    http_addr: Address = "127.0.0.1:8080", "http-addr", None, "where to listen for HTTP; port 0 takes a free one";
    grpc_addr: Address = "127.0.0.1:8081", "grpc-addr", None, "where to listen for gRPC; port 0 takes a free one";
    insecure_listen: bool = "false", "insecure-listen", None,
        "listen on addresses that other machines reach, although nobody is asked there who they are";
    tls_cert: File = "", "tls-cert", None,
        "the server's certificate and those between it and a root, in PEM; with it every listener speaks TLS 1.2 and 1.3 alone; it is read again when it changes (docs/tls.md)";
    tls_key: File = "", "tls-key", None, "the private key of that certificate, in PEM";
    tls_client_ca: File = "", "tls-client-ca", None,
        "authorities in PEM, one of which must have signed the certificate of whoever calls the engine over HTTP and gRPC; who has such a certificate may do everything there";
    http_cors_allowed_origins: Names = "*", "http-cors-allowed-origins", None, "origins whose scripts may read HTTP answers";
    http_cors_allowed_headers: Names = "*", "http-cors-allowed-headers", None, "headers that scripts of other origins may send";
    log_format: LogFormat = "text", "log-format", None, "how log lines look, on standard error";
    log_level: LogLevel = "info", "log-level", None, "the least grave event that is logged";
    request_timeout: Time<3600> = "3s", "request-timeout", None,
        "how long a request may take; it ends with an error, never with a shorter answer; 0s is no bound";
    shutdown_timeout: Time<3600> = "10s", "shutdown-timeout", None, "how long running requests may take to end when the server stops";
    list_objects_deadline: Time<3600> = "0s", "list-objects-deadline", Some("listObjects-deadline"),
        "how long ListObjects may take, when shorter than `request-timeout`; 0s is no bound of its own";
    list_objects_max_results: Count<0, 4_294_967_295> = "0", "list-objects-max-results", Some("listObjects-max-results"),
        "most objects that ListObjects returns; a list that is cut says so in a header; 0 is no bound";
    list_users_deadline: Time<3600> = "0s", "list-users-deadline", Some("listUsers-deadline"),
        "how long ListUsers may take, when shorter than `request-timeout`; 0s is no bound of its own";
    list_users_max_results: Count<0, 4_294_967_295> = "0", "list-users-max-results", Some("listUsers-max-results"),
        "most users that ListUsers returns; a list that is cut says so in a header; 0 is no bound";
    max_tuples_per_write: Count<1, 10_000> = "100", "max-tuples-per-write", None, "most tuples that one Write writes and deletes";
    max_checks_per_batch_check: Count<1, 10_000> = "50", "max-checks-per-batch-check", None, "most checks in one BatchCheck";
    max_types_per_authorization_model: Count<1, 10_000> = "100", "max-types-per-authorization-model", None, "most types in a model";
    max_authorization_model_size_in_bytes: Count<1024, 16_777_216> = "262144", "max-authorization-model-size-in-bytes", None,
        "the largest model, in bytes of its protobuf form";
    grpc_max_recv_msg_bytes: Count<1024, 67_108_864> = "616448", "grpc-max-recv-msg-bytes", None, "the largest gRPC request, in bytes";
    http_max_body_bytes: Count<1024, 67_108_864> = "2097152", "http-max-body-bytes", None, "the largest HTTP body, in bytes";
    resolve_node_limit: Count<1, 1000> = "25", "resolve-node-limit", None, "most hops through usersets and parents in one Check or ListUsers";
    visits_max: Count<1000, 1_000_000_000_000> = "100000000", "visits-max", None, "most nodes that one question visits";
    max_condition_evaluation_cost: Count<1, 1_000_000> = "100", "max-condition-evaluation-cost", None,
        "most steps that one evaluation of a condition takes";
    changelog_horizon_offset: Count<0, 525_600> = "0", "changelog-horizon-offset", None, "ReadChanges leaves out the newest, in minutes";
    question_queue_max: Count<1, 1_000_000> = "1024", "question-queue-max", None,
        "lists, batches and reads that may wait for a thread; the next is refused as `resource_exhausted`";
    write_threads: Count<1, 1024> = "64", "write-threads", None, "threads that wait for the disk; so many writes can share one sync";
    write_queue_max: Count<1, 1_000_000> = "4096", "write-queue-max", None,
        "writes that may wait for such a thread; the next is refused as `resource_exhausted`";
    sync: bool = "true", "sync", None, "a write waits for the disk before it is acknowledged; without it a power cut may lose the newest";
    snapshots_retained: Count<1, 100_000> = "64", "snapshots-retained", None, "how many of the newest revisions can be asked for exactly";
    snapshot_bytes_max: Count<1_048_576, 1_099_511_627_776> = "268435456", "snapshot-bytes-max", None,
        "most memory that those revisions keep alive together, in bytes, estimated from above";
    log_retention_revisions: Count<0, 1_000_000_000_000> = "0", "log-retention-revisions", None,
        "revisions that ReadChanges can go back at least; with the time below, what either keeps is kept; 0 is no bound of its own";
    log_retention_time: Time<315_360_000> = "0s", "log-retention-time", None,
        "how far ReadChanges can go back at least; when both are 0, all changes are kept";
    plans_max: Count<1, 1_000_000> = "10000", "plans-max", None, "how many compiled models are kept";
    search_sets_bytes_max: Count<0, 1_099_511_627_776> = "268435456", "search-sets-bytes-max", None,
        "most memory for what subjects may see, kept between searches, in bytes";
    vectors_memory_bytes_max: Count<0, 281_474_976_710_656> = "4294967296", "vectors-memory-bytes-max", None,
        "most memory for exact vectors, besides their codes of a byte an element; what is over it is read from files in the directory";
    chunks_bytes_max: Count<1024, 1_073_741_824> = "67108864", "chunks-bytes-max", None,
        "the largest HTTP body or gRPC message of a call about a collection, in bytes";
    embedding_url: Endpoint = "", "embedding-url", None,
        "an OpenAI-compatible endpoint that makes vectors of texts, as `https://api.openai.com/v1/embeddings`; without it a text cannot stand for a vector";
    embedding_model: Text = "", "embedding-model", None, "the model that the endpoint is asked for; the one that made the vectors of the collections";
    embedding_key_file: File = "", "embedding-key-file", None,
        "a file with the key that the endpoint asks for; or say the key itself in the variable `BAILIWICK_EMBEDDING_KEY`";
    embedding_timeout: Time<3600> = "10s", "embedding-timeout", None,
        "how long the endpoint may take for one request, repetitions included; `request-timeout` does not count it";
    arrange_threads: Count<0, 64> = "1", "arrange-threads", None,
        "threads that fill graphs and lay vectors out by permission; with 0 every search scans";
    identity_key_ring: File = "", "identity-key-ring", None,
        "the file of the keys that seal secrets (docs/secrets.md); with it the issuers of the database are served";
    identity_key_ring_command: Text = "", "identity-key-ring-command", None,
        "a command for `sh` that prints that key ring instead, as a manager of secrets does, in 30 seconds at most";
    identity_addr: Address = "127.0.0.1:8082", "identity-addr", None,
        "where to listen for the issuers; each is found by the host and the path of its URL";
    authn_method: Authn = "none", "authn-method", None,
        "how the engine asks who calls: `preshared` for one of the keys below, as `Authorization: Bearer KEY`; certificates are asked for besides by `tls-client-ca`";
    authn_preshared_keys: Keys = "", "authn-preshared-keys", None,
        "the keys, hidden when settings are printed; better said in the file or in the environment than as a flag, which stands in the list of processes";
    authzen_base_url: Endpoint = "", "authzen-base-url", None,
        "the URL by which others reach the HTTP surface, as `https://fga.example.com`; with it the metadata of AuthZEN's endpoints is served (docs/authzen.md)";
    identity_mtls_addr: OptionalAddress = "", "identity-mtls-addr", None,
        "where to listen besides for clients of the issuers that show a certificate (RFC 8705); it needs `tls-cert`";
    identity_client_ca: File = "", "identity-client-ca", None,
        "authorities in PEM that are trusted to sign certificates of the issuers' clients, for `tls_client_auth` and X.509-SVIDs; the engine does not trust them";
    outgoing_allow: AllowList = "", "outgoing-allow", None,
        "what the issuers may connect to although its address is private, where an administrator names it, as `10.1.0.0/16`, `crm.corp.example` or `*.corp.example`; `localhost` or `127.0.0.1` is this machine, over http too, but never the engine's own `http-addr` and `grpc-addr` (docs/vault.md)";
    outgoing_allow_strangers: AllowList = "", "outgoing-allow-strangers", None,
        "the same for URLs that nobody who administers has written: client metadata documents, keys of clients that registered themselves, push services of people's browsers (docs/vault.md)";
    outgoing_authorities: File = "", "outgoing-authorities", None,
        "a file of certificates in PEM whose authorities are trusted besides the system's, by the requests of the issuers and for the mail relay";
    outgoing_connect_timeout: Time<60> = "5s", "outgoing-connect-timeout", None,
        "how long a connection of such a request may take to be made, name and TLS included";
    approval_mail_relay: Text = "", "approval-mail-relay", None,
        "the mail relay that tells people what waits for their approval, as `localhost:25`; docs/approvals.md says what it is trusted with";
    approval_mail_tls: MailTls = "auto", "approval-mail-tls", None,
        "how the relay is spoken to: `starttls` (required, never given up), `implicit` (TLS from the first byte), `none`; `auto` is `none` for this machine, `implicit` on port 465, and else `starttls`";
    approval_mail_login: Text = "", "approval-mail-login", None, "who we are to the relay, if it asks; never without TLS";
    approval_mail_password_file: File = "", "approval-mail-password-file", None, "a file with the password for `approval-mail-login`";
    approval_mail_from: Text = "", "approval-mail-from", None, "the sender of such mail, as `Bailiwick <approvals@example.com>`";
    approval_webhook: Endpoint = "", "approval-webhook", None,
        "a URL that is called with what waits for approval, for a program that tells people (docs/approvals.md)";
    approval_webhook_token_file: File = "", "approval-webhook-token-file", None,
        "a file with the bearer token that the webhook is shown";
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// Nobody said.
    Default,
    /// A file.
    File {
        /// Its path.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// A variable of the environment.
    Variable(String),
    /// A flag.
    Flag(String),
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Source::Default => write!(f, "default"),
            Source::File { path, line } => write!(f, "{}:{line}", path.display()),
            Source::Variable(name) => write!(f, "{name}"),
            Source::Flag(name) => write!(f, "--{name}"),
        }
    }
}

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read `{path}`: {reason}")]
    Unreadable { path: PathBuf, reason: std::io::Error },
    /// The file is no YAML, or not of the right shape.
    #[error("{path}:{line}: {what}", path = .path.display())]
    Malformed { path: PathBuf, line: usize, what: String },
    /// No such setting.
    #[error("{source_}: there is no setting `{key}`{suggestion}")]
    Unknown { source_: Source, key: String, suggestion: String },
    /// The value is none.
    #[error("{source_}: `{value}` does not do for `{name}`; {right}")]
    Value { source_: Source, name: &'static str, value: String, right: String },
    /// One of OpenFGA's that must not be passed over.
    #[error("{source_}: `{flag}` is refused: {advice}")]
    Refused { source_: Source, flag: &'static str, advice: &'static str },
}

/// Settings, where each came from, and what was said that means nothing here.
pub(crate) struct Settings {
    /// The values.
    pub(crate) config: Config,
    /// In the order of [`SETTINGS`].
    pub(crate) sources: Vec<Source>,
    /// For a person, to standard error.
    pub(crate) warnings: Vec<String>,
}

/// What is said about settings, in one place.
#[derive(Default)]
pub(crate) struct Said {
    /// Flags, by the name of the setting or OpenFGA's.
    pub(crate) flags: Vec<(String, String)>,
    /// Variables of the environment.
    pub(crate) variables: Vec<(String, String)>,
    /// The file; [`FILE_DEFAULT`] is read when none is named and it is there.
    pub(crate) file: Option<PathBuf>,
}

impl Settings {
    /// Reads all that was said.
    pub(crate) fn read(said: &Said) -> Result<Settings, ConfigError> {
        // The defaults are read by the same rules; that they can be is tested.
        let config = Config::defaults().map_err(|what| ConfigError::Malformed {
            path: PathBuf::from("src/config.rs"),
            line: 0,
            what,
        })?;
        let sources = SETTINGS.iter().map(|_| Source::Default).collect();
        let mut settings = Settings { config, sources, warnings: Vec::new() };
        let named = said.file.as_deref();
        if let Some(path) = named.or_else(|| Some(Path::new(FILE_DEFAULT)).filter(|p| p.exists())) {
            settings.file(path)?;
        }
        // Ours are taken last, so that they win over OpenFGA's.
        for prefix in ["OPENFGA_", "BAILIWICK_"] {
            for (name, value) in &said.variables {
                let Some(key) = name.strip_prefix(prefix) else { continue };
                let other =
                    OTHER_VARIABLES.contains(&name.as_str()) || name == KEY_VARIABLE || from_kubernetes(name, value);
                if !other && !settings.take(key, value, &Source::Variable(name.clone()), prefix == "OPENFGA_")? {
                    settings.warnings.push(format!("{name} is not known and has no effect{}", suggestion(key)));
                }
            }
        }
        for (name, value) in &said.flags {
            settings.take(name, value, &Source::Flag(name.clone()), true)?;
        }
        Ok(settings)
    }

    /// Takes one value. False when there is no such setting.
    fn take(&mut self, key: &str, value: &str, source: &Source, theirs: bool) -> Result<bool, ConfigError> {
        let bare = letters(key);
        let named = |s: &Setting| letters(s.name) == bare || s.openfga.is_some_and(|o| letters(o) == bare);
        if let Some(at) = SETTINGS.iter().position(named)
            && let (Some(setting), Some(place)) = (SETTINGS.get(at), self.sources.get_mut(at))
        {
            (setting.take)(&mut self.config, value).map_err(|right| ConfigError::Value {
                source_: source.clone(),
                name: setting.name,
                value: without_secret(value),
                right,
            })?;
            *place = source.clone();
            return Ok(true);
        }
        let found = FOREIGN.iter().find_map(|f| Some((f, *f.flags.iter().find(|flag| letters(flag) == bare)?)));
        let Some((family, flag)) = found.filter(|_| theirs) else { return Ok(false) };
        self.foreign(family, flag, value, source)?;
        Ok(true)
    }

    /// One of OpenFGA's that has no meaning here. Its value is not repeated: it may be a secret.
    fn foreign(
        &mut self,
        family: &Foreign,
        flag: &'static str,
        value: &str,
        source: &Source,
    ) -> Result<(), ConfigError> {
        if family.harmless(value) {
            return Ok(());
        }
        if family.verdict == Verdict::Refuse {
            return Err(ConfigError::Refused { source_: source.clone(), flag, advice: family.advice });
        }
        self.warnings.push(format!("{source}: `{flag}` has no meaning here: {}", family.advice));
        Ok(())
    }

    fn file(&mut self, path: &Path) -> Result<(), ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|reason| ConfigError::Unreadable { path: path.to_owned(), reason })?;
        let malformed = |line, what: String| ConfigError::Malformed { path: path.to_owned(), line, what };
        if text.len() > FILE_BYTES_MAX {
            return Err(malformed(1, format!("a settings file has at most {FILE_BYTES_MAX} bytes")));
        }
        let documents = MarkedYaml::load_from_str(&text)
            .map_err(|error| malformed(error.marker().line(), format!("this is no YAML: {}", error.info())))?;
        let mut found = Vec::new();
        for document in &documents {
            leaves(document, &mut Vec::new(), &mut found).map_err(|(line, what)| malformed(line, what))?;
        }
        for Leaf { key, value, line } in found {
            let source = Source::File { path: path.to_owned(), line };
            if !self.take(&key, &value, &source, true)? {
                let suggestion = suggestion(&key);
                return Err(ConfigError::Unknown { source_: source, key, suggestion });
            }
        }
        Ok(())
    }
}

/// A value as it may be repeated: a URL without the user and the password that may stand in it.
fn without_secret(value: &str) -> String {
    let parts = value.split_once("://").and_then(|(scheme, rest)| Some((scheme, rest.rsplit_once('@')?.1)));
    parts.map_or_else(|| value.to_owned(), |(scheme, rest)| format!("{scheme}://..@{rest}"))
}

/// What is left of a name when only its letters and digits count.
fn letters(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

/// Kubernetes gives every pod variables about each service: `BAILIWICK_PORT=tcp://..` is none of ours.
fn from_kubernetes(name: &str, value: &str) -> bool {
    (value.contains("://") && name.contains("_PORT")) || name.contains("_SERVICE_") || name.contains("_PORT_")
}

struct Leaf {
    key: String,
    value: String,
    line: usize,
}

/// The values of a document with the path of their keys.
fn leaves(node: &MarkedYaml<'_>, path: &mut Vec<String>, found: &mut Vec<Leaf>) -> Result<(), (usize, String)> {
    let line = node.span.start.line();
    if path.len() > NESTING_MAX {
        return Err((line, format!("keys are nested deeper than {NESTING_MAX}")));
    }
    if let YamlData::Mapping(map) = &node.data {
        for (key, value) in map {
            // The key's line is where a person looks for the setting.
            let at = key.span.start.line();
            path.push(scalar(key).ok_or((at, "a key is a text".to_owned()))?);
            let before = found.len();
            leaves(value, path, found)?;
            if let (Some(leaf), false) = (found.get_mut(before), matches!(value.data, YamlData::Mapping(_))) {
                leaf.line = at;
            }
            path.pop();
        }
        return Ok(());
    }
    if path.is_empty() && matches!(&node.data, YamlData::Value(Scalar::Null)) {
        return Ok(()); // an empty file
    }
    let value = if let YamlData::Sequence(list) = &node.data {
        let texts: Option<Vec<String>> = list.iter().map(scalar).collect();
        texts.ok_or((line, "a list holds plain values".to_owned()))?.join(",")
    } else {
        scalar(node).ok_or((line, "write a plain value".to_owned()))?
    };
    if path.is_empty() {
        return Err((line, "write settings as `name: value`".to_owned()));
    }
    found.push(Leaf { key: path.join("."), value, line });
    Ok(())
}

/// A plain value as text.
fn scalar(node: &MarkedYaml<'_>) -> Option<String> {
    let YamlData::Value(value) = &node.data else { return None };
    Some(match value {
        Scalar::String(text) => text.to_string(),
        Scalar::Integer(n) => n.to_string(),
        Scalar::FloatingPoint(n) => n.to_string(),
        Scalar::Boolean(b) => b.to_string(),
        Scalar::Null => String::new(),
    })
}

/// The setting that was perhaps meant.
fn suggestion(key: &str) -> String {
    let bare = letters(key);
    let near = SETTINGS.iter().map(|s| (distance(&letters(s.name), &bare), s.name)).min();
    match near {
        Some((edits, name)) if edits <= 1 + bare.len() / 4 => format!("; did you mean `{name}`?"),
        _ => "; `bailiwick config` prints all there are".to_owned(),
    }
}

/// How many letters must be put in, taken out or changed to make one text of the other.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        let mut next = vec![left];
        for (y, up) in b.bytes().zip(row.iter().skip(1)) {
            left = (left + 1).min(up + 1).min(diagonal + usize::from(x != y));
            diagonal = *up;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

/// The environment of this process; what is not text is left out.
pub(crate) fn environment() -> Vec<(String, String)> {
    let all = std::env::vars_os();
    all.filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))).collect()
}

/// A variable of the environment that is not empty.
#[expect(clippy::disallowed_methods, reason = "this is the place that reads it")]
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// What the settings file in the working directory says, for commands that need one thing of it.
pub(crate) fn of_file() -> Result<Config, ConfigError> {
    Ok(Settings::read(&Said::default())?.config)
}

/// Flags of OpenFGA that are taken so that they can be answered; whether each stands alone (`--playground-enabled`).
pub(crate) fn foreign_flags() -> impl Iterator<Item = (&'static str, bool)> {
    FOREIGN.iter().flat_map(|f| f.flags).map(|flag| {
        let alone = flag.ends_with("-enabled") || flag.ends_with("-histograms") || flag.ends_with("-stream");
        (*flag, alone || *flag == "context-propagation-to-datastore")
    })
}

/// The variable of a setting.
pub(crate) fn variable_name(setting: &Setting) -> String {
    format!("BAILIWICK_{}", setting.name.replace('-', "_").to_ascii_uppercase())
}

/// `docs/config.md`, which a test compares with the file.
pub(crate) fn document() -> String {
    let head = include_str!("config/head.md");
    let mut text = head.to_owned();
    for setting in SETTINGS {
        let default = if setting.default.is_empty() { "none" } else { setting.default };
        let theirs = setting.openfga.map(|o| format!("; OpenFGA: `{o}`")).unwrap_or_default();
        text.push_str(&format!(
            "| `{}` | `{}` | {default} | {} | {}{theirs} |\n",
            setting.name,
            variable_name(setting),
            (setting.bound)(),
            setting.about
        ));
    }
    text.push_str(include_str!("config/middle.md"));
    for family in FOREIGN {
        let what = if family.verdict == Verdict::Refuse { "**refused**" } else { "warning" };
        let flags: Vec<String> = family.flags.iter().map(|f| format!("`{f}`")).collect();
        text.push_str(&format!("| {} | {what} | {} |\n", flags.join(", "), family.advice));
    }
    text.push_str(include_str!("config/tail.md"));
    text
}

#[cfg(test)]
mod tests;
