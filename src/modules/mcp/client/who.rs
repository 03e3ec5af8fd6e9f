//! Who we are at an authorization server, and how we show it: a client that was registered there, the URL of a document
//! (CIMD), or one that registers itself (RFC 7591).

use super::answer::CLIENT_SECRET_BYTES_MAX;
use super::fault::ClientError;
use super::metadata::{Members, ServerMetadata};
use super::sign::{SigningKey, assertion};
use crate::identity::Env;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::fmt;
use url::form_urlencoded::byte_serialize;
use zeroize::Zeroizing;

/// The type of an assertion by which a client shows who it is (RFC 7523 2.2).
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// What a registration is called there.
const NAME: &str = "bailiwick mcp try";

/// Who a person says that we are.
#[derive(Default)]
pub struct ClientGiven {
    /// The id of a client that is registered.
    pub id: Option<String>,
    /// The URL of a document that describes it, for servers that take one.
    pub document: Option<String>,
    /// Its secret.
    pub secret: Option<Zeroizing<String>>,
    /// Its key.
    pub key: Option<SigningKey>,
}

/// How a client shows who it is (RFC 7591 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    /// Not at all.
    Nothing,
    /// `client_secret_basic`.
    Basic,
    /// `client_secret_post`.
    Post,
    /// `private_key_jwt`.
    Key,
}

impl Method {
    const ALL: [Method; 4] = [Method::Nothing, Method::Basic, Method::Post, Method::Key];

    /// Its name.
    #[must_use]
    pub(super) fn name(self) -> &'static str {
        match self {
            Method::Nothing => "none",
            Method::Basic => "client_secret_basic",
            Method::Post => "client_secret_post",
            Method::Key => "private_key_jwt",
        }
    }
}

/// Who we are at one authorization server, and at no other.
pub(super) struct Us {
    /// The client's id there.
    pub(super) id: String,
    /// Its secret.
    secret: Option<Zeroizing<String>>,
    /// How it shows who it is.
    pub(super) method: Method,
}

impl fmt::Debug for Us {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Us({}, {})", self.id, self.method.name())
    }
}

/// The ways to become somebody there, in the order in which they are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Becoming {
    /// The client that the person named.
    Given,
    /// The URL of a document.
    Document,
    /// A registration.
    Register,
}

/// How we become a client of a server.
///
/// # Errors
/// There is no way.
pub(super) fn becoming(given: &ClientGiven, server: &ServerMetadata) -> Result<Becoming, ClientError> {
    if given.id.is_some() {
        Ok(Becoming::Given)
    } else if given.document.is_some() && server.documents {
        Ok(Becoming::Document)
    } else if server.register.is_some() {
        Ok(Becoming::Register)
    } else {
        Err(ClientError::NoClient { issuer: server.issuer.clone() })
    }
}

/// The client that a person named, or the document's.
///
/// # Errors
/// The server takes no way to show it that the person has the means for.
pub(super) fn given(given: &ClientGiven, how: Becoming, server: &ServerMetadata) -> Result<Us, ClientError> {
    let id = if how == Becoming::Document { given.document.as_ref() } else { given.id.as_ref() };
    let id = id.cloned().ok_or_else(|| ClientError::NoClient { issuer: server.issuer.clone() })?;
    let means: &[Method] = match (&given.key, &given.secret) {
        (Some(_), _) => &[Method::Key],
        (None, Some(_)) => &[Method::Basic, Method::Post],
        (None, None) => &[Method::Nothing],
    };
    // RFC 8414 2: who says nothing takes `client_secret_basic`. Whether a public client may, only the server knows then.
    let takes = |method: &Method| match &server.methods {
        Some(methods) => methods.iter().any(|name| name == method.name()),
        None => *method != Method::Key || given.secret.is_none(),
    };
    let Some(method) = means.iter().find(|method| takes(method)) else {
        let what = format!(
            "{} for clients to show who they are",
            means.iter().map(|m| m.name()).collect::<Vec<_>>().join(" or ")
        );
        let advice = "say --client-secret-file or --client-key-file as the client was registered";
        return Err(ClientError::NotOffered { issuer: server.issuer.clone(), what, advice });
    };
    Ok(Us { id, secret: given.secret.clone(), method: *method })
}

/// What is sent to be registered.
#[must_use]
pub(super) fn registration(server: &ServerMetadata, redirect_uri: &str) -> Value {
    // The least that does: who keeps nothing needs no secret.
    let takes = |method: &Method| server.methods.as_ref().is_none_or(|names| names.iter().any(|n| n == method.name()));
    let method = [Method::Nothing, Method::Basic, Method::Post].into_iter().find(takes).unwrap_or(Method::Nothing);
    json!({
        "client_name": NAME,
        "redirect_uris": [redirect_uri],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": method.name(),
        "application_type": "native",
    })
}

/// Reads what a registration was answered with.
///
/// # Errors
/// It is malformed, or of a way to show who we are that we do not have.
pub(super) fn registered(body: &[u8], server: &ServerMetadata) -> Result<Us, ClientError> {
    const WHAT: &str = "the answer to the registration";
    let members = Members::read(WHAT, body)?;
    let id = members.need("client_id")?;
    let secret = members.secret("client_secret", CLIENT_SECRET_BYTES_MAX)?.map(Zeroizing::new);
    let said = members.text("token_endpoint_auth_method")?;
    let listed = |method: &Method| server.methods.as_ref().is_none_or(|names| names.iter().any(|n| n == method.name()));
    let method = match (&said, &secret) {
        (Some(name), _) => Method::ALL.into_iter().find(|method| method.name() == name),
        (None, Some(_)) => [Method::Basic, Method::Post, Method::Nothing].into_iter().find(listed),
        (None, None) => Some(Method::Nothing),
    };
    let method = method.filter(|method| match method {
        Method::Nothing => true,
        Method::Basic | Method::Post => secret.is_some(),
        Method::Key => false,
    });
    let method = method
        .ok_or_else(|| ClientError::malformed(WHAT, "it registers a way to show who we are that was not asked for"))?;
    Ok(Us { id, secret, method })
}

/// What goes with a request to a token endpoint: members of the form, and the `Authorization` header.
pub(super) struct Shows {
    /// Members of the form.
    pub(super) fields: Vec<(&'static str, Zeroizing<String>)>,
    /// The header.
    pub(super) authorization: Option<Zeroizing<String>>,
}

impl Us {
    /// How we show who we are.
    ///
    /// # Errors
    /// The key fails.
    pub(super) fn shows(&self, key: Option<&SigningKey>, issuer: &str, env: &Env<'_>) -> Result<Shows, ClientError> {
        let text = |text: &str| Zeroizing::new(text.to_owned());
        let secret = self.secret.as_deref().map(String::as_str).unwrap_or_default();
        let mut shows = Shows { fields: vec![("client_id", text(&self.id))], authorization: None };
        match self.method {
            Method::Nothing => {}
            Method::Basic => {
                // RFC 6749 2.3.1: both encoded as forms are.
                let part = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
                let both = Zeroizing::new(format!("{}:{}", part(&self.id), part(secret)));
                shows.fields.clear();
                shows.authorization = Some(Zeroizing::new(format!("Basic {}", STANDARD.encode(both.as_bytes()))));
            }
            Method::Post => shows.fields.push(("client_secret", text(secret))),
            Method::Key => {
                let key = key.ok_or_else(|| ClientError::Wrong("say --client-key-file".into()))?;
                shows.fields.push(("client_assertion_type", text(ASSERTION_TYPE)));
                shows.fields.push(("client_assertion", Zeroizing::new(assertion(key, &self.id, issuer, env)?)));
            }
        }
        Ok(shows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modules::mcp::client::metadata::server_metadata;

    fn server(more: &Value) -> ServerMetadata {
        let mut said = json!({"issuer": "https://id.example", "token_endpoint": "https://id.example/token"});
        said.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        server_metadata(said.to_string().as_bytes(), "https://id.example").unwrap()
    }

    fn env() -> Env<'static> {
        Env::new(crate::tuple::Timestamp(1), &|bytes| bytes.fill(7))
    }

    #[test]
    fn a_client_is_had_in_one_way_or_not_at_all() {
        let all = server(
            &json!({"client_id_metadata_document_supported": true, "registration_endpoint": "https://id.example/r"}),
        );
        let none = server(&json!({}));
        let id = ClientGiven {
            id: Some("a".into()),
            document: Some("https://c.example/d".into()),
            ..ClientGiven::default()
        };
        let document = ClientGiven { id: None, ..id };
        assert_eq!(becoming(&document, &all).unwrap(), Becoming::Document);
        assert_eq!(becoming(&ClientGiven::default(), &all).unwrap(), Becoming::Register);
        let named = ClientGiven { id: Some("a".into()), ..ClientGiven::default() };
        assert_eq!(becoming(&named, &none).unwrap(), Becoming::Given);
        for nobody in [&document, &ClientGiven::default()] {
            assert!(matches!(becoming(nobody, &none), Err(ClientError::NoClient { .. })));
        }
    }

    #[test]
    fn a_secret_is_shown_as_the_server_takes_it_and_else_not() {
        let with_secret = || ClientGiven {
            id: Some("a b".into()),
            secret: Some(Zeroizing::new("s:1".into())),
            ..ClientGiven::default()
        };
        let us = |methods: &Value| {
            given(&with_secret(), Becoming::Given, &server(&json!({"token_endpoint_auth_methods_supported": methods})))
        };
        let basic = us(&json!(["client_secret_post", "client_secret_basic"])).unwrap();
        let shown = basic.shows(None, "https://id.example", &env()).unwrap();
        assert_eq!(shown.authorization.unwrap().as_str(), format!("Basic {}", STANDARD.encode("a+b:s%3A1")));
        assert!(shown.fields.is_empty());
        let post = us(&json!(["client_secret_post"])).unwrap().shows(None, "https://id.example", &env()).unwrap();
        assert!(post.authorization.is_none());
        let fields: Vec<_> = post.fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        assert_eq!(fields, [("client_id", "a b"), ("client_secret", "s:1")]);
        assert_eq!(us(&Value::Null).unwrap().method, Method::Basic, "RFC 8414 2");
        for methods in [json!(["private_key_jwt"]), json!(["none"]), json!([])] {
            assert!(matches!(us(&methods), Err(ClientError::NotOffered { .. })), "{methods}");
        }
        let public = ClientGiven { id: Some("a".into()), ..ClientGiven::default() };
        let basic_only = server(&json!({"token_endpoint_auth_methods_supported": ["client_secret_basic"]}));
        assert!(given(&public, Becoming::Given, &basic_only).is_err());
    }

    #[test]
    fn what_was_registered_is_what_was_asked_for() {
        let of = |methods: Value| server(&json!({"token_endpoint_auth_methods_supported": methods}));
        for (methods, body, method) in [
            (json!(["none"]), json!({"client_id": "a", "client_secret": "s"}), Some(Method::Nothing)),
            (json!(["client_secret_post"]), json!({"client_id": "a", "client_secret": "s"}), Some(Method::Post)),
            (Value::Null, json!({"client_id": "a"}), Some(Method::Nothing)),
            (Value::Null, json!({"client_id": "a", "token_endpoint_auth_method": "none"}), Some(Method::Nothing)),
            (Value::Null, json!({"client_id": "a", "token_endpoint_auth_method": "client_secret_basic"}), None),
            (Value::Null, json!({"client_id": "a", "token_endpoint_auth_method": "private_key_jwt"}), None),
            (Value::Null, json!({"client_id": "a", "token_endpoint_auth_method": "tls_client_auth"}), None),
            (Value::Null, json!({"client_id": ""}), None),
            (Value::Null, json!({"client_secret": "s"}), None),
        ] {
            let read = registered(body.to_string().as_bytes(), &of(methods)).ok();
            assert_eq!(read.map(|us| us.method), method, "{body}");
        }
        let asked =
            |methods: Value| registration(&of(methods), "http://127.0.0.1:1/cb")["token_endpoint_auth_method"].clone();
        assert_eq!(asked(json!(["client_secret_basic", "none"])), "none");
        assert_eq!(asked(json!(["client_secret_post"])), "client_secret_post");
    }
}
