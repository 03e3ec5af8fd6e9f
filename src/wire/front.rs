//! The door of the issuers: which tenant a request is for, and what a handler needs to answer it.
//!
//! A tenant is found by the host and the path of its issuer; behind the door its routes stand at the root, so that a module
//! writes `/token` once for all. Handlers run rules on a bounded pool of threads, because most wait for the disk.

use super::{Peer, Pool, now, random, request_id};
use crate::identity::{Answer, ClientCertificate, Env, ErrorCode, Identity, Refusal, Tenant};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use http_body_util::{BodyExt as _, Limited};
use serde_json::{Map, Value};
use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use url::Url;

/// Largest body of a request to an issuer.
pub const FORM_BYTES_MAX: usize = 128 << 10;
/// How long a body may take to come.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// Where metadata is, before the path of who it is about (RFC 8615).
const WELL_KNOWN: &str = "/.well-known/";
/// Most parts of a path in which an issuer is looked for.
const SEGMENTS_MAX: usize = 16;

/// A request for a tenant: whose, and what rules take from outside. Handlers take it as an argument.
#[derive(Clone)]
pub struct Asked {
    /// The tenant.
    pub tenant: Tenant,
    /// The address of the caller.
    pub address: IpAddr,
    address_text: Arc<str>,
    certificate: Option<Arc<ClientCertificate>>,
    trace: Arc<str>,
    pool: Arc<Pool>,
}

impl Asked {
    /// Runs rules on a thread that may wait.
    ///
    /// # Errors
    /// What they refuse; [`ErrorCode::TemporarilyUnavailable`] when too many wait already.
    pub async fn run<T: Send + 'static>(
        &self,
        rules: impl FnOnce(&Tenant, &Env<'_>) -> Answer<T> + Send + 'static,
    ) -> Answer<T> {
        let busy = |_| {
            let text = "the server has too much to do; try again in a moment";
            Refusal { retry_after_s: Some(1), ..Refusal::new(ErrorCode::TemporarilyUnavailable, "pool.full", text) }
        };
        let answer = self.pool.run(self.ruled(rules)).map_err(busy)?;
        answer.await.unwrap_or_else(|_| Err(panicked()))
    }

    /// The same for rules that must run however many wait, and whether or not somebody waits for them: they are under way
    /// when this returns.
    pub fn run_surely<T: Send + 'static, R>(&self, rules: R) -> impl Future<Output = Answer<T>> + Send + use<T, R>
    where
        R: FnOnce(&Tenant, &Env<'_>) -> Answer<T> + Send + 'static,
    {
        let answer = self.pool.run_surely(self.ruled(rules));
        async { answer.await.unwrap_or_else(|_| Err(panicked())) }
    }

    /// Rules with what they take from outside.
    fn ruled<T>(
        &self,
        rules: impl FnOnce(&Tenant, &Env<'_>) -> Answer<T> + Send + 'static,
    ) -> impl FnOnce() -> Answer<T> + Send + 'static {
        let asked = self.clone();
        move || rules(&asked.tenant, &asked.env())
    }

    /// What rules take from outside, now.
    #[must_use]
    pub fn env(&self) -> Env<'_> {
        Env {
            trace: Some(&self.trace),
            address: Some(&self.address_text),
            certificate: self.certificate(),
            ..Env::new(now(), &random)
        }
    }

    /// The certificate that the caller has shown in the TLS handshake.
    #[must_use]
    pub fn certificate(&self) -> Option<&ClientCertificate> {
        self.certificate.as_deref()
    }

    /// What ties the events and log lines of the request together.
    #[must_use]
    pub fn trace(&self) -> &str {
        &self.trace
    }
}

fn panicked() -> Refusal {
    Refusal::failed("pool.panic", "a rule panicked")
}

impl<S: Sync> FromRequestParts<S> for Asked {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Asked, StatusCode> {
        parts.extensions.get::<Asked>().cloned().ok_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

/// Reads a body within the bounds.
///
/// # Errors
/// It is too large, or does not come.
pub async fn body(body: Body) -> Answer<Bytes> {
    let refuse = |text: &str| Refusal::new(ErrorCode::InvalidRequest, "body", text);
    let collected = tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, FORM_BYTES_MAX).collect()).await;
    let collected = collected.map_err(|_| refuse("the body did not come in time"))?;
    collected.map(http_body_util::Collected::to_bytes).map_err(|_| refuse("the body is too large, or was cut off"))
}

/// A JSON answer.
#[must_use]
pub fn json(status: StatusCode, value: &Value) -> Response {
    let mut response = Response::new(Body::from(value.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// A refusal as clients see it (RFC 6749 5.2). What is for the log goes there.
impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        if self.error == ErrorCode::ServerError {
            tracing::error!(rule = self.rule, cause = self.cause, "a request failed");
        } else {
            tracing::info!(rule = self.rule, cause = self.cause, error = self.error.text(), "refused");
        }
        let status = StatusCode::from_u16(self.error.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut body = Map::new();
        let mut say = |name: &str, value: Value| drop(body.insert(name.to_owned(), value));
        say("error", self.error.text().into());
        say("error_description", self.description.into());
        if let Some(step_up) = &self.step_up {
            step_up.acr().into_iter().for_each(|acr| say("acr_values", acr.into()));
            step_up.max_age().into_iter().for_each(|age| say("max_age", age.into()));
        }
        let mut response = json(status, &Value::Object(body));
        if let Some(seconds) = self.retry_after_s {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// The service that finds the tenant of each request and hands it to the routes.
#[derive(Clone)]
pub struct Front {
    identity: Identity,
    routes: Router,
    pool: Arc<Pool>,
    /// The port of the issuers, when this is the door at another one.
    issuers_port: Option<u16>,
    /// Who is at the other end of the connection.
    peer: Option<Peer>,
}

impl Front {
    /// A door to the routes of all modules, which are the same for every tenant. Rules run on `threads` threads, and at most
    /// `queue_max` requests wait for one.
    ///
    /// # Errors
    /// The system gives no more threads.
    pub fn new(identity: Identity, routes: Router, threads: usize, queue_max: usize) -> std::io::Result<Front> {
        Ok(Front {
            identity,
            routes,
            pool: Arc::new(Pool::new("identity", threads, queue_max)?),
            issuers_port: None,
            peer: None,
        })
    }

    /// The same door where clients show certificates: at another port of the issuers' hosts. The issuers' own is `port`, unless
    /// they are behind a proxy and their URLs name none.
    #[must_use]
    pub fn at_another_port(self, port: u16) -> Front {
        Front { issuers_port: Some(port), ..self }
    }

    /// The same door for one connection.
    #[must_use]
    pub fn facing(&self, peer: Peer) -> Front {
        Front { peer: Some(peer), ..self.clone() }
    }

    /// What the issuer of a request may be called, by the host that the request names.
    fn hosts(&self, host: &str) -> Vec<String> {
        let Some(port) = self.issuers_port else { return vec![host.to_owned()] };
        let Some(url) = origin("https", host).and_then(|origin| Url::parse(&origin).ok()) else { return Vec::new() };
        let name = url.host_str().unwrap_or_default();
        vec![format!("{name}:{port}"), name.to_owned()]
    }

    /// The tenant of a host and a path, and the path below it: that of the longest issuer that fits.
    fn find(&self, host: &str, path: &str) -> Option<(Tenant, String)> {
        let inserted = path.strip_prefix(WELL_KNOWN).and_then(|rest| rest.find('/').map(|at| rest.split_at(at)));
        if let Some((name, of)) = inserted
            && let Some((tenant, rest)) = self.below(host, of).filter(|(tenant, _)| has_path(tenant))
        {
            return Some((tenant, format!("{WELL_KNOWN}{name}{}", rest.trim_end_matches('/'))));
        }
        let (tenant, rest) = self.below(host, path)?;
        Some((tenant, if rest.is_empty() { "/".to_owned() } else { rest.to_owned() }))
    }

    /// The tenant whose issuer is the longest start of a URL, and what of the path is behind it.
    fn below<'a>(&self, host: &str, path: &'a str) -> Option<(Tenant, &'a str)> {
        let origins: Vec<String> = ["https", "http"].iter().filter_map(|scheme| origin(scheme, host)).collect();
        let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]).take(SEGMENTS_MAX);
        let mut ends: Vec<usize> = ends.collect();
        ends.reverse();
        for (root, rest) in ends.into_iter().filter_map(|at| path.split_at_checked(at)) {
            let found = origins.iter().find_map(|origin| self.identity.issuing(&format!("{origin}{root}")));
            if let Some(tenant) = found {
                return Some((tenant, rest));
            }
        }
        None
    }

    fn admit(&self, mut request: Request) -> Result<Request, StatusCode> {
        let named = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
        let host = named.or_else(|| request.uri().authority().map(|a| a.as_str())).unwrap_or_default();
        let find = |host: String| Some((self.find(&host, request.uri().path())?, host));
        let ((tenant, path), host) = self.hosts(host).into_iter().find_map(find).ok_or(StatusCode::NOT_FOUND)?;
        if self.issuers_port.is_some() {
            // Behind the door it is the host of the issuer, for all that compare it.
            let host = HeaderValue::try_from(host).map_err(|_| StatusCode::BAD_REQUEST)?;
            request.headers_mut().insert(header::HOST, host);
        }
        let target = match request.uri().query() {
            Some(query) => format!("{path}?{query}"),
            None => path,
        };
        let target = PathAndQuery::try_from(target).map_err(|_| StatusCode::BAD_REQUEST)?;
        let peer = self.peer.as_ref();
        let address = address(peer.map(|peer| peer.address), request.headers());
        let asked = Asked {
            tenant,
            address,
            address_text: address.to_string().into(),
            certificate: peer.and_then(|peer| peer.certificate.clone()),
            trace: trace(request.headers()),
            pool: Arc::clone(&self.pool),
        };
        *request.uri_mut() = Uri::from(target);
        request.extensions_mut().insert(asked);
        Ok(request)
    }
}

fn has_path(tenant: &Tenant) -> bool {
    Url::parse(tenant.issuer()).is_ok_and(|issuer| issuer.path().len() > 1)
}

/// The origin of a host as issuers write it: in small letters, without the default port.
fn origin(scheme: &str, host: &str) -> Option<String> {
    // What the parser would mend is another spelling, and no host.
    let plain = host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b));
    if !plain {
        return None;
    }
    let url = Url::parse(&format!("{scheme}://{host}")).ok()?;
    let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    (bare && url.has_host() && !host.ends_with('/')).then(|| url.as_str().trim_end_matches('/').to_owned())
}

/// The caller's address. What a proxy says is believed of one on this machine alone: its last word, which is its own.
fn address(peer: Option<IpAddr>, headers: &HeaderMap) -> IpAddr {
    let peer = peer.unwrap_or(IpAddr::from([0, 0, 0, 0]));
    let said = headers.get_all("x-forwarded-for").iter().next_back().and_then(|value| value.to_str().ok());
    let said = said.and_then(|list| list.rsplit(',').next()).and_then(|last| last.trim().parse().ok());
    said.filter(|_| peer.is_loopback()).unwrap_or(peer)
}

/// The trace of W3C Trace Context, when there is one, or a fresh id.
fn trace(headers: &HeaderMap) -> Arc<str> {
    let hex = |text: &&str| text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
    let parent = headers.get("traceparent").and_then(|value| value.to_str().ok());
    match parent.and_then(|text| text.split('-').nth(1)).filter(hex) {
        Some(trace) => trace.into(),
        None => String::from_utf8_lossy(&request_id()).into(),
    }
}

/// That browsers ask a host over TLS alone from now on, for a year (RFC 6797 6.1). Other names below it are not ours to bind.
const ONLY_TLS: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// Whether browsers may keep [`ONLY_TLS`] for the host of an issuer: one that is `https`, and not `localhost`, which is every
/// server's of the machine. Browsers keep nothing for addresses (8.1.1).
fn only_tls(issuer: &str) -> bool {
    let host = issuer.strip_prefix("https://").and_then(|rest| rest.split([':', '/']).next());
    host.is_some_and(|host| host != "localhost")
}

/// What every answer of an issuer has, unless the handler says otherwise.
const HEADERS: [(HeaderName, HeaderValue); 3] = [
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
];

impl tower::Service<Request> for Front {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let front = self.clone();
        Box::pin(async move {
            let mut response = match front.admit(request) {
                Ok(request) => {
                    let asked = request.extensions().get::<Asked>();
                    let only_tls = asked.is_some_and(|asked| only_tls(asked.tenant.issuer()));
                    let mut routes = front.routes;
                    let mut response = tower::Service::call(&mut routes, request).await?;
                    if only_tls {
                        response.headers_mut().insert(header::STRICT_TRANSPORT_SECURITY, ONLY_TLS);
                    }
                    response
                }
                Err(status) => status.into_response(),
            };
            for (name, value) in HEADERS {
                response.headers_mut().entry(name).or_insert(value);
            }
            Ok(response)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn browsers_keep_to_tls_where_the_host_is_the_issuers_own() {
        for (issuer, kept) in [
            ("https://id.example", true),
            ("https://id.example:8443/acme", true),
            ("https://localhost:8443/acme", false),
            ("https://localhost.example", true),
            ("http://id.example", false),
        ] {
            assert_eq!(only_tls(issuer), kept, "{issuer}");
        }
    }

    #[test]
    fn paths_hosts_and_addresses() {
        assert_eq!(origin("https", "ID.example:443").as_deref(), Some("https://id.example"));
        assert_eq!(origin("http", "127.0.0.1:9000").as_deref(), Some("http://127.0.0.1:9000"));
        assert_eq!(origin("http", "[::1]:80").as_deref(), Some("http://[::1]"));
        for bad in ["", "x y", "a/b", "a/", "u@a", "a?x", "a#x", "a\\", "a%2eb", "a\tb", "é"] {
            assert_eq!(origin("https", bad), None, "{bad}");
        }
        let mut headers = HeaderMap::new();
        headers.insert("x-forwarded-for", HeaderValue::from_static("198.51.100.1, 192.0.2.7"));
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        assert_eq!(address(Some(ip("127.0.0.1")), &headers), ip("192.0.2.7"));
        assert_eq!(address(Some(ip("203.0.113.1")), &headers), ip("203.0.113.1"));
        headers
            .insert("traceparent", HeaderValue::from_static("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"));
        assert_eq!(&*trace(&headers), "4bf92f3577b34da6a3ce929d0e0e4736");
    }

    proptest! {
        /// In place of a fuzz target, because the door is of the same file.
        #[test]
        fn any_head_names_one_origin_and_one_address(
            host in prop_oneof!["[a-zA-Z0-9.:@/\\[\\]%#?\\\\ \t-]{0,24}", "[a-z]{1,8}(%2e|%41|\\\\|\t)?[a-z]{0,8}\\.example[\\\\.]?", "[a-z]{1,8}\\.example(:[0-9]{1,6})?"],
            said in prop::collection::vec(prop_oneof!["[0-9a-f.:, ]{0,24}", "192\\.0\\.2\\.[0-9]{1,3}"], 0..3),
            traceparent in prop_oneof!["[0-9a-fA-F-]{0,60}", "00-[0-9a-f]{32}-[0-9a-f]{16}-01"],
            local in any::<bool>(),
        ) {
            if let Some(origin) = origin("https", &host) {
                let url = Url::parse(&origin).unwrap();
                prop_assert_eq!(url.origin().ascii_serialization(), origin);
                prop_assert!(host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b)), "{}", host);
            }
            let mut headers = HeaderMap::new();
            for said in &said {
                headers.append("x-forwarded-for", HeaderValue::from_str(said).unwrap());
            }
            headers.insert("traceparent", HeaderValue::from_str(&traceparent).unwrap());
            let peer: IpAddr = if local { "127.0.0.1" } else { "203.0.113.1" }.parse().unwrap();
            let found = address(Some(peer), &headers);
            let last = said.last().and_then(|list| list.rsplit(',').next()).map(str::trim);
            prop_assert!(found == peer || (local && last == Some(found.to_string().as_str())) || (local && found.is_ipv6()));
            let trace = trace(&headers);
            prop_assert!((20..=36).contains(&trace.len()) && trace.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'));
        }
    }
}
