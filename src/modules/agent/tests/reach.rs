//! What needs what, both ways, and what an agent reaches. What it reaches in a data store is in `tests/agents.rs`.

use super::*;

fn names(list: &Names) -> Vec<&str> {
    list.names.iter().map(String::as_str).collect()
}

#[test]
fn dependencies_are_known_both_ways() {
    let world = World::new();
    for id in ["planner", "writer", "bot"] {
        world.active(id);
    }
    world.relate(&["mcp_server:files tenant tenant:acme"]);
    let (registry, env) = (world.registry(), world.env());
    for (agent, on) in [
        ("planner", "agent:writer"),
        ("writer", "agent:bot"),
        ("bot", "connection:crm"),
        ("writer", "mcp_server:files"),
    ] {
        registry.depend(OLGA, agent, on, true, &env).unwrap();
    }
    let planner = registry.dependencies("agent:planner").unwrap();
    assert_eq!(names(&planner.agents.direct), ["agent:writer"]);
    assert_eq!(names(&planner.agents.all), ["agent:bot", "agent:writer"]);
    assert_eq!(names(&planner.connections.direct).len(), 0);
    assert_eq!(names(&planner.connections.all), ["connection:crm"]);
    assert_eq!(names(&planner.mcp_servers.all), ["mcp_server:files"]);
    let crm = registry.dependencies("connection:crm").unwrap();
    assert_eq!(names(&crm.needed_by.direct), ["agent:bot"]);
    assert_eq!(crm.needed_by.all.count, 3, "who breaks if the CRM goes");
    assert_eq!(registry.dependencies("agent:bot").unwrap().needed_by.all.count, 2);
    registry.depend(OLGA, "writer", "agent:bot", false, &env).unwrap();
    assert_eq!(registry.dependencies("connection:crm").unwrap().needed_by.all.count, 1);
    for bad in ["agent:planner", "user:olga", "planner", "tenant:acme"] {
        assert_eq!(rule(registry.depend(OLGA, "planner", bad, true, &env)), "agent.uses", "{bad}");
    }
    assert_eq!(rule(registry.dependencies("user:olga")), "reach.object");
    assert_eq!(rule(registry.depend(EVE, "planner", "connection:crm", true, &env)), "agent.not_allowed");
    // What depended on one that is retired does not any more.
    registry.depend(OLGA, "writer", "agent:bot", true, &env).unwrap();
    registry.retire(ANN, "bot", "", &env).unwrap();
    assert_eq!(registry.dependencies("agent:writer").unwrap().agents.all.count, 0);
}

/// Knows where connections lead.
struct Leads;

impl Destinations for Leads {
    fn of(&self, _: &Tenant, connection: &str) -> Answer<Option<String>> {
        Ok((connection != "gone").then(|| format!("https://{connection}.example/")))
    }
}

#[test]
fn reach_has_what_its_client_may_ask_for_and_where_connections_lead() {
    use crate::identity::{Client, Resource, Scope};
    let world = World::new();
    world.active("bot");
    let (registry, env, tenant) = (world.registry(), world.env(), &world.tenant);
    let scope = |name: &str, checked| Scope { name: name.into(), description: String::new(), checked };
    for (id, scopes) in [("api", vec![scope("read", false), scope("send", true)]), ("docs", vec![scope("read", false)])]
    {
        let identifier = format!("https://{id}.example/");
        let resource = Resource { id: id.into(), identifier, name: id.into(), scopes, created_at: 0 };
        tenant.put_resource(&resource, &env).unwrap();
    }
    let held = tenant.client("bot").unwrap();
    let list = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let wanted = Client {
        scopes: list(&["openid", "read", "send", "unknown"]),
        resources: list(&["https://api.example/", "https://nowhere.example/"]),
        serves: list(&["https://bot.example/"]),
        ..held.value.clone()
    };
    tenant.change_client(&held, &wanted, &env).unwrap();
    world.relate(&[
        "connection:gone tenant tenant:acme",
        "connection:crm allowed agent:bot",
        "connection:gone allowed agent:bot",
        "connection:mail allowed agent:other",
    ]);
    let reach = registry.reach("bot", (None, None), &Leads).unwrap();
    assert_eq!(names(&reach.unchecked_scopes), ["openid", "scope:api|read"]);
    assert_eq!(names(&reach.scopes).len(), 0, "what is checked takes a tuple");
    assert_eq!(names(&reach.resources), ["https://api.example/", "https://nowhere.example/"]);
    assert_eq!(names(&reach.serves), ["https://bot.example/"]);
    assert_eq!((names(&reach.targets), reach.connections.count), (vec!["https://crm.example/"], 2));
    registry.suspend(ANN, "bot", "", &env).unwrap();
    let still = registry.reach("bot", (None, None), &Leads).unwrap();
    for list in [&still.unchecked_scopes, &still.resources, &still.serves, &still.targets] {
        assert_eq!(*list, Names::default());
    }
    registry.retire(ANN, "bot", "", &env).unwrap();
    assert_eq!(registry.reach("bot", (None, None), &Leads).unwrap().resources, Names::default());
}

#[test]
fn reach_is_what_checks_allow_now() {
    let world = World::new();
    for id in ["bot", "planner"] {
        world.active(id);
    }
    world.relate(&[
        "connection:crm allowed agent:bot",
        "connection_scope:crm|read connection connection:crm",
        "connection_scope:crm|read automatic agent:*",
        "connection_scope:crm|send connection connection:crm",
        "connection_scope:crm|send needs_approval agent:bot",
        "scope:api|discounts tenant tenant:acme",
        "scope:api|discounts allowed agent:bot",
        "agent:planner uses agent:bot",
    ]);
    let registry = world.registry();
    let reach = registry.reach("bot", (None, None), &Leads).unwrap();
    assert!(reach.active);
    assert_eq!(names(&reach.connections), ["connection:crm"]);
    assert_eq!(names(&reach.automatic), ["connection_scope:crm|read"]);
    assert_eq!(names(&reach.with_approval), ["connection_scope:crm|send"]);
    assert_eq!(names(&reach.scopes), ["scope:api|discounts"]);
    assert_eq!(names(&reach.needed_by), ["agent:planner"]);
    assert!(reach.data.is_empty());
    // Suspended, it reaches nothing of the tenant's.
    registry.suspend(ANN, "bot", "", &world.env()).unwrap();
    let still = registry.reach("bot", (None, None), &Leads).unwrap();
    assert!(!still.active);
    assert_eq!((still.connections.count, still.automatic.count, still.scopes.count), (0, 0, 0));
    assert_eq!(rule(registry.reach("bot", (Some(world.tenant.system_store()), None), &NoDestinations)), "not_found");
}
