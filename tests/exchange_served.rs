//! Two domains on one server, over HTTP alone: Sarah signs in at one, her agent gets a part of what she gave it, an
//! assertion for the other, and a token there. Each side can tell the whole story afterwards.

use crate::identity::{Heard, Issuing, env};
use bailiwick::identity::{
    AUDIT, AuthMethod, Authentication, Browser, Client, ClientKind, ConsentRule, Decided, Event, EventKind, Resource,
    Scope, Tenant, audit_key, decode, hash_of,
};
use bailiwick::modules::exchange::{
    Connection, ID_JAG, IssuerKeys, JWT_BEARER, Replay, ScopeClass, Server, SubjectClaims, SubjectMapping,
    TOKEN_EXCHANGE, Target, TrustedIssuer, allow, classify, distrust, put_connection, trust,
};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

const CRM: &str = "https://crm.example/";
const PRICES: &str = "https://pricing.example/api";
const CALLBACK: &str = "https://sales.example/cb";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const ACCESS: &str = "urn:ietf:params:oauth:token-type:access_token";
const ID: &str = "urn:ietf:params:oauth:token-type:id_token";

fn strings(list: &[&str]) -> Vec<String> {
    list.iter().map(|text| (*text).to_owned()).collect()
}

fn pairs(list: &[(&str, &str)]) -> BTreeMap<String, String> {
    list.iter().map(|(from, to)| ((*from).to_owned(), (*to).to_owned())).collect()
}

fn resource(tenant: &Tenant, id: &str, identifier: &str, scopes: &[&str]) {
    let scope = |name: &&str| Scope { name: (*name).into(), description: (*name).into(), checked: false };
    let scopes = scopes.iter().map(scope).collect();
    let resource = Resource { id: id.into(), identifier: identifier.into(), name: id.into(), scopes, created_at: 0 };
    tenant.put_resource(&resource, &env()).unwrap();
}

/// The two domains: `acme`, where people sign in, and `root`, which owns the prices. Answers the secrets of the agent.
fn furnish(issuing: &Issuing) -> (String, String) {
    let (idp, ras, env) = (&issuing.acme, &issuing.root, env());
    resource(idp, "crm-api", CRM, &["contacts:read", "contacts:write", "contacts:delete"]);
    resource(ras, "prices", PRICES, &["pricing:read", "pricing:write"]);
    let person = json!({"name": "Sarah Chen", "email": "sarah@example.com", "email_verified": true});
    let person = person.as_object().unwrap().clone();
    let held = idp.user("sarah").unwrap();
    idp.change_user(&held, &["sarah@example.com"], person.clone(), &env).unwrap();
    ras.create_user(Some("s-chen"), &["sarah@example.com"], person, &env).unwrap();
    let agent = Client {
        redirect_uris: strings(&[CALLBACK]),
        grant_types: strings(&["authorization_code", "refresh_token", TOKEN_EXCHANGE]),
        scopes: strings(&["openid", "contacts:read", "contacts:write", "contacts:delete"]),
        resources: strings(&[CRM]),
        consent: ConsentRule::Managed,
        auth_methods: vec![AuthMethod::ClientSecretBasic, AuthMethod::ClientSecretPost],
        ..Client::new("sales", ClientKind::Agent, "The sales agent")
    };
    idp.create_client(&agent, &env).unwrap();
    let there = Client {
        grant_types: strings(&[JWT_BEARER]),
        scopes: strings(&["pricing:read", "pricing:write"]),
        resources: strings(&[PRICES]),
        auth_methods: vec![AuthMethod::ClientSecretBasic, AuthMethod::ClientSecretPost],
        ..Client::new("acme-sales", ClientKind::Agent, "Acme's sales agent")
    };
    ras.create_client(&there, &env).unwrap();
    for (tenant, id, serves) in [(idp, "crm-server", CRM), (ras, "price-server", PRICES)] {
        let server = Client { serves: strings(&[serves]), ..Client::new(id, ClientKind::App, id) };
        tenant.create_client(&server, &env).unwrap();
    }
    let target = Target::Resource { resource: CRM.into() };
    put_connection(idp, &Connection { id: "crm".into(), name: "CRM".into(), target, created_at: 0 }, &env).unwrap();
    let target = Target::Server(Server {
        issuer: ras.issuer().into(),
        resources: strings(&[PRICES]),
        clients: pairs(&[("sales", "acme-sales")]),
        scopes: pairs(&[("pricing:read", "pricing:read"), ("pricing:write", "pricing:write")]),
        subject: SubjectClaims { email: true, ..SubjectClaims::default() },
        life_s: 300,
    });
    let pricing = Connection { id: "pricing".into(), name: "Pricing".into(), target, created_at: 0 };
    put_connection(idp, &pricing, &env).unwrap();
    for (connection, scope, class) in [
        ("crm", "contacts:read", ScopeClass::Automatic),
        ("crm", "contacts:write", ScopeClass::NeedsApproval),
        ("pricing", "pricing:read", ScopeClass::Automatic),
        ("pricing", "pricing:write", ScopeClass::Never),
    ] {
        allow(idp, connection, "agent:sales", true, &env).unwrap();
        classify(idp, (connection, scope), "agent:sales", Some(class), &env).unwrap();
    }
    let row = TrustedIssuer {
        issuer: idp.issuer().into(),
        keys: IssuerKeys::Here,
        subject: SubjectMapping::Email,
        create_users: false,
        clients: strings(&["acme-sales"]),
        scopes: pairs(&[("pricing:read", "pricing:read")]),
        resources: strings(&[PRICES]),
        life_max_s: 300,
        access_token_s: None,
        acr_max: Some("phr".into()),
        replay: Replay::Once,
        created_at: 0,
    };
    trust(ras, &row, &env).unwrap();
    let secret = |tenant: &Tenant, id: &str| tenant.add_secret(id, None, &env).unwrap().1;
    (secret(idp, "sales"), secret(ras, "acme-sales"))
}

fn basic(id: &str, secret: &str) -> String {
    use base64::Engine as _;
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{id}:{secret}")))
}

/// The claims of a token, unverified.
fn claims(token: &Value) -> Map<String, Value> {
    let body = token.as_str().unwrap().split('.').nth(1).unwrap();
    serde_json::from_slice(&decode(body).unwrap()).unwrap()
}

fn events(tenant: &Tenant) -> Vec<Event> {
    let (records, start) = (tenant.engine().records(AUDIT), audit_key(tenant.number(), b'e'));
    let page = records.scan(&start, None, 1_000).unwrap();
    page.iter().map(|(_, bytes)| Event::read(bytes).unwrap()).collect()
}

struct Story {
    issuing: Issuing,
    agent: String,
    there: String,
}

impl Story {
    fn token(&self, path: &str, authorization: &str, pairs: &[(&str, &str)]) -> Heard {
        self.issuing.post(path, &[("authorization", authorization)], pairs)
    }

    /// Sarah signs in for the agent; answers its tokens and her session.
    fn sign_in(&self) -> (Value, String) {
        let (idp, challenge) = (&self.issuing.acme, hash_of(VERIFIER));
        let query = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs([
                ("client_id", "sales"),
                ("response_type", "code"),
                ("redirect_uri", CALLBACK),
                ("scope", "openid contacts:read contacts:write contacts:delete"),
                ("resource", CRM),
                ("code_challenge", &challenge),
                ("code_challenge_method", "S256"),
            ])
            .finish();
        let heard = self.issuing.send("GET", &format!("/t/acme/authorize?{query}"), &[], "");
        let to = url::Url::parse(heard.header("location").unwrap()).unwrap();
        let id = to.query_pairs().find(|(name, _)| name == "request").unwrap().1.into_owned();
        let request = idp.request(&id, &env()).unwrap();
        let authentication = Authentication { at: env().seconds(), acr: "phr".into(), amr: strings(&["hwk"]) };
        let (session, cookie) = idp.start_session("sarah", authentication, Browser::default(), &env()).unwrap();
        let held = idp.session_of_cookie(&cookie, &env()).unwrap().unwrap();
        let to = idp.complete(&request, &held, &Decided::NotAsked, &env()).unwrap();
        let to = url::Url::parse(&to).unwrap();
        let code = to.query_pairs().find(|(name, _)| name == "code").unwrap().1.into_owned();
        let pairs = [
            ("grant_type", "authorization_code"),
            ("code", &code),
            ("code_verifier", VERIFIER),
            ("redirect_uri", CALLBACK),
        ];
        let heard = self.token("/t/acme/token", &self.agent, &pairs);
        assert_eq!(heard.status, 200, "{}", heard.body);
        (heard.json(), session.id)
    }

    fn exchange(&self, token: &Value, kind: &str, more: &[(&str, &str)]) -> Heard {
        let pairs =
            [("grant_type", TOKEN_EXCHANGE), ("subject_token", token.as_str().unwrap()), ("subject_token_type", kind)];
        self.token("/t/acme/token", &self.agent, &[&pairs, more].concat())
    }

    fn redeem(&self, assertion: &Value) -> Heard {
        let pairs = [("grant_type", JWT_BEARER), ("assertion", assertion.as_str().unwrap())];
        self.token("/token", &self.there, &pairs)
    }

    fn introspect(&self, path: &str, server: &str, token: &Value) -> Value {
        self.token(path, server, &[("token", token.as_str().unwrap())]).json()
    }
}

#[track_caller]
fn refusal(heard: &Heard) -> (u16, String, String) {
    let json = heard.json();
    let text = |name: &str| json[name].as_str().unwrap().to_owned();
    (heard.status, text("error"), text("error_description"))
}

fn start() -> Story {
    let issuing = Issuing::start();
    let (agent, there) = furnish(&issuing);
    let (agent, there) = (basic("sales", &agent), basic("acme-sales", &there));
    Story { issuing, agent, there }
}

#[test]
fn an_agent_goes_from_one_domain_to_the_other_for_a_person() {
    let story = start();
    let (idp, ras) = (&story.issuing.acme, &story.issuing.root);
    for path in ["/t/acme/.well-known/oauth-authorization-server", "/.well-known/oauth-authorization-server"] {
        let metadata = story.issuing.send("GET", path, &[], "").json();
        assert_eq!(metadata["identity_chaining_requested_token_types_supported"], json!([ID_JAG]));
        let profile = "urn:ietf:params:oauth:grant-profile:id-jag";
        assert_eq!(metadata["authorization_grant_profiles_supported"], json!([profile]));
        let grants = metadata["grant_types_supported"].as_array().unwrap();
        assert!(grants.contains(&json!(TOKEN_EXCHANGE)) && grants.contains(&json!(JWT_BEARER)));
    }
    let (tokens, session) = story.sign_in();
    let crm_server = basic("crm-server", &idp.add_secret("crm-server", None, &env()).unwrap().1);
    let price_server = basic("price-server", &ras.add_secret("price-server", None, &env()).unwrap().1);

    // Within the domain: a part, and who acts is said.
    let heard = story.exchange(&tokens["access_token"], ACCESS, &[("scope", "contacts:read"), ("resource", CRM)]);
    assert_eq!((heard.status, heard.header("cache-control")), (200, Some("no-store")), "{}", heard.body);
    let part = heard.json();
    assert_eq!((&part["issued_token_type"], &part["scope"]), (&json!(ACCESS), &json!("contacts:read")));
    let seen = story.introspect("/t/acme/introspect", &crm_server, &part["access_token"]);
    assert_eq!(
        (&seen["active"], &seen["sub"], &seen["act"]),
        (&json!(true), &json!("sarah"), &json!({"sub": "sales"}))
    );
    let (status, error, text) =
        refusal(&story.exchange(&tokens["access_token"], ACCESS, &[("scope", "contacts:write")]));
    assert_eq!((status, error.as_str()), (400, "interaction_required"), "{text}");
    let (_, error, _) = refusal(&story.exchange(&tokens["access_token"], ACCESS, &[("scope", "contacts:delete")]));
    assert_eq!(error, "invalid_scope");

    // Across: an assertion, and a token for it. `write` is never had, and is not asserted.
    let wanted = [
        ("requested_token_type", ID_JAG),
        ("audience", ras.issuer()),
        ("scope", "pricing:read pricing:write"),
        ("resource", PRICES),
    ];
    let heard = story.exchange(&tokens["id_token"], ID, &wanted);
    assert_eq!(heard.status, 200, "{}", heard.body);
    let jag = heard.json();
    assert_eq!((&jag["token_type"], &jag["scope"]), (&json!("N_A"), &json!("pricing:read")));
    assert!(jag.get("refresh_token").is_none());
    let heard = story.redeem(&jag["access_token"]);
    assert_eq!(heard.status, 200, "{}", heard.body);
    let there = heard.json();
    let seen = story.introspect("/introspect", &price_server, &there["access_token"]);
    assert_eq!((&seen["active"], &seen["sub"], &seen["aud"]), (&json!(true), &json!("s-chen"), &json!([PRICES])));
    assert_eq!((&seen["scope"], &seen["acr"], &seen["amr"]), (&json!("pricing:read"), &json!("phr"), &json!(["hwk"])));
    assert_eq!(seen["act"], json!({"sub": "acme-sales", "act": {"sub": "sales", "iss": idp.issuer()}}));

    // What nobody may do: twice, where it is not for, by another, or with another token.
    assert_eq!(refusal(&story.redeem(&jag["access_token"])).1, "invalid_grant");
    let back = [("grant_type", JWT_BEARER), ("assertion", jag["access_token"].as_str().unwrap())];
    assert_eq!(refusal(&story.token("/t/acme/token", &story.agent, &back)).1, "unauthorized_client");
    assert_eq!(refusal(&story.redeem(&tokens["id_token"])).1, "invalid_grant");
    let own = [("requested_token_type", ID_JAG), ("audience", idp.issuer())];
    assert_eq!(refusal(&story.exchange(&tokens["id_token"], ID, &own)).1, "invalid_target");

    // Sarah signs out: what hung on her session is dead here. There, the row decides.
    idp.end_session("sarah", &session, "owner", &env()).unwrap();
    let dead = json!({"active": false});
    assert_eq!(story.introspect("/t/acme/introspect", &crm_server, &part["access_token"]), dead);
    assert_eq!(refusal(&story.exchange(&tokens["id_token"], ID, &wanted)).1, "invalid_request");
    assert_eq!(story.introspect("/introspect", &price_server, &there["access_token"])["active"], true);
    assert_eq!(distrust(ras, idp.issuer(), &env()).unwrap(), 1);
    assert_eq!(story.introspect("/introspect", &price_server, &there["access_token"]), dead);

    // Both logs tell it, by the id of the assertion, with the person and the agent.
    let jti = claims(&jag["access_token"])["jti"].as_str().unwrap().to_owned();
    let made = events(idp).into_iter().find(|event| event.get_token() == Some(&jti)).unwrap();
    assert_eq!((made.kind(), made.get_resource()), (EventKind::ExchangeAllowed, Some(ras.issuer())));
    let taken = events(ras).into_iter().find(|event| event.details().get("assertion") == Some(&jti)).unwrap();
    assert_eq!((taken.get_user(), taken.get_agent()), (Some("user:s-chen"), Some("agent:acme-sales")));
    let refused = |tenant: &Tenant| {
        let of_kind = events(tenant).into_iter().filter(|event| event.kind() == EventKind::ExchangeRefused);
        of_kind.map(|event| event.get_reason().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let here = ["connection.needs_approval", "connection.never", "idjag.own_issuer", "session.over"];
    assert_eq!(refused(idp), here);
    assert_eq!(refused(ras), ["redeem.replayed", "redeem.typ"]);
}
