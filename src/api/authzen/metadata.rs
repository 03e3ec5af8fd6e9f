//! Where a store's endpoints are (AuthZEN 1.0, section 9). A document is made of the server's public URL and of a path alone: it
//! says where to ask, and nothing of what is there.

use axum::http::Uri;
use serde_json::{Value, json};

/// The longest public URL, in bytes.
const URL_BYTES_MAX: usize = 1_024;

/// The URL by which others reach the HTTP surface; each store below it is a policy decision point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyDecisionPoint {
    /// Without a slash at its end.
    base: String,
    /// The path in it, likewise; mostly empty.
    path: String,
}

/// Why a URL is of no use.
#[derive(Debug, thiserror::Error)]
#[error(
    "`{url}` cannot be published as the URL of policy decision points; write an https URL without user, query and fragment, as in \
     `https://fga.example.com` (http is for this machine alone, as `http://127.0.0.1:8080`)"
)]
pub struct PolicyDecisionPointError {
    url: String,
}

impl PolicyDecisionPoint {
    /// Takes a URL.
    ///
    /// # Errors
    /// It is no `https` URL, or has a user, a query or a fragment (section 9.1.1). On this machine `http` will do.
    pub fn new(url: &str) -> Result<PolicyDecisionPoint, PolicyDecisionPointError> {
        let refused = || PolicyDecisionPointError { url: url.chars().take(URL_BYTES_MAX).collect() };
        let base = url.trim_end_matches('/');
        if url.len() > URL_BYTES_MAX || url.contains(['?', '#', '@']) {
            return Err(refused());
        }
        let parsed: Uri = base.parse().map_err(|_| refused())?;
        let host = parsed.host().unwrap_or_default();
        let here = matches!(host, "localhost" | "127.0.0.1" | "[::1]");
        let fine = match parsed.scheme_str() {
            Some("https") => !host.is_empty(),
            Some("http") => here,
            _ => false,
        };
        let path = parsed.path().trim_end_matches('/').to_owned();
        if fine { Ok(PolicyDecisionPoint { base: base.to_owned(), path }) } else { Err(refused()) }
    }

    /// The store that is named behind the well-known path: by the path of its URL, as the standard has it, or by its id alone, as
    /// OpenFGA has it.
    pub(super) fn store_of<'a>(&self, rest: &'a str) -> Option<&'a str> {
        let below = self.path.trim_start_matches('/');
        let rest = rest.strip_prefix(below).filter(|_| !below.is_empty()).map_or(rest, |r| r.trim_start_matches('/'));
        let store = rest.strip_prefix("stores/").unwrap_or(rest);
        (!store.is_empty() && !store.contains('/')).then_some(store)
    }

    /// The document of a store.
    pub(super) fn document(&self, store: &str) -> Value {
        let point = [&self.base, "/stores/", store].concat();
        let at = |rest: &str| [&point, "/access/v1/", rest].concat();
        json!({
            "policy_decision_point": point,
            "access_evaluation_endpoint": at("evaluation"),
            "access_evaluations_endpoint": at("evaluations"),
            "search_subject_endpoint": at("search/subject"),
            "search_resource_endpoint": at("search/resource"),
            "search_action_endpoint": at("search/action"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_stranger_may_believe_is_published() {
        for good in
            ["https://fga.example.com", "https://fga.example.com:8443/a/b/", "http://127.0.0.1:8080", "http://[::1]:1"]
        {
            let point = PolicyDecisionPoint::new(good).unwrap();
            let document = point.document("S");
            let expected = format!("{}/stores/S", good.trim_end_matches('/'));
            assert_eq!(document["policy_decision_point"], expected);
            assert_eq!(document["search_action_endpoint"], format!("{expected}/access/v1/search/action"));
        }
        let long = format!("https://fga.example.com/{}", "x".repeat(URL_BYTES_MAX));
        for bad in [
            "",
            "fga.example.com",
            "http://fga.example.com",
            "https://",
            "https://u@fga.example.com",
            "ftp://127.0.0.1",
            "https://fga.example.com?a=b",
            "https://fga.example.com#a",
            "/stores",
            &long,
        ] {
            assert!(PolicyDecisionPoint::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_store_is_found_by_both_paths() {
        let point = |url| PolicyDecisionPoint::new(url).unwrap();
        for (url, rest, store) in [
            ("https://h", "S", Some("S")),
            ("https://h", "stores/S", Some("S")),
            ("https://h/a/b", "a/b/stores/S", Some("S")),
            ("https://h/a/b", "stores/S", Some("S")),
            ("https://h/a/b", "S", Some("S")),
            ("https://h", "a/b/stores/S", None),
            ("https://h", "stores/S/check", None),
            ("https://h", "stores/", None),
        ] {
            assert_eq!(point(url).store_of(rest), store, "{url} {rest}");
        }
    }
}
