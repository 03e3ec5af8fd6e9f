//! The rules of exchange, without a server: two tenants of one database, a clock and dice that the test moves.

mod idjag;
mod kill;
mod local;
mod onward;
mod redeem;
mod rows;
mod wider;

use super::JWT_BEARER; // there is another, of client assertions
use super::*;
use crate::engine::{Engine, Module, Settings};
use crate::identity::*;
use crate::secrets::KeyRing;
use crate::tuple::Timestamp;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub(super) const START: u64 = 1_800_000_000;
pub(super) const API: &str = "https://api.example/";
pub(super) const CRM: &str = "https://crm.example/";
pub(super) const IDP: &str = "https://id.example/acme";
/// The other domain's authorization server, and what it is for.
pub(super) const RAS: &str = "https://pricing.example";
pub(super) const PRICES: &str = "https://pricing.example/api";
const CALLBACK: &str = "https://app.example/cb";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

/// A database with two tenants: `idp`, where people sign in, and `ras`, which trusts it.
pub(super) struct World {
    pub(super) idp: Tenant,
    pub(super) ras: Tenant,
    pub(super) now: u64,
    random: Box<dyn Fn(&mut [u8]) + Sync>,
    _directory: tempfile::TempDir,
}

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

impl World {
    pub(super) fn new() -> World {
        let directory = tempfile::tempdir().unwrap();
        let engine = Engine::open_with(directory.path(), Settings { sync: false, ..Settings::default() }).unwrap();
        let random = dice();
        let env = Env { trace: Some("trace-1"), address: Some("192.0.2.1"), ..Env::new(at(START), &*random) };
        let ring = KeyRing::head() + &KeyRing::key_line("a", 1, b"a key of thirty-two bytes, or so").unwrap();
        let identity = Identity::open(engine, KeyRing::parse(&ring, &[]).unwrap(), &env).unwrap();
        identity.set_detail_types(Arc::new(Payments));
        let tenant = |name, issuer| identity.create_tenant(name, issuer, &TenantSettings::default(), &env).unwrap();
        let (idp, ras) = (tenant("acme", IDP), tenant("pricing", RAS));
        let world = World { idp, ras, now: START, random, _directory: directory };
        world.furnish();
        world
    }

    fn furnish(&self) {
        let (idp, ras, env) = (&self.idp, &self.ras, &self.env());
        idp.put_resource(&resource("api", API, &["read", "write", "delete"]), env).unwrap();
        idp.put_resource(&resource("crm-api", CRM, &["contacts:read", "contacts:write"]), env).unwrap();
        ras.put_resource(&resource("prices", PRICES, &["pricing:read", "pricing:write"]), env).unwrap();
        let profile =
            json!({"name": "Sarah Chen", "email": "Sarah@example.com", "email_verified": true, "there": "s-1"});
        let profile = profile.as_object().unwrap().clone();
        idp.create_user(Some("sarah"), &["sarah@example.com"], profile.clone(), env).unwrap();
        ras.create_user(Some("sarah"), &["sarah@example.com"], profile, env).unwrap();
        for (id, kind) in [
            ("web", ClientKind::App),
            ("sales", ClientKind::Agent),
            ("planner", ClientKind::Agent),
            ("writer", ClientKind::Agent),
        ] {
            idp.create_client(&client(id, kind), env).unwrap();
        }
        let there = Client {
            grant_types: strings(&[JWT_BEARER]),
            scopes: strings(&["pricing:read", "pricing:write"]),
            resources: strings(&[PRICES]),
            ..client("sales-there", ClientKind::Agent)
        };
        ras.create_client(&there, env).unwrap();
        for (id, resource) in [("api", API), ("crm", CRM)] {
            let target = Target::Resource { resource: resource.into() };
            put_connection(idp, &connection(id, target), env).unwrap();
            allow(idp, id, "agent:*", true, env).unwrap();
        }
        put_connection(idp, &connection("pricing", Target::Server(server())), env).unwrap();
        allow(idp, "pricing", "agent:sales", true, env).unwrap();
        let class = |id, scope, class| classify(idp, (id, scope), "agent:*", Some(class), env).unwrap();
        class("api", "read", ScopeClass::Automatic);
        class("api", "write", ScopeClass::NeedsApproval);
        class("api", "delete", ScopeClass::Never);
        class("crm", "contacts:read", ScopeClass::Automatic);
        class("crm", "contacts:write", ScopeClass::Automatic);
        class("pricing", "sales.read", ScopeClass::Automatic);
        class("pricing", "sales.write", ScopeClass::NeedsApproval);
        class("pricing", "sales.admin", ScopeClass::Never);
        trust(ras, &row(), env).unwrap();
    }

    pub(super) fn env(&self) -> Env<'_> {
        Env { trace: Some("trace-1"), address: Some("192.0.2.1"), ..Env::new(at(self.now), &*self.random) }
    }

    /// A client that has shown who it is.
    pub(super) fn caller(&self, tenant: &Tenant, id: &str) -> Caller {
        let client = tenant.client(id).unwrap();
        let method = client.auth_methods[0];
        Caller { client, method, jkt: None }
    }

    /// Tokens of Sarah for a client, by the code flow.
    pub(super) fn tokens(&self, id: &str, scope: &str) -> TokenAnswer {
        self.tokens_of(&self.caller(&self.idp, id), scope, &[API, CRM])
    }

    pub(super) fn tokens_of(&self, caller: &Caller, scope: &str, resources: &[&str]) -> TokenAnswer {
        let (idp, env) = (&self.idp, self.env());
        let challenge = hash_of(VERIFIER);
        let mut pairs = vec![
            ("client_id", caller.client.id.as_str()),
            ("response_type", "code"),
            ("redirect_uri", CALLBACK),
            ("scope", scope),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ];
        pairs.extend(resources.iter().map(|resource| ("resource", *resource)));
        let id = idp.take_request(&form(&pairs), &env).unwrap();
        let request = idp.request(&id, &env).unwrap();
        let authentication = Authentication { at: self.now - 60, acr: "phr".into(), amr: strings(&["hwk", "user"]) };
        let (_, cookie) = idp.start_session("sarah", authentication, Browser { name: "a browser" }, &env).unwrap();
        let session = idp.session_of_cookie(&cookie, &env).unwrap().unwrap();
        let to = idp.complete(&request, &session, &Decided::Allowed { scopes: None }, &env).unwrap();
        let url = url::Url::parse(&to).unwrap();
        let code = url.query_pairs().find(|(name, _)| name == "code").unwrap().1.into_owned();
        let form = form(&[("code", &code), ("code_verifier", VERIFIER), ("redirect_uri", CALLBACK)]);
        CodeGrant.redeem(idp, caller, &form, &env).unwrap_or_else(|refusal| panic!("{refusal}"))
    }

    /// A client's own token.
    pub(super) fn own_token(&self, id: &str, scope: &str) -> String {
        let form = form(&[("scope", scope), ("resource", API)]);
        ClientCredentialsGrant.redeem(&self.idp, &self.caller(&self.idp, id), &form, &self.env()).unwrap().access_token
    }

    pub(super) fn examine(&self, token: &str) -> Answer<Examined> {
        self.idp.examine(token, TokenKind::Access, None, &self.env())
    }

    /// An exchange by a client of the identity provider.
    pub(super) fn exchange(&self, id: &str, pairs: &[(&str, &str)]) -> Answer<TokenAnswer> {
        self.exchange_of(&self.caller(&self.idp, id), pairs)
    }

    pub(super) fn exchange_of(&self, caller: &Caller, pairs: &[(&str, &str)]) -> Answer<TokenAnswer> {
        let grant_type = TokenExchange::new(Arc::new(Kept));
        grant_type.redeem(&self.idp, caller, &form(pairs), &self.env())
    }

    /// An exchange of an access token.
    pub(super) fn pass_on(&self, id: &str, token: &str, more: &[(&str, &str)]) -> Answer<TokenAnswer> {
        self.exchange(id, &with(&[("subject_token", token), ("subject_token_type", ACCESS)], more))
    }

    /// An assertion for the other domain.
    pub(super) fn assert_for(&self, id: &str, id_token: &str, more: &[(&str, &str)]) -> Answer<TokenAnswer> {
        let pairs = [
            ("subject_token", id_token),
            ("subject_token_type", ID),
            ("requested_token_type", ID_JAG),
            ("audience", RAS),
        ];
        self.exchange(id, &with(&pairs, more))
    }

    /// A redemption in the other domain.
    pub(super) fn redeem(&self, assertion: &str, more: &[(&str, &str)]) -> Answer<TokenAnswer> {
        self.redeem_as(&self.caller(&self.ras, "sales-there"), assertion, more)
    }

    pub(super) fn redeem_as(&self, caller: &Caller, assertion: &str, more: &[(&str, &str)]) -> Answer<TokenAnswer> {
        let form = form(&with(&[("assertion", assertion)], more));
        IdentityAssertion::new(Arc::new(NoKeys)).redeem(&self.ras, caller, &form, &self.env())
    }

    /// An approval that Sarah gave.
    pub(super) fn approve(&self, id: &str, scopes: &str, until: u64) {
        let env = self.env();
        let mut change = self.idp.change(&env);
        change.put(&[id], &Kept1 { scopes: scopes.into(), until });
        change.commit().unwrap();
    }

    /// The newest event of a tenant of a kind.
    pub(super) fn last(&self, tenant: &Tenant, kind: EventKind) -> Event {
        let events = events(tenant);
        events.into_iter().rfind(|event| event.kind() == kind).unwrap()
    }
}

pub(super) const ACCESS: &str = "urn:ietf:params:oauth:token-type:access_token";
pub(super) const ID: &str = "urn:ietf:params:oauth:token-type:id_token";
pub(super) const REFRESH: &str = "urn:ietf:params:oauth:token-type:refresh_token";

/// Pairs with others in place of those of the same name; an empty one is as if it was not there.
pub(super) fn with<'a>(pairs: &[(&'a str, &'a str)], more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut all: Vec<(&str, &str)> =
        pairs.iter().filter(|(name, _)| !more.iter().any(|(other, _)| other == name)).copied().collect();
    all.extend(more);
    all
}

pub(super) fn events(tenant: &Tenant) -> Vec<Event> {
    let (records, start) = (tenant.engine().records(AUDIT), audit_key(tenant.number(), b'e'));
    let (mut all, mut after) = (Vec::new(), None::<Vec<u8>>);
    loop {
        let page = records.scan(&start, after.as_deref(), 1_000).unwrap();
        all.extend(page.iter().map(|(_, bytes)| Event::read(bytes).unwrap()));
        if page.len() < 1_000 {
            return all;
        }
        after = page.last().map(|(key, _)| key.clone());
    }
}

/// Details of which nobody is asked.
struct Payments;

impl DetailTypes for Payments {
    fn allowing(&self, _: &Tenant, _: &Value) -> Answer<Allowing> {
        Ok(Allowing::Nobody)
    }
}

/// An approval as the test keeps it: the scopes, and until when.
#[derive(Serialize, Deserialize)]
struct Kept1 {
    scopes: String,
    until: u64,
}

impl Stored for Kept1 {
    const MODULE: Module = EXCHANGE;
    const SORT: u8 = b'!';
    const WHAT: &'static str = "approval of the test";
}

/// Approvals in records, each used once.
struct Kept;

impl Approvals for Kept {
    fn spend(&self, change: &mut Change<'_>, needs: &NeedsApproval<'_>, _: &Env<'_>) -> Answer<Option<Approval>> {
        let Some(id) = needs.approval else { return Ok(None) };
        let Some(held) = needs.tenant.get::<Kept1>(&[id])? else { return Ok(None) };
        if held.scopes != needs.scopes.join(" ") {
            return Ok(None);
        }
        let until = held.until;
        change.remove(&held);
        Ok(Some(Approval { id: id.to_owned(), until }))
    }

    fn how(&self, _: &NeedsApproval<'_>) -> String {
        "ask at the approval endpoint".to_owned()
    }
}

pub(super) fn at(seconds: u64) -> Timestamp {
    Timestamp(i64::try_from(seconds).unwrap() * 1_000_000_000)
}

pub(super) fn strings(list: &[&str]) -> Vec<String> {
    list.iter().map(|text| (*text).to_owned()).collect()
}

pub(super) fn pairs(list: &[(&str, &str)]) -> BTreeMap<String, String> {
    list.iter().map(|(from, to)| ((*from).to_owned(), (*to).to_owned())).collect()
}

fn resource(id: &str, identifier: &str, scopes: &[&str]) -> Resource {
    let scope = |name: &&str| Scope { name: (*name).into(), description: format!("{name} things"), checked: false };
    Resource {
        id: id.into(),
        identifier: identifier.into(),
        name: id.into(),
        scopes: scopes.iter().map(scope).collect(),
        created_at: START,
    }
}

pub(super) fn client(id: &str, kind: ClientKind) -> Client {
    let scopes = ["openid", "profile", "offline_access", "read", "write", "delete", "contacts:read", "contacts:write"];
    Client {
        redirect_uris: strings(&[CALLBACK]),
        grant_types: strings(&["authorization_code", "refresh_token", "client_credentials", TOKEN_EXCHANGE]),
        scopes: strings(&scopes),
        resources: strings(&[API, CRM]),
        details_types: strings(&["payment"]),
        consent: ConsentRule::Managed,
        ..Client::new(id, kind, id)
    }
}

pub(super) fn connection(id: &str, target: Target) -> Connection {
    Connection { id: id.into(), name: id.into(), target, created_at: START }
}

pub(super) fn server() -> Server {
    Server {
        issuer: RAS.into(),
        resources: strings(&[PRICES]),
        clients: pairs(&[("sales", "sales-there")]),
        scopes: pairs(&[
            ("sales.read", "pricing:read"),
            ("sales.write", "pricing:write"),
            ("sales.admin", "pricing:admin"),
        ]),
        subject: SubjectClaims::default(),
        life_s: 300,
    }
}

pub(super) fn row() -> TrustedIssuer {
    TrustedIssuer {
        issuer: IDP.into(),
        keys: IssuerKeys::Here,
        subject: SubjectMapping::Same,
        create_users: false,
        clients: Vec::new(),
        scopes: pairs(&[("pricing:read", "pricing:read"), ("pricing:write", "pricing:write")]),
        resources: strings(&[PRICES]),
        life_max_s: 300,
        access_token_s: None,
        acr_max: Some("phr".into()),
        replay: Replay::Once,
        created_at: START,
    }
}

pub(super) fn form(pairs: &[(&str, &str)]) -> Form {
    let text = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    Form::parse(&text).unwrap()
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

/// The rule and the code.
#[track_caller]
pub(super) fn refused<T>(answer: Answer<T>) -> (&'static str, &'static str) {
    match answer {
        Ok(_) => panic!("it was not refused"),
        Err(refusal) => (refusal.rule, refusal.error.text()),
    }
}

/// An issuer that is no tenant here.
pub(super) struct Signer {
    pair: EcdsaKeyPair,
    kid: &'static str,
}

impl Signer {
    pub(super) fn new(kid: &'static str) -> Signer {
        Signer { pair: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap(), kid }
    }

    pub(super) fn jwks(&self) -> Value {
        let (x, y) = self.pair.public_key().as_ref()[1..].split_at(32);
        json!({"keys": [{"kty": "EC", "crv": "P-256", "kid": self.kid, "x": encode(x), "y": encode(y)}]})
    }

    pub(super) fn sign(&self, header: Value, claims: &Value) -> String {
        let mut header = header;
        header["kid"] = self.kid.into();
        let message = format!("{}.{}", encode(header.to_string().as_bytes()), encode(claims.to_string().as_bytes()));
        let signature = self.pair.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
        format!("{message}.{}", encode(signature.as_ref()))
    }
}
