//! The rules of identity, without a server: a database in a directory of its own, a clock and dice that the test moves.

mod certificates;
mod chains;
mod clients;
mod dpop;
mod flows;
mod kill;
mod logout;
mod custom;
mod details;
mod rates;
mod registration;
mod roles;
mod system;
mod tenants;
mod workload;

use super::*;
use crate::engine::{Engine, Settings};
use crate::secrets::KeyRing;
use crate::tuple::Timestamp;
use serde_json::{Map, Value, json};
use std::sync::atomic::{AtomicU64, Ordering};

pub(super) const START: u64 = 1_800_000_000;
pub(super) const API: &str = "https://api.example/";
pub(super) const CALLBACK: &str = "https://app.example/cb";
pub(super) const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

/// A database with a tenant, a resource, a user, an application and an agent.
pub(super) struct World {
    pub(super) tenant: Tenant,
    pub(super) identity: Identity,
    pub(super) now: u64,
    random: Box<dyn Fn(&mut [u8]) + Sync>,
    _directory: tempfile::TempDir,
}

/// Dice that fall the same way each time, and never twice alike.
fn dice() -> Box<dyn Fn(&mut [u8]) + Sync> {
    let thrown = AtomicU64::new(0);
    Box::new(move |bytes| {
        for chunk in bytes.chunks_mut(32) {
            let n = thrown.fetch_add(1, Ordering::Relaxed);
            let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &n.to_be_bytes());
            chunk.copy_from_slice(&digest.as_ref()[..chunk.len()]);
        }
    })
}

pub(super) fn ring() -> KeyRing {
    KeyRing::parse(&(KeyRing::head() + &KeyRing::key_line("a", 1, b"a key of thirty-two bytes, or so").unwrap()), &[])
        .unwrap()
}

impl World {
    pub(super) fn new() -> World {
        let directory = tempfile::tempdir().unwrap();
        let engine = Engine::open_with(directory.path(), Settings { sync: false, ..Settings::default() }).unwrap();
        let random = dice();
        let env = Env { trace: Some("trace-1"), address: Some("192.0.2.1"), ..Env::new(at(START), &*random) };
        let identity = Identity::open(engine, ring(), &env).unwrap();
        identity.set_detail_types(std::sync::Arc::new(details::Payments));
        let issuer = "https://id.example/acme";
        let tenant = identity.create_tenant("acme", issuer, &TenantSettings::default(), &env).unwrap();
        let world = World { tenant, identity, now: START, random, _directory: directory };
        world.furnish();
        world
    }

    fn furnish(&self) {
        let (tenant, env) = (&self.tenant, &self.env());
        let scope = |name: &str, checked| Scope { name: name.into(), description: format!("{name} things"), checked };
        let resource = Resource {
            id: "api".into(),
            identifier: API.into(),
            name: "The API".into(),
            scopes: vec![scope("read", false), scope("write", false), scope("discounts", true)],
            created_at: START,
        };
        tenant.put_resource(&resource, env).unwrap();
        let profile = json!({"name": "Sarah Chen", "email": "sarah@example.com"});
        tenant.create_user(Some("sarah"), &["sarah@example.com"], profile.as_object().unwrap().clone(), env).unwrap();
        for client in [app("crm"), agent("sales")] {
            tenant.create_client(&client, env).unwrap();
        }
    }

    pub(super) fn env(&self) -> Env<'_> {
        Env { trace: Some("trace-1"), address: Some("192.0.2.1"), ..Env::new(at(self.now), &*self.random) }
    }

    /// A client that has shown who it is.
    pub(super) fn caller(&self, id: &str) -> Caller {
        let client = self.tenant.client(id).unwrap();
        let method = client.auth_methods[0];
        Caller { client, method, jkt: None }
    }

    pub(super) fn sign_in(&self, user: &str) -> Held<Session> {
        self.sign_in_as(user, "aal1")
    }

    pub(super) fn sign_in_as(&self, user: &str, acr: &str) -> Held<Session> {
        let authentication = Authentication { at: self.now, acr: acr.into(), amr: vec!["pwd".into()] };
        let browser = Browser { name: "a browser" };
        let (_, cookie) = self.tenant.start_session(user, authentication, browser, &self.env()).unwrap();
        self.tenant.session_of_cookie(&cookie, &self.env()).unwrap().unwrap()
    }

    /// A request at the login pages.
    pub(super) fn ask(&self, client: &str, more: &[(&str, &str)]) -> Held<AuthRequest> {
        let id = self.tenant.take_request(&request(client, more), &self.env()).unwrap();
        self.tenant.request(&id, &self.env()).unwrap()
    }

    /// Signs a user in, who allows all, and answers the code.
    pub(super) fn code(&self, client: &str, user: &str, more: &[(&str, &str)]) -> String {
        let request = self.ask(client, more);
        let session = self.sign_in(user);
        let decided = Decided::Allowed { scopes: None };
        let to = self.tenant.complete(&request, &session, &decided, &self.env()).unwrap();
        parameter(&to, "code").unwrap()
    }

    pub(super) fn redeem(&self, client: &str, code: &str) -> Answer<TokenAnswer> {
        let form = form(&[("code", code), ("code_verifier", VERIFIER), ("redirect_uri", CALLBACK)]);
        CodeGrant.redeem(&self.tenant, &self.caller(client), &form, &self.env())
    }

    pub(super) fn refresh(&self, client: &str, token: &str) -> Answer<TokenAnswer> {
        let form = form(&[("refresh_token", token)]);
        RefreshGrant.redeem(&self.tenant, &self.caller(client), &form, &self.env())
    }

    /// Tokens of a user for a client, by the code flow.
    pub(super) fn tokens(&self, client: &str, user: &str, scope: &str) -> TokenAnswer {
        let code = self.code(client, user, &[("scope", scope)]);
        self.redeem(client, &code).unwrap_or_else(|refusal| panic!("{refusal}"))
    }

    pub(super) fn examine(&self, token: &str) -> Answer<Examined> {
        self.tenant.examine(token, TokenKind::Access, None, &self.env())
    }

    /// The kinds of the events since the beginning, with their reasons.
    pub(super) fn events(&self) -> Vec<Event> {
        let records = self.tenant.engine().records(AUDIT);
        let start = audit_key(self.tenant.number(), b'e');
        let read = |(_, bytes): &(Vec<u8>, Vec<u8>)| Event::read(bytes).unwrap();
        records.scan(&start, None, 1_000).unwrap().iter().map(read).collect()
    }
}

pub(super) fn at(seconds: u64) -> Timestamp {
    Timestamp(i64::try_from(seconds).unwrap() * 1_000_000_000)
}

pub(super) fn strings(list: &[&str]) -> Vec<String> {
    list.iter().map(|text| (*text).to_owned()).collect()
}

fn client(id: &str, kind: ClientKind) -> Client {
    Client {
        redirect_uris: strings(&[CALLBACK, "http://127.0.0.1/cb"]),
        grant_types: strings(&["authorization_code", "refresh_token", "client_credentials"]),
        scopes: strings(&["openid", "profile", "email", "offline_access", "read", "write", "discounts"]),
        resources: strings(&[API]),
        details_types: strings(&["payment"]),
        ..Client::new(id, kind, id)
    }
}

pub(super) fn app(id: &str) -> Client {
    client(id, ClientKind::App)
}

pub(super) fn agent(id: &str) -> Client {
    client(id, ClientKind::Agent)
}

pub(super) fn form(pairs: &[(&str, &str)]) -> Form {
    let text = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    Form::parse(&text).unwrap()
}

/// A request that is good, with other or more parameters; an empty one is left out.
pub(super) fn request(client: &str, more: &[(&str, &str)]) -> Form {
    let challenge = hash_of(VERIFIER);
    let mut pairs = vec![
        ("client_id", client),
        ("response_type", "code"),
        ("redirect_uri", CALLBACK),
        ("scope", "openid profile read"),
        ("state", "the state"),
        ("nonce", "n-1"),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
    ];
    for (name, value) in more {
        pairs.retain(|(known, _)| known != name);
        pairs.push((name, value));
    }
    form(&pairs)
}

pub(super) fn parameter(url: &str, name: &str) -> Option<String> {
    let url = url::Url::parse(url).unwrap();
    url.query_pairs().find(|(known, _)| known == name).map(|(_, value)| value.into_owned())
}

/// The claims of a token, unverified.
pub(super) fn claims(token: &str) -> Map<String, Value> {
    serde_json::from_slice(&decode(token.split('.').nth(1).unwrap()).unwrap()).unwrap()
}

/// The rule that refused.
#[track_caller]
pub(super) fn rule<T>(answer: Answer<T>) -> &'static str {
    match answer {
        Ok(_) => panic!("it was not refused"),
        Err(refusal) => refusal.rule,
    }
}
