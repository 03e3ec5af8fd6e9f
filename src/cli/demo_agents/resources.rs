//! 3.2 and 3.3: MCP servers behind the gateway. What is on the lists and what is read is decided by tuples: of Sarah **and** of
//! the agent that acts for her.

use super::Story;
use super::across::ACCESS;
use super::app::{ok, text};
use super::tell::{Refused, expect};
use super::web::{Ask, Heard};
use super::world::{AGENT, DATA_MODEL};
use crate::cli::Failure;
use bailiwick::model::Model;
use bailiwick::tuple::StoreId;
use serde_json::{Value, json};

/// The version of the protocol that the agent speaks.
const VERSION: &str = "2026-07-28";
/// The gateway's code for a decision that is no (COAZ-MCP).
const DENIED: i64 = -32_001;

/// Who is what to what, in the company's own store: `object relation subject`.
const TUPLES: [&str; 20] = [
    "team:sales member user:sarah",
    "team:sales member user:bob",
    "team:executives member user:eva",
    "user:sarah manager user:john",
    "user:bob manager user:john",
    "mcp_server:sales can_use team:sales#member",
    "mcp_server:workspace can_use team:sales#member",
    "mcp_server:finance can_use team:sales#member",
    "mcp_server:sales can_use agent:AGENT",
    "mcp_server:workspace can_use agent:AGENT",
    "mcp_server:finance can_use agent:AGENT",
    "account:acme-corp viewer user:sarah",
    "account:globex viewer user:bob",
    "document:proposals/templates viewer team:sales#member",
    "document:negotiations/acme-corp viewer user:sarah",
    "calendar:sarah viewer user:sarah",
    "price_list:list-prices viewer team:sales#member",
    "price_list:executive-discounts viewer team:executives#member",
    "price_list:cost-structure viewer team:executives#member",
    // What the agent is trusted with, whoever it acts for: all accounts and calendars, templates, list prices; see below.
    "document:proposals/templates viewer agent:AGENT",
];
/// The same for the agent alone.
const MANDATE: [&str; 4] = ["account:acme-corp", "account:globex", "calendar:sarah", "price_list:list-prices"];

impl Story {
    /// The company's data store, over OpenFGA's API, and the gateways, over the administration's.
    pub(super) fn data_store(&mut self) -> Result<(), Failure> {
        let api = format!("http://{}", self.engine_at);
        let post =
            |path: &str, body: &Value| ok(path, &self.console.send(Ask::json("POST", format!("{api}{path}"), body))?);
        let store = text(&post("/stores", &json!({"name": "acme-data"}))?, "id");
        let model = Model::parse_dsl(DATA_MODEL).map_err(|errors| Failure::Said(format!("{errors:?}")))?;
        post(&format!("/stores/{store}/authorization-models"), &model.to_json())?;
        let mandate = MANDATE.iter().map(|object| format!("{object} viewer agent:AGENT"));
        let tuples = TUPLES.iter().map(|tuple| (*tuple).to_owned()).chain(mandate);
        let keys: Vec<Value> = tuples
            .map(|tuple| tuple.replace("AGENT", AGENT))
            .filter_map(|tuple| {
                let mut parts = tuple.split(' ');
                Some(json!({"object": parts.next()?, "relation": parts.next()?, "user": parts.next()?}))
            })
            .collect();
        post(&format!("/stores/{store}/write"), &json!({"writes": {"tuple_keys": keys}}))?;
        let id = ulid::Ulid::from_string(&store).map_err(|error| Failure::Said(error.to_string()))?;
        // `bailiwick tenant attach-store`: what servers of a tenant may ask is said by who runs the database.
        self.world.acme.attach_store(StoreId(id), true, &crate::cli::identity::env())?;
        self.store = store;
        self.gateways()
    }

    fn gateways(&mut self) -> Result<(), Failure> {
        let resource =
            |uri: &str, object: &str| json!({"uri": uri, "checks": [{"object": object, "relation": "viewer"}]});
        for behind in &self.apps.behind {
            let resources = match behind.name {
                "sales" => vec![resource("crm://{kind}/{id}", "account:{id}")],
                "workspace" => {
                    vec![resource("docs://{+path}", "document:{path}"), resource("calendar://{id}", "calendar:{id}")]
                }
                _ => vec![resource("pricing://{id}", "price_list:{id}")],
            };
            let server = json!({"object": format!("mcp_server:{}", behind.name), "relation": "can_use"});
            let spec = json!({
                "name": behind.name, "store": self.store, "scopes": ["mcp:read"],
                "gateway": {"url": behind.url, "policy": {"server": server, "resources": resources}},
            });
            let url = format!("{}/admin/mcp/{}", self.world.places.acme, behind.name);
            ok("a gateway", &self.console.send(Ask::json("PUT", url, &spec).bearer(&self.olga_token))?)?;
        }
        self.teller.allowed(
            "Olga",
            "puts three MCP servers behind the gateway, which know nothing of permissions",
            "each resource \
            is a Check in the store acme-data: of the person and of the agent",
        );
        Ok(())
    }

    /// A request to one of the servers, through the gateway.
    fn mcp(&self, server: &str, method: &'static str, uri: Option<&str>) -> Result<Heard, Failure> {
        let mut params = json!({"_meta": {"io.modelcontextprotocol/protocolVersion": VERSION}});
        let mut ask = Ask::json("POST", format!("{}/mcp/{server}", self.world.places.acme), &Value::Null);
        if let (Some(uri), Some(params)) = (uri, params.as_object_mut()) {
            params.insert("uri".to_owned(), uri.into());
            ask = ask.with("mcp-name", uri);
        }
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let ask = ask.with_body(&body).with("accept", "application/json, text/event-stream");
        let ask = ask.with("mcp-protocol-version", VERSION).with("mcp-method", method);
        self.agent.send(ask.bearer(self.narrowed.get(server).map_or("", String::as_str)))
    }

    /// A token for each server alone: one that others take too is taken by none, as any of them could use it at the others.
    fn narrows(&mut self) -> Result<(), Failure> {
        let signed_in = text(&self.signed_in, "access_token");
        for server in ["sales", "workspace", "finance"] {
            let resource = self.world.places.mcp(server);
            let pairs = [("scope", "mcp:read"), ("resource", resource.as_str())];
            let narrow = ok("a token for one server", &self.exchange(&signed_in, ACCESS, &pairs)?)?;
            self.narrowed.insert(server, text(&narrow, "access_token"));
        }
        self.teller.allowed(
            "agent",
            "gets a token for each server alone",
            "token exchange (RFC 8693) narrows by `resource`; a token for several is refused by all, as each could use it \
            at the others",
        );
        Ok(())
    }

    pub(super) fn discovers(&mut self) -> Result<(), Failure> {
        self.teller.step("3.2", "It asks the MCP servers what there is for it");
        self.narrows()?;
        let mut all = Vec::new();
        for server in ["sales", "workspace", "finance"] {
            let listed = ok("a list", &self.mcp(server, "resources/list", None)?)?;
            let listed = listed.pointer("/result/resources").and_then(Value::as_array).cloned().unwrap_or_default();
            all.extend(listed.iter().map(|resource| text(resource, "uri")));
        }
        let wanted = [
            "crm://contacts/acme-corp",
            "crm://deals/acme-corp",
            "docs://proposals/templates",
            "calendar://sarah",
            "pricing://list-prices",
        ];
        expect(all == wanted, || format!("the lists should have {wanted:?}, and have {all:?}"))?;
        self.teller.allowed(
            "agent",
            &all.join(", "),
            "5 of the 9 that there are: those that Sarah may see and the agent is \
            trusted with; the others are on no list",
        );
        self.teller.step("3.3", "It reads what it needs; each read is decided anew");
        self.reads()
    }

    fn reads(&mut self) -> Result<(), Failure> {
        for (server, uri) in [
            ("sales", "crm://contacts/acme-corp"),
            ("workspace", "docs://proposals/templates"),
            ("workspace", "calendar://sarah"),
            ("finance", "pricing://list-prices"),
        ] {
            let read = ok(uri, &self.mcp(server, "resources/read", Some(uri))?)?;
            let text = read.pointer("/result/contents/0/text").and_then(Value::as_str).unwrap_or_default().to_owned();
            expect(!text.is_empty(), || format!("{uri} should be read: {read}"))?;
            self.context.push((uri, text));
        }
        let uris: Vec<&str> = self.context.iter().map(|(uri, _)| *uri).collect();
        self.teller.allowed("agent", &uris.join(", "), "Check viewer: user:sarah and agent, both yes");
        for (server, uri, who) in [
            ("sales", "crm://deals/globex", "the agent may, Sarah may not: it is Bob's"),
            ("workspace", "docs://negotiations/acme-corp", "Sarah may, the agent is not trusted with it"),
            ("finance", "pricing://executive-discounts", "neither may"),
            ("finance", "pricing://cost-structure", "neither may"),
        ] {
            let heard = self.mcp(server, "resources/read", Some(uri))?;
            let json = heard.json();
            let code = json.pointer("/error/code").and_then(Value::as_i64);
            expect(code == Some(DENIED), || format!("{uri} should be denied: {} {json}", heard.status))?;
            let refused = Refused {
                status: heard.status,
                code: format!("MCP {DENIED}"),
                words: who.to_owned(),
                ..Refused::default()
            };
            let refused = self.with_rule(refused)?;
            self.teller.refused("agent", &format!("reads {uri}"), &refused);
        }
        let reached: Vec<String> =
            self.apps.behind.iter().flat_map(|behind| behind.server.seen()).map(|seen| seen.what).collect();
        let leaked = ["globex", "negotiations", "executive", "cost-structure"];
        expect(!reached.iter().any(|what| leaked.iter().any(|word| what.contains(word))), || format!("{reached:?}"))?;
        self.in_other_words()?;
        self.who_may()
    }

    /// The same decisions for who asks the engine itself: by OpenFGA's Check, and by AuthZEN's evaluations.
    fn in_other_words(&mut self) -> Result<(), Failure> {
        let asked = [
            ("account", "acme-corp", true),
            ("document", "proposals/templates", true),
            ("price_list", "executive-discounts", false),
        ];
        let post = |call: &str, body: &Value| {
            let url = format!("http://{}/stores/{}/{call}", self.engine_at, self.store);
            ok(call, &self.console.send(Ask::json("POST", url, body))?)
        };
        for (kind, who) in [("user", "sarah"), ("agent", AGENT)] {
            let items: Vec<Value> =
                asked.iter().map(|(kind, id, _)| json!({"resource": {"type": kind, "id": id}})).collect();
            let subject = json!({"type": kind, "id": who});
            let batch = json!({"subject": subject, "action": {"name": "viewer"}, "evaluations": items});
            let decided = post("access/v1/evaluations", &batch)?;
            for (n, (object_type, id, allowed)) in asked.iter().enumerate() {
                let object = format!("{object_type}:{id}");
                let key = json!({"user": format!("{kind}:{who}"), "relation": "viewer", "object": object});
                let checked = post("check", &json!({ "tuple_key": key }))?;
                let by_openfga = checked.get("allowed").and_then(Value::as_bool);
                let by_authzen = decided.pointer(&format!("/evaluations/{n}/decision")).and_then(Value::as_bool);
                expect(by_openfga == Some(*allowed) && by_authzen == by_openfga, || {
                    format!("{object}: {checked} {decided}")
                })?;
            }
        }
        self.teller.holds(
            "asked of the engine, for Sarah and for the agent, OpenFGA's Check and AuthZEN's evaluations say the same: the contact \
            and the templates yes, the executive discounts no",
        );
        Ok(())
    }

    /// Who would have been allowed: the engine's own question, over OpenFGA's API.
    fn who_may(&mut self) -> Result<(), Failure> {
        let url = format!("http://{}/stores/{}/list-users", self.engine_at, self.store);
        let body = json!({
            "object": {"type": "price_list", "id": "executive-discounts"}, "relation": "viewer",
            "user_filters": [{"type": "user"}],
        });
        let users = ok("who may see the discounts", &self.console.send(Ask::json("POST", url, &body))?)?;
        let who = users.pointer("/users/0/object/id").and_then(Value::as_str).unwrap_or_default().to_owned();
        expect(who == "eva", || format!("{users}"))?;
        self.teller.holds(
            "none of these four reached the servers behind; who may see the discounts is user:eva alone \
            (list-users), by team:executives",
        );
        Ok(())
    }

    /// What the agent would give to its model: all of it allowed, none of what is not.
    pub(super) fn assembles(&mut self) -> Result<(), Failure> {
        self.teller.step("3.5", "What the proposal is made of");
        let context: String = self.context.iter().map(|(uri, text)| format!("{uri}: {text}\n")).collect();
        let absent = ["40 %", "41.20", "15 % off", "61 %"];
        expect(absent.iter().all(|words| !context.contains(words)), || context.clone())?;
        let agent = self.tape.all().remove("agent").unwrap_or_default();
        let agent = String::from_utf8_lossy(&agent);
        expect(absent.iter().all(|words| !agent.contains(words)), || "something secret reached the agent".to_owned())?;
        self.teller.says(
            "agent",
            &format!("{} sources: CRM by the vault; {} by MCP", self.context.len() + 1, self.context.len()),
        );
        self.teller.holds(
            "no discount, no cost, no negotiation note and no deal of Bob's is in it, or came to the agent at all",
        );
        Ok(())
    }
}
