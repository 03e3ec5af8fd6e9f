//! The way of a body through the filter to whoever reads it.

use super::super::proxy::{CALLER_GONE, CALLER_SLOW, Ended, Told};
use crate::identity::{ErrorCode, Refusal};
use crate::secrets::{EventRedactor, Filter, Redactor, Report};
use crate::wire::{OutgoingAnswer, OutgoingError};
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use http_body_util::BodyExt as _;
use std::time::Duration;
use tokio::sync::mpsc::{self, error::SendTimeoutError};
use tokio_stream::wrappers::ReceiverStream;

/// How long the next bytes of an agent's own output may take to come, and to be taken.
pub(super) const FILTERED_TIMEOUT: Duration = Duration::from_secs(60);
/// Chunks on their way to a caller.
const CHUNKS_MAX: usize = 8;

/// Whether a body is in an encoding in which the filter would find nothing: compressed, or of letters that are not bytes of
/// ASCII.
pub(super) fn encoded(headers: &HeaderMap) -> bool {
    const LIKE_ASCII: [&str; 12] = [
        "utf-8",
        "utf8",
        "us-ascii",
        "ascii",
        "iso-8859-",
        "windows-125",
        "latin",
        "shift_jis",
        "euc-",
        "gb",
        "big5",
        "koi8",
    ];
    let identity = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"identity");
    let kind =
        headers.get(header::CONTENT_TYPE).map(|value| String::from_utf8_lossy(value.as_bytes()).to_ascii_lowercase());
    let charset =
        kind.as_deref().and_then(|kind| kind.split_once("charset=")).map(|(_, name)| name.trim_start_matches('"'));
    headers.get_all(header::CONTENT_ENCODING).iter().any(|value| !identity(value))
        || charset.is_some_and(|name| !LIKE_ASCII.iter().any(|known| name.starts_with(known)))
}

/// Why the other side did not answer, as the caller may know it. Its status tells it from refusals of the caller.
pub(super) fn unanswered(error: &OutgoingError) -> Refusal {
    use OutgoingError as E;
    let (code, rule, text) = match error {
        E::Sent { .. } => (ErrorCode::InvalidRequest, "proxy.body", "the body is larger than this connection allows"),
        E::Address { .. } | E::Plain { .. } | E::Url(_) => (
            ErrorCode::AccessDenied,
            "upstream.address",
            "the address of the other side is one that is not connected to from here",
        ),
        E::TimedOut { .. } => {
            (ErrorCode::TemporarilyUnavailable, "upstream.time", "the other side did not answer in time")
        }
        E::Large { .. } | E::Headers { .. } => (
            ErrorCode::TemporarilyUnavailable,
            "upstream.large",
            "the answer of the other side is larger than this connection allows",
        ),
        E::Unresolved { .. } | E::Unreachable { .. } | E::Redirect { .. } => {
            (ErrorCode::TemporarilyUnavailable, "upstream.unreachable", "the other side cannot be reached")
        }
    };
    Refusal::new(code, rule, text).because(error.to_string())
}

/// A body's way through the filter.
#[expect(clippy::large_enum_variant, reason = "there is one at a time")]
pub(super) enum Pass {
    Bytes(Redactor),
    Events(Box<EventRedactor>),
}

impl Pass {
    pub(super) fn of(filter: &Filter, headers: &HeaderMap) -> Pass {
        let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("text/plain");
        let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if kind == "text/event-stream" {
            return Pass::Events(Box::new(filter.events()));
        }
        let text = kind.starts_with("text/")
            || ["json", "xml", "yaml", "javascript", "x-www-form-urlencoded", "graphql", "x-ndjson"]
                .iter()
                .any(|word| kind.ends_with(word));
        Pass::Bytes(if text { filter.stream() } else { filter.without_shapes().stream() })
    }

    fn push(&mut self, chunk: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(chunk.len());
        match self {
            Pass::Bytes(redactor) => redactor.push(chunk, &mut out),
            Pass::Events(redactor) => redactor.push(chunk, &mut out),
        }
        out
    }

    fn finish(self) -> (Vec<u8>, Report) {
        let mut out = Vec::new();
        let report = match self {
            Pass::Bytes(redactor) => redactor.finish(&mut out),
            Pass::Events(redactor) => redactor.finish(&mut out),
        };
        (out, report)
    }
}

/// Where a body comes from.
pub(super) enum Source {
    Upstream(Box<OutgoingAnswer>),
    Caller(http_body_util::Limited<Body>),
}

impl Source {
    /// The next bytes; why there are none, in a word.
    async fn next(&mut self) -> Result<Option<Bytes>, &'static str> {
        match self {
            Source::Upstream(answer) => answer.chunk().await.map_err(|error| unanswered(&error).rule),
            Source::Caller(body) => loop {
                match tokio::time::timeout(FILTERED_TIMEOUT, body.frame()).await {
                    Ok(None) => return Ok(None),
                    Err(_) | Ok(Some(Err(_))) => return Err("filter.body"),
                    Ok(Some(Ok(frame))) => {
                        if let Ok(bytes) = frame.into_data() {
                            return Ok(Some(bytes));
                        }
                    }
                }
            },
        }
    }
}

/// A body that passes the filter as it comes. When it is over, its reader gone, or nothing of it taken for a time, its source
/// is let go and its end is written down.
pub(super) fn streamed(
    source: Source,
    mut pass: Pass,
    told: Told,
    (status, mut removed): (StatusCode, Report),
    stalled_max: Duration,
) -> Body {
    let (to, from) = mpsc::channel::<Result<Bytes, std::io::Error>>(CHUNKS_MAX + 1);
    // The last place is kept for the end, which goes out whatever waits before it.
    let last = to.clone().try_reserve_owned().ok();
    tokio::spawn(async move {
        let (bytes, failure) = passed(source, &mut pass, &to, stalled_max).await;
        let (out, found) = pass.finish();
        removed.add(&found);
        // First the event is under way, then the last byte goes out.
        let failed = failure.map(str::to_owned);
        told.end(Ended { status: Some(status.as_u16()), bytes, failure: failed, removed }).await;
        let end = match failure {
            // Nobody may take a part for the whole.
            Some(why) => Some(Err(std::io::Error::other(why))),
            None if out.is_empty() => None,
            None => Some(Ok(out.into())),
        };
        if let Some((last, end)) = last.zip(end) {
            last.send(end);
        }
    });
    Body::from_stream(ReceiverStream::new(from))
}

/// Passes on what comes. Answers how many bytes came, and why not all did.
async fn passed(
    mut source: Source,
    pass: &mut Pass,
    to: &mpsc::Sender<Result<Bytes, std::io::Error>>,
    stalled_max: Duration,
) -> (u64, Option<&'static str>) {
    let mut bytes = 0;
    loop {
        let chunk = tokio::select! {
            chunk = source.next() => chunk,
            () = to.closed() => return (bytes, Some(CALLER_GONE)),
        };
        let chunk = match chunk {
            Ok(Some(chunk)) => chunk,
            Ok(None) => return (bytes, None),
            Err(why) => return (bytes, Some(why)),
        };
        bytes += chunk.len() as u64;
        let out = pass.push(&chunk);
        if out.is_empty() {
            continue;
        }
        match to.send_timeout(Ok(out.into()), stalled_max).await {
            Ok(()) => {}
            Err(SendTimeoutError::Timeout(_)) => return (bytes, Some(CALLER_SLOW)),
            Err(SendTimeoutError::Closed(_)) => return (bytes, Some(CALLER_GONE)),
        }
    }
}
