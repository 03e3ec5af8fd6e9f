//! Types of details: what one may hold, how it is shown, who decides.

use super::*;

#[test]
fn a_type_that_could_hide_something_is_refused() {
    let world = World::new();
    let put = |change: &dyn Fn(&mut Value)| {
        let mut value = json!(proposal());
        change(&mut value);
        match serde_json::from_value::<DetailType>(value) {
            Ok(wanted) => rule(put_type(&world.tenant, &wanted, "user:ann", &world.env())),
            Err(_) => "unreadable",
        }
    };
    assert_eq!(put(&|_| {}), "allowed");
    let schema = |pointer: &'static str, to: Value| {
        move |value: &mut Value| *value["schema"].pointer_mut(pointer).unwrap() = to.clone()
    };
    for (what, refused) in [
        ("members that nobody knows", put(&schema("/additionalProperties", json!(true)))),
        ("no object", put(&schema("/type", json!("array")))),
        ("a reference to elsewhere", put(&schema("/properties/note", json!({"$ref": "https://a.example/x"})))),
        ("a reference to the whole", put(&schema("/properties/note", json!({"$ref": "#"})))),
        ("a definition of itself", put(&schema("/$defs/mail", json!({"items": {"$ref": "#/$defs/mail"}})))),
        ("an id", put(&schema("/properties/note", json!({"$id": "x"})))),
        ("a pattern whose time may explode", put(&schema("/properties/note", json!({"pattern": "(a)\\1"})))),
        ("no schema", put(&schema("/properties/note", json!({"type": "strings"})))),
        ("too large", put(&schema("/properties/note", json!({"description": "x".repeat(20_000)})))),
    ] {
        assert_eq!(refused, "type.schema", "{what}");
    }
    assert_eq!(put(&|v| v["title"] = "{amount}".into()), "type.template");
    assert_eq!(put(&|v| v["fields"][0]["value"] = "{/a".into()), "type.template");
    assert_eq!(put(&|v| v["fields"][0]["label"] = "A\u{200b}mount".into()), "type.label");
    assert_eq!(put(&|v| v["rules"][0]["when"] = "amount > unknown".into()), "rule.form");
    assert_eq!(put(&|v| v["rules"][0]["when"] = "amount".into()), "rule.form");
    assert_eq!(put(&|v| v["rules"][0]["values"]["most"] = json!({"kind": "decimal"})), "type.values");
    assert_eq!(put(&|v| v["rules"][0]["values"]["amount"]["path"] = "amount".into()), "type.values");
    assert_eq!(put(&|v| v["rules"][0]["who"] = json!(["anybody"])), "unreadable");
    assert_eq!(put(&|v| v["acr"] = "high".into()), "type.acr");
    assert_eq!(put(&|v| v["name"] = "a b".into()), "type.name");
    assert_eq!(type_of(&world.tenant, "proposal").unwrap().unwrap().version, 2, "each change is another version");
    remove_type(&world.tenant, "proposal", "user:ann", &world.env()).unwrap();
    assert_eq!(rule(world.propose(&["5"])), "details.type");
}

#[test]
fn everything_that_is_asked_is_shown() {
    let kind = proposal();
    let mut asked = detail("450000.00");
    asked["note"] = "pay\u{202e}gnp.exe".into();
    let rendered = kind.render(&asked).unwrap();
    assert_eq!(rendered.title, "Send the proposal for 450000.00 USD to Acme Corp");
    let lines: Vec<(&str, &str)> = rendered.lines.iter().map(|l| (l.label.as_str(), l.value.as_str())).collect();
    assert_eq!(
        lines,
        [
            ("Amount", "450000.00 USD"),
            ("Recipients", "cto@acme.example, cfo@acme.example"),
            ("note", "pay⟨U+202E⟩gnp.exe"), // the template does not have it
        ]
    );
    // What a place covers is not said twice, and what lies beside it is.
    let nested: DetailType = serde_json::from_value(json!({
        "name": "nested", "title": "{/a/b}",
        "schema": {"type": "object", "additionalProperties": false, "properties": {"type": {}, "a": {}, "ab": {}}},
    }))
    .unwrap();
    let rendered =
        nested.render(&json!({"type": "nested", "a": {"b": {"c": 1}, "d": [{"e": 2}]}, "ab": true})).unwrap();
    let lines: Vec<String> = rendered.lines.iter().map(|l| format!("{}={}", l.label, l.value)).collect();
    assert_eq!(lines, ["a/d/0/e=2", "ab=yes"]);
}

#[test]
fn who_decides_is_exact_to_the_cent() {
    let kind = proposal();
    let who = |amount: Value| {
        let mut asked = detail("0");
        asked["amount"] = amount;
        kind.who(&asked).map_err(|refusal| refusal.rule)
    };
    for (amount, expected) in [
        ("100000", vec![Who::Subject]),
        ("100000.00", vec![Who::Subject]),
        ("100000.01", vec![Who::Manager]),
        ("450000", vec![Who::Manager]),
        ("1000", vec![Who::Subject]),
        ("999.99", vec![]),
        // As binary fractions these two are the same number.
        ("100000.000000", vec![Who::Subject]),
        ("100000.000001", vec![Who::Manager]),
    ] {
        assert_eq!(who(json!(amount)), Ok(expected), "{amount}");
    }
    for bad in [json!(100_000.01), json!("1e9"), json!("0.0000001"), json!(null), json!(["1"])] {
        assert_eq!(who(bad.clone()), Err("details.rule"), "{bad}: it is never judged as something else");
    }
}

#[test]
fn details_on_which_others_decide_are_not_asked_for_together() {
    let world = World::new();
    assert_eq!(rule(world.propose(&["5000", "450000"])), "details.who");
    let both = world.propose(&["200000", "450000"]).unwrap();
    assert_eq!(world.record(&both).who, [Who::Manager]);
    // That nobody need be asked does not let anybody else decide.
    assert_eq!(world.record(&world.propose(&["5"]).unwrap()).who, [Who::Subject]);
}
