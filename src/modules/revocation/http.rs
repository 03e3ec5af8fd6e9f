//! The endpoint at which other systems ask for revocations, and the administration of those that are told, at
//! `/admin/revocation-places`. Each decodes, makes one call, encodes.

use super::asker::{self, Issuers};
use super::receive::{self, Asker, CANNOT};
use super::records::Signals;
use super::records::{Place, SubjectFormat};
use super::signals;
use super::subject::SubjectId;
use super::{places, put_place, remove_place, verify_stream};
use crate::identity::{
    Answer, Env, ErrorCode, Limiter, Outcome, REQUESTS_OF_ADDRESS, Rate, Refusal, SigningAlgorithm, Tenant, address_key,
};
use crate::wire::{Asked, Call, Json, Judge, challenged, json_response, read_body, read_json};
use axum::Router;
use axum::extract::{FromRequest, Path, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post, put};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::net::IpAddr;
use std::sync::Arc;

/// Where other systems ask for revocations, below the issuer.
pub const PATH: &str = "/global-token-revocation";
/// The scope of a token that revokes what people have.
pub const REVOKE: &str = "users:revoke";
/// The scope that reads which streams of shared signals there are, and the one that changes them.
pub const SIGNALS: [&str; 2] = ["signals:read", "signals:write"];
/// The scope that reads which places are told, and the one that changes them.
pub const REVOCATIONS: [&str; 2] = ["revocations:read", "revocations:write"];
/// Revocations that one issuer, or administrators, ask for: a whole company at once, and then ten a second.
pub(super) const ASKED_BY_ONE: Rate = Rate { burst: 1_000, period_ms: 100 };
/// How often it is noted that one who was believed was refused.
const NOTED: Rate = Rate { burst: 10, period_ms: 60_000 };

/// What the routes work with.
#[derive(Clone)]
pub struct Setup {
    /// Judges tokens of administrators.
    pub judge: Judge,
    /// Which issuers are trusted with who people are.
    pub issuers: Arc<dyn Issuers>,
    /// How often who asks.
    pub limits: Arc<Limiter>,
}

/// The routes of every tenant.
pub fn routes(setup: Setup) -> Router {
    Router::new()
        .route(PATH, post(revoke))
        .route("/admin/revocation-places", get(list))
        .route("/admin/revocation-places/{id}", put(change).delete(remove))
        .route("/.well-known/ssf-configuration", get(configuration))
        .route("/admin/ssf-streams", get(streams))
        .route("/admin/ssf-streams/{id}", put(change_stream).delete(remove_stream))
        .route("/admin/ssf-streams/{id}/verify", post(verify))
        .with_state(setup)
}

/// Adds to the metadata of a tenant what other systems should know of the endpoint (the draft, 4).
pub fn describe(tenant: &Tenant, metadata: &mut Map<String, Value>) {
    metadata.insert("global_token_revocation_endpoint".to_owned(), tenant.url(PATH).into());
    let methods = json!([asker::REVOCATION_TYP, "Bearer", "DPoP"]);
    metadata.insert("global_token_revocation_endpoint_auth_methods_supported".to_owned(), methods);
}

/// What is counted.
#[derive(Hash)]
enum Counted<'a> {
    Address(u32, String),
    By(u32, &'a str),
    Refused(u32, &'a str),
}

/// The bearer token of a request, when it shows one.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut shown = headers.get_all(header::AUTHORIZATION).iter();
    let (first, second) = (shown.next()?, shown.next());
    let (scheme, token) = first.to_str().ok()?.split_once(' ')?;
    (second.is_none() && scheme.eq_ignore_ascii_case("bearer")).then(|| token.trim())
}

fn is_json(headers: &HeaderMap) -> bool {
    let said = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    said.split(';').next().is_some_and(|said| said.trim().eq_ignore_ascii_case("application/json"))
}

/// One request.
struct Received {
    setup: Setup,
    head: Parts,
    address: IpAddr,
    body: Answer<axum::body::Bytes>,
}

impl Received {
    /// Who asks, by what they show, and what their name is where they are counted.
    fn asker(&self, tenant: &Tenant, env: &Env<'_>) -> Answer<(Asker, String)> {
        if let Some(token) = bearer(&self.head.headers).filter(|token| asker::is_of_issuer(token)) {
            let said = asker::judge(tenant, &*self.setup.issuers, token, &tenant.url(PATH), env)?;
            let name = said.trusted.issuer.clone();
            return Ok((Asker::Issuer(Box::new(said)), name));
        }
        let token = (self.setup.judge)(tenant, &self.head, env)?;
        let by = token.administrator(tenant, [REVOKE, REVOKE], ["revocation.scope", "revocation.not_allowed"])?;
        Ok((Asker::Administrator, by))
    }

    fn count(&self, rate: Rate, key: Counted<'_>, env: &Env<'_>) -> Answer<()> {
        let counted = self.setup.limits.count(rate, key, env.now);
        counted.map_err(|limited| limited.refusal("revocation.rate", "too many revocations are asked for"))
    }

    /// Does what is asked for.
    fn run(self, tenant: &Tenant, env: &Env<'_>) -> Answer<()> {
        let number = tenant.number();
        let address = || Counted::Address(number, address_key(self.address));
        self.count(REQUESTS_OF_ADDRESS, address(), env)?;
        let (asker, name) = self.asker(tenant, env)?;
        // Who is believed is counted as who they are: a company is signed out from one address.
        self.setup.limits.forgive(REQUESTS_OF_ADDRESS, address());
        self.count(ASKED_BY_ONE, Counted::By(number, &name), env)?;
        let env = &match asker {
            Asker::Administrator => Env { by: Some(&name), ..*env },
            Asker::Issuer(_) => *env,
        };
        let done = self.subject().and_then(|subject| receive::revoke(tenant, &asker, &subject, env));
        if let Err(refusal) = &done
            && refusal.error.status() < 500
            && self.count(NOTED, Counted::Refused(number, &name), env).is_ok()
        {
            let mut change = tenant.change(env);
            change.event(&receive::asked(tenant, &asker, Outcome::Refused, env).reason(refusal.rule));
            change.commit()?;
        }
        done
    }

    fn subject(&self) -> Answer<SubjectId> {
        if !is_json(&self.head.headers) {
            let text = "send `sub_id` as application/json";
            return Err(Refusal::new(ErrorCode::InvalidRequest, "revocation.media", text));
        }
        SubjectId::read_body(self.body.as_ref().map_err(Clone::clone)?)
    }
}

async fn revoke(State(setup): State<Setup>, asked: Asked, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let received = Received { setup, head, address: asked.address, body: read_body(body).await };
    match asked.run(move |tenant, env| received.run(tenant, env)).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(refusal) => {
            let cannot = refusal.rule == CANNOT;
            let mut response = challenged(refusal, Some(REVOKE));
            if cannot {
                *response.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
            }
            response
        }
    }
}

/// A place as it is wanted.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    endpoint: String,
    #[serde(default)]
    subject: SubjectFormat,
    client_id: Option<String>,
    issuer: Option<String>,
    #[serde(default)]
    alg: SigningAlgorithm,
}

fn all(tenant: &Tenant) -> Answer<Value> {
    let places = places(tenant)?;
    let places: Vec<&Place> = places.iter().map(|held| &held.value).filter(|place| place.signals.is_none()).collect();
    Ok(json!({ "revocation_places": places }))
}

async fn list(call: Call<Setup>) -> Response {
    let judge = call.setup.judge;
    call.administer(judge, REVOCATIONS, |tenant, _| all(tenant)).await
}

async fn change(call: Call<Setup>, Path(id): Path<String>, Json(wanted): Json<Wanted>) -> Response {
    let judge = call.setup.judge;
    call.administer(judge, REVOCATIONS, move |tenant, env| {
        let Wanted { endpoint, subject, client_id, issuer, alg } = wanted;
        let signals = None;
        let place = Place { id, endpoint, subject, client_id, issuer, alg, signals, created_at: env.seconds() };
        put_place(tenant, &place, env)?;
        all(tenant)
    })
    .await
}

async fn remove(call: Call<Setup>, Path(id): Path<String>) -> Response {
    let judge = call.setup.judge;
    call.administer(judge, REVOCATIONS, move |tenant, env| {
        remove_place(tenant, &id, false, env)?;
        Ok(json!({ "removed": id }))
    })
    .await
}

async fn configuration(asked: Asked) -> Response {
    match asked.run(|tenant, _| Ok(signals::configuration(tenant))).await {
        Ok(document) => json_response(StatusCode::OK, &document),
        Err(refusal) => refusal.into_response(),
    }
}

/// A stream as it is wanted.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WantedStream {
    endpoint: String,
    audience: String,
    /// The `Authorization` header that its receiver wants.
    authorization: Option<String>,
    #[serde(default)]
    subject: SubjectFormat,
    issuer: Option<String>,
    /// The interoperability profile of CAEP wants RSA.
    #[serde(default = "rsa")]
    alg: SigningAlgorithm,
}

fn rsa() -> SigningAlgorithm {
    SigningAlgorithm::Rs256
}

/// The body that has a secret: what is wrong with it is said with its place alone.
struct SecretBody(WantedStream);

impl<S: Send + Sync> FromRequest<S> for SecretBody {
    type Rejection = Response;

    async fn from_request(request: Request, _: &S) -> Result<SecretBody, Response> {
        let read = read_json(request.into_body(), |path, error| {
            let (line, column) = (error.line(), error.column());
            let text = format!(
                "the body is not what it should be, at `{path}`, line {line}, column {column}; it has `endpoint` and `audience`, \
                 and may have `authorization`, `subject`, `issuer` and `alg`"
            );
            Refusal::new(ErrorCode::InvalidRequest, "admin.body", text)
        });
        read.await.map(SecretBody).map_err(|refusal| challenged(refusal, None))
    }
}

fn all_streams(tenant: &Tenant) -> Answer<Value> {
    let shown = |place: &Place| {
        let signals = place.signals.as_ref()?;
        Some(json!({
            "stream_id": place.id, "endpoint": place.endpoint, "audience": signals.audience,
            "has_authorization": signals.has_authorization(), "subject": place.subject, "issuer": place.issuer,
            "alg": place.alg, "created_at": place.created_at,
        }))
    };
    Ok(json!({"streams": places(tenant)?.iter().filter_map(|held| shown(held)).collect::<Vec<_>>()}))
}

async fn streams(call: Call<Setup>) -> Response {
    let judge = call.setup.judge;
    call.administer(judge, SIGNALS, |tenant, _| all_streams(tenant)).await
}

async fn change_stream(call: Call<Setup>, Path(id): Path<String>, SecretBody(wanted): SecretBody) -> Response {
    let judge = call.setup.judge;
    call.administer(judge, SIGNALS, move |tenant, env| {
        let WantedStream { endpoint, audience, authorization, subject, issuer, alg } = wanted;
        let authorization = authorization.map(|header| signals::seal(tenant, &id, &header, env)).transpose()?;
        let signals = Some(Signals { audience, authorization });
        let created_at = env.seconds();
        put_place(tenant, &Place { id, endpoint, subject, client_id: None, issuer, alg, signals, created_at }, env)?;
        all_streams(tenant)
    })
    .await
}

async fn remove_stream(call: Call<Setup>, Path(id): Path<String>) -> Response {
    let judge = call.setup.judge;
    call.administer(judge, SIGNALS, move |tenant, env| {
        remove_place(tenant, &id, true, env)?;
        Ok(json!({ "removed": id }))
    })
    .await
}

/// What a verification is to say.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Verification {
    state: Option<String>,
}

async fn verify(call: Call<Setup>, Path(id): Path<String>, Json(wanted): Json<Verification>) -> Response {
    let judge = call.setup.judge;
    call.administer(judge, SIGNALS, move |tenant, env| {
        verify_stream(tenant, &id, wanted.state.as_deref(), env)?;
        Ok(json!({ "asked": id }))
    })
    .await
}
