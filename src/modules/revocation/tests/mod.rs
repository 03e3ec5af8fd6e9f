//! Revocations without a server: a tenant with people of two providers, which are tenants of the same database, and dice and a
//! clock that the test moves.

mod receive;
mod signals;
mod subject;
mod tell;

use super::*;
use crate::engine::{Engine, Settings};
use crate::identity::{
    AUDIT, Answer, Authentication, Browser, Caller, Client, ClientKind, CodeGrant, CredentialKind, Decided, Env, Event,
    EventKind, Form, GrantType as _, Identity, RefreshGrant, Tenant, TenantSettings, TokenAnswer, TokenKind,
    UpstreamIdentity, audit_key, hash_of,
};
use crate::secrets::KeyRing;
use crate::tuple::Timestamp;
use serde_json::{Value, json};
use std::cell::Cell;
use std::sync::Arc;

pub(super) const START: i64 = 1_800_000_000;
pub(super) const IDP: &str = "https://idp.example";
pub(super) const OTHER: &str = "https://other.example";
pub(super) const APP: &str = "https://app.example/acme";
pub(super) const ENDPOINT: &str = "https://app.example/acme/global-token-revocation";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CALLBACK: &str = "https://crm.example/cb";

/// Dice that never fall twice alike.
fn dice(bytes: &mut [u8]) {
    thread_local!(static THROWN: Cell<u64> = const { Cell::new(0) });
    for chunk in bytes.chunks_mut(32) {
        THROWN.set(THROWN.get() + 1);
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &THROWN.get().to_be_bytes());
        chunk.copy_from_slice(&digest.as_ref()[..chunk.len()]);
    }
}

pub(super) fn env(now: i64) -> Env<'static> {
    Env { address: Some("192.0.2.7"), ..Env::new(Timestamp((START + now) * 1_000_000_000), &dice) }
}

pub(super) struct World {
    pub(super) app: Tenant,
    pub(super) idp: Tenant,
    pub(super) other: Tenant,
    _directory: tempfile::TempDir,
}

fn profile(email: &str, verified: bool) -> serde_json::Map<String, Value> {
    json!({"email": email, "email_verified": verified}).as_object().unwrap().clone()
}

impl World {
    /// Sarah is of the first provider, Bob of the other, Olga of none; Eve says that Sarah's second address is hers.
    pub(super) fn new() -> World {
        let directory = tempfile::tempdir().unwrap();
        let engine = Engine::open_with(directory.path(), Settings { sync: false, ..Settings::default() }).unwrap();
        let ring = KeyRing::head() + &KeyRing::key_line("a", 1, b"a key of thirty-two bytes, or so").unwrap();
        let identity = Identity::open(engine, KeyRing::parse(&ring, &[]).unwrap(), &env(0)).unwrap();
        let tenant = |name: &str, issuer: &str| {
            identity.create_tenant(name, issuer, &TenantSettings::default(), &env(0)).unwrap()
        };
        let (idp, other, app) = (tenant("idp", IDP), tenant("other", OTHER), tenant("app", APP));
        for (id, verified) in [("sarah", true), ("bob", true), ("olga", true), ("eve", false)] {
            let email = format!("{id}@example.com");
            app.create_user(Some(id), &[&email], profile(&email, verified), &env(0)).unwrap();
        }
        for (user, issuer, subject) in [("sarah", IDP, "s-1"), ("bob", OTHER, "b-1")] {
            let identity = UpstreamIdentity { issuer: issuer.into(), subject: subject.into(), provider: None };
            let data = serde_json::to_vec(&identity).unwrap();
            app.add_credential(user, CredentialKind::Upstream, issuer, &data, &env(0)).unwrap();
        }
        let client = Client {
            redirect_uris: vec![CALLBACK.into()],
            grant_types: vec!["authorization_code".into(), "refresh_token".into()],
            scopes: vec!["openid".into(), "offline_access".into()],
            ..Client::new("crm", ClientKind::App, "CRM")
        };
        app.create_client(&client, &env(0)).unwrap();
        World { app, idp, other, _directory: directory }
    }

    /// A code that the person's browser brings, and the cookie of the session in which it was given.
    pub(super) fn code(&self, user: &str) -> (String, String) {
        let challenge = hash_of(VERIFIER);
        let request = form(&[
            ("client_id", "crm"),
            ("response_type", "code"),
            ("redirect_uri", CALLBACK),
            ("scope", "openid offline_access"),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ]);
        let request = self.app.request(&self.app.take_request(&request, &env(0)).unwrap(), &env(0)).unwrap();
        let authentication = Authentication { at: START as u64, acr: "aal1".into(), amr: vec![] };
        let (_, cookie) = self.app.start_session(user, authentication, Browser::default(), &env(0)).unwrap();
        let session = self.app.session_of_cookie(&cookie, &env(0)).unwrap().unwrap();
        let to = self.app.complete(&request, &session, &Decided::Allowed { scopes: None }, &env(0)).unwrap();
        let to = url::Url::parse(&to).unwrap();
        (to.query_pairs().find(|(name, _)| name == "code").unwrap().1.into_owned(), cookie)
    }

    fn caller(&self) -> Caller {
        let client = self.app.client("crm").unwrap();
        Caller { method: client.auth_methods[0], client, jkt: None }
    }

    pub(super) fn redeem(&self, code: &str) -> Answer<TokenAnswer> {
        let redeem = form(&[("code", code), ("code_verifier", VERIFIER), ("redirect_uri", CALLBACK)]);
        CodeGrant.redeem(&self.app, &self.caller(), &redeem, &env(0))
    }

    pub(super) fn refresh(&self, token: &str) -> Answer<TokenAnswer> {
        RefreshGrant.redeem(&self.app, &self.caller(), &form(&[("refresh_token", token)]), &env(0))
    }

    pub(super) fn tokens(&self, user: &str) -> TokenAnswer {
        self.redeem(&self.code(user).0).unwrap()
    }

    pub(super) fn lives(&self, tokens: &TokenAnswer) -> bool {
        self.app.examine(&tokens.access_token, TokenKind::Access, None, &env(0)).is_ok()
    }

    pub(super) fn events(&self, kind: EventKind) -> Vec<Event> {
        let records = self.app.engine().records(AUDIT);
        let found = records.scan(&audit_key(self.app.number(), b'e'), None, 1_000).unwrap();
        let all = found.iter().map(|(_, bytes)| Event::read(bytes).unwrap());
        all.filter(|event| event.kind() == kind).collect()
    }
}

fn form(pairs: &[(&str, &str)]) -> Form {
    Form::parse(&url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()).unwrap()
}

/// What of the providers is trusted.
pub(super) struct Providers<'a> {
    pub(super) world: &'a World,
    pub(super) clients: Vec<String>,
    pub(super) names: Vec<Naming>,
}

impl Issuers for Providers<'_> {
    fn trusted(&self, _: &Tenant, issuer: &str) -> Answer<Option<Trusted>> {
        let (clients, names) = (self.clients.clone(), self.names.clone());
        let known = [IDP, OTHER].contains(&issuer);
        Ok(known.then(|| Trusted { issuer: issuer.into(), clients, names, keys: Keys::Here }))
    }

    fn keys(&self, _: &Tenant, trusted: &Trusted, _: bool, env: &Env<'_>) -> Answer<Arc<Value>> {
        let of = if trusted.issuer == IDP { &self.world.idp } else { &self.world.other };
        Ok(Arc::new(of.jwks(env)?))
    }
}
