//! What is said to a provider's token endpoint. Pure: another sends it, and `answer` reads what comes back.

use super::records::{ClientAuth, Provider, Secret};
use crate::identity::{Answer, ErrorCode, Refusal, Seconds, encode};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
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
    client_secret: Option<&str>,
    code: &str,
    redirect_uri: &str,
    verifier: &str,
) -> Answer<TokenRequest> {
    let fields = [
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", redirect_uri),
        ("code_verifier", verifier),
    ];
    request(provider, client_secret, &fields)
}

/// Gets the next access token: by a refresh token (RFC 6749 6), or by an assertion (RFC 7523 2.1). `None` when nothing can
/// get one.
///
/// # Errors
/// A key cannot sign.
pub(super) fn refresh_request(
    provider: &Provider,
    client_secret: Option<&str>,
    secret: &Secret,
    now: Seconds,
) -> Answer<Option<TokenRequest>> {
    match (provider, secret) {
        (Provider::Oauth2 { .. }, Secret::Oauth2 { refresh_token: Some(token), .. }) => {
            request(provider, client_secret, &[("grant_type", "refresh_token"), ("refresh_token", token)]).map(Some)
        }
        (Provider::ServiceAccount { token_url, .. }, Secret::ServiceAccount { private_key, .. }) => {
            let assertion = assertion(provider, private_key, now)?;
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
    client_secret: Option<&str>,
    secret: &Secret,
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
    let request = request(provider, client_secret, &fields)?;
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
/// The provider takes none, or the connection has no secret to show.
pub(super) fn assertion_request(
    provider: &Provider,
    client_secret: Option<&str>,
    assertion: &str,
    scopes: &[String],
) -> Answer<TokenRequest> {
    let Provider::IdentityAssertion { resource, .. } = provider else { return Err(not_oauth()) };
    let scope = scopes.join(" ");
    let mut fields = vec![("grant_type", JWT_BEARER), ("assertion", assertion), ("resource", resource)];
    if !scope.is_empty() {
        fields.push(("scope", &scope));
    }
    request(provider, client_secret, &fields)
}

fn request(provider: &Provider, client_secret: Option<&str>, fields: &[(&str, &str)]) -> Answer<TokenRequest> {
    let (Provider::Oauth2 { token_url, client_id, client_auth, .. }
    | Provider::IdentityAssertion { token_url, client_id, client_auth, .. }) = provider
    else {
        return Err(not_oauth());
    };
    let missing = || Refusal::failed("connection.secret", "the connection has no client secret");
    let (mut headers, mut fields) = (headers(), fields.to_vec());
    match client_auth {
        ClientAuth::None => fields.push(("client_id", client_id)),
        ClientAuth::Post => {
            fields.push(("client_id", client_id));
            fields.push(("client_secret", client_secret.ok_or_else(missing)?));
        }
        ClientAuth::Basic => {
            let secret = client_secret.ok_or_else(missing)?;
            // Both are form-encoded within the header (RFC 6749 2.3.1).
            let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
            let pair = Zeroizing::new(format!("{}:{}", encoded(client_id), encoded(secret)));
            headers.insert(AUTHORIZATION, secret_value(&format!("Basic {}", STANDARD.encode(pair.as_bytes())))?);
        }
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
    let key = SigningKey::read(private_key)?;
    let mut header = json!({"alg": key.algorithm(), "typ": "JWT"});
    let mut claims = json!({
        "iss": account, "sub": subject.as_ref().unwrap_or(account), "aud": audience.as_ref().unwrap_or(token_url),
        "iat": now, "exp": now + ASSERTION_S,
    });
    if let Some((header, key_id)) = header.as_object_mut().zip(key_id.as_ref()) {
        header.insert("kid".to_owned(), key_id.as_str().into());
    }
    if let Some(claims) = claims.as_object_mut().filter(|_| !scopes.is_empty()) {
        claims.insert("scope".to_owned(), scopes.join(" ").into());
    }
    let message = format!("{}.{}", encode(header.to_string().as_bytes()), encode(claims.to_string().as_bytes()));
    let signature = key.sign(message.as_bytes())?;
    Ok(Zeroizing::new(format!("{message}.{}", encode(&signature))))
}

/// The key of a service account.
enum SigningKey {
    Rsa(RsaKeyPair),
    Ec(EcdsaKeyPair),
}

impl SigningKey {
    /// Reads a key in PEM, as PKCS #8.
    fn read(pem: &str) -> Answer<SigningKey> {
        let refuse = || {
            let text = "the key of a service account is one of RSA or P-256 in PEM, beginning with \
                        `-----BEGIN PRIVATE KEY-----`";
            Refusal::new(ErrorCode::InvalidRequest, "credential.key", text)
        };
        let body = pem.trim().strip_prefix("-----BEGIN PRIVATE KEY-----").ok_or_else(refuse)?;
        let body = body.strip_suffix("-----END PRIVATE KEY-----").ok_or_else(refuse)?;
        let letters: Zeroizing<String> = Zeroizing::new(body.chars().filter(|c| !c.is_ascii_whitespace()).collect());
        let der = Zeroizing::new(STANDARD.decode(letters.as_bytes()).map_err(|_| refuse())?);
        if let Ok(key) = RsaKeyPair::from_pkcs8(&der) {
            return Ok(SigningKey::Rsa(key));
        }
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &der).map(SigningKey::Ec).map_err(|_| refuse())
    }

    fn algorithm(&self) -> &'static str {
        match self {
            SigningKey::Rsa(_) => "RS256",
            SigningKey::Ec(_) => "ES256",
        }
    }

    fn sign(&self, message: &[u8]) -> Answer<Vec<u8>> {
        let failed = |_| Refusal::failed("credential.sign", "the library");
        let random = SystemRandom::new();
        match self {
            SigningKey::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).map_err(failed)?;
                Ok(signature)
            }
            SigningKey::Ec(key) => Ok(key.sign(&random, message).map_err(failed)?.as_ref().to_vec()),
        }
    }
}

/// Sees that a key of a service account can sign.
///
/// # Errors
/// It cannot.
pub(super) fn check_key(pem: &str) -> Answer<()> {
    SigningKey::read(pem).map(|_| ())
}
