//! `bailiwick mcp try`: what a client sees of an MCP server behind OAuth, step by step. It opens no database.

mod browser;

use super::Failure;
use super::show::{Look, Tone, note, paint, say};
use crate::config;
use bailiwick::identity::Env;
use bailiwick::modules::mcp::VERSIONS;
use bailiwick::modules::mcp::client::{
    Around, CALLS_MAX, CLIENT_SECRET_BYTES_MAX, ClientError, ClientGiven, Enterprise, KEY_BYTES_MAX, SigningKey,
    Teller, ToolCall, Trial, Way, attempt,
};
use bailiwick::wire::{Allowed, Outgoing, OutgoingSettings, SystemResolver, now, random};
use browser::Browser;
use clap::{Args, ValueEnum};
use serde_json::Value;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use url::{Host, Url};
use zeroize::Zeroizing;

pub(super) const EXAMPLES: &str = "\
Examples:
  bailiwick mcp try https://crm.example/mcp                      a person signs in; the client registers itself
  bailiwick mcp try https://crm.example/mcp --client-id sales --client-secret-file secret --client-credentials
  bailiwick mcp try https://crm.example/mcp --client-id sales --client-secret-file secret --idp https://id.example/acme \\
      --idp-client-id sales --subject-token-file id_token        enterprise-managed authorization
  bailiwick mcp try http://localhost:3000/mcp --call 'add {\"a\": 1, \"b\": 2}'

Exit code 0: all went well; 1: a call failed or was refused; 2: it did not come to that, and why stands there.";

/// Longest file of authorities.
const AUTHORITIES_BYTES_MAX: usize = 4 << 20;
/// The longest that a person may take, in seconds.
const WAIT_S_MAX: u64 = 3_600;

/// What is exchanged at the identity provider.
#[derive(Clone, Copy, ValueEnum)]
#[value(rename_all = "snake_case")]
enum TokenType {
    IdToken,
    AccessToken,
    RefreshToken,
    Saml2,
}

impl TokenType {
    fn name(self) -> &'static str {
        match self {
            TokenType::IdToken => "urn:ietf:params:oauth:token-type:id_token",
            TokenType::AccessToken => "urn:ietf:params:oauth:token-type:access_token",
            TokenType::RefreshToken => "urn:ietf:params:oauth:token-type:refresh_token",
            TokenType::Saml2 => "urn:ietf:params:oauth:token-type:saml2",
        }
    }
}

/// See the file's head.
#[derive(Args)]
pub(crate) struct Try {
    /// The MCP server
    url: Url,
    #[command(flatten)]
    client: OfClient,
    #[command(flatten)]
    token: OfToken,
    #[command(flatten)]
    person: OfPerson,
    #[command(flatten)]
    call: OfCall,
    #[command(flatten)]
    outgoing: OfOutgoing,
    #[command(flatten)]
    look: Look,
}

#[derive(Args)]
#[command(next_help_heading = "Who the client is; without an id it registers itself")]
struct OfClient {
    /// Its id at the server's authorization server
    #[arg(long, value_name = "ID")]
    client_id: Option<String>,
    /// A file with its secret
    #[arg(long, value_name = "FILE")]
    client_secret_file: Option<PathBuf>,
    /// A file with its private key, in PEM (private_key_jwt)
    #[arg(long, value_name = "FILE")]
    client_key_file: Option<PathBuf>,
    /// What the key is called in the client's key set
    #[arg(long, value_name = "KID")]
    client_key_id: Option<String>,
    /// The URL of a document that describes it, for servers that take one (CIMD)
    #[arg(long, value_name = "URL")]
    client_document: Option<String>,
    /// The authorization server at which it is registered: a server that names no such one is shown nothing
    #[arg(long, value_name = "ISSUER")]
    issuer: Option<String>,
}

#[derive(Args)]
#[command(next_help_heading = "How a token is had; without any of these a person signs in")]
struct OfToken {
    /// As the client itself
    #[arg(long, conflicts_with_all = ["assertion_file", "idp"])]
    client_credentials: bool,
    /// For an assertion in a file (RFC 7523)
    #[arg(long, value_name = "FILE", conflicts_with = "idp")]
    assertion_file: Option<PathBuf>,
    /// For an assertion of the enterprise's identity provider, by its issuer (ID-JAG)
    #[arg(long, value_name = "ISSUER", requires = "idp_client_id", requires = "subject_token_file")]
    idp: Option<String>,
    /// Who the client is there
    #[arg(long, value_name = "ID")]
    idp_client_id: Option<String>,
    /// A file with its secret there
    #[arg(long, value_name = "FILE")]
    idp_client_secret_file: Option<PathBuf>,
    /// A file with its private key there, in PEM
    #[arg(long, value_name = "FILE")]
    idp_client_key_file: Option<PathBuf>,
    /// A file with the token that is exchanged there
    #[arg(long, value_name = "FILE")]
    subject_token_file: Option<PathBuf>,
    /// What kind of token that is
    #[arg(long, value_name = "KIND", default_value = "id_token")]
    subject_token_type: TokenType,
    /// A scope to ask for, in place of those that the server names; may be said several times
    #[arg(long, value_name = "SCOPE")]
    scope: Vec<String>,
    /// Bind tokens to a key also where nobody demands it (DPoP)
    #[arg(long)]
    dpop: bool,
    /// Try the refresh token too
    #[arg(long)]
    refresh: bool,
}

#[derive(Args)]
#[command(next_help_heading = "Where a person signs in")]
struct OfPerson {
    /// Where the browser comes back to; without a port to a free one
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1/callback")]
    redirect_uri: Url,
    /// Follow redirects in place of a browser, for servers that ask nobody anything
    #[arg(long)]
    follow: bool,
    /// How long to wait for the browser
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=WAIT_S_MAX))]
    wait: u64,
}

#[derive(Args)]
#[command(next_help_heading = "What is asked")]
struct OfCall {
    /// The version of MCP; without it the newest that both speak
    #[arg(long, value_name = "VERSION", value_parser = VERSIONS)]
    protocol: Option<String>,
    /// A tool to call, with its arguments as JSON: 'add {"a": 1}'; may be said several times
    #[arg(long, value_name = "CALL", value_parser = read_call)]
    call: Vec<ToolCall>,
    /// Answer what the server asks a person with the defaults of its form, in place of declining it
    #[arg(long)]
    accept_defaults: bool,
}

#[derive(Args)]
#[command(next_help_heading = "Where it may go, besides public addresses and the hosts named above")]
struct OfOutgoing {
    /// Private addresses, networks and hosts, with commas between them [env: BAILIWICK_OUTGOING_ALLOW]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    outgoing_allow: Option<Vec<Allowed>>,
    /// A file of authorities in PEM that are trusted besides the system's [env: BAILIWICK_OUTGOING_AUTHORITIES]
    #[arg(long, value_name = "FILE")]
    outgoing_authorities: Option<PathBuf>,
}

fn read_call(text: &str) -> Result<ToolCall, String> {
    let (name, arguments) = text.split_once(char::is_whitespace).unwrap_or((text, "{}"));
    match serde_json::from_str(arguments) {
        Ok(Value::Object(arguments)) if !name.is_empty() => Ok(ToolCall { name: name.to_owned(), arguments }),
        Ok(_) => Err("write it as 'name {\"argument\": 1}'".into()),
        Err(error) => Err(format!("its arguments are no JSON: {error}; write it as 'name {{\"argument\": 1}}'")),
    }
}

/// A file's text, without the blanks around it.
fn text_of(path: &Path, bytes_max: usize) -> Result<Zeroizing<String>, Failure> {
    let unreadable = |reason| Failure::File { path: path.to_owned(), reason };
    let mut text = Zeroizing::new(String::new());
    let file = std::fs::File::open(path).map_err(unreadable)?;
    file.take(bytes_max as u64 + 1).read_to_string(&mut text).map_err(unreadable)?;
    if text.len() > bytes_max {
        return Err(Failure::Said(format!(
            "{}: it has more than {bytes_max} bytes; name the right file",
            path.display()
        )));
    }
    Ok(Zeroizing::new(text.trim().to_owned()))
}

fn secret_of(path: Option<&PathBuf>) -> Result<Option<Zeroizing<String>>, Failure> {
    path.map(|path| text_of(path, CLIENT_SECRET_BYTES_MAX)).transpose()
}

fn key_of(path: Option<&PathBuf>, kid: Option<&String>) -> Result<Option<SigningKey>, Failure> {
    let read = |path: &PathBuf| Ok::<_, Failure>(SigningKey::read(&text_of(path, KEY_BYTES_MAX)?, kid.cloned())?);
    path.map(read).transpose()
}

/// Tells a person; to the side when a program reads the answer.
struct Tells {
    aside: bool,
    steps: AtomicUsize,
}

impl Tells {
    fn line(&self, line: &str) {
        if self.aside { note(line) } else { say(line) }
    }
}

impl Teller for Tells {
    fn step(&self, title: &str) {
        let number = self.steps.fetch_add(1, Ordering::Relaxed) + 1;
        let title = format!("{number}. {title}");
        self.line(&if self.aside { title } else { paint(&title, Tone::Strong) });
    }

    fn says(&self, text: &str) {
        self.line(&format!("   {text}"));
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Failure {
        Failure::Said(error.to_string())
    }
}

impl Try {
    fn trial(&self) -> Result<Trial, Failure> {
        let OfClient { client_id, client_secret_file, client_key_file, client_key_id, client_document, issuer } =
            &self.client;
        if self.call.call.len() > CALLS_MAX {
            return Err(Failure::Said(format!("there are more than {CALLS_MAX} calls; say fewer")));
        }
        let protocol = |said: &String| VERSIONS.into_iter().find(|known| known == said);
        Ok(Trial {
            url: self.url.clone(),
            version: self.call.protocol.as_ref().and_then(protocol),
            issuer: issuer.clone(),
            client: ClientGiven {
                id: client_id.clone(),
                document: client_document.clone(),
                secret: secret_of(client_secret_file.as_ref())?,
                key: key_of(client_key_file.as_ref(), client_key_id.as_ref())?,
            },
            way: self.token.way()?,
            scopes: self.token.scope.clone(),
            dpop: self.token.dpop,
            refresh: self.token.refresh,
            accept: self.call.accept_defaults,
            calls: self.call.call.clone(),
        })
    }

    /// How others are asked. What the person named may be where it is: on this machine, or in a network of their own.
    fn outgoing(&self) -> Result<Outgoing, Failure> {
        let config = config::of_file()?;
        let mut allow = self.outgoing.outgoing_allow.clone().unwrap_or_else(|| config.outgoing_allow.0.clone());
        let urls = [Some(self.url.as_str()), self.client.issuer.as_deref(), self.token.idp.as_deref()];
        let mut loopback = false;
        for url in urls.into_iter().flatten().filter_map(|url| Url::parse(url).ok()) {
            loopback |= bailiwick::identity::is_loopback(&url);
            match url.host() {
                Some(Host::Domain(name)) => allow.extend(name.parse::<Allowed>().ok()),
                Some(Host::Ipv4(address)) => allow.push(Allowed::Net(std::net::IpAddr::V4(address).into())),
                Some(Host::Ipv6(address)) => allow.push(Allowed::Net(std::net::IpAddr::V6(address).into())),
                None => {}
            }
        }
        let file = self.outgoing.outgoing_authorities.as_ref().or(config.outgoing_authorities.0.as_ref());
        let authorities = file.map(|file| text_of(file, AUTHORITIES_BYTES_MAX)).transpose()?;
        let authorities = authorities.map(|text| text.as_bytes().to_vec());
        let settings = OutgoingSettings { loopback, allow, authorities, ..OutgoingSettings::default() };
        Outgoing::new(settings, SystemResolver).map_err(|error| Failure::Said(error.to_string()))
    }

    /// Tries the server.
    pub(crate) fn run(&self) -> Result<ExitCode, Failure> {
        let lines = tracing_subscriber::fmt().with_max_level(tracing::Level::WARN).with_writer(std::io::stderr);
        let _ = lines.without_time().with_target(false).try_init(); // why a connection failed is said there
        let trial = self.trial()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Failure::Said(format!("no threads: {error}")))?;
        let _within = runtime.enter();
        let outgoing = self.outgoing()?;
        let teller = Tells { aside: self.look.json, steps: AtomicUsize::new(0) };
        let OfPerson { redirect_uri, follow, wait } = &self.person;
        let follow = follow.then_some(&outgoing);
        let browser = Browser::new(redirect_uri, follow, &teller, Duration::from_secs(*wait))?;
        let env = || Env::new(now(), &random);
        let around = Around { outgoing: &outgoing, teller: &teller, visitor: &browser, env: &env };
        let seen = runtime.block_on(attempt(&trial, around))?;
        if self.look.json {
            say(seen.json());
        }
        Ok(if seen.all_well { ExitCode::SUCCESS } else { ExitCode::from(1) })
    }
}

impl OfToken {
    fn way(&self) -> Result<Way, Failure> {
        if self.client_credentials {
            return Ok(Way::Own);
        }
        if let Some(assertion) = secret_of(self.assertion_file.as_ref())? {
            return Ok(Way::Assertion(assertion));
        }
        let (Some(issuer), Some(token)) = (&self.idp, secret_of(self.subject_token_file.as_ref())?) else {
            return Ok(Way::Person);
        };
        Ok(Way::Enterprise(Enterprise {
            issuer: issuer.clone(),
            client: ClientGiven {
                id: self.idp_client_id.clone(),
                document: None,
                secret: secret_of(self.idp_client_secret_file.as_ref())?,
                key: key_of(self.idp_client_key_file.as_ref(), None)?,
            },
            token,
            token_type: self.subject_token_type.name().to_owned(),
        }))
    }
}
