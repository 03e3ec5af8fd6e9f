//! Where a browser may be sent: which redirect URIs a client can have, and which of them one is.

use super::{Answer, Client, ErrorCode, Refusal, is_loopback, is_secure};
use url::Url;

/// Most redirect URIs of a client.
pub const REDIRECT_URIS_MAX: usize = 32;
/// Longest redirect URI.
pub const REDIRECT_URI_BYTES_MAX: usize = 1024;

impl Client {
    /// Which of its redirect URIs one is: the same byte for byte, or the same loopback address at another port.
    #[must_use]
    pub fn redirects_to(&self, uri: &str) -> bool {
        uri.len() <= REDIRECT_URI_BYTES_MAX && self.redirect_uris.iter().any(|known| same_redirect(known, uri))
    }
}

/// What a redirect URI may be (OAuth 2.1 2.3): absolute, without a fragment; `https`, `http` of this machine, or a scheme of
/// the application's own with a dot in it (RFC 8252 7.1).
pub(super) fn check_redirect_uri(uri: &str) -> Answer<()> {
    let fine = |url: &Url| {
        let own = url.scheme().contains('.');
        url.fragment().is_none() && url.username().is_empty() && url.password().is_none() && (own || is_secure(url))
    };
    let ascii = uri.bytes().all(|b| b.is_ascii_graphic());
    if uri.len() > REDIRECT_URI_BYTES_MAX || !ascii || !Url::parse(uri).is_ok_and(|url| fine(&url)) {
        let text = format!(
            "`{uri}` cannot be a redirect URI; use https, http on this machine, or a scheme like `com.example.app`, \
             without fragment and user"
        );
        return Err(Refusal::new(ErrorCode::InvalidRequest, "client.redirect_uri", text));
    }
    Ok(())
}

fn same_redirect(known: &str, asked: &str) -> bool {
    if known == asked {
        return true;
    }
    let (Ok(mut known), Ok(mut other)) = (Url::parse(known), Url::parse(asked)) else { return false };
    // What the parser would mend is not the same byte for byte.
    if other.as_str() != asked || known.scheme() != "http" || !is_loopback(&known) || !is_loopback(&other) {
        return false;
    }
    known.set_port(None).is_ok() && other.set_port(None).is_ok() && known == other
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::ClientKind;
    use proptest::prelude::*;

    #[test]
    fn redirect_uris_are_exact_but_for_the_port_of_this_machine() {
        let mut client = Client::new("c", ClientKind::App, "c");
        client.redirect_uris =
            ["https://a.example/cb", "http://127.0.0.1/cb", "http://[::1]:1/cb", "com.example.app:/cb"]
                .map(str::to_owned)
                .to_vec();
        client.check().unwrap();
        for good in [
            "https://a.example/cb",
            "http://127.0.0.1/cb",
            "http://127.0.0.1:49152/cb",
            "http://[::1]:49152/cb",
            "com.example.app:/cb",
        ] {
            assert!(client.redirects_to(good), "{good}");
        }
        for bad in [
            "https://a.example/cb/",
            "https://a.example/cb?x=1",
            "https://a.example:443/cb",
            "https://A.example/cb",
            "https://a.example/cb#",
            "https://a.example.evil.example/cb",
            "https://u@a.example/cb",
            "http://a.example/cb",
            "http://127.0.0.1:49152/cb?x=1",
            "http://127.0.0.1:49152/../cb",
            "http://127.0.0.2:49152/cb",
            "http://localhost:49152/cb",
            "https://127.0.0.1/cb",
            "http://u@127.0.0.1:49152/cb",
            "http://0x7f.0.0.1:49152/cb",
            "",
        ] {
            assert!(!client.redirects_to(bad), "{bad}");
        }
        for bad in ["http://a.example/cb", "https://a.example/#f", "javascript:alert(1)", "/cb", "data:x", "app:/cb"] {
            let refused = Client { redirect_uris: vec![bad.to_owned()], ..client.clone() }.check().unwrap_err();
            assert_eq!(refused.rule, "client.redirect_uri", "{bad}");
        }
    }

    proptest! {
        /// In place of a fuzz target, because a client has records.
        #[test]
        fn a_uri_that_is_taken_is_one_of_the_clients(
            uri in prop_oneof!["(https?|com.x)://[a-z0-9@:.%\\[\\]]{0,20}[/a-z.%#?\\\\]{0,12}", "http://127.0.0.1[:@/a-z0-9.]{0,12}", "\\PC{0,40}"],
        ) {
            let mut client = Client::new("c", ClientKind::App, "c");
            client.redirect_uris = ["https://a.example/cb", "http://127.0.0.1/cb"].map(str::to_owned).to_vec();
            if client.redirects_to(&uri) && uri != "https://a.example/cb" {
                let url = Url::parse(&uri).unwrap();
                prop_assert_eq!((url.scheme(), url.host_str(), url.path()), ("http", Some("127.0.0.1"), "/cb"));
                prop_assert_eq!((url.query(), url.fragment(), url.username()), (None, None, ""));
            }
            if check_redirect_uri(&uri).is_ok() {
                let url = Url::parse(&uri).unwrap();
                prop_assert!(uri.len() <= REDIRECT_URI_BYTES_MAX && url.fragment().is_none() && url.username().is_empty());
                prop_assert!(url.scheme() != "http" || is_loopback(&url));
            }
        }
    }
}
