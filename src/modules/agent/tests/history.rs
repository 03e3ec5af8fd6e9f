//! What others do to an agent is in its history: in the write that does it, by whom, and once.

use super::*;
use crate::identity::{Client, ClientKind, EventKind, Outcome};

/// The last entry of an agent: its version, by whom, what was done, and what changed.
fn last(world: &World, id: &str) -> (u32, String, String, Vec<String>) {
    let agent = world.registry().get(id).unwrap();
    let history = world.registry().history(id, 0, 1_000).unwrap();
    let versions: Vec<u32> = history.iter().map(|entry| entry.version).collect();
    assert_eq!(versions, (1..=agent.record.version).collect::<Vec<_>>(), "versions have no gaps");
    let entry = history.into_iter().next_back().unwrap();
    assert_eq!(entry.at, agent.record.changed_at);
    let side = |side: Option<String>| side.unwrap_or_else(|| "-".to_owned());
    let changes = entry.changes.into_iter().map(|c| format!("{}: {} > {}", c.field, side(c.from), side(c.to)));
    (entry.version, entry.by, entry.action, changes.collect())
}

/// A change of tuples by an administrator, as another module makes it: with an event that says what is done.
fn change(world: &World, action: &str, gone: &[&str], come: &[&str]) {
    let env = Env { by: Some("user:ann"), ..world.env() };
    let mut change = world.tenant.change(&env);
    for (tuples, comes) in [(gone, false), (come, true)] {
        for tuple in tuples {
            let parts: Vec<&str> = tuple.split(' ').collect();
            if comes {
                change.relate(parts[0], parts[1], parts[2]);
            } else {
                change.unrelate(parts[0], parts[1], parts[2]);
            }
        }
    }
    let event = world.tenant.event(EventKind::PolicyChanged, Outcome::Done, &env);
    change.event(&event.action(action));
    change.commit().unwrap();
}

#[test]
fn what_others_give_and_take_is_in_history() {
    let mut world = World::new();
    world.active("bot");
    world.active("planner");
    world.now += 60;
    let told = |changes: &[&str]| changes.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    for (action, gone, come, expected) in [
        ("connection.allow", "", "connection:crm allowed agent:bot", "connection:crm#allowed: - > agent:bot"),
        (
            "connection.scope",
            "connection_scope:crm|read automatic agent:bot",
            "connection_scope:crm|read needs_approval agent:bot",
            "connection_scope:crm|read: - > needs_approval",
        ),
        (
            "connection.scope",
            "connection_scope:crm|read needs_approval agent:bot",
            "connection_scope:crm|read automatic agent:bot",
            "connection_scope:crm|read: needs_approval > automatic",
        ),
        (
            "connection.scope",
            "connection_scope:crm|read automatic agent:bot",
            "",
            "connection_scope:crm|read: automatic > -",
        ),
        ("scope", "", "scope:api|write allowed agent:bot", "scope:api|write#allowed: - > agent:bot"),
        ("admin", "", "tenant:acme admin agent:bot", "tenant:acme#admin: - > agent:bot"),
        ("connection.disallow", "connection:crm allowed agent:bot", "", "connection:crm#allowed: agent:bot > -"),
    ] {
        let before = last(&world, "bot").0;
        let one = |tuple: &'static str| if tuple.is_empty() { vec![] } else { vec![tuple] };
        change(&world, action, &one(gone), &one(come));
        assert_eq!(last(&world, "bot"), (before + 1, "user:ann".into(), action.into(), told(&[expected])));
        change(&world, action, &one(gone), &one(come));
        assert_eq!(last(&world, "bot").0, before + 1, "what is so already is no change");
    }
    // Who may go on with an agent's tokens is in the histories of both.
    change(&world, "delegate", &[], &["agent:bot delegate agent:planner"]);
    assert_eq!(last(&world, "bot").3, ["delegate: - > agent:planner"]);
    assert_eq!(last(&world, "planner").3, ["agent:bot#delegate: - > agent:planner"]);
    // When one is retired, the other's history says what it has no more.
    world.registry().retire(ANN, "planner", "", &world.env()).unwrap();
    assert_eq!(last(&world, "bot").3, ["delegate: agent:planner > -"]);
}

#[test]
fn what_is_nobodys_permission_is_in_no_history() {
    let world = World::new();
    world.active("bot");
    world.tenant.create_client(&Client::new("job", ClientKind::Agent, "Job"), &world.env()).unwrap();
    let before = last(&world, "bot");
    world.relate(&["approval:1 asks agent:bot"]);
    world.relate(&["connection:crm allowed agent:*", "connection:crm allowed agent:job"]);
    world.relate(&["agent:job uses agent:bot"]);
    assert_eq!(last(&world, "bot"), before);
    assert_eq!(rule(world.registry().history("job", 0, 10)), "not_found", "nobody registered it");
}

#[test]
fn what_others_say_of_its_client_and_that_they_suspend_it_is_in_history() {
    let world = World::new();
    world.active("bot");
    let env = Env { by: Some("user:ann"), ..world.env() };
    let held = world.tenant.client("bot").unwrap();
    let wider = Client {
        scopes: vec!["read".into()],
        resources: vec!["https://api.example/".into()],
        serves: vec!["https://bot.example/".into()],
        grant_types: vec!["client_credentials".into()],
        redirect_uris: vec!["https://bot.example/cb".into()],
        ..held.value.clone()
    };
    world.tenant.change_client(&held, &wider, &env).unwrap();
    let (version, by, action, changes) = last(&world, "bot");
    assert_eq!((version, by.as_str(), action.as_str()), (3, "user:ann", "client.changed"));
    let expected = [
        "grant_types: - > client_credentials",
        "redirect_uris: - > https://bot.example/cb",
        "resources: - > https://api.example/",
        "scopes: - > read",
        "serves: - > https://bot.example/",
    ];
    assert_eq!(changes, expected);
    let (id, _) = world.tenant.add_secret("bot", None, &world.env()).unwrap();
    assert_eq!(last(&world, "bot").1, "machine");
    assert_eq!(last(&world, "bot").3, [format!("secret: - > {id}")]);
    world.tenant.suspend("agent:bot", true, Some("user:aud"), &world.env()).unwrap();
    let expected = vec!["tenant:acme#suspended: - > agent:bot".to_owned()];
    assert_eq!(last(&world, "bot"), (5, "user:aud".into(), "agent.suspended".into(), expected));
    world.tenant.delete_client("bot", &world.env()).unwrap();
    assert!(last(&world, "bot").3.contains(&"client: bot > -".to_owned()));
}

#[test]
fn an_entry_is_in_the_write_that_it_tells_of() {
    let world = World::new();
    world.active("bot");
    let env = world.env();
    // A change that rests on what is not so any more is written neither in tuples nor in history.
    let held = world.tenant.client("bot").unwrap();
    let renamed = Client { name: "Other".into(), ..held.value.clone() };
    world.tenant.change_client(&held, &renamed, &env).unwrap();
    let before = last(&world, "bot");
    let mut stale = world.tenant.change(&env);
    stale.expect(&held);
    stale.relate("connection:crm", "allowed", "agent:bot");
    assert!(stale.commit().unwrap_err().is_stale());
    assert_eq!(last(&world, "bot"), before);
    assert!(!world.allows("agent:bot usable connection:crm"));
}

/// What does not fit into the write that retires an agent is in further ones, which are in its history too.
#[test]
fn what_one_with_many_permissions_has_no_more_is_in_history() {
    let world = World::new();
    world.active("bot");
    world.active("planner");
    let many = registry::TUPLES_PER_WRITE_MAX + 50;
    let tuples: Vec<String> = (0..many).map(|n| format!("connection:c{n} allowed agent:bot")).collect();
    let tuples: Vec<&str> = tuples.iter().map(String::as_str).collect();
    tuples.chunks(100).for_each(|some| world.relate(some));
    let before = last(&world, "bot").0;
    let retired = world.registry().retire(ANN, "bot", "over", &world.env()).unwrap();
    let (version, by, _, changes) = last(&world, "bot");
    assert_eq!((retired.record.version, retired.stage), (version, Stage::Retired));
    assert!(version > before + 1 && by == "user:ann", "{version} {by}");
    assert!(changes.iter().all(|change| change.ends_with(" > -")), "{changes:?}");
    assert!(!world.allows("agent:bot usable connection:c0"));
}
