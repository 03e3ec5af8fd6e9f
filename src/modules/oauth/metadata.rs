//! What an issuer says of itself (RFC 8414, OpenID Connect Discovery 1.0), in one document for both.

use super::OAuth;
use crate::identity::{
    ACR_VALUES, ALGORITHMS, Answer, AuthMethod, OPENID_SCOPES, Registrants, SigningAlgorithm, Tenant,
};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

impl OAuth {
    /// The metadata of an issuer.
    ///
    /// # Errors
    /// The disk failed.
    pub fn metadata(&self, tenant: &Tenant) -> Answer<Value> {
        let mut document = self.of_clients(tenant)?;
        // What follows is no endpoint of clients, and has no alias for those with a certificate.
        if let Some(more) = self.more {
            more(tenant, &mut document);
        }
        Ok(Value::Object(document))
    }

    /// What clients should know.
    fn of_clients(&self, tenant: &Tenant) -> Answer<Map<String, Value>> {
        let algorithms: Vec<&str> = ALGORITHMS.iter().map(|(name, _)| *name).collect();
        let mutual = tenant.mutual_tls_url("").is_some();
        let methods = auth_methods(mutual);
        let shown: Vec<&str> = methods.iter().filter(|method| **method != "none").copied().collect();
        let resources = tenant.resources()?;
        let of_resources =
            resources.iter().flat_map(|resource| resource.scopes.iter().map(|scope| scope.name.as_str()));
        let scopes: BTreeSet<&str> = of_resources.chain(OPENID_SCOPES).collect();
        let grant_types: Vec<&str> = self.grant_types.iter().map(|grant_type| grant_type.name()).collect();
        let mut document = Map::new();
        let mut say = |name: &str, value: Value| document.insert(name.to_owned(), value);
        say("issuer", tenant.issuer().into());
        for (name, path) in [
            ("authorization_endpoint", "/authorize"),
            ("token_endpoint", "/token"),
            ("jwks_uri", "/jwks"),
            ("userinfo_endpoint", "/userinfo"),
            ("pushed_authorization_request_endpoint", "/par"),
            ("introspection_endpoint", "/introspect"),
            ("revocation_endpoint", "/revoke"),
            ("end_session_endpoint", "/end_session"),
        ] {
            say(name, tenant.url(path).into());
        }
        if tenant.settings().registration.who != Registrants::Nobody {
            say("registration_endpoint", tenant.url("/register").into());
        }
        say("scopes_supported", json!(scopes));
        say("response_types_supported", json!(["code"]));
        say("response_modes_supported", json!(["query"]));
        say("grant_types_supported", json!(grant_types));
        say("subject_types_supported", json!(["public"]));
        say("id_token_signing_alg_values_supported", json!(SigningAlgorithm::ALL.map(|(_, name)| name)));
        say("introspection_signing_alg_values_supported", json!(["ES256"]));
        for endpoint in ["token", "revocation"] {
            say(&format!("{endpoint}_endpoint_auth_methods_supported"), json!(methods));
        }
        say("introspection_endpoint_auth_methods_supported", json!(shown));
        for endpoint in ["token", "revocation", "introspection"] {
            say(&format!("{endpoint}_endpoint_auth_signing_alg_values_supported"), json!(algorithms));
        }
        say("code_challenge_methods_supported", json!(["S256"]));
        say("dpop_signing_alg_values_supported", json!(algorithms));
        say("acr_values_supported", json!(ACR_VALUES));
        say("prompt_values_supported", json!(["none", "login", "consent", "select_account"]));
        say(
            "claims_supported",
            json!(["sub", "iss", "aud", "exp", "iat", "auth_time", "acr", "amr", "sid", "nonce", "name", "email"]),
        );
        for (name, value) in [
            ("backchannel_logout_supported", true),
            ("backchannel_logout_session_supported", true),
            ("authorization_response_iss_parameter_supported", true),
            ("client_id_metadata_document_supported", true),
            ("claims_parameter_supported", false),
            ("request_parameter_supported", false),
            ("request_uri_parameter_supported", false),
            ("require_pushed_authorization_requests", false),
        ] {
            say(name, value.into());
        }
        for grant_type in self.grant_types.iter() {
            grant_type.describe(tenant, &mut document);
        }
        if mutual {
            let aliases = mutual_tls_aliases(tenant, &document);
            document.insert("mtls_endpoint_aliases".to_owned(), aliases);
            document.insert("tls_client_certificate_bound_access_tokens".to_owned(), true.into());
        }
        Ok(document)
    }
}

/// Where clients reach the endpoints that are theirs with a certificate (RFC 8705 5). Those of browsers are not among them.
fn mutual_tls_aliases(tenant: &Tenant, document: &Map<String, Value>) -> Value {
    let of_browsers = ["authorization_endpoint", "end_session_endpoint"];
    let theirs =
        document.iter().filter(|(name, _)| name.ends_with("_endpoint") && !of_browsers.contains(&name.as_str()));
    let alias = |(name, url): (&String, &Value)| {
        let path = url.as_str()?.strip_prefix(&tenant.url(""))?;
        Some((name.clone(), tenant.mutual_tls_url(path)?.into()))
    };
    Value::Object(theirs.filter_map(alias).collect())
}

/// How clients may show who they are.
fn auth_methods(mutual_tls: bool) -> Vec<&'static str> {
    let served =
        |method: AuthMethod| method.is_registered() && (mutual_tls || !AuthMethod::BY_CERTIFICATE.contains(&method));
    AuthMethod::ALL.into_iter().filter(|(method, _)| served(*method)).map(|(_, name)| name).collect()
}
