//! The pages over HTTP: a request becomes a [`Call`], a [`Reply`] a response. No rule is here.
//!
//! Work waits for the disk, and is done on the pool of the door. A password takes a tenth of a second and much memory, and
//! another's server may take long: each of those has a pool of its own, with a queue that ends.

use super::{Call, House, Login, LoginSettings, Outside, Reply, Weight};
use crate::identity::{Answer, Env, ErrorCode, Refusal, Tenant};
use crate::wire::{self, Asked, Outgoing, OutgoingRequest, Pool};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use serde_json::Value;
use std::hash::RandomState;
use std::sync::Arc;
use url::Url;

/// Threads that check passwords: the memory that they take is this times the cost.
const HASH_THREADS: usize = 2;
/// Most passwords that wait for one of them.
const HASH_QUEUE_MAX: usize = 64;
/// Threads that ask other providers.
const WAIT_THREADS: usize = 4;
/// Most sign-ins that wait for one of them.
const WAIT_QUEUE_MAX: usize = 64;
/// Largest answer of a provider.
const PROVIDER_ANSWER_BYTES_MAX: u64 = 256 << 10;
/// When to come again after the queue was full, in seconds.
const BUSY_SECONDS: u32 = 5;

struct Served {
    login: Login,
    hashing: Pool,
    waiting: Pool,
}

/// The pages, which are the same for every tenant. Other providers are asked through the client.
///
/// # Errors
/// The system gives no more threads.
pub fn routes(settings: LoginSettings, outgoing: Outgoing, house: House) -> std::io::Result<Router> {
    let hashing = Pool::new("passwords", HASH_THREADS, HASH_QUEUE_MAX)?;
    let waiting = Pool::new("providers", WAIT_THREADS, WAIT_QUEUE_MAX)?;
    let login = Login::new(settings, Arc::new(Providers(outgoing)), RandomState::new()).with_house(house);
    let served = Arc::new(Served { login, hashing, waiting });
    let mut router = Router::new();
    for path in ["/login", "/login/{*rest}", "/account", "/account/{*rest}", "/logout", "/invite"] {
        router = router.route(path, any(answer));
    }
    Ok(router.with_state(served))
}

async fn answer(State(served): State<Arc<Served>>, asked: Asked, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let post = match parts.method {
        Method::GET | Method::HEAD => false,
        Method::POST => true,
        _ => return StatusCode::METHOD_NOT_ALLOWED.into_response(),
    };
    let body = match wire::read_body(body).await {
        Ok(body) => body,
        Err(refusal) => return refusal.into_response(),
    };
    // HTTP/2 may bring cookies one by one (RFC 9113, 8.2.3).
    let cookies: Vec<&str> = parts.headers.get_all(header::COOKIE).iter().filter_map(|v| v.to_str().ok()).collect();
    let cookie = cookies.join("; ");
    let path = parts.uri.path().to_owned();
    let query = parts.uri.query().unwrap_or_default().to_owned();
    let sent = Sent { post, path, query, cookie, headers: parts.headers, body };
    let shared = Arc::clone(&served);
    let reply = match Login::weight(&sent.call()) {
        Weight::Light => asked.run(move |tenant, env| sent.answer(&shared.login, tenant, env)).await,
        Weight::Memory => on(&served.hashing, shared, asked, sent).await,
        Weight::Waits => on(&served.waiting, shared, asked, sent).await,
    };
    reply.map_or_else(IntoResponse::into_response, response)
}

/// Answers on a pool of its own.
async fn on(pool: &Pool, served: Arc<Served>, asked: Asked, sent: Sent) -> Answer<Reply> {
    let work = move || sent.answer(&served.login, &asked.tenant, &asked.env());
    let done = pool.run(work).map_err(|_| busy())?;
    done.await.unwrap_or_else(|_| Err(Refusal::failed("pool.panic", "a page panicked")))
}

/// Other providers, asked through the one client of other people's servers.
struct Providers(Outgoing);

impl Outside for Providers {
    fn get(&self, url: &str) -> Answer<Value> {
        self.ask(Method::GET, url, None, None)
    }

    fn post(&self, url: &str, form: &str, authorization: Option<&str>) -> Answer<Value> {
        self.ask(Method::POST, url, Some(form), authorization)
    }
}

impl Providers {
    fn ask(&self, method: Method, url: &str, form: Option<&str>, authorization: Option<&str>) -> Answer<Value> {
        let failed = |why: String| {
            let text = "the other provider cannot be reached; try again, or sign in in another way";
            Refusal::new(ErrorCode::TemporarilyUnavailable, "upstream.unreachable", text).because(why)
        };
        let url = Url::parse(url).map_err(|error| failed(error.to_string()))?;
        let mut ask = OutgoingRequest::new(method, url);
        ask.answer_bytes_max = PROVIDER_ANSWER_BYTES_MAX;
        ask.headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        if let Some(form) = form {
            let media = HeaderValue::from_static("application/x-www-form-urlencoded");
            ask.headers.insert(header::CONTENT_TYPE, media);
            ask.body = Body::from(form.to_owned());
        }
        if let Some(authorization) = authorization {
            let mut value = HeaderValue::try_from(authorization).map_err(|_| failed("a header".to_owned()))?;
            value.set_sensitive(true);
            ask.headers.insert(header::AUTHORIZATION, value);
        }
        let answer = self.0.wait(self.0.fetch(ask)).ok_or_else(|| failed("no runtime".to_owned()))?;
        let answer = answer.map_err(|error| failed(error.to_string()))?;
        if answer.status != StatusCode::OK {
            return Err(super::upstream::failed("upstream.status").because(answer.status.to_string()));
        }
        serde_json::from_slice(&answer.body).map_err(|_| failed("no JSON".to_owned()))
    }
}

fn busy() -> Refusal {
    let text = "too many people sign in at this moment; try again in a few seconds";
    let refusal = Refusal::new(ErrorCode::TemporarilyUnavailable, "password.queue", text);
    Refusal { retry_after_s: Some(BUSY_SECONDS), ..refusal }
}

/// What came, to be taken to another thread.
struct Sent {
    post: bool,
    path: String,
    query: String,
    cookie: String,
    headers: HeaderMap,
    body: Bytes,
}

impl Sent {
    fn call(&self) -> Call<'_> {
        let text = |name| self.headers.get(name).and_then(|value| value.to_str().ok());
        Call {
            post: self.post,
            path: &self.path,
            query: &self.query,
            cookie: &self.cookie,
            // One that is there and no text is no site of ours.
            sec_fetch_site: self.headers.get("sec-fetch-site").map(|_| text("sec-fetch-site").unwrap_or_default()),
            content_type: text("content-type").unwrap_or_default(),
            user_agent: text("user-agent").unwrap_or_default(),
            body: &self.body,
        }
    }

    fn answer(&self, login: &Login, tenant: &Tenant, env: &Env<'_>) -> Answer<Reply> {
        login.answer(tenant, self.call(), *env)
    }
}

fn response(reply: Reply) -> Response {
    let mut response = Response::new(Body::from(reply.body));
    *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in reply.headers {
        match HeaderValue::try_from(value) {
            Ok(value) => drop(response.headers_mut().append(name, value)),
            Err(_) => return Refusal::failed("login.header", name).into_response(),
        }
    }
    response
}
