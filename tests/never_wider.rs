//! No sequence of calls yields a token that is wider than what it came from, or than what was allowed when it was made: by any
//! grant type, while clients, classes, consents and grants change in between; and no token outlives what it hangs on.

use bailiwick::Bailiwick;
use bailiwick::engine::Settings;
use bailiwick::identity::{
    Actor, Answer, Authentication, Browser, Caller, Client, ClientCredentialsGrant, ClientKind, CodeGrant, Decided,
    Env, Examined, Form, GrantType as _, Held, Identity, NoKeys, RefreshGrant, Resource, Scope, Session, Tenant,
    TenantSettings, TokenAnswer, TokenKind, decode, hash_of,
};
use bailiwick::modules::approval::{
    ApprovalRequest, ApprovalSettings, Approvals, Asked, CIBA_GRANT, Choice, CibaGrant, Decider, put_type,
};
use bailiwick::modules::exchange::{
    Connection, ID_JAG, IdentityAssertion, IssuerKeys, JWT_BEARER, NoApprovals, Replay, ScopeClass, Server,
    SubjectClaims, SubjectMapping, TOKEN_EXCHANGE, Target, TokenExchange, TrustedIssuer, allow, classify, delegate,
    put_connection, trust,
};
use bailiwick::secrets::KeyRing;
use bailiwick::tuple::Timestamp;
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const START: u64 = 1_800_000_000;
const API: &str = "https://api.example/";
const CRM: &str = "https://crm.example/";
const PRICES: &str = "https://pricing.example/api";
const RAS: &str = "https://pricing.example";
const CALLBACK: &str = "https://app.example/cb";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CLIENTS: [&str; 2] = ["sales", "planner"];
const SCOPES: [&str; 4] = ["openid", "offline_access", "read", "write"];
const RESOURCES: [&str; 2] = [API, CRM];
/// Nobody is asked for the first, the person for the second, their manager for the third.
const AMOUNTS: [&str; 3] = ["0.5", "5", "500"];
const ACCESS: &str = "urn:ietf:params:oauth:token-type:access_token";
const ID: &str = "urn:ietf:params:oauth:token-type:id_token";

/// What somebody does. Numbers choose among what there is; bits choose several.
#[derive(Clone, Debug)]
enum Step {
    Code { by: usize, scopes: u8, resources: u8, details: u8 },
    Refresh { of: usize, scopes: Option<u8>, details: Option<u8> },
    Own { by: usize, scopes: u8, details: u8 },
    Exchange { of: usize, by: usize, scopes: Option<u8>, resources: u8, details: Option<u8> },
    Across { of: usize },
    Ask { by: usize, scopes: u8, details: u8, decider: usize, allowed: u8 },
    Scopes { of: usize, has: u8 },
    Resources { of: usize, has: u8 },
    Types { of: usize, has: bool },
    Class { scope: usize, class: usize },
    Connected { connection: usize, is: bool },
    Withdraw { of: usize },
    Revoke { of: usize },
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let (any8, two, many) = (any::<u8>, 0..2_usize, any::<usize>);
    prop_oneof![
        4 => (two.clone(), any8(), any8(), any8())
            .prop_map(|(by, scopes, resources, details)| Step::Code { by, scopes, resources, details }),
        3 => (many(), any::<Option<u8>>(), any::<Option<u8>>())
            .prop_map(|(of, scopes, details)| Step::Refresh { of, scopes, details }),
        2 => (two.clone(), any8(), any8()).prop_map(|(by, scopes, details)| Step::Own { by, scopes, details }),
        5 => (many(), two.clone(), any::<Option<u8>>(), any8(), any::<Option<u8>>())
            .prop_map(|(of, by, scopes, resources, details)| Step::Exchange { of, by, scopes, resources, details }),
        2 => many().prop_map(|of| Step::Across { of }),
        4 => (two.clone(), any8(), any8(), two.clone(), any8())
            .prop_map(|(by, scopes, details, decider, allowed)| Step::Ask { by, scopes, details, decider, allowed }),
        1 => (two.clone(), any8()).prop_map(|(of, has)| Step::Scopes { of, has }),
        1 => (two.clone(), any8()).prop_map(|(of, has)| Step::Resources { of, has }),
        1 => (two.clone(), any::<bool>()).prop_map(|(of, has)| Step::Types { of, has }),
        1 => (0..2_usize, 0..4_usize).prop_map(|(scope, class)| Step::Class { scope, class }),
        1 => (two.clone(), any::<bool>()).prop_map(|(connection, is)| Step::Connected { connection, is }),
        1 => two.prop_map(|of| Step::Withdraw { of }),
        1 => many().prop_map(|of| Step::Revoke { of }),
        2 => (1_u64..200).prop_map(Step::Wait),
    ]
}

fn pick(list: &[&str], bits: u8) -> Vec<String> {
    list.iter().enumerate().filter(|(at, _)| bits & (1 << at) != 0).map(|(_, item)| (*item).to_owned()).collect()
}

fn payments(bits: u8) -> Vec<Value> {
    pick(&AMOUNTS, bits).into_iter().map(|amount| json!({"type": "payment", "amount": amount})).collect()
}

/// What a token was made of.
#[derive(Clone)]
struct Limits {
    scopes: Vec<String>,
    audience: Vec<String>,
    details: Vec<Value>,
    until: u64,
    actors: Vec<Actor>,
}

struct Made {
    answer: TokenAnswer,
    client: &'static str,
    here: bool,
    parent: Option<usize>,
    exchanged: bool,
    limits: Limits,
}

struct World {
    idp: Tenant,
    ras: Tenant,
    approvals: Approvals,
    now: u64,
    random: Box<dyn Fn(&mut [u8]) + Sync>,
    made: Vec<Made>,
    _directory: tempfile::TempDir,
}

fn strings(list: &[&str]) -> Vec<String> {
    list.iter().map(|text| (*text).to_owned()).collect()
}

fn form(pairs: &[(&str, &str)]) -> Form {
    let pairs = pairs.iter().filter(|(_, value)| !value.is_empty());
    Form::parse(&url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()).unwrap()
}

fn claims(token: &str) -> Map<String, Value> {
    serde_json::from_slice(&decode(token.split('.').nth(1).unwrap()).unwrap()).unwrap()
}

/// A claim of one text, of texts with blanks between, or of several.
fn list(claims: &Map<String, Value>, claim: &str) -> Vec<String> {
    match claims.get(claim) {
        Some(Value::String(text)) => text.split(' ').map(str::to_owned).collect(),
        Some(Value::Array(several)) => several.iter().map(|one| one.as_str().unwrap().to_owned()).collect(),
        _ => Vec::new(),
    }
}

fn json_of(details: &[Value]) -> String {
    if details.is_empty() { String::new() } else { json!(details).to_string() }
}

fn resource(id: &str, identifier: &str, scopes: &[&str]) -> Resource {
    let scope = |name: &&str| Scope { name: (*name).into(), description: (*name).into(), checked: false };
    let scopes = scopes.iter().map(scope).collect();
    Resource { id: id.into(), identifier: identifier.into(), name: id.into(), scopes, created_at: START }
}

fn payment() -> Value {
    let rule = |when: &str, limit: &str, who: &[&str]| {
        let values =
            json!({"amount": {"kind": "decimal", "path": "/amount"}, "limit": {"kind": "decimal", "value": limit}});
        json!({"when": when, "values": values, "who": who})
    };
    json!({
        "name": "payment", "title": "Pay {/amount}",
        "schema": {"type": "object", "additionalProperties": false, "required": ["type", "amount"],
            "properties": {"type": {"const": "payment"}, "amount": {"type": "string", "pattern": "^[0-9.]{1,9}$"}}},
        "rules": [rule("amount > limit", "100", &["manager"]), rule("amount < limit", "1", &[])],
    })
}

impl World {
    fn new() -> World {
        let directory = tempfile::tempdir().unwrap();
        let engine = Bailiwick::open_with(directory.path(), Settings { sync: false, ..Settings::default() }).unwrap();
        let thrown = AtomicU64::new(0);
        let random: Box<dyn Fn(&mut [u8]) + Sync> = Box::new(move |bytes| {
            for chunk in bytes.chunks_mut(32) {
                let digest = decode(&hash_of(&thrown.fetch_add(1, Ordering::Relaxed).to_string())).unwrap();
                chunk.copy_from_slice(&digest[..chunk.len()]);
            }
        });
        let env = Env::new(Timestamp(i64::try_from(START).unwrap() * 1_000_000_000), &*random);
        let ring = KeyRing::head() + &KeyRing::key_line("a", 1, b"a key of thirty-two bytes, or so").unwrap();
        let identity = Identity::open(engine, KeyRing::parse(&ring, &[]).unwrap(), &env).unwrap();
        let approvals = Approvals::new(ApprovalSettings::default());
        identity.set_detail_types(Arc::new(approvals.clone()));
        let tenant = |name, issuer| identity.create_tenant(name, issuer, &TenantSettings::default(), &env).unwrap();
        let (idp, ras) = (tenant("acme", "https://id.example/acme"), tenant("pricing", RAS));
        let world = World { idp, ras, approvals, now: START, random, made: Vec::new(), _directory: directory };
        world.furnish();
        world
    }

    fn furnish(&self) {
        let (idp, ras, env) = (&self.idp, &self.ras, &self.env());
        idp.put_resource(&resource("api", API, &["read", "write"]), env).unwrap();
        idp.put_resource(&resource("crm", CRM, &["read"]), env).unwrap();
        ras.put_resource(&resource("prices", PRICES, &["prices"]), env).unwrap();
        for id in ["sarah", "boss"] {
            idp.create_user(Some(id), &[&format!("{id}@example.com")], Map::new(), env).unwrap();
            ras.create_user(Some(id), &[&format!("{id}@example.com")], Map::new(), env).unwrap();
        }
        let mut change = idp.change(env);
        change.relate("user:sarah", "manager", "user:boss");
        change.commit().unwrap();
        put_type(idp, &serde_json::from_value(payment()).unwrap(), "user:admin", env).unwrap();
        for id in CLIENTS {
            let kinds = ["authorization_code", "refresh_token", "client_credentials", TOKEN_EXCHANGE, CIBA_GRANT];
            let client = Client {
                redirect_uris: strings(&[CALLBACK]),
                grant_types: strings(&kinds),
                scopes: strings(&SCOPES),
                resources: strings(&RESOURCES),
                details_types: strings(&["payment"]),
                ..Client::new(id, ClientKind::Agent, id)
            };
            idp.create_client(&client, env).unwrap();
        }
        let there = Client {
            grant_types: strings(&[JWT_BEARER]),
            scopes: strings(&["prices"]),
            resources: strings(&[PRICES]),
            ..Client::new("there", ClientKind::Agent, "there")
        };
        ras.create_client(&there, env).unwrap();
        for (id, resource) in [("api", API), ("crm", CRM)] {
            self.connect(id, Target::Resource { resource: resource.into() });
            classify(idp, (id, "read"), "agent:*", Some(ScopeClass::Automatic), env).unwrap();
        }
        classify(idp, ("api", "write"), "agent:*", Some(ScopeClass::Automatic), env).unwrap();
        let [pair, scope] = [("sales", "there"), ("see", "prices")].map(|(a, b)| [(a.to_owned(), b.to_owned())].into());
        let (issuer, resources) = (RAS.into(), strings(&[PRICES]));
        let server =
            Server { issuer, resources, clients: pair, scopes: scope, subject: SubjectClaims::default(), life_s: 300 };
        self.connect("pricing", Target::Server(server));
        classify(idp, ("pricing", "see"), "agent:*", Some(ScopeClass::Automatic), env).unwrap();
        delegate(idp, "sales", "planner", true, env).unwrap();
        delegate(idp, "planner", "sales", true, env).unwrap();
        let row = TrustedIssuer {
            issuer: idp.issuer().into(),
            keys: IssuerKeys::Here,
            subject: SubjectMapping::Same,
            create_users: false,
            clients: Vec::new(),
            scopes: [("prices".to_owned(), "prices".to_owned())].into(),
            resources: strings(&[PRICES]),
            life_max_s: 300,
            access_token_s: None,
            acr_max: Some("aal2".into()),
            replay: Replay::Once,
            created_at: START,
        };
        trust(ras, &row, env).unwrap();
    }

    fn connect(&self, id: &str, target: Target) {
        let connection = Connection { id: id.into(), name: id.into(), target, created_at: START };
        put_connection(&self.idp, &connection, &self.env()).unwrap();
        allow(&self.idp, id, "agent:*", true, &self.env()).unwrap();
    }

    fn env(&self) -> Env<'_> {
        Env::new(Timestamp(i64::try_from(self.now).unwrap() * 1_000_000_000), &*self.random)
    }

    fn caller(&self, tenant: &Tenant, id: &str) -> Caller {
        let client = tenant.client(id).unwrap();
        Caller { method: client.auth_methods[0], client, jkt: None }
    }

    fn session(&self, user: &str) -> Held<Session> {
        let authentication = Authentication { at: self.now, acr: "phr".into(), amr: strings(&["user"]) };
        let (_, cookie) = self.idp.start_session(user, authentication, Browser::default(), &self.env()).unwrap();
        self.idp.session_of_cookie(&cookie, &self.env()).unwrap().unwrap()
    }

    fn examine(&self, made: &Made) -> Answer<Examined> {
        let tenant = if made.here { &self.idp } else { &self.ras };
        tenant.examine(&made.answer.access_token, TokenKind::Access, None, &self.env())
    }

    /// Sarah signs in to a client, and allows all of it.
    fn code(&self, by: &str, scopes: &str, resources: &[String], details: &str) -> Option<TokenAnswer> {
        let challenge = hash_of(VERIFIER);
        let mut pairs = vec![
            ("client_id", by),
            ("response_type", "code"),
            ("redirect_uri", CALLBACK),
            ("scope", scopes),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
            ("authorization_details", details),
        ];
        pairs.extend(resources.iter().map(|one| ("resource", one.as_str())));
        let id = self.idp.take_request(&form(&pairs), &self.env()).ok()?;
        let request = self.idp.request(&id, &self.env()).unwrap();
        let decided = Decided::Allowed { scopes: None };
        let session = self.session("sarah");
        let to = self.idp.complete(&request, &session, &decided, &self.env()).unwrap();
        let to = url::Url::parse(&to).unwrap();
        let code = to.query_pairs().find(|(name, _)| name == "code").unwrap().1.into_owned();
        let form = form(&[("code", &code), ("code_verifier", VERIFIER), ("redirect_uri", CALLBACK)]);
        CodeGrant.redeem(&self.idp, &self.caller(&self.idp, by), &form, &self.env()).ok()
    }

    /// A client asks, somebody decides, and it fetches what came of it.
    fn asked(
        &self,
        by: &str,
        scopes: &str,
        details: &str,
        decider: &str,
        allowed: u8,
    ) -> Option<(TokenAnswer, Limits)> {
        let caller = self.caller(&self.idp, by);
        let pairs = [
            ("scope", scopes),
            ("login_hint", "sarah@example.com"),
            ("resource", API),
            ("authorization_details", details),
        ];
        let asked: Asked = self.approvals.ask(&self.idp, &caller, &form(&pairs), &NoKeys, &self.env()).ok()?;
        let id = asked.auth_req_id.split('.').next().unwrap();
        let held = self.idp.held::<ApprovalRequest>(&[id]).unwrap();
        let chosen: Vec<usize> = (0..held.details.len()).filter(|at| allowed & (1 << at) != 0).collect();
        let mut good = Vec::new();
        let given: Vec<String> =
            held.scopes.iter().enumerate().filter(|(at, _)| allowed & (8 << at) != 0).map(|(_, s)| s.clone()).collect();
        // What others allow is no more than what the person has allowed for good.
        let (standing, _) = self.idp.standing("sarah", &caller.client, (&given, &held.resources)).unwrap();
        good.extend(given.iter().filter(|scope| decider == "sarah" || standing.contains(scope)).cloned());
        let choice = Choice::Approve { scopes: given, details: chosen.clone() };
        let session = self.session(decider);
        let decided = self.approvals.decide(
            &self.idp,
            Decider { session: &session },
            (id, &held.shown_hash),
            &choice,
            &self.env(),
        );
        decided.ok()?;
        let details = chosen.iter().map(|at| held.details[*at].clone()).collect();
        let limits = self.limits(by, good, held.resources.clone(), details);
        let fetch = form(&[("auth_req_id", &asked.auth_req_id)]);
        let answer = CibaGrant(self.approvals.clone()).redeem(&self.idp, &caller, &fetch, &self.env()).ok()?;
        Some((answer, limits))
    }

    /// What a client may have for itself of these at this moment.
    fn limits(&self, by: &str, mut scopes: Vec<String>, mut audience: Vec<String>, mut details: Vec<Value>) -> Limits {
        let client = self.idp.client(by).unwrap();
        scopes.retain(|scope| client.scopes.contains(scope));
        audience.retain(|one| client.resources.contains(one));
        audience.push(self.idp.issuer().to_owned());
        details.retain(|_| !client.details_types.is_empty());
        let actors = vec![Actor { subject: format!("agent:{by}"), issuer: None }];
        Limits { scopes, audience, details, until: self.now + self.idp.settings().access_token_s, actors }
    }

    /// What it may be that is made of another: a part of it.
    fn part_of(&self, of: usize, by: &str) -> Limits {
        let (parent, examined) = (&self.made[of], self.examine(&self.made[of]).unwrap());
        let said = claims(&parent.answer.access_token);
        let details = examined.details().to_vec();
        let mut limits = self.limits(by, examined.scopes.clone(), list(&said, "aud"), details);
        limits.until = limits.until.min(examined.ends());
        let mut actors = examined.grant.actors.clone();
        if examined.grant.user().is_none() {
            actors.clear();
        } else if actors.first().is_none_or(|first| first.subject != format!("agent:{by}")) {
            actors.insert(0, limits.actors.remove(0));
        }
        Limits { actors, ..limits }
    }

    fn keep(
        &mut self,
        answer: TokenAnswer,
        client: usize,
        parent: Option<usize>,
        exchanged: bool,
        limits: Limits,
    ) -> Result<(), TestCaseError> {
        let made = Made { answer, client: CLIENTS[client], here: true, parent, exchanged, limits };
        self.within(&made)?;
        self.made.push(made);
        Ok(())
    }

    /// A token is no more than what it was made of.
    fn within(&self, made: &Made) -> Result<(), TestCaseError> {
        let (said, limits) = (claims(&made.answer.access_token), &made.limits);
        prop_assert!(
            list(&said, "scope").iter().all(|one| limits.scopes.contains(one)),
            "{said:?} {:?}",
            limits.scopes
        );
        prop_assert!(
            list(&said, "aud").iter().all(|one| limits.audience.contains(one)),
            "{said:?} {:?}",
            limits.audience
        );
        let details = said.get("authorization_details").and_then(Value::as_array).cloned().unwrap_or_default();
        prop_assert!(details.iter().all(|one| limits.details.contains(one)), "{said:?} {:?}", limits.details);
        prop_assert!(said["exp"].as_u64().unwrap() <= limits.until, "{said:?} {}", limits.until);
        let examined = self.examine(made).unwrap();
        prop_assert_eq!(&examined.grant.actors, &limits.actors);
        prop_assert_eq!(examined.scopes, list(&said, "scope"));
        Ok(())
    }

    /// What lives hangs on what lives, and is no more than that; and connections would still give it.
    fn all_stand(&self) -> Result<(), TestCaseError> {
        for made in &self.made {
            let Ok(examined) = self.examine(made) else { continue };
            if let Some(parent) = made.parent {
                let parent = self.examine(&self.made[parent]);
                prop_assert!(parent.is_ok(), "{:?}", parent.err());
                prop_assert!(examined.ends() <= parent.unwrap().ends());
            }
            if made.exchanged {
                let holder = format!("agent:{}", made.client);
                for (connection, resource) in [("api", API), ("crm", CRM)] {
                    if !examined.resources.iter().any(|one| one == resource) {
                        continue;
                    }
                    let usable = self.idp.check(&holder, "usable", &format!("connection:{connection}")).unwrap();
                    prop_assert_eq!(usable, bailiwick::engine::Decision::Allow);
                }
                for scope in &examined.scopes {
                    let class = self.idp.check(&holder, "granted", &format!("connection_scope:api|{scope}")).unwrap();
                    let here = examined.resources.iter().any(|one| one == API);
                    prop_assert!(!here || class == bailiwick::engine::Decision::Allow, "{scope}");
                }
            }
        }
        Ok(())
    }

    fn change_client(&self, of: usize, change: impl FnOnce(&mut Client)) {
        let held = self.idp.client(CLIENTS[of]).unwrap();
        let mut client = held.value.clone();
        change(&mut client);
        self.idp.change_client(&held, &client, &self.env()).unwrap();
    }

    fn take(&mut self, step: &Step) -> Result<(), TestCaseError> {
        match *step {
            Step::Code { by, scopes, resources, details } => {
                let (scopes, resources, details) =
                    (pick(&SCOPES, scopes), pick(&RESOURCES, resources), payments(details));
                // What is not said is whatever there is.
                let or_all = |list: &[String], all: &[&str]| if list.is_empty() { strings(all) } else { list.to_vec() };
                let (most, where_to) = (or_all(&scopes, &SCOPES), or_all(&resources, &RESOURCES));
                let limits = self.limits(CLIENTS[by], most, where_to, details.clone());
                if let Some(answer) = self.code(CLIENTS[by], &scopes.join(" "), &resources, &json_of(&details)) {
                    let others = answer.authorization_details.iter().any(|detail| detail["amount"] == AMOUNTS[2]);
                    prop_assert!(!others, "nobody asked the manager");
                    self.keep(answer, by, None, false, limits)?;
                }
            }
            Step::Refresh { of, scopes, details } => self.refresh(of, scopes, details)?,
            Step::Own { by, scopes, details } => {
                let (scopes, details) = (pick(&SCOPES, scopes), payments(details));
                let wanted = form(&[
                    ("scope", &scopes.join(" ")),
                    ("resource", API),
                    ("authorization_details", &json_of(&details)),
                ]);
                let caller = self.caller(&self.idp, CLIENTS[by]);
                let mut limits = self.limits(CLIENTS[by], strings(&SCOPES), strings(&RESOURCES), details);
                limits.actors.clear();
                limits.details.retain(|detail| detail["amount"] == AMOUNTS[0]);
                if let Ok(answer) = ClientCredentialsGrant.redeem(&self.idp, &caller, &wanted, &self.env()) {
                    self.keep(answer, by, None, false, limits)?;
                }
            }
            Step::Exchange { of, by, scopes, resources, details } => {
                self.exchange(of, by, (scopes, resources, details))?
            }
            Step::Across { of } => self.across(of)?,
            Step::Ask { by, scopes, details, decider, allowed } => {
                let scopes =
                    pick(&SCOPES, scopes | 1).into_iter().filter(|scope| scope != "offline_access").collect::<Vec<_>>();
                let decider = ["sarah", "boss"][decider];
                let got = self.asked(CLIENTS[by], &scopes.join(" "), &json_of(&payments(details)), decider, allowed);
                if let Some((answer, limits)) = got {
                    self.keep(answer, by, None, false, limits)?;
                }
            }
            Step::Scopes { of, has } => self.change_client(of, |client| client.scopes = pick(&SCOPES, has)),
            Step::Resources { of, has } => self.change_client(of, |client| client.resources = pick(&RESOURCES, has)),
            Step::Types { of, has } => self.change_client(of, |client| {
                client.details_types = if has { strings(&["payment"]) } else { Vec::new() };
            }),
            Step::Class { scope, class } => {
                let classes =
                    [Some(ScopeClass::Automatic), Some(ScopeClass::NeedsApproval), Some(ScopeClass::Never), None];
                classify(&self.idp, ("api", ["read", "write"][scope]), "agent:*", classes[class], &self.env()).unwrap();
            }
            Step::Connected { connection, is } => {
                allow(&self.idp, ["api", "crm"][connection], "agent:*", is, &self.env()).unwrap();
            }
            Step::Withdraw { of } => self.idp.withdraw_consent("sarah", CLIENTS[of], &self.env()).unwrap(),
            Step::Revoke { of } => {
                if let Some(examined) = self.chosen(of).and_then(|at| self.examine(&self.made[at]).ok()) {
                    let tenant = if self.made[self.chosen(of).unwrap()].here { &self.idp } else { &self.ras };
                    tenant.revoke_grant(&examined.grant.id, "test", &self.env()).unwrap();
                }
            }
            Step::Wait(seconds) => self.now += seconds,
        }
        self.all_stand()
    }

    fn chosen(&self, of: usize) -> Option<usize> {
        (!self.made.is_empty()).then(|| of % self.made.len())
    }

    fn refresh(&mut self, of: usize, scopes: Option<u8>, details: Option<u8>) -> Result<(), TestCaseError> {
        let Some(at) = self.chosen(of).filter(|at| self.made[*at].answer.refresh_token.is_some()) else {
            return Ok(());
        };
        let client = self.made[at].client;
        let token = self.made[at].answer.refresh_token.clone().unwrap();
        let (scopes, details) = (scopes.map(|bits| pick(&SCOPES, bits).join(" ")), details.map(payments));
        let wanted = form(&[
            ("refresh_token", &token),
            ("scope", scopes.as_deref().unwrap_or_default()),
            ("authorization_details", &json_of(details.as_deref().unwrap_or_default())),
        ]);
        // It is a part of what the person allowed, which is what the first one was made of.
        let granted = self.made[at].limits.clone();
        let now = self.limits(client, granted.scopes.clone(), granted.audience.clone(), granted.details.clone());
        let granted = Limits {
            scopes: now.scopes,
            audience: now.audience,
            details: now.details,
            until: now.until,
            actors: granted.actors,
        };
        if let Ok(answer) = RefreshGrant.redeem(&self.idp, &self.caller(&self.idp, client), &wanted, &self.env()) {
            self.made[at].answer.refresh_token.clone_from(&answer.refresh_token);
            let answer = TokenAnswer { refresh_token: None, ..answer };
            self.keep(answer, usize::from(client == CLIENTS[1]), None, false, granted)?;
        }
        Ok(())
    }

    fn exchange(
        &mut self,
        of: usize,
        by: usize,
        (scopes, resources, details): (Option<u8>, u8, Option<u8>),
    ) -> Result<(), TestCaseError> {
        let Some(at) = self.chosen(of).filter(|at| self.made[*at].here && self.examine(&self.made[*at]).is_ok()) else {
            return Ok(());
        };
        let scopes = scopes.map(|bits| pick(&SCOPES, bits).join(" ")).unwrap_or_default();
        let (resources, details) = (pick(&RESOURCES, resources), json_of(&details.map(payments).unwrap_or_default()));
        let token = self.made[at].answer.access_token.clone();
        let mut pairs = vec![
            ("subject_token", token.as_str()),
            ("subject_token_type", ACCESS),
            ("scope", &scopes),
            ("authorization_details", &details),
        ];
        pairs.extend(resources.iter().map(|one| ("resource", one.as_str())));
        let limits = self.part_of(at, CLIENTS[by]);
        let caller = self.caller(&self.idp, CLIENTS[by]);
        let answer = TokenExchange::new(Arc::new(NoApprovals)).redeem(&self.idp, &caller, &form(&pairs), &self.env());
        match answer {
            Ok(answer) => self.keep(answer, by, Some(at), true, limits),
            Err(_) => Ok(()),
        }
    }

    /// To the other domain: what the row lets be asserted, whatever the token of here has.
    fn across(&mut self, of: usize) -> Result<(), TestCaseError> {
        let Some(at) = self.chosen(of).filter(|at| self.made[*at].client == "sales") else { return Ok(()) };
        let Some(id) = self.made[at].answer.id_token.clone() else { return Ok(()) };
        let pairs = [
            ("subject_token", id.as_str()),
            ("subject_token_type", ID),
            ("requested_token_type", ID_JAG),
            ("audience", RAS),
        ];
        let caller = self.caller(&self.idp, "sales");
        let assertion =
            TokenExchange::new(Arc::new(NoApprovals)).redeem(&self.idp, &caller, &form(&pairs), &self.env());
        let Ok(assertion) = assertion else { return Ok(()) };
        let wanted = form(&[("assertion", &assertion.access_token)]);
        let there = self.caller(&self.ras, "there");
        let redeem = || IdentityAssertion::new(Arc::new(NoKeys)).redeem(&self.ras, &there, &wanted, &self.env());
        let Ok(answer) = redeem() else { return Ok(()) };
        prop_assert!(redeem().is_err(), "once");
        let said = claims(&answer.access_token);
        prop_assert_eq!(&said["acr"], "aal2", "no more than the row lets be asserted");
        let issuer = Some(self.idp.issuer().to_owned());
        let actors =
            vec![Actor { subject: "agent:there".into(), issuer: None }, Actor { subject: "sales".into(), issuer }];
        let until = self.now + self.ras.settings().access_token_s;
        let limits =
            Limits { scopes: strings(&["prices"]), audience: strings(&[PRICES]), details: Vec::new(), until, actors };
        let made = Made { answer, client: "there", here: false, parent: None, exchanged: false, limits };
        self.within(&made)?;
        self.made.push(made);
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_sequence_of_calls_makes_a_token_wider(steps in proptest::collection::vec(step(), 1..40)) {
        let mut world = World::new();
        for step in &steps {
            world.take(step)?;
        }
    }
}

/// The steps reach what they are to reach: each way gives tokens, so that the property says something of all.
#[test]
fn every_way_gives_tokens() {
    let mut world = World::new();
    let all = u8::MAX;
    let give = |world: &mut World, step: Step| {
        let before = world.made.len();
        world.take(&step).unwrap();
        assert_eq!(world.made.len(), before + 1, "{step:?}");
    };
    give(&mut world, Step::Code { by: 0, scopes: all, resources: 1, details: 3 });
    give(&mut world, Step::Refresh { of: 0, scopes: Some(0b0100), details: None });
    give(&mut world, Step::Own { by: 0, scopes: 0b0100, details: 1 });
    give(&mut world, Step::Exchange { of: 0, by: 1, scopes: None, resources: 1, details: None });
    give(&mut world, Step::Across { of: 0 });
    give(&mut world, Step::Ask { by: 0, scopes: all, details: 2, decider: 0, allowed: all });
    give(&mut world, Step::Ask { by: 0, scopes: all, details: 4, decider: 1, allowed: all });
    let last = world.made.last().unwrap();
    assert_eq!(list(&claims(&last.answer.access_token), "scope"), ["read", "write"], "which she has allowed for good");
}
