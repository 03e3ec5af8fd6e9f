//! Clients: applications and agents that ask for tokens, and what they may ask for.

use super::redirects::check_redirect_uri;
use super::{
    Answer, AssertionChain, Change, ClientEdit, ClientSecret, Env, ErrorCode, EventKind, Held, IDENTITY, Leaving,
    Outcome, REDIRECT_URI_BYTES_MAX, REDIRECT_URIS_MAX, Refusal, SECRETS_MAX, Seconds, SigningAlgorithm, Stored,
    Tenant, TlsSubject, Workload, again, check_id, hash_of, is_scope, is_secure, jwt,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

/// Most grant types, scopes, resources and types of details of a client.
pub const ALLOWED_MAX: usize = 256;
/// Largest JWK set that is kept.
pub const JWKS_BYTES_MAX: usize = 32 << 10;
/// The grant types that an issuer serves. Modules bring those that are URNs; `tests/identity.rs` compares them with the metadata.
pub const GRANT_TYPES: [&str; 7] = [
    "authorization_code",
    "refresh_token",
    "client_credentials",
    "urn:ietf:params:oauth:grant-type:token-exchange",
    "urn:ietf:params:oauth:grant-type:jwt-bearer",
    "urn:openid:params:grant-type:ciba",
    "urn:auth0:params:oauth:grant-type:token-exchange:federated-connection-access-token",
];
/// The index of those that were deleted, until nobody keeps anything of them.
const GONE: u8 = b'B';

/// What a client is. It decides its type in tuples.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientKind {
    /// An application that a person uses: `app:ID`.
    App,
    /// An agent, which acts by itself: `agent:ID`. Its tokens for people say so in `act`.
    Agent,
}

impl ClientKind {
    /// The type in tuples.
    #[must_use]
    pub fn object_type(self) -> &'static str {
        match self {
            ClientKind::App => "app",
            ClientKind::Agent => "agent",
        }
    }
}

/// How a client shows who it is (RFC 7591 2, RFC 8705 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuthMethod {
    /// It has nothing to show: a public client.
    None,
    /// A secret in the `Authorization` header.
    ClientSecretBasic,
    /// A secret in the body.
    ClientSecretPost,
    /// A signed assertion (RFC 7523).
    PrivateKeyJwt,
    /// An assertion that the platform signed on which it runs: the same on the wire.
    WorkloadJwt,
    /// A JWT-SVID (draft-ietf-oauth-spiffe-client-auth-02, 3.1).
    SpiffeJwt,
    /// A certificate by an authority that is trusted, with the subject of the client (RFC 8705 2.1).
    TlsClientAuth,
    /// A certificate with a key of the client's, whoever signed it (RFC 8705 2.2).
    SelfSignedTlsClientAuth,
}

impl AuthMethod {
    /// All that are served, by their names.
    pub const ALL: [(AuthMethod, &'static str); 8] = [
        (AuthMethod::None, "none"),
        (AuthMethod::ClientSecretBasic, "client_secret_basic"),
        (AuthMethod::ClientSecretPost, "client_secret_post"),
        (AuthMethod::PrivateKeyJwt, "private_key_jwt"),
        (AuthMethod::WorkloadJwt, "workload_jwt"),
        (AuthMethod::SpiffeJwt, "spiffe_jwt"),
        (AuthMethod::TlsClientAuth, "tls_client_auth"),
        (AuthMethod::SelfSignedTlsClientAuth, "self_signed_tls_client_auth"),
    ];

    /// Those that show a certificate, which is possible only where one is asked for.
    pub const BY_CERTIFICATE: [AuthMethod; 2] = [AuthMethod::TlsClientAuth, AuthMethod::SelfSignedTlsClientAuth];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        AuthMethod::ALL.iter().find(|(method, _)| *method == self).map_or("none", |(_, name)| name)
    }

    /// Whether metadata names it. What a platform signed is `private_key_jwt` to who reads that: whose key it is, is between us
    /// and the platform.
    #[must_use]
    pub fn is_registered(self) -> bool {
        self != AuthMethod::WorkloadJwt
    }
}

/// Where the public keys of a client are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientKeys {
    /// Here: a JWK set.
    Jwks(Value),
    /// There: an `https` URL of a JWK set.
    JwksUri(String),
}

/// Whether people are asked what a client may do for them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConsentRule {
    /// They are.
    #[default]
    Ask,
    /// Whoever runs the tenant has decided for them.
    Managed,
}

/// A client as it is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Client {
    /// `client_id`. Given once and never again.
    pub id: String,
    /// What it is.
    pub kind: ClientKind,
    /// What people call it.
    pub name: String,
    /// Where the answers of the authorization endpoint may go. Compared byte for byte, but for the port of a loopback
    /// address (RFC 8252 7.3).
    #[serde(default)]
    pub redirect_uris: Vec<String>,
    /// Where a browser may go after it signed out.
    #[serde(default)]
    pub post_logout_redirect_uris: Vec<String>,
    /// Where it is told that a session ended (OpenID Connect Back-Channel Logout 1.0).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backchannel_logout_uri: Option<String>,
    /// The grant types it may use.
    #[serde(default)]
    pub grant_types: Vec<String>,
    /// The scopes it may ask for.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// The identifiers of the resources it may ask for.
    #[serde(default)]
    pub resources: Vec<String>,
    /// The identifiers of the resources that it is: a resource server is told of tokens for these (RFC 7662 4).
    #[serde(default)]
    pub serves: Vec<String>,
    /// The types of authorization details it may ask for (RFC 9396 10).
    #[serde(default)]
    pub details_types: Vec<String>,
    /// How it may show who it is; one of them in each request.
    pub auth_methods: Vec<AuthMethod>,
    /// Its secrets; several, so that one can follow another.
    #[serde(default)]
    pub secrets: Vec<ClientSecret>,
    /// Its public keys.
    #[serde(default)]
    pub keys: Option<ClientKeys>,
    /// The certificates that its assertions may carry instead (`x5c`), for `private_key_jwt`: their authorities, and its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assertion_chain: Option<AssertionChain>,
    /// The URL of the document by which it names itself (OAuth Client ID Metadata Document); its `client_id` to itself and in
    /// its ID tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document: Option<String>,
    /// The workloads that it is, by the word of their issuers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub workloads: Vec<Workload>,
    /// Whether people are asked.
    #[serde(default)]
    pub consent: ConsentRule,
    /// Whether it must push its authorization requests (RFC 9126 6).
    #[serde(default)]
    pub require_pushed_requests: bool,
    /// Whether its tokens must be bound to a key (RFC 9449 5.2).
    #[serde(default)]
    pub dpop_bound_access_tokens: bool,
    /// The subject of its certificate, for `tls_client_auth` (RFC 8705 2.1.2).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_subject: Option<TlsSubject>,
    /// Whether its tokens must be bound to the certificate that it shows (RFC 8705 3.4).
    #[serde(default)]
    pub tls_client_certificate_bound_access_tokens: bool,
    /// With what ID tokens for it, and logout tokens, are signed (OpenID Connect Dynamic Client Registration 1.0, 2).
    #[serde(default, skip_serializing_if = "SigningAlgorithm::is_default")]
    pub id_token_signed_response_alg: SigningAlgorithm,
    /// When it was made.
    pub created_at: Seconds,
    /// When it was deleted; then it can do nothing.
    #[serde(default)]
    pub deleted_at: Option<Seconds>,
}

impl Stored for Client {
    const SORT: u8 = b'a';
    const WHAT: &'static str = "client";
}

/// Which client names itself by a document (OAuth Client ID Metadata Document); kept by the hash of the document's URL.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct NamedByDocument {
    client: String,
}

impl Stored for NamedByDocument {
    const SORT: u8 = b'N';
    const WHAT: &'static str = "client by its document";
}

impl Client {
    /// A client with nothing allowed yet. It shows who it is with a secret in the header.
    #[must_use]
    pub fn new(id: impl Into<String>, kind: ClientKind, name: impl Into<String>) -> Client {
        Client {
            id: id.into(),
            kind,
            name: name.into(),
            redirect_uris: Vec::new(),
            post_logout_redirect_uris: Vec::new(),
            backchannel_logout_uri: None,
            grant_types: Vec::new(),
            scopes: Vec::new(),
            resources: Vec::new(),
            serves: Vec::new(),
            details_types: Vec::new(),
            auth_methods: vec![AuthMethod::ClientSecretBasic],
            secrets: Vec::new(),
            keys: None,
            assertion_chain: None,
            document: None,
            workloads: Vec::new(),
            consent: ConsentRule::Ask,
            require_pushed_requests: false,
            dpop_bound_access_tokens: false,
            tls_subject: None,
            tls_client_certificate_bound_access_tokens: false,
            id_token_signed_response_alg: SigningAlgorithm::default(),
            created_at: 0,
            deleted_at: None,
        }
    }

    /// As a subject: `app:ID` or `agent:ID`.
    #[must_use]
    pub fn subject(&self) -> String {
        format!("{}:{}", self.kind.object_type(), self.id)
    }

    /// Whether it has nothing by which it can show who it is.
    #[must_use]
    pub fn is_public(&self) -> bool {
        self.auth_methods == [AuthMethod::None]
    }

    /// Its `client_id` as it says it itself.
    #[must_use]
    pub fn own_name(&self) -> &str {
        self.document.as_deref().unwrap_or(&self.id)
    }

    /// Whether a `client_id` is its own.
    #[must_use]
    pub fn is_named(&self, name: &str) -> bool {
        self.id == name || self.document.as_deref() == Some(name)
    }

    /// Sees that an issuer serves the grant types that somebody here writes down for it. What a client says of itself may have
    /// others, of which it makes no use here.
    ///
    /// # Errors
    /// One is none.
    pub fn check_grant_types(&self) -> Answer<()> {
        let Some(bad) = self.grant_types.iter().find(|name| !GRANT_TYPES.contains(&name.as_str())) else {
            return Ok(());
        };
        let text = format!("`{bad}` is no grant type that is served here; write one of {}", GRANT_TYPES.join(", "));
        Err(Refusal::new(ErrorCode::InvalidRequest, "client.grant_types", text))
    }

    /// Whether it may use a grant type.
    #[must_use]
    pub fn may_use(&self, grant_type: &str) -> bool {
        self.grant_types.iter().any(|allowed| allowed == grant_type)
    }

    /// The thumbprint of the certificate to which its tokens are bound, when they are to be.
    ///
    /// # Errors
    /// They are to be, and it has shown none.
    pub(super) fn bound_to(&self, env: &Env<'_>) -> Answer<Option<String>> {
        if !self.tls_client_certificate_bound_access_tokens {
            return Ok(None);
        }
        let shown = env.certificate.ok_or_else(|| {
            let text = "this client's tokens are bound to its certificate; ask where `mtls_endpoint_aliases` of the \
                        metadata says, with the certificate (RFC 8705 5)";
            Refusal::new(ErrorCode::InvalidRequest, "certificate.missing", text)
        })?;
        Ok(Some(shown.thumbprint.clone()))
    }

    pub(super) fn check(&self) -> Answer<()> {
        let refuse = |rule, text: String| Err(Refusal::new(ErrorCode::InvalidRequest, rule, text));
        if self.name.is_empty() || self.name.len() > 128 || self.name.chars().any(char::is_control) {
            return refuse("client.name", "a client has a name of at most 128 bytes".to_owned());
        }
        let uris = [&self.redirect_uris, &self.post_logout_redirect_uris];
        if uris.iter().any(|list| list.len() > REDIRECT_URIS_MAX) {
            return refuse("client.redirect_uris", format!("a client has at most {REDIRECT_URIS_MAX} redirect URIs"));
        }
        for uri in uris.into_iter().flatten() {
            check_redirect_uri(uri)?;
        }
        self.backchannel_logout_uri.as_deref().map(super::logout::check_uri).transpose()?;
        let lists = [&self.grant_types, &self.scopes, &self.resources, &self.serves, &self.details_types];
        if lists.iter().any(|list| list.len() > ALLOWED_MAX) || self.secrets.len() > SECRETS_MAX {
            return refuse(
                "client.max",
                format!("a client has at most {ALLOWED_MAX} of each and {SECRETS_MAX} secrets"),
            );
        }
        if let Some(bad) = self.scopes.iter().find(|scope| !is_scope(scope)) {
            return refuse("client.scopes", format!("`{bad}` is no scope"));
        }
        for resource in self.resources.iter().chain(&self.serves) {
            super::check_resource(resource)?;
        }
        let public = self.auth_methods.contains(&AuthMethod::None);
        if self.auth_methods.is_empty() || (public && self.auth_methods.len() > 1) {
            let text = "a client has one or more ways to show who it is, or the only one `none`";
            return refuse("client.auth_methods", text.to_owned());
        }
        if public && self.may_use("client_credentials") {
            let text = "a client that cannot show who it is cannot act for itself (RFC 6749 4.4)";
            return refuse("client.public", text.to_owned());
        }
        let by_subject = self.auth_methods.contains(&AuthMethod::TlsClientAuth);
        if by_subject != self.tls_subject.is_some() {
            let text = "`tls_client_auth` and the subject of the certificate go together; set both or neither";
            return refuse("client.tls_subject", text.to_owned());
        }
        self.tls_subject.as_ref().map(TlsSubject::check).transpose()?;
        self.check_workloads()?;
        self.assertion_chain.as_ref().map(AssertionChain::check).transpose()?;
        let by_key = self.auth_methods.contains(&AuthMethod::PrivateKeyJwt);
        if self.assertion_chain.is_some() && !by_key {
            let text = "certificates of assertions are for `private_key_jwt`; allow it too, or leave them out";
            return refuse("client.chain", text.to_owned());
        }
        match &self.keys {
            Some(keys) => keys.check("client.keys"),
            None if (by_key && self.assertion_chain.is_none())
                || self.auth_methods.contains(&AuthMethod::SelfSignedTlsClientAuth) =>
            {
                let text = "`private_key_jwt` and `self_signed_tls_client_auth` need `jwks` or `jwks_uri`, and the first does \
                            with certificates of assertions too";
                refuse("client.keys", text.to_owned())
            }
            None => Ok(()),
        }
    }
}

impl ClientKeys {
    /// What names them: the ids of the keys, or where they are.
    #[must_use]
    pub fn names(&self) -> String {
        match self {
            ClientKeys::JwksUri(uri) => uri.clone(),
            ClientKeys::Jwks(set) => {
                let keys = set.get("keys").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
                let kids = keys.iter().map(|key| key.get("kid").and_then(Value::as_str).unwrap_or("without kid"));
                kids.collect::<Vec<_>>().join(" ")
            }
        }
    }

    /// Whether they are public keys, or a URL where they may be. `rule` is named when they are not.
    pub(super) fn check(&self, rule: &'static str) -> Answer<()> {
        let refuse = |text: &str| Err(Refusal::new(ErrorCode::InvalidRequest, rule, text));
        match self {
            ClientKeys::Jwks(set) => {
                if set.to_string().len() > JWKS_BYTES_MAX || jwt::usable_keys(set).is_empty() {
                    return refuse("`jwks` is too large, or has no public key that can be used");
                }
                let keys = set.get("keys").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
                if keys.iter().any(|key| key.get("d").is_some() || key.get("k").is_some()) {
                    return refuse("`jwks` has a private or secret key; take it out, and take it as known to others");
                }
            }
            ClientKeys::JwksUri(uri) => {
                if uri.len() > REDIRECT_URI_BYTES_MAX || !Url::parse(uri).is_ok_and(|url| is_secure(&url)) {
                    return refuse("`jwks_uri` is no `https` URL");
                }
            }
        }
        Ok(())
    }
}

impl Tenant {
    /// Makes a client. Its secrets are made by [`Tenant::add_secret`].
    ///
    /// # Errors
    /// The id is taken, or something is not right.
    pub fn create_client(&self, client: &Client, env: &Env<'_>) -> Answer<Client> {
        again(|| {
            let mut change = self.change(env);
            let client = self.add_client(&mut change, client, env)?;
            change.commit()?;
            Ok(client)
        })
    }

    /// Adds a new client to a change, for who keeps more about it than this room.
    ///
    /// # Errors
    /// As [`Tenant::create_client`].
    pub fn add_client(&self, change: &mut Change<'_>, client: &Client, env: &Env<'_>) -> Answer<Client> {
        let client = self.add_dormant_client(change, client, env)?;
        change.relate(&self.object(), "member", &client.subject());
        Ok(client)
    }

    /// The same, for a client that can do nothing before somebody makes it a `member` of the tenant.
    ///
    /// # Errors
    /// As [`Tenant::create_client`].
    pub fn add_dormant_client(&self, change: &mut Change<'_>, client: &Client, env: &Env<'_>) -> Answer<Client> {
        let client = Client { created_at: env.seconds(), deleted_at: None, secrets: Vec::new(), ..client.clone() };
        client.check()?;
        self.trusts_workloads(&[], &client.workloads)?;
        self.need_key(change, client.id_token_signed_response_alg, env)?;
        self.take_id(change, &client.id, client.kind.object_type())?;
        change.create(&[&client.id], &client);
        change.relate(&client.subject(), "tenant", &self.object());
        change.event(&self.event(EventKind::ClientCreated, Outcome::Done, env).client(client.subject()));
        Ok(client)
    }

    /// A client that is not deleted.
    ///
    /// # Errors
    /// There is none.
    pub fn client(&self, id: &str) -> Answer<Held<Client>> {
        if check_id(id).is_err() {
            return Err(Refusal::not_found(Client::WHAT)); // no key is made of what cannot be an id
        }
        let held = self.held::<Client>(&[id])?;
        if held.deleted_at.is_some() { Err(Refusal::not_found(Client::WHAT)) } else { Ok(held) }
    }

    /// A client that is not deleted, by its `client_id` as it says it itself: its id, or the URL of its document.
    ///
    /// # Errors
    /// There is none.
    pub fn client_named(&self, name: &str) -> Answer<Held<Client>> {
        if !name.contains("://") {
            return self.client(name);
        }
        let named = self.get::<NamedByDocument>(&[&hash_of(name)])?;
        self.client(&named.ok_or_else(|| Refusal::not_found(Client::WHAT))?.client)
    }

    /// Adds to a change that a client names itself by a document from now on, and what people call it.
    pub fn name_client(&self, change: &mut Change<'_>, held: &Held<Client>, url: &str, name: &str) {
        let named = Client { document: Some(url.to_owned()), name: name.to_owned(), ..held.value.clone() };
        change.replace(held, &named);
        change.create(&[&hash_of(url)], &NamedByDocument { client: held.id.clone() });
    }

    /// A client as a subject, for an event: the bare id when it is not known.
    pub(super) fn client_subject(&self, id: &str) -> Answer<String> {
        Ok(self.get::<Client>(&[id])?.map_or_else(|| id.to_owned(), |client| client.subject()))
    }

    /// Clients in the order of their ids, behind the id `after`; those that are deleted too.
    ///
    /// # Errors
    /// The disk failed.
    pub fn clients(&self, after: Option<&str>, max: usize) -> Answer<Vec<Held<Client>>> {
        self.list(&[], after, max)
    }

    /// Changes a client: all but its id, its kind and its secrets, which have ways of their own.
    ///
    /// # Errors
    /// Somebody was faster, or something is not right.
    pub fn change_client(&self, held: &Held<Client>, wanted: &Client, env: &Env<'_>) -> Answer<Client> {
        let mut change = self.change(env);
        let client = self.put_client(&mut change, held, wanted, env)?;
        change.commit()?;
        Ok(client)
    }

    /// Adds the change of a client to a change; as [`Tenant::change_client`].
    ///
    /// # Errors
    /// Something is not right.
    pub fn put_client(
        &self,
        change: &mut Change<'_>,
        held: &Held<Client>,
        wanted: &Client,
        env: &Env<'_>,
    ) -> Answer<Client> {
        let client = Client {
            id: held.id.clone(),
            kind: held.kind,
            secrets: held.secrets.clone(),
            document: held.document.clone(),
            created_at: held.created_at,
            deleted_at: None,
            ..wanted.clone()
        };
        client.check()?;
        self.trusts_workloads(&held.workloads, &client.workloads)?;
        self.need_key(change, client.id_token_signed_response_alg, env)?;
        change.replace(held, &client);
        self.note_client_used(change, &client)?;
        let edits = ClientEdit::between(held, &client);
        let event = self.event(EventKind::ClientChanged, Outcome::Done, env).client(client.subject());
        change.event_of_edits(&event, &edits.iter().map(ClientEdit::told).collect::<Vec<_>>());
        change.edits_client(edits);
        Ok(client)
    }

    /// Deletes a client: its id stays taken, and all that it was given is void. Of what it was, no lists are kept, which may be
    /// long.
    ///
    /// # Errors
    /// There is no such client, or it is the last administrator.
    pub fn delete_client(&self, id: &str, env: &Env<'_>) -> Answer<()> {
        again(|| {
            let held = self.client(id)?;
            let mut change = self.change(env);
            self.drop_client(&mut change, &held, env)?;
            change.commit()
        })?;
        Ok(())
    }

    /// Agents and applications that were deleted and of which other modules may still keep something, as subjects, `max` at most.
    ///
    /// # Errors
    /// The disk failed.
    pub fn gone_clients(&self, max: usize) -> Answer<Vec<String>> {
        self.marks(IDENTITY, GONE, &[], None, max)
    }

    /// Nobody keeps anything more of a client that was deleted.
    ///
    /// # Errors
    /// The disk failed.
    pub fn forgot_client(&self, subject: &str, env: &Env<'_>) -> Answer<()> {
        let mut change = self.change(env);
        change.unmark(IDENTITY, GONE, &[subject]);
        change.commit()?;
        Ok(())
    }

    /// Adds to a change that a client is deleted.
    ///
    /// # Errors
    /// It is the last administrator, or the disk failed.
    pub fn drop_client(&self, change: &mut Change<'_>, held: &Held<Client>, env: &Env<'_>) -> Answer<()> {
        self.spare_administrator(change, Leaving::Somebody(&held.subject()))?;
        let deleted_at = Some(env.seconds());
        let gone = Client {
            redirect_uris: Vec::new(),
            post_logout_redirect_uris: Vec::new(),
            secrets: Vec::new(),
            keys: None,
            assertion_chain: None,
            workloads: Vec::new(),
            deleted_at,
            ..held.value.clone()
        };
        change.replace(held, &gone);
        change.edits_client([ClientEdit::gone(held)]);
        change.unrelate(&self.object(), "member", &held.subject());
        Tenant::forget_registration(change, &held.id);
        change.mark(IDENTITY, GONE, &[&held.subject()]);
        change.event(&self.event(EventKind::ClientDeleted, Outcome::Done, env).client(held.subject()));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_makes_no_sense_is_refused() {
        let client = Client::new("c", ClientKind::App, "c");
        let keys = |text: &str| Some(ClientKeys::Jwks(serde_json::from_str(text).unwrap()));
        let public = vec![AuthMethod::None];
        for (bad, rule) in [
            (Client { name: String::new(), ..client.clone() }, "client.name"),
            (Client { auth_methods: vec![], ..client.clone() }, "client.auth_methods"),
            (
                Client { auth_methods: vec![AuthMethod::None, AuthMethod::ClientSecretBasic], ..client.clone() },
                "client.auth_methods",
            ),
            (
                Client { auth_methods: public, grant_types: vec!["client_credentials".into()], ..client.clone() },
                "client.public",
            ),
            (Client { auth_methods: vec![AuthMethod::PrivateKeyJwt], ..client.clone() }, "client.keys"),
            (Client { keys: keys(r#"{"keys": []}"#), ..client.clone() }, "client.keys"),
            (
                Client {
                    keys: keys(r#"{"keys": [{"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA", "d": "AA"}]}"#),
                    ..client.clone()
                },
                "client.keys",
            ),
            (
                Client { keys: Some(ClientKeys::JwksUri("http://a.example/jwks".into())), ..client.clone() },
                "client.keys",
            ),
            (Client { scopes: vec!["a b".into()], ..client.clone() }, "client.scopes"),
            (Client { resources: vec!["relative".into()], ..client.clone() }, "resource.form"),
        ] {
            assert_eq!(bad.check().unwrap_err().rule, rule);
        }
        client.check().unwrap();
    }
}
