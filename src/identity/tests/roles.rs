//! Roles: who may be given which, that the last administrator stays, and that each is one write with its event.

use super::*;

fn give(world: &World, role: &str, object: Option<&str>, subject: &str) -> Answer<bool> {
    let held = world.tenant.appointment_named(role, object, subject)?;
    world.tenant.give_role(&held, &world.env())
}

fn take(world: &World, role: &str, object: Option<&str>, subject: &str) -> Answer<()> {
    let held = world.tenant.appointment_named(role, object, subject)?;
    world.tenant.take_role(&held, &world.env())
}

/// A team of these people.
fn team(world: &World, id: &str, members: &[&str]) {
    let env = world.env();
    let mut change = world.tenant.change(&env);
    for member in members {
        change.relate(&format!("team:{id}"), "member", &format!("user:{member}"));
    }
    change.commit().unwrap();
}

fn may(world: &World, subject: &str, relation: &str, object: &str) -> bool {
    world.tenant.check(subject, relation, object).unwrap() == crate::engine::Decision::Allow
}

fn person(world: &World, id: &str) {
    world.tenant.create_user(Some(id), &[], Map::new(), &world.env()).unwrap();
}

#[test]
fn a_role_is_given_and_taken_with_its_event() {
    let world = World::new();
    assert!(!may(&world, "user:sarah", "auditor", "tenant:acme"));
    assert!(give(&world, "auditor", None, "user:sarah").unwrap());
    assert!(may(&world, "user:sarah", "auditor", "tenant:acme") && !may(&world, "user:sarah", "admin", "tenant:acme"));
    let given = world.events().pop().unwrap();
    assert_eq!((given.kind(), given.get_user()), (EventKind::RoleGiven, Some("user:sarah")));
    assert_eq!((given.get_resource(), given.get_action()), (Some("tenant:acme"), Some("auditor")));
    let count = world.events().len();
    assert!(!give(&world, "auditor", None, "user:sarah").unwrap(), "they have it");
    assert_eq!(world.events().len(), count, "nothing happened");
    take(&world, "auditor", None, "user:sarah").unwrap();
    assert!(!may(&world, "user:sarah", "auditor", "tenant:acme"));
    assert_eq!(world.events().pop().unwrap().kind(), EventKind::RoleTaken);
    assert_eq!(rule(take(&world, "auditor", None, "user:sarah")), "role.not_held");
}

#[test]
fn only_who_and_what_is_there_has_a_role() {
    let world = World::new();
    let env = world.env();
    let mut change = world.tenant.change(&env);
    change.relate("connection:files", "tenant", "tenant:acme");
    change.commit().unwrap();
    team(&world, "ops", &["sarah"]);
    let (files, scope) = (Some("connection:files"), Some("scope:api|discounts"));
    for (role, object, subject, expected) in [
        ("admin", None, "team:ops", "given"),
        ("admin", None, "team:ops#member", "given"),
        ("auditor", None, "app:crm", "given"),
        ("reporter", Some("tenant:acme"), "agent:sales", "given"),
        ("owner", files, "team:ops", "given"),
        ("owner", files, "agent:sales", "given"),
        ("owner", Some("app:crm"), "user:sarah", "given"),
        ("allowed", scope, "user:*", "given"),
        ("allowed", scope, "team:ops", "given"),
        // Who cannot have it.
        ("admin", None, "user:*", "role.subject"),
        ("owner", files, "app:crm", "role.subject"),
        ("owner", Some("app:crm"), "agent:sales", "role.subject"),
        ("admin", None, "sarah", "role.subject"),
        ("admin", None, "user:a b", "role.subject"),
        ("admin", None, "connection:files", "role.subject"),
        // Who is not there.
        ("admin", None, "user:nobody", "role.nobody"),
        ("admin", None, "app:sales", "role.nobody"),
        ("admin", None, "team:nobody", "role.nobody"),
        // What has none, or is not there.
        ("admin", Some("tenant:other"), "user:sarah", "not_found"),
        ("member", None, "user:sarah", "role.name"),
        ("suspended", None, "user:sarah", "role.name"),
        ("owner", Some("agent:sales"), "user:sarah", "role.name"),
        ("admin", files, "user:sarah", "role.name"),
        ("owner", Some("connection:none"), "user:sarah", "not_found"),
        ("owner", Some("app:none"), "user:sarah", "not_found"),
        ("owner", Some("app:sales"), "user:sarah", "not_found"),
        ("owner", Some("connection:a b"), "user:sarah", "role.object"),
        ("allowed", Some("scope:api|none"), "user:sarah", "not_found"),
        ("allowed", Some("scope:none|discounts"), "user:sarah", "not_found"),
        ("allowed", Some("scope:api"), "user:sarah", "role.object"),
        ("allowed", Some("scope:api|read"), "user:sarah", "role.unchecked"),
    ] {
        let answer = give(&world, role, object, subject);
        let said = answer.as_ref().map_or_else(|refusal| refusal.rule, |_| "given");
        assert_eq!(said, expected, "{role} {object:?} {subject}");
    }
    assert!(may(&world, "user:sarah", "admin", "tenant:acme"), "by the team");
    assert!(may(&world, "agent:sales", "operator", "connection:files"));
    assert!(may(&world, "user:sarah", "operator", "app:crm"));
}

#[test]
fn the_last_administrator_stays() {
    let world = World::new();
    person(&world, "ann");
    give(&world, "admin", None, "user:sarah").unwrap();
    assert_eq!(rule(take(&world, "admin", None, "user:sarah")), "role.last_administrator");
    let spare = |who: &str| {
        let env = world.env();
        world.tenant.spare_administrator(&mut world.tenant.change(&env), Leaving::Somebody(who))
    };
    assert_eq!(rule(spare("user:sarah")), "role.last_administrator");
    let last = "role.last_administrator";
    assert_eq!(rule(world.tenant.suspend("user:sarah", true, None, &world.env())), last);
    assert_eq!(rule(world.tenant.delete_user("sarah", &world.env())), last);
    assert!(may(&world, "user:sarah", "admin", "tenant:acme"));
    spare("user:ann").unwrap();

    // Another one must be able to act, and a team is who is in it.
    give(&world, "admin", None, "user:ann").unwrap();
    world.tenant.suspend("user:ann", true, None, &world.env()).unwrap();
    assert_eq!(rule(take(&world, "admin", None, "user:sarah")), "role.last_administrator");
    take(&world, "admin", None, "user:ann").unwrap();
    world.tenant.suspend("user:ann", false, None, &world.env()).unwrap();
    team(&world, "ops", &["ann"]);
    give(&world, "admin", None, "team:ops").unwrap();
    spare("user:sarah").unwrap();
    take(&world, "admin", None, "user:sarah").unwrap();
    assert!(may(&world, "user:ann", "admin", "tenant:acme"));
    assert_eq!(rule(take(&world, "admin", None, "team:ops")), "role.last_administrator");
    assert_eq!(rule(spare("user:ann")), "role.last_administrator");
}

#[test]
fn a_team_that_administers_keeps_one_who_may_act() {
    let world = World::new();
    for id in ["ann", "bob"] {
        person(&world, id);
    }
    team(&world, "inner", &["sarah", "ann"]);
    team(&world, "other", &["bob"]);
    let env = world.env();
    let mut change = world.tenant.change(&env);
    change.relate("team:ops", "member", "team:inner#member");
    // A ring: it ends.
    change.relate("team:inner", "member", "team:ops#member");
    change.commit().unwrap();
    give(&world, "admin", None, "team:ops").unwrap();
    let leave = |all: &[(&str, &str)]| {
        let env = world.env();
        let mut change = world.tenant.change(&env);
        world.tenant.spare_administrator(&mut change, Leaving::Members(all))?;
        change.commit().map(|_| ())
    };
    let last = "role.last_administrator";
    let revision = || world.tenant.engine().revision();
    let before = revision();
    leave(&[("team:other", "user:bob"), ("team:ops", "user:nobody")]).unwrap();
    assert_eq!(revision(), before, "nobody who administers is touched, and nothing is written");
    leave(&[("team:inner", "user:sarah")]).unwrap();
    assert_ne!(revision(), before, "whoever ends another one at the same time looks again");
    assert_eq!(rule(leave(&[("team:inner", "user:sarah"), ("team:inner", "user:ann")])), last);
    assert_eq!(rule(leave(&[("team:ops", "team:inner#member")])), last);
    // Who may not act is nobody's replacement.
    world.tenant.suspend("user:ann", true, None, &env).unwrap();
    assert_eq!(rule(leave(&[("team:inner", "user:sarah")])), last);
    leave(&[("team:inner", "user:ann")]).unwrap();
    // Nor is one who is an administrator by the same team.
    give(&world, "admin", None, "user:bob").unwrap();
    leave(&[("team:ops", "team:inner#member")]).unwrap();
    assert_eq!(
        rule(world.tenant.suspend("user:bob", true, None, &env).and_then(|_| leave(&[("team:inner", "user:sarah")]))),
        last
    );
}

/// In whatever two ways two end each other, one stays.
#[test]
fn of_two_ways_at_the_same_time_one_is_refused() {
    type Way = fn(&Tenant, &str, &Env<'_>) -> Answer<()>;
    let ways: [(&str, Way); 4] = [
        ("role", |tenant, who, env| {
            tenant.take_role(&tenant.appointment_named("admin", None, &format!("user:{who}")).unwrap(), env)
        }),
        ("suspension", |tenant, who, env| tenant.suspend(&format!("user:{who}"), true, None, env).map(|_| ())),
        ("deletion", |tenant, who, env| tenant.delete_user(who, env)),
        ("team", |tenant, who, env| {
            let (team, member) = (format!("team:{who}s"), format!("user:{who}"));
            again(|| {
                let mut change = tenant.change(env);
                tenant.spare_administrator(&mut change, Leaving::Members(&[(&team, &member)]))?;
                change.unrelate(&team, "member", &member);
                change.commit().map(|_| ())
            })
        }),
    ];
    for (one, first) in ways {
        for (other, second) in ways {
            let world = World::new();
            person(&world, "ann");
            for (who, way) in [("sarah", one), ("ann", other)] {
                team(&world, &format!("{who}s"), &[who]);
                let subject = if way == "team" { format!("team:{who}s") } else { format!("user:{who}") };
                give(&world, "admin", None, &subject).unwrap();
            }
            let done: Vec<Answer<()>> = std::thread::scope(|scope| {
                let act = |way: Way, who: &'static str| {
                    let tenant = world.tenant.clone();
                    scope.spawn(move || way(&tenant, who, &Env::new(at(START), &|bytes: &mut [u8]| bytes.fill(7))))
                };
                let both = [act(first, "sarah"), act(second, "ann")];
                both.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            let refused: Vec<_> = done.iter().filter_map(|answer| answer.as_ref().err().map(|r| r.rule)).collect();
            assert_eq!(refused, ["role.last_administrator"], "{one} and {other}");
            let stays = ["user:sarah", "user:ann"].iter().filter(|who| may(&world, who, "admin", "tenant:acme"));
            assert_eq!(stays.count(), 1, "{one} and {other}");
        }
    }
}

#[test]
fn of_two_who_dismiss_each_other_one_stays() {
    let world = World::new();
    person(&world, "ann");
    give(&world, "admin", None, "user:sarah").unwrap();
    give(&world, "admin", None, "user:ann").unwrap();
    let taken: Vec<Answer<()>> = std::thread::scope(|scope| {
        let act = |who: &'static str| {
            let tenant = world.tenant.clone();
            scope.spawn(move || {
                let env = Env::new(at(START), &|bytes: &mut [u8]| bytes.fill(7));
                tenant.take_role(&tenant.appointment_named("admin", None, who).unwrap(), &env)
            })
        };
        let both = [act("user:sarah"), act("user:ann")];
        both.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(taken.iter().filter(|answer| answer.is_ok()).count(), 1, "{taken:?}");
}

#[test]
fn of_two_who_suspend_each_other_one_stays() {
    let world = World::new();
    person(&world, "ann");
    for who in ["user:sarah", "user:ann"] {
        give(&world, "admin", None, who).unwrap();
    }
    let done: Vec<Answer<_>> = std::thread::scope(|scope| {
        let act = |who: &'static str| {
            let tenant = world.tenant.clone();
            scope
                .spawn(move || tenant.suspend(who, true, None, &Env::new(at(START), &|bytes: &mut [u8]| bytes.fill(7))))
        };
        let both = [act("user:sarah"), act("user:ann")];
        both.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(done.iter().filter(|answer| answer.is_ok()).count(), 1, "{done:?}");
}

#[test]
fn a_change_of_a_resource_rests_on_what_was_judged() {
    let world = World::new();
    let judged = world.tenant.resource(API).unwrap().unwrap();
    let mut strict = judged.value.clone();
    strict.scopes.iter_mut().for_each(|scope| scope.checked = true);
    world.tenant.put_resource(&strict, &world.env()).unwrap();
    // It was judged before the checks came.
    assert!(world.tenant.replace_resource(Some(&judged), &judged, &world.env()).unwrap_err().is_stale());
    assert!(world.tenant.replace_resource(None, &judged, &world.env()).unwrap_err().is_stale());
    assert!(world.tenant.remove_held_resource(&judged, &world.env()).unwrap_err().is_stale());
    let now = world.tenant.resource(API).unwrap().unwrap();
    assert_eq!(now.value, strict);
    world.tenant.replace_resource(Some(&now), &judged, &world.env()).unwrap();
}

#[test]
fn roles_are_listed_by_object_and_by_who_has_them() {
    let world = World::new();
    let odd = Scope { name: "crm:odd".into(), description: "Odd".into(), checked: true };
    let resource = Resource {
        id: "crm-api".into(),
        identifier: "https://crm.example/".into(),
        name: "CRM".into(),
        scopes: vec![odd],
        created_at: START,
    };
    world.tenant.put_resource(&resource, &world.env()).unwrap();
    let odd = Some("scope:crm-api|crm:odd");
    let people: Vec<String> = (0..7).map(|n| format!("p{n}")).collect();
    for id in &people {
        person(&world, id);
        give(&world, "auditor", None, &format!("user:{id}")).unwrap();
    }
    give(&world, "admin", None, "user:p0").unwrap();
    give(&world, "allowed", odd, "user:p0").unwrap();
    give(&world, "owner", Some("app:crm"), "user:p0").unwrap();

    let line = |held: &Appointment| format!("{} {} {}", held.subject, held.role.name(), held.shown_object());
    let all = |read: &dyn Fn(Option<&str>) -> RolesPage| {
        let (mut lines, mut after, mut pages) = (Vec::new(), None::<String>, 0);
        loop {
            let page = read(after.as_deref());
            assert!(page.roles.len() <= 3 && pages < 20);
            lines.extend(page.roles.iter().map(line));
            (after, pages) = (page.next, pages + 1);
            if after.is_none() {
                return lines;
            }
        }
    };
    let of_tenant = all(&|after| world.tenant.roles_of("tenant:acme", after, 3).unwrap());
    assert_eq!(of_tenant.len(), 8, "{of_tenant:?}");
    assert_eq!(of_tenant.first().map(String::as_str), Some("user:p0 admin tenant:acme"));
    let of_scope = all(&|after| world.tenant.roles_of("scope:crm-api|crm:odd", after, 3).unwrap());
    assert_eq!(of_scope, ["user:p0 allowed scope:crm-api|crm:odd"]);
    for max in [1, 3] {
        let held = all(&|after| world.tenant.roles_held_by("user:p0", after, max).unwrap());
        let expected = ["admin tenant:acme", "auditor tenant:acme", "owner app:crm", "allowed scope:crm-api|crm:odd"];
        assert_eq!(held, expected.map(|role| format!("user:p0 {role}")));
    }
    take(&world, "allowed", odd, "user:p0").unwrap();
    assert_eq!(world.tenant.roles_of("scope:crm-api|crm:odd", None, 3).unwrap(), RolesPage::default());
    for (object, refused) in [("user:p0", "role.object"), ("tenant:other", "not_found"), ("connection", "role.object")]
    {
        assert_eq!(rule(world.tenant.roles_of(object, None, 3)), refused, "{object}");
    }
    assert_eq!(rule(world.tenant.roles_held_by("connection:files", None, 3)), "role.subject");
    for bad in ["x", "1.2", "1.2.x", "", "-1"] {
        assert_eq!(rule(world.tenant.roles_of("tenant:acme", Some(bad), 3)), "role.page", "{bad}");
    }
}
