//! Somebody else's server on loopback: it writes down what it was asked, and answers as it was told to. And a database that
//! the commands furnish, and that a server in this process serves afterwards.

use crate::cli::{err, out, program};
use crate::identity::{Heard, env, send};
use crate::login_browser::{Form, Page};
use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use bailiwick::Bailiwick;
use bailiwick::engine::Settings;
use bailiwick::identity::{AUDIT, Event, Identity, Tenant, audit_key};
use bailiwick::secrets::KeyRing;
use bailiwick::server::{self, Issuers, serve};
use bailiwick::wire::OutgoingSettings;
use parking_lot::Mutex;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

/// A request as the stub got it.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    pub(crate) fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }
}

/// See the file's head.
pub(crate) struct Elsewhere {
    pub(crate) origin: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Elsewhere {
    pub(crate) fn start(
        runtime: &Runtime,
        answer: impl Fn(&Asked) -> (u16, Value) + Clone + Send + Sync + 'static,
    ) -> Elsewhere {
        let asked = Arc::<Mutex<Vec<Asked>>>::default();
        let seen = Arc::clone(&asked);
        let handler = move |request: Request| {
            let (answer, seen) = (answer.clone(), Arc::clone(&seen));
            async move {
                let (parts, body) = request.into_parts();
                let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
                let one = Asked {
                    target: parts.uri.to_string(),
                    headers: parts.headers,
                    body: String::from_utf8_lossy(&body).into_owned(),
                };
                let (status, body) = answer(&one);
                seen.lock().push(one);
                let json = [("content-type", "application/json")];
                let response: Response =
                    (StatusCode::from_u16(status).unwrap(), json, body.to_string()).into_response();
                response
            }
        };
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let routes = Router::new().fallback(handler);
        runtime.spawn(async move { axum::serve(listener, routes).await });
        Elsewhere { origin, asked }
    }

    /// What it was asked since the last time.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut *self.asked.lock())
    }
}

/// A database and its issuer, before it is served.
pub(crate) struct Furnished {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) issuer: String,
    pub(crate) runtime: Runtime,
    listener: TcpListener,
}

impl Furnished {
    /// What `bailiwick init` makes.
    pub(crate) fn new() -> Furnished {
        let directory = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let issuer = format!("http://{}/t/main", listener.local_addr().unwrap());
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let init = ["init", "--issuer", &issuer, "--admin", "admin@example.com"];
        let output = program(directory.path()).args(init).output().unwrap();
        assert!(output.status.success(), "{}", err(&output));
        Furnished { directory, issuer, runtime, listener }
    }

    /// Runs a command with this on its standard input; its output, or what it said on the way to exit code 2.
    pub(crate) fn run(&self, arguments: &[&str], input: &str) -> Result<String, String> {
        let mut command = program(self.directory.path());
        command.args(arguments).args(["--data", "bailiwick-data", "--identity-key-ring", "bailiwick.keys"]);
        let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = pipes.spawn().unwrap();
        // Who refuses the arguments reads nothing.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        if output.status.success() {
            return Ok(out(&output).trim().to_owned());
        }
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", err(&output));
        Err(err(&output))
    }

    #[track_caller]
    pub(crate) fn good(&self, arguments: &[&str]) -> String {
        self.run(arguments, "").unwrap_or_else(|said| panic!("{arguments:?}: {said}"))
    }

    #[track_caller]
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.good(&[arguments, &["--json"]].concat())).unwrap()
    }

    #[track_caller]
    pub(crate) fn refused(&self, arguments: &[&str], says: &str) {
        let said = self.run(arguments, "").unwrap_err();
        assert!(said.contains(says), "{arguments:?}: {said}");
    }

    /// Serves it, with servers on this machine for others'.
    pub(crate) fn serve(self) -> Serving {
        self.serve_with(|_| {})
    }

    /// With other settings.
    pub(crate) fn serve_with(self, change: impl FnOnce(&mut server::Settings)) -> Serving {
        let Furnished { directory, issuer, runtime, listener } = self;
        let address = listener.local_addr().unwrap();
        let settings = Settings { sync: false, ..Settings::default() };
        let engine = Bailiwick::open_with(directory.path().join("bailiwick-data"), settings).unwrap();
        let ring = std::fs::read_to_string(directory.path().join("bailiwick.keys")).unwrap();
        let identity = Identity::open(engine.clone(), KeyRing::parse(&ring, &[]).unwrap(), &env()).unwrap();
        let tenant = identity.named("main").unwrap();
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let (ready, bound) = oneshot::channel();
        let (stop, stopped) = oneshot::channel();
        let mut settings = server::Settings {
            http: any,
            grpc: any,
            issuers: Some(Issuers { listener: Arc::new(listener), mutual_tls: None, identity }),
            outgoing: OutgoingSettings {
                allow: vec!["localhost".parse().unwrap()],
                allow_strangers: vec!["localhost".parse().unwrap()],
                ..OutgoingSettings::default()
            },
            ..server::Settings::default()
        };
        change(&mut settings);
        let serving = runtime.spawn(async move {
            let stopped = async { stopped.await.unwrap_or_default() };
            serve(engine, settings, |_, _| ready.send(()).unwrap(), stopped).await.unwrap();
        });
        runtime.block_on(bound).unwrap();
        Serving { address, issuer, tenant, runtime, stop: Some(stop), serving: Some(serving), _directory: directory }
    }
}

/// A server over what was furnished.
pub(crate) struct Serving {
    pub(crate) address: SocketAddr,
    pub(crate) issuer: String,
    pub(crate) tenant: Tenant,
    pub(crate) runtime: Runtime,
    stop: Option<oneshot::Sender<()>>,
    serving: Option<tokio::task::JoinHandle<()>>,
    _directory: tempfile::TempDir,
}

impl Serving {
    /// Sends a request to a path below the issuer.
    pub(crate) fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Heard {
        send(self.address, &self.address.to_string(), method, &format!("/t/main{path}"), headers, body)
    }

    /// The same with an access token.
    pub(crate) fn with(&self, token: &str, method: &str, path: &str, body: &Value) -> Heard {
        let (authorization, json) = (format!("Bearer {token}"), ("content-type", "application/json"));
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.send(method, path, &[("authorization", &authorization), json], &body)
    }

    pub(crate) fn post(&self, path: &str, pairs: &[(&str, &str)]) -> Heard {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        self.send("POST", path, &[("content-type", "application/x-www-form-urlencoded")], &body)
    }

    /// A token of a client for itself.
    pub(crate) fn token(&self, client: &str, secret: &str, scope: &str, resource: &str) -> String {
        let resource = format!("{}{resource}", self.issuer);
        let pairs = [
            ("grant_type", "client_credentials"),
            ("client_id", client),
            ("client_secret", secret),
            ("scope", scope),
            ("resource", &resource),
        ];
        let heard = self.post("/token", &pairs);
        assert_eq!(heard.status, 200, "{}", heard.body);
        heard.json()["access_token"].as_str().unwrap().to_owned()
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        let records = self.tenant.engine().records(AUDIT);
        let page = records.scan(&audit_key(self.tenant.number(), b'e'), None, 1_000).unwrap();
        page.iter().map(|(_, bytes)| Event::read(bytes).unwrap()).collect()
    }

    /// The events once they are so; how a call of the proxy ended is written a moment after its answer.
    #[track_caller]
    pub(crate) fn events_once(&self, are_so: impl Fn(&[Event]) -> bool) -> Vec<Event> {
        let begun = Instant::now();
        loop {
            let events = self.events();
            if are_so(&events) {
                return events;
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "{events:?}");
            std::thread::yield_now();
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(serving) = self.serving.take() {
            let ended = self.runtime.block_on(serving);
            assert!(ended.is_ok() || std::thread::panicking(), "the server failed: {ended:?}");
        }
    }
}

/// A browser at what is served: it keeps cookies, sends forms, and follows redirects below the issuer.
pub(crate) struct Walker<'a> {
    serving: &'a Serving,
    cookies: BTreeMap<String, String>,
}

impl<'a> Walker<'a> {
    pub(crate) fn new(serving: &'a Serving) -> Walker<'a> {
        Walker { serving, cookies: BTreeMap::new() }
    }

    /// Gets a path below the issuer, or a URL of it.
    pub(crate) fn get(&mut self, path: &str) -> Page {
        let path = path.strip_prefix(&self.serving.issuer).unwrap_or(path).to_owned();
        let heard = self.send("GET", &path, "");
        self.follow(&path, heard)
    }

    pub(crate) fn post(&mut self, form: &Form) -> Page {
        let path = form.action.strip_prefix("/t/main").unwrap().to_owned();
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&form.fields).finish();
        let heard = self.send("POST", &path, &body);
        self.follow(&path, heard)
    }

    fn send(&mut self, method: &str, path: &str, body: &str) -> Heard {
        let cookies: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let headers = [
            ("cookie", cookies.join("; ")),
            ("accept", "text/html".to_owned()),
            ("sec-fetch-site", "same-origin".to_owned()),
            ("content-type", "application/x-www-form-urlencoded".to_owned()),
        ];
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let heard = self.serving.send(method, path, &headers, body);
        for set in heard.headers("set-cookie") {
            let (name, value) = set.split(';').next().unwrap().split_once('=').unwrap();
            if set.ends_with("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        heard
    }

    fn follow(&mut self, path: &str, heard: Heard) -> Page {
        let to = heard.header("location").map(str::to_owned);
        let (status, body) = (heard.status, heard.body);
        let mut page = Page { status, headers: Vec::new(), body, left_for: None, path: path.to_owned() };
        let Some(to) = to.filter(|_| page.status == 303) else { return page };
        let own = to.strip_prefix(&self.serving.issuer).or_else(|| to.strip_prefix("/t/main"));
        match own.map(str::to_owned) {
            Some(rest) => self.get(&rest),
            None => {
                page.left_for = Some(to);
                page
            }
        }
    }

    /// Follows an invitation and sets a password; the page of the account.
    pub(crate) fn enrol(&mut self, link: &str, password: &str) -> Page {
        let page = self.get(link);
        let page = self.post(&page.form("/invite"));
        let page = if page.path.ends_with("/password") { page } else { self.get("/login/enrol/password") };
        self.post(&page.form("/login/enrol/password").with("password", password).with("again", password))
    }

    pub(crate) fn is_signed_in(&self) -> bool {
        self.cookies.keys().any(|name| name.contains("session"))
    }
}
