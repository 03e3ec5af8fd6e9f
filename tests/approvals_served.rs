//! Approvals as `bailiwick serve` uses them: by the exchange, by the registry, and told by mail, webhook and ping.

use crate::cli::{err, program};
use crate::identity::{Heard, Issuing, env};
use crate::mcp_tenant::{approve, basic, client, events, signed_in, strings};
use bailiwick::identity::{
    AuthMethod, Authentication, Caller, Client, ClientCredentialsGrant, ClientKind, CodeGrant, ConsentRule, EventKind,
    Form, Grant, GrantSubject, GrantType as _, Resource, Scope, Tenant, TokenKind, Wanted, hash_of,
};
use bailiwick::modules::agent::{By, NoApprovals, Profile, Registry};
use bailiwick::modules::approval::{Backchannel, Delivery, put_backchannel, put_type};
use bailiwick::modules::exchange::{Connection, ScopeClass, TOKEN_EXCHANGE, Target, allow, classify, put_connection};
use bailiwick::server::{ChannelSettings, MailSettings, RelayTls, WebhookSettings};
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

const CRM: &str = "https://crm.example/";
const CALLBACK: &str = "https://sales.example/cb";
const CIBA: &str = "urn:openid:params:grant-type:ciba";
const ACCESS: &str = "urn:ietf:params:oauth:token-type:access_token";
/// How long something that has to come may take. It is never waited for in full.
const COMES: Duration = Duration::from_secs(60);

pub(crate) fn resource(tenant: &Tenant, id: &str, identifier: &str, scopes: &[&str]) {
    let scope = |name: &&str| Scope { name: (*name).into(), description: (*name).into(), checked: false };
    let scopes = scopes.iter().map(scope).collect();
    let resource = Resource { id: id.into(), identifier: identifier.into(), name: id.into(), scopes, created_at: 0 };
    tenant.put_resource(&resource, &env()).unwrap();
}

/// A type of details whose members are these, on which these people decide.
pub(crate) fn kind(tenant: &Tenant, name: &str, title: &str, members: &[&str], who: &str) {
    let mut properties: serde_json::Map<String, Value> =
        members.iter().map(|member| ((*member).to_owned(), json!({}))).collect();
    properties.insert("type".into(), json!({}));
    let spec = json!({
        "name": name, "title": title, "rules": [{"who": [who]}],
        "schema": {"type": "object", "additionalProperties": false, "properties": properties},
    });
    put_type(tenant, &serde_json::from_value(spec).unwrap(), "user:admin", &env()).unwrap();
}

/// Sarah and her manager John; the sales agent, which reads contacts for the asking and writes them with an approval.
pub(crate) struct World {
    pub(crate) issuing: Issuing,
    agent: String,
}

impl World {
    pub(crate) fn start(issuing: Issuing) -> World {
        let tenant = &issuing.acme;
        let person = |id: &str| {
            let address = format!("{id}@example.com");
            let claims = json!({"name": id, "email": address, "email_verified": true});
            (address, claims.as_object().unwrap().clone())
        };
        let (address, claims) = person("john");
        tenant.create_user(Some("john"), &[&address], claims, &env()).unwrap();
        let held = tenant.user("sarah").unwrap();
        let (address, claims) = person("sarah");
        tenant.change_user(&held, &[&address], claims, &env()).unwrap();
        let mut change = tenant.change(&env());
        change.relate("user:sarah", "manager", "user:john");
        change.commit().unwrap();
        resource(tenant, "crm-api", CRM, &["contacts:read", "contacts:write", "contacts:delete"]);
        resource(tenant, "asks", &tenant.url("/access-requests"), &[]);
        kind(
            tenant,
            "connection_access",
            "Let it use {/actions/0} of {/connection}",
            &["connection", "locations", "actions"],
            "manager",
        );
        let sales = Client {
            redirect_uris: strings(&[CALLBACK]),
            grant_types: strings(&["authorization_code", TOKEN_EXCHANGE, CIBA]),
            scopes: strings(&["openid", "contacts:read", "contacts:write", "contacts:delete"]),
            resources: vec![CRM.into(), tenant.url("/access-requests")],
            details_types: strings(&["connection_access"]),
            consent: ConsentRule::Managed,
            ..Client::new("sales", ClientKind::Agent, "The sales agent")
        };
        let agent = client(tenant, sales);
        let target = Target::Resource { resource: CRM.into() };
        let connection = Connection { id: "crm".into(), name: "CRM".into(), target, created_at: 0 };
        put_connection(tenant, &connection, &env()).unwrap();
        allow(tenant, "crm", "agent:sales", true, &env()).unwrap();
        for (scope, class) in [
            ("contacts:read", ScopeClass::Automatic),
            ("contacts:write", ScopeClass::NeedsApproval),
            ("contacts:delete", ScopeClass::NeedsApproval),
        ] {
            classify(tenant, ("crm", scope), "agent:sales", Some(class), &env()).unwrap();
        }
        World { issuing, agent }
    }

    fn post(&self, path: &str, pairs: &[(&str, &str)]) -> Heard {
        self.issuing.post(&format!("/t/acme{path}"), &[("authorization", &self.agent)], pairs)
    }

    pub(crate) fn token(&self) -> String {
        let scopes = "openid contacts:read contacts:write contacts:delete";
        signed_in(&self.issuing, ("sales", &self.agent), "sarah", CRM, scopes)
    }

    pub(crate) fn exchange(&self, token: &str, scope: &str, more: &[(&str, &str)]) -> Heard {
        let pairs = [
            ("grant_type", TOKEN_EXCHANGE),
            ("subject_token", token),
            ("subject_token_type", ACCESS),
            ("resource", CRM),
            ("scope", scope),
        ];
        self.post("/token", &[&pairs, more].concat())
    }

    pub(crate) fn ask(&self, details: &Value, more: &[(&str, &str)]) -> Value {
        let details = json!([details]).to_string();
        let mut pairs = vec![("login_hint", "sarah@example.com"), ("authorization_details", &*details)];
        if !more.iter().any(|(name, _)| *name == "scope") {
            pairs.push(("scope", "openid"));
        }
        let heard = self.post("/bc-authorize", &[&pairs, more].concat());
        assert_eq!(heard.status, 200, "{}", heard.body);
        heard.json()
    }
}

fn error(heard: &Heard) -> (u16, String) {
    (heard.status, heard.json()["error"].as_str().unwrap_or_default().to_owned())
}

pub(crate) fn write_access() -> Value {
    json!({"type": "connection_access", "connection": "crm", "locations": [CRM], "actions": ["contacts:write"]})
}

#[test]
fn an_exchange_gives_exactly_what_was_approved_once() {
    let world = World::start(Issuing::start());
    let token = world.token();
    let write = |more: &[(&str, &str)]| world.exchange(&token, "contacts:write", more);
    let refused = write(&[]);
    assert_eq!(error(&refused), (400, "interaction_required".into()));
    assert!(refused.body.contains("connection_access"), "it says how to ask: {}", refused.body);

    // By CIBA: Sarah's manager decides, and what the client was told names the approval.
    let asked = world.ask(&write_access(), &[]);
    let asked = asked["auth_req_id"].as_str().unwrap();
    assert_eq!(error(&write(&[("approval", asked)])), (400, "access_denied".into()), "nobody has decided");
    let approved = approve(&world.issuing, "john");
    assert_eq!(approved.shown.details[0].title, "Let it use contacts:write of crm");
    assert_eq!(error(&world.exchange(&token, "contacts:delete", &[("approval", asked)])).1, "access_denied");
    assert_eq!(
        error(&world.exchange(&token, "contacts:write contacts:delete", &[("approval", asked)])).1,
        "access_denied"
    );
    let given = write(&[("approval", asked)]);
    assert_eq!(given.status, 200, "{}", given.body);
    let given = given.json();
    assert_eq!(given["scope"], "contacts:write");
    assert!(given["expires_in"].as_u64().unwrap() <= 300, "no longer than the approval is good");
    assert_eq!(error(&write(&[("approval", asked)])).1, "access_denied", "used up");

    // By an access request: the same exchange, made again, finds what was allowed.
    let asking = signed_in(
        &world.issuing,
        ("sales", &world.agent),
        "sarah",
        &world.issuing.acme.url("/access-requests"),
        "openid",
    );
    let bearer = format!("Bearer {asking}");
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let wanted = json!({"resource": {"type": "connection", "id": "crm"}, "action": {"name": "contacts:write"}});
    let heard = world.issuing.send("POST", "/t/acme/access-requests", &headers, &wanted.to_string());
    assert_eq!(heard.status, 202, "{}", heard.body);
    assert_eq!(error(&write(&[])).1, "interaction_required");
    approve(&world.issuing, "john");
    assert_eq!(error(&world.exchange(&token, "contacts:delete", &[])).1, "interaction_required", "of something else");
    assert_eq!(write(&[]).status, 200);
    assert_eq!(error(&write(&[])).1, "interaction_required", "used up");

    // The records tell which approval it was, and that it was used.
    let events = events(&world.issuing);
    let given = events.iter().filter(|event| event.kind() == EventKind::ExchangeAllowed);
    let named: Vec<String> = given.map(|event| format!("approval:{}", event.details()["approval"])).collect();
    let used = events.iter().filter(|e| e.kind() == EventKind::ApprovalDecided && e.get_reason() == Some("used"));
    let used: Vec<&str> = used.map(|event| event.get_resource().unwrap()).collect();
    assert_eq!((named.len(), named), (2, used.iter().map(|id| (*id).to_owned()).collect()));
}

#[test]
fn a_resource_server_uses_up_what_was_approved_once() {
    let world = World::start(Issuing::start());
    let tenant = &world.issuing.acme;
    let [server, other] = [("crm-server", CRM), ("another", "https://other.example/")].map(|(id, serves)| {
        if serves != CRM {
            resource(tenant, id, serves, &[]);
        }
        client(tenant, Client { serves: strings(&[serves]), ..Client::new(id, ClientKind::App, id) })
    });
    let asked = world.ask(&write_access(), &[("scope", "openid contacts:write"), ("resource", CRM)]);
    approve(&world.issuing, "john");
    let pairs = [("grant_type", CIBA), ("auth_req_id", asked["auth_req_id"].as_str().unwrap())];
    let heard = world.post("/token", &pairs);
    assert_eq!(heard.status, 200, "{}", heard.body);
    let token = heard.json()["access_token"].as_str().unwrap().to_owned();
    let send = |path: &str, who: &str, more: &[(&str, &str)]| {
        let pairs = [&[("token", token.as_str())], more].concat();
        world.issuing.post(&format!("/t/acme{path}"), &[("authorization", who)], &pairs)
    };
    let use_up = |who: &str, what: &Value| {
        let text = what.to_string();
        error(&send("/authorization-details/use", who, &[("authorization_details", &text)]))
    };
    let left = || send("/introspect", &server, &[]).json()["authorization_details"].clone();
    let exactly = json!([write_access()]);
    assert_eq!(left(), exactly);
    // What is a little else, by who is not asked, or all at once, is not used up.
    let mut more = write_access();
    more["actions"] = json!(["contacts:write", "contacts:delete"]);
    let denied = (400, "access_denied".to_owned());
    assert_eq!(use_up(&server, &json!([more])), denied);
    assert_eq!(use_up(&other, &exactly), denied, "it serves something else");
    assert_eq!(use_up(&world.agent, &exactly), denied, "whoever holds it does not serve it");
    assert_eq!(use_up(&server, &json!([write_access(), write_access()])).0, 400);
    assert_eq!(use_up("Basic AAAA", &exactly).0, 401);
    assert_eq!(left(), exactly);
    // Of many at once one does.
    let answers: Vec<(u16, String)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| use_up(&server, &exactly))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(answers.iter().filter(|answer| answer.0 == 200).count(), 1, "{answers:?}");
    assert_eq!(answers.iter().filter(|answer| **answer == denied).count(), 3, "{answers:?}");
    assert_eq!(left(), Value::Null);
    let used = events(&world.issuing).into_iter().filter(|e| e.get_reason() == Some("used")).count();
    assert_eq!(used, 1);
}

#[test]
fn what_somebody_else_approves_is_got_by_asking_them_alone() {
    let world = World::start(Issuing::start());
    let tenant = &world.issuing.acme;
    let held = tenant.client("sales").unwrap();
    let grant_types = [held.grant_types.clone(), strings(&["client_credentials"])].concat();
    tenant.change_client(&held, &Client { grant_types, ..held.value.clone() }, &env()).unwrap();
    let challenge = hash_of("a verifier of as many characters as there have to be");
    let mut nonsense = write_access();
    nonsense["nonsense"] = true.into();
    let refused = (400, "invalid_authorization_details".to_owned());
    for details in [write_access(), nonsense, json!({"type": "unknown"})] {
        let details = json!([details]).to_string();
        let own =
            [("grant_type", "client_credentials"), ("scope", "contacts:read"), ("authorization_details", &details)];
        assert_eq!(error(&world.post("/token", &own)), refused, "{details}");
        let pushed = [
            ("response_type", "code"),
            ("redirect_uri", CALLBACK),
            ("scope", "openid"),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
            ("authorization_details", &details),
        ];
        assert_eq!(error(&world.post("/par", &pushed)), refused, "{details}");
    }
    // A token that has one all the same, and that nobody approved, is good for what else it has.
    let caller = Caller { client: tenant.client("sales").unwrap(), method: AuthMethod::ClientSecretBasic, jkt: None };
    let form = Form::parse("scope=contacts:read").unwrap();
    let token = ClientCredentialsGrant.redeem(tenant, &caller, &form, &env()).unwrap().access_token;
    let own = tenant.examine(&token, TokenKind::Access, None, &env()).unwrap().grant;
    let grant = Grant { id: env().id(), details: vec![write_access()], ..own };
    let (env, wanted) = (env(), Wanted::default());
    let mut change = tenant.change(&env);
    tenant.add_grant(&mut change, &grant, &env).unwrap();
    let answer = tenant.issue(&mut change, &caller, &grant, &wanted, &env).unwrap();
    change.commit().unwrap();
    assert_eq!(answer.authorization_details, [write_access()]);
    let told = world.post("/introspect", &[("token", &answer.access_token)]).json();
    assert_eq!((&told["active"], &told["scope"]), (&json!(true), &json!("contacts:read")));
    assert_eq!(told.get("authorization_details"), None, "{told}");
}

/// A type that begins to ask the person: of tokens that are out, those keep its details whose person allowed them, as strongly as
/// is wanted.
#[test]
fn a_type_that_asks_from_now_on_is_asked_for_of_older_tokens() {
    let world = World::start(Issuing::start());
    let tenant = &world.issuing.acme;
    let held = tenant.client("sales").unwrap();
    tenant.change_client(&held, &Client { details_types: strings(&["note"]), ..held.value.clone() }, &env()).unwrap();
    let schema = json!({"type": "object", "additionalProperties": false, "properties": {"type": {}}});
    let nobody = json!({"name": "note", "title": "Note", "rules": [{"who": []}], "schema": schema});
    put_type(tenant, &serde_json::from_value(nobody).unwrap(), "user:admin", &env()).unwrap();
    let caller = Caller { client: tenant.client("sales").unwrap(), method: AuthMethod::ClientSecretBasic, jkt: None };
    let form = Form::parse("scope=contacts:read").unwrap();
    let own = ClientCredentialsGrant.redeem(tenant, &caller, &form, &env()).unwrap().access_token;
    let own = tenant.examine(&own, TokenKind::Access, None, &env()).unwrap().grant;
    let tokens = [(true, "phr"), (false, "phr"), (true, "aal1")].map(|(details_allowed, acr)| {
        let env = env();
        let grant = Grant {
            id: env.id(),
            by: CodeGrant.name().to_owned(),
            subject: GrantSubject::User("sarah".to_owned()),
            details: vec![json!({"type": "note"})],
            details_allowed,
            authentication: Some(Authentication { at: env.seconds(), acr: acr.into(), amr: Vec::new() }),
            ..own.clone()
        };
        let mut change = tenant.change(&env);
        tenant.add_grant(&mut change, &grant, &env).unwrap();
        let answer = tenant.issue(&mut change, &caller, &grant, &Wanted::default(), &env).unwrap();
        change.commit().unwrap();
        answer.access_token
    });
    let left = || {
        tokens.each_ref().map(|token| {
            let told = world.post("/introspect", &[("token", token)]).json();
            assert_eq!(told["active"], true, "{told}");
            told.get("authorization_details").is_some()
        })
    };
    assert_eq!(left(), [true; 3]);
    kind(tenant, "note", "Note", &[], "subject");
    assert_eq!(left(), [true, false, false]);
}

/// A console for operators, whose consent nobody is asked: the administration's URL, and its credentials.
fn console(tenant: &Tenant) -> (String, String) {
    let place = tenant.url("/admin");
    resource(tenant, "admin", &place, &["agents:read", "agents:write"]);
    let console = Client {
        redirect_uris: strings(&[CALLBACK]),
        scopes: strings(&["openid", "agents:read", "agents:write"]),
        grant_types: strings(&["authorization_code"]),
        resources: vec![place.clone()],
        consent: ConsentRule::Managed,
        ..Client::new("console", ClientKind::App, "The console")
    };
    let credentials = client(tenant, console);
    (place, credentials)
}

#[test]
fn an_agent_reaches_more_by_an_approval_that_its_history_names() {
    let world = World::start(Issuing::start());
    let (tenant, agent) = (&world.issuing.acme, "bot");
    for id in ["olga", "ann"] {
        let claims = json!({"name": id}).as_object().unwrap().clone();
        tenant.create_user(Some(id), &[&format!("{id}@example.com")], claims, &env()).unwrap();
    }
    let mut change = tenant.change(&env());
    change.relate("team:ops", "member", "user:olga");
    change.commit().unwrap();
    let registry = Registry { tenant, approvals: &NoApprovals };
    let profile = Profile {
        name: "Bot".into(),
        purpose: "Writes".into(),
        owner: Some("team:ops".into()),
        accountable: Some("user:ann".into()),
        ..Profile::default()
    };
    registry.register(By::Machine, Some(agent), &profile, &env()).unwrap();
    registry.activate(By::Machine, agent, &env()).unwrap();
    let held = tenant.client(agent).unwrap();
    let changed = Client {
        grant_types: strings(&[CIBA]),
        scopes: strings(&["openid"]),
        details_types: strings(&["agent_access"]),
        auth_methods: vec![AuthMethod::ClientSecretBasic],
        ..held.value.clone()
    };
    tenant.change_client(&held, &changed, &env()).unwrap();
    let secret = basic(agent, &tenant.add_secret(agent, None, &env()).unwrap().1);
    kind(tenant, "agent_access", "Let {/agent} use {/connection}", &["agent", "connection", "scopes"], "accountable");
    let (place, console) = console(tenant);
    let olga = signed_in(&world.issuing, ("console", &console), "olga", &place, "openid agents:write");
    let bearer = format!("Bearer {olga}");
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let path = format!("/t/acme/admin/agents/{agent}/connections");
    let put = |scopes: Value, approval: Option<&str>| {
        let access = json!({"connection": "connection:crm", "scopes": scopes});
        let body = json!({"access": access, "approval": approval}).to_string();
        world.issuing.send("PUT", &path, &headers, &body)
    };
    let wanted = json!({"contacts:read": "automatic"});
    assert_eq!(error(&put(wanted.clone(), None)), (403, "access_denied".into()), "she is no administrator");
    // The agent asks; who answers for it decides; an operator makes the change.
    let what =
        json!([{"type": "agent_access", "agent": "agent:bot", "connection": "connection:crm", "scopes": wanted}]);
    let text = what.to_string();
    let pairs = [("scope", "openid"), ("login_hint", "ann@example.com"), ("authorization_details", &text)];
    let used = || registry.credentials(agent).unwrap().iter().map(|c| c.used_at.is_some()).collect::<Vec<_>>();
    assert_eq!(used(), [false]);
    let heard = world.issuing.post("/t/acme/bc-authorize", &[("authorization", &secret)], &pairs);
    assert_eq!(heard.status, 200, "{}", heard.body);
    assert_eq!(used(), [true], "an agent that asks has shown its secret");
    let approval = approve(&world.issuing, "ann").id;
    assert_eq!(
        error(&put(json!({"contacts:write": "automatic"}), Some(&approval))).1,
        "access_denied",
        "something else"
    );
    let done = put(wanted.clone(), Some(&approval));
    assert_eq!(done.status, 200, "{}", done.body);
    assert_eq!(error(&put(json!({"contacts:read": "never"}), Some(&approval))).1, "access_denied", "used up");
    let history = format!("/t/acme/admin/agents/{agent}/history");
    let history = world.issuing.send("GET", &history, &headers, "").json();
    let last = history["history"].as_array().unwrap().last().unwrap().clone();
    assert_eq!(
        (&last["action"], &last["approval"], &last["by"]),
        (&json!("allow"), &json!(approval), &json!("user:olga"))
    );
}

/// A mail relay that takes every mail and hands it on: who it is for, and its text.
fn relay() -> (SocketAddr, Receiver<(String, String)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, mails) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let _ = serve_mail(stream.unwrap(), &sender); // who hangs up has said what it wanted
        }
    });
    (address, mails)
}

fn serve_mail(stream: TcpStream, mails: &Sender<(String, String)>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut to = String::new();
    reader.get_mut().write_all(b"220 relay\r\n")?;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let answer: &[u8] = match line.split([' ', '\r']).next().unwrap_or_default() {
            "DATA" => {
                reader.get_mut().write_all(b"354 go on\r\n")?;
                let mut text = String::new();
                while !text.ends_with("\r\n.\r\n") {
                    reader.read_line(&mut text)?;
                }
                let _ = mails.send((std::mem::take(&mut to), text));
                b"250 taken\r\n"
            }
            "RCPT" => {
                to = line.trim().to_owned();
                b"250 good\r\n"
            }
            "QUIT" => b"221 bye\r\n",
            _ => b"250 good\r\n",
        };
        reader.get_mut().write_all(answer)?;
    }
}

/// A server that answers every POST with this status and hands on what it was sent: path, `Authorization`, body.
fn hook(status: u16) -> (SocketAddr, Receiver<(String, String, Value)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, calls) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut reader = BufReader::new(stream.unwrap());
            let (mut path, mut key, mut length) = (String::new(), String::new(), 0);
            loop {
                let mut line = String::new();
                if reader.read_line(&mut line).unwrap_or(0) <= 2 {
                    break;
                }
                let (name, value) = line.trim().split_once(": ").unwrap_or(("", line.trim()));
                match name.to_ascii_lowercase().as_str() {
                    "" => path = value.split(' ').nth(1).unwrap_or_default().to_owned(),
                    "authorization" => key = value.to_owned(),
                    "content-length" => length = value.parse().unwrap(),
                    _ => {}
                }
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            write!(reader.get_mut(), "HTTP/1.1 {status} It\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").unwrap();
            let _ = sender.send((path, key, serde_json::from_slice(&body).unwrap()));
        }
    });
    (address, calls)
}

#[test]
fn people_are_told_by_mail_and_webhook_and_clients_by_a_ping() {
    let ((relay, mails), (hook_at, calls), (ping_at, pings)) = (relay(), hook(204), hook(204));
    let issuing = Issuing::start_with(|settings| {
        settings.channels = ChannelSettings {
            mail: Some(MailSettings {
                host: relay.ip().to_string(),
                port: relay.port(),
                from: "Bailiwick <approvals@example.com>".into(),
                tls: RelayTls::None,
                login: None,
            }),
            webhook: Some(WebhookSettings { url: format!("http://{hook_at}/asked"), bearer: "hook-secret".into() }),
        };
    });
    let world = World::start(issuing);
    let tenant = &world.issuing.acme;
    let endpoint = format!("http://{ping_at}/decided");
    let backchannel = Backchannel { delivery: Delivery::Ping { endpoint }, signed_requests: false };
    put_backchannel(tenant, "sales", &backchannel, "user:admin", &env()).unwrap();
    let token = "a-notification-token-of-128-bits";
    let asked = world.ask(&write_access(), &[("client_notification_token", token), ("binding_message", "W-42")]);
    let id = asked["auth_req_id"].as_str().unwrap().split('.').next().unwrap();
    let link = tenant.url(&format!("/approvals/{id}"));

    // Sarah's manager is told, and the link decides nothing by itself.
    let (to, mail) = mails.recv_timeout(COMES).unwrap();
    assert_eq!(to, "RCPT TO:<john@example.com>");
    assert!(mail.contains("Let it use contacts:write of crm") && mail.contains("W-42"), "{mail}");
    assert!(mail.replace("=\r\n", "").contains(&link), "{mail}");
    let (path, key, body) = calls.recv_timeout(COMES).unwrap();
    assert_eq!((path.as_str(), key.as_str()), ("/asked", "Bearer hook-secret"));
    assert_eq!((&body["link"], &body["titles"][0]), (&json!(link), &json!("Let it use contacts:write of crm")));
    assert_eq!(body["people"], json!([{"id": "john", "name": "john", "email": "john@example.com"}]));
    let opened = world.issuing.send("GET", &format!("/t/acme/approvals/{id}"), &[], "");
    assert_eq!(opened.status, 303, "who is not signed in signs in first");

    // The client is told that it was decided, with its own token, and fetches.
    assert!(pings.try_recv().is_err(), "nothing was decided yet");
    approve(&world.issuing, "john");
    let (path, key, body) = pings.recv_timeout(COMES).unwrap();
    assert_eq!((path.as_str(), key), ("/decided", format!("Bearer {token}")));
    assert_eq!(body, json!({"auth_req_id": asked["auth_req_id"]}));
    let pairs = [("grant_type", CIBA), ("auth_req_id", asked["auth_req_id"].as_str().unwrap())];
    assert_eq!(world.post("/token", &pairs).status, 200);
    assert!(mails.try_recv().is_err() && calls.try_recv().is_err(), "each is told once");
}

#[test]
fn half_a_setting_of_a_channel_is_refused_before_anything_is_made() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    std::fs::write(directory.join("empty"), "\n").unwrap();
    for (arguments, says) in [
        (&["--approval-mail-relay", "localhost:25"][..], "`approval-mail-from` is not"),
        (&["--approval-mail-from", "a@example.com"], "`approval-mail-relay` is not"),
        (&["--approval-mail-relay", "localhost", "--approval-mail-from", "a@example.com"], "`localhost:25`"),
        (
            &[
                "--approval-mail-relay",
                "localhost:25",
                "--approval-mail-from",
                "a@example.com",
                "--approval-mail-login",
                "a",
            ],
            "`approval-mail-password-file` is not",
        ),
        (
            &[
                "--approval-mail-relay",
                "localhost:25",
                "--approval-mail-from",
                "a@example.com",
                "--approval-mail-login",
                "a",
                "--approval-mail-password-file",
                "empty",
            ],
            "not sent to a mail relay in the clear",
        ),
        (&["--approval-webhook", "https://hook.example/"], "`approval-webhook-token-file` is not"),
        (&["--approval-webhook", "https://hook.example/", "--approval-webhook-token-file", "empty"], "is empty"),
    ] {
        let output = program(directory).args(["serve", "--data", "data"]).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(err(&output).contains(says), "{arguments:?}: {}", err(&output));
    }
    assert!(!directory.join("data").exists());
}
