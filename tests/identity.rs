//! The issuers over HTTP, on a listener of their own: what a client sees of metadata, tokens and refusals.

use bailiwick::Bailiwick;
use bailiwick::engine::Settings;
use bailiwick::identity::{
    Answer, AuthMethod, Authentication, Browser, Caller, Client, ClientKind, CodeGrant, Decided, Env, ErrorCode,
    FAILURES_OF_ADDRESS, Form, GRANT_TYPES, GrantType, Identity, NoKeys, Refusal, Resource, Scope, Tenant,
    TenantSettings, TokenAnswer, hash_of,
};
use bailiwick::modules::oauth::{Head, OAuth};
use bailiwick::secrets::KeyRing;
use bailiwick::server::{self, Issuers, serve};
use bailiwick::wire::{OutgoingSettings, now, random};
use serde_json::{Value, json};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use tokio::sync::oneshot;

pub(crate) const API: &str = "https://api.example/";
pub(crate) const CALLBACK: &str = "https://app.example/cb";
pub(crate) const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

pub(crate) fn env() -> Env<'static> {
    Env::new(now(), &random)
}

/// A server with an issuer at the root of its listener and one below a path.
pub(crate) struct Issuing {
    pub(crate) address: SocketAddr,
    pub(crate) http: SocketAddr,
    pub(crate) root: Tenant,
    pub(crate) acme: Tenant,
    pub(crate) runtime: tokio::runtime::Runtime,
    stop: Option<oneshot::Sender<()>>,
    serving: Option<tokio::task::JoinHandle<()>>,
    _directory: tempfile::TempDir,
}

impl Issuing {
    pub(crate) fn start() -> Issuing {
        Issuing::start_with(|_| {})
    }

    /// With other settings.
    pub(crate) fn start_with(change: impl FnOnce(&mut server::Settings)) -> Issuing {
        let directory = tempfile::tempdir().unwrap();
        let engine = Bailiwick::open_with(directory.path(), Settings { sync: false, ..Settings::default() }).unwrap();
        let ring = KeyRing::head() + &KeyRing::key_line("a", 1, b"a key of thirty-two bytes, or so").unwrap();
        let identity = Identity::open(engine.clone(), KeyRing::parse(&ring, &[]).unwrap(), &env()).unwrap();
        let listener = Arc::new(TcpListener::bind("127.0.0.1:0").unwrap());
        let address = listener.local_addr().unwrap();
        let make = |name: &str, path: &str| {
            let issuer = format!("http://{address}{path}");
            identity.create_tenant(name, &issuer, &TenantSettings::default(), &env()).unwrap()
        };
        let (root, acme) = (make("root", "/"), make("acme", "/t/acme"));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let (ready, bound) = oneshot::channel();
        let (stop, stopped) = oneshot::channel();
        let issuers = Some(Issuers { listener, mutual_tls: None, identity });
        let outgoing = OutgoingSettings { loopback: true, ..OutgoingSettings::default() };
        let mut settings = server::Settings { http: any, grpc: any, issuers, outgoing, ..server::Settings::default() };
        change(&mut settings);
        let serving = runtime.spawn(async move {
            let stopped = async { stopped.await.unwrap_or_default() };
            serve(engine, settings, |http, _| ready.send(http).unwrap(), stopped).await.unwrap();
        });
        let http = runtime.block_on(bound).unwrap();
        let started = Issuing {
            address,
            http,
            root,
            acme,
            runtime,
            stop: Some(stop),
            serving: Some(serving),
            _directory: directory,
        };
        furnish(&started.acme);
        started
    }

    /// Sends a request to the issuers and closes.
    pub(crate) fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Heard {
        send(self.address, &self.address.to_string(), method, path, headers, body)
    }

    pub(crate) fn post(&self, path: &str, headers: &[(&str, &str)], pairs: &[(&str, &str)]) -> Heard {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        let form = [("content-type", "application/x-www-form-urlencoded")];
        self.send("POST", path, &[headers, &form].concat(), &body)
    }

    /// A code for the client `app`, as the pages make one.
    fn code(&self, scope: &str) -> String {
        let query = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs([
                ("client_id", "app"),
                ("response_type", "code"),
                ("redirect_uri", CALLBACK),
                ("scope", scope),
                ("state", "s-1"),
                ("code_challenge", &hash_of(VERIFIER)),
                ("code_challenge_method", "S256"),
            ])
            .finish();
        let heard = self.send("GET", &format!("/t/acme/authorize?{query}"), &[], "");
        assert_eq!(heard.status, 303, "{}", heard.body);
        let to = url::Url::parse(heard.header("location").unwrap()).unwrap();
        assert_eq!(to.path(), "/t/acme/login");
        let id = to.query_pairs().find(|(name, _)| name == "request").unwrap().1.into_owned();
        let request = self.acme.request(&id, &env()).unwrap();
        let authentication = Authentication { at: env().seconds(), acr: "aal1".into(), amr: vec!["pwd".into()] };
        let (_, cookie) = self.acme.start_session("sarah", authentication, Browser::default(), &env()).unwrap();
        let session = self.acme.session_of_cookie(&cookie, &env()).unwrap().unwrap();
        let to = self.acme.complete(&request, &session, &Decided::Allowed { scopes: None }, &env()).unwrap();
        let to = url::Url::parse(&to).unwrap();
        to.query_pairs().find(|(name, _)| name == "code").unwrap().1.into_owned()
    }

    fn redeem(&self, code: &str, scopes: &[(&str, &str)]) -> Heard {
        let pairs = [
            ("grant_type", "authorization_code"),
            ("client_id", "app"),
            ("code", code),
            ("code_verifier", VERIFIER),
            ("redirect_uri", CALLBACK),
        ];
        self.post("/t/acme/token", &[], &[&pairs, scopes].concat())
    }
}

impl Drop for Issuing {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(serving) = self.serving.take() {
            let ended = self.runtime.block_on(serving);
            assert!(ended.is_ok() || std::thread::panicking(), "the server failed: {ended:?}");
        }
    }
}

fn furnish(tenant: &Tenant) {
    let strings = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let resource = Resource {
        id: "api".into(),
        identifier: API.into(),
        name: "The API".into(),
        scopes: vec![Scope { name: "read".into(), description: "Read".into(), checked: false }],
        created_at: 0,
    };
    tenant.put_resource(&resource, &env()).unwrap();
    let claims = json!({"name": "Sarah Chen", "email": "sarah@example.com"});
    let claims = claims.as_object().unwrap().clone();
    tenant.create_user(Some("sarah"), &["sarah@example.com"], claims, &env()).unwrap();
    let public = Client {
        auth_methods: vec![AuthMethod::None],
        redirect_uris: strings(&[CALLBACK]),
        post_logout_redirect_uris: strings(&["https://app.example/bye"]),
        grant_types: strings(&["authorization_code", "refresh_token"]),
        scopes: strings(&["openid", "profile", "read", "offline_access"]),
        resources: strings(&[API]),
        ..Client::new("app", ClientKind::App, "The app")
    };
    tenant.create_client(&public, &env()).unwrap();
    let worker = Client {
        grant_types: strings(&["client_credentials"]),
        scopes: strings(&["read"]),
        resources: strings(&[API]),
        auth_methods: vec![AuthMethod::ClientSecretBasic, AuthMethod::ClientSecretPost],
        ..Client::new("worker", ClientKind::Agent, "A worker")
    };
    tenant.create_client(&worker, &env()).unwrap();
    let server = Client { serves: strings(&[API]), ..Client::new("api-server", ClientKind::App, "The API itself") };
    tenant.create_client(&server, &env()).unwrap();
    let other = Client::new("other", ClientKind::App, "Somebody else");
    tenant.create_client(&other, &env()).unwrap();
}

/// An answer.
pub(crate) struct Heard {
    pub(crate) status: u16,
    head: Vec<String>,
    pub(crate) body: String,
}

impl Heard {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let pairs = self.head.iter().filter_map(|line| line.split_once(": "));
        pairs.into_iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// All values of a header.
    pub(crate) fn headers<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let pairs = self.head.iter().filter_map(|line| line.split_once(": "));
        pairs.filter(move |(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {} {}", self.status, self.body))
    }

    /// Status and OAuth code.
    #[track_caller]
    pub(crate) fn refusal(&self) -> (u16, String) {
        (self.status, self.json()["error"].as_str().unwrap().to_owned())
    }
}

pub(crate) fn send(
    to: SocketAddr,
    host: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Heard {
    let mut stream = TcpStream::connect(to).unwrap();
    let mut text = format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str(&format!("content-length: {}\r\n\r\n{body}", body.len()));
    stream.write_all(text.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let mut head = head.lines().map(str::to_owned);
    let status = head.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    Heard { status, head: head.collect(), body: body.to_owned() }
}

pub(crate) fn basic(id: &str, secret: &str) -> String {
    use base64::Engine as _;
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{id}:{secret}")))
}

#[test]
fn metadata_is_where_clients_look_and_says_the_issuer_letter_for_letter() {
    let issuing = Issuing::start();
    let acme = issuing.acme.issuer().to_owned();
    for path in [
        "/t/acme/.well-known/openid-configuration",
        "/.well-known/openid-configuration/t/acme",
        "/t/acme/.well-known/oauth-authorization-server",
        "/.well-known/oauth-authorization-server/t/acme",
    ] {
        let heard = issuing.send("GET", path, &[], "");
        let document = heard.json();
        assert_eq!(document["issuer"], acme, "{path}");
        assert_eq!(document["token_endpoint"], format!("{acme}/token"));
        assert_eq!(heard.header("access-control-allow-origin"), Some("*"));
    }
    let root = issuing.send("GET", "/.well-known/openid-configuration", &[], "").json();
    assert_eq!(root["issuer"], issuing.root.issuer());
    assert_eq!(root["issuer"], format!("http://{}/", issuing.address), "the slash is the issuer's own");
    assert_eq!(root["token_endpoint"], format!("http://{}/token", issuing.address));
    // Everything that is named is there.
    let document = issuing.send("GET", "/t/acme/.well-known/openid-configuration", &[], "").json();
    for (name, value) in document.as_object().unwrap() {
        let Some(url) = value.as_str().filter(|_| name.ends_with("_endpoint") || name == "jwks_uri") else { continue };
        let path = url::Url::parse(url).unwrap().path().to_owned();
        assert_ne!(issuing.send("GET", &path, &[], "").status, 404, "{name}");
    }
    for name in ["code_challenge_methods_supported", "grant_types_supported", "token_endpoint_auth_methods_supported"] {
        assert!(document[name].as_array().is_some_and(|list| !list.is_empty()), "{name}");
    }
    assert_eq!(document["grant_types_supported"], json!(GRANT_TYPES), "those that may be written down for a client");
    let keys = issuing.send("GET", "/t/acme/jwks", &[], "").json();
    assert_eq!(keys["keys"].as_array().unwrap().len(), 1);
    assert!(keys["keys"][0].get("d").is_none());
    // Another host is nobody's, and the engine's surface knows nothing of it.
    let other = send(issuing.address, "other.example", "GET", "/.well-known/openid-configuration", &[], "");
    assert_eq!(other.status, 404);
    assert_eq!(issuing.send("GET", "/t/unknown/.well-known/openid-configuration", &[], "").status, 404);
    let engine = send(issuing.http, "x", "GET", "/.well-known/openid-configuration", &[], "");
    assert_eq!(engine.status, 404);
}

#[test]
fn the_store_of_a_tenant_is_not_on_the_engines_surface() {
    let issuing = Issuing::start();
    let id = issuing.acme.system_store().to_string();
    let ask = |method: &str, path: &str, body: &str| {
        let json = [("content-type", "application/json")];
        send(issuing.http, "x", method, path, &json, body)
    };
    let key = r#"{"tuple_key": {"user": "user:sarah", "relation": "active", "object": "tenant:acme"}}"#;
    for (method, path, body) in [
        ("GET", "", ""),
        ("DELETE", "", ""),
        ("GET", "/authorization-models", ""),
        ("POST", "/check", key),
        ("POST", "/read", "{}"),
        ("GET", "/changes", ""),
    ] {
        let heard = ask(method, &format!("/stores/{id}{path}"), body);
        assert_eq!(heard.json()["code"], "store_id_not_found", "{method} {path}: {}", heard.body);
    }
    let listed = ask("GET", "/stores", "").json();
    assert_eq!(listed["stores"], json!([]));
    assert!(issuing.acme.is_active("user:sarah").unwrap());
}

#[test]
fn a_client_gets_tokens_for_itself_and_is_refused_as_the_standard_says() {
    let issuing = Issuing::start();
    let (_, secret) = issuing.acme.add_secret("worker", None, &env()).unwrap();
    let header = basic("worker", &secret);
    let auth = [("authorization", header.as_str())];
    let grant = ("grant_type", "client_credentials");
    let heard = issuing.post("/t/acme/token", &auth, &[grant, ("scope", "read")]);
    let answer = heard.json();
    assert_eq!((heard.status, heard.header("cache-control")), (200, Some("no-store")));
    assert_eq!((&answer["token_type"], &answer["scope"]), (&json!("Bearer"), &json!("read")));
    assert!(answer.get("refresh_token").is_none());
    let post = [("client_id", "worker"), ("client_secret", secret.as_str()), grant, ("resource", API)];
    assert_eq!(issuing.post("/t/acme/token", &[], &post).status, 200);
    let json = [("content-type", "application/json")];
    let body =
        json!({"grant_type": "client_credentials", "client_id": "worker", "client_secret": secret, "audience": API});
    assert_eq!(issuing.send("POST", "/t/acme/oauth/token", &json, &body.to_string()).status, 200);
    assert_eq!(issuing.send("POST", "/t/acme/token", &json, &body.to_string()).refusal().1, "invalid_request");
    // F-4.2: the path of others' documents, with forms and the same refusals.
    let alias = |pairs: &[(&str, &str)]| issuing.post("/t/acme/oauth2/token", &auth, pairs);
    let heard = alias(&[grant, ("scope", "read")]);
    assert_eq!((heard.status, &heard.json()["scope"]), (200, &json!("read")));
    assert_eq!(alias(&[("grant_type", "password")]).refusal(), (400, "unsupported_grant_type".into()));
    assert_eq!(issuing.send("GET", "/t/acme/oauth2/token", &[], "").status, 405);

    let wrong = issuing.post("/t/acme/token", &[("authorization", &basic("worker", "x"))], &[grant]);
    assert_eq!(wrong.refusal(), (401, "invalid_client".into()));
    assert!(wrong.header("www-authenticate").unwrap().starts_with("Basic "));
    for (pairs, expected) in [
        (vec![], (400, "invalid_request")),
        (vec![("grant_type", "password")], (400, "unsupported_grant_type")),
        (vec![("grant_type", "authorization_code"), ("code", "x")], (400, "unauthorized_client")),
        (vec![grant, grant], (400, "invalid_request")),
        (vec![grant, ("scope", "write")], (400, "invalid_scope")),
        (vec![grant, ("resource", "https://other.example/")], (400, "invalid_target")),
        (vec![grant, ("client_secret", "x")], (400, "invalid_request")),
    ] {
        let (status, error) = issuing.post("/t/acme/token", &auth, &pairs).refusal();
        assert_eq!((status, error.as_str()), expected, "{pairs:?}");
    }
    assert_eq!(issuing.post("/t/acme/token", &[], &[grant]).refusal(), (401, "invalid_client".into()));
    assert_eq!(issuing.send("GET", "/t/acme/token", &[], "").status, 405);
    // The other issuer does not know the client.
    assert_eq!(issuing.post("/token", &auth, &[grant]).refusal(), (401, "invalid_client".into()));
    let preflight = issuing.send("OPTIONS", "/t/acme/token", &[("origin", "https://spa.example")], "");
    assert_eq!((preflight.status, preflight.header("access-control-allow-origin")), (204, Some("*")));
}

#[test]
fn a_persons_tokens_from_code_to_sign_out() {
    let issuing = Issuing::start();
    let heard = issuing.redeem(&issuing.code("openid profile read offline_access"), &[]);
    assert_eq!(heard.status, 200, "{}", heard.body);
    let tokens = heard.json();
    let text = |name: &str| tokens[name].as_str().unwrap().to_owned();
    let bearer = format!("Bearer {}", text("access_token"));
    let info = issuing.send("GET", "/t/acme/userinfo", &[("authorization", &bearer)], "");
    assert_eq!(info.json(), json!({"sub": "sarah", "name": "Sarah Chen"}));
    let with_id = format!("Bearer {}", text("id_token"));
    for (header, says) in [
        (None, "Bearer, DPoP algs="),
        (Some(with_id.as_str()), "Bearer error=\"invalid_token\""),
        (Some("Bearer x"), "Bearer error=\"invalid_token\""),
    ] {
        let headers: Vec<(&str, &str)> = header.map(|value| ("authorization", value)).into_iter().collect();
        let refused = issuing.send("GET", "/t/acme/userinfo", &headers, "");
        assert_eq!(refused.status, 401);
        assert!(
            refused.header("www-authenticate").unwrap().starts_with(says),
            "{:?}",
            refused.header("www-authenticate")
        );
    }
    let refresh = |token: &str| {
        issuing.post(
            "/t/acme/token",
            &[],
            &[("grant_type", "refresh_token"), ("client_id", "app"), ("refresh_token", token)],
        )
    };
    let next = refresh(&text("refresh_token")).json();
    assert_ne!(next["refresh_token"], tokens["refresh_token"]);

    // Sign-out goes where it is registered to go, and ends what hangs on the session.
    let end = |pairs: &[(&str, &str)]| {
        let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        issuing.send("GET", &format!("/t/acme/end_session?{query}"), &[], "")
    };
    let hint = text("id_token");
    let bad = end(&[("id_token_hint", &hint), ("post_logout_redirect_uri", "https://evil.example/")]);
    assert_eq!((bad.status, bad.header("location")), (400, None));
    assert_eq!(end(&[("id_token_hint", "x")]).status, 400);
    assert_eq!(end(&[]).header("location"), Some(issuing.acme.url("/logout").as_str()));
    assert_eq!(issuing.send("GET", "/t/acme/userinfo", &[("authorization", &bearer)], "").status, 200);
    let good =
        end(&[("id_token_hint", &hint), ("post_logout_redirect_uri", "https://app.example/bye"), ("state", "x")]);
    assert_eq!((good.status, good.header("location")), (303, Some("https://app.example/bye?state=x")));
    assert_eq!(issuing.send("GET", "/t/acme/userinfo", &[("authorization", &bearer)], "").status, 401);
    assert_eq!(refresh(next["refresh_token"].as_str().unwrap()).refusal(), (400, "invalid_grant".into()));
}

#[test]
fn a_token_is_told_of_to_whom_it_concerns_and_revoked_by_its_client() {
    let issuing = Issuing::start();
    let secret = |client: &str| basic(client, &issuing.acme.add_secret(client, None, &env()).unwrap().1);
    let (server, other) = (secret("api-server"), secret("other"));
    let tokens = issuing.redeem(&issuing.code("openid read offline_access"), &[]).json();
    let (access, refresh) = (tokens["access_token"].as_str().unwrap(), tokens["refresh_token"].as_str().unwrap());
    let ask = |who: &str, token: &str| {
        issuing.post("/t/acme/introspect", &[("authorization", who)], &[("token", token)]).json()
    };
    let told = ask(&server, access);
    assert_eq!((&told["active"], &told["sub"], &told["client_id"]), (&json!(true), &json!("sarah"), &json!("app")));
    assert_eq!((&told["scope"], &told["acr"]), (&json!("openid read offline_access"), &json!("aal1")));
    let nothing = json!({"active": false});
    assert_eq!(ask(&other, access), nothing, "it is not for them");
    assert_eq!(ask(&server, refresh), nothing, "it is the client's own");
    assert_eq!(ask(&server, "x"), nothing);
    let public = issuing.post("/t/acme/introspect", &[], &[("client_id", "app"), ("token", access)]);
    assert_eq!(public.refusal(), (401, "invalid_client".into()));
    let accept = ("accept", "application/token-introspection+jwt");
    let signed = issuing.post("/t/acme/introspect", &[("authorization", &server), accept], &[("token", access)]);
    assert_eq!(signed.header("content-type"), Some("application/token-introspection+jwt"));
    assert_eq!(signed.body.matches('.').count(), 2);

    let revoke = |headers: &[(&str, &str)], token: &str| {
        let pairs = [("client_id", "app"), ("token", token)];
        issuing.post("/t/acme/revoke", headers, if headers.is_empty() { &pairs } else { &pairs[1..] }).status
    };
    assert_eq!(revoke(&[("authorization", &other)], access), 200);
    assert_eq!(ask(&server, access)["active"], true, "others cannot revoke it");
    assert_eq!(revoke(&[], "unknown"), 200);
    assert_eq!(revoke(&[], access), 200);
    assert_eq!(ask(&server, access), nothing);
    let again = issuing.post(
        "/t/acme/token",
        &[],
        &[("grant_type", "refresh_token"), ("client_id", "app"), ("refresh_token", refresh)],
    );
    let again = again.json();
    assert_eq!(ask(&server, again["access_token"].as_str().unwrap())["active"], true);
    assert_eq!(revoke(&[], again["refresh_token"].as_str().unwrap()), 200);
    assert_eq!(ask(&server, again["access_token"].as_str().unwrap()), nothing, "it hung on the grant");
    // The answer with the newest was lost: the one before ends it as well.
    let tokens = issuing.redeem(&issuing.code("openid read offline_access"), &[]).json();
    let first = tokens["refresh_token"].as_str().unwrap();
    let pairs = [("grant_type", "refresh_token"), ("client_id", "app"), ("refresh_token", first)];
    let lost = issuing.post("/t/acme/token", &[], &pairs).json();
    assert_eq!(revoke(&[], first), 200);
    assert_eq!(ask(&server, lost["access_token"].as_str().unwrap()), nothing);
    assert_eq!(issuing.post("/t/acme/token", &[], &pairs).refusal(), (400, "invalid_grant".into()));
}

#[test]
fn an_authorization_request_is_refused_to_the_client_or_to_the_person() {
    let issuing = Issuing::start();
    let ask = |pairs: &[(&str, &str)]| {
        let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        issuing.send("GET", &format!("/t/acme/authorize?{query}"), &[], "")
    };
    let to_client = ask(&[("client_id", "app"), ("redirect_uri", CALLBACK), ("state", "s")]);
    let location = to_client.header("location").unwrap();
    assert!(
        to_client.status == 303 && location.starts_with(&format!("{CALLBACK}?error=invalid_request")),
        "{location}"
    );
    assert!(location.contains("state=s") && location.contains("iss=http"), "{location}");
    for pairs in [
        vec![("client_id", "app"), ("redirect_uri", "https://evil.example/")],
        vec![("client_id", "<b>"), ("redirect_uri", CALLBACK)],
        vec![("redirect_uri", CALLBACK)],
    ] {
        let heard = ask(&pairs);
        assert_eq!((heard.status, heard.header("location")), (400, None), "{pairs:?}");
        assert_eq!(heard.header("content-type"), Some("text/plain; charset=utf-8"));
        assert!(!heard.body.contains("<b>") && !heard.body.contains("evil"), "{}", heard.body);
    }
    let pushed = issuing.post(
        "/t/acme/par",
        &[],
        &[
            ("client_id", "app"),
            ("response_type", "code"),
            ("redirect_uri", CALLBACK),
            ("scope", "openid"),
            ("code_challenge", &hash_of(VERIFIER)),
            ("code_challenge_method", "S256"),
        ],
    );
    assert_eq!(pushed.status, 201, "{}", pushed.body);
    let uri = pushed.json()["request_uri"].as_str().unwrap().to_owned();
    let first = ask(&[("client_id", "app"), ("request_uri", &uri)]);
    assert!(first.header("location").unwrap().contains("/t/acme/login?request="));
    let unknown = format!("{uri}x");
    assert_eq!(ask(&[("client_id", "app"), ("request_uri", &unknown)]).status, 400);
}

#[test]
fn what_is_no_form_is_refused_and_the_server_lives() {
    let issuing = Issuing::start();
    let large = "a=".to_owned() + &"b".repeat(200 << 10);
    let form = ("content-type", "application/x-www-form-urlencoded");
    assert_eq!(issuing.send("POST", "/t/acme/token", &[form], &large).refusal().1, "invalid_request");
    assert_eq!(issuing.send("POST", "/t/acme/token", &[form], "%ff=%fe&x").refusal().0, 401);
    assert_eq!(issuing.send("POST", "/t/acme/token", &[], "a=b").refusal().1, "invalid_request");
    let twice = [("authorization", "Basic eDp5"), ("authorization", "Basic eDp5"), form];
    assert_eq!(issuing.send("POST", "/t/acme/token", &twice, "grant_type=x").refusal().1, "invalid_request");
    assert_eq!(issuing.send("GET", "/t/acme/jwks", &[], "").status, 200);
}

/// Anybody can name a public client: from one address that gets nothing there is an end, and what gets something is not counted.
#[test]
fn requests_for_tokens_that_get_nothing_are_counted() {
    let issuing = Issuing::start();
    let oauth = OAuth::new(vec![Arc::new(CodeGrant)], Arc::new(NoKeys));
    let now = env();
    let ask = |address: &str, code: &str| {
        let form = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs([("grant_type", "authorization_code"), ("client_id", "app"), ("code", code)])
            .extend_pairs([("code_verifier", VERIFIER), ("redirect_uri", CALLBACK)])
            .finish();
        let (form, env) = (Form::parse(&form).unwrap(), Env { address: Some(address), ..now });
        oauth.token(&issuing.acme, "/token", &Head::default(), &form, &env).map_err(|refusal| refusal.rule)
    };
    let most = FAILURES_OF_ADDRESS.burst;
    for _ in 1..most {
        assert_ne!(ask("192.0.2.1", "x").err(), Some("rate.address"));
    }
    for _ in 0..3 {
        assert!(ask("192.0.2.1", &issuing.code("openid")).is_ok());
    }
    assert_ne!(ask("192.0.2.1", "x").err(), Some("rate.address"));
    assert_eq!(ask("192.0.2.1", "x").err(), Some("rate.address"));
    assert_ne!(ask("192.0.2.2", "x").err(), Some("rate.address"), "others are not held up");
}

/// A grant type that is always held up, or fails.
struct Never(ErrorCode);

impl GrantType for Never {
    fn name(&self) -> &'static str {
        "authorization_code"
    }

    fn redeem(&self, _: &Tenant, _: &Caller, _: &Form, _: &Env<'_>) -> Answer<TokenAnswer> {
        Err(Refusal::new(self.0, "never", "never"))
    }
}

/// Many people have one address: a few hundred failures of a neighbour hold nobody up, and neither do limits and our failures.
#[test]
fn what_is_no_fault_of_who_asks_is_not_counted() {
    const { assert!(FAILURES_OF_ADDRESS.burst >= 3_000 && FAILURES_OF_ADDRESS.period_ms <= 20) };
    let issuing = Issuing::start();
    let form = Form::parse("grant_type=authorization_code&client_id=app").unwrap();
    let env = Env { address: Some("192.0.2.1"), ..env() };
    for error in [ErrorCode::ServerError, ErrorCode::TooManyRequests, ErrorCode::InvalidGrant] {
        let oauth = OAuth::new(vec![Arc::new(Never(error))], Arc::new(NoKeys));
        let ask = || oauth.token(&issuing.acme, "/token", &Head::default(), &form, &env).map_err(|r| r.rule).err();
        for _ in 0..FAILURES_OF_ADDRESS.burst {
            assert_eq!(ask(), Some("never"));
        }
        let next = if error == ErrorCode::InvalidGrant { "rate.address" } else { "never" };
        assert_eq!(ask(), Some(next), "{error:?}");
    }
}
