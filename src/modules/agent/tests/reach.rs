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
    let reach = registry.reach("bot", None, None).unwrap();
    assert!(reach.active);
    assert_eq!(names(&reach.connections), ["connection:crm"]);
    assert_eq!(names(&reach.automatic), ["connection_scope:crm|read"]);
    assert_eq!(names(&reach.with_approval), ["connection_scope:crm|send"]);
    assert_eq!(names(&reach.scopes), ["scope:api|discounts"]);
    assert_eq!(names(&reach.needed_by), ["agent:planner"]);
    assert!(reach.data.is_empty());
    // Suspended, it reaches nothing of the tenant's.
    registry.suspend(ANN, "bot", "", &world.env()).unwrap();
    let still = registry.reach("bot", None, None).unwrap();
    assert!(!still.active);
    assert_eq!((still.connections.count, still.automatic.count, still.scopes.count), (0, 0, 0));
    assert_eq!(rule(registry.reach("bot", Some(world.tenant.system_store()), None)), "not_found");
}
