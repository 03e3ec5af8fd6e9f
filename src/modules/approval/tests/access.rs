//! Access requests (AuthZEN ARAP): from a denial to an approval that is used where it was denied.

use super::*;
use crate::identity::{Examined, Grant, GrantSubject, TokenKind, Wanted};

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
        authentication: None,
        nonce: None,
        created_at: world.now,
        expires_at: world.now + 600,
        parent: None,
        parent_token: None,
        session: None,
        offline: false,
        consent: None,
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
    ] {
        assert_eq!(ask(change), expected);
    }
    let alone = token(&world, "sales", None);
    let refused = world.approvals.request_access(&world.tenant, &alone, &wanted(&|_| {}), None, &world.env());
    assert_eq!(rule(refused), "access.person");
}
