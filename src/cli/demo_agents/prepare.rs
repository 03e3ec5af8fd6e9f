//! Before the story: people come by their invitations, and John and Olga bring the agent that was found under control (the
//! paper's step 1.2): an id, an owner and a purpose, a key in place of a password, and what it may reach.

use super::app::{ok, text};
use super::keys::seconds;
use super::stubs::mcp::SERVERS;
use super::tell::expect;
use super::web::Ask;
use super::world::{AGENT, SIGN_IN, VAULT};
use super::{Story, paint, say};
use crate::cli::Failure;
use crate::cli::show::{Tone, wrapped};
use bailiwick::secrets::{KEY_BYTES, KeyRing};
use bailiwick::wire::random;
use serde_json::json;

/// Who is who.
const CAST: &str = "Sarah Chen sells. John Smith leads sales and answers for the agent. Olga runs the identity platform. Bob is \
    a colleague. Each is a browser; the agent is a program with a key; all that they do is over HTTP.";

/// A key ring of one key, and that key.
pub(super) fn key_ring() -> Result<(KeyRing, Vec<u8>), Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::Said(format!("no key ring: {error}"));
    let mut key = [0; KEY_BYTES];
    random(&mut key);
    let line = KeyRing::key_line("k1", super::keys::seconds(), &key).map_err(|error| failed(&error))?;
    let ring = KeyRing::parse(&format!("{}{}", KeyRing::head(), *line), &[]).map_err(|error| failed(&error))?;
    Ok((ring, key.to_vec()))
}

impl Story {
    pub(super) fn prepare(&mut self) -> Result<(), Failure> {
        let places = &self.world.places;
        say(paint("An agent writes a proposal for Sarah, and sends it", Tone::Strong));
        say(format!("\n  ACME    {}", places.acme));
        say(format!("  PRICES  {}   another domain: its own users, keys and rules\n", places.pricing));
        for line in wrapped(CAST, 92) {
            say(format!("  {line}"));
        }
        self.teller.names = vec![(places.acme.clone(), "ACME"), (places.pricing.clone(), "PRICES")];
        self.people()?;
        self.consoles()?;
        self.connections()?;
        let draft = self.is_found()?;
        self.register(&draft)
    }

    /// Everybody comes by an invitation and sets a password; Sarah adds an authenticator app.
    fn people(&mut self) -> Result<(), Failure> {
        let world = &self.world;
        let sarah = json!({"name": "Sarah Chen", "email": "sarah@acme.example", "email_verified": true});
        for (person, claims) in [
            (&mut self.sarah, sarah),
            (&mut self.bob, json!({"name": "Bob Keller"})),
            (&mut self.john, json!({"name": "John Smith"})),
            (&mut self.olga, json!({"name": "Olga Petrova"})),
        ] {
            person.arrive(&world.person(person.id, person.login, &claims)?)?;
        }
        let google = &self.apps.google;
        world.google(&google.url, &google.client(SIGN_IN))?;
        self.sarah.link(&world.places.acme, &self.apps.at_google)?;
        self.sarah.add_phone(&world.places.acme)?;
        self.john.add_phone(&world.places.acme)?;
        for person in [&mut self.sarah, &mut self.john] {
            person.add_pager(&world.places.acme, &self.apps.phones_url)?;
        }
        let notices = [&self.sarah, &self.john].map(|person| person.pager.as_ref().map(|p| p.auth().to_vec()));
        let phone = self.sarah.phone.as_ref().map(|phone| phone.key().to_vec()).unwrap_or_default();
        let passwords = [&self.sarah, &self.bob, &self.john, &self.olga].map(|person| person.password.clone());
        for (password, who) in passwords.into_iter().zip([&["Sarah"], &["Bob"], &["John"], &["Olga"]]) {
            self.keeps_secret(&format!("the password of {}", who.concat()), password, who);
        }
        self.keeps_secret("the key of Sarah's phone", phone, &["Sarah"]);
        for (auth, who) in notices.into_iter().zip([&["Sarah"], &["John"]]) {
            let name = format!("what lets one send notices to the phone of {}", who.concat());
            self.keeps_secret(&name, auth.unwrap_or_default(), who);
        }
        self.keeps_secret("the agent's private key", self.key.private()?, &[]);
        self.world.administers("user:olga")?;
        self.world.relate(&[("team:sales-ops", "member", "user:john"), ("user:sarah", "manager", "user:john")])
    }

    /// John and Olga sign in at the console.
    fn consoles(&mut self) -> Result<(), Failure> {
        let admin = self.world.places.admin();
        let mut tokens = Vec::new();
        for (person, scope) in
            [(&mut self.john, "agents:write"), (&mut self.olga, "agents:write audit:read connections:write mcp:write")]
        {
            let (login, password) = (person.login, person.password.clone());
            let given =
                self.console.sign_in(&mut person.browser, &self.apps.portal, (scope, &[&admin]), |browser, page| {
                    if page.forms("/login/password").is_empty() {
                        return Ok(page); // the invitation has signed them in
                    }
                    let form = page.form("/login/password")?.with("name", login).with("password", &password);
                    browser.send(&form)
                })?;
            tokens.push(text(&given, "access_token"));
        }
        (self.john_token, self.olga_token) = (tokens.remove(0), tokens.remove(0));
        self.keeps_secret("John's token", self.john_token.clone(), &["console"]);
        self.keeps_secret("Olga's token", self.olga_token.clone(), &["console"]);
        Ok(())
    }

    fn register(&mut self, draft: &str) -> Result<(), Failure> {
        let places = self.world.places.clone();
        self.teller.step("1.2", "The agent gets an identity, an owner and bounds");
        let (john, olga) = (self.john_token.clone(), self.olga_token.clone());
        let send = |method, path: &str, token: &str, body: &serde_json::Value| {
            self.console.send(Ask::json(method, format!("{}/admin/agents{path}", places.acme), body).bearer(token))
        };
        let purpose = "Writes and sends proposals for account executives";
        let profile = json!({"name": "Sales agent", "purpose": purpose, "owner": "team:sales-ops",
                             "accountable": "user:john"});
        let made = ok("the agent", &send("POST", &format!("/{draft}/adopt?as={AGENT}"), &john, &profile)?)?;
        expect(text(&made, "stage") == "registered", || format!("the agent should be registered: {made}"))?;
        self.teller.allowed(
            "John",
            &format!("adopts the draft as {AGENT}; its account at the CRM goes with it"),
            &format!("his team sales-ops owns it, he answers for it; purpose: {purpose}"),
        );
        let keys = json!({ "jwks": self.key.public()? });
        ok("its key", &send("PUT", &format!("/{AGENT}/keys"), &john, &keys)?)?;
        let methods = json!({"auth_methods": ["private_key_jwt"]});
        ok("its way to authenticate", &send("PUT", &format!("/{AGENT}/auth_methods"), &john, &methods)?)?;
        ok("its start", &send("POST", &format!("/{AGENT}/activate"), &john, &json!({}))?)?;
        self.teller.says("", "it shows who it is with a key of its own (private_key_jwt), and is active");
        self.is_accounted_for()?;
        self.world.agent_client()?;
        self.data_store()?;
        self.world.managed_connections()?;
        self.bounds((&john, &olga))?;
        self.sarah.connect(&places.acme, "crm", &self.apps.at_crm)?;
        self.sarah.connect(&places.acme, "workspace", &self.apps.at_google)?;
        self.connected_at = seconds();
        self.teller.allowed(
            "Sarah",
            "connects her accounts at the CRM and at Google, on their own pages",
            "code flow with PKCE; the tokens go into the vault, sealed, and neither she nor the agent sees them",
        );
        Ok(())
    }

    /// The accounts at which the vault holds tokens for people, and what is let through there.
    fn connections(&self) -> Result<(), Failure> {
        let (google, crm) = (&self.apps.google, &self.apps.crm_login);
        let oauth = |at: &str, scopes: &[&str]| {
            json!({
                "type": "oauth2", "authorize_url": format!("{at}/authorize"), "token_url": format!("{at}/token"),
                "issuer": at, "issuer_required": true, "client_id": VAULT, "scopes": scopes,
            })
        };
        let rule = |method: &str, path: &str, scope: &str| json!({"methods": [method], "path": path, "scope": scope});
        let of_crm = [
            rule("GET", "/**", "crm:read"),
            rule("PATCH", "/deals/*", "crm:update"),
            rule("DELETE", "/deals/*", "crm:delete"),
        ];
        let of_workspace = [
            rule("PUT", "/drive/**", "drive:write"),
            rule("POST", "/mail/messages", "email:send"),
            rule("GET", "/calendar/free", "calendar:read"),
            rule("POST", "/calendar/events", "calendar:write"),
        ];
        for (spec, secret) in [
            (
                json!({"id": "crm", "name": "The CRM", "holder": "user", "base": self.apps.crm_url, "rules": of_crm,
                       "provider": oauth(&crm.url, &["crm.read", "crm.write", "crm.delete"])}),
                crm.client(VAULT),
            ),
            (
                json!({"id": "workspace", "name": "Google Workspace", "holder": "user", "base": self.apps.workspace_url,
                       "rules": of_workspace, "provider": oauth(&google.url, &["drive.file", "gmail.send", "calendar"])}),
                google.client(VAULT),
            ),
        ] {
            let body = json!({"connection": spec, "client_secret": secret});
            let url = format!("{}/admin/connections", self.world.places.acme);
            ok("a connection", &self.console.send(Ask::json("POST", url, &body).bearer(&self.olga_token))?)?;
        }
        Ok(())
    }

    /// What the agent may reach, and of which class each scope is.
    fn bounds(&mut self, (john, olga): (&str, &str)) -> Result<(), Failure> {
        let url = format!("{}/admin/agents/{AGENT}/connections", self.world.places.acme);
        let (asks, yes, never) = ("needs_approval", "automatic", "never");
        let vault = json!({"connection": "connection:vault", "scopes": {
            "crm:read": yes, "calendar:read": yes, "calendar:write": yes,
            "crm:update": asks, "drive:write": asks, "email:send": asks, "crm:delete": never,
        }});
        let put = |token: &str, access: &serde_json::Value| {
            self.console.send(Ask::json("PUT", url.as_str(), &json!({ "access": access })).bearer(token))
        };
        let mut refused = super::app::no("more reach", &put(john, &vault)?, (403, "access_denied"))?;
        refused.rule = None;
        self.teller.refused("John", "gives it the vault himself", &refused);
        ok("the vault", &put(olga, &vault)?)?;
        for (name, _) in SERVERS {
            let server = json!({"connection": format!("connection:mcp-{name}"), "scopes": {"mcp:read": yes}});
            ok("an MCP server", &put(olga, &server)?)?;
        }
        let crm = json!({"connection": "connection:crm", "scopes": {
            "crm:read": yes, "crm:update": asks, "crm:delete": never,
        }});
        ok("the CRM", &put(olga, &crm)?)?;
        let workspace = json!({"connection": "connection:workspace", "scopes": {
            "calendar:read": yes, "calendar:write": yes, "drive:write": asks, "email:send": asks,
        }});
        ok("Google Workspace", &put(olga, &workspace)?)?;
        let pricing = json!({"connection": "connection:pricing", "scopes": {
            "pricing:read": yes, "pricing:write": never, "pricing:admin": never,
        }});
        ok("the pricing domain", &put(olga, &pricing)?)?;
        self.teller.allowed(
            "Olga",
            "gives it the vault, three MCP servers and the pricing domain, scope by scope",
            &format!(
                "{yes}: read by MCP, the CRM, calendar, prices; {asks}: mail, Drive, CRM changes; {never}: delete, set prices"
            ),
        );
        Ok(())
    }
}
