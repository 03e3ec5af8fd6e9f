//! Access requests (AuthZEN ARAP): from a denial to an approval that is used where it was denied.

use super::*;
use crate::identity::{EventKind, Examined, Grant, GrantSubject, TokenKind, Wanted};

/// A type for access requests, on which the person decides.
fn access_type() -> DetailType {
    serde_json::from_value(json!({
        "name": ACCESS_TYPE,
        "title": "Let it {/action/name} {/resource/type} {/resource/id}",
        "schema": {
            "type": "object", "additionalProperties": false, "required": ["type", "resource", "action"],
            "properties": {"type": {}, "resource": {"type": "object"}, "action": {"type": "object"}},
        },
    }))
    .unwrap()
}

/// A token with which an agent acts for sarah.
fn token(world: &World, client: &str, user: Option<&str>) -> Examined {
    let env = world.env();
    let grant = Grant {
        id: env.id(),
        by: "test".into(),
        subject: user.map_or(GrantSubject::Client, |user| GrantSubject::User(user.into())),
        client: client.into(),
        client_kind: world.tenant.client(client).unwrap().kind,
        actors: Vec::new(),
        scopes: vec!["email:send".into()],
        resources: vec![MAIL.into()],
        details: Vec::new(),
        details_allowed: false,
        authentication: None,
        nonce: None,
        created_at: world.now,
        expires_at: world.now + 600,
        parent: None,
        parent_token: None,
        session: None,
        offline: false,
        consent: None,
        through: Vec::new(),
        epoch: 0,
        jkt: None,
        x5t: None,
        refresh: None,
        revoked_at: None,
    };
    let mut change = world.tenant.change(&env);
    world.tenant.add_grant(&mut change, &grant, &env).unwrap();
    let answer = world.tenant.issue(&mut change, &world.caller(client), &grant, &Wanted::default(), &env).unwrap();
    change.commit().unwrap();
    world.tenant.examine(&answer.access_token, TokenKind::Access, None, &env).unwrap()
}

fn wanted(change: &dyn Fn(&mut Value)) -> AccessWanted {
    let mut value = json!({
        "resource": {"type": "document", "id": "discounts"},
        "action": {"name": "read"},
        "denial": {"evaluation_id": "e-1", "expires_at": "2099-01-01T00:00:00Z"},
    });
    change(&mut value);
    serde_json::from_value(value).unwrap()
}

#[test]
fn who_was_denied_asks_and_asks_the_question_once_more() {
    let world = World::new();
    put_type(&world.tenant, &access_type(), "user:ann", &world.env()).unwrap();
    let (ours, theirs) = (token(&world, "sales", Some("sarah")), token(&world, "other", Some("sarah")));
    let ask =
        |wanted: &AccessWanted, key| world.approvals.request_access(&world.tenant, &ours, wanted, key, &world.env());
    let made = ask(&wanted(&|_| {}), Some("key-1")).unwrap();
    assert_eq!(made.status, TaskStatus::Pending);
    assert_eq!(made.status_endpoint, format!("{ISSUER}/access-requests/{}", made.id));
    // The same key is the same request; for something else it is a mistake.
    assert_eq!(ask(&wanted(&|_| {}), Some("key-1")).unwrap().id, made.id);
    assert_eq!(rule(ask(&wanted(&|v| v["action"]["name"] = "write".into()), Some("key-1"))), "access.key");
    assert_ne!(ask(&wanted(&|_| {}), Some("key-2")).unwrap().id, made.id);
    let status = |token: &Examined| world.approvals.access_task(&world.tenant, token, &made.id, &world.env());
    assert_eq!(rule(status(&theirs)), "not_found");
    // A token cannot be fetched with it.
    assert_eq!(error(world.fetch_as("sales", &format!("{}.x", made.id))), "invalid_grant");

    let session = world.sign_in("sarah");
    let held = world.tenant.held::<ApprovalRequest>(&[&made.id]).unwrap();
    assert_eq!(held.shown.details[0].title, "Let it read document discounts");
    let decider = Decider { session: &session };
    world.approvals.decide(&world.tenant, decider, (&held.id, &held.shown_hash), &all_of(&held), &world.env()).unwrap();
    let approved = status(&ours).unwrap();
    assert_eq!(approved.status, TaskStatus::Approved);
    let result = approved.result.unwrap();
    assert_eq!(
        (result.mode, &result.approval["id"], &result.approval["state"]),
        ("reevaluate", &json!(made.id), &json!("usable"))
    );

    let item: Item = serde_json::from_value(
        json!({"resource": {"type": "document", "id": "discounts"}, "action": {"name": "read"}}),
    )
    .unwrap();
    let env = world.env();
    let mut change = world.tenant.change(&env);
    let whose = ("agent:sales", Some("sarah"));
    world.approvals.spend(&world.tenant, &mut change, &made.id, whose, &access_detail(&item), &env).unwrap();
    change.commit().unwrap();
    assert_eq!(status(&ours).unwrap().result.unwrap().approval["state"], "used");
}

#[test]
fn what_ties_a_request_to_a_denial_fits_it_or_is_refused() {
    let world = World::new();
    put_type(&world.tenant, &access_type(), "user:ann", &world.env()).unwrap();
    let ours = token(&world, "sales", Some("sarah"));
    let item: Item = serde_json::from_value(
        json!({"resource": {"type": "document", "id": "discounts"}, "action": {"name": "read"}}),
    )
    .unwrap();
    let what = access_detail(&item);
    let bound =
        |who: (&str, &str), until: u64| super::super::bind(&world.tenant, who, "e-1", &what, until).unwrap().unwrap();
    let good = bound(("agent:sales", "sarah"), world.now + 60);
    let ask = |token: &str, change: &dyn Fn(&mut Value)| {
        let wanted = wanted(&|value| {
            value["denial"]["binding_token"] = token.into();
            change(value);
        });
        rule(world.approvals.request_access(&world.tenant, &ours, &wanted, None, &world.env()))
    };
    assert_eq!(ask(&good, &|_| {}), "allowed");
    assert_eq!(ask(&good, &|v| drop(v["denial"].as_object_mut().unwrap().remove("evaluation_id"))), "allowed");
    let asked = world.events().pop().unwrap();
    assert_eq!((asked.kind(), asked.details()["denial"].as_str()), (EventKind::ApprovalAsked, "e-1"));
    // Of another denial, for something else, of somebody else, or changed.
    assert_eq!(ask(&good, &|v| v["denial"]["evaluation_id"] = "e-2".into()), "access.binding");
    assert_eq!(ask(&good, &|v| v["action"]["name"] = "write".into()), "access.binding");
    let one = json!([item_value(&item), item_value(&item)]);
    let several = |v: &mut Value| {
        v.as_object_mut().unwrap().retain(|name, _| name == "denial");
        v["items"] = one.clone();
    };
    assert_eq!(ask(&good, &several), "access.binding");
    for who in [("agent:sales", "ann"), ("agent:other", "sarah")] {
        assert_eq!(ask(&bound(who, world.now + 60), &|_| {}), "access.binding", "{who:?}");
    }
    let later = good.replace(&(world.now + 60).to_string(), &(world.now + 61).to_string());
    for changed in [later.as_str(), "", "x", "bwb1.a.b", good.trim_start_matches('b'), &"x.".repeat(600)] {
        assert_eq!(ask(changed, &|_| {}), "access.binding", "{changed}");
    }
    for at in 0..good.len() {
        let other = |letter| if letter == 'A' { 'B' } else { 'A' };
        let letters = good.chars().enumerate().map(|(place, letter)| if place == at { other(letter) } else { letter });
        let changed: String = letters.collect();
        assert_eq!(ask(&changed, &|_| {}), "access.binding", "{changed}");
    }
    assert_eq!(ask(&bound(("agent:sales", "sarah"), world.now), &|_| {}), "access.denial");
}

fn item_value(item: &Item) -> Value {
    json!({"resource": {"type": item.resource.kind, "id": item.resource.id}, "action": {"name": item.action.name}})
}

#[test]
fn access_requests_that_are_not_right_are_refused() {
    let world = World::new();
    let ours = token(&world, "sales", Some("sarah"));
    let ask = |change: &dyn Fn(&mut Value)| {
        rule(world.approvals.request_access(&world.tenant, &ours, &wanted(change), None, &world.env()))
    };
    assert_eq!(ask(&|_| {}), "details.type", "nobody has said who decides on access");
    put_type(&world.tenant, &access_type(), "user:ann", &world.env()).unwrap();
    for (change, expected) in [
        (
            &(|v: &mut Value| v["callback"] = json!({"url": "https://a.example/"})) as &dyn Fn(&mut Value),
            "access.callback",
        ),
        (&|v| v["subject"] = json!({"type": "user", "id": "boss"}), "access.subject"),
        (&|v| v["subject"] = json!({"type": "user", "id": "sarah"}), "allowed"),
        (&|v| v["denial"]["expires_at"] = "2020-01-01T00:00:00Z".into(), "access.denial"),
        (&|v| v["denial"]["expires_at"] = "soon".into(), "access.denial"),
        (&|v| drop(v.as_object_mut().unwrap().remove("action")), "access.items"),
        (&|v| v["items"] = json!([{"resource": {"type": "a", "id": "b"}, "action": {"name": "c"}}]), "access.items"),
        (&|v| v["message"] = "a\u{202e}b".into(), "ask.binding_message"),
        // The members of the draft are known; what cannot be honoured is refused by its name.
        (&|v| v["requested_access"] = json!({"requested_duration": "PT4H"}), "access.requested_access"),
        (&|v| v["requested_access"] = json!({}), "allowed"),
        (&|v| v["context"] = json!({"business_justification": "renewal"}), "allowed"),
        (&|v| v["client"] = json!({"id": "pep-1", "name": "A PEP"}), "allowed"),
        (&|v| v["client"] = json!({"actor": {"type": "agent", "id": "sales"}}), "allowed"),
        (&|v| v["client"] = json!({"actor": {"id": "sales"}}), "allowed"),
        (&|v| v["client"] = json!({"actor": {"type": "app", "id": "sales"}}), "access.actor"),
        (&|v| v["client"] = json!({"actor": {"type": "agent", "id": "boss"}}), "access.actor"),
        (&|v| v["client"] = json!({"actor": "sales"}), "access.actor"),
        (&|v| v["denial"]["binding_token"] = "x".into(), "access.binding"),
    ] {
        assert_eq!(ask(change), expected);
    }
    let alone = token(&world, "sales", None);
    let refused = world.approvals.request_access(&world.tenant, &alone, &wanted(&|_| {}), None, &world.env());
    assert_eq!(rule(refused), "access.person");
}
