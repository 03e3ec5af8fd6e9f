//! Clients that register themselves (RFC 7591), in a tenant that lets them. Off unless somebody turns it on: whoever can reach
//! the issuer could else make clients, and pages would show people the names that these give themselves.

use super::{
    Answer, AuthMethod, Client, ClientKeys, ClientKind, Env, ErrorCode, Held, IDENTITY, Refusal, Seconds,
    SigningAlgorithm, Stored, Tenant, again, record_key, scopes_of,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// Most clients of a tenant that have registered themselves.
pub const REGISTERED_MAX: usize = 1_000;
/// What such a client may do: act for a person who has signed in and said yes.
const GRANT_TYPES: [&str; 2] = ["authorization_code", "refresh_token"];
/// How it may show who it is. A name that some authority signed is not for it to claim.
const METHODS: [AuthMethod; 5] = [
    AuthMethod::None,
    AuthMethod::ClientSecretBasic,
    AuthMethod::ClientSecretPost,
    AuthMethod::PrivateKeyJwt,
    AuthMethod::SelfSignedTlsClientAuth,
];
/// How long a client that has registered itself is kept without a token for it when as many are there as may and another wants
/// in, in seconds.
pub const REGISTERED_UNUSED_S: Seconds = 6 * 3_600;
/// How long it is kept where there is room.
pub const REGISTERED_UNUSED_MAX_S: Seconds = 7 * 86_400;
/// The index of those that have.
const REGISTERED: u8 = b'Y';
/// How long the id is that such a client is given.
const ID_BYTES: usize = 26;

/// That a client which has registered itself has had no token yet, and that no administrator took it on.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Unused {
    /// Until when it makes room for no other.
    until: Seconds,
}

impl Stored for Unused {
    const SORT: u8 = b'U';
    const WHAT: &'static str = "unused client";
}

/// Who may register clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Registrants {
    /// Nobody: there is no such endpoint.
    #[default]
    Nobody,
    /// Administrators of the tenant, with a token of the scope `clients:register`.
    Administrators,
    /// Whoever can reach the issuer.
    Anybody,
}

/// How clients may register.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RegistrationSettings {
    /// Who may.
    pub who: Registrants,
    /// The scopes that they may ask for; what else they want they do not get.
    pub scopes: Vec<String>,
    /// The resources that they may ask for.
    pub resources: Vec<String>,
    /// Most that are there at a time, at most [`REGISTERED_MAX`].
    pub clients_max: usize,
}

impl Default for RegistrationSettings {
    fn default() -> Self {
        let strings = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        let scopes = strings(&["openid", "profile", "email", "offline_access"]);
        RegistrationSettings { who: Registrants::Nobody, scopes, resources: Vec::new(), clients_max: 100 }
    }
}

impl RegistrationSettings {
    pub(super) fn check(&self) -> Answer<()> {
        if self.clients_max > REGISTERED_MAX {
            let text = format!("`registration.clients_max` is at most {REGISTERED_MAX}");
            return Err(Refusal::new(ErrorCode::InvalidRequest, "registration.clients_max", text));
        }
        Ok(())
    }
}

fn refuse(rule: &'static str, text: impl Into<String>) -> Refusal {
    Refusal::new(ErrorCode::InvalidClientMetadata, rule, text)
}

/// A refusal of a client, in the words of RFC 7591 3.2.2.
#[expect(clippy::wildcard_enum_match_arm, reason = "what is not the client's fault stays as it is")]
fn of_metadata(refusal: Refusal) -> Refusal {
    let error = match refusal.error {
        ErrorCode::InvalidRequest if refusal.rule.starts_with("client.redirect_uri") => ErrorCode::InvalidRedirectUri,
        ErrorCode::InvalidRequest | ErrorCode::InvalidScope => ErrorCode::InvalidClientMetadata,
        other => other,
    };
    Refusal { error, ..refusal }
}

/// What a client says of itself.
struct Metadata<'a>(&'a Map<String, Value>);

impl Metadata<'_> {
    fn text(&self, name: &'static str) -> Answer<Option<&str>> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(refuse("registration.form", format!("`{name}` is no text"))),
        }
    }

    fn texts(&self, name: &'static str) -> Answer<Option<Vec<String>>> {
        let Some(list) = self.0.get(name).filter(|list| !list.is_null()) else { return Ok(None) };
        let texts = list.as_array().and_then(|list| list.iter().map(|item| item.as_str().map(str::to_owned)).collect());
        texts.map(Some).ok_or_else(|| refuse("registration.form", format!("`{name}` is no list of texts")))
    }

    fn flag(&self, name: &'static str) -> Answer<bool> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(_) => Err(refuse("registration.form", format!("`{name}` is neither true nor false"))),
        }
    }

    fn method(&self) -> Answer<AuthMethod> {
        let name = self.text("token_endpoint_auth_method")?.unwrap_or("client_secret_basic"); // RFC 7591 2
        METHODS.into_iter().find(|method| method.name() == name).ok_or_else(|| {
            let known = METHODS.map(AuthMethod::name).join(", ");
            refuse("registration.method", format!("`token_endpoint_auth_method` is one of: {known}"))
        })
    }

    fn signed_with(&self) -> Answer<SigningAlgorithm> {
        let Some(wanted) = self.text("id_token_signed_response_alg")? else { return Ok(SigningAlgorithm::default()) };
        let found = SigningAlgorithm::ALL.into_iter().find(|(_, name)| *name == wanted);
        found.map(|(algorithm, _)| algorithm).ok_or_else(|| {
            let known = SigningAlgorithm::ALL.map(|(_, name)| name).join(", ");
            refuse("registration.alg", format!("`id_token_signed_response_alg` is one of: {known}"))
        })
    }

    fn keys(&self) -> Answer<Option<ClientKeys>> {
        match (self.0.get("jwks").filter(|set| !set.is_null()), self.text("jwks_uri")?) {
            (Some(_), Some(_)) => Err(refuse("registration.keys", "say `jwks` or `jwks_uri`, not both")),
            (Some(set), None) if !set.is_object() => {
                Err(refuse("registration.keys", "`jwks` is a JWK set: an object with `keys` (RFC 7517 5)"))
            }
            (Some(set), None) => Ok(Some(ClientKeys::Jwks(set.clone()))),
            (None, uri) => Ok(uri.map(|uri| ClientKeys::JwksUri(uri.to_owned()))),
        }
    }

    /// What is wanted of what there is; all of it when nothing is said.
    fn scopes(&self, allowed: &[String]) -> Answer<Vec<String>> {
        let Some(text) = self.text("scope")? else { return Ok(allowed.to_vec()) };
        let mut wanted = scopes_of(text).map_err(of_metadata)?;
        wanted.retain(|scope| allowed.contains(scope));
        if wanted.is_empty() && !text.is_empty() {
            return Err(refuse("registration.scope", "clients that register themselves get none of these scopes"));
        }
        Ok(wanted)
    }

    fn grant_types(&self) -> Answer<Vec<String>> {
        let wanted = self.texts("grant_types")?.unwrap_or_else(|| vec![GRANT_TYPES[0].to_owned()]);
        if wanted.is_empty() || wanted.iter().any(|name| !GRANT_TYPES.contains(&name.as_str())) {
            let text = format!("a client that registers itself may use: {}", GRANT_TYPES.join(", "));
            return Err(refuse("registration.grant_types", text));
        }
        if self.texts("response_types")?.is_some_and(|types| types != ["code"]) {
            return Err(refuse("registration.response_types", "the one `response_types` is `code`"));
        }
        Ok(wanted)
    }

    fn client(&self, id: String, settings: &RegistrationSettings) -> Answer<Client> {
        let redirect_uris = self.texts("redirect_uris")?.unwrap_or_default();
        let Some(first) = redirect_uris.first() else {
            let text = "say in `redirect_uris` where answers may go";
            return Err(Refusal::new(ErrorCode::InvalidRedirectUri, "registration.redirect_uris", text));
        };
        let host = || url::Url::parse(first).ok().and_then(|url| url.host_str().map(str::to_owned));
        let name = self.text("client_name")?.map(str::to_owned).or_else(host).unwrap_or_else(|| id.clone());
        Ok(Client {
            grant_types: self.grant_types()?,
            scopes: self.scopes(&settings.scopes)?,
            resources: settings.resources.clone(),
            auth_methods: vec![self.method()?],
            keys: self.keys()?,
            post_logout_redirect_uris: self.texts("post_logout_redirect_uris")?.unwrap_or_default(),
            backchannel_logout_uri: self.text("backchannel_logout_uri")?.map(str::to_owned),
            require_pushed_requests: self.flag("require_pushed_authorization_requests")?,
            dpop_bound_access_tokens: self.flag("dpop_bound_access_tokens")?,
            tls_client_certificate_bound_access_tokens: self.flag("tls_client_certificate_bound_access_tokens")?,
            id_token_signed_response_alg: self.signed_with()?,
            redirect_uris,
            ..Client::new(id, ClientKind::App, name)
        })
    }
}

/// What was registered (RFC 7591 3.2.1).
fn registered(client: &Client, secret: Option<String>) -> Value {
    let mut out = Map::new();
    let mut say = |name: &str, value: Value| {
        if !value.is_null() && value != json!([]) && value != json!(false) {
            out.insert(name.to_owned(), value);
        }
    };
    say("client_id", client.id.as_str().into());
    say("client_id_issued_at", client.created_at.into());
    if let Some(secret) = secret {
        say("client_secret", secret.into());
        say("client_secret_expires_at", 0.into());
    }
    say("client_name", client.name.as_str().into());
    say("redirect_uris", json!(client.redirect_uris));
    say("grant_types", json!(client.grant_types));
    say("response_types", json!(["code"]));
    say("token_endpoint_auth_method", client.auth_methods.first().map(|method| method.name()).into());
    say("scope", client.scopes.join(" ").into());
    match &client.keys {
        Some(ClientKeys::Jwks(set)) => say("jwks", set.clone()),
        Some(ClientKeys::JwksUri(uri)) => say("jwks_uri", uri.as_str().into()),
        None => {}
    }
    say("post_logout_redirect_uris", json!(client.post_logout_redirect_uris));
    say("backchannel_logout_uri", client.backchannel_logout_uri.as_deref().into());
    say("require_pushed_authorization_requests", client.require_pushed_requests.into());
    say("dpop_bound_access_tokens", client.dpop_bound_access_tokens.into());
    say("id_token_signed_response_alg", json!(client.id_token_signed_response_alg));
    say("tls_client_certificate_bound_access_tokens", client.tls_client_certificate_bound_access_tokens.into());
    Value::Object(out)
}

impl Tenant {
    /// Registers a client as it describes itself, and answers what was registered, with the secret, if it is to show one, which
    /// cannot be read again. `by` is the administrator whose token was shown. Members that are not known are passed over (RFC
    /// 7591 2).
    ///
    /// # Errors
    /// [`ErrorCode::InvalidClientMetadata`] and [`ErrorCode::InvalidRedirectUri`], in the words of RFC 7591 3.2.2;
    /// [`ErrorCode::NotFound`] where nobody may; as many have as may.
    pub fn register_client(&self, metadata: &Value, by: Option<&str>, env: &Env<'_>) -> Answer<Value> {
        let settings = &self.settings().registration;
        match settings.who {
            Registrants::Nobody => return Err(Refusal::not_found("endpoint")),
            Registrants::Administrators if by.is_none() => {
                let text = "an administrator registers clients here";
                return Err(Refusal::new(ErrorCode::AccessDenied, "registration.by", text));
            }
            Registrants::Administrators | Registrants::Anybody => self.count_address(env)?,
        }
        let anybody = by.is_none();
        let metadata = metadata.as_object().ok_or_else(|| refuse("registration.form", "the body is no object"))?;
        let client = Metadata(metadata).client(env.id().to_lowercase(), settings)?;
        if anybody {
            self.count_registration(env)?;
        }
        let made = self.add_registered(&client, anybody, env);
        if anybody && made.is_err() {
            self.forgive_registration(env);
        }
        made
    }

    /// Makes the client where there is room, or room can be made.
    fn add_registered(&self, client: &Client, anybody: bool, env: &Env<'_>) -> Answer<Value> {
        let clients_max = self.settings().registration.clients_max;
        let is_full =
            || -> Answer<bool> { Ok(self.marks(IDENTITY, REGISTERED, &[], None, clients_max)?.len() >= clients_max) };
        if is_full()? {
            self.drop_unused(0, 1, env)?;
        }
        again(|| {
            if is_full()? {
                let text = "as many clients have registered themselves as may; ask whoever runs this issuer";
                return Err(Refusal::new(ErrorCode::TemporarilyUnavailable, "registration.max", text));
            }
            let mut change = self.change(env);
            let made = self.add_client(&mut change, client, env).map_err(of_metadata)?;
            change.mark(IDENTITY, REGISTERED, &[&made.id]);
            if anybody {
                let until = env.seconds().saturating_add(REGISTERED_UNUSED_S);
                change.create(&[&made.id], &Unused { until });
            }
            let with_secret = [AuthMethod::ClientSecretBasic, AuthMethod::ClientSecretPost];
            let secret = made.auth_methods.iter().any(|method| with_secret.contains(method)).then(|| env.secret());
            if let Some(secret) = &secret {
                change.put(&[&made.id], &made.with_secret(secret, env));
            }
            change.commit()?;
            Ok(registered(&made, secret))
        })
    }

    /// Whether a client has registered itself.
    ///
    /// # Errors
    /// The disk failed.
    pub fn registered_itself(&self, id: &str) -> Answer<bool> {
        let key = record_key(self.number(), REGISTERED, &[id]);
        Ok(self.engine().records(IDENTITY).get(&key)?.is_some())
    }

    /// Adds to a change that a client that is deleted no longer counts as one that has registered itself.
    pub(super) fn forget_registration(change: &mut super::Change<'_>, id: &str) {
        change.unmark(IDENTITY, REGISTERED, &[id]);
        change.unmark(IDENTITY, Unused::SORT, &[id]);
    }

    /// Adds to a change that a client stays: a token is issued for it, or an administrator took it on.
    pub(super) fn note_client_used(&self, change: &mut super::Change<'_>, client: &Client) -> Answer<()> {
        if client.kind == ClientKind::App { self.note_app_used(change, &client.id) } else { Ok(()) }
    }

    /// The same for who or what a role is of.
    pub(super) fn note_subject_used(&self, change: &mut super::Change<'_>, subject: &str) -> Answer<()> {
        subject.strip_prefix("app:").map_or(Ok(()), |id| self.note_app_used(change, id))
    }

    fn note_app_used(&self, change: &mut super::Change<'_>, id: &str) -> Answer<()> {
        if id.len() == ID_BYTES && self.get::<Unused>(&[id])?.is_some() {
            change.unmark(IDENTITY, Unused::SORT, &[id]);
        }
        Ok(())
    }

    /// Deletes clients that anybody registered and for which there was no token within [`REGISTERED_UNUSED_MAX_S`]. Answers how
    /// many.
    ///
    /// # Errors
    /// The disk failed.
    pub fn drop_unused_clients(&self, env: &Env<'_>) -> Answer<usize> {
        self.drop_unused(REGISTERED_UNUSED_MAX_S.saturating_sub(REGISTERED_UNUSED_S), REGISTERED_MAX, env)
    }

    /// Deletes so many of those that could make room for others so long ago, the oldest first. One that cannot be deleted keeps
    /// no other.
    fn drop_unused(&self, ago_s: Seconds, most: usize, env: &Env<'_>) -> Answer<usize> {
        let mut dropped = 0;
        for unused in self.list::<Unused>(&[], None, REGISTERED_MAX)? {
            if dropped == most {
                break;
            }
            if env.seconds() < unused.until.saturating_add(ago_s) {
                continue;
            }
            match self.drop_unused_one(&unused, env) {
                Ok(gone) => dropped += usize::from(gone),
                Err(refusal) if refusal.is_stale() => {} // it was used just now
                Err(refusal) => {
                    tracing::warn!(tenant = self.name(), client = unused.last(), %refusal, "an unused client stays");
                }
            }
        }
        Ok(dropped)
    }

    fn drop_unused_one(&self, unused: &Held<Unused>, env: &Env<'_>) -> Answer<bool> {
        let Some(held) = self.get::<Client>(&[&unused.last()])? else { return Ok(false) };
        let mut change = self.change(env);
        change.expect(unused);
        self.drop_client(&mut change, &held, env)?;
        change.commit()?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NAMES: [&str; 9] = [
        "redirect_uris",
        "client_name",
        "scope",
        "grant_types",
        "response_types",
        "token_endpoint_auth_method",
        "jwks",
        "jwks_uri",
        "dpop_bound_access_tokens",
    ];

    /// Values that members may have, and that they should not.
    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "\\PC{0,40}".prop_map(Value::from),
            proptest::sample::select(vec!["https://a.example/cb", "code", "refresh_token", "none", "openid write"])
                .prop_map(Value::from),
        ];
        leaf.prop_recursive(2, 8, 3, |inner| proptest::collection::vec(inner, 0..3).prop_map(Value::from))
    }

    proptest! {
        /// In place of a fuzz target, because what metadata makes is a client, which is of a room with records.
        #[test]
        fn any_metadata_is_judged(members in proptest::collection::vec((0..NAMES.len(), value()), 0..6)) {
            let said: Map<String, Value> =
                members.into_iter().map(|(n, value)| (NAMES[n].to_owned(), value)).collect();
            let settings = RegistrationSettings::default();
            if let Ok(client) = Metadata(&said).client("c".to_owned(), &settings) {
                prop_assert!(!client.redirect_uris.is_empty());
                prop_assert!(client.scopes.iter().all(|scope| settings.scopes.contains(scope)));
                prop_assert!(client.grant_types.iter().all(|name| GRANT_TYPES.contains(&name.as_str())));
                prop_assert!(matches!(client.auth_methods.as_slice(), [one] if METHODS.contains(one)));
                // Who registers what was told is told the same.
                let told = registered(&client, None);
                prop_assert_eq!(Metadata(told.as_object().unwrap()).client("c".to_owned(), &settings), Ok(client));
            }
        }
    }
}
