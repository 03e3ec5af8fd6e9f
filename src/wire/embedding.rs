//! Asks an OpenAI-compatible endpoint for the vectors of texts.
//!
//! The endpoint is another machine and not trusted: its time, its answers and the calls to it are bounded, no redirect is
//! followed, no proxy of the environment is used, and nothing that it says is repeated, because it may repeat the key or the
//! texts. The key is in no message, no log line and no `Debug`.

use super::{Code, Problem};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use reqwest::{Client, StatusCode, Url, redirect, retry};
use serde::{Deserialize, Serialize};
use std::error::Error as _;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{Instant, sleep, timeout_at};

/// The longest text that is embedded, in bytes: more than any model reads.
pub const EMBEDDED_TEXT_BYTES_MAX: usize = 32 << 10;
/// The most texts of one request that are embedded.
pub const EMBEDDED_TEXTS_MAX: usize = 1_024;
/// The most texts of one call to the endpoint. Some take no more.
const TEXTS_PER_CALL_MAX: usize = 32;
/// The most calls at once; the others wait within their deadline.
const CALLS_MAX: usize = 8;
/// The most calls of one request at once, so that a large write leaves room for a question.
const CALLS_PER_REQUEST_MAX: usize = 4;
/// The most requests that wait for vectors; the next is refused.
const REQUESTS_MAX: usize = 256;
/// The largest answer that is read: 32 vectors of 4,096 numbers in full length fit twice.
const ANSWER_BYTES_MAX: usize = 8 << 20;
/// How often a call is repeated.
const RETRIES_MAX: u32 = 2;
/// The pause before the first repetition; the next is four times as long.
const PAUSE: Duration = Duration::from_millis(100);
/// How long a connection may take to be made.
const CONNECT_MAX: Duration = Duration::from_secs(3);
/// The longest key, in bytes.
pub const EMBEDDING_KEY_BYTES_MAX: usize = 4_096;

/// What the endpoint asks for before it answers. It never shows itself.
#[derive(Clone)]
pub struct EmbeddingKey(HeaderValue);

impl EmbeddingKey {
    /// A key as it stands in a file or a variable; blanks and line ends around it do not count.
    ///
    /// # Errors
    /// It is empty, too long, or not of visible ASCII.
    pub fn new(text: &str) -> Result<EmbeddingKey, EmbeddingStartError> {
        let key = text.trim();
        let fits = (1..=EMBEDDING_KEY_BYTES_MAX).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic());
        let value = HeaderValue::try_from(format!("Bearer {key}")).ok().filter(|_| fits);
        let mut value = value.ok_or(EmbeddingStartError::Key)?;
        value.set_sensitive(true);
        Ok(EmbeddingKey(value))
    }
}

impl fmt::Debug for EmbeddingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EmbeddingKey(hidden)")
    }
}

/// Where vectors of texts come from.
#[derive(Clone, Debug)]
pub struct EmbeddingSettings {
    /// The whole URL, as in `https://api.openai.com/v1/embeddings`.
    pub url: String,
    /// The model that is asked for.
    pub model: String,
    /// Sent as a bearer token.
    pub key: Option<EmbeddingKey>,
    /// How long all calls of one request may take together, repetitions included.
    pub timeout: Duration,
}

/// Why texts cannot be embedded from the start.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddingStartError {
    /// The key is none. It is not shown.
    #[error(
        "the key of the embedding endpoint is not 1 to {EMBEDDING_KEY_BYTES_MAX} visible ASCII characters on one line"
    )]
    Key,
    /// The URL is none. It is not shown: it may hold a secret.
    #[error("`embedding-url` is no http or https URL without a user, as in `https://api.openai.com/v1/embeddings`")]
    Url,
    /// No model.
    #[error("`embedding-url` is set and `embedding-model` is not; say which model makes the vectors")]
    Model,
    /// No bound of the time.
    #[error("`embedding-timeout` is 0s; say how long the endpoint may take, or it could hold requests for ever")]
    Timeout,
    /// No TLS.
    #[error("TLS for `embedding-url` cannot be prepared: {0}; are the system's CA certificates installed?")]
    Tls(String),
}

/// Why there are no vectors. Neither the key nor a text is part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EmbeddingError {
    /// Too many wait already.
    #[error("{REQUESTS_MAX} requests wait for embeddings already; try again later")]
    Busy,
    /// No answer in time.
    #[error("the embedding endpoint did not answer within {0:?}; try again later, or send fewer texts")]
    TimedOut(Duration),
    /// No connection, or one that broke.
    #[error("the embedding endpoint cannot be reached; try again later, the server's log says why")]
    Unreachable,
    /// It says that it cannot just now.
    #[error("the embedding endpoint answered with status {0}; try again later")]
    Unavailable(u16),
    /// It sends elsewhere.
    #[error("the embedding endpoint answered with the redirect {0}, which is not followed; correct `embedding-url`")]
    Redirect(u16),
    /// It does not want the request.
    #[error(
        "the embedding endpoint refused with status {0}; see that `embedding-url`, `embedding-model` and the key are right, \
         and that no text is longer than the model reads"
    )]
    Refused(u16),
    /// It says too much.
    #[error("the embedding endpoint's answer is larger than {ANSWER_BYTES_MAX} bytes; is `embedding-url` right?")]
    TooLarge,
    /// It says something else.
    #[error("the embedding endpoint's answer is not understood: {0}; is `embedding-url` right?")]
    Malformed(&'static str),
}

impl From<EmbeddingError> for Problem {
    fn from(error: EmbeddingError) -> Problem {
        use EmbeddingError as E;
        let code = match error {
            E::Busy => Code::ResourceExhausted,
            E::TimedOut(_) | E::Unreachable | E::Unavailable(_) => Code::EmbeddingUnavailable,
            E::Redirect(_) | E::Refused(_) | E::TooLarge | E::Malformed(_) => Code::EmbeddingFailed,
        };
        Problem::new(code, error.to_string())
    }
}

/// The client of the endpoint. A clone shares it.
#[derive(Clone)]
pub struct Embedder {
    inner: Arc<Inner>,
}

struct Inner {
    client: Client,
    url: Url,
    model: String,
    key: Option<EmbeddingKey>,
    timeout: Duration,
    calls: Semaphore,
    requests: Semaphore,
}

/// A call that failed.
struct Fault {
    error: EmbeddingError,
    /// How long the endpoint wants to be left alone, when it is worth another try.
    again: Option<Duration>,
    /// For the log; without the URL.
    why: String,
}

impl Fault {
    fn last(error: EmbeddingError) -> Fault {
        Fault { error, again: None, why: String::new() }
    }

    /// A connection could not be made, or broke.
    fn broken(error: reqwest::Error) -> Fault {
        let error = error.without_url();
        let (mut why, mut cause) = (error.to_string(), error.source());
        while let Some(error) = cause {
            why = format!("{why}: {error}");
            cause = error.source();
        }
        Fault { error: EmbeddingError::Unreachable, again: Some(Duration::ZERO), why }
    }

    /// An answer that is none.
    fn status(status: StatusCode, retry_after: Option<&HeaderValue>) -> Fault {
        let number = status.as_u16();
        if status.is_redirection() {
            return Fault::last(EmbeddingError::Redirect(number));
        }
        if status != StatusCode::TOO_MANY_REQUESTS && !status.is_server_error() {
            return Fault::last(EmbeddingError::Refused(number));
        }
        let seconds = retry_after.and_then(|value| value.to_str().ok()?.parse().ok()).unwrap_or(0);
        let again = Some(Duration::from_secs(seconds));
        Fault { error: EmbeddingError::Unavailable(number), again, why: String::new() }
    }
}

#[derive(Serialize)]
struct Ask<'a> {
    model: &'a str,
    input: &'a [String],
}

#[derive(Deserialize)]
struct Answered {
    data: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    /// Its text's place in the call.
    index: Option<usize>,
    embedding: Vec<f32>,
}

impl Embedder {
    /// Prepares the client; the endpoint is not asked yet.
    ///
    /// # Errors
    /// A setting is not usable.
    pub fn new(settings: EmbeddingSettings) -> Result<Embedder, EmbeddingStartError> {
        let EmbeddingSettings { url, model, key, timeout } = settings;
        let url = Url::parse(&url).map_err(|_| EmbeddingStartError::Url)?;
        let whole = url.has_host() && url.username().is_empty() && url.password().is_none();
        let secure = match url.scheme() {
            "https" if whole => true,
            "http" if whole => false,
            _ => return Err(EmbeddingStartError::Url),
        };
        if model.is_empty() {
            return Err(EmbeddingStartError::Model);
        }
        if timeout.is_zero() {
            return Err(EmbeddingStartError::Timeout);
        }
        // An error means that the program has chosen a provider already; that one is used.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .user_agent(concat!("bailiwick/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .referer(false)
            .no_proxy()
            .http1_only()
            .pool_max_idle_per_host(CALLS_MAX)
            .connect_timeout(CONNECT_MAX);
        // Without TLS the system's certificates need not be there.
        let client = if secure { client } else { client.tls_certs_only([]) };
        let client = client.build().map_err(|error| EmbeddingStartError::Tls(Fault::broken(error).why))?;
        if key.is_some() && !secure {
            tracing::warn!(
                "the key of the embedding endpoint is sent in the clear; use https unless the network is yours"
            );
        }
        let (calls, requests) = (Semaphore::new(CALLS_MAX), Semaphore::new(REQUESTS_MAX));
        Ok(Embedder { inner: Arc::new(Inner { client, url, model, key, timeout, calls, requests }) })
    }

    /// The model that makes the vectors.
    #[must_use]
    pub fn model(&self) -> &str {
        &self.inner.model
    }

    /// The vectors of all these texts, in their order, or none. `left` is how long the caller waits at most.
    ///
    /// # Errors
    /// The endpoint cannot, will not, or makes no sense; nothing of it is repeated.
    pub async fn embed(&self, texts: &[String], left: Option<Duration>) -> Result<Vec<Vec<f32>>, EmbeddingError> {
        let _place = self.inner.requests.try_acquire().map_err(|_| EmbeddingError::Busy)?;
        let timeout = left.map_or(self.inner.timeout, |left| left.min(self.inner.timeout));
        let deadline = Instant::now() + timeout;
        let answered = timeout_at(deadline, self.in_calls(texts, deadline)).await;
        let result = answered.unwrap_or_else(|_| Err(Fault::last(EmbeddingError::TimedOut(timeout))));
        result.map_err(|Fault { error, why, .. }| {
            let host = self.inner.url.host_str().unwrap_or_default();
            tracing::warn!(host, why, texts = texts.len(), "no embeddings: {error}");
            error
        })
    }

    async fn in_calls(&self, texts: &[String], deadline: Instant) -> Result<Vec<Vec<f32>>, Fault> {
        let mut calls = texts.chunks(TEXTS_PER_CALL_MAX).enumerate();
        let mut vectors = vec![Vec::new(); texts.len().div_ceil(TEXTS_PER_CALL_MAX)];
        // Dropped when one fails or the time is over: then the others end too.
        let mut running = JoinSet::new();
        loop {
            while running.len() < CALLS_PER_REQUEST_MAX
                && let Some((at, texts)) = calls.next()
            {
                let ask = Ask { model: &self.inner.model, input: texts };
                let body = serde_json::to_vec(&ask).map_err(|_| Fault::last(EmbeddingError::Unreachable))?;
                let (embedder, count) = (self.clone(), texts.len());
                running.spawn(async move { (at, embedder.call(body, count, deadline).await) });
            }
            let Some(ended) = running.join_next().await else { break };
            let (at, made) = ended.map_err(|_| Fault::last(EmbeddingError::Unreachable))?;
            if let Some(place) = vectors.get_mut(at) {
                *place = made?;
            }
        }
        Ok(vectors.into_iter().flatten().collect())
    }

    /// One call, repeated while that may help and there is time.
    async fn call(&self, body: Vec<u8>, count: usize, deadline: Instant) -> Result<Vec<Vec<f32>>, Fault> {
        // Held through the pauses too: an endpoint that is overloaded gets fewer calls.
        let _turn = self.inner.calls.acquire().await.map_err(|_| Fault::last(EmbeddingError::Busy))?;
        let body = axum::body::Bytes::from(body);
        let mut pause = PAUSE;
        let mut retries = 0;
        let answer = loop {
            let fault = match self.once(body.clone()).await {
                Ok(answer) => break answer,
                Err(fault) => fault,
            };
            let Some(wait) = fault.again.map(|wanted| wanted.max(pause)) else { return Err(fault) };
            if retries == RETRIES_MAX || wait >= deadline.saturating_duration_since(Instant::now()) {
                return Err(fault);
            }
            sleep(wait).await;
            retries += 1;
            pause *= 4;
        };
        // Numbers take long to read, and the threads here serve connections.
        let read = spawn_blocking(move || read(&answer, count)).await;
        read.unwrap_or(Err(EmbeddingError::Malformed("it cannot be read"))).map_err(Fault::last)
    }

    async fn once(&self, body: axum::body::Bytes) -> Result<Vec<u8>, Fault> {
        let Inner { client, url, key, .. } = &*self.inner;
        let mut request = client.post(url.clone()).body(body);
        request = request.header(CONTENT_TYPE, "application/json").header(ACCEPT, "application/json");
        if let Some(EmbeddingKey(key)) = key {
            request = request.header(AUTHORIZATION, key.clone());
        }
        let mut response = request.send().await.map_err(Fault::broken)?;
        if !response.status().is_success() {
            return Err(Fault::status(response.status(), response.headers().get(RETRY_AFTER)));
        }
        let mut answer = Vec::new();
        while let Some(part) = response.chunk().await.map_err(Fault::broken)? {
            if answer.len() + part.len() > ANSWER_BYTES_MAX {
                return Err(Fault::last(EmbeddingError::TooLarge));
            }
            answer.extend_from_slice(&part);
        }
        Ok(answer)
    }
}

/// The vectors in the order of their texts. What the endpoint said is not repeated.
fn read(answer: &[u8], count: usize) -> Result<Vec<Vec<f32>>, EmbeddingError> {
    let malformed = Err(EmbeddingError::Malformed("it is not `{\"data\":[{\"index\":0,\"embedding\":[..]}]}`"));
    let Ok(Answered { data }) = serde_json::from_slice(answer) else { return malformed };
    if data.len() != count {
        return Err(EmbeddingError::Malformed("it does not have one vector for each text"));
    }
    let mut vectors = vec![Vec::new(); count];
    for (position, Item { index, embedding }) in data.into_iter().enumerate() {
        if embedding.is_empty() {
            return Err(EmbeddingError::Malformed("a vector is empty"));
        }
        match vectors.get_mut(index.unwrap_or(position)) {
            Some(place) if place.is_empty() => *place = embedding,
            _ => return Err(EmbeddingError::Malformed("an index is that of no text, or occurs twice")),
        }
    }
    Ok(vectors)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn vectors_stand_in_the_order_of_their_texts() {
        let whole =
            r#"{"object":"list","data":[{"index":1,"embedding":[2]},{"index":0,"embedding":[1,0.5]}],"usage":{}}"#;
        assert_eq!(read(whole.as_bytes(), 2), Ok(vec![vec![1.0, 0.5], vec![2.0]]));
        let plain = r#"{"data":[{"embedding":[1]},{"embedding":[2]}]}"#;
        assert_eq!(read(plain.as_bytes(), 2), Ok(vec![vec![1.0], vec![2.0]]));
    }

    #[test]
    fn answers_that_make_no_sense_are_refused_and_not_repeated() {
        for (answer, count) in [
            ("", 1),
            ("sk-secret", 1),
            (r#"{"error":"sk-secret"}"#, 1),
            (r#"{"data":[]}"#, 1),
            (r#"{"data":[{"embedding":[1]}]}"#, 2),
            (r#"{"data":[{"embedding":[]}]}"#, 1),
            (r#"{"data":[{"embedding":"sk-secret"}]}"#, 1),
            (r#"{"data":[{"embedding":[1],"index":1}]}"#, 1),
            (r#"{"data":[{"embedding":[1],"index":0},{"embedding":[1],"index":0}]}"#, 2),
        ] {
            let error = read(answer.as_bytes(), count).unwrap_err();
            assert!(matches!(error, EmbeddingError::Malformed(_)), "{answer}");
            assert!(!error.to_string().contains("sk-secret"), "{error}");
        }
    }

    proptest! {
        /// In place of a fuzz target, because the client is of the same file.
        #[test]
        fn any_answer_is_a_vector_for_each_text_or_says_nothing(
            pieces in prop::collection::vec(prop::sample::select(&PIECES[..]), 0..12),
            bytes in prop::collection::vec(any::<u8>(), 0..60),
            count in 0..4_usize,
        ) {
            let items = pieces.concat();
            for answer in [items.as_bytes(), format!("{{\"data\":[{items}]}}").as_bytes(), &bytes] {
                match read(answer, count) {
                    Ok(vectors) => prop_assert!(vectors.len() == count && vectors.iter().all(|vector| !vector.is_empty())),
                    Err(error) => prop_assert!(!error.to_string().contains("sk-secret")),
                }
            }
        }
    }

    const PIECES: [&str; 12] = [
        "{\"embedding\":[1,2]}",
        "{\"embedding\":[]}",
        "{\"index\":0,\"embedding\":[1]}",
        "{\"index\":1,\"embedding\":[2]}",
        "{\"index\":99999999999999999999,\"embedding\":[2]}",
        ",",
        "\"sk-secret\"",
        "[",
        "]",
        "{\"data\":",
        "}",
        "1e400",
    ];

    #[test]
    fn a_key_is_one_word_and_never_shown() {
        let key = EmbeddingKey::new(" sk-secret\n").unwrap();
        assert_eq!((key.0.to_str().unwrap(), format!("{key:?}")), ("Bearer sk-secret", "EmbeddingKey(hidden)".into()));
        assert!(!format!("{:?}", key.0).contains("secret"));
        for bad in ["", " \n", "sk secret", "sk-secret\r\nx: y", "schlüssel", &"k".repeat(EMBEDDING_KEY_BYTES_MAX + 1)]
        {
            let error = EmbeddingKey::new(bad).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn settings_that_cannot_be_used_are_refused() {
        let settings = |url: &str, model: &str, seconds| EmbeddingSettings {
            url: url.to_owned(),
            model: model.to_owned(),
            key: None,
            timeout: Duration::from_secs(seconds),
        };
        let start = |url, model, seconds| Embedder::new(settings(url, model, seconds)).err().map(|e| e.to_string());
        assert_eq!(start("http://127.0.0.1:1/v1/embeddings", "m", 1), None);
        for url in ["", "127.0.0.1:1", "ftp://x/", "https://", "http://user:secret@x/", "http://user@x/"] {
            let error = start(url, "m", 1).unwrap_or_else(|| panic!("{url} was taken"));
            assert!(error.contains("embedding-url") && !error.contains("secret"), "{error}");
        }
        assert!(start("http://x/", "", 1).unwrap().contains("embedding-model"));
        assert!(start("http://x/", "m", 0).unwrap().contains("embedding-timeout"));
    }
}
