//! What a protected resource says of itself (RFC 9728), and how it asks for a token (RFC 6750, RFC 9449, RFC 9470).

use super::SettingsError;
use http::HeaderValue;
use serde_json::{Map, Value, json};
use std::net::IpAddr;
use url::{Host, Url};

/// Where metadata of protected resources are (RFC 9728, section 3.1).
const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";
/// Most scopes, servers, algorithms or types that a resource names.
const NAMES_MAX: usize = 64;
/// Longest name of a scope in bytes.
const SCOPE_BYTES_MAX: usize = 128;

/// A protected resource, as its operator describes it.
#[derive(Clone, Debug, Default)]
pub struct ResourceSpec {
    /// Its identifier (RFC 8707): the URL that clients use, https unless it is on this machine, without query and fragment.
    /// Tokens must have exactly this audience.
    pub url: String,
    /// Issuers whose tokens it takes.
    pub authorization_servers: Vec<String>,
    /// Scopes that a client may ask for to begin with. Further ones are asked for when a call needs them.
    pub scopes_supported: Vec<String>,
    /// A name for people.
    pub name: Option<String>,
    /// A page for developers.
    pub documentation: Option<String>,
    /// Algorithms of DPoP proofs that are taken; empty when proofs are not.
    pub dpop_algs: Vec<String>,
    /// Whether tokens without a proof are refused.
    pub dpop_required: bool,
    /// Types of `authorization_details` that mean something here (RFC 9396).
    pub details_types: Vec<String>,
}

/// A protected resource. Made with [`Resource::new`], which refuses what could not work.
#[derive(Clone, Debug)]
pub struct Resource {
    // INVARIANT: every field is as `Resource::new` demands.
    spec: ResourceSpec,
    parsed: Url,
}

/// Why a request is refused, in the words of `WWW-Authenticate`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Challenge<'a> {
    /// `Bearer` or `DPoP`.
    pub(super) scheme: &'static str,
    /// Nothing when there was no token: then it is no error (RFC 6750, section 3.1).
    pub(super) error: Option<&'static str>,
    pub(super) description: &'a str,
    pub(super) scopes: &'a [String],
    pub(super) acr_values: Option<&'a str>,
    pub(super) max_age_s: Option<u64>,
}

fn fault(what: &str, why: &str) -> SettingsError {
    SettingsError(format!("{what} {why}"))
}

/// Whether a URL may be used without TLS: it does not leave this machine.
fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => IpAddr::V4(ip).is_loopback(),
        Some(Host::Ipv6(ip)) => IpAddr::V6(ip).is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// An absolute URL of a server: https, or http on this machine; nothing secret or changing in it.
pub(super) fn server_url(what: &str, text: &str) -> Result<Url, SettingsError> {
    let wrong = || fault(what, &format!("`{text}` is no https URL without user, query and fragment"));
    let url = Url::parse(text).map_err(|_| wrong())?;
    let plain =
        url.username().is_empty() && url.password().is_none() && url.query().is_none() && url.fragment().is_none();
    let secure = url.scheme() == "https" || (url.scheme() == "http" && is_loopback(&url));
    if plain && secure && url.has_host() { Ok(url) } else { Err(wrong()) }
}

/// Whether a text is a scope (RFC 6749, section 3.3), which is also safe between quotes.
pub(super) fn is_scope(text: &str) -> bool {
    (1..=SCOPE_BYTES_MAX).contains(&text.len()) && text.bytes().all(|b| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e))
}

/// A text between quotes (RFC 9110, section 5.6.4). What a header cannot carry becomes `?`.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            ' '..='~' => out.push(c),
            _ => out.push('?'),
        }
    }
    out.push('"');
    out
}

impl Resource {
    /// Checks a description.
    ///
    /// # Errors
    /// A part of it that could not work, and what to do.
    pub fn new(spec: ResourceSpec) -> Result<Resource, SettingsError> {
        let parsed = server_url("the resource", &spec.url)?;
        // Audiences are compared as texts: only one spelling can be right.
        let root = parsed.path() == "/";
        if parsed.as_str() != spec.url && !(root && parsed.as_str().strip_suffix('/') == Some(spec.url.as_str())) {
            return Err(fault("the resource", &format!("`{}` is written `{parsed}`; use that", spec.url)));
        }
        if spec.authorization_servers.is_empty() {
            return Err(fault(&format!("the resource `{}`", spec.url), "names no authorization server; name one"));
        }
        spec.authorization_servers.iter().try_for_each(|url| server_url("the authorization server", url).map(drop))?;
        if let Some(scope) = spec.scopes_supported.iter().find(|scope| !is_scope(scope)) {
            return Err(fault("the scope", &format!("`{scope}` has characters that no scope has (RFC 6749, 3.3)")));
        }
        let lists = [&spec.authorization_servers, &spec.scopes_supported, &spec.dpop_algs, &spec.details_types];
        if lists.iter().any(|list| list.len() > NAMES_MAX) {
            return Err(fault(
                &format!("the resource `{}`", spec.url),
                &format!("has a list with over {NAMES_MAX} names"),
            ));
        }
        if spec.dpop_required && spec.dpop_algs.is_empty() {
            return Err(fault(&format!("the resource `{}`", spec.url), "demands DPoP and names no algorithm for it"));
        }
        Ok(Resource { spec, parsed })
    }

    /// Its identifier, which tokens must have as their audience.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.spec.url
    }

    /// The path that it is served at.
    #[must_use]
    pub fn path(&self) -> &str {
        self.parsed.path()
    }

    /// `https://host:port`, as browsers write it in `Origin`.
    pub(super) fn origin(&self) -> String {
        self.parsed.origin().ascii_serialization()
    }

    /// `host:port`, as clients write it in `Host`: the port only where it is not the scheme's.
    pub(super) fn authority(&self) -> String {
        let host = self.parsed.host_str().unwrap_or_default();
        self.parsed.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }

    pub(super) fn takes_proofs(&self) -> bool {
        !self.spec.dpop_algs.is_empty()
    }

    pub(super) fn demands_proofs(&self) -> bool {
        self.spec.dpop_required
    }

    /// Where its metadata are: the path of the resource goes behind the well-known one (RFC 9728, section 3.1).
    #[must_use]
    pub fn metadata_path(&self) -> String {
        let path = self.path();
        if path == "/" { WELL_KNOWN.to_owned() } else { format!("{WELL_KNOWN}{path}") }
    }

    fn metadata_url(&self) -> String {
        format!("{}{}", self.origin(), self.metadata_path())
    }

    /// Its metadata (RFC 9728, section 2).
    #[must_use]
    pub fn metadata(&self) -> Value {
        let spec = &self.spec;
        let mut map = Map::new();
        map.insert("resource".into(), json!(spec.url));
        map.insert("authorization_servers".into(), json!(spec.authorization_servers));
        map.insert("bearer_methods_supported".into(), json!(["header"]));
        let lists = [
            ("scopes_supported", &spec.scopes_supported),
            ("dpop_signing_alg_values_supported", &spec.dpop_algs),
            ("authorization_details_types_supported", &spec.details_types),
        ];
        for (name, list) in lists.into_iter().filter(|(_, list)| !list.is_empty()) {
            map.insert(name.into(), json!(list));
        }
        if spec.dpop_required {
            map.insert("dpop_bound_access_tokens_required".into(), json!(true));
        }
        for (name, text) in [("resource_name", &spec.name), ("resource_documentation", &spec.documentation)] {
            text.iter().for_each(|text| drop(map.insert(name.into(), json!(text))));
        }
        Value::Object(map)
    }

    /// `WWW-Authenticate`: where the metadata are, which scopes the request needs, and what was wrong.
    pub(super) fn challenge(&self, of: &Challenge<'_>) -> HeaderValue {
        let mut parts = Vec::new();
        if let Some(error) = of.error {
            parts.push(format!("error={}", quoted(error)));
            if !of.description.is_empty() {
                parts.push(format!("error_description={}", quoted(of.description)));
            }
        }
        if !of.scopes.is_empty() {
            parts.push(format!("scope={}", quoted(&of.scopes.join(" "))));
        }
        of.acr_values.iter().for_each(|acr| parts.push(format!("acr_values={}", quoted(acr))));
        of.max_age_s.iter().for_each(|age| parts.push(format!("max_age=\"{age}\"")));
        if of.scheme == "DPoP" {
            parts.push(format!("algs={}", quoted(&self.spec.dpop_algs.join(" "))));
        }
        parts.push(format!("resource_metadata={}", quoted(&self.metadata_url())));
        let text = format!("{} {}", of.scheme, parts.join(", "));
        // Quoted and of printable ASCII: it has no way to fail.
        HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static("Bearer"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(url: &str) -> ResourceSpec {
        ResourceSpec {
            url: url.into(),
            authorization_servers: vec!["https://id.example.com/".into()],
            scopes_supported: vec!["mcp:crm:read".into()],
            ..ResourceSpec::default()
        }
    }

    #[test]
    fn metadata_stand_where_rfc_9728_has_them() {
        for (url, path) in [
            ("https://mcp.example.com/crm/mcp", "/.well-known/oauth-protected-resource/crm/mcp"),
            ("https://mcp.example.com", "/.well-known/oauth-protected-resource"),
            ("https://mcp.example.com/", "/.well-known/oauth-protected-resource"),
            ("http://127.0.0.1:8080/mcp", "/.well-known/oauth-protected-resource/mcp"),
        ] {
            let resource = Resource::new(spec(url)).unwrap();
            assert_eq!(resource.metadata_path(), path);
            assert_eq!(resource.metadata()["resource"], url, "the same text that clients use");
        }
        let dpop = ResourceSpec { dpop_algs: vec!["ES256".into()], dpop_required: true, ..spec("https://a.example/m") };
        let metadata = Resource::new(dpop).unwrap().metadata();
        assert_eq!(
            metadata,
            json!({
                "resource": "https://a.example/m",
                "authorization_servers": ["https://id.example.com/"],
                "bearer_methods_supported": ["header"],
                "scopes_supported": ["mcp:crm:read"],
                "dpop_signing_alg_values_supported": ["ES256"],
                "dpop_bound_access_tokens_required": true,
            })
        );
    }

    #[test]
    fn a_challenge_names_metadata_scopes_and_the_error() {
        let resource = Resource::new(spec("https://mcp.example.com/mcp")).unwrap();
        let scopes = ["mcp:crm:read".to_owned(), "mcp:crm:write".to_owned()];
        let mut challenge = Challenge {
            scheme: "Bearer",
            error: None,
            description: "",
            scopes: &scopes,
            acr_values: None,
            max_age_s: None,
        };
        let at = r#"resource_metadata="https://mcp.example.com/.well-known/oauth-protected-resource/mcp""#;
        assert_eq!(resource.challenge(&challenge), format!("Bearer scope=\"mcp:crm:read mcp:crm:write\", {at}"));
        challenge.error = Some("insufficient_scope");
        challenge.description = "a \"quoted\"\r\nline";
        challenge.max_age_s = Some(60);
        challenge.acr_values = Some("urn:a urn:b");
        let expected = format!(
            "Bearer error=\"insufficient_scope\", error_description=\"a \\\"quoted\\\"??line\", \
             scope=\"mcp:crm:read mcp:crm:write\", acr_values=\"urn:a urn:b\", max_age=\"60\", {at}"
        );
        assert_eq!(resource.challenge(&challenge), expected);
    }

    #[test]
    fn what_could_not_work_is_refused_with_what_to_do() {
        let refused = |spec: ResourceSpec| Resource::new(spec).unwrap_err().to_string();
        for url in ["", "mcp", "http://mcp.example.com/", "https://u:p@h/", "https://h/#f", "https://h/?q", "ftp://h/"]
        {
            assert!(refused(spec(url)).contains("no https URL"), "{url}");
        }
        assert!(refused(spec("https://MCP.example.com/a")).contains("written `https://mcp.example.com/a`"));
        assert!(refused(spec("https://mcp.example.com:443/a")).contains("use that"));
        let none = ResourceSpec { authorization_servers: vec![], ..spec("https://h/a") };
        assert!(refused(none).contains("name one"));
        let scope = ResourceSpec { scopes_supported: vec!["a b".into()], ..spec("https://h/a") };
        assert!(refused(scope).contains("`a b`"));
        let proof = ResourceSpec { dpop_required: true, ..spec("https://h/a") };
        assert!(refused(proof).contains("names no algorithm"));
    }
}
