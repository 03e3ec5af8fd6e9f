//! Agents that nobody registered: the first request of a client metadata document that is not known makes a draft, which
//! somebody adopts or retires. Until then it can do nothing.
//!
//! OAuth Client ID Metadata Document (draft-ietf-oauth-client-id-metadata-document-01): the `client_id` is the URL of a
//! document that says what the client is. What it says of itself is not believed; it is what an owner looks at.

use super::edit::Edit;
use super::records::{AGENT, NAME_BYTES_MAX, OfDocument, check_text};
use super::registry::fresh;
use super::stage::{Stage, Step};
use super::{Agent, By, Origin, Profile, Registry};
use crate::identity::{
    Answer, AuthMethod, Client, ClientKeys, ClientKind, Env, ErrorCode, EventKind, Refusal, Seconds, again, hash_of,
    is_secure,
};
use serde_json::Value;
use url::Url;

/// Largest document, in bytes.
pub const DOCUMENT_BYTES_MAX: usize = 5 << 10;
/// Longest URL of a document.
const URL_BYTES_MAX: usize = 512;
/// Most drafts that wait for an owner. Anybody can make one, so there is an end.
pub const DRAFTS_WAITING_MAX: usize = 500;
/// Most of them whose documents are at one host.
pub const DRAFTS_PER_HOST_MAX: usize = 5;
/// Most of them at hosts that have the last two parts of their names in common: whoever has a domain has as many hosts as they
/// like.
pub const DRAFTS_PER_DOMAIN_MAX: usize = 50;
const _: () = assert!(4 * DRAFTS_PER_DOMAIN_MAX <= DRAFTS_WAITING_MAX, "no domain takes the places of all others");
/// How long a draft waits for somebody who adopts it.
pub const DRAFT_LIFE_S: Seconds = 7 * 24 * 3_600;
/// The index of drafts that wait.
pub(super) const WAITING: u8 = b'w';
/// The same by where their documents are: domain, host, draft.
const WAITING_AT: u8 = b'W';

/// Where documents come from. It refuses private addresses and redirects, bounds time and bytes (at most
/// [`DOCUMENT_BYTES_MAX`]), and takes an answer of 200 only.
pub trait Documents: Send + Sync {
    /// The bytes of a document, for a tenant (its number).
    ///
    /// # Errors
    /// It cannot be had.
    fn fetch(&self, tenant: u32, url: &str) -> Answer<Vec<u8>>;
}

/// What became of a document that somebody named as their `client_id`.
#[derive(Clone, Debug)]
pub enum Seen {
    /// It was not known, and is a draft now.
    Draft(Agent),
    /// It is known.
    Known(Agent),
}

impl Seen {
    /// The agent.
    #[must_use]
    pub fn agent(&self) -> &Agent {
        match self {
            Seen::Draft(agent) | Seen::Known(agent) => agent,
        }
    }
}

fn refuse(rule: &'static str, why: &str) -> Refusal {
    Refusal::new(ErrorCode::InvalidClient, rule, format!("this client metadata document is not accepted: {why}"))
}

/// Refuses what is no URL of a document (section 3): `https`, with a path, and without fragment, user and dot segments.
fn check_url(text: &str) -> Answer<Url> {
    let bad = |why| Err(refuse("document.url", why));
    let Ok(url) = Url::parse(text) else { return bad("its `client_id` is no URL") };
    if text.len() > URL_BYTES_MAX || url.as_str() != text {
        return bad("its URL is too long, or not written as URLs are");
    }
    if !is_secure(&url) {
        return bad("its URL is not `https`");
    }
    if url.path() == "/" || url.fragment().is_some() || !url.username().is_empty() || url.password().is_some() {
        return bad("its URL has no path, or has a fragment or a user");
    }
    Ok(url)
}

/// The domain and the host of a document: the last two parts of a name, and all of it. Of an address both are the address.
fn place_of(url: &Url) -> (String, String) {
    let host = url.host_str().unwrap_or_default();
    let domain = match url.host() {
        Some(url::Host::Domain(name)) => {
            let mut parts: Vec<&str> = name.trim_end_matches('.').rsplit('.').take(2).collect();
            parts.reverse();
            parts.join(".")
        }
        Some(url::Host::Ipv4(_) | url::Host::Ipv6(_)) | None => host.to_owned(),
    };
    (domain, host.trim_end_matches('.').to_owned())
}

/// Where a document is of which an agent came.
fn place_of_origin(origin: Option<&Origin>) -> Option<(String, String)> {
    match origin? {
        Origin::Document { document, .. } => Url::parse(document).ok().map(|url| place_of(&url)),
        Origin::Account { .. } => None,
    }
}

/// A draft of a document gives its place free.
pub(super) fn waits_no_more(edit: &mut Edit<'_>, id: &str) {
    edit.change.unmark(AGENT, WAITING, &[id]);
    if let Some((domain, host)) = place_of_origin(edit.record.origin.as_ref()) {
        edit.change.unmark(AGENT, WAITING_AT, &[&domain, &host, id]);
    }
}

fn texts(document: &Value, name: &'static str) -> Answer<Vec<String>> {
    match document.get(name) {
        None => Ok(Vec::new()),
        Some(Value::Array(list)) => {
            let texts = list.iter().map(|item| item.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>();
            texts.ok_or_else(|| refuse("document.form", "a list has something that is no text"))
        }
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_)) => {
            Err(refuse("document.form", "what should be a list is none"))
        }
    }
}

/// The client that a document describes, under an id of ours.
fn client_of(id: &str, url: &Url, bytes: &[u8]) -> Answer<Client> {
    if bytes.len() > DOCUMENT_BYTES_MAX {
        return Err(refuse("document.size", "it is too large"));
    }
    let document: Value = serde_json::from_slice(bytes).map_err(|_| refuse("document.form", "it is no JSON"))?;
    let text = |name: &str| document.get(name).and_then(Value::as_str);
    if text("client_id") != Some(url.as_str()) {
        return Err(refuse("document.client_id", "its `client_id` is not the URL where it is"));
    }
    if document.get("client_secret").is_some() || document.get("client_secret_expires_at").is_some() {
        return Err(refuse("document.secret", "it has a secret, which it shares with all the world"));
    }
    let name = text("client_name").filter(|name| !name.trim().is_empty()).or(url.host_str()).unwrap_or("agent");
    check_text("name", name, NAME_BYTES_MAX)?;
    let mut client = Client::new(id, ClientKind::Agent, name);
    client.redirect_uris = texts(&document, "redirect_uris")?;
    client.grant_types = texts(&document, "grant_types")?;
    if client.grant_types.is_empty() {
        client.grant_types = vec!["authorization_code".to_owned()]; // RFC 7591 2
    }
    client.keys = match (document.get("jwks"), text("jwks_uri")) {
        (Some(set), None) => Some(ClientKeys::Jwks(set.clone())),
        (None, Some(uri)) => Some(ClientKeys::JwksUri(uri.to_owned())),
        (None, None) => None,
        (Some(_), Some(_)) => return Err(refuse("document.keys", "it has both `jwks` and `jwks_uri`")),
    };
    client.auth_methods = match text("token_endpoint_auth_method") {
        Some("none") | None => vec![AuthMethod::None],
        Some("private_key_jwt") => vec![AuthMethod::PrivateKeyJwt],
        Some(_) => return Err(refuse("document.method", "its way to authenticate shares a secret, or is not served")),
    };
    Ok(client)
}

impl Registry<'_> {
    /// The agent of a document, if it is known.
    ///
    /// # Errors
    /// The disk failed.
    pub fn by_document(&self, url: &str) -> Answer<Option<Agent>> {
        let known = self.tenant.get::<OfDocument>(&[&hash_of(url)])?;
        known.map(|held| self.get(&held.agent)).transpose()
    }

    /// Somebody named a document as their `client_id`: makes a draft of it when it is not known. The document is asked for
    /// only then.
    ///
    /// # Errors
    /// It is none, or cannot be had, or too many drafts wait.
    pub fn seen(&self, url: &str, documents: &dyn Documents, env: &Env<'_>) -> Answer<Seen> {
        let parsed = check_url(url)?;
        if let Some(agent) = self.by_document(url)? {
            return Ok(Seen::Known(agent));
        }
        self.has_room(&parsed)?;
        let (domain, host) = place_of(&parsed);
        let id = env.id().to_lowercase();
        let client = client_of(&id, &parsed, &documents.fetch(self.tenant.number(), url)?)?;
        again(|| {
            if let Some(agent) = self.by_document(url)? {
                return Ok(Seen::Known(agent)); // somebody else's first request was faster
            }
            let profile = Profile { name: client.name.clone(), ..Profile::default() };
            let origin = Origin::Document { document: url.to_owned(), seen_at: env.seconds() };
            let record = fresh(&id, &profile, Stage::Discovered, Some(origin), env);
            let mut edit = self.begin(By::Machine, record, "discover", env)?;
            self.tenant.add_dormant_client(&mut edit.change, &client, env)?;
            edit.change.create(&[&hash_of(url)], &OfDocument { agent: id.clone() });
            edit.change.mark(AGENT, WAITING, &[&id]);
            edit.change.mark(AGENT, WAITING_AT, &[&domain, &host, &id]);
            Ok(Seen::Draft(self.finish(edit, EventKind::FindingRaised, env)?))
        })
    }

    /// Refuses one more draft where too many wait: in all, at its host, or at its domain.
    fn has_room(&self, url: &Url) -> Answer<()> {
        let (domain, host) = place_of(url);
        let full = |text: &str, rule| Err(Refusal::new(ErrorCode::TemporarilyUnavailable, rule, text));
        let waiting =
            |sort, parts: &[&str], max| Answer::Ok(self.tenant.marks(AGENT, sort, parts, None, max)?.len() >= max);
        if waiting(WAITING_AT, &[&domain, &host], DRAFTS_PER_HOST_MAX)?
            || waiting(WAITING_AT, &[&domain], DRAFTS_PER_DOMAIN_MAX)?
        {
            let text = "too many agents of this host or domain wait for an owner; adopt or retire some of them";
            return full(text, "draft.host_max");
        }
        if waiting(WAITING, &[], DRAFTS_WAITING_MAX)? {
            return full("too many agents wait for an owner; adopt or retire some of them", "draft.max");
        }
        Ok(())
    }

    /// Retires the drafts of documents that nobody has adopted in [`DRAFT_LIFE_S`], and answers how many. Their documents are not
    /// known any more: who names one again is a draft again. One that cannot be retired keeps no other. Called now and then.
    ///
    /// # Errors
    /// The disk failed; it is gone on from there the next time.
    pub fn expire_drafts(&self, env: &Env<'_>) -> Answer<usize> {
        let mut expired = 0;
        for id in self.tenant.marks(AGENT, WAITING, &[], None, DRAFTS_WAITING_MAX)? {
            let born = self.record(&id)?.created_at;
            if born.saturating_add(DRAFT_LIFE_S) > env.seconds() {
                break; // ids are in the order of their time: those behind it are younger
            }
            match again(|| self.expire(&id, env)) {
                Ok(done) => expired += usize::from(done),
                Err(refusal) => tracing::error!(agent = id, %refusal, "a draft that nobody adopted cannot be retired"),
            }
        }
        Ok(expired)
    }

    /// Whether it was still a draft.
    fn expire(&self, id: &str, env: &Env<'_>) -> Answer<bool> {
        let mut edit = self.edit(By::Machine, id, "expire", env)?;
        if edit.record.stage != Stage::Discovered {
            return Ok(false); // somebody has just adopted it
        }
        self.step(&self.tenant.view()?, &mut edit, Step::Retire)?;
        self.clear(&mut edit, env)?;
        if let Some(Origin::Document { document, .. }) = &edit.record.origin
            && let Some(known) = self.tenant.get::<OfDocument>(&[&hash_of(document)])?
        {
            edit.change.remove(&known);
        }
        let days = DRAFT_LIFE_S / (24 * 3_600);
        edit.evidence.push(("why", format!("nobody adopted it in {days} days")));
        self.finish(edit, EventKind::AgentRetired, env)?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const URL: &str = "https://agent.example/client.json";

    /// Documents with members that they may have, and values that they should not.
    fn document() -> impl Strategy<Value = Value> {
        const NAMES: [&str; 9] = [
            "client_id",
            "client_name",
            "redirect_uris",
            "grant_types",
            "jwks",
            "jwks_uri",
            "client_secret",
            "token_endpoint_auth_method",
            "scope",
        ];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "\\PC{0,40}".prop_map(Value::from),
            Just(Value::from(URL)),
            Just(Value::from("private_key_jwt")),
        ];
        let value = leaf.prop_recursive(3, 16, 4, |inner| {
            let members = proptest::collection::vec(("[a-z]{1,4}", inner.clone()), 0..4);
            prop_oneof![
                proptest::collection::vec(inner, 0..4).prop_map(Value::from),
                members.prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        });
        proptest::collection::vec((0..NAMES.len(), value), 0..6).prop_map(|members| {
            let members = members.into_iter().map(|(n, value)| (NAMES[n].to_owned(), value));
            Value::Object([("client_id".to_owned(), Value::from(URL))].into_iter().chain(members).collect())
        })
    }

    proptest! {
        /// In place of a fuzz target, because what a document makes is a client, which is of a room with records.
        #[test]
        fn any_document_is_judged(document in document(), bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let url = check_url(URL).unwrap();
            prop_assert!(client_of("a", &url, &bytes).is_err());
            if let Ok(client) = client_of("a", &url, document.to_string().as_bytes()) {
                prop_assert_eq!(document.get("client_id").and_then(Value::as_str), Some(URL));
                prop_assert!(document.get("client_secret").is_none());
                prop_assert_eq!((client.id.as_str(), client.kind), ("a", ClientKind::Agent));
                prop_assert!(client.secrets.is_empty() && client.scopes.is_empty() && client.resources.is_empty());
                prop_assert!(!client.auth_methods.contains(&AuthMethod::ClientSecretBasic));
            }
        }

        #[test]
        fn any_url_is_judged(text in "(https?|ftp)://[a-z0-9@:.]{0,20}[/a-z.%#?]{0,20}", other in "\\PC{0,60}") {
            for text in [text, other] {
                if let Ok(url) = check_url(&text) {
                    prop_assert!(url.as_str() == text && url.path().len() > 1 && url.fragment().is_none());
                }
            }
        }
    }

    #[test]
    fn a_document_is_at_a_host_of_a_domain() {
        for (url, domain, host) in [
            ("https://a.b.example.com/x", "example.com", "a.b.example.com"),
            ("https://example.com:8443/x", "example.com", "example.com"),
            ("https://example.com./x", "example.com", "example.com"),
            ("https://localhost/x", "localhost", "localhost"),
            ("https://192.0.2.1/x", "192.0.2.1", "192.0.2.1"),
            ("https://[2001:db8::1]/x", "[2001:db8::1]", "[2001:db8::1]"),
        ] {
            assert_eq!(place_of(&Url::parse(url).unwrap()), (domain.to_owned(), host.to_owned()), "{url}");
        }
    }

    #[test]
    fn a_document_has_a_url_of_its_own() {
        for good in ["https://a.example/agent.json", "https://a.example:8443/x/y?v=1", "http://127.0.0.1:3000/a"] {
            check_url(good).unwrap();
        }
        for bad in [
            "https://a.example/",
            "https://a.example",
            "http://a.example/agent.json",
            "https://u@a.example/agent.json",
            "https://u:p@a.example/agent.json",
            "https://a.example/agent.json#x",
            "https://a.example/a/../agent.json",
            "https://a.example/./agent.json",
            "https://A.example/agent.json",
            "agent.json",
            "urn:x:y",
            "",
        ] {
            assert_eq!(check_url(bad).unwrap_err().rule, "document.url", "{bad}");
        }
    }

    #[test]
    fn what_a_document_says_is_looked_at() {
        let url = Url::parse("https://a.example/agent.json").unwrap();
        let with = |more: &str| {
            let text = format!(r#"{{"client_id": "https://a.example/agent.json"{more}}}"#);
            client_of("x", &url, text.as_bytes())
        };
        let client = with(r#", "client_name": "Sales", "redirect_uris": ["https://a.example/cb"]"#).unwrap();
        assert_eq!((client.name.as_str(), client.kind), ("Sales", ClientKind::Agent));
        assert_eq!(client.auth_methods, [AuthMethod::None]);
        assert_eq!(with("").unwrap().name, "a.example");
        let keyed = with(r#", "token_endpoint_auth_method": "private_key_jwt", "jwks_uri": "https://a.example/k""#);
        assert_eq!(keyed.unwrap().auth_methods, [AuthMethod::PrivateKeyJwt]);
        for (bad, rule) in [
            (r#", "client_secret": "x""#, "document.secret"),
            (r#", "token_endpoint_auth_method": "client_secret_basic""#, "document.method"),
            (r#", "redirect_uris": "https://a.example/cb""#, "document.form"),
            (r#", "redirect_uris": [1]"#, "document.form"),
            (r#", "jwks": {}, "jwks_uri": "https://a.example/k""#, "document.keys"),
        ] {
            assert_eq!(with(bad).unwrap_err().rule, rule, "{bad}");
        }
        let other = client_of("x", &url, br#"{"client_id": "https://b.example/agent.json"}"#);
        assert_eq!(other.unwrap_err().rule, "document.client_id");
        assert_eq!(client_of("x", &url, b"{").unwrap_err().rule, "document.form");
        assert_eq!(client_of("x", &url, &[b' '; DOCUMENT_BYTES_MAX + 1]).unwrap_err().rule, "document.size");
    }
}
