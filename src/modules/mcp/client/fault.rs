//! Why a trial ends, and what to do about it. What the other side said is shown with nothing hidden in it, and cut.

use crate::wire::{OutgoingError, visible};

/// Most letters of a text of the other side that are shown.
pub const SHOWN_LETTERS_MAX: usize = 300;

/// A text of the other side, as people may see it.
#[must_use]
pub fn shown(text: &str) -> String {
    let cut: String = text.chars().take(SHOWN_LETTERS_MAX).collect();
    let more = if cut.len() < text.len() { "…" } else { "" };
    format!("{}{more}", visible(&cut))
}

/// See the file's head. Texts of the other side in it have been through [`shown`].
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// There is no answer, or it breaks a bound.
    #[error("{what}: {error}")]
    Asked {
        /// What was asked for.
        what: String,
        /// Why there is none.
        error: OutgoingError,
    },
    /// An answer is of another kind than it has to be.
    #[error("{what} answered with {status}{said}")]
    Status {
        /// Who.
        what: String,
        /// The status.
        status: u16,
        /// What it said, behind a colon; or nothing.
        said: String,
    },
    /// No JSON, or a member of another kind.
    #[error("{what} is not what it has to be: {why}")]
    Malformed {
        /// What.
        what: String,
        /// Why.
        why: String,
    },
    /// A 401 without anything to go on with.
    #[error(
        "the server wants a token, and says nowhere which: no metadata of it at {places}; serve protected resource metadata (RFC 9728), and \
         name their URL as `resource_metadata` in the challenge"
    )]
    NoResourceMetadata {
        /// Where they were looked for.
        places: String,
    },
    /// RFC 9728 3.3.
    #[error(
        "the metadata are of `{said}` and not of `{asked}`: a token for it could be used elsewhere; have `resource` be the URL that clients \
         call, or one above it"
    )]
    Resource {
        /// What was asked.
        asked: String,
        /// What they are of.
        said: String,
    },
    /// Nobody to ask for a token.
    #[error("the metadata name no authorization server; add `authorization_servers`")]
    NoServer,
    /// RFC 8414 3.3.
    #[error(
        "the metadata are of the issuer `{said}` and not of `{expected}`, letter for letter: they may be somebody else's; correct \
         `authorization_servers`, or `issuer`"
    )]
    Issuer {
        /// Whom the protected resource named.
        expected: String,
        /// Whom they are of.
        said: String,
    },
    /// None at any place.
    #[error(
        "there are no metadata of `{issuer}` at {places}; serve them at one of these (RFC 8414, OpenID Connect Discovery)"
    )]
    NoServerMetadata {
        /// Of whom.
        issuer: String,
        /// Where they were looked for.
        places: String,
    },
    /// MCP: a client must not go on.
    #[error(
        "`{issuer}` does not say that it takes PKCE with S256, without which a code could be stolen; have `code_challenge_methods_supported` \
         name S256"
    )]
    NoPkce {
        /// Who.
        issuer: String,
    },
    /// Something is wanted that is not offered.
    #[error("`{issuer}` does not offer {what}; {advice}")]
    NotOffered {
        /// Who.
        issuer: String,
        /// What.
        what: String,
        /// What to do.
        advice: &'static str,
    },
    /// Who are we there?
    #[error(
        "`{issuer}` registers nobody who asks; register a client with it, and say --client-id and its secret or key"
    )]
    NoClient {
        /// Who.
        issuer: String,
    },
    /// The answer is of another request.
    #[error(
        "the browser came back with another `state` than it was sent with: somebody else's answer, or one that was opened twice; try again"
    )]
    State,
    /// RFC 9207 2.4.
    #[error(
        "the answer does not say who gave it, though `{issuer}` says that it always does (`iss`, RFC 9207); it may come of another server"
    )]
    NoIss {
        /// Who should have.
        issuer: String,
    },
    /// RFC 9207 2.4.
    #[error(
        "the answer is of `{said}` and not of `{expected}`, letter for letter; its code is sent nowhere (`iss`, RFC 9207)"
    )]
    Iss {
        /// Who was asked.
        expected: String,
        /// Who answered.
        said: String,
    },
    /// An OAuth error.
    #[error("{what} said no: {code}{said}")]
    Denied {
        /// Who.
        what: String,
        /// The code.
        code: String,
        /// What it said of it, behind a colon; or nothing.
        said: String,
    },
    /// A page where an answer had to be.
    #[error("`{host}` shows a page, so a person has to sign in; leave --follow out and open the URL in a browser")]
    Page {
        /// Who.
        host: String,
    },
    /// Nobody came back.
    #[error("no browser came back within {seconds} seconds; open the URL sooner, or say --wait SECONDS")]
    NoAnswer {
        /// How long it was waited.
        seconds: u64,
    },
    /// 403, and nothing new to ask for.
    #[error(
        "the server wants the scopes `{wanted}`, which were asked for, and `{issuer}` gave `{given}`: asking again would never end; let the \
         client have them there, or do without"
    )]
    Scopes {
        /// What the server wants.
        wanted: String,
        /// Who gave less.
        issuer: String,
        /// What it gave.
        given: String,
    },
    /// A fresh token is no good.
    #[error(
        "the server refuses the token that its own authorization server has just given{said}; do both mean the same resource and the same keys?"
    )]
    Useless {
        /// What it said of it, behind a colon; or nothing.
        said: String,
    },
    /// Too many rounds.
    #[error("the server asked for a token {rounds} times; it would go on for ever")]
    Rounds {
        /// How many.
        rounds: usize,
    },
    /// The other side speaks no version of ours.
    #[error("the server speaks {theirs}, and this client {ours}")]
    Version {
        /// What it speaks.
        theirs: String,
        /// What we speak.
        ours: String,
    },
    /// A JSON-RPC error.
    #[error("{method} was refused: {said} ({code})")]
    Rpc {
        /// Which.
        method: String,
        /// Its code.
        code: i64,
        /// What it says.
        said: String,
    },
    /// What the person said cannot be done.
    #[error("{0}")]
    Wrong(String),
}

impl ClientError {
    pub(super) fn malformed(what: &str, why: impl Into<String>) -> ClientError {
        ClientError::Malformed { what: what.to_owned(), why: why.into() }
    }
}
