//! What somebody else allows in a person's name is what they were asked for, and no more of the person's than the person has
//! allowed the client for good; and the person is told.

use super::*;
use crate::identity::{ConsentRule, TokenKind};

/// A note, on which who answers for the agent decides alone.
fn note(world: &World, who: &[&str]) -> String {
    let mut kind = proposal();
    kind.name = "payment".into();
    kind.schema = json!({"type": "object", "additionalProperties": false, "properties": {"type": {}, "text": {}}});
    (kind.title, kind.fields) = ("Note {/text}".into(), Vec::new());
    kind.rules = serde_json::from_value(json!([{ "who": who }])).unwrap();
    put_type(&world.tenant, &kind, "user:ann", &world.env()).unwrap();
    json!([{"type": "payment", "text": "hello"}]).to_string()
}

fn ask(world: &World, client: &str, scope: &str, details: &str) -> Answer<Asked> {
    world.ask_as(client, &form(&[("scope", scope), ("authorization_details", details)]))
}

#[test]
fn nobody_gives_away_what_a_person_was_never_asked_for() {
    let world = World::new();
    let details = note(&world, &["accountable"]);
    // The person has allowed sales some, and the other agent none.
    let refusal = ask(&world, "sales", "openid email:send crm:update", &details).unwrap_err();
    assert_eq!((refusal.rule, refusal.error.text()), ("ask.consent", "invalid_scope"));
    assert!(refusal.description.contains("`crm:update`"), "{refusal}");
    assert_eq!(rule(ask(&world, "sales", "openid profile", &details)), "ask.consent");
    world.relate(&["agent:other accountable user:john"]);
    assert_eq!(rule(ask(&world, "other", "openid email:send", &details)), "ask.consent");
    ask(&world, "other", "openid", &details).unwrap();
    // Where a connection is managed, nobody asks people.
    let held = world.tenant.client("other").unwrap();
    let managed = Client { consent: ConsentRule::Managed, ..held.value.clone() };
    world.tenant.change_client(&held, &managed, &world.env()).unwrap();
    ask(&world, "other", "openid email:send crm:update", &details).unwrap();

    let asked = ask(&world, "sales", "openid email:send", &details).unwrap();
    let john = world.sign_in("john");
    world.decide(&john, &asked, &all_of(&world.record(&asked))).unwrap();
    let token = world.fetch(&asked).unwrap().access_token;
    assert_eq!((&claims(&token)["sub"], &claims(&token)["scope"]), (&json!("sarah"), &json!("email:send")));
    let decided = world.newest("approval.decided");
    assert_eq!((decided.get_user(), decided.details()["by"].as_str()), (Some("user:sarah"), "user:john"));
    // It rests on what the person has allowed.
    let examine = || world.tenant.examine(&token, TokenKind::Access, Some(MAIL), &world.env());
    examine().unwrap();
    world.tenant.withdraw_consent("sarah", "sales", &world.env()).unwrap();
    assert_eq!(rule(examine()), "consent.withdrawn");
}

#[test]
fn what_was_taken_back_meanwhile_does_not_come_of_it() {
    let world = World::new();
    let details = note(&world, &["accountable"]);
    let asked = ask(&world, "sales", "openid email:send", &details).unwrap();
    world.decide(&world.sign_in("john"), &asked, &all_of(&world.record(&asked))).unwrap();
    world.tenant.withdraw_consent("sarah", "sales", &world.env()).unwrap();
    let tokens = world.fetch(&asked).unwrap();
    assert_eq!((tokens.scope, tokens.authorization_details.len()), (None, 1));
}

#[test]
fn of_those_who_may_decide_only_the_person_gives_their_scopes() {
    let world = World::new();
    let details = note(&world, &["accountable", "subject"]);
    for (who, scope) in [("john", "email:send"), ("sarah", "openid email:send crm:update")] {
        let asked = ask(&world, "sales", "openid email:send crm:update", &details).unwrap();
        let decided = world.decide(&world.sign_in(who), &asked, &all_of(&world.record(&asked))).unwrap();
        let State::Approved(approved) = decided.state else { panic!("{who} did not decide") };
        assert_eq!(approved.scopes.join(" "), scope);
        assert_eq!(world.newest("approval.decided").details()["part"], if who == "john" { "yes" } else { "no" });
        assert_eq!(world.fetch(&asked).unwrap().scope.as_deref(), Some(scope), "{who}");
    }
}
