//! What is asked, and heard: all of it through the one client of other people's servers, within bounds.

use super::fault::{ClientError, shown};
use crate::modules::mcp::sse::{EVENT_BYTES_MAX, Splitter, SseEvent};
use crate::wire::{Outgoing, OutgoingAnswer, OutgoingError, OutgoingRequest, Redirects};
use axum::body::Body;
use http::header::{ACCEPT, CONTENT_TYPE, LOCATION};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use std::time::Duration;
use url::Url;
use zeroize::Zeroizing;

/// Most bytes of an answer about metadata, clients or tokens.
pub const DOCUMENT_BYTES_MAX: u64 = 256 << 10;
/// Most bytes of a message of an MCP server.
pub const MESSAGE_BYTES_MAX: u64 = 4 << 20;
/// How long a message may take, all its events included.
pub const MESSAGE_TIMEOUT: Duration = Duration::from_secs(60);
/// Most redirects that are followed in place of a browser.
pub const REDIRECTS_MAX: usize = 10;

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Heard {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
}

impl Heard {
    /// The value of a header, where it is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// Headers to be sent: names and values, of which some are secret.
pub type Sent = Vec<(&'static str, Zeroizing<String>)>;

fn put(headers: &mut HeaderMap, sent: &[(impl AsRef<str>, Zeroizing<String>)]) -> Result<(), ClientError> {
    for (name, value) in sent {
        let wrong = || ClientError::Wrong(format!("`{}` cannot be sent as a header", shown(name.as_ref())));
        let name = HeaderName::from_bytes(name.as_ref().as_bytes()).map_err(|_| wrong())?;
        let mut value = HeaderValue::from_str(value).map_err(|_| wrong())?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    Ok(())
}

fn asked(what: &str) -> impl Fn(OutgoingError) -> ClientError + '_ {
    move |error| ClientError::Asked { what: what.to_owned(), error }
}

async fn whole(outgoing: &Outgoing, what: &str, request: OutgoingRequest) -> Result<Heard, ClientError> {
    let answer = outgoing.fetch(request).await.map_err(asked(what))?;
    Ok(Heard { status: answer.status.as_u16(), headers: answer.headers, body: answer.body })
}

/// Asks for a document.
///
/// # Errors
/// There is no answer.
pub async fn get(outgoing: &Outgoing, what: &str, url: &Url) -> Result<Heard, ClientError> {
    let mut request = OutgoingRequest::new(Method::GET, url.clone());
    request.answer_bytes_max = DOCUMENT_BYTES_MAX;
    request.headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    whole(outgoing, what, request).await
}

/// Sends a body of a kind, and waits for a small answer.
///
/// # Errors
/// There is no answer.
pub async fn post(
    outgoing: &Outgoing,
    what: &str,
    (url, kind): (&Url, &'static str),
    sent: &[(&'static str, Zeroizing<String>)],
    body: Zeroizing<String>,
) -> Result<Heard, ClientError> {
    let mut request = OutgoingRequest::new(Method::POST, url.clone());
    request.answer_bytes_max = DOCUMENT_BYTES_MAX;
    request.headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    request.headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    put(&mut request.headers, sent)?;
    request.body = Body::from(body.as_bytes().to_vec());
    whole(outgoing, what, request).await
}

/// What an MCP server answers, whose body may be a stream.
pub struct Answering {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    answer: OutgoingAnswer,
    splitter: Splitter,
    what: &'static str,
}

const SERVER: &str = "the MCP server";

/// Sends a message to an MCP server; without one it asks for a stream.
///
/// # Errors
/// There is no answer.
pub async fn message(
    outgoing: &Outgoing,
    url: &Url,
    sent: &[(String, Zeroizing<String>)],
    body: Option<String>,
) -> Result<Answering, ClientError> {
    let method = if body.is_some() { Method::POST } else { Method::GET };
    let mut request = OutgoingRequest::new(method, url.clone());
    request.answer_bytes_max = MESSAGE_BYTES_MAX;
    request.timeout = MESSAGE_TIMEOUT;
    let accept = if body.is_some() { "application/json, text/event-stream" } else { "text/event-stream" };
    request.headers.insert(ACCEPT, HeaderValue::from_static(accept));
    put(&mut request.headers, sent)?;
    if let Some(body) = body {
        request.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        request.body = Body::from(body);
    }
    let mut answer = outgoing.send(request).await.map_err(asked(SERVER))?;
    let (status, headers) = (answer.status.as_u16(), std::mem::take(&mut answer.headers));
    Ok(Answering { status, headers, answer, splitter: Splitter::default(), what: SERVER })
}

/// Ends a session at an MCP server. Whether it can be is the server's own affair.
pub async fn leave(outgoing: &Outgoing, url: &Url, sent: &[(String, Zeroizing<String>)]) {
    let mut request = OutgoingRequest::new(Method::DELETE, url.clone());
    if put(&mut request.headers, sent).is_ok() {
        let _ = outgoing.fetch(request).await; // nothing hangs on it
    }
}

impl Answering {
    /// Whether events come.
    #[must_use]
    pub fn is_stream(&self) -> bool {
        let kind = self.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        kind.trim_start().to_ascii_lowercase().starts_with("text/event-stream")
    }

    /// All of it.
    ///
    /// # Errors
    /// It breaks off or a bound.
    pub async fn whole(mut self) -> Result<Heard, ClientError> {
        let mut body = Vec::new();
        while let Some(chunk) = self.answer.chunk().await.map_err(asked(self.what))? {
            body.extend_from_slice(&chunk);
        }
        Ok(Heard { status: self.status, headers: self.headers, body })
    }

    /// The next event; none when the stream is over.
    ///
    /// # Errors
    /// It breaks off or a bound.
    pub(in crate::modules::mcp) async fn event(&mut self) -> Result<Option<SseEvent>, ClientError> {
        loop {
            let bad = |_| {
                ClientError::malformed(
                    "the stream",
                    format!("an event is no text or has more than {EVENT_BYTES_MAX} bytes"),
                )
            };
            if let Some(event) = self.splitter.next().map_err(bad)? {
                return Ok(Some(event));
            }
            let Some(chunk) = self.answer.chunk().await.map_err(asked(self.what))? else { return Ok(None) };
            self.splitter.feed(&chunk);
        }
    }
}

/// Goes where a browser would be sent, until it is sent to `back`.
///
/// # Errors
/// There is a page, or no end.
pub async fn follow(outgoing: &Outgoing, url: &Url, back: &Url) -> Result<Url, ClientError> {
    const WHAT: &str = "the authorization endpoint";
    let mut at = url.clone();
    for _ in 0..REDIRECTS_MAX {
        let mut request = OutgoingRequest::new(Method::GET, at.clone());
        request.answer_bytes_max = DOCUMENT_BYTES_MAX;
        request.redirects = Redirects::Pass;
        let answer = outgoing.send(request).await.map_err(asked(WHAT))?;
        let to =
            answer.headers.get(LOCATION).and_then(|to| to.to_str().ok()).filter(|_| answer.status.is_redirection());
        let Some(to) = to else {
            if answer.status.is_success() {
                return Err(ClientError::Page { host: at.host_str().unwrap_or_default().to_owned() });
            }
            return Err(ClientError::Status { what: WHAT.into(), status: answer.status.as_u16(), said: String::new() });
        };
        at = at.join(to).map_err(|_| ClientError::malformed(WHAT, "it sends the browser to what is no URL"))?;
        let mut bare = at.clone();
        bare.set_query(None);
        bare.set_fragment(None);
        if bare == *back {
            return Ok(at);
        }
    }
    Err(ClientError::malformed(WHAT, format!("it sends the browser on {REDIRECTS_MAX} times")))
}

/// Waits.
pub async fn pause(time: Duration) {
    tokio::time::sleep(time).await;
}
