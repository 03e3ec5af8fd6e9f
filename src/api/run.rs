//! How a request is run, on either surface: its rules, how fresh its answer must be, where it runs and for how long, and
//! the line in the log.

use super::calls::{Answer, Asked, Called};
use super::validate::Wire;
use crate::engine::{Consistency, Engine, QuestionError};
use crate::tuple::Revision;
use crate::wire::{Bounds, Code, Deadlines, Embedder, Pool, Problem, Tokens, fresh_id, request_id};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::watch;

const AT_LEAST: HeaderName = HeaderName::from_static("bailiwick-at-least");
const EXACTLY: HeaderName = HeaderName::from_static("bailiwick-exactly");
const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
const TOKEN: HeaderName = HeaderName::from_static("bailiwick-consistency-token");
const TRUNCATED: HeaderName = HeaderName::from_static("bailiwick-truncated");
/// Names the model that answered; in the requests of AuthZEN the one that shall answer.
pub(super) const MODEL: HeaderName = HeaderName::from_static("openfga-authorization-model-id");
const STORE: HeaderName = HeaderName::from_static("openfga-store-id");
/// Names a request.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest name of a caller's own for a request that is logged, in bytes.
const CALLER_ID_BYTES_MAX: usize = 128;

/// How long a request waits for a revision that is ahead, when no other deadline bounds it.
const WAIT_MAX: Duration = Duration::from_secs(3);

/// The API on an engine. A clone shares it.
#[derive(Clone)]
pub struct Api {
    inner: Arc<Inner>,
}

struct Inner {
    engine: Engine,
    bounds: Bounds,
    tokens: Tokens,
    newest: watch::Receiver<Revision>,
    questions: Pool,
    writes: Pool,
    deadlines: Deadlines,
    embedder: Option<Embedder>,
    draining: AtomicBool,
}

/// Why the API could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The database could not say what tells it from others.
    #[error(transparent)]
    Database(#[from] QuestionError),
    /// The system gives no more threads.
    #[error("no threads: {0}")]
    Threads(#[from] std::io::Error),
}

/// Where a request runs.
#[derive(Clone, Copy)]
pub(super) enum Place {
    /// In place: it takes microseconds.
    Here,
    /// On the threads for questions, with a deadline of its own (zero: none).
    Questions(Duration),
    /// On the threads that wait for the disk.
    Writes,
}

/// One of the API's calls.
pub(super) type Call<Q, A> = fn(&Api, &Q, &Asked<'_>) -> Called<A>;

/// How far a request got by itself.
pub(super) enum Step<A> {
    /// It is answered.
    Done(Answer<A>),
    /// Vectors of these texts are needed; with them it can be answered.
    Embed(Vec<String>, Then<A>),
}

/// The rest of a request, given the vectors of its texts in their order.
pub(super) type Then<A> = Box<dyn FnOnce(&Api, &Asked<'_>, Vec<Vec<f32>>) -> Called<A> + Send>;

/// A call that may need vectors of texts.
pub(super) type StepCall<Q, A> = fn(&Api, &Q, &Asked<'_>) -> Result<Step<A>, Problem>;

/// What came of a request, and what names it.
pub(super) struct Reply<A> {
    pub(super) result: Called<A>,
    id: [u8; 36],
    /// What the caller calls it, where that counts.
    caller_id: Option<HeaderValue>,
    store: Option<HeaderValue>,
}

/// What the headers of a request ask for.
struct Wanted {
    consistency: Consistency,
    timeout: Option<Duration>,
}

/// A request on its way.
struct Turn {
    consistency: Consistency,
    /// The request timeout.
    configured: Option<Duration>,
    /// What the client says.
    of_client: Option<Duration>,
    began: Instant,
    /// How long it waited for others; the request timeout does not count that.
    paused: Duration,
}

fn shorter(a: Option<Duration>, b: Option<Duration>) -> Option<Duration> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

impl Turn {
    /// How long it may take when it waits for nobody.
    fn timeout(&self) -> Option<Duration> {
        shorter(self.configured, self.of_client)
    }

    /// How long it may still take; `own` is the bound of its kind.
    fn left(&self, own: Option<Duration>) -> Option<Duration> {
        let mine = self.began.elapsed().saturating_sub(self.paused);
        shorter(shorter(self.configured, own).map(|t| t.saturating_sub(mine)), self.left_of_client())
    }

    /// How long the client still waits.
    fn left_of_client(&self) -> Option<Duration> {
        self.of_client.map(|t| t.saturating_sub(self.began.elapsed()))
    }
}

/// Tells the work that nobody waits for its answer any more.
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Api {
    /// Serves an engine within bounds. Texts become vectors where there is an embedder.
    ///
    /// # Errors
    /// The store on disk failed, or there are no threads.
    pub fn new(engine: Engine, bounds: Bounds, embedder: Option<Embedder>) -> Result<Api, StartError> {
        let tokens = Tokens::new(engine.identity(fresh_id().0)?);
        let (published, newest) = watch::channel(engine.revision());
        engine.on_publish(move |revision| {
            published.send_replace(revision);
        });
        let questions = Pool::new("question", bounds.question_threads, bounds.question_queue_max)?;
        let writes = Pool::new("write", bounds.write_threads, bounds.write_queue_max)?;
        let deadlines = Deadlines::new(bounds.request_timeout)?;
        let draining = AtomicBool::new(false);
        let inner = Inner { engine, bounds, tokens, newest, questions, writes, deadlines, embedder, draining };
        Ok(Api { inner: Arc::new(inner) })
    }

    pub(super) fn engine(&self) -> &Engine {
        &self.inner.engine
    }

    /// The consistency token of a revision.
    pub fn token(&self, revision: Revision) -> String {
        self.inner.tokens.encode(revision)
    }

    pub(super) fn bounds(&self) -> &Bounds {
        &self.inner.bounds
    }

    /// From now on the server says that it wants no new work.
    pub fn drain(&self) {
        self.inner.draining.store(true, Ordering::Relaxed);
    }

    pub(super) fn draining(&self) -> bool {
        self.inner.draining.load(Ordering::Relaxed)
    }

    /// Runs a request.
    pub(super) async fn ask<Q: Wire, A: Send + 'static>(
        &self,
        headers: &HeaderMap,
        request: Q,
        place: Place,
        call: Call<Q, A>,
    ) -> Reply<A> {
        let began = Instant::now();
        let store = Some(request.store()).filter(|s| !s.is_empty()).and_then(|s| HeaderValue::from_str(s).ok());
        let caller_id = if Q::NAMED_BY_CALLER { headers.get(REQUEST_ID).cloned() } else { None };
        let result = self.run(headers, request, place, call).await;
        let reply = Reply { result, id: request_id(), caller_id, store };
        reply.log(Q::NAME, began);
        reply
    }

    /// Runs a request that may need vectors of its texts. Nobody's thread waits for the endpoint, and its time is not part of
    /// the request's own; that of the client is.
    pub(super) async fn ask_in_steps<Q: Wire, A: Send + 'static>(
        &self,
        headers: &HeaderMap,
        request: Q,
        place: Place,
        call: StepCall<Q, A>,
    ) -> Reply<A> {
        let began = Instant::now();
        let store = Some(request.store()).filter(|s| !s.is_empty()).and_then(|s| HeaderValue::from_str(s).ok());
        let result = self.run_in_steps(headers, request, place, call).await;
        let reply = Reply { result, id: request_id(), caller_id: None, store };
        reply.log(Q::NAME, began);
        reply
    }

    async fn run_in_steps<Q: Wire, A: Send + 'static>(
        &self,
        headers: &HeaderMap,
        request: Q,
        place: Place,
        call: StepCall<Q, A>,
    ) -> Called<A> {
        request.validate()?;
        let mut turn = self.turn(headers).await?;
        let first = self.work(&turn, place, move |api, asked| call(api, &request, asked)).await?;
        let (texts, then) = match first {
            Step::Done(answer) => return Ok(answer),
            Step::Embed(texts, then) => (texts, then),
        };
        let began = Instant::now();
        // That there is one is told before a text is asked about.
        let embedder = self.embedder().ok_or_else(|| Problem::new(Code::Internal, "Internal Server Error"))?;
        let vectors = embedder.embed(&texts, turn.left_of_client()).await?;
        drop(texts);
        turn.paused = began.elapsed();
        self.work(&turn, place, move |api, asked| then(api, asked, vectors)).await
    }

    /// The client of the endpoint that makes vectors of texts.
    pub(super) fn embedder(&self) -> Option<&Embedder> {
        self.inner.embedder.as_ref()
    }

    async fn run<Q: Wire, A: Send + 'static>(
        &self,
        headers: &HeaderMap,
        request: Q,
        place: Place,
        call: Call<Q, A>,
    ) -> Called<A> {
        request.validate()?;
        let turn = self.turn(headers).await?;
        if matches!(place, Place::Here) && turn.timeout() == turn.configured {
            let flag = self.inner.deadlines.begin();
            return call(self, &request, &Asked { consistency: turn.consistency, stop: Some(&flag) });
        }
        self.work(&turn, place, move |api, asked| call(api, &request, asked)).await
    }

    /// Begins a request: what its headers ask for.
    async fn turn(&self, headers: &HeaderMap) -> Result<Turn, Problem> {
        let Wanted { consistency, timeout: of_client } = self.wanted(headers)?;
        let configured = Some(self.inner.bounds.request_timeout).filter(|t| !t.is_zero());
        let turn = Turn { consistency, configured, of_client, began: Instant::now(), paused: Duration::ZERO };
        self.caught_up(consistency, turn.timeout()).await?;
        Ok(turn)
    }

    /// Has work done on the threads of a pool, within the time that is left.
    async fn work<T: Send + 'static>(
        &self,
        turn: &Turn,
        place: Place,
        work: impl FnOnce(&Api, &Asked<'_>) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let (pool, own) = match place {
            Place::Here => (&self.inner.questions, None),
            Place::Questions(own) => (&self.inner.questions, Some(own).filter(|o| !o.is_zero())),
            Place::Writes => (&self.inner.writes, None),
        };
        let stop = StopOnDrop(Arc::default());
        let (api, flag, consistency) = (self.clone(), Arc::clone(&stop.0), turn.consistency);
        let work = move || {
            if flag.load(Ordering::Relaxed) {
                return Err(QuestionError::Stopped.into()); // nobody waits any more
            }
            work(&api, &Asked { consistency, stop: Some(&flag) })
        };
        let full = |_| Problem::new(Code::ResourceExhausted, "too many requests are waiting; try again later");
        let answer = pool.run(work).map_err(full)?;
        let answered = match turn.left(own) {
            None => answer.await,
            Some(left) => match tokio::time::timeout(left, answer).await {
                Ok(answered) => answered,
                Err(_) => return Err(QuestionError::Stopped.into()),
            },
        };
        answered.unwrap_or_else(|_| Err(Problem::new(Code::Internal, "Internal Server Error")))
    }

    fn wanted(&self, headers: &HeaderMap) -> Result<Wanted, Problem> {
        let read = |name: &HeaderName| {
            let Some(value) = headers.get(name) else { return Ok(None) };
            let decoded = self.inner.tokens.decode(value.to_str().unwrap_or_default());
            decoded.map(Some).map_err(|why| Problem::new(Code::Validation, format!("`{name}` {why}")))
        };
        let consistency = match (read(&EXACTLY)?, read(&AT_LEAST)?) {
            (Some(exactly), Some(at_least)) if exactly < at_least => {
                let text = "`bailiwick-exactly` names an older revision than `bailiwick-at-least`; send one of them";
                return Err(Problem::new(Code::Validation, text));
            }
            (Some(exactly), _) => Consistency::Exact(exactly),
            (None, Some(at_least)) => Consistency::AtLeast(at_least),
            (None, None) => Consistency::Latest,
        };
        let timeout = headers.get(&GRPC_TIMEOUT).and_then(|v| v.to_str().ok()).and_then(grpc_timeout);
        Ok(Wanted { consistency, timeout })
    }

    /// Waits for a revision that is ahead.
    async fn caught_up(&self, consistency: Consistency, timeout: Option<Duration>) -> Result<(), Problem> {
        let (Consistency::AtLeast(asked) | Consistency::Exact(asked)) = consistency else { return Ok(()) };
        if asked <= self.inner.engine.revision() {
            return Ok(());
        }
        let mut newest = self.inner.newest.clone();
        let reached = newest.wait_for(|revision| *revision >= asked);
        if let Ok(Ok(_)) = tokio::time::timeout(timeout.unwrap_or(WAIT_MAX), reached).await {
            return Ok(());
        }
        let newest = self.inner.engine.revision();
        let text = format!("revision {} has not come in time; this database is at {}", asked.0, newest.0);
        Err(Problem::new(Code::Deadline, text).at(newest, None))
    }
}

/// The duration in a `grpc-timeout` header: digits and a unit.
fn grpc_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let count: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(count.checked_mul(3_600)?),
        "M" => Duration::from_secs(count.checked_mul(60)?),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    })
}

impl<A> Reply<A> {
    /// Puts what the answer says beside its message into headers.
    pub(super) fn decorate(&self, api: &Api, headers: &mut HeaderMap) {
        let mut set = |name: HeaderName, value: &[u8]| {
            if let Ok(value) = HeaderValue::from_bytes(value) {
                headers.insert(name, value);
            }
        };
        set(REQUEST_ID, &self.id);
        let (revision, model) = match &self.result {
            Ok(answer) => (Some(answer.revision), answer.model),
            Err(problem) => (problem.revision, problem.model),
        };
        if let Some(revision) = revision {
            set(TOKEN, api.token(revision).as_bytes());
        }
        if let Some(model) = model {
            let mut text = [0; ulid::ULID_LEN];
            set(MODEL, model.0.array_to_str(&mut text).as_bytes());
        }
        if self.result.as_ref().is_ok_and(|answer| answer.truncated) {
            set(TRUNCATED, b"true");
        }
        if let Some(store) = &self.store {
            headers.insert(STORE, store.clone());
        }
    }

    /// One line: answers at the level `debug`, refusals at `info`, our own failures at `error`.
    fn log(&self, request: &str, began: Instant) {
        let (problem, level) = match &self.result {
            Ok(_) => (None, tracing::Level::DEBUG),
            Err(problem) if matches!(problem.code, Code::Internal) => (Some(problem), tracing::Level::ERROR),
            Err(problem) => (Some(problem), tracing::Level::INFO),
        };
        let caller_id = self.caller_id.as_ref().and_then(|id| id.to_str().ok());
        let caller_id = caller_id.map(|id| id.get(..CALLER_ID_BYTES_MAX).unwrap_or(id));
        macro_rules! line {
            ($level:ident) => {
                tracing::event!(
                    tracing::Level::$level,
                    request_id = std::str::from_utf8(&self.id).unwrap_or_default(),
                    caller_id,
                    method = request.strip_suffix("Request").unwrap_or(request),
                    store_id = self.store.as_ref().and_then(|s| s.to_str().ok()).unwrap_or_default(),
                    model_id = self.model().map(tracing::field::display),
                    code = problem.map_or("ok", |p| p.text()),
                    duration_us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX),
                    "request"
                )
            };
        }
        if level == tracing::Level::DEBUG {
            line!(DEBUG);
        } else if level == tracing::Level::INFO {
            line!(INFO);
        } else {
            line!(ERROR);
        }
    }

    fn model(&self) -> Option<crate::tuple::ModelId> {
        match &self.result {
            Ok(answer) => answer.model,
            Err(problem) => problem.model,
        }
    }
}

impl<T> Answer<T> {
    /// The same answer with another message.
    pub(super) fn map<U>(self, to: impl FnOnce(T) -> U) -> Answer<U> {
        let Answer { message, revision, model, truncated } = self;
        Answer { message: to(message), revision, model, truncated }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_of_clients() {
        assert_eq!(grpc_timeout("250m"), Some(Duration::from_millis(250)));
        assert_eq!(grpc_timeout("2S"), Some(Duration::from_secs(2)));
        for bad in ["", "m", "2", "2x", "-1S", "99999999999999999999S", "ä"] {
            assert_eq!(grpc_timeout(bad), None, "{bad}");
        }
    }
}
