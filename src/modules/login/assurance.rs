//! How sure we are of who somebody is: levels (`acr`), methods (`amr`), and whether a session does for what is asked.
//!
//! | acr | what was shown | amr (RFC 8176) |
//! |---|---|---|
//! | `aal1` | one factor: a password, an invitation, or the word of another provider | `pwd`, `otp`, or none |
//! | `aal2` | two factors: one of those, and a code of an app or a recovery code | `pwd` `otp` `mfa`, or `otp` `mfa` |
//! | `phr` | a passkey that verified its user: two factors, of which no other site gets anything | `pop` `user` `mfa` |
//!
//! Each does for those above it. `aal1` and `aal2` are the levels of NIST SP 800-63B, `phr` is that of OpenID Connect Extended
//! Authentication Profile ACR Values 1.0.

use crate::identity::{ACR_VALUES, Authentication, Seconds, acr_satisfies};

/// A level: one of [`ACR_VALUES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// One factor.
    One,
    /// Two factors.
    Two,
    /// Two factors that resist phishing.
    PhishingResistant,
}

impl Level {
    /// All, the least first.
    pub const ALL: [Level; 3] = [Level::One, Level::Two, Level::PhishingResistant];

    /// The name, as it stands in `acr`.
    #[must_use]
    pub fn name(self) -> &'static str {
        let [one, two, resistant] = ACR_VALUES;
        match self {
            Level::One => one,
            Level::Two => two,
            Level::PhishingResistant => resistant,
        }
    }

    /// The level of a name.
    #[must_use]
    pub fn of(name: &str) -> Option<Level> {
        Level::ALL.into_iter().find(|level| level.name() == name)
    }

    /// The least level that does for `acr_values`: any of the values will do, and those that are no levels of ours ask for
    /// nothing (OpenID Connect Core 3.1.2.1: they are a wish).
    #[must_use]
    pub fn wanted<'a>(acr_values: impl IntoIterator<Item = &'a str>) -> Option<Level> {
        acr_values.into_iter().filter_map(Level::of).min()
    }
}

/// What somebody showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// A password.
    Password,
    /// A password, and a code of an app or a recovery code.
    PasswordAndCode,
    /// A passkey.
    Passkey,
    /// The word of another provider. How it came to it is its own.
    Upstream,
    /// The same, and a code of an app or a recovery code.
    UpstreamAndCode,
    /// An invitation, followed once.
    Invitation,
}

impl Method {
    /// The level.
    #[must_use]
    pub fn level(self) -> Level {
        match self {
            Method::Password | Method::Upstream | Method::Invitation => Level::One,
            Method::PasswordAndCode | Method::UpstreamAndCode => Level::Two,
            Method::Passkey => Level::PhishingResistant,
        }
    }

    /// The values of `amr` (RFC 8176, section 2).
    #[must_use]
    pub fn amr(self) -> &'static [&'static str] {
        match self {
            Method::Password => &["pwd"],
            Method::PasswordAndCode => &["pwd", "otp", "mfa"],
            Method::Passkey => &["pop", "user", "mfa"],
            Method::Upstream => &[],
            Method::UpstreamAndCode => &["otp", "mfa"],
            Method::Invitation => &["otp"],
        }
    }

    /// What a session says of it.
    #[must_use]
    pub fn authentication(self, at: Seconds) -> Authentication {
        let amr = self.amr().iter().map(|value| (*value).to_owned()).collect();
        Authentication { at, acr: self.level().name().to_owned(), amr }
    }
}

/// What is asked of an authentication.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Need {
    /// The least level.
    pub level: Option<Level>,
    /// It must not be older than this, in seconds since 1970.
    pub since: Seconds,
}

impl Need {
    /// Whether an authentication does.
    #[must_use]
    pub(super) fn is_met(&self, by: &Authentication) -> bool {
        by.at >= self.since && self.level.is_none_or(|level| acr_satisfies(&by.acr, level.name()))
    }

    /// Whether a method would do, now.
    #[must_use]
    pub(super) fn would_meet(&self, method: Method) -> bool {
        self.level.is_none_or(|level| method.level() >= level)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_is_for_the_least_that_does() {
        let wanted = |text: &str| Level::wanted(text.split(' '));
        assert_eq!(wanted("phr aal2"), Some(Level::Two));
        assert_eq!(wanted("phr urn:example:silver"), Some(Level::PhishingResistant));
        assert_eq!(wanted("urn:example:silver 1"), None);
        assert_eq!(wanted(""), None);
    }

    #[test]
    fn a_need_is_met_by_what_is_as_strong_and_as_new() {
        let need = Need { level: Some(Level::Two), since: 100 };
        assert!(need.is_met(&Method::PasswordAndCode.authentication(100)));
        assert!(need.is_met(&Method::Passkey.authentication(101)));
        assert!(!need.is_met(&Method::Passkey.authentication(99)));
        assert!(!need.is_met(&Method::Password.authentication(101)));
        let other = Authentication { at: 200, acr: "silver".to_owned(), amr: Vec::new() };
        assert!(!need.is_met(&other));
        assert!(Need::default().is_met(&other));
        assert!(need.would_meet(Method::Passkey) && !need.would_meet(Method::Invitation));
    }

    #[test]
    fn levels_are_named_once() {
        for level in Level::ALL {
            assert_eq!(Level::of(level.name()), Some(level));
        }
        assert!(Level::ALL.windows(2).all(|pair| pair[0] < pair[1]));
    }
}
