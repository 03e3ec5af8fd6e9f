//! What is said to a provider's token endpoint. Pure: another sends it, and `answer` reads what comes back.

use super::keys::{Proof, read_pem};
use super::records::{ClientAuth, Provider, Secret};
use crate::identity::{Answer, Env, ErrorCode, Pair, Refusal, Seconds, encode, sign};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use serde_json::json;
use url::form_urlencoded;
use zeroize::Zeroizing;

/// The grant type of assertions (RFC 7523 2.1).
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// How long an assertion of a service account is good, in seconds.
const ASSERTION_S: Seconds = 300;
/// How long an assertion of who we are is good, in seconds: it is used at once, and a clock may be off by half of it.
const CLIENT_ASSERTION_S: Seconds = 60;
/// What such an assertion is (RFC 7523 2.2).
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// A request to a token endpoint.
pub(super) struct TokenRequest {
    /// The endpoint.
    pub url: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The form.
    pub body: Zeroizing<String>,
}

/// The URL at which a person allows the connection (RFC 6749 4.1.1, RFC 7636 4.3).
///
/// # Errors
/// The provider is none of OAuth.
pub(super) fn authorize_url(provider: &Provider, redirect_uri: &str, state: &str, verifier: &str) -> Answer<String> {
    let Provider::Oauth2 { authorize_url, client_id, scopes, parameters, .. } = provider else {
        return Err(not_oauth());
    };
    let mut url = url::Url::parse(authorize_url).map_err(|error| Refusal::failed("connect.url", error.to_string()))?;
    let challenge = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, verifier.as_bytes());
    let mut query = url.query_pairs_mut();
    for (name, value) in parameters {
        query.append_pair(name, value);
    }
    query
        .append_pair("response_type", "code")
        .append_pair("client_id", client_id)
        .append_pair("redirect_uri", redirect_uri)
        .append_pair("state", state)
        .append_pair("code_challenge", &encode(challenge.as_ref()))
        .append_pair("code_challenge_method", "S256");
    if !scopes.is_empty() {
        query.append_pair("scope", &scopes.join(" "));
    }
    drop(query);
    Ok(url.into())
}

fn not_oauth() -> Refusal {
    Refusal::new(ErrorCode::InvalidRequest, "connect.provider", "this connection is not made by signing in elsewhere")
}

/// Gets tokens for a code (RFC 6749 4.1.3).
///
/// # Errors
/// The provider is none of OAuth.
pub(super) fn code_request(
    provider: &Provider,
    shown: &Proof,
    (code, redirect_uri, verifier): (&str, &str, &str),
    env: &Env<'_>,
) -> Answer<TokenRequest> {
    let fields = [
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", redirect_uri),
        ("code_verifier", verifier),
    ];
    request(provider, shown, &fields, env)
}

/// Gets the next access token: by a refresh token (RFC 6749 6), or by an assertion (RFC 7523 2.1). `None` when nothing can
/// get one.
///
/// # Errors
/// A key cannot sign.
pub(super) fn refresh_request(
    provider: &Provider,
    shown: &Proof,
    secret: &Secret,
    env: &Env<'_>,
) -> Answer<Option<TokenRequest>> {
    match (provider, secret) {
        (Provider::Oauth2 { .. }, Secret::Oauth2 { refresh_token: Some(token), .. }) => {
            request(provider, shown, &[("grant_type", "refresh_token"), ("refresh_token", token)], env).map(Some)
        }
        (Provider::ServiceAccount { token_url, .. }, Secret::ServiceAccount { private_key, .. }) => {
            let assertion = assertion(provider, private_key, env.seconds())?;
            let fields = [("grant_type", JWT_BEARER), ("assertion", &*assertion)];
            Ok(Some(TokenRequest { url: token_url.clone(), headers: headers(), body: form(&fields) }))
        }
        _ => Ok(None),
    }
}

/// Takes a token back (RFC 7009). `None` when the provider has no such endpoint.
///
/// # Errors
/// The provider's settings make no request.
pub(super) fn revoke_request(
    provider: &Provider,
    shown: &Proof,
    secret: &Secret,
    env: &Env<'_>,
) -> Answer<Option<TokenRequest>> {
    let (Provider::Oauth2 { revoke_url: Some(url), .. }, Secret::Oauth2 { access_token, refresh_token }) =
        (provider, secret)
    else {
        return Ok(None);
    };
    let (token, hint) = match refresh_token {
        Some(token) => (token, "refresh_token"),
        None => (access_token, "access_token"),
    };
    let fields = [("token", &**token), ("token_type_hint", hint)];
    let request = request(provider, shown, &fields, env)?;
    Ok(Some(TokenRequest { url: url.clone(), ..request }))
}

fn headers() -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    headers
}

fn form(fields: &[(&str, &str)]) -> Zeroizing<String> {
    Zeroizing::new(form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish())
}

/// Gets an access token for an identity assertion (RFC 7523 2.1, RFC 8707 2), with all scopes that it asserts: a server may give
/// none of those that were not asked for.
///
/// # Errors
/// The provider takes none, or the connection has nothing to show.
pub(super) fn assertion_request(
    provider: &Provider,
    shown: &Proof,
    assertion: &str,
    scopes: &[String],
    env: &Env<'_>,
) -> Answer<TokenRequest> {
    let Provider::IdentityAssertion { resource, .. } = provider else { return Err(not_oauth()) };
    let scope = scopes.join(" ");
    let mut fields = vec![("grant_type", JWT_BEARER), ("assertion", assertion), ("resource", resource)];
    if !scope.is_empty() {
        fields.push(("scope", &scope));
    }
    request(provider, shown, &fields, env)
}

fn request(provider: &Provider, shown: &Proof, fields: &[(&str, &str)], env: &Env<'_>) -> Answer<TokenRequest> {
    let (Provider::Oauth2 { token_url, client_id, client_auth, .. }
    | Provider::IdentityAssertion { token_url, client_id, client_auth, .. }) = provider
    else {
        return Err(not_oauth());
    };
    let (mut headers, mut fields) = (headers(), fields.to_vec());
    let assertion = match shown {
        Proof::Key(pair, kid) => client_assertion(provider, (pair, kid), env)?,
        Proof::Nothing | Proof::Secret(_) => Zeroizing::default(),
    };
    match (client_auth, shown) {
        (ClientAuth::Basic, Proof::Secret(secret)) => {
            // Both are form-encoded within the header (RFC 6749 2.3.1).
            let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
            let pair = Zeroizing::new(format!("{}:{}", encoded(client_id), encoded(secret)));
            headers.insert(AUTHORIZATION, secret_value(&format!("Basic {}", STANDARD.encode(pair.as_bytes())))?);
        }
        (ClientAuth::Post, Proof::Secret(secret)) => {
            fields.extend([("client_id", &**client_id), ("client_secret", secret)]);
        }
        (ClientAuth::PrivateKeyJwt, Proof::Key(..)) => {
            let shown = [("client_assertion_type", ASSERTION_TYPE), ("client_assertion", &*assertion)];
            fields.extend([("client_id", &**client_id)].into_iter().chain(shown));
        }
        (ClientAuth::None, _) => fields.push(("client_id", client_id)),
        _ => return Err(Refusal::failed("connection.secret", "the connection has nothing by which it is known there")),
    }
    Ok(TokenRequest { url: token_url.clone(), headers, body: form(&fields) })
}

/// A header's value that no debug output shows.
///
/// # Errors
/// It cannot stand in a header.
pub(super) fn secret_value(text: &str) -> Answer<HeaderValue> {
    let mut value = HeaderValue::try_from(text)
        .map_err(|_| Refusal::failed("credential.header", "a secret has characters that no header has"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// The assertion of a service account, signed with its key (RFC 7523 3).
fn assertion(provider: &Provider, private_key: &str, now: Seconds) -> Answer<Zeroizing<String>> {
    let Provider::ServiceAccount { token_url, account, subject, audience, key_id, scopes } = provider else {
        return Err(not_oauth());
    };
    let mut claims = json!({
        "iss": account, "sub": subject.as_ref().unwrap_or(account), "aud": audience.as_ref().unwrap_or(token_url),
        "iat": now, "exp": now + ASSERTION_S,
    });
    if let Some(claims) = claims.as_object_mut().filter(|_| !scopes.is_empty()) {
        claims.insert("scope".to_owned(), scopes.join(" ").into());
    }
    sign(&read_pem(private_key)?, key_id.as_deref(), "JWT", &claims).map(Zeroizing::new)
}

/// By which we show who we are (RFC 7523 2.2 and 3): for this provider, once, and soon over.
fn client_assertion(provider: &Provider, (pair, kid): (&Pair, &str), env: &Env<'_>) -> Answer<Zeroizing<String>> {
    let (client_id, audience) = match provider {
        Provider::Oauth2 { client_id, issuer, token_url, assertion_audience, .. } => {
            (client_id, assertion_audience.as_ref().or(issuer.as_ref()).unwrap_or(token_url))
        }
        Provider::IdentityAssertion { client_id, issuer, .. } => (client_id, issuer),
        Provider::ServiceAccount { .. }
        | Provider::ApiKeyHeader { .. }
        | Provider::ApiKeyQuery { .. }
        | Provider::Basic {} => return Err(not_oauth()),
    };
    let now = env.seconds();
    let claims = json!({
        "iss": client_id, "sub": client_id, "aud": audience, "jti": env.secret(), "iat": now, "exp": now + CLIENT_ASSERTION_S,
    });
    sign(pair, Some(kid), "JWT", &claims).map(Zeroizing::new)
}
