//! Who is told that nobody answers for an agent any more, and when.

use super::*;
use crate::identity::EventKind;
use parking_lot::Mutex;

/// Remembers who was told of what; fails when it is told to.
#[derive(Default)]
struct Told {
    said: Mutex<Vec<(String, Vec<String>)>>,
    fails: bool,
}

impl Tell for Told {
    fn orphaned(&self, _: &Tenant, user: &str, agents: &[String], _: &Env<'_>) -> Answer<()> {
        if self.fails {
            return Err(Refusal::failed("test", "the disk failed"));
        }
        self.said.lock().push((user.to_owned(), agents.to_vec()));
        Ok(())
    }
}

/// Who is told when it is looked now.
fn look(world: &World) -> Vec<(String, Vec<String>)> {
    let told = Told::default();
    world.registry().tell_of_orphans(&told, &world.env()).unwrap();
    told.said.into_inner()
}

fn says(person: &str, agents: &[&str]) -> (String, Vec<String>) {
    (person.to_owned(), agents.iter().map(|agent| (*agent).to_owned()).collect())
}

#[test]
fn who_operates_an_agent_is_told_once_and_the_administrators_again_a_week_later() {
    let mut world = World::new();
    for id in ["a", "b"] {
        world.active(id);
    }
    world.registered("waits");
    assert_eq!(look(&world), [], "somebody answers for each");
    world.tenant.delete_user("john", &world.env()).unwrap();
    let failing = Told { fails: true, ..Told::default() };
    assert!(world.registry().tell_of_orphans(&failing, &world.env()).is_err());
    // Olga's team owns them, and Ann may give them to somebody. One that may not act yet waits for nobody.
    assert_eq!(look(&world), [says("ann", &["a", "b"]), says("olga", &["a", "b"])]);
    assert_eq!(look(&world), [], "once");
    let event = world.events().pop().unwrap();
    assert_eq!((event.kind(), event.get_agent()), (EventKind::AgentOrphaned, Some("agent:b")));
    // One is given to somebody else in time.
    let other = Profile { accountable: Some("user:eve".into()), ..profile("a") };
    world.registry().change(ANN, "a", &other, &world.env()).unwrap();
    world.now += ESCALATED_AFTER_S - 1;
    assert_eq!(look(&world), []);
    world.now += 1;
    assert_eq!(look(&world), [says("ann", &["b"])], "a week is over");
    world.now += 10 * ESCALATED_AFTER_S;
    assert_eq!(look(&world), [], "there is nobody else");
    // Of what was given to somebody, and is left again, it is told anew.
    world.tenant.suspend("user:eve", true, None, &world.env()).unwrap();
    assert_eq!(look(&world), [says("ann", &["a"]), says("olga", &["a"])]);
}

#[test]
fn where_nobody_is_left_but_administrators_they_are_told_at_once() {
    let world = World::new();
    world.active("a");
    for gone in ["john", "olga"] {
        world.tenant.delete_user(gone, &world.env()).unwrap();
    }
    assert_eq!(look(&world), [says("ann", &["a"])]);
}

#[test]
fn of_a_suspended_tenant_nobody_is_told() {
    let world = World::new();
    world.active("a");
    world.relate(&["tenant:acme suspended user:*"]);
    assert_eq!(look(&world), []);
}
