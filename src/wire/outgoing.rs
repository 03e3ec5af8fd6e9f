//! The one client of other people's servers: metadata, keys, upstream APIs, callbacks.
//!
//! The other side is not trusted, and nor is who names it: a URL may come from a document that a stranger wrote. So only
//! https leaves this machine; names are resolved here, every address is judged before it is connected to, and the connection
//! goes to the address that was judged, so that a name cannot change its mind between; redirects are not followed; times,
//! bodies and headers are bounded; no proxy and no certificate of the environment's variables is used. An error says which
//! rule refused, and repeats nothing that the other side said.

mod address;

pub use address::{Allowed, AllowedError, Range, judge};

use axum::body::{Body, Bytes, HttpBody};
use http::{HeaderMap, Method, StatusCode};
use http_body_util::{LengthLimitError, Limited};
use parking_lot::Mutex;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Certificate, Client, ClientBuilder, redirect, retry};
use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout_at};
use url::{Host, Url};

/// Most bytes of an answer's headers, names and values.
pub const ANSWER_HEADER_BYTES_MAX: usize = 64 << 10;
/// Most headers of an answer.
pub const ANSWER_HEADERS_MAX: usize = 128;
/// Longest URL that is asked.
pub const URL_BYTES_MAX: usize = 8 << 10;
/// Most addresses of a name that are looked at.
const ADDRESSES_MAX: usize = 16;
/// How long a connection may wait for its next use.
const IDLE_MAX: Duration = Duration::from_secs(60);
/// Connections to one host that wait for their next use.
const IDLE_CONNECTIONS_MAX: usize = 16;
/// Why this process itself is not asked.
const OWN: &str =
    "at this port of this machine the engine itself listens, which is never asked, whatever the allow list says";

/// How the client behaves.
#[derive(Clone, Debug)]
pub struct OutgoingSettings {
    /// Whether servers on this machine may be asked, over http too. For development and tests. An entry of the allow list
    /// that is this machine (`localhost`, `127.0.0.1`) says the same.
    pub loopback: bool,
    /// What may be connected to although its address is special, where whoever administers says so: no URL of a stranger.
    pub allow: Vec<Allowed>,
    /// The same for URLs that strangers and people write: of metadata documents, of what clients say that registered
    /// themselves, of push services. See [`Outgoing::for_strangers`].
    pub allow_strangers: Vec<Allowed>,
    /// Certificates of authorities in PEM, which are trusted besides the system's.
    pub authorities: Option<Vec<u8>>,
    /// How long a connection may take to be made, name and TLS included.
    pub connect_timeout: Duration,
}

impl Default for OutgoingSettings {
    fn default() -> OutgoingSettings {
        OutgoingSettings {
            loopback: false,
            allow: Vec::new(),
            allow_strangers: Vec::new(),
            authorities: None,
            connect_timeout: Duration::from_secs(5),
        }
    }
}

/// The answer to the question for a name's addresses.
pub type Resolution = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;

/// Who knows the addresses of names.
pub trait Resolver: Send + Sync + 'static {
    /// All addresses of a name, in the order in which they are tried.
    fn addresses(&self, host: &str) -> Resolution;
}

/// The system's resolver.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemResolver;

impl Resolver for SystemResolver {
    fn addresses(&self, host: &str) -> Resolution {
        let host = host.to_owned();
        Box::pin(async move {
            let found = tokio::net::lookup_host((host.as_str(), 0)).await?;
            Ok(found.map(|address| address.ip()).take(ADDRESSES_MAX).collect())
        })
    }
}

/// Whether the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OutgoingStartError {
    /// The file of authorities is none.
    #[error("the certificates for outgoing requests are not understood; give one authority or more in PEM")]
    Authorities,
    /// The library fails.
    #[error("the client for outgoing requests cannot be prepared: {0}")]
    Client(String),
}

/// Why there is no answer. Nothing of what the other side said is part of it, and no part of the URL but the host.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OutgoingError {
    /// The URL is none that is asked.
    #[error("the URL is refused: {0}")]
    Url(&'static str),
    /// The address is not for us.
    #[error("`{host}` is refused: its address is {range}; name it in the allow list if it is meant to be reached")]
    Address {
        /// The host.
        host: String,
        /// The range of its address.
        range: Range,
    },
    /// No connection may leave this machine without TLS.
    #[error("`{host}` is refused: http is for loopback addresses, and it has another; use https")]
    Plain {
        /// The host.
        host: String,
    },
    /// The name has no address.
    #[error("`{host}` has no address; is the name right?")]
    Unresolved {
        /// The host.
        host: String,
    },
    /// No connection, no TLS, or one that broke.
    #[error("`{host}` cannot be reached; the log says why")]
    Unreachable {
        /// The host.
        host: String,
    },
    /// No answer in time.
    #[error("`{host}` did not answer within {timeout:?}")]
    TimedOut {
        /// The host.
        host: String,
        /// The time it had.
        timeout: Duration,
    },
    /// It sends elsewhere.
    #[error("`{host}` answered with the redirect {status}, which is not followed")]
    Redirect {
        /// The host.
        host: String,
        /// The status.
        status: u16,
    },
    /// Its headers are too large.
    #[error(
        "the headers of the answer of `{host}` have more than {ANSWER_HEADER_BYTES_MAX} bytes or number more than {ANSWER_HEADERS_MAX}"
    )]
    Headers {
        /// The host.
        host: String,
    },
    /// It says too much.
    #[error("the answer of `{host}` is larger than {bytes_max} bytes")]
    Large {
        /// The host.
        host: String,
        /// What it may have.
        bytes_max: u64,
    },
    /// What was to be sent is too large.
    #[error("the body to be sent to `{host}` is larger than allowed")]
    Sent {
        /// The host.
        host: String,
    },
}

impl OutgoingError {
    /// Whether the address is refused, so that to ask again is of no use.
    #[must_use]
    pub fn is_final(&self) -> bool {
        match self {
            OutgoingError::Url(_) | OutgoingError::Address { .. } | OutgoingError::Plain { .. } => true,
            OutgoingError::Unresolved { .. }
            | OutgoingError::Unreachable { .. }
            | OutgoingError::TimedOut { .. }
            | OutgoingError::Redirect { .. }
            | OutgoingError::Headers { .. }
            | OutgoingError::Large { .. }
            | OutgoingError::Sent { .. } => false,
        }
    }
}

/// What becomes of an answer that sends elsewhere. It is never followed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Redirects {
    /// It is an error.
    #[default]
    Refuse,
    /// It is an answer like any other, for a caller who hands it on.
    Pass,
}

/// A request to somebody else's server.
#[derive(Debug)]
pub struct OutgoingRequest {
    /// The method.
    pub method: Method,
    /// The URL, without user and password.
    pub url: Url,
    /// The headers. `Host` and those of the connection are made from the URL.
    pub headers: HeaderMap,
    /// What is sent.
    pub body: Body,
    /// The most bytes of it that are sent.
    pub body_bytes_max: usize,
    /// How long all may take, the last byte of the answer included.
    pub timeout: Duration,
    /// The most bytes of the answer's body.
    pub answer_bytes_max: u64,
    /// What becomes of an answer that sends elsewhere.
    pub redirects: Redirects,
}

impl OutgoingRequest {
    /// A question that sends a small body or none, and that waits for a small answer: 10 seconds, 1 MiB.
    #[must_use]
    pub fn new(method: Method, url: Url) -> OutgoingRequest {
        OutgoingRequest {
            method,
            url,
            headers: HeaderMap::new(),
            body: Body::empty(),
            body_bytes_max: 1 << 20,
            timeout: Duration::from_secs(10),
            answer_bytes_max: 1 << 20,
            redirects: Redirects::Refuse,
        }
    }
}

/// An answer whose body is still to come.
#[derive(Debug)]
pub struct OutgoingAnswer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    response: reqwest::Response,
    host: String,
    left: u64,
    bytes_max: u64,
    deadline: Instant,
    timeout: Duration,
}

/// An answer with its body.
#[derive(Clone, Debug)]
pub struct WholeAnswer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
}

/// The client. A clone shares it.
#[derive(Clone)]
pub struct Outgoing {
    inner: Arc<Inner>,
    /// What asks where a stranger says.
    strangers: Arc<Inner>,
}

struct Inner {
    /// Where requests run for those who wait on a thread of their own.
    runtime: Option<Handle>,
    clients: Clients,
    /// The ports at which this process itself listens, and the clients for URLs with one of them. A resolver is told no
    /// port, so that who asks for such a port has clients of their own, with connections of their own.
    at_own_ports: Option<(Vec<u16>, Clients)>,
}

struct Clients {
    guard: Guard,
    /// For https; what is wrong with the system's certificates is told when it is first needed.
    secure: Result<Client, String>,
    /// For http, to this machine alone.
    plain: Client,
}

impl fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outgoing").field("allow", &self.inner.clients.guard.allow).finish_non_exhaustive()
    }
}

/// Resolves names, and gives only addresses that may be connected to.
#[derive(Clone)]
struct Guard {
    resolver: Arc<dyn Resolver>,
    allow: Arc<[Allowed]>,
    loopback: bool,
    /// Whether connections have no TLS.
    plain: bool,
    /// Where this process itself listens, if the port that is asked for is one of its own; else nothing.
    own: Arc<[SocketAddr]>,
}

impl Guard {
    /// Whether a connection to the address may end at this process itself.
    fn is_own(&self, address: IpAddr) -> bool {
        let here = || matches!(judge(address), Some(Range::Loopback | Range::Unspecified));
        let at = |own: &SocketAddr| match own.ip() {
            all if all.is_unspecified() => is_of_this_machine(address),
            one => one.to_canonical() == address.to_canonical(),
        };
        !self.own.is_empty() && (here() || self.own.iter().any(at))
    }

    fn permits(&self, host: &str, address: IpAddr) -> Result<(), OutgoingError> {
        let host_is = || host.to_owned();
        let range_lets = match judge(address) {
            Some(Range::Loopback) if self.loopback => Ok(()),
            range if self.plain => Err(match range {
                Some(range @ Range::Loopback) => OutgoingError::Address { host: host_is(), range },
                _ => OutgoingError::Plain { host: host_is() },
            }),
            None => Ok(()),
            Some(range) if self.allow.iter().any(|entry| entry.lets(host, address, range)) => Ok(()),
            Some(range) => Err(OutgoingError::Address { host: host_is(), range }),
        };
        // Whatever the allow list says: behind those ports nobody asks who calls.
        range_lets.and_then(|()| if self.is_own(address) { Err(OutgoingError::Url(OWN)) } else { Ok(()) })
    }
}

/// Whether an address is one of this machine's: the way there begins at it. Nothing is sent.
fn is_of_this_machine(address: IpAddr) -> bool {
    let address = address.to_canonical();
    let from = match address {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let way = UdpSocket::bind((from, 0)).and_then(|socket| socket.connect((address, 1)).and(socket.local_addr()));
    way.is_ok_and(|way| way.ip() == address)
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.clone();
        Box::pin(async move {
            let host = name.as_str();
            let unresolved = || OutgoingError::Unresolved { host: host.to_owned() };
            let found = guard.resolver.addresses(host).await.map_err(|_| unresolved())?;
            let mut refused = None;
            let mut good = Vec::new();
            for address in found.into_iter().take(ADDRESSES_MAX) {
                match guard.permits(host, address) {
                    Ok(()) => good.push(SocketAddr::new(address, 0)),
                    Err(error) => refused = refused.or(Some(error)),
                }
            }
            if good.is_empty() {
                return Err(refused.unwrap_or_else(unresolved).into());
            }
            let addresses: Addrs = Box::new(good.into_iter());
            Ok(addresses)
        })
    }
}

impl Clients {
    fn new(
        guard: Guard,
        authorities: &[Certificate],
        connect_timeout: Duration,
    ) -> Result<Clients, OutgoingStartError> {
        let plain = Guard { plain: true, ..guard.clone() };
        let secure = builder(&guard, connect_timeout).https_only(true).tls_certs_merge(authorities.to_vec()).build();
        let secure = secure.map_err(|error| causes(&error));
        // Without TLS the system's certificates need not be there.
        let plain = builder(&plain, connect_timeout).tls_certs_only([]).build();
        let plain = plain.map_err(|error| OutgoingStartError::Client(causes(&error)))?;
        Ok(Clients { guard, secure, plain })
    }
}

impl Outgoing {
    /// Prepares the client; nobody is asked yet. Made within a runtime, it can be waited for from threads outside of it.
    ///
    /// # Errors
    /// A setting is not usable.
    pub fn new(settings: OutgoingSettings, resolver: impl Resolver) -> Result<Outgoing, OutgoingStartError> {
        Outgoing::apart_from(&[], settings, resolver)
    }

    /// The same, and this machine is never asked at the ports of `own`, whatever the settings let: there this process itself
    /// listens and believes everybody who reaches it.
    ///
    /// # Errors
    /// A setting is not usable.
    pub fn apart_from(
        own: &[SocketAddr],
        settings: OutgoingSettings,
        resolver: impl Resolver,
    ) -> Result<Outgoing, OutgoingStartError> {
        let OutgoingSettings { loopback, allow, allow_strangers, authorities, connect_timeout } = settings;
        // An error means that the program has chosen a provider already; that one is used.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let resolver: Arc<dyn Resolver> = Arc::new(resolver);
        let guard = |allow: Vec<Allowed>| {
            let loopback = loopback || allow.iter().any(Allowed::is_here);
            let (resolver, own) = (Arc::clone(&resolver), Arc::default());
            Guard { resolver, allow: allow.into(), loopback, plain: false, own }
        };
        let authorities = match authorities {
            Some(pem) => match Certificate::from_pem_bundle(&pem) {
                Ok(some) if !some.is_empty() => some,
                // A file of something else is a mistake that would show much later.
                Ok(_) | Err(_) => return Err(OutgoingStartError::Authorities),
            },
            None => Vec::new(),
        };
        let inner = |guard: Guard| {
            let clients = Clients::new(guard.clone(), &authorities, connect_timeout)?;
            let at_own_ports = if own.is_empty() {
                None
            } else {
                let ports = own.iter().map(SocketAddr::port).collect();
                Some((ports, Clients::new(Guard { own: own.into(), ..guard }, &authorities, connect_timeout)?))
            };
            Ok(Arc::new(Inner { runtime: Handle::try_current().ok(), clients, at_own_ports }))
        };
        Ok(Outgoing { inner: inner(guard(allow))?, strangers: inner(guard(allow_strangers))? })
    }

    /// What asks at URLs that a stranger wrote, or somebody who administers nothing: the allow list is one of its own, so that
    /// what is allowed for an administrator's URLs opens no way into a network for everybody.
    #[must_use]
    pub fn for_strangers(&self) -> Outgoing {
        Outgoing { inner: Arc::clone(&self.strangers), strangers: Arc::clone(&self.strangers) }
    }

    /// Whether a URL may be asked as far as it tells by itself; the addresses of its name are judged when it is asked.
    ///
    /// # Errors
    /// It may not.
    pub fn permits(&self, url: &Url) -> Result<(), OutgoingError> {
        self.client_for(url).map(|_| ())
    }

    fn client_for(&self, url: &Url) -> Result<&Client, OutgoingError> {
        let Inner { clients, at_own_ports, .. } = &*self.inner;
        let Clients { guard, secure, plain } = match at_own_ports {
            Some((ports, clients)) if url.port_or_known_default().is_none_or(|port| ports.contains(&port)) => clients,
            _ => clients,
        };
        if url.as_str().len() > URL_BYTES_MAX {
            return Err(OutgoingError::Url("it is longer than 8192 bytes"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(OutgoingError::Url("it has a user or a password; take them out"));
        }
        let host = url.host().ok_or(OutgoingError::Url("it has no host"))?;
        let is_plain = match url.scheme() {
            "https" => false,
            "http" if guard.loopback => true,
            "http" => return Err(OutgoingError::Url("it is no https URL")),
            _ => return Err(OutgoingError::Url("it is neither https nor http")),
        };
        let address = match host {
            Host::Ipv4(address) => Some(IpAddr::V4(address)),
            Host::Ipv6(address) => Some(IpAddr::V6(address)),
            Host::Domain(_) => None,
        };
        if let Some(address) = address {
            let guard = Guard { plain: is_plain, ..guard.clone() };
            guard.permits(url.host_str().unwrap_or_default(), address)?;
        }
        if is_plain {
            return Ok(plain);
        }
        secure.as_ref().map_err(|why| {
            tracing::error!(
                why,
                "TLS for outgoing requests cannot be prepared; are the system's CA certificates installed?"
            );
            OutgoingError::Unreachable { host: url.host_str().unwrap_or_default().to_owned() }
        })
    }

    /// Asks, and answers as soon as the headers have come.
    ///
    /// # Errors
    /// The request is refused, or there is no answer.
    pub async fn send(&self, ask: OutgoingRequest) -> Result<OutgoingAnswer, OutgoingError> {
        let OutgoingRequest { method, url, headers, body, body_bytes_max, timeout, answer_bytes_max, redirects } = ask;
        let deadline = Instant::now() + timeout;
        let client = self.client_for(&url)?;
        let host = url.host_str().unwrap_or_default().to_owned();
        let bytes_max = answer_bytes_max;
        let mut request = client.request(method, url).headers(headers);
        if !body.is_end_stream() {
            request = request.body(reqwest::Body::wrap(Shared(Mutex::new(Limited::new(body, body_bytes_max)))));
        }
        let sent = timeout_at(deadline, request.send()).await;
        let timed_out = |_| OutgoingError::TimedOut { host: host.clone(), timeout };
        let mut response = sent.map_err(timed_out)?.map_err(|error| failed(&host, timeout, error))?;
        let (status, headers) = (response.status(), std::mem::take(response.headers_mut()));
        let header_bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        if header_bytes > ANSWER_HEADER_BYTES_MAX {
            return Err(OutgoingError::Headers { host });
        }
        if status.is_redirection() && status != StatusCode::NOT_MODIFIED && redirects == Redirects::Refuse {
            return Err(OutgoingError::Redirect { host, status: status.as_u16() });
        }
        if response.content_length().is_some_and(|length| length > bytes_max) {
            return Err(OutgoingError::Large { host, bytes_max });
        }
        Ok(OutgoingAnswer { status, headers, response, host, left: bytes_max, bytes_max, deadline, timeout })
    }

    /// Waits for what asks others, on a thread that may wait and is none of the runtime's. `None` when there is no runtime.
    pub fn wait<F: Future>(&self, work: F) -> Option<F::Output> {
        self.inner.runtime.as_ref().map(|runtime| runtime.block_on(work))
    }

    /// Asks, and answers when all has come.
    ///
    /// # Errors
    /// The request is refused, or there is no whole answer.
    pub async fn fetch(&self, ask: OutgoingRequest) -> Result<WholeAnswer, OutgoingError> {
        let mut answer = self.send(ask).await?;
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await? {
            body.extend_from_slice(&chunk);
        }
        Ok(WholeAnswer { status: answer.status, headers: answer.headers, body })
    }
}

impl OutgoingAnswer {
    /// The next bytes of the body; none when it is over.
    ///
    /// # Errors
    /// The body is too large, too slow, or broke off.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, OutgoingError> {
        let OutgoingAnswer { host, timeout, .. } = &*self;
        let (host, timeout) = (host.clone(), *timeout);
        let next = match timeout_at(self.deadline, self.response.chunk()).await {
            Err(_) => return Err(OutgoingError::TimedOut { host, timeout }),
            Ok(next) => next.map_err(|error| failed(&host, timeout, error))?,
        };
        let Some(bytes) = next else { return Ok(None) };
        match self.left.checked_sub(bytes.len() as u64) {
            Some(left) => self.left = left,
            None => return Err(OutgoingError::Large { host, bytes_max: self.bytes_max }),
        }
        Ok(Some(bytes))
    }
}

fn builder(guard: &Guard, connect_timeout: Duration) -> ClientBuilder {
    Client::builder()
        .user_agent(concat!("bailiwick/", env!("CARGO_PKG_VERSION")))
        .dns_resolver(Arc::new(guard.clone()))
        .redirect(redirect::Policy::none())
        .retry(retry::never())
        .referer(false)
        .no_proxy()
        .http1_only()
        .http1_max_headers(ANSWER_HEADERS_MAX)
        .pool_idle_timeout(IDLE_MAX)
        .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
        .connect_timeout(connect_timeout)
}

/// What a failure of the library means; the log gets its causes, without the URL.
fn failed(host: &str, timeout: Duration, error: reqwest::Error) -> OutgoingError {
    let error = error.without_url();
    let mut cause: Option<&(dyn StdError + 'static)> = Some(&error);
    while let Some(one) = cause {
        if let Some(known) = one.downcast_ref::<OutgoingError>() {
            return known.clone();
        }
        if one.is::<LengthLimitError>() {
            return OutgoingError::Sent { host: host.to_owned() };
        }
        cause = one.source();
    }
    if error.is_timeout() {
        return OutgoingError::TimedOut { host: host.to_owned(), timeout };
    }
    tracing::warn!(host, why = causes(&error), "an outgoing request failed");
    OutgoingError::Unreachable { host: host.to_owned() }
}

fn causes(error: &dyn StdError) -> String {
    let (mut text, mut cause) = (error.to_string(), error.source());
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// A body for a library that wants one that threads can share; it is only ever polled by one.
struct Shared(Mutex<Limited<Body>>);

impl HttpBody for Shared {
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, axum::BoxError>>> {
        Pin::new(self.0.get_mut()).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.0.lock().is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.0.lock().size_hint()
    }
}

#[cfg(test)]
mod tests;
