//! The world of the story, as whoever runs Bailiwick sets it up with its commands: two tenants, their people, what there is to
//! be allowed, and who may have it. Each function says which command does the same.

use super::keys::Key;
use super::stubs::mcp::SERVERS;
use crate::cli::Failure;
use crate::cli::identity::env;
use bailiwick::engine::Engine;
use bailiwick::identity::{
    AuthMethod, Client, ClientKeys, ClientKind, ConsentRule, Identity, OPENID_SCOPES, Resource, Scope, Tenant,
    TenantSettings,
};
use bailiwick::modules::agent::{NoApprovals, Registry};
use bailiwick::modules::approval::{Backchannel, CIBA_GRANT, Delivery, DetailType, put_backchannel, put_type};
use bailiwick::modules::exchange::{
    Connection, IssuerKeys, JWT_BEARER, Replay, Server, SubjectClaims, SubjectMapping, TOKEN_EXCHANGE, Target,
    TrustedIssuer, put_connection, trust,
};
use bailiwick::modules::login::{NewProvider, put_provider};
use bailiwick::modules::vault::{self, FEDERATED_GRANT, Hidden, Holder, ScopeClass, Secret};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The agent's id at Acme, and at the pricing domain.
pub(super) const AGENT: &str = "sales-agent-prod-001";
pub(super) const AGENT_THERE: &str = "acme-sales";
/// The program that looks for agents that nobody registered, what it may read, and through which connection.
pub(super) const SCOUT: &str = "scout";
pub(super) const ACCOUNTS_SCOPE: &str = "crm:accounts";
pub(super) const DIRECTORY: &str = "crm-accounts";
/// The scopes of the vault's proxy, and what they mean to a person.
const VAULT_SCOPES: [(&str, &str); 7] = [
    ("crm:read", "Read contacts and deals"),
    ("crm:update", "Change the deal in the CRM"),
    ("crm:delete", "Delete records of the CRM"),
    ("drive:write", "Put files on Drive"),
    ("email:send", "Send mail in your name"),
    ("calendar:read", "See when you are free"),
    ("calendar:write", "Put meetings into your calendar"),
];
/// How Acme is known at Google, where people sign in and where the vault has their tokens from.
pub(super) const SIGN_IN: &str = "acme-sign-in";
pub(super) const VAULT: &str = "acme-vault";
/// How long an invitation is good, in seconds.
const INVITED_S: u64 = 3_600;

/// Who is what to what in the company's data: the model of a store of its own, in OpenFGA's language.
pub(super) const DATA_MODEL: &str = "model
  schema 1.1
type user
  relations
    define manager: [user]
type agent
type team
  relations
    define member: [user]
type mcp_server
  relations
    define can_use: [user, team#member, agent]
type account
  relations
    define viewer: [user, team#member, agent]
type document
  relations
    define owner: [user]
    define viewer: [user, team#member, agent] or owner or manager from owner
type calendar
  relations
    define viewer: [user, agent]
type price_list
  relations
    define viewer: [user, team#member, agent]
";

/// Where everything is.
#[derive(Clone, Debug)]
pub(super) struct Places {
    /// The issuers: Acme's, and that of the pricing domain.
    pub(super) acme: String,
    pub(super) pricing: String,
    /// The agent's own application.
    pub(super) portal: String,
    /// The pricing service.
    pub(super) prices: String,
}

impl Places {
    /// What tokens for the vault's proxy are for.
    pub(super) fn proxy(&self) -> String {
        format!("{}/proxy", self.acme)
    }

    /// What tokens for the administration are for.
    pub(super) fn admin(&self) -> String {
        format!("{}/admin", self.acme)
    }

    /// What tokens for an MCP server are for.
    pub(super) fn mcp(&self, name: &str) -> String {
        format!("{}/mcp/{name}", self.acme)
    }

    /// Where browsers come back to.
    pub(super) fn callback(&self) -> String {
        format!("{}/callback", self.portal)
    }
}

/// The world.
pub(super) struct World {
    pub(super) engine: Engine,
    pub(super) identity: Identity,
    pub(super) acme: Tenant,
    pub(super) pricing: Tenant,
    pub(super) places: Places,
}

fn strings(list: &[&str]) -> Vec<String> {
    list.iter().map(|text| (*text).to_owned()).collect()
}

fn pairs(list: &[(&str, &str)]) -> BTreeMap<String, String> {
    list.iter().map(|(from, to)| ((*from).to_owned(), (*to).to_owned())).collect()
}

impl World {
    /// Two tenants, each an issuer with users, keys and rules of its own (`bailiwick tenant create`).
    pub(super) fn new(engine: &Engine, identity: &Identity, places: Places) -> Result<World, Failure> {
        let make = |name: &str, issuer: &str| identity.create_tenant(name, issuer, &TenantSettings::default(), &env());
        let (acme, pricing) = (make("acme", &places.acme)?, make("pricing", &places.pricing)?);
        let world = World { engine: engine.clone(), identity: identity.clone(), acme, pricing, places };
        world.resources()?;
        world.console()?;
        world.details()?;
        Ok(world)
    }

    /// A person, and the link with which they come in for the first time (`bailiwick user create`, `user invite`).
    pub(super) fn person(&self, id: &str, login: &str, claims: &Value) -> Result<String, Failure> {
        let claims = claims.as_object().cloned().unwrap_or_default();
        self.acme.create_user(Some(id), &[login], claims, &env())?;
        let code = self.acme.invite(id, INVITED_S, &env())?;
        Ok(self.acme.url(&format!("/invite?code={code}")))
    }

    /// Who runs the tenant (`bailiwick role give user:olga admin`).
    pub(super) fn administers(&self, subject: &str) -> Result<(), Failure> {
        self.acme.give_role(&self.acme.appointment_named("admin", None, subject)?, &env())?;
        Ok(())
    }

    /// Tuples of Acme's system store: teams and managers (`bailiwick team add`, `team manager`).
    pub(super) fn relate(&self, tuples: &[(&str, &str, &str)]) -> Result<(), Failure> {
        let env = env();
        let mut change = self.acme.change(&env);
        for (object, relation, subject) in tuples {
            change.relate(object, relation, subject);
        }
        change.commit()?;
        Ok(())
    }

    /// Google, with whose word people sign in (`bailiwick provider put`).
    pub(super) fn google(&self, issuer: &str, secret: &str) -> Result<(), Failure> {
        let google = NewProvider { id: "google", name: "Google", issuer, client_id: SIGN_IN, secret: Some(secret) };
        put_provider(&self.acme, google, Some("user:olga"), &env())?;
        Ok(())
    }

    /// What tokens can be for (`bailiwick resource create`).
    fn resources(&self) -> Result<(), Failure> {
        let put = |tenant: &Tenant, id: &str, identifier: String, name: &str, scopes: &[(&str, &str)]| {
            let scope = |(name, words): &(&str, &str)| Scope {
                name: (*name).to_owned(),
                description: (*words).to_owned(),
                checked: false,
            };
            let scopes = scopes.iter().map(scope).collect();
            tenant
                .put_resource(&Resource { id: id.into(), identifier, name: name.into(), scopes, created_at: 0 }, &env())
        };
        let of_scout = (ACCOUNTS_SCOPE, "List the accounts of the CRM");
        let scopes: Vec<_> = VAULT_SCOPES.into_iter().chain([of_scout]).collect();
        put(&self.acme, "proxy", self.places.proxy(), "Your connected accounts", &scopes)?;
        let admin = [
            ("agents:read", "See agents"),
            ("agents:write", "Change agents"),
            ("agents:report", "Report accounts"),
            ("audit:read", "Read the audit log"),
            ("connections:write", "Change connections"),
            ("mcp:write", "Change MCP servers"),
        ];
        put(&self.acme, "admin", self.places.admin(), "Administration", &admin)?;
        let prices = [("pricing:read", "See prices"), ("pricing:write", "Set prices"), ("pricing:admin", "Run it")];
        put(&self.pricing, "prices", self.places.prices.clone(), "Prices", &prices)?;
        Ok(())
    }

    /// The console with which administrators work (`bailiwick client create`).
    fn console(&self) -> Result<(), Failure> {
        let console = Client {
            auth_methods: vec![AuthMethod::None],
            redirect_uris: vec![self.places.callback()],
            grant_types: strings(&["authorization_code"]),
            scopes: strings(&["openid", "agents:read", "agents:write", "audit:read", "connections:write", "mcp:write"]),
            resources: vec![self.places.admin()],
            consent: ConsentRule::Managed,
            ..Client::new("console", ClientKind::App, "The console")
        };
        self.acme.create_client(&console, &env())?;
        Ok(())
    }

    /// The program that looks for agents that nobody registered: through the vault's proxy it reads one list of the CRM, with a
    /// key that it never sees, and it may report it (`bailiwick client create`, `agent reporter`, `connection create`).
    pub(super) fn scout(&self, key: &Key, (crm, directory_key): (&str, &str)) -> Result<(), Failure> {
        let (acme, env, by) = (&self.acme, env(), "user:olga");
        let scout = Client {
            auth_methods: vec![AuthMethod::PrivateKeyJwt],
            keys: Some(ClientKeys::Jwks(key.public()?)),
            grant_types: strings(&["client_credentials"]),
            scopes: strings(&[ACCOUNTS_SCOPE, "agents:report"]),
            resources: vec![self.places.proxy(), self.places.admin()],
            ..Client::new(SCOUT, ClientKind::App, "The scout")
        };
        acme.create_client(&scout, &env)?;
        let subject = scout.subject();
        Registry { tenant: acme, approvals: &NoApprovals }.reporter(&subject, true, &env)?;
        let spec = json!({
            "id": DIRECTORY, "name": "The CRM's list of accounts", "holder": "agent", "base": crm,
            "provider": {"type": "api_key_header", "header": "Authorization", "prefix": "Bearer "},
            "rules": [{"methods": ["GET"], "path": "/service-accounts", "scope": ACCOUNTS_SCOPE}],
        });
        let spec = serde_json::from_value(spec).map_err(|error| Failure::Said(format!("a connection: {error}")))?;
        vault::create(acme, spec, None, by, &env)?;
        let key = Secret::ApiKey { key: Hidden::new(directory_key.to_owned()) };
        vault::set_credential(acme, DIRECTORY, &Holder::Agent(subject.clone()), key, by, &env)?;
        vault::allow(acme, DIRECTORY, &subject, true, by, &env)?;
        vault::classify(acme, (DIRECTORY, ACCOUNTS_SCOPE), &subject, Some(ScopeClass::Automatic), by, &env)?;
        Ok(())
    }

    /// What a proposal is and who decides: up to $100,000 nobody need be asked. And what the calls are by which it is sent, as
    /// people read them (`bailiwick approval put-type`).
    fn details(&self) -> Result<(), Failure> {
        let text = json!({"type": "string", "maxLength": 400});
        let many = json!({"type": "array", "items": text});
        let decimal = |from: Value| {
            json!({"kind": "decimal"}).as_object().map(|kind| {
                let mut kind = kind.clone();
                kind.extend(from.as_object().cloned().unwrap_or_default());
                kind
            })
        };
        let values =
            json!({"amount": decimal(json!({"path": "/amount"})), "most": decimal(json!({"value": "100000"}))});
        self.put_type(json!({
            "name": "proposal",
            "title": "Send the proposal for ${/amount} to {/customer}",
            "schema": {
                "type": "object", "additionalProperties": false,
                "required": ["type", "customer", "amount", "products", "recipients"],
                "properties": {"type": {"const": "proposal"}, "customer": text, "amount": text, "products": text,
                               "recipients": many},
            },
            "fields": [{"label": "Products", "value": "{/products}"}, {"label": "Goes to", "value": "{/recipients}"}],
            "rules": [{"when": "amount <= most", "who": [], "values": values}, {"who": ["subject"]}],
            "acr": "aal2",
        }))?;
        self.purchases(&text)?;
        let call = |name: &str, title: &str, fields: Value, arguments: Value| {
            let members: Vec<String> = arguments.as_object().into_iter().flat_map(|all| all.keys().cloned()).collect();
            json!({
                "name": name, "title": title, "fields": fields,
                "schema": {
                    "type": "object", "additionalProperties": false,
                    "required": ["type", "locations", "actions", "arguments"],
                    "properties": {
                        "type": {"const": name}, "locations": many, "actions": many,
                        "arguments": {"type": "object", "additionalProperties": false, "required": members,
                                      "properties": arguments},
                    },
                },
            })
        };
        let number = json!({"type": "integer"});
        let how = json!({"label": "Call", "value": "{/actions} at {/locations}"});
        self.put_type(call(
            "drive_file",
            "Put a file of {/arguments/bytes} bytes on Drive",
            json!([{"label": "File", "value": "SHA-256 {/arguments/sha-256}, {/arguments/media_type}"}, how]),
            json!({"media_type": text, "bytes": number, "sha-256": text}),
        ))?;
        self.put_type(call(
            "email", "Send mail to {/arguments/to}",
            json!([{"label": "Subject", "value": "{/arguments/subject}"}, {"label": "Text", "value": "{/arguments/text}"},
                   {"label": "Attached", "value": "{/arguments/attachment}"}, how]),
            json!({"to": many, "subject": text, "text": text, "attachment": text}),
        ))?;
        self.put_type(call(
            "crm_change",
            "Set the deal to \u{201c}{/arguments/stage}\u{201d} in the CRM",
            json!([{"label": "Amount", "value": "${/arguments/amount}"}, how]),
            json!({"stage": text, "amount": text}),
        ))
    }

    /// What a purchase is: up to $1,000 nobody need be asked, above that who answers for the agent.
    fn purchases(&self, text: &Value) -> Result<(), Failure> {
        let values = json!({
            "amount": {"kind": "decimal", "path": "/amount"}, "most": {"kind": "decimal", "value": "1000"},
        });
        self.put_type(json!({
            "name": "purchase",
            "title": "Buy {/what} from {/vendor} for ${/amount}",
            "schema": {
                "type": "object", "additionalProperties": false,
                "required": ["type", "vendor", "what", "amount", "justification"],
                "properties": {"type": {"const": "purchase"}, "vendor": text, "what": text, "amount": text,
                               "justification": text},
            },
            "fields": [{"label": "Why", "value": "{/justification}"}],
            "rules": [{"when": "amount <= most", "who": [], "values": values}, {"who": ["accountable"]}],
            "acr": "aal2",
        }))
    }

    fn put_type(&self, wanted: Value) -> Result<(), Failure> {
        let wanted: DetailType =
            serde_json::from_value(wanted).map_err(|error| Failure::Said(format!("a type of details: {error}")))?;
        put_type(&self.acme, &wanted, "user:olga", &env())?;
        Ok(())
    }

    /// What the registered agent may ask for as an OAuth client (`bailiwick client set`).
    pub(super) fn agent_client(&self) -> Result<(), Failure> {
        let held = self.acme.client(AGENT)?;
        let scopes = OPENID_SCOPES.iter().filter(|scope| **scope != "offline_access").copied();
        let scopes = scopes.chain(VAULT_SCOPES.iter().map(|(name, _)| *name)).chain(["mcp:read"]);
        let servers = SERVERS.iter().map(|(name, _)| self.places.mcp(name));
        let wanted = Client {
            redirect_uris: vec![self.places.callback()],
            grant_types: strings(&["authorization_code", "refresh_token", TOKEN_EXCHANGE, CIBA_GRANT, FEDERATED_GRANT]),
            scopes: scopes.map(str::to_owned).collect(),
            resources: servers.chain([self.places.proxy()]).collect(),
            details_types: strings(&["proposal", "drive_file", "email", "crm_change"]),
            consent: ConsentRule::Managed,
            ..held.value.clone()
        };
        self.acme.change_client(&held, &wanted, &env())?;
        // It is told when somebody has decided (CIBA, ping; `bailiwick approval client`).
        let endpoint = format!("{}/approvals/decided", self.places.portal);
        let told = Backchannel { delivery: Delivery::Ping { endpoint }, signed_requests: false };
        put_backchannel(&self.acme, AGENT, &told, "user:olga", &env())?;
        Ok(())
    }

    /// What the agent that buys may ask for as an OAuth client: approvals of purchases (`bailiwick client set`).
    pub(super) fn buyer_client(&self, id: &str) -> Result<(), Failure> {
        let held = self.acme.client(id)?;
        let wanted = Client {
            grant_types: strings(&[CIBA_GRANT]),
            scopes: strings(&["openid"]),
            details_types: strings(&["purchase"]),
            ..held.value.clone()
        };
        self.acme.change_client(&held, &wanted, &env())?;
        Ok(())
    }

    /// Where agents may go with a person's token (`bailiwick managed-connection put`): to the vault's proxy, to each MCP
    /// server, and to the authorization server of the pricing domain.
    pub(super) fn managed_connections(&self) -> Result<(), Failure> {
        let put = |id: &str, name: &str, target: Target| {
            put_connection(&self.acme, &Connection { id: id.into(), name: name.into(), target, created_at: 0 }, &env())
        };
        put("vault", "The vault", Target::Resource { resource: self.places.proxy() })?;
        for (name, _) in SERVERS {
            put(&format!("mcp-{name}"), name, Target::Resource { resource: self.places.mcp(name) })?;
        }
        let there = Server {
            issuer: self.places.pricing.clone(),
            resources: vec![self.places.prices.clone()],
            clients: pairs(&[(AGENT, AGENT_THERE)]),
            scopes: pairs(&[("pricing:read", "pricing:read"), ("pricing:write", "pricing:write")]),
            subject: SubjectClaims { email: true, ..SubjectClaims::default() },
            life_s: 300,
        };
        put("pricing", "The pricing domain", Target::Server(there))?;
        Ok(())
    }

    /// What the pricing domain sets up for itself: its Sarah, Acme's agent as a client of its own, and which assertions it
    /// believes (`bailiwick trust put`). Answers how the pricing service shows who it is to its authorization server.
    pub(super) fn pricing_domain(&self, agent: &Key) -> Result<String, Failure> {
        let (there, env) = (&self.pricing, env());
        let sarah = json!({"name": "S. Chen (Acme)", "email": "sarah@acme.example", "email_verified": true});
        there.create_user(
            Some("s-chen"),
            &["sarah@acme.example"],
            sarah.as_object().cloned().unwrap_or_default(),
            &env,
        )?;
        let client = Client {
            grant_types: strings(&[JWT_BEARER]),
            scopes: strings(&["pricing:read", "pricing:write"]),
            resources: vec![self.places.prices.clone()],
            auth_methods: vec![AuthMethod::PrivateKeyJwt],
            keys: Some(ClientKeys::Jwks(agent.public()?)),
            ..Client::new(AGENT_THERE, ClientKind::Agent, "Acme's sales agent")
        };
        there.create_client(&client, &env)?;
        let service = Client {
            serves: vec![self.places.prices.clone()],
            ..Client::new("price-service", ClientKind::App, "The pricing service")
        };
        there.create_client(&service, &env)?;
        let row = TrustedIssuer {
            issuer: self.places.acme.clone(),
            keys: IssuerKeys::Here,
            subject: SubjectMapping::Email,
            create_users: false,
            clients: strings(&[AGENT_THERE]),
            scopes: pairs(&[("pricing:read", "pricing:read")]),
            resources: vec![self.places.prices.clone()],
            life_max_s: 300,
            access_token_s: None,
            acr_max: None,
            replay: Replay::Once,
            created_at: 0,
        };
        trust(there, &row, &env)?;
        Ok(there.add_secret("price-service", None, &env)?.1)
    }
}
