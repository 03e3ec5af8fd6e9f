//! How and when somebody showed who they are, and how well and how lately they must have for what a token of theirs is used for
//! (RFC 9470). Pure.

use super::{Answer, ErrorCode, Refusal, Seconds, acr_satisfies};
use serde::{Deserialize, Serialize};

/// How and when somebody showed who they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Authentication {
    /// When (OpenID Connect `auth_time`).
    pub at: Seconds,
    /// How strongly: one of [`ACR_VALUES`](super::ACR_VALUES).
    pub acr: String,
    /// By what (RFC 8176): `pwd`, `otp`, `hwk`, `mfa`.
    pub amr: Vec<String>,
}

/// Longest class of authentication that is asked for.
const ACR_BYTES_MAX: usize = 128;

/// What is asked of an authentication. A token of nobody, as a client has for itself, never has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepUp {
    // INVARIANT: one of both is there; the class is printable ASCII without blanks, quotes and backslashes; the age is not 0.
    acr: Option<String>,
    max_age: Option<Seconds>,
}

impl StepUp {
    /// What a rule asks for, which may be nothing.
    ///
    /// # Errors
    /// It could not be said in a challenge, or nobody could ever have it.
    pub fn of(acr: Option<&str>, max_age: Option<Seconds>) -> Answer<Option<StepUp>> {
        let invalid = |text: &str| Refusal::new(ErrorCode::InvalidRequest, "step_up.form", text);
        let is_class = |acr: &str| {
            (1..=ACR_BYTES_MAX).contains(&acr.len())
                && acr.bytes().all(|b| b.is_ascii_graphic() && !b"\"\\".contains(&b))
        };
        if acr.is_some_and(|acr| !is_class(acr)) {
            return Err(invalid("`acr` is no class of authentication; write one, as `phr`"));
        }
        if max_age == Some(0) {
            return Err(invalid("`max_age` is 0, which nobody could have; write how many seconds ago at most"));
        }
        let asks = acr.is_some() || max_age.is_some();
        Ok(asks.then(|| StepUp { acr: acr.map(str::to_owned), max_age }))
    }

    /// The class that is asked for, or one above it.
    #[must_use]
    pub fn acr(&self) -> Option<&str> {
        self.acr.as_deref()
    }

    /// How many seconds ago the authentication may have been.
    #[must_use]
    pub fn max_age(&self) -> Option<Seconds> {
        self.max_age
    }

    /// Whether an authentication does.
    #[must_use]
    pub fn is_met(&self, by: Option<&Authentication>, now: Seconds) -> bool {
        by.is_some_and(|by| {
            self.acr.as_ref().is_none_or(|acr| acr_satisfies(&by.acr, acr))
                && self.max_age.is_none_or(|max_age| now <= by.at.saturating_add(max_age))
        })
    }

    /// Refuses what an authentication does not do for.
    ///
    /// # Errors
    /// [`ErrorCode::InsufficientUserAuthentication`], by this rule.
    pub fn demand(&self, by: Option<&Authentication>, now: Seconds, rule: &'static str) -> Answer<()> {
        if self.is_met(by, now) {
            return Ok(());
        }
        let acr = self.acr.as_ref().map(|acr| format!(" as `{acr}`")).unwrap_or_default();
        let age = self.max_age.map(|age| format!(" within the last {age} seconds")).unwrap_or_default();
        let text = format!("this takes a token of a person who was authenticated{acr}{age}");
        let refusal = Refusal::new(ErrorCode::InsufficientUserAuthentication, rule, text);
        Err(Refusal { step_up: Some(Box::new(self.clone())), ..refusal })
    }

    /// As parameters of a challenge, behind others (RFC 9470 3).
    #[must_use]
    pub fn parameters(&self) -> String {
        let acr = self.acr.as_ref().map(|acr| format!(", acr_values=\"{acr}\"")).unwrap_or_default();
        let age = self.max_age.map(|age| format!(", max_age=\"{age}\"")).unwrap_or_default();
        acr + &age
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authentication_does_when_it_is_as_strong_and_as_new() {
        let by = |acr: &str| Authentication { at: 1_000, acr: acr.into(), amr: Vec::new() };
        let met = |step_up: &StepUp, acr: &str, now| step_up.is_met(Some(&by(acr)), now);
        let strong = StepUp::of(Some("aal2"), None).unwrap().unwrap();
        assert!(met(&strong, "aal2", 9_999) && met(&strong, "phr", 9_999) && !met(&strong, "aal1", 1_000));
        let fresh = StepUp::of(None, Some(60)).unwrap().unwrap();
        assert!(met(&fresh, "", 1_060) && !met(&fresh, "phr", 1_061));
        let both = StepUp::of(Some("urn:x"), Some(60)).unwrap().unwrap();
        assert!(met(&both, "urn:x", 1_060) && !met(&both, "urn:x", 1_061) && !met(&both, "phr", 1_000));
        assert!([&strong, &fresh, &both].iter().all(|step_up| !step_up.is_met(None, 0)), "nobody has nothing");
        let refusal = both.demand(None, 0, "a.rule").unwrap_err();
        assert_eq!((refusal.error, refusal.rule), (ErrorCode::InsufficientUserAuthentication, "a.rule"));
        assert!(refusal.description.ends_with("as `urn:x` within the last 60 seconds"), "{}", refusal.description);
        assert_eq!(refusal.step_up.unwrap().parameters(), ", acr_values=\"urn:x\", max_age=\"60\"");
        assert_eq!(StepUp::of(None, None).unwrap(), None);
        for (acr, max_age) in [(Some(""), None), (Some("a b"), None), (Some("a\"b"), None), (None, Some(0))] {
            assert_eq!(StepUp::of(acr, max_age).unwrap_err().rule, "step_up.form");
        }
    }
}
