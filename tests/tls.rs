//! TLS of our own: on the engine's surfaces and the issuers', with certificates of clients, by clients that others keep.

use crate::identity::{API, Issuing, env};
use bailiwick::Bailiwick;
use bailiwick::engine::Settings;
use bailiwick::identity::{AuthMethod, Client, ClientKeys, ClientKind, TlsSubject, encode};
use bailiwick::server::{self, ServeError, TlsSettings, serve};
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, PublicKeyData as _, SanType};
use reqwest::{Certificate, Identity};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_rustls::TlsConnector;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

/// An authority, as a directory has it.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new(name: &str) -> Authority {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Authority { pem, issuer: Issuer::new(params, key) }
    }

    /// A certificate and its key, one behind the other in PEM.
    fn signs(&self, names: Vec<SanType>) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.subject_alt_names = names;
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }

    fn client(&self, uri: &str) -> Identity {
        identity(self.signs(vec![SanType::URI(uri.try_into().unwrap())]))
    }
}

fn identity((certificate, key): (String, String)) -> Identity {
    Identity::from_pem(format!("{certificate}{key}").as_bytes()).unwrap()
}

/// Authorities, and the files of a server that knows them.
struct Files {
    directory: tempfile::TempDir,
    servers: Authority,
    callers: Authority,
    agents: Authority,
}

impl Files {
    fn new() -> Files {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let made = Files {
            directory: tempfile::tempdir().unwrap(),
            servers: Authority::new("servers"),
            callers: Authority::new("callers of the engine"),
            agents: Authority::new("agents"),
        };
        let here = || {
            vec![SanType::IpAddress("127.0.0.1".parse().unwrap()), SanType::DnsName("localhost".try_into().unwrap())]
        };
        let (certificate, key) = made.servers.signs(here());
        for (name, text) in [
            ("server.pem", &certificate),
            ("server.key", &key),
            ("callers.pem", &made.callers.pem),
            ("agents.pem", &made.agents.pem),
        ] {
            std::fs::write(made.path(name), text).unwrap();
        }
        made
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn settings(&self) -> TlsSettings {
        TlsSettings {
            certificate: self.path("server.pem"),
            key: self.path("server.key"),
            engine_clients: None,
            identity_clients: Some(self.path("agents.pem")),
        }
    }

    /// A client that trusts the server, and shows a certificate.
    fn client(&self, shows: Option<Identity>) -> reqwest::Client {
        let authority = Certificate::from_pem(self.servers.pem.as_bytes()).unwrap();
        let builder = reqwest::Client::builder().no_proxy().tls_certs_only([authority]);
        match shows {
            Some(identity) => builder.identity(identity),
            None => builder,
        }
        .build()
        .unwrap()
    }
}

/// Issuers with a listener for certificates.
fn issuing(files: &Files) -> (Issuing, String) {
    let listener = Arc::new(std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    let port = listener.local_addr().unwrap().port();
    let issuing = Issuing::start_with(|settings| {
        settings.tls = Some(files.settings());
        settings.issuers.as_mut().unwrap().mutual_tls = Some(listener);
    });
    (issuing, format!("https://127.0.0.1:{port}/t/acme"))
}

fn post(client: &reqwest::Client, url: String, pairs: &[(&str, &str)]) -> reqwest::RequestBuilder {
    let form = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    client.post(url).header("content-type", "application/x-www-form-urlencoded").body(form)
}

async fn told(answer: Result<reqwest::Response, reqwest::Error>) -> (u16, Value) {
    let answer = answer.unwrap();
    let status = answer.status().as_u16();
    (status, serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap_or_default())
}

/// What the gRPC surface says of its health, to somebody with a certificate of this authority.
async fn health(files: &Files, grpc: SocketAddr, authority: &Authority) -> Result<i32, String> {
    let (certificate, key) = authority.signs(vec![]);
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(files.servers.pem.as_bytes()).unwrap()).unwrap();
    let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let mut config =
        rustls::ClientConfig::builder().with_root_certificates(roots).with_client_auth_cert(chain, key).unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let connector = TlsConnector::from(Arc::new(config));
    let connect = tower::service_fn(move |_: tonic::transport::Uri| {
        let connector = connector.clone();
        async move {
            let stream = tokio::net::TcpStream::connect(grpc).await?;
            let name = grpc.ip().into();
            Ok::<_, std::io::Error>(TokioIo::new(connector.connect(name, stream).await?))
        }
    });
    let channel = tonic::transport::Endpoint::from_static("http://localhost").connect_with_connector(connect).await;
    let channel = channel.map_err(|error| error.to_string())?;
    let asked = HealthClient::new(channel).check(HealthCheckRequest { service: String::new() }).await;
    asked.map(|answer| answer.into_inner().status).map_err(|status| status.to_string())
}

#[test]
fn the_engine_speaks_tls_and_asks_who_calls() {
    let files = Files::new();
    let directory = tempfile::tempdir().unwrap();
    let engine = Bailiwick::open_with(directory.path(), Settings { sync: false, ..Settings::default() }).unwrap();
    let tls = TlsSettings { engine_clients: Some(files.path("callers.pem")), ..files.settings() };
    let any = "127.0.0.1:0".parse().unwrap();
    let settings = server::Settings { http: any, grpc: any, tls: Some(tls), ..server::Settings::default() };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (ready, bound) = tokio::sync::oneshot::channel();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = runtime.spawn(serve(engine, settings, |http, grpc| ready.send((http, grpc)).unwrap(), async {
        drop(stopped.await);
    }));
    runtime.block_on(async {
        let (http, grpc) = bound.await.unwrap();
        let stores = format!("https://{http}/stores");
        let good = files.client(Some(files.callers.client("spiffe://example.org/api")));
        let (status, list) = told(good.get(&stores).send().await).await;
        assert_eq!((status, &list["stores"]), (200, &json!([])));
        assert_eq!(health(&files, grpc, &files.callers).await.unwrap(), ServingStatus::Serving as i32);
        // Nobody else gets as far as a request: no certificate, or one that opens another door.
        for shows in [None, Some(files.agents.client("spiffe://example.org/api"))] {
            let client = files.client(shows);
            assert!(client.get(&stores).send().await.is_err());
        }
        assert!(health(&files, grpc, &files.agents).await.is_err());
        let plain = reqwest::get(stores.replace("https", "http")).await;
        assert!(plain.is_err(), "in the clear nothing is answered");
        drop(stop);
        serving.await.unwrap().unwrap();
    });
}

#[test]
fn what_cannot_be_used_is_refused_at_the_start() {
    let files = Files::new();
    let start = |tls: Option<TlsSettings>, http: &str| {
        let directory = tempfile::tempdir().unwrap();
        let engine = Bailiwick::open_with(directory.path(), Settings { sync: false, ..Settings::default() }).unwrap();
        let any = "127.0.0.1:0".parse().unwrap();
        let settings = server::Settings { http: http.parse().unwrap(), grpc: any, tls, ..server::Settings::default() };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(serve(engine, settings, |_, _| {}, async {}))
    };
    let with = |certificate: &Path, key: &Path, clients: &Path| {
        let tls = TlsSettings {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            engine_clients: Some(clients.to_owned()),
            identity_clients: None,
        };
        start(Some(tls), "127.0.0.1:0").map_err(|error| error.to_string())
    };
    let (certificate, key, clients) = (files.path("server.pem"), files.path("server.key"), files.path("callers.pem"));
    with(&certificate, &key, &clients).unwrap();
    let other = files.path("other.key");
    std::fs::write(&other, KeyPair::generate().unwrap().serialize_pem()).unwrap();
    for (certificate, key, clients, expected) in [
        (&files.path("none.pem"), &key, &clients, "cannot read"),
        (&certificate, &other, &clients, "the key must be the certificate's own"),
        (&key, &key, &clients, "there is no certificate in it"),
        (&certificate, &certificate, &clients, "cannot be used"),
        (&certificate, &key, &key, "the authorities in"),
    ] {
        let text = with(certificate, key, clients).unwrap_err();
        assert!(text.contains(expected), "{text}");
        assert!(!text.contains("PRIVATE KEY"), "{text}");
    }
    // Who is asked who they are may come from elsewhere; nobody else may.
    let without_clients = TlsSettings { engine_clients: None, ..files.settings() };
    for tls in [None, Some(without_clients)] {
        assert!(matches!(start(tls, "0.0.0.0:0"), Err(ServeError::NotLoopback(_))));
    }
    let asked = TlsSettings { engine_clients: Some(clients), ..files.settings() };
    start(Some(asked), "0.0.0.0:0").unwrap();
}

const SUBJECT: &str = "spiffe://example.org/sales";

/// Makes a client by its subject and one by its key, whose certificate is answered.
fn furnish(issuing: &Issuing) -> Identity {
    let client = |id: &str, method| Client {
        grant_types: vec!["client_credentials".into()],
        scopes: vec!["read".into()],
        resources: vec![API.into()],
        serves: vec![API.into()],
        auth_methods: vec![method],
        tls_client_certificate_bound_access_tokens: true,
        ..Client::new(id, ClientKind::Agent, id)
    };
    let by_subject =
        Client { tls_subject: Some(TlsSubject::Uri(SUBJECT.into())), ..client("svid", AuthMethod::TlsClientAuth) };
    issuing.acme.create_client(&by_subject, &env()).unwrap();
    let key = KeyPair::generate().unwrap();
    let own = CertificateParams::default().self_signed(&key).unwrap().pem();
    let point = key.der_bytes();
    let jwk = json!({"kty": "EC", "crv": "P-256", "x": encode(&point[1..33]), "y": encode(&point[33..])});
    let by_key = Client {
        keys: Some(ClientKeys::Jwks(json!({"keys": [jwk]}))),
        ..client("own", AuthMethod::SelfSignedTlsClientAuth)
    };
    issuing.acme.create_client(&by_key, &env()).unwrap();
    identity((own, key.serialize_pem()))
}

#[test]
fn a_client_shows_its_certificate_and_its_tokens_are_of_use_with_that_alone() {
    let files = Files::new();
    let (issuing, mutual) = issuing(&files);
    let own = furnish(&issuing);
    let plain = format!("https://{}/t/acme", issuing.address);
    issuing.runtime.block_on(async {
        let (nobody, svid) = (files.client(None), files.client(Some(files.agents.client(SUBJECT))));
        let (other, own) =
            (files.client(Some(files.agents.client("spiffe://example.org/other"))), files.client(Some(own)));
        let metadata = told(nobody.get(format!("{plain}/.well-known/openid-configuration")).send().await).await.1;
        assert_eq!(metadata["mtls_endpoint_aliases"]["token_endpoint"], format!("{mutual}/token"));
        assert_eq!(metadata["mtls_endpoint_aliases"].get("authorization_endpoint"), None);
        assert_eq!(metadata["tls_client_certificate_bound_access_tokens"], true);
        let token = |client: &reqwest::Client, base: &str, id: &str| {
            let form = [("grant_type", "client_credentials"), ("client_id", id), ("scope", "read"), ("resource", API)];
            post(client, format!("{base}/token"), &form).send()
        };
        let mut tokens = Vec::new();
        for (shows, id) in [(&svid, "svid"), (&own, "own")] {
            let (status, answer) = told(token(shows, &mutual, id).await).await;
            assert_eq!(status, 200, "{id}: {answer}");
            tokens.push(answer["access_token"].as_str().unwrap().to_owned());
        }
        for (shows, base, id) in [
            (&nobody, &mutual, "svid"),
            (&other, &mutual, "svid"),
            (&own, &mutual, "svid"),
            (&svid, &mutual, "own"),
            (&svid, &plain, "svid"), // nobody is asked for a certificate there
        ] {
            let (status, answer) = told(token(shows, base, id).await).await;
            assert_eq!((status, &answer["error"]), (401, &json!("invalid_client")), "{id} at {base}");
        }
        // Whoever the token is shown to learns the certificate, and may show one of its own.
        let form = [("token", tokens[0].as_str()), ("client_id", "own")];
        let (_, seen) = told(post(&own, format!("{mutual}/introspect"), &form).send().await).await;
        assert_eq!((&seen["active"], &seen["client_id"]), (&json!(true), &json!("svid")));
        assert!(seen["cnf"]["x5t#S256"].is_string(), "{seen}");
        // At the issuer's own resource: a token that is held gets as far as being told that it is of no person.
        let form = [("grant_type", "client_credentials"), ("client_id", "svid")];
        let (_, answer) = told(post(&svid, format!("{mutual}/token"), &form).send().await).await;
        let token = answer["access_token"].as_str().unwrap_or_else(|| panic!("{answer}"));
        for (shows, base, expected) in [
            (&svid, &mutual, (403, "insufficient_scope")),
            (&own, &mutual, (401, "invalid_token")),
            (&nobody, &mutual, (401, "invalid_token")),
            (&svid, &plain, (401, "invalid_token")),
        ] {
            let (status, answer) = told(shows.get(format!("{base}/userinfo")).bearer_auth(token).send().await).await;
            assert_eq!((status, answer["error"].as_str().unwrap()), expected, "{base}");
        }
    });
}
