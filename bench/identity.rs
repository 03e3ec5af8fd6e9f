//! What a call through the vault's proxy costs beside a plain reverse proxy in the same run, and what the endpoints cost that
//! agents ask most: tokens, exchange, introspection. Everything over HTTP on loopback, client and servers on one machine.
//!
//! `cargo bench --bench identity` is small; `-- full` has 2,000 agents with credentials, and 5,000 requests a row.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a bench fails loudly and talks to a person"
)]

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::response::Response;
use bailiwick::Bailiwick;
use bailiwick::engine::Settings;
use bailiwick::identity::{
    AuthMethod, Authentication, Browser, Caller, Client, ClientKind, CodeGrant, ConsentRule, Decided, Env, Form,
    GrantType as _, Identity, Resource, Scope, Tenant, TenantSettings, hash_of,
};
use bailiwick::modules::exchange::{self, TOKEN_EXCHANGE, Target};
use bailiwick::modules::vault::{self, ConnectionSpec, Hidden, Holder, ScopeClass, Secret};
use bailiwick::secrets::KeyRing;
use bailiwick::server::{self, Issuers, serve};
use bailiwick::wire::{OutgoingSettings, now, random};
use hdrhistogram::Histogram;
use serde_json::json;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const API: &str = "https://api.example/";
const CALLBACK: &str = "https://app.example/cb";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
/// What the upstream answers.
const ANSWER_BYTES: usize = 4 << 10;

fn env() -> Env<'static> {
    Env::new(now(), &random)
}

fn strings(list: &[&str]) -> Vec<String> {
    list.iter().map(|text| (*text).to_owned()).collect()
}

fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap()
}

/// A server on loopback; its origin.
fn start(runtime: &Runtime, routes: Router) -> String {
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    runtime.spawn(async move { axum::serve(listener, routes).await });
    origin
}

/// The API of somebody else.
fn upstream(runtime: &Runtime) -> String {
    let body = json!({"contacts": "x".repeat(ANSWER_BYTES)}).to_string();
    let answer = move || {
        let body = body.clone();
        async move { ([("content-type", "application/json")], body) }
    };
    start(runtime, Router::new().fallback(answer))
}

/// A plain reverse proxy with a token of its own: what there is without a vault.
fn plain_proxy(runtime: &Runtime, origin: &str) -> String {
    async fn pass(State((client, origin)): State<(reqwest::Client, String)>, request: Request) -> Response {
        let (parts, body) = request.into_parts();
        let url = format!("{origin}{}", parts.uri);
        let mut headers: HeaderMap = parts.headers;
        headers.remove("host");
        headers.insert("authorization", "Bearer a-token-of-its-own".parse().unwrap());
        let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
        let answer = client.request(parts.method, url).headers(headers).body(body).send().await.unwrap();
        let mut response = Response::new(Body::empty());
        *response.status_mut() = answer.status();
        response.headers_mut().insert("content-type", answer.headers()["content-type"].clone());
        *response.body_mut() = Body::from(answer.bytes().await.unwrap());
        response
    }
    start(runtime, Router::new().fallback(pass).with_state((client(), origin.to_owned())))
}

fn furnish(tenant: &Tenant, origin: &str, agents: usize) {
    let env = env();
    let scope = |name: &str| Scope { name: name.into(), description: name.into(), checked: false };
    let resource = |id: &str, identifier: &str, scopes: &[&str]| Resource {
        id: id.into(),
        identifier: identifier.into(),
        name: id.into(),
        scopes: scopes.iter().map(|name| scope(name)).collect(),
        created_at: 0,
    };
    tenant.put_resource(&resource("api", API, &["read"]), &env).unwrap();
    tenant.put_resource(&resource("proxy", &tenant.url("/proxy"), &["crm.read"]), &env).unwrap();
    tenant.create_user(Some("sarah"), &["sarah@example.com"], serde_json::Map::new(), &env).unwrap();
    let spec: ConnectionSpec = serde_json::from_value(json!({
        "id": "crm", "name": "The CRM", "holder": "agent", "base": origin,
        "provider": {"type": "api_key_header", "header": "Authorization", "prefix": "Bearer "},
        "rules": [{"methods": ["GET"], "path": "/v1/**", "scope": "crm.read"}],
    }))
    .unwrap();
    vault::create(tenant, spec, None, "machine", &env).unwrap();
    for n in 0..agents {
        let id = format!("agent-{n}");
        let agent = Client {
            redirect_uris: strings(&[CALLBACK]),
            grant_types: strings(&["authorization_code", "client_credentials", "refresh_token", TOKEN_EXCHANGE]),
            scopes: strings(&["read", "crm.read", "offline_access"]),
            resources: vec![API.into(), tenant.url("/proxy")],
            serves: strings(&[API]),
            consent: ConsentRule::Managed,
            auth_methods: vec![AuthMethod::ClientSecretPost],
            ..Client::new(&id, ClientKind::Agent, &id)
        };
        tenant.create_client(&agent, &env).unwrap();
        let key = Secret::ApiKey { key: Hidden::new(format!("key-of-agent-{n}-9f8e7d6c5b4a3928")) };
        vault::set_credential(tenant, "crm", &Holder::Agent(format!("agent:{id}")), key, "machine", &env).unwrap();
    }
    vault::allow(tenant, "crm", "agent:*", true, "machine", &env).unwrap();
    vault::classify(tenant, ("crm", "crm.read"), "agent:*", Some(ScopeClass::Automatic), "machine", &env).unwrap();
    let own = exchange::Connection {
        id: "own".into(),
        name: "own".into(),
        target: Target::Resource { resource: API.into() },
        created_at: 0,
    };
    exchange::put_connection(tenant, &own, &env).unwrap();
    exchange::allow(tenant, "own", "agent:*", true, &env).unwrap();
    let class = Some(exchange::ScopeClass::Automatic);
    exchange::classify(tenant, ("own", "read"), "agent:*", class, &env).unwrap();
}

/// A token of an agent for Sarah.
fn for_sarah(tenant: &Tenant, agent: &str) -> String {
    let env = env();
    let form = |pairs: &[(&str, &str)]| {
        Form::parse(&url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()).unwrap()
    };
    let asked = form(&[
        ("client_id", agent),
        ("response_type", "code"),
        ("redirect_uri", CALLBACK),
        ("scope", "read"),
        ("resource", API),
        ("code_challenge", &hash_of(VERIFIER)),
        ("code_challenge_method", "S256"),
    ]);
    let id = tenant.take_request(&asked, &env).unwrap_or_else(|refused| panic!("{:?}", refused.refusal()));
    let request = tenant.request(&id, &env).unwrap();
    let authentication = Authentication { at: env.seconds(), acr: "aal1".into(), amr: strings(&["pwd"]) };
    let (_, cookie) = tenant.start_session("sarah", authentication, Browser::default(), &env).unwrap();
    let session = tenant.session_of_cookie(&cookie, &env).unwrap().unwrap();
    let to = url::Url::parse(&tenant.complete(&request, &session, &Decided::NotAsked, &env).unwrap()).unwrap();
    let code = to.query_pairs().find(|(name, _)| name == "code").unwrap().1.into_owned();
    let client = tenant.client(agent).unwrap();
    let caller = Caller { method: client.auth_methods[0], client, jkt: None };
    let form = form(&[("code", &code), ("code_verifier", VERIFIER), ("redirect_uri", CALLBACK)]);
    CodeGrant.redeem(tenant, &caller, &form, &env).unwrap().access_token
}

/// A database that is served, until this is dropped.
struct Served {
    tenant: Tenant,
    issuer: String,
    _stop: oneshot::Sender<()>,
}

fn open(directory: &Path, sync: bool) -> Identity {
    let engine = Bailiwick::open_with(directory, Settings { sync, ..Settings::default() }).unwrap();
    let line = KeyRing::key_line("k", 1, b"a key of thirty-two bytes, or so").unwrap();
    let ring = KeyRing::parse(&(KeyRing::head() + &line), &[]).unwrap();
    Identity::open(engine, ring, &env()).unwrap()
}

fn served(runtime: &Runtime, directory: &Path, sync: bool, listener: &TcpListener) -> Served {
    let identity = open(directory, sync);
    let tenant = identity.named("acme").unwrap();
    let (engine, any) = (identity.engine().clone(), SocketAddr::from(([127, 0, 0, 1], 0)));
    let (ready, bound) = oneshot::channel();
    let (stop, stopped) = oneshot::channel::<()>();
    let settings = server::Settings {
        http: any,
        grpc: any,
        issuers: Some(Issuers { listener: Arc::new(listener.try_clone().unwrap()), mutual_tls: None, identity }),
        outgoing: OutgoingSettings { loopback: true, ..OutgoingSettings::default() },
        ..server::Settings::default()
    };
    runtime.spawn(async move {
        let stopped = async { stopped.await.unwrap_or_default() };
        serve(engine, settings, |_, _| ready.send(()).unwrap(), stopped).await.unwrap();
    });
    runtime.block_on(bound).unwrap();
    Served { issuer: tenant.issuer().to_owned(), tenant, _stop: stop }
}

/// Sends a request many times over some connections, and prints what that took.
fn measure(
    runtime: &Runtime,
    (name, count): (&str, usize),
    make: impl Fn(&reqwest::Client, usize) -> reqwest::RequestBuilder + Clone + Send + 'static,
) {
    for connections in [1, 8] {
        let each = count.div_ceil(connections);
        let one = |at: usize| {
            let (client, make) = (client(), make.clone());
            runtime.spawn(async move {
                let mut times = Histogram::<u64>::new(3).unwrap();
                // The first makes the connection and fills what is kept.
                for n in 0..=each {
                    let begun = Instant::now();
                    let answer = make(&client, at).send().await.unwrap();
                    let status = answer.status();
                    let body = answer.bytes().await.unwrap();
                    assert!(status.is_success(), "{status}: {}", String::from_utf8_lossy(&body));
                    if n > 0 {
                        times.record(u64::try_from(begun.elapsed().as_micros()).unwrap()).unwrap();
                    }
                }
                times
            })
        };
        let begun = Instant::now();
        let running: Vec<_> = (0..connections).map(one).collect();
        let mut all = Histogram::<u64>::new(3).unwrap();
        for one in running {
            all.add(runtime.block_on(one).unwrap()).unwrap();
        }
        let rate = all.len() as f64 / begun.elapsed().as_secs_f64();
        let [p50, p99] = [0.5, 0.99].map(|q| all.value_at_quantile(q) as f64 / 1e3);
        println!("{name:34} {connections:>4} {p50:>9.2} {p99:>9.2} {rate:>9.0}");
    }
}

fn row(runtime: &Runtime, served: &Served, (origin, plain): (&str, &str), (sync, count): (bool, usize)) {
    let disk = if sync { "synced" } else { "not synced" };
    let name = |what: &str| format!("{what}, {disk}");
    let url = |base: &str| format!("{base}/v1/contacts");
    let secret = served.tenant.add_secret("agent-0", None, &env()).unwrap().1;
    let token_url = format!("{}/token", served.issuer);
    let of_client = move |more: &[(&'static str, String)]| {
        let mut form = vec![("client_id", "agent-0".to_owned()), ("client_secret", secret.clone())];
        form.extend_from_slice(more);
        form
    };
    let own = of_client(&[
        ("grant_type", "client_credentials".into()),
        ("scope", "crm.read".into()),
        ("resource", format!("{}/proxy", served.issuer)),
    ]);
    let sent = |url: &str, form: &[(&'static str, String)]| {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let url = url.to_owned();
        move |client: &reqwest::Client, _: usize| {
            client.post(&url).header("content-type", "application/x-www-form-urlencoded").body(body.clone())
        }
    };
    let first = runtime.block_on(sent(&token_url, &own)(&client(), 0).send()).unwrap();
    let first: serde_json::Value = serde_json::from_slice(&runtime.block_on(first.bytes()).unwrap()).unwrap();
    let token = first["access_token"].as_str().expect("a token").to_owned();
    let get = |base: &str, token: String| {
        let url = url(base);
        move |client: &reqwest::Client, _: usize| client.get(&url).header("authorization", format!("Bearer {token}"))
    };
    if sync {
        measure(runtime, ("upstream itself", count), get(origin, "x".into()));
        measure(runtime, ("plain reverse proxy", count), get(plain, "x".into()));
    }
    measure(runtime, (&name("vault proxy"), count), get(&format!("{}/proxy/crm", served.issuer), token.clone()));
    measure(runtime, (&name("client_credentials"), count), sent(&token_url, &own));
    let subject = for_sarah(&served.tenant, "agent-0");
    let exchange = of_client(&[
        ("grant_type", TOKEN_EXCHANGE.into()),
        ("subject_token", subject.clone()),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token".into()),
        ("scope", "read".into()),
        ("resource", API.into()),
    ]);
    measure(runtime, (&name("token exchange"), count), sent(&token_url, &exchange));
    let introspect = of_client(&[("token", subject)]);
    measure(runtime, (&name("introspection"), count), sent(&format!("{}/introspect", served.issuer), &introspect));
}

fn main() {
    let full = std::env::args().any(|argument| argument == "full");
    let (agents, count) = if full { (2_000, 5_000) } else { (20, 200) };
    // An error means that it has one already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let directory = tempfile::tempdir().unwrap();
    let others = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let origin = upstream(&others);
    let plain = plain_proxy(&others, &origin);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    {
        let identity = open(directory.path(), false);
        let issuer = format!("http://{}/t/acme", listener.local_addr().unwrap());
        let tenant = identity.create_tenant("acme", &issuer, &TenantSettings::default(), &env()).unwrap();
        furnish(&tenant, &origin, agents);
    }
    println!("{agents} agents, {count} requests a row, {ANSWER_BYTES} bytes answered\n");
    println!("{:34} {:>4} {:>9} {:>9} {:>9}", "", "at once", "p50 ms", "p99 ms", "a second");
    for sync in [true, false] {
        let ours = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let served = served(&ours, directory.path(), sync, &listener);
        row(&others, &served, (&origin, &plain), (sync, count));
        drop(served);
        // All that has the database open ends with it.
        drop(ours);
    }
}
