//! The model of system stores: what suspends, what is granted, who approves, what depends on what.

use super::*;
use crate::engine::Decision;
use crate::model::Model;

/// Writes tuples, `object relation subject` each.
fn relate(world: &World, tuples: &[&str]) {
    let env = world.env();
    let mut change = world.tenant.change(&env);
    for tuple in tuples {
        let words: Vec<&str> = tuple.split(' ').collect();
        change.relate(words[0], words[1], words[2]);
    }
    change.commit().unwrap();
}

#[track_caller]
fn decides(world: &World, questions: &[(&str, bool)]) {
    for (question, expected) in questions {
        let words: Vec<&str> = question.split(' ').collect();
        let decision = world.tenant.check(words[0], words[1], words[2]).unwrap();
        assert_eq!(decision == Decision::Allow, *expected, "{question}");
    }
}

#[test]
fn the_model_is_valid_and_prints_as_it_reads() {
    let model = Model::parse_dsl(SYSTEM_MODEL).unwrap();
    model.validate().unwrap();
    assert_eq!(Model::parse_dsl(&model.to_dsl()).unwrap(), model);
}

#[test]
fn one_tuple_suspends_against_every_grant() {
    let world = World::new();
    let tuples = [
        "agent:sales accountable user:sarah",
        "agent:sales owner team:ops",
        "tenant:acme admin agent:sales",
        "tenant:acme admin user:sarah", // the last administrator is not suspended
        "connection:crm tenant tenant:acme",
        "connection:crm allowed agent:*",
        "connection_scope:crm|read connection connection:crm",
        "connection_scope:crm|read automatic agent:sales",
        "connection_scope:crm|write connection connection:crm",
        "connection_scope:crm|write needs_approval agent:*",
        "scope:api|discounts allowed agent:sales",
    ];
    relate(&world, &tuples);
    let may = [
        "agent:sales active tenant:acme",
        "agent:sales admin tenant:acme",
        "agent:sales usable connection:crm",
        "agent:sales granted connection_scope:crm|read",
        "agent:sales requestable connection_scope:crm|write",
        "agent:sales granted scope:api|discounts",
    ];
    decides(&world, &may.map(|question| (question, true)));
    world.tenant.suspend("agent:sales", true, None, &world.env()).unwrap();
    decides(&world, &may.map(|question| (question, false)));
    world.tenant.suspend("agent:sales", false, None, &world.env()).unwrap();
    decides(&world, &may.map(|question| (question, true)));
    world.tenant.suspend_all(true, &world.env()).unwrap();
    decides(&world, &may.map(|question| (question, false)));
    world.tenant.suspend_all(false, &world.env()).unwrap();
    decides(&world, &may.map(|question| (question, true)));
    // Who was never registered may do nothing, whatever is granted to all.
    decides(
        &world,
        &[
            ("agent:unknown usable connection:crm", false),
            ("agent:unknown requestable connection_scope:crm|write", false),
        ],
    );
}

#[test]
fn classes_of_scopes() {
    let world = World::new();
    relate(
        &world,
        &[
            "connection:crm tenant tenant:acme",
            "connection:crm allowed agent:sales",
            "connection_scope:crm|a connection connection:crm",
            "connection_scope:crm|a automatic agent:*",
            "connection_scope:crm|b connection connection:crm",
            "connection_scope:crm|b needs_approval agent:*",
            "connection_scope:crm|c connection connection:crm",
            "connection_scope:crm|c automatic agent:*",
            "connection_scope:crm|c needs_approval agent:*",
            "connection_scope:crm|c never agent:sales",
            "connection_scope:other|a automatic agent:*",
        ],
    );
    decides(
        &world,
        &[
            ("agent:sales granted connection_scope:crm|a", true),
            ("agent:sales requestable connection_scope:crm|a", false),
            ("agent:sales granted connection_scope:crm|b", false),
            ("agent:sales requestable connection_scope:crm|b", true),
            ("agent:sales granted connection_scope:crm|c", false),
            ("agent:sales requestable connection_scope:crm|c", false),
            // Without a connection there is nothing to have a scope of.
            ("agent:sales granted connection_scope:other|a", false),
            // The connection is not for applications.
            ("app:crm granted connection_scope:crm|a", false),
        ],
    );
}

#[test]
fn who_operates_approves_and_depends() {
    let world = World::new();
    let env = world.env();
    for id in ["boss", "olga", "eve"] {
        world.tenant.create_user(Some(id), &[], Map::new(), &env).unwrap();
    }
    for id in ["planner", "writer"] {
        world.tenant.create_client(&agent(id), &env).unwrap();
    }
    relate(
        &world,
        &[
            "user:sarah manager user:boss",
            "team:ops member user:olga",
            "agent:sales accountable user:sarah",
            "agent:sales owner team:ops",
            "agent:sales uses connection:crm",
            "agent:planner uses agent:sales",
            "agent:writer uses agent:planner",
        ],
    );
    decides(
        &world,
        &[
            ("user:sarah approver agent:sales", true),
            ("user:boss approver agent:sales", true),
            ("user:boss manager agent:sales", true),
            ("user:olga approver agent:sales", false),
            ("user:olga operator agent:sales", true),
            ("user:sarah operator agent:sales", true),
            ("user:eve operator agent:sales", false),
            ("connection:crm depends_on agent:sales", true),
            ("connection:crm depends_on agent:writer", true),
            ("agent:planner depends_on agent:writer", true),
            ("agent:writer depends_on agent:planner", false),
        ],
    );
    world.tenant.suspend("user:boss", true, None, &env).unwrap();
    decides(&world, &[("user:boss approver agent:sales", false), ("user:sarah approver agent:sales", true)]);
}

#[test]
fn scopes_are_named_without_what_names_may_not_have() {
    assert_eq!(scope_object("api", "read:docs"), "scope:api|read%3Adocs");
    assert_eq!(scope_object("api", "a|b#c*%"), "scope:api|a%7Cb%23c%2A%25");
    assert!(crate::tuple::ObjectRef::parse(&scope_object("api", "read:docs")).is_ok());
    for scope in ["read:docs", "a|b#c*%", "https://x.example/y?z", "~!$&'()"] {
        let object = connection_scope_object("crm", scope);
        let id = object.strip_prefix("connection_scope:").unwrap();
        assert_eq!(connection_scope_of(id), Some(("crm".to_owned(), scope.to_owned())), "{object}");
    }
    for bad in ["crm", "crm|read:docs", "crm|%", "crm|%3", "crm|%3a", "crm|%ff", "crm|%41"] {
        assert_eq!(connection_scope_of(bad), None, "{bad}: not as it is written here");
    }
}
