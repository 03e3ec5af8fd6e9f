//! The rules of approvals without a server, and one story through the routes. Names of modules of the OpenID conformance suite
//! (FAPI-CIBA, Implementer's Draft 1) stand beside what they ask for.

mod access;
mod ask;
mod decide;
mod for_others;
mod notices;
mod once;
mod push;
mod routes;
mod slow;
mod types;

use super::*;
use crate::engine::{Engine, Settings};
use crate::identity::{
    ASKS_IN_VAIN, ASKS_OF_PERSON, AUDIT, Answer, AuthMethod, Authentication, Browser, Caller, Client, ClientKeys,
    ClientKind, Consent, Env, Event, Form, GrantType as _, Held, Identity, NoKeys, NoUses, Resource, Scope, Session,
    ShownTogether, Tenant, TenantSettings, TokenAnswer, audit_key, encode,
};
use crate::secrets::KeyRing;
use crate::tuple::Timestamp;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU64, Ordering};

pub(super) const START: u64 = 1_800_000_000;
pub(super) const ISSUER: &str = "https://id.example/acme";
pub(super) const MAIL: &str = "https://mail.example/";

/// A tenant with an agent (sales) that asks, for whom john answers and which the team ops (olga) owns; a person (sarah) with a
/// manager (boss), and a stranger (eve).
pub(super) struct World {
    pub(super) tenant: Tenant,
    pub(super) approvals: Approvals,
    pub(super) now: u64,
    pub(super) signer: Signer,
    random: Box<dyn Fn(&mut [u8]) + Sync>,
    pub(super) directory: tempfile::TempDir,
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

pub(super) fn ring() -> KeyRing {
    let line = KeyRing::key_line("a", 1, b"a key of thirty-two bytes, or so").unwrap();
    KeyRing::parse(&(KeyRing::head() + &line), &[]).unwrap()
}

pub(super) fn engine(path: &std::path::Path) -> Engine {
    Engine::open_with(path, Settings { sync: false, ..Settings::default() }).unwrap()
}

impl World {
    pub(super) fn new() -> World {
        World::with(ApprovalSettings::default())
    }

    pub(super) fn with(settings: ApprovalSettings) -> World {
        let directory = tempfile::tempdir().unwrap();
        let random = dice();
        let env = Env::new(at(START), &*random);
        let identity = Identity::open(engine(directory.path()), ring(), &env).unwrap();
        let tenant = identity.create_tenant("acme", ISSUER, &TenantSettings::default(), &env).unwrap();
        let approvals = Approvals::new(settings);
        identity.set_detail_types(std::sync::Arc::new(approvals.clone()));
        let world = World { tenant, approvals, now: START, signer: Signer::new("k1"), random, directory };
        world.furnish();
        world
    }

    fn furnish(&self) {
        let env = self.env();
        for (id, name) in
            [("sarah", "Sarah Chen"), ("boss", "Bo Ss"), ("john", "John Smith"), ("olga", "Olga"), ("eve", "Eve")]
        {
            let mail = format!("{id}@example.com");
            let claims = json!({"name": name, "email": mail, "email_verified": true});
            self.tenant.create_user(Some(id), &[&mail], claims.as_object().unwrap().clone(), &env).unwrap();
        }
        let scope =
            |name: &str| Scope { name: name.into(), description: format!("{name} in your name"), checked: false };
        let resource = Resource {
            id: "mail".into(),
            identifier: MAIL.into(),
            name: "Mail".into(),
            scopes: vec![scope("email:send"), scope("drive:write"), scope("crm:update")],
            created_at: START,
        };
        self.tenant.put_resource(&resource, &env).unwrap();
        for id in ["sales", "other"] {
            let signer = if id == "sales" { self.signer.jwk() } else { Signer::new("k9").jwk() };
            let client = Client {
                grant_types: vec![CIBA_GRANT.to_owned()],
                scopes: ["openid", "profile", "offline_access", "email:send", "drive:write", "crm:update"]
                    .map(str::to_owned)
                    .to_vec(),
                resources: vec![MAIL.to_owned()],
                details_types: ["proposal", "payment", ACCESS_TYPE].map(str::to_owned).to_vec(),
                auth_methods: vec![AuthMethod::PrivateKeyJwt],
                keys: Some(ClientKeys::Jwks(json!({"keys": [signer]}))),
                ..Client::new(id, ClientKind::Agent, format!("The {id} agent"))
            };
            self.tenant.create_client(&client, &env).unwrap();
        }
        self.relate(&[
            "user:sarah manager user:boss",
            "team:ops member user:olga",
            "agent:sales accountable user:john",
            "agent:sales owner team:ops",
        ]);
        put_type(&self.tenant, &proposal(), "user:ann", &env).unwrap();
        self.consent("sales", &["email:send", "drive:write"]);
    }

    /// Sarah allows a client scopes of the mail for good, as the page of consent has her do.
    pub(super) fn consent(&self, client: &str, scopes: &[&str]) {
        let scopes: Vec<String> = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        let shown = vec![ShownTogether { resource: MAIL.into(), scopes: scopes.clone() }];
        let env = self.env();
        let consent = Consent {
            id: env.id(),
            user: "sarah".into(),
            client: client.into(),
            scopes,
            resources: vec![MAIL.into()],
            shown,
            given_at: self.now,
            changed_at: self.now,
        };
        let mut change = self.tenant.change(&env);
        change.create(&["sarah", client], &consent);
        change.commit().unwrap();
    }

    pub(super) fn env(&self) -> Env<'_> {
        Env { trace: Some("trace-1"), address: Some("192.0.2.1"), ..Env::new(at(self.now), &*self.random) }
    }

    pub(super) fn relate(&self, tuples: &[&str]) {
        let env = self.env();
        let mut change = self.tenant.change(&env);
        for tuple in tuples {
            let parts: Vec<&str> = tuple.split(' ').collect();
            change.relate(parts[0], parts[1], parts[2]);
        }
        change.commit().unwrap();
    }

    pub(super) fn caller(&self, id: &str) -> Caller {
        let client = self.tenant.client(id).unwrap();
        let method = client.auth_methods[0];
        Caller { client, method, jkt: None }
    }

    /// Asks with a good request, in which some parameters are others; an empty one is left out.
    pub(super) fn ask(&self, other: &[(&str, &str)]) -> Answer<Asked> {
        self.ask_as("sales", &form(other))
    }

    pub(super) fn ask_as(&self, client: &str, form: &Form) -> Answer<Asked> {
        self.approvals.ask(&self.tenant, &self.caller(client), form, &NoKeys, &self.env())
    }

    /// Asks for details of proposals, each with an amount.
    pub(super) fn propose(&self, amounts: &[&str]) -> Answer<Asked> {
        let details: Vec<Value> = amounts.iter().map(|amount| detail(amount)).collect();
        self.ask(&[("authorization_details", &json!(details).to_string())])
    }

    /// A person signs in, strongly and now.
    pub(super) fn sign_in(&self, user: &str) -> Held<Session> {
        self.sign_in_as(user, "phr", self.now)
    }

    pub(super) fn sign_in_as(&self, user: &str, acr: &str, at: u64) -> Held<Session> {
        let authentication = Authentication { at, acr: acr.into(), amr: vec!["hwk".into(), "user".into()] };
        let (_, cookie) =
            self.tenant.start_session(user, authentication, Browser { name: "a phone" }, &self.env()).unwrap();
        self.tenant.session_of_cookie(&cookie, &self.env()).unwrap().unwrap()
    }

    /// A person decides on what they see.
    pub(super) fn decide(&self, session: &Session, asked: &Asked, choice: &Choice) -> Answer<ApprovalRequest> {
        let id = id_of(asked);
        let shown = self.record(asked).shown_hash.clone();
        self.approvals.decide(&self.tenant, Decider { session }, (&id, &shown), choice, &self.env())
    }

    /// The person for whom it is allows all of it.
    pub(super) fn approve(&self, asked: &Asked) -> Answer<ApprovalRequest> {
        let record = self.record(asked);
        self.decide(&self.sign_in("sarah"), asked, &all_of(&record))
    }

    pub(super) fn record(&self, asked: &Asked) -> Held<ApprovalRequest> {
        self.tenant.held::<ApprovalRequest>(&[&id_of(asked)]).unwrap()
    }

    /// The client asks the token endpoint.
    pub(super) fn fetch(&self, asked: &Asked) -> Answer<TokenAnswer> {
        self.fetch_as("sales", &asked.auth_req_id)
    }

    pub(super) fn fetch_as(&self, client: &str, auth_req_id: &str) -> Answer<TokenAnswer> {
        let form = pairs(&[("auth_req_id", auth_req_id)]);
        CibaGrant(self.approvals.clone()).redeem(&self.tenant, &self.caller(client), &form, &self.env())
    }

    pub(super) fn events(&self) -> Vec<Event> {
        let start = audit_key(self.tenant.number(), b'e');
        let all = self.tenant.engine().records(AUDIT).scan(&start, None, 1_000).unwrap();
        all.iter().map(|(_, bytes)| Event::read(bytes).unwrap()).collect()
    }

    /// The newest event of a kind, by its name.
    pub(super) fn newest(&self, kind: &str) -> Event {
        self.events().into_iter().rfind(|event| event.kind().name() == kind).unwrap()
    }
}

/// Signs request objects.
pub(super) struct Signer {
    pair: EcdsaKeyPair,
    kid: &'static str,
}

impl Signer {
    pub(super) fn new(kid: &'static str) -> Signer {
        Signer { pair: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap(), kid }
    }

    pub(super) fn jwk(&self) -> Value {
        let (x, y) = self.pair.public_key().as_ref()[1..].split_at(32);
        json!({"kty": "EC", "crv": "P-256", "kid": self.kid, "x": encode(x), "y": encode(y)})
    }

    pub(super) fn sign(&self, header: &Value, claims: &Value) -> String {
        let part = |value: &Value| encode(value.to_string().as_bytes());
        let message = format!("{}.{}", part(header), part(claims));
        let signature = self.pair.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
        format!("{message}.{}", encode(signature.as_ref()))
    }
}

pub(super) fn at(seconds: u64) -> Timestamp {
    Timestamp(i64::try_from(seconds).unwrap() * 1_000_000_000)
}

pub(super) fn pairs(pairs: &[(&str, &str)]) -> Form {
    let text = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    Form::parse(&text).unwrap()
}

pub(super) fn form(other: &[(&str, &str)]) -> Form {
    let mut all = vec![
        ("scope", "openid email:send drive:write"),
        ("login_hint", "sarah@example.com"),
        ("binding_message", "ACME-1"),
    ];
    for (name, value) in other {
        all.retain(|(known, _)| known != name);
        all.push((name, value));
    }
    pairs(&all)
}

pub(super) fn id_of(asked: &Asked) -> String {
    asked.auth_req_id.split_once('.').unwrap().0.to_owned()
}

pub(super) fn all_of(request: &ApprovalRequest) -> Choice {
    Choice::Approve { scopes: request.scopes.clone(), details: (0..request.details.len()).collect() }
}

/// A detail of type `proposal`.
pub(super) fn detail(amount: &str) -> Value {
    json!({
        "type": "proposal", "customer": "Acme Corp", "amount": amount, "currency": "USD",
        "recipients": ["cto@acme.example", "cfo@acme.example"],
    })
}

/// Proposals: over 100,000 the manager decides, below 1,000 nobody need.
pub(super) fn proposal() -> DetailType {
    serde_json::from_value(json!({
        "name": "proposal",
        "schema": {
            "type": "object",
            "additionalProperties": false,
            "required": ["type", "customer", "amount", "currency"],
            "properties": {
                "type": {"const": "proposal"},
                "customer": {"type": "string", "maxLength": 100},
                "amount": {"type": "string", "pattern": "^[0-9]{1,12}([.][0-9]{1,2})?$"},
                "currency": {"enum": ["USD", "EUR"]},
                "recipients": {"type": "array", "maxItems": 10, "items": {"$ref": "#/$defs/mail"}},
                "note": {"type": "string"},
            },
            "$defs": {"mail": {"type": "string", "pattern": "^[^@ ]+@[^@ ]+$"}},
        },
        "title": "Send the proposal for {/amount} {/currency} to {/customer}",
        "fields": [{"label": "Amount", "value": "{/amount} {/currency}"}, {"label": "Recipients", "value": "{/recipients}"}],
        "rules": [
            {
                "when": "amount > most",
                "values": {"amount": {"kind": "decimal", "path": "/amount"}, "most": {"kind": "decimal", "value": "100000"}},
                "who": ["manager"],
            },
            {
                "when": "amount < least",
                "values": {"amount": {"kind": "decimal", "path": "/amount"}, "least": {"kind": "decimal", "value": "1000"}},
                "who": [],
            },
        ],
    }))
    .unwrap()
}

pub(super) fn rule<T>(answer: Answer<T>) -> &'static str {
    match answer {
        Ok(_) => "allowed",
        Err(refusal) => refusal.rule,
    }
}

/// The OAuth error code of a refusal.
pub(super) fn error<T>(answer: Answer<T>) -> &'static str {
    match answer {
        Ok(_) => "allowed",
        Err(refusal) => refusal.error.text(),
    }
}

pub(super) fn claims(token: &str) -> Value {
    let part = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&crate::identity::decode(part).unwrap()).unwrap()
}
