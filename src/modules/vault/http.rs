//! The vault over HTTP: decode, one call, encode.

mod people;
mod stream;

use super::approved::{self, Wanted};
use super::lease::{Lease, Looked};
use super::policy::{ANSWERED_BY, approved_headers};
use super::proxy::{self, Admitted, Call, Ended, Taken, Told, What};
use super::records::Hidden;
use super::{Caller, Vault};
use crate::identity::{Answer, Env, ErrorCode, Proved, Refusal, Tenant, TokenKind};
use crate::secrets::Report;
use crate::wire::{Asked, OutgoingAnswer, OutgoingRequest, Redirects, challenge, json_response};
use axum::Router;
use axum::body::{Body, Bytes, HttpBody as _};
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{any, get, post};

use http_body_util::BodyExt as _;
use std::time::Duration;
use stream::{FILTERED_TIMEOUT, Pass, Source, encoded, streamed, unanswered};

/// The largest output that an agent has filtered.
const FILTERED_BYTES_MAX: usize = 64 << 20;

/// The routes of every issuer.
pub fn routes(vault: Vault) -> Router {
    Router::new()
        .route("/proxy/{connection}", any(call))
        .route("/proxy/{connection}/{*path}", any(call))
        .route("/filter", post(filter))
        .route("/connections", get(people::connections))
        .route("/connect/{connection}", get(people::page).post(people::start))
        .route("/connect/{connection}/callback", get(people::callback))
        .route("/connect/{connection}/disconnect", post(people::disconnect))
        .route("/connect/{connection}/jwks", get(people::jwks))
        .with_state(vault)
}

/// What shows who calls.
struct Shown {
    authorization: Option<String>,
    proofs: Vec<String>,
    method: Method,
    path: String,
}

impl Shown {
    fn of(parts: &Parts) -> Shown {
        let text = |value: &HeaderValue| value.to_str().ok().map(str::to_owned);
        let mut authorization = parts.headers.get_all(header::AUTHORIZATION).iter();
        let first = authorization.next().and_then(text);
        Shown {
            // Two of them are none.
            authorization: first.filter(|_| authorization.next().is_none()),
            proofs: parts.headers.get_all("dpop").iter().filter_map(text).collect(),
            method: parts.method.clone(),
            path: parts.uri.path().to_owned(),
        }
    }

    /// Judges the token. It must be for one of these audiences.
    fn caller(&self, tenant: &Tenant, audiences: &[String], env: &Env<'_>) -> Answer<Caller> {
        let invalid = |rule, text: &str| Refusal::new(ErrorCode::InvalidToken, rule, text);
        let shown = self.authorization.as_deref().and_then(|value| value.split_once(' '));
        let (scheme, token) = shown.ok_or_else(|| {
            invalid("token.none", "show an access token of this issuer in the `Authorization` header")
        })?;
        let examined = tenant.examine(token.trim(), TokenKind::Access, None, env)?;
        examined.must_be_held(env)?;
        if !examined.audience.iter().any(|audience| audiences.contains(audience)) {
            return Err(invalid("token.audience", "this token is not for this; ask for one with this `resource`"));
        }
        let proved = match self.proofs.as_slice() {
            [] => None,
            [proof] => {
                let url = tenant.url(&self.path);
                let proved = Proved { method: self.method.as_str(), url: &url, token: Some(token.trim()) };
                Some(tenant.check_proof(proof, &proved, env)?)
            }
            _ => return Err(invalid("dpop.several", "there is more than one `DPoP` header")),
        };
        let bound = if scheme.eq_ignore_ascii_case("dpop") {
            true
        } else if scheme.eq_ignore_ascii_case("bearer") {
            false
        } else {
            return Err(invalid("token.scheme", "show the token as `Bearer` or `DPoP`"));
        };
        if examined.jkt.is_some() != bound || (bound && examined.jkt != proved) {
            return Err(invalid(
                "dpop.key",
                "the token is bound to a key, and this key is not proved, or the other way round",
            ));
        }
        Ok(Caller { held: Some(Hidden::new(token.trim().to_owned())), ..Caller::of(&examined) })
    }
}

/// A refusal as the caller of the proxy sees it (RFC 6750 3, RFC 9449 7.1, RFC 9470 3), told apart from answers of the other side.
fn told(refusal: Refusal) -> Response {
    let unproved = refusal.error == ErrorCode::InvalidDpopProof;
    let of_token = unproved
        || matches!(
            refusal.error,
            ErrorCode::InvalidToken | ErrorCode::InsufficientScope | ErrorCode::InsufficientUserAuthentication
        );
    let challenge = challenge(&refusal).filter(|_| of_token);
    let mut response = refusal.into_response();
    if unproved {
        *response.status_mut() = StatusCode::UNAUTHORIZED;
    }
    let headers = response.headers_mut();
    headers.insert(ANSWERED_BY, HeaderValue::from_static("proxy"));
    if let Some(value) = challenge {
        headers.insert(header::WWW_AUTHENTICATE, value);
    }
    response
}

async fn call(State(vault): State<Vault>, asked: Asked, request: Request) -> Response {
    match called(&vault, &asked, request).await {
        Ok(response) => response,
        Err(refusal) => told(refusal),
    }
}

async fn called(vault: &Vault, asked: &Asked, request: Request) -> Answer<Response> {
    let (parts, body) = request.into_parts();
    let shown = Shown::of(&parts);
    let below = parts.uri.path().strip_prefix("/proxy/").unwrap_or_default();
    let (connection, path) = below.find('/').map_or((below, "/"), |at| below.split_at(at));
    let call = Call {
        connection: connection.to_owned(),
        method: parts.method.clone(),
        path: path.to_owned(),
        query: parts.uri.query().map(str::to_owned),
        purpose: proxy::purpose(&parts.headers),
    };
    let judge = move |tenant: &Tenant, env: &Env<'_>| {
        Ok((shown.caller(tenant, &proxy::audiences(tenant, &call.connection), env)?, call))
    };
    let body = if body.is_end_stream() { Content::Whole(Bytes::new()) } else { Content::Streamed(body) };
    passed(vault, asked, judge, (parts.headers, body)).await
}

/// The body of a call: at hand, so that it can be sent once more, or as it comes.
enum Content {
    Whole(Bytes),
    Streamed(Body),
}

impl From<Content> for Body {
    fn from(content: Content) -> Body {
        match content {
            Content::Whole(bytes) => Body::from(bytes),
            Content::Streamed(body) => body,
        }
    }
}

/// Sends a request of a caller who was judged elsewhere through a connection, as the proxy does: by its rules, with its
/// credential, through its filter, and with its records. The URL is one below the connection's base. Its body is at hand.
///
/// # Errors
/// A rule refuses it, there is no credential, or no answer.
pub async fn through(
    vault: &Vault,
    asked: &Asked,
    caller: Caller,
    connection: &str,
    request: Request<Bytes>,
) -> Answer<Response> {
    let (parts, body) = request.into_parts();
    let (connection, headers) = (connection.to_owned(), parts.headers.clone());
    let judge = move |tenant: &Tenant, _: &Env<'_>| {
        let path = super::connections::get(tenant, &connection)?.path_of(&parts.uri)?;
        let (query, purpose) = (parts.uri.query().map(str::to_owned), proxy::purpose(&parts.headers));
        Ok((caller, Call { connection, method: parts.method, path, query, purpose }))
    };
    passed(vault, asked, judge, (headers, Content::Whole(body))).await
}

async fn passed(
    vault: &Vault,
    asked: &Asked,
    judge: impl FnOnce(&Tenant, &Env<'_>) -> Answer<(Caller, Call)> + Send + 'static,
    sent: (HeaderMap, Content),
) -> Answer<Response> {
    let (vault_of, asked_of) = (vault.clone(), asked.clone());
    let (caller, call, mut admitted, mut taken) = asked
        .run(move |tenant, env| {
            let (caller, call) = judge(tenant, env)?;
            let judged = proxy::admit(tenant, &caller, &call, env).and_then(|admitted| {
                // Nothing is lent before it is known that somebody approved exactly this.
                let taken = match admitted.asks {
                    true => None,
                    false => {
                        let taken = vault_of.take(&asked_of, &caller, &admitted, &call, (false, None), env);
                        taken.map_err(|refusal| refusal.at(admitted.revision))?
                    }
                };
                Ok((admitted, taken))
            });
            let (admitted, taken) = noted(tenant, &caller, &call, judged, env)?;
            Ok((caller, call, admitted, taken))
        })
        .await?;
    let ((mut headers, mut body), mut approval, mut turn) = (sent, None, None);
    if admitted.asks {
        headers = approved_headers(&headers)?;
        turn = Some(vault.turn(&asked.tenant)?);
        let wanted = wanted(asked, &admitted, &call, &headers, body.into()).await?;
        match approve(vault, asked, &caller, &admitted, &call, &wanted).await? {
            None => return Ok(told_how(asked, &admitted, &wanted)),
            Some(lent) => (admitted, taken, approval) = lent,
        }
        if wanted.body.is_empty() {
            headers.remove(header::CONTENT_TYPE);
        }
        body = Content::Whole(wanted.body.into());
    }
    let fresh = taken.is_none();
    let taken = match taken {
        Some(taken) => taken,
        None => renewed(vault, asked, &caller, &admitted, (&call, approval.clone())).await?,
    };
    // One that was made just now is not taken the next time either.
    let once_more = match &body {
        Content::Whole(bytes) if !fresh && taken.lease.is_renewable() => Some((headers.clone(), bytes.clone())),
        Content::Whole(_) | Content::Streamed(_) => None,
    };
    let sent = send(vault, asked, &admitted, &call, taken, (headers, body.into()), once_more.is_some()).await;
    let response = match (sent, once_more) {
        (Ok(None), Some((headers, bytes))) => {
            let taken = renewed(vault, asked, &caller, &admitted, (&call, approval)).await?;
            send(vault, asked, &admitted, &call, taken, (headers, bytes.into()), false).await
        }
        (sent, _) => sent,
    };
    drop(turn); // the body is not held any more
    response?.ok_or_else(|| Refusal::failed("proxy.again", "a call was not made once more"))
}

/// Reads the body of a call that needs an approval: all of it is what is approved.
async fn wanted(asked: &Asked, admitted: &Admitted, call: &Call, headers: &HeaderMap, body: Body) -> Answer<Wanted> {
    let refuse = |text: &str| Refusal::new(ErrorCode::InvalidRequest, "proxy.body", text);
    let limits = admitted.connection.spec.limits;
    let most = usize::try_from(limits.request_bytes_max).unwrap_or(usize::MAX).min(approved::BODY_BYTES_MAX);
    let collected = http_body_util::Limited::new(body, most).collect();
    let collected = tokio::time::timeout(Duration::from_secs(limits.timeout_s), collected).await;
    let collected = collected.map_err(|_| refuse("the body did not come in time"))?;
    let bytes = collected.map_err(|_| refuse("the body is larger than one that can be approved, or was cut off"))?;
    let place = asked.tenant.url(&format!("/proxy/{}", call.connection));
    let media = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    Wanted::of(&place, call, media, bytes.to_bytes().to_vec())
}

/// What an approval, or a rule that takes none any more, lets a call have: the call as it is admitted now, what it takes, and
/// the approval that it used up.
type Lent = (Admitted, Option<Taken>, Option<String>);

/// What becomes of a call that needs an approval.
enum Spent {
    /// Nobody approved it, or the approval was used; that is written down.
    Nobody,
    /// The credential is to be refreshed first. Nothing is used up.
    Stale,
    Lent(Box<Lent>),
}

/// Judges a call again when its body is here, uses up the approval of exactly this call, when the token was given for one, and
/// takes what the call needs. `None`: nobody approved it, or it was used.
async fn approve(
    vault: &Vault,
    asked: &Asked,
    caller: &Caller,
    admitted: &Admitted,
    call: &Call,
    wanted: &Wanted,
) -> Answer<Option<Lent>> {
    let (scope, revision) = (admitted.scope.clone().unwrap_or_default(), admitted.revision);
    let judged = |refreshed: Option<Answer<()>>| {
        let (vault, caller, call, wanted) = (vault.clone(), caller.clone(), call.clone(), wanted.clone());
        let (asked_of, scope) = (asked.clone(), scope.clone());
        let rules = move |tenant: &Tenant, env: &Env<'_>| {
            let spent = spend(&vault, &asked_of, &caller, (&call, &wanted), refreshed, env);
            let spent = noted(tenant, &caller, &call, spent, env)?;
            if matches!(spent, Spent::Nobody) {
                proxy::refused(tenant, &caller, &call, &wanted.refuse(&scope).at(revision), env)?;
            }
            Ok(spent)
        };
        asked.run(rules)
    };
    let mut spent = judged(None).await?;
    if matches!(spent, Spent::Stale) {
        let refreshed = vault.renew(asked, caller, admitted).await;
        spent = judged(Some(refreshed)).await?;
    }
    match spent {
        Spent::Nobody => Ok(None),
        Spent::Stale => Err(stale()),
        Spent::Lent(lent) => Ok(Some(*lent)),
    }
}

/// The rules of [`approve`]. The body may have been long in coming: the token and what it hangs on, the agent and the rules
/// must be good when the credential is lent, and not only when the call began. `refreshed` is how a refresh ended, if there was
/// one.
fn spend(
    vault: &Vault,
    asked: &Asked,
    caller: &Caller,
    (call, wanted): (&Call, &Wanted),
    refreshed: Option<Answer<()>>,
    env: &Env<'_>,
) -> Answer<Spent> {
    let Some(token) = &caller.held else { return Ok(Spent::Nobody) };
    let tenant = &asked.tenant;
    let grant = tenant.examine(token, TokenKind::Access, None, env)?.grant;
    let admitted = proxy::admit(tenant, caller, call, env)?;
    let detail = wanted.among(&grant.details);
    if admitted.asks && detail.is_none() {
        return Ok(Spent::Nobody);
    }
    // What the call lacks otherwise must not cost the approval; and nothing is lent without one.
    let good = refreshed.is_some();
    match (vault.look(tenant, &admitted.connection, (caller, &admitted.whose), env)?, refreshed) {
        (Looked::Ready(_), _) => {}
        (_, None) => return Ok(Spent::Stale),
        (Looked::Refresh(Some(_)), Some(Ok(()))) => {}
        (Looked::Refresh(Some(_)), Some(Err(refusal))) if later(&refusal) => {}
        (_, Some(refreshed)) => return Err(refreshed.err().unwrap_or_else(stale)),
    }
    let mut id = None;
    if let Some(detail) = detail.filter(|_| admitted.asks) {
        id = vault.approvals.spend(tenant, &grant, detail, env)?;
        if id.is_none() {
            return Ok(Spent::Nobody);
        }
    }
    let taken = vault.take(asked, caller, &admitted, call, (good, id.as_deref()), env)?;
    Ok(Spent::Lent(Box::new((admitted, taken, id))))
}

/// Whether a refresh failed that may go well later.
fn later(refusal: &Refusal) -> bool {
    refusal.error == ErrorCode::TemporarilyUnavailable
}

fn stale() -> Refusal {
    Refusal::failed("lease.stale", "a token that was just made is over")
}

/// The refusal of a call that nobody approved, with what is to be approved for it: a `type` of the tenant's is to be added.
fn told_how(asked: &Asked, admitted: &Admitted, wanted: &Wanted) -> Response {
    let refusal = wanted.refuse(admitted.scope.as_deref().unwrap_or_default());
    tracing::info!(rule = refusal.rule, error = refusal.error.text(), "refused");
    let body = serde_json::json!({
        "error": refusal.error.text(),
        "error_description": refusal.description,
        "backchannel_authentication_endpoint": asked.tenant.url("/bc-authorize"),
        "authorization_details": [wanted.members],
    });
    let mut response = json_response(StatusCode::FORBIDDEN, &body);
    response.headers_mut().insert(ANSWERED_BY, HeaderValue::from_static("proxy"));
    response
}

/// Writes a refusal down, and passes it on.
fn noted<T>(tenant: &Tenant, caller: &Caller, call: &Call, judged: Answer<T>, env: &Env<'_>) -> Answer<T> {
    if let Err(refusal) = &judged
        && refusal.error != ErrorCode::ServerError
    {
        proxy::refused(tenant, caller, call, refusal, env)?;
    }
    judged
}

/// Has a credential that is good, and takes it.
async fn renewed(
    vault: &Vault,
    asked: &Asked,
    caller: &Caller,
    admitted: &Admitted,
    (call, approval): (&Call, Option<String>),
) -> Answer<Taken> {
    let renewed = vault.renew(asked, caller, admitted).await;
    retaken(vault, asked, caller, admitted, (call, approval), renewed).await
}

/// Takes the credential after a refresh. Where the provider cannot now, one that is still good does.
async fn retaken(
    vault: &Vault,
    asked: &Asked,
    caller: &Caller,
    admitted: &Admitted,
    (call, approval): (&Call, Option<String>),
    refreshed: Answer<()>,
) -> Answer<Taken> {
    let (vault, caller, admitted, call) = (vault.clone(), caller.clone(), admitted.clone(), call.clone());
    let asked_of = asked.clone();
    asked
        .run(move |tenant, env| {
            let taken = match &refreshed {
                Err(refusal) if !later(refusal) => Err(refusal.clone()),
                _ => vault.take(&asked_of, &caller, &admitted, &call, (true, approval.as_deref()), env),
            };
            let taken = taken.and_then(|taken| match (taken, refreshed) {
                (Some(taken), _) => Ok(taken),
                (None, Err(refusal)) => Err(refusal),
                (None, Ok(())) => Err(stale()),
            });
            noted(tenant, &caller, &call, taken, env)
        })
        .await
}

/// Sends a call. `None`: the other side does not take its token, another may do, and the call is to be made once more.
async fn send(
    vault: &Vault,
    asked: &Asked,
    admitted: &Admitted,
    call: &Call,
    taken: Taken,
    sent: (HeaderMap, Body),
    once_more: bool,
) -> Answer<Option<Response>> {
    let Taken { lease, filter, told } = taken;
    let connection = &admitted.connection;
    let answer = match answer(vault, asked, (admitted, &lease), call, sent).await {
        Ok(answer) => answer,
        Err((status, refusal)) => {
            let (status, failure) = (status.as_ref().map(StatusCode::as_u16), Some(refusal.rule.to_owned()));
            told.end(Ended { status, failure, ..Ended::default() }).await;
            return Err(refusal);
        }
    };
    let status = answer.status;
    if once_more && status == StatusCode::UNAUTHORIZED {
        let failure = Some("credential.not_taken".to_owned());
        told.end(Ended { status: Some(status.as_u16()), failure, ..Ended::default() }).await;
        return Ok(None);
    }
    let prefix = asked.tenant.url(&format!("/proxy/{}", connection.spec.id));
    let (headers, removed) = proxy::answered(connection, &filter, &answer.headers, &prefix);
    let pass = Pass::of(&filter, &answer.headers);
    let stalled_max = Duration::from_secs(connection.spec.limits.stalled_s);
    let body = streamed(Source::Upstream(Box::new(answer)), pass, told, (status, removed), stalled_max);
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(Some(response))
}

/// Asks the other side. With a refusal, the status of an answer that is not passed on.
async fn answer(
    vault: &Vault,
    asked: &Asked,
    (admitted, lease): (&Admitted, &Lease),
    call: &Call,
    (headers, body): (HeaderMap, Body),
) -> Result<OutgoingAnswer, (Option<StatusCode>, Refusal)> {
    let limits = admitted.connection.spec.limits;
    let injected = proxy::injected(&admitted.connection, &lease.secret, admitted.url.clone(), &headers);
    let (url, headers) = injected.map_err(|refusal| (None, refusal))?;
    let request = OutgoingRequest {
        method: call.method.clone(),
        url,
        headers,
        body,
        body_bytes_max: usize::try_from(limits.request_bytes_max).unwrap_or(usize::MAX),
        timeout: Duration::from_secs(limits.timeout_s),
        answer_bytes_max: limits.response_bytes_max,
        redirects: Redirects::Pass,
    };
    let answer = vault.inner.outgoing.send(request).await.map_err(|error| (None, unanswered(&error)))?;
    let status = answer.status;
    if status == StatusCode::UNAUTHORIZED {
        vault.not_taken(asked, lease).await.map_err(|refusal| (Some(status), refusal))?;
    }
    if encoded(&answer.headers) || status.is_informational() {
        let text = "the other side answered in an encoding that was not asked for, which cannot be filtered";
        let refusal = Refusal::new(ErrorCode::TemporarilyUnavailable, "upstream.encoded", text);
        return Err((Some(status), refusal));
    }
    Ok(answer)
}

/// An agent's own output, on its way to people.
async fn filter(State(vault): State<Vault>, asked: Asked, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let shown = Shown::of(&parts);
    let judged = asked.run(move |tenant, env| {
        let audiences = [tenant.url("/proxy"), tenant.url("/filter")];
        let caller = shown.caller(tenant, &audiences, env)?;
        let filter = vault.filter_of(tenant, &caller, env)?;
        Ok((caller, filter))
    });
    let (caller, filter) = match judged.await {
        Ok(judged) => judged,
        Err(refusal) => return told(refusal),
    };
    if encoded(&parts.headers) {
        let text = "output is filtered as it is; send it without `Content-Encoding`, and in UTF-8";
        return told(Refusal::new(ErrorCode::InvalidRequest, "filter.encoded", text));
    }
    let kind = parts.headers.get(header::CONTENT_TYPE).cloned();
    let pass = Pass::of(&filter, &parts.headers);
    let told = Told::new(&asked, &caller, What::output());
    let source = Source::Caller(http_body_util::Limited::new(body, FILTERED_BYTES_MAX));
    let body = streamed(source, pass, told, (StatusCode::OK, Report::default()), FILTERED_TIMEOUT);
    let mut response = Response::new(body);
    let kind = kind.unwrap_or(HeaderValue::from_static("text/plain; charset=utf-8"));
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    let sandbox = HeaderValue::from_static("sandbox; default-src 'none'");
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, sandbox);
    response
}
