//! Metadata of protected resources (RFC 9728) and of authorization servers (RFC 8414, OpenID Connect Discovery): where they
//! are, and what of them is believed.

use super::fault::{ClientError, shown};
use crate::identity::{StrictJson, is_secure};
use serde_json::{Map, Value};
use url::Url;

/// Longest text of metadata that is used.
pub const METADATA_TEXT_BYTES_MAX: usize = 2_048;
/// Most texts of a list of them.
pub const METADATA_LIST_MAX: usize = 256;
const RESOURCE: &str = "/.well-known/oauth-protected-resource";
const SERVER: &str = "/.well-known/oauth-authorization-server";
const OPENID: &str = "/.well-known/openid-configuration";
const OF_RESOURCE: &str = "the metadata of the protected resource";
const OF_SERVER: &str = "the metadata of the authorization server";

/// What a protected resource says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceMetadata {
    /// Its identifier, as it stands there: it is sent so, letter for letter.
    pub resource: String,
    /// The issuers whose tokens it takes; one at least.
    pub servers: Vec<String>,
    /// Its scopes.
    pub scopes: Vec<String>,
    /// Whether it takes only tokens with a proof of their key.
    pub dpop: bool,
}

/// What an authorization server says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerMetadata {
    /// Its issuer, letter for letter that by which it was found.
    pub issuer: String,
    /// Where people are sent.
    pub authorize: Option<Url>,
    /// Where tokens are asked for.
    pub token: Url,
    /// Where clients register.
    pub register: Option<Url>,
    /// Its grant types, where it says.
    pub grants: Option<Vec<String>>,
    /// How clients show who they are, where it says.
    pub methods: Option<Vec<String>>,
    /// How codes are bound.
    pub challenges: Vec<String>,
    /// Its scopes.
    pub scopes: Vec<String>,
    /// The algorithms of proofs of keys.
    pub dpop: Vec<String>,
    /// Whether the URL of a document is a client's id.
    pub documents: bool,
    /// Whether each answer says who gave it.
    pub iss: bool,
    /// Whether requests have to be pushed.
    pub pushed_only: bool,
}

/// Where the metadata of a resource are, when no challenge names them: the nearest first (RFC 9728 3.1).
#[must_use]
pub fn resource_places(url: &Url) -> Vec<Url> {
    let path = url.path().trim_end_matches('/');
    let mut places = vec![format!("{RESOURCE}{path}"), RESOURCE.to_owned()];
    places.dedup();
    places.iter().filter_map(|path| at(url, path)).collect()
}

/// Where the metadata of an authorization server are, in the order that MCP has.
#[must_use]
pub fn server_places(issuer: &Url) -> Vec<Url> {
    let path = issuer.path().trim_end_matches('/');
    let mut places = vec![format!("{SERVER}{path}"), format!("{OPENID}{path}"), format!("{path}{OPENID}")];
    places.dedup();
    places.iter().filter_map(|path| at(issuer, path)).collect()
}

fn at(url: &Url, path: &str) -> Option<Url> {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    url.set_path(path);
    url.has_host().then_some(url)
}

/// Reads the metadata of the resource that was asked.
///
/// # Errors
/// They are malformed, of another resource, or name no authorization server.
pub fn resource_metadata(body: &[u8], asked: &Url) -> Result<ResourceMetadata, ClientError> {
    let members = Members::read(OF_RESOURCE, body)?;
    let resource = members.need("resource")?;
    if !covers(&resource, asked) {
        return Err(ClientError::Resource { asked: shown(asked.as_str()), said: shown(&resource) });
    }
    let servers = members.list("authorization_servers")?.unwrap_or_default();
    if servers.is_empty() {
        return Err(ClientError::NoServer);
    }
    Ok(ResourceMetadata {
        resource,
        servers,
        scopes: members.list("scopes_supported")?.unwrap_or_default(),
        dpop: members.flag("dpop_bound_access_tokens_required")?,
    })
}

/// Whether a resource is what was asked, or something above it at the same server: a token for it is then for nobody else.
fn covers(resource: &str, asked: &Url) -> bool {
    let Ok(url) = Url::parse(resource) else { return false };
    let bare = url.fragment().is_none() && url.username().is_empty() && url.password().is_none();
    let here = url.scheme() == asked.scheme()
        && url.host() == asked.host()
        && url.port_or_known_default() == asked.port_or_known_default();
    let query = url.query().is_none() || url.query() == asked.query();
    let above = match asked.path().strip_prefix(url.path()) {
        Some(below) => below.is_empty() || below.starts_with('/') || url.path().ends_with('/'),
        None => url.path().strip_suffix('/') == Some(asked.path()),
    };
    bare && here && query && above
}

/// Reads the metadata of an issuer.
///
/// # Errors
/// They are malformed, of another issuer, or lead to where nobody may be asked.
pub fn server_metadata(body: &[u8], issuer: &str) -> Result<ServerMetadata, ClientError> {
    let members = Members::read(OF_SERVER, body)?;
    let said = members.need("issuer")?;
    if said != issuer {
        return Err(ClientError::Issuer { expected: shown(issuer), said: shown(&said) });
    }
    let token = members.url("token_endpoint")?;
    Ok(ServerMetadata {
        issuer: said,
        authorize: members.url("authorization_endpoint")?,
        token: token.ok_or_else(|| ClientError::malformed(OF_SERVER, "`token_endpoint` is not there"))?,
        register: members.url("registration_endpoint")?,
        grants: members.list("grant_types_supported")?,
        methods: members.list("token_endpoint_auth_methods_supported")?,
        challenges: members.list("code_challenge_methods_supported")?.unwrap_or_default(),
        scopes: members.list("scopes_supported")?.unwrap_or_default(),
        dpop: members.list("dpop_signing_alg_values_supported")?.unwrap_or_default(),
        documents: members.flag("client_id_metadata_document_supported")?,
        iss: members.flag("authorization_response_iss_parameter_supported")?,
        pushed_only: members.flag("require_pushed_authorization_requests")?,
    })
}

/// Members of an answer, none of which is there twice.
pub(super) struct Members {
    what: &'static str,
    map: Map<String, Value>,
}

impl Members {
    pub(super) fn read(what: &'static str, body: &[u8]) -> Result<Members, ClientError> {
        match serde_json::from_slice(body) {
            Ok(StrictJson(Value::Object(map))) => Ok(Members { what, map }),
            Ok(_) => Err(ClientError::malformed(what, "it is no JSON object")),
            Err(error) => Err(ClientError::malformed(what, format!("it is no JSON object: {error}"))),
        }
    }

    fn wrong(&self, name: &str, what: &str) -> ClientError {
        ClientError::malformed(self.what, format!("`{name}` is not {what}"))
    }

    /// A text, where it is there.
    pub(super) fn text(&self, name: &str) -> Result<Option<String>, ClientError> {
        match self.map.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if text.len() <= METADATA_TEXT_BYTES_MAX => Ok(Some(text.clone())),
            Some(_) => Err(self.wrong(name, "a text of fair length")),
        }
    }

    /// A secret, of which there may be more than of a text.
    pub(super) fn secret(&self, name: &str, bytes_max: usize) -> Result<Option<String>, ClientError> {
        match self.map.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if !text.is_empty() && text.len() <= bytes_max => Ok(Some(text.clone())),
            Some(_) => Err(self.wrong(name, "a text of fair length")),
        }
    }

    pub(super) fn need(&self, name: &str) -> Result<String, ClientError> {
        self.text(name)?.filter(|text| !text.is_empty()).ok_or_else(|| self.wrong(name, "there"))
    }

    pub(super) fn seconds(&self, name: &str) -> Option<u64> {
        self.map.get(name).and_then(Value::as_u64)
    }

    fn list(&self, name: &str) -> Result<Option<Vec<String>>, ClientError> {
        let wrong = || self.wrong(name, "a list of texts of fair length");
        let list = match self.map.get(name) {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::Array(list)) if list.len() <= METADATA_LIST_MAX => list,
            Some(_) => return Err(wrong()),
        };
        let text = |one: &Value| one.as_str().filter(|one| one.len() <= METADATA_TEXT_BYTES_MAX).map(str::to_owned);
        list.iter().map(text).collect::<Option<_>>().map(Some).ok_or_else(wrong)
    }

    fn flag(&self, name: &str) -> Result<bool, ClientError> {
        match self.map.get(name) {
            None | Some(Value::Null) => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(_) => Err(self.wrong(name, "true or false")),
        }
    }

    fn url(&self, name: &str) -> Result<Option<Url>, ClientError> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        let url = Url::parse(&text).ok().filter(|url| is_secure(url) && url.fragment().is_none());
        url.map(Some).ok_or_else(|| self.wrong(name, "an https URL, or an http URL of this machine"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn places(of: fn(&Url) -> Vec<Url>, url: &str) -> Vec<String> {
        of(&Url::parse(url).unwrap()).into_iter().map(String::from).collect()
    }

    #[test]
    fn metadata_are_where_clients_look() {
        let well_known =
            |host: &str, paths: &[&str]| paths.iter().map(|path| format!("{host}{path}")).collect::<Vec<_>>();
        let of = "https://a.example/.well-known/";
        for (url, paths) in [
            ("https://a.example/mcp", &["oauth-protected-resource/mcp", "oauth-protected-resource"][..]),
            ("https://a.example/a/b/?x=1#y", &["oauth-protected-resource/a/b", "oauth-protected-resource"]),
            ("https://a.example", &["oauth-protected-resource"]),
        ] {
            assert_eq!(places(resource_places, url), well_known(of, paths), "{url}");
        }
        assert_eq!(
            places(server_places, "https://a.example"),
            well_known(of, &["oauth-authorization-server", "openid-configuration"])
        );
        let mut deep = well_known(of, &["oauth-authorization-server/t/x", "openid-configuration/t/x"]);
        deep.push("https://a.example/t/x/.well-known/openid-configuration".into());
        assert_eq!(places(server_places, "https://a.example/t/x"), deep);
    }

    #[test]
    fn metadata_of_another_resource_are_refused() {
        let asked = Url::parse("https://a.example/x/mcp").unwrap();
        let read = |resource: &str| {
            let body = json!({"resource": resource, "authorization_servers": ["https://id.example"]}).to_string();
            resource_metadata(body.as_bytes(), &asked)
        };
        for fine in [
            "https://a.example/x/mcp",
            "https://a.example",
            "https://A.example:443/x",
            "https://a.example/x/",
            "https://a.example/x/mcp/",
        ] {
            assert_eq!(read(fine).unwrap().resource, fine, "as it stands there");
        }
        for wrong in [
            "https://evil.example/x/mcp",
            "http://a.example/x/mcp",
            "https://a.example:8443/x/mcp",
            "https://a.example/x/mc",
            "https://a.example/x/mcp/y",
            "https://a.example/y",
            "https://a.example/x/mcp?y",
            "https://a.example/x/mcp#y",
            "https://u@a.example/x/mcp",
            "mcp",
        ] {
            let error = read(wrong).unwrap_err();
            assert!(matches!(error, ClientError::Resource { .. }), "{wrong}: {error}");
        }
        let none = json!({"resource": "https://a.example"}).to_string();
        assert!(matches!(resource_metadata(none.as_bytes(), &asked), Err(ClientError::NoServer)));
    }

    #[test]
    fn metadata_of_another_issuer_are_refused() {
        let read = |issuer: &str, token: &str| {
            let body = json!({"issuer": issuer, "token_endpoint": token}).to_string();
            server_metadata(body.as_bytes(), "https://id.example")
        };
        assert!(read("https://id.example", "https://id.example/token").is_ok());
        for other in ["https://id.example/", "https://ID.example", "https://id.example:443", "https://attacker.example"]
        {
            let error = read(other, "https://id.example/token").unwrap_err();
            assert!(matches!(error, ClientError::Issuer { .. }), "{other}: {error}");
        }
        for token in ["http://id.example/token", "file:///token", "https://id.example/token#x", "token"] {
            assert!(matches!(read("https://id.example", token), Err(ClientError::Malformed { .. })), "{token}");
        }
        for body in
            [r#"{"issuer": "https://id.example"}"#, r#"{"issuer": "a", "issuer": "https://id.example"}"#, "[]", ""]
        {
            let error = server_metadata(body.as_bytes(), "https://id.example").unwrap_err();
            assert!(matches!(error, ClientError::Malformed { .. }), "{body}");
        }
        let long = json!({"issuer": "https://id.example", "token_endpoint": "https://id.example/t", "scopes_supported": vec!["a"; 257]});
        assert!(server_metadata(long.to_string().as_bytes(), "https://id.example").is_err());
    }

    proptest! {
        #[test]
        fn whatever_is_said_leads_nowhere_else(
            resource in "(https?://)?(a\\.example|b\\.example|127\\.0\\.0\\.1)?(:[0-9]{1,4})?(/[a-z/.%]{0,8})?",
            issuer in "https://(id\\.example|ID\\.example)/?",
            token in "(https|http|file)://(id\\.example|127\\.0\\.0\\.1|10\\.0\\.0\\.1)/[a-z#?]{0,4}",
            more in "[ -~]{0,8}",
        ) {
            let asked = Url::parse("https://a.example/mcp").unwrap();
            let said = json!({"resource": resource, "authorization_servers": [more], "issuer": issuer, "token_endpoint": token, "scopes_supported": [more]});
            let body = said.to_string();
            if let Ok(read) = resource_metadata(body.as_bytes(), &asked) {
                let url = Url::parse(&read.resource).unwrap();
                prop_assert_eq!(url.origin(), asked.origin());
            }
            if let Ok(read) = server_metadata(body.as_bytes(), "https://id.example") {
                prop_assert_eq!(read.issuer, "https://id.example");
                prop_assert!(is_secure(&read.token));
            }
        }
    }
}
