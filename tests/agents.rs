//! Agents: what one reaches in a data store, by exact numbers and the first names; and the commands, from registration to the
//! tombstone.

use crate::cli::{err, out, program};
use crate::elsewhere::Furnished;
use bailiwick::engine::{Engine, Settings, WriteQuery};
use bailiwick::identity::{Env, Identity, Tenant, TenantSettings};
use bailiwick::model::Model;
use bailiwick::modules::agent::{By, NAMES_MAX, NoApprovals, NoDestinations, Profile, Registry};
use bailiwick::secrets::KeyRing;
use bailiwick::tuple::{ModelId, StoreId, Timestamp, TupleKeyRef};
use bailiwick::wire::random;
use serde_json::Value;
use std::path::Path;

const NOW: Timestamp = Timestamp(1_800_000_000_000_000_000);

fn env() -> Env<'static> {
    Env::new(NOW, &random)
}

fn tenant(engine: Engine) -> Tenant {
    let line = KeyRing::key_line("a", 1, b"a key of thirty-two bytes, or so").unwrap();
    let ring = KeyRing::parse(&(KeyRing::head() + &line), &[]).unwrap();
    let identity = Identity::open(engine, ring, &env()).unwrap();
    identity.create_tenant("acme", "https://id.example", &TenantSettings::default(), &env()).unwrap()
}

fn data_store(engine: &Engine) -> StoreId {
    let store = StoreId(ulid::Ulid::from_parts(1, 1));
    engine.create_store(store, "docs", NOW).unwrap();
    let text = "model\n  schema 1.1\ntype user\ntype agent\ntype document\n  relations\n    define viewer: [user, agent]\n    \
                define editor: [user]\n";
    engine.write_model(store, ModelId(ulid::Ulid::from_parts(1, 2)), Model::parse_dsl(text).unwrap()).unwrap();
    let tuple = |object: &str, relation, subject| TupleKeyRef::parse(object, relation, subject).unwrap().to_tuple();
    let mut writes: Vec<_> = (0..150).map(|n| tuple(&format!("document:d{n:03}"), "viewer", "agent:bot")).collect();
    writes.push(tuple("document:d000", "editor", "user:sarah"));
    engine.write(store, None, WriteQuery { writes, ..WriteQuery::default() }, NOW).unwrap();
    store
}

#[test]
fn what_an_agent_reaches_in_a_data_store_has_exact_numbers() {
    let directory = tempfile::tempdir().unwrap();
    let engine = Engine::open_with(directory.path(), Settings { sync: false, ..Settings::default() }).unwrap();
    let tenant = tenant(engine.clone());
    let store = data_store(&engine);
    let registry = Registry { tenant: &tenant, approvals: &NoApprovals };
    let profile = Profile { name: "Bot".into(), ..Profile::default() };
    registry.register(By::Machine, Some("bot"), &profile, &env()).unwrap();

    let reach = registry.reach("bot", (Some(store), None), &NoDestinations).unwrap();
    assert!(!reach.active, "it is not even active: what it reaches elsewhere counts all the same");
    assert_eq!(reach.data.len(), 1, "{:?}", reach.data);
    let documents = &reach.data[0];
    assert_eq!((documents.object_type.as_str(), documents.relation.as_str()), ("document", "viewer"));
    assert_eq!((documents.objects.count, documents.objects.names.len()), (150, NAMES_MAX));
    assert_eq!(documents.objects.names[0], "document:d000");
    // For a person for whom it acts it reaches what they do.
    let for_sarah = registry.reach("bot", (Some(store), Some("user:sarah")), &NoDestinations).unwrap();
    assert_eq!(for_sarah.data[0].relation, "editor");
    assert_eq!(for_sarah.data[0].objects.names, ["document:d000"]);
    for (store, subject, rule) in [
        (store, "robot:x", "reach.store"),
        (store, "sarah", "reach.store"),
        (tenant.system_store(), "agent:bot", "not_found"),
        (StoreId(ulid::Ulid::from_parts(9, 9)), "agent:bot", "reach.store"),
    ] {
        assert_eq!(registry.reach("bot", (Some(store), Some(subject)), &NoDestinations).unwrap_err().rule, rule);
    }
}

/// Runs a command about identities; its output, or what it said on the way to exit code 2.
fn run(directory: &Path, arguments: &[&str]) -> Result<String, String> {
    let mut command = program(directory);
    command.args(arguments).args(["--data", "bailiwick-data", "--identity-key-ring", "bailiwick.keys"]);
    let output = command.output().unwrap();
    if output.status.success() { Ok(out(&output).trim().to_owned()) } else { Err(err(&output)) }
}

fn json(directory: &Path, arguments: &[&str]) -> Value {
    serde_json::from_str(&run(directory, &[arguments, &["--json"]].concat()).unwrap()).unwrap()
}

#[track_caller]
fn refused(directory: &Path, arguments: &[&str], says: &str) {
    let said = run(directory, arguments).unwrap_err();
    assert!(said.contains(says), "{arguments:?}: {said}");
}

#[test]
fn an_agents_life_by_commands() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let init = ["init", "--issuer", "http://127.0.0.1:9/", "--admin", "admin@example.com"];
    assert!(program(directory).args(init).output().unwrap().status.success());
    for id in ["john", "olga"] {
        run(directory, &["user", "create", "--id", id, &format!("{id}@example.com")]).unwrap();
    }
    refused(directory, &["team", "add", "sales-ops", "nobody"], "user");
    run(directory, &["team", "add", "sales-ops", "olga"]).unwrap();
    assert_eq!(run(directory, &["team", "show", "sales-ops"]).unwrap(), "user:olga");
    run(directory, &["team", "manager", "olga", "john"]).unwrap();

    let agent = |arguments: &[&str]| run(directory, &[&["agent"], arguments].concat());
    let made = agent(&["register", "--id", "sales", "--name", "Sales", "--type", "autonomous"]).unwrap();
    assert_eq!(made, "sales");
    refused(directory, &["agent", "activate", "sales"], "a team that owns it");
    refused(directory, &["agent", "set", "sales", "--owner", "team:empty"], "no member");
    refused(directory, &["agent", "set", "sales", "--accountable", "john"], "user:ID");
    let orphans = json(directory, &["agent", "list", "--orphaned"]);
    assert_eq!(orphans["agents"][0]["orphaned"], serde_json::json!(["no_owner", "no_accountable"]));
    let people = ["set", "sales", "--owner", "team:sales-ops", "--accountable", "user:john", "--purpose", "Proposals"];
    assert_eq!(agent(&people).unwrap(), "registered");
    assert_eq!(agent(&["activate", "sales"]).unwrap(), "active");
    refused(directory, &["agent", "activate", "sales"], "it can go by: suspend, retire");
    refused(directory, &["agent", "allow", "sales", "connection:crm", "--automatic", "read"], "no such connection");

    let secret = json(directory, &["agent", "credential", "add-secret", "sales", "--overlap", "0"]);
    let listed = agent(&["credential", "list", "sales"]).unwrap();
    assert!(listed.contains(secret["id"].as_str().unwrap()));
    assert!(!listed.contains(secret["client_secret"].as_str().unwrap()));
    refused(directory, &["agent", "credential", "methods", "sales", "mtls"], "private_key_jwt");

    agent(&["register", "--id", "planner", "--name", "Planner"]).unwrap();
    agent(&["uses", "planner", "agent:sales"]).unwrap();
    let map = json(directory, &["agent", "map", "agent:sales"]);
    assert_eq!(map["needed_by"]["direct"]["names"], serde_json::json!(["agent:planner"]));
    assert_eq!(json(directory, &["agent", "blast", "sales"])["active"], true);
    assert_eq!(agent(&["suspend", "sales", "--reason", "odd"]).unwrap(), "suspended");
    assert_eq!(json(directory, &["agent", "show", "sales"])["suspension"]["reason"], "odd");
    assert_eq!(agent(&["list", "--stage", "suspended"]).unwrap().lines().count(), 1);
    assert_eq!(agent(&["resume", "sales"]).unwrap(), "active");
    assert_eq!(agent(&["retire", "sales", "--reason", "over"]).unwrap(), "retired");
    let history = agent(&["history", "sales"]).unwrap();
    let actions: Vec<&str> = history.lines().map(|line| line.split('\t').nth(3).unwrap()).collect();
    let expected = ["register", "change", "activate", "secret.add", "suspend", "resume", "retire"];
    assert_eq!(actions, expected, "{history}");
    refused(directory, &["agent", "register", "--id", "sales", "--name", "Again"], "never given again");
    refused(directory, &["agent", "show", "nobody"], "no such agent");
}

const API: &str = "https://api.example/";

/// Two agents, and what the commands that know nothing of the registry do to one of them; and the secret of a program that
/// administers.
fn with_sales() -> (Furnished, String) {
    let db = Furnished::new();
    let admin = format!("{}/admin", db.issuer);
    let scopes = ["agents:read", "clients:write", "connections:write", "trust:write"];
    let scopes = scopes.map(|scope| ["--scope", scope]).concat();
    db.good(&[&["resource", "create", &admin, "--id", "admin"], &scopes[..]].concat());
    db.good(&["resource", "create", API, "--id", "api", "--scope", "read"]);
    let create = ["client", "create", "--id", "ops", "--auth", "client_secret_post", "--admin"];
    let may = ["--grant-type", "client_credentials", "--resource", &admin];
    let secret = db.json(&[&create[..], &may, &scopes].concat())["client_secret"].as_str().unwrap().to_owned();
    for id in ["sales", "planner"] {
        db.good(&["agent", "register", "--id", id, "--name", id]);
    }
    let base = ["--base", "https://api.crm.example/v1", "--rule", "GET /**"];
    for id in ["crm", "maps"] {
        db.good(&[&["connection", "create", id, "--type", "basic", "--holder", "agent"], &base[..]].concat());
    }
    db.good(&["connection", "allow", "crm", "agent:sales"]);
    db.good(&["connection", "scope", "set", "crm", "crm.read", "--class", "automatic", "--for", "agent:sales"]);
    db.good(&["client", "set", "sales", "--scope", "read", "--resource", API]);
    (db, secret)
}

/// REG-3: what others do to an agent is in its history, by a command and over HTTP.
#[test]
fn what_others_do_to_an_agent_is_in_its_history() {
    let (db, secret) = with_sales();
    let told = db.good(&["agent", "history", "sales"]);
    let told: Vec<Vec<&str>> = told.lines().skip(1).map(|line| line.split('\t').skip(2).collect()).collect();
    let expected = [
        ["machine", "connection.allow", "", "connection:crm#allowed: – → agent:sales"],
        ["machine", "connection.scope", "", "connection_scope:crm|crm.read: – → automatic"],
        ["machine", "client.changed", "", "resources: – → https://api.example/; scopes: – → read"],
    ];
    assert_eq!(told, expected);

    let serving = db.serve();
    let token = serving.token("ops", &secret, "agents:read clients:write connections:write trust:write", "/admin");
    let send = |method: &str, path: &str, body: Value| {
        let heard = serving.with(&token, method, &format!("/admin{path}"), &body);
        assert_eq!(heard.status, 200, "{method} {path}: {}", heard.body);
        heard.json()
    };
    let last = |id: &str| {
        let history = send("GET", &format!("/agents/{id}/history?limit=100"), Value::Null);
        let entry = history["history"].as_array().unwrap().last().unwrap().clone();
        assert_eq!(entry["by"], "app:ops", "{entry}");
        assert_eq!(send("GET", &format!("/agents/{id}"), Value::Null)["version"], entry["version"]);
        let changes = entry["changes"].as_array().unwrap().iter();
        let texts = changes.map(|c| format!("{} {}>{}", c["field"].as_str().unwrap(), c["from"], c["to"]));
        (entry["action"].as_str().unwrap().to_owned(), texts.collect::<Vec<_>>().join("; "))
    };
    let connection = serde_json::json!({"name": "API", "target": {"resource": {"resource": API}}});
    send("PUT", "/managed-connections/api", connection);
    let class = |class: &str| serde_json::json!({"scope": "read", "subject": "agent:sales", "class": class});
    let mut settings = send("GET", "/clients/sales", Value::Null)["settings"].clone();
    settings["grant_types"] = serde_json::json!(["client_credentials"]);
    let (maps, api) = ("/connections/maps/allowed/agent:sales", "/managed-connections/api/allowed/agent:sales");
    let scopes = "/managed-connections/api/scopes";
    for (path, body, action, change) in [
        (maps, Value::Null, "connection.allow", r#"connection:maps#allowed null>"agent:sales""#),
        (api, Value::Null, "allowed", r#"connection:api#allowed null>"agent:sales""#),
        (scopes, class("automatic"), "automatic", r#"connection_scope:api|read null>"automatic""#),
        (scopes, class("never"), "never", r#"connection_scope:api|read "automatic">"never""#),
        ("/delegates/sales/planner", Value::Null, "delegate", r#"delegate null>"agent:planner""#),
        ("/clients/sales", settings, "client.changed", r#"grant_types null>"client_credentials""#),
    ] {
        send("PUT", path, body);
        assert_eq!(last("sales"), (action.to_owned(), change.to_owned()), "{path}");
    }
    assert_eq!(last("planner").1, r#"agent:sales#delegate null>"agent:planner""#);
}

/// REG-6: how far the damage goes has what its client may ask for, and where its connections lead.
#[test]
fn the_blast_radius_has_scopes_of_our_own_and_servers_of_others() {
    let (db, secret) = with_sales();
    let reach = |name: &str| db.json(&["agent", "blast", "sales"])[name]["names"].clone();
    assert_eq!(reach("targets"), serde_json::json!([]), "before it may act, it reaches nothing");
    db.good(&["user", "create", "john@example.com", "--id", "john"]);
    db.good(&["team", "add", "sales-ops", "john"]);
    let people = ["--owner", "team:sales-ops", "--accountable", "user:john", "--purpose", "Proposals"];
    db.good(&[&["agent", "set", "sales"], &people[..]].concat());
    db.good(&["agent", "activate", "sales"]);
    assert_eq!(reach("targets"), serde_json::json!(["https://api.crm.example/v1"]));
    assert_eq!(reach("unchecked_scopes"), serde_json::json!(["scope:api|read"]));
    assert_eq!(reach("resources"), serde_json::json!([API]));
    assert_eq!(reach("serves"), serde_json::json!([]));
    assert!(db.good(&["agent", "blast", "sales"]).contains("scope:api|read"));

    db.good(&["managed-connection", "put", "api", "--resource", API]);
    db.good(&["managed-connection", "allow", "api", "agent:sales"]);
    let serving = db.serve();
    let token = serving.token("ops", &secret, "agents:read", "/admin");
    let reach = serving.with(&token, "GET", "/admin/agents/sales/reach", &Value::Null).json();
    assert_eq!(reach["targets"]["names"], serde_json::json!(["https://api.crm.example/v1", API]), "{reach}");
}

/// REG-EX: by a command with a file, and by a program over HTTP, which may do nothing else.
#[test]
fn agents_that_nobody_registered_are_found_by_their_accounts() {
    let db = Furnished::new();
    let admin = format!("{}/admin", db.issuer);
    let scopes = ["agents:read", "agents:write", "agents:report"].map(|scope| ["--scope", scope]).concat();
    db.good(&[&["resource", "create", &admin, "--id", "admin"], &scopes[..]].concat());
    let client = |id: &str, scopes: &[&str]| {
        let create = ["client", "create", "--id", id, "--kind", "app", "--auth", "client_secret_post"];
        let grant = ["--grant-type", "client_credentials", "--resource", &admin];
        db.json(&[&create[..], &grant, scopes].concat())["client_secret"].as_str().unwrap().to_owned()
    };
    let report = ["--scope", "agents:report"];
    let (scout, other) = (client("scout", &report), client("other", &report));
    let ops = client("ops", &["--scope", "agents:read", "--scope", "agents:write", "--admin"]);
    db.good(&["agent", "reporter", "app:scout"]);
    db.refused(&["agent", "reporter", "app:nobody"], "is nobody here");
    let connection = ["connection", "create", "crm", "--type", "oauth2", "--holder", "user"];
    let base = ["--base", "https://api.crm.example/v1", "--client-id", "acme-vault", "--client-auth", "none"];
    let urls =
        ["--authorize-url", "https://crm.example/authorize", "--token-url", "https://login.crm.example:8443/token"];
    db.good(&[&connection[..], &base, &urls, &["--rule", "GET /**"]].concat());

    let accounts = serde_json::json!([
        {"account": "svc-1", "name": "Proposal bot", "scopes": ["crm.read"], "last_used_at": 1_795_000_000},
        {"account": "app-2", "kind": "oauth_app", "client_id": "acme-vault"},
    ]);
    std::fs::write(db.directory.path().join("accounts.json"), accounts.to_string()).unwrap();
    let discover = |system: &str| db.good(&["agent", "discover", "--system", system, "accounts.json"]);
    let found = discover("crm");
    let draft = found.lines().next().unwrap().strip_prefix("svc-1\tnew\tagent:").unwrap().to_owned();
    assert_eq!(found.lines().nth(1).unwrap(), "app-2\tconnection\tconnection:crm");
    assert_eq!(discover("crm").lines().next().unwrap(), format!("svc-1\twaiting\tagent:{draft}"));
    for host in ["crm.example", "api.crm.example", "login.crm.example:8443"] {
        assert!(discover(host).contains("app-2\tconnection\t"), "{host}");
    }
    assert!(discover("login.crm.example").contains("app-2\tnew\t"), "another port is another system");
    let shown = db.json(&["agent", "show", &draft]);
    assert_eq!(
        (&shown["stage"], &shown["accounts"][0]["account"]["scopes"][0]),
        (&"discovered".into(), &"crm.read".into())
    );
    assert_eq!(shown["origin"]["account"], "svc-1");
    std::fs::write(db.directory.path().join("bad.json"), r#"[{"id": "svc-1"}]"#).unwrap();
    db.refused(&["agent", "discover", "--system", "crm", "bad.json"], "unknown field `id`");
    assert_eq!(db.good(&["agent", "adopt", &draft, "--as", "proposals", "--name", "Proposals"]), "registered");
    assert_eq!(db.json(&["agent", "show", "proposals"])["accounts"][0]["account"]["account"], "svc-1");
    db.good(&["agent", "register", "--id", "planner", "--name", "Planner"]);

    let serving = db.serve();
    let token = |id: &str, secret: &str, scope: &str| serving.token(id, secret, scope, "/admin");
    let ops = token("ops", &ops, "agents:read agents:write");
    let scout = token("scout", &scout, "agents:report");
    let send = |token: &str, method: &str, path: &str, body: Value| {
        let heard = serving.with(token, method, &format!("/admin{path}"), &body);
        (heard.status, heard.json())
    };
    let body = serde_json::json!({"system": "crm", "accounts": [{"account": "svc-1"}, {"account": "svc-3"}]});
    let (status, refused) = send(&token("other", &other, "agents:report"), "POST", "/discovered", body.clone());
    assert_eq!((status, &refused["error"]), (403, &"access_denied".into()), "{refused}");
    assert_eq!(send(&scout, "GET", "/discovered", Value::Null).0, 403);
    assert_eq!(send(&scout, "POST", "/agents", serde_json::json!({"profile": {"name": "x"}})).0, 403);
    let (status, told) = send(&scout, "POST", "/discovered", body);
    assert_eq!((status, &told["accounts"][0]["of"]), (200, &"agent:proposals".into()), "{told}");
    assert_eq!(told["accounts"][1]["whose"], "new");
    let draft = told["accounts"][1]["of"].as_str().unwrap().strip_prefix("agent:").unwrap();
    let (_, drafts) = send(&ops, "GET", "/discovered?limit=50", Value::Null);
    let of_drafts = drafts["agents"].as_array().unwrap().iter().map(|one| &one["accounts"][0]["account"]["account"]);
    let mut of_drafts: Vec<&str> = of_drafts.map(|id| id.as_str().unwrap()).collect();
    of_drafts.sort_unstable();
    // Each name of a system is a system, as whoever reports it says.
    assert_eq!(of_drafts, ["app-2", "svc-1", "svc-1", "svc-1", "svc-1", "svc-3"]);
    let same = send(&ops, "POST", &format!("/agents/{draft}/same"), serde_json::json!({"agent": "planner"}));
    assert_eq!((same.0, &same.1["accounts"][0]["account"]["account"]), (200, &"svc-3".into()), "{}", same.1);
    assert_eq!(send(&ops, "GET", &format!("/agents/{draft}"), Value::Null).1["stage"], "retired");
    let wrong = send(&scout, "POST", "/discovered", serde_json::json!({"system": "crm", "accounts": [{"account": 7}]}));
    assert!(
        wrong.0 == 400 && wrong.1["error_description"].as_str().unwrap().contains("accounts[0].account"),
        "{wrong:?}"
    );
}

#[test]
fn types_of_details_by_commands() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let init = ["init", "--issuer", "http://127.0.0.1:9/", "--admin", "admin@example.com"];
    assert!(program(directory).args(init).output().unwrap().status.success());
    let text = r#"{
        "name": "proposal", "title": "Send the proposal for {/amount} USD",
        "schema": {"type": "object", "additionalProperties": false, "required": ["type", "amount"],
                   "properties": {"type": {"const": "proposal"}, "amount": {"type": "string"}}},
        "rules": [{"when": "amount > most", "who": ["manager"],
                   "values": {"amount": {"kind": "decimal", "path": "/amount"},
                              "most": {"kind": "decimal", "value": "100000"}}}]
    }"#;
    std::fs::write(directory.join("proposal.json"), text).unwrap();
    let made = json(directory, &["approval", "put-type", "proposal.json"]);
    assert_eq!((made["name"].as_str(), made["version"].as_u64()), (Some("proposal"), Some(1)));
    std::fs::write(directory.join("bad.json"), text.replace("amount > most", "amount > nothing")).unwrap();
    refused(directory, &["approval", "put-type", "bad.json"], "undeclared reference to 'nothing'");
    assert_eq!(json(directory, &["approval", "types"])["types"][0]["title"], "Send the proposal for {/amount} USD");
    refused(directory, &["approval", "client", "unknown"], "no such client");
    assert_eq!(json(directory, &["approval", "list"])["approvals"], serde_json::json!([]));
    refused(directory, &["approval", "show", "x"], "bailiwick approval list");
    run(directory, &["approval", "remove-type", "proposal"]).unwrap();
    assert_eq!(run(directory, &["approval", "types"]).unwrap(), "");
}
