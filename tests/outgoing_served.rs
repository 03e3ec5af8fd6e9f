//! What a served database fetches from others: keys of clients and of trusted issuers, and client metadata documents of agents
//! that nobody registered. LINK-1, TX-2.

use crate::elsewhere::{Elsewhere, Furnished, Serving};
use crate::identity::{Heard, Issuing, env, send};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use bailiwick::identity::{
    Authentication, Browser, Client, Decided, EventKind, STRANGERS_OF_ADDRESS, encode, hash_of, unverified_claim,
};
use bailiwick::modules::agent::{By, Filter, NoApprovals, Origin, Profile, Registry, Stage};
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Who signs, with a key that is elsewhere.
pub(crate) struct Signer {
    pair: EcdsaKeyPair,
    kid: &'static str,
}

impl Signer {
    pub(crate) fn new(kid: &'static str) -> Signer {
        Signer { pair: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap(), kid }
    }

    pub(crate) fn jwks(&self) -> Value {
        let (x, y) = self.pair.public_key().as_ref()[1..].split_at(32);
        json!({"keys": [{"kty": "EC", "crv": "P-256", "kid": self.kid, "x": encode(x), "y": encode(y)}]})
    }

    pub(crate) fn sign(&self, typ: &str, claims: &Value) -> String {
        let header = json!({"alg": "ES256", "typ": typ, "kid": self.kid});
        let message = format!("{}.{}", encode(header.to_string().as_bytes()), encode(claims.to_string().as_bytes()));
        let signature = self.pair.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
        format!("{message}.{}", encode(signature.as_ref()))
    }
}

/// What a stub answers, by path; others are not there.
type Answers = Arc<Mutex<BTreeMap<String, (u16, Value)>>>;

fn stub(runtime: &tokio::runtime::Runtime) -> (Elsewhere, Answers) {
    let answers = Answers::default();
    let known = Arc::clone(&answers);
    let stub = Elsewhere::start(runtime, move |asked| {
        known.lock().get(asked.path()).cloned().unwrap_or((404, json!({"error": "no such thing"})))
    });
    (stub, answers)
}

/// A client that shows who it is by a key at a URL.
fn ask(serving: &Serving, signer: &Signer, jti: &str) -> crate::identity::Heard {
    let now = env().seconds();
    let claims =
        json!({"iss": "worker", "sub": "worker", "aud": serving.issuer, "jti": jti, "exp": now + 60, "iat": now});
    serving.post(
        "/token",
        &[
            ("grant_type", "client_credentials"),
            ("scope", "read"),
            ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
            ("client_assertion", &signer.sign("JWT", &claims)),
        ],
    )
}

#[test]
fn a_client_shows_who_it_is_by_a_key_at_its_url() {
    let db = Furnished::new();
    let (stub, answers) = stub(&db.runtime);
    let signer = Signer::new("one");
    answers.lock().insert("/jwks".into(), (200, signer.jwks()));
    db.good(&["resource", "create", "https://api.example/", "--id", "api", "--scope", "read"]);
    let create = ["client", "create", "--id", "worker", "--kind", "agent", "--grant-type", "client_credentials"];
    let keys = format!("{}/jwks", stub.origin);
    let what =
        ["--scope", "read", "--resource", "https://api.example/", "--auth", "private_key_jwt", "--jwks-uri", &keys];
    db.good(&[&create[..], &what].concat());
    let serving = db.serve();
    for jti in ["a", "b", "c"] {
        let heard = ask(&serving, &signer, jti);
        assert_eq!(heard.status, 200, "{}", heard.body);
    }
    assert_eq!(stub.asked().len(), 1, "one question for all");
    assert_eq!(ask(&serving, &signer, "c").status, 401, "an assertion is used once");
    // Strangers' keys are looked for, and not more often than every half minute.
    for n in 0..5 {
        assert_eq!(ask(&serving, &Signer::new("two"), &format!("d{n}")).status, 401);
    }
    assert_eq!(stub.asked().len(), 0);
}

const CLUSTER: &str = "https://kubernetes.default.svc.cluster.local";
const ACCOUNT: &str = "system:serviceaccount:agents:worker";
const WORKER: &str = "spiffe://example.org/agents/worker";

/// An agent that runs in a cluster and in a trust domain, whose keys are elsewhere.
struct Platforms {
    cluster: Signer,
    domain: Signer,
    stub: Elsewhere,
    bundle: String,
}

impl Platforms {
    /// What the commands make: the agent, which has no secret, and whose word is taken of which workload it is.
    fn furnish(db: &Furnished) -> Platforms {
        let (stub, answers) = stub(&db.runtime);
        let (cluster, domain) = (Signer::new("one"), Signer::new("two"));
        let mut set = domain.jwks();
        set["keys"][0]["use"] = "jwt-svid".into();
        answers.lock().insert("/openid/v1/jwks".into(), (200, cluster.jwks()));
        answers.lock().insert("/bundle.json".into(), (200, set));
        let (keys, bundle) = (format!("{}/openid/v1/jwks", stub.origin), format!("{}/bundle.json", stub.origin));
        db.good(&["resource", "create", "https://api.example/", "--id", "api", "--scope", "read"]);
        let is = ["--workload", &format!("{CLUSTER}={ACCOUNT}"), "--spiffe-id", WORKER];
        let create = ["client", "create", "--id", "other", "--auth", "workload_jwt", "--auth", "spiffe_jwt"];
        db.refused(&[&create[..], &is].concat(), "is not trusted here to know workloads");
        db.refused(&["workload", "put", CLUSTER], "--jwks");
        db.good(&["workload", "put", CLUSTER, "--jwks-uri", &keys, "--reusable", "true"]);
        db.good(&["workload", "put", "spiffe://example.org", "--jwks-uri", &bundle, "--life-max", "600"]);
        assert_eq!(db.json(&["workload", "list"])["workload_issuers"].as_array().unwrap().len(), 2);
        db.good(&["user", "create", "olga@example.com", "--id", "olga"]);
        db.good(&["team", "add", "sales-ops", "olga"]);
        let register = ["agent", "register", "--id", "worker", "--name", "Worker", "--purpose", "Works"];
        db.good(&[&register[..], &["--owner", "team:sales-ops", "--accountable", "user:olga"]].concat());
        db.good(&[&["agent", "credential", "workloads", "worker"][..], &is].concat());
        let set = ["client", "set", "worker", "--grant-type", "client_credentials", "--scope", "read"];
        let set = db.json(&[&set[..], &["--resource", "https://api.example/"]].concat());
        assert_eq!(set["auth_methods"], json!(["workload_jwt", "spiffe_jwt"]), "and no secret");
        db.good(&["agent", "activate", "worker"]);
        Platforms { cluster, domain, stub, bundle }
    }

    /// A token request with what the cluster says of a service account.
    fn word(&self, serving: &Serving, signer: &Signer, subject: &str, audience: &str) -> Heard {
        let now = env().seconds();
        let claims = json!({
            "iss": CLUSTER, "sub": subject, "aud": [audience], "exp": now + 3_600, "iat": now, "nbf": now, "jti": "j",
            "kubernetes.io": {"namespace": "agents", "serviceaccount": {"name": "worker", "uid": "u"}},
        });
        as_workload(serving, "jwt-bearer", &signer.sign("JWT", &claims))
    }

    /// The same with an SVID.
    fn svid(&self, serving: &Serving, subject: &str) -> u16 {
        let now = env().seconds();
        let claims = json!({"sub": subject, "aud": [serving.issuer], "exp": now + 300, "iat": now});
        as_workload(serving, "jwt-spiffe", &self.domain.sign("JWT", &claims)).status
    }
}

/// A token request of the agent with an assertion.
fn as_workload(serving: &Serving, of: &str, assertion: &str) -> Heard {
    let of = format!("urn:ietf:params:oauth:client-assertion-type:{of}");
    serving.post(
        "/token",
        &[
            ("grant_type", "client_credentials"),
            ("scope", "read"),
            ("client_id", "worker"),
            ("client_assertion_type", &of),
            ("client_assertion", assertion),
        ],
    )
}

// AC-2: workload identity federation and SPIFFE.
#[test]
fn an_agent_without_a_secret_is_what_its_platform_and_its_trust_domain_say() {
    let db = Furnished::new();
    let platforms = Platforms::furnish(&db);
    let serving = db.serve();
    let methods = serving.send("GET", "/.well-known/oauth-authorization-server", &[], "").json();
    let methods = methods["token_endpoint_auth_methods_supported"].as_array().unwrap().clone();
    assert!(methods.contains(&json!("spiffe_jwt")) && !methods.contains(&json!("workload_jwt")), "{methods:?}");
    let (cluster, issuer) = (&platforms.cluster, serving.issuer.as_str());
    for _ in 0..2 {
        let heard = platforms.word(&serving, cluster, ACCOUNT, issuer);
        assert_eq!(heard.status, 200, "{}", heard.body);
    }
    let stranger = Signer::new("one");
    for (signer, subject, audience, says) in [
        (cluster, "system:serviceaccount:agents:other", issuer, "is not one that this client is"),
        (cluster, ACCOUNT, "https://kubernetes.default.svc", "`aud` of the assertion is not this issuer alone"),
        (&stranger, ACCOUNT, issuer, "its signature does not verify"),
    ] {
        let heard = platforms.word(&serving, signer, subject, audience);
        assert_eq!((heard.status, heard.json()["error"].as_str()), (401, Some("invalid_client")), "{}", heard.body);
        assert!(heard.body.contains(says), "{}", heard.body);
    }
    let svid = |subject| platforms.svid(&serving, subject);
    assert_eq!([svid(WORKER), svid(WORKER), svid("spiffe://example.org/agents/other")], [200, 200, 401]);
    let asked: Vec<String> = platforms.stub.asked().iter().map(|asked| asked.path().to_owned()).collect();
    assert_eq!(asked, ["/openid/v1/jwks", "/bundle.json"], "once each");
    let registry = Registry { tenant: &serving.tenant, approvals: &NoApprovals };
    let used: Vec<bool> = registry.credentials("worker").unwrap().iter().map(|c| c.used_at.is_some()).collect();
    assert_eq!(used, [true, true], "when each was last used is noted");
}

#[test]
fn an_administrator_says_whose_word_about_workloads_is_taken() {
    let db = Furnished::new();
    let platforms = Platforms::furnish(&db);
    let admin = format!("{}/admin", db.issuer);
    let scopes = ["--scope", "workloads:read", "--scope", "workloads:write"];
    db.good(&[&["resource", "create", &admin, "--id", "admin"][..], &scopes].concat());
    let ops = ["client", "create", "--id", "ops", "--admin", "--grant-type", "client_credentials"];
    let ops = [&ops[..], &scopes, &["--resource", &admin, "--auth", "client_secret_post"]].concat();
    let secret = db.json(&ops)["client_secret"].as_str().unwrap().to_owned();
    let serving = db.serve();
    let token = serving.token("ops", &secret, "workloads:read workloads:write", "/admin");
    let reader = serving.token("ops", &secret, "workloads:read", "/admin");
    let at = "/admin/workload-issuers/spiffe%3A%2F%2Fexample.org";
    assert_eq!(platforms.svid(&serving, WORKER), 200);
    assert_eq!(serving.with(&reader, "DELETE", at, &Value::Null).status, 403);
    assert_eq!(serving.with(&token, "DELETE", at, &Value::Null).status, 200);
    assert_eq!(serving.with(&token, "DELETE", at, &Value::Null).status, 404);
    assert_eq!(platforms.svid(&serving, WORKER), 401, "from the next request on");
    let by_cluster = platforms.word(&serving, &platforms.cluster, ACCOUNT, &serving.issuer);
    assert_eq!(by_cluster.status, 200, "the platform is another matter");
    for (body, status) in [
        (json!({"keys": {"jwks_uri": platforms.bundle}, "life_max_s": 600}), 200),
        (json!({"keys": {"jwks_uri": "ftp://x/"}}), 400),
        (json!({"keys": {}}), 400),
    ] {
        assert_eq!(serving.with(&token, "PUT", at, &body).status, status, "{body}");
    }
    assert_eq!(platforms.svid(&serving, WORKER), 200);
    let listed = serving.with(&reader, "GET", "/admin/workload-issuers", &Value::Null).json();
    let reusable: Vec<&Value> =
        listed["workload_issuers"].as_array().unwrap().iter().map(|row| &row["reusable"]).collect();
    assert_eq!(reusable, [&json!(true), &json!(true)]);
}

#[test]
fn an_issuer_of_elsewhere_is_believed_by_the_keys_at_its_url() {
    const PRICES: &str = "https://pricing.example/api";
    const IDP: &str = "https://idp.example";
    let db = Furnished::new();
    let (stub, answers) = stub(&db.runtime);
    let signer = Signer::new("one");
    answers.lock().insert("/jwks".into(), (200, signer.jwks()));
    db.good(&["user", "create", "sarah@example.com", "--id", "sarah"]);
    db.good(&["resource", "create", PRICES, "--id", "prices", "--scope", "pricing:read"]);
    let bearer = "urn:ietf:params:oauth:grant-type:jwt-bearer";
    let create = ["client", "create", "--id", "sales", "--kind", "agent", "--grant-type", bearer];
    let what = ["--scope", "pricing:read", "--resource", PRICES, "--auth", "client_secret_post"];
    let secret = db.json(&[&create[..], &what].concat())["client_secret"].as_str().unwrap().to_owned();
    let keys = format!("{}/jwks", stub.origin);
    let put = ["trust", "put", IDP, "--jwks-uri", &keys, "--subject", "same", "--client", "sales"];
    db.good(&[&put[..], &["--scope", "pricing:read", "--resource", PRICES]].concat());
    let serving = db.serve();
    let now = env().seconds();
    let redeem = |signer: &Signer, jti: &str| {
        let claims = json!({
            "iss": IDP, "sub": "sarah", "aud": serving.issuer, "client_id": "sales", "jti": jti, "iat": now, "exp": now + 120,
            "scope": "pricing:read", "resource": PRICES,
        });
        let assertion = signer.sign("oauth-id-jag+jwt", &claims);
        let client = [("client_id", "sales"), ("client_secret", secret.as_str())];
        serving.post("/token", &[&[("grant_type", bearer), ("assertion", assertion.as_str())][..], &client].concat())
    };
    for jti in ["a", "b"] {
        let heard = redeem(&signer, jti);
        assert_eq!((heard.status, heard.json()["scope"].as_str()), (200, Some("pricing:read")), "{}", heard.body);
    }
    assert_eq!(redeem(&Signer::new("one"), "c").status, 400, "another key of the same name");
    assert_eq!(stub.asked().len(), 1);
}

/// What a request is told that names a client by the URL of its document.
fn told(serving: &Serving, path: &str, url: &str) -> (u16, String) {
    let heard = match path {
        "/authorize" => {
            let query = url::form_urlencoded::Serializer::new(String::new()).append_pair("client_id", url).finish();
            serving.send("GET", &format!("/authorize?response_type=code&{query}"), &[], "")
        }
        _ => serving.post(path, &[("client_id", url), ("grant_type", "client_credentials")]),
    };
    (heard.status, heard.body)
}

/// A code for Olga, and its tokens, for a client that names itself by its document.
fn by_its_document(serving: &Serving, document: &str) -> Heard {
    const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    let challenge = hash_of(VERIFIER);
    let pairs = [
        ("client_id", document),
        ("response_type", "code"),
        ("redirect_uri", "https://a.example/cb"),
        ("scope", "openid"),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
    ];
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    let heard = serving.send("GET", &format!("/authorize?{query}"), &[], "");
    let parameter = |to: &str, name: &str| {
        let to = url::Url::parse(to).unwrap();
        to.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    };
    let request = parameter(heard.header("location").unwrap(), "request").unwrap();
    let tenant = &serving.tenant;
    let authentication = Authentication { at: env().seconds(), acr: "aal1".into(), amr: vec!["pwd".into()] };
    let (_, cookie) = tenant.start_session("olga", authentication, Browser::default(), &env()).unwrap();
    let session = tenant.session_of_cookie(&cookie, &env()).unwrap().unwrap();
    let request = tenant.request(&request, &env()).unwrap();
    let to = tenant.complete(&request, &session, &Decided::Allowed { scopes: None }, &env()).unwrap();
    let code = parameter(&to, "code").unwrap();
    serving.post(
        "/token",
        &[
            ("grant_type", "authorization_code"),
            ("client_id", document),
            ("code", &code),
            ("code_verifier", VERIFIER),
            ("redirect_uri", "https://a.example/cb"),
        ],
    )
}

#[test]
fn an_agent_that_nobody_registered_is_a_draft_after_its_first_request() {
    let db = Furnished::new();
    let (stub, answers) = stub(&db.runtime);
    db.good(&["user", "create", "olga@example.com", "--id", "olga"]);
    db.good(&["team", "add", "sales-ops", "olga"]);
    let serving = db.serve();
    let drafts = || {
        let registry = Registry { tenant: &serving.tenant, approvals: &NoApprovals };
        registry.list(&Filter { stage: Some(Stage::Discovered), ..Filter::default() }, None, 100).unwrap().0
    };
    for (path, at) in [("/token", "/one.json"), ("/authorize", "/two.json"), ("/par", "/three.json")] {
        let url = format!("{}{at}", stub.origin);
        let document =
            json!({"client_id": url, "client_name": format!("Agent {at}"), "redirect_uris": ["https://a.example/cb"]});
        answers.lock().insert(at.into(), (200, document));
        let before = drafts().len();
        let (status, text) = told(&serving, path, &url);
        assert!(status == 401 && text.contains("known now as the draft"), "{path}: {status} {text}");
        assert_eq!(drafts().len(), before + 1);
        assert_eq!(stub.asked().iter().map(|asked| asked.path().to_owned()).collect::<Vec<_>>(), [at]);
        // It is known then, and asked for no more.
        assert!(told(&serving, path, &url).1.contains("known now as the draft"));
        assert_eq!((stub.asked().len(), drafts().len()), (0, before + 1));
    }
    let seen = drafts();
    let one = seen.iter().find(|agent| agent.record.profile.name == "Agent /one.json").unwrap();
    let Some(Origin::Document { document, .. }) = &one.record.origin else { panic!("{:?}", one.record.origin) };
    assert_eq!(*document, format!("{}/one.json", stub.origin));
    assert_eq!(serving.events().iter().filter(|event| event.kind() == EventKind::FindingRaised).count(), 3);
    // Who is adopted is a client by the name that it gives itself, once it may act.
    let registry = Registry { tenant: &serving.tenant, approvals: &NoApprovals };
    let profile = Profile {
        name: "One".into(),
        purpose: "Writes proposals".into(),
        owner: Some("team:sales-ops".into()),
        accountable: Some("user:olga".into()),
        ..Profile::default()
    };
    registry.adopt(By::Machine, &one.record.id, &profile, &env()).unwrap();
    assert_eq!(told(&serving, "/token", document).0, 401);
    registry.activate(By::Machine, &one.record.id, &env()).unwrap();
    let wanted =
        Client { scopes: vec!["openid".into()], ..serving.tenant.client(&one.record.id).unwrap().value.clone() };
    serving.tenant.change_client(&serving.tenant.client(&one.record.id).unwrap(), &wanted, &env()).unwrap();
    let token = by_its_document(&serving, document);
    assert_eq!(token.status, 200, "{}", token.body);
    let claim = |name| unverified_claim(token.json()["id_token"].as_str().unwrap(), name);
    assert_eq!((claim("aud").as_ref(), claim("sub").as_deref()), (Some(document), Some("olga")));
}

#[test]
fn what_is_no_document_makes_no_draft_and_nothing_is_told_of_why() {
    let db = Furnished::new();
    let (stub, answers) = stub(&db.runtime);
    let serving = db.serve();
    let at = |path: &str| format!("{}{path}", stub.origin);
    let document = |path: &str| json!({"client_id": at(path), "client_name": "x"});
    answers.lock().insert("/moved".into(), (302, document("/moved")));
    answers.lock().insert("/fails".into(), (500, document("/fails")));
    answers.lock().insert("/created".into(), (201, document("/created")));
    answers.lock().insert("/other".into(), (200, document("/another")));
    answers.lock().insert("/secret".into(), (200, json!({"client_id": at("/secret"), "client_secret": "x"})));
    answers.lock().insert("/large".into(), (200, json!({"client_id": at("/large"), "x": "x".repeat(6_000)})));
    for path in ["/moved", "/fails", "/created", "/none", "/large"] {
        let (status, text) = told(&serving, "/token", &at(path));
        assert!(status == 401 && text.contains("cannot be had"), "{path}: {status} {text}");
        // Errors are not kept.
        told(&serving, "/token", &at(path));
        assert_eq!(stub.asked().len(), 2, "{path}");
    }
    for (path, says) in [("/other", "is not the URL where it is"), ("/secret", "has a secret")] {
        let (status, text) = told(&serving, "/token", &at(path));
        assert!(status == 401 && text.contains(says), "{path}: {status} {text}");
    }
    // Where it may not be connected to, and where nothing answers, look alike.
    for url in ["https://10.1.2.3/a.json", "https://169.254.169.254/a.json", "http://127.0.0.1:1/a.json"] {
        let (status, text) = told(&serving, "/token", url);
        assert!(status == 401 && text.contains("cannot be had") && !text.contains("address"), "{url}: {status} {text}");
    }
    for (url, says) in [("http://a.example/a.json", "is not `https`"), ("https://a.example/", "has no path")] {
        assert!(told(&serving, "/token", url).1.contains(says), "{url}");
    }
    let registry = Registry { tenant: &serving.tenant, approvals: &NoApprovals };
    assert!(registry.list(&Filter::default(), None, 100).unwrap().0.is_empty());
}

/// A stranger cannot make us ask and write without end, whichever endpoint it names a document at.
#[test]
fn strangers_are_counted_wherever_they_come() {
    let serving = Furnished::new().serve();
    let url = "http://a.example/a.json"; // refused before anybody is asked
    for n in 0..STRANGERS_OF_ADDRESS.burst {
        let (status, text) = told(&serving, "/token", url);
        assert!(status == 401 && text.contains("is not `https`"), "{n}: {status} {text}");
    }
    for path in ["/token", "/par", "/introspect", "/revoke", "/authorize"] {
        let (status, text) = told(&serving, path, url);
        assert!(status == 429 && text.contains("clients that nobody knows"), "{path}: {status} {text}");
    }
    // A client that is unknown and names no document is what it was.
    assert_eq!(told(&serving, "/token", "nobody").0, 401);
}

/// Servers of one tenant's strangers that say nothing hold its share of the places, and none of another tenant's.
#[test]
fn a_tenants_documents_that_say_nothing_take_no_others_places() {
    let db = Furnished::new();
    let other = db.issuer.replace("/t/main", "/t/other");
    db.good(&["tenant", "create", "other", "--issuer", &other]);
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let origin = format!("http://localhost:{}", silent.local_addr().unwrap().port());
    let serving = &db.serve();
    std::thread::scope(|scope| {
        let urls = ["/1.json", "/2.json"].map(|path| format!("{origin}{path}"));
        let held = urls.map(|url| scope.spawn(move || told(serving, "/token", &url)));
        let silence = held.each_ref().map(|_| silent.accept().unwrap());
        let (status, text) = told(serving, "/token", "https://10.1.2.3/a.json");
        assert!(status == 503 && text.contains("at this moment"), "the tenant has its share: {status} {text}");
        let form = [("content-type", "application/x-www-form-urlencoded")];
        let body = "grant_type=client_credentials&client_id=https%3A%2F%2F10.1.2.3%2Fa.json";
        let heard = send(serving.address, &serving.address.to_string(), "POST", "/t/other/token", &form, body);
        assert!(heard.status == 401 && heard.body.contains("cannot be had"), "{} {}", heard.status, heard.body);
        drop(silence);
        for one in held {
            assert!(one.join().unwrap().1.contains("cannot be had"));
        }
    });
}

#[test]
fn nothing_on_this_machine_is_asked_unless_a_setting_says_so() {
    let issuing = Issuing::start_with(|settings| settings.outgoing.loopback = false);
    let (stub, answers) = stub(&issuing.runtime);
    let url = format!("{}/a.json", stub.origin);
    answers.lock().insert("/a.json".into(), (200, json!({"client_id": url, "client_name": "x"})));
    let heard = issuing.post("/t/acme/token", &[], &[("client_id", &url), ("grant_type", "client_credentials")]);
    assert!(heard.status == 401 && heard.body.contains("cannot be had"), "{} {}", heard.status, heard.body);
    assert!(stub.asked().is_empty());
}
