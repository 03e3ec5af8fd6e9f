//! The ten lines of `docs/mcp.md` before a server of somebody else, in a runtime of its own and with nothing but the URL of an
//! issuer that `bailiwick serve` has: which tokens of it open the server, and which do not (MCPM-5).

use crate::identity::{Heard, Issuing, env, send};
use crate::mcp_tenant::{client, signed_in, strings};
use crate::openid_conformance::Signer;
use axum::Router;
use axum::extract::Extension;
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use bailiwick::identity::{Client, ClientKind, ConsentRule, Resource as Registered, Scope, hash_of};
use bailiwick::modules::mcp::{
    Denial, Guard, GuardSpec, IssuedTokens, IssuedTokensSpec, Judged, Resource, ResourceSpec, SettingsError, guarded,
};
use bailiwick::wire::{Outgoing, OutgoingSettings, SystemResolver};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;

/// Says for whom the token speaks; to write takes one more scope.
async fn handler(Extension(guard): Extension<Guard>, Extension(judged): Extension<Judged>, body: String) -> Response {
    let needed: &[&str] = if body == "write" { &["mcp:crm:write"] } else { &[] };
    match guard.need(&judged, needed) {
        Ok(()) => format!("{} {:?}", judged.subject, judged.agent.map(|agent| agent.to_string())).into_response(),
        Err(denial) => refused(&guard, &denial),
    }
}

fn refused(guard: &Guard, denial: &Denial) -> Response {
    guard.refuse(denial, &[]).map(axum::body::Body::from)
}

/// The ten lines.
fn app(url: &str, issuer: &str, outgoing: Outgoing) -> Result<Router, SettingsError> {
    let resource = Resource::new(ResourceSpec {
        url: url.into(),
        authorization_servers: vec![issuer.into()],
        dpop_algs: vec!["ES256".into()],
        ..ResourceSpec::default()
    })?;
    let tokens = Arc::new(IssuedTokens::new(IssuedTokensSpec::new(issuer), outgoing)?);
    let guard =
        Guard::new(resource, tokens, GuardSpec { scopes: vec!["mcp:crm:read".into()], ..GuardSpec::default() })?;
    Ok(guarded(Router::new().route("/crm", post(handler)).layer(Extension(guard.clone())), &guard))
}

struct World {
    issuing: Issuing,
    address: SocketAddr,
    /// The identifier of the server.
    url: String,
    agent: String,
    _runtime: tokio::runtime::Runtime,
}

impl World {
    fn start() -> World {
        let issuing = Issuing::start();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let url = format!("http://{address}/crm");
        let app = runtime.block_on(async {
            let settings = OutgoingSettings { loopback: true, ..OutgoingSettings::default() };
            app(&url, issuing.acme.issuer(), Outgoing::new(settings, SystemResolver).unwrap()).unwrap()
        });
        runtime.spawn(async move { axum::serve(listener, app).await });
        let tenant = &issuing.acme;
        let scopes = ["mcp:crm:read", "mcp:crm:write"].map(|name| Scope {
            name: name.into(),
            description: name.into(),
            checked: false,
        });
        for (id, identifier) in [("crm", url.clone()), ("docs", format!("{url}/docs"))] {
            let scopes = scopes.to_vec();
            let registered = Registered { id: id.into(), identifier, name: id.into(), scopes, created_at: 0 };
            tenant.put_resource(&registered, &env()).unwrap();
        }
        let sales = Client {
            redirect_uris: strings(&["https://sales.example/cb"]),
            grant_types: strings(&["authorization_code", "client_credentials"]),
            scopes: strings(&["openid", "mcp:crm:read", "mcp:crm:write"]),
            resources: vec![url.clone(), format!("{url}/docs")],
            consent: ConsentRule::Managed,
            ..Client::new("sales", ClientKind::Agent, "The sales agent")
        };
        let agent = client(tenant, sales);
        World { issuing, address, url, agent, _runtime: runtime }
    }

    fn sarah(&self, resource: &str, scope: &str) -> String {
        signed_in(&self.issuing, ("sales", &self.agent), "sarah", resource, scope)
    }

    fn call(&self, headers: &[(&str, &str)], body: &str) -> Heard {
        send(self.address, &self.address.to_string(), "POST", "/crm", headers, body)
    }

    fn bearer(&self, token: &str, body: &str) -> Heard {
        self.call(&[("authorization", &format!("Bearer {token}"))], body)
    }

    /// A token that the issuer's own key signs, with changes.
    fn made(&self, typ: &str, changes: &Value) -> String {
        let now = env().seconds();
        let mut claims = json!({
            "iss": self.issuing.acme.issuer(), "aud": self.url, "sub": "sarah", "client_id": "sales", "jti": "g.1",
            "iat": now, "exp": now + 300, "scope": "mcp:crm:read", "acr": "phr", "auth_time": now,
        });
        claims.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        self.issuing.acme.sign(typ, &claims, &env()).unwrap()
    }
}

#[track_caller]
fn refusal(heard: &Heard) -> (u16, String) {
    let challenge = heard.header("www-authenticate").unwrap_or_else(|| panic!("{} {}", heard.status, heard.body));
    assert!(challenge.contains("resource_metadata="), "{challenge}");
    (heard.status, heard.json()["error_description"].as_str().unwrap().to_owned())
}

#[test]
fn ten_lines_guard_a_server_of_somebody_else() {
    let world = World::start();
    let metadata = "/.well-known/oauth-protected-resource/crm";
    let document = send(world.address, &world.address.to_string(), "GET", metadata, &[], "").json();
    assert_eq!(document["authorization_servers"], json!([world.issuing.acme.issuer()]));
    assert_eq!(refusal(&world.call(&[], "")).0, 401);

    // A token of a person, as the issuer gives it to their agent.
    let good = world.sarah(&world.url, "openid mcp:crm:read");
    let heard = world.bearer(&good, "");
    assert_eq!((heard.status, heard.body.as_str()), (200, "user:sarah Some(\"agent:sales\")"));
    let heard = world.bearer(&good, "write");
    assert!(heard.status == 403 && heard.header("www-authenticate").unwrap().contains("mcp:crm:read mcp:crm:write"));
    assert_eq!(world.bearer(&world.sarah(&world.url, "mcp:crm:read mcp:crm:write"), "write").status, 200);

    // Another audience, two of them, another issuer with the same keys or with its own, expired.
    let docs = format!("{}/docs", world.url);
    assert_eq!(refusal(&world.bearer(&world.sarah(&docs, "mcp:crm:read"), "")).0, 401);
    let both = world.sarah(&format!("{} {docs}", world.url), "mcp:crm:read");
    assert!(refusal(&world.bearer(&both, "")).1.contains("other resources"));
    let now = env().seconds();
    for (typ, changes, why) in [
        ("at+jwt", json!({"iss": world.issuing.root.issuer()}), "another issuer"),
        ("at+jwt", json!({"exp": now - 60}), "expired"),
        ("at+jwt", json!({"cnf": {"x5t#S256": "x"}}), "certificate"),
        // An ID token is no access token, whatever is in it.
        ("JWT", json!({}), "no access token"),
    ] {
        let (status, said) = refusal(&world.bearer(&world.made(typ, &changes), ""));
        assert!(status == 401 && said.contains(why), "{changes}: {said}");
    }
    assert_eq!(world.bearer(&world.made("at+jwt", &json!({})), "").status, 200, "but for the changes it is one");
    // What another key signed, under no name and under that of a key that is not there.
    let claims = json!({"iss": world.issuing.acme.issuer(), "aud": world.url, "exp": now + 300});
    for header in [json!({"typ": "at+jwt", "alg": "ES256"}), json!({"typ": "at+jwt", "alg": "ES256", "kid": "x"})] {
        assert_eq!(refusal(&world.bearer(&Signer::new().sign(&header, &claims), "")).0, 401);
    }
}

#[test]
fn a_proof_is_used_once_at_a_server_of_somebody_else() {
    let world = World::start();
    let (key, other) = (Signer::new(), Signer::new());
    let proof = |key: &Signer, url: &str, token: Option<&str>| {
        let head = json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": key.jwk()});
        let mut claims = json!({"htm": "POST", "htu": url, "iat": env().seconds(), "jti": env().secret()});
        token.into_iter().for_each(|token| claims["ath"] = hash_of(token).into());
        key.sign(&head, &claims)
    };
    let at_token = proof(&key, &world.issuing.acme.url("/token"), None);
    let pairs = [("grant_type", "client_credentials"), ("scope", "mcp:crm:read"), ("resource", &world.url)];
    let heard = world.issuing.post("/t/acme/token", &[("authorization", &world.agent), ("dpop", &at_token)], &pairs);
    assert_eq!(heard.status, 200, "{}", heard.body);
    let token = heard.json()["access_token"].as_str().unwrap().to_owned();
    let show = |proof: &str| world.call(&[("authorization", &format!("DPoP {token}")), ("dpop", proof)], "");
    let good = proof(&key, &world.url, Some(&token));
    let heard = show(&good);
    assert_eq!((heard.status, heard.body.as_str()), (200, "agent:sales None"), "a client for itself");
    assert!(refusal(&show(&good)).1.contains("used before"));
    assert_eq!(show(&proof(&key, &world.url, Some(&token))).status, 200);
    assert!(refusal(&show(&proof(&other, &world.url, Some(&token)))).1.contains("another key"));
    assert!(refusal(&world.bearer(&token, "")).1.contains("DPoP"));
}

#[test]
fn an_issuer_that_cannot_be_asked_opens_nothing() {
    let world = World::start();
    let good = world.made("at+jwt", &json!({}));
    let World { issuing, address, .. } = &world;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let tokens = runtime.block_on(async {
        let settings = OutgoingSettings { loopback: true, ..OutgoingSettings::default() };
        IssuedTokens::new(IssuedTokensSpec::new(&nobody), Outgoing::new(settings, SystemResolver).unwrap()).unwrap()
    });
    let resource =
        ResourceSpec { url: world.url.clone(), authorization_servers: vec![nobody.clone()], ..ResourceSpec::default() };
    let guard = Guard::new(Resource::new(resource).unwrap(), Arc::new(tokens), GuardSpec::default()).unwrap();
    let admit = |token: &str| {
        let head = axum::http::Request::post("/crm").header("host", address.to_string());
        let head = head.header("authorization", format!("Bearer {token}")).body(()).unwrap().into_parts().0;
        let denial = guard.admit(&head, env().now).unwrap_err();
        guard.refuse(&denial, &[]).status().as_u16()
    };
    assert_eq!(admit(&world.made("at+jwt", &json!({ "iss": nobody }))), 503);
    assert_eq!(admit(&good), 401, "of {}, for which nobody is asked", issuing.acme.issuer());
}
