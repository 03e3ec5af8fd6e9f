//! Sign-in with another OpenID provider: the authorization code flow with PKCE as a client of it (OpenID Connect Core 3.1,
//! RFC 9700).
//!
//! An account is linked with an identity there by somebody who is signed in here and has just shown who they are there.
//! That an e-mail address is the same links nothing: whoever runs the other provider could say any.

use super::handles::LOGIN;
use crate::engine::Module;
use crate::identity::{
    Answer, Env, ErrorCode, EventKind, Held, Outcome, Refusal, Seconds, Stored, Tenant, Verified, check_times, decode,
    encode, hash_of, is_secure, record_key, same, verify_with,
};
use crate::secrets::{self, Hierarchy};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;
use zeroize::Zeroizing;

/// Most providers of a tenant.
pub const PROVIDERS_MAX: usize = 16;
/// Longest issuer, client id and secret, in bytes.
pub const PROVIDER_TEXT_BYTES_MAX: usize = 1_024;
/// The longest that an ID token of a provider may live, in seconds.
pub const UPSTREAM_TOKEN_SECONDS_MAX: Seconds = 24 * 3_600;
/// Where providers send browsers back to.
pub(super) const CALLBACK: &str = "/login/upstream/callback";

/// Longest `sub` (OpenID Connect Core 2).
const SUBJECT_BYTES_MAX: usize = 255;

/// Answers of other people's servers. It never follows a redirect, is bounded in time and bytes, and judges addresses.
pub trait Outside: Send + Sync {
    /// The JSON at a URL.
    ///
    /// # Errors
    /// It cannot be had, or is no JSON.
    fn get(&self, url: &str) -> Answer<Value>;

    /// The JSON that answers a form. `authorization` is a header.
    ///
    /// # Errors
    /// It cannot be had, is no JSON, or its status is not 200.
    fn post(&self, url: &str, form: &str, authorization: Option<&str>) -> Answer<Value>;
}

/// Where nobody may be asked.
pub struct NoOutside;

impl Outside for NoOutside {
    fn get(&self, _: &str) -> Answer<Value> {
        Err(outside())
    }

    fn post(&self, _: &str, _: &str, _: Option<&str>) -> Answer<Value> {
        Err(outside())
    }
}

fn outside() -> Refusal {
    let text = "other providers are not asked here";
    Refusal::new(ErrorCode::TemporarilyUnavailable, "upstream.outside", text)
}

/// A provider as it is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provider {
    /// What it is named by.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// Its issuer, byte for byte.
    pub issuer: String,
    /// Who we are there.
    pub client_id: String,
    /// The secret by which we show it, sealed at its place.
    secret: Option<String>,
    /// When it was added.
    pub created_at: Seconds,
}

impl Stored for Provider {
    const MODULE: Module = LOGIN;
    const SORT: u8 = b'p';
    const WHAT: &'static str = "provider";
}

/// A provider to be added or changed.
#[derive(Clone, Copy)]
pub struct NewProvider<'a> {
    /// What it is named by: 1 to 32 small letters, digits and `-`.
    pub id: &'a str,
    /// What people call it.
    pub name: &'a str,
    /// Its issuer.
    pub issuer: &'a str,
    /// Who we are there.
    pub client_id: &'a str,
    /// The secret by which we show it; none for a public client.
    pub secret: Option<&'a str>,
}

fn invalid(rule: &'static str, text: &str) -> Refusal {
    Refusal::new(ErrorCode::InvalidRequest, rule, text)
}

pub(super) fn failed(rule: &'static str) -> Refusal {
    let text = "the other provider did not say who you are; try again, or sign in in another way";
    Refusal::new(ErrorCode::AccessDenied, rule, text)
}

/// Whether a text is a URL that may be gone to.
fn is_safe(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| url.has_host() && is_secure(&url))
}

/// Adds or changes a provider.
///
/// # Errors
/// Something is not right, or there are too many.
pub fn put_provider(tenant: &Tenant, new: NewProvider<'_>, by: Option<&str>, env: &Env<'_>) -> Answer<()> {
    let id = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if new.id.is_empty() || new.id.len() > 32 || !new.id.bytes().all(id) {
        return Err(invalid("upstream.id", "a provider is named by 1 to 32 small letters, digits and `-`"));
    }
    let texts = [new.name, new.issuer, new.client_id, new.secret.unwrap_or("x")];
    if texts.iter().any(|text| text.trim().is_empty() || text.len() > PROVIDER_TEXT_BYTES_MAX) {
        return Err(invalid("upstream.text", "name, issuer, client id and secret must not be empty or very long"));
    }
    if !is_safe(new.issuer) || new.issuer.contains(['?', '#']) {
        return Err(invalid("upstream.issuer", "the issuer is an https URL without a query, as its metadata says it"));
    }
    let before = tenant.get::<Provider>(&[new.id])?;
    if before.is_none() && providers(tenant)?.len() >= PROVIDERS_MAX {
        return Err(invalid("upstream.max", "there are as many providers as there can be"));
    }
    let provider = Provider {
        id: new.id.to_owned(),
        name: new.name.to_owned(),
        issuer: new.issuer.to_owned(),
        client_id: new.client_id.to_owned(),
        secret: new.secret.map(|secret| seal(tenant, new.id, secret, env)).transpose()?,
        created_at: before.as_ref().map_or(env.seconds(), |held| held.created_at),
    };
    let mut change = tenant.change(env);
    match &before {
        Some(held) => change.replace(held, &provider),
        None => change.create(&[new.id], &provider),
    }
    change.event(&told(tenant, "provider.put", new.issuer, by, env));
    change.commit()?;
    Ok(())
}

fn told(tenant: &Tenant, action: &str, issuer: &str, by: Option<&str>, env: &Env<'_>) -> crate::identity::Event {
    let event = tenant.event(EventKind::AdminChanged, Outcome::Done, env).action(action).resource(issuer);
    by.into_iter().fold(event, |event, by| event.user(by))
}

/// The providers of a tenant.
///
/// # Errors
/// The disk failed.
pub fn providers(tenant: &Tenant) -> Answer<Vec<Held<Provider>>> {
    tenant.list(&[], None, PROVIDERS_MAX)
}

/// Seals with the newest key of the ring the secrets that an older one sealed; answers how many those were.
///
/// # Errors
/// The disk failed, or one does not open.
pub fn reseal_providers(tenant: &Tenant, env: &Env<'_>) -> Answer<usize> {
    let ring = tenant.identity().ring();
    let mut count = 0;
    for held in providers(tenant)? {
        let Some(sealed) = held.secret.as_deref() else { continue };
        if decode(sealed).is_some_and(|bytes| secrets::is_newest(ring, &bytes)) {
            continue;
        }
        // One that does not open must not keep the others from it.
        let plain = match open(tenant, &held, sealed) {
            Ok(plain) => plain,
            Err(refusal) => {
                tracing::error!(tenant = tenant.name(), provider = held.id, %refusal, "a secret was not sealed anew");
                continue;
            }
        };
        let secret = Some(seal(tenant, &held.id, &plain, env)?);
        let mut change = tenant.change(env);
        change.replace(&held, &Provider { secret, ..held.value.clone() });
        change.commit()?;
        count += 1;
    }
    Ok(count)
}

/// Seals a secret at the place of its provider.
fn seal(tenant: &Tenant, id: &str, secret: &str, env: &Env<'_>) -> Answer<String> {
    let place = record_key(tenant.number(), Provider::SORT, &[id]);
    let sealed = secrets::seal(tenant.identity().ring(), Hierarchy::System, &place, secret.as_bytes(), &env.bytes());
    sealed.map(|bytes| encode(&bytes)).map_err(|error| Refusal::failed("upstream.seal", error.to_string()))
}

/// Takes a provider away. Who is linked with an identity there signs in in another way from then on.
///
/// # Errors
/// There is none.
pub fn remove_provider(tenant: &Tenant, id: &str, by: Option<&str>, env: &Env<'_>) -> Answer<()> {
    let held = tenant.held::<Provider>(&[id])?;
    let mut change = tenant.change(env);
    change.remove(&held);
    change.event(&told(tenant, "provider.remove", &held.issuer, by, env));
    change.commit()?;
    Ok(())
}

/// What is remembered while a browser is at a provider. The browser holds it, sealed.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Away {
    provider: String,
    state: String,
    nonce: String,
    verifier: String,
    /// What the sign-in is for.
    pub(super) what: String,
    /// Whose account it is to be linked with.
    pub(super) link: Option<String>,
    /// Whether they must show there anew who they are.
    again: bool,
}

/// Who somebody is at a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known {
    /// The provider's issuer.
    pub(super) issuer: String,
    /// What it is named by here.
    pub(super) provider: String,
    /// What people call the provider.
    pub(super) name: String,
    /// Who they are there.
    pub(super) subject: String,
    /// When they showed it there.
    pub(super) at: Seconds,
}

/// Begins: where the browser goes, and what is to be remembered.
///
/// # Errors
/// There is no such provider, or it does not say what it must.
pub(super) fn begin(
    tenant: &Tenant,
    outside: &dyn Outside,
    provider: &str,
    (what, link, again): (&str, Option<&str>, bool),
    env: &Env<'_>,
) -> Answer<(String, Away)> {
    let provider = tenant.held::<Provider>(&[provider])?;
    let metadata = metadata(outside, &provider)?;
    let endpoint = endpoint(&metadata, "authorization_endpoint")?;
    let away = Away {
        provider: provider.id.clone(),
        state: env.secret(),
        nonce: env.secret(),
        verifier: env.secret(),
        what: what.to_owned(),
        link: link.map(str::to_owned),
        again,
    };
    let mut url = Url::parse(endpoint).map_err(|_| failed("upstream.metadata"))?;
    let (callback, challenge) = (tenant.url(CALLBACK), hash_of(&away.verifier));
    url.query_pairs_mut().extend_pairs([
        ("response_type", "code"),
        ("client_id", provider.client_id.as_str()),
        ("redirect_uri", callback.as_str()),
        ("scope", "openid"),
        ("state", away.state.as_str()),
        ("nonce", away.nonce.as_str()),
        ("code_challenge", challenge.as_str()),
        ("code_challenge_method", "S256"),
    ]);
    if again {
        url.query_pairs_mut().append_pair("max_age", "0");
    }
    Ok((url.into(), away))
}

/// What a provider answered, in the URL of the callback.
pub(super) struct Returned<'a> {
    pub(super) state: &'a str,
    pub(super) code: &'a str,
    pub(super) error: &'a str,
    pub(super) iss: &'a str,
}

/// Ends: who somebody is at the provider.
///
/// # Errors
/// It is not proved.
pub(super) fn finish(
    tenant: &Tenant,
    outside: &dyn Outside,
    away: &Away,
    returned: &Returned<'_>,
    env: &Env<'_>,
) -> Answer<Known> {
    if !same(&away.state, returned.state) {
        return Err(failed("upstream.state"));
    }
    let provider = tenant.held::<Provider>(&[&away.provider])?;
    let metadata = metadata(outside, &provider)?;
    // RFC 9207, 2.4: the answer of one provider is not taken for another's.
    let says = metadata.get("authorization_response_iss_parameter_supported") == Some(&Value::Bool(true));
    if (says || !returned.iss.is_empty()) && returned.iss != provider.issuer {
        return Err(failed("upstream.iss"));
    }
    if !returned.error.is_empty() || returned.code.is_empty() {
        return Err(failed("upstream.refused").because(returned.error.chars().take(64).collect::<String>()));
    }
    let answer = redeem(tenant, outside, &provider, &metadata, away, returned.code)?;
    let token = answer.get("id_token").and_then(Value::as_str).ok_or_else(|| failed("upstream.id_token"))?;
    let keys = outside.get(endpoint(&metadata, "jwks_uri")?)?;
    let token = verify_with(token, &keys).map_err(|refusal| failed("upstream.signature").because(refusal.rule))?;
    judge(&provider, away, &token, env)
}

/// The metadata of a provider (OpenID Connect Discovery 4).
fn metadata(outside: &dyn Outside, provider: &Provider) -> Answer<Value> {
    let url = format!("{}/.well-known/openid-configuration", provider.issuer.trim_end_matches('/'));
    let metadata = outside.get(&url)?;
    if metadata.get("issuer").and_then(Value::as_str) != Some(provider.issuer.as_str()) {
        return Err(failed("upstream.issuer"));
    }
    Ok(metadata)
}

fn endpoint<'a>(metadata: &'a Value, name: &str) -> Answer<&'a str> {
    let url = metadata.get(name).and_then(Value::as_str).filter(|url| is_safe(url));
    url.ok_or_else(|| failed("upstream.metadata").because(name))
}

/// Redeems the code (RFC 6749, 4.1.3).
fn redeem(
    tenant: &Tenant,
    outside: &dyn Outside,
    provider: &Provider,
    metadata: &Value,
    away: &Away,
    code: &str,
) -> Answer<Value> {
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    form.append_pair("grant_type", "authorization_code").append_pair("code", code);
    form.append_pair("redirect_uri", &tenant.url(CALLBACK)).append_pair("code_verifier", &away.verifier);
    let secret = provider.secret.as_deref().map(|sealed| open(tenant, provider, sealed)).transpose()?;
    let methods = metadata.get("token_endpoint_auth_methods_supported").and_then(Value::as_array);
    // RFC 8414, 2: without a list it is the header.
    let basic = methods.is_none_or(|methods| methods.iter().any(|method| method == "client_secret_basic"));
    let mut authorization = None;
    match &secret {
        Some(secret) if basic => {
            let part = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
            let pair = Zeroizing::new(format!("{}:{}", part(&provider.client_id), part(secret)));
            authorization = Some(Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes()))));
        }
        Some(secret) => {
            form.append_pair("client_id", &provider.client_id).append_pair("client_secret", secret);
        }
        None => {
            form.append_pair("client_id", &provider.client_id);
        }
    }
    let form = Zeroizing::new(form.finish());
    outside.post(endpoint(metadata, "token_endpoint")?, &form, authorization.as_ref().map(|text| text.as_str()))
}

fn open(tenant: &Tenant, provider: &Provider, sealed: &str) -> Answer<Zeroizing<String>> {
    let place = record_key(tenant.number(), Provider::SORT, &[&provider.id]);
    let bytes = decode(sealed).unwrap_or_default();
    let plain = secrets::open(tenant.identity().ring(), Hierarchy::System, &place, &bytes);
    let plain = plain.map_err(|error| Refusal::failed("upstream.open", error.to_string()))?;
    let text = std::str::from_utf8(&plain).map_err(|_| Refusal::failed("upstream.open", "it is no text"))?;
    Ok(Zeroizing::new(text.to_owned()))
}

/// Judges a verified ID token (OpenID Connect Core 3.1.3.7).
fn judge(provider: &Provider, away: &Away, token: &Verified, env: &Env<'_>) -> Answer<Known> {
    let typ = token.header.get("typ").and_then(Value::as_str);
    if typ.is_some_and(|typ| !typ.eq_ignore_ascii_case("JWT")) {
        return Err(failed("upstream.typ"));
    }
    if token.text("iss") != Some(provider.issuer.as_str()) {
        return Err(failed("upstream.token_iss"));
    }
    let (audience, azp) = (token.audience(), token.text("azp"));
    let ours = |id: &str| id == provider.client_id;
    if !audience.iter().any(|id| ours(id)) || azp.is_some_and(|azp| !ours(azp)) || (audience.len() > 1 && azp.is_none())
    {
        return Err(failed("upstream.token_aud"));
    }
    let now = env.seconds();
    check_times(token, now, UPSTREAM_TOKEN_SECONDS_MAX)
        .map_err(|refusal| failed("upstream.times").because(refusal.rule))?;
    if !token.text("nonce").is_some_and(|nonce| same(nonce, &away.nonce)) {
        return Err(failed("upstream.nonce"));
    }
    let subject = token.text("sub").filter(|sub| !sub.is_empty() && sub.len() <= SUBJECT_BYTES_MAX);
    let subject = subject.ok_or_else(|| failed("upstream.sub"))?;
    // Who had to show anew who they are did so if the provider says when it was, and it was just now.
    let at = token.time("auth_time").map(|at| at.min(now));
    let at = match (at, away.again) {
        (None, true) => return Err(failed("upstream.auth_time")),
        (at, _) => at.unwrap_or(now),
    };
    let (issuer, name) = (provider.issuer.clone(), provider.name.clone());
    Ok(Known { issuer, provider: provider.id.clone(), name, subject: subject.to_owned(), at })
}
