//! HTTP as the people and programs of the story speak it: one request a connection, and all that goes over it is kept, so
//! that it can be searched for secrets at the end.

use crate::cli::Failure;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use url::Url;

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The largest answer.
const ANSWER_BYTES_MAX: u64 = 16 << 20;

/// What everybody sent and received, by who it was.
#[derive(Clone, Default)]
pub(super) struct Tape(Arc<Mutex<BTreeMap<&'static str, Vec<u8>>>>);

impl Tape {
    /// Keeps what somebody sent or received.
    pub(super) fn keep(&self, who: &'static str, bytes: &[u8]) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of = all.entry(who).or_default();
        of.extend_from_slice(bytes);
        of.push(b'\n');
    }

    /// All that each sent and received.
    pub(super) fn all(&self) -> BTreeMap<&'static str, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Somebody who speaks HTTP.
#[derive(Clone)]
pub(super) struct Web {
    who: &'static str,
    tape: Tape,
}

/// A request.
#[derive(Clone, Default)]
pub(super) struct Ask {
    method: &'static str,
    url: String,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

impl Ask {
    pub(super) fn get(url: impl Into<String>) -> Ask {
        Ask { method: "GET", url: url.into(), ..Ask::default() }
    }

    /// A form.
    pub(super) fn form<N: AsRef<str>, V: AsRef<str>>(
        url: impl Into<String>,
        pairs: impl IntoIterator<Item = (N, V)>,
    ) -> Ask {
        let mut body = url::form_urlencoded::Serializer::new(String::new());
        body.extend_pairs(pairs);
        let ask = Ask { method: "POST", url: url.into(), body: body.finish().into_bytes(), ..Ask::default() };
        ask.with("content-type", "application/x-www-form-urlencoded")
    }

    /// JSON.
    pub(super) fn json(method: &'static str, url: impl Into<String>, body: &Value) -> Ask {
        let ask = Ask { method, url: url.into(), body: body.to_string().into_bytes(), ..Ask::default() };
        ask.with("content-type", "application/json")
    }

    /// Bytes of some media type.
    pub(super) fn bytes(method: &'static str, url: impl Into<String>, media: &str, body: Vec<u8>) -> Ask {
        Ask { method, url: url.into(), body, ..Ask::default() }.with("content-type", media)
    }

    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Ask {
        self.headers.push((name, value.into()));
        self
    }

    /// The same with another JSON body.
    pub(super) fn with_body(self, body: &Value) -> Ask {
        Ask { body: body.to_string().into_bytes(), ..self }
    }

    pub(super) fn bearer(self, token: &str) -> Ask {
        self.with("authorization", format!("Bearer {token}"))
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }
}

/// An answer.
#[derive(Clone, Debug)]
pub(super) struct Heard {
    pub(super) status: u16,
    headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Heard {
    pub(super) fn headers<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.headers.iter().filter(move |(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub(super) fn header(&self, name: &str) -> Option<String> {
        self.headers(name).next().map(str::to_owned)
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The JSON of the body; nothing when it is none.
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

impl Web {
    pub(super) fn new(who: &'static str, tape: &Tape) -> Web {
        Web { who, tape: tape.clone() }
    }

    /// Sends a request and reads its answer.
    pub(super) fn send(&self, ask: &Ask) -> Result<Heard, Failure> {
        let failed = |why: &str| Failure::Said(format!("{} {}: {why}", ask.method, ask.url));
        let url = Url::parse(&ask.url).map_err(|error| failed(&error.to_string()))?;
        let host =
            url.host_str().filter(|_| url.scheme() == "http").ok_or_else(|| failed("only http is spoken here"))?;
        let port = url.port_or_known_default().unwrap_or(80);
        let path = url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()));
        let mut head = format!("{} {path} HTTP/1.1\r\nhost: {host}:{port}\r\nconnection: close\r\n", ask.method);
        for (name, value) in &ask.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&format!("content-length: {}\r\n\r\n", ask.body.len()));
        let sent = [head.as_bytes(), &ask.body].concat();
        self.tape.keep(self.who, &sent);
        let answer = exchange((host, port), &sent).map_err(|error| failed(&error.to_string()))?;
        self.tape.keep(self.who, &answer);
        let heard = read(&answer).ok_or_else(|| failed("the answer is no HTTP"))?;
        // A secret that is split over chunks is found in the whole.
        self.tape.keep(self.who, &heard.body);
        Ok(heard)
    }
}

fn exchange(to: (&str, u16), sent: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(to)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.write_all(sent)?;
    let mut answer = Vec::new();
    let read = stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
    if u64::try_from(read).is_ok_and(|read| read == ANSWER_BYTES_MAX) {
        return Err(std::io::Error::other("the answer is too large"));
    }
    Ok(answer)
}

/// An answer in its parts. The body of a connection that was closed is all that came, in chunks or not.
fn read(answer: &[u8]) -> Option<Heard> {
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n")?;
    let (head, rest) = answer.split_at_checked(end + 4)?;
    let mut lines = std::str::from_utf8(head).ok()?.lines();
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let pairs = lines.filter_map(|line| line.split_once(':'));
    let headers: Vec<(String, String)> =
        pairs.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect();
    let chunked =
        headers.iter().any(|(name, value)| name.eq_ignore_ascii_case("transfer-encoding") && value == "chunked");
    let body = if chunked { joined(rest)? } else { rest.to_vec() };
    Some(Heard { status, headers, body })
}

/// The chunks of a body, put together (RFC 9112 7.1). Nothing when the last is missing: the answer was cut off.
fn joined(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|bytes| bytes == b"\r\n")?;
        let size = std::str::from_utf8(rest.get(..end)?).ok()?.split(';').next()?.trim();
        let size = usize::from_str_radix(size, 16).ok()?;
        rest = rest.get(end + 2..)?;
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(rest.get(..size)?);
        rest = rest.get(size + 2..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_put_together_and_what_was_cut_off_is_no_answer() {
        let heard =
            read(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nA: b\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n");
        let heard = heard.unwrap();
        assert_eq!((heard.status, heard.text().as_str(), heard.header("a").as_deref()), (200, "abcde", Some("b")));
        assert!(read(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n").is_none());
        assert_eq!(read(b"HTTP/1.1 404 Not Found\r\n\r\nno").unwrap().text(), "no");
        assert!(read(b"hello").is_none());
    }
}
