//! kill -9 while tokens are issued: there is no token that the database does not know. Whoever was given one before the end
//! can use it after, and the log has it.

use crate::elsewhere::Furnished;
use crate::identity::env;
use crate::vault_crash::{ask, serve};
use bailiwick::Bailiwick;
use bailiwick::engine::Settings;
use bailiwick::identity::{
    AuthMethod, Authentication, Browser, Caller, Client, ClientKind, CodeGrant, ConsentRule, Decided, EventKind, Form,
    GrantType as _, Identity, Tenant, TenantSettings, TokenAnswer, TokenKind, hash_of, unverified_claim,
};
use bailiwick::modules::exchange::{Connection, ScopeClass, TOKEN_EXCHANGE, Target, allow, classify, put_connection};
use bailiwick::secrets::KeyRing;
use serde_json::{Map, Value};
use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// How often the process is killed, and how many tokens it has given since it was started: of each kind, and in all.
const KILLS: usize = 3;
const ISSUED: usize = 40;
const ISSUED_OF_KIND: usize = 3;
/// Codes that wait to be redeemed: more than are redeemed before the last end.
const CODES: usize = 60;
const PATIENCE: Duration = Duration::from_secs(60);
const API: &str = "https://api.example/";
const CALLBACK: &str = "https://sales.example/cb";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const KINDS: [&str; 4] = ["client credentials", "authorization code", "refresh", "token exchange"];

/// What callers of each kind begin with.
struct Prepared {
    worker: String,
    sales: String,
    codes: Mutex<Vec<String>>,
    /// One of a grant of its own for each process: whoever was cut off shows none twice.
    refresh: Mutex<Vec<String>>,
    subject: String,
}

fn form(pairs: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

/// A code for Sarah, who has signed in.
fn code(tenant: &Tenant) -> String {
    let env = env();
    let asked = form(&[
        ("client_id", "sales"),
        ("response_type", "code"),
        ("redirect_uri", CALLBACK),
        ("scope", "read offline_access"),
        ("resource", API),
        ("code_challenge", &hash_of(VERIFIER)),
        ("code_challenge_method", "S256"),
    ]);
    let id = tenant.take_request(&Form::parse(&asked).unwrap(), &env).unwrap_or_else(|r| panic!("{:?}", r.refusal()));
    let request = tenant.request(&id, &env).unwrap();
    let authentication = Authentication { at: env.seconds(), acr: "aal1".into(), amr: vec!["pwd".into()] };
    let (_, cookie) = tenant.start_session("sarah", authentication, Browser::default(), &env).unwrap();
    let session = tenant.session_of_cookie(&cookie, &env).unwrap().unwrap();
    let to = url::Url::parse(&tenant.complete(&request, &session, &Decided::NotAsked, &env).unwrap()).unwrap();
    to.query_pairs().find(|(name, _)| name == "code").unwrap().1.into_owned()
}

fn redeemed(tenant: &Tenant, code: &str) -> TokenAnswer {
    let client = tenant.client("sales").unwrap();
    let caller = Caller { method: client.auth_methods[0], client, jkt: None };
    let form = form(&[("code", code), ("code_verifier", VERIFIER), ("redirect_uri", CALLBACK)]);
    CodeGrant.redeem(tenant, &caller, &Form::parse(&form).unwrap(), &env()).unwrap()
}

fn furnish(db: &Furnished) -> Prepared {
    db.good(&["resource", "create", API, "--id", "api", "--scope", "read"]);
    let create = ["client", "create", "--id", "worker", "--kind", "agent", "--auth", "client_secret_post"];
    let what = ["--grant-type", "client_credentials", "--scope", "read", "--resource", API];
    let worker = db.json(&[&create[..], &what].concat())["client_secret"].as_str().unwrap().to_owned();
    let data = db.directory.path().join("bailiwick-data");
    let engine = Bailiwick::open_with(data, Settings { sync: false, ..Settings::default() }).unwrap();
    let ring = std::fs::read_to_string(db.directory.path().join("bailiwick.keys")).unwrap();
    let identity = Identity::open(engine, KeyRing::parse(&ring, &[]).unwrap(), &env()).unwrap();
    let tenant = identity.named("main").unwrap();
    let tenant = &tenant.change_settings(TenantSettings { code_s: 600, ..TenantSettings::default() }, &env()).unwrap();
    tenant.create_user(Some("sarah"), &["sarah@example.com"], Map::new(), &env()).unwrap();
    let strings = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let sales = Client {
        auth_methods: vec![AuthMethod::ClientSecretPost],
        redirect_uris: strings(&[CALLBACK]),
        grant_types: strings(&["authorization_code", "refresh_token", TOKEN_EXCHANGE]),
        scopes: strings(&["read", "offline_access"]),
        resources: strings(&[API]),
        consent: ConsentRule::Managed,
        ..Client::new("sales", ClientKind::Agent, "The sales agent")
    };
    tenant.create_client(&sales, &env()).unwrap();
    let sales = tenant.add_secret("sales", None, &env()).unwrap().1;
    let target = Target::Resource { resource: API.into() };
    let connection = Connection { id: "api".into(), name: "API".into(), target, created_at: 0 };
    put_connection(tenant, &connection, &env()).unwrap();
    allow(tenant, "api", "agent:sales", true, &env()).unwrap();
    classify(tenant, ("api", "read"), "agent:sales", Some(ScopeClass::Automatic), &env()).unwrap();
    let subject = redeemed(tenant, &code(tenant)).access_token;
    let refresh = (0..KILLS).map(|_| redeemed(tenant, &code(tenant)).refresh_token.unwrap()).collect();
    let codes = (0..CODES).map(|_| code(tenant)).collect();
    Prepared { worker, sales, codes: Mutex::new(codes), refresh: Mutex::new(refresh), subject }
}

impl Prepared {
    /// Asks for tokens of one kind until the process is gone, or there is nothing to ask with.
    fn ask_for(&self, kind: usize, at: SocketAddr, issuer: &str, given: &Mutex<Vec<(usize, String)>>) {
        let head = "POST /token HTTP/1.1\r\ncontent-type: application/x-www-form-urlencoded";
        let mut refresh = if kind == 2 { self.refresh.lock().unwrap().pop() } else { None };
        loop {
            let code = if kind == 1 { self.codes.lock().unwrap().pop() } else { None };
            let sales = [("client_id", "sales"), ("client_secret", &self.sales)];
            let form = match (kind, &code, &refresh) {
                (0, ..) => form(&[
                    ("grant_type", "client_credentials"),
                    ("client_id", "worker"),
                    ("client_secret", &self.worker),
                    ("scope", "read"),
                    ("resource", API),
                ]),
                (1, Some(code), _) => {
                    let what = [("code", code.as_str()), ("code_verifier", VERIFIER), ("redirect_uri", CALLBACK)];
                    form(&[&sales[..], &what, &[("grant_type", "authorization_code")]].concat())
                }
                (2, _, Some(token)) => {
                    let what = [("grant_type", "refresh_token"), ("refresh_token", token.as_str())];
                    form(&[&sales[..], &what].concat())
                }
                (3, ..) => {
                    let what = [
                        ("grant_type", TOKEN_EXCHANGE),
                        ("subject_token", self.subject.as_str()),
                        ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
                        ("resource", API),
                        ("scope", "read"),
                    ];
                    form(&[&sales[..], &what].concat())
                }
                _ => return,
            };
            let Ok(answer) = ask(at, issuer, head, &form) else { return };
            // Cut off in the middle it is none.
            let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
            let Ok(answer) = serde_json::from_str::<Value>(body) else { return };
            refresh = answer["refresh_token"].as_str().map(str::to_owned);
            given.lock().unwrap().push((kind, answer["access_token"].as_str().unwrap().to_owned()));
        }
    }
}

#[test]
fn whoever_was_given_a_token_before_the_end_can_use_it_after() {
    let db = Furnished::new();
    let prepared = furnish(&db);
    let given: Mutex<Vec<(usize, String)>> = Mutex::default();
    let enough = |kill: usize| {
        let given = given.lock().unwrap();
        let of = |kind| given.iter().filter(|(of, _)| *of == kind).count();
        given.len() >= kill * ISSUED && (0..KINDS.len()).all(|kind| of(kind) >= kill * ISSUED_OF_KIND)
    };
    for kill in 1..=KILLS {
        let (mut child, at) = serve(&db);
        std::thread::scope(|scope| {
            for kind in 0..KINDS.len() {
                let (prepared, given, issuer) = (&prepared, &given, &db.issuer);
                scope.spawn(move || prepared.ask_for(kind, at, issuer, given));
            }
            let begun = Instant::now();
            while !enough(kill) {
                assert!(begun.elapsed() < PATIENCE, "tokens are not issued");
                std::thread::yield_now();
            }
            child.kill().unwrap();
            child.wait().unwrap();
        });
    }

    let serving = db.serve();
    let issued = serving.events().into_iter().filter(|event| event.kind() == EventKind::TokenIssued);
    let issued: HashSet<String> = issued.filter_map(|event| event.get_token().map(str::to_owned)).collect();
    for (kind, token) in &given.into_inner().unwrap() {
        let (kind, jti) = (KINDS[*kind], unverified_claim(token, "jti").unwrap());
        let examined = serving.tenant.examine(token, TokenKind::Access, Some(API), &env());
        assert!(examined.is_ok(), "{kind}: {examined:?}");
        assert!(issued.contains(&jti), "{kind}: the log does not have it");
    }
}
