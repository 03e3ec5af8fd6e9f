//! Sessions of servers behind the gateway, in versions that have them. A session is an id that whoever has it may use, so the
//! gateway hands out the id together with a MAC over whose it is: another caller's session does not open (MCP, security best
//! practices, session hijacking).

use super::Judged;
use aws_lc_rs::hmac::{self, HMAC_SHA256, Key};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;

/// Longest id of a server's session, in bytes.
const SESSION_BYTES_MAX: usize = 512;

/// Binds ids to callers.
pub(super) struct Sessions {
    key: Key,
}

impl Sessions {
    /// `key` is 32 random bytes; gateways that stand for the same server share it.
    pub(super) fn new(key: &[u8; 32]) -> Sessions {
        Sessions { key: Key::new(HMAC_SHA256, key) }
    }

    /// What is signed: each part with its length before it, so that no two callers are the same text.
    fn whose(resource: &str, caller: &Judged, session: &str) -> Vec<u8> {
        let agent = caller.agent.as_ref().map(ToString::to_string).unwrap_or_default();
        let mut text = Vec::new();
        for part in [resource, &caller.subject.to_string(), &agent, &caller.client, session] {
            text.extend(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            text.extend(part.as_bytes());
        }
        text
    }

    /// The id that the caller gets. `None`: no id of a server looks like that.
    pub(super) fn bound(&self, resource: &str, caller: &Judged, session: &str) -> Option<String> {
        let plain = session.len() <= SESSION_BYTES_MAX && session.bytes().all(|b| b.is_ascii_graphic());
        let tag = hmac::sign(&self.key, &Sessions::whose(resource, caller, session));
        (plain && !session.is_empty()).then(|| format!("{}.{}", BASE64.encode(tag), BASE64.encode(session)))
    }

    /// The server's id, if the caller was given this one.
    pub(super) fn opened(&self, resource: &str, caller: &Judged, bound: &str) -> Option<String> {
        let (tag, session) = bound.split_once('.')?;
        let (tag, session) = (BASE64.decode(tag).ok()?, BASE64.decode(session).ok()?);
        let session = String::from_utf8(session).ok().filter(|session| session.len() <= SESSION_BYTES_MAX)?;
        // Compares in constant time.
        hmac::verify(&self.key, &Sessions::whose(resource, caller, &session), &tag).ok()?;
        Some(session)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::judged;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_session_opens_for_its_caller_alone() {
        let sessions = Sessions::new(&[7; 32]);
        let sarah = judged("user:sarah", Some("agent:sales"));
        let bound = sessions.bound("https://a/mcp", &sarah, "s-1").unwrap();
        assert_eq!(sessions.opened("https://a/mcp", &sarah, &bound).as_deref(), Some("s-1"));
        for other in [
            judged("user:bob", Some("agent:sales")),
            judged("user:sarah", Some("agent:other")),
            judged("user:sarah", None),
            Judged { client: "app:other".into(), ..sarah.clone() },
        ] {
            assert_eq!(sessions.opened("https://a/mcp", &other, &bound), None);
        }
        assert_eq!(sessions.opened("https://b/mcp", &sarah, &bound), None, "nor at another server");
        assert_eq!(Sessions::new(&[8; 32]).opened("https://a/mcp", &sarah, &bound), None);
        let (tag, _) = bound.split_once('.').unwrap();
        let forged = format!("{tag}.{}", BASE64.encode("s-2"));
        for bad in [forged.as_str(), "", ".", "s-1", bound.get(1..).unwrap(), &format!("{bound}x")] {
            assert_eq!(sessions.opened("https://a/mcp", &sarah, bad), None, "{bad}");
        }
    }

    #[test]
    fn ids_that_no_header_carries_are_not_handed_out() {
        let (sessions, sarah) = (Sessions::new(&[7; 32]), judged("user:sarah", None));
        for bad in ["", "a b", "a\r\nb", "\u{e9}", &"a".repeat(SESSION_BYTES_MAX + 1)] {
            assert_eq!(sessions.bound("https://a/mcp", &sarah, bad), None);
        }
    }

    proptest! {
        /// In place of a fuzz target, because who calls is told by others.
        #[test]
        fn nothing_opens_but_what_was_handed_out(
            session in "[!-~]{1,20}",
            (at, flip) in (any::<prop::sample::Index>(), 1..128_u8),
            text in prop_oneof!["\\PC{0,60}", "[A-Za-z0-9_-]{0,44}\\.[A-Za-z0-9_-]{0,20}"],
        ) {
            let (sessions, sarah) = (Sessions::new(&[7; 32]), judged("user:sarah", None));
            let bound = sessions.bound("https://a/mcp", &sarah, &session).unwrap();
            prop_assert_eq!(sessions.opened("https://a/mcp", &sarah, &bound), Some(session));
            prop_assert!(bound.bytes().all(|b| b.is_ascii_graphic()));
            let mut damaged = bound.into_bytes();
            let at = at.index(damaged.len());
            damaged[at] ^= flip;
            prop_assert_eq!(sessions.opened("https://a/mcp", &sarah, &String::from_utf8_lossy(&damaged)), None);
            prop_assert_eq!(sessions.opened("https://a/mcp", &sarah, &text), None);
        }
    }
}
