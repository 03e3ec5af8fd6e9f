//! The rules of the vault, without a server; and what the stories share: a database with a tenant, people and agents, and a
//! stub of somebody else's server on loopback.

mod areas;
mod asserted;
mod calls;
mod connecting;
mod everybody;
mod keys;
mod leases;
mod leaving;
mod stub;

use super::records::NewCredential;
use super::*;
use crate::engine::{Engine, Settings};
use crate::identity::{
    AUDIT, Allowing, AuthMethod, Authentication, Browser, Caller as ClientCaller, Client, ClientCredentialsGrant,
    ClientKind, CodeGrant, Decided, DetailTypes, Event, EventKind, Form, GrantType as _, Identity, RefreshGrant,
    Resource, Scope, TenantSettings, TokenAnswer, audit_key, hash_of,
};
use crate::secrets::KeyRing;
use crate::tuple::Timestamp;
use crate::wire::{Front, OutgoingSettings, Resolution, Resolver};
use axum::body::Body;
use axum::http::{Request, StatusCode};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use tower::Service as _;

pub(super) const ISSUER: &str = "https://id.example/acme";
pub(super) const CALLBACK: &str = "https://app.example/cb";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
/// What Sarah's provider gives: an access token and a refresh token that are found nowhere else.
pub(super) const ACCESS: &str = "up-access-9f8e7d6c5b4a3928/17+06=";
pub(super) const REFRESH: &str = "up-refresh-0a1b2c3d4e5f60718293";

/// The cookie names the person: the login module is not here.
/// Details of which nobody is asked.
struct Notes;

impl DetailTypes for Notes {
    fn allowing(&self, _: &Tenant, _: &Value) -> Answer<Allowing> {
        Ok(Allowing::Nobody)
    }
}

struct ByCookie;

impl SignedIn for ByCookie {
    fn signed_in(&self, _: &Tenant, headers: &HeaderMap, _: &Env<'_>) -> Answer<Option<(String, String)>> {
        let cookie = headers.get("cookie").and_then(|value| value.to_str().ok());
        Ok(cookie.and_then(|text| text.split_once('/')).map(|(user, session)| (user.to_owned(), session.to_owned())))
    }

    fn sign_in_url(&self, tenant: &Tenant, back: &str) -> String {
        tenant.url(&format!("/login?back={back}"))
    }
}

/// Counts whom it told.
#[derive(Default)]
struct Counts(AtomicUsize);

impl Tell for Counts {
    fn reconnect_needed(&self, _: &Tenant, user: &str, _: &str) {
        assert_eq!(user, "sarah");
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Names of the outside world.
struct Names(HashMap<&'static str, &'static str>);

impl Resolver for Names {
    fn addresses(&self, host: &str) -> Resolution {
        let found = self.0.get(host).map(|address| vec![address.parse().unwrap()]);
        Box::pin(async { found.ok_or_else(|| std::io::ErrorKind::NotFound.into()) })
    }
}

pub(super) fn dice() -> impl Fn(&mut [u8]) + Sync {
    static THROWN: AtomicU64 = AtomicU64::new(0);
    |bytes: &mut [u8]| {
        for chunk in bytes.chunks_mut(32) {
            let n = THROWN.fetch_add(1, Ordering::Relaxed);
            let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &n.to_be_bytes());
            chunk.copy_from_slice(&digest.as_ref()[..chunk.len()]);
        }
    }
}

/// Does rules at a time.
pub(super) fn at<T>(seconds: u64, rules: impl FnOnce(&Env<'_>) -> T) -> T {
    let random = dice();
    let now = Timestamp(i64::try_from(seconds).unwrap() * 1_000_000_000);
    rules(&Env { trace: Some("trace-1"), address: Some("192.0.2.1"), ..Env::new(now, &random) })
}

/// Does rules now: the stories have the clock of the machine, as their server has.
pub(super) fn now_is<T>(rules: impl FnOnce(&Env<'_>) -> T) -> T {
    at(u64::try_from(now().0 / 1_000_000_000).unwrap(), rules)
}

pub(super) fn ring(keys: u64) -> KeyRing {
    let line = |n: u64| {
        KeyRing::key_line(
            &format!("k{n}"),
            n,
            &[u8::try_from(n).unwrap(); 31].iter().copied().chain([9]).collect::<Vec<u8>>().try_into().unwrap(),
        )
        .unwrap()
        .to_string()
    };
    KeyRing::parse(&(KeyRing::head() + &(1..=keys).map(line).collect::<String>()), &[]).unwrap()
}

/// A resource that is not the proxy.
pub(super) const OTHER_API: &str = "https://api.example/";

pub(super) struct World {
    pub(super) tenant: Tenant,
    pub(super) vault: Vault,
    front: Front,
    told: Arc<Counts>,
    pub(super) directory: tempfile::TempDir,
}

/// An answer of ours.
pub(super) struct Answered {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
    /// Whether the body broke off.
    pub(super) broke: bool,
}

impl Answered {
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("{}", self.text()))
    }
}

impl World {
    /// Within a runtime.
    pub(super) fn new(loopback: bool) -> World {
        let directory = tempfile::tempdir().unwrap();
        let engine = Engine::open_with(directory.path(), Settings { sync: false, ..Settings::default() }).unwrap();
        let tenant = now_is(|env| {
            let identity = Identity::open(engine, ring(1), env).unwrap();
            identity.set_detail_types(Arc::new(Notes));
            let tenant = identity.create_tenant("acme", ISSUER, &TenantSettings::default(), env).unwrap();
            furnish(&tenant, env);
            tenant
        });
        let names = HashMap::from([
            ("metadata.example", "169.254.169.254"),
            ("private.example", "10.0.0.7"),
            ("mapped.example", "::ffff:127.0.0.1"),
        ]);
        let settings = OutgoingSettings { loopback, ..OutgoingSettings::default() };
        let outgoing = Outgoing::new(settings, Names(names)).unwrap();
        let told = Arc::new(Counts::default());
        let tell: Arc<dyn Tell> = Arc::<Counts>::clone(&told);
        let vault = Vault::new(outgoing, Arc::new(ByCookie), tell);
        let front = Front::new(tenant.identity().clone(), http::routes(vault.clone()), 8, 1_024).unwrap();
        World { tenant, vault, front, told, directory }
    }

    /// The same, with somebody who knows approvals.
    pub(super) fn with_approvals(self, approvals: Arc<dyn Approvals>) -> World {
        let vault = self.vault.clone().with_approvals(approvals);
        let front = Front::new(self.tenant.identity().clone(), http::routes(vault.clone()), 8, 1_024).unwrap();
        World { vault, front, ..self }
    }

    /// The same, with somebody who asserts to others for whom calls are.
    pub(super) fn with_assertions(self, assertions: Arc<dyn Assertions>) -> World {
        let vault = self.vault.clone().with_assertions(assertions);
        let front = Front::new(self.tenant.identity().clone(), http::routes(vault.clone()), 8, 1_024).unwrap();
        World { vault, front, ..self }
    }

    pub(super) fn told(&self) -> usize {
        self.told.0.load(Ordering::Relaxed)
    }

    pub(super) async fn ask(&self, request: Request<Body>) -> Answered {
        use http_body_util::BodyExt as _;
        let response = self.front.clone().call(request).await.unwrap();
        let (parts, mut body) = response.into_parts();
        let (mut bytes, mut broke) = (Vec::new(), false);
        while let Some(frame) = body.frame().await {
            match frame {
                Ok(frame) => bytes.extend_from_slice(frame.data_ref().map(|data| &data[..]).unwrap_or_default()),
                Err(_) => broke = true,
            }
        }
        self.settled().await;
        Answered { status: parts.status, headers: parts.headers, body: bytes, broke }
    }

    /// Waits until no call is under way: how each ended is in the log then.
    async fn settled(&self) {
        let settled = async {
            while !self.tenant.list::<underway::UnderWay>(&[], None, 1).unwrap().is_empty() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), settled).await.expect("a call is under way for ever");
    }

    pub(super) async fn get(&self, token: &str, path: &str) -> Answered {
        self.ask(request("GET", path, token).body(Body::empty()).unwrap()).await
    }

    /// A token of an agent for Sarah.
    pub(super) fn token(&self, agent: &str, scopes: &str) -> String {
        self.token_of(agent, scopes, "")
    }

    /// A token of an agent for Sarah, for another resource.
    pub(super) fn token_for(&self, agent: &str, scopes: &str, resource: &str) -> String {
        self.token_by(agent, scopes, "", resource)
    }

    /// A token of an agent for Sarah, with authorization details.
    pub(super) fn token_of(&self, agent: &str, scopes: &str, details: &str) -> String {
        self.token_by(agent, scopes, details, &self.tenant.url("/proxy"))
    }

    fn token_by(&self, agent: &str, scopes: &str, details: &str, resource: &str) -> String {
        self.tokens_by(agent, scopes, details, resource).access_token
    }

    /// Tokens of an agent for Sarah.
    pub(super) fn tokens(&self, agent: &str, scopes: &str) -> TokenAnswer {
        self.tokens_by(agent, scopes, "", &self.tenant.url("/proxy"))
    }

    fn tokens_by(&self, agent: &str, scopes: &str, details: &str, resource: &str) -> TokenAnswer {
        now_is(|env| {
            let tenant = &self.tenant;
            let challenge = hash_of(VERIFIER);
            let asked = form(&[
                ("client_id", agent),
                ("response_type", "code"),
                ("redirect_uri", CALLBACK),
                ("scope", scopes),
                ("resource", resource),
                ("code_challenge", &challenge),
                ("code_challenge_method", "S256"),
                ("authorization_details", details),
            ]);
            let id = tenant.take_request(&asked, env).unwrap_or_else(|refused| panic!("{:?}", refused.refusal()));
            let request = tenant.request(&id, env).unwrap();
            let authentication = Authentication { at: env.seconds(), acr: "aal1".into(), amr: vec!["pwd".into()] };
            let (_, cookie) = tenant.start_session("sarah", authentication, Browser { name: "x" }, env).unwrap();
            let session = tenant.session_of_cookie(&cookie, env).unwrap().unwrap();
            let to = tenant.complete(&request, &session, &Decided::Allowed { scopes: None }, env).unwrap();
            let to = url::Url::parse(&to).unwrap();
            let code = to.query_pairs().find(|(name, _)| name == "code").unwrap().1.into_owned();
            let form = form(&[("code", &code), ("code_verifier", VERIFIER), ("redirect_uri", CALLBACK)]);
            CodeGrant.redeem(tenant, &self.client(agent), &form, env).unwrap()
        })
    }

    /// A token of an agent for nobody.
    pub(super) fn own_token(&self, agent: &str, scopes: &str) -> String {
        let form = form(&[("scope", scopes), ("resource", &self.tenant.url("/proxy"))]);
        now_is(|env| ClientCredentialsGrant.redeem(&self.tenant, &self.client(agent), &form, env).unwrap().access_token)
    }

    pub(super) fn client(&self, id: &str) -> ClientCaller {
        let client = self.tenant.client(id).unwrap();
        let method = client.auth_methods[0];
        ClientCaller { client, method, jkt: None }
    }

    /// A connection that the sales agent may use, with its scopes automatic.
    pub(super) fn connect(&self, spec: ConnectionSpec) {
        let id = spec.id.clone();
        now_is(|env| {
            create(&self.tenant, spec, Some("client-secret-of-ours"), "user:admin", env).unwrap();
            allow(&self.tenant, &id, "agent:sales", true, "user:admin", env).unwrap();
            for scope in ["crm.read", "crm.write"] {
                let class = Some(ScopeClass::Automatic);
                classify(&self.tenant, (&id, scope), "agent:sales", class, "user:admin", env).unwrap();
            }
        });
    }

    /// Sarah's tokens for a connection, which are over after some seconds.
    pub(super) fn store(&self, id: &str, access: &str, refresh: Option<&str>, life: u64) {
        now_is(|env| {
            let secret = Secret::Oauth2 {
                access_token: Hidden::new(access.to_owned()),
                refresh_token: refresh.map(|text| Hidden::new(text.to_owned())),
            };
            let expires_at = Some(env.seconds() + life);
            let new = NewCredential { scopes: vec![], expires_at, refreshable: refresh.is_some(), secret };
            let holder = sarah();
            let before = records::credential(&self.tenant, id, &holder).unwrap();
            let mut change = self.tenant.change(env);
            records::store(&self.tenant, &mut change, (id, &holder), before.as_ref(), &new, env).unwrap();
            change.commit().unwrap();
        });
    }

    pub(super) fn credential(&self, id: &str) -> Credential {
        (*records::credential(&self.tenant, id, &sarah()).unwrap().unwrap()).clone()
    }

    pub(super) fn events(&self) -> Vec<Event> {
        let records = self.tenant.engine().records(AUDIT);
        let page = records.scan(&audit_key(self.tenant.number(), b'e'), None, 1_000).unwrap();
        page.iter().map(|(_, bytes)| Event::read(bytes).unwrap()).collect()
    }

    /// The last event of a kind.
    pub(super) fn last(&self, kind: EventKind) -> Event {
        self.events().into_iter().rev().find(|event| event.kind() == kind).unwrap_or_else(|| panic!("no {kind:?}"))
    }

    /// Waits for the first event of a kind.
    pub(super) async fn until(&self, kind: EventKind) -> Event {
        let found = async {
            loop {
                if let Some(event) = self.events().into_iter().find(|event| event.kind() == kind) {
                    return event;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), found).await.unwrap_or_else(|_| panic!("no {kind:?}"))
    }

    /// The head of an answer, and its body, which nobody has read yet.
    pub(super) async fn begin(&self, token: &str, path: &str) -> (StatusCode, Body) {
        let request = request("GET", path, token).body(Body::empty()).unwrap();
        let response = self.front.clone().call(request).await.unwrap();
        (response.status(), response.into_body())
    }

    /// How many events of a kind with a detail or action there are.
    pub(super) fn count(&self, kind: EventKind, action: &str) -> usize {
        self.events().iter().filter(|event| event.kind() == kind && event.get_action() == Some(action)).count()
    }
}

pub(super) fn sarah() -> Holder {
    Holder::User("sarah".to_owned())
}

pub(super) fn form(pairs: &[(&str, &str)]) -> Form {
    let text = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    Form::parse(&text).unwrap()
}

pub(super) fn request(method: &str, path: &str, token: &str) -> ::http::request::Builder {
    let request = Request::builder().method(method).uri(format!("/acme{path}")).header("host", "id.example");
    if token.is_empty() { request } else { request.header("authorization", format!("Bearer {token}")) }
}

fn furnish(tenant: &Tenant, env: &Env<'_>) {
    let strings = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let scopes = ["crm.read", "crm.write", "crm.admin"];
    let scope = |name: &&str| Scope { name: (*name).to_owned(), description: (*name).to_owned(), checked: false };
    for (id, identifier) in [("proxy", tenant.url("/proxy")), ("api", OTHER_API.to_owned())] {
        let scopes = scopes.iter().map(scope).collect();
        let resource = Resource { id: id.into(), identifier, name: id.into(), scopes, created_at: env.seconds() };
        tenant.put_resource(&resource, env).unwrap();
    }
    let profile = json!({"name": "Sarah Chen"}).as_object().unwrap().clone();
    tenant.create_user(Some("sarah"), &["sarah@example.com"], profile, env).unwrap();
    for id in ["sales", "other"] {
        let client = Client {
            redirect_uris: strings(&[CALLBACK]),
            grant_types: strings(&["authorization_code", "client_credentials", FEDERATED_GRANT]),
            scopes: strings(&scopes),
            resources: vec![tenant.url("/proxy"), OTHER_API.to_owned()],
            details_types: strings(&["crm_note"]),
            ..Client::new(id, ClientKind::Agent, id)
        };
        tenant.create_client(&client, env).unwrap();
    }
}

/// A connection of an agent's own, by a key in a header.
pub(super) fn llm() -> ConnectionSpec {
    ConnectionSpec {
        id: "llm".into(),
        holder: HolderKind::Agent,
        provider: Provider::ApiKeyHeader { header: "x-api-key".into(), prefix: String::new() },
        exchange: false,
        ..crm("https://llm.example")
    }
}

/// A connection by OAuth to a stub.
pub(super) fn crm(origin: &str) -> ConnectionSpec {
    let rule = |methods: &[&str], path: &str, scope: &str| ProxyRule {
        methods: methods.iter().map(|m| (*m).to_owned()).collect(),
        path: path.to_owned(),
        scope: Some(scope.to_owned()),
        acr: None,
        max_age: None,
    };
    ConnectionSpec {
        id: "crm".into(),
        name: "The CRM".into(),
        holder: HolderKind::User,
        base: format!("{origin}/api"),
        provider: Provider::Oauth2 {
            authorize_url: format!("{origin}/authorize"),
            token_url: format!("{origin}/token"),
            revoke_url: Some(format!("{origin}/revoke")),
            issuer: Some(origin.to_owned()),
            issuer_required: false,
            client_id: "bailiwick".into(),
            client_auth: ClientAuth::Basic,
            assertion_audience: None,
            scopes: vec!["contacts.read".into()],
            parameters: [("access_type".to_owned(), "offline".to_owned())].into(),
        },
        rules: vec![rule(&["GET", "HEAD"], "/v1/**", "crm.read"), rule(&["POST"], "/v1/**", "crm.write")],
        exchange: false,
        limits: CallLimits { timeout_s: 10, ..CallLimits::default() },
    }
}
