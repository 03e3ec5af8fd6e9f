//! An issuer that asks for a revocation, by a token that it signed (as Okta and Auth0 do; the draft names no form): of its type,
//! with exactly the keys of the issuer that it names, for this endpoint alone, for five minutes at most.

use crate::identity::{
    Answer, Env, ErrorCode, Refusal, Seconds, Tenant, Verified, check_times, unverified_claim, unverified_header,
    verify_with,
};
use serde_json::Value;
use std::sync::Arc;

/// The type of what an issuer shows.
pub const REVOCATION_TYP: &str = "global-token-revocation+jwt";
/// The claim by which we name what a revocation comes of, from system to system.
pub(super) const CAUSE: &str = "bailiwick_cause";
/// Longest life of what an issuer shows, in seconds.
pub const LIFE_MAX_S: Seconds = 300;
/// Longest `jti` and cause, in bytes.
const TEXT_BYTES_MAX: usize = 256;

/// How an issuer may name people who are here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Naming {
    /// By what it calls them itself, when they are linked with that.
    Linked,
    /// By what it calls them itself: both sides give the same ids.
    Same,
    /// By their id here.
    Ours,
    /// By their address, when it is known here to be theirs: the issuer is believed about addresses.
    Email,
}

/// Where the keys of an issuer are.
#[derive(Clone, Debug, PartialEq)]
pub enum Keys {
    /// It is a tenant of this process.
    Here,
    /// Here: a JWK set.
    Jwks(Value),
    /// At a URL.
    JwksUri(String),
    /// Where its metadata says.
    Discovered,
}

/// An issuer that is trusted with who its people are.
#[derive(Clone, Debug, PartialEq)]
pub struct Trusted {
    /// The issuer, byte for byte.
    pub issuer: String,
    /// What we are called there, where that is known: the `sub` of what it shows is one of them.
    pub clients: Vec<String>,
    /// How it may name people.
    pub names: Vec<Naming>,
    /// Where its keys are.
    pub keys: Keys,
}

/// Who knows which issuers are trusted with who people are. `server.rs` plugs in those that have them.
pub trait Issuers: Send + Sync {
    /// What is known of an issuer; nothing of one that is not trusted.
    ///
    /// # Errors
    /// The disk failed.
    fn trusted(&self, tenant: &Tenant, issuer: &str) -> Answer<Option<Trusted>>;

    /// The keys of an issuer, as a JWK set. `fresh`: those that were had last lack one.
    ///
    /// # Errors
    /// They cannot be had.
    fn keys(&self, tenant: &Tenant, trusted: &Trusted, fresh: bool, env: &Env<'_>) -> Answer<Arc<Value>>;
}

/// What an issuer said, believed.
#[derive(Clone, Debug)]
pub(super) struct Said {
    /// Who said it.
    pub(super) trusted: Trusted,
    /// What it is named by: it is good once.
    pub(super) jti: String,
    /// When it ends.
    pub(super) expires_at: Seconds,
    /// What the revocation comes of, when the issuer says so.
    pub(super) cause: Option<String>,
}

/// Whether a token is one that an issuer shows; else it is an access token, or nothing.
pub(super) fn is_of_issuer(token: &str) -> bool {
    unverified_header(token).is_ok_and(|header| header.get("typ").and_then(Value::as_str) == Some(REVOCATION_TYP))
}

fn refuse(rule: &'static str, text: &str) -> Refusal {
    Refusal::new(ErrorCode::InvalidToken, rule, text)
}

/// Judges what an issuer shows at the endpoint of this URL.
///
/// # Errors
/// [`ErrorCode::InvalidToken`]; or the keys cannot be had.
pub(super) fn judge(tenant: &Tenant, issuers: &dyn Issuers, token: &str, url: &str, env: &Env<'_>) -> Answer<Said> {
    let unknown = || refuse("revocation.issuer", "the issuer of this token is not trusted here with who people are");
    let issuer = unverified_claim(token, "iss").ok_or_else(unknown)?;
    let known = issuers.trusted(tenant, &issuer)?;
    let trusted = known.filter(|known| known.issuer == issuer && issuer != tenant.issuer()).ok_or_else(unknown)?;
    let verified = verified(tenant, issuers, token, &trusted, env)?;
    if verified.header.get("typ").and_then(Value::as_str) != Some(REVOCATION_TYP) {
        return Err(refuse("revocation.typ", "this token is for something else (`typ`)"));
    }
    if verified.text("iss") != Some(&trusted.issuer) {
        return Err(unknown());
    }
    if !is_only(verified.claims.get("aud"), url) {
        return Err(refuse("revocation.audience", "the token is not for this endpoint alone (`aud`)"));
    }
    check_times(&verified, env.seconds(), LIFE_MAX_S)?;
    let (begin, end) = (verified.time("iat"), verified.time("exp").unwrap_or(0));
    let begin = begin.ok_or_else(|| refuse("revocation.iat", "the token has no `iat`"))?;
    if end.saturating_sub(begin) > LIFE_MAX_S {
        return Err(refuse("token.life", "the token lives too long: five minutes are the most"));
    }
    let ours = |sub: &str| trusted.clients.iter().any(|client| client == sub);
    if !trusted.clients.is_empty() && !verified.text("sub").is_some_and(ours) {
        return Err(refuse("revocation.client", "`sub` of the token is not what this server is called at its issuer"));
    }
    let short = |text: &&str| !text.is_empty() && text.len() <= TEXT_BYTES_MAX;
    let jti = verified.text("jti").filter(short).map(str::to_owned);
    let jti = jti.ok_or_else(|| refuse("revocation.jti", "the token has no `jti`, or one that is too long"))?;
    let cause = verified.text(CAUSE).filter(short).map(str::to_owned);
    Ok(Said { trusted, jti, expires_at: end, cause })
}

fn verified(tenant: &Tenant, issuers: &dyn Issuers, token: &str, trusted: &Trusted, env: &Env<'_>) -> Answer<Verified> {
    match verify_with(token, &*issuers.keys(tenant, trusted, false, env)?) {
        Err(refusal) if refusal.rule == "token.kid" => verify_with(token, &*issuers.keys(tenant, trusted, true, env)?),
        done => done,
    }
}

/// Whether a claim that may be one text or several is this one text (RFC 7519 4.1.3).
fn is_only(claim: Option<&Value>, wanted: &str) -> bool {
    match claim {
        Some(Value::String(one)) => one == wanted,
        Some(Value::Array(several)) => matches!(several.as_slice(), [Value::String(one)] if one == wanted),
        _ => false,
    }
}
