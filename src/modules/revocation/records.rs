//! What the module keeps: the places that are told, what each is still to be told, and what is not to be done twice.

use crate::engine::Module;
use crate::identity::{
    Answer, ErrorCode, ISSUER_BYTES_MAX, Refusal, Seconds, SigningAlgorithm, Stored, check_id, is_secure,
};
use serde::{Deserialize, Serialize};

/// The module whose records these are.
pub const REVOCATION: Module = Module::new("revocation");
/// Most places of a tenant.
pub const PLACES_MAX: usize = 64;
/// Longest URL of an endpoint.
const ENDPOINT_BYTES_MAX: usize = 2_048;
/// Longest name of ours at another place.
const CLIENT_ID_BYTES_MAX: usize = 1_024;

/// By what a place knows people (RFC 9493).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SubjectFormat {
    /// By this issuer and their `sub` (3.2.4).
    #[default]
    IssSub,
    /// By their address, when it is known to be theirs (3.2.2).
    Email,
    /// By their `sub` alone (3.2.5).
    Opaque,
}

/// Another system that is told when all that a person has here is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// What it is named by here.
    pub id: String,
    /// Its `global_token_revocation_endpoint`.
    pub endpoint: String,
    /// By what it knows people.
    #[serde(default)]
    pub subject: SubjectFormat,
    /// By what it knows us: the `sub` of what we show, as Okta and Auth0 want it. It is the id of its client here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// Its issuer, when it may ask for revocations here too: it is not told of what it asked for itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// With what is signed what we show.
    #[serde(default)]
    pub alg: SigningAlgorithm,
    /// When it is a stream of shared signals: it is told by security event tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signals: Option<Signals>,
    /// When it was made.
    pub created_at: Seconds,
}

/// What a stream of shared signals has besides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signals {
    /// Who its receiver is: the `aud` of its tokens.
    pub audience: String,
    /// The `Authorization` header that its receiver wants, sealed at its place.
    pub(super) authorization: Option<String>,
}

impl Signals {
    /// Whether its receiver wants an `Authorization` header.
    #[must_use]
    pub fn has_authorization(&self) -> bool {
        self.authorization.is_some()
    }
}

impl Stored for Place {
    const MODULE: Module = REVOCATION;
    const SORT: u8 = b'p';
    const WHAT: &'static str = "place that is told of revocations";
}

impl Place {
    /// Whether it makes sense.
    pub(super) fn check(&self) -> Answer<()> {
        let refuse = |rule, text: &str| Err(Refusal::new(ErrorCode::InvalidRequest, rule, text));
        check_id(&self.id)?;
        let fine = |url: &url::Url| {
            is_secure(url) && url.fragment().is_none() && url.username().is_empty() && url.password().is_none()
        };
        let endpoint = &self.endpoint;
        if endpoint.len() > ENDPOINT_BYTES_MAX || !url::Url::parse(endpoint).is_ok_and(|url| fine(&url)) {
            return refuse("revocation.endpoint", "an endpoint is an https URL without fragment and user");
        }
        let bad = |text: &str, most| text.is_empty() || text.len() > most || text.chars().any(char::is_control);
        if self.client_id.as_deref().is_some_and(|id| bad(id, CLIENT_ID_BYTES_MAX)) {
            return refuse("revocation.client_id", "`client_id` is empty, too long or has control characters");
        }
        if self.signals.as_ref().is_some_and(|signals| bad(&signals.audience, CLIENT_ID_BYTES_MAX)) {
            return refuse("signals.audience", "`audience` is empty, too long or has control characters");
        }
        if self.issuer.as_deref().is_some_and(|issuer| bad(issuer, ISSUER_BYTES_MAX)) {
            return refuse("revocation.issuer", "`issuer` is empty, too long or has control characters");
        }
        Ok(())
    }
}

/// Of what a place is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum About {
    /// All is over that a person has.
    SignedOut {
        /// The person.
        user: String,
        /// Their address, when it is known to be theirs.
        email: Option<String>,
        /// A short word of why.
        reason: String,
        /// What it is named by from system to system.
        cause: String,
    },
    /// That the stream is there.
    Verification {
        /// What its administrator wants to see there.
        state: Option<String>,
    },
}

/// What a place is to be told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Call {
    /// Its id.
    pub(super) id: String,
    /// The place.
    pub(super) place: String,
    /// When the place was made: one that is made anew under its id, perhaps elsewhere, is not told.
    #[serde(default)]
    pub(super) place_made_at: Option<Seconds>,
    /// Of what.
    pub(super) about: About,
    /// When it began.
    pub(super) made_at: Seconds,
    /// When the place is to be told.
    pub(super) due_at: Seconds,
    /// How often it was told in vain.
    pub(super) tries: u32,
}

impl Stored for Call {
    const MODULE: Module = REVOCATION;
    const SORT: u8 = b'c';
    const WHAT: &'static str = "revocation to be told";
}

/// What another system showed, which is good once: who shows it again comes too late.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Used {
    /// When.
    pub(super) at: Seconds,
}

impl Stored for Used {
    const MODULE: Module = REVOCATION;
    const SORT: u8 = b'u';
    const WHAT: &'static str = "used token of a revocation";
}

/// That a cause was acted on for a person, here: it is not acted on again when it comes round.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Handled {
    /// When.
    pub(super) at: Seconds,
}

impl Stored for Handled {
    const MODULE: Module = REVOCATION;
    const SORT: u8 = b'h';
    const WHAT: &'static str = "revocation that was acted on";
}
