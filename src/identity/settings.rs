//! What can be said of a tenant: how long its things live, and its defaults.

use super::{Answer, ErrorCode, Refusal, RegistrationSettings, Seconds};
use serde::{Deserialize, Serialize};

/// Longest life of anything of a tenant: ten years.
pub(super) const LIFE_MAX_S: Seconds = 10 * 365 * 24 * 3_600;
/// Longest life of a code (RFC 6749 4.1.2).
const CODE_MAX_S: Seconds = 600;

/// How long things of a tenant live, in seconds, and what its defaults are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TenantSettings {
    /// An access token.
    pub access_token_s: Seconds,
    /// An ID token.
    pub id_token_s: Seconds,
    /// An authorization code (RFC 6749 4.1.2: at most ten minutes).
    pub code_s: Seconds,
    /// A pushed request until it is used (RFC 9126 2.2).
    pub pushed_request_s: Seconds,
    /// A request at the login pages, until it is decided.
    pub request_s: Seconds,
    /// A session without activity.
    pub session_idle_s: Seconds,
    /// A session in all.
    pub session_s: Seconds,
    /// What was granted with `offline_access`, in all.
    pub offline_s: Seconds,
    /// How long the refresh token before the newest still gets the newest, for clients that ask twice at once.
    pub refresh_grace_s: Seconds,
    /// How old a signing key grows before the next takes its place.
    pub key_life_s: Seconds,
    /// How long a signing key is published before it signs, so that no cache of the keys lacks it.
    pub key_lead_s: Seconds,
    /// The identifier of the resource that is meant when a client names none.
    pub default_resource: Option<String>,
    /// How clients may register themselves (RFC 7591); nobody may unless it is said.
    pub registration: RegistrationSettings,
}

impl Default for TenantSettings {
    fn default() -> Self {
        TenantSettings {
            access_token_s: 600,
            id_token_s: 600,
            code_s: 60,
            pushed_request_s: 90,
            request_s: 900,
            session_idle_s: 3_600,
            session_s: 12 * 3_600,
            offline_s: 30 * 24 * 3_600,
            refresh_grace_s: 10,
            key_life_s: 90 * 24 * 3_600,
            key_lead_s: 24 * 3_600,
            default_resource: None,
            registration: RegistrationSettings::default(),
        }
    }
}

impl TenantSettings {
    pub(super) fn check(&self) -> Answer<()> {
        let lives = [
            ("access_token_s", self.access_token_s, 1..=LIFE_MAX_S),
            ("id_token_s", self.id_token_s, 1..=LIFE_MAX_S),
            ("code_s", self.code_s, 1..=CODE_MAX_S),
            ("pushed_request_s", self.pushed_request_s, 1..=LIFE_MAX_S),
            ("request_s", self.request_s, 1..=LIFE_MAX_S),
            ("session_idle_s", self.session_idle_s, 1..=LIFE_MAX_S),
            ("session_s", self.session_s, 1..=LIFE_MAX_S),
            ("offline_s", self.offline_s, 1..=LIFE_MAX_S),
            ("refresh_grace_s", self.refresh_grace_s, 0..=LIFE_MAX_S),
            ("key_life_s", self.key_life_s, 1..=LIFE_MAX_S),
            ("key_lead_s", self.key_lead_s, 0..=LIFE_MAX_S),
        ];
        if let Some((name, life, bounds)) = lives.into_iter().find(|(_, life, bounds)| !bounds.contains(life)) {
            let text = format!("`{name}` is {} to {} seconds, and not {life}", bounds.start(), bounds.end());
            return Err(Refusal::new(ErrorCode::InvalidRequest, "settings.life", text));
        }
        self.default_resource.as_deref().map(super::check_resource).transpose()?;
        self.registration.check()
    }
}
